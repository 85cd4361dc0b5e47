"""Survey: answers, what they are answers to, and what has been done to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, cast

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid import wording
from sqvalid.errors import InputError, SurveyError
from sqvalid.instruments import GapKind, Instrument
from sqvalid.survey.checks import (
    check_range,
    duplicate_columns,
    numeric_items,
    require_columns,
)

__all__ = ["AuditEntry", "Survey", "as_pandas", "content_sha256"]


@dataclass(frozen=True)
class AuditEntry:
    """One step on the way from the file to the answers that are analysed.

    Parameters
    ----------
    step : {"read", "words", "built", "dropped", "recoded", "reverse_keyed", "gaps",
        "out_of_range", "head"}
        What was done; its sentence is ``audit.<step>`` in the wording tables.
    details : mapping
        What the sentence quotes.
    n_before, n_after : int
        Rows before and after.
    """

    step: str
    details: Mapping[str, Any]
    n_before: int
    n_after: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    def sentence(self, lang: str = "en") -> str:
        """Return the step in words."""
        joined = {
            key: wording.text("format.list_separator", lang).join(map(str, value))
            if isinstance(value, list | tuple)
            else value
            for key, value in self.details.items()
        }
        return wording.text(
            f"audit.{self.step}",
            lang,
            n_before=self.n_before,
            n_after=self.n_after,
            n_dropped=self.n_before - self.n_after,
            **joined,
        )


def as_pandas(frame: Any) -> pd.DataFrame:
    """Return a data frame of any library as a pandas frame of its own.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame or another eager frame that narwhals knows
        Rows are respondents.

    Returns
    -------
    pandas.DataFrame
        A copy; column names are strings.

    Raises
    ------
    InputError
        It is no data frame.
    SurveyError
        A column name stands more than once.
    """
    if isinstance(frame, pd.DataFrame):
        duplicate_columns([str(column) for column in frame.columns])
        return frame.copy().set_axis([str(column) for column in frame.columns], axis=1)
    try:
        native = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise InputError(
            f"{type(frame).__name__} is not a data frame.",
            remedy="Pass a pandas or polars DataFrame, or a Survey.",
        ) from error
    columns = {
        name: native[name].to_numpy() if native[name].dtype.is_numeric() else native[name].to_list()
        for name in native.columns
    }
    return pd.DataFrame(columns)


def content_sha256(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of what a frame says, whatever file or dtype it came in.

    Parameters
    ----------
    frame : pandas.DataFrame
        Column names, order of columns, order of rows and values count; the index does not.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(f"{frame.shape[0]} rows".encode())
    for name in frame.columns:
        series = frame[name]
        digest.update(f"\x00{name}\x00".encode())
        if series.dtype.kind in "iufb":
            values = series.to_numpy(dtype="<f8", na_value=np.nan) + 0.0
            # Every NaN gets the same bits; the sign and payload of a NaN mean nothing.
            digest.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())
        else:
            for cell in series:
                text = b"" if pd.isna(cell) else str(cell).encode()
                digest.update(f"{-1 if pd.isna(cell) else len(text)}:".encode() + text)
    return digest.hexdigest()


def _covered_dimensions(
    instrument: Instrument, columns: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the dimensions whose items the data have, in perceptions and outcomes first.

    A battery (for outcomes: a scale) may be absent as a whole; one that is there in part is
    left in, so that the missing items are told.
    """
    present = set(columns)
    unit_of = {
        item.id: (item.battery, item.dimension if item.battery == "outcome" else "")
        for item in instrument.items
    }
    collected = {unit for item, unit in unit_of.items() if item in present}
    batteries = [battery for battery, _ in collected]
    answered = [b for b in ("perception", "outcome") if b in batteries] or batteries
    if not answered:
        return {}
    found = {
        dimension: tuple(item for item in items if unit_of[item] in collected)
        for dimension, items in instrument.dimension_items(*answered).items()
    }
    return {dimension: items for dimension, items in found.items() if items}


