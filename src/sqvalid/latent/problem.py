"""A model meets data: the structure of a model, and the problem an optimiser is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sqvalid.errors import IdentificationError, InputError, UnsupportedError
from sqvalid.latent.categorical import (
    CategoricalLeastSquares,
    OrdinalTarget,
    StatisticPlan,
    make_plan,
)
from sqvalid.latent.constraints import ConstraintSet, compile_constraints, tangent_basis
from sqvalid.latent.discrepancy import Estimator, MaximumLikelihood, Objective, Target
from sqvalid.latent.fourth_moments import gamma_of, has_only_gamma
from sqvalid.latent.full_information import (
    FullInformation,
    n_undetermined,
    saturated_products,
    two_stage_block,
)
from sqvalid.latent.implied import (
    Array,
    Place,
    Slots,
    empty_matrices,
    factorise,
    find_layout,
    make_slots,
    put,
)
from sqvalid.latent.least_squares import (
    GeneralisedLeastSquares,
    UnweightedLeastSquares,
    WeightedLeastSquares,
)
from sqvalid.latent.options import TWO_STAGE, FitOptions
from sqvalid.latent.parameter_table import ParameterTable, Row, TableOptions, build_table
from sqvalid.latent.reference_models import log_det
from sqvalid.latent.robust import case_moments
from sqvalid.latent.start import principal_axis_start
from sqvalid.moments import Block, Moments

DISCREPANCIES: Mapping[str, Estimator] = {
    "ML": MaximumLikelihood(),
    "GLS": GeneralisedLeastSquares(),
    "ULS": UnweightedLeastSquares(),
    "WLS": WeightedLeastSquares(),
    "DWLS": WeightedLeastSquares(),
}
_CATEGORICAL = CategoricalLeastSquares()


@dataclass(frozen=True, eq=False)
class Structure:
    """What of a model does not depend on the data: table and places of parameters.

    Parameters
    ----------
    table : ParameterTable
    slots : tuple of Slots
        One per group; what is fixed at sample moments is zero in `base`.
    exogenous : tuple of tuple of (Row, Place)
        Rows of each group that are fixed at sample moments.
    """

    table: ParameterTable
    slots: tuple[Slots, ...]
    exogenous: tuple[tuple[tuple[Row, Place], ...], ...]


@lru_cache(maxsize=128)
def make_structure(model: str, options: TableOptions, group_labels: tuple[str, ...]) -> Structure:
    """Table of a model text and the places of its parameters in the matrices."""
    return structure_of(build_table(model, options, group_labels))


def structure_of(table: ParameterTable) -> Structure:
    """Places of a table's parameters in the matrices."""
    slots, exogenous = [], []
    for g in range(1, table.n_groups + 1):
        layout = find_layout(table, g)
        base = empty_matrices(layout)
        places: list[Place] = []
        targets: list[int] = []
        sampled = []
        for row in table.rows:
            if row.group != g:
                continue
            place = layout.locate(row)
            if row.free:
                places.append(place)
                targets.append(row.free - 1)
            elif row.exo:
                sampled.append((row, place))
            else:
                put(base, place, row.ustart if row.ustart is not None else 0.0)
        slots.append(make_slots(layout, base, places, targets, table.options.meanstructure))
        exogenous.append(tuple(sampled))
    return Structure(table, tuple(slots), tuple(exogenous))


