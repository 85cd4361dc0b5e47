"""Screening: hand-computed indices, rules, flow of respondents, and real surveys."""

import itertools
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import wording
from sqvalid.errors import OptionError, SurveyError
from sqvalid.screening import (
    RULES,
    compare_without_flagged,
    henze_zirkler,
    impossible_answers,
    indices,
    kurtosis,
    little_test,
    mardia,
    proposed_missing_codes,
    skewness,
    suspected_reversed,
)

NAN = float("nan")
SHARED = (
    Path(os.environ.get("SQVALID_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"
)


def survey_of(name: str) -> tuple[pd.DataFrame, dict]:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not there")
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return pd.read_csv(folder / "data.csv"), meta


# --- indices by hand ---------------------------------------------------------------------


def test_runs_by_hand() -> None:
    longest, average = indices.identical_runs(
        np.array([[3.0, 3, 3, 2, 2], [1, 2, 1, 2, 1], [4, NAN, 4, 4, 1], [NAN] * 5])
    )
    assert longest[:3].tolist() == [3, 1, 3]
    assert average[:3].tolist() == [2.5, 1, 2]
    assert np.isnan([longest[3], average[3]]).all()


def test_variability_is_the_sample_standard_deviation() -> None:
    values = np.array([[1.0, 2, 3, NAN], [5, 5, 5, 5], [2, NAN, NAN, NAN]])
    found = indices.individual_variability(values)
    assert found[:2] == pytest.approx([1.0, 0.0])
    assert np.isnan(found[2])


def test_even_odd_by_hand() -> None:
    places = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    keyed = np.array([[1.0, 1, 3, 3, 5, 5], [1, 5, 3, 3, 5, 1], [1, 2, 2, 1, 3, 3]])
    r = np.corrcoef([1, 2, 3], [2, 1, 3])[0, 1]
    found = indices.even_odd_consistency(keyed, places)
    assert found == pytest.approx([1.0, -1.0, 2 * r / (1 + r)])
    assert np.isnan(indices.even_odd_consistency(keyed, places[:2])).all()


def test_person_total_leaves_the_person_out() -> None:
    values = np.random.default_rng(3).integers(1, 6, (12, 7)).astype(float)
    values[4, 2] = NAN
    for row in range(12):
        others = np.nanmean(np.delete(values, row, axis=0), axis=0)
        both = ~np.isnan(values[row])
        wanted = np.corrcoef(values[row, both], others[both])[0, 1]
        assert indices.person_total_correlation(values)[row] == pytest.approx(wanted)


def test_incomplete_rows_are_measured_on_what_they_have() -> None:
    values = np.random.default_rng(5).normal(size=(60, 4))
    values[0, [1, 3]] = NAN
    values[1] = NAN
    d2, p = indices.mahalanobis(values)
    complete = values[2:]
    gap = values[0, [0, 2]] - complete.mean(axis=0)[[0, 2]]
    covariance = np.cov(complete, rowvar=False)[np.ix_([0, 2], [0, 2])]
    assert d2[0] == pytest.approx(gap @ np.linalg.solve(covariance, gap))
    assert p[0] == pytest.approx(np.exp(-d2[0] / 2))  # two degrees of freedom
    assert np.isnan(d2[1])


def test_singular_answers_have_no_distance() -> None:
    values = np.random.default_rng(5).normal(size=(60, 3))
    assert np.isnan(indices.mahalanobis(np.column_stack([values, values[:, 0]]))[0]).all()
    assert np.isnan(indices.mahalanobis(np.column_stack([values, np.ones(60)]))[0]).all()


def test_guttman_errors_against_counting_pairs() -> None:
    rng = np.random.default_rng(8)
    keyed = rng.integers(1, 4, (40, 4)).astype(float)
    low, high = np.ones(4), np.full(4, 3.0)
    errors, normed = indices.guttman_errors(keyed, low, high)
    steps = [(i, s) for i in range(4) for s in (2, 3)]
    share = {step: (keyed[:, step[0]] >= step[1]).mean() for step in steps}
    steps.sort(key=lambda step: (-share[step], step))

    def count(answers) -> int:
        passed = [answers[i] >= s for i, s in steps]
        return sum(passed[b] and not passed[a] for a, b in itertools.combinations(range(8), 2))

    most: dict[int, int] = {}
    for pattern in itertools.product((1, 2, 3), repeat=4):
        most[sum(pattern)] = max(most.get(sum(pattern), 0), count(pattern))
    for row in range(40):
        assert errors[row] == count(keyed[row])
        largest = most[int(keyed[row].sum())]
        assert normed[row] == pytest.approx(errors[row] / largest if largest else 0.0)


def test_answers_outside_the_scale_have_no_guttman_errors() -> None:
    keyed = np.array([[1.0, 2], [3, 9], [2, NAN], [1.5, 2], [2, 1]])
    errors, _ = indices.guttman_errors(keyed, np.ones(2), np.full(2, 3.0))
    assert np.isnan(errors).tolist() == [False, True, True, True, False]


def test_duplicates_name_the_first_of_their_kind() -> None:
    values = np.array([[1.0, NAN], [1, 2], [1, NAN], [NAN, NAN], [NAN, NAN], [-0.0, 1], [0, 1]])
    repeated, original = indices.duplicated_rows(values)
    assert repeated.tolist() == [False, False, True, False, False, False, True]
    assert original.tolist() == [0, 1, 0, 3, 4, 5, 5]


def test_largest_match_against_pairs() -> None:
    values = np.random.default_rng(2).integers(1, 4, (30, 6)).astype(float)
    values[3, 0] = NAN
    wanted = [
        max((values[i] == values[j]).sum() for j in range(30) if j != i) / 6 for i in range(30)
    ]
    assert indices.largest_match(values, block=7) == pytest.approx(wanted)


def test_acquiescence_needs_both_wordings() -> None:
    raw = np.array([[7.0, 7, 7, 7], [7, 7, 1, 1]])
    places, middle = [np.array([0, 1, 2, 3])], np.full(4, 4.0)
    reverse = np.array([False, False, True, True])
    assert indices.acquiescence(raw, middle, places, reverse).tolist() == [3.0, 0.0]
    assert np.isnan(indices.acquiescence(raw, middle, places, np.zeros(4, dtype=bool))).all()


def test_paired_consistency_sees_contradictions() -> None:
    rng = np.random.default_rng(4)
    trait = rng.normal(size=(300, 4))
    values = np.round(np.clip(np.repeat(trait, 2, axis=1) + 0.1 * rng.normal(size=(300, 8)), -3, 3))
    values[0] = [3, -3, -3, 3, 2, -2, -3, 3]
    found, pairs = indices.paired_consistency(values)
    assert pairs == 4
    assert found[0] < -0.5 < np.nanmedian(found)
    assert indices.paired_consistency(values, opposite=True)[1] == 0


# --- distributions -----------------------------------------------------------------------


def test_constant_columns_have_no_shape() -> None:
    values = np.column_stack([np.ones(10), np.arange(10.0)])
    assert np.isnan(skewness(values)).tolist() == [True, False]
    assert np.isnan(kurtosis(values)).tolist() == [True, False]


def test_henze_zirkler_of_setosa() -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    found = henze_zirkler(iris.data[iris.target == 0])
    # The value and p that R's MVN prints for its own example.
    assert found is not None
    assert (found.statistic, found.p) == pytest.approx((0.9488453, 0.04995356), abs=1e-6)


def test_multivariate_tests_need_a_regular_covariance() -> None:
    values = np.random.default_rng(1).normal(size=(30, 2))
    doubled = np.column_stack([values, values[:, 0]])
    assert mardia(doubled) is None
    assert henze_zirkler(doubled) is None
    assert mardia(values[:2]) is None


def test_mardia_with_either_divisor() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=(40, 3))
    centred = values - values.mean(axis=0)
    for unbiased in (True, False):
        covariance = centred.T @ centred / (39 if unbiased else 40)
        gram = centred @ np.linalg.solve(covariance, centred.T)
        found = mardia(values, unbiased=unbiased)
        assert found is not None
        assert found.skewness == pytest.approx((gram**3).mean())
        assert found.kurtosis == pytest.approx((np.diag(gram) ** 2).mean())


def test_little_statistic_by_hand() -> None:
    values = np.array([[1.0, 2], [3, NAN], [5, NAN], [NAN, 4], [2, 3]])
    mean, covariance = np.array([2.0, 3]), np.array([[2.0, 0.5], [0.5, 1]])
    gap = np.array([1.5, 2.5]) - mean
    wanted = 2 * gap @ np.linalg.solve(covariance, gap) + 2 * (4 - 2) ** 2 / 2 + (4 - 3) ** 2
    found = little_test(values, mean, covariance)
    assert found.chisq == pytest.approx(wanted)
    assert (found.df, found.n_patterns) == (2, 3)
    assert np.isnan(little_test(values[[0, 4]], mean, covariance).p)


# --- the whole ---------------------------------------------------------------------------


def likert(n: int = 200, seed: int = 1) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    rng = np.random.default_rng(seed)
    general = rng.normal(size=(n, 1))
    parts = [general + rng.normal(size=(n, 1)) + rng.normal(size=(n, 4)) for _ in range(3)]
    answers = np.clip(np.round(4 + np.hstack(parts)), 1, 7)
    names = [f"{d}{i}" for d in "ABC" for i in range(1, 5)]
    frame = pd.DataFrame(answers, columns=names, index=np.arange(1000, 1000 + n))
    return frame, {d: [f"{d}{i}" for i in range(1, 5)] for d in "ABC"}


def test_planted_defects_are_found_and_nothing_is_deleted() -> None:
    frame, dimensions = likert()
    frame.iloc[3] = 4.0
    frame.iloc[5] = frame.iloc[4]
    frame.iloc[6, :9] = NAN
    frame.iloc[7, 2] = 9.0
    frame = frame.assign(seconds=300.0, check=2)
    frame.iloc[8, frame.columns.get_loc("seconds")] = 10.0
    frame.iloc[9, frame.columns.get_loc("check")] = 5
    before = frame.copy()
    found = sq.screen(
        frame, dimensions=dimensions, scale=(1, 7), duration="seconds", attention={"check": 2}
    )
    pd.testing.assert_frame_equal(frame, before)
    hits = {
        "straight_line": 3, "duplicate": 5, "missing_share": 6, "out_of_range": 7,
        "duration": 8, "attention": 9,
    }  # fmt: skip
    for rule, row in hits.items():
        assert found.flags[rule].to_numpy().nonzero()[0].tolist() == [row], rule
        assert bool(found.flagged.iloc[row]) is RULES[rule].alone or rule == "duplicate"
    assert found.respondents.index.equals(frame.index)
    assert found.respondents["duplicate_of"].iloc[5] == 1004
    cell = found.out_of_range.iloc[0]
    assert (cell["row"], cell["item"], cell["value"]) == (1007, "A3", 9.0)
    assert found.items.loc["A3", "out_of_range"] == 1
    assert found.patterns["n"].tolist() == [199, 1]
    assert found.rules.set_index("rule").loc["duration", "threshold"] == 24.0


def test_flags_follow_the_thresholds_given() -> None:
    frame, dimensions = likert()
    found = sq.screen(frame, dimensions=dimensions, rules={"longstring": 4, "near_duplicate": 0.5})
    wanted = found.respondents["longstring"] >= 4
    assert found.flags["longstring"].equals(wanted)
    assert found.respondents["largest_match"].notna().all()
    assert "near_duplicate" not in sq.screen(frame, dimensions=dimensions).flags
    table = found.rules.set_index("rule")
    assert table.loc["longstring", "n_flagged"] == wanted.sum()
    assert np.isnan(table.loc["duration", "n_flagged"])


def test_combined_advice_counts_single_and_paired_rules() -> None:
    frame, dimensions = likert(400, seed=2)
    found = sq.screen(frame, dimensions=dimensions, scale=(1, 7))
    alone = [name for name in found.flags if RULES[name].alone]
    others = [name for name in found.flags if not RULES[name].alone]
    wanted = found.flags[alone].any(axis=1) | (found.flags[others].sum(axis=1) > 1)
    assert (found.flagged == wanted).all()
    assert 0 < found.flagged.sum() < len(frame)


def test_a_turned_survey_is_looked_at_as_it_was_ticked() -> None:
    instrument = sq.load_instrument("servqual")
    items = [item.id for item in instrument.items if item.battery == "perception"]
    rng = np.random.default_rng(9)
    frame = pd.DataFrame(rng.integers(1, 8, (60, len(items))).astype(float), columns=items)
    frame.iloc[0] = 5.0
    survey = sq.Survey(frame, instrument)
    raw, turned = sq.screen(survey), sq.screen(survey.reverse_keyed())
    for index in ("longstring", "irv", "even_odd", "mahalanobis_d2", "guttman", "acquiescence"):
        np.testing.assert_allclose(raw.respondents[index], turned.respondents[index], atol=1e-9)
    assert turned.flags["straight_line"].sum() == 1


def test_nothing_known_is_said_and_not_guessed() -> None:
    frame, _ = likert(50)
    found = sq.screen(frame)
    assert {"screening_no_scale", "screening_no_dimensions"} <= {d.code for d in found.diagnostics}
    assert found.respondents["even_odd"].isna().all()
    assert found.items["out_of_range"].isna().all()
    assert "out_of_range" not in found.flags


@pytest.mark.parametrize("lang", wording.languages())
def test_every_rule_and_reason_has_words(lang: str) -> None:
    for rule in RULES.values():
        assert wording.text(rule.wording_key, lang)
        assert rule.source
    frame, dimensions = likert(30)
    frame.iloc[0, 0], frame["B2"] = 99.0, NAN
    for diagnostic in sq.screen(frame, dimensions=dimensions, scale=(1, 7)).diagnostics:
        assert all(wording.describe(diagnostic, lang))


def test_edges_that_users_bring() -> None:
    chinese = pd.DataFrame({"有形性1": [1.0, 2, 3], "有形性2": [2.0, NAN, 3], "常数": [1.0, 1, 1]})
    found = sq.screen(chinese, dimensions={"有形": ["有形性1", "有形性2", "常数"]}, scale=(1, 5))
    assert found.items.loc["常数", "unused_categories"] == "2, 3, 4, 5"
    assert found.mardia is None
    one = sq.screen(chinese.iloc[:1], scale=(1, 5))
    assert len(one.respondents) == 1
    assert json.dumps(one.to_dict())
    assert "flagged" in repr(one)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rules": {"longstrings": 3}}, "no screening rule 'longstrings'"),
        ({"rules": {"duration": 60}}, "needs the column"),
        ({"rules": {"attention": 1}}, "needs the checks"),
        ({"rules": {"out_of_range": 1}}, "needs the scale"),
        ({"rules": {"irv": NAN}}, "threshold of rule 'irv'"),
        ({"scale": (7, 1)}, r"scale of 'A1'"),
        ({"reverse": ["A1"]}, "its scale is not known"),
        ({"reverse": ["Z"], "scale": (1, 7)}, "not among the items"),
    ],
)
def test_options_that_cannot_be(options: dict, says: str) -> None:
    frame, dimensions = likert(20)
    with pytest.raises(OptionError, match=says):
        sq.screen(frame, dimensions=dimensions, **options)