@dataclass(frozen=True, repr=False, eq=False)
class Survey:
    """Answers of respondents to items; never changed, every step recorded.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame
        One row per respondent. Copied; becomes a pandas frame whose item columns are float64.
    instrument : Instrument, optional
        What was asked. Items that the data do not have may be missing only as a whole
        battery (or a whole outcome scale).
    dimensions : mapping of str to sequence of str, optional
        Dimension to item columns; needed when there is no instrument, and overrides the
        instrument's own otherwise.
    audit : tuple of AuditEntry, optional
        What was done before.
    reversed_items : frozenset of str, optional
        Items whose answers have been turned already, so that they are not turned twice.
    scales : mapping of str to (float, float), optional
        Item to its lowest and highest answer, where there is no instrument to say it; goes
        before the instrument's own. Afterwards it has the scales of all items of the data.
    reverse : frozenset of str, optional
        Items worded in reverse, besides those of the instrument; each needs a scale.

    Raises
    ------
    SurveyError
        Missing or double columns, text in an item, answers outside an item's scale, or a
        reverse-worded item without a scale.
    """

    frame: pd.DataFrame
    instrument: Instrument | None = None
    dimensions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    audit: tuple[AuditEntry, ...] = ()
    reversed_items: frozenset[str] = frozenset()
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reverse: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        frame = as_pandas(self.frame)
        if frame.empty:
            raise SurveyError(
                f"The survey has {len(frame)} rows and {frame.shape[1]} columns.",
                remedy="Pass the answers of at least one respondent to at least one item.",
            )
        dimensions = {str(name): tuple(items) for name, items in self.dimensions.items()}
        asked: list[str] = []
        if self.instrument is not None:
            if not dimensions:
                dimensions = _covered_dimensions(self.instrument, list(frame.columns))
                if not dimensions:
                    require_columns(frame, self.instrument.item_ids)
            asked = [item for item in self.instrument.item_ids if item in frame.columns]
        for name, items in dimensions.items():
            if not items:
                raise SurveyError(
                    f"Dimension {name!r} has no items.",
                    remedy="Name its item columns or leave it out.",
                )
            duplicate_columns(items, f"Dimension {name!r}")
        used = list(dict.fromkeys(item for items in dimensions.values() for item in items))
        require_columns(frame, used)
        scales = self._known_scales(frame, asked)
        require_columns(frame, self.reverse, what="the reverse-worded item")
        numbers = numeric_items(frame, list(dict.fromkeys([*used, *asked, *scales])))
        frame = frame.assign(**{str(name): numbers[name] for name in numbers.columns})
        check_range(frame, scales)
        object.__setattr__(self, "scales", MappingProxyType(scales))
        object.__setattr__(self, "reverse", frozenset(self.reverse))
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "dimensions", MappingProxyType(dimensions))
        object.__setattr__(self, "audit", tuple(self.audit))
        object.__setattr__(self, "reversed_items", frozenset(self.reversed_items))
        if not self.audit:
            entry = AuditEntry("built", {}, len(frame), len(frame))
            object.__setattr__(self, "audit", (entry,))

    def _known_scales(
        self, frame: pd.DataFrame, asked: Sequence[str]
    ) -> dict[str, tuple[float, float]]:
        """Scales of the items of the frame: the instrument's, then those that were given."""
        scales: dict[str, tuple[float, float]] = {}
        if self.instrument is not None:
            for name in asked:
                item = self.instrument.item(name)
                scales[name] = (item.scale_min, item.scale_max)
        require_columns(frame, self.scales, what="the scale of item")
        for name, ends in self.scales.items():
            if len(ends) != 2 or not float(ends[0]) < float(ends[1]):
                raise SurveyError(
                    f"The scale of item {name!r} is {list(ends)!r}.",
                    remedy="Give the lowest answer, then the highest, e.g. (1, 7).",
                )
            scales[str(name)] = (float(ends[0]), float(ends[1]))
        for name in sorted(self.reverse):
            if name not in scales:
                raise SurveyError(
                    f"Item {name!r} is worded in reverse and its scale is not known.",
                    remedy="Give the lowest and the highest answer, e.g. scale=(1, 7).",
                )
        return scales

    def __repr__(self) -> str:
        what = "" if self.instrument is None else f" of {self.instrument.id}"
        return (
            f"<Survey{what}: {len(self.frame)} respondents, {len(self.items)} items, "
            f"{len(self.dimensions)} dimensions>"
        )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def items(self) -> tuple[str, ...]:
        """Item columns of all dimensions, each once, in the order of the dimensions."""
        return tuple(dict.fromkeys(item for items in self.dimensions.values() for item in items))

    @property
    def data(self) -> pd.DataFrame:
        """The answers to :attr:`items`, float64, NaN where missing; a copy."""
        return self.frame.loc[:, list(self.items)].copy()

    @property
    def unturned_items(self) -> tuple[str, ...]:
        """Reverse-worded items of the data whose answers have not been turned yet."""
        own = () if self.instrument is None else self.instrument.items
        backward = [item.id for item in own if item.reverse]
        backward += [name for name in self.frame.columns if name in self.reverse]
        return tuple(
            name
            for name in dict.fromkeys(backward)
            if name in self.frame.columns and name not in self.reversed_items
        )

    def sha256(self) -> str:
        """Return the SHA-256 of the content of the frame; see :func:`content_sha256`."""
        return content_sha256(self.frame)

    def _with(
        self, frame: pd.DataFrame, step: str, details: Mapping[str, Any], **changes: Any
    ) -> Survey:
        entry = AuditEntry(step, details, len(self.frame), len(frame))
        return replace(self, frame=frame, audit=(*self.audit, entry), **changes)

    def drop(self, rows: Iterable[Any], reason: str) -> Survey:
        """Return the survey without some respondents.

        Parameters
        ----------
        rows : iterable
            Index labels of the rows to drop, or one truth value per row (True: drop).
        reason : str
            Why; goes into the audit trail.

        Returns
        -------
        Survey

        Raises
        ------
        SurveyError
            A label that is not there, a mask of the wrong length, or no row would remain.
        """
        chosen = list(rows)
        if chosen and all(isinstance(row, bool | np.bool_) for row in chosen):
            if len(chosen) != len(self.frame):
                raise SurveyError(
                    f"The mask has {len(chosen)} values for {len(self.frame)} rows.",
                    remedy="Give one truth value per row, or the labels of the rows.",
                )
            mask = np.asarray(chosen, dtype=bool)
        else:
            unknown = [row for row in chosen if row not in self.frame.index]
            if unknown:
                raise SurveyError(
                    f"There is no row {unknown[0]!r} to drop.",
                    remedy="Rows are named by the index of survey.frame.",
                )
            mask = self.frame.index.isin(chosen)
        if mask.all():
            raise SurveyError(
                "Dropping these rows would leave none.", remedy="Look at the rule that chose them."
            )
        return self._with(self.frame.loc[~mask], "dropped", {"reason": reason})

    def recode(
        self,
        items: str | Sequence[str],
        change: Mapping[float, float] | Callable[[float], float],
        reason: str,
    ) -> Survey:
        """Return the survey with the answers to some items changed.

        Parameters
        ----------
        items : str or sequence of str
            Columns to change.
        change : mapping or callable
            Old answer to new answer (answers that are not named stay as they are; NaN as the
            new one makes them missing), or a function of one answer.
        reason : str
            Why; goes into the audit trail.

        Returns
        -------
        Survey

        Raises
        ------
        SurveyError
            A column that is not there, or a new answer outside the scale of its item.
        """
        names = [items] if isinstance(items, str) else list(items)
        require_columns(self.frame, names)
        numbers = numeric_items(self.frame, names)

        def new(answer: float) -> float:
            if np.isnan(answer):
                return answer
            if isinstance(change, Mapping):
                return float(change.get(answer, answer))
            return float(change(answer))

        changed = {
            name: np.array([new(float(answer)) for answer in numbers[name]]) for name in names
        }
        details = {"items": tuple(names), "reason": reason}
        return self._with(self.frame.assign(**changed), "recoded", details)

    def reverse_keyed(self) -> Survey:
        """Return the survey with reverse-worded items turned: new = min + max - old.

        Returns
        -------
        Survey
            Itself when nothing is left to turn; items are never turned twice.
        """
        turned = self.unturned_items
        if not turned:
            return self
        changed: dict[str, npt.NDArray[np.float64]] = {}
        for name in turned:
            low, high = self.scales[name]
            answers = cast(npt.NDArray[np.float64], self.frame[name].to_numpy(dtype=np.float64))
            changed[name] = low + high - answers
        return self._with(
            self.frame.assign(**changed),
            "reverse_keyed",
            {"items": turned},
            reversed_items=self.reversed_items | set(turned),
        )

    def gap_scores(self, kind: GapKind = "gap") -> Survey:
        """Return the survey with difference scores beside the answers they are made of.

        Reverse-worded items are turned first: the difference of two answers to a statement that
        is worded in reverse has the wrong sign.

        Parameters
        ----------
        kind : {"gap", "adequacy", "superiority"}
            Perception minus expectation (``G1`` ...), minus adequate level (``MSA1`` ...), or
            minus desired level (``MSS1`` ...).

        Returns
        -------
        Survey
            With a column per statement that was asked in both batteries, NaN where either
            answer is missing; the dimensions of quality have the scores as their items.

        Raises
        ------
        SurveyError
            There is no instrument, or no statement was asked in both batteries.
        InstrumentError
            The instrument has no such pairs of statements.
        """
        if self.instrument is None:
            raise SurveyError(
                "Gap scores need an instrument that says which items ask about one statement.",
                remedy="Give the survey its instrument.",
            )
        turned = self.reverse_keyed()
        pairs = {
            name: pair
            for name, pair in self.instrument.gap_items(kind).items()
            if set(pair) <= set(turned.frame.columns)
        }
        if not pairs:
            raise SurveyError(
                f"The data have no statement in both batteries that a {kind} score needs.",
                remedy=f"Columns there are: {', '.join(map(str, turned.frame.columns[:30]))}.",
            )
        taken = [name for name in pairs if name in turned.frame.columns]
        if taken:
            raise SurveyError(
                f"The data have a column {taken[0]!r}, which is the name of a {kind} score.",
                remedy="Rename the column.",
            )
        scores: dict[str, pd.Series[float]] = {
            name: turned.frame[high] - turned.frame[low] for name, (high, low) in pairs.items()
        }
        home = {name: self.instrument.item(high).dimension for name, (high, _) in pairs.items()}
        parts = {part for pair in pairs.values() for part in pair}
        dimensions: dict[str, tuple[str, ...]] = {}
        for name, items in turned.dimensions.items():
            of_it = tuple(score for score, place in home.items() if place == name)
            if of_it or not set(items) <= parts:
                dimensions[name] = of_it or tuple(items)
        return turned._with(
            turned.frame.assign(**scores),
            "gaps",
            {"items": tuple(pairs), "kind": kind},
            dimensions=dimensions,
        )
