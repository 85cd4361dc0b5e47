"""Power: simulated studies against theory, and the RMSEA's against published and R's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import sqvalid as sq
from sqvalid.errors import InputError, OptionError
from sqvalid.simulate import Clusters, Group

POPULATION = """
SQ =~ 0.7*q1 + 0.75*q2 + 0.8*q3
SAT =~ 0.85*s1 + 0.8*s2 + 0.75*s3
SAT ~ 0.3*SQ
"""
MODEL = """
SQ =~ q1 + q2 + q3
SAT =~ s1 + s2 + s3
SAT ~ b*SQ
"""
CONTINUOUS: dict[str, Any] = {"survey": {"thresholds": None}}


# --- RMSEA -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("df", "n", "close", "not_close"),
    [(5, 100, 0.127, 0.081), (100, 200, 0.955, 0.870)],
)
def test_power_of_maccallum_browne_and_sugawara(
    df: int, n: int, close: float, not_close: float
) -> None:
    # Table 2 of the article: .05 against .08, .05 against .01.
    assert sq.power_of_rmsea_test(0.05, 0.08, df, n) == pytest.approx(close, abs=6e-4)
    assert sq.power_of_rmsea_test(0.05, 0.01, df, n) == pytest.approx(not_close, abs=6e-4)


@pytest.mark.parametrize("n_groups", [1, 3])
@pytest.mark.parametrize(("null", "true"), [(0.05, 0.08), (0.05, 0.0), (0.0, 0.04), (0.08, 0.05)])
@pytest.mark.parametrize(("df", "n"), [(2, 80), (203, 500), (1500, 4000)])
def test_rmsea_power_is_that_of_the_noncentral_distribution(
    null: float, true: float, df: int, n: int, n_groups: int
) -> None:
    def law(rmsea: float) -> Any:
        noncentrality = (n - 1) * df * rmsea**2 / n_groups
        return stats.ncx2(df, noncentrality) if noncentrality else stats.chi2(df)

    expected = (
        law(true).sf(law(null).ppf(0.99)) if true > null else law(true).cdf(law(null).ppf(0.01))
    )
    found = sq.power_of_rmsea_test(null, true, df, n, alpha=0.01, n_groups=n_groups)
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("null", "true"), [(0.05, 0.08), (0.05, 0.01), (0.0, 0.05)])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_sample_size_is_the_smallest_that_is_enough(null: float, true: float, power: float) -> None:
    n = sq.sample_size_for_rmsea_test(null, true, 40, power=power)
    assert sq.power_of_rmsea_test(null, true, 40, n) >= power
    assert sq.power_of_rmsea_test(null, true, 40, n - 1) < power


def test_impossible_questions_about_the_rmsea_are_refused() -> None:
    with pytest.raises(OptionError, match="nothing to detect"):
        sq.power_of_rmsea_test(0.05, 0.05, 10, 100)
    with pytest.raises(OptionError, match="df=0"):
        sq.power_of_rmsea_test(0.05, 0.08, 0, 100)
    with pytest.raises(OptionError, match="rmsea_true"):
        sq.power_of_rmsea_test(0.05, -0.1, 10, 100)
    with pytest.raises(OptionError, match="power"):
        sq.sample_size_for_rmsea_test(0.05, 0.08, 10, power=1.0)
    with pytest.raises(OptionError, match="respondents would be needed"):
        sq.sample_size_for_rmsea_test(0.05, 0.0501, 1)


# --- simulated studies -------------------------------------------------------------------


def test_power_of_a_regression_is_the_known_one() -> None:
    n, slope, replications = 60, 0.3, 500
    residual = math.sqrt(1.0 - slope**2)
    power = sq.estimate_power(
        "y ~ 0.3*x", "y ~ x", n, n_replications=replications, seed=5, **CONTINUOUS
    )
    # The maximum-likelihood z of a slope is t sqrt(n / (n - 2)); x is drawn anew in every study.
    cut = 1.959963985 * math.sqrt((n - 2) / n)

    def given(q: float) -> float:
        ncp = slope * math.sqrt(q) / residual
        law = stats.nct(n - 2, ncp)
        return float((law.sf(cut) + law.cdf(-cut)) * stats.chi2(n - 1).pdf(q))

    expected = integrate.quad(given, 10.0, 150.0)[0]
    row = power.parameters().set_index(["lhs", "op", "rhs"]).loc[("y", "~", "x")]
    mcse = math.sqrt(expected * (1 - expected) / replications)
    assert abs(row["rejection"] - expected) < 3.5 * mcse
    assert row["rejection_mcse"] == pytest.approx(mcse, rel=0.1)
    assert row["truth"] == pytest.approx(slope, abs=1e-8)
    assert abs(row["bias"]) < 3.5 * row["bias_mcse"]
    assert abs(row["coverage"] - 0.95) < 0.04
    # sd of the estimate: residual / sqrt(E 1/chi2(n - 1)) of random x.
    assert row["sd"] == pytest.approx(residual / math.sqrt(n - 3), rel=0.12)


@pytest.fixture(scope="module")
def small() -> Any:
    return sq.estimate_power(
        POPULATION, MODEL, (80, 160), n_replications=20, decisions={"fits": "pvalue > 0.05"}
    )


def test_numbers_do_not_depend_on_who_computes_them_or_how_many(small: Any) -> None:
    again = sq.estimate_power(
        POPULATION,
        MODEL,
        (160,),
        n_replications=12,
        decisions={"fits": "pvalue > 0.05"},
        n_jobs=2,
    )
    first = [r for r in small.replicates if r.n == 160][:12]
    for ours, theirs in zip(again.replicates, first, strict=True):
        np.testing.assert_array_equal(ours.estimates, theirs.estimates)
        np.testing.assert_array_equal(ours.errors, theirs.errors)
        assert ours.decisions == theirs.decisions


def test_a_study_is_the_fit_of_its_survey(small: Any) -> None:
    drawn = sq.simulate_survey(POPULATION, 80, replicate=6)
    fit = sq.sem(MODEL, drawn.frame)
    kept = small.replicates[6]
    np.testing.assert_array_equal(kept.estimates, fit.standardized("all")["est"])
    assert kept.decisions["fits"] == (fit.fit_measures["pvalue"] > 0.05)
    frame = small.parameters()
    assert small.metric == "all"
    own = frame[frame["n"] == 80].reset_index(drop=True)
    every = np.array([r.estimates for r in small.replicates[:20]])
    np.testing.assert_allclose(own["mean"], every.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(own["sd"], every.std(axis=0, ddof=1), rtol=1e-9, atol=1e-15)
    truth = own.set_index(["lhs", "op", "rhs"])["truth"]
    assert truth["SQ", "=~", "q3"] == pytest.approx(0.8, abs=1e-8)
    assert truth["SAT", "~", "SQ"] == pytest.approx(0.3, abs=1e-8)


def test_decisions_are_rules_functions_and_many_at_once(small: Any) -> None:
    def verdicts(fit: Any) -> dict[str, bool | None]:
        z = fit.parameters.set_index("label").loc["b", "z"]
        return {"H1": z > 1.96, "H2": None}

    power = sq.estimate_power(
        POPULATION,
        MODEL,
        80,
        n_replications=20,
        decisions={
            "both": "pvalue > 0.05 and cfi >= .9",
            "never": "chisq < 0",
            "always": lambda fit: fit.converged,
            "hypotheses": verdicts,
            "broken": lambda fit: 1 / 0,
        },
    )
    rates = power.decisions().set_index("decision")
    assert list(rates.index) == ["both", "never", "always", "H1", "H2", "broken"]
    assert rates.loc["never", "rate"] == 0.0
    # Clopper and Pearson's end for none of twenty is 1 - (alpha / 2)^(1 / 20).
    assert rates.loc["never", "ci_upper"] == pytest.approx(1 - 0.025 ** (1 / 20), rel=1e-12)
    assert rates.loc["always", "ci_lower"] == pytest.approx(0.025 ** (1 / 20), rel=1e-12)
    test = stats.binomtest(int(rates.loc["H1", "n_true"]), 20).proportion_ci(method="exact")
    assert rates.loc["H1", "ci_lower"] == pytest.approx(test.low, abs=1e-9)
    assert rates.loc["H1", "ci_upper"] == pytest.approx(test.high, abs=1e-9)
    for name in ("H2", "broken"):
        assert rates.loc[name, "n_made"] == 0
        assert rates.loc[name, "n_done"] == 20
        assert math.isnan(rates.loc[name, "rate"])
    assert rates.loc["both", "rate"] <= small.decisions()["rate"][0]


def test_studies_that_fail_are_counted() -> None:
    # One answer in seventy differs: in two thirds of the studies some item does not vary.
    power = sq.estimate_power(
        "F =~ 0.9*a + 0.9*b + 0.9*c + 0.9*d",
        "F =~ a + b + c + d",
        40,
        n_replications=30,
        survey={"thresholds": (1.9,)},
    )
    counts = power.outcomes().iloc[0]
    assert counts["n_done"] == 30
    assert counts["n_failed"] > 0
    assert counts["n_used"] > 0
    assert counts["n_used"] + counts["n_not_converged"] + counts["n_failed"] == 30
    assert power.failures()["count"].sum() == counts["n_failed"]
    assert "power_studies_lost" in {d.code for d in power.diagnostics}
    assert (power.parameters()["n_used"] <= counts["n_used"]).all()
    with pytest.raises(InputError, match="first ten studies"):
        sq.estimate_power(
            "F =~ 0.9*a + 0.9*b + 0.9*c",
            "F =~ a + b + c",
            20,
            n_replications=5,
            survey={"thresholds": (9.0,)},
        )


def test_an_interruption_keeps_what_is_done() -> None:
    def stop(done: int, _: int) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    power = sq.estimate_power(POPULATION, MODEL, 80, n_replications=40, progress=stop)
    assert power.outcomes().loc[0, "n_done"] == 16
    assert [d.code for d in power.diagnostics if d.severity == "warning"] == ["power_interrupted"]


def test_groups_clusters_and_robust_options_run_through() -> None:
    power = sq.estimate_power(
        POPULATION,
        MODEL,
        300,
        n_replications=4,
        options={"group": "branch", "group_equal": "loadings", "estimator": "MLR"},
        survey={"groups": [Group("branch", {"a": 0.5, "b": 0.5}, {"a": {"SQ": 0.4}})]},
        measures=("chisq_scaled", "cfi_robust"),
    )
    frame = power.parameters()
    assert set(frame["group"]) == {1, 2}
    paths = frame[(frame["lhs"] == "SAT") & (frame["op"] == "~")]
    np.testing.assert_allclose(paths["truth"], 0.3, atol=1e-8)
    assert frame.loc[frame["op"] == "~1", "truth"].isna().all()
    clustered = sq.estimate_power(
        POPULATION,
        MODEL,
        300,
        n_replications=3,
        options={"cluster": "teller"},
        survey={"clusters": Clusters("teller", 30, 0.1, ("q1", "q2"))},
    )
    assert clustered.outcomes().loc[0, "n_used"] == 3


def test_a_population_may_be_a_function(small: Any) -> None:
    def draw(n: int, replicate: int) -> Any:
        return sq.simulate_survey(POPULATION, n, replicate=replicate)

    power = sq.estimate_power(draw, MODEL, 80, n_replications=3)
    for ours, theirs in zip(power.replicates, small.replicates[:3], strict=True):
        np.testing.assert_array_equal(ours.estimates, theirs.estimates)
    own = small.parameters()
    np.testing.assert_allclose(
        power.parameters()["truth"], own[own["n"] == 80]["truth"], rtol=1e-12
    )
    with pytest.raises(OptionError, match="survey="):
        sq.estimate_power(draw, MODEL, 80, survey={"thresholds": None})


def test_truths_may_be_given_and_options_are_checked(small: Any) -> None:
    power = sq.estimate_power(
        POPULATION, MODEL, 80, n_replications=3, truth={"b": 0.25, "SQ=~q1": 0.6}, metric="raw"
    )
    frame = power.parameters().set_index(["lhs", "op", "rhs"])["truth"]
    assert frame["SAT", "~", "SQ"] == 0.25
    assert frame["SQ", "=~", "q1"] == 0.6
    # Raw parameters of categories are in units that the population does not have.
    assert np.isnan(frame["SQ", "=~", "q2"])
    with pytest.raises(OptionError, match="'bb' is not an option"):
        sq.estimate_power(POPULATION, MODEL, 80, n_replications=3, truth={"bb": 0.25})
    with pytest.raises(OptionError, match="cfii"):
        sq.estimate_power(POPULATION, MODEL, 80, n_replications=3, decisions={"d": "cfii > 1"})
    with pytest.raises(OptionError, match="cannot be read"):
        sq.estimate_power(POPULATION, MODEL, 80, n_replications=3, decisions={"d": "cfi > good"})
    with pytest.raises(OptionError, match="measures"):
        sq.estimate_power(POPULATION, MODEL, 80, n_replications=3, measures=("agif",))
    with pytest.raises(OptionError, match="n_replications"):
        sq.estimate_power(POPULATION, MODEL, 80, n_replications=1)
    with pytest.raises(OptionError, match="each once"):
        sq.estimate_power(POPULATION, MODEL, (80, 80), n_replications=3)
    assert "40 of 40 studies" in repr(small)
    assert small.to_dict()["decisions"]
    assert "<table" in small._repr_html_()
