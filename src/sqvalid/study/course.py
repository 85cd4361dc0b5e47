"""The course of a study: every step of the plan, in order, on the same answers and options."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import pandas as pd

from sqvalid import __version__
from sqvalid.effects import Effects, estimate_effects
from sqvalid.errors import Diagnostic, InputError, SqvalidError, SqvalidWarning
from sqvalid.exploratory import propose_measurement
from sqvalid.findings import Answer, Exploration, Ledger, build_answers, build_ledger
from sqvalid.hypotheses import HypothesisTests, read_hypotheses
from sqvalid.instruments import GAPS
from sqvalid.invariance import Invariance, assess_invariance
from sqvalid.latent import FitResult, model_variables, sem
from sqvalid.latent.syntax import parse_model
from sqvalid.reliability import Reliability, assess_reliability
from sqvalid.rivals import Rivals, compare_rivals
from sqvalid.screening import FlowStep, Screening, apply_exclusions, screen
from sqvalid.second_opinion import ask_second_opinion
from sqvalid.study import steps
from sqvalid.study.definition import Study
from sqvalid.study.explore import Explore, Explored, divide, explore, explore_beside
from sqvalid.study.folder import StudyResult
from sqvalid.survey import Survey, check_items
from sqvalid.survey.checks import require_columns
from sqvalid.validity import assess_validity

__all__ = ["carry_out"]


@dataclass(frozen=True)
class _Analysis:
    """How every model of a study is fitted: the same columns, the same options."""

    study: Study

    def options(self, variables: Sequence[str] = ()) -> dict[str, Any]:
        """Options of a fit of these variables; of any model when none are named."""
        study = self.study
        options: dict[str, Any] = {"estimator": study.estimator, "seed": study.seed}
        options |= study.options
        if study.matrix is not None:
            return options
        if study.missing != "listwise":
            options["missing"] = study.missing
        if study.cluster is not None:
            options["cluster"] = study.cluster
        if study.weights is not None:
            options["sampling_weights"] = study.weights
        if study.ordered:
            named = study.ordered
            options["ordered"] = (
                True
                if isinstance(named, bool)
                else [n for n in named if not variables or n in variables]
            )
        return options

    def data(
        self, survey: Survey, variables: Sequence[str], group: str | None = None
    ) -> pd.DataFrame:
        """Checked answers to some variables, with the columns that every fit needs."""
        frame = check_items(survey.frame, variables, group=group)
        extra = [name for name in (self.study.cluster, self.study.weights) if name is not None]
        return frame.assign(**{name: survey.frame[name] for name in extra})

    def fit(self, text: str, survey: Survey | None) -> FitResult:
        """Fit a model, in the groups of the study where it has any."""
        variables = model_variables(text)
        options = self.options(variables)
        with warnings.catch_warnings():
            # Every one of them is a diagnostic of the result as well, and the report prints it.
            warnings.simplefilter("ignore", SqvalidWarning)
            if survey is None:
                return sem(text, cov=self.study.matrix, n_obs=self.study.n_obs, **options)
            data = self.data(survey, variables, self.study.group)
            if self.study.group is not None:
                options["group"] = self.study.group
            return sem(text, data, **options)


def carry_out(study: Study) -> StudyResult:
    """Carry out the plan of a study; see :meth:`sqvalid.Study.run`."""
    notes: list[Diagnostic] = []
    analysis = _Analysis(study)
    received = _received(study, notes)
    stated = _stated_measurement(study, received, notes)
    screening, kept, flow = _screen(study, received, stated, notes)
    if study.group is not None and kept is not None:
        kept = _with_group(kept, study.group, notes)
    survey, text, exploration, explored = _develop(study, kept, stated, notes)
    measurement = analysis.fit(text, survey)
    if exploration is None:
        explored, told = explore_beside(
            survey,
            _own_items(measurement),
            matrix=study.matrix,
            n_obs=study.n_obs,
            n_factors=len(_own_factors(measurement)),
            incomplete=study.missing != "listwise",
            weights=study.weights,
            seed=study.seed,
        )
        notes += told
    structural_text = _structural_text(study, text, stated, notes)
    structural = analysis.fit(structural_text, survey) if structural_text else None
    if study.matrix is not None and study.matrix_kind == "correlation":
        notes.append(Diagnostic("correlation_input", "warning"))
    validity = assess_validity(measurement) if measurement.converged else None
    ledger = build_ledger(measurement, validity, structural)
    hypotheses = None
    if structural is not None:
        hypotheses = _judge(analysis, structural, ledger, survey, notes)
    answers = build_answers(ledger, measurement, validity, hypotheses)
    return StudyResult(
        title=study.title,
        language=study.language,
        measurement=measurement,
        measurement_text=text,
        ledger=ledger,
        structural=structural,
        structural_text=structural_text,
        survey=survey,
        instrument=None if survey is None else survey.instrument,
        items=_items(measurement, survey),
        validity=validity,
        effects=_effects(structural),
        opinions={
            name: ask_second_opinion(fit)
            for name, fit in (("measurement", measurement), ("structural", structural))
            if fit is not None
        },
        simulated=study.simulated,
        provenance=_provenance(study, survey, measurement),
        answers=answers,
        role=study.role,
        unplanned=() if study.hypotheses or hypotheses is None else ("hypotheses",),
        screening=screening,
        flow=flow,
        n_received=0 if received is None else len(received.frame),
        rivals=_rivals(analysis, measurement, text, stated, survey),
        hypotheses=hypotheses,
        invariance=_invariance(analysis, text, survey, notes),
        sensitivity=_sensitivity(
            analysis,
            survey,
            text,
            structural_text,
            [fit for fit in (measurement, structural) if fit is not None],
            notes,
        ),
        missing_methods=_other_method(study, survey, text, structural_text, answers, hypotheses),
        factorability=explored.factorability,
        retention=explored.retention,
        efa=explored.efa,
        exploration=exploration,
        notes=tuple(notes),
    )


# --- answers and the model that was planned ------------------------------------------------


def _received(study: Study, notes: list[Diagnostic]) -> Survey | None:
    """The answers as received, reverse-worded items turned, gap scores beside them."""
    if study.data is None:
        return None
    given = study.data
    survey = given if isinstance(given, Survey) else Survey(given, dimensions=study.dimensions)
    _check_columns(study, survey)
    survey = survey.reverse_keyed()
    for battery in _batteries(study):
        if battery in GAPS:
            survey = survey.gap_scores(battery)  # type: ignore[arg-type]
            notes.append(Diagnostic("gap_scores_analysed", "warning"))
    return survey


def _check_columns(study: Study, survey: Survey) -> None:
    """Refuse a plan that names columns the answers lack, before anything is computed."""
    stratum = study.explore.stratify if isinstance(study.explore, Explore) else None
    named = {
        "the group variable": (study.group, study.invariance),
        "the cluster": (study.cluster,),
        "the weight": (study.weights,),
        "the division of the answers": (stratum,),
        "the groups of a hypothesis": tuple(
            h.group for h in read_hypotheses(study.hypotheses) if h.kind == "groups"
        ),
    }
    for what, columns in named.items():
        require_columns(survey.frame, [name for name in columns if name], what=what)


def _batteries(study: Study) -> tuple[str, ...]:
    given = study.battery
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _stated_measurement(study: Study, survey: Survey | None, notes: list[Diagnostic]) -> str:
    """The measurement model of the plan, before anything is explored."""
    if study.measurement is not None:
        return study.measurement
    if study.kind is not None or study.battery is not None:
        return _implied_measurement(study, survey)
    dimensions = dict(study.dimensions)
    if not dimensions and survey is not None:
        dimensions = dict(survey.dimensions)
    if survey is not None and survey.instrument is not None:
        known = {dimension.id for dimension in survey.instrument.dimensions}
        formative = tuple(
            name
            for name in dimensions
            if name in known and survey.instrument.dimension(name).measurement != "reflective"
        )
        if formative:
            notes.append(Diagnostic("dimension_left_out", "info", formative))
            dimensions = {k: v for k, v in dimensions.items() if k not in formative}
    if not dimensions:
        raise InputError(
            "The study has no measurement model and no dimensions to make one from.",
            remedy="Give [model] measurement, an [instrument], or [dimensions].",
        )
    return "".join(f"{name} =~ {' + '.join(ids)}\n" for name, ids in dimensions.items())


def _implied_measurement(study: Study, survey: Survey | None) -> str:
    """The model that the instrument implies for the items that were asked."""
    if survey is None or survey.instrument is None:
        raise InputError(
            "Only an instrument implies a measurement model.", remedy="Give an instrument."
        )
    instrument = survey.instrument
    batteries = _batteries(study)
    if not batteries:
        present = {instrument.item(name).battery for name in instrument.item_ids
                   if name in survey.frame.columns}  # fmt: skip
        batteries = tuple(b for b in ("perception", "outcome") if b in present) or tuple(
            sorted(present)
        )
    known: list[str] = list(instrument.item_ids)
    for battery in batteries:
        if battery in GAPS:
            known += instrument.gap_items(battery)  # type: ignore[arg-type]
    spread = {
        part
        for battery in batteries
        for part in (("perception", "expectation") if battery == "both" else (battery,))
    }
    asked = [
        name
        for name in known
        if name in survey.frame.columns
        and (name not in instrument.item_ids or instrument.item(name).battery in spread)
    ]
    merge = [tuple(part.strip() for part in words.split("+")) for words in study.merge]
    return instrument.model(
        study.kind or "correlated",  # type: ignore[arg-type]
        batteries,
        merge=merge,
        structure=study.structure,
        items=asked,
    )


def _with_group(survey: Survey, column: str, notes: list[Diagnostic]) -> Survey:
    """Leave out who belongs to no group, and say so."""
    if column not in survey.frame.columns:
        return survey
    unknown = survey.frame[column].isna()
    if not unknown.any() or unknown.all():
        return survey
    notes.append(Diagnostic("group_unknown", "warning", (column,), {"n": int(unknown.sum())}))
    return survey.drop([bool(x) for x in unknown], f"no value in {column}")


# --- screening and exploration -------------------------------------------------------------


def _screen(
    study: Study, survey: Survey | None, text: str, notes: list[Diagnostic]
) -> tuple[Screening | None, Survey | None, tuple[FlowStep, ...]]:
    """Screen the answers as received, then leave out whom the plan leaves out."""
    if survey is None:
        return None, None, ()
    options = _screening_options(study, survey, text)
    screening = screen(survey, **options)
    if not study.exclusions:
        return screening, survey, ()
    kept, flow = apply_exclusions(survey, study.exclusions, **options)
    return screening, kept, flow


def _screening_options(study: Study, survey: Survey, text: str) -> dict[str, Any]:
    made_of: dict[str, tuple[str, ...]] = {}
    for battery in _batteries(study):
        if battery in GAPS and survey.instrument is not None:
            # People answer items; a difference of two answers cannot be a straight line.
            made_of |= survey.instrument.gap_items(battery)  # type: ignore[arg-type]
    items = list(
        dict.fromkeys(
            part
            for name in model_variables(text)
            for part in made_of.get(name, (name,))
            if part in survey.frame.columns
        )
    )
    asked = {name: ids for name, ids in survey.dimensions.items() if set(ids) <= set(items)}
    return {
        "dimensions": asked or {"": items},
        "duration": study.duration,
        "attention": dict(study.attention) or None,
    }


def _develop(
    study: Study, survey: Survey | None, stated: str, notes: list[Diagnostic]
) -> tuple[Survey | None, str, Exploration | None, Explored]:
    """In a study that develops: explore one part; the other part and the model it tests."""
    if study.role != "develop" or survey is None:
        return survey, stated, None, Explored()
    plan = study.explore if isinstance(study.explore, Explore) else Explore()
    part, held_out = divide(survey, plan, study.seed)
    factors = _plain_factors(stated)
    for name in plan.dimensions:
        if name not in factors:
            raise InputError(
                f"[explore] dimensions names {name!r}, which is no factor of the plan.",
                remedy=f"Factors there are: {', '.join(factors)}.",
            )
    chosen = plan.dimensions or tuple(factors)
    items = tuple(dict.fromkeys(item for name in chosen for item in factors[name]))
    explored, told = explore(
        part,
        items,
        plan=plan,
        incomplete=study.missing != "listwise",
        weights=study.weights,
        seed=study.seed,
    )
    notes += told
    proposal = None
    text = stated
    if study.measurement is None and explored.efa is not None:
        proposal = propose_measurement(
            explored.efa,
            dimensions={name: factors[name] for name in chosen},
            smallest_loading=plan.smallest_loading,
            smallest_gap=plan.smallest_gap,
        )
        rest = {name: ids for name, ids in factors.items() if name not in chosen}
        text = proposal.model + "".join(
            f"{name} =~ {' + '.join(ids)}\n" for name, ids in rest.items()
        )
    exploration = Exploration(
        n_explored=len(part),
        n_confirmed=len(held_out),
        share=plan.share,
        seed=study.seed,
        stratify=plan.stratify or "",
        items=items,
        proposal=proposal,
    )
    return held_out, text, exploration, explored


def _plain_factors(text: str) -> dict[str, tuple[str, ...]]:
    """Factors of a model text that are measured by items alone, with these."""
    observed = set(model_variables(text))
    found: dict[str, list[str]] = {}
    for term in parse_model(text).terms:
        if term.op == "=~" and term.rhs in observed:
            found.setdefault(term.lhs, []).append(term.rhs)
    return {name: tuple(dict.fromkeys(ids)) for name, ids in found.items()}


def _structural_text(study: Study, text: str, stated: str, notes: list[Diagnostic]) -> str:
    """The structural model on top of the measurement model; empty without one."""
    if study.structural is None:
        return ""
    whole = f"{text.strip()}\n{study.structural.strip()}\n"
    if text != stated:
        lost = set(_plain_factors(stated)) - set(_plain_factors(text))
        gone = tuple(name for name in model_variables(whole) if name in lost)
        if gone:
            notes.append(Diagnostic("planned_factor_not_found", "problem", gone))
            return ""
    return whole


# --- what is computed from the fits --------------------------------------------------------


def _own_factors(fit: FitResult) -> list[str]:
    observed = set(fit.observed)
    return [name for name, items in fit.indicators.items() if set(items) <= observed]


def _own_items(fit: FitResult) -> list[str]:
    factors = _own_factors(fit)
    return list(dict.fromkeys(item for name in factors for item in fit.indicators[name]))


def _items(fit: FitResult, survey: Survey | None) -> Reliability | None:
    if survey is None:
        return None
    columns = set(survey.frame.columns)
    used = {name: items for name, items in fit.indicators.items() if set(items) <= columns}
    return assess_reliability(survey, used) if used else None


def _effects(structural: FitResult | None) -> Effects | None:
    if structural is None or not (structural.parameters["op"] == "~").any():
        return None
    return estimate_effects(structural)


def _judge(
    analysis: _Analysis,
    structural: FitResult,
    ledger: Ledger,
    survey: Survey | None,
    notes: list[Diagnostic],
) -> HypothesisTests | None:
    """Test the hypotheses of the plan or, without any, every path."""
    study = analysis.study
    if study.hypotheses:
        hypotheses = read_hypotheses(study.hypotheses, smallest=study.smallest_effect)
    else:
        hypotheses = steps.hypotheses_of_paths(structural)
    if not hypotheses:
        return None

    def in_groups(column: str) -> FitResult | str:
        if survey is None:
            raise InputError(
                f"A hypothesis compares groups of {column!r}, and a matrix has none.",
                remedy="Give the answers, or leave the hypothesis out.",
            )
        ladder = _ladder(analysis, structural.model_text, survey, column, notes,
                         steps=("configural", "metric"))  # fmt: skip
        if ladder is None:
            return "groups_failed"
        # Paths are compared only where the constructs have the same units.
        unequal = ladder.frame["verdict"].iloc[-1] == "not_met"
        return "loadings_differ" if unequal else ladder.fits["metric"]

    return steps.judge_plan(
        hypotheses,
        structural,
        ledger,
        in_groups,
        names=study.names,
        alpha=study.alpha,
        seed=study.seed,
    )


def _ladder(
    analysis: _Analysis,
    text: str,
    survey: Survey,
    column: str,
    notes: list[Diagnostic],
    **options: Any,
) -> Invariance | None:
    """Invariance across the groups of a column; None, with a note, where it cannot be had."""
    known = _with_group(survey, column, notes)
    variables = model_variables(text)
    try:
        data = analysis.data(known, variables, column)
        return assess_invariance(text, data, group=column, **analysis.options(variables), **options)
    except SqvalidError as error:
        # A group in which the model cannot be estimated leaves the rest standing.
        told = {"column": column, "reason": str(error).split("\n")[0]}
        notes.append(Diagnostic("invariance_failed", "warning", (column,), told))
        return None


def _invariance(
    analysis: _Analysis, text: str, survey: Survey | None, notes: list[Diagnostic]
) -> Invariance | None:
    column = analysis.study.invariance
    if column is None or survey is None:
        return None
    return _ladder(analysis, text, survey, column, notes, partial=tuple(analysis.study.partial))


def _rivals(
    analysis: _Analysis, fit: FitResult, text: str, stated: str, survey: Survey | None
) -> Rivals | None:
    study = analysis.study
    if not study.rivals:
        return None
    instrument = None if survey is None else survey.instrument
    observed = set(fit.observed)
    factors = {name: items for name, items in fit.indicators.items() if set(items) <= observed}
    models = {"measurement": text}
    for name, words in study.rivals.items():
        if words.strip() == "planned" and text != stated:
            # The dimensions that were expected, of the items that exploration kept.
            expected = {
                name: [item for item in items if item in observed]
                for name, items in _plain_factors(stated).items()
            }
            models[name] = "".join(
                f"{name} =~ {' + '.join(items)}\n" for name, items in expected.items() if items
            )
        else:
            models[name] = steps.rival_text(words, instrument, factors)
    options = analysis.options(fit.observed)
    fitted = {"measurement": fit}
    if survey is None:
        options |= {"cov": study.matrix, "n_obs": study.n_obs}
        return compare_rivals(models, None, primary="measurement", fitted=fitted, **options)
    data = analysis.data(survey, fit.observed, study.group)
    if study.group is not None:
        options["group"] = study.group
    return compare_rivals(models, data, primary="measurement", fitted=fitted, **options)


def _sensitivity(
    analysis: _Analysis,
    survey: Survey | None,
    measurement: str,
    structural: str,
    fits: list[FitResult],
    notes: list[Diagnostic],
) -> pd.DataFrame | None:
    if survey is None:
        return None
    screening = screen(survey, **_screening_options(analysis.study, survey, measurement))
    texts = [text for text in (measurement, structural) if text]

    def analyse(data: Survey) -> list[FitResult]:
        # Without anybody left out, these are the fits of the study.
        return fits if data is survey else [analysis.fit(text, data) for text in texts]

    try:
        return steps.compare_flagged(survey, screening, analyse)
    except SqvalidError as error:
        told = {"n": int(screening.flagged.sum()), "reason": str(error).split("\n")[0]}
        notes.append(Diagnostic("sensitivity_failed", "info", (), told))
        return None


def _other_method(
    study: Study,
    survey: Survey | None,
    measurement_text: str,
    structural_text: str,
    answers: Sequence[Answer],
    hypotheses: HypothesisTests | None,
) -> pd.DataFrame | None:
    """Verdicts under either treatment of missing answers, where there are any."""
    if survey is None or study.estimator not in ("ML", "MLR"):
        return None
    if study.missing not in ("listwise", "fiml") or study.ordered:
        return None
    names = model_variables(structural_text or measurement_text)
    if not survey.frame[list(names)].isna().any(axis=None):
        return None
    other = _Analysis(replace(study, missing="fiml" if study.missing == "listwise" else "listwise"))
    try:
        measurement = other.fit(measurement_text, survey)
        structural = other.fit(structural_text, survey) if structural_text else None
        validity = None
        if measurement.converged:
            # No verdict hangs on the tests of perfect correlations.
            validity = assess_validity(measurement, unity_tests=False)
        ledger = build_ledger(measurement, validity, structural)
        judged = None
        if structural is not None:
            judged = _judge(other, structural, ledger, survey, [])
    except SqvalidError:
        # Too few complete respondents for the other way; the study itself stands.
        return steps.verdicts_by_method(study.missing, answers, hypotheses, None, None)
    theirs = build_answers(ledger, measurement, validity, judged)
    return steps.verdicts_by_method(study.missing, answers, hypotheses, theirs, judged)


def _provenance(study: Study, survey: Survey | None, fit: FitResult) -> Mapping[str, Any]:
    packages = ("numpy", "scipy", "pandas", "semopy")
    found: dict[str, Any] = {
        "file": study.source,
        "sha256": fit.moments.sha256() if survey is None else survey.sha256(),
        "seed": study.seed,
        "estimator": study.estimator,
        "group": study.group or "",
        "missing": study.missing,
    }
    placed = {"cluster": study.cluster, "weights": study.weights, "ordered": study.ordered}
    for name, value in {**placed, **study.options}.items():
        if value is not None and value is not False:
            found[name] = list(value) if isinstance(value, list | tuple) else value
    found["versions"] = {
        "sqvalid": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
    return found
