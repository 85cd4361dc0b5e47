"""Answers in words, and the labels and missing codes of statistics packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest

import sqvalid as sq
from sqvalid.errors import SurveyError
from sqvalid.survey import check_items, read_survey

ITEMS = {"F": ["q1", "q2"]}
FIVE = ["strongly disagree", "disagree", "neutral", "agree", "strongly agree"]
CHINESE = ["非常不同意", "不同意", "一般", "同意", "非常同意"]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("words", "encoding"), [(FIVE, "utf-8"), (CHINESE, "utf-8"), (CHINESE, "gb18030")]
)
def test_words_become_the_points_of_their_scale(tmp_path, words, encoding) -> None:
    rows = [f"{words[i]},{words[4 - i].upper()}" for i in range(5)]
    file = written(tmp_path / "a.csv", "q1,q2\n" + "\n".join(rows) + "\n", encoding)
    survey = read_survey(file, dimensions=ITEMS)
    assert survey.frame["q1"].tolist() == [1, 2, 3, 4, 5]
    assert survey.frame["q2"].tolist() == [5, 4, 3, 2, 1]
    assert [entry.step for entry in survey.audit] == ["read", "words"]
    assert "q1, q2" in survey.audit[1].sentence("en")


def test_labels_with_numbers_and_cells_that_say_nothing(tmp_path) -> None:
    rows = ["5 - agree,1", "1 - disagree,2", "don't know,3"]
    file = written(tmp_path / "a.csv", "q1,q2\n" + "\n".join(rows) + "\n")
    survey = read_survey(file, dimensions=ITEMS)
    np.testing.assert_array_equal(survey.frame["q1"], [5, 1, np.nan])
    assert survey.audit[0].details["n_codes"] == 1


def test_words_by_the_anchors_of_the_instrument_and_by_the_user(tmp_path) -> None:
    file = written(tmp_path / "a.csv", "q1,q2\nmeh,1\nwow,2\nmeh,1\n")
    survey = read_survey(file, dimensions=ITEMS, answers={"meh": 2, "wow": 7})
    assert survey.frame["q1"].tolist() == [2, 7, 2]
    with pytest.raises(SurveyError, match=r"'q1'.*'meh'"):
        read_survey(file, dimensions=ITEMS)


def test_a_slip_among_numbers_is_still_named_by_its_row(tmp_path) -> None:
    file = written(tmp_path / "a.csv", "q1,q2\n1,2\nfive,3\n4,5\n")
    with pytest.raises(SurveyError, match=r"'q1'.*row 3: five"):
        check_items(read_survey(file, dimensions=ITEMS).frame, ["q1", "q2"])


def test_columns_that_are_no_items_keep_their_words(tmp_path) -> None:
    file = written(tmp_path / "a.csv", "q1,q2,branch\n1,2,agree\n2,3,disagree\n")
    assert read_survey(file, dimensions=ITEMS).frame["branch"].tolist() == ["agree", "disagree"]


@pytest.mark.parametrize("kind", [".sav", ".zsav"])
def test_labels_and_user_missing_codes_of_spss(tmp_path, kind) -> None:
    frame = pd.DataFrame({"q1": [1.0, 5.0, 9.0, 3.0], "q2": [2.0, 98.0, 99.0, 4.0],
                          "filiale": ["北京", "上海", "北京", "上海"]})  # fmt: skip
    file = tmp_path / f"a{kind}"
    pyreadstat.write_sav(
        frame,
        str(file),
        variable_value_labels={"q1": {1.0: "gar nicht", 5.0: "sehr", 9.0: "keine Angabe"}},
        missing_ranges={"q1": [9], "q2": [{"lo": 97, "hi": 99}]},
        compress=kind == ".zsav",
    )
    survey = sq.read_survey(file, dimensions=ITEMS)
    np.testing.assert_array_equal(survey.frame["q1"], [1, 5, np.nan, 3])
    assert survey.audit[0].details["n_codes"] == 3
    np.testing.assert_array_equal(survey.frame["q2"], [2, np.nan, np.nan, 4])
    assert survey.frame["filiale"].tolist() == ["北京", "上海", "北京", "上海"]


def test_a_label_that_says_no_answer_counts_in_items_only(tmp_path) -> None:
    frame = pd.DataFrame({"q1": [1.0, 9.0, 2.0], "q2": [1.0, 2.0, 3.0], "use": [1.0, 2.0, 1.0]})
    file = tmp_path / "a.sav"
    labels = {"q1": {9.0: "Don't know"}, "use": {1.0: "not used", 2.0: "used"}}
    pyreadstat.write_sav(frame, str(file), variable_value_labels=labels)
    survey = sq.read_survey(file, dimensions=ITEMS)
    np.testing.assert_array_equal(survey.frame["q1"], [1, np.nan, 2])
    assert survey.frame["use"].tolist() == [1, 2, 1]
    assert survey.audit[0].details["n_codes"] == 1


def test_labels_at_the_ends_only(tmp_path) -> None:
    file = written(tmp_path / "a.csv", "q1,q2\n1 - never,1\n2,2\n3,2\n4 - always,1\n")
    assert read_survey(file, dimensions=ITEMS).frame["q1"].tolist() == [1, 2, 3, 4]


def test_extended_missing_values_of_stata(tmp_path) -> None:
    frame = pd.DataFrame({"q1": [1.0, 2.0, "a"], "q2": [3, 4, 5]})
    file = tmp_path / "a.dta"
    pyreadstat.write_dta(frame, str(file), missing_user_values={"q1": ["a"]})
    survey = sq.read_survey(file, dimensions=ITEMS)
    np.testing.assert_array_equal(survey.frame["q1"], [1, 2, np.nan])
    assert survey.frame["q2"].tolist() == [3, 4, 5]


def test_a_file_that_is_not_what_its_name_says(tmp_path) -> None:
    for kind in (".sav", ".dta"):
        with pytest.raises(SurveyError, match="cannot be read"):
            sq.read_survey(written(tmp_path / f"a{kind}", "q1,q2\n1,2\n"), dimensions=ITEMS)