def test_empty_and_wordy_data_are_refused() -> None:
    with pytest.raises(SurveyError, match="0 rows"):
        sq.screen(pd.DataFrame({"a": []}))
    with pytest.raises(SurveyError, match="No column holds numbers"):
        sq.screen(pd.DataFrame({"a": ["yes", "no"]}))
    with pytest.raises(SurveyError, match="no column for duration"):
        sq.screen(pd.DataFrame({"a": [1.0, 2]}), duration="time")


# --- impossible combinations -------------------------------------------------------------


def test_impossible_combinations_are_named_and_counted() -> None:
    frame = pd.DataFrame(
        {
            "visits": [0, 0, 3, np.nan, 0],
            "channel": ["web", "shop", "web", "web", None],
            "a": [5.0, np.nan, 4.0, 3.0, 1.0],
            "b": [2.0, 2.0, 4.0, 3.0, 1.0],
        }
    )
    rules = {
        "no customer": "visits == 0 and a > 1",
        "not by web": "channel in ['web', 'phone'] and b < 4",
        "sum": "not (a + b <= 6) or -a > 0",
        "chain": "1 < b <= 3",
        "both": "channel != 'web' and visits / a > 10",
    }
    found = impossible_answers(frame, rules)
    assert found["no customer"].tolist() == [True, False, False, False, False]
    # Nobody is caught by a rule on something that was not answered.
    assert found["not by web"].tolist() == [True, False, False, True, False]
    assert found["sum"].tolist() == [True, False, True, False, False]
    assert found["chain"].tolist() == [True, True, False, True, False]
    assert not found["both"].any()
    screening = sq.screen(frame, dimensions={"D": ["a", "b"]}, impossible=rules)
    assert screening.respondents["impossible"].tolist() == [4, 1, 1, 2, 0]
    assert screening.flags["impossible"].tolist() == [True, True, True, True, False]
    assert screening.flagged.tolist() == [True, True, True, True, False]
    told = next(d for d in screening.diagnostics if d.code == "screening_impossible")
    assert told.where == ("no customer", "not by web", "sum", "chain")
    assert told.values["n_rows"] == 4


