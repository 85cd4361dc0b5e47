"""Answer files as programs around the world write them, and files made to do harm."""

from __future__ import annotations

import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from sqvalid.errors import SurveyError
from sqvalid.survey import read_frame, read_survey
from sqvalid.survey.encodings import find_encoding

TEXTS = {
    "gb18030": "编号,满意度,评价\n1,非常同意,比较满意\n2,不同意,一般\n",
    "big5hkscs": "編號,滿意度,評價\n1,非常同意,比較滿意\n2,不同意,普通\n",
    "cp932": "番号,満足度\n1,非常にそう思う\n2,どちらともいえない\n",
    "euc_jp": "番号,満足度\n1,非常にそう思う\n2,どちらともいえない\n",
    "iso2022_jp": "番号,満足度\n1,非常にそう思う\n2,どちらともいえない\n",
    "cp949": "번호,만족도\n1,매우 그렇다\n2,보통이다\n3,전혀 그렇지 않다\n",
    "cp1252": "q1,Größe,opinión\n1,männlich,sí\n2,weiblich,según\n",
    "cp1254": "q1,cinsiyet\n1,kadın çok iyi\n2,erkek değil şu\n",
    "cp1251": "q1,Пол\n1,Мужской\n2,Женский\n",
    "utf-16-le": "q1,性别\n1,男\n2,女\n",
    "utf-16-be": "q1,Geschlecht\n1,männlich\n",
    "utf-16": "q1,性别\n1,男\n",
    "utf-32": "q1,性别\n1,男\n",
    "utf-8": "q1,性别\n1,男\n",
    "utf-8-sig": "q1,性别\n1,男\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_are_found(tmp_path, encoding):
    text = TEXTS[encoding]
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    frame = read_frame(tmp_path / "a.csv")
    rows = [line.split(",") for line in text.splitlines()]
    assert list(frame.columns) == rows[0]
    assert [str(cell) for cell in frame.iloc[0]] == rows[1]


def test_what_may_be_two_things_is_refused_with_both_named(tmp_path):
    # Three Korean words whose bytes are common Chinese characters as well.
    (tmp_path / "a.csv").write_bytes("q1,성별\n1,남자\n2,여자\n".encode("cp949"))
    with pytest.raises(SurveyError, match=r"may be 'gb18030', 'cp949'"):
        read_frame(tmp_path / "a.csv")
    assert read_frame(tmp_path / "a.csv", encoding="cp949")["성별"].tolist() == ["남자", "여자"]


def test_damaged_utf8_is_not_read_as_something_else(tmp_path):
    content = "q1,Ort\n1,Köln\n2,Gießen\n3,Düren\n4,Süßen\n5,Übach\n".encode()
    damaged = content.replace("Düren".encode(), "Düren".encode("cp1252"))
    (tmp_path / "a.csv").write_bytes(damaged)
    place = damaged.index(b"\xfc")
    name, _ = find_encoding(content * 3 + damaged)
    assert name is None
    (tmp_path / "a.csv").write_bytes(content * 3 + damaged)
    with pytest.raises(SurveyError, match=rf"not text in utf-8 \(byte {3 * len(content) + place}"):
        read_frame(tmp_path / "a.csv")


def test_no_german_file_is_read_as_chinese():
    words = ["männlich", "größer", "über", "völlig", "Straße", "äußerst", "später", "Ärger"]
    for k in range(1, len(words) + 1):
        text = "q1;Angabe\n" + "".join(f"{i};{w}\n" for i, w in enumerate(words[:k]))
        name, _ = find_encoding(text.encode("cp1252"))
        assert name is None or text.encode("cp1252").decode(name) == text


def test_the_encoding_that_was_found_is_in_the_audit_trail(tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXTS["cp1252"].encode("cp1252"))
    survey = read_survey(tmp_path / "a.csv", dimensions={"F": ["q1"]})
    assert "cp1252" in survey.audit[0].sentence()


# --- numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;income\n3,5;1.234\n2,25;12.500\n", {"a": [3.5, 2.25], "income": [1234, 12500]}),
        ("a;income\n3,5;1.234,50\n2,0;12\n", {"a": [3.5, 2.0], "income": [1234.5, 12.0]}),
        ("a;income\n3.5;1,234.50\n2.0;12\n", {"a": [3.5, 2.0], "income": [1234.5, 12.0]}),
        ("a;income\n3.5;1,234\n2.0;12,000\n", {"a": [3.5, 2.0], "income": [1234, 12000]}),
        ("a;income\n3,5;1 234,5\n2,0;12 000\n", {"a": [3.5, 2.0], "income": [1234.5, 12000]}),
        ("a;income\n3,5;1\u00a0234\n2,0;12\n", {"a": [3.5, 2.0], "income": [1234, 12]}),
        ("a;income\n3.5;1'234\n2.0;12\n", {"a": [3.5, 2.0], "income": [1234, 12]}),
        ("a;b\n1.234;2\n5.678;3\n", {"a": [1.234, 5.678], "b": [2, 3]}),
        ("a;b\n1,234;2\n5,678;3\n", {"a": [1.234, 5.678], "b": [2, 3]}),
        ("a\tb\n-1,5\t2\n,5\t3\n", {"a": [-1.5, 0.5], "b": [2, 3]}),
    ],
)
def test_decimals_and_thousands(tmp_path, text, expected):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    frame = read_frame(tmp_path / "a.csv")
    assert {name: frame[name].tolist() for name in frame} == expected


