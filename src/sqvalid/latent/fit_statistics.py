"""Tests of fit: the standard statistic, its corrections, residual statistics, the baseline.

One function per family; :func:`run_tests` runs what the options ask for, on the model and on
the independence model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from sqvalid.latent import fourth_moments, full_information, inference, moment_weights, robust
from sqvalid.latent.categorical import OrdinalTarget, statistic_jacobian
from sqvalid.latent.constraints import unconstrained
from sqvalid.latent.discrepancy import (
    Local,
    MaximumLikelihood,
    Objective,
    Target,
    gather_expected,
)
from sqvalid.latent.implied import Array, Layout, Place, Slots, empty_matrices, make_slots, put
from sqvalid.latent.inference import InformationKind
from sqvalid.latent.least_squares import half_vector, stacked_jacobian
from sqvalid.latent.optimiser import minimise
from sqvalid.latent.options import SANDWICHES, FitOptions
from sqvalid.latent.problem import Problem, equality_rank
from sqvalid.latent.reference_models import baseline_df, baseline_half_f
from sqvalid.latent.robust import ScaledStatistic
from sqvalid.latent.sampling import refuse_incomplete
from sqvalid.moments.patterns import available_moments, saturated_information

_MAXIMUM_LIKELIHOOD = MaximumLikelihood()
# Statistics that correct the standard one, and so exist for the baseline too.
SCALED = (
    "satorra.bentler",
    "mean.var.adjusted",
    "scaled.shifted",
    "yuan.bentler",
    "yuan.bentler.mplus",
)
RESIDUAL = (
    "browne.residual.nt",
    "browne.residual.nt.model",
    "browne.residual.adf",
    "browne.residual.adf.model",
)


@dataclass(frozen=True, eq=False)
class View:
    """A set of estimates as the tests see it: the model's, or the baseline's.

    Parameters
    ----------
    objective : Objective
    locals_ : tuple of Local
    inverse : ndarray, shape (q, q)
        Inverse information with the weights of the estimator.
    tangent : ndarray, shape (q, d)
    chisq : float
    df : int
    """

    objective: Objective
    locals_: tuple[Local, ...]
    inverse: Array
    tangent: Array
    chisq: float
    df: int


@dataclass(frozen=True, eq=False)
class FitTests:
    """Test statistics of a fit.

    Parameters
    ----------
    statistics : mapping of str to ScaledStatistic
        What was asked for, by lavaan's names; the standard one first.
    baseline : mapping of str to ScaledStatistic
        The same for the independence model.
    scaling_h0, scaling_h1 : float, optional
        Scaling factors of the two log-likelihoods (Yuan-Bentler tests).
    residual_model : float
        Browne's residual statistic with model-based normal-theory weights.
    """

    statistics: Mapping[str, ScaledStatistic]
    baseline: Mapping[str, ScaledStatistic]
    scaling_h0: float | None
    scaling_h1: float | None
    residual_model: float


def deviations(problem: Problem, g: int) -> Array:
    """Answers of a group less their means."""
    block = problem.blocks[g]
    refuse_incomplete([block], "Fourth moments are")
    assert block.cases is not None
    return np.asarray(block.cases - block.cases.mean(axis=0))


def moment_weight(problem: Problem, options: FitOptions, g: int, local: Local) -> robust.Weight:
    """Weights V of a group's moments that the estimator implies."""
    target = problem.objective.targets[g]
    match options.discrepancy:
        case "ULS":
            return robust.Weight("identity")
        case "WLS" | "DWLS":
            return robust.Weight("dense", target.weights)
        case "GLS":
            return robust.Weight("normal", target.inverse)
    if options.h1_information == "unstructured":
        inverse = np.asarray(np.linalg.solve(target.covariance, np.eye(len(target.covariance))))
        return robust.Weight("normal", inverse)
    return robust.Weight("normal", local.sigma_inverse)


