"""Excel workbooks: the cells of one sheet as they stand."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

from sqvalid.errors import SurveyError

__all__ = ["read_sheet"]

# A workbook unpacks to a few times its size; far beyond that it is made to fill the memory.
_MAX_UNPACKED = 512 * 1024**2


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise SurveyError(
            f"File {str(path)!r} is not an .xlsx workbook (it may be damaged, protected by a "
            "password, or an old .xls).",
            remedy="Open it in a spreadsheet and save it as .xlsx without a password.",
        ) from error
    if "[Content_Types].xml" not in names:
        raise SurveyError(
            f"File {str(path)!r} is an archive, but not an .xlsx workbook.",
            remedy="Open it in a spreadsheet and save it as .xlsx.",
        )
    if unpacked > _MAX_UNPACKED:
        raise SurveyError(
            f"File {str(path)!r} unpacks to {unpacked / 1024**2:.0f} MiB; the limit is "
            f"{_MAX_UNPACKED // 1024**2} MiB.",
            remedy="Save the sheet with the answers as .csv and read that file.",
        )


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
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (KeyError, ValueError, OSError, SyntaxError) as error:
        raise SurveyError(
            f"File {str(path)!r} cannot be read as a workbook: {error}.",
            remedy="Open it in a spreadsheet and save it again.",
        ) from error
    try:
        names = [page.title for page in book.worksheets]
        if sheet is not None and sheet not in names:
            raise SurveyError(
                f"File {str(path)!r} has no sheet {sheet!r}.",
                remedy=f"Sheets there are: {', '.join(map(repr, names))}.",
            )
        page = book[sheet or names[0]]
        # What a file claims to be its size may be wrong; without the claim every row is read.
        page.reset_dimensions()
        rows = [[_cell(value) for value in row] for row in page.iter_rows(values_only=True)]
    finally:
        book.close()
    used = [max((j for j, cell in enumerate(row, 1) if cell), default=0) for row in rows]
    width = max(used, default=0)
    if width == 0:
        raise SurveyError(
            f"File {str(path)!r}: sheet {page.title!r} is empty.",
            remedy=f"Name the sheet with the answers (sheet=...); there are {', '.join(names)}.",
        )
    return [(row + [""] * width)[:width] for row in rows], page.title
