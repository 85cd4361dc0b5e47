"""Intervals of coefficient alpha that do not assume what Feldt's does, and tests between alphas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtri

from sqvalid.reliability.coefficients import cronbach_alpha
from sqvalid.resampling import (
    bca_interval,
    jackknife_acceleration,
    percentile_interval,
    row_numbers,
)

__all__ = [
    "AlphaTest",
    "alpha_influence",
    "asymptotic_interval",
    "bonett_error",
    "bootstrap_alpha",
    "bootstrap_alpha_interval",
    "dependent_test",
    "distribution_free_error",
    "independent_test",
    "log_interval",
    "several_dependent_test",
    "several_independent_test",
]

Array = npt.NDArray[np.float64]


def log_interval(
    estimate: float, error: float, n_obs: int, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Interval of a reliability on the scale of ln(1 - reliability), nearly normal there.

    .. math:: 1 - \exp\left(\ln(1 - \hat\rho) - \ln\frac{n}{n-1}
              \pm z \frac{SE}{1 - \hat\rho}\right)

    Parameters
    ----------
    estimate, error : float
        Of the coefficient.
    n_obs : int
        Respondents.
    level : float
        Coverage.

    Returns
    -------
    tuple of float
        NaN without an estimate below 1 or a standard error.

    References
    ----------
    Bonett (2002); Bonett & Wright (2015) for the term ln(n/(n - 1)), which removes bias.
    """
    if n_obs < 2 or np.isnan(estimate) or np.isnan(error) or estimate >= 1.0:
        return float("nan"), float("nan")
    reach = float(ndtri((1.0 + level) / 2.0)) * error / (1.0 - estimate)
    centre = float(np.log1p(-estimate) - np.log(n_obs / (n_obs - 1)))
    return float(1.0 - np.exp(centre + reach)), float(1.0 - np.exp(centre - reach))


def bonett_error(alpha: float, n_obs: int, n_items: int) -> float:
    r"""Standard error of alpha for parallel items, :math:`(1 - \alpha)\sqrt{2k/((k-1)(n-2))}`.

    Parameters
    ----------
    alpha : float
        Estimated alpha.
    n_obs, n_items : int
        Respondents and items.

    Returns
    -------
    float
        NaN for fewer than two items or three respondents.

    References
    ----------
    Bonett (2002).
    """
    if n_items < 2 or n_obs < 3:
        return float("nan")
    return float((1.0 - alpha) * np.sqrt(2.0 * n_items / ((n_items - 1) * (n_obs - 2))))


def alpha_influence(values: Array) -> Array:
    r"""Influence of every respondent on alpha.

    .. math:: \frac{k}{k-1}\left(\frac{t\,(b_i - v)}{v^2} - \frac{a_i - t}{v}\right)

    with t the trace and v the sum of the covariances (divisor N), :math:`a_i` the squared
    distance of respondent i from the item means and :math:`b_i` that of the sum score.

    Parameters
    ----------
    values : ndarray (n, k)
        Complete answers.

    Returns
    -------
    ndarray (n,)
        Mean zero.
    """
    k = values.shape[1]
    centred = values - values.mean(axis=0)
    own, total = (centred**2).sum(axis=1), centred.sum(axis=1) ** 2
    t, v = own.mean(), total.mean()
    return np.asarray(k / (k - 1) * (t * (total - v) / v**2 - (own - t) / v))


def distribution_free_error(values: Array) -> float:
    """Standard error of alpha without assuming normal answers or equal loadings.

    The delta method with fourth-order moments, written as the root of the mean squared
    influence over N.

    Parameters
    ----------
    values : ndarray (n, k)
        Complete answers.

    Returns
    -------
    float
        NaN for fewer than two items.

    References
    ----------
    Maydeu-Olivares, Coffman & Hartmann (2007), Psychological Methods 12, 157-176.
    """
    n, k = values.shape
    if k < 2:
        return float("nan")
    return float(np.sqrt((alpha_influence(values) ** 2).mean() / n))


