"""Delimited text: encoding, delimiter, and the cells as they stand."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqvalid.errors import SurveyError
from sqvalid.survey.encodings import find_encoding

__all__ = ["decode", "read_cells"]

_DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_ROWS = 50
_MOST_TITLES = 10
# Bytes that text in no encoding at hand contains: control characters except tab and line ends.
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 26, 27})


def decode(content: bytes, path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Return the text of a file, and the encoding it was read in.

    Parameters
    ----------
    content : bytes
        The file.
    path : pathlib.Path
        Its name, for messages.
    encoding : str, optional
        By default a byte order mark decides, then UTF-8, then what the characters look like;
        see :mod:`sqvalid.survey.encodings`.

    Returns
    -------
    text, encoding : str

    Raises
    ------
    SurveyError
        The file is binary, not in the encoding, or in one that cannot be told.
    """
    found, candidates = (encoding, (encoding,)) if encoding else find_encoding(content)
    wide = found is not None and found.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    if not wide and content.translate(None, _CONTROL) != content:
        raise SurveyError(
            f"File {str(path)!r} is binary, not text with one row per respondent.",
            remedy="Save the answers as .csv or .xlsx and read that file.",
        )
    if candidates == ("utf-8",):
        # All of it is UTF-8, or all but a few bytes: the first of those is told below.
        found = "utf-8"
    if found is None:
        shown = ", ".join(map(repr, candidates[:4])) or "none that is known"
        raise SurveyError(
            f"The encoding of file {str(path)!r} cannot be told: it is not UTF-8, and may be "
            f"{shown}.",
            remedy="Save it as UTF-8, or say which encoding it has (encoding='cp1252', for "
            "example).",
        )
    try:
        return content.decode(found), found
    except UnicodeDecodeError as error:
        raise SurveyError(
            f"File {str(path)!r} is not text in {found} (byte {error.start}).",
            remedy="Save it as UTF-8, or say which encoding it has (encoding='cp1252', for "
            "example).",
        ) from error
    except LookupError as error:
        raise SurveyError(
            f"encoding={found!r} is not an encoding that Python knows.",
            remedy="For example 'utf-8', 'gb18030', 'cp1252', 'latin-1'.",
        ) from error


def _parse(text: str, delimiter: str, limit: int | None = None) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    for row in reader:
        if limit is not None and len(rows) >= limit:
            break
        rows.append(row)
    return rows


def _usual_width(rows: Sequence[list[str]]) -> int:
    """How many cells most rows have, the larger number of two that are as frequent."""
    counts = Counter(len(row) for row in rows if row)
    return max(counts, key=lambda width: (counts[width], width)) if counts else 0


def _sniff(text: str) -> str:
    """Return the delimiter that cuts the first rows into the most equal parts."""
    best, best_score = ",", (False, 1)
    for delimiter in _DELIMITERS:
        rows = [row for row in _parse(text, delimiter, _SNIFFED_ROWS) if row]
        if not rows:
            continue
        score = (len({len(row) for row in rows}) == 1, _usual_width(rows))
        if score[1] > 1 and (best_score[1] == 1 or score > best_score):
            best, best_score = delimiter, score
    return best


def read_cells(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None
) -> tuple[list[list[str]], str, str]:
    """Read a delimited text file into cells.

    Parameters
    ----------
    path : pathlib.Path
        The file; it must be there.
    delimiter : str, optional
        One character; sniffed when None.
    encoding : str, optional
        See :func:`decode`.

    Returns
    -------
    rows : list of list of str
        Blanks around a cell taken off, all rows of equal length; lines of a word or two above
        the table are filled up with empty cells. A blank line is a row of empty cells, so that row
        numbers stay those of the file.
    delimiter, encoding : str
        Those that were used.

    Raises
    ------
    SurveyError
        Binary file, wrong encoding, wrong delimiter, or a row with more or fewer cells than
        the head.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise SurveyError(
            f"delimiter={delimiter!r} is not one character.",
            remedy="For example ',', ';' or a tab.",
        )
    text, found = decode(path.read_bytes(), path, encoding)
    text = text.removeprefix("\ufeff")
    used = delimiter or _sniff(text)
    # One cell may be longer than the module's default limit, e.g. an open answer.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        rows = [[cell.strip() for cell in row] for row in _parse(text, used)]
    except csv.Error as error:
        raise SurveyError(
            f"File {str(path)!r} cannot be cut into cells: {error}.",
            remedy="Look for a quotation mark that is opened and not closed.",
        ) from error
    if not any(any(row) for row in rows):
        raise SurveyError(
            f"File {str(path)!r} is empty.", remedy="Check that the export was completed."
        )
    return _rectangular(rows, path, used), used, found


def _rectangular(rows: Sequence[list[str]], path: Path, delimiter: str) -> list[list[str]]:
    start = _after_titles(rows)
    width = len(rows[start])
    others = [d for d in (*_DELIMITERS, " ") if d != delimiter]
    if width == 1:
        inside = [d for d in others if d in rows[start][0]]
        if inside:
            raise SurveyError(
                f"File {str(path)!r} has one column only when it is cut at {delimiter!r}: the "
                f"head is {rows[start][0][:60]!r}.",
                remedy=f"It seems to be cut at {inside[0]!r}: give delimiter={inside[0]!r}, or "
                "leave the delimiter to be found.",
            )
    full = [(row + [""] * width)[:width] for row in rows[:start]]
    for number, row in enumerate(rows[start:], start=start + 1):
        if not any(row):
            full.append([""] * width)
        elif len(row) == width:
            full.append(row)
        else:
            raise SurveyError(
                f"File {str(path)!r}: row {number} has {len(row)} cells, the head has {width}.",
                remedy="Look for a delimiter too many or too few, a cell with the delimiter in "
                f"it and no quotation marks, or a delimiter other than {delimiter!r}.",
            )
    return full


def _after_titles(rows: Sequence[list[str]]) -> int:
    """Number of the first row that is no title: lines of a word or two above a wide table."""
    start = next(i for i, row in enumerate(rows) if any(row))
    width = _usual_width(rows[start : start + _SNIFFED_ROWS])
    for i in range(start, min(start + _MOST_TITLES, len(rows))):
        filled = sum(map(bool, rows[i]))
        if filled and not (len(rows[i]) < width and filled <= (2 if width >= 4 else 1) < width):
            return i
    return start
