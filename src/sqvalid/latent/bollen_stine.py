"""Bootstrap of the test statistic under the model (Bollen & Stine, 1992)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sqvalid.errors import InputError
from sqvalid.latent.implied import Array, State
from sqvalid.latent.optimiser import Solution, minimise
from sqvalid.latent.options import FitOptions
from sqvalid.latent.problem import Problem, make_problem
from sqvalid.moments import Block, Moments
from sqvalid.moments.build import mean_and_covariance
from sqvalid.resampling import uniforms


@dataclass(frozen=True, eq=False)
class BollenStine:
    """A test statistic beside its bootstrap distribution.

    Parameters
    ----------
    stat, df : float, int
        Standard statistic of the model.
    pvalue : float
        Share of the draws whose statistic is not smaller; NaN without degrees of freedom,
        without convergence of the model, or where every draw failed.
    n_draws, n_failed : int
        Draws made, and those whose model did not converge; `pvalue` is over the others.
    draws : ndarray, shape (n_draws - n_failed,)
        The statistics, in the order of the draws.
    """

    stat: float
    df: int
    pvalue: float
    n_draws: int
    n_failed: int
    draws: Array


def _power(matrix: Array, exponent: float) -> Array:
    """Power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values**exponent) @ vectors.T)


def model_population(block: Block, state: State, *, with_means: bool) -> Array:
    r"""Answers turned so that the model holds in them exactly.

    .. math:: z_n = \Sigma^{1/2} S^{-1/2} (y_n - m) + \mu

    Returns
    -------
    ndarray, shape (n, p)
        Covariance Sigma (divisor N), means mu, or m where means are not modelled.
    """
    assert block.cases is not None
    assert block.means is not None
    turn = _power(block.covariance, -0.5) @ _power(state.sigma, 0.5)
    centre = state.mu if with_means else block.means
    return np.asarray((block.cases - block.means) @ turn + centre)


def bollen_stine(
    problem: Problem, options: FitOptions, solution: Solution, chisq: float
) -> BollenStine:
    """Bootstrap p-value of the standard statistic.

    Respondents are drawn with replacement within groups from answers that were turned to fit
    the model; the model is estimated again from where it was. Draw b takes stream b of the
    seed, groups one after the other, and respondent floor(u n).

    Parameters
    ----------
    problem : Problem
        With cases.
    options : FitOptions
        `bootstrap` draws, `seed`.
    solution : Solution
    chisq : float

    Returns
    -------
    BollenStine

    References
    ----------
    Bollen & Stine (1992), Sociological Methods & Research 21, 205-229.
    """
    n_draws = options.bootstrap
    assert n_draws is not None
    if not solution.converged or solution.locals_ is None or problem.df == 0:
        return BollenStine(chisq, problem.df, float("nan"), n_draws, 0, np.empty(0))
    populations = [
        model_population(block, local.state, with_means=options.meanstructure)
        for block, local in zip(problem.blocks, solution.locals_, strict=True)
    ]
    ends = np.cumsum([len(population) for population in populations])
    found = []
    for draw in range(n_draws):
        uniform = uniforms(options.seed, draw, int(ends[-1]))
        blocks = []
        for block, population, share in zip(
            problem.blocks, populations, np.split(uniform, ends[:-1]), strict=True
        ):
            rows = (share * len(population)).astype(np.intp)
            means, covariance = mean_and_covariance(population[rows])
            blocks.append(Block(block.group, block.variables, len(rows), covariance, means))
        try:
            again = make_problem(problem.structure, Moments(tuple(blocks)), options)
        except InputError:
            # A draw in which a variable does not vary, or copies another: it has no statistic.
            continue
        end = minimise(
            again.objective,
            again.constraints,
            solution.theta,
            max_iterations=options.max_iterations,
        )
        if end.converged:
            found.append(2.0 * again.multiplier * end.half_f)
    draws = np.array(found)
    draws.flags.writeable = False
    share_above = float((draws >= chisq).mean()) if draws.size else float("nan")
    return BollenStine(chisq, problem.df, share_above, n_draws, n_draws - len(found), draws)
