"""A model estimated again from other counts of the same respondents.

A resample is a vector of counts: how often each respondent is in it. The bootstrap and the
jackknife are two ways of making counts; everything behind them is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sqvalid.latent.batch_discrepancy import BatchTarget, batch_moments, batch_value_and_gradient
from sqvalid.latent.batch_search import Evaluate, minimise_batch
from sqvalid.latent.constraints import make_functions
from sqvalid.latent.discrepancy import MaximumLikelihood
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.inference import constrained_inverse
from sqvalid.latent.optimiser import minimise
from sqvalid.latent.options import TWO_STAGE
from sqvalid.latent.parameter_frames import (
    estimates_and_errors,
    group_deviations,
    row_values,
    standardised,
)
from sqvalid.latent.resample_problems import Sample, draw_sample, sample_estimate
from sqvalid.latent.standardize import StandardKind, scale_places
from sqvalid.latent.syntax import inline_definitions
from sqvalid.moments import Block
from sqvalid.resampling import uniforms

__all__ = [
    "CHUNK",
    "Draws",
    "Units",
    "group_moments",
    "make_units",
    "redraw",
    "row_draws",
    "standardised_draws",
]

CHUNK = 128
"""Resamples that are estimated together. The size is fixed and the last chunk is filled up, so that
a resample's numbers do not depend on how many there are or on who computes them."""

# Rows of products of answers that are in memory at a time.
_PIECE_ROWS = 4096
# Products of the answers of files that are no longer than that, for as long as the block lives.
_PRODUCTS: WeakKeyDictionary[Block, Array] = WeakKeyDictionary()
# The least squared pivot of a correlation matrix that counts as more than rounding.
_PIVOT = 1e-10


@dataclass(frozen=True, eq=False)
class Units:
    """What is drawn: respondents, or clusters of them, within strata.

    Parameters
    ----------
    rows : tuple of ndarray of int
        Unit of every respondent, one array per group.
    stratum : ndarray of int, shape (n_units,)
        Units are drawn with replacement within their stratum.
    """

    rows: tuple[NDArray[np.intp], ...]
    stratum: NDArray[np.intp]

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.stratum)

    @cached_property
    def _strata(self) -> tuple[NDArray[np.intp], ...]:
        """Units of every stratum."""
        return tuple(np.flatnonzero(self.stratum == label) for label in np.unique(self.stratum))

    def bootstrap_counts(self, seed: int, replicate: int) -> Array:
        """How often each unit is drawn: unit floor(u n) of its stratum, stream by stream."""
        share = uniforms(seed, replicate, self.size)
        counts = np.zeros(self.size)
        start = 0
        for members in self._strata:
            n = len(members)
            drawn = np.floor(share[start : start + n] * n).astype(np.intp)
            counts[members] = np.bincount(drawn, minlength=n)
            start += n
        return counts

    def counts_without(self, unit: int) -> Array:
        """Every unit once but one; the last one where there is no such unit."""
        counts = np.ones(self.size)
        counts[min(unit, self.size - 1)] = 0.0
        return counts


def make_units(estimate: Estimate, *, clusters: bool) -> Units:
    """Units of a fit: respondents within groups, or clusters.

    Clusters are drawn within groups where each lies in one group only, else all together.
    """
    blocks = estimate.problem.blocks
    if not clusters:
        ends = np.cumsum([0, *(block.n_obs for block in blocks)])
        rows = tuple(np.arange(a, b, dtype=np.intp) for a, b in pairwise(ends))
        stratum = np.repeat(np.arange(len(blocks)), [block.n_obs for block in blocks])
        return Units(rows, stratum.astype(np.intp))
    codes = [np.asarray(block.clusters) for block in blocks]
    names, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    rows = tuple(np.split(inverse.astype(np.intp), np.cumsum([len(c) for c in codes])[:-1]))
    home = np.full(len(names), -1, dtype=np.intp)
    nested = True
    for g, own in enumerate(rows):
        members = np.unique(own)
        nested &= bool((home[members] < 0).all())
        home[members] = g
    return Units(rows, home if nested else np.zeros_like(home))


