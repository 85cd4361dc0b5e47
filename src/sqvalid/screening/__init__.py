"""Screening: careless responding, missing answers, distributions, duplicates, slips of entry.

:func:`screen` puts everything together; the numbers are functions of arrays
(:mod:`.indices`, :mod:`.distribution`), the rules a table (:data:`RULES`). Flags are advice:
only :func:`apply_exclusions` leaves anybody out, by rules that the caller names.
"""

from __future__ import annotations

from sqvalid.screening.codes import out_of_range, proposed_missing_codes
from sqvalid.screening.combinations import impossible_answers
from sqvalid.screening.distribution import (
    HenzeZirkler,
    LittleTest,
    Mardia,
    henze_zirkler,
    kurtosis,
    little_test,
    mardia,
    skewness,
)
from sqvalid.screening.exclusions import FlowStep, apply_exclusions
from sqvalid.screening.gaps import MissingAnswers, describe_missing
from sqvalid.screening.keying import suspected_reversed
from sqvalid.screening.result import Screening, compare_without_flagged, screen
from sqvalid.screening.rules import RULES, Rule

__all__ = [
    "RULES",
    "FlowStep",
    "HenzeZirkler",
    "LittleTest",
    "Mardia",
    "MissingAnswers",
    "Rule",
    "Screening",
    "apply_exclusions",
    "compare_without_flagged",
    "describe_missing",
    "henze_zirkler",
    "impossible_answers",
    "kurtosis",
    "little_test",
    "mardia",
    "out_of_range",
    "proposed_missing_codes",
    "screen",
    "skewness",
    "suspected_reversed",
]
