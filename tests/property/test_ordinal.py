"""What must hold of statistics of ordered answers, whatever the answers.

A correlation is searched until a Newton step is below 1e-6, which leaves an error of about
its square: 1e-9 is asked of it, and 1e-7 of what is computed from it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr

from sqvalid.errors import SurveyError
from sqvalid.moments import Block, moments_from_frame
from sqvalid.moments.bivariate import (
    bivariate_cdf,
    bivariate_density,
    certain_probability,
    dependence,
    dependence_step,
)
from sqvalid.moments.ordinal import ordinal_moments

ITEMS = ["a", "b", "c", "d"]
SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)


def answers(seed: int, levels: list[int], n: int = 250, loading: float = 0.7) -> pd.DataFrame:
    """Ordered answers with one common factor, a numeric variable `y`, a covariate `x`, weights."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    factor = rng.standard_normal(n) + 0.5 * x
    columns = {}
    for name, k in zip(ITEMS, levels, strict=False):
        behind = loading * factor + np.sqrt(1 - loading**2) * rng.standard_normal(n)
        cuts = np.sort(rng.uniform(-1.3, 1.3, k - 1))
        columns[name] = np.searchsorted(cuts, behind) + 1.0
    columns["y"] = 2.0 + 1.5 * factor + rng.standard_normal(n)
    columns["x"] = 40 + 12 * x
    columns["w"] = rng.uniform(0.3, 2.0, n)
    return pd.DataFrame(columns)


def block(frame: pd.DataFrame, variables: list[str], **options) -> Block:
    """Statistics, or no example where the answers have none."""
    try:
        ordered = [name for name in variables if name in ITEMS]
        found = moments_from_frame(frame, variables, ordered=ordered, **options)
    except SurveyError:
        assume(False)
        raise
    return found.blocks[0]


WAYS = st.sampled_from([{}, {"weights": "w"}, {"conditional": ["x"]}])
LEVELS = st.lists(st.integers(2, 6), min_size=3, max_size=4)
SEED = st.integers(0, 10_000)


@SETTINGS
@given(SEED, LEVELS, WAYS)
def test_only_the_order_of_categories_counts(seed: int, levels: list[int], way: dict) -> None:
    frame = answers(seed, levels)
    names = ITEMS[: len(levels)]
    recoded = frame.assign(**{name: frame[name] ** 2 * 3 - 7 for name in names})
    before, after = block(frame, [*names, "y"], **way), block(recoded, [*names, "y"], **way)
    np.testing.assert_array_equal(before.covariance, after.covariance)
    np.testing.assert_array_equal(before.gamma, after.gamma)


@SETTINGS
@given(SEED, LEVELS, WAYS)
def test_turning_an_item_turns_its_signs(seed: int, levels: list[int], way: dict) -> None:
    frame = answers(seed, levels)
    names = [*ITEMS[: len(levels)], "y"]
    before = block(frame, names, **way)
    after = block(frame.assign(a=-frame["a"]), names, **way)
    p = len(names)
    sign = np.ones(p)
    sign[0] = -1.0
    np.testing.assert_allclose(
        after.covariance[:p, :p], before.covariance[:p, :p] * np.outer(sign, sign), atol=2e-9
    )
    own = before.owner == 0
    np.testing.assert_allclose(after.thresholds[own], -before.thresholds[own][::-1], atol=1e-9)
    np.testing.assert_allclose(
        np.sort(after.gamma_diagonal), np.sort(before.gamma_diagonal), rtol=1e-6
    )


@SETTINGS
@given(SEED, LEVELS, WAYS, st.randoms(use_true_random=False))
def test_the_order_of_variables_does_not_count(seed, levels, way, random) -> None:
    frame = answers(seed, levels)
    names = [*ITEMS[: len(levels)], "y"]
    moved = random.sample(names, len(names))
    before, after = block(frame, names, **way), block(frame, moved, **way)
    place = [names.index(name) for name in moved]
    p = len(names)
    np.testing.assert_allclose(
        after.covariance[:p, :p], before.covariance[np.ix_(place, place)], atol=2e-9
    )
    total = [np.sort(np.linalg.eigvalsh(one.gamma)) for one in (before, after)]
    np.testing.assert_allclose(*total, rtol=1e-6, atol=1e-6 * total[0][-1])


@SETTINGS
@given(SEED, LEVELS, WAYS)
def test_pairwise_is_listwise_where_nothing_is_missing(seed, levels, way) -> None:
    frame = answers(seed, levels)
    names = [*ITEMS[: len(levels)], "y"]
    one, other = block(frame, names, **way), block(frame, names, pairwise=True, **way)
    np.testing.assert_array_equal(one.covariance, other.covariance)
    np.testing.assert_array_equal(one.influence, other.influence)


