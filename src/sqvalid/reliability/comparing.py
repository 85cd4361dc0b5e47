"""Tests that alphas are equal: between groups, or between scales of the same respondents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, OptionError
from sqvalid.reliability.coefficients import cronbach_alpha, feldt_interval
from sqvalid.reliability.intervals import (
    AlphaTest,
    dependent_test,
    independent_test,
    several_dependent_test,
    several_independent_test,
)
from sqvalid.reliability.scales import check_dimensions

__all__ = ["AlphaComparison", "compare_alphas", "holm"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class AlphaComparison(Result):
    """Alphas side by side and tests of their equality; made by :func:`compare_alphas`.

    Parameters
    ----------
    alphas : pandas.DataFrame
        ``dimension group n_items n_obs alpha ci_lower ci_upper`` (Feldt's interval).
    tests : pandas.DataFrame
        ``dimension first second method statistic df p p_holm``: first all at once where there are
        three or more (``first`` is "all"), then pair by pair. `p_holm` is adjusted over the pairs
        of a dimension (or of the scales). `df` is text, as some tests have two.
    dependent : bool
        Whether the same respondents gave all the alphas.
    level : float
    diagnostics : tuple of Diagnostic
    """

    alphas: pd.DataFrame
    tests: pd.DataFrame
    dependent: bool
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        kind = "dependent" if self.dependent else "independent"
        smallest = self.tests["p"].min()
        return f"{len(self.alphas)} {kind} alphas, smallest p {smallest:.3f}"

    def to_frame(self) -> pd.DataFrame:
        """Return the tests."""
        return self.tests.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the alphas and the tests."""
        units = dict.fromkeys(("alpha", "ci_lower", "ci_upper"), "unit")
        return (
            Table(self.alphas, formats=units),
            Table(self.tests, formats={"p": "p", "p_holm": "p"}),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.tests,
            "alphas": self.alphas,
            "dependent": self.dependent,
            "level": self.level,
        }


def holm(p: Array) -> Array:
    """Adjust p-values for their number after Holm (1979).

    Parameters
    ----------
    p : ndarray (m,)

    Returns
    -------
    ndarray (m,)
        Never below `p`, at most 1, in the same order.
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def compare_alphas(
    data: Any,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    *,
    group: str | None = None,
    level: float = 0.95,
) -> AlphaComparison:
    """Test whether alphas are equal.

    With `group`, the alpha of every dimension is compared between the groups of respondents
    (Feldt, 1969, for pairs; Hakstian & Whalen, 1976, for three or more). Without, the dimensions
    are compared with each other, as answered by the same respondents (Feldt, 1980; Woodruff &
    Feldt, 1986); those who answered all items of all dimensions count.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame
        Answers, reverse-worded items turned.
    dimensions : mapping of str to sequence of str, optional
        Items of each dimension; by default those of the survey.
    group : str, optional
        Column that tells the groups apart; rows without an entry are left out.
    level : float
        Coverage of the intervals.

    Returns
    -------
    AlphaComparison

    Raises
    ------
    OptionError
        Nothing to compare, or a dimension with a single item.
    InputError
        An item or the group column is not there, or a group has fewer than three complete
        answers or an alpha of one.
    """
    from sqvalid.survey import Survey

    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try level=0.95.")
    survey = data if isinstance(data, Survey) else Survey(data, dimensions=dimensions or {})
    frame = survey.frame
    chosen = check_dimensions(
        survey.dimensions if dimensions is None else dimensions, list(frame.columns)
    )
    for name, items in chosen.items():
        if len(items) < 2:
            raise OptionError(
                f"Dimension {name!r} has a single item and therefore no alpha.",
                remedy="Leave it out of dimensions.",
            )
    if group is None:
        return _same_respondents(frame, chosen, level)
    if group not in frame.columns:
        raise InputError(
            f"The data have no column {group!r}.", remedy="Name a column with the groups."
        )
    return _groups(frame, chosen, group, level)


def _alpha_row(
    dimension: str, label: str, values: Array, level: float
) -> tuple[dict[str, Any], float]:
    n, k = values.shape
    if n < 3:
        raise InputError(
            f"{dimension!r}{f' in group {label!r}' if label else ''} has {n} complete answers; "
            "three are the least.",
            remedy="Check missing answers, or merge groups.",
        )
    alpha = cronbach_alpha(np.cov(values, rowvar=False))
    if not alpha < 1.0:
        raise InputError(
            f"{dimension!r}{f' in group {label!r}' if label else ''} has an alpha of {alpha:g}, "
            "which no test can compare.",
            remedy="Look for items that repeat each other, or that do not vary.",
        )
    low, high = feldt_interval(alpha, n, k, level=level)
    row = {
        "dimension": dimension,
        "group": label,
        "n_items": k,
        "n_obs": n,
        "alpha": alpha,
        "ci_lower": low,
        "ci_upper": high,
    }
    return row, alpha


def _test_row(dimension: str, first: str, second: str, test: AlphaTest) -> dict[str, Any]:
    return {
        "dimension": dimension,
        "first": first,
        "second": second,
        "method": test.method,
        "statistic": test.statistic,
        "df": ", ".join(f"{value:g}" for value in test.df),
        "p": test.p,
    }


def _with_holm(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    adjusted = holm(np.array([row["p"] for row in pairs]))
    return [row | {"p_holm": float(p)} for row, p in zip(pairs, adjusted, strict=True)]


def _groups(
    frame: pd.DataFrame, dimensions: Mapping[str, tuple[str, ...]], group: str, level: float
) -> AlphaComparison:
    labels = frame[group]
    present = list(dict.fromkeys(labels[labels.notna()].tolist()))
    if len(present) < 2:
        raise OptionError(
            f"Column {group!r} has {len(present)} groups; two are the least.",
            remedy="Leave group out to compare dimensions.",
        )
    rows: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    for dimension, items in dimensions.items():
        found = []
        for label in present:
            values = frame.loc[labels == label, list(items)].dropna().to_numpy(dtype=float)
            row, alpha = _alpha_row(dimension, str(label), values, level)
            rows.append(row)
            found.append((str(label), alpha, len(values)))
        alphas, sizes = np.array([f[1] for f in found]), np.array([f[2] for f in found])
        if len(found) > 2:
            k = np.full(len(found), len(items))
            overall = several_independent_test(alphas, sizes, k)
            tests.append(_test_row(dimension, "all", "", overall) | {"p_holm": float("nan")})
        pairs = [
            _test_row(
                dimension,
                found[i][0],
                found[j][0],
                independent_test(alphas[[i, j]], sizes[[i, j]]),
            )
            for i, j in combinations(range(len(found)), 2)
        ]
        tests += _with_holm(pairs)
    return AlphaComparison(pd.DataFrame(rows), pd.DataFrame(tests), False, level)


def _same_respondents(
    frame: pd.DataFrame, dimensions: Mapping[str, tuple[str, ...]], level: float
) -> AlphaComparison:
    if len(dimensions) < 2:
        raise OptionError(
            f"There are {len(dimensions)} dimensions; two are the least that can be compared.",
            remedy="Pass several dimensions, or group=... to compare groups of respondents.",
        )
    items = list(dict.fromkeys(item for members in dimensions.values() for item in members))
    complete = frame[items].dropna()
    diagnostics = []
    if len(complete) < len(frame):
        values = {"n_used": len(complete), "n_total": len(frame)}
        diagnostics.append(Diagnostic("rows_left_out", "info", tuple(dimensions), values))
    rows, alphas, scores = [], [], []
    for dimension, members in dimensions.items():
        answers = complete[list(members)].to_numpy(dtype=float)
        row, alpha = _alpha_row(dimension, "", answers, level)
        rows.append(row)
        alphas.append(alpha)
        scores.append(answers.sum(axis=1))
    names, estimate = list(dimensions), np.array(alphas)
    r = np.corrcoef(np.array(scores))
    tests: list[dict[str, Any]] = []
    if len(names) > 2:
        sizes = np.array([len(members) for members in dimensions.values()])
        overall = several_dependent_test(estimate, len(complete), sizes, r)
        tests.append(_test_row("", "all", "", overall) | {"p_holm": float("nan")})
    pairs = [
        _test_row(
            "",
            names[i],
            names[j],
            dependent_test(estimate[[i, j]], len(complete), float(r[i, j])),
        )
        for i, j in combinations(range(len(names)), 2)
    ]
    tests += _with_holm(pairs)
    return AlphaComparison(
        pd.DataFrame(rows).drop(columns="group"),
        pd.DataFrame(tests).drop(columns="dimension"),
        True,
        level,
        tuple(diagnostics),
    )
