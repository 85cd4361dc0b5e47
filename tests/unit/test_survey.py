"""Survey: what it takes, what it refuses, and the record it keeps."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sqvalid import wording
from sqvalid.errors import InputError, OptionError, SurveyError
from sqvalid.instruments import Dimension, Instrument, Item, load_instrument
from sqvalid.survey import (
    AuditEntry,
    Survey,
    as_pandas,
    check_items,
    content_sha256,
    load_dataset,
)


def item(name: str, dimension: str, battery: str = "perception", reverse: bool = False) -> Item:
    words = {"en": name}
    return Item(name, dimension, battery, words, "adapted", "translated", reverse, 1, 5, {})


INSTRUMENT = Instrument(
    "small",
    {"en": "Small"},
    "none",
    (Dimension("F", {}), Dimension("S", {}), Dimension("R", {})),
    (
        item("e1", "F", "expectation"),
        item("e2", "F", "expectation"),
        item("p1", "F"),
        item("p2", "F", reverse=True),
        item("s1", "S", "outcome"),
        item("s2", "S", "outcome"),
        item("r1", "R", "outcome"),
    ),
)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "p1": [1, 2, 5],
            "p2": [5, np.nan, 1],
            "s1": [3, 3, 4],
            "s2": [2, 3, 4],
        }
    )


def test_dimensions_are_what_was_collected(frame: pd.DataFrame) -> None:
    survey = Survey(frame, INSTRUMENT)
    assert dict(survey.dimensions) == {"F": ("p1", "p2"), "S": ("s1", "s2")}
    assert survey.items == ("p1", "p2", "s1", "s2")
    assert repr(survey) == "<Survey of small: 3 respondents, 4 items, 2 dimensions>"
    assert len(survey) == 3
    assert (survey.data.dtypes == np.float64).all()
    assert survey.frame["id"].tolist() == ["a", "b", "c"]


def test_expectations_alone_are_the_dimensions() -> None:
    survey = Survey(pd.DataFrame({"e1": [1, 2], "e2": [2, 3]}), INSTRUMENT)
    assert dict(survey.dimensions) == {"F": ("e1", "e2")}


def test_a_battery_in_part_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SurveyError, match=r"no column for item 'p1'\."):
        Survey(frame.drop(columns="p1"), INSTRUMENT)
    with pytest.raises(SurveyError, match="no column for item 's2'"):
        Survey(frame.drop(columns="s2"), INSTRUMENT)


def test_nothing_of_the_instrument_is_refused() -> None:
    with pytest.raises(SurveyError, match=r"no column for item 'e1'.*, 2 more\."):
        Survey(pd.DataFrame({"x": [1]}), INSTRUMENT)


def test_own_dimensions_win(frame: pd.DataFrame) -> None:
    survey = Survey(frame.drop(columns="p1"), INSTRUMENT, dimensions={"S": ["s1", "s2"]})
    assert survey.items == ("s1", "s2")
    bare = Survey(frame, dimensions={"F": ["p1"], "G": ["p1", "s1"]})
    assert bare.items == ("p1", "s1")
    assert repr(bare) == "<Survey: 3 respondents, 2 items, 2 dimensions>"


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ({"F": []}, "Dimension 'F' has no items"),
        ({"F": ["p1", "p1"]}, "Dimension 'F' has column 'p1' more than once"),
        ({"F": ["P1"]}, r"'P1' \(close: .*'p1'"),
        (
            {"F": ["id"]},
            r"Item 'id' has cells that are not numbers \(row 0: a, row 1: b, row 2: c\)",
        ),
    ],
)
def test_dimensions_that_do_not_fit(frame: pd.DataFrame, dimensions, message: str) -> None:
    with pytest.raises(SurveyError, match=message):
        Survey(frame, dimensions=dimensions)


def test_answers_outside_the_scale_are_listed(frame: pd.DataFrame) -> None:
    wrong = frame.assign(p1=[0, 2, 99], s1=[6, 3, 3])
    with pytest.raises(SurveyError) as caught:
        Survey(wrong, INSTRUMENT)
    assert caught.value.message == (
        "3 answers lie outside the scale of 1 to 5 (item 'p1', row 0: 0; item 'p1', row 2: 99; "
        "item 's1', row 0: 6)."
    )
    assert "missing_codes" in caught.value.remedy


def test_empty_is_refused() -> None:
    with pytest.raises(SurveyError, match="0 rows"):
        Survey(pd.DataFrame({"p1": []}), INSTRUMENT)


def test_reverse_keyed_turns_once(frame: pd.DataFrame) -> None:
    survey = Survey(frame, INSTRUMENT)
    assert survey.unturned_items == ("p2",)
    turned = survey.reverse_keyed()
    assert turned.frame["p2"].tolist()[::2] == [1.0, 5.0]
    assert np.isnan(turned.frame["p2"].iloc[1])
    assert turned.frame["p1"].equals(survey.frame["p1"])
    assert turned.unturned_items == ()
    assert turned.reverse_keyed() is turned
    assert survey.frame["p2"].tolist()[::2] == [5.0, 1.0]
    assert [entry.step for entry in turned.audit] == ["built", "reverse_keyed"]
    assert Survey(frame, dimensions={"F": ["p2"]}).reverse_keyed().unturned_items == ()


def test_a_file_that_was_turned_already_is_left_alone(frame: pd.DataFrame) -> None:
    survey = Survey(frame, INSTRUMENT, reversed_items=frozenset({"p2"}))
    assert survey.reverse_keyed() is survey


def test_drop_by_label_and_by_mask(frame: pd.DataFrame) -> None:
    survey = Survey(frame.set_axis([10, 11, 12]), INSTRUMENT)
    by_label = survey.drop([11], "twice in the file")
    by_mask = survey.drop(np.array([False, True, False]), "twice in the file")
    for dropped in (by_label, by_mask):
        assert dropped.frame.index.tolist() == [10, 12]
        entry = dropped.audit[-1]
        assert (entry.step, entry.n_before, entry.n_after) == ("dropped", 3, 2)
        assert entry.sentence() == "1 of 3 rows dropped: twice in the file."
        assert entry.sentence("zh") == "在 3 行中删除了 1 行：twice in the file。"
    assert len(survey) == 3


def test_drop_what_cannot_be_dropped(frame: pd.DataFrame) -> None:
    survey = Survey(frame, INSTRUMENT)
    with pytest.raises(SurveyError, match="no row 7"):
        survey.drop([7], "x")
    with pytest.raises(SurveyError, match="mask has 2 values for 3 rows"):
        survey.drop([True, False], "x")
    with pytest.raises(SurveyError, match="would leave none"):
        survey.drop([0, 1, 2], "x")


def test_recode(frame: pd.DataFrame) -> None:
    survey = Survey(frame, INSTRUMENT)
    by_table = survey.recode("p1", {5: 4, 1: np.nan}, "a slip of the pen")
    assert by_table.frame["p1"].tolist()[1:] == [2.0, 4.0]
    assert np.isnan(by_table.frame["p1"].iloc[0])
    by_rule = survey.recode(
        ["s1", "s2"], lambda answer: 6 - answer, "scale was printed upside down"
    )
    assert by_rule.frame["s1"].tolist() == [3.0, 3.0, 2.0]
    assert by_rule.audit[-1].sentence() == (
        "Answers to s1, s2 recoded: scale was printed upside down."
    )
    assert "s1、s2" in by_rule.audit[-1].sentence("zh")
    with pytest.raises(SurveyError, match="outside the scale"):
        survey.recode("p1", {5: 50}, "x")
    with pytest.raises(SurveyError, match="no column for item 'q'"):
        survey.recode("q", {5: 4}, "x")


def test_a_survey_does_not_change_with_its_frame(frame: pd.DataFrame) -> None:
    survey = Survey(frame, INSTRUMENT)
    frame.loc[0, "p1"] = 4
    assert survey.frame.loc[0, "p1"] == 1.0
    with pytest.raises(AttributeError):
        survey.audit = ()
    with pytest.raises(TypeError):
        survey.dimensions["F"] = ()
    with pytest.raises(TypeError):
        survey.audit[0].details["x"] = 1


def test_polars_gives_the_same_survey(frame: pd.DataFrame) -> None:
    other = pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "p1": [1, 2, 5],
            "p2": [5, None, 1],
            "s1": [3, 3, 4],
            "s2": [2, 3, 4],
        }
    )
    ours, theirs = Survey(frame, INSTRUMENT), Survey(other, INSTRUMENT)
    pd.testing.assert_frame_equal(ours.data, theirs.data)
    assert ours.sha256() == theirs.sha256()


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(InputError, match="list is not a data frame"):
        as_pandas([1, 2])
    doubled = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(SurveyError, match=r"column 'a' more than once \(columns 1, 2\)"):
        as_pandas(doubled)


def test_sha256_depends_on_content_only() -> None:
    base = pd.DataFrame({"x": [1.0, np.nan, -0.0], "t": ["a", None, "c"]})
    same = pd.DataFrame({"x": [1, None, 0], "t": ["a", np.nan, "c"]}, index=[5, 6, 7])
    assert content_sha256(base) == content_sha256(same)
    others = [
        base[["t", "x"]],
        base.rename(columns={"x": "y"}),
        base.iloc[::-1],
        base.assign(x=[1.0, np.nan, 1e-300]),
        base.assign(t=["a", "", "c"]),
        base.iloc[:2],
    ]
    digests = {content_sha256(frame) for frame in others}
    assert len(digests) == len(others)
    assert content_sha256(base) not in digests


@pytest.mark.parametrize("lang", wording.languages())
def test_every_audit_step_has_words(lang: str) -> None:
    details = {"file": "f", "n_columns": 2, "n_codes": 3, "reason": "r", "items": ("a", "b")}
    details |= {"kind": "gap", "n_cells": 2, "rows": (1, 2)}
    steps = {key.split(".")[1] for key in wording.keys(lang) if key.startswith("audit.")}
    assert steps == {
        "read",
        "words",
        "built",
        "dropped",
        "recoded",
        "reverse_keyed",
        "gaps",
        "head",
        "out_of_range",
    }
    for step in steps:
        assert "{" not in AuditEntry(step, details, 5, 4).sentence(lang)


@pytest.fixture
def answers() -> pd.DataFrame:
    generator = np.random.default_rng(7)
    values = generator.integers(1, 6, size=(20, 3))
    return pd.DataFrame(values, columns=["a", "b", "c"]).assign(g=["x"] * 10 + ["y"] * 10, t="text")


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "float32", object, "category"])
def test_every_way_to_hold_numbers(dtype: str) -> None:
    plain = pd.DataFrame({"x": [1.0, np.nan, 3.0], "y": [2.0, 3.0, 5.0]})
    survey = Survey(plain.astype({"x": dtype}), dimensions={"F": ["x", "y"]})
    pd.testing.assert_frame_equal(survey.data, plain)


def test_check_items_returns_numbers(answers: pd.DataFrame) -> None:
    checked = check_items(answers.astype({"a": "category"}).astype({"b": object}), ["a", "b", "c"])
    assert (checked.dtypes == np.float64).all()
    np.testing.assert_array_equal(checked, answers[["a", "b", "c"]])
    assert check_items(answers, ["a"], group="g").columns.tolist() == ["a", "g"]
    assert check_items(answers.assign(a=answers["a"] > 2), ["a"])["a"].isin([0.0, 1.0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns="b"), "no column for item 'b'"),
        (
            lambda d: d.assign(b=["?", *["3"] * 19]),
            r"'b' has cells that are not numbers \(row 0: \?\)",
        ),
        (lambda d: d.assign(b=["no"] * 20), "row 4: no and 15 more"),
        (lambda d: d.assign(b=np.nan), "'b' has no answers: all 20"),
        (lambda d: d.assign(b=3), "'b' is constant: every answer is 3"),
        (lambda d: d.assign(b=[np.nan] * 5 + [3] * 15), "'b' is constant"),
        (lambda d: d.assign(b=d["a"].astype(float)), "'a' and 'b' have identical answers"),
        (lambda d: d.assign(b=[np.inf, *[1, 2] * 9, 4]), r"'b' has infinite values \(row 0: inf\)"),
        (lambda d: d.iloc[2:5], "3 items but only 3 complete rows"),
        (lambda d: d.assign(b=d["b"].where(d.index < 3)), r"only 3 complete rows \(of 20\)"),
        (lambda d: d.set_axis(["a", "b", "c", "a", "t"], axis=1), "'a' more than once"),
    ],
)
def test_check_items_refuses(answers: pd.DataFrame, change, message: str) -> None:
    with pytest.raises(SurveyError, match=message) as caught:
        check_items(change(answers), ["a", "b", "c"])
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["x"] * 19 + ["y"], r"Group y of 'g' has one respondent only \(row 19\)"),
        (["x"] * 17 + ["y"] * 3, "only 3 complete rows .* in group y"),
        ([None] + ["x"] * 19, "1 respondent has no value in group variable 'g'"),
        ([None] * 7 + ["x"] * 13, r"7 respondents have no value .*row 0, 1, 2, 3, 4, \.\.\."),
    ],
)
def test_check_items_refuses_groups(answers: pd.DataFrame, groups, message: str) -> None:
    with pytest.raises(SurveyError, match=message):
        check_items(answers.assign(g=groups), ["a", "b", "c"], group="g")


def test_a_missing_group_column(answers: pd.DataFrame) -> None:
    with pytest.raises(SurveyError, match="no column for the group variable 'h'"):
        check_items(answers, ["a"], group="h")


def test_bundled_demo() -> None:
    survey = load_dataset("servqual_demo")
    quality = ["TAN", "REL", "RES", "ASS", "EMP"]
    assert list(survey.dimensions) == [*quality, "SAT", "RPI", "PF", "OSQ", "DIS"]
    # Codes of the file that stand for no answer are none.
    assert survey.data.max().max() == 7
    keyed = survey.reverse_keyed()
    check_items(keyed.frame, keyed.items, group="branch")
    # Once turned, every pair of items goes the same way; before, the negative ones do not.
    assert keyed.data.corr().to_numpy().min() > 0
    assert survey.data.corr().to_numpy().min() < -0.2
    assert keyed.sha256() != survey.sha256()
    assert survey.instrument is not None
    assert survey.instrument == load_instrument("servqual_study")
    with pytest.raises(OptionError, match="servqual_dem"):
        load_dataset("servqual_dem")


# --- scales and reverse items without an instrument, gap scores ----------------------------


def test_scales_of_ones_own_refuse_and_turn():
    frame = pd.DataFrame({"a": [1.0, 5.0, 2.0], "b": [1.0, 2.0, 4.0]})
    survey = Survey(
        frame, dimensions={"F": ["a", "b"]}, scales={"a": (1, 5), "b": (1, 5)}, reverse={"b"}
    )
    assert survey.unturned_items == ("b",)
    turned = survey.reverse_keyed()
    assert turned.frame["b"].tolist() == [5.0, 4.0, 2.0]
    assert turned.reverse_keyed() is turned
    with pytest.raises(SurveyError, match=r"outside the scale of 1 to 4 \(item 'a', row 1: 5\)"):
        Survey(frame, dimensions={"F": ["a"]}, scales={"a": (1, 4)})
    with pytest.raises(SurveyError, match="its scale is not known"):
        Survey(frame, dimensions={"F": ["a"]}, reverse={"b"})
    with pytest.raises(SurveyError, match="scale of item 'a' is"):
        Survey(frame, dimensions={"F": ["a"]}, scales={"a": (4, 1)})


def test_gap_scores_are_differences_of_turned_answers():
    from sqvalid.instruments import load_instrument

    servqual = load_instrument("servqual")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        rng.integers(1, 8, (30, 44)).astype(float), columns=list(servqual.item_ids)
    )
    frame.loc[3, "E10"] = np.nan
    survey = Survey(frame, servqual)
    gaps = survey.gap_scores()
    # Item 10 is worded in reverse in both batteries: (8 - P) - (8 - E).
    expected = (8 - frame["P10"]) - (8 - frame["E10"])
    assert np.isnan(gaps.frame["G10"].iloc[3])
    pd.testing.assert_series_equal(gaps.frame["G10"], expected, check_names=False)
    pd.testing.assert_series_equal(gaps.frame["G1"], frame["P1"] - frame["E1"], check_names=False)
    assert gaps.dimensions["RES"] == ("G10", "G11", "G12", "G13")
    assert [entry.step for entry in gaps.audit][-2:] == ["reverse_keyed", "gaps"]
    for lang in ("en", "zh"):
        assert "G22" in gaps.audit[-1].sentence(lang)
    with pytest.raises(SurveyError, match="no statement in both batteries"):
        Survey(frame.filter(like="P"), servqual).gap_scores()
    with pytest.raises(SurveyError, match="need an instrument"):
        Survey(frame, dimensions={"F": ["P1", "P2"]}).gap_scores()


def test_answers_off_the_scale_listed_or_made_missing(tmp_path):
    from sqvalid.survey import read_survey

    frame = pd.DataFrame({"a": [1, 6, 2, 0], "b": [1, 2, 9, 4], "c": [9, 9, 9, 9]})
    frame.to_csv(tmp_path / "d.csv", index=False)
    given = {"dimensions": {"F": ["a", "b"]}, "scale": (1, 5)}
    with pytest.raises(SurveyError, match=r"3 answers lie outside .*'a', row 3: 6.*'b', row 4: 9"):
        read_survey(tmp_path / "d.csv", **given)
    survey = read_survey(tmp_path / "d.csv", **given, out_of_range="missing")
    assert survey.data.isna().sum().to_dict() == {"a": 2, "b": 1}
    assert survey.frame["c"].tolist() == [9, 9, 9, 9]
    assert "(3)" in survey.audit[-1].sentence()
    wide = read_survey(
        tmp_path / "d.csv", dimensions=given["dimensions"], scale={"F": (0, 6), "b": (1, 9)}
    )
    assert wide.scales == {"a": (0.0, 6.0), "b": (1.0, 9.0)}
