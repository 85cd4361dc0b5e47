"""Screening: what the answers look like before anything is estimated from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError, SurveyError
from sqvalid.moments.em import em_moments, missing_patterns
from sqvalid.screening import indices
from sqvalid.screening.codes import out_of_range, proposed_missing_codes
from sqvalid.screening.distribution import (
    HenzeZirkler,
    LittleTest,
    Mardia,
    MomentType,
    henze_zirkler,
    kurtosis,
    little_test,
    mardia,
    skewness,
)
from sqvalid.screening.keying import suspected_reversed
from sqvalid.screening.material import Material, gather
from sqvalid.screening.rules import RULES, flag_rows

__all__ = ["Screening", "compare_without_flagged", "screen"]

Array = npt.NDArray[np.float64]

# Above this many complete rows the test of Henze and Zirkler is left out: its time grows with
# their square.
_MOST_PAIRED_ROWS = 12_000
# Little's test is left out where patterns of missing answers times squared items exceed this:
# every step of the estimation fills a matrix of items per pattern, and it would take minutes.
_MOST_LITTLE = 2_000_000


@dataclass(frozen=True, repr=False, eq=False)
class Screening(Result):
    """Every respondent and every item, looked at before analysis. Advice; nothing is deleted.

    Parameters
    ----------
    respondents : pandas.DataFrame
        One row per respondent, index of the input: ``missing_share out_of_range impossible
        attention_failed duration longstring average_longstring same_answer_share irv even_odd
        person_total mahalanobis_d2 mahalanobis_p guttman_errors guttman
        psychometric_synonyms psychometric_antonyms largest_match acquiescence duplicate
        duplicate_of``. ``guttman`` is the normed number of errors. NaN where an index has no
        meaning for the input.
    flags : pandas.DataFrame
        One truth value per respondent and rule that was applied.
    flagged : pandas.Series
        The combined advice: a rule that is enough alone, or two others.
    rules : pandas.DataFrame
        ``rule index direction threshold source alone applied n_flagged``; rules that were not
        applied have no threshold and NaN for n_flagged.
    items : pandas.DataFrame
        Per item, as the answers were given: ``n missing missing_share mean sd skew kurtosis
        floor_share ceiling_share scale_min scale_max unused_categories out_of_range``.
    patterns : pandas.DataFrame
        Patterns of missing answers, most frequent first: ``n share n_missing missing_items``.
    out_of_range : pandas.DataFrame
        The cells outside their scale: ``row item value scale_min scale_max``.
    proposed_missing_codes, suspected_reversed : pandas.DataFrame
        See the functions of that name.
    mardia : Mardia or None
        Multivariate skewness and kurtosis.
    henze_zirkler : HenzeZirkler or None
        Multivariate normality.
    mcar : LittleTest or None
        Little's test; None where it could not be computed.
    moment_type : {1, 2, 3}
        Which definition skew and kurtosis follow; see :func:`sqvalid.screening.skewness`.
    diagnostics : tuple of Diagnostic
        What could not be computed and why.
    impossible : pandas.DataFrame
        One truth value per respondent and combination that the caller called impossible.
    """

    respondents: pd.DataFrame
    flags: pd.DataFrame
    flagged: pd.Series[bool]
    rules: pd.DataFrame
    items: pd.DataFrame
    patterns: pd.DataFrame
    out_of_range: pd.DataFrame
    proposed_missing_codes: pd.DataFrame
    suspected_reversed: pd.DataFrame
    mardia: Mardia | None = None
    henze_zirkler: HenzeZirkler | None = None
    mcar: LittleTest | None = None
    moment_type: MomentType = 3
    diagnostics: tuple[Diagnostic, ...] = ()
    impossible: pd.DataFrame = field(default_factory=pd.DataFrame)

    def _headline(self) -> str:
        return (
            f"{int(self.flagged.sum())} of {len(self.flagged)} respondents flagged, "
            f"{len(self.items)} items"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the indices of every respondent, with ``flagged`` as the last column."""
        return self.respondents.assign(flagged=self.flagged)

    def tables(self) -> tuple[Table, ...]:
        """Return the table of rules and the table of items."""
        return (
            Table(self.rules, formats={"n_flagged": "int"}),
            Table(
                self.items,
                formats={
                    "missing_share": "percent",
                    "floor_share": "percent",
                    "ceiling_share": "percent",
                },
            ),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "rules": self.rules,
            "items": self.items,
            "patterns": self.patterns,
            "out_of_range": self.out_of_range,
            "proposed_missing_codes": self.proposed_missing_codes,
            "suspected_reversed": self.suspected_reversed,
            "mardia": self.mardia,
            "henze_zirkler": self.henze_zirkler,
            "mcar": self.mcar,
            "moment_type": self.moment_type,
            "n_respondents": len(self.flagged),
            "n_flagged": int(self.flagged.sum()),
        }


