r"""The maximum-likelihood discrepancy of many samples at once, for one model.

Samples are the first axis of every array. With uncorrelated residuals, Sigma is never formed:
with :math:`W = \Theta^{-1}\Lambda` and :math:`K = (I + \Phi\Lambda'W)^{-1}`

.. math:: \Sigma^{-1} = \Theta^{-1} - W K\Phi W', \qquad \Sigma^{-1}\Lambda = W K, \qquad
          |\Sigma| = |\Theta|\,|I + \Phi\Lambda'W|,

so that only m x m systems are solved (Woodbury). The gradient needs, of
:math:`G = \Sigma^{-1} - \Sigma^{-1} S \Sigma^{-1}`, the products :math:`G\Lambda` and
:math:`\Lambda'G\Lambda` and the entries where residuals have parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sqvalid.latent.implied import Array, Index, MatrixName, Place, Slots

__all__ = [
    "BatchTarget",
    "batch_covariances",
    "batch_matrices",
    "batch_moments",
    "batch_value_and_gradient",
]


@dataclass(frozen=True, eq=False)
class BatchTarget:
    """Sample moments of one group in B samples.

    Parameters
    ----------
    covariance : ndarray, shape (B, p, p)
        Divisor N.
    means : ndarray, shape (B, p), optional
        Where the model has means.
    log_det : ndarray, shape (B,)
        Of `covariance`.
    weight : ndarray, shape (B,)
        Share of the group among all respondents.
    sampled : tuple of (Place, ndarray of shape (B,))
        Entries of the matrices that are fixed at sample moments.
    """

    covariance: Array
    means: Array | None
    log_det: Array
    weight: Array
    sampled: tuple[tuple[Place, Array], ...] = ()

    def take(self, rows: Index | NDArray[np.bool_]) -> BatchTarget:
        """Some of the samples, by mask or index."""
        return replace(
            self,
            covariance=self.covariance[rows],
            means=None if self.means is None else self.means[rows],
            log_det=self.log_det[rows],
            weight=self.weight[rows],
            sampled=tuple((place, values[rows]) for place, values in self.sampled),
        )


def batch_matrices(
    slots: Slots, theta: Array, sampled: Sequence[tuple[Place, Array]]
) -> dict[MatrixName, Array]:
    """The six matrices of every sample at its parameters; `theta` has shape (B, q)."""
    values = theta[:, slots.target]
    out = {
        name: np.broadcast_to(matrix, (len(theta), *matrix.shape))
        for name, matrix in slots.base.items()
    }

    def writable(name: MatrixName) -> Array:
        if not out[name].flags.writeable:
            out[name] = out[name].copy()
        return out[name]

    for name, chosen, rows, columns in slots.by_matrix:
        matrix = writable(name)
        if matrix.ndim == 2:
            matrix[:, rows] = values[:, chosen]
        else:
            matrix[:, rows, columns] = values[:, chosen]
            if name in ("theta", "psi"):
                matrix[:, columns, rows] = values[:, chosen]
    for place, entry in sampled:
        matrix = writable(place.matrix)
        if matrix.ndim == 2:
            matrix[:, place.row] = entry
        else:
            matrix[:, place.row, place.column] = entry
            if place.matrix in ("theta", "psi"):
                matrix[:, place.column, place.row] = entry
    return out


def _structure(slots: Slots, mats: dict[MatrixName, Array]) -> tuple[Array, Array, bool]:
    """Total effects A, factor covariances Phi, and whether A is the identity throughout."""
    psi, beta = mats["psi"], mats["beta"]
    m = psi.shape[-1]
    if not beta.any():
        return np.broadcast_to(np.eye(m), psi.shape), psi, True
    a_matrix: Array = np.asarray(np.linalg.inv(np.eye(m) - beta), dtype=np.float64)
    return a_matrix, a_matrix @ psi @ _t(a_matrix), False


def batch_moments(
    slots: Slots, theta: Array, sampled: Sequence[tuple[Place, Array]]
) -> tuple[Array, Array]:
    """Variances of the observed variables and of the factors in every sample.

    Returns
    -------
    observed : ndarray, shape (B, p)
    factors : ndarray, shape (B, m)
    """
    mats = batch_matrices(slots, theta, sampled)
    _, phi, _ = _structure(slots, mats)
    loading = mats["lambda"]
    observed = ((loading @ phi) * loading).sum(axis=2)
    observed = observed + np.diagonal(mats["theta"], axis1=1, axis2=2)
    return observed, np.diagonal(phi, axis1=1, axis2=2)


def batch_covariances(
    slots: Slots, theta: Array, sampled: Sequence[tuple[Place, Array]]
) -> tuple[Array, Array]:
    """Implied covariances of the observed variables and of the factors in every sample.

    Returns
    -------
    observed : ndarray, shape (B, p, p)
    factors : ndarray, shape (B, m, m)
    """
    mats = batch_matrices(slots, theta, sampled)
    _, phi, _ = _structure(slots, mats)
    loading = mats["lambda"]
    return loading @ phi @ _t(loading) + mats["theta"], phi


def _t(matrix: Array) -> Array:
    return matrix.swapaxes(-1, -2)


def _diagonal_theta(slots: Slots) -> bool:
    """Whether the residuals are uncorrelated and none is fixed at zero."""
    base = slots.base["theta"]
    if (base - np.diag(np.diag(base))).any():
        return False
    has_variance = np.diag(base) != 0.0
    for name, _, rows, columns in slots.by_matrix:
        if name == "theta":
            if (rows != columns).any():
                return False
            has_variance[rows] = True
    return bool(has_variance.all())


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Log determinant, trace, and what the gradient reads of one group."""

    log_det: Array  # (B,), NaN where Sigma is not positive definite
    trace: Array  # (B,), tr(S* Sigma^-1), S* with the means' part
    g_loading: Array  # (B, p, m), G Lambda
    inner: Array  # (B, m, m), Lambda' G Lambda
    g_theta: Array  # (B, k), entries of G where residuals have parameters
    pull: Array | None  # (B, p), Sigma^-1 d


