"""Comparing models of the same data: likelihood-ratio tests and differences of fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from sqvalid.display import Result, Table, format_number, format_p
from sqvalid.errors import Diagnostic, InputError, OptionError, UnsupportedError, check_choice
from sqvalid.latent import difference_tests, nesting
from sqvalid.latent.difference_tests import METHODS, Difference, Method
from sqvalid.latent.result import FitResult

AMethod = Literal["delta", "exact"]
# The difference test that goes with the corrected test of a model, None without one.
_DEFAULT: Mapping[str | None, Method] = {
    None: "standard",
    "satorra.bentler": "satorra.bentler.2001",
    "yuan.bentler": "satorra.bentler.2001",
    "yuan.bentler.mplus": "satorra.bentler.2001",
    "mean.var.adjusted": "satorra.2000",
    "scaled.shifted": "satorra.2000",
}
# Fit measures whose differences are given, restricted minus free, where a fit has them.
_DELTAS = (
    "cfi", "tli", "rmsea", "srmr", "mfi", "gfi", "cfi_scaled", "rmsea_scaled",
    "cfi_robust", "tli_robust", "rmsea_robust", "aic", "bic", "bic2",
)  # fmt: skip
_CRITERIA = ("aic", "bic", "bic2")
# Relative difference up to which two covariance matrices are the same data.
_SAME = 1e-8


@dataclass(frozen=True)
class ModelDifference:
    """A restricted model against a free one.

    Parameters
    ----------
    free, restricted : str
        Names of the models.
    method : str
        How the difference was scaled.
    chisq_diff : float
        Test statistic; NaN where none can be had, for the reason in `reason`.
    df_diff : float
        Difference of the degrees of freedom; a fraction where the test estimates it.
    p : float
        Upper tail of the chi-square distribution.
    rmsea_d : float
        RMSEA of the restrictions.
    scaling_factor : float
        What the plain difference was divided by.
    raw_chisq_diff : float
        What the formula gives before it is judged, computed as lavaan does: negative where
        the scaling factor is; under ``satorra.bentler.2010`` with the free model at the
        parameters that have the same names. NaN where lavaan's value depends on its start
        values.
    reason : str
        Code of the diagnostic that says why `chisq_diff` is NaN; empty when it is not.
    """

    free: str
    restricted: str
    method: Method
    chisq_diff: float
    df_diff: float
    p: float
    rmsea_d: float
    scaling_factor: float
    raw_chisq_diff: float
    reason: str = ""


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(Result):
    """Models of the same data in order of their degrees of freedom.

    Made by :func:`compare_models`.

    Parameters
    ----------
    names : tuple of str
        The models, the one with most free parameters first.
    method : str
        Difference test that was used.
    differences : tuple of ModelDifference
        Every model but the first against the one before it.
    table : pandas.DataFrame
        A row per model: df, chisq, fit and information criteria; and against the row before
        chisq_diff, df_diff, p, rmsea_d and, restricted minus free, delta_*.
    diagnostics : tuple of Diagnostic
    """

    names: tuple[str, ...]
    method: Method
    differences: tuple[ModelDifference, ...]
    table: pd.DataFrame
    diagnostics: tuple[Diagnostic, ...]

    def _headline(self) -> str:
        parts = [
            f"{d.restricted} against {d.free}: chi-square difference "
            f"{format_number(d.chisq_diff)} on {d.df_diff:g} df, p {format_p(d.p)}"
            for d in self.differences
        ]
        return f"{self.method}; " + "; ".join(parts)

    def to_frame(self) -> pd.DataFrame:
        """The table, one row per model."""
        return self.table.copy()

    def tables(self) -> tuple[Table, ...]:
        """The tests, then the differences of fit."""
        frame = self.table
        deltas = [name for name in frame.columns if name.startswith("delta_")]
        tests = [name for name in frame.columns if name not in deltas]
        return (
            Table(frame[tests], formats={"p": "p"}),
            Table(frame.loc[1:, ["model", *deltas]].reset_index(drop=True)),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {"method": self.method, "table": self.table, "differences": self.differences}


def compare_models(
    fit_a: FitResult,
    fit_b: FitResult,
    *more: FitResult,
    method: str = "default",
    a_method: str = "delta",
    scaled_shifted: bool = True,
    names: Sequence[str] | None = None,
) -> Comparison:
    """Compare nested models of the same data.

    Models are put in order of their degrees of freedom and each is tested against the one
    before it. That it is nested there is checked, not taken on trust: the free model is
    fitted to the moments that the restricted one implies.

    Parameters
    ----------
    fit_a, fit_b, *more : FitResult
        In any order.
    method : str
        ``"default"`` is ``"standard"`` for ML, GLS and WLS, ``"satorra.bentler.2001"`` for MLR
        and MLM, ``"satorra.2000"`` for tests adjusted in mean and variance. Others:
        ``"satorra.bentler.2010"``, whose free model is taken at the restricted solution.
    a_method : {"delta", "exact"}
        How ``satorra.2000`` finds the restrictions: from the Jacobians of the moments, or
        from the constraints and fixed values themselves (models that differ by these only).
    scaled_shifted : bool
        Whether ``satorra.2000`` is scaled and shifted, or scaled only. The same with 1 df.
    names : sequence of str, optional
        Names of the models, in the order given. Default: ``model 1`` is the one with the
        fewest degrees of freedom, and so on.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        Fits of different data, of different likelihoods, or with and without means.
    OptionError
        A method the fits were not estimated for.
    UnsupportedError
        ``a_method="exact"`` for models that differ by more than constraints.

    Notes
    -----
    ``satorra.2000`` with ``a_method="delta"`` depends on the units of the variables when the
    restriction is far from true, in lavaan as here; the other methods do not.

    References
    ----------
    Satorra (2000); Satorra & Bentler (2001, 2010); nesting: Bentler & Satorra (2010),
    Psychological Methods 15.
    """
    fits = [fit_a, fit_b, *more]
    for fit in fits:
        if not isinstance(fit, FitResult):
            raise InputError(
                f"compare_models takes fits, not a {type(fit).__name__}.",
                remedy="Give the results of cfa, sem, growth or fit_model.",
            )
    if names is not None and (len(names) != len(fits) or len(set(names)) != len(fits)):
        raise OptionError(f"names must be {len(fits)} different names, one per fit.")
    check_choice("method", method, ("default", *METHODS))
    check_choice("a_method", a_method, ("delta", "exact"))
    for other in fits[1:]:
        _check_comparable(fits[0], other)
    chosen = _resolve(method, fits)
    order = sorted(range(len(fits)), key=lambda i: (fits[i].df, fits[i].estimate.chisq))
    labels = [f"model {k}" for k in range(1, len(fits) + 1)]
    if names is not None:
        labels = [str(names[i]) for i in order]
    ordered = [fits[i] for i in order]
    diagnostics: list[Diagnostic] = []
    for label, fit in zip(labels, ordered, strict=True):
        if not fit.converged:
            diagnostics.append(
                Diagnostic("comparison_not_converged", "problem", (label,), {"model": label})
            )
        elif not fit.admissible:
            diagnostics.append(
                Diagnostic("comparison_inadmissible", "warning", (label,), {"model": label})
            )
    same_covariates = len({fit.table.covariates for fit in ordered}) == 1
    if not same_covariates:
        diagnostics.append(Diagnostic("comparison_covariates_differ", "warning"))
    differences = []
    for (free_label, free), (label, restricted) in pairwise(zip(labels, ordered, strict=True)):
        difference, found = _compare(
            (free_label, free), (label, restricted), chosen, a_method, scaled_shifted
        )
        differences.append(difference)
        diagnostics.extend(found)
    table = _table(labels, ordered, differences, with_criteria=same_covariates)
    return Comparison(tuple(labels), chosen, tuple(differences), table, tuple(diagnostics))


def _resolve(method: str, fits: Sequence[FitResult]) -> Method:
    tests = {fit.estimate.scaled_test for fit in fits}
    shown = ", ".join(sorted(test or "standard" for test in tests))
    if len(tests) > 1 and method != "standard":
        raise InputError(
            f"The fits have different tests ({shown}), which cannot be differenced.",
            remedy="Fit all models with the same estimator, or use method='standard'.",
        )
    test = next(iter(tests))
    chosen: Method = _DEFAULT[test] if method == "default" else method  # type: ignore[assignment]
    options = fits[0].fit_options
    if chosen == "standard" and not options.has_reference and not options.is_categorical:
        raise UnsupportedError(
            "Differences of unweighted least squares are not chi-square distributed.",
            remedy="Fit the models with estimator='ULSMV' and compare them by 'satorra.2000'.",
        )
    if chosen != "standard" and test is None:
        raise OptionError(
            f"method={method!r} needs scaled tests, and these fits have none.",
            remedy="Fit the models with estimator='MLR', or use method='standard'.",
        )
    if chosen.startswith("satorra.bentler") and _DEFAULT[test] == "satorra.2000":
        raise OptionError(
            f"method={method!r} needs tests that are scaled only, not {shown}.",
            remedy="Use method='satorra.2000'.",
        )
    return chosen


def _check_comparable(first: FitResult, other: FitResult) -> None:
    """Raise InputError saying in what two fits' data differ."""
    again = "Fit every model to the same rows and the same variables."
    if set(first.group_labels) != set(other.group_labels):
        raise InputError(
            f"The fits have different groups: {list(first.group_labels)} and "
            f"{list(other.group_labels)}.",
            remedy="Fit every model with the same group= column.",
        )
    blocks = {block.group: block for block in other.estimate.problem.blocks}
    for block in first.estimate.problem.blocks:
        twin = blocks[block.group]
        where = f" in group {block.group!r}" if block.group else ""
        only = set(block.variables) ^ set(twin.variables)
        if only:
            raise InputError(
                f"The fits have different variables{where}; only one of them has "
                f"{', '.join(sorted(only))}.",
                remedy="A model may leave variables uncorrelated, but every model must have them.",
            )
        if block.n_obs != twin.n_obs:
            raise InputError(
                f"The fits have {block.n_obs} and {twin.n_obs} respondents{where}.", remedy=again
            )
        order = [twin.variables.index(name) for name in block.variables]
        scale = np.sqrt(np.outer(np.diag(block.covariance), np.diag(block.covariance)))
        gap = np.abs(block.covariance - twin.covariance[np.ix_(order, order)]) / scale
        if gap.max() > _SAME:
            i, j = np.unravel_index(int(gap.argmax()), gap.shape)
            raise InputError(
                f"The fits have different data{where}: the covariance of {block.variables[i]} "
                f"and {block.variables[j]} is not the same.",
                remedy=again,
            )
    if first.fit_options.discrepancy != other.fit_options.discrepancy:
        raise InputError(
            "The fits minimise different discrepancies: "
            f"{first.fit_options.estimator} and {other.fit_options.estimator}.",
            remedy="Fit all models with the same estimator.",
        )
    if first.fit_options.likelihood != other.fit_options.likelihood:
        raise InputError(
            "The fits have different likelihoods: "
            f"{first.fit_options.likelihood} and {other.fit_options.likelihood}."
        )
    if first.fit_options.meanstructure != other.fit_options.meanstructure:
        raise InputError(
            "One fit has a mean structure and the other has none.",
            remedy="Fit both with meanstructure=True.",
        )