def spreads(problem: Problem, options: FitOptions, view: View) -> list[robust.Spread]:
    """How the moments of every group vary, under the estimator's weights."""
    out: list[robust.Spread] = []
    for g, (slots, target, local) in enumerate(
        zip(view.objective.slots, view.objective.targets, view.locals_, strict=True)
    ):
        if target.ordinal is not None:
            out.append(group_ordinal_spread(slots, target, local, view.objective.n_free))
            continue
        weight = moment_weight(problem, options, g, local)
        block = problem.blocks[g]
        gamma = block.gamma
        with_means = target.means is not None
        if fourth_moments.has_only_gamma(block):
            fixed = problem.fixed_index(g)
            gamma = fourth_moments.gamma_of(block, with_means=with_means, fixed=fixed)
        if gamma is None:
            spread: robust.Spread = robust.group_spread(
                slots,
                local.state,
                weight,
                deviations(problem, g),
                n_free=view.objective.n_free,
                share=target.weight,
                fixed=problem.fixed_index(g),
            )
        else:
            jacobian = np.zeros((len(gamma), view.objective.n_free))
            jacobian[:, slots.target] = stacked_jacobian(slots, local.state, with_means=with_means)
            dense = weight.dense(len(target.covariance), with_means=with_means)
            spread = robust.MomentSpread(gamma, dense, jacobian, target.weight)
        out.append(spread)
    return out


def group_ordinal_spread(
    slots: Slots, target: Target, local: Local, n_free: int
) -> robust.DiagonalSpread | robust.MomentSpread:
    """How a group's statistics of ordered answers vary; made once per set of estimates."""
    here = local.ordinal
    assert here is not None
    known = here.spreads
    key = (id(slots), n_free)
    if key not in known:
        jacobian = np.zeros((here.target.plan.size, n_free))
        jacobian[:, slots.target] = statistic_jacobian(slots, local)
        block, weights = here.target.block, here.target.weights
        known[key] = (
            robust.DiagonalSpread(block, weights, jacobian, target.weight)
            if weights.ndim == 1
            else robust.MomentSpread(here.target.gamma, weights, jacobian, target.weight)
        )
    found: robust.DiagonalSpread | robust.MomentSpread = known[key]
    return found


def weighted_information(problem: Problem, options: FitOptions, view: View) -> Array:
    """Delta' V Delta with the weights of robust standard errors and tests, shape (q, q)."""
    if options.discrepancy != "ML" or options.h1_information == "structured":
        return view.objective.expected(view.locals_)
    out = np.zeros((view.objective.n_free,) * 2)
    for g, (slots, target, local) in enumerate(
        zip(view.objective.slots, view.objective.targets, view.locals_, strict=True)
    ):
        inverse = moment_weight(problem, options, g, local).matrix
        assert inverse is not None
        c = local.state.c
        part = gather_expected(slots, c.T @ inverse @ c, local.t)
        out[np.ix_(slots.target, slots.target)] += target.weight * part
    return out


def incomplete_meat(problem: Problem, locals_: Sequence[Local]) -> Array:
    """Delta' V Gamma V Delta where answers are missing.

    V is the expected information of the moments given who answered what, Gamma the sandwich
    covariance of the saturated moments.
    """
    objective = problem.objective
    out = np.zeros((objective.n_free,) * 2)
    for g, (slots, target, local, block) in enumerate(
        zip(objective.slots, objective.targets, locals_, problem.blocks, strict=True)
    ):
        assert local.products is not None
        weight = saturated_information(local.products, observed=False)
        jacobian = weight @ stacked_jacobian(slots, local.state, with_means=True)
        gamma = full_information.saturated_covariance(
            block, fixed=tuple(problem.fixed_index(g)), robust=True
        )
        part = jacobian.T @ (gamma * block.total_weight) @ jacobian
        out[np.ix_(slots.target, slots.target)] += target.weight * part
    return out


def normal_theory_meat(problem: Problem, options: FitOptions, view: View) -> Array:
    """Delta' V Gamma V Delta with Gamma as under normality at the sample moments."""
    out = np.zeros((view.objective.n_free,) * 2)
    for g, (slots, target, local) in enumerate(
        zip(view.objective.slots, view.objective.targets, view.locals_, strict=True)
    ):
        with_means = target.means is not None
        weight = moment_weight(problem, options, g, local)
        dense = weight.dense(len(target.covariance), with_means=with_means)
        jacobian = dense @ stacked_jacobian(slots, local.state, with_means=with_means)
        gamma = moment_weights.normal_gamma(target.covariance, means=with_means)
        out[np.ix_(slots.target, slots.target)] += target.weight * (jacobian.T @ gamma @ jacobian)
    return out


