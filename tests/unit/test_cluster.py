"""Cluster-robust inference: numbers of lavaan, and what must hold whatever the data."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import OptionError, SurveyError, UnsupportedError
from sqvalid.latent.inference import first_order_information, independence_trace, saturated_trace
from sqvalid.latent.robust import case_moments
from sqvalid.latent.sampling import cluster_correction, independent_sums
from sqvalid.moments import moments_from_frame, moments_from_matrices

SHARED = Path(os.environ.get("SQVALID_SHARED") or Path(__file__).parents[3] / "shared")
ANSWERS = SHARED / "data" / "holzinger_swineford1939" / "data.csv"
needs_answers = pytest.mark.skipif(not ANSWERS.is_file(), reason="SQVALID_SHARED has no data")

MODEL = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
SMALL = "f =~ a + b + c\ng =~ d + e + h"
# Six decimals were printed.
TOLERANCE = {"rel": 1e-4, "abs": 1e-6}


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    frame = pd.read_csv(ANSWERS)
    frame["branch"] = np.arange(1, len(frame) + 1) * 7 % 23
    return frame


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    """Forty branches of 6 to 14 customers; branches differ."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(6, 15, 40)
    branch = np.repeat(np.arange(40), sizes)
    n = branch.size
    f = (0.6 * rng.standard_normal(40))[branch] + rng.standard_normal(n)
    g = 0.5 * f + rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            name: factor + 0.9 * rng.standard_normal(n)
            for name, factor in zip("abcdeh", (f, f, f, g, g, g), strict=True)
        }
    )
    frame["branch"] = [f"branch {code}" for code in branch]
    frame["site"] = np.where(branch < 22, "north", "south")
    frame["weight"] = 0.4 + rng.random(n)
    return frame


# lavaan 0.6-14 on R 4.2: cfa(MODEL, d, cluster = "branch", estimator = "MLR", ...).
ALONE = {
    "chisq": 85.305522,
    "chisq_scaled": 94.538754,
    "chisq_scaling_factor": 0.902334,
    "baseline_chisq_scaled": 913.23365,
    "cfi_robust": 0.927887,
    "tli_scaled": 0.879384,
    "rmsea_robust": 0.093866,
    "srmr": 0.059524,
    "logl": -3737.744927,
    "scaling_factor_h0": 1.083335,
    "scaling_factor_h1": 1.00289,
    "bic": 7646.703161,
}
BY_SCHOOL = {
    "chisq": 115.851344,
    "chisq_scaled": 125.763847,
    "chisq_scaling_factor": 0.921182,
    "baseline_chisq_scaled": 948.837208,
    "cfi_robust": 0.919065,
    "rmsea_robust": 0.09958,
    "scaling_factor_h0": 1.079836,
    "scaling_factor_h1": 1.009323,
}
EQUAL = {
    "chisq_scaled": 174.46956,
    "chisq_scaling_factor": 0.940581,
    "cfi_robust": 0.878354,
    "rmsea_robust": 0.109194,
    "scaling_factor_h0": 0.834476,
    "bic": 7686.587804,
}
CASES = {
    "alone": (
        {},
        ALONE,
        {
            ("visual", "=~", "x2", 1): 0.137483,
            ("textual", "=~", "x6", 1): 0.067163,
            ("x2", "~~", "x2", 1): 0.129377,
            ("visual", "~~", "visual", 1): 0.138317,
            ("x9", "~1", "", 1): 0.048396,
        },
    ),
    "by school": (
        {"group": "school"},
        BY_SCHOOL,
        {
            ("visual", "=~", "x2", 1): 0.190909,
            ("x6", "~~", "x6", 1): 0.060087,
            ("visual", "=~", "x2", 2): 0.17114,
            ("x9", "~1", "", 2): 0.062384,
        },
    ),
    "equal": (
        {"group": "school", "group_equal": ("loadings", "intercepts")},
        EQUAL,
        {
            ("visual", "=~", "x2", 1): 0.122745,
            ("visual", "=~", "x3", 2): 0.162979,
            ("speed", "~1", "", 2): 0.096118,
        },
    ),
}


