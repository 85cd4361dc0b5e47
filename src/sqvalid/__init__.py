"""Tells whether a survey instrument measures what it claims, and whether hypothesised paths hold.

The names below are the public face of the library; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> the module it lives in.
_PUBLIC: dict[str, str] = {
    "Bootstrap": "sqvalid.latent.bootstrap",
    "Comparison": "sqvalid.latent.comparison",
    "Correlations": "sqvalid.moments.correlations",
    "Diagnostic": "sqvalid.errors",
    "FitResult": "sqvalid.latent.result",
    "Instrument": "sqvalid.instruments",
    "Moments": "sqvalid.moments",
    "Screening": "sqvalid.screening",
    "Study": "sqvalid.study",
    "Survey": "sqvalid.survey",
    "analyse_items": "sqvalid.reliability.item_analysis",
    "apply_exclusions": "sqvalid.screening",
    "assess_content": "sqvalid.content",
    "assess_factorability": "sqvalid.exploratory",
    "assess_gap_reliability": "sqvalid.reliability",
    "assess_general_factor": "sqvalid.reliability",
    "assess_invariance": "sqvalid.invariance",
    "assess_reliability": "sqvalid.reliability",
    "assess_replication": "sqvalid.exploratory",
    "assess_stability": "sqvalid.exploratory",
    "assess_validity": "sqvalid.validity",
    "bootstrap_fit": "sqvalid.latent.bootstrap",
    "cfa": "sqvalid.latent",
    "compare_alphas": "sqvalid.reliability",
    "compare_imputed": "sqvalid.imputation",
    "compare_models": "sqvalid.latent.comparison",
    "compare_rivals": "sqvalid.rivals",
    "correlate": "sqvalid.moments.correlations",
    "describe_missing": "sqvalid.screening",
    "compare_structures": "sqvalid.exploratory",
    "draw_estimates": "sqvalid.latent.bootstrap",
    "efa": "sqvalid.exploratory",
    "estimate_effects": "sqvalid.effects",
    "estimate_power": "sqvalid.simulate",
    "fit_imputations": "sqvalid.imputation",
    "fit_model": "sqvalid.latent",
    "growth": "sqvalid.latent",
    "impute": "sqvalid.imputation",
    "intraclass_correlation": "sqvalid.reliability",
    "judge_hypotheses": "sqvalid.hypotheses",
    "list_instruments": "sqvalid.instruments",
    "load_dataset": "sqvalid.survey",
    "load_instrument": "sqvalid.instruments",
    "parse_model": "sqvalid.latent.syntax",
    "power_of_rmsea_test": "sqvalid.simulate",
    "propose_measurement": "sqvalid.exploratory",
    "read_frame": "sqvalid.survey",
    "read_hypotheses": "sqvalid.hypotheses",
    "read_matrix": "sqvalid.survey",
    "read_survey": "sqvalid.survey",
    "sample_size_for_rmsea_test": "sqvalid.simulate",
    "schmid_leiman": "sqvalid.exploratory",
    "score_test": "sqvalid.latent.parameter_tests",
    "screen": "sqvalid.screening",
    "sem": "sqvalid.latent",
    "simulate_survey": "sqvalid.simulate",
    "stream_moments": "sqvalid.moments",
    "suggest_n_factors": "sqvalid.exploratory",
    "tucker_congruence": "sqvalid.exploratory",
    "wald_test": "sqvalid.latent.parameter_tests",
}

__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sqvalid' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
