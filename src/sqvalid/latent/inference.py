"""Information, covariance of the estimates, casewise scores, robust corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from sqvalid.latent import fourth_moments, full_information
from sqvalid.latent.discrepancy import Local, MaximumLikelihood, Objective
from sqvalid.latent.implied import Array, Slots, invert_positive_definite
from sqvalid.latent.sampling import cluster_correction, cluster_order, independent_sums
from sqvalid.moments import Block

InformationKind = Literal["expected", "observed", "first.order"]
# Relative size under which an eigenvalue of the scaled information counts as zero.
_SINGULAR = 1e-9


def casewise_scores(slots: Slots, local: Local, cases: Array, means: Array | None) -> Array:
    r"""Gradient of each respondent's log-likelihood.

    .. math:: \partial l_n/\partial\theta_i = s_i (z_{n a_i} z_{n b_i} - G_{a_i b_i})
              + t_i z_{n a_i}, \qquad z_n = C'\Sigma^{-1}(y_n - \mu)

    Parameters
    ----------
    cases : ndarray, shape (n, p)
    means : ndarray, shape (p,), optional
        What deviations are taken from; the implied means when None.

    Returns
    -------
    ndarray, shape (n, k)
        Log-likelihood scores (ascent direction).
    """
    centre = local.state.mu if means is None else means
    z = (cases - centre) @ (local.sigma_inverse @ local.state.c)
    z_a = z[:, slots.a]
    out = (z_a * z[:, slots.b] - local.g[slots.a, slots.b]) * slots.s
    if slots.has_means:
        out += local.t * z_a
    return np.asarray(out)


def first_order_information(
    objective: Objective, locals_: Sequence[Local], blocks: Sequence[Block]
) -> Array:
    """Mean cross-product of the casewise scores, shape (q, q).

    Scores are weighted where respondents are, and summed within clusters first.
    """
    q = objective.n_free
    out = np.zeros((q, q))
    for slots, target, local, block in zip(
        objective.slots, objective.targets, locals_, blocks, strict=True
    ):
        # Without a mean structure the means are the sample's.
        centre = None if target.means is not None else block.means
        if fourth_moments.has_only_gamma(block):
            at = local.state.mu if centre is None else centre
            part = fourth_moments.first_order(slots, local, block, at)
            out[np.ix_(slots.target, slots.target)] += target.weight * part
            continue
        assert block.cases is not None
        scores = np.zeros((block.n_obs, q))
        if local.products is not None:
            scores[:, slots.target] = full_information.casewise_scores(slots, local, block)
        else:
            scores[:, slots.target] = casewise_scores(slots, local, block.cases, centre)
        scores = independent_sums(scores, block)
        out += target.weight * (scores.T @ scores) / block.total_weight
    return out


def weighting_locals(
    h1_information: str,
    objective: Objective,
    locals_: Sequence[Local],
    blocks: Sequence[Block],
) -> tuple[Local, ...]:
    """Matrices whose weights are those of the moments that the information is taken at.

    Parameters
    ----------
    h1_information : {"structured", "unstructured"}
        The implied moments, or those of the saturated model; least squares have their own weights.
    """
    likelihood = isinstance(
        objective.estimator, (MaximumLikelihood, full_information.FullInformation)
    )
    if h1_information == "structured" or not likelihood:
        return tuple(locals_)
    out = []
    for target, local, block in zip(objective.targets, locals_, blocks, strict=True):
        products = local.products
        if products is not None:
            products = full_information.saturated_products(block)
        found = invert_positive_definite(target.covariance)
        assert found is not None
        state = local.state
        if block.means is not None:
            state = replace(state, mu=block.means)
        g = state.c.T @ (found[0] if products is None else products.inverse) @ state.c
        out.append(replace(local, state=state, g=g, sigma_inverse=found[0], products=products))
    return tuple(out)


def information_matrix(
    kind: InformationKind,
    objective: Objective,
    locals_: Sequence[Local],
    blocks: Sequence[Block],
    h1_information: str = "structured",
) -> Array:
    """Information per observation, shape (q, q).

    The observed one is the Hessian whatever `h1_information`, as in lavaan.
    """
    if kind == "observed":
        return objective.hessian(locals_)
    weights = weighting_locals(h1_information, objective, locals_, blocks)
    if kind == "expected":
        return objective.expected(weights)
    return first_order_information(objective, weights, blocks)


@dataclass(frozen=True, eq=False)
class Inverse:
    """Inverse of an information over the directions that constraints leave.

    Parameters
    ----------
    matrix : ndarray, shape (q, q)
        ``T (T' I T)^-1 T'``; NaN throughout when the information is singular.
    null_vectors : ndarray, shape (q, r)
        Directions along which the information vanishes.
    is_positive : bool
        Whether the reduced information is positive definite.
    """

    matrix: Array
    null_vectors: Array
    is_positive: bool


def constrained_inverse(information: Array, tangent: Array) -> Inverse:
    """Invert `information` on the span of `tangent` (shape (q, d)).

    The inverse of the information bordered by the constraints is the same matrix (Aitchison
    & Silvey, 1958).
    """
    q = information.shape[0]
    is_free = tangent.shape[1] == q
    reduced = information if is_free else tangent.T @ information @ tangent
    diagonal = np.diag(reduced)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = reduced / np.outer(scale, scale)
    inverse = _safe_inverse(scaled)
    is_positive = True
    if inverse is None:
        values, vectors = np.linalg.eigh(scaled)
        null = np.abs(values) <= _SINGULAR * max(float(np.abs(values).max()), 1e-300)
        if null.any():
            directions = vectors[:, null] / scale[:, None]
            return Inverse(
                np.full((q, q), np.nan), directions if is_free else tangent @ directions, False
            )
        is_positive = bool((values > 0).all())
        inverse = (vectors / values) @ vectors.T
    inverse = inverse / np.outer(scale, scale)
    inverse = 0.5 * (inverse + inverse.T)
    return Inverse(
        inverse if is_free else tangent @ inverse @ tangent.T, np.empty((q, 0)), is_positive
    )


def _safe_inverse(matrix: Array) -> Array | None:
    """Inverse of a matrix that is positive definite beyond doubt, else None.

    The trace bounds the largest eigenvalue from above, the Frobenius norm of the inverse the
    smallest one from below.
    """
    if not matrix.size:
        return matrix
    found = invert_positive_definite(matrix)
    if found is None:
        return None
    inverse = found[0]
    is_safe = _SINGULAR * float(np.trace(matrix)) * float(np.linalg.norm(inverse)) < 1.0
    return inverse if is_safe else None


def _deviations(block: Block) -> Array:
    """Answers less their means; the caller has checked that there are answers."""
    assert block.cases is not None
    if block.weights is None:
        return np.asarray(block.cases - block.cases.mean(axis=0))
    assert block.means is not None
    return np.asarray(block.cases - block.means)


def saturated_trace(block: Block, *, with_means: bool, fixed: Sequence[int] = ()) -> float:
    r"""Trace of Gamma_NT^-1 Gamma of one group's sample moments, by Mahalanobis distances.

    .. math:: tr = \tfrac12 (\overline{d^4} - p) \;[+\; p], \qquad
              d_n^2 = (y_n - m)' S^{-1} (y_n - m)

    The term in brackets is the means'. It is the number of moments when answers are normal.
    What belongs to fixed covariates alone is taken off. With sampling weights the squared
    weight stands before each term; with clusters the trace is

    .. math:: \frac{1}{N}\sum_c \tfrac12 ||\textstyle\sum_{n\in c} w_n (z_n z_n' - I)||^2
              \;[+\; ||\textstyle\sum_{n\in c} w_n z_n||^2], \qquad z_n = L^{-1}(y_n - m)

    times C / (C - 1), with L the Cholesky factor of S and C clusters.
    """
    if fourth_moments.has_only_gamma(block):
        return fourth_moments.saturated_trace(block, with_means=with_means, fixed=fixed)
    deviations = _deviations(block)

    def part(index: Sequence[int] | None) -> float:
        centred, covariance = deviations, block.covariance
        if index is not None:
            centred, covariance = centred[:, index], covariance[np.ix_(index, index)]
        if block.clusters is not None:
            return _clustered_trace(block, centred, covariance, with_means=with_means)
        distance = np.einsum("ij,ij->i", centred, cho_solve(cho_factor(covariance), centred.T).T)
        p = len(covariance)
        if block.weights is not None:
            terms = 0.5 * (distance**2 - 2.0 * distance + p) + (distance if with_means else 0.0)
            return float(block.weights**2 @ terms) / block.total_weight
        return 0.5 * (float((distance**2).mean()) - p) + (p if with_means else 0.0)

    return part(None) - (part(list(fixed)) if fixed else 0.0)


def _clustered_trace(
    block: Block, deviations: Array, covariance: Array, *, with_means: bool
) -> float:
    """The saturated trace with moments summed within clusters, one p x p matrix at a time."""
    z = solve_triangular(np.linalg.cholesky(covariance), deviations.T, lower=True).T
    order, starts = cluster_order(block)
    z = np.ascontiguousarray(z[order])
    weight = np.ones(len(z)) if block.weights is None else block.weights[order]
    weighted = z * weight[:, None]
    ends = np.append(starts[1:], len(z))
    total = 0.0
    for start, end, share in zip(
        starts.tolist(), ends.tolist(), np.add.reduceat(weight, starts).tolist(), strict=True
    ):
        products = weighted[start:end].T @ z[start:end]
        products.ravel()[:: len(covariance) + 1] -= share
        total += 0.5 * float(np.vdot(products, products))
    if with_means:
        total += float((np.add.reduceat(weighted, starts, axis=0) ** 2).sum())
    return total * cluster_correction(len(starts)) / block.total_weight


def independence_trace(block: Block, *, with_means: bool, fixed: Sequence[int] = ()) -> float:
    r"""Trace of information^-1 times score cross-products under independence.

    The baseline has variances (and means) of the variables that are not fixed covariates:
    :math:`\sum_j \tfrac12 (m_{4j}/v_j^2 - 1) \;[+\; 1]`, with scores weighted and summed
    within clusters where there are weights and clusters.
    """
    if fourth_moments.has_only_gamma(block):
        return fourth_moments.independence_trace(block, with_means=with_means, fixed=fixed)
    keep = [j for j in range(block.n_variables) if j not in set(fixed)]
    standard = _deviations(block)[:, keep] / np.sqrt(np.diag(block.covariance)[keep])
    total = 0.5 * float((independent_sums(standard**2 - 1.0, block) ** 2).sum())
    if with_means:
        total += float((independent_sums(standard, block) ** 2).sum())
    return total / block.total_weight


def score_trace(inverse: Array, first_order: Array) -> float:
    """Trace of I^-1 J: what the number of parameters is inflated to by non-normality."""
    return float(np.einsum("ij,ji->", inverse, first_order))