def _compare(
    free_named: tuple[str, FitResult],
    restricted_named: tuple[str, FitResult],
    method: Method,
    a_method: str,
    shifted: bool,
) -> tuple[ModelDifference, list[Diagnostic]]:
    """One likelihood-ratio test and what is to be said about it."""
    free_name, free_fit = free_named
    name, restricted_fit = restricted_named
    free, restricted = free_fit.estimate, restricted_fit.estimate
    plain = difference_tests.standard_difference(restricted, free)
    words = {"free": free_name, "restricted": name}
    where = (free_name, name)
    told: list[Diagnostic] = []

    def result(difference: Difference, raw: float, reason: str = "") -> ModelDifference:
        defined = not reason
        return ModelDifference(
            free=free_name,
            restricted=name,
            method=method,
            chisq_diff=difference.stat if defined else math.nan,
            df_diff=difference.df if defined else plain.df,
            p=difference.pvalue if defined else math.nan,
            rmsea_d=difference_tests.difference_rmsea(difference, plain, free)
            if defined
            else math.nan,
            scaling_factor=difference.scaling if math.isfinite(difference.stat) else math.nan,
            raw_chisq_diff=raw,
            reason=reason,
        )

    def refuse(
        code: str, difference: Difference, raw: float, **values: Any
    ) -> tuple[ModelDifference, list[Diagnostic]]:
        told.append(Diagnostic(code, "problem", where, words | values))
        return result(difference, raw, code), told

    if not (free_fit.converged and restricted_fit.converged):
        # Which of them failed is among the diagnostics of the comparison.
        return result(plain, math.nan, "comparison_not_converged"), told
    if plain.df == 0:
        return refuse("comparison_same_df", plain, plain.stat, df=free_fit.df)
    reproduction = nesting.reproduce(free, restricted)
    if not reproduction.is_exact:
        return refuse("nesting_not_verified", plain, plain.stat, half_f=reproduction.half_f)
    if not reproduction.is_regular:
        told.append(Diagnostic("nesting_not_regular", "warning", where, words))
    # Both end in the same minimum up to rounding when the restrictions cost nothing.
    if plain.stat < -1e-6 * max(1.0, abs(free.chisq)):
        return refuse("difference_negative", plain, plain.stat, chisq_diff=plain.stat)

    match method:
        case "standard":
            difference = Difference(max(plain.stat, 0.0), plain.df)
            raw = plain.stat
            if not free.options.has_reference:
                return refuse("difference_without_reference", difference, raw)
        case "satorra.bentler.2001":
            difference = difference_tests.satorra_bentler(restricted, free, free.scaling_factor)
            raw = difference.stat
        case "satorra.bentler.2010":
            scaling, is_positive = difference_tests.scaling_at(
                free, reproduction.theta, reproduction.locals_
            )
            if not is_positive:
                told.append(Diagnostic("difference_information", "warning", where, words))
            difference = difference_tests.satorra_bentler(restricted, free, scaling)
            raw = _by_name(free_fit, restricted_fit)
            if not math.isclose(raw, difference.stat, rel_tol=1e-6):
                told.append(
                    Diagnostic(
                        "difference_by_moments",
                        "info",
                        where,
                        words
                        | {
                            "by_moments": format_number(difference.stat),
                            "by_name": format_number(raw),
                        },
                    )
                )
        case "satorra.2000":
            restrictions = _restrictions(free_fit, restricted_fit, a_method)
            difference = difference_tests.satorra_2000(
                restricted, free, restrictions, shifted=shifted
            )
            raw = difference.stat
            if len(restrictions) != plain.df:
                return refuse(
                    "difference_restrictions_miscounted",
                    difference,
                    raw,
                    n_restrictions=len(restrictions),
                    df_diff=plain.df,
                )
    if difference.scaling <= 0 or not math.isfinite(difference.stat):
        return refuse("difference_negative_scaling", difference, raw, scaling=difference.scaling)
    return result(difference, raw), told


