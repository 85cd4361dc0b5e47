"""Reading answers and matrices from files, and refusing what cannot be read."""

import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest

from sqvalid.errors import SqvalidError, SurveyError, UnsupportedError
from sqvalid.instruments import load_instrument
from sqvalid.survey import read_frame, read_matrix, read_survey

PLAIN = "id,a,b\nx,1,2.5\ny,3,\nz,5,-1\n"


@pytest.fixture
def write(tmp_path: Path):
    def to_file(content: str | bytes, name: str = "answers.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return to_file


@pytest.fixture
def workbook(tmp_path: Path):
    def to_file(sheets: dict[str, list[list[object]]], name: str = "answers.xlsx") -> Path:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            page = book.create_sheet(title)
            for row in rows:
                page.append(row)
        path = tmp_path / name
        book.save(path)
        return path

    return to_file


def expect_plain(frame: pd.DataFrame) -> None:
    assert frame.columns.tolist() == ["id", "a", "b"]
    assert frame["id"].tolist() == ["x", "y", "z"]
    assert frame["a"].tolist() == [1, 3, 5]
    assert frame["a"].dtype == np.int64
    np.testing.assert_array_equal(frame["b"], [2.5, np.nan, -1.0])
    assert frame.index.tolist() == [2, 3, 4]
    assert frame.index.name == "row"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_line_ends_and_marks(write, delimiter: str, newline: str, encoding: str) -> None:
    content = PLAIN.replace(",", delimiter).replace("\n", newline)
    expect_plain(read_frame(write(content, encoding=encoding)))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_chinese_columns(write, encoding: str) -> None:
    frame = read_frame(write("有形性,可靠性\n1,很好\n2,差\n", encoding=encoding))
    assert frame.columns.tolist() == ["有形性", "可靠性"]
    assert frame["可靠性"].tolist() == ["很好", "差"]


def test_encoding_that_is_named(write) -> None:
    path = write("größe,b\n1,2\n", encoding="cp1252")
    assert read_frame(path, encoding="cp1252").columns[0] == "größe"
    with pytest.raises(SurveyError, match="not text in ascii"):
        read_frame(path, encoding="ascii")
    with pytest.raises(SurveyError, match="encoding='klingon' is not an encoding"):
        read_frame(path, encoding="klingon")


def test_decimal_comma_is_found(write) -> None:
    frame = read_frame(write("a;b\n1,5;2\n-3,25;4\n"))
    assert frame["a"].tolist() == [1.5, -3.25]
    assert frame["b"].tolist() == [2, 4]


def test_decimal_comma_is_not_guessed_between_commas(write) -> None:
    path = write('a,b\n"1,234",2\n"2,500",3\n')
    assert read_frame(path)["a"].tolist() == ["1,234", "2,500"]
    assert read_frame(path, decimal=",")["a"].tolist() == [1.234, 2.5]


def test_mixed_decimal_marks_stay_text(write) -> None:
    frame = read_frame(write("a;b\n1,5;1.5\n2,5;2.5\n"))
    assert frame["a"].tolist() == ["1,5", "2,5"]
    assert frame["b"].tolist() == [1.5, 2.5]


def test_missing_words_and_codes(write) -> None:
    path = write("a,b,c,t\n1,NA,-99,NA\n2,3,4,u\n.,9,5,\n")
    frame = read_frame(path, missing_codes=(-99, 9.0))
    np.testing.assert_array_equal(frame["a"], [1, 2, np.nan])
    np.testing.assert_array_equal(frame["b"], [np.nan, 3, np.nan])
    np.testing.assert_array_equal(frame["c"], [np.nan, 4, 5])
    assert frame["t"].tolist()[:2] == ["NA", "u"]
    assert frame["t"].isna().tolist() == [False, False, True]


def test_a_text_code_turns_the_column_into_numbers(write) -> None:
    frame = read_frame(write("a,b\n1,2\nrefused,3\n5,4\n"), missing_codes=("refused",))
    np.testing.assert_array_equal(frame["a"], [1, np.nan, 5])


@pytest.mark.parametrize("cell", ["1_000", "infinity", "inf", "0x10"])
def test_what_python_takes_for_a_number_and_people_do_not(write, cell: str) -> None:
    column = read_frame(write(f"a,b\n{cell},1\n2,3\n"))["a"]
    if cell.startswith("inf"):
        with pytest.raises(SurveyError, match="infinite"):
            read_survey(write(f"a,b\n{cell},1\n2,3\n"), dimensions={"F": ["a", "b"]})
    else:
        assert column.tolist() == [cell, "2"]


def test_blank_rows_and_names(write) -> None:
    frame = read_frame(write('\n"",a\n\nr1,1\n,\nr2,2\n\n'))
    assert frame.columns.tolist() == ["column_1", "a"]
    assert frame["a"].tolist() == [1, 2]
    assert frame.index.tolist() == [4, 6]


def test_quoted_cells_keep_their_delimiters(write) -> None:
    frame = read_frame(write('a,t\n1,"x, y"\n2,"two\nlines"\n'))
    assert frame["t"].tolist() == ["x, y", "two\nlines"]


def test_many_columns_read_as_they_were_written(tmp_path: Path) -> None:
    values = np.random.default_rng(3).standard_normal((50, 30))
    frame = pd.DataFrame(values, columns=[f"v{i}" for i in range(30)])
    frame.to_csv(tmp_path / "x.csv", index=False)
    np.testing.assert_array_equal(read_frame(tmp_path / "x.csv"), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", r"has a head \(a, b, ...\) but no rows"),
        (b"PK\x03\x04\x00\x00", "is binary"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is binary"),
        ("a,b,a\n1,2,3\n", r"column 'a' more than once \(columns 1, 3\)"),
        ("a,b\n1,2\n1,2,3\n", "row 3 has 3 cells, the head has 2"),
        ("a,b\n1,2\n1\n", "row 3 has 1 cells, the head has 2"),
        ("a:b:c\n1:2:3\n", None),
        ("a b c\n1 2 3\n", "one column only when it is cut at ','.*'a b c'"),
    ],
)
def test_bad_text_files(write, content: str | bytes, message: str | None) -> None:
    if message is None:
        assert read_frame(write(content)).columns.tolist() == ["a:b:c"]
        return
    with pytest.raises(SurveyError, match=message) as caught:
        read_frame(write(content))
    assert "answers.csv" in caught.value.message
    assert caught.value.remedy


def test_wrong_delimiter_names_the_right_one(write) -> None:
    with pytest.raises(SurveyError, match="one column only when it is cut at ';'") as caught:
        read_frame(write(PLAIN), delimiter=";")
    assert "delimiter=','" in caught.value.remedy
    with pytest.raises(SurveyError, match="not one character"):
        read_frame(write(PLAIN), delimiter=", ")
    with pytest.raises(SurveyError, match="no decimal mark"):
        read_frame(write(PLAIN), decimal="'")


def test_one_column_is_a_file_too(write) -> None:
    assert read_frame(write("a\n1\n2\n"))["a"].tolist() == [1, 2]


def test_no_file_a_directory_and_other_kinds(tmp_path: Path, write) -> None:
    with pytest.raises(SurveyError, match="There is no file"):
        read_frame(tmp_path / "gone.csv")
    with pytest.raises(SurveyError, match="is a directory"):
        read_frame(tmp_path)
    with pytest.raises(UnsupportedError, match=r"files of kind '\.ods' are not read"):
        read_frame(write(b"x", "answers.ods"))
    with pytest.raises(UnsupportedError, match="files without an ending are"):
        read_frame(write(b"x", "answers"))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_no_permission(write) -> None:
    path = write(PLAIN)
    path.chmod(0)
    try:
        with pytest.raises(SurveyError, match="cannot be read: Permission denied"):
            read_frame(path)
    finally:
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_no_permission_is_told(write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(PLAIN)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SurveyError, match="cannot be read: Permission denied"):
        read_frame(path)


def test_workbook(workbook) -> None:
    rows = [["id", "a", "b"], ["x", 1, 2.5], ["y", 3, None], ["z", "5", -1], [None, None, None]]
    expect_plain(read_frame(workbook({"answers": rows, "notes": [["read me"]]})))
    path = workbook({"notes": [["read me"]], "answers": rows})
    expect_plain(read_frame(path, sheet="answers"))
    with pytest.raises(SurveyError, match="has no sheet 'Answers'") as caught:
        read_frame(path, sheet="Answers")
    assert "'notes', 'answers'" in caught.value.remedy


def test_workbook_troubles(workbook, write, tmp_path: Path) -> None:
    with pytest.raises(SurveyError, match="sheet 'a' is empty"):
        read_frame(workbook({"a": [], "b": [[1]]}))
    with pytest.raises(SurveyError, match=r"column 'a' more than once"):
        read_frame(workbook({"s": [["a", "a"], [1, 2]]}))
    with pytest.raises(SurveyError, match=r"not an \.xlsx workbook"):
        read_frame(write("a,b\n1,2\n", "fake.xlsx"))
    with zipfile.ZipFile(tmp_path / "other.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(SurveyError, match="an archive, but not"):
        read_frame(tmp_path / "other.xlsx")
    with zipfile.ZipFile(tmp_path / "broken.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<x")
    with pytest.raises(SurveyError, match="cannot be read as a workbook"):
        read_frame(tmp_path / "broken.xlsx")


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "")
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as entry:
            block = bytes(1 << 20)
            for _ in range(513):
                entry.write(block)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SurveyError, match="unpacks to 513 MiB; the limit is 512 MiB"):
        read_frame(path)


