"""Make servqual_demo/answers.csv and truth/servqual_demo.toml from servqual_demo/population.py.

Run it with ``python datasets/make_servqual_demo.py``; the same bytes come out on every machine.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
POPULATION = HERE / "servqual_demo" / "population.py"
ANSWERS = HERE / "servqual_demo" / "answers.csv"
TRUTH = HERE / "truth" / "servqual_demo.toml"


def content() -> str:
    """Return the file of answers as text."""
    text: str = runpy.run_path(str(POPULATION))["draw"]().to_csv()
    return text


def _rows(numbers: Any) -> str:
    return "[" + ", ".join(str(int(k)) for k in numbers) + "]"


def truth() -> str:
    """Return what is true of the population, and what was planted where, as TOML."""
    p = runpy.run_path(str(POPULATION))
    drawn = p["draw"]()
    population, planted = drawn.population, drawn.planted
    covariance = population.covariance()
    spread = np.sqrt(np.diag(covariance))

    def correlation(a: str, b: str) -> float:
        i, j = population.place(a), population.place(b)
        return float(covariance[i, j] / (spread[i] * spread[j]))

    factors = (*p["DIMENSIONS"], "SAT", "RPI", "PF")
    through = p["QUALITY_TO_SAT"] * p["SAT_TO_RPI"]
    direct = p["QUALITY_TO_RPI"]
    lines = [
        "# What is true of servqual_demo. Made by make_servqual_demo.py; no study reads it.",
        "",
        f"seed = {p['SEED']}",
        f"n = {p['N']}",
        "",
        "# Correlations of the latent variables within a branch.",
        "[correlations]",
    ]
    for k, a in enumerate(factors):
        lines += [f"{a}_{b} = {correlation(a, b):.4f}" for b in factors[k + 1 :]]
    lines += ["", "# Standardised loadings of the items on their dimension.", "[loadings]"]
    lines += [
        f"P{k} = {value}"
        for k, value in enumerate((v for values in p["LOADINGS"].values() for v in values), 1)
    ]
    lines += [
        f"{name}{k} = {value}"
        for name in ("SAT", "RPI", "PF")
        for k, value in enumerate(p["OUTCOMES"][name], 1)
    ]
    lines += [
        "",
        "# What no plain model of correlated factors contains.",
        "[misfit]",
        "wording_items = [" + ", ".join(f'"P{k}"' for k in p["NEGATIVE"]) + "]",
        f"wording_loading = {p['WORDING']}",
        f"minor_factors = {p['MINOR_FACTORS']}",
        f"minor_share = {p['MINOR_SHARE']}",
        "",
        "# Standardised loadings of the dimensions on service quality.",
        "[second_order]",
        *(f"{name} = {value}" for name, value in p["SECOND_ORDER"].items()),
        "",
        "# Standardised effects.",
        "[effects]",
        f'"SQ -> SAT" = {p["QUALITY_TO_SAT"]}',
        f'"PF -> SAT" = {p["PRICE_TO_SAT"]}',
        f'"SAT -> RPI" = {p["SAT_TO_RPI"]}',
        f'"SQ -> RPI" = {direct}',
        f'"PF -> RPI" = {p["PRICE_TO_RPI"]}',
        f'"SQ -> SAT -> RPI" = {through:.4f}',
        f'"SQ -> RPI, total" = {through + direct:.4f}',
        "",
        "# Whether the hypotheses of the plan are true. H9 asks for what no data of this kind can",
        "# show: with one factor of quality the model of H3 and its reversal fit exactly alike.",
        "[hypotheses]",
        "H1 = true",
        "H2 = true",
        "H3 = true",
        f"H4 = {str(abs(direct) <= 0.10).lower()}",
        f"H5 = {str(p['SAT_TO_RPI'] > direct).lower()}",
        "H6 = true",
        f"H7 = {str(max(p['SECOND_ORDER'], key=p['SECOND_ORDER'].get) == 'REL').lower()}",
        "H8 = true",
        'H9 = "not testable"',
        "",
        "# South against north, in standard deviations of the latent response or dimension.",
        "[branch.intercepts]",
        *(f"{name} = {value}" for name, value in p["BRANCH_INTERCEPTS"].items()),
        "",
        "[branch.means]",
        *(f"{name} = {value}" for name, value in p["BRANCH_MEANS"].items()),
        "",
        "[employees]",
        f"n = {sum(p['EMPLOYEES'].values())}",
        f"icc = {p['ICC']}",
        "",
        "[expectations]",
        f"latent_correlation = {p['EXPECTED_PERCEIVED']}",
        f"same_item_residual_correlation = {p['SAME_ITEM']}",
        f"vip_shift = {p['VIP_EXPECTS_MORE']}",
        "",
        "# Respondents by their number.",
        "[careless]",
        *(f"{kind} = {_rows(rows)}" for kind, rows in planted["careless"].items()),
        "",
        "[attention]",
        f"failed = {_rows(planted['attention_failed'])}",
        "",
        "# Copy = original.",
        "[duplicates]",
        *(f"{copy} = {original}" for copy, original in planted["duplicates"].items()),
        "",
        "# Cells that were emptied, or coded 9 (does_not_apply).",
        "[missing]",
        *(f"{name} = {count}" for name, count in planted["missing"].items()),
    ]
    for cell in planted["out_of_range"]:
        lines += ["", "[[out_of_range]]"]
        lines += [f"respondent = {cell['respondent']}", f'item = "{cell["item"]}"']
        lines += [f"answer = {cell['answer']}", f"recorded = {cell['recorded']}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    ANSWERS.write_bytes(content().encode())
    TRUTH.parent.mkdir(exist_ok=True)
    TRUTH.write_bytes(truth().encode())
