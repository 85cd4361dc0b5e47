"""General factors, gaps, weighted sums, comparisons of alphas and agreement of raters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sqvalid as sq
from sqvalid.errors import InputError, OptionError, UnsupportedError
from sqvalid.latent.implied import implied_state
from sqvalid.reliability.coefficients import correlation_from_covariance, omega_total
from sqvalid.reliability.comparing import holm
from sqvalid.reliability.composites import (
    difference_reliability,
    stratified_alpha,
    weighted_composite_reliability,
)
from sqvalid.reliability.hierarchy import coefficient_h
from sqvalid.reliability.intervals import dependent_test, independent_test
from sqvalid.reliability.model_errors import coefficient_errors
from sqvalid.reliability.raters import intraclass_correlation, mean_squares


def answers(n=300, seed=8, loadings=(0.6, 0.7, 0.8), k=3):
    """Items A1..., B1..., C1... of three factors that share a general one."""
    rng = np.random.default_rng(seed)
    general = rng.normal(size=n)
    columns = {}
    for name, strength in zip("ABC", (0.7, 0.8, 0.6), strict=True):
        factor = strength * general + np.sqrt(1 - strength**2) * rng.normal(size=n)
        for i in range(k):
            noise = np.sqrt(1 - loadings[i] ** 2) * rng.normal(size=n)
            columns[f"{name}{i + 1}"] = 4 + loadings[i] * factor + noise
    return pd.DataFrame(columns)


DIMENSIONS = {name: [f"{name}{i}" for i in (1, 2, 3)] for name in "ABC"}


# --- general factor ----------------------------------------------------------------------


def test_second_order_and_its_schmid_leiman_are_one_decomposition():
    frame = answers()
    fit = sq.cfa("A =~ A1 + A2 + A3\nB =~ B1 + B2 + B3\nC =~ C1 + C2 + C3\nG =~ A + B + C", frame)
    found = sq.assess_general_factor(fit)
    assert found.composites["omega_total"].to_numpy() == pytest.approx(
        found.composites["omega_residual"].to_numpy()
    )
    # omega total of a dimension is what assess_reliability calls omega total (implied).
    scales = sq.assess_reliability(fit).scales.set_index("dimension")
    for row in found.composites.iloc[1:].itertuples():
        assert row.omega_total == pytest.approx(scales.loc[row.composite, "omega_total_implied"])
    assert "omega hierarchical" in repr(found)
    assert found.to_dict()["origin"] == "second_order"
    assert (found.items["general"] > 0).all()


def test_groups_have_their_own_rows():
    frame = answers().assign(g=["x", "y"] * 150)
    model = "A =~ A1 + A2 + A3\nB =~ B1 + B2 + B3\nC =~ C1 + C2 + C3\nG =~ A + B + C"
    found = sq.assess_general_factor(sq.cfa(model, frame, group="g")).composites
    assert found.groupby("group").size().tolist() == [4, 4]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("A =~ A1 + A2 + A3\nB =~ B1 + B2 + B3", "no general factor"),
        ("A =~ A1 + A2 + A3", "no general factor"),
    ],
)
def test_models_without_a_general_factor(model, says):
    with pytest.raises(UnsupportedError, match=says):
        sq.assess_general_factor(sq.cfa(model, answers()))


def test_options_of_the_general_factor():
    frame = answers()
    fit = sq.cfa("A =~ A1 + A2 + A3\nB =~ B1 + B2 + B3", frame)
    with pytest.raises(OptionError, match="n_factors is for exploratory"):
        sq.assess_general_factor(fit, 3)
    with pytest.raises(OptionError, match="'H' is not an option"):
        sq.assess_general_factor(fit, general="H")
    with pytest.raises(OptionError, match="number of group factors"):
        sq.assess_general_factor(frame)
    with pytest.raises(OptionError, match="variance='both'"):
        sq.assess_general_factor(frame, 3, variance="both")
    with pytest.raises(UnsupportedError, match="not determined"):
        sq.assess_general_factor(frame, 2)


# --- composites --------------------------------------------------------------------------


def test_difference_is_a_weighted_sum():
    s1, s2, r1, r2, r = 1.1, 0.8, 0.85, 0.78, 0.34
    c = np.array([[s1**2, r * s1 * s2], [r * s1 * s2, s2**2]])
    found = difference_reliability(s1, s2, r1, r2, r)
    assert found == pytest.approx(
        weighted_composite_reliability(c, np.array([r1, r2]), np.array([1.0, -1.0]))
    )
    # Equal variances and reliabilities: (mean reliability - r) / (1 - r), a textbook formula.
    assert difference_reliability(1, 1, 0.9, 0.7, 0.5) == pytest.approx((0.8 - 0.5) / 0.5)
    assert np.isnan(difference_reliability(1, 1, 0.9, 0.9, 1.0))


def test_parallel_parts_step_up():
    c = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    rel = np.full(4, 0.5)
    # Four parallel measures with reliability .5: Spearman-Brown gives .8.
    assert weighted_composite_reliability(c, rel, np.ones(4)) == pytest.approx(0.8)
    assert weighted_composite_reliability(c, rel, 10 * np.ones(4)) == pytest.approx(0.8)
    assert weighted_composite_reliability(c, rel, np.eye(4)[0]) == pytest.approx(0.5)


def test_stratified_alpha_exceeds_alpha_where_strata_are_distinct():
    c = np.cov(answers().to_numpy(), rowvar=False)
    whole = sq.assess_reliability(answers(), {"all": list(answers())}).scales["alpha_raw"].item()
    assert stratified_alpha(c, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]) > whole
    assert stratified_alpha(c, [list(range(9))]) == pytest.approx(whole)


def test_gap_scores_by_hand():
    rng = np.random.default_rng(4)
    frame = answers()[["A1", "A2", "A3"]]
    wish = {f"E{i}": 6 + 0.4 * (frame[f"A{i}"] - 4) + rng.normal(size=300) for i in (1, 2, 3)}
    frame = frame.assign(**wish)
    frame.loc[0, "E1"] = np.nan
    found = sq.assess_gap_reliability(frame, {"A": ["A1", "A2", "A3"]}, {"A": ["E1", "E2", "E3"]})
    row = found.dimensions.iloc[0]
    kept = frame.iloc[1:]
    p, e = kept[["A1", "A2", "A3"]].mean(axis=1), kept[["E1", "E2", "E3"]].mean(axis=1)
    assert row["n_obs"] == 299
    assert row["mean_gap"] == pytest.approx((p - e).mean())
    assert row["r_gap_perception"] == pytest.approx(stats.pearsonr(p - e, p)[0])
    gaps = pd.DataFrame({i: kept[f"A{i}"] - kept[f"E{i}"] for i in (1, 2, 3)})
    alphas = sq.assess_reliability(
        kept.assign(**{f"G{i}": gaps[i] for i in gaps}),
        {"P": ["A1", "A2", "A3"], "E": ["E1", "E2", "E3"], "G": ["G1", "G2", "G3"]},
    ).scales.set_index("dimension")["alpha_raw"]
    assert row["alpha_gap"] == pytest.approx(alphas["G"])
    true = p.var() * alphas["P"] + e.var() * alphas["E"] - 2 * p.cov(e)
    assert row["gap_reliability"] == pytest.approx(true / (p - e).var())
    assert "rows_left_out" in {d.code for d in found.diagnostics}


def test_gaps_that_cannot_be():
    frame = answers()
    with pytest.raises(OptionError, match="both batteries"):
        sq.assess_gap_reliability(frame, {"A": ["A1"]})
    with pytest.raises(OptionError, match="2 perception and 1 expectation"):
        sq.assess_gap_reliability(frame, {"A": ["A1", "A2"]}, {"A": ["B1"]})
    found = sq.assess_gap_reliability(frame, {"A": ["A1"]}, {"A": ["B1"]})
    assert np.isnan(found.dimensions["gap_reliability"].item())
    assert "gap_component_undefined" in {d.code for d in found.diagnostics}


# --- comparing alphas --------------------------------------------------------------------


def test_scales_of_the_same_respondents():
    frame = answers()
    found = sq.compare_alphas(frame, DIMENSIONS)
    assert found.dependent
    assert found.tests["method"].tolist() == ["woodruff_feldt_1986", *["feldt_1980"] * 3]
    alphas = found.alphas["alpha"].to_numpy()
    sums = [frame[items].sum(axis=1) for items in DIMENSIONS.values()]
    by_hand = dependent_test(alphas[[0, 2]], 300, np.corrcoef(sums[0], sums[2])[0, 1])
    row = found.tests[(found.tests["first"] == "A") & (found.tests["second"] == "C")].iloc[0]
    assert (row["statistic"], row["p"]) == pytest.approx((by_hand.statistic, by_hand.p))
    assert row["p_holm"] >= row["p"]


def test_groups_of_respondents():
    frame = answers().assign(g=["x", "y", "z"] * 100)
    found = sq.compare_alphas(frame, {"A": DIMENSIONS["A"]}, group="g")
    assert not found.dependent
    assert found.tests["method"].tolist() == ["hakstian_whalen_1976", *["feldt_1969"] * 3]
    assert found.alphas["n_obs"].tolist() == [100, 100, 100]
    alphas = found.alphas["alpha"].to_numpy()
    by_hand = independent_test(alphas[[0, 1]], np.array([100, 100]))
    assert found.tests.iloc[1]["p"] == pytest.approx(by_hand.p)
    assert "independent" in repr(found)
    assert found.to_dict()["dependent"] is False


def test_holm_as_in_statsmodels_example():
    # R: p.adjust(c(.01, .04, .03, .005), "holm") is .03 .06 .06 .02.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("seed", [1, 2])
def test_tests_hold_their_level(seed):
    # 400 pairs of independent samples with equal alphas: 5% within four standard errors.
    rng = np.random.default_rng(seed)
    rejected = 0
    for _ in range(400):
        alphas = []
        for _ in range(2):
            x = rng.normal(size=(60, 1)) + rng.normal(size=(60, 5))
            c = np.cov(x, rowvar=False)
            alphas.append(1.25 * (1 - np.trace(c) / c.sum()))
        rejected += independent_test(np.array(alphas), np.array([60, 60])).p < 0.05
    assert 0.05 - 4 * 0.0109 < rejected / 400 < 0.05 + 4 * 0.0109


def test_comparisons_that_cannot_be():
    frame = answers().assign(g="x")
    with pytest.raises(OptionError, match="two are the least"):
        sq.compare_alphas(frame, {"A": DIMENSIONS["A"]})
    with pytest.raises(OptionError, match="1 groups"):
        sq.compare_alphas(frame, DIMENSIONS, group="g")
    with pytest.raises(InputError, match="no column 'h'"):
        sq.compare_alphas(frame, DIMENSIONS, group="h")
    with pytest.raises(OptionError, match="single item"):
        sq.compare_alphas(frame, {"A": ["A1"], "B": DIMENSIONS["B"]})
    twins = frame.assign(A2=frame["A1"])
    with pytest.raises(InputError, match="alpha of 1"):
        sq.compare_alphas(twins, {"A": ["A1", "A2"], "B": DIMENSIONS["B"]})


# --- raters ------------------------------------------------------------------------------

# Shrout & Fleiss (1979), table 2: six targets, four judges.
TARGETS = pd.DataFrame(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    columns=["J1", "J2", "J3", "J4"],
)


def test_shrout_and_fleiss():
    found = intraclass_correlation(TARGETS)
    ms = found.mean_squares
    assert [round(v, 2) for v in (ms.subjects, ms.within, ms.raters, ms.residual)] == [
        11.24, 6.26, 32.49, 1.02,
    ]  # fmt: skip
    # Their table 4.
    assert found.coefficients["icc"].round(2).tolist() == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    # Ends and p by psych 2.2.9, ICC(lmer = FALSE).
    lower = [-0.1329323248748, 0.0187865133747, 0.3424647650339,
             -0.8844421552381, 0.0711368153025, 0.6756747138163]  # fmt: skip
    upper = [0.722560062328, 0.761084369649, 0.945858259955,
             0.912415420341, 0.927232040168, 0.985891678169]  # fmt: skip
    assert found.coefficients["ci_lower"].tolist() == pytest.approx(lower, abs=1e-11)
    assert found.coefficients["ci_upper"].tolist() == pytest.approx(upper, abs=1e-11)
    p = [0.164768808344640, 0.000134566516484, 0.000134566516484] * 2
    assert found.coefficients["p"].tolist() == pytest.approx(p, rel=1e-9)
    assert found.coefficients["band_lower"].iloc[0] == "poor"


def test_mean_of_consistent_raters_is_alpha():
    c = np.cov(TARGETS.to_numpy(), rowvar=False)
    alpha = 4 / 3 * (1 - np.trace(c) / c.sum())
    found = intraclass_correlation(TARGETS).coefficients.set_index("form")["icc"]
    assert found["ICC(C,k)"] == pytest.approx(alpha)


def test_consistency_ignores_a_severe_rater_and_agreement_does_not():
    severe = TARGETS.assign(J4=TARGETS["J4"] - 5)
    before = intraclass_correlation(TARGETS)
    after = intraclass_correlation(severe)
    one = before.coefficients.set_index("form")["icc"]
    two = after.coefficients.set_index("form")["icc"]
    assert two["ICC(C,1)"] == pytest.approx(one["ICC(C,1)"])
    assert two["ICC(A,1)"] < one["ICC(A,1)"]
    assert after.sem_consistency == pytest.approx(before.sem_consistency)
    assert after.sem_agreement > before.sem_agreement


def test_retest_by_hand():
    scores = pd.DataFrame({"t1": [3.0, 5, 4, 6, 2, 5], "t2": [3.5, 5, 5, 6, 2.5, 4]})
    found = intraclass_correlation(scores)
    gap = scores["t2"] - scores["t1"]
    # With two occasions the residual mean square is half the variance of the differences.
    assert found.sem_consistency == pytest.approx(gap.std(ddof=1) / np.sqrt(2))
    assert found.sdc_consistency == pytest.approx(1.959963984540054 * gap.std(ddof=1))
    pair = found.pairs.iloc[0]
    assert pair["loa_upper"] - pair["loa_lower"] == pytest.approx(2 * found.sdc_consistency)
    assert pair["r"] == pytest.approx(stats.pearsonr(scores["t1"], scores["t2"])[0])
    assert mean_squares(scores.to_numpy()).within == pytest.approx((gap**2 / 2).mean())


def test_ratings_that_are_missing_negative_or_unusable():
    gappy = TARGETS.astype(float)
    gappy.iloc[0, 0] = np.nan
    told = intraclass_correlation(gappy).diagnostics
    assert told[0].values == {"n_left_out": 1, "n_total": 6}
    crossed = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [4.0, 3, 2, 2]})
    assert "icc_negative" in {d.code for d in intraclass_correlation(crossed).diagnostics}
    with pytest.raises(InputError, match="constant only"):
        intraclass_correlation(pd.DataFrame({"a": [1.0, 2, 3], "b": [2.0, 3, 4]}))
    with pytest.raises(InputError, match="two raters"):
        intraclass_correlation(TARGETS[["J1"]])
    with pytest.raises(InputError, match="numbers"):
        intraclass_correlation(TARGETS.assign(name="x"))
    with pytest.raises(InputError, match="no columns 'J9'"):
        intraclass_correlation(TARGETS, ["J1", "J9"])


# --- standard errors from a model --------------------------------------------------------


@pytest.mark.parametrize("equal", [None, ("loadings",)])
def test_slopes_of_coefficients_against_differences(equal):
    frame = answers().assign(g=["x", "y"] * 150)
    model = "A =~ A1 + A2 + A3\nB =~ B1 + B2 + B3\nB ~ A\nB1 ~~ B2"
    fit = sq.cfa(model, frame, group="g", group_equal=equal or ())
    problem, theta = fit.estimate.problem, np.array(fit.estimate.theta)

    def coefficients(values, group, factor, items):
        slots = problem.slots[group]
        state = implied_state(slots, values)
        f = list(slots.layout.factors).index(factor)
        places = [list(slots.layout.observed).index(i) for i in items]
        sigma = state.sigma[np.ix_(places, places)]
        loadings = state.matrices["lambda"][places, f]
        standard = loadings * np.sqrt(state.phi[f, f] / np.diag(sigma))
        return {
            "omega_total_implied": omega_total(loadings, sigma, state.phi[f, f]),
            "composite_reliability": omega_total(standard, correlation_from_covariance(sigma)),
            "ave": np.mean(standard**2),
            "coefficient_h": coefficient_h(standard),
        }

    vcov = fit.vcov.to_numpy()
    for group in (0, 1):
        for factor, items in (("A", ["A1", "A2", "A3"]), ("B", ["B1", "B2", "B3"])):
            found = coefficient_errors(fit, group, factor, items)
            slopes = {name: np.zeros(len(vcov)) for name in found}
            for j in range(len(vcov)):
                step = np.zeros(len(theta))
                step[j] = 1e-6
                up = coefficients(theta + step, group, factor, items)
                down = coefficients(theta - step, group, factor, items)
                for name in found:
                    slopes[name][j] = (up[name] - down[name]) / 2e-6
            wanted = {name: np.sqrt(s @ vcov @ s) for name, s in slopes.items()}
            assert found == pytest.approx(wanted, rel=1e-6)
