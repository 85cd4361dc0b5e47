"""What can be wrong with a solution, found and told."""

from __future__ import annotations

import numpy as np

from sqvalid.errors import Diagnostic
from sqvalid.latent.estimation import Attempt, Estimate
from sqvalid.latent.implied import Array, factorise
from sqvalid.latent.parameter_table import Row

# An eigenvalue of a correlation matrix this close to zero is a boundary, not a population.
_SMALLEST = 1e-8


def find_trouble(estimate: Estimate) -> tuple[Diagnostic, ...]:
    """Diagnose a solution.

    Returns
    -------
    tuple of Diagnostic
        Non-convergence, failed start values, parameters that are not identified, negative
        variances, covariance matrices that are not positive definite, small groups, failed draws
        of a bootstrap.
    """
    out: list[Diagnostic] = []
    solution = estimate.solution
    if not solution.converged:
        out.append(
            Diagnostic(
                "not_converged",
                "problem",
                values={
                    "gradient_norm": solution.gradient_norm,
                    "n_iterations": solution.n_iterations,
                    "attempts": _names(estimate.attempts),
                },
            )
        )
    elif len(estimate.attempts) > 1:
        out.append(
            Diagnostic(
                "start_values_fallback",
                "info",
                values={
                    "attempts": _names(estimate.attempts[:-1]),
                    "taken": estimate.attempts[-1].name,
                },
            )
        )
    bootstrap = estimate.bollen_stine
    if bootstrap is not None and bootstrap.n_failed:
        values = {"n_failed": bootstrap.n_failed, "n_draws": bootstrap.n_draws}
        out.append(Diagnostic("bollen_stine_failures", "warning", values=values))
    out.extend(_identification(estimate))
    out.extend(_indefinite_correlations(estimate))
    for g in range(len(estimate.problem.blocks)):
        out.extend(_inadmissible(estimate, g))
    out.extend(
        Diagnostic(
            "few_respondents",
            "warning",
            where=(block.group,),
            values={"n_obs": block.n_obs, "n_items": block.n_variables},
        )
        for block in estimate.problem.blocks
        if block.cases is not None and block.n_obs <= block.n_variables
    )
    return tuple(out)


def _indefinite_correlations(estimate: Estimate) -> list[Diagnostic]:
    """Tell of polychoric correlations that no sample of continuous responses could have."""
    if not estimate.problem.is_categorical:
        return []
    out = []
    for block in estimate.problem.blocks:
        found = _indefinite(block.covariance)
        if found is not None:
            values = {"group": block.group, "smallest_eigenvalue": found[0]}
            code = "correlations_not_positive_definite"
            out.append(Diagnostic(code, "warning", (block.group,), values))
    return out


def _names(attempts: tuple[Attempt, ...]) -> str:
    return ", ".join(attempt.name for attempt in attempts)


def _identification(estimate: Estimate) -> list[Diagnostic]:
    rows = estimate.problem.table.free_rows()
    null = estimate.inverse.null_vectors
    if null.shape[1]:
        scale = np.abs(null) / np.abs(null).max(axis=0)
        involved = tuple(
            row.name for row, share in zip(rows, scale.max(axis=1), strict=True) if share > 1e-3
        )
        return [
            Diagnostic(
                "not_identified",
                "problem",
                where=involved,
                values={"parameters": ", ".join(involved), "n_directions": null.shape[1]},
            )
        ]
    if not estimate.inverse.is_positive:
        return [Diagnostic("information_not_positive_definite", "problem")]
    return []


def _value(estimate: Estimate, row: Row) -> float:
    if row.free:
        return float(estimate.theta[row.free - 1])
    if row.lhs in estimate.options.ordered:
        return _left_over(estimate, row)
    fixed = estimate.problem.fixed_values.get(row.plabel)
    return fixed if fixed is not None else float(row.ustart or 0.0)


def _left_over(estimate: Estimate, row: Row) -> float:
    """Residual variance of an ordered item, filled in where it is no parameter."""
    layout = estimate.problem.slots[row.group - 1].layout
    matrices = estimate.locals_[row.group - 1].state.matrices
    if row.lhs in layout.factors:
        place = layout.factors.index(row.lhs)
        return float(matrices["psi"][place, place])
    place = layout.observed.index(row.lhs)
    return float(matrices["theta"][place, place])


def _inadmissible(estimate: Estimate, g: int) -> list[Diagnostic]:
    out = []
    table, state = estimate.problem.table, estimate.locals_[g].state
    group = estimate.problem.blocks[g].group
    latents = table.latents[g]
    negative = [
        (row.lhs, _value(estimate, row))
        for row in table.rows
        if row.group == g + 1
        and row.op == "~~"
        and row.lhs == row.rhs
        and (row.free or row.lhs in estimate.options.ordered)
        and _value(estimate, row) < 0
    ]
    if negative:
        out.append(
            Diagnostic(
                "negative_variance",
                "problem",
                where=tuple(name for name, _ in negative),
                values={
                    "group": group,
                    "variables": ", ".join(f"{name} ({value:.3f})" for name, value in negative),
                    "smallest": min(value for _, value in negative),
                },
            )
        )
    m = len(latents)
    found = _indefinite(state.phi[:m, :m]) if m > 1 else None
    if found is not None:
        smallest, direction, correlation = found
        involved = [i for i in np.argsort(-np.abs(direction)) if abs(direction[i]) > 0.1]
        pairs = sorted(
            (
                (latents[i], latents[j], float(correlation[i, j]))
                for i in range(m)
                for j in range(i)
            ),
            key=lambda pair: -abs(pair[2]),
        )[:3]
        out.append(
            Diagnostic(
                "latent_covariance_not_positive_definite",
                "problem",
                where=tuple(latents[i] for i in involved),
                values={
                    "group": group,
                    "variables": ", ".join(latents[i] for i in involved),
                    "smallest_eigenvalue": smallest,
                    "pairs": ", ".join(f"{b}-{a} {r:.3f}" for a, b, r in pairs),
                },
            )
        )
    theta = state.matrices["theta"]
    # Residuals of auxiliary variables carry all that the factors share with them.
    helpers = set(estimate.problem.auxiliary)
    measured = [
        j for j in range(theta.shape[0]) if theta[j].any() and table.observed[g][j] not in helpers
    ]
    if measured and not negative:
        found = _indefinite(theta[np.ix_(measured, measured)])
        if found is not None:
            smallest, direction, _ = found
            names = [
                table.observed[g][measured[i]]
                for i in np.argsort(-np.abs(direction))
                if abs(direction[i]) > 0.1
            ]
            out.append(
                Diagnostic(
                    "residual_covariance_not_positive_definite",
                    "problem",
                    where=tuple(names),
                    values={
                        "group": group,
                        "variables": ", ".join(names),
                        "smallest_eigenvalue": smallest,
                    },
                )
            )
    return out


def _indefinite(covariance: Array) -> tuple[float, Array, Array] | None:
    """Smallest eigenvalue of the correlations, its direction, the correlations; None if fine."""
    variance = np.diag(covariance)
    scale = np.sqrt(np.maximum(np.abs(variance), 1e-12))
    correlation = covariance / np.outer(scale, scale)
    if factorise(correlation - _SMALLEST * np.eye(len(correlation)), 0.0) is not None:
        return None
    values, vectors = np.linalg.eigh(correlation)
    return float(values[0]), vectors[:, 0], correlation