def _correct(
    name: str, view: View, groups: Sequence[robust.Spread], inverse: Array, meat: Array
) -> ScaledStatistic:
    traces = robust.u_gamma_traces(
        groups, inverse, meat, second=name in ("mean.var.adjusted", "scaled.shifted")
    )
    return _corrected(name, view, traces)


def _corrected(name: str, view: View, traces: robust.Traces) -> ScaledStatistic:
    match name:
        case "mean.var.adjusted":
            return robust.mean_variance_adjusted(view.chisq, view.df, traces)
        case "scaled.shifted":
            return robust.scaled_shifted(view.chisq, view.df, traces)
    return robust.satorra_bentler(view.chisq, view.df, traces)


def _scaled(problem: Problem, options: FitOptions, view: View) -> dict[str, ScaledStatistic]:
    wanted = [t for t in options.tests if t in SCALED and t != "yuan.bentler.mplus"]
    if not wanted:
        return {}
    groups = spreads(problem, options, view)
    information = weighted_information(problem, options, view)
    inverse = inference.constrained_inverse(information, view.tangent).matrix
    meat = robust.meat_matrix(groups)
    return {name: _correct(name, view, groups, inverse, meat) for name in wanted}


def residual_statistic(
    name: str, problem: Problem, view: View, *, normal_theory_locals: Sequence[Local]
) -> float:
    r"""Browne's residual statistics.

    .. math:: N\,[e'Ve - e'V\Delta(\Delta'V\Delta)^{-1}\Delta'Ve]

    with e the residual moments. V is the inverse of their normal-theory covariance at the
    sample moments (``nt``) or at the estimates (``nt.model``), or of Gamma from fourth moments
    about the sample moments (``adf``) or the implied ones (``adf.model``).

    References
    ----------
    Browne (1984).
    """
    quadratic = 0.0
    q = view.objective.n_free
    gradient, information = np.zeros(q), np.zeros((q, q))
    for g, (slots, target, local) in enumerate(
        zip(view.objective.slots, view.objective.targets, normal_theory_locals, strict=True)
    ):
        residual = target.covariance - local.state.sigma
        gap = None if target.means is None else target.means - local.state.mu
        if name.startswith("browne.residual.nt"):
            inverse = local.sigma_inverse
            if name == "browne.residual.nt":
                inverse = np.asarray(np.linalg.solve(target.covariance, np.eye(len(residual))))
            weighted = inverse @ residual
            part = 0.5 * float(np.sum(weighted * weighted.T))
            wc = inverse @ local.state.c
            slope = slots.s * (wc.T @ residual @ wc)[slots.a, slots.b]
            if gap is not None:
                part += float(gap @ inverse @ gap)
                slope = slope + local.t * (gap @ wc)[slots.a]
            bread = gather_expected(slots, local.state.c.T @ wc, local.t)
        else:
            part, slope, bread = _adf_parts(name, problem, g, slots, local, residual, gap)
        quadratic += target.weight * part
        gradient[slots.target] += target.weight * slope
        information[np.ix_(slots.target, slots.target)] += target.weight * bread
    inverse = inference.constrained_inverse(information, view.tangent).matrix
    if np.isnan(inverse).any():
        return float("nan")
    return problem.multiplier * (quadratic - float(gradient @ inverse @ gradient))


def _adf_parts(
    name: str,
    problem: Problem,
    g: int,
    slots: Slots,
    local: Local,
    residual: Array,
    gap: Array | None,
) -> tuple[float, Array, Array]:
    block = problem.blocks[g]
    if fourth_moments.has_only_gamma(block):
        gamma = fourth_moments.gamma_of(block, with_means=gap is not None)
    else:
        gamma = robust.case_moments(deviations(problem, g), with_means=gap is not None).gamma()
    vector = half_vector(residual)
    if gap is not None:
        vector = np.concatenate([gap, vector])
    if name == "browne.residual.adf.model":
        gamma = gamma + np.outer(vector, vector)
    jacobian = stacked_jacobian(slots, local.state, with_means=gap is not None)
    solved = np.linalg.solve(gamma, np.column_stack([vector, jacobian]))
    return (
        float(vector @ solved[:, 0]),
        np.asarray(jacobian.T @ solved[:, 0]),
        np.asarray(jacobian.T @ solved[:, 1:]),
    )