@dataclass(frozen=True, eq=False)
class Problem:
    """A model meets data: everything the optimiser and the inference need.

    `auxiliary` are variables that are there for the sake of missing answers only: correlated with
    everything, in the model as in its baseline. Where statistics are conditional on covariates,
    `joint_slots` are the slots with the covariates' own moments in place.
    """

    structure: Structure
    blocks: tuple[Block, ...]
    objective: Objective
    constraints: ConstraintSet
    fixed_values: dict[str, float]
    multiplier: float
    df: int
    auxiliary: tuple[str, ...] = ()
    joint_slots: tuple[Slots, ...] | None = None

    @property
    def table(self) -> ParameterTable:
        """The parameter table."""
        return self.structure.table

    @property
    def slots(self) -> tuple[Slots, ...]:
        """Slots of every group."""
        return self.objective.slots

    @property
    def is_likelihood(self) -> bool:
        """Whether the estimator is maximum likelihood, of complete or incomplete answers."""
        return isinstance(self.objective.estimator, (MaximumLikelihood, FullInformation))

    @property
    def is_incomplete(self) -> bool:
        """Whether respondents with missing answers are part of it."""
        return isinstance(self.objective.estimator, FullInformation)

    @property
    def is_categorical(self) -> bool:
        """Whether some of the answers are ordered."""
        return isinstance(self.objective.estimator, CategoricalLeastSquares)

    def half_f(self, chisq: float) -> float:
        """The discrepancy's minimum as lavaan prints it.

        Chi-square over twice its multiplier; least squares count all respondents there.
        """
        if self.is_likelihood:
            return chisq / (2.0 * self.multiplier)
        return chisq / (2.0 * sum(block.n_obs for block in self.blocks))

    def fixed_index(self, g: int) -> list[int]:
        """Positions of the fixed covariates among the observed variables of a group."""
        return _fixed_places(self.table, g)

    def exogenous_index(self, g: int) -> list[int]:
        """Positions of exogenous covariates, fixed or not."""
        exogenous = set(self.table.exogenous[g])
        return [j for j, name in enumerate(self.table.observed[g]) if name in exogenous]


def _fixed_places(table: ParameterTable, g: int) -> list[int]:
    covariates = set(table.covariates[g])
    return [j for j, name in enumerate(table.observed[g]) if name in covariates]


def _check_positive_definite(block: Block) -> None:
    correlation = _correlation(block.covariance)
    if factorise(correlation - 1e-10 * np.eye(len(correlation)), 0.0) is not None:
        return
    values, vectors = np.linalg.eigh(correlation)
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
    if options.is_categorical:
        return _categorical_problem(structure, moments, options)
    table = structure.table
    blocks = tuple(
        block.select(names) for block, names in zip(moments.blocks, table.observed, strict=True)
    )
    if options.missing in TWO_STAGE:
        blocks = tuple(
            two_stage_block(block, _fixed_places(table, g), robust=options.missing != "two.stage")
            for g, block in enumerate(blocks)
        )
    # Least squares take the sample covariance with divisor N - 1, and multiply by it.
    unbiased = options.likelihood == "wishart" or options.discrepancy != "ML"
    counts = [block.total_weight - (1 if unbiased else 0) for block in blocks]
    total = float(sum(counts))
    slots, targets = [], []
    fixed_values: dict[str, float] = {}
    n_moments = 0
    for g, block in enumerate(blocks):
        _check_positive_definite(block)
        covariance = block.covariance
        if unbiased:
            covariance = covariance * (block.n_obs / (block.n_obs - 1))
        means = block.means if options.meanstructure else None
        if options.meanstructure and means is None:
            raise InputError(
                "The model has means but the data are a covariance matrix without means.",
                remedy="Give mean=, or set meanstructure=False.",
            )
        place_of = {name: j for j, name in enumerate(block.variables)}
        own = structure.slots[g]
        if structure.exogenous[g]:
            base = {name: matrix.copy() for name, matrix in own.base.items()}
            for row, place in structure.exogenous[g]:
                if row.op == "~1":
                    value = float(means[place_of[row.lhs]]) if means is not None else 0.0
                else:
                    value = float(covariance[place_of[row.lhs], place_of[row.rhs]])
                fixed_values[row.plabel] = value
                put(base, place, value)
            own = replace(own, base=base)
        slots.append(own)
        targets.append(_target(block, covariance, means, counts[g] / total, options.discrepancy))
        p, x = block.n_variables, len(table.covariates[g])
        n_moments += p * (p + 1) // 2 - x * (x + 1) // 2 - n_undetermined(block)
        if options.meanstructure:
            n_moments += p - x
    q = table.n_free
    lower, upper = np.full(q, -np.inf), np.full(q, np.inf)
    if options.bounds == "pos.var":
        for row in table.rows:
            if row.free and row.op == "~~" and row.lhs == row.rhs:
                lower[row.free - 1] = 0.0
    constraints = compile_constraints(table, fixed_values, lower, upper)
    estimator = DISCREPANCIES[options.discrepancy]
    if any(block.patterns is not None for block in blocks):
        if options.discrepancy != "ML":
            raise UnsupportedError(
                f"estimator={options.estimator!r} is not available for incomplete answers.",
                remedy="Use estimator='ML' or 'MLR', or missing='listwise'.",
            )
        estimator = FullInformation()
    objective = Objective(estimator, tuple(slots), tuple(targets), q)
    return Problem(
        structure=structure,
        blocks=blocks,
        objective=objective,
        constraints=constraints,
        fixed_values=fixed_values,
        multiplier=total,
        df=n_moments - q + equality_rank(constraints, table, blocks),
        auxiliary=options.auxiliary,
    )


