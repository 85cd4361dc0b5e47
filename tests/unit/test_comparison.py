"""Comparing models: what is tested, what is refused, and that nesting is checked."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import wording
from sqvalid.errors import ConvergenceWarning, InputError, OptionError, UnsupportedError
from sqvalid.latent import difference_tests
from sqvalid.latent.implied import moment_jacobian
from sqvalid.latent.moment_weights import empirical_gamma, expected_information

TWO = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
ONE = "h =~ x1 + x2 + x3 + x4 + x5 + x6"
ROBUST = (
    {"method": "satorra.bentler.2001"},
    {"method": "satorra.bentler.2010"},
    {"method": "satorra.2000"},
    {"method": "satorra.2000", "scaled_shifted": False},
    {"method": "satorra.2000", "a_method": "exact"},
)


def make_data(n: int = 300, seed: int = 7) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    factors = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=n)
    noise = rng.standard_t(6, size=(n, 6)) * 0.6
    loadings = np.array([0.8, 0.7, 0.9, 0.8, 0.6, 0.7])
    values = factors[:, [0, 0, 0, 1, 1, 1]] * loadings + noise
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(1, 7)])
    return frame.assign(half=np.where(np.arange(n) % 2, "b", "a"))


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def free(data):
    return sq.cfa(TWO, data)


@pytest.fixture(scope="module")
def orthogonal(data):
    return sq.cfa(TWO, data, orthogonal=True)


@pytest.fixture(scope="module")
def robust_pair(data):
    return sq.cfa(TWO, data, estimator="MLR"), sq.cfa(TWO, data, estimator="MLR", orthogonal=True)


def codes(result) -> list[str]:
    return [diagnostic.code for diagnostic in result.diagnostics]


# --- What is computed ---------------------------------------------------------------------------


def test_standard_difference_is_the_difference(free, orthogonal):
    found = sq.compare_models(free, orthogonal)
    (step,) = found.differences
    assert found.method == "standard"
    assert step.chisq_diff == pytest.approx(orthogonal.estimate.chisq - free.estimate.chisq)
    assert step.df_diff == 1
    assert step.p == pytest.approx(math.erfc(math.sqrt(step.chisq_diff / 2)))
    assert step.rmsea_d == pytest.approx(math.sqrt((step.chisq_diff - 1) / 300))
    assert not found.diagnostics
    row = found.table.iloc[1]
    for name in ("cfi", "rmsea", "srmr", "aic", "bic"):
        assert row[f"delta_{name}"] == pytest.approx(
            orthogonal.fit_measures[name] - free.fit_measures[name]
        )


def test_order_of_the_arguments_does_not_matter(free, orthogonal, data):
    one = sq.cfa(ONE, data)
    there = sq.compare_models(free, orthogonal, one)
    back = sq.compare_models(one, orthogonal, free)
    pd.testing.assert_frame_equal(there.table, back.table)
    assert there.names == ("model 1", "model 2", "model 3")


def test_names_follow_their_models(free, orthogonal):
    found = sq.compare_models(orthogonal, free, names=["uncorrelated", "correlated"])
    assert found.names == ("correlated", "uncorrelated")
    assert found.differences[0].restricted == "uncorrelated"
    assert "uncorrelated against correlated" in repr(found)


def test_default_follows_the_estimator(robust_pair):
    found = sq.compare_models(*robust_pair)
    assert found.method == "satorra.bentler.2001"
    one, other = (fit.estimate for fit in robust_pair)
    scaling = (9 * other.scaling_factor - 8 * one.scaling_factor) / 1
    assert found.differences[0].scaling_factor == pytest.approx(scaling)
    assert found.differences[0].chisq_diff == pytest.approx((other.chisq - one.chisq) / scaling)
    assert "delta_cfi_robust" in found.table


def test_score_covariance_equals_the_full_matrices(data):
    for options in ({}, {"meanstructure": True}, {"group": "half", "group_equal": "loadings"}):
        fit = sq.cfa(TWO, data, estimator="MLR", **options)
        e = fit.estimate
        expected = np.zeros((fit.n_free, fit.n_free))
        for slots, target, local, block in zip(
            e.problem.slots,
            e.problem.objective.targets,
            e.locals_,
            e.problem.blocks,
            strict=True,
        ):
            d_sigma, d_mu = moment_jacobian(slots, local.state)
            means = target.means is not None
            delta = np.zeros((len(d_sigma) + (len(d_mu) if means else 0), fit.n_free))
            delta[:, slots.target] = np.vstack([d_mu, d_sigma]) if means else d_sigma
            weight = expected_information(local.state.sigma, means=means)
            gamma = empirical_gamma(block.cases, means=means)
            expected += target.weight * delta.T @ weight @ gamma @ weight @ delta
        np.testing.assert_allclose(
            difference_tests.moment_score_covariance(e.problem, e.options, e.locals_),
            expected,
            rtol=1e-9,
            atol=1e-12,
        )


def test_delta_and_exact_agree_where_the_restriction_is_nearly_true(data):
    free = sq.cfa("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nx1 ~~ x5", data, estimator="MLR")
    restricted = sq.cfa(TWO, data, estimator="MLR")
    delta, exact = (
        sq.compare_models(free, restricted, method="satorra.2000", a_method=a).differences[0]
        for a in ("delta", "exact")
    )
    assert delta.chisq_diff == pytest.approx(exact.chisq_diff, rel=0.05)
    assert delta.chisq_diff != exact.chisq_diff


@pytest.mark.parametrize("options", ROBUST[:4])
def test_order_of_variables_does_not_matter(robust_pair, data, options):
    free, restricted = robust_pair
    turned = sq.cfa("g =~ x4 + x6 + x5\nf =~ x1 + x3 + x2", data, estimator="MLR", orthogonal=True)
    assert turned.observed != free.observed
    there = sq.compare_models(free, restricted, **options).differences[0]
    turned_there = sq.compare_models(free, turned, **options).differences[0]
    assert turned_there.chisq_diff == pytest.approx(there.chisq_diff, rel=1e-7)


def test_moment_corrected_estimators(data):
    """MLM differences are scaled, those adjusted in mean and variance go by Satorra (2000)."""
    found = {}
    for estimator in ("MLM", "MLMV", "GLS", "WLS", "ULSMV"):
        fits = [sq.cfa(TWO, data, estimator=estimator, orthogonal=o) for o in (False, True)]
        result = sq.compare_models(*fits)
        found[estimator] = result.method
        assert result.differences[0].p < 1e-6
        assert not result.diagnostics
    assert found == {
        "MLM": "satorra.bentler.2001",
        "MLMV": "satorra.2000",
        "GLS": "standard",
        "WLS": "standard",
        "ULSMV": "satorra.2000",
    }
    fits = [sq.cfa(TWO, data, estimator="MLMV", orthogonal=o) for o in (False, True)]
    with pytest.raises(OptionError, match="scaled only"):
        sq.compare_models(*fits, method="satorra.bentler.2001")
    fits = [sq.cfa(TWO, data, estimator="ULS", orthogonal=o) for o in (False, True)]
    with pytest.raises(UnsupportedError, match="unweighted least squares"):
        sq.compare_models(*fits)


def test_order_of_groups_does_not_matter(data):
    options = {"estimator": "MLR", "group": "half"}
    turned = data.iloc[::-1]
    free = sq.cfa(TWO, data, **options)
    same = sq.cfa(TWO, data, **options, group_equal="loadings")
    other = sq.cfa(TWO, turned, **options, group_equal="loadings")
    assert same.group_labels == other.group_labels[::-1]
    for options in ROBUST:
        first, second = (
            sq.compare_models(free, fit, **options).differences[0] for fit in (same, other)
        )
        assert second.chisq_diff == pytest.approx(first.chisq_diff, rel=1e-7)


def test_covariance_input(free, orthogonal, data):
    cov = data.drop(columns="half").cov()
    fits = [sq.cfa(TWO, cov=cov, n_obs=300, orthogonal=o) for o in (False, True)]
    found = sq.compare_models(*fits).differences[0]
    expected = sq.compare_models(free, orthogonal).differences[0]
    assert found.chisq_diff == pytest.approx(expected.chisq_diff, rel=1e-9)


def test_saturated_free_model(data):
    free = sq.sem("x1 ~ x2 + x3", data, estimator="MLR")
    restricted = sq.sem("x1 ~ x2 + 0*x3", data, estimator="MLR")
    assert free.df == 0
    values = [
        sq.compare_models(free, restricted, **options).differences[0].chisq_diff
        for options in ROBUST[:2]
    ]
    scaled = restricted.fit_measures["chisq_scaled"]
    assert values == pytest.approx([scaled, scaled])


# --- Nesting ------------------------------------------------------------------------------------


def test_nested_though_written_differently(free, data):
    found = sq.compare_models(free, sq.cfa(ONE, data))
    assert not found.diagnostics
    assert found.differences[0].chisq_diff > 0


def test_not_nested_is_refused(data):
    other = sq.cfa("f =~ x1 + x2 + x4\ng =~ x3 + x5 + x6", data, orthogonal=True)
    free = sq.cfa(TWO, data)
    found = sq.compare_models(free, other)
    (step,) = found.differences
    assert codes(found) == ["nesting_not_verified"]
    assert step.reason == "nesting_not_verified"
    assert math.isnan(step.chisq_diff)
    assert math.isnan(step.p)
    assert step.raw_chisq_diff == pytest.approx(other.estimate.chisq - free.estimate.chisq)


def test_same_degrees_of_freedom(orthogonal, data):
    found = sq.compare_models(orthogonal, sq.cfa(ONE, data))
    assert codes(found) == ["comparison_same_df"]
    assert math.isnan(found.differences[0].p)
    assert np.isfinite(found.table["delta_aic"].iloc[1])


def test_singular_restricted_point_is_told(data):
    parts = "f =~ x1 + x2 + x3 + x4 + x5 + x6\nf ~~ 0*s\ns ~~ 1*s\n"
    free = sq.cfa(parts + "s =~ NA*x1 + x2 + x3", data)
    restricted = sq.cfa(parts + "s =~ 0*x1 + 0*x2 + 0*x3", data)
    found = sq.compare_models(free, restricted)
    assert "nesting_not_regular" in codes(found)


def test_means_that_move_are_found_in_the_moments(data):
    options = {"estimator": "MLR", "group": "half"}
    metric = sq.cfa(TWO, data, **options, group_equal="loadings")
    scalar = sq.cfa(TWO, data, **options, group_equal=("loadings", "intercepts"))
    found = sq.compare_models(metric, scalar, method="satorra.bentler.2010")
    (step,) = found.differences
    # The scalar model frees latent means that the metric one fixes, so that names mislead.
    assert "difference_by_moments" in codes(found)
    assert step.raw_chisq_diff != pytest.approx(step.chisq_diff, rel=1e-4)
    exact = sq.compare_models(metric, scalar, method="satorra.2000", a_method="exact")
    assert exact.differences[0].reason == "difference_restrictions_miscounted"
    assert math.isnan(exact.differences[0].chisq_diff)


# --- What is refused ----------------------------------------------------------------------------


def test_different_data_are_named(free, data):
    with pytest.raises(InputError, match="300 and 290 respondents"):
        sq.compare_models(free, sq.cfa(TWO, data.iloc[:290]))
    with pytest.raises(InputError, match="only one of them has x6"):
        sq.compare_models(free, sq.cfa("f =~ x1 + x2 + x3\ng =~ x4 + x5", data))
    with pytest.raises(InputError, match="different groups"):
        sq.compare_models(free, sq.cfa(TWO, data, group="half"))
    with pytest.raises(InputError, match="different data"):
        sq.compare_models(free, sq.cfa(TWO, make_data(seed=8)))
    with pytest.raises(InputError, match="different likelihoods"):
        sq.compare_models(free, sq.cfa(TWO, data, likelihood="wishart", orthogonal=True))
    with pytest.raises(InputError, match="mean structure"):
        sq.compare_models(free, sq.cfa(TWO, data, meanstructure=True, orthogonal=True))


def test_estimators_are_not_mixed(free, robust_pair):
    with pytest.raises(InputError, match="different tests"):
        sq.compare_models(free, robust_pair[1])
    assert sq.compare_models(free, robust_pair[1], method="standard").method == "standard"
    with pytest.raises(OptionError, match="scaled tests"):
        sq.compare_models(free, free, method="satorra.bentler.2001")


def test_options_are_checked(free, orthogonal):
    with pytest.raises(OptionError, match=r"Did you mean 'satorra\.2000'"):
        sq.compare_models(free, orthogonal, method="satorra.200")
    with pytest.raises(OptionError, match="a_method"):
        sq.compare_models(free, orthogonal, a_method="exakt")
    with pytest.raises(OptionError, match="2 different names"):
        sq.compare_models(free, orthogonal, names=["a", "a"])
    with pytest.raises(InputError, match="not a str"):
        sq.compare_models(free, "f =~ x1")


def test_exact_needs_the_same_parameters(robust_pair, data):
    one = sq.cfa(ONE, data, estimator="MLR")
    with pytest.raises(UnsupportedError, match="differ by constraints only"):
        sq.compare_models(robust_pair[0], one, method="satorra.2000", a_method="exact")


def test_failed_fits_are_not_tested(free, data):
    with pytest.warns(ConvergenceWarning):
        failed = sq.cfa(TWO, data, orthogonal=True, max_iterations=1)
    found = sq.compare_models(free, failed)
    assert "comparison_not_converged" in codes(found)
    assert math.isnan(found.differences[0].chisq_diff)


def test_inadmissible_fits_are_told(data):
    heywood = data.assign(x2=data["x1"] + 0.2 * data["x2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [sq.cfa(TWO, heywood, orthogonal=o) for o in (False, True)]
    if all(fit.admissible for fit in fits):
        pytest.fail("the example has become admissible")
    assert "comparison_inadmissible" in codes(sq.compare_models(*fits))


def test_negative_scaling_is_not_computable():
    free = difference_tests.Difference(-3.0, 2, -0.5)
    assert math.isnan(free.pvalue)


# --- Face ---------------------------------------------------------------------------------------


def test_face(free, orthogonal, data):
    found = sq.compare_models(free, orthogonal, sq.cfa(ONE, data))
    frame = found.to_frame()
    assert list(frame["df"]) == [8, 9, 9]
    assert frame["df_diff"].isna().tolist() == [True, False, False]
    assert "chisq_diff" in found.tables()[0].to_text()
    assert found.to_dict()["differences"][0]["df_diff"] == 1
    assert "model 2" in found._repr_html_()
    for diagnostic in found.diagnostics:
        for lang in ("en", "zh"):
            assert all(wording.describe(diagnostic, lang))
