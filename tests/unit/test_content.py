"""Content validity against the tables of its sources, and at its edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import sqvalid as sq
from sqvalid.content import (
    aiken_p,
    aiken_v,
    content_validity_ratio,
    critical_ratio,
    modified_kappa,
    score_interval,
)
from sqvalid.errors import InputError, OptionError

# Polit, Beck & Owen (2007), table 2: experts, agreeing, I-CVI, chance, kappa.
POLIT = [
    (3, 3, 1.00, 0.125, 1.00),
    (3, 2, 0.67, 0.375, 0.47),
    (4, 4, 1.00, 0.063, 1.00),
    (4, 3, 0.75, 0.25, 0.67),
    (5, 5, 1.00, 0.031, 1.00),
    (5, 4, 0.80, 0.156, 0.76),
    (6, 6, 1.00, 0.016, 1.00),
    (6, 5, 0.83, 0.094, 0.81),
    (6, 4, 0.67, 0.234, 0.57),
    (7, 7, 1.00, 0.008, 1.00),
    (7, 6, 0.86, 0.055, 0.85),
    (7, 5, 0.71, 0.164, 0.65),
    (8, 8, 1.00, 0.004, 1.00),
    (8, 7, 0.88, 0.031, 0.88),
    (8, 6, 0.75, 0.109, 0.72),
    (9, 9, 1.00, 0.002, 1.00),
    (9, 8, 0.89, 0.018, 0.89),
    (9, 7, 0.78, 0.070, 0.76),
]


@pytest.mark.parametrize(("n", "agree", "index", "chance", "kappa"), POLIT)
def test_kappa_as_published(n, agree, index, chance, kappa):
    ratings = pd.DataFrame({"a": [4] * agree + [2] * (n - agree)})
    row = sq.assess_content(ratings).items.iloc[0]
    # The source prints two and three decimals and rounds along the way.
    assert row["i_cvi"] == pytest.approx(index, abs=0.0051)
    assert row["p_chance"] == pytest.approx(chance, abs=0.00051)
    assert row["kappa"] == pytest.approx(kappa, abs=0.0101)


# Ayre & Scally (2014), table 2: exact critical values at one-sided .05.
AYRE = {5: 1.0, 6: 1.0, 7: 1.0, 8: 0.75, 9: 0.778, 10: 0.80, 11: 0.636, 12: 0.667, 13: 0.538,
        14: 0.571, 15: 0.60, 20: 0.50, 40: 0.30}  # fmt: skip


@pytest.mark.parametrize(("n", "critical"), AYRE.items())
def test_critical_ratios_as_published(n, critical):
    assert round(critical_ratio(n), 3) == critical


def test_four_experts_cannot_beat_chance():
    assert np.isnan(critical_ratio(4))
    ratings = pd.DataFrame({"a": [3, 3, 3, 3]})
    row = sq.assess_content(ratings, scale=(1, 3), essential=3).items.iloc[0]
    assert row["cvr"] == 1.0
    assert row["cvr_outcome"] == "not_judged"


def test_lawshe_by_hand():
    assert [content_validity_ratio(k, 10) for k in (0, 5, 9, 10)] == [-1.0, 0.0, 0.8, 1.0]
    ratings = pd.DataFrame({"a": [3] * 9 + [1], "b": [3] * 8 + [2, 2]})
    items = sq.assess_content(ratings, scale=(1, 3), essential=3).items
    assert items["cvr"].tolist() == pytest.approx([0.8, 0.6])
    assert items["cvr_outcome"].tolist() == ["met", "not_met"]
    assert items["cvr_critical"].tolist() == pytest.approx([0.8, 0.8])


def test_aiken_as_in_his_table():
    # Aiken (1985): five raters, five categories, V = .80 has p = .040; ways by counting.
    assert aiken_v(np.array([4, 4, 4, 4, 5.0]), 1, 5) == pytest.approx(0.80)
    assert aiken_p(16, 5, 4) == pytest.approx(126 / 3125)
    assert round(aiken_p(16, 5, 4), 3) == 0.040
    assert aiken_p(0, 5, 4) == pytest.approx(1.0)
    assert aiken_p(20, 5, 4) == pytest.approx(1 / 3125)
    # Two raters and two categories are two coins.
    assert [aiken_p(s, 2, 1) for s in range(3)] == pytest.approx([1.0, 0.75, 0.25])


@pytest.mark.parametrize(("n", "k", "total"), [(10, 4, 36), (6, 3, 9), (5, 4, 20), (7, 3, 0)])
@pytest.mark.parametrize("level", [0.90, 0.95])
def test_score_interval_is_wilsons(n, k, total, level):
    # With n * k trials; scipy computes Wilson's interval of a proportion.
    wanted = binomtest(total, n * k).proportion_ci(level, method="wilson")
    found = score_interval(total / (n * k), n, k, level=level)
    assert found == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_scale_indices_by_hand():
    ratings = pd.DataFrame(
        {"a": [4, 4, 3, 4, 3, 4], "b": [4, 2, 3, 4, 3, 4], "c": [1, 2, 3, 4, 3, 4]}
    )
    found = sq.assess_content(ratings, {"X": ["a", "b"], "Y": ["c"]})
    assert found.items["i_cvi"].tolist() == pytest.approx([1, 5 / 6, 4 / 6])
    scales = found.scales.set_index("dimension")
    assert scales.loc["all", "s_cvi_average"] == pytest.approx(2.5 / 3)
    assert scales["s_cvi_universal"].tolist() == pytest.approx([0.5, 0.0, 1 / 3])
    assert scales.loc["X", "s_cvi_average"] == pytest.approx(11 / 12)
    assert scales.loc["X", "s_cvi_average_outcome"] == "met"
    assert found.items["i_cvi_outcome"].tolist() == ["met", "met", "not_met"]
    assert "6 experts, 3 items" in repr(found)
    assert found.to_dict()["relevant"] == 3.0
    assert "kappa" in found._repr_html_()


def test_the_rule_depends_on_the_number_of_experts():
    four_of_five = pd.DataFrame({"a": [4, 4, 4, 4, 1]})
    assert sq.assess_content(four_of_five).items["i_cvi_outcome"].item() == "not_met"
    # 7 of 9 is .78 as printed in the source, and excellent there.
    seven_of_nine = pd.DataFrame({"a": [4] * 7 + [1] * 2})
    row = sq.assess_content(seven_of_nine).items.iloc[0]
    assert row["i_cvi_outcome"] == "met"
    assert row["kappa_band"] == "excellent"
    two = sq.assess_content(pd.DataFrame({"a": [4, 4]}))
    assert two.items["i_cvi_outcome"].item() == "not_judged"
    assert two.diagnostics[0].code == "content_few_experts"


def test_missing_ratings_leave_the_expert_out_of_the_item():
    ratings = pd.DataFrame({"a": [4, 4, np.nan, 2], "b": [4, 4, 4, 4]})
    found = sq.assess_content(ratings)
    assert found.items["n_experts"].tolist() == [3, 4]
    assert found.items["i_cvi"].tolist() == pytest.approx([2 / 3, 1])
    assert found.diagnostics[0].where == ("a",)


def test_default_cut_is_the_upper_half():
    for scale, cut in (((1, 4), 3.0), ((1, 5), 4.0), ((0, 3), 2.0), ((1, 7), 5.0)):
        ratings = pd.DataFrame({"a": [scale[0], scale[1], scale[1]]})
        assert sq.assess_content(ratings, scale=scale).relevant == cut


def test_order_of_experts_and_items_does_not_matter():
    rng = np.random.default_rng(3)
    ratings = pd.DataFrame(rng.integers(1, 5, size=(7, 5)), columns=list("abcde"))
    one = sq.assess_content(ratings).items.set_index("item")
    two = sq.assess_content(ratings.sample(frac=1, random_state=1)[list("edcba")])
    pd.testing.assert_frame_equal(one, two.items.set_index("item").loc[list("abcde")])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": (4, 1)}, "lower one first"),
        ({"relevant": 1}, "relevant=1 leaves"),
        ({"essential": 5}, "essential=5 leaves"),
        ({"level": 95}, "level=95"),
    ],
)
def test_options_that_cannot_be(options, says):
    with pytest.raises(OptionError, match=says):
        sq.assess_content(pd.DataFrame({"a": [1, 2, 3]}), **options)


def test_ratings_that_cannot_be():
    with pytest.raises(InputError, match="rates 'a' with 5"):
        sq.assess_content(pd.DataFrame({"a": [1, 5]}))
    with pytest.raises(InputError, match=r"rates 'a' with 2\.5"):
        sq.assess_content(pd.DataFrame({"a": [1, 2.5]}))
    with pytest.raises(InputError, match="'expert' holds text"):
        sq.assess_content(pd.DataFrame({"expert": ["x"], "a": [1]}))
    with pytest.raises(InputError, match="no columns 'b'"):
        sq.assess_content(pd.DataFrame({"a": [1]}), {"X": ["b"]})
    assert np.isnan(modified_kappa(0, 0)).all()