def screen(
    data: Any,
    *,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    duration: str | None = None,
    attention: Mapping[str, Any] | None = None,
    rules: Mapping[str, float] | None = None,
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    reverse: Sequence[str] = (),
    impossible: Mapping[str, str] | None = None,
    moment_type: MomentType = 3,
) -> Screening:
    """Screen answers: careless responding, missing answers, distributions, slips of entry.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame
        Answers. Indices that look at what was ticked (runs, variability) use the answers as
        given: items that a Survey has turned are turned back for them. Their order is that
        of the columns.
    dimensions : mapping of str to sequence of str, optional
        Items of each dimension; by default those of the survey. Without any, all columns
        with numbers are items of one pool, and what needs dimensions is NaN.
    duration : str, optional
        Column with the time a respondent took, in seconds.
    attention : mapping, optional
        Column of an attention check to its right answer. A check without an answer is not
        counted as failed. These columns are no items.
    rules : mapping of str to float, optional
        Thresholds by name of the rule (see ``RULES``), in place of the defaults. A rule that
        has no default is applied only when named here.
    scale : (float, float) or mapping of str to (float, float), optional
        Lowest and highest possible answer; by default from the instrument. Without it nothing
        is out of range and the ends of the scale are those that were used.
    reverse : sequence of str
        Reverse-worded items of a bare frame whose answers have not been turned; they need a
        scale.
    impossible : mapping of str to str, optional
        Combinations of answers that cannot be, by name: conditions in names of columns such as
        ``{"no customer": "visits == 0 and SAT1 > 0"}``; see
        :func:`sqvalid.screening.impossible_answers`. Items are meant as they were ticked.
    moment_type : {1, 2, 3}
        Definition of skew and kurtosis.

    Returns
    -------
    Screening

    Raises
    ------
    OptionError
        An unknown rule, or one whose column is not given.
    SurveyError
        A column that is not there, or text in an item.
    """
    material = gather(
        data,
        dimensions=dimensions,
        duration=duration,
        attention=attention,
        scale=scale,
        reverse=reverse,
        impossible=impossible,
    )
    chosen = _check_rules(rules, material)
    respondents = measure(material, chosen)
    flags, rule_frame = apply_rules(respondents, material, chosen)
    alone = [name for name in flags.columns if RULES[name].alone]
    together = [name for name in flags.columns if not RULES[name].alone]
    flagged = flags[alone].any(axis=1) | (flags[together].sum(axis=1) >= 2)
    diagnostics = list(_notes(material, respondents))
    cells = out_of_range(material.raw, material.scale)
    complete = int((~np.isnan(material.raw_values)).all(axis=1).sum())
    normality = mardia(material.raw_values)
    henze = None
    if normality is None:
        diagnostics.append(Diagnostic("screening_no_multivariate_test", "info"))
    elif complete > _MOST_PAIRED_ROWS:
        diagnostics.append(
            Diagnostic(
                "screening_henze_zirkler_left_out",
                "info",
                (),
                {"n_obs": complete, "most": _MOST_PAIRED_ROWS},
            )
        )
    else:
        henze = henze_zirkler(material.raw_values)
    suspected = suspected_reversed(material.keyed, material.dimensions)
    if len(suspected):
        diagnostics.append(
            Diagnostic("screening_suspected_reversed", "warning", tuple(suspected["item"]))
        )
    proposed = proposed_missing_codes(material.raw, scale=material.scale)
    if len(proposed):
        codes = ", ".join(f"{code:g}" for code in proposed["code"])
        diagnostics.append(Diagnostic("screening_proposed_codes", "warning", (), {"codes": codes}))
    if material.impossible is not None and material.impossible.to_numpy().any():
        counts = material.impossible.sum()
        caught = tuple(str(name) for name in counts[counts > 0].index)
        n_rows = int(material.impossible.any(axis=1).sum())
        diagnostics.append(
            Diagnostic("screening_impossible", "problem", caught, {"n_rows": n_rows})
        )
    if len(cells):
        where = tuple(dict.fromkeys(cells["item"]))
        diagnostics.append(
            Diagnostic("screening_out_of_range", "problem", where, {"n_cells": len(cells)})
        )
    mcar = _little(material.raw_values)
    if mcar is None and np.isnan(material.raw_values).any():
        diagnostics.append(Diagnostic("screening_mcar_not_computed", "info"))
    return Screening(
        respondents=respondents,
        flags=flags,
        flagged=flagged.rename("flagged").astype(bool),
        rules=rule_frame,
        items=_item_frame(material, cells, moment_type),
        patterns=_patterns(material),
        out_of_range=cells,
        proposed_missing_codes=proposed,
        suspected_reversed=suspected,
        mardia=normality,
        henze_zirkler=henze,
        mcar=mcar,
        moment_type=moment_type,
        diagnostics=tuple(diagnostics),
        impossible=pd.DataFrame(index=respondents.index)
        if material.impossible is None
        else material.impossible,
    )


