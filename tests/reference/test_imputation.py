"""Pooling over imputations: semTools 0.5-6's numbers for the same completed data sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq

from . import library

pytestmark = pytest.mark.skipif(not library.has("fiml_sq_ml"), reason="reference file not here")

MODEL = """RES =~ P10+P11+P12+P13
ASS =~ P14+P15+P16+P17
SAT =~ SAT1+SAT2+SAT3+SAT4
SAT ~ RES + ASS"""
EQUAL = MODEL.replace("RES + ASS", "a*RES + a*ASS")
ITEMS = [f"P{k}" for k in range(10, 18)] + [f"SAT{k}" for k in range(1, 5)]


def completed(number: int) -> pd.DataFrame:
    """Gaps filled by a formula, so that R and Python have the same data."""
    frame = library.frame("fiml_sq_ml")[ITEMS]
    values = frame.to_numpy(dtype=float)
    rows, columns = np.indices(values.shape)
    wave = np.sqrt(2.0) * np.sin(37.0 * (rows + 1) + 11.0 * number + columns)
    person = frame.mean(axis=1).to_numpy()[:, None] - np.nanmean(values)
    fill = frame.mean().to_numpy() + person + wave
    return pd.DataFrame(np.where(np.isnan(values), fill, values), columns=ITEMS)


@pytest.fixture(scope="module")
def pooled():
    frames = [completed(number) for number in range(1, 6)]
    options = {"estimator": "MLR", "meanstructure": True}
    return tuple(sq.fit_imputations(model, frames, **options) for model in (MODEL, EQUAL))


def test_estimates_and_the_increase_in_variance(pooled):
    # sem.mi(); its standard errors use one increase for all parameters and are not compared.
    rows = pooled[0].parameters.iloc[[1, 2, 5]]
    np.testing.assert_allclose(rows.est, (1.1405835279, 1.2235075808, 1.0773379776), rtol=1e-6)
    np.testing.assert_allclose(rows.riv, (0.09546486, 0.057586254, 0.240544579), rtol=5e-5)
    np.testing.assert_allclose(rows.df, (526.70787, 1349.13038, 106.38823), rtol=1e-4)
    np.testing.assert_allclose(rows["lambda"], rows.riv / (1 + rows.riv), rtol=1e-12)


# lavTestLRT.mi(): F, error df, p, ARIV of the model, plain.
MODEL_TESTS = {
    "D2": (1.018260444, 48.757409485, 0.475507880, 0.096553606),
    "D3": (0.918259429, 6216.777689031, 0.639530912, 0.216507346),
}


@pytest.mark.parametrize("method", sorted(MODEL_TESTS))
def test_the_model_against_the_saturated_one(pooled, method):
    found = pooled[0].test(method, scaled=False)
    values = (found.statistic, found.df_error, found.p, found.relative_increase)
    np.testing.assert_allclose(values, MODEL_TESTS[method], rtol=1e-6)


def test_the_corrected_statistics_pooled(pooled):
    found = pooled[0].test("D2", scaled=True)
    values = (found.statistic, found.df_error, found.p, found.relative_increase)
    np.testing.assert_allclose(
        values, (0.949969530, 34.685685709, 0.572995748, 0.116564893), rtol=1e-6
    )
    # D3 divided by the mean scaling factor: chisq.scaled.
    assert pooled[0].test("D3").chisq == pytest.approx(45.848184464, rel=1e-7)


def test_nested_models(pooled):
    found = sq.compare_imputed(pooled[1], pooled[0], method="D2", scaled=False)
    np.testing.assert_allclose(
        (found.statistic, found.p, found.relative_increase),
        (1.211787448, 0.270979034, 0.003075232),
        rtol=1e-6,
    )
    # semTools lets the increase of D3 be negative (-0.003115251); ours is zero then.
    found = sq.compare_imputed(pooled[1], pooled[0], method="D3", scaled=False)
    assert found.relative_increase == 0
    assert found.statistic == pytest.approx(1.226023026 * (1 - 0.003115251), rel=1e-6)


def test_stacked_likelihood(pooled):
    # Chan and Meng's formulas written in R on lavaan 0.6-14's chi-squares of the five data sets and
    # of their rows as one: F, error df, p, increase.
    found = pooled[0].test("D4", scaled=False)
    values = (found.statistic, found.df_error, found.p, found.relative_increase)
    np.testing.assert_allclose(
        values, (0.918180629, 6213.93031, 0.639687688, 0.216567832), rtol=1e-6
    )
    found = sq.compare_imputed(pooled[1], pooled[0], method="D4", scaled=False)
    assert (found.relative_increase, found.df_error) == (0.0, np.inf)
    np.testing.assert_allclose((found.statistic, found.p), (1.22214719, 0.268939676), rtol=1e-5)


def test_rubins_rules_are_those_of_the_book():
    # Rubin (1987, pp. 76-77) written in R on lavaan's estimates and (expected-information) errors:
    # standard error, fraction of missing information, degrees of freedom.
    frames = [completed(number) for number in range(1, 6)]
    rows = sq.fit_imputations(MODEL, frames, meanstructure=True).parameters.iloc[[1, 2, 5]]
    np.testing.assert_allclose(rows.se, (0.08338943265, 0.08850834436, 0.06927456738), rtol=5e-6)
    np.testing.assert_allclose(rows.fmi, (0.09005763360, 0.06295980292, 0.21358061021), rtol=5e-5)
    np.testing.assert_allclose(rows.df, (532.77197, 1067.74646, 101.74952), rtol=1e-4)


def test_stacked_likelihood_is_near_the_pooled_one(pooled):
    # Both estimate the same quantity; semTools 0.5-6 has no D4.
    for scaled in (False, True):
        three, four = (pooled[0].test(m, scaled=scaled).statistic for m in ("D3", "D4"))
        assert four == pytest.approx(three, rel=1e-3)
