"""The file study.toml: what may stand in it, and what is said when something else does."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sqvalid.errors import InputError

__all__ = ["DEFAULT_SEED", "Plan", "read_plan"]

DEFAULT_SEED = 20261122


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StudyPart(_Part):
    title: str = "sqvalid study"
    language: str = "en"
    seed: int = DEFAULT_SEED
    role: Literal["confirm", "develop"] = "confirm"


class _DataPart(_Part):
    file: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    missing_codes: list[int | float | str] = Field(default_factory=list)
    answers: dict[str, float] = Field(default_factory=dict)
    scale: tuple[float, float] | None = None
    scales: dict[str, tuple[float, float]] = Field(default_factory=dict)
    reverse: list[str] = Field(default_factory=list)
    out_of_range: Literal["refuse", "missing"] = "refuse"
    keyed: bool = False
    correlation: str | None = None
    covariance: str | None = None
    n: int | None = Field(default=None, ge=2)
    simulated: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> _DataPart:
        given = [name for name in ("file", "correlation", "covariance") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of the keys file, correlation, covariance")
        if given != ["file"] and self.n is None:
            raise ValueError(f"a {given[0]} matrix needs the key n, the number of respondents")
        return self


class _InstrumentPart(_Part):
    id: str | None = None
    file: str | None = None
    scale: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> _InstrumentPart:
        if (self.id is None) == (self.file is None):
            raise ValueError("give exactly one of the keys id, file")
        return self


class _ModelPart(_Part):
    measurement: str | None = None
    kind: str | None = None
    battery: str | list[str] | None = None
    merge: list[str] = Field(default_factory=list)
    structure: str | None = None
    structural: str | None = None


class _AnalysisPart(_Part):
    estimator: str = "ML"
    group: str | None = None
    invariance: str | None = None
    partial: list[str] = Field(default_factory=list)
    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    smallest_effect: float | None = Field(default=None, gt=0.0, lt=1.0)
    missing: str = "listwise"
    cluster: str | None = None
    weights: str | None = None
    ordered: bool | list[str] = False
    options: dict[str, Any] = Field(default_factory=dict)


class _ExplorePart(_Part):
    share: float = 0.5
    stratify: str | None = None
    dimensions: list[str] = Field(default_factory=list)
    n_factors: int | None = None
    extraction: str = "minres"
    rotation: str = "oblimin"
    smallest_loading: float = 0.40
    smallest_gap: float = 0.20


class _ScreeningPart(_Part):
    duration: str | None = None
    attention: dict[str, int | float | str] = Field(default_factory=dict)


class _RuleStep(_Part):
    rule: str
    threshold: float | None = None


class Plan(_Part):
    """The content of a study.toml, one attribute per section."""

    study: _StudyPart = Field(default_factory=_StudyPart)
    data: _DataPart
    instrument: _InstrumentPart | None = None
    dimensions: dict[str, list[str]] = Field(default_factory=dict)
    model: _ModelPart = Field(default_factory=_ModelPart)
    analysis: _AnalysisPart = Field(default_factory=_AnalysisPart)
    screening: _ScreeningPart = Field(default_factory=_ScreeningPart)
    exclusions: list[_RuleStep] = Field(default_factory=list)
    rivals: dict[str, str] = Field(default_factory=dict)
    names: dict[str, str] = Field(default_factory=dict)
    hypotheses: dict[str, str | dict[str, Any]] = Field(default_factory=dict)
    families: dict[str, list[str]] = Field(default_factory=dict)
    explore: _ExplorePart | None = None


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that may stand where `path` leads to."""
    for step in path:
        annotation = model.model_fields[step].annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        parts = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not parts:
            return []
        model = parts[0]
    return list(model.model_fields)


def _plan_error(error: ValidationError, path: Path) -> InputError:
    """Turn the complaint of the schema that matters most into one message."""
    # A misspelt key explains why another one is missing, so it is told first.
    complaints = error.errors()
    first = min(complaints, key=lambda entry: entry["type"] != "extra_forbidden")
    place = [str(step) for step in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_keys(Plan, place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=3)
        section = f"[{'.'.join(place[:-1])}]" if len(place) > 1 else "the file"
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return InputError(
            f"{path}: unknown key {place[-1]!r} in {section}.{hint}",
            remedy=f"Keys there are: {', '.join(known)}.",
        )
    message = str(first["msg"]).removeprefix("Value error, ")
    where = f"[{name}]" if len(place) < 2 else f"key {name!r}"
    return InputError(f"{path}: {where}: {message}.", remedy="Correct this entry of the file.")


def read_plan(path: Path) -> Plan:
    """Read and check a study file.

    Parameters
    ----------
    path : pathlib.Path
        The study.toml.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        The file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"There is no file {str(path)!r}.", remedy="Check the path of the study file."
        ) from None
    except IsADirectoryError:
        raise InputError(
            f"{str(path)!r} is a directory, not a study file.",
            remedy="Give the path of the study.toml in it.",
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text file in UTF-8 (byte {error.start}).",
            remedy="Save the study file as UTF-8 text.",
        ) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}.", remedy="Check its permissions.") from None
    try:
        raw = tomllib.loads(content.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{path}: not valid TOML: {error}.", remedy="Correct the line that is named."
        ) from None
    except RecursionError:
        raise InputError(
            f"{path}: brackets are nested too deeply for a study file.",
            remedy="A plan needs tables in tables at most; look for a row of brackets.",
        ) from None
    try:
        return Plan.model_validate(raw)
    except ValidationError as error:
        raise _plan_error(error, path) from None
