r"""Fit of a model for ordered answers: robust indices, residuals and their standard errors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sqvalid.errors import UnsupportedError
from sqvalid.latent.categorical import OrdinalTarget, statistic_jacobian
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.fit_indices import CompleteDataFit
from sqvalid.latent.fit_statistics import group_ordinal_spread
from sqvalid.latent.implied import Array, factorise
from sqvalid.latent.inference import constrained_inverse
from sqvalid.latent.residual_averages import GroupMoments
from sqvalid.latent.residual_summary import NAMES, root_mean_square
from sqvalid.latent.residuals import NO_RESIDUAL, NO_VARIANCE, Residuals
from sqvalid.latent.robust import DiagonalSpread, MomentSpread
from sqvalid.latent.syntax.trees import names


def _target(estimate: Estimate, g: int) -> OrdinalTarget:
    found = estimate.problem.objective.targets[g].ordinal
    assert found is not None
    return found


def ordered_moments(estimate: Estimate, g: int) -> GroupMoments:
    """Sample and implied correlations and thresholds of a group, given covariates left out."""
    problem, target = estimate.problem, _target(estimate, g)
    local, plan = estimate.locals_[g].ordinal, target.plan
    assert local is not None
    keep = np.setdiff1d(np.arange(problem.blocks[g].n_variables), plan.given)
    covariance = problem.blocks[g].covariance
    if len(covariance) > len(keep):
        covariance = covariance[np.ix_(keep, keep)]
    # Minus means of numeric variables stand among the thresholds and are none.
    cuts = np.flatnonzero(plan.tau >= 0)
    return GroupMoments(
        n_obs=problem.blocks[g].total_weight,
        covariance=covariance,
        implied_covariance=local.covariance[np.ix_(keep, keep)],
        thresholds=target.values[cuts],
        implied_thresholds=local.values[cuts],
        n_given=len(plan.given),
    )


def classic_gfi(estimate: Estimate) -> float:
    r"""Weighted share of the statistics that the model reproduces, averaged over groups.

    .. math:: 1 - (s - \sigma)' W (s - \sigma) / s' W s

    References
    ----------
    Joreskog & Sorbom (1982); Tanaka & Huba (1985).
    """
    total = value = 0.0
    for g, local in enumerate(estimate.locals_):
        target, here = _target(estimate, g), local.ordinal
        assert here is not None
        n = estimate.problem.blocks[g].total_weight
        residual = target.values - here.values
        left = float(residual @ here.weighted_residual)
        value += n * (1.0 - left / float(target.values @ target.weighted(target.values)))
        total += n
    return value / total


def weighted_root_mean_square(estimate: Estimate) -> float:
    """Weighted root mean square residual: the root of chi-square over the statistics of a group.

    References
    ----------
    Muthen & Muthen (1998-2017), Mplus technical appendices; Yu (2002).
    """
    size = _target(estimate, 0).plan.size
    return float(np.sqrt(max(estimate.chisq, 0.0) / size))


def _as_matrices(target: OrdinalTarget, rows: Array, p: int) -> Array:
    """Symmetric matrices (k, p, p) with a zero diagonal, from rows of correlations (k, c)."""
    out = np.zeros((len(rows), p, p))
    out[:, target.plan.first, target.plan.second] = rows
    out[:, target.plan.second, target.plan.first] = rows
    return out


def _weighted_gamma(target: OrdinalTarget, inverse: Array) -> float:
    """tr(V Gamma) over the correlations; V is the form tr(W E W E) / 2 in such matrices E."""
    block, start = target.block, len(target.plan.owner)
    influence = block.influence
    if influence is not None and influence.shape[0] < influence.shape[1]:
        turned = inverse @ _as_matrices(target, influence[:, start:], len(inverse))
        return 0.5 * block.total_weight * float(np.einsum("nij,nji->", turned, turned))
    first, second = target.plan.first, target.plan.second
    weight = inverse[np.ix_(first, first)] * inverse[np.ix_(second, second)]
    weight += inverse[np.ix_(first, second)] * inverse[np.ix_(second, first)]
    return float(np.sum(weight * target.gamma[start:, start:]))


def estimate_spreads(estimate: Estimate) -> list[DiagonalSpread | MomentSpread]:
    """How the statistics of every group vary, under the estimator's weights."""
    objective = estimate.problem.objective
    return [
        group_ordinal_spread(slots, target, local, objective.n_free)
        for slots, target, local in zip(
            objective.slots, objective.targets, estimate.locals_, strict=True
        )
    ]


