"""What a report is made of: a closed set of blocks that every renderer knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqvalid.display import Table, text_width
from sqvalid.errors import Severity

__all__ = [
    "AnswerBlock",
    "Block",
    "Callout",
    "ChecklistBlock",
    "ChecklistRow",
    "CodeBlock",
    "FigureBlock",
    "Heading",
    "Paragraph",
    "Section",
    "TableBlock",
]

SHEET = 115
"""Characters that stand beside each other on an upright sheet."""
LONGEST_CELL = 22
"""Characters of a text after which a cell begins a new line."""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text; `quiet` for remarks below a table or figure."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Callout:
    """Something the reader must not miss, and what can be done about it."""

    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class TableBlock:
    """A table; its title is the caption."""

    table: Table

    @property
    def wide(self) -> bool:
        """Whether it needs more room than an upright page has."""
        frame = self.table.frame

        def longest(cells: Iterable[object]) -> int:
            return min(max((text_width(str(cell)) for cell in cells), default=0), LONGEST_CELL)

        # Between columns stands about a character and a half.
        needed = longest(frame.index) + 1.5 if frame.index.name else 0.0
        for j, column in enumerate(frame.columns):
            cells = frame.iloc[:, j]
            inside = 5 if cells.dtype.kind in "fiu" else longest(cells)
            word = max((text_width(part) for part in str(column).split()), default=0)
            needed += max(inside, word) + 1.5
        return needed > SHEET


@dataclass(frozen=True)
class FigureBlock:
    """A figure as an ``<svg>`` element, made by :func:`sqvalid.plots.figure_svg`."""

    svg: str
    caption: str


@dataclass(frozen=True)
class CodeBlock:
    """Text to be shown as it is; `kind` is ``"bibtex"`` for a bibliography, else empty."""

    text: str
    caption: str = ""
    kind: str = ""


@dataclass(frozen=True)
class ChecklistRow:
    """One thing that a report has to contain, and where this one has it.

    Parameters
    ----------
    item : str
        What it is.
    state : str
        Whether it is there, in words.
    section, place : str
        Key and title of the section; empty where there is none.
    """

    item: str
    state: str
    section: str = ""
    place: str = ""


@dataclass(frozen=True)
class ChecklistBlock:
    """A reporting standard, item by item, with links to the sections."""

    title: str
    head: tuple[str, str, str]
    rows: tuple[ChecklistRow, ...]


@dataclass(frozen=True)
class AnswerBlock:
    """An answer of the first screen; `verdict` is yes, no or undecided, `word` says it."""

    verdict: str
    word: str
    question: str
    line: str
    reason: str
    flips: str
    flips_head: str


Block = (
    AnswerBlock
    | Heading
    | Paragraph
    | Callout
    | TableBlock
    | FigureBlock
    | CodeBlock
    | ChecklistBlock
)


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Parameters
    ----------
    key : str
        Its name in the wording tables and the anchor on the page.
    title : str
        Its heading.
    blocks : tuple of Block
        In reading order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]
