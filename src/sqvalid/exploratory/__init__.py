"""Before a confirmatory model: factorability, number of factors, exploratory factor analysis."""

from __future__ import annotations

from sqvalid.exploratory.agreement import procrustes, tucker_congruence
from sqvalid.exploratory.analysis import efa, key_target
from sqvalid.exploratory.extraction import METHODS, Extraction, extract
from sqvalid.exploratory.factorability import Factorability, assess_factorability
from sqvalid.exploratory.intervals import LoadingIntervals, loading_intervals
from sqvalid.exploratory.parallel import parallel_eigenvalues
from sqvalid.exploratory.result import EfaResult, EfaSetup
from sqvalid.exploratory.retention import (
    Retention,
    minimum_average_partial,
    suggest_n_factors,
)

__all__ = [
    "METHODS",
    "EfaResult",
    "EfaSetup",
    "Extraction",
    "Factorability",
    "LoadingIntervals",
    "Retention",
    "assess_factorability",
    "efa",
    "extract",
    "key_target",
    "loading_intervals",
    "minimum_average_partial",
    "parallel_eigenvalues",
    "procrustes",
    "suggest_n_factors",
    "tucker_congruence",
]
