"""Excel workbooks: the cells of one sheet as they stand."""

from __future__ import annotations

import datetime
import zipfile
import zlib
from pathlib import Path
from typing import Any

from sqvalid.errors import SurveyError

__all__ = ["read_sheet"]

# A workbook unpacks to a few times its size; far beyond that it is made to fill the memory.
_MAX_UNPACKED = 512 * 1024**2
# A cell far to the right or below makes a sheet as large as one likes, in a file of a few bytes.
_MAX_ROWS, _MAX_CELLS = 1_048_576, 20_000_000
_CHUNK = 1024**2
# Definitions in XML can grow without bound when they are read; no spreadsheet writes any.
_DOCTYPES = tuple(
    mark.encode(encoding)
    for mark in ("<!DOCTYPE", "<!ENTITY")
    for encoding in ("utf-8", "utf-16-le", "utf-16-be")
)


def _damaged(path: Path, error: Exception) -> SurveyError:
    return SurveyError(
        f"File {str(path)!r} cannot be read as a workbook: {str(error) or type(error).__name__}.",
        remedy="Open it in a spreadsheet and save it again.",
    )


def _too_large(path: Path, what: str) -> SurveyError:
    return SurveyError(
        f"File {str(path)!r} {what}.",
        remedy="Save the sheet with the answers as .csv and read that file.",
    )


def _check_archive(path: Path) -> None:
    """Refuse what is no workbook, or one that was made to do harm, before it is opened."""
    limit = f"the limit is {_MAX_UNPACKED // 1024**2} MiB"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if "[Content_Types].xml" not in archive.namelist():
                raise SurveyError(
                    f"File {str(path)!r} is an archive, but not an .xlsx workbook.",
                    remedy="Open it in a spreadsheet and save it as .xlsx.",
                )
            declared = sum(entry.file_size for entry in entries)
            if declared > _MAX_UNPACKED:
                raise _too_large(path, f"unpacks to {declared / 1024**2:.0f} MiB; {limit}")
            # What an archive says of itself may be wrong: count what comes out.
            unpacked = 0
            for entry in entries:
                tail = b""
                with archive.open(entry) as stream:
                    while chunk := stream.read(_CHUNK):
                        unpacked += len(chunk)
                        if unpacked > _MAX_UNPACKED:
                            raise _too_large(path, f"unpacks to more than it says; {limit}")
                        if entry.filename.endswith((".xml", ".rels", ".vml")):
                            window = tail + chunk
                            if any(mark in window for mark in _DOCTYPES):
                                raise SurveyError(
                                    f"File {str(path)!r} defines entities in "
                                    f"{entry.filename!r}, which no spreadsheet does.",
                                    remedy="Open it in a spreadsheet and save it again.",
                                )
                            tail = window[-24:]
    except zipfile.BadZipFile as error:
        raise SurveyError(
            f"File {str(path)!r} is not an .xlsx workbook (it may be damaged, protected by a "
            "password, or an old .xls).",
            remedy="Open it in a spreadsheet and save it as .xlsx without a password.",
        ) from error
    except (OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise _damaged(path, error) from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()


def read_sheet(path: Path, *, sheet: str | None = None) -> tuple[list[list[str]], str]:
    """Read one sheet of a workbook into cells.

    Parameters
    ----------
    path : pathlib.Path
        The file; it must be there.
    sheet : str, optional
        Its name; the first sheet when None.

    Returns
    -------
    rows : list of list of str
        Of equal length; ``rows[0]`` is row 1 of the sheet. Results stand for formulas.
    sheet : str
        The one that was read.

    Raises
    ------
    SurveyError
        Not a workbook, too large when unpacked, no such sheet, or an empty sheet.
    """
    import openpyxl

    _check_archive(path)
    trouble = (KeyError, ValueError, OSError, SyntaxError, TypeError, AttributeError, IndexError,
               EOFError, RecursionError, zlib.error, zipfile.BadZipFile)  # fmt: skip
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except trouble as error:
        raise _damaged(path, error) from error
    try:
        names = [page.title for page in book.worksheets]
        if not names:
            raise SurveyError(
                f"File {str(path)!r} has no sheet with cells.",
                remedy="Put the answers into a sheet of the workbook.",
            )
        if sheet is not None and sheet not in names:
            raise SurveyError(
                f"File {str(path)!r} has no sheet {sheet!r}.",
                remedy=f"Sheets there are: {', '.join(map(repr, names))}.",
            )
        page = book[sheet or names[0]]
        # What a file claims to be its size may be wrong; without the claim every row is read.
        page.reset_dimensions()
        rows = _rows_of(page, path)
    except trouble as error:
        if isinstance(error, SurveyError):
            raise
        raise _damaged(path, error) from error
    finally:
        book.close()
    width = max(map(len, rows), default=0)
    if width == 0:
        raise SurveyError(
            f"File {str(path)!r}: sheet {page.title!r} is empty.",
            remedy=f"Name the sheet with the answers (sheet=...); there are {', '.join(names)}.",
        )
    if width * len(rows) > _MAX_CELLS:
        raise _too_large(path, f"has {len(rows)} rows and {width} columns")
    return [row + [""] * (width - len(row)) for row in rows], page.title


def _rows_of(page: Any, path: Path) -> list[list[str]]:
    """Cells of a sheet, blanks at the end of rows and of the sheet left out."""
    rows: list[list[str]] = []
    seen, last = 0, 0
    for number, values in enumerate(page.iter_rows(values_only=True), start=1):
        seen += len(values)
        if number > _MAX_ROWS or seen > _MAX_CELLS:
            raise _too_large(path, f"has more than {number - 1} rows or {_MAX_CELLS} cells")
        row = [_cell(value) for value in values]
        while row and not row[-1]:
            row.pop()
        rows.append(row)
        last = number if row else last
    return rows[:last]
