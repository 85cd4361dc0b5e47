"""The sections about the plan: the three answers, rivals, hypotheses, groups."""

from __future__ import annotations

import pandas as pd

from sqvalid import wording
from sqvalid.display import format_number, format_p
from sqvalid.findings import Answer, StudyResult
from sqvalid.report.blocks import AnswerBlock, Block, Callout, Paragraph, Section
from sqvalid.report.words import Words, make_section, show_against, show_arrows, show_interval

__all__ = [
    "answers_section",
    "hypotheses_section",
    "invariance_section",
    "rivals_section",
]


def answers_section(result: StudyResult) -> Section | None:
    """Answer the three questions: verdict, number, rule, and what would change it."""
    if not result.answers:
        return None
    words = Words(result.language)
    blocks: list[Block] = []
    if result.simulated:
        blocks.append(Callout("problem", words("about.simulated")))
    for answer in result.answers:
        values = {
            name: format_number(value, 2, leading_zero=False) if isinstance(value, float) else value
            for name, value in answer.values.items()
        }
        if "link" in values:
            values["link"] = words(f"link.{values['link']}")
        if "because" in values:
            values["because"] = words.plain(f"criterion_reason.{values['because']}")
        blocks.append(
            AnswerBlock(
                verdict=answer.verdict,
                word=words.plain(f"answer.verdict.{answer.verdict}"),
                question=words.plain(f"answer.question.{answer.question}"),
                line=_line(words, answer),
                reason=words.plain(f"answer.reason.{answer.reason}", **values),
                flips=words.plain(f"answer.flips.{answer.flips}", **values),
                flips_head=words("answers.flips"),
            )
        )
    if "hypotheses" in result.unplanned:
        blocks.append(Callout("info", words("answers.unplanned")))
    return make_section(words, "answers", blocks)


def _line(words: Words, answer: Answer) -> str:
    """The one number and its rule."""
    if not answer.measure:
        return words("answers.none")
    if answer.question == "reproduced":
        rule = words.plain(f"criterion.{answer.measure}")
        value = show_against(answer.value, answer.threshold)
        return words.plain("answer.line.rule", rule=rule, value=value)
    if answer.question == "distinct":
        value = show_against(answer.value, answer.threshold, 2)
        threshold = format_number(answer.threshold, 2, leading_zero=False)
        return words.plain("answer.line.pair", value=value, threshold=threshold)
    return words.plain(
        "answer.line.hypothesis",
        id=answer.measure,
        value=format_p(answer.value),
        threshold=format_number(answer.threshold, 2, leading_zero=False),
    )


# --- rivals ------------------------------------------------------------------------------

_RIVAL_FIT = ("model", "npar", "df", "chisq", "cfi", "rmsea", "srmr", "bic", "admissible")
_RIVAL_DIFFERENCES = ("model", "delta_chisq", "delta_df", "delta_p", "reason")


def rivals_section(result: StudyResult) -> Section | None:
    """Show other measurement models of the same answers beside the one of the study."""
    if result.rivals is None:
        return None
    words = Words(result.language)
    known = wording.keys(result.language)
    frame = result.rivals.frame.copy()
    frame.loc[frame["primary"], "model"] = words("model.measurement")

    def reason(code: str) -> str:
        key = f"rival_reason.{code}"
        other = words.plain("rival_reason.other", reason=code)
        return words.plain(key) if key in known else other

    frame["reason"] = [reason(code) if code else None for code in frame["reason"]]
    for name in ("npar", "df", "delta_df"):
        frame[name] = frame[name].astype("Int64")
    frame["admissible"] = [
        words.plain("format.yes" if ok else "format.no") for ok in frame["admissible"]
    ]
    formats = dict.fromkeys(("cfi", "rmsea", "srmr"), "unit") | {"delta_p": "p"}
    formats |= {"chisq": "f2", "bic": "f1", "delta_chisq": "f2"}
    if "planned" in frame and not frame["planned"].all():
        frame["model"] = [
            name if planned else words("rivals.unplanned", model=name)
            for name, planned in zip(frame["model"], frame["planned"], strict=True)
        ]
    blocks: list[Block] = [
        words.table(frame[list(_RIVAL_FIT)], words("rivals.table"), formats),
        words.table(
            frame.loc[~frame["primary"], list(_RIVAL_DIFFERENCES)].reset_index(drop=True),
            words("rivals.differences"),
            formats,
        ),
        Paragraph(words("rivals.note"), quiet=True),
        Paragraph(words("rivals.one_factor"), quiet=True),
    ]
    if not result.measurement.admissible:
        blocks.append(Callout("warning", words("rivals.inadmissible_baseline")))
    blocks += words.callouts(result.rivals.diagnostics)
    return make_section(words, "rivals", blocks)


