"""Residual statistics against definitions and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sqvalid.errors import UnsupportedError
from sqvalid.latent import moment_weights
from sqvalid.latent.residual_averages import GroupMoments
from sqvalid.latent.residual_summary import root_mean_square, summarise
from sqvalid.latent.residuals import (
    divided_by_standard_error,
    moment_covariance,
    normalized_residuals,
    residual_covariances,
    residuals,
    standardized_residuals,
)


def positive_definite(p, seed):
    a = np.random.default_rng(seed).normal(size=(p, p + 4))
    return a @ a.T / (p + 4)


def duplication(p):
    rows, columns = moment_weights.triangle(p)
    out = np.zeros((p * p, len(rows)))
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        out[i * p + j, k] = out[j * p + i, k] = 1.0
    return out


# --- Weights ------------------------------------------------------------------------------------


def test_order_is_means_then_lower_triangle_by_columns():
    matrix = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    vector = moment_weights.moment_vector(matrix, np.array([7.0, 8.0, 9.0]))
    np.testing.assert_array_equal(vector, [7, 8, 9, 1, 2, 3, 4, 5, 6])


def test_expected_information_is_the_kronecker_form_and_inverts_gamma():
    sigma = positive_definite(4, 1)
    weight = np.linalg.inv(sigma)
    d = duplication(4)
    found = moment_weights.expected_information(sigma, means=False)
    np.testing.assert_allclose(found, 0.5 * d.T @ np.kron(weight, weight) @ d, atol=1e-10)
    both = moment_weights.expected_information(sigma, means=True)
    gamma = moment_weights.normal_gamma(sigma, means=True)
    np.testing.assert_allclose(both @ gamma, np.eye(14), atol=1e-9)


def saturated_loglik(theta, sample, means):
    p = len(means)
    rows, columns = moment_weights.triangle(p)
    sigma = np.zeros((p, p))
    sigma[rows, columns] = sigma[columns, rows] = theta[p:]
    gap = means - theta[:p]
    second = sample + np.outer(gap, gap)
    return -0.5 * (np.linalg.slogdet(sigma)[1] + np.trace(np.linalg.solve(sigma, second)))


def test_observed_information_is_minus_the_hessian():
    p = 3
    sigma, sample = positive_definite(p, 2), positive_definite(p, 3)
    mu, means = np.array([0.3, -0.2, 0.1]), np.array([0.1, 0.2, -0.4])
    theta = moment_weights.moment_vector(sigma, mu)
    step = 1e-4
    hessian = np.zeros((len(theta), len(theta)))
    for i in range(len(theta)):
        for j in range(len(theta)):
            total = 0.0
            for a in (1, -1):
                for b in (1, -1):
                    moved = theta.copy()
                    moved[i] += a * step
                    moved[j] += b * step
                    total += a * b * saturated_loglik(moved, sample, means)
            hessian[i, j] = total / (4 * step**2)
    found = moment_weights.observed_information(sigma, sample, means - mu)
    np.testing.assert_allclose(found, -hessian, rtol=2e-4, atol=2e-4 * np.abs(hessian).max())


def test_observed_equals_expected_at_the_sample_moments():
    sigma = positive_definite(4, 5)
    np.testing.assert_allclose(
        moment_weights.observed_information(sigma, sigma, np.zeros(4)),
        moment_weights.expected_information(sigma, means=True),
        atol=1e-10,
    )


def test_gammas_agree_on_normal_data():
    sigma = positive_definite(3, 7)
    rng = np.random.default_rng(11)
    cases = rng.multivariate_normal(np.zeros(3), sigma, size=200_000)
    normal = moment_weights.normal_gamma(sigma, means=True)
    np.testing.assert_allclose(
        moment_weights.empirical_gamma(cases, means=True), normal, atol=0.03 * np.abs(normal).max()
    )
    score = moment_weights.first_order_information(cases, sigma, np.zeros(3))
    expected = moment_weights.expected_information(sigma, means=True)
    np.testing.assert_allclose(score, expected, atol=0.05 * np.abs(expected).max())


def test_given_covariates_leaves_the_regression_part():
    # For y on a fixed x the variance of s_yx given s_xx is the residual variance times s_xx.
    sigma = np.array([[2.0, 0.6], [0.6, 1.0]])
    gamma = moment_weights.given_fixed(
        moment_weights.normal_gamma(sigma, means=False), 2, (1,), means=False
    )
    np.testing.assert_allclose(gamma[2], 0.0)
    assert gamma[1, 1] == pytest.approx((2.0 - 0.36) * 1.0)
    assert moment_weights.given_fixed(gamma, 2, (), means=False) is gamma


def test_empirical_gamma_given_covariates_is_the_normal_one_on_normal_data():
    sigma = positive_definite(3, 8)
    rng = np.random.default_rng(12)
    cases = rng.multivariate_normal(np.zeros(3), sigma, size=200_000)
    normal = moment_weights.given_fixed(
        moment_weights.normal_gamma(sigma, means=True), 3, (2,), means=True
    )
    found = moment_weights.empirical_gamma(cases, means=True, fixed=(2,))
    np.testing.assert_allclose(found, normal, atol=0.03 * np.abs(normal).max())
    np.testing.assert_array_equal(found[[2, 8]], 0.0)


# --- Residuals ----------------------------------------------------------------------------------


def one_factor(seed=1, n=300, p=4):
    """A one-factor model that is slightly wrong, fitted by least squares to a sample."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    loading = np.linspace(0.6, 0.9, p)
    sigma = np.outer(loading, loading) + np.diag(1 - loading**2)
    cases = rng.multivariate_normal(np.zeros(p), sigma, size=n)
    sample = np.cov(cases.T, ddof=0)

    def implied(theta):
        return np.outer(theta[:p], theta[:p]) + np.diag(theta[p:])

    def discrepancy(theta):
        s = implied(theta)
        sign, logdet = np.linalg.slogdet(s)
        return logdet + np.trace(np.linalg.solve(s, sample)) if sign > 0 else 1e6

    theta = minimize(
        discrepancy, np.concatenate([loading, 1 - loading**2]), method="BFGS", tol=1e-10
    ).x
    rows, columns = moment_weights.triangle(p)
    jacobian = np.zeros((len(rows), 2 * p))
    for k in range(2 * p):
        up, down = theta.copy(), theta.copy()
        up[k] += 1e-5
        down[k] -= 1e-5
        jacobian[:, k] = ((implied(up) - implied(down)) / 2e-5)[rows, columns]
    return GroupMoments(n, sample, implied(theta)), jacobian, cases


