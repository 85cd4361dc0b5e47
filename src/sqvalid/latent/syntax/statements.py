"""From raw statements to a ModelSpec: what a sum means beside each operator."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn, cast

from lark.exceptions import UnexpectedToken

from sqvalid.errors import ModelError, ModelSyntaxError, UnsupportedError
from sqvalid.latent.syntax.expressions import MAX_DEPTH
from sqvalid.latent.syntax.grammar import (
    BLOCK_KINDS,
    Node,
    RawStatement,
    offset,
    parse_statements,
)
from sqvalid.latent.syntax.mistakes import explain, place
from sqvalid.latent.syntax.modifiers import ModifierReader
from sqvalid.latent.syntax.specification import (
    RESERVED,
    BlockHeader,
    BlockKind,
    Constraint,
    ConstraintOperator,
    Definition,
    ModelSpec,
    Modifiers,
    Statement,
    Term,
    TermOperator,
)
from sqvalid.latent.syntax.trees import (
    FUNCTIONS,
    Binary,
    BinaryOperator,
    Call,
    Expr,
    Name,
    Negate,
    Number,
)

# Functions that R would evaluate in an expression but that have no derivative here.
_FUNCTIONS_OF_R = frozenset({
    "atan2", "beta", "c", "ceiling", "dlogis", "floor", "gamma", "ifelse", "lbeta", "lgamma",
    "logb", "max", "mean", "median", "min", "pchisq", "plogis", "prod", "pt", "qchisq", "qlogis",
    "qt", "rep", "round", "sd", "sum", "trunc", "var",
})  # fmt: skip


def parse_model(text: str) -> ModelSpec:
    """Parse a model in lavaan's language.

    Parameters
    ----------
    text : str
        Formulas such as ``f =~ x1 + x2``, defined parameters and constraints, one per line or
        separated by semicolons.

    Returns
    -------
    ModelSpec
        Its statements in the order of the text. Parses are cached by text.

    Raises
    ------
    ModelSyntaxError
        The text does not follow the language; the error carries line, column and a remedy.
    UnsupportedError
        The text uses a construct of lavaan that has no meaning here yet.
    ModelError
        `text` is not a string.

    Examples
    --------
    >>> spec = parse_model("f =~ x1 + a*x2")
    >>> [(t.lhs, t.op, t.rhs, t.modifiers.label) for t in spec.terms]
    [('f', '=~', 'x1', None), ('f', '=~', 'x2', ('a',))]
    """
    if not isinstance(text, str):
        raise ModelError(
            f"A model is a text, not {type(text).__name__}.",
            remedy='Pass a string such as "f =~ x1 + x2 + x3".',
        )
    return _parse(text)


@lru_cache(maxsize=512)
def _parse(text: str) -> ModelSpec:
    # One kind of line end, so that places in the text agree with what an editor shows.
    source = "\n".join(text.splitlines())
    try:
        raw = parse_statements(source)
    except UnexpectedToken as error:
        raise explain(source, error.token, frozenset(error.expected)) from None
    if not raw:
        raise ModelSyntaxError(
            "The model is empty.",
            text=source,
            line=1,
            column=1,
            remedy="Write at least one formula, such as: f =~ x1 + x2 + x3",
        )
    return ModelSpec(_Statements(source).build(raw), text)


class _Statements:
    """Builds the statements of one text, in order, and keeps what they must not repeat."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.modifiers = ModifierReader(text)
        self.statements: list[Statement] = []
        self.block = 1
        self.block_is_empty = True
        self.header: BlockHeader | None = None
        # (block, lhs, op, rhs) -> the statement it was in and where in the list it stands.
        self.seen: dict[tuple[int, str, str, str], tuple[int, int]] = {}
        self.defined: dict[str, int] = {}

    def build(self, raw: Sequence[RawStatement]) -> tuple[Statement, ...]:
        for number, statement in enumerate(raw):
            if statement.left is None or statement.right is None:
                self._header(statement)
            elif statement.operator == ":=":
                self._definition(statement, statement.left, statement.right)
            elif statement.operator.type == "RELATION":
                self._constraint(statement, statement.left, statement.right)
            else:
                self._formula(number, statement, statement.left, statement.right)
        return tuple(self.statements)

    def fail(self, at: int, message: str, remedy: str) -> NoReturn:
        line, column = place(self.text, at)
        raise ModelSyntaxError(message, text=self.text, line=line, column=column, remedy=remedy)

    # Blocks -----------------------------------------------------------------------------------

    def _header(self, raw: RawStatement) -> None:
        kind, _, name = raw.operator.partition(":")
        at = offset(raw.operator)
        quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "'\""
        name = name[1:-1] if quoted else name
        if not name:
            self.fail(at, f"'{kind}:' has no name after it.", f"Write for example: {kind}: 1")
        if not quoted and set(name) & set("~=<>|()'\""):
            self.fail(
                at,
                f"'{kind}:' opens a block and stands on a line of its own.",
                "Begin the first formula of the block on the next line.",
            )
        assert kind in BLOCK_KINDS
        nested = (
            self.header is not None
            and self.block_is_empty
            and self.header.kind == "group"
            and kind != "group"
        )
        if self.header is not None and not nested:
            self.block += 1
        line, column = place(self.text, at)
        self.header = BlockHeader(cast(BlockKind, kind), name, self.block, line, column)
        self.block_is_empty = True
        self.statements.append(self.header)

    # Expressions ------------------------------------------------------------------------------

    def _definition(self, raw: RawStatement, left: Node, right: Node) -> None:
        if left.kind != "leaf" or left.head.type != "NAME" or left.head in RESERVED:
            self.fail(
                left.start,
                "The left side of := must be one name.",
                "Write for example: indirect := a*b",
            )
        name = str(left.head)
        line, column = place(self.text, left.start)
        if name in self.defined:
            self.fail(
                left.start,
                f"{name!r} is defined twice; the first time in line {self.defined[name]}.",
                "Give one of the two definitions another name.",
            )
        self.defined[name] = line
        self.statements.append(
            Definition(name, self._expression(right), line, column, _written(right))
        )

    def _constraint(self, raw: RawStatement, left: Node, right: Node) -> None:
        at = offset(raw.operator)
        if (
            raw.operator == "<"
            and right.start == at + 1
            and (leading := _leading_minus(right)) is not None
            and leading.head.type in ("NAME", "FUNC")
        ):
            self.fail(
                at,
                "'<-' is not an operator of the model language.",
                "Write '=~' to define a factor, '~' for a regression; for an inequality with a "
                "negative right side put a blank between '<' and '-'.",
            )
        line, column = place(self.text, left.start)
        self.statements.append(
            Constraint(
                cast(ConstraintOperator, str(raw.operator)),
                self._expression(left),
                self._expression(right),
                line,
                column,
                _written(left),
                _written(right),
            )
        )

    def _expression(self, node: Node) -> Expr:
        if node.depth > MAX_DEPTH:
            self.fail(
                node.start,
                f"The expression is nested more than {MAX_DEPTH} levels deep.",
                "Split it into several definitions with ':='.",
            )
        return self._tree(node)

    def _tree(self, node: Node) -> Expr:
        match node.kind:
            case "leaf":
                return self._leaf(node)
            case "group":
                return self._tree(node.children[0])
            case "unary":
                operand = self._tree(node.children[0])
                return Negate(operand) if node.head == "-" else operand
            case "call":
                return self._call(node)
            case "binary":
                if node.head in (":", "?"):
                    self.fail(
                        offset(node.head),
                        f"{str(node.head)!r} has no meaning in an expression.",
                        "Expressions use + - * / ^ and parentheses.",
                    )
                left, right = node.children
                op = cast(BinaryOperator, str(node.head))
                return Binary(op, self._tree(left), self._tree(right))

    def _leaf(self, node: Node) -> Expr:
        token = node.head
        if token.type == "NUMBER":
            value = float(token)
            if value == float("inf"):
                self.fail(node.start, f"{token} is too large a number.", "Use a smaller one.")
            return Number(value)
        if token.type == "STRING" or token in RESERVED:
            self.fail(
                node.start,
                f"{token} cannot stand in an expression.",
                "Expressions are made of parameter labels and numbers; write labels without "
                "quotation marks.",
            )
        return Name(str(token))

    def _call(self, node: Node) -> Expr:
        function = str(node.head)
        if function not in FUNCTIONS:
            if function in _FUNCTIONS_OF_R:
                line, _ = place(self.text, node.start)
                raise UnsupportedError(
                    f"line {line}: the function {function}() is not available in expressions.",
                    remedy=f"Available are: {', '.join(FUNCTIONS)}.",
                )
            near = difflib.get_close_matches(function, FUNCTIONS, n=1)
            hint = f" Did you mean {near[0]}()?" if near else ""
            self.fail(
                node.start,
                f"There is no function {function}() in expressions.{hint}",
                f"Available are: {', '.join(FUNCTIONS)}. A product needs its '*'.",
            )
        if len(node.children) != 1:
            self.fail(
                node.start,
                f"{function}() takes one argument, not {len(node.children)}.",
                f"Write {function}(...) around one expression.",
            )
        return Call(function, self._tree(node.children[0]))

    # Formulas ---------------------------------------------------------------------------------

    def _formula(self, number: int, raw: RawStatement, left: Node, right: Node) -> None:
        op = str(raw.operator)
        rights = self._addends(right)
        for lhs_node in self._addends(left):
            lhs, efa = self._left_side(lhs_node, op)
            for rhs_node in rights:
                self._term(number, lhs, op, rhs_node, efa, alone=len(rights) == 1)

    def _addends(self, node: Node) -> list[Node]:
        addends: list[Node] = []
        while node.kind == "binary" and node.head in ("+", "-"):
            if node.head == "-":
                self.fail(
                    offset(node.head),
                    "A formula joins its terms with '+', not '-'.",
                    "If the hyphen belongs to a name, rename the variable, for example item-1 to "
                    "item_1; to fix a parameter to a negative value write -1*x.",
                )
            addends.append(node.children[1])
            node = node.children[0]
        addends.append(node)
        return [_unsigned(addend) for addend in reversed(addends)]

    def _left_side(self, node: Node, op: str) -> tuple[str, str | None]:
        efa = None
        if node.kind == "binary" and node.head == "*":
            modifier, node = node.children
            if modifier.kind != "call" or modifier.head != "efa":
                self.fail(
                    modifier.start,
                    "Only efa(\"block\") may stand before '*' on the left side.",
                    "Put fixed values, labels and starting values on the right side.",
                )
            if op != "=~":
                self.fail(
                    modifier.start,
                    f"efa() belongs to '=~', not to '{op}'.",
                    'Write for example: efa("b")*f1 + efa("b")*f2 =~ x1 + x2',
                )
            efa = self.modifiers.efa_block(modifier)
        if node.kind == "leaf" and node.head.type == "NAME" and node.head not in RESERVED:
            return str(node.head), efa
        what = "A product (':')" if node.head == ":" else f"'{_shortened(node)}'"
        self.fail(
            node.start,
            f"{what} cannot stand on the left side of '{op}'.",
            "The left side is a variable name, or several joined by '+'.",
        )

    def _term(
        self, number: int, lhs: str, op: str, node: Node, efa: str | None, *, alone: bool
    ) -> None:
        factors = self.modifiers.factors(node)
        variable, at = factors[-1][0], factors[-1][0].start
        while variable.kind == "group":
            variable = variable.children[0]
        modifiers = self.modifiers.read(factors[:-1], efa)
        rhs = ""
        if variable.kind == "leaf" and variable.head.type == "NUMBER":
            op, rhs, modifiers = self._constant(
                lhs, op, variable, modifiers, alone=alone, modified=len(factors) > 1
            )
        else:
            rhs = self._variable(variable, op)
            if op in ("=~", "<~", "~") and lhs == rhs:
                verb = {"=~": "be its own indicator", "<~": "be part of itself"}
                self.fail(
                    at,
                    f"{lhs!r} cannot {verb.get(op, 'be regressed on itself')}.",
                    "Remove it from the right side, or write another name on the left.",
                )
        if op == "~*~" and lhs != rhs:
            self.fail(
                at,
                "'~*~' scales one variable: the same name stands on both sides.",
                f"Write: {lhs} ~*~ {lhs}",
            )
        line, column = place(self.text, at)
        term = Term(lhs, cast(TermOperator, op), rhs, modifiers, self.block, line, column)
        self._append(number, term, at)

    def _append(self, number: int, term: Term, at: int) -> None:
        """Add a term; the same term twice in one formula gathers modifiers."""
        key = (term.block, term.lhs, term.op, term.rhs)
        known = self.seen.get(key)
        if known is None and term.op == "~~":
            mirrored = self.seen.get((term.block, term.rhs, "~~", term.lhs))
            known = None if mirrored is None else (-1, mirrored[1])
        if known is None:
            self.seen[key] = (number, len(self.statements))
            self.statements.append(term)
            self.block_is_empty = False
            return
        first_number, index = known
        first = cast(Term, self.statements[index])
        shown = f"{term.lhs} {term.op} {term.rhs}".rstrip()
        if first_number != number:
            self.fail(
                at,
                f"'{shown}' is already in the model, in line {first.line}.",
                "Keep one of the two, and write all its modifiers there.",
            )
        merged = self.modifiers.merge(first.modifiers, term.modifiers, at, term.rhs or "1")
        self.statements[index] = Term(
            first.lhs, first.op, first.rhs, merged, first.block, first.line, first.column
        )

    def _constant(
        self, lhs: str, op: str, node: Node, modifiers: Modifiers, *, alone: bool, modified: bool
    ) -> tuple[str, str, Modifiers]:
        """The term of a bare 1 or 0: an intercept, or a factor without indicators."""
        value = float(node.head)
        if op == "~" and value == 1:
            return "~1", "", modifiers
        if op == "~" and value == 0 and not modified:
            return "~1", "", Modifiers(fixed=(0.0,))
        if op == "=~" and value == 0 and alone and not modified:
            return op, lhs, Modifiers(fixed=(0.0,), efa=modifiers.efa)
        if op == "~":
            self.fail(
                node.start,
                f"{node.head} is not a variable.",
                f"An intercept is the number 1: {lhs} ~ 1, or {lhs} ~ {node.head}*1 to fix it.",
            )
        remedy = f"For an intercept or a mean write: {lhs} ~ 1"
        if value != 1:
            remedy = f"To fix a parameter write {node.head}*x with the name of a variable."
        self.fail(node.start, f"{node.head} cannot stand on the right side of '{op}'.", remedy)

    def _variable(self, node: Node, op: str) -> str:
        if node.kind == "leaf" and node.head.type == "NAME":
            name = str(node.head)
            if name in RESERVED:
                self.fail(
                    node.start,
                    f"{name} cannot be the name of a variable.",
                    "Put it in front of a variable, as in NA*x1, or rename the variable.",
                )
            if op == "|" and not (name[0] == "t" and name[1:].isdecimal() and name[1:].isascii()):
                self.fail(
                    node.start,
                    f"{name!r} is not a threshold.",
                    "Thresholds are called t1, t2, t3, ... in order.",
                )
            return name
        if node.kind == "binary" and node.head == ":":
            return self._interaction(node, op)
        if node.kind == "leaf":
            self.fail(
                node.start,
                f"{node.head} is a quoted text, not a variable.",
                "Write variable names without quotation marks.",
            )
        if node.kind == "call":
            self.fail(
                node.start,
                f"{node.head}() cannot stand where a variable is expected.",
                "Transform the column in the data first; a modifier such as start(0.5) needs "
                "'*' and a variable after it.",
            )
        self.fail(
            node.start,
            f"'{_shortened(node)}' is not a variable.",
            "A formula is a sum of variable names, each with its modifier in front: 0.5*x. "
            "Compute squares, ratios and differences as columns of the data.",
        )

    def _interaction(self, node: Node, op: str) -> str:
        parts = [_leaf_name(part) for part in node.children]
        if op == "|" or None in parts:
            self.fail(
                node.start,
                f"'{_shortened(node)}' cannot be used here: ':' joins two variable names.",
                "Compute other products as columns of the data.",
            )
        return ":".join(part for part in parts if part is not None)