def residual_makers(estimate: Estimate) -> list[list[Array]]:
    r"""Matrices that turn sampling errors of the statistics into residuals.

    Residuals are :math:`e_g = \sum_h Q_{gh} (s_h - \sigma_h)` with
    :math:`Q_{gh} = \delta_{gh} I - \Delta_g (\Delta'W\Delta)^{-1} w_h \Delta_h' W_h`.
    """
    objective = estimate.problem.objective
    bread = constrained_inverse(objective.expected(estimate.locals_), estimate.tangent).matrix
    jacobians, steps = [], []
    for slots, group, local in zip(
        objective.slots, objective.targets, estimate.locals_, strict=True
    ):
        assert group.ordinal is not None
        jacobian = np.zeros((group.ordinal.plan.size, objective.n_free))
        jacobian[:, slots.target] = statistic_jacobian(slots, local)
        jacobians.append(jacobian)
        steps.append(group.weight * (bread @ group.ordinal.weighted(jacobian).T))
    makers = []
    for g, jacobian in enumerate(jacobians):
        row = [-jacobian @ step for step in steps]
        row[g] = row[g] + np.eye(len(jacobian))
        makers.append(row)
    return makers


def residual_covariances(estimate: Estimate) -> list[Array]:
    """Asymptotic covariances of the residuals of every group, divided by the respondents."""
    blocks = estimate.problem.blocks
    return [
        sum(
            (
                maker @ (_target(estimate, h).gamma / blocks[h].n_obs) @ maker.T
                for h, maker in enumerate(row)
            ),
            np.zeros((len(row[0]), len(row[0]))),
        )
        for row in residual_makers(estimate)
    ]


NOWHERE = CompleteDataFit(*[float("nan")] * 4)


