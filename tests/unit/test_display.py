"""Tables, printed numbers, JSON-safe values and what every result can do."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sqvalid.display import Result, Table, format_interval, format_number, format_p, json_safe
from sqvalid.errors import Diagnostic


@pytest.mark.parametrize(
    ("value", "digits", "leading_zero", "shown"),
    [
        (0.43249, 3, True, "0.432"),
        (-0.0004, 3, True, "0.000"),
        (0.5, 2, False, ".50"),
        (-0.5, 2, False, "-.50"),
        (1.0, 2, False, "1.00"),
        (-10.5, 1, False, "-10.5"),
        (float("nan"), 3, True, "–"),
        (float("inf"), 3, True, "∞"),
        (float("-inf"), 3, True, "-∞"),
        (12345.6, 0, True, "12346"),
    ],
)
def test_format_number(value: float, digits: int, leading_zero: bool, shown: str) -> None:
    assert format_number(value, digits, leading_zero=leading_zero) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "< .001"),
        (0.00099, "< .001"),
        (0.001, ".001"),
        (0.05, ".050"),
        (0.9994, ".999"),
        (0.9996, "> .999"),
        (1.0, "> .999"),
        (float("nan"), "–"),
    ],
)
def test_format_p(value: float, shown: str) -> None:
    assert format_p(value) == shown


def test_format_interval() -> None:
    assert format_interval(-0.1, 0.25, 2, leading_zero=False) == "[-.10, .25]"


@pytest.fixture
def table() -> Table:
    frame = pd.DataFrame(
        {
            "item": ["P1", "=cmd()", "<b>|x"],
            "n": [10, 20, 30],
            "est": [0.1 + 0.2, np.nan, -0.00001],
            "p": [0.0001, 0.5, np.nan],
            "ok": [True, False, True],
        }
    )
    return Table(frame, title="A & B", formats={"p": "p", "est": "unit2"}, notes=("n <= 30",))


def test_text_is_aligned(table: Table) -> None:
    assert table.to_text().splitlines() == [
        "A & B",
        "item     n  est       p  ok",
        "----------------------------",
        "P1      10  .30  < .001  yes",
        "=cmd()  20    –    .500  no",
        "<b>|x   30  .00       –  yes",
        "n <= 30",
    ]
    assert "是" in table.to_text(lang="zh")


def test_wide_characters_take_two_columns() -> None:
    lines = Table(pd.DataFrame({"条目": ["有形性", "a"], "x": [1, 22]})).to_text().splitlines()
    assert lines[0] == "条目     x"
    assert lines[2:] == ["有形性   1", "a       22"]


def test_html_escapes_every_cell(table: Table) -> None:
    html = table.to_html()
    assert "<b>" not in html
    assert "&lt;b&gt;|x" in html
    assert "<caption>A &amp; B</caption>" in html
    assert '<td class="num">&lt; .001</td>' in html
    assert "n &lt;= 30" in html
    assert html == table._repr_html_()


def test_csv_keeps_every_digit_and_disarms_formulas(table: Table) -> None:
    back = pd.read_csv(io.StringIO(table.to_csv()))
    assert float(table.to_csv().splitlines()[1].split(",")[2]) == 0.1 + 0.2
    assert np.isnan(back["est"].iloc[1])
    assert back["item"].tolist() == ["P1", "'=cmd()", "<b>|x"]
    assert back["n"].dtype.kind == "i"


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\tx", "\r=1"])
def test_every_formula_start_is_disarmed(cell: str) -> None:
    table = Table(pd.DataFrame({cell: [cell]}))
    header, row = pd.read_csv(io.StringIO(table.to_csv()), header=None)[0]
    assert header.startswith("'")
    assert row.startswith("'")


def test_numbers_written_as_text_are_left_alone() -> None:
    assert Table(pd.DataFrame({"x": ["-1.5", "+2"]})).to_csv() == "x\n-1.5\n+2\n"


def test_markdown_escapes_pipes(table: Table) -> None:
    lines = table.to_markdown().splitlines()
    assert lines[2] == "| item | n | est | p | ok |"
    assert lines[3] == "| :-- | --: | --: | --: | :-- |"
    assert lines[6] == "| <b>\\|x | 30 | .00 | – | yes |"


def test_labelled_index_is_shown_and_a_count_is_not() -> None:
    frame = pd.DataFrame({"TAN": [1.0, 0.5]}, index=["TAN", "REL"])
    assert Table(frame).to_csv() == ",TAN\nTAN,1.0\nREL,0.5\n"
    assert '<th scope="row">REL</th>' in Table(frame).to_html()
    assert Table(frame.reset_index(drop=True)).to_csv() == "TAN\n1.0\n0.5\n"


def test_integers_stay_integers_beside_floats() -> None:
    table = Table(pd.DataFrame({"k": [1, 2], "x": [0.5, np.nan]}))
    assert table.to_csv() == "k,x\n1,0.5\n2,\n"
    assert table.to_text().splitlines()[2] == "1  0.500"


@pytest.mark.parametrize("formats", [{"nope": "f2"}, {"x": "money"}, {"x": "f"}])
def test_a_format_that_does_not_exist_is_refused(formats: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="format"):
        Table(pd.DataFrame({"x": [1.0]}), formats=formats)


def test_formats_int_percent_text() -> None:
    frame = pd.DataFrame({"a": [3.0], "b": [0.256], "c": [7], "d": [0.5]})
    table = Table(frame, formats={"a": "int", "b": "percent", "c": "text", "d": "f1"})
    assert table.to_text().splitlines()[2].split() == ["3", "25.6%", "7", "0.5"]


def test_a_table_does_not_change_with_the_frame_it_was_made_of() -> None:
    frame = pd.DataFrame({"x": [1.0]})
    table = Table(frame)
    frame.loc[0, "x"] = 2.0
    assert table.frame.loc[0, "x"] == 1.0


def test_json_safe_is_json() -> None:
    value = {
        "nan": float("nan"),
        "inf": np.inf,
        "int": np.int64(3),
        "bool": np.bool_(True),
        "array": np.array([[1.0, np.nan]]),
        "records": pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]}),
        "matrix": pd.DataFrame([[1.0]], index=["x"], columns=["y"]),
        "series": pd.Series({"cfi": 0.95}),
        "path": Path("a") / "b.csv",
        "set": frozenset({"b", "a"}),
        "diagnostic": Diagnostic("x", "info", values={"k": np.float64(1.0)}),
        3: (None, pd.NA),
    }
    safe = json_safe(value)
    assert json.loads(json.dumps(safe, allow_nan=False)) == safe
    assert safe["nan"] is None
    assert safe["inf"] is None
    assert safe["records"] == [{"a": 1, "b": 0.5}, {"a": 2, "b": None}]
    assert safe["matrix"] == {"index": ["x"], "columns": ["y"], "data": [[1.0]]}
    assert safe["diagnostic"] == {
        "code": "x",
        "severity": "info",
        "where": [],
        "values": {"k": 1.0},
    }
    assert safe["set"] == ["a", "b"]
    assert safe["3"] == [None, None]


def test_json_safe_rounds_to_significant_digits() -> None:
    assert json_safe([1 / 3, 1e-20 / 3], significant=4) == [0.3333, 3.333e-21]


def test_json_safe_refuses_what_json_has_not() -> None:
    with pytest.raises(TypeError, match="complex has no place"):
        json_safe(1j)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Finding(Result):
    values: pd.Series
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        return f"{len(self.values)} values\n<here>"

    def to_frame(self) -> pd.DataFrame:
        return self.values.rename("value").rename_axis("name").reset_index()


def test_a_result_shows_itself() -> None:
    finding = Finding(pd.Series({"a": 1.5, "b": np.nan}))
    assert repr(finding) == "<Finding: 2 values <here>>"
    html = finding._repr_html_()
    assert "&lt;here&gt;" in html
    assert "1.500" in html
    assert "<ul" not in html
    assert finding.to_dict() == {
        "schema_version": 1,
        "type": "Finding",
        "table": [{"name": "a", "value": 1.5}, {"name": "b", "value": None}],
        "diagnostics": [],
    }


def test_a_result_shows_its_diagnostics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sqvalid.wording.describe", lambda d, lang="en": (f"<{d.code}>", "Do something.")
    )
    finding = Finding(pd.Series({"a": 1.5}), (Diagnostic("odd", "problem", ("a",)),))
    assert '<li class="problem">&lt;odd&gt; <em>Do something.</em></li>' in finding._repr_html_()
    assert finding.to_dict()["diagnostics"][0]["where"] == ["a"]
