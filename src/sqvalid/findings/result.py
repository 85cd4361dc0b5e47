"""Everything a study computed, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from sqvalid.display import Result
from sqvalid.errors import Diagnostic
from sqvalid.findings.answers import Answer
from sqvalid.findings.ledger import Ledger, Link

if TYPE_CHECKING:
    from sqvalid.effects import Effects
    from sqvalid.exploratory import EfaResult, Factorability, Proposal, Retention
    from sqvalid.hypotheses import HypothesisTests
    from sqvalid.instruments import Instrument
    from sqvalid.invariance import Invariance
    from sqvalid.latent.result import FitResult
    from sqvalid.reliability import Reliability
    from sqvalid.rivals import Rivals
    from sqvalid.screening import FlowStep, Screening
    from sqvalid.second_opinion import SecondOpinion
    from sqvalid.survey import Survey
    from sqvalid.validity import Validity

__all__ = ["Exploration", "StudyResult"]


@dataclass(frozen=True)
class Exploration:
    """How the answers were divided between finding a structure and testing it.

    Parameters
    ----------
    n_explored, n_confirmed : int
        Respondents of the two parts, after exclusions.
    share : float
        Part of the respondents that was planned for the exploration.
    seed : int
        Of the division.
    stratify : str
        Column within whose values the answers were divided; empty without one.
    items : tuple of str
        What was explored.
    proposal : Proposal, optional
        What became of each item, and the model that the other part tests; None where the plan
        states the measurement model.
    """

    n_explored: int
    n_confirmed: int
    share: float
    seed: int
    stratify: str
    items: tuple[str, ...]
    proposal: Proposal | None = None


@dataclass(frozen=True, repr=False, eq=False)
class StudyResult(Result):
    """Everything a study computed.

    Parameters
    ----------
    title, language : str
        Of the report.
    measurement : FitResult
        The measurement model.
    measurement_text : str
        Its model text.
    ledger : Ledger
        The chain of verdicts.
    structural : FitResult, optional
        The structural model.
    structural_text : str
        Its model text; empty without one.
    survey : Survey, optional
        The answers; None when the study began with a matrix.
    instrument : Instrument, optional
        What was asked.
    items : Reliability, optional
        Item analysis of the answers.
    validity : Validity, optional
        Evidence on the factors, with omega, CR and AVE.
    effects : Effects, optional
        Effects along the paths of the structural model.
    opinions : mapping of str to SecondOpinion
        Second opinions, by ``"measurement"`` and ``"structural"``.
    simulated : bool
        Whether the answers were made by a program.
    provenance : mapping
        Versions, seed, options, file, SHA-256, counts.
    notes : tuple of Diagnostic
        What happened on the way that belongs to no single result.
    answers : tuple of Answer
        The three of the first screen: reproduced, distinct, paths.
    role : {"confirm", "develop"}
        What the answers were for.
    unplanned : tuple of str
        Parts that the plan did not ask for: names of rivals, hypotheses or steps.
    screening : Screening, optional
        Of the answers as received.
    flow : tuple of FlowStep
        Who was left out, by which rule, in order.
    n_received : int
        Respondents before that; 0 for a matrix.
    rivals : Rivals, optional
        Other measurement models of the same answers.
    hypotheses : HypothesisTests, optional
        H1, H2, ... with their verdicts.
    invariance : Invariance, optional
        Whether the groups can be compared.
    sensitivity : pandas.DataFrame, optional
        Results with and without flagged respondents: ``all without_flagged difference``.
    missing_methods : pandas.DataFrame, optional
        Every verdict under either treatment of missing answers: ``kind name listwise fiml``.
    factorability : Factorability, optional
        Whether the items have enough in common to be factored.
    retention : Retention, optional
        How many factors they have by several rules.
    efa : EfaResult, optional
        Exploratory solution. In a study that confirms it is a diagnostic on the same respondents
        as the confirmatory model, with as many factors as that model has, and confirms nothing;
        in one that develops it is of the explored part alone.
    exploration : Exploration, optional
        The division of the answers in a study that develops; None in one that confirms.
    """

    title: str
    language: str
    measurement: FitResult
    measurement_text: str
    ledger: Ledger
    structural: FitResult | None = None
    structural_text: str = ""
    survey: Survey | None = None
    instrument: Instrument | None = None
    items: Reliability | None = None
    validity: Validity | None = None
    effects: Effects | None = None
    opinions: Mapping[str, SecondOpinion] = field(default_factory=dict)
    simulated: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    answers: tuple[Answer, ...] = ()
    role: Literal["confirm", "develop"] = "confirm"
    unplanned: tuple[str, ...] = ()
    screening: Screening | None = None
    flow: tuple[FlowStep, ...] = ()
    n_received: int = 0
    rivals: Rivals | None = None
    hypotheses: HypothesisTests | None = None
    invariance: Invariance | None = None
    sensitivity: pd.DataFrame | None = None
    missing_methods: pd.DataFrame | None = None
    factorability: Factorability | None = None
    retention: Retention | None = None
    efa: EfaResult | None = None
    exploration: Exploration | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "opinions", MappingProxyType(dict(self.opinions)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Diagnostics of all parts, each once."""
        parts: list[Any] = [self.measurement, self.structural, self.items, self.validity]
        if self.validity is not None:
            parts.append(self.validity.reliability)
        parts += [self.effects, self.screening, self.rivals, self.hypotheses, self.invariance]
        parts += [self.factorability, self.retention, self.efa]
        parts += [None if self.exploration is None else self.exploration.proposal]
        parts += self.opinions.values()
        seen: dict[str, Diagnostic] = {}
        for diagnostic in self.notes:
            seen.setdefault(repr(diagnostic), diagnostic)
        for part in parts:
            for diagnostic in getattr(part, "diagnostics", ()):
                seen.setdefault(repr(diagnostic), diagnostic)
        return tuple(seen.values())

    def _headline(self) -> str:
        measures = self.measurement.fit_measures
        states = ", ".join(f"{link.name} {link.state}" for link in self.ledger.links)
        return (
            f"{self.title}: n = {self.measurement.n_obs}, chi-square {measures['chisq']:.3f} on "
            f"{measures['df']:g} df; {states}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per judgement of the ledger."""
        return self.ledger.to_frame()

    def _payload(self) -> Mapping[str, Any]:
        def fit_payload(fit: FitResult | None, text: str) -> dict[str, Any] | None:
            if fit is None:
                return None
            return {
                "model": text,
                "converged": fit.converged,
                "admissible": fit.admissible,
                "n_obs": fit.n_obs,
                "n_received": fit.n_received,
                "n_free": fit.n_free,
                "options": {key: fit.options[key] for key in sorted(fit.options)},
                "fit_measures": fit.fit_measures,
                "parameters": fit.parameters,
                "r_squared": fit.r_squared,
            }

        def part(result: Result | None) -> dict[str, Any] | None:
            return None if result is None else result.to_dict()

        return {
            "title": self.title,
            "simulated": self.simulated,
            "provenance": self.provenance,
            "ledger": {link.name: _link_payload(link) for link in self.ledger.links},
            "measurement": fit_payload(self.measurement, self.measurement_text),
            "structural": fit_payload(self.structural, self.structural_text),
            "items": part(self.items),
            "validity": part(self.validity),
            "effects": part(self.effects),
            "answers": self.answers,
            "role": self.role,
            "unplanned": self.unplanned,
            "n_received": self.n_received,
            "flow": self.flow,
            "screening": part(self.screening),
            "rivals": part(self.rivals),
            "hypotheses": part(self.hypotheses),
            "invariance": part(self.invariance),
            "sensitivity": self.sensitivity,
            "missing_methods": self.missing_methods,
            "factorability": part(self.factorability),
            "retention": part(self.retention),
            "efa": part(self.efa),
            "exploration": _exploration_payload(self.exploration),
            "second_opinion": {name: part(opinion) for name, opinion in self.opinions.items()},
        }


def _link_payload(link: Link) -> dict[str, Any]:
    return {"state": link.state, "blocked_by": link.blocked_by, "judgements": link.judgements}


def _exploration_payload(exploration: Exploration | None) -> dict[str, Any] | None:
    if exploration is None:
        return None
    proposal = exploration.proposal
    return {
        "n_explored": exploration.n_explored,
        "n_confirmed": exploration.n_confirmed,
        "share": exploration.share,
        "seed": exploration.seed,
        "stratify": exploration.stratify,
        "items": list(exploration.items),
        "proposal": None if proposal is None else proposal.to_dict(),
    }
