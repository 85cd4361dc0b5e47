"""Standard errors of coefficients that a fitted model gives, by the delta method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sqvalid.latent.implied import factor_variance_jacobian, moment_jacobian
from sqvalid.reliability.hierarchy import coefficient_h

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

__all__ = ["coefficient_errors", "coefficient_slopes"]

Array = npt.NDArray[np.float64]


def coefficient_slopes(
    loadings: Array,
    factor_variance: float,
    covariance: Array,
    d_loadings: Array,
    d_variance: Array,
    d_covariance: Array,
) -> dict[str, Array]:
    """Derivatives of a factor's coefficients by the parameters of its model.

    Parameters
    ----------
    loadings : ndarray (k,)
        Unstandardised, of the items of one factor.
    factor_variance : float
        Its total variance.
    covariance : ndarray (k, k)
        Implied by the model.
    d_loadings : ndarray (k, q)
    d_variance : ndarray (q,)
    d_covariance : ndarray (k, k, q)
        Their derivatives by q parameters.

    Returns
    -------
    dict of str to ndarray (q,)
        ``omega_total_implied composite_reliability ave coefficient_h``, as
        :func:`sqvalid.reliability.omega_total` and its neighbours define them.
    """
    total, sum_of = float(covariance.sum()), float(loadings.sum())
    explained = sum_of**2 * factor_variance
    d_explained = 2.0 * sum_of * factor_variance * d_loadings.sum(axis=0) + sum_of**2 * d_variance
    omega = explained / total
    slopes = {"omega_total_implied": (d_explained - omega * d_covariance.sum(axis=(0, 1))) / total}

    variances = np.diag(covariance)
    d_variances = np.einsum("iiq->iq", d_covariance)
    spread, root = np.sqrt(variances), np.sqrt(factor_variance)
    standard = loadings * root / spread
    d_standard = (
        d_loadings * (root / spread)[:, None]
        + (loadings / spread)[:, None] * d_variance / (2.0 * root)
        - (standard / (2.0 * variances))[:, None] * d_variances
    )
    r = covariance / np.outer(spread, spread)
    relative = d_variances / (2.0 * variances)[:, None]
    d_r = d_covariance / np.outer(spread, spread)[:, :, None] - r[:, :, None] * (
        relative[:, None, :] + relative[None, :, :]
    )
    cr = float(standard.sum() ** 2 / r.sum())
    slopes["composite_reliability"] = (
        2.0 * standard.sum() * d_standard.sum(axis=0) - cr * d_r.sum(axis=(0, 1))
    ) / r.sum()
    slopes["ave"] = 2.0 * (standard[:, None] * d_standard).mean(axis=0)
    if np.isfinite(coefficient_h(standard)) and (standard**2 < 1.0).all():
        information = float((standard**2 / (1.0 - standard**2)).sum())
        d_information = 2.0 * (standard / (1.0 - standard**2) ** 2) @ d_standard
        slopes["coefficient_h"] = d_information / (1.0 + information) ** 2
    return slopes


def coefficient_errors(
    fit: FitResult, group: int, factor: str, items: Sequence[str]
) -> dict[str, float]:
    """Standard errors of a factor's coefficients.

    Parameters
    ----------
    fit : FitResult
        Its covariance of the estimates is used, robust where the fit's is.
    group : int
        Number of the group, from 0.
    factor : str
    items : sequence of str
        Its indicators, which load on nothing else.

    Returns
    -------
    dict of str to float
        By the names of :func:`coefficient_slopes`; empty where the fit has no standard errors
        or the factor no variance.
    """
    slots = fit.estimate.problem.slots[group]
    state = fit.estimate.locals_[group].state
    vcov = np.asarray(fit.estimate.vcov, dtype=float)
    observed, factors = list(slots.layout.observed), list(slots.layout.factors)
    if factor not in factors or not np.isfinite(vcov).all():
        return {}
    f, places = factors.index(factor), np.array([observed.index(item) for item in items])
    variance = float(state.phi[f, f])
    if not variance > 0.0:
        return {}
    k, q = len(places), slots.n_parameters
    d_loadings = np.zeros((k, q))
    for name, chosen, rows, columns in slots.by_matrix:
        if name == "lambda":
            for parameter, row, column in zip(chosen, rows, columns, strict=True):
                if column == f:
                    d_loadings[places == row, parameter] = 1.0
    p = state.sigma.shape[0]
    d_sigma = np.zeros((p, p, q))
    columns, rows = np.triu_indices(p)
    d_sigma[rows, columns] = d_sigma[columns, rows] = moment_jacobian(slots, state)[0]
    grid = np.ix_(places, places)
    slopes = coefficient_slopes(
        state.matrices["lambda"][places, f],
        variance,
        state.sigma[grid],
        d_loadings,
        factor_variance_jacobian(slots, state)[f],
        d_sigma[grid],
    )
    errors: dict[str, float] = {}
    for coefficient, slope in slopes.items():
        full = np.zeros(len(vcov))
        np.add.at(full, slots.target, slope)
        errors[coefficient] = float(np.sqrt(max(full @ vcov @ full, 0.0)))
    return errors
