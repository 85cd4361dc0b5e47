"""From a model and sample moments to estimates: the life of a fit, numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sqvalid.errors import (
    EstimationError,
    IdentificationError,
    InputError,
    OptionError,
    UnsupportedError,
)
from sqvalid.latent import inference
from sqvalid.latent.constraints import (
    ConstraintSet,
    compile_constraints,
    tangent_basis,
)
from sqvalid.latent.discrepancy import Local, MaximumLikelihood, Objective, Target
from sqvalid.latent.implied import (
    Array,
    Layout,
    MatrixName,
    Place,
    Slots,
    empty_matrices,
    find_layout,
    make_slots,
    put,
)
from sqvalid.latent.optimiser import Solution, minimise
from sqvalid.latent.options import FitOptions
from sqvalid.latent.parameter_table import ParameterTable, Row, TableOptions, build_table
from sqvalid.latent.reference_models import (
    Baseline,
    baseline_df,
    baseline_half_f,
    gaussian_logl,
    log_det,
    saturated_logl,
)
from sqvalid.latent.start import STRATEGIES, principal_axis_start, random_start
from sqvalid.moments import Block, Moments
from sqvalid.resampling import uniforms

N_RANDOM_STARTS = 10


@dataclass(frozen=True, eq=False)
class Structure:
    """What of a model does not depend on the data: table, layouts, places of parameters."""

    table: ParameterTable
    layouts: tuple[Layout, ...]
    places: tuple[tuple[Place, ...], ...]
    targets: tuple[tuple[int, ...], ...]
    bases: tuple[dict[MatrixName, Array], ...]
    exogenous: tuple[tuple[tuple[Row, Place], ...], ...]


@lru_cache(maxsize=128)
def make_structure(model: str, options: TableOptions, group_labels: tuple[str, ...]) -> Structure:
    """Table of a model text and the places of its parameters in the matrices."""
    return structure_of(build_table(model, options, group_labels))


def structure_of(table: ParameterTable) -> Structure:
    """Places of a table's parameters in the matrices."""
    layouts, places, targets, bases, exogenous = [], [], [], [], []
    for g in range(1, table.n_groups + 1):
        layout = find_layout(table, g)
        base = empty_matrices(layout)
        free: list[tuple[Place, int]] = []
        sampled = []
        for row in table.rows:
            if row.group != g:
                continue
            place = layout.locate(row)
            if row.free:
                free.append((place, row.free - 1))
            elif row.exo:
                sampled.append((row, place))
            else:
                put(base, place, row.ustart if row.ustart is not None else 0.0)
        layouts.append(layout)
        places.append(tuple(place for place, _ in free))
        targets.append(tuple(index for _, index in free))
        bases.append(base)
        exogenous.append(tuple(sampled))
    return Structure(
        table, tuple(layouts), tuple(places), tuple(targets), tuple(bases), tuple(exogenous)
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """A model meets data: everything the optimiser and the inference need."""

    structure: Structure
    blocks: tuple[Block, ...]
    objective: Objective
    constraints: ConstraintSet
    fixed_values: dict[str, float]
    multiplier: float
    df: int

    @property
    def table(self) -> ParameterTable:
        """The parameter table."""
        return self.structure.table

    @property
    def slots(self) -> tuple[Slots, ...]:
        """Slots of every group."""
        return self.objective.slots

    def fixed_index(self, g: int) -> list[int]:
        """Positions of the fixed covariates among the observed variables of a group."""
        covariates = set(self.table.covariates[g])
        return [j for j, name in enumerate(self.table.observed[g]) if name in covariates]

    def exogenous_index(self, g: int) -> list[int]:
        """Positions of exogenous covariates, fixed or not."""
        exogenous = set(self.table.exogenous[g])
        return [j for j, name in enumerate(self.table.observed[g]) if name in exogenous]


@dataclass(frozen=True, eq=False)
class Attempt:
    """One set of start values and where it led."""

    name: str
    converged: bool
    half_f: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """The numbers of a fit.

    Parameters
    ----------
    theta : ndarray, shape (q,)
        Free parameters.
    vcov : ndarray, shape (q, q)
        Covariance of the estimates; NaN when it cannot be had.
    inverse : Inverse
        Inverse information per observation.
    tests : dict
        Test statistics by lavaan's names.
    """

    problem: Problem
    options: FitOptions
    solution: Solution
    attempts: tuple[Attempt, ...]
    locals_: tuple[Local, ...]
    tangent: Array
    inverse: inference.Inverse
    vcov: Array
    chisq: float
    scaling_factor: float | None
    scaling_h0: float | None
    scaling_h1: float | None
    browne_statistic: float
    baseline: Baseline
    logl: float
    unrestricted_logl: float

    @property
    def theta(self) -> Array:
        """Free parameters."""
        return self.solution.theta

    @property
    def n_free(self) -> int:
        """Free parameters after equality constraints."""
        jacobian = self.problem.constraints.equality_jacobian(self.theta)
        return len(tangent_basis(jacobian).T)


def _check_positive_definite(block: Block) -> None:
    values, vectors = np.linalg.eigh(_correlation(block.covariance))
    if values[0] > 1e-10:
        return
    of_group = f" in group {block.group!r}" if block.group else ""
    involved = [
        block.variables[j] for j in np.argsort(-np.abs(vectors[:, 0])) if abs(vectors[j, 0]) > 0.05
    ]
    if block.n_obs <= block.n_variables and block.cases is not None:
        raise InputError(
            f"There are {block.n_obs} complete respondents{of_group} for "
            f"{block.n_variables} items: their covariance matrix is singular.",
            remedy="A model needs more respondents than items: collect more, or use fewer items.",
        )
    what = "is singular" if values[0] > -1e-10 else "is not positive definite"
    raise InputError(
        f"The covariance matrix{of_group} {what} (smallest eigenvalue of the correlations "
        f"{values[0]:.3g}); involved: {', '.join(involved[:6])}.",
        remedy="Look for items that are copies, sums or recodings of each other, and leave one out."
        if values[0] > -1e-10
        else "Check the matrix for typing errors, or for having been put together pairwise.",
    )


def _correlation(covariance: Array) -> Array:
    diagonal = np.diag(covariance)
    if (diagonal <= 0).any():
        raise InputError("A variance in the covariance matrix is zero or negative.")
    sd = np.sqrt(diagonal)
    return np.asarray(covariance / np.outer(sd, sd))


def make_problem(structure: Structure, moments: Moments, options: FitOptions) -> Problem:
    """Bring a model and data together.

    Raises
    ------
    InputError
        A covariance matrix that is singular or not positive definite.
    IdentificationError
        More free parameters than sample moments.
    """
    table = structure.table
    blocks = tuple(
        block.select(names) for block, names in zip(moments.blocks, table.observed, strict=True)
    )
    wishart = options.likelihood == "wishart"
    counts = [block.n_obs - (1 if wishart else 0) for block in blocks]
    total = float(sum(counts))
    slots, targets = [], []
    fixed_values: dict[str, float] = {}
    n_moments = 0
    for g, block in enumerate(blocks):
        _check_positive_definite(block)
        covariance = block.covariance
        if wishart:
            covariance = covariance * (block.n_obs / (block.n_obs - 1))
        means = block.means if options.meanstructure else None
        if options.meanstructure and means is None:
            raise InputError(
                "The model has means but the data are a covariance matrix without means.",
                remedy="Give mean=, or set meanstructure=False.",
            )
        place_of = {name: j for j, name in enumerate(block.variables)}
        base = {name: matrix.copy() for name, matrix in structure.bases[g].items()}
        for row, place in structure.exogenous[g]:
            if row.op == "~1":
                value = float(means[place_of[row.lhs]]) if means is not None else 0.0
            else:
                value = float(covariance[place_of[row.lhs], place_of[row.rhs]])
            fixed_values[row.plabel] = value
            put(base, place, value)
        slots.append(
            make_slots(
                structure.layouts[g],
                base,
                structure.places[g],
                structure.targets[g],
                options.meanstructure,
            )
        )
        targets.append(Target(covariance, means, log_det(covariance), counts[g] / total))
        p, x = block.n_variables, len(table.covariates[g])
        n_moments += p * (p + 1) // 2 - x * (x + 1) // 2
        if options.meanstructure:
            n_moments += p - x
    q = table.n_free
    lower, upper = np.full(q, -np.inf), np.full(q, np.inf)
    if options.bounds == "pos.var":
        for row in table.rows:
            if row.free and row.op == "~~" and row.lhs == row.rhs:
                lower[row.free - 1] = 0.0
    constraints = compile_constraints(table, fixed_values, lower, upper)
    objective = Objective(MaximumLikelihood(), tuple(slots), tuple(targets), q)
    return Problem(
        structure=structure,
        blocks=blocks,
        objective=objective,
        constraints=constraints,
        fixed_values=fixed_values,
        multiplier=total,
        df=n_moments - q + _rank(constraints, table, blocks),
    )


def _rank(constraints: ConstraintSet, table: ParameterTable, blocks: tuple[Block, ...]) -> int:
    linear_rank = table.n_free - len(constraints.basis.T)
    if not constraints.equalities.n_functions:
        return linear_rank
    # The rank of non-linear equalities is taken at the start values, where it is generic.
    start = principal_axis_start(table, blocks)
    jacobian = constraints.equality_jacobian(start)
    return table.n_free - len(tangent_basis(jacobian).T)


def _check_df(problem: Problem) -> None:
    if problem.df < 0:
        n_free = problem.table.n_free
        raise IdentificationError(
            f"The model has {-problem.df} more free parameter{'s' if problem.df < -1 else ''} "
            f"than the data have moments ({problem.df} degrees of freedom): it cannot be "
            "identified.",
            parameters=tuple(row.name for row in problem.table.free_rows()),
            remedy=f"Fix or constrain some of the {n_free} parameters, or add items.",
        )


def _scatter(problem: Problem, seed: int, number: int, base: Array) -> Array:
    draws = uniforms(seed, number, problem.table.n_free)
    return random_start(problem.table, problem.blocks, draws, base)


def _is_minimum(problem: Problem, solution: Solution) -> bool:
    """Whether the Hessian has no direction of descent left at a stationary point."""
    locals_ = problem.objective.locals(solution.theta)
    if locals_ is None:
        return False
    tangent = tangent_basis(problem.constraints.active_jacobian(solution.theta))
    information = tangent.T @ problem.objective.expected(locals_) @ tangent
    if solution.multipliers.size:
        return True
    hessian = tangent.T @ problem.objective.hessian(locals_) @ tangent
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values = np.linalg.eigvalsh(hessian / np.outer(scale, scale))
    return bool(values.min(initial=0.0) > -1e-7)


def search(
    problem: Problem, options: FitOptions, start: Array | None
) -> tuple[Solution, tuple[Attempt, ...]]:
    """Minimise from one set of start values after the other until one converges.

    The order: the user's (if any), the principal axis of each factor's items, loadings of
    one, a solution with non-negative variances, ten scatters of the first. The first
    converged minimum is taken; without one, the attempt with the smallest F.
    """
    table, blocks = problem.table, problem.blocks
    attempts: list[Attempt] = []
    best: Solution | None = None

    def run(name: str, begin: Array) -> Solution | None:
        nonlocal best
        end = minimise(
            problem.objective,
            problem.constraints,
            begin,
            max_iterations=options.max_iterations,
        )
        good = end.converged and _is_minimum(problem, end)
        attempts.append(Attempt(name, good, end.half_f))
        if best is None or end.half_f < best.half_f:
            best = end
        return end if good else None

    first = principal_axis_start(table, blocks)
    if options.start == "random":
        for number in range(N_RANDOM_STARTS):
            found = run(f"random {number + 1}", _scatter(problem, options.seed, number, first))
            if found is not None:
                return found, tuple(attempts)
    if start is not None:
        found = run("given", start)
        if found is not None:
            return found, tuple(attempts)
    order = ["principal_axis", "simple"]
    if options.start in order[1:]:
        order.reverse()
    for name in order:
        found = run(name, first if name == "principal_axis" else STRATEGIES[name](table, blocks))
        if found is not None:
            return found, tuple(attempts)
    lower = np.full(table.n_free, -np.inf)
    for row in table.rows:
        if row.free and row.op == "~~" and row.lhs == row.rhs:
            lower[row.free - 1] = 0.0
    bounded = compile_constraints(table, problem.fixed_values, lower, np.full(table.n_free, np.inf))
    inside = minimise(problem.objective, bounded, first, max_iterations=options.max_iterations)
    found = run("non-negative variances, then released", inside.theta)
    if found is not None:
        return found, tuple(attempts)
    for number in range(N_RANDOM_STARTS):
        found = run(f"random {number + 1}", _scatter(problem, options.seed, number, first))
        if found is not None:
            return found, tuple(attempts)
    assert best is not None
    return best, tuple(attempts)


def _likelihoods(problem: Problem, locals_: Sequence[Local]) -> tuple[float, float]:
    """Log-likelihood of the model and of the saturated model, fixed covariates taken off."""
    model = saturated = 0.0
    for g, (block, target, local) in enumerate(
        zip(problem.blocks, problem.objective.targets, locals_, strict=True)
    ):
        gap = None if target.means is None else target.means - local.state.mu
        n = block.n_obs
        model += gaussian_logl(n, target.covariance, local.state.sigma, gap)
        saturated += saturated_logl(n, target.covariance)
        fixed = problem.fixed_index(g)
        if fixed:
            part = saturated_logl(n, target.covariance[np.ix_(fixed, fixed)])
            model -= part
            saturated -= part
    return model, saturated


def _baseline(problem: Problem, *, with_means: bool, scaled: bool, trace_h1: float) -> Baseline:
    half_f, df, trace = 0.0, 0, 0.0
    for g, (block, target) in enumerate(
        zip(problem.blocks, problem.objective.targets, strict=True)
    ):
        exogenous = problem.exogenous_index(g)
        half_f += target.weight * baseline_half_f(target.covariance, exogenous)
        df += baseline_df(block.n_variables, len(exogenous))
        if scaled:
            trace += inference.independence_trace(block, with_means=with_means, fixed=exogenous)
            if exogenous and not problem.fixed_index(g):
                part = block.select([block.variables[j] for j in exogenous])
                trace += inference.saturated_trace(part, with_means=with_means)
    factor = (trace_h1 - trace) / df if scaled and df > 0 else None
    return Baseline(2.0 * problem.multiplier * half_f, df, factor)


def browne_statistic(problem: Problem, locals_: Sequence[Local], tangent: Array) -> float:
    r"""Browne's residual statistic with model-based normal-theory weights.

    .. math:: N\,[e'Ve - e'V\Delta(\Delta'V\Delta)^{-1}\Delta'Ve]

    with e the residual moments and V their inverse normal-theory covariance at the estimates
    (Browne, 1984, eq. 2.20a), all by gathers.
    """
    quadratic = 0.0
    gradient = np.zeros(problem.objective.n_free)
    for slots, target, local in zip(problem.slots, problem.objective.targets, locals_, strict=True):
        residual = target.covariance - local.state.sigma
        weighted = local.sigma_inverse @ residual
        part = 0.5 * float(np.einsum("ij,ji->", weighted, weighted))
        sc = local.sigma_inverse @ local.state.c
        inner = sc.T @ residual @ sc
        slope = slots.s * inner[slots.a, slots.b]
        if target.means is not None:
            gap = target.means - local.state.mu
            part += float(gap @ local.sigma_inverse @ gap)
            slope = slope + local.t * local.u[slots.a]
        quadratic += target.weight * part
        gradient[slots.target] += target.weight * slope
    information = problem.objective.expected(locals_)
    inverse = inference.constrained_inverse(information, tangent)
    if np.isnan(inverse.matrix).any():
        return float("nan")
    return problem.multiplier * (quadratic - float(gradient @ inverse.matrix @ gradient))


def estimate(
    structure: Structure, moments: Moments, options: FitOptions, start: Array | None = None
) -> Estimate:
    """Estimate a model.

    Parameters
    ----------
    structure : Structure
    moments : Moments
        One block per group of the structure.
    options : FitOptions
    start : ndarray, shape (q,), optional
        Start values of the free parameters.

    Returns
    -------
    Estimate
        Also when the optimiser failed: `solution.converged` tells.

    Raises
    ------
    InputError, IdentificationError, OptionError
    UnsupportedError
        Robust statistics from a matrix without answers.
    EstimationError
        No start values with a positive definite implied covariance were found.
    """
    problem = make_problem(structure, moments, options)
    _check_df(problem)
    needs_cases = options.se == "robust.huber.white" or options.test != "standard"
    needs_cases |= options.information == "first.order"
    if needs_cases and any(block.cases is None for block in problem.blocks):
        raise UnsupportedError(
            f"estimator={options.estimator!r} needs the answers; a matrix is not enough.",
            remedy="Give the data, or use estimator='ML'.",
        )
    if start is not None and start.shape != (problem.table.n_free,):
        raise OptionError(
            f"start has {start.size} values, the model {problem.table.n_free} free parameters."
        )
    solution, attempts = search(problem, options, start)
    locals_ = problem.objective.locals(solution.theta)
    if locals_ is None:
        raise EstimationError(
            "No start values with a positive definite implied covariance matrix were found.",
            remedy="Check fixed values and start() in the model, or give start=.",
        )
    tangent = tangent_basis(problem.constraints.active_jacobian(solution.theta))
    information = inference.information_matrix(
        options.information,  # type: ignore[arg-type]
        problem.objective,
        locals_,
        problem.blocks,
    )
    inverse = inference.constrained_inverse(information, tangent)
    first_order = (
        inference.first_order_information(problem.objective, locals_, problem.blocks)
        if needs_cases
        else None
    )
    chisq = 2.0 * problem.multiplier * problem.objective.value_at(locals_)
    scaling = h0 = h1 = None
    trace_h1 = 0.0
    scaled = options.test == "yuan.bentler.mplus"
    if scaled and first_order is not None:
        trace_h1 = sum(
            inference.saturated_trace(
                block, with_means=options.meanstructure, fixed=problem.fixed_index(g)
            )
            for g, block in enumerate(problem.blocks)
        )
        observed = inverse
        if options.information != "observed":
            observed = inference.constrained_inverse(problem.objective.hessian(locals_), tangent)
        trace_h0 = inference.score_trace(observed.matrix, first_order)
        rank = _rank(problem.constraints, problem.table, problem.blocks)
        n_free = problem.table.n_free
        # lavaan's: per free row of the table, whatever equality constraints there are.
        h0 = trace_h0 / n_free if n_free else float("nan")
        h1 = trace_h1 / (problem.df + n_free - rank)
        scaling = (trace_h1 - trace_h0) / problem.df if problem.df > 0 else float("nan")
    model_logl, saturated = _likelihoods(problem, locals_)
    return Estimate(
        problem=problem,
        options=options,
        solution=solution,
        attempts=attempts,
        locals_=tuple(locals_),
        tangent=tangent,
        inverse=inverse,
        vcov=_vcov(options, inverse, first_order, problem.multiplier),
        chisq=max(chisq, 0.0) if solution.converged else chisq,
        scaling_factor=scaling,
        scaling_h0=h0,
        scaling_h1=h1,
        browne_statistic=browne_statistic(problem, locals_, tangent),
        baseline=_baseline(
            problem, with_means=options.meanstructure, scaled=scaled, trace_h1=trace_h1
        ),
        logl=model_logl,
        unrestricted_logl=saturated,
    )


def _vcov(
    options: FitOptions, inverse: inference.Inverse, first_order: Array | None, n: float
) -> Array:
    """Covariance of the estimates: inverse information, or the sandwich around the scores."""
    if options.se == "none":
        return np.full_like(inverse.matrix, np.nan)
    if options.se == "robust.huber.white":
        assert first_order is not None
        sandwich: Array = inverse.matrix @ first_order @ inverse.matrix / n
        return sandwich
    return inverse.matrix / n
