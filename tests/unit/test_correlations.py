"""sq.correlate: options, missing answers, trouble, and the face of the result."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import wording
from sqvalid.errors import OptionError, SurveyError


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((300, 1))
    behind = 0.75 * factor + 0.66 * rng.standard_normal((300, 4))
    cut = np.digitize(behind, [-1.0, 0.0, 1.1]) + 1.0
    out = pd.DataFrame(cut, columns=["a", "b", "c", "d"])
    return out.assign(y=factor[:, 0] + rng.standard_normal(300))


def codes(result: sq.Correlations) -> list[str]:
    return [one.code for one in result.diagnostics]


def test_pearson_is_the_correlation_of_pandas(frame: pd.DataFrame) -> None:
    np.testing.assert_allclose(sq.correlate(frame).matrix, frame.corr(), atol=1e-14)
    spearman = sq.correlate(frame, method="spearman")
    np.testing.assert_allclose(spearman.matrix, frame.corr("spearman"), atol=1e-14)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_pairwise_is_the_correlation_of_pandas(frame: pd.DataFrame, method: str) -> None:
    gaps = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.2)
    found = sq.correlate(gaps, method=method, missing="pairwise")
    np.testing.assert_allclose(found.matrix, gaps.corr(method), atol=1e-13)
    there = gaps.notna().to_numpy().astype(int)
    np.testing.assert_array_equal(found.n_pairs, there.T @ there)
    listwise = sq.correlate(gaps, method=method)
    np.testing.assert_allclose(listwise.matrix, gaps.dropna().corr(method), atol=1e-13)
    assert listwise.n_obs == len(gaps.dropna())


def test_mixed_without_gaps_has_pearson_among_numbers(frame: pd.DataFrame) -> None:
    both = frame.assign(z=frame["y"] ** 2 + frame["a"])
    found = sq.correlate(both, ["a", "y", "z"], method="mixed", ordered="a")
    assert found.matrix.loc["y", "z"] == pytest.approx(both["y"].corr(both["z"]), abs=1e-12)
    assert found.ordered == ("a",)
    assert found.empty_cells is not None
    plain = sq.correlate(both, ["a", "y", "z"]).to_frame().set_index(["item_a", "item_b"])
    mixed = found.to_frame().set_index(["item_a", "item_b"])
    columns = ["n", "r", "se", "ci_lower", "ci_upper", "p"]
    pd.testing.assert_series_equal(
        plain.loc[("y", "z"), columns], mixed.loc[("y", "z"), columns], rtol=1e-10
    )


def test_polyserial_errors_are_those_of_the_jackknife() -> None:
    rng = np.random.default_rng(11)
    factor = rng.standard_normal((2000, 1))
    behind = 0.75 * factor + 0.66 * rng.standard_normal((2000, 3))
    rows = pd.DataFrame(behind, columns=["a", "y", "b"])
    rows["a"], rows["b"] = np.digitize(rows["a"], [-0.5, 0.8]), np.digitize(rows["b"], [0.2])

    def correlations(some: pd.DataFrame) -> np.ndarray:
        found = sq.correlate(some, ["a", "y", "b"], method="mixed", ordered=["a", "b"])
        return found.to_frame()["r"].to_numpy()

    group = np.arange(len(rows)) % 125
    without = np.array([correlations(rows[group != g]) for g in range(125)])
    spread = np.sqrt(124 / 125 * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    found = sq.correlate(rows, ["a", "y", "b"], method="mixed", ordered=["a", "b"])
    # 125 pieces tell a standard error to about 6%.
    np.testing.assert_allclose(found.to_frame()["se"], spread, rtol=0.15)


def test_an_interval_is_symmetric_in_fishers_z(frame: pd.DataFrame) -> None:
    pairs = sq.correlate(frame.drop(columns="y"), method="polychoric", level=0.9).to_frame()
    z = np.arctanh(pairs[["ci_lower", "r", "ci_upper"]].to_numpy())
    np.testing.assert_allclose(z[:, 1] - z[:, 0], z[:, 2] - z[:, 1], rtol=1e-9)
    np.testing.assert_allclose(
        z[:, 2] - z[:, 1], 1.6448536269514722 * pairs["se"] / (1 - pairs["r"] ** 2), rtol=1e-9
    )
    assert pairs["empty_cells"].notna().all()
    assert (pairs["n"] == 300).all()


def test_a_copy_is_a_problem_and_has_no_error(frame: pd.DataFrame) -> None:
    found = sq.correlate(frame.assign(e=frame["a"]), ["a", "b", "e"], method="polychoric")
    assert found.matrix.loc["a", "e"] == 1.0
    assert np.isnan(found.standard_errors.loc["a", "e"])
    assert "correlation_certain" in codes(found)
    assert "correlations_not_positive_definite" in codes(found)
    row = found.to_frame().set_index(["item_a", "item_b"]).loc[("a", "e")]
    assert row[["se", "ci_lower", "ci_upper", "p"]].isna().all()


def test_near_copies_and_empty_cells_are_told(frame: pd.DataFrame) -> None:
    near = frame["a"].to_numpy().copy()
    near[:6] = np.where(near[:6] < 4, near[:6] + 1, 3)
    found = sq.correlate(frame.assign(e=near), ["a", "b", "e"], method="polychoric")
    assert codes(found)[:2] == ["correlation_empty_cells", "correlation_near_one"]
    assert found.matrix.loc["a", "e"] > 0.95
    assert found.empty_cells.loc["a", "e"] == (pd.crosstab(frame["a"], near) == 0).sum().sum()
    for lang in wording.languages():
        for one in found.diagnostics:
            sentence, remedy = wording.describe(one, lang)
            assert sentence
            assert remedy


def test_items_without_variance_among_pairs(frame: pd.DataFrame) -> None:
    gaps = frame.copy()
    gaps.loc[gaps["a"] != 2, "b"] = np.nan
    found = sq.correlate(gaps, ["a", "b", "c"], missing="pairwise")
    assert np.isnan(found.matrix.loc["a", "b"])
    assert codes(found) == ["correlation_undefined"]
    assert found.diagnostics[0].where == ("a-b",)


def test_the_face_of_a_result(frame: pd.DataFrame) -> None:
    found = sq.correlate(frame.drop(columns="y"), method="polychoric")
    assert repr(found).startswith("<Correlations: polychoric correlations of 4 items, 300 resp")
    assert "<table" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["method"] == "polychoric"
    assert list(found.thresholds["category"]) == [1, 2, 3] * 4
    assert [len(table.frame) for table in found.tables()] == [4, 12]
    assert sq.correlate(frame).thresholds is None


def test_a_survey_has_its_items() -> None:
    survey = sq.load_dataset("servqual_demo")
    assert list(sq.correlate(survey, missing="pairwise").matrix.columns) == list(survey.items)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"method": "polychorik"}, OptionError, "Did you mean 'polychoric'"),
        ({"missing": "fiml"}, OptionError, "'listwise', 'pairwise'"),
        ({"level": 95}, OptionError, "no share"),
        ({"ordered": ["a"]}, OptionError, "method='mixed'"),
        ({"method": "mixed"}, OptionError, "which items are ordered"),
        ({"method": "mixed", "ordered": ["q"]}, OptionError, "'q', not among the items"),
        ({"items": ["a"]}, SurveyError, "one item"),
        ({"items": ["a", "nowhere"]}, SurveyError, "nowhere"),
        ({"method": "polychoric"}, SurveyError, "'y' has 300 different answers that are not whole"),
    ],
)
def test_what_is_refused(frame: pd.DataFrame, options, error, says: str) -> None:
    with pytest.raises(error, match=says):
        sq.correlate(frame, **options)


def test_answers_that_cannot_be_correlated(frame: pd.DataFrame) -> None:
    with pytest.raises(SurveyError, match="same answer to 'c'"):
        sq.correlate(frame.assign(c=1.0))
    with pytest.raises(SurveyError, match="Nobody answered 'c'"):
        sq.correlate(frame.assign(c=np.nan), missing="pairwise")
    with pytest.raises(SurveyError, match="0 of 300 respondents"):
        sq.correlate(frame.assign(c=np.nan))
    with pytest.raises(SurveyError, match="not numbers"):
        sq.correlate(frame.assign(c="agree"), ["a", "c"])
