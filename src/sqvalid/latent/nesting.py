r"""Where in a free model a restricted one lies, if it lies there at all.

A model is nested in another when whatever moments it implies, the other can imply too. The
check: fit the free model to the moments that the restricted one implies; a discrepancy of
zero says that they are within its reach (Bentler & Satorra, 2010). The parameters at which
this happens are the free model "at the restricted solution", however differently the two
models are written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sqvalid.errors import UnsupportedError
from sqvalid.latent.constraints import make_functions, named_values, tangent_basis
from sqvalid.latent.discrepancy import Local, MaximumLikelihood, Target
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.inference import constrained_inverse
from sqvalid.latent.optimiser import minimise
from sqvalid.latent.parameter_frames import row_values
from sqvalid.latent.parameter_table import ParameterTable
from sqvalid.latent.reference_models import log_det
from sqvalid.latent.syntax import Binary, inline_definitions

# F/2 per observation up to which moments count as reproduced: standardised residuals of
# 1e-5. Newton ends near 1e-16 where the models are nested.
REPRODUCED = 1e-10


@dataclass(frozen=True, eq=False)
class Reproduction:
    """The free model as near to the restricted model's moments as it comes.

    Parameters
    ----------
    theta : ndarray, shape (q,)
        Free parameters of the free model.
    half_f : float
        Half the discrepancy from the restricted model's moments, per observation.
    locals_ : tuple of Local
        Matrices of the free model there, against the sample.
    is_regular : bool
        Whether the free model is identified there, along its constraints.
    """

    theta: Array
    half_f: float
    locals_: tuple[Local, ...]
    is_regular: bool

    @property
    def is_exact(self) -> bool:
        """Whether the restricted model's moments are reproduced: nested, at this point."""
        return self.half_f < REPRODUCED


def implied_targets(free: Estimate, restricted: Estimate) -> tuple[Target, ...]:
    """Moments the restricted model implies, in the free model's order, as targets to fit."""
    place = {block.group: g for g, block in enumerate(restricted.problem.blocks)}
    out = []
    for block, target in zip(free.problem.blocks, free.problem.objective.targets, strict=True):
        g = place[block.group]
        if target.ordinal is not None:
            out.append(_implied_statistics(restricted, target, g))
            continue
        order = [restricted.problem.blocks[g].variables.index(name) for name in block.variables]
        state = restricted.locals_[g].state
        sigma = state.sigma[np.ix_(order, order)]
        means = None if target.means is None else state.mu[order]
        out.append(Target(sigma, means, log_det(sigma), target.weight))
    return tuple(out)


def _implied_statistics(restricted: Estimate, target: Target, g: int) -> Target:
    """The same for ordered answers: statistics, each with the weight one."""
    ordinal, there = target.ordinal, restricted.locals_[g].ordinal
    assert ordinal is not None
    assert there is not None
    known = there.target.block.statistic_names()
    place = {name: i for i, name in enumerate(known)}
    wanted = ordinal.block.statistic_names()
    values = there.values[[place[name] for name in wanted]]
    return replace(target, ordinal=replace(ordinal, values=values, weights=np.ones(len(values))))


def _names(table: ParameterTable) -> set[str]:
    return {name for group in (*table.observed, *table.latents) for name in group}


def _keys(estimate: Estimate) -> list[tuple[str, str, str, str]]:
    """What every row of the table is about: its key and the label of its group."""
    labels = [block.group for block in estimate.problem.blocks]
    return [(*row.key, labels[row.group - 1]) for row in estimate.problem.table.rows]


def parameters_by_name(free: Estimate, restricted: Estimate) -> Array | None:
    """The free model's parameters at the values that the restricted model gives them.

    A parameter that the restricted model does not have is zero there.

    Returns
    -------
    ndarray, shape (q,), or None
        None where the restricted model lacks a variable or factor of the free one.
    """
    table, other = free.problem.table, restricted.problem.table
    if not _names(table) <= _names(other):
        return None
    values = dict(zip(_keys(restricted), row_values(restricted), strict=True))
    keys = _keys(free)
    out = np.zeros(table.n_free)
    for key, row in zip(keys, table.rows, strict=True):
        if row.free:
            out[row.free - 1] = values.get(key, 0.0)
    return out


