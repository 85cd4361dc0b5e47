"""Hypotheses in words: what may be written, and what it claims.

A statement is an arrow between two constructs and a few words around it. The grammar is small
on purpose: each form has one test, and what does not fit a form is refused with the list of
forms, never guessed.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqvalid.errors import InputError

__all__ = [
    "DEFAULT_FAMILY",
    "FORMS",
    "Hypothesis",
    "Kind",
    "Sign",
    "read_hypotheses",
    "resolve_name",
]

Kind = Literal[
    "path", "correlation", "mediation", "comparison", "strongest", "equivalence", "groups",
    "moderation",
]  # fmt: skip
Sign = Literal["positive", "negative", "nonzero"]

DEFAULT_FAMILY = "hypotheses"

FORMS = (
    "SQ -> SAT, positive",
    "PF -> SAT, positive, given SQ",
    "SQ -> SAT -> RPI, positive",
    "SAT mediates SQ -> RPI",
    "SQ does not mediate SAT -> RPI",
    "SAT -> RPI exceeds SQ -> RPI",
    "REL is the strongest predictor of SAT",
    "SQ -> RPI is within .10 of zero",
    "paths equal across branch",
    "SQ -> SAT equal across branch",
    "SQ <-> SAT, positive",
    "BRAND moderates SQ -> SAT",
)
"""One example of everything that may be written."""

_SIGNS: Mapping[str, Sign] = {
    "positive": "positive", "positively": "positive", "+": "positive", "> 0": "positive",
    ">0": "positive", "正向": "positive", "正": "positive", "正相关": "positive",
    "negative": "negative", "negatively": "negative", "-": "negative", "< 0": "negative",
    "<0": "negative", "负向": "negative", "负": "negative", "负相关": "negative",
    "nonzero": "nonzero", "non-zero": "nonzero", "any direction": "nonzero", "非零": "nonzero",
}  # fmt: skip
# What researchers of services call the constructs; used where a model has one of the names.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "SQ": ("quality", "service quality", "perceived quality", "质量", "服务质量", "感知质量"),
    "QUAL": ("quality", "service quality", "perceived quality", "质量", "服务质量", "感知质量"),
    "SAT": ("satisfaction", "customer satisfaction", "满意", "满意度", "顾客满意"),
    "RPI": ("repurchase", "repurchase intention", "重购", "重购意愿", "再购意愿"),
    "RI": ("repurchase", "repurchase intention", "重购", "重购意愿", "再购意愿"),
    "WOM": ("word of mouth", "口碑"),
    "LOY": ("loyalty", "忠诚", "忠诚度"),
    "PF": ("price", "price fairness", "价格公平"),
    "IMG": ("image", "形象"),
    "TRU": ("trust", "信任"),
    "VAL": ("value", "perceived value", "价值", "感知价值"),
    "TAN": ("tangibles", "有形性"),
    "REL": ("reliability", "可靠性"),
    "RES": ("responsiveness", "响应性"),
    "ASS": ("assurance", "保证性"),
    "EMP": ("empathy", "移情性"),
}


@dataclass(frozen=True)
class Hypothesis:
    """One claim about a model.

    Parameters
    ----------
    id : str
        H1, H2, ...
    statement : str
        As the researcher wrote it.
    kind : str
        Which form it has.
    paths : tuple of tuple of str
        Chains of construct names: one pair for a path; source, mediator, target for mediation;
        two pairs for a comparison; none for "paths equal across".
    sign : {"positive", "negative", "nonzero"}
        Expected direction.
    given : tuple of str
        Predictors that must be held constant.
    bound : float
        Half-width of the region of equivalence, standardised; NaN otherwise.
    group : str
        Column whose groups are compared; empty otherwise.
    denied : bool
        Whether the claim is that there is no such effect.
    family : str
        Hypotheses whose error rate is controlled together.
    smallest : float
        Smallest standardised effect of interest; NaN when none was declared.
    """

    id: str
    statement: str
    kind: Kind
    paths: tuple[tuple[str, ...], ...]
    sign: Sign = "nonzero"
    given: tuple[str, ...] = ()
    bound: float = math.nan
    group: str = ""
    denied: bool = False
    family: str = DEFAULT_FAMILY
    smallest: float = math.nan


_ARROW = r"\s*->\s*"
_NUMBER = r"(\d*\.?\d+)"
_WITHIN = re.compile(
    rf"^(.+?)\s+(?:is\s+)?(?:within\s+(?:\+-|\+/-|±)?\s*{_NUMBER}(?:\s+of\s+(?:zero|0))?"
    rf"|negligible\s*\(\s*{_NUMBER}\s*\))$",
    re.IGNORECASE,
)
_EXCEEDS = re.compile(
    r"^(.+?)\s+(?:exceeds|is\s+(?:stronger|larger|greater)\s+than|大于|强于)\s+(.+)$", re.IGNORECASE
)
_MEDIATES = re.compile(
    r"^(.+?)\s+(does\s+not\s+mediate|mediates|不中介|中介)\s+(.+)$", re.IGNORECASE
)
_MODERATES = re.compile(r"^(.+?)\s+(moderates|调节)\s+(.+)$", re.IGNORECASE)
_STRONGEST = re.compile(
    r"^(.+?)\s+is\s+the\s+strongest\s+(?:predictor|dimension|driver)\s+of\s+(.+)$", re.IGNORECASE
)
_ACROSS = re.compile(
    r"^(?:(?:all\s+)?(?P<all>paths)|(?P<one>.+?))\s+(?:are\s+|is\s+)?equal\s+across\s+(?P<by>.+)$",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"^(?:given|beyond|controlling\s+for|控制)\s+(.+)$", re.IGNORECASE)
_LIST = re.compile(r"\s*(?:,|\band\b|\+|、|和)\s*")
# "SQ -> RPI given SAT" without a comma before "given".
_TRAILING = re.compile(r"\s+(?=(?:given|beyond|controlling\s+for)\s)", re.IGNORECASE)
_BEFORE_SIGN = re.compile(r"\s+(?=(?:>|<)\s*0$)")


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).strip().rstrip(".。;；").strip()
    text = re.sub(r"[→⟶⇒]|=>|-->", "->", text)
    text = re.sub(r"[↔⟷]|<-->|~~", "<->", text)
    return re.sub(r"\s+", " ", text.replace("−", "-").replace("–", "-"))


def read_hypotheses(
    statements: Mapping[str, str | Mapping[str, Any]],
    *,
    smallest: float | None = None,
    family: str = DEFAULT_FAMILY,
) -> tuple[Hypothesis, ...]:
    """Read hypotheses as they are written in a paper.

    Parameters
    ----------
    statements : mapping of str to str or mapping
        Id to the words, or to ``{"says": words, "family": ..., "smallest": ...}``. What may be
        written: :data:`FORMS`. Arrows may be ``->`` or ``→``; English and Chinese words.
    smallest : float, optional
        Smallest standardised effect of interest, for those that do not name their own.
    family : str
        Of those that do not name their own.

    Returns
    -------
    tuple of Hypothesis
        In the order given; constructs are named as written.

    Raises
    ------
    InputError
        Words that fit none of the forms, an effect size out of range, an unknown key.

    Examples
    --------
    >>> from sqvalid.hypotheses import read_hypotheses
    >>> h1, h3 = read_hypotheses({"H1": "quality -> satisfaction, positive",
    ...                           "H3": "satisfaction mediates quality -> repurchase"})
    >>> h1.kind, h1.paths, h1.sign
    ('path', (('quality', 'satisfaction'),), 'positive')
    >>> h3.kind, h3.paths
    ('mediation', (('quality', 'satisfaction', 'repurchase'),))
    """
    found = []
    for key, entry in statements.items():
        words: Any = entry
        own: dict[str, Any] = {"family": family, "smallest": smallest}
        if isinstance(entry, Mapping):
            unknown = [name for name in entry if name not in ("says", "family", "smallest")]
            if unknown or "says" not in entry:
                wrong = f"unknown key {unknown[0]!r}" if unknown else "the key 'says' is missing"
                raise InputError(
                    f"Hypothesis {key!r}: {wrong}.",
                    remedy="Keys are says (the words), family and smallest.",
                )
            words = entry["says"]
            own |= {name: entry[name] for name in ("family", "smallest") if name in entry}
        if not isinstance(words, str) or not words.strip():
            raise InputError(f"Hypothesis {key!r} has no words.", remedy=_forms())
        size = _effect_size(key, own["smallest"])
        parts = _parse(str(key), _plain(words))
        found.append(
            Hypothesis(
                id=str(key),
                statement=words.strip(),
                family=str(own["family"]),
                smallest=size,
                **parts,
            )
        )
    return tuple(found)


def _forms() -> str:
    return "What may be written: " + "; ".join(FORMS) + "."


def _effect_size(key: object, value: Any) -> float:
    if value is None:
        return math.nan
    try:
        size = float(value)
    except (TypeError, ValueError):
        size = math.nan
    if not 0.0 < size < 1.0:
        raise InputError(
            f"Hypothesis {key!r}: the smallest effect of interest {value!r} is not between 0 "
            "and 1.",
            remedy="Give a standardised coefficient such as 0.10.",
        )
    return size


def _chain(key: str, words: str, *, least: int = 2, most: int = 2) -> tuple[str, ...]:
    names = tuple(name.strip() for name in re.split(_ARROW, words.strip()))
    if not least <= len(names) <= most or not all(names) or "<" in words:
        raise InputError(f"Hypothesis {key!r}: {words!r} is not a path.", remedy=_forms())
    if len(set(names)) < len(names):
        raise InputError(
            f"Hypothesis {key!r}: {words!r} comes back to where it starts.", remedy=_forms()
        )
    return names


def _parse(key: str, words: str) -> dict[str, Any]:
    """Return the fields that the words give."""
    head, sign, given = _split_tail(key, words)
    found = _special(key, head, sign)
    if found is None:
        if "<->" in head:
            names = tuple(part.strip() for part in head.split("<->"))
            if len(names) != 2 or not all(names):
                raise InputError(f"Hypothesis {key!r}: {head!r} is not a pair.", remedy=_forms())
            found = {"kind": "correlation", "paths": (names,)}
        else:
            chain = _chain(key, head, most=3)
            kind: Kind = "path" if len(chain) == 2 else "mediation"
            found = {"kind": kind, "paths": (chain,)}
    if given and found["kind"] not in ("path", "equivalence"):
        raise InputError(
            f"Hypothesis {key!r}: only a path can be claimed given other predictors.",
            remedy=_forms(),
        )
    if sign is not None:
        found["sign"] = sign
    return found | {"given": given}


def _split_tail(key: str, words: str) -> tuple[str, Sign | None, tuple[str, ...]]:
    """Take direction and control variables off the end."""
    parts = [part.strip() for part in words.split(",")]
    pieces = [piece for part in parts for piece in _TRAILING.split(part)]
    pieces = [piece for part in pieces for piece in _BEFORE_SIGN.split(part)]
    head, sign, given = pieces[0], None, []
    in_list = False
    for piece in pieces[1:]:
        control = _GIVEN.match(piece)
        if piece.casefold() in _SIGNS:
            sign, in_list = _SIGNS[piece.casefold()], False
        elif control is not None:
            given += [name for name in _LIST.split(control[1]) if name]
            in_list = True
        elif in_list and piece:
            given += [name for name in _LIST.split(piece) if name]
        else:
            raise InputError(f"Hypothesis {key!r}: {piece!r} is not understood.", remedy=_forms())
    return head, sign, tuple(given)


def _special(key: str, head: str, sign: Sign | None) -> dict[str, Any] | None:
    """Fields of a statement with a verb; None for a bare arrow."""
    if match := _WITHIN.match(head):
        bound = float(match[2] or match[3])
        if not 0.0 < bound < 1.0:
            raise InputError(
                f"Hypothesis {key!r}: the bound {bound:g} is not between 0 and 1.",
                remedy="It is a standardised coefficient such as .10.",
            )
        _no_sign(key, sign)
        return {"kind": "equivalence", "paths": (_chain(key, match[1]),), "bound": bound}
    if match := _ACROSS.match(head):
        _no_sign(key, sign)
        paths = () if match["all"] else (_chain(key, match["one"]),)
        return {"kind": "groups", "paths": paths, "group": match["by"].strip()}
    if match := _STRONGEST.match(head):
        _no_sign(key, sign)
        ends = (match[1].strip(), match[2].strip())
        return {"kind": "strongest", "paths": (ends,), "sign": "positive"}
    if match := _MEDIATES.match(head):
        source, target = _chain(key, match[3])
        denied = "not" in match[2].casefold() or match[2] == "不中介"
        chain = (source, match[1].strip(), target)
        return {"kind": "mediation", "paths": (chain,), "denied": denied}
    if match := _MODERATES.match(head):
        pair = _chain(key, match[3])
        return {"kind": "moderation", "paths": ((match[1].strip(), *pair),)}
    if match := _EXCEEDS.match(head):
        _no_sign(key, sign)
        pairs = (_chain(key, match[1]), _chain(key, match[2]))
        return {"kind": "comparison", "paths": pairs, "sign": "positive"}
    return None


def _no_sign(key: str, sign: Sign | None) -> None:
    if sign is not None:
        raise InputError(
            f"Hypothesis {key!r}: a direction does not belong to this form.", remedy=_forms()
        )


def resolve_name(
    word: str, known: Iterable[str], names: Mapping[str, str], *, key: str = ""
) -> str:
    """Return the variable of a model that a construct's name in words means.

    Parameters
    ----------
    word : str
        As in the statement.
    known : iterable of str
        Variables of the model.
    names : mapping of str to str
        What the researcher calls them: words to variable.
    key : str
        Id of the hypothesis, for the message.

    Returns
    -------
    str

    Raises
    ------
    InputError
        The word means none, or more than one, of the variables.
    """
    variables = list(dict.fromkeys(known))
    if word in variables:
        return word
    plain = _folded(word)
    called: dict[str, list[str]] = {}
    for words, variable in names.items():
        if variable in variables:
            called.setdefault(_folded(words), []).append(variable)
    if len(set(called.get(plain, []))) == 1:
        return called[plain][0]
    guesses = {name for name in variables if _folded(name) == plain}
    guesses |= set(called.get(plain, []))
    if not guesses:
        guesses = {name for name in variables if plain in map(_folded, _USUAL.get(name, ()))}
    if len(guesses) == 1:
        return guesses.pop()
    if len(guesses) > 1:
        raise InputError(
            f"Hypothesis {key!r}: {word!r} may be {' or '.join(map(repr, sorted(guesses)))}.",
            remedy="Write the name that the model text has.",
        )
    near = difflib.get_close_matches(word, variables, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(
        f"Hypothesis {key!r}: {word!r} is not in the model.{hint}",
        remedy=f"The model has {', '.join(variables)}; under names say which of them is meant by "
        f"{word!r}.",
    )


def _folded(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", text)).strip().casefold()
