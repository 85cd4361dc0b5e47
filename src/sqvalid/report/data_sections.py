"""The sections on the answers: who gave them, what is missing, how they are distributed.

A section takes its words from :mod:`sqvalid.wording` and its numbers from the result; it
computes nothing.
"""

from __future__ import annotations

import math

import pandas as pd

from sqvalid.display import format_number, format_p
from sqvalid.findings import StudyResult, close_fit_power
from sqvalid.report.blocks import Block, FigureBlock, Heading, Paragraph, Section
from sqvalid.report.words import Words, make_section, show_interval, show_threshold

__all__ = ["data_section", "gap_scores", "items_section", "means_allowed", "missing_section"]

N_PATTERNS = 10
"""Patterns of missing answers shown."""

MOST_ITEMS_MAPPED = 80
"""Items of the largest map that can be read."""


# --- respondents -------------------------------------------------------------------------


def data_section(result: StudyResult) -> Section:
    """Tell where the answers came from, who was left out, and whether there are enough."""
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
    blocks += _flow(words, result)
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
    blocks += _division(words, result)
    blocks += _sample_size(words, result)
    blocks += _screening(words, result)
    blocks += words.callouts(result.notes)
    blocks.append(Paragraph(words("data.sha256", sha256=result.provenance["sha256"]), quiet=True))
    return make_section(words, "data", blocks)


def _flow(words: Words, result: StudyResult) -> list[Block]:
    """Received, left out by which rule, left."""
    if not (result.n_received and result.flow):
        return []
    left = result.n_received
    rows: list[dict[str, object]] = [
        {"step": words("flow.received"), "threshold": None, "n_respondents": left}
    ]
    for step in result.flow:
        left -= step.n_excluded
        rule = words.plain(f"screening_rule.{step.rule}")
        rows.append(
            {
                "step": words("flow.rule", rule=rule),
                "threshold": show_threshold(step.threshold),
                "n_respondents": -step.n_excluded,
            }
        )
    rows.append({"step": words("flow.analysed"), "threshold": None, "n_respondents": left})
    return [words.table(pd.DataFrame(rows), words("flow.table"), {"threshold": "right"})]


def _division(words: Words, result: StudyResult) -> list[Block]:
    """The division of the answers of a study that develops."""
    made = result.exploration
    if made is None:
        return []
    told = words(
        "data.division",
        explored=made.n_explored,
        confirmed=made.n_confirmed,
        share=f"{format_number(100 * made.share, 0)}%",
        seed=made.seed,
    )
    if made.stratify:
        told = words("data.stratified", division=told, column=made.stratify)
    return [Paragraph(told)]


def _sample_size(words: Words, result: StudyResult) -> list[Block]:
    """What the number of respondents can be expected to show; ratios as a line to check."""
    fit = result.measurement
    blocks: list[Block] = [
        Heading(words("data.size_head")),
        Paragraph(
            words(
                "data.size",
                n=fit.n_obs,
                items=len(fit.observed),
                npar=fit.n_free,
                ratio=format_number(fit.n_obs / fit.n_free, 1),
            )
        ),
    ]
    df = float(fit.fit_measures["df"])
    power = math.nan
    if len(fit.group_labels) == 1 and str(fit.options["estimator"]) in ("ML", "MLR", "MLM", "MLMV"):
        power = close_fit_power(fit.n_obs, df)
    if not math.isnan(power):
        blocks.append(Paragraph(words("data.power", df=f"{df:g}", power=format_p(power, 2))))
    blocks.append(Paragraph(words("data.size_note"), quiet=True))
    return blocks


def _screening(words: Words, result: StudyResult) -> list[Block]:
    """Flags, and results with and without the respondents who have them."""
    if result.screening is None:
        return []
    blocks: list[Block] = [Heading(words("flow.screening_head"))]
    table = result.screening.rules
    shown: list[dict[str, object]] = [
        {
            "rule": words.plain(f"screening_rule.{row['rule']}"),
            "threshold": show_threshold(row["threshold"]),
            "n_flagged": int(row["n_flagged"]),
            "source": row["source"],
        }
        for row in table[table["applied"]].to_dict("records")
    ]
    if shown:
        blocks.append(words.table(pd.DataFrame(shown), words("flow.flags"), {"threshold": "right"}))
    flagged = int(result.screening.flagged.sum())
    n = len(result.screening.flagged)
    blocks.append(Paragraph(words("flow.advice", flagged=flagged, n=n), quiet=True))
    # What is missing has a section of its own.
    blocks += words.callouts(
        d for d in result.screening.diagnostics if d.code != "screening_mcar_not_computed"
    )
    if result.sensitivity is not None:
        shown_frame = _printed_sensitivity(words, result.sensitivity)
        formats = dict.fromkeys(shown_frame.columns[1:], "right")
        blocks.append(words.table(shown_frame, words("flow.sensitivity"), formats))
        blocks.append(Paragraph(words("flow.sensitivity_note"), quiet=True))
    return blocks


