r"""Least squares on the statistics of ordered answers: thresholds, slopes, variances, correlations.

Behind an ordered answer is a continuous response :math:`y^* = \nu + \Lambda\eta + \epsilon`,
cut at thresholds :math:`\tau`. With :math:`\Sigma_0` and :math:`\mu` the moments of the responses,
as of any model, and a scale :math:`d_i` per variable, the statistics are

.. math:: d_i(\tau_{ic} - \mu_i), \qquad -\mu_j, \qquad d_i\pi_{ik}, \qquad \Sigma_{0,jj},
          \qquad d_i d_j \Sigma_{0,ij}

for thresholds of ordered items, numeric variables j, slopes on given covariates, variances, and
correlations. In the delta parameterisation the scales are parameters (one unless freed) and
the residual variance is what is left of :math:`d_i^{-2}`; in theta the residual variance is the
parameter and the scale :math:`\Sigma_{0,ii}^{-1/2}`.

References
----------
Muthen (1984), Psychometrika 49; Muthen & Asparouhov (2002), Mplus Web Notes 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sqvalid.latent.discrepancy import Local, Target
from sqvalid.latent.implied import (
    MATRICES,
    Array,
    Index,
    Layout,
    Slots,
    State,
    implied_state,
    mean_weight,
)
from sqvalid.moments import Block

_LAMBDA, _BETA = MATRICES.index("lambda"), MATRICES.index("beta")
_TAU, _DELTA = MATRICES.index("tau"), MATRICES.index("delta")


@dataclass(frozen=True, eq=False)
class StatisticPlan:
    """Which statistics a group has, and where in the matrices their implied values are.

    Parameters
    ----------
    owner : ndarray of int, shape (t,)
        Variable of each threshold, or of a numeric variable's minus mean.
    tau : ndarray of int, shape (t,)
        Position of the threshold among the model's; -1 for a numeric variable.
    given : ndarray of int, shape (x,)
        Covariates that everything is conditional on.
    slope_of, slope_on : ndarray of int
        Variable and factor (of the covariate) of each slope.
    numeric : ndarray of int
        Numeric variables, whose variances are statistics.
    first, second : ndarray of int
        Variables of each correlation, lower triangle column by column.
    ordered : ndarray of int
        Ordered items.
    lifted, lifted_factor : ndarray of int
        Ordered items that take part in regressions, and the factors that stand for them: what is
        left of their variance is a disturbance of these.
    """

    owner: Index
    tau: Index
    given: Index
    slope_of: Index
    slope_on: Index
    numeric: Index
    first: Index
    second: Index
    ordered: Index
    lifted: Index
    lifted_factor: Index

    @property
    def size(self) -> int:
        """Number of statistics."""
        return len(self.owner) + len(self.slope_of) + len(self.numeric) + len(self.first)

    @property
    def covariance_start(self) -> int:
        """Where variances and correlations begin."""
        return len(self.owner) + len(self.slope_of)


def make_plan(layout: Layout, given: Sequence[str] = ()) -> StatisticPlan:
    """Statistics of one group in the order of :mod:`sqvalid.moments.ordinal`.

    Parameters
    ----------
    layout : Layout
    given : sequence of str
        Covariates that the statistics are conditional on.
    """
    counts = {name: layout.thresholds.count(name) for name in dict.fromkeys(layout.thresholds)}
    owner, tau, position = [], [], 0
    modelled = [j for j, name in enumerate(layout.observed) if name not in given]
    for j in modelled:
        k = counts.get(layout.observed[j], 0)
        owner += [j] * max(k, 1)
        tau += list(range(position, position + k)) if k else [-1]
        position += k
    x = [layout.observed.index(name) for name in given]
    factors = [layout.factors.index(name) for name in given]
    factor_of = {name: k for k, name in enumerate(layout.factors[layout.n_latents :])}
    lifted = [
        j for j in modelled if layout.observed[j] in counts and layout.observed[j] in factor_of
    ]
    pairs = [(a, b) for i, a in enumerate(modelled) for b in modelled[i + 1 :]]

    def index(values: Sequence[int]) -> Index:
        return np.array(values, dtype=np.intp)

    return StatisticPlan(
        owner=index(owner),
        tau=index(tau),
        given=index(x),
        # Covariate after covariate, all variables of each.
        slope_of=index(modelled * len(x)),
        slope_on=index([f for f in factors for _ in modelled]),
        numeric=index([j for j in modelled if layout.observed[j] not in counts]),
        first=index([a for a, _ in pairs]),
        second=index([b for _, b in pairs]),
        ordered=index([j for j in modelled if layout.observed[j] in counts]),
        lifted=index(lifted),
        lifted_factor=index([layout.n_latents + factor_of[layout.observed[j]] for j in lifted]),
    )


@dataclass(frozen=True, eq=False)
class OrdinalTarget:
    """A group's statistics and their weights.

    Parameters
    ----------
    plan : StatisticPlan
    values : ndarray, shape (s,)
    weights : ndarray, shape (s,) or (s, s)
        A diagonal, or a matrix.
    is_theta : bool
        Whether residual variances are parameters, and scales follow.
    block : Block
        Where the statistics come from, with their asymptotic covariance.
    """

    plan: StatisticPlan
    values: Array
    weights: Array
    is_theta: bool
    block: Block

    @property
    def gamma(self) -> Array:
        """Asymptotic covariance of the statistics, shape (s, s)."""
        assert self.block.gamma is not None
        return self.block.gamma

    @property
    def gamma_diagonal(self) -> Array:
        """Its diagonal, shape (s,)."""
        assert self.block.gamma_diagonal is not None
        return self.block.gamma_diagonal

    def weighted(self, right: Array) -> Array:
        """W times a vector (s,) or a matrix (s, k)."""
        if self.weights.ndim == 2:
            return np.asarray(self.weights @ right)
        return self.weights * right if right.ndim == 1 else self.weights[:, None] * right


@dataclass(frozen=True, eq=False)
class OrdinalLocal:
    """What the statistics' derivatives need at one parameter vector.

    Parameters
    ----------
    target : OrdinalTarget
    scale : ndarray, shape (p,)
        d; ones for numeric variables.
    covariance : ndarray, shape (p, p)
        Implied correlations (covariances of numeric variables), in the metric of the statistics.
    values : ndarray, shape (s,)
        Implied statistics.
    weighted_residual : ndarray, shape (s,)
        W times (sample less implied).
    jacobians, informations : dict
        Derivatives, and their cross-products, already computed at this point, by the identity of
        their slots.
    spreads : dict
        How the statistics vary, likewise.
    """

    target: OrdinalTarget
    scale: Array
    covariance: Array
    values: Array
    weighted_residual: Array
    jacobians: dict[int, Array] = field(default_factory=dict)
    informations: dict[int, Array] = field(default_factory=dict)
    spreads: dict[tuple[int, int], Any] = field(default_factory=dict)


def ordinal_state(slots: Slots, plan: StatisticPlan, theta: Array, *, is_theta: bool) -> State:
    r"""Implied moments of the responses, residual variances of ordered items filled in.

    In the delta parameterisation variances are known to be :math:`d_i^{-2}`. Disturbances of items
    that take part in regressions come first, since other variables depend on them; they solve
    :math:`\sum_l A_{kl}^2\psi_l = d_k^{-2} - (A\Psi_0A')_{kk}`.
    """
    state = implied_state(slots, theta)
    if is_theta:
        return state
    ordered = plan.ordered
    matrices, sigma = dict(state.matrices), state.sigma
    if len(plan.lifted):
        factors = plan.lifted_factor
        psi = matrices["psi"].copy()
        psi[factors, factors] = 0.0
        reach = state.a_matrix[factors]
        rest = np.einsum("ij,jk,ik->i", reach, psi, reach)
        wanted = matrices["delta"][plan.lifted] ** -2.0 - rest
        psi[factors, factors] = np.linalg.solve(reach[:, factors] ** 2, wanted)
        matrices["psi"] = psi
        phi = state.a_matrix @ psi @ state.a_matrix.T
        lambda_ = matrices["lambda"]
        sigma = lambda_ @ phi @ lambda_.T + matrices["theta"]
        p, m = lambda_.shape
        c = state.c.copy()
        c[:, p + m :] = lambda_ @ phi
        state = replace(state, phi=phi, c=c)
    residual, sigma = matrices["theta"].copy(), sigma.copy()
    total = matrices["delta"][ordered] ** -2.0
    residual[ordered, ordered] += total - sigma[ordered, ordered]
    residual[plan.lifted, plan.lifted] = 0.0
    sigma[ordered, ordered] = total
    matrices["theta"] = residual
    return replace(state, matrices=matrices, sigma=sigma)


def response_scale(state: State, plan: StatisticPlan, *, is_theta: bool) -> Array | None:
    """Scales d of all variables, None where a response has no variance."""
    scale = np.ones(len(state.sigma))
    ordered = plan.ordered
    if not is_theta:
        scale[ordered] = state.matrices["delta"][ordered]
        return scale if (scale > 0).all() else None
    variance = state.sigma[ordered, ordered]
    if not (variance > 1e-12).all():
        return None
    scale[ordered] = variance**-0.5
    return scale


def implied_statistics(state: State, plan: StatisticPlan, scale: Array) -> tuple[Array, Array]:
    """Implied statistics (s,) and covariances in their metric (p, p)."""
    p = len(scale)
    tau = np.append(state.matrices["tau"], 0.0)[plan.tau]
    covariance = state.sigma * scale[:, None] * scale
    slopes = state.c[plan.slope_of, p + plan.slope_on] * scale[plan.slope_of]
    values = np.concatenate(
        [
            (tau - state.mu[plan.owner]) * scale[plan.owner],
            slopes,
            covariance[plan.numeric, plan.numeric],
            covariance[plan.first, plan.second],
        ]
    )
    return values, covariance


def scale_jacobian(
    slots: Slots, state: State, plan: StatisticPlan, scale: Array, *, is_theta: bool
) -> Array:
    """Derivatives of the scales, shape (p, k)."""
    out = np.zeros((len(scale), slots.n_parameters))
    if is_theta:
        rows = plan.ordered
        own = 2.0 * state.c[rows][:, slots.a] * state.c[rows][:, slots.b] * slots.s
        out[rows] = -0.5 * scale[rows, None] ** 3 * own
        return out
    chosen = np.flatnonzero(slots.matrix == _DELTA)
    out[slots.row[chosen], chosen] = 1.0
    return out


def statistic_jacobian(slots: Slots, local: Local) -> Array:
    """Derivatives of the implied statistics, shape (s, k); computed once per point."""
    assert local.ordinal is not None
    known = local.ordinal.jacobians
    if id(slots) not in known:
        found = _statistic_jacobian(slots, local.state, local.ordinal)
        found.flags.writeable = False
        known[id(slots)] = found
    return known[id(slots)]


def _statistic_jacobian(slots: Slots, state: State, here: OrdinalLocal) -> Array:
    target, scale = here.target, here.scale
    plan = target.plan
    p, k = len(scale), slots.n_parameters
    out = np.zeros((plan.size, k))
    d_scale = scale_jacobian(slots, state, plan, scale, is_theta=target.is_theta)

    # Thresholds and minus means.
    t = len(plan.owner)
    d_mu = state.c[:, slots.a] * mean_weight(slots, state)
    tau = np.append(state.matrices["tau"], 0.0)[plan.tau]
    gap = tau - state.mu[plan.owner]
    out[:t] = gap[:, None] * d_scale[plan.owner] - scale[plan.owner, None] * d_mu[plan.owner]
    chosen = np.flatnonzero(slots.matrix == _TAU)
    row_of = np.full(len(state.matrices["tau"]), -1, dtype=np.intp)
    is_threshold = plan.tau >= 0
    row_of[plan.tau[is_threshold]] = np.flatnonzero(is_threshold)
    rows = row_of[slots.row[chosen]]
    out[rows, chosen] += scale[plan.owner[rows]]

    # Slopes move with loadings and regressions, by a column of C times a total effect.
    if len(plan.slope_of):
        moves = (slots.matrix == _LAMBDA) | (slots.matrix == _BETA)
        reach = state.a_matrix[np.where(moves, slots.column, 0)] * moves[:, None]
        part = state.c[plan.slope_of][:, slots.a] * reach[:, plan.slope_on].T
        slope = state.c[plan.slope_of, p + plan.slope_on]
        out[t : plan.covariance_start] = (
            scale[plan.slope_of, None] * part + slope[:, None] * d_scale[plan.slope_of]
        )

    # Variances and correlations, for the parameters that move them.
    active = np.flatnonzero((slots.s != 0) | (slots.matrix == _DELTA))
    ca = state.c[:, slots.a[active]]
    cb = state.c[:, slots.b[active]] * slots.s[active]
    start = plan.covariance_start
    middle = start + len(plan.numeric)
    if len(plan.lifted) and not target.is_theta:
        own = state.c[:, p + plan.lifted_factor]
        moved = filled_jacobian(slots, state, plan).disturbance
        out[start:middle] = own[plan.numeric] ** 2 @ moved
        scaled = own * scale[:, None]
        out[middle:] = (scaled[plan.first] * scaled[plan.second]) @ moved
    out[start:middle, active] += 2.0 * ca[plan.numeric] * cb[plan.numeric]
    # Rows scaled beforehand; where scales move, the covariance goes along.
    ca, cb = ca * scale[:, None], cb * scale[:, None]
    i, j = plan.first, plan.second
    part = ca[i] * cb[j]
    part += ca[j] * cb[i]
    relative = d_scale[:, active] / scale[:, None]
    if relative.any():
        both = relative[i] + relative[j]
        part += here.covariance[i, j][:, None] * both
    out[middle:, active] += part
    return out


@dataclass(frozen=True, eq=False)
class Filled:
    """How variances that the delta parameterisation fills in move with the parameters.

    Parameters
    ----------
    residual : ndarray, shape (number of ordered items, k)
        Residual variance of every ordered item; its disturbance where it is lifted.
    disturbance : ndarray, shape (number of lifted items, k)
    """

    residual: Array
    disturbance: Array


def filled_jacobian(slots: Slots, state: State, plan: StatisticPlan) -> Filled:
    """Derivatives of residual variances that follow from other parameters.

    Parameters
    ----------
    state : State
        Conditional on covariates where the statistics are.
    """
    p = len(state.sigma)
    wanted = np.zeros((p, slots.n_parameters))
    chosen = np.flatnonzero(slots.matrix == _DELTA)
    items = slots.row[chosen]
    wanted[items, chosen] = -2.0 * state.matrices["delta"][items] ** -3.0
    # Less what each parameter does to the variance by itself.
    wanted -= 2.0 * state.c[:, slots.a] * state.c[:, slots.b] * slots.s
    disturbance: Array = np.zeros((len(plan.lifted), slots.n_parameters))
    if len(plan.lifted):
        reach = state.a_matrix[np.ix_(plan.lifted_factor, plan.lifted_factor)]
        disturbance = np.asarray(np.linalg.solve(reach**2, wanted[plan.lifted]), np.float64)
        wanted -= state.c[:, p + plan.lifted_factor] ** 2 @ disturbance
        wanted[plan.lifted] = disturbance
    return Filled(wanted[plan.ordered], disturbance)


def joint_state(slots: Slots, theta: Array, local: Local) -> State:
    """Moments of all variables, where the statistics are conditional on covariates.

    Parameters
    ----------
    slots : Slots
        With the covariates' own moments in place.
    """
    assert local.ordinal is not None
    state = implied_state(slots, theta)
    here, plan = local.state, local.ordinal.target.plan
    matrices = {**state.matrices, "theta": here.matrices["theta"], "psi": here.matrices["psi"]}
    given = [slots.layout.factors.index(slots.layout.observed[j]) for j in plan.given]
    psi = matrices["psi"].copy()
    psi[np.ix_(given, given)] = state.matrices["psi"][np.ix_(given, given)]
    matrices["psi"] = psi
    phi = state.a_matrix @ psi @ state.a_matrix.T
    lambda_ = matrices["lambda"]
    c = state.c.copy()
    c[:, sum(lambda_.shape) :] = lambda_ @ phi
    sigma = lambda_ @ phi @ lambda_.T + matrices["theta"]
    return replace(state, matrices=matrices, phi=phi, sigma=sigma, c=c)


def _cross_products(slots: Slots, here: OrdinalLocal, jacobian: Array) -> Array:
    """Jacobian' W Jacobian, with little work for thresholds where W is a diagonal.

    A threshold moves its own statistic and nothing else; the other parameters move few of the
    threshold statistics, or none.
    """
    target = here.target
    if target.weights.ndim == 2:
        return np.asarray(jacobian.T @ target.weights @ jacobian)
    start = target.plan.covariance_start
    is_tau = slots.matrix == _TAU
    others = np.flatnonzero(~is_tau)
    lower, upper = jacobian[start:, others], jacobian[:start, others]
    weight = target.weights
    out = np.zeros((slots.n_parameters,) * 2)
    among = lower.T @ (weight[start:, None] * lower)
    moved = np.flatnonzero(upper.any(axis=1))
    part = upper[moved]
    among += part.T @ (weight[moved, None] * part)
    out[np.ix_(others, others)] = among
    cuts = np.flatnonzero(is_tau)
    if len(cuts):
        rows = np.abs(jacobian[:start, cuts]).argmax(axis=0)
        own = jacobian[rows, cuts]
        out[cuts, cuts] = weight[rows] * own * own
        across = (weight[rows] * own)[:, None] * jacobian[np.ix_(rows, others)]
        out[np.ix_(cuts, others)] = across
        out[np.ix_(others, cuts)] = across.T
    return out


class CategoricalLeastSquares:
    r"""Weighted least squares, :math:`F = (s - \sigma)' W (s - \sigma)`, on statistics of answers.

    W is the inverse of their asymptotic covariance (WLS), of its diagonal (DWLS), or one
    (ULS).

    References
    ----------
    Muthen (1984), Psychometrika 49; diagonal weights: Muthen, du Toit & Spisic (1997).
    """

    def value(self, slots: Slots, target: Target, theta: Array) -> float:
        """F/2; infinity where a response has no variance."""
        local = self.local(slots, target, theta)
        return np.inf if local is None else local.half_f

    def local(self, slots: Slots, target: Target, theta: Array) -> Local | None:
        """State, implied statistics and weighted residuals at `theta`."""
        found = target.ordinal
        assert found is not None
        state = ordinal_state(slots, found.plan, theta, is_theta=found.is_theta)
        scale = response_scale(state, found.plan, is_theta=found.is_theta)
        if scale is None or not np.isfinite(state.sigma).all():
            return None
        values, covariance = implied_statistics(state, found.plan, scale)
        residual = found.values - values
        weighted = found.weighted(residual)
        nothing = np.empty((0, 0))
        return Local(
            state=state,
            g=nothing,
            p=nothing,
            u=np.empty(0),
            t=mean_weight(slots, state),
            sigma_inverse=nothing,
            half_f=0.5 * float(residual @ weighted),
            ordinal=OrdinalLocal(found, scale, covariance, values, weighted),
        )

    def gradient(self, slots: Slots, local: Local) -> Array:
        r"""Gradient of F/2, :math:`-\Delta' W e`."""
        assert local.ordinal is not None
        return np.asarray(-local.ordinal.weighted_residual @ statistic_jacobian(slots, local))

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        r""":math:`\Delta' W \Delta`."""
        assert local.ordinal is not None
        known = local.ordinal.informations
        if id(slots) not in known:
            found = _cross_products(slots, local.ordinal, statistic_jacobian(slots, local))
            found.flags.writeable = False
            known[id(slots)] = found
        return known[id(slots)]

    def hessian(self, slots: Slots, target: Target, local: Local) -> Array:
        """The same: second derivatives of the statistics are left out (Gauss and Newton)."""
        return self.expected(slots, target, local)
