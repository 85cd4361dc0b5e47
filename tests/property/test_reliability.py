"""What must hold for reliability whatever the answers are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sqvalid as sq
from sqvalid.reliability.bounds import guttman_bounds, split_halves, ten_berge_bounds
from sqvalid.reliability.categorical import item_information, omega_categorical
from sqvalid.reliability.coefficients import (
    correlation_from_covariance,
    cronbach_alpha,
    omega_total,
)
from sqvalid.reliability.composites import stratified_alpha
from sqvalid.reliability.hierarchy import Decomposition, coefficient_h, composite_shares
from sqvalid.reliability.intervals import distribution_free_error
from sqvalid.reliability.raters import intraclass_correlation

SEEDS = st.integers(0, 10_000)
SIZES = st.integers(2, 9)


def answers(seed: int, k: int, n: int = 60) -> np.ndarray:
    """Items that share a factor by loadings anywhere, negative ones included."""
    rng = np.random.default_rng(seed)
    loadings = rng.uniform(-0.3, 0.9, size=k)
    return rng.normal(size=(n, 1)) * loadings + rng.normal(size=(n, k)) * rng.uniform(0.3, 2, k)


@settings(deadline=None, max_examples=60)
@given(SEEDS, SIZES)
def test_bounds_are_ordered(seed, k):
    c = np.cov(answers(seed, k), rowvar=False)
    found = guttman_bounds(c)
    slack = 1e-9 / c.sum() * np.trace(c)  # the sum of disagreeing items can be near zero
    assert found["lambda2"] >= found["lambda3"] - slack
    assert found["lambda1"] <= found["lambda3"] + slack or found["lambda1"] < 0
    series = ten_berge_bounds(c, 6)
    assert series[0] == pytest.approx(found["lambda3"])
    assert series[1] == pytest.approx(found["lambda2"])
    assert (np.diff(series) >= -slack).all()
    if k % 2 == 0:
        halves = split_halves(c)
        assert halves.smallest - slack <= cronbach_alpha(c) <= halves.largest + slack
        assert halves.mean == pytest.approx(cronbach_alpha(c), abs=max(slack, 1e-9))


@settings(deadline=None, max_examples=30)
@given(SEEDS, SIZES, st.floats(-50, 50), st.floats(0.01, 50))
def test_shifts_units_and_order_do_not_matter(seed, k, shift, unit):
    x = answers(seed, k)
    order = np.random.default_rng(seed).permutation(k)
    moved = (x * unit + shift)[:, order]
    before, after = (guttman_bounds(np.cov(v, rowvar=False)) for v in (x, moved))
    assert after == pytest.approx(before, rel=1e-7, abs=1e-9)
    assert distribution_free_error(moved) == pytest.approx(distribution_free_error(x), rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 0.95), st.integers(2, 12))
def test_equal_loadings_make_all_coefficients_one(loading, k):
    implied = np.full((k, k), loading**2) + (1 - loading**2) * np.eye(k)
    alpha = cronbach_alpha(implied)
    assert omega_total(np.full(k, loading), implied) == pytest.approx(alpha)
    assert coefficient_h(np.full(k, loading)) == pytest.approx(alpha)
    assert guttman_bounds(implied)["lambda2"] == pytest.approx(alpha)
    assert ten_berge_bounds(implied) == pytest.approx((alpha,) * 4)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.1, 0.9), min_size=3, max_size=8))
def test_alpha_is_never_above_omega_of_one_factor(loadings):
    values = np.array(loadings)
    implied = np.outer(values, values)
    np.fill_diagonal(implied, 1.0)
    alpha, omega = cronbach_alpha(implied), omega_total(values, implied)
    assert alpha <= omega + 1e-12 <= coefficient_h(values) + 2e-12
    assert guttman_bounds(implied)["lambda2"] <= omega + 1e-12


@settings(deadline=None, max_examples=8)
@given(SEEDS, st.integers(0, 3))
def test_reversing_an_item_and_its_key_changes_nothing(seed, which):
    x = np.clip(np.round(answers(seed, 4, 80) + 4), 1, 7)
    if (np.ptp(x, axis=0) == 0).any():
        return
    frame = pd.DataFrame(x, columns=list("abcd"))
    turned = frame.assign(**{"abcd"[which]: 8 - x[:, which]})
    dimensions = {"D": list("abcd")}
    before = sq.analyse_items(frame, dimensions, scale=(1, 7), information=False)
    after = sq.analyse_items(
        turned, dimensions, scale=(1, 7), reverse=["abcd"[which]], information=False
    )
    pd.testing.assert_frame_equal(before.items, after.items)
    pd.testing.assert_frame_equal(before.reliability.coefficients, after.reliability.coefficients)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_parts_of_a_decomposition_add_up(seed):
    rng = np.random.default_rng(seed)
    general = rng.uniform(0.1, 0.7, 8)
    group = np.zeros((8, 2))
    group[:4, 0], group[4:, 1] = rng.uniform(0.1, 0.6, 4), rng.uniform(0.1, 0.6, 4)
    residual = np.diag(1 - general**2 - (group**2).sum(axis=1))
    implied = np.outer(general, general) + group @ group.T + residual
    found = composite_shares(Decomposition(general, group, implied, residual, group > 0))
    assert found["omega_total"] == pytest.approx(found["omega_residual"])
    assert (found["omega_general"] <= found["omega_total"]).all()
    assert (found["omega_total"] < 1).all()


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_stratified_alpha_is_between_the_best_stratum_and_one(seed):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(80, 1))
    c = np.cov(factor + rng.normal(size=(80, 6)), rowvar=False)
    whole = stratified_alpha(c, [[0, 1, 2], [3, 4, 5]])
    parts = [cronbach_alpha(c[:3, :3]), cronbach_alpha(c[3:, 3:])]
    assert min(parts) < whole < 1


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(-20, 20), st.floats(0.1, 10))
def test_agreement_does_not_depend_on_origin_and_unit(seed, shift, unit):
    rng = np.random.default_rng(seed)
    ratings = rng.normal(size=(12, 1)) + rng.normal(size=(12, 3))
    one = intraclass_correlation(pd.DataFrame(ratings, columns=list("xyz")))
    two = intraclass_correlation(pd.DataFrame(ratings * unit + shift, columns=list("xyz")))
    columns = ["icc", "ci_lower", "ci_upper", "p"]
    assert two.coefficients[columns].to_numpy() == pytest.approx(
        one.coefficients[columns].to_numpy(), rel=1e-6, abs=1e-9
    )
    assert two.sdc_agreement == pytest.approx(unit * one.sdc_agreement, rel=1e-6)
    table = one.coefficients
    assert (table["ci_lower"] < table["icc"]).all()
    assert (table["icc"] < table["ci_upper"]).all()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0.2, 0.9), min_size=3, max_size=5), SEEDS)
def test_turning_ordered_answers_changes_nothing(loadings, seed):
    rng = np.random.default_rng(seed)
    values = np.array(loadings)
    cuts = [np.sort(rng.normal(size=3)) + np.array([0.0, 0.2, 0.4]) for _ in values]
    backwards = [-cut[::-1] for cut in cuts]
    assert omega_categorical(-values, backwards) == pytest.approx(
        omega_categorical(values, cuts), abs=1e-9
    )
    theta = np.linspace(-2, 2, 5)
    assert item_information(theta, values[0], cuts[0]) == pytest.approx(
        item_information(-theta, values[0], backwards[0])
    )
    r = correlation_from_covariance(np.outer(values, values) + np.diag(1 - values**2))
    assert 0 < omega_categorical(values, cuts, r) < 1
