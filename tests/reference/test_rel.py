"""Item analysis and alpha against psych's numbers."""

from __future__ import annotations

import pytest

from sqvalid import assess_reliability

from . import library

# Closed formulas on the same numbers: only rounding may differ.
TOLERANCE = 1e-9

FILES = [name for name in ("rel_hs", "rel_sq", "rel_mobi") if library.has(name)]
SCALES = [(name, scale) for name in FILES for scale in library.document(name)["scales"]]

TOTAL = {
    "raw_alpha": "alpha_raw",
    "std.alpha": "alpha_std",
    "G6(smc)": "lambda6",
    "average_r": "mean_inter_item_r",
    "median_r": "median_inter_item_r",
    "S/N": "signal_to_noise",
    "ase": "alpha_se",
}
ITEM = {
    "mean": "mean",
    "sd": "sd",
    "raw.r": "item_total_r",
    "std.r": "item_total_r_std",
    "r.cor": "item_total_r_corrected",
    "r.drop": "item_rest_r",
}
DROPPED = {
    "raw_alpha": "alpha_if_deleted",
    "std.alpha": "alpha_std_if_deleted",
    "G6(smc)": "lambda6_if_deleted",
}


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_scale_agrees_with_psych(name, scale):
    expected = library.document(name)["scales"][scale]
    found = assess_reliability(library.frame(name), {scale: expected["items"]})
    row, alpha = found.scales.iloc[0], expected["alpha"]
    assert row["n_items"] == alpha["nvar"]
    assert row["n_obs"] == expected["n_complete"]
    for theirs, ours in TOTAL.items():
        assert row[ours] == pytest.approx(alpha["total"][theirs][0], abs=TOLERANCE), ours
    for end in ("lower", "upper"):
        interval = alpha["feldt"][f"{end}.ci"]["raw_alpha"][0]
        assert row[f"alpha_ci_{end}"] == pytest.approx(interval, abs=TOLERANCE)
    for theirs, ours in ITEM.items():
        wanted = alpha["item_stats"][theirs]
        assert found.items[ours].tolist() == pytest.approx(wanted, abs=TOLERANCE), ours
    # psych gives two-item scales an "alpha" of the item that is left; one item has none.
    if len(expected["items"]) > 2:
        for theirs, ours in DROPPED.items():
            wanted = alpha["alpha_drop"][theirs]
            assert found.items[ours].tolist() == pytest.approx(wanted, abs=TOLERANCE), ours


@pytest.mark.skipif(not library.has("rel_sq_missing"), reason="reference files are absent")
def test_missing_answers_leave_complete_cases():
    document = library.document("rel_sq_missing")
    frame = library.frame("rel_sq_missing")
    for scale, expected in document["scales"].items():
        found = assess_reliability(frame, {scale: expected["items"]})
        assert found.scales["n_obs"].item() == expected["n_complete"]
        assert found.scales["alpha_raw"].item() == pytest.approx(
            expected["hand"]["alpha_raw_complete"], abs=TOLERANCE
        )
        told = [d for d in found.diagnostics if d.code == "rows_left_out"]
        assert told[0].values["n_used"] == expected["n_complete"]


def test_reference_files_are_there():
    assert SCALES or library.shared_reference() is None
