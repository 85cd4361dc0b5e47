r"""Factor extraction from a correlation matrix: ml, minres, paf and principal components.

All but the components minimise a discrepancy over the uniquenesses alone; given these, the
loadings are eigenvectors (Joreskog 1967; Harman & Jones 1966).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from sqvalid.errors import check_choice

__all__ = ["METHODS", "Extraction", "extract", "squared_multiple_correlations"]

Array = npt.NDArray[np.float64]

METHODS = ("ml", "minres", "paf", "pca")
# A uniqueness is kept from falling below this, as in R's factanal and psych.
LOWEST = 0.005
_PAF_STEPS, _PAF_TOLERANCE = 50, 1e-3


@dataclass(frozen=True, eq=False)
class Extraction:
    """Unrotated factors.

    Parameters
    ----------
    loadings : ndarray, shape (p, m)
        Columns by explained variance, their sums not negative.
    uniquenesses : ndarray, shape (p,)
    heywood : ndarray of int
        Positions of items whose uniqueness is at its bound.
    converged : bool
    n_iterations : int
    """

    loadings: Array
    uniquenesses: Array
    heywood: npt.NDArray[np.intp]
    converged: bool
    n_iterations: int


def squared_multiple_correlations(correlation: Array) -> Array:
    """Squared multiple correlation of each item with all others, shape (p,)."""
    return np.asarray(1.0 - 1.0 / np.diag(np.linalg.inv(correlation)))


def extract(correlation: Array, n_factors: int, method: str = "minres") -> Extraction:
    """Extract factors.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
        Positive definite.
    n_factors : int
        m, below p.
    method : {"ml", "minres", "paf", "pca"}
        Maximum likelihood; least squares of the residual correlations (psych's minres and uls,
        ordinary least squares); principal axes, which go the same way in small steps and, as in
        psych, stop when the sum of the communalities changes by less than .001; principal
        components, which are not factors.

    Returns
    -------
    Extraction
    """
    check_choice("method", method, METHODS)
    r = np.asarray(correlation, dtype=float)
    if method == "pca":
        loadings = _top(r, n_factors)
        communality = (loadings**2).sum(axis=1)
        return _finished(loadings, 1.0 - communality, True, 0, bounded=False)
    start = _start(r, n_factors)
    if method == "paf":
        return _principal_axes(r, n_factors)
    f = _ml if method == "ml" else _uls
    found = minimize(
        f,
        start,
        args=(r, n_factors),
        jac=True,
        method="L-BFGS-B",
        bounds=[(LOWEST, 1.0)] * len(r),
        options={"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 20},
    )
    psi = _polished(f, found.x, r, n_factors)
    return _finished(_loadings(method, psi, r, n_factors), psi, True, int(found.nit))


def _start(r: Array, m: int) -> Array:
    p = len(r)
    start = (1.0 - 0.5 * m / p) / np.diag(np.linalg.inv(r))
    return np.clip(start, LOWEST * 2.0, 1.0)


def _polished(f, psi: Array, r: Array, m: int) -> Array:  # type: ignore[no-untyped-def]
    """A few Newton steps on the free uniquenesses, the Hessian by differences of gradients."""
    for _ in range(6):
        _, gradient = f(psi, r, m)
        free = ~(((psi <= LOWEST) & (gradient > 0.0)) | ((psi >= 1.0) & (gradient < 0.0)))
        if not free.any() or np.abs(gradient[free]).max() < 1e-11:
            break
        places = np.flatnonzero(free)
        hessian = np.empty((len(places), len(places)))
        for k, j in enumerate(places):
            h = 1e-6 * max(psi[j], 0.01)
            up, down = psi.copy(), psi.copy()
            up[j] += h
            down[j] -= h
            hessian[k] = (f(up, r, m)[1][places] - f(down, r, m)[1][places]) / (2.0 * h)
        hessian = (hessian + hessian.T) / 2.0
        values = np.linalg.eigvalsh(hessian)
        if values[0] <= 1e-10 * values[-1]:
            break
        trial = psi.copy()
        trial[places] -= np.linalg.solve(hessian, gradient[places])
        trial = np.clip(trial, LOWEST, 1.0)
        if f(trial, r, m)[0] > f(psi, r, m)[0] + 1e-13:
            break
        psi = trial
    return psi


def _top(matrix: Array, m: int) -> Array:
    """Loadings from the m largest eigenvalues, negative ones counted as zero."""
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(values)[::-1][:m]
    return np.asarray(vectors[:, order] * np.sqrt(np.maximum(values[order], 0.0)))


def _scaled(psi: Array, r: Array) -> tuple[Array, Array]:
    root = np.sqrt(psi)
    values, vectors = np.linalg.eigh(r / np.outer(root, root))
    return values[::-1], vectors[:, ::-1]


def _ml(psi: Array, r: Array, m: int) -> tuple[float, Array]:
    """Joreskog (1967): sum over the small eigenvalues of theta - log theta - 1."""
    values, vectors = _scaled(psi, r)
    small = np.maximum(values[m:], 1e-300)
    value = float((small - np.log(small) - 1.0).sum())
    slope = -((vectors[:, m:] ** 2) @ (values[m:] - 1.0)) / psi
    return value, slope


def _uls(psi: Array, r: Array, m: int) -> tuple[float, Array]:
    """Half the sum of squares of the small eigenvalues of R - Psi."""
    values, vectors = np.linalg.eigh(r - np.diag(psi))
    values, vectors = values[::-1], vectors[:, ::-1]
    # A negative eigenvalue among the first m is not fitted by a real loading.
    rest = np.concatenate([np.minimum(values[:m], 0.0), values[m:]])
    return float((rest**2).sum() / 2.0), -((vectors**2) @ rest)


def _loadings(method: str, psi: Array, r: Array, m: int) -> Array:
    if method == "minres":
        return _top(r - np.diag(psi), m)
    values, vectors = _scaled(psi, r)
    scale = np.sqrt(np.maximum(values[:m] - 1.0, 0.0))
    return np.asarray(np.sqrt(psi)[:, None] * vectors[:, :m] * scale)


def _principal_axes(r: Array, m: int) -> Extraction:
    communality = squared_multiple_correlations(r)
    loadings = np.zeros((len(r), m))
    for step in range(1, _PAF_STEPS + 1):
        reduced = r.copy()
        np.fill_diagonal(reduced, communality)
        loadings = _top(reduced, m)
        new = (loadings**2).sum(axis=1)
        change = abs(float(new.sum() - communality.sum()))
        communality = new
        if (communality > 1.0).any():
            # An item explained beyond its variance: the iterations would walk on for ever.
            break
        if change < _PAF_TOLERANCE:
            return _finished(loadings, 1.0 - communality, True, step)
    return _finished(loadings, 1.0 - communality, False, step)


def _finished(
    loadings: Array, psi: Array, converged: bool, steps: int, *, bounded: bool = True
) -> Extraction:
    order = np.argsort(-(loadings**2).sum(axis=0), kind="stable")
    loadings = loadings[:, order]
    loadings = loadings * np.where(loadings.sum(axis=0) < 0.0, -1.0, 1.0)
    heywood = np.flatnonzero(psi <= LOWEST * (1.0 + 1e-6)) if bounded else np.zeros(0, np.intp)
    return Extraction(loadings, psi, heywood, converged, steps)
