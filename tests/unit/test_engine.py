"""Trouble told: what cannot be estimated, should not be trusted, or was typed wrong."""

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import (
    ConvergenceWarning,
    IdentificationError,
    InadmissibleSolutionWarning,
    InputError,
    ModelError,
    OptionError,
    SurveyError,
    UnsupportedError,
)

MODEL = "f =~ a + b + c\ng =~ d + e + h"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 300
    f = rng.standard_normal(n)
    g = 0.5 * f + rng.standard_normal(n)
    columns = {
        name: factor * size + 0.8 * rng.standard_normal(n)
        for name, factor, size in zip(
            "abcdeh", (f, f, f, g, g, g), (1, 0.8, 1.1, 1, 0.9, 0.7), strict=True
        )
    }
    frame = pd.DataFrame(columns)
    frame["site"] = np.where(rng.random(n) < 0.5, "north", "south")
    return frame


def codes(fit) -> list[str]:
    return [d.code for d in fit.diagnostics]


# --- Solutions that should not be trusted ------------------------------------------------------


def test_not_identified_names_the_parameters(data):
    # Nothing sets the metric of f.
    with pytest.warns(InadmissibleSolutionWarning, match="cannot determine"):
        fit = sq.cfa("f =~ NA*a + b + c + d", data)
    (found,) = [d for d in fit.diagnostics if d.code == "not_identified"]
    assert found.values["n_directions"] == 1
    assert {"f=~a", "f=~b", "f=~c", "f=~d", "f~~f"} <= set(found.where)
    assert "a~~a" not in found.where
    assert not fit.admissible
    assert fit.parameters.query("op == '=~'").se.isna().all()
    # The fit itself is that of the identified model.
    assert fit.fit_measures["chisq"] == pytest.approx(
        sq.cfa("f =~ a + b + c + d", data).fit_measures["chisq"], rel=1e-8
    )


def test_heywood_case_is_told_and_kept():
    matrix = pd.DataFrame(
        [[1.0, 0.7, 0.7, 0.5], [0.7, 1.0, 0.35, 0.3], [0.7, 0.35, 1.0, 0.3], [0.5, 0.3, 0.3, 1.0]],
        index=list("abcd"),
        columns=list("abcd"),
    )
    with pytest.warns(InadmissibleSolutionWarning, match=r"a \(-"):
        fit = sq.cfa("f =~ a + b + c + d", cov=matrix, n_obs=200)
    (found,) = [d for d in fit.diagnostics if d.code == "negative_variance"]
    variance = fit.parameters.query("op == '~~' and lhs == 'a'").est.item()
    assert found.where == ("a",)
    assert found.values["smallest"] == pytest.approx(variance)
    assert variance < 0
    assert fit.converged
    assert not fit.admissible
    assert np.isnan(fit.r_squared["a"])
    assert fit.r_squared["b"] == pytest.approx(fit.parameters.std_all[1] ** 2)


def test_latent_covariance_that_is_not_positive_definite_names_the_pair():
    # Items of f and g correlate more with each other than among themselves.
    matrix = pd.DataFrame(0.55, list("abcdeh"), list("abcdeh"))
    matrix.loc[list("abc"), list("abc")] = 0.5
    matrix.loc[list("deh"), list("deh")] = 0.5
    matrix = matrix.mask(np.eye(6, dtype=bool), 1.0)
    with pytest.warns(InadmissibleSolutionWarning, match="f-g"):
        fit = sq.cfa(MODEL, cov=matrix, n_obs=300)
    (found,) = [d for d in fit.diagnostics if d.code == "latent_covariance_not_positive_definite"]
    assert set(found.where) == {"f", "g"}
    correlation = fit.latent_correlation.loc["f", "g"]
    assert correlation == pytest.approx(1.1, abs=1e-6)
    assert found.values["smallest_eigenvalue"] == pytest.approx(1 - correlation)
    assert not fit.admissible


def test_residual_covariances_that_are_not_positive_definite():
    # The items are one factor with loadings of sqrt(.6) and these residual covariances.
    matrix = pd.DataFrame(0.6, list("abcd"), list("abcd")).mask(np.eye(4, dtype=bool), 1.0)
    residual = {("a", "b"): 0.21, ("a", "c"): 0.21, ("b", "c"): -0.21}
    model = "f =~ 1*a + 1*b + 1*c + 1*d"
    for (first, second), value in residual.items():
        matrix.loc[first, second] += value
        matrix.loc[second, first] += value
        model += f"\n{first} ~~ {value}*{second}"
    with pytest.warns(InadmissibleSolutionWarning, match="residuals"):
        fit = sq.cfa(model, cov=matrix, n_obs=100, sample_cov_rescale=False)
    (found,) = [d for d in fit.diagnostics if d.severity == "problem"]
    assert found.code == "residual_covariance_not_positive_definite"
    assert set(found.where) == {"a", "b", "c"}
    # Residual correlations of .525, .525 and -.525.
    assert found.values["smallest_eigenvalue"] == pytest.approx(1 - 2 * 0.525, abs=1e-6)
    assert not fit.admissible