# --- heads -------------------------------------------------------------------------------


def workbook(path, rows, merge=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in merge:
        book.active.merge_cells(cells)
    book.save(path)


def test_titles_and_groups_in_merged_cells_stand_above_the_head(tmp_path):
    rows = [
        ["Customer survey 2026"],
        ["exported on 2026-11-25"],
        [],
        ["Tangibles", None, None, "Reliability", None, None],
        ["t1", "t2", "t3", "r1", "r2", "r3"],
        [1, 2, 3, 4, 5, 6],
        [6, 5, 4, 3, 2, 1],
    ]
    workbook(tmp_path / "a.xlsx", rows, merge=["A1:F1", "A4:C4", "D4:F4"])
    frame = read_frame(tmp_path / "a.xlsx")
    assert list(frame.columns) == rows[4]
    assert frame.index.tolist() == [6, 7]
    assert frame["r3"].tolist() == [6, 1]
    survey = read_survey(tmp_path / "a.xlsx", dimensions={"T": ["t1", "t2"]})
    assert [entry.step for entry in survey.audit] == ["read", "head"]
    assert "1, 2, 4" in survey.audit[1].sentence()


def test_titles_above_delimited_text(tmp_path):
    text = "Umfrage 2026\n\nq1;q2;q3;q4\n1;2;3;4\n4;3;2;1\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    frame = read_frame(tmp_path / "a.csv")
    assert list(frame.columns) == ["q1", "q2", "q3", "q4"]
    assert frame.index.tolist() == [4, 5]


def test_repeated_questions_and_technical_names_below_the_head(tmp_path):
    text = (
        'Q1_1,Q1_2,Q2\n"How, in general, ...",How much?,Which?\n'
        '"{""ImportId"":""QID1""}","{""ImportId"":""QID2""}","{""ImportId"":""QID3""}"\n'
        "5,4,1\n3,2,7\n"
    )
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    frame = read_frame(tmp_path / "a.csv")
    assert frame["Q1_1"].tolist() == [5, 3]
    assert frame.index.tolist() == [4, 5]


def test_answers_are_never_taken_for_a_head(tmp_path):
    # A head that names a third of the columns only, over full rows of numbers.
    text = "q1,,\n1,2,3\n4,5,6\n7,8,9\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    frame = read_frame(tmp_path / "a.csv")
    assert len(frame) == 3
    assert list(frame.columns) == ["q1", "column_2", "column_3"]


def test_a_head_with_a_name_too_few_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("q1,q2,q3\n1,2,3,4\n4,5,6,7\n", encoding="utf-8")
    with pytest.raises(SurveyError, match="row 2 has 4 cells, the head has 3"):
        read_frame(tmp_path / "a.csv")


# --- files of statistics packages --------------------------------------------------------


def test_ranges_of_user_missing_codes_and_labels(tmp_path):
    import pyreadstat

    frame = pd.DataFrame({"q1": [1.0, 5.0, 8.0, 9.0, -7.0], "q2": [2.0, 99.0, 3.0, 4.0, 6.0]})
    pyreadstat.write_sav(
        frame,
        tmp_path / "a.sav",
        missing_ranges={"q1": [{"lo": 8, "hi": 9}, -7], "q2": [99]},
        variable_value_labels={"q2": {1: "trifft nicht zu", 5: "trifft zu", 6: "weiß nicht"}},
    )
    survey = read_survey(tmp_path / "a.sav", dimensions={"F": ["q1", "q2"]})
    assert survey.frame["q1"].isna().tolist() == [False, False, True, True, True]
    assert survey.frame["q2"].isna().tolist() == [False, True, False, False, True]


def test_extended_missing_values_of_stata(tmp_path):
    import pyreadstat

    frame = pd.DataFrame({"q1": [1.0, "a", 3.0, "b"], "q2": [1.0, 2.0, 3.0, 4.0]})
    pyreadstat.write_dta(frame, tmp_path / "a.dta", missing_user_values={"q1": ["a", "b"]})
    survey = read_survey(tmp_path / "a.dta", dimensions={"F": ["q1", "q2"]})
    assert survey.frame["q1"].isna().tolist() == [False, True, False, True]
    assert survey.frame["q1"].dtype == np.float64


# --- files made to do harm ---------------------------------------------------------------


def rewrite(path, change):
    """Give the entries of a workbook other contents."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "a.xlsx"
    workbook(path, [["q1", "q2"], [1, 2], [3, 4]])
    return path


SHEET = "xl/worksheets/sheet1.xml"


def test_a_workbook_that_unpacks_without_end_is_refused(book):
    def swell(entries):
        entries["xl/media/image1.png"] = bytes(600 * 1024**2)

    rewrite(book, swell)
    assert book.stat().st_size < 1024**2
    with pytest.raises(SurveyError, match="unpacks to 600 MiB"):
        read_frame(book)


def test_an_archive_that_lies_about_its_size_is_refused(book, monkeypatch):
    from sqvalid.survey import workbook as module

    monkeypatch.setattr(module, "_MAX_UNPACKED", 20_000)

    def swell(entries):
        entries["xl/media/image1.png"] = bytes(100_000)

    rewrite(book, swell)
    raw = bytearray(book.read_bytes())
    # The size that the directory at the end declares; the entry itself stays as long.
    place = raw.rindex(b"xl/media/image1.png") - 46
    assert raw[place : place + 4] == b"PK\x01\x02"
    raw[place + 24 : place + 28] = (10).to_bytes(4, "little")
    book.write_bytes(bytes(raw))
    with pytest.raises(SurveyError):
        read_frame(book)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_that_multiply_are_refused(book, encoding):
    def laugh(entries):
        lines = ['<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">']
        lines += [f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(10)]
        text = "".join(lines) + "]>" + entries[SHEET].decode().split("?>")[-1]
        entries[SHEET] = text.replace("<v>1</v>", "<v>&k;</v>").encode(encoding)

    rewrite(book, laugh)
    with pytest.raises(SurveyError, match="defines entities"):
        read_frame(book)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('r="B3"', 'r="XFD3"', None),
        ('<row r="3"', '<row r="1048577"', "rows"),
        ('<row r="3"', '<row r="99999999999"', "rows"),
        ("</sheetData>", "</sheet", "cannot be read as a workbook"),
    ],
)
def test_cells_far_away_do_not_fill_the_memory(book, old, new, words):
    def change(entries):
        text = entries[SHEET].decode()
        assert old in text
        entries[SHEET] = text.replace(old, new).encode()

    rewrite(book, change)
    if words is None:
        frame = read_frame(book)
        assert frame.shape == (2, 3)
    else:
        with pytest.raises(SurveyError, match=words):
            read_frame(book)


def test_a_grid_of_far_cells_is_refused(book):
    def change(entries):
        text = entries[SHEET].decode()
        rows = "".join(f'<row r="{k}"><c r="XFD{k}"><v>1</v></c></row>' for k in range(4, 2000))
        entries[SHEET] = text.replace("</sheetData>", rows + "</sheetData>").encode()

    rewrite(book, change)
    with pytest.raises(SurveyError, match="cells"):
        read_frame(book)


def test_a_damaged_entry_is_told(book):
    raw = bytearray(book.read_bytes())
    place = raw.index(b"xl/worksheets/sheet1.xml") + 40
    raw[place : place + 30] = bytes(30)
    book.write_bytes(bytes(raw))
    with pytest.raises(SurveyError, match=r"cannot be read|not an \.xlsx"):
        read_frame(book)
