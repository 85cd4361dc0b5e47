"""Item analysis by hand, against psych, and on data where the answer is known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

import sqvalid as sq
from sqvalid.errors import InputError, OptionError
from sqvalid.reliability.item_analysis import discrimination_index

SHARED = Path(os.environ.get("SQVALID_SHARED", Path(__file__).parents[3] / "shared"))
DIMENSIONS = {"A": ["a1", "a2", "a3", "a4"], "B": ["b1", "b2", "b3"]}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    factors = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=500)
    loadings = {"a1": 0.8, "a2": 0.7, "a3": 0.6, "a4": 0.3, "b1": 0.7, "b2": 0.8, "b3": 0.6}
    columns = {}
    for name, loading in loadings.items():
        noise = rng.normal(size=500) * np.sqrt(1 - loading**2)
        response = loading * factors[:, 0 if name[0] == "a" else 1] + noise
        columns[name] = 1.0 + (response[:, None] > np.array([-1.5, -0.5, 0.4, 1.2])).sum(axis=1)
    out = pd.DataFrame(columns)
    out.loc[3, "a1"] = np.nan
    return out


@pytest.fixture(scope="module")
def found(frame: pd.DataFrame) -> sq.reliability.item_analysis.ItemAnalysis:
    return sq.analyse_items(frame, DIMENSIONS, scale=(1, 5))


def test_the_numbers_of_one_item_by_hand(frame, found):
    row = found.items.set_index("item").loc["a2"]
    complete = frame[DIMENSIONS["A"]].dropna()
    rest = complete[["a1", "a3", "a4"]].sum(axis=1)
    assert row["item_rest_r"] == pytest.approx(pearsonr(complete["a2"], rest)[0])
    assert row["n"] == 500
    assert row["mean"] == pytest.approx(frame["a2"].mean())
    assert row["difficulty"] == pytest.approx((frame["a2"].mean() - 1) / 4)
    assert row["floor_share"] == pytest.approx((frame["a2"] == 1).mean())
    r = complete.corr().to_numpy()
    assert row["max_inter_item_r"] == pytest.approx(r[1, [0, 2, 3]].max())
    without = sq.assess_reliability(complete, {"A": ["a1", "a3", "a4"]})
    assert row["alpha_if_deleted"] == pytest.approx(without.scales["alpha_raw"].item())
    three = sq.assess_reliability(complete, {"A": ["a1", "a3", "a4"]}).coefficients
    omega = three.set_index("coefficient").loc["omega_one_factor", "estimate"]
    assert row["omega_if_deleted"] == pytest.approx(omega)


def test_the_weak_item_is_seen(found):
    items = found.items.set_index("item")
    a = items.loc[DIMENSIONS["A"]]
    assert a["item_rest_r"].idxmin() == a["loading"].idxmin() == a["slope"].idxmin() == "a4"
    assert a["discrimination"].idxmin() == "a4"
    dimension = found.dimensions.set_index("dimension").loc["A"]
    assert a.loc["a4", "alpha_if_deleted"] > dimension["alpha"]
    assert a.loc["a4", "omega_if_deleted"] > dimension["omega"]


def test_frequencies_count_every_answer(frame, found):
    counts = found.frequencies
    assert counts.groupby("item")["n"].sum().to_dict() == frame.notna().sum().to_dict()
    assert counts.groupby("item")["share"].sum().to_numpy() == pytest.approx(np.ones(7))


def test_items_against_other_dimensions(frame, found):
    own = frame[["b1", "b2", "b3"]].mean(axis=1)
    assert found.cross.loc["a2", "B"] == pytest.approx(pearsonr(frame["a2"], own)[0])
    items = found.items.set_index("item")
    assert (items["highest_other"] == ["B"] * 4 + ["A"] * 3).all()
    assert items.loc["a1", "own_r"] > abs(items.loc["a1", "highest_other_r"])
    between = found.dimension_correlations.iloc[0]
    alphas = found.dimensions.set_index("dimension")["alpha"]
    assert between["r_corrected"] == pytest.approx(
        between["r"] / np.sqrt(alphas["A"] * alphas["B"])
    )


def test_information_adds_up_and_gives_the_error(found):
    curves = found.information
    a = curves[curves["dimension"] == "A"]
    items, total = a[a["item"] != ""], a[a["item"] == ""].set_index("theta")
    summed = items.groupby("theta")["information"].sum()
    assert summed.to_numpy() == pytest.approx(total["information"].to_numpy())
    assert total["se"].to_numpy() == pytest.approx(1 / np.sqrt(total["information"].to_numpy()))
    assert (curves["information"] >= 0).all()
    cuts = found.thresholds.groupby("item")["location"].mean()
    assert cuts.to_dict() == pytest.approx(found.items.set_index("item")["location"].to_dict())


@pytest.mark.skipif(not (SHARED / "reference").is_dir(), reason="reference files are absent")
def test_graded_parameters_agree_with_psych():
    data = pd.read_csv(SHARED / "reference" / "data" / "servqual_sim_5pt.csv")
    found = sq.analyse_items(data, {"TAN": ["P1", "P2", "P3", "P4"]}, scale=(1, 5))
    # psych 2.2.9, irt.fa(correct = 0): slopes of the normal ogive, thresholds times the slope
    # over the loading.
    slopes = found.items["slope"].to_numpy() / 1.702
    assert slopes == pytest.approx([0.7530004769, 0.7646238188, 1.0243399805, 0.9122248283],
                                   abs=2e-4)  # fmt: skip
    intercepts = found.thresholds["location"].to_numpy().reshape(4, 4) * slopes[:, None]
    assert intercepts == pytest.approx(np.array([
        [-2.385776928, -1.288494766, -0.125723191217, 0.9950686523],
        [-2.585317980, -1.398271141, -0.281045800314, 0.8556810347],
        [-2.452564478, -1.274413340, 0.005980531637, 1.3013044872],
        [-2.545787466, -1.648259871, -0.383961484161, 1.0452182514]]), abs=2e-4)  # fmt: skip


def test_discrimination_by_hand():
    rest = np.arange(20.0)
    item = np.where(rest >= 15, 5.0, np.where(rest < 5, 1.0, 3.0))
    assert discrimination_index(item, rest, 1, 5) == 1.0
    assert discrimination_index(6 - item, rest, 1, 5) == -1.0
    # 27% of 20 are 5; who ties with the boundary is in.
    tied = np.where(rest < 8, 0.0, rest)
    assert discrimination_index(item, tied, 1, 5) == pytest.approx((5 - (5 + 9) / 8) / 4)
    assert np.isnan(discrimination_index(item, np.ones(20), 1, 5))


def test_reversing_an_item_and_its_key_changes_nothing(frame, found):
    turned = frame.assign(a3=6 - frame["a3"], b1=6 - frame["b1"])
    again = sq.analyse_items(turned, DIMENSIONS, scale=(1, 5), reverse=["a3", "b1"])
    pd.testing.assert_frame_equal(found.items, again.items)
    pd.testing.assert_frame_equal(found.cross, again.cross)
    pd.testing.assert_frame_equal(found.information, again.information)


def test_surveys_are_turned_here(frame):
    survey = sq.load_dataset("servqual_demo")
    one = sq.analyse_items(survey, information=False)
    two = sq.analyse_items(survey.reverse_keyed(), information=False)
    pd.testing.assert_frame_equal(one.items, two.items)
    assert (one.items["item_rest_r"].dropna() > 0.2).all()
    assert one.items["slope"].isna().all()
    assert not len(one.information)


def test_short_and_fine_scales_have_no_curves(frame):
    fine = frame.assign(c1=np.arange(500.0), c2=np.arange(500.0) ** 0.5, c3=np.sin(np.arange(500)))
    found = sq.analyse_items(fine, {"two": ["a1", "a2"], "fine": ["c1", "c2", "c3"]})
    told = [d for d in found.diagnostics if d.code == "information_not_given"]
    assert [d.where for d in told] == [("two",), ("fine",)]
    assert found.items["slope"].isna().all()
    assert np.isnan(found.items["omega_if_deleted"].iloc[0])
    one = sq.analyse_items(frame, {"one": ["a1"], "B": DIMENSIONS["B"]})
    assert np.isnan(one.items.loc[0, "item_rest_r"])
    with pytest.raises(OptionError, match="belong together"):
        sq.analyse_items(frame)
    with pytest.raises(OptionError, match="scale is not known"):
        sq.analyse_items(frame, DIMENSIONS, reverse=["a1"])


def test_it_prints_and_serialises(found):
    assert "7 items in 2 dimensions" in repr(found)
    assert "a4" in found._repr_html_()
    assert len(found.to_dict()["frequencies"]) > 0
    assert len(found.to_frame()) == 7


def test_curves_are_drawn(found, frame):
    from sqvalid.plots import figure_svg

    svg = figure_svg(found.plot("B"))
    assert all(f">{name}<" in svg for name in ("b1", "b2", "b3"))
    assert ">a1<" not in svg
    assert figure_svg(found.plot()) == figure_svg(found.plot("A"))
    with pytest.raises(OptionError, match="dimension='C'"):
        found.plot("C")
    bare = sq.analyse_items(frame, DIMENSIONS, information=False)
    with pytest.raises(InputError, match="no information curves"):
        bare.plot()


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="shared data are absent")
def test_bfi_alphas_with_the_right_key():
    folder = SHARED / "data" / "bfi_bigfive"
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    data = pd.read_csv(folder / "data.csv")
    key = ["A1", "C4", "C5", "E1", "E2", "O2", "O5"]
    found = sq.analyse_items(data, meta["constructs"], scale=(1, 6), reverse=key, information=False)
    # psych's own example with this key.
    alphas = found.dimensions.set_index("dimension")["alpha"].round(2).to_dict()
    assert alphas == {"A": 0.70, "C": 0.73, "E": 0.76, "N": 0.81, "O": 0.60}
    assert (found.items["item_rest_r"] > 0).all()
