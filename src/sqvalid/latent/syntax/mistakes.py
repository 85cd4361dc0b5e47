"""Explanations for model text that does not parse: what was meant, and what to write.

Each function below knows one family of slips, looks at the place where the parser stopped, and
answers with a message and a remedy or passes. They are asked in order, the most telling first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from lark import Token

from sqvalid.errors import ModelSyntaxError
from sqvalid.latent.syntax.grammar import BLOCK_KINDS, offset, tokenize

_OPERANDS = frozenset({"NAME", "NUMBER", "STRING", "FUNC"})
_SIGNS = {"PLUS": "+", "MINUS": "-", "STAR": "*", "SLASH": "/", "CARET": "^"}
_SIGNS |= {"QUERY": "?", "COLON": ":"}
_RELATIONS = frozenset({"OPERATOR", "RELATION"})
_SINGLE_QUOTES = "‘’‚‛′´"
_DOUBLE_QUOTES = "“”„‟″«»「」『』"
# Look-alikes that Unicode does not fold into ASCII.
_LOOK_ALIKES = {"～": "~", "〜": "~", "∼": "~", "˜": "~", "×": "*", "·": "*", "÷": "/", "、": ","}
_LOOK_ALIKES |= dict.fromkeys("‐‑‒–—―−", "-")
_LOOK_ALIKES |= {"≤": "<", "≥": ">", "≈": "=~", "＝": "=", "。": "."}
_LOOK_ALIKES |= dict.fromkeys(_SINGLE_QUOTES, "'") | dict.fromkeys(_DOUBLE_QUOTES, '"')

_PLAIN_WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a quoted label",
    "FUNC": "a function such as start(",
    "OPERATOR": "an operator such as =~, ~ or ~~",
    "RELATION": "one of :=, ==, <, >",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "END": "the end of the statement",
    **{name: f"'{sign}'" for name, sign in _SIGNS.items()},
}


@dataclass(frozen=True)
class Explanation:
    """What is wrong, what to write instead, and where to point.

    Parameters
    ----------
    message, remedy : str
        The sentences.
    at : int, optional
        Offset in the text; the place where the parser stopped when left out.
    """

    message: str
    remedy: str
    at: int | None = None


@dataclass(frozen=True)
class Stop:
    """Where the parser stopped.

    Parameters
    ----------
    text : str
        The model text.
    token : lark.Token
        The token that does not fit; an END where the statement stops too early.
    before : tuple of lark.Token
        Tokens of the same statement before it.
    after : lark.Token or None
        The token after it.
    expected : frozenset of str
        Names of the terminals that the grammar allows there.
    """

    text: str
    token: Token
    before: tuple[Token, ...]
    after: Token | None
    expected: frozenset[str]

    @property
    def previous(self) -> Token | None:
        """The token just before."""
        return self.before[-1] if self.before else None

    @property
    def rest_of_line(self) -> str:
        """The text from the token to the end of its line."""
        return self.text[offset(self.token) :].partition("\n")[0]

    @property
    def unclosed(self) -> Token | None:
        """The innermost parenthesis that is still open, if any."""
        stack: list[Token] = []
        for token in self.before:
            if token.type == "LPAR":
                stack.append(token)
            elif token.type == "RPAR" and stack:
                stack.pop()
        return stack[-1] if stack else None

    @property
    def operator(self) -> Token | None:
        """The operator of the statement, if it came before."""
        return next((token for token in self.before if token.type in _RELATIONS), None)


def place(text: str, at: int) -> tuple[int, int]:
    """Line and column of an offset, both counted from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def explain(text: str, token: Token, expected: frozenset[str]) -> ModelSyntaxError:
    """Error that tells a person why the parser stopped at a token.

    Parameters
    ----------
    text : str
        The model text.
    token : lark.Token
        The token that the grammar does not allow.
    expected : frozenset of str
        Names of the terminals that it does allow there.

    Returns
    -------
    ModelSyntaxError
        Ready to be raised.
    """
    stop = _locate(text, token, expected)
    for family in _FAMILIES:
        found = family(stop)
        if found is not None:
            break
    else:
        found = _fallback(stop)
    line, column = place(text, offset(token) if found.at is None else found.at)
    return ModelSyntaxError(found.message, text=text, line=line, column=column, remedy=found.remedy)


def _locate(text: str, token: Token, expected: frozenset[str]) -> Stop:
    tokens = tokenize(text)
    index = next(
        i
        for i, other in enumerate(tokens)
        if other.start_pos == token.start_pos and other.type == token.type
    )
    start = index
    while start > 0 and tokens[start - 1].type != "END":
        start -= 1
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    return Stop(text, token, tokens[start:index], after, expected)


def _touching(first: Token, second: Token) -> bool:
    return first.end_pos == second.start_pos


