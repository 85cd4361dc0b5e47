"""The section on exploration: factorability, number of factors, loadings without a hypothesis."""

from __future__ import annotations

import pandas as pd

from sqvalid.display import Table, format_number, format_p
from sqvalid.findings import StudyResult
from sqvalid.report.blocks import (
    Block,
    Callout,
    FigureBlock,
    Heading,
    Paragraph,
    Section,
    TableBlock,
)
from sqvalid.report.words import Words, make_section

__all__ = ["exploratory_section"]


def exploratory_section(result: StudyResult) -> Section | None:
    """Show what the items look like when nothing is assumed about their structure."""
    if result.factorability is None and result.retention is None and result.efa is None:
        return None
    words = Words(result.language)
    # The same respondents cannot first suggest a structure and then confirm it.
    key = "exploratory.same_rows" if result.exploration is None else "exploratory.other_rows"
    blocks: list[Block] = [Callout("info", words(key))]
    blocks += _factorability(words, result)
    blocks += _retention(words, result)
    blocks += _solution(words, result)
    blocks += _proposal(words, result)
    return make_section(words, "exploratory", blocks)


def _factorability(words: Words, result: StudyResult) -> list[Block]:
    found = result.factorability
    if found is None:
        return []
    lowest = found.msa.astype(float)
    told = words(
        "exploratory.kmo",
        kmo=format_number(found.kmo, 2, leading_zero=False),
        item=str(lowest.idxmin()),
        msa=format_number(float(lowest.min()), 2, leading_zero=False),
    )
    blocks: list[Block] = [Paragraph(told)]
    if not pd.isna(found.bartlett_chisq):
        blocks.append(
            Paragraph(
                words(
                    "exploratory.bartlett",
                    chisq=format_number(found.bartlett_chisq, 1),
                    df=found.bartlett_df,
                    p=format_p(found.bartlett_p),
                )
            )
        )
    return blocks


def _retention(words: Words, result: StudyResult) -> list[Block]:
    found = result.retention
    if found is None:
        return []
    from sqvalid.plots import SCREE_LABELS, figure_svg, scree_plot

    rows = [
        {
            "rule": words(f"retention_rule.{row['rule']}"),
            "n_factors": row["n_factors"],
            "counts": words("exploratory.counts" if row["trusted"] else "exploratory.shown_only"),
            "source": row["source"],
        }
        for row in found.frame.to_dict("records")
    ]
    frame = pd.DataFrame(rows).astype({"n_factors": "Int64"})
    trusted = int(found.frame["trusted"].sum())
    labels = {key: words(f"scree.{key}") for key in SCREE_LABELS}
    caption = words("exploratory.scree", n_draws=found.n_draws)
    return [
        Heading(words("exploratory.retention_head")),
        words.table(frame, words("exploratory.retention")),
        Paragraph(
            words(
                "exploratory.recommended",
                n=found.recommended,
                agree=round(found.agreement * trusted),
                trusted=trusted,
            )
        ),
        FigureBlock(
            figure_svg(scree_plot(found.eigenvalues, labels=labels), title=caption), caption
        ),
    ]


def _solution(words: Words, result: StudyResult) -> list[Block]:
    found = result.efa
    if found is None:
        return []
    from sqvalid.plots import figure_svg, loading_map

    frame = found.loadings.copy()
    names = [str(column) for column in frame.columns]
    frame[words.plain("column.communality")] = found.communalities
    frame.index.name = words.plain("column.item")
    formats = dict.fromkeys(map(str, frame.columns), "unit2")
    measures = found.fit_measures
    caption = words("exploratory.map")
    blocks: list[Block] = [
        Heading(words("exploratory.solution_head")),
        Paragraph(
            words(
                "exploratory.solution",
                n=len(names),
                extraction=words(f"extraction.{found.extraction}"),
                rotation=found.rotation,
                rmsr=format_number(float(measures["rmsr"]), leading_zero=False),
                rmsea=format_number(float(measures["rmsea"]), leading_zero=False),
                tli=format_number(float(measures["tli"]), leading_zero=False),
            )
        ),
        *words.callouts(found.diagnostics),
        TableBlock(Table(frame, words("exploratory.loadings"), formats)),
        FigureBlock(figure_svg(loading_map(found.loadings), title=caption), caption),
    ]
    if len(names) > 1:
        phi = found.factor_correlations.copy()
        phi.index.name = words.plain("column.factor")
        blocks.append(
            TableBlock(
                Table(
                    phi,
                    words("exploratory.factor_correlations"),
                    dict.fromkeys(map(str, phi.columns), "unit2"),
                )
            )
        )
    return blocks


def _proposal(words: Words, result: StudyResult) -> list[Block]:
    """What became of each item in a study that develops."""
    proposal = None if result.exploration is None else result.exploration.proposal
    if proposal is None:
        return []
    rows = [
        {
            "item": row["item"],
            "factor": proposal.labels.get(str(row["factor"]), row["factor"]),
            "loading": row["loading"],
            "second_loading": row["second_loading"],
            "kept": words.plain("format.yes" if row["kept"] else "format.no"),
            "reason": words(f"proposal_reason.{row['reason']}") if row["reason"] else None,
        }
        for row in proposal.frame.to_dict("records")
    ]
    return [
        Heading(words("exploratory.proposal_head")),
        Paragraph(
            words(
                "exploratory.proposal",
                loading=format_number(proposal.smallest_loading, 2, leading_zero=False),
                gap=format_number(proposal.smallest_gap, 2, leading_zero=False),
            )
        ),
        words.table(
            pd.DataFrame(rows),
            words("exploratory.proposal_table"),
            {"loading": "unit2", "second_loading": "unit2"},
        ),
        *words.callouts(proposal.diagnostics),
    ]
