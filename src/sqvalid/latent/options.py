"""Options of a fit: what was asked for, resolved to what is done, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqvalid.errors import OptionError, UnsupportedError, check_choice
from sqvalid.latent.parameter_table import GROUP_EQUAL, TableOptions


@dataclass(frozen=True)
class EstimatorDefaults:
    """What an estimator's name stands for."""

    discrepancy: str
    se: str
    test: str
    information: str = "expected"
    h1_information: str = "structured"


# The one table of estimators; every resolved option stands in a fit's `options`.
ESTIMATORS: Mapping[str, EstimatorDefaults] = {
    "ML": EstimatorDefaults("ML", "standard", "standard"),
    "MLM": EstimatorDefaults("ML", "robust.sem", "satorra.bentler"),
    "MLMV": EstimatorDefaults("ML", "robust.sem", "scaled.shifted"),
    "MLMVS": EstimatorDefaults("ML", "robust.sem", "mean.var.adjusted"),
    "MLR": EstimatorDefaults("ML", "robust.huber.white", "yuan.bentler.mplus", "observed"),
    "MLF": EstimatorDefaults("ML", "standard", "standard", "first.order"),
    "GLS": EstimatorDefaults("GLS", "standard", "standard", h1_information="unstructured"),
    "ULS": EstimatorDefaults(
        "ULS", "robust.sem.nt", "browne.residual.nt", h1_information="unstructured"
    ),
    "ULSM": EstimatorDefaults(
        "ULS", "robust.sem", "satorra.bentler", h1_information="unstructured"
    ),
    "ULSMV": EstimatorDefaults(
        "ULS", "robust.sem", "scaled.shifted", h1_information="unstructured"
    ),
    "WLS": EstimatorDefaults("WLS", "standard", "standard", h1_information="unstructured"),
    "DWLS": EstimatorDefaults("DWLS", "robust.sem", "standard", h1_information="unstructured"),
    "WLSM": EstimatorDefaults(
        "DWLS", "robust.sem", "satorra.bentler", h1_information="unstructured"
    ),
    "WLSMV": EstimatorDefaults(
        "DWLS", "robust.sem", "scaled.shifted", h1_information="unstructured"
    ),
    "WLSMVS": EstimatorDefaults(
        "DWLS", "robust.sem", "mean.var.adjusted", h1_information="unstructured"
    ),
}
# What differs for ordered answers: there are no normal-theory statistics of theirs.
_CATEGORICAL: Mapping[str, EstimatorDefaults] = {
    "ULS": EstimatorDefaults("ULS", "robust.sem", "standard", h1_information="unstructured"),
}
CATEGORICAL_ESTIMATORS = (
    "WLSMV", "WLSM", "WLSMVS", "DWLS", "WLS", "ULSMV", "ULSM", "ULS",
)  # fmt: skip
# Tests and standard errors that are functions of the asymptotic covariance alone.
_CATEGORICAL_TESTS = ("standard", "satorra.bentler", "scaled.shifted", "mean.var.adjusted")
_CATEGORICAL_SE = ("standard", "robust.sem", "bootstrap", "none")
PARAMETERIZATIONS = ("delta", "theta")
SE_KINDS = (
    "standard",
    "robust.sem",
    "robust.sem.nt",
    "robust.huber.white",
    "robust.cluster",
    "two.stage",
    "robust.two.stage",
    "bootstrap",
    "none",
)
SANDWICHES = ("robust.huber.white", "robust.cluster")
TESTS = (
    "standard",
    "satorra.bentler",
    "mean.var.adjusted",
    "scaled.shifted",
    "yuan.bentler",
    "yuan.bentler.mplus",
    "browne.residual.nt",
    "browne.residual.nt.model",
    "browne.residual.adf",
    "browne.residual.adf.model",
    "bollen.stine",
)
MISSING = ("listwise", "fiml", "fiml.x", "two.stage", "robust.two.stage", "pairwise")
FULL_INFORMATION = ("fiml", "fiml.x")
TWO_STAGE = ("two.stage", "robust.two.stage")
# lavaan's other names of the same thing.
MISSING_ALIASES = {
    "ml": "fiml",
    "direct": "fiml",
    "ml.x": "fiml.x",
    "direct.x": "fiml.x",
}
_MISSING_LATER = ("available.cases",)
# Tests and standard errors that know of missing answers.
_INCOMPLETE_TESTS = ("standard", "yuan.bentler.mplus")
_INCOMPLETE_SE = ("standard", "robust.huber.white", "robust.cluster", "bootstrap", "none")
# Tests that know of sampling weights and of clusters.
_SAMPLING_TESTS = ("standard", "yuan.bentler.mplus")
DEFAULT_DRAWS = 1000
INFORMATION = ("expected", "observed", "first.order")
BOUNDS = ("none", "pos.var")