@SETTINGS
@given(SEED, st.lists(st.integers(3, 6), min_size=3, max_size=4))
def test_a_weight_of_two_is_two_respondents(seed: int, levels: list[int]) -> None:
    # Not with two binary items: the half in an empty cell is half a respondent, not half a weight.
    frame = answers(seed, levels)
    names = [*ITEMS[: len(levels)], "y"]
    frame["w"] = np.where(np.arange(len(frame)) % 3 == 0, 2.0, 1.0)
    twice = frame.loc[frame.index.repeat(frame["w"].astype(int))].reset_index(drop=True)
    for more in ({}, {"conditional": ["x"]}):
        one, other = block(frame, names, weights="w", **more), block(twice, names, **more)
        p = len(names)
        np.testing.assert_allclose(one.covariance[:p, :p], other.covariance[:p, :p], atol=1e-9)
        np.testing.assert_allclose(one.thresholds, other.thresholds, atol=1e-9)


@SETTINGS
@given(SEED, LEVELS)
def test_a_covariate_in_other_units_changes_its_slopes_only(seed: int, levels: list[int]) -> None:
    frame = answers(seed, levels)
    names = [*ITEMS[: len(levels)], "y"]
    one = block(frame, names, conditional=["x"])
    other = block(frame.assign(x=1000 * frame["x"] + 5e4), names, conditional=["x"])
    p = len(names)
    np.testing.assert_allclose(other.covariance[:p, :p], one.covariance[:p, :p], atol=1e-9)
    np.testing.assert_allclose(other.slopes * 1000, one.slopes, rtol=1e-7, atol=1e-10)
    moved = (other.slopes[:, 0] * 5e4)[one.owner]
    np.testing.assert_allclose(other.thresholds - moved, one.thresholds, atol=1e-7)


@SETTINGS
@given(SEED, LEVELS, WAYS, st.randoms(use_true_random=False))
def test_some_of_the_statistics_are_those_of_some_variables(seed, levels, way, random) -> None:
    frame = answers(seed, levels)
    names = [*ITEMS[: len(levels)], "y"]
    some = random.sample(names, random.randint(2, len(names)))
    assume(set(some) & set(ITEMS))
    chosen = block(frame, names, **way).select([*some, *way.get("conditional", [])])
    direct = block(frame, some, **way)
    assert chosen.variables == direct.variables
    np.testing.assert_array_equal(chosen.owner, direct.owner)
    np.testing.assert_allclose(chosen.thresholds, direct.thresholds, atol=1e-12)
    np.testing.assert_allclose(chosen.covariance, direct.covariance, atol=2e-9)
    size = np.sqrt(np.outer(direct.gamma_diagonal, direct.gamma_diagonal))
    np.testing.assert_allclose(chosen.gamma / size, direct.gamma / size, atol=1e-6)
    if way.get("conditional"):
        np.testing.assert_allclose(chosen.slopes, direct.slopes, atol=1e-12)


@pytest.mark.parametrize("way", [{}, {"conditional": ["x"]}, {"pairwise": True}])
def test_influence_is_what_leaving_a_respondent_out_does(way: dict) -> None:
    """Cross-products of scores stand in for second derivatives: alike where the model holds."""
    frame = answers(5, [2, 4, 5], n=5000)
    if way.get("pairwise"):
        holes = np.random.default_rng(1).random((len(frame), 4)) < 0.1
        frame[[*ITEMS[:3], "y"]] = frame[[*ITEMS[:3], "y"]].mask(holes)
    names = [*ITEMS[:3], "y"]

    def statistics(rows: pd.DataFrame) -> np.ndarray:
        found = block(rows, names, **way)
        p = len(names)
        lower = found.covariance[:p, :p].T[np.triu_indices(p, 1)]
        slopes = [] if found.slopes is None else found.slopes.ravel(order="F")
        variances = [found.covariance[3, 3]]
        return np.concatenate([found.thresholds, slopes, variances, lower])

    whole = block(frame, names, **way)
    everyone = statistics(frame)
    chosen = np.random.default_rng(0).choice(len(frame), 60, replace=False)
    changes = np.array([everyone - statistics(frame.drop(index=frame.index[i])) for i in chosen])
    influence = whole.influence[chosen]
    assert influence.shape == changes.shape
    for j in range(changes.shape[1]):
        assert np.corrcoef(influence[:, j], changes[:, j])[0, 1] > 0.995
        slope = influence[:, j] @ changes[:, j] / (changes[:, j] @ changes[:, j])
        assert slope == pytest.approx(1.0, abs=0.08)


