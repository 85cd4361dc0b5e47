"""Parallel analysis and EFA beside R's psych, run in turn.

    python tests/bench/factors.py [--rounds 7] [--write]

22 items, 600 respondents, five factors (simulated here). Medians, one thread on our side. EFA is
compared by CPU time; psych uses several processes for parallel analysis (it calls mclapply),
so there wall time is. An eigenvalue, or the discrepancy, of both programs must agree.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ.update(ONE_THREAD)

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import sqvalid as sq  # noqa: E402
from sqvalid.exploratory import parallel_eigenvalues  # noqa: E402

PAGE = Path(__file__).with_suffix(".md")
# Row, what must be reached, what is aimed at.
TARGETS = {"parallel": (10, 80), "parallel_pc": (10, 80), "efa_minres": (2, 4), "efa_ml": (2, 4)}

PROGRAM = r"""
suppressMessages(library(psych))
X <- read.csv("answers.csv")
work <- list(
  parallel = function() fa.parallel(X, fa = "both", n.iter = 100, sim = TRUE, plot = FALSE),
  parallel_pc = function() fa.parallel(X, fa = "pc", n.iter = 100, sim = TRUE, plot = FALSE),
  efa_minres = function() fa(X, 5, fm = "minres", rotate = "oblimin"),
  efa_ml = function() fa(X, 5, fm = "ml", rotate = "oblimin"))
con <- file("stdin", "r")
while (length(line <- readLines(con, 1)) > 0) {
  sink("/dev/null")
  cpu <- startsWith(line, "efa")
  clock <- function() if (cpu) sum(proc.time()[1:2]) else proc.time()[["elapsed"]]
  t0 <- clock()
  n <- if (startsWith(line, "efa")) 10 else 1
  for (i in seq_len(n)) r <- suppressWarnings(suppressMessages(work[[line]]()))
  spent <- (clock() - t0) / n
  sink()
  v <- if (startsWith(line, "efa")) r$objective else r$pc.values[1]
  cat(spent, v, "\n"); flush(stdout())
}
"""


def answers() -> pd.DataFrame:
    """Answers with five correlated factors."""
    rng = np.random.default_rng(5)
    mixed = np.linalg.cholesky(np.full((5, 5), 0.5) + 0.5 * np.eye(5))
    home = np.repeat(np.arange(5), [4, 5, 4, 4, 5])
    values = (rng.normal(size=(600, 5)) @ mixed.T)[:, home] * 0.7
    values = values + rng.normal(0, 0.7, (600, 22))
    return pd.DataFrame(values, columns=[f"P{k + 1}" for k in range(22)])


def ours(frame: pd.DataFrame, row: str) -> tuple[float, float]:
    """Seconds, and the number both programs must agree on."""
    if row.startswith("efa"):
        begin = time.process_time()
        for _ in range(10):
            fit = sq.efa(frame, 5, extraction=row[4:], rotation="oblimin")
        return (time.process_time() - begin) / 10, float(fit.fit_measures["objective"])
    begin = time.perf_counter()
    parallel_eigenvalues(*frame.shape, n_draws=100, factors=row == "parallel")
    first = float(np.linalg.eigvalsh(np.corrcoef(frame.to_numpy(), rowvar=False))[-1])
    return time.perf_counter() - begin, first


def main() -> None:
    """Run, print, and write the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    frame = answers()
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder) / "answers.csv", index=False)
        script = Path(folder) / "work.R"
        script.write_text(PROGRAM, encoding="utf-8")
        peer = subprocess.Popen(
            ["Rscript", str(script)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=os.environ | ONE_THREAD,
        )  # fmt: skip
        assert peer.stdin is not None
        assert peer.stdout is not None
        lines = [
            "| work | psych, ms | sqvalid, ms | ratio | at least | aim |",
            "|---|---|---|---|---|---|",
        ]
        for row, (least, aim) in TARGETS.items():
            times: dict[str, list[float]] = {"psych": [], "sqvalid": []}
            for k in range(options.rounds + 1):
                peer.stdin.write(row + "\n")
                peer.stdin.flush()
                theirs, value = map(float, peer.stdout.readline().split())
                mine, own = ours(frame, row)
                assert abs(own - value) < 1e-5 * max(abs(value), 1.0), (row, own, value)
                if k:
                    times["psych"].append(theirs)
                    times["sqvalid"].append(mine)
            a, b = (statistics.median(times[name]) * 1e3 for name in ("psych", "sqvalid"))
            lines.append(f"| {row} | {a:.1f} | {b:.1f} | {a / b:.1f} | {least} | {aim} |")
        peer.stdin.close()
        peer.wait()
    text = "\n".join(lines)
    print(text)
    if options.write:
        head = PAGE.read_text(encoding="utf-8").split("| work |")[0]
        PAGE.write_text(head + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