def _little(values: Array) -> LittleTest | None:
    """Little's test, or None without gaps or where the moments cannot be estimated."""
    if not np.isnan(values).any():
        return None
    if len(missing_patterns(values)[0]) * values.shape[1] ** 2 > _MOST_LITTLE:
        return None
    try:
        moments = em_moments(values)
    except SurveyError:
        return None
    return little_test(values, moments.mean, moments.covariance) if moments.converged else None


def _check_rules(rules: Mapping[str, float] | None, material: Material) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for name, threshold in (rules or {}).items():
        if name not in RULES:
            raise OptionError(
                f"There is no screening rule {name!r}.",
                remedy=f"Choose from: {', '.join(RULES)}.",
            )
        if name == "duration" and material.duration is None:
            raise OptionError(
                "The rule 'duration' needs the column that holds the time.",
                remedy='Pass duration="name of the column" (seconds).',
            )
        if name == "attention" and material.attention_failed is None:
            raise OptionError(
                "The rule 'attention' needs the checks and their right answers.",
                remedy='Pass attention={"name of the column": right answer}.',
            )
        if name == "impossible" and material.impossible is None:
            raise OptionError(
                "The rule 'impossible' needs the combinations that cannot be.",
                remedy='Pass impossible={"no customer": "visits == 0 and SAT1 > 0"}.',
            )
        if name == "out_of_range" and not material.scale:
            raise OptionError(
                "The rule 'out_of_range' needs the scale of the items.",
                remedy="Pass scale=(1, 7), or a Survey with an instrument.",
            )
        if isinstance(threshold, bool) or not np.isfinite(threshold):
            raise OptionError(
                f"The threshold of rule {name!r} is {threshold!r}.", remedy="Give a number."
            )
        chosen[name] = float(threshold)
    return chosen


