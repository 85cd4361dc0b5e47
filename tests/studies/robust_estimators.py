"""What maximum likelihood and its robust versions do with Likert answers: a simulation.

    python tests/studies/robust_estimators.py [--replications 1000] [--workers 2] [--write]

Five service-quality factors, an indirect effect, samples of 150, 300 and 600, answers that are
normal or five skewed categories, and the estimators ML, MLM, MLMV and MLR on the same data. The
population is known, so are the rejection rate that the test should have and the values that
the intervals should cover. What came out, read and explained, is in robust_estimators.md;
``--write`` puts new tables into that file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import special

import sqvalid
from sqvalid.errors import EstimationError, SqvalidWarning
from sqvalid.latent.result import FitResult
from sqvalid.resampling import uniforms

Array = NDArray[np.float64]

SEED = 20261122
SIZES = (150, 300, 600)
ANSWERS = ("normal", "skewed")
# The statistic each estimator reports.
TESTS = {
    "ML": "standard",
    "MLM": "satorra.bentler",
    "MLMV": "scaled.shifted",
    "MLR": "yuan.bentler.mplus",
}
LEVEL = 0.05
PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

MODEL = """
TAN =~ T1 + T2 + T3 + T4
REL =~ L1 + L2 + L3 + L4
EMP =~ E1 + E2 + E3 + E4
SAT =~ S1 + S2 + S3
RPI =~ R1 + R2 + R3
SAT ~ TAN + a*REL + EMP
RPI ~ b*SAT + EMP
indirect := a*b
"""
# Standardised population: every factor and every item has variance one.
LOADINGS = {
    "TAN": {"T1": 0.70, "T2": 0.75, "T3": 0.65, "T4": 0.80},
    "REL": {"L1": 0.80, "L2": 0.70, "L3": 0.75, "L4": 0.60},
    "EMP": {"E1": 0.65, "E2": 0.75, "E3": 0.70, "E4": 0.80},
    "SAT": {"S1": 0.85, "S2": 0.80, "S3": 0.75},
    "RPI": {"R1": 0.80, "R2": 0.85, "R3": 0.70},
}
CORRELATIONS = {("TAN", "REL"): 0.50, ("TAN", "EMP"): 0.40, ("REL", "EMP"): 0.60}
PATHS = {
    ("SAT", "TAN"): 0.20,
    ("SAT", "REL"): 0.35,
    ("SAT", "EMP"): 0.30,
    ("RPI", "SAT"): 0.50,
    ("RPI", "EMP"): 0.20,
}
# Shares of the answers 1 to 5, given to the items in turn: skewness -1.23, -1.34, -1.48.
SHARES = (
    (0.04, 0.06, 0.12, 0.33, 0.45),
    (0.03, 0.06, 0.11, 0.28, 0.52),
    (0.03, 0.05, 0.10, 0.27, 0.55),
)
ITEMS = tuple(item for own in LOADINGS.values() for item in own)


# --- the population ----------------------------------------------------------------------


@cache
def latent_responses() -> Array:
    """Correlation matrix of the normal variables behind the items, shape (18, 18)."""
    factors = list(LOADINGS)
    position = {name: k for k, name in enumerate(factors)}
    phi = np.eye(len(factors))
    for (one, other), value in CORRELATIONS.items():
        phi[position[one], position[other]] = phi[position[other], position[one]] = value
    for outcome in ("SAT", "RPI"):
        row = position[outcome]
        weights = np.zeros(len(factors))
        for (to, source), value in PATHS.items():
            if to == outcome:
                weights[position[source]] = value
        # The factors before it, in the order of the regressions.
        phi[row, :row] = phi[:row, row] = weights[:row] @ phi[:row, :row]
    lambda_ = np.zeros((len(ITEMS), len(factors)))
    for factor, own in LOADINGS.items():
        for item, value in own.items():
            lambda_[ITEMS.index(item), position[factor]] = value
    sigma = lambda_ @ phi @ lambda_.T
    np.fill_diagonal(sigma, 1.0)
    return np.asarray(sigma)


def cuts(item: int) -> Array:
    """Thresholds of an item on its normal variable, shape (4,)."""
    shares = SHARES[item % len(SHARES)]
    return np.asarray(special.ndtri(np.cumsum(shares)[:-1]))


def covariance_of_categories(rho: float, one: Array, other: Array, *, nodes: int = 24) -> float:
    r"""Covariance of two normal variables that were cut into the categories 1, 2, ...

    .. math:: \sum_k \sum_l \int_0^\rho \phi_2(\tau_k, \upsilon_l; r)\, dr

    because a category's number is one plus the count of thresholds passed, and the derivative
    of a bivariate normal probability by the correlation is the density (Plackett, 1954).

    Parameters
    ----------
    rho : float
        Correlation of the normal variables, at most about .9 in size.
    one, other : ndarray
        Thresholds.
    nodes : int
        Of the Gauss-Legendre rule.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    r = 0.5 * rho * (points + 1.0)[:, None, None]
    x, y = one[None, :, None], other[None, None, :]
    rest = 1.0 - r**2
    density = np.exp(-(x**2 - 2.0 * r * x * y + y**2) / (2.0 * rest)) / np.sqrt(rest)
    integral = np.tensordot(weights, density, axes=1) * 0.5 * rho
    return float(integral.sum() / (2.0 * np.pi))


