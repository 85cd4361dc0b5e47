r"""Discrepancy functions: how far the implied moments are from the sample's.

An estimator is one class with `value`, `gradient`, `expected` and `hessian` over one group;
:class:`Objective` adds the groups up. Everything is in the metric of
:math:`F/2` per observation of the group, as lavaan's `fmin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from sqvalid.latent.implied import (
    MATRICES,
    Array,
    Slots,
    State,
    implied_state,
    invert_positive_definite,
    mean_weight,
)
from sqvalid.moments.patterns import PatternData, PatternProducts

if TYPE_CHECKING:
    from sqvalid.latent.categorical import OrdinalLocal, OrdinalTarget

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
    inverse : ndarray, shape (p, p), optional
        Inverse of the covariance, for weights at the sample moments.
    weights : ndarray, shape (p*, p*), optional
        Weights of the moments, means first.
    patterns : PatternData, optional
        Respondents by what they answered; `log_det` is then minus twice the saturated
        log-likelihood per respondent, without its constant.
    ordinal : OrdinalTarget, optional
        Statistics of ordered answers.
    """

    covariance: Array
    means: Array | None
    log_det: float
    weight: float
    inverse: Array | None = None
    weights: Array | None = None
    patterns: PatternData | None = None
    ordinal: OrdinalTarget | None = None


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
    products : PatternProducts, optional
        What the three matrices are averages of, where answers are missing.
    ordinal : OrdinalLocal, optional
        Implied statistics of ordered answers; the three matrices are then empty, and `state` is
        that of the responses behind the answers.
    """

    state: State
    g: Array
    p: Array
    u: Array
    t: Array
    sigma_inverse: Array
    half_f: float
    products: PatternProducts | None = None
    ordinal: OrdinalLocal | None = None

    @property
    def implied_covariance(self) -> Array:
        """Implied covariances in the metric of the sample's, shape (p, p)."""
        return self.state.sigma if self.ordinal is None else self.ordinal.covariance


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

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        """Expected information per observation, shape (k, k); also for more `slots`."""
        ...

    def hessian(self, slots: Slots, target: Target, local: Local) -> Array:
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
    out *= slots.scale
    if slots.has_means:
        out += g_aa * (t[:, None] * t)
    return out


def gather_gradient(slots: Slots, local: Local) -> Array:
    """Gradient of F/2 from the small matrices; also for slots that are not free."""
    a, b = slots.a, slots.b
    out: Array = slots.s * (local.g[a, b] - local.p[a, b])
    if slots.has_means:
        out -= mean_weight(slots, local.state) * local.u[a]
    return out


class MaximumLikelihood:
    r"""Normal-theory maximum likelihood.

    .. math:: F = \ln|\Sigma| + tr(S\Sigma^{-1}) - \ln|S| - p
              + (m - \mu)'\Sigma^{-1}(m - \mu)

    References
    ----------
    Joreskog (1969), Psychometrika 34; Bollen (1989).
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
        return gather_gradient(slots, local)

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        """Expected information per observation."""
        return gather_expected(slots, local.g, mean_weight(slots, local.state))

    def hessian(self, slots: Slots, target: Target, local: Local) -> Array:
        r"""Exact second derivatives of F/2.

        The first group of terms uses first derivatives of the moments only; the second one
        contracts :math:`W = \Sigma^{-1}(\Sigma - M)\Sigma^{-1}` with the second derivatives,
        which move a column of C by a multiple of the columns of the other parameter.
        """
        a, b, s, t = slots.a, slots.b, slots.s, local.t
        # tr(K dS_i Sigma^-1 dS_j), K = Sigma^-1 M Sigma^-1, less half
        # tr(Sigma^-1 dS_i Sigma^-1 dS_j), with the half taken off K.
        g, h = local.g, local.p - 0.5 * local.g
        g_a, h_a = g[a], h[a]
        g_aa, g_ab, g_bb = g_a[:, a], g_a[:, b], g[b][:, b]
        h_aa, h_ab, h_bb = h_a[:, a], h_a[:, b], h[b][:, b]
        cross = h_ab * g_ab.T
        out = h_aa * g_bb + h_bb * g_aa + cross + cross.T
        out *= slots.scale

        if slots.has_means:
            u_a, u_b = local.u[a], local.u[b]
            # dS_i applied to u against the mean derivative of j, and i and j swapped.
            cross = (s * u_b)[:, None] * g_aa + (s * u_a)[:, None] * g_ab.T
            cross *= t
            out += cross + cross.T + g_aa * (t[:, None] * t)
        out += second_derivative_terms(slots, local)
        return 0.5 * (out + out.T)


def second_derivative_terms(slots: Slots, local: Local) -> Array:
    """What the second derivatives of the moments add to a Hessian; shape (k, k).

    Not symmetric term by term: the caller averages with the transpose.
    """
    a, b, s, t = slots.a, slots.b, slots.s, local.t
    alpha, beta, gamma = slots.shifts.read(local.state)
    w_a = (local.g - local.p)[a]
    w_ab = w_a[:, b]
    out: Array = s[:, None] * (alpha * w_ab.T + beta * w_a[:, a] + gamma * w_ab)
    if slots.has_means:
        u_a = local.u[a]
        out -= t[:, None] * alpha * u_a[None, :]
        out -= u_a[:, None] * _mean_weight_shifts(slots, local)
    return out


def _mean_weight_shifts(slots: Slots, local: Local) -> Array:
    """Derivative of t_i with respect to parameter j; shape (k, k)."""
    kinds = slots.t_kind
    if not slots.layout.factors:
        return np.zeros((len(kinds), len(kinds)))
    factor = np.maximum(kinds, 0)
    moves = (slots.matrix == MATRICES.index("beta")) | (slots.matrix == MATRICES.index("alpha"))
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

    @property
    def by_hessian(self) -> bool:
        """Whether the expected information costs as much as the Hessian."""
        return bool(getattr(self.estimator, "by_hessian", False))

    @cached_property
    def _is_whole(self) -> bool:
        """Whether one group has all parameters, in order."""
        return len(self.slots) == 1 and np.array_equal(self.slots[0].target, np.arange(self.n_free))

    def _matrix(self, parts: Sequence[Array]) -> Array:
        if self._is_whole:
            return parts[0]
        out = np.zeros((self.n_free, self.n_free))
        for slots, target, part in zip(self.slots, self.targets, parts, strict=True):
            out[np.ix_(slots.target, slots.target)] += target.weight * part
        return out

    def expected(self, locals_: Sequence[Local]) -> Array:
        """Expected information per observation, shape (q, q)."""
        return self._matrix(
            [
                self.estimator.expected(slots, target, local)
                for slots, target, local in zip(self.slots, self.targets, locals_, strict=True)
            ]
        )

    def hessian(self, locals_: Sequence[Local]) -> Array:
        """Observed information per observation, shape (q, q)."""
        return self._matrix(
            [
                self.estimator.hessian(slots, target, local)
                for slots, target, local in zip(self.slots, self.targets, locals_, strict=True)
            ]
        )
