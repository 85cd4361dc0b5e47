"""The sections of the report, one function each: StudyResult to Section, or None.

A section takes its words from :mod:`sqvalid.wording` and its numbers from the result; it
computes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqvalid import criteria, wording
from sqvalid.display import Table, format_interval, format_number, format_p, json_safe
from sqvalid.errors import Diagnostic
from sqvalid.findings import (
    LARGE_RESIDUAL,
    Judgement,
    Link,
    StudyResult,
    residual_correlations,
)
from sqvalid.report.blocks import (
    Block,
    Callout,
    CodeBlock,
    FigureBlock,
    Paragraph,
    Section,
    TableBlock,
)
from sqvalid.second_opinion import NOT_COMPARED

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

__all__ = ["SECTIONS", "build_sections"]

N_RESIDUALS = 10
"""Rows shown of the residual correlations and of the modification indices."""


class _Words:
    """The wording of one language, and tables with its column heads."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        return wording.text(f"report.{key}", self.language, **values)

    def plain(self, key: str, **values: object) -> str:
        return wording.text(key, self.language, **values)

    def join(self, items: Iterable[object]) -> str:
        return wording.text("format.list_separator", self.language).join(map(str, items))

    def table(
        self,
        frame: pd.DataFrame,
        title: str = "",
        formats: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> TableBlock:
        head = {c: wording.text(f"column.{c}", self.language) for c in map(str, frame.columns)}
        shown = {head[column]: how for column, how in (formats or {}).items() if column in head}
        return TableBlock(Table(frame.rename(columns=head), title, shown, notes))

    def callouts(self, diagnostics: Iterable[Diagnostic]) -> list[Block]:
        blocks: list[Block] = []
        for diagnostic in diagnostics:
            sentence, remedy = wording.describe(diagnostic, self.language)
            blocks.append(Callout(diagnostic.severity, sentence, remedy))
        return blocks

    def state(self, name: str) -> str:
        return self(f"state.{name}")


def _section(words: _Words, key: str, blocks: Iterable[Block]) -> Section:
    return Section(key, words(f"title.{key}"), tuple(blocks))


# --- what this is ------------------------------------------------------------------------


def about(result: StudyResult) -> Section:
    """Say what the report is, how far its chain of verdicts holds, and what it does not say."""
    words = _Words(result.language)
    blocks: list[Block] = []
    if result.simulated:
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
    return _section(words, "about", blocks)


def _because(words: _Words, link: Link) -> str:
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


def data(result: StudyResult) -> Section:
    """Tell where the answers came from and how many of them the models used."""
    words = _Words(result.language)
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
    if any(row["n_left_out"] for row in rows):
        blocks.append(Paragraph(words("data.listwise"), quiet=True))
    sizes = result.measurement.n_obs_by_group
    if len(sizes) > 1:
        groups = pd.DataFrame({"group": list(map(str, sizes)), "n_obs": list(sizes.values())})
        blocks.append(words.table(groups, words("data.groups")))
    blocks += words.callouts(result.notes)
    blocks.append(Paragraph(words("data.sha256", sha256=result.provenance["sha256"]), quiet=True))
    return _section(words, "data", blocks)


# --- items and reliability ---------------------------------------------------------------


def items(result: StudyResult) -> Section | None:
    """Show item statistics and the reliability of the dimensions."""
    model = None if result.validity is None else result.validity.reliability
    source = model if result.items is None else result.items
    if source is None:
        return None
    words = _Words(result.language)
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
            format_interval(lower, upper, leading_zero=False)
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
    return _section(words, "items", blocks)


# --- models ------------------------------------------------------------------------------


def _fit_blocks(words: _Words, fit: FitResult, judgements: Iterable[Judgement]) -> list[Block]:
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
                "outcome": _outcome(words, judgement),
                "source": rule.source,
            }
        )
    blocks.append(words.table(pd.DataFrame(rows), words("fit.rules"), {"value": "unit"}))
    suffix = "_robust" if not pd.isna(measures.get("rmsea_robust", np.nan)) else ""
    interval = format_interval(
        measures[f"rmsea_ci_lower{suffix}"], measures[f"rmsea_ci_upper{suffix}"], leading_zero=False
    )
    blocks.append(Paragraph(words("fit.rmsea_interval", interval=interval), quiet=True))
    return blocks


