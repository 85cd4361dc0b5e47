r"""Every fit index of a result: one table of entries over one input object.

:data:`REGISTRY` lists the indices in the order in which they are printed, under lavaan's
names with ``.`` written ``_``. An index is a pure function elsewhere
(:mod:`~sqvalid.latent.incremental_fit`, :mod:`~sqvalid.latent.absolute_fit`,
:mod:`~sqvalid.latent.residual_averages`) plus its entry here. :func:`collect` computes what
the inputs allow; :func:`undefined` says why a value is NaN.

An index on a line of its own in the literature often exists three times: from the standard
statistic, from the scaled statistic (``_scaled``), and corrected so that it estimates the
same population value as under normality (``_robust``). Report the robust one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from sqvalid.latent import absolute_fit, incremental_fit, residual_averages
from sqvalid.latent.residual_averages import Array, GroupMoments

__all__ = [
    "REGISTRY",
    "CompleteDataFit",
    "FitIndex",
    "FitInputs",
    "GroupMoments",
    "ScaledTest",
    "collect",
    "undefined",
]

LEVEL = 0.90
CLOSE_RMSEA = 0.05
NOT_CLOSE_RMSEA = 0.08


@dataclass(frozen=True)
class ScaledTest:
    """A test statistic corrected for non-normality.

    Parameters
    ----------
    stat, df : float
        The corrected statistic and its degrees of freedom.
    scaling_factor : float
        What the standard statistic was divided by.
    shift : float
        What was then added (scaled-and-shifted statistics).
    mean_scaling_factor : float, optional
        ``trace(U Gamma) / df``, given for scaled-and-shifted statistics, where it is not
        `scaling_factor`. Robust indices need this one.
    """

    stat: float
    df: float
    scaling_factor: float
    shift: float = 0.0
    mean_scaling_factor: float | None = None

    @property
    def shifted(self) -> bool:
        """Whether the statistic was also shifted."""
        return self.mean_scaling_factor is not None

    def corrected(self, stat: float) -> float:
        """Apply the correction to another statistic with the same degrees of freedom."""
        return stat / self.scaling_factor + self.shift

    @property
    def robust_scaling(self) -> float:
        """The factor that the robust indices use."""
        if self.mean_scaling_factor is None:
            return self.scaling_factor
        return self.mean_scaling_factor


@dataclass(frozen=True)
class CompleteDataFit:
    """What fit indices corrected for missing answers are computed from.

    Parameters
    ----------
    chisq : float
        Complete-data discrepancy between the saturated and the implied moments, times N.
    scaling : float
        Its expectation under the model over the degrees of freedom.
    baseline_chisq, baseline_scaling : float
        The same for the independence model.
    """

    chisq: float
    scaling: float
    baseline_chisq: float
    baseline_scaling: float


@dataclass(frozen=True)
class FitInputs:
    """What fit indices are computed from.

    Parameters
    ----------
    n_free : int
        Free parameters after equality constraints.
    fmin : float
        Minimum of the discrepancy as lavaan reports it (half of the ML discrepancy).
    chisq, df : float
        Standard test statistic and its degrees of freedom.
    n_obs : tuple of float
        Cases per group.
    groups : tuple of GroupMoments
        Sample and implied moments per group.
    baseline_chisq, baseline_df : float
        The same for the baseline model; NaN where there is none.
    scaled, baseline_scaled : ScaledTest, optional
        Corrected statistics of the model and of the baseline.
    logl, unrestricted_logl : float, optional
        Log-likelihoods of the model and of the saturated model.
    scaling_factor_h0, scaling_factor_h1 : float, optional
        Scaling correction factors of the two log-likelihoods (MLR).
    browne_statistic : float, optional
        Browne's residual statistic with model-based normal-theory weights
        (:func:`~sqvalid.latent.residual_averages.browne_residual_statistic`). When not given it
        is computed as reweighted least squares, which is the same only when the residual means
        are zero: restricted means need it. After non-linear constraints lavaan puts `chisq`
        in its place.
    likelihood : {"normal", "wishart"}
        Decides the multiplier: N, or N - G.
    has_reference : bool
        Whether `chisq` has a chi-square distribution under the model; unweighted least squares
        have none, and p-values are then those of the scaled statistic only.
    weights : tuple of ndarray, optional
        Weights of the moments per group, for estimators without normal-theory weights.
    h1_information : {"structured", "unstructured"}
        Where the weight of the classic GFI is taken: at the implied or the sample moments.
    robust_indices : bool
        Whether ``_robust`` indices exist: they do not for statistics whose degrees of freedom
        are adjusted.
    complete : CompleteDataFit, optional
        Where answers are missing: what robust indices are then computed from.
    classic_gfi : float, optional
        The classic GFI, where it is not a function of the moments given.
    wrmr : float, optional
        Weighted root mean square residual, where there are ordered items.
    n_statistics : int, optional
        Sample statistics over all groups, where they are not means and covariances.
    converged : bool
        Without a solution only what needs none is told, as lavaan tells no fit at all.
    """

    n_free: int
    fmin: float
    chisq: float
    df: float
    n_obs: tuple[float, ...]
    groups: tuple[GroupMoments, ...]
    baseline_chisq: float = math.nan
    baseline_df: float = math.nan
    scaled: ScaledTest | None = None
    baseline_scaled: ScaledTest | None = None
    logl: float | None = None
    unrestricted_logl: float | None = None
    scaling_factor_h0: float | None = None
    scaling_factor_h1: float | None = None
    browne_statistic: float | None = None
    likelihood: Literal["normal", "wishart"] = "normal"
    h1_information: Literal["structured", "unstructured"] = "structured"
    weights: tuple[Array, ...] | None = None
    has_reference: bool = True
    robust_indices: bool = True
    complete: CompleteDataFit | None = None
    classic_gfi: float | None = None
    wrmr: float | None = None
    n_statistics: int | None = None
    converged: bool = True

    @property
    def n_total(self) -> float:
        """Cases over all groups."""
        return sum(self.n_obs)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.n_obs)

    @property
    def multiplier(self) -> float:
        """What the minimum of the discrepancy is multiplied by to give chi-square."""
        return self.n_total - (self.n_groups if self.likelihood == "wishart" else 0)

    @property
    def n_variables(self) -> int:
        """Observed variables per group."""
        return self.groups[0].n_variables

    @property
    def n_moments(self) -> int:
        """Sample moments over all groups."""
        if self.n_statistics is not None:
            return self.n_statistics
        return sum(
            g.n_variables * (g.n_variables + 1) // 2 + (0 if g.means is None else g.n_variables)
            for g in self.groups
        )

    @cached_property
    def residual_statistic(self) -> float:
        """Browne's residual statistic, given or computed."""
        if self.browne_statistic is not None:
            return self.browne_statistic
        share = self.multiplier / self.n_total
        return residual_averages.reweighted_least_squares(
            self.groups, [n * share for n in self.n_obs]
        )

    @cached_property
    def gfi_lisrel(self) -> float:
        """The classic goodness of fit index, from which two others are derived."""
        if self.classic_gfi is not None:
            return self.classic_gfi
        return residual_averages.gfi_lisrel(
            self.groups,
            structured=self.h1_information == "structured",
            weights=self.weights,
        )

    @property
    def statistics(self) -> tuple[float, float, float, float]:
        """Statistic, df, baseline statistic, baseline df; unscaled."""
        return self.chisq, self.df, self.baseline_chisq, self.baseline_df

    @property
    def scaled_statistics(self) -> tuple[float, float, float, float]:
        """Statistic, df, baseline statistic, baseline df; scaled."""
        scaled = _present(self.scaled)
        base = self.baseline_scaled
        if base is None:
            return scaled.stat, scaled.df, math.nan, math.nan
        return scaled.stat, scaled.df, base.stat, base.df

    @property
    def scaled_rmsea_reference(self) -> tuple[float, float]:
        """Statistic and degrees of freedom that scaled RMSEAs refer to.

        lavaan's: the unscaled statistic against trace(U Gamma) degrees of freedom, which gives
        the same point value as the scaled statistic against its own; shifted statistics
        are used as they are.
        """
        scaled = _present(self.scaled)
        if scaled.shifted or self.df == 0:
            return scaled.stat, scaled.df
        return self.chisq, scaled.scaling_factor * scaled.df

    @property
    def robust_statistics(self) -> tuple[float, float, float, float]:
        """Statistic, df, baseline statistic, baseline df of robust indices."""
        if self.complete is None or math.isnan(self.chisq):
            return self.statistics
        return self.complete.chisq, self.df, self.complete.baseline_chisq, self.baseline_df

    @property
    def scaling(self) -> float:
        """The model's factor in robust indices."""
        if self.complete is not None:
            return self.complete.scaling
        return _present(self.scaled).robust_scaling

    @property
    def baseline_scaling(self) -> float:
        """The baseline's factor in robust indices."""
        if self.complete is not None:
            return self.complete.baseline_scaling
        return math.nan if self.baseline_scaled is None else self.baseline_scaled.robust_scaling