def _printed_sensitivity(words: Words, frame: pd.DataFrame) -> pd.DataFrame:
    """Each statistic in its own format: counts, chi-squares, and what cannot exceed one."""
    rows = []
    for row in frame.reset_index().to_dict("records"):
        name = str(row["statistic"])
        digits = {"n_obs": 0, "df": 0, "chisq": 2}.get(name, 3)
        unit = name not in ("n_obs", "df", "chisq")
        rows.append(
            {
                "statistic": _statistic(words, name),
                **{
                    column: format_number(row[column], digits, leading_zero=not unit)
                    for column in ("all", "without_flagged", "difference")
                },
            }
        )
    return pd.DataFrame(rows)


def _statistic(words: Words, name: str) -> str:
    if name in ("n_obs", "chisq", "df", "cfi", "rmsea", "srmr"):
        return words.plain(f"column.{name}")
    return name.replace("->", "→")


# --- missing answers ---------------------------------------------------------------------


def missing_section(result: StudyResult) -> Section | None:
    """Show which answers are missing, what is assumed about them, and what depends on it."""
    screening, survey = result.screening, result.survey
    if screening is None or survey is None or not len(screening.patterns):
        return None
    words = Words(result.language)
    items = screening.items
    patterns = screening.patterns
    incomplete = patterns[patterns["n_missing"] > 0]
    if not int(items["missing"].sum()):
        blocks: list[Block] = [Paragraph(words("missing.nothing"))]
        return make_section(words, "missing", blocks)
    n = int(patterns["n"].sum())
    cells = float(items["missing"].sum()) / (n * len(items))
    blocks = [
        Paragraph(
            words(
                "missing.amount",
                cells=f"{format_number(100 * cells, 1)}%",
                n_incomplete=int(incomplete["n"].sum()),
                n=n,
                n_patterns=len(incomplete),
                worst=str(items["missing_share"].idxmax()),
                worst_share=f"{format_number(100 * items['missing_share'].max(), 1)}%",
            )
        ),
        Paragraph(words(f"missing.method_{result.measurement.options['missing']}")),
    ]
    rows = [
        {
            "n_respondents": int(row["n"]),
            "share": float(row["share"]),
            "items_missing": words.join(_few(row["missing_items"])),
        }
        for row in incomplete.head(N_PATTERNS).to_dict("records")
    ]
    caption = words("missing.patterns", shown=len(rows), n_patterns=len(incomplete))
    blocks.append(words.table(pd.DataFrame(rows), caption, {"share": "percent"}))
    if len(incomplete) > 1 and len(items) <= MOST_ITEMS_MAPPED:
        from sqvalid.plots import figure_svg, missing_map
        from sqvalid.screening import describe_missing

        caption = words("missing.map")
        figure = missing_map(describe_missing(survey, [str(item) for item in items.index]))
        blocks.append(FigureBlock(figure_svg(figure, title=caption), caption))
    mcar = screening.mcar
    if mcar is not None and mcar.df > 0:
        chisq = format_number(mcar.chisq, 2)
        blocks.append(Paragraph(words("flow.little", chisq=chisq, df=mcar.df, p=format_p(mcar.p))))
    blocks += words.callouts(
        d for d in screening.diagnostics if d.code == "screening_mcar_not_computed"
    )
    if result.missing_methods is not None:
        blocks += _missing_methods(words, result.missing_methods)
    return make_section(words, "missing", blocks)


def _few(names: tuple[str, ...], most: int = 8) -> list[str]:
    return [*names[:most], "…"] if len(names) > most else list(names)


def _missing_methods(words: Words, frame: pd.DataFrame) -> list[Block]:
    """Every verdict under either treatment of missing answers."""
    rows = []
    for row in frame.to_dict("records"):
        kind = "answer.verdict" if row["kind"] == "answer" else "hypothesis_verdict"
        name = row["name"]
        if row["kind"] == "answer":
            name = words.plain(f"answer.question.{name}")
        shown = {
            method: words.plain(f"{kind}.{row[method]}") if row[method] else None
            for method in ("listwise", "fiml")
        }
        rows.append({"subject": name, **shown})
    turned = int(((frame["listwise"] != frame["fiml"]) & (frame["fiml"] != "")).sum())
    key = "flow.methods_differ" if turned else "flow.methods_agree"
    return [
        words.table(pd.DataFrame(rows), words("flow.methods")),
        Paragraph(words(key, n=turned), quiet=not turned),
    ]


# --- items and reliability ---------------------------------------------------------------


