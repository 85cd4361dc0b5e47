r"""Polychoric and tetrachoric correlations of all pairs at once, two-step.

Thresholds come from the margins, correlations from maximum likelihood pair by pair with the
thresholds fixed. All tables of pairs are cut from one product of indicator matrices and searched
together. What a respondent adds to the score of a correlation depends on the cell they are in, so
influence functions (:mod:`~sqvalid.moments.ordinal`) are tables, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sqvalid.moments.bivariate import (
    FAR,
    bivariate_density,
    certain_probability,
    density,
    dependence,
    dependence_step,
)

__all__ = [
    "EDGE",
    "OrderedPairs",
    "category_counts",
    "ordered_pairs",
    "pair_tables",
    "threshold_table",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

# Correlations are searched inside this; one that gets here has no maximum inside.
EDGE = 0.99999
_MAX_STEPS = 60
# A Newton step this short leaves an error of its square.
_TOLERANCE = 1e-6
# Where the log-likelihood is flat to rounding the search ends as well.
_FLAT = 1e-13
_FLAT_GAIN = 1e-10
# A cell that somebody is in has a probability; this keeps its logarithm finite on the way.
_LEAST = 1e-15
# Respondents whose indicators are in memory at a time.
_CHUNK_ROWS = 8192


def category_counts(codes: Index, n_levels: Index, weights: Array | None = None) -> Array:
    """Respondents (or their weights) per item and category.

    Parameters
    ----------
    codes : ndarray of int, shape (n, p)
        Categories from 0, -1 where missing.
    n_levels : ndarray of int, shape (p,)
    weights : ndarray, shape (n,), optional

    Returns
    -------
    ndarray, shape (p, max(n_levels))
    """
    p, k = codes.shape[1], int(n_levels.max(initial=1))
    place = np.where(codes < 0, k, codes) + (k + 1) * np.arange(p)
    each = None if weights is None else np.repeat(weights, p)
    counts = np.bincount(place.ravel(), weights=each, minlength=p * (k + 1))
    return np.asarray(counts.reshape(p, k + 1)[:, :k], dtype=np.float64)


def pair_tables(
    codes: Index, n_levels: Index, first: Index, second: Index, weights: Array | None = None
) -> Array:
    """Respondents (or their weights) per pair of items and pair of categories.

    Parameters
    ----------
    codes, n_levels, weights
        As in :func:`category_counts`.
    first, second : ndarray of int, shape (m,)
        Items of each pair.

    Returns
    -------
    ndarray, shape (m, k, k)
        k is the largest number of categories; cells beyond an item's are zero.
    """
    n, p = codes.shape
    k = int(n_levels.max(initial=1))
    # Counts are whole and far below 2^24: single precision holds them, and is twice as fast.
    kind = np.float32 if weights is None else np.float64
    products = np.zeros((p * k, p * k))
    for start in range(0, n, _CHUNK_ROWS):
        piece = codes[start : start + _CHUNK_ROWS]
        marks = (piece[:, :, None] == np.arange(k)).reshape(len(piece), p * k).astype(kind)
        left = marks
        if weights is not None:
            left = marks * weights[start : start + _CHUNK_ROWS, None]
        products += left.T @ marks
    return products.reshape(p, k, p, k)[first, :, second, :]


def threshold_table(counts: Array, n_levels: Index) -> Array:
    """Thresholds of every item from its margin.

    Parameters
    ----------
    counts : ndarray, shape (p, k)
        Respondents per category.
    n_levels : ndarray of int, shape (p,)

    Returns
    -------
    ndarray, shape (p, k + 1)
        From minus to plus infinity (:data:`~sqvalid.moments.bivariate.FAR`); categories beyond an
        item's last are empty.
    """
    p, k = counts.shape
    share = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    out = np.full((p, k + 1), FAR)
    out[:, 0] = -FAR
    inside = np.arange(1, k + 1)[None, :] < n_levels[:, None]
    out[:, 1:][inside] = ndtri(share[inside])
    return out


@dataclass(frozen=True, eq=False)
class OrderedPairs:
    """Correlations of pairs of ordered items, with the scores of their cells.

    Parameters
    ----------
    rho : ndarray, shape (m,)
    certain : ndarray of bool, shape (m,)
        Where the likelihood is largest at a correlation of one or minus one; `rho` is near it
        then, and the scores are of no use.
    score : ndarray, shape (m, k, k)
        Derivative of a respondent's log-likelihood by rho, by cell.
    cross_first, cross_second : ndarray, shape (m, k - 1)
        Sums over respondents of that score times the score of each threshold of the pair.
    information : ndarray, shape (m,)
        Sums of the squared score.
    empty_cells : ndarray of int, shape (m,)
        Cells that nobody is in.
    """

    rho: Array
    certain: Mask
    score: Array
    cross_first: Array
    cross_second: Array
    information: Array
    empty_cells: Index


def ordered_pairs(
    tables: Array,
    thresholds: Array,
    n_levels: Index,
    first: Index,
    second: Index,
    *,
    zero_cells: bool = True,
) -> OrderedPairs:
    r"""Maximum likelihood of all correlations given the thresholds.

    Parameters
    ----------
    tables : ndarray, shape (m, k, k)
        From :func:`pair_tables`.
    thresholds : ndarray, shape (p, k + 1)
        From :func:`threshold_table`.
    n_levels : ndarray of int, shape (p,)
    first, second : ndarray of int, shape (m,)
        Items of each pair.
    zero_cells : bool
        Where one cell of a two-by-two table is empty, move one half into it, margins kept: the
        correlation would be -1 or 1 otherwise.

    Notes
    -----
    Newton steps, from the correlation that the covariance of the category numbers has by its
    tetrachoric series. The integral of the density is carried along from step to step.

    References
    ----------
    Olsson (1979), Psychometrika 44; the half: Savalei (2011), Structural Equation Modeling 18.
    """
    binary = (n_levels[first] == 2) & (n_levels[second] == 2)
    counts = _filled(tables, binary) if zero_cells and binary.any() else tables
    cells = _Cells.of(thresholds, first, second)
    rho = _series_start(counts, thresholds, first, second)
    total = counts.sum(axis=(1, 2))
    inside = cells.dependence(rho)
    active = np.arange(len(rho))
    known, here = inside, cells
    for _ in range(_MAX_STEPS):
        now, shares = rho[active], counts[active] / total[active, None, None]
        step = _newton_step(*here.derivatives(known, now), shares, now)
        moved = np.clip(now + step, -EDGE, EDGE)
        known = here.moved(known, now, moved)
        rho[active], inside[active] = moved, known
        more = (np.abs(step) > _TOLERANCE) & (np.abs(moved) < EDGE)
        if not more.any():
            break
        if not more.all():
            active, known, here = active[more], known[more], here.take(more)
    probability, slope, _ = cells.derivatives(inside, rho)
    score = slope / probability
    per_cell = tables * score / probability
    there = (n_levels[first] * n_levels[second]).astype(np.intp)
    return OrderedPairs(
        rho=rho,
        certain=_certain(counts, cells, probability, rho),
        score=score,
        cross_first=_threshold_cross(per_cell, cells.low, cells.high, rho),
        cross_second=_threshold_cross(per_cell.swapaxes(1, 2), cells.high, cells.low, rho),
        information=np.einsum("mab,mab,mab->m", tables, score, score),
        empty_cells=there - np.count_nonzero(tables > 0, axis=(1, 2)),
    )


def _certain(counts: Array, cells: _Cells, probability: Array, rho: Array) -> Mask:
    """Whether no answers contradict a correlation of one, which then fits best."""
    low, high = cells.low, cells.high
    # Where the ranges of the two answers have something in common once one has the sign of rho.
    up = (rho > 0)[:, None]
    bottom = np.where(up, low[:, :-1], -low[:, 1:])[:, :, None]
    top = np.where(up, low[:, 1:], -low[:, :-1])[:, :, None]
    # Thresholds that are equal differ by rounding.
    meet = np.minimum(top, high[:, None, 1:]) - np.maximum(bottom, high[:, None, :-1]) > 1e-9
    out = np.asarray((meet | (counts <= 0)).all(axis=(1, 2)))
    for m in np.flatnonzero(out):
        edge = certain_probability(
            low[m, :-1, None], low[m, 1:, None], high[m, :-1], high[m, 1:], np.sign(rho[m])
        )
        someone = counts[m] > 0
        gain = np.log(edge[someone]) - np.log(probability[m][someone])
        # Where the likelihood is flat to rounding the search stops short of the edge.
        out[m] = counts[m][someone] @ gain >= -_FLAT_GAIN * counts[m].sum()
    return out


def _newton_step(probability: Array, slope: Array, bend: Array, shares: Array, rho: Array) -> Array:
    """One step up the log-likelihood of every pair, never more than half of the way to the edge."""
    ratio = slope / probability
    gradient = np.einsum("mab,mab->m", shares, ratio)
    curvature = np.einsum("mab,mab->m", shares, ratio * ratio - bend / probability)
    # Where it is not concave, the expected information, which is positive.
    expected = np.einsum("mab,mab->m", slope, ratio)
    step = gradient / np.maximum(np.where(curvature > 0, curvature, expected), 1e-12)
    step[np.abs(gradient) < _FLAT] = 0.0
    room = np.where(step > 0, EDGE - rho, rho + EDGE)
    return np.asarray(np.sign(step) * np.minimum(np.abs(step), 0.5 * room + 1e-7))


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of pairs of items: their limits, and the margins' probabilities."""

    low: Array
    high: Array
    margins: Array

    @classmethod
    def of(cls, thresholds: Array, first: Index, second: Index) -> _Cells:
        single = np.diff(ndtr(thresholds), axis=1)
        margins = single[first][:, :, None] * single[second][:, None, :]
        return cls(thresholds[first], thresholds[second], margins)

    def take(self, which: Mask) -> _Cells:
        return _Cells(self.low[which], self.high[which], self.margins[which])

    def _limits(self) -> tuple[Array, Array]:
        return self.low[:, 1:-1, None], self.high[:, None, 1:-1]

    def dependence(self, rho: Array) -> Array:
        """At the inner thresholds, shape (m, k - 1, k - 1)."""
        return dependence(*self._limits(), rho)

    def moved(self, known: Array, old: Array, new: Array) -> Array:
        """The same at another correlation."""
        return dependence_step(*self._limits(), old, new, known)

    def derivatives(self, inside: Array, rho: Array) -> tuple[Array, Array, Array]:
        """Probabilities of the cells, and their first and second derivatives by rho."""
        h, k = self._limits()
        r = rho[:, None, None]
        left = 1.0 - r * r
        height = bivariate_density(h, k, r)
        change = height * (r / left + (h * k * (1.0 + r * r) - r * (h * h + k * k)) / left**2)
        probability = np.maximum(self.margins + _by_cell(inside), _LEAST)
        return probability, _by_cell(height), _by_cell(change)


