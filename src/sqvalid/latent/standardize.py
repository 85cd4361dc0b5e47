"""Standardised solutions: one step theta -> (tau, Jacobian).

Loadings and regressions are multiplied by the standard deviation of what predicts and divided
by that of what is predicted, both implied by the model. Variances are divided by the total
variance, covariances of residuals by the residual standard deviations, so that they become
residual correlations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from sqvalid.latent.categorical import Filled, StatisticPlan
from sqvalid.latent.implied import (
    Array,
    Index,
    Slots,
    State,
    factor_variance_jacobian,
)
from sqvalid.latent.parameter_table import Row

StandardKind = Literal["all", "lv", "nox"]


@dataclass(frozen=True, eq=False)
class Deviations:
    """Standard deviations of one group's variables and their derivatives.

    Parameters
    ----------
    sd : dict of str to float
        Model-implied standard deviation of every variable.
    residual : dict of str to (float, int)
        Residual variance, and index of its free parameter (-1 when fixed).
    place : dict of str to int
        Position of every variable in the arrays.
    roots : ndarray, shape (2 v + 1,)
        Standard deviations of the v variables, those of their residuals, and a one.
    relative : ndarray, shape (2 v + 1, q)
        Derivatives of `roots`, divided by them; zero where a root is zero.
    """

    sd: dict[str, float]
    residual: dict[str, tuple[float, int]]
    place: dict[str, int]
    roots: Array
    relative: Array


def deviations(
    slots: Slots,
    state: State,
    rows: Sequence[Row],
    estimates: Array,
    n_free: int,
    *,
    filled: tuple[StatisticPlan, Filled] | None = None,
) -> Deviations:
    """Standard deviations of the variables of one group.

    Parameters
    ----------
    rows : sequence of Row
        All rows of the table; `estimates` has their values in the same order.
    filled : tuple, optional
        Where residual variances of ordered items follow from the other parameters.
    """
    names = (*slots.layout.observed, *slots.layout.factors)
    place = {name: i for i, name in enumerate(names)}
    residual = {
        row.lhs: (float(value), row.free - 1)
        for row, value in zip(rows, estimates, strict=True)
        if row.op == "~~" and row.lhs == row.rhs
    }
    v = len(names)
    # Residual variances stand behind the total ones; a one stands last.
    variance = np.concatenate([np.diag(state.sigma), np.diag(state.phi), np.zeros(v), [1.0]])
    slope = np.zeros((2 * v + 1, n_free))
    own = 2.0 * state.c[:, slots.a] * state.c[:, slots.b] * slots.s
    slope[:v, slots.target] = np.vstack([own, factor_variance_jacobian(slots, state)])
    for name, (value, index) in residual.items():
        at = v + place[name]
        variance[at] = value
        if index >= 0:
            slope[at, index] = 1.0
    if filled is not None:
        plan, moves = filled
        p = len(slots.layout.observed)
        fixed = np.isin(plan.ordered, plan.lifted, invert=True)
        slope[np.ix_(plan.ordered[fixed], slots.target)] += moves.residual[fixed]
        # Everything downstream of a lifted item moves with its disturbance.
        reach = np.vstack(
            [state.c[:, p + plan.lifted_factor], state.a_matrix[:, plan.lifted_factor]]
        )
        slope[:v, slots.target] += reach**2 @ moves.disturbance
        residuals = np.array([v + place[slots.layout.observed[item]] for item in plan.ordered])
        slope[np.ix_(residuals, slots.target)] = moves.residual
    # A negative variance keeps its size: the solution is inadmissible and reported as such.
    roots = np.sqrt(np.abs(variance))
    safe = np.where(variance == 0.0, np.inf, variance)
    return Deviations(
        sd=dict(zip(names, roots[:v].tolist(), strict=True)),
        residual=residual,
        place=place,
        roots=roots,
        relative=slope / (2.0 * safe)[:, None],
    )


def scale_places(
    rows: Sequence[Row],
    place: Mapping[str, int],
    n_names: int,
    kind: StandardKind,
    latents: Sequence[str],
    covariates: Sequence[str],
) -> tuple[Index, Index, Index]:
    """Which deviations a row is multiplied by, and which two it is divided by.

    Parameters
    ----------
    rows, kind, latents, covariates
        As for :func:`standardise_rows`.
    place : mapping of str to int
        Position of every variable.
    n_names : int
        Positions there are, v.

    Returns
    -------
    up, first, second : ndarray of int, shape (len(rows),)
        Positions in the standard deviations of the variables, those of their residuals (from v
        on), and a one (at 2 v).
    """
    is_latent, is_covariate = set(latents), set(covariates)

    def scaled(name: str) -> bool:
        if kind == "lv":
            return name in is_latent
        return not (kind == "nox" and name in is_covariate)

    up, first, second = (np.full(len(rows), 2 * n_names, dtype=np.intp) for _ in range(3))
    for i, row in enumerate(rows):
        left = place[row.lhs]
        right = place.get(row.rhs, left)
        match row.op:
            case "=~":
                up[i] = left
                if scaled(row.rhs):
                    first[i] = right
            case "~":
                if scaled(row.rhs):
                    up[i] = right
                if scaled(row.lhs):
                    first[i] = left
            case "~~" if row.lhs == row.rhs:
                if scaled(row.lhs):
                    first[i] = second[i] = left
            case "~~":
                if scaled(row.lhs):
                    first[i] = left + n_names
                if scaled(row.rhs):
                    second[i] = right + n_names
            case "~1" | "|":
                if scaled(row.lhs):
                    first[i] = left
    return up, first, second


def standardise_rows(
    rows: Sequence[Row],
    estimates: Array,
    dev: Deviations,
    kind: StandardKind,
    latents: Sequence[str],
    covariates: Sequence[str],
    slopes: Mapping[int, Array] = MappingProxyType({}),
) -> tuple[Array, Array]:
    """Standardise the rows of one group.

    Parameters
    ----------
    rows : sequence of Row
    estimates : ndarray, shape (len(rows),)
    kind : {"all", "lv", "nox"}
        All variables, latent ones only, or all but fixed covariates.
    slopes : mapping of int to ndarray, shape (q,)
        Derivatives of rows that are not free but follow from parameters, by position.

    Returns
    -------
    values : ndarray, shape (len(rows),)
    jacobian : ndarray, shape (len(rows), q)
        Derivatives with respect to the free parameters.
    """
    up, first, second = scale_places(
        rows, dev.place, len(dev.roots) // 2, kind, latents, covariates
    )
    below = dev.roots[first] * dev.roots[second]
    factor = dev.roots[up] / np.where(below == 0.0, np.nan, below)
    values = estimates * factor
    relative = dev.relative[up] - dev.relative[first] - dev.relative[second]
    jacobian = values[:, None] * relative
    free = np.array([row.free for row in rows], dtype=np.intp)
    own = np.flatnonzero(free)
    jacobian[own, free[own] - 1] += factor[own]
    for i, slope in slopes.items():
        jacobian[i] += factor[i] * slope
    if kind != "lv":
        # A standardised response has the scale one, whatever it was.
        scales = [i for i, row in enumerate(rows) if row.op == "~*~"]
        values[scales], jacobian[scales] = 1.0, 0.0
    return values, jacobian
