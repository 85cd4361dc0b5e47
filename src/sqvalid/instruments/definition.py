"""Instrument: what a questionnaire is, and the models it implies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import get_args

from sqvalid.errors import InstrumentError, check_choice
from sqvalid.instruments.implied_models import GAPS, GapKind, ModelKind, measurement_model
from sqvalid.instruments.parts import Battery, Dimension, Item, Structure

__all__ = ["Instrument"]


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
    structures : tuple of Structure
        Ways to put the dimensions together; the first is the one that models use by default.
    sums : mapping of str to float
        Battery to the sum that every respondent's answers to it have, e.g. 100 points shared
        out over the dimensions.

    Raises
    ------
    InstrumentError
        An id that stands twice, an item of an unknown dimension, a dimension without items,
        a name used both for an item and for a dimension, a statement asked twice in a battery,
        anchors that do not fit the scale, or a structure of unknown dimensions.
    """

    id: str
    name: Mapping[str, str]
    source: str
    dimensions: tuple[Dimension, ...]
    items: tuple[Item, ...]
    note: str = ""
    structures: tuple[Structure, ...] = ()
    sums: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", MappingProxyType(dict(self.name)))
        object.__setattr__(self, "dimensions", tuple(self.dimensions))
        object.__setattr__(self, "items", tuple(self.items))
        object.__setattr__(self, "structures", tuple(self.structures))
        object.__setattr__(self, "sums", MappingProxyType(dict(self.sums)))
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
        self._check_anchors()
        self._check_statements()
        self._check_structures()
        for battery in self.sums:
            check_choice("sums", battery, self.batteries)

    def _check_anchors(self) -> None:
        for item in self.items:
            for lang, words in item.anchors.items():
                if len(words) not in (2, item.n_points):
                    raise InstrumentError(
                        f"Instrument {self.id!r}: item {item.id!r} has {len(words)} anchors "
                        f"({lang}) for a scale from {item.scale_min:g} to {item.scale_max:g}.",
                        remedy="Give the words at the two ends, or one for every point.",
                    )

    def _check_statements(self) -> None:
        seen: dict[tuple[str, str], str] = {}
        home: dict[str, str] = {}
        for item in self.items:
            if not item.statement:
                continue
            place = (item.battery, item.statement)
            if place in seen:
                raise InstrumentError(
                    f"Instrument {self.id!r}: items {seen[place]!r} and {item.id!r} are both "
                    f"statement {item.statement!r} of the {item.battery} battery.",
                    remedy="Give every statement of a battery its own number.",
                )
            seen[place] = item.id
            if home.setdefault(item.statement, item.dimension) != item.dimension:
                raise InstrumentError(
                    f"Instrument {self.id!r}: statement {item.statement!r} belongs to dimension "
                    f"{home[item.statement]!r} in one battery and, with item {item.id!r}, to "
                    f"{item.dimension!r} in another.",
                    remedy="A statement belongs to one dimension in all batteries.",
                )

    def _check_structures(self) -> None:
        known = [dimension.id for dimension in self.dimensions]
        for structure in self.structures:
            where = f"Instrument {self.id!r}: structure {structure.id!r}"
            if sum(other.id == structure.id for other in self.structures) > 1:
                raise InstrumentError(
                    f"{where} stands there more than once.", remedy="Give each its own id."
                )
            placed: list[str] = []
            for group, members in structure.groups.items():
                if not members:
                    raise InstrumentError(
                        f"{where}: group {group!r} has no dimensions.", remedy="Name its members."
                    )
                for member in members:
                    if member not in known or member in placed:
                        what = "stands in two groups" if member in placed else "is not defined"
                        raise InstrumentError(
                            f"{where}: dimension {member!r} of group {group!r} {what}.",
                            remedy=f"Dimensions there are: {', '.join(known)}; each has one place.",
                        )
                    placed.append(member)
                if group in self.item_ids or (group in known and members != (group,)):
                    raise InstrumentError(
                        f"{where}: group {group!r} has the name of an item or a dimension.",
                        remedy="Give the group a name of its own.",
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
            Which batteries. When none is named: "perception" and "outcome", and the
            expectations of those dimensions that are asked about in no other way.

        Returns
        -------
        dict of str to tuple of str
            Dimensions without an item in these batteries are left out.

        Raises
        ------
        OptionError
            No such battery.
        """
        for battery in batteries:
            check_choice("battery", battery, get_args(Battery))

        def members(dimension: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(
                item.id
                for item in self.items
                if item.dimension == dimension and item.battery in wanted
            )

        found: dict[str, tuple[str, ...]] = {}
        for dimension in self.dimensions:
            found[dimension.id] = members(dimension.id, batteries or ("perception", "outcome"))
            if not batteries and not found[dimension.id]:
                found[dimension.id] = members(dimension.id, ("expectation",))
        return {dimension: ids for dimension, ids in found.items() if ids}

    def structure(self, structure_id: str | None = None) -> Structure:
        """Return a structure by its id, the first one when None.

        Raises
        ------
        InstrumentError
            The instrument has none.
        OptionError
            No such structure; lists those there are.
        """
        if not self.structures:
            raise InstrumentError(
                f"Instrument {self.id!r} does not say how its dimensions go together.",
                remedy="Add [[structures]] to its file, or use merge=.",
            )
        if structure_id is None:
            return self.structures[0]
        check_choice("structure", structure_id, [s.id for s in self.structures])
        return next(s for s in self.structures if s.id == structure_id)

    def pairs(
        self, first: Battery = "perception", second: Battery = "expectation"
    ) -> tuple[tuple[str, str, str], ...]:
        """Return the statements that are asked in two batteries.

        Parameters
        ----------
        first, second : str
            Batteries.

        Returns
        -------
        tuple of (statement, item of `first`, item of `second`)
            In the order of `first`; empty when no statement is in both.

        Raises
        ------
        OptionError
            No such battery.
        """
        for battery in (first, second):
            check_choice("battery", battery, get_args(Battery))
        other = {i.statement: i.id for i in self.items if i.battery == second and i.statement}
        return tuple(
            (item.statement, item.id, other[item.statement])
            for item in self.items
            if item.battery == first and item.statement in other
        )

    def gap_items(self, kind: GapKind = "gap") -> dict[str, tuple[str, str]]:
        """Return name of a gap score -> its two items (minuend, subtrahend).

        Parameters
        ----------
        kind : {"gap", "adequacy", "superiority"}
            Perception minus expectation (``G1`` ...); perception minus adequate level
            (``MSA1`` ...); perception minus desired level (``MSS1`` ...), after Parasuraman,
            Zeithaml & Berry (1994).

        Returns
        -------
        dict of str to tuple of str
            In the order of the perceptions.

        Raises
        ------
        OptionError
            No such kind.
        InstrumentError
            No statement is asked in both batteries, or a name is taken already.
        """
        check_choice("kind", kind, get_args(GapKind))
        prefix, other = GAPS[kind]
        found = {
            f"{prefix}{'' if statement[:1].isdigit() else '_'}{statement}": (high, low)
            for statement, high, low in self.pairs("perception", other)  # type: ignore[arg-type]
        }
        if not found:
            raise InstrumentError(
                f"Instrument {self.id!r} has no statement that is asked as perception and as "
                f"{other}: there is no {kind} score.",
                remedy="Items that ask about one statement carry the same key `statement`. "
                f"Batteries there are: {', '.join(self.batteries)}.",
            )
        taken = sorted({*found} & {*self.item_ids, *(d.id for d in self.dimensions)})
        if taken:
            raise InstrumentError(
                f"Instrument {self.id!r}: gap score {taken[0]!r} would have the name of an item "
                "or a dimension.",
                remedy="Rename the statement in the instrument file.",
            )
        return found

    def with_scale(
        self, scale_min: float, scale_max: float, items: Collection[str] | None = None
    ) -> Instrument:
        """Return the instrument with another range of answers.

        Parameters
        ----------
        scale_min, scale_max : float
            The lowest and the highest answer that was offered.
        items : collection of str, optional
            Which items; all when None.

        Returns
        -------
        Instrument
            Of anchors for every point the two ends are kept.

        Raises
        ------
        InstrumentError
            The lowest answer is not below the highest.
        OptionError
            No such item.
        """
        if not scale_min < scale_max:
            raise InstrumentError(
                f"A scale from {scale_min:g} to {scale_max:g} is no scale.",
                remedy="Give the lowest answer, then the highest.",
            )
        chosen = set(self.item_ids if items is None else items)
        for name in chosen - set(self.item_ids):
            check_choice("items", name, self.item_ids)
        changed = tuple(
            replace(
                item,
                scale_min=scale_min,
                scale_max=scale_max,
                anchors={lang: (words[0], words[-1]) for lang, words in item.anchors.items()},
            )
            if item.id in chosen and (item.scale_min, item.scale_max) != (scale_min, scale_max)
            else item
            for item in self.items
        )
        return replace(self, items=changed)

    def model(
        self,
        kind: ModelKind = "correlated",
        battery: str | Sequence[str] = "perception",
        *,
        general: str = "SQ",
        method: str = "NEG",
        merge: Sequence[Sequence[str]] = (),
        structure: str | None = None,
        items: Collection[str] | None = None,
    ) -> str:
        """Return the measurement model the instrument implies, as model text.

        Parameters
        ----------
        kind : str
            ``"correlated"``: one factor per dimension; ``"one_factor"``; ``"uncorrelated"``;
            ``"second_order"``: a general factor above the dimensions, or, where `structure` is
            given, the broader dimensions above them; ``"third_order"``: the general factor
            above the broader dimensions; ``"bifactor"``: a general factor beside uncorrelated
            ones of the dimensions; ``"wording_factor"``: the dimensions and an uncorrelated
            factor of the reverse-worded items with equal loadings (Maydeu-Olivares & Coffman,
            2006); ``"by_wording"``: one factor of all items worded
            positively and one of all worded negatively; ``"merged"``: some dimensions are one.
        battery : str or sequence of str
            Whose items: a battery; ``"gap"`` (perception - expectation), ``"adequacy"``
            (perception - adequate), ``"superiority"`` (perception - desired); ``"both"``
            (perception and expectation with the residual covariances of items about the same
            statement), or several batteries. Beside a battery of quality, dimensions of
            another role (satisfaction, price fairness) are factors of their own in every kind.
        general : str
            Name of the general factor.
        method : str
            Name of the factor of the reverse-worded items.
        merge : sequence of sequences of str
            Dimensions that are one, for ``kind="merged"``: ``(("RES", "ASS"),)`` makes
            ``RES_ASS``.
        structure : str, optional
            Which of :attr:`structures`, for ``"second_order"``, ``"third_order"`` and
            ``"merged"``.
        items : collection of str, optional
            Only these items, e.g. those that were asked. Gap scores by their own names.

        Returns
        -------
        str
            One line per factor, in the language of lavaan. Where several batteries ask about
            the same dimension its factors are ``TAN_P``, ``TAN_E`` (``_D`` desired, ``_A``
            adequate).

        Raises
        ------
        OptionError
            No such kind, battery, dimension, structure or item.
        InstrumentError
            The battery has no items; a name is taken already; there are too few dimensions or
            reverse-worded items for the kind.
        UnsupportedError
            A dimension is composite or causal: its items do not reflect a factor; or answers of
            a battery have a fixed sum, so that their covariance matrix is singular.

        Examples
        --------
        >>> from sqvalid.instruments import load_instrument
        >>> servqual = load_instrument("servqual")
        >>> print(servqual.model("second_order").splitlines()[-1])
        SQ =~ TAN + REL + RES + ASS + EMP
        >>> print(servqual.model("merged", "gap", merge=[("RES", "EMP")]).splitlines()[2])
        RES_EMP =~ G10 + G11 + G12 + G13 + G18 + G19 + G20 + G21 + G22
        """
        return measurement_model(
            self,
            kind,
            battery,
            general=general,
            method=method,
            merge=merge,
            structure=structure,
            items=items,
        )

    def mimic(self, dimension: str, outcomes: Sequence[str], battery: str = "perception") -> str:
        """Return a MIMIC model of a dimension whose items bring it about.

        Parameters
        ----------
        dimension : str
            Id of the dimension.
        outcomes : sequence of str
            At least two items that reflect the dimension as a whole, e.g. overall judgements.
        battery : str
            Whose items are the causes.

        Returns
        -------
        str
            Two lines: the reflective outcomes, and the regression on the items. Without
            reflective outcomes a construct of causal indicators is not identified (Jöreskog &
            Goldberger, 1975).

        Raises
        ------
        InstrumentError
            Fewer than two outcomes, one of them a cause as well, or no items in the battery.
        OptionError
            No such dimension or battery.
        """
        causes = self.items_of(dimension, battery)
        reflected = tuple(dict.fromkeys(outcomes))
        if len(reflected) < 2:
            raise InstrumentError(
                f"A MIMIC model of {dimension!r} needs two reflective outcomes; there "
                f"{'is' if len(reflected) == 1 else 'are'} {len(reflected)}.",
                remedy="Name at least two items that reflect the dimension as a whole.",
            )
        if not causes or set(causes) & set(reflected):
            raise InstrumentError(
                f"Dimension {dimension!r} has no {battery} items that could be causes beside "
                f"{', '.join(reflected)}.",
                remedy="Choose outcomes that are not items of the dimension.",
            )
        return f"{dimension} =~ {' + '.join(reflected)}\n{dimension} ~ {' + '.join(causes)}\n"