@needs_answers
@pytest.mark.parametrize("case", CASES)
def test_numbers_are_lavaans(pupils, case):
    options, measures, errors = CASES[case]
    fit = sq.cfa(MODEL, pupils, cluster="branch", estimator="MLR", **options)
    assert fit.fit_measures[list(measures)].to_dict() == pytest.approx(measures, **TOLERANCE)
    se = fit.parameters.set_index(["lhs", "op", "rhs", "group"])["se"]
    assert {key: se.loc[key] for key in errors} == pytest.approx(errors, **TOLERANCE)


@needs_answers
@pytest.mark.parametrize(
    ("method", "stat"), [("satorra.bentler.2001", 3.0096), ("satorra.bentler.2010", 2.5994)]
)
def test_difference_is_lavaans(pupils, method, stat):
    # lavaan 0.6-14: lavTestLRT(free, tied, method = method), four decimals printed.
    free = sq.cfa(MODEL, pupils, cluster="branch")
    tied = sq.cfa(MODEL.replace("x2 + x3", "l*x2 + l*x3"), pupils, cluster="branch")
    found = sq.compare_models(free, tied, method=method).to_frame()
    assert found["chisq_diff"].iloc[-1] == pytest.approx(stat, abs=6e-5)


def test_options_resolve_as_lavaans(customers):
    fit = sq.cfa(SMALL, customers, cluster="branch")
    shown = {key: fit.options[key] for key in ("estimator", "se", "tests", "information")}
    assert shown == {
        "estimator": "MLR",
        "se": "robust.cluster",
        "tests": ("standard", "yuan.bentler.mplus"),
        "information": "observed",
    }
    assert fit.options["meanstructure"]
    assert fit.options["cluster"] == "branch"


def test_estimates_are_those_of_maximum_likelihood(customers):
    plain = sq.cfa(SMALL, customers, meanstructure=True)
    fit = sq.cfa(SMALL, customers, cluster="branch")
    assert fit.coef.to_numpy() == pytest.approx(plain.coef.to_numpy(), abs=1e-9)
    # Customers of a branch are alike, so the means are less certain than they look.
    assert fit.vcov.loc["a~1", "a~1"] > 1.5 * plain.vcov.loc["a~1", "a~1"]


@pytest.mark.parametrize("options", [{}, {"group": "site"}, {"sampling_weights": "weight"}])
def test_one_respondent_per_cluster_is_mlr(customers, options):
    own = customers.assign(branch=np.arange(len(customers)))
    fit = sq.cfa(SMALL, own, cluster="branch", **options)
    plain = sq.cfa(SMALL, own, estimator="MLR", meanstructure=True, **options)
    if options != {"group": "site"}:
        correction = cluster_correction(len(own))
        assert fit.vcov.to_numpy() == pytest.approx(plain.vcov.to_numpy() * correction, rel=1e-9)
    names = ["chisq_scaling_factor", "baseline_chisq_scaling_factor", "scaling_factor_h1"]
    # The correction C / (C - 1) is all that differs; smallest group 100 and more.
    ratio = fit.fit_measures[names] / plain.fit_measures[names]
    assert (ratio > 1).all()
    assert (ratio < 1 + 1.5 / 100).all()


def test_order_of_rows_and_names_of_clusters_do_not_matter(customers):
    fit = sq.cfa(SMALL, customers, cluster="branch")
    shuffled = customers.sample(frac=1.0, random_state=3)
    again = sq.cfa(SMALL, shuffled, cluster="branch")
    assert again.vcov.to_numpy() == pytest.approx(fit.vcov.to_numpy(), rel=1e-7)
    codes = shuffled.assign(branch=pd.factorize(shuffled["branch"])[0] * 3.5 + 1000)
    renamed = sq.cfa(SMALL, codes, cluster="branch")
    assert renamed.fit_measures.to_numpy() == pytest.approx(
        fit.fit_measures.to_numpy(), rel=1e-7, abs=1e-9, nan_ok=True
    )


