r"""Polychoric, tetrachoric and polyserial correlations of all pairs at once, two-step.

Thresholds come from the margins, correlations from maximum likelihood pair by pair with the
thresholds fixed. All pairs of ordered items are cut from one product of indicator matrices and
searched together. Scores of the pairs, by cells, feed the asymptotic covariance of all
statistics (:mod:`~sqvalid.moments.ordinal`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sqvalid.moments.bivariate import FAR, bivariate_cdf, bivariate_density, density

__all__ = [
    "OrderedPairs",
    "indicator_matrix",
    "ordered_pairs",
    "polyserial",
    "threshold_table",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_MOST = 0.99999
_MAX_STEPS = 100
_TOLERANCE = 1e-12


def indicator_matrix(codes: Index, n_levels: Index) -> Array:
    """One column per item and category, 1 where the respondent chose it; zeros where missing.

    Parameters
    ----------
    codes : ndarray of int, shape (n, p)
        Categories from 0, -1 where missing.
    n_levels : ndarray of int, shape (p,)

    Returns
    -------
    ndarray, shape (n, p * max(n_levels))
        Columns beyond an item's categories are zero.
    """
    n, p = codes.shape
    k = int(n_levels.max())
    out = np.zeros((n, p, k + 1))
    rows, columns = np.indices((n, p))
    # Missing answers fall into a column that is cut off.
    out[rows, columns, np.where(codes < 0, k, codes)] = 1.0
    return out[:, :, :k].reshape(n, p * k)


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
        From minus to plus infinity (:data:`FAR`); categories beyond an item's last are empty.
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
    """Correlations of all pairs of ordered items, with the scores of their cells.

    Parameters
    ----------
    first, second : ndarray of int, shape (m,)
        Items of each pair; `first` is the smaller number.
    rho : ndarray, shape (m,)
    tables : ndarray, shape (m, k, k)
        Respondents per pair of categories, of `first` and `second`.
    score : ndarray, shape (m, k, k)
        Derivative of a respondent's log-likelihood by rho, by cell.
    cross_first, cross_second : ndarray, shape (m, k - 1)
        Sums over respondents of that score times the score of each threshold of the pair.
    information : ndarray, shape (m,)
        Sums of the squared score.
    empty_cells : ndarray of int, shape (m,)
        Cells that nobody is in.
    """

    first: Index
    second: Index
    rho: Array
    tables: Array
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
    thresholds : ndarray, shape (p, k + 1)
        From :func:`threshold_table`.
    n_levels : ndarray of int, shape (p,)
    first, second : ndarray of int, shape (m,)
    zero_cells : bool
        In a two-by-two table with an empty cell add one half to it, margins kept: the
        correlation would be -1 or 1 otherwise.

    References
    ----------
    Olsson (1979), Psychometrika 44; the half: Savalei (2011), Structural Equation Modeling 18.
    """
    counts = tables
    if zero_cells:
        counts = _filled(tables, (n_levels[first] == 2) & (n_levels[second] == 2))
    low, high = thresholds[first], thresholds[second]
    total = counts.sum(axis=(1, 2))
    rho = _pearson(counts)
    active = np.arange(len(rho))
    for _ in range(_MAX_STEPS):
        if not len(active):
            break
        now = rho[active]
        probability, slope = _cells(low[active], high[active], now)
        ratio = slope / probability
        gradient = np.einsum("mab,mab->m", counts[active], ratio) / total[active]
        information = np.einsum("mab,mab->m", slope, ratio)
        step = gradient / np.maximum(information, 1e-12)
        # Not more than half of the way to the edge at once.
        room = np.where(step > 0, _MOST - now, now + _MOST)
        step = np.sign(step) * np.minimum(np.abs(step), 0.5 * room + 1e-9)
        rho[active] = np.clip(now + step, -_MOST, _MOST)
        active = active[np.abs(step) > _TOLERANCE]
    probability, slope = _cells(low, high, rho)
    score = slope / probability
    n_cells = n_levels[first] * n_levels[second]
    return OrderedPairs(
        first=first,
        second=second,
        rho=rho,
        tables=tables,
        score=score,
        cross_first=_threshold_cross(tables * score / probability, low, high, rho),
        cross_second=_threshold_cross(
            np.swapaxes(tables * score / probability, 1, 2), high, low, rho
        ),
        information=np.einsum("mab,mab,mab->m", tables, score, score),
        empty_cells=n_cells - (tables > 0).sum(axis=(1, 2)),
    )


def _cells(low: Array, high: Array, rho: Array) -> tuple[Array, Array]:
    """Probabilities of all cells and their derivatives by rho, shape (m, k, k)."""
    h, k = low[:, :, None], high[:, None, :]
    r = rho[:, None, None]
    inside = bivariate_cdf(*np.broadcast_arrays(h, k, r))
    # At infinity the formula holds to rounding, the density is nothing.
    edge = bivariate_density(h, k, r)
    probability = np.diff(np.diff(inside, axis=1), axis=2)
    return np.maximum(probability, 1e-15), np.diff(np.diff(edge, axis=1), axis=2)


