r"""Discrepancy functions: how far the implied moments are from the sample's.

An estimator is one class with `value`, `gradient`, `expected` and `hessian` over one group;
:class:`Objective` adds the groups up. Everything is in the metric of
:math:`F/2` per observation of the group, as lavaan's `fmin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sqvalid.latent.implied import (
    Array,
    Index,
    Slots,
    State,
    implied_state,
    invert_positive_definite,
    mean_weight,
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Target:
    """Sample statistics of one group, ready for an estimator.

    Parameters
    ----------
    covariance : ndarray, shape (p, p)
    means : ndarray, shape (p,), optional
        Absent when the model has no mean structure.
    log_det : float
        Log determinant of the covariance.
    weight : float
        Share of the group in the objective; shares sum to one.
    """

    covariance: Array
    means: Array | None
    log_det: float
    weight: float


@dataclass(frozen=True, eq=False)
class Local:
    r"""Small matrices of one group that the derivatives gather from.

    Parameters
    ----------
    g : ndarray, shape (K, K)
        :math:`C'\Sigma^{-1}C`.
    p : ndarray, shape (K, K)
        :math:`C'\Sigma^{-1} M \Sigma^{-1} C` with M the sample moments about the implied means.
    u : ndarray, shape (K,)
        :math:`C'\Sigma^{-1}(m - \mu)`.
    t : ndarray, shape (k,)
        Mean weights of the parameters.
    sigma_inverse : ndarray, shape (p, p)
    half_f : float
        F/2 of the group.
    """

    state: State
    g: Array
    p: Array
    u: Array
    t: Array
    sigma_inverse: Array
    half_f: float


class Estimator(Protocol):
    """What an estimator has to offer for one group."""

    def value(self, slots: Slots, target: Target, theta: Array) -> float:
        """F/2, infinity where the implied moments are not admissible to it."""
        ...

    def local(self, slots: Slots, target: Target, theta: Array) -> Local | None:
        """Matrices for the derivatives, None where `value` is infinite."""
        ...

    def gradient(self, slots: Slots, local: Local) -> Array:
        """Gradient of F/2, shape (k,)."""
        ...

    def expected(self, slots: Slots, local: Local) -> Array:
        """Expected information per observation, shape (k, k)."""
        ...

    def hessian(self, slots: Slots, local: Local) -> Array:
        """Second derivatives of F/2 (observed information per observation), shape (k, k)."""
        ...


def gather_expected(slots: Slots, g: Array, t: Array) -> Array:
    r"""Normal-theory expected information by gathers.

    .. math:: I_{ij} = s_i s_j (G_{a_i b_j} G_{b_i a_j} + G_{a_i a_j} G_{b_i b_j})
              + t_i t_j G_{a_i a_j}
    """
    a, b = slots.a, slots.b
    g_a, g_b = g[a], g[b]
    g_aa = g_a[:, a]
    out = g_a[:, b] * g_b[:, a] + g_aa * g_b[:, b]
    out *= slots.s[:, None] * slots.s
    if slots.has_means:
        out += g_aa * (t[:, None] * t)
    return out


class MaximumLikelihood:
    r"""Normal-theory maximum likelihood.

    .. math:: F = \ln|\Sigma| + tr(S\Sigma^{-1}) - \ln|S| - p
              + (m - \mu)'\Sigma^{-1}(m - \mu)

    References
    ----------
    Joreskog (1969), Psychometrika 34; Bollen (1989), eq. 4.67.
    """

    def value(self, slots: Slots, target: Target, theta: Array) -> float:
        """F/2 at `theta`; infinity where Sigma is not positive definite."""
        state = implied_state(slots, theta)
        inverse = invert_positive_definite(state.sigma)
        if inverse is None:
            return np.inf
        return self._half_f(target, state, *inverse)

    @staticmethod
    def _half_f(target: Target, state: State, sigma_inverse: Array, log_det: float) -> float:
        trace = float(np.einsum("ij,ij->", target.covariance, sigma_inverse))
        f = log_det + trace - target.log_det - len(target.covariance)
        if target.means is not None:
            gap = target.means - state.mu
            f += float(gap @ sigma_inverse @ gap)
        return 0.5 * f

    def local(self, slots: Slots, target: Target, theta: Array) -> Local | None:
        """Matrices for the derivatives at `theta`."""
        state = implied_state(slots, theta)
        inverse = invert_positive_definite(state.sigma)
        if inverse is None:
            return None
        sigma_inverse, log_det = inverse
        sc = sigma_inverse @ state.c
        moments = target.covariance
        u = np.zeros(state.c.shape[1])
        if target.means is not None:
            gap = target.means - state.mu
            moments = moments + np.outer(gap, gap)
            u = gap @ sc
        return Local(
            state=state,
            g=state.c.T @ sc,
            p=sc.T @ moments @ sc,
            u=u,
            t=mean_weight(slots, state),
            sigma_inverse=sigma_inverse,
            half_f=self._half_f(target, state, sigma_inverse, log_det),
        )

    def gradient(self, slots: Slots, local: Local) -> Array:
        """Gradient of F/2: s (G - P)_ab - t u_a."""
        a, b = slots.a, slots.b
        out = slots.s * (local.g[a, b] - local.p[a, b])
        if slots.has_means:
            out -= local.t * local.u[a]
        return out

    def expected(self, slots: Slots, local: Local) -> Array:
        """Expected information per observation."""
        return gather_expected(slots, local.g, local.t)

    def hessian(self, slots: Slots, local: Local) -> Array:
        r"""Exact second derivatives of F/2.

        The first group of terms uses first derivatives of the moments only; the second one
        contracts :math:`W = \Sigma^{-1}(\Sigma - M)\Sigma^{-1}` with the second derivatives,
        which move a column of C by a multiple of the columns of the other parameter.
        """
        a, b, s, t = slots.a, slots.b, slots.s, local.t
        g, p = local.g, local.p
        g_a, g_b, p_a, p_b = g[a], g[b], p[a], p[b]
        g_aa, g_ab, g_ba, g_bb = g_a[:, a], g_a[:, b], g_b[:, a], g_b[:, b]
        p_aa, p_ab, p_ba, p_bb = p_a[:, a], p_a[:, b], p_b[:, a], p_b[:, b]
        # tr(K dS_i Sigma^-1 dS_j) with K = Sigma^-1 M Sigma^-1, less half the same with Sigma^-1.
        out = p_aa * g_bb + p_ab * g_ba + p_ba * g_ab + p_bb * g_aa - (g_ab * g_ba + g_aa * g_bb)
        out *= s[:, None] * s

        if not slots.layout.factors:
            # Without factors the moments are linear in the parameters.
            return out + g_aa * (t[:, None] * t) if slots.has_means else out
        alpha, beta, gamma = _column_shifts(slots, local.state)
        w = g - p
        w_a, w_b = w[a], w[b]
        second = s[:, None] * (alpha * w_b[:, a] + beta * w_a[:, a] + gamma * w_a[:, b])
        out += second
        if slots.has_means:
            u_a, u_b = local.u[a], local.u[b]
            # dS_i applied to u against the mean derivative of j, and i and j swapped.
            cross = (s * u_b)[:, None] * g_aa + (s * u_a)[:, None] * g_ba
            cross *= t
            out += cross + cross.T + g_aa * (t[:, None] * t)
            out -= t[:, None] * alpha * u_a[None, :]
            out -= u_a[:, None] * _mean_weight_shifts(slots, local)
        return 0.5 * (out + out.T)


def _factor_of(slots: Slots) -> tuple[Index, Index]:
    """Factor index behind the columns a and b of each parameter, -1 for a column of I."""
    p = len(slots.layout.observed)
    m = len(slots.layout.factors)
    factor_a = np.where(slots.a >= p, slots.a - p, -1)
    factor_b = np.where(slots.b >= p + m, slots.b - p - m, np.where(slots.b >= p, slots.b - p, -1))
    return factor_a, factor_b


_LAMBDA, _THETA, _PSI, _BETA, _NU, _ALPHA = range(6)


def _column_shifts(slots: Slots, state: State) -> tuple[Array, Array, Array]:
    r"""How column a and column b of parameter i move with parameter j.

    .. math:: \partial c_{a_i}/\partial\theta_j = \alpha_{ij} c_{a_j}, \qquad
              \partial c_{b_i}/\partial\theta_j = \beta_{ij} c_{a_j} + \gamma_{ij} c_{b_j}

    Columns of I do not move; Lambda A moves with loadings and regressions, by
    :math:`c_{a_j} A_{c_j k}`; Lambda Phi moves with these by :math:`c_{a_j}\Phi_{c_j k}`,
    with regressions also by :math:`c_{b_j} A_{k r_j}`, and with factor covariances by
    :math:`s_j (c_{a_j} A_{k c_j} + c_{b_j} A_{k r_j})`.
    """
    a_matrix, phi = state.a_matrix, state.phi
    factor_a, factor_b = _factor_of(slots)
    p, m = len(slots.layout.observed), len(slots.layout.factors)
    matrix, row, column = slots.matrix, slots.row, slots.column
    moves_loading = (matrix == _LAMBDA) | (matrix == _BETA)
    is_beta, is_psi = matrix == _BETA, matrix == _PSI
    column_or_zero = np.where(moves_loading | is_psi, column, 0)
    row_or_zero = np.where(is_beta | is_psi, row, 0)
    # Entry (factor f, parameter j): A[c_j, f], Phi[c_j, f], A[f, r_j], A[f, c_j].
    a_from_column = a_matrix[column_or_zero, :].T
    phi_from_column = phi[:, column_or_zero]
    a_to_row = a_matrix[:, row_or_zero]
    a_to_column = a_matrix[:, column_or_zero]

    def by_parameter(table: Array, factors: Index, rows: Mask, columns: Mask) -> Array:
        """`table[factors]` where row parameter and column parameter qualify, zero elsewhere."""
        return np.where(rows[:, None] & columns[None, :], table[np.maximum(factors, 0)], 0.0)

    a_is_loading = factor_a >= 0
    b_is_phi = slots.b >= p + m
    b_is_loading = (slots.b >= p) & ~b_is_phi
    alpha = by_parameter(a_from_column, factor_a, a_is_loading, moves_loading)
    beta = by_parameter(a_from_column, factor_b, b_is_loading, moves_loading)
    beta += by_parameter(phi_from_column, factor_b, b_is_phi, moves_loading)
    beta += by_parameter(a_to_column * slots.s, factor_b, b_is_phi, is_psi)
    gamma = by_parameter(a_to_row, factor_b, b_is_phi, is_beta)
    gamma += by_parameter(a_to_row * slots.s, factor_b, b_is_phi, is_psi)
    return alpha, beta, gamma


def _mean_weight_shifts(slots: Slots, local: Local) -> Array:
    """Derivative of t_i with respect to parameter j; shape (k, k)."""
    kinds = slots.t_kind
    factor = np.maximum(kinds, 0)
    is_beta, is_alpha = slots.matrix == _BETA, slots.matrix == _ALPHA
    moves = is_beta | is_alpha
    reach = local.state.a_matrix[:, np.where(moves, slots.row, 0)] * np.where(moves, local.t, 0.0)
    return np.where((kinds >= 0)[:, None], reach[factor], 0.0)


@dataclass(frozen=True, eq=False)
class Objective:
    """The discrepancy of all groups as a function of the free parameters.

    Parameters
    ----------
    estimator : Estimator
    slots : tuple of Slots
    targets : tuple of Target
    n_free : int
        Length of the parameter vector.
    """

    estimator: Estimator
    slots: tuple[Slots, ...]
    targets: tuple[Target, ...]
    n_free: int

    def value(self, theta: Array) -> float:
        """F/2, groups weighted by their share."""
        total = 0.0
        for slots, target in zip(self.slots, self.targets, strict=True):
            total += target.weight * self.estimator.value(slots, target, theta)
        return total

    def locals(self, theta: Array) -> list[Local] | None:
        """Local matrices of every group, None where one of them is not admissible."""
        out = []
        for slots, target in zip(self.slots, self.targets, strict=True):
            local = self.estimator.local(slots, target, theta)
            if local is None:
                return None
            out.append(local)
        return out

    def value_at(self, locals_: Sequence[Local]) -> float:
        """F/2 from matrices already computed."""
        return sum(
            target.weight * local.half_f
            for target, local in zip(self.targets, locals_, strict=True)
        )

    def gradient(self, locals_: Sequence[Local]) -> Array:
        """Gradient of F/2, shape (q,)."""
        out = np.zeros(self.n_free)
        for slots, target, local in zip(self.slots, self.targets, locals_, strict=True):
            out[slots.target] += target.weight * self.estimator.gradient(slots, local)
        return out

    def _matrix(self, parts: Sequence[Array]) -> Array:
        if len(parts) == 1 and self.slots[0].n_parameters == self.n_free:
            order = self.slots[0].target
            if np.array_equal(order, np.arange(self.n_free)):
                return parts[0]
        out = np.zeros((self.n_free, self.n_free))
        for slots, target, part in zip(self.slots, self.targets, parts, strict=True):
            out[np.ix_(slots.target, slots.target)] += target.weight * part
        return out

    def expected(self, locals_: Sequence[Local]) -> Array:
        """Expected information per observation, shape (q, q)."""
        return self._matrix(
            [
                self.estimator.expected(slots, local)
                for slots, local in zip(self.slots, locals_, strict=True)
            ]
        )

    def hessian(self, locals_: Sequence[Local]) -> Array:
        """Observed information per observation, shape (q, q)."""
        return self._matrix(
            [
                self.estimator.hessian(slots, local)
                for slots, local in zip(self.slots, locals_, strict=True)
            ]
        )
