"""Item analysis, alpha, omega and their kin against the numbers of psych, semTools and lavaan."""

from __future__ import annotations

import numpy as np
import pytest

from sqvalid import assess_reliability
from sqvalid.exploratory import efa
from sqvalid.exploratory.extraction import extract
from sqvalid.reliability import bounds, catalogue, categorical, hierarchy
from sqvalid.reliability.coefficients import (
    alpha_standard_error,
    correlation_from_covariance,
    feldt_interval,
)
from sqvalid.reliability.intervals import distribution_free_error

from . import library

# Closed formulas on the same numbers: only rounding may differ.
TOLERANCE = 1e-9
# Factors are extracted by iteration; psych stops at a gradient, R's oblimin at 1e-5.
MINRES = 2e-4
SCHMID_LEIMAN = 5e-5
# The README's tolerance for polychoric correlations is 1e-4; alpha averages them.
POLYCHORIC = 1e-4

FILES = [name for name in ("rel_hs", "rel_sq", "rel_mobi", "rel_sq5_ordinal") if library.has(name)]
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


@pytest.mark.skipif(not library.has("rel_sq_missing"), reason="reference files are absent")
def test_pairwise_covariances_agree_with_psych():
    document = library.document("rel_sq_missing")
    frame = library.frame("rel_sq_missing")
    for scale, expected in document["scales"].items():
        found = assess_reliability(frame, {scale: expected["items"]}, missing="pairwise")
        row, alpha = found.scales.iloc[0], expected["alpha"]
        for theirs, ours in TOTAL.items():
            if theirs != "ase":
                assert row[ours] == pytest.approx(alpha["total"][theirs][0], abs=TOLERANCE), ours
        for theirs, ours in DROPPED.items():
            wanted = alpha["alpha_drop"][theirs]
            assert found.items[ours].tolist() == pytest.approx(wanted, abs=TOLERANCE), ours
        assert found.items["mean"].tolist() == pytest.approx(
            alpha["item_stats"]["mean"], abs=TOLERANCE
        )
        assert found.items["sd"].tolist() == pytest.approx(alpha["item_stats"]["sd"], abs=TOLERANCE)
        # psych takes all rows as the sample size; with that its numbers follow.
        n = expected["n"]
        covariance = frame[expected["items"]].cov().to_numpy()
        assert alpha_standard_error(covariance, n) == pytest.approx(
            alpha["total"]["ase"][0], abs=TOLERANCE
        )
        ends = feldt_interval(row["alpha_raw"], n, len(expected["items"]))
        assert ends == pytest.approx(
            [alpha["feldt"][f"{end}.ci"]["raw_alpha"][0] for end in ("lower", "upper")],
            abs=TOLERANCE,
        )
        assert row["n_obs"] < n


@pytest.mark.skipif(not library.has("rel_sq_missing"), reason="reference files are absent")
def test_alpha_of_em_covariances_is_lavaans():
    frame = library.frame("rel_sq_missing")
    items = library.document("rel_sq_missing")["scales"]["TAN"]["items"]
    found = assess_reliability(frame, {"TAN": items}, missing="em")
    # lavaan 0.6-14: alpha as a defined parameter of the saturated model, missing = "fiml".
    assert found.scales["alpha_raw"].item() == pytest.approx(0.733632951451, abs=1e-6)
    assert "reliability_incomplete" in {d.code for d in found.diagnostics}


def test_reference_files_are_there():
    assert SCALES or library.shared_reference() is None


ALL_FILES = (*FILES, *(["rel_sq_missing"] if library.has("rel_sq_missing") else []))
GUTTMAN = [
    (name, scale)
    for name in ALL_FILES
    for scale, node in library.document(name)["scales"].items()
    if "guttman" in node
]
HIERARCHIES = [
    (name, scale, block)
    for name in FILES
    for scale, node in library.document(name)["scales"].items()
    for block in node
    if block.startswith("omega_nf") and "error" not in node[block]
]


def _complete(name, items):
    return library.frame(name)[items].dropna().to_numpy(dtype=float)