def _by_cell(corners: Array) -> Array:
    """Differences over the cells of what is zero along the outer limits."""
    m, a, b = corners.shape
    padded = np.zeros((m, a + 2, b + 2))
    padded[:, 1:-1, 1:-1] = corners
    rows = padded[:, 1:] - padded[:, :-1]
    return np.asarray(rows[:, :, 1:] - rows[:, :, :-1])


def _threshold_cross(weighted: Array, low: Array, high: Array, rho: Array) -> Array:
    r"""Sums of a cell quantity times the derivative of its probability by a row threshold.

    The threshold between rows a and a + 1 moves probability from the one to the other:
    :math:`\phi(\tau)[\Phi(u_b) - \Phi(u_{b-1})]`, :math:`u_b = (t_b - \rho\tau)/\sqrt{1-\rho^2}`.
    """
    tau = low[:, 1:-1]
    root = np.sqrt(1.0 - rho * rho)[:, None, None]
    u = (high[:, None, :] - rho[:, None, None] * tau[:, :, None]) / root
    moved = density(tau)[:, :, None] * np.diff(ndtr(u), axis=2)
    return np.asarray(np.einsum("mab,mab->ma", weighted[:, :-1] - weighted[:, 1:], moved))


def _filled(tables: Array, binary: Mask) -> Array:
    """Tables of two binary items with one empty cell, one half moved into it, margins kept."""
    out = tables.copy()
    zero = out[binary][:, :2, :2] == 0.0
    alone = zero.sum(axis=(1, 2)) == 1
    main = alone & (zero[:, 0, 0] | zero[:, 1, 1])
    shift = np.where(main, 0.5, np.where(alone, -0.5, 0.0))
    out[np.flatnonzero(binary), :2, :2] += shift[:, None, None] * np.array([[1.0, -1], [-1, 1]])
    return out


