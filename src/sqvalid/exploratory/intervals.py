r"""How uncertain rotated loadings are: analytic standard errors, and the bootstrap.

Rotated loadings and factor correlations :math:`\theta` solve the equations of the extraction, and
of the rotation :math:`c(\theta) = 0`. With :math:`\Delta` the derivatives of the reproduced
correlations, W the weight of the extraction and :math:`\Gamma` the asymptotic covariance of the
sample correlations, their covariance is

.. math:: \frac{1}{n} A \Delta' W \Gamma W \Delta A, \qquad
   \begin{pmatrix} A & \cdot \\ \cdot & \cdot \end{pmatrix} =
   \begin{pmatrix} \Delta' W \Delta & C' \\ C & 0 \end{pmatrix}^{-1}

with C the derivatives of c (Jennrich 1974; Browne 1984). Maximum likelihood has
:math:`W = \Gamma^{-1}` of the model, least squares the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

from sqvalid.display import Result, Table
from sqvalid.errors import (
    EstimationError,
    InputError,
    OptionError,
    SqvalidError,
    UnsupportedError,
    check_choice,
)
from sqvalid.exploratory.analysis import RotatedFactors, rotated_factors
from sqvalid.exploratory.extraction import LOWEST
from sqvalid.exploratory.matrices import correlate_values, smoothed
from sqvalid.exploratory.result import EfaResult, EfaSetup
from sqvalid.moments.ordinal import ordinal_moments
from sqvalid.resampling import percentile_interval, row_numbers
from sqvalid.rotation import CRITERIA, Setting, habit, stationarity

__all__ = [
    "LoadingIntervals", "align_columns", "correlation_covariance", "loading_intervals",
]  # fmt: skip

Array = npt.NDArray[np.float64]
_METHODS = ("normal", "robust", "bootstrap")
# Weight of the residual correlations; None is the inverse of their covariance.
_ANALYTIC = ("ml", "gls", "minres", "paf", "wls")
_STEP = 1e-5


@dataclass(frozen=True, repr=False, eq=False)
class LoadingIntervals(Result):
    """Standard errors and intervals of a rotated solution.

    Made by :meth:`EfaResult.intervals`.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``item factor est se ci_lower ci_upper``: one row per loading, then one per pair of factors,
        the first of them as the item.
    method : str
    level : float
    n_draws, n_failed : int
        Of the bootstrap; draws that gave no solution.
    """

    frame: pd.DataFrame
    method: str
    level: float
    n_draws: int = 0
    n_failed: int = 0

    def _headline(self) -> str:
        drawn = f", {self.n_draws - self.n_failed} of {self.n_draws} draws" if self.n_draws else ""
        return f"{self.level:.0%} intervals of loadings ({self.method}{drawn})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per loading and per pair of factors."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """Estimates with standard errors and intervals."""
        return (Table(self.frame, formats=dict.fromkeys(self.frame.columns[2:], "unit")),)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "intervals": self.frame,
            "method": self.method,
            "level": self.level,
            "n_draws": self.n_draws,
            "n_failed": self.n_failed,
        }


def loading_intervals(
    fit: EfaResult,
    method: str = "normal",
    *,
    level: float = 0.95,
    n_draws: int = 1000,
    seed: int = 20261122,
) -> LoadingIntervals:
    """Standard errors and intervals of rotated loadings and factor correlations.

    Parameters
    ----------
    fit : EfaResult
    method : {"normal", "robust", "bootstrap"}
        Analytic for normal answers; analytic with the covariance of the correlations as the answers
        have it (for polychoric correlations, that of the two-step estimates); or percentiles of
        resamples, whose factors are put into the order and direction of the sample's.
    level : float
    n_draws, seed : int
        Of the bootstrap.

    Returns
    -------
    LoadingIntervals

    Raises
    ------
    UnsupportedError
        Analytic errors of promax, alpha and components, of answers with gaps, of a Heywood case, or
        without the answers they need.
    InputError
        A bootstrap of a matrix, or no number of respondents.

    Notes
    -----
    Analytic errors of principal axes are those of minres, which they tend to. Robust errors of
    maximum likelihood take the misfit of the model to be small, as usual.

    References
    ----------
    Jennrich (1973, 1974), Psychometrika; Browne (1984); Zhang, Preacher & Jennrich (2012).
    """
    check_choice("method", method, _METHODS)
    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} is no share.", remedy="Use 0.95.")
    if fit.n_obs is None:
        raise InputError(
            "Without a number of respondents nothing is known about precision.",
            remedy="Give n_obs= to efa().",
        )
    m = fit.setup.n_factors
    estimate = _vector(fit.loadings.to_numpy(dtype=float), fit.factor_correlations.to_numpy(float))
    failed = 0
    if method == "bootstrap":
        draws, failed = _resampled(fit, n_draws, seed)
        se = draws.std(axis=0, ddof=1)
        lower, upper = percentile_interval(draws, estimate, level)
    else:
        se = _analytic(fit, robust=method == "robust")
        half = float(ndtri((1.0 + level) / 2.0)) * se
        lower, upper = estimate - half, estimate + half
    names = [str(c) for c in fit.loadings.columns]
    places = [(str(item), factor) for item in fit.loadings.index for factor in names]
    places += [(names[j], names[i]) for i in range(m) for j in range(i)]
    frame = pd.DataFrame(places, columns=["item", "factor"]).assign(
        est=estimate, se=se, ci_lower=lower, ci_upper=upper
    )
    fixed = frame["item"].isin(names).to_numpy() & (se <= 0.0)
    frame.loc[fixed, ["se", "ci_lower", "ci_upper"]] = np.nan
    return LoadingIntervals(
        frame, method, level, n_draws if method == "bootstrap" else 0, failed
    )  # fmt: skip


def _vector(pattern: Array, phi: Array) -> Array:
    """Loadings row by row, then factor correlations below the diagonal."""
    return np.concatenate([pattern.ravel(), phi[np.tril_indices(len(phi), -1)]])


# --- analytic ----------------------------------------------------------------------------


def correlation_covariance(correlation: Array) -> Array:
    """N times the covariance of sample correlations of normal variables.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
        In the population.

    Returns
    -------
    ndarray, shape (p(p - 1)/2, p(p - 1)/2)
        In the order of ``numpy.triu_indices(p, 1)``.

    References
    ----------
    Olkin & Siotani (1976); Steiger (1980).
    """
    r = correlation
    first, second = np.triu_indices(len(r), 1)
    i, j = first[:, None], second[:, None]
    k, h = first[None, :], second[None, :]
    ik, ih, jk, jh = r[i, k], r[i, h], r[j, k], r[j, h]
    ij, kh = r[i, j], r[k, h]
    return np.asarray(
        0.5 * ij * kh * (ik**2 + ih**2 + jk**2 + jh**2)
        + ik * jh
        + ih * jk
        - ij * (ik * ih + jk * jh)
        - kh * (ik * jk + ih * jh)
    )


def _sample_covariance(fit: EfaResult) -> Array:
    """N times the covariance of the correlations as the answers have it."""
    assert fit.answers is not None
    values = fit.answers.to_numpy(dtype=float)
    values = values[~np.isnan(values).any(axis=1)]
    p = values.shape[1]
    if fit.setup.correlation == "polychoric":
        found = ordinal_moments(values, [np.unique(column) for column in values.T])
        size = p * (p - 1) // 2
        own = found.influence[:, -size:]
        return np.asarray(len(values) * own.T @ own)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    first, second = np.triu_indices(p, 1)
    r = fit.correlation.to_numpy(dtype=float)[first, second]
    influence = z[:, first] * z[:, second] - r * (z[:, first] ** 2 + z[:, second] ** 2) / 2.0
    return np.asarray(influence.T @ influence / len(z))


def _check_analytic(fit: EfaResult, robust: bool) -> None:
    setup = fit.setup
    trouble = ""
    if setup.extraction not in _ANALYTIC:
        trouble = f"extraction={setup.extraction!r} has no analytic standard errors."
    elif setup.rotation not in (*CRITERIA, "none"):
        trouble = f"rotation={setup.rotation!r} minimises no criterion of the loadings."
    elif setup.rotation.startswith("target") and setup.kaiser:
        trouble = "A target with Kaiser's weights has no analytic standard errors."
    elif fit.found.heywood.size or (fit.found.uniquenesses <= LOWEST).any():
        trouble = "A solution at its bound (Heywood case) has no analytic standard errors."
    elif any(d.code == "correlation_smoothed" for d in fit.diagnostics):
        trouble = "Repaired correlations have no analytic standard errors."
    elif (
        setup.missing != "listwise"
        and fit.answers is not None
        and fit.answers.isna().to_numpy().any()
    ):
        trouble = f"Answers with gaps, missing={setup.missing!r}, have no analytic errors here."
    elif setup.correlation == "polychoric" and not robust:
        trouble = "Polychoric correlations do not vary as those of normal variables."
    if trouble:
        other = "method='robust'" if "Polychoric" in trouble else "method='bootstrap'"
        raise UnsupportedError(trouble, remedy=f"Use {other}.")
    if robust and fit.answers is None:
        raise UnsupportedError(
            "A matrix does not tell how the answers are distributed.",
            remedy="Use method='normal', or give the answers.",
        )


def _analytic(fit: EfaResult, *, robust: bool) -> Array:
    _check_analytic(fit, robust)
    setup = fit.setup
    r = fit.correlation.to_numpy(dtype=float)
    parts = rotated_factors(r, setup)
    pattern, phi = parts.turned.loadings, parts.turned.phi
    p, m = pattern.shape
    oblique = setup.rotation in CRITERIA and not CRITERIA[setup.rotation][0]
    delta = _derivatives(pattern, phi, oblique=oblique)
    implied = pattern @ phi @ pattern.T
    np.fill_diagonal(implied, 1.0)
    normal = correlation_covariance(implied)
    if setup.extraction in ("ml", "gls"):
        weighted = np.linalg.solve(normal, delta)
    elif setup.extraction == "wls":
        weight = np.diag(np.linalg.inv(r))
        first, second = np.triu_indices(p, 1)
        weighted = delta * (weight[first] * weight[second])[:, None]
    else:
        weighted = delta
    information = delta.T @ weighted
    constraints = _constraint_slopes(pattern, phi, setup, oblique=oblique)
    q, c = information.shape[0], constraints.shape[0]
    bordered = np.zeros((q + c, q + c))
    bordered[:q, :q] = information
    bordered[q:, :q], bordered[:q, q:] = constraints, constraints.T
    inner = np.linalg.inv(bordered)[:q, :q]
    gamma = _sample_covariance(fit) if robust else normal
    assert fit.n_obs is not None
    covariance = inner @ (weighted.T @ gamma @ weighted) @ inner / fit.n_obs
    errors = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    loadings = errors[: p * m].reshape(p, m)[:, parts.order]
    between = np.zeros((m, m))
    if oblique:
        between[np.tril_indices(m, -1)] = errors[p * m :]
        between = (between + between.T)[np.ix_(parts.order, parts.order)]
    return _vector(loadings, between)


def _derivatives(pattern: Array, phi: Array, *, oblique: bool) -> Array:
    """Derivatives of the reproduced correlations by loadings and factor correlations."""
    p, m = pattern.shape
    first, second = np.triu_indices(p, 1)
    pairs = np.arange(len(first))
    structure = pattern @ phi
    by_loading = np.zeros((len(first), p, m))
    by_loading[pairs, first] = structure[second]
    by_loading[pairs, second] += structure[first]
    out = by_loading.reshape(len(first), p * m)
    if not oblique:
        return out
    a, b = np.tril_indices(m, -1)
    by_phi = (
        pattern[first][:, a] * pattern[second][:, b] + pattern[first][:, b] * pattern[second][:, a]
    )
    return np.hstack([out, by_phi])


def _constraint_slopes(pattern: Array, phi: Array, setup: EfaSetup, *, oblique: bool) -> Array:
    """Derivatives of what the rotation sets to zero, by central differences."""
    p, m = pattern.shape
    lower = np.tril_indices(m, -1)

    def constraints(theta: Array) -> Array:
        loadings = theta[: p * m].reshape(p, m)
        between = np.eye(m)
        if oblique:
            between[lower] = theta[p * m :]
            between = between + between.T - np.eye(m)
        if setup.rotation == "none":
            weight = np.ones(p)
            if setup.extraction == "ml":
                weight = 1.0 / (1.0 - (loadings**2).sum(axis=1))
            return np.asarray((loadings.T @ (loadings * weight[:, None]))[lower])
        options = setup.rotation_options
        known = {k: options[k] for k in ("gamma", "epsilon", "kappa", "target") if k in options}
        orthogonal, make = CRITERIA[setup.rotation]
        return stationarity(
            loadings, between, make(Setting(p, m, **known)), orthogonal=orthogonal,
            kaiser=habit(setup.rotation) if setup.kaiser is None else setup.kaiser,
        )  # fmt: skip

    theta = pattern.ravel()
    if oblique:
        theta = np.concatenate([theta, phi[lower]])
    columns = []
    for k in range(len(theta)):
        h = np.zeros(len(theta))
        h[k] = _STEP
        columns.append((constraints(theta + h) - constraints(theta - h)) / (2.0 * _STEP))
    return np.column_stack(columns)


# --- bootstrap ---------------------------------------------------------------------------


def align_columns(pattern: Array, target: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """Order and signs that bring columns as near as they come to those of a target.

    Parameters
    ----------
    pattern, target : ndarray, shape (p, m)

    Returns
    -------
    order : ndarray of int, shape (m,)
        ``pattern[:, order] * sign`` is aligned.
    sign : ndarray, shape (m,)

    Notes
    -----
    Every column finds one partner, so that the sum of the absolute congruences is largest.
    """
    length = np.outer(np.linalg.norm(target, axis=0), np.linalg.norm(pattern, axis=0))
    alike = target.T @ pattern / np.maximum(length, 1e-300)
    _, order = linear_sum_assignment(-np.abs(alike))
    sign = np.where(alike[np.arange(len(order)), order] < 0.0, -1.0, 1.0)
    return order, sign


def draw_solution(values: Array, setup: EfaSetup) -> RotatedFactors | None:
    """The same analysis of other answers; None where it is not possible.

    Parameters
    ----------
    values : ndarray, shape (n, p)
    setup : EfaSetup

    Returns
    -------
    RotatedFactors or None
    """
    try:
        if (np.nanstd(values, axis=0) <= 1e-12).any():
            return None
        r = correlate_values(values, setup.correlation, setup.missing)[0]
        if not np.isfinite(r).all():
            return None
        if np.linalg.eigvalsh(r)[0] < 1e-10:
            if not setup.smooth:
                return None
            r = smoothed(r)
        return rotated_factors(r, setup)
    except (SqvalidError, np.linalg.LinAlgError):
        return None


def _resampled(fit: EfaResult, n_draws: int, seed: int) -> tuple[Array, int]:
    if fit.answers is None:
        raise InputError(
            "A correlation matrix has no respondents to draw.",
            remedy="Use method='normal', or give the answers to efa().",
        )
    if n_draws < 20:
        raise OptionError(f"n_draws={n_draws!r} are too few.", remedy="Use 1000.")
    values = fit.answers.to_numpy(dtype=float)
    gap = np.isnan(values)
    keep = gap.any(axis=1) if fit.setup.missing == "listwise" else gap.all(axis=1)
    values = values[~keep]
    target = fit.loadings.to_numpy(dtype=float)
    draws, failed = [], 0
    for k in range(n_draws):
        found = draw_solution(values[row_numbers(seed, k, len(values), len(values))], fit.setup)
        if found is None:
            failed += 1
            continue
        order, sign = align_columns(found.pattern, target)
        phi = found.phi[np.ix_(order, order)] * np.outer(sign, sign)
        draws.append(_vector(found.pattern[:, order] * sign, phi))
    if len(draws) < max(20, n_draws // 2):
        raise EstimationError(
            f"{failed} of {n_draws} resamples gave no solution.",
            remedy="Use fewer factors, or items that vary more.",
        )
    return np.array(draws), failed
