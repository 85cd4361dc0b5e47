"""Whether two structures agree: Tucker's congruence, and rotation of one towards the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import InputError
from sqvalid.rotation import rotate

__all__ = [
    "column_congruence", "oblique_procrustes", "orthogonal_procrustes", "procrustes",
    "tucker_congruence",
]  # fmt: skip

Array = npt.NDArray[np.float64]


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[Array, Array]:
    if set(a.index) != set(b.index) or a.index.has_duplicates or b.index.has_duplicates:
        only = sorted(map(str, set(a.index) ^ set(b.index)))
        raise InputError(
            f"The two structures are of different items: {', '.join(only) or 'names twice'}.",
            remedy="Give loadings of the same items, each once.",
        )
    return a.to_numpy(dtype=float), b.loc[a.index].to_numpy(dtype=float)


def column_congruence(a: Array, b: Array) -> Array:
    """Tucker's congruence of columns.

    Parameters
    ----------
    a, b : ndarray, shapes (p, k) and (p, h)

    Returns
    -------
    ndarray, shape (k, h)
        NaN for a column of zeros.
    """
    size = np.sqrt(np.outer((a**2).sum(axis=0), (b**2).sum(axis=0)))
    return np.asarray(np.divide(a.T @ b, size, out=np.full(size.shape, np.nan), where=size > 0.0))


def orthogonal_procrustes(loadings: Array, target: Array) -> Array:
    """Loadings rotated orthogonally as near as they come to a target (Schonemann 1966)."""
    u, _, v = np.linalg.svd(loadings.T @ target)
    return np.asarray(loadings @ u @ v)


def tucker_congruence(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    r"""Congruence of every factor of one solution with every factor of another.

    .. math:: \phi = \sum x y / \sqrt{\sum x^2 \sum y^2}

    Parameters
    ----------
    a, b : pandas.DataFrame
        Loadings, items by factors, of the same items in any order.

    Returns
    -------
    pandas.DataFrame
        Factors of `a` by factors of `b`. From .85 fair, from .95 equal (Lorenzo-Seva & ten
        Berge 2006). NaN for a factor without loadings.

    Raises
    ------
    InputError
        The items are not the same.

    References
    ----------
    Tucker (1951); Lorenzo-Seva & ten Berge (2006).
    """
    x, y = _paired(a, b)
    return pd.DataFrame(column_congruence(x, y), index=a.columns, columns=b.columns)


def procrustes(loadings: pd.DataFrame, target: pd.DataFrame) -> pd.DataFrame:
    """Rotate loadings orthogonally as near as they come to a target.

    Parameters
    ----------
    loadings, target : pandas.DataFrame
        Of the same items and as many factors.

    Returns
    -------
    pandas.DataFrame
        Rotated loadings with the columns of the target.

    Raises
    ------
    InputError
        Other items, or another number of factors.

    Notes
    -----
    Congruence after it is high by construction when there are few items: what counts is how
    it compares with what random structures reach, see :func:`assess_replication`.

    References
    ----------
    Schonemann (1966), Psychometrika 31.
    """
    x, y = _same_size(loadings, target)
    return pd.DataFrame(
        orthogonal_procrustes(x, y), index=loadings.index, columns=target.columns
    )  # fmt: skip


def oblique_procrustes(
    loadings: pd.DataFrame, target: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rotate loadings obliquely as near as they come to a target.

    Parameters
    ----------
    loadings, target : pandas.DataFrame
        Of the same items and as many factors; the loadings are those of uncorrelated factors, the
        target is a pattern, with NaN where nothing is specified.

    Returns
    -------
    pattern : pandas.DataFrame
        With the columns of the target.
    factor_correlations : pandas.DataFrame

    Raises
    ------
    InputError
        Other items, or another number of factors.

    References
    ----------
    Gruvaeus (1970), Psychometrika 35; partially specified: Browne (1972).
    """
    x, y = _same_size(loadings, target)
    start = orthogonal_procrustes(x, np.nan_to_num(y, nan=0.5))
    found = rotate(start, "target", target=y)
    names = target.columns
    return (
        pd.DataFrame(found.loadings, index=loadings.index, columns=names),
        pd.DataFrame(found.phi, index=names, columns=names),
    )


def _same_size(loadings: pd.DataFrame, target: pd.DataFrame) -> tuple[Array, Array]:
    x, y = _paired(loadings, target)
    if x.shape != y.shape:
        raise InputError(
            f"{x.shape[1]} factors cannot be rotated towards {y.shape[1]}.",
            remedy="Extract as many factors as the target has.",
        )
    return x, y
