"""Fit of the moments one by one: residuals, their standard errors, their summaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sqvalid.errors import UnsupportedError
from sqvalid.latent import full_information, residual_summary
from sqvalid.latent import residuals as residual_statistics
from sqvalid.latent.categorical_fit import (
    ordered_moments,
    ordinal_residuals,
    ordinal_summary,
)
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.fit_statistics import moment_weight
from sqvalid.latent.fourth_moments import gamma_of, has_only_gamma
from sqvalid.latent.implied import Array, moment_jacobian
from sqvalid.latent.moment_weights import first_order_information
from sqvalid.latent.options import SANDWICHES
from sqvalid.latent.residual_averages import GroupMoments
from sqvalid.latent.sampling import refuse_sampling

RESIDUAL_KINDS = ("raw", "cor", "cor.bentler", "normalized", "standardized")


def group_moments(estimate: Estimate) -> tuple[GroupMoments, ...]:
    """Sample and implied moments of every group."""
    problem = estimate.problem
    if problem.is_categorical:
        return tuple(ordered_moments(estimate, g) for g in range(len(problem.blocks)))
    return tuple(
        GroupMoments(
            n_obs=block.total_weight,
            covariance=target.covariance,
            implied_covariance=local.state.sigma,
            means=target.means,
            implied_means=None if target.means is None else local.state.mu,
            fixed=tuple(problem.fixed_index(g)),
        )
        for g, (block, target, local) in enumerate(
            zip(problem.blocks, problem.objective.targets, estimate.locals_, strict=True)
        )
    )


def moment_weights(estimate: Estimate) -> tuple[Array, ...] | None:
    """Weights of the moments per group; None where they are normal-theory ones."""
    categorical = estimate.problem.is_categorical
    if estimate.options.discrepancy not in ("ULS", "WLS", "DWLS") or categorical:
        return None
    return tuple(_estimator_weights(estimate) or ())


def free_jacobians(estimate: Estimate) -> list[Array]:
    """Derivatives of each group's moments along the directions that constraints leave.

    Returns
    -------
    list of ndarray, shape (p*, d)
        Means first, then the lower triangle column by column.
    """
    problem = estimate.problem
    out = []
    for slots, target, local in zip(
        problem.slots, problem.objective.targets, estimate.locals_, strict=True
    ):
        d_sigma, d_mu = moment_jacobian(slots, local.state)
        rows = d_sigma if target.means is None else np.vstack([d_mu, d_sigma])
        full = np.zeros((len(rows), problem.objective.n_free))
        full[:, slots.target] = rows
        out.append(full @ estimate.tangent)
    return out


def _weighting(estimate: Estimate) -> dict[str, Any]:
    """How the standard errors of residuals are computed: as those of the parameters."""
    options = estimate.options
    return {
        "information": options.information,
        "robust": options.se in ("robust.huber.white", "robust.sem")
        or options.discrepancy in ("WLS", "DWLS"),
    }


def _estimator_weights(estimate: Estimate) -> list[Array] | None:
    """Weights in place of the information, where they are not normal-theory ones at Sigma."""
    options, problem = estimate.options, estimate.problem
    if problem.is_incomplete:
        out = []
        for block, local in zip(problem.blocks, estimate.weighting_locals, strict=True):
            assert local.products is not None
            out.append(
                full_information.moment_information(
                    options.information, block, local.products, local.state.mu
                )
            )
        return out
    if options.discrepancy == "ML" and options.h1_information == "structured":
        return None
    if options.discrepancy == "ML" and options.information == "first.order":
        return [
            first_order_information(block.cases, target.covariance, target.means)
            for block, target in zip(problem.blocks, problem.objective.targets, strict=True)
            if block.cases is not None
        ]
    return [
        moment_weight(problem, options, g, local).dense(
            len(target.covariance), with_means=target.means is not None
        )
        for g, (target, local) in enumerate(
            zip(problem.objective.targets, estimate.locals_, strict=True)
        )
    ]


def _given_spreads(estimate: Estimate) -> list[Array] | None:
    """Asymptotic covariances of the saturated moments, where answers are missing or gone."""
    problem, options = estimate.problem, estimate.options
    if all(has_only_gamma(block) for block in problem.blocks):
        if not _weighting(estimate)["robust"]:
            return None
        return [
            gamma_of(block, with_means=target.means is not None, fixed=problem.fixed_index(g))
            / block.n_obs
            for g, (block, target) in enumerate(
                zip(problem.blocks, problem.objective.targets, strict=True)
            )
        ]
    given = [block.gamma for block in problem.blocks]
    if all(gamma is not None for gamma in given):
        return [
            gamma / block.total_weight
            for gamma, block in zip(given, problem.blocks, strict=True)
            if gamma is not None
        ]
    if not problem.is_incomplete:
        return None
    return [
        full_information.saturated_covariance(
            block,
            fixed=tuple(problem.fixed_index(g)),
            robust=options.se in SANDWICHES,
            information=options.information,
        )
        for g, block in enumerate(problem.blocks)
    ]


def residuals(
    estimate: Estimate, groups: Sequence[GroupMoments], kind: str
) -> list[residual_statistics.Residuals]:
    """Residuals of every group in one of the metrics of `RESIDUAL_KINDS`."""
    if estimate.problem.is_categorical:
        return [found for found, _ in ordinal_residuals(estimate, kind)]
    cases = [block.cases for block in estimate.problem.blocks]
    if kind in ("normalized", "standardized"):
        refuse_sampling(estimate.problem.blocks, "Residuals over their standard errors are")
    spreads = _given_spreads(estimate) if kind in ("normalized", "standardized") else None
    if kind == "normalized" and spreads is not None:
        return [
            residual_statistics.divided_by_standard_error(group, spread)
            for group, spread in zip(groups, spreads, strict=True)
        ]
    if kind == "normalized":
        return [
            residual_statistics.normalized_residuals(group, cases=case, **_weighting(estimate))
            for group, case in zip(groups, cases, strict=True)
        ]
    if kind == "standardized":
        return residual_statistics.standardized_residuals(
            groups,
            free_jacobians(estimate),
            cases=cases,
            weights=_estimator_weights(estimate),
            spreads=spreads,
            **_weighting(estimate),
        )
    metric: residual_statistics.Metric = kind  # type: ignore[assignment]
    return [residual_statistics.residuals(group, metric) for group in groups]


def summarise_residuals(
    estimate: Estimate, groups: Sequence[GroupMoments], kind: str
) -> dict[str, dict[str, float]]:
    """Root mean square residual with its inference, per part (cov, mean, total).

    Raises
    ------
    UnsupportedError
        For several groups, whose residuals share parameters.
    """
    if len(groups) > 1:
        raise UnsupportedError("Summaries of residuals are available for one group only.")
    if estimate.problem.is_categorical:
        return ordinal_summary(estimate, kind)
    refuse_sampling(estimate.problem.blocks, "Summaries of residuals are")
    covariance = residual_statistics.residual_covariances(
        groups,
        free_jacobians(estimate),
        cases=[block.cases for block in estimate.problem.blocks],
        weights=_estimator_weights(estimate),
        spreads=_given_spreads(estimate),
        **_weighting(estimate),
    )[0]
    metric: residual_statistics.Metric = kind  # type: ignore[assignment]
    parts = residual_summary.summarise(groups[0], covariance, metric)
    name = residual_summary.NAMES[kind]
    return {part: value.to_dict(name) for part, value in parts.items()}