def _present(scaled: ScaledTest | None) -> ScaledTest:
    if scaled is None:
        raise ValueError("This index needs a scaled test statistic, and the inputs have none.")
    return scaled


Family = Literal["always", "scaled", "robust", "likelihood", "scaled_likelihood", "ordered"]

_AVAILABLE: Mapping[Family, Callable[[FitInputs], bool]] = MappingProxyType(
    {
        "always": lambda f: True,
        "scaled": lambda f: f.scaled is not None,
        "robust": lambda f: (f.scaled is not None and f.robust_indices) or f.complete is not None,
        "likelihood": lambda f: f.logl is not None,
        "scaled_likelihood": lambda f: f.scaling_factor_h0 is not None,
        "ordered": lambda f: f.wrmr is not None,
    }
)


@dataclass(frozen=True)
class FitIndex:
    """One entry of the registry.

    Parameters
    ----------
    name : str
        lavaan's name, ``.`` written ``_``.
    family : str
        What the inputs must have for the index to be reported.
    compute : callable
        FitInputs -> float.
    needs : {"", "chisq", "df", "baseline", "moments"}
        What must be defined for the value not to be NaN; tells the reason when it is.
    """

    name: str
    family: Family
    compute: Callable[[FitInputs], float]
    needs: Literal["", "chisq", "df", "baseline", "moments"] = ""


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _robust_incremental(
    index: Callable[..., float],
) -> Callable[[FitInputs], float]:
    return lambda f: index(
        *f.robust_statistics, scaling=f.scaling, baseline_scaling=f.baseline_scaling
    )


