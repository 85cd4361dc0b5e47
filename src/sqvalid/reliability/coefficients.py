"""Coefficients of reliability as functions of covariance matrices and loadings.

A published matrix serves as well as raw answers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri

__all__ = [
    "alpha_standard_error",
    "average_variance_extracted",
    "correlation_from_covariance",
    "cronbach_alpha",
    "feldt_interval",
    "guttman_lambda6",
    "is_regular",
    "item_rest_correlations",
    "item_total_correlations",
    "omega_total",
    "overlap_corrected_correlations",
    "squared_multiple_correlations",
    "standardized_alpha",
    "sum_varies",
    "weighted_variance_extracted",
]

Array = npt.NDArray[np.float64]

# Smallest eigenvalue of a correlation matrix that still counts as regular, and smallest share
# of the item variances that the variance of their sum may be.
_SINGULAR = 1e-12


def sum_varies(covariance: Array) -> bool:
    """Whether the sum of the items varies; without that nothing of it is reliable or not.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances.

    Returns
    -------
    bool
        False for items that cancel each other, as an item and its reverse do.
    """
    return bool(covariance.sum() > _SINGULAR * np.trace(covariance))


def is_regular(correlation: Array) -> bool:
    """Whether a correlation matrix is positive definite to working accuracy.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations.

    Returns
    -------
    bool
        False where an item is a sum of others.
    """
    return bool(np.linalg.eigvalsh(correlation)[0] > _SINGULAR * len(correlation))


def correlation_from_covariance(covariance: Array) -> Array:
    """Return the correlation matrix of a covariance matrix.

    Parameters
    ----------
    covariance : ndarray (p, p)
        Variances on the diagonal must be positive.

    Returns
    -------
    ndarray (p, p)
        Exactly 1 on the diagonal.
    """
    scale = np.sqrt(np.diag(covariance))
    correlation: Array = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def cronbach_alpha(covariance: Array) -> float:
    r"""Coefficient alpha of an unweighted sum score.

    .. math:: \frac{k}{k-1}\left(1 - \frac{\mathrm{tr}\,C}{1'C1}\right)

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances; the divisor cancels.

    Returns
    -------
    float
        At most 1; negative when items disagree. NaN for fewer than two items, and where their
        sum does not vary.

    References
    ----------
    Cronbach (1951).
    """
    k = covariance.shape[0]
    if k < 2 or not sum_varies(covariance):
        return float("nan")
    return float(k / (k - 1) * (1.0 - np.trace(covariance) / covariance.sum()))


def standardized_alpha(correlation: Array) -> float:
    """Coefficient alpha of the sum of standardised items.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations.

    Returns
    -------
    float
        NaN for fewer than two items.
    """
    return cronbach_alpha(correlation)


def feldt_interval(
    alpha: float, n_obs: int, n_items: int, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Confidence interval of coefficient alpha.

    ``(1 - alpha) / (1 - estimate)`` follows F with (N - 1)(k - 1) and N - 1 degrees of
    freedom when items are normal and compound symmetric.

    Parameters
    ----------
    alpha : float
        Estimated raw alpha.
    n_obs : int
        Respondents.
    n_items : int
        Items of the scale.
    level : float
        Coverage.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN where there is no alpha or no degree of freedom.

    References
    ----------
    Feldt (1965); Feldt, Woodruff & Salih (1987).
    """
    df1 = n_obs - 1
    df2 = df1 * (n_items - 1)
    if df1 < 1 or df2 < 1 or np.isnan(alpha):
        return float("nan"), float("nan")
    tail = (1.0 - level) / 2.0
    upper_quantile, lower_quantile = fdtri(df1, df2, np.array([1.0 - tail, tail]))
    return (
        float(1.0 - (1.0 - alpha) * upper_quantile),
        float(1.0 - (1.0 - alpha) * lower_quantile),
    )


def alpha_standard_error(covariance: Array, n_obs: int) -> float:
    """Large-sample standard error of coefficient alpha under normality.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances.
    n_obs : int
        Respondents.

    Returns
    -------
    float
        NaN for fewer than two items.

    References
    ----------
    van Zyl, Neudecker & Nel (2000); Duhachek & Iacobucci (2004).
    """
    k = covariance.shape[0]
    if k < 2 or not sum_varies(covariance):
        return float("nan")
    total = float(covariance.sum())
    trace = float(np.trace(covariance))
    square = covariance @ covariance
    bracket = total * (float(np.trace(square)) + trace**2) - 2.0 * trace * float(square.sum())
    variance = 2.0 * k**2 / ((k - 1) ** 2 * total**3) * bracket
    return float(np.sqrt(variance / n_obs))


def squared_multiple_correlations(correlation: Array) -> Array:
    """Share of each item's variance that the other items of the scale predict.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations.

    Returns
    -------
    ndarray (k,)
        NaN when the matrix is singular, as it is with two identical items.
    """
    k = correlation.shape[0]
    if k < 2 or not is_regular(correlation):
        return np.full(k, np.nan)
    inverse_diagonal = np.diag(np.linalg.solve(correlation, np.eye(k)))
    return np.asarray(1.0 - 1.0 / inverse_diagonal)


def guttman_lambda6(correlation: Array) -> float:
    """Guttman's sixth lower bound to reliability, from squared multiple correlations.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations.

    Returns
    -------
    float
        NaN for fewer than two items or a singular matrix.

    References
    ----------
    Guttman (1945).
    """
    if not sum_varies(correlation):
        return float("nan")
    smc = squared_multiple_correlations(correlation)
    return float(1.0 - (1.0 - smc).sum() / correlation.sum())


def item_total_correlations(covariance: Array) -> Array:
    """Correlation of each item with the sum of all items, itself included.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances (or correlations, for standardised items).

    Returns
    -------
    ndarray (k,)
        NaN where the sum does not vary.
    """
    if not sum_varies(covariance):
        return np.full(covariance.shape[0], np.nan)
    return np.asarray(
        covariance.sum(axis=1) / np.sqrt(np.diag(covariance) * covariance.sum()),
    )


def item_rest_correlations(covariance: Array) -> Array:
    """Correlation of each item with the sum of the others.

    Parameters
    ----------
    covariance : ndarray (k, k)
        Item covariances.

    Returns
    -------
    ndarray (k,)
        NaN for a single item, and where the others have a sum without variance.
    """
    variances = np.diag(covariance)
    with_rest = covariance.sum(axis=1) - variances
    rest_variance = covariance.sum() - 2.0 * covariance.sum(axis=1) + variances
    product = variances * rest_variance
    result = np.full(covariance.shape[0], np.nan)
    defined = rest_variance > _SINGULAR * variances.sum()
    result[defined] = with_rest[defined] / np.sqrt(product[defined])
    return result


def overlap_corrected_correlations(correlation: Array) -> Array:
    """Item-total correlation with each item's own variance replaced by its common part.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Item correlations.

    Returns
    -------
    ndarray (k,)
        NaN where the squared multiple correlations do not exist.

    References
    ----------
    Cureton (1966).
    """
    reduced = correlation.copy()
    np.fill_diagonal(reduced, squared_multiple_correlations(correlation))
    total = reduced.sum()
    if not total > 0.0:
        return np.full(correlation.shape[0], np.nan)
    return np.asarray(reduced.sum(axis=1) / np.sqrt(total))


def omega_total(loadings: Array, covariance: Array, factor_variance: float = 1.0) -> float:
    r"""Share of the sum score's variance that one factor explains.

    .. math:: \frac{(\sum\lambda_i)^2\,\phi}{1'\Sigma 1}

    With unstandardised loadings and the model-implied covariances this is composite
    reliability after Jöreskog (1971), residual covariances inside the scale counted as
    variance that the factor does not explain; with the observed covariances it is the
    coefficient of Bentler (1968) and McDonald (1999). With standardised loadings
    and implied correlations it is the composite reliability of Fornell & Larcker (1981), which
    belongs to the sum of standardised items.

    Parameters
    ----------
    loadings : ndarray (k,)
        Loadings on the factor.
    covariance : ndarray (k, k)
        Covariances of the items in the same metric: implied or observed.
    factor_variance : float
        Total variance of the factor.

    Returns
    -------
    float
    """
    return float(loadings.sum() ** 2 * factor_variance / covariance.sum())


def average_variance_extracted(loadings: Array) -> float:
    """Mean squared standardised loading.

    Parameters
    ----------
    loadings : ndarray (k,)
        Completely standardised loadings.

    Returns
    -------
    float
        In [0, 1] when no loading exceeds 1.

    References
    ----------
    Fornell & Larcker (1981).
    """
    return float(np.mean(loadings**2))


def weighted_variance_extracted(
    loadings: Array, covariance: Array, factor_variance: float = 1.0
) -> float:
    """Variance extracted with every item weighted by its variance.

    This is what semTools calls AVE. It equals :func:`average_variance_extracted` when the
    items have equal variances.

    Parameters
    ----------
    loadings : ndarray (k,)
        Unstandardised loadings.
    covariance : ndarray (k, k)
        Observed (or implied) covariances of the items; only the diagonal is used.
    factor_variance : float
        Total variance of the factor.

    Returns
    -------
    float
    """
    return float((loadings**2).sum() * factor_variance / np.trace(covariance))
