r"""Averages of residuals: RMR, SRMR, CRMR, and the classic goodness of fit index.

All functions take, per group, the sample covariance matrix S and the implied covariance
matrix Sigma (p x p, same divisor), and the two mean vectors (p,) where means are modelled.
An average over groups weighs every group by its share of the cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroupMoments:
    """Sample and implied moments of one group.

    Parameters
    ----------
    n_obs : float
        Cases in the group.
    covariance, implied_covariance : ndarray of shape (p, p)
        S and Sigma, same divisor, same order of variables.
    means, implied_means : ndarray of shape (p,) or None
        Given when the model has a mean structure.
    fixed : tuple of int
        Positions of exogenous covariates whose moments the model takes as given; they carry
        no weight in :func:`gfi_lisrel`.
    thresholds, implied_thresholds : ndarray of shape (t,) or None
        Of ordered items, whose part of the matrices are correlations; they stand where means do.
    n_given : int
        Covariates that everything is given: lavaan counts their variances among the residuals.
    """

    n_obs: float
    covariance: Array
    implied_covariance: Array
    means: Array | None = None
    implied_means: Array | None = None
    fixed: tuple[int, ...] = ()
    thresholds: Array | None = None
    implied_thresholds: Array | None = None
    n_given: int = 0

    def __post_init__(self) -> None:
        for name in (
            "covariance", "implied_covariance", "means", "implied_means", "thresholds",
            "implied_thresholds",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None:
                copy = np.array(value, dtype=float)
                copy.setflags(write=False)
                object.__setattr__(self, name, copy)

    @property
    def n_variables(self) -> int:
        """Number of observed variables p."""
        return int(self.covariance.shape[0])


@cache
def _lower_places(p: int, offset: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.tril_indices(p, offset)


def _lower(matrix: Array, *, diagonal: bool) -> Array:
    return matrix[_lower_places(matrix.shape[0], 0 if diagonal else -1)]


def _root_mean_square(*parts: Array) -> float:
    count = sum(part.size for part in parts)
    if count == 0:
        return math.nan
    return math.sqrt(sum(float(part @ part) for part in parts) / count)


def _weighted(groups: Sequence[GroupMoments], values: Sequence[float]) -> float:
    total = sum(group.n_obs for group in groups)
    return sum(group.n_obs * value for group, value in zip(groups, values, strict=True)) / total


def _threshold_residuals(group: GroupMoments, *, with_means: bool) -> list[Array]:
    """Residuals of thresholds, which have no unit."""
    if not with_means or group.thresholds is None or group.implied_thresholds is None:
        return []
    return [group.thresholds - group.implied_thresholds]


def _mean_residuals(group: GroupMoments, *, with_means: bool) -> tuple[Array, Array] | None:
    if not with_means or group.means is None or group.implied_means is None:
        return None
    return group.means, group.implied_means


def rmr(groups: Sequence[GroupMoments], *, with_means: bool = True) -> float:
    r"""Root mean square residual, in the units of the variables.

    The root of the average squared element of ``vech(S - Sigma)`` and, with means, of
    ``m - mu``.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    with_means : bool
        Whether residual means enter, where the model has a mean structure.

    Returns
    -------
    float
        >= 0.

    References
    ----------
    Joreskog & Sorbom (1981).
    """
    values = []
    for group in groups:
        parts = [_lower(group.covariance - group.implied_covariance, diagonal=True)]
        parts.append(np.zeros(group.n_given))
        means = _mean_residuals(group, with_means=with_means)
        if means is not None:
            parts.append(means[0] - means[1])
        parts += _threshold_residuals(group, with_means=with_means)
        values.append(_root_mean_square(*parts))
    return _weighted(groups, values)


def srmr_bentler(groups: Sequence[GroupMoments], *, with_means: bool = True) -> float:
    r"""Standardised root mean square residual, Bentler's version (the usual SRMR).

    Residuals are divided by *sample* standard deviations:
    :math:`(s_{ij} - \sigma_{ij}) / \sqrt{s_{ii} s_{jj}}` over the lower triangle with its
    diagonal, and :math:`(m_i - \mu_i) / \sqrt{s_{ii}}`.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    with_means : bool
        Whether residual means enter, where the model has a mean structure; they lower the
        average when they are reproduced exactly.

    Returns
    -------
    float
        >= 0.

    References
    ----------
    Bentler (1995).
    """
    values = []
    for group in groups:
        sd = np.sqrt(np.diag(group.covariance))
        residual = (group.covariance - group.implied_covariance) / np.outer(sd, sd)
        parts = [_lower(residual, diagonal=True), np.zeros(group.n_given)]
        means = _mean_residuals(group, with_means=with_means)
        if means is not None:
            parts.append((means[0] - means[1]) / sd)
        parts += _threshold_residuals(group, with_means=with_means)
        values.append(_root_mean_square(*parts))
    return _weighted(groups, values)


def crmr(groups: Sequence[GroupMoments], *, with_means: bool = True) -> float:
    r"""Correlation root mean square residual, Bollen's version.

    Differences of correlations below the diagonal, each matrix scaled by its own standard
    deviations, and :math:`(m_i - \mu_i) / \sqrt{s_{ii}}`.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    with_means : bool
        Whether residual means enter, where the model has a mean structure.

    Returns
    -------
    float
        >= 0; NaN for a single variable without means.

    References
    ----------
    Bollen (1989); Ogasawara (2001).
    """
    values = []
    for group in groups:
        parts = [_lower(_correlation_residuals(group), diagonal=False)]
        means = _mean_residuals(group, with_means=with_means)
        if means is not None:
            parts.append((means[0] - means[1]) / np.sqrt(np.diag(group.covariance)))
        parts += _threshold_residuals(group, with_means=with_means)
        values.append(_root_mean_square(*parts))
    return _weighted(groups, values)


def srmr_mplus(groups: Sequence[GroupMoments], *, with_means: bool = True) -> float:
    r"""Standardised root mean square residual as Mplus defines it.

    Bollen's correlation residuals below the diagonal, relative differences of variances
    :math:`(s_{ii} - \sigma_{ii}) / s_{ii}` on it, and with means
    :math:`m_i / \sqrt{s_{ii}} - \mu_i / \sqrt{\sigma_{ii}}`.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    with_means : bool
        Whether residual means enter, where the model has a mean structure.

    Returns
    -------
    float
        >= 0; NaN where there are ordered items.

    References
    ----------
    Asparouhov & Muthen (2018), SRMR in Mplus.
    """
    if any(group.thresholds is not None for group in groups):
        return math.nan
    values = []
    for group in groups:
        sample, implied = np.diag(group.covariance), np.diag(group.implied_covariance)
        parts = [
            _lower(_correlation_residuals(group), diagonal=False),
            (sample - implied) / sample,
        ]
        means = _mean_residuals(group, with_means=with_means)
        if means is not None:
            parts.append(means[0] / np.sqrt(sample) - means[1] / np.sqrt(implied))
        values.append(_root_mean_square(*parts))
    return _weighted(groups, values)


def _correlation_residuals(group: GroupMoments) -> Array:
    sd = np.sqrt(np.diag(group.covariance))
    implied_sd = np.sqrt(np.diag(group.implied_covariance))
    implied = group.implied_covariance / np.outer(implied_sd, implied_sd)
    return np.asarray(group.covariance / np.outer(sd, sd) - implied, dtype=np.float64)


def gfi_lisrel(
    groups: Sequence[GroupMoments],
    *,
    structured: bool = True,
    weights: Sequence[Array] | None = None,
) -> float:
    r"""Goodness of fit index of Joreskog and Sorbom.

    .. math:: 1 - \frac{(s - \sigma)' V (s - \sigma)}{s' V s}

    with V the normal-theory weight, at Sigma unless told otherwise, so that for covariances
    the numerator is :math:`\frac12 tr[(\Sigma^{-1}(S - \Sigma))^2]`; averaged over groups. With a
    mean structure the means belong to s, which makes the index large: means are far from zero.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    structured : bool
        Weight at the implied covariance matrix (True) or at the sample's (False).
    weights : sequence of ndarray of shape (p*, p*), optional
        The weights V of an estimator that does not use normal-theory ones; means first, then
        the lower triangle by columns.

    Returns
    -------
    float
        At most 1; NaN when the weight's covariance matrix is not positive definite.

    References
    ----------
    Joreskog & Sorbom (1982); Tanaka & Huba (1985).
    """
    if weights is not None:
        return _weighted(
            groups, [_weighted_gfi(group, v) for group, v in zip(groups, weights, strict=True)]
        )
    values = []
    for group in groups:
        factor = _cholesky(group.implied_covariance if structured else group.covariance)
        if factor is None:
            return math.nan
        sample, means = group.covariance.copy(), None
        sample[np.ix_(group.fixed, group.fixed)] = 0.0
        if group.means is not None:
            means = group.means.copy()
            means[list(group.fixed)] = 0.0
        values.append(1.0 - _residual_form(group, factor) / _quadratic_form(factor, sample, means))
    return _weighted(groups, values)


def _weighted_gfi(group: GroupMoments, weight: Array) -> float:
    def stacked(covariance: Array, means: Array | None) -> Array:
        columns, rows = np.triu_indices(group.n_variables)
        lower = covariance[rows, columns]
        return lower if means is None else np.concatenate([means, lower])

    sample, means = group.covariance.copy(), None
    sample[np.ix_(group.fixed, group.fixed)] = 0.0
    residual = stacked(
        group.covariance - group.implied_covariance,
        None
        if group.means is None or group.implied_means is None
        else group.means - group.implied_means,
    )
    if group.means is not None:
        means = group.means.copy()
        means[list(group.fixed)] = 0.0
    moments = stacked(sample, means)
    return 1.0 - float(residual @ weight @ residual) / float(moments @ weight @ moments)


def agfi_lisrel(gfi: float, df: float, n_moments: int) -> float:
    r"""Adjusted goodness of fit index: ``1 - (p* / d) (1 - GFI)``.

    Parameters
    ----------
    gfi : float
        Value of :func:`gfi_lisrel`.
    df : float
        Degrees of freedom.
    n_moments : int
        p*, the number of sample moments over all groups.

    Returns
    -------
    float
        At most 1; 1 when `df` is 0, by convention; NaN when it is negative.

    References
    ----------
    Joreskog & Sorbom (1982).
    """
    if df < 0:
        return math.nan
    return 1.0 if df == 0 else 1.0 - n_moments / df * (1.0 - gfi)


def pgfi(gfi: float, df: float, n_moments: int) -> float:
    r"""Parsimony goodness of fit index: ``(d / p*) GFI``.

    Parameters
    ----------
    gfi : float
        Value of :func:`gfi_lisrel`.
    df : float
        Degrees of freedom.
    n_moments : int
        p*, the number of sample moments over all groups.

    Returns
    -------
    float
        NaN when `df` is negative.

    References
    ----------
    Mulaik et al. (1989).
    """
    return math.nan if df < 0 else df / n_moments * gfi


def reweighted_least_squares(groups: Sequence[GroupMoments], multipliers: Sequence[float]) -> float:
    r"""Reweighted least squares statistic, T_RLS.

    .. math:: \sum_g n_g \{ \tfrac12 tr[(\Sigma^{-1}(S - \Sigma))^2]
              + (m - \mu)' \Sigma^{-1} (m - \mu) \}

    At a stationary point of the likelihood without residual means this is Browne's residual
    statistic with model-based normal-theory weights.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    multipliers : sequence of float
        n_g: cases of each group, or one less under the Wishart likelihood.

    Returns
    -------
    float
        >= 0; NaN when an implied covariance matrix is not positive definite.

    References
    ----------
    Browne (1974); Hayakawa (2019).
    """
    statistic = 0.0
    for group, multiplier in zip(groups, multipliers, strict=True):
        factor = _cholesky(group.implied_covariance)
        if factor is None:
            return math.nan
        statistic += multiplier * _residual_form(group, factor)
    return statistic


def browne_residual_statistic(
    groups: Sequence[GroupMoments], jacobians: Sequence[Array], multipliers: Sequence[float]
) -> float:
    r"""Browne's residual statistic with model-based normal-theory weights.

    The weighted sum of squared residuals that is left when the residuals are regressed on the
    model's derivatives, :math:`\min_b (r - \Delta b)' V (r - \Delta b)`. It equals
    :func:`reweighted_least_squares` unless restricted means leave residual means.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    jacobians : sequence of ndarray of shape (p*, q)
        Derivatives of the implied moments with respect to the q unrestricted parameters (after
        linear equality constraints); rows are means, where there are any, then the lower
        triangle by columns.
    multipliers : sequence of float
        n_g: cases of each group, or one less under the Wishart likelihood.

    Returns
    -------
    float
        >= 0; NaN when an implied covariance matrix is not positive definite.

    References
    ----------
    Browne (1984).
    """
    residuals, derivatives = [], []
    for group, jacobian, multiplier in zip(groups, jacobians, multipliers, strict=True):
        factor = _cholesky(group.implied_covariance)
        if factor is None:
            return math.nan
        p = group.n_variables
        weight = math.sqrt(multiplier)
        covariance_part = jacobian
        gap = group.covariance - group.implied_covariance
        residual = [_whitened(factor, gap[None])[0]]
        derivative = []
        if group.means is not None and group.implied_means is not None:
            covariance_part = jacobian[p:]
            derivative.append(linalg.solve_triangular(factor, jacobian[:p], lower=True))
            residual.insert(
                0, linalg.solve_triangular(factor, group.means - group.implied_means, lower=True)
            )
        columns, rows = np.triu_indices(p)
        stacked = np.zeros((jacobian.shape[1], p, p))
        stacked[:, rows, columns] = stacked[:, columns, rows] = covariance_part.T
        derivative.append(_whitened(factor, stacked).T)
        residuals.append(weight * np.concatenate(residual))
        derivatives.append(weight * np.concatenate(derivative))
    target, design = np.concatenate(residuals), np.concatenate(derivatives)
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    left = target - fitted
    return float(left @ left)


def _cholesky(covariance: Array) -> Array | None:
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None


def _whitened(factor: Array, matrices: Array) -> Array:
    """L^-1 M L^-T / sqrt(2) of stacked symmetric matrices, flattened to rows."""
    half = np.linalg.solve(factor, matrices)
    whole = np.asarray(np.linalg.solve(factor, np.swapaxes(half, -1, -2)), dtype=np.float64)
    return whole.reshape(len(matrices), -1) / math.sqrt(2.0)


def _quadratic_form(factor: Array, covariance: Array, means: Array | None) -> float:
    """Normal-theory form s' V s of a symmetric matrix and a vector, either possibly a gap."""
    ratio = linalg.cho_solve((factor, True), covariance, check_finite=False)
    form = 0.5 * float(np.vdot(ratio, ratio.T))
    if means is not None:
        scores = linalg.solve_triangular(factor, means, lower=True)
        form += float(scores @ scores)
    return form


def _residual_form(group: GroupMoments, factor: Array) -> float:
    means = _mean_residuals(group, with_means=True)
    return _quadratic_form(
        factor,
        group.covariance - group.implied_covariance,
        None if means is None else means[0] - means[1],
    )
