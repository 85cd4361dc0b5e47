"""What screening looks at, gathered from a survey or a bare frame and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import OptionError, SurveyError
from sqvalid.screening.combinations import impossible_answers
from sqvalid.survey import Survey, as_pandas
from sqvalid.survey.checks import numeric_items, require_columns

__all__ = ["Material", "gather"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Material:
    """Answers as given and as keyed, with what is known about the items.

    Parameters
    ----------
    raw, keyed : pandas.DataFrame
        Items in the order of the columns; `keyed` has reverse-worded items turned.
    dimensions : mapping of str to tuple of str
        Empty where none are known.
    scale : mapping of str to (float, float)
        Declared scales; empty where none are known.
    reverse : ndarray (p,) of bool
        Which items are known to be worded in reverse.
    duration, attention_failed : ndarray (n,) or None
        Seconds; number of failed checks.
    impossible : pandas.DataFrame or None
        Who gave which impossible combination of answers.
    """

    raw: pd.DataFrame
    keyed: pd.DataFrame
    dimensions: Mapping[str, tuple[str, ...]]
    scale: Mapping[str, tuple[float, float]]
    reverse: npt.NDArray[np.bool_]
    duration: Array | None = None
    attention_failed: Array | None = None
    impossible: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", MappingProxyType(dict(self.dimensions)))
        object.__setattr__(self, "scale", MappingProxyType(dict(self.scale)))

    @property
    def items(self) -> tuple[str, ...]:
        """Names of the items in order."""
        return tuple(self.raw.columns)

    @property
    def raw_values(self) -> Array:
        """Answers as given, (n, p)."""
        return self.raw.to_numpy(dtype=float)

    @property
    def keyed_values(self) -> Array:
        """Answers with reverse-worded items turned, (n, p)."""
        return self.keyed.to_numpy(dtype=float)

    @property
    def places(self) -> list[npt.NDArray[np.intp]]:
        """Columns of each dimension."""
        where = {item: i for i, item in enumerate(self.items)}
        return [
            np.array([where[item] for item in items], dtype=np.intp)
            for items in self.dimensions.values()
        ]

    @property
    def ends(self) -> Array:
        """Lowest and highest answer of each item, (p, 2): declared, else as used."""
        values = self.raw_values
        given = ~np.isnan(values)
        low = np.where(given, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(given, values, -np.inf).max(axis=0, initial=-np.inf)
        ends = np.column_stack([low, high])
        ends[~np.isfinite(ends)] = np.nan
        for i, item in enumerate(self.items):
            if item in self.scale:
                ends[i] = self.scale[item]
        return ends


def gather(
    data: Any,
    *,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    duration: str | None = None,
    attention: Mapping[str, Any] | None = None,
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    reverse: Sequence[str] = (),
    impossible: Mapping[str, str] | None = None,
) -> Material:
    """Gather what screening looks at; parameters as for ``screen``."""
    survey = data if isinstance(data, Survey) else None
    frame = survey.frame if survey is not None else as_pandas(data)
    if frame.empty:
        raise SurveyError(
            f"There are {len(frame)} rows and {frame.shape[1]} columns to screen.",
            remedy="Pass the answers of at least one respondent to at least one item.",
        )
    checks = dict(attention or {})
    require_columns(frame, checks, "attention check")
    if duration is not None:
        require_columns(frame, [duration], "duration")
    if dimensions is None:
        dimensions = survey.dimensions if survey is not None else {}
    named = {
        str(name): tuple(dict.fromkeys(item for item in items if item not in checks))
        for name, items in dimensions.items()
    }
    named = {name: items for name, items in named.items() if items}
    wanted = list(dict.fromkeys(item for items in named.values() for item in items))
    if wanted:
        require_columns(frame, wanted)
    else:
        wanted = [
            str(name)
            for name in frame.columns
            if name != duration and name not in checks and frame[name].dtype.kind in "iuf"
        ]
        if not wanted:
            raise SurveyError(
                "No column holds numbers, so there is nothing to screen.",
                remedy="Recode text answers to numbers first, or name the items by dimensions=.",
            )
    # The order of the questionnaire is that of the columns, not that of the dimensions.
    chosen = set(wanted)
    items = [str(name) for name in frame.columns if name in chosen]
    answers = numeric_items(frame, items)
    scales = _scales(items, scale, survey)
    raw, keyed, backward = _turned(answers, scales, survey, reverse)
    # Rules speak of answers as they were ticked.
    ticked = frame.copy()
    ticked[items] = raw
    return Material(
        raw=raw,
        keyed=keyed,
        dimensions=named,
        scale=scales,
        reverse=backward,
        duration=None
        if duration is None
        else numeric_items(frame, [duration])[duration].to_numpy(dtype=float),
        attention_failed=_failed(frame, checks) if checks else None,
        impossible=impossible_answers(ticked, impossible) if impossible else None,
    )


def _scales(
    items: Sequence[str],
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None,
    survey: Survey | None,
) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    if survey is not None:
        found = {name: survey.scales[name] for name in items if name in survey.scales}
    if isinstance(scale, Mapping):
        found |= {name: scale[name] for name in items if name in scale}
    elif scale is not None:
        found |= dict.fromkeys(items, scale)
    for name, ends in found.items():
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise OptionError(
                f"The scale of {name!r} is {ends!r}.",
                remedy="Give the lowest and the highest answer, as in scale=(1, 7).",
            )
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def _turned(
    answers: pd.DataFrame,
    scales: Mapping[str, tuple[float, float]],
    survey: Survey | None,
    reverse: Sequence[str],
) -> tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.bool_]]:
    """Return answers as given, answers as keyed, and which items are worded in reverse."""
    backward = set(reverse)
    done: set[str] = set()
    if survey is not None:
        done = set(survey.reversed_items)
        backward |= done | set(survey.unturned_items)
    unknown = [name for name in reverse if name not in answers.columns]
    if unknown:
        raise OptionError(
            f"reverse= names {unknown[0]!r}, which is not among the items.",
            remedy="Correct the name, or leave it out.",
        )
    without = [name for name in answers.columns if name in backward and name not in scales]
    if without:
        raise OptionError(
            f"Item {without[0]!r} is to be turned but its scale is not known.",
            remedy="Pass scale=(lowest, highest).",
        )
    turned = answers.assign(
        **{
            name: scales[name][0] + scales[name][1] - answers[name].to_numpy(dtype=float)
            for name in answers.columns
            if name in backward
        }
    )
    raw = answers.assign(**{name: turned[name] for name in answers.columns if name in done})
    still = [name for name in answers.columns if name in backward and name not in done]
    keyed = answers.assign(**{name: turned[name] for name in still})
    return raw, keyed, np.array([name in backward for name in answers.columns])


def _failed(frame: pd.DataFrame, checks: Mapping[str, Any]) -> Array:
    failed = np.zeros(len(frame))
    for name, right in checks.items():
        column = frame[name]
        if isinstance(right, int | float) and not isinstance(right, bool):
            given = pd.to_numeric(column, errors="coerce")
            wrong = column.notna() & ~(given == right)
        else:
            wrong = column.notna() & (column.astype(str).str.strip() != str(right).strip())
        failed += wrong.to_numpy(dtype=bool)
    return failed
