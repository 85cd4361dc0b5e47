"""Study: the plan, and how it is read from a study.toml."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from sqvalid import wording
from sqvalid.errors import InputError, OptionError, check_choice
from sqvalid.hypotheses import read_hypotheses
from sqvalid.instruments import load_instrument
from sqvalid.latent.fit import FitKeywords
from sqvalid.latent.options import ESTIMATORS, resolve_missing
from sqvalid.study.explore import Explore
from sqvalid.study.plan import DEFAULT_SEED, Plan, read_plan
from sqvalid.survey import read_matrix, read_survey

if TYPE_CHECKING:
    from sqvalid.study.folder import StudyResult

__all__ = ["FREE_OPTIONS", "Study"]

# Options of a fit that the plan has places of their own for, or that a study decides.
_PLACED = frozenset(
    [
        "estimator",
        "group",
        "missing",
        "ordered",
        "cluster",
        "sampling_weights",
        "cov",
        "mean",
        "n_obs",
        "seed",
        "group_equal",
        "group_partial",
        "meanstructure",
        "auxiliary",
        "rotation",
        "rotation_options",
        "start",
    ]
)
_MODEL_NAME = re.compile(r"[^\W\d][\w.]*")
FREE_OPTIONS = tuple(name for name in FitKeywords.__annotations__ if name not in _PLACED)
"""Options of every fit that a plan may name under ``options``."""


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
    estimator : str
        ``"ML"``, ``"MLR"``, ``"GLS"``, ...; see :func:`sqvalid.cfa`.
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
        ``"merged RES+EMP"``; in a study that develops also ``"planned"``, the dimensions that were
        expected of the items that exploration kept.
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
    partial : sequence of str
        Parameters that stay free in that comparison, e.g. ``("P3 ~ 1",)``.
    families : mapping of str to sequence of str
        Name of a family to the ids of its hypotheses, for multiplicity: Holm's adjustment is made
        within each. Hypotheses that are in none are one family together.
    kind : str, optional
        Measurement model that the instrument implies: ``"second_order"``, ``"bifactor"``, ...;
        see :meth:`sqvalid.instruments.Instrument.model`.
    battery : str or sequence of str, optional
        Whose items that model takes: ``"perception"``, ``"expectation"``, ``"both"``, ``"gap"``,
        ``"outcome"``, ...; several together as a sequence. Gap scores are computed.
    merge : sequence of str
        Dimensions that are one, for ``kind="merged"``: ``("RES+EMP",)``.
    structure : str, optional
        Which structure of the instrument, for kinds above the dimensions.
    cluster, weights : str, optional
        Columns with the cluster (branch, employee) and the sampling weight of a respondent.
    ordered : bool or sequence of str
        Items that are ordered categories; True for all of them. See :func:`sqvalid.cfa`.
    options : mapping
        Other options of every fit: ``{"std_lv": True, "test": "satorra.bentler"}``.
    explore : Explore or mapping, optional
        How a study that develops explores.
    missing : {"listwise", "fiml", ...}
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
    missing: str = "listwise"
    partial: Sequence[str] = ()
    families: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kind: str | None = None
    battery: str | Sequence[str] | None = None
    merge: Sequence[str] = ()
    structure: str | None = None
    cluster: str | None = None
    weights: str | None = None
    ordered: bool | Sequence[str] = False
    options: Mapping[str, Any] = field(default_factory=dict)
    explore: Explore | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_choice("language", self.language, wording.languages())
        check_choice("matrix_kind", self.matrix_kind, ("covariance", "correlation"))
        check_choice("role", self.role, ("confirm", "develop"))
        check_choice("estimator", self.estimator, ESTIMATORS)
        object.__setattr__(self, "missing", resolve_missing(self.missing))
        if (self.data is None) == (self.matrix is None):
            raise OptionError(
                "A study needs either answers or a matrix.",
                remedy="Give data=, or matrix= with n_obs=.",
            )
        if self.matrix is not None:
            self._check_matrix()
        if self.hypotheses and self.structural is None:
            raise OptionError(
                "Hypotheses need a structural model to be tested in.",
                remedy="Give [model] structural, or leave the hypotheses out.",
            )
        if self.partial and self.invariance is None:
            raise OptionError(
                "partial= names parameters that stay free, and there is no comparison of groups.",
                remedy="Give invariance=, the column with the groups.",
            )
        self._check_model()
        for name in self.options:
            check_choice("options", name, FREE_OPTIONS)
        if isinstance(self.explore, Mapping):
            for name in self.explore:
                check_choice("explore", name, [entry.name for entry in fields(Explore)])
            object.__setattr__(self, "explore", Explore(**self.explore))
        if self.explore is not None and self.role != "develop":
            raise OptionError(
                'The plan says how to explore, and its role is "confirm".',
                remedy='Set role = "develop", or leave [explore] out: a study that confirms shows '
                "an exploratory solution as a diagnostic only.",
            )
        fixed = {str(name): tuple(items) for name, items in self.dimensions.items()}
        _check_names(fixed)
        object.__setattr__(self, "dimensions", MappingProxyType(fixed))
        object.__setattr__(self, "hypotheses", _in_families(self.hypotheses, self.families))
        # Read here so that a slip in the words is told before anything is computed.
        read_hypotheses(self.hypotheses, smallest=self.smallest_effect)
        for name in ("exclusions", "attention", "rivals", "hypotheses", "names", "families"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def _check_matrix(self) -> None:
        if self.n_obs is None:
            raise OptionError("A matrix needs the number of respondents.", remedy="Give n_obs=.")
        if self.group is not None:
            raise OptionError(
                "A single matrix has no groups.", remedy="Leave out group=, or give the answers."
            )
        if self.exclusions or self.attention or self.duration:
            raise OptionError(
                "A matrix has no respondents to screen or leave out.",
                remedy="Leave out exclusions, attention and duration, or give the answers.",
            )
        asked = {
            "invariance": self.invariance,
            "cluster": self.cluster,
            "weights": self.weights,
            "ordered": self.ordered,
        }
        for name, value in asked.items():
            if value:
                raise OptionError(
                    f"A matrix has no answers, and {name}= needs them.",
                    remedy=f"Leave out {name}, or give the answers.",
                )
        if self.role == "develop":
            raise OptionError(
                "A matrix cannot be divided into a part to explore and a part to test.",
                remedy='Give the answers, or set role = "confirm".',
            )

    def _check_model(self) -> None:
        implied = {
            "kind": self.kind,
            "battery": self.battery,
            "merge": self.merge,
            "structure": self.structure,
        }
        given = [name for name, value in implied.items() if value]
        if given and self.measurement is not None:
            raise OptionError(
                f"The measurement model is given twice: as text, and by {', '.join(given)}.",
                remedy="Keep one of the two.",
            )
        if given and getattr(self.data, "instrument", None) is None:
            raise OptionError(
                f"{', '.join(given)}: only an instrument implies a measurement model.",
                remedy="Give an instrument, or the text of the measurement model.",
            )

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
            "exclusions": _exclusions(plan, file),
            "duration": plan.screening.duration,
            "attention": plan.screening.attention,
            "rivals": plan.rivals,
            "hypotheses": plan.hypotheses,
            "names": plan.names,
            "alpha": plan.analysis.alpha,
            "smallest_effect": plan.analysis.smallest_effect,
            "invariance": plan.analysis.invariance,
            "partial": tuple(plan.analysis.partial),
            "missing": plan.analysis.missing,
            "families": plan.families,
            "kind": plan.model.kind,
            "battery": plan.model.battery,
            "merge": tuple(plan.model.merge),
            "structure": plan.model.structure,
            "cluster": plan.analysis.cluster,
            "weights": plan.analysis.weights,
            "ordered": plan.analysis.ordered,
            "options": plan.analysis.options,
            "explore": None if plan.explore is None else plan.explore.model_dump(),
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
            if plan.instrument.scale is not None:
                instrument = instrument.with_scale(*plan.instrument.scale)
        survey = read_survey(
            folder / str(plan.data.file),
            instrument=instrument,
            columns=plan.data.columns or None,
            dimensions=plan.dimensions or None,
            missing_codes=tuple(plan.data.missing_codes),
            answers=plan.data.answers or None,
            scale=_scale_of(plan),
            reverse=plan.data.reverse,
            out_of_range=plan.data.out_of_range,
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
        from sqvalid.latent.threads import single_thread
        from sqvalid.study.course import carry_out

        with single_thread():
            return carry_out(self)


def _check_names(dimensions: Mapping[str, Sequence[str]]) -> None:
    """Refuse names that no model text can have, before a model is made of them."""
    for name, items in dimensions.items():
        for word in (name, *items):
            if not _MODEL_NAME.fullmatch(str(word)):
                what = "dimension" if word == name else f"item of dimension {name!r}"
                raise InputError(
                    f"{word!r} cannot be the name of a {what}: a name has a letter first, then "
                    "letters, digits, dots or underscores.",
                    remedy='Give the column another name: columns = { "How satisfied ...?" = '
                    '"SAT1" } under [data].',
                )
            if word != name and word in dimensions:
                raise InputError(
                    f"{word!r} is both a dimension and an item of {name!r}.",
                    remedy="Rename one of them; a model could not tell them apart.",
                )


def _in_families(
    hypotheses: Mapping[str, str | Mapping[str, Any]], families: Mapping[str, Sequence[str]]
) -> dict[str, str | Mapping[str, Any]]:
    """Give every hypothesis the family that the plan puts it into."""
    found = dict(hypotheses)
    placed: dict[str, str] = {}
    for family, members in families.items():
        for name in members:
            if name not in found:
                raise InputError(
                    f"Family {family!r} names hypothesis {name!r}, which is not there.",
                    remedy=f"Hypotheses there are: {', '.join(found) or 'none'}.",
                )
            entry = found[name]
            own = entry.get("family") if isinstance(entry, Mapping) else None
            other = placed.get(name, own)
            if other not in (None, family):
                raise InputError(
                    f"Hypothesis {name!r} is in two families, {other!r} and {family!r}.",
                    remedy="Put each into one family.",
                )
            placed[name] = family
            says = dict(entry) if isinstance(entry, Mapping) else {"says": entry}
            found[name] = says | {"family": family}
    return found


def _scale_of(plan: Plan) -> tuple[float, float] | dict[str, tuple[float, float]] | None:
    """The scales of the plan: one for all items, others for some."""
    if not plan.data.scales:
        return plan.data.scale
    everywhere = {} if plan.data.scale is None else dict.fromkeys(plan.dimensions, plan.data.scale)
    return everywhere | plan.data.scales


def _exclusions(plan: Plan, file: Path) -> dict[str, float | None]:
    rules = [step.rule for step in plan.exclusions]
    for rule in rules:
        if rules.count(rule) > 1:
            raise InputError(
                f"{file}: the exclusion rule {rule!r} stands more than once.",
                remedy="Keep the one with the threshold that is meant.",
            )
    return {step.rule: step.threshold for step in plan.exclusions}
