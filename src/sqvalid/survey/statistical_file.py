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
    value_labels : mapping of str to mapping of float or str to str
        Column to code to label.
    n_user_missing : mapping of str to int
        Column to the cells that the file declares as missing.
    """

    frame: pd.DataFrame
    value_labels: Mapping[str, Mapping[Any, str]]
    n_user_missing: Mapping[str, int]


def _spss_missing(
    frame: pd.DataFrame, ranges: Mapping[str, Any]
) -> tuple[dict[str, pd.Series[Any]], dict[str, int]]:
    changed: dict[str, pd.Series[Any]] = {}
    counts: dict[str, int] = {}
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
        if hit.any():
            counts[column] = int(hit.sum())
            kind = float if series.dtype.kind in "iuf" else object
            changed[column] = series.astype(kind).mask(hit)
    return changed, counts


def _stata_missing(
    frame: pd.DataFrame, letters: Mapping[str, Any]
) -> tuple[dict[str, pd.Series[Any]], dict[str, int]]:
    changed: dict[str, pd.Series[Any]] = {}
    counts: dict[str, int] = {}
    for column, codes in letters.items():
        if column not in frame.columns or not codes:
            continue
        hit = frame[column].isin(list(codes))
        counts[column] = int(hit.sum())
        cells = [np.nan if gone else cell for cell, gone in zip(frame[column], hit, strict=True)]
        changed[column] = pd.Series(cells, index=frame.index, dtype=float)
    return changed, counts


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
        changed, counts = _stata_missing(frame, meta.missing_user_values or {})
    else:
        changed, counts = _spss_missing(frame, meta.missing_ranges or {})
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
    return Labelled(frame.assign(**texts), labels, counts)