def means_allowed(result: StudyResult) -> bool:
    """Tell whether means of several groups may stand side by side.

    They may when there is one group, or intercepts have been found equal across these groups.
    """
    fit = result.measurement
    if len(fit.group_labels) == 1:
        return True
    ladder = result.invariance
    return (
        ladder is not None
        and ladder.group == fit.group_variable
        and ladder.reached in ("scalar", "strict", "latent_covariances", "latent_means")
    )


def gap_scores(result: StudyResult) -> frozenset[str]:
    """Return the difference scores of a survey, whose means need equal batteries to be read."""
    if result.survey is None:
        return frozenset()
    made = (entry.details["items"] for entry in result.survey.audit if entry.step == "gaps")
    return frozenset(str(item) for items in made for item in items)


def items_section(result: StudyResult) -> Section | None:
    """Show the distribution of the answers, item statistics, and reliability."""
    model = None if result.validity is None else result.validity.reliability
    source = model if result.items is None else result.items
    if source is None:
        return None
    words = Words(result.language)
    blocks: list[Block] = [Paragraph(words("items.intro"))]
    frame = source.items
    keep = ["group", "dimension", "item", "mean", "sd", "item_rest_r", "alpha_if_deleted"]
    withheld = "group" in frame and not means_allowed(result)
    gaps = frame["item"].astype(str).isin(gap_scores(result))
    frame = frame.assign(mean=frame["mean"].mask(gaps))
    if frame["mean"].isna().all() or withheld:
        keep.remove("mean")
    table = frame[[column for column in keep if column in frame]]
    formats = {"mean": "f2", "sd": "f2", "item_rest_r": "unit2", "alpha_if_deleted": "unit2"}
    blocks.append(words.table(table, words("items.table"), formats))
    if withheld:
        blocks.append(Paragraph(words("items.means_withheld"), quiet=True))
    if gaps.any():
        blocks.append(Paragraph(words("items.gap_means_withheld"), quiet=True))
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
    blocks += _distributions(words, result)
    blocks += _correlations(words, result)
    return make_section(words, "items", blocks)


def _distributions(words: Words, result: StudyResult) -> list[Block]:
    """Skewness, kurtosis, floor and ceiling of every item, and the answers themselves."""
    screening, survey = result.screening, result.survey
    if screening is None or survey is None:
        return []
    from sqvalid.plots import figure_svg, response_distribution

    blocks: list[Block] = [Heading(words("items.distribution_head"))]
    columns = ["n", "missing_share", "skew", "kurtosis", "floor_share", "ceiling_share"]
    frame = screening.items[columns].rename(columns={"n": "n_answers"}).reset_index()
    formats = dict.fromkeys(("missing_share", "floor_share", "ceiling_share"), "percent")
    formats |= {"skew": "f2", "kurtosis": "f2"}
    blocks.append(words.table(frame, words("items.distribution"), formats))
    blocks.append(Paragraph(words("items.distribution_note"), quiet=True))
    mardia, hz = screening.mardia, screening.henze_zirkler
    if mardia is not None:
        blocks.append(
            Paragraph(
                words(
                    "items.mardia",
                    skewness=format_number(mardia.skewness_chisq, 1),
                    df=f"{mardia.skewness_df:g}",
                    skewness_p=format_p(mardia.skewness_p),
                    kurtosis=format_number(mardia.kurtosis_z, 2),
                    kurtosis_p=format_p(mardia.kurtosis_p),
                )
            )
        )
    if hz is not None and not math.isnan(hz.p):
        value = format_number(hz.statistic, 3)
        blocks.append(Paragraph(words("items.henze_zirkler", value=value, p=format_p(hz.p))))
    fit = result.measurement
    own = {
        name: [item for item in items if item in survey.frame.columns]
        for name, items in fit.indicators.items()
    }
    own = {name: items for name, items in own.items() if items}
    figure = response_distribution(survey.frame, own) if own else None
    if figure is not None:
        caption = words("items.answers")
        blocks.append(FigureBlock(figure_svg(figure, title=caption), caption))
    return blocks


def _correlations(words: Words, result: StudyResult) -> list[Block]:
    """A map of the correlations of the items, dimension by dimension."""
    from sqvalid.plots import correlation_map, figure_svg

    sample = result.measurement.sample
    by_group = sample if isinstance(sample, dict) else {"": sample}
    if len(by_group) > 1 or len(result.measurement.observed) > MOST_ITEMS_MAPPED:
        return []
    frame = next(iter(by_group.values()))
    scale = pd.Series([math.sqrt(frame.loc[name, name]) for name in frame.index], frame.index)
    correlations = frame.div(scale, axis=0).div(scale, axis=1)
    caption = words("items.map")
    return [FigureBlock(figure_svg(correlation_map(correlations), title=caption), caption)]
