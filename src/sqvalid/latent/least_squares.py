r"""Least squares discrepancies: GLS, ULS and WLS (ADF).

.. math:: F = (s - \sigma)' W (s - \sigma)

with s and :math:`\sigma` the means and the lower triangle of the covariance matrices. The
sample covariance has divisor N - 1, and so has the statistic: (N - 1) F, as in lavaan.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from sqvalid.latent.discrepancy import (
    Local,
    Target,
    gather_expected,
    gather_gradient,
    second_derivative_terms,
)
from sqvalid.latent.implied import (
    Array,
    Slots,
    State,
    implied_state,
    mean_weight,
    moment_jacobian,
)


def half_vector(matrix: Array) -> Array:
    """Lower triangle of a symmetric matrix, column by column; shape (p (p + 1) / 2,)."""
    columns, rows = np.triu_indices(matrix.shape[0])
    return np.asarray(matrix[rows, columns])


def dual_matrix(vector: Array, p: int) -> Array:
    """Matrix Q with ``vector . vech(X) = tr(Q X) / 2`` for symmetric X."""
    columns, rows = np.triu_indices(p)
    out = np.zeros((p, p))
    out[rows, columns] = vector
    out = out + out.T
    return out


class _LeastSquares(ABC):
    """Shared steps; a subclass says what W times the residuals is."""

    @abstractmethod
    def _weighted(self, target: Target, residual: Array, gap: Array | None) -> tuple[Array, Array]:
        """W e as a dual matrix (p, p) of the covariances and a vector (p,) of the means."""

    @staticmethod
    def _residuals(target: Target, state: State) -> tuple[Array, Array | None]:
        gap = None if target.means is None else target.means - state.mu
        return target.covariance - state.sigma, gap

    def value(self, slots: Slots, target: Target, theta: Array) -> float:
        """F/2 at `theta`."""
        state = implied_state(slots, theta)
        residual, gap = self._residuals(target, state)
        return self._half_f(residual, gap, *self._weighted(target, residual, gap))

    @staticmethod
    def _half_f(residual: Array, gap: Array | None, dual: Array, weighted_gap: Array) -> float:
        out = 0.25 * float(np.einsum("ij,ij->", dual, residual))
        if gap is not None:
            out += 0.5 * float(gap @ weighted_gap)
        return out

    def local(self, slots: Slots, target: Target, theta: Array) -> Local | None:
        """Matrices for the derivatives at `theta`."""
        state = implied_state(slots, theta)
        if not np.isfinite(state.sigma).all():
            return None
        residual, gap = self._residuals(target, state)
        dual, weighted_gap = self._weighted(target, residual, gap)
        k = state.c.shape[1]
        # The gradient contracts G - P; here this difference is minus the dual matrix of W e.
        return Local(
            state=state,
            g=np.zeros((k, k)),
            p=state.c.T @ dual @ state.c,
            u=weighted_gap @ state.c if gap is not None else np.zeros(k),
            t=mean_weight(slots, state),
            sigma_inverse=np.empty((0, 0)),
            half_f=self._half_f(residual, gap, dual, weighted_gap),
        )

    def gradient(self, slots: Slots, local: Local) -> Array:
        r"""Gradient of F/2, :math:`-\Delta' W e`."""
        return gather_gradient(slots, local)

    @abstractmethod
    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        r""":math:`\Delta' W \Delta`."""

    def hessian(self, slots: Slots, target: Target, local: Local) -> Array:
        """Second derivatives of F/2."""
        out = self.expected(slots, target, local) + second_derivative_terms(slots, local)
        return np.asarray(0.5 * (out + out.T))


class GeneralisedLeastSquares(_LeastSquares):
    r"""Normal-theory weights at the sample covariance matrix.

    .. math:: F = \tfrac12 tr[(S^{-1}(S - \Sigma))^2] + (m - \mu)' S^{-1} (m - \mu)

    References
    ----------
    Joreskog & Goldberger (1972); Browne (1974); Bollen (1989).
    """

    def _weighted(self, target: Target, residual: Array, gap: Array | None) -> tuple[Array, Array]:
        inverse = _given(target.inverse)
        return inverse @ residual @ inverse, inverse @ gap if gap is not None else np.empty(0)

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        """Normal-theory information with the sample covariance matrix in its weights."""
        c = local.state.c
        return gather_expected(
            slots, c.T @ _given(target.inverse) @ c, mean_weight(slots, local.state)
        )


class UnweightedLeastSquares(_LeastSquares):
    r"""Sum of squared residuals of means, variances and covariances, each counted once.

    References
    ----------
    Joreskog (1977); Bollen (1989).
    """

    def _weighted(self, target: Target, residual: Array, gap: Array | None) -> tuple[Array, Array]:
        dual = residual + np.diag(np.diag(residual))
        return dual, gap if gap is not None else np.empty(0)

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        """Cross-products of the derivatives of the moments."""
        c = local.state.c
        diagonal = 2.0 * c[:, slots.a] * c[:, slots.b] * slots.s
        out = gather_expected(slots, c.T @ c, mean_weight(slots, local.state))
        return np.asarray(out + 0.5 * diagonal.T @ diagonal)


class WeightedLeastSquares(_LeastSquares):
    r"""Weights from fourth moments (asymptotically distribution free): W is Gamma inverted.

    References
    ----------
    Browne (1984), British Journal of Mathematical and Statistical Psychology 37.
    """

    def _weighted(self, target: Target, residual: Array, gap: Array | None) -> tuple[Array, Array]:
        p = residual.shape[0]
        vector = half_vector(residual)
        if gap is not None:
            vector = np.concatenate([gap, vector])
        weighted = _given(target.weights) @ vector
        if gap is None:
            return dual_matrix(weighted, p), np.empty(0)
        return dual_matrix(weighted[p:], p), weighted[:p]

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        """Cross-products of the derivatives of the moments in the metric of Gamma."""
        jacobian = stacked_jacobian(slots, local.state, with_means=target.means is not None)
        return np.asarray(jacobian.T @ _given(target.weights) @ jacobian)


def _given(matrix: Array | None) -> Array:
    """A matrix that the problem has prepared for this estimator."""
    assert matrix is not None
    return matrix


def stacked_jacobian(slots: Slots, state: State, *, with_means: bool) -> Array:
    """Derivatives of the moments, means first; shape (p*, k)."""
    d_sigma, d_mu = moment_jacobian(slots, state)
    return np.vstack([d_mu, d_sigma]) if with_means else d_sigma
