"""Shape of distributions: skewness, kurtosis, multivariate normality, and missingness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, ndtr

__all__ = [
    "HenzeZirkler",
    "LittleTest",
    "Mardia",
    "MomentType",
    "henze_zirkler",
    "kurtosis",
    "little_test",
    "mardia",
    "skewness",
]

Array = npt.NDArray[np.float64]
MomentType = Literal[1, 2, 3]


def _standardised_moment(values: Array, power: int) -> tuple[Array, Array]:
    """Return answers per column, and m_k / m_2^(k/2) with divisor n; NaN where constant."""
    given = ~np.isnan(values)
    n = given.sum(axis=0).astype(float)
    safe = np.maximum(n, 1.0)
    mean = np.where(given, values, 0.0).sum(axis=0) / safe
    centred = np.where(given, values - mean, 0.0)
    second = (centred**2).sum(axis=0) / safe
    moment = (centred**power).sum(axis=0) / safe
    varies = second > 1e-14 * np.maximum(mean**2, 1e-300)
    below = np.where(varies, second, 1.0) ** (power / 2.0)
    return n, np.where(varies, moment / below, np.nan)


def skewness(values: Array, kind: MomentType = 3) -> Array:
    """Skewness of every column.

    Parameters
    ----------
    values : ndarray (n, p)
        NaN where missing.
    kind : {1, 2, 3}
        1: m3 / m2^1.5, divisor n. 2: corrected as in SAS, SPSS and Excel. 3: m3 / s^3 with s
        on n - 1, as in psych.

    Returns
    -------
    ndarray (p,)
        NaN for constant columns and too few answers.

    References
    ----------
    Joanes & Gill (1998).
    """
    n, g1 = _standardised_moment(values, 3)
    if kind == 1:
        return np.asarray(g1)
    n = np.where(n > 2.0, n, np.nan)
    if kind == 2:
        return np.asarray(g1 * np.sqrt(n * (n - 1.0)) / (n - 2.0))
    return np.asarray(g1 * (1.0 - 1.0 / n) ** 1.5)


def kurtosis(values: Array, kind: MomentType = 3) -> Array:
    """Excess kurtosis of every column; types, returns and source as :func:`skewness`.

    Parameters
    ----------
    values : ndarray (n, p)
        NaN where missing.
    kind : {1, 2, 3}
        1: m4 / m2^2 - 3. 2: corrected as in SAS, SPSS and Excel. 3: m4 / s^4 - 3.

    Returns
    -------
    ndarray (p,)
    """
    n, b2 = _standardised_moment(values, 4)
    if kind == 1:
        return np.asarray(b2 - 3.0)
    n = np.where(n > 3.0, n, np.nan)
    if kind == 2:
        return np.asarray(((n + 1.0) * (b2 - 3.0) + 6.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0)))
    return np.asarray(b2 * (1.0 - 1.0 / n) ** 2 - 3.0)


@dataclass(frozen=True)
class Mardia:
    """Mardia's tests of multivariate skewness and kurtosis, over complete rows.

    Parameters
    ----------
    skewness, kurtosis : float
        b1p and b2p.
    skewness_chisq, skewness_df, skewness_p : float
        N b1p / 6 against chi-square.
    skewness_chisq_small : float
        The same with the correction for small samples.
    kurtosis_z, kurtosis_p : float
        Two-sided.
    n_obs, n_items : int
        Complete rows and columns.
    """

    skewness: float
    skewness_chisq: float
    skewness_df: float
    skewness_p: float
    skewness_chisq_small: float
    kurtosis: float
    kurtosis_z: float
    kurtosis_p: float
    n_obs: int
    n_items: int


@dataclass(frozen=True)
class HenzeZirkler:
    """Henze and Zirkler's test of multivariate normality.

    Parameters
    ----------
    statistic, p : float
        Upper tail of the lognormal approximation; NaN where its variance vanishes, as it does
        with some dozens of items.
    n_obs, n_items : int
        Complete rows and columns.
    """

    statistic: float
    p: float
    n_obs: int
    n_items: int


@dataclass(frozen=True)
class LittleTest:
    """Little's test that answers are missing completely at random.

    Parameters
    ----------
    chisq, df, p : float
        Sum over patterns of squared distances between observed and estimated means.
    n_patterns : int
        Patterns of missing answers with at least one answer.
    """

    chisq: float
    df: int
    p: float
    n_patterns: int


def _whitened(values: Array) -> Array | None:
    """Complete rows with mean 0 and covariance I (divisor N), or None where singular."""
    complete = values[~np.isnan(values).any(axis=1)]
    n, p = complete.shape
    if n <= p:
        return None
    centred = complete - complete.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    if size[-1] <= size[0] * max(n, p) * np.finfo(float).eps:
        return None
    return np.asarray(left * np.sqrt(n))


def mardia(values: Array, *, unbiased: bool = True) -> Mardia | None:
    """Test multivariate skewness and kurtosis.

    Parameters
    ----------
    values : ndarray (n, p)
        Rows with a missing cell are left out.
    unbiased : bool
        Divide the covariance by N - 1, as psych and semTools do, rather than by N.

    Returns
    -------
    Mardia or None
        None when there are not more complete rows than columns, or their covariance is
        singular.

    References
    ----------
    Mardia (1970); Mardia (1974) for the correction.
    """
    z = _whitened(values)
    if z is None:
        return None
    n, p = z.shape
    if unbiased:
        z = z * np.sqrt((n - 1.0) / n)
    # b1p is the sum of all squared third moments of the whitened columns; a product of two
    # columns stands for two cells of the cube, except on the diagonal.
    first, second = np.triu_indices(p)
    weight = np.where(first == second, 1.0, 2.0)
    moments = np.zeros((first.size, p))
    for start in range(0, n, 2048):
        part = z[start : start + 2048]
        moments += (part[:, first] * part[:, second]).T @ part
    b1 = float((weight[:, None] * (moments / n) ** 2).sum())
    b2 = float(((z * z).sum(axis=1) ** 2).mean())
    df = p * (p + 1) * (p + 2) / 6.0
    chisq = n * b1 / 6.0
    k = (p + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (p + 1) - 6.0))
    z_kurtosis = (b2 - p * (p + 2)) / np.sqrt(8.0 * p * (p + 2) / n)
    return Mardia(
        skewness=b1,
        skewness_chisq=chisq,
        skewness_df=df,
        skewness_p=float(chdtrc(df, chisq)),
        skewness_chisq_small=chisq * k,
        kurtosis=b2,
        kurtosis_z=float(z_kurtosis),
        kurtosis_p=float(2.0 * ndtr(-abs(z_kurtosis))),
        n_obs=n,
        n_items=p,
    )


def henze_zirkler(values: Array, *, block: int = 1024) -> HenzeZirkler | None:
    """Test multivariate normality by the distance of characteristic functions.

    Parameters
    ----------
    values : ndarray (n, p)
        Rows with a missing cell are left out. Time grows with the square of n.
    block : int
        Rows compared at a time.

    Returns
    -------
    HenzeZirkler or None
        None when there are not more complete rows than columns, or their covariance is
        singular.

    References
    ----------
    Henze & Zirkler (1990).
    """
    z = _whitened(values)
    if z is None:
        return None
    n, p = z.shape
    beta2 = 0.5 * ((2.0 * p + 1.0) * n / 4.0) ** (2.0 / (p + 4.0))
    length = (z * z).sum(axis=1)
    pairs = 0.0
    for start in range(0, n, block):
        part = slice(start, start + block)
        distance = length[part, None] + length - 2.0 * z[part] @ z.T
        pairs += float(np.exp(-0.5 * beta2 * np.maximum(distance, 0.0)).sum())
    single = float(np.exp(-0.5 * beta2 / (1.0 + beta2) * length).sum())
    statistic = n * (
        pairs / n**2
        - 2.0 * (1.0 + beta2) ** (-p / 2.0) * single / n
        + (1.0 + 2.0 * beta2) ** (-p / 2.0)
    )
    a = 1.0 + 2.0 * beta2
    w = (1.0 + beta2) * (1.0 + 3.0 * beta2)
    mean = 1.0 - a ** (-p / 2.0) * (1.0 + p * beta2 / a + p * (p + 2.0) * beta2**2 / (2.0 * a**2))
    terms = (
        2.0 * (1.0 + 4.0 * beta2) ** (-p / 2.0),
        2.0
        * a ** (-float(p))
        * (1.0 + 2.0 * p * beta2**2 / a**2 + 3.0 * p * (p + 2.0) * beta2**4 / (4.0 * a**4)),
        -4.0
        * w ** (-p / 2.0)
        * (1.0 + 3.0 * p * beta2**2 / (2.0 * w) + p * (p + 2.0) * beta2**4 / (2.0 * w**2)),
    )
    variance = sum(terms)
    ratio = variance / mean**2
    # With many items the terms cancel to nothing, and no lognormal is left to compare with.
    lost = variance <= 1e-9 * max(abs(term) for term in terms) or ratio < 1e-14
    tail = float("nan")
    if not lost and statistic > 0.0:
        scale = np.sqrt(np.log1p(ratio))
        location = np.log(mean) - 0.5 * np.log1p(ratio)
        tail = float(ndtr(-(np.log(statistic) - location) / scale))
    return HenzeZirkler(float(statistic), tail, n, p)


def little_test(values: Array, mean: Array, covariance: Array) -> LittleTest:
    r"""Test missingness completely at random, given the moments of the incomplete data.

    .. math:: d^2 = \sum_j n_j (\bar y_j - \hat\mu_j)' \hat\Sigma_j^{-1} (\bar y_j - \hat\mu_j)

    over patterns j of answered items, with :math:`\sum_j p_j - p` degrees of freedom.

    Parameters
    ----------
    values : ndarray (n, p)
        NaN where missing.
    mean, covariance : ndarray (p,), (p, p)
        Maximum-likelihood estimates from the incomplete data.

    Returns
    -------
    LittleTest
        p is NaN when there is one pattern only: nothing can be tested.

    References
    ----------
    Little (1988).
    """
    given = ~np.isnan(values)
    patterns, member = np.unique(given, axis=0, return_inverse=True)
    chisq, df, used = 0.0, -int(given.any(axis=0).sum()), 0
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        rows = np.flatnonzero(member.ravel() == number)
        gap = values[np.ix_(rows, pattern)].mean(axis=0) - mean[pattern]
        solved = np.linalg.solve(covariance[np.ix_(pattern, pattern)], gap)
        chisq += rows.size * float(gap @ solved)
        df += int(pattern.sum())
        used += 1
    tail = float(chdtrc(float(df), chisq)) if df > 0 else float("nan")
    return LittleTest(chisq, df, tail, used)
