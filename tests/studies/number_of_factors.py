"""Which rules find the number of factors: a simulation with known populations.

    python tests/studies/number_of_factors.py [--replications 20] [--comparison-data] [--write]

Likert answers (five categories) from populations with known numbers of factors; every rule of
suggest_n_factors() on the same samples; comparison data takes ten times as long as all others
together and is asked on request. What came out, read and explained, is in
number_of_factors.md; ``--write`` puts new tables into that file.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import sqvalid
from sqvalid.errors import SqvalidWarning
from sqvalid.resampling import normals

Array = NDArray[np.float64]

SEED = 20261122
PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
CUTS = {"even": (-1.5, -0.5, 0.5, 1.5), "skewed": (-2.0, -1.5, -0.9, -0.1)}


@dataclass(frozen=True)
class Population:
    """A number of factors, items per factor, loadings, factor correlations, answers."""

    name: str
    factors: int
    per_factor: int
    loading: float
    correlation: float
    n: int
    answers: str = "even"


POPULATIONS = (
    Population("one factor", 1, 10, 0.6, 0.0, 300),
    Population("three, apart", 3, 5, 0.7, 0.2, 300),
    Population("three, small sample", 3, 5, 0.7, 0.2, 120),
    Population("three, weak items", 3, 5, 0.5, 0.3, 300),
    Population("three, skewed", 3, 5, 0.7, 0.3, 300, "skewed"),
    Population("five, correlated .5", 5, 4, 0.7, 0.5, 400),
    Population("five, correlated .7", 5, 4, 0.75, 0.7, 400),
)


def draw(population: Population, replication: int) -> pd.DataFrame:
    """Answers of one sample."""
    m, per, n = population.factors, population.per_factor, population.n
    p = m * per
    parts = normals(SEED, replication * 64 + POPULATIONS.index(population), n * (m + p))
    parts = parts.reshape(n, m + p)
    between = np.full((m, m), population.correlation)
    np.fill_diagonal(between, 1.0)
    factors = parts[:, :m] @ np.linalg.cholesky(between).T
    # Loadings spread about their mean, as real ones do.
    spread = population.loading + 0.1 * np.linspace(-1.0, 1.0, per)
    loadings = np.tile(spread, m)
    values = np.repeat(factors, per, axis=1) * loadings
    values = values + parts[:, m:] * np.sqrt(1.0 - loadings**2)
    codes = np.digitize(values, CUTS[population.answers]) + 1
    return pd.DataFrame(codes, columns=[f"q{k + 1}" for k in range(p)])


def run_study(replications: int, *, comparison_data: bool = True) -> pd.DataFrame:
    """One row per population and rule: share right, too few, too many, mean error."""
    rows = []
    for population in POPULATIONS:
        found = []
        for k in range(replications):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SqvalidWarning)
                result = sqvalid.suggest_n_factors(
                    draw(population, k), n_draws=50, comparison_data=comparison_data
                )
            votes = result.frame.set_index("rule")["n_factors"].astype(float)
            found.append(pd.concat([votes, pd.Series({"recommended": result.recommended})]))
        table = pd.DataFrame(found)
        for rule in table:
            gap = table[rule] - population.factors
            rows.append(
                {
                    "population": population.name,
                    "rule": rule,
                    "right": float((gap == 0).mean()),
                    "too_few": float((gap < 0).mean()),
                    "too_many": float((gap > 0).mean()),
                    "none": float(gap.isna().mean()),
                    "mean_error": float(gap.mean()),
                }
            )
    return pd.DataFrame(rows)


def tables(found: pd.DataFrame, replications: int) -> str:
    """The page's tables."""
    names = [population.name for population in POPULATIONS]
    rules = list(dict.fromkeys(found["rule"]))
    cells = found.set_index(["rule", "population"])
    out = [
        f"{replications} samples per population, seed {SEED}, sqvalid {sqvalid.__version__}.",
        "",
        "Share of samples with the right number (mean error in brackets):",
        "",
        f"| rule | {' | '.join(names)} | all |",
        f"|---|{'---|' * (len(names) + 1)}",
    ]
    order = sorted(rules, key=lambda rule: -cells.loc[rule, "right"].mean())
    for rule in order:
        own = [cells.loc[(rule, name)] for name in names]
        texts = [f"{cell['right']:.2f} ({cell['mean_error']:+.1f})" for cell in own]
        out.append(
            f"| {rule} | {' | '.join(texts)} | {np.mean([cell['right'] for cell in own]):.2f} |"
        )
    return "\n".join(out)


def main() -> None:
    """Run and print, or write into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--comparison-data", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = run_study(options.replications, comparison_data=options.comparison_data)
    text = tables(found, options.replications)
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
