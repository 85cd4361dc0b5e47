"""Reliability of scores made of scores: gaps between two batteries, weighted sums of scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, OptionError
from sqvalid.reliability.coefficients import cronbach_alpha
from sqvalid.reliability.scales import check_dimensions

__all__ = [
    "GapReliability",
    "assess_gap_reliability",
    "difference_reliability",
    "stratified_alpha",
    "weighted_composite_reliability",
]

Array = npt.NDArray[np.float64]


def difference_reliability(
    sd_first: float, sd_second: float, rel_first: float, rel_second: float, correlation: float
) -> float:
    r"""Reliability of the difference of two scores with uncorrelated errors.

    .. math:: \frac{s_1^2 \rho_1 + s_2^2 \rho_2 - 2 r_{12} s_1 s_2}
              {s_1^2 + s_2^2 - 2 r_{12} s_1 s_2}

    Parameters
    ----------
    sd_first, sd_second : float
        Standard deviations of the two scores.
    rel_first, rel_second : float
        Their reliabilities.
    correlation : float
        Of the two scores.

    Returns
    -------
    float
        Negative where the scores correlate more than their reliabilities allow; NaN where the
        difference does not vary.

    References
    ----------
    Johns (1981); Peter, Churchill & Brown (1993), Journal of Consumer Research 19, 655-662.
    """
    shared = 2.0 * correlation * sd_first * sd_second
    total = sd_first**2 + sd_second**2 - shared
    if not total > 0.0:
        return float("nan")
    true = sd_first**2 * rel_first + sd_second**2 * rel_second - shared
    return float(true / total)


def weighted_composite_reliability(
    covariance: Array, reliabilities: Array, weights: Array
) -> float:
    r"""Reliability of a weighted sum of scores with uncorrelated errors.

    .. math:: 1 - \frac{\sum w_j^2 s_j^2 (1 - \rho_j)}{w' C w}

    Parameters
    ----------
    covariance : ndarray (m, m)
        Of the scores.
    reliabilities : ndarray (m,)
        Of each score.
    weights : ndarray (m,)
        E.g. points of importance; (1, -1) is a difference, ones give stratified alpha.

    Returns
    -------
    float
        NaN where the weighted sum does not vary.

    References
    ----------
    Mosier (1943); Cronbach, Schönemann & McKie (1965) for stratified alpha.
    """
    total = float(weights @ covariance @ weights)
    if not total > 0.0:
        return float("nan")
    error = float((weights**2 * np.diag(covariance) * (1.0 - reliabilities)).sum())
    return 1.0 - error / total


def stratified_alpha(covariance: Array, strata: Sequence[Sequence[int]]) -> float:
    """Alpha of a total score whose items fall into scales.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances.
    strata : sequence of sequence of int
        Places of the items of each scale, two or more in each, every item in one scale.

    Returns
    -------
    float

    References
    ----------
    Cronbach, Schönemann & McKie (1965).
    """
    side = np.zeros((len(strata), len(covariance)))
    for row, places in enumerate(strata):
        side[row, list(places)] = 1.0
    alphas = np.array([cronbach_alpha(covariance[np.ix_(p, p)]) for p in map(list, strata)])
    return weighted_composite_reliability(side @ covariance @ side.T, alphas, np.ones(len(strata)))


@dataclass(frozen=True, repr=False, eq=False)
class GapReliability(Result):
    """Reliability of gap scores; made by :func:`assess_gap_reliability`.

    Parameters
    ----------
    dimensions : pandas.DataFrame
        ``dimension n_items n_obs mean_gap sd_perception sd_expectation r_perception_expectation
        alpha_perception alpha_expectation gap_reliability alpha_gap r_gap_perception
        r_gap_expectation``, of the means over the items of a dimension. `gap_reliability` is the
        reliability of the difference by the formula of classical test theory, which takes the
        errors of the two batteries as uncorrelated; `alpha_gap` is alpha of the item gaps, which
        does not. The last two columns are the correlations that the gap has with its own parts.
    diagnostics : tuple of Diagnostic
    """

    dimensions: pd.DataFrame
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        lowest = self.dimensions["gap_reliability"].min()
        return f"{len(self.dimensions)} dimensions, lowest reliability of a gap {lowest:.3f}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per dimension; see `dimensions`."""
        return self.dimensions.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the table of dimensions."""
        units = [
            c
            for c in self.dimensions.columns
            if c.startswith(("r_", "alpha_")) or c == "gap_reliability"
        ]
        return (Table(self.dimensions, formats=dict.fromkeys(units, "unit")),)

    def _payload(self) -> Mapping[str, Any]:
        return {"table": self.dimensions}


def assess_gap_reliability(
    data: Any,
    perception: Mapping[str, Sequence[str]] | None = None,
    expectation: Mapping[str, Sequence[str]] | None = None,
) -> GapReliability:
    """Assess how reliable perception minus expectation is.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame
        Answers to both batteries, reverse-worded items turned. Respondents with a missing answer
        among the items of a dimension are left out of it and counted.
    perception, expectation : mapping of str to sequence of str, optional
        Items of each dimension, the same statements in the same order in both. By default those
        of the survey's instrument.

    Returns
    -------
    GapReliability

    Raises
    ------
    OptionError
        No batteries, or batteries that do not match.
    InputError
        An item is not there, or a dimension has fewer than three complete answers.
    """
    from sqvalid.survey import Survey

    if isinstance(data, Survey):
        survey = data
    else:
        # As dimensions the items are checked like those of any survey.
        named = {
            f"{name} ({battery})": items
            for battery, part in (("perception", perception), ("expectation", expectation))
            for name, items in (part or {}).items()
        }
        survey = Survey(data, dimensions=named)
    frame = survey.frame
    if perception is None or expectation is None:
        if survey.instrument is None:
            raise OptionError(
                "The items of both batteries are needed.",
                remedy='Pass perception={"TAN": ["P1", ...]} and expectation={"TAN": ["E1", ...]}, '
                "or a Survey whose instrument has both batteries.",
            )
        perception = perception or survey.instrument.dimension_items("perception")
        expectation = expectation or survey.instrument.dimension_items("expectation")
        shared = [name for name in perception if name in expectation]
        perception = {name: perception[name] for name in shared}
        expectation = {name: expectation[name] for name in shared}
    felt = check_dimensions(perception, list(frame.columns))
    wished = check_dimensions(expectation, list(frame.columns))
    unmatched = [
        name
        for name in dict.fromkeys([*felt, *wished])
        if len(felt.get(name, ())) != len(wished.get(name, ()))
    ]
    if unmatched:
        name = unmatched[0]
        raise OptionError(
            f"Dimension {name!r} has {len(felt.get(name, ()))} perception and "
            f"{len(wished.get(name, ()))} expectation items.",
            remedy="Give the same statements in the same order in both batteries.",
        )
    rows: list[dict[str, Any]] = []
    diagnostics: list[Diagnostic] = []
    for name, items in felt.items():
        values = frame[[*items, *wished[name]]].to_numpy(dtype=float)
        complete = values[~np.isnan(values).any(axis=1)]
        if len(complete) < 3:
            raise InputError(
                f"Dimension {name!r} has {len(complete)} complete answers; three are the least.",
                remedy="Check missing-value codes and the items of both batteries.",
            )
        if len(complete) < len(values):
            used = {"n_used": len(complete), "n_total": len(values)}
            diagnostics.append(Diagnostic("rows_left_out", "info", (name,), used))
        rows.append({"dimension": name} | _gap_row(complete[:, : len(items)],
                                                   complete[:, len(items) :]))  # fmt: skip
    undefined = tuple(str(row["dimension"]) for row in rows if np.isnan(row["gap_reliability"]))
    if undefined:
        diagnostics.append(Diagnostic("gap_component_undefined", "warning", undefined))
    return GapReliability(pd.DataFrame(rows), tuple(diagnostics))


def _gap_row(perception: Array, expectation: Array) -> dict[str, Any]:
    k = perception.shape[1]
    first, second = perception.mean(axis=1), expectation.mean(axis=1)
    gap = first - second
    nan = float("nan")
    alphas = [
        cronbach_alpha(np.atleast_2d(np.cov(part, rowvar=False))) if _total_varies(part) else nan
        for part in (perception, expectation, perception - expectation)
    ]
    sd_first, sd_second = float(first.std(ddof=1)), float(second.std(ddof=1))
    r = _correlation(first, second)
    return {
        "n_items": k,
        "n_obs": len(gap),
        "mean_gap": float(gap.mean()),
        "sd_perception": sd_first,
        "sd_expectation": sd_second,
        "r_perception_expectation": r,
        "alpha_perception": alphas[0],
        "alpha_expectation": alphas[1],
        "gap_reliability": difference_reliability(sd_first, sd_second, alphas[0], alphas[1], r),
        "alpha_gap": alphas[2],
        "r_gap_perception": _correlation(gap, first),
        "r_gap_expectation": _correlation(gap, second),
    }


def _total_varies(values: Array) -> bool:
    return values.shape[1] > 1 and bool(np.ptp(values.sum(axis=1)) > 0.0)


def _correlation(x: Array, y: Array) -> float:
    if not (np.ptp(x) > 0.0 and np.ptp(y) > 0.0):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
