"""The face of a result: tables, printed numbers, and what every result can do.

Numbers are kept in full; rounding happens here and nowhere before. A table knows how to
print itself as text, HTML, Markdown and CSV; a result is a table with a headline and
diagnostics.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from html import escape
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from sqvalid import wording
from sqvalid.errors import Diagnostic

__all__ = [
    "Result",
    "Table",
    "format_interval",
    "format_number",
    "format_p",
    "json_safe",
    "pad_text",
    "text_width",
]

MISSING = "–"
"""What a printed table shows where a number does not exist."""

_LONG_CELL = 24
"""Columns of a terminal from which the text of a cell counts as long."""

# A text cell that begins with one of these is run as a formula by spreadsheets.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")


def format_number(value: float, digits: int = 3, *, leading_zero: bool = True) -> str:
    """Return a number as it is printed.

    Parameters
    ----------
    value : float
        NaN prints as a dash.
    digits : int
        Decimals.
    leading_zero : bool
        False for statistics that cannot exceed 1 in absolute value: ``.43``, ``-.43``.

    Returns
    -------
    str
        Never a negative zero.

    Examples
    --------
    >>> format_number(0.4321), format_number(-0.0001), format_number(-0.4321, 2, leading_zero=False)
    ('0.432', '0.000', '-.43')
    """
    number = float(value)
    if math.isnan(number):
        return MISSING
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    shown = f"{number:.{digits}f}"
    if float(shown) == 0.0:
        shown = shown.lstrip("-")
    if not leading_zero:
        if shown.startswith("0."):
            shown = shown[1:]
        elif shown.startswith("-0."):
            shown = "-" + shown[2:]
    return shown


def format_p(value: float, digits: int = 3) -> str:
    """Return a p-value as it is printed: no leading zero, never ``.000``.

    Parameters
    ----------
    value : float
        In [0, 1], or NaN.
    digits : int
        Decimals.

    Returns
    -------
    str

    Examples
    --------
    >>> format_p(0.04213), format_p(3e-9), format_p(0.9999)
    ('.042', '< .001', '> .999')
    """
    number = float(value)
    if math.isnan(number):
        return MISSING
    smallest = 10.0**-digits
    if number < smallest:
        return f"< {format_number(smallest, digits, leading_zero=False)}"
    if number > 1.0 - smallest / 2:
        return f"> {format_number(1.0 - smallest, digits, leading_zero=False)}"
    return format_number(number, digits, leading_zero=False)


def format_interval(
    lower: float, upper: float, digits: int = 3, *, leading_zero: bool = True
) -> str:
    """Return an interval as it is printed.

    Parameters
    ----------
    lower, upper : float
        Its ends.
    digits : int
        Decimals.
    leading_zero : bool
        See :func:`format_number`.

    Returns
    -------
    str

    Examples
    --------
    >>> format_interval(0.0712, 0.1141)
    '[0.071, 0.114]'
    """
    ends = [format_number(end, digits, leading_zero=leading_zero) for end in (lower, upper)]
    return f"[{ends[0]}, {ends[1]}]"


def _is_missing(value: object) -> bool:
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating) and math.isnan(value))
    )


def _print_cell(value: object, how: str, lang: str) -> str:
    if _is_missing(value):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return wording.text("format.yes" if value else "format.no", lang)
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        if how == "p":
            return format_p(number)
        if how == "int" or (how == "" and isinstance(value, int | np.integer)):
            return format_number(number, 0)
        if how.startswith("unit"):
            return format_number(number, int(how[4:] or 3), leading_zero=False)
        if how == "percent":
            return f"{format_number(100 * number, 1)}%"
        return format_number(number, int(how[1:]) if how else 3)
    return str(value)


def _check_format(column: str, how: str) -> None:
    stem, digits = (how[:4], how[4:]) if how.startswith("unit") else (how[:1], how[1:])
    if how in {"p", "int", "text", "right", "percent", "unit"} or (
        stem in {"f", "unit"} and digits.isdigit()
    ):
        return
    raise ValueError(f"column {column!r} has format {how!r}; see Table for those there are")


def text_width(shown: str) -> int:
    """Return the columns of a terminal that a text takes.

    Parameters
    ----------
    shown : str
        One line.

    Returns
    -------
    int
        Wide East Asian characters count two, combining marks none.

    Examples
    --------
    >>> text_width("TAN"), text_width("有形性")
    (3, 6)
    """
    return sum(
        0 if unicodedata.combining(ch) else 2 if unicodedata.east_asian_width(ch) in "WF" else 1
        for ch in shown
    )


def pad_text(shown: str, width: int, *, right: bool = False) -> str:
    """Return a text filled up with blanks to a width in columns of a terminal.

    Parameters
    ----------
    shown : str
        One line; returned as it is when it is wider already.
    width : int
        Columns.
    right : bool
        Put the blanks before it, so that it stands to the right.

    Returns
    -------
    str
    """
    space = " " * (width - text_width(shown))
    return space + shown if right else shown + space


def _is_number(shown: str) -> bool:
    try:
        float(shown)
    except ValueError:
        return False
    return True


def _neutral(shown: str) -> str:
    # The csv module quotes a line feed but, before Python 3.13, not a bare carriage return.
    shown = shown.replace("\r\n", "\n").replace("\r", "\n")
    if shown.startswith(_FORMULA_STARTS) and not _is_number(shown):
        return f"'{shown}"
    return shown


def _csv_cell(value: object) -> str:
    if _is_missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return _neutral(str(value))


@dataclasses.dataclass(frozen=True)
class Table:
    """A frame with a title, notes, and the way its numbers are printed.

    Parameters
    ----------
    frame : pandas.DataFrame
        Numbers in full precision. Copied. Its index is shown unless it is a plain count
        of the rows.
    title : str
        Shown above; may be empty.
    formats : mapping of str to str
        Column to format: ``"f2"`` decimals; ``"unit"`` or ``"unit2"`` decimals without the
        leading zero; ``"p"``; ``"int"``; ``"percent"`` (of a share); ``"text"``; ``"right"``, text
        that stands to the right, for numbers printed in several ways. A column that is not
        named prints floats with three decimals, integers and text as they are.
    notes : tuple of str
        Shown below, one line each.
    strong : tuple of (int, int)
        Row and column of cells of `frame` that HTML shows in bold.
    blank_missing : bool
        Leave missing cells empty instead of showing a dash: the half of a matrix that would
        only repeat the other.

    Raises
    ------
    ValueError
        An unknown format, or a format for a column that is not there.
    """

    frame: pd.DataFrame
    title: str = ""
    formats: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    strong: tuple[tuple[int, int], ...] = ()
    blank_missing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", self.frame.copy())
        object.__setattr__(self, "formats", MappingProxyType(dict(self.formats)))
        object.__setattr__(self, "notes", tuple(self.notes))
        for column, how in self.formats.items():
            if column not in self.frame.columns:
                raise ValueError(f"a format is given for {column!r}, which is no column")
            _check_format(column, how)

    @property
    def _shows_index(self) -> bool:
        return not isinstance(self.frame.index, pd.RangeIndex)

    def _head(self) -> list[str]:
        head = [str(column) for column in self.frame.columns]
        if self._shows_index:
            head.insert(0, "" if self.frame.index.name is None else str(self.frame.index.name))
        return head

    def _raw_rows(self) -> list[list[object]]:
        # Column by column: a row of a frame with mixed types would turn integers into floats.
        columns: list[list[object]] = [
            list(self.frame.iloc[:, j]) for j in range(self.frame.shape[1])
        ]
        if self._shows_index:
            columns.insert(0, list(self.frame.index))
        return [list(row) for row in zip(*columns, strict=True)]

    def _printed_rows(self, lang: str) -> list[list[str]]:
        hows = [self.formats.get(str(column), "") for column in self.frame.columns]
        if self._shows_index:
            hows.insert(0, "text")
        return [
            [
                ""
                if self.blank_missing and _is_missing(cell)
                else str(cell)
                if how == "text" and not _is_missing(cell)
                else _print_cell(cell, how, lang)
                for cell, how in zip(row, hows, strict=True)
            ]
            for row in self._raw_rows()
        ]

    def _numeric_columns(self) -> list[bool]:
        """Say which printed columns stand to the right: those that hold numbers only."""
        numeric = []
        for j, column in enumerate(self.frame.columns):
            cells = [cell for cell in self.frame.iloc[:, j] if not _is_missing(cell)]
            numeric.append(
                self.formats.get(str(column)) == "right"
                or (
                    self.formats.get(str(column)) != "text"
                    and bool(cells or self.frame.iloc[:, j].dtype.kind == "f")
                    and all(
                        isinstance(cell, int | float | np.integer | np.floating)
                        and not isinstance(cell, bool)
                        for cell in cells
                    )
                )
            )
        return [False, *numeric] if self._shows_index else numeric

    def _long_columns(self, rows: list[list[str]]) -> list[bool]:
        """Say which printed columns hold text that will not stand in one line of a small page."""
        return [
            any(text_width(row[j]) > _LONG_CELL for row in rows)
            for j in range(len(rows[0]) if rows else 0)
        ]

    def to_text(self, lang: str = "en") -> str:
        """Return the table as aligned text.

        Parameters
        ----------
        lang : str
            Language of the words the table itself puts in (yes, no).

        Returns
        -------
        str
            Title, head, rule, rows and notes; no line ends in a blank.
        """
        head, rows, right = self._head(), self._printed_rows(lang), self._numeric_columns()
        widths = [max(text_width(row[j]) for row in [head, *rows]) for j in range(len(head))]
        lines = [self.title] if self.title else []
        for i, row in enumerate([head, *rows]):
            cells = [
                pad_text(cell, width, right=side)
                for cell, width, side in zip(row, widths, right, strict=True)
            ]
            lines.append("  ".join(cells).rstrip())
            if i == 0:
                lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
        return "\n".join([*lines, *self.notes])

    def to_html(self, lang: str = "en") -> str:
        """Return the table as HTML, every cell escaped.

        Parameters
        ----------
        lang : str
            Language of the words the table itself puts in (yes, no).

        Returns
        -------
        str
            One ``<table class="sqvalid">``; cells with numbers have the class ``num``, those of
            columns with running text the class ``long``.
        """
        right, printed = self._numeric_columns(), self._printed_rows(lang)
        long = self._long_columns(printed)
        parts = ['<table class="sqvalid">']
        if self.title:
            parts.append(f"<caption>{escape(self.title)}</caption>")
        parts.append("<thead><tr>")
        parts += [
            f'<th scope="col"{" class=" + chr(34) + "num" + chr(34) if side else ""}>'
            f"{escape(cell)}</th>"
            for cell, side in zip(self._head(), right, strict=True)
        ]
        parts.append("</tr></thead><tbody>")
        strong = {(i, j + self._shows_index) for i, j in self.strong}
        for i, row in enumerate(printed):
            parts.append("<tr>")
            for j, (cell, side) in enumerate(zip(row, right, strict=True)):
                shown = f"<strong>{escape(cell)}</strong>" if (i, j) in strong else escape(cell)
                if j == 0 and self._shows_index:
                    parts.append(f'<th scope="row">{shown}</th>')
                elif side:
                    parts.append(f'<td class="num">{shown}</td>')
                elif long[j]:
                    parts.append(f'<td class="long">{shown}</td>')
                else:
                    parts.append(f"<td>{shown}</td>")
            parts.append("</tr>")
        parts.append("</tbody>")
        if self.notes:
            notes = "<br>".join(escape(note) for note in self.notes)
            parts.append(f'<tfoot><tr><td colspan="{len(right)}">{notes}</td></tr></tfoot>')
        return "".join([*parts, "</table>"])

    def to_csv(self) -> str:
        """Return the table as CSV in full precision.

        Returns
        -------
        str
            RFC 4180 with bare line feeds. Floats keep every digit, missing cells are
            empty, and a text cell that a spreadsheet would run as a formula is preceded by
            an apostrophe. Title and notes are left out.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([_neutral(cell) for cell in self._head()])
        writer.writerows([_csv_cell(cell) for cell in row] for row in self._raw_rows())
        return out.getvalue()

    def to_markdown(self, lang: str = "en") -> str:
        """Return the table as a Markdown pipe table.

        Parameters
        ----------
        lang : str
            Language of the words the table itself puts in (yes, no).

        Returns
        -------
        str
            Title in bold above, notes below; pipes and line breaks in cells escaped.
        """

        def line(cells: list[str]) -> str:
            safe = [c.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for c in cells]
            return f"| {' | '.join(safe)} |"

        lines = [f"**{self.title}**", ""] if self.title else []
        lines.append(line(self._head()))
        lines.append(line(["--:" if side else ":--" for side in self._numeric_columns()]))
        lines += [line(row) for row in self._printed_rows(lang)]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_html()


