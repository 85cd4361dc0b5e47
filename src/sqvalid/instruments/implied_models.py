"""The measurement models an instrument implies, as model text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, get_args

from sqvalid.errors import InstrumentError, OptionError, UnsupportedError, check_choice
from sqvalid.instruments.parts import Battery

if TYPE_CHECKING:
    from sqvalid.instruments.definition import Instrument

__all__ = ["GAPS", "GapKind", "ModelKind", "measurement_model"]

ModelKind = Literal[
    "correlated",
    "one_factor",
    "uncorrelated",
    "second_order",
    "third_order",
    "bifactor",
    "wording_factor",
    "by_wording",
    "merged",
]
GapKind = Literal["gap", "adequacy", "superiority"]

# Kind of difference: how its scores are called, and what is subtracted from the perception.
GAPS = {
    "gap": ("G", "expectation"),
    "adequacy": ("MSA", "adequate"),
    "superiority": ("MSS", "desired"),
}
_SUFFIX = {"perception": "P", "expectation": "E", "desired": "D", "adequate": "A"}


@dataclass(frozen=True)
class _Factor:
    """A first-order factor: name, indicators, and what it comes from."""

    name: str
    dimension: str
    battery: str
    indicators: tuple[str, ...]


@dataclass(frozen=True)
class _Names:
    """Names the model text gives to what is no dimension."""

    general: str
    method: str


def measurement_model(
    instrument: Instrument,
    kind: str,
    battery: str | Sequence[str],
    *,
    general: str,
    method: str,
    merge: Sequence[Sequence[str]],
    structure: str | None,
    items: Collection[str] | None,
) -> str:
    """Return model text; see :meth:`sqvalid.instruments.Instrument.model`."""
    check_choice("kind", kind, get_args(ModelKind))
    batteries = _batteries(battery)
    if kind != "merged" and merge:
        raise OptionError(
            f"merge= does not go with kind={kind!r}.", remedy="Use kind='merged', or drop merge=."
        )
    if structure is not None and kind not in ("second_order", "third_order", "merged"):
        raise OptionError(
            f"structure= does not go with kind={kind!r}.",
            remedy="It belongs to 'second_order', 'third_order' and 'merged'.",
        )
    factors = _first_order(instrument, batteries, items)
    # What the kind shapes is quality; satisfaction, price and so on stay factors of their own.
    quality = [
        f
        for f in factors
        if f.battery != "outcome" and instrument.dimension(f.dimension).role == "quality"
    ]
    shaped = quality or factors
    beside = [f for f in factors if f not in shaped]
    names = _Names(general, method)
    lines: list[str] = []
    suffixed = any(f.name != f.dimension for f in shaped)
    for name in dict.fromkeys(f.battery for f in shaped) if suffixed else [None]:
        part = [f for f in shaped if name in (None, f.battery)]
        tail = "" if name is None else f"_{_SUFFIX[name]}"
        here = _Names(f"{names.general}{tail}", f"{names.method}{tail}")
        lines += _shape(instrument, kind, part, beside, here, tail, merge, structure)
    lines += [f"{f.name} =~ {' + '.join(f.indicators)}" for f in beside]
    if kind == "uncorrelated" and suffixed:
        lines += _zeros(
            (a.name, b.name) for a, b in combinations(shaped, 2) if a.battery != b.battery
        )
    if kind in ("bifactor", "wording_factor") and suffixed:
        lines += _across_batteries(kind, shaped, names)
    lines += _same_statement(instrument, shaped)
    _check_names(instrument, lines, {f.name for f in factors})
    return "\n".join(lines) + "\n"


def _batteries(battery: str | Sequence[str]) -> tuple[str, ...]:
    given = (battery,) if isinstance(battery, str) else tuple(battery)
    if not given:
        raise OptionError("battery= names no battery.", remedy="Name at least one.")
    for name in given:
        check_choice("battery", name, [*get_args(Battery), *GAPS, "both"])
    spread = [
        part
        for name in given
        for part in (("perception", "expectation") if name == "both" else (name,))
    ]
    found = tuple(dict.fromkeys(spread))
    gaps = [name for name in found if name in GAPS]
    ratings = [name for name in found if name in _SUFFIX]
    if gaps and (ratings or len(gaps) > 1):
        raise OptionError(
            f"battery={battery!r} takes {gaps[0]} scores together with what they are made of.",
            remedy="A difference is an exact function of its parts: choose the one or the other.",
        )
    return found


def _first_order(
    instrument: Instrument, batteries: tuple[str, ...], items: Collection[str] | None
) -> list[_Factor]:
    found: list[_Factor] = []
    known: set[str] = set(instrument.item_ids)
    for battery in batteries:
        if battery in instrument.sums:
            raise UnsupportedError(
                f"The {battery} answers of {instrument.id!r} have the fixed sum "
                f"{instrument.sums[battery]:g}: their covariance matrix is singular, and no "
                "factor model describes them.",
                remedy="Use them as weights.",
            )
        if battery in GAPS:
            gaps = instrument.gap_items(battery)  # type: ignore[arg-type]
            known |= set(gaps)
            members = {
                d.id: tuple(
                    name
                    for name, (high, _) in gaps.items()
                    if instrument.item(high).dimension == d.id
                )
                for d in instrument.dimensions
            }
        else:
            members = instrument.dimension_items(battery)
        if not any(members.values()):
            raise InstrumentError(
                f"Instrument {instrument.id!r} has no {battery} items.",
                remedy=f"Batteries there are: {', '.join(instrument.batteries)}.",
            )
        found += [_Factor(d, d, battery, ids) for d, ids in members.items() if ids]
    if items is not None:
        for name in items:
            check_choice("items", name, sorted(known))
        chosen = set(items)
        kept = [
            _Factor(f.name, f.dimension, f.battery, tuple(i for i in f.indicators if i in chosen))
            for f in found
        ]
        found = [f for f in kept if f.indicators]
        if not found:
            raise InstrumentError(
                f"None of the items given is one of the {' or '.join(batteries)} items of "
                f"{instrument.id!r}.",
                remedy="Check items= and battery=.",
            )
    for factor in found:
        measurement = instrument.dimension(factor.dimension).measurement
        if measurement != "reflective":
            raise UnsupportedError(
                f"Dimension {factor.dimension!r} of instrument {instrument.id!r} is {measurement}: "
                "a reflective measurement model does not describe it.",
                remedy="Use instrument.mimic(dimension, outcomes=[...]) with at least two "
                "reflective outcomes, or write the model text yourself.",
            )
    twice = {f.dimension for f in found if sum(g.dimension == f.dimension for g in found) > 1}
    if not twice:
        order = [d.id for d in instrument.dimensions]
        return sorted(found, key=lambda f: order.index(f.dimension))
    # All factors of a rated battery are told apart alike, also those rated once only.
    return [
        _Factor(f"{f.name}_{_SUFFIX[f.battery]}", f.dimension, f.battery, f.indicators)
        if f.battery in _SUFFIX and instrument.dimension(f.dimension).role == "quality"
        else f
        for f in found
    ]


def _line(name: str, indicators: Sequence[str], *, first_free: bool = False) -> str:
    mark = "NA*" if first_free else ""
    return f"{name} =~ {mark}{' + '.join(indicators)}"


def _unit_variance(name: str, indicators: Sequence[str]) -> list[str]:
    """A factor beside others on the same items: its variance is one, no item is its marker.

    Two items say only one thing about such a factor: their loadings are equal, and the
    variance tells how much they share.
    """
    if len(indicators) == 2:
        return _equal_loadings(name, indicators)
    return [_line(name, indicators, first_free=True), f"{name} ~~ 1*{name}"]


def _equal_loadings(name: str, indicators: Sequence[str]) -> list[str]:
    """A factor that adds the same amount to all its items.

    For wording this is the random intercept of Maydeu-Olivares & Coffman (2006). Where whole
    dimensions are worded negatively, free loadings would rest on small differences between
    loadings alone, and often have no solution.
    """
    return [f"{name} =~ {' + '.join(f'1*{i}' for i in indicators)}", f"{name} ~~ NA*{name}"]


def _zeros(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lines that keep factors uncorrelated, one line per first name."""
    partners: dict[str, list[str]] = {}
    for left, right in pairs:
        partners.setdefault(left, []).append(right)
    return [
        f"{left} ~~ {' + '.join(f'0*{right}' for right in rights)}"
        for left, rights in partners.items()
    ]