def test_impossible_means_answers_as_they_were_ticked() -> None:
    frame = pd.DataFrame({"a": [1.0, 5.0, 3.0], "b": [5.0, 1.0, 3.0], "c": [5.0, 2.0, 3.0]})
    screening = sq.screen(
        frame, dimensions={"D": ["a", "b", "c"]}, scale=(1, 5), reverse=["a"],
        impossible={"x": "a == 1"},
    )  # fmt: skip
    assert screening.flags["impossible"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("visits ==", "cannot be read"),
        ("nobody == 1", "'nobody', which is no column"),
        ("a + b", "is no condition"),
        ("a and b > 1", "joins something"),
        ("channel > 1", "texts with numbers"),
        ("__import__('os').getcwd() == 'x'", "not understood"),
        ("a in b", "needs a list"),
        ("a is 1", "comparison that is not understood"),
        ("(lambda: 1) == 1", "not understood"),
    ],
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_impossible_rules_that_cannot_be(rule: str, says: str) -> None:
    frame = pd.DataFrame({"visits": [0.0], "a": [1.0], "b": [2.0], "channel": ["x"]})
    with pytest.raises(OptionError, match=says):
        impossible_answers(frame, {"r": rule})


# --- exclusions --------------------------------------------------------------------------


def test_exclusions_go_step_by_step_and_are_recorded() -> None:
    frame, dimensions = likert()
    frame.iloc[3] = 4.0
    frame.iloc[5] = frame.iloc[4]
    frame = frame.assign(seconds=300.0)
    frame.loc[1003, "seconds"] = 5.0
    survey = sq.Survey(frame, dimensions=dimensions)
    after, steps = sq.apply_exclusions(
        survey, {"duration": 60, "straight_line": None, "duplicate": 1}, duration="seconds"
    )
    # Row 1003 is both too fast and straight-lined: the first rule takes it.
    told = [(s.rule, s.threshold, s.n_excluded, s.rows) for s in steps]
    assert told == [
        ("duration", 60.0, 1, (1003,)),
        ("straight_line", 1.0, 0, ()),
        ("duplicate", 1.0, 1, (1005,)),
    ]
    assert len(after) == 198
    assert [entry.details["reason"] for entry in after.audit[-3:]] == [
        "duration < 60", "straight_line >= 1", "duplicate >= 1",
    ]  # fmt: skip
    assert len(survey) == 200