def test_metrics_of_one_pair():
    g = GroupMoments(
        100, np.array([[4.0, 1.0], [1.0, 9.0]]), np.array([[4.0, 0.4], [0.4, 16.0]]),
        np.array([1.0, 2.0]), np.array([0.5, 2.0]),
    )  # fmt: skip
    assert residuals(g).covariance[0, 1] == pytest.approx(0.6)
    assert residuals(g, "cor.bentler").covariance[0, 1] == pytest.approx(0.1)
    assert residuals(g, "cor").covariance[0, 1] == pytest.approx(1 / 6 - 0.4 / 8)
    assert residuals(g, "cor").covariance[1, 1] == pytest.approx(0.0)
    assert residuals(g, "cor.bentler").covariance[1, 1] == pytest.approx(-7 / 9)
    np.testing.assert_allclose(residuals(g).means, [0.5, 0.0])
    np.testing.assert_allclose(residuals(g, "cor").means, [0.25, 0.0])


def test_normalized_is_residual_over_moment_error():
    g, _, _ = one_factor()
    s = g.covariance
    expected = (s[0, 1] - g.implied_covariance[0, 1]) / math.sqrt(
        (s[0, 0] * s[1, 1] + s[0, 1] ** 2) / 300
    )
    assert normalized_residuals(g).covariance[0, 1] == pytest.approx(expected)


def test_standardized_residuals_have_unit_variance():
    z = []
    for seed in range(80):
        g, jacobian, _ = one_factor(seed)
        found = standardized_residuals([g], [jacobian])[0].covariance
        z.append(found[np.tril_indices(4, -1)])
    z = np.array(z)
    assert np.abs(z.mean(axis=0)).max() < 0.4
    assert z.std() == pytest.approx(1.0, abs=0.15)


def test_what_the_model_fixes_is_zero():
    g, jacobian, _ = one_factor()
    found = standardized_residuals([g], [jacobian])[0]
    np.testing.assert_array_equal(np.diag(found.covariance), 0.0)


