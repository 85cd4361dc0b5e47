r"""Corrections for answers that are not normal: sandwich covariances and scaled statistics.

Everything comes from the casewise moments :math:`x_n = (z_n, vech(z_n z_n' - S))` about the
sample means, whose covariance is Gamma. With the weights V of the estimator, the Jacobian
:math:`\Delta`, :math:`B = (\Delta'V\Delta)^{-1}` and
:math:`U = V - V\Delta B\Delta'V`, what is needed is

.. math:: \Delta' V \Gamma V \Delta, \qquad tr(U\Gamma), \qquad tr((U\Gamma)^2).

Gamma is never formed when the weights are normal-theory ones: scores are gathers, and inner
products of cases are functions of Mahalanobis products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from sqvalid.latent.implied import Array, Slots, State, mean_weight
from sqvalid.latent.least_squares import stacked_jacobian
from sqvalid.moments import Block

WeightKind = Literal["normal", "identity", "dense"]
# Above this many respondents the p* x p* form is smaller than the N x N one.
_GRAM_ROWS = 1500
# Rows of casewise moments that are in memory at a time.
_PIECE_ROWS = 2048


@dataclass(frozen=True, eq=False)
class CaseMoments:
    """Deviations and their products, centred, of one case after the other.

    They are made in pieces of rows, so that Gamma of any number of respondents is one pass over
    the answers in the memory of one piece.

    Parameters
    ----------
    deviations : ndarray, shape (n, p)
        Answers less their means.
    predicted : ndarray, shape (n, p), optional
        What fixed covariates predict of them. With y = y_hat + e only e varies over samples: of
        every product of two deviations the product of the two predictions is taken off.
    with_means : bool
        Whether the deviations themselves stand before their products.
    """

    deviations: Array
    predicted: Array | None
    with_means: bool

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        """Rows and their moments, shape (rows, p*)."""
        deviations, predicted = self.deviations, self.predicted
        n = len(deviations)
        columns, rows = np.triu_indices(deviations.shape[1])
        centre = deviations.T @ deviations
        if predicted is not None:
            centre -= predicted.T @ predicted
        mean = (centre / n)[rows, columns]
        for start in range(0, n, _PIECE_ROWS):
            piece = slice(start, start + _PIECE_ROWS)
            part = deviations[piece]
            products = part[:, rows] * part[:, columns]
            if predicted is not None:
                hat = predicted[piece]
                products -= hat[:, rows] * hat[:, columns]
                part = part - hat
            products -= mean
            yield piece, np.hstack([part, products]) if self.with_means else products

    def gamma(self) -> Array:
        """Covariance of the moments, shape (p*, p*), divisor n."""
        return np.asarray(sum(m.T @ m for _, m in self.pieces()) / len(self.deviations))

    def times(self, matrix: Array) -> Array:
        """Every case's moments times a matrix (p*, k); shape (n, k)."""
        return np.vstack([moments @ matrix for _, moments in self.pieces()])

    def cross(self, scores: Array) -> Array:
        """Mean product of moments and scores (n, k); shape (p*, k)."""
        return np.asarray(
            sum(m.T @ scores[rows] for rows, m in self.pieces()) / len(self.deviations)
        )

    def whole(self) -> Array:
        """All of them, shape (n, p*)."""
        return np.vstack([moments for _, moments in self.pieces()])


def case_moments(deviations: Array, *, with_means: bool, fixed: Sequence[int] = ()) -> CaseMoments:
    """Moments of the cases, given the covariates at the positions `fixed`."""
    predicted = None
    if fixed:
        covariates = deviations[:, fixed]
        predicted = covariates @ np.linalg.lstsq(covariates, deviations, rcond=None)[0]
    return CaseMoments(deviations, predicted, with_means)