def normal_theory_locals(view: View) -> list[Local]:
    """Local matrices with normal-theory weights, whatever the estimator."""
    theta = view_theta(view)
    out = []
    for slots, target, local in zip(
        view.objective.slots, view.objective.targets, view.locals_, strict=True
    ):
        if local.sigma_inverse.size:
            out.append(local)
            continue
        made = _MAXIMUM_LIKELIHOOD.local(slots, target, theta)
        if made is None:
            return []
        out.append(made)
    return out


def view_theta(view: View) -> Array:
    """Free parameters, read back from the matrices."""
    theta = np.zeros(view.objective.n_free)
    for slots, local in zip(view.objective.slots, view.locals_, strict=True):
        for matrix, chosen, rows, columns in slots.by_matrix:
            values = local.state.matrices[matrix]
            theta[slots.target[chosen]] = (
                values[rows] if values.ndim == 1 else values[rows, columns]
            )
    return theta


def baseline_view(problem: Problem) -> View:
    """Estimates of the independence model with the estimator of the model.

    Variances (and means) of what is not an exogenous covariate are free; covariates keep
    their moments.
    """
    slots_list = []
    count = 0
    start: list[float] = []
    df = 0
    for g, (block, target) in enumerate(
        zip(problem.blocks, problem.objective.targets, strict=True)
    ):
        exogenous = problem.exogenous_index(g)
        fixed = set(problem.fixed_index(g))
        layout = Layout(block.variables, (), 0)
        base = empty_matrices(layout)
        places, values = [], []
        helpers = {j for j, name in enumerate(block.variables) if name in problem.auxiliary}
        # What stands alone has the moments of those who answered it.
        alone = set() if helpers else set(range(block.n_variables)) - set(exogenous)
        own = None if target.patterns is None else available_moments(target.patterns)
        for j in range(block.n_variables):
            for i in range(j + 1):
                if i != j and not (i in exogenous and j in exogenous) and not {i, j} & helpers:
                    df += 1
                    continue
                place, value = Place("theta", j, i), float(target.covariance[j, i])
                if own is not None and j in alone:
                    value = float(own[1][j])
                if i in fixed and j in fixed:
                    put(base, place, value)
                else:
                    places.append(place)
                    values.append(value)
        if target.means is not None:
            for j, mean in enumerate(target.means.tolist()):
                if own is not None and j in alone:
                    mean = float(own[0][j])
                if j in fixed:
                    base["nu"][j] = mean
                else:
                    places.append(Place("nu", j, 0))
                    values.append(mean)
        slots_list.append(
            make_slots(
                layout, base, places, range(count, count + len(places)), target.means is not None
            )
        )
        start.extend(values)
        count += len(places)
        df -= full_information.n_undetermined(block)
    objective = Objective(
        problem.objective.estimator, tuple(slots_list), problem.objective.targets, count
    )
    theta = np.array(start)
    locals_ = objective.locals(theta)
    assert locals_ is not None
    if problem.is_incomplete or problem.auxiliary:
        found = minimise(objective, unconstrained(count), theta)
        if found.locals_ is not None:
            locals_ = found.locals_
    elif not problem.is_likelihood:
        # The model is linear in its parameters, so that one Newton step is the solution.
        theta = theta - np.linalg.solve(objective.hessian(locals_), objective.gradient(locals_))
        locals_ = objective.locals(theta)
        assert locals_ is not None
    inverse = inference.constrained_inverse(objective.expected(locals_), np.eye(count)).matrix
    chisq = 2.0 * problem.multiplier * objective.value_at(locals_)
    return View(objective, tuple(locals_), inverse, np.eye(count), chisq, df)


def _plain(stat: float, df: float) -> ScaledStatistic:
    return ScaledStatistic(stat, df, 1.0, 0.0, 1.0)


def _quick_baseline(problem: Problem) -> ScaledStatistic:
    """Chi-square of the independence model under maximum likelihood, in closed form."""
    half_f, df = 0.0, 0
    for g, (block, target) in enumerate(
        zip(problem.blocks, problem.objective.targets, strict=True)
    ):
        exogenous = problem.exogenous_index(g)
        half_f += target.weight * baseline_half_f(target.covariance, exogenous)
        df += baseline_df(block.n_variables, len(exogenous))
    return _plain(2.0 * problem.multiplier * half_f, df)


