"""Where the bundled sample lies: the plan of servqual_demo carried out on samples of other seeds.

``python datasets/make_seeds.py`` (some ten minutes) draws one sample for each of the seeds
1 to 200 and for the bundled one, leaves out respondents as the study does, fits its two models,
judges its hypotheses, and writes servqual_demo/seeds.csv and servqual_demo/seeds.md.
A seed draws everything anew: the minor factors and the thresholds as well as the respondents.
"""

from __future__ import annotations

import runpy
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

import sqvalid as sq
from sqvalid.errors import SqvalidWarning
from sqvalid.latent.bootstrap import draw_estimates
from sqvalid.screening import apply_exclusions

FOLDER = Path(__file__).parent / "servqual_demo"
N_SEEDS = 200
# What mediation is judged by; the study itself takes more draws.
N_DRAWS = 4000


def one_seed(seed: int, population: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Return the main numbers and the verdicts of the plan in the sample of a seed."""
    items = [*population["perceptions"](), *population["outcomes"]()]
    frame = population["draw"](seed=seed).frame
    codes = plan["data"]["missing_codes"]
    frame[items] = frame[items].mask(frame[items].isin(codes))
    asked = frame.drop(columns=list(population["expectations"]()))
    survey = sq.Survey(asked, dimensions={"all": items})
    measurement = plan["model"]["measurement"]
    used = [name for name in items if not name.startswith(("OSQ", "DIS"))]
    kept, _ = apply_exclusions(
        survey,
        {step["rule"]: step.get("threshold") for step in plan["exclusions"]},
        duration=plan["screening"]["duration"],
        attention=plan["screening"]["attention"],
        dimensions={"": used},
    )
    answers = kept.frame.copy()
    instrument = sq.load_instrument(plan["instrument"]["id"])
    for name in used:
        if instrument.item(name).reverse:
            answers[name] = 8.0 - answers[name]
    options: dict[str, Any] = {
        "estimator": plan["analysis"]["estimator"],
        "missing": plan["analysis"]["missing"],
    }
    text = f"{measurement}{plan['model']['structural']}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        correlated = sq.sem(measurement, answers, **options)
        structural = sq.sem(text, answers, **options)
        by_branch = sq.sem(text, answers, group="branch", group_equal="loadings", **options)
        judged = sq.judge_hypotheses(
            sq.read_hypotheses(plan["hypotheses"], smallest=plan["analysis"]["smallest_effect"]),
            structural,
            groups={"branch": by_branch},
            draws=draw_estimates(structural, n_draws=N_DRAWS),
        )
    measures = correlated.fit_measures

    def standardised(fit: Any, lhs: str, op: str, rhs: str) -> Any:
        table = fit.parameters
        return table[(table["lhs"] == lhs) & (table["op"] == op) & (table["rhs"] == rhs)].iloc[0]

    direct = standardised(structural, "RPI", "~", "SQ")
    return {
        "seed": seed,
        "n": correlated.n_obs,
        "cfi": measures["cfi_robust"],
        "rmsea": measures["rmsea_robust"],
        "srmr": measures["srmr"],
        "res_ass": standardised(correlated, "RES", "~~", "ASS")["std_all"],
        "res_emp": standardised(correlated, "RES", "~~", "EMP")["std_all"],
        "direct": direct["std_all"],
        "direct_p": direct["p"],
    } | dict(zip(judged.frame["id"], judged.frame["verdict"], strict=True))


def summary(table: pd.DataFrame, bundled: int) -> str:
    """Return the page: distributions over the seeds, and where the bundled sample lies."""
    others, own = table[table["seed"] != bundled], table[table["seed"] == bundled].iloc[0]
    lines = [
        "# Where the bundled sample lies",
        "",
        f"Made by `make_seeds.py`: the plan of `study.toml` on {len(others)} samples with the",
        f"seeds 1 to {len(others)}, and on the bundled one (seed {bundled}, fixed beforehand). A",
        "seed draws everything anew, the minor factors and thresholds of the population too.",
        "",
        "| | mean | 2.5% | median | 97.5% | bundled | seeds below it |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {
        "n": "respondents kept",
        "cfi": "CFI (robust)",
        "rmsea": "RMSEA (robust)",
        "srmr": "SRMR",
        "res_ass": "r(RES, ASS), true .90",
        "res_emp": "r(RES, EMP), true .74",
        "direct": "SQ -> RPI, true .12",
    }
    for key, label in names.items():
        v = others[key]
        digits = 0 if key == "n" else 3
        shown = [v.mean(), v.quantile(0.025), v.median(), v.quantile(0.975), own[key]]
        cells = " | ".join(f"{x:.{digits}f}" for x in shown)
        lines.append(f"| {label} | {cells} | {(v < own[key]).mean():.0%} |")
    turned = (others["res_emp"] > others["res_ass"]).mean()
    lines += [
        "",
        f"RES correlates higher with EMP than with ASS in {turned:.0%} of the samples; in the",
        "population it is the other way round. The direct path is significant (p < .05) in",
        f"{(others['direct_p'] < 0.05).mean():.0%}.",
        "",
        "| hypothesis | true? | " + " | ".join(_VERDICTS) + " | bundled |",
        "|---|---|" + "---|" * (len(_VERDICTS) + 1),
    ]
    truth = tomllib.loads((FOLDER.parent / "truth" / "servqual_demo.toml").read_text("utf-8"))
    for key, true in truth["hypotheses"].items():
        shares = " | ".join(f"{(others[key] == verdict).mean():.0%}" for verdict in _VERDICTS)
        told = {True: "yes", False: "no"}.get(true, true)
        lines.append(f"| {key} | {told} | {shares} | {own[key]} |")
    return "\n".join(lines) + "\n"


_VERDICTS = ("supported", "not_supported", "contradicted", "undecided", "not_testable")


def main() -> None:
    """Carry out the plan for every seed and write the table."""
    population = runpy.run_path(str(FOLDER / "population.py"))
    plan = tomllib.loads((FOLDER / "study.toml").read_text("utf-8"))
    table = pd.DataFrame(
        [one_seed(seed, population, plan) for seed in (population["SEED"], *range(1, N_SEEDS + 1))]
    )
    table.round(6).to_csv(FOLDER / "seeds.csv", index=False, lineterminator="\n")
    page = summary(pd.read_csv(FOLDER / "seeds.csv"), population["SEED"])
    (FOLDER / "seeds.md").write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
