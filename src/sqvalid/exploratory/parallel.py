"""Parallel analysis: eigenvalues of items that have nothing in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from sqvalid.exploratory.extraction import LOWEST, extract, squared_multiple_correlations
from sqvalid.exploratory.matrices import correlate_values
from sqvalid.resampling import normals, shuffled, uniforms

__all__ = ["parallel_eigenvalues", "reduced_eigenvalues"]

Array = npt.NDArray[np.float64]
_SWEEPS, _CHANGE = 1000, 1e-8
_DOMINANT = 0.8


def reduced_eigenvalues(r: Array) -> Array:
    """Eigenvalues with the communalities of one minres factor on the diagonal, as in psych."""
    reduced = r.copy()
    np.fill_diagonal(reduced, 1.0 - extract(r, 1, "minres").uniquenesses)
    return np.asarray(np.linalg.eigvalsh(reduced)[::-1])


def _communalities(stack: Array) -> Array:
    """Communalities of one minres factor of many matrices at once, shape (k, p).

    Each loading in turn is put where the residuals of its row are smallest, the others held
    (Harman & Jones 1966), not beyond the bound of the uniquenesses.
    """
    k, p = stack.shape[:2]
    values, vectors = np.linalg.eigh(stack)
    smc = np.array([squared_multiple_correlations(r) for r in stack])
    size = np.sqrt(values[:, -1:] * smc.mean(axis=1)[:, None])
    loadings: Array = vectors[:, :, -1] * size
    bound = np.sqrt(1.0 - LOWEST)
    active = np.arange(k)
    for _ in range(_SWEEPS):
        a, r = loadings[active], stack[active]
        before = a.copy()
        for j in range(p):
            own = a[:, j]
            others = np.einsum("ij,ij->i", a, a) - own**2
            a[:, j] = np.clip(
                (np.einsum("ij,ij->i", r[:, j], a) - own) / np.maximum(others, 1e-12),
                -bound,
                bound,
            )
        loadings[active] = a
        active = active[np.abs(a - before).max(axis=1) > _CHANGE]
        if not len(active):
            break
    # One item that is nearly all of the factor: such matrices have several minima, and the search
    # by uniquenesses decides, as it does for the observed matrix.
    common = loadings**2
    for k in np.flatnonzero(common.max(axis=1) > _DOMINANT):
        common[k] = 1.0 - extract(stack[k], 1, "minres").uniquenesses
    return common


def _wishart_correlation(n: int, p: int, seed: int, draw: int) -> Array:
    """Correlations of n independent normal respondents, without drawing the respondents.

    The triangular root of a Wishart matrix has chi variables on its diagonal and standard
    normal ones below (Bartlett 1933).
    """
    root = np.zeros((p, p))
    root[np.tril_indices(p, -1)] = normals(seed, draw, p * (p - 1) // 2)
    half_df = (n - 1 - np.arange(p)) / 2.0
    # Streams of the diagonal lie beside those of the rest.
    root[np.diag_indices(p)] = np.sqrt(2.0 * gammaincinv(half_df, uniforms(seed, 2**41 + draw, p)))
    products = root @ root.T
    scale = np.sqrt(np.diag(products))
    return np.asarray(products / np.outer(scale, scale))


def parallel_eigenvalues(
    n: int,
    p: int,
    *,
    n_draws: int = 100,
    factors: bool = True,
    answers: Array | None = None,
    correlation: str = "pearson",
    seed: int = 20261122,
) -> tuple[Array, Array]:
    """Eigenvalues of items that have nothing in common.

    Parameters
    ----------
    n, p : int
        Respondents, more than p of them, and items.
    n_draws : int
    factors : bool
        Whether the reduced matrices are analysed, too.
    answers : ndarray, shape (n, p), optional
        Draw by shuffling each item of these answers; by default normal variables.
    correlation : {"pearson", "polychoric"}
        How the shuffled answers are correlated.
    seed : int

    Returns
    -------
    components, factors : ndarray, shape (n_draws, p)
        The second is empty without `factors`.

    References
    ----------
    Horn (1965); Humphreys & Montanelli (1975).
    """
    stack = np.empty((n_draws, p, p))
    for draw in range(n_draws):
        if answers is None:
            stack[draw] = _wishart_correlation(n, p, seed, draw)
        else:
            columns = [answers[shuffled(seed, draw * p + j, n), j] for j in range(p)]
            stack[draw] = correlate_values(np.column_stack(columns), correlation, "listwise")[0]
    components = np.asarray(np.linalg.eigvalsh(stack)[:, ::-1], dtype=np.float64)
    if not factors:
        return components, np.empty((0, p))
    diagonal = np.arange(p)
    stack[:, diagonal, diagonal] = _communalities(stack)
    return components, np.asarray(np.linalg.eigvalsh(stack)[:, ::-1], dtype=np.float64)
