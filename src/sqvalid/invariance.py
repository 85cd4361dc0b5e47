"""Whether groups may be compared: the ladder from equal structure to equal residuals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sqvalid.criteria import judge
from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError, SqvalidWarning, check_choice
from sqvalid.latent import FitResult, sem
from sqvalid.latent.comparison import compare_models

__all__ = ["STEPS", "Invariance", "assess_invariance"]

STEPS: Mapping[str, tuple[str, ...]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
    "strict": ("loadings", "intercepts", "residuals"),
    "latent_covariances": (
        "loadings", "intercepts", "residuals", "lv.variances", "lv.covariances",
    ),
    "latent_means": (
        "loadings", "intercepts", "residuals", "lv.variances", "lv.covariances", "means",
    ),
}  # fmt: skip
"""What is equal across groups at each step."""


@dataclass(frozen=True, repr=False, eq=False)
class Invariance(Result):
    """The ladder of equality across groups.

    Made by :func:`assess_invariance`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per step: ``step df chisq pvalue cfi rmsea srmr aic bic admissible delta_df
        delta_chisq delta_p delta_cfi delta_rmsea delta_srmr verdict reason``. Differences are
        from the step before. ``verdict`` is Chen's: ``"met"``, ``"not_met"``, or
        ``"not_judged"`` for the reason given. CFI and RMSEA are the robust ones where the
        estimator has them.
    fits : mapping of str to FitResult
        By step.
    group : str
        The column.
    partial : tuple of str
        Parameters left free at every step.
    diagnostics : tuple of Diagnostic
    """

    frame: pd.DataFrame
    fits: Mapping[str, FitResult]
    group: str
    partial: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def reached(self) -> str:
        """The last step up to which every step holds; empty when even the first does not."""
        reached = ""
        for step, verdict in zip(self.frame["step"], self.frame["verdict"], strict=True):
            if verdict != "met":
                break
            reached = str(step)
        return reached

    def _headline(self) -> str:
        return f"across {self.group}: {self.reached or 'no'} invariance"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per step; see `frame`."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """The ladder."""
        return (Table(self.frame, formats={"pvalue": "p", "delta_p": "p"}),)

    def _payload(self) -> Mapping[str, Any]:
        return {"table": self.frame, "group": self.group, "reached": self.reached}


def assess_invariance(
    model: str,
    data: Any,
    *,
    group: str,
    steps: Sequence[str] = ("configural", "metric", "scalar", "strict"),
    partial: Sequence[str] = (),
    **options: Any,
) -> Invariance:
    """Fit a model with more and more of it equal across groups.

    Parameters
    ----------
    model : str
        Model text.
    data : pandas.DataFrame or other data of :func:`sqvalid.cfa`
        Answers.
    group : str
        Column with the groups.
    steps : sequence of str
        Names of :data:`STEPS`, in their order.
    partial : sequence of str
        Parameters that stay free, e.g. ``"P3 ~ 1"``.
    **options
        As for :func:`sqvalid.cfa`.

    Returns
    -------
    Invariance

    Raises
    ------
    OptionError
        An unknown step, or steps out of order.

    Notes
    -----
    A step is refused when CFI falls by .010 or more and, with it, RMSEA rises by .015 or more,
    or SRMR by .030 (loadings) or .010 (later steps). After a step that is refused, or an
    inadmissible one, later ones are not judged. The chi-square difference is printed beside it
    and decides nothing: in large samples it refuses what does not matter.

    References
    ----------
    Chen (2007), Structural Equation Modeling 14(3), 464-504.
    """
    for step in steps:
        check_choice("steps", step, STEPS)
    if not steps or [*STEPS].index(steps[0]) > 0 or list(steps) != [s for s in STEPS if s in steps]:
        raise OptionError(
            f"steps={list(steps)!r} is not a ladder.",
            remedy=f"Begin with 'configural' and keep the order {', '.join(STEPS)}.",
        )
    fits: dict[str, FitResult] = {}
    for step in steps:
        with warnings.catch_warnings():
            # Every one of them is a diagnostic of the fit.
            warnings.simplefilter("ignore", SqvalidWarning)
            fits[step] = sem(
                model,
                data,
                group=group,
                group_equal=STEPS[step],
                group_partial=tuple(partial) if STEPS[step] else (),
                meanstructure=True,
                **options,
            )
    rows: list[dict[str, Any]] = []
    failed = ""
    previous: FitResult | None = None
    for step, fit in fits.items():
        row = _measures(step, fit)
        row |= _changes(row, rows[-1] if rows else None, fit, previous)
        row["verdict"], row["reason"] = _verdict(step, row, failed, fit)
        if row["verdict"] != "met" and not failed:
            failed = step
        rows.append(row)
        previous = fit
    return Invariance(pd.DataFrame(rows), fits, group, tuple(partial))


def _measures(step: str, fit: FitResult) -> dict[str, Any]:
    measures = dict(fit.fit_measures)

    def value(name: str, robust: str) -> float:
        better = float(measures.get(f"{name}_{robust}", math.nan))
        return float(measures[name]) if math.isnan(better) else better

    return {
        "step": step,
        "df": fit.df,
        "chisq": value("chisq", "scaled"),
        "pvalue": value("pvalue", "scaled"),
        "cfi": value("cfi", "robust"),
        "rmsea": value("rmsea", "robust"),
        "srmr": float(measures["srmr"]),
        "aic": float(measures.get("aic", math.nan)),
        "bic": float(measures.get("bic", math.nan)),
        "admissible": fit.admissible,
    }


def _changes(
    row: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    fit: FitResult,
    previous: FitResult | None,
) -> dict[str, Any]:
    out: dict[str, Any] = {"delta_df": math.nan, "delta_chisq": math.nan, "delta_p": math.nan}
    for name in ("cfi", "rmsea", "srmr"):
        out[f"delta_{name}"] = math.nan if before is None else row[name] - before[name]
    if previous is not None and fit.converged and previous.converged and fit.df > previous.df:
        found = compare_models(previous, fit).differences[0]
        out["delta_df"], out["delta_chisq"] = found.df_diff, found.chisq_diff
        out["delta_p"] = found.p
    return out


def _verdict(step: str, row: Mapping[str, Any], failed: str, fit: FitResult) -> tuple[str, str]:
    if failed:
        return "not_judged", f"after_{failed}"
    if not row["admissible"]:
        return "not_judged", "inadmissible_solution"
    if step == "configural":
        return "met", ""
    context = {
        "estimator": str(fit.options["estimator"]),
        "df": fit.df,
        "converged": fit.converged,
    }
    srmr = "delta_srmr_loadings" if step == "metric" else "delta_srmr"
    outcomes = [
        judge(rule, float(row[column]), **context)
        for rule, column in (
            ("delta_cfi", "delta_cfi"),
            ("delta_rmsea", "delta_rmsea"),
            (srmr, "delta_srmr"),
        )
    ]
    reasons = [outcome.reason for outcome in outcomes if outcome.outcome == "not_judged"]
    if reasons:
        return "not_judged", reasons[0]
    cfi, rmsea, residual = (outcome.outcome == "not_met" for outcome in outcomes)
    return ("not_met", "chen_2007") if cfi and (rmsea or residual) else ("met", "")