@pytest.mark.parametrize("kind", ["sav", "zsav", "dta"])
def test_statistics_packages(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"answers.{kind}"
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "t": ["x", "y", ""]})
    if kind == "dta":
        pyreadstat.write_dta(frame, str(path))
    else:
        pyreadstat.write_sav(frame, str(path), compress=kind == "zsav")
    back = read_frame(path)
    np.testing.assert_array_equal(back["a"], frame["a"])
    assert back["t"].tolist()[:2] == ["x", "y"]
    assert back.index.tolist() == [1, 2, 3]
    path.write_bytes(b"nonsense")
    with pytest.raises(SurveyError, match="cannot be read as"):
        read_frame(path)


def servqual_file(**changes: str) -> str:
    generator = np.random.default_rng(1)
    head = ["branch", *(f"Q{i}" for i in range(1, 23))]
    rows = [["n", *map(str, row)] for row in generator.integers(1, 8, size=(30, 22))]
    for place, value in changes.items():
        column, row = place.split("_")
        rows[int(row) - 2][head.index(column)] = value
    return "\n".join(",".join(row) for row in [head, *rows])


COLUMNS = {f"Q{i}": f"P{i}" for i in range(1, 23)}


def test_read_survey(write) -> None:
    instrument = load_instrument("servqual")
    path = write(servqual_file(Q3_5="99", Q4_6="99", Q22_31=""))
    survey = read_survey(path, instrument=instrument, columns=COLUMNS, missing_codes=[99])
    assert survey.items == tuple(f"P{i}" for i in range(1, 23))
    assert int(survey.data.isna().sum().sum()) == 3
    assert survey.audit[0].sentence() == (
        "Read from answers.csv: 30 rows and 23 columns; answers set to missing because of their "
        "code: 2."
    )
    assert len(survey.unturned_items) == 9


