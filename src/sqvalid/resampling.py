"""Random streams: the same numbers on every machine and every version of numpy.

Each replicate has a stream of its own, so results do not depend on how the work is divided.
Draws are made from the raw 64-bit output of PCG64 by the steps documented here, because
numpy promises the bit stream but not the distributions derived from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["normals", "row_numbers", "shuffled", "uniforms"]

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