@cache
def population_covariance(answers: str) -> pd.DataFrame:
    """Covariance matrix of the items as they are answered, exact."""
    sigma = latent_responses().copy()
    if answers == "skewed":
        categories = np.arange(1, 6)
        for i in range(len(ITEMS)):
            for j in range(i):
                value = covariance_of_categories(sigma[i, j], cuts(i), cuts(j))
                sigma[i, j] = sigma[j, i] = value
            shares = np.asarray(SHARES[i % len(SHARES)])
            sigma[i, i] = shares @ categories**2 - (shares @ categories) ** 2
    return pd.DataFrame(sigma, index=ITEMS, columns=ITEMS)


@cache
def population_fit(answers: str) -> FitResult:
    """The model fitted to the population covariance matrix by maximum likelihood."""
    fit: FitResult = sqvalid.sem(
        MODEL, cov=population_covariance(answers), n_obs=1_000_000, sample_cov_rescale=False
    )
    return fit


def draw(n_obs: int, answers: str, replicate: int) -> pd.DataFrame:
    """Answers of one replicate.

    The normal variables are the same whether they are cut into categories or not; the stream
    depends on the size of the sample and on the replicate.
    """
    draws = special.ndtri(uniforms(SEED + n_obs, replicate, n_obs * len(ITEMS)))
    values = draws.reshape(n_obs, -1) @ np.linalg.cholesky(latent_responses()).T
    if answers == "skewed":
        for item in range(len(ITEMS)):
            values[:, item] = 1.0 + np.searchsorted(cuts(item), values[:, item])
    return pd.DataFrame(values, columns=list(ITEMS))


# --- one replicate -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Quantities:
    """What is looked at in a fit: standardised loadings and correlations, the indirect effect.

    Parameters
    ----------
    est, se, lower, upper : ndarray, shape (22,)
        Estimates, standard errors and ends of the 95% intervals: 18 loadings, 3 correlations,
        1 indirect effect (in the metric of the marker items, as a table of parameters has it).
    """

    est: Array
    se: Array
    lower: Array
    upper: Array


# Where the parts stand in the vectors of Quantities.
PARTS = {
    "loadings": slice(0, len(ITEMS)),
    "correlations": slice(len(ITEMS), len(ITEMS) + len(CORRELATIONS)),
    "indirect": slice(len(ITEMS) + len(CORRELATIONS), None),
}


def quantities(fit: FitResult) -> Quantities:
    """Read the quantities off a fit."""
    standard, plain = fit.standardized("all"), fit.parameters
    exogenous = list(dict.fromkeys(name for pair in CORRELATIONS for name in pair))
    between = (standard.op == "~~") & standard.lhs.isin(exogenous) & (standard.lhs != standard.rhs)
    frames = (standard[standard.op == "=~"], standard[between], plain[plain.op == ":="])

    def column(name: str) -> Array:
        return np.concatenate([frame[name].to_numpy() for frame in frames])

    return Quantities(*(column(name) for name in ("est", "se", "ci_lower", "ci_upper")))


@dataclass(frozen=True, eq=False)
class Outcome:
    """One fit of one replicate; without numbers when it did not converge."""

    admissible: bool
    stat: float = float("nan")
    pvalue: float = float("nan")
    found: Quantities | None = None

    @property
    def converged(self) -> bool:
        """Whether there is a solution, admissible or not."""
        return self.found is not None


def fit_once(data: pd.DataFrame, estimator: str) -> Outcome:
    """Fit the model by one estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        try:
            fit = sqvalid.sem(MODEL, data, estimator=estimator)
        except EstimationError:
            return Outcome(False)
    if not fit.converged:
        return Outcome(False)
    test = fit.tests[TESTS[estimator]]
    return Outcome(fit.admissible, test["stat"], test["pvalue"], quantities(fit))


def fit_all(data: pd.DataFrame) -> dict[str, Outcome]:
    """Fit the data of one replicate by every estimator."""
    return {estimator: fit_once(data, estimator) for estimator in TESTS}


# --- the tables --------------------------------------------------------------------------


def mean_with_error(values: Array) -> tuple[float, float]:
    """Mean over replicates and its Monte Carlo standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def summarise(outcomes: Sequence[Outcome], target: Quantities, df: int) -> dict[str, float]:
    """Rates and ratios of one cell of the design; `*_mcse` are their Monte Carlo errors.

    Every converged replicate counts, inadmissible ones included: leaving them out would
    select samples.
    """
    done = [o for o in outcomes if o.found is not None]
    row: dict[str, float] = {
        "not_converged": len(outcomes) - len(done),
        "inadmissible": sum(not o.admissible for o in done),
    }
    rejected = np.array([o.pvalue < LEVEL for o in done], dtype=float)
    row["rejected"], row["rejected_mcse"] = mean_with_error(rejected)
    stat = np.array([o.stat for o in done])
    row["mean_stat"] = float(stat.mean() / df)
    row["sd_stat"] = float(stat.std(ddof=1) / np.sqrt(2.0 * df))
    found = [o.found for o in done if o.found is not None]
    est, se, lower, upper = (
        np.array([getattr(f, name) for f in found]) for name in ("est", "se", "lower", "upper")
    )
    covered = ((lower <= target.est) & (target.est <= upper)).astype(float)
    ratio = se.mean(axis=0) / est.std(axis=0, ddof=1)
    # Of every replicate, its part of the ratio's numerator and of the variance below it.
    influence = ratio * (
        se / se.mean(axis=0) - 0.5 * (est - est.mean(axis=0)) ** 2 / est.var(axis=0, ddof=1)
    )
    for part, where in PARTS.items():
        name = f"coverage_{part}"
        row[name], row[f"{name}_mcse"] = mean_with_error(covered[:, where].mean(axis=1))
        name = f"se_ratio_{part}"
        row[name] = float(ratio[where].mean())
        row[f"{name}_mcse"] = mean_with_error(influence[:, where].mean(axis=1))[1]
    return row


