r"""Sample statistics of ordered answers: thresholds, correlations, and how they vary together.

Statistics stand in this order: thresholds of ordered and minus the means of numeric variables,
variable after variable; variances of numeric variables; the lower triangle of the covariance matrix
without its diagonal, column by column. A respondent's influence on them solves the stacked score
equations of the two steps (Muthen, 1984): with the mean cross-products of scores in place of second
derivatives,

.. math:: \psi_1 = A_{11}^{-1} s_1, \qquad \psi_2 = A_{22}^{-1}(s_2 - A_{21}\psi_1)

and the asymptotic covariance is :math:`\Gamma = N \sum_i \psi_i \psi_i'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.moments.bivariate import density
from sqvalid.moments.polychoric import (
    OrderedPairs,
    indicator_matrix,
    ordered_pairs,
    polyserial,
    threshold_table,
)

__all__ = ["OrdinalMoments", "ordinal_moments"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class OrdinalMoments:
    """Statistics of one group.

    Parameters
    ----------
    thresholds : ndarray, shape (t,)
        Thresholds, and minus the mean of a numeric variable, variable after variable.
    owner : ndarray of int, shape (t,)
        Which variable an entry belongs to.
    covariance : ndarray, shape (p, p)
        Polychoric and polyserial correlations, the latter times the standard deviation of
        the numeric variable; variances (divisor n) of numeric variables, ones of ordered ones.
    gamma : ndarray, shape (s, s)
        Asymptotic covariance of all statistics, in the order of the module.
    n_obs : int
    empty_cells : ndarray of int, shape (p, p)
        Cells of each pair of ordered items that nobody is in.
    """

    thresholds: Array
    owner: Index
    covariance: Array
    gamma: Array
    n_obs: int
    empty_cells: Index


def ordinal_moments(
    values: Array, levels: Sequence[Array | None], *, zero_cells: bool = True
) -> OrdinalMoments:
    """Compute the statistics of ordered and numeric variables.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing: a statistic then uses the respondents who answered what it is of.
    levels : sequence of (ndarray or None)
        Per variable its categories in order, every one of them chosen by somebody; None for a
        numeric variable.
    zero_cells : bool
        See :func:`sqvalid.moments.polychoric.ordered_pairs`.

    References
    ----------
    Muthen (1984), Psychometrika 49, in the version of lavaan.
    """
    n, p = values.shape
    there = ~np.isnan(values)
    ordered = np.array([level is not None for level in levels])
    items, numbers = np.flatnonzero(ordered), np.flatnonzero(~ordered)
    place = np.empty(p, dtype=np.intp)
    place[items], place[numbers] = np.arange(len(items)), np.arange(len(numbers))
    n_levels = np.array([len(level) for level in levels if level is not None], dtype=np.intp)
    codes = np.full((n, len(items)), -1, dtype=np.intp)
    for j, item in enumerate(items):
        level = levels[item]
        assert level is not None
        own = there[:, item]
        codes[own, j] = np.searchsorted(level, values[own, item])
    first = _FirstStep.of(values[:, numbers], codes, n_levels)

    widths = np.where(ordered, 0, 1)
    widths[items] = n_levels - 1
    starts = np.concatenate([[0], np.cumsum(widths)])
    n_thresholds = int(starts[-1])
    owner = np.repeat(np.arange(p), widths)
    thresholds = np.empty(n_thresholds)
    influence = np.zeros((n, n_thresholds + len(numbers)))
    for j in range(p):
        where = slice(starts[j], starts[j + 1])
        if ordered[j]:
            k = place[j]
            thresholds[where] = first.thresholds[k, 1 : n_levels[k]]
            influence[:, where] = first.threshold_influence(k, n)
        else:
            k = place[j]
            thresholds[where] = -first.means[k]
            influence[:, where] = -first.mean_influence[:, k : k + 1]
            influence[:, n_thresholds + k] = first.variance_influence[:, k]

    covariance = np.eye(p)
    covariance[numbers, numbers] = first.variances
    columns, rows = np.triu_indices(p, k=1)
    score = np.zeros((n, len(rows)))
    cross = np.zeros((len(rows), influence.shape[1]))
    information = np.empty(len(rows))
    rho = np.empty(len(rows))
    empty = np.zeros((p, p), dtype=np.intp)

    both = ordered[columns] & ordered[rows]
    if both.any():
        pairs = first.pairs(place[columns[both]], place[rows[both]], zero_cells=zero_cells)
        _put_ordered(pairs, codes, np.flatnonzero(both), score)
        rho[both], information[both] = pairs.rho, pairs.information
        empty[columns[both], rows[both]] = empty[rows[both], columns[both]] = pairs.empty_cells
        for m, place_of in enumerate(np.flatnonzero(both)):
            for item, part in (
                (columns[place_of], pairs.cross_first[m]),
                (rows[place_of], pairs.cross_second[m]),
            ):
                width = widths[item]
                cross[place_of, starts[item] : starts[item] + width] = part[:width]
    for m in np.flatnonzero(~both):
        a, b = columns[m], rows[m]
        if ordered[a] or ordered[b]:
            item, number = (a, b) if ordered[a] else (b, a)
            rho[m], score[:, m], own = first.serial(place[item], place[number], codes)
            width = widths[item]
            cross[m, starts[item] : starts[item] + width] = own[:width]
            cross[m, starts[number]] = -own[-2]
            cross[m, n_thresholds + place[number]] = own[-1]
        else:
            rho[m], score[:, m], own = first.numeric(place[a], place[b])
            cross[m, [starts[a], starts[b]]] = -own[:2]
            cross[m, [n_thresholds + place[a], n_thresholds + place[b]]] = own[2:]
        information[m] = float(score[:, m] @ score[:, m])

    second = (score - influence @ cross.T) / np.maximum(information, 1e-300)
    # From correlations to covariances: a numeric variable brings its standard deviation along.
    scale = np.ones(p)
    scale[numbers] = np.sqrt(first.variances)
    size = scale[columns] * scale[rows]
    second *= size
    for side in (columns, rows):
        numeric = ~ordered[side]
        if numeric.any():
            half = rho[numeric] * size[numeric] / (2.0 * scale[side[numeric]] ** 2)
            second[:, numeric] += influence[:, n_thresholds + place[side[numeric]]] * half
    covariance[columns, rows] = covariance[rows, columns] = rho * size
    whole = np.hstack([influence, second])
    return OrdinalMoments(
        thresholds=thresholds,
        owner=owner,
        covariance=covariance,
        gamma=n * (whole.T @ whole),
        n_obs=n,
        empty_cells=empty,
    )


def _put_ordered(pairs: OrderedPairs, codes: Index, where: Index, score: Array) -> None:
    """Scores of every respondent from the cells they are in."""
    a, b = codes[:, pairs.first], codes[:, pairs.second]
    found = pairs.score[np.arange(len(where)), np.maximum(a, 0), np.maximum(b, 0)]
    score[:, where] = np.where((a < 0) | (b < 0), 0.0, found)


@dataclass(frozen=True, eq=False)
class _FirstStep:
    """Thresholds, means and variances, one variable at a time."""

    values: Array
    codes: Index
    n_levels: Index
    thresholds: Array
    counts: Array
    indicators: Array
    means: Array
    variances: Array
    mean_influence: Array
    variance_influence: Array

    @classmethod
    def of(cls, values: Array, codes: Index, n_levels: Index) -> _FirstStep:
        n, n_items = codes.shape
        indicators = np.zeros((n, 0))
        counts = thresholds = np.zeros((0, 1))
        if n_items:
            indicators = indicator_matrix(codes, n_levels)
            counts = indicators.sum(axis=0).reshape(n_items, -1)
            thresholds = threshold_table(counts, n_levels)
        count = values.shape[1]
        means, variances = np.nanmean(values, axis=0), np.nanvar(values, axis=0)
        first, second = np.zeros((n, count)), np.zeros((n, count))
        for j in range(count):
            gap = np.nan_to_num(values[:, j] - means[j])
            there = ~np.isnan(values[:, j])
            scores = np.column_stack(
                [
                    gap / variances[j],
                    np.where(there, gap**2 / variances[j] - 1.0, 0.0) / (2 * variances[j]),
                ]
            )
            both = scores @ np.linalg.inv(scores.T @ scores)
            first[:, j], second[:, j] = both[:, 0], both[:, 1]
        return cls(
            values, codes, n_levels, thresholds, counts, indicators, means, variances, first, second
        )

    def threshold_influence(self, item: int, n: int) -> Array:
        """(1 - F) / phi where the answer is at or below a threshold, else -F / phi, over n."""
        width = self.n_levels[item] - 1
        codes = self.codes[:, item]
        count = self.counts[item].sum()
        below = np.cumsum(self.counts[item])[:width] / count
        height = density(self.thresholds[item, 1 : width + 1])
        chosen = (codes[:, None] <= np.arange(width)) - below
        return np.where(codes[:, None] < 0, 0.0, chosen / height) / count

    def pairs(self, first: Index, second: Index, *, zero_cells: bool) -> OrderedPairs:
        """All pairs of ordered items."""
        k = self.counts.shape[1]
        n_items = len(self.n_levels)
        products = (self.indicators.T @ self.indicators).reshape(n_items, k, n_items, k)
        tables = products[first, :, second, :]
        return ordered_pairs(
            tables, self.thresholds, self.n_levels, first, second, zero_cells=zero_cells
        )

    def serial(self, item: int, number: int, codes: Index) -> tuple[float, Array, Array]:
        """An ordered item and a numeric variable.

        Returns
        -------
        rho : float
        score : ndarray, shape (n,)
        cross : ndarray
            Sums of the score times those of the thresholds, the mean and the variance.
        """
        own = codes[:, item]
        both = (own >= 0) & ~np.isnan(self.values[:, number])
        sd = np.sqrt(self.variances[number])
        z = (self.values[both, number] - self.means[number]) / sd
        rho, found = polyserial(z, own[both], self.thresholds[item])
        s = found.score
        width = self.n_levels[item] - 1
        cross = np.zeros(width + 2)
        for c in range(width):
            cross[c] = s[own[both] == c] @ found.upper[own[both] == c]
            cross[c] -= s[own[both] == c + 1] @ found.lower[own[both] == c + 1]
        cross[width] = s @ (z + found.shift) / sd
        cross[width + 1] = s @ (z * z - 1.0 + z * found.shift) / (2.0 * sd * sd)
        score = np.zeros(len(own))
        score[both] = s
        return rho, score, cross

    def numeric(self, first: int, second: int) -> tuple[float, Array, Array]:
        """Two numeric variables: their correlation, its scores, and crosses as in `serial`."""
        both = ~np.isnan(self.values[:, [first, second]]).any(axis=1)
        sd = np.sqrt(self.variances[[first, second]])
        z = (self.values[both][:, [first, second]] - self.means[[first, second]]) / sd
        product = float(np.mean(z[:, 0] * z[:, 1]))
        rho = _bivariate_rho(product, float((z**2).sum(axis=1).mean()))
        left = 1.0 - rho * rho
        s = (
            rho * left + (1.0 + rho * rho) * z[:, 0] * z[:, 1] - rho * (z**2).sum(axis=1)
        ) / left**2
        turned = (z - rho * z[:, ::-1]) / left
        means = s @ turned / sd
        variances = s @ (z * turned - 1.0) / (2.0 * sd**2)
        score = np.zeros(len(both))
        score[both] = s
        return rho, score, np.concatenate([means, variances])


def _bivariate_rho(product: float, squares: float) -> float:
    """Root of the score of a correlation with means and variances given.

    With both variances one in the same cases it is the mean product; otherwise (some cases of
    one variable lack the other) a cubic.
    """
    if abs(squares - 2.0) < 1e-12:
        return product
    roots = np.roots([-1.0, product, 1.0 - squares, product])
    real = roots[np.abs(roots.imag) < 1e-9].real
    inside = real[np.abs(real) < 1.0]
    return float(inside[np.argmin(np.abs(inside - product))])
