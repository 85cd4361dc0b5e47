"""How often a study of the demonstration's size would support its hypotheses: a simulation.

    python tests/studies/power.py [--replications 500] [--workers 2] [--write]

The population is that of the demonstration: perceptions of 22 statements, satisfaction,
repurchase intention and price fairness, with wording effects, minor factors, two branches and 24
employees; everybody answers everything. Every simulated study fits the structural model by MLR
and judges the hypotheses as `judge_hypotheses` does. What came out is read in
power.md; ``--write`` puts a new table into that file.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import pandas as pd

import sqvalid as sq
from sqvalid.latent import FitResult
from sqvalid.simulate import (
    SEVEN_POINTS,
    Clusters,
    Group,
    MinorFactors,
    Power,
    SimulatedSurvey,
    jittered_thresholds,
    population_from_text,
)

SEED = 20261122
SIZES = (150, 300, 600)
# Monte Carlo draws behind the interval of the indirect path.
DRAWS = 2000
PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

# The numbers of the population stand in one place only.
_FILE = Path(__file__).parents[2] / "datasets" / "servqual_demo" / "population.py"
_SPEC = importlib.util.spec_from_file_location("servqual_demo_population", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
demo = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(demo)
LOADINGS, SECOND_ORDER = demo.LOADINGS, demo.SECOND_ORDER
OUTCOMES = {factor: demo.OUTCOMES[factor] for factor in ("SAT", "RPI", "PF")}

HYPOTHESES = {
    "H1": "SQ -> SAT, positive",
    "H2": "SAT -> RPI, positive, given SQ",
    "H3": "SAT mediates SQ -> RPI",
    "H4": "SQ -> RPI is within .10 of zero",
    "H5": "SAT -> RPI exceeds SQ -> RPI",
    "H6": "PF -> SAT, positive, given SQ",
    "H7": "REL is the strongest dimension of SQ",
}
# In the population: .58, .60, .58 * .60, not (.12), .60 > .12, .28, not (ASS .90, REL .82).
TRUE = {"H1": True, "H2": True, "H3": True, "H4": False, "H5": True, "H6": True, "H7": False}

PARTS = [
    f"{factor} =~ " + " + ".join(f"{factor}{k}" for k in range(1, len(values) + 1))
    for factor, values in OUTCOMES.items()
]


def statements() -> list[tuple[str, str, float]]:
    """Dimension, name and loading of the 22 statements."""
    pairs = [(d, value) for d, values in LOADINGS.items() for value in values]
    return [(d, f"P{k}", value) for k, (d, value) in enumerate(pairs, start=1)]


def population() -> str:
    """The population in the language of models."""
    lines = [f"{d} =~ {value}*{name}" for d, name, value in statements()]
    for factor, values in OUTCOMES.items():
        lines += [f"{factor} =~ {v}*{factor}{k}" for k, v in enumerate(values, start=1)]
    lines += [f"SQ =~ {value}*{d}" for d, value in SECOND_ORDER.items()]
    lines += [f"WORDING =~ {demo.WORDING}*P{k}" for k in demo.NEGATIVE]
    lines.append(f"RES ~~ {demo.RES_ASS - SECOND_ORDER['RES'] * SECOND_ORDER['ASS']:.6f}*ASS")
    lines.append(f"SQ ~~ {demo.PRICE_QUALITY}*PF")
    lines.append(f"SAT ~ {demo.QUALITY_TO_SAT}*SQ + {demo.PRICE_TO_SAT}*PF")
    lines.append(f"RPI ~ {demo.SAT_TO_RPI}*SAT + {demo.QUALITY_TO_RPI}*SQ + {demo.PRICE_TO_RPI}*PF")
    return "\n".join(lines) + "\n"


def model() -> str:
    """The structural model of the study."""
    items = statements()
    lines = [f"{d} =~ " + " + ".join(n for e, n, _ in items if e == d) for d in LOADINGS]
    lines += [*PARTS, "SQ =~ " + " + ".join(SECOND_ORDER)]
    lines += ["SAT ~ SQ + PF", "RPI ~ SAT + SQ + PF", "SQ ~~ PF"]
    return "\n".join(lines) + "\n"


POPULATION = population_from_text(population())
ITEMS = tuple(name for name in POPULATION.observed)


def draw(n: int, replicate: int) -> SimulatedSurvey:
    """Answers of one study: branches 340 to 260, nothing missing, nobody careless."""
    north = round(n * 340 / 600)
    return sq.simulate_survey(
        POPULATION,
        n,
        seed=SEED,
        replicate=replicate,
        thresholds=jittered_thresholds(SEVEN_POINTS, ITEMS, shift=0.30, seed=SEED),
        minor_factors=MinorFactors(n=40, share=0.10, decay=0.07, seed=SEED),
        groups=[
            Group(
                "branch",
                {"north": north, "south": n - north},
                {"south": {"P3": 0.35, "P12": 0.35, "RES": 0.30}},
            )
        ],
        clusters=Clusters(
            "employee", {"north": 14, "south": 10}, 0.05, ("SQ", *LOADINGS), within="branch"
        ),
    )


def verdicts(fit: FitResult) -> dict[str, bool | None]:
    """Which hypotheses a study supports; None where it cannot judge."""
    draws = sq.draw_estimates(fit, DRAWS)
    tests = sq.judge_hypotheses(sq.read_hypotheses(HYPOTHESES), fit, draws=draws).to_frame()
    return {
        str(key): None if verdict == "not_testable" else verdict == "supported"
        for key, verdict in zip(tests["id"], tests["verdict"], strict=True)
    }


def study(n_replications: int, sizes: tuple[int, ...] = SIZES, n_jobs: int = 1) -> Power:
    """Carry out the studies."""
    return sq.estimate_power(
        draw,
        model(),
        sizes,
        n_replications=n_replications,
        options={"estimator": "MLR"},
        decisions={
            "hypotheses": verdicts,
            "CFI >= .95": "cfi_scaled >= 0.95",
            "RMSEA <= .06": "rmsea_scaled <= 0.06",
            "SRMR <= .08": "srmr <= 0.08",
        },
        measures=("cfi_scaled", "rmsea_scaled", "srmr"),
        n_jobs=n_jobs,
        progress=lambda done, total: print(f"\r{done} of {total}", end="", flush=True),
    )


def tables(power: Power) -> str:
    """Tables of the page."""
    rates = power.decisions()
    rows = []
    for name in dict.fromkeys(rates["decision"]):
        own = rates[rates["decision"] == name].set_index("n")
        row = {"decision": name, "in words": HYPOTHESES.get(name, "fit of the model")}
        row["true"] = {True: "yes", False: "no"}.get(TRUE.get(name), "")
        for n in power.sizes:
            # Studies that failed or could not judge support nothing.
            rate = own.loc[n, "n_true"] / own.loc[n, "n_done"]
            error = (rate * (1.0 - rate) / own.loc[n, "n_done"]) ** 0.5
            row[f"n = {n}"] = f"{rate:.3f} ({error:.3f})"
        rows.append(row)
    paths = power.parameters()
    chosen = paths[(paths["op"] == "~") | ((paths["lhs"] == "SQ") & (paths["op"] == "=~"))]
    shown = [
        {
            "n": r["n"],
            "parameter": f"{r['lhs']} {r['op']} {r['rhs']}",
            "true": f"{r['truth']:.3f}",
            "mean": f"{r['mean']:.3f}",
            "bias (MC error)": f"{r['bias']:+.3f} ({r['bias_mcse']:.3f})",
            "sd": f"{r['sd']:.3f}",
            "mean SE": f"{r['mean_se']:.3f}",
            "coverage": f"{r['coverage']:.3f}",
            "rejects 0": f"{r['rejection']:.3f}",
        }
        for r in chosen.to_dict("records")
    ]
    counts = power.outcomes().to_dict("records")
    return "\n\n".join(_markdown(pd.DataFrame(part)) for part in (rows, shown, counts))


def _markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * frame.shape[1]]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def main() -> None:
    """Run the study and print, or write, its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    power = study(arguments.replications, n_jobs=arguments.workers)
    print(f"\n{time.perf_counter() - start:.0f} s")
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables(power)}\n\n{END}{after}", encoding="utf-8")
    else:
        print(tables(power))


if __name__ == "__main__":
    main()
