"""Item analysis: what every item contributes to its dimension, and to which it belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError
from sqvalid.exploratory.extraction import extract
from sqvalid.reliability import Reliability, assess_reliability
from sqvalid.reliability.catalogue import ordinal_structure
from sqvalid.reliability.categorical import graded_parameters, item_information
from sqvalid.reliability.coefficients import (
    correlation_from_covariance,
    is_regular,
    squared_multiple_correlations,
)
from sqvalid.screening.keying import rest_correlations
from sqvalid.screening.material import Material, gather

__all__ = ["ItemAnalysis", "analyse_items", "discrimination_index"]

Array = npt.NDArray[np.float64]

# Kelley (1939): the share at either end that tells two groups of a normal variable best apart.
_EXTREME = 0.27
# More different answers than this are no ordered categories.
_MOST_CATEGORIES = 15
_THETA = np.linspace(-4.0, 4.0, 81)


@dataclass(frozen=True, repr=False, eq=False)
class ItemAnalysis(Result):
    """Items one by one; made by :func:`analyse_items`.

    Parameters
    ----------
    items : pandas.DataFrame
        ``dimension item n n_missing mean sd difficulty floor_share ceiling_share item_total_r
        item_total_r_corrected item_rest_r discrimination smc loading alpha_if_deleted
        omega_if_deleted min_inter_item_r max_inter_item_r own_r highest_other_r
        highest_other slope location information_peak``. Answers are keyed: reverse-worded items
        turned. See Notes.
    frequencies : pandas.DataFrame
        ``dimension item answer n share``, of the answers that were given.
    dimensions : pandas.DataFrame
        ``dimension n_items n_obs alpha omega mean_inter_item_r min_inter_item_r
        max_inter_item_r``.
    cross : pandas.DataFrame
        Items by dimensions: correlation of the item with the mean of the dimension's items,
        itself left out.
    dimension_correlations : pandas.DataFrame
        ``first second n r r_corrected``; the last divided by the root of both alphas.
    thresholds : pandas.DataFrame
        ``dimension item threshold tau location``: of the latent responses, and divided by the
        loading, which makes them locations of the graded response model.
    information : pandas.DataFrame
        ``dimension item theta information``; the sum of a dimension's items has an empty
        item, and its standard error in ``se``.
    reliability : Reliability
        The alphas and their kin.
    diagnostics : tuple of Diagnostic

    Notes
    -----
    difficulty: mean less the lowest possible answer, over the width of the scale (the share of
    the possible score; high is easy). discrimination: difference of that between the upper and
    the lower 27% by the sum of the other items, ties at the cut included (Kelley, 1939).
    item_rest_r: with the sum of the others; item_total_r_corrected: with the item's own variance
    in the total replaced by its squared multiple correlation (Cureton, 1966). loading and
    omega_if_deleted: one minres factor of the correlations. slope, location, information_peak: of
    the graded response model that a one-factor model of the polychoric correlations implies,
    logistic with D = 1.702 (the slope of the normal ogive times 1.702); location is the mean of
    the item's thresholds over the loading.
    """

    items: pd.DataFrame
    frequencies: pd.DataFrame
    dimensions: pd.DataFrame
    cross: pd.DataFrame
    dimension_correlations: pd.DataFrame
    thresholds: pd.DataFrame
    information: pd.DataFrame
    reliability: Reliability
    diagnostics: tuple[Diagnostic, ...] = field(default=())

    def _headline(self) -> str:
        lowest = self.items["item_rest_r"].min()
        return (
            f"{len(self.items)} items in {len(self.dimensions)} dimensions, lowest item-rest "
            f"correlation {lowest:.3f}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per item; see `items`."""
        return self.items.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of items, dimensions and their correlations."""
        plain = {"dimension", "item", "n", "n_missing", "mean", "sd", "highest_other", "slope",
                 "location", "information_peak"}  # fmt: skip
        units = {c: "unit" for c in self.items.columns if c not in plain}
        units |= {"floor_share": "percent", "ceiling_share": "percent"}
        of_dimensions = [c for c in self.dimensions.columns if c.endswith("_r")]
        return (
            Table(self.items, formats=units),
            Table(
                self.dimensions,
                formats=dict.fromkeys([*of_dimensions, "alpha", "omega"], "unit"),
            ),
            Table(self.dimension_correlations, formats={"r": "unit", "r_corrected": "unit"}),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.items,
            "frequencies": self.frequencies,
            "dimensions": self.dimensions,
            "cross": self.cross,
            "dimension_correlations": self.dimension_correlations,
            "thresholds": self.thresholds,
        }

    def plot(self, dimension: str | None = None, **options: Any) -> Any:
        """Information curves of a dimension; returns a matplotlib Figure."""
        import importlib

        # The one door that opens upward: the picture of a result.
        return importlib.import_module("sqvalid.plots").information_curves(
            self, dimension, **options
        )


def discrimination_index(item: Array, rest: Array, low: float, high: float) -> float:
    """How far an item separates those who score high on the others from those who score low.

    Parameters
    ----------
    item : ndarray (n,)
        Answers.
    rest : ndarray (n,)
        Sum of the other items.
    low, high : float
        Ends of the item's scale.

    Returns
    -------
    float
        Mean of the upper less mean of the lower 27%, over the width of the scale; everybody
        who ties with the boundary is in. NaN where the scale has no width or the rest does not
        vary.

    References
    ----------
    Kelley (1939), Journal of Educational Psychology 30, 17-24.
    """
    if not high > low or not len(rest) or not np.ptp(rest) > 0.0:
        return float("nan")
    count = max(1, round(_EXTREME * len(rest)))
    ordered = np.sort(rest)
    upper, lower = rest >= ordered[-count], rest <= ordered[count - 1]
    return float((item[upper].mean() - item[lower].mean()) / (high - low))


def analyse_items(
    data: Any,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    *,
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    reverse: Sequence[str] = (),
    information: bool = True,
    level: float = 0.95,
) -> ItemAnalysis:
    """Analyse the items of every dimension.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame
        Answers. Reverse-worded items of a survey are turned here if they are not yet.
    dimensions : mapping of str to sequence of str, optional
        Items of each dimension; by default those of the survey.
    scale : (float, float) or mapping of str to (float, float), optional
        Lowest and highest possible answer; by default from the instrument, else as used.
    reverse : sequence of str
        Items of a bare frame to be turned; they need a scale.
    information : bool
        Whether to compute polychoric correlations and information curves.
    level : float
        Coverage of the intervals of alpha.

    Returns
    -------
    ItemAnalysis
        Reliability uses respondents who answered all items of a dimension; means and
        frequencies use every answer.

    Raises
    ------
    OptionError
        No dimensions, or an item to be turned without a scale.
    SurveyError, InputError
        An item that is not there, text, or too few complete answers.
    """
    material = gather(data, dimensions=dimensions, scale=scale, reverse=reverse)
    if not material.dimensions:
        raise OptionError(
            "Item analysis needs to know which items belong together.",
            remedy='Pass dimensions={"TAN": ["P1", "P2"], ...} or a Survey with an instrument.',
        )
    reliability = assess_reliability(material.keyed, material.dimensions, level=level)
    rows: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    curves: list[pd.DataFrame] = []
    cuts: list[dict[str, Any]] = []
    diagnostics = [d for d in reliability.diagnostics if d.code != "omega_needs_model"]
    cross = _cross(material)
    alphas = dict(
        zip(reliability.scales["dimension"], reliability.scales["alpha_raw"], strict=True)
    )
    for name, items in material.dimensions.items():
        complete = material.keyed[list(items)].dropna().to_numpy(dtype=float)
        model = _graded(complete) if information else None
        if information and model is None:
            values = {"allowed": _MOST_CATEGORIES}
            diagnostics.append(Diagnostic("information_not_given", "info", (name,), values))
        own = reliability.items[reliability.items["dimension"] == name]
        part, summary = _dimension_rows(material, name, own, complete, cross, float(alphas[name]))
        if model is not None:
            extra, points, frame = _information(name, items, *model)
            part = [row | more for row, more in zip(part, extra, strict=True)]
            cuts += points
            curves.append(frame)
        rows += part
        summaries.append(summary)
    return ItemAnalysis(
        items=pd.DataFrame(rows, columns=_ITEM_COLUMNS),
        frequencies=pd.DataFrame(list(_frequencies(material)), columns=_FREQUENCY_COLUMNS),
        dimensions=pd.DataFrame(summaries),
        cross=cross,
        dimension_correlations=_between(material, alphas),
        thresholds=pd.DataFrame(
            cuts, columns=["dimension", "item", "threshold", "tau", "location"]
        ),
        information=pd.concat(curves, ignore_index=True)
        if curves
        else pd.DataFrame(columns=["dimension", "item", "theta", "information", "se"]),
        reliability=reliability,
        diagnostics=tuple(diagnostics),
    )


_ITEM_COLUMNS = [
    "dimension", "item", "n", "n_missing", "mean", "sd", "difficulty", "floor_share",
    "ceiling_share", "item_total_r", "item_total_r_corrected", "item_rest_r", "discrimination",
    "smc", "loading", "alpha_if_deleted", "omega_if_deleted", "min_inter_item_r",
    "max_inter_item_r", "own_r", "highest_other_r", "highest_other", "slope", "location",
    "information_peak",
]  # fmt: skip
_FREQUENCY_COLUMNS = ["dimension", "item", "answer", "n", "share"]


def _one_factor(correlation: Array) -> tuple[Array, float]:
    """Loadings and omega of one minres factor; NaN where there is none."""
    k = len(correlation)
    if k < 3 or not is_regular(correlation):
        return np.full(k, np.nan), float("nan")
    factor = extract(correlation, 1, "minres")
    return factor.loadings[:, 0], float(1.0 - factor.uniquenesses.sum() / correlation.sum())


def _dimension_rows(
    material: Material,
    name: str,
    own: pd.DataFrame,
    complete: Array,
    cross: pd.DataFrame,
    alpha: float,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the items of one dimension, and the row of the dimension."""
    items = material.dimensions[name]
    k = len(items)
    places = [material.items.index(item) for item in items]
    ends = material.ends[places]
    everything = material.keyed[list(items)]
    r = correlation_from_covariance(np.cov(complete, rowvar=False)) if k > 1 else np.ones((1, 1))
    loadings, omega = _one_factor(r)
    smc = squared_multiple_correlations(r)
    off = r[np.tril_indices(k, -1)]
    others = cross.drop(columns=name)
    foreign = others.loc[list(items)].to_numpy(dtype=float)
    own_r = cross.loc[list(items), name].to_numpy(dtype=float)
    rows = []
    for i, item in enumerate(items):
        answers = everything[item].dropna().to_numpy(dtype=float)
        low, high = ends[i]
        found = own.iloc[i]
        keep = np.delete(np.arange(k), i)
        rest = complete[:, keep].sum(axis=1)
        known = not bool(np.isnan(foreign[i]).all())
        nearest = int(np.nanargmax(np.abs(foreign[i]))) if known else 0
        width = high - low
        rows.append(
            {
                "dimension": name,
                "item": item,
                "n": len(answers),
                "n_missing": len(everything) - len(answers),
                "mean": float(answers.mean()),
                "sd": float(answers.std(ddof=1)),
                "difficulty": float((answers.mean() - low) / width) if width > 0 else np.nan,
                "floor_share": float((answers == low).mean()),
                "ceiling_share": float((answers == high).mean()),
                "item_total_r": found["item_total_r"],
                "item_total_r_corrected": found["item_total_r_corrected"],
                "item_rest_r": found["item_rest_r"],
                "discrimination": discrimination_index(complete[:, i], rest, low, high)
                if k > 1
                else np.nan,
                "smc": float(smc[i]),
                "loading": float(loadings[i]),
                "alpha_if_deleted": found["alpha_if_deleted"],
                "omega_if_deleted": _one_factor(r[np.ix_(keep, keep)])[1],
                "min_inter_item_r": float(r[i, keep].min()) if k > 1 else np.nan,
                "max_inter_item_r": float(r[i, keep].max()) if k > 1 else np.nan,
                "own_r": float(own_r[i]),
                "highest_other_r": float(foreign[i, nearest]) if known else np.nan,
                "highest_other": str(others.columns[nearest]) if known else "",
                "slope": np.nan,
                "location": np.nan,
                "information_peak": np.nan,
            }
        )
    summary = {
        "dimension": name,
        "n_items": k,
        "n_obs": len(complete),
        "alpha": alpha,
        "omega": omega,
        "mean_inter_item_r": float(off.mean()) if k > 1 else np.nan,
        "min_inter_item_r": float(off.min()) if k > 1 else np.nan,
        "max_inter_item_r": float(off.max()) if k > 1 else np.nan,
    }
    return rows, summary