def _own_trace(view: View, problem: Problem, options: FitOptions) -> float:
    """Trace of the inverse information times the scores' spread, at a set of estimates."""
    kind: InformationKind = options.information if _is_asked_for(options) else "observed"  # type: ignore[assignment]
    given = (view.objective, view.locals_, problem.blocks, options.h1_information)
    spread = inference.information_matrix("first.order", *given)
    information = inference.information_matrix(kind, *given)
    bread = inference.constrained_inverse(information, view.tangent).matrix
    return inference.score_trace(bread, spread)


def _is_asked_for(options: FitOptions) -> bool:
    """Whether the information is the one for the test as well.

    Robust standard errors have the observed one unless another is asked for; otherwise it is
    that of the standard errors only, as in lavaan.
    """
    return options.information == "observed" or options.se in SANDWICHES


@dataclass(frozen=True)
class _YuanBentler:
    model: ScaledStatistic
    baseline: ScaledStatistic
    h0: float
    h1: float


def _yuan_bentler_mplus(
    problem: Problem,
    options: FitOptions,
    view: View,
    baseline: ScaledStatistic,
    first_order: Array,
    observed: Array,
    base_view: View | None,
) -> _YuanBentler:
    """Yuan & Bentler (2000) in the form of Mplus: traces of the two models' own scores."""
    means = options.meanstructure
    trace_h1 = trace_b = 0.0
    if problem.is_incomplete:
        assert base_view is not None
        trace_h1 = sum(
            full_information.saturated_trace(
                block,
                fixed=tuple(problem.fixed_index(g)),
                information=options.information,
            )
            for g, block in enumerate(problem.blocks)
        )
        trace_b = _own_trace(base_view, problem, options)
    elif base_view is not None:
        trace_h1 = sum(
            inference.saturated_trace(block, with_means=means, fixed=problem.fixed_index(g))
            for g, block in enumerate(problem.blocks)
        )
        trace_b = _own_trace(base_view, problem, options)
    for g, block in enumerate(problem.blocks if base_view is None else ()):
        fixed, exogenous = problem.fixed_index(g), problem.exogenous_index(g)
        trace_h1 += inference.saturated_trace(block, with_means=means, fixed=fixed)
        trace_b += inference.independence_trace(block, with_means=means, fixed=exogenous)
        if exogenous and not fixed:
            part = block.select([block.variables[j] for j in exogenous])
            trace_b += inference.saturated_trace(part, with_means=means)
    trace_h0 = inference.score_trace(observed, first_order)
    n_free = problem.table.n_free
    rank = equality_rank(problem.constraints, problem.table, problem.blocks)
    df, base_df = view.df, int(baseline.df)
    # Difference tests need a factor that is not positive as it is.
    factor = (trace_h1 - trace_h0) / df if df > 0 else float("nan")
    base_factor = _positive((trace_h1 - trace_b) / base_df) if base_df > 0 else float("nan")
    return _YuanBentler(
        ScaledStatistic(
            view.chisq / _positive(factor) if df > 0 else view.chisq, df, factor, 0.0, factor
        ),
        ScaledStatistic(baseline.stat / base_factor, base_df, base_factor, 0.0, base_factor),
        # lavaan's: per free row of the table, whatever equality constraints there are.
        trace_h0 / n_free if n_free else float("nan"),
        trace_h1 / (df + n_free - rank),
    )


def _positive(factor: float) -> float:
    """A scaling factor; NaN for one that is not positive, which divides nothing."""
    return factor if factor > 0 else float("nan")