# --- hypotheses --------------------------------------------------------------------------


def hypotheses_section(result: StudyResult) -> Section | None:
    """Give every hypothesis its verdict and the test behind it."""
    if result.hypotheses is None:
        return None
    words = Words(result.language)
    frame = result.hypotheses.frame
    several = "group" in frame.columns
    verdicts, numbers = [], []
    for row in frame.to_dict("records"):
        head = {"hypothesis": row["id"]} | ({"group": row["group"]} if several else {})
        reason = words.plain(f"hypothesis_reason.{row['reason']}")
        if row["about"]:
            reason = words("outcome_because", outcome=reason, reason=show_arrows(str(row["about"])))
        verdict = words.plain(f"hypothesis_verdict.{row['verdict']}")
        verdicts.append(
            {
                **head,
                "words": show_arrows(str(row["statement"])),
                "verdict": verdict,
                "reason": reason,
            }
        )
        numbers.append(
            {
                **head,
                "est": row["estimate"],
                "se": row["se"],
                "ci": None
                if pd.isna(row["ci_lower"]) and pd.isna(row["ci_upper"])
                else show_interval(row["ci_lower"], row["ci_upper"]),
                "ci_level": row["level"],
                "est_std": row["std_estimate"],
                "p": row["p"],
                "p_adjusted": row["p_adjusted"],
            }
        )
    alpha = format_number(result.hypotheses.alpha, 2, leading_zero=False)
    formats = {"p": "p", "p_adjusted": "p", "est_std": "unit", "ci_level": "f2"}
    blocks: list[Block] = [Paragraph(words("hypotheses.intro", alpha=alpha))]
    if "hypotheses" in result.unplanned:
        blocks.append(Callout("info", words("answers.unplanned")))
    blocks += [
        words.table(pd.DataFrame(verdicts), words("hypotheses.table")),
        words.table(pd.DataFrame(numbers), words("hypotheses.numbers"), formats),
        Paragraph(words("hypotheses.numbers_note"), quiet=True),
        Paragraph(words("hypotheses.refusals"), quiet=True),
    ]
    return make_section(words, "hypotheses", blocks)


# --- groups ------------------------------------------------------------------------------


def invariance_section(result: StudyResult) -> Section | None:
    """Say how far the measurement is the same in the groups."""
    ladder = result.invariance
    if ladder is None:
        return None
    words = Words(result.language)
    rows = []
    for row in ladder.frame.to_dict("records"):
        reason = str(row["reason"])
        key = f"invariance_reason.{'after' if reason.startswith('after_') else reason}"
        if key not in wording.keys(result.language):
            key = f"criterion_reason.{reason}"
        because = words.plain(key) if reason else None
        measures = ("df", "chisq", "cfi", "rmsea", "srmr")
        deltas = ("delta_chisq", "delta_df", "delta_p", "delta_cfi", "delta_rmsea", "delta_srmr")
        rows.append(
            {
                "step": words.plain(f"invariance_step.{row['step']}"),
                **{name: row[name] for name in (*measures, *deltas)},
                "verdict": words(f"table_verdict.{row['verdict']}"),
                "reason": because,
            }
        )
    frame = pd.DataFrame(rows)
    frame["delta_df"] = frame["delta_df"].astype("Int64")
    units = ("cfi", "rmsea", "srmr", "delta_cfi", "delta_rmsea", "delta_srmr")
    formats = dict.fromkeys(units, "unit") | {"delta_p": "p"}
    step = ladder.reached
    told = (
        words("invariance.reached", step=words.plain(f"invariance_step.{step}"))
        if step
        else words("invariance.nothing")
    )
    blocks: list[Block] = [
        Paragraph(words("invariance.intro", group=ladder.group)),
        words.table(frame, words("invariance.table"), formats),
        Paragraph(told),
    ]
    return make_section(words, "invariance", blocks)
