"""Options of a fit: what was asked for, resolved to what is done, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
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
}
_LATER = ("DWLS", "WLSM", "WLSMV")
SE_KINDS = ("standard", "robust.sem", "robust.sem.nt", "robust.huber.white", "none")
_SE_LATER = ("bootstrap",)
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
)
_TESTS_LATER = ("bollen.stine",)
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
) -> tuple[EstimatorDefaults, tuple[str, ...]]:
    """What an estimator and its options mean.

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
    if estimator in _LATER:
        raise UnsupportedError(
            f"estimator={estimator!r} is not available yet.",
            remedy="Use 'MLR' for answers that are not normal, or 'ML'.",
        )
    check_choice("estimator", estimator, ESTIMATORS)
    row = ESTIMATORS[estimator]
    if se in _SE_LATER:
        raise UnsupportedError(f"se={se!r} is not available yet.")
    asked = as_tuple(test) or (row.test,)
    for name in asked:
        if name in _TESTS_LATER:
            raise UnsupportedError(f"test={name!r} is not available yet.")
        check_choice("test", name, TESTS)
    resolved_se = row.se if se is None else check_choice("se", se, SE_KINDS)
    if resolved_se == "robust.huber.white" and row.discrepancy != "ML":
        raise UnsupportedError("se='robust.huber.white' goes with maximum likelihood.")
    if "yuan.bentler.mplus" in asked and row.discrepancy != "ML":
        raise UnsupportedError("test='yuan.bentler.mplus' goes with maximum likelihood.")
    if information is None:
        robust = resolved_se == "robust.huber.white"
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
        **values,
    )
