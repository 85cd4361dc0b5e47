"""Parameters of a fit as columns: values, standard errors, standardised and defined rows.

Functions over an :class:`~sqvalid.latent.estimation.Estimate`; the result only frames them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import erfc

from sqvalid.latent.categorical import filled_jacobian, scale_jacobian
from sqvalid.latent.constraints import Functions, make_functions, named_values
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.modification import modification_tests
from sqvalid.latent.parameter_table import ParameterTable
from sqvalid.latent.standardize import Deviations, StandardKind, deviations, standardise_rows
from sqvalid.latent.syntax import inline_definitions
from sqvalid.resampling import percentile_interval

# Two-sided 95 % normal quantile.
_Z95 = 1.959963984540054


def two_sided_p(z: Array) -> Array:
    """Two-sided normal p-value."""
    return np.asarray(erfc(np.abs(z) / math.sqrt(2.0)))


def with_inference(est: Array, se: Array) -> dict[str, Array]:
    """Columns est, se, z, p, ci_lower, ci_upper; z of a fixed value is NaN."""
    z = est / np.where(se > 0, se, np.nan)
    return {
        "est": est,
        "se": se,
        "z": z,
        "p": two_sided_p(z),
        "ci_lower": est - _Z95 * se,
        "ci_upper": est + _Z95 * se,
    }


def standard_errors(jacobian: Array, vcov: Array) -> Array:
    """Delta method: sqrt(diag(J V J')), NaN where the variance is."""
    missing = np.isnan(np.diag(vcov))
    variance = ((jacobian @ np.nan_to_num(vcov)) * jacobian).sum(axis=1)
    # Rounding leaves 1e-20 where a value cannot vary.
    se = np.sqrt(np.where(variance > 1e-18, variance, 0.0))
    if missing.any():
        touched = (np.abs(jacobian[:, missing]) > 0).any(axis=1)
        se = np.where(touched, np.nan, se)
    return np.asarray(se)


def row_values(estimate: Estimate) -> Array:
    """Value of every row of the table: estimated, taken from the sample, or fixed."""
    fixed, theta = estimate.problem.fixed_values, estimate.theta
    values = np.array(
        [
            theta[row.free - 1]
            if row.free
            else fixed.get(row.plabel, 0.0 if row.ustart is None else row.ustart)
            for row in estimate.problem.table.rows
        ]
    )
    for i, (value, _) in derived_rows(estimate).items():
        values[i] = value
    return values


def derived_rows(estimate: Estimate) -> dict[int, tuple[float, Array]]:
    """Rows that follow from other parameters: value and derivatives (q,), by position in the table.

    They are residual variances of ordered items in the delta parameterisation, and scales of
    their responses in theta.
    """
    options, table = estimate.options, estimate.problem.table
    if not options.is_categorical:
        return {}
    known = []
    for slots, local in zip(estimate.problem.slots, estimate.locals_, strict=True):
        assert local.ordinal is not None
        plan, q = local.ordinal.target.plan, table.n_free
        if options.parameterization == "delta":
            matrices = local.state.matrices
            left = np.diag(matrices["theta"]).copy()
            left[plan.lifted] = np.diag(matrices["psi"])[plan.lifted_factor]
            values = left[plan.ordered]
            slopes = filled_jacobian(slots, local.state, plan).residual
        else:
            values = local.ordinal.scale[plan.ordered]
            found = scale_jacobian(slots, local.state, plan, local.ordinal.scale, is_theta=True)
            slopes = found[plan.ordered]
        whole = np.zeros((len(slopes), q))
        whole[:, slots.target] = slopes
        names = [slots.layout.observed[i] for i in plan.ordered]
        known.append(dict(zip(names, zip(values.tolist(), whole, strict=True), strict=True)))
    op = "~~" if options.parameterization == "delta" else "~*~"
    return {
        i: known[row.group - 1][row.lhs]
        for i, row in enumerate(table.rows)
        if row.op == op and row.lhs == row.rhs and not row.free and row.lhs in known[row.group - 1]
    }


def definition_functions(estimate: Estimate) -> Functions:
    """Defined parameters as functions of the free parameters."""
    table = estimate.problem.table
    known = named_values(table, estimate.problem.fixed_values)
    expressions = inline_definitions(table.definitions, [d.expression for d in table.definitions])
    return make_functions(expressions, known, table.n_free)


def row_columns(table: ParameterTable) -> dict[str, list[Any]]:
    """Columns that name the rows, definitions at the end."""
    rows, definitions = table.rows, table.definitions
    return {
        "lhs": [*(r.lhs for r in rows), *(d.name for d in definitions)],
        "op": [*(r.op for r in rows), *(":=" for _ in definitions)],
        "rhs": [*(r.rhs for r in rows), *(d.text for d in definitions)],
        "group": [*(r.group for r in rows), *(1 for _ in definitions)],
        "level": [1] * (len(rows) + len(definitions)),
        "label": [*(r.label for r in rows), *(d.name for d in definitions)],
        "free": [*(r.free for r in rows), *(0 for _ in definitions)],
    }


def resampled_inference(
    estimate: Estimate, columns: dict[str, Array], level: float = 0.95
) -> dict[str, Array]:
    """Columns of :func:`with_inference` where resamples were drawn.

    Intervals are percentile ones, and standard errors of defined parameters are those of their
    values in the resamples (divisor R), both as lavaan. Fixed rows stay as they are.
    """
    draws, table = estimate.row_draws, estimate.problem.table
    assert draws is not None
    defined = np.arange(len(draws.T)) >= len(table.rows)
    free = np.array([row.free > 0 for row in table.rows] + [True] * int(defined.sum()))
    kept = draws[np.isfinite(draws).any(axis=1)]
    there = np.isfinite(kept)
    count = np.where(there.any(axis=0), there.sum(axis=0), np.nan)
    mean = np.where(there, kept, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(there, (kept - mean) ** 2, 0.0).sum(axis=0) / count)
    out = with_inference(columns["est"], np.where(defined, spread, columns["se"]))
    lower, upper = percentile_interval(draws, columns["est"], level)
    out["ci_lower"] = np.where(free, lower, out["ci_lower"])
    out["ci_upper"] = np.where(free, upper, out["ci_upper"])
    return out


def estimates_and_errors(estimate: Estimate, values: Array) -> tuple[Array, Array]:
    """Estimates and standard errors of all rows, definitions at the end."""
    table, vcov = estimate.problem.table, estimate.vcov
    variance = np.diag(vcov)
    root = np.sqrt(np.where(variance >= 0, variance, np.nan))
    free = np.array([row.free for row in table.rows])
    se = np.zeros(len(free))
    se[free > 0] = root[free[free > 0] - 1]
    if not table.definitions:
        return values, se
    functions = definition_functions(estimate)
    return (
        np.concatenate([values, functions.values(estimate.theta)]),
        np.concatenate([se, standard_errors(functions.jacobian(estimate.theta), vcov)]),
    )


def _places(table: ParameterTable) -> list[list[int]]:
    """Positions of every group's rows."""
    out: list[list[int]] = [[] for _ in range(table.n_groups)]
    for i, row in enumerate(table.rows):
        out[row.group - 1].append(i)
    return out


def group_deviations(estimate: Estimate, values: Array) -> list[Deviations]:
    """Standard deviations of every group's variables, with derivatives."""
    problem = estimate.problem
    rows = problem.table.rows
    delta = problem.is_categorical and estimate.options.parameterization == "delta"
    out = []
    for slots, local, state, places in zip(
        problem.slots, estimate.locals_, estimate.states, _places(problem.table), strict=True
    ):
        filled = None
        if delta and local.ordinal is not None:
            plan = local.ordinal.target.plan
            filled = (plan, filled_jacobian(slots, local.state, plan))
        own = [rows[i] for i in places]
        n_free = problem.table.n_free
        out.append(deviations(slots, state, own, values[places], n_free, filled=filled))
    return out


def standardised(
    estimate: Estimate, values: Array, group_devs: Sequence[Deviations], kind: StandardKind
) -> tuple[Array, Array]:
    """Standardised rows, definitions at the end, and their Jacobian (n_rows, n_free)."""
    table = estimate.problem.table
    out, jacobian = np.empty(len(table.rows)), np.empty((len(table.rows), table.n_free))
    derived = derived_rows(estimate)
    for g, (dev, places) in enumerate(zip(group_devs, _places(table), strict=True)):
        out[places], jacobian[places] = standardise_rows(
            [table.rows[i] for i in places],
            values[places],
            dev,
            kind,
            table.latents[g],
            table.covariates[g],
            slopes={k: derived[i][1] for k, i in enumerate(places) if i in derived},
        )
    if not table.definitions:
        return out, jacobian
    # Defined parameters are the same functions of the standardised rows.
    place: dict[str, int | float] = {row.plabel: i for i, row in enumerate(table.rows)}
    for i, row in enumerate(table.rows):
        if row.label:
            place.setdefault(row.label, i)
    expressions = inline_definitions(table.definitions, [d.expression for d in table.definitions])
    functions = make_functions(expressions, place, len(table.rows))
    return (
        np.concatenate([out, functions.values(out)]),
        np.vstack([jacobian, functions.jacobian(out) @ jacobian]),
    )


def modification_columns(estimate: Estimate, group_devs: Sequence[Deviations]) -> dict[str, Any]:
    """Columns of the modification indices, with three standardised changes."""
    table = estimate.problem.table
    tests = modification_tests(estimate)
    columns: dict[str, Any] = {
        "lhs": [row.lhs for row in tests.rows],
        "op": [row.op for row in tests.rows],
        "rhs": [row.rhs for row in tests.rows],
        "group": [row.group for row in tests.rows],
        "mi": tests.mi,
        "epc": tests.epc,
    }
    kinds: tuple[StandardKind, ...] = ("lv", "all", "nox")
    for kind in kinds:
        values = np.empty(len(tests.rows))
        for g, dev in enumerate(group_devs):
            places = [i for i, row in enumerate(tests.rows) if row.group == g + 1]
            values[places] = standardise_rows(
                [tests.rows[i] for i in places],
                tests.epc[places],
                dev,
                kind,
                table.latents[g],
                table.covariates[g],
            )[0]
        columns[f"sepc_{kind}"] = values
    return columns
