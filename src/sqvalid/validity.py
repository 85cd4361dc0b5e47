"""Convergent and discriminant evidence for the factors of a measurement model.

Four views of the same question are kept apart: the Fornell-Larcker comparison, the ratio of
correlations between and within dimensions (HTMT, from the sample, whatever the fit), the
interval of each latent correlation against the bands of Rönkkö and Cho, and the
chi-square test that a correlation is one. They may disagree; all are shown.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from sqvalid.criteria import classify
from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError, SqvalidError, SqvalidWarning
from sqvalid.reliability import (
    Reliability,
    assess_reliability,
    correlation_from_covariance,
    group_frames,
)

if TYPE_CHECKING:
    from sqvalid.latent.bootstrap import Bootstrap, Interval
    from sqvalid.latent.resample_functions import Resamples
    from sqvalid.latent.result import FitResult

__all__ = ["Validity", "assess_validity", "htmt", "htmt2"]

Array = npt.NDArray[np.float64]

# --- numbers over arrays -----------------------------------------------------------------


def _mean_within(correlation: Array, items: npt.NDArray[np.intp]) -> Array:
    """Mean over the pairs of some items; NaN for one item."""
    if items.size < 2:
        return np.full(correlation.shape[:-2], np.nan)
    block = correlation[..., items[:, None], items]
    rows, columns = np.tril_indices(items.size, -1)
    return np.asarray(block[..., rows, columns].mean(axis=-1))


def _mean_between(
    correlation: Array, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> Array:
    return np.asarray(correlation[..., first[:, None], second].mean(axis=(-2, -1)))


def htmt(
    correlation: Array, dimensions: Sequence[npt.NDArray[np.intp]], *, absolute: bool = True
) -> Array:
    r"""Heterotrait-monotrait ratio of correlations.

    .. math:: \frac{\bar r_{ij}}{\sqrt{\bar r_{ii}\,\bar r_{jj}}}

    with means over item pairs between two dimensions (numerator) and within each of them.

    Parameters
    ----------
    correlation : ndarray (..., p, p)
        Item correlations in the sample, or in many at once.
    dimensions : sequence of integer arrays
        Positions of the items of each dimension.
    absolute : bool
        Take absolute correlations first (Ringle et al. 2023), so that unturned items
        cannot cancel.

    Returns
    -------
    ndarray (..., m, m)
        1 on the diagonal by convention. NaN where a dimension has one item, or a mean
        correlation within it that is not positive.

    References
    ----------
    Henseler, Ringle & Sarstedt (2015); Ringle, Sarstedt, Sinkovics & Sinkovics (2023).
    """
    used = np.abs(correlation) if absolute else correlation
    within = [_mean_within(used, d) for d in dimensions]
    within = [np.where(mean > 0.0, mean, np.nan) for mean in within]
    return _ratios(
        correlation.shape[:-2],
        dimensions,
        lambda i, j: (
            _mean_between(used, dimensions[i], dimensions[j]) / np.sqrt(within[i] * within[j])
        ),
    )


def _ratios(
    shape: tuple[int, ...],
    dimensions: Sequence[npt.NDArray[np.intp]],
    ratio: Callable[[int, int], Array],
) -> Array:
    m = len(dimensions)
    out = np.broadcast_to(np.eye(m), (*shape, m, m)).copy()
    for i, j in itertools.combinations(range(m), 2):
        out[..., i, j] = out[..., j, i] = ratio(i, j)
    return out


def htmt2(correlation: Array, dimensions: Sequence[npt.NDArray[np.intp]]) -> Array:
    """HTMT with geometric means, for items that load unequally.

    Parameters
    ----------
    correlation : ndarray (..., p, p)
        Item correlations in the sample, or in many at once; their absolute values are used.
    dimensions : sequence of integer arrays
        Positions of the items of each dimension.

    Returns
    -------
    ndarray (..., m, m)
        1 on the diagonal. NaN where a dimension has one item or a correlation within it
        is zero.

    References
    ----------
    Roemer, Schuberth & Henseler (2021).
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(correlation))
    within = [_mean_within(logs, d) for d in dimensions]
    within = [np.where(np.isfinite(mean), mean, np.nan) for mean in within]
    return _ratios(
        correlation.shape[:-2],
        dimensions,
        lambda i, j: np.exp(
            _mean_between(logs, dimensions[i], dimensions[j]) - (within[i] + within[j]) / 2.0
        ),
    )