def asymptotic_interval(
    estimate: float, error: float, *, level: float = 0.95
) -> tuple[float, float]:
    """Estimate plus and minus normal quantiles of its standard error (Wald)."""
    reach = float(ndtri((1.0 + level) / 2.0)) * error
    return estimate - reach, estimate + reach


def bootstrap_alpha(values: Array, n_draws: int, seed: int) -> Array:
    """Alpha of resamples of respondents.

    Parameters
    ----------
    values : ndarray (n, k)
        Complete answers.
    n_draws : int
        Resamples, one random stream each.
    seed : int
        Seed of the streams.

    Returns
    -------
    ndarray (n_draws,)
        NaN where the sum score of a resample does not vary.
    """
    n, k = values.shape
    # Centring first keeps the differences of squares free of cancellation.
    centred = values - values.mean(axis=0)
    own, total = (centred**2).sum(axis=1), centred.sum(axis=1)
    draws = np.full(n_draws, np.nan)
    for r in range(n_draws):
        counts = np.bincount(row_numbers(seed, r, n, n), minlength=n) / n
        means = counts @ centred
        trace = counts @ own - means @ means
        variance = counts @ total**2 - means.sum() ** 2
        if variance > 0.0:
            draws[r] = k / (k - 1) * (1.0 - trace / variance)
    return draws


