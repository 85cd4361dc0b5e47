"""The report: a study's results as blocks, and the blocks as one self-contained page."""

from __future__ import annotations

from sqvalid.report.blocks import (
    Block,
    Callout,
    CodeBlock,
    FigureBlock,
    Paragraph,
    Section,
    TableBlock,
)
from sqvalid.report.html import render_html
from sqvalid.report.sections import SECTIONS, build_sections

__all__ = [
    "SECTIONS",
    "Block",
    "Callout",
    "CodeBlock",
    "FigureBlock",
    "Paragraph",
    "Section",
    "TableBlock",
    "build_sections",
    "render_html",
]
