"""Statistics of resamples that need no fit of their own: functions of moments and estimates.

A resample's covariance matrices come from its counts, its parameters are there already; what is
made of the two (a ratio of correlations, the reliability of a sum score) is an array operation
over some hundred resamples at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sqvalid.errors import InputError, UnsupportedError
from sqvalid.latent.batch_discrepancy import batch_covariances
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.redraw import CHUNK, Draws, Units, group_moments, row_draws
from sqvalid.latent.resample_problems import resampled_moments
from sqvalid.latent.threads import single_thread

__all__ = ["ResampleFunction", "Resamples", "evaluate"]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Some resamples, as the functions of :meth:`Bootstrap.of_resamples` see them.

    Parameters
    ----------
    estimate : Estimate
        Of the full sample.
    draws : Draws
        Estimates of the resamples; NaN where there are none.
    counts : tuple of ndarray, shape (B, n)
        How often each respondent of every group is in them.
    """

    estimate: Estimate
    draws: Draws
    counts: tuple[Array, ...]

    @cached_property
    def covariances(self) -> tuple[Array, ...]:
        """Covariances of the observed variables of every group in the samples, shape (B, p, p).

        With the divisor of the fit, in the order of `estimate.problem.blocks[g].variables`. Where
        answers are missing they are those most likely given what was answered; NaN where
        there are none.
        """
        problem = self.estimate.problem
        # Least squares have the divisor N - 1.
        divisors = [
            float(target.covariance[0, 0] / block.covariance[0, 0])
            for target, block in zip(problem.objective.targets, problem.blocks, strict=True)
        ]
        plain = not problem.is_categorical and not any(
            np.isnan(block.cases).any() for block in problem.blocks if block.cases is not None
        )
        if not plain:
            found = self._one_by_one()
        else:
            found = [
                group_moments(block, counts)[1]
                for block, counts in zip(problem.blocks, self.counts, strict=True)
            ]
        return tuple(scale * matrix for scale, matrix in zip(divisors, found, strict=True))

    def _one_by_one(self) -> list[Array]:
        blocks = self.estimate.problem.blocks
        out = [
            np.full((len(counts), block.n_variables, block.n_variables), np.nan)
            for block, counts in zip(blocks, self.counts, strict=True)
        ]
        for b in range(len(self.counts[0])):
            try:
                moments = resampled_moments(self.estimate, [counts[b] for counts in self.counts])
            except InputError:
                continue
            for matrices, block in zip(out, moments.blocks, strict=True):
                matrices[b] = block.covariance
        return out

    @cached_property
    def parameters(self) -> Array:
        """Rows of `FitResult.parameters`, shape (B, n_rows)."""
        return row_draws(self.estimate, self.draws)

    @cached_property
    def _implied(self) -> list[tuple[Array, Array]]:
        problem = self.estimate.problem
        if problem.is_categorical:
            raise UnsupportedError(
                "Implied covariances of resamples are not available for ordered items.",
                remedy="Use functions of the covariances or the parameters alone.",
            )
        number = {row.plabel: i for i, row in enumerate(problem.table.rows)}
        good = np.flatnonzero(self.draws.converged)
        out = []
        for g, slots in enumerate(problem.slots):
            sampled = tuple(
                (place, self.draws.sampled[good, number[row.plabel]])
                for row, place in problem.structure.exogenous[g]
            )
            found = batch_covariances(slots, self.draws.theta[good], sampled)
            pair = tuple(
                np.full((len(self.draws.theta), *matrix.shape[1:]), np.nan) for matrix in found
            )
            for whole, matrix in zip(pair, found, strict=True):
                whole[good] = matrix
            out.append((pair[0], pair[1]))
        return out

    @property
    def implied(self) -> tuple[Array, ...]:
        """Implied covariances of the observed variables of every group, shape (B, p, p)."""
        return tuple(observed for observed, _ in self._implied)

    @property
    def factor_covariances(self) -> tuple[Array, ...]:
        """Implied covariances of the factors of every group, shape (B, m, m)."""
        return tuple(factors for _, factors in self._implied)

    def loadings(self, group: int, factor: str, items: Sequence[str]) -> Array:
        """Unstandardised loadings of items on a factor of a group (from 0), shape (B, k)."""
        place = {
            row.rhs: i
            for i, row in enumerate(self.estimate.problem.table.rows)
            if row.group == group + 1 and row.op == "=~" and row.lhs == factor
        }
        return np.asarray(self.parameters[:, [place[item] for item in items]])


ResampleFunction = Callable[[Resamples], Array]


def _some(draws: Draws, rows: slice) -> Draws:
    return Draws(draws.theta[rows], draws.sampled[rows], draws.half_f[rows], draws.singular[rows])


def evaluate(
    function: ResampleFunction,
    estimate: Estimate,
    units: Units,
    counts_of: Callable[[int], Array],
    draws: Draws,
) -> Array:
    """Values of a function in every resample.

    Parameters
    ----------
    function : callable
        From resamples to values, shape (B, k).
    estimate : Estimate
        Of the full sample, with cases.
    units : Units
    counts_of : callable
        How often each unit is in the resample of a number, shape (n_units,).
    draws : Draws
        Estimates of all resamples, R of them.

    Returns
    -------
    ndarray, shape (R, k)
    """
    total = len(draws.theta)
    out = []
    with single_thread(), np.errstate(all="ignore"):
        for start in range(0, total, CHUNK):
            rows = range(start, min(start + CHUNK, total))
            counts = np.array([counts_of(b) for b in rows])
            part = _some(draws, slice(rows.start, rows.stop))
            by_group = tuple(counts[:, own] for own in units.rows)
            out.append(function(Resamples(estimate, part, by_group)))
    return np.vstack(out)
