"""sqvalid beside its peers: the same fits, run in turn in one window of time.

    python tests/bench/compare.py [--rows a,b,...] [--rounds N] [--write]

Rows: a, b, mlr, mlm, wide, mlr44, mlm44, large, fiml, fiml5k, boot,
wlsmv, wlsmv7, wlsmv10k, wlsmv44, import.

Every round runs each program once, so that whatever else the machine does falls on all of
them. Times are medians of CPU time on one thread. A program that is not installed is left out;
lavaan runs in one R process that stays open. Each fit's work: estimates, standard
errors, standardised estimates, fit measures; from the data frame to the tables. Chi-squares are
compared, scaled ones where the estimator is robust, and a disagreement ends the script with an
error. The row of the bootstrap is the time of one resample: of 5,000 here, of 60 by
bootstrapLavaan. Rows of MLM run MLR on the same data in the same turns: Gamma must not make it
slow.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from workloads import WORKLOADS, Workload

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# A run gives the milliseconds of CPU time it took, and chi-square.
Run = Callable[[], tuple[float, float]]
ROUNDS = {
    "a": 25,
    "b": 25,
    "mlr": 15,
    "mlm": 15,
    "wide": 5,
    "mlr44": 5,
    "mlm44": 5,
    "large": 5,
    "fiml": 3,
    "fiml5k": 1,
    "boot": 5,
    "wlsmv": 7,
    "wlsmv7": 3,
    "wlsmv10k": 3,
    "wlsmv44": 3,
    "import": 7,
}
# Resamples that lavaan makes.
LAVAAN_DRAWS = 60
# Relative differences of chi-square; semopy stops early, where its F is good to 1e-6.
AGREEMENT = {"semopy": 1e-4, "seminr": 1e-5, "lavaan": 1e-6}
# Polychoric correlations of both programs are good to about 1e-7, and so is what rests on them.
ORDERED_AGREEMENT = 1e-5
SEMOPY_F = 1e-6
# The other robust estimator, and how many times its time MLM may take.
BESIDE, AT_MOST = "sqvalid, MLR", 2
# What a release must reach, and what it aims at, as ratios to each peer.
TARGETS = {
    "a": {"lavaan": (10, 20), "semopy": (8, 15), "seminr": (3, 6)},
    "b": {"lavaan": (10, 20), "semopy": (8, 15), "seminr": (3, 6)},
    "mlr": {"lavaan": (30, 60), "seminr": (15, 30)},
    "mlm": {},
    "mlr44": {},
    "mlm44": {},
    "wide": {"lavaan": (40, 100), "semopy": (30, 60)},
    "large": {"lavaan": (12, 20)},
    "fiml": {"lavaan": (15, 50)},
    "fiml5k": {"lavaan": (15, 50)},
    "boot": {"lavaan": (80, 150)},
    "wlsmv": {"lavaan": (20, 40)},
    "wlsmv7": {"lavaan": (20, 40)},
    "wlsmv10k": {"lavaan": (20, 40)},
    "wlsmv44": {"lavaan": (30, 60)},
    "import": {"semopy": (4, 7)},
}


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Milliseconds of CPU time of this process, and what `work` returns."""
    # What the program before left behind is cleared away at nobody's cost, as in R.
    gc.collect()
    begin = time.process_time()
    value = work()
    return 1e3 * (time.process_time() - begin), value


def our_run(work: Workload) -> Run:
    """sqvalid: the fit, its parameter table and its fit measures."""
    import sqvalid

    data = work.data()
    function = sqvalid.sem if work.paths else sqvalid.cfa
    missing = "fiml" if work.missing else "listwise"
    ordered = True if work.categories else None

    def run() -> float:
        fit = function(work.model, data, estimator=work.estimator, missing=missing, ordered=ordered)
        _ = fit.parameters
        return float(fit.fit_measures["chisq" if work.estimator == "ML" else "chisq_scaled"])

    if work.draws:
        fit = function(work.model, data)

        def resample() -> float:
            sqvalid.bootstrap_fit(fit, work.draws)
            return float(fit.fit_measures["chisq"])

        return lambda: per_draw(timed(resample), work.draws)
    return lambda: timed(run)


