"""The form of an instrument file, checked with pydantic; readable errors.

Only :func:`sqvalid.instruments.load_instrument` imports this module, when it is called:
pydantic is slow to import.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from sqvalid.errors import InputError, InstrumentError
from sqvalid.instruments.definition import Instrument
from sqvalid.instruments.parts import (
    Battery,
    Dimension,
    Item,
    Measurement,
    Role,
    Structure,
    TranslationStatus,
    WordingStatus,
)
from sqvalid.wording import languages

__all__ = ["instrument_from_toml"]

# What a model text takes for a name: letters of any script, digits, dot and underscore.
_Name = Annotated[str, Field(pattern=r"^[^\W\d][\w.]*$")]
_Words = Annotated[str, Field(min_length=1)]
_T = TypeVar("_T")


def _known_languages(given: dict[str, _T]) -> dict[str, _T]:
    for lang in given:
        if lang not in languages():
            raise ValueError(f"{lang!r} is no language here; there are {', '.join(languages())}")
    return given


_Languages = Annotated[dict[str, _Words], Field(min_length=1), AfterValidator(_known_languages)]
_Anchors = Annotated[
    dict[str, Annotated[list[_Words], Field(min_length=2)]], AfterValidator(_known_languages)
]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class _ScaleForm(_Form):
    min: _Number
    max: _Number
    anchors: _Anchors = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> _ScaleForm:
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} is not below max {self.max:g}")
        return self


class _DimensionForm(_Form):
    id: _Name
    name: _Languages
    measurement: Measurement = "reflective"
    reason: str = ""
    role: Role | None = None
    asked_of: _Languages | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> _DimensionForm:
        if self.measurement != "reflective" and not self.reason.strip():
            raise ValueError(f"a {self.measurement} dimension needs a reason")
        return self


class _ItemForm(_Form):
    id: _Name
    dimension: str
    battery: Battery | None = None
    reverse: bool = False
    wording: _Languages
    wording_status: WordingStatus | None = None
    translation_status: TranslationStatus | None = None
    scale: _ScaleForm | str | None = None
    statement: Annotated[str, Field(pattern=r"^[\w.]*$")] = ""
    facets: list[_Words] = Field(default_factory=list)
    source: str = ""


class _GroupForm(_Form):
    id: _Name
    name: _Languages | None = None
    dimensions: list[str] = Field(min_length=1)


class _StructureForm(_Form):
    id: _Name
    source: _Words
    groups: list[_GroupForm] = Field(min_length=1)


class _IncludeForm(_Form):
    instrument: str
    batteries: list[Battery] = Field(default_factory=list)
    dimensions: list[str] = Field(default_factory=list)


class _InstrumentForm(_Form):
    id: _Name
    name: _Languages
    source: _Words
    note: str = ""
    include: list[str | _IncludeForm] = Field(default_factory=list)
    wording_status: WordingStatus | None = None
    translation_status: TranslationStatus | None = None
    battery: Battery = "perception"
    scale: _ScaleForm | None = None
    scales: dict[str, _ScaleForm] = Field(default_factory=dict)
    sums: dict[Battery, _Number] = Field(default_factory=dict)
    dimensions: list[_DimensionForm] = Field(default_factory=list)
    structures: list[_StructureForm] = Field(default_factory=list)
    items: list[_ItemForm] = Field(default_factory=list)


def _place(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    """Say where in the file an error is: by the id of the item, not by its number."""
    parts: list[str] = []
    here: Any = raw
    for step in location:
        here = (
            here[step]
            if isinstance(here, list) and isinstance(step, int)
            else (here.get(step) if isinstance(here, Mapping) else None)
        )
        if isinstance(step, int):
            name = here.get("id") if isinstance(here, Mapping) else None
            parts[-1:] = [
                f"{parts[-1].removesuffix('s')} {name!r}" if name else f"{parts[-1]}[{step + 1}]"
            ]
        else:
            parts.append(step)
    return ", ".join(p for p in parts if p != "[key]") or "the file as a whole"


def _readable(error: ValidationError, raw: Mapping[str, Any], path: Path) -> InstrumentError:
    lines = []
    for detail in error.errors(include_url=False):
        message = {
            "missing": "is required and not there",
            "extra_forbidden": "is not a key that is known here",
        }.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        if detail["type"] == "string_pattern_mismatch":
            message = (
                f"{detail['input']!r} cannot be a name: it needs a letter first, then letters, "
                "digits, dots or underscores"
            )
        lines.append(f"{_place(detail['loc'], raw)}: {message}")
    return InstrumentError(
        f"Instrument file {str(path)!r} does not have the right form: {'; '.join(lines)}.",
        remedy="Compare it with a file of the library: sqvalid instruments lists them.",
    )


def _given(name: str, item: str, own: _T | None, shared: _T | None, path: Path) -> _T:
    value = shared if own is None else own
    if value is None:
        raise InstrumentError(
            f"Instrument file {str(path)!r}: item {item!r} has no {name}.",
            remedy=f"Give {name} for the item, or once at the top for all items.",
        )
    return value


def _scale(form: _ItemForm, whole: _InstrumentForm, path: Path) -> _ScaleForm:
    if not isinstance(form.scale, str):
        return _given("scale", form.id, form.scale, whole.scale, path)
    if form.scale not in whole.scales:
        raise InstrumentError(
            f"Instrument file {str(path)!r}: item {form.id!r}, scale: there is no scale "
            f"{form.scale!r}.",
            remedy=f"Define it under [scales.{form.scale}]. Scales there are: "
            f"{', '.join(whole.scales) or 'none'}.",
        )
    return whole.scales[form.scale]


def _item(form: _ItemForm, whole: _InstrumentForm, path: Path) -> Item:
    scale = _scale(form, whole, path)
    status: WordingStatus = _given(
        "wording_status", form.id, form.wording_status, whole.wording_status, path
    )
    translation: TranslationStatus = _given(
        "translation_status", form.id, form.translation_status, whole.translation_status, path
    )
    return Item(
        id=form.id,
        dimension=form.dimension,
        battery=form.battery or whole.battery,
        wording=form.wording,
        wording_status=status,
        translation_status=translation,
        reverse=form.reverse,
        scale_min=scale.min,
        scale_max=scale.max,
        anchors={lang: tuple(words) for lang, words in scale.anchors.items()},
        statement=form.statement,
        facets=tuple(form.facets),
        source=form.source,
    )


def _dimension(form: _DimensionForm, items: list[Item]) -> Dimension:
    asked = [item.battery for item in items if item.dimension == form.id]
    role: Role = "outcome" if asked and set(asked) == {"outcome"} else "quality"
    return Dimension(
        form.id, form.name, form.measurement, form.reason, form.role or role, form.asked_of or {}
    )


def _structure(form: _StructureForm) -> Structure:
    return Structure(
        form.id,
        form.source,
        {group.id: tuple(group.dimensions) for group in form.groups},
        {group.id: group.name for group in form.groups if group.name is not None},
    )


def _part(instrument: Instrument, form: str | _IncludeForm, path: Path) -> Instrument:
    """Return the batteries and dimensions of an instrument that are asked for."""
    if isinstance(form, str):
        return instrument
    for what, wanted, there in (
        ("battery", form.batteries, instrument.batteries),
        ("dimension", form.dimensions, tuple(d.id for d in instrument.dimensions)),
    ):
        for name in wanted:
            if name not in there:
                raise InstrumentError(
                    f"Instrument file {str(path)!r}, include: {instrument.id!r} has no {what} "
                    f"{name!r}.",
                    remedy=f"It has: {', '.join(there)}.",
                )
    items = tuple(
        item
        for item in instrument.items
        if (not form.batteries or item.battery in form.batteries)
        and (not form.dimensions or item.dimension in form.dimensions)
    )
    used = {item.dimension for item in items}
    batteries = {item.battery for item in items}
    kept = tuple(d for d in instrument.dimensions if d.id in used)
    whole = len(kept) == len(instrument.dimensions)
    return replace(
        instrument,
        dimensions=kept,
        items=items,
        structures=instrument.structures if whole else (),
        sums={battery: total for battery, total in instrument.sums.items() if battery in batteries},
    )


def instrument_from_toml(path: Path, locate: Callable[[str, Path], Path]) -> Instrument:
    """Read an instrument file and the files it includes.

    Parameters
    ----------
    path : pathlib.Path
        The TOML file.
    locate : callable
        Takes a name of an instrument or a path, and the folder that relative paths start
        from; returns the file. Raises InstrumentError when there is none.

    Returns
    -------
    Instrument
        Included dimensions and items stand before its own.

    Raises
    ------
    InstrumentError
        The file is not TOML, does not have the right form, or includes itself.
    """
    return _read(path, locate, ())


def _read(path: Path, locate: Callable[[str, Path], Path], trail: tuple[Path, ...]) -> Instrument:
    if path in trail:
        raise InstrumentError(
            f"Instrument file {str(path)!r} includes itself.",
            remedy="Take the circle out of the include lists.",
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InstrumentError(
            f"Instrument file {str(path)!r} is not UTF-8 text.",
            remedy="Save it as a TOML file in UTF-8.",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InstrumentError(
            f"Instrument file {str(path)!r} is not valid TOML: {error}.",
            remedy="Correct the line that is named.",
        ) from error
    except RecursionError:
        raise InstrumentError(
            f"Instrument file {str(path)!r} has brackets that are nested too deeply.",
            remedy="No key of an instrument needs them; look for a row of brackets.",
        ) from None
    except OSError as error:
        raise InstrumentError(
            f"Instrument file {str(path)!r} cannot be read: {error.strerror}.",
            remedy="Check the path and the permissions.",
        ) from error
    try:
        form = _InstrumentForm.model_validate(raw)
    except ValidationError as error:
        raise _readable(error, raw, path) from error
    included = [
        _part(
            _read(
                locate(part if isinstance(part, str) else part.instrument, path.parent),
                locate,
                (*trail, path),
            ),
            part,
            path,
        )
        for part in form.include
    ]
    own_items = [_item(item, form, path) for item in form.items]
    own_dimensions = [_dimension(d, own_items) for d in form.dimensions]
    if not included and not own_items:
        raise InstrumentError(
            f"Instrument file {str(path)!r} has no items.",
            remedy="Add [[items]], or include other instruments.",
        )
    sums: dict[str, float] = {}
    for part in included:
        sums |= part.sums
    try:
        return Instrument(
            id=form.id,
            name=form.name,
            source=form.source,
            dimensions=(*(d for i in included for d in i.dimensions), *own_dimensions),
            items=(*(item for i in included for item in i.items), *own_items),
            note=form.note,
            structures=(
                *(s for i in included for s in i.structures),
                *(_structure(s) for s in form.structures),
            ),
            sums=sums | dict(form.sums),
        )
    except InputError as error:
        raise InstrumentError(
            f"Instrument file {str(path)!r}: {error.message}", remedy=error.remedy
        ) from error
