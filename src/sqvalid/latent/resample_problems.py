"""One resample as a problem of its own: incomplete answers, ordered ones, other discrepancies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import EstimationError, InputError
from sqvalid.latent.constraints import ConstraintSet
from sqvalid.latent.discrepancy import Objective
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array, Slots, put
from sqvalid.latent.problem import make_problem
from sqvalid.moments import Block, Moments
from sqvalid.moments.build import incomplete_block, weighted_mean_and_covariance
from sqvalid.moments.ordered_answers import ordinal_block
from sqvalid.moments.patterns import pattern_data

__all__ = ["Sample", "draw_sample", "resampled_moments", "sample_estimate"]


@dataclass(frozen=True, eq=False)
class Sample:
    """A resample met by the model.

    Parameters
    ----------
    objective : Objective
    constraints : ConstraintSet
    fixed_values : dict of str to float
        Sample moments at which covariates are fixed, by plabel.
    """

    objective: Objective
    constraints: ConstraintSet
    fixed_values: dict[str, float]

    def evaluate(self, theta: Array, _: NDArray[np.intp]) -> tuple[Array, Array]:
        """F/2 and its gradient as a batch of one has them; `theta` has shape (1, q)."""
        locals_ = self.objective.locals(theta[0])
        if locals_ is None:
            return np.array([np.inf]), np.zeros_like(theta)
        value = self.objective.value_at(locals_)
        return np.array([value]), self.objective.gradient(locals_)[None]


def _has_gaps(block: Block) -> bool:
    return block.cases is not None and bool(np.isnan(block.cases).any())


def _redrawn(block: Block, counts: Array) -> Block:
    """A group's statistics from the respondents that were drawn."""
    assert block.cases is not None
    rows = np.repeat(np.arange(block.n_obs), counts.astype(np.intp))
    cases = block.cases[rows]
    weights = None if block.weights is None else block.weights[rows]
    clusters = None if block.clusters is None else block.clusters[rows]
    if block.is_ordinal:
        return ordinal_block(
            block.group, block.variables, cases, block.levels, block.conditional, weights
        )
    if _has_gaps(block):
        return incomplete_block(block.group, block.variables, cases, weights, clusters)
    means, covariance = weighted_mean_and_covariance(
        cases, np.ones(len(rows)) if weights is None else weights
    )
    return replace(
        block,
        n_obs=len(rows),
        covariance=covariance,
        means=means,
        cases=cases,
        weights=weights,
        clusters=clusters,
    )


def resampled_moments(estimate: Estimate, counts: Sequence[Array]) -> Moments:
    """Moments of one resample; `counts` has one array (n,) per group.

    Raises
    ------
    SurveyError
        Statistics that the resample does not have.
    """
    blocks = estimate.problem.blocks
    return Moments(
        tuple(_redrawn(block, count) for block, count in zip(blocks, counts, strict=True))
    )


def draw_sample(estimate: Estimate, counts: Sequence[Array]) -> Sample | None:
    """The problem of one resample, or None where it has no moments to work with.

    Parameters
    ----------
    estimate : Estimate
        Of the full sample.
    counts : sequence of ndarray, shape (n,)
        How often each respondent is drawn, one array per group.
    """
    if estimate.problem.is_incomplete:
        return _incomplete_sample(estimate, counts)
    try:
        problem = make_problem(
            estimate.problem.structure, resampled_moments(estimate, counts), estimate.options
        )
    except (InputError, EstimationError, np.linalg.LinAlgError):
        # An item that does not vary or copies another, a category that nobody chose.
        return None
    return Sample(problem.objective, problem.constraints, problem.fixed_values)


def _incomplete_sample(estimate: Estimate, counts: Sequence[Array]) -> Sample | None:
    """The same for full information, where the saturated moments are not needed.

    A respondent who is drawn twice is one with weight two. F/2 is that above the full sample's
    saturated model: estimating the resample's own takes longer than estimating the parameters.
    """
    problem = estimate.problem
    slots, targets = [], []
    fixed_values: dict[str, float] = {}
    weights = [
        count if block.weights is None else count * block.weights
        for block, count in zip(problem.blocks, counts, strict=True)
    ]
    total = sum(float(weight.sum()) for weight in weights)
    for g, (block, weight) in enumerate(zip(problem.blocks, weights, strict=True)):
        assert block.cases is not None
        drawn = weight > 0.0
        cases, weight = block.cases[drawn], weight[drawn]
        if not _varies(cases):
            return None
        own, target = problem.slots[g], problem.objective.targets[g]
        if problem.structure.exogenous[g]:
            own = replace(own, base={name: matrix.copy() for name, matrix in own.base.items()})
            # Covariates that are given have no gaps.
            index = problem.fixed_index(g)
            means, covariance = weighted_mean_and_covariance(cases[:, index], weight)
            place_of = {block.variables[j]: i for i, j in enumerate(index)}
            for row, place in problem.structure.exogenous[g]:
                i = place_of[row.lhs]
                value = means[i] if row.op == "~1" else covariance[i, place_of[row.rhs]]
                fixed_values[row.plabel] = float(value)
                put(own.base, place, float(value))
        slots.append(own)
        targets.append(
            replace(
                target,
                weight=float(weight.sum()) / total,
                patterns=pattern_data(cases, weight),
            )
        )
    objective = replace(problem.objective, slots=tuple(slots), targets=tuple(targets))
    return Sample(objective, problem.constraints, fixed_values)


def sample_estimate(estimate: Estimate, theta: Array, sampled: Array) -> Estimate | None:
    """The fit with the parameters of a resample in their places; None where they have no matrices.

    Parameters
    ----------
    estimate : Estimate
        Of the full sample; its statistics, errors and tests stay.
    theta : ndarray, shape (q,)
    sampled : ndarray, shape (n_rows,)
        Values of the rows fixed at sample moments.
    """
    problem = estimate.problem
    number = {row.plabel: i for i, row in enumerate(problem.table.rows)}
    fixed_values = {name: float(sampled[number[name]]) for name in problem.fixed_values}

    def with_covariates(slots: Sequence[Slots]) -> tuple[Slots, ...]:
        out = []
        for own, exogenous in zip(slots, problem.structure.exogenous, strict=True):
            base = {name: matrix.copy() for name, matrix in own.base.items()}
            for row, place in exogenous:
                put(base, place, fixed_values[row.plabel])
            out.append(replace(own, base=base))
        return tuple(out)

    slots, joint = problem.slots, problem.joint_slots
    if fixed_values and joint is None:
        slots = with_covariates(slots)
    elif joint is not None:
        joint = with_covariates(joint)
    objective = replace(problem.objective, slots=slots)
    locals_ = objective.locals(theta)
    if locals_ is None:
        return None
    return replace(
        estimate,
        problem=replace(problem, objective=objective, fixed_values=fixed_values, joint_slots=joint),
        solution=replace(estimate.solution, theta=theta, locals_=locals_),
        locals_=tuple(locals_),
    )


def _varies(cases: Array) -> bool:
    """Whether every item was answered in two ways at least."""
    there = ~np.isnan(cases)
    if not there.any(axis=0).all():
        return False
    low = np.where(there, cases, np.inf).min(axis=0)
    high = np.where(there, cases, -np.inf).max(axis=0)
    return bool((low < high).all())