def _incremental(index: Callable[..., float]) -> Callable[[FitInputs], float]:
    return lambda f: index(*f.statistics)


def _incremental_scaled(index: Callable[..., float]) -> Callable[[FitInputs], float]:
    return lambda f: index(*f.scaled_statistics)


def _rmsea_variants(
    compute: Callable[..., float], *, of_distribution: bool = True
) -> tuple[
    Callable[[FitInputs], float], Callable[[FitInputs], float], Callable[[FitInputs], float]
]:
    """Standard, scaled and robust version of an RMSEA-like function (stat, df, n, ...).

    `of_distribution` tells quantities read off the statistic's distribution (limits, p-values)
    from point estimates.
    """

    def standard(f: FitInputs) -> float:
        return compute(f.chisq, f.df, f.multiplier, n_groups=f.n_groups)

    def scaled(f: FitInputs) -> float:
        stat, df = f.scaled_rmsea_reference
        return compute(stat, df, f.multiplier, n_groups=f.n_groups)

    def robust(f: FitInputs) -> float:
        if not of_distribution or f.complete is not None:
            stat = f.robust_statistics[0]
            return compute(stat, f.df, f.multiplier, n_groups=f.n_groups, scaling=f.scaling)
        # Only the corrected statistic has a reference distribution; its noncentrality is then
        # brought back to the scale of the discrepancy.
        test = _present(f.scaled)
        stat = test.corrected(f.chisq) * test.scaling_factor
        return compute(stat, f.df, f.multiplier, n_groups=f.n_groups, scaling=test.scaling_factor)

    return standard, scaled, robust


