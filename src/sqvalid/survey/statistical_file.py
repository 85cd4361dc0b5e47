"""Files of SPSS and Stata: answers with labels and declared missing codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqvalid.errors import SurveyError

__all__ = ["Labelled", "read_labelled"]


@dataclass(frozen=True)
class Labelled:
    """What a file of a statistics package holds.

    Parameters
    ----------
    frame : pandas.DataFrame
        Cells as stored, user-missing codes made missing; index ``row`` from 1.
    variable_labels : mapping of str to str
        Column to its label, usually the question.
    value_labels : mapping of str to mapping of float or str to str
        Column to code to label.
    user_missing : mapping of str to tuple of str
        Column to the codes (or ranges of codes) that the file declares as missing.
    n_user_missing : int
        Cells that were missing by such a declaration.
    """

    frame: pd.DataFrame
    variable_labels: Mapping[str, str]
    value_labels: Mapping[str, Mapping[Any, str]]
    user_missing: Mapping[str, tuple[str, ...]]
    n_user_missing: int


def _word(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _spss_missing(
    frame: pd.DataFrame, ranges: Mapping[str, Any]
) -> tuple[dict[str, pd.Series[Any]], dict[str, tuple[str, ...]], int]:
    changed: dict[str, pd.Series[Any]] = {}
    declared: dict[str, tuple[str, ...]] = {}
    count = 0
    for column, parts in ranges.items():
        if column not in frame.columns or not parts:
            continue
        series = frame[column]
        hit = pd.Series(False, index=series.index)
        for part in parts:
            low, high = part["lo"], part["hi"]
            if isinstance(low, str) or isinstance(high, str):
                hit |= series.astype(object) == low
            elif series.dtype.kind in "iuf":
                hit |= (series >= low) & (series <= high)
        declared[column] = tuple(
            _word(p["lo"]) if p["lo"] == p["hi"] else f"{_word(p['lo'])} - {_word(p['hi'])}"
            for p in parts
        )
        if hit.any():
            count += int(hit.sum())
            kind = float if series.dtype.kind in "iuf" else object
            changed[column] = series.astype(kind).mask(hit)
    return changed, declared, count


def _stata_missing(
    frame: pd.DataFrame, letters: Mapping[str, Any]
) -> tuple[dict[str, pd.Series[Any]], dict[str, tuple[str, ...]], int]:
    changed: dict[str, pd.Series[Any]] = {}
    declared: dict[str, tuple[str, ...]] = {}
    count = 0
    for column, codes in letters.items():
        if column not in frame.columns or not codes:
            continue
        hit = frame[column].isin(list(codes))
        declared[column] = tuple(f".{code}" for code in codes)
        count += int(hit.sum())
        cells = [np.nan if gone else cell for cell, gone in zip(frame[column], hit, strict=True)]
        changed[column] = pd.Series(cells, index=frame.index, dtype=float)
    return changed, declared, count


def _clean_text(series: pd.Series[Any]) -> pd.Series[Any]:
    """Strip the blanks that a string variable is filled up with; empty text is missing."""
    cells = [cell.strip() if isinstance(cell, str) else cell for cell in series]
    return pd.Series([None if cell == "" else cell for cell in cells], series.index, dtype=object)


def read_labelled(path: Path, encoding: str | None = None) -> Labelled:
    """Read a .sav, .zsav or .dta file.

    Parameters
    ----------
    path : pathlib.Path
        The file; it must be there.
    encoding : str, optional
        Of its texts, where the file does not say it or says it wrongly, e.g. "GB18030".

    Returns
    -------
    Labelled

    Raises
    ------
    SurveyError
        Damaged, of another kind than its name says, or without rows.
    """
    import pyreadstat

    stata = path.suffix.lower() == ".dta"
    read = pyreadstat.read_dta if stata else pyreadstat.read_sav
    try:
        frame, meta = read(str(path), user_missing=True, encoding=encoding)
    except (pyreadstat.ReadstatError, ValueError, UnicodeDecodeError, OverflowError) as error:
        raise SurveyError(
            f"File {str(path)!r} cannot be read as {path.suffix}: {error}.",
            remedy="Save it again from the program it comes from, give the encoding of its texts "
            "(encoding='GB18030', for example), or export it as .csv.",
        ) from error
    if frame.empty:
        raise SurveyError(
            f"File {str(path)!r} has no rows.", remedy="Check that the export was completed."
        )
    frame = pd.DataFrame(frame).set_axis(pd.RangeIndex(1, len(frame) + 1, name="row"), axis=0)
    frame = frame.set_axis([str(column).strip() for column in frame.columns], axis=1)
    if stata:
        changed, declared, count = _stata_missing(frame, meta.missing_user_values or {})
    else:
        changed, declared, count = _spss_missing(frame, meta.missing_ranges or {})
    frame = frame.assign(**changed)
    texts = {
        column: _clean_text(frame[column])
        for column in frame.columns
        if frame[column].dtype.kind not in "iufbM"
    }
    labels = {
        str(column): {code: str(label) for code, label in codes.items()}
        for column, codes in (meta.variable_value_labels or {}).items()
    }
    names = {
        str(column): str(label)
        for column, label in (meta.column_names_to_labels or {}).items()
        if label
    }
    return Labelled(frame.assign(**texts), names, labels, declared, count)