def test_no_convergence_is_told(data):
    with pytest.warns(ConvergenceWarning):
        fit = sq.cfa(MODEL, data, max_iterations=1)
    assert not fit.converged
    assert not fit.admissible
    (found,) = [d for d in fit.diagnostics if d.code == "not_converged"]
    assert "principal_axis" in found.values["attempts"]
    assert "random 10" in found.values["attempts"]
    # What describes the estimates is not told, neither residuals nor tests.
    told = set(fit.fit_measures.dropna().index)
    assert not told & {"chisq", "fmin", "cfi", "rmsea", "srmr", "rmr", "crmr", "gfi_lisrel", "aic"}
    assert {"npar", "df", "ntotal", "baseline_chisq"} <= told
    assert fit.fit_measures_undefined["srmr"] == "fit_index.no_solution"


def test_bad_start_values_are_replaced_and_recorded(data):
    n_free = sq.cfa(MODEL, data).n_free
    fit = sq.cfa(MODEL, data, start=np.full(n_free, -5.0))
    assert fit.converged
    assert "start_values_fallback" in codes(fit)
    assert fit.estimate.attempts[0].name == "given"
    np.testing.assert_allclose(fit.coef, sq.cfa(MODEL, data).coef, atol=1e-8)


def test_more_parameters_than_moments(data):
    with pytest.raises(IdentificationError, match="-1 degrees of freedom") as caught:
        sq.cfa("f =~ a + b + c\na ~~ b", data)
    assert "a~~b" in caught.value.parameters


# --- Data that cannot be used ------------------------------------------------------------------


def test_copied_item_is_named(data):
    with pytest.raises(InputError, match="singular") as caught:
        sq.cfa("f =~ a + b + c + twin", data.assign(twin=2 * data.a + 1))
    assert "a, twin" in str(caught.value) or "twin, a" in str(caught.value)
    assert "copies" in caught.value.remedy


def test_matrix_that_is_not_positive_definite():
    bad = pd.DataFrame([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]], list("abc"), list("abc"))
    with pytest.raises(InputError, match="not positive definite"):
        sq.cfa("f =~ a + b + c", cov=bad, n_obs=100)


def test_fewer_respondents_than_items(data):
    with pytest.raises(InputError, match="5 complete respondents for 6 items"):
        sq.cfa(MODEL, data.head(5))


def test_group_of_one_is_named(data):
    lonely = data.assign(site=["alone", *data.site[1:]])
    with pytest.raises(SurveyError, match="1 complete respondent in group 'alone'"):
        sq.cfa(MODEL, lonely, group="site")


def test_constant_item_is_named(data):
    with pytest.raises(SurveyError, match="same answer to 'b'"):
        sq.cfa(MODEL, data.assign(b=4))


def test_item_nobody_answered_is_named(data):
    with pytest.raises(SurveyError, match="Nobody answered 'e'"):
        sq.cfa(MODEL, data.assign(e=np.nan))


def test_text_in_an_item_is_shown(data):
    text = data.assign(c=data.c.astype(object))
    text.loc[7, "c"] = "often"
    with pytest.raises(SurveyError, match="'often' in row 7"):
        sq.cfa(MODEL, text)


def test_infinite_answer_is_found(data):
    with pytest.raises(SurveyError, match="'d' is infinite in row 4"):
        sq.cfa(MODEL, data.assign(d=data.d.mask(data.index == 4, np.inf)))


def test_column_twice_is_named(data):
    twice = pd.concat([data, data[["c"]]], axis=1)
    with pytest.raises(SurveyError, match="2 columns named 'c'"):
        sq.cfa(MODEL, twice)


def test_unknown_variable_is_named(data):
    with pytest.raises(SurveyError, match="no column 'A9'"):
        sq.cfa(MODEL + " + A9", data)


def test_row_twice_in_the_model(data):
    with pytest.raises(ModelError, match="line 2, column 6: 'f =~ b' is already in the model"):
        sq.cfa("f =~ a + b + c\nf =~ b", data)


