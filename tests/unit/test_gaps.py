"""Patterns of missing answers."""

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError

N = np.nan
FRAME = pd.DataFrame(
    {
        "题一": [1, 2, 3, 4, 5, N],
        "b": [1, 2, N, N, 5, N],
        "c": [1, 2, N, 4, N, N],
    }
)


def test_patterns_rates_and_drop_out() -> None:
    found = sq.describe_missing(FRAME)
    assert (found.n_obs, found.n_complete, len(found.counts)) == (6, 2, 5)
    assert found.counts.tolist() == [2, 1, 1, 1, 1]
    assert found.rate.tolist() == pytest.approx([1 / 6, 3 / 6, 3 / 6])
    # The third stopped after the first item, the fifth after the second; the fourth skipped one.
    assert found.drop_out.tolist() == [1, 1, 0]
    assert found.coverage.loc["b", "c"] == pytest.approx(2 / 6)
    table = found.to_frame()
    assert table.n.sum() == 6
    assert table.n_missing.tolist() == sorted(table.n_missing)
    assert "5 patterns" in repr(found)


def test_pairs_never_answered_together_are_told() -> None:
    frame = FRAME.copy()
    frame.loc[[0, 1], "c"] = N
    found = sq.describe_missing(frame)
    assert [d.code for d in found.diagnostics] == ["pairs_never_answered_together"]
    assert found.diagnostics[0].values["pairs"] == "b-c"


def test_the_picture_has_a_row_per_pattern() -> None:
    figure = sq.describe_missing(FRAME).plot(title="Gaps")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "1", "1", "1", "1"]
    assert axes.get_xticklabels()[0].get_text() == "题一  17%"
    image = axes.images[0].get_array()
    assert image.shape == (5, 3)
    assert not image[0].any()
    assert image[-1].all()


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="'z'"):
        sq.describe_missing(FRAME, ["b", "z"])
    with pytest.raises(InputError, match="no answers"):
        sq.describe_missing(FRAME.iloc[:0])
