"""Reliability and information of items with ordered answers, from loadings and thresholds.

The functions take standardised loadings and thresholds of a one-factor model of the latent
responses, wherever these come from: a fit of ordered items or a factor of the polychoric matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

from sqvalid.moments.bivariate import bivariate_cdf, density

__all__ = [
    "LOGISTIC_SCALE",
    "graded_parameters",
    "item_information",
    "omega_categorical",
    "ordinal_scores_covariance",
]

Array = npt.NDArray[np.float64]

LOGISTIC_SCALE = 1.702
"""What a normal-ogive slope is multiplied with to give the logistic one (Camilli, 1994)."""


def ordinal_scores_covariance(
    correlation: Array, thresholds: Sequence[Array], scores: Sequence[Array] | None = None
) -> Array:
    r"""Covariances of item scores that latent normal responses imply.

    .. math:: cov(x_i, x_j) = \sum_c \sum_d a_{ic} a_{jd}
              [\Phi_2(\tau_{ic}, \tau_{jd}; \rho_{ij}) - \Phi(\tau_{ic})\Phi(\tau_{jd})]

    with a the steps between neighbouring scores (one, for whole numbers).

    Parameters
    ----------
    correlation : ndarray (k, k)
        Correlations of the latent responses. Where the diagonal is below 1 it is the correlation
        of two administrations of the same item that share nothing but the factor.
    thresholds : sequence of ndarray
        Per item, rising.
    scores : sequence of ndarray, optional
        Scores of the answers, one more than thresholds; by default 1, 2, 3 ...

    Returns
    -------
    ndarray (k, k)
        With a diagonal of 1 the variances of the items.
    """
    k = len(thresholds)
    steps = (
        [np.ones(len(t)) for t in thresholds]
        if scores is None
        else [np.diff(np.asarray(s, dtype=float)) for s in scores]
    )
    result = np.empty((k, k))
    for i in range(k):
        for j in range(i + 1):
            h, m = thresholds[i][:, None], thresholds[j][None, :]
            rho = float(correlation[i, j])
            if rho >= 1.0:
                both = ndtr(np.minimum(h, m))
            else:
                rows, columns = np.broadcast_arrays(h, m)
                both = bivariate_cdf(rows, columns, np.full(rows.shape, rho))
            cells = both - ndtr(h) * ndtr(m)
            result[i, j] = result[j, i] = float(steps[i] @ cells @ steps[j])
    return result


def omega_categorical(
    loadings: Array,
    thresholds: Sequence[Array],
    correlation: Array | None = None,
    scores: Sequence[Array] | None = None,
) -> float:
    r"""Reliability of the sum of ordered answers, from a factor model of their latent responses.

    The numerator is the covariance of two administrations that share the factor only (latent
    correlations :math:`\lambda_i\lambda_j`, :math:`\lambda_i^2` for the same item), the
    denominator the variance of the sum score.

    Parameters
    ----------
    loadings : ndarray (k,) or (k, m)
        Standardised; several columns are orthogonal factors.
    thresholds : sequence of ndarray
        Per item.
    correlation : ndarray (k, k), optional
        Polychoric correlations for the denominator; by default the implied ones, which assume
        that the factors explain all correlations.
    scores : sequence of ndarray, optional
        See :func:`ordinal_scores_covariance`.

    Returns
    -------
    float

    References
    ----------
    Green & Yang (2009), Psychometrika 74, 155-167, equation 21.
    """
    pattern = loadings[:, None] if loadings.ndim == 1 else loadings
    shared = pattern @ pattern.T
    total = shared.copy() if correlation is None else np.array(correlation, dtype=float)
    np.fill_diagonal(total, 1.0)
    true = ordinal_scores_covariance(shared, thresholds, scores)
    return float(true.sum() / ordinal_scores_covariance(total, thresholds, scores).sum())


def graded_parameters(
    loading: float, thresholds: Array, *, scale: float = LOGISTIC_SCALE
) -> tuple[float, Array]:
    r"""Slope and locations of the graded response model that a one-factor model implies.

    .. math:: a = D \frac{\lambda}{\sqrt{1 - \lambda^2}}, \qquad b_c = \tau_c / \lambda

    Parameters
    ----------
    loading : float
        Standardised loading, inside (-1, 1).
    thresholds : ndarray (c,)
        Of the latent response.
    scale : float
        D: 1.702 for the logistic model, 1 for the normal ogive (where the translation is exact).

    Returns
    -------
    slope : float
    locations : ndarray (c,)
        On the scale of the factor; NaN for a loading of zero.

    References
    ----------
    Takane & de Leeuw (1987); Samejima (1969).
    """
    slope = scale * loading / np.sqrt(1.0 - loading**2)
    if loading == 0.0:
        return float(slope), np.full(len(thresholds), np.nan)
    return float(slope), np.asarray(thresholds / loading)


def item_information(
    theta: Array, loading: float, thresholds: Array, *, model: str = "logistic"
) -> Array:
    r"""Fisher information of a graded item about the factor.

    .. math:: I(\theta) = \sum_c \frac{(P^*_{c}{}' - P^*_{c+1}{}')^2}{P^*_c - P^*_{c+1}}

    with :math:`P^*_c` the probability of an answer above threshold c.

    Parameters
    ----------
    theta : ndarray (g,)
        Values of the factor (standard deviations).
    loading : float
        Standardised.
    thresholds : ndarray (c,)
        Of the latent response, rising.
    model : {"logistic", "normal"}
        Logistic with D = 1.702, or the normal ogive that the factor model itself assumes.

    Returns
    -------
    ndarray (g,)
        Not negative; sums over items to the information of the scale, whose inverse root is the
        standard error of the factor value.

    References
    ----------
    Samejima (1969).
    """
    root = np.sqrt(1.0 - loading**2)
    z = (loading * theta[:, None] - thresholds[None, :]) / root
    if model == "logistic":
        above = expit(LOGISTIC_SCALE * z)
        slope = LOGISTIC_SCALE * loading / root * above * (1.0 - above)
    else:
        above, slope = ndtr(z), loading / root * density(z)
    edge = np.zeros((len(theta), 1))
    p = -np.diff(np.hstack([edge + 1.0, above, edge]), axis=1)
    change = -np.diff(np.hstack([edge, slope, edge]), axis=1)
    # A category that cannot be answered at this theta tells nothing.
    there = p > np.finfo(float).tiny
    return np.asarray(np.where(there, change**2 / np.where(there, p, 1.0), 0.0).sum(axis=1))
