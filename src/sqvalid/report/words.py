"""What all sections share: the words of one language, and tables with its column heads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from sqvalid import wording
from sqvalid.criteria import BANDS, CRITERIA
from sqvalid.display import Table, format_interval, format_number
from sqvalid.errors import Diagnostic
from sqvalid.findings import Judgement
from sqvalid.report.blocks import Block, Callout, Section, TableBlock

__all__ = [
    "Words",
    "judgement_table",
    "make_section",
    "show_against",
    "show_arrows",
    "show_interval",
    "show_outcome",
    "show_threshold",
    "threshold_of",
]


class Words:
    """The wording of one language, and tables with its column heads."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """Return a sentence of the report by its key below ``report``."""
        return wording.text(f"report.{key}", self.language, **values)

    def plain(self, key: str, **values: object) -> str:
        """Return a sentence by its whole key."""
        return wording.text(key, self.language, **values)

    def join(self, items: Iterable[object]) -> str:
        """Join items as the language does."""
        return wording.text("format.list_separator", self.language).join(map(str, items))

    def table(
        self,
        frame: pd.DataFrame,
        title: str = "",
        formats: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> TableBlock:
        """Return a frame as a table whose column names are words.

        Parameters
        ----------
        frame : pandas.DataFrame
            Every column has its head under ``column``.
        title : str
            Caption, already in words.
        formats : mapping of str to str, optional
            By the names of `frame`; see :class:`sqvalid.display.Table`.
        notes : tuple of str
            Below the table.
        """
        head = {c: wording.text(f"column.{c}", self.language) for c in map(str, frame.columns)}
        shown = {head[column]: how for column, how in (formats or {}).items() if column in head}
        return TableBlock(Table(frame.rename(columns=head), title, shown, notes))

    def callouts(self, diagnostics: Iterable[Diagnostic]) -> list[Block]:
        """Return diagnostics in words, one block each."""
        blocks: list[Block] = []
        for diagnostic in diagnostics:
            sentence, remedy = wording.describe(diagnostic, self.language)
            blocks.append(Callout(diagnostic.severity, sentence, remedy))
        return blocks

    def state(self, name: str) -> str:
        """Return the state of a link of the chain in words."""
        return self(f"state.{name}")


def show_interval(lower: float, upper: float, digits: int = 3, *, leading_zero: bool = True) -> str:
    """Return an interval that is not broken over two lines."""
    # A no-break space: an interval is read in one line.
    return format_interval(lower, upper, digits, leading_zero=leading_zero).replace(" ", "\u00a0")


def show_threshold(value: float | None) -> str | None:
    """Return a threshold as somebody would write it: 15, 0.5, 0.001; None where there is none."""
    return None if value is None or math.isnan(value) else f"{value:.4g}"


def show_arrows(text: str) -> str:
    """Return words of a plan with arrows that are not broken over two lines."""
    return text.replace(" -> ", " → ").replace(" - ", "\u00a0\u2212\u00a0")


def show_against(value: float, threshold: float, digits: int = 3) -> str:
    """Return a value of a unit scale with enough decimals to see its side of a threshold.

    Parameters
    ----------
    value, threshold : float
    digits : int
        Decimals that usually do.

    Returns
    -------
    str
        ``.4996`` and not ``.500`` beside a rule of "at least .50".
    """
    while digits < 6 and value != threshold and round(value, digits) == round(threshold, digits):
        digits += 1
    return format_number(value, digits, leading_zero=False)


def threshold_of(rule: str, value: float) -> float:
    """Return the boundary of a rule, or the nearest of a scale of bands."""
    if rule in CRITERIA:
        return CRITERIA[rule].value
    cuts = BANDS[rule].cuts
    return min(cuts, key=lambda cut: abs(cut - value))


def make_section(words: Words, key: str, blocks: Iterable[Block]) -> Section:
    """Return a section under the heading that the language has for its key."""
    return Section(key, words(f"title.{key}"), tuple(blocks))


def show_outcome(words: Words, judgement: Judgement) -> str:
    """Return what a rule says, with its reason or band."""
    text = words.plain(f"criterion_outcome.{judgement.outcome}")
    if judgement.reason:
        return words("outcome_because", outcome=text, reason=_reason(words, judgement.reason))
    if judgement.band:
        band = words.plain(f"criterion_band.{judgement.rule}.{judgement.band}")
        return words("outcome_because", outcome=text, reason=band)
    return text


def _reason(words: Words, reason: str) -> str:
    return words.plain(f"criterion_reason.{reason}")


def judgement_table(words: Words, judgements: Iterable[Judgement], title: str) -> TableBlock:
    """Return rules with their own outcomes, one row each."""
    rows = [
        {
            "subject": " / ".join(j.subject),
            "rule": words.plain(f"criterion.{j.rule}"),
            "value": show_against(j.value, threshold_of(j.rule, j.value)),
            "outcome": show_outcome(words, j),
        }
        for j in judgements
    ]
    return words.table(pd.DataFrame(rows), title, {"value": "right"})
