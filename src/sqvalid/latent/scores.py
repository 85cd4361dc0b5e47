"""Factor scores of respondents."""

from __future__ import annotations

import numpy as np

from sqvalid.errors import EstimationError
from sqvalid.latent.implied import Array, Layout, State


def regression_weights(state: State) -> Array:
    r"""Weights of regression scores (Thurstone, 1935): :math:`\Phi\Lambda'\Sigma^{-1}`.

    Returns
    -------
    ndarray, shape (m, p)
    """
    p, m = state.sigma.shape[0], state.phi.shape[0]
    return np.asarray(np.linalg.solve(state.sigma, state.c[:, p + m :]).T, dtype=np.float64)


def bartlett_weights(state: State, layout: Layout) -> Array:
    r"""Weights of Bartlett (1937) scores.

    First-order factors: :math:`(\Lambda'\Theta^{-1}\Lambda)^{-1}\Lambda'\Theta^{-1}` over the
    items that measure latent variables. Factors that are measured through other factors get
    generalised least squares scores from the reduced form, in which the disturbances of their
    indicators are error: :math:`(L'\Omega^{-1}L)^{-1}L'\Omega^{-1}`, with L the total effects on
    the items.

    Returns
    -------
    ndarray, shape (m, p)

    Raises
    ------
    EstimationError
        Residual variances of zero, for which the weights do not exist.
    """
    p, m = state.sigma.shape[0], state.phi.shape[0]
    # Covariates that stand among the factors measure nothing.
    lifted = set(layout.factors[layout.n_latents :])
    items = [j for j, name in enumerate(layout.observed) if name not in lifted]
    lambda_ = state.matrices["lambda"][items]
    theta = state.matrices["theta"][np.ix_(items, items)]
    direct = [k for k in range(layout.n_latents) if lambda_[:, k].any()]
    higher = [k for k in range(layout.n_latents) if k not in direct]
    weights = np.zeros((m, p))
    weights[np.ix_(direct, items)] = _generalised_least_squares(lambda_[:, direct], theta)
    if higher:
        loading = state.c[items, p : p + m]
        psi = state.matrices["psi"].copy()
        psi[higher, :] = 0.0
        psi[:, higher] = 0.0
        omega = loading @ psi @ loading.T + theta
        weights[np.ix_(higher, items)] = _generalised_least_squares(loading[:, higher], omega)
    return weights


def _generalised_least_squares(design: Array, covariance: Array) -> Array:
    """(X'C^-1 X)^-1 X'C^-1."""
    try:
        solved = np.linalg.solve(covariance, design)
        return np.asarray(np.linalg.solve(design.T @ solved, solved.T), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise EstimationError(
            "Bartlett scores do not exist where an item has no residual variance.",
            remedy="Use method='regression'.",
        ) from None


def factor_scores(
    state: State,
    layout: Layout,
    cases: Array,
    method: str,
    *,
    means: Array | None,
    latent_means: Array,
) -> Array:
    """Scores of respondents on the latent variables.

    Parameters
    ----------
    cases : ndarray, shape (n, p)
    method : {"regression", "bartlett"}
    means : ndarray, shape (p,), optional
        Sample means, when the model has none.
    latent_means : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (n, n_latents)
    """
    weights = (
        regression_weights(state) if method == "regression" else bartlett_weights(state, layout)
    )
    centre = state.mu if means is None else means
    scores = (cases - centre) @ weights.T
    kept: Array = (scores + latent_means)[:, : layout.n_latents]
    return kept