def _series_start(tables: Array, thresholds: Array, first: Index, second: Index) -> Array:
    r"""Correlations by the covariance of the category numbers.

    A category number is a sum of steps at the thresholds, whose Hermite expansion gives
    :math:`\mathrm{cov} = \sum_j A_j B_j \rho^j / j!`, :math:`A_j = \sum_c
    \phi(\tau_c) He_{j-1}(\tau_c)`. A few terms are near enough to begin with.
    """
    k = tables.shape[1]
    codes = np.arange(k, dtype=float)
    total = tables.sum(axis=(1, 2))
    mean_a, mean_b = tables.sum(axis=2) @ codes / total, tables.sum(axis=1) @ codes / total
    target = np.einsum("mab,a,b->m", tables, codes, codes) / total - mean_a * mean_b
    tau = thresholds[:, 1:-1]
    height = density(tau)
    polynomials = [np.ones_like(tau), tau]
    for j in range(2, 7):
        polynomials.append(tau * polynomials[-1] - (j - 1) * polynomials[-2])
    sums = np.stack([(height * value).sum(axis=1) for value in polynomials])
    factorial = np.cumprod(np.arange(1.0, 8.0))
    terms = sums[:, first] * sums[:, second] / factorial[:, None]
    rho = np.clip(target / np.maximum(terms[0], 1e-12), -0.9, 0.9)
    for _ in range(3):
        value, slope = np.zeros_like(rho), np.zeros_like(rho)
        for term in terms[::-1]:
            slope = slope * rho + value
            value = value * rho + term
        slope = slope * rho + value
        value = value * rho - target
        rho = np.clip(rho - value / np.maximum(slope, 0.2 * terms[0] + 1e-12), -0.9, 0.9)
    return np.asarray(rho)
