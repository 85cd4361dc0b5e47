"""The sections on the models: measurement, structure, local fit.

A section takes its words from :mod:`sqvalid.wording` and its numbers from the result; it
computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqvalid import criteria
from sqvalid.display import format_number, format_p
from sqvalid.findings import (
    LARGE_RESIDUAL,
    Judgement,
    StudyResult,
    residual_correlations,
    turnable_paths,
)
from sqvalid.report.blocks import Block, Callout, FigureBlock, Paragraph, Section
from sqvalid.report.references import short_source
from sqvalid.report.words import (
    Words,
    make_section,
    show_against,
    show_interval,
    show_outcome,
)

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

__all__ = ["local_fit_section", "measurement_section", "parameter_rows", "structure_section"]

MOST_ITEMS_MAPPED = 80
"""Items of the largest map that can be read."""

N_RESIDUALS = 10
"""Rows shown of the residual correlations and of the modification indices."""


# --- models ------------------------------------------------------------------------------


def _fit_blocks(words: Words, fit: FitResult, judgements: Iterable[Judgement]) -> list[Block]:
    measures = fit.fit_measures
    chisq = words(
        "fit.chisq",
        chisq=format_number(measures["chisq"]),
        df=f"{measures['df']:g}",
        p=format_p(measures["pvalue"]),
    )
    blocks: list[Block] = [Paragraph(chisq)]
    scaled = measures.get("chisq_scaled", np.nan)
    if not pd.isna(scaled):
        blocks.append(
            Paragraph(
                words(
                    "fit.scaled",
                    chisq=format_number(scaled),
                    df=f"{measures['df_scaled']:g}",
                    p=format_p(measures["pvalue_scaled"]),
                )
            )
        )
    rows = []
    for judgement in judgements:
        rule = criteria.CRITERIA[judgement.rule]
        rows.append(
            {
                "rule": words.plain(f"criterion.{judgement.rule}"),
                "value": show_against(judgement.value, rule.value),
                "outcome": show_outcome(words, judgement),
                "source": short_source(rule.source),
            }
        )
    blocks.append(words.table(pd.DataFrame(rows), words("fit.rules"), {"value": "right"}))
    suffix = "_robust" if not pd.isna(measures.get("rmsea_robust", np.nan)) else ""
    interval = show_interval(
        measures[f"rmsea_ci_lower{suffix}"], measures[f"rmsea_ci_upper{suffix}"], leading_zero=False
    )
    blocks.append(Paragraph(words("fit.rmsea_interval", interval=interval), quiet=True))
    return blocks


def parameter_rows(words: Words, fit: FitResult, operators: set[str]) -> pd.DataFrame:
    """Return estimates with errors, intervals and standardised values, one row each.

    Parameters
    ----------
    words : Words
    fit : FitResult
    operators : set of str
        Which parameters.

    Returns
    -------
    pandas.DataFrame
        ``group lhs rhs label est se z p ci std_all``; ``group`` only where there are several. A
        fixed parameter has no error.
    """
    table = fit.parameters
    rows = table[table["op"].isin(operators)].reset_index(drop=True)
    free = rows["free"] > 0
    defined = rows["op"] == ":="
    shown = pd.DataFrame(
        {
            "lhs": rows["lhs"],
            "op": rows["op"],
            "rhs": rows["rhs"],
            "est": rows["est"],
            "se": rows["se"].where(free | defined),
            "z": rows["z"],
            "p": rows["p"],
            "ci": [
                show_interval(lower, upper) if known and lower == lower else None
                for lower, upper, known in zip(
                    rows["ci_lower"], rows["ci_upper"], free | defined, strict=True
                )
            ],
            "std_all": rows["std_all"],
        }
    )
    if len(fit.group_labels) > 1:
        labels = [str(fit.group_labels[int(g) - 1]) for g in rows["group"]]
        shown.insert(0, "group", labels)
    return shown


def _loadings(words: Words, fit: FitResult) -> list[Block]:
    """Loadings, with the share of each item's variance that its factors explain."""
    shown = parameter_rows(words, fit, {"=~"})
    if shown.empty:
        return []
    value = fit.r_squared
    by_group = value if isinstance(value, dict) else {str(fit.group_labels[0]): value}
    groups = shown["group"] if "group" in shown else [str(fit.group_labels[0])] * len(shown)
    shown["r_squared"] = [
        float(by_group[group].get(item, np.nan))
        for group, item in zip(groups, shown["rhs"], strict=True)
    ]
    shown = shown.drop(columns="op").rename(columns={"lhs": "factor", "rhs": "indicator"})
    formats = {"z": "f2", "p": "p", "std_all": "unit", "r_squared": "unit2"}
    return [words.table(shown, words("measurement.loadings"), formats)]