# --- the result --------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class Validity(Result):
    """Evidence that the factors hang together inside and differ from each other.

    Parameters
    ----------
    pairs : pandas.DataFrame
        One row per group and pair of factors: ``group factor_a factor_b correlation se
        ci_lower ci_upper simultaneous_lower simultaneous_upper band shared_variance ave_a ave_b
        fornell_larcker htmt htmt_signed htmt2 unity_chisq unity_df unity_p``.
        ``simultaneous_*`` is the interval at the level that covers all pairs of a group
        jointly (Bonferroni); ``band`` places its end farther from zero on the scale of
        Rönkkö & Cho.
        ``fornell_larcker`` is True where both AVE exceed the squared correlation. With a
        bootstrap also ``htmt_ci_lower htmt_ci_upper htmt2_ci_lower htmt2_ci_upper``.
    matrix : mapping of str to pandas.DataFrame
        Group label to one square table: square root of AVE on the diagonal, latent
        correlations below, HTMT above.
    reliability : Reliability
        Alpha, omega, CR and AVE of the same factors.
    level : float
        Coverage of the intervals.
    diagnostics : tuple of Diagnostic
        Why a number is missing, and the fit's own diagnostics that bear on distinctness.
    admissible : bool
        Whether the fit is: if not, latent correlations are not evidence of distinctness.
    """

    pairs: pd.DataFrame
    matrix: Mapping[str, pd.DataFrame]
    reliability: Reliability
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()
    admissible: bool = True

    def _headline(self) -> str:
        if self.pairs.empty:
            return "one factor, nothing to tell apart"
        worst = self.pairs["htmt"].max()
        shown = "undefined" if np.isnan(worst) else f"{worst:.3f}"
        return f"{len(self.pairs)} pairs of factors, highest HTMT {shown}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group and pair of factors; see `pairs`."""
        return self.pairs.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the combined table of each group, then the pairs."""
        units = {c: "unit" for c in self.pairs.columns if c in _UNIT_COLUMNS}
        formats = {**units, "unity_p": "p"} if "unity_p" in self.pairs else units
        combined = tuple(
            Table(frame, title=label, formats=dict.fromkeys(frame.columns, "unit"))
            for label, frame in self.matrix.items()
        )
        return (*combined, Table(self.pairs, formats=formats))

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.pairs,
            "matrix": self.matrix,
            "reliability": self.reliability.to_dict(),
            "level": self.level,
            "admissible": self.admissible,
        }


_UNIT_COLUMNS = {
    "correlation",
    "se",
    "ci_lower",
    "ci_upper",
    "simultaneous_lower",
    "simultaneous_upper",
    "shared_variance",
    "ave_a",
    "ave_b",
    "htmt",
    "htmt_signed",
    "htmt2",
    "htmt_ci_lower",
    "htmt_ci_upper",
    "htmt2_ci_lower",
    "htmt2_ci_upper",
}


@dataclass(frozen=True)
class _UnityTest:
    chisq: float
    df: float
    p: float


_NO_TEST = _UnityTest(float("nan"), float("nan"), float("nan"))


def _refit_options(fit: FitResult) -> Any:
    kept = (
        "estimator", "likelihood", "orthogonal", "fixed_x", "meanstructure", "information",
        "missing", "parameterization",
    )  # fmt: skip
    return {name: fit.options[name] for name in kept} | {"std_lv": True}


def _unit_factors(fit: FitResult) -> FitResult | None:
    """Return the model with factors of variance one; None when that cannot be estimated."""
    from sqvalid import latent

    if fit.options["function"] not in {"cfa", "sem"}:
        # Which automatic parameters such a model has is not among its options.
        return None
    refit = latent.cfa if fit.options["function"] == "cfa" else latent.sem
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SqvalidWarning)
            return refit(fit.model_text, fit.moments, **_refit_options(fit))
    except SqvalidError:
        return None


def _unity_test(
    fit: FitResult, free: FitResult | None, factor_a: str, factor_b: str, sign: float
) -> _UnityTest | None:
    """Test that two factors correlate perfectly; None when that cannot be estimated."""
    from sqvalid import latent
    from sqvalid.latent.comparison import compare_models

    if free is None:
        return None
    refit = latent.cfa if fit.options["function"] == "cfa" else latent.sem
    text = f"{fit.model_text}\n{factor_a} ~~ {'-' if sign < 0 else ''}1*{factor_b}\n"
    try:
        with warnings.catch_warnings():
            # A perfect correlation is on the border of what is admissible, on purpose.
            warnings.simplefilter("ignore", SqvalidWarning)
            restricted = refit(text, fit.moments, **_refit_options(fit))
        if not (free.converged and restricted.converged):
            return None
        step = compare_models(restricted, free).differences[-1]
    except SqvalidError:
        return None
    return _UnityTest(float(step.chisq_diff), float(step.df_diff), float(step.p))


def _latent_correlations(fit: FitResult, number: int) -> dict[frozenset[str], float]:
    """Return the standard error of each latent correlation that is a parameter."""
    table = fit.standardized("all")
    rows = table[(table["op"] == "~~") & (table["lhs"] != table["rhs"])]
    if "group" in rows:
        rows = rows[rows["group"] == number]
    return {
        frozenset((str(lhs), str(rhs))): float(se)
        for lhs, rhs, se in zip(rows["lhs"], rows["rhs"], rows["se"], strict=True)
    }


def _factors(fit: FitResult) -> tuple[str, ...]:
    """Return the factors measured by observed items alone, in model order."""
    observed = set(fit.observed)
    return tuple(f for f, items in fit.indicators.items() if set(items) <= observed)


def _htmt_intervals(
    bootstrap: Bootstrap,
    group: int,
    positions: Sequence[npt.NDArray[np.intp]],
    interval: Interval,
    level: float,
) -> pd.DataFrame:
    """Intervals of HTMT and HTMT2 of every pair of factors of one group."""
    first, second = np.triu_indices(len(positions), 1)

    def ratios(resamples: Resamples) -> Array:
        covariance = resamples.covariances[group]
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        correlation = covariance / (sd[:, :, None] * sd[:, None, :])
        return np.hstack(
            [ratio(correlation, positions)[:, first, second] for ratio in (htmt, htmt2)]
        )

    found = bootstrap.of_resamples(ratios, interval, level=level)
    n = len(first)
    return pd.DataFrame(
        {
            f"{name}_{end}": found[end].to_numpy()[start : start + n]
            for name, start in (("htmt", 0), ("htmt2", n))
            for end in ("ci_lower", "ci_upper")
        }
    )


def assess_validity(
    fit: FitResult,
    *,
    level: float = 0.95,
    unity_tests: bool = True,
    bootstrap: Bootstrap | None = None,
    interval: Interval = "percentile",
) -> Validity:
    """Collect the evidence on convergence and distinctness of the factors.

    Meant for a confirmatory factor model whose factors correlate freely. In a structural
    model the latent correlations follow from the paths; they are shown without an
    interval, with a reason.

    Parameters
    ----------
    fit : FitResult
        The fitted measurement model.
    level : float
        Coverage of the intervals of the latent correlations.
    unity_tests : bool
        Refit once per pair with the correlation fixed at one, and test the difference. With
        incomplete answers, only pairs whose simultaneous interval comes near: reaches .8.
    bootstrap : Bootstrap, optional
        Of this fit, from :func:`bootstrap_fit`: intervals of the HTMT and of the reliabilities.
    interval : {"percentile", "basic", "normal", "bias_corrected", "bca"}
        Kind of these intervals.

    Returns
    -------
    Validity

    Raises
    ------
    OptionError
        The model has no factor with observed items, or the bootstrap is of another fit.

    References
    ----------
    Fornell & Larcker (1981); Henseler, Ringle & Sarstedt (2015); Rönkkö & Cho (2022).
    """
    factors = _factors(fit)
    if not factors:
        raise OptionError(
            "Validity needs a model with at least one factor measured by observed items.",
            remedy="Fit a measurement model (factor =~ items) first.",
        )
    # Correlated residuals of two factors (their disturbances) are no correlation of the factors.
    table = fit.parameters
    structural = set(table.loc[table["op"] == "~", "lhs"]) | {
        item for items in fit.indicators.values() for item in items if item in fit.latents
    }
    reliability = assess_reliability(
        fit,
        {f: fit.indicators[f] for f in factors},
        level=level,
        bootstrap=bootstrap,
        interval=interval,
    )
    samples = group_frames(fit, "sample")
    correlations = group_frames(fit, "latent_correlation")
    several = len(samples) > 1
    # Several groups share constraints, so the one-pair test would touch all of them at once.
    test_unity = unity_tests and not several and not structural
    free = _unit_factors(fit) if test_unity else None
    diagnostics: list[Diagnostic] = []
    rows: list[dict[str, Any]] = []
    matrices: dict[str, pd.DataFrame] = {}
    failed: list[str] = []
    apart: list[str] = []
    intervals: list[pd.DataFrame] = []
    for number, (label, sample) in enumerate(samples.items(), start=1):
        names = list(sample.columns)
        positions = [
            np.array([names.index(item) for item in fit.indicators[f]], dtype=np.intp)
            for f in factors
        ]
        observed = correlation_from_covariance(sample.to_numpy(dtype=float))
        ratios = htmt(observed, positions)
        signed = htmt(observed, positions, absolute=False)
        if bootstrap is not None and len(factors) > 1:
            intervals.append(_htmt_intervals(bootstrap, number - 1, positions, interval, level))
        geometric = htmt2(observed, positions)
        errors = _latent_correlations(fit, number)
        scales = reliability.scales
        if several:
            scales = scales[scales["group"] == label]
        ave = scales.set_index("dimension")["ave"]
        n_pairs = len(factors) * (len(factors) - 1) // 2
        each = float(ndtri((1.0 + level) / 2.0))
        jointly = float(ndtri(1.0 - (1.0 - level) / (2.0 * max(n_pairs, 1))))
        latent = correlations[label].loc[list(factors), list(factors)].to_numpy(dtype=float)
        matrix = np.where(np.tri(len(factors), k=-1) > 0, latent, ratios)
        np.fill_diagonal(matrix, np.sqrt(ave.loc[list(factors)].to_numpy(dtype=float)))
        matrices[label] = pd.DataFrame(matrix, index=list(factors), columns=list(factors))
        for i, j in itertools.combinations(range(len(factors)), 2):
            a, b = factors[i], factors[j]
            r = float(latent[j, i])
            se = errors.get(frozenset((a, b)), float("nan"))
            if structural & {a, b} or se == 0.0:
                se = float("nan")
            band_at = max(abs(r - jointly * se), abs(r + jointly * se))
            band = classify("latent_correlation", band_at).band or None
            # Fits to incomplete answers take their time; a pair that is far apart needs none.
            spared = test_unity and fit.options["missing"] != "listwise" and band == "none"
            if spared:
                apart.append(f"{a} ~~ {b}")
            wanted = test_unity and not spared
            done = _unity_test(fit, free, a, b, r) if wanted else _NO_TEST
            if done is None:
                failed.append(f"{a} ~~ {b}")
            test = done or _NO_TEST
            ave_a, ave_b = float(ave[a]), float(ave[b])
            comparable = not (np.isnan(ave_a) or np.isnan(ave_b))
            rows.append(
                {
                    "group": label,
                    "factor_a": a,
                    "factor_b": b,
                    "correlation": r,
                    "se": se,
                    "ci_lower": r - each * se,
                    "ci_upper": r + each * se,
                    "simultaneous_lower": r - jointly * se,
                    "simultaneous_upper": r + jointly * se,
                    "band": band,
                    "shared_variance": r**2,
                    "ave_a": ave_a,
                    "ave_b": ave_b,
                    "fornell_larcker": min(ave_a, ave_b) > r**2 if comparable else None,
                    "htmt": float(ratios[i, j]),
                    "htmt_signed": float(signed[i, j]),
                    "htmt2": float(geometric[i, j]),
                    "unity_chisq": test.chisq,
                    "unity_df": test.df,
                    "unity_p": test.p,
                }
            )
    if structural and len(factors) > 1:
        diagnostics.append(
            Diagnostic("correlation_interval_structural", "info", tuple(sorted(structural)))
        )
    if unity_tests and several:
        diagnostics.append(Diagnostic("unity_test_one_group_only", "info"))
    if apart:
        diagnostics.append(Diagnostic("unity_test_spared", "info", tuple(apart)))
    if failed:
        diagnostics.append(Diagnostic("unity_test_failed", "warning", tuple(failed)))
    single = tuple(f for f in factors if len(fit.indicators[f]) == 1)
    if single:
        diagnostics.append(Diagnostic("htmt_single_item", "info", single))
    if not fit.admissible:
        diagnostics.append(Diagnostic("validity_inadmissible", "problem"))
    pairs = pd.DataFrame(rows, columns=_PAIR_COLUMNS)
    if intervals:
        pairs = pairs.join(pd.concat(intervals, ignore_index=True))
    if not several:
        pairs = pairs.drop(columns="group")
    return Validity(
        pairs=pairs,
        matrix=matrices,
        reliability=reliability,
        level=level,
        diagnostics=tuple(diagnostics),
        admissible=bool(fit.admissible),
    )


_PAIR_COLUMNS = [
    "group",
    "factor_a",
    "factor_b",
    "correlation",
    "se",
    "ci_lower",
    "ci_upper",
    "simultaneous_lower",
    "simultaneous_upper",
    "band",
    "shared_variance",
    "ave_a",
    "ave_b",
    "fornell_larcker",
    "htmt",
    "htmt_signed",
    "htmt2",
    "unity_chisq",
    "unity_df",
    "unity_p",
]
