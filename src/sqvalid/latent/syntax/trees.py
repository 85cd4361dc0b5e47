"""Arithmetic on parameter names: trees, values, exact derivatives.

Defined parameters (``:=``) and constraints (``==``, ``<``, ``>``) are small trees. They are
evaluated over any number of draws at once and differentiated symbolically; nothing is ever
handed to the interpreter. How several of them become functions of the parameter vector is in
:mod:`sqvalid.latent.syntax.expressions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]
BinaryOperator = Literal["+", "-", "*", "/", "^"]


@dataclass(frozen=True)
class Number:
    """A constant.

    Parameters
    ----------
    value : float
        Its value.
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))


@dataclass(frozen=True)
class Name:
    """A parameter label, the name of a defined parameter, or a ``.p1.`` style label.

    Parameters
    ----------
    name : str
        The name as written.
    """

    name: str


@dataclass(frozen=True)
class Negate:
    """Unary minus.

    Parameters
    ----------
    operand : Expr
        What is negated.
    """

    operand: Expr


@dataclass(frozen=True)
class Binary:
    """Two operands joined by an arithmetic operator.

    Parameters
    ----------
    op : {"+", "-", "*", "/", "^"}
        The operator.
    left, right : Expr
        The operands.
    """

    op: BinaryOperator
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Call:
    """A function of one argument.

    Parameters
    ----------
    function : str
        A key of :data:`FUNCTIONS`.
    argument : Expr
        Its argument.
    """

    function: str
    argument: Expr


Expr = Number | Name | Negate | Binary | Call

_ZERO = Number(0.0)
_ONE = Number(1.0)


def _normal_density(x: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


# R's name -> the numpy ufunc or function that computes it elementwise.
FUNCTIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "pnorm": special.ndtr,
    "dnorm": _normal_density,
    "qnorm": special.ndtri,
}

_ARITHMETIC: dict[BinaryOperator, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}


def evaluate(expr: Expr, env: Mapping[str, float | FloatArray]) -> FloatArray:
    """Value of an expression.

    Parameters
    ----------
    expr : Expr
        The expression.
    env : mapping of str to float or array
        A value for every name; arrays must broadcast against each other.

    Returns
    -------
    ndarray of float64
        The broadcast shape of the values used; 0-d when all are scalars. Where the arithmetic
        has no real answer (``log(-1)``, ``0/0``) the element is NaN, without a warning.

    Raises
    ------
    KeyError
        A name has no value.
    """
    with np.errstate(all="ignore"):
        return np.asarray(_value(expr, env), dtype=np.float64)


def _value(expr: Expr, env: Mapping[str, float | FloatArray]) -> FloatArray:
    match expr:
        case Number(value):
            return np.asarray(value)
        case Name(name):
            return np.asarray(env[name], dtype=np.float64)
        case Negate(operand):
            return np.negative(_value(operand, env))
        case Call(function, argument):
            return FUNCTIONS[function](_value(argument, env))
        case Binary("+" | "-"):
            # Sums may be as long as a scale has items: the left spine is walked, not descended.
            addends = _addends(expr)
            total = _value(next(addends)[1], env)
            for op, term in addends:
                total = _ARITHMETIC[op](total, _value(term, env))
            return total
        case Binary(op, left, right):
            return _ARITHMETIC[op](_value(left, env), _value(right, env))


def _addends(expr: Expr) -> Iterator[tuple[BinaryOperator, Expr]]:
    """Terms of a sum from left to right, each with the operator in front of it."""
    backwards: list[tuple[BinaryOperator, Expr]] = []
    while isinstance(expr, Binary) and expr.op in ("+", "-"):
        backwards.append((expr.op, expr.right))
        expr = expr.left
    yield "+", expr
    yield from reversed(backwards)


def names(expr: Expr) -> tuple[str, ...]:
    """Names in an expression, in order of first appearance.

    Parameters
    ----------
    expr : Expr
        The expression.

    Returns
    -------
    tuple of str
        Each name once.
    """
    found: dict[str, None] = {}
    stack = [expr]
    while stack:
        match stack.pop():
            case Name(name):
                found.setdefault(name)
            case Negate(inner) | Call(_, inner):
                stack.append(inner)
            case Binary(_, left, right):
                stack.extend((right, left))
    return tuple(found)