# --- Options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"estimator": "MRL"}, "'MLR'"),
        ({"estimater": "ML"}, "'estimator'"),
        ({"group_equal": "loading"}, "'loadings'"),
        ({"likelihood": "wishhart"}, "'wishart'"),
        ({"information": "expcted"}, "'expected'"),
        ({"bounds": "pos.vars"}, "'pos.var'"),
        ({"start": "randon"}, "'random'"),
    ],
)
def test_misspelt_options_list_the_choices(data, options, hint):
    with pytest.raises(OptionError, match="is not an option") as caught:
        sq.cfa(MODEL, data, **options)
    assert hint in str(caught.value)


@pytest.mark.parametrize("start", [[1.0, 2.0], [np.nan] * 13])
def test_start_values_are_checked(data, start):
    with pytest.raises(OptionError, match="13 numbers"):
        sq.cfa(MODEL, data, start=start)


def test_a_matrix_has_no_robust_errors(data):
    with pytest.raises(UnsupportedError, match="answers"):
        sq.cfa(MODEL, cov=data[list("abcdeh")].cov(), n_obs=300, estimator="MLR")


@pytest.mark.parametrize("options", [{"n_obs": None}, {"n_obs": 2.5}, {"n_obs": 1}])
def test_a_matrix_needs_a_number_of_respondents(data, options):
    with pytest.raises(InputError, match=r"n_obs|number of respondents"):
        sq.cfa(MODEL, cov=data[list("abcdeh")].cov(), **options)


# --- Unusual models -----------------------------------------------------------------------------


def test_single_item_factor_has_no_error(data):
    fit = sq.cfa("f =~ a + b + c\ng =~ d", data)
    error = fit.parameters.query("op == '~~' and lhs == 'd'")
    assert error.est.item() == 0.0
    assert error.free.item() == 0
    assert fit.latent_covariance.loc["g", "g"] == pytest.approx(data.d.var(ddof=0))
    assert fit.admissible


def test_two_item_factors(data):
    fit = sq.cfa("f =~ a + b\ng =~ d + e", data)
    assert fit.df == 1
    assert fit.converged


def test_model_with_nothing_to_estimate(data):
    fit = sq.fit_model("a ~~ 1*a + 0*b\nb ~~ 1*b", data)
    s = data[["a", "b"]].cov(ddof=0).to_numpy()
    expected = len(data) * (np.trace(s) - np.linalg.slogdet(s)[1] - 2)
    assert fit.n_free == 0
    assert fit.df == 3
    assert fit.fit_measures["chisq"] == pytest.approx(expected, rel=1e-10)
    assert fit.converged


def test_incomplete_rows_are_counted(data):
    holes = data.copy()
    holes.loc[[1, 5, 9], "a"] = np.nan
    fit = sq.cfa(MODEL, holes)
    assert (fit.n_obs, fit.n_received) == (297, 300)
    complete = sq.cfa(MODEL, holes.dropna())
    np.testing.assert_allclose(fit.coef, complete.coef, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float32", "object"])
def test_kinds_of_columns_do_not_matter(data, dtype):
    answers = data[list("abcdeh")].mul(2).round()
    fit = sq.cfa(MODEL, answers.astype(dtype).assign(site=data.site))
    np.testing.assert_allclose(fit.coef, sq.cfa(MODEL, answers).coef, rtol=1e-9)


def test_polars_frame(data):
    polars = pytest.importorskip("polars")
    fit = sq.cfa(MODEL, polars.DataFrame(data.to_dict("list")), group="site")
    np.testing.assert_allclose(fit.coef, sq.cfa(MODEL, data, group="site").coef, rtol=1e-12)


def test_the_result_does_not_follow_the_frame(data):
    mine = data[list("abcdeh")].copy()
    fit = sq.cfa(MODEL, mine)
    before = fit.factor_scores()
    mine.loc[:, :] = 0.0
    pd.testing.assert_frame_equal(sq.cfa(MODEL, data).factor_scores(), before)
    pd.testing.assert_frame_equal(fit.factor_scores(), before)


def test_chinese_names(data):
    names = dict(
        zip(
            "abcdeh",
            ["有形性1", "有形性2", "有形性3", "可靠性1", "可靠性2", "可靠性3"],
            strict=True,
        )
    )
    model = "有形性 =~ 有形性1 + 有形性2 + 有形性3\n可靠性 =~ 可靠性1 + 可靠性2 + 可靠性3"
    fit = sq.cfa(model, data.rename(columns=names))
    plain = sq.cfa(MODEL, data)
    np.testing.assert_allclose(fit.coef, plain.coef, rtol=1e-10)
    assert list(fit.factor_scores().columns) == ["有形性", "可靠性"]
    assert fit.vcov.index[0] == "有形性=~有形性2"
