"""Answers given in words: from "strongly agree" or "非常同意" to a point of the scale."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from sqvalid.errors import SurveyError

__all__ = [
    "TextScale",
    "answer_codes",
    "carries_number",
    "is_no_answer",
    "plain_words",
    "word_scales",
]

_SHOWN = 6
# "5 - agree", "5. agree", "(5) agree", "5=agree", "5（同意）", "5分"
_NUMBER_FIRST = re.compile(
    r"^[(\[]?([+-]?\d+(?:[.,]\d+)?)[)\]]?\s*(?:[-–—.:=、,)]\s*|\(|分\b|分$|\s|$)"
)
_NUMBER_LAST = re.compile(r"^\D*?[^\W\d].*?[(\[]\s*([+-]?\d+)\s*[)\]]$")


@dataclass(frozen=True)
class TextScale:
    """The words of one answer scale in one language.

    Parameters
    ----------
    family : str
        What is asked: agreement, satisfaction, ...
    language : str
        Code of the language.
    points : tuple of frozenset of str
        Words of each point, lowest first, in the form :func:`plain_words` gives.
    """

    family: str
    language: str
    points: tuple[frozenset[str], ...]

    @property
    def rank(self) -> Mapping[str, int]:
        """Word -> place of its point, counted from 0."""
        return {word: i for i, words in enumerate(self.points) for word in words}


def plain_words(text: str) -> str:
    """Return an answer without what does not count: case, widths, marks at the ends, blanks.

    Parameters
    ----------
    text : str
        A cell.

    Returns
    -------
    str
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    folded = folded.replace("’", "'").replace("‘", "'").replace("`", "'")
    return re.sub(r"\s+", " ", folded).strip(' .,;:!?。，；：！？、"“”')