@dataclass(frozen=True, eq=False)
class Draws:
    """Estimates of many resamples.

    Parameters
    ----------
    theta : ndarray, shape (B, q)
        Free parameters; NaN in a resample without estimates.
    sampled : ndarray, shape (B, n_rows)
        Values of the rows fixed at sample moments, zero elsewhere.
    half_f : ndarray, shape (B,)
        F/2 at the minimum, NaN without one.
    singular : ndarray of bool, shape (B,)
        No covariance matrix to work with: an item without variance, or a copy of another.
    one_by_one : int
        Resamples that the batch left to the search one by one.
    """

    theta: Array
    sampled: Array
    half_f: Array
    singular: NDArray[np.bool_]
    one_by_one: int = 0

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Resamples with estimates."""
        return np.isfinite(self.half_f)


def _piece_products(block: Block, start: int) -> Array:
    """Products of centred answers, and the centred answers, of some rows.

    Those of a short file are kept: every chunk of resamples reads them.
    """
    kept = _PRODUCTS.get(block)
    if kept is not None:
        return kept
    assert block.cases is not None
    assert block.means is not None
    columns, rows = np.triu_indices(block.n_variables)
    centred = block.cases[start : start + _PIECE_ROWS] - block.means
    out = np.hstack([centred[:, columns] * centred[:, rows], centred])
    if block.n_obs <= _PIECE_ROWS:
        _PRODUCTS[block] = out
    return out


def group_moments(block: Block, counts: Array) -> tuple[Array, Array, Array]:
    """Means (B, p), covariance (B, p, p) and sum of weights (B,) under counts (B, n)."""
    assert block.cases is not None
    assert block.means is not None
    weights = counts if block.weights is None else counts * block.weights
    p = block.n_variables
    columns, rows = np.triu_indices(p)
    whole = np.zeros((len(counts), len(rows) + p))
    for start in range(0, block.n_obs, _PIECE_ROWS):
        whole += weights[:, start : start + _PIECE_ROWS] @ _piece_products(block, start)
    products, sums = whole[:, :-p], whole[:, -p:]
    total = weights.sum(axis=1)
    drift = sums / total[:, None]
    covariance = np.empty((len(counts), p, p))
    values = products / total[:, None] - drift[:, columns] * drift[:, rows]
    covariance[:, columns, rows] = covariance[:, rows, columns] = values
    return block.means + drift, covariance, total


def _log_det(covariance: Array, usual: Array) -> Array:
    """Log determinants, NaN where a matrix is singular; `usual` are the sample's variances."""
    out = np.full(len(covariance), np.nan)
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    # An item that does not vary keeps the rounding of its mean.
    rows = np.flatnonzero((variances > 1e-12 * usual).all(axis=1))
    sd = np.sqrt(variances[rows])
    correlation = covariance[rows] / (sd[:, :, None] * sd[:, None, :])
    try:
        pivots = np.diagonal(np.linalg.cholesky(correlation), axis1=1, axis2=2)
    except np.linalg.LinAlgError:
        # One of them has none: they are taken one by one.
        pivots = np.zeros_like(sd)
        for b, matrix in enumerate(correlation):
            try:
                pivots[b] = np.diag(np.linalg.cholesky(matrix))
            except np.linalg.LinAlgError:
                continue
    sound = (pivots**2 > _PIVOT).all(axis=1)
    out[rows[sound]] = 2.0 * np.log(pivots[sound] * sd[sound]).sum(axis=1)
    return out


