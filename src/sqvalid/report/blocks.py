"""What a report is made of: a closed set of blocks that every renderer knows."""

from __future__ import annotations

from dataclasses import dataclass

from sqvalid.display import Table
from sqvalid.errors import Severity

__all__ = [
    "AnswerBlock",
    "Block",
    "Callout",
    "CodeBlock",
    "FigureBlock",
    "Paragraph",
    "Section",
    "TableBlock",
]


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


@dataclass(frozen=True)
class FigureBlock:
    """A figure as an ``<svg>`` element, made by :func:`sqvalid.plots.figure_svg`."""

    svg: str
    caption: str


@dataclass(frozen=True)
class CodeBlock:
    """Text to be shown as it is: a model."""

    text: str
    caption: str = ""


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


Block = AnswerBlock | Paragraph | Callout | TableBlock | FigureBlock | CodeBlock


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
