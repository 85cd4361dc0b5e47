"""A study: the whole plan from answers to a report, from Python or from a study.toml.

There are no numerics here: each step is a call of the public functions, in order.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from sqvalid import __version__, findings, wording
from sqvalid.effects import estimate_effects
from sqvalid.errors import (
    Diagnostic,
    InputError,
    OptionError,
    SqvalidError,
    SqvalidWarning,
    UnsupportedError,
    check_choice,
)
from sqvalid.findings import Answer, Ledger, build_answers, build_ledger
from sqvalid.hypotheses import HypothesisTests, read_hypotheses
from sqvalid.instruments import load_instrument
from sqvalid.invariance import Invariance, assess_invariance
from sqvalid.latent import FitResult, model_variables, sem
from sqvalid.reliability import assess_reliability
from sqvalid.rivals import Rivals, compare_rivals
from sqvalid.screening import FlowStep, Screening, apply_exclusions, screen
from sqvalid.second_opinion import ask_second_opinion
from sqvalid.study import steps
from sqvalid.study.folder import check_target, write_page, write_result
from sqvalid.study.plan import DEFAULT_SEED, read_plan
from sqvalid.survey import Survey, check_items, read_matrix, read_survey
from sqvalid.validity import assess_validity

__all__ = [
    "DEFAULT_SEED",
    "Study",
    "StudyResult",
    "check_target",
    "write_page",
    "write_result",
]


class StudyResult(findings.StudyResult):
    """Everything a study computed, and the way to put it into files.

    See :class:`sqvalid.findings.StudyResult` for the attributes.
    """

    def write(self, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write report, tables, results and models; see :func:`write_result`."""
        return write_result(self, folder, force=force)

    def write_report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report alone, as one self-contained page; see :func:`write_page`."""
        return write_page(self, path)


@dataclass(frozen=True, eq=False)
class Study:
    """A plan: data, measurement model, structural model, and how to estimate them.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame, optional
        The answers. Reverse-worded items of an instrument are turned by :meth:`run`.
    measurement : str, optional
        Model text; by default one factor per reflective dimension, freely correlated.
    structural : str, optional
        Model text of what comes on top: higher-order factors, paths, defined parameters.
    title, language : str
        Of the report; languages are ``"en"`` and ``"zh"``.
    dimensions : mapping of str to sequence of str, optional
        Dimension to items, where there is no instrument.
    estimator : {"ML", "MLR", "MLF"}
        See :func:`sqvalid.cfa`.
    group : str, optional
        Column that makes groups; every group gets its own estimates.
    matrix : pandas.DataFrame, optional
        A covariance or correlation matrix instead of `data`.
    matrix_kind : {"covariance", "correlation"}
        What `matrix` is.
    n_obs : int, optional
        Respondents behind `matrix`.
    seed : int
        For what draws random numbers; recorded in the report.
    simulated : bool
        Whether the answers were made by a program; the report then says so on top.
    source : str
        Name of the file the data came from.
    role : {"confirm", "develop"}
        What the answers are for: testing the structure that was hypothesised, on all rows; or
        finding one on a part of them and testing it on the rest.
    exclusions : mapping of str to float or None
        Rules by which respondents are left out, in order, with thresholds; None takes the
        default of the rule. See :data:`sqvalid.screening.RULES`.
    duration : str, optional
        Column with the seconds a respondent took.
    attention : mapping of str to value
        Attention checks: column to its right answer.
    rivals : mapping of str to str
        Other measurement models: name to model text, or to a kind such as ``"one_factor"`` or
        ``"merged RES+EMP"``.
    hypotheses : mapping of str to str or mapping
        H1, H2, ... in words; see :func:`sqvalid.read_hypotheses`. Without any, every path of
        the structural model is tested and marked as not planned.
    names : mapping of str to str
        What the hypotheses call the variables of the model.
    alpha : float
        Error rate within a family of hypotheses.
    smallest_effect : float, optional
        Smallest standardised effect of interest.
    invariance : str, optional
        Column whose groups are to be compared.
    missing : {"listwise", "fiml"}
        What becomes of respondents with missing answers: left out, or kept with what they
        answered (full-information maximum likelihood). Where there are any, the report shows what
        the other choice would have done to every verdict.

    Raises
    ------
    OptionError
        An unknown language, neither or both of `data` and `matrix`, a matrix without n, a group
        with a matrix.
    """

    data: Any = None
    measurement: str | None = None
    structural: str | None = None
    title: str = "sqvalid study"
    language: str = "en"
    dimensions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    estimator: str = "ML"
    group: str | None = None
    matrix: pd.DataFrame | None = None
    matrix_kind: Literal["covariance", "correlation"] = "covariance"
    n_obs: int | None = None
    seed: int = DEFAULT_SEED
    simulated: bool = False
    source: str = ""
    role: Literal["confirm", "develop"] = "confirm"
    exclusions: Mapping[str, float | None] = field(default_factory=dict)
    duration: str | None = None
    attention: Mapping[str, Any] = field(default_factory=dict)
    rivals: Mapping[str, str] = field(default_factory=dict)
    hypotheses: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    alpha: float = 0.05
    smallest_effect: float | None = None
    invariance: str | None = None
    missing: Literal["listwise", "fiml"] = "listwise"

    def __post_init__(self) -> None:
        check_choice("missing", self.missing, ("listwise", "fiml"))
        check_choice("language", self.language, wording.languages())
        check_choice("matrix_kind", self.matrix_kind, ("covariance", "correlation"))
        if (self.data is None) == (self.matrix is None):
            raise OptionError(
                "A study needs either answers or a matrix.",
                remedy="Give data=, or matrix= with n_obs=.",
            )
        if self.matrix is not None and self.n_obs is None:
            raise OptionError("A matrix needs the number of respondents.", remedy="Give n_obs=.")
        if self.matrix is not None and self.group is not None:
            raise OptionError(
                "A single matrix has no groups.", remedy="Leave out group=, or give the answers."
            )
        check_choice("role", self.role, ("confirm", "develop"))
        if self.role == "develop":
            raise UnsupportedError(
                "A study that develops a structure is not there yet.",
                remedy="Explore one half of the rows yourself and give the other half with "
                'role = "confirm".',
            )
        if self.matrix is not None and (self.exclusions or self.attention or self.duration):
            raise OptionError(
                "A matrix has no respondents to screen or leave out.",
                remedy="Leave out exclusions, attention and duration, or give the answers.",
            )
        if self.hypotheses and self.structural is None:
            raise OptionError(
                "Hypotheses need a structural model to be tested in.",
                remedy="Give [model] structural, or leave the hypotheses out.",
            )
        # Read here so that a slip in the words is told before anything is computed.
        read_hypotheses(self.hypotheses, smallest=self.smallest_effect)
        fixed = {str(name): tuple(items) for name, items in self.dimensions.items()}
        object.__setattr__(self, "dimensions", MappingProxyType(fixed))
        for name in ("exclusions", "attention", "rivals", "hypotheses", "names"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Study:
        """Read a study from its file.

        Parameters
        ----------
        path : str or path
            A ``study.toml``; the paths in it are relative to its folder.

        Returns
        -------
        Study

        Raises
        ------
        InputError
            The file, or one that it names, cannot be used; unknown keys are named with those
            that resemble them.
        """
        file = Path(path)
        plan = read_plan(file)
        folder = file.resolve().parent
        common: dict[str, Any] = {
            "measurement": plan.model.measurement,
            "structural": plan.model.structural,
            "title": plan.study.title,
            "language": plan.study.language,
            "estimator": plan.analysis.estimator,
            "group": plan.analysis.group,
            "dimensions": plan.dimensions,
            "seed": plan.study.seed,
            "simulated": plan.data.simulated,
            "role": plan.study.role,
            "exclusions": {step.rule: step.threshold for step in plan.exclusions},
            "duration": plan.screening.duration,
            "attention": plan.screening.attention,
            "rivals": plan.rivals,
            "hypotheses": plan.hypotheses,
            "names": plan.names,
            "alpha": plan.analysis.alpha,
            "smallest_effect": plan.analysis.smallest_effect,
            "invariance": plan.analysis.invariance,
            "missing": plan.analysis.missing,
        }
        matrix_file = plan.data.correlation or plan.data.covariance
        if matrix_file is not None:
            names, values = read_matrix(folder / matrix_file)
            return cls(
                matrix=pd.DataFrame(values, index=list(names), columns=list(names)),
                matrix_kind="correlation" if plan.data.correlation else "covariance",
                n_obs=plan.data.n,
                source=Path(matrix_file).name,
                **common,
            )
        instrument = None
        if plan.instrument is not None:
            own = plan.instrument.file
            instrument = load_instrument(str(folder / own) if own else str(plan.instrument.id))
        survey = read_survey(
            folder / str(plan.data.file),
            instrument=instrument,
            columns=plan.data.columns or None,
            dimensions=plan.dimensions or None,
            missing_codes=tuple(plan.data.missing_codes),
            answers=plan.data.answers or None,
            keyed=plan.data.keyed,
            sheet=plan.data.sheet,
            delimiter=plan.data.delimiter,
            decimal=plan.data.decimal,
            encoding=plan.data.encoding,
        )
        return cls(data=survey, source=Path(str(plan.data.file)).name, **common)

    def run(self) -> StudyResult:
        """Carry out the plan.

        Returns
        -------
        StudyResult

        Raises
        ------
        SqvalidError
            What the steps raise: unusable answers, a model that cannot be read, is not
            identified, or cannot be estimated.
        """
        received = None if self.data is None else self._survey().reverse_keyed()
        notes: list[Diagnostic] = []
        measurement_text = self.measurement or self._default_measurement(received, notes)
        structural_text = ""
        if self.structural is not None:
            structural_text = f"{measurement_text.strip()}\n{self.structural.strip()}\n"
        screening, survey, flow = self._screen(received, measurement_text, notes)
        measurement = self._fit(measurement_text, survey)
        structural = self._fit(structural_text, survey) if structural_text else None
        if self.matrix is not None and self.matrix_kind == "correlation":
            notes.append(Diagnostic("correlation_input", "warning"))
        validity = assess_validity(measurement) if measurement.converged else None
        items = None
        if survey is not None:
            used = {
                name: items
                for name, items in measurement.indicators.items()
                if set(items) <= set(survey.frame.columns)
            }
            items = assess_reliability(survey, used) if used else None
        effects = None
        if structural is not None and (structural.parameters["op"] == "~").any():
            effects = estimate_effects(structural)
        opinions = {"measurement": ask_second_opinion(measurement)}
        if structural is not None:
            opinions["structural"] = ask_second_opinion(structural)
        ledger = build_ledger(measurement, validity, structural)
        hypotheses = None if structural is None else self._judge(structural, ledger, survey, notes)
        invariance = self._invariance(measurement_text, survey, notes)
        sensitivity = self._sensitivity(survey, measurement_text, structural_text, notes)
        answers = build_answers(ledger, measurement, validity, hypotheses)
        other = self._other_method(survey, measurement_text, structural_text, answers, hypotheses)
        unplanned = () if self.hypotheses or hypotheses is None else ("hypotheses",)
        return StudyResult(
            title=self.title,
            language=self.language,
            measurement=measurement,
            measurement_text=measurement_text,
            ledger=ledger,
            structural=structural,
            structural_text=structural_text,
            survey=survey,
            instrument=None if survey is None else survey.instrument,
            items=items,
            validity=validity,
            effects=effects,
            opinions=opinions,
            simulated=self.simulated,
            provenance=self._provenance(survey, measurement),
            notes=tuple(notes),
            answers=answers,
            role=self.role,
            unplanned=unplanned,
            screening=screening,
            flow=flow,
            n_received=0 if received is None else len(received.frame),
            rivals=self._rivals(measurement, measurement_text, survey),
            hypotheses=hypotheses,
            invariance=invariance,
            sensitivity=sensitivity,
            missing_methods=other,
        )

    def _other_method(
        self,
        survey: Survey | None,
        measurement_text: str,
        structural_text: str,
        answers: Sequence[Answer],
        hypotheses: HypothesisTests | None,
    ) -> pd.DataFrame | None:
        """Verdicts under either treatment of missing answers, where there are any."""
        if survey is None or self.estimator not in ("ML", "MLR"):
            return None
        names = model_variables(structural_text or measurement_text)
        if not survey.frame[list(names)].isna().any(axis=None):
            return None
        other = replace(self, missing="fiml" if self.missing == "listwise" else "listwise")
        try:
            measurement = other._fit(measurement_text, survey)
            structural = other._fit(structural_text, survey) if structural_text else None
            # No verdict hangs on the tests of perfect correlations.
            validity = None
            if measurement.converged:
                validity = assess_validity(measurement, unity_tests=False)
            ledger = build_ledger(measurement, validity, structural)
            judged = None
            if structural is not None:
                judged = other._judge(structural, ledger, survey, [])
        except SqvalidError:
            # Too few complete respondents for the other way; the study itself stands.
            return steps.verdicts_by_method(self.missing, answers, hypotheses, None, None)
        theirs = build_answers(ledger, measurement, validity, judged)
        return steps.verdicts_by_method(self.missing, answers, hypotheses, theirs, judged)

    def _screen(
        self, survey: Survey | None, text: str, notes: list[Diagnostic]
    ) -> tuple[Screening | None, Survey | None, tuple[FlowStep, ...]]:
        """Screen the answers as received, then leave out whom the plan leaves out."""
        if survey is None:
            return None, None, ()
        options = self._screening_options(survey, text)
        screening = screen(survey, **options)
        if not self.exclusions:
            return screening, survey, ()
        kept, flow = apply_exclusions(survey, self.exclusions, **options)
        return screening, kept, flow

    def _screening_options(self, survey: Survey, text: str) -> dict[str, Any]:
        items = [name for name in model_variables(text) if name in survey.frame.columns]
        asked = {name: ids for name, ids in survey.dimensions.items() if set(ids) <= set(items)}
        return {
            "dimensions": asked or {"": items},
            "duration": self.duration,
            "attention": dict(self.attention) or None,
        }

    def _judge(
        self,
        structural: FitResult,
        ledger: Ledger,
        survey: Survey | None,
        notes: list[Diagnostic],
    ) -> HypothesisTests | None:
        """Test the hypotheses of the plan or, without any, every path."""
        if self.hypotheses:
            hypotheses = read_hypotheses(self.hypotheses, smallest=self.smallest_effect)
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
            data = check_items(survey.frame, model_variables(structural.model_text), group=column)
            try:
                ladder = assess_invariance(
                    structural.model_text,
                    data,
                    group=column,
                    steps=("configural", "metric"),
                    **self._options(),
                )
            except SqvalidError as error:
                told = {"column": column, "reason": str(error).split("\n")[0]}
                notes.append(Diagnostic("invariance_failed", "warning", (column,), told))
                return "groups_failed"
            # Paths are compared only where the constructs have the same units.
            unequal = ladder.frame["verdict"].iloc[-1] == "not_met"
            return "loadings_differ" if unequal else ladder.fits["metric"]

        return steps.judge_plan(
            hypotheses,
            structural,
            ledger,
            in_groups,
            names=self.names,
            alpha=self.alpha,
            seed=self.seed,
        )

    def _rivals(self, fit: FitResult, text: str, survey: Survey | None) -> Rivals | None:
        if not self.rivals:
            return None
        instrument = None if survey is None else survey.instrument
        observed = set(fit.observed)
        factors = {name: items for name, items in fit.indicators.items() if set(items) <= observed}
        models = {"measurement": text} | {
            name: steps.rival_text(words, instrument, factors)
            for name, words in self.rivals.items()
        }
        options = self._options()
        if survey is None:
            options |= {"cov": self.matrix, "n_obs": self.n_obs}
            return compare_rivals(models, None, primary="measurement", **options)
        data = check_items(survey.frame, fit.observed, group=self.group)
        if self.group is not None:
            options["group"] = self.group
        return compare_rivals(models, data, primary="measurement", **options)

    def _invariance(
        self, text: str, survey: Survey | None, notes: list[Diagnostic]
    ) -> Invariance | None:
        if self.invariance is None or survey is None:
            return None
        data = check_items(survey.frame, model_variables(text), group=self.invariance)
        try:
            return assess_invariance(text, data, group=self.invariance, **self._options())
        except SqvalidError as error:
            # A group in which the model cannot be estimated leaves the rest standing.
            told = {"column": self.invariance, "reason": str(error).split("\n")[0]}
            notes.append(Diagnostic("invariance_failed", "warning", (self.invariance,), told))
            return None

    def _sensitivity(
        self,
        survey: Survey | None,
        measurement: str,
        structural: str,
        notes: list[Diagnostic],
    ) -> pd.DataFrame | None:
        if survey is None:
            return None
        screening = screen(survey, **self._screening_options(survey, measurement))
        texts = [text for text in (measurement, structural) if text]
        try:
            return steps.compare_flagged(
                survey, screening, lambda data: [self._fit(text, data) for text in texts]
            )
        except SqvalidError as error:
            told = {"n": int(screening.flagged.sum()), "reason": str(error).split("\n")[0]}
            notes.append(Diagnostic("sensitivity_failed", "info", (), told))
            return None

    def _survey(self) -> Survey:
        if isinstance(self.data, Survey):
            return self.data
        return Survey(self.data, dimensions=self.dimensions)

    def _default_measurement(self, survey: Survey | None, notes: list[Diagnostic]) -> str:
        dimensions = dict(self.dimensions)
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

    def _fit(self, text: str, survey: Survey | None) -> FitResult:
        with warnings.catch_warnings():
            # Every one of them is a diagnostic of the result as well, and the report prints it.
            warnings.simplefilter("ignore", SqvalidWarning)
            if survey is None:
                return sem(text, cov=self.matrix, n_obs=self.n_obs, **self._options())
            data = check_items(survey.frame, model_variables(text), group=self.group)
            if self.group is not None:
                return sem(text, data, group=self.group, **self._options())
            return sem(text, data, **self._options())

    def _options(self) -> Any:
        """Options of every fit of the study."""
        options: dict[str, Any] = {"estimator": self.estimator, "seed": self.seed}
        if self.matrix is None and self.missing != "listwise":
            options["missing"] = self.missing
        return options

    def _provenance(self, survey: Survey | None, fit: FitResult) -> dict[str, Any]:
        packages = ("numpy", "scipy", "pandas", "semopy")
        return {
            "file": self.source,
            "sha256": fit.moments.sha256() if survey is None else survey.sha256(),
            "seed": self.seed,
            "estimator": self.estimator,
            "group": self.group or "",
            "missing": self.missing,
            "versions": {
                "sqvalid": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in packages},
            },
        }
