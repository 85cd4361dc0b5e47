"""A study: the whole plan from answers to a report, from Python or from a study.toml.

There are no numerics here: each step is a call of the public functions, in order.
"""

from __future__ import annotations

import difflib
import json
import os
import platform
import shutil
import tempfile
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sqvalid import __version__, wording
from sqvalid.display import Table, json_safe
from sqvalid.effects import estimate_effects
from sqvalid.errors import (
    Diagnostic,
    InputError,
    OptionError,
    SqvalidWarning,
    check_choice,
)
from sqvalid.findings import StudyResult, build_ledger, residual_correlations
from sqvalid.instruments import load_instrument
from sqvalid.latent import FitResult, cfa, sem
from sqvalid.latent.parameter_table import find_roles
from sqvalid.latent.syntax import parse_model
from sqvalid.reliability import assess_reliability
from sqvalid.report import render_html
from sqvalid.second_opinion import second_opinion
from sqvalid.survey import Survey, check_items, read_matrix, read_survey
from sqvalid.validity import assess_validity

__all__ = [
    "DEFAULT_SEED",
    "Study",
    "StudyResult",
    "check_target",
    "model_variables",
    "write_result",
]

DEFAULT_SEED = 20261122

SIGNIFICANT_DIGITS = 12
"""Digits of numbers in results.json: what machines agree on."""


# --- study.toml --------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StudyPart(_Part):
    title: str = "sqvalid study"
    language: str = "en"
    seed: int = DEFAULT_SEED