def _frequencies(material: Material) -> Iterator[dict[str, Any]]:
    for name, items in material.dimensions.items():
        for item in items:
            values = material.keyed[item].dropna().to_numpy(dtype=float)
            answers, counts = np.unique(values, return_counts=True)
            for answer, count in zip(answers, counts, strict=True):
                yield {
                    "dimension": name,
                    "item": item,
                    "answer": float(answer),
                    "n": int(count),
                    "share": float(count / len(values)),
                }


def _cross(material: Material) -> pd.DataFrame:
    """Items by dimensions: correlation with the mean of the dimension's other items."""
    table = pd.DataFrame(
        np.nan,
        index=pd.Index(list(dict.fromkeys(i for m in material.dimensions.values() for i in m))),
        columns=list(material.dimensions),
    )
    for name, members in material.dimensions.items():
        inside = material.keyed[list(members)]
        for item, value in zip(members, rest_correlations(inside.to_numpy(float)), strict=True):
            table.loc[item, name] = value
        score = inside.mean(axis=1)
        for item in table.index.difference(list(members), sort=False):
            table.loc[item, name] = _correlation(material.keyed[item], score)[0]
    return table


def _correlation(x: pd.Series[Any], y: pd.Series[Any]) -> tuple[float, int]:
    both = x.notna() & y.notna()
    a, b = x[both].to_numpy(dtype=float), y[both].to_numpy(dtype=float)
    if len(a) < 3 or not np.ptp(a) > 0.0 or not np.ptp(b) > 0.0:
        return float("nan"), len(a)
    return float(np.corrcoef(a, b)[0, 1]), len(a)


