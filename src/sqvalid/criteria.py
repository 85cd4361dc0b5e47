"""Every cut-off: its value, where it comes from, and where it applies.

One table, :data:`CRITERIA`, holds the rules with one boundary, another, :data:`BANDS`, the
scales with several. A rule that is asked about something outside its envelope answers
"not judged" and why; it never guesses. Names and reasons are keys of :mod:`sqvalid.wording`
(``criterion.<key>``, ``criterion_reason.<reason>``, ``criterion_band.<key>.<band>``,
``criterion_outcome.<outcome>``).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from sqvalid.errors import check_choice

__all__ = ["BANDS", "CRITERIA", "Band", "Criterion", "Outcome", "Placement", "classify", "judge"]

Verdict = Literal["met", "not_met", "not_judged"]
Direction = Literal["at_least", "at_most", "above", "below"]
Envelope = Callable[[Mapping[str, Any]], str]
"""Takes the context; returns the key of the reason not to judge, or an empty string."""


@dataclass(frozen=True)
class Criterion:
    """A rule with one boundary.

    Parameters
    ----------
    key : str
        Its name here and, after ``criterion.``, in the wording tables.
    direction : {"at_least", "at_most", "above", "below"}
        Which side of `value` meets the rule; "above" and "below" exclude the value itself.
    value : float
        The boundary.
    source : str
        Who set it, where.
    needs : tuple of str
        What :func:`judge` must be told to know whether the rule applies.
    envelope : callable
        Context to the key of the reason not to judge, or to an empty string.
    """

    key: str
    direction: Direction
    value: float
    source: str
    needs: tuple[str, ...]
    envelope: Envelope


@dataclass(frozen=True)
class Band:
    """A scale with several boundaries.

    Parameters
    ----------
    key : str
        Its name here and, after ``criterion_band.``, in the wording tables.
    cuts : tuple of float
        Ascending. A value equal to a cut belongs to the band above it when
        `upper_closed` is False, to the band below it when True.
    names : tuple of str
        One more than there are cuts, from low to high.
    upper_closed : bool
        Whether a band includes its upper boundary.
    source : str
        Who set it, where.
    needs : tuple of str
        See :class:`Criterion`.
    envelope : callable
        See :class:`Criterion`.
    """

    key: str
    cuts: tuple[float, ...]
    names: tuple[str, ...]
    upper_closed: bool
    source: str
    needs: tuple[str, ...]
    envelope: Envelope


@dataclass(frozen=True)
class Outcome:
    """What a rule says about a value.

    Parameters
    ----------
    key : str
        The criterion.
    value : float
        What was judged.
    outcome : {"met", "not_met", "not_judged"}
        The answer; its words are under ``criterion_outcome``.
    reason : str
        Key under ``criterion_reason`` when not judged, else empty.
    """

    key: str
    value: float
    outcome: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Placement:
    """Where a value lies on a scale of bands.

    Parameters
    ----------
    key : str
        The scale.
    value : float
        What was placed.
    band : str
        Name of the band, empty when not judged.
    reason : str
        Key under ``criterion_reason`` when not judged, else empty.
    """

    key: str
    value: float
    band: str
    reason: str = ""


_NORMAL_THEORY = ("ML", "MLM", "MLMV", "MLMVS", "MLR", "MLF")


def _anywhere(_: Mapping[str, Any]) -> str:
    return ""


def _admissible(context: Mapping[str, Any]) -> str:
    return "" if context["admissible"] else "inadmissible_solution"


def _six_experts(context: Mapping[str, Any]) -> str:
    # Polit & Beck (2006): .78 needs six experts or more; with three to five all must agree.
    return "" if context["n_experts"] >= 6 else "too_few_experts_for_rule"


def _few_experts(context: Mapping[str, Any]) -> str:
    return "" if 3 <= context["n_experts"] <= 5 else "number_of_experts_outside_rule"


def _continuous_ml(context: Mapping[str, Any]) -> str:
    if not context["converged"]:
        return "not_converged"
    if context["df"] <= 0:
        return "no_degrees_of_freedom"
    # Xia & Yang (2019): these values do not carry over to ordinal and least-squares fits.
    if context["estimator"] not in _NORMAL_THEORY:
        return "estimator_outside_source"
    return ""


def _continuous_ml_large(context: Mapping[str, Any]) -> str:
    reason = _continuous_ml(context)
    # Hu & Bentler (1999): TLI and RMSEA reject true models too often at n <= 250.
    return reason or ("sample_too_small_for_rule" if context["n_obs"] <= 250 else "")


_FIT = ("converged", "df", "estimator")
_FIT_N = (*_FIT, "n_obs")
_HU_BENTLER = "Hu & Bentler (1999), Structural Equation Modeling 6(1), 1-55"
_HAIR = "Hair, Black, Babin & Anderson (2019), Multivariate Data Analysis, 8th ed."
_FORNELL = "Fornell & Larcker (1981), Journal of Marketing Research 18(1), 39-50"
_NUNNALLY = "Nunnally & Bernstein (1994), Psychometric Theory, 3rd ed."
_POLIT = "Polit & Beck (2006), Research in Nursing & Health 29(5), 489-497"
_CHEN = "Chen (2007), Structural Equation Modeling 14(3), 464-504"
_HENSELER = (
    "Henseler, Ringle & Sarstedt (2015), Journal of the Academy of Marketing Science 43(1), 115-135"
)

_CRITERIA = (
    Criterion("loading_minimum", "at_least", 0.50, _HAIR, ("admissible",), _admissible),
    Criterion("loading_preferred", "at_least", 0.70, _HAIR, ("admissible",), _admissible),
    Criterion("ave_minimum", "at_least", 0.50, _FORNELL, ("admissible",), _admissible),
    Criterion("alpha_minimum", "at_least", 0.70, _NUNNALLY, (), _anywhere),
    Criterion("alpha_preferred", "at_least", 0.80, _NUNNALLY, (), _anywhere),
    Criterion("alpha_redundancy", "at_most", 0.95, _HAIR, (), _anywhere),
    Criterion("omega_minimum", "at_least", 0.70, _HAIR, ("admissible",), _admissible),
    Criterion("omega_preferred", "at_least", 0.80, _NUNNALLY, ("admissible",), _admissible),
    Criterion("omega_redundancy", "at_most", 0.95, _HAIR, ("admissible",), _admissible),
    Criterion("item_cvi", "at_least", 0.78, _POLIT, ("n_experts",), _six_experts),
    Criterion("item_cvi_unanimous", "at_least", 1.00, _POLIT, ("n_experts",), _few_experts),
    Criterion("scale_cvi_average", "at_least", 0.90, _POLIT, (), _anywhere),
    Criterion("scale_cvi_universal", "at_least", 0.80, _POLIT, (), _anywhere),
    Criterion("fornell_larcker", "above", 0.0, _FORNELL, ("admissible",), _admissible),
    Criterion("htmt_distinct", "below", 0.85, _HENSELER, (), _anywhere),
    Criterion("htmt_similar", "below", 0.90, _HENSELER, (), _anywhere),
    Criterion("cfi", "at_least", 0.95, _HU_BENTLER, _FIT, _continuous_ml),
    Criterion("tli", "at_least", 0.95, _HU_BENTLER, _FIT_N, _continuous_ml_large),
    Criterion("rmsea", "at_most", 0.06, _HU_BENTLER, _FIT_N, _continuous_ml_large),
    Criterion("srmr", "at_most", 0.08, _HU_BENTLER, _FIT, _continuous_ml),
    Criterion("delta_cfi", "above", -0.010, _CHEN, _FIT, _continuous_ml),
    Criterion("delta_rmsea", "below", 0.015, _CHEN, _FIT, _continuous_ml),
    Criterion("delta_srmr_loadings", "below", 0.030, _CHEN, _FIT, _continuous_ml),
    Criterion("delta_srmr", "below", 0.010, _CHEN, _FIT, _continuous_ml),
)

CRITERIA: Mapping[str, Criterion] = MappingProxyType({c.key: c for c in _CRITERIA})
"""Every rule with one boundary, by key. ``fornell_larcker`` takes sqrt(AVE) - abs(r)."""

_BANDS = (
    Band(
        "rmsea",
        (0.05, 0.08, 0.10),
        ("close", "fair", "mediocre", "poor"),
        True,
        "Browne & Cudeck (1993); MacCallum, Browne & Sugawara (1996), Psychological Methods 1(2), "
        "130-149",
        _FIT,
        _continuous_ml,
    ),
    Band(
        "latent_correlation",
        (0.80, 0.90, 1.00),
        ("none", "marginal", "moderate", "severe"),
        False,
        "Rönkkö & Cho (2022), Organizational Research Methods 25(1), 6-47",
        (),
        _anywhere,
    ),
    Band(
        "icc",
        (0.50, 0.75, 0.90),
        ("poor", "moderate", "good", "excellent"),
        False,
        "Koo & Li (2016), Journal of Chiropractic Medicine 15(2), 155-163",
        (),
        _anywhere,
    ),
    Band(
        "content_kappa",
        (0.40, 0.60, 0.75),
        ("poor", "fair", "good", "excellent"),
        False,
        "Cicchetti & Sparrow (1981), American Journal of Mental Deficiency 86, 127-137; Polit, "
        "Beck & Owen (2007), Research in Nursing & Health 30, 459-467",
        (),
        _anywhere,
    ),
)

BANDS: Mapping[str, Band] = MappingProxyType({band.key: band for band in _BANDS})
"""Every scale of bands, by key. ``latent_correlation`` takes the upper limit of abs(r)."""


def _reason(rule: Criterion | Band, value: float, context: Mapping[str, Any]) -> str:
    missing = [name for name in rule.needs if name not in context]
    if missing:
        raise TypeError(f"criterion {rule.key!r} must be told {', '.join(missing)}")
    return "undefined" if math.isnan(value) else rule.envelope(context)


def judge(key: str, value: float, **context: Any) -> Outcome:
    """Hold a value against a rule.

    Parameters
    ----------
    key : str
        One of :data:`CRITERIA`.
    value : float
        The statistic; loadings and correlations signed as the scale is meant, NaN where
        undefined.
    **context
        What the rule needs to know: ``estimator``, ``n_obs``, ``df``, ``converged``,
        ``admissible``. More than it needs does no harm.

    Returns
    -------
    Outcome

    Raises
    ------
    OptionError
        No such rule.
    TypeError
        The rule needs to know something it was not told.

    Examples
    --------
    >>> judge("alpha_minimum", 0.66).outcome
    'not_met'
    >>> judge("rmsea", 0.04, estimator="ML", n_obs=120, df=24, converged=True).reason
    'sample_too_small_for_rule'
    """
    rule = CRITERIA[check_choice("key", key, CRITERIA)]
    number = float(value)
    reason = _reason(rule, number, context)
    if reason:
        return Outcome(key, number, "not_judged", reason)
    met = {
        "at_least": number >= rule.value,
        "at_most": number <= rule.value,
        "above": number > rule.value,
        "below": number < rule.value,
    }[rule.direction]
    return Outcome(key, number, "met" if met else "not_met")


def classify(key: str, value: float, **context: Any) -> Placement:
    """Place a value on a scale of bands.

    Parameters
    ----------
    key : str
        One of :data:`BANDS`.
    value : float
        The statistic, NaN where undefined.
    **context
        See :func:`judge`.

    Returns
    -------
    Placement

    Raises
    ------
    OptionError
        No such scale.
    TypeError
        The scale needs to know something it was not told.

    Examples
    --------
    >>> classify("latent_correlation", 0.93).band
    'moderate'
    """
    rule = BANDS[check_choice("key", key, BANDS)]
    number = float(value)
    reason = _reason(rule, number, context)
    if reason:
        return Placement(key, number, "", reason)
    find = bisect.bisect_left if rule.upper_closed else bisect.bisect_right
    return Placement(key, number, rule.names[find(rule.cuts, number)])
