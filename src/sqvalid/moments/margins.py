r"""First step of ordinal statistics: one variable at a time, given covariates or not.

An ordered variable has thresholds (and slopes of the normal variable behind it), a numeric one a
mean (or a regression) and a variance; all by maximum likelihood. Each comes with what every
respondent adds to its error: the inverse of the mean cross-products of scores times their score.

Parameters of all variables stand side by side: thresholds of ordered variables and minus the
intercepts of numeric ones, variable after variable; slopes, covariate after covariate; variances
of numeric variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sqvalid.errors import EstimationError
from sqvalid.moments.bivariate import FAR, density, interval_probability
from sqvalid.moments.polychoric import category_counts, threshold_table

__all__ = ["Layout", "Margins", "item_codes", "margins"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_MAX_STEPS = 50
# Slopes per standard deviation of a covariate beyond which groups of respondents are separated.
_STEEPEST = 25.0


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the statistics of one group stand in their vector.

    Parameters
    ----------
    ordered : ndarray of bool, shape (p,)
    n_levels : ndarray of int, shape (p,)
        0 for a numeric variable.
    n_covariates : int
    """

    ordered: npt.NDArray[np.bool_]
    n_levels: Index
    n_covariates: int = 0

    @property
    def n_variables(self) -> int:
        """Number of variables."""
        return len(self.ordered)

    @cached_property
    def widths(self) -> Index:
        """Thresholds, or the one intercept, of every variable."""
        return np.where(self.ordered, self.n_levels - 1, 1)

    @cached_property
    def starts(self) -> Index:
        """First entry of every variable, and the number of all of them, shape (p + 1,)."""
        return np.concatenate([[0], np.cumsum(self.widths)]).astype(np.intp)

    @cached_property
    def owner(self) -> Index:
        """Which variable an entry of the first part belongs to."""
        return np.repeat(np.arange(self.n_variables), self.widths)

    @cached_property
    def n_thresholds(self) -> int:
        """Length of the first part."""
        return int(self.widths.sum())

    @cached_property
    def variance_places(self) -> Index:
        """Where the variance of every variable stands; -1 for an ordered one."""
        before = self.n_thresholds + self.n_variables * self.n_covariates
        return np.where(self.ordered, -1, before + np.cumsum(~self.ordered) - 1)

    @property
    def n_first(self) -> int:
        """Statistics of single variables."""
        slopes = self.n_variables * self.n_covariates
        return self.n_thresholds + slopes + int((~self.ordered).sum())

    def slope_places(self, variable: int) -> Index:
        """Where the slopes of a variable stand, covariate after covariate."""
        step = np.arange(self.n_covariates) * self.n_variables
        return np.asarray(self.n_thresholds + variable + step, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Margins:
    """All variables, one at a time.

    Parameters
    ----------
    layout : Layout
    thresholds : ndarray, shape (p, k + 1)
        From minus to plus infinity; rows of numeric variables hold nothing of interest.
    intercepts, variances : ndarray, shape (p,)
        0 and 1 for ordered variables. Residual variances where there are covariates.
    slopes : ndarray, shape (p, q)
    codes : ndarray of int, shape (n, p)
        Categories from 0; -1 where missing; 0 for a numeric variable.
    residuals : ndarray, shape (n, p)
        Of numeric variables, over their standard deviation; NaN where missing.
    shift : ndarray, shape (n, p)
        What the covariates add to the variable behind an ordered one.
    influence : ndarray, shape (n, n_first)
        What every respondent adds to the statistics' errors.
    by_answer : ndarray, shape (p, k + 1, k - 1)
        The same of the thresholds of an ordered variable without covariates, and before weights, by
        category; the last row, of zeros, is for a missing answer.
    covariates : ndarray, shape (n, q)
    weights : ndarray, shape (n,), optional
    """

    layout: Layout
    thresholds: Array
    intercepts: Array
    variances: Array
    slopes: Array
    codes: Index
    residuals: Array
    shift: Array
    influence: Array
    by_answer: Array
    covariates: Array
    weights: Array | None

    @property
    def statistics(self) -> Array:
        """Thresholds and minus intercepts, variable after variable."""
        parts = [
            self.thresholds[j, 1 : self.layout.n_levels[j]]
            if self.layout.ordered[j]
            else -self.intercepts[j : j + 1]
            for j in range(self.layout.n_variables)
        ]
        return np.concatenate(parts)

    def limits(self, variables: Index) -> tuple[Array, Array]:
        """Between which values every respondent's variable is, shape (n, len(variables)); twice."""
        codes = np.maximum(self.codes[:, variables], 0)
        low = self.thresholds[variables, codes] - self.shift[:, variables]
        high = self.thresholds[variables, codes + 1] - self.shift[:, variables]
        return low, high


def item_codes(values: Array, levels: Sequence[Array | None]) -> Index:
    """Categories from 0, -1 where missing; 0 for a numeric variable.

    Parameters
    ----------
    values : ndarray, shape (n, p)
    levels : sequence of (ndarray or None)
        Categories in order, whole numbers; None for a numeric variable.
    """
    n, p = values.shape
    # Whole numbers without a gap need no search: all such items at once.
    lowest, plain = np.zeros(p), np.ones(p, dtype=bool)
    for j, level in enumerate(levels):
        if level is not None:
            lowest[j] = level[0]
            plain[j] = level[-1] - level[0] == len(level) - 1
    numeric = np.array([level is None for level in levels])
    gap = np.subtract(values, lowest, out=np.zeros((n, p)), where=~numeric)
    gap[np.isnan(gap)] = -1.0
    codes = gap.astype(np.intp)
    for j, level in enumerate(levels):
        if level is not None and not plain[j]:
            there = ~np.isnan(values[:, j])
            codes[there, j] = np.searchsorted(level, values[there, j])
    return codes


def margins(
    values: Array,
    levels: Sequence[Array | None],
    covariates: Array | None = None,
    weights: Array | None = None,
) -> Margins:
    """Statistics of every variable by itself.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing.
    levels : sequence of (ndarray or None)
        Per variable its categories in order, every one of them chosen by somebody; None for a
        numeric variable.
    covariates : ndarray, shape (n, q), optional
        Complete, of full rank beside a constant.
    weights : ndarray, shape (n,), optional
        Sampling weights.

    Raises
    ------
    EstimationError
        Where the covariates tell the categories of an item apart without error.
    """
    n, p = values.shape
    ordered = np.array([level is not None for level in levels])
    n_levels = np.array([0 if level is None else len(level) for level in levels], dtype=np.intp)
    x = np.zeros((n, 0)) if covariates is None else covariates
    layout = Layout(ordered, n_levels, x.shape[1])
    codes = item_codes(values, levels)
    counts = category_counts(codes, n_levels, weights)
    thresholds = np.full((p, counts.shape[1] + 1), FAR)
    thresholds[ordered] = threshold_table(counts[ordered], n_levels[ordered])
    intercepts, variances = np.zeros(p), np.ones(p)
    slopes, residuals = np.zeros((p, x.shape[1])), np.zeros((n, p))
    influence = np.zeros((n, layout.n_first), order="F")
    starts, places = layout.starts, layout.variance_places
    by_answer = _threshold_influence(layout, thresholds, counts)
    for j in range(p):
        if ordered[j] and not layout.n_covariates:
            # Column by column, as the influence lies in memory; category -1 is the last row.
            table = by_answer[j, :, : n_levels[j] - 1].T
            influence[:, starts[j] : starts[j + 1]] = table[:, codes[:, j]].T
            continue
        own = np.r_[starts[j] : starts[j + 1], layout.slope_places(j)]
        if not ordered[j]:
            found = _regression(values[:, j], x, weights)
            intercepts[j], slopes[j], variances[j] = found.intercept, found.slopes, found.variance
            residuals[:, j] = found.residuals / np.sqrt(found.variance)
            influence[:, np.r_[own, places[j]]] = found.influence
        else:
            tau, slopes[j], influence[:, own] = _probit(
                codes[:, j], thresholds[j, 1 : n_levels[j]], x, weights
            )
            thresholds[j, 1 : n_levels[j]] = tau
    if weights is not None:
        influence *= weights[:, None]
    return Margins(
        layout=layout,
        thresholds=thresholds,
        intercepts=intercepts,
        variances=variances,
        slopes=slopes,
        codes=codes,
        residuals=residuals,
        shift=x @ slopes.T,
        influence=influence,
        by_answer=by_answer,
        covariates=x,
        weights=weights,
    )


def _threshold_influence(layout: Layout, thresholds: Array, counts: Array) -> Array:
    """(1 - F) / phi where the answer is at or below a threshold, else -F / phi, over n."""
    k = counts.shape[1]
    total = counts.sum(axis=1)[:, None]
    share = np.cumsum(counts, axis=1)[:, : k - 1] / total
    chosen = np.arange(k + 1)[:, None] <= np.arange(k - 1)
    # Beyond a variable's own thresholds nothing is read, and nothing is to be divided by.
    own = np.arange(1, k)[None, :] < layout.n_levels[:, None]
    height = np.where(own, density(thresholds[:, 1:-1]), 1.0) * total
    out = np.asarray((chosen[None] - share[:, None, :]) / height[:, None, :])
    out[:, k] = 0.0
    return out * own[:, None, :]


@dataclass(frozen=True, eq=False)
class _Regression:
    intercept: float
    slopes: Array
    variance: float
    residuals: Array
    influence: Array


def _regression(y: Array, x: Array, weights: Array | None) -> _Regression:
    """Least squares, with influence on minus the intercept, the slopes and the variance."""
    there = ~np.isnan(y)
    w = there.astype(float) if weights is None else np.where(there, weights, 0.0)
    design = np.column_stack([np.ones(len(y)), x])
    filled = np.where(there, y, 0.0)
    weighted = design * w[:, None]
    coefficients = np.linalg.solve(weighted.T @ design, weighted.T @ filled)
    residuals = y - design @ coefficients
    known = np.where(there, residuals, 0.0)
    variance = float(w @ known**2 / w.sum())
    # Scores of the statistics as they stand: the first is of minus the intercept.
    scores = np.column_stack(
        [
            -known / variance,
            x * (known / variance)[:, None],
            np.where(there, known**2 / variance - 1.0, 0.0) / (2.0 * variance),
        ]
    )
    return _Regression(
        float(coefficients[0]),
        coefficients[1:],
        variance,
        residuals,
        _solved(scores, weights),
    )


def _solved(scores: Array, weights: Array | None) -> Array:
    """Scores over their sum of cross-products, scaled on the way for the digits' sake."""
    left = scores if weights is None else scores * weights[:, None]
    cross = left.T @ scores
    size = np.sqrt(np.diag(cross))
    return np.asarray(np.linalg.solve(cross / np.outer(size, size), (scores / size).T).T / size)


def _probit(
    codes: Index, start: Array, x: Array, weights: Array | None
) -> tuple[Array, Array, Array]:
    """Ordered probit regression by Newton's method.

    Returns
    -------
    thresholds : ndarray, shape (k - 1,)
    slopes : ndarray, shape (q,)
    influence : ndarray, shape (n, k - 1 + q)

    References
    ----------
    McKelvey & Zavoina (1975), Journal of Mathematical Sociology 4.
    """
    there = codes >= 0
    own, given = codes[there], x[there]
    w = np.ones(len(own)) if weights is None else weights[there]
    width = len(start)
    upper = np.hstack([(own[:, None] == np.arange(width)).astype(float), -given])
    lower = np.hstack([(own[:, None] == np.arange(width) + 1).astype(float), -given])
    first, last = own == 0, own == width
    # An outer limit is at infinity whatever the parameters.
    lower[first], upper[last] = 0.0, 0.0
    bottom, top = np.where(first, -FAR, 0.0), np.where(last, FAR, 0.0)

    def likelihood(at: Array) -> tuple[float, Array, Array, Array]:
        low, high = lower @ at + bottom, upper @ at + top
        probability = interval_probability(low, high)
        if (probability <= 0).any():
            return -np.inf, low, high, probability
        return float(w @ np.log(probability)), low, high, probability

    at = np.concatenate([start, np.zeros(x.shape[1])])
    value, low, high, probability = likelihood(at)
    for _ in range(_MAX_STEPS):
        u, v = density(high) / probability, density(low) / probability
        scores = upper * u[:, None] - lower * v[:, None]
        mixed = upper.T @ (lower * (w * u * v)[:, None])
        hessian = (
            upper.T @ (upper * (w * (-high * u - u * u))[:, None])
            + lower.T @ (lower * (w * (low * v - v * v))[:, None])
            + mixed
            + mixed.T
        )
        gradient = w @ scores
        step = np.linalg.solve(-hessian, gradient)
        gain = float(gradient @ step)
        for _ in range(30):
            new, *limits = likelihood(at + step)
            if new >= value - 1e-10 * abs(value):
                break
            step = step / 2.0
        at, value = at + step, new
        low, high, probability = limits
        if gain < 1e-16 * w.sum():
            break
        if np.abs(at[width:] * given.std(axis=0)).max(initial=0.0) > _STEEPEST:
            raise EstimationError(
                "The covariates tell the categories apart without error: a slope has no bound.",
                remedy="Leave out the covariate, or put categories together.",
            )
    u, v = density(high) / probability, density(low) / probability
    scores = np.zeros((len(codes), len(at)))
    scores[there] = upper * u[:, None] - lower * v[:, None]
    return at[:width], at[width:], _solved(scores, weights)
