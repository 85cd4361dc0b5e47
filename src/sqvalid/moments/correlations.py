"""Correlations of items, of numbers or of ordered answers, with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import erfc, ndtri, stdtr

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError, SurveyError, check_choice
from sqvalid.moments.ordered_answers import item_levels, refuse_apart, refuse_constant, with_codes
from sqvalid.moments.ordinal import OrdinalMoments, ordinal_moments
from sqvalid.survey import Survey, as_pandas
from sqvalid.survey.checks import numeric_items, require_columns

__all__ = ["METHODS", "Correlations", "correlate"]

Array = npt.NDArray[np.float64]

METHODS = ("pearson", "spearman", "polychoric", "mixed")
MISSING = ("listwise", "pairwise")
# Beyond this a correlation says that two items are one; two-step estimates are rough there.
_NEAR_ONE = 0.95
# Pairs that a sentence names.
_SHOWN = 5


@dataclass(frozen=True, repr=False, eq=False)
class Correlations(Result):
    """Correlations of all pairs of items.

    Made by :func:`correlate`.

    Parameters
    ----------
    matrix : pandas.DataFrame, shape (p, p)
    standard_errors : pandas.DataFrame, shape (p, p)
        NaN on the diagonal, and for a pair whose correlation has none (see Diagnostics).
    n_pairs : pandas.DataFrame, shape (p, p)
        Respondents behind each correlation; on the diagonal behind each item.
    thresholds : pandas.DataFrame or None
        ``item category est se`` of ordered items: where the normal variable behind an item goes
        from `category` to the next one.
    empty_cells : pandas.DataFrame or None
        Pairs of categories that nobody chose together, by pair of ordered items.
    ordered : tuple of str
        Items whose answers were taken as ordered categories.
    method, missing : str
    n_obs : int
        Respondents used.
    level : float
        Coverage of the intervals.
    diagnostics : tuple of Diagnostic
    """

    matrix: pd.DataFrame
    standard_errors: pd.DataFrame
    n_pairs: pd.DataFrame
    thresholds: pd.DataFrame | None
    empty_cells: pd.DataFrame | None
    ordered: tuple[str, ...]
    method: str
    missing: str
    n_obs: int
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        p = len(self.matrix)
        r = self.matrix.to_numpy(dtype=float)[np.tril_indices(p, -1)]
        return (
            f"{self.method} correlations of {p} items, {self.n_obs} respondents: "
            f"{r.min():.2f} to {r.max():.2f}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair: ``item_a item_b n r se ci_lower ci_upper p empty_cells``.

        Notes
        -----
        The interval is symmetric in Fisher's z. `p` is of the test that the correlation is zero:
        by t on n - 2 degrees of freedom without an ordered item, by the normal distribution of
        the estimate over its standard error with one. `empty_cells` is NaN where the pair is not
        of two ordered items.
        """
        r, se = self.matrix.to_numpy(dtype=float), self.standard_errors.to_numpy(dtype=float)
        n = self.n_pairs.to_numpy(dtype=float)
        columns, rows = np.triu_indices(len(r), k=1)
        items = np.array(self.matrix.columns, dtype=object)
        r, se, n = r[columns, rows], se[columns, rows], n[columns, rows]
        of_order = self.matrix.columns.isin(self.ordered)
        both = of_order[columns] & of_order[rows]
        plain = ~(of_order[columns] | of_order[rows])
        low, high = _interval(r, se, n, plain, self.method, self.level)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.abs(r) / se
        p = np.where(plain, 2.0 * stdtr(n - 2.0, -z), erfc(z / math.sqrt(2.0)))
        empty = np.full(len(r), np.nan)
        if self.empty_cells is not None:
            empty[both] = self.empty_cells.to_numpy(dtype=float)[columns, rows][both]
        return pd.DataFrame(
            {
                "item_a": items[columns],
                "item_b": items[rows],
                "n": n.astype(int),
                "r": r,
                "se": se,
                "ci_lower": low,
                "ci_upper": high,
                "p": p,
                "empty_cells": empty,
            }
        )

    def tables(self) -> tuple[Table, ...]:
        """The matrix, lower triangle, and the thresholds where there are any."""
        p = len(self.matrix)
        shown = self.matrix.where(np.tril(np.ones((p, p), dtype=bool)))
        parts = [Table(shown, formats=dict.fromkeys(map(str, shown.columns), "unit"))]
        if self.thresholds is not None:
            formats = {"category": "int", "est": "f3", "se": "f3"}
            parts.append(Table(self.thresholds, formats=formats))
        return tuple(parts)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "method": self.method,
            "missing": self.missing,
            "n_obs": self.n_obs,
            "matrix": self.matrix,
            "pairs": self.to_frame(),
            "thresholds": self.thresholds,
        }


