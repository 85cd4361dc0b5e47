"""The two models every fit is held against: saturated and independence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqvalid.latent.implied import Array

_LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Baseline:
    """Fit of the independence model.

    Parameters
    ----------
    chisq : float
    df : int
    scaling_factor : float, optional
        Of the scaled statistic, where one was asked for.
    """

    chisq: float
    df: int
    scaling_factor: float | None = None


def log_det(matrix: Array) -> float:
    """Log determinant of a positive definite matrix."""
    return float(np.linalg.slogdet(matrix)[1])


def baseline_half_f(covariance: Array, exogenous: Sequence[int]) -> float:
    """F/2 of the independence model of one group.

    Variables are uncorrelated, except that exogenous covariates keep their covariances.
    """
    free = [j for j in range(covariance.shape[0]) if j not in set(exogenous)]
    total = float(np.log(np.diag(covariance)[free]).sum())
    if exogenous:
        total += log_det(covariance[np.ix_(exogenous, exogenous)])
    return 0.5 * (total - log_det(covariance))


def baseline_df(n_variables: int, n_exogenous: int) -> int:
    """Degrees of freedom of the independence model in one group."""
    return (n_variables * (n_variables - 1) - n_exogenous * (n_exogenous - 1)) // 2


def saturated_logl(n_obs: float, covariance: Array) -> float:
    """Log-likelihood of the saturated model."""
    p = len(covariance)
    return -0.5 * n_obs * (p * _LOG_TWO_PI + log_det(covariance) + p)