@pytest.mark.parametrize(("name", "scale"), GUTTMAN)
def test_bounds_agree_with_psych(name, scale):
    node = library.document(name)["scales"][scale]
    values = _complete(name, node["items"])
    covariance = np.cov(values, rowvar=False)
    correlation = correlation_from_covariance(covariance)
    k, expected = len(correlation), node["guttman"]
    found = bounds.guttman_bounds(correlation)
    for i in (1, 2, 3, 5, 6):
        assert found[f"lambda{i}"] == pytest.approx(expected[f"lambda.{i}"], abs=TOLERANCE), i
    for i, value in enumerate(bounds.ten_berge_bounds(correlation)):
        assert value == pytest.approx(expected["tenberge"][f"mu{i}"], abs=TOLERANCE)
    assert bounds.armor_theta(correlation) == pytest.approx(expected["alpha.pc"], abs=TOLERANCE)
    odd_even = dict(
        zip(
            ("r", "spearman_brown", "guttman_rulon_lambda4"),
            bounds.odd_even_reliability(covariance),
            strict=True,
        )
    )
    for key, value in odd_even.items():
        assert value == pytest.approx(node["oddeven"][key], abs=TOLERANCE), key
    # psych goes through half of the splits of an odd number of items only.
    if k % 2 == 0 and k <= 16:
        assert found["lambda4"] == pytest.approx(expected["lambda.4"], abs=TOLERANCE)
    elif k <= 16:
        assert found["lambda4"] >= expected["lambda.4"] - TOLERANCE


@pytest.mark.parametrize(
    ("name", "scale"),
    [(n, s) for n, s in GUTTMAN if "splithalf" in library.document(n)["scales"][s]],
)
def test_split_halves_agree_with_psych(name, scale):
    node = library.document(name)["scales"][scale]
    correlation = np.corrcoef(_complete(name, node["items"]), rowvar=False)
    expected, found = node["splithalf"], bounds.split_halves(correlation)
    if len(correlation) > 16:
        # Both sides draw splits at random.
        assert not found.exhaustive
        assert found.mean == pytest.approx(expected["meanr"], abs=2e-3)
    elif len(correlation) % 2 == 0:
        assert found.largest == pytest.approx(expected["maxrb"], abs=TOLERANCE)
        assert found.smallest == pytest.approx(expected["minrb"], abs=TOLERANCE)
        assert found.mean == pytest.approx(expected["meanr"], abs=TOLERANCE)
    else:
        assert found.largest >= expected["maxrb"] - TOLERANCE
        assert found.smallest <= expected["minrb"] + TOLERANCE


@pytest.mark.skipif(not library.has("rel_hs"), reason="reference files are absent")
def test_all_splits_of_an_odd_number_of_items():
    # R: v <- apply(combn(9, 4), 2, function(i) 4 * sum(r[i, -i]) / sum(r))
    items = library.document("rel_hs")["scales"]["all9"]["items"]
    found = bounds.split_halves(np.corrcoef(_complete("rel_hs", items), rowvar=False))
    assert (found.largest, found.smallest, found.mean) == pytest.approx(
        (0.8489567, 0.5126953, 0.7510145), abs=5e-8
    )
    assert found.n_splits == 126
    assert found.exhaustive


@pytest.mark.parametrize(("name", "scale"), GUTTMAN)
def test_omega_of_one_factor_agrees_with_psych(name, scale):
    node = library.document(name)["scales"][scale]
    correlation = np.corrcoef(_complete(name, node["items"]), rowvar=False)
    factor = extract(correlation, 1, "minres")
    omega = 1.0 - factor.uniquenesses.sum() / correlation.sum()
    assert omega == pytest.approx(node["omega_unidim"]["omega_tot"], abs=MINRES)


@pytest.mark.parametrize(("name", "scale", "block"), HIERARCHIES)
def test_omega_hierarchical_agrees_with_psych(name, scale, block):
    node = library.document(name)["scales"][scale]
    expected, method = node[block], block.split("_")[-1]
    frame = library.frame(name)[node["items"]]
    solution = efa(frame, int(block.split("_")[1][2:]), extraction=method, rotation="oblimin")
    general, group, _ = hierarchy.schmid_leiman(
        solution.loadings.to_numpy(), solution.factor_correlations.to_numpy(), method=method
    )
    own = np.abs(group) == np.abs(group).max(axis=1, keepdims=True)
    parts = hierarchy.Decomposition(
        general,
        group,
        frame.corr().to_numpy(),
        np.diag(solution.uniquenesses.to_numpy()),
        own,
    )
    found = hierarchy.composite_shares(parts)
    near = {"abs": SCHMID_LEIMAN}
    assert found["omega_general"][0] == pytest.approx(expected["omega_h"], **near)
    assert found["omega_residual"][0] == pytest.approx(expected["omega_tot"], **near)
    ecv, by_group, _ = hierarchy.common_variance_shares(general, group)
    assert ecv == pytest.approx(expected["ECV"]["g"], **near)
    assert ecv + by_group.sum() == pytest.approx(1.0)
    # Factors stand in another order; all three columns must agree factor by factor.
    ours = np.column_stack([found[f"omega_{part}"][1:] for part in ("total", "general", "group")])
    groups = expected["omega_group"]
    theirs = np.column_stack([groups[part][1:] for part in ("total", "general", "group")])
    assert ours[ours[:, 0].argsort()] == pytest.approx(theirs[theirs[:, 0].argsort()], **near)