def _between(material: Material, alphas: Mapping[str, float]) -> pd.DataFrame:
    names = list(material.dimensions)
    means = {n: material.keyed[list(material.dimensions[n])].mean(axis=1) for n in names}
    rows = []
    for j in range(len(names)):
        for i in range(j):
            r, n = _correlation(means[names[i]], means[names[j]])
            product = alphas[names[i]] * alphas[names[j]]
            known = alphas[names[i]] > 0.0 and alphas[names[j]] > 0.0
            rows.append(
                {
                    "first": names[i],
                    "second": names[j],
                    "n": n,
                    "r": r,
                    "r_corrected": r / np.sqrt(product) if known else np.nan,
                }
            )
    return pd.DataFrame(rows, columns=["first", "second", "n", "r", "r_corrected"])


def _graded(complete: Array) -> tuple[Array, list[Array]] | None:
    """Loadings and thresholds of one factor of the latent responses, where there is one."""
    if complete.shape[1] < 3:
        return None
    if max(len(np.unique(column)) for column in complete.T) > _MOST_CATEGORIES:
        return None
    correlation, thresholds, _, _ = ordinal_structure(complete)
    loadings, _ = _one_factor(correlation)
    if np.isnan(loadings).any() or (np.abs(loadings) >= 1.0).any():
        return None
    return loadings, thresholds