@dataclass(frozen=True, eq=False)
class Weight:
    """Weights V of one group's moments.

    Parameters
    ----------
    kind : {"normal", "identity", "dense"}
    matrix : ndarray, optional
        Inverse covariance (p, p) of normal-theory weights, V itself (p*, p*) of dense ones.
    """

    kind: WeightKind
    matrix: Array | None = None

    def dense(self, p: int, *, with_means: bool) -> Array:
        """V as a matrix, shape (p*, p*)."""
        size = p * (p + 1) // 2
        if self.kind == "dense":
            assert self.matrix is not None
            return self.matrix
        if self.kind == "identity":
            return np.eye(size + (p if with_means else 0))
        assert self.matrix is not None
        columns, rows = np.triu_indices(p)
        inverse = self.matrix
        # Half of the elements of inverse (x) inverse, the two copies of a covariance summed.
        block = (
            inverse[np.ix_(rows, rows)] * inverse[np.ix_(columns, columns)]
            + inverse[np.ix_(rows, columns)] * inverse[np.ix_(columns, rows)]
        )
        twice = np.where(rows == columns, 0.5, 1.0)
        block *= 0.5 * 2.0 * np.outer(twice, twice)
        if not with_means:
            return block
        out = np.zeros((size + p, size + p))
        out[:p, :p] = inverse
        out[p:, p:] = block
        return out


@dataclass(frozen=True, eq=False)
class GroupSpread:
    r"""How one group's sample moments vary, seen through the weights.

    Parameters
    ----------
    scores : ndarray, shape (n, q)
        :math:`\Delta' V x_n` in the order of all free parameters.
    moments : CaseMoments
        The moments of the cases.
    weight : Weight
    share : float
        Share of the group among all respondents.
    with_means : bool
    """

    scores: Array
    moments: CaseMoments
    weight: Weight
    share: float

    @property
    def n_obs(self) -> int:
        """Respondents."""
        return len(self.scores)

    def meat(self) -> Array:
        r"""Covariance of the scores, :math:`\Delta' V \Gamma V \Delta`, shape (q, q)."""
        product: Array = self.scores.T @ self.scores
        return np.asarray(product / self.n_obs)

    def trace(self) -> float:
        """tr(V Gamma)."""
        if self.weight.kind == "normal":
            inverse = self.weight.matrix
            assert inverse is not None
            deviations = self.moments.deviations
            weighted = deviations @ inverse
            distance = np.einsum("ij,ij->i", weighted, deviations)
            spread = weighted.T @ deviations / self.n_obs
            out = 0.5 * (float(distance @ distance) / self.n_obs - float(np.sum(spread * spread.T)))
            return out + (float(distance.mean()) if self.moments.with_means else 0.0)
        matrix = self.weight.matrix
        assert matrix is not None
        total = sum(float(np.vdot(m @ matrix, m)) for _, m in self.moments.pieces())
        return total / self.n_obs

    def _gram(self) -> Array:
        """Inner products x_n' V x_m of the cases, shape (n, n)."""
        if self.weight.kind == "normal":
            inverse = self.weight.matrix
            assert inverse is not None
            deviations = self.moments.deviations
            product = deviations @ inverse @ deviations.T
            out: Array = product * product
            centre = out.mean(axis=0)
            # In place: at this size it is memory that takes the time.
            out -= centre[:, None]
            out -= centre - centre.mean()
            out *= 0.5
            if self.moments.with_means:
                out += product
            return out
        assert self.weight.matrix is not None
        moments = self.moments.whole()
        return np.asarray(moments @ self.weight.matrix @ moments.T)

    def second_order(self, inverse: Array) -> tuple[float, float]:
        """tr((V Gamma)^2) and tr(B Delta'V Gamma V Gamma V Delta)."""
        n = self.n_obs
        if n <= _GRAM_ROWS:
            gram = self._gram()
            inner = self.scores.T @ gram @ self.scores
            return float(np.vdot(gram, gram)) / n**2, float(np.sum(inverse * inner)) / n**2
        p = self.moments.deviations.shape[1]
        dense = self.weight.dense(p, with_means=self.moments.with_means)
        v_gamma = dense @ self.moments.gamma()
        gamma_scores = self.moments.cross(self.scores)
        inner = gamma_scores.T @ dense @ gamma_scores
        return float(np.sum(v_gamma * v_gamma.T)), float(np.sum(inverse * inner))


