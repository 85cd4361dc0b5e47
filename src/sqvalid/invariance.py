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
from sqvalid.errors import Diagnostic, OptionError, SqvalidWarning, UnsupportedError, check_choice
from sqvalid.latent import FitResult, sem
from sqvalid.latent.comparison import compare_models

__all__ = ["ORDERED_STEPS", "STEPS", "Invariance", "assess_invariance"]

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

ORDERED_STEPS: Mapping[str, tuple[str, ...]] = {
    "configural": (),
    "thresholds": ("thresholds",),
    "metric": ("thresholds", "loadings"),
    "scalar": ("thresholds", "loadings", "intercepts"),
    "strict": ("thresholds", "loadings", "intercepts", "residuals"),
}
"""The same where items are ordered: thresholds come first."""

_DEFAULT_STEPS = ("configural", "metric", "scalar", "strict")


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
    steps: Sequence[str] | None = None,
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
    steps : sequence of str, optional
        Names of :data:`STEPS` in their order, by default the first four; of
        :data:`ORDERED_STEPS`, by default all, where items are ordered (``ordered=``).
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
    UnsupportedError
        Ordered items with fewer than three categories, whose thresholds, loadings and intercepts
        cannot be told apart step by step.

    Notes
    -----
    A step is refused when CFI falls by .010 or more and, with it, RMSEA rises by .015 or more,
    or SRMR by .030 (loadings) or .010 (later steps). After a step that is refused, or an
    inadmissible one, later ones are not judged. The chi-square difference is printed beside it
    and decides nothing: in large samples it refuses what does not matter.

    Of ordered items each step is identified as Wu and Estabrook show: equal thresholds set the
    scale, so that later groups have free intercepts and residual variances; equal loadings free
    their factor variances, equal intercepts their factor means. The theta parameterisation is the
    default, without which residual variances are no parameters.

    References
    ----------
    Chen (2007), Structural Equation Modeling 14(3), 464-504; Wu & Estabrook (2016),
    Psychometrika 81, 1014-1045.
    """
    ladder: Mapping[str, tuple[str, ...]] = STEPS
    if options.get("ordered"):
        ladder = ORDERED_STEPS
        options = {"parameterization": "theta"} | options
    default = [name for name in ladder if ladder is ORDERED_STEPS or name in _DEFAULT_STEPS]
    if options.get("parameterization") == "delta" and ladder is ORDERED_STEPS:
        default.remove("strict")
    steps = default if steps is None else steps
    for step in steps:
        check_choice("steps", step, ladder)
    in_order = [name for name in ladder if name in steps]
    if not steps or [*ladder].index(steps[0]) > 0 or list(steps) != in_order:
        raise OptionError(
            f"steps={list(steps)!r} is not a ladder.",
            remedy=f"Begin with 'configural' and keep the order {', '.join(ladder)}.",
        )
    if options.get("parameterization") == "delta" and "strict" in steps:
        raise OptionError(
            "Residual variances of ordered items are no parameters of the delta parameterisation.",
            remedy="Use parameterization='theta', or leave out 'strict'.",
        )
    fits: dict[str, FitResult] = {}
    for step in steps:
        with warnings.catch_warnings():
            # Every one of them is a diagnostic of the fit.
            warnings.simplefilter("ignore", SqvalidWarning)
            fits[step] = sem(
                model
                if ladder is STEPS or not fits
                else f"{model}\n{_identification(step, fits['configural'])}",
                data,
                group=group,
                group_equal=ladder[step],
                group_partial=tuple(partial) if ladder[step] else (),
                meanstructure=True,
                **(options if ladder is STEPS else {"std_lv": True} | options),
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


def _identification(step: str, configural: FitResult) -> str:
    """Lines that free intercepts, and fix factor means and variances, where a step needs it."""
    table = configural.table
    thresholds = table.options.n_thresholds
    few = [name for name, count in thresholds.items() if count < 2]
    if few:
        raise UnsupportedError(
            f"Invariance step by step needs three categories or more; {', '.join(few)} "
            f"{'has' if len(few) == 1 else 'have'} two.",
            remedy="Compare two fits: one free, one with group_equal=('thresholds', 'loadings', "
            "'intercepts').",
        )
    n_groups = table.n_groups
    later = ", ".join(["0", *["NA"] * (n_groups - 1)])
    nothing, unit = (", ".join([value] * n_groups) for value in ("0", "1"))
    lines = []
    if step in ("thresholds", "metric"):
        lines += [f"{name} ~ c({later})*1" for name in thresholds]
        lines += [f"{name} ~ c({nothing})*1" for name in table.latents[0]]
    if step == "thresholds":
        lines += [f"{name} ~~ c({unit})*{name}" for name in table.latents[0]]
    return "\n".join(lines)


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
