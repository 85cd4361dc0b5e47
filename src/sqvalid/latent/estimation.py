"""From a model and sample moments to estimates: the search, the covariance, the tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from sqvalid.errors import EstimationError, OptionError, UnsupportedError
from sqvalid.latent import inference, robust
from sqvalid.latent.bollen_stine import BollenStine, bollen_stine
from sqvalid.latent.categorical import joint_state
from sqvalid.latent.constraints import compile_constraints, tangent_basis
from sqvalid.latent.discrepancy import Local
from sqvalid.latent.fit_statistics import (
    SCALED,
    FitTests,
    View,
    normal_theory_meat,
    run_tests,
    spreads,
    weighted_information,
)
from sqvalid.latent.implied import Array, State, factorise
from sqvalid.latent.optimiser import Solution, minimise
from sqvalid.latent.options import SANDWICHES, FitOptions
from sqvalid.latent.problem import Problem, Structure, check_df, make_problem
from sqvalid.latent.reference_models import Baseline, saturated_logl
from sqvalid.latent.start import STRATEGIES, principal_axis_start, random_start
from sqvalid.moments import Moments
from sqvalid.resampling import uniforms

N_RANDOM_STARTS = 10


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
    tests : FitTests
        Test statistics of the model and of the baseline, by lavaan's names.
    bollen_stine : BollenStine, optional
        The bootstrap of the standard statistic, where it was asked for.
    row_draws : ndarray, shape (R, n_rows), optional
        Parameters of resamples, where the standard errors come from them.
    """

    problem: Problem
    options: FitOptions
    solution: Solution
    attempts: tuple[Attempt, ...]
    locals_: tuple[Local, ...]
    tangent: Array
    inverse: inference.Inverse
    vcov: Array
    tests: FitTests
    logl: float | None
    unrestricted_logl: float | None
    bollen_stine: BollenStine | None = None
    row_draws: Array | None = None

    @cached_property
    def states(self) -> tuple[State, ...]:
        """Matrices and moments of every group, those of given covariates included."""
        joint = self.problem.joint_slots
        if joint is None:
            return tuple(local.state for local in self.locals_)
        return tuple(
            joint_state(slots, self.theta, local)
            for slots, local in zip(joint, self.locals_, strict=True)
        )

    @property
    def chisq(self) -> float:
        """N times the minimum of the discrepancy."""
        return self.tests.statistics["standard"].stat

    @property
    def reported_test(self) -> str:
        """Name of the statistic reported as chi-square; not the standard one for ULS."""
        return self.options.reported_test

    @property
    def scaled_test(self) -> str | None:
        """Name of the first corrected statistic, if any."""
        return next((name for name in self.options.tests if name in SCALED), None)

    @property
    def scaling_factor(self) -> float | None:
        """What the corrected statistic was divided by."""
        name = self.scaled_test
        return None if name is None else self.tests.statistics[name].scaling_factor

    @property
    def baseline(self) -> Baseline:
        """Chi-square of the independence model, with its scaling factor."""
        plain, name = self.tests.baseline[self.reported_test], self.scaled_test
        factor = None if name is None else self.tests.baseline[name].scaling_factor
        return Baseline(plain.stat, int(plain.df), factor)

    @property
    def weighting_locals(self) -> tuple[Local, ...]:
        """Matrices with the weights that information and score tests are built on."""
        return inference.weighting_locals(
            self.options.h1_information, self.problem.objective, self.locals_, self.problem.blocks
        )

    @property
    def theta(self) -> Array:
        """Free parameters."""
        return self.solution.theta

    @property
    def n_free(self) -> int:
        """Free parameters after equality constraints."""
        jacobian = self.problem.constraints.equality_jacobian(self.theta)
        return len(tangent_basis(jacobian).T)


def _scatter(problem: Problem, seed: int, number: int, base: Array) -> Array:
    draws = uniforms(seed, number, problem.table.n_free)
    return random_start(problem.table, problem.blocks, draws, base)


