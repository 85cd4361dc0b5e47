"""The chain of verdicts: every rule with its outcome, every link with what blocks it.

Rules are never combined by "or": each keeps its own outcome. A link of the chain that
fails leaves what follows unjudged; the numbers are shown all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sqvalid.criteria import Outcome, classify, judge

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult
    from sqvalid.validity import Validity

__all__ = [
    "LARGE_RESIDUAL",
    "Judgement",
    "Ledger",
    "Link",
    "State",
    "build_ledger",
    "residual_correlations",
]

State = Literal["met", "mixed", "not_met", "not_judged"]

LARGE_RESIDUAL = 0.10
"""Absolute residual correlation from which a pair of items is worth a look (Kline 2016)."""

_FIT_RULES = ("cfi", "tli", "rmsea", "srmr")


@dataclass(frozen=True)
class Judgement:
    """One rule held against one number.

    Parameters
    ----------
    link : str
        Link of the chain it belongs to.
    subject : tuple of str
        What it is about: a factor, a pair of factors, an item; empty for the model.
    rule : str
        Key in the table of criteria.
    value : float
        The number.
    outcome : {"met", "not_met", "not_judged"}
        What the rule says.
    reason : str
        Why it does not judge; empty when it does.
    band : str
        Where the value lies, for a rule with bands; empty otherwise.
    """

    link: str
    subject: tuple[str, ...]
    rule: str
    value: float
    outcome: str
    reason: str = ""
    band: str = ""


@dataclass(frozen=True)
class Link:
    """One link of the chain of verdicts.

    Parameters
    ----------
    name : str
        ``"solution"``, ``"fit"``, ``"convergence"``, ``"distinctness"`` or ``"structure"``.
    state : {"met", "mixed", "not_met", "not_judged"}
        ``"mixed"`` when some rules that judge are met and others not.
    blocked_by : str
        Name of the earlier link that failed; empty otherwise.
    judgements : tuple of Judgement
        Every rule with its own outcome.
    """

    name: str
    state: State
    blocked_by: str = ""
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """The chain of verdicts, in order."""

    links: tuple[Link, ...]

    def link(self, name: str) -> Link:
        """Return one link by its name."""
        return next(link for link in self.links if link.name == name)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per judgement: link, state, subject, rule, value, outcome, reason."""
        rows = [
            {
                "link": link.name,
                "state": link.state,
                "blocked_by": link.blocked_by,
                "subject": " / ".join(judgement.subject),
                "rule": judgement.rule,
                "value": judgement.value,
                "outcome": judgement.outcome,
                "reason": judgement.reason,
                "band": judgement.band,
            }
            for link in self.links
            for judgement in link.judgements
        ]
        columns = ["link", "state", "blocked_by", "subject", "rule", "value", "outcome", "reason"]
        return pd.DataFrame(rows, columns=[*columns, "band"])


def _judgement(link: str, subject: tuple[str, ...], outcome: Outcome) -> Judgement:
    return Judgement(link, subject, outcome.key, outcome.value, outcome.outcome, outcome.reason)


def _state(judgements: list[Judgement]) -> State:
    outcomes = {j.outcome for j in judgements} - {"not_judged"}
    if not outcomes:
        return "not_judged"
    if outcomes == {"met"}:
        return "met"
    return "not_met" if outcomes == {"not_met"} else "mixed"


def _context(fit: FitResult) -> dict[str, Any]:
    return {
        "estimator": str(fit.options["estimator"]),
        "n_obs": fit.n_obs,
        "df": int(fit.fit_measures["df"]),
        "converged": fit.converged,
        "admissible": fit.admissible,
    }


def _fit_judgements(fit: FitResult, link: str, subject: tuple[str, ...]) -> list[Judgement]:
    measures, context = fit.fit_measures, _context(fit)
    return [
        _judgement(link, subject, judge(rule, float(_robust(measures, rule)), **context))
        for rule in _FIT_RULES
    ]


def _robust(measures: pd.Series[float], name: str) -> float:
    """Return the robust version of a fit measure where the estimator gives one."""
    robust = measures.get(f"{name}_robust", np.nan)
    return float(measures[name] if pd.isna(robust) else robust)