def _rmsea_limit(which: Literal[0, 1]) -> Callable[..., float]:
    def limit(
        stat: float, df: float, multiplier: float, *, n_groups: int, scaling: float = 1.0
    ) -> float:
        return absolute_fit.rmsea_interval(
            stat, df, multiplier, n_groups=n_groups, scaling=scaling, level=LEVEL
        )[which]

    return limit


def _rmsea_close(
    stat: float, df: float, multiplier: float, *, n_groups: int, scaling: float = 1.0
) -> float:
    return absolute_fit.rmsea_close_pvalue(
        stat, df, multiplier, n_groups=n_groups, scaling=scaling, h0=CLOSE_RMSEA
    )


def _rmsea_notclose(
    stat: float, df: float, multiplier: float, *, n_groups: int, scaling: float = 1.0
) -> float:
    return absolute_fit.rmsea_notclose_pvalue(
        stat, df, multiplier, n_groups=n_groups, scaling=scaling, h0=NOT_CLOSE_RMSEA
    )


_RMSEA = _rmsea_variants(absolute_fit.rmsea, of_distribution=False)
_RMSEA_LOWER = _rmsea_variants(_rmsea_limit(0))
_RMSEA_UPPER = _rmsea_variants(_rmsea_limit(1))
_RMSEA_CLOSE = _rmsea_variants(_rmsea_close)
_RMSEA_NOTCLOSE = _rmsea_variants(_rmsea_notclose)


def _pvalue(f: FitInputs, stat: float, df: float) -> float:
    return absolute_fit.chisq_pvalue(stat, df) if f.has_reference else math.nan


def _gfi(f: FitInputs, scaling: float = 1.0) -> float:
    # A model without chi-square (negative degrees of freedom) has no residual statistic either.
    if math.isnan(f.chisq):
        return math.nan
    stat = f.residual_statistic
    if f.complete is not None and scaling != 1.0:
        stat = f.complete.chisq
    return absolute_fit.gfi(stat, f.df, f.multiplier, f.n_variables, scaling=scaling)


def _gfi_limit(f: FitInputs, which: Literal[0, 1], *, robust: bool = False) -> float:
    if math.isnan(f.chisq):
        return math.nan
    stat, scaling = f.residual_statistic, 1.0
    if robust and f.complete is not None:
        stat, scaling = f.complete.chisq, f.complete.scaling
    elif robust:
        test = _present(f.scaled)
        scaling = test.scaling_factor
        stat = test.corrected(stat) * scaling
    return absolute_fit.gfi_interval(
        stat, f.df, f.multiplier, f.n_variables, scaling=scaling, level=LEVEL
    )[which]


