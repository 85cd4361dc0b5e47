"""Answers that cannot go together: rules of the caller, read without running any code of theirs.

A rule such as ``"visits == 0 and satisfaction > 0"`` is parsed and evaluated over columns. Only
comparisons, arithmetic, and / or / not and ``in`` with a list are understood.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import OptionError

__all__ = ["impossible_answers"]

Bools = npt.NDArray[np.bool_]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def impossible_answers(frame: pd.DataFrame, rules: Mapping[str, str]) -> pd.DataFrame:
    """Tell who gave answers that cannot go together.

    Parameters
    ----------
    frame : pandas.DataFrame
        Answers and whatever else the rules speak of.
    rules : mapping of str to str
        Name of a combination to the condition that makes it impossible, in names of columns,
        numbers and texts: ``"visits == 0 and SAT1 > 0"``, ``"age - tenure < 14"``,
        ``"channel in ['phone', 'web'] and P1 > 0"``.

    Returns
    -------
    pandas.DataFrame
        One column of truth values per rule, index of the input. A respondent with a missing
        answer to anything the rule speaks of is not caught by it.

    Raises
    ------
    OptionError
        A rule that cannot be read, speaks of a column that is not there, compares texts with
        numbers, or is no condition.

    Examples
    --------
    >>> answers = pd.DataFrame({"visits": [0, 0, 3], "SAT1": [5.0, float("nan"), 4.0]})
    >>> found = impossible_answers(answers, {"no customer": "visits == 0 and SAT1 > 0"})
    >>> found["no customer"].tolist()
    [True, False, False]
    """
    found: dict[str, Bools] = {}
    for name, text in rules.items():
        reader = _Reader(frame, name, text)
        found[str(name)] = reader.read()
    return pd.DataFrame(found, index=frame.index)


class _Reader:
    """Evaluates one rule."""

    def __init__(self, frame: pd.DataFrame, name: str, text: str) -> None:
        self.frame, self.name, self.text = frame, name, text
        self.known = np.ones(len(frame), dtype=bool)

    def read(self) -> Bools:
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, AttributeError) as error:
            raise self._refuse("cannot be read") from error
        try:
            # A quotient without a value is neither above nor below anything.
            with np.errstate(divide="ignore", invalid="ignore"):
                value = self._value(tree)
        except TypeError as error:
            raise self._refuse("compares texts with numbers") from error
        truth = np.asarray(value)
        if truth.dtype != bool or truth.shape != (len(self.frame),):
            raise self._refuse("is no condition on the answers")
        return np.asarray(truth & self.known)

    def _refuse(self, why: str) -> OptionError:
        return OptionError(
            f"The rule {self.name!r} {why}: {self.text!r}.",
            remedy="Write a condition in names of columns, as in 'visits == 0 and SAT1 > 0'; "
            "understood are == != < <= > >= in, and, or, not, + - * /.",
        )

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(part) for part in node.values]
            joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return joined.reduce(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._truth(node.operand)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(node.operand)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](self._value(node.left), self._value(node.right))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
            return node.value
        if isinstance(node, ast.Name):
            return self._column(node.id)
        raise self._refuse("uses something that is not understood")

    def _truth(self, node: ast.expr) -> Bools:
        value = np.asarray(self._value(node))
        if value.dtype != bool:
            raise self._refuse("joins something that is no condition")
        return value

    def _column(self, name: str) -> Any:
        if name not in self.frame.columns:
            raise OptionError(
                f"The rule {self.name!r} speaks of {name!r}, which is no column.",
                remedy="Correct the name; a text stands in quotation marks.",
            )
        column = self.frame[name]
        self.known &= column.notna().to_numpy()
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            return column.to_numpy(dtype=float)
        return column.astype(object).to_numpy()

    def _comparison(self, node: ast.Compare) -> Bools:
        result = np.ones(len(self.frame), dtype=bool)
        left_node = node.left
        for sign, right_node in zip(node.ops, node.comparators, strict=True):
            left = self._value(left_node)
            if isinstance(sign, ast.In | ast.NotIn):
                if not isinstance(right_node, ast.List | ast.Tuple | ast.Set):
                    raise self._refuse("needs a list after 'in'")
                members = [self._value(member) for member in right_node.elts]
                inside = np.zeros(len(self.frame), dtype=bool)
                for member in members:
                    inside |= self._compared(operator.eq, left, member)
                result &= ~inside if isinstance(sign, ast.NotIn) else inside
            elif type(sign) in _COMPARE:
                result &= self._compared(_COMPARE[type(sign)], left, self._value(right_node))
            else:
                raise self._refuse("uses a comparison that is not understood")
            left_node = right_node
        return result

    def _compared(self, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Bools:
        """Compare where both are known; texts and numbers do not compare."""
        kinds = {self._is_text(side) for side in (left, right)}
        if len(kinds) > 1:
            raise TypeError
        size = len(self.frame)
        first = np.broadcast_to(np.asarray(left, dtype=object if True in kinds else float), (size,))
        second = np.broadcast_to(
            np.asarray(right, dtype=object if True in kinds else float), (size,)
        )
        out = np.zeros(size, dtype=bool)
        there = self.known
        out[there] = np.asarray(compare(first[there], second[there]), dtype=bool)
        return out

    @staticmethod
    def _is_text(side: Any) -> bool:
        return isinstance(side, str) or (isinstance(side, np.ndarray) and side.dtype == object)
