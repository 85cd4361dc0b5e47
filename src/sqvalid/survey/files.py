"""Reading answers from a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from sqvalid.errors import SurveyError, UnsupportedError, check_choice
from sqvalid.instruments import Instrument
from sqvalid.survey.answer_words import answer_codes, carries_number, is_no_answer
from sqvalid.survey.checks import duplicate_columns, numeric_items, require_columns
from sqvalid.survey.record import AuditEntry, Survey
from sqvalid.survey.statistical_file import Labelled, read_labelled
from sqvalid.survey.text_file import read_cells
from sqvalid.survey.workbook import read_sheet

__all__ = ["existing_file", "read_frame", "read_survey"]

_TEXT = (".csv", ".tsv", ".txt", ".dat")
_WORKBOOK = (".xlsx", ".xlsm")
_STATISTICAL = (".sav", ".zsav", ".dta")
_MISSING_WORDS = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "."})
_POINT = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
# Marks between thousands, by decimal mark; blanks and apostrophes with either.
_BLANKS = " \u00a0\u202f'\u2019"
_GROUP_MARKS = {",": re.compile(rf"[.{_BLANKS}]"), ".": re.compile(rf"[,{_BLANKS}]")}
_GROUPED = {
    ",": re.compile(rf"[+-]?\d{{1,3}}(?:\.\d{{3}}|[{_BLANKS}]\d{{3}})+(?:,\d+)?"),
    ".": re.compile(rf"[+-]?\d{{1,3}}(?:,\d{{3}}|[{_BLANKS}]\d{{3}})+(?:\.\d+)?"),
}
_BOTH = {
    ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+"),
    ".": re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+"),
}
# A decimal point, and no marks between thousands.
_UNGROUPED = "ungrouped"
# Share of the widest row that a head fills; less is a row of titles or of merged groups.
_HEAD_SHARE = 0.6
_HEAD_WITHIN = 10


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be read.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    SurveyError
        There is no such file, it is a directory, empty, or may not be read.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise SurveyError(
                f"{str(file)!r} is a directory, not a file.",
                remedy="Give the path of the file in it.",
            )
        if not file.exists():
            raise SurveyError(
                f"There is no file {str(file)!r}.",
                remedy=f"Check the path; it is looked up from {str(Path.cwd())!r}."
                if not file.is_absolute()
                else "Check the path.",
            )
        with file.open("rb") as stream:
            if not stream.read(1):
                raise SurveyError(
                    f"File {str(file)!r} is empty.",
                    remedy="Check that the export was completed.",
                )
    except OSError as error:
        raise SurveyError(
            f"File {str(file)!r} cannot be read: {error.strerror}.",
            remedy="Check that you may read it and that no other program holds it.",
        ) from error
    return file


def _decimal_mark(columns: Iterable[Sequence[str]]) -> str:
    """Return "," when numbers of the file have a decimal comma and none has a decimal point.

    "1.234" beside "3,5" has thousands, and so has "1,234" beside "3.5".
    """
    commas = points = grouped_points = False
    for cells in columns:
        for cell in cells:
            if "," in cell:
                if _BOTH[","].fullmatch(cell):
                    return ","
                if _BOTH["."].fullmatch(cell):
                    return "."
                commas = commas or _COMMA.fullmatch(cell) is not None
            elif "." in cell and _POINT.fullmatch(cell):
                if _GROUPED[","].fullmatch(cell):
                    grouped_points = True
                else:
                    points = True
    if points or (grouped_points and not commas):
        return "."
    return "," if commas else "."


def _plain_number(cell: str, decimal: str) -> str:
    """A number as Python writes it: no marks between thousands, a decimal point."""
    if decimal in _GROUPED and _GROUPED[decimal].fullmatch(cell):
        cell = _GROUP_MARKS[decimal].sub("", cell)
    return cell.replace(",", ".") if decimal == "," else cell


def _typed(cells: Sequence[str], decimal: str, missing: frozenset[str]) -> pd.Series[Any]:
    """Return a column as numbers when every cell that is there is one, else as text."""
    text = np.array(cells, dtype=object)
    absent = np.array([cell in missing for cell in cells])
    plain = [
        "" if gone else _plain_number(cell, decimal)
        for cell, gone in zip(cells, absent, strict=True)
    ]
    try:
        # float() takes "1_000" and "infinity", which no export means as numbers.
        if any("_" in cell for cell in plain):
            raise ValueError
        numbers = np.array([float(cell) if cell else np.nan for cell in plain])
    except ValueError:
        text[[cell == "" for cell in cells]] = None
        return pd.Series(text, dtype=object)
    if absent.all():
        return pd.Series(numbers)
    whole = not absent.any() and all(cell.lstrip("+-").isdigit() for cell in plain)
    if whole and np.abs(numbers).max() < 2.0**53:
        return pd.Series(numbers.astype(np.int64))
    return pd.Series(numbers)


def _code_words(codes: Iterable[object]) -> frozenset[str]:
    words = set()
    for code in codes:
        words.add(str(code).strip())
        if isinstance(code, float) and code.is_integer():
            words.add(str(int(code)))
    return frozenset(words)


def _without_codes(
    frame: pd.DataFrame, columns: Iterable[str], codes: Sequence[object]
) -> tuple[pd.DataFrame, int]:
    """Return the frame with missing codes made missing, and how many cells that were."""
    if not codes:
        return frame, 0
    words = _code_words(codes)
    values = {float(word) for word in words if _is_number(word)}
    changed: dict[str, pd.Series[Any]] = {}
    count = 0
    for column in columns:
        series = frame[column]
        if series.dtype.kind in "iuf":
            hit = series.isin(values)
        else:
            hit = series.astype(object).isin(words)
        if not hit.any():
            continue
        count += int(hit.sum())
        kept = series.astype(float if series.dtype.kind in "iuf" else object).mask(hit)
        # A column that was text only because of its codes is one of numbers now.
        if kept.dtype == object:
            cells = ["" if pd.isna(cell) else str(cell) for cell in kept]
            kept = _typed(cells, ".", _MISSING_WORDS).set_axis(frame.index)
        changed[column] = kept
    return frame.assign(**changed), count


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _head_row(rows: list[list[str]]) -> tuple[int, int]:
    """Rows of the head and of the first respondent, counted from 0.

    Above the head there may be titles, or names of groups of columns in merged cells; below it
    some exports repeat the questions and have a row of technical names.
    """
    start = next(i for i, row in enumerate(rows) if any(row))
    top = rows[start : start + _HEAD_WITHIN]
    filled = [sum(map(bool, row)) for row in top]
    needed = _HEAD_SHARE * max(filled)
    chosen = next(i for i, count in enumerate(filled) if count >= needed)
    # A row with numbers is no head: then the first row is, whatever it leaves unnamed.
    if chosen and not any(_is_number(cell.replace(",", ".")) for cell in top[chosen] if cell):
        start += chosen
    body = start + 1
    for i in range(body, min(body + 2, len(rows))):
        if any(cell.startswith('{"ImportId"') for cell in rows[i]):
            body = i + 1
    return start, body


def _from_cells(
    rows: list[list[str]], decimal: str | None, path: Path
) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """A frame of the cells, and the numbers of the rows that are neither head nor answers."""
    start, first = _head_row(rows)
    skipped = tuple(i + 1 for i in (*range(start), *range(start + 1, first)) if any(rows[i]))
    head = [name or f"column_{j}" for j, name in enumerate(rows[start], start=1)]
    # Rows are named as a spreadsheet shows them: the first one is row 1.
    body = [(i, row) for i, row in enumerate(rows[first:], start=first + 1) if any(row)]
    if not body:
        raise SurveyError(
            f"File {str(path)!r} has a head ({', '.join(head[:8])}, ...) but no rows.",
            remedy="Check that the export was completed.",
        )
    columns = list(zip(*(row for _, row in body), strict=True))
    # A column with neither a name nor an answer is the width of the sheet, not a variable.
    there = [
        j
        for j, (name, cells) in enumerate(zip(rows[start], columns, strict=True))
        if name or any(cells)
    ]
    head, columns = [head[j] for j in there], [columns[j] for j in there]
    duplicate_columns(head, f"File {str(path)!r}")
    mark = decimal or _decimal_mark(columns)
    labels = [number for number, _ in body]
    index: pd.Index[Any] = (
        pd.RangeIndex(labels[0], labels[-1] + 1, name="row")
        if labels[-1] - labels[0] + 1 == len(labels)
        else pd.Index(labels, name="row")
    )
    frame = pd.DataFrame(
        {
            name: _typed(cells, mark, _MISSING_WORDS).set_axis(index)
            for name, cells in zip(head, columns, strict=True)
        }
    )
    return frame, skipped


def _words_to_numbers(
    frame: pd.DataFrame,
    items: Sequence[str],
    instrument: Instrument | None,
    answers: Mapping[str, float],
    scales: Mapping[str, tuple[float, float]],
) -> tuple[pd.DataFrame, list[str], int]:
    """Read answers given in words: the frame, the items that were, cells that say nothing.

    A column in which numbers are mixed with words that carry none is left as it is: more likely
    than a scale it has a slip, which the check of the items names by its row. Labels at the ends
    only ("1 - never", 2, 3, "4 - always") are no slip.
    """
    texts: dict[str, list[str]] = {}
    silent: dict[str, pd.Series[Any]] = {}
    count = 0
    for item in items:
        series = frame[item]
        if series.dtype.kind in "iufbM":
            continue
        cells = [cell if isinstance(cell, str) and cell.strip() else None for cell in series]
        gone = [cell is not None and is_no_answer(cell) for cell in cells]
        found = dict.fromkeys(
            cell for cell, no in zip(cells, gone, strict=True) if cell is not None and not no
        )
        if any(map(_is_number, found)) and not all(map(carries_number, found)):
            continue
        if found or any(gone):
            count += sum(gone)
            kept = [None if no else cell for cell, no in zip(cells, gone, strict=True)]
            silent[item] = pd.Series(kept, index=series.index, dtype=object)
            texts[item] = list(found)
    if not texts:
        return frame, [], 0
    known = {} if instrument is None else {item.id: item for item in instrument.items}
    own = {name: known[name] for name in texts if name in known}
    codes = answer_codes(
        {name: words for name, words in texts.items() if words},
        {name: (item.scale_min, item.scale_max) for name, item in own.items()}
        | {name: scales[name] for name in texts if name in scales},
        {name: tuple(item.anchors.values()) for name, item in own.items()},
        answers,
    )
    changed = {
        name: pd.Series(
            [np.nan if cell is None else codes[name][cell] for cell in cells],
            index=cells.index,
            dtype=float,
        )
        for name, cells in silent.items()
    }
    return frame.assign(**changed), [name for name in texts if texts[name]], count


def _without_labelled(
    frame: pd.DataFrame,
    labelled: Labelled,
    columns: Mapping[str, str],
    items: Sequence[str],
    named: Sequence[str],
) -> tuple[pd.DataFrame, int]:
    """Make codes missing whose label says that there is no answer; count declared ones, too.

    Only in the items that are known to be items: elsewhere "not used" may be an answer.
    """
    count = sum(
        n for name, n in labelled.n_user_missing.items() if columns.get(name, name) in items
    )
    changed: dict[str, pd.Series[Any]] = {}
    for name, labels in labelled.value_labels.items():
        item = columns.get(name, name)
        silent = [code for code, label in labels.items() if is_no_answer(label)]
        if item not in named or not silent:
            continue
        hit = frame[item].isin(silent)
        if hit.any():
            count += int(hit.sum())
            changed[item] = frame[item].astype(float).mask(hit)
    return frame.assign(**changed), count


def read_frame(
    path: str | os.PathLike[str],
    *,
    missing_codes: Sequence[object] = (),
    sheet: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    """Read a file of answers into a plain frame.

    Parameters
    ----------
    path : str or path
        ``.csv`` (also ``.tsv``, ``.txt``, ``.dat``), ``.xlsx``, ``.sav``, ``.zsav`` or ``.dta``;
        one row per respondent, names in the first row.
    missing_codes : sequence, optional
        Values that mean "no answer", in every column, e.g. ``(-99, "refused")``. Empty cells,
        NA, NaN, NULL and a lone point always do.
    sheet : str, optional
        Sheet of a workbook; the first when None.
    delimiter : str, optional
        Of a text file; sniffed among comma, semicolon, tab and bar when None.
    decimal : {".", ","}, optional
        Decimal mark; found when None, and "." where commas delimit the cells.
    encoding : str, optional
        Of a text file; found when None: by its byte order mark, as UTF-8, or by what the
        characters look like. Of the texts in a .sav or .dta file that does not say it.

    Returns
    -------
    pandas.DataFrame
        Columns of numbers are int64 or float64, others object. The index ``row`` counts rows
        as a spreadsheet shows them: the first respondent is row 2 (row 1 in .sav and .dta,
        which have no head). Blank rows are left out. A column without a name gets
        ``column_<place>``.

    Raises
    ------
    SurveyError
        No such file, a directory, no permission, an empty or binary file, a wrong delimiter
        or encoding, rows of unequal length, double column names, or no rows.
    UnsupportedError
        A kind of file that is not read.
    """
    frame = _read(path, sheet=sheet, delimiter=delimiter, decimal=decimal, encoding=encoding).frame
    return _without_codes(frame, frame.columns, missing_codes)[0]


@dataclass(frozen=True)
class _Source:
    """What a file holds: the answers, its name for the audit trail, labels, rows left aside."""

    frame: pd.DataFrame
    name: str
    labelled: Labelled | None = None
    skipped: tuple[int, ...] = ()


def _read(
    path: str | os.PathLike[str],
    *,
    sheet: str | None,
    delimiter: str | None,
    decimal: str | None,
    encoding: str | None,
) -> _Source:
    """Read a file of any kind."""
    file = existing_file(path)
    kind = file.suffix.lower()
    if decimal not in (None, ".", ","):
        raise SurveyError(f"decimal={decimal!r} is no decimal mark.", remedy="Give '.' or ','.")
    if kind in _TEXT:
        rows, used, found = read_cells(file, delimiter=delimiter, encoding=encoding)
        # Between commas a cell such as "1,234" may have thousands or decimals: neither is guessed.
        mark = decimal or (_UNGROUPED if used == "," else None)
        told = "" if found.startswith("utf-8") or found == "ascii" else f" [{found}]"
        frame, skipped = _from_cells(rows, mark, file)
        return _Source(frame, f"{file.name}{told}", None, skipped)
    if kind in _WORKBOOK:
        rows, title = read_sheet(file, sheet=sheet)
        frame, skipped = _from_cells(rows, decimal, file)
        return _Source(frame, f"{file.name} [{title}]", None, skipped)
    if kind in _STATISTICAL:
        labelled = read_labelled(file, encoding)
        return _Source(labelled.frame, file.name, labelled)
    what = f"of kind {kind!r}" if kind else "without an ending"
    raise UnsupportedError(
        f"File {str(file)!r}: files {what} are not read.",
        remedy="Save the answers as .csv, .xlsx, .sav or .dta, or read them with pandas and "
        "pass the frame.",
    )


def read_survey(
    path: str | os.PathLike[str],
    *,
    instrument: Instrument | None = None,
    columns: Mapping[str, str] | None = None,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    missing_codes: Sequence[object] = (),
    answers: Mapping[str, float] | None = None,
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    reverse: Sequence[str] = (),
    out_of_range: Literal["refuse", "missing"] = "refuse",
    keyed: bool = False,
    sheet: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> Survey:
    """Read a file of answers into a Survey.

    Parameters
    ----------
    path : str or path
        See :func:`read_frame`.
    instrument : Instrument, optional
        What was asked.
    columns : mapping of str to str, optional
        Column of the file to item id, e.g. ``{"Q1_1": "P1"}``. Columns that are not named
        keep their names.
    dimensions : mapping of str to sequence of str, optional
        Dimension to item columns, where there is no instrument.
    missing_codes : sequence, optional
        Values that mean "no answer", in the item columns. Codes that a .sav or .dta file
        declares as missing, or labels so ("don't know"), always do.
    answers : mapping of str to float, optional
        Words to numbers, e.g. ``{"rather good": 4}``, for answers in words that are neither the
        anchors of the instrument nor among the scales whose words are known ("strongly agree",
        "非常同意", "5 - agree").
    scale : (float, float) or mapping of str to (float, float), optional
        Lowest and highest answer: of all items of `dimensions`, or by item or dimension; goes
        before the instrument's own.
    reverse : sequence of str, optional
        Items worded in reverse, where there is no instrument to say so.
    out_of_range : {"refuse", "missing"}
        What becomes of answers outside the scale of their item: they are listed and the file is
        refused, or they are made missing and the audit trail says so.
    keyed : bool
        The answers to reverse-worded items stand in the file already turned, so that a high
        answer means a high standing; they will not be turned again.
    sheet, delimiter, decimal, encoding : str, optional
        See :func:`read_frame`.

    Returns
    -------
    Survey
        Answers as they stand in the file; :meth:`Survey.reverse_keyed` turns what is left to
        turn.

    Raises
    ------
    SurveyError
        What :func:`read_frame` and :class:`Survey` refuse, or a column map that does not fit.
    UnsupportedError
        A kind of file that is not read.
    """
    source = _read(path, sheet=sheet, delimiter=delimiter, decimal=decimal, encoding=encoding)
    frame, labelled = source.frame, source.labelled
    check_choice("out_of_range", out_of_range, ("refuse", "missing"))
    if columns:
        require_columns(frame, columns, what="the column map's")
        renamed = [columns.get(str(column), str(column)) for column in frame.columns]
        duplicate_columns(renamed, f"After the column map, file {str(path)!r}")
        frame = frame.set_axis(renamed, axis=1)
    asked = set() if instrument is None else set(instrument.item_ids)
    asked |= {item for items in (dimensions or {}).values() for item in items}
    items = [column for column in frame.columns if not asked or column in asked]
    frame, n_codes = _without_codes(frame, items, missing_codes)
    named = [item for item in items if item in asked]
    scales = _scales(scale, dimensions or {}, named)
    frame, worded, n_silent = _words_to_numbers(frame, named, instrument, answers or {}, scales)
    n_codes += n_silent
    if labelled is not None:
        frame, n_labelled = _without_labelled(frame, labelled, columns or {}, items, named)
        n_codes += n_labelled
    details = {"file": source.name, "n_columns": frame.shape[1], "n_codes": n_codes}
    audit = [AuditEntry("read", details, len(frame), len(frame))]
    if source.skipped:
        told: dict[str, Any] = {"rows": source.skipped}
        audit.append(AuditEntry("head", told, len(frame), len(frame)))
    if worded:
        told = {"items": tuple(worded)}
        audit.append(AuditEntry("words", told, len(frame), len(frame)))
    if out_of_range == "missing":
        known = scales
        if instrument is not None:
            own = {i.id: (i.scale_min, i.scale_max) for i in instrument.items}
            known = own | scales
        frame, cells = _within_scales(frame, known)
        if cells:
            told = {"items": tuple(cells), "n_cells": sum(cells.values())}
            audit.append(AuditEntry("out_of_range", told, len(frame), len(frame)))
    backward = list(reverse)
    if instrument is not None:
        backward += [item.id for item in instrument.items if item.reverse]
    turned = frozenset(name for name in backward if keyed and name in frame.columns)
    return Survey(
        frame,
        instrument,
        dimensions or {},
        audit=tuple(audit),
        reversed_items=turned,
        scales=scales,
        reverse=frozenset(reverse),
    )


def _within_scales(
    frame: pd.DataFrame, scales: Mapping[str, tuple[float, float]]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Make answers outside their scale missing, and count them by item."""
    there = [name for name in scales if name in frame.columns]
    numbers = numeric_items(frame, there)
    counts: dict[str, int] = {}
    changed: dict[str, pd.Series[Any]] = {}
    for name in there:
        low, high = scales[name]
        outside = (numbers[name] < low) | (numbers[name] > high)
        if outside.any():
            counts[name] = int(outside.sum())
            changed[name] = numbers[name].mask(outside)
    return frame.assign(**changed), counts


def _scales(
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None,
    dimensions: Mapping[str, Sequence[str]],
    items: Sequence[str],
) -> dict[str, tuple[float, float]]:
    """Scale by item, from one for all or one for each item or dimension."""
    if scale is None:
        return {}
    if not isinstance(scale, Mapping):
        return dict.fromkeys(items, scale)
    found: dict[str, tuple[float, float]] = {}
    # What is said of an item goes before what is said of its dimension.
    for name, ends in sorted(scale.items(), key=lambda entry: entry[0] not in dimensions):
        found |= dict.fromkeys(dimensions.get(name, (name,)), ends)
    return found
