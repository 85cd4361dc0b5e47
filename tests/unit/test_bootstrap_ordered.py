"""Resamples of ordered answers against resamples fitted one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import UnsupportedError
from sqvalid.latent.redraw import make_units

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
double := 2*b
"""
ITEMS = ["q1", "q2", "q3", "s1", "s2", "s3"]
CUTS = (-0.9, 0.0, 0.8)


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    cuts = dict.fromkeys(ITEMS, CUTS)
    frame = sq.simulate_survey(POPULATION, 400, seed=8, thresholds=cuts).frame
    return frame.assign(branch=np.where(np.arange(400) % 5 < 2, "north", "south"))


CASES: dict[str, dict[str, Any]] = {
    "delta": {},
    "theta": {"parameterization": "theta"},
    "dwls": {"estimator": "DWLS"},
    "numbers beside": {"ordered": ITEMS[:3]},
    "groups": {"group": "branch", "group_equal": ("thresholds", "loadings")},
    "covariate": {"model": MODEL + "SQ ~ age", "ordered": ITEMS},
}


@pytest.mark.parametrize("case", CASES)
def test_resamples_are_those_fitted_one_by_one(answers: pd.DataFrame, case: str) -> None:
    options = {"ordered": True} | CASES[case]
    model = options.pop("model", MODEL)
    fit = sq.sem(model, answers, **options)
    boot = sq.bootstrap_fit(fit, 3, statistics={"chisq": "chisq"}, studentized=True)
    assert boot.estimates.converged.all()
    raw, standard = boot.draws(), boot.draws("all")
    frame = answers
    if "group" in options:
        frame = pd.concat([answers[answers["branch"] == g] for g in fit.group_labels])
    for b in range(3):
        counts = make_units(fit.estimate, clusters=False).bootstrap_counts(boot.seed, b)
        again = sq.sem(model, frame.iloc[np.repeat(np.arange(400), counts.astype(int))], **options)
        expected = again.parameters
        close = 5e-5 * np.maximum(expected["se"].to_numpy(), 0.02)
        assert (np.abs(raw.iloc[b].to_numpy() - expected["est"].to_numpy()) <= close).all()
        np.testing.assert_allclose(standard.iloc[b], again.standardized()["est"], atol=5e-5)
        np.testing.assert_allclose(boot.errors[b], expected["se"], rtol=1e-4, atol=1e-7)
        assert boot.statistic_draws[b, 0] == pytest.approx(again.fit_measures["chisq"], rel=1e-4)


def test_errors_come_near_those_of_theory(answers: pd.DataFrame) -> None:
    fit = sq.sem(MODEL, answers, ordered=True)
    ours, theirs = sq.bootstrap_fit(fit, 200).parameters(), fit.parameters
    free = theirs["free"] > 0
    ratio = ours.loc[free, "se"] / theirs.loc[free, "se"]
    # An error of 200 draws is known to 5%.
    assert abs(ratio.mean() - 1.0) < 0.06
    assert ratio.between(0.8, 1.25).all()


def test_a_category_that_a_resample_lacks_is_counted(answers: pd.DataFrame) -> None:
    rare = answers.copy()
    rare["q1"] = np.where(np.arange(400) < 3, 5, rare["q1"].clip(upper=4))
    fit = sq.sem(MODEL, rare, ordered=True)
    boot = sq.bootstrap_fit(fit, 60)
    # Three respondents chose the category; in one resample of twenty none of them is drawn.
    assert 0 < boot.n_singular < 15
    assert boot.n_singular + boot.n_not_converged + int(boot.estimates.converged.sum()) == 60


def test_htmt_has_intervals_and_omega_has_none_yet(answers: pd.DataFrame) -> None:
    fit = sq.cfa("SQ =~ q1 + q2 + q3\nSAT =~ s1 + s2 + s3", answers, ordered=True)
    boot = sq.bootstrap_fit(fit, 4)
    matrices = boot.of_resamples(lambda r: r.covariances[0][:, 0, 1:3])
    assert (matrices["ci_lower"] < matrices["ci_upper"]).all()
    with pytest.raises(UnsupportedError, match="ordered items"):
        boot.of_resamples(lambda r: r.implied[0][:, 0, :])