def run_study(replications: int, workers: int = 1) -> pd.DataFrame:
    """All cells of the design, one row per size, answers and estimator."""
    rows = []
    with Parallel(n_jobs=workers) as pool:
        for answers in ANSWERS:
            population = population_fit(answers)
            target = quantities(population)
            for n_obs in SIZES:
                begin = time.perf_counter()
                tasks = (delayed(fit_all)(draw(n_obs, answers, r)) for r in range(replications))
                found = list(pool(tasks))
                for estimator in TESTS:
                    own = summarise([f[estimator] for f in found], target, population.df)
                    cell = {"n": n_obs, "answers": answers, "estimator": estimator}
                    rows.append(cell | {"replications": replications} | own)
                spent = time.perf_counter() - begin
                print(f"{answers}, n = {n_obs}: {spent:.0f} s", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def population_lines() -> list[str]:
    """The population values of the two kinds of answers as a table."""
    lines = [
        "| answers | F of the model | RMSEA | n F at 150, 300, 600 | loadings, standardised | "
        "latent correlations | indirect effect |",
        "|---|---|---|---|---|---|---|",
    ]
    for answers in ANSWERS:
        fit = population_fit(answers)
        f = max(fit.fit_measures["chisq"] / fit.n_obs, 0.0)
        est = quantities(fit).est
        loadings = est[PARTS["loadings"]]
        cells = [
            answers,
            f"{f:.5f}",
            f"{np.sqrt(f / fit.df):.4f}",
            ", ".join(f"{n * f:.2f}" for n in SIZES),
            f"{loadings.min():.3f} to {loadings.max():.3f}, mean {loadings.mean():.3f}",
            ", ".join(f"{value:.3f}" for value in est[PARTS["correlations"]]),
            f"{est[-1]:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table_lines(frame: pd.DataFrame) -> list[str]:
    """The results as two tables, each ending with the largest Monte Carlo error of a column."""
    first = ["rejected", "mean_stat", "sd_stat", "not_converged", "inadmissible"]
    second = [f"{kind}_{part}" for kind in ("coverage", "se_ratio") for part in PARTS]
    heads = {
        "rejected": "rejected at .05",
        "mean_stat": "mean T / df",
        "sd_stat": "SD T / sqrt(2 df)",
        "not_converged": "not converged",
        "inadmissible": "inadmissible",
    } | {
        f"{kind}_{part}": f"{words}: {part}"
        for kind, words in (("coverage", "coverage"), ("se_ratio", "SE/SD"))
        for part in PARTS
    }
    lines: list[str] = []
    for columns in (first, second):
        names = ["answers", "n", "estimator", *(heads[name] for name in columns)]
        lines += ["", f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        for row in frame.to_dict("records"):
            cells = [row["answers"], str(row["n"]), row["estimator"]]
            cells += [
                str(int(row[name])) if name in first[-2:] else f"{row[name]:.3f}"
                for name in columns
            ]
            lines.append(f"| {' | '.join(cells)} |")
        errors = [
            f"{frame[f'{name}_mcse'].max():.3f}" if f"{name}_mcse" in frame else ""
            for name in columns
        ]
        lines.append(f"| largest Monte Carlo error | | | {' | '.join(errors)} |")
    return lines


def report(frame: pd.DataFrame) -> str:
    """The tables in Markdown."""
    replications = int(frame["replications"].iloc[0])
    intro = f"{replications:,} replications per cell, seed {SEED}, sqvalid {sqvalid.__version__}."
    lines = [intro, "", "Population:", "", *population_lines(), *table_lines(frame)]
    return "\n".join(lines)


def main() -> None:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description="ML and its robust versions on Likert answers")
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    arguments = parser.parse_args()
    if arguments.replications < 2:
        parser.error("a spread needs two replications or more")
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        # The number of threads is read when numpy is loaded: start again with one.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    tables = report(run_study(arguments.replications, arguments.workers))
    print(tables)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
