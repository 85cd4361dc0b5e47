r"""Summaries of residuals with their sampling error: is misfit larger than noise.

For residuals e of t moments with covariance matrix :math:`\Xi`, the root mean square
:math:`\sqrt{e'e / t}` overestimates misfit in small samples. Subtracting what sampling alone
brings gives an estimate of the population value with a standard error, a confidence
interval, and tests of exact and of close fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sqvalid.latent import moment_weights
from sqvalid.latent.residual_averages import GroupMoments
from sqvalid.latent.residuals import NO_VARIANCE, Metric, residuals

Array = NDArray[np.float64]
Part = Literal["cov", "mean", "total"]

LEVEL = 0.90
CLOSE_FIT = 0.05

NAMES: Mapping[str, str] = MappingProxyType({"raw": "rmr", "cor": "crmr", "cor.bentler": "srmr"})


@dataclass(frozen=True)
class RootMeanSquare:
    """A root mean square of residuals and what can be said about its population value.

    Parameters
    ----------
    value : float
        Sample root mean square.
    se : float
        Its standard error when the model holds exactly.
    exactfit_z, exactfit_pvalue : float
        One-sided test that the model holds exactly; z is 0 where the value is below what
        sampling alone brings.
    unbiased : float
        Estimate of the population root mean square.
    unbiased_se : float
        Its standard error.
    ci_lower, ci_upper : float
        90 % interval of the population value.
    closefit_z, closefit_pvalue : float
        One-sided test that the population value is at most `closefit_h0`.
    closefit_h0 : float
        Value under the hypothesis of close fit.
    """

    value: float
    se: float
    exactfit_z: float
    exactfit_pvalue: float
    unbiased: float
    unbiased_se: float
    ci_lower: float
    ci_upper: float
    closefit_z: float
    closefit_pvalue: float
    closefit_h0: float = CLOSE_FIT

    def to_dict(self, name: str) -> dict[str, float]:
        """The numbers under lavaan's names.

        Parameters
        ----------
        name : str
            "rmr", "crmr" or "srmr".

        Returns
        -------
        dict
            In lavaan's order, '.' written '_'.
        """
        return {
            name: self.value,
            f"{name}_se": self.se,
            f"{name}_exactfit_z": self.exactfit_z,
            f"{name}_exactfit_pvalue": self.exactfit_pvalue,
            f"u{name}": self.unbiased,
            f"u{name}_se": self.unbiased_se,
            f"u{name}_ci_lower": self.ci_lower,
            f"u{name}_ci_upper": self.ci_upper,
            f"u{name}_closefit_h0_value": self.closefit_h0,
            f"u{name}_closefit_z": self.closefit_z,
            f"u{name}_closefit_pvalue": self.closefit_pvalue,
        }


def root_mean_square(residual: Array, covariance: Array, *, count: int) -> RootMeanSquare:
    r"""Root mean square of residuals with bias correction, interval and tests.

    With :math:`T_1 = tr\,\Xi`, :math:`T_2 = tr\,\Xi^2` and :math:`q = T_2 + 2 e'\Xi e`:
    :math:`k = 1 - q / (4 (e'e)^2)`, unbiased value
    :math:`k^{-1}\sqrt{\max(e'e - T_1, 0)/t}`, its standard error
    :math:`k^{-1}\sqrt{q / (2 t\, e'e)}`. Under exact fit the mean is
    :math:`\sqrt{T_1/t}\,(1 - T_2/(4 T_1^2))` and the standard error
    :math:`\sqrt{T_2/(2 t\, T_1)}`.

    Parameters
    ----------
    residual : ndarray of shape (m,)
        e, in the metric wanted.
    covariance : ndarray of shape (m, m)
        Xi, their sampling covariance.
    count : int
        t, the number of residuals averaged over.

    Returns
    -------
    RootMeanSquare
        NaN in everything that sampling error enters when there is none.

    References
    ----------
    Maydeu-Olivares (2017).
    """
    square = float(residual @ residual)
    value = math.sqrt(square / count) if count else math.nan
    noise = float(np.trace(covariance))
    noise2 = float(np.sum(covariance * covariance.T))
    if not (noise > 0 and square > 0 and count):
        nan = math.nan
        return RootMeanSquare(value, nan, nan, nan, value, nan, nan, nan, nan, nan)
    se = math.sqrt(noise2 / (2 * count * noise))
    expected = math.sqrt(noise / count) * (1 - noise2 / (4 * noise**2))
    exact_z = max(value - expected, 0.0) / se
    spread = noise2 + 2 * float(residual @ covariance @ residual)
    correction = 1 - spread / (4 * square**2)
    unbiased = math.sqrt(max(square - noise, 0.0) / count) / correction
    unbiased_se = math.sqrt(spread / (2 * count * square)) / correction
    half = float(special.ndtri(0.5 + LEVEL / 2)) * unbiased_se
    close_z = (unbiased - CLOSE_FIT) / unbiased_se
    return RootMeanSquare(
        value=value,
        se=se,
        exactfit_z=exact_z,
        exactfit_pvalue=float(special.ndtr(-exact_z)),
        unbiased=unbiased,
        unbiased_se=unbiased_se,
        ci_lower=unbiased - half,
        ci_upper=unbiased + half,
        closefit_z=close_z,
        closefit_pvalue=float(special.ndtr(-close_z)),
    )


def summarise(group: GroupMoments, covariance: Array, metric: Metric) -> dict[Part, RootMeanSquare]:
    """Summarise the residuals of one group in one metric.

    Parameters
    ----------
    group : GroupMoments
        Sample and implied moments.
    covariance : ndarray of shape (p*, p*)
        Covariance matrix of the raw residuals
        (:func:`~sqvalid.latent.residuals.residual_covariances`).
    metric : {"raw", "cor", "cor.bentler"}
        RMR, CRMR or SRMR. The CRMR averages over correlations only, without the diagonal.

    Returns
    -------
    dict
        "cov"; with a mean structure also "mean" and "total".
    """
    p = group.n_variables
    left = residuals(group, metric)
    with_means = left.means is not None
    vector = moment_weights.moment_vector(left.covariance, left.means)
    sd = np.sqrt(np.diag(group.covariance))
    size = moment_weights.moment_vector(np.outer(sd, sd), sd if with_means else None)
    scaled = covariance / np.outer(size, size)
    # What is left of a variance after subtraction of equals is rounding error, not noise.
    fixed = np.diag(scaled) < NO_VARIANCE / group.n_obs
    scaled[fixed] = scaled[:, fixed] = 0.0
    if metric == "raw":
        scaled *= np.outer(size, size)
    elif metric == "cor":
        change = _correlation_jacobian(group, with_means=with_means)
        scaled = change @ scaled @ change.T
    first = p if with_means else 0
    lower = np.arange(first, len(vector))
    count = len(lower) - (p if metric == "cor" else 0)

    def over(places: NDArray[np.intp], number: int) -> RootMeanSquare:
        return root_mean_square(vector[places], scaled[np.ix_(places, places)], count=number)

    summary: dict[Part, RootMeanSquare] = {"cov": over(lower, count)}
    if with_means:
        summary["mean"] = over(np.arange(p), p)
        summary["total"] = over(np.arange(len(vector)), count + p)
    return summary


def _correlation_jacobian(group: GroupMoments, *, with_means: bool) -> Array:
    r"""Derivatives of correlations with respect to moments already divided by their size.

    :math:`dr_{ij} = ds_{ij} - \tfrac12 r_{ij} (ds_{ii} + ds_{jj})`; means stay.
    """
    p = group.n_variables
    rows, columns = moment_weights.triangle(p)
    sd = np.sqrt(np.diag(group.covariance))
    correlation = group.covariance / np.outer(sd, sd)
    first = p if with_means else 0
    change = np.eye(first + len(rows))
    place = first + np.flatnonzero(rows == columns)
    here = np.arange(first, len(change))
    half = 0.5 * correlation[rows, columns]
    change[here, place[rows]] -= half
    change[here, place[columns]] -= half
    return change