@pytest.mark.skipif(not library.has("rel_sq_higherorder"), reason="reference files are absent")
def test_bifactor_omegas_of_a_confirmatory_model():
    expected = library.document("rel_sq_higherorder")["bifactor"]
    table = library.table(expected["std_all"])
    loadings = table[table["op"] == "=~"].pivot(index="rhs", columns="lhs", values="est_std")
    loadings = loadings.fillna(0.0)
    general, group = loadings["G"].to_numpy(), loadings.drop(columns="G").to_numpy()
    residual = np.diag(1.0 - general**2 - (group**2).sum(axis=1))
    implied = np.outer(general, general) + group @ group.T + residual
    parts = hierarchy.Decomposition(general, group, implied, residual, group != 0.0)
    found = hierarchy.composite_shares(parts)
    assert found["omega_total"][0] == pytest.approx(expected["omega_t"], abs=1e-9)
    assert found["omega_residual"][0] == pytest.approx(expected["omega_t"], abs=1e-9)
    assert found["omega_general"][0] == pytest.approx(expected["omega_h"], abs=1e-9)
    ecv, _, _ = hierarchy.common_variance_shares(general, group)
    assert ecv == pytest.approx(expected["ECV"], abs=1e-9)


@pytest.mark.skipif(not library.has("rel_sq5_ordinal"), reason="reference files are absent")
def test_ordinal_alpha_agrees_with_psych():
    for scale, node in library.document("rel_sq5_ordinal")["scales"].items():
        found = assess_reliability(
            library.frame("rel_sq5_ordinal"), {scale: node["items"]}, ordinal=True
        ).coefficients.set_index("coefficient")
        expected = node["ordinal"]["alpha_ordinal_correct0"]
        assert found.loc["alpha_ordinal", "estimate"] == pytest.approx(expected, abs=POLYCHORIC)


@pytest.mark.skipif(
    not library.has("val_sq5_ordered_res_ass") or not library.has("ord_sq5_res_ass_wlsmv"),
    reason="reference files are absent",
)
def test_categorical_omega_agrees_with_semtools():
    document = library.document("val_sq5_ordered_res_ass")
    table = library.table(library.document("ord_sq5_res_ass_wlsmv")["parameters"])
    table = table[table["op"] == "|"]
    for factor in ("RES", "ASS"):
        rows = [row for row in document["std_loadings"] if row["lhs"] == factor]
        loadings = np.array([row["est.std"] for row in rows])
        items = [row["rhs"] for row in rows]
        thresholds = [table[table["lhs"] == item]["est"].to_numpy() for item in items]
        implied = categorical.omega_categorical(loadings, thresholds)
        wanted = document["semTools_compRelSEM_omega_obsvarF"][factor]
        assert implied == pytest.approx(wanted, abs=1e-9)
        correlation, own, _, _ = catalogue.ordinal_structure(
            library.frame("val_sq5_ordered_res_ass")[items].to_numpy(dtype=float)
        )
        assert np.concatenate(own) == pytest.approx(np.concatenate(thresholds), abs=1e-6)
        observed = categorical.omega_categorical(loadings, thresholds, correlation)
        wanted = document["semTools_compRelSEM_omega_obsvarT"][factor]
        assert observed == pytest.approx(wanted, abs=1e-5)


@pytest.mark.skipif(not library.has("rel_hs"), reason="reference files are absent")
@pytest.mark.parametrize(
    ("name", "items", "wanted"),
    [
        ("rel_sq", ["P1", "P2", "P3", "P4"], 0.0185446448798),
        ("rel_hs", ["x1", "x2", "x3"], 0.0379600228162),
        ("rel_sq5_ordinal", ["P5", "P6", "P7", "P8", "P9"], 0.00949345154858),
    ],
)
def test_distribution_free_error_is_lavaans(name, items, wanted):
    # lavaan: alpha as a defined parameter of a saturated model, estimator MLR.
    assert distribution_free_error(_complete(name, items)) == pytest.approx(wanted, abs=2e-9)
