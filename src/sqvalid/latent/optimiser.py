"""Minimisation of a discrepancy: Fisher scoring far away, Newton near the optimum.

Linear equalities are gone before the optimiser starts (theta = K phi + c). Non-linear
equalities, inequalities and bounds go through SLSQP to the right active set and are then
polished by Newton steps on the bordered system, so that every solution meets the same
gradient criterion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrs

from sqvalid.latent.constraints import ConstraintSet, tangent_basis
from sqvalid.latent.discrepancy import Local, Objective
from sqvalid.latent.implied import Array, factorise

Mask = NDArray[np.bool_]
# Gate on sqrt(g' I^-1 g); Newton usually ends far below.
GRADIENT_GATE = 1e-8
_AIM = 1e-11
# Scale-free gradient below which the Hessian takes over.
_NEAR = 0.3
# Iterations after which progress is looked at.
_PATIENCE = 40


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the optimiser ended.

    Parameters
    ----------
    theta : ndarray, shape (q,)
    half_f : float
        F/2.
    gradient_norm : float
        Scale-free, sqrt(g' I^-1 g) over the directions that the constraints leave.
    converged : bool
        Whether `gradient_norm` is below 1e-8 and all constraints hold.
    n_iterations : int
    multipliers : ndarray
        Of the active constraints, empty without them.
    locals_ : list of Local, optional
        Matrices for the derivatives at `theta`; None where Sigma is not positive definite.
    by_newton : bool
        Whether the last step was Newton's, with a positive definite Hessian.
    """

    theta: Array
    half_f: float
    gradient_norm: float
    converged: bool
    n_iterations: int
    multipliers: Array
    locals_: list[Local] | None
    by_newton: bool = False


def _solve_damped(matrix: Array, gradient: Array) -> Array:
    """Solve `matrix` x = -gradient, with as little ridge as makes it positive definite."""
    factor = factorise(matrix, 0.0)
    if factor is not None:
        return _descent(factor, gradient)
    scale = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-12))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    floor = max(1e-8, 1e-6 * float(np.abs(values).max()))
    # Directions of negative or no curvature are walked downhill at the size of their
    # curvature; a flat one is left to the ridge.
    values = np.maximum(np.abs(values), floor)
    scaled = vectors.T @ (gradient / scale)
    step: Array = -(vectors @ (scaled / values)) / scale
    return step


def _descent(factor: Array, gradient: Array) -> Array:
    """Minus the inverse of a factorised matrix, times the gradient."""
    return -np.asarray(dpotrs(factor, gradient, lower=1)[0])


def _scoring_step(information: Array, gradient: Array) -> tuple[Array, float]:
    """Fisher's step, and sqrt(g' I^-1 g); by pseudo-inverse where I is singular."""
    if gradient.size == 0:
        return gradient, 0.0
    factor = factorise(information, 1e-12)
    if factor is not None:
        step = _descent(factor, gradient)
        return step, float(np.sqrt(max(-float(gradient @ step), 0.0)))
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    coordinates = vectors.T @ (gradient / scale)
    keep = values > 1e-10 * max(values.max(initial=0.0), 1e-300)
    norm = float(np.sqrt((coordinates[keep] ** 2 / values[keep]).sum()))
    return _solve_damped(information, gradient), norm


