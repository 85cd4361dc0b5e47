"""Item, Dimension, Instrument: what a questionnaire is, and the models it implies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from sqvalid.errors import InstrumentError, UnsupportedError, check_choice

__all__ = ["Battery", "Dimension", "Instrument", "Item", "Measurement", "ModelKind"]

Battery = Literal["expectation", "perception", "importance", "outcome"]
Measurement = Literal["reflective", "composite", "causal"]
WordingStatus = Literal["paraphrase", "licensed_original", "adapted"]
TranslationStatus = Literal["not_translated", "translated", "back_translated", "validated"]
ModelKind = Literal["correlated", "one_factor", "second_order"]


@dataclass(frozen=True)
class Item:
    """One question.

    Parameters
    ----------
    id : str
        Its name in data and models.
    dimension : str
        Id of the dimension it belongs to.
    battery : {"expectation", "perception", "importance", "outcome"}
        What the respondent is asked about the statement.
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
        Language code to the words at the two ends.
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
    anchors: Mapping[str, tuple[str, str]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "wording", MappingProxyType(dict(self.wording)))
        object.__setattr__(self, "anchors", MappingProxyType(dict(self.anchors)))


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
    """

    id: str
    name: Mapping[str, str]
    measurement: Measurement = "reflective"
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", MappingProxyType(dict(self.name)))


@dataclass(frozen=True)
class Instrument:
    """A questionnaire: its items, its dimensions, and where it comes from.

    Parameters
    ----------
    id : str
        Short name, e.g. ``"servqual"``.
    name : mapping of str to str
        Language code to full name.
    source : str
        Where it was published.
    dimensions : tuple of Dimension
        In the order in which they are reported.
    items : tuple of Item
        In the order of the questionnaire.
    note : str
        What a user should know before using it; may be empty.

    Raises
    ------
    InstrumentError
        An id that stands twice, an item of an unknown dimension, a dimension without items,
        or a name used both for an item and for a dimension.
    """

    id: str
    name: Mapping[str, str]
    source: str
    dimensions: tuple[Dimension, ...]
    items: tuple[Item, ...]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", MappingProxyType(dict(self.name)))
        object.__setattr__(self, "dimensions", tuple(self.dimensions))
        object.__setattr__(self, "items", tuple(self.items))
        dimension_ids = [dimension.id for dimension in self.dimensions]
        item_ids = [item.id for item in self.items]
        for what, ids in (("dimension", dimension_ids), ("item", item_ids)):
            for name in ids:
                if ids.count(name) > 1:
                    raise InstrumentError(
                        f"Instrument {self.id!r} has {what} {name!r} more than once.",
                        remedy="Give each its own id.",
                    )
        for item in self.items:
            if item.dimension not in dimension_ids:
                raise InstrumentError(
                    f"Instrument {self.id!r}: item {item.id!r} names dimension "
                    f"{item.dimension!r}, which is not defined.",
                    remedy=f"Dimensions there are: {', '.join(dimension_ids)}.",
                )
            if item.id in dimension_ids:
                raise InstrumentError(
                    f"Instrument {self.id!r}: {item.id!r} is both an item and a dimension.",
                    remedy="Rename one of them; a model could not tell them apart.",
                )
        used = {item.dimension for item in self.items}
        for name in dimension_ids:
            if name not in used:
                raise InstrumentError(
                    f"Instrument {self.id!r}: dimension {name!r} has no items.",
                    remedy="Give it items or leave it out.",
                )

    def __repr__(self) -> str:
        return f"<Instrument {self.id}: {len(self.items)} items, {len(self.dimensions)} dimensions>"

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids of all items, in questionnaire order."""
        return tuple(item.id for item in self.items)

    @property
    def batteries(self) -> tuple[str, ...]:
        """Batteries the items belong to, in questionnaire order."""
        return tuple(dict.fromkeys(item.battery for item in self.items))

    def item(self, item_id: str) -> Item:
        """Return the item with this id; OptionError lists the ids there are."""
        check_choice("item_id", item_id, self.item_ids)
        return next(item for item in self.items if item.id == item_id)

    def dimension(self, dimension_id: str) -> Dimension:
        """Return the dimension with this id; OptionError lists the ids there are."""
        check_choice("dimension_id", dimension_id, [d.id for d in self.dimensions])
        return next(d for d in self.dimensions if d.id == dimension_id)

    def items_of(self, dimension: str, battery: str | None = None) -> tuple[str, ...]:
        """Return the ids of the items of a dimension.

        Parameters
        ----------
        dimension : str
            Its id.
        battery : str, optional
            Only the items of this battery; all when None.

        Returns
        -------
        tuple of str
            In questionnaire order; empty when the dimension has no items in the battery.

        Raises
        ------
        OptionError
            No such dimension, or no such battery.
        """
        check_choice("dimension", dimension, [d.id for d in self.dimensions])
        if battery is not None:
            check_choice("battery", battery, get_args(Battery))
        return tuple(
            item.id
            for item in self.items
            if item.dimension == dimension and battery in (None, item.battery)
        )

    def dimension_items(self, *batteries: str) -> dict[str, tuple[str, ...]]:
        """Return dimension id -> item ids within some batteries.

        Parameters
        ----------
        *batteries : str
            Which batteries; "perception" and "outcome" when none is named.

        Returns
        -------
        dict of str to tuple of str
            Dimensions without an item in these batteries are left out.

        Raises
        ------
        OptionError
            No such battery.
        """
        wanted = batteries or ("perception", "outcome")
        for battery in wanted:
            check_choice("battery", battery, get_args(Battery))
        found = {
            dimension.id: tuple(
                item.id
                for item in self.items
                if item.dimension == dimension.id and item.battery in wanted
            )
            for dimension in self.dimensions
        }
        return {dimension: ids for dimension, ids in found.items() if ids}

    def model(
        self,
        kind: ModelKind = "correlated",
        battery: Battery = "perception",
        *,
        general: str = "SQ",
    ) -> str:
        """Return the measurement model the instrument implies, as model text.

        Parameters
        ----------
        kind : {"correlated", "one_factor", "second_order"}
            One factor per dimension; one for all items; or one per dimension with a general
            factor above them.
        battery : {"perception", "expectation", "importance", "outcome"}
            Whose items to use.
        general : str
            Name of the general factor.

        Returns
        -------
        str
            One line per factor, in the language of lavaan.

        Raises
        ------
        OptionError
            No such kind or battery.
        InstrumentError
            The battery has no items, or `general` is already the name of an item or dimension.
        UnsupportedError
            A dimension is composite or causal: its items do not reflect a factor.

        Examples
        --------
        >>> from sqvalid.instruments import load_instrument
        >>> print(load_instrument("servqual").model("second_order").splitlines()[-1])
        SQ =~ TAN + REL + RES + ASS + EMP
        """
        check_choice("kind", kind, get_args(ModelKind))
        check_choice("battery", battery, get_args(Battery))
        members = self.dimension_items(battery)
        if not members:
            raise InstrumentError(
                f"Instrument {self.id!r} has no {battery} items.",
                remedy=f"Batteries there are: {', '.join(self.batteries)}.",
            )
        for name in members:
            measurement = self.dimension(name).measurement
            if measurement != "reflective":
                raise UnsupportedError(
                    f"Dimension {name!r} of instrument {self.id!r} is {measurement}: a "
                    "reflective measurement model does not describe it.",
                    remedy="Write the model text yourself, e.g. as a MIMIC model with at least "
                    "two reflective outcomes.",
                )
        if kind != "correlated" and general in {*members, *self.item_ids}:
            raise InstrumentError(
                f"general={general!r} is already an item or a dimension of {self.id!r}.",
                remedy="Choose another name for the general factor.",
            )
        if kind == "one_factor":
            everything = [item for ids in members.values() for item in ids]
            return f"{general} =~ {' + '.join(everything)}\n"
        lines = [f"{name} =~ {' + '.join(ids)}" for name, ids in members.items()]
        if kind == "second_order":
            lines.append(f"{general} =~ {' + '.join(members)}")
        return "\n".join(lines) + "\n"