def correlate(
    data: Any,
    items: Sequence[str] | None = None,
    *,
    method: str = "pearson",
    ordered: Sequence[str] | None = None,
    missing: str = "listwise",
    level: float = 0.95,
) -> Correlations:
    """Correlate items.

    Parameters
    ----------
    data : Survey or data frame
        One row per respondent.
    items : sequence of str, optional
        Columns; by default the items of the survey, or the numeric columns of the frame.
    method : {"pearson", "spearman", "polychoric", "mixed"}
        ``"polychoric"`` takes every item as ordered categories of a normal variable (tetrachoric
        where there are two); ``"mixed"`` those in `ordered`: polychoric, polyserial and Pearson
        correlations, pair by pair.
    ordered : sequence of str, optional
        For ``"mixed"``: the items that are ordered.
    missing : {"listwise", "pairwise"}
        Who is behind a correlation: respondents who answered all items, or both of the pair.
    level : float
        Coverage of the intervals of :meth:`Correlations.to_frame`.

    Returns
    -------
    Correlations

    Raises
    ------
    SurveyError
        Answers that are not numbers, an item without variance, a pair that nobody answered; for
        ordered items answers that are not whole numbers, or more than 30 categories.
    OptionError
        An unknown option; `ordered` without ``method="mixed"``, or not among the items.

    Notes
    -----
    Standard errors of Pearson's and Spearman's correlations are sqrt((1 - r^2)/(n - 2)); the
    interval of Spearman's has the variance of Bonett & Wright. Those of the other methods come from
    the influence of every respondent on thresholds and correlation together (Muthen), with
    lavaan's factor n/(n - 1); pairs of numeric items have Pearson's there, too.

    References
    ----------
    Bonett & Wright (2000), Psychometrika 65; Muthen (1984), Psychometrika 49; Olsson (1979),
    Psychometrika 44; Olsson, Drasgow & Dorans (1982), Psychometrika 47.
    """
    check_choice("method", method, METHODS)
    check_choice("missing", missing, MISSING)
    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} is no share.", remedy="Give one like 0.95.")
    frame = data.frame if isinstance(data, Survey) else as_pandas(data)
    names = _names(data, frame, items)
    of_order = _ordered(names, method, ordered)
    frame = with_codes(frame, of_order)
    answers = numeric_items(frame, names).to_numpy(dtype=float)
    there = ~np.isnan(answers)
    used = there.all(axis=1) if missing == "listwise" else there.any(axis=1)
    if used.sum() < 3:
        raise SurveyError(
            f"{int(used.sum())} of {len(answers)} respondents answered "
            f"{'every item' if missing == 'listwise' else 'any item'}.",
            remedy="Use fewer items, look for one that nobody answered, or missing='pairwise'.",
        )
    answers, there = answers[used], there[used]
    nobody = [name for j, name in enumerate(names) if not there[:, j].any()]
    if nobody:
        raise SurveyError(
            f"Nobody answered {', '.join(map(repr, nobody))}.", remedy="Leave the item out."
        )
    refuse_apart(tuple(names), there, "")
    levels = item_levels(frame, names, of_order, answers)
    refuse_constant(
        [
            name
            for j, name in enumerate(names)
            if np.nanmin(answers[:, j]) == np.nanmax(answers[:, j])
        ],
        "",
    )
    n_pairs = np.rint(there.T.astype(float) @ there).astype(int)
    found = None
    if of_order:
        found = ordinal_moments(answers, levels)
        r, se = _from_moments(found, np.array([level is None for level in levels]), n_pairs)
    else:
        r = _pearson(answers, ranks=method == "spearman")
        se = _pearson_error(r, n_pairs)
    np.fill_diagonal(r, 1.0)
    np.fill_diagonal(se, np.nan)

    def square(values: Any) -> pd.DataFrame:
        return pd.DataFrame(values, index=names, columns=names)

    return Correlations(
        matrix=square(r),
        standard_errors=square(se),
        n_pairs=square(n_pairs),
        thresholds=None if found is None else _thresholds(found, names, levels),
        empty_cells=None if found is None else square(found.empty_cells),
        ordered=tuple(of_order),
        method=method,
        missing=missing,
        n_obs=len(answers),
        level=level,
        diagnostics=_diagnostics(names, r, n_pairs, found),
    )


