"""Indices of careless responding, one number per respondent, from arrays of answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

__all__ = [
    "acquiescence",
    "duplicated_rows",
    "even_odd_consistency",
    "guttman_errors",
    "identical_runs",
    "individual_variability",
    "largest_match",
    "mahalanobis",
    "paired_consistency",
    "person_total_correlation",
    "row_correlations",
]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


def identical_runs(values: Array) -> tuple[Array, Array]:
    """Longest and average run of identical consecutive answers.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers as they were given, in the order of the questionnaire. Missing answers are
        passed over.

    Returns
    -------
    longest, average : ndarray (n,)
        NaN for a respondent without answers.

    References
    ----------
    Johnson (2005); Meade & Craig (2012).
    """
    n = values.shape[0]
    last = np.full(n, np.nan)
    run, longest, runs, answered = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    for column in values.T:
        given = ~np.isnan(column)
        same = given & (column == last)
        run = np.where(given, np.where(same, run + 1.0, 1.0), run)
        longest = np.maximum(longest, run)
        runs += given & ~same
        answered += given
        last = np.where(given, column, last)
    silent = answered == 0
    longest[silent] = np.nan
    return longest, np.where(silent, np.nan, answered / np.where(silent, 1.0, runs))


def individual_variability(values: Array) -> Array:
    """Intra-individual response variability: standard deviation of a respondent's answers.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers as they were given.

    Returns
    -------
    ndarray (n,)
        Divisor: answers minus 1. NaN for fewer than two answers.

    References
    ----------
    Dunn, Heggestad, Shanock & Theilgard (2018).
    """
    given = ~np.isnan(values)
    count = given.sum(axis=1)
    filled = np.where(given, values, 0.0)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    squares = np.where(given, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return np.asarray(np.sqrt(np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan)))


def row_correlations(a: Array, b: Array, *, least: int = 3) -> Array:
    """Correlation of two matrices row by row, over the places where both have a value.

    Parameters
    ----------
    a, b : ndarray (n, p)
        NaN where missing.
    least : int
        Fewest pairs that give a correlation.

    Returns
    -------
    ndarray (n,)
        NaN with too few pairs, or where one side does not vary.
    """
    both = ~(np.isnan(a) | np.isnan(b))
    count = both.sum(axis=1)
    size = np.maximum(count, 1)[:, None]
    x, y = np.where(both, a, 0.0), np.where(both, b, 0.0)
    x = np.where(both, x - x.sum(axis=1, keepdims=True) / size, 0.0)
    y = np.where(both, y - y.sum(axis=1, keepdims=True) / size, 0.0)
    xx, yy, xy = (x * x).sum(axis=1), (y * y).sum(axis=1), (x * y).sum(axis=1)
    # Rows that do not vary leave rounding of the size of eps times the squared answers.
    floor = 1e-12 * np.maximum((np.where(both, a, 0.0) ** 2).sum(axis=1), 1.0)
    floor_y = 1e-12 * np.maximum((np.where(both, b, 0.0) ** 2).sum(axis=1), 1.0)
    defined = (count >= least) & (xx > floor) & (yy > floor_y)
    below = np.sqrt(np.where(defined, xx * yy, 1.0))
    return np.where(defined, np.clip(xy / below, -1.0, 1.0), np.nan)


def even_odd_consistency(keyed: Array, dimensions: Sequence[Places]) -> Array:
    """Even-odd consistency: whether two halves of the dimensions tell the same profile.

    The means of the items at odd and at even places of every dimension are correlated over
    the dimensions and stepped up by the Spearman-Brown formula.

    Parameters
    ----------
    keyed : ndarray (n, p)
        Answers with reverse-worded items turned.
    dimensions : sequence of integer arrays
        Columns of each dimension; those with one item are passed over.

    Returns
    -------
    ndarray (n,)
        In [-1, 1]. NaN with fewer than three dimensions of two items answered.

    References
    ----------
    Jackson (1976), as described by Johnson (2005).
    """
    halves = [(d[0::2], d[1::2]) for d in dimensions if len(d) > 1]
    if len(halves) < 3:
        return np.full(keyed.shape[0], np.nan)
    odd = np.column_stack([_row_means(keyed[:, first]) for first, _ in halves])
    even = np.column_stack([_row_means(keyed[:, second]) for _, second in halves])
    r = row_correlations(odd, even)
    # From r = -1/3 downward the stepped-up value is below -1, and at -1 it has no limit.
    stepped = np.where(r > -1.0 / 3.0, 2.0 * r / (1.0 + np.maximum(r, -0.5)), -1.0)
    return np.where(np.isnan(r), np.nan, stepped)


def _row_means(values: Array) -> Array:
    given = ~np.isnan(values)
    count = given.sum(axis=1)
    total = np.where(given, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def person_total_correlation(values: Array) -> Array:
    """Correlation of a respondent's answers with the mean answers of all the others.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers as they were given.

    Returns
    -------
    ndarray (n,)
        NaN for fewer than three answers or answers that do not vary.

    References
    ----------
    Donlon & Fischer (1968).
    """
    given = ~np.isnan(values)
    filled = np.where(given, values, 0.0)
    others = given.sum(axis=0) - given
    total = filled.sum(axis=0) - filled
    means = np.where(others > 0, total / np.maximum(others, 1), np.nan)
    return row_correlations(values, means)


def mahalanobis(values: Array) -> tuple[Array, Array]:
    """Squared Mahalanobis distance from the mean of the complete rows, with its p-value.

    An incomplete row is measured on the items it has, with that many degrees of freedom.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers.

    Returns
    -------
    d2, p : ndarray (n,)
        The covariance has divisor N - 1; p is the upper tail of chi-square with as many
        degrees of freedom as items answered. All NaN when the covariance of the complete
        rows is singular.

    References
    ----------
    Mahalanobis (1936).
    """
    given = ~np.isnan(values)
    n, p = values.shape
    d2, tail = np.full(n, np.nan), np.full(n, np.nan)
    complete = given.all(axis=1)
    if complete.sum() <= p:
        return d2, tail
    mean = values[complete].mean(axis=0)
    centred = values - mean
    covariance = centred[complete].T @ centred[complete] / (complete.sum() - 1)
    spread = np.sqrt(np.diag(covariance))
    if not (spread > 0.0).all():
        return d2, tail
    correlation = covariance / np.outer(spread, spread)
    if np.linalg.eigvalsh(correlation)[0] <= p * np.finfo(float).eps * 10.0:
        return d2, tail
    patterns, member = np.unique(given, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(member.ravel() == number)
        if not pattern.any():
            continue
        part = centred[np.ix_(rows, pattern)]
        solved = np.linalg.solve(covariance[np.ix_(pattern, pattern)], part.T)
        d2[rows] = (part * solved.T).sum(axis=1)
        tail[rows] = chdtrc(float(pattern.sum()), d2[rows])
    return d2, tail


def guttman_errors(keyed: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Guttman errors: steps passed although easier ones were not.

    An item with answers from `low` to `high` has one step per answer above `low`; steps are
    ordered by the share of respondents who pass them, ties in the order of items and steps.

    Parameters
    ----------
    keyed : ndarray (n, p)
        Whole-number answers with reverse-worded items turned.
    low, high : ndarray (p,)
        Ends of each item's scale.

    Returns
    -------
    errors, normed : ndarray (n,)
        Number of pairs of steps in the wrong order, and its share of the largest number
        that a respondent with the same sum of answers could have (0 where none is possible).
        NaN for incomplete rows, answers outside the scale or between two whole numbers.

    References
    ----------
    Guttman (1944); Emons (2008) for several answers and for the norming.
    """
    n, p = keyed.shape
    if np.isnan(high - low).any():
        # An item without answers and without a scale has no steps.
        return np.full(n, np.nan), np.full(n, np.nan)
    steps = (high - low).astype(int)
    inside = ((keyed >= low) & (keyed <= high) & (keyed == np.round(keyed))).all(axis=1)
    errors, normed = np.full(n, np.nan), np.full(n, np.nan)
    if not inside.any() or (steps < 1).any() or (low != np.round(low)).any():
        return errors, normed
    answers = keyed[inside] - low
    item = np.repeat(np.arange(p), steps)
    level = np.concatenate([np.arange(1, s + 1) for s in steps])
    passed = answers[:, item] >= level
    order = np.lexsort((level, item, -passed.mean(axis=0)))
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(1, order.size + 1)
    total = answers.sum(axis=1).astype(int)
    # A passed step at rank k has k - 1 easier ones; those passed among them are no errors.
    least = total * (total + 1) // 2
    count = (passed * rank).sum(axis=1) - least
    ceiling = _largest_rank_sums(rank, item, p)
    most = ceiling[total] - least
    errors[inside] = count
    normed[inside] = np.where(most > 0, count / np.maximum(most, 1), 0.0)
    return errors, normed


