"""How often intervals for an indirect effect hold it: a simulation.

    python tests/studies/indirect_effect.py [--replications 400] [--workers 2] [--write]

Quality leads to satisfaction and satisfaction to repurchase intention, three items each. The
intervals are the symmetric one of the delta method, bootstrap intervals and the Monte Carlo
one, all from the same samples. What came out is read in indirect_effect.md; ``--write`` puts
a new table into that file.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

import sqvalid
from sqvalid.errors import SqvalidWarning
from sqvalid.resampling import normals

Array = NDArray[np.float64]

SEED = 20261122
SIZES = (100, 200, 500)
BOOTSTRAP = ("percentile", "basic", "bias_corrected", "bca")
INTERVALS = ("delta", *BOOTSTRAP, "monte_carlo")
PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

MODEL = """
SQ =~ q1 + q2 + q3
SAT =~ s1 + s2 + s3
RPI =~ r1 + r2 + r3
SAT ~ a*SQ
RPI ~ b*SAT + SQ
indirect := a*b
"""
LOADINGS = np.array([0.80, 0.75, 0.70, 0.85, 0.80, 0.75, 0.80, 0.75, 0.70])
DIRECT = 0.10


@dataclass(frozen=True)
class Population:
    """Paths between factors of variance one."""

    name: str
    a: float
    b: float

    @property
    def indirect(self) -> float:
        """a b in the metric of the marker items q1 and r1."""
        return self.a * self.b * LOADINGS[6] / LOADINGS[0]


POPULATIONS = (Population("both paths", 0.40, 0.40), Population("no second path", 0.40, 0.0))


def draw(population: Population, n_obs: int, replicate: int) -> pd.DataFrame:
    """Answers of one replicate: normal items of variance one."""
    z = normals(SEED + n_obs, replicate, n_obs * 12).reshape(n_obs, 12)
    a, b = population.a, population.b
    quality = z[:, 0]
    satisfaction = a * quality + np.sqrt(1.0 - a**2) * z[:, 1]
    rest = 1.0 - b**2 - DIRECT**2 - 2.0 * a * b * DIRECT
    repurchase = b * satisfaction + DIRECT * quality + np.sqrt(rest) * z[:, 2]
    factors = np.repeat(np.column_stack([quality, satisfaction, repurchase]), 3, axis=1)
    items = LOADINGS * factors + np.sqrt(1.0 - LOADINGS**2) * z[:, 3:]
    return pd.DataFrame(items, columns=["q1", "q2", "q3", "s1", "s2", "s3", "r1", "r2", "r3"])


def replicate_ends(
    population: Population, n_obs: int, replicate: int, n_draws: int
) -> Array | None:
    """Ends of the intervals, shape (6, 2); None when the model does not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        fit = sqvalid.sem(MODEL, draw(population, n_obs, replicate))
        if not fit.converged:
            return None
        boot = sqvalid.bootstrap_fit(fit, n_draws, seed=replicate)
        drawn = sqvalid.draw_estimates(fit, n_draws, seed=replicate)
    frames = [
        fit.parameters,
        *(boot.parameters(kind) for kind in BOOTSTRAP),
        drawn.parameters("percentile"),
    ]
    ends = [frame.loc[frame["op"] == ":=", ["ci_lower", "ci_upper"]] for frame in frames]
    return np.vstack([end.to_numpy(dtype=np.float64) for end in ends])


def rows_of(population: Population, n_obs: int, ends: Array, lost: int) -> list[dict[str, object]]:
    """Coverage, misses on either side and mean width of every interval."""
    out: list[dict[str, object]] = []
    for k, name in enumerate(INTERVALS):
        low, high = ends[:, k, 0], ends[:, k, 1]
        below, above = high < population.indirect, low > population.indirect
        out.append(
            {
                "population": population.name,
                "n": n_obs,
                "interval": name,
                "coverage": f"{1.0 - (below | above).mean():.3f}",
                "too low": f"{below.mean():.3f}",
                "too high": f"{above.mean():.3f}",
                "mean width": f"{(high - low).mean():.3f}",
                "excludes 0": f"{((low > 0.0) | (high < 0.0)).mean():.3f}",
                "lost": lost,
            }
        )
    return out


def main() -> None:
    """Run the study and print, or write, its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    with Parallel(n_jobs=arguments.workers) as parallel:
        for population in POPULATIONS:
            for n_obs in SIZES:
                found = parallel(
                    delayed(replicate_ends)(population, n_obs, r, arguments.draws)
                    for r in range(arguments.replications)
                )
                there = [ends for ends in found if ends is not None]
                lost = len(found) - len(there)
                rows += rows_of(population, n_obs, np.array(there), lost)
                print(f"{population.name}, n = {n_obs}: done", flush=True)
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    table = "\n".join(lines)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")
    else:
        print(table)


if __name__ == "__main__":
    main()