def test_residual_without_variance_is_undefined_when_it_is_not_zero():
    g = GroupMoments(100, np.array([[2.0]]), np.array([[1.0]]))
    found = divided_by_standard_error(g, np.zeros((1, 1)), np.ones((1, 1)))
    assert math.isnan(found.covariance[0, 0])


def test_separate_groups_are_separate():
    first, delta1, _ = one_factor(1)
    second, delta2, _ = one_factor(2, n=500)
    wide1 = np.hstack([delta1, np.zeros_like(delta1)])
    wide2 = np.hstack([np.zeros_like(delta2), delta2])
    together = residual_covariances([first, second], [wide1, wide2])
    np.testing.assert_allclose(together[0], residual_covariances([first], [delta1])[0], atol=1e-12)
    np.testing.assert_allclose(together[1], residual_covariances([second], [delta2])[0], atol=1e-12)


def test_shared_parameters_are_estimated_from_both_groups():
    g, delta, _ = one_factor(1)
    pooled = residual_covariances([g, g], [delta, delta])
    alone = residual_covariances([g], [delta])[0]
    # A parameter estimated from twice the cases takes half as much out of a residual.
    moments = moment_covariance(g)
    np.testing.assert_allclose(pooled[0], (moments + alone) / 2, atol=1e-10)


def test_robust_needs_cases():
    g, delta, cases = one_factor()
    with pytest.raises(UnsupportedError, match="needs the cases"):
        moment_covariance(g, robust=True)
    with pytest.raises(UnsupportedError, match="needs the cases"):
        residual_covariances([g], [delta], information="first.order")
    assert moment_covariance(g, robust=True, cases=cases).shape == (10, 10)


# --- Summaries ----------------------------------------------------------------------------------


def test_root_mean_square_estimates_the_population_value():
    # Residuals drawn around a known vector: the corrected value is closer than the raw one.
    rng = np.random.default_rng(3)
    truth = np.full(20, 0.05)
    covariance = np.eye(20) * 0.04**2
    draws = [
        root_mean_square(rng.multivariate_normal(truth, covariance), covariance, count=20)
        for _ in range(400)
    ]
    raw = np.mean([d.value for d in draws])
    corrected = np.mean([d.unbiased for d in draws])
    assert abs(corrected - 0.05) < 0.003 < abs(raw - 0.05)
    covered = np.mean([d.ci_lower <= 0.05 <= d.ci_upper for d in draws])
    assert covered == pytest.approx(0.90, abs=0.05)
    assert np.std([d.unbiased for d in draws]) == pytest.approx(
        np.mean([d.unbiased_se for d in draws]), rel=0.15
    )


def test_exact_fit_is_rejected_at_its_level():
    rng = np.random.default_rng(4)
    covariance = positive_definite(30, 9) * 1e-3
    pvalues = [
        root_mean_square(
            rng.multivariate_normal(np.zeros(30), covariance), covariance, count=30
        ).exactfit_pvalue
        for _ in range(600)
    ]
    assert np.mean(np.array(pvalues) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_no_noise_no_test():
    found = root_mean_square(np.zeros(3), np.zeros((3, 3)), count=3)
    assert found.value == found.unbiased == 0.0
    assert math.isnan(found.se)
    assert math.isnan(found.closefit_pvalue)


def test_summary_parts_follow_the_mean_structure():
    g, delta, _ = one_factor()
    covariance = residual_covariances([g], [delta])[0]
    assert set(summarise(g, covariance, "raw")) == {"cov"}
    with_means = GroupMoments(g.n_obs, g.covariance, g.implied_covariance, np.zeros(4), np.zeros(4))
    wide = np.zeros((14, 12))
    wide[:4, :4] = np.eye(4)
    wide[4:, 4:] = delta
    parts = summarise(with_means, residual_covariances([with_means], [wide])[0], "cor.bentler")
    assert set(parts) == {"cov", "mean", "total"}
    assert parts["total"].value < parts["cov"].value
    assert parts["mean"].value == 0.0
    assert parts["cov"].to_dict("srmr")["srmr"] == parts["cov"].value


def test_crmr_counts_correlations_only():
    g, delta, _ = one_factor()
    covariance = residual_covariances([g], [delta])[0]
    crmr = summarise(g, covariance, "cor")["cov"]
    srmr = summarise(g, covariance, "cor.bentler")["cov"]
    assert crmr.value / srmr.value == pytest.approx(math.sqrt(10 / 6), rel=1e-4)