@settings(max_examples=60, deadline=None)
@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(-0.999, 0.999), st.floats(-0.999, 0.999))
def test_the_bivariate_distribution_is_its_integral(h, k, rho, old) -> None:
    def inner(x: float) -> float:
        return float(np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
                     * ndtr((k - rho * x) / np.sqrt(1 - rho**2)))  # fmt: skip

    centre = np.clip(k / rho, -9.0, h) if abs(rho) > 0.1 else min(0.0, h)
    value, _ = quad(inner, -9.0, h, epsabs=1e-13, limit=400, points=[float(centre)])
    one, two, r = np.array([[h]]), np.array([[k]]), np.array([rho])
    apart = ndtr(h) * ndtr(k)
    assert bivariate_cdf(one, two, r[:, None])[0, 0] == pytest.approx(value, abs=1e-11)
    assert dependence(one, two, r)[0, 0] + apart == pytest.approx(value, abs=1e-11)
    known = dependence(one, two, np.array([old]))
    moved = dependence_step(one, two, np.array([old]), r, known)
    assert moved[0, 0] + apart == pytest.approx(value, abs=1e-11)


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.95, 0.95))
def test_the_density_is_the_derivative_by_the_correlation(h, k, rho) -> None:
    one, two = np.array([[h]]), np.array([[k]])
    width = 1e-5
    ahead, behind = (bivariate_cdf(one, two, np.array([[rho + s * width]])) for s in (1, -1))
    slope = float((ahead - behind)[0, 0]) / (2 * width)
    assert bivariate_density(one, two, np.array([[rho]]))[0, 0] == pytest.approx(slope, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=4, max_size=4, unique=True),
    st.lists(st.sampled_from([-0.25, 0.25]), min_size=4, max_size=4),
    st.sampled_from([-1, 1]),
)
def test_a_certain_cell_is_the_limit_of_cells(places, steps, sign) -> None:
    limits = np.multiply(places, steps)
    low, high = (np.array([v]) for v in np.sort(limits[:2]))
    other_low, other_high = (np.array([v]) for v in np.sort(limits[2:]))
    rho = np.array([sign * (1 - 1e-9)])

    def cdf(h: np.ndarray, k: np.ndarray) -> float:
        return float(bivariate_cdf(h, k, rho)[0])

    cell = cdf(high, other_high) - cdf(low, other_high) - cdf(high, other_low) + cdf(low, other_low)
    found = certain_probability(low, high, other_low, other_high, np.array([sign]))
    assert found[0] == pytest.approx(cell, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(SEED, st.integers(2, 5), st.integers(2, 5), st.sampled_from([0.3, 0.7, 0.95, 0.99]))
def test_a_polychoric_correlation_is_the_root_of_its_score(seed, k, m, loading) -> None:
    """Against a search of the likelihood with Owen's function in place of the quadrature."""
    frame = answers(seed, [k, m], loading=loading)
    values = frame[["a", "b"]].to_numpy()
    levels = [np.unique(values[:, j]) for j in range(2)]
    assume(min(map(len, levels)) > 1)
    found = ordinal_moments(values, levels, zero_cells=False)
    assume(not found.certain.any())
    table = pd.crosstab(frame["a"], frame["b"]).to_numpy(dtype=float)
    cuts = [
        np.concatenate([[-40.0], found.thresholds[found.owner == j], [40.0]])[:, None]
        for j in range(2)
    ]
    h, t = np.broadcast_arrays(cuts[0], cuts[1].T)

    def score(rho: float) -> float:
        r = np.full(h.shape, rho)
        cells = np.diff(np.diff(bivariate_cdf(h, t, r), axis=0), axis=1)
        slopes = np.diff(np.diff(bivariate_density(h, t, r), axis=0), axis=1)
        return float((table[table > 0] * slopes[table > 0] / cells[table > 0]).sum())

    rho = found.covariance[0, 1]
    width = 2e-3 * (1 - rho**2)
    assert brentq(score, rho - width, rho + width, xtol=1e-13) == pytest.approx(rho, abs=1e-9)


@given(st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_tetrachoric_at_medians_is_a_sine(same: int, apart: int) -> None:
    """Thresholds at zero: rho = sin(pi (p - 1/2) ...), Sheppard's theorem."""
    one = np.repeat([1.0, 1.0, 2.0, 2.0], [same, apart, apart, same])
    two = np.repeat([1.0, 2.0, 1.0, 2.0], [same, apart, apart, same])
    values = np.column_stack([one, two])
    found = ordinal_moments(values, [np.array([1.0, 2.0])] * 2).covariance[0, 1]
    share = same / (2.0 * (same + apart))
    # Close to +-1 two of the four cells are nearly empty differences of probabilities
    # near a half: their rounding, not the search, limits the root to some 1e-10.
    assert found == pytest.approx(np.sin(2 * np.pi * (share - 0.25)), abs=1e-9)
