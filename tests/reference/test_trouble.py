"""Models that break: the trouble is told, and the numbers that exist are right."""

from __future__ import annotations

import pytest

import sqvalid
import sqvalid.errors
from sqvalid.errors import IdentificationError, InputError

from . import library
from .engine import call_arguments, fit_again, result
from .test_engine import READY


def fit_named(name: str) -> library.Fit:
    if not library.has(name):
        pytest.skip("the full reference folder is absent")
    return next(fit for fit in library.fits() if fit.name == name)


def codes(found) -> set[str]:
    return {d.code for d in found.diagnostics}


@pytest.mark.parametrize("name", ["case_heywood", "case_heywood2", "cfa_hs_bifactor"])
def test_negative_variance_is_reported_not_repaired(name):
    fit = fit_named(name)
    with pytest.warns(sqvalid.errors.InadmissibleSolutionWarning):
        found = sqvalid.cfa(fit.model, **call_arguments(fit))
    assert found.converged
    assert not found.admissible
    assert "negative_variance" in codes(found)
    expected = library.table(fit.block("parameters"))
    negative = expected[(expected.op == "~~") & (expected.lhs == expected.rhs) & (expected.est < 0)]
    told = {name for d in found.diagnostics if d.code == "negative_variance" for name in d.where}
    assert told == set(negative.lhs)


@pytest.mark.parametrize("name", ["case_negative_df", "case_nonidentified"])
def test_more_parameters_than_moments(name):
    fit = fit_named(name)
    with pytest.raises(IdentificationError, match="-1 degrees of freedom"):
        sqvalid.cfa(fit.model, **call_arguments(fit))


def test_linear_dependence_names_the_items():
    fit = fit_named("case_singular")
    with pytest.raises(InputError, match="x10, x2, x1"):
        sqvalid.cfa(fit.model, **call_arguments(fit))


def test_nearly_collinear_latents_are_inadmissible():
    found = fit_again(fit_named("case_mobi_ecsi_nearsingular_ml"))
    assert not found.admissible
    assert "latent_covariance_not_positive_definite" in codes(found)


WITH_CHISQ = [
    fit
    for fit in READY
    if fit.converged and (fit.block("fit_measures") or {}).get("chisq") is not None
]


@pytest.mark.parametrize("fit", WITH_CHISQ, ids=lambda fit: fit.name)
def test_no_other_program_found_a_better_minimum(fit):
    ours = result(fit.name).fit_measures["chisq"]
    assert ours <= fit.block("fit_measures")["chisq"] + 1e-5
