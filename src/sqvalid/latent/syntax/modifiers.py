"""What stands in front of ``*``: numbers, labels, NA, start(), c() and their kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NoReturn

import numpy as np

from sqvalid.errors import ModelSyntaxError, UnsupportedError
from sqvalid.latent.syntax.expressions import MAX_DEPTH
from sqvalid.latent.syntax.grammar import Node, offset
from sqvalid.latent.syntax.mistakes import place
from sqvalid.latent.syntax.specification import Modifiers
from sqvalid.latent.syntax.trees import FUNCTIONS

_NUMERIC = ("start", "lower", "upper")
_TEXTUAL = ("label", "equal")
# Modifiers of lavaan and its relatives that have no meaning here yet.
_ELSEWHERE = {"rv": "random slopes", "prior": "prior distributions", "wiggle": "wiggle room"}
_SHOWN = {
    "fixed": "fixed value",
    "label": "label",
    "start": "starting value",
    "lower": "lower bound",
    "upper": "upper bound",
    "equal": "equal() modifier",
}

# One entry of a modifier: a number, NA (None), or a text.
Entry = float | str | None


@dataclass(frozen=True)
class ModifierReader:
    """Reads the modifiers of one model text.

    Parameters
    ----------
    text : str
        The model text, for the place of errors.
    """

    text: str

    def fail(self, at: int, message: str, remedy: str) -> NoReturn:
        """Raise ModelSyntaxError at an offset of the text."""
        line, column = place(self.text, at)
        raise ModelSyntaxError(message, text=self.text, line=line, column=column, remedy=remedy)

    def factors(self, node: Node) -> list[tuple[Node, str]]:
        """Split ``a*start(1)*x`` at its multiplication signs.

        Parameters
        ----------
        node : Node
            One term of the right side of a formula.

        Returns
        -------
        list of (Node, str)
            The factors from left to right, each with the sign after it; the last one, whose
            sign is "", is the variable.
        """
        sign = ""
        backwards: list[tuple[Node, str]] = []
        while node.kind == "binary" and node.head in ("*", "?"):
            backwards.append((node.children[1], sign))
            sign = str(node.head)
            node = node.children[0]
        backwards.append((node, sign))
        return backwards[::-1]

    def read(self, factors: Sequence[tuple[Node, str]], efa: str | None) -> Modifiers:
        """Modifiers of one term.

        Parameters
        ----------
        factors : sequence of (Node, str)
            What stands before the variable, from :meth:`factors`.
        efa : str or None
            The exploratory block of the left side.

        Returns
        -------
        Modifiers
            All of them together.
        """
        found = Modifiers(efa=efa)
        for node, sign in factors:
            if node.depth > MAX_DEPTH:
                self.fail(
                    node.start,
                    f"The modifier is nested more than {MAX_DEPTH} levels deep.",
                    "Write the number it stands for.",
                )
            new = self._start(node) if sign == "?" else self._one(node)
            product = _scaled(found.fixed, new.fixed)
            if product is not None:
                found = replace(found, fixed=self._finite(product, node))
            else:
                found = self.merge(found, new, node.start, "This term")
        return found

    def merge(self, first: Modifiers, second: Modifiers, at: int, subject: str) -> Modifiers:
        """Join the modifiers of a term that is written more than once.

        Parameters
        ----------
        first, second : Modifiers
            The modifiers so far, and those to add.
        at : int
            Offset of the place to blame.
        subject : str
            What the modifiers belong to, for the message.

        Returns
        -------
        Modifiers
            Everything that one of the two says.

        Raises
        ------
        ModelSyntaxError
            They say different things about the same aspect.
        """
        changes: dict[str, object] = {}
        for item in fields(Modifiers):
            old, new = getattr(first, item.name), getattr(second, item.name)
            if new is None or item.name == "efa":
                continue
            if old is not None and old != new:
                self.fail(
                    at,
                    f"{subject} has more than one {_SHOWN[item.name]}: {_listed(old)} and "
                    f"{_listed(new)}.",
                    "Keep one. Values for several groups are written c(first, second).",
                )
            changes[item.name] = new
        return replace(first, **changes)  # type: ignore[arg-type]

    def efa_block(self, node: Node) -> str:
        """Name of the block in ``efa("block")``."""
        inner = node.children[0]
        if len(node.children) == 1 and inner.kind == "leaf" and inner.head.type == "STRING":
            return str(inner.head)[1:-1]
        self.fail(node.start, "efa() takes the quoted name of a block.", 'Write efa("block1")*f1.')

    def _one(self, node: Node) -> Modifiers:
        """Modifier that stands before ``*``."""
        if node.kind == "call" and node.head in (*_NUMERIC, *_TEXTUAL):
            return self._special(node)
        if node.kind == "call" and node.head == "efa":
            self.fail(
                node.start,
                "efa() stands on the left side, before the factor.",
                'Write for example: efa("b")*f1 + efa("b")*f2 =~ x1 + x2',
            )
        if node.kind == "call" and node.head in _ELSEWHERE:
            line, _ = place(self.text, node.start)
            raise UnsupportedError(
                f"line {line}: the modifier {node.head}() ({_ELSEWHERE[node.head]}) is not "
                "available."
            )
        entries = self._entries(node)
        if any(isinstance(entry, str) for entry in entries):
            return Modifiers(label=self._texts(entries, node))
        return Modifiers(fixed=self._finite(_numbers(entries), node))

    def _start(self, node: Node) -> Modifiers:
        """Modifier that stands before ``?``: a starting value."""
        return Modifiers(start=self._finite(self._only_numbers(node, "start"), node))

    def _special(self, node: Node) -> Modifiers:
        name = str(node.head)
        if len(node.children) != 1:
            self.fail(
                node.start,
                f"{name}() takes one argument, not {len(node.children)}.",
                f"For several groups write {name}(c(first, second)).",
            )
        argument = node.children[0]
        if name in _NUMERIC:
            numbers = self._only_numbers(argument, name)
            if name == "start":
                return Modifiers(start=self._finite(numbers, argument))
            return Modifiers(lower=numbers) if name == "lower" else Modifiers(upper=numbers)
        texts = self._texts(self._entries(argument), argument)
        return Modifiers(label=texts) if name == "label" else Modifiers(equal=texts)

    def _only_numbers(self, node: Node, name: str) -> tuple[float | None, ...]:
        entries = self._entries(node)
        if any(isinstance(entry, str) for entry in entries):
            self.fail(
                node.start,
                f"{name}() takes numbers, not names.",
                f"Write for example {name}(0.5)*x.",
            )
        return _numbers(entries)

    def _texts(self, entries: Sequence[Entry], node: Node) -> tuple[str, ...]:
        if any(isinstance(entry, float) for entry in entries):
            self.fail(
                node.start,
                "Labels and numbers cannot be mixed in one modifier.",
                "Use labels, or NA for a group without one, and fix a label with '==': "
                "c(a,b)*x and, on a line of its own, a == 1",
            )
        return tuple("" if entry is None else str(entry) for entry in entries)

    def _finite(self, values: Sequence[float | None], node: Node) -> tuple[float | None, ...]:
        if all(value is None or math.isfinite(value) for value in values):
            return tuple(values)
        self.fail(
            node.start,
            "The modifier is not a finite number.",
            "Only lower() and upper() may be infinite.",
        )

    def _entries(self, node: Node) -> tuple[Entry, ...]:
        """Values of a modifier: one, or as many as there are in ``c()``."""
        match node.kind:
            case "leaf":
                return (self._leaf(node),)
            case "group":
                return self._entries(node.children[0])
            case "unary" if node.head == "+":
                return self._entries(node.children[0])
            case "unary":
                values = self._arithmetic(node.children[0], node)
                return tuple(None if value is None else -value for value in values)
            case "call":
                return self._call(node)
            case "binary":
                return self._binary(node)

    def _leaf(self, node: Node) -> Entry:
        token = node.head
        match token.type, str(token):
            case "NUMBER", _:
                return float(token)
            case "STRING", text:
                return text[1:-1]
            case _, "NA":
                return None
            case _, "Inf":
                return math.inf
            case _, ("NaN" | "TRUE" | "FALSE" | "NULL"):
                self.fail(
                    node.start,
                    f"{token} is not a modifier.",
                    "Write a number, a label, or NA to set the parameter free.",
                )
        return str(token)

    def _call(self, node: Node) -> tuple[Entry, ...]:
        function = str(node.head)
        if function == "c":
            parts = [self._entries(child) for child in node.children]
            return tuple(entry for part in parts for entry in part)
        if function in FUNCTIONS and len(node.children) == 1:
            values = self._arithmetic(node.children[0], node)
            with np.errstate(all="ignore"):
                return tuple(
                    None if value is None else float(FUNCTIONS[function](np.asarray(value)))
                    for value in values
                )
        if function in (*_NUMERIC, *_TEXTUAL, "efa"):
            self.fail(
                node.start,
                f"{function}() cannot stand inside another modifier.",
                f"Join modifiers with '*': {function}(...)*a*x; values for several groups go "
                f"inside: {function}(c(first, second)).",
            )
        self.fail(
            node.start,
            f"There is no modifier {function}().",
            "Modifiers are numbers, labels, NA, c(), start(), lower(), upper(), equal(), label(), "
            "and efa() on the left side.",
        )

    def _binary(self, node: Node) -> tuple[Entry, ...]:
        operations = {
            "+": np.add,
            "-": np.subtract,
            "*": np.multiply,
            "/": np.divide,
            "^": np.power,
        }
        if node.head not in operations:
            self.fail(
                offset(node.head),
                f"{str(node.head)!r} cannot stand inside a modifier.",
                "A modifier is a number, a label, or c() of several.",
            )
        left, right = (self._arithmetic(child, node) for child in node.children)
        n_values = max(len(left), len(right))
        if len(left) not in (1, n_values) or len(right) not in (1, n_values):
            self.fail(
                offset(node.head),
                f"c() of {len(left)} and of {len(right)} entries cannot be combined.",
                "Write one entry per group on both sides.",
            )
        with np.errstate(all="ignore"):
            return tuple(
                None
                if x is None or y is None
                else float(operations[str(node.head)](np.float64(x), np.float64(y)))
                for x, y in zip(
                    left * (n_values // len(left)), right * (n_values // len(right)), strict=True
                )
            )

    def _arithmetic(self, node: Node, whole: Node) -> tuple[float | None, ...]:
        entries = self._entries(node)
        if any(isinstance(entry, str) for entry in entries):
            self.fail(
                whole.start,
                "A label cannot be part of arithmetic in a formula.",
                "Label the parameter (a*x) and say the rest on a line of its own: a == 2*b",
            )
        return _numbers(entries)


def _numbers(entries: Sequence[Entry]) -> tuple[float | None, ...]:
    return tuple(entry for entry in entries if not isinstance(entry, str))


def _scaled(
    first: tuple[float | None, ...] | None, second: tuple[float | None, ...] | None
) -> tuple[float | None, ...] | None:
    """Product of two numeric factors, as in ``2*3*x``; None when there are not two."""
    if first is None or second is None or None in first or None in second:
        return None
    if 1 not in (len(first), len(second)) and len(first) != len(second):
        return None
    n_values = max(len(first), len(second))
    pairs = zip(first * (n_values // len(first)), second * (n_values // len(second)), strict=True)
    return tuple(float(x or 0.0) * float(y or 0.0) for x, y in pairs)


def _listed(values: object) -> str:
    entries = values if isinstance(values, tuple) else (values,)
    return ", ".join("NA" if entry is None else str(entry) for entry in entries)
