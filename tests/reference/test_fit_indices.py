"""Every derived fit index, from the reference's own statistics and parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sqvalid.latent.fit_indices import REGISTRY, FitInputs, GroupMoments, ScaledTest, collect
from sqvalid.latent.residual_averages import browne_residual_statistic

from . import library
from .moments import group_moments, jacobians, rows_of

# The statistics go in with 15 digits. The limits of the RMSEA and GFI intervals are found by a
# root search that stops at 1e-4 in R; the moments are the optimiser's, good to 1e-5.
EXACT = 1e-6
SEARCHED = 1e-4
MOMENTS = 2e-5

FROM_MOMENTS = {
    "rmr", "rmr_nomean", "srmr", "srmr_bentler", "srmr_bentler_nomean", "crmr", "crmr_nomean",
    "srmr_mplus", "srmr_mplus_nomean", "gfi", "gfi_robust", "gfi_lisrel", "agfi_lisrel", "pgfi",
}  # fmt: skip


def usable(fit: library.Fit) -> bool:
    arguments = fit.arguments
    return (
        fit.block("fit_measures") is not None
        and fit.block("parameters") is not None
        and arguments.get("estimator", "ML") in ("ML", "MLR", "MLF", "MLM", "MLMV", "MLMVS")
        and arguments.get("missing") is None
        and not arguments.get("ordered")
        and not isinstance(arguments.get("test"), list)
        and "wrmr" not in fit.blocks["fit_measures"]
        and fit.converged
    )


# Below zero degrees of freedom R prints 0, 1 and a negative number; here they are undefined.
UNDEFINED_BELOW_ZERO_DF = {"rmsea", "agfi_lisrel", "pgfi"}
# The reference does not give trace(U Gamma) of the baseline, which these need when shifted.
NEED_BASELINE_TRACE = {"cfi_robust", "tli_robust", "nnfi_robust", "rni_robust"}

FITS = [fit for fit in library.fits() if usable(fit)]


def browne(fit: library.Fit, groups: tuple[GroupMoments, ...]) -> float | None:
    """Browne's statistic where residual means make it differ; chi-square where R gives up."""
    rows = rows_of(fit)
    if rows.loc[rows.op == "==", "rhs"].str.contains("^", regex=False).any():
        return real(fit.blocks["fit_measures"]["chisq"])
    if groups[0].means is None:
        return None
    return browne_residual_statistic(groups, jacobians(fit), [g.n_obs for g in groups])


def real(value) -> float:
    return math.nan if value is None else float(value)


def inputs_of(fit: library.Fit) -> FitInputs:
    measures = fit.blocks["fit_measures"]

    def scaled(prefix: str, test: dict | None) -> ScaledTest | None:
        if "chisq.scaled" not in measures:
            return None
        shift, mean = 0.0, None
        if test is not None and test.get("trace.UGamma") is not None and "shift.parameter" in test:
            shift = test["shift.parameter"]
            mean = test["trace.UGamma"] / test["df"]
        return ScaledTest(
            real(measures[f"{prefix}chisq.scaled"]),
            real(measures[f"{prefix}df.scaled"]),
            real(measures[f"{prefix}chisq.scaling.factor"]),
            shift,
            mean,
        )

    tests = fit.blocks.get("tests") or {}
    adjusted = [
        t for name, t in tests.items() if name not in ("standard", "browne.residual.nt.model")
    ]
    groups = group_moments(fit)
    return FitInputs(
        n_free=measures["npar"],
        fmin=measures["fmin"],
        chisq=real(measures["chisq"]),
        df=real(measures["df"]),
        n_obs=tuple(g.n_obs for g in groups),
        groups=groups,
        baseline_chisq=real(measures["baseline.chisq"]),
        baseline_df=real(measures["baseline.df"]),
        scaled=scaled("", adjusted[0] if adjusted else None),
        baseline_scaled=scaled("baseline.", None),
        logl=measures.get("logl"),
        unrestricted_logl=measures.get("unrestricted.logl"),
        scaling_factor_h0=measures.get("scaling.factor.h0"),
        browne_statistic=browne(fit, groups),
        scaling_factor_h1=measures.get("scaling.factor.h1"),
        likelihood=fit.arguments.get("likelihood", "normal"),
        h1_information=fit.arguments.get("h1.information", "structured"),
        robust_indices=fit.arguments.get("estimator") != "MLMVS",
    )


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.name)
def test_every_index_of_the_reference(fit):
    expected = {k.replace(".", "_"): real(v) for k, v in fit.blocks["fit_measures"].items()}
    inputs = inputs_of(fit)
    found = collect(inputs)
    assert list(found) == list(expected)
    skipped = set()
    if inputs.df < 0:
        skipped |= UNDEFINED_BELOW_ZERO_DF
        assert all(math.isnan(found[name]) for name in skipped)
    if inputs.scaled is not None and inputs.scaled.shifted:
        skipped |= NEED_BASELINE_TRACE
    wrong = {}
    for name, value in expected.items():
        if name in skipped:
            continue
        tolerance = SEARCHED if "_ci_" in name else MOMENTS if name in FROM_MOMENTS else EXACT
        if not np.isclose(found[name], value, rtol=tolerance, atol=1e-7, equal_nan=True):
            wrong[name] = (found[name], value)
    assert not wrong


def test_every_entry_of_the_registry_has_a_reference():
    known = {
        name.replace(".", "_") for fit in library.fits() for name in fit.block("fit_measures") or ()
    }
    assert {entry.name for entry in REGISTRY} <= known