def minimise_free(
    objective: Objective,
    constraints: ConstraintSet,
    start: Array,
    *,
    max_iterations: int = 300,
) -> Solution:
    """Minimise under linear equalities only.

    Fisher scoring converges linearly under misfit, Newton quadratically near the optimum:
    the observed Hessian takes over once it is positive definite and steps are short.
    """
    basis = None if constraints.is_identity else constraints.basis
    phi = constraints.to_phi(start)
    theta = constraints.to_theta(phi)
    locals_ = objective.locals(theta)
    if locals_ is None:
        return Solution(theta, np.inf, np.inf, False, 0, np.empty(0), None)

    def reduce_vector(vector: Array) -> Array:
        return vector if basis is None else basis.T @ vector

    def reduce_matrix(matrix: Array) -> Array:
        return matrix if basis is None else basis.T @ matrix @ basis

    value = objective.value_at(locals_)
    norm = np.inf
    before = value
    stalled = 0
    by_newton = False
    iteration = 0
    for iteration in range(1, max_iterations + 1):
        gradient = reduce_vector(objective.gradient(locals_))
        # Where the expected information costs as much as the Hessian, one of them has to do.
        near = objective.by_hessian and norm < _NEAR
        whole = reduce_matrix(objective.hessian(locals_)) if near else None
        near = whole is not None and factorise(whole, 1e-10) is not None
        information = whole if near else reduce_matrix(objective.expected(locals_))
        assert information is not None
        scoring, norm = _scoring_step(information, gradient)
        if norm < _AIM or (norm < GRADIENT_GATE and stalled):
            break
        steps = [scoring]
        if not near and (norm < _NEAR or iteration > 15):
            hessian = reduce_matrix(objective.hessian(locals_))
            factor = factorise(hessian, 1e-10)
            if factor is not None:
                steps.insert(0, _descent(factor, gradient))
            elif iteration > 5:
                # Scoring crawls where F curves downward; absolute curvatures walk out of there.
                steps.insert(0, _solve_damped(hessian, gradient))
        taken = None
        for step in steps:
            slope = float(gradient @ step)
            taken = _line_search(objective, constraints, phi, step, value, slope)
            if taken is not None:
                by_newton = near or step is not scoring
                break
        if taken is None:
            break
        phi, locals_, new_value = taken
        stalled = stalled + 1 if value - new_value <= 1e-15 * max(1.0, abs(value)) else 0
        value = new_value
        if iteration % _PATIENCE == 0:
            # Far from stationary, and no progress to speak of: other start values do better.
            if norm > 1e-3 and before - value < 1e-3 * value:
                break
            before = value
        if stalled > 5:
            gradient = reduce_vector(objective.gradient(locals_))
            norm = _scoring_step(reduce_matrix(objective.expected(locals_)), gradient)[1]
            break
    return Solution(
        theta=constraints.to_theta(phi),
        half_f=value,
        gradient_norm=norm,
        converged=norm < GRADIENT_GATE,
        n_iterations=iteration,
        multipliers=np.empty(0),
        locals_=locals_,
        by_newton=by_newton,
    )


def _line_search(
    objective: Objective,
    constraints: ConstraintSet,
    phi: Array,
    step: Array,
    value: float,
    slope: float,
) -> tuple[Array, list[Local], float] | None:
    """Halve the step until F decreases; None when even a tiny step does not help."""
    length = 1.0
    # Near the optimum F cannot resolve the decrease any more: a Newton step is then taken
    # on trust, and judged by the gradient.
    slack = 1e-13 * max(1.0, abs(value))
    for _ in range(40):
        candidate = phi + length * step
        locals_ = objective.locals(constraints.to_theta(candidate))
        if locals_ is not None:
            new_value = objective.value_at(locals_)
            if new_value <= value + 1e-4 * length * slope + slack:
                return candidate, locals_, new_value
        length *= 0.5
    return None


def minimise(
    objective: Objective,
    constraints: ConstraintSet,
    start: Array,
    *,
    max_iterations: int = 300,
) -> Solution:
    """Minimise a discrepancy under all constraints of a model.

    Parameters
    ----------
    objective : Objective
    constraints : ConstraintSet
    start : ndarray, shape (q,)
    max_iterations : int

    Returns
    -------
    Solution
    """
    curved = bool(
        constraints.equalities.n_functions
        or constraints.inequalities.n_functions
        or constraints.has_bounds
    )
    free = minimise_free(objective, constraints, start, max_iterations=max_iterations)
    if not curved:
        return free
    if (
        not constraints.equalities.n_functions
        and free.converged
        and _holds(constraints, free.theta)
    ):
        return free
    near = _slsqp(objective, constraints, free.theta if free.converged else start, max_iterations)
    return _polish(objective, constraints, near, max_iterations=max_iterations)


