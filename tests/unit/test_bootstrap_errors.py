"""se="bootstrap": standard errors and intervals of a fit from resamples."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import OptionError, UnsupportedError

POPULATION = """
SQ =~ 0.7*q1 + 0.75*q2 + 0.8*q3
SAT =~ 0.85*s1 + 0.8*s2 + 0.75*s3
RPI =~ 0.85*r1 + 0.8*r2 + 0.75*r3
SAT ~ 0.5*SQ
RPI ~ 0.5*SAT
"""
MODEL = """
SQ =~ q1 + q2 + q3
SAT =~ s1 + s2 + s3
RPI =~ r1 + r2 + r3
SAT ~ a*SQ
RPI ~ b*SAT
indirect := a*b
"""


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return sq.simulate_survey(POPULATION, 250, seed=4).frame


@pytest.mark.parametrize("options", [{}, {"missing": "fiml"}, {"estimator": "MLR"}])
def test_errors_are_those_of_the_draws(answers: pd.DataFrame, options: dict[str, Any]) -> None:
    frame = answers.astype(float)
    if options.get("missing") == "fiml":
        frame.iloc[::9, 4] = np.nan
    fit = sq.sem(MODEL, frame, se="bootstrap", bootstrap=60, seed=12, **options)
    plain = sq.sem(MODEL, frame, **options)
    boot = sq.bootstrap_fit(plain, 60, seed=12)
    # lavaan's covariance of the draws has divisor R.
    np.testing.assert_allclose(fit.vcov, boot.vcov * 59 / 60, rtol=1e-9, atol=1e-15)
    ours, known = fit.parameters, boot.parameters()
    free = (ours["free"] > 0) | (ours["op"] == ":=")
    np.testing.assert_allclose(
        ours.loc[free, "se"], known.loc[free, "se"] * np.sqrt(59 / 60), rtol=1e-9
    )
    np.testing.assert_allclose(ours["ci_lower"], known["ci_lower"], rtol=1e-9)
    np.testing.assert_allclose(ours["ci_upper"], known["ci_upper"], rtol=1e-9)
    np.testing.assert_allclose(ours["z"][free], (ours["est"] / ours["se"])[free], rtol=1e-12)
    np.testing.assert_array_equal(ours["est"], plain.parameters["est"])
    for name in ("chisq", "cfi", "rmsea", "srmr"):
        assert fit.fit_measures[name] == plain.fit_measures[name]
    # Standardised rows have the delta method on the same covariance.
    jacobian = fit.standardized_jacobian()
    variance = np.einsum("ij,jk,ik->i", jacobian, fit.vcov.to_numpy(), jacobian)
    np.testing.assert_allclose(fit.standardized()["se"] ** 2, variance, atol=1e-12)
    json.dumps(fit.to_dict())
    assert "60" in fit.summary()


def test_errors_of_ordered_items_are_those_of_the_draws(answers: pd.DataFrame) -> None:
    frame = answers.clip(lower=3)
    fit = sq.sem(MODEL, frame, ordered=True, se="bootstrap", bootstrap=12, seed=5)
    boot = sq.bootstrap_fit(sq.sem(MODEL, frame, ordered=True), 12, seed=5)
    np.testing.assert_allclose(fit.vcov, boot.vcov * 11 / 12, rtol=1e-7, atol=1e-12)
    ours, known = fit.parameters, boot.parameters()
    free = (ours["free"] > 0) | (ours["op"] == ":=")
    for end in ("ci_lower", "ci_upper"):
        np.testing.assert_allclose(ours.loc[free, end], known.loc[free, end], rtol=1e-7)


def test_one_option_draws_for_errors_and_for_the_test(answers: pd.DataFrame) -> None:
    fit = sq.sem(MODEL, answers, se="bootstrap", test="bollen.stine", bootstrap=20)
    assert fit.tests["bollen.stine"]["n_draws"] == 20
    assert len(fit.estimate.row_draws) == 20


def test_what_cannot_be_drawn_is_refused(answers: pd.DataFrame) -> None:
    covariance = answers.cov()
    with pytest.raises(UnsupportedError, match="se='bootstrap' needs the answers"):
        sq.sem(MODEL, cov=covariance, n_obs=250, se="bootstrap")
    with pytest.raises(OptionError, match="nothing to draw"):
        sq.sem(MODEL, answers, bootstrap=20)
    weighted = answers.assign(w=np.where(answers["q1"] > 4, 1.0, 2.0))
    with pytest.raises(OptionError, match="sampling_weights"):
        sq.sem(MODEL, weighted, sampling_weights="w", se="bootstrap")


def test_the_summary_knows_every_kind_of_error(answers: pd.DataFrame) -> None:
    gaps = answers.astype(float)
    gaps.iloc[::9, 4] = np.nan
    for missing in ("two.stage", "robust.two.stage"):
        assert "two-stage" in sq.sem(MODEL, gaps, missing=missing).summary()
