r"""Correlations of pairs with a numeric variable or covariates: likelihood case by case.

Every function takes columns, one per pair, and finds all their correlations together. `score` is
the derivative of a respondent's log-likelihood by the correlation; the other parts are its
derivatives by what the first step has estimated: the limits an ordered variable lies between, and
location (in standard deviations) and variance (as a share of itself) of a numeric one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.moments.bivariate import (
    bivariate_density,
    certain_probability,
    density,
    dependence,
    dependence_step,
    interval_probability,
)
from sqvalid.moments.polychoric import EDGE

__all__ = [
    "NumericSide",
    "OrderedSide",
    "PairScores",
    "numeric_pairs",
    "ordered_case_pairs",
    "serial_pairs",
]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_MAX_STEPS = 60
_TOLERANCE = 1e-8
_FLAT = 1e-13
_FLAT_GAIN = 1e-10
_LEAST = 1e-15
# Two numeric variables need no room to the edge: their likelihood is no cell's probability.
_NUMERIC_EDGE = 1.0 - 1e-9


@dataclass(frozen=True, eq=False)
class OrderedSide:
    """Derivatives by the upper and the lower limit of an ordered variable, shape (n, m)."""

    upper: Array
    lower: Array


@dataclass(frozen=True, eq=False)
class NumericSide:
    """Derivatives by the location and the relative variance of a numeric one, shape (n, m)."""

    location: Array
    spread: Array


@dataclass(frozen=True, eq=False)
class PairScores:
    """Correlations of m pairs, and scores of n respondents; zero where an answer is missing.

    `certain` marks pairs whose likelihood is largest at a correlation of one or minus one; `rho` is
    near it then, and the scores are of no use.
    """

    rho: Array
    score: Array
    first: OrderedSide | NumericSide
    second: OrderedSide | NumericSide
    certain: Mask


def _search(
    rho: Array,
    weights: Array,
    derivatives: Callable[[Array], tuple[Array, Array]],
    edge: float = EDGE,
) -> Array:
    """Newton steps from `rho`; `derivatives` gives first and second ones, shape (n, m)."""
    rho = np.clip(rho, -edge, edge)
    total = weights.sum(axis=0)
    for _ in range(_MAX_STEPS):
        score, bend = derivatives(rho)
        gradient = np.einsum("nm,nm->m", weights, score) / total
        curvature = -np.einsum("nm,nm->m", weights, bend) / total
        # Where it is not concave, the mean squared score, which is positive.
        squares = np.einsum("nm,nm,nm->m", weights, score, score) / total
        step = gradient / np.maximum(np.where(curvature > 0, curvature, squares), 1e-12)
        step[np.abs(gradient) < _FLAT] = 0.0
        room = np.where(step > 0, edge - rho, rho + edge)
        step = np.sign(step) * np.minimum(np.abs(step), 0.5 * room + 1e-7)
        rho = np.clip(rho + step, -edge, edge)
        if not ((np.abs(step) > _TOLERANCE) & (np.abs(rho) < edge)).any():
            break
    return rho


def _pair_weights(there: Mask, weights: Array | None) -> Array:
    return there.astype(float) if weights is None else there * weights[:, None]


def serial_pairs(z: Array, low: Array, high: Array, weights: Array | None) -> PairScores:
    """Polyserial correlations, the rest given.

    Parameters
    ----------
    z : ndarray, shape (n, m)
        Standardised numeric variable of every pair, NaN where either answer is missing.
    low, high : ndarray, shape (n, m)
        Limits that the ordered variable lies between.
    weights : ndarray, shape (n,), optional

    Returns
    -------
    PairScores
        `first` is the numeric variable.

    References
    ----------
    Olsson, Drasgow & Dorans (1982), Psychometrika 47.
    """
    there = ~np.isnan(z)
    z = np.where(there, z, 0.0)
    w = _pair_weights(there, weights)

    def parts(rho: Array) -> tuple[Array, ...]:
        left = 1.0 - rho * rho
        root = np.sqrt(left)
        u, v = (high - rho * z) / root, (low - rho * z) / root
        probability = np.maximum(interval_probability(v, u), _LEAST)
        return left, root, u, v, density(u) / probability, density(v) / probability

    def derivatives(rho: Array) -> tuple[Array, Array]:
        left, root, u, v, top, bottom = parts(rho)
        du, dv = (rho * high - z) / (left * root), (rho * low - z) / (left * root)
        ddu = (high * left + 3.0 * rho * (rho * high - z)) / (left * left * root)
        ddv = (low * left + 3.0 * rho * (rho * low - z)) / (left * left * root)
        score = top * du - bottom * dv
        bend = top * (ddu - u * du * du) - bottom * (ddv - v * dv * dv) - score * score
        return score, bend

    # The covariance with the answer's expected score, as if the limits were narrow.
    single = np.maximum(interval_probability(low, high), _LEAST)
    middle = (density(low) - density(high)) / single
    start = np.einsum("nm,nm,nm->m", w, z, middle) / np.einsum("nm,nm->m", w, middle * middle)
    rho = _search(np.clip(start, -0.9, 0.9), w, derivatives)
    _, root, _, _, top, bottom = parts(rho)
    score, _ = derivatives(rho)
    pull = (top - bottom) * rho / root
    # At the edge every answer lies where z says, and nothing fits better.
    own = np.sign(rho) * z
    certain = np.asarray((((low <= own) & (own <= high)) | ~there).all(axis=0))
    return PairScores(
        rho,
        score * there,
        NumericSide((z + pull) * there, 0.5 * (z * z - 1.0 + z * pull) * there),
        OrderedSide(top / root * there, -bottom / root * there),
        certain,
    )


def numeric_pairs(z: Array, other: Array, weights: Array | None) -> PairScores:
    """Correlations of numeric variables, means and variances given.

    Parameters
    ----------
    z, other : ndarray, shape (n, m)
        Standardised; NaN where missing.
    weights : ndarray, shape (n,), optional

    Notes
    -----
    With both variances one in the same cases it is the mean product.
    """
    there = ~np.isnan(z) & ~np.isnan(other)
    a, b = np.where(there, z, 0.0), np.where(there, other, 0.0)
    w = _pair_weights(there, weights)
    product, squares = a * b, a * a + b * b

    def derivatives(rho: Array) -> tuple[Array, Array]:
        left = 1.0 - rho * rho
        score = (rho * left + (1.0 + rho * rho) * product - rho * squares) / left**2
        change = (1.0 - 3.0 * rho * rho + 2.0 * rho * product - squares) / left**2
        return score, change + 4.0 * rho / left * score

    start = np.einsum("nm,nm->m", w, product) / w.sum(axis=0)
    rho = _search(start, w, derivatives, _NUMERIC_EDGE)
    score, _ = derivatives(rho)
    left = 1.0 - rho * rho

    def side(own: Array, far: Array) -> NumericSide:
        turned = (own - rho * far) / left
        return NumericSide(turned * there, 0.5 * (own * turned - 1.0) * there)

    return PairScores(rho, score * there, side(a, b), side(b, a), np.abs(rho) >= _NUMERIC_EDGE)


def ordered_case_pairs(
    low: Array,
    high: Array,
    other_low: Array,
    other_high: Array,
    there: Mask,
    weights: Array | None,
) -> PairScores:
    """Polychoric correlations of residuals, the limits differing between respondents.

    Parameters
    ----------
    low, high, other_low, other_high : ndarray, shape (n, m)
    there : ndarray of bool, shape (n, m)
        Where both answered.
    weights : ndarray, shape (n,), optional
    """
    w = _pair_weights(there, weights)
    # Pairs stand on the first axis of what is integrated, the four corners on the last.
    h = np.stack([high.T, low.T, high.T, low.T], axis=-1)
    k = np.stack([other_high.T, other_high.T, other_low.T, other_low.T], axis=-1)
    sign = np.array([1.0, -1.0, -1.0, 1.0])
    margins = interval_probability(low, high) * interval_probability(other_low, other_high)
    state: dict[str, Array] = {}

    def probability(rho: Array) -> Array:
        if "rho" in state:
            state["inside"] = dependence_step(h, k, state["rho"], rho, state["inside"])
        else:
            state["inside"] = dependence(h, k, rho)
        state["rho"] = rho
        return np.asarray(np.maximum(margins + (state["inside"] @ sign).T, _LEAST))

    def derivatives(rho: Array) -> tuple[Array, Array]:
        p = probability(rho)
        r = rho[:, None, None]
        left = 1.0 - r * r
        heights = bivariate_density(h, k, r)
        change = heights * (r / left + (h * k * (1 + r * r) - r * (h * h + k * k)) / left**2)
        score = (heights @ sign).T / p
        return score, (change @ sign).T / p - score * score

    first, second = (density(low) - density(high)), (density(other_low) - density(other_high))
    middle = first / np.maximum(interval_probability(low, high), _LEAST)
    far = second / np.maximum(interval_probability(other_low, other_high), _LEAST)
    size = np.einsum("nm,nm->m", w, middle**2) * np.einsum("nm,nm->m", w, far**2)
    start = np.einsum("nm,nm,nm->m", w, middle, far) * w.sum(axis=0) / size
    rho = _search(np.clip(start, -0.9, 0.9), w, derivatives)
    score, _ = derivatives(rho)
    p = probability(rho)
    root = np.sqrt(1.0 - rho * rho)

    edge = certain_probability(low, high, other_low, other_high, np.sign(rho))
    with np.errstate(divide="ignore"):
        gain = w * np.where(there, np.log(edge) - np.log(p), 0.0)

    def moved(at: Array, bottom: Array, top: Array) -> Array:
        """Change of the probability with a limit at `at` of the one variable."""
        reach = interval_probability((bottom - rho * at) / root, (top - rho * at) / root)
        return np.asarray(density(at) * reach / p * there)

    return PairScores(
        rho,
        score * there,
        OrderedSide(moved(high, other_low, other_high), -moved(low, other_low, other_high)),
        OrderedSide(moved(other_high, low, high), -moved(other_low, low, high)),
        gain.sum(axis=0) >= -_FLAT_GAIN * w.sum(axis=0),
    )