@dataclass(frozen=True, eq=False)
class MomentSpread:
    r"""The same for moments whose covariance is given as a matrix.

    Parameters
    ----------
    gamma : ndarray, shape (p*, p*)
        Asymptotic covariance of the moments.
    weight : ndarray, shape (p*, p*)
        V.
    jacobian : ndarray, shape (p*, q)
        :math:`\Delta` in the order of all free parameters.
    share : float
        Share of the group among all respondents.
    """

    gamma: Array
    weight: Array
    jacobian: Array
    share: float

    @cached_property
    def _weighted(self) -> Array:
        return np.asarray(self.weight @ self.jacobian)

    @cached_property
    def through(self) -> Array:
        """Gamma V Delta, shape (p*, q)."""
        return np.asarray(self.gamma @ self._weighted)

    def meat(self) -> Array:
        r""":math:`\Delta' V \Gamma V \Delta`, shape (q, q)."""
        return np.asarray(self._weighted.T @ self.through)

    def trace(self) -> float:
        """tr(V Gamma)."""
        return float(np.sum(self.weight * self.gamma))

    def second_order(self, inverse: Array) -> tuple[float, float]:
        """tr((V Gamma)^2) and tr(B Delta'V Gamma V Gamma V Delta)."""
        v_gamma = self.weight @ self.gamma
        inner = self.through.T @ self.weight @ self.through
        return float(np.sum(v_gamma * v_gamma.T)), float(np.sum(inverse * inner))


@dataclass(frozen=True, eq=False)
class DiagonalSpread:
    r"""The same where the weights are a diagonal, as for statistics of ordered answers.

    With the influence :math:`\psi_n` of respondents, :math:`\Gamma = N\sum_n\psi_n\psi_n'`; with
    fewer respondents than statistics their inner products :math:`\psi_n'V\psi_m` are the smaller
    matrix.

    Parameters
    ----------
    block : Block
    weight : ndarray, shape (s,)
    jacobian : ndarray, shape (s, q)
    share : float
    """

    block: Block
    weight: Array
    jacobian: Array
    share: float

    @property
    def _by_case(self) -> bool:
        influence = self.block.influence
        return influence is not None and influence.shape[0] < influence.shape[1]

    @cached_property
    def _weighted(self) -> Array:
        return self.weight[:, None] * self.jacobian

    @cached_property
    def _scores(self) -> Array:
        """Scores of the respondents, shape (n, q)."""
        assert self.block.influence is not None
        return np.asarray(self.block.influence @ self._weighted)

    @cached_property
    def through(self) -> Array:
        """Gamma V Delta, shape (s, q)."""
        if self._by_case:
            assert self.block.influence is not None
            return np.asarray(self.block.total_weight * (self.block.influence.T @ self._scores))
        assert self.block.gamma is not None
        return np.asarray(self.block.gamma @ self._weighted)

    @cached_property
    def _meat(self) -> Array:
        if self._by_case:
            return np.asarray(self.block.total_weight * (self._scores.T @ self._scores))
        return np.asarray(self._weighted.T @ self.through)

    def meat(self) -> Array:
        r""":math:`\Delta' V \Gamma V \Delta`, shape (q, q)."""
        return self._meat

    def trace(self) -> float:
        """tr(V Gamma)."""
        assert self.block.gamma_diagonal is not None
        return float(self.weight @ self.block.gamma_diagonal)

    def second_order(self, inverse: Array) -> tuple[float, float]:
        """tr((V Gamma)^2) and tr(B Delta'V Gamma V Gamma V Delta)."""
        if self._by_case:
            influence = self.block.influence
            assert influence is not None
            gram = (influence * self.weight) @ influence.T
            own = self.block.total_weight**2 * float(np.vdot(gram, gram))
        else:
            gamma = self.block.gamma
            assert gamma is not None
            # Gamma is symmetric: the trace is a quadratic form of its squared elements.
            own = float(self.weight @ (gamma * gamma) @ self.weight)
        inner = (self.through * self.weight[:, None]).T @ self.through
        return own, float(np.sum(inverse * inner))


Spread = GroupSpread | MomentSpread | DiagonalSpread