def _woodbury(
    loading: Array,
    phi: Array,
    theta: Array,
    s: Array,
    d: Array | None,
    items: tuple[Index, Index],
) -> _Pieces:
    m = loading.shape[2]
    variance = np.diagonal(theta, axis1=1, axis2=2)
    # A residual variance at or below zero is left to the one-by-one search: the identity
    # needs Theta to be positive definite.
    sound = np.asarray((variance > 0.0).all(axis=1))
    variance = np.where(sound[:, None], variance, 1.0)
    w = loading / variance[:, :, None]
    inner = np.eye(m) + phi @ (_t(loading) @ w)
    sign, log_inner = np.linalg.slogdet(inner)
    sound &= sign > 0.0
    inner[~sound] = np.eye(m)
    k = np.linalg.inv(inner)
    q = k @ phi
    sw = s @ w
    trace = (np.diagonal(s, axis1=1, axis2=2) / variance).sum(axis=1)
    pull = None
    if d is not None:
        sw = sw + d[:, :, None] * (d[:, None, :] @ w)
        trace = trace + (d * d / variance).sum(axis=1)
        pull = d / variance - (w @ (q @ (_t(w) @ d[:, :, None])))[:, :, 0]
    wsw = _t(w) @ sw
    trace = trace - np.einsum("bij,bji->b", q, wsw)
    wk = w @ k
    # Sigma^-1 (S Sigma^-1 Lambda), with S Sigma^-1 Lambda = S W K.
    x = sw @ k
    g_loading = wk - (x / variance[:, :, None] - w @ (q @ (wsw @ k)))
    i, _ = items
    wq = w @ q
    wqw = wq @ wsw
    diagonal = np.diagonal(s, axis1=1, axis2=2)
    if d is not None:
        diagonal = diagonal + d * d
    g_diagonal = (
        1.0 / variance
        - (wq * w).sum(axis=2)
        - diagonal / variance**2
        + 2.0 * (sw * wq).sum(axis=2) / variance
        - (wqw * wq).sum(axis=2)
    )
    log_det = np.where(sound, np.log(variance).sum(axis=1) + log_inner, np.nan)
    return _Pieces(log_det, trace, g_loading, _t(loading) @ g_loading, g_diagonal[:, i], pull)


