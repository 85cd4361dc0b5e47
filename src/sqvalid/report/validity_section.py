"""The section on convergence and distinctness: one combined table, then rule by rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sqvalid.display import Table
from sqvalid.findings import StudyResult, scale_moments
from sqvalid.report.blocks import Block, Paragraph, Section, TableBlock
from sqvalid.report.data_sections import gap_scores, means_allowed
from sqvalid.report.words import Words, judgement_table, make_section, show_interval, show_outcome

__all__ = ["validity_section"]


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
        blocks.append(_combined(words, result, str(label), matrix, title))
    blocks.append(Paragraph(words("validity.matrix_note"), quiet=True))
    if not means_allowed(result):
        blocks.append(Paragraph(words("items.means_withheld"), quiet=True))
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


def _combined(
    words: Words, result: StudyResult, label: str, matrix: pd.DataFrame, title: str
) -> TableBlock:
    """One row per factor: mean, SD, omega, AVE, and its relations to all others."""
    names = [str(name) for name in matrix.index]
    numbers = [str(k) for k in range(1, len(names) + 1)]
    scales = result.validity.reliability.scales if result.validity is not None else pd.DataFrame()
    moments = scale_moments(result.measurement)
    if "group" in scales and len(result.measurement.group_labels) > 1:
        scales = scales[scales["group"].astype(str) == label]
        moments = moments[moments["group"] == label]
    scales = scales.set_index("dimension").reindex(names)
    moments = moments.set_index("factor").reindex(names)
    gaps = gap_scores(result)
    of_gaps = [bool(gaps & set(result.measurement.indicators.get(name, ()))) for name in names]
    labels = [f"{k}. {name}" for k, name in zip(numbers, names, strict=True)]
    columns: dict[str, np.ndarray] = {}
    means = moments["mean"].mask(np.array(of_gaps))
    if means_allowed(result) and means.notna().any():
        columns["mean"] = means.to_numpy(dtype=float)
    if not any(note.code == "correlation_input" for note in result.notes):
        columns["sd"] = moments["sd"].to_numpy(dtype=float)
    columns["omega_total"] = scales["omega_total"].to_numpy(dtype=float)
    columns["ave"] = scales["ave"].to_numpy(dtype=float)
    head = {name: words.plain(f"column.{name}") for name in columns}
    frame = pd.DataFrame({head[name]: values for name, values in columns.items()}, labels)
    for k, number in enumerate(numbers):
        frame[number] = matrix.iloc[:, k].to_numpy(dtype=float)
    frame.index.name = words.plain("column.factor")
    formats = {head[name]: "f2" if name in ("mean", "sd") else "unit2" for name in columns}
    formats |= dict.fromkeys(numbers, "unit2")
    diagonal = tuple((k, len(columns) + k) for k in range(len(names)))
    return TableBlock(Table(frame, title, formats, strong=diagonal))


def _pair_tables(words: Words, result: StudyResult) -> list[Block]:
    found = result.validity
    if found is None:
        return []
    pairs = found.pairs
    frame = pairs[[c for c in ("group", "correlation") if c in pairs]].copy()
    frame.insert(int("group" in frame), "pair", pairs["factor_a"] + " – " + pairs["factor_b"])
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
            "pair": [" – ".join(subject) for subject in subjects],
            **{f"rule_{rule}": [outcomes[s, rule] for s in subjects] for rule in rules},
        }
    )
    return [
        words.table(frame, words("validity.pairs"), formats),
        Paragraph(words("validity.pairs_note"), quiet=True),
        words.table(judged, words("validity.rules")),
        Paragraph(words("validity.rules_note"), quiet=True),
        Paragraph(words("validity.method_variance"), quiet=True),
    ]
