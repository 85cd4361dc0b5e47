"""The same analysis by an independent program, and how far apart the answers are.

semopy re-estimates confirmatory and structural models, factor_analyzer exploratory ones. A
failure of the other program is reported, never raised.
"""

from __future__ import annotations

from sqvalid.second_opinion.factors import (
    KNOWN_DEFECTS,
    FactorOpinion,
    ask_factor_opinion,
    ask_factorability_opinion,
)
from sqvalid.second_opinion.structural import (
    NOT_COMPARED,
    SecondOpinion,
    ask_second_opinion,
    translate_model,
)

__all__ = [
    "KNOWN_DEFECTS",
    "NOT_COMPARED",
    "FactorOpinion",
    "SecondOpinion",
    "ask_factor_opinion",
    "ask_factorability_opinion",
    "ask_second_opinion",
    "translate_model",
]