def _shape(
    instrument: Instrument,
    kind: str,
    factors: list[_Factor],
    beside: list[_Factor],
    names: _Names,
    tail: str,
    merge: Sequence[Sequence[str]],
    structure: str | None,
) -> list[str]:
    """Return the lines of the factors of one battery in the form of a kind."""
    everything = tuple(item for f in factors for item in f.indicators)
    plain = [_line(f.name, f.indicators) for f in factors]
    others = [f.name for f in beside]
    if kind == "one_factor":
        return [_line(names.general, everything)]
    if kind == "uncorrelated":
        return plain + _zeros((a.name, b.name) for a, b in combinations(factors, 2))
    if kind == "merged":
        return _merged(instrument, factors, tail, merge, structure)
    if kind == "second_order" and structure is None:
        _enough(instrument, kind, [f.name for f in factors])
        return [*plain, _line(names.general, [f.name for f in factors])]
    if kind in ("second_order", "third_order"):
        groups = _grouped(instrument, factors, tail, structure)
        lines = [*plain, *(_line(g, members) for g, members in groups.items() if members != (g,))]
        if kind == "third_order":
            _enough(instrument, kind, list(groups))
            lines.append(_line(names.general, list(groups)))
        return lines
    if kind == "bifactor":
        specific = [f for f in factors if len(f.indicators) > 1]
        if len(factors) < 2 or not specific:
            _enough(instrument, kind, [f.name for f in factors], least=2)
        lines = _unit_variance(names.general, everything)
        for f in specific:
            lines += _unit_variance(f.name, f.indicators)
        zeros = [(names.general, f.name) for f in specific]
        zeros += [(a.name, b.name) for a, b in combinations(specific, 2)]
        return lines + _zeros([*zeros, *((f.name, o) for f in specific for o in others)])
    if kind in ("wording_factor", "by_wording"):
        negative = _reversed(instrument, everything)
        _check_wording(instrument, kind, everything, negative)
        if kind == "by_wording":
            positive = [item for item in everything if item not in negative]
            return [_line(f"POS{tail}", positive), _line(f"{names.method}", negative)]
        lines = plain + _equal_loadings(names.method, negative)
        return lines + _zeros((names.method, f) for f in [*(f.name for f in factors), *others])
    return plain


