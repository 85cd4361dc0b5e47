"""Bounds, omegas and intervals: published values, brute force, and what must always hold."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

import sqvalid as sq
from sqvalid import wording
from sqvalid.errors import InputError, OptionError, UnsupportedError
from sqvalid.reliability import COEFFICIENTS
from sqvalid.reliability.bounds import (
    guttman_bounds,
    odd_even_reliability,
    spearman_brown,
    split_halves,
    ten_berge_bounds,
)
from sqvalid.reliability.categorical import (
    graded_parameters,
    item_information,
    omega_categorical,
    ordinal_scores_covariance,
)
from sqvalid.reliability.coefficients import cronbach_alpha, feldt_interval, omega_total
from sqvalid.reliability.hierarchy import (
    Decomposition,
    coefficient_h,
    common_variance_shares,
    composite_shares,
    percent_uncontaminated,
    schmid_leiman,
    second_order_omegas,
)
from sqvalid.reliability.intervals import (
    alpha_influence,
    asymptotic_interval,
    bonett_error,
    bootstrap_alpha,
    bootstrap_alpha_interval,
    dependent_test,
    distribution_free_error,
    independent_test,
    log_interval,
    several_dependent_test,
    several_independent_test,
)


def one_factor(loadings, n=400, seed=3):
    rng = np.random.default_rng(seed)
    loadings = np.asarray(loadings)
    factor = rng.normal(size=(n, 1))
    return factor * loadings + rng.normal(size=(n, len(loadings))) * np.sqrt(1 - loadings**2)


# --- bounds ------------------------------------------------------------------------------


def test_splits_of_four_items_by_hand():
    c = np.array([[2.0, 0.9, 0.4, 0.3], [0.9, 1.5, 0.2, 0.5], [0.4, 0.2, 1.0, 0.6],
                  [0.3, 0.5, 0.6, 1.2]])  # fmt: skip
    splits = [({0, 1}, {2, 3}), ({0, 2}, {1, 3}), ({0, 3}, {1, 2})]
    by_hand = [4 * sum(c[i, j] for i in a for j in b) / c.sum() for a, b in splits]
    found = split_halves(c)
    assert (found.largest, found.smallest) == pytest.approx((max(by_hand), min(by_hand)))
    assert found.mean == pytest.approx(cronbach_alpha(c))
    assert set(found.best) == splits[int(np.argmax(by_hand))][0]
    assert odd_even_reliability(c)[2] == pytest.approx(by_hand[1])


def test_all_splits_of_seven_items_by_brute_force():
    c = np.cov(one_factor([0.3, 0.5, 0.6, 0.7, 0.7, 0.8, 0.4]), rowvar=False)
    values = []
    for half in combinations(range(7), 3):
        rest = [i for i in range(7) if i not in half]
        values.append(4 * c[np.ix_(half, rest)].sum() / c.sum())
    found = split_halves(c)
    assert found.n_splits == len(values) == 35
    assert (found.largest, found.smallest, found.mean) == pytest.approx(
        (max(values), min(values), np.mean(values))
    )


def test_random_splits_lie_among_all_and_do_not_change():
    c = np.cov(one_factor(np.linspace(0.3, 0.8, 20)), rowvar=False)
    found = split_halves(c, n_random=3000)
    assert found == split_halves(c, n_random=3000)
    assert not found.exhaustive
    assert found.n_splits == 3000
    assert found.smallest < found.mean < found.largest < 1.0
    assert found.mean == pytest.approx(cronbach_alpha(c), abs=2e-3)


def test_stepping_up_and_down_are_inverse():
    assert spearman_brown(0.6) == pytest.approx(0.75)
    assert spearman_brown(spearman_brown(0.37, 5.0), 0.2) == pytest.approx(0.37)
    assert np.isnan(spearman_brown(-1.0))


def test_one_item_has_no_bounds():
    c = np.array([[1.0]])
    assert all(np.isnan(v) for v in guttman_bounds(c).values())
    assert np.isnan(ten_berge_bounds(c)).all()
    assert np.isnan(split_halves(c).mean)


def test_sixth_bound_is_the_sum_of_regression_residuals():
    x = one_factor([0.5, 0.6, 0.7, 0.8]) * [1.0, 2.0, 0.5, 3.0]
    residuals = []
    for i in range(4):
        design = np.column_stack([np.ones(len(x)), np.delete(x, i, axis=1)])
        fitted = design @ np.linalg.lstsq(design, x[:, i], rcond=None)[0]
        residuals.append(((x[:, i] - fitted) ** 2).sum() / (len(x) - 1))
    c = np.cov(x, rowvar=False)
    assert guttman_bounds(c)["lambda6"] == pytest.approx(1 - sum(residuals) / c.sum())


# --- intervals and tests -----------------------------------------------------------------


def test_bonett_interval_as_published():
    # statpsych (Bonett): ci.cronbach(.05, .85, 7, 89) and ci.reliability(.05, .88, .0147, 100).
    assert bonett_error(0.85, 89, 7) == pytest.approx(0.02456518, abs=5e-9)
    assert log_interval(0.88, 0.0147, 100) == pytest.approx((0.8489612, 0.9065575), abs=5e-8)
    assert np.isnan(log_interval(1.0, 0.01, 100)).all()
    assert np.isnan(bonett_error(0.8, 100, 1))


def test_influence_is_the_slope_of_alpha():
    x = one_factor([0.5, 0.6, 0.7], n=60)
    influence = alpha_influence(x)
    assert influence.mean() == pytest.approx(0.0, abs=1e-12)

    def alpha(weights):
        return cronbach_alpha(np.cov(x, rowvar=False, aweights=weights, ddof=0))

    for i in (0, 17, 59):
        step = 1e-5
        more, less = np.ones(60), np.ones(60)
        more[i] += step * 60
        less[i] -= step * 60
        assert (alpha(more) - alpha(less)) / (2 * step) == pytest.approx(influence[i], rel=1e-4)


def test_bootstrap_draws_are_alphas_of_resamples():
    from sqvalid.resampling import row_numbers

    x = one_factor([0.5, 0.6, 0.7, 0.4], n=80) + 100.0
    draws = bootstrap_alpha(x, 5, seed=11)
    for r in range(5):
        chosen = x[row_numbers(11, r, 80, 80)]
        assert draws[r] == pytest.approx(cronbach_alpha(np.cov(chosen, rowvar=False)))
    intervals = bootstrap_alpha_interval(x, n_draws=600, seed=11)
    estimate = cronbach_alpha(np.cov(x, rowvar=False))
    for low, high in intervals.values():
        assert low < estimate < high


def test_acceleration_is_the_one_of_leaving_out_each():
    from sqvalid.resampling import bca_interval, jackknife_acceleration

    x = one_factor([0.5, 0.6, 0.7], n=40)
    left = np.array([cronbach_alpha(np.cov(np.delete(x, i, axis=0), rowvar=False))
                     for i in range(40)])[:, None]  # fmt: skip
    a = jackknife_acceleration(left, np.zeros(40, dtype=int))
    draws = bootstrap_alpha(x, 400, seed=2)[:, None]
    estimate = np.array([cronbach_alpha(np.cov(x, rowvar=False))])
    low, high = bca_interval(draws, estimate, 0.95, a)
    found = bootstrap_alpha_interval(x, n_draws=400, seed=2)["bca"]
    assert found == pytest.approx((low[0], high[0]), abs=1e-10)


# Feldt, Woodruff & Salih (1987), Applied Psychological Measurement 11, 93-103.
FOUR_SCALES = np.array(
    [[1, 0.8, 0.6, 0.75], [0.8, 1, 0.65, 0.7], [0.6, 0.65, 1, 0.55], [0.75, 0.7, 0.55, 1]]
)


def test_alphas_of_groups_as_published():
    several = several_independent_test(
        np.array([0.784, 0.875, 0.936]), np.array([51, 101, 151]), np.array([5, 5, 5])
    )
    assert round(several.statistic, 3) == 22.926
    assert several.df == (2.0,)
    # Charter & Feldt (1996).
    two = independent_test(np.array([0.78, 0.71]), np.array([41, 151]))
    assert round(two.statistic, 3) == 1.318
    assert two.df == (40.0, 150.0)
    assert two.p == pytest.approx(0.242, abs=2e-3)
    # The order of the groups does not matter.
    assert independent_test(np.array([0.71, 0.78]), np.array([151, 41])) == two


def test_alphas_of_the_same_respondents_as_published():
    several = several_dependent_test(
        np.array([0.857, 0.875, 0.800, 0.833]), 100, np.array([50, 40, 35, 25]), FOUR_SCALES
    )
    assert round(several.statistic, 2) == 10.66
    assert round(several.p, 3) == 0.014
    # Charter & Feldt (1996).
    two = dependent_test(np.array([0.82, 0.89]), 27, 0.74)
    assert round(abs(two.statistic), 3) == 1.849
    assert two.df == (25.0,)


@pytest.mark.parametrize(
    ("alphas", "items", "n", "wanted"),
    [
        ([0.6, 0.7], [50, 100], [150, 200], 3.4535),
        ([0.9, 0.7, 0.8], [15, 15, 12], [100, 150, 130], 31.3795),
        ([0.7, 0.75, 0.7], [10, 10, 10], [100, 120, 130], 1.0553),
        ([0.7, 0.8, 0.75, 0.77], [15, 15, 20, 20], [100, 100, 200, 200], 4.9738),
    ],
)
def test_alphas_of_groups_as_in_alphatest(alphas, items, n, wanted):
    # Lautenschlager & Meade (2008), AlphaTest.
    found = several_independent_test(np.array(alphas), np.array(n), np.array(items))
    assert round(found.statistic, 4) == wanted


def test_two_dependent_alphas_as_in_alphatest():
    found = several_dependent_test(
        np.array([0.6, 0.5]), 90, np.array([35, 30]), np.array([[1, 0.8], [0.8, 1]])
    )
    assert round(found.statistic, 4) == 2.8699
    assert round(found.p, 4) == 0.0903


# --- hierarchy ---------------------------------------------------------------------------


def _bifactor():
    general = np.array([0.6, 0.5, 0.7, 0.6, 0.5, 0.6])
    group = np.zeros((6, 2))
    group[:3, 0], group[3:, 1] = [0.4, 0.3, 0.5], [0.2, 0.6, 0.3]
    residual = np.diag(1 - general**2 - (group**2).sum(axis=1))
    implied = np.outer(general, general) + group @ group.T + residual
    return Decomposition(general, group, implied, residual, group != 0.0)


def test_bifactor_shares_by_hand():
    parts = _bifactor()
    found = composite_shares(parts)
    total = parts.covariance.sum()
    assert found["omega_general"][0] == pytest.approx(3.5**2 / total)
    assert found["omega_group"][0] == pytest.approx((1.2**2 + 1.1**2) / total)
    sub = parts.covariance[:3, :3].sum()
    assert found["omega_general"][1] == pytest.approx(1.8**2 / sub)
    assert found["omega_group"][1] == pytest.approx(1.2**2 / sub)
    assert found["omega_total"] == pytest.approx(found["omega_residual"])
    ecv, by_group, by_item = common_variance_shares(parts.general, parts.group)
    assert ecv == pytest.approx(2.07 / (2.07 + 0.5 + 0.49))
    assert by_group == pytest.approx(np.array([0.5, 0.49]) / 3.06)
    assert by_item[0] == pytest.approx(0.36 / 0.52)
    # 15 pairs, of which 2 x 3 share a group factor.
    assert percent_uncontaminated(parts.membership) == pytest.approx(9 / 15)


def test_published_puc():
    # Reise, Scheines, Widaman & Haviland (2013): 9 items in 3 groups .75, 18 in 3 groups .71.
    nine = np.kron(np.eye(3, dtype=bool), np.ones((3, 1), dtype=bool))
    eighteen = np.kron(np.eye(3, dtype=bool), np.ones((6, 1), dtype=bool))
    assert percent_uncontaminated(nine) == pytest.approx(27 / 36)
    assert round(percent_uncontaminated(eighteen), 2) == 0.71


def test_schmid_leiman_reproduces_the_oblique_solution():
    g = np.array([0.8, 0.7, 0.6])
    phi = np.outer(g, g)
    np.fill_diagonal(phi, 1.0)
    pattern = np.kron(np.eye(3), np.array([[0.7], [0.6], [0.8]]))
    general, group, second = schmid_leiman(pattern, phi)
    assert second == pytest.approx(g, abs=1e-6)
    assert np.outer(general, general) + group @ group.T == pytest.approx(
        pattern @ phi @ pattern.T, abs=1e-6
    )
    with pytest.raises(UnsupportedError, match="not determined"):
        schmid_leiman(pattern[:, :2], phi[:2, :2])


def test_h_of_equal_loadings_is_spearman_brown():
    assert coefficient_h(np.full(5, 0.6)) == pytest.approx(spearman_brown(0.36, 5.0))
    assert coefficient_h(np.array([0.5, 1.0])) == 1.0
    assert np.isnan(coefficient_h(np.array([0.5, 1.1])))
    # The optimally weighted sum is at least as reliable as the unweighted one.
    loadings = np.array([0.3, 0.6, 0.9])
    implied = np.outer(loadings, loadings)
    np.fill_diagonal(implied, 1.0)
    assert coefficient_h(loadings) > omega_total(loadings, implied)


def test_second_order_shares_by_hand():
    loadings = np.kron(np.eye(2), np.array([[1.0], [0.5]]))
    found = second_order_omegas(
        loadings, np.array([1.0, 2.0]), 0.5, np.diag([0.3, 0.4]), 0.25 * np.eye(4)
    )
    explained = (1.5 * 1 + 1.5 * 2) ** 2 * 0.5
    disturbed, error = 1.5**2 * 0.7, 1.0
    assert found["total_score"] == pytest.approx(explained / (explained + disturbed + error))
    assert found["partial"] == pytest.approx(explained / (explained + error))
    assert found["factors"] == pytest.approx(4.5 / (4.5 + 0.7))


# --- ordered answers ---------------------------------------------------------------------


def test_implied_score_moments_against_direct_integration():
    thresholds = [np.array([-1.0, 0.2]), np.array([-0.4, 0.5, 1.3])]
    rho = 0.55
    r = np.array([[1.0, rho], [rho, 1.0]])
    edges = [np.concatenate([[-8.0], t, [8.0]]) for t in thresholds]
    cell = multivariate_normal([0, 0], r)
    p = np.zeros((3, 4))
    for i in range(3):
        for j in range(4):
            p[i, j] = (cell.cdf([edges[0][i + 1], edges[1][j + 1]])
                       - cell.cdf([edges[0][i], edges[1][j + 1]])
                       - cell.cdf([edges[0][i + 1], edges[1][j]])
                       + cell.cdf([edges[0][i], edges[1][j]]))  # fmt: skip
    a, b = np.array([1.0, 2.0, 5.0]), np.arange(4.0)
    mean_a, mean_b = p.sum(axis=1) @ a, p.sum(axis=0) @ b
    wanted = [p.sum(axis=1) @ (a - mean_a) ** 2, p.sum(axis=0) @ (b - mean_b) ** 2,
              (a - mean_a) @ p @ (b - mean_b)]  # fmt: skip
    found = ordinal_scores_covariance(r, thresholds, [a, b])
    assert [found[0, 0], found[1, 1], found[0, 1]] == pytest.approx(wanted, abs=1e-6)


def test_many_categories_come_close_to_the_omega_of_the_responses():
    loadings = np.array([0.6, 0.7, 0.8])
    implied = np.outer(loadings, loadings)
    np.fill_diagonal(implied, 1.0)
    fine = [np.linspace(-3.5, 3.5, 60)] * 3
    coarse = [np.array([0.0])] * 3
    wanted = omega_total(loadings, implied)
    assert omega_categorical(loadings, fine) == pytest.approx(wanted, abs=2e-3)
    assert omega_categorical(loadings, coarse) < wanted - 0.05


def test_graded_parameters_of_a_binary_item():
    slope, place = graded_parameters(0.6, np.array([0.3]), scale=1.0)
    assert slope == pytest.approx(0.75)
    assert place == pytest.approx([0.5])
    assert graded_parameters(0.6, np.array([0.3]))[0] == pytest.approx(0.75 * 1.702)
    assert np.isnan(graded_parameters(0.0, np.array([0.3]))[1]).all()


def test_information_of_a_binary_item_is_p_times_q():
    theta = np.linspace(-3, 3, 7)
    slope, place = graded_parameters(0.6, np.array([0.3]))
    p = 1 / (1 + np.exp(-slope * (theta - place[0])))
    assert item_information(theta, 0.6, np.array([0.3])) == pytest.approx(slope**2 * p * (1 - p))
    slope, place = graded_parameters(0.6, np.array([0.3]), scale=1.0)
    z = slope * (theta - place[0])
    wanted = (slope * norm.pdf(z)) ** 2 / (norm.cdf(z) * norm.sf(z))
    assert item_information(theta, 0.6, np.array([0.3]), model="normal") == pytest.approx(wanted)


def test_information_is_the_expected_square_of_the_score():
    theta, cuts, step = 0.4, np.array([-0.8, 0.1, 0.9]), 1e-5

    def probabilities(value):
        slope, place = graded_parameters(0.7, cuts)
        above = 1 / (1 + np.exp(-slope * (value - place)))
        return -np.diff(np.concatenate([[1.0], above, [0.0]]))

    change = (probabilities(theta + step) - probabilities(theta - step)) / (2 * step)
    wanted = (change**2 / probabilities(theta)).sum()
    assert item_information(np.array([theta]), 0.7, cuts)[0] == pytest.approx(wanted, rel=1e-8)


# --- in assess_reliability ---------------------------------------------------------------


@pytest.mark.parametrize("lang", wording.languages())
def test_every_coefficient_has_words_formula_and_source(lang):
    for name, row in COEFFICIENTS.items():
        assert wording.text(f"coefficient.{name}", lang)
        assert row.formula
        assert row.source
        assert row.metric in {"observed", "standardized", "latent_responses"}


def test_answers_and_fits_say_which_coefficient_it_is():
    answers = np.round(one_factor([0.6, 0.7, 0.8, 0.5]) * 1.2 + 4).clip(1, 7)
    frame = pd.DataFrame(answers, columns=list("abcd"))
    found = sq.assess_reliability(frame, {"A": list("abcd")}, ordinal=True, n_bootstrap=50)
    table = found.coefficients
    assert set(table["coefficient"]) == set(COEFFICIENTS) - {
        "omega_total", "omega_total_implied", "composite_reliability", "ave"
    }  # fmt: skip
    assert (table["estimate"].between(0.0, 1.0)).all()
    assert set(table.loc[table["coefficient"] == "alpha", "interval"]) == {
        "feldt", "bonett", "asymptotic_normal", "asymptotic_distribution_free",
        "bootstrap_percentile", "bootstrap_bca",
    }  # fmt: skip
    assert "Green & Yang" in str(found.to_dict())
    assert "lambda4" in found._repr_html_()
    fit = sq.cfa("A =~ a + b + c + d", frame)
    of_fit = sq.assess_reliability(fit).coefficients
    assert {"omega_total", "coefficient_h", "ave"} <= set(of_fit["coefficient"])
    assert "omega_one_factor" not in set(of_fit["coefficient"])
    with pytest.raises(UnsupportedError, match="need answers"):
        sq.assess_reliability(fit, ordinal=True)


def test_options_that_cannot_be():
    frame = pd.DataFrame(one_factor([0.6, 0.7, 0.8]), columns=list("abc"))
    with pytest.raises(OptionError, match="negative"):
        sq.assess_reliability(frame, {"A": list("abc")}, n_bootstrap=-1)
    told = sq.assess_reliability(frame, {"A": list("abc")}, ordinal=True).diagnostics
    assert "ordinal_too_many" in {d.code for d in told}


def test_ways_with_missing_answers():
    frame = pd.DataFrame(one_factor([0.6, 0.7, 0.8]), columns=list("abc"))
    dimensions = {"A": list("abc")}
    whole = sq.assess_reliability(frame, dimensions).scales
    for missing in ("em", "pairwise"):
        pd.testing.assert_frame_equal(
            whole, sq.assess_reliability(frame, dimensions, missing=missing).scales
        )
    gappy = frame.copy()
    gappy.iloc[::7, 0] = np.nan
    gappy.iloc[3::11, 2] = np.nan
    gappy.iloc[5] = np.nan
    pairwise = sq.assess_reliability(gappy, dimensions, missing="pairwise")
    both = gappy.notna().astype(int)
    assert pairwise.scales["n_obs"].item() == (both.T @ both).to_numpy().min()
    told = next(d for d in pairwise.diagnostics if d.code == "reliability_incomplete")
    assert told.values["n_used"] == 399
    assert "asymptotic_distribution_free" not in set(pairwise.coefficients["interval"])
    em = sq.assess_reliability(gappy, dimensions, missing="em").scales["alpha_raw"].item()
    assert em == pytest.approx(whole["alpha_raw"].item(), abs=0.03)
    with pytest.raises(OptionError, match="missing='fiml'"):
        sq.assess_reliability(gappy, dimensions, missing="fiml")
    with pytest.raises(UnsupportedError, match="complete answers"):
        sq.assess_reliability(gappy, dimensions, missing="em", ordinal=True)
    with pytest.raises(OptionError, match="a fit is given"):
        sq.assess_reliability(sq.cfa("A =~ a + b + c", frame), missing="em")
    apart = pd.DataFrame({"a": [1.0, 2, 3, np.nan, np.nan], "b": [np.nan, np.nan, 1, 2.0, 3]})
    with pytest.raises(InputError, match="both answered by 1"):
        sq.assess_reliability(apart, {"A": ["a", "b"]}, missing="em")


def test_items_that_cancel_or_repeat_each_other():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 6, 50).astype(float)
    opposite = sq.assess_reliability(pd.DataFrame({"a": x, "b": 6 - x}), {"D": ["a", "b"]})
    assert np.isnan(opposite.scales["alpha_raw"].item())
    assert opposite.items[["item_total_r", "alpha_if_deleted"]].isna().all(axis=None)
    assert not len(opposite.coefficients)
    assert "sum_does_not_vary" in {d.code for d in opposite.diagnostics}
    frame = pd.DataFrame({"a": x, "b": 6 - x, "c": rng.integers(1, 6, 50), "d": x})
    for items in (["a", "b", "c"], ["a", "d", "c"]):
        found = sq.assess_reliability(frame, {"D": items})
        table = found.coefficients.set_index("coefficient")
        assert np.isnan(table.loc["lambda6", "estimate"])
        assert "omega_one_factor" not in table.index
        assert "items_determine_each_other" in {d.code for d in found.diagnostics}
        assert np.isnan(sq.analyse_items(frame, {"D": items}).items["smc"]).all()


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_intervals_cover_alpha(kind):
    # 600 samples of five items; parallel normal ones meet the assumptions of all intervals,
    # unequal loadings with skewed answers only those of the distribution-free one.
    rng = np.random.default_rng(12)
    loadings = np.full(5, 0.6) if kind == "normal" else np.array([0.9, 0.8, 0.4, 0.3, 0.3])
    # Fourth moments of skewed answers need more respondents.
    n, draws = (150 if kind == "normal" else 500), 600
    covered = dict.fromkeys(("feldt", "bonett", "free"), 0)

    def sample(size):
        factor, noise = rng.normal(size=(size, 1)), rng.normal(size=(size, 5))
        if kind == "skewed":
            factor = np.expm1(0.5 * factor) / np.sqrt(np.expm1(0.25) * np.exp(0.25))
        return factor * loadings + noise * np.sqrt(1 - loadings**2)

    implied = np.outer(loadings, loadings)
    np.fill_diagonal(implied, 1.0)
    truth = cronbach_alpha(implied)
    for _ in range(draws):
        x = sample(n)
        alpha = cronbach_alpha(np.cov(x, rowvar=False))
        ends = {
            "feldt": feldt_interval(alpha, n, 5),
            "bonett": log_interval(alpha, bonett_error(alpha, n, 5), n),
            "free": asymptotic_interval(alpha, distribution_free_error(x)),
        }
        for name, (low, high) in ends.items():
            covered[name] += low < truth < high
    shares = {name: count / draws for name, count in covered.items()}
    # Four standard errors of a share of .95 are .036.
    assert abs(shares["free"] - 0.95) < 0.036
    if kind == "normal":
        assert abs(shares["feldt"] - 0.95) < 0.036
        assert abs(shares["bonett"] - 0.95) < 0.036
    else:
        assert shares["feldt"] < shares["free"] - 0.03