def _names(data: Any, frame: pd.DataFrame, items: Sequence[str] | None) -> list[str]:
    if items is None:
        if isinstance(data, Survey) and data.items:
            names = list(data.items)
        else:
            names = [str(c) for c in frame.columns if frame[c].dtype.kind in "iuf"]
    else:
        names = [items] if isinstance(items, str) else list(items)
        require_columns(frame, names)
    if len(names) < 2:
        raise SurveyError(
            f"There {'is one item' if names else 'are no items'}; a correlation needs two.",
            remedy="Name the items, items=.",
        )
    return names


def _ordered(names: list[str], method: str, ordered: Sequence[str] | None) -> list[str]:
    """Items that are ordered, by what the method says of them."""
    if method == "polychoric" and ordered is None:
        return list(names)
    if method != "mixed":
        if ordered is not None:
            raise OptionError("ordered= goes with method='mixed'.", remedy="Leave it out.")
        return []
    if not ordered:
        raise OptionError(
            "method='mixed' needs to know which items are ordered.",
            remedy="Name them, ordered=, or use method='pearson'.",
        )
    chosen = [ordered] if isinstance(ordered, str) else list(ordered)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise OptionError(
            f"ordered= names {', '.join(map(repr, unknown))}, not among the items.",
            remedy=f"Items: {', '.join(names)}.",
        )
    return chosen


def _pearson(answers: Array, *, ranks: bool) -> Array:
    """Product-moment correlations of answers or of their ranks, pair by pair where some lack."""
    # Slow to import, and seldom needed.
    from scipy.stats import rankdata

    there = ~np.isnan(answers)
    if there.all():
        values = rankdata(answers, axis=0) if ranks else answers
        centred = values - values.mean(axis=0)
        centred /= np.sqrt((centred**2).sum(axis=0))
        return np.asarray(centred.T @ centred)
    p = answers.shape[1]
    out = np.eye(p)
    for a in range(p):
        for b in range(a):
            both = answers[there[:, a] & there[:, b]][:, [a, b]]
            values = rankdata(both, axis=0) if ranks else both
            centred = values - values.mean(axis=0)
            size = np.sqrt((centred**2).sum(axis=0))
            # Without variance among those who answered both there is no correlation.
            out[a, b] = out[b, a] = (
                centred[:, 0] @ centred[:, 1] / (size[0] * size[1]) if size.min() > 0 else np.nan
            )
    return out


def _pearson_error(r: Array, n: Array) -> Array:
    """Standard errors that go with Student's t."""
    return np.sqrt(np.maximum(1.0 - r * r, 0.0) / np.where(n > 2, n - 2.0, np.nan))


