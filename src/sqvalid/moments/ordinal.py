r"""Sample statistics of ordered answers: thresholds, correlations, and how they vary together.

Statistics stand in this order: thresholds of ordered and minus the means of numeric variables,
variable after variable; slopes on covariates, covariate after covariate; variances of numeric
variables; the lower triangle of the covariance matrix without its diagonal, column by column. A
respondent's influence on them solves the stacked score equations of the two steps (Muthen, 1984):
with the mean cross-products of scores in place of second derivatives,

.. math:: \psi_1 = A_{11}^{-1} s_1, \qquad \psi_2 = A_{22}^{-1}(s_2 - A_{21}\psi_1)

and the asymptotic covariance is :math:`\Gamma = N \sum_i \psi_i \psi_i'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.moments.casewise import (
    NumericSide,
    OrderedSide,
    PairScores,
    numeric_pairs,
    ordered_case_pairs,
    serial_pairs,
)
from sqvalid.moments.margins import Margins, margins
from sqvalid.moments.polychoric import ordered_pairs, pair_tables

__all__ = ["OrdinalMoments", "ordinal_moments"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# Numbers per array of what is computed case by case, several pairs at a time: they stay in cache.
_PIECE = 16_000
# Squared scores that sum to less than this leave a correlation without bounds: even two rare
# answers that never meet give it about one.
_LEAST_INFORMATION = 1e-2


@dataclass(frozen=True, eq=False)
class OrdinalMoments:
    """Statistics of one group.

    Parameters
    ----------
    thresholds : ndarray, shape (t,)
        Thresholds, and minus the mean (or intercept) of a numeric variable, variable after
        variable.
    owner : ndarray of int, shape (t,)
        Which variable an entry belongs to.
    slopes : ndarray, shape (p, q)
        On the covariates: of the normal variable behind an ordered one, and of a numeric one.
    covariance : ndarray, shape (p, p)
        Polychoric and polyserial correlations, the latter times the standard deviation of
        the numeric variable; variances (divisor n) of numeric variables, ones of ordered ones.
        With covariates all of them are of residuals.
    influence : ndarray, shape (n, s)
        What every respondent adds to the errors of all statistics, in the order of the module.
    empty_cells : ndarray of int, shape (p, p)
        Cells of each pair of ordered items that nobody is in; zero with covariates.
    certain : ndarray of bool, shape (p, p)
        Pairs whose likelihood is largest at a correlation of one or minus one, or flat on the way
        there: what is here of such a pair is of no use but for the sign.
    """

    thresholds: Array
    owner: Index
    slopes: Array
    covariance: Array
    influence: Array
    empty_cells: Index
    certain: npt.NDArray[np.bool_]


def ordinal_moments(
    values: Array,
    levels: Sequence[Array | None],
    *,
    covariates: Array | None = None,
    weights: Array | None = None,
    zero_cells: bool = True,
) -> OrdinalMoments:
    """Compute the statistics of ordered and numeric variables.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing: a statistic then uses the respondents who answered what it is of.
    levels : sequence of (ndarray or None)
        Per variable its categories in order, every one of them chosen by somebody; None for a
        numeric variable.
    covariates : ndarray, shape (n, q), optional
        Complete; statistics are then those of the variables given them.
    weights : ndarray, shape (n,), optional
        Sampling weights.
    zero_cells : bool
        See :func:`sqvalid.moments.polychoric.ordered_pairs`.

    References
    ----------
    Muthen (1984), Psychometrika 49, in the version of lavaan.
    """
    n, p = values.shape
    # Inside, covariates have mean 0 and variance 1: their scale costs no digits.
    centre, spread = np.zeros(0), np.ones(0)
    standard = covariates
    if covariates is not None:
        centre, spread = covariates.mean(axis=0), covariates.std(axis=0)
        standard = (covariates - centre) / spread
    first = margins(values, levels, standard, weights)
    layout = first.layout
    columns, rows = np.triu_indices(p, k=1)
    rho, empty = np.empty(len(rows)), np.zeros((p, p), dtype=np.intp)
    certain = np.zeros((p, p), dtype=bool)
    influence = np.empty((n, layout.n_first + len(rows)), order="F")
    influence[:, : layout.n_first] = first.influence
    second = influence[:, layout.n_first :]

    ordered = layout.ordered
    tabled = ordered[columns] & ordered[rows]
    if covariates is None and tabled.any():
        where = np.flatnonzero(tabled)
        rho[where], certain[columns[where], rows[where]], cells = _tabled_pairs(
            first, columns[where], rows[where], second, where, zero_cells=zero_cells
        )
        empty[columns[where], rows[where]] = empty[rows[where], columns[where]] = cells
    else:
        tabled = np.zeros(len(rows), dtype=bool)
    for kind in ((True, True), (True, False), (False, True), (False, False)):
        own = ~tabled & (ordered[columns] == kind[0]) & (ordered[rows] == kind[1])
        where = np.flatnonzero(own)
        size = max(_PIECE // n, 1)
        for start in range(0, len(where), size):
            piece = where[start : start + size]
            found = _case_pairs(first, columns[piece], rows[piece], kind)
            own_score = found.score
            if first.weights is not None:
                own_score = own_score * first.weights[:, None]
            information = np.einsum("nm,nm->m", own_score, found.score)
            flat = information < _LEAST_INFORMATION
            rho[piece], certain[columns[piece], rows[piece]] = found.rho, found.certain | flat
            cross = _cross(first, columns[piece], found.first, found.score)
            cross += _cross(first, rows[piece], found.second, found.score)
            second[:, piece] = (own_score - first.influence @ cross.T) / np.maximum(
                information, 1e-300
            )

    sd = np.sqrt(first.variances)
    size_of = sd[columns] * sd[rows]
    if not ordered.all():
        # From correlations to covariances: a numeric variable brings its spread along.
        second *= size_of
        for side in (columns, rows):
            own = np.flatnonzero(~ordered[side])
            half = rho[own] * size_of[own] / (2.0 * first.variances[side[own]])
            second[:, own] += influence[:, layout.variance_places[side[own]]] * half
    covariance = np.diag(first.variances)
    covariance[columns, rows] = covariance[rows, columns] = rho * size_of
    thresholds, slopes = first.statistics, first.slopes / spread
    thresholds = thresholds + (slopes @ centre)[layout.owner]
    for j in range(p if layout.n_covariates else 0):
        places = layout.slope_places(j)
        influence[:, places] /= spread
        own_places = slice(layout.starts[j], layout.starts[j + 1])
        influence[:, own_places] += (influence[:, places] @ centre)[:, None]
    return OrdinalMoments(
        thresholds=thresholds,
        owner=layout.owner,
        slopes=slopes,
        covariance=covariance,
        influence=influence,
        empty_cells=empty,
        certain=certain | certain.T,
    )


def _tabled_pairs(
    first: Margins,
    columns: Index,
    rows: Index,
    second: Array,
    where: Index,
    *,
    zero_cells: bool,
) -> tuple[Array, npt.NDArray[np.bool_], Index]:
    """Pairs of ordered items without covariates; their influence goes to `second`."""
    n_levels, codes = first.layout.n_levels, first.codes
    tables = pair_tables(codes, n_levels, columns, rows, first.weights)
    pairs = ordered_pairs(tables, first.thresholds, n_levels, columns, rows, zero_cells=zero_cells)
    k = tables.shape[1]
    # What an answer adds by way of the thresholds of its own item.
    own = first.by_answer
    by_first = np.einsum("mac,mc->ma", own[columns], pairs.cross_first)
    by_second = np.einsum("mac,mc->ma", own[rows], pairs.cross_second)
    table = np.zeros((len(where), k + 1, k + 1))
    table[:, :k, :k] = pairs.score
    table -= by_first[:, :, None] + by_second[:, None, :]
    table /= np.maximum(pairs.information, 1e-300)[:, None, None]
    # Category -1, a missing answer, is the last row or column.
    place = np.ascontiguousarray(np.where(codes < 0, k, codes).T)
    by_pair, cells = second.T, table.reshape(len(where), -1)
    size = max(_PIECE * 4 // len(codes), 1)
    for start in range(0, len(where), size):
        piece = slice(start, start + size)
        flat = place[columns[piece]] * (k + 1) + place[rows[piece]]
        flat += (np.arange(len(flat)) * (k + 1) ** 2)[:, None]
        found = np.take(cells[piece].ravel(), flat)
        if first.weights is not None:
            found *= first.weights
        by_pair[where[piece]] = found
    certain = pairs.certain | (pairs.information < _LEAST_INFORMATION)
    return pairs.rho, certain, pairs.empty_cells


def _case_pairs(first: Margins, columns: Index, rows: Index, kind: tuple[bool, bool]) -> PairScores:
    """Pairs of one kind; `first` of what is returned belongs to the column's variable."""
    weights = first.weights
    if kind == (False, False):
        return numeric_pairs(first.residuals[:, columns], first.residuals[:, rows], weights)
    if kind == (True, True):
        there = (first.codes[:, columns] >= 0) & (first.codes[:, rows] >= 0)
        return ordered_case_pairs(*first.limits(columns), *first.limits(rows), there, weights)
    items, numbers = (columns, rows) if kind[0] else (rows, columns)
    z = np.where(first.codes[:, items] >= 0, first.residuals[:, numbers], np.nan)
    found = serial_pairs(z, *first.limits(items), weights)
    if kind[0]:
        return PairScores(found.rho, found.score, found.second, found.first, found.certain)
    return found


