"""Blocks of ordered answers: what is refused, what is kept, and how it is put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import EstimationError, OptionError, SurveyError, UnsupportedError
from sqvalid.moments import moments_from_frame

ITEMS = ["a", "b", "c"]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    n = 200
    factor = rng.standard_normal((n, 1))
    behind = 0.8 * factor + 0.6 * rng.standard_normal((n, 3))
    columns = {name: np.digitize(behind[:, j], [-0.8, 0.0, 0.9]) + 1
               for j, name in enumerate(ITEMS)}  # fmt: skip
    columns["y"] = factor[:, 0] + rng.standard_normal(n)
    columns["x"] = rng.standard_normal(n) + 0.4 * factor[:, 0]
    columns["team"] = np.where(np.arange(n) % 2, "north", "south")
    columns["w"] = rng.uniform(0.5, 2.0, n)
    columns["branch"] = np.arange(n) % 20
    return pd.DataFrame(columns)


def test_what_is_kept_cannot_be_written_to(frame: pd.DataFrame) -> None:
    block = moments_from_frame(frame, [*ITEMS, "y"], ordered=ITEMS, conditional=["x"]).blocks[0]
    for name in ("thresholds", "slopes", "influence", "gamma", "covariance", "owner",
                 "empty_cells", "x_means", "x_covariance"):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            getattr(block, name)[...] = 0.0


def test_the_order_of_a_block_given_covariates(frame: pd.DataFrame) -> None:
    block = moments_from_frame(
        frame, ["x", "a", "y", "b"], ordered=["a", "b"], conditional=["x"]
    ).blocks[0]
    assert block.variables == ("a", "y", "b", "x")
    assert block.conditional == ("x",)
    assert block.kinds == ("ordinal", "continuous", "ordinal", "continuous")
    np.testing.assert_array_equal(block.owner, [0, 0, 0, 1, 2, 2, 2])
    assert block.slopes.shape == (3, 1)
    # Thresholds and intercept, slopes, one variance, three pairs.
    assert block.influence.shape == (200, 7 + 3 + 1 + 3)
    np.testing.assert_array_equal(block.covariance[:3, 3], 0.0)
    np.testing.assert_allclose(block.x_covariance, [[frame["x"].var()]])
    np.testing.assert_allclose(block.covariance[3, 3], frame["x"].var())
    # Least squares is what it is elsewhere.
    slope, intercept = np.polyfit(frame["x"], frame["y"], 1)
    assert block.slopes[1, 0] == pytest.approx(slope, abs=1e-12)
    assert block.means[1] == pytest.approx(intercept, abs=1e-12)
    assert block.means[3] == pytest.approx(frame["x"].mean(), abs=1e-12)


def test_gamma_is_made_when_it_is_read_and_kept(frame: pd.DataFrame) -> None:
    block = moments_from_frame(frame, ITEMS, ordered=ITEMS, weights="w").blocks[0]
    assert block.is_ordinal
    diagonal = block.gamma_diagonal
    assert block.__dict__["gamma"] is None
    gamma = block.gamma
    assert block.gamma is gamma
    expected = block.total_weight * block.influence.T @ block.influence
    np.testing.assert_allclose(gamma, expected, atol=1e-12)
    np.testing.assert_allclose(diagonal, np.diag(gamma), atol=1e-12)
    given = replace(block, gamma=np.eye(len(gamma)))
    np.testing.assert_array_equal(given.gamma_diagonal, 1.0)


def test_a_block_of_numbers_has_no_gamma(frame: pd.DataFrame) -> None:
    block = moments_from_frame(frame, ["x", "y"]).blocks[0]
    assert not block.is_ordinal
    assert block.gamma is None
    assert block.gamma_diagonal is None


def test_the_fingerprint_follows_the_answers(frame: pd.DataFrame) -> None:
    def fingerprint(rows: pd.DataFrame) -> str:
        return moments_from_frame(rows, ITEMS, ordered=ITEMS).sha256()

    assert fingerprint(frame) == fingerprint(frame.copy())
    changed = frame.copy()
    changed.loc[0, "a"] = 1 if changed.loc[0, "a"] > 1 else 2
    assert fingerprint(changed) != fingerprint(frame)


def test_a_category_that_nobody_chose_does_not_exist(frame: pd.DataFrame) -> None:
    gap = frame.assign(a=frame["a"].replace(4, 9))
    one = moments_from_frame(frame, ITEMS, ordered=ITEMS).blocks[0]
    other = moments_from_frame(gap, ITEMS, ordered=ITEMS).blocks[0]
    np.testing.assert_array_equal(other.levels[0], [1, 2, 3, 9])
    np.testing.assert_array_equal(one.covariance, other.covariance)


def test_a_category_that_one_group_lacks_is_named(frame: pd.DataFrame) -> None:
    lacking = frame.copy()
    north = lacking["team"] == "north"
    lacking.loc[north & (lacking["b"] == 1), "b"] = 2
    with pytest.raises(SurveyError, match=r"Nobody in group 'north' chose 1 of 'b'.*\n.*neighbour"):
        moments_from_frame(lacking, ITEMS, ordered=ITEMS, group="team")


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (lambda a: pd.Categorical(a), "pandas categories without an order"),
        (lambda a: a > 2, "true and false"),
        (lambda a: a / 2, "2 different answers that are not whole numbers"),
        (lambda a: np.where(a > 2, "yes", "no"), "not numbers"),
        (lambda a: np.ones(len(a)), "same answer"),
        (lambda a: np.arange(len(a)) % 31, "31 different answers; an ordered item has 30 at most"),
    ],
    ids=["categories", "booleans", "halves", "text", "constant", "many"],
)
def test_columns_that_are_no_ordered_item(frame: pd.DataFrame, column, says: str) -> None:
    with pytest.raises(SurveyError, match=says):
        moments_from_frame(frame.assign(a=column(frame["a"])), ITEMS, ordered=ITEMS)


def test_ordered_pandas_categories_are_their_numbers(frame: pd.DataFrame) -> None:
    words = ["never", "seldom", "often", "always"]
    said = frame["a"].map(dict(enumerate(words, start=1)))
    said[5] = None
    typed = frame.assign(a=pd.Categorical(said, categories=words, ordered=True))
    before = frame.astype({"a": float})
    before.loc[5, "a"] = np.nan
    one, other = (moments_from_frame(data, ITEMS, ordered=ITEMS) for data in (before, typed))
    assert other.n_obs == 199
    np.testing.assert_array_equal(one.blocks[0].gamma, other.blocks[0].gamma)
    found = sq.correlate(typed, ITEMS, method="polychoric")
    np.testing.assert_allclose(found.matrix, other.blocks[0].covariance, atol=1e-12)


def test_thirty_categories_are_ordered_categories(frame: pd.DataFrame) -> None:
    many = frame.assign(a=np.digitize(frame["y"], np.quantile(frame["y"], np.arange(1, 30) / 30)))
    block = moments_from_frame(many, ["a", "x"], ordered=["a"]).blocks[0]
    assert len(block.thresholds) == 30
    # So fine an item is nearly the number it was cut from.
    pearson = np.corrcoef(frame["y"], frame["x"])[0, 1]
    serial = block.covariance[0, 1] / np.sqrt(block.covariance[1, 1])
    assert serial == pytest.approx(pearson, abs=0.03)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"ordered": ["z"]}, OptionError, "names 'z'"),
        ({"ordered": ITEMS, "cluster": "branch"}, UnsupportedError, "cluster="),
        ({"ordered": ITEMS, "incomplete": True}, UnsupportedError, "Full information"),
        ({"ordered": ITEMS, "conditional": ["a"]}, UnsupportedError, "'a' cannot be"),
        ({"conditional": ["x"]}, UnsupportedError, "ordered items only"),
        ({"pairwise": True}, UnsupportedError, "ordered items only"),
    ],
)
def test_what_does_not_go_together(frame: pd.DataFrame, options, error, says: str) -> None:
    with pytest.raises(error, match=says):
        moments_from_frame(frame, ITEMS, **options)


def test_covariates_that_are_one_another(frame: pd.DataFrame) -> None:
    twice = frame.assign(z=3 * frame["x"] - 8)
    with pytest.raises(SurveyError, match="Covariate 'z' is a combination of 'x'"):
        moments_from_frame(twice, ITEMS, ordered=ITEMS, conditional=["x", "z"])
    with pytest.raises(SurveyError, match="same answer to 'z'"):
        moments_from_frame(frame.assign(z=2.0), ITEMS, ordered=ITEMS, conditional=["z"])


def test_a_covariate_that_separates_categories(frame: pd.DataFrame) -> None:
    split = frame.assign(a=np.where(frame["x"] > 0, 2, 1))
    with pytest.raises(EstimationError, match="without error"):
        moments_from_frame(split, ITEMS, ordered=ITEMS, conditional=["x"])


def test_covariates_must_be_answered(frame: pd.DataFrame) -> None:
    gaps = frame.astype({"x": float, "a": float})
    gaps.loc[:9, "x"] = np.nan
    gaps.loc[10:19, "a"] = np.nan
    gaps.loc[20, ITEMS] = np.nan
    found = moments_from_frame(gaps, ITEMS, ordered=ITEMS, conditional=["x"], pairwise=True)
    # One respondent answered the covariate only.
    assert found.n_obs == 189
    assert found.n_without_covariate == 10
    assert found.n_without_answers == 1


def test_pairs_without_a_correlation(frame: pd.DataFrame) -> None:
    booklets = frame.astype({"a": float, "b": float})
    booklets.loc[:99, "a"] = np.nan
    booklets.loc[100:, "b"] = np.nan
    with pytest.raises(SurveyError, match="Nobody answered both 'a' and 'b'"):
        moments_from_frame(booklets, ITEMS, ordered=ITEMS, pairwise=True)
    booklets.loc[0, "a"] = 2
    with pytest.raises(SurveyError, match="Only one respondent answered both 'a' and 'b'"):
        moments_from_frame(booklets, ITEMS, ordered=ITEMS, pairwise=True)


@pytest.mark.parametrize(
    ("make", "sign"),
    [
        (lambda a: a, "1"),
        (lambda a: 5 - a, "-1"),
        (lambda a: np.where(a > 2, 2, 1), "1"),
        (lambda a: np.where(a > 3, 1, 2), "-1"),
    ],
)
@pytest.mark.parametrize("given", [[], ["x"]], ids=["tables", "cases"])
def test_items_that_determine_each_other(frame: pd.DataFrame, make, sign: str, given) -> None:
    copies = frame.assign(b=make(frame["a"]))
    if given:
        # A covariate without any effect on them leaves the residuals what the items are.
        order = np.argsort(copies["a"].to_numpy(), kind="stable")
        x = np.empty(len(copies))
        x[order] = np.tile([-1.0, 1.0], len(copies) // 2)
        copies["x"] = x
    with pytest.raises(SurveyError, match=rf"'a' and 'b' set no bound .* it goes to {sign}\."):
        moments_from_frame(copies, ["a", "b", "c"], ordered=ITEMS, conditional=given)


def test_items_that_covariates_pull_apart_a_little(frame: pd.DataFrame) -> None:
    # Limits of the two differ between respondents: no case contradicts one in earnest.
    merged = frame.assign(b=np.where(frame["a"] > 2, 2, 1))
    with pytest.raises(SurveyError, match="'a' and 'b' set no bound"):
        moments_from_frame(merged, ["a", "b"], ordered=["a", "b"], conditional=["x"])


def test_an_item_cut_from_a_number(frame: pd.DataFrame) -> None:
    tau = np.quantile(frame["y"], [0.3, 0.7])
    standard = (frame["y"] - frame["y"].mean()) / frame["y"].std(ddof=0)
    cut = frame.assign(a=np.digitize(frame["y"], tau) + 1)
    block_of = moments_from_frame(cut, ["a", "b"], ordered=["a", "b"]).blocks[0]
    limits = block_of.thresholds[:2]
    # Make every number lie between the limits of its own category.
    near = np.select(
        [cut["a"] == 1, cut["a"] == 2], [limits[0] - 0.5, limits.mean()], limits[1] + 1
    )
    assert not (np.abs(standard) > 10).any()
    near = near + 0.01 * standard
    scaled = (near - near.mean()) / near.std()
    inside = np.digitize(scaled, limits) + 1 == cut["a"]
    assert inside.all()
    with pytest.raises(SurveyError, match="it goes to 1"):
        moments_from_frame(cut.assign(y=near), ["a", "y"], ordered=["a"])


def test_a_group_of_one_and_an_item_without_answers(frame: pd.DataFrame) -> None:
    lonely = frame.assign(team=["west"] + ["east"] * 199)
    with pytest.raises(SurveyError, match="1 respondent in group 'west'"):
        moments_from_frame(lonely, ITEMS, ordered=ITEMS, group="team")
    gaps = frame.astype({"a": float})
    gaps.loc[gaps["team"] == "north", "a"] = np.nan
    with pytest.raises(SurveyError, match="Nobody in group 'north' answered 'a'"):
        moments_from_frame(gaps, ITEMS, ordered=ITEMS, group="team", pairwise=True)
