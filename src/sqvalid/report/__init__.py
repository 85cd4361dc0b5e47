"""The report: a study's results as blocks, and the blocks as one self-contained page."""

from __future__ import annotations

from sqvalid.report.blocks import (
    AnswerBlock,
    Block,
    Callout,
    ChecklistBlock,
    CodeBlock,
    FigureBlock,
    Heading,
    Paragraph,
    Section,
    TableBlock,
)
from sqvalid.report.html import render_html
from sqvalid.report.references import bibliography
from sqvalid.report.sections import SECTIONS, build_sections

__all__ = [
    "SECTIONS",
    "AnswerBlock",
    "Block",
    "Callout",
    "ChecklistBlock",
    "CodeBlock",
    "FigureBlock",
    "Heading",
    "Paragraph",
    "Section",
    "TableBlock",
    "bibliography",
    "build_sections",
    "render_html",
]