def _defined(words: Words, fit: FitResult) -> list[Block]:
    shown = parameter_rows(words, fit, {":="})
    if shown.empty:
        return []
    shown = shown.drop(columns="op").rename(columns={"lhs": "name", "rhs": "expression"})
    formats = {"z": "f2", "p": "p", "std_all": "unit"}
    return [words.table(shown, words("structure.defined"), formats)]


MOST_DIAGRAMS = 4
"""Groups whose diagrams are drawn; the tables have them all."""


def _diagram(words: Words, fit: FitResult, name: str) -> list[Block]:
    from sqvalid.plots import figure_svg, path_diagram

    blocks: list[Block] = []
    for label in fit.group_labels[:MOST_DIAGRAMS]:
        caption = words(f"diagram.{name}")
        if len(fit.group_labels) > 1:
            caption = words("diagram.group", caption=caption, group=label)
        figure = path_diagram(fit, group=str(label))
        blocks.append(FigureBlock(figure_svg(figure, title=caption), caption))
    if len(fit.group_labels) > MOST_DIAGRAMS:
        told = words("diagram.first_groups", n=MOST_DIAGRAMS, of=len(fit.group_labels))
        blocks.append(Paragraph(told, quiet=True))
    return blocks


def measurement_section(result: StudyResult) -> Section:
    """Show the measurement model: identification, admissibility, fit, loadings, diagram."""
    words, fit = Words(result.language), result.measurement
    blocks: list[Block] = [Paragraph(words("measurement.intro"))]
    blocks.append(_identification(words, fit))
    blocks += words.callouts(fit.diagnostics)
    sound = fit.converged and fit.admissible
    blocks.append(
        Paragraph(words("measurement.admissible"))
        if sound
        else Callout("problem", words("measurement.inadmissible"))
    )
    blocks += _fit_blocks(words, fit, result.ledger.link("fit").judgements)
    blocks += _loadings(words, fit)
    blocks.append(Paragraph(words("measurement.note"), quiet=True))
    blocks += _diagram(words, fit, "measurement")
    if result.efa is None:
        blocks += _loading_map(words, fit)
    return make_section(words, "measurement", blocks)


def _identification(words: Words, fit: FitResult) -> Paragraph:
    """Say what the data give, what the model asks for, and how factors get their scale."""
    if fit.options["std_lv"]:
        scale = "unit"
    else:
        scale = "effect" if fit.options["effect_coding"] else "marker"
    df = f"{fit.fit_measures['df']:g}"
    return Paragraph(
        words(
            "measurement.identification",
            npar=fit.n_free,
            df=df,
            constraints=len(fit.constraints),
            scale=words(f"measurement.scale_{scale}"),
        )
    )


def _loading_map(words: Words, fit: FitResult) -> list[Block]:
    """Standardised loadings by colour, where there is more than one factor and one group."""
    from sqvalid.plots import figure_svg, loading_map

    table = fit.parameters
    rows = table[(table["op"] == "=~") & (table["group"] == 1)]
    if len(fit.group_labels) > 1 or rows["lhs"].nunique() < 2:
        return []
    items = list(dict.fromkeys(rows["rhs"]))
    factors = list(dict.fromkeys(rows["lhs"]))
    frame = pd.DataFrame(np.nan, items, factors)
    for lhs, rhs, value in rows[["lhs", "rhs", "std_all"]].itertuples(index=False):
        frame.loc[rhs, lhs] = value
    caption = words("measurement.map")
    return [FigureBlock(figure_svg(loading_map(frame), title=caption), caption)]


