"""The first screen: three questions, each with a verdict, a number, a rule and what flips it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sqvalid.criteria import BANDS, CRITERIA
from sqvalid.findings.ledger import Judgement, Ledger

if TYPE_CHECKING:
    from sqvalid.hypotheses import HypothesisTests
    from sqvalid.latent.result import FitResult
    from sqvalid.validity import Validity

__all__ = ["Answer", "build_answers"]

Question = Literal["reproduced", "distinct", "paths"]


@dataclass(frozen=True)
class Answer:
    """The answer to one question of the first screen.

    Parameters
    ----------
    question : {"reproduced", "distinct", "paths"}
        Are the dimensions reproduced; are they distinct; do the paths hold.
    verdict : {"yes", "no", "undecided"}
    measure : str
        What decides: a rule of :mod:`sqvalid.criteria`, or the id of a hypothesis; empty where
        nothing could be measured.
    value, threshold : float
        The number and its boundary; NaN where there is none.
    reason, flips : str
        Keys of the sentences that say why, and what would turn the answer round
        (``answer.reason.<reason>``, ``answer.flips.<flips>``).
    values : mapping
        What the sentences quote.
    """

    question: Question
    verdict: Literal["yes", "no", "undecided"]
    measure: str
    value: float
    threshold: float
    reason: str
    flips: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


def build_answers(
    ledger: Ledger,
    measurement: FitResult,
    validity: Validity | None,
    hypotheses: HypothesisTests | None,
) -> tuple[Answer, Answer, Answer]:
    """Answer the three questions of the first screen.

    Parameters
    ----------
    ledger : Ledger
        The chain of verdicts.
    measurement : FitResult
        The measurement model.
    validity : Validity, optional
        Evidence on its factors.
    hypotheses : HypothesisTests, optional
        Hypotheses with verdicts.

    Returns
    -------
    tuple of Answer
        reproduced, distinct, paths.

    Notes
    -----
    Rules are never combined by "or": *yes* needs every rule that judges to be met, *no* every
    one to be missed; where they disagree the answer is undecided, and says which rule stands
    in the way. After a link that failed nothing is *yes*.
    """
    return (
        _reproduced(ledger, measurement),
        _distinct(ledger, measurement, validity),
        _paths(ledger, hypotheses),
    )


def _nothing(question: Question, reason: str, flips: str, **values: Any) -> Answer:
    return Answer(question, "undecided", "", math.nan, math.nan, reason, flips, values)


def _shortfall(judgement: Judgement) -> float:
    """How far a value misses its rule (negative: meets it), relative to the rule."""
    rule = CRITERIA[judgement.rule]
    gap = (rule.value - judgement.value) / abs(rule.value)
    return gap if rule.direction in ("at_least", "above") else -gap


def _reproduced(ledger: Ledger, measurement: FitResult) -> Answer:
    if not measurement.converged:
        return _nothing("reproduced", "not_converged", "another_solution")
    judged = [j for j in ledger.link("fit").judgements if j.outcome != "not_judged"]
    if not measurement.admissible:
        return Answer(
            "reproduced", "no", "", math.nan, math.nan, "inadmissible", "another_model"
        )  # fmt: skip
    if not judged:
        reasons = [j.reason for j in ledger.link("fit").judgements]
        return _nothing("reproduced", "no_rule_applies", "another_sample", because=reasons[0])
    missed = [j for j in judged if j.outcome == "not_met"]
    values: dict[str, Any] = {"n_met": len(judged) - len(missed), "n_rules": len(judged)}
    if not missed:
        nearest = max(judged, key=_shortfall)
        return _by_rule("yes", nearest, "fit_met", "rule_lost", values)
    if len(missed) == len(judged):
        nearest = min(judged, key=_shortfall)
        return _by_rule("no", nearest, "fit_missed", "rules_won", values)
    return _by_rule("undecided", max(missed, key=_shortfall), "fit_mixed", "rule_won", values)


def _by_rule(
    verdict: Literal["yes", "no", "undecided"],
    judgement: Judgement,
    reason: str,
    flips: str,
    values: Mapping[str, Any],
) -> Answer:
    threshold = CRITERIA[judgement.rule].value
    return Answer(
        "reproduced", verdict, judgement.rule, judgement.value, threshold, reason, flips, values
    )


def _distinct(ledger: Ledger, measurement: FitResult, validity: Validity | None) -> Answer:
    names = [link.name for link in ledger.links]
    if validity is None or "distinctness" not in names:
        one = len(measurement.latents) < 2
        return _nothing("distinct", "one_factor" if one else "not_converged", "another_model")
    # Rönkkö & Cho: what counts is how large the correlation may still be.
    upper = validity.pairs[["simultaneous_lower", "simultaneous_upper"]].abs().max(axis=1)
    if upper.isna().all():
        return _nothing("distinct", "no_interval", "another_model")
    worst = validity.pairs.iloc[int(np.nanargmax(upper.to_numpy()))]
    pair: dict[str, Any] = {
        "factor_a": str(worst["factor_a"]),
        "factor_b": str(worst["factor_b"]),
        "correlation": float(worst["correlation"]),
        "htmt": float(worst["htmt"]),
    }
    largest = float(upper.max())
    blocked = ledger.link("distinctness").blocked_by
    fine, *_, identical = BANDS["latent_correlation"].cuts
    if blocked:
        pair["link"] = blocked
        return Answer(
            "distinct", "undecided", "latent_correlation", largest, fine, "blocked", "unblock", pair
        )
    n_pairs = len(upper)
    pair |= {"n_pairs": n_pairs, "n_fine": int((upper < fine).sum())}
    ends = validity.pairs[["simultaneous_lower", "simultaneous_upper"]]
    one_sided = ends.prod(axis=1) > 0.0
    lower = ends.abs().min(axis=1).where(one_sided, 0.0)
    htmt_missed = [
        j
        for j in ledger.link("distinctness").judgements
        if j.rule == "htmt_distinct" and j.outcome == "not_met"
    ]
    if largest < fine and not htmt_missed:
        verdict, reason, flips = "yes", "pairs_apart", "pair_nearer"
    elif largest >= identical or bool((lower >= fine).any()):
        # It may be one factor, or is close to it whatever the sampling error.
        verdict, reason, flips = "no", "pair_not_apart", "pair_apart"
    else:
        verdict, reason, flips = "undecided", "pair_close", "pair_apart"
    return Answer("distinct", verdict, "latent_correlation", largest, fine, reason, flips, pair)  # type: ignore[arg-type]


def _paths(ledger: Ledger, hypotheses: HypothesisTests | None) -> Answer:
    if hypotheses is None or not len(hypotheses.frame):
        return _nothing("paths", "no_hypotheses", "state_hypotheses")
    frame = hypotheses.frame
    counts = {name: int(n) for name, n in frame["verdict"].value_counts().items()}
    values: dict[str, Any] = {
        name: counts.get(name, 0)
        for name in ("supported", "not_supported", "contradicted", "undecided", "not_testable")
    }
    values["n"] = len(frame)
    tested = frame[frame["verdict"] != "not_testable"]
    if not len(tested):
        links = [reason for reason in frame["reason"] if reason.startswith("link_")]
        if links:
            return _nothing("paths", "blocked", "unblock", link=links[0].removeprefix("link_"))
        return _nothing("paths", "none_testable", "state_hypotheses", **values)
    failed = tested[tested["verdict"].isin(["contradicted", "not_supported"])]
    open_ = tested[tested["verdict"] == "undecided"]
    if len(failed):
        verdict, reason, flips, rows = "no", "some_failed", "hypothesis_won", failed
        deciding = rows.sort_values("p_adjusted", kind="stable").iloc[0]
        contradicted = rows[rows["verdict"] == "contradicted"]
        if len(contradicted):
            deciding = contradicted.iloc[0]
    elif len(open_):
        verdict, reason, flips = "undecided", "some_open", "hypothesis_decided"
        deciding = open_.iloc[0]
    else:
        verdict, reason, flips = "yes", "all_supported", "hypothesis_lost"
        deciding = tested.sort_values("p_adjusted", kind="stable").iloc[-1]
    values |= {"id": str(deciding["id"]), "statement": str(deciding["statement"])}
    return Answer(
        "paths",
        verdict,  # type: ignore[arg-type]
        str(deciding["id"]),
        float(deciding["p_adjusted"]),
        hypotheses.alpha,
        reason,
        flips,
        values,
    )
