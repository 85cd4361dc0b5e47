"""Reliability: what the coefficients are, and when they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError
from sqvalid.reliability import (
    average_variance_extracted,
    correlation_from_covariance,
    cronbach_alpha,
    feldt_interval,
    item_rest_correlations,
    omega_total,
    standardized_alpha,
    weighted_variance_extracted,
)

LOADINGS = np.array([0.8, 0.7, 0.6, 0.5])


def congeneric(loadings=LOADINGS, residual=0.0):
    """Implied correlations of one factor, the first two residuals correlated."""
    implied = np.outer(loadings, loadings)
    np.fill_diagonal(implied, 1.0)
    implied[0, 1] += residual
    implied[1, 0] += residual
    return implied


def answers(implied, n=300, seed=7):
    """Answers whose sample correlations are exactly `implied`."""
    draws = np.random.default_rng(seed).standard_normal((n, len(implied)))
    draws -= draws.mean(axis=0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    values = white @ np.linalg.cholesky(implied).T
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(1, len(implied) + 1)])


def codes(result):
    return {diagnostic.code for diagnostic in result.diagnostics}


def test_alpha_of_parallel_items_is_spearman_brown():
    matrix = np.full((5, 5), 0.4)
    np.fill_diagonal(matrix, 1.0)
    assert cronbach_alpha(matrix) == pytest.approx(5 * 0.4 / (1 + 4 * 0.4))


def test_alpha_does_not_depend_on_the_divisor_but_on_the_scale_of_items():
    matrix = congeneric()
    assert cronbach_alpha(3.7 * matrix) == pytest.approx(cronbach_alpha(matrix))
    stretched = matrix * np.outer([1, 1, 1, 5], [1, 1, 1, 5])
    assert cronbach_alpha(stretched) < cronbach_alpha(matrix)
    assert standardized_alpha(correlation_from_covariance(stretched)) == pytest.approx(
        cronbach_alpha(matrix)
    )


def test_alpha_is_negative_when_items_disagree():
    assert cronbach_alpha(np.array([[1.0, -0.5], [-0.5, 1.0]])) == pytest.approx(-2.0)


def test_alpha_of_one_item_is_undefined():
    assert np.isnan(cronbach_alpha(np.array([[1.0]])))


def test_omega_exceeds_alpha_for_unequal_loadings_and_equals_it_for_equal_ones():
    assert omega_total(LOADINGS, congeneric()) > cronbach_alpha(congeneric())
    equal = np.full(4, 0.7)
    assert omega_total(equal, congeneric(equal)) == pytest.approx(cronbach_alpha(congeneric(equal)))


def test_omega_counts_residual_covariances_as_error():
    inside = omega_total(LOADINGS, congeneric(residual=0.2))
    total = LOADINGS.sum() ** 2 + (1 - LOADINGS**2).sum() + 2 * 0.2
    assert inside == pytest.approx(LOADINGS.sum() ** 2 / total)
    assert inside < omega_total(LOADINGS, congeneric())


def test_two_definitions_of_ave_agree_for_equal_variances_only():
    assert average_variance_extracted(LOADINGS) == pytest.approx(np.mean(LOADINGS**2))
    assert weighted_variance_extracted(LOADINGS, congeneric()) == pytest.approx(
        average_variance_extracted(LOADINGS)
    )
    scale = np.array([1.0, 1.0, 1.0, 4.0])
    weighted = weighted_variance_extracted(LOADINGS * scale, congeneric() * np.outer(scale, scale))
    assert weighted < average_variance_extracted(LOADINGS)


def test_feldt_interval_holds_the_estimate_and_narrows_with_n():
    lower, upper = feldt_interval(0.8, 100, 5)
    assert lower < 0.8 < upper < 1.0
    closer = feldt_interval(0.8, 1000, 5)
    assert lower < closer[0] < 0.8 < closer[1] < upper
    assert all(np.isnan(feldt_interval(float("nan"), 100, 1)))


def test_item_rest_correlation_of_two_items_is_their_correlation():
    assert item_rest_correlations(np.array([[2.0, 0.6], [0.6, 1.0]])) == pytest.approx(
        0.6 / np.sqrt(2.0)
    )


def test_single_item_and_two_item_scales_say_so():
    frame = answers(congeneric())
    found = sq.assess_reliability(frame, {"ONE": ["x1"], "TWO": ["x2", "x3"]})
    rows = found.scales.set_index("dimension")
    assert np.isnan(rows.loc["ONE", "alpha_raw"])
    assert rows.loc["TWO", "alpha_raw"] == pytest.approx(2 * 0.42 / 1.42)
    assert {"single_item_scale", "two_item_scale"} <= codes(found)
    pair = found.items[found.items["dimension"] == "TWO"]
    assert pair["alpha_if_deleted"].isna().all()


def test_unturned_items_are_named():
    frame = answers(congeneric())
    frame["x3"] = -frame["x3"]
    found = sq.assess_reliability(frame, {"F": list(frame.columns)})
    told = [d for d in found.diagnostics if d.code == "item_against_scale"]
    assert [d.where for d in told] == [("x3",)]
    assert not [
        d
        for d in sq.assess_reliability(
            answers(congeneric()), {"F": ["x1", "x2", "x3", "x4"]}
        ).diagnostics
        if d.code == "item_against_scale"
    ]


def test_negative_alpha_is_a_problem():
    implied = np.array([[1.0, -0.4], [-0.4, 1.0]])
    found = sq.assess_reliability(answers(implied), {"F": ["x1", "x2"]})
    assert found.scales["alpha_raw"].item() == pytest.approx(2 * -0.4 / 0.6)
    told = [d for d in found.diagnostics if d.code == "negative_alpha"]
    assert told[0].severity == "problem"


def test_answers_alone_give_no_omega():
    found = sq.assess_reliability(answers(congeneric()), {"F": ["x1", "x2", "x3", "x4"]})
    assert found.scales[["omega_total", "composite_reliability", "ave"]].isna().all(axis=None)
    assert "omega_needs_model" in codes(found)


@pytest.mark.parametrize(
    ("dimensions", "error", "words"),
    [
        ({"F": ["x1", "x9"]}, InputError, "x9"),
        ({"F": []}, InputError, "'F'"),
    ],
)
def test_wrong_dimensions_are_refused(dimensions, error, words):
    with pytest.raises(error, match=words):
        sq.assess_reliability(answers(congeneric()), dimensions)


def test_dimensions_are_needed():
    with pytest.raises(OptionError, match="belong together"):
        sq.assess_reliability(answers(congeneric()))


def test_constant_items_are_refused():
    frame = answers(congeneric()).assign(x2=3.0)
    with pytest.raises(InputError, match="x2"):
        sq.assess_reliability(frame, {"F": ["x1", "x2", "x3"]})


def test_level_must_be_a_probability():
    with pytest.raises(OptionError, match="level"):
        sq.assess_reliability(answers(congeneric()), {"F": ["x1", "x2"]}, level=95)


class TestFromAFit:
    def test_population_is_recovered(self):
        fit = sq.cfa("F =~ x1 + x2 + x3 + x4", answers(congeneric()))
        row = sq.assess_reliability(fit).scales.iloc[0]
        truth = omega_total(LOADINGS, congeneric())
        for column in ("omega_total", "omega_total_implied", "composite_reliability"):
            assert row[column] == pytest.approx(truth, abs=1e-8)
        assert row["ave"] == pytest.approx(np.mean(LOADINGS**2), abs=1e-8)

    def test_identification_does_not_matter(self):
        frame = answers(congeneric())
        marker = sq.assess_reliability(sq.cfa("F =~ x1 + x2 + x3 + x4", frame)).scales
        unit = sq.assess_reliability(sq.cfa("F =~ x1 + x2 + x3 + x4", frame, std_lv=True)).scales
        columns = [c for c in marker.columns if c != "dimension"]
        assert marker[columns].to_numpy() == pytest.approx(unit[columns].to_numpy(), abs=1e-7)

    def test_residual_covariance_enters_the_denominator(self):
        implied = congeneric(residual=0.15)
        fit = sq.cfa("F =~ x1 + x2 + x3 + x4\nx1 ~~ x2", answers(implied))
        row = sq.assess_reliability(fit).scales.iloc[0]
        assert row["omega_total_implied"] == pytest.approx(omega_total(LOADINGS, implied), abs=1e-7)

    def test_published_matrix_serves(self):
        names = ["x1", "x2", "x3", "x4"]
        matrix = pd.DataFrame(congeneric(), index=names, columns=names)
        fit = sq.cfa("F =~ x1 + x2 + x3 + x4", cov=matrix, n_obs=300)
        found = sq.assess_reliability(fit)
        assert found.scales["ave"].item() == pytest.approx(np.mean(LOADINGS**2), abs=1e-8)
        assert found.items["mean"].isna().all()
        assert found.items["sd"].tolist() == pytest.approx([1.0] * 4)

    def test_sd_has_divisor_n_minus_one_under_both_likelihoods(self):
        frame = answers(congeneric())
        for likelihood in ("normal", "wishart"):
            fit = sq.cfa("F =~ x1 + x2 + x3 + x4", frame, likelihood=likelihood)
            sds = sq.assess_reliability(fit).items["sd"].tolist()
            assert sds == pytest.approx(frame.std(ddof=1).tolist())

    @pytest.mark.parametrize(
        ("model", "code"),
        [
            ("A =~ x1 + x2 + x3 + x4\nB =~ x4 + x5 + x6", "omega_cross_loading"),
            ("A =~ x1 + x2 + x3\nB =~ x4 + x5 + x6\nx2 ~ B", "omega_regressed_indicator"),
        ],
    )
    def test_shared_items_leave_omega_undefined_with_a_reason(self, model, code):
        implied = congeneric(np.array([0.8, 0.7, 0.6, 0.5, 0.6, 0.7]))
        implied[3:, 3:] += 0.15 * (1 - np.eye(3))
        fit = sq.sem(model, answers(implied))
        found = sq.assess_reliability(fit)
        row = found.scales.set_index("dimension").loc["A"]
        assert np.isnan(row["omega_total"])
        assert np.isfinite(row["alpha_raw"])
        assert code in codes(found)

    def test_unknown_factor_is_refused(self):
        fit = sq.cfa("F =~ x1 + x2 + x3", answers(congeneric()))
        with pytest.raises(OptionError, match="'G'"):
            sq.assess_reliability(fit, {"G": ["x1"]})

    def test_groups_stand_side_by_side(self):
        frame = answers(congeneric()).assign(branch=["north", "south"] * 150)
        fit = sq.cfa("F =~ x1 + x2 + x3 + x4", frame, group="branch")
        found = sq.assess_reliability(fit)
        assert found.scales["group"].tolist() == ["north", "south"]
        alone = sq.cfa("F =~ x1 + x2 + x3 + x4", frame[frame["branch"] == "south"])
        expected = sq.assess_reliability(alone).scales["omega_total"].item()
        assert found.scales["omega_total"][1] == pytest.approx(expected, abs=1e-8)


def test_result_prints_and_serialises():
    fit = sq.cfa("F =~ x1 + x2 + x3 + x4", answers(congeneric()))
    found = sq.assess_reliability(fit)
    assert repr(found).startswith("<Reliability: 1 scales")
    assert "<table" in found._repr_html_()
    payload = found.to_dict()
    assert payload["type"] == "Reliability"
    assert payload["items"][0]["item"] == "x1"
