"""The simulation study of robust estimators: its population is right, it runs, its page is its own.

The study itself takes minutes; here three replications show that the script works.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "studies"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location(
        "robust_estimators_study", FOLDER / "robust_estimators.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def small(study):
    return study.run_study(3)


def test_every_cell_is_there(study, small):
    cells = list(zip(small["answers"], small["n"], small["estimator"], strict=True))
    assert cells == [
        (answers, n, estimator)
        for answers in study.ANSWERS
        for n in study.SIZES
        for estimator in study.TESTS
    ]
    assert (small["replications"] == 3).all()
    assert (small["not_converged"] == 0).all()
    rates = small[[c for c in small if c.startswith(("rejected", "coverage"))]]
    assert rates.notna().all().all()
    assert rates.min().min() >= 0
    assert rates.max().max() <= 1


def test_estimators_that_share_standard_errors_have_the_same_intervals(small):
    columns = [c for c in small if c.startswith(("coverage", "se_ratio"))]
    by_estimator = {name: frame[columns] for name, frame in small.groupby("estimator")}
    np.testing.assert_array_equal(by_estimator["MLM"], by_estimator["MLMV"])
    assert not np.allclose(by_estimator["MLM"], by_estimator["ML"], rtol=1e-6)
    assert not np.allclose(by_estimator["MLM"], by_estimator["MLR"], rtol=1e-6)


def test_normal_population_is_the_model_with_the_values_written_down(study):
    fit = study.population_fit("normal")
    assert fit.fit_measures["chisq"] / fit.n_obs == pytest.approx(0, abs=1e-12)
    standard = fit.standardized("all").set_index(["lhs", "op", "rhs"])["est"]
    for factor, own in study.LOADINGS.items():
        for item, value in own.items():
            assert standard[factor, "=~", item] == pytest.approx(value, abs=1e-7)
    for (outcome, cause), value in study.PATHS.items():
        assert standard[outcome, "~", cause] == pytest.approx(value, abs=1e-7)
    target = study.quantities(fit)
    np.testing.assert_allclose(
        target.est[study.PARTS["correlations"]], list(study.CORRELATIONS.values()), atol=1e-7
    )
    # In the metric of the markers: .35 * .50, with REL and RPI in units of .8.
    assert target.est[-1] == pytest.approx(0.35 * 0.50 * 0.8 / 0.8, abs=1e-7)


def test_skewed_answers_are_as_skewed_as_said(study):
    for shares in map(np.array, study.SHARES):
        assert shares.sum() == pytest.approx(1)
        x = np.arange(1, 6) - shares @ np.arange(1, 6)
        assert -1.5 < shares @ x**3 / (shares @ x**2) ** 1.5 < -1.2


def test_covariance_of_categories_at_thresholds_of_zero(study):
    # Sheppard (1899): P(both above their medians) = 1/4 + asin(rho) / (2 pi).
    zero = np.zeros(1)
    for rho in (-0.8, 0.3, 0.72):
        expected = np.arcsin(rho) / (2 * np.pi)
        assert study.covariance_of_categories(rho, zero, zero) == pytest.approx(expected, abs=1e-13)


def test_population_of_categories_is_what_large_samples_tend_to(study):
    n = 200_000
    sample = study.draw(n, "skewed", 0)
    assert set(np.unique(sample)) == {1, 2, 3, 4, 5}
    deviations = (sample - sample.mean()).to_numpy()
    population = study.population_covariance("skewed").to_numpy()
    fourth = (deviations**2).T @ deviations**2 / n
    error = np.sqrt((fourth - population**2) / n)
    z = (deviations.T @ deviations / n - population) / error
    # 171 moments: the largest |z| passes 4.5 once in a thousand seeds.
    assert np.abs(z).max() < 4.5


def test_both_kinds_of_answers_come_from_the_same_normal_variables(study):
    normal, skewed = (study.draw(150, answers, 7) for answers in study.ANSWERS)
    for item in range(len(study.ITEMS)):
        cut = 1 + (normal.iloc[:, item].to_numpy()[:, None] > study.cuts(item)).sum(axis=1)
        np.testing.assert_array_equal(skewed.iloc[:, item], cut)
    assert not normal.equals(study.draw(150, "normal", 8))


def test_summary_counts_what_is_covered(study):
    width = len(study.ITEMS) + len(study.CORRELATIONS) + 1
    target = study.Quantities(np.zeros(width), *(np.full(width, np.nan),) * 3)

    def outcome(est, pvalue, admissible=True):
        est = np.full(width, est)
        found = study.Quantities(est, np.full(width, 0.5), est - 1, est + 1)
        return study.Outcome(admissible, 12.0, pvalue, found)

    row = study.summarise(
        [
            outcome(0.5, 0.01),
            outcome(-0.5, 0.2),
            outcome(1.5, 0.3, admissible=False),
            outcome(-1.5, 0.4),
            study.Outcome(False),
        ],
        target,
        10,
    )
    assert row["not_converged"] == 1
    assert row["inadmissible"] == 1
    assert row["rejected"] == 0.25
    assert row["rejected_mcse"] == pytest.approx(0.25)
    assert row["mean_stat"] == pytest.approx(1.2)
    assert row["coverage_loadings"] == row["coverage_indirect"] == 0.5
    assert row["se_ratio_correlations"] == pytest.approx(0.5 / np.sqrt(5 / 3))


def test_page_shows_this_design(study):
    page = study.PAGE.read_text(encoding="utf-8")
    assert page.count(study.BEGIN) == page.count(study.END) == 1
    tables = page.split(study.BEGIN)[1].split(study.END)[0]
    assert f"1,000 replications per cell, seed {study.SEED}" in tables
    assert "\n".join(study.population_lines()) in tables
    for answers in study.ANSWERS:
        for n in study.SIZES:
            for estimator in study.TESTS:
                assert tables.count(f"| {answers} | {n} | {estimator} |") == 2


def test_the_study_of_missing_answers_runs_and_finds_what_its_page_says():
    spec = importlib.util.spec_from_file_location("missing_study", FOLDER / "missing_answers.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        found = module.run_study(40).set_index(["mechanism", "method"])
        whole = module.complete_answers(module.SEED, 0)
    finally:
        del sys.modules[spec.name]
    assert list(found.index) == [(m, k) for m in module.MECHANISMS for k in module.METHODS]
    assert (found.failed == 0).all()
    assert abs(whole.to_numpy().std() - 1.0) < 0.05
    # The differences of the page are many standard errors of forty samples.
    mar = found.loc["MAR"]
    assert mar.loc["listwise", "s1 mean"] < -0.15 < mar.loc["fiml", "s1 mean"]
    assert mar.loc["pairwise", "S~Q bias"] < -0.08 < mar.loc["fiml", "S~Q bias"]
    assert mar.loc["pairwise", "S~Q covered"] < 0.7 < mar.loc["two.stage", "S~Q covered"]
    page = (FOLDER / "missing_answers.md").read_text(encoding="utf-8")
    assert "| MAR | fiml | 0 | 400 |" in page


def test_the_study_of_the_number_of_factors_runs_and_its_page_is_of_this_design(monkeypatch):
    spec = importlib.util.spec_from_file_location("factors_study", FOLDER / "number_of_factors.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        page = module.PAGE.read_text(encoding="utf-8")
        shown = page.split(module.BEGIN)[1].split(module.END)[0]
        assert f"seed {module.SEED}" in shown
        for population in module.POPULATIONS:
            assert population.name in shown
        for rule in ("recommended", "parallel_factors", "hull_cfi", "chisq", "kaiser"):
            assert f"| {rule} |" in shown
        answers = module.draw(module.POPULATIONS[1], 0)
        assert answers.shape == (300, 15)
        assert set(np.unique(answers)) == {1, 2, 3, 4, 5}
        assert answers.equals(module.draw(module.POPULATIONS[1], 0))
        monkeypatch.setattr(module, "POPULATIONS", module.POPULATIONS[:2])
        found = module.run_study(2, comparison_data=False).set_index(["population", "rule"])
    finally:
        del sys.modules[spec.name]
    assert found.loc[("one factor", "parallel_components"), "right"] == 1.0
    shares = found[["right", "too_few", "too_many", "none"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1.0)


def test_the_study_of_ordered_answers_runs_and_its_population_is_right():
    spec = importlib.util.spec_from_file_location(
        "ordered_answers_study", FOLDER / "ordered_answers.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    try:
        found = module.run_study(2)
        cells = list(zip(found["answers"], found["n"], found["estimator"], strict=True))
        assert cells == [
            (kind, n, estimator)
            for kind in module.CUTS
            for n in module.SIZES
            for estimator in module.ESTIMATORS
        ]
        assert (found["failed"] == 0).all()
        assert found["loading covered"].between(0, 1).all()
        page = module.PAGE.read_text(encoding="utf-8")
        assert module.table(found).splitlines()[0] in page
        # Shares of the categories are those of the thresholds, within four standard errors.
        n = 20_000
        for kind, cuts in module.CUTS.items():
            answers = module.answers(kind, n, 5, 0)
            below = np.array([(answers["a1"] <= k).mean() for k in range(4)])
            expected = module.special.ndtr(cuts)
            assert (np.abs(below - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()
    finally:
        del sys.modules[spec.name]
