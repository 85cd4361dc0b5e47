"""Lower bounds to reliability and split halves, as functions of one covariance matrix.

With correlations instead of covariances every number is that of the sum of standardised items,
which is what psych's ``guttman`` and ``splitHalf`` print.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from sqvalid.reliability.coefficients import (
    correlation_from_covariance,
    is_regular,
    sum_varies,
)
from sqvalid.resampling import uniforms

__all__ = [
    "SplitHalves",
    "armor_theta",
    "guttman_bounds",
    "odd_even_reliability",
    "spearman_brown",
    "split_halves",
    "ten_berge_bounds",
]

Array = npt.NDArray[np.float64]

# Up to this many items all splits are tried (6,435 at most), beyond it random ones.
_ALL_SPLITS = 16


@dataclass(frozen=True)
class SplitHalves:
    """What every split of a scale into two halves says about its reliability.

    Parameters
    ----------
    largest, smallest, mean : float
        Of the coefficients of Flanagan and Rulon over the splits; `largest` is Guttman's
        lambda-4, `smallest` stands for Revelle's beta. For an even number of items the mean
        over all splits is alpha.
    quantiles : tuple of float
        2.5%, 50% and 97.5%.
    best : tuple of int
        Places of the items of one half of the best split, the first item's half.
    n_splits : int
        How many splits were tried.
    exhaustive : bool
        Whether these are all.
    """

    largest: float
    smallest: float
    mean: float
    quantiles: tuple[float, float, float]
    best: tuple[int, ...]
    n_splits: int
    exhaustive: bool


def spearman_brown(reliability: float, length: float = 2.0) -> float:
    r"""Reliability of a test `length` times as long, :math:`L r / (1 + (L - 1) r)`.

    Parameters
    ----------
    reliability : float
        Of the test as it is (for two halves: their correlation).
    length : float
        Factor by which the number of parallel items changes.

    Returns
    -------
    float
        NaN where the denominator is not positive.

    References
    ----------
    Spearman (1910); Brown (1910).
    """
    below = 1.0 + (length - 1.0) * reliability
    return length * reliability / below if below > 0.0 else float("nan")


def guttman_bounds(covariance: Array, *, seed: int = 20_261_125) -> dict[str, float]:
    r"""Guttman's six lower bounds.

    With C the covariances, V = 1'C1 and C2 the sum of squared off-diagonal elements:
    lambda-1 is :math:`1 - tr(C)/V`; lambda-2 adds :math:`\sqrt{k C_2/(k-1)}/V` to it; lambda-3
    is alpha; lambda-4 is the best split half; lambda-5 adds twice the root of the largest
    column sum of squared off-diagonal elements, over V; lambda-6 uses squared multiple
    correlations.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances or correlations.
    seed : int
        For the random splits of lambda-4 beyond sixteen items.

    Returns
    -------
    dict of str to float
        ``lambda1`` to ``lambda6``; NaN for fewer than two items.

    References
    ----------
    Guttman (1945), Psychometrika 10, 255-282.
    """
    k = covariance.shape[0]
    names = [f"lambda{i}" for i in range(1, 7)]
    if k < 2 or not sum_varies(covariance):
        return dict.fromkeys(names, float("nan"))
    total = float(covariance.sum())
    off = covariance - np.diag(np.diag(covariance))
    first = 1.0 - float(np.trace(covariance)) / total
    return {
        "lambda1": first,
        "lambda2": first + float(np.sqrt(k / (k - 1) * (off**2).sum())) / total,
        "lambda3": k / (k - 1) * first,
        "lambda4": split_halves(covariance, seed=seed).largest,
        "lambda5": first + 2.0 * float(np.sqrt((off**2).sum(axis=0).max())) / total,
        "lambda6": _sixth(covariance),
    }


def _sixth(covariance: Array) -> float:
    # Residual variances of the items given the others, in the metric of the covariances.
    k = covariance.shape[0]
    correlation = correlation_from_covariance(covariance)
    if not is_regular(correlation):
        return float("nan")
    residual = 1.0 / np.diag(np.linalg.solve(covariance, np.eye(k)))
    return float(1.0 - residual.sum() / covariance.sum())


def ten_berge_bounds(covariance: Array, n_bounds: int = 4) -> tuple[float, ...]:
    r"""Ten Berge and Zegers' series of bounds, alpha first and lambda-2 second.

    .. math:: \mu_r = \frac{1}{V}\left(p_0 + \left(p_1 + \dots
              \left(p_{r-1} + p_r^{1/2}\right)^{1/2} \dots\right)^{1/2}\right)

    with :math:`p_h = \sum_{i \ne j} c_{ij}^{2^h}`, the last of them times k/(k - 1).

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances or correlations.
    n_bounds : int
        How many terms, mu-0 counted.

    Returns
    -------
    tuple of float
        Never falling; NaN for fewer than two items.

    References
    ----------
    ten Berge & Zegers (1978), Psychometrika 43, 575-579.
    """
    k = covariance.shape[0]
    if k < 2 or not sum_varies(covariance):
        return (float("nan"),) * n_bounds
    off = covariance[~np.eye(k, dtype=bool)]
    total = float(covariance.sum())
    found = []
    for last in range(n_bounds):
        value = k / (k - 1) * float((off ** (2**last)).sum())
        for h in range(last - 1, -1, -1):
            value = float((off ** (2**h)).sum()) + np.sqrt(value)
        found.append(value / total)
    return tuple(found)


def armor_theta(correlation: Array) -> float:
    r"""Alpha of the best weighted sum, :math:`\frac{k}{k-1}(1 - 1/\lambda_1)`.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations; :math:`\lambda_1` is their largest eigenvalue.

    Returns
    -------
    float
        NaN for fewer than two items.

    References
    ----------
    Armor (1974).
    """
    k = correlation.shape[0]
    if k < 2:
        return float("nan")
    return float(k / (k - 1) * (1.0 - 1.0 / np.linalg.eigvalsh(correlation)[-1]))


def split_halves(
    covariance: Array, *, n_random: int = 10_000, seed: int = 20_261_125
) -> SplitHalves:
    r"""Reliability by all splits into two halves (by random ones beyond sixteen items).

    A split with scores A and B gives :math:`4\,cov(A, B) / var(A + B)`, the coefficient of
    Flanagan and Rulon, which does not ask the halves to have equal variances. Halves of an
    odd number of items differ by one item.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances or correlations.
    n_random : int
        Random splits where there are too many to try all; the best of these is a lower bound
        of lambda-4 itself.
    seed : int
        Of the random splits.

    Returns
    -------
    SplitHalves
        NaN throughout for fewer than two items.

    References
    ----------
    Rulon (1939); Guttman (1945); Revelle (1979); Benton (2015).
    """
    k = covariance.shape[0]
    nan = float("nan")
    if k < 2 or not sum_varies(covariance):
        return SplitHalves(nan, nan, nan, (nan, nan, nan), (), 0, False)
    exhaustive = k <= _ALL_SPLITS
    inside = _every_split(k) if exhaustive else _random_splits(k, n_random, seed)
    side = inside.astype(float)
    with_all = side @ covariance.sum(axis=1)
    within = ((side @ covariance) * side).sum(axis=1)
    values = 4.0 * (with_all - within) / covariance.sum()
    place = int(values.argmax())
    half = inside[place] if inside[place, 0] else ~inside[place]
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    return SplitHalves(
        float(values.max()),
        float(values.min()),
        float(values.mean()),
        (float(low), float(middle), float(high)),
        tuple(np.flatnonzero(half).tolist()),
        len(values),
        exhaustive,
    )


def _every_split(k: int) -> npt.NDArray[np.bool_]:
    size = k // 2
    # Of an even number every split would appear twice: the first item fixes the side.
    fixed = 2 * size == k
    count = comb(k - 1, size - 1) if fixed else comb(k, size)
    inside = np.zeros((count, k), dtype=bool)
    rest = range(1, k) if fixed else range(k)
    for row, chosen in enumerate(combinations(rest, size - 1 if fixed else size)):
        inside[row, list(chosen)] = True
    if fixed:
        inside[:, 0] = True
    return inside


def _random_splits(k: int, n_random: int, seed: int) -> npt.NDArray[np.bool_]:
    order = uniforms(seed, 0, n_random * k).reshape(n_random, k).argsort(axis=1, kind="stable")
    return np.asarray(order.argsort(axis=1, kind="stable") < k // 2)


def odd_even_reliability(covariance: Array) -> tuple[float, float, float]:
    """Correlation of odd and even items, stepped up, and Flanagan and Rulon's coefficient.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances in the order of the questionnaire.

    Returns
    -------
    correlation, spearman_brown, rulon : float
        NaN for fewer than two items.
    """
    k = covariance.shape[0]
    if k < 2 or not sum_varies(covariance):
        return (float("nan"),) * 3
    odd = np.arange(k) % 2 == 0
    first, second = covariance[np.ix_(odd, odd)].sum(), covariance[np.ix_(~odd, ~odd)].sum()
    cross = covariance[np.ix_(odd, ~odd)].sum()
    r = float(cross / np.sqrt(first * second)) if first > 0.0 < second else float("nan")
    return r, spearman_brown(r), float(4.0 * cross / covariance.sum())
