r"""Asymptotic covariance and information of saturated moments, as p* x p* matrices.

The moment vector of a group is its means, where means are modelled, followed by the lower
triangle of the covariance matrix column by column. With p variables the triangle has
p (p + 1) / 2 entries; p* counts all entries. Everything is per observation: divide an
asymptotic covariance by the number of cases before using it.

These matrices are large (p = 44: 990 x 990) and are only formed when residual statistics are asked
for. Their entries are gathered from p x p matrices; no Kronecker product is written out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@cache
def triangle(p: int) -> tuple[Index, Index]:
    """Rows and columns of the lower triangle of a p x p matrix, column by column.

    Parameters
    ----------
    p : int
        Number of variables.

    Returns
    -------
    tuple of ndarray
        Row indices and column indices, each of length p (p + 1) / 2.
    """
    columns, rows = np.triu_indices(p)
    return rows, columns


def moment_vector(covariance: Array, means: Array | None) -> Array:
    """Stack means and the lower triangle into one vector.

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        Symmetric matrix.
    means : ndarray of shape (p,) or None
        Left out when None.

    Returns
    -------
    ndarray of shape (p*,)
        Means first.
    """
    rows, columns = triangle(covariance.shape[0])
    lower = covariance[rows, columns]
    return lower if means is None else np.concatenate([means, lower])


def _multiplicity(p: int) -> Array:
    rows, columns = triangle(p)
    return np.where(rows == columns, 1.0, 2.0)


def _paired(a: Array, b: Array) -> Array:
    """a_ik b_jl + a_il b_jk for all pairs (i, j), (k, l) of the lower triangle."""
    i, j = triangle(a.shape[0])
    return np.asarray(
        a[np.ix_(i, i)] * b[np.ix_(j, j)] + a[np.ix_(i, j)] * b[np.ix_(j, i)], dtype=np.float64
    )


def _with_means(mean_block: Array, cross: Array | None, block: Array) -> Array:
    p, k = mean_block.shape[0], block.shape[0]
    out = np.zeros((p + k, p + k))
    out[:p, :p] = mean_block
    out[p:, p:] = block
    if cross is not None:
        out[:p, p:] = cross
        out[p:, :p] = cross.T
    return out


def normal_gamma(covariance: Array, *, means: bool) -> Array:
    r"""Asymptotic covariance of sample moments under normality.

    .. math:: \Gamma_{ij,kl} = \sigma_{ik}\sigma_{jl} + \sigma_{il}\sigma_{jk}

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        Population covariance matrix, or what stands for it.
    means : bool
        Whether the moment vector starts with means.

    Returns
    -------
    ndarray of shape (p*, p*)
        Per observation.

    References
    ----------
    Browne (1974).
    """
    block = _paired(covariance, covariance)
    return _with_means(covariance, None, block) if means else block


def empirical_gamma(cases: Array, *, means: bool, fixed: tuple[int, ...] = ()) -> Array:
    r"""Asymptotic covariance of sample moments without assuming a distribution.

    The covariance matrix (divisor N) of the casewise deviations and their products. Where
    covariates are fixed, what they predict is taken out of the deviations, and the products of
    the predictions out of the products: the part that varies once the covariates are given.

    Parameters
    ----------
    cases : ndarray of shape (n, p)
        Complete cases.
    means : bool
        Whether the moment vector starts with means.
    fixed : tuple of int
        Positions of the fixed covariates.

    Returns
    -------
    ndarray of shape (p*, p*)
        Per observation; zero for moments that only involve fixed covariates.

    References
    ----------
    Browne (1984).
    """
    deviations = cases - cases.mean(axis=0)
    rows, columns = triangle(cases.shape[1])
    products = deviations[:, rows] * deviations[:, columns]
    if fixed:
        covariates = deviations[:, list(fixed)]
        predicted = covariates @ np.linalg.lstsq(covariates, deviations, rcond=None)[0]
        products -= predicted[:, rows] * predicted[:, columns]
        deviations = deviations - predicted
        # What a covariate does not predict of itself is rounding error.
        deviations[:, list(fixed)] = 0.0
        is_fixed = np.isin(rows, fixed) & np.isin(columns, fixed)
        products[:, is_fixed] = 0.0
    products -= products.mean(axis=0)
    scores = np.hstack([deviations, products]) if means else products
    return np.asarray(scores.T @ scores / len(cases), dtype=np.float64)


def expected_information(covariance: Array, *, means: bool) -> Array:
    r"""Expected information of saturated moments, the normal-theory weight matrix.

    .. math:: V = \tfrac12 D' (\Sigma^{-1} \otimes \Sigma^{-1}) D

    with the duplication matrix D, and :math:`\Sigma^{-1}` for the means.

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        Where the information is evaluated.
    means : bool
        Whether the moment vector starts with means.

    Returns
    -------
    ndarray of shape (p*, p*)
        Per observation; the inverse of :func:`normal_gamma`.

    References
    ----------
    Browne (1974); Magnus & Neudecker (1999) for the duplication matrix.
    """
    weight = _inverse(covariance)
    count = _multiplicity(covariance.shape[0])
    block = 0.25 * np.outer(count, count) * _paired(weight, weight)
    return _with_means(weight, None, block) if means else block


def observed_information(
    covariance: Array,
    sample_covariance: Array,
    mean_gap: Array | None,
) -> Array:
    r"""Minus the Hessian of the saturated normal log-likelihood, away from its maximum.

    With :math:`W = \Sigma^{-1}`, the gap :math:`d = m - \mu` of the means and
    :math:`M = W (S + d d') W`, the covariance block is
    :math:`\tfrac12 D' (W \otimes M + M \otimes W - W \otimes W) D`, the mean block W, and the
    block between them :math:`(W d)' \otimes W\, D`.

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        Sigma, where the information is evaluated.
    sample_covariance : ndarray of shape (p, p)
        S, with the same divisor.
    mean_gap : ndarray of shape (p,) or None
        d; None when there is no mean structure.

    Returns
    -------
    ndarray of shape (p*, p*)
        Per observation.

    References
    ----------
    Magnus & Neudecker (1999), ch. 15.
    """
    p = covariance.shape[0]
    weight = _inverse(covariance)
    second = sample_covariance
    if mean_gap is not None:
        second = second + np.outer(mean_gap, mean_gap)
    middle = weight @ second @ weight
    count = _multiplicity(p)
    both = 0.5 * (_paired(weight, middle) + _paired(middle, weight))
    block = 0.25 * np.outer(count, count) * (2.0 * both - _paired(weight, weight))
    if mean_gap is None:
        return block
    rows, columns = triangle(p)
    u = weight @ mean_gap
    cross = 0.5 * count * (weight[:, rows] * u[columns] + weight[:, columns] * u[rows])
    return _with_means(weight, cross, block)


def first_order_information(cases: Array, covariance: Array, means: Array | None) -> Array:
    r"""Cross-product of the casewise scores of the saturated normal log-likelihood.

    Parameters
    ----------
    cases : ndarray of shape (n, p)
        Complete cases.
    covariance : ndarray of shape (p, p)
        Sigma, where the scores are evaluated.
    means : ndarray of shape (p,) or None
        mu; None when there is no mean structure: deviations from the sample means are then
        used and the moment vector has no means.

    Returns
    -------
    ndarray of shape (p*, p*)
        Per observation.
    """
    p = cases.shape[1]
    weight = _inverse(covariance)
    center = cases.mean(axis=0) if means is None else means
    z = (cases - center) @ weight
    rows, columns = triangle(p)
    scores = 0.5 * _multiplicity(p) * (z[:, rows] * z[:, columns] - weight[rows, columns])
    if means is not None:
        scores = np.hstack([z, scores])
    return np.asarray(scores.T @ scores / len(cases), dtype=np.float64)


def given_fixed(gamma: Array, p: int, fixed: tuple[int, ...], *, means: bool) -> Array:
    """Asymptotic covariance of the other moments once those of fixed covariates are given.

    Parameters
    ----------
    gamma : ndarray of shape (p*, p*)
        Asymptotic covariance of all moments.
    p : int
        Number of variables.
    fixed : tuple of int
        Positions of the fixed covariates.
    means : bool
        Whether the moment vector starts with means.

    Returns
    -------
    ndarray of shape (p*, p*)
        Zero in the rows and columns of moments that only involve fixed covariates.
    """
    if not fixed:
        return gamma
    is_fixed = np.zeros(p, dtype=bool)
    is_fixed[list(fixed)] = True
    rows, columns = triangle(p)
    given = is_fixed[rows] & is_fixed[columns]
    if means:
        given = np.concatenate([is_fixed, given])
    out = np.zeros_like(gamma)
    rest = ~given
    pull = np.linalg.solve(gamma[np.ix_(given, given)], gamma[np.ix_(given, rest)])
    out[np.ix_(rest, rest)] = gamma[np.ix_(rest, rest)] - gamma[np.ix_(rest, given)] @ pull
    return out


def _inverse(covariance: Array) -> Array:
    factor = np.linalg.cholesky(covariance)
    half = np.linalg.solve(factor, np.eye(covariance.shape[0]))
    return np.asarray(half.T @ half, dtype=np.float64)