def _information(
    name: str, items: Sequence[str], loadings: Array, thresholds: Sequence[Array]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], pd.DataFrame]:
    extra: list[dict[str, Any]] = []
    cuts: list[dict[str, Any]] = []
    frames: list[pd.DataFrame] = []
    total = np.zeros(len(_THETA))
    for item, loading, tau in zip(items, loadings, thresholds, strict=True):
        slope, locations = graded_parameters(float(loading), tau)
        curve = item_information(_THETA, float(loading), tau)
        total += curve
        extra.append(
            {
                "slope": slope,
                "location": float(locations.mean()),
                "information_peak": float(_THETA[curve.argmax()]),
            }
        )
        cuts += [
            {
                "dimension": name,
                "item": item,
                "threshold": c + 1,
                "tau": float(tau[c]),
                "location": float(locations[c]),
            }
            for c in range(len(tau))
        ]
        frames.append(_curve(name, item, curve, np.full(len(_THETA), np.nan)))
    with np.errstate(divide="ignore"):
        error = np.where(total > 0.0, 1.0 / np.sqrt(total), np.inf)
    frames.append(_curve(name, "", total, error))
    return extra, cuts, pd.concat(frames, ignore_index=True)


def _curve(name: str, item: str, information: Array, se: Array) -> pd.DataFrame:
    return pd.DataFrame(
        {"dimension": name, "item": item, "theta": _THETA, "information": information, "se": se}
    )