# Algebra with the simplifications that keep derivatives small and constants recognisable.
# A constant is folded only when the result is finite, so 1/0 stays visible as what it is.


def _fold(op: BinaryOperator, left: Expr, right: Expr) -> Expr:
    if isinstance(left, Number) and isinstance(right, Number):
        with np.errstate(all="ignore"):
            value = float(_ARITHMETIC[op](np.asarray(left.value), np.asarray(right.value)))
        if math.isfinite(value):
            return Number(value)
    return Binary(op, left, right)


def _negated(expr: Expr) -> Expr:
    if isinstance(expr, Number):
        return Number(-expr.value if expr.value else 0.0)
    return expr.operand if isinstance(expr, Negate) else Negate(expr)


def _sum(left: Expr, right: Expr) -> Expr:
    if left == _ZERO:
        return right
    if right == _ZERO:
        return left
    if isinstance(right, Negate):
        return _difference(left, right.operand)
    return _fold("+", left, right)


def _difference(left: Expr, right: Expr) -> Expr:
    if right == _ZERO:
        return left
    if left == right:
        return _ZERO
    if left == _ZERO:
        return _negated(right)
    if isinstance(right, Negate):
        return _sum(left, right.operand)
    return _fold("-", left, right)


def _product(left: Expr, right: Expr) -> Expr:
    if _ZERO in (left, right):
        return _ZERO
    if left == _ONE:
        return right
    if right == _ONE:
        return left
    if isinstance(left, Negate):
        return _negated(_product(left.operand, right))
    if isinstance(right, Negate):
        return _negated(_product(left, right.operand))
    return _fold("*", left, right)


def _quotient(left: Expr, right: Expr) -> Expr:
    if right == _ONE:
        return left
    if left == _ZERO and right != _ZERO:
        return _ZERO
    if isinstance(left, Negate):
        return _negated(_quotient(left.operand, right))
    return _fold("/", left, right)


def _power(base: Expr, exponent: Expr) -> Expr:
    if exponent == _ONE:
        return base
    if exponent == _ZERO:
        return _ONE
    return _fold("^", base, exponent)


def _reciprocal(expr: Expr) -> Expr:
    return _quotient(_ONE, expr)


def _square(expr: Expr) -> Expr:
    return _power(expr, Number(2.0))


# f -> f' as a function of the argument u; the chain rule is applied by the caller.
_DERIVATIVES: dict[str, Callable[[Expr], Expr]] = {
    "exp": lambda u: Call("exp", u),
    "log": _reciprocal,
    "log10": lambda u: _reciprocal(_product(Number(math.log(10.0)), u)),
    "log2": lambda u: _reciprocal(_product(Number(math.log(2.0)), u)),
    "log1p": lambda u: _reciprocal(_sum(_ONE, u)),
    "expm1": lambda u: Call("exp", u),
    "sqrt": lambda u: _reciprocal(_product(Number(2.0), Call("sqrt", u))),
    "abs": lambda u: Call("sign", u),
    "sign": lambda u: _ZERO,
    "sin": lambda u: Call("cos", u),
    "cos": lambda u: _negated(Call("sin", u)),
    "tan": lambda u: _reciprocal(_square(Call("cos", u))),
    "asin": lambda u: _reciprocal(Call("sqrt", _difference(_ONE, _square(u)))),
    "acos": lambda u: _negated(_reciprocal(Call("sqrt", _difference(_ONE, _square(u))))),
    "atan": lambda u: _reciprocal(_sum(_ONE, _square(u))),
    "sinh": lambda u: Call("cosh", u),
    "cosh": lambda u: Call("sinh", u),
    "tanh": lambda u: _difference(_ONE, _square(Call("tanh", u))),
    "pnorm": lambda u: Call("dnorm", u),
    "dnorm": lambda u: _negated(_product(u, Call("dnorm", u))),
    "qnorm": lambda u: _reciprocal(Call("dnorm", Call("qnorm", u))),
}


