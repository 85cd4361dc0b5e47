"""Items that point against the others of their dimension: reverse wording that was not turned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["SUSPECTED_COLUMNS", "items_against", "rest_correlations", "suspected_reversed"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SUSPECTED_COLUMNS = (
    "dimension",
    "item",
    "item_rest_r",
    "item_rest_r_if_turned",
    "smallest_item_rest_r_before",
    "smallest_item_rest_r_after",
    "direction_known",
    "n_obs",
)


def items_against(correlation: Array) -> Bools:
    """Tell which items point against the others on the first principal component.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations without a missing value.

    Returns
    -------
    ndarray (k,) of bool
        The smaller camp is True; in a tie the camp without the first item.
    """
    direction = np.linalg.eigh(correlation)[1][:, -1]
    against = direction < 0.0
    if 2 * against.sum() > against.size or (2 * against.sum() == against.size and against[0]):
        against = ~against
    return np.asarray(against)


def rest_correlations(values: Array) -> Array:
    """Correlation of each column with the row mean of the other columns.

    Parameters
    ----------
    values : ndarray (n, k)
        NaN where missing: the mean is over the answers that are there.

    Returns
    -------
    ndarray (k,)
        NaN where one side does not vary or fewer than three rows have both.
    """
    given = ~np.isnan(values)
    filled = np.where(given, values, 0.0)
    count = given.sum(axis=1, keepdims=True) - given
    rest = np.where(count > 0, (filled.sum(axis=1, keepdims=True) - filled), np.nan)
    rest = rest / np.maximum(count, 1)
    result = np.full(values.shape[1], np.nan)
    for i in range(values.shape[1]):
        both = given[:, i] & ~np.isnan(rest[:, i])
        x, y = values[both, i], rest[both, i]
        if both.sum() > 2 and np.ptp(x) > 0.0 and np.ptp(y) > 0.0:
            result[i] = float(np.corrcoef(x, y)[0, 1])
    return result


def suspected_reversed(
    keyed: pd.DataFrame, dimensions: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Find items whose answers run against the others of their dimension.

    An item is suspected when it lies in the smaller camp on the first principal component of
    its dimension and its correlation with the mean of the others, those of its camp turned,
    is negative. Within a dimension split in two equal camps the data cannot say which camp
    is the reversed one: ``direction_known`` is False and the camp without the first item is
    named. Two-item dimensions can only be told to disagree.

    Parameters
    ----------
    keyed : pandas.DataFrame
        Answers as they are to be added up.
    dimensions : mapping of str to sequence of str
        Items of each dimension.

    Returns
    -------
    pandas.DataFrame
        One row per suspected item: ``dimension item item_rest_r`` (correlation with the mean
        of the other items, the suspected ones among these turned: negative) ``
        item_rest_r_if_turned smallest_item_rest_r_before smallest_item_rest_r_after`` (lowest
        item-rest correlation of the dimension as it is, and with all suspected items turned)
        ``direction_known n_obs``.
    """
    rows: list[dict[str, object]] = []
    for dimension, items in dimensions.items():
        values = keyed[list(items)].to_numpy(dtype=float)
        complete = values[~np.isnan(values).any(axis=1)]
        if len(complete) < 3:
            continue
        spread = np.ptp(complete, axis=0)
        varying = np.flatnonzero(spread > 0.0)
        if varying.size < 2:
            continue
        against = np.zeros(len(items), dtype=bool)
        against[varying] = items_against(np.corrcoef(complete[:, varying], rowvar=False))
        if not against.any():
            continue
        low, high = np.nanmin(values), np.nanmax(values)
        turned = np.where(against, low + high - values, values)
        before, after = rest_correlations(values), rest_correlations(turned)
        # Both are unchanged in size when an item is turned: the sign is what is at stake.
        chosen = against & (after > 0.0)
        rows += [
            {
                "dimension": dimension,
                "item": item,
                "item_rest_r": -float(after[i]),
                "item_rest_r_if_turned": float(after[i]),
                "smallest_item_rest_r_before": float(np.nanmin(before)),
                "smallest_item_rest_r_after": float(np.nanmin(after)),
                "direction_known": 2 * int(against.sum()) < int(varying.size),
                "n_obs": int((~np.isnan(values[:, i])).sum()),
            }
            for i, item in enumerate(items)
            if chosen[i]
        ]
    return pd.DataFrame(rows, columns=list(SUSPECTED_COLUMNS))
