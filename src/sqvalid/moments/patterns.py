r"""Respondents grouped by which items they answered, and the likelihood of what they answered.

All respondents of a pattern share the inverse covariance of the items they answered. With
:math:`\Omega = \Sigma^{-1}` it is a downdate by the items that are missing, which are few:

.. math:: \Sigma_{oo}^{-1} = \Omega_{oo} - \Omega_{om}\Omega_{mm}^{-1}\Omega_{mo}, \qquad
          |\Sigma_{oo}| = |\Sigma|\,|\Omega_{mm}|

Matrices of a pattern are kept at full size with zeros where items are missing, so that sums over
patterns are plain sums, and everything is done for all patterns at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "PatternData",
    "PatternProducts",
    "available_moments",
    "casewise_moment_scores",
    "missing_patterns",
    "pattern_data",
    "pattern_products",
    "saturated_information",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

# Cases whose scores are in memory at a time.
_PIECE_ROWS = 2048


def missing_patterns(values: Array) -> tuple[Mask, Index]:
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
    there = ~np.isnan(values)
    # Rows of bits sort much faster than rows of booleans.
    packed = np.packbits(there, axis=1)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, member = np.unique(keys, return_index=True, return_inverse=True)
    return there[first], member.ravel()


@dataclass(frozen=True, eq=False)
class PatternData:
    """Sums of the respondents of every pattern.

    Parameters
    ----------
    there : ndarray of bool, shape (k, p)
        True where answered; patterns without any answer are left out.
    counts : ndarray, shape (k,)
        Respondents of each pattern, or the sum of their weights.
    means : ndarray, shape (k, p)
        Zero where missing.
    scatter : ndarray, shape (k, p, p)
        About those means, divisor `counts`; zero where missing.
    member : ndarray of int, shape (n,)
        Pattern of each respondent, -1 for one without answers.
    by_missing : tuple of (index, gone)
        Patterns with the same number r > 0 of missing items: their numbers, shape (j,), and
        the items that are missing, shape (j, r).
    """

    there: Mask
    counts: Array
    means: Array
    scatter: Array
    member: Index
    by_missing: tuple[tuple[Index, Index], ...]

    @property
    def total(self) -> float:
        """Respondents with an answer, or the sum of their weights."""
        return float(self.counts.sum())

    @property
    def shares(self) -> Array:
        """Share of each pattern."""
        return np.asarray(self.counts / self.counts.sum())

    @property
    def n_answers(self) -> float:
        """Answered cells, weighted where respondents are."""
        return float(self.counts @ self.there.sum(axis=1))

    @property
    def undetermined(self) -> Mask:
        """Pairs of items that nobody answered both of, shape (p, p)."""
        there = self.there.astype(float)
        return np.asarray(there.T @ there == 0.0)

    def affine(self, centre: Array, scale: Array) -> PatternData:
        """The same respondents with answers (y - centre) / scale."""
        return PatternData(
            self.there,
            self.counts,
            np.where(self.there, (self.means - centre) / scale, 0.0),
            self.scatter / np.outer(scale, scale),
            self.member,
            self.by_missing,
        )


def pattern_data(values: Array, weights: Array | None = None) -> PatternData:
    """Group respondents by what they answered.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing.
    weights : ndarray, shape (n,), optional
        Sampling weights.
    """
    patterns, member = missing_patterns(values)
    some = patterns.any(axis=1)
    number = np.where(some, np.cumsum(some) - 1, -1)
    there, member = patterns[some], number[member]
    k, p = there.shape
    used = member >= 0
    own = member[used]
    order = np.argsort(own, kind="stable")
    own = own[order]
    rows = np.where(np.isnan(values), 0.0, values)[used][order]
    weight = np.ones(len(rows)) if weights is None else np.asarray(weights[used][order], float)
    counts = np.asarray(np.bincount(own, weights=weight, minlength=k), dtype=np.float64)
    starts = np.searchsorted(own, np.arange(k))
    means = np.add.reduceat(rows * weight[:, None], starts, axis=0) / counts[:, None]
    rows = rows - means[own]
    scatter = np.zeros((k, p, p))
    ends = np.append(starts[1:], len(rows))
    for j in np.flatnonzero(ends - starts > 1):
        piece = rows[starts[j] : ends[j]]
        scatter[j] = (piece * weight[starts[j] : ends[j], None]).T @ piece / counts[j]
    n_gone = p - there.sum(axis=1)
    groups = []
    for r in np.unique(n_gone[n_gone > 0]):
        index = np.flatnonzero(n_gone == r)
        groups.append((index, np.nonzero(~there[index])[1].reshape(len(index), int(r))))
    return PatternData(there, counts, means, scatter, member, tuple(groups))


def available_moments(data: PatternData) -> tuple[Array, Array]:
    """Means and variances of every item among those who answered it, divisor their number.

    Returns
    -------
    means, variances : ndarray, shape (p,)
    """
    counts = data.counts[:, None] * data.there
    totals = counts.sum(axis=0)
    means = (counts * data.means).sum(axis=0) / totals
    spread = np.einsum("kii->ki", data.scatter) + (data.means - means) ** 2
    return means, (counts * spread).sum(axis=0) / totals


@dataclass(frozen=True, eq=False)
class PatternProducts:
    r"""The likelihood of the patterns at one mean vector and covariance matrix.

    Parameters
    ----------
    inverses : ndarray, shape (k, p, p)
        :math:`W = \Sigma_{oo}^{-1}`, zero where missing.
    products : ndarray, shape (k, p, p)
        :math:`W M W` with M the scatter of a pattern about the mean vector.
    gaps : ndarray, shape (k, p)
        :math:`W (m - \mu)`.
    value : float
        Mean over respondents of :math:`\ln|\Sigma_{oo}| + tr(W M)`.
    inverse, product, gap : ndarray
        Means over respondents of the three arrays.
    """

    data: PatternData
    inverses: Array
    products: Array
    gaps: Array
    value: float
    inverse: Array
    product: Array
    gap: Array


def pattern_products(
    data: PatternData, mean: Array, inverse: Array, log_det: float
) -> PatternProducts:
    """Products of all patterns.

    Parameters
    ----------
    mean : ndarray, shape (p,)
    inverse : ndarray, shape (p, p)
        Of the covariance matrix of all items.
    log_det : float
        Log determinant of that covariance matrix.
    """
    k = len(data.counts)
    inverses = np.broadcast_to(inverse, (k, *inverse.shape)).copy()
    log_dets = np.full(k, log_det)
    for index, gone in data.by_missing:
        columns = inverse[gone]
        among = inverse[gone[:, :, None], gone[:, None, :]]
        solved = np.linalg.solve(among, columns)
        inverses[index] -= np.swapaxes(columns, 1, 2) @ solved
        log_dets[index] += np.linalg.slogdet(among)[1]
    # What rounding leaves in the places of missing items goes.
    inverses *= data.there[:, :, None]
    inverses *= data.there[:, None, :]
    distance = np.where(data.there, data.means - mean, 0.0)
    gaps = np.einsum("kij,kj->ki", inverses, distance)
    within = inverses @ data.scatter
    shares = data.shares
    trace = np.einsum("kii->k", within) + np.einsum("ki,ki->k", gaps, distance)
    products = within @ inverses
    products += gaps[:, :, None] * gaps[:, None, :]
    flat = (k, inverse.size)
    return PatternProducts(
        data=data,
        inverses=inverses,
        products=products,
        gaps=gaps,
        value=float(shares @ (log_dets + trace)),
        inverse=(shares @ inverses.reshape(flat)).reshape(inverse.shape),
        product=(shares @ products.reshape(flat)).reshape(inverse.shape),
        gap=shares @ gaps,
    )


def _pairs(p: int) -> tuple[Index, Index, Index]:
    """Columns and rows of the lower triangle column by column, and the place of every pair."""
    columns, rows = np.triu_indices(p)
    place = np.empty((p, p), dtype=np.intp)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return columns, rows, place


@lru_cache(maxsize=4)
def _crossings(p: int) -> tuple[Index, Index]:
    """Places of W_jk H_il and W_jl H_ik in the matrix of all products of two pairs."""
    columns, rows, place = _pairs(p)
    i, j, size = rows, columns, len(rows)
    return (
        place[np.ix_(j, i)] * size + place[np.ix_(i, j)],
        place[np.ix_(j, j)] * size + place[np.ix_(i, i)],
    )


def saturated_information(products: PatternProducts, *, observed: bool) -> Array:
    r"""Information of means and covariances per respondent when answers are missing.

    Parameters
    ----------
    observed : bool
        Minus the Hessian of the log-likelihood; else its expectation given who answered what.

    Returns
    -------
    ndarray, shape (p + p*, p + p*)
        Means, then the lower triangle of the covariance matrix column by column.

    Notes
    -----
    In directions :math:`d_1, d_2` of the covariance matrix, with
    :math:`H = W M W - W / 2` (observed) or :math:`W / 2` (expected), it is the mean over
    respondents of :math:`\tfrac12[tr(d_1 W d_2 H) + tr(d_1 H d_2 W)]`; between a mean and
    :math:`d_1` it is :math:`W d_1 W (m - \mu)` (observed) or zero; between means W.

    References
    ----------
    Savalei (2010), Psychological Methods 15, appendix.
    """
    p = products.inverse.shape[0]
    columns, rows, place = _pairs(p)
    shares = products.data.shares
    w = products.inverses[:, rows, columns]
    if observed:
        h = products.products[:, rows, columns] - 0.5 * w
        both = (w * shares[:, None]).T @ h
        both += both.T
    else:
        # One matrix with itself: half the work.
        w_rooted = w * np.sqrt(shares)[:, None]
        both = w_rooted.T @ w_rooted
    twice = np.where(rows == columns, 0.5, 1.0)
    i, j = rows, columns
    among = np.zeros_like(both)
    for crossed in _crossings(p):
        among += both.take(crossed)
    among *= twice[:, None] * twice
    size = len(rows)
    out = np.zeros((p + size, p + size))
    out[:p, :p] = products.inverse
    out[p:, p:] = among
    if observed:
        # (W d_1 W gap)_k over patterns: W_ki g_j + W_kj g_i.
        through = (w * shares[:, None]).T @ products.gaps
        every = np.arange(p)
        cross = through[place[np.ix_(every, i)], j] + through[place[np.ix_(every, j)], i]
        cross *= twice
        out[:p, p:] = cross
        out[p:, :p] = cross.T
    return out


def casewise_moment_scores(
    products: PatternProducts, cases: Array, mean: Array, jacobian: Array | None = None
) -> Array:
    r"""Derivatives of each respondent's log-likelihood by means and covariances.

    .. math:: W (y - \mu), \qquad (W (y-\mu)(y-\mu)' W - W)_{ij},\; i > j, \qquad
              \tfrac12 (\ldots)_{ii}

    Parameters
    ----------
    cases : ndarray, shape (n, p)
        NaN where missing; those the products were made of.
    jacobian : ndarray, shape (p + p*, q), optional
        Derivatives of the moments, for the scores of q parameters.

    Returns
    -------
    ndarray, shape (n, p + p*) or (n, q)
    """
    columns, rows, _ = _pairs(cases.shape[1])
    twice = np.where(rows == columns, 0.5, 1.0)
    member = products.data.member
    out = []
    for start in range(0, len(cases), _PIECE_ROWS):
        own = member[start : start + _PIECE_ROWS]
        inverse = products.inverses[own]
        distance = cases[start : start + _PIECE_ROWS] - mean
        distance = np.where(np.isnan(distance), 0.0, distance)
        z = np.einsum("nij,nj->ni", inverse, distance)
        second = (z[:, rows] * z[:, columns] - inverse[:, rows, columns]) * twice
        scores = np.hstack([z, second])
        # Nobody's likelihood: a respondent without answers.
        scores[own < 0] = 0.0
        out.append(scores if jacobian is None else scores @ jacobian)
    return np.vstack(out)
