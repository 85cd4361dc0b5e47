"""Known truth: simulated populations and a published growth curve."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq

SHARED = Path(os.environ.get("SQVALID_SHARED") or Path(__file__).parents[2].parent / "shared")


def population():
    """Loadings, factor correlation and residual variances of two factors with three items."""
    loadings = np.zeros((6, 2))
    loadings[:3, 0] = 1.0, 0.8, 1.2
    loadings[3:, 1] = 1.0, 0.7, 0.9
    phi = np.array([[1.0, 0.4], [0.4, 0.8]])
    theta = np.array([0.6, 0.7, 0.5, 0.6, 0.8, 0.7])
    return loadings, phi, theta


MODEL = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
NAMES = [f"x{i}" for i in range(1, 7)]


def truth(fit) -> np.ndarray:
    """Population values in the order of the free parameters."""
    loadings, phi, theta = population()
    values = {("f", "~~", "f"): phi[0, 0], ("g", "~~", "g"): phi[1, 1], ("f", "~~", "g"): phi[0, 1]}
    for i, name in enumerate(NAMES):
        values[("f" if i < 3 else "g", "=~", name)] = loadings[i].max()
        values[(name, "~~", name)] = theta[i]
    rows = fit.parameters[fit.parameters.free > 0].sort_values("free")
    return np.array([values[(r.lhs, r.op, r.rhs)] for r in rows.itertuples()])


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_intervals_cover_the_truth_and_the_statistic_is_chi_square(estimator):
    loadings, phi, theta = population()
    root = np.linalg.cholesky(loadings @ phi @ loadings.T + np.diag(theta))
    rng = np.random.default_rng(11)
    replications, n = 200, 250
    fits = [
        sq.cfa(
            MODEL,
            pd.DataFrame(rng.standard_normal((n, 6)) @ root.T, columns=NAMES),
            estimator=estimator,
        )
        for _ in range(replications)
    ]
    assert all(fit.converged for fit in fits)
    expected = truth(fits[0])
    errors = [(fit.estimate.theta - expected) / np.sqrt(np.diag(fit.estimate.vcov)) for fit in fits]
    covered = np.abs(errors) < 1.96
    name = "standard" if estimator == "ML" else "yuan.bentler.mplus"
    statistics = [fit.tests[name]["stat"] for fit in fits]
    # 13 parameters in 200 samples: the share has a standard error of about .004 if they were
    # independent, .015 if they moved together.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)
    assert np.mean(covered, axis=0).min() > 0.88
    # No parameter is off by more than three standard errors of its mean, plus a small-sample
    # bias of a tenth of a standard error.
    assert np.abs(np.mean(errors, axis=0)).max() < 3 / np.sqrt(replications) + 0.1
    # Mean 8 and variance 16 of chi-square on 8 degrees of freedom.
    assert np.mean(statistics) == pytest.approx(8.0, abs=3 * np.sqrt(16 / replications))
    assert np.var(statistics) == pytest.approx(16.0, rel=0.4)


def test_population_covariance_is_recovered_exactly():
    loadings, phi, theta = population()
    sigma = pd.DataFrame(loadings @ phi @ loadings.T + np.diag(theta), NAMES, NAMES)
    fit = sq.cfa(MODEL, cov=sigma, n_obs=400, sample_cov_rescale=False)
    np.testing.assert_allclose(fit.coef, truth(fit), atol=1e-9)
    assert fit.fit_measures["chisq"] == pytest.approx(0.0, abs=1e-9)
    correlation = phi[0, 1] / np.sqrt(phi[0, 0] * phi[1, 1])
    assert fit.latent_correlation.loc["f", "g"] == pytest.approx(correlation, abs=1e-9)


def test_two_groups_with_a_shifted_mean():
    loadings, phi, theta = population()
    root = np.linalg.cholesky(loadings @ phi @ loadings.T + np.diag(theta))
    rng = np.random.default_rng(5)
    shift = loadings @ [0.5, -0.3]
    frames = []
    for label, move in (("before", 0.0), ("after", 1.0)):
        data = pd.DataFrame(rng.standard_normal((3000, 6)) @ root.T + move * shift, columns=NAMES)
        frames.append(data.assign(when=label))
    fit = sq.cfa(MODEL, pd.concat(frames), group="when", group_equal=("loadings", "intercepts"))
    means = fit.latent_means
    np.testing.assert_allclose(means["before"], 0.0)
    # Standard errors of factor means at n = 3000 are about .03.
    np.testing.assert_allclose(means["after"], [0.5, -0.3], atol=0.1)


@pytest.mark.skipif(not (SHARED / "data" / "demo_growth").is_dir(), reason="no shared data")
def test_demo_growth_is_lavaans():
    folder = SHARED / "data" / "demo_growth"
    assert json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    data = pd.read_csv(folder / "data.csv")
    model = "i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4"
    fit = sq.growth(model, data)
    assert fit.df == 5
    assert fit.fit_measures["chisq"] == pytest.approx(8.069, abs=5e-4)