REGISTRY: tuple[FitIndex, ...] = (
    FitIndex("npar", "always", lambda f: float(f.n_free)),
    FitIndex("fmin", "always", lambda f: f.fmin),
    FitIndex("chisq", "always", lambda f: f.chisq, "chisq"),
    FitIndex("df", "always", lambda f: float(f.df)),
    FitIndex("pvalue", "always", lambda f: _pvalue(f, f.chisq, f.df), "df"),
    FitIndex("chisq_scaled", "scaled", lambda f: f.scaled_statistics[0], "chisq"),
    FitIndex("df_scaled", "scaled", lambda f: f.scaled_statistics[1]),
    FitIndex(
        "pvalue_scaled",
        "scaled",
        lambda f: absolute_fit.chisq_pvalue(*f.scaled_statistics[:2]),
        "df",
    ),
    FitIndex(
        "chisq_scaling_factor", "scaled", lambda f: _present(f.scaled).scaling_factor, "chisq"
    ),
    FitIndex("baseline_chisq", "always", lambda f: f.baseline_chisq, "baseline"),
    FitIndex("baseline_df", "always", lambda f: f.baseline_df, "baseline"),
    FitIndex(
        "baseline_pvalue",
        "always",
        lambda f: _pvalue(f, f.baseline_chisq, f.baseline_df),
        "baseline",
    ),
    FitIndex("baseline_chisq_scaled", "scaled", lambda f: f.scaled_statistics[2], "baseline"),
    FitIndex("baseline_df_scaled", "scaled", lambda f: f.scaled_statistics[3], "baseline"),
    FitIndex(
        "baseline_pvalue_scaled",
        "scaled",
        lambda f: absolute_fit.chisq_pvalue(*f.scaled_statistics[2:]),
        "baseline",
    ),
    FitIndex(
        "baseline_chisq_scaling_factor",
        "scaled",
        lambda f: math.nan if f.baseline_scaled is None else f.baseline_scaled.scaling_factor,
        "baseline",
    ),
    FitIndex("cfi", "always", _incremental(incremental_fit.cfi), "baseline"),
    FitIndex("tli", "always", _incremental(incremental_fit.tli), "baseline"),
    FitIndex("cfi_scaled", "scaled", _incremental_scaled(incremental_fit.cfi), "baseline"),
    FitIndex("tli_scaled", "scaled", _incremental_scaled(incremental_fit.tli), "baseline"),
    FitIndex("cfi_robust", "robust", _robust_incremental(incremental_fit.cfi), "baseline"),
    FitIndex("tli_robust", "robust", _robust_incremental(incremental_fit.tli), "baseline"),
    FitIndex("nnfi", "always", _incremental(incremental_fit.tli), "baseline"),
    FitIndex("rfi", "always", _incremental(incremental_fit.rfi), "baseline"),
    FitIndex("nfi", "always", _incremental(incremental_fit.nfi), "baseline"),
    FitIndex("pnfi", "always", _incremental(incremental_fit.pnfi), "baseline"),
    FitIndex("ifi", "always", _incremental(incremental_fit.ifi), "baseline"),
    FitIndex("rni", "always", _incremental(incremental_fit.rni), "baseline"),
    FitIndex("nnfi_scaled", "scaled", _incremental_scaled(incremental_fit.tli), "baseline"),
    FitIndex("rfi_scaled", "scaled", _incremental_scaled(incremental_fit.rfi), "baseline"),
    FitIndex("nfi_scaled", "scaled", _incremental_scaled(incremental_fit.nfi), "baseline"),
    FitIndex("pnfi_scaled", "scaled", _incremental_scaled(incremental_fit.pnfi), "baseline"),
    FitIndex("ifi_scaled", "scaled", _incremental_scaled(incremental_fit.ifi), "baseline"),
    FitIndex("rni_scaled", "scaled", _incremental_scaled(incremental_fit.rni), "baseline"),
    FitIndex("nnfi_robust", "robust", _robust_incremental(incremental_fit.tli), "baseline"),
    FitIndex("rni_robust", "robust", _robust_incremental(incremental_fit.rni), "baseline"),
    FitIndex("logl", "likelihood", lambda f: _known(f.logl)),
    FitIndex("unrestricted_logl", "likelihood", lambda f: _known(f.unrestricted_logl)),
    FitIndex("aic", "likelihood", lambda f: absolute_fit.aic(_known(f.logl), f.n_free)),
    FitIndex("bic", "likelihood", lambda f: absolute_fit.bic(_known(f.logl), f.n_free, f.n_total)),
    FitIndex("ntotal", "likelihood", lambda f: float(f.n_total)),
    FitIndex(
        "bic2", "likelihood", lambda f: absolute_fit.bic2(_known(f.logl), f.n_free, f.n_total)
    ),
    FitIndex("scaling_factor_h1", "scaled_likelihood", lambda f: _known(f.scaling_factor_h1)),
    FitIndex("scaling_factor_h0", "scaled_likelihood", lambda f: _known(f.scaling_factor_h0)),
    FitIndex("rmsea", "always", _RMSEA[0], "chisq"),
    FitIndex("rmsea_ci_lower", "always", _RMSEA_LOWER[0], "chisq"),
    FitIndex("rmsea_ci_upper", "always", _RMSEA_UPPER[0], "chisq"),
    FitIndex("rmsea_ci_level", "always", lambda f: LEVEL),
    FitIndex("rmsea_pvalue", "always", _RMSEA_CLOSE[0], "df"),
    FitIndex("rmsea_close_h0", "always", lambda f: CLOSE_RMSEA),
    FitIndex("rmsea_notclose_pvalue", "always", _RMSEA_NOTCLOSE[0], "df"),
    FitIndex("rmsea_notclose_h0", "always", lambda f: NOT_CLOSE_RMSEA),
    FitIndex("rmsea_scaled", "scaled", _RMSEA[1], "chisq"),
    FitIndex("rmsea_ci_lower_scaled", "scaled", _RMSEA_LOWER[1], "chisq"),
    FitIndex("rmsea_ci_upper_scaled", "scaled", _RMSEA_UPPER[1], "chisq"),
    FitIndex("rmsea_pvalue_scaled", "scaled", _RMSEA_CLOSE[1], "df"),
    FitIndex("rmsea_notclose_pvalue_scaled", "scaled", _RMSEA_NOTCLOSE[1], "df"),
    FitIndex("rmsea_robust", "robust", _RMSEA[2], "chisq"),
    FitIndex("rmsea_ci_lower_robust", "robust", _RMSEA_LOWER[2], "chisq"),
    FitIndex("rmsea_ci_upper_robust", "robust", _RMSEA_UPPER[2], "chisq"),
    FitIndex("rmsea_pvalue_robust", "robust", _RMSEA_CLOSE[2], "df"),
    FitIndex("rmsea_notclose_pvalue_robust", "robust", _RMSEA_NOTCLOSE[2], "df"),
    FitIndex("rmr", "always", lambda f: residual_averages.rmr(f.groups)),
    FitIndex("rmr_nomean", "always", lambda f: residual_averages.rmr(f.groups, with_means=False)),
    FitIndex(
        "srmr",
        "always",
        # Of ordered items the correlations alone.
        lambda f: residual_averages.srmr_bentler(f.groups, with_means=f.n_statistics is None),
    ),
    FitIndex("srmr_bentler", "always", lambda f: residual_averages.srmr_bentler(f.groups)),
    FitIndex(
        "srmr_bentler_nomean",
        "always",
        lambda f: residual_averages.srmr_bentler(f.groups, with_means=False),
    ),
    FitIndex("crmr", "always", lambda f: residual_averages.crmr(f.groups), "moments"),
    FitIndex(
        "crmr_nomean",
        "always",
        lambda f: residual_averages.crmr(f.groups, with_means=False),
        "moments",
    ),
    FitIndex("srmr_mplus", "always", lambda f: residual_averages.srmr_mplus(f.groups)),
    FitIndex(
        "srmr_mplus_nomean",
        "always",
        lambda f: residual_averages.srmr_mplus(f.groups, with_means=False),
    ),
    FitIndex("gfi", "always", lambda f: _gfi(f), "chisq"),
    FitIndex("gfi_ci_lower", "always", lambda f: _gfi_limit(f, 0), "chisq"),
    FitIndex("gfi_ci_upper", "always", lambda f: _gfi_limit(f, 1), "chisq"),
    FitIndex("gfi_ci_level", "always", lambda f: LEVEL),
    FitIndex("gfi_robust", "robust", lambda f: _gfi(f, f.scaling), "chisq"),
    FitIndex("gfi_ci_lower_robust", "robust", lambda f: _gfi_limit(f, 0, robust=True), "chisq"),
    FitIndex("gfi_ci_upper_robust", "robust", lambda f: _gfi_limit(f, 1, robust=True), "chisq"),
    FitIndex(
        "cn_05",
        "always",
        lambda f: absolute_fit.critical_n(f.chisq, f.df, f.multiplier, alpha=0.05),
        "df",
    ),
    FitIndex(
        "cn_01",
        "always",
        lambda f: absolute_fit.critical_n(f.chisq, f.df, f.multiplier, alpha=0.01),
        "df",
    ),
    FitIndex("gfi_lisrel", "always", lambda f: f.gfi_lisrel, "moments"),
    FitIndex(
        "agfi_lisrel",
        "always",
        lambda f: residual_averages.agfi_lisrel(f.gfi_lisrel, f.df, f.n_moments),
        "moments",
    ),
    FitIndex(
        "pgfi",
        "always",
        lambda f: residual_averages.pgfi(f.gfi_lisrel, f.df, f.n_moments),
        "moments",
    ),
    FitIndex("mfi", "always", lambda f: absolute_fit.mfi(f.chisq, f.df, f.multiplier), "chisq"),
    FitIndex(
        "ecvi",
        "always",
        lambda f: absolute_fit.ecvi(f.chisq, f.df, f.n_free, f.multiplier),
        "chisq",
    ),
    FitIndex("wrmr", "ordered", lambda f: _known(f.wrmr), "chisq"),
)


