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
from sqvalid.latent.constraints import make_functions, named_values
from sqvalid.latent.discrepancy import Local, Objective, Target
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
    place = {label.group: g for g, label in enumerate(restricted.problem.blocks)}
    out = []
    for block, target in zip(free.problem.blocks, free.problem.objective.targets, strict=True):
        g = place[block.group]
        order = [restricted.problem.blocks[g].variables.index(name) for name in block.variables]
        state = restricted.locals_[g].state
        sigma = state.sigma[np.ix_(order, order)]
        means = None if target.means is None else state.mu[order]
        out.append(Target(sigma, means, log_det(sigma), target.weight))
    return tuple(out)


def _names(table: ParameterTable) -> set[str]:
    return {name for group in (*table.observed, *table.latents) for name in group}


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
    values = {
        (row.key, row.group): value
        for row, value in zip(other.rows, row_values(restricted), strict=True)
    }
    return np.array([values.get((row.key, row.group), 0.0) for row in table.free_rows()])


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
    objective = replace(problem.objective, targets=implied_targets(free, restricted))
    starts = [parameters_by_name(free, restricted), free.theta]
    best: tuple[float, Array] = (np.inf, free.theta)
    for start in starts:
        if start is None:
            continue
        found = minimise(objective, problem.constraints, start)
        if found.half_f < best[0]:
            best = (found.half_f, found.theta)
        if best[0] < REPRODUCED:
            break
    half_f, theta = best
    locals_ = problem.objective.locals(theta)
    if locals_ is None:
        return Reproduction(theta, np.inf, (), False)
    information = objective.expected(locals_)
    inverse = constrained_inverse(information, problem.constraints.tangent(theta))
    return Reproduction(theta, half_f, tuple(locals_), not inverse.null_vectors.shape[1])


def discrepancy_at(free: Estimate, restricted: Estimate, theta: Array) -> float:
    """F/2 of the free model at `theta` from the restricted model's moments."""
    objective: Objective = replace(
        free.problem.objective, targets=implied_targets(free, restricted)
    )
    return objective.value(theta)


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
    position = {(row.key, row.group): row for row in table.rows}
    strange = sorted(_names(other) - _names(table)) or [
        row.name
        for row in other.free_rows()
        if (row.key, row.group) not in position and (row.key[0] not in _names(table))
    ]
    if strange:
        raise UnsupportedError(
            "a_method='exact' needs models that differ by constraints only; the restricted "
            f"model has {', '.join(strange[:6])}, which the free model does not know.",
            remedy="Use a_method='delta'.",
        )
    q, q_other = table.n_free, other.n_free
    # Which of the free model's parameters each parameter of the restricted one is.
    reach = np.zeros((q_other, q))
    at = np.zeros(q_other)
    values = dict(zip(table.rows, row_values(free), strict=True))
    for row in other.free_rows():
        twin = position.get((row.key, row.group))
        if twin is None:
            continue
        at[row.free - 1] = values[twin]
        if twin.free:
            reach[row.free - 1, twin.free - 1] = 1.0
    kept = {(row.key, row.group) for row in other.rows if row.free}
    fixed = [row.free - 1 for row in table.free_rows() if (row.key, row.group) not in kept]
    rows = [np.eye(q)[fixed]]
    equalities = [item for item in other.constraints if item.op == "=="]
    if equalities:
        gaps = inline_definitions(
            other.definitions, [Binary("-", item.left, item.right) for item in equalities]
        )
        known = named_values(other, restricted.problem.fixed_values)
        rows.append(make_functions(gaps, known, q_other).jacobian(at) @ reach)
    return np.vstack(rows)