def per_draw(spent: tuple[float, float], draws: int) -> tuple[float, float]:
    """Milliseconds of one resample, and the value."""
    return spent[0] / draws, spent[1]


def semopy_run(work: Workload) -> Run | None:
    """semopy: the fit, inspection with standardised estimates, statistics."""
    if importlib.util.find_spec("semopy") is None or work.estimator != "ML" or work.missing:
        return None
    if work.draws:
        return None
    import semopy

    data = work.data()

    def run() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = semopy.Model(work.model)
            model.fit(data)
            model.inspect(std_est=True)
            return float(semopy.calc_stats(model)["chi2"].iloc[0])

    return lambda: timed(run)


def seminr_run(work: Workload) -> Run | None:
    """seminr: its covariance-based estimator and the summary that has the standard errors."""
    if (
        importlib.util.find_spec("seminr") is None
        or work.missing
        or work.draws
        or work.estimator not in ("ML", "MLR")
    ):
        return None
    import seminr

    data = work.data()
    specs = [
        (seminr.higher_reflective if own[0] in work.factors else seminr.reflective)(name, own)
        for name, own in work.factors.items()
    ]
    measurement = seminr.constructs(*specs)
    groups = [seminr.paths(list(causes), outcome) for outcome, causes in work.paths]

    def run() -> float:
        if groups:
            model: Any = seminr.estimate_cbsem(
                data, measurement, seminr.relationships(*groups), estimator=work.estimator
            )
        else:
            model = seminr.estimate_cfa(data, measurement, estimator=work.estimator)
        seminr.summarize(model)
        name = "chisq" if work.estimator == "ML" else "chisq.scaled"
        return float(model.estimation.fit_measures[name])

    return lambda: timed(run)


