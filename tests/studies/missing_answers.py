"""What four ways to treat missing answers do to paths and tests: a simulation.

    python tests/studies/missing_answers.py [--replications 1000] [--workers 2] [--write]

Quality leads to satisfaction, satisfaction and quality to repurchase intention. Answers are
complete in truth; then some go missing at random (MCAR), or because of what was answered before
(MAR). Listwise and pairwise deletion, full-information maximum likelihood and two-stage maximum
likelihood estimate the same model from what is left. What came out, read and explained, is in
missing_answers.md; ``--write`` puts new tables into that file.
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

SEED = 20261124
N = 400
SHARE = 0.12
MECHANISMS = ("MCAR", "MAR")
METHODS = ("listwise", "pairwise", "fiml", "two.stage")
ITEMS = tuple(f"{f}{k}" for f in ("q", "s", "r") for k in range(1, 5))
MODEL = """Q =~ q1 + q2 + q3 + q4
S =~ s1 + s2 + s3 + s4
R =~ r1 + r2 + r3 + r4
S ~ Q
R ~ S + Q"""
LOADINGS = np.array([0.8, 0.7, 0.75, 0.65])
# In the metric of the first loading, which is 0.8 of a standardised factor.
TRUE = {"S~Q": 0.6, "R~S": 0.5, "R~Q": 0.2}
PAGE = Path(__file__).with_suffix(".md")


def complete_answers(seed: int, number: int) -> pd.DataFrame:
    """Answers of one replication, all there; every variable has variance one."""
    normal = special.ndtri(uniforms(seed, number, N * (3 + len(ITEMS)))).reshape(N, -1)
    quality = normal[:, 0]
    satisfaction = TRUE["S~Q"] * quality + np.sqrt(1 - TRUE["S~Q"] ** 2) * normal[:, 1]
    a, b, r = TRUE["R~S"], TRUE["R~Q"], TRUE["S~Q"]
    left = 1 - (a * a + b * b + 2 * a * b * r)
    intention = a * satisfaction + b * quality + np.sqrt(left) * normal[:, 2]
    columns = []
    for factor in (quality, satisfaction, intention):
        for loading in LOADINGS:
            error = normal[:, 3 + len(columns)]
            columns.append(loading * factor + np.sqrt(1 - loading**2) * error)
    return pd.DataFrame(np.column_stack(columns), columns=list(ITEMS))


def with_gaps(frame: pd.DataFrame, mechanism: str, seed: int, number: int) -> pd.DataFrame:
    """Take answers to satisfaction and intention away.

    MCAR: every such answer is missing with probability SHARE. MAR: the same share, but the
    probability grows with the mean of the respondent's quality answers (all there): who is
    pleased with the service stops answering.
    """
    draws = uniforms(seed + 1, number, N * 8).reshape(N, 8)
    chance = np.full(N, SHARE)
    if mechanism == "MAR":
        pleased = frame[[f"q{k}" for k in range(1, 5)]].mean(axis=1).to_numpy()
        spread = np.sqrt(np.var(pleased))
        chance = special.expit(-3.0 + 2.2 * pleased / spread)
    out = frame.copy()
    names = [name for name in ITEMS if name[0] in "sr"]
    out[names] = out[names].mask(draws < chance[:, None])
    return out


def fit(frame: pd.DataFrame, method: str):
    """One fit by one method."""
    with warnings.catch_warnings():
        # Inadmissible solutions are part of what a method does.
        warnings.simplefilter("ignore", SqvalidWarning)
        if method == "pairwise":
            # What many a paper does: the pairwise matrix, and the respondents of the file.
            return sqvalid.sem(MODEL, cov=frame.cov(), n_obs=len(frame))
        return sqvalid.sem(MODEL, frame, missing=method)


def replicate(number: int, seed: int) -> list[dict[str, object]]:
    """All methods on one replication."""
    whole = complete_answers(seed, number)
    rows = []
    for mechanism in MECHANISMS:
        frame = with_gaps(whole, mechanism, seed, number)
        for method in METHODS:
            row: dict[str, object] = {"mechanism": mechanism, "method": method, "n": len(frame)}
            try:
                found = fit(frame, method)
            except SqvalidError:
                rows.append(row | {"failed": True})
                continue
            if not found.converged:
                rows.append(row | {"failed": True})
                continue
            scaled = "pvalue_scaled" in found.fit_measures
            p = found.fit_measures["pvalue_scaled" if scaled else "pvalue"]
            row |= {"failed": False, "n": found.n_obs, "rejected": p < 0.05}
            table = found.parameters.set_index(["lhs", "op", "rhs"])
            for name, value in TRUE.items():
                lhs, rhs = name.split("~")
                own = table.loc[(lhs, "~", rhs)]
                row[f"{name} bias"] = own.est - value
                row[f"{name} covered"] = own.ci_lower <= value <= own.ci_upper
            # The mean of the first satisfaction item, zero in the population.
            if method in ("fiml", "two.stage"):
                row["s1 mean"] = table.loc[("s1", "~1", "")].est
            else:
                row["s1 mean"] = (frame.dropna() if method == "listwise" else frame)["s1"].mean()
            rows.append(row)
    return rows


def run_study(replications: int, workers: int = 1, seed: int = SEED) -> pd.DataFrame:
    """One row per mechanism and method: means over replications, and how many failed."""
    parts = Parallel(n_jobs=workers)(delayed(replicate)(k, seed) for k in range(replications))
    frame = pd.DataFrame([row for part in parts for row in part])
    keys = ["mechanism", "method"]
    numbers = frame.drop(columns="failed").set_index(keys).astype(float)
    found = numbers.groupby(level=keys, sort=False).mean()
    found.insert(0, "failed", frame.groupby(keys, sort=False)["failed"].sum())
    return found.reset_index()


def table(found: pd.DataFrame) -> str:
    """The result as Markdown."""
    head = ["mechanism", "method", "failed", "n used", "model rejected", "mean of s1"]
    head += [f"{name}: bias, coverage" for name in TRUE]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for _, row in found.iterrows():
        cells = [row["mechanism"], row["method"], f"{row['failed']:.0f}", f"{row['n']:.0f}"]
        cells += [f"{row['rejected']:.3f}", f"{row['s1 mean']:+.3f}"]
        cells += [f"{row[f'{name} bias']:+.3f}, {row[f'{name} covered']:.3f}" for name in TRUE]
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