def robust_inputs(estimate: Estimate) -> CompleteDataFit:
    r"""What robust indices are computed from: maximum likelihood's discrepancy of correlations.

    N times the normal-theory discrepancy between polychoric and implied correlations, and its
    expectation under the model, :math:`tr(V\,Q\Gamma Q')` over the correlations with
    normal-theory weights V and Q from :func:`residual_makers`, over the degrees of freedom.

    Returns
    -------
    CompleteDataFit
        NaN where some variable is numeric, covariates are given, thresholds are restricted (the
        correlations are then not all of the model), or a matrix of correlations is not positive
        definite.

    References
    ----------
    Savalei (2021), Multivariate Behavioral Research 56.
    """
    problem = estimate.problem
    if (
        problem.joint_slots is not None
        or not estimate.solution.converged
        or _restricts_thresholds(estimate)
    ):
        return NOWHERE
    bread = constrained_inverse(
        problem.objective.expected(estimate.locals_), estimate.tangent
    ).matrix
    groups = estimate_spreads(estimate)
    # Sampling covariance of the free parameters, N of all groups not yet divided by.
    middle = bread @ sum(
        group.share**2 / block.n_obs * group.meat()
        for group, block in zip(groups, problem.blocks, strict=True)
    )
    middle = middle @ bread
    chisq = trace = base_chisq = base_trace = 0.0
    base_df = 0
    for block, local, group in zip(problem.blocks, estimate.locals_, groups, strict=True):
        here = local.ordinal
        assert here is not None
        target = here.target
        if len(target.plan.numeric):
            return NOWHERE
        sample, implied = block.covariance, here.covariance
        if factorise(sample, 1e-10) is None or factorise(implied, 1e-10) is None:
            return NOWHERE
        log_sample = float(np.linalg.slogdet(sample)[1])
        ratio = float(np.trace(np.linalg.solve(implied, sample)))
        log_implied = float(np.linalg.slogdet(implied)[1])
        # lavaan 0.7 counts one respondent less here.
        n = block.n_obs - 1
        chisq += n * (log_implied + ratio - log_sample - len(sample))
        base_chisq -= n * log_sample
        start = len(target.plan.owner)
        inverse = np.asarray(np.linalg.solve(implied, np.eye(len(implied))), np.float64)
        # Only what moves correlations counts: thresholds do not.
        moving = np.flatnonzero(group.jacobian[start:].any(axis=0))
        jacobian = group.jacobian[start:, moving]
        turned = inverse @ _as_matrices(target, jacobian.T, len(implied)) @ inverse
        weighted = turned[:, target.plan.first, target.plan.second].T
        noise = _weighted_gamma(target, inverse)
        through = weighted.T @ group.through[start:]
        noise -= 2.0 * group.share * float(np.sum(through * bread[moving]))
        trace += n * noise / block.n_obs
        trace += n * float(np.sum((weighted.T @ jacobian) * middle[np.ix_(moving, moving)]))
        # Of independent variables every correlation has the weight one.
        base_trace += n / block.n_obs * float(target.gamma_diagonal[start:].sum())
        base_df += len(target.plan.first)
    df = problem.df
    scaling = trace / df if df > 0 else float("nan")
    return CompleteDataFit(chisq, scaling, base_chisq, base_trace / base_df)


def _restricts_thresholds(estimate: Estimate) -> bool:
    """Whether thresholds are anything but free, one by one, of responses with known units."""
    table = estimate.problem.table
    ordered = set(estimate.options.ordered)
    tied = {
        name
        for item in table.constraints
        for side in (item.left, item.right)
        for name in names(side)
    }
    for row in table.rows:
        if row.op == "|" and (not row.free or {row.label, row.plabel} & tied):
            return True
        if row.lhs in ordered and row.free and row.op in ("~1", "~*~"):
            return True
        if row.lhs in ordered and row.lhs == row.rhs and row.op == "~~" and row.free:
            return True
        if row.op == "~1" and row.free:
            return True
    return False


def ordinal_summary(estimate: Estimate, kind: str) -> dict[str, dict[str, float]]:
    """Root mean square residual with its inference: of correlations, of thresholds, of all.

    Parameters
    ----------
    kind : {"raw", "cor", "cor.bentler"}
    """
    residuals, cuts = ordinal_residuals(estimate, kind)[0]
    target = _target(estimate, 0)
    plan = target.plan
    if len(plan.numeric) or len(plan.given):
        raise UnsupportedError(
            "Summaries of residuals are not available for ordered beside numeric variables."
        )
    covariance = residual_covariances(estimate)[0].copy()
    # What the model reproduces whatever the data has rounding for a variance.
    known = np.diag(covariance) < NO_VARIANCE * target.gamma_diagonal / estimate.problem.multiplier
    covariance[known] = covariance[:, known] = 0.0
    matrix = residuals.covariance
    lower = matrix[plan.first, plan.second]
    t = len(plan.owner)
    # The diagonal of correlations is reproduced by definition; Bollen's average leaves it out.
    count = len(lower) + (0 if kind == "cor" else len(matrix))
    parts = {
        "cor": root_mean_square(lower, covariance[t:, t:], count=count),
        "thresholds": root_mean_square(cuts, covariance[:t, :t], count=t),
        "total": root_mean_square(np.concatenate([cuts, lower]), covariance, count=count + t),
    }
    return {part: value.to_dict(NAMES[kind]) for part, value in parts.items()}


