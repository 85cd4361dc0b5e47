"""An instrument in words, for the command line."""

from __future__ import annotations

from collections.abc import Mapping

from sqvalid import wording
from sqvalid.instruments.definition import Instrument
from sqvalid.instruments.parts import Dimension, Item

__all__ = ["describe_instrument", "list_line"]


def _in(words: Mapping[str, str], lang: str) -> str:
    """The words in a language; in another one where the instrument does not have it."""
    return words.get(lang) or words.get("en") or next(iter(words.values()), "")


def list_line(instrument: Instrument, lang: str = "en") -> str:
    """Return one line about an instrument.

    Parameters
    ----------
    instrument : Instrument
        Any.
    lang : str
        Language code.

    Returns
    -------
    str
        Id, name, number of items and dimensions.

    Raises
    ------
    OptionError
        No such language.
    """
    return wording.text(
        "instrument.line",
        lang,
        id=instrument.id,
        name=_in(instrument.name, lang),
        n_items=len(instrument.items),
        n_dimensions=len(instrument.dimensions),
    )


def describe_instrument(instrument: Instrument, lang: str = "en") -> list[str]:
    """Return the lines that tell what an instrument asks and where it comes from.

    Parameters
    ----------
    instrument : Instrument
        Any.
    lang : str
        Language code; what the instrument does not have in it is given in English.

    Returns
    -------
    list of str

    Raises
    ------
    OptionError
        No such language.
    """

    def words(key: str, **values: object) -> str:
        return wording.text(f"instrument.{key}", lang, **values)

    lines = [_in(instrument.name, lang), instrument.source]
    lines += [instrument.note] if instrument.note else []
    statuses = sorted({item.wording_status for item in instrument.items})
    lines += [words(f"status.{status}") for status in statuses]
    for battery, total in instrument.sums.items():
        lines.append(words("sum", battery=words(f"battery.{battery}"), total=f"{total:g}"))
    for battery in instrument.batteries:
        lines += ["", f"== {words(f'battery.{battery}')} =="]
        for dimension in instrument.dimensions:
            items = [
                item
                for item in instrument.items
                if item.dimension == dimension.id and item.battery == battery
            ]
            if items:
                lines.append(_heading(dimension, lang))
                lines += [_question(item, lang) for item in items]
    for structure in instrument.structures:
        lines += ["", words("structure", id=structure.id, source=structure.source)]
        lines += [f"  {g} = {' + '.join(members)}" for g, members in structure.groups.items()]
    return lines


def _heading(dimension: Dimension, lang: str) -> str:
    kind = wording.text(f"instrument.measurement.{dimension.measurement}", lang)
    asked = ""
    if dimension.asked_of:
        asked = wording.text("instrument.asked_of", lang, who=_in(dimension.asked_of, lang))
    return f"{dimension.id}: {_in(dimension.name, lang)} ({kind}){asked}"


def _question(item: Item, lang: str) -> str:
    turned = wording.text("instrument.reverse", lang) if item.reverse else ""
    anchors = item.anchors.get(lang) or item.anchors.get("en") or ()
    ends = f", {anchors[0]} - {anchors[-1]}" if anchors else ""
    facets = f" [{', '.join(item.facets)}]" if item.facets else ""
    scale = f"{item.scale_min:g}-{item.scale_max:g}{ends}"
    return f"  {item.id}: {_in(item.wording, lang)} ({scale}){turned}{facets}"