@dataclass(frozen=True)
class FitOptions:
    """Resolved options; ``as_dict`` gives them under lavaan's names."""

    function: str
    estimator: str
    likelihood: str
    discrepancy: str
    se: str
    tests: tuple[str, ...]
    information: str
    h1_information: str
    missing: str
    meanstructure: bool
    fixed_x: bool
    std_lv: bool
    orthogonal: bool
    effect_coding: tuple[str, ...]
    group_equal: tuple[str, ...]
    group_partial: tuple[str, ...]
    bounds: str
    start: str
    seed: int
    max_iterations: int
    sample_cov_rescale: bool
    cluster: str | None = None
    sampling_weights: str | None = None
    bootstrap: int | None = None
    auxiliary: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()
    parameterization: str = "delta"
    conditional_x: bool = False

    @property
    def is_categorical(self) -> bool:
        """Whether some answers are ordered categories."""
        return bool(self.ordered)

    @property
    def test(self) -> str:
        """The test that is reported: the first one beside the standard statistic."""
        return self.tests[1] if len(self.tests) > 1 else "standard"

    @property
    def reported_test(self) -> str:
        """Statistic that stands as chi-square: a residual one replaces the standard one of ULS."""
        if self.discrepancy == "ULS" and self.test.startswith("browne"):
            return self.test
        return "standard"

    @property
    def has_reference(self) -> bool:
        """Whether the standard statistic has a chi-square distribution under the model."""
        return self.discrepancy not in ("ULS", "DWLS")

    def as_dict(self) -> dict[str, Any]:
        """Options by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def as_tuple(value: str | Sequence[str] | bool | None) -> tuple[str, ...]:
    """One string or several become a tuple; nothing becomes an empty one."""
    if value is None or value is False:
        return ()
    if isinstance(value, str):
        return (value,)
    if value is True:
        return ("loadings", "intercepts")
    return tuple(value)


def resolve_estimator(
    estimator: str,
    se: str | None,
    test: str | Sequence[str] | None,
    information: str | None,
    h1_information: str | None,
    *,
    cluster: str | None = None,
    sampling_weights: str | None = None,
    missing: str = "listwise",
    categorical: bool = False,
) -> tuple[EstimatorDefaults, tuple[str, ...]]:
    """What an estimator and its options mean.

    With clusters or sampling weights the estimator is "ML" or "MLR", which are then the same:
    a sandwich and the Yuan-Bentler (Mplus) test with the observed information.

    Returns
    -------
    defaults : EstimatorDefaults
        The estimator's row of the table, with what was asked for in its place.
    tests : tuple of str
        The standard statistic and the others asked for.

    Raises
    ------
    OptionError
        A name that does not exist.
    UnsupportedError
        A name that exists elsewhere but has no answer here yet.
    """
    check_choice("estimator", estimator, ESTIMATORS)
    row = ESTIMATORS[estimator]
    if categorical:
        return _categorical(estimator, se, as_tuple(test), information, missing, cluster)
    asked = as_tuple(test) or (row.test,)
    for name in asked:
        check_choice("test", name, TESTS)
    _check_sampling(estimator, se, asked, cluster, sampling_weights)
    if missing == "pairwise":
        raise UnsupportedError(
            "missing='pairwise' goes with ordered answers only.", remedy="Use missing='fiml'."
        )
    if missing in TWO_STAGE:
        return _two_stage(estimator, missing, se, as_tuple(test), cluster or sampling_weights)
    if cluster is not None:
        row = replace(row, se="robust.cluster")
    if "bollen.stine" in asked and row.discrepancy == "WLS":
        raise UnsupportedError(
            "test='bollen.stine' is not available with estimator='WLS'.",
            remedy="Use estimator='ML', 'GLS' or 'ULS'.",
        )
    resolved_se = row.se if se is None else check_choice("se", se, SE_KINDS)
    if resolved_se == "robust.cluster" and cluster is None:
        raise OptionError(
            "se='robust.cluster' needs clusters.", remedy="Name their column: cluster=."
        )
    if resolved_se == "robust.huber.white" and row.discrepancy != "ML":
        raise UnsupportedError("se='robust.huber.white' goes with maximum likelihood.")
    if "yuan.bentler.mplus" in asked and row.discrepancy != "ML":
        raise UnsupportedError("test='yuan.bentler.mplus' goes with maximum likelihood.")
    if missing in FULL_INFORMATION:
        _check_incomplete(estimator, row.discrepancy, resolved_se, asked)
    if information is None and missing in FULL_INFORMATION and row.information == "expected":
        # Under missingness at random only the observed information is right.
        resolved = "observed"
    elif information is None:
        robust = resolved_se in SANDWICHES
        resolved = "observed" if robust else row.information
    else:
        resolved = check_choice("information", information, INFORMATION)
    if resolved != "expected" and row.discrepancy != "ML":
        raise UnsupportedError(f"information={resolved!r} goes with maximum likelihood.")
    h1 = row.h1_information
    if h1_information is not None:
        h1 = check_choice("h1_information", h1_information, ("structured", "unstructured"))
    tests = ("standard", *dict.fromkeys(name for name in asked if name != "standard"))
    return EstimatorDefaults(row.discrepancy, resolved_se, tests[-1], resolved, h1), tests


def _categorical(
    estimator: str,
    se: str | None,
    tests: tuple[str, ...],
    information: str | None,
    missing: str,
    cluster: str | None,
) -> tuple[EstimatorDefaults, tuple[str, ...]]:
    """What an estimator and its options mean for ordered answers."""
    if estimator not in CATEGORICAL_ESTIMATORS:
        raise OptionError(
            f"estimator={estimator!r} takes answers for numbers, and some are ordered.",
            remedy="Use estimator='WLSMV', or leave ordered= out to treat them as numbers.",
        )
    if missing not in ("listwise", "pairwise"):
        raise UnsupportedError(
            f"missing={missing!r} is not available for ordered answers.",
            remedy="Use missing='pairwise' or 'listwise'.",
        )
    if cluster is not None:
        raise UnsupportedError("Clusters are not available for ordered answers.")
    row = _CATEGORICAL.get(estimator, ESTIMATORS[estimator])
    asked = tests or (row.test,)
    for name in asked:
        check_choice("test", name, TESTS)
        if name not in _CATEGORICAL_TESTS:
            raise UnsupportedError(f"test={name!r} is not available for ordered answers.")
    if se is not None and check_choice("se", se, SE_KINDS) not in _CATEGORICAL_SE:
        raise UnsupportedError(f"se={se!r} is not available for ordered answers.")
    if information not in (None, "expected"):
        check_choice("information", information, INFORMATION)
        raise UnsupportedError(f"information={information!r} goes with maximum likelihood.")
    found = ("standard", *dict.fromkeys(name for name in asked if name != "standard"))
    return replace(row, se=se or row.se, test=found[-1]), found


def sampling_estimator(estimator: str, *, sampled: bool) -> str:
    """Name of the estimator that stands in the options: ML with clusters or weights is MLR."""
    return "MLR" if sampled and estimator == "ML" else estimator


def _check_sampling(
    estimator: str,
    se: str | None,
    tests: Sequence[str],
    cluster: str | None,
    sampling_weights: str | None,
) -> None:
    """Refuse what would ignore clusters or weights."""
    option = "cluster" if cluster is not None else "sampling_weights"
    if cluster is None and sampling_weights is None:
        return
    if estimator != "MLR":
        raise UnsupportedError(
            f"estimator={estimator!r} is not available with {option}=.",
            remedy="Use estimator='MLR'.",
        )
    for name in tests:
        if name not in _SAMPLING_TESTS:
            raise UnsupportedError(
                f"test={name!r} is not available with {option}=.",
                remedy="Use test='yuan.bentler.mplus'.",
            )
    fitting = "robust.cluster" if cluster is not None else "robust.huber.white"
    if se is not None and check_choice("se", se, SE_KINDS) not in (fitting, "none"):
        raise OptionError(
            f"se={se!r} takes respondents for a simple random sample, and there is {option}=.",
            remedy=f"Use se={fitting!r}, or leave se= out.",
        )


def resolve_missing(missing: str) -> str:
    """Name of the treatment of missing answers."""
    if missing in _MISSING_LATER:
        raise UnsupportedError(
            f"missing={missing!r} is not available yet.", remedy="Use missing='fiml'."
        )
    missing = MISSING_ALIASES.get(missing, missing)
    return check_choice("missing", missing, MISSING)


def _two_stage(
    estimator: str, missing: str, se: str | None, tests: tuple[str, ...], column: str | None
) -> tuple[EstimatorDefaults, tuple[str, ...]]:
    """What two-stage maximum likelihood means: corrected errors and a scaled test."""
    if estimator != "ML" or column is not None:
        raise UnsupportedError(
            f"missing={missing!r} goes with estimator='ML', without clusters or weights.",
            remedy="Use missing='fiml'.",
        )
    if se not in (None, missing, "none"):
        raise UnsupportedError(f"se={se!r} is not available with missing={missing!r}.")
    known = ("standard", "satorra.bentler", "scaled.shifted", "mean.var.adjusted")
    for name in tests:
        if name not in known:
            raise UnsupportedError(f"test={name!r} is not available with missing={missing!r}.")
    tests = tests or ("satorra.bentler",)
    tests = ("standard", *dict.fromkeys(name for name in tests if name != "standard"))
    row = EstimatorDefaults("ML", se or missing, tests[-1], "expected", "unstructured")
    return row, tests


def _check_incomplete(estimator: str, discrepancy: str, se: str, tests: Sequence[str]) -> None:
    """Refuse what needs complete answers."""
    if discrepancy != "ML" or estimator in ("MLM", "MLMV", "MLMVS"):
        raise UnsupportedError(
            f"estimator={estimator!r} needs complete answers.",
            remedy="Use estimator='MLR' with missing='fiml', or missing='listwise'.",
        )
    for kind, name, known in (
        ("se", se, _INCOMPLETE_SE),
        *(("test", test, _INCOMPLETE_TESTS) for test in tests),
    ):
        if name not in known:
            raise UnsupportedError(
                f"{kind}={name!r} is not available with missing='fiml'.",
                remedy="Use estimator='MLR', or missing='listwise'.",
            )


def resolve_draws(bootstrap: Any, tests: Sequence[str], se: str) -> int | None:
    """Bootstrap draws: what was asked for, 1,000, or None where nothing is drawn."""
    if "bollen.stine" not in tests and se != "bootstrap":
        if bootstrap is not None:
            raise OptionError(
                f"bootstrap={bootstrap!r} has nothing to draw for.",
                remedy="Ask for se='bootstrap' or test='bollen.stine', or leave bootstrap= out.",
            )
        return None
    if bootstrap is None:
        return DEFAULT_DRAWS
    if isinstance(bootstrap, bool) or int(bootstrap) != bootstrap or bootstrap < 1:
        raise OptionError(f"bootstrap must be a whole number of draws, not {bootstrap!r}.")
    return int(bootstrap)


# Presets of the four functions: (int_ov_free, int_lv_free, automatic parameters).
PRESETS: Mapping[str, tuple[bool, bool, bool]] = {
    "cfa": (True, False, True),
    "sem": (True, False, True),
    "growth": (False, True, True),
    "fit_model": (False, False, False),
}
AUTOMATIC = (
    "auto_fix_first",
    "auto_fix_single",
    "auto_var",
    "auto_cov_lv_x",
    "auto_cov_y",
    "int_ov_free",
    "int_lv_free",
)


def table_options(
    function: str,
    given: Mapping[str, bool | None],
    *,
    std_lv: bool,
    orthogonal: bool,
    meanstructure: bool,
    fixed_x: bool,
    effect_coding: tuple[str, ...],
    group_equal: tuple[str, ...],
    group_partial: tuple[str, ...],
    ordered: tuple[tuple[str, int], ...] = (),
    parameterization: str = "delta",
) -> TableOptions:
    """Options of the parameter table: a function's preset, overridden by what was given."""
    int_ov_free, int_lv_free, automatic = PRESETS[function]
    values: dict[str, bool] = dict.fromkeys(AUTOMATIC, automatic)
    values["int_ov_free"], values["int_lv_free"] = int_ov_free, int_lv_free
    for name, value in given.items():
        if value is not None:
            values[name] = bool(value)
    for kind in group_equal:
        if kind.replace(".", "_") not in GROUP_EQUAL:
            check_choice("group_equal", kind, GROUP_EQUAL)
    for kind in effect_coding:
        check_choice("effect_coding", kind, ("loadings", "intercepts"))
    if std_lv and "loadings" in effect_coding:
        raise OptionError(
            "std_lv and effect_coding both set the metric of the factors.",
            remedy="Choose one of them.",
        )
    return TableOptions(
        std_lv=std_lv,
        orthogonal=orthogonal,
        meanstructure=meanstructure,
        fixed_x=fixed_x,
        effect_coding=effect_coding,
        group_equal=tuple(kind.replace(".", "_") for kind in group_equal),
        group_partial=group_partial,
        ordered=ordered,
        parameterization=parameterization,
        **values,
    )