def differentiate(expr: Expr, name: str) -> Expr:
    """Exact partial derivative.

    Parameters
    ----------
    expr : Expr
        The expression.
    name : str
        The name to differentiate by; every other name is held constant.

    Returns
    -------
    Expr
        The derivative with constants folded and zeros and ones removed, so that the derivative
        of a linear expression is a :class:`Number`. At a kink of ``abs`` it is 0.
    """
    match expr:
        case Number():
            return _ZERO
        case Name(other):
            return _ONE if other == name else _ZERO
        case Negate(operand):
            return _negated(differentiate(operand, name))
        case Call(function, argument):
            inner = differentiate(argument, name)
            return _ZERO if inner == _ZERO else _product(_DERIVATIVES[function](argument), inner)
        case Binary("+" | "-"):
            total: Expr = _ZERO
            for op, term in _addends(expr):
                slope = differentiate(term, name)
                total = _sum(total, slope) if op == "+" else _difference(total, slope)
            return total
        case Binary("*", left, right):
            return _sum(
                _product(differentiate(left, name), right),
                _product(left, differentiate(right, name)),
            )
        case Binary("/", left, right):
            above, below = differentiate(left, name), differentiate(right, name)
            if below == _ZERO:
                return _ZERO if above == _ZERO else _quotient(above, right)
            return _difference(
                _quotient(above, right), _quotient(_product(left, below), _square(right))
            )
        case Binary(_, base, exponent):
            return _power_derivative(base, exponent, name)


def _power_derivative(base: Expr, exponent: Expr, name: str) -> Expr:
    inner, outer = differentiate(base, name), differentiate(exponent, name)
    total: Expr = _ZERO
    if inner != _ZERO:
        lowered = _power(base, _difference(exponent, _ONE))
        total = _product(_product(exponent, lowered), inner)
    if outer != _ZERO:
        grown = _product(_product(Binary("^", base, exponent), Call("log", base)), outer)
        total = _sum(total, grown)
    return total


_STRENGTH: dict[BinaryOperator, int] = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}
_UNARY_STRENGTH = 3
_ATOM_STRENGTH = 5


def _strength(expr: Expr) -> int:
    if isinstance(expr, Binary):
        return _STRENGTH[expr.op]
    if isinstance(expr, Negate) or (isinstance(expr, Number) and expr.value < 0):
        return _UNARY_STRENGTH
    return _ATOM_STRENGTH


def format_number(value: float) -> str:
    """Shortest text that reads back as the same number, in R's spelling.

    Parameters
    ----------
    value : float
        The number; infinities become ``Inf`` and ``-Inf``.

    Returns
    -------
    str
        Whole numbers below 1e15 without a decimal point.
    """
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def format_expression(expr: Expr) -> str:
    """Text of an expression, without blanks and with as few parentheses as its meaning allows.

    Parameters
    ----------
    expr : Expr
        The expression.

    Returns
    -------
    str
        For example ``"cp+a*b"``; parsing it gives `expr` back.
    """
    match expr:
        case Number(value):
            return format_number(value)
        case Name(name):
            return name
        case Negate(operand):
            return "-" + _enclosed(operand, _UNARY_STRENGTH)
        case Call(function, argument):
            return f"{function}({format_expression(argument)})"
        case Binary("+" | "-"):
            addends = _addends(expr)
            parts = [_enclosed(next(addends)[1], _STRENGTH["+"])]
            parts += [op + _enclosed(term, _STRENGTH["+"] + 1) for op, term in addends]
            return "".join(parts)
        case Binary("^", base, exponent):
            # Right-associative, and a minus may stand in the exponent but not in the base.
            base_text = _enclosed(base, _ATOM_STRENGTH)
            return f"{base_text}^{_enclosed(exponent, _UNARY_STRENGTH)}"
        case Binary(op, left, right):
            strength = _STRENGTH[op]
            return f"{_enclosed(left, strength)}{op}{_enclosed(right, strength + 1)}"


def _enclosed(expr: Expr, least: int) -> str:
    text = format_expression(expr)
    return text if _strength(expr) >= least else f"({text})"
