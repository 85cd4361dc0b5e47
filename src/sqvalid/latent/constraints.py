"""Constraints on the free parameters: linear ones become a basis, the rest functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqvalid.errors import ModelError
from sqvalid.latent.implied import Array
from sqvalid.latent.parameter_table import ParameterTable
from sqvalid.latent.syntax import (
    Binary,
    CompiledExpressions,
    Constraint,
    Expr,
    Name,
    compile_expressions,
    format_expression,
    inline_definitions,
    names,
)


@dataclass(frozen=True, eq=False)
class Functions:
    """Expressions in labels as functions of the free parameters.

    A name is one row of the table; `reach` and `offset` turn the free parameters into the
    values of the names, fixed rows included.
    """

    compiled: CompiledExpressions
    reach: Array
    offset: Array
    n_functions: int

    def values(self, theta: Array) -> Array:
        """Values, shape (m,)."""
        if not self.n_functions:
            return np.empty(0)
        return np.asarray(self.compiled.values(self.reach @ theta + self.offset))

    def jacobian(self, theta: Array) -> Array:
        """Derivatives with respect to the free parameters, shape (m, q)."""
        if not self.n_functions:
            return np.empty((0, theta.size))
        return np.asarray(self.compiled.jacobian(self.reach @ theta + self.offset)) @ self.reach

    def weighted_hessian(self, theta: Array, weights: Array) -> Array:
        """Second derivatives summed with `weights` over the functions, shape (q, q)."""
        inner: Array = np.asarray(self.compiled.hessian(self.reach @ theta + self.offset))
        return np.asarray(self.reach.T @ np.einsum("k,kij->ij", weights, inner) @ self.reach)


@dataclass(frozen=True, eq=False)
class ConstraintSet:
    """All constraints of a model.

    Parameters
    ----------
    basis : ndarray, shape (q, d)
        Linear equalities hold on ``theta = basis @ phi + origin``.
    origin : ndarray, shape (q,)
    linear : ndarray, shape (r, q)
        Left sides of the linear equalities.
    equalities : Functions
        Non-linear equalities, zero where they hold.
    inequalities : Functions
        Non-negative where they hold.
    lower, upper : ndarray, shape (q,)
        Bounds, infinite where there are none.
    texts : tuple of str
        The constraints as written, for messages.
    """

    basis: Array
    origin: Array
    linear: Array
    equalities: Functions
    inequalities: Functions
    lower: Array
    upper: Array
    texts: tuple[str, ...]

    @property
    def has_bounds(self) -> bool:
        """Whether any bound is finite."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @property
    def is_identity(self) -> bool:
        """Whether theta and phi are the same vector."""
        return len(self.linear) == 0

    def to_theta(self, phi: Array) -> Array:
        """Free parameters from the reduced ones."""
        return phi if self.is_identity else self.basis @ phi + self.origin

    def to_phi(self, theta: Array) -> Array:
        """Reduced parameters nearest to `theta`."""
        if self.is_identity:
            return theta
        phi = np.linalg.lstsq(self.basis, theta - self.origin, rcond=None)[0]
        return np.asarray(phi, dtype=np.float64)

    def equality_jacobian(self, theta: Array) -> Array:
        """Derivatives of all equalities, linear ones first; shape (r + m, q)."""
        return np.vstack([self.linear, self.equalities.jacobian(theta)])

    def active_jacobian(self, theta: Array, tolerance: float = 1e-7) -> Array:
        """Derivatives of equalities and of the inequalities and bounds that bind."""
        rows = [self.equality_jacobian(theta)]
        if self.inequalities.n_functions:
            binding = self.inequalities.values(theta) <= tolerance
            rows.append(self.inequalities.jacobian(theta)[binding])
        scale = tolerance * np.maximum(1.0, np.abs(theta))
        bound = (theta - self.lower <= scale) | (self.upper - theta <= scale)
        rows.append(np.eye(theta.size)[bound])
        return np.vstack(rows)


def tangent_basis(jacobian: Array) -> Array:
    """Orthonormal basis of the directions that keep all constraints, shape (q, d)."""
    q = jacobian.shape[1]
    if jacobian.shape[0] == 0:
        return np.eye(q)
    _, values, rows = np.linalg.svd(jacobian, full_matrices=True)
    rank = int((values > 1e-10 * max(values.max(initial=0.0), 1e-300)).sum())
    basis: Array = rows[rank:].T
    return basis


def named_values(table: ParameterTable, fixed: dict[str, float]) -> dict[str, int | float]:
    """Every label and plabel: the index of its free parameter, or its fixed value.

    `fixed` gives the values, by plabel, of rows that take them from the sample.
    """
    out: dict[str, int | float] = {}
    for row in table.rows:
        value: int | float
        if row.free:
            value = row.free - 1
        else:
            value = float(fixed.get(row.plabel, row.ustart if row.ustart is not None else np.nan))
        out[row.plabel] = value
        if row.label:
            out.setdefault(row.label, value)
    return out


