"""Intervals of HTMT, omega and AVE: fast array path against fits one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sqvalid as sq
from sqvalid.errors import OptionError
from sqvalid.latent.redraw import make_units
from sqvalid.validity import htmt, htmt2

MODEL = """
SQ =~ q1 + q2 + q3
SAT =~ s1 + s2 + s3
q1 ~~ q2
"""
POPULATION = """
SQ =~ 0.7*q1 + 0.75*q2 + 0.8*q3
SAT =~ 0.85*s1 + 0.8*s2 + 0.75*s3
SQ ~~ 0.5*SAT
"""
RELIABILITY = ["omega_total", "omega_total_implied", "composite_reliability", "ave", "ave_weighted"]


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    frame = sq.simulate_survey(POPULATION, 600, seed=3).frame
    return frame.assign(branch=np.where(np.arange(600) % 5 < 2, "north", "south"))


def rows_of(boot: Any, number: int) -> list[Any]:
    """Positions of the respondents in a resample, group by group."""
    units = make_units(boot.fit.estimate, clusters=False)
    counts = units.bootstrap_counts(boot.seed, number)
    return [np.repeat(np.arange(len(own)), counts[own].astype(int)) for own in units.rows]


@pytest.mark.parametrize("grouped", [False, True])
def test_values_are_those_of_resamples_fitted_one_by_one(
    answers: pd.DataFrame, grouped: bool
) -> None:
    options: Any = {"group": "branch"} if grouped else {}
    fit = sq.cfa(MODEL, answers, **options)
    boot = sq.bootstrap_fit(fit, 12)
    found = []
    for b in range(12):
        parts = [
            answers[answers["branch"] == label] if grouped else answers
            for label in (fit.group_labels if grouped else [""])
        ]
        resample = pd.concat(
            [part.iloc[rows] for part, rows in zip(parts, rows_of(boot, b), strict=True)]
        )
        again = sq.cfa(MODEL, resample, **options)
        validity = sq.assess_validity(again, unity_tests=False)
        found.append(
            np.concatenate(
                [
                    validity.pairs[["htmt", "htmt2"]].to_numpy().ravel(),
                    validity.reliability.scales[RELIABILITY].to_numpy().ravel(),
                ]
            )
        )
    draws = np.array(found)
    result = sq.assess_validity(fit, unity_tests=False, bootstrap=boot, interval="basic")
    pairs, scales = result.pairs, result.reliability.scales
    estimate = np.concatenate(
        [pairs[["htmt", "htmt2"]].to_numpy().ravel(), scales[RELIABILITY].to_numpy().ravel()]
    )
    # Quantiles of draws at k / (R + 1), reflected at the estimate.
    low, high = (
        2.0 * estimate - np.quantile(draws, share, axis=0, method="weibull")
        for share in (0.975, 0.025)
    )
    for end, expected in (("lower", low), ("upper", high)):
        ours = np.concatenate(
            [
                pairs[[f"htmt_ci_{end}", f"htmt2_ci_{end}"]].to_numpy().ravel(),
                scales[[f"{name}_ci_{end}" for name in RELIABILITY]].to_numpy().ravel(),
            ]
        )
        np.testing.assert_allclose(ours, expected, rtol=2e-5)


def test_htmt_interval_is_that_of_scipy(answers: pd.DataFrame) -> None:
    fit = sq.cfa(MODEL, answers)
    boot = sq.bootstrap_fit(fit, 3000)
    values = answers[["q1", "q2", "q3", "s1", "s2", "s3"]].to_numpy()
    places = [np.arange(3), np.arange(3, 6)]

    def ratio(*columns: Any, axis: int = -1) -> Any:
        return htmt(np.corrcoef(np.array(columns)), places)[0, 1]

    theirs = stats.bootstrap(
        tuple(values.T),
        ratio,
        paired=True,
        vectorized=False,
        n_resamples=3000,
        method="BCa",
        rng=np.random.default_rng(1),
    )
    ours = sq.assess_validity(fit, unity_tests=False, bootstrap=boot, interval="bca").pairs.iloc[0]
    se = theirs.standard_error
    # Two sets of random numbers: an end of 3,000 draws has about .05 standard errors of its own.
    assert abs(ours["htmt_ci_lower"] - theirs.confidence_interval.low) < 0.25 * se
    assert abs(ours["htmt_ci_upper"] - theirs.confidence_interval.high) < 0.25 * se


def test_many_matrices_at_once_are_matrices_one_by_one() -> None:
    rng = np.random.default_rng(4)
    dimensions = [np.array([0, 2]), np.array([1, 3, 4]), np.array([5])]
    stack = np.array([np.corrcoef(rng.standard_normal((6, 40))) for _ in range(5)])
    for ratio in (htmt, htmt2, lambda r, d: htmt(r, d, absolute=False)):
        together = ratio(stack, dimensions)
        assert together.shape == (5, 3, 3)
        for matrix, expected in zip(stack, together, strict=True):
            np.testing.assert_array_equal(ratio(matrix, dimensions), expected)
        assert np.isnan(together[:, 0, 2]).all()
        np.testing.assert_array_equal(together[:, 2, 2], 1.0)


def test_any_function_of_moments_and_parameters(answers: pd.DataFrame) -> None:
    fit = sq.cfa(MODEL, answers)
    boot = sq.bootstrap_fit(fit, 200)
    found = boot.of_resamples(
        lambda r: np.column_stack([r.parameters, r.factor_covariances[0][:, 0, 1]])
    )
    known = boot.parameters()
    n = len(known)
    np.testing.assert_allclose(found["ci_lower"][:n], known["ci_lower"], rtol=1e-10, atol=1e-12)
    covariance = known[(known["lhs"] == "SQ") & (known["rhs"] == "SAT")].iloc[0]
    assert found["ci_upper"].iloc[-1] == pytest.approx(covariance["ci_upper"], rel=1e-10)
    observed = boot.of_resamples(lambda r: r.covariances[0][:, [0], 0])
    variance = answers["q1"].var(ddof=0)
    assert observed["est"][0] == pytest.approx(variance, rel=1e-10)


def test_what_does_not_fit_together_is_refused(answers: pd.DataFrame) -> None:
    fit = sq.cfa(MODEL, answers)
    other = sq.bootstrap_fit(sq.cfa(MODEL, answers), 4)
    with pytest.raises(OptionError, match="another fit"):
        sq.assess_validity(fit, bootstrap=other)
    with pytest.raises(OptionError, match="another fit"):
        sq.assess_reliability(fit, bootstrap=other)
    with pytest.raises(OptionError, match="no resampled answers"):
        sq.draw_estimates(fit, 100).of_resamples(lambda r: r.parameters)
    with pytest.raises(OptionError, match="percentil"):
        sq.assess_reliability(fit, bootstrap=sq.bootstrap_fit(fit, 4), interval="percentil")