@cache
def _table() -> tuple[tuple[TextScale, ...], frozenset[str]]:
    source = resources.files(__package__).joinpath("answer_words.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(source)
    scales = tuple(
        TextScale(
            part["family"],
            part["language"],
            tuple(frozenset(plain_words(word) for word in words) for words in part["points"]),
        )
        for part in raw["scale"]
    )
    return scales, frozenset(plain_words(word) for word in raw["no_answer"])


def word_scales() -> tuple[TextScale, ...]:
    """Return the answer scales whose words are known."""
    return _table()[0]


def is_no_answer(text: str) -> bool:
    """Tell whether a cell says that there is no answer ("don't know", "不适用")."""
    return plain_words(text) in _table()[1]


def carries_number(text: str) -> bool:
    """Tell whether an answer has its number beside its words ("5 - agree"), or is one."""
    return _leading_number(text) is not None


def _leading_number(text: str) -> float | None:
    """The number an answer carries beside its words; None when it has none."""
    plain = unicodedata.normalize("NFKC", text).strip()
    found = _NUMBER_FIRST.match(plain)
    if found is not None:
        # What follows is words: "2-3" and "2024-05-01" are not answers with a number.
        rest = plain[found.end() :].strip(" )]")
        if rest and not any(character.isalpha() for character in rest):
            return None
    else:
        found = _NUMBER_LAST.match(plain)
    return None if found is None else float(found.group(1).replace(",", "."))


def _by_number(texts: Iterable[str]) -> dict[str, float] | None:
    codes: dict[str, float] = {}
    for text in texts:
        number = _leading_number(text)
        if number is None:
            return None
        codes[text] = number
    words = {plain_words(t) for t in codes}
    # Two different texts with one number would be two answers made one.
    return codes if len(set(codes.values())) == len(words) else None


def _with_ends(scale: TextScale, anchors: Sequence[Sequence[str]]) -> list[Mapping[str, int]]:
    """Ranks of a scale, together with the anchors of an instrument where they fit it.

    Anchors say which way the scale runs: where they name the highest point first, so it runs.
    """
    rank = dict(scale.rank)
    last = len(scale.points) - 1
    for pair in anchors:
        low, high = plain_words(pair[0]), plain_words(pair[-1])
        if rank.get(low, 0) > rank.get(high, last):
            rank = {word: last - place for word, place in rank.items()}
    for pair in anchors:
        ends = {plain_words(pair[0]): 0, plain_words(pair[-1]): last}
        if all(rank.get(word, place) == place for word, place in ends.items()):
            rank |= ends
    return [rank]


def _fits(rank: Mapping[str, int], texts: Iterable[str]) -> bool:
    """Whether a scale has all the texts, no two of them for the same point."""
    words = {plain_words(text) for text in texts}
    return words <= set(rank) and len({rank[word] for word in words}) == len(words)


def _candidates(
    texts: Iterable[str], n_points: int | None, anchors: Sequence[Sequence[str]]
) -> list[tuple[Mapping[str, int], int]]:
    """Ranks that have all the texts, with the number of points of their scale."""
    own: list[tuple[Mapping[str, int], int]] = []
    if n_points is not None:
        for words in anchors:
            places = range(n_points) if len(words) == n_points else (0, n_points - 1)
            rank = {plain_words(w): i for w, i in zip(words, places, strict=True)}
            if _fits(rank, texts):
                own.append((rank, n_points))
    if own:
        return own
    return [
        (rank, len(scale.points))
        for scale in word_scales()
        if n_points in (None, len(scale.points))
        for rank in _with_ends(scale, anchors)
        if _fits(rank, texts)
    ]


def _decided(
    found: Sequence[tuple[Mapping[str, int], int]], texts: Iterable[str]
) -> dict[str, int] | None:
    """The place of each text, when all candidates agree on it."""
    readings = [{text: rank[plain_words(text)] for text in texts} for rank, _ in found]
    return readings[0] if readings and all(r == readings[0] for r in readings) else None


def answer_codes(
    texts: Mapping[str, Sequence[str]],
    scales: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    anchors: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType({}),
    answers: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, dict[str, float]]:
    """Find the number that each text answer stands for.

    Parameters
    ----------
    texts : mapping of str to sequence of str
        Item to the different texts in its column; answers that say "don't know" left out.
    scales : mapping of str to (float, float)
        Lowest and highest answer of an item, where known. Where not, the lowest point is 1.
    anchors : mapping of str to sequence of sequence of str
        Words of an item's scale, one sequence per language: both ends, or all points.
    answers : mapping of str to float
        Text to number as the user says; goes before everything else.

    Returns
    -------
    dict of str to dict of str to float
        Item to text to number.

    Raises
    ------
    SurveyError
        Texts of an item that no scale has, or that several scales have at different points.

    Notes
    -----
    An item whose texts several scales have at different points (5 or 7 points?) is read as the
    items around it are: among the scales that fit all items with the same ends, otherwise
    among those that the words of these items fill.
    """
    own = {plain_words(text): float(code) for text, code in answers.items()}
    result: dict[str, dict[str, float]] = {}
    open_items: dict[str, list[str]] = {}
    for item, given in texts.items():
        told = {text: own[plain_words(text)] for text in given if plain_words(text) in own}
        left = [text for text in given if text not in told]
        numbered = _by_number(given) if not told else None
        if numbered is not None:
            result[item] = numbered
        elif not left:
            result[item] = told
        elif told:
            raise _not_understood(item, left)
        else:
            open_items[item] = left
    groups: dict[tuple[float, float] | None, list[str]] = {}
    for item in open_items:
        groups.setdefault(scales.get(item), []).append(item)
    for ends, items in groups.items():
        low = 1.0 if ends is None else ends[0]
        for item in items:
            places = _read(item, items, open_items, ends, anchors)
            result[item] = {text: low + place for text, place in places.items()}
    return {item: result[item] for item in texts}


def _n_points(ends: tuple[float, float] | None) -> int | None:
    if ends is None or (ends[1] - ends[0]) % 1:
        return None
    return int(ends[1] - ends[0]) + 1


def _read(
    item: str,
    items: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    ends: tuple[float, float] | None,
    anchors: Mapping[str, Sequence[Sequence[str]]],
) -> dict[str, int]:
    own = anchors.get(item, ())
    n_points = _n_points(ends)
    found = _candidates(texts[item], n_points, own)
    if not found:
        raise _not_understood(item, texts[item], n_points, own)
    places = _decided(found, texts[item])
    if places is not None:
        return places
    # What the item alone leaves open, the items around it that fit the same scale may tell.
    around = {
        id(rank): {
            plain_words(text)
            for other in items
            if _fits(rank, texts[other])
            for text in texts[other]
        }
        for rank, _ in found
    }
    for keep in (
        lambda rank, n: all(_fits(rank, texts[other]) for other in items),
        lambda rank, n: len({rank[word] for word in around[id(rank)]}) == n,
    ):
        kept = [(rank, n) for rank, n in found if keep(rank, n)]
        if kept and len({n for _, n in kept}) == 1:
            places = _decided(kept, texts[item])
            if places is not None:
                return places
        found = kept or found
    shown = ", ".join(map(repr, sorted(texts[item])[:_SHOWN]))
    points = sorted({n for _, n in found})
    raise SurveyError(
        f"Item {item!r} has answers in words that fit more than one scale ({shown}; scales of "
        f"{' or '.join(map(str, points))} points).",
        remedy="Say which numbers they stand for, e.g. answers={'agree': 5, ...}, or give the "
        "scale, e.g. scale=(1, 7).",
    )


def _not_understood(
    item: str,
    texts: Sequence[str],
    n_points: int | None = None,
    anchors: Sequence[Sequence[str]] = (),
) -> SurveyError:
    known = {word for scale in word_scales() for word in scale.rank}
    known |= {plain_words(word) for words in anchors for word in words}
    strange = [t for t in texts if plain_words(t) not in known] or list(texts)
    shown = ", ".join(repr(text[:60]) for text in strange[:_SHOWN])
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    scale = "" if n_points is None else f" of {n_points} points"
    return SurveyError(
        f"Item {item!r} has cells that are not numbers, and whose words are no scale{scale} that "
        f"is known: {shown}{more}.",
        remedy="Say which numbers they stand for, e.g. answers={'rather good': 4, ...}, or "
        "declare them as missing_codes.",
    )