@pytest.mark.parametrize("with_means", [True, False])
@pytest.mark.parametrize("weights", [None, "weight"])
@pytest.mark.parametrize("fixed", [(), (1, 4)])
def test_traces_are_those_of_the_dense_matrices(customers, with_means, weights, fixed):
    moments = moments_from_frame(customers, list("abcdeh"), cluster="branch", weights=weights)
    block = moments.blocks[0]
    weight = np.ones(block.n_obs) if block.weights is None else block.weights
    deviations = block.cases - block.means

    def trace(index: list[int]) -> float:
        s = block.covariance[np.ix_(index, index)]
        columns, rows = np.triu_indices(len(index))
        scores = deviations[:, index]
        scores = scores[:, rows] * scores[:, columns] - s[rows, columns]
        gamma_nt = (
            s[np.ix_(rows, rows)] * s[np.ix_(columns, columns)]
            + s[np.ix_(rows, columns)] * s[np.ix_(columns, rows)]
        )
        if with_means:
            scores = np.hstack([deviations[:, index], scores])
            full = np.zeros((scores.shape[1],) * 2)
            full[: len(index), : len(index)] = s
            full[len(index) :, len(index) :] = gamma_nt
            gamma_nt = full
        sums = pd.DataFrame(scores * weight[:, None]).groupby(block.clusters).sum().to_numpy()
        gamma = sums.T @ sums / weight.sum() * len(sums) / (len(sums) - 1)
        return float(np.trace(np.linalg.solve(gamma_nt, gamma)))

    expected = trace(list(range(6))) - (trace(list(fixed)) if fixed else 0.0)
    found = saturated_trace(block, with_means=with_means, fixed=fixed)
    assert found == pytest.approx(expected, rel=1e-10)
    # Variables one by one: the model of independence is saturated for each of them.
    single = sum(trace([j]) for j in range(6) if j not in fixed)
    assert independence_trace(block, with_means=with_means, fixed=fixed) == pytest.approx(
        single, rel=1e-10
    )


def test_without_clusters_and_weights_the_traces_are_the_plain_ones(customers):
    block = moments_from_frame(customers, list("abcdeh")).blocks[0]
    moments = case_moments(block.cases - block.means, with_means=False).whole()
    variances = np.cumsum([0, *range(6, 1, -1)])
    gamma = (moments[:, variances] ** 2).mean(axis=0)
    expected = float((gamma / (2 * np.diag(block.covariance) ** 2)).sum())
    assert independence_trace(block, with_means=False) == pytest.approx(expected, rel=1e-12)


def test_sums_within_clusters(customers):
    block = moments_from_frame(customers, ["a", "b"], cluster="branch").blocks[0]
    ones = independent_sums(np.ones((block.n_obs, 1)), block)[:, 0]
    sizes = customers.groupby("branch", sort=False).size().to_numpy()
    assert ones / np.sqrt(40 / 39) == pytest.approx(sizes, rel=1e-12)


def test_meat_has_the_rank_of_the_clusters(customers):
    fit = sq.cfa(SMALL, customers, cluster="branch", group="site")
    problem = fit.estimate.problem
    meat = first_order_information(problem.objective, fit.estimate.locals_, problem.blocks)
    half = fit.n_free // 2
    assert meat[:half, half:] == pytest.approx(0.0, abs=0.0)
    # Scores of a group sum to zero: 22 and 18 clusters, 19 parameters each.
    assert np.linalg.matrix_rank(meat[:half, :half]) == 19
    assert np.linalg.matrix_rank(meat[half:, half:]) == 17


def test_rows_without_a_cluster_are_left_out_and_counted(customers):
    holes = customers.copy()
    holes.loc[[3, 50, 51], "branch"] = None
    holes.loc[3, "a"] = np.nan
    fit = sq.cfa(SMALL, holes, cluster="branch")
    assert fit.n_obs == len(holes) - 3
    found = {d.code: d for d in fit.diagnostics}
    # Row 3 would have been left out anyway.
    assert found["rows_without_cluster"].values["n"] == 2
    same = sq.cfa(SMALL, holes.dropna(), cluster="branch")
    assert fit.vcov.to_numpy() == pytest.approx(same.vcov.to_numpy(), rel=1e-12)


def test_few_clusters_are_told(customers):
    codes = [d.code for d in sq.cfa(SMALL, customers, cluster="branch").diagnostics]
    assert "few_clusters" not in codes
    few = customers[customers["branch"].isin([f"branch {i}" for i in range(12)])]
    found = {d.code: d for d in sq.cfa(SMALL, few, cluster="branch").diagnostics}
    assert found["few_clusters"].values["n_clusters"] == 12
    assert "Clusters (branch)" in sq.cfa(SMALL, few, cluster="branch").summary()


