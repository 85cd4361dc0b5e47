"""Factor scores of respondents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import EstimationError
from sqvalid.latent.implied import Array, Layout, State
from sqvalid.moments.patterns import missing_patterns


def regression_weights(state: State) -> Array:
    r"""Weights of regression scores (Thurstone, 1935): :math:`\Phi\Lambda'\Sigma^{-1}`.

    Returns
    -------
    ndarray, shape (m, p)
    """
    p, m = state.sigma.shape[0], state.phi.shape[0]
    return np.asarray(np.linalg.solve(state.sigma, state.c[:, p + m :]).T, dtype=np.float64)


def bartlett_weights(state: State, layout: Layout, there: NDArray[np.bool_] | None = None) -> Array:
    r"""Weights of Bartlett (1937) scores.

    First-order factors: :math:`(\Lambda'\Theta^{-1}\Lambda)^{-1}\Lambda'\Theta^{-1}` over the
    items that measure latent variables. Factors that are measured through other factors get
    generalised least squares scores from the reduced form, in which the disturbances of their
    indicators are error: :math:`(L'\Omega^{-1}L)^{-1}L'\Omega^{-1}`, with L the total effects on
    the items.

    Parameters
    ----------
    there : ndarray of bool, shape (p,), optional
        The items that were answered.

    Returns
    -------
    ndarray, shape (m, p)
        NaN for factors that no answered item measures.

    Raises
    ------
    EstimationError
        Residual variances of zero, for which the weights do not exist.
    """
    p, m = state.sigma.shape[0], state.phi.shape[0]
    # Covariates that stand among the factors measure nothing.
    lifted = set(layout.factors[layout.n_latents :])
    items = [
        j
        for j, name in enumerate(layout.observed)
        if name not in lifted and (there is None or there[j])
    ]
    lambda_ = state.matrices["lambda"][items]
    theta = state.matrices["theta"][np.ix_(items, items)]
    every = np.asarray(state.matrices["lambda"].any(axis=0))
    direct = [k for k in range(layout.n_latents) if lambda_[:, k].any()]
    higher = [k for k in range(layout.n_latents) if not every[k]]
    weights = np.zeros((m, p))
    weights[[k for k in range(layout.n_latents) if every[k] and k not in direct]] = np.nan
    weights[np.ix_(direct, items)] = _generalised_least_squares(lambda_[:, direct], theta)
    if higher:
        loading = state.c[items, p : p + m]
        psi = state.matrices["psi"].copy()
        psi[higher, :] = 0.0
        psi[:, higher] = 0.0
        omega = loading @ psi @ loading.T + theta
        weights[[k for k in higher if not loading[:, k].any()]] = np.nan
        higher = [k for k in higher if loading[:, k].any()]
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


def _pattern_scores(
    state: State, layout: Layout, distance: Array, there: NDArray[np.bool_], method: str
) -> Array:
    """Scores, about the latent means, of respondents who answered the items in `there`.

    Bartlett scores of a factor none of whose items were answered do not exist: NaN.
    """
    if there.all():
        weights = (
            regression_weights(state) if method == "regression" else bartlett_weights(state, layout)
        )
        return np.asarray(distance @ weights.T)
    p = len(there)
    if method == "regression":
        phi = state.c[there][:, p + state.phi.shape[0] :]
        solved = np.linalg.solve(state.sigma[np.ix_(there, there)], phi)
        return np.asarray(distance[:, there] @ solved)
    # Weights of items that are missing are zero; those of factors without any item are not there.
    return np.asarray(np.where(there, distance, 0.0) @ bartlett_weights(state, layout, there).T)


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
        NaN where missing; scores are then those of the answers there are.
    method : {"regression", "bartlett"}
    means : ndarray, shape (p,), optional
        Sample means, when the model has none.
    latent_means : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (n, n_latents)
    """
    centre = state.mu if means is None else means
    scores = np.full((len(cases), len(latent_means)), np.nan)
    patterns, member = missing_patterns(cases)
    for k, there in enumerate(patterns):
        rows = np.flatnonzero(member == k)
        scores[rows] = _pattern_scores(state, layout, cases[rows] - centre, there, method)
    kept: Array = (scores + latent_means)[:, : layout.n_latents]
    return kept