def test_exclusions_that_cannot_be_applied() -> None:
    frame, dimensions = likert(30)
    survey = sq.Survey(frame, dimensions=dimensions)
    with pytest.raises(OptionError, match="cannot be applied"):
        sq.apply_exclusions(survey, {"average_longstring": None})
    with pytest.raises(SurveyError, match="leaves out every respondent"):
        sq.apply_exclusions(survey, {"longstring": 1})


def test_with_and_without_flagged() -> None:
    frame, dimensions = likert(300, seed=4)
    frame.iloc[:20] = 7.0
    found = sq.screen(frame, dimensions=dimensions, scale=(1, 7))
    table = compare_without_flagged(frame, found, lambda d: {"mean": float(d["A1"].mean())})
    assert table.loc["mean", "all"] == frame["A1"].mean()
    assert table.loc["mean", "without_flagged"] == frame.loc[~found.flagged, "A1"].mean()
    assert table.loc["mean", "difference"] < 0
    with pytest.raises(SurveyError, match="other rows"):
        compare_without_flagged(frame.iloc[1:], found, lambda d: {})


# --- proposals ---------------------------------------------------------------------------


def test_usual_codes_are_proposed_and_ends_of_scales_are_not() -> None:
    frame, _ = likert(500, seed=6)
    assert len(proposed_missing_codes(frame)) == 0
    coded = frame.copy()
    coded.iloc[:15, 0] = 99.0
    coded.iloc[10:30, 5] = -9.0
    found = proposed_missing_codes(coded).set_index("code")
    assert found["reason"].to_dict() == {-9.0: "usual_code", 99.0: "usual_code"}
    assert found.loc[99.0, "n_cells"] == 15