def _categorical_problem(structure: Structure, moments: Moments, options: FitOptions) -> Problem:
    """The problem where some answers are ordered: their statistics are thresholds, correlations."""
    table = structure.table
    blocks = tuple(
        block.select(names) for block, names in zip(moments.blocks, table.observed, strict=True)
    )
    counts = [block.total_weight - 1 for block in blocks]
    total = float(sum(counts))
    slots, joint, targets = [], [], []
    fixed_values: dict[str, float] = {}
    n_statistics = 0
    for g, block in enumerate(blocks):
        given = table.covariates[g] if options.conditional_x else ()
        own = structure.slots[g]
        plan = make_plan(own.layout, given)
        base = {name: matrix.copy() for name, matrix in own.base.items()}
        for row, place in structure.exogenous[g]:
            value = _covariate_moment(block, row, given)
            fixed_values[row.plabel] = value
            put(base, place, value)
        whole = replace(own, base=base)
        joint.append(whole)
        # What is conditional on the covariates does not have their moments in it.
        slots.append(own if given else whole)
        weights = _ordinal_weights(block, options.discrepancy)
        values = _ordinal_statistics(block, plan)
        found = OrdinalTarget(plan, values, weights, options.parameterization == "theta", block)
        share = counts[g] / total
        targets.append(Target(block.covariance, block.means, 0.0, share, ordinal=found))
        n_statistics += plan.size
    q = table.n_free
    lower, upper = np.full(q, -np.inf), np.full(q, np.inf)
    if options.bounds == "pos.var":
        for row in table.rows:
            if row.free and row.op == "~~" and row.lhs == row.rhs:
                lower[row.free - 1] = 0.0
    constraints = compile_constraints(table, fixed_values, lower, upper)
    return Problem(
        structure=structure,
        blocks=blocks,
        objective=Objective(_CATEGORICAL, tuple(slots), tuple(targets), q),
        constraints=constraints,
        fixed_values=fixed_values,
        multiplier=total,
        df=n_statistics - q + equality_rank(constraints, table, blocks),
        joint_slots=tuple(joint) if options.conditional_x else None,
    )


def _covariate_moment(block: Block, row: Row, given: tuple[str, ...]) -> float:
    """Mean or covariance of covariates that a row of the table is fixed at."""
    if given:
        place = {name: j for j, name in enumerate(given)}
        assert block.x_means is not None
        assert block.x_covariance is not None
        means, covariance = block.x_means, block.x_covariance
    else:
        place = {name: j for j, name in enumerate(block.variables)}
        assert block.means is not None
        means, covariance = block.means, block.covariance
    if row.op == "~1":
        return float(means[place[row.lhs]])
    return float(covariance[place[row.lhs], place[row.rhs]])


def _ordinal_statistics(block: Block, plan: StatisticPlan) -> Array:
    """Statistics of a group in the order of its plan, which is that of the block."""
    assert block.thresholds is not None
    slopes = np.empty(0) if block.slopes is None else block.slopes.ravel(order="F")
    values = np.concatenate(
        [
            block.thresholds,
            slopes,
            block.covariance[plan.numeric, plan.numeric],
            block.covariance[plan.first, plan.second],
        ]
    )
    assert len(values) == plan.size
    return values


