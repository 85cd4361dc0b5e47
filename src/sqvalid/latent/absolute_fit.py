r"""Absolute fit indices: what is computed from one statistic or one likelihood.

Every function takes plain numbers and returns one number. An index that is not defined
for its arguments is NaN; :func:`sqvalid.latent.fit_indices.undefined` tells why.

Symbols used below: :math:`T` and :math:`d` are the model's statistic and degrees of freedom,
:math:`c` its scaling factor (1 where nothing is scaled), :math:`n` the multiplier of the
discrepancy (N under the normal likelihood, N - G under Wishart), :math:`G` the number of
groups.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special

NAN = math.nan


def chisq_pvalue(stat: float, df: float) -> float:
    """Upper tail of the central chi-square distribution.

    Parameters
    ----------
    stat : float
        Test statistic.
    df : float
        Degrees of freedom, possibly not an integer.

    Returns
    -------
    float
        In [0, 1]; NaN when `df` is not positive.
    """
    if not df > 0 or math.isnan(stat):
        return NAN
    return float(special.gammaincc(df / 2.0, max(stat, 0.0) / 2.0))


def noncentral_chisq_sf(stat: float, df: float, noncentrality: float) -> float:
    r"""Upper tail of the noncentral chi-square distribution.

    .. math:: \sum_j \mathrm{Poisson}(j; \lambda/2)\, P(\chi^2_{d + 2j} > x)

    The sum is taken where its terms matter, so that tails of 1e-100 keep their digits; one
    minus the distribution function would lose them.

    Parameters
    ----------
    stat : float
        The point x.
    df : float
        Degrees of freedom, > 0.
    noncentrality : float
        Lambda, >= 0.

    Returns
    -------
    float
        In [0, 1]; NaN when `df` is not positive.

    References
    ----------
    Johnson, Kotz & Balakrishnan (1995), Continuous univariate distributions 2, ch. 29.
    """
    if not df > 0 or math.isnan(stat) or math.isnan(noncentrality):
        return NAN
    if stat <= 0:
        return 1.0
    rate = noncentrality / 2.0
    if rate == 0:
        return chisq_pvalue(stat, df)
    # Terms peak between the Poisson mean and, for far upper tails, sqrt(lambda x) / 2.
    peak = max(rate, math.sqrt(noncentrality * stat) / 2.0)
    first = max(0, math.floor(min(rate, peak) - 12.0 * math.sqrt(rate) - 20.0))
    last = math.ceil(peak + 12.0 * math.sqrt(peak) + 40.0)
    j = np.arange(first, last + 1, dtype=float)
    log_weight = j * math.log(rate) - rate - special.gammaln(j + 1.0)
    tails = special.gammaincc(df / 2.0 + j, stat / 2.0)
    return min(1.0, float(np.exp(log_weight) @ tails))


@lru_cache(maxsize=64)
def noncentrality_bounds(stat: float, df: float, *, level: float = 0.90) -> tuple[float, float]:
    """Confidence limits of the noncentrality parameter behind a chi-square statistic.

    Parameters
    ----------
    stat : float
        Test statistic.
    df : float
        Degrees of freedom.
    level : float
        Confidence level of the two-sided interval.

    Returns
    -------
    tuple of float
        Lower and upper limit, each 0 where the distribution function at `stat` does not
        reach that limit's probability; (0, 0) when `df` is 0, NaN when it is negative.

    References
    ----------
    Steiger & Lind (1980); Browne & Cudeck (1993).
    """
    if df < 0 or math.isnan(stat) or math.isnan(df):
        return NAN, NAN
    if df == 0:
        return 0.0, 0.0
    tail = (1.0 - level) / 2.0
    central = float(special.gammainc(df / 2.0, max(stat, 0.0) / 2.0))
    lower, upper = (
        float(special.chndtrinc(stat, df, probability)) if central > probability else 0.0
        for probability in (1.0 - tail, tail)
    )
    return lower, upper


# --- Root mean square error of approximation --------------------------------------------------


def rmsea(
    stat: float, df: float, multiplier: float, *, n_groups: int = 1, scaling: float = 1.0
) -> float:
    r"""Root mean square error of approximation.

    .. math:: \sqrt{G}\,\sqrt{\max(T - c d, 0) / (n d)}

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    n_groups : int
        Number of groups.
    scaling : float
        Scaling factor; with the unscaled statistic it gives the robust RMSEA.

    Returns
    -------
    float
        >= 0, unitless; 0 when `df` is 0, NaN when it is negative.

    References
    ----------
    Steiger & Lind (1980); Browne & Cudeck (1993); several groups: Steiger (1998);
    robust: Brosseau-Liard, Savalei & Li (2012).
    """
    if math.isnan(stat) or df < 0:
        return NAN
    if df == 0:
        return 0.0
    return math.sqrt(max(stat - scaling * df, 0.0) / (multiplier * df)) * math.sqrt(n_groups)


def rmsea_interval(
    stat: float,
    df: float,
    multiplier: float,
    *,
    n_groups: int = 1,
    scaling: float = 1.0,
    level: float = 0.90,
) -> tuple[float, float]:
    r"""Confidence interval of the RMSEA.

    The limits of the noncentrality of :math:`T / c`, times c, on the scale of the index.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    n_groups : int
        Number of groups.
    scaling : float
        Scaling factor; with the unscaled statistic it gives the robust interval.
    level : float
        Confidence level.

    Returns
    -------
    tuple of float
        Lower and upper limit; (0, 0) when `df` is 0, NaN when `stat` is.

    References
    ----------
    Browne & Cudeck (1993); robust: Savalei (2018).
    """
    if math.isnan(stat):
        return NAN, NAN
    if df == 0:
        return 0.0, 0.0
    lower, upper = noncentrality_bounds(stat / scaling, df, level=level)
    return (
        math.sqrt(n_groups * scaling * lower / (multiplier * df)),
        math.sqrt(n_groups * scaling * upper / (multiplier * df)),
    )


def rmsea_close_pvalue(
    stat: float,
    df: float,
    multiplier: float,
    *,
    n_groups: int = 1,
    scaling: float = 1.0,
    h0: float = 0.05,
) -> float:
    """P-value of the hypothesis that the RMSEA is at most `h0` (close fit).

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    n_groups : int
        Number of groups.
    scaling : float
        Scaling factor; with the unscaled statistic it gives the robust test.
    h0 : float
        RMSEA under the hypothesis.

    Returns
    -------
    float
        NaN when `df` is not positive.

    References
    ----------
    Browne & Cudeck (1993).
    """
    if not df > 0:
        return NAN
    ncp = multiplier * df * h0**2 / (scaling * n_groups)
    return noncentral_chisq_sf(stat / scaling, df, ncp)


def rmsea_notclose_pvalue(
    stat: float,
    df: float,
    multiplier: float,
    *,
    n_groups: int = 1,
    scaling: float = 1.0,
    h0: float = 0.08,
) -> float:
    """P-value of the hypothesis that the RMSEA is at least `h0` (not-close fit).

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    n_groups : int
        Number of groups.
    scaling : float
        Scaling factor; with the unscaled statistic it gives the robust test.
    h0 : float
        RMSEA under the hypothesis.

    Returns
    -------
    float
        NaN when `df` is not positive.

    References
    ----------
    MacCallum, Browne & Sugawara (1996).
    """
    if not df > 0 or math.isnan(stat):
        return NAN
    ncp = multiplier * df * h0**2 / (scaling * n_groups)
    return float(special.chndtr(max(stat, 0.0) / scaling, df, ncp))


# --- Goodness of fit after Maydeu-Olivares ----------------------------------------------------


def gfi(
    stat: float, df: float, multiplier: float, n_variables: int, *, scaling: float = 1.0
) -> float:
    r"""Goodness of fit index, estimated without bias from the residual statistic.

    .. math:: \frac{p}{p + 2\,\max(T - c d, 0) / n}

    Parameters
    ----------
    stat : float
        Browne's residual statistic with normal-theory weights at the model's estimates
        (reweighted least squares), not the likelihood-ratio chi-square.
    df : float
        Degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    n_variables : int
        p, observed variables per group.
    scaling : float
        Scaling factor for the robust version.

    Returns
    -------
    float
        In (0, 1]; NaN when `df` is negative.

    References
    ----------
    Maydeu-Olivares, Ximenez & Revuelta (2024).
    """
    if math.isnan(stat) or df < 0:
        return NAN
    return _gfi_at(max(stat - scaling * df, 0.0), multiplier, n_variables)


def gfi_interval(
    stat: float,
    df: float,
    multiplier: float,
    n_variables: int,
    *,
    scaling: float = 1.0,
    level: float = 0.90,
) -> tuple[float, float]:
    """Confidence interval of :func:`gfi`.

    Parameters
    ----------
    stat : float
        Browne's residual statistic (see :func:`gfi`).
    df : float
        Degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    n_variables : int
        p, observed variables per group.
    scaling : float
        Scaling factor for the robust version.
    level : float
        Confidence level.

    Returns
    -------
    tuple of float
        Lower and upper limit, in (0, 1].

    References
    ----------
    Maydeu-Olivares, Ximenez & Revuelta (2024).
    """
    low, high = noncentrality_bounds(stat / scaling, df, level=level)
    return (
        _gfi_at(scaling * high, multiplier, n_variables),
        _gfi_at(scaling * low, multiplier, n_variables),
    )


def _gfi_at(noncentrality: float, multiplier: float, n_variables: int) -> float:
    return n_variables / (n_variables + 2.0 * noncentrality / multiplier)


# --- Likelihood and cross-validation ----------------------------------------------------------


def aic(logl: float, n_free: int) -> float:
    """Akaike information criterion: ``-2 logl + 2 q``.

    Parameters
    ----------
    logl : float
        Log-likelihood at the estimates.
    n_free : int
        Free parameters q, after equality constraints.

    Returns
    -------
    float
        Smaller is better.

    References
    ----------
    Akaike (1987).
    """
    return -2.0 * logl + 2.0 * n_free


def bic(logl: float, n_free: int, n_total: float) -> float:
    """Bayesian information criterion: ``-2 logl + q ln N``.

    Parameters
    ----------
    logl : float
        Log-likelihood at the estimates.
    n_free : int
        Free parameters q, after equality constraints.
    n_total : float
        Cases over all groups.

    Returns
    -------
    float
        Smaller is better.

    References
    ----------
    Schwarz (1978).
    """
    return -2.0 * logl + n_free * math.log(n_total)


def bic2(logl: float, n_free: int, n_total: float) -> float:
    """Sample-size adjusted BIC: N is replaced by (N + 2) / 24.

    Parameters
    ----------
    logl : float
        Log-likelihood at the estimates.
    n_free : int
        Free parameters q, after equality constraints.
    n_total : float
        Cases over all groups.

    Returns
    -------
    float
        Smaller is better.

    References
    ----------
    Sclove (1987).
    """
    return bic(logl, n_free, (n_total + 2.0) / 24.0)


def critical_n(stat: float, df: float, multiplier: float, *, alpha: float) -> float:
    r"""Hoelter's critical N: the sample size at which the model would just be rejected.

    .. math:: \chi^2_{1-\alpha}(d) / (T / n) + 1

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.
    alpha : float
        Level of the test.

    Returns
    -------
    float
        NaN when `df` or `stat` is not positive.

    References
    ----------
    Hoelter (1983).
    """
    if not df > 0 or not stat > 0:
        return NAN
    return float(special.chdtri(df, alpha)) / (stat / multiplier) + 1.0


def mfi(stat: float, df: float, multiplier: float) -> float:
    """McDonald's noncentrality index: ``exp(-(T - d) / (2 n))``.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.

    Returns
    -------
    float
        > 0, about 1 for a model that fits; NaN when `df` is negative.

    References
    ----------
    McDonald (1989).
    """
    return NAN if df < 0 else math.exp(-0.5 * (stat - df) / multiplier)


def ecvi(stat: float, df: float, n_free: int, multiplier: float) -> float:
    """Expected cross-validation index: ``(T + 2 q) / n``.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    n_free : int
        Free parameters q, after equality constraints.
    multiplier : float
        n: N under the normal likelihood, N - G under Wishart.

    Returns
    -------
    float
        Smaller is better; NaN when `df` is negative.

    References
    ----------
    Browne & Cudeck (1993).
    """
    return NAN if df < 0 else (stat + 2.0 * n_free) / multiplier