def test_reversed_items_are_named_with_evidence() -> None:
    frame, dimensions = likert(300)
    frame["B3"] = 8 - frame["B3"]
    found = suspected_reversed(frame, dimensions)
    assert found["item"].tolist() == ["B3"]
    row = found.iloc[0]
    assert row["item_rest_r"] == -row["item_rest_r_if_turned"] < 0
    assert row["smallest_item_rest_r_before"] < 0 < row["smallest_item_rest_r_after"]


# --- real surveys ------------------------------------------------------------------------


def screened(name: str):
    frame, meta = survey_of(name)
    return sq.screen(frame, dimensions=meta["constructs"])


def test_turkiye_has_2985_straight_liners() -> None:
    assert screened("turkiye_course_eval").flags["straight_line"].sum() == 2985


def test_transit_has_295_duplicates() -> None:
    assert screened("transit_brazil703").flags["duplicate"].sum() == 295


def test_switching_has_six_answers_out_of_range() -> None:
    frame, meta = survey_of("switching")
    found = sq.screen(frame, dimensions=meta["constructs"], scale=(1, 5))
    assert (len(found.out_of_range), set(found.out_of_range["item"])) == (6, {"INT2"})
    without = screened("switching").proposed_missing_codes
    assert without[["code", "reason", "n_cells"]].values.tolist() == [
        [6.0, "beyond_other_items", 6]
    ]