def _nature(problem: Problem, solution: Solution) -> Literal["minimum", "flat", "failed"]:
    """What a solution is: a minimum, one with directions F does not depend on, or neither."""
    locals_ = solution.locals_
    if not solution.converged or locals_ is None:
        return "failed"
    information = problem.objective.expected(locals_)
    jacobian = problem.constraints.active_jacobian(solution.theta)
    tangent = tangent_basis(jacobian)
    if len(jacobian):
        information = tangent.T @ information @ tangent
    if not information.size:
        return "minimum"
    if not solution.multipliers.size:
        hessian = problem.objective.hessian(locals_)
        if len(jacobian):
            hessian = tangent.T @ hessian @ tangent
        # A small part of the information is added: a direction without curvature is not descent.
        slack = np.maximum(np.diag(information), 1e-300) * 1e-7
        if factorise(hessian + np.diag(slack), 0.0) is None:
            return "failed"
    whole = inference.constrained_inverse(information, np.eye(len(information)))
    return "flat" if whole.null_vectors.shape[1] else "minimum"


def _starts(
    problem: Problem, options: FitOptions, start: Array | None
) -> Iterator[tuple[str, Array]]:
    """Start values in the order they are tried, each made when its turn comes."""
    table, blocks = problem.table, problem.blocks
    first = principal_axis_start(table, blocks)
    scatter = (
        (f"random {number + 1}", _scatter(problem, options.seed, number, first))
        for number in range(N_RANDOM_STARTS)
    )
    if options.start == "random":
        yield from scatter
    if start is not None:
        yield "given", start
    order = ["principal_axis", "simple"]
    if options.start in order[1:]:
        order.reverse()
    for name in order:
        yield name, first if name == "principal_axis" else STRATEGIES[name](table, blocks)
    lower = np.full(table.n_free, -np.inf)
    for row in table.rows:
        if row.free and row.op == "~~" and row.lhs == row.rhs:
            lower[row.free - 1] = 0.0
    bounded = compile_constraints(table, problem.fixed_values, lower, np.full(table.n_free, np.inf))
    inside = minimise(problem.objective, bounded, first, max_iterations=options.max_iterations)
    yield "non-negative variances, then released", inside.theta
    yield from scatter


def search(
    problem: Problem, options: FitOptions, start: Array | None
) -> tuple[Solution, tuple[Attempt, ...]]:
    """Minimise from one set of start values after the other until one converges.

    The order: the user's (if any), the principal axis of each factor's items, loadings of
    one, a solution with non-negative variances, ten scatters of the first. The first
    minimum is taken. Where F is flat along some direction, two starts that reach the same F are
    taken as a model that is not identified. Without either, the smallest F is returned.
    """
    attempts: list[Attempt] = []
    best: Solution | None = None
    flat: list[Solution] = []
    for name, begin in _starts(problem, options, start):
        end = minimise(
            problem.objective,
            problem.constraints,
            begin,
            max_iterations=options.max_iterations,
        )
        nature = _nature(problem, end)
        attempts.append(Attempt(name, nature == "minimum", end.half_f))
        if nature == "minimum":
            return end, tuple(attempts)
        if nature == "flat":
            flat.append(end)
            if len(flat) > 1 and abs(flat[0].half_f - end.half_f) < 1e-8 * (1.0 + end.half_f):
                return flat[0], tuple(attempts)
        if best is None or end.half_f < best.half_f:
            best = end
    assert best is not None
    return best, tuple(attempts)


