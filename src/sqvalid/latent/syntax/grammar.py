"""From model text to raw statements: the lark grammar and the layout of lines.

A statement here is still only arithmetic around an operator; :mod:`.statements` gives it
meaning, :mod:`.mistakes` explains what does not parse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Literal

from lark import Lark, Token, Transformer
from lark.lark import PostLex

NodeKind = Literal["leaf", "unary", "binary", "call", "group"]

_JOINERS = frozenset({"PLUS", "MINUS", "STAR", "SLASH", "QUERY", "CARET", "COLON", "COMMA"})
_RELATIONS = frozenset({"OPERATOR", "RELATION", "EQUAL"})
_BREAKS = frozenset({"NEWLINE", "SEMICOLON"})
BLOCK_KINDS = ("group", "level", "class")


@dataclass(frozen=True, slots=True)
class Node:
    """A piece of a statement as it was written.

    Parameters
    ----------
    kind : {"leaf", "unary", "binary", "call", "group"}
        ``group`` is a pair of parentheses.
    head : lark.Token
        The name, number or string of a leaf; the operator, function name or opening
        parenthesis of the others. Carries the place in the text.
    children : tuple of Node
        Operands or arguments.
    depth : int
        Height of the tree, 1 for a leaf.
    """

    kind: NodeKind
    head: Token
    children: tuple[Node, ...] = ()
    depth: int = 1

    @property
    def start(self) -> int:
        """Offset of the first character of the piece."""
        node = self
        while node.kind == "binary":
            node = node.children[0]
        return offset(node.head)


@dataclass(frozen=True, slots=True)
class RawStatement:
    """One statement: a block header, or two sides and the operator between them.

    Parameters
    ----------
    operator : lark.Token
        The operator, or the whole header.
    left, right : Node or None
        The sides; None for a header.
    """

    operator: Token
    left: Node | None = None
    right: Node | None = None


def offset(token: Token) -> int:
    """Offset of a token in the text."""
    return token.start_pos or 0


class _Builder(Transformer[Token, tuple[RawStatement, ...]]):
    """Turns lark's reductions into nodes."""

    def leaf(self, items: list[Token]) -> Node:
        return Node("leaf", items[0])

    def unary(self, items: list[Any]) -> Node:
        return Node("unary", items[0], (items[1],), items[1].depth + 1)

    def binary(self, items: list[Any]) -> Node:
        left, token, right = items
        return Node("binary", token, (left, right), max(left.depth, right.depth) + 1)

    def call(self, items: list[Any]) -> Node:
        arguments = tuple(item for item in items if isinstance(item, Node))
        return Node("call", items[0], arguments, max(a.depth for a in arguments) + 1)

    def group(self, items: list[Any]) -> Node:
        return Node("group", items[0], (items[1],), items[1].depth + 1)

    def header(self, items: list[Token]) -> RawStatement:
        return RawStatement(items[0])

    def formula(self, items: list[Any]) -> RawStatement:
        return RawStatement(items[1], items[0], items[2])

    def model(self, items: list[Any]) -> tuple[RawStatement, ...]:
        return tuple(item for item in items if isinstance(item, RawStatement))


class Layout(PostLex):
    """Decides which line ends close a statement.

    A statement goes on over the end of a line inside parentheses, after a joining sign, and
    where the next line starts with one or has no operator of its own; a semicolon always ends
    it. A header such as ``level: 1`` becomes a single token.
    """

    always_accept = ("EQUAL", "NEWLINE", "SEMICOLON", "OTHER")

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """Replace line ends by END tokens or nothing.

        Parameters
        ----------
        stream : iterator of lark.Token
            Tokens with every newline and semicolon.

        Yields
        ------
        lark.Token
            Tokens of the grammar.
        """
        tokens = list(stream)
        statement: list[Token] = []
        depth = 0
        position = 0
        while position < len(tokens):
            token = tokens[position]
            position += 1
            if token.type in _BREAKS:
                if statement and (
                    token.type == "SEMICOLON"
                    or (depth == 0 and _closes(statement, _line(tokens, position)))
                ):
                    yield _end_after(statement[-1])
                    statement, depth = [], 0
                continue
            if not statement and _is_header(tokens, position - 1):
                line = _line(tokens, position - 1)
                position += len(line) - 1
                yield _header(line)
                yield _end_after(line[-1])
                continue
            depth = max(0, depth + (token.type == "LPAR") - (token.type == "RPAR"))
            statement.append(token)
            yield token
        if statement:
            yield _end_after(statement[-1])


def _line(tokens: Sequence[Token], start: int) -> list[Token]:
    """Tokens from `start` to the next line end, blank lines skipped."""
    while start < len(tokens) and tokens[start].type == "NEWLINE":
        start += 1
    stop = start
    while stop < len(tokens) and tokens[stop].type not in _BREAKS:
        stop += 1
    return list(tokens[start:stop])


def _is_header(tokens: Sequence[Token], at: int) -> bool:
    return (
        tokens[at].type == "NAME"
        and tokens[at].lower() in BLOCK_KINDS
        and at + 1 < len(tokens)
        and tokens[at + 1].type == "COLON"
    )


def _has_operator(tokens: Iterable[Token]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token.type == "LPAR") - (token.type == "RPAR")
        if depth <= 0 and token.type in _RELATIONS:
            return True
    return False


def _closes(statement: Sequence[Token], following: Sequence[Token]) -> bool:
    """Whether a line end stands between two statements."""
    if not following:
        return True
    complete = _has_operator(statement)
    if following[0].type in _RELATIONS:
        return complete
    if following[0].type in _JOINERS - {"MINUS"}:
        return False
    begins = _has_operator(following)
    if statement[-1].type in _JOINERS | _RELATIONS or following[0].type == "MINUS":
        return complete and begins
    return begins or _is_header(following, 0)


def _header(line: Sequence[Token]) -> Token:
    # The name of a group is data, not grammar: blanks between its parts are kept as one.
    parts: list[str] = []
    for previous, token in pairwise(line[1:]):
        if parts and previous.end_pos != token.start_pos:
            parts.append(" ")
        parts.append(str(token))
    return Token.new_borrow_pos("HEADER", f"{line[0].lower()}:{''.join(parts)}", line[0])


def _end_after(token: Token) -> Token:
    end = token.end_pos if token.end_pos is not None else offset(token) + len(token)
    return Token("END", "", start_pos=end, end_pos=end)


@cache
def _parser() -> Lark:
    text = resources.files(__package__).joinpath("model.lark").read_text(encoding="utf-8")
    return Lark(
        text,
        start="model",
        parser="lalr",
        lexer="basic",
        postlex=Layout(),
        transformer=_Builder(),
        maybe_placeholders=False,
    )


def tokenize(text: str) -> tuple[Token, ...]:
    """Tokens of a model text after layout, with an END after every statement.

    Parameters
    ----------
    text : str
        Model text whose lines end in a single newline character.

    Returns
    -------
    tuple of lark.Token
        What the grammar sees.
    """
    return tuple(_parser().lex(text))


def parse_statements(text: str) -> tuple[RawStatement, ...]:
    """Raw statements of a model text.

    Parameters
    ----------
    text : str
        Model text whose lines end in a single newline character.

    Returns
    -------
    tuple of RawStatement
        In the order of the text.

    Raises
    ------
    lark.exceptions.UnexpectedToken
        The text does not follow the grammar; :func:`.mistakes.explain` makes sense of it.
    """
    statements: tuple[RawStatement, ...] = _parser().parse(text)  # type: ignore[assignment]
    return statements
