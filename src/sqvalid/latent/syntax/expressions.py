"""Expressions as functions of the parameter vector: values, Jacobian, Hessian.

The trees themselves come from :mod:`sqvalid.latent.syntax.trees` and are exported here too, so
that the engine has one place to import from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sqvalid.errors import ModelError
from sqvalid.latent.syntax.trees import (
    FUNCTIONS,
    Binary,
    Call,
    Expr,
    FloatArray,
    Name,
    Negate,
    Number,
    differentiate,
    evaluate,
    format_expression,
    format_number,
    names,
)

__all__ = [
    "FUNCTIONS",
    "MAX_DEPTH",
    "Binary",
    "Call",
    "CompiledExpressions",
    "Expr",
    "FloatArray",
    "Name",
    "NamedExpression",
    "Negate",
    "Number",
    "compile_expressions",
    "differentiate",
    "evaluate",
    "format_expression",
    "format_number",
    "inline_definitions",
    "names",
]

# Deeper trees would exhaust the interpreter's stack when they are hashed or compared.
MAX_DEPTH = 200


class NamedExpression(Protocol):
    """Anything with a name and an expression, such as a defined parameter."""

    @property
    def name(self) -> str:
        """Name that other expressions may use."""

    @property
    def expression(self) -> Expr:
        """What the name stands for."""


def _unknown(name: str, known: Iterable[str]) -> ModelError:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ModelError(
        f"{name!r} is used in an expression but is neither a parameter label nor a defined "
        f"parameter.{hint}",
        remedy=f"Label a parameter ({name}*x in a formula) or define {name} := ... first.",
    )


def inline_definitions(
    definitions: Iterable[NamedExpression],
    exprs: Iterable[Expr],
    known: Iterable[str] | None = None,
) -> tuple[Expr, ...]:
    """Replace names of defined parameters by what they stand for.

    Parameters
    ----------
    definitions : iterable of Definition
        Defined parameters; they may refer to each other, in any order.
    exprs : iterable of Expr
        Expressions to rewrite.
    known : iterable of str, optional
        Names of parameters. When given, any other name that is left raises.

    Returns
    -------
    tuple of Expr
        One per entry of `exprs`, in the same order, free of the names defined.

    Raises
    ------
    ModelError
        Definitions form a circle, a name is neither defined nor in `known`, or the result is
        nested too deeply.
    """
    pending = {item.name: item.expression for item in definitions}
    allowed = None if known is None else set(known)
    done: dict[str, tuple[Expr, int]] = {}
    path: list[str] = []

    # Depth is bounded on the way down (the stack) and on the way up (the finished tree).
    def resolve(name: str, level: int) -> tuple[Expr, int]:
        if name in done:
            return done[name]
        if name not in pending:
            if allowed is not None and name not in allowed:
                raise _unknown(name, [*allowed, *pending])
            return Name(name), 1
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise ModelError(
                f"The definition of {name!r} refers to itself: {circle}.",
                remedy="Write it in terms of parameter labels or of other definitions.",
            )
        path.append(name)
        done[name] = rewrite(pending[name], level)
        path.pop()
        return done[name]

    def rewrite(expr: Expr, level: int) -> tuple[Expr, int]:
        if level > MAX_DEPTH:
            raise _too_deep(path)
        match expr:
            case Number():
                return expr, 1
            case Name(name):
                return resolve(name, level + 1)
            case Negate(operand):
                inner, depth = rewrite(operand, level + 1)
                result: Expr = Negate(inner)
            case Call(function, argument):
                inner, depth = rewrite(argument, level + 1)
                result = Call(function, inner)
            case Binary(op, left, right):
                new_left, left_depth = rewrite(left, level + 1)
                new_right, right_depth = rewrite(right, level + 1)
                depth = max(left_depth, right_depth)
                result = Binary(op, new_left, new_right)
        if depth >= MAX_DEPTH:
            raise _too_deep(path)
        return result, depth + 1

    return tuple(rewrite(expr, 1)[0] for expr in exprs)


def _too_deep(path: Sequence[str]) -> ModelError:
    where = f" of {path[0]!r}" if path else ""
    return ModelError(
        f"The expression{where} is nested more than {MAX_DEPTH} levels deep once the definitions "
        "it uses are filled in.",
        remedy="Write it with fewer steps.",
    )


@dataclass(frozen=True)
class CompiledExpressions:
    """Expressions as functions of a parameter vector theta of length q.

    Parameters
    ----------
    expressions : tuple of Expr
        The m expressions, definitions already inlined.
    parameter_names : tuple of str
        Name of each entry of theta. A name may occur more than once only when the entries are
        equal by construction; the first is used.
    """

    expressions: tuple[Expr, ...]
    parameter_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self._used:
            if name not in self._position:
                raise _unknown(name, self.parameter_names)

    @cached_property
    def _position(self) -> dict[str, int]:
        position: dict[str, int] = {}
        for index, name in enumerate(self.parameter_names):
            position.setdefault(name, index)
        return position

    @cached_property
    def _used(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for expr in self.expressions for name in names(expr)))

    @cached_property
    def _gradients(self) -> tuple[tuple[tuple[int, Expr], ...], ...]:
        """For each expression, (position in theta, derivative) of every name it uses."""
        return tuple(
            tuple((self._position[name], differentiate(expr, name)) for name in names(expr))
            for expr in self.expressions
        )

    @cached_property
    def _second_derivatives(self) -> tuple[tuple[int, int, int, Expr], ...]:
        """(expression, row, column, derivative) for row >= column, zeros left out."""
        entries: list[tuple[int, int, int, Expr]] = []
        for index, gradient in enumerate(self._gradients):
            for row, slope in gradient:
                for name in names(slope):
                    column = self._position[name]
                    if column > row:
                        continue
                    second = differentiate(slope, name)
                    if second != Number(0.0):
                        entries.append((index, row, column, second))
        return tuple(entries)

    @cached_property
    def is_linear(self) -> tuple[bool, ...]:
        """For each expression, whether all its first derivatives are constants."""
        return tuple(
            all(isinstance(slope, Number) for _, slope in gradient) for gradient in self._gradients
        )

    def _environment(self, theta: FloatArray) -> dict[str, float | FloatArray]:
        return {name: theta[..., self._position[name]] for name in self._used}

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of the expressions.

        Parameters
        ----------
        theta : ndarray, shape (..., q)
            One or many parameter vectors.

        Returns
        -------
        ndarray, shape (..., m)
            NaN where an expression has no real value.
        """
        theta = np.asarray(theta, dtype=np.float64)
        out = np.empty((*theta.shape[:-1], len(self.expressions)))
        env = self._environment(theta)
        for index, expr in enumerate(self.expressions):
            out[..., index] = evaluate(expr, env)
        return out

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """First derivatives of the expressions.

        Parameters
        ----------
        theta : ndarray, shape (..., q)
            One or many parameter vectors.

        Returns
        -------
        ndarray, shape (..., m, q)
            Exact, zero where an expression does not use a parameter.
        """
        theta = np.asarray(theta, dtype=np.float64)
        out = np.zeros((*theta.shape[:-1], len(self.expressions), theta.shape[-1]))
        env = self._environment(theta)
        for index, gradient in enumerate(self._gradients):
            for position, slope in gradient:
                out[..., index, position] = evaluate(slope, env)
        return out

    def hessian(self, theta: FloatArray) -> FloatArray:
        """Second derivatives of the expressions at one point.

        Parameters
        ----------
        theta : ndarray, shape (q,)
            A parameter vector.

        Returns
        -------
        ndarray, shape (m, q, q)
            Exact and symmetric.
        """
        theta = np.asarray(theta, dtype=np.float64)
        out = np.zeros((len(self.expressions), theta.size, theta.size))
        env = self._environment(theta)
        for index, row, column, second in self._second_derivatives:
            out[index, row, column] = out[index, column, row] = float(evaluate(second, env))
        return out


def compile_expressions(
    exprs: Iterable[Expr], parameter_names: Sequence[str]
) -> CompiledExpressions:
    """Turn expressions into functions of the parameter vector.

    Parameters
    ----------
    exprs : iterable of Expr
        Expressions in parameter names only; see :func:`inline_definitions`.
    parameter_names : sequence of str
        Name of each entry of the parameter vector.

    Returns
    -------
    CompiledExpressions
        Values, Jacobian, Hessian, and which of them are linear.

    Raises
    ------
    ModelError
        An expression uses a name that is not in `parameter_names`; the message names it.
    """
    return CompiledExpressions(tuple(exprs), tuple(parameter_names))