def _from_moments(
    found: OrdinalMoments, numeric: npt.NDArray[np.bool_], n_pairs: Array
) -> tuple[Array, Array]:
    """Correlations of ordinal moments, and their standard errors."""
    variances = np.diag(found.covariance)
    sd = np.sqrt(variances)
    r = found.covariance / np.outer(sd, sd)
    p = len(r)
    columns, rows = np.triu_indices(p, k=1)
    influence = found.influence[:, -len(rows) :] / (sd[columns] * sd[rows])
    places = len(found.thresholds) + np.cumsum(numeric) - 1
    for side in (columns, rows):
        own = np.flatnonzero(numeric[side])
        of_variance = found.influence[:, places[side[own]]]
        influence[:, own] -= of_variance * (r[columns, rows][own] / (2.0 * variances[side[own]]))
    se = np.full((p, p), np.nan)
    se[columns, rows] = se[rows, columns] = _spread(influence)
    # Two numbers: as for Pearson's. Their cross-products of scores rest on normality more heavily.
    two = np.outer(numeric, numeric)
    se = np.where(two, _pearson_error(r, n_pairs), se)
    certain = found.certain & ~two
    se[certain] = np.nan
    return np.where(certain, np.sign(r), r), se


def _spread(influence: Array) -> Array:
    """Standard errors from what every respondent adds, divisor n - 1."""
    n = len(influence)
    return np.asarray(np.sqrt(np.einsum("ns,ns->s", influence, influence) * (n / (n - 1.0))))


def _thresholds(
    found: OrdinalMoments, names: list[str], levels: tuple[Array | None, ...]
) -> pd.DataFrame:
    se = _spread(found.influence[:, : len(found.thresholds)])
    rows = []
    for j, level in enumerate(levels):
        if level is None:
            continue
        own = np.flatnonzero(found.owner == j)
        rows += [
            (names[j], category, found.thresholds[place], se[place])
            for category, place in zip(level[:-1], own, strict=True)
        ]
    return pd.DataFrame(rows, columns=["item", "category", "est", "se"]).astype({"category": int})


def _interval(
    r: Array,
    se: Array,
    n: Array,
    plain: npt.NDArray[np.bool_],
    method: str,
    level: float,
) -> tuple[Array, Array]:
    """Limits, symmetric in Fisher's z; `plain` are pairs without an ordered item."""
    inside = np.abs(r) < 1.0
    safe = np.where(inside, r, 0.0)
    more = safe * safe / 2.0 if method == "spearman" else 0.0
    of_plain = np.sqrt((1.0 + more) / np.where(n > 3, n - 3.0, np.nan))
    width = np.where(plain, of_plain, se / (1.0 - safe * safe))
    width = np.where(inside, width * float(ndtri(0.5 + level / 2.0)), np.nan)
    return np.tanh(np.arctanh(safe) - width), np.tanh(np.arctanh(safe) + width)


def _diagnostics(
    names: list[str], r: Array, n_pairs: npt.NDArray[np.int_], found: OrdinalMoments | None
) -> tuple[Diagnostic, ...]:
    out = []
    columns, rows = np.triu_indices(len(names), k=1)

    def pairs(which: Any) -> tuple[str, ...]:
        chosen = np.flatnonzero(which[columns, rows])
        return tuple(f"{names[columns[m]]}-{names[rows[m]]}" for m in chosen)

    undefined = pairs(np.isnan(r))
    if undefined:
        out.append(Diagnostic("correlation_undefined", "problem", undefined))
    if found is not None:
        certain = pairs(found.certain)
        if certain:
            out.append(Diagnostic("correlation_certain", "problem", certain))
        cells = np.triu(found.empty_cells)
        if cells.any():
            values = {"n_pairs": int((cells > 0).sum()), "n_cells": int(cells.max())}
            most = pairs(cells == cells.max())[:_SHOWN]
            out.append(Diagnostic("correlation_empty_cells", "info", most, values))
    known = np.nan_to_num(r)
    near = pairs((np.abs(known) > _NEAR_ONE) & (True if found is None else ~found.certain))
    if near:
        out.append(Diagnostic("correlation_near_one", "warning", near, {"limit": _NEAR_ONE}))
    if not undefined:
        smallest = float(np.linalg.eigvalsh(r)[0])
        if smallest < 1e-10:
            out.append(
                Diagnostic(
                    "correlations_not_positive_definite",
                    "warning",
                    (),
                    {"smallest_eigenvalue": smallest},
                )
            )
    return tuple(out)
