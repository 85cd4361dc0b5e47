"""Resamples of incomplete answers, and of discrepancies that the batch does not know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.latent.redraw import make_units
from sqvalid.resampling import uniforms

POPULATION = """
SQ =~ 0.7*q1 + 0.75*q2 + 0.8*q3
SAT =~ 0.85*s1 + 0.8*s2 + 0.75*s3
SAT ~ 0.5*SQ
SQ ~ 0.3*age
"""
MODEL = """
SQ =~ q1 + q2 + q3
SAT =~ s1 + s2 + s3
SAT ~ b*SQ
SQ ~ age
double := 2*b
"""
ITEMS = ["q1", "q2", "q3", "s1", "s2", "s3"]


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    """Four hundred respondents; one answer in twelve missing, more often with high age."""
    frame = sq.simulate_survey(POPULATION, 400, seed=8, thresholds=None).frame
    u = uniforms(9, 0, 400 * 6).reshape(400, 6)
    gone = u < 0.08 * np.exp(0.3 * frame["age"].to_numpy())[:, None]
    frame[ITEMS] = frame[ITEMS].mask(gone)
    return frame.assign(branch=np.where(np.arange(400) % 5 < 2, "north", "south"))


def refit(boot: Any, frame: pd.DataFrame, number: int, **options: Any) -> Any:
    """The fit of a resample by the public functions."""
    counts = make_units(boot.fit.estimate, clusters=False).bootstrap_counts(boot.seed, number)
    group = options.get("group")
    parts = [frame] if group is None else [frame[frame[group] == g] for g in boot.fit.group_labels]
    ordered = pd.concat(parts)
    return sq.sem(
        MODEL, ordered.iloc[np.repeat(np.arange(len(ordered)), counts.astype(int))], **options
    )


CASES: dict[str, dict[str, Any]] = {
    "fiml": {"missing": "fiml"},
    "robust fiml": {"missing": "fiml", "estimator": "MLR"},
    "fiml in groups": {"missing": "fiml", "group": "branch", "group_equal": "loadings"},
    "two-stage": {"missing": "two.stage"},
    "gls": {"estimator": "GLS"},
    "ulsmv": {"estimator": "ULSMV"},
    "wls": {"estimator": "WLS"},
    "dwls": {"estimator": "DWLS"},
    "wishart": {"likelihood": "wishart"},
    "bounded": {"missing": "fiml", "bounds": "pos.var"},
}


@pytest.mark.filterwarnings("ignore::sqvalid.errors.InadmissibleSolutionWarning")
@pytest.mark.parametrize("case", CASES)
def test_resamples_are_those_fitted_one_by_one(answers: pd.DataFrame, case: str) -> None:
    options = CASES[case]
    fit = sq.sem(MODEL, answers, **options)
    boot = sq.bootstrap_fit(fit, 4, statistics={"chisq": "chisq"}, studentized=True)
    frame = answers if "missing" in options else answers.dropna()
    raw, standard = boot.draws(), boot.draws("all")
    for b in range(4):
        again = refit(boot, frame, b, **options)
        expected = again.parameters
        # The batch stops within 1e-6 sqrt(N) standard errors of the minimum.
        close = 5e-5 * np.maximum(expected["se"].to_numpy(), 0.01)
        assert (np.abs(raw.iloc[b].to_numpy() - expected["est"].to_numpy()) <= close).all()
        np.testing.assert_allclose(standard.iloc[b], again.standardized()["est"], atol=5e-5)
        np.testing.assert_allclose(boot.errors[b], expected["se"], rtol=1e-4, atol=1e-8)
        assert boot.statistic_draws[b, 0] == pytest.approx(again.fit_measures["chisq"], rel=1e-5)


def test_jackknife_of_incomplete_answers(answers: pd.DataFrame) -> None:
    small = answers.iloc[:120]
    fit = sq.sem(MODEL, small, missing="fiml")
    frame = sq.bootstrap_fit(fit, 60).parameters("bca")
    assert np.isfinite(frame["ci_lower"]).all()
    assert (frame["ci_lower"] <= frame["ci_upper"]).all()


def test_standard_errors_come_near_those_of_theory(answers: pd.DataFrame) -> None:
    fit = sq.sem(MODEL, answers, missing="fiml")
    boot = sq.bootstrap_fit(fit, 400)
    ours, theirs = boot.parameters(), fit.parameters
    free = theirs["free"] > 0
    ratio = ours.loc[free, "se"] / theirs.loc[free, "se"]
    # An error of 400 draws is known to 3.5%; answers are normal, so theory is right up to 1/N.
    assert abs(ratio.mean() - 1.0) < 0.06
    assert ratio.between(0.85, 1.2).all()


def test_resampled_matrices_of_incomplete_answers_are_the_most_likely_ones(
    answers: pd.DataFrame,
) -> None:
    fit = sq.sem(MODEL, answers, missing="fiml")
    boot = sq.bootstrap_fit(fit, 3)
    validity = sq.assess_validity(fit, unity_tests=False, bootstrap=boot, interval="basic")
    draws = [
        sq.assess_validity(refit(boot, answers, b, missing="fiml"), unity_tests=False).pairs
        for b in range(3)
    ]
    for name in ("htmt", "htmt2"):
        values = np.array([pairs[name][0] for pairs in draws])
        low = 2.0 * validity.pairs[name][0] - np.quantile(values, 0.975, method="weibull")
        assert validity.pairs[f"{name}_ci_lower"][0] == pytest.approx(low, rel=1e-6)


def test_an_item_that_no_one_answered_in_two_ways_is_counted() -> None:
    frame = sq.simulate_survey(
        "F =~ 0.8*a + 0.8*b + 0.8*c + 0.8*d", 60, seed=2, thresholds=None
    ).frame
    frame["d"] = np.where(frame[["a", "b", "c"]].sum(axis=1).rank() > 57.5, 2.0, 1.0)
    frame.loc[frame.index[::9], "a"] = np.nan
    fit = sq.cfa("F =~ a + b + c + d", frame, missing="fiml")
    # Three respondents differ from all others; in one resample of twenty none of them is drawn.
    boot = sq.bootstrap_fit(fit, 60)
    assert boot.n_singular > 0
    assert boot.n_singular + boot.n_not_converged + int(boot.estimates.converged.sum()) == 60