def collect(inputs: FitInputs) -> dict[str, float]:
    """Compute every index that the inputs allow.

    Parameters
    ----------
    inputs : FitInputs
        Statistics, likelihoods and moments of one fit.

    Returns
    -------
    dict
        Name to value, in the order of :data:`REGISTRY`. NaN where an index is not defined.
    """
    return {
        index.name: float(index.compute(inputs))
        if inputs.converged or _needs_no_solution(index.name)
        else math.nan
        for index in REGISTRY
        if _AVAILABLE[index.family](inputs)
    }


def _needs_no_solution(name: str) -> bool:
    """Whether it says something of the data, the model or the rule, not of the estimates."""
    return (
        name in ("npar", "df", "ntotal", "unrestricted_logl")
        or name.startswith("baseline_")
        or name.endswith(("_level", "_h0"))
    )


def undefined(inputs: FitInputs, values: Mapping[str, float]) -> dict[str, str]:
    """Say why values are NaN.

    Parameters
    ----------
    inputs : FitInputs
        What the values were computed from.
    values : mapping
        Result of :func:`collect`.

    Returns
    -------
    dict
        Name of the index to a key in the wording table, for NaN values only.
    """
    reasons = {}
    for index in REGISTRY:
        if index.name in values and math.isnan(values[index.name]):
            reasons[index.name] = f"fit_index.{_reason(inputs, index)}"
    return reasons


def _reason(inputs: FitInputs, index: FitIndex) -> str:
    if not inputs.converged and not _needs_no_solution(index.name):
        return "no_solution"
    if index.needs and inputs.df < 0:
        return "negative_df"
    if index.needs == "df" and inputs.df == 0:
        return "zero_df"
    if index.needs == "baseline" and math.isnan(inputs.baseline_chisq):
        return "no_baseline"
    if index.needs == "chisq" and math.isnan(inputs.chisq):
        return "no_statistic"
    return "not_defined"