def _outcome(words: _Words, judgement: Judgement) -> str:
    text = words.plain(f"criterion_outcome.{judgement.outcome}")
    if judgement.reason:
        return words("outcome_because", outcome=text, reason=_reason(words, judgement.reason))
    if judgement.band:
        band = words.plain(f"criterion_band.{judgement.rule}.{judgement.band}")
        return words("outcome_because", outcome=text, reason=band)
    return text


def _reason(words: _Words, reason: str) -> str:
    return words.plain(f"criterion_reason.{reason}")


def _parameter_table(words: _Words, fit: FitResult, operators: set[str], title: str) -> list[Block]:
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


def _diagram(words: _Words, fit: FitResult, name: str) -> list[Block]:
    from sqvalid.plots import figure_svg, path_diagram

    blocks: list[Block] = []
    for label in fit.group_labels:
        caption = words(f"diagram.{name}")
        if len(fit.group_labels) > 1:
            caption = words("diagram.group", caption=caption, group=label)
        figure = path_diagram(fit, group=str(label))
        blocks.append(FigureBlock(figure_svg(figure, title=caption), caption))
    return blocks


def measurement(result: StudyResult) -> Section:
    """Show the measurement model: admissibility, fit, loadings, diagram."""
    words, fit = _Words(result.language), result.measurement
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
    return _section(words, "measurement", blocks)


# --- validity ----------------------------------------------------------------------------


def validity(result: StudyResult) -> Section | None:
    """Show the evidence on convergence and distinctness of the factors."""
    found = result.validity
    if found is None:
        return None
    words = _Words(result.language)
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
        blocks.append(_judgement_table(words, convergence, words("validity.convergence")))
    elif any(link.name == "convergence" for link in result.ledger.links):
        blocks.append(Paragraph(words("validity.convergence_met")))
    return _section(words, "validity", blocks)


def _judgement_table(words: _Words, judgements: Iterable[Judgement], title: str) -> TableBlock:
    rows = [
        {
            "subject": " / ".join(j.subject),
            "rule": words.plain(f"criterion.{j.rule}"),
            "value": j.value,
            "outcome": _outcome(words, j),
        }
        for j in judgements
    ]
    return words.table(pd.DataFrame(rows), title, {"value": "unit"})


def _pair_tables(words: _Words, result: StudyResult) -> list[Block]:
    found = result.validity
    if found is None:
        return []
    pairs = found.pairs
    frame = pairs[[c for c in ("group", "factor_a", "factor_b", "correlation") if c in pairs]]
    if pairs["se"].notna().any():
        frame = frame.assign(
            interval=[
                format_interval(lower, upper, 2, leading_zero=False)
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
    outcomes = {(j.subject, j.rule): _outcome(words, j) for j in distinctness}
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


def structure(result: StudyResult) -> Section | None:
    """Show the structural model: paths, explained variance, effects."""
    fit = result.structural
    if fit is None:
        return None
    words = _Words(result.language)
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
    return _section(words, "structure", blocks)


def _path_table(words: _Words, result: StudyResult) -> list[Block]:
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
                format_interval(lower, upper, 2, leading_zero=False)
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


def _statement(words: _Words, lower: float, upper: float, judged: bool) -> str:
    if not judged or np.isnan(lower) or np.isnan(upper):
        return words("statement.not_judged")
    if lower > 0.0:
        return words("statement.positive")
    return words("statement.negative") if upper < 0.0 else words("statement.open")


def _explained_table(words: _Words, fit: FitResult) -> list[Block]:
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


def _effect_table(words: _Words, result: StudyResult) -> list[Block]:
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
                format_interval(lower, upper)
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


def local_fit(result: StudyResult) -> Section:
    """Show where the models miss the data."""
    from sqvalid.plots import figure_svg, residual_map

    words = _Words(result.language)
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
    return _section(words, "local", blocks)


# --- second opinion ----------------------------------------------------------------------


def second_opinion(result: StudyResult) -> Section | None:
    """Show how far another program's answers are from these."""
    if not result.opinions:
        return None
    words = _Words(result.language)
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
    return _section(words, "opinion", blocks)


# --- appendix ----------------------------------------------------------------------------


def appendix(result: StudyResult) -> Section:
    """Give what is needed to do it again: models, options, versions, matrix."""
    words = _Words(result.language)
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
    return _section(words, "appendix", blocks)


SECTIONS: tuple[Callable[[StudyResult], Section | None], ...] = (
    about,
    data,
    items,
    measurement,
    validity,
    structure,
    local_fit,
    second_opinion,
    appendix,
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
