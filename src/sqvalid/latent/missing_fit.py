r"""Fit indices when answers are missing: what the fit would be with complete answers.

A chi-square from incomplete answers is smaller the more is missing, and with it the RMSEA; a
CFI compares two such statistics. The corrected indices compare the moments most likely for
complete answers with the implied ones, and subtract what sampling and missing answers add to
that on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqvalid.latent import full_information
from sqvalid.latent.discrepancy import MaximumLikelihood, Target
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.fit_indices import CompleteDataFit
from sqvalid.latent.fit_statistics import View, baseline_view, view_theta
from sqvalid.latent.implied import Array
from sqvalid.latent.least_squares import stacked_jacobian
from sqvalid.latent.moment_weights import expected_information, moment_vector
from sqvalid.latent.reference_models import log_det
from sqvalid.moments import Block
from sqvalid.moments.blocks import remembered
from sqvalid.moments.patterns import saturated_information

_COMPLETE = MaximumLikelihood()


@dataclass(frozen=True, eq=False)
class _Saturated:
    """Weights and spread of the saturated moments of one group, moments of covariates left out."""

    keep: NDArray[np.intp]
    weight: Array
    bread: Array
    complete: Array
    gamma: Array | None
    share: float


def complete_data_fit(estimate: Estimate) -> CompleteDataFit:
    r"""Statistics of Zhang and Savalei's corrected fit indices.

    With W the observed information of the saturated moments from incomplete answers,
    :math:`W_c` the one complete answers would have, :math:`\Gamma` the sandwich of the
    moments and :math:`U = W - W\Delta(\Delta'W\Delta)^{-1}\Delta'W`, the complete-data discrepancy
    is on average :math:`tr(U W^{-1} W_c W^{-1} U \Gamma) / N` under the model. Where answers are
    taken to be normal, :math:`\Gamma = W^{-1}` and that is :math:`tr(W_c W^{-1} U W^{-1}) / N`.

    References
    ----------
    Zhang & Savalei (2023), Structural Equation Modeling 30: their third version with robust
    standard errors, their sixth without, as lavaan.
    """
    problem = estimate.problem
    if any(full_information.n_undetermined(block) for block in problem.blocks):
        # Moments that answers do not determine cannot be compared with the implied ones.
        return CompleteDataFit(*[float("nan")] * 4)
    robust = estimate.scaled_test is not None
    saturated = [
        _saturated(block, tuple(problem.fixed_index(g)), target.weight, robust=robust)
        for g, (block, target) in enumerate(
            zip(problem.blocks, problem.objective.targets, strict=True)
        )
    ]
    view = View(
        problem.objective, estimate.locals_, np.empty((0, 0)), estimate.tangent, 0.0, problem.df
    )
    information = estimate.options.information
    base = baseline_view(problem)
    return CompleteDataFit(
        problem.multiplier * _discrepancy(view),
        _expectation(view, saturated, problem.blocks, information=information) / problem.df
        if problem.df
        else float("nan"),
        problem.multiplier * _discrepancy(base),
        _expectation(base, saturated, problem.blocks, information=information) / base.df
        if base.df
        else float("nan"),
    )


@remembered
def _saturated(block: Block, fixed: tuple[int, ...], share: float, *, robust: bool) -> _Saturated:
    products = full_information.saturated_products(block)
    keep = full_information.free_moments(block, fixed)
    both = np.ix_(keep, keep)
    weight = saturated_information(products, observed=True)[both]
    bread = np.asarray(np.linalg.inv(weight), dtype=np.float64)
    gamma = None
    if robust:
        gamma = bread @ full_information.saturated_first_order(block, products)[both] @ bread
    return _Saturated(
        keep=keep,
        weight=weight,
        bread=bread,
        complete=expected_information(block.covariance, means=True)[both],
        gamma=gamma,
        share=share,
    )


def _discrepancy(view: View) -> float:
    """Maximum-likelihood discrepancy of complete answers with the saturated moments."""
    theta = view_theta(view)
    total = 0.0
    for slots, target in zip(view.objective.slots, view.objective.targets, strict=True):
        complete = Target(
            target.covariance, target.means, log_det(target.covariance), target.weight
        )
        total += 2.0 * target.weight * _COMPLETE.value(slots, complete, theta)
    return total


def _expectation(
    view: View, saturated: list[_Saturated], blocks: tuple[Block, ...], *, information: str
) -> float:
    """The trace, over all groups; groups meet in the parameters they share."""
    q = view.tangent.shape[1]
    jacobians, total_information = [], np.zeros((q, q))
    for slots, local, own, block in zip(
        view.objective.slots, view.locals_, saturated, blocks, strict=True
    ):
        jacobian = np.zeros((len(own.weight), view.objective.n_free))
        rows = stacked_jacobian(slots, local.state, with_means=True)
        jacobian[:, slots.target] = rows[own.keep]
        jacobian = jacobian @ view.tangent
        jacobians.append(jacobian)
        weight = own.weight
        if information != "observed":
            products = full_information.saturated_products(block)
            weight = full_information.moment_information(information, block, products)
            weight = weight[np.ix_(own.keep, own.keep)]
        total_information += own.share * jacobian.T @ weight @ jacobian
    inverse = np.linalg.pinv(total_information, hermitian=True)
    # P = W^-1 U = I - D B D'W, of which the blocks between groups are -D_g (B D_h' w_h W_h). D has
    # few columns, so that products with I - D K are taken apart.
    total = 0.0
    for second, own in zip(jacobians, saturated, strict=True):
        into = inverse @ second.T @ own.weight * own.share
        if own.gamma is None:
            total += float(np.sum(own.complete * own.bread))
            total -= float(np.sum((into @ own.bread) * (own.complete @ second).T))
            continue
        spread = into @ own.gamma
        curvature = np.zeros((q, q))
        for first, other in zip(jacobians, saturated, strict=True):
            curvature += other.share * first.T @ other.complete @ first
        # Gamma of a group per respondent of all groups is Gamma_h / share_h.
        total += float(np.sum(own.complete * own.gamma))
        total -= 2.0 * float(np.sum(spread * (own.complete @ second).T))
        total += float(np.sum(curvature * (spread @ into.T))) / own.share
    return total


def classic_gfi(estimate: Estimate) -> float:
    r"""Joreskog and Sorbom's GFI as lavaan computes it from incomplete answers.

    :math:`1 - e'We / s'Ws` with s the means and covariances of the answers there are, pair by
    pair, e what the model leaves of them, and W the expected information at the implied moments;
    averaged over groups by their respondents.
    """
    problem = estimate.problem
    total = 0.0
    for g, (block, target, local) in enumerate(
        zip(problem.blocks, problem.objective.targets, estimate.locals_, strict=True)
    ):
        assert block.cases is not None
        assert local.products is not None
        covariance, means = _pairwise(block.cases)
        sample = moment_vector(covariance, means)
        gap = sample - moment_vector(local.state.sigma, local.state.mu)
        weight = saturated_information(local.products, observed=False)
        keep = full_information.free_moments(block, problem.fixed_index(g))
        gap, sample, weight = gap[keep], sample[keep], weight[np.ix_(keep, keep)]
        total += target.weight * (1.0 - float(gap @ weight @ gap) / float(sample @ weight @ sample))
    return total


def _pairwise(cases: Array) -> tuple[Array, Array]:
    """Available-case means; covariances of the respondents who answered both items."""
    there = ~np.isnan(cases)
    counts = there.T.astype(float) @ there
    centre = np.nanmean(cases, axis=0)
    filled = np.where(there, cases - centre, 0.0)
    sums = filled.T @ there
    products = filled.T @ filled
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = (products - sums * sums.T / counts) / (counts - 1.0)
    n = len(cases)
    return covariance * ((n - 1.0) / n), centre