def _ordinal_weights(block: Block, discrepancy: str) -> Array:
    """Weights of the statistics: a diagonal (s,), or a matrix (s, s) for WLS."""
    variances = block.gamma_diagonal
    assert variances is not None
    if discrepancy == "ULS":
        return np.ones(len(variances))
    if discrepancy == "DWLS":
        return 1.0 / variances
    size = len(variances)
    if block.n_obs <= size:
        of_group = f" in group {block.group!r}" if block.group else ""
        raise InputError(
            f"estimator='WLS' needs more respondents than statistics: {block.n_obs}{of_group} "
            f"for {size}.",
            remedy="Use 'WLSMV'.",
        )
    assert block.gamma is not None
    return np.asarray(np.linalg.solve(block.gamma, np.eye(size)))


def _target(
    block: Block, covariance: Array, means: Array | None, weight: float, discrepancy: str
) -> Target:
    """Sample statistics of a group with the weights that its estimator needs."""
    inverse: Array | None = None
    weights: Array | None = None
    if discrepancy == "GLS":
        inverse = np.asarray(np.linalg.solve(covariance, np.eye(len(covariance))), np.float64)
    elif discrepancy in ("WLS", "DWLS"):
        weights = _adf_weights(block, discrepancy, with_means=means is not None)
    if block.patterns is not None:
        value = saturated_products(block).value
        return Target(covariance, means, value, weight, patterns=block.patterns)
    return Target(covariance, means, log_det(covariance), weight, inverse, weights)


def _adf_weights(block: Block, discrepancy: str, *, with_means: bool) -> Array:
    """Inverse of Gamma from fourth moments, or of its diagonal."""
    only_gamma = has_only_gamma(block)
    if block.cases is None and not only_gamma:
        raise UnsupportedError(
            f"estimator={discrepancy!r} needs the answers; a matrix is not enough.",
            remedy="Give the data or stream_moments(..., gamma=True), or use 'GLS' or 'ML'.",
        )
    p = block.n_variables
    n, size = block.n_obs, p * (p + 1) // 2 + (p if with_means else 0)
    if n <= size and discrepancy == "WLS":
        of_group = f" in group {block.group!r}" if block.group else ""
        raise InputError(
            f"estimator='WLS' needs more respondents than moments: {n}{of_group} for {size}.",
            remedy="Use 'MLR', 'MLM' or 'ULSMV'.",
        )
    if only_gamma:
        gamma = gamma_of(block, with_means=with_means)
    else:
        assert block.cases is not None
        deviations = block.cases - block.cases.mean(axis=0)
        gamma = case_moments(deviations, with_means=with_means).gamma()
    if discrepancy == "DWLS":
        return np.diag(1.0 / np.diag(gamma))
    return np.asarray(np.linalg.solve(gamma, np.eye(size)))


def equality_rank(
    constraints: ConstraintSet, table: ParameterTable, blocks: tuple[Block, ...]
) -> int:
    """Number of independent equality constraints."""
    linear_rank = table.n_free - len(constraints.basis.T)
    if not constraints.equalities.n_functions:
        return linear_rank
    # The rank of non-linear equalities is taken at the start values, where it is generic.
    start = principal_axis_start(table, blocks)
    jacobian = constraints.equality_jacobian(start)
    return table.n_free - len(tangent_basis(jacobian).T)


def check_df(problem: Problem) -> None:
    """Raise when the model has more free parameters than the data have moments."""
    if problem.df < 0:
        n_free = problem.table.n_free
        raise IdentificationError(
            f"The model has {-problem.df} more free parameter{'s' if problem.df < -1 else ''} "
            f"than the data have moments ({problem.df} degrees of freedom): it cannot be "
            "identified.",
            parameters=tuple(row.name for row in problem.table.free_rows()),
            remedy=f"Fix or constrain some of the {n_free} parameters, or add items.",
        )