def run_tests(
    problem: Problem,
    options: FitOptions,
    view: View,
    first_order: Array | None,
) -> FitTests:
    """Run the tests that the options ask for.

    Parameters
    ----------
    first_order : ndarray, shape (q, q), optional
        Mean cross-product of the scores, for Yuan-Bentler tests.
    """
    if problem.is_categorical:
        return _categorical_tests(problem, options, view)
    statistics = {"standard": _plain(view.chisq, view.df)}
    by_formula = {"standard", "yuan.bentler.mplus", "bollen.stine"}
    # Baselines whose estimates or traces have no closed form.
    own_baseline = (
        problem.is_incomplete
        or bool(problem.auxiliary)
        or ("yuan.bentler.mplus" in options.tests and options.h1_information == "unstructured")
    )
    quick = options.discrepancy == "ML" and set(options.tests) <= by_formula and not own_baseline
    base_view = None if quick else baseline_view(problem)
    baseline = {
        "standard": _quick_baseline(problem)
        if base_view is None
        else _plain(base_view.chisq, base_view.df)
    }
    statistics |= _scaled(problem, options, view)
    if base_view is not None:
        baseline |= _scaled(problem, options, base_view)
    h0 = h1 = None
    if "yuan.bentler.mplus" in options.tests:
        assert first_order is not None
        observed = _yuan_bentler_bread(options, view)
        yb = _yuan_bentler_mplus(
            problem,
            options,
            view,
            baseline["standard"],
            first_order,
            observed,
            base_view if own_baseline else None,
        )
        statistics["yuan.bentler.mplus"] = yb.model
        baseline["yuan.bentler.mplus"] = yb.baseline
        h0, h1 = yb.h0, yb.h1
    theory = normal_theory_locals(view)
    for name in options.tests:
        if name in RESIDUAL:
            stat = residual_statistic(name, problem, view, normal_theory_locals=theory)
            statistics[name] = _plain(stat, view.df)
            assert base_view is not None
            base_theory = normal_theory_locals(base_view)
            stat = residual_statistic(name, problem, base_view, normal_theory_locals=base_theory)
            baseline[name] = _plain(stat, base_view.df)
    residual = float("nan")
    if theory:
        residual = residual_statistic(
            "browne.residual.nt.model", problem, view, normal_theory_locals=theory
        )
    return FitTests(MappingProxyType(statistics), MappingProxyType(baseline), h0, h1, residual)


def _categorical_tests(problem: Problem, options: FitOptions, view: View) -> FitTests:
    """Tests of a model for ordered answers.

    The independence model leaves thresholds, slopes, means and variances free, which it then fits
    exactly as far as the weights let it; correlations are zero.
    """
    statistics = {"standard": _plain(view.chisq, view.df)}
    statistics |= _scaled(problem, options, view)
    half_f, df, first, second = 0.0, 0, 0.0, 0.0
    for target in problem.objective.targets:
        found = target.ordinal
        assert found is not None
        df += len(found.plan.first)
        part, traces = _independence(found)
        half_f += target.weight * part
        first, second = first + traces.first, second + traces.second
    base = View(problem.objective, (), np.empty(0), np.empty(0), 0.0, df)
    base = replace(base, chisq=2.0 * problem.multiplier * half_f)
    baseline = {"standard": _plain(base.chisq, df)}
    traces = robust.Traces(first, second)
    baseline |= {name: _corrected(name, base, traces) for name in options.tests if name in SCALED}
    return FitTests(
        MappingProxyType(statistics), MappingProxyType(baseline), None, None, float("nan")
    )


def _independence(target: OrdinalTarget) -> tuple[float, robust.Traces]:
    """F/2 of the independence model of one group, and its traces of U Gamma.

    What is not a correlation is free; with V split into free and fixed statistics the correlations
    are weighed by :math:`V_{cc} - V_{cf}V_{ff}^{-1}V_{fc}`, which is what U is.
    """
    start = target.plan.size - len(target.plan.first)
    rest = target.values[start:]
    block = target.block
    if target.weights.ndim == 1:
        weight = target.weights[start:]
        half_f = 0.5 * float(rest @ (weight * rest))
        influence = block.influence
        if influence is not None and len(influence) < len(weight):
            part = influence[:, start:]
            gram = (part * weight) @ part.T
            second = block.total_weight**2 * float(np.vdot(gram, gram))
        else:
            gamma = target.gamma[start:, start:]
            second = float(weight @ (gamma * gamma) @ weight)
        return half_f, robust.Traces(float(weight @ target.gamma_diagonal[start:]), second)
    across = target.weights[:start, start:]
    schur = target.weights[start:, start:] - across.T @ np.linalg.solve(
        target.weights[:start, :start], across
    )
    product = schur @ target.gamma[start:, start:]
    traces = robust.Traces(float(np.trace(product)), float(np.sum(product * product.T)))
    return 0.5 * float(rest @ schur @ rest), traces


def _yuan_bentler_bread(options: FitOptions, view: View) -> Array:
    """Inverse information that the test is built on.

    The observed one, unless another is asked for or tests with expected weights stand beside it.
    """
    if any(name in SCALED and name != "yuan.bentler.mplus" for name in options.tests):
        return view.inverse
    if _is_asked_for(options):
        return view.inverse
    hessian = view.objective.hessian(view.locals_)
    return inference.constrained_inverse(hessian, view.tangent).matrix