def make_functions(
    expressions: Sequence[Expr], known: dict[str, int | float], n_free: int
) -> Functions:
    """Compile expressions in labels to functions of the free parameters.

    Raises
    ------
    ModelError
        A name that is no label of the model.
    """
    used = tuple(dict.fromkeys(name for expr in expressions for name in names(expr)))
    reach, offset = np.zeros((len(used), n_free)), np.zeros(len(used))
    for i, name in enumerate(used):
        if name not in known:
            labels = sorted(k for k in known if not k.startswith(".p"))
            raise ModelError(
                f"The name {name!r} in a constraint or definition is no label of the model.",
                remedy=f"Labels are: {', '.join(labels) or '(none)'}. Write label*variable.",
            )
        value = known[name]
        if isinstance(value, int):
            reach[i, value] = 1.0
        else:
            offset[i] = value
    return Functions(compile_expressions(expressions, used), reach, offset, len(expressions))


def _text(constraint: Constraint) -> str:
    return (
        f"{format_expression(constraint.left)}{constraint.op}{format_expression(constraint.right)}"
    )


def compile_constraints(
    table: ParameterTable, fixed: dict[str, float], lower: Array, upper: Array
) -> ConstraintSet:
    """Compile a table's constraints.

    Parameters
    ----------
    table : ParameterTable
    fixed : dict
        Values, by plabel, of rows fixed at sample moments.
    lower, upper : ndarray, shape (q,)
        Bounds from options; those in the model text are added here.

    Raises
    ------
    ModelError
        Unknown names, or equalities that contradict each other.
    """
    q = table.n_free
    known = named_values(table, fixed)
    lower, upper = lower.copy(), upper.copy()
    for row in table.rows:
        if row.free and row.lower is not None:
            lower[row.free - 1] = row.lower
        if row.free and row.upper is not None:
            upper[row.free - 1] = row.upper

    rows: list[Array] = []
    right: list[float] = []
    general: list[Constraint] = []
    for item in table.constraints:
        ends = (item.left, item.right)
        if item.op == "==" and all(isinstance(e, Name) and e.name in known for e in ends):
            line, value = np.zeros(q), 0.0
            for end, sign in zip(ends, (1.0, -1.0), strict=True):
                place = known[end.name]  # type: ignore[union-attr]
                if isinstance(place, int):
                    line[place] += sign
                else:
                    value -= sign * place
            if line.any() or value:
                rows.append(line)
                right.append(value)
        else:
            general.append(item)

    gaps = inline_definitions(
        table.definitions,
        [
            Binary("-", c.right, c.left) if c.op == "<" else Binary("-", c.left, c.right)
            for c in general
        ],
    )
    equal = [gap for gap, c in zip(gaps, general, strict=True) if c.op == "=="]
    unequal = [gap for gap, c in zip(gaps, general, strict=True) if c.op != "=="]
    functions = make_functions(equal, known, q)
    curved = []
    at_zero = np.zeros(q)
    if equal:
        values, slopes = functions.values(at_zero), functions.jacobian(at_zero)
        for i, is_linear in enumerate(functions.compiled.is_linear):
            if is_linear:
                rows.append(slopes[i])
                right.append(-float(values[i]))
            else:
                curved.append(equal[i])

    linear = np.array(rows).reshape(len(rows), q)
    basis, origin = np.eye(q), np.zeros(q)
    if rows:
        origin = np.linalg.lstsq(linear, np.array(right), rcond=None)[0]
        if not np.allclose(linear @ origin, right, atol=1e-9):
            raise ModelError(
                "The equality constraints contradict each other: "
                + ", ".join(_text(c) for c in table.constraints if c.op == "==" and c.line)
            )
        basis = tangent_basis(linear)
    return ConstraintSet(
        basis=basis,
        origin=origin,
        linear=linear,
        equalities=make_functions(curved, known, q),
        inequalities=make_functions(unequal, known, q),
        lower=lower,
        upper=upper,
        texts=tuple(_text(c) for c in table.constraints),
    )


def unconstrained(q: int) -> ConstraintSet:
    """No constraints on q parameters."""
    nothing = make_functions([], {}, q)
    return ConstraintSet(
        basis=np.eye(q),
        origin=np.zeros(q),
        linear=np.empty((0, q)),
        equalities=nothing,
        inequalities=nothing,
        lower=np.full(q, -np.inf),
        upper=np.full(q, np.inf),
        texts=(),
    )
