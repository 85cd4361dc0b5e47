"""Random streams: the same numbers on every machine and every version of numpy.

Each replicate has a stream of its own, so results do not depend on how the work is divided.
Draws are made from the raw 64-bit output of PCG64 by the steps documented here, because
numpy promises the bit stream but not the distributions derived from it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

__all__ = [
    "basic_interval",
    "bca_interval",
    "jackknife_acceleration",
    "normal_interval",
    "normals",
    "percentile_interval",
    "row_numbers",
    "shuffled",
    "uniforms",
]

Array = NDArray[np.float64]


def uniforms(seed: int, replicate: int, size: int) -> Array:
    """Uniform draws of one replicate.

    The upper 53 bits of each output, plus one half, times 2 to the power of -53.

    Parameters
    ----------
    seed : int
        Seed of the analysis.
    replicate : int
        Number of the stream.
    size : int
        How many draws.

    Returns
    -------
    ndarray, shape (size,)
        In the open interval (0, 1).

    Examples
    --------
    >>> bool((uniforms(1, 0, 3) == uniforms(1, 0, 5)[:3]).all())
    True
    """
    generator = np.random.PCG64(np.random.SeedSequence([seed, replicate]))
    raw = generator.random_raw(size)
    return ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(seed: int, replicate: int, size: int) -> Array:
    """Standard normal draws of one replicate: the normal quantiles of its uniforms.

    Parameters
    ----------
    seed, replicate, size : int
        As for :func:`uniforms`.

    Returns
    -------
    ndarray, shape (size,)
        Finite, because the uniforms lie in the open interval.

    Examples
    --------
    >>> abs(float(normals(1, 0, 4000).mean())) < 0.05
    True
    """
    return np.asarray(ndtri(uniforms(seed, replicate, size)), dtype=np.float64)


def row_numbers(seed: int, replicate: int, n_rows: int, size: int) -> NDArray[np.int64]:
    """Row numbers drawn with replacement: the integer part of a uniform draw times `n_rows`.

    Parameters
    ----------
    seed, replicate : int
        As for :func:`uniforms`.
    n_rows : int
        Rows to draw from.
    size : int
        How many to draw.

    Returns
    -------
    ndarray of int, shape (size,)
        From 0 to ``n_rows - 1``.

    Examples
    --------
    >>> rows = row_numbers(1, 0, 5, 1000)
    >>> int(rows.min()), int(rows.max())
    (0, 4)
    """
    return np.floor(uniforms(seed, replicate, size) * n_rows).astype(np.int64)


def shuffled(seed: int, replicate: int, n_rows: int) -> NDArray[np.int64]:
    """Row numbers in random order: the ranks of uniform draws.

    Parameters
    ----------
    seed, replicate : int
        As for :func:`uniforms`.
    n_rows : int
        Rows to put in order.

    Returns
    -------
    ndarray of int, shape (n_rows,)
        A permutation of 0 to ``n_rows - 1``.

    Examples
    --------
    >>> sorted(shuffled(1, 0, 4).tolist())
    [0, 1, 2, 3]
    """
    return np.argsort(uniforms(seed, replicate, n_rows), kind="stable").astype(np.int64)


def _quantiles(draws: Array, shares: Array) -> Array:
    """Quantiles of each column at its own shares; the k-th of R draws is the k / (R + 1) one."""
    ordered = np.sort(draws, axis=0)
    n = len(ordered)
    place = np.clip(shares * (n + 1) - 1.0, 0.0, n - 1.0)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, n - 1)
    columns = np.arange(draws.shape[1])
    part = place - below
    low, high = ordered[below, columns], ordered[above, columns]
    return np.asarray(low + part * (high - low))


def _each_column(
    draws: Array,
    estimate: Array,
    make: Callable[[Array, Array, NDArray[np.intp]], tuple[Array, Array]],
) -> tuple[Array, Array]:
    """Apply `make` to columns with the same draws missing; too few draws give NaN."""
    lower, upper = (np.full(draws.shape[1], np.nan) for _ in range(2))
    there = np.isfinite(draws)
    for pattern in np.unique(there.T, axis=0):
        columns = np.flatnonzero((pattern == there.T).all(axis=1))
        columns = columns[np.isfinite(estimate[columns])]
        if pattern.sum() < 2 or not columns.size:
            continue
        ends = make(draws[np.ix_(pattern, columns)], estimate[columns], columns)
        lower[columns], upper[columns] = ends
    return lower, upper


def percentile_interval(draws: Array, estimate: Array, level: float) -> tuple[Array, Array]:
    """Bootstrap percentile interval (Efron, 1981).

    Parameters
    ----------
    draws : ndarray, shape (R, k)
        Statistics of the resamples; NaN where a resample has none.
    estimate : ndarray, shape (k,)
        Statistics of the sample.
    level : float
        Coverage.

    Returns
    -------
    lower, upper : ndarray, shape (k,)
        NaN with fewer than two draws. The k-th smallest of R draws is taken as the
        k / (R + 1) quantile, with linear interpolation between.
    """
    tail = (1.0 - level) / 2.0

    def make(kept: Array, _: Array, columns: NDArray[np.intp]) -> tuple[Array, Array]:
        size = len(columns)
        return (
            _quantiles(kept, np.full(size, tail)),
            _quantiles(kept, np.full(size, 1.0 - tail)),
        )

    return _each_column(draws, estimate, make)


def basic_interval(draws: Array, estimate: Array, level: float) -> tuple[Array, Array]:
    """Basic bootstrap interval: the percentile one reflected at the estimate.

    Davison & Hinkley (1997). Parameters and returns as :func:`percentile_interval`.
    """
    lower, upper = percentile_interval(draws, estimate, level)
    return 2.0 * estimate - upper, 2.0 * estimate - lower


def normal_interval(draws: Array, estimate: Array, level: float) -> tuple[Array, Array]:
    """Interval from the bootstrap standard error, around the estimate less its bias.

    Davison & Hinkley (1997). Parameters and returns as :func:`percentile_interval`.
    """
    width = float(ndtri((1.0 + level) / 2.0))

    def make(kept: Array, value: Array, _: NDArray[np.intp]) -> tuple[Array, Array]:
        centre = 2.0 * value - kept.mean(axis=0)
        reach = width * kept.std(axis=0, ddof=1)
        return centre - reach, centre + reach

    return _each_column(draws, estimate, make)


def bca_interval(
    draws: Array, estimate: Array, level: float, acceleration: Array | None = None
) -> tuple[Array, Array]:
    r"""Bias-corrected and accelerated interval (Efron, 1987).

    The ends are the quantiles of the draws at

    .. math:: \Phi\left(z_0 + \frac{z_0 + z_\alpha}{1 - a (z_0 + z_\alpha)}\right)

    with :math:`z_0` the normal quantile of the share of draws below the estimate (draws that
    equal it count half).

    Parameters
    ----------
    draws, estimate, level
        As :func:`percentile_interval`.
    acceleration : ndarray, shape (k,), optional
        a; zero by default, which gives the bias-corrected interval (Efron, 1981).

    Returns
    -------
    lower, upper : ndarray, shape (k,)
        NaN also where all draws lie on one side of the estimate.
    """
    a = np.zeros(draws.shape[1]) if acceleration is None else acceleration
    half = float(ndtri((1.0 + level) / 2.0))

    def make(kept: Array, value: Array, columns: NDArray[np.intp]) -> tuple[Array, Array]:
        below = (kept < value).mean(axis=0) + 0.5 * (kept == value).mean(axis=0)
        shift = ndtri(np.where((below > 0.0) & (below < 1.0), below, np.nan))
        ends = []
        for z in (-half, half):
            total = shift + z
            share = ndtr(shift + total / (1.0 - a[columns] * total))
            # Without a share there is no end; the quantile is taken anywhere and thrown away.
            known = np.isfinite(share)
            end = _quantiles(kept, np.where(known, share, 0.5))
            ends.append(np.where(known, end, np.nan))
        return ends[0], ends[1]

    return _each_column(draws, estimate, make)


def jackknife_acceleration(left_out: Array, strata: NDArray[np.intp]) -> Array:
    r"""Acceleration of the BCa interval from the jackknife.

    .. math:: a = \frac{\sum_s \sum_i u_{si}^3 / n_s^3}{6 (\sum_s \sum_i u_{si}^2 / n_s^2)^{3/2}},
              \qquad u_{si} = (n_s - 1)(\bar\theta_s - \theta_{s(i)})

    Parameters
    ----------
    left_out : ndarray, shape (n, k)
        Statistics with one unit left out.
    strata : ndarray of int, shape (n,)
        Stratum of the unit.

    Returns
    -------
    ndarray, shape (k,)
        Zero where the statistic never moves, NaN where one is missing.

    References
    ----------
    Efron (1987); Davison & Hinkley (1997) for several samples.
    """
    cubes = squares = np.zeros(left_out.shape[1])
    for stratum in np.unique(strata):
        values = left_out[strata == stratum]
        n = len(values)
        u = (n - 1) * (values.mean(axis=0) - values)
        cubes = cubes + (u**3).sum(axis=0) / n**3
        squares = squares + (u**2).sum(axis=0) / n**2
    moved = squares > 0.0
    below = 6.0 * np.where(moved, squares, np.nan) ** 1.5
    return np.where(squares == 0.0, 0.0, cubes / below)
