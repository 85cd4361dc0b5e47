"""Descriptives against psych and semTools: skewness, kurtosis, Mardia, distances, runs."""

from __future__ import annotations

import numpy as np
import pytest

from sqvalid import screen
from sqvalid.screening import henze_zirkler, indices, kurtosis, mardia, skewness

from . import library

# Closed formulas on the same numbers: only rounding may differ.
TOLERANCE = 1e-8
FILES = [n for n in ("desc_hs", "desc_sq", "desc_mobi", "desc_poldem", "desc_sq_missing",
                     "desc_sq_careless") if library.has(n)]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", [1, 2, 3])
def test_shape_of_every_item(name, kind):
    document = library.document(name)
    values = library.frame(name)[document["variables"]]
    expected = document[f"describe_type{kind}"]
    for ours, theirs in ((skewness, "skew"), (kurtosis, "kurtosis")):
        found = ours(values.to_numpy(dtype=float), kind)
        if theirs == "kurtosis" and kind == 1:
            # psych multiplies by all rows here, those without an answer included.
            found = (found + 3.0) * len(values) / values.notna().sum().to_numpy() - 3.0
        assert found.tolist() == pytest.approx(expected[theirs], abs=TOLERANCE), theirs
    items = screen(values, moment_type=kind).items
    for column in ("n", "mean", "sd", "skew", *(["kurtosis"] if kind > 1 else [])):
        assert items[column].tolist() == pytest.approx(expected[column], abs=TOLERANCE), column
    for item, ends in document["floor_ceiling_percent"].items():
        assert 100 * items.loc[item, "floor_share"] == pytest.approx(ends["min"], abs=TOLERANCE)
        assert 100 * items.loc[item, "ceiling_share"] == pytest.approx(ends["max"], abs=TOLERANCE)


@pytest.mark.parametrize("name", FILES)
def test_mardia(name):
    document = library.document(name)
    found = mardia(library.frame(name)[document["variables"]].to_numpy(dtype=float))
    expected = document["mardia_psych"]
    pairs = {
        "n.obs": found.n_obs, "b1p": found.skewness, "b2p": found.kurtosis,
        "skew": found.skewness_chisq, "small.skew": found.skewness_chisq_small,
        "p.skew": found.skewness_p, "p.kurt": found.kurtosis_p,
    }  # fmt: skip
    for key, value in pairs.items():
        assert value == pytest.approx(expected[key], rel=1e-8, abs=1e-12), key
    other = document["mardia_semTools"]
    assert found.skewness_df == other["skew"]["df"]
    assert found.kurtosis_z == pytest.approx(other["kurtosis"]["z"], rel=1e-8)


@pytest.mark.skipif(not library.has("desc_hs"), reason="reference files are absent")
def test_henze_zirkler():
    # pingouin.multivariate_normality of x1 to x4.
    found = henze_zirkler(library.frame("desc_hs")[["x1", "x2", "x3", "x4"]].to_numpy(dtype=float))
    assert found.statistic == pytest.approx(1.583644217887617, rel=1e-10)
    assert found.p == pytest.approx(3.6396496966767546e-09, rel=1e-8)


@pytest.mark.parametrize("name", FILES)
def test_distances(name):
    document = library.document(name)
    values = library.frame(name)[document["variables"]].to_numpy(dtype=float)
    complete = values[~np.isnan(values).any(axis=1)]
    d2, p = indices.mahalanobis(complete)
    expected = document["mahalanobis"]
    assert d2[:20].tolist() == pytest.approx(expected["first20"], rel=1e-9)
    assert d2.max() == pytest.approx(expected["max"], rel=1e-9)
    assert d2.argmax() + 1 == expected["which_max_1based_among_complete"]
    assert d2.sum() == pytest.approx(expected["sum"], rel=1e-9)
    assert (p < 0.001).sum() == expected["n_p_lt_001"]
    whole = indices.mahalanobis(values)[0]
    assert whole[~np.isnan(values).any(axis=1)] == pytest.approx(d2)


@pytest.mark.parametrize("name", FILES)
def test_missing_answers(name):
    document = library.document(name)
    found = screen(library.frame(name)[document["variables"]])
    assert found.items["missing"].sum() == document["missing"]["n_missing_cells"]
    assert found.items["missing"].to_dict() == document["missing"]["per_variable"]
    assert len(found.patterns) == document["missing"]["n_patterns"]


@pytest.mark.skipif(not library.has("desc_sq_careless"), reason="reference files are absent")
def test_careless_indices():
    expected = library.document("desc_sq_careless")["careless_own_code"]
    names = [f"{b}{i}" for b in "PE" for i in range(1, 23)]
    names += [f"SAT{i}" for i in range(1, 5)] + [f"RPI{i}" for i in range(1, 4)]
    frame = library.frame("desc_sq_careless")
    values = frame[names].to_numpy(dtype=float)
    longest, average = indices.identical_runs(values)
    assert longest.tolist() == expected["longstring_max"]
    assert average[:50].tolist() == pytest.approx(expected["longstring_avg_first50"])
    assert indices.individual_variability(values).tolist() == pytest.approx(
        expected["irv_n_minus_1"]
    )
    found = screen(frame, dimensions={"ALL": names})
    assert found.respondents["longstring"].tolist() == expected["longstring_max"]


def test_reference_files_are_there():
    assert FILES or library.shared_reference() is None