def test_clusters_in_several_groups_are_told(customers):
    nested = sq.cfa(SMALL, customers, cluster="branch", group="site")
    assert "clusters_span_groups" not in [d.code for d in nested.diagnostics]
    mixed = customers.assign(site=np.where(np.arange(len(customers)) % 2, "one", "two"))
    found = {d.code: d for d in sq.cfa(SMALL, mixed, cluster="branch", group="site").diagnostics}
    assert found["clusters_span_groups"].values == {"n_clusters": 40, "n_shared": 40}


def test_polars_frames_bring_their_columns(customers):
    polars = pytest.importorskip("polars")
    names = [*"abcdeh", "branch", "weight"]
    frame = polars.DataFrame({name: customers[name].to_list() for name in names})
    options = {"cluster": "branch", "sampling_weights": "weight"}
    fit, same = sq.cfa(SMALL, frame, **options), sq.cfa(SMALL, customers, **options)
    assert fit.vcov.to_numpy() == pytest.approx(same.vcov.to_numpy(), rel=1e-12)


def test_prepared_moments_bring_their_clusters(customers):
    moments = moments_from_frame(customers, list("abcdeh"), cluster="branch")
    fit = sq.cfa(SMALL, moments)
    direct = sq.cfa(SMALL, customers, cluster="branch")
    assert fit.options["cluster"] == "branch"
    assert fit.vcov.to_numpy() == pytest.approx(direct.vcov.to_numpy(), rel=1e-12)
    with pytest.raises(OptionError, match="computed with 'branch'"):
        sq.cfa(SMALL, moments, cluster="site")


def test_nested_models_compare_by_satorra_and_bentler(customers):
    free = sq.cfa(SMALL, customers, cluster="branch")
    tied = sq.cfa("f =~ a + l*b + l*c\ng =~ d + e + h", customers, cluster="branch")
    d, r = free.fit_measures, tied.fit_measures
    c0, c1 = r["chisq_scaling_factor"], d["chisq_scaling_factor"]
    scaling = (r["df"] * c0 - d["df"] * c1) / (r["df"] - d["df"])
    found = sq.compare_models(tied, free, method="satorra.bentler.2001").to_frame()
    value = (r["chisq"] - d["chisq"]) / scaling
    assert found["chisq_diff"].iloc[-1] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "GLS", "ULS", "WLS", "MLF"])
def test_other_estimators_are_refused(customers, estimator):
    with pytest.raises(UnsupportedError, match=f"estimator='{estimator}'.*cluster="):
        sq.cfa(SMALL, customers, cluster="branch", estimator=estimator)


def test_what_would_ignore_clusters_is_refused(customers):
    with pytest.raises(OptionError, match=r"se='standard'.*cluster="):
        sq.cfa(SMALL, customers, cluster="branch", se="standard")
    with pytest.raises(UnsupportedError, match=r"test='satorra.bentler'.*cluster="):
        sq.cfa(SMALL, customers, cluster="branch", test="satorra.bentler")
    with pytest.raises(OptionError, match="needs clusters"):
        sq.cfa(SMALL, customers, se="robust.cluster")
    fit = sq.cfa(SMALL, customers, cluster="branch")
    with pytest.raises(UnsupportedError, match=r"standard errors.*cluster="):
        fit.residuals("standardized")
    assert np.isfinite(fit.residuals("cor")).all(axis=None)


def test_bad_clusters_are_refused(customers):
    with pytest.raises(SurveyError, match="one cluster of 'branch'"):
        sq.cfa(SMALL, customers.assign(branch="only"), cluster="branch")
    with pytest.raises(SurveyError, match="no column 'shop'"):
        sq.cfa(SMALL, customers, cluster="shop")
    with pytest.raises(OptionError, match="name of a column"):
        sq.cfa(SMALL, customers, cluster=3)
    cov = customers[list("abcdeh")].cov()
    with pytest.raises(UnsupportedError, match="cluster= needs the answers"):
        sq.cfa(SMALL, cov=cov, n_obs=300, cluster="branch")
    with pytest.raises(OptionError, match="computed with None"):
        sq.cfa(SMALL, moments_from_matrices(cov, 300), cluster="branch")