def _largest_rank_sums(rank: npt.NDArray[np.int64], item: Places, p: int) -> Array:
    """Largest sum of ranks for every sum of answers, by dynamic programming over items."""
    best = np.zeros(1)
    for i in range(p):
        gains = np.concatenate([[0], np.cumsum(rank[item == i])]).astype(float)
        grown = np.full(best.size + gains.size - 1, -np.inf)
        for passed, gain in enumerate(gains):
            part = slice(passed, passed + best.size)
            grown[part] = np.maximum(grown[part], best + gain)
        best = grown
    return best


def paired_consistency(
    values: Array, *, opposite: bool = False, critical: float = 0.60
) -> tuple[Array, int]:
    """Psychometric synonyms or antonyms: consistency over pairs of items that go together.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers as they were given.
    opposite : bool
        Use pairs that correlate below ``-critical`` (antonyms) instead of above `critical`.
    critical : float
        Correlation over respondents that makes two items a pair.

    Returns
    -------
    consistency : ndarray (n,)
        Correlation over the pairs within a respondent; NaN with fewer than three pairs.
    n_pairs : int
        How many pairs there are.

    References
    ----------
    Meade & Craig (2012).
    """
    n, p = values.shape
    complete = values[~np.isnan(values).any(axis=1)]
    if len(complete) < 3:
        return np.full(n, np.nan), 0
    varies = np.ptp(complete, axis=0) > 0.0
    r = np.zeros((p, p))
    if varies.sum() > 1:
        r[np.ix_(varies, varies)] = np.corrcoef(complete[:, varies], rowvar=False)
    chosen = r < -critical if opposite else r > critical
    first, second = np.nonzero(np.triu(chosen, 1))
    if first.size < 3:
        return np.full(n, np.nan), int(first.size)
    return row_correlations(values[:, first], values[:, second]), int(first.size)


