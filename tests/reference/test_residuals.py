"""Residuals, their standard errors and summaries, from the reference's own solution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sqvalid.latent.residual_summary import NAMES, summarise
from sqvalid.latent.residuals import (
    normalized_residuals,
    residual_covariances,
    residuals,
    standardized_residuals,
)

from . import library
from .moments import cases, group_moments, jacobians, observed_names, rows_of

# Given the same estimates the statistics agree to rounding. Where a residual's variance is a
# small difference of large numbers the optimiser's last digits show: 1e-4 as for estimates.
SAME = 1e-6
DIFFERENCE = 1e-4
# A residual that the model fixes at zero has no variance; R prints its rounding error.
SMALL = 1e-4

METRICS = {"raw": "raw", "cor": "cor_bollen", "cor.bentler": "cor_bentler"}


def usable(fit: library.Fit) -> bool:
    return (
        fit.arguments.get("estimator", "ML") in ("ML", "MLR", "MLF", "MLM", "MLMV", "MLMVS")
        and fit.arguments.get("missing") is None
        and fit.block("residuals_raw") is not None
        and not fit.arguments.get("ordered")
        and not fit.imprecise
    )


FITS = [fit for fit in library.fits() if usable(fit)]
NORMALIZED = [fit for fit in FITS if fit.block("residuals_normalized")]
# Versions of R disagree on standardised residuals and summaries of several groups.
STANDARDIZED = [fit for fit in NORMALIZED if fit.group is None]
SUMMARISED = [fit for fit in FITS if fit.group is None and fit.block("srmr_summary_raw")]


def options(fit: library.Fit) -> dict:
    resolved = fit.blocks["options"]
    return {
        "information": resolved["information"][0],
        "robust": resolved["se"].startswith("robust"),
    }


def raw_cases(fit: library.Fit) -> list:
    return [None] if "sample.cov" in fit.arguments else cases(fit)


def compare(found, block, names, *, rtol, atol):
    matrix = library.matrix(block["cov"]).loc[names, names].to_numpy()
    np.testing.assert_allclose(found.covariance, matrix, rtol=rtol, atol=atol)
    if found.means is not None:
        np.testing.assert_allclose(
            found.means, library.vector(block["mean"])[names], rtol=rtol, atol=atol
        )


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.name)
def test_metrics(fit, metric):
    names = observed_names(rows_of(fit))
    blocks = library.by_group(fit.block(f"residuals_{METRICS[metric]}"))
    for group, block in zip(group_moments(fit), blocks.values(), strict=True):
        compare(residuals(group, metric), block, names, rtol=SAME, atol=1e-8)


@pytest.mark.parametrize("fit", NORMALIZED, ids=lambda fit: fit.name)
def test_normalized(fit):
    names = observed_names(rows_of(fit))
    blocks = library.by_group(fit.block("residuals_normalized"))
    for group, block, case in zip(group_moments(fit), blocks.values(), raw_cases(fit), strict=True):
        found = normalized_residuals(group, cases=case, **options(fit))
        compare(found, block, names, rtol=SAME, atol=SMALL)


@pytest.mark.parametrize("fit", STANDARDIZED, ids=lambda fit: fit.name)
def test_standardized(fit):
    names = observed_names(rows_of(fit))
    groups, deltas = group_moments(fit), jacobians(fit)
    found = standardized_residuals(groups, deltas, cases=raw_cases(fit), **options(fit))[0]
    block = fit.block("residuals_standardized")
    matrix = library.matrix(block["cov"]).loc[names, names].to_numpy()
    # Diagonal entries that R divides by a rounding error carry no information.
    settled = np.where(np.abs(matrix) > 1e6, 0.0, matrix)
    np.testing.assert_allclose(found.covariance, settled, rtol=DIFFERENCE, atol=SMALL)


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("fit", SUMMARISED, ids=lambda fit: fit.name)
def test_summaries(fit, metric):
    key = METRICS[metric].replace("cor_", "cor.")
    block = fit.block(f"srmr_summary_{key}")
    group = group_moments(fit)[0]
    covariance = residual_covariances(
        [group], jacobians(fit), cases=raw_cases(fit), **options(fit)
    )[0]
    for part, summary in summarise(group, covariance, metric).items():
        expected = [math.nan if v is None else v for v in block[part]]
        found = summary.to_dict(NAMES[metric])
        assert list(found) == [name.replace(".", "_") for name in block[".row"]]
        np.testing.assert_allclose(
            list(found.values()), expected, rtol=DIFFERENCE, atol=1e-9, equal_nan=True
        )