def _cross(
    first: Margins, variables: Index, side: OrderedSide | NumericSide, score: Array
) -> Array:
    """Sums of the pairs' scores times those of one variable of each, shape (m, n_first)."""
    layout, x = first.layout, first.covariates
    weighted = score if first.weights is None else score * first.weights[:, None]
    out = np.zeros((len(variables), layout.n_first))
    for m, j in enumerate(variables):
        begin = int(layout.starts[j])
        if isinstance(side, NumericSide):
            sd = np.sqrt(first.variances[j])
            by_location = weighted[:, m] * side.location[:, m] / sd
            out[m, begin] = -by_location.sum()
            out[m, layout.slope_places(int(j))] = by_location @ x
            by_spread = float(weighted[:, m] @ side.spread[:, m])
            out[m, layout.variance_places[j]] = by_spread / first.variances[j]
            continue
        upper, lower = weighted[:, m] * side.upper[:, m], weighted[:, m] * side.lower[:, m]
        there = first.codes[:, j] >= 0
        own = first.codes[there, j]
        width = int(layout.n_levels[j])
        sums = (
            np.bincount(own, upper[there], width)[:-1] + np.bincount(own, lower[there], width)[1:]
        )
        out[m, begin : begin + width - 1] = sums
        out[m, layout.slope_places(int(j))] = -(upper + lower) @ x
    return out
