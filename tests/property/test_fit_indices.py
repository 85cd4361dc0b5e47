"""What holds for every admissible input of a fit index."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sqvalid.latent import absolute_fit, incremental_fit, residual_averages
from sqvalid.latent.residual_averages import GroupMoments

stat = st.floats(0.0, 1e4)
df = st.integers(1, 500)
multiplier = st.integers(20, 100_000)


@given(stat, df, stat, df)
def test_cfi_lies_between_zero_and_one(t, d, tb, db):
    assert 0.0 <= incremental_fit.cfi(t, d, tb, db) <= 1.0


@given(stat, stat, df, df)
def test_worse_statistic_never_improves_cfi(t, extra, d, db):
    baseline = 5e4 + db
    better = incremental_fit.cfi(t, d, baseline, db)
    assert incremental_fit.cfi(t + extra, d, baseline, db) <= better + 1e-12


@given(stat, df, multiplier)
@settings(deadline=None)
def test_rmsea_lies_in_its_interval(t, d, n):
    # The 90 % interval contains the estimate unless the statistic is below its expectation.
    low, high = absolute_fit.rmsea_interval(t, d, n)
    point = absolute_fit.rmsea(t, d, n)
    assert 0.0 <= low <= high
    assert low <= point + 1e-9
    if t <= d:
        assert point == 0.0


@given(stat, df, multiplier, st.floats(0.01, 0.2))
@settings(deadline=None)
def test_close_and_not_close_are_complements(t, d, n, h0):
    close = absolute_fit.rmsea_close_pvalue(t, d, n, h0=h0)
    notclose = absolute_fit.rmsea_notclose_pvalue(t, d, n, h0=h0)
    assert math.isclose(close + notclose, 1.0, abs_tol=1e-9)


@given(stat, df, multiplier, st.integers(1, 100))
@settings(deadline=None)
def test_gfi_interval_brackets(t, d, n, p):
    low, high = absolute_fit.gfi_interval(t, d, n, p)
    assert 0.0 < low <= high <= 1.0
    assert absolute_fit.gfi(t, d, n, p) <= high + 1e-9


@st.composite
def moments(draw):
    p = draw(st.integers(2, 6))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, p, p + 3))
    return GroupMoments(100, a @ a.T, b @ b.T, rng.normal(size=p), rng.normal(size=p))


@given(moments(), st.integers(0, 1000))
def test_standardised_averages_ignore_units(group, seed):
    scale = np.exp(np.random.default_rng(seed).normal(size=group.n_variables))
    square = np.outer(scale, scale)
    other = GroupMoments(
        100,
        group.covariance * square,
        group.implied_covariance * square,
        group.means * scale,
        group.implied_means * scale,
    )
    for index in (
        residual_averages.srmr_bentler,
        residual_averages.crmr,
        residual_averages.srmr_mplus,
        residual_averages.gfi_lisrel,
    ):
        assert math.isclose(index((group,)), index((other,)), rel_tol=1e-7)


@given(moments())
def test_perfect_fit_is_perfect(group):
    same = GroupMoments(100, group.covariance, group.covariance, group.means, group.means)
    assert residual_averages.rmr((same,)) == 0.0
    assert residual_averages.srmr_mplus((same,)) < 1e-12
    assert math.isclose(residual_averages.gfi_lisrel((same,)), 1.0)
    assert abs(residual_averages.reweighted_least_squares((same,), [100])) < 1e-8
