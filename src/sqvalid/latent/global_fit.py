"""Fit of a whole model: what the fit indices are computed from, and the tests as rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sqvalid.latent import absolute_fit, categorical_fit, fit_indices, local_fit, missing_fit
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.fit_statistics import SCALED
from sqvalid.latent.residual_averages import GroupMoments
from sqvalid.latent.robust import ScaledStatistic


def fit_inputs(e: Estimate, groups: Sequence[GroupMoments]) -> fit_indices.FitInputs:
    """Statistics, likelihoods and moments of a fit, for its indices."""
    base, name = e.baseline, e.scaled_test
    reported = e.tests.statistics[e.reported_test]
    scaled = baseline_scaled = None
    if name is not None:
        scaled = _scaled_test(e.tests.statistics[name])
        baseline_scaled = _scaled_test(e.tests.baseline[name])
    converged = e.solution.converged
    nonlinear = e.problem.constraints.equalities.n_functions > 0
    likelihood = e.options.discrepancy == "ML"
    incomplete = e.problem.is_incomplete and converged
    categorical = e.problem.is_categorical
    complete = missing_fit.complete_data_fit(e) if incomplete else None
    gfi = missing_fit.classic_gfi(e) if incomplete else None
    if e.options.discrepancy == "DWLS" and not categorical:
        # Of numbers under diagonal weights there are no robust indices.
        complete = categorical_fit.NOWHERE
    if categorical:
        complete = categorical_fit.robust_inputs(e) if name is not None else None
        gfi = categorical_fit.classic_gfi(e)
    return fit_indices.FitInputs(
        n_free=e.n_free,
        fmin=e.problem.half_f(e.chisq),
        chisq=reported.stat if converged else math.nan,
        df=e.problem.df,
        n_obs=tuple(block.total_weight for block in e.problem.blocks),
        groups=tuple(_without_helpers(group, e, g) for g, group in enumerate(groups)),
        baseline_chisq=base.chisq,
        baseline_df=base.df,
        scaled=scaled,
        baseline_scaled=baseline_scaled,
        logl=None if not likelihood else e.logl if converged else math.nan,
        unrestricted_logl=e.unrestricted_logl,
        scaling_factor_h0=e.tests.scaling_h0,
        scaling_factor_h1=e.tests.scaling_h1,
        # lavaan's in both cases: the standard statistic in place of a residual one.
        browne_statistic=e.chisq
        if nonlinear or e.problem.is_incomplete or categorical
        else e.tests.residual_model,
        complete=complete,
        classic_gfi=gfi,
        wrmr=categorical_fit.weighted_root_mean_square(e) if categorical else None,
        n_statistics=sum(t.ordinal.plan.size for t in e.problem.objective.targets if t.ordinal)
        if categorical
        else None,
        likelihood="wishart" if not likelihood else e.options.likelihood,  # type: ignore[arg-type]
        robust_indices=name != "mean.var.adjusted",
        h1_information=e.options.h1_information,  # type: ignore[arg-type]
        weights=local_fit.moment_weights(e),
        has_reference=e.options.has_reference or e.reported_test != "standard",
        converged=converged,
    )


def _without_helpers(group: GroupMoments, e: Estimate, g: int) -> GroupMoments:
    """Moments without those of auxiliary variables, whose residuals are zero by design."""
    helpers = set(e.problem.auxiliary)
    if not helpers:
        return group
    keep = [j for j, name in enumerate(e.problem.blocks[g].variables) if name not in helpers]
    return replace(
        group,
        covariance=group.covariance[np.ix_(keep, keep)],
        implied_covariance=group.implied_covariance[np.ix_(keep, keep)],
        means=None if group.means is None else group.means[keep],
        implied_means=None if group.implied_means is None else group.implied_means[keep],
        fixed=tuple(keep.index(j) for j in group.fixed if j in keep),
    )


def test_rows(estimate: Estimate) -> dict[str, dict[str, float]]:
    """Every test of a fit: stat, df, pvalue, and how a corrected one was corrected."""
    out: dict[str, dict[str, float]] = {}
    for name, test in estimate.tests.statistics.items():
        out[name] = {
            "stat": test.stat,
            "df": float(test.df),
            "pvalue": math.nan
            if name == "standard" and not estimate.options.has_reference
            else absolute_fit.chisq_pvalue(test.stat, test.df),
        }
        if name in SCALED:
            out[name]["scaling_factor"] = test.scaling_factor
            out[name]["shift_parameter"] = test.shift
    bootstrap = estimate.bollen_stine
    if bootstrap is not None:
        out["bollen.stine"] = {
            "stat": bootstrap.stat,
            "df": float(bootstrap.df),
            "pvalue": bootstrap.pvalue,
            "n_draws": float(bootstrap.n_draws),
            "n_failed": float(bootstrap.n_failed),
        }
    return out


def _scaled_test(test: ScaledStatistic) -> fit_indices.ScaledTest:
    return fit_indices.ScaledTest(
        test.stat,
        test.df,
        test.scaling_factor,
        shift=test.shift,
        mean_scaling_factor=test.mean_scaling_factor if test.shift else None,
    )
