"""Leaving respondents out by rules set in advance, one step after the other, on the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqvalid.errors import OptionError, SurveyError
from sqvalid.screening.material import gather
from sqvalid.screening.result import _check_rules, apply_rules, measure
from sqvalid.screening.rules import RULES
from sqvalid.survey import Survey

__all__ = ["FlowStep", "apply_exclusions"]


@dataclass(frozen=True)
class FlowStep:
    """One step of the respondents' flow.

    Parameters
    ----------
    rule : str
        Name of the rule.
    threshold : float
        Its boundary.
    n_excluded : int
        Respondents it took out.
    rows : tuple
        Their labels in the index of the survey.
    """

    rule: str
    threshold: float
    n_excluded: int
    rows: tuple[Any, ...]


def apply_exclusions(
    survey: Survey,
    rules: Mapping[str, float | None],
    *,
    duration: str | None = None,
    attention: Mapping[str, Any] | None = None,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
) -> tuple[Survey, tuple[FlowStep, ...]]:
    """Leave out respondents by rules, in the order given.

    Every rule sees the respondents that the rules before it have left; indices that depend on
    the sample (Mahalanobis distance, person-total correlation, duplicates) are computed anew.

    Parameters
    ----------
    survey : Survey
        Answers.
    rules : mapping of str to float or None
        Rule to threshold; None takes the rule's default.
    duration, attention, dimensions, scale
        As for ``screen``.

    Returns
    -------
    survey : Survey
        With one line per rule in its audit trail, also where nobody was left out.
    steps : tuple of FlowStep
        One per rule, in order.

    Raises
    ------
    OptionError
        An unknown rule, a rule without a threshold, or one that cannot be applied.
    SurveyError
        Nobody would remain.
    """
    steps: list[FlowStep] = []
    for name, threshold in rules.items():
        material = gather(
            survey, dimensions=dimensions, duration=duration, attention=attention, scale=scale
        )
        asked = {name: 0.0 if threshold is None else threshold}
        _check_rules(asked, material)
        chosen = {} if threshold is None else {name: float(threshold)}
        flags, table = apply_rules(measure(material, asked), material, chosen)
        if name not in flags:
            raise OptionError(
                f"The rule {name!r} cannot be applied to these answers.",
                remedy="It has no default threshold, or its index is not defined for them; "
                "see Screening.rules and Screening.diagnostics.",
            )
        used = float(table.loc[table["rule"] == name, "threshold"].iloc[0])
        mask = flags[name].to_numpy(dtype=bool)
        rows = tuple(survey.frame.index[mask])
        reason = f"{name} {RULES[name].symbol} {used:g}"
        if mask.all():
            raise SurveyError(
                f"The rule {reason} leaves out every respondent that was left ({len(mask)}).",
                remedy="Choose another threshold, or look at Screening.respondents for the index.",
            )
        survey = survey.drop(mask.tolist(), reason)
        steps.append(FlowStep(name, used, len(rows), rows))
    return survey, tuple(steps)