def json_safe(value: Any, *, significant: int | None = None) -> Any:
    """Return `value` made of what JSON has: dict, list, str, int, float, bool and None.

    Parameters
    ----------
    value : object
        Mappings, sequences, sets (sorted), numpy scalars and arrays, pandas frames and series,
        dataclasses and paths, nested at will.
    significant : int, optional
        Significant digits floats are rounded to; all of them when None.

    Returns
    -------
    object
        NaN and infinities become None. A frame with a plain row count for an index becomes a
        list of records, one with labels a dict of ``index``, ``columns`` and ``data``; a series
        becomes a dict.

    Raises
    ------
    TypeError
        For a type that has no place in JSON.
    """

    def walk(item: Any) -> Any:
        return json_safe(item, significant=significant)

    if _is_missing(value):
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.generic):
        return walk(value.item())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if significant is None else float(f"{value:.{significant - 1}e}")
    if isinstance(value, pd.DataFrame):
        data = [walk(list(value.iloc[:, j])) for j in range(value.shape[1])]
        columns = [str(column) for column in value.columns]
        rows = list(zip(*data, strict=True))
        if isinstance(value.index, pd.RangeIndex):
            return [dict(zip(columns, row, strict=True)) for row in rows]
        return {
            "index": [str(label) for label in value.index],
            "columns": columns,
            "data": [list(row) for row in rows],
        }
    if isinstance(value, pd.Series):
        return {str(label): walk(item) for label, item in value.items()}
    if isinstance(value, np.ndarray):
        return walk(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): walk(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [walk(item) for item in value]
    if isinstance(value, Set):
        return [walk(item) for item in sorted(value)]
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: walk(getattr(value, f.name)) for f in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no place in JSON")


class Result(ABC):
    """What every result can do; mix it into a frozen dataclass.

    A subclass writes :meth:`_headline` and :meth:`to_frame`, and where it has them a
    `diagnostics` tuple (field or property). It may override :meth:`tables` to print
    itself in other tables than its tidy frame, and :meth:`_payload` to put more into
    :meth:`to_dict`. Declare it ``@dataclass(frozen=True, repr=False, eq=False)``: a generated
    ``__repr__`` would hide this one, and arrays do not compare.
    """

    schema_version: ClassVar[int] = 1

    @abstractmethod
    def _headline(self) -> str:
        """Return the finding in half a line, for the repr and the HTML head."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the result as a tidy frame in full precision, columns in snake_case."""

    def tables(self) -> tuple[Table, ...]:
        """Return the tables the result is shown in; by default its tidy frame."""
        return (Table(self.to_frame()),)

    def _payload(self) -> Mapping[str, Any]:
        """Return what :meth:`to_dict` holds besides version, type and diagnostics."""
        return {"table": self.to_frame()}

    def _diagnostics(self) -> tuple[Diagnostic, ...]:
        return tuple(getattr(self, "diagnostics", ()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {' '.join(self._headline().split())}>"

    def _repr_html_(self) -> str:
        parts = [f"<p><strong>{escape(self._headline())}</strong></p>"]
        parts += [table.to_html() for table in self.tables()]
        if self._diagnostics():
            parts.append('<ul class="sqvalid-diagnostics">')
            for diagnostic in self._diagnostics():
                sentence, remedy = wording.describe(diagnostic)
                parts.append(
                    f'<li class="{escape(diagnostic.severity)}">{escape(sentence)} '
                    f"<em>{escape(remedy)}</em></li>"
                )
            parts.append("</ul>")
        return f'<div class="sqvalid">{"".join(parts)}</div>'

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-safe values, versioned.

        Returns
        -------
        dict
            ``schema_version``, ``type`` (the class), what the class adds (by default its
            tidy frame under ``table``), and ``diagnostics``.
        """
        safe: dict[str, Any] = json_safe(
            {
                "schema_version": self.schema_version,
                "type": type(self).__name__,
                **self._payload(),
                "diagnostics": self._diagnostics(),
            }
        )
        return safe