def ordinal_residuals(estimate: Estimate, kind: str) -> list[tuple[Residuals, Array]]:
    """Residuals of every group: of correlations, and of thresholds and minus means.

    Parameters
    ----------
    kind : {"raw", "cor", "cor.bentler", "normalized", "standardized"}
        Correlations are in a correlation metric already; covariances and means of numeric
        variables are divided by standard deviations in the metrics of correlations.
    """
    spreads = residual_covariances(estimate) if kind == "standardized" else None
    out = []
    for g, local in enumerate(estimate.locals_):
        target, here = _target(estimate, g), local.ordinal
        assert here is not None
        plan, n = target.plan, estimate.problem.blocks[g].n_obs
        values = target.values - here.values
        if kind in ("normalized", "standardized"):
            moments = target.gamma_diagonal / n
            variance = moments if spreads is None else np.diag(spreads[g])
            defined = variance > NO_VARIANCE * moments
            z = np.where(np.abs(values) <= NO_RESIDUAL * np.sqrt(n * moments), 0.0, np.nan)
            z[defined] = values[defined] / np.sqrt(variance[defined])
            values = z
        elif kind != "raw":
            values = _in_correlations(values, target, here.covariance, kind)
        p = len(here.covariance)
        matrix = np.zeros((p, p))
        start = plan.covariance_start
        middle = start + len(plan.numeric)
        matrix[plan.numeric, plan.numeric] = values[start:middle]
        matrix[plan.first, plan.second] = matrix[plan.second, plan.first] = values[middle:]
        keep = np.setdiff1d(np.arange(p), plan.given)
        out.append((Residuals(matrix[np.ix_(keep, keep)]), values[: len(plan.owner)]))
    return out


def _in_correlations(values: Array, target: OrdinalTarget, implied: Array, kind: str) -> Array:
    """Residuals in units of standard deviations: the sample's, or each matrix by its own."""
    plan = target.plan
    out = values.copy()
    start = plan.covariance_start
    middle = start + len(plan.numeric)
    sd, own = np.ones(len(implied)), np.ones(len(implied))
    sd[plan.numeric] = np.sqrt(target.values[start:middle])
    own[plan.numeric] = np.sqrt(np.diag(implied)[plan.numeric])
    out[: len(plan.owner)] /= sd[plan.owner]
    if kind == "cor":
        out[start:middle] = 0.0
        sample = target.values[middle:] / (sd[plan.first] * sd[plan.second])
        model = implied[plan.first, plan.second] / (own[plan.first] * own[plan.second])
        out[middle:] = sample - model
    else:
        out[start:middle] /= sd[plan.numeric] ** 2
        out[middle:] /= sd[plan.first] * sd[plan.second]
    return out


def numeric_means(estimate: Estimate, g: int, values: Array) -> pd.Series:
    """Residual means of a group, from those of thresholds and minus means; 0 for ordered items."""
    target = _target(estimate, g)
    observed = target.block.variables
    given = set(target.block.conditional)
    out = pd.Series(0.0, index=[name for name in observed if name not in given])
    for place, tau, value in zip(target.plan.owner, target.plan.tau, values, strict=False):
        if tau < 0:
            out[observed[place]] = -value
    return out


def threshold_series(estimate: Estimate, g: int, values: Array) -> pd.Series:
    """Thresholds of a group by name, ``item|t1``, from statistics that begin with them."""
    plan = _target(estimate, g).plan
    count: dict[str, int] = {}
    labels = []
    for name in estimate.problem.slots[g].layout.thresholds:
        count[name] = count.get(name, 0) + 1
        labels.append(f"{name}|t{count[name]}")
    cuts = np.full(len(labels), np.nan)
    keep = np.flatnonzero(plan.tau >= 0)
    cuts[plan.tau[keep]] = values[keep]
    return pd.Series(cuts, index=labels)