def _foreign_character(stop: Stop) -> Explanation | None:
    if stop.token.type == "OTHER":
        return _about_character(str(stop.token))
    # Half of "=~" typed on another keyboard.
    after = stop.after
    if stop.token.type == "EQUAL" and after is not None and _LOOK_ALIKES.get(after) == "~":
        return replace(_about_character(str(after)), at=offset(after))
    return None


def _about_character(character: str) -> Explanation:
    folded = unicodedata.normalize("NFKC", character)
    ascii_form = _LOOK_ALIKES.get(character, folded)
    if ascii_form != character and ascii_form.isascii():
        kind = "quotation mark" if ascii_form in "'\"" else "character"
        return Explanation(
            f"{character!r} is a full-width or typographic {kind}, as Chinese input methods and "
            "word processors produce it.",
            f"Type {ascii_form} instead of {character}.",
        )
    if character in "'\"":
        return Explanation(
            "The quotation mark opened here is not closed on this line.",
            f"Close it with {character}, or remove it.",
        )
    if character == "`":
        return Explanation(
            "Names cannot be put in backticks.",
            "Rename the variable so that it has only letters, digits, '.' and '_', for example "
            "item_1.",
        )
    if character == "_":
        return Explanation(
            "A name cannot start with '_'.", "Rename the variable, for example _x1 to x1."
        )
    if character in "[]{}":
        return Explanation(
            f"{character!r} is not part of the model language.", "Use round parentheses ( )."
        )
    return Explanation(
        f"{character!r} is not part of the model language.",
        "Names have letters, digits, '.' and '_'; rename variables that contain anything else, "
        "for example item%1 to item_1.",
    )


def _equals_sign(stop: Stop) -> Explanation | None:
    if stop.token.type != "EQUAL":
        return None
    previous, after = stop.previous, stop.after
    if previous is not None and previous == "~":
        return Explanation(
            "'~=' is not an operator.",
            "Write '=~' to define a factor by its indicators, '~' for a regression.",
            at=offset(previous),
        )
    if previous is not None and previous in ("<", ">"):
        return Explanation(
            f"'{previous}=' is not an operator.",
            f"Write '{previous}': bounds include equality.",
            at=offset(previous),
        )
    if after is not None and after in ("<", ">"):
        return Explanation(
            f"'={after}' is not an operator.", f"Write '{after}': bounds include equality."
        )
    if after is not None and after == "~":
        return Explanation(
            "The two characters of '=~' are apart.", "Write '=~' without a blank inside."
        )
    if stop.unclosed is not None:
        return Explanation(
            "'=' cannot stand inside parentheses.",
            'Put names of parameters in quotes, as in equal("f=~x1")*x2.',
        )
    return Explanation(
        "A single '=' is not an operator.",
        "Write '=~' to define a factor by its indicators, '~' for a regression, '==' for a "
        "constraint, ':=' for a defined parameter.",
    )


def _double_sign(stop: Stop) -> Explanation | None:
    previous, sign = stop.previous, stop.token
    if previous is None:
        return None
    if sign == "*" and previous == "*" and _touching(previous, sign):
        return Explanation(
            "'**' is not an operator.", "Write a^2 for the square of a.", at=offset(previous)
        )
    if sign == ":" and previous == ":":
        return Explanation("'::' is not an operator.", "A product of two variables is written x:z.")
    return None


def _missing_operator(stop: Stop) -> Explanation | None:
    if stop.operator is not None or stop.unclosed is not None or not stop.before:
        return None
    first = stop.before[0]
    if first.lower() in BLOCK_KINDS and len(stop.before) <= 2:
        return Explanation(
            f"'{first}' opens a block only with a colon.",
            f"Write {first.lower()}: and the name of the block.",
            at=offset(first),
        )
    if stop.token.type == "END" and stop.rest_of_line.lstrip().startswith("!="):
        return Explanation(
            "'!=' is not an operator; '!' starts a comment.",
            "Constraints are written with '==', '<' or '>'.",
        )
    if stop.token.type == "END" and stop.previous is not None and stop.previous.type in _SIGNS:
        return None
    if stop.token.type == "END":
        return Explanation(
            "This statement has no operator.",
            "Every statement has one: f =~ x1 + x2, y ~ x, x1 ~~ x2, ab := a*b, a == b. Join "
            "terms that belong to the line above with '+'.",
            at=offset(first),
        )
    return None


def _never_closed(parenthesis: Token) -> Explanation:
    return Explanation(
        "This parenthesis is never closed.",
        "Add the ')' that belongs to it.",
        at=offset(parenthesis),
    )


