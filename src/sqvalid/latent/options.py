"""Options of a fit: what was asked for, resolved to what is done, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqvalid.errors import OptionError, UnsupportedError, check_choice
from sqvalid.latent.parameter_table import GROUP_EQUAL, TableOptions

# What an estimator's name stands for: (standard errors, test, information). One row per
# estimator; the rest of the family follows from it.
ESTIMATORS: Mapping[str, tuple[str, str, str]] = {
    "ML": ("standard", "standard", "expected"),
    "MLR": ("robust.huber.white", "yuan.bentler.mplus", "observed"),
    "MLF": ("standard", "standard", "first.order"),
}
_LATER = ("MLM", "MLMV", "MLMVS", "GLS", "ULS", "ULSM", "ULSMV", "WLS", "DWLS", "WLSM", "WLSMV")
SE_KINDS = ("standard", "robust.huber.white", "none")
_SE_LATER = ("robust.sem", "robust.sem.nt", "bootstrap")
TESTS = ("standard", "yuan.bentler.mplus")
_TESTS_LATER = (
    "yuan.bentler",
    "satorra.bentler",
    "mean.var.adjusted",
    "scaled.shifted",
    "browne.residual.nt",
    "browne.residual.adf",
    "bollen.stine",
)
INFORMATION = ("expected", "observed", "first.order")
BOUNDS = ("none", "pos.var")


@dataclass(frozen=True)
class FitOptions:
    """Resolved options; ``as_dict`` gives them under lavaan's names."""

    function: str
    estimator: str
    likelihood: str
    se: str
    test: str
    information: str
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
    estimator: str, se: str | None, test: str | None, information: str | None
) -> tuple[str, str, str]:
    """Standard errors, test and information that an estimator and its options mean.

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
    default_se, default_test, default_information = ESTIMATORS[estimator]
    if se in _SE_LATER:
        raise UnsupportedError(f"se={se!r} is not available yet.")
    if test in _TESTS_LATER:
        raise UnsupportedError(f"test={test!r} is not available yet.")
    resolved_se = default_se if se is None else check_choice("se", se, SE_KINDS)
    resolved_test = default_test if test is None else check_choice("test", test, TESTS)
    if information is None:
        robust = resolved_se == "robust.huber.white" or resolved_test.startswith("yuan")
        resolved = "observed" if robust else default_information
    else:
        resolved = check_choice("information", information, INFORMATION)
    return resolved_se, resolved_test, resolved


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
