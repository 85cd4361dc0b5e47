"""The rules of screening: which index, which side, which threshold, and who proposed it.

Thresholds without a published source are called conventions. A rule without a default
threshold is computed for every respondent and flags nobody until a threshold is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["RULES", "Rule", "flag_rows"]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Parameters
    ----------
    name : str
        Its name, and after ``screening_rule.`` its key in the wording tables.
    index : str
        Column of ``Screening.respondents`` it looks at.
    direction : {"at_least", "above", "at_most", "below"}
        Which side of the threshold is flagged.
    threshold : float or None
        Default; None where no threshold is defensible for every questionnaire.
    source : str
        Who proposed it.
    alone : bool
        Whether this rule is enough for the combined advice; the others count from two on.
    resolve : callable, optional
        Takes the values of the index and the number of items, returns the threshold that
        the default stands for, where it depends on the data.
    """

    name: str
    index: str
    direction: Literal["at_least", "above", "at_most", "below"]
    threshold: float | None
    source: str
    alone: bool = False
    resolve: Callable[[Array, int], float] | None = None

    @property
    def wording_key(self) -> str:
        """Key of the rule's name in the wording tables."""
        return f"screening_rule.{self.name}"

    @property
    def symbol(self) -> str:
        """The direction as a sign."""
        return {"at_least": ">=", "above": ">", "at_most": "<=", "below": "<"}[self.direction]

    def default_for(self, index: Array, n_items: int) -> float | None:
        """Return the default threshold for these data, or None where there is none."""
        return self.threshold if self.resolve is None else self.resolve(index, n_items)


def flag_rows(rule: Rule, index: Array, threshold: float) -> Bools:
    """Apply a rule: an index that does not exist flags nobody.

    Parameters
    ----------
    rule : Rule
        What to apply.
    index : ndarray (n,)
        The rule's index.
    threshold : float
        Boundary.

    Returns
    -------
    ndarray (n,) of bool
    """
    known = ~np.isnan(index)
    value = np.where(known, index, 0.0)
    met = {
        "at_least": value >= threshold,
        "above": value > threshold,
        "at_most": value <= threshold,
        "below": value < threshold,
    }[rule.direction]
    return np.asarray(met & known)


def _half_of_items(_: Array, n_items: int) -> float:
    return float(np.ceil(max(n_items, 6) / 2.0))


def _two_seconds_per_item(_: Array, n_items: int) -> float:
    return 2.0 * n_items


def _upper_fence(index: Array, _: int) -> float:
    known = index[~np.isnan(index)]
    if known.size < 4:
        return float("nan")
    first, third = np.quantile(known, [0.25, 0.75])
    return float(third + 1.5 * (third - first))


_RULES = (
    Rule(
        "missing_share",
        "missing_share",
        "above",
        0.50,
        "convention: more than half of the items not answered",
        alone=True,
    ),
    Rule("out_of_range", "out_of_range", "at_least", 1.0, "the item's own scale", alone=True),
    Rule(
        "impossible",
        "impossible",
        "at_least",
        1.0,
        "the caller's own rules on answers that cannot go together",
        alone=True,
    ),
    Rule(
        "attention",
        "attention_failed",
        "at_least",
        1.0,
        "Meade & Craig (2012): instructed answers; one miss is a strict convention",
        alone=True,
    ),
    Rule(
        "duration",
        "duration",
        "below",
        None,
        "Huang, Curran, Keeney, Poposki & DeShon (2012): 2 seconds per item",
        alone=True,
        resolve=_two_seconds_per_item,
    ),
    Rule(
        "straight_line",
        "same_answer_share",
        "at_least",
        1.0,
        "the same answer to every item, with at least six answered (convention)",
        alone=True,
    ),
    Rule(
        "longstring",
        "longstring",
        "at_least",
        None,
        "Curran (2016): half the length of the questionnaire",
        resolve=_half_of_items,
    ),
    Rule(
        "irv",
        "irv",
        "at_most",
        0.0,
        "Dunn et al. (2018) name no cut-off: only answers that never vary",
    ),
    Rule("even_odd", "even_odd", "below", 0.30, "Jackson (1976), after Johnson (2005)"),
    Rule("person_total", "person_total", "below", 0.0, "Curran (2016)"),
    Rule(
        "mahalanobis",
        "mahalanobis_p",
        "below",
        0.001,
        "Tabachnick & Fidell (2019)",
    ),
    Rule(
        "guttman",
        "guttman",
        "above",
        None,
        "Tukey's upper fence of the sample, after Zijlstra, van der Ark & Sijtsma (2011)",
        resolve=_upper_fence,
    ),
    Rule(
        "duplicate",
        "duplicate",
        "at_least",
        1.0,
        "the same answers to every item as an earlier row",
    ),
    Rule(
        "near_duplicate",
        "largest_match",
        "above",
        None,
        "Kuriakose & Robbins (2016) use .85; computed on request",
    ),
    Rule(
        "psychometric_synonyms",
        "psychometric_synonyms",
        "below",
        None,
        "Meade & Craig (2012) name no cut-off",
    ),
    Rule(
        "psychometric_antonyms",
        "psychometric_antonyms",
        "above",
        None,
        "Meade & Craig (2012) name no cut-off",
    ),
    Rule(
        "average_longstring",
        "average_longstring",
        "above",
        None,
        "Meade & Craig (2012) name no cut-off",
    ),
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in _RULES})
"""Every rule by its name."""
