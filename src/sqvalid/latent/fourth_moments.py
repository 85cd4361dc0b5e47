r"""Robust statistics from means, covariances and Gamma, where the answers are gone.

Casewise scores are quadratic in the answers: with the moments
:math:`w_n = (e_n, vech(e_n e_n'))`, :math:`e_n = y_n - m`, whose covariance is :math:`\Gamma`, they
are :math:`A w_n + c`. Their cross-product is then

.. math:: \frac1N\sum_n s_n s_n' = A\,\Gamma A' + \bar s\bar s', \qquad
          \bar s = A\,(0, vech(S)) + c,

and every trace that scales a test is a quadratic form in Gamma. Nothing else of the answers is
needed, so what was collected in one pass over a file does for all of MLM and MLR.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqvalid.latent.discrepancy import Local
from sqvalid.latent.implied import Array, Slots
from sqvalid.latent.moment_weights import triangle
from sqvalid.moments import Block, vech_places


def has_only_gamma(block: Block) -> bool:
    """Whether fourth moments stand in for the answers of continuous items."""
    return block.cases is None and not block.is_ordinal and block.gamma is not None


def gamma_of(block: Block, *, with_means: bool, fixed: Sequence[int] = ()) -> Array:
    r"""Covariance of the moments of a group, given the covariates at the positions `fixed`.

    With :math:`\hat e_n = B'x_n` what covariates predict, the moments that vary are
    :math:`e_n - \hat e_n` and :math:`vech(e_n e_n' - \hat e_n \hat e_n')`, both linear in
    :math:`w_n`.

    Parameters
    ----------
    block : Block
        With `gamma` of means and covariances.
    with_means : bool
        Whether means are among the moments.

    Returns
    -------
    ndarray, shape (p*, p*)
        Means first, then the lower triangle column by column.
    """
    gamma, p = block.gamma, block.n_variables
    assert gamma is not None
    if fixed:
        change = _given(block.covariance, list(fixed))
        gamma = change @ gamma @ change.T
    return gamma if with_means else gamma[p:, p:]


def _given(covariance: Array, fixed: list[int]) -> Array:
    """The linear map that takes off what covariates predict, shape (p + p*, p + p*)."""
    p = len(covariance)
    # Of e, what covariates predict: P e with P zero outside the columns of the covariates.
    predict = np.zeros((p, p))
    predict[:, fixed] = np.linalg.solve(covariance[np.ix_(fixed, fixed)], covariance[fixed]).T
    rows, columns = triangle(p)
    out = np.eye(p + len(rows))
    out[:p, :p] -= predict
    # Entry (i, j) of P ee' P' as a function of the lower triangle of ee'.
    products = predict[rows][:, rows] * predict[columns][:, columns]
    other = predict[rows][:, columns] * predict[columns][:, rows]
    out[p:, p:] -= np.where(rows == columns, products, products + other)
    return out


def score_map(slots: Slots, local: Local, block: Block, centre: Array) -> tuple[Array, Array]:
    """A and the mean score: scores of cases as linear functions of their moments.

    Parameters
    ----------
    centre : ndarray, shape (p,)
        What deviations are taken from in the scores.

    Returns
    -------
    map : ndarray, shape (k, p + p*)
    mean : ndarray, shape (k,)
    """
    assert block.means is not None
    inner = local.sigma_inverse @ local.state.c
    u, v = inner[:, slots.a], inner[:, slots.b]
    shift = block.means - centre
    at_u, at_v = shift @ u, shift @ v
    rows, columns = triangle(block.n_variables)
    products = u[rows] * v[columns]
    products += np.where((rows == columns)[:, None], 0.0, u[columns] * v[rows])
    linear = (u * at_v + v * at_u) * slots.s
    products *= slots.s
    mean = slots.s * (at_u * at_v - local.g[slots.a, slots.b])
    if slots.has_means:
        linear += local.t * u
        mean = mean + local.t * at_u
    mean = mean + block.covariance[rows, columns] @ products
    return np.hstack([linear.T, products.T]), np.asarray(mean)


def first_order(slots: Slots, local: Local, block: Block, centre: Array) -> Array:
    """Mean cross-product of the scores of one group, shape (k, k)."""
    assert block.gamma is not None
    matrix, mean = score_map(slots, local, block, centre)
    return np.asarray(matrix @ block.gamma @ matrix.T + np.outer(mean, mean))


def saturated_trace(block: Block, *, with_means: bool, fixed: Sequence[int] = ()) -> float:
    r"""Trace of Gamma_NT^-1 Gamma.

    The mean of the fourth power of the Mahalanobis distance is
    :math:`v'\Gamma v + p^2`, with v the lower triangle of the inverse covariance, entries off the
    diagonal twice.
    """
    if fixed:
        part = block.select([block.variables[j] for j in fixed])
        return saturated_trace(block, with_means=with_means) - saturated_trace(
            part, with_means=with_means
        )
    assert block.gamma is not None
    p = block.n_variables
    rows, columns = triangle(p)
    inverse = np.linalg.solve(block.covariance, np.eye(p))
    v = inverse[rows, columns] * np.where(rows == columns, 1.0, 2.0)
    fourth = float(v @ block.gamma[p:, p:] @ v) + p * p
    return 0.5 * (fourth - p) + (p if with_means else 0.0)


def independence_trace(block: Block, *, with_means: bool, fixed: Sequence[int] = ()) -> float:
    """Trace of information^-1 times score cross-products under independence."""
    assert block.gamma is not None
    p = block.n_variables
    keep = np.setdiff1d(np.arange(p), np.asarray(fixed, dtype=np.intp))
    spread = np.diag(block.gamma)[p + vech_places(p)[keep, keep]]
    variances = np.diag(block.covariance)[keep]
    return 0.5 * float((spread / variances**2).sum()) + (len(keep) if with_means else 0.0)
