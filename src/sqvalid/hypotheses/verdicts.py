"""From numbers to verdicts: Holm's adjustment within families, then one reading for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.hypotheses.reading import Hypothesis

__all__ = ["COLUMNS", "VERDICTS", "Finding", "holm_adjusted", "judged"]

Verdict = Literal["supported", "not_supported", "contradicted", "undecided", "not_testable"]
VERDICTS: tuple[Verdict, ...] = (
    "supported", "not_supported", "contradicted", "undecided", "not_testable",
)  # fmt: skip

COLUMNS = (
    "id", "group", "statement", "family", "kind", "test", "estimate", "se", "level", "ci_lower",
    "ci_upper", "std_estimate", "std_ci_lower", "std_ci_upper", "p", "p_adjusted", "verdict",
    "reason", "about",
)  # fmt: skip


@dataclass
class Finding:
    """A row on its way: numbers first, the verdict once the family's p values are known."""

    hypothesis: Hypothesis
    group: str
    test: str = ""
    estimate: float = math.nan
    se: float = math.nan
    level: float = math.nan
    ci: tuple[float, float] = (math.nan, math.nan)
    std: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    p: float = math.nan
    about: str = ""
    blocked: str = ""
    # Intervals, standardised at 1 - 2 alpha, of what must be near zero.
    regions: list[tuple[float, float]] = field(default_factory=list)


def holm_adjusted(p: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return p values adjusted for testing all of them.

    Parameters
    ----------
    p : sequence of float
        NaN for a test that could not be made: it is not counted.

    Returns
    -------
    ndarray
        In the order given, at most 1.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> from sqvalid.hypotheses import holm_adjusted
    >>> holm_adjusted([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=float)
    out = np.full(values.shape, np.nan)
    made = np.flatnonzero(np.isfinite(values))
    order = made[np.argsort(values[made], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return out


def judged(findings: Sequence[Finding], alpha: float, *, several: bool) -> pd.DataFrame:
    """Return one row per finding, with its verdict; see HypothesisTests.frame."""
    adjusted = np.full(len(findings), np.nan)
    for name in dict.fromkeys(f.hypothesis.family for f in findings):
        own = [i for i, f in enumerate(findings) if f.hypothesis.family == name]
        # What is not testable is not a test, and does not cost the others power.
        p = [math.nan if findings[i].blocked else findings[i].p for i in own]
        adjusted[own] = holm_adjusted(p)
    rows = []
    for finding, p in zip(findings, adjusted, strict=True):
        verdict, reason = _verdict(finding, float(p), alpha)
        hypothesis = finding.hypothesis
        rows.append(
            {
                "id": hypothesis.id,
                "group": finding.group,
                "statement": hypothesis.statement,
                "family": hypothesis.family,
                "kind": hypothesis.kind,
                "test": finding.test,
                "estimate": finding.estimate,
                "se": finding.se,
                "level": finding.level,
                "ci_lower": finding.ci[0],
                "ci_upper": finding.ci[1],
                "std_estimate": finding.std[0],
                "std_ci_lower": finding.std[1],
                "std_ci_upper": finding.std[2],
                "p": finding.p,
                "p_adjusted": p,
                "verdict": verdict,
                "reason": reason,
                "about": finding.about,
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame if several else frame.drop(columns="group")


def _verdict(finding: Finding, p: float, alpha: float) -> tuple[Verdict, str]:
    if finding.blocked:
        return "not_testable", finding.blocked
    if math.isnan(p):
        return "not_testable", "no_standard_error"
    hypothesis = finding.hypothesis
    if hypothesis.kind == "equivalence":
        return _near_verdict(finding, hypothesis.bound, p < alpha)
    if hypothesis.kind == "groups" or hypothesis.denied:
        if p < alpha:
            return "contradicted", "differs" if hypothesis.kind == "groups" else "effect_there"
        if math.isnan(hypothesis.smallest):
            return "undecided", "no_region"
        verdict, reason = _near_verdict(finding, hypothesis.smallest, None)
        # Outside the region, but the joint test did not reject after the adjustment.
        return (verdict, reason) if verdict == "supported" else ("undecided", "across_region")
    return _signed_verdict(finding, p, alpha)


def _near_verdict(finding: Finding, bound: float, rejected: bool | None) -> tuple[Verdict, str]:
    """Equivalence: whether every interval lies in the region, or one lies outside."""
    within = all(-bound < low and high < bound for low, high in finding.regions)
    if within and rejected is not False:
        return "supported", "within_region"
    if any(low > bound or high < -bound for low, high in finding.regions):
        return "contradicted", "outside_region"
    return "undecided", "across_region"


def _signed_verdict(finding: Finding, p: float, alpha: float) -> tuple[Verdict, str]:
    hypothesis = finding.hypothesis
    side = {"positive": 1.0, "negative": -1.0, "nonzero": 0.0}[hypothesis.sign]
    low, high = finding.regions[0]
    smallest = hypothesis.smallest
    if p < alpha:
        if side * finding.estimate < 0.0:
            return "contradicted", "opposite_sign"
        largest = max(side * low, side * high) if side else max(abs(low), abs(high))
        return "supported", "rejected_but_small" if largest < smallest else "rejected"
    if math.isnan(smallest):
        return "not_supported", "not_significant"
    reach = max(side * low, side * high) if side else max(abs(low), abs(high))
    if reach < smallest:
        return "not_supported", "too_small"
    return "undecided", "imprecise"
