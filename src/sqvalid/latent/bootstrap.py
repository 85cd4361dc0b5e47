"""Intervals by resampling: the bootstrap of a fit, and Monte Carlo draws of its estimates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sqvalid.display import Result, Table
from sqvalid.errors import (
    Diagnostic,
    InputError,
    OptionError,
    UnsupportedError,
    check_choice,
)
from sqvalid.latent.implied import Array
from sqvalid.latent.parameter_frames import row_columns
from sqvalid.latent.redraw import (
    CHUNK,
    Draws,
    chunks,
    make_units,
    row_draws,
    standardised_draws,
)
from sqvalid.latent.resample_functions import ResampleFunction, evaluate
from sqvalid.latent.resamples import (
    Progress,
    Statistic,
    StatisticWork,
    collect,
    join_draws,
    make_work,
    map_in_order,
    named_statistics,
    resample_statistics,
)
from sqvalid.latent.result import FitResult
from sqvalid.latent.threads import single_thread
from sqvalid.resampling import (
    basic_interval,
    bca_interval,
    jackknife_acceleration,
    normal_interval,
    normals,
    percentile_interval,
)

__all__ = ["INTERVALS", "Bootstrap", "bootstrap_fit", "draw_estimates"]

Interval = Literal["percentile", "basic", "normal", "bias_corrected", "bca", "studentized"]
Metric = Literal["raw", "all", "lv", "nox"]

INTERVALS: tuple[Interval, ...] = (
    "percentile",
    "basic",
    "normal",
    "bias_corrected",
    "bca",
    "studentized",
)
DEFAULT_DRAWS = 5000
DEFAULT_SEED = 20261122


@dataclass(frozen=True, repr=False, eq=False)
class Bootstrap(Result):
    """Estimates of a model in many resamples, and intervals made from them.

    Parameters
    ----------
    fit : FitResult
        The fit of the full sample.
    method : {"bootstrap", "monte_carlo"}
        Resamples of respondents, or draws from the normal distribution of the estimates.
    estimates : Draws
        Of every resample asked for, in order; NaN where there are none.
    seed : int
    n_asked : int
        Resamples asked for; fewer are there when the work was interrupted.
    names : tuple of str
        Names of the statistics beside the parameters.
    statistic_values : ndarray, shape (k,)
        They, in the full sample.
    statistic_draws : ndarray, shape (R, k)
        They, in every resample.
    errors : ndarray, shape (R, n_rows), optional
        Standard errors of the parameters in every resample, for studentised intervals.
    clusters : bool
        Whether clusters were drawn, not respondents.
    statistics : tuple of callable
        The functions behind `names`.
    n_jobs : int
        Processes.
    """

    fit: FitResult
    method: Literal["bootstrap", "monte_carlo"]
    estimates: Draws
    seed: int
    n_asked: int
    names: tuple[str, ...] = ()
    statistic_values: Array | None = None
    statistic_draws: Array | None = None
    errors: Array | None = None
    clusters: bool = False
    statistics: tuple[Statistic, ...] = ()
    n_jobs: int = 1

    # -- counts -------------------------------------------------------------------------

    @property
    def n_draws(self) -> int:
        """Resamples that were made."""
        return len(self.estimates.half_f)

    @property
    def n_singular(self) -> int:
        """Resamples with an item that does not vary or that copies another: no estimates."""
        return int(self.estimates.singular.sum())

    @property
    def n_not_converged(self) -> int:
        """Resamples in which the search found no minimum."""
        return self.n_draws - int(self.estimates.converged.sum()) - self.n_singular

    @property
    def n_inadmissible(self) -> int:
        """Resamples with a negative variance among the estimates; they are used."""
        rows = [
            i
            for i, row in enumerate(self.fit.table.rows)
            if row.op == "~~" and row.lhs == row.rhs and row.free
        ]
        return int((self._raw[:, rows] < 0.0).any(axis=1).sum())

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What the reader of the intervals must know."""
        found = []
        lost = self.n_singular + self.n_not_converged
        counts: dict[str, Any] = {
            "n_draws": self.n_draws,
            "n_singular": self.n_singular,
            "n_not_converged": self.n_not_converged,
            "n_inadmissible": self.n_inadmissible,
            "n_asked": self.n_asked,
        }
        if lost:
            severity: Literal["info", "warning"] = (
                "warning" if lost > 0.05 * self.n_draws else "info"
            )
            found.append(Diagnostic("bootstrap_draws_lost", severity, (), counts))
        if self.method == "bootstrap" and self.n_inadmissible:
            found.append(Diagnostic("bootstrap_inadmissible", "info", (), counts))
        if self.n_draws < self.n_asked:
            found.append(Diagnostic("bootstrap_interrupted", "warning", (), counts))
        if not self.fit.admissible:
            found.append(Diagnostic("bootstrap_of_inadmissible", "warning"))
        return tuple(found)

    # -- draws --------------------------------------------------------------------------

    @cached_property
    def _raw(self) -> Array:
        return row_draws(self.fit.estimate, self.estimates)

    @cached_property
    def _cache(self) -> dict[str, Array]:
        return {}

    def _values(self, draws: Draws, metric: Metric, label: str) -> Array:
        """Rows in one metric, kept under `label`."""
        key = f"{label} {metric}"
        if key not in self._cache:
            with single_thread():
                self._cache[key] = (
                    row_draws(self.fit.estimate, draws)
                    if metric == "raw"
                    else standardised_draws(self.fit.estimate, draws, metric)
                )
        return self._cache[key]

    def draws(self, metric: Metric = "raw") -> pd.DataFrame:
        """Parameters of every resample.

        Parameters
        ----------
        metric : {"raw", "all", "lv", "nox"}
            Unstandardised, or a standardised solution.

        Returns
        -------
        pandas.DataFrame
            One row per resample, one column per row of `FitResult.parameters`; NaN where a
            resample has no estimates.
        """
        check_choice("metric", metric, ("raw", "all", "lv", "nox"))
        columns = self._row_columns()
        several = max(columns["group"]) > 1
        names = [
            lhs if op == ":=" else f"{lhs}{op}{rhs}" + (f".g{group}" if several else "")
            for lhs, op, rhs, group in zip(
                columns["lhs"], columns["op"], columns["rhs"], columns["group"], strict=True
            )
        ]
        return pd.DataFrame(self._values(self.estimates, metric, "draws"), columns=names)

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the free parameters over the resamples."""
        names = list(self.fit.coef.index)
        kept = self.estimates.theta[self.estimates.converged]
        matrix = np.atleast_2d(np.cov(kept, rowvar=False))
        return pd.DataFrame(matrix, index=names, columns=names)

    # -- intervals ----------------------------------------------------------------------

    def parameters(
        self,
        interval: Interval = "percentile",
        *,
        metric: Metric = "raw",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Parameters with bootstrap standard errors and intervals.

        Parameters
        ----------
        interval : {"percentile", "basic", "normal", "bias_corrected", "bca", "studentized"}
            BCa needs one more fit per respondent (or cluster); studentised intervals need
            ``studentized=True`` when the draws are made, and are for unstandardised parameters.
        metric : {"raw", "all", "lv", "nox"}
            Unstandardised, or a standardised solution.
        level : float
            Coverage.

        Returns
        -------
        pandas.DataFrame
            lhs, op, rhs, group, label, est, se (standard deviation over the resamples), bias,
            ci_lower, ci_upper, n_used. Values that no resample moves have an interval of no
            width, as they have no sampling variance.

        Raises
        ------
        OptionError
            An unknown interval or metric, a level outside (0, 1), or studentised intervals
            without standard errors.

        References
        ----------
        Efron (1987); Davison & Hinkley (1997).
        """
        check_choice("interval", interval, INTERVALS)
        check_choice("metric", metric, ("raw", "all", "lv", "nox"))
        columns = self._row_columns()
        estimate = self._full_sample(metric)
        draws = self._values(self.estimates, metric, "draws")
        if interval == "studentized" and (self.errors is None or metric != "raw"):
            raise OptionError(
                "There are no standard errors of the resamples to studentise with.",
                remedy="Draw with bootstrap_fit(..., studentized=True) and metric='raw', or take "
                "interval='bca'.",
            )
        lower, upper = self._interval(
            interval,
            draws,
            estimate,
            level,
            lambda: self._values(self._left_out, metric, "left_out"),
        )
        names = ("lhs", "op", "rhs", "group", "label")
        return pd.DataFrame(
            {name: columns[name] for name in names}
            | _spread(draws, estimate)
            | {"ci_lower": lower, "ci_upper": upper, "n_used": np.isfinite(draws).sum(axis=0)}
        )

    def statistics_frame(
        self, interval: Interval = "percentile", *, level: float = 0.95
    ) -> pd.DataFrame:
        """Statistics beside the parameters, with standard errors and intervals.

        Parameters
        ----------
        interval, level
            As for :meth:`parameters`; not studentised.

        Returns
        -------
        pandas.DataFrame
            statistic, est, se, bias, ci_lower, ci_upper, n_used.
        """
        check_choice("interval", interval, INTERVALS[:-1])
        if self.statistic_draws is None or self.statistic_values is None:
            raise OptionError(
                "No statistics were asked for.",
                remedy="Give bootstrap_fit(..., statistics={'name': function of a fit}).",
            )
        draws, estimate = self.statistic_draws, self.statistic_values
        lower, upper = self._interval(
            interval, draws, estimate, level, lambda: self._left_out_statistics
        )
        return pd.DataFrame(
            {"statistic": list(self.names)}
            | _spread(draws, estimate)
            | {"ci_lower": lower, "ci_upper": upper, "n_used": np.isfinite(draws).sum(axis=0)}
        )

    def derived(
        self,
        function: Callable[[Array], Array],
        interval: Interval = "percentile",
        *,
        metric: Metric = "raw",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Functions of the parameters, with standard errors and intervals.

        No model is estimated again, so any number of functions costs next to nothing.

        Parameters
        ----------
        function : callable
            Takes parameters, shape (B, n_rows), columns as in :meth:`draws`; returns values,
            shape (B, k). It must bear NaN, and treat every row alike.
        interval, level
            As for :meth:`parameters`; not studentised.
        metric : {"raw", "all", "lv", "nox"}
            Unstandardised, or a standardised solution.

        Returns
        -------
        pandas.DataFrame
            est, se, bias, ci_lower, ci_upper, n_used; one row per value.
        """
        check_choice("interval", interval, INTERVALS[:-1])
        check_choice("metric", metric, ("raw", "all", "lv", "nox"))
        draws = function(self._values(self.estimates, metric, "draws"))
        estimate = function(self._full_sample(metric)[None])[0]
        lower, upper = self._interval(
            interval,
            draws,
            estimate,
            level,
            lambda: function(self._values(self._left_out, metric, "left_out")),
        )
        return pd.DataFrame(
            _spread(draws, estimate)
            | {"ci_lower": lower, "ci_upper": upper, "n_used": np.isfinite(draws).sum(axis=0)}
        )

    def of_resamples(
        self,
        function: ResampleFunction,
        interval: Interval = "percentile",
        *,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Functions of the moments and the parameters of resamples, with intervals.

        No model is estimated again.

        Parameters
        ----------
        function : callable
            Takes :class:`Resamples` (covariance matrices of the observed variables, parameters,
            factor variances, B resamples at a time) and returns values, shape (B, k).
        interval, level
            As for :meth:`parameters`; not studentised.

        Returns
        -------
        pandas.DataFrame
            est, se, bias, ci_lower, ci_upper, n_used; one row per value.
        """
        check_choice("interval", interval, INTERVALS[:-1])
        if self.method == "monte_carlo":
            raise OptionError(
                "Draws of the estimates have no resampled answers.", remedy="Use bootstrap_fit."
            )
        estimate = self.fit.estimate
        units = make_units(estimate, clusters=self.clusters)
        table = estimate.problem.table
        fixed = estimate.problem.fixed_values
        whole = Draws(
            estimate.theta[None],
            np.array([[fixed.get(row.plabel, 0.0) for row in table.rows]]),
            np.zeros(1),
            np.zeros(1, dtype=bool),
        )
        value = evaluate(function, estimate, units, lambda _: np.ones(units.size), whole)[0]
        draws = evaluate(
            function,
            estimate,
            units,
            lambda b: units.bootstrap_counts(self.seed, b),
            self.estimates,
        )
        lower, upper = self._interval(
            interval,
            draws,
            value,
            level,
            lambda: evaluate(function, estimate, units, units.counts_without, self._left_out),
        )
        return pd.DataFrame(
            _spread(draws, value)
            | {"ci_lower": lower, "ci_upper": upper, "n_used": np.isfinite(draws).sum(axis=0)}
        )

    def _full_sample(self, metric: Metric) -> Array:
        """Value of every row of the parameters in the full sample."""
        frame = self.fit.parameters if metric == "raw" else self.fit.standardized(metric)
        return frame["est"].to_numpy(dtype=np.float64)

    def _interval(
        self,
        kind: Interval,
        draws: Array,
        estimate: Array,
        level: float,
        left_out: Callable[[], Array],
    ) -> tuple[Array, Array]:
        if not 0.0 < level < 1.0:
            raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try 0.95.")
        if kind == "bca" and self.method == "monte_carlo":
            raise OptionError(
                "BCa intervals need resamples; these are draws of the estimates.",
                remedy="Use interval='percentile', or bootstrap_fit.",
            )
        match kind:
            case "percentile":
                return percentile_interval(draws, estimate, level)
            case "basic":
                return basic_interval(draws, estimate, level)
            case "normal":
                return normal_interval(draws, estimate, level)
            case "bias_corrected":
                ends = bca_interval(draws, estimate, level)
            case "bca":
                stratum = make_units(self.fit.estimate, clusters=self.clusters).stratum
                ends = bca_interval(
                    draws, estimate, level, jackknife_acceleration(left_out(), stratum)
                )
            case "studentized":
                assert self.errors is not None
                se = self.fit.parameters["se"].to_numpy(dtype=np.float64)
                with np.errstate(divide="ignore", invalid="ignore"):
                    pivots = (draws - estimate) / np.where(self.errors > 0.0, self.errors, np.nan)
                low, high = percentile_interval(pivots, np.zeros_like(estimate), level)
                ends = (estimate - high * se, estimate - low * se)
        # A value that never moves has no share below it; its interval has no width.
        there = np.isfinite(draws)
        still = there.any(axis=0) & ~(there & (draws != estimate)).any(axis=0)
        return np.where(still, estimate, ends[0]), np.where(still, estimate, ends[1])

    @cached_property
    def _left_out(self) -> Draws:
        """Estimates without one unit."""
        work = make_work(self.fit, self.seed, clusters=self.clusters)
        pieces = list(map_in_order(work.jackknife, list(chunks(work.units.size)), self.n_jobs))
        return join_draws(pieces, work.units.size)

    @cached_property
    def _left_out_statistics(self) -> Array:
        units = make_units(self.fit.estimate, clusters=self.clusters)
        counts = np.ones((units.size, units.size)) - np.eye(units.size)
        return np.array(
            [
                resample_statistics(
                    self.fit, [c[rows] for rows in units.rows], theta, self.statistics
                )[0]
                for c, theta in zip(counts, self._left_out.theta, strict=True)
            ]
        )

    # -- face ---------------------------------------------------------------------------

    def _row_columns(self) -> dict[str, list[Any]]:
        return row_columns(self.fit.table)

    def _headline(self) -> str:
        used = int(self.estimates.converged.sum())
        what = "resamples" if self.method == "bootstrap" else "Monte Carlo draws"
        return f"{used} of {self.n_draws} {what} used, seed {self.seed}"

    def to_frame(self) -> pd.DataFrame:
        """Return :meth:`parameters` with percentile intervals."""
        return self.parameters()

    def tables(self) -> tuple[Table, ...]:
        """Return the parameters, and the statistics where there are any."""
        out = [Table(self.to_frame())]
        if self.statistic_draws is not None:
            out.append(Table(self.statistics_frame()))
        return tuple(out)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "method": self.method,
            "seed": self.seed,
            "n_draws": self.n_draws,
            "n_singular": self.n_singular,
            "n_not_converged": self.n_not_converged,
            "n_inadmissible": self.n_inadmissible,
            "parameters": self.parameters(),
            "standardized": self.parameters(metric="all"),
            "statistics": None if self.statistic_draws is None else self.statistics_frame(),
        }