def _convergence(validity: Validity, fit: FitResult) -> Iterator[Judgement]:
    context = _context(fit)
    reliability = validity.reliability
    for row in reliability.items.to_dict("records"):
        subject = _subject(row, str(row["item"]))
        if not np.isnan(row["loading"]):
            loading = abs(float(row["loading"]))
            yield _judgement("convergence", subject, judge("loading_minimum", loading, **context))
    for row in reliability.scales.to_dict("records"):
        subject = _subject(row, str(row["dimension"]))
        for rule, column in (("ave_minimum", "ave"), ("omega_minimum", "omega_total")):
            outcome = judge(rule, float(row[column]), **context)
            yield _judgement("convergence", subject, outcome)


def _subject(row: Mapping[Any, Any], *names: str) -> tuple[str, ...]:
    group = row.get("group")
    return (*names, str(group)) if group else names


def _distinctness(validity: Validity, fit: FitResult) -> Iterator[Judgement]:
    context = _context(fit)
    for row in validity.pairs.to_dict("records"):
        subject = _subject(row, str(row["factor_a"]), str(row["factor_b"]))
        margin = float(np.sqrt(min(row["ave_a"], row["ave_b"])) - abs(row["correlation"]))
        yield _judgement("distinctness", subject, judge("fornell_larcker", margin, **context))
        yield _judgement("distinctness", subject, judge("htmt_distinct", row["htmt"], **context))
        ends = (row["simultaneous_lower"], row["simultaneous_upper"])
        placed = classify("latent_correlation", max(abs(ends[0]), abs(ends[1])), **context)
        if not fit.admissible:
            outcome, reason = "not_judged", "inadmissible_solution"
        elif placed.reason:
            outcome, reason = "not_judged", placed.reason
        else:
            outcome, reason = "met" if placed.band == "none" else "not_met", ""
        yield Judgement(
            "distinctness",
            subject,
            "latent_correlation",
            placed.value,
            outcome,
            reason,
            "" if reason else placed.band,
        )


def build_ledger(
    measurement: FitResult, validity: Validity | None, structural: FitResult | None
) -> Ledger:
    """Walk the chain from the admissible solution to the structure.

    Parameters
    ----------
    measurement : FitResult
        The measurement model.
    validity : Validity, optional
        Evidence on its factors.
    structural : FitResult, optional
        The structural model.

    Returns
    -------
    Ledger
        Convergence is evidence beside the chain and blocks nothing. A link whose rules
        disagree is "mixed" and does not block what follows.
    """
    links: list[Link] = []
    blocked = ""

    def add(name: str, state: State, judgements: list[Judgement], *, blocks: bool = True) -> None:
        nonlocal blocked
        if blocked:
            links.append(Link(name, "not_judged", blocked, tuple(judgements)))
            return
        links.append(Link(name, state, "", tuple(judgements)))
        if blocks and state == "not_met":
            blocked = name

    sound = measurement.converged and measurement.admissible
    add("solution", "met" if sound else "not_met", [])
    fit = _fit_judgements(measurement, "fit", ())
    add("fit", _state(fit), fit)
    if validity is not None:
        convergence = list(_convergence(validity, measurement))
        add("convergence", _state(convergence), convergence, blocks=False)
        if len(validity.pairs):
            distinctness = list(_distinctness(validity, measurement))
            add("distinctness", _state(distinctness), distinctness)
    if structural is not None:
        judgements = _fit_judgements(structural, "structure", ())
        sound = structural.converged and structural.admissible
        add("structure", _state(judgements) if sound else "not_met", judgements)
    return Ledger(tuple(links))


def residual_correlations(fit: FitResult) -> pd.DataFrame:
    """Return every residual correlation of a fit, the largest first.

    Parameters
    ----------
    fit : FitResult
        Any model.

    Returns
    -------
    pandas.DataFrame
        ``group lhs rhs residual``: observed minus implied correlation (Bollen 1989); ``group``
        only where there are several.
    """
    residuals = fit.residuals("cor")
    by_group = residuals if isinstance(residuals, dict) else {"": residuals}
    rows = []
    for label, frame in by_group.items():
        values = frame.to_numpy(dtype=float)
        names = [str(name) for name in frame.columns]
        for i, j in zip(*np.tril_indices(len(names), -1), strict=True):
            rows.append((str(label), names[j], names[i], float(values[i, j])))
    table = pd.DataFrame(rows, columns=["group", "lhs", "rhs", "residual"])
    table = table.sort_values("residual", key=np.abs, ascending=False, kind="stable")
    table = table.reset_index(drop=True)
    return table if len(by_group) > 1 else table.drop(columns="group")