def duplicated_rows(values: Array) -> tuple[Bools, Places]:
    """Tell which rows repeat an earlier one in every cell, missing cells included.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers.

    Returns
    -------
    repeated : ndarray (n,) of bool
        Never true for the first of its kind, nor for rows without any answer.
    original : ndarray (n,) of int
        Row number of the first of its kind; the own number where not repeated.
    """
    original = np.arange(len(values))
    seen: dict[bytes, int] = {}
    # Adding 0.0 makes -0.0 and 0.0 one value; every NaN gets the same bits.
    cells = np.where(np.isnan(values), np.nan, values + 0.0)
    for row in np.flatnonzero(~np.isnan(values).all(axis=1)):
        original[row] = seen.setdefault(cells[row].tobytes(), int(row))
    return original != np.arange(len(values)), original


def largest_match(values: Array, *, block: int = 512) -> Array:
    """Largest share of identical answers that a respondent has with any other.

    Parameters
    ----------
    values : ndarray (n, p)
        Answers. A missing answer matches nothing and stays in the denominator.
    block : int
        Rows compared at a time.

    Returns
    -------
    ndarray (n,)
        In [0, 1]; NaN for rows without answers or without another row.

    References
    ----------
    Kuriakose & Robbins (2016).
    """
    n, p = values.shape
    answers = np.unique(values[~np.isnan(values)])
    # One column per item and answer: a product of two rows counts what they share.
    coded = np.concatenate([values == answer for answer in answers], axis=1).astype(np.float32)
    best = np.zeros(n)
    for start in range(0, n, block):
        rows = np.arange(start, min(start + block, n))
        shared = coded[rows] @ coded.T
        shared[np.arange(rows.size), rows] = -1.0
        best[rows] = shared.max(axis=1) / p
    best[np.isnan(values).all(axis=1) | (best < 0.0)] = np.nan
    return best


def acquiescence(
    raw: Array, midpoint: Array, dimensions: Sequence[Places], reverse: Bools
) -> Array:
    """Agreement whatever the item says: how far opposite wordings are both agreed with.

    Within every dimension that has items worded in both directions, the mean answer to the
    regular and to the reverse-worded items, untouched, are averaged; the distance from the
    middle of the scale is averaged over these dimensions.

    Parameters
    ----------
    raw : ndarray (n, p)
        Answers as they were given.
    midpoint : ndarray (p,)
        Middle of each item's scale.
    dimensions : sequence of integer arrays
        Columns of each dimension.
    reverse : ndarray (p,) of bool
        Which items are worded in reverse.

    Returns
    -------
    ndarray (n,)
        In scale points, positive for agreeing; NaN without a dimension of both wordings.
    """
    centred = raw - midpoint
    parts = []
    for places in dimensions:
        back, straight = places[reverse[places]], places[~reverse[places]]
        if back.size and straight.size:
            parts.append((_row_means(centred[:, back]) + _row_means(centred[:, straight])) / 2.0)
    if not parts:
        return np.full(raw.shape[0], np.nan)
    return _row_means(np.column_stack(parts))
