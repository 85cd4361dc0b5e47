"""Fit indices: worked values, edges, and the registry's own promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sqvalid import wording
from sqvalid.latent import absolute_fit, incremental_fit, residual_averages
from sqvalid.latent.fit_indices import (
    REGISTRY,
    FitInputs,
    GroupMoments,
    ScaledTest,
    collect,
    undefined,
)

STATISTICS = (85.3, 24, 918.9, 36)


def group(n=200, gap=0.0, *, means=False):
    sample = np.array([[1.0, 0.5, 0.3], [0.5, 2.0, 0.4], [0.3, 0.4, 1.5]])
    implied = sample.copy()
    implied[0, 1] = implied[1, 0] = 0.5 - gap
    extra = (np.array([3.0, 2.0, 1.0]), np.array([3.0, 2.0, 1.0])) if means else (None, None)
    return GroupMoments(n, sample, implied, *extra)


def inputs(**changes):
    values = {
        "n_free": 6,
        "fmin": 0.05,
        "chisq": 20.0,
        "df": 5,
        "n_obs": (200.0,),
        "groups": (group(gap=0.1),),
        "baseline_chisq": 300.0,
        "baseline_df": 10,
        "logl": -800.0,
        "unrestricted_logl": -790.0,
    }
    return FitInputs(**(values | changes))


# --- Distributions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stat", "df", "ncp"),
    [
        (85.3, 24, 18.0),
        (3.6, 1, 0.75),
        (400.0, 30, 5.0),
        (1000.0, 199, 1500.0),
        (10.0, 40.5, 90.0),
    ],
)
def test_noncentral_tail_is_scipy(stat, df, ncp):
    found = absolute_fit.noncentral_chisq_sf(stat, df, ncp)
    assert found == pytest.approx(stats.ncx2.sf(stat, df, ncp), rel=1e-9)


def test_noncentral_tail_keeps_digits_that_one_minus_loses():
    # lambda = 1: the mixture's own terms, summed by hand with 60 of them.
    terms = [stats.poisson.pmf(j, 0.5) * stats.chi2.sf(300.0, 10 + 2 * j) for j in range(60)]
    found = absolute_fit.noncentral_chisq_sf(300.0, 10, 1.0)
    assert found < 1e-50
    assert found == pytest.approx(sum(terms), rel=1e-10)


def test_noncentrality_bounds_invert_the_distribution():
    low, high = absolute_fit.noncentrality_bounds(85.3, 24)
    assert stats.ncx2.cdf(85.3, 24, low) == pytest.approx(0.95)
    assert stats.ncx2.cdf(85.3, 24, high) == pytest.approx(0.05)


def test_bounds_are_zero_when_the_statistic_is_small():
    assert absolute_fit.noncentrality_bounds(5.0, 24) == (0.0, 0.0)
    low, high = absolute_fit.noncentrality_bounds(26.0, 24)
    assert low == 0.0
    assert high > 0.0


# --- Formulas on numbers that can be checked by hand ------------------------------------------


def test_worked_values():
    assert incremental_fit.cfi(30.0, 10, 210.0, 10) == pytest.approx(0.9)
    assert incremental_fit.tli(30.0, 10, 230.0, 15) == pytest.approx(1 - (20 / 10) / (215 / 15))
    assert incremental_fit.nfi(30.0, 10, 300.0, 15) == pytest.approx(0.9)
    assert incremental_fit.pnfi(30.0, 10, 300.0, 15) == pytest.approx(0.6)
    assert incremental_fit.rfi(30.0, 10, 300.0, 15) == pytest.approx(1 - 3 / 20)
    assert incremental_fit.ifi(30.0, 10, 310.0, 15) == pytest.approx(280 / 300)
    assert incremental_fit.rni(30.0, 10, 215.0, 15) == pytest.approx(0.9)
    assert absolute_fit.rmsea(30.0, 10, 200) == pytest.approx(0.1)
    assert absolute_fit.rmsea(30.0, 10, 200, n_groups=4) == pytest.approx(0.2)
    assert absolute_fit.gfi(30.0, 10, 200, 5) == pytest.approx(5 / 5.2)
    assert absolute_fit.mfi(30.0, 10, 200) == pytest.approx(math.exp(-0.05))
    assert absolute_fit.ecvi(30.0, 10, 20, 200) == pytest.approx(0.35)
    assert absolute_fit.aic(-100.0, 7) == pytest.approx(214.0)
    assert absolute_fit.bic(-100.0, 7, math.e) == pytest.approx(207.0)
    assert absolute_fit.bic2(-100.0, 7, 24 * math.e - 2) == pytest.approx(207.0)
    assert absolute_fit.critical_n(18.307038, 10, 100, alpha=0.05) == pytest.approx(101.0)


def test_residual_averages_of_one_residual():
    # One covariance residual of .1 among six moments; correlations: three.
    groups = (group(gap=0.1),)
    assert residual_averages.rmr(groups) == pytest.approx(0.1 / math.sqrt(6))
    standard = 0.1 / math.sqrt(2)
    assert residual_averages.srmr_bentler(groups) == pytest.approx(standard / math.sqrt(6))
    assert residual_averages.crmr(groups) == pytest.approx(standard / math.sqrt(3))
    assert residual_averages.srmr_mplus(groups) == pytest.approx(standard / math.sqrt(6))


def test_reproduced_means_lower_the_average():
    with_means = (group(gap=0.1, means=True),)
    assert residual_averages.rmr(with_means) == pytest.approx(0.1 / 3)
    assert residual_averages.rmr(with_means, with_means=False) == pytest.approx(0.1 / math.sqrt(6))


def test_groups_weigh_by_their_cases():
    one, other = group(100, 0.1), group(300, 0.3)
    both = residual_averages.rmr((one, other))
    expected = 0.25 * residual_averages.rmr((one,)) + 0.75 * residual_averages.rmr((other,))
    assert both == pytest.approx(expected)


def test_single_variable_has_no_correlation():
    single = GroupMoments(50, np.array([[2.0]]), np.array([[2.0]]))
    assert math.isnan(residual_averages.crmr((single,)))


def test_gfi_lisrel_is_the_trace_formula():
    g = group(gap=0.1)
    ratio = np.linalg.solve(g.implied_covariance, g.covariance)
    off = ratio - np.eye(3)
    expected = 1 - np.trace(off @ off) / np.trace(ratio @ ratio)
    assert residual_averages.gfi_lisrel((g,)) == pytest.approx(expected)


def test_not_positive_definite_is_undefined():
    bad = GroupMoments(50, np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert math.isnan(residual_averages.gfi_lisrel((bad,)))
    assert math.isnan(residual_averages.reweighted_least_squares((bad,), [50]))
    assert math.isnan(residual_averages.browne_residual_statistic((bad,), [np.ones((3, 1))], [50]))


def test_browne_statistic_removes_what_the_model_could_explain():
    g = group(gap=0.1)
    rows = np.zeros((6, 1))
    rows[1, 0] = 1.0  # the derivative with respect to the covariance that is wrong
    assert residual_averages.browne_residual_statistic((g,), [rows], [200]) == pytest.approx(0.0)
    rows[:] = 0.0
    whole = residual_averages.browne_residual_statistic((g,), [rows], [200])
    assert whole == pytest.approx(residual_averages.reweighted_least_squares((g,), [200]))


# --- Edges --------------------------------------------------------------------------------------


def test_zero_degrees_of_freedom():
    values = collect(inputs(chisq=0.0, df=0, groups=(group(),)))
    assert values["rmsea"] == values["rmsea_ci_lower"] == values["rmsea_ci_upper"] == 0.0
    assert values["cfi"] == values["tli"] == values["gfi"] == 1.0
    assert math.isnan(values["pvalue"])
    assert math.isnan(values["rmsea_pvalue"])
    assert math.isnan(values["cn_05"])


def test_negative_degrees_of_freedom_define_nothing():
    values = collect(inputs(chisq=math.nan, df=-1, baseline_chisq=math.nan, baseline_df=math.nan))
    for name in ("pvalue", "cfi", "tli", "rmsea", "gfi", "mfi", "ecvi", "agfi_lisrel", "cn_05"):
        assert math.isnan(values[name]), name
    assert not math.isnan(values["aic"])


def test_statistic_below_df_is_perfect():
    values = collect(inputs(chisq=4.0, df=5))
    assert values["cfi"] == 1.0
    assert values["rmsea"] == 0.0
    assert values["tli"] > 1.0


def test_baseline_no_better_than_model():
    assert incremental_fit.cfi(50.0, 10, 40.0, 15) == 0.0
    assert math.isnan(incremental_fit.nfi(10.0, 5, 0.0, 10))
    assert math.isnan(incremental_fit.nfi(10.0, 12, 30.0, 10))
    assert math.isnan(incremental_fit.tli(10.0, 5, 10.0, 10))


def test_baseline_absent():
    values = collect(inputs(baseline_chisq=math.nan, baseline_df=math.nan))
    reasons = undefined(inputs(baseline_chisq=math.nan, baseline_df=math.nan), values)
    assert set(reasons) == {e.name for e in REGISTRY if e.needs == "baseline"} & set(values)
    assert set(reasons.values()) == {"fit_index.no_baseline"}


@pytest.mark.parametrize(
    "changes",
    [
        {"chisq": 0.0, "df": 0},
        {"chisq": math.nan, "df": -1, "baseline_chisq": math.nan, "baseline_df": math.nan},
        {"chisq": math.nan},
        {"baseline_chisq": 5.0},
    ],
)
def test_every_nan_has_a_sentence_in_both_languages(changes):
    given = inputs(**changes)
    values = collect(given)
    reasons = undefined(given, values)
    assert set(reasons) == {name for name, value in values.items() if math.isnan(value)}
    for reason in set(reasons.values()):
        assert wording.text(reason, lang="en") != wording.text(reason, lang="zh")


# --- Scaled and robust --------------------------------------------------------------------------


def scaled_inputs(c=1.0, cb=1.0):
    return inputs(
        scaled=ScaledTest(20.0 / c, 5, c),
        baseline_scaled=ScaledTest(300.0 / cb, 10, cb),
        scaling_factor_h0=1.1,
        scaling_factor_h1=1.2,
    )


def test_factors_of_one_change_nothing():
    values = collect(scaled_inputs())
    for name in ("cfi", "tli", "rmsea", "rmsea_ci_lower", "rmsea_ci_upper", "rmsea_pvalue"):
        assert values[f"{name}_scaled"] == pytest.approx(values[name])
        assert values[f"{name}_robust"] == pytest.approx(values[name])
    assert values["gfi_robust"] == pytest.approx(values["gfi"])


def test_robust_is_not_scaled():
    values = collect(scaled_inputs(1.3, 1.6))
    assert values["cfi_robust"] == pytest.approx(1 - (20 - 1.3 * 5) / (300 - 1.6 * 10))
    assert values["cfi_scaled"] == pytest.approx(1 - (20 / 1.3 - 5) / (300 / 1.6 - 10))
    assert values["rmsea_robust"] == pytest.approx(math.sqrt((20 - 6.5) / (200 * 5)))


def test_adjusted_degrees_of_freedom_have_no_robust_indices():
    values = collect(
        inputs(
            scaled=ScaledTest(18.0, 4.2, 1.1),
            baseline_scaled=ScaledTest(200.0, 8.1, 1.5),
            robust_indices=False,
        )
    )
    assert not [name for name in values if name.endswith("_robust")]
    assert "cfi_scaled" in values


def test_wishart_counts_one_case_less_per_group():
    two = inputs(n_obs=(100.0, 100.0), groups=(group(100, 0.1), group(100, 0.1)))
    wishart = inputs(
        n_obs=(100.0, 100.0), groups=(group(100, 0.1), group(100, 0.1)), likelihood="wishart"
    )
    assert (two.multiplier, wishart.multiplier) == (200.0, 198.0)
    assert collect(wishart)["rmsea"] == pytest.approx(collect(two)["rmsea"] * math.sqrt(200 / 198))
    assert collect(wishart)["bic"] == collect(two)["bic"]


# --- Registry -----------------------------------------------------------------------------------


def test_names_are_unique_and_ordered_as_collected():
    names = [entry.name for entry in REGISTRY]
    assert len(set(names)) == len(names)
    ordered = {entry.name for entry in REGISTRY if entry.family == "ordered"}
    assert list(collect(scaled_inputs())) == [name for name in names if name not in ordered]
    assert list(collect(replace(scaled_inputs(), wrmr=0.4))) == names


def test_families_decide_what_is_reported():
    plain = collect(inputs(logl=None, unrestricted_logl=None))
    assert not [n for n in plain if n.endswith(("_scaled", "_robust"))]
    assert not {"aic", "bic", "logl", "scaling_factor_h0"} & set(plain)


def test_scaled_entry_without_scaled_test_is_refused():
    entry = next(e for e in REGISTRY if e.name == "chisq_scaled")
    with pytest.raises(ValueError, match="scaled test statistic"):
        entry.compute(inputs())


def test_moments_are_read_only_copies():
    sample = np.eye(2)
    g = GroupMoments(10, sample, np.eye(2))
    sample[0, 0] = 5.0
    assert g.covariance[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        g.covariance[0, 0] = 2.0
