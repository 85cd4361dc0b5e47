"""Sampling weights: numbers of lavaan, and what must hold whatever the data."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import SurveyError, UnsupportedError
from sqvalid.latent.sampling import effective_n
from sqvalid.moments import moments_from_frame
from sqvalid.moments.build import weighted_mean_and_covariance
from sqvalid.second_opinion import ask_second_opinion

SHARED = Path(os.environ.get("SQVALID_SHARED") or Path(__file__).parents[3] / "shared")
ANSWERS = SHARED / "data" / "holzinger_swineford1939" / "data.csv"
needs_answers = pytest.mark.skipif(not ANSWERS.is_file(), reason="SQVALID_SHARED has no data")

MODEL = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
PATHS = "visual =~ x1 + x2 + x3\nvisual ~ ageyr + sex"
SMALL = "f =~ a + b + c\ng =~ d + e + h"
# Six decimals were printed.
TOLERANCE = {"rel": 1e-4, "abs": 1e-6}


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    frame = pd.read_csv(ANSWERS)
    number = np.arange(1, len(frame) + 1)
    frame["branch"] = number * 7 % 23
    frame["w"] = 0.5 + (number * 13 % 17) / 10
    return frame


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 260
    f = rng.standard_normal(n)
    g = 0.5 * f + rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            name: factor + 0.9 * rng.standard_normal(n)
            for name, factor in zip("abcdeh", (f, f, f, g, g, g), strict=True)
        }
    )
    frame["site"] = np.where(rng.random(n) < 0.4, "north", "south")
    frame["weight"] = 0.3 + 2 * rng.random(n)
    return frame


# lavaan 0.6-14 on R 4.2: cfa(MODEL, d, sampling.weights = "w", ...), sem(PATHS, ...).
CASES = {
    "alone": (
        MODEL,
        {},
        {
            "chisq": 83.73747,
            "chisq_scaled": 73.104921,
            "chisq_scaling_factor": 1.145442,
            "baseline_chisq_scaled": 739.628607,
            "cfi_robust": 0.934926,
            "tli_scaled": 0.895318,
            "rmsea_robust": 0.088239,
            "srmr": 0.066406,
            "logl": -3747.239817,
            "scaling_factor_h0": 1.339489,
            "scaling_factor_h1": 1.235997,
            "bic": 7614.328949,
        },
        {
            ("visual", "=~", "x2", 1): (0.552447, 0.161901),
            ("x2", "~~", "x2", 1): (1.138558, 0.114695),
            ("textual", "~~", "speed", 1): (0.145628, 0.066293),
        },
    ),
    "by school": (
        MODEL,
        {"group": "school"},
        {
            "chisq": 117.22749,
            "chisq_scaled": 108.120104,
            "baseline_chisq_scaled": 809.716841,
            "cfi_robust": 0.92495,
            "srmr": 0.068267,
            "logl": -3683.40724,
            "scaling_factor_h0": 1.2544,
            "scaling_factor_h1": 1.178771,
        },
        {
            ("visual", "=~", "x2", 1): (0.331876, 0.201048),
            ("visual", "=~", "x2", 2): (0.820133, 0.278283),
            ("x9", "~1", "", 2): (5.380771, 0.093189),
        },
    ),
    "equal": (
        MODEL,
        {"group": "school", "group_equal": ("loadings", "intercepts")},
        {
            "chisq": 174.534352,
            "chisq_scaled": 156.742051,
            "rmsea_robust": 0.109222,
            "scaling_factor_h0": 0.960261,
            "bic": 7698.062633,
        },
        {
            ("visual", "=~", "x3", 2): (0.8085, 0.208619),
            ("speed", "~1", "", 2): (-0.1984, 0.116464),
        },
    ),
    "fixed covariates": (
        PATHS,
        {},
        {
            "chisq_scaled": 4.381462,
            "baseline_chisq_scaled": 105.283221,
            "logl": -1353.149328,
            "scaling_factor_h0": 1.215314,
            "scaling_factor_h1": 1.18302,
        },
        {("visual", "~", "sex", 1): (-0.335921, 0.111473)},
    ),
    "random covariates": (
        PATHS,
        {"fixed_x": False},
        {
            "chisq_scaled": 4.381461,
            "baseline_chisq_scaled": 105.283221,
            "logl": -2013.893425,
            "scaling_factor_h0": 1.101422,
            "scaling_factor_h1": 1.105958,
        },
        {("sex", "~~", "sex", 1): (0.249666, 0.001124)},
    ),
    "clusters": (
        MODEL,
        {"cluster": "branch", "estimator": "MLR"},
        {
            "chisq_scaled": 77.279249,
            "baseline_chisq_scaled": 793.630646,
            "cfi_robust": 0.93344,
            "rmsea_robust": 0.089396,
            "scaling_factor_h0": 1.204862,
            "scaling_factor_h1": 1.150955,
        },
        {
            ("visual", "=~", "x2", 1): (0.552447, 0.148585),
            ("x6", "~~", "x6", 1): (0.338228, 0.036179),
            ("x9", "~1", "", 1): (5.410647, 0.050269),
        },
    ),
    "clusters by school": (
        MODEL,
        {"cluster": "branch", "estimator": "MLR", "group": "school"},
        {
            "chisq_scaled": 110.48507,
            "baseline_chisq_scaled": 834.439589,
            "rmsea_robust": 0.095799,
            "scaling_factor_h0": 1.215835,
            "scaling_factor_h1": 1.147031,
        },
        {
            ("visual", "=~", "x2", 2): (0.820133, 0.241031),
            ("x9", "~1", "", 2): (5.380771, 0.07098),
        },
    ),
}


@needs_answers
@pytest.mark.parametrize("case", CASES)
def test_numbers_are_lavaans(pupils, case):
    model, options, measures, rows = CASES[case]
    fit = sq.sem(model, pupils, sampling_weights="w", **options)
    assert fit.fit_measures[list(measures)].to_dict() == pytest.approx(measures, **TOLERANCE)
    table = fit.parameters.set_index(["lhs", "op", "rhs", "group"])
    for key, (est, se) in rows.items():
        # A standard error of 0.001124 is known to its last printed digit.
        assert table.loc[key, "est"] == pytest.approx(est, **TOLERANCE)
        assert table.loc[key, "se"] == pytest.approx(se, **TOLERANCE)


@pytest.mark.parametrize("group", [None, "site"])
def test_equal_weights_are_mlr(customers, group):
    fit = sq.cfa(SMALL, customers.assign(weight=7.3), sampling_weights="weight", group=group)
    plain = sq.cfa(SMALL, customers, estimator="MLR", group=group)
    assert fit.coef.to_numpy() == pytest.approx(plain.coef.to_numpy(), abs=1e-9)
    assert fit.vcov.to_numpy() == pytest.approx(plain.vcov.to_numpy(), rel=1e-7, abs=1e-12)
    assert fit.fit_measures.to_numpy() == pytest.approx(
        plain.fit_measures.to_numpy(), rel=1e-7, abs=1e-9, nan_ok=True
    )


def test_scale_of_the_weights_does_not_matter(customers):
    fit = sq.cfa(SMALL, customers, sampling_weights="weight")
    again = sq.cfa(
        SMALL, customers.assign(weight=customers["weight"] * 40), sampling_weights="weight"
    )
    assert again.vcov.to_numpy() == pytest.approx(fit.vcov.to_numpy(), rel=1e-9)
    assert fit.fit_measures["ntotal"] == pytest.approx(len(customers), rel=1e-12)


def test_weights_share_out_the_respondents_among_groups(customers):
    heavy = customers.assign(weight=np.where(customers["site"] == "north", 3.0, 1.0))
    fit = sq.cfa(SMALL, heavy, sampling_weights="weight", group="site")
    north = int((customers["site"] == "north").sum())
    shares = {block.group: block.total_weight for block in fit.moments.blocks}
    total = 3.0 * north + (len(customers) - north)
    assert shares["north"] == pytest.approx(3.0 * north / total * len(customers), rel=1e-12)
    assert sum(shares.values()) == pytest.approx(len(customers), rel=1e-12)
    assert fit.n_obs_by_group["north"] == north


def test_a_weight_of_two_estimates_as_two_respondents_do(customers):
    counts = np.where(np.arange(len(customers)) % 3 == 0, 2, 1)
    twice = customers.loc[np.repeat(customers.index, counts)]
    weighted = sq.cfa(SMALL, customers.assign(weight=counts), sampling_weights="weight")
    doubled = sq.cfa(SMALL, twice, estimator="MLR")
    assert weighted.coef.to_numpy() == pytest.approx(doubled.coef.to_numpy(), abs=1e-8)


def test_halves_of_respondents_in_one_cluster_are_the_respondents(customers):
    # Each respondent twice at half the weight, the pair a cluster: nothing has been added. The
    # rescaled weights count 2 n instead of n, so the covariance is per 2 n * (n / (2 n))^2.
    halves = pd.concat([customers, customers]).assign(weight=0.5)
    halves["pair"] = np.tile(np.arange(len(customers)), 2)
    fit = sq.cfa(SMALL, halves, sampling_weights="weight", cluster="pair")
    plain = sq.cfa(SMALL, customers, estimator="MLR", meanstructure=True)
    n = len(customers)
    assert fit.vcov.to_numpy() == pytest.approx(
        plain.vcov.to_numpy() * n / (n - 1), rel=1e-7, abs=1e-12
    )


def test_order_of_rows_does_not_matter(customers):
    fit = sq.cfa(SMALL, customers, sampling_weights="weight", group="site")
    shuffled = customers.sample(frac=1.0, random_state=1).sort_values("site", kind="stable")
    if shuffled["site"].iloc[0] != customers["site"].iloc[0]:
        shuffled = shuffled.iloc[::-1]
    again = sq.cfa(SMALL, shuffled, sampling_weights="weight", group="site")
    assert again.group_labels == fit.group_labels
    assert again.vcov.to_numpy() == pytest.approx(fit.vcov.to_numpy(), rel=1e-7, abs=1e-12)


def test_weighted_moments():
    cases = np.array([[1.0, 2.0], [3.0, 1.0], [4.0, 6.0]])
    weights = np.array([1.0, 2.0, 1.0])
    rows = np.array([0, 1, 1, 2])
    means, covariance = weighted_mean_and_covariance(cases, weights)
    assert means == pytest.approx(cases[rows].mean(axis=0))
    assert covariance == pytest.approx(np.cov(cases[rows].T, bias=True))


def test_ml_with_weights_is_mlr_and_says_how_much_is_known(customers):
    fit = sq.cfa(SMALL, customers, sampling_weights="weight")
    assert (fit.options["estimator"], fit.options["se"]) == ("MLR", "robust.huber.white")
    found = {d.code: d for d in fit.diagnostics}["effective_sample_size"]
    w = customers["weight"]
    assert found.values["n_effective"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
    assert "Sampling weights" in fit.summary()
    assert "抽样权重" in fit.summary(lang="zh")
    assert effective_n(np.ones(7)) == pytest.approx(7)


def test_scores_are_about_the_weighted_means(customers):
    fit = sq.cfa(SMALL, customers, sampling_weights="weight")
    scores = fit.factor_scores()
    assert len(scores) == len(customers)
    assert customers["weight"].to_numpy() @ scores.to_numpy() == pytest.approx(0.0, abs=1e-8)


def test_incomplete_rows_do_not_count(customers):
    holes = customers.copy()
    holes.loc[[0, 9], ["a", "weight"]] = np.nan
    fit = sq.cfa(SMALL, holes, sampling_weights="weight")
    same = sq.cfa(SMALL, holes.dropna(), sampling_weights="weight")
    assert fit.vcov.to_numpy() == pytest.approx(same.vcov.to_numpy(), rel=1e-12)


@pytest.mark.parametrize("bad", [-1.0, 0.0, np.nan, np.inf])
def test_weights_that_are_not_positive_numbers_are_refused(customers, bad):
    frame = customers.copy()
    frame.loc[4, "weight"] = bad
    with pytest.raises(SurveyError, match=r"'weight' has 1 that is not \(.* in row 4\)"):
        sq.cfa(SMALL, frame, sampling_weights="weight")


def test_what_has_no_weighted_form_is_refused(customers):
    with pytest.raises(UnsupportedError, match=r"estimator='ULSMV'.*sampling_weights="):
        sq.cfa(SMALL, customers, sampling_weights="weight", estimator="ULSMV")
    with pytest.raises(UnsupportedError, match=r"test='bollen.stine'.*sampling_weights="):
        sq.cfa(SMALL, customers, sampling_weights="weight", test="bollen.stine")
    fit = sq.cfa(SMALL, customers, sampling_weights="weight")
    with pytest.raises(UnsupportedError, match="sampling_weights="):
        fit.residuals("normalized")
    tied = sq.cfa("f =~ a + l*b + l*c\ng =~ d + e + h", customers, sampling_weights="weight")
    with pytest.raises(UnsupportedError, match="sampling_weights="):
        sq.compare_models(fit, tied, method="satorra.2000")


def test_fits_with_and_without_weights_are_not_compared(customers):
    fit = sq.cfa(SMALL, customers, sampling_weights="weight")
    tied = sq.cfa("f =~ a + l*b + l*c\ng =~ d + e + h", customers, estimator="MLR")
    with pytest.raises(sq.errors.InputError, match="different data"):
        sq.compare_models(fit, tied)


def test_second_opinion_is_not_asked(customers):
    fit = sq.cfa(SMALL, customers, sampling_weights="weight")
    opinion = ask_second_opinion(fit)
    assert not opinion.available
    assert opinion.reason == "estimator"


def test_moments_carry_the_weights(customers):
    moments = moments_from_frame(customers, list("abcdeh"), weights="weight")
    fit = sq.cfa(SMALL, moments)
    direct = sq.cfa(SMALL, customers, sampling_weights="weight")
    assert fit.options["sampling_weights"] == "weight"
    assert fit.vcov.to_numpy() == pytest.approx(direct.vcov.to_numpy(), rel=1e-12)
    assert not moments.blocks[0].weights.flags.writeable