def group_spread(
    slots: Slots,
    state: State,
    weight: Weight,
    deviations: Array,
    *,
    n_free: int,
    share: float,
    fixed: Sequence[int] = (),
) -> GroupSpread:
    """Scores of one group's casewise moments under the weights of an estimator.

    Moments of `fixed` covariates are given: what other moments share with them is taken off.
    """
    with_means = slots.has_means
    moments = case_moments(deviations, with_means=with_means, fixed=fixed)
    if weight.kind == "normal" and not fixed:
        assert weight.matrix is not None
        z = deviations @ (weight.matrix @ state.c)
        z_a = z[:, slots.a]
        local = slots.s * z_a * z[:, slots.b]
        local -= local.mean(axis=0)
        if with_means:
            local += mean_weight(slots, state) * z_a
    else:
        dense = weight.dense(deviations.shape[1], with_means=with_means)
        weight = Weight("dense", dense)
        local = moments.times(dense @ stacked_jacobian(slots, state, with_means=with_means))
    scores = np.zeros((len(deviations), n_free))
    scores[:, slots.target] = local
    return GroupSpread(scores, moments, weight, share)


def meat_matrix(groups: Sequence[Spread]) -> Array:
    """Covariance of the scores of all groups per observation, shape (q, q)."""
    return np.asarray(sum(group.share * group.meat() for group in groups))


@dataclass(frozen=True)
class Traces:
    """tr(U Gamma) and tr((U Gamma)^2); the latter NaN when it was not asked for."""

    first: float
    second: float


def u_gamma_traces(
    groups: Sequence[Spread], inverse: Array, meat: Array, *, second: bool
) -> Traces:
    r"""Traces that scale a test statistic.

    .. math:: tr(U\Gamma) = \sum_g tr(V_g\Gamma_g) - tr(B\Omega), \qquad
       tr((U\Gamma)^2) = \sum_g [tr((V_g\Gamma_g)^2)
       - 2 w_g tr(B \Delta_g'V\Gamma V\Gamma V\Delta_g)] + tr((B\Omega)^2)

    Parameters
    ----------
    groups : sequence of GroupSpread or MomentSpread
    inverse : ndarray, shape (q, q)
        B over the directions that constraints leave.
    meat : ndarray, shape (q, q)
        Omega, the covariance of the scores.
    """
    product = inverse @ meat
    first = sum(group.trace() for group in groups) - float(np.trace(product))
    if not second:
        return Traces(first, float("nan"))
    total = float(np.sum(product * product.T))
    for group in groups:
        own, through = group.second_order(inverse)
        total += own - 2.0 * group.share * through
    return Traces(first, total)


@dataclass(frozen=True)
class ScaledStatistic:
    """A corrected test statistic.

    Parameters
    ----------
    stat, df : float
        Statistic and reference degrees of freedom (a fraction when they are adjusted).
    scaling_factor : float
        What the statistic was divided by.
    shift : float
        What was added then; 0 without a shift.
    mean_scaling_factor : float
        tr(U Gamma) / df of the model.
    """

    stat: float
    df: float
    scaling_factor: float
    shift: float
    mean_scaling_factor: float


def satorra_bentler(stat: float, df: int, traces: Traces) -> ScaledStatistic:
    """Mean-adjusted statistic (Satorra & Bentler, 1994)."""
    factor = traces.first / df if df > 0 else float("nan")
    return ScaledStatistic(stat / factor if df > 0 else stat, df, factor, 0.0, factor)


def mean_variance_adjusted(stat: float, df: int, traces: Traces) -> ScaledStatistic:
    """Statistic whose degrees of freedom are estimated (Satterthwaite; Satorra & Bentler, 1994)."""
    if df <= 0:
        return ScaledStatistic(stat, df, float("nan"), 0.0, float("nan"))
    new_df = traces.first**2 / traces.second
    factor = traces.first / new_df
    return ScaledStatistic(stat / factor, new_df, factor, 0.0, traces.first / df)


def scaled_shifted(stat: float, df: int, traces: Traces) -> ScaledStatistic:
    """Scaled and shifted statistic (Asparouhov & Muthen, 2010)."""
    if df <= 0:
        return ScaledStatistic(stat, df, float("nan"), 0.0, float("nan"))
    a = float(np.sqrt(df / traces.second))
    shift = df - a * traces.first
    return ScaledStatistic(a * stat + shift, df, 1.0 / a, shift, traces.first / df)
