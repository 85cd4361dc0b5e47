r"""Means and covariances of answers with gaps: maximum likelihood by EM.

Respondents with the same answered items share every matrix of a step, so that the work is one
small solve per pattern, not per respondent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.errors import SurveyError

__all__ = ["SaturatedMoments", "em_moments", "missing_patterns"]

Array = npt.NDArray[np.float64]

_MAX_STEPS = 20_000
# Largest change of a standardised moment in one step.
_TOLERANCE = 1e-10


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


def missing_patterns(values: Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Which combinations of items were answered, and by whom.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing.

    Returns
    -------
    patterns : ndarray of bool, shape (k, p)
        True where answered.
    member : ndarray of int, shape (n,)
        Pattern of each row.
    """
    patterns, member = np.unique(~np.isnan(values), axis=0, return_inverse=True)
    return patterns, member.ravel()


@dataclass(frozen=True, eq=False)
class _Pattern:
    """Sums of the respondents who answered the same items."""

    there: npt.NDArray[np.intp]
    gone: npt.NDArray[np.intp]
    n: int
    mean: Array
    scatter: Array  # divisor n, about `mean`


def _gathered(values: Array) -> list[_Pattern]:
    patterns, member = missing_patterns(values)
    out = []
    for k, pattern in enumerate(patterns):
        there = np.flatnonzero(pattern)
        if not len(there):
            continue
        rows = values[np.ix_(np.flatnonzero(member == k), there)]
        mean = rows.mean(axis=0)
        centred = rows - mean
        scatter = centred.T @ centred / len(rows)
        out.append(_Pattern(there, np.flatnonzero(~pattern), len(rows), mean, scatter))
    return out


def em_moments(values: Array) -> SaturatedMoments:
    r"""Estimate means and covariances from incomplete answers.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing. Rows without any answer do not count.

    Returns
    -------
    SaturatedMoments

    Raises
    ------
    SurveyError
        An item that nobody answered or that does not vary, or a covariance matrix that the
        answers do not determine.

    Notes
    -----
    E step: expected sums of the missing answers given the answered ones,
    :math:`\hat y_m = \mu_m + \Sigma_{mo}\Sigma_{oo}^{-1}(y_o - \mu_o)` with residual covariance
    :math:`\Sigma_{mm} - \Sigma_{mo}\Sigma_{oo}^{-1}\Sigma_{om}`; M step: their mean and
    covariance. Steps are extrapolated where that raises the likelihood.

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
    parts = _gathered((data - centre) / scale)
    n = sum(part.n for part in parts)
    p = data.shape[1]
    mean, covariance = np.zeros(p), np.eye(p)
    converged = False
    step = 0
    while step < _MAX_STEPS and not converged:
        one = _em_step(parts, n, mean, covariance)
        two = _em_step(parts, n, *one)
        step += 2
        change = max(np.abs(two[0] - one[0]).max(), np.abs(two[1] - one[1]).max())
        converged = bool(change < _TOLERANCE)
        mean, covariance = two if converged else _leap(parts, n, (mean, covariance), one, two)
    covariance = (covariance + covariance.T) / 2.0
    if np.linalg.eigvalsh(covariance)[0] < 1e-9:
        raise SurveyError(
            "The answers do not determine the covariance matrix of the items.",
            remedy="Too few respondents answered some items together, or an item is a sum of "
            "others: use fewer items.",
        )
    loglikelihood = _loglikelihood(parts, mean, covariance)
    there = (~np.isnan(data)).astype(float)
    loglikelihood -= float(there.sum(axis=0) @ np.log(scale))
    return SaturatedMoments(
        mean=mean * scale + centre,
        covariance=covariance * np.outer(scale, scale),
        loglikelihood=loglikelihood,
        n_iterations=step,
        converged=converged,
        n=n,
        undetermined=there.T @ there == 0.0,
    )


def _em_step(parts: list[_Pattern], n: int, mean: Array, covariance: Array) -> tuple[Array, Array]:
    p = len(mean)
    first, second = np.zeros(p), np.zeros((p, p))
    for part in parts:
        o, m = part.there, part.gone
        filled = np.empty(p)
        spread = np.zeros((p, p))
        filled[o] = part.mean
        spread[np.ix_(o, o)] = part.scatter
        if len(m):
            slopes = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)])
            filled[m] = mean[m] + (part.mean - mean[o]) @ slopes
            cross = part.scatter @ slopes
            spread[np.ix_(o, m)] = cross
            spread[np.ix_(m, o)] = cross.T
            left = covariance[np.ix_(m, m)] - covariance[np.ix_(m, o)] @ slopes
            spread[np.ix_(m, m)] = slopes.T @ cross + left
        first += part.n * filled
        second += part.n * (spread + np.outer(filled, filled))
    new = first / n
    return new, second / n - np.outer(new, new)


def _leap(
    parts: list[_Pattern],
    n: int,
    zero: tuple[Array, Array],
    one: tuple[Array, Array],
    two: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Extrapolate two steps (Varadhan & Roland 2008), unless the likelihood falls."""
    r = [b - a for a, b in zip(zero, one, strict=True)]
    v = [c - 2.0 * b + a for a, b, c in zip(zero, one, two, strict=True)]
    length = sum(float((x**2).sum()) for x in v)
    if length <= 0.0:
        return two
    alpha = -np.sqrt(sum(float((x**2).sum()) for x in r) / length)
    if alpha > -1.0:
        return two
    trial = tuple(a - 2.0 * alpha * x + alpha**2 * y for a, x, y in zip(zero, r, v, strict=True))
    if np.linalg.eigvalsh(trial[1])[0] <= 1e-8:
        return two
    mean, covariance = _em_step(parts, n, trial[0], trial[1])
    if _loglikelihood(parts, mean, covariance) < _loglikelihood(parts, *two):
        return two
    return mean, covariance


def _loglikelihood(parts: list[_Pattern], mean: Array, covariance: Array) -> float:
    total = 0.0
    for part in parts:
        block = covariance[np.ix_(part.there, part.there)]
        sign, log_det = np.linalg.slogdet(block)
        if sign <= 0:
            return -np.inf
        gap = part.mean - mean[part.there]
        quadratic = np.trace(np.linalg.solve(block, part.scatter + np.outer(gap, gap)))
        total -= 0.5 * part.n * (len(gap) * np.log(2.0 * np.pi) + log_det + float(quadratic))
    return float(total)
