"""Every coefficient of a scale with its formula and source, so that nobody asks which one it is.

A coefficient is a row of :data:`COEFFICIENTS`; :func:`scale_coefficients` computes all that the
numbers at hand allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sqvalid.exploratory.extraction import extract
from sqvalid.moments.ordinal import ordinal_moments
from sqvalid.reliability.bounds import (
    armor_theta,
    guttman_bounds,
    odd_even_reliability,
    split_halves,
    ten_berge_bounds,
)
from sqvalid.reliability.categorical import omega_categorical
from sqvalid.reliability.coefficients import (
    alpha_standard_error,
    correlation_from_covariance,
    cronbach_alpha,
    feldt_interval,
    is_regular,
    standardized_alpha,
)
from sqvalid.reliability.hierarchy import coefficient_h
from sqvalid.reliability.intervals import (
    asymptotic_interval,
    bonett_error,
    bootstrap_alpha_interval,
    distribution_free_error,
    log_interval,
)

__all__ = [
    "COEFFICIENTS",
    "COLUMNS",
    "Coefficient",
    "ordinal_coefficients",
    "ordinal_structure",
    "scale_coefficients",
]

Array = npt.NDArray[np.float64]

COLUMNS = (
    "coefficient",
    "estimate",
    "se",
    "ci_lower",
    "ci_upper",
    "interval",
    "metric",
    "formula",
    "source",
)


@dataclass(frozen=True)
class Coefficient:
    """What a number is.

    Parameters
    ----------
    name : str
        Its name, and after ``coefficient.`` its key in the wording tables.
    metric : {"observed", "standardized", "latent_responses"}
        Which sum it is the reliability of: of the answers, of standardised items, or of the
        continuous responses that are thought to lie behind ordered answers.
    formula : str
        C the covariances and R the correlations of the items, V = 1'C1 (or 1'R1), k items.
    source : str
        Who proposed it.
    """

    name: str
    metric: str
    formula: str
    source: str


_ROWS = (
    Coefficient("alpha", "observed", "k/(k-1) (1 - tr C / V)", "Cronbach (1951)"),
    Coefficient(
        "alpha_standardized", "standardized", "k r / (1 + (k-1) r), r = mean correlation",
        "Cronbach (1951)",
    ),
    Coefficient("lambda1", "observed", "1 - tr C / V", "Guttman (1945)"),
    Coefficient(
        "lambda2", "observed", "lambda1 + sqrt(k/(k-1) sum_{i!=j} c_ij^2) / V", "Guttman (1945)"
    ),
    Coefficient("lambda3", "observed", "k/(k-1) lambda1 (= alpha)", "Guttman (1945)"),
    Coefficient(
        "lambda4", "observed", "max over split halves of 4 cov(A,B) / V", "Guttman (1945)"
    ),
    Coefficient(
        "lambda5", "observed", "lambda1 + 2 sqrt(max_j sum_{i!=j} c_ij^2) / V", "Guttman (1945)"
    ),
    Coefficient(
        "lambda6", "observed", "1 - sum_i c_ii (1 - R2_i) / V, R2_i from the other items",
        "Guttman (1945)",
    ),
    Coefficient(
        "mu3", "observed", "third refinement of lambda2 by higher powers of c_ij",
        "ten Berge & Zegers (1978)",
    ),
    Coefficient(
        "split_half_mean", "observed", "mean over split halves of 4 cov(A,B) / V", "Rulon (1939)"
    ),
    Coefficient(
        "split_half_smallest", "observed", "min over split halves of 4 cov(A,B) / V",
        "Revelle (1979): beta",
    ),
    Coefficient(
        "odd_even", "observed", "2 r / (1 + r), r = correlation of odd and even items",
        "Spearman (1910); Brown (1910)",
    ),
    Coefficient(
        "theta", "standardized", "k/(k-1) (1 - 1/e), e = largest eigenvalue of R", "Armor (1974)"
    ),
    Coefficient(
        "omega_one_factor", "standardized",
        "1 - sum_i u_i^2 / V, u^2 = uniquenesses of one minres factor of R",
        "McDonald (1999); psych's omega with one factor",
    ),
    Coefficient(
        "coefficient_h", "standardized", "1 / (1 + 1 / sum_i l_i^2/(1 - l_i^2))",
        "Hancock & Mueller (2001): optimally weighted sum",
    ),
    Coefficient(
        "alpha_ordinal", "latent_responses", "k r / (1 + (k-1) r), r = mean polychoric correlation",
        "Zumbo, Gadermann & Zeisser (2007)",
    ),
    Coefficient(
        "omega_ordinal", "latent_responses",
        "1 - sum_i u_i^2 / V, one minres factor of the polychoric correlations",
        "McDonald (1999)",
    ),
    Coefficient(
        "omega_categorical", "observed",
        "covariance of the sums of two administrations that share the factor / variance of the "
        "sum, both from thresholds and latent correlations",
        "Green & Yang (2009), equation 21",
    ),
    Coefficient(
        "omega_total", "observed", "(sum l)^2 phi / V, V observed", "McDonald (1999)"
    ),
    Coefficient(
        "omega_total_implied", "observed", "(sum l)^2 phi / V, V implied by the model",
        "Jöreskog (1971)",
    ),
    Coefficient(
        "composite_reliability", "standardized", "(sum l)^2 / V, standardised and implied",
        "Fornell & Larcker (1981)",
    ),
    Coefficient("ave", "standardized", "mean of l^2", "Fornell & Larcker (1981)"),
)  # fmt: skip

COEFFICIENTS: Mapping[str, Coefficient] = MappingProxyType({row.name: row for row in _ROWS})
"""Every coefficient by its name."""

_NAN = float("nan")


def _row(
    name: str,
    estimate: float,
    se: float = _NAN,
    ends: tuple[float, float] = (_NAN, _NAN),
    interval: str = "",
) -> dict[str, Any]:
    known = COEFFICIENTS[name]
    return {
        "coefficient": name,
        "estimate": float(estimate),
        "se": se,
        "ci_lower": ends[0],
        "ci_upper": ends[1],
        "interval": interval,
        "metric": known.metric,
        "formula": known.formula,
        "source": known.source,
    }


def _alpha_rows(
    covariance: Array,
    n_obs: int,
    values: Array | None,
    level: float,
    n_bootstrap: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    k = covariance.shape[0]
    alpha = cronbach_alpha(covariance)
    yield _row("alpha", alpha, _NAN, feldt_interval(alpha, n_obs, k, level=level), "feldt")
    error = bonett_error(alpha, n_obs, k)
    ends = log_interval(alpha, error, n_obs, level=level)
    yield _row("alpha", alpha, error, ends, "bonett")
    error = alpha_standard_error(covariance, n_obs)
    ends = asymptotic_interval(alpha, error, level=level)
    yield _row("alpha", alpha, error, ends, "asymptotic_normal")
    if values is None:
        return
    error = distribution_free_error(values)
    ends = asymptotic_interval(alpha, error, level=level)
    yield _row("alpha", alpha, error, ends, "asymptotic_distribution_free")
    if n_bootstrap:
        found = bootstrap_alpha_interval(values, level=level, n_draws=n_bootstrap, seed=seed)
        for kind, ends in found.items():
            yield _row("alpha", alpha, _NAN, ends, f"bootstrap_{kind}")


def scale_coefficients(
    covariance: Array,
    n_obs: int,
    *,
    values: Array | None = None,
    model: Mapping[str, float] | None = None,
    loadings: Array | None = None,
    errors: Mapping[str, float] | None = None,
    level: float = 0.95,
    n_bootstrap: int = 0,
    seed: int = 20_261_125,
) -> list[dict[str, Any]]:
    """Compute every coefficient that covariances, answers and a model allow.

    Parameters
    ----------
    covariance : ndarray (k, k)
        At least two items.
    n_obs : int
        Respondents.
    values : ndarray (n, k), optional
        Complete answers, for intervals that need them.
    model : mapping of str to float, optional
        Coefficients that a fitted model gave.
    loadings : ndarray (k,), optional
        Standardised loadings of that model; in their place one factor is extracted.
    errors : mapping of str to float, optional
        Standard errors that the model gives; intervals of reliabilities are then made on the
        scale of ln(1 - reliability), that of AVE on its own.
    level : float
        Coverage.
    n_bootstrap : int
        Resamples; none by default.
    seed : int
        Of resamples and of random splits.

    Returns
    -------
    list of dict
        Rows with :data:`COLUMNS`.
    """
    k = covariance.shape[0]
    correlation = correlation_from_covariance(covariance)
    rows = list(_alpha_rows(covariance, n_obs, values, level, n_bootstrap, seed))
    rows.append(_row("alpha_standardized", standardized_alpha(correlation)))
    rows += [_row(name, value) for name, value in guttman_bounds(covariance, seed=seed).items()]
    rows.append(_row("mu3", ten_berge_bounds(covariance)[-1]))
    halves = split_halves(covariance, seed=seed)
    rows.append(_row("split_half_mean", halves.mean))
    rows.append(_row("split_half_smallest", halves.smallest))
    rows.append(_row("odd_even", odd_even_reliability(covariance)[1]))
    rows.append(_row("theta", armor_theta(correlation)))
    own = loadings if model and loadings is not None else None
    if own is None and k > 2 and is_regular(correlation):
        factor = extract(correlation, 1, "minres")
        own = factor.loadings[:, 0]
        omega = 1.0 - factor.uniquenesses.sum() / correlation.sum()
        rows.append(_row("omega_one_factor", float(omega)))
    given = dict(model or {})
    if own is not None:
        given = {"coefficient_h": coefficient_h(own)} | given
    for name, value in given.items():
        if name in COEFFICIENTS:
            error = (errors or {}).get(name, _NAN)
            if np.isnan(error):
                rows.append(_row(name, value))
            elif name == "ave":
                ends = asymptotic_interval(value, error, level=level)
                rows.append(_row(name, value, error, ends, "delta"))
            else:
                ends = log_interval(value, error, n_obs, level=level)
                rows.append(_row(name, value, error, ends, "delta_log"))
    return rows


def ordinal_structure(values: Array) -> tuple[Array, list[Array], list[Array], int]:
    """Polychoric correlations, thresholds and scores of complete ordered answers.

    Parameters
    ----------
    values : ndarray (n, k)
        Every item with at least two answers that were given.

    Returns
    -------
    correlation : ndarray (k, k)
    thresholds : list of ndarray
    scores : list of ndarray
        The answers that were given, in order.
    n_empty : int
        Pairs of answers that nobody gave together, over all pairs of items.
    """
    levels = [np.unique(column) for column in values.T]
    found = ordinal_moments(values, levels)
    thresholds = [found.thresholds[found.owner == i] for i in range(values.shape[1])]
    return found.covariance, thresholds, levels, int(np.tril(found.empty_cells, -1).sum())


def ordinal_coefficients(
    correlation: Array, thresholds: Sequence[Array], scores: Sequence[Array]
) -> list[dict[str, Any]]:
    """Alpha and omega of ordered answers.

    Parameters
    ----------
    correlation : ndarray (k, k)
        Polychoric.
    thresholds, scores : sequence of ndarray
        Per item.

    Returns
    -------
    list of dict
        Omega only where there are three items and the matrix is positive definite.
    """
    k = len(correlation)
    rows = [_row("alpha_ordinal", standardized_alpha(correlation))]
    if k > 2 and is_regular(correlation):
        factor = extract(correlation, 1, "minres")
        rows.append(
            _row("omega_ordinal", float(1.0 - factor.uniquenesses.sum() / correlation.sum()))
        )
        loadings = factor.loadings[:, 0]
        rows.append(
            _row("omega_categorical", omega_categorical(loadings, thresholds, correlation, scores))
        )
    return rows