def _dense(
    loading: Array,
    phi: Array,
    theta: Array,
    s: Array,
    d: Array | None,
    items: tuple[Index, Index],
) -> _Pieces:
    sigma = loading @ phi @ _t(loading) + theta
    log_det = np.full(len(sigma), np.nan)
    for row, matrix in enumerate(sigma):
        try:
            log_det[row] = 2.0 * np.log(np.diag(np.linalg.cholesky(matrix))).sum()
        except np.linalg.LinAlgError:
            continue
    sigma[np.isnan(log_det)] = np.eye(sigma.shape[1])
    inverse: Array = np.asarray(np.linalg.inv(sigma), dtype=np.float64)
    pull = None
    if d is not None:
        s = s + d[:, :, None] * d[:, None, :]
        pull = (inverse @ d[:, :, None])[:, :, 0]
    both = inverse @ s
    g: Array = inverse - both @ inverse
    trace = np.asarray(np.trace(both, axis1=1, axis2=2))
    g_loading: Array = g @ loading
    i, j = items
    return _Pieces(log_det, trace, g_loading, _t(loading) @ g_loading, g[:, i, j], pull)


def _group(slots: Slots, target: BatchTarget, theta: Array) -> tuple[Array, Array]:
    """F/2 of one group in every sample (inf where undefined), and its gradient (B, k)."""
    mats = batch_matrices(slots, theta, target.sampled)
    loading = mats["lambda"]
    a_matrix, phi, plain = _structure(slots, mats)
    d = eta = None
    if target.means is not None:
        eta = (a_matrix @ mats["alpha"][:, :, None])[:, :, 0]
        d = target.means - mats["nu"] - (loading @ eta[:, :, None])[:, :, 0]
    places = {name: (chosen, rows, cols) for name, chosen, rows, cols in slots.by_matrix}
    none = np.empty(0, dtype=np.intp)
    _, rows, columns = places.get("theta", (none, none, none))
    method = _woodbury if _diagonal_theta(slots) else _dense
    found = method(loading, phi, mats["theta"], target.covariance, d, (rows, columns))
    p = loading.shape[1]
    value = 0.5 * (found.log_det - target.log_det + found.trace - p)
    value = np.where(np.isfinite(value), value, np.inf)
    gradient = np.zeros((len(theta), slots.n_parameters))
    inner = found.inner if plain else _t(a_matrix) @ found.inner
    for name, (chosen, rows, columns) in places.items():
        s = slots.s[chosen]
        match name:
            case "lambda":
                gradient[:, chosen] = (found.g_loading @ phi)[:, rows, columns]
            case "theta":
                gradient[:, chosen] = s * found.g_theta
            case "psi":
                gradient[:, chosen] = s * (inner if plain else inner @ a_matrix)[:, rows, columns]
            case "beta":
                gradient[:, chosen] = (inner @ phi)[:, rows, columns]
    if d is not None:
        assert found.pull is not None
        assert eta is not None
        pulled = (_t(loading) @ found.pull[:, :, None])[:, :, 0]
        if not plain:
            pulled = (_t(a_matrix) @ pulled[:, :, None])[:, :, 0]
        for name, (chosen, rows, columns) in places.items():
            match name:
                case "lambda":
                    gradient[:, chosen] -= found.pull[:, rows] * eta[:, columns]
                case "beta":
                    gradient[:, chosen] -= pulled[:, rows] * eta[:, columns]
                case "nu":
                    gradient[:, chosen] -= found.pull[:, rows]
                case "alpha":
                    gradient[:, chosen] -= pulled[:, rows]
    return value, gradient


def batch_value_and_gradient(
    slots: Sequence[Slots], targets: Sequence[BatchTarget], theta: Array
) -> tuple[Array, Array]:
    """F/2 of every sample at its own parameters, and the gradient.

    Parameters
    ----------
    slots, targets : sequence
        One of each per group.
    theta : ndarray, shape (B, q)

    Returns
    -------
    half_f : ndarray, shape (B,)
        Infinite where an implied covariance matrix is not positive definite or, with
        uncorrelated residuals, where a residual variance is not positive.
    gradient : ndarray, shape (B, q)
        Meaningless where `half_f` is infinite.
    """
    total = np.zeros(len(theta))
    gradient = np.zeros_like(theta)
    for own, target in zip(slots, targets, strict=True):
        value, slope = _group(own, target, theta)
        total += target.weight * value
        # Every free parameter has one place per group at most.
        gradient[:, own.target] += target.weight[:, None] * slope
    return total, gradient
