r"""Likelihood-ratio tests of a restricted model (0) against a free one (1), numbers only.

The difference of two scaled statistics is not chi-square distributed; every robust version
below divides the difference of the unscaled ones, :math:`T_0 - T_1`, by a factor of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sqvalid.errors import UnsupportedError
from sqvalid.latent.absolute_fit import chisq_pvalue, rmsea
from sqvalid.latent.categorical import statistic_jacobian
from sqvalid.latent.constraints import tangent_basis
from sqvalid.latent.discrepancy import Local
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.fit_statistics import View, incomplete_meat, run_tests, spreads
from sqvalid.latent.implied import Array, moment_jacobian
from sqvalid.latent.inference import (
    InformationKind,
    constrained_inverse,
    information_matrix,
)
from sqvalid.latent.options import FitOptions
from sqvalid.latent.problem import Problem
from sqvalid.latent.robust import meat_matrix
from sqvalid.latent.sampling import refuse_sampling

Method = Literal["standard", "satorra.bentler.2001", "satorra.bentler.2010", "satorra.2000"]
METHODS: tuple[Method, ...] = (
    "standard",
    "satorra.bentler.2001",
    "satorra.bentler.2010",
    "satorra.2000",
)
# Relative size under which a singular value counts as zero.
_RANK = 1e-8


@dataclass(frozen=True)
class Difference:
    """A difference of chi-squares, scaled and perhaps shifted.

    Parameters
    ----------
    stat : float
        Test statistic; negative where the scaling factor is.
    df : float
        A fraction where the mean and the variance of the statistic are adjusted.
    scaling : float
        What T0 - T1 was divided by; 1 for the standard test.
    shift : float, optional
        What was added afterwards; None unless scaled and shifted.
    """

    stat: float
    df: float
    scaling: float = 1.0
    shift: float | None = None

    @property
    def pvalue(self) -> float:
        """Upper tail; NaN where the statistic is not computable."""
        return chisq_pvalue(self.stat, self.df) if self.stat >= 0 else math.nan


def standard_difference(restricted: Estimate, free: Estimate) -> Difference:
    """T0 - T1 on df0 - df1 degrees of freedom (Neyman & Pearson, 1928)."""
    return Difference(restricted.chisq - free.chisq, restricted.problem.df - free.problem.df)


def _weighted(df: int, scaling: float | None) -> float:
    """Degrees of freedom times scaling factor; 0 for a saturated model, which has no factor."""
    return 0.0 if df == 0 or scaling is None else df * scaling


def satorra_bentler(restricted: Estimate, free: Estimate, free_scaling: float | None) -> Difference:
    r"""Difference scaled by :math:`c_d = (d_0 c_0 - d_1 c_1) / (d_0 - d_1)`.

    Parameters
    ----------
    restricted, free : Estimate
    free_scaling : float or None
        c_1: the free model's scaling factor at its own solution (2001), or at the restricted
        one (2010). None for a saturated model.

    Returns
    -------
    Difference
        With a negative statistic where c_d is negative.

    References
    ----------
    Satorra & Bentler (2001), Psychometrika 66; Satorra & Bentler (2010), Psychometrika 75.
    """
    plain = standard_difference(restricted, free)
    scaling = (
        _weighted(restricted.problem.df, restricted.scaling_factor)
        - _weighted(free.problem.df, free_scaling)
    ) / plain.df
    return Difference(plain.stat / scaling, plain.df, scaling)


def _view(problem: Problem, locals_: Sequence[Local], inverse: Array, tangent: Array) -> View:
    chisq = 2.0 * problem.multiplier * problem.objective.value_at(locals_)
    return View(problem.objective, tuple(locals_), inverse, tangent, chisq, problem.df)


def scaling_at(
    estimate: Estimate, theta: Array, locals_: Sequence[Local]
) -> tuple[float | None, bool]:
    """Scaling factor of a model's test at given parameters instead of its solution.

    Parameters
    ----------
    estimate : Estimate
        With a corrected test.
    theta : ndarray, shape (q,)
    locals_ : sequence of Local
        Matrices at `theta`.

    Returns
    -------
    scaling : float or None
        None for a saturated model.
    is_positive : bool
        Whether the information the factor builds on is positive definite there; the factor
        means little where it is not.
    """
    problem, options = estimate.problem, estimate.options
    if problem.df == 0 or estimate.scaled_test is None:
        return None, True
    tangent = tangent_basis(problem.constraints.active_jacobian(theta))
    kind: InformationKind = options.information  # type: ignore[assignment]
    information = information_matrix(
        kind, problem.objective, locals_, problem.blocks, options.h1_information
    )
    inverse = constrained_inverse(information, tangent)
    first_order = None
    if "yuan.bentler.mplus" in options.tests:
        first_order = information_matrix(
            "first.order", problem.objective, locals_, problem.blocks, options.h1_information
        )
    tests = run_tests(
        problem, options, _view(problem, locals_, inverse.matrix, tangent), first_order
    )
    return tests.statistics[estimate.scaled_test].scaling_factor, inverse.is_positive


def jacobian(estimate: Estimate, groups: Sequence[tuple[str, tuple[str, ...]]]) -> Array:
    """Derivatives of all groups' moments along the directions that constraints leave.

    Parameters
    ----------
    estimate : Estimate
    groups : sequence of (str, tuple of str)
        Label and variables of every group, in the order wanted.

    Returns
    -------
    ndarray, shape (p* summed over groups, d)
        Means first where they are modelled, then lower triangles column by column; statistics of
        ordered answers in the order of their names.
    """
    problem = estimate.problem
    place = {block.group: g for g, block in enumerate(problem.blocks)}
    parts = []
    for label, names in groups:
        g = place[label]
        slots, block = problem.slots[g], problem.blocks[g]
        local = estimate.locals_[g]
        if local.ordinal is not None:
            known = block.statistic_names()
            by_name = sorted(range(len(known)), key=known.__getitem__)
            full = np.zeros((len(known), problem.objective.n_free))
            full[:, slots.target] = statistic_jacobian(slots, local)[by_name]
            parts.append(full @ estimate.tangent)
            continue
        d_sigma, d_mu = moment_jacobian(slots, local.state)
        order = np.array([block.variables.index(name) for name in names])
        columns, rows = np.triu_indices(len(order))
        number = np.empty((len(order), len(order)), dtype=np.intp)
        number[rows, columns] = number[columns, rows] = np.arange(len(rows))
        part = d_sigma[number[order[rows], order[columns]]]
        if problem.objective.targets[g].means is not None:
            part = np.vstack([d_mu[order], part])
        full = np.zeros((len(part), problem.objective.n_free))
        full[:, slots.target] = part
        parts.append(full @ estimate.tangent)
    return np.vstack(parts)


def row_space(matrix: Array) -> Array:
    """Orthonormal rows that span the rows of `matrix`, shape (rank, n)."""
    _, values, rows = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(rows[values > _RANK * max(values.max(initial=0.0), 1e-300)])


def delta_restrictions(free: Array, restricted: Array) -> Array:
    r"""Restrictions on the free model's parameters, from what both can reach nearby.

    The rows A with :math:`A\,\Delta_1^{+}\Delta_0 = 0`. The projection is unweighted, as in
    lavaan: away from the restricted solution A depends on the units of the variables.

    Parameters
    ----------
    free : ndarray, shape (p*, d1)
        Jacobian of the free model's moments along its tangent, at its solution.
    restricted : ndarray, shape (p*, d0)
        The same of the restricted model.

    Returns
    -------
    ndarray, shape (d1 - d0, d1)
        Orthonormal rows.

    References
    ----------
    Satorra (2000); Asparouhov & Muthen (2006) for the Jacobian's use.
    """
    image = np.linalg.lstsq(free, restricted, rcond=None)[0]
    left, _, _ = np.linalg.svd(image, full_matrices=True)
    return np.asarray(left[:, restricted.shape[1] :].T)


def moment_score_covariance(
    problem: Problem, options: FitOptions, locals_: Sequence[Local]
) -> Array:
    r"""Covariance of the scores that sample moments give, :math:`\Delta' V \Gamma V \Delta`.

    Gamma is the empirical covariance (divisor N) of the casewise moments about the sample
    means and V the weights of the estimator.

    Parameters
    ----------
    problem : Problem
        With cases.
    options : FitOptions
    locals_ : sequence of Local
        Matrices at the parameters in question.

    Returns
    -------
    ndarray, shape (q, q)
        Per observation, groups weighted by their share.
    """
    if any(block.cases is None and block.gamma is None for block in problem.blocks):
        raise UnsupportedError(
            "Corrections for non-normality need the answers; a covariance matrix is not enough."
        )
    refuse_sampling(problem.blocks, "Corrections from the moments of all respondents are")
    if problem.is_incomplete:
        return incomplete_meat(problem, locals_)
    # Only the matrices of the view are read here.
    nothing = np.empty((0, 0))
    return meat_matrix(spreads(problem, options, _view(problem, locals_, nothing, nothing)))


def satorra_2000(
    restricted: Estimate, free: Estimate, restrictions: Array, *, shifted: bool
) -> Difference:
    r"""Difference scaled by the trace of its own weight matrix.

    With A the restrictions, P the free model's inverse information,
    :math:`M = P A'(A P A')^{-1} A P` and :math:`B = \Delta'V\Gamma V\Delta`, the difference is
    asymptotically a sum of chi-squares on 1 df weighted by the eigenvalues of MB. Scaled:
    divided by their mean. Mean and variance adjusted, for fits whose own tests are: divided by
    tr(MBMB) / tr(MB), on tr(MB)^2 / tr(MBMB) degrees of freedom. Scaled and shifted:
    :math:`a (T_0 - T_1) + m - a\,tr(MB)`, :math:`a = \sqrt{m / tr(MBMB)}`.

    Parameters
    ----------
    restricted, free : Estimate
    restrictions : ndarray, shape (r, d1)
        In the coordinates of the free model's tangent.
    shifted : bool

    Returns
    -------
    Difference

    References
    ----------
    Satorra (2000), in Innovations in Multivariate Statistical Analysis; Asparouhov & Muthen
    (2010) for the shift.
    """
    plain = standard_difference(restricted, free)
    m = plain.df
    tangent = free.tangent
    inverse = tangent.T @ free.inverse.matrix @ tangent
    middle = inverse @ restrictions.T
    weight = tangent @ middle @ np.linalg.solve(restrictions @ middle, middle.T) @ tangent.T
    product = weight @ moment_score_covariance(free.problem, free.options, free.locals_)
    trace = float(np.trace(product))
    second = float(np.einsum("ij,ji->", product, product))
    if not shifted and free.scaled_test in ("scaled.shifted", "mean.var.adjusted"):
        scaling = second / trace
        return Difference(plain.stat / scaling, trace**2 / second, scaling)
    if not shifted:
        scaling = trace / m
        return Difference(plain.stat / scaling, m, scaling)
    a = math.sqrt(m / second)
    shift = m - a * trace
    return Difference(a * plain.stat + shift, m, 1.0 / a, shift)


def difference_rmsea(difference: Difference, plain: Difference, estimate: Estimate) -> float:
    r"""RMSEA of the restrictions: :math:`\sqrt{G}\sqrt{\max(T_d - c_d m, 0)/(n m)}`.

    T_d is the unscaled difference and c_d the scaling factor, 1 where the statistic was
    shifted, as in lavaan. NaN where answers are missing: the difference then depends on how much
    is missing, too.

    References
    ----------
    Browne & du Toit (1992); scaled: Savalei, Brace & Fouladi (2023), Psychological Methods.
    """
    if estimate.problem.is_incomplete:
        return math.nan
    scaling = difference.scaling if difference.shift is None else 1.0
    problem = estimate.problem
    return rmsea(
        plain.stat,
        plain.df,
        sum(b.n_obs for b in problem.blocks) if problem.is_categorical else problem.multiplier,
        n_groups=len(estimate.problem.blocks),
        scaling=scaling,
    )
