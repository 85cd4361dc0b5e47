"""How consistently a set of items measures: alpha, omega, CR, AVE, agreement, gaps.

The numbers are functions of covariance matrices, loadings and answers (:mod:`.coefficients`,
:mod:`.bounds`, :mod:`.hierarchy`, :mod:`.categorical`, :mod:`.intervals`);
:func:`assess_reliability` puts them together, and the table :data:`COEFFICIENTS` says which is
which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import (
    Diagnostic,
    OptionError,
    UnsupportedError,
    check_choice,
)
from sqvalid.reliability.catalogue import (
    COEFFICIENTS,
    COLUMNS,
    Coefficient,
    ordinal_coefficients,
    ordinal_structure,
    scale_coefficients,
)
from sqvalid.reliability.coefficients import (
    alpha_standard_error,
    average_variance_extracted,
    correlation_from_covariance,
    cronbach_alpha,
    feldt_interval,
    guttman_lambda6,
    is_regular,
    item_rest_correlations,
    item_total_correlations,
    omega_total,
    overlap_corrected_correlations,
    squared_multiple_correlations,
    standardized_alpha,
    sum_varies,
    weighted_variance_extracted,
)
from sqvalid.reliability.comparing import AlphaComparison, compare_alphas
from sqvalid.reliability.composites import (
    GapReliability,
    assess_gap_reliability,
    difference_reliability,
    stratified_alpha,
    weighted_composite_reliability,
)
from sqvalid.reliability.general import GeneralFactor, assess_general_factor
from sqvalid.reliability.raters import IntraclassCorrelation, intraclass_correlation
from sqvalid.reliability.scales import (
    Scale,
    check_dimensions,
    group_frames,
    scales_from_fit,
    scales_from_frame,
)
from sqvalid.screening.keying import items_against

if TYPE_CHECKING:
    from sqvalid.latent.bootstrap import Bootstrap, Interval

__all__ = [
    "COEFFICIENTS",
    "AlphaComparison",
    "Coefficient",
    "GapReliability",
    "GeneralFactor",
    "IntraclassCorrelation",
    "Reliability",
    "alpha_standard_error",
    "assess_gap_reliability",
    "assess_general_factor",
    "assess_reliability",
    "average_variance_extracted",
    "check_dimensions",
    "compare_alphas",
    "correlation_from_covariance",
    "cronbach_alpha",
    "difference_reliability",
    "feldt_interval",
    "group_frames",
    "guttman_lambda6",
    "intraclass_correlation",
    "item_rest_correlations",
    "item_total_correlations",
    "omega_total",
    "overlap_corrected_correlations",
    "squared_multiple_correlations",
    "standardized_alpha",
    "stratified_alpha",
    "weighted_composite_reliability",
    "weighted_variance_extracted",
]

Array = npt.NDArray[np.float64]

# More different answers than this are no ordered categories: their thresholds rest on too few.
_MOST_CATEGORIES = 15


@dataclass(frozen=True, repr=False, eq=False)
class Reliability(Result):
    """Reliability of every dimension, and what its items contribute.

    Parameters
    ----------
    scales : pandas.DataFrame
        One row per group and dimension: ``group dimension n_items n_obs alpha_raw
        alpha_ci_lower alpha_ci_upper alpha_se alpha_std lambda6 mean_inter_item_r
        median_inter_item_r signal_to_noise omega_total omega_total_implied
        composite_reliability ave ave_weighted omega_latent alpha_latent``. ``omega_total``
        divides by the observed variance of the sum score, ``omega_total_implied`` by the implied
        one. From a fit of ordered items these are omega of the sum of the answers (Green & Yang,
        2009), and the last two are of the responses behind them. What a model is needed for
        is NaN without one. With a bootstrap, ``omega_total`` and the columns after it have
        ``_ci_lower`` and ``_ci_upper`` as well.
    items : pandas.DataFrame
        One row per group and item: ``group dimension item mean sd item_total_r
        item_total_r_std item_total_r_corrected item_rest_r alpha_if_deleted
        alpha_std_if_deleted lambda6_if_deleted loading``; ``sd`` has divisor N - 1, ``loading``
        is completely standardised.
    level : float
        Coverage of the interval of alpha.
    diagnostics : tuple of Diagnostic
        Every undefined number has its reason here.
    coefficients : pandas.DataFrame
        Every coefficient with what it is, one row per group, dimension, coefficient and kind of
        interval: ``group dimension coefficient estimate se ci_lower ci_upper interval metric
        formula source``; see :data:`sqvalid.reliability.COEFFICIENTS`. `metric` says which sum
        it belongs to: of the answers (``observed``), of standardised items, or of the responses
        thought to lie behind ordered answers.
    """

    scales: pd.DataFrame
    items: pd.DataFrame
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()
    coefficients: pd.DataFrame = field(default_factory=pd.DataFrame)

    def _headline(self) -> str:
        lowest = self.scales["alpha_raw"].min()
        return f"{len(self.scales)} scales, lowest alpha {lowest:.3f}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group and dimension; see `scales`."""
        return self.scales.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the table of dimensions and the table of items."""
        units = [c for c in self.scales.columns if c not in _NOT_UNIT]
        item_units = [c for c in self.items.columns if c not in _NOT_UNIT]
        return (
            Table(self.scales, formats=dict.fromkeys(units, "unit")),
            Table(self.items, formats=dict.fromkeys(item_units, "unit")),
            *self._coefficient_table(),
        )

    def _coefficient_table(self) -> tuple[Table, ...]:
        if not len(self.coefficients):
            return ()
        units = dict.fromkeys(("estimate", "se", "ci_lower", "ci_upper"), "unit")
        return (Table(self.coefficients, formats=units),)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.scales,
            "items": self.items,
            "coefficients": self.coefficients,
            "level": self.level,
        }


_NOT_UNIT = {
    "group",
    "dimension",
    "item",
    "n_items",
    "n_obs",
    "signal_to_noise",
    "mean",
    "sd",
}


def _scale_rows(scale: Scale, level: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    covariance, k = scale.covariance, len(scale.items)
    correlation = correlation_from_covariance(covariance)
    off = correlation[np.tril_indices(k, -1)]
    mean_r = float(off.mean()) if k > 1 else float("nan")
    alpha = cronbach_alpha(covariance)
    lower, upper = feldt_interval(alpha, scale.n_obs, k, level=level)
    row = {
        "group": scale.group,
        "dimension": scale.dimension,
        "n_items": k,
        "n_obs": scale.n_obs,
        "alpha_raw": alpha,
        "alpha_ci_lower": lower,
        "alpha_ci_upper": upper,
        "alpha_se": alpha_standard_error(covariance, scale.n_obs),
        "alpha_std": standardized_alpha(correlation),
        "lambda6": guttman_lambda6(correlation) if k > 1 else float("nan"),
        "mean_inter_item_r": mean_r,
        "median_inter_item_r": float(np.median(off)) if k > 1 else float("nan"),
        "signal_to_noise": k * mean_r / (1.0 - mean_r) if mean_r < 1.0 else float("nan"),
        **{name: scale.model.get(name, float("nan")) for name in _MODEL_COLUMNS},
    }
    total_r = item_total_correlations(covariance)
    total_r_std = item_total_correlations(correlation)
    corrected = overlap_corrected_correlations(correlation)
    rest_r = item_rest_correlations(covariance)
    items = []
    for i, item in enumerate(scale.items):
        keep = np.delete(np.arange(k), i)
        grid = np.ix_(keep, keep)
        items.append(
            {
                "group": scale.group,
                "dimension": scale.dimension,
                "item": item,
                "mean": float("nan") if scale.means is None else float(scale.means[i]),
                "sd": float(np.sqrt(covariance[i, i])),
                "item_total_r": float(total_r[i]) if k > 1 else float("nan"),
                "item_total_r_std": float(total_r_std[i]) if k > 1 else float("nan"),
                "item_total_r_corrected": float(corrected[i]),
                "item_rest_r": float(rest_r[i]),
                "alpha_if_deleted": cronbach_alpha(covariance[grid]),
                "alpha_std_if_deleted": standardized_alpha(correlation[grid]),
                "lambda6_if_deleted": guttman_lambda6(correlation[grid]) if k > 2 else float("nan"),
                "loading": float("nan") if scale.loadings is None else float(scale.loadings[i]),
            }
        )
    return row, items


_MODEL_COLUMNS = (
    "omega_total",
    "omega_total_implied",
    "composite_reliability",
    "ave",
    "ave_weighted",
    "omega_latent",
    "alpha_latent",
)
# Of the responses behind ordered answers; columns only where there are any.
_LATENT_COLUMNS = ("omega_latent", "alpha_latent")


def _scale_diagnostics(scale: Scale, alpha: float) -> Iterator[Diagnostic]:
    where = (scale.dimension,)
    group = {"group": scale.group, "dimension": scale.dimension}
    k = len(scale.items)
    if k == 1:
        yield Diagnostic("single_item_scale", "warning", where, group)
        return
    if k == 2:
        yield Diagnostic("two_item_scale", "info", where, group)
    if not sum_varies(scale.covariance):
        yield Diagnostic("sum_does_not_vary", "problem", where, group)
    if not is_regular(correlation_from_covariance(scale.covariance)):
        yield Diagnostic("items_determine_each_other", "warning", where, group)
    if alpha < 0.0:
        yield Diagnostic("negative_alpha", "problem", where, {**group, "alpha": round(alpha, 3)})
    against = items_against(correlation_from_covariance(scale.covariance))
    if against.any():
        items = tuple(np.array(scale.items)[against].tolist())
        yield Diagnostic("item_against_scale", "warning", items, group)


def assess_reliability(
    source: Any,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    *,
    level: float = 0.95,
    ordinal: bool = False,
    n_bootstrap: int = 0,
    missing: str = "listwise",
    seed: int = 20_261_125,
    bootstrap: Bootstrap | None = None,
    interval: Interval = "percentile",
) -> Reliability:
    """Assess the reliability of every dimension.

    From answers: item analysis and coefficient alpha. From a fitted measurement model, omega,
    composite reliability and average variance extracted as well; these are given for a factor
    whose observed items load on it alone, and are NaN with a reason otherwise. From a fit the
    covariances are those of the respondents the model used.

    Parameters
    ----------
    source : FitResult, Survey, pandas.DataFrame or polars.DataFrame
        Where the numbers come from. Answers must be keyed: reverse-worded items turned.
    dimensions : mapping of str to sequence of str, optional
        Items of each dimension. By default those of the survey's instrument, or the
        indicators of the model's factors.
    level : float
        Coverage of the intervals.
    ordinal : bool
        Also treat answers as ordered: alpha and omega of the polychoric correlations, and the
        omega of Green & Yang (2009) for the sum of the answers. Needs answers.
    n_bootstrap : int
        Resamples for bootstrap intervals of alpha; none by default. Needs answers.
    missing : {"listwise", "em", "pairwise"}
        Respondents with a missing answer in a scale: left out of it; kept by maximum likelihood
        (EM), which asks that answers are missing at random; or kept for the pairs of items they
        answered, as psych does. With the last two, intervals use the number of respondents
        behind the sparsest pair of items, and those that need complete answers are not given.
    seed : int
        Of resamples, and of random split halves in scales of more than sixteen items.
    bootstrap : Bootstrap, optional
        Of the fit, from :func:`bootstrap_fit`: intervals of what the model is needed for.
    interval : {"percentile", "basic", "normal", "bias_corrected", "bca"}
        Kind of these intervals.

    Returns
    -------
    Reliability

    Raises
    ------
    OptionError
        No dimensions, or one without items, a level outside (0, 1), or a bootstrap of another
        fit.
    InputError
        An item is not there, is constant, or has fewer than two complete answers.
    """
    from sqvalid.latent.result import FitResult

    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try level=0.95.")
    check_choice("missing", missing, ("listwise", "em", "pairwise"))
    if missing != "listwise" and (ordinal or n_bootstrap):
        raise UnsupportedError(
            "Ordinal coefficients and bootstrap intervals are made from complete answers.",
            remedy="Leave missing out, or ordinal and n_bootstrap.",
        )
    if n_bootstrap < 0:
        raise OptionError(f"n_bootstrap={n_bootstrap!r} is negative.", remedy="Try 5000, or 0.")
    if bootstrap is not None and bootstrap.fit is not source:
        raise OptionError(
            "bootstrap= belongs to another fit.", remedy="Draw from this one: bootstrap_fit(fit)."
        )
    if isinstance(source, FitResult):
        if missing != "listwise":
            raise OptionError(
                f"missing={missing!r} is for answers, and a fit is given.",
                remedy="Leave it out: the fit has dealt with missing answers.",
            )
        if ordinal or n_bootstrap:
            raise UnsupportedError(
                "Ordinal coefficients and bootstrap intervals need answers, not a fit.",
                remedy="Pass the survey or frame, with dimensions={...}.",
            )
        scales = list(scales_from_fit(source, dimensions))
    else:
        from sqvalid.survey import Survey

        survey = (
            source if isinstance(source, Survey) else Survey(source, dimensions=dimensions or {})
        )
        frame = survey.frame
        chosen = check_dimensions(
            survey.dimensions if dimensions is None else dimensions, list(frame.columns)
        )
        scales = list(scales_from_frame(frame, chosen, missing))
    found = _assemble(scales, level, ordinal, n_bootstrap, seed)
    if bootstrap is None:
        return found
    from sqvalid.reliability.resampled import model_intervals

    known = [
        (str(row.get("group", "")), str(row["dimension"]))
        for row in found.scales.to_dict("records")
        if not np.isnan(row["ave"])
    ]
    ends = model_intervals(bootstrap, known, interval, level)
    keys = [name for name in ("group", "dimension") if name in found.scales]
    ends = ends.drop(columns=[name for name in ("group",) if name not in keys])
    return replace(found, scales=found.scales.merge(ends, how="left", on=keys))


def _coefficient_rows(
    scale: Scale, level: float, ordinal: bool, n_bootstrap: int, seed: int
) -> tuple[list[dict[str, Any]], list[Diagnostic]]:
    """Rows of one scale for ``Reliability.coefficients``, and what is to be said about them."""
    if len(scale.items) < 2 or not sum_varies(scale.covariance):
        return [], []
    rows = scale_coefficients(
        scale.covariance,
        scale.n_obs,
        values=scale.values,
        model=scale.model,
        loadings=scale.loadings,
        errors=scale.errors,
        level=level,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    notes: list[Diagnostic] = []
    if ordinal and scale.values is not None:
        most = max(len(np.unique(column)) for column in scale.values.T)
        if most > _MOST_CATEGORIES:
            values = {"most": most, "allowed": _MOST_CATEGORIES}
            notes.append(Diagnostic("ordinal_too_many", "warning", (scale.dimension,), values))
        else:
            correlation, thresholds, scores, empty = ordinal_structure(scale.values)
            rows += ordinal_coefficients(correlation, thresholds, scores)
            if empty:
                notes.append(
                    Diagnostic(
                        "ordinal_empty_cells", "info", (scale.dimension,), {"n_cells": empty}
                    )
                )
            if not is_regular(correlation):
                notes.append(
                    Diagnostic("ordinal_not_positive_definite", "warning", (scale.dimension,))
                )
    label = {"group": scale.group, "dimension": scale.dimension}
    return [label | row for row in rows], notes


def _assemble(
    scales: Sequence[Scale], level: float, ordinal: bool, n_bootstrap: int, seed: int
) -> Reliability:
    rows: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    coefficients: list[dict[str, Any]] = []
    diagnostics: list[Diagnostic] = []
    for scale in scales:
        diagnostics.extend(scale.diagnostics)
        if not scale.items:
            continue
        row, item_rows = _scale_rows(scale, level)
        rows.append(row)
        items.extend(item_rows)
        diagnostics.extend(_scale_diagnostics(scale, row["alpha_raw"]))
        found, notes = _coefficient_rows(scale, level, ordinal, n_bootstrap, seed)
        coefficients.extend(found)
        diagnostics.extend(notes)
    scale_frame, item_frame = pd.DataFrame(rows), pd.DataFrame(items)
    known = [name for name in _LATENT_COLUMNS if name in scale_frame]
    latent = [name for name in known if scale_frame[name].isna().all()]
    scale_frame = scale_frame.drop(columns=latent)
    coefficient_frame = pd.DataFrame(coefficients, columns=["group", "dimension", *COLUMNS])
    if not any(scale.group for scale in scales):
        scale_frame = scale_frame.drop(columns="group", errors="ignore")
        item_frame = item_frame.drop(columns="group", errors="ignore")
        coefficient_frame = coefficient_frame.drop(columns="group")
    return Reliability(scale_frame, item_frame, level, _distinct(diagnostics), coefficient_frame)


def _distinct(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Merge diagnostics of one code that differ only in where they apply."""
    merged: dict[tuple[str, tuple[tuple[str, str], ...]], Diagnostic] = {}
    for diagnostic in diagnostics:
        key = (diagnostic.code, tuple((k, str(v)) for k, v in diagnostic.values.items()))
        if key in merged:
            where = tuple(dict.fromkeys(merged[key].where + diagnostic.where))
            merged[key] = Diagnostic(diagnostic.code, diagnostic.severity, where, diagnostic.values)
        else:
            merged[key] = diagnostic
    return tuple(merged.values())