def _holds(constraints: ConstraintSet, theta: Array, tolerance: float = 1e-9) -> bool:
    inside = (theta >= constraints.lower - tolerance) & (theta <= constraints.upper + tolerance)
    return bool(
        inside.all()
        and (constraints.inequalities.values(theta) >= -tolerance).all()
        and (np.abs(constraints.equalities.values(theta)) <= tolerance).all()
    )


def _slsqp(
    objective: Objective, constraints: ConstraintSet, start: Array, max_iterations: int
) -> Array:
    """Get to the neighbourhood of the constrained optimum, and to its active set."""
    from scipy.optimize import minimize

    begin = np.clip(start, constraints.lower, constraints.upper)
    locals_ = objective.locals(begin)
    if locals_ is None:
        begin = start
        locals_ = objective.locals(start)
    if locals_ is None:
        return start
    information = objective.expected(locals_)
    # Variables on the scale of their standard errors: SLSQP starts from an identity Hessian.
    scale = 1.0 / np.sqrt(np.maximum(np.diag(information), 1e-10))
    worst = 1e10

    def value_and_gradient(scaled: Array) -> tuple[float, Array]:
        here = objective.locals(scaled * scale)
        if here is None:
            return worst, np.zeros(scaled.size)
        return objective.value_at(here), objective.gradient(here) * scale

    conditions = []
    if constraints.linear.shape[0]:
        right = constraints.linear @ constraints.origin
        conditions.append(
            {
                "type": "eq",
                "fun": lambda x: constraints.linear @ (x * scale) - right,
                "jac": lambda x: constraints.linear * scale,
            }
        )
    if constraints.equalities.n_functions:
        conditions.append(
            {
                "type": "eq",
                "fun": lambda x: constraints.equalities.values(x * scale),
                "jac": lambda x: constraints.equalities.jacobian(x * scale) * scale,
            }
        )
    if constraints.inequalities.n_functions:
        conditions.append(
            {
                "type": "ineq",
                "fun": lambda x: constraints.inequalities.values(x * scale),
                "jac": lambda x: constraints.inequalities.jacobian(x * scale) * scale,
            }
        )
    result = minimize(  # type: ignore[call-overload]
        value_and_gradient,
        begin / scale,
        jac=True,
        method="SLSQP",
        bounds=list(zip(constraints.lower / scale, constraints.upper / scale, strict=True)),
        constraints=conditions,
        options={"maxiter": 3 * max_iterations, "ftol": 1e-14},
    )
    end: Array = result.x * scale
    return end


@dataclass(frozen=True, eq=False)
class _Active:
    """Residuals, Jacobian and kinds of the constraints held as equalities."""

    values: Array
    jacobian: Array
    removable: Mask


def _active_set(
    constraints: ConstraintSet, theta: Array, inequality: Mask, low: Mask, high: Mask
) -> _Active:
    q = theta.size
    identity = np.eye(q)
    values = [
        constraints.linear @ (theta - constraints.origin),
        constraints.equalities.values(theta),
        constraints.inequalities.values(theta)[inequality],
        (theta - constraints.lower)[low],
        (constraints.upper - theta)[high],
    ]
    rows = [
        constraints.linear,
        constraints.equalities.jacobian(theta),
        constraints.inequalities.jacobian(theta)[inequality],
        identity[low],
        -identity[high],
    ]
    n_fixed = constraints.linear.shape[0] + constraints.equalities.n_functions
    total = np.concatenate(values)
    return _Active(total, np.vstack(rows), np.arange(total.size) >= n_fixed)


