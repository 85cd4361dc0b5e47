"""The cut-offs and what they say at, beside and outside their boundaries."""

import math

import pytest

from sqvalid import wording
from sqvalid.criteria import BANDS, CRITERIA, Criterion, classify, judge
from sqvalid.errors import OptionError

INSIDE = {"estimator": "ML", "n_obs": 400, "df": 24, "converged": True, "admissible": True,
          "n_experts": 8}  # fmt: skip
# The numbers themselves, written out a second time: a slip in the table shows here.
EXPECTED = {
    "loading_minimum": ("at_least", 0.50),
    "loading_preferred": ("at_least", 0.70),
    "ave_minimum": ("at_least", 0.50),
    "alpha_minimum": ("at_least", 0.70),
    "alpha_preferred": ("at_least", 0.80),
    "alpha_redundancy": ("at_most", 0.95),
    "omega_minimum": ("at_least", 0.70),
    "omega_preferred": ("at_least", 0.80),
    "omega_redundancy": ("at_most", 0.95),
    "item_cvi": ("at_least", 0.78),
    "item_cvi_unanimous": ("at_least", 1.0),
    "scale_cvi_average": ("at_least", 0.90),
    "scale_cvi_universal": ("at_least", 0.80),
    "fornell_larcker": ("above", 0.0),
    "htmt_distinct": ("below", 0.85),
    "htmt_similar": ("below", 0.90),
    "cfi": ("at_least", 0.95),
    "tli": ("at_least", 0.95),
    "rmsea": ("at_most", 0.06),
    "srmr": ("at_most", 0.08),
    "delta_cfi": ("above", -0.010),
    "delta_rmsea": ("below", 0.015),
    "delta_srmr_loadings": ("below", 0.030),
    "delta_srmr": ("below", 0.010),
}


def test_the_table_is_the_published_one() -> None:
    assert {key: (c.direction, c.value) for key, c in CRITERIA.items()} == EXPECTED


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=lambda c: c.key)
def test_each_rule_at_and_beside_its_boundary(criterion: Criterion) -> None:
    inside = INSIDE | ({"n_experts": 4} if criterion.key == "item_cvi_unanimous" else {})
    low = judge(criterion.key, criterion.value - 1e-9, **inside).outcome
    at = judge(criterion.key, criterion.value, **inside).outcome
    high = judge(criterion.key, criterion.value + 1e-9, **inside).outcome
    assert (low, at, high) == {
        "at_least": ("not_met", "met", "met"),
        "above": ("not_met", "not_met", "met"),
        "at_most": ("met", "met", "not_met"),
        "below": ("met", "not_met", "not_met"),
    }[criterion.direction]


@pytest.mark.parametrize("key", [*CRITERIA, *BANDS])
def test_undefined_is_never_judged(key: str) -> None:
    if key in CRITERIA:
        outcome = judge(key, math.nan, **INSIDE)
        assert (outcome.outcome, outcome.reason) == ("not_judged", "undefined")
    if key in BANDS:
        placement = classify(key, math.nan, **INSIDE)
        assert (placement.band, placement.reason) == ("", "undefined")


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("loading_minimum", {"admissible": False}, "inadmissible_solution"),
        ("ave_minimum", {"admissible": False}, "inadmissible_solution"),
        ("omega_minimum", {"admissible": False}, "inadmissible_solution"),
        ("fornell_larcker", {"admissible": False}, "inadmissible_solution"),
        ("item_cvi", {"n_experts": 5}, "too_few_experts_for_rule"),
        ("item_cvi_unanimous", {"n_experts": 6}, "number_of_experts_outside_rule"),
        ("item_cvi_unanimous", {"n_experts": 2}, "number_of_experts_outside_rule"),
        ("cfi", {"converged": False}, "not_converged"),
        ("cfi", {"df": 0}, "no_degrees_of_freedom"),
        ("cfi", {"estimator": "WLSMV"}, "estimator_outside_source"),
        ("srmr", {"estimator": "ULS"}, "estimator_outside_source"),
        ("tli", {"n_obs": 250}, "sample_too_small_for_rule"),
        ("rmsea", {"n_obs": 250}, "sample_too_small_for_rule"),
        ("rmsea", {"n_obs": 100, "df": 0}, "no_degrees_of_freedom"),
    ],
)
def test_outside_the_envelope(key: str, change: dict[str, object], reason: str) -> None:
    outcome = judge(key, 0.5, **{**INSIDE, **change})
    assert (outcome.outcome, outcome.reason) == ("not_judged", reason)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("cfi", {"n_obs": 100}),
        ("srmr", {"n_obs": 100}),
        ("tli", {"n_obs": 251}),
        ("cfi", {"estimator": "MLR"}),
        ("htmt_distinct", {"admissible": False}),
        ("alpha_minimum", {"admissible": False}),
    ],
)
def test_inside_the_envelope(key: str, change: dict[str, object]) -> None:
    assert judge(key, 0.96, **{**INSIDE, **change}).outcome != "not_judged"


@pytest.mark.parametrize(
    ("key", "value", "band"),
    [
        ("rmsea", 0.05, "close"),
        ("rmsea", 0.0501, "fair"),
        ("rmsea", 0.08, "fair"),
        ("rmsea", 0.10, "mediocre"),
        ("rmsea", 0.11, "poor"),
        ("latent_correlation", 0.7999, "none"),
        ("latent_correlation", 0.80, "marginal"),
        ("latent_correlation", 0.90, "moderate"),
        ("latent_correlation", 0.9999, "moderate"),
        ("latent_correlation", 1.0, "severe"),
        ("icc", 0.4999, "poor"),
        ("icc", 0.50, "moderate"),
        ("icc", 0.75, "good"),
        ("icc", 0.90, "excellent"),
        ("content_kappa", 0.39, "poor"),
        ("content_kappa", 0.59, "fair"),
        ("content_kappa", 0.74, "good"),
        ("content_kappa", 0.75, "excellent"),
    ],
)
def test_bands(key: str, value: float, band: str) -> None:
    assert classify(key, value, **INSIDE).band == band


def test_a_rule_says_what_it_must_be_told() -> None:
    with pytest.raises(TypeError, match="must be told n_obs"):
        judge("rmsea", 0.05, estimator="ML", df=3, converged=True)


def test_unknown_rules_list_the_choices() -> None:
    with pytest.raises(OptionError, match="Did you mean 'rmsea'"):
        judge("rmsae", 0.05)
    with pytest.raises(OptionError, match="not an option"):
        classify("cfi", 0.9)


@pytest.mark.parametrize("lang", wording.languages())
def test_every_rule_band_and_reason_has_words(lang: str) -> None:
    needed = {f"criterion.{key}" for key in CRITERIA}
    needed |= {f"criterion_band.{b.key}.{name}" for b in BANDS.values() for name in b.names}
    needed |= {f"criterion_outcome.{o}" for o in ("met", "not_met", "not_judged")}
    assert needed <= wording.keys(lang)
    stems = ("criterion.", "criterion_band.", "criterion_outcome.")
    assert {key for key in wording.keys(lang) if key.startswith(stems)} == needed


@pytest.mark.parametrize("rule", [*CRITERIA.values(), *BANDS.values()], ids=lambda r: r.key)
def test_every_rule_names_its_source_with_a_year(rule: Criterion) -> None:
    assert any(str(year) in rule.source for year in range(1950, 2027))


@pytest.mark.parametrize("band", BANDS.values(), ids=lambda b: b.key)
def test_bands_are_complete(band) -> None:
    assert len(band.names) == len(band.cuts) + 1
    assert list(band.cuts) == sorted(band.cuts)