def _enough(instrument: Instrument, kind: str, names: Sequence[str], least: int = 3) -> None:
    if len(names) < least:
        raise InstrumentError(
            f"A {kind.replace('_', '-')} model needs at least {least} dimensions; of "
            f"{instrument.id!r} it would have {len(names)} ({', '.join(names)}).",
            remedy="With fewer its parameters are not determined: use kind='correlated'.",
        )


def _reversed(instrument: Instrument, indicators: Iterable[str]) -> list[str]:
    """Items that are worded negatively; of a gap score its perception counts."""
    origin = {item.id: item for item in instrument.items}
    for kind in GAPS:
        if any(i.battery == GAPS[kind][1] for i in instrument.items):
            pairs = instrument.gap_items(kind)  # type: ignore[arg-type]
            origin |= {name: instrument.item(high) for name, (high, _) in pairs.items()}
    return [name for name in indicators if origin[name].reverse]


def _check_wording(
    instrument: Instrument, kind: str, everything: Sequence[str], negative: Sequence[str]
) -> None:
    positive = len(everything) - len(negative)
    least = 2
    if len(negative) >= least and positive >= least:
        return
    raise InstrumentError(
        f"kind={kind!r} needs at least {least} items worded positively and {least} worded "
        f"negatively; of {instrument.id!r} there are {positive} and {len(negative)}.",
        remedy="Without both kinds of wording there is nothing to compare.",
    )