def test_answers_that_are_turned_already_are_not_turned_again(write) -> None:
    instrument = load_instrument("servqual")
    path = write(servqual_file())
    survey = read_survey(path, instrument=instrument, columns=COLUMNS, keyed=True)
    assert survey.unturned_items == ()
    assert survey.reverse_keyed() is survey
    raw = read_survey(path, instrument=instrument, columns=COLUMNS)
    assert raw.reverse_keyed().frame["P10"].equals(8 - survey.frame["P10"])


@pytest.mark.parametrize(
    ("changes", "columns", "message"),
    [
        ({"Q3_5": "99"}, COLUMNS, "1 answer lies outside the scale of 1 to 7.*'P3', row 5: 99"),
        ({"Q3_5": "good"}, COLUMNS, r"Item 'P3' has cells that are not numbers \(row 5: good\)"),
        ({}, {**COLUMNS, "Q23": "P1"}, r"no column for the column map's 'Q23' \(close: .*'Q22'"),
        ({}, {**COLUMNS, "Q2": "P1"}, r"'P1' more than once \(columns 2, 3\)"),
        ({}, {k: v for k, v in COLUMNS.items() if v != "P7"}, "no column for item 'P7'"),
        ({}, None, "no column for item 'E1'"),
    ],
)
def test_read_survey_refuses(write, changes, columns, message: str) -> None:
    with pytest.raises(SurveyError, match=message):
        read_survey(
            write(servqual_file(**changes)), instrument=load_instrument("servqual"), columns=columns
        )