class _DataPart(_Part):
    file: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    missing_codes: list[int | float | str] = Field(default_factory=list)
    correlation: str | None = None
    covariance: str | None = None
    n: int | None = Field(default=None, ge=2)
    simulated: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> _DataPart:
        given = [name for name in ("file", "correlation", "covariance") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of the keys file, correlation, covariance")
        if given != ["file"] and self.n is None:
            raise ValueError(f"a {given[0]} matrix needs the key n, the number of respondents")
        return self


class _InstrumentPart(_Part):
    id: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> _InstrumentPart:
        if (self.id is None) == (self.file is None):
            raise ValueError("give exactly one of the keys id, file")
        return self


class _ModelPart(_Part):
    measurement: str | None = None
    structural: str | None = None


class _AnalysisPart(_Part):
    estimator: str = "ML"
    group: str | None = None


class _Plan(_Part):
    study: _StudyPart = Field(default_factory=_StudyPart)
    data: _DataPart
    instrument: _InstrumentPart | None = None
    dimensions: dict[str, list[str]] = Field(default_factory=dict)
    model: _ModelPart = Field(default_factory=_ModelPart)
    analysis: _AnalysisPart = Field(default_factory=_AnalysisPart)


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that may stand where `path` leads to."""
    for step in path:
        annotation = model.model_fields[step].annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        parts = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not parts:
            return []
        model = parts[0]
    return list(model.model_fields)


def _plan_error(error: ValidationError, path: Path) -> InputError:
    """Turn the first complaint of the schema into one message with file, key and remedy."""
    first = error.errors()[0]
    place = [str(step) for step in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_keys(_Plan, place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=3)
        section = f"[{'.'.join(place[:-1])}]" if len(place) > 1 else "the file"
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return InputError(
            f"{path}: unknown key {place[-1]!r} in {section}.{hint}",
            remedy=f"Keys there are: {', '.join(known)}.",
        )
    message = str(first["msg"]).removeprefix("Value error, ")
    where = f"[{name}]" if len(place) < 2 else f"key {name!r}"
    return InputError(f"{path}: {where}: {message}.", remedy="Correct this entry of the file.")


def _read_plan(path: Path) -> _Plan:
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"There is no file {str(path)!r}.", remedy="Check the path of the study file."
        ) from None
    except IsADirectoryError:
        raise InputError(
            f"{str(path)!r} is a directory, not a study file.",
            remedy="Give the path of the study.toml in it.",
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text file in UTF-8 (byte {error.start}).",
            remedy="Save the study file as UTF-8 text.",
        ) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}.", remedy="Check its permissions.") from None
    try:
        raw = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{path}: not valid TOML: {error}.", remedy="Correct the line that is named."
        ) from None
    try:
        return _Plan.model_validate(raw)
    except ValidationError as error:
        raise _plan_error(error, path) from None


# --- the study ---------------------------------------------------------------------------


def model_variables(text: str) -> tuple[str, ...]:
    """Return the observed variables of a model text, in the order of the model.

    Parameters
    ----------
    text : str
        Model text in lavaan's language.

    Returns
    -------
    tuple of str

    Raises
    ------
    ModelSyntaxError
        The text does not follow the grammar.
    """
    spec = parse_model(text)
    names: dict[str, None] = {}
    for block in dict.fromkeys(term.block for term in spec.terms):
        roles = find_roles([term for term in spec.terms if term.block == block])
        names |= dict.fromkeys(roles.observed)
    return tuple(names)


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
        plan = _read_plan(file)
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
        opinions = {"measurement": second_opinion(measurement)}
        if structural is not None:
            opinions["structural"] = second_opinion(structural)
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


# --- writing -----------------------------------------------------------------------------


def _tables(result: StudyResult) -> dict[str, pd.DataFrame]:
    """Return every table of a study by the name of its file."""
    fits = {"measurement": result.measurement}
    if result.structural is not None:
        fits["structural"] = result.structural
    tables: dict[str, pd.DataFrame] = {"ledger": result.ledger.to_frame()}
    for name, fit in fits.items():
        measures = fit.fit_measures
        tables[f"{name}_fit_measures"] = pd.DataFrame(
            {"measure": list(measures.index), "value": measures.to_numpy(dtype=np.float64)}
        )
        tables[f"{name}_parameters"] = fit.parameters
        tables[f"{name}_modification_indices"] = fit.modification_indices()
        tables[f"{name}_residual_correlations"] = residual_correlations(fit)
    if result.items is not None:
        tables["items"] = result.items.items
    if result.validity is not None:
        tables["reliability"] = result.validity.reliability.scales
        tables["validity_pairs"] = result.validity.pairs
        for label, matrix in result.validity.matrix.items():
            suffix = f"_{_safe_name(label)}" if len(result.validity.matrix) > 1 else ""
            tables[f"validity_matrix{suffix}"] = matrix.rename_axis("factor").reset_index()
    if result.effects is not None:
        tables["effects"] = result.effects.frame
    for name, opinion in result.opinions.items():
        if opinion.available:
            tables[f"second_opinion_{name}"] = opinion.estimates
    return tables


def _safe_name(label: str) -> str:
    return "".join(ch if ch.isalnum() or ch in "-_" else "_" for ch in label) or "group"


def _files(result: StudyResult) -> dict[str, str]:
    payload = json_safe(result.to_dict(), significant=SIGNIFICANT_DIGITS)
    files = {
        "report.html": render_html(result),
        "results.json": json.dumps(payload, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "models/measurement.txt": result.measurement_text.strip() + "\n",
    }
    if result.structural_text:
        files["models/structural.txt"] = result.structural_text.strip() + "\n"
    for name, frame in _tables(result).items():
        files[f"tables/{name}.csv"] = Table(frame).to_csv()
    return files


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder holds the results of an earlier run."""
    try:
        head = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(head, dict) and head.get("type") == StudyResult.__name__


def write_result(
    result: StudyResult, folder: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Write a study's report, tables, results and models into a folder.

    Everything is made before anything is written, and written beside the folder before it is
    moved in: a failure leaves no half-written results.

    Parameters
    ----------
    result : StudyResult
        What to write.
    folder : str or path
        Made when absent. The results of an earlier run are replaced.
    force : bool
        Write into a folder that holds other files, too; those stay, files of the same name
        are replaced.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    InputError
        The folder holds other files, is no folder, or cannot be written.
    """
    target = Path(folder)
    check_target(target, force=force)
    files = _files(result)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent.resolve()))
    except OSError as error:
        raise _cannot_write(target, error) from None
    try:
        for name, content in files.items():
            place = staging / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, encoding="utf-8", newline="\n")
        _move_in(staging, target, list(files))
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target / "report.html"


def _move_in(staging: Path, target: Path, names: list[str]) -> None:
    if not target.exists() or not any(target.iterdir()):
        if target.exists():
            target.rmdir()
        # mkdtemp makes folders that only their owner can read.
        staging.chmod(0o777 & ~_umask())
        staging.rename(target)
        return
    if _is_ours(target):
        # A table that this run no longer has would be read as one of its results.
        for stale in (target / "tables").glob("*.csv"):
            if f"tables/{stale.name}" not in names:
                stale.unlink()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / name, target / name)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _cannot_write(target: Path, error: OSError) -> InputError:
    return InputError(
        f"Cannot write to {str(target)!r}: {error.strerror or error}.",
        remedy="Choose another folder with -o, or check its permissions and the free space.",
    )


def check_target(folder: str | os.PathLike[str], *, force: bool = False) -> None:
    """Check that results can go into a folder, before anything is computed.

    Parameters
    ----------
    folder : str or path
        Where :func:`write_result` is to write.
    force : bool
        As there.

    Raises
    ------
    InputError
        It is a file, holds files that are not ours, or cannot be written.
    """
    target = Path(folder)
    try:
        if target.exists() and not target.is_dir():
            raise InputError(
                f"{str(target)!r} is a file, not a folder.", remedy="Choose another folder with -o."
            )
        if target.is_dir() and any(target.iterdir()) and not (force or _is_ours(target)):
            raise InputError(
                f"The folder {str(target)!r} holds files that sqvalid did not write.",
                remedy="Choose another folder with -o, or use --force to write into this one; its "
                "other files stay.",
            )
    except OSError as error:
        raise _cannot_write(target, error) from None
    existing = next(p for p in [target, *target.resolve().parents] if p.exists())
    if not os.access(existing, os.W_OK):
        raise InputError(
            f"No permission to write to {str(existing)!r}.",
            remedy="Choose another folder with -o, or change its permissions.",
        )
