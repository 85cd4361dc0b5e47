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
from sqvalid.findings import Judgement, Link, StudyResult
from sqvalid.report.blocks import Block, Callout, CodeBlock, Paragraph, Section, TableBlock
from sqvalid.report.model_sections import (
    local_fit_section,
    measurement_section,
    structure_section,
    validity_section,
)
from sqvalid.report.plan_sections import (
    answers_section,
    flow_blocks,
    hypotheses_section,
    invariance_section,
    rivals_section,
)
from sqvalid.report.words import Words, make_section, show_interval
from sqvalid.second_opinion import NOT_COMPARED

__all__ = ["SECTIONS", "build_sections"]


# --- what this is ------------------------------------------------------------------------


def about_section(result: StudyResult) -> Section:
    """Say what the report is, how far its chain of verdicts holds, and what it does not say."""
    words = Words(result.language)
    blocks: list[Block] = []
    if result.simulated and not result.answers:
        blocks.append(Callout("problem", words("about.simulated")))
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
    if result.instrument is not None:
        name = result.instrument.name.get(result.language, result.instrument.id)
        blocks.append(
            Paragraph(words("about.instrument", name=name, source=result.instrument.source))
        )
        if any(item.wording_status == "paraphrase" for item in result.instrument.items):
            blocks.append(Callout("info", words("about.paraphrase")))
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


# --- data --------------------------------------------------------------------------------


def data_section(result: StudyResult) -> Section:
    """Tell where the answers came from and how many of them the models used."""
    words = Words(result.language)
    blocks: list[Block] = []
    if result.survey is None:
        blocks.append(
            Paragraph(
                words("data.matrix", file=result.provenance["file"], n=result.measurement.n_obs)
            )
        )
    else:
        blocks += [Paragraph(entry.sentence(result.language)) for entry in result.survey.audit]
    rows = []
    for name, fit in (("measurement", result.measurement), ("structural", result.structural)):
        if fit is not None:
            rows.append(
                {
                    "model": words(f"model.{name}"),
                    "n_received": fit.n_received,
                    "n_obs": fit.n_obs,
                    "n_left_out": fit.n_received - fit.n_obs,
                }
            )
    blocks.append(words.table(pd.DataFrame(rows), words("data.flow")))
    if result.measurement.options["missing"] == "fiml":
        blocks.append(Paragraph(words("data.fiml"), quiet=True))
    elif any(row["n_left_out"] for row in rows):
        blocks.append(Paragraph(words("data.listwise"), quiet=True))
    sizes = result.measurement.n_obs_by_group
    if len(sizes) > 1:
        groups = pd.DataFrame({"group": list(map(str, sizes)), "n_obs": list(sizes.values())})
        blocks.append(words.table(groups, words("data.groups")))
    blocks += flow_blocks(result)
    blocks += words.callouts(result.notes)
    blocks.append(Paragraph(words("data.sha256", sha256=result.provenance["sha256"]), quiet=True))
    return make_section(words, "data", blocks)


# --- items and reliability ---------------------------------------------------------------


def items_section(result: StudyResult) -> Section | None:
    """Show item statistics and the reliability of the dimensions."""
    model = None if result.validity is None else result.validity.reliability
    source = model if result.items is None else result.items
    if source is None:
        return None
    words = Words(result.language)
    blocks: list[Block] = [Paragraph(words("items.intro"))]
    frame = source.items
    keep = ["group", "dimension", "item", "mean", "sd", "item_rest_r", "alpha_if_deleted"]
    if frame["mean"].isna().all():
        keep.remove("mean")
    table = frame[[column for column in keep if column in frame]]
    formats = {"mean": "f2", "sd": "f2", "item_rest_r": "unit", "alpha_if_deleted": "unit"}
    blocks.append(words.table(table, words("items.table"), formats))
    scales = source.scales if model is None else model.scales
    shown = scales[[c for c in ("group", "dimension", "n_items", "alpha_raw") if c in scales]]
    shown = shown.assign(
        alpha_ci=[
            show_interval(lower, upper, leading_zero=False)
            for lower, upper in zip(scales["alpha_ci_lower"], scales["alpha_ci_upper"], strict=True)
        ]
    )
    for column in ("omega_total", "composite_reliability", "ave"):
        shown[column] = scales[column]
    units = ("alpha_raw", "omega_total", "composite_reliability", "ave")
    blocks.append(words.table(shown, words("items.reliability"), dict.fromkeys(units, "unit")))
    blocks.append(Paragraph(words("items.note"), quiet=True))
    diagnostics = [*source.diagnostics, *(() if model is None else model.diagnostics)]
    hidden = {"omega_needs_model", "rows_left_out"} if model is not None else set()
    unique = {repr(d): d for d in diagnostics if d.code not in hidden}
    blocks += words.callouts(unique.values())
    return make_section(words, "items", blocks)


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
    """Give what is needed to do it again: models, options, versions, matrix."""
    words = Words(result.language)
    blocks: list[Block] = [
        CodeBlock(result.measurement_text.strip(), words("model.measurement")),
    ]
    if result.structural is not None:
        blocks.append(CodeBlock(result.structural_text.strip(), words("model.structural")))
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
    sample = result.measurement.sample
    by_group = sample if isinstance(sample, dict) else {"": sample}
    for label, frame in by_group.items():
        title = words("appendix.covariance", n=result.measurement.n_obs)
        if len(by_group) > 1:
            title = words("diagram.group", caption=title, group=label)
        lower = frame.where(np.tri(len(frame), dtype=bool))
        blocks.append(TableBlock(Table(lower, title, dict.fromkeys(map(str, frame.columns), "f3"))))
    return make_section(words, "appendix", blocks)


SECTIONS: tuple[Callable[[StudyResult], Section | None], ...] = (
    answers_section,
    about_section,
    data_section,
    items_section,
    measurement_section,
    rivals_section,
    validity_section,
    invariance_section,
    structure_section,
    hypotheses_section,
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
