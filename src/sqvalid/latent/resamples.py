"""Resamples by the thousand: shared out, put together, and the statistics of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sqvalid.errors import SqvalidError, check_choice
from sqvalid.latent.estimation import estimate as estimate_model
from sqvalid.latent.implied import Array
from sqvalid.latent.redraw import Draws, Work, make_units
from sqvalid.latent.resample_problems import resampled_moments
from sqvalid.latent.result import FitResult
from sqvalid.latent.threads import single_thread

__all__ = [
    "Progress",
    "Statistic",
    "StatisticWork",
    "collect",
    "join_draws",
    "make_work",
    "map_in_order",
    "named_statistics",
    "resample_statistics",
]

Statistic = Callable[[FitResult], float]
Progress = Callable[[int, int], None]


def make_work(fit: FitResult, seed: int, *, clusters: bool) -> Work:
    """What is needed to draw from a fit."""
    return Work(fit.estimate, make_units(fit.estimate, clusters=clusters), seed)


def map_in_order(task: Callable[[Any], Any], items: Sequence[Any], n_jobs: int) -> Iterator[Any]:
    """Apply a task to items, in order, in this process or in others (joblib's backends)."""
    if n_jobs == 1:
        with single_thread():
            for item in items:
                yield task(item)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_alone)(task, item) for item in items
    )


def _alone(task: Callable[[Any], Any], item: Any) -> Any:
    """A task in a process of its own: BLAS keeps to one thread there as well."""
    with single_thread():
        return task(item)


def join_draws(pieces: Sequence[Draws], n: int) -> Draws:
    """Put chunks together and drop what filled up the last one."""
    return Draws(
        theta=np.vstack([piece.theta for piece in pieces])[:n],
        sampled=np.vstack([piece.sampled for piece in pieces])[:n],
        half_f=np.concatenate([piece.half_f for piece in pieces])[:n],
        singular=np.concatenate([piece.singular for piece in pieces])[:n],
        one_by_one=sum(piece.one_by_one for piece in pieces),
    )


def resample_statistics(
    fit: FitResult, counts: list[Array], theta: Array, statistics: Sequence[Statistic]
) -> tuple[Array, Array]:
    """Statistics and standard errors of one resample; NaN where it has none."""
    table = fit.table
    missing = np.full(len(statistics), np.nan)
    no_errors = np.full(len(table.rows) + len(table.definitions), np.nan)
    if np.isnan(theta).any():
        return missing, no_errors
    estimate = fit.estimate
    tests = tuple(name for name in estimate.options.tests if name != "bollen.stine")
    options = replace(estimate.options, tests=tests, bootstrap=None)
    try:
        moments = replace(fit.moments, blocks=resampled_moments(estimate, counts).blocks)
        again = estimate_model(estimate.problem.structure, moments, options, theta)
    except SqvalidError:
        return missing, no_errors
    resample = FitResult(fit.model_text, again, moments, ())
    found = []
    for statistic in statistics:
        try:
            found.append(float(statistic(resample)))
        except (SqvalidError, ArithmeticError, np.linalg.LinAlgError):
            found.append(np.nan)
    return np.array(found), resample.parameters["se"].to_numpy(dtype=np.float64)


@dataclass(frozen=True, eq=False)
class StatisticWork:
    """What a process needs to compute statistics of resamples."""

    fit: FitResult
    work: Work
    statistics: tuple[Statistic, ...]
    theta: Array

    def __call__(self, numbers: range) -> list[tuple[Array, Array]]:
        """Statistics and standard errors of the resamples, by number."""
        out = []
        for b in numbers:
            counts = self.work.units.bootstrap_counts(self.work.seed, b)
            by_group = [counts[rows] for rows in self.work.units.rows]
            out.append(resample_statistics(self.fit, by_group, self.theta[b], self.statistics))
        return out


def collect(
    results: Iterable[Any], each: int, n_draws: int, progress: Progress | None
) -> list[Any]:
    """Take results as they come; an interruption keeps the ones that are there."""
    out: list[Any] = []
    try:
        for result in results:
            out.append(result)
            if progress is not None:
                progress(min(len(out) * each, n_draws), n_draws)
    except KeyboardInterrupt:
        if not out:
            raise
    return out


@dataclass(frozen=True)
class _FitMeasure:
    """A fit measure as a function of a fit; a class, so that other processes can have it."""

    name: str

    def __call__(self, fit: FitResult) -> float:
        return float(fit.fit_measures[self.name])


def named_statistics(
    fit: FitResult, statistics: Mapping[str, Statistic | str]
) -> dict[str, Statistic]:
    """Functions by name, with the names of fit measures made into functions."""
    out: dict[str, Statistic] = {}
    for name, statistic in statistics.items():
        if isinstance(statistic, str):
            check_choice("statistics", statistic, tuple(fit.fit_measures.index))
            out[str(name)] = _FitMeasure(statistic)
        else:
            out[str(name)] = statistic
    return out