@pytest.mark.parametrize("scale", [None, (1, 5)])
def test_sfo_proposes_0_and_6(scale) -> None:
    frame, meta = survey_of("sfo_airport2017")
    found = sq.screen(frame, dimensions=meta["constructs"], scale=scale)
    assert found.proposed_missing_codes["code"].tolist() == [0.0, 6.0]


def test_bfi_items_without_a_key() -> None:
    frame, meta = survey_of("bfi_bigfive")
    found = sq.screen(frame, dimensions=meta["constructs"])
    assert sorted(found.suspected_reversed["item"]) == sorted(meta["reverse_items"])
    keyed = sq.screen(
        frame, dimensions=meta["constructs"], scale=(1, 6), reverse=meta["reverse_items"]
    )
    assert len(keyed.suspected_reversed) == 0


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("airline_passenger26k", [0.0]), ("corp_rep", [-99.0]), ("bank_price_service_atm", []),
        ("bfi_bigfive", []), ("hospital_servqual5dims", []), ("mobi_ecsi", []),
        ("satisfaction_bank250", []), ("transit_brazil703", []), ("turkiye_course_eval", []),
    ],
)  # fmt: skip
def test_codes_of_the_other_surveys(name: str, codes: list[float]) -> None:
    frame, meta = survey_of(name)
    items = list(dict.fromkeys(i for items in meta["constructs"].values() for i in items))
    assert proposed_missing_codes(frame[items])["code"].tolist() == codes


def test_ten_thousand_by_sixty_in_seconds() -> None:
    rng = np.random.default_rng(1)
    answers = np.clip(
        np.round(4 + rng.normal(size=(10_000, 1)) + rng.normal(size=(10_000, 60))), 1, 7
    )
    answers[rng.random(answers.shape) < 0.01] = np.nan
    names = [f"i{j}" for j in range(60)]
    dimensions = {f"D{k}": names[6 * k : 6 * k + 6] for k in range(10)}
    start = time.process_time()
    sq.screen(pd.DataFrame(answers, columns=names), dimensions=dimensions, scale=(1, 7))
    assert time.process_time() - start < 15


def test_a_scale_from_minus_to_plus_has_no_codes_in_it() -> None:
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(300, 1))
    answers = np.clip(np.round(factor + 0.7 * rng.normal(size=(300, 5))), -3, 3)
    frame = pd.DataFrame(answers, columns=list("abcde"))
    assert proposed_missing_codes(frame).empty
    # On a scale from 0 to 6, minus one is a code.
    coded = frame + 3
    coded.iloc[:9, 0] = -1.0
    assert list(proposed_missing_codes(coded)["code"]) == [-1.0]
    # Beyond the scale from minus to plus, so is minus nine.
    coded = frame.copy()
    coded.iloc[:9, 0] = -9.0
    assert list(proposed_missing_codes(coded)["code"]) == [-9.0]