def _merged(
    instrument: Instrument,
    factors: list[_Factor],
    tail: str,
    merge: Sequence[Sequence[str]],
    structure: str | None,
) -> list[str]:
    if bool(merge) == (structure is not None):
        raise OptionError(
            "kind='merged' needs either merge= or structure=.",
            remedy="For example merge=[('RES', 'ASS')].",
        )
    known = [f.dimension for f in factors]
    groups: dict[str, tuple[str, ...]] = {}
    if structure is not None:
        groups = dict(instrument.structure(structure).groups)
    else:
        placed: list[str] = []
        for members in merge:
            if isinstance(members, str) or len(members) < 2:
                raise OptionError(
                    f"merge={merge!r}: {members!r} is not a list of at least two dimensions.",
                    remedy="For example merge=[('RES', 'ASS')].",
                )
            for name in members:
                check_choice("merge", name, known)
                if name in placed:
                    raise OptionError(
                        f"merge={merge!r} names dimension {name!r} twice.",
                        remedy="Each dimension can be merged once.",
                    )
                placed.append(name)
            groups["_".join(members)] = tuple(members)
    home = {member: group for group, members in groups.items() for member in members}
    # Groups of a structure come in its order, others where their first dimension stands.
    pooled: dict[str, list[str]] = {} if structure is None else {group: [] for group in groups}
    for f in factors:
        pooled.setdefault(home.get(f.dimension, f.dimension), []).extend(f.indicators)
    return [_line(f"{name}{tail}", indicators) for name, indicators in pooled.items() if indicators]


def _grouped(
    instrument: Instrument, factors: list[_Factor], tail: str, structure: str | None
) -> dict[str, tuple[str, ...]]:
    """Return broader dimension -> names of its factors; one alone stands for itself."""
    groups = instrument.structure(structure).groups
    placed = {member for members in groups.values() for member in members}
    found: dict[str, tuple[str, ...]] = {}
    for group, members in groups.items():
        names = tuple(f.name for f in factors if f.dimension in members)
        if len(names) == 1:
            found[names[0]] = names
        elif names:
            found[f"{group}{tail}"] = names
    return found | {f.name: (f.name,) for f in factors if f.dimension not in placed}


def _across_batteries(kind: str, shaped: list[_Factor], names: _Names) -> list[str]:
    """Keep method and specific factors of one battery away from those of the other.

    Between batteries the general factors covary, the method factors covary, and each specific
    factor covaries with its own counterpart.
    """
    batteries = list(dict.fromkeys(f.battery for f in shaped))
    pairs: list[tuple[str, str]] = []
    for one in batteries:
        for other in batteries:
            if one == other:
                continue
            if kind == "wording_factor":
                pairs += [
                    (f"{names.method}_{_SUFFIX[one]}", f.name) for f in shaped if f.battery == other
                ]
                continue
            specific = [f for f in shaped if f.battery == other and len(f.indicators) > 1]
            pairs += [(f"{names.general}_{_SUFFIX[one]}", f.name) for f in specific]
            if batteries.index(one) < batteries.index(other):
                mine = [f for f in shaped if f.battery == one and len(f.indicators) > 1]
                pairs += [
                    (a.name, b.name) for a in mine for b in specific if a.dimension != b.dimension
                ]
    return _zeros(pairs)


def _same_statement(instrument: Instrument, factors: list[_Factor]) -> list[str]:
    """Residual covariances of items that ask about one statement in several batteries."""
    used = [name for f in factors for name in f.indicators if name in instrument.item_ids]
    by_statement: dict[str, list[str]] = {}
    for name in used:
        statement = instrument.item(name).statement
        if statement:
            by_statement.setdefault(statement, []).append(name)
    return [
        f"{left} ~~ {right}"
        for members in by_statement.values()
        for left, right in combinations(members, 2)
    ]


def _check_names(instrument: Instrument, lines: Sequence[str], first_order: set[str]) -> None:
    """Refuse a factor that has the name of an item, or two factors of one name."""
    defined = [line.split(" =~ ")[0] for line in lines if " =~ " in line]
    dimensions = {d.id for d in instrument.dimensions}
    for name in defined:
        clash = name in instrument.item_ids or (name in dimensions and name not in first_order)
        if clash or defined.count(name) > 1:
            raise InstrumentError(
                f"{name!r} is already an item or a dimension of {instrument.id!r}.",
                remedy="Choose another name for the general factor (general=) or the factor of "
                "the reverse-worded items (method=).",
            )