# --- structure ---------------------------------------------------------------------------


def structure_section(result: StudyResult) -> Section | None:
    """Show the structural model: paths, explained variance, effects."""
    fit = result.structural
    if fit is None:
        return None
    words = Words(result.language)
    link = result.ledger.link("structure")
    blocks: list[Block] = [Paragraph(words("structure.intro"))]
    if link.blocked_by:
        blocks.append(
            Callout("problem", words("structure.blocked", link=words(f"link.{link.blocked_by}")))
        )
    elif not (fit.converged and fit.admissible):
        blocks.append(Callout("problem", words("structure.inadmissible")))
    blocks += words.callouts(fit.diagnostics)
    blocks += _fit_blocks(words, fit, link.judgements)
    blocks += _path_table(words, result)
    blocks += _direction(words, fit)
    blocks += _explained_table(words, fit)
    if result.effects is not None:
        blocks += words.callouts(result.effects.diagnostics)
        blocks += _effect_table(words, result)
    blocks += _defined(words, fit)
    blocks += _diagram(words, fit, "structural")
    return make_section(words, "structure", blocks)


def _direction(words: Words, fit: FitResult) -> list[Block]:
    """Say which arrows the answers could not have put in this direction."""
    if not (fit.parameters["op"] == "~").any():
        return []
    turned = turnable_paths(fit)
    if turned is None:
        return [Paragraph(words("structure.direction_unknown"))]
    if not turned:
        return [Paragraph(words("structure.direction_fixed"))]
    arrows = words.join(f"{cause} → {effect}" for cause, effect in turned)
    return [Callout("info", words("structure.direction", arrows=arrows))]


def _path_table(words: Words, result: StudyResult) -> list[Block]:
    effects, fit = result.effects, result.structural
    if effects is None or fit is None:
        return []
    frame = effects.frame
    direct = frame[frame["kind"] == "direct"]
    judged = not result.ledger.link("structure").blocked_by and fit.converged and fit.admissible
    table = pd.DataFrame(
        {
            **({"group": direct["group"]} if "group" in direct else {}),
            "path": direct["source"] + " → " + direct["target"],
            "est": direct["est"],
            "se": direct["se"],
            "ci": [
                show_interval(lower, upper)
                for lower, upper in zip(direct["ci_lower"], direct["ci_upper"], strict=True)
            ],
            "p": direct["p"],
            "est_std": direct["est_std"],
            "ci_std": [
                show_interval(lower, upper, 2, leading_zero=False)
                for lower, upper in zip(direct["ci_lower_std"], direct["ci_upper_std"], strict=True)
            ],
            "statement": [
                _statement(words, lower, upper, judged)
                for lower, upper in zip(direct["ci_lower"], direct["ci_upper"], strict=True)
            ],
        }
    ).reset_index(drop=True)
    return [
        words.table(table, words("structure.paths"), {"p": "p", "est_std": "unit"}),
        Paragraph(words("structure.paths_note"), quiet=True),
    ]


def _statement(words: Words, lower: float, upper: float, judged: bool) -> str:
    if not judged or np.isnan(lower) or np.isnan(upper):
        return words("statement.not_judged")
    if lower > 0.0:
        return words("statement.positive")
    return words("statement.negative") if upper < 0.0 else words("statement.open")


def _explained_table(words: Words, fit: FitResult) -> list[Block]:
    value = fit.r_squared
    by_group = value if isinstance(value, dict) else {"": value}
    endogenous = set(fit.parameters.loc[fit.parameters["op"] == "~", "lhs"])
    rows = [
        {"group": str(label), "variable": str(name), "r_squared": float(share)}
        for label, shares in by_group.items()
        for name, share in shares.items()
        if name in endogenous
    ]
    frame = pd.DataFrame(rows, columns=["group", "variable", "r_squared"])
    if len(by_group) == 1:
        frame = frame.drop(columns="group")
    return [words.table(frame, words("structure.explained"), {"r_squared": "unit"})]


