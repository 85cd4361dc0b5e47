"""What must hold of any answers: files say what was written, turning twice is turning back."""

import io
import string
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqvalid.display import Table
from sqvalid.instruments import Dimension, Instrument, Item
from sqvalid.survey import Survey, content_sha256, read_frame, read_matrix

NAMES = st.lists(
    st.text(string.ascii_letters + "有形性_", min_size=1, max_size=8),
    min_size=2,
    max_size=5,
    unique=True,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)
WRITTEN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    names = draw(NAMES)
    n_rows = draw(st.integers(1, 6))
    columns = {}
    for name in names:
        cells = draw(st.lists(NUMBERS | st.just(float("nan")), min_size=n_rows, max_size=n_rows))
        columns[name] = cells
    # A row without any answer is no respondent; the first column always has one.
    columns[names[0]] = draw(st.lists(NUMBERS, min_size=n_rows, max_size=n_rows))
    return pd.DataFrame(columns)


@WRITTEN
@given(frames(), st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_numbers_come_back_as_they_were_written(
    tmp_path: Path, frame: pd.DataFrame, delimiter: str, encoding: str
) -> None:
    path = tmp_path / "x.csv"
    frame.to_csv(path, index=False, sep=delimiter, encoding=encoding)
    back = read_frame(path, delimiter=delimiter, encoding=encoding)
    assert back.columns.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(back.to_numpy(dtype=float), frame.to_numpy())


@WRITTEN
@given(frames())
def test_a_table_as_csv_keeps_every_digit(frame: pd.DataFrame) -> None:
    back = pd.read_csv(io.StringIO(Table(frame).to_csv()), dtype=str, keep_default_na=False)
    numbers = [[float(c) if c else np.nan for c in back[name]] for name in back.columns]
    np.testing.assert_array_equal(np.array(numbers).T, frame.to_numpy())


@WRITTEN
@given(NAMES, st.data())
def test_a_triangle_and_the_whole_matrix_are_one(
    tmp_path: Path, names: list[str], data: st.DataObject
) -> None:
    size = len(names)
    values = data.draw(st.lists(st.floats(-0.9, 0.9), min_size=size * size, max_size=size * size))
    matrix = np.array(values).reshape(size, size)
    matrix = np.tril(matrix, -1) + np.tril(matrix, -1).T + np.eye(size)
    frame = pd.DataFrame(matrix, index=names, columns=names)
    frame.to_csv(tmp_path / "full.csv")
    frame.where(np.tril(np.ones((size, size), dtype=bool))).to_csv(tmp_path / "lower.csv")
    for name in ("full.csv", "lower.csv"):
        labels, back = read_matrix(tmp_path / name)
        assert labels == tuple(names)
        np.testing.assert_array_equal(back, matrix)


@given(st.lists(st.integers(1, 7) | st.none(), min_size=1, max_size=8))
def test_turning_is_its_own_inverse(answers: list[int | None]) -> None:
    words = {"en": "x"}
    item = Item("x", "F", "perception", words, "adapted", "translated", True, 1, 7, {})
    instrument = Instrument("i", words, "s", (Dimension("F", words),), (item,))
    frame = pd.DataFrame({"x": np.array([np.nan if a is None else a for a in answers])})
    once = Survey(frame, instrument).reverse_keyed()
    twice = Survey(once.frame, instrument).reverse_keyed()
    np.testing.assert_array_equal(twice.frame["x"], frame["x"])
    assert content_sha256(twice.frame) == content_sha256(frame)