def measure(material: Material, chosen: Mapping[str, float]) -> pd.DataFrame:
    """Compute every index of every respondent; see ``Screening.respondents``."""
    raw, keyed = material.raw_values, material.keyed_values
    n, p = raw.shape
    given = ~np.isnan(raw)
    places = material.places
    longest, average = indices.identical_runs(raw)
    answered = given.sum(axis=1)
    low, high = np.where(given, raw, np.inf).min(axis=1), np.where(given, raw, -np.inf).max(axis=1)
    d2, d2_p = indices.mahalanobis(keyed)
    ends = material.ends
    errors, normed = indices.guttman_errors(keyed, ends[:, 0], ends[:, 1])
    repeated, original = indices.duplicated_rows(raw)
    synonyms, _ = indices.paired_consistency(raw)
    antonyms, _ = indices.paired_consistency(raw, opposite=True)
    unknown = np.full(n, np.nan)
    outside = np.zeros(n)
    for item, (least, most) in material.scale.items():
        values = material.raw[item].to_numpy(dtype=float)
        outside += (values < least) | (values > most)
    labels = material.raw.index.to_numpy()
    return pd.DataFrame(
        {
            "missing_share": 1.0 - answered / p,
            "out_of_range": outside if material.scale else unknown,
            "impossible": unknown
            if material.impossible is None
            else material.impossible.sum(axis=1).to_numpy(dtype=float),
            "attention_failed": unknown
            if material.attention_failed is None
            else material.attention_failed,
            "duration": unknown if material.duration is None else material.duration,
            "longstring": longest,
            "average_longstring": average,
            "same_answer_share": np.where(
                answered >= 6, np.where(low == high, 1.0, _modal_share(raw)), np.nan
            ),
            "irv": indices.individual_variability(raw),
            "even_odd": indices.even_odd_consistency(keyed, places),
            "person_total": indices.person_total_correlation(raw),
            "mahalanobis_d2": d2,
            "mahalanobis_p": d2_p,
            "guttman_errors": errors,
            "guttman": normed,
            "psychometric_synonyms": synonyms,
            "psychometric_antonyms": antonyms,
            "largest_match": indices.largest_match(raw) if "near_duplicate" in chosen else unknown,
            "acquiescence": indices.acquiescence(raw, ends.mean(axis=1), places, material.reverse)
            if material.scale
            else unknown,
            "duplicate": repeated,
            "duplicate_of": pd.Series(
                [labels[o] if r else None for r, o in zip(repeated, original, strict=True)],
                dtype=object,
            ).to_numpy(),
        },
        index=material.raw.index,
    )


def _modal_share(raw: Array) -> Array:
    """Share of a respondent's answers that are the answer given most often."""
    answers = np.unique(raw[~np.isnan(raw)])
    if answers.size > 200:
        # Free numbers rather than answers: nobody counts as a straight-liner by rounding.
        return np.zeros(raw.shape[0])
    most = np.zeros(raw.shape[0])
    for answer in answers:
        most = np.maximum(most, (raw == answer).sum(axis=1))
    return np.asarray(most / np.maximum((~np.isnan(raw)).sum(axis=1), 1))


