r"""Gradient projection: the search for the minimum of a rotation criterion.

The steps are those of Jennrich (2001, 2002) and Bernaards & Jennrich (2005), so that a search that
begins where theirs begins comes down into the same minimum.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.optimize import minimize

from sqvalid.rotation.criteria import Criterion

__all__ = ["project_oblique", "project_orthogonal", "stationarity"]

Array = npt.NDArray[np.float64]

_TOLERANCE = 1e-8
_MAX_STEPS = 20_000
# Gradient projection creeps where the criterion is flat; from here on curvature is used, too.
_SLOW = 1_000
# A gradient that rounding keeps from falling further.
_NEARLY = 1e-5


def project_orthogonal(a: Array, start: Array, criterion: Criterion) -> tuple[Array, float, bool]:
    """Minimise the criterion of A T over orthogonal T (Jennrich 2001).

    Parameters
    ----------
    a : ndarray, shape (p, m)
    start : ndarray, shape (m, m)
        Orthogonal.
    criterion : callable
        Value and gradient.

    Returns
    -------
    transformation : ndarray, shape (m, m)
    value : float
    converged : bool
    """
    t, step = start, 1.0
    value, slope = criterion(a @ t)
    gradient = a.T @ slope
    for _ in range(_MAX_STEPS):
        symmetric = t.T @ gradient
        projected = gradient - t @ (symmetric + symmetric.T) / 2.0
        size = float(np.linalg.norm(projected))
        if size < _TOLERANCE:
            return t, value, True
        step *= 2.0
        for _ in range(60):
            u, _, v = np.linalg.svd(t - step * projected)
            trial = u @ v
            new, slope = criterion(a @ trial)
            if new < value - 0.5 * size**2 * step:
                break
            step /= 2.0
        else:
            return t, value, size < _NEARLY
        t, value, gradient = trial, new, a.T @ slope
    return t, value, False


def project_oblique(a: Array, start: Array, criterion: Criterion) -> tuple[Array, float, bool]:
    """Minimise the criterion of A T^-T over T with columns of unit length (Jennrich 2002).

    Parameters and returns are those of :func:`project_orthogonal`.
    """
    t, step = start, 1.0
    inverse = _inverse(t)
    loadings = a @ inverse.T
    value, slope = criterion(loadings)
    gradient = -(loadings.T @ slope @ inverse).T
    for _ in range(_SLOW):
        projected = gradient - t * np.einsum("ij,ij->j", t, gradient)
        size = math.sqrt(float(np.vdot(projected, projected)))
        if size < _TOLERANCE:
            return t, value, True
        step *= 2.0
        for _ in range(60):
            trial = t - step * projected
            trial = trial / np.sqrt(np.einsum("ij,ij->j", trial, trial))
            inverse = _inverse(trial)
            loadings = a @ inverse.T
            new, slope = criterion(loadings)
            if new < value - 0.5 * size**2 * step:
                break
            step /= 2.0
        else:
            return t, value, size < _NEARLY
        t, value = trial, new
        gradient = -(loadings.T @ slope @ inverse).T
    return _with_curvature(a, t, criterion)


def _inverse(t: Array) -> Array:
    """Inverse of a small matrix, hundreds of times: LAPACK without the checks around it."""
    lu, pivots, singular = lapack.dgetrf(t)
    if singular:
        return np.asarray(np.linalg.inv(t))
    return np.asarray(lapack.dgetri(lu, pivots)[0])


def _with_curvature(a: Array, start: Array, criterion: Criterion) -> tuple[Array, float, bool]:
    """Quasi-Newton steps over columns of any length, which are brought to unit length inside."""
    m = len(start)

    def function(x: Array) -> tuple[float, Array]:
        columns = x.reshape(m, m)
        length = np.sqrt((columns**2).sum(axis=0))
        t = columns / length
        inverse = np.linalg.inv(t)
        loadings = a @ inverse.T
        value, slope = criterion(loadings)
        gradient = -(loadings.T @ slope @ inverse).T
        return value, ((gradient - t * (t * gradient).sum(axis=0)) / length).ravel()

    x = start.ravel()
    for _ in range(5):
        found = minimize(
            function, x, jac=True, method="L-BFGS-B",
            options={"maxiter": _MAX_STEPS, "maxfun": 2 * _MAX_STEPS, "ftol": 1e-16,
                     "gtol": _TOLERANCE / m, "maxcor": 30},
        )  # fmt: skip
        t = found.x.reshape(m, m)
        t = t / np.sqrt((t**2).sum(axis=0))
        x = t.ravel()
        value, slope = function(x)
        if np.linalg.norm(slope) < _TOLERANCE:
            break
    return t, float(value), bool(np.linalg.norm(slope) < _NEARLY)


def stationarity(
    loadings: Array, phi: Array, criterion: Criterion, *, orthogonal: bool, kaiser: bool
) -> Array:
    r"""What vanishes at a minimum of the criterion.

    Parameters
    ----------
    loadings : ndarray, shape (p, m)
        Rotated.
    phi : ndarray, shape (m, m)
        Correlations of the factors.
    criterion : callable
        Value and gradient.
    orthogonal : bool
    kaiser : bool
        Whether the rows are brought to unit length before the criterion is taken.

    Returns
    -------
    ndarray
        Orthogonal: the lower triangle of :math:`\Lambda'G - G'\Lambda`, m(m - 1)/2. Oblique: what
        is beside the diagonal of :math:`\Lambda' G \Phi^{-1}`, m(m - 1), with G the gradient
        (Jennrich 1973, 1974).
    """
    m = loadings.shape[1]
    if kaiser:
        length = np.sqrt(np.einsum("ij,jk,ik->i", loadings, phi, loadings))
        length[length == 0.0] = 1.0
        gradient = criterion(loadings / length[:, None])[1] / length[:, None]
    else:
        gradient = criterion(loadings)[1]
    product = loadings.T @ gradient
    if orthogonal:
        return np.asarray((product - product.T)[np.tril_indices(m, -1)])
    return np.asarray(np.linalg.solve(phi, product.T).T[~np.eye(m, dtype=bool)])
