"""Validity: the ratios by hand, what is undefined, and what blocks what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InadmissibleSolutionWarning, OptionError
from sqvalid.validity import htmt, htmt2

CORRELATION = np.array(
    [
        [1.0, 0.6, 0.3, 0.2],
        [0.6, 1.0, 0.4, 0.3],
        [0.3, 0.4, 1.0, 0.5],
        [0.2, 0.3, 0.5, 1.0],
    ]
)
PAIRS = [np.array([0, 1]), np.array([2, 3])]


def answers(phi=0.5, n=400, seed=2):
    """Six items of two factors whose sample correlations are exactly the population's."""
    loadings = np.zeros((6, 2))
    loadings[:3, 0], loadings[3:, 1] = (0.8, 0.7, 0.6), (0.75, 0.65, 0.7)
    implied = loadings @ np.array([[1.0, phi], [phi, 1.0]]) @ loadings.T
    np.fill_diagonal(implied, 1.0)
    draws = np.random.default_rng(seed).standard_normal((n, 6))
    draws -= draws.mean(axis=0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    columns = ["a1", "a2", "a3", "b1", "b2", "b3"]
    return pd.DataFrame(white @ np.linalg.cholesky(implied).T, columns=columns)


MODEL = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3"


def codes(result):
    return {d.code for d in result.diagnostics}


def test_htmt_by_hand():
    found = htmt(CORRELATION, PAIRS)
    assert found[0, 1] == pytest.approx(np.mean([0.3, 0.2, 0.4, 0.3]) / np.sqrt(0.6 * 0.5))
    assert found[0, 1] == found[1, 0]
    assert np.diag(found).tolist() == [1.0, 1.0]


def test_htmt2_by_hand():
    expected = (0.3 * 0.2 * 0.4 * 0.3) ** 0.25 / np.sqrt(0.6 * 0.5)
    assert htmt2(CORRELATION, PAIRS)[0, 1] == pytest.approx(expected)


def test_signs_matter_to_the_signed_ratio_only():
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    turned = flip @ CORRELATION @ flip
    assert htmt(turned, PAIRS)[0, 1] == pytest.approx(htmt(CORRELATION, PAIRS)[0, 1])
    assert htmt2(turned, PAIRS)[0, 1] == pytest.approx(htmt2(CORRELATION, PAIRS)[0, 1])
    assert np.isnan(htmt(turned, PAIRS, absolute=False)[0, 1])


def test_single_item_has_no_ratio():
    found = htmt(CORRELATION, [np.array([0]), np.array([1, 2, 3])])
    assert np.isnan(found[0, 1])
    assert np.isnan(htmt2(CORRELATION, [np.array([0]), np.array([1, 2, 3])])[0, 1])


@pytest.fixture(scope="module")
def validity():
    return sq.assess_validity(sq.cfa(MODEL, answers()))


def test_population_is_recovered(validity):
    row = validity.pairs.iloc[0]
    assert row["correlation"] == pytest.approx(0.5, abs=1e-7)
    assert row["ave_a"] == pytest.approx(np.mean(np.square([0.8, 0.7, 0.6])), abs=1e-7)
    assert row["fornell_larcker"]
    assert row["band"] == "none"
    assert row["unity_p"] < 1e-6
    assert row["unity_df"] == 1


def test_joint_interval_is_the_wider_one():
    names = [f"{f}{i}" for f in "abc" for i in (1, 2, 3)]
    rng = np.random.default_rng(4)
    common = rng.standard_normal((300, 1))
    factors = 0.6 * common + 0.8 * rng.standard_normal((300, 3))
    values = np.repeat(factors, 3, axis=1) + 0.7 * rng.standard_normal((300, 9))
    model = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3"
    fit = sq.cfa(model, pd.DataFrame(values, columns=names))
    pairs = sq.assess_validity(fit, unity_tests=False).pairs
    assert (pairs["simultaneous_lower"] < pairs["ci_lower"]).all()
    assert (pairs["simultaneous_upper"] > pairs["ci_upper"]).all()
    # Bonferroni over three pairs: the normal quantile at 1 - .05 / 6.
    half = (pairs["simultaneous_upper"] - pairs["correlation"]) / pairs["se"]
    assert half.tolist() == pytest.approx([2.3939798] * 3, abs=1e-6)


def test_negative_correlation_is_tested_against_minus_one():
    frame = answers()
    frame[["b1", "b2", "b3"]] *= -1.0
    row = sq.assess_validity(sq.cfa(MODEL, frame)).pairs.iloc[0]
    mirrored = sq.assess_validity(sq.cfa(MODEL, answers())).pairs.iloc[0]
    assert row["correlation"] == pytest.approx(-mirrored["correlation"])
    assert row["unity_chisq"] == pytest.approx(mirrored["unity_chisq"], abs=1e-5)
    assert row["band"] == mirrored["band"]


def test_numbers_do_not_depend_on_identification(validity):
    other = sq.assess_validity(sq.cfa(MODEL, answers(), std_lv=True))
    columns = ["correlation", "se", "ave_a", "htmt", "unity_chisq"]
    ours, theirs = validity.pairs[columns].iloc[0], other.pairs[columns].iloc[0]
    assert ours.to_numpy(dtype=float) == pytest.approx(theirs.to_numpy(dtype=float), abs=1e-5)


def test_structural_model_has_correlations_without_intervals():
    found = sq.assess_validity(sq.sem(MODEL + "\nB ~ A", answers()))
    row = found.pairs.iloc[0]
    assert row["correlation"] == pytest.approx(0.5, abs=1e-6)
    assert np.isnan(row["se"])
    assert np.isnan(row["unity_chisq"])
    assert row["band"] is None
    assert "correlation_interval_structural" in codes(found)


def test_groups_have_their_own_pairs_and_no_unity_test():
    frame = answers().assign(branch=["north", "south"] * 200)
    found = sq.assess_validity(sq.cfa(MODEL, frame, group="branch"))
    assert found.pairs["group"].tolist() == ["north", "south"]
    assert set(found.matrix) == {"north", "south"}
    assert "unity_test_one_group_only" in codes(found)
    alone = sq.assess_validity(sq.cfa(MODEL, frame[frame["branch"] == "south"]))
    south = found.pairs.iloc[1]
    assert south["htmt"] == pytest.approx(alone.pairs["htmt"].item())
    assert south["correlation"] == pytest.approx(alone.pairs["correlation"].item(), abs=1e-6)


def test_inadmissible_fit_is_told():
    # Items correlate more between the factors than within: no population has such factors.
    with pytest.warns(InadmissibleSolutionWarning):
        fit = sq.cfa(MODEL, answers(phi=1.1))
    found = sq.assess_validity(fit, unity_tests=False)
    assert not found.admissible
    assert found.pairs["correlation"].item() == pytest.approx(1.1, abs=1e-6)
    assert "validity_inadmissible" in codes(found)


def test_one_factor_has_nothing_to_tell_apart():
    found = sq.assess_validity(sq.cfa("A =~ a1 + a2 + a3", answers()))
    assert found.pairs.empty
    assert "nothing to tell apart" in repr(found)


def test_model_without_factors_is_refused():
    with pytest.raises(OptionError, match="factor"):
        sq.assess_validity(sq.sem("a1 ~ a2 + b1", answers()))


def test_result_prints_and_serialises(validity):
    assert "highest HTMT" in repr(validity)
    assert "<table" in validity._repr_html_()
    assert validity.to_dict()["type"] == "Validity"
