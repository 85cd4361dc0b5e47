"""What must hold of the answers before anything is computed from them."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import SurveyError

__all__ = ["check_items", "check_range", "duplicate_columns", "numeric_items", "require_columns"]

_SHOWN = 5
# Cells off the scale are a list to work through, not an example.
_SHOWN_CELLS = 20


def _cells(frame: pd.DataFrame, item: str, rows: Iterable[int]) -> str:
    """Name the first cells of an item: row label and value."""
    chosen = list(rows)
    shown = ", ".join(
        f"row {frame.index[row]}: {frame[item].iloc[row]!s}" for row in chosen[:_SHOWN]
    )
    more = len(chosen) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def duplicate_columns(columns: Sequence[str], where: str = "The data") -> None:
    """Refuse a column name that stands more than once.

    Parameters
    ----------
    columns : sequence of str
        Names in order.
    where : str
        Subject of the message.

    Raises
    ------
    SurveyError
        Names the columns and their places, counted from 1.
    """
    if len(set(columns)) == len(columns):
        return
    for name, count in Counter(columns).items():
        if count > 1:
            places = [str(i) for i, other in enumerate(columns, start=1) if other == name]
            raise SurveyError(
                f"{where} has column {name!r} more than once (columns {', '.join(places)}).",
                remedy="Give every column its own name.",
            )


def require_columns(frame: pd.DataFrame, wanted: Iterable[str], what: str = "item") -> None:
    """Refuse a frame that lacks a column, and name what comes close.

    Parameters
    ----------
    frame : pandas.DataFrame
        The answers.
    wanted : iterable of str
        Columns that must be there.
    what : str
        What a column is called in the message.

    Raises
    ------
    SurveyError
        Names every missing column and its close matches.
    """
    present = [str(column) for column in frame.columns]
    known = set(present)
    missing = [name for name in dict.fromkeys(wanted) if name not in known]
    if not missing:
        return
    told = []
    for name in missing[:_SHOWN]:
        near = difflib.get_close_matches(name, present, n=3)
        near += [c for c in present if c.lower() == name.lower() and c not in near]
        told.append(f"{name!r}" + (f" (close: {', '.join(map(repr, near))})" if near else ""))
    if len(missing) > _SHOWN:
        told.append(f"{len(missing) - _SHOWN} more")
    columns = ", ".join(present[:30]) + (", ..." if len(present) > 30 else "")
    raise SurveyError(
        f"The data have no column for {what} {', '.join(told)}.",
        remedy=f"Correct the name or map the column to it. Columns there are: {columns}.",
    )


def numeric_items(frame: pd.DataFrame, items: Sequence[str]) -> pd.DataFrame:
    """Return some columns as numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        The answers.
    items : sequence of str
        Columns to take; they must be there.

    Returns
    -------
    pandas.DataFrame
        float64, NaN where missing, index kept.

    Raises
    ------
    SurveyError
        A cell that is no number, or is infinite; names the item, the rows and the values.
    """
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for item in items:
        series = frame[item]
        if series.dtype.kind in "iufb":
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            # Categories, decimals and mixed cells: what reads as a number is one.
            values = pd.to_numeric(series.astype(object), errors="coerce").to_numpy(
                dtype=np.float64, na_value=np.nan
            )
            text = np.flatnonzero(np.isnan(values) & ~series.isna().to_numpy())
            if text.size:
                raise SurveyError(
                    f"Item {item!r} has cells that are not numbers ({_cells(frame, item, text)}).",
                    remedy="Recode text answers to numbers, or declare them as missing codes.",
                )
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            raise SurveyError(
                f"Item {item!r} has infinite values ({_cells(frame, item, infinite)}).",
                remedy="Correct these cells.",
            )
        columns[item] = values
    return pd.DataFrame(columns, index=frame.index)


def check_range(frame: pd.DataFrame, scales: Mapping[str, tuple[float, float]]) -> None:
    """Refuse answers outside the scale of their item.

    Parameters
    ----------
    frame : pandas.DataFrame
        Answers as numbers; columns without a scale are not looked at.
    scales : mapping of str to (float, float)
        Item to its lowest and highest answer.

    Raises
    ------
    SurveyError
        Names the cells (the first ones where there are many), how many there are in all, and the
        scale.
    """
    told: list[str] = []
    total, crossed = 0, set()
    for item, (low, high) in scales.items():
        if item not in frame.columns:
            continue
        values = frame[item].to_numpy(dtype=np.float64)
        outside = np.flatnonzero((values < low) | (values > high))
        total += outside.size
        told += [
            f"item {item!r}, row {frame.index[row]}: {values[row]:g}"
            for row in outside[: max(_SHOWN_CELLS - len(told), 0)]
        ]
        if outside.size:
            crossed.add(f"{low:g} to {high:g}")
    if total:
        more = f" and {total - len(told)} more" if total > len(told) else ""
        raise SurveyError(
            f"{total} answer{'s lie' if total > 1 else ' lies'} outside the scale of "
            f"{' or '.join(sorted(crossed))} ({'; '.join(told)}{more}).",
            remedy="Correct the cells, declare codes for missing answers (missing_codes), or give "
            "the scale that was used.",
        )


def check_items(
    frame: pd.DataFrame, items: Sequence[str], *, group: str | None = None
) -> pd.DataFrame:
    """Check the answers to a set of items before a model is fitted to them.

    Parameters
    ----------
    frame : pandas.DataFrame
        The answers; other columns are not looked at.
    items : sequence of str
        Columns the analysis needs.
    group : str, optional
        Column that says which group a respondent belongs to.

    Returns
    -------
    pandas.DataFrame
        The items as float64, NaN where missing, and the group column as it was; index kept.

    Raises
    ------
    SurveyError
        A missing column, text, an item without answers, a constant item, two items with
        identical answers, not more complete rows than items (in any group), a group with one
        respondent, or a respondent without a group.
    """
    duplicate_columns([str(column) for column in frame.columns])
    require_columns(frame, items)
    if group is not None:
        require_columns(frame, [group], what="the group variable")
    numbers = numeric_items(frame, items)
    seen: dict[bytes, str] = {}
    for item in items:
        values = numbers[item].to_numpy()
        observed = values[~np.isnan(values)]
        if observed.size == 0:
            raise SurveyError(
                f"Item {item!r} has no answers: all {len(values)} cells are missing.",
                remedy="Leave the item out, or correct its missing codes.",
            )
        if np.all(observed == observed[0]):
            raise SurveyError(
                f"Item {item!r} is constant: every answer is {observed[0]:g}.",
                remedy="Leave the item out; without variance it can say nothing.",
            )
        # Adding 0.0 makes -0.0 and 0.0 one value, so that equal columns are equal bytes.
        content = (values + 0.0).tobytes()
        if content in seen:
            raise SurveyError(
                f"Items {seen[content]!r} and {item!r} have identical answers in every row.",
                remedy="One is a copy of the other: leave one out, or correct the column map.",
            )
        seen[content] = item
    complete = ~np.isnan(numbers.to_numpy()).any(axis=1)
    if group is None:
        _enough(int(complete.sum()), len(frame), len(items), "")
        return numbers
    labels = frame[group]
    lost = np.flatnonzero(labels.isna().to_numpy())
    if lost.size:
        rows = ", ".join(str(frame.index[row]) for row in lost[:_SHOWN])
        raise SurveyError(
            f"{lost.size} respondent{'s have' if lost.size > 1 else ' has'} no value in group "
            f"variable {group!r} (row {rows}{', ...' if lost.size > _SHOWN else ''}).",
            remedy="Fill in the group or drop these rows.",
        )
    for label in labels.drop_duplicates():
        member = (labels == label).to_numpy()
        if member.sum() == 1:
            raise SurveyError(
                f"Group {label!s} of {group!r} has one respondent only "
                f"(row {frame.index[int(np.flatnonzero(member)[0])]}).",
                remedy="Drop the row or merge the group with another.",
            )
        _enough(
            int((complete & member).sum()), int(member.sum()), len(items), f" in group {label!s}"
        )
    return numbers.assign(**{group: labels})


def _enough(n_complete: int, n_rows: int, n_items: int, where: str) -> None:
    if n_complete > n_items:
        return
    raise SurveyError(
        f"There are {n_items} items but only {n_complete} complete rows (of {n_rows}){where}.",
        remedy="More complete rows than items are needed: use fewer items, or collect more "
        "answers.",
    )
