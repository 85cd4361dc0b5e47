"""Correlations and their standard errors against psych, polycor and lavaan."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq

from . import library

# lavaan and polycor search each correlation until it moves by less than about 1e-5; psych the same.
LAVAAN = 2e-5
PSYCH = 1e-4
POLYCOR = 3e-4

pytestmark = pytest.mark.skipif(
    not library.has("cor_sq5_p10_17"), reason="reference files not here"
)


def _values(matrix: dict) -> np.ndarray:
    return np.array(matrix["values"], dtype=float)


@pytest.mark.parametrize("name", ["cor_sq5_p10_17", "cor_sq7_p1_9"])
def test_polychoric_correlations_thresholds_and_errors(name: str) -> None:
    document, frame = library.document(name), library.frame(name)
    found = sq.correlate(frame, document["variables"], method="polychoric")
    theirs = document["lavCor_two_step"]
    np.testing.assert_allclose(found.matrix, _values(theirs["rho"]), atol=LAVAAN)
    np.testing.assert_allclose(
        found.matrix, _values(document["psych_polychoric_correct0"]["rho"]), atol=PSYCH
    )
    np.testing.assert_allclose(found.thresholds["est"], theirs["thresholds"]["est"], atol=1e-12)
    np.testing.assert_allclose(found.thresholds["se"], theirs["thresholds"]["se"], rtol=1e-6)
    pairs = found.to_frame()
    assert list(pairs["item_a"]) == theirs["correlations"]["lhs"]
    assert list(pairs["item_b"]) == theirs["correlations"]["rhs"]
    np.testing.assert_allclose(pairs["se"], theirs["correlations"]["se"], rtol=2e-5)
    for pair in document["polycor_polychor"]:
        a, b = pair["pair"]
        assert found.matrix.loc[a, b] == pytest.approx(pair["two_step"]["rho"], abs=POLYCOR)


@pytest.mark.parametrize("name", ["cor_sq5_p10_17", "cor_sq7_p1_9", "cor_hs"])
def test_pearson_and_spearman(name: str) -> None:
    document, frame = library.document(name), library.frame(name)
    found = sq.correlate(frame, document["variables"])
    np.testing.assert_allclose(found.matrix, _values(document["pearson_complete"]), atol=1e-13)
    ranks = sq.correlate(frame, document["variables"], method="spearman")
    np.testing.assert_allclose(ranks.matrix, _values(document["spearman_complete"]), atol=1e-13)
    pairs, theirs = found.to_frame(), document["corr_test"]
    np.testing.assert_allclose(pairs["ci_lower"], theirs["ci"]["lower"], atol=1e-12)
    np.testing.assert_allclose(pairs["ci_upper"], theirs["ci"]["upper"], atol=1e-12)
    np.testing.assert_allclose(pairs["p"], theirs["ci"]["p"], rtol=1e-8)
    t = found.matrix / found.standard_errors
    upper = np.triu_indices(len(t), 1)
    np.testing.assert_allclose(t.to_numpy()[upper], _values(theirs["t"])[upper], rtol=1e-10)


def test_tetrachoric_correlations() -> None:
    document = library.document("cor_tetrachoric_sq")
    frame = (library.frame("cor_sq5_p10_17")[document["variables"]] >= 4).astype(int)
    found = sq.correlate(frame, method="polychoric")
    np.testing.assert_allclose(found.matrix, _values(document["lavCor"]), atol=LAVAAN)
    np.testing.assert_allclose(
        found.matrix, _values(document["psych_tetrachoric_correct0"]["rho"]), atol=PSYCH
    )
    tau = document["psych_tetrachoric_correct0"]["tau"]
    np.testing.assert_allclose(found.thresholds["est"], list(tau.values()), atol=1e-12)


def test_ordered_and_numeric_items_together() -> None:
    document, frame = library.document("cor_polyserial_sq"), library.frame("cor_sq5_p10_17")
    frame = frame.assign(SATm=frame[["SAT1", "SAT2", "SAT3", "SAT4"]].mean(axis=1))
    names = document["lavCor_cor"]["colnames"]
    found = sq.correlate(frame, names, method="mixed", ordered=["P10", "P11", "P12"])
    np.testing.assert_allclose(found.matrix, _values(document["lavCor_cor"]), atol=LAVAAN)
    # polycor standardises with divisor n - 1 and has errors of expected information.
    hetcor = document["hetcor_two_step"]
    np.testing.assert_allclose(found.matrix, _values(hetcor["cor"]), atol=2e-3)
    off = ~np.eye(len(names), dtype=bool)
    ratio = found.standard_errors.to_numpy()[off] / _values(hetcor["se"])[off]
    assert 0.85 < ratio.min() < ratio.max() < 1.2
    assert isinstance(found.to_frame(), pd.DataFrame)