def _threshold_cross(weighted: Array, low: Array, high: Array, rho: Array) -> Array:
    r"""Sums of a cell quantity times the derivative of its probability by a row threshold.

    The threshold between rows a and a + 1 moves probability from the one to the other:
    :math:`\phi(\tau)[\Phi(u_b) - \Phi(u_{b-1})]`, :math:`u_b = (t_b - \rho\tau)/\sqrt{1-\rho^2}`.
    """
    tau = low[:, 1:-1]
    root = np.sqrt(1.0 - rho * rho)[:, None, None]
    u = (high[:, None, :] - rho[:, None, None] * tau[:, :, None]) / root
    moved = density(tau)[:, :, None] * np.diff(ndtr(u), axis=2)
    return np.einsum("mab,mab->ma", weighted[:, :-1] - weighted[:, 1:], moved)


def _filled(tables: Array, binary: npt.NDArray[np.bool_]) -> Array:
    """Tables of two binary items with a zero cell, the zero made one half."""
    out = tables.copy()
    inner = out[binary][:, :2, :2]
    zero = inner == 0.0
    # The other diagonal gives what this one gets: margins stay.
    main = zero[:, 0, 0] | zero[:, 1, 1]
    off = zero[:, 0, 1] | zero[:, 1, 0]
    shift = np.where(main & ~off, 0.5, np.where(off & ~main, -0.5, 0.0))
    change = shift[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    whole = out[binary]
    whole[:, :2, :2] = inner + change
    out[binary] = whole
    return out


def _pearson(tables: Array) -> Array:
    """Correlations of the category numbers, where the search begins."""
    k = tables.shape[1]
    codes = np.arange(k, dtype=float)
    total = tables.sum(axis=(1, 2))
    rows, columns = tables.sum(axis=2), tables.sum(axis=1)
    mean_a, mean_b = rows @ codes / total, columns @ codes / total
    var_a = rows @ codes**2 / total - mean_a**2
    var_b = columns @ codes**2 / total - mean_b**2
    both = np.einsum("mab,a,b->m", tables, codes, codes) / total - mean_a * mean_b
    root = np.sqrt(np.maximum(var_a * var_b, 1e-12))
    return np.asarray(np.clip(both / root, -0.9, 0.9))


@dataclass(frozen=True, eq=False)
class _Serial:
    """A polyserial pair at one correlation, respondent by respondent."""

    score: Array
    upper: Array
    lower: Array
    shift: Array


def _serial_scores(z: Array, low: Array, high: Array, rho: float) -> _Serial:
    root = np.sqrt(1.0 - rho * rho)
    upper, lower = (high - rho * z) / root, (low - rho * z) / root
    probability = np.maximum(ndtr(upper) - ndtr(lower), 1e-15)
    top, bottom = density(upper) / probability, density(lower) / probability
    slope = top * (rho * high - z) - bottom * (rho * low - z)
    return _Serial(slope / root**3, top / root, bottom / root, (top - bottom) * rho / root)


def polyserial(z: Array, codes: Index, thresholds: Array) -> tuple[float, _Serial]:
    """Correlation of a standardised numeric variable with an ordered item, two-step.

    Parameters
    ----------
    z : ndarray, shape (n,)
        Mean 0, variance 1 (divisor n).
    codes : ndarray of int, shape (n,)
    thresholds : ndarray, shape (k + 1,)

    Returns
    -------
    rho : float
    scores : _Serial
        Per respondent: derivatives of the log-likelihood by rho, by the thresholds above and below
        the answer, and by what z is shifted by.

    References
    ----------
    Olsson, Drasgow & Dorans (1982), Psychometrika 47.
    """
    low, high = thresholds[codes], thresholds[codes + 1]
    scale = float(density(thresholds[1:-1]).sum())
    spread = float(np.std(codes))
    rho = float(np.clip(np.mean(z * (codes - codes.mean())) / max(scale, spread * 0.5), -0.9, 0.9))

    def gradient(value: float) -> float:
        return float(_serial_scores(z, low, high, value).score.mean())

    for _ in range(_MAX_STEPS):
        here = gradient(rho)
        width = 1e-5 * (1.0 - abs(rho))
        curvature = (gradient(rho + width) - gradient(rho - width)) / (2.0 * width)
        if curvature >= 0:
            # Not concave there: a score step, which always goes uphill.
            curvature = -float((_serial_scores(z, low, high, rho).score ** 2).mean())
        step = -here / curvature
        room = _MOST - rho if step > 0 else rho + _MOST
        step = float(np.sign(step) * min(abs(step), 0.5 * room + 1e-9))
        rho = float(np.clip(rho + step, -_MOST, _MOST))
        if abs(step) < 1e-11:
            break
    return rho, _serial_scores(z, low, high, rho)
