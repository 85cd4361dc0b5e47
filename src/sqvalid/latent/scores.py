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


def bartlett_weights(state: State) -> Array:
    r"""Weights of Bartlett (1937) scores.

    First-order factors: :math:`(\Lambda'\Theta^{-1}\Lambda)^{-1}\Lambda'\Theta^{-1}`. Factors
    that are measured through other factors get generalised least squares scores from the
    reduced form, in which their indicators' disturbances are error:
    :math:`(L'\Omega^{-1}L)^{-1}L'\Omega^{-1}` with L the total effects on the items.

    Returns
    -------
    ndarray, shape (m, p)

    Raises
    ------
    EstimationError
        Residual variances of zero, for which the weights do not exist.
    """
    p, m = state.sigma.shape[0], state.phi.shape[0]
    lambda_, theta = state.matrices["lambda"], state.matrices["theta"]
    direct = [k for k in range(m) if lambda_[:, k].any()]
    weights = np.zeros((m, p))
    items = lambda_[:, direct]
    try:
        solved = np.linalg.solve(theta, items)
    except np.linalg.LinAlgError:
        solved = np.full_like(items, np.nan)
    if not np.isfinite(solved).all():
        raise EstimationError(
            "Bartlett scores do not exist where an item has no residual variance.",
            remedy="Use method='regression'.",
        )
    weights[direct] = np.linalg.solve(items.T @ solved, solved.T)
    higher = [k for k in range(m) if k not in direct]
    if higher:
        total = state.c[:, p : p + m][:, higher]
        psi = state.matrices["psi"].copy()
        psi[higher, :] = 0.0
        psi[:, higher] = 0.0
        loading = state.c[:, p : p + m]
        omega = loading @ psi @ loading.T + theta
        solved = np.linalg.solve(omega, total)
        weights[higher] = np.linalg.solve(total.T @ solved, solved.T)
    return weights


def factor_scores(
    state: State, layout: Layout, cases: Array, method: str, means: Array | None
) -> Array:
    """Scores of respondents on the latent variables.

    Parameters
    ----------
    cases : ndarray, shape (n, p)
    method : {"regression", "bartlett"}
    means : ndarray, shape (p,), optional
        Sample means when the model has none.

    Returns
    -------
    ndarray, shape (n, n_latents)
    """
    weights = regression_weights(state) if method == "regression" else bartlett_weights(state)
    if means is not None:
        scores = (cases - means) @ weights.T
    elif method == "regression":
        scores = (cases - state.mu) @ weights.T + state.eta
    else:
        scores = (cases - state.matrices["nu"]) @ weights.T
    kept: Array = scores[:, : layout.n_latents]
    return kept