def _incomplete(stop: Stop) -> Explanation | None:
    previous = stop.previous
    if stop.token.type not in ("END", "OPERATOR", "RELATION"):
        return None
    if stop.unclosed is not None and stop.token.type != "END" and ")" in stop.rest_of_line:
        return Explanation(
            f"'{stop.token}' cannot stand inside parentheses.",
            'Put names of parameters in quotes, as in equal("f=~x1")*x2.',
        )
    if stop.unclosed is not None:
        return _never_closed(stop.unclosed)
    if previous is None:
        return Explanation(
            f"Nothing stands on the left side of '{stop.token}'.",
            "Begin with the name of a variable, as in f =~ x1 + x2.",
        )
    if previous.type in _SIGNS:
        sign = _SIGNS[previous.type]
        where = "the statement" if stop.token.type == "END" else f"'{stop.token}'"
        verb = "ends with" if stop.token.type == "END" else "follows directly after"
        message = f"{where[0].upper()}{where[1:]} {verb} '{sign}'; something is missing there."
        return Explanation(
            message, f"Remove the '{sign}' or write what belongs after it.", at=offset(previous)
        )
    if previous.type in _RELATIONS and stop.token.type == "END":
        return Explanation(
            f"Nothing stands on the right side of '{previous}'.",
            f"Write a variable after it, as in f {previous} x1."
            if previous.type == "OPERATOR"
            else f"Write an expression after it, as in a {previous} b.",
            at=offset(previous),
        )
    if stop.token.type != "END" and stop.operator is not None:
        return Explanation(
            f"This statement has two operators, '{stop.operator}' and '{stop.token}'.",
            "Put each formula on a line of its own, or a semicolon between them; a sum must not "
            "end with '+' before the next formula.",
        )
    return None


def _two_operands(stop: Stop) -> Explanation | None:
    previous, token = stop.previous, stop.token
    if previous is None or token.type not in _OPERANDS | {"LPAR"}:
        return None
    if previous.type == "NUMBER" and token.type in ("NAME", "FUNC") and _touching(previous, token):
        return Explanation(
            f"A name cannot start with a digit: '{previous}{token}'.",
            f"Rename the variable, for example {previous}{token} to x{previous}{token}; a number "
            f"that multiplies needs its '*': {previous}*{token}.",
            at=offset(previous),
        )
    on_new_line = "\n" in stop.text[offset(previous) : offset(token)]
    if previous.type in _OPERANDS | {"RPAR"} and on_new_line and stop.unclosed is not None:
        return _never_closed(stop.unclosed)
    if previous.type in _OPERANDS | {"RPAR"}:
        joined = f"{previous}_{token}" if {previous.type, token.type} <= {"NAME", "NUMBER"} else ""
        remedy = "Write the sign that is missing, '+' between variables or '*' after a modifier."
        if joined:
            remedy += f" If it is one name, it cannot contain a blank: rename it, {joined}."
        if on_new_line:
            remedy += " A new statement needs an operator on its line."
        elif stop.operator is None:
            remedy += " Every statement needs an operator, as in f =~ x1 + x2 or y ~ x."
        return Explanation(f"There is no sign between '{previous}' and '{token}'.", remedy)
    return None


def _parentheses(stop: Stop) -> Explanation | None:
    previous = stop.previous
    if stop.token.type == "RPAR":
        if stop.unclosed is None:
            return Explanation(
                "This ')' has no '(' before it.", "Remove it, or add the '(' it belongs to."
            )
        if previous is not None and previous.type in ("LPAR", "COMMA"):
            return Explanation(
                "Something is missing before ')'.", "Write a value inside the parentheses."
            )
    if stop.token.type == "COMMA" and previous is not None and previous.type not in _SIGNS:
        if stop.unclosed is None:
            return Explanation(
                "Commas do not separate variables.", "Join variables with '+': x1 + x2."
            )
        if previous.type in ("LPAR", "COMMA"):
            return Explanation("Something is missing before ','.", "Write a value, or NA for none.")
        return Explanation(
            "Several values in parentheses need c() around them.", "Write c(first, second)."
        )
    return None


def _sign_without_left(stop: Stop) -> Explanation | None:
    sign = _SIGNS.get(stop.token.type)
    previous = stop.previous
    if sign is None or (previous is not None and previous.type in _OPERANDS | {"RPAR"}):
        return None
    where = "at the beginning" if previous is None else f"after '{previous}'"
    return Explanation(
        f"'{sign}' {where} has nothing in front of it.",
        f"Remove it, or write what belongs before '{sign}'.",
    )


def _fallback(stop: Stop) -> Explanation:
    what = "The statement ends" if stop.token.type == "END" else f"'{stop.token}' stands"
    # Where an operand may stand, so may a leading sign: not worth a mention.
    unsaid = _SIGNS.keys() if "NAME" in stop.expected else ()
    words = [
        word for name, word in _PLAIN_WORDS.items() if name in stop.expected and name not in unsaid
    ]
    expected = " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
    return Explanation(
        f"{what} where one of these is expected: {expected}.",
        "A statement looks like f =~ x1 + x2, y ~ a*x, ab := a*b.",
    )


_FAMILIES: tuple[Callable[[Stop], Explanation | None], ...] = (
    _foreign_character,
    _equals_sign,
    _double_sign,
    _missing_operator,
    _incomplete,
    _two_operands,
    _parentheses,
    _sign_without_left,
)