def test_codes_are_for_items_only(write) -> None:
    survey = read_survey(
        write("age,a,b\n9,9,1\n20,2,2\n30,3,3\n"), dimensions={"F": ["a", "b"]}, missing_codes=(9,)
    )
    assert survey.frame["age"].tolist() == [9, 20, 30]
    assert np.isnan(survey.frame["a"].iloc[0])


FULL = '"","x","y"\n"x",4,1.5\n"y",1.5,9\n'
EXPECTED = np.array([[4.0, 1.5], [1.5, 9.0]])


@pytest.mark.parametrize(
    "content",
    [
        FULL,
        "x,y\n4,1.5\n1.5,9\n",
        ",x,y\nx,4,\ny,1.5,9\n",
        "x,y\n4,\n1.5,9\n",
        "x,y\n4,1.5\n,9\n",
        ",x,y\nx,4,NA\ny,1.5,9\n",
        ";x;y\nx;4;1,5\ny;1,5;9\n",
        "\tx\ty\nx\t4\t1.5\ny\t1.5\t9\n",
        "row,x,y\nx,4,1.5\ny,1.5,9\n\n",
    ],
)
def test_matrix_forms(write, content: str) -> None:
    names, matrix = read_matrix(write(content))
    assert names == ("x", "y")
    np.testing.assert_array_equal(matrix, EXPECTED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n4,1.5\n1.6,9\n", r"not symmetric: cell \(y, x\) is 1.6 but cell \(x, y\) is 1.5"),
        ("x,y,z\n4,1,1\n1,9,1\n", "not square: 2 rows and 3 columns"),
        (",x,y\nx,4,1\nz,1,9\n", "row 'z' stands where column 'y' does"),
        (",x,y\ny,4,1\nx,1,9\n", "row 'y' stands where column 'x' does"),
        ("x,x\n4,1\n1,9\n", "name 'x' more than once"),
        ("4,1\n1,9\n", "no names in its first row"),
        ("x,y\n4,a\n1,9\n", r"cell \(x, y\) is 'a', not a number"),
        ("x,y\n4,inf\ninf,9\n", "not a number"),
        ("x,y,z\n4,,1\n1,9,1\n1,1,3\n", r"cell \(x, y\) is missing"),
        ("x,y\n4,1\n1,0\n", "variance of 'y' is 0"),
        (",x,\nx,4,1\ny,1,9\n", "a column without a name"),
        ("", "is empty"),
    ],
)
def test_matrix_troubles(write, content: str, message: str) -> None:
    with pytest.raises(SurveyError, match=message) as caught:
        read_matrix(write(content, "cor.csv"))
    assert "cor.csv" in caught.value.message
    assert caught.value.remedy


def test_a_variable_may_be_called_like_a_number_word(write) -> None:
    names, matrix = read_matrix(write(",inf,nan\ninf,4,1.5\nnan,1.5,9\n"))
    assert names == ("inf", "nan")
    np.testing.assert_array_equal(matrix, EXPECTED)


def test_rounding_noise_is_not_asymmetry(write) -> None:
    _, matrix = read_matrix(write("x,y\n4,1.5\n1.50000000000001,9\n"))
    assert matrix[0, 1] == matrix[1, 0]


def test_every_refusal_is_one_of_ours(write) -> None:
    """Bytes of any kind are read or refused, never a stray exception."""
    generator = np.random.default_rng(11)
    alphabet = np.frombuffer(b'a1,;."\n\r\t |\xe4\xb8\x80\xff\x00=', dtype=np.uint8)
    refused = []
    for _ in range(300):
        content = bytes(generator.choice(alphabet, size=generator.integers(1, 60)))
        for read in (read_frame, read_matrix):
            try:
                read(write(content))
            except SqvalidError as error:
                refused.append(error)
    assert 300 < len(refused) < 600
    assert all(error.remedy for error in refused)