def bootstrap_alpha_interval(
    values: Array, *, level: float = 0.95, n_draws: int = 5000, seed: int = 20_261_125
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of alpha.

    Parameters
    ----------
    values : ndarray (n, k)
        Complete answers, at least two items.
    level : float
        Coverage.
    n_draws : int
        Resamples.
    seed : int
        Seed.

    Returns
    -------
    dict
        ``percentile`` and ``bca`` (Efron, 1987; acceleration from the jackknife).
    """
    n, k = values.shape
    estimate = cronbach_alpha(np.cov(values, rowvar=False))
    draws = bootstrap_alpha(values, n_draws, seed)[:, None]
    centred = values - values.mean(axis=0)
    # Sums without one respondent, from the sums of all: no covariance is computed n times.
    own, total = (centred**2).sum(axis=1), centred.sum(axis=1)
    means = -centred / (n - 1)
    trace = (own.sum() - own) / (n - 1) - (means**2).sum(axis=1)
    variance = ((total**2).sum() - total**2) / (n - 1) - means.sum(axis=1) ** 2
    left_out = np.where(
        variance > 0.0,
        k / (k - 1) * (1.0 - trace / np.where(variance > 0.0, variance, 1.0)),
        np.nan,
    )[:, None]
    acceleration = jackknife_acceleration(left_out, np.zeros(n, dtype=np.intp))
    point = np.array([estimate])
    intervals = {
        "percentile": percentile_interval(draws, point, level),
        "bca": bca_interval(draws, point, level, acceleration),
    }
    return {name: (float(low[0]), float(high[0])) for name, (low, high) in intervals.items()}


@dataclass(frozen=True)
class AlphaTest:
    """One test that alphas are equal.

    Parameters
    ----------
    method : str
        ``feldt_1969``, ``feldt_1980``, ``hakstian_whalen_1976``, ``woodruff_feldt_1986``.
    statistic : float
        F, t or chi-square.
    df : tuple of float
        Degrees of freedom.
    p : float
        Two-sided, or the upper tail of chi-square.
    """

    method: str
    statistic: float
    df: tuple[float, ...]
    p: float


def independent_test(alphas: Array, n_obs: Array) -> AlphaTest:
    r"""Two groups of respondents: :math:`W = (1 - \alpha_2)/(1 - \alpha_1)` follows F.

    Parameters
    ----------
    alphas : ndarray (2,)
        Estimates.
    n_obs : ndarray (2,)
        Respondents of each group.

    Returns
    -------
    AlphaTest
        The larger alpha is put below, so that W is at least 1; with N1 - 1 and N2 - 1 degrees
        of freedom, N1 the respondents of the larger alpha. `p` is twice the upper tail.

    References
    ----------
    Feldt (1969); Charter & Feldt (1996).
    """
    first, second = (0, 1) if alphas[0] >= alphas[1] else (1, 0)
    statistic = float((1.0 - alphas[second]) / (1.0 - alphas[first]))
    df = (float(n_obs[first] - 1), float(n_obs[second] - 1))
    p = min(1.0, 2.0 * float(stats.f.sf(statistic, *df)))
    return AlphaTest("feldt_1969", statistic, df, p)


def dependent_test(alphas: Array, n_obs: int, correlation: float) -> AlphaTest:
    r"""Two scales answered by the same respondents.

    .. math:: t = \frac{(\alpha_1 - \alpha_2)\sqrt{N - 2}}
              {\sqrt{4(1 - \alpha_1)(1 - \alpha_2)(1 - r^2)}}

    Parameters
    ----------
    alphas : ndarray (2,)
        Estimates.
    n_obs : int
        Respondents.
    correlation : float
        Of the two sum scores.

    Returns
    -------
    AlphaTest
        With N - 2 degrees of freedom; the sign is that of the first minus the second.

    References
    ----------
    Feldt (1980), Psychometrika 45, 99-105.
    """
    below = 4.0 * (1.0 - alphas[0]) * (1.0 - alphas[1]) * (1.0 - correlation**2)
    statistic = float((alphas[0] - alphas[1]) * np.sqrt(n_obs - 2) / np.sqrt(below))
    df = float(n_obs - 2)
    return AlphaTest("feldt_1980", statistic, (df,), 2.0 * float(stats.t.sf(abs(statistic), df)))


def _cube_root_test(method: str, alphas: Array, spread: float) -> AlphaTest:
    transformed = (1.0 - alphas) ** (-1.0 / 3.0)
    statistic = float(((transformed - transformed.mean()) ** 2).sum() / spread)
    df = float(len(alphas) - 1)
    return AlphaTest(method, statistic, (df,), float(stats.chi2.sf(statistic, df)))


def several_independent_test(alphas: Array, n_obs: Array, n_items: Array) -> AlphaTest:
    r"""Any number of groups: the cube roots :math:`(1 - \alpha)^{-1/3}` are nearly normal.

    Their variances :math:`2 / (9(\tilde n - 1)(1 - \alpha)^{2/3})`, with
    :math:`\tilde n = n(k - 1)/(k + 1)`, are averaged.

    Parameters
    ----------
    alphas, n_obs, n_items : ndarray (m,)
        Estimates, respondents, items.

    Returns
    -------
    AlphaTest
        Chi-square with m - 1 degrees of freedom.

    References
    ----------
    Hakstian & Whalen (1976); Feldt, Woodruff & Salih (1987).
    """
    effective = n_obs * (n_items - 1.0) / (n_items + 1.0)
    variances = 2.0 / (9.0 * (effective - 1.0) * (1.0 - alphas) ** (2.0 / 3.0))
    return _cube_root_test("hakstian_whalen_1976", alphas, float(variances.mean()))


def several_dependent_test(
    alphas: Array, n_obs: int, n_items: Array, correlations: Array
) -> AlphaTest:
    r"""Any number of scales answered by the same respondents.

    As :func:`several_independent_test`, less the mean covariance
    :math:`2 r_{ij}^2 / (9(\tilde n - 1)((1 - \alpha_i)(1 - \alpha_j))^{1/3})`; :math:`\tilde n`
    uses the harmonic mean of the numbers of items.

    Parameters
    ----------
    alphas, n_items : ndarray (m,)
        Estimates and items.
    n_obs : int
        Respondents.
    correlations : ndarray (m, m)
        Of the sum scores.

    Returns
    -------
    AlphaTest
        Chi-square with m - 1 degrees of freedom.

    References
    ----------
    Woodruff & Feldt (1986); Feldt, Woodruff & Salih (1987).
    """
    harmonic = len(n_items) / float((1.0 / n_items).sum())
    effective = n_obs * (harmonic - 1.0) / (harmonic + 1.0)
    roots = (1.0 - alphas) ** (-1.0 / 3.0)
    products = 2.0 * correlations**2 * np.outer(roots, roots) / (9.0 * (effective - 1.0))
    off = products[np.triu_indices(len(alphas), 1)]
    spread = float(np.diag(products).mean() - off.mean())
    return _cube_root_test("woodruff_feldt_1986", alphas, spread)
