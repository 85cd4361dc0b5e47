"""Item, Dimension, Structure: what an instrument is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

__all__ = [
    "Battery",
    "Dimension",
    "Item",
    "Measurement",
    "Role",
    "Structure",
    "TranslationStatus",
    "WordingStatus",
]

Battery = Literal["expectation", "desired", "adequate", "perception", "importance", "outcome"]
Measurement = Literal["reflective", "composite", "causal"]
Role = Literal["quality", "related", "outcome"]
WordingStatus = Literal["paraphrase", "licensed_original", "adapted"]
TranslationStatus = Literal["not_translated", "translated", "back_translated", "validated"]


@dataclass(frozen=True)
class Item:
    """One question.

    Parameters
    ----------
    id : str
        Its name in data and models.
    dimension : str
        Id of the dimension it belongs to.
    battery : {"expectation", "desired", "adequate", "perception", "importance", "outcome"}
        What the respondent is asked about the statement. ``desired`` and ``adequate`` are the
        two levels of expectation between which the zone of tolerance lies.
    wording : mapping of str to str
        Language code to sentence; at least one language.
    wording_status : {"paraphrase", "licensed_original", "adapted"}
        Published validity evidence belongs to the original wording only.
    translation_status : {"not_translated", "translated", "back_translated", "validated"}
        How the other languages came about.
    reverse : bool
        A high answer means a low standing.
    scale_min, scale_max : float
        The lowest and the highest answer.
    anchors : mapping of str to tuple of str
        Language code to words: those at the two ends, or one for every point of the scale.
    statement : str
        What joins the items that ask about the same statement in several batteries, e.g.
        ``"1"`` for E1 and P1; empty where there is no such pair.
    facets : tuple of str
        What the item is about inside its dimension; for reading, models do not use it.
    source : str
        Where the item comes from, if not where the instrument does.
    """

    id: str
    dimension: str
    battery: Battery
    wording: Mapping[str, str]
    wording_status: WordingStatus
    translation_status: TranslationStatus
    reverse: bool
    scale_min: float
    scale_max: float
    anchors: Mapping[str, tuple[str, ...]]
    statement: str = ""
    facets: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "wording", MappingProxyType(dict(self.wording)))
        anchors = {lang: tuple(words) for lang, words in self.anchors.items()}
        object.__setattr__(self, "anchors", MappingProxyType(anchors))
        object.__setattr__(self, "facets", tuple(self.facets))

    @property
    def n_points(self) -> int | None:
        """How many answers the scale has in steps of one; None when its ends are not whole."""
        width = self.scale_max - self.scale_min
        return int(width) + 1 if float(self.scale_min).is_integer() and width % 1 == 0 else None


@dataclass(frozen=True)
class Dimension:
    """What a set of items stands for.

    Parameters
    ----------
    id : str
        Its name in models.
    name : mapping of str to str
        Language code to name.
    measurement : {"reflective", "composite", "causal"}
        Reflective: the items reflect it. Composite: it is made of them. Causal: they bring
        it about. Alpha, omega, AVE and HTMT have a meaning for reflective ones only.
    reason : str
        Why it is held to be of that kind; may be empty for reflective ones.
    role : {"quality", "related", "outcome"}
        Part of the quality that a general factor stands for; a construct beside it, such as
        price fairness; or what follows from it, such as satisfaction.
    asked_of : mapping of str to str
        Language code to who is asked, where not everybody is: answers of the others are
        missing by design. Empty when everybody is asked.
    """

    id: str
    name: Mapping[str, str]
    measurement: Measurement = "reflective"
    reason: str = ""
    role: Role = "quality"
    asked_of: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", MappingProxyType(dict(self.name)))
        object.__setattr__(self, "asked_of", MappingProxyType(dict(self.asked_of)))


@dataclass(frozen=True)
class Structure:
    """A way to put dimensions together into broader ones.

    Parameters
    ----------
    id : str
        Its name.
    source : str
        Who puts them together so.
    groups : mapping of str to tuple of str
        Broader dimension to the dimensions it is made of. One that stands alone is its own
        group.
    names : mapping of str to mapping of str to str
        Broader dimension to language code to name.
    """

    id: str
    source: str
    groups: Mapping[str, tuple[str, ...]]
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        groups = {name: tuple(members) for name, members in self.groups.items()}
        names = {name: MappingProxyType(dict(words)) for name, words in self.names.items()}
        object.__setattr__(self, "groups", MappingProxyType(groups))
        object.__setattr__(self, "names", MappingProxyType(names))
