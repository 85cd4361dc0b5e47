"""estimate_power: a study carried out many times on simulated answers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from sqvalid.display import Result, Table
from sqvalid.errors import (
    Diagnostic,
    InputError,
    OptionError,
    SqvalidError,
    SqvalidWarning,
    check_choice,
)
from sqvalid.latent import FitResult, cfa, fit_model, growth, sem
from sqvalid.latent.resamples import Progress, collect, map_in_order
from sqvalid.moments import Block, Moments
from sqvalid.simulate.population import Population, population_from_text
from sqvalid.simulate.survey_maker import SEVEN_POINTS, SimulatedSurvey, simulate_survey

__all__ = ["Decision", "Draw", "Power", "estimate_power"]

Array = NDArray[np.float64]
Metric = Literal["raw", "all", "lv", "nox"]
Decision = Callable[[FitResult], "bool | Mapping[str, bool | None] | None"]

Draw = Callable[[int, int], SimulatedSurvey]

_SEED = 20261122
_FUNCTIONS: Mapping[str, Callable[..., FitResult]] = MappingProxyType(
    {"cfa": cfa, "sem": sem, "growth": growth, "fit_model": fit_model}
)
# Replicates that a process takes at a time.
_PORTION = 8
# Respondents behind the population's moments; only their share in a divisor N - 1 is left.
_MANY = 10**9
# Options of a fit that say how it is estimated, not what the model is.
_OF_ESTIMATION = (
    "estimator",
    "se",
    "test",
    "information",
    "h1_information",
    "bootstrap",
    "missing",
    "auxiliary",
    "cluster",
    "sampling_weights",
    "start",
    "bounds",
)
_MEASURES = ("chisq", "pvalue", "cfi", "tli", "rmsea", "srmr")
_COMPARISON = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class _Rule:
    """A decision by fit measures, written as ``"cfi >= 0.95 and rmsea <= 0.06"``."""

    parts: tuple[tuple[str, str, float], ...]

    @classmethod
    def read(cls, text: str) -> _Rule:
        """Read a rule, or say what is wrong with it."""
        parts = []
        for words in text.split(" and "):
            found = _COMPARISON.fullmatch(words)
            if found is None:
                raise OptionError(
                    f"The decision {text!r} cannot be read at {words.strip()!r}.",
                    remedy="Write e.g. 'cfi >= 0.95 and rmsea <= 0.06', or give a function.",
                )
            parts.append((found[1], found[2], float(found[3])))
        return cls(tuple(parts))

    def __call__(self, fit: FitResult) -> bool | None:
        """Whether the rule holds; None where a measure is not defined."""
        out = True
        for name, sign, cut in self.parts:
            check_choice("decisions", name, tuple(fit.fit_measures.index))
            value = float(fit.fit_measures[name])
            if np.isnan(value):
                return None
            out &= {"<": value < cut, ">": value > cut}.get(
                sign, value <= cut if sign == "<=" else value >= cut
            )
        return out


@dataclass(frozen=True, eq=False)
class _Replicate:
    """What is kept of one simulated study."""

    n: int
    outcome: str
    admissible: bool = True
    estimates: Array | None = None
    errors: Array | None = None
    measures: Array | None = None
    decisions: Mapping[str, bool | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Work:
    """What a process needs to carry out studies."""

    population: Population | Draw
    model: str
    function: str
    options: Mapping[str, Any]
    survey: Mapping[str, Any]
    prepare: Callable[[SimulatedSurvey], Any] | None
    metric: Metric
    measures: tuple[str, ...]
    decisions: Mapping[str, Decision]
    seed: int

    def draw(self, n: int, replicate: int) -> SimulatedSurvey:
        """The answers of one simulated study."""
        if isinstance(self.population, Population):
            return simulate_survey(
                self.population, n, seed=self.seed, replicate=replicate, **self.survey
            )
        return self.population(n, replicate)

    def fit(self, n: int, replicate: int) -> FitResult:
        """The fit of one simulated study."""
        drawn = self.draw(n, replicate)
        data = drawn.frame if self.prepare is None else self.prepare(drawn)
        return _FUNCTIONS[self.function](self.model, data, **self.options)

    def __call__(self, portion: tuple[int, range]) -> list[_Replicate]:
        """Studies of one size, by number of the replicate."""
        n, numbers = portion
        with warnings.catch_warnings():
            # What is warned about is counted.
            warnings.simplefilter("ignore", SqvalidWarning)
            return [self.one(n, number) for number in numbers]

    def one(self, n: int, number: int) -> _Replicate:
        """One study."""
        try:
            fit = self.fit(n, number)
        except SqvalidError as problem:
            return _Replicate(n, type(problem).__name__)
        if not fit.converged:
            return _Replicate(n, "not_converged")
        frame = fit.parameters if self.metric == "raw" else fit.standardized(self.metric)
        return _Replicate(
            n=n,
            outcome="used",
            admissible=fit.admissible,
            estimates=frame["est"].to_numpy(dtype=np.float64),
            errors=frame["se"].to_numpy(dtype=np.float64),
            measures=fit.fit_measures[list(self.measures)].to_numpy(dtype=np.float64),
            decisions=self.decide(fit),
        )

    def decide(self, fit: FitResult) -> dict[str, bool | None]:
        """Every decision; None where one cannot be made."""
        out: dict[str, bool | None] = {}
        for name, decision in self.decisions.items():
            try:
                made = decision(fit)
            except (ArithmeticError, np.linalg.LinAlgError):
                made = None
            if isinstance(made, Mapping):
                out |= {str(key): None if v is None else bool(v) for key, v in made.items()}
            else:
                out[name] = None if made is None else bool(made)
        return out


@dataclass(frozen=True, repr=False, eq=False)
class Power(Result):
    """What a study would find, had it been done many times.

    Parameters
    ----------
    rows : pandas.DataFrame
        lhs, op, rhs, group, label of every parameter, and its `truth`.
    sizes : tuple of int
        Respondents of the studies.
    n_replications : int
        Studies of each size that were asked for.
    metric : {"raw", "all", "lv", "nox"}
        In which the parameters are.
    alpha : float
        Level of tests; intervals have coverage 1 - alpha.
    measures : tuple of str
        Fit measures that were kept.
    replicates : tuple
        What is kept of every study.
    seed : int
    """

    rows: pd.DataFrame
    sizes: tuple[int, ...]
    n_replications: int
    metric: Metric
    alpha: float
    measures: tuple[str, ...]
    replicates: tuple[_Replicate, ...]
    seed: int

    @cached_property
    def _used(self) -> dict[int, list[_Replicate]]:
        return {
            n: [r for r in self.replicates if r.n == n and r.outcome == "used"] for n in self.sizes
        }

    def outcomes(self) -> pd.DataFrame:
        """How many studies of every size came to what.

        Returns
        -------
        pandas.DataFrame
            n, n_asked, n_done, n_used (with estimates), n_not_converged, n_failed (answers
            that the model refuses: an item that does not vary, too few complete rows), and
            n_inadmissible (among those used).
        """
        records = []
        for n in self.sizes:
            own = [r for r in self.replicates if r.n == n]
            used = self._used[n]
            lost = sum(r.outcome == "not_converged" for r in own)
            records.append(
                {
                    "n": n,
                    "n_asked": self.n_replications,
                    "n_done": len(own),
                    "n_used": len(used),
                    "n_not_converged": lost,
                    "n_failed": len(own) - len(used) - lost,
                    "n_inadmissible": sum(not r.admissible for r in used),
                }
            )
        return pd.DataFrame(records)

    def failures(self) -> pd.DataFrame:
        """Kinds of error of the studies that failed: n, error, count."""
        found: dict[tuple[int, str], int] = {}
        for r in self.replicates:
            if r.outcome not in ("used", "not_converged"):
                found[r.n, r.outcome] = found.get((r.n, r.outcome), 0) + 1
        return pd.DataFrame(
            [{"n": n, "error": error, "count": count} for (n, error), count in found.items()],
            columns=["n", "error", "count"],
        )

    def parameters(self) -> pd.DataFrame:
        """How every parameter is estimated and tested.

        Returns
        -------
        pandas.DataFrame
            n, lhs, op, rhs, group, label, truth, mean (of the estimates), bias, bias_mcse, sd (of
            the estimates), mean_se, coverage and coverage_mcse (intervals of +-z standard errors
            that hold the truth), rejection and rejection_mcse (tests of zero), n_used. Columns
            ending in mcse are Monte Carlo standard errors. NaN where a parameter is fixed or
            its truth not known.

        References
        ----------
        Muthen & Muthen (2002), Structural Equation Modeling 9; Morris, White & Crowther (2019),
        Statistics in Medicine 38, for the Monte Carlo errors.
        """
        z = float(ndtri(1.0 - self.alpha / 2.0))
        truth = self.rows["truth"].to_numpy(dtype=np.float64)
        frames = []
        for n in self.sizes:
            size = (-1, len(self.rows))
            used = [r for r in self._used[n] if r.estimates is not None and r.errors is not None]
            est = np.array([r.estimates for r in used]).reshape(size)
            se = np.array([r.errors for r in used]).reshape(size)
            tested = np.isfinite(est) & (se > 0.0)
            safe = np.where(tested, se, np.nan)
            mean, sd, count = _moments(est)
            coverage = _share(np.abs(est - truth) <= z * safe, tested & np.isfinite(truth))
            rejection = _share(np.abs(est) > z * safe, tested)
            frames.append(
                pd.DataFrame({"n": np.full(len(self.rows), n)})
                .join(self.rows)
                .assign(
                    mean=mean,
                    bias=mean - truth,
                    bias_mcse=sd / np.sqrt(np.where(count > 0, count, np.nan)),
                    sd=sd,
                    mean_se=_moments(safe)[0],
                    coverage=coverage[0],
                    coverage_mcse=coverage[1],
                    rejection=rejection[0],
                    rejection_mcse=rejection[1],
                    n_used=count,
                )
            )
        return pd.concat(frames, ignore_index=True)

    def decisions(self) -> pd.DataFrame:
        """How often every decision comes out true.

        Returns
        -------
        pandas.DataFrame
            n, decision, rate (of the studies in which it was made), mcse, ci_lower and ci_upper
            (95%, Clopper & Pearson, 1934), n_true, n_made, n_done. A study that failed, or in
            which the decision could not be made, is in `n_done` only.
        """
        names = dict.fromkeys(name for r in self.replicates for name in r.decisions)
        records = []
        for n in self.sizes:
            done = sum(r.n == n for r in self.replicates)
            for name in names:
                made = [
                    r.decisions[name] for r in self._used[n] if r.decisions.get(name) is not None
                ]
                true, count = sum(map(bool, made)), len(made)
                rate = true / count if count else np.nan
                low, high = _clopper_pearson(true, count)
                records.append(
                    {
                        "n": n,
                        "decision": name,
                        "rate": rate,
                        "mcse": np.sqrt(rate * (1.0 - rate) / count) if count else np.nan,
                        "ci_lower": low,
                        "ci_upper": high,
                        "n_true": true,
                        "n_made": count,
                        "n_done": done,
                    }
                )
        columns = ["n", "decision", "rate", "mcse", "ci_lower", "ci_upper"]
        return pd.DataFrame(records, columns=[*columns, "n_true", "n_made", "n_done"])

    def fit_measures(self) -> pd.DataFrame:
        """Distribution of fit measures: n, measure, mean, sd, q05, median, q95, n_used."""
        records = []
        for n in self.sizes:
            values = np.array([r.measures for r in self._used[n] if r.measures is not None])
            for j, name in enumerate(self.measures):
                column = values[:, j] if len(values) else np.empty(0)
                there = column[np.isfinite(column)]
                quantiles = np.quantile(there, [0.05, 0.5, 0.95]) if there.size else [np.nan] * 3
                records.append(
                    {
                        "n": n,
                        "measure": name,
                        "mean": there.mean() if there.size else np.nan,
                        "sd": there.std(ddof=1) if there.size > 1 else np.nan,
                        "q05": quantiles[0],
                        "median": quantiles[1],
                        "q95": quantiles[2],
                        "n_used": there.size,
                    }
                )
        return pd.DataFrame(records)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What the reader of the rates must know."""
        found = []
        for row in self.outcomes().to_dict("records"):
            values = {str(key): int(value) for key, value in row.items()}
            lost = values["n_not_converged"] + values["n_failed"]
            if lost:
                much = lost > 0.05 * values["n_done"]
                found.append(
                    Diagnostic("power_studies_lost", "warning" if much else "info", values=values)
                )
            if values["n_inadmissible"]:
                found.append(Diagnostic("power_inadmissible", "info", values=values))
            if values["n_done"] < values["n_asked"]:
                found.append(Diagnostic("power_interrupted", "warning", values=values))
        return tuple(found)

    def _headline(self) -> str:
        used = sum(map(len, self._used.values()))
        sizes = ", ".join(map(str, self.sizes))
        return f"{used} of {len(self.replicates)} studies used, n = {sizes}, seed {self.seed}"

    def to_frame(self) -> pd.DataFrame:
        """Return :meth:`parameters`."""
        return self.parameters()

    def tables(self) -> tuple[Table, ...]:
        """Return parameters, decisions and fit measures."""
        frames = [self.parameters(), self.decisions(), self.fit_measures(), self.outcomes()]
        return tuple(Table(frame) for frame in frames if len(frame))

    def _payload(self) -> Mapping[str, Any]:
        return {
            "seed": self.seed,
            "alpha": self.alpha,
            "metric": self.metric,
            "parameters": self.parameters(),
            "decisions": self.decisions(),
            "fit_measures": self.fit_measures(),
            "outcomes": self.outcomes(),
        }


