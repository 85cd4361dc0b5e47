"""The sections of the report, one function each: StudyResult to Section, or None.

A section takes its words from :mod:`sqvalid.wording` and its numbers from the result; it
computes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from sqvalid.display import Table, json_safe
from sqvalid.findings import Judgement, Link, StudyResult, confounded_dimensions
from sqvalid.report.blocks import Block, Callout, CodeBlock, Paragraph, Section, TableBlock
from sqvalid.report.checklist import checklist_block
from sqvalid.report.data_sections import data_section, items_section, missing_section
from sqvalid.report.exploratory_section import exploratory_section
from sqvalid.report.model_sections import (
    local_fit_section,
    measurement_section,
    parameter_rows,
    structure_section,
)
from sqvalid.report.plan_sections import (
    answers_section,
    hypotheses_section,
    invariance_section,
    rivals_section,
)
from sqvalid.report.references import bibliography
from sqvalid.report.validity_section import validity_section
from sqvalid.report.words import Words, make_section
from sqvalid.second_opinion import NOT_COMPARED

__all__ = ["SECTIONS", "build_sections"]

MATRIX_COLUMNS = 12
"""Columns of a covariance matrix beside each other."""


# --- what this is ------------------------------------------------------------------------


def about_section(result: StudyResult) -> Section:
    """Say what was planned, how far the chain of verdicts holds, and what is not said."""
    words = Words(result.language)
    blocks: list[Block] = []
    fit = result.measurement
    blocks.append(
        Paragraph(
            words(
                "about.what",
                n=fit.n_obs,
                factors=len(fit.indicators),
                items=len(fit.observed),
                estimator=fit.options["estimator"],
            )
        )
    )
    instrument = result.instrument
    if instrument is not None:
        name = instrument.name.get(result.language, instrument.id)
        blocks.append(Paragraph(words("about.instrument", name=name, source=instrument.source)))
        asked = [item for item in instrument.items if item.id in fit.observed]
        statuses = {item.wording_status for item in asked}
        if "paraphrase" in statuses:
            blocks.append(Callout("info", words("about.paraphrase")))
        elif "adapted" in statuses:
            blocks.append(Callout("info", words.plain("instrument.status.adapted")))
        # An instrument that mixes wording and content in its key cannot separate the two.
        backward = confounded_dimensions(instrument, fit.indicators)
        if backward:
            blocks.append(
                Callout("warning", words("about.confounded", factors=words.join(backward)))
            )
    blocks += _plan(words, result)
    rows = [
        {
            "link": words(f"link.{link.name}"),
            "state": words.state(link.state),
            "because": _because(words, link),
        }
        for link in result.ledger.links
    ]
    blocks.append(words.table(pd.DataFrame(rows), words("about.chain")))
    blocks.append(Paragraph(words("about.chain_note"), quiet=True))
    blocks.append(Callout("info", words("about.refusals")))
    return make_section(words, "about", blocks)


def _plan(words: Words, result: StudyResult) -> list[Block]:
    """What the plan states, what was added to it, and what the answers were for."""
    n_rivals = 0 if result.rivals is None else len(result.rivals.frame) - 1
    stated = result.hypotheses is not None and "hypotheses" not in result.unplanned
    n_hypotheses = (
        result.hypotheses.frame["id"].nunique() if stated and result.hypotheses is not None else 0
    )
    found = result.exploration is not None and result.exploration.proposal is not None
    key = "plan_found" if found else "plan"
    blocks: list[Block] = [
        Paragraph(words(f"about.{key}", rivals=n_rivals, hypotheses=n_hypotheses)),
        Paragraph(words(f"about.role_{result.role}")),
    ]
    if result.unplanned:
        known = [words("about.unplanned_paths") if n == "hypotheses" else n
                 for n in result.unplanned]  # fmt: skip
        blocks.append(Callout("info", words("about.unplanned", names=words.join(known))))
    return blocks


def _because(words: Words, link: Link) -> str:
    if link.blocked_by:
        return words("blocked", link=words(f"link.{link.blocked_by}"))
    if link.name == "solution":
        return words(f"because.solution_{link.state}")
    return words(f"because.{link.name}", **_counts(link.judgements))


def _counts(judgements: Iterable[Judgement]) -> dict[str, int]:
    outcomes = [judgement.outcome for judgement in judgements]
    return {
        "met": outcomes.count("met"),
        "not_met": outcomes.count("not_met"),
        "not_judged": outcomes.count("not_judged"),
    }


# --- second opinion ----------------------------------------------------------------------


def second_opinion_section(result: StudyResult) -> Section | None:
    """Show how far another program's answers are from these."""
    if not result.opinions:
        return None
    words = Words(result.language)
    blocks: list[Block] = [Paragraph(words("opinion.intro"))]
    rows = []
    for name, opinion in result.opinions.items():
        blocks += words.callouts(opinion.diagnostics)
        if opinion.available:
            rows.append(
                {
                    "model": words(f"model.{name}"),
                    "chisq": opinion.chisq,
                    "chisq_theirs": opinion.chisq_theirs,
                    "df": int(opinion.df),
                    "df_theirs": int(opinion.df_theirs),
                    "n_estimates": len(opinion.estimates),
                    "max_difference": opinion.max_difference,
                    "agrees": words.plain("format.yes" if opinion.agrees else "format.no"),
                }
            )
    if rows:
        frame = pd.DataFrame(rows)
        program = next(iter(result.opinions.values())).program
        title = words("opinion.table", program=program)
        blocks.append(words.table(frame, title, {"max_difference": "f4"}))
    left_out = words.join(words(f"opinion.not_compared.{key}") for key in NOT_COMPARED)
    blocks.append(Paragraph(words("opinion.left_out", what=left_out), quiet=True))
    return make_section(words, "opinion", blocks)


