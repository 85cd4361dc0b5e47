r"""Residuals: what the model leaves of the sample moments, and how much of it is noise.

Raw residuals and their two correlation metrics need only sample and implied moments.
Normalised residuals divide by the standard error of the *sample moment*; standardised
residuals by the standard error of the *residual*, so that they are z-statistics. Both need the
asymptotic covariance of the moments (:mod:`~sqvalid.latent.moment_weights`), the latter
also the model's Jacobian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import UnsupportedError
from sqvalid.latent import moment_weights
from sqvalid.latent.residual_averages import GroupMoments

Array = NDArray[np.float64]
Metric = Literal["raw", "cor", "cor.bentler"]
Information = Literal["expected", "observed", "first.order"]

# A residual whose variance is below this share of its moment's variance is fixed by the
# model whatever the data: rounding makes the difference of two equal numbers, not a variance.
NO_VARIANCE = 1e-7
NO_RESIDUAL = 1e-4


@dataclass(frozen=True)
class Residuals:
    """Residuals of one group.

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        Residuals of (co)variances, symmetric.
    means : ndarray of shape (p,) or None
        Residual means, where the model has a mean structure.
    """

    covariance: Array
    means: Array | None = None

    def __post_init__(self) -> None:
        for name in ("covariance", "means"):
            value = getattr(self, name)
            if value is not None:
                copy = np.array(value, dtype=float)
                copy.setflags(write=False)
                object.__setattr__(self, name, copy)


def residuals(group: GroupMoments, metric: Metric = "raw") -> Residuals:
    r"""Residuals of one group in one of three metrics.

    Parameters
    ----------
    group : GroupMoments
        Sample and implied moments.
    metric : {"raw", "cor", "cor.bentler"}
        ``raw``: S - Sigma. ``cor``: the difference of the two correlation matrices (Bollen).
        ``cor.bentler``: raw residuals over :math:`\sqrt{s_{ii} s_{jj}}`. Residual means are
        divided by sample standard deviations in both correlation metrics.

    Returns
    -------
    Residuals
        In the metric asked for.

    References
    ----------
    Bollen (1989); Bentler (1995).
    """
    raw = group.covariance - group.implied_covariance
    means = None
    if group.means is not None and group.implied_means is not None:
        means = group.means - group.implied_means
    if metric == "raw":
        return Residuals(raw, means)
    sd = np.sqrt(np.diag(group.covariance))
    scaled_means = None if means is None else means / sd
    if metric == "cor.bentler":
        return Residuals(raw / np.outer(sd, sd), scaled_means)
    implied_sd = np.sqrt(np.diag(group.implied_covariance))
    correlation = group.covariance / np.outer(sd, sd)
    implied = group.implied_covariance / np.outer(implied_sd, implied_sd)
    return Residuals(correlation - implied, scaled_means)


def moment_covariance(
    group: GroupMoments,
    *,
    information: Information = "expected",
    robust: bool = False,
    cases: Array | None = None,
) -> Array:
    """Asymptotic covariance matrix of a group's sample moments.

    Parameters
    ----------
    group : GroupMoments
        Sample moments; `fixed` covariates are taken as given.
    information : {"expected", "observed", "first.order"}
        The information that standard errors of the fit use. At the sample moments expected
        and observed information are the same.
    robust : bool
        Estimate from fourth moments (robust standard errors) instead of assuming normality.
    cases : ndarray of shape (n, p), optional
        Complete cases; needed when `robust` or for first-order information.

    Returns
    -------
    ndarray of shape (p*, p*)
        Of the moments themselves: divided by the number of cases.

    Raises
    ------
    UnsupportedError
        When cases are needed and only a covariance matrix is there.
    """
    means = group.means is not None
    p = group.n_variables
    if robust:
        raw = _cases(cases, "robust residual")
        gamma = moment_weights.empirical_gamma(raw, means=means, fixed=group.fixed)
        return np.asarray(gamma / group.n_obs, dtype=np.float64)
    if information == "first.order":
        raw = _cases(cases, "first-order residual")
        weight = moment_weights.first_order_information(raw, group.covariance, group.means)
        gamma = np.asarray(np.linalg.inv(weight), dtype=np.float64)
    else:
        gamma = moment_weights.normal_gamma(group.covariance, means=means)
    gamma = moment_weights.given_fixed(gamma, p, group.fixed, means=means)
    return np.asarray(gamma / group.n_obs, dtype=np.float64)


def residual_covariances(
    groups: Sequence[GroupMoments],
    jacobians: Sequence[Array],
    *,
    information: Information = "expected",
    robust: bool = False,
    cases: Sequence[Array | None] | None = None,
    weights: Sequence[Array] | None = None,
    spreads: Sequence[Array] | None = None,
) -> list[Array]:
    r"""Asymptotic covariance matrix of every group's raw residuals.

    With the information A of the saturated moments at the implied moments and the Jacobian
    :math:`\Delta`, residuals are :math:`Q (s - \sigma_0)`,
    :math:`Q = I - \Delta (\Delta' A \Delta)^{-1} \Delta' A`; all groups enter Q because they may
    share parameters.

    Parameters
    ----------
    groups : sequence of GroupMoments
        One entry per group.
    jacobians : sequence of ndarray of shape (p*, q)
        Derivatives of each group's implied moments (means first, then the lower triangle by
        columns) with respect to the q unrestricted parameters: after linear equality
        constraints, that is, the Jacobian times K where theta = K phi + c.
    information : {"expected", "observed", "first.order"}
        Kind of A; the one that the fit's standard errors use.
    robust : bool
        Whether the moments' covariance is estimated without assuming normality.
    cases : sequence of ndarray of shape (n_g, p) or None, optional
        Complete cases per group; needed when `robust` or for first-order information.
    weights : sequence of ndarray of shape (p*, p*), optional
        The estimator's weights, in place of the information A.
    spreads : sequence of ndarray of shape (p*, p*), optional
        Asymptotic covariances of the moments, in place of those of complete answers.

    Returns
    -------
    list of ndarray of shape (p*, p*)
        One per group, divided by the numbers of cases.

    References
    ----------
    Joreskog (1981); Ogasawara (2001); Maydeu-Olivares (2017).
    """
    raw: Sequence[Array | None] = [None] * len(groups) if cases is None else cases
    total = sum(group.n_obs for group in groups)
    weighted = [
        group.n_obs
        / total
        * (jacobian.T @ (_information(group, information, case) if weights is None else weights[g]))
        for g, (group, jacobian, case) in enumerate(zip(groups, jacobians, raw, strict=True))
    ]
    bread = sum(w @ jacobian for w, jacobian in zip(weighted, jacobians, strict=True))
    # The minimum-norm solution keeps residuals of a model with redundant parameters defined.
    steps = [np.linalg.lstsq(np.asarray(bread), w, rcond=1e-12)[0] for w in weighted]
    meats = (
        list(spreads)
        if spreads is not None
        else [
            moment_covariance(group, information=information, robust=robust, cases=case)
            for group, case in zip(groups, raw, strict=True)
        ]
    )
    out = []
    for g, jacobian in enumerate(jacobians):
        covariance = np.zeros((len(jacobian), len(jacobian)))
        for h, (step, meat) in enumerate(zip(steps, meats, strict=True)):
            projector = -jacobian @ step
            if g == h:
                projector[np.diag_indices_from(projector)] += 1.0
            covariance += projector @ meat @ projector.T
        out.append(covariance)
    return out


def divided_by_standard_error(
    group: GroupMoments, covariance: Array, moments: Array | None = None
) -> Residuals:
    """Raw residuals over standard errors.

    Parameters
    ----------
    group : GroupMoments
        Sample and implied moments.
    covariance : ndarray of shape (p*, p*)
        Result of :func:`moment_covariance` (normalised residuals) or one of
        :func:`residual_covariances` (standardised residuals).
    moments : ndarray of shape (p*, p*), optional
        Result of :func:`moment_covariance`, given with the latter: a residual with almost none
        of its moment's variance is one that the model fixes at zero.

    Returns
    -------
    Residuals
        z-values. 0 for a residual that is zero whatever the data; NaN for one that is not zero
        although its standard error is.
    """
    raw = residuals(group)
    values = moment_weights.moment_vector(raw.covariance, raw.means)
    variances = np.diag(covariance)
    reference = variances if moments is None else np.diag(moments)
    defined = variances > NO_VARIANCE * np.where(reference > 0, reference, 1.0)
    size = moment_weights.moment_vector(
        np.outer(*[np.sqrt(np.diag(group.covariance))] * 2),
        None if raw.means is None else np.sqrt(np.diag(group.covariance)),
    )
    z = np.where(np.abs(values) <= NO_RESIDUAL * size, 0.0, np.nan)
    z[defined] = values[defined] / np.sqrt(variances[defined])
    return _unpacked(z, group.n_variables, means=raw.means is not None)


def normalized_residuals(
    group: GroupMoments,
    *,
    information: Information = "expected",
    robust: bool = False,
    cases: Array | None = None,
) -> Residuals:
    """Raw residuals over the standard errors of the sample moments.

    Conservative as z-statistics, because a residual varies less than its moment.

    Parameters
    ----------
    group : GroupMoments
        Sample and implied moments.
    information, robust, cases
        As in :func:`moment_covariance`.

    Returns
    -------
    Residuals
        Normalised residuals.

    References
    ----------
    Joreskog & Sorbom (1989).
    """
    covariance = moment_covariance(group, information=information, robust=robust, cases=cases)
    return divided_by_standard_error(group, covariance)


def standardized_residuals(
    groups: Sequence[GroupMoments],
    jacobians: Sequence[Array],
    *,
    information: Information = "expected",
    robust: bool = False,
    cases: Sequence[Array | None] | None = None,
    weights: Sequence[Array] | None = None,
    spreads: Sequence[Array] | None = None,
) -> list[Residuals]:
    """Raw residuals over their own standard errors, per group.

    Parameters
    ----------
    groups, jacobians, information, robust, cases, weights, spreads
        As in :func:`residual_covariances`.

    Returns
    -------
    list of Residuals
        z-statistics, one entry per group.

    References
    ----------
    Joreskog (1981); Maydeu-Olivares (2017).
    """
    covariances = residual_covariances(
        groups,
        jacobians,
        information=information,
        robust=robust,
        cases=cases,
        weights=weights,
        spreads=spreads,
    )
    if spreads is not None:
        return [
            divided_by_standard_error(group, covariance, spread)
            for group, covariance, spread in zip(groups, covariances, spreads, strict=True)
        ]
    raw: Sequence[Array | None] = [None] * len(groups) if cases is None else cases
    return [
        divided_by_standard_error(
            group,
            covariance,
            moment_covariance(group, information=information, robust=robust, cases=case),
        )
        for group, covariance, case in zip(groups, covariances, raw, strict=True)
    ]


def _information(group: GroupMoments, kind: Information, cases: Array | None) -> Array:
    means = group.means is not None
    if kind == "expected":
        return moment_weights.expected_information(group.implied_covariance, means=means)
    if kind == "observed":
        gap = residuals(group).means
        return moment_weights.observed_information(group.implied_covariance, group.covariance, gap)
    raw = _cases(cases, "first-order residual")
    return moment_weights.first_order_information(
        raw, group.implied_covariance, group.implied_means
    )


def _cases(cases: Array | None, what: str) -> Array:
    if cases is None:
        raise UnsupportedError(
            f"A {what} standard error needs the cases; only summary statistics are there.",
            remedy="Fit the model to raw data, or use estimator='ML' with expected information.",
        )
    return cases


def _unpacked(vector: Array, p: int, *, means: bool) -> Residuals:
    rows, columns = moment_weights.triangle(p)
    matrix = np.zeros((p, p))
    matrix[rows, columns] = matrix[columns, rows] = vector[p:] if means else vector
    return Residuals(matrix, vector[:p] if means else None)
