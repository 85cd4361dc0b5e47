"""Least squares discrepancies and robust corrections: derivatives, invariances, two routes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, UnsupportedError
from sqvalid.latent import robust
from sqvalid.resampling import uniforms

MODEL = """
f =~ x1 + x2 + x3
g =~ x4 + x5 + x6
g ~ f
x2 ~~ x5
"""
# Two-sided differences of a smooth function of order one: step**2 and rounding meet here.
STEP, TOLERANCE = 1e-5, 2e-7


def answers(n: int = 150, seed: int = 5) -> pd.DataFrame:
    """Skewed answers to six items of two related factors."""
    u = uniforms(seed, 0, n * 8).reshape(n, 8)
    f = -np.log(u[:, 6])
    g = 0.6 * f - np.log(u[:, 7])
    items = {f"x{j + 1}": (f if j < 3 else g) * (0.8 + 0.1 * j) + 2.0 * u[:, j] for j in range(6)}
    return pd.DataFrame(items).assign(group=np.where(u[:, 0] < 0.5, "a", "b"))


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("estimator", ["ML", "GLS", "ULS", "WLS"])
def test_derivatives_agree_with_finite_differences(estimator, means):
    fit = sq.sem(MODEL, answers(), estimator=estimator, meanstructure=means)
    objective = fit.estimate.problem.objective
    theta = fit.estimate.theta * 1.07 + 0.01
    locals_ = objective.locals(theta)
    gradient, hessian = objective.gradient(locals_), objective.hessian(locals_)
    for i, direction in enumerate(np.eye(theta.size) * STEP):
        ahead, behind = theta + direction, theta - direction
        slope = (objective.value(ahead) - objective.value(behind)) / (2 * STEP)
        bend = objective.gradient(objective.locals(ahead)) - objective.gradient(
            objective.locals(behind)
        )
        assert slope == pytest.approx(gradient[i], abs=TOLERANCE)
        assert bend / (2 * STEP) == pytest.approx(hessian[:, i], abs=TOLERANCE * 50)


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "MLMVS", "MLR", "GLS", "WLS"])
def test_units_do_not_matter(estimator):
    data = answers()
    scales = np.array([0.1, 3.0, 10.0, 1.0, 0.5, 20.0])
    scaled = data.assign(**{f"x{j + 1}": data[f"x{j + 1}"] * scales[j] for j in range(6)})
    one, two = (sq.sem(MODEL, d, estimator=estimator) for d in (data, scaled))
    assert two.fit_measures["chisq"] == pytest.approx(one.fit_measures["chisq"], rel=1e-8)
    if "chisq_scaled" in one.fit_measures:
        assert two.fit_measures["chisq_scaled"] == pytest.approx(
            one.fit_measures["chisq_scaled"], rel=1e-8
        )
    assert two.standardized().se.to_numpy() == pytest.approx(
        one.standardized().se.to_numpy(), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "MLR", "GLS", "ULSMV", "WLS"])
def test_order_of_groups_does_not_matter(estimator):
    data = answers(300)
    turned = pd.concat([data[data.group == "b"], data[data.group == "a"]])
    one, two = (
        sq.cfa("f =~ x1 + x2 + x3 + x4", d, group="group", estimator=estimator)
        for d in (data, turned)
    )
    for name in ("chisq", "cfi", "rmsea", "chisq_scaled"):
        if name in one.fit_measures:
            assert two.fit_measures[name] == pytest.approx(one.fit_measures[name], rel=1e-8)


@pytest.mark.parametrize("estimator", ["MLMV", "ULSMV"])
@pytest.mark.parametrize("means", [False, True])
def test_cases_and_moments_give_the_same_traces(estimator, means, monkeypatch):
    data = answers()
    by_cases = sq.sem(MODEL, data, estimator=estimator, meanstructure=means)
    monkeypatch.setattr(robust, "_GRAM_ROWS", 1)
    by_moments = sq.sem(MODEL, data, estimator=estimator, meanstructure=means)
    for name in ("chisq_scaled", "baseline_chisq_scaled"):
        assert by_moments.fit_measures[name] == pytest.approx(
            by_cases.fit_measures[name], rel=1e-10
        )


def test_dense_normal_theory_weights_are_the_inverse_of_their_gamma():
    from sqvalid.latent import moment_weights

    covariance = np.cov(answers().iloc[:, :6].to_numpy().T)
    weight = robust.Weight("normal", np.linalg.inv(covariance)).dense(6, with_means=True)
    gamma = moment_weights.normal_gamma(covariance, means=True)
    assert weight @ gamma == pytest.approx(np.eye(27), abs=1e-10)


def test_normal_answers_need_no_scaling():
    from scipy.special import ndtri

    z = ndtri(uniforms(11, 0, 60_000).reshape(10_000, 6))
    data = pd.DataFrame(z + z[:, [0]], columns=[f"x{j}" for j in range(1, 7)])
    fit = sq.cfa("f =~ x1 + x2 + x3 + x4 + x5 + x6", data, estimator="MLM")
    assert fit.fit_measures["chisq_scaling_factor"] == pytest.approx(1.0, abs=0.03)


def test_wls_refuses_fewer_respondents_than_moments():
    with pytest.raises(InputError, match="moments"):
        sq.sem(MODEL, answers(20), estimator="WLS")


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "MLR", "WLS", "ULSMV"])
def test_a_matrix_is_not_enough(estimator):
    covariance = answers().iloc[:, :6].cov()
    with pytest.raises(UnsupportedError, match="needs the answers"):
        sq.sem(MODEL, cov=covariance, n_obs=150, estimator=estimator)


@pytest.mark.parametrize("estimator", ["GLS", "ULS"])
def test_a_matrix_is_enough_for_least_squares(estimator):
    data = answers()
    by_matrix = sq.sem(MODEL, cov=data.iloc[:, :6].cov(), n_obs=150, estimator=estimator)
    by_answers = sq.sem(MODEL, data, estimator=estimator)
    assert by_matrix.fit_measures["chisq"] == pytest.approx(
        by_answers.fit_measures["chisq"], rel=1e-10
    )
