"""H1, H2, ...: from words to a test, an interval, an effect size and a verdict."""

from __future__ import annotations

from sqvalid.hypotheses.reading import FORMS, Hypothesis, read_hypotheses, resolve_name
from sqvalid.hypotheses.testing import HypothesisTests, judge_hypotheses
from sqvalid.hypotheses.verdicts import VERDICTS, holm_adjusted

__all__ = [
    "FORMS",
    "VERDICTS",
    "Hypothesis",
    "HypothesisTests",
    "holm_adjusted",
    "judge_hypotheses",
    "read_hypotheses",
    "resolve_name",
]