def _holds(estimate: Estimate, theta: Array) -> bool:
    """Whether `theta` satisfies the model's equalities, inequalities and bounds."""
    constraints = estimate.problem.constraints
    nearest = constraints.to_theta(constraints.to_phi(theta))
    return bool(
        np.allclose(nearest, theta, atol=1e-8)
        and (np.abs(constraints.equalities.values(theta)) < 1e-8).all()
        and (constraints.inequalities.values(theta) > -1e-8).all()
        and (theta >= constraints.lower - 1e-8).all()
        and (theta <= constraints.upper + 1e-8).all()
    )


def reproduce(free: Estimate, restricted: Estimate) -> Reproduction:
    """Fit the free model to the moments that the restricted model implies.

    Parameters
    ----------
    free, restricted : Estimate
        Of the same data, with mean structures both or neither.

    Returns
    -------
    Reproduction
        The first exact one from the parameters matched by name and the free model's own
        solution; the nearest when none is exact.

    References
    ----------
    Bentler & Satorra (2010), Psychological Methods 15.
    """
    problem = free.problem
    # Whatever the estimator, maximum likelihood knows best when two moments are equal.
    objective = replace(
        problem.objective,
        estimator=problem.objective.estimator if problem.is_categorical else MaximumLikelihood(),
        targets=implied_targets(free, restricted),
    )
    starts = [parameters_by_name(free, restricted), free.theta]
    best: tuple[float, Array] = (np.inf, free.theta)
    for start in starts:
        if start is None:
            continue
        there = objective.value(start)
        if there < REPRODUCED and _holds(free, start):
            best = (there, start)
            break
        found = minimise(objective, problem.constraints, start)
        if found.half_f < best[0]:
            best = (found.half_f, found.theta)
        if best[0] < REPRODUCED:
            break
    half_f, theta = best
    locals_, matched = problem.objective.locals(theta), objective.locals(theta)
    if locals_ is None or matched is None:
        return Reproduction(theta, np.inf, (), False)
    information = objective.expected(matched)
    tangent = tangent_basis(problem.constraints.active_jacobian(theta))
    inverse = constrained_inverse(information, tangent)
    return Reproduction(theta, half_f, tuple(locals_), not inverse.null_vectors.shape[1])


def exact_restrictions(free: Estimate, restricted: Estimate) -> Array:
    """Derivatives of what the restricted model demands of the free model's parameters.

    Parameters
    ----------
    free, restricted : Estimate
        The same parameters by name, with more constraints or fixed values in `restricted`.

    Returns
    -------
    ndarray, shape (r, q)
        At the free model's estimates; rows may depend on each other.

    Raises
    ------
    UnsupportedError
        The restricted model has parameters that the free one does not know.
    """
    table, other = free.problem.table, restricted.problem.table
    strange = sorted(_names(other) - _names(table))
    if strange:
        raise UnsupportedError(
            "a_method='exact' needs models that differ by constraints only; the restricted "
            f"model has {', '.join(strange[:6])}, which the free model does not know.",
            remedy="Use a_method='delta'.",
        )
    q, q_other = table.n_free, other.n_free
    twins = dict(zip(_keys(free), zip(table.rows, row_values(free), strict=True), strict=True))
    # Which of the free model's parameters each parameter of the restricted one is.
    reach, at = np.zeros((q_other, q)), np.zeros(q_other)
    kept = set()
    for key, row in zip(_keys(restricted), other.rows, strict=True):
        if not row.free or key not in twins:
            continue
        twin, at[row.free - 1] = twins[key]
        if twin.free:
            reach[row.free - 1, twin.free - 1] = 1.0
            kept.add(twin.free - 1)
    rows = [np.delete(np.eye(q), sorted(kept), axis=0)]
    equalities = [item for item in other.constraints if item.op == "=="]
    if equalities:
        gaps = inline_definitions(
            other.definitions, [Binary("-", item.left, item.right) for item in equalities]
        )
        known = named_values(other, restricted.problem.fixed_values)
        rows.append(make_functions(gaps, known, q_other).jacobian(at) @ reach)
    return np.vstack(rows)
