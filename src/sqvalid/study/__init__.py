"""A study: the whole plan from answers to a report, from Python or from a study.toml.

There are no numerics here: each step is a call of the public functions, in order.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from sqvalid import __version__, findings, wording
from sqvalid.effects import estimate_effects
from sqvalid.errors import Diagnostic, InputError, OptionError, SqvalidWarning, check_choice
from sqvalid.findings import build_ledger
from sqvalid.instruments import load_instrument
from sqvalid.latent import FitResult, cfa, model_variables, sem
from sqvalid.reliability import assess_reliability
from sqvalid.second_opinion import ask_second_opinion
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

    def __post_init__(self) -> None:
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
        fixed = {str(name): tuple(items) for name, items in self.dimensions.items()}
        object.__setattr__(self, "dimensions", MappingProxyType(fixed))

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
        survey = None if self.data is None else self._survey().reverse_keyed()
        notes: list[Diagnostic] = []
        measurement_text = self.measurement or self._default_measurement(survey, notes)
        structural_text = ""
        if self.structural is not None:
            structural_text = f"{measurement_text.strip()}\n{self.structural.strip()}\n"
        measurement = self._fit(measurement_text, survey, structural=False)
        structural = None
        if structural_text:
            structural = self._fit(structural_text, survey, structural=True)
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
        return StudyResult(
            title=self.title,
            language=self.language,
            measurement=measurement,
            measurement_text=measurement_text,
            ledger=build_ledger(measurement, validity, structural),
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
        )

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

    def _fit(self, text: str, survey: Survey | None, *, structural: bool) -> FitResult:
        estimate = sem if structural else cfa
        with warnings.catch_warnings():
            # Every one of them is a diagnostic of the result as well, and the report prints it.
            warnings.simplefilter("ignore", SqvalidWarning)
            if survey is None:
                return estimate(
                    text,
                    cov=self.matrix,
                    n_obs=self.n_obs,
                    estimator=self.estimator,
                    seed=self.seed,
                )
            data = check_items(survey.frame, model_variables(text), group=self.group)
            if self.group is not None:
                return estimate(
                    text, data, estimator=self.estimator, group=self.group, seed=self.seed
                )
            return estimate(text, data, estimator=self.estimator, seed=self.seed)

    def _provenance(self, survey: Survey | None, fit: FitResult) -> dict[str, Any]:
        packages = ("numpy", "scipy", "pandas", "semopy")
        return {
            "file": self.source,
            "sha256": fit.moments.sha256() if survey is None else survey.sha256(),
            "seed": self.seed,
            "estimator": self.estimator,
            "group": self.group or "",
            "versions": {
                "sqvalid": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in packages},
            },
        }