def _by_name(free: FitResult, restricted: FitResult) -> float:
    """Satorra & Bentler's (2010) statistic with parameters matched by name, or NaN."""
    theta = nesting.parameters_by_name(free.estimate, restricted.estimate)
    if theta is None:
        return math.nan
    locals_ = free.estimate.problem.objective.locals(theta)
    if locals_ is None:
        return math.nan
    scaling, _ = difference_tests.scaling_at(free.estimate, theta, locals_)
    return difference_tests.satorra_bentler(restricted.estimate, free.estimate, scaling).stat


def _restrictions(free: FitResult, restricted: FitResult, a_method: str) -> np.ndarray:
    """Restrictions in the coordinates of the free model's tangent, rows independent."""
    if free.estimate.inverse.null_vectors.shape[1]:
        raise UnsupportedError("method='satorra.2000' needs an identified free model.")
    if a_method == "exact":
        rows = nesting.exact_restrictions(free.estimate, restricted.estimate)
        return difference_tests.row_space(rows @ free.estimate.tangent)
    groups = list(zip(free.group_labels, free.table.observed, strict=True))
    return difference_tests.delta_restrictions(
        difference_tests.jacobian(free.estimate, groups),
        difference_tests.jacobian(restricted.estimate, groups),
    )


def _table(
    labels: Sequence[str],
    fits: Sequence[FitResult],
    differences: Sequence[ModelDifference],
    *,
    with_criteria: bool,
) -> pd.DataFrame:
    measures = [fit.fit_measures for fit in fits]
    common = [name for name in _DELTAS if all(name in m.index for m in measures)]
    columns: dict[str, list[Any]] = {
        "model": list(labels),
        "n_free": [fit.estimate.n_free for fit in fits],
        "df": [fit.df for fit in fits],
    }
    for name in ("chisq", "cfi", "rmsea", "srmr", *_CRITERIA):
        columns[name] = [float(m.get(name, math.nan)) for m in measures]
    for name in ("chisq_diff", "df_diff", "p", "rmsea_d"):
        columns[name] = [math.nan, *(float(getattr(d, name)) for d in differences)]
    for name in common:
        values = [float(b[name] - a[name]) for a, b in pairwise(measures)]
        if name in _CRITERIA and not with_criteria:
            values = [math.nan] * len(values)
        columns[f"delta_{name}"] = [math.nan, *values]
    frame = pd.DataFrame(columns)
    if all(float(d.df_diff).is_integer() for d in differences):
        frame["df_diff"] = frame["df_diff"].astype("Int64")
    return frame
