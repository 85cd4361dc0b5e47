"""The steps of a study that need more than one call: rivals, hypotheses, groups, sensitivity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from sqvalid.errors import InputError
from sqvalid.findings import Answer, Ledger
from sqvalid.hypotheses import Hypothesis, HypothesisTests, judge_hypotheses, read_hypotheses
from sqvalid.instruments import GAPS, Instrument
from sqvalid.latent import FitResult
from sqvalid.screening import Screening, compare_without_flagged
from sqvalid.survey import Survey

__all__ = [
    "PATH_FAMILY",
    "blocking_link",
    "compare_flagged",
    "hypotheses_of_paths",
    "judge_plan",
    "rival_text",
]

PATH_FAMILY = "paths"
# Kinds of rival that need no instrument, only the items of each dimension.
_PLAIN_KINDS = ("one_factor", "uncorrelated", "second_order", "merged")


def rival_text(
    words: str,
    instrument: Instrument | None,
    factors: Mapping[str, Sequence[str]],
) -> str:
    """Return the model text of a rival given by its kind.

    Parameters
    ----------
    words : str
        Model text, or the name of a kind: ``"one_factor"``, ``"second_order"``,
        ``"merged RES+EMP"``, and with an instrument every kind of
        :meth:`sqvalid.instruments.Instrument.model`.
    instrument : Instrument, optional
        What was asked.
    factors : mapping of str to sequence of str
        First-order factors of the measurement model, with their items.

    Returns
    -------
    str

    Raises
    ------
    InputError
        A kind that needs an instrument, or factors that are not there.
    """
    if "=~" in words:
        return words
    kind, *groups = words.split()
    merge = [tuple(group.split("+")) for group in groups]
    items = [item for members in factors.values() for item in members]
    batteries = () if instrument is None else _batteries_of(instrument, items)
    if instrument is not None and batteries:
        return instrument.model(kind, batteries, merge=merge, items=items)  # type: ignore[arg-type]
    if kind not in _PLAIN_KINDS:
        raise InputError(
            f"A rival {kind!r} cannot be made from the items alone.",
            remedy="Give its model text, or one of: " + ", ".join(_PLAIN_KINDS) + ".",
        )
    unknown = [name for group in merge for name in group if name not in factors]
    if unknown or (kind == "merged" and not merge):
        told = f"{unknown[0]!r} is not a factor" if unknown else "no factors are named"
        raise InputError(
            f"The rival {words!r} merges factors, and {told}.",
            remedy="Write e.g. 'merged RES+EMP' with factors of the measurement model: "
            f"{', '.join(factors)}.",
        )
    if kind == "one_factor":
        return f"{_free_name('F', factors)} =~ {' + '.join(items)}\n"
    joined = {name: group for group in merge for name in group}
    lines: dict[str, list[str]] = {}
    for name, members in factors.items():
        lines.setdefault("_".join(joined.get(name, (name,))), []).extend(members)
    text = "".join(f"{name} =~ {' + '.join(members)}\n" for name, members in lines.items())
    names = list(lines)
    if kind == "second_order":
        if len(names) < 3:
            raise InputError(
                f"A second-order factor of {len(names)} factors is not identified.",
                remedy="It needs three factors or more.",
            )
        text += f"{_free_name('G', factors)} =~ {' + '.join(names)}\n"
    if kind == "uncorrelated":
        text += "".join(
            f"{a} ~~ 0*{b}\n" for i, a in enumerate(names) for b in names[i + 1 :]
        )  # fmt: skip
    return text


def _batteries_of(instrument: Instrument, items: Sequence[str]) -> tuple[str, ...]:
    """Batteries, gap scores among them, that items belong to; none when one is unknown."""
    home = {item.id: item.battery for item in instrument.items}
    for kind, (_, other) in GAPS.items():
        if instrument.pairs("perception", other):  # type: ignore[arg-type]
            home |= dict.fromkeys(instrument.gap_items(kind), kind)  # type: ignore[arg-type]
    if not set(items) <= set(home):
        return ()
    return tuple(dict.fromkeys(home[item] for item in items))


def _free_name(wanted: str, taken: Mapping[str, Sequence[str]]) -> str:
    used = {*taken, *(item for items in taken.values() for item in items)}
    while wanted in used:
        wanted += "0"
    return wanted


def blocking_link(ledger: Ledger) -> str:
    """Return the link of the chain whose failure leaves the hypotheses unjudged, or ""."""
    for link in ledger.links:
        if link.blocked_by:
            return link.blocked_by
        if link.state == "not_met" and link.name != "convergence":
            return link.name
    return ""


def hypotheses_of_paths(fit: FitResult) -> tuple[Hypothesis, ...]:
    """One hypothesis, of any direction, for every path of a model without hypotheses."""
    table = fit.parameters
    paths = table[(table["op"] == "~") & (table["group"] == 1) & (table["free"] > 0)]
    return read_hypotheses(
        {
            f"P{k}": f"{source} -> {target}, nonzero"
            for k, (target, source) in enumerate(zip(paths["lhs"], paths["rhs"], strict=True), 1)
        },
        family=PATH_FAMILY,
    )


def judge_plan(
    hypotheses: Sequence[Hypothesis],
    fit: FitResult,
    ledger: Ledger,
    fit_groups: Callable[[str], FitResult | str],
    *,
    names: Mapping[str, str],
    alpha: float,
    seed: int,
) -> HypothesisTests:
    """Judge hypotheses where the chain of verdicts has led.

    Parameters
    ----------
    hypotheses : sequence of Hypothesis
    fit : FitResult
        The structural model.
    ledger : Ledger
    fit_groups : callable
        Column to the model in its groups, loadings equal, or to why it cannot be had.
    names : mapping of str to str
        Words to variables.
    alpha : float
    seed : int

    Returns
    -------
    HypothesisTests
    """
    columns = dict.fromkeys(h.group for h in hypotheses if h.kind == "groups")
    groups = {} if blocking_link(ledger) else {column: fit_groups(column) for column in columns}
    return judge_hypotheses(
        hypotheses,
        fit,
        names=names,
        groups=groups,
        alpha=alpha,
        blocked=blocking_link(ledger),
        seed=seed,
    )


def compare_flagged(
    survey: Survey,
    screening: Screening,
    analyse: Callable[[Survey], Sequence[FitResult]],
) -> pd.DataFrame | None:
    """Put the main numbers with and without flagged respondents side by side.

    Parameters
    ----------
    survey : Survey
        The answers that were analysed.
    screening : Screening
        Of these answers.
    analyse : callable
        Answers to the measurement model and, where there is one, the structural one.

    Returns
    -------
    pandas.DataFrame or None
        ``all without_flagged difference``; None where nobody or everybody is flagged.

    Raises
    ------
    SqvalidError
        The models cannot be estimated without the flagged respondents.
    """

    def numbers(data: Any) -> dict[str, float]:
        fits = analyse(data)
        measures = fits[0].fit_measures
        out = {"n_obs": float(fits[0].n_obs)}
        for name in ("chisq", "df", "cfi", "rmsea", "srmr"):
            out[name] = float(measures[name])
        for fit in fits[1:]:
            table = fit.parameters
            for row in table[table["op"] == "~"].to_dict("records"):
                group = f" [{row['group']}]" if len(fit.group_labels) > 1 else ""
                out[f"{row['rhs']} -> {row['lhs']}{group}"] = float(row["std_all"])
        return out

    if not screening.flagged.any() or screening.flagged.all():
        return None
    return compare_without_flagged(survey, screening, numbers)


def verdicts_by_method(
    method: str,
    answers: Sequence[Answer],
    hypotheses: HypothesisTests | None,
    other_answers: Sequence[Answer] | None,
    other_hypotheses: HypothesisTests | None,
) -> pd.DataFrame:
    """What the treatment of missing answers does to every verdict.

    Parameters
    ----------
    method : {"listwise", "fiml"}
        The one of the study.
    answers, hypotheses
        Under it.
    other_answers, other_hypotheses
        Under the other one; None where it could not be carried out.

    Returns
    -------
    pandas.DataFrame
        kind ("answer" or "hypothesis"), name, listwise, fiml; a verdict that could not be reached
        is empty.
    """
    other = "fiml" if method == "listwise" else "listwise"

    def verdicts(
        asked: Sequence[Answer] | None, tests: HypothesisTests | None
    ) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {
            ("answer", answer.question): answer.verdict for answer in asked or ()
        }
        if tests is not None:
            for row in tests.frame.to_dict("records"):
                name = f"{row['id']} ({row['group']})" if row.get("group") else str(row["id"])
                found[("hypothesis", name)] = row["verdict"]
        return found

    ours, theirs = verdicts(answers, hypotheses), verdicts(other_answers, other_hypotheses)
    rows = [
        {"kind": kind, "name": name, method: verdict, other: theirs.get((kind, name), "")}
        for (kind, name), verdict in ours.items()
    ]
    return pd.DataFrame(rows, columns=["kind", "name", "listwise", "fiml"])