def apply_rules(
    respondents: pd.DataFrame, material: Material, chosen: Mapping[str, float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flag respondents by every rule that can be applied, and say which were."""
    flags: dict[str, npt.NDArray[np.bool_]] = {}
    rows: list[dict[str, Any]] = []
    for name, rule in RULES.items():
        index = respondents[rule.index].to_numpy(dtype=float)
        threshold = chosen.get(name)
        if threshold is None and not np.isnan(index).all():
            threshold = rule.default_for(index, len(material.items))
        applied = threshold is not None and not np.isnan(threshold) and not np.isnan(index).all()
        if applied and threshold is not None:
            flags[name] = flag_rows(rule, index, threshold)
        rows.append(
            {
                "rule": name,
                "index": rule.index,
                "direction": rule.symbol,
                "threshold": threshold if applied else float("nan"),
                "source": rule.source,
                "alone": rule.alone,
                "applied": applied,
                "n_flagged": float(flags[name].sum()) if applied else float("nan"),
            }
        )
    return pd.DataFrame(flags, index=respondents.index), pd.DataFrame(rows)


def _item_frame(material: Material, cells: pd.DataFrame, kind: MomentType) -> pd.DataFrame:
    values = material.raw_values
    given = ~np.isnan(values)
    n = given.sum(axis=0)
    mean = np.where(given, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(given, (values - mean) ** 2, 0.0).sum(axis=0)
    ends = material.ends
    outside = cells["item"].value_counts()
    unused = []
    for i in range(len(material.items)):
        low, high = ends[i]
        whole = np.isfinite(low) and low == round(low) and high == round(high)
        used = set(values[given[:, i], i].tolist())
        unused.append(
            ", ".join(f"{answer:g}" for answer in np.arange(low, high + 1.0) if answer not in used)
            if whole and high - low <= 100 and all(a == round(a) for a in used)
            else ""
        )
    with_answers = np.where(n > 0, n, np.nan)
    return pd.DataFrame(
        {
            "n": n,
            "missing": len(values) - n,
            "missing_share": 1.0 - n / len(values),
            "mean": np.where(n > 0, mean, np.nan),
            "sd": np.sqrt(np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan)),
            "skew": skewness(values, kind),
            "kurtosis": kurtosis(values, kind),
            "floor_share": (values == ends[:, 0]).sum(axis=0) / with_answers,
            "ceiling_share": (values == ends[:, 1]).sum(axis=0) / with_answers,
            "scale_min": ends[:, 0],
            "scale_max": ends[:, 1],
            "unused_categories": unused,
            "out_of_range": [
                float(outside.get(item, 0)) if item in material.scale else float("nan")
                for item in material.items
            ],
        },
        index=pd.Index(material.items, name="item"),
    )


def _patterns(material: Material) -> pd.DataFrame:
    absent = np.isnan(material.raw_values)
    patterns, counts = np.unique(absent, axis=0, return_counts=True)
    order = np.lexsort((patterns.sum(axis=1), -counts))
    items = np.array(material.items, dtype=object)
    return pd.DataFrame(
        {
            "n": counts[order],
            "share": counts[order] / len(absent),
            "n_missing": patterns[order].sum(axis=1),
            "missing_items": [tuple(items[pattern]) for pattern in patterns[order]],
        }
    )


def _notes(material: Material, respondents: pd.DataFrame) -> list[Diagnostic]:
    notes = []
    if not material.scale:
        notes.append(Diagnostic("screening_no_scale", "info"))
    if not material.dimensions:
        notes.append(Diagnostic("screening_no_dimensions", "info"))
    if respondents["mahalanobis_d2"].isna().all():
        notes.append(Diagnostic("screening_no_mahalanobis", "info"))
    empty = [
        item
        for item, column in zip(material.items, material.raw_values.T, strict=True)
        if np.isnan(column).all()
    ]
    if empty:
        notes.append(Diagnostic("screening_item_without_answers", "problem", tuple(empty)))
    return notes


def compare_without_flagged(
    data: Any,
    screening: Screening,
    analysis: Callable[[Any], Mapping[str, float]],
) -> pd.DataFrame:
    """Put the results with and without the flagged respondents side by side.

    Parameters
    ----------
    data : Survey or pandas.DataFrame
        What was screened.
    screening : Screening
        Its screening.
    analysis : callable
        Takes data of the same kind and returns named numbers.

    Returns
    -------
    pandas.DataFrame
        One row per number: ``all without_flagged difference``; index: its name. NaN where
        one of the two analyses did not return it.

    Raises
    ------
    SurveyError
        The data are not the ones that were screened, or everybody is flagged.
    """
    from sqvalid.survey import Survey

    index = data.frame.index if isinstance(data, Survey) else data.index
    if not index.equals(screening.flagged.index):
        raise SurveyError(
            f"The screening is of {len(screening.flagged)} other rows.",
            remedy="Screen the data that are passed here.",
        )
    mask = screening.flagged.to_numpy(dtype=bool)
    if mask.all():
        raise SurveyError(
            "Every respondent is flagged; without them there is nothing to analyse.",
            remedy="Look at Screening.rules for the rule that flags most.",
        )
    if not mask.any():
        kept = data
    elif isinstance(data, Survey):
        kept = data.drop(mask.tolist(), "flagged by screening")
    else:
        kept = data.loc[~mask]
    everyone, fewer = dict(analysis(data)), dict(analysis(kept))
    names = list(dict.fromkeys([*everyone, *fewer]))
    first = np.array([float(everyone.get(name, np.nan)) for name in names])
    second = np.array([float(fewer.get(name, np.nan)) for name in names])
    return pd.DataFrame(
        {"all": first, "without_flagged": second, "difference": second - first},
        index=pd.Index(names, name="statistic"),
    )