def _polish(
    objective: Objective, constraints: ConstraintSet, theta: Array, *, max_iterations: int
) -> Solution:
    """Newton on the bordered system, with the active set of `theta`."""
    scale = 1e-5 * np.maximum(1.0, np.abs(theta))
    inequality = constraints.inequalities.values(theta) <= 1e-5
    low = theta - constraints.lower <= scale
    high = constraints.upper - theta <= scale
    multipliers: Array = np.empty(0)
    norm, half_f, iteration = np.inf, np.inf, 0
    for iteration in range(1, max_iterations + 1):  # noqa: B007 - reported after the loop
        locals_ = objective.locals(theta)
        if locals_ is None:
            break
        half_f = objective.value_at(locals_)
        gradient = objective.gradient(locals_)
        active = _active_set(constraints, theta, inequality, low, high)
        jacobian = active.jacobian
        multipliers = np.asarray(np.linalg.lstsq(jacobian.T, gradient, rcond=None)[0], np.float64)
        tangent = tangent_basis(jacobian)
        information = objective.expected(locals_)
        norm = _scoring_step(tangent.T @ information @ tangent, tangent.T @ gradient)[1]
        gap = float(np.abs(active.values).max(initial=0.0))
        if norm < _AIM * 100 and gap < 1e-11:
            wrong = active.removable & (multipliers < -1e-9)
            if not wrong.any():
                break
            # A binding inequality that pulls the wrong way is let go, one at a time.
            index = int(np.argmin(np.where(wrong, multipliers, np.inf)))
            inequality, low, high = _release(
                index - int((~active.removable).sum()), inequality, low, high
            )
            continue
        lagrangian = objective.hessian(locals_)
        m0 = constraints.linear.shape[0]
        m1 = m0 + constraints.equalities.n_functions
        m2 = m1 + int(inequality.sum())
        if m1 > m0:
            lagrangian = lagrangian - constraints.equalities.weighted_hessian(
                theta, multipliers[m0:m1]
            )
        if m2 > m1:
            weights = np.zeros(inequality.size)
            weights[inequality] = multipliers[m1:m2]
            lagrangian = lagrangian - constraints.inequalities.weighted_hessian(theta, weights)
        # Feasibility first, then the tangent part.
        correction = -np.linalg.lstsq(jacobian, active.values, rcond=None)[0]
        reduced = tangent.T @ lagrangian @ tangent
        if factorise(reduced, 1e-10) is None:
            reduced = tangent.T @ information @ tangent
        inner = _solve_damped(reduced, tangent.T @ (gradient + lagrangian @ correction))
        step = correction + tangent @ inner
        theta = _bordered_step(objective, theta, step)
    else:
        locals_ = objective.locals(theta)
    solution = Solution(
        theta=theta,
        half_f=half_f,
        gradient_norm=norm,
        converged=norm < GRADIENT_GATE,
        n_iterations=iteration,
        multipliers=multipliers,
        locals_=locals_,
    )
    if solution.converged and not _feasible(constraints, theta):
        return replace(solution, converged=False)
    return solution


def _feasible(constraints: ConstraintSet, theta: Array) -> bool:
    linear = constraints.linear @ (theta - constraints.origin)
    return _holds(constraints, theta, 1e-7) and bool((np.abs(linear) < 1e-7).all())


def _bordered_step(objective: Objective, theta: Array, step: Array) -> Array:
    length = 1.0
    while length > 1e-6:
        candidate: Array = theta + length * step
        if np.isfinite(objective.value(candidate)):
            return candidate
        length *= 0.5
    return theta


def _release(index: int, inequality: Mask, low: Mask, high: Mask) -> tuple[Mask, Mask, Mask]:
    """Drop the `index`-th binding condition from the active set."""
    parts = [inequality.copy(), low.copy(), high.copy()]
    for part in parts:
        places = np.flatnonzero(part)
        if index < places.size:
            part[places[index]] = False
            break
        index -= places.size
    return parts[0], parts[1], parts[2]
