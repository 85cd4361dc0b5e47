"""AVE, composite reliability, HTMT and the test of r = 1 against semTools and lavaan."""

from __future__ import annotations

import numpy as np
import pytest

import sqvalid as sq
from sqvalid.reliability import correlation_from_covariance
from sqvalid.validity import htmt

from . import library

# From fits: the reference's optimiser stops at a gradient of 1e-6.
FITTED = 1e-4
# From the sample: only rounding.
SAMPLE = 1e-10

FILES = [name for name in ("val_hs", "val_mobi", "val_sq", "val_sq_outcomes") if library.has(name)]


@pytest.fixture(scope="module", params=FILES)
def case(request):
    document = library.document(request.param)
    with_pairs = "discriminant_chisq" in document
    # The population of mobi's model is on the border; its own files say so, too.
    warns = pytest.warns if request.param == "val_mobi" else None
    data = library.frame(request.param)
    if warns is None:
        fit = sq.cfa(document["model_syntax"], data, std_lv=True)
    else:
        with pytest.warns(sq.errors.InadmissibleSolutionWarning):
            fit = sq.cfa(document["model_syntax"], data, std_lv=True)
    return document, fit, sq.assess_validity(fit, unity_tests=with_pairs)


def test_loadings(case):
    document, fit, _ = case
    rows = fit.standardized("all")
    rows = rows[rows["op"] == "=~"].set_index(["lhs", "rhs"])
    for expected in document["std_loadings"]:
        found = rows.loc[(expected["lhs"], expected["rhs"])]
        assert found["est"] == pytest.approx(expected["est.std"], abs=FITTED)
        assert found["se"] == pytest.approx(expected["se"], abs=2 * FITTED)


@pytest.mark.parametrize(
    ("block", "column"),
    [
        ("cr_from_std_loadings", "composite_reliability"),
        ("ave_from_std_loadings", "ave"),
        ("semTools_compRelSEM_omega_obsvarT", "omega_total"),
        ("semTools_compRelSEM_omega_obsvarF", "omega_total_implied"),
        ("semTools_compRelSEM_alpha_obsvarT", "alpha_raw"),
        ("semTools_AVE_obsvarT", "ave_weighted"),
    ],
)
def test_scale_statistics(case, block, column):
    document, _, validity = case
    found = validity.reliability.scales.set_index("dimension")[column]
    expected = document[block]
    assert set(found.index) == set(expected)
    for factor, value in expected.items():
        assert found[factor] == pytest.approx(value, abs=FITTED), factor


@pytest.mark.parametrize(
    ("block", "column"),
    [
        ("htmt_absolute", "htmt"),
        ("htmt_signed", "htmt_signed"),
        ("htmt2_absolute", "htmt2"),
        ("cor_lv", "correlation"),
        ("cor_lv_squared", "shared_variance"),
    ],
)
def test_pair_statistics(case, block, column):
    document, _, validity = case
    expected = library.matrix(document[block])
    tolerance = SAMPLE if column.startswith("htmt") else FITTED
    assert len(validity.pairs) == len(expected) * (len(expected) - 1) // 2
    for row in validity.pairs.to_dict("records"):
        wanted = expected.loc[row["factor_a"], row["factor_b"]]
        assert row[column] == pytest.approx(wanted, abs=tolerance), (row["factor_a"], column)


def test_combined_table(case):
    document, _, validity = case
    matrix = validity.matrix[""]
    roots = [document["sqrt_ave"][factor] for factor in matrix.index]
    assert np.diag(matrix).tolist() == pytest.approx(roots, abs=FITTED)
    correlations = library.matrix(document["cor_lv"]).loc[matrix.index, matrix.index].to_numpy()
    ratios = library.matrix(document["htmt_absolute"]).loc[matrix.index, matrix.index].to_numpy()
    below, above = np.tril_indices(len(matrix), -1), np.triu_indices(len(matrix), 1)
    assert matrix.to_numpy()[below] == pytest.approx(correlations[below], abs=FITTED)
    assert matrix.to_numpy()[above] == pytest.approx(ratios[above], abs=SAMPLE)


