"""What must not change in a comparison of models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sqvalid as sq

TWO = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
METHODS = (
    {"method": "standard"},
    {"method": "satorra.bentler.2001"},
    {"method": "satorra.bentler.2010"},
    {"method": "satorra.2000"},
    {"method": "satorra.2000", "a_method": "exact"},
)


def make_data(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    factors = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], size=250)
    values = factors[:, [0, 0, 0, 1, 1, 1]] * [0.8, 0.7, 0.9, 0.8, 0.7, 0.7]
    values = values + rng.standard_t(8, size=(250, 6)) * 0.6
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(1, 7)])


def statistics(data, *, swapped: bool = False) -> list[float]:
    fits = [sq.cfa(TWO, data, estimator="MLR", orthogonal=o) for o in (False, True)]
    if swapped:
        fits.reverse()
    return [sq.compare_models(*fits, **m).differences[0].chisq_diff for m in METHODS]


def test_units_and_columns_do_not_matter():
    scales, order = [0.1, 3.0, 10.0, 1.0, 0.5, 2.5], [5, 2, 0, 1, 4, 3]
    for seed in range(4):
        data = make_data(seed)
        expected = statistics(data)
        changed = (data * scales).iloc[:, order]
        found = statistics(changed, swapped=True)
        # The delta version of Satorra's test projects in the units of the variables.
        delta = METHODS.index({"method": "satorra.2000"})
        np.testing.assert_allclose(
            np.delete(found, delta), np.delete(expected, delta), rtol=1e-6, atol=1e-6
        )
        together = statistics(data * 7.0)
        np.testing.assert_allclose(together, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_a_difference_is_never_negative_and_adds_up(seed):
    data = make_data(seed)
    free = sq.cfa(TWO, data)
    middle = sq.cfa("f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6", data)
    last = sq.cfa("f =~ x1 + a*x2 + a*x3\ng =~ x4 + b*x5 + b*x6", data)
    steps = sq.compare_models(free, middle, last).differences
    whole = sq.compare_models(free, last).differences[0]
    assert all(step.chisq_diff >= 0 for step in steps)
    assert sum(step.chisq_diff for step in steps) == pytest.approx(whole.chisq_diff, abs=1e-8)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_wald_score_and_likelihood_ratio_agree_near_the_truth(seed):
    rng = np.random.default_rng(seed)
    n = 20000
    factor = rng.standard_normal((n, 1))
    values = factor * [0.8, 0.7, 0.7, 0.8] + rng.standard_normal((n, 4)) * 0.6
    data = pd.DataFrame(values, columns=["y1", "y2", "y3", "y4"])
    model = "f =~ y1 + a*y2 + b*y3 + y4"
    free, equal = sq.cfa(model, data), sq.cfa(f"{model}\na == b", data)
    ratio = sq.compare_models(free, equal).differences[0].chisq_diff
    assert sq.wald_test(free, "a == b").stat == pytest.approx(ratio, rel=0.05, abs=1e-3)
    assert sq.score_test(equal).stat == pytest.approx(ratio, rel=0.05, abs=1e-3)