def _leaf_name(node: Node) -> str | None:
    if node.kind == "leaf" and node.head.type == "NAME" and node.head not in RESERVED:
        return str(node.head)
    return None


def _unsigned(node: Node) -> Node:
    while node.kind == "unary" and node.head == "+":
        node = node.children[0]
    return node


def _leading_minus(node: Node) -> Node | None:
    """What the leftmost minus sign of an expression stands in front of, if it has one."""
    while node.kind == "binary":
        node = node.children[0]
    if node.kind != "unary" or node.head != "-":
        return None
    inner = node.children[0]
    while inner.kind == "binary":
        inner = inner.children[0]
    return inner


def _shortened(node: Node) -> str:
    if node.depth > MAX_DEPTH:
        return "..."
    text = _written(node)
    return text if len(text) <= 30 else text[:27] + "..."


def _written(node: Node) -> str:
    """Text of a piece as it was written, without blanks and comments."""
    match node.kind:
        case "leaf":
            return str(node.head)
        case "group":
            return f"({_written(node.children[0])})"
        case "unary":
            return f"{node.head}{_written(node.children[0])}"
        case "call":
            return f"{node.head}({','.join(map(_written, node.children))})"
        case "binary":
            left, right = node.children
            return f"{_written(left)}{node.head}{_written(right)}"
