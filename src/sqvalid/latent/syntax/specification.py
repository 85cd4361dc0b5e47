"""What a model text says: statements, modifiers, and the text they print as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from sqvalid.latent.syntax.trees import Expr, format_expression, format_number

TermOperator = Literal["=~", "<~", "~", "~~", "~1", "~*~", "|"]
ConstraintOperator = Literal["==", "<", ">"]
BlockKind = Literal["group", "level", "class"]

# Words that mean something else where a label or a group name may stand.
RESERVED = frozenset({"NA", "Inf", "NaN", "TRUE", "FALSE", "NULL"})
_BARE = re.compile(r"(?:[^\W\d_]|\.(?![0-9]))[\w.]*")
_BARE_HEADER = re.compile(r"[\w.]+")


@dataclass(frozen=True)
class Modifiers:
    """What stands in front of a ``*``.

    Every tuple has one entry, meant for all groups, or one entry per group.

    Parameters
    ----------
    fixed : tuple of (float or None), optional
        Fixed values; None stands for ``NA`` and sets the parameter free.
    label : tuple of str, optional
        Labels; an empty string is no label.
    start, lower, upper : tuple of (float or None), optional
        Starting values and bounds; None leaves the default.
    equal : tuple of str, optional
        Names of parameters to be equal to, such as ``"f=~x2"``.
    efa : str, optional
        Name of the exploratory block to which the factor on the left belongs.
    """

    fixed: tuple[float | None, ...] | None = None
    label: tuple[str, ...] | None = None
    start: tuple[float | None, ...] | None = None
    lower: tuple[float | None, ...] | None = None
    upper: tuple[float | None, ...] | None = None
    equal: tuple[str, ...] | None = None
    efa: str | None = None


@dataclass(frozen=True)
class Term:
    """One parameter of the model text: one left side, one operator, one right side.

    Parameters
    ----------
    lhs : str
        Variable on the left.
    op : {"=~", "<~", "~", "~~", "~1", "~*~", "|"}
        Operator; ``~1`` is an intercept or mean.
    rhs : str
        Variable on the right, a product such as ``"f1:f2"``, a threshold such as ``"t1"``, or
        ``""`` for ``~1``. A factor without indicators (``f =~ 0``) has itself on the right,
        fixed to 0, as in lavaan.
    modifiers : Modifiers
        Fixed values, labels, starting values, bounds.
    block : int
        The block it is in, counted from 1; 1 also where there are no blocks.
    line, column : int
        Place of the right side in the text, from 1; not compared.
    """

    lhs: str
    op: TermOperator
    rhs: str
    modifiers: Modifiers = Modifiers()
    block: int = 1
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Definition:
    """A defined parameter, ``name := expression``.

    Parameters
    ----------
    name : str
        Its name.
    expression : Expr
        The expression as a tree.
    line, column : int
        Place in the text, from 1; not compared.
    text : str
        The expression as written, without blanks; made from the tree when left out.
    """

    name: str
    expression: Expr
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text or format_expression(self.expression))


@dataclass(frozen=True)
class Constraint:
    """An equality or inequality between expressions.

    Parameters
    ----------
    op : {"==", "<", ">"}
        The relation; ``<`` and ``>`` include equality, as bounds do.
    left, right : Expr
        The two sides as trees.
    line, column : int
        Place in the text, from 1; not compared.
    left_text, right_text : str
        The sides as written, without blanks; made from the trees when left out.
    """

    op: ConstraintOperator
    left: Expr
    right: Expr
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)
    left_text: str = ""
    right_text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "left_text", self.left_text or format_expression(self.left))
        object.__setattr__(self, "right_text", self.right_text or format_expression(self.right))


@dataclass(frozen=True)
class BlockHeader:
    """The line that opens a block, ``group: name`` or ``level: 1``.

    Parameters
    ----------
    kind : {"group", "level", "class"}
        What is split into blocks.
    name : str
        Label of the group, or number of the level, as written.
    index : int
        Number of the block that follows, from 1. A ``level:`` directly after a ``group:``
        opens the same block.
    line, column : int
        Place in the text, from 1; not compared.
    """

    kind: BlockKind
    name: str
    index: int = 1
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


Statement = Term | Definition | Constraint | BlockHeader


@dataclass(frozen=True)
class ModelSpec:
    """A parsed model text. Hashable; equal when the statements are equal.

    Parameters
    ----------
    statements : tuple of Statement
        In the order of the text; a formula is one :class:`Term` per pair of left and right
        side.
    text : str
        The text as given; not compared.
    """

    statements: tuple[Statement, ...]
    text: str = field(default="", compare=False, repr=False)

    @property
    def terms(self) -> tuple[Term, ...]:
        """Parameters of the formulas, in order."""
        return tuple(s for s in self.statements if isinstance(s, Term))

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Defined parameters, in order."""
        return tuple(s for s in self.statements if isinstance(s, Definition))

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Equalities and inequalities, in order."""
        return tuple(s for s in self.statements if isinstance(s, Constraint))

    @property
    def blocks(self) -> tuple[BlockHeader, ...]:
        """Headers of the blocks, in order; empty for a model without blocks."""
        return tuple(s for s in self.statements if isinstance(s, BlockHeader))

    @property
    def variables(self) -> tuple[str, ...]:
        """Observed and latent variables and products, in order of first appearance."""
        found: dict[str, None] = {}
        for term in self.terms:
            found.setdefault(term.lhs)
            if term.op != "~1" and term.op != "|":
                found.setdefault(term.rhs)
        return tuple(found)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels given to parameters, in order of first appearance."""
        found = (label for term in self.terms for label in term.modifiers.label or ())
        return tuple(dict.fromkeys(label for label in found if label))


