"""Before a confirmatory model: factorability, number of factors, exploratory factor analysis."""

from __future__ import annotations

from sqvalid.exploratory.agreement import oblique_procrustes, procrustes, tucker_congruence
from sqvalid.exploratory.analysis import efa, key_target
from sqvalid.exploratory.extraction import METHODS, Extraction, extract
from sqvalid.exploratory.factorability import Factorability, assess_factorability
from sqvalid.exploratory.intervals import LoadingIntervals, loading_intervals
from sqvalid.exploratory.parallel import parallel_eigenvalues
from sqvalid.exploratory.proposal import Proposal, propose_measurement
from sqvalid.exploratory.replication import (
    Replication,
    Stability,
    StructureComparison,
    assess_replication,
    assess_stability,
    compare_structures,
)
from sqvalid.exploratory.result import EfaResult, EfaSetup
from sqvalid.exploratory.retention import (
    Retention,
    minimum_average_partial,
    suggest_n_factors,
)
from sqvalid.exploratory.schmid_leiman import schmid_leiman

__all__ = [
    "METHODS",
    "EfaResult",
    "EfaSetup",
    "Extraction",
    "Factorability",
    "LoadingIntervals",
    "Proposal",
    "Replication",
    "Retention",
    "Stability",
    "StructureComparison",
    "assess_factorability",
    "assess_replication",
    "assess_stability",
    "compare_structures",
    "efa",
    "extract",
    "key_target",
    "loading_intervals",
    "minimum_average_partial",
    "oblique_procrustes",
    "parallel_eigenvalues",
    "procrustes",
    "propose_measurement",
    "schmid_leiman",
    "suggest_n_factors",
    "tucker_congruence",
]
