"""Whether two structures agree: Tucker's congruence, and rotation of one towards the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import InputError

__all__ = ["procrustes", "tucker_congruence"]

Array = npt.NDArray[np.float64]


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[Array, Array]:
    if set(a.index) != set(b.index) or a.index.has_duplicates or b.index.has_duplicates:
        only = sorted(map(str, set(a.index) ^ set(b.index)))
        raise InputError(
            f"The two structures are of different items: {', '.join(only) or 'names twice'}.",
            remedy="Give loadings of the same items, each once.",
        )
    return a.to_numpy(dtype=float), b.loc[a.index].to_numpy(dtype=float)


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
    size = np.sqrt(np.outer((x**2).sum(axis=0), (y**2).sum(axis=0)))
    values = np.divide(x.T @ y, size, out=np.full(size.shape, np.nan), where=size > 0.0)
    return pd.DataFrame(values, index=a.columns, columns=b.columns)


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
    it compares with what random structures reach.

    References
    ----------
    Schonemann (1966), Psychometrika 31.
    """
    x, y = _paired(loadings, target)
    if x.shape != y.shape:
        raise InputError(
            f"{x.shape[1]} factors cannot be rotated towards {y.shape[1]}.",
            remedy="Extract as many factors as the target has.",
        )
    u, _, v = np.linalg.svd(x.T @ y)
    return pd.DataFrame(x @ u @ v, index=loadings.index, columns=target.columns)
