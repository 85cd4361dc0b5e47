"""Gradient and second derivatives of the discrepancies of EFA, by central differences."""

from __future__ import annotations

import numpy as np
import pytest

from sqvalid.exploratory.extraction import _Problem

STEP = 1e-5


def correlation() -> np.ndarray:
    answers = np.random.default_rng(8).normal(size=(80, 7))
    answers[:, :4] += np.random.default_rng(9).normal(size=(80, 1))
    return np.corrcoef(answers, rowvar=False)


@pytest.mark.parametrize("method", ["ml", "gls", "minres", "wls"])
@pytest.mark.parametrize("n_factors", [1, 2])
def test_derivatives(method, n_factors):
    problem = _Problem.of(method, correlation(), n_factors)
    # Away from the minimum, so that terms with the gradient count.
    psi = np.linspace(0.35, 0.8, 7)
    steps = STEP * np.eye(7)
    slope = [
        (problem.function(psi + e)[0] - problem.function(psi - e)[0]) / (2 * STEP) for e in steps
    ]
    curve = [
        (problem.function(psi + e)[1] - problem.function(psi - e)[1]) / (2 * STEP) for e in steps
    ]
    np.testing.assert_allclose(problem.function(psi)[1], slope, rtol=1e-6, atol=1e-8)
    # Central differences of 1e-5 leave some 1e-8 of the largest derivative.
    exact = problem.hessian(psi)
    np.testing.assert_allclose(exact, curve, rtol=1e-6, atol=1e-7 * np.abs(exact).max())
