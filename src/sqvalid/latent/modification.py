"""Modification indices: what one more free parameter would change.

Univariate score tests with the expected information (Sorbom, 1989), the equality constraints of the
model kept, and the expected parameter change (Saris, Satorra & Sorbom, 1987).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sqvalid.errors import ModelError
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array, Layout, Place, Slots, make_slots
from sqvalid.latent.inference import constrained_inverse
from sqvalid.latent.parameter_table import ParameterTable, Row

# Share of a candidate's information that is its own; below it the parameter is a
# reparameterisation of free ones and has no index.
_OWN_SHARE = 1e-7


@dataclass(frozen=True, eq=False)
class Modifications:
    """Score tests of candidate parameters.

    Parameters
    ----------
    rows : tuple of Row
    mi : ndarray
        Chi-square on 1 degree of freedom.
    epc : ndarray
        Expected change from the value the parameter is fixed at.
    """

    rows: tuple[Row, ...]
    mi: Array
    epc: Array


def candidates(table: ParameterTable, group: int) -> Iterator[Row]:
    """Fixed parameters of the table, then those it leaves out.

    What follows from other parameters of ordered items (residual variances in the delta
    parameterisation, scales in theta) is no candidate.
    Left out are cross-loadings of observed indicators, covariances among observed outcomes and
    indicators, covariances among latents, and regressions among variables that take part
    in regressions.
    """
    rows = [row for row in table.rows if row.group == group]
    present = {row.key for row in rows}
    ordered = table.options.n_thresholds
    follows = "~~" if table.options.parameterization == "delta" else "~*~"
    yield from (
        row
        for row in rows
        if not row.free
        and not row.exo
        and not (row.op == follows and row.lhs == row.rhs and row.lhs in ordered)
    )
    latents = table.latents[group - 1]
    covariates = set(table.covariates[group - 1])
    indicators = dict.fromkeys(
        row.rhs for row in rows if row.op == "=~" and row.rhs not in set(latents)
    )
    observed = [name for name in table.observed[group - 1] if name not in covariates]
    in_regressions = dict.fromkeys(
        name for row in rows if row.op == "~" for name in (row.lhs, row.rhs)
    )

    def missing(lhs: str, op: str, rhs: str) -> Iterator[Row]:
        row = Row(lhs, op, rhs, group, ustart=0.0)
        if row.key not in present:
            present.add(row.key)
            yield row

    for latent in latents:
        for item in indicators:
            yield from missing(latent, "=~", item)
    for first, second in combinations(observed, 2):
        yield from missing(first, "~~", second)
    for first, second in combinations(latents, 2):
        yield from missing(first, "~~", second)
    for outcome in in_regressions:
        for predictor in in_regressions:
            if outcome != predictor and outcome not in covariates:
                yield from missing(outcome, "~", predictor)


def _located(layout: Layout, rows: Sequence[Row]) -> tuple[list[Row], list[Place]]:
    """Rows that have a place in the matrices as they are laid out, and the places."""
    kept, places = [], []
    for row in rows:
        try:
            place = layout.locate(row)
        except ModelError:
            continue
        kept.append(row)
        places.append(place)
    return kept, places


def _extended(slots: Slots, places: Sequence[Place], first: int) -> Slots:
    """Slots with the candidates appended."""
    more = make_slots(
        slots.layout, slots.base, places, range(first, first + len(places)), slots.has_means
    )
    return Slots(
        layout=slots.layout,
        base=slots.base,
        matrix=np.concatenate([slots.matrix, more.matrix]),
        row=np.concatenate([slots.row, more.row]),
        column=np.concatenate([slots.column, more.column]),
        target=np.concatenate([slots.target, more.target]),
        a=np.concatenate([slots.a, more.a]),
        b=np.concatenate([slots.b, more.b]),
        s=np.concatenate([slots.s, more.s]),
        t_kind=np.concatenate([slots.t_kind, more.t_kind]),
        has_means=slots.has_means,
        by_matrix=slots.by_matrix,
    )


def modification_tests(estimate: Estimate) -> Modifications:
    """Score tests of every candidate of every group."""
    problem = estimate.problem
    q = problem.objective.n_free
    weights = estimate.weighting_locals
    inverse = constrained_inverse(problem.objective.expected(weights), estimate.tangent).matrix
    rows: list[Row] = []
    mi: list[Array] = []
    epc: list[Array] = []
    for g, (slots, target, local, weight) in enumerate(
        zip(problem.slots, problem.objective.targets, estimate.locals_, weights, strict=True)
    ):
        found, places = _located(slots.layout, list(candidates(problem.table, g + 1)))
        if not found:
            continue
        more = make_slots(slots.layout, slots.base, places, range(len(found)), slots.has_means)
        both = _extended(slots, places, 0)
        information = target.weight * problem.objective.estimator.expected(both, target, weight)
        k = slots.n_parameters
        cross = np.zeros((q, len(found)))
        np.add.at(cross, slots.target, information[:k, k:])
        own = np.diag(information[k:, k:])
        gradient = target.weight * problem.objective.estimator.gradient(more, local)
        left = own - np.einsum("ij,ij->j", cross, inverse @ cross)
        # The gradient of the free parameters is zero, so only the candidate's own counts;
        # under equality constraints it is zero along the tangent.
        free_gradient = problem.objective.gradient(estimate.locals_)
        gradient = gradient - cross.T @ (inverse @ free_gradient)
        left = np.where((own > 0) & (left > _OWN_SHARE * own), left, np.nan)
        rows.extend(found)
        if not problem.is_likelihood:
            # lavaan's least squares gradient carries (N - 1) / N, its information does not.
            gradient = gradient * problem.multiplier / sum(b.n_obs for b in problem.blocks)
        # lavaan counts all respondents here, under the Wishart likelihood too.
        mi.append(problem.blocks[g].total_weight / target.weight * gradient**2 / left)
        epc.append(-gradient / left)
    if not rows:
        return Modifications((), np.empty(0), np.empty(0))
    return Modifications(tuple(rows), np.concatenate(mi), np.concatenate(epc))
