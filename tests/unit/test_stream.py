"""Moments read piece by piece against those of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, SurveyError, UnsupportedError
from sqvalid.moments import moments_from_frame, stream
from sqvalid.resampling import normals

ITEMS = ("x1", "x2", "x3", "x4")


def answers(n: int = 500) -> pd.DataFrame:
    """Four items, sorted by the first, far from zero, some not answered; two branches."""
    z = normals(5, 0, n * 5).reshape(n, 5)
    frame = pd.DataFrame(1000.0 + z[:, :1] + z[:, 1:], columns=list(ITEMS)).sort_values("x1")
    frame.iloc[::17, 2] = np.nan
    return frame.assign(branch=np.where(z[:, 0] > 0.5, "北", "S")).reset_index(drop=True)


def pieces(frame: pd.DataFrame, rows: int) -> list[pd.DataFrame]:
    return [frame.iloc[start : start + rows] for start in range(0, len(frame), rows)]


@pytest.mark.parametrize("rows", [1, 7, 100, 10_000])
@pytest.mark.parametrize("group", [None, "branch"])
def test_pieces_give_the_moments_of_the_whole(rows: int, group: str | None) -> None:
    frame = answers()
    whole = moments_from_frame(frame, ITEMS, group=group)
    found = sq.stream_moments(pieces(frame, rows), ITEMS, group=group)
    assert found.group_labels == whole.group_labels
    assert found.n_received == whole.n_received == 500
    for ours, theirs in zip(found.blocks, whole.blocks, strict=True):
        assert ours.n_obs == theirs.n_obs
        np.testing.assert_allclose(ours.means, theirs.means, rtol=1e-13)
        np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_give_the_fit_of_the_whole(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(stream, "BATCH_ROWS", 64)
    path = tmp_path / f"answers.{kind}"
    frame = answers()
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    model = "f =~ x1 + x2 + x3 + x4"
    whole = sq.cfa(model, frame, group="branch", group_equal="loadings")
    found = sq.cfa(
        model,
        sq.stream_moments(path, ITEMS, group="branch"),
        group="branch",
        group_equal="loadings",
    )
    assert found.fit_measures["chisq"] == pytest.approx(whole.fit_measures["chisq"], rel=1e-6)
    np.testing.assert_allclose(found.parameters["est"], whole.parameters["est"], rtol=1e-6)
    np.testing.assert_allclose(found.parameters["se"], whole.parameters["se"], rtol=1e-6)


def test_dask_frames_give_the_moments_of_the_whole() -> None:
    dask = pytest.importorskip("dask.dataframe")
    frame = answers()
    found = sq.stream_moments(dask.from_pandas(frame, npartitions=3), ITEMS)
    whole = moments_from_frame(frame, ITEMS)
    np.testing.assert_allclose(found.blocks[0].covariance, whole.blocks[0].covariance, rtol=1e-9)


def test_an_estimator_that_needs_the_answers_says_so() -> None:
    found = sq.stream_moments(pieces(answers(), 100), ITEMS)
    with pytest.raises(UnsupportedError, match="needs the answers"):
        sq.cfa("f =~ x1 + x2 + x3 + x4", found, estimator="MLR")


def test_what_cannot_be_analysed_is_refused() -> None:
    frame = answers()
    with pytest.raises(SurveyError, match="no column 'x9'"):
        sq.stream_moments(pieces(frame, 100), (*ITEMS, "x9"))
    with pytest.raises(SurveyError, match="Nobody answered 'x2'"):
        sq.stream_moments(pieces(frame.assign(x2=np.nan), 100), ITEMS)
    with pytest.raises(SurveyError, match="same answer to 'x2'"):
        sq.stream_moments(pieces(frame.assign(x2=3.0), 100), ITEMS)
    with pytest.raises(SurveyError, match="row 250"):
        sq.stream_moments(
            pieces(frame.assign(x2=frame["x2"].mask(frame.index == 250, np.inf)), 100), ITEMS
        )
    nobody = frame.assign(x2=frame["x2"].mask(frame["branch"] == "北"))
    with pytest.raises(SurveyError, match="Nobody in group '北'"):
        sq.stream_moments(pieces(nobody, 100), ITEMS, group="branch")
    with pytest.raises(SurveyError, match="No respondent"):
        sq.stream_moments([], ITEMS)
    with pytest.raises(InputError, match="frame in memory"):
        sq.stream_moments(frame, ITEMS)
    with pytest.raises(InputError, match=r"neither \.parquet nor \.csv"):
        sq.stream_moments("answers.sav", ITEMS)
    with pytest.raises(InputError, match="no file"):
        sq.stream_moments("nowhere.csv", ITEMS)