def _targets(estimate: Estimate, counts: tuple[Array, ...]) -> tuple[BatchTarget, ...]:
    problem, means_too = estimate.problem, estimate.options.meanstructure
    found = [group_moments(block, c) for block, c in zip(problem.blocks, counts, strict=True)]
    whole = np.sum([total for _, _, total in found], axis=0)
    targets = []
    for g, (means, covariance, total) in enumerate(found):
        place_of = {name: j for j, name in enumerate(problem.blocks[g].variables)}
        sampled = []
        for row, place in problem.structure.exogenous[g]:
            if row.op == "~1":
                values = means[:, place_of[row.lhs]] if means_too else np.zeros(len(means))
            else:
                values = covariance[:, place_of[row.lhs], place_of[row.rhs]]
            sampled.append((place, values))
        targets.append(
            BatchTarget(
                covariance=covariance,
                means=means if means_too else None,
                log_det=_log_det(covariance, np.diag(problem.blocks[g].covariance)),
                weight=total / whole,
                sampled=tuple(sampled),
            )
        )
    return tuple(targets)


def _sampled_rows(estimate: Estimate, targets: tuple[BatchTarget, ...]) -> Array:
    """Values of the rows fixed at sample moments, shape (B, n_rows)."""
    problem = estimate.problem
    number = {row.plabel: i for i, row in enumerate(problem.table.rows)}
    out = np.zeros((len(targets[0].log_det), len(problem.table.rows)))
    for g, target in enumerate(targets):
        for (row, _), (_, values) in zip(
            problem.structure.exogenous[g], target.sampled, strict=True
        ):
            out[:, number[row.plabel]] = values
    return out


def _is_smooth(estimate: Estimate) -> bool:
    """Whether parameters are free in some directions, with no border but where F ends."""
    constraints = estimate.problem.constraints
    return not (
        constraints.equalities.n_functions
        or constraints.inequalities.n_functions
        or constraints.has_bounds
    )


def _can_batch(estimate: Estimate) -> bool:
    """Whether the batch knows these moments, this discrepancy and these constraints."""
    problem = estimate.problem
    return (
        isinstance(problem.objective.estimator, MaximumLikelihood)
        and estimate.options.likelihood == "normal"
        and estimate.options.missing not in TWO_STAGE
        and _is_smooth(estimate)
        and all(len(set(slots.target)) == slots.n_parameters for slots in problem.slots)
    )


