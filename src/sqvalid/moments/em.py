r"""Means and covariances of answers with gaps: maximum likelihood by EM.

Respondents with the same answered items share every matrix of a step, so that the work is one
small solve per pattern, not per respondent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from sqvalid.errors import SurveyError
from sqvalid.moments.patterns import (
    PatternData,
    missing_patterns,
    pattern_data,
    pattern_products,
    saturated_information,
)

__all__ = ["SaturatedMoments", "em_moments", "missing_patterns"]

Array = npt.NDArray[np.float64]

_MAX_STEPS = 4000
# The work of all steps together, in multiplications: some seconds.
_MOST_WORK = 1e10
# Largest change of a standardised moment in one step. The second is lavaan's: where the likelihood
# is highest at a singular matrix, steps become small without an end.
_TOLERANCE = 1e-10
_LOOSE_TOLERANCE = 1e-5
# EM is left for Newton's method when a step changes no standardised moment by more than this; with
# many items, whose information is large, only where EM is slow.
_NEAR = 1e-2
_FEW_ITEMS = 40
_MANY_STEPS = 60
_NEWTON_STEPS = 10
# Smallest eigenvalue of the standardised covariance matrix that answers can determine.
_SINGULAR = 1e-8


@dataclass(frozen=True, eq=False)
class SaturatedMoments:
    """Maximum-likelihood moments under missingness at random.

    Parameters
    ----------
    mean : ndarray, shape (p,)
    covariance : ndarray, shape (p, p)
        Divisor N.
    loglikelihood : float
        Of what was answered.
    n_iterations : int
    converged : bool
        False where steps became small (1e-5) but did not end: the likelihood is highest at the
        edge, where the covariance matrix is singular.
    n : int
        Respondents with at least one answer.
    undetermined : ndarray of bool, shape (p, p)
        Pairs of items that nobody answered both of (booklets): their covariances are whatever
        the start and the other items led to, and the likelihood does not depend on them.
    """

    mean: Array
    covariance: Array
    loglikelihood: float
    n_iterations: int
    converged: bool
    n: int
    undetermined: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        for array in (self.mean, self.covariance, self.undetermined):
            array.setflags(write=False)


def em_moments(
    values: Array, weights: Array | None = None, names: Sequence[str] | None = None
) -> SaturatedMoments:
    r"""Estimate means and covariances from incomplete answers.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing. Rows without any answer do not count.
    weights : ndarray, shape (n,), optional
        Sampling weights.
    names : sequence of str, optional
        What an error message calls the items; their positions otherwise.

    Returns
    -------
    SaturatedMoments

    Raises
    ------
    SurveyError
        An item that nobody answered or that does not vary, a covariance matrix that the
        answers do not determine, or moments that do not settle.

    Notes
    -----
    E step: expected sums of the missing answers given the answered ones,
    :math:`\hat y_m = \mu_m + \Sigma_{mo}\Sigma_{oo}^{-1}(y_o - \mu_o)` with residual covariance
    :math:`\Sigma_{mm} - \Sigma_{mo}\Sigma_{oo}^{-1}\Sigma_{om}`; M step: their mean and
    covariance. Steps are extrapolated where that raises the likelihood, and near the maximum
    Newton's method takes over.

    References
    ----------
    Dempster, Laird & Rubin (1977); Little & Rubin (2002), ch. 11; extrapolation: Varadhan &
    Roland (2008).
    """
    data = np.asarray(values, dtype=float)
    empty = np.flatnonzero(np.isnan(data).all(axis=0))
    if len(empty):
        raise SurveyError(
            f"Nobody answered the item in position {', '.join(str(j + 1) for j in empty)}.",
            remedy="Leave it out.",
        )
    # Unit scale: the tolerance then means the same for every item.
    centre, scale = np.nanmean(data, axis=0), np.nanstd(data, axis=0)
    constant = np.flatnonzero(scale <= 1e-12 * np.maximum(np.abs(centre), 1.0))
    if len(constant):
        raise SurveyError(
            "Every answer to the item in position "
            f"{', '.join(str(j + 1) for j in constant)} is the same.",
            remedy="Leave it out.",
        )
    parts = pattern_data(data, weights).affine(centre, scale)
    (mean, covariance), step, converged = _maximise(parts, names)
    value = pattern_products(parts, mean, *_inverse(covariance)).value
    loglikelihood = -0.5 * (parts.n_answers * np.log(2.0 * np.pi) + parts.total * value)
    loglikelihood -= float(parts.counts @ parts.there.astype(float) @ np.log(scale))
    return SaturatedMoments(
        mean=mean * scale + centre,
        covariance=covariance * np.outer(scale, scale),
        loglikelihood=loglikelihood,
        n_iterations=step,
        converged=converged,
        n=int((parts.member >= 0).sum()),
        undetermined=parts.undetermined,
    )


def _maximise(
    parts: PatternData, names: Sequence[str] | None
) -> tuple[tuple[Array, Array], int, bool]:
    """Moments of standardised answers, the steps it took, and whether they settled."""
    p = parts.there.shape[1]
    now = (np.zeros(p), np.eye(p))
    step, near, change = 0, _NEAR, np.inf
    most = min(_MAX_STEPS, max(200, int(_MOST_WORK / (8 * len(parts.counts) * p**3))))
    while step < most:
        one = _em_step(parts, *now)
        two = _em_step(parts, *one.moments)
        step += 2
        change = max(np.abs(a - b).max() for a, b in zip(two.moments, one.moments, strict=True))
        _refuse_singular(two.moments[1], names)
        if change < _TOLERANCE:
            return two.moments, step, True
        now = _leap(parts, now, one, two)
        if change < near and (p <= _FEW_ITEMS or step >= _MANY_STEPS):
            found = _newton(parts, *now)
            if found is not None:
                return found, step, True
            near = change / 10.0
    if change >= _LOOSE_TOLERANCE:
        raise SurveyError(
            f"The means and covariances of the incomplete answers did not settle in {step} steps.",
            remedy="Too few respondents answered some items together: use fewer items.",
        )
    return now, step, False


def _newton(parts: PatternData, mean: Array, covariance: Array) -> tuple[Array, Array] | None:
    """Newton's method from nearby, where EM may take thousands of steps; None where it fails.

    Covariances of items that nobody answered both of stay as they are.
    """
    p = len(mean)
    columns, rows = np.triu_indices(p)
    twice = np.where(rows == columns, 0.5, 1.0)
    free = np.concatenate([np.ones(p, dtype=bool), ~parts.undetermined[rows, columns]])
    found = pattern_products(parts, mean, *_inverse(covariance))
    for _ in range(_NEWTON_STEPS):
        score = np.concatenate([found.gap, (found.product - found.inverse)[rows, columns] * twice])
        information = saturated_information(found, observed=True)[np.ix_(free, free)]
        try:
            factor = cho_factor(information)
        except np.linalg.LinAlgError:
            return None
        change = np.zeros(len(score))
        change[free] = cho_solve(factor, score[free])
        shift = np.zeros((p, p))
        shift[rows, columns] = shift[columns, rows] = change[p:]
        if np.linalg.eigvalsh(covariance + shift)[0] < _SINGULAR:
            return None
        mean, covariance = mean + change[:p], covariance + shift
        if np.abs(change).max() < _TOLERANCE:
            return mean, covariance
        ahead = pattern_products(parts, mean, *_inverse(covariance))
        # A step that does not raise the likelihood began too far away.
        if ahead.value > found.value + 1e-12 * abs(found.value):
            return None
        found = ahead
    return None


def _refuse_singular(covariance: Array, names: Sequence[str] | None) -> None:
    """Refuse a standardised covariance matrix that went to the edge of what is possible."""
    roots, vectors = np.linalg.eigh(covariance)
    if roots[0] >= _SINGULAR:
        return
    involved = np.argsort(-np.abs(vectors[:, 0]))
    involved = involved[np.abs(vectors[involved, 0]) > 0.1][:6]
    shown = ", ".join(
        f"item {j + 1}" if names is None else repr(names[j]) for j in sorted(involved.tolist())
    )
    raise SurveyError(
        f"The answers do not determine the covariance matrix of the items (smallest eigenvalue of "
        f"their correlations {roots[0]:.3g}); involved: {shown}.",
        remedy="Too few respondents answered some items together, or an item is a sum of "
        "others: use fewer items.",
    )


@dataclass(frozen=True, eq=False)
class _Step:
    """Where an EM step leads, and minus twice the log-likelihood where it began."""

    moments: tuple[Array, Array]
    value: float


def _inverse(covariance: Array) -> tuple[Array, float]:
    return np.asarray(np.linalg.inv(covariance), np.float64), float(
        np.linalg.slogdet(covariance)[1]
    )


def _em_step(parts: PatternData, mean: Array, covariance: Array) -> _Step:
    """One step; completed sums are functions of the products of the observed likelihood.

    The expected answers are mean + covariance W (y - mean), so that what the step adds to the
    covariance is covariance (W M W - W) covariance, averaged over respondents.
    """
    found = pattern_products(parts, mean, *_inverse(covariance))
    shift = covariance @ found.gap
    spread = covariance + covariance @ (found.product - found.inverse) @ covariance
    spread -= np.outer(shift, shift)
    # What rounding leaves off the symmetry would grow from step to step.
    return _Step((mean + shift, (spread + spread.T) / 2.0), found.value)


def _leap(
    parts: PatternData, zero: tuple[Array, Array], one: _Step, two: _Step
) -> tuple[Array, Array]:
    """Extrapolate two steps (Varadhan & Roland 2008), unless the likelihood falls."""
    r = [b - a for a, b in zip(zero, one.moments, strict=True)]
    v = [c - 2.0 * b + a for a, b, c in zip(zero, one.moments, two.moments, strict=True)]
    length = sum(float((x**2).sum()) for x in v)
    if length <= 0.0:
        return two.moments
    alpha = -np.sqrt(sum(float((x**2).sum()) for x in r) / length)
    if alpha > -1.0:
        return two.moments
    trial = tuple(a - 2.0 * alpha * x + alpha**2 * y for a, x, y in zip(zero, r, v, strict=True))
    if np.linalg.eigvalsh(trial[1])[0] <= _SINGULAR:
        return two.moments
    third = _em_step(parts, trial[0], trial[1])
    return third.moments if third.value <= two.value else two.moments
