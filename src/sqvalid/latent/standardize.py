"""Standardised solutions: one step theta -> (tau, Jacobian).

Loadings and regressions are multiplied by the standard deviation of what predicts and divided
by that of what is predicted, both implied by the model. Variances are divided by the total
variance, covariances of residuals by the residual standard deviations, so that they become
residual correlations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sqvalid.latent.implied import (
    Array,
    Slots,
    State,
    factor_jacobian,
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
    slope : dict of str to ndarray, shape (q,)
        Derivative of it with respect to the free parameters.
    residual : dict of str to (float, int)
        Residual variance, and index of its free parameter (-1 when fixed).
    """

    sd: dict[str, float]
    slope: dict[str, Array]
    residual: dict[str, tuple[float, int]]


def _root(value: float) -> float:
    # A negative variance keeps its size: the solution is inadmissible and reported as such.
    return float(np.sqrt(abs(value)))


def deviations(
    slots: Slots, state: State, rows: Sequence[Row], estimates: Array, n_free: int
) -> Deviations:
    """Standard deviations of the variables of one group.

    Parameters
    ----------
    rows : sequence of Row
        All rows of the table; `estimates` has their values in the same order.
    """
    layout = slots.layout
    phi_slopes = factor_jacobian(slots, state)
    sd: dict[str, float] = {}
    slope: dict[str, Array] = {}

    def add(name: str, variance: float, local: Array) -> None:
        root = _root(variance)
        out = np.zeros(n_free)
        if root > 0:
            np.add.at(out, slots.target, np.sign(variance) * local / (2.0 * root))
        sd[name], slope[name] = root, out

    ca, cb = state.c[:, slots.a], state.c[:, slots.b] * slots.s
    sigma_slopes = 2.0 * ca * cb
    for j, name in enumerate(layout.observed):
        add(name, float(state.sigma[j, j]), sigma_slopes[j])
    for k, name in enumerate(layout.factors):
        add(name, float(state.phi[k, k]), phi_slopes[k, k])
    group = {
        row.lhs: (float(value), row.free - 1)
        for row, value in zip(rows, estimates, strict=True)
        if row.op == "~~" and row.lhs == row.rhs
    }
    return Deviations(sd, slope, group)


@dataclass
class _Factor:
    """A product of powers of standard deviations, with its derivative."""

    value: float
    slope: Array

    def times(self, dev: Deviations, name: str) -> None:
        self.slope = self.slope * dev.sd[name] + self.value * dev.slope[name]
        self.value *= dev.sd[name]

    def over(self, dev: Deviations, name: str) -> None:
        self.divide(dev.sd[name], dev.slope[name])

    def divide(self, root: float, slope: Array) -> None:
        if root == 0.0:
            self.value, self.slope = float("nan"), np.full_like(self.slope, np.nan)
            return
        self.slope = self.slope / root - self.value / root**2 * slope
        self.value /= root

    def over_residual(self, dev: Deviations, name: str) -> None:
        variance, index = dev.residual.get(name, (0.0, -1))
        root = _root(variance)
        slope = np.zeros_like(self.slope)
        if index >= 0 and root > 0:
            slope[index] = np.sign(variance) / (2.0 * root)
        self.divide(root, slope)


def standardise_rows(
    rows: Sequence[Row],
    estimates: Array,
    dev: Deviations,
    kind: StandardKind,
    latents: Sequence[str],
    covariates: Sequence[str],
    n_free: int,
) -> tuple[Array, Array]:
    """Standardise the rows of one group.

    Parameters
    ----------
    rows : sequence of Row
    estimates : ndarray, shape (len(rows),)
    kind : {"all", "lv", "nox"}
        All variables, latent ones only, or all but fixed covariates.

    Returns
    -------
    values : ndarray, shape (len(rows),)
    jacobian : ndarray, shape (len(rows), n_free)
        Derivatives with respect to the free parameters.
    """
    is_latent, is_covariate = set(latents), set(covariates)

    def scaled(name: str) -> bool:
        if kind == "lv":
            return name in is_latent
        return not (kind == "nox" and name in is_covariate)

    values = np.empty(len(rows))
    jacobian = np.zeros((len(rows), n_free))
    for i, (row, estimate) in enumerate(zip(rows, estimates, strict=True)):
        factor = _Factor(1.0, np.zeros(n_free))
        match row.op:
            case "=~":
                factor.times(dev, row.lhs)
                if scaled(row.rhs):
                    factor.over(dev, row.rhs)
            case "~":
                if scaled(row.rhs):
                    factor.times(dev, row.rhs)
                if scaled(row.lhs):
                    factor.over(dev, row.lhs)
            case "~~" if row.lhs == row.rhs:
                if scaled(row.lhs):
                    factor.over(dev, row.lhs)
                    factor.over(dev, row.lhs)
            case "~~":
                for name in (row.lhs, row.rhs):
                    if scaled(name):
                        factor.over_residual(dev, name)
            case "~1":
                if scaled(row.lhs):
                    factor.over(dev, row.lhs)
        values[i] = estimate * factor.value
        jacobian[i] = estimate * factor.slope
        if row.free:
            jacobian[i, row.free - 1] += factor.value
    return values, jacobian
