"""The sections on the models: measurement, validity, structure, local fit.

A section takes its words from :mod:`sqvalid.wording` and its numbers from the result; it
computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqvalid import criteria
from sqvalid.display import Table, format_number, format_p
from sqvalid.findings import LARGE_RESIDUAL, Judgement, StudyResult, residual_correlations
from sqvalid.report.blocks import Block, Callout, FigureBlock, Paragraph, Section, TableBlock
from sqvalid.report.words import Words, judgement_table, make_section, show_interval, show_outcome

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

__all__ = [
    "local_fit_section",
    "measurement_section",
    "structure_section",
    "validity_section",
]

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
                "value": judgement.value,
                "outcome": show_outcome(words, judgement),
                "source": rule.source,
            }
        )
    blocks.append(words.table(pd.DataFrame(rows), words("fit.rules"), {"value": "unit"}))
    suffix = "_robust" if not pd.isna(measures.get("rmsea_robust", np.nan)) else ""
    interval = show_interval(
        measures[f"rmsea_ci_lower{suffix}"], measures[f"rmsea_ci_upper{suffix}"], leading_zero=False
    )
    blocks.append(Paragraph(words("fit.rmsea_interval", interval=interval), quiet=True))
    return blocks


def _parameter_table(words: Words, fit: FitResult, operators: set[str], title: str) -> list[Block]:
    table = fit.parameters
    rows = table[table["op"].isin(operators)]
    if operators == {"~~"}:
        rows = rows[rows["lhs"] != rows["rhs"]]
    if rows.empty:
        return []
    shown = pd.DataFrame(
        {
            "lhs": rows["lhs"],
            "op": rows["op"],
            "rhs": rows["rhs"],
            "est": rows["est"],
            "se": rows["se"].where(rows["free"] > 0),
            "z": rows["z"],
            "p": rows["p"],
            "std_all": rows["std_all"],
        }
    ).reset_index(drop=True)
    if len(fit.group_labels) > 1:
        labels = [str(fit.group_labels[int(g) - 1]) for g in rows["group"]]
        shown.insert(0, "group", labels)
    return [words.table(shown, title, {"z": "f2", "p": "p", "std_all": "unit"})]


def _diagram(words: Words, fit: FitResult, name: str) -> list[Block]:
    from sqvalid.plots import figure_svg, path_diagram

    blocks: list[Block] = []
    for label in fit.group_labels:
        caption = words(f"diagram.{name}")
        if len(fit.group_labels) > 1:
            caption = words("diagram.group", caption=caption, group=label)
        figure = path_diagram(fit, group=str(label))
        blocks.append(FigureBlock(figure_svg(figure, title=caption), caption))
    return blocks


def measurement_section(result: StudyResult) -> Section:
    """Show the measurement model: admissibility, fit, loadings, diagram."""
    words, fit = Words(result.language), result.measurement
    blocks: list[Block] = [Paragraph(words("measurement.intro"))]
    blocks += words.callouts(fit.diagnostics)
    sound = fit.converged and fit.admissible
    blocks.append(
        Paragraph(words("measurement.admissible"))
        if sound
        else Callout("problem", words("measurement.inadmissible"))
    )
    blocks += _fit_blocks(words, fit, result.ledger.link("fit").judgements)
    blocks += _parameter_table(words, fit, {"=~"}, words("measurement.loadings"))
    blocks.append(Paragraph(words("measurement.note"), quiet=True))
    blocks += _diagram(words, fit, "measurement")
    return make_section(words, "measurement", blocks)


# --- validity ----------------------------------------------------------------------------


def validity_section(result: StudyResult) -> Section | None:
    """Show the evidence on convergence and distinctness of the factors."""
    found = result.validity
    if found is None:
        return None
    words = Words(result.language)
    blocks: list[Block] = [Paragraph(words("validity.intro"))]
    blocks += words.callouts(found.diagnostics)
    for label, matrix in found.matrix.items():
        title = words("validity.matrix")
        if len(found.matrix) > 1:
            title = words("diagram.group", caption=title, group=label)
        formats = dict.fromkeys(map(str, matrix.columns), "unit2")
        blocks.append(TableBlock(Table(matrix, title, formats)))
    blocks.append(Paragraph(words("validity.matrix_note"), quiet=True))
    if len(found.pairs):
        blocks += _pair_tables(words, result)
    convergence = [
        j
        for link in result.ledger.links
        if link.name == "convergence"
        for j in link.judgements
        if j.outcome != "met"
    ]
    if convergence:
        blocks.append(judgement_table(words, convergence, words("validity.convergence")))
    elif any(link.name == "convergence" for link in result.ledger.links):
        blocks.append(Paragraph(words("validity.convergence_met")))
    return make_section(words, "validity", blocks)


def _pair_tables(words: Words, result: StudyResult) -> list[Block]:
    found = result.validity
    if found is None:
        return []
    pairs = found.pairs
    frame = pairs[[c for c in ("group", "factor_a", "factor_b", "correlation") if c in pairs]]
    if pairs["se"].notna().any():
        frame = frame.assign(
            interval=[
                show_interval(lower, upper, 2, leading_zero=False)
                for lower, upper in zip(
                    pairs["simultaneous_lower"], pairs["simultaneous_upper"], strict=True
                )
            ]
        )
    frame = frame.assign(htmt=pairs["htmt"], htmt2=pairs["htmt2"])
    if pairs["unity_p"].notna().any():
        frame = frame.assign(unity_chisq=pairs["unity_chisq"], unity_p=pairs["unity_p"])
    formats = {"unity_p": "p", "unity_chisq": "f1"}
    formats |= dict.fromkeys(("correlation", "htmt", "htmt2"), "unit")
    distinctness = result.ledger.link("distinctness").judgements
    outcomes = {(j.subject, j.rule): show_outcome(words, j) for j in distinctness}
    subjects = list(dict.fromkeys(j.subject for j in distinctness))
    rules = ("fornell_larcker", "htmt_distinct", "latent_correlation")
    judged = pd.DataFrame(
        {
            "subject": [" / ".join(subject) for subject in subjects],
            **{f"rule_{rule}": [outcomes[s, rule] for s in subjects] for rule in rules},
        }
    )
    return [
        words.table(frame, words("validity.pairs"), formats),
        Paragraph(words("validity.pairs_note"), quiet=True),
        words.table(judged, words("validity.rules")),
    ]


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
    blocks += _explained_table(words, fit)
    if result.effects is not None:
        blocks += words.callouts(result.effects.diagnostics)
        blocks += _effect_table(words, result)
    blocks += _parameter_table(words, fit, {":="}, words("structure.defined"))
    blocks += _diagram(words, fit, "structural")
    return make_section(words, "structure", blocks)


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
        blocks.append(words.table(residuals.head(N_RESIDUALS), caption, {"residual": "unit"}))
        indices = fit.modification_indices().sort_values("mi", ascending=False, kind="stable")
        columns = ["lhs", "op", "rhs", "mi", "epc", "sepc_all"]
        if len(fit.group_labels) > 1:
            columns.insert(0, "group")
        indices = indices[columns].head(N_RESIDUALS).reset_index(drop=True)
        caption = words("local.indices", model=title, n=N_RESIDUALS)
        blocks.append(words.table(indices, caption, {"mi": "f2"}))
    blocks.append(Paragraph(words("local.note"), quiet=True))
    residual = result.measurement.residuals("cor")
    by_group = residual if isinstance(residual, dict) else {"": residual}
    for label, matrix in by_group.items():
        caption = words("local.map")
        if len(by_group) > 1:
            caption = words("diagram.group", caption=caption, group=label)
        blocks.append(FigureBlock(figure_svg(residual_map(matrix), title=caption), caption))
    return make_section(words, "local", blocks)