def test_htmt_is_a_matter_of_the_sample_alone(case):
    document, fit, validity = case
    items = list(fit.observed)
    data = library.frame(document["id"])[items].dropna().to_numpy()
    correlation = correlation_from_covariance(np.cov(data.T))
    positions = [
        np.array([items.index(item) for item in group]) for group in fit.indicators.values()
    ]
    found = htmt(correlation, positions)[np.triu_indices(len(positions), 1)]
    assert validity.pairs["htmt"].to_numpy() == pytest.approx(found, abs=SAMPLE)


@pytest.mark.parametrize("name", [n for n in FILES if "discriminant_chisq" in library.document(n)])
def test_perfect_correlation_is_tested(name):
    document = library.document(name)
    data = library.frame(name)
    if name == "val_mobi":
        with pytest.warns(sq.errors.InadmissibleSolutionWarning):
            fit = sq.cfa(document["model_syntax"], data)
    else:
        fit = sq.cfa(document["model_syntax"], data)
    pairs = sq.assess_validity(fit).pairs.set_index(["factor_a", "factor_b"])
    for name_of_pair, expected in document["discriminant_chisq"].items():
        row = pairs.loc[tuple(name_of_pair.split("~~"))]
        assert row["unity_df"] == expected["df"]
        # Two chi-squares, each good to 1e-6 of itself in the reference.
        assert row["unity_chisq"] == pytest.approx(expected["chisq_diff"], rel=1e-4, abs=1e-3)
        assert row["unity_p"] == pytest.approx(expected["p"], rel=1e-3)


def test_reference_files_are_there():
    assert FILES or library.shared_reference() is None


@pytest.mark.skipif(not library.has("val_sq5_ordered_res_ass"), reason="the file is absent")
def test_ordered_items():
    """Omega of the answers and of the responses, AVE, HTMT of polychorics, the test of r = 1."""
    document = library.document("val_sq5_ordered_res_ass")
    ordered = document["arguments"]["ordered"]
    data = library.frame("val_sq5_ordered_res_ass")
    fit = sq.cfa(document["model_syntax"], data, ordered=ordered, std_lv=True)
    found = sq.assess_validity(fit)
    scales = found.reliability.scales.set_index("dimension")
    for block, column in (
        ("cr_from_std_loadings", "composite_reliability"),
        ("ave_from_std_loadings", "ave"),
        ("semTools_AVE_obsvarT", "ave_weighted"),
        ("semTools_compRelSEM_omega_obsvarT", "omega_total"),
        ("semTools_compRelSEM_omega_obsvarF", "omega_total_implied"),
        ("semTools_compRelSEM_omega_ordscaleF_obsvarT", "omega_latent"),
        ("semTools_compRelSEM_alpha_ordscaleF_obsvarT", "alpha_latent"),
    ):
        for factor, value in document[block].items():
            assert scales.loc[factor, column] == pytest.approx(value, abs=FITTED), (column, factor)
    deprecated = library.matrix(document["semTools_reliability_deprecated"])
    for factor in ("RES", "ASS"):
        alpha = deprecated.loc["alpha", factor]
        assert scales.loc[factor, "alpha_raw"] == pytest.approx(alpha, abs=1e-9)
    pair = found.pairs.iloc[0]
    assert pair["htmt"] == pytest.approx(document["htmt_ordered"]["values"][0][1], abs=2e-6)
    assert pair["correlation"] == pytest.approx(document["cor_lv"]["values"][0][1], abs=FITTED)
    expected = document["discriminant_chisq"]["RES~~ASS"]
    assert pair["unity_chisq"] == pytest.approx(expected["chisq_diff"], rel=1e-4)
    assert pair["unity_df"] == expected["df"]
