"""What a study found: its results, the chain of verdicts, and the answers of the first screen."""

from __future__ import annotations

from sqvalid.findings.answers import Answer, build_answers
from sqvalid.findings.describe import (
    close_fit_power,
    confounded_dimensions,
    scale_moments,
    turnable_paths,
)
from sqvalid.findings.ledger import (
    LARGE_RESIDUAL,
    Judgement,
    Ledger,
    Link,
    State,
    build_ledger,
    residual_correlations,
)
from sqvalid.findings.result import Exploration, StudyResult

__all__ = [
    "LARGE_RESIDUAL",
    "Answer",
    "Exploration",
    "Judgement",
    "Ledger",
    "Link",
    "State",
    "StudyResult",
    "build_answers",
    "build_ledger",
    "close_fit_power",
    "confounded_dimensions",
    "residual_correlations",
    "scale_moments",
    "turnable_paths",
]
