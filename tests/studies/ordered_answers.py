"""Five answer categories, taken as ordered and taken for numbers: a simulation.

    python tests/studies/ordered_answers.py [--replications 1000] [--workers 2] [--write]

Two correlated factors of four items each; responses are normal, answers have five categories with
symmetric or skewed thresholds. What came out, read and explained, is in ordered_answers.md;
``--write`` puts new tables into that file.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import special

import sqvalid
from sqvalid.errors import SqvalidError, SqvalidWarning
from sqvalid.resampling import uniforms

Array = NDArray[np.float64]

SEED = 20261125
SIZES = (200, 500, 1000)
CUTS = {
    "symmetric": np.array([-1.5, -0.5, 0.5, 1.5]),
    # Two thirds of the answers in the upper two categories: skewness of about -1.
    "skewed": np.array([-2.05, -1.45, -0.95, 0.05]),
}
ESTIMATORS = ("WLSMV", "WLSM", "ULSMV", "MLR")
ITEMS = tuple(f"{f}{k}" for f in "ab" for k in range(1, 5))
MODEL = "A =~ a1 + a2 + a3 + a4\nB =~ b1 + b2 + b3 + b4"
LOADINGS = np.array([0.8, 0.7, 0.6, 0.75])
CORRELATION = 0.6
PAGE = Path(__file__).with_suffix(".md")


def answers(kind: str, n: int, seed: int, number: int) -> pd.DataFrame:
    """Answers of one replication, 0 to 4."""
    normal = special.ndtri(uniforms(seed + n, number, n * 10)).reshape(n, 10)
    first = normal[:, 0]
    second = CORRELATION * first + np.sqrt(1 - CORRELATION**2) * normal[:, 1]
    columns = {}
    for i, item in enumerate(ITEMS):
        loading = LOADINGS[i % 4]
        factor = first if item[0] == "a" else second
        response = loading * factor + np.sqrt(1 - loading**2) * normal[:, 2 + i]
        columns[item] = np.searchsorted(CUTS[kind], response)
    return pd.DataFrame(columns)


def replicate(kind: str, n: int, number: int, seed: int) -> list[dict[str, object]]:
    """All estimators on one replication."""
    frame = answers(kind, n, seed, number)
    rows = []
    for estimator in ESTIMATORS:
        row: dict[str, object] = {"answers": kind, "n": n, "estimator": estimator}
        options = {} if estimator == "MLR" else {"ordered": True}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SqvalidWarning)
                fit = sqvalid.cfa(MODEL, frame, estimator=estimator, std_lv=True, **options)
        except SqvalidError:
            # A category that nobody chose in a small sample does not fail: it does not exist.
            rows.append(row | {"failed": True})
            continue
        if not fit.converged:
            rows.append(row | {"failed": True})
            continue
        table = fit.standardized().set_index(["lhs", "op", "rhs"])
        row |= {"failed": False, "rejected": fit.fit_measures["pvalue_scaled"] < 0.05}
        loading = table.loc[[(item[0].upper(), "=~", item) for item in ITEMS]]
        true = np.tile(LOADINGS, 2)
        row["loading bias"] = float((loading["est"].to_numpy() - true).mean())
        inside = (loading["ci_lower"].to_numpy() <= true) & (true <= loading["ci_upper"].to_numpy())
        row["loading covered"] = float(inside.mean())
        r = table.loc[("A", "~~", "B")]
        row["r bias"] = r["est"] - CORRELATION
        row["r covered"] = r["ci_lower"] <= CORRELATION <= r["ci_upper"]
        row["r"], row["r se"] = r["est"], r["se"]
        rows.append(row)
    return rows


def run_study(replications: int, workers: int = 1, seed: int = SEED) -> pd.DataFrame:
    """One row per cell and estimator: means over replications, and how many failed."""
    cells = [(kind, n) for kind in CUTS for n in SIZES]
    parts = Parallel(n_jobs=workers)(
        delayed(replicate)(kind, n, k, seed) for kind, n in cells for k in range(replications)
    )
    frame = pd.DataFrame([row for part in parts for row in part])
    keys = ["answers", "n", "estimator"]
    grouped = frame.set_index(keys).drop(columns="failed").astype(float).groupby(
        level=keys, sort=False
    )  # fmt: skip
    found = grouped.mean()
    # Mean standard error over the standard deviation of the estimates.
    found["se ratio"] = found["r se"] / grouped["r"].std()
    found.insert(0, "failed", frame.groupby(keys, sort=False)["failed"].sum())
    return found.drop(columns=["r", "r se"]).reset_index()


def table(found: pd.DataFrame) -> str:
    """The result as Markdown."""
    head = [
        "answers", "n", "estimator", "failed", "true model rejected", "loadings: bias, coverage",
        "correlation: bias, coverage", "SE over SD",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for _, row in found.iterrows():
        cells = [row["answers"], f"{row['n']:.0f}", row["estimator"], f"{row['failed']:.0f}"]
        cells.append(f"{row['rejected']:.3f}")
        cells += [
            f"{row[f'{name} bias']:+.3f}, {row[f'{name} covered']:.3f}" for name in ("loading", "r")
        ]
        cells.append(f"{row['se ratio']:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Put the table between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    first, rest = page.split("<!-- table -->\n", 1)
    last = rest.split("<!-- end -->\n", 1)[1]
    PAGE.write_text(f"{first}<!-- table -->\n{text}<!-- end -->\n{last}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    text = table(run_study(options.replications, options.workers))
    print(text)
    print(f"{options.replications} replications, {time.perf_counter() - begin:.0f} s")
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