def format_model(spec: ModelSpec) -> str:
    """Canonical text of a model.

    Parameters
    ----------
    spec : ModelSpec
        The model.

    Returns
    -------
    str
        One statement per line, neighbouring terms of one formula joined by ``+``. Parsing it
        gives `spec` back, up to the places in the text; formatting that again changes nothing.
    """
    lines: list[str] = []
    for key, run in groupby(spec.statements, key=_line_key):
        statements = list(run)
        lines.extend(_format_terms(statements) if key else map(_format_other, statements))
    return "\n".join(lines) + ("\n" if lines else "")


def _line_key(statement: Statement) -> tuple[object, ...] | None:
    if not isinstance(statement, Term):
        return None
    return (statement.lhs, statement.op, statement.modifiers.efa, _is_phantom(statement))


def _is_phantom(term: Term) -> bool:
    return term.op == "=~" and term.lhs == term.rhs


def _format_terms(terms: Sequence[Statement]) -> list[str]:
    """The line of a run of terms with the same left side and operator."""
    run = [term for term in terms if isinstance(term, Term)]
    first = run[0]
    left = first.lhs
    if first.modifiers.efa is not None:
        left = f"efa({_quoted(first.modifiers.efa)})*{left}"
    if _is_phantom(first):
        return [f"{left} =~ 0"]
    op = "~" if first.op == "~1" else first.op
    return [f"{left} {op} {' + '.join(map(_format_term, run))}"]


def _format_term(term: Term) -> str:
    variable = "1" if term.op == "~1" else term.rhs
    modifiers = _format_modifiers(replace(term.modifiers, efa=None))
    return "*".join([*modifiers, variable])


def _format_modifiers(modifiers: Modifiers) -> list[str]:
    parts: list[str] = []
    for name in ("start", "lower", "upper"):
        values = getattr(modifiers, name)
        if values is not None:
            parts.append(f"{name}({_format_values(values)})")
    if modifiers.equal is not None:
        parts.append(f"equal({_joined([_quoted(name) for name in modifiers.equal])})")
    if modifiers.fixed is not None:
        parts.append(_format_values(modifiers.fixed))
    if modifiers.label is not None:
        bare = all(map(_is_bare, modifiers.label))
        parts.append(_joined([x if bare else _quoted(x) for x in modifiers.label]))
    return parts


def _format_values(values: Sequence[float | None]) -> str:
    return _joined(["NA" if value is None else format_number(value) for value in values])


def _joined(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"c({','.join(texts)})"


def _is_bare(label: str) -> bool:
    return _BARE.fullmatch(label) is not None and label not in RESERVED


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


def _format_other(statement: Statement) -> str:
    match statement:
        case Definition(name=name, text=text):
            return f"{name} := {text}"
        case Constraint(op=op, left_text=left, right_text=right):
            return f"{left} {op} {right}"
        case BlockHeader(kind=kind, name=name):
            return f"{kind}: {name if _BARE_HEADER.fullmatch(name) else _quoted(name)}"
        case Term():
            return _format_term(statement)