def _spread(draws: Array, estimate: Array) -> dict[str, Array]:
    """Columns est, se and bias."""
    there = np.isfinite(draws)
    n = there.sum(axis=0)
    safe = np.where(there, draws, 0.0)
    mean = safe.sum(axis=0) / np.where(n > 0, n, np.nan)
    squares = np.where(there, (draws - mean) ** 2, 0.0).sum(axis=0)
    se = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
    return {"est": estimate, "se": se, "bias": mean - estimate}


def bootstrap_fit(
    fit: FitResult,
    n_draws: int = DEFAULT_DRAWS,
    *,
    seed: int = DEFAULT_SEED,
    statistics: Mapping[str, Statistic | str] | None = None,
    studentized: bool = False,
    clusters: bool | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> Bootstrap:
    """Draw respondents with replacement and estimate the model again, many times.

    Parameters
    ----------
    fit : FitResult
        From answers, not from a matrix, and converged. Where answers are missing, respondents are
        drawn with their gaps; where items are ordered, their correlations are estimated again, and
        a resample that lacks a category has no estimates. Such resamples take some ten
        milliseconds each.
    n_draws : int
        Resamples; at least 5,000 for an interval that is to be published.
    seed : int
        Resample b takes stream b of the seed: its numbers do not depend on how many resamples
        there are or on who computes them.
    statistics : mapping of str to (callable or str), optional
        Functions of a :class:`FitResult` that return a number, or names of fit measures. Each
        resample is then fitted with everything that a fit has, which takes some milliseconds.
    studentized : bool
        Also compute standard errors in every resample, at the same price.
    clusters : bool, optional
        Draw clusters, not respondents; by default where the fit has clusters. Respondents are
        drawn within groups.
    n_jobs : int
        Processes; -1 for all cores. The backend is joblib's (loky, dask ...).
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    Bootstrap
        An interruption from the keyboard returns the resamples that are done.

    Raises
    ------
    UnsupportedError
        The fit is from a matrix.
    InputError
        The fit did not converge, or no resample has estimates.
    OptionError
        `n_draws` or `n_jobs` is not a sensible number, or a fit measure is unknown.

    References
    ----------
    Efron (1979); Davison & Hinkley (1997).
    """
    _check_count("n_draws", n_draws)
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise OptionError(f"n_jobs={n_jobs!r} is no number of processes.", remedy="Try n_jobs=1.")
    if not fit.converged:
        raise InputError(
            "The fit did not converge, so there is nothing to draw around.",
            remedy="See its diagnostics, and bootstrap a fit that converged.",
        )
    blocks = fit.estimate.problem.blocks
    if any(block.cases is None for block in blocks):
        raise UnsupportedError(
            "A bootstrap needs the answers; a matrix is not enough.",
            remedy="Use draw_estimates(fit) for Monte Carlo intervals.",
        )
    clustered = all(block.clusters is not None for block in blocks)
    if clusters and not clustered:
        raise OptionError("The fit has no clusters to draw.", remedy="Fit with cluster=.")
    by_cluster = clustered if clusters is None else clusters
    functions = named_statistics(fit, statistics or {})
    values = np.array([float(function(fit)) for function in functions.values()])

    work = make_work(fit, seed, clusters=by_cluster)
    numbers = list(chunks(n_draws))
    pieces = collect(map_in_order(work.bootstrap, numbers, n_jobs), CHUNK, n_draws, progress)
    estimates = join_draws(pieces, n_draws)
    if not estimates.converged.any():
        raise InputError(
            f"None of the {len(estimates.half_f)} resamples could be estimated "
            f"({int(estimates.singular.sum())} of them have an item that does not vary or copies "
            "another).",
            remedy="Collect more answers, or leave out the items that hardly vary.",
        )
    found: Array | None = None
    errors: Array | None = None
    if functions or studentized:
        task = StatisticWork(fit, work, tuple(functions.values()), estimates.theta)
        there = len(estimates.theta)
        parts = [range(a, min(a + 32, there)) for a in range(0, there, 32)]
        rows = [
            r
            for part in collect(map_in_order(task, parts, n_jobs), 32, there, progress)
            for r in part
        ]
        estimates = join_draws([estimates], len(rows))
        found = np.array([row[0] for row in rows]).reshape(len(rows), len(functions))
        errors = np.array([row[1] for row in rows])
    return Bootstrap(
        fit=fit,
        method="bootstrap",
        estimates=estimates,
        seed=seed,
        n_asked=n_draws,
        names=tuple(functions),
        statistic_values=values if functions else None,
        statistic_draws=found if functions else None,
        errors=errors if studentized else None,
        clusters=by_cluster,
        statistics=tuple(functions.values()),
        n_jobs=n_jobs,
    )


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise OptionError(f"{name}={value!r} must be a whole number above 1.")


def draw_estimates(fit: FitResult, n_draws: int = 20_000, *, seed: int = DEFAULT_SEED) -> Bootstrap:
    """Draw parameters from the normal distribution of the estimates (Monte Carlo intervals).

    For products of parameters, such as indirect effects, the draws carry the skewness that
    the delta method leaves out, at no more than the price of the draws; a published matrix is
    enough.

    Parameters
    ----------
    fit : FitResult
        With a covariance matrix of the estimates.
    n_draws : int
    seed : int

    Returns
    -------
    Bootstrap
        With percentile, basic and normal intervals.

    Raises
    ------
    InputError
        The fit did not converge or has no standard errors.

    References
    ----------
    MacKinnon, Lockwood & Williams (2004); Preacher & Selig (2012).
    """
    _check_count("n_draws", n_draws)
    vcov = fit.estimate.vcov
    if not fit.converged or np.isnan(vcov).any():
        raise InputError(
            "The estimates have no covariance matrix to draw from.",
            remedy="See the diagnostics of the fit, or leave out se='none'.",
        )
    values, vectors = np.linalg.eigh(vcov)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    q = len(vcov)
    # The largest entry of every direction is made positive: its sign is LAPACK's choice.
    root *= np.sign(root[np.abs(root).argmax(axis=0), np.arange(q)])
    z = np.array([normals(seed, b, q) for b in range(n_draws)])
    theta = fit.estimate.theta + z @ root.T
    fixed = fit.estimate.problem.fixed_values
    sampled = np.tile([fixed.get(row.plabel, 0.0) for row in fit.table.rows], (n_draws, 1))
    none: NDArray[np.bool_] = np.zeros(n_draws, dtype=bool)
    draws = Draws(theta, sampled, np.zeros(n_draws), none)
    return Bootstrap(fit=fit, method="monte_carlo", estimates=draws, seed=seed, n_asked=n_draws)