def _likelihoods(problem: Problem, locals_: Sequence[Local]) -> tuple[float, float]:
    """Log-likelihood of the model and of the saturated model, fixed covariates taken off."""
    model = saturated = 0.0
    for g, (block, target, local) in enumerate(
        zip(problem.blocks, problem.objective.targets, locals_, strict=True)
    ):
        n = block.total_weight
        if target.patterns is None:
            best = saturated_logl(n, target.covariance)
        else:
            constant = target.patterns.n_answers * math.log(2.0 * math.pi)
            best = -0.5 * (constant + n * target.log_det)
        fixed = problem.fixed_index(g)
        if fixed:
            best -= saturated_logl(n, target.covariance[np.ix_(fixed, fixed)])
        # F/2 is how far the model's log-likelihood is below, per respondent.
        model += best - n * local.half_f
        saturated += best
    return model, saturated


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
    check_df(problem)
    _check_cases(problem, options)
    if start is not None and start.shape != (problem.table.n_free,):
        raise OptionError(
            f"start has {start.size} values, the model {problem.table.n_free} free parameters."
        )
    solution, attempts = search(problem, options, start)
    locals_ = solution.locals_
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
        options.h1_information,
    )
    inverse = inference.constrained_inverse(information, tangent)
    first_order = None
    if options.se in SANDWICHES or "yuan.bentler.mplus" in options.tests:
        first_order = inference.information_matrix(
            "first.order", problem.objective, locals_, problem.blocks, options.h1_information
        )
    chisq = 2.0 * problem.multiplier * problem.objective.value_at(locals_)
    view = View(
        objective=problem.objective,
        locals_=tuple(locals_),
        inverse=inverse.matrix,
        tangent=tangent,
        chisq=max(chisq, 0.0) if solution.converged else chisq,
        df=problem.df,
    )
    logl = saturated = None
    if options.discrepancy == "ML":
        logl, saturated = _likelihoods(problem, locals_)
    return Estimate(
        problem=problem,
        options=options,
        solution=solution,
        attempts=attempts,
        locals_=tuple(locals_),
        tangent=tangent,
        inverse=inverse,
        vcov=_vcov(problem, options, view, inverse, first_order),
        tests=run_tests(problem, options, view, first_order),
        logl=logl,
        unrestricted_logl=saturated,
        bollen_stine=bollen_stine(problem, options, solution, view.chisq)
        if "bollen.stine" in options.tests
        else None,
    )


def _check_cases(problem: Problem, options: FitOptions) -> None:
    """Refuse what needs the answers, or their fourth moments, when there is only a matrix."""
    for option, resamples in (
        ("test='bollen.stine'", "bollen.stine" in options.tests),
        ("se='bootstrap'", options.se == "bootstrap"),
    ):
        if resamples and any(block.cases is None for block in problem.blocks):
            raise UnsupportedError(f"{option} needs the answers.", remedy="Give the data.")
    needs = (
        options.se in (*SANDWICHES, "robust.sem")
        or options.information == "first.order"
        or any(name in SCALED or "adf" in name for name in options.tests)
    )
    if needs and any(block.cases is None and block.gamma is None for block in problem.blocks):
        raise UnsupportedError(
            f"estimator={options.estimator!r} needs the answers; a matrix is not enough.",
            remedy="Give the data or stream_moments(..., gamma=True), or use estimator='ML'.",
        )


def _vcov(
    problem: Problem,
    options: FitOptions,
    view: View,
    inverse: inference.Inverse,
    first_order: Array | None,
) -> Array:
    """Covariance of the estimates: inverse information, or a sandwich.

    The filling is the covariance of the casewise scores at the estimates (Huber, 1967; White,
    1982), or of the weighted sample moments, from fourth moments or as under normality
    (Browne, 1984; Satorra & Bentler, 1994).
    """
    n = problem.multiplier
    bread = inverse.matrix
    match options.se:
        case "none":
            return np.full_like(bread, np.nan)
        case "standard" | "bootstrap":
            # Of a bootstrap this is what stands there until resamples are drawn.
            return bread / n
        case "robust.huber.white" | "robust.cluster":
            assert first_order is not None
            return np.asarray(bread @ first_order @ bread / n)
    bread = inference.constrained_inverse(
        weighted_information(problem, options, view), view.tangent
    ).matrix
    if options.se == "robust.sem.nt":
        return np.asarray(bread @ normal_theory_meat(problem, options, view) @ bread / n)
    meat = robust.meat_matrix(spreads(problem, options, view))
    return np.asarray(bread @ meat @ bread / n)