def _moments(values: Array) -> tuple[Array, Array, NDArray[np.intp]]:
    """Mean, standard deviation and count of every column, over what is there."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    mean = np.where(there, values, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
    return mean, np.sqrt(squares / np.where(count > 1, count - 1, np.nan)), count


def _share(true: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Share of what is true in every column, and its Monte Carlo standard error."""
    count = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    share = (true & known).sum(axis=0) / count
    return share, np.sqrt(share * (1.0 - share) / count)


def _clopper_pearson(true: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper & Pearson, 1934)."""
    if not count:
        return np.nan, np.nan
    tail = (1.0 - level) / 2.0
    low = float(betaincinv(true, count - true + 1, tail)) if true else 0.0
    high = float(betaincinv(true + 1, count - true, 1.0 - tail)) if true < count else 1.0
    return low, high


def _row_names(frame: pd.DataFrame) -> list[str]:
    """Names under which the truth of a parameter may be given."""
    several = frame["group"].max() > 1
    return [
        lhs if op == ":=" else f"{lhs}{op}{rhs}" + (f".g{group}" if several else "")
        for lhs, op, rhs, group in zip(
            frame["lhs"], frame["op"], frame["rhs"], frame["group"], strict=True
        )
    ]


def _population_moments(work: _Work, fit: FitResult) -> Moments | None:
    """Moments of the population in the units of the answers, or None where they are not known."""
    columns = work.survey.get("columns") or {}
    population = work.population
    if not isinstance(population, Population):
        population = population(fit.n_obs, 0).population
    names = fit.moments.blocks[0].variables
    if any(name not in population.names for name in names):
        return None
    if any(name in columns and columns[name].logarithmic for name in names):
        return None
    places = [population.place(name) for name in names]
    spread = np.array([columns[n].spread if n in columns else 1.0 for n in names])
    start = np.array([columns[n].location if n in columns else 0.0 for n in names])
    covariance = population.covariance()[np.ix_(places, places)] * np.outer(spread, spread)
    means = start + spread * population.mean()[places]
    blocks = tuple(
        Block(block.group, block.variables, _MANY, covariance, means)
        for block in fit.moments.blocks
    )
    return Moments(blocks, group_variable=fit.moments.group_variable)


def _has_categories(work: _Work, names: Sequence[str]) -> bool:
    """Whether answers are in categories; those of a function are taken to be."""
    if not isinstance(work.population, Population):
        return True
    cuts = work.survey.get("thresholds", SEVEN_POINTS)
    columns = work.survey.get("columns") or {}
    given = set(work.population.thresholds)
    given |= set(cuts) if isinstance(cuts, Mapping) else set()
    general = cuts is not None and not isinstance(cuts, Mapping)
    return any(name in given or (general and name not in columns) for name in names)


def _truths(work: _Work, fit: FitResult, given: Mapping[str, float]) -> pd.DataFrame:
    """Parameters with the values they have in the population."""
    frame = fit.parameters[["lhs", "op", "rhs", "group", "label"]].reset_index(drop=True)
    truth = np.full(len(frame), np.nan)
    moments = _population_moments(work, fit)
    categories = _has_categories(work, fit.moments.blocks[0].variables)
    if moments is not None and not (categories and work.metric == "raw"):
        options = {k: v for k, v in work.options.items() if k not in _OF_ESTIMATION}
        options |= {"meanstructure": fit.estimate.options.meanstructure, "start": fit}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SqvalidWarning)
            there = _FUNCTIONS[work.function](work.model, moments, **options)
        if there.converged:
            source = there.parameters if work.metric == "raw" else there.standardized(work.metric)
            truth = source["est"].to_numpy(dtype=np.float64).copy()
            # Intercepts of categories and of shifted groups are in other units, or unknown.
            if categories or work.survey.get("groups"):
                truth[(frame["op"] == "~1").to_numpy()] = np.nan
    names = _row_names(frame)
    for name, value in given.items():
        rows = [
            i
            for i, (known, label) in enumerate(zip(names, frame["label"], strict=True))
            if name in (known, label)
        ]
        if not rows:
            check_choice("truth", name, [*names, *(x for x in frame["label"] if x)])
        truth[rows] = float(value)
    return frame.assign(truth=truth)


def estimate_power(
    population: str | Population | Draw,
    model: str,
    n: int | Sequence[int],
    *,
    n_replications: int = 500,
    function: Literal["cfa", "sem", "growth", "fit_model"] = "sem",
    options: Mapping[str, Any] | None = None,
    survey: Mapping[str, Any] | None = None,
    prepare: Callable[[SimulatedSurvey], Any] | None = None,
    decisions: Mapping[str, Decision | str] | None = None,
    truth: Mapping[str, float] | None = None,
    metric: Metric | None = None,
    measures: Sequence[str] = _MEASURES,
    alpha: float = 0.05,
    standardized: bool = True,
    seed: int = _SEED,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> Power:
    """Carry out a study many times on simulated answers, and count what it finds.

    Parameters
    ----------
    population : str, Population or callable
        What is true; see :func:`simulate_survey`. A callable takes the number of respondents and
        of the replicate and returns a :class:`SimulatedSurvey`; `survey`, `standardized` and
        `seed` are then its own business.
    model : str
        What is fitted. Where it leaves out what is true, the rates are those of a model that
        misfits.
    n : int or sequence of int
        Respondents. Replicate b of every size has the same stream of random numbers.
    n_replications : int
        Studies of each size. A power of .80 has a Monte Carlo standard error of .018 with 500.
    function : {"cfa", "sem", "growth", "fit_model"}
        That fits the model.
    options : mapping, optional
        Its options, such as ``{"estimator": "MLR", "missing": "fiml"}``.
    survey : mapping, optional
        Options of :func:`simulate_survey`, such as ``{"thresholds": None}`` for continuous
        answers; by default seven-point items.
    prepare : callable, optional
        From the :class:`SimulatedSurvey` to the data of the fit, e.g. to turn items that are
        recorded reversed; its frame by default.
    decisions : mapping of str to (str or callable), optional
        Rules over fit measures (``"cfi >= 0.95 and rmsea <= 0.06"``), and functions of the
        :class:`FitResult` that return True, False, None (cannot be judged), or a mapping of
        names to these, as the verdicts over several hypotheses are.
    truth : mapping of str to float, optional
        True values by name (``"SAT~SQ"``) or label. By default those of the model fitted to
        the covariances of the population's latent responses: its minor factors and categories
        count as error.
    metric : {"raw", "all", "lv", "nox"}, optional
        Of the parameters; by default "all" (standardised) where items have categories, whose
        units are not the population's, else "raw".
    measures : sequence of str
        Fit measures to keep.
    alpha : float
        Two-sided level of tests of single parameters.
    standardized : bool
        See :func:`population_from_text`.
    seed : int
        Replicate b takes streams of its own: its numbers do not depend on how many there are or
        on who computes them.
    n_jobs : int
        Processes; -1 for all cores. The backend is joblib's (loky, dask ...).
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    Power
        An interruption from the keyboard returns the studies that are done.

    Raises
    ------
    ModelError
        The population or the model cannot be read.
    OptionError
        An option that does not exist or is out of range.
    InputError
        The first ten studies all fail.

    References
    ----------
    Muthen & Muthen (2002), Structural Equation Modeling 9, 599-620.

    Examples
    --------
    >>> power = estimate_power(
    ...     "F =~ 0.7*a + 0.7*b + 0.7*c + 0.7*d", "F =~ a + b + c + d", 100, n_replications=4
    ... )
    >>> int(power.outcomes().loc[0, "n_used"])
    4
    """
    sizes = (n,) if isinstance(n, int) else tuple(n)
    for value, name in ((n_replications, "n_replications"), *((size, "n") for size in sizes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 2:
            raise OptionError(f"{name}={value!r} must be a whole number above 1.")
    if not sizes or len(set(sizes)) < len(sizes):
        raise OptionError(f"n={n!r}: give at least one size, each once.")
    if not 0.0 < alpha < 1.0:
        raise OptionError(f"alpha={alpha!r} must lie between 0 and 1.", remedy="Try 0.05.")
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise OptionError(f"n_jobs={n_jobs!r} is no number of processes.", remedy="Try n_jobs=1.")
    check_choice("function", function, _FUNCTIONS)
    if metric is not None:
        check_choice("metric", metric, ("raw", "all", "lv", "nox"))
    if survey and callable(population):
        raise OptionError(
            "survey= describes how answers are drawn, and the population is a function that "
            "draws them.",
            remedy="Put it into the function.",
        )
    if isinstance(population, str):
        population = population_from_text(population, standardized=standardized)
    work = _Work(
        population=population,
        model=model,
        function=function,
        options=dict(options or {}),
        survey=dict(survey or {}),
        prepare=prepare,
        metric=metric or "raw",
        measures=tuple(measures),
        decisions={
            name: _Rule.read(rule) if isinstance(rule, str) else rule
            for name, rule in (decisions or {}).items()
        },
        seed=seed,
    )
    first = _first_fit(work, max(sizes))
    for name in measures:
        check_choice("measures", name, tuple(first.fit_measures.index))
    if metric is None and _has_categories(work, first.moments.blocks[0].variables):
        work = replace(work, metric="all")
    # Names of fit measures in rules are checked before hours are spent.
    work.decide(first)
    rows = _truths(work, first, truth or {})
    portions = [
        (size, range(start, min(start + _PORTION, n_replications)))
        for size in sizes
        for start in range(0, n_replications, _PORTION)
    ]
    total = n_replications * len(sizes)
    pieces = collect(map_in_order(work, portions, n_jobs), _PORTION, total, progress)
    return Power(
        rows=rows,
        sizes=sizes,
        n_replications=n_replications,
        metric=work.metric,
        alpha=alpha,
        measures=work.measures,
        replicates=tuple(r for piece in pieces for r in piece),
        seed=seed,
    )


def _first_fit(work: _Work, n: int) -> FitResult:
    """The first study that converges, whose rows all others share."""
    problem: SqvalidError | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        for replicate in range(10):
            try:
                fit = work.fit(n, replicate)
            except InputError as refused:
                # Of other answers the model may be estimated; other errors are the caller's.
                problem = refused
                continue
            if fit.converged:
                return fit
    raise InputError(
        f"The first ten studies of {n} respondents have no estimates"
        + (f": {problem}" if problem is not None else "."),
        remedy="Simulate one study with simulate_survey and look at its fit.",
    )