def _effect_table(words: Words, result: StudyResult) -> list[Block]:
    if result.effects is None:
        return []
    frame = result.effects.frame
    rows = frame[frame["kind"] != "direct"]
    indirect = set(
        rows.loc[rows["kind"] == "indirect", ["source", "target"]].itertuples(
            index=False, name=None
        )
    )
    keep = [(s, t) in indirect for s, t in zip(rows["source"], rows["target"], strict=True)]
    rows = rows[keep]
    if rows.empty:
        return []
    table = pd.DataFrame(
        {
            **({"group": rows["group"]} if "group" in rows else {}),
            "kind": [words(f"kind.{kind}") for kind in rows["kind"]],
            "path": rows["path"].str.replace("->", "→", regex=False),
            "est": rows["est"],
            "se": rows["se"],
            "p": rows["p"],
            "ci": [
                show_interval(lower, upper)
                for lower, upper in zip(rows["ci_lower"], rows["ci_upper"], strict=True)
            ],
            "est_std": rows["est_std"],
        }
    ).reset_index(drop=True)
    return [
        words.table(table, words("structure.effects"), {"p": "p", "est_std": "unit"}),
        Paragraph(words("structure.effects_note"), quiet=True),
    ]


# --- local fit ---------------------------------------------------------------------------


_ARROWS = {"=~": " → ", "~~": " ↔ "}


def _parameters(table: pd.DataFrame) -> list[str]:
    """Write parameters as arrows: what is explained stands at the right."""
    return [
        f"{rhs} → {lhs}" if op == "~" else f"{lhs}{_ARROWS.get(op, f' {op} ')}{rhs}"
        for lhs, op, rhs in table[["lhs", "op", "rhs"]].itertuples(index=False)
    ]


def local_fit_section(result: StudyResult) -> Section:
    """Show where the models miss the data."""
    from sqvalid.plots import figure_svg, residual_map

    words = Words(result.language)
    blocks: list[Block] = [Paragraph(words("local.intro"))]
    models = [("measurement", result.measurement)]
    if result.structural is not None:
        models.append(("structural", result.structural))
    for name, fit in models:
        title = words(f"model.{name}")
        residuals = residual_correlations(fit)
        large = int((residuals["residual"].abs() > LARGE_RESIDUAL).sum())
        blocks.append(
            Paragraph(
                words(
                    "local.count",
                    model=title,
                    large=large,
                    pairs=len(residuals),
                    limit=format_number(LARGE_RESIDUAL, 2, leading_zero=False),
                )
            )
        )
        caption = words("local.residuals", model=title, n=N_RESIDUALS)
        largest = residuals.head(N_RESIDUALS).reset_index(drop=True)
        largest.insert(0, "pair", largest["lhs"] + " – " + largest["rhs"])
        largest = largest.drop(columns=["lhs", "rhs"])
        blocks.append(words.table(largest, caption, {"residual": "unit"}))
        indices = fit.modification_indices().sort_values("mi", ascending=False, kind="stable")
        indices = indices.head(N_RESIDUALS).reset_index(drop=True)
        indices["parameter"] = _parameters(indices)
        columns = ["parameter", "mi", "epc", "sepc_all"]
        if len(fit.group_labels) > 1:
            columns.insert(0, "group")
            indices["group"] = [str(fit.group_labels[int(g) - 1]) for g in indices["group"]]
        indices = indices[columns]
        caption = words("local.indices", model=title, n=N_RESIDUALS)
        blocks.append(words.table(indices, caption, {"mi": "f2"}))
    blocks.append(Paragraph(words("local.note"), quiet=True))
    residual = result.measurement.residuals("cor")
    by_group = residual if isinstance(residual, dict) else {"": residual}
    if len(by_group) > MOST_DIAGRAMS or len(result.measurement.observed) > MOST_ITEMS_MAPPED:
        by_group = {}
    for label, matrix in by_group.items():
        caption = words("local.map")
        if len(by_group) > 1:
            caption = words("diagram.group", caption=caption, group=label)
        blocks.append(FigureBlock(figure_svg(residual_map(matrix), title=caption), caption))
    return make_section(words, "local", blocks)