class Lavaan:
    """One R process that fits what it is asked to, and times itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            ["Rscript", "--vanilla", str(HERE / "lavaan_loop.R")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @staticmethod
    def is_available() -> bool:
        """Whether R with lavaan is on this machine."""
        if shutil.which("Rscript") is None:
            return False
        probe = ["Rscript", "--vanilla", "-e", "library(lavaan)"]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def run(self, work: Workload) -> Run:
        """The fit, parameterEstimates(standardized = TRUE) and fitMeasures()."""
        data = work.data()
        stem = self.folder / work.name
        values, names, model = (stem.with_suffix(s) for s in (".bin", ".names", ".model"))
        values.write_bytes(data.to_numpy().T.tobytes())
        names.write_text("\n".join(data.columns) + "\n")
        model.write_text(work.model + "\n")
        function = "sem" if work.paths else "cfa"
        missing = "fiml" if work.missing else "listwise"
        draws = LAVAAN_DRAWS if work.draws else 0
        ordered = int(work.categories > 0)
        fields = (values, *data.shape, names, model, work.estimator, function, missing, draws)
        fields = (*fields, ordered)
        request = "\t".join(map(str, fields)) + "\n"

        def run() -> tuple[float, float]:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(request)
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            if not answer:
                raise RuntimeError(f"lavaan stopped at row {work.name}")
            milliseconds, chisq = answer.split("\t")
            return float(milliseconds), float(chisq)

        return run

    def close(self) -> None:
        """End the R process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def import_run(statement: str) -> Run:
    """CPU time of a fresh interpreter that runs `statement`, an empty one's taken off."""

    def spent(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return lambda: (spent(statement) - spent("pass"), 0.0)


def runs_of(row: str, lavaan: Lavaan | None) -> dict[str, Run]:
    """Every program that can do the row."""
    if row == "import":
        found: dict[str, Run | None] = {
            "sqvalid": import_run("import sqvalid"),
            "sqvalid.cfa": import_run("from sqvalid import cfa"),
        }
        for name in ("semopy", "seminr"):
            installed = importlib.util.find_spec(name) is not None
            found[name] = import_run(f"import {name}") if installed else None
    else:
        work = WORKLOADS[row]
        found = {
            "sqvalid": our_run(work),
            "semopy": semopy_run(work),
            "seminr": seminr_run(work),
            "lavaan": lavaan.run(work) if lavaan is not None else None,
        }
        if work.estimator == "MLM":
            found[BESIDE] = our_run(replace(work, estimator="MLR"))
    return {name: run for name, run in found.items() if run is not None}


def measure(runs: dict[str, Run], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median milliseconds and chi-square of every program; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    values: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, run in runs.items():
            milliseconds, values[name] = run()
            if number:
                times[name].append(milliseconds)
    return {name: statistics.median(own) for name, own in times.items()}, values


def disagreements(row: str, values: dict[str, float]) -> list[str]:
    """Programs whose chi-square is not ours."""
    ours = values["sqvalid"]
    out = []
    for name, value in values.items():
        relative = AGREEMENT.get(name, np.inf)
        if row in WORKLOADS and WORKLOADS[row].categories:
            relative = ORDERED_AGREEMENT
        allowed = relative * max(abs(ours), 1.0)
        if name == "semopy" and row in WORKLOADS:
            allowed += SEMOPY_F * WORKLOADS[row].n_obs
        if abs(value - ours) > allowed:
            out.append(f"row {row}: chi-square {ours:.6f} here, {value:.6f} by {name}")
    return out


def describe(row: str, times: dict[str, float]) -> list[str]:
    """Cells of one line of the table."""
    ours = times["sqvalid"]
    cells = [WORKLOADS[row].title if row in WORKLOADS else "import, beyond an empty interpreter"]
    digits = 3 if ours < 1.0 else 1
    cells.append(f"{ours:.{digits}f}")
    for name in ("semopy", "seminr", "lavaan"):
        if name not in times:
            cells.append("-")
            continue
        least, aim = TARGETS[row].get(name, (0, 0))
        wanted = f", aim {aim}x, at least {least}x" if least else ""
        cells.append(f"{times[name]:.1f} ({times[name] / ours:.1f}x{wanted})")
    if "sqvalid.cfa" in times:
        cells[0] += f"; with the engine {times['sqvalid.cfa']:.0f} ms"
    if BESIDE in times:
        cells[0] += f"; MLR {times[BESIDE]:.1f} ms, MLM / MLR {ours / times[BESIDE]:.2f}"
        cells[0] += f" (at most {AT_MOST})"
    return cells


def machine() -> str:
    """Processor and versions, without names of hosts or people."""
    import scipy

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}; Python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; "
        "one thread, medians of CPU time, programs run in turn."
    )


def main() -> None:
    """Run the rows asked for and print the table."""
    parser = argparse.ArgumentParser(description="sqvalid beside its peers")
    parser.add_argument("--rows", default=",".join(ROUNDS), help="comma-separated")
    parser.add_argument("--rounds", type=int, help="rounds for every row")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md beside this file")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    if unknown := set(rows) - set(ROUNDS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROUNDS)}")
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        # The number of threads is read when numpy is loaded: start again with one.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})

    head = ["row", "sqvalid, ms", "semopy, ms", "seminr, ms", "lavaan, ms"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        lavaan = Lavaan(Path(folder)) if Lavaan.is_available() else None
        for row in rows:
            times, values = measure(runs_of(row, lavaan), arguments.rounds or ROUNDS[row])
            wrong += disagreements(row, values)
            lines.append(f"| {' | '.join(describe(row, times))} |")
            print(lines[-1], flush=True)
        if lavaan is not None:
            lavaan.close()
    report = "\n".join(["# sqvalid beside its peers", "", machine(), "", *lines, ""])
    print(f"\n{report}")
    if arguments.write:
        (HERE / "RESULTS.md").write_text(report, encoding="utf-8")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