# --- appendix ----------------------------------------------------------------------------


def appendix_section(result: StudyResult) -> Section:
    """Give what is needed to do it again: models, estimates, options, versions, matrix, sources."""
    words = Words(result.language)
    blocks: list[Block] = [
        checklist_block(words, result),
        Paragraph(words("appendix.checklist_note"), quiet=True),
        CodeBlock(result.measurement_text.strip(), words("model.measurement")),
    ]
    if result.structural is not None:
        blocks.append(CodeBlock(result.structural_text.strip(), words("model.structural")))
    blocks += _all_estimates(words, result)
    options = json_safe(
        {k: result.measurement.options[k] for k in sorted(result.measurement.options)}
    )
    rows = [
        {"name": key, "setting": json.dumps(value, ensure_ascii=False)}
        for key, value in options.items()
    ]
    blocks.append(words.table(pd.DataFrame(rows), words("appendix.options")))
    provenance = json_safe(dict(result.provenance))
    rows = []
    for key, value in provenance.items():
        flat = value if isinstance(value, dict) else {"": value}
        rows += [
            {"name": f"{key} {inner}".strip(), "setting": str(setting)}
            for inner, setting in flat.items()
        ]
    blocks.append(words.table(pd.DataFrame(rows), words("appendix.provenance")))
    if result.survey is not None and result.survey.audit:
        trail = [
            {"step": str(k), "what": entry.sentence(result.language)}
            for k, entry in enumerate(result.survey.audit, 1)
        ]
        blocks.append(words.table(pd.DataFrame(trail), words("appendix.audit")))
    blocks += _matrices(words, result)
    blocks.append(CodeBlock(bibliography(result), words("appendix.references"), "bibtex"))
    return make_section(words, "appendix", blocks)


def _all_estimates(words: Words, result: StudyResult) -> list[Block]:
    """Every parameter of the main model that no table above has."""
    fit = result.measurement if result.structural is None else result.structural
    operators = {"~~", "~1"} if result.structural is None else {"=~", "~~", "~1"}
    rows = parameter_rows(words, fit, operators)
    if rows.empty:
        return []
    signs = {"=~": " → ", "~~": " ↔ "}
    shares = fit.r_squared
    explained = set((next(iter(shares.values())) if isinstance(shares, dict) else shares).index)
    parameter = [
        words("appendix.intercept_of" if lhs in explained else "appendix.mean_of", name=lhs)
        if op == "~1"
        else words("appendix.residual_of" if lhs in explained else "appendix.variance_of", name=lhs)
        if op == "~~" and lhs == rhs
        else f"{lhs}{signs[op]}{rhs}"
        for lhs, op, rhs in rows[["lhs", "op", "rhs"]].itertuples(index=False)
    ]  # fmt: skip
    rows = rows.drop(columns=["lhs", "op", "rhs"])
    rows.insert(int("group" in rows), "parameter", parameter)
    name = "measurement" if result.structural is None else "structural"
    title = words("appendix.estimates", model=words(f"model.{name}"))
    formats = {"z": "f2", "p": "p", "std_all": "unit"}
    return [words.table(rows, title, formats)]


def _matrices(words: Words, result: StudyResult) -> list[Block]:
    """The sample covariances, with numbers instead of names at the head of the columns."""
    sample = result.measurement.sample
    sizes = result.measurement.n_obs_by_group
    by_group = sample if isinstance(sample, dict) else {next(iter(sizes)): sample}
    blocks: list[Block] = []
    for label, frame in by_group.items():
        title = words("appendix.covariance", n=sizes[label])
        if len(by_group) > 1:
            title = words("diagram.group", caption=title, group=label)
        lower = frame.where(np.tri(len(frame), dtype=bool)).copy()
        lower.index = pd.Index(
            [f"{k}. {name}" for k, name in enumerate(frame.index, 1)],
            name=words.plain("column.item"),
        )
        lower.columns = pd.Index([str(k) for k in range(1, len(frame) + 1)])
        for start in range(0, len(lower), MATRIX_COLUMNS):
            # Nothing stands above the diagonal, and a sheet holds only so many columns.
            part = lower.iloc[start:, start : start + MATRIX_COLUMNS]
            formats = dict.fromkeys(map(str, part.columns), "f3")
            blocks.append(TableBlock(Table(part, title, formats, blank_missing=True)))
            title = words("appendix.continued")
    blocks.append(Paragraph(words("appendix.covariance_note"), quiet=True))
    return blocks


SECTIONS: tuple[Callable[[StudyResult], Section | None], ...] = (
    answers_section,
    about_section,
    data_section,
    missing_section,
    items_section,
    exploratory_section,
    measurement_section,
    validity_section,
    invariance_section,
    structure_section,
    hypotheses_section,
    rivals_section,
    local_fit_section,
    second_opinion_section,
    appendix_section,
)
"""Every section, in order; to add one, write a function and name it here."""


def build_sections(result: StudyResult) -> tuple[Section, ...]:
    """Return the sections a result has something to say in.

    Parameters
    ----------
    result : StudyResult
        What :meth:`sqvalid.study.Study.run` returned.

    Returns
    -------
    tuple of Section
    """
    return tuple(made for made in (section(result) for section in SECTIONS) if made is not None)