@dataclass(frozen=True, eq=False)
class _Search:
    """The quasi-Newton search from the full sample's estimates, in the directions that are free.

    Parameters
    ----------
    basis, origin : ndarray
        theta = basis phi + origin.
    metric : ndarray, shape (d, d)
        Inverse of the full sample's Hessian.
    start : ndarray, shape (d,)
    """

    basis: Array
    origin: Array
    metric: Array
    start: Array

    @classmethod
    def of(cls, estimate: Estimate) -> _Search:
        """The search of a fit."""
        problem, constraints = estimate.problem, estimate.problem.constraints
        hessian = problem.objective.hessian(estimate.locals_)
        basis = np.eye(len(hessian)) if constraints.is_identity else constraints.basis
        reduced = basis.T @ hessian @ basis
        metric = constrained_inverse(reduced, np.eye(len(reduced))).matrix
        return cls(basis, constraints.origin, metric, constraints.to_phi(estimate.theta))

    def run(self, evaluate: Evaluate, size: int) -> tuple[Array, Array]:
        """Estimates, NaN where none was found, and F/2; `evaluate` takes theta."""

        def reduced(phi: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
            value, slope = evaluate(phi @ self.basis.T + self.origin, rows)
            return value, slope @ self.basis

        end = minimise_batch(reduced, self.start, self.metric, size)
        theta = end.phi @ self.basis.T + self.origin
        theta[~end.converged] = np.nan
        return theta, np.where(end.converged, end.half_f, np.nan)


def _batch(estimate: Estimate, targets: tuple[BatchTarget, ...]) -> tuple[Array, Array]:
    """Estimates (NaN where the batch has none) and F/2 of every resample."""
    problem = estimate.problem
    usable = np.flatnonzero(np.isfinite(np.sum([t.log_det for t in targets], axis=0)))
    theta = np.full((len(targets[0].log_det), problem.table.n_free), np.nan)
    half_f = np.full(len(theta), np.nan)
    if not usable.size:
        return theta, half_f
    # The moments of the samples that are still searched, cut down as they finish.
    held_rows, held = usable, tuple(t.take(usable) for t in targets)

    def evaluate(trial: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        nonlocal held_rows, held
        wanted = usable[rows]
        if len(wanted) != len(held_rows):
            keep = np.isin(held_rows, wanted)
            held_rows, held = held_rows[keep], tuple(t.take(keep) for t in held)
        return batch_value_and_gradient(problem.slots, held, trial)

    theta[usable], half_f[usable] = _Search.of(estimate).run(evaluate, len(usable))
    return theta, half_f


def _single(estimate: Estimate, sample: Sample) -> tuple[Array, float] | None:
    """Estimates and F/2 of one resample by the search that single fits use, or None."""
    end = minimise(
        sample.objective,
        sample.constraints,
        estimate.theta,
        max_iterations=estimate.options.max_iterations,
    )
    return (end.theta, end.half_f) if end.converged else None


def _one_after_the_other(estimate: Estimate, by_group: tuple[Array, ...]) -> Draws:
    """Resamples whose moments or discrepancy are not known to the batch."""
    size, table = len(by_group[0]), estimate.problem.table
    theta = np.full((size, table.n_free), np.nan)
    half_f = np.full(size, np.nan)
    sampled = np.zeros((size, len(table.rows)))
    singular = np.zeros(size, dtype=bool)
    search = _Search.of(estimate) if _is_smooth(estimate) else None
    left = 0
    for b in range(size):
        sample = draw_sample(estimate, tuple(counts[b] for counts in by_group))
        if sample is None:
            singular[b] = True
            continue
        sampled[b] = [sample.fixed_values.get(row.plabel, 0.0) for row in table.rows]
        if search is not None:
            found, value = search.run(sample.evaluate, 1)
            theta[b], half_f[b] = found[0], value[0]
        if np.isnan(half_f[b]):
            left += 1
            single = _single(estimate, sample)
            if single is not None:
                theta[b], half_f[b] = single
    return Draws(theta, sampled, half_f, singular, left)


def redraw(estimate: Estimate, units: Units, counts: Array) -> Draws:
    """Estimate a model from resamples.

    Parameters
    ----------
    estimate : Estimate
        Of the full sample, with cases.
    units : Units
    counts : ndarray, shape (B, n_units)
        How often each unit is in a resample.

    Returns
    -------
    Draws
    """
    by_group = tuple(counts[:, rows] for rows in units.rows)
    if not _can_batch(estimate):
        return _one_after_the_other(estimate, by_group)
    targets = _targets(estimate, by_group)
    theta, half_f = _batch(estimate, targets)
    singular = np.isnan(np.sum([t.log_det for t in targets], axis=0))
    left = np.flatnonzero(np.isnan(half_f) & ~singular)
    for b in left:
        sample = draw_sample(estimate, tuple(c[b] for c in by_group))
        found = None if sample is None else _single(estimate, sample)
        if found is not None:
            theta[b], half_f[b] = found
    return Draws(theta, _sampled_rows(estimate, targets), half_f, singular, len(left))


def _definitions(estimate: Estimate, values: Array) -> Array:
    """Defined parameters as functions of the rows; shape (B, n_definitions)."""
    table = estimate.problem.table
    place: dict[str, int | float] = {row.plabel: i for i, row in enumerate(table.rows)}
    for i, row in enumerate(table.rows):
        if row.label:
            place.setdefault(row.label, i)
    expressions = inline_definitions(table.definitions, [d.expression for d in table.definitions])
    functions = make_functions(expressions, place, len(table.rows))
    return np.asarray(functions.compiled.values(values @ functions.reach.T + functions.offset))


def _rows_one_by_one(estimate: Estimate, draws: Draws, kind: StandardKind | None) -> Array:
    """Rows in every resample, raw or standardised, where some follow from other parameters."""
    table = estimate.problem.table
    out = np.full((len(draws.theta), len(table.rows) + len(table.definitions)), np.nan)
    for b in np.flatnonzero(draws.converged):
        sample = sample_estimate(estimate, draws.theta[b], draws.sampled[b])
        if sample is None:
            continue
        values = row_values(sample)
        if kind is None:
            out[b] = estimates_and_errors(sample, values)[0]
        else:
            out[b] = standardised(sample, values, group_deviations(sample, values), kind)[0]
    return out


def row_draws(estimate: Estimate, draws: Draws) -> Array:
    """Value of every row of the parameter table in every resample, definitions at the end.

    Returns
    -------
    ndarray, shape (B, n_rows + n_definitions)
    """
    if estimate.problem.is_categorical:
        return _rows_one_by_one(estimate, draws, None)
    table = estimate.problem.table
    fixed = np.array([0.0 if row.ustart is None else row.ustart for row in table.rows])
    free = np.array([row.free for row in table.rows])
    exogenous = np.array([row.exo and not row.free for row in table.rows], dtype=bool)
    values = np.tile(fixed, (len(draws.theta), 1))
    values[:, exogenous] = draws.sampled[:, exogenous]
    values[:, free > 0] = draws.theta[:, free[free > 0] - 1]
    values[~draws.converged] = np.nan
    if not table.definitions:
        return values
    with np.errstate(all="ignore"):
        return np.hstack([values, _definitions(estimate, values)])


def standardised_draws(estimate: Estimate, draws: Draws, kind: StandardKind) -> Array:
    """Standardised rows in every resample, definitions at the end; shape as `row_draws`."""
    problem = estimate.problem
    if problem.is_categorical:
        return _rows_one_by_one(estimate, draws, kind)
    table, slots = problem.table, problem.slots
    values = row_draws(estimate, draws)[:, : len(table.rows)]
    number = {row.plabel: i for i, row in enumerate(table.rows)}
    good = np.flatnonzero(draws.converged)
    out = np.full_like(values, np.nan)
    for g in range(table.n_groups):
        at = np.flatnonzero([row.group == g + 1 for row in table.rows])
        rows = [table.rows[i] for i in at]
        layout = slots[g].layout
        names = (*layout.observed, *layout.factors)
        place = {name: i for i, name in enumerate(names)}
        sampled = tuple(
            (where, draws.sampled[good, number[row.plabel]])
            for row, where in problem.structure.exogenous[g]
        )
        observed, factors = batch_moments(slots[g], draws.theta[good], sampled)
        v = len(names)
        variance = np.zeros((len(good), 2 * v + 1))
        variance[:, : len(layout.observed)] = observed
        variance[:, len(layout.observed) : v] = factors
        variance[:, -1] = 1.0
        for i, row in zip(at, rows, strict=True):
            if row.op == "~~" and row.lhs == row.rhs:
                variance[:, v + place[row.lhs]] = values[good, i]
        roots = np.sqrt(np.abs(variance))
        up, first, second = scale_places(
            rows, place, v, kind, table.latents[g], table.covariates[g]
        )
        below = roots[:, first] * roots[:, second]
        scale = roots[:, up] / np.where(below == 0.0, np.nan, below)
        out[np.ix_(good, at)] = values[np.ix_(good, at)] * scale
    if not table.definitions:
        return out
    with np.errstate(all="ignore"):
        return np.hstack([out, _definitions(estimate, out)])


def chunks(n: int) -> Iterator[range]:
    """Numbers of the resamples of every chunk; the last one is whole as well."""
    for start in range(0, n, CHUNK):
        yield range(start, start + CHUNK)


@dataclass(frozen=True, eq=False)
class Work:
    """What a process needs to estimate resamples: a fit and its units."""

    estimate: Estimate
    units: Units
    seed: int = 0

    def bootstrap(self, numbers: range) -> Draws:
        """Resamples by number."""
        counts = np.array([self.units.bootstrap_counts(self.seed, b) for b in numbers])
        return redraw(self.estimate, self.units, counts)

    def jackknife(self, numbers: range) -> Draws:
        """Samples without one unit; numbers beyond the last unit repeat it."""
        counts = np.array([self.units.counts_without(unit) for unit in numbers])
        return redraw(self.estimate, self.units, counts)
