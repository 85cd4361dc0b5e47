"""Ordered answers: what decides that they are, what is equal however it is written, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import (
    InadmissibleSolutionWarning,
    InputError,
    ModelError,
    OptionError,
    SqvalidWarning,
    SurveyError,
    UnsupportedError,
)
from sqvalid.moments import moments_from_frame

ITEMS = ["u1", "u2", "u3", "u4"]
MODEL = "f =~ u1 + u2 + u3 + u4"
# Two searches for the same minimum, each to a gradient of 1e-8.
SAME = 1e-6


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    """Five-point items of one factor, two binary outcomes in a chain, a covariate, two groups."""
    rng = np.random.default_rng(20)
    n = 600
    x = rng.standard_normal(n)
    f = 0.5 * x + rng.standard_normal(n)
    cuts = np.array([-1.2, -0.4, 0.5, 1.3])
    frame = pd.DataFrame({"x": x, "group": np.where(rng.random(n) < 0.5, "a", "b")})
    for name, loading in zip(ITEMS, (0.9, 0.8, 0.7, 0.8), strict=True):
        frame[name] = np.searchsorted(cuts, loading * f + rng.standard_normal(n) * 0.6) + 1
    first = 0.6 * f + rng.standard_normal(n)
    second = 0.5 * first + rng.standard_normal(n)
    third = 0.5 * second + 0.3 * x + rng.standard_normal(n)
    frame["o1"] = (first > 0.2).astype(int)
    frame["o2"] = np.searchsorted([-0.5, 0.7], second)
    frame["o3"] = (third > 0).astype(int)
    frame["y"] = 0.7 * f + rng.standard_normal(n)
    return frame


CHAIN = MODEL + "\no1 ~ f + x\no2 ~ o1\no3 ~ o2 + x\nf ~ x"


def test_delta_and_theta_are_one_model(answers):
    """Disturbances in a chain of ordered outcomes are filled in so that variances are one."""
    ordered = [*ITEMS, "o1", "o2", "o3"]
    delta, theta = (
        sq.sem(CHAIN, answers, ordered=ordered, parameterization=kind)
        for kind in ("delta", "theta")
    )
    assert delta.fit_measures["chisq"] == pytest.approx(theta.fit_measures["chisq"], rel=SAME)
    assert delta.fit_measures["chisq_scaled"] == pytest.approx(
        theta.fit_measures["chisq_scaled"], rel=1e-5
    )
    ours, others = (fit.standardized() for fit in (delta, theta))
    np.testing.assert_allclose(ours["est"], others["est"], atol=1e-5)
    np.testing.assert_allclose(ours["se"], others["se"], atol=1e-5)
    for name in ("o1", "o2", "o3"):
        state = delta.estimate.locals_[0].state
        place = delta.estimate.problem.slots[0].layout.factors.index(name)
        assert state.phi[place, place] == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["regression", "bartlett"])
def test_scores_do_not_depend_on_the_parameterisation(answers, method):
    delta, theta = (
        sq.cfa(MODEL, answers, ordered=True, std_lv=True, parameterization=kind)
        for kind in ("delta", "theta")
    )
    ours, others = (fit.factor_scores(method=method)["f"] for fit in (delta, theta))
    # The vague prior of maximum likelihood is in units of the factor.
    np.testing.assert_allclose(ours, others, atol=1e-5)


def test_scores_are_the_mode(answers):
    """No point near a score is more probable."""
    fit = sq.cfa(MODEL, answers, ordered=True)
    scores = fit.factor_scores()["f"].to_numpy()
    tau = fit.implied_thresholds
    lambda_ = fit.matrices[""]["lambda"]["f"]
    theta = np.diag(fit.matrices[""]["theta"])
    from scipy.stats import norm

    def log_density(eta: np.ndarray) -> np.ndarray:
        out = -0.5 * eta**2 / fit.latent_covariance.iloc[0, 0]
        for item, residual in zip(ITEMS, theta, strict=True):
            cuts = np.concatenate([[-np.inf], tau.filter(like=f"{item}|").to_numpy(), [np.inf]])
            code = answers[item].to_numpy() - 1
            scale, centre = np.sqrt(residual), lambda_[item] * eta
            high = norm.cdf((cuts[code + 1] - centre) / scale)
            out += np.log(high - norm.cdf((cuts[code] - centre) / scale))
        return out

    best = log_density(scores)
    for shift in (-1e-3, 1e-3):
        assert (log_density(scores + shift) <= best).all()


def test_items_reversed_and_permuted(answers):
    fit = sq.cfa(MODEL, answers, ordered=True, std_lv=True)
    turned = answers.assign(u2=6 - answers["u2"])
    other = sq.cfa("f =~ u4 + u2 + u1 + u3", turned, ordered=True, std_lv=True)
    assert other.fit_measures["chisq"] == pytest.approx(fit.fit_measures["chisq"], rel=SAME)
    left = fit.parameters.query("op == '=~'").set_index("rhs")["est"]
    right = other.parameters.query("op == '=~'").set_index("rhs")["est"]
    right["u2"] = -right["u2"]
    np.testing.assert_allclose(left, right[left.index] * np.sign(right["u1"]), atol=1e-6)


def test_monotone_recoding_changes_nothing(answers):
    fit = sq.cfa(MODEL, answers, ordered=True)
    recoded = answers.replace({"u3": {1: 10, 2: 20, 3: 30, 4: 40, 5: 99}})
    other = sq.cfa(MODEL, recoded, ordered=True)
    np.testing.assert_allclose(fit.coef, other.coef, atol=1e-10)


def test_swapped_groups(answers):
    options = {"ordered": True, "group": "group", "group_equal": ("thresholds", "loadings")}
    one = sq.cfa(MODEL, answers, **options)
    other = sq.cfa(MODEL, answers.iloc[::-1].reset_index(drop=True), **options)
    assert one.group_labels == other.group_labels[::-1] or one.group_labels == other.group_labels
    assert one.fit_measures["chisq_scaled"] == pytest.approx(
        other.fit_measures["chisq_scaled"], rel=1e-5
    )


def test_complete_pairs_are_complete_rows(answers):
    one = sq.cfa(MODEL, answers, ordered=True, missing="pairwise")
    other = sq.cfa(MODEL, answers, ordered=True)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-12)
    np.testing.assert_allclose(one.vcov, other.vcov, atol=1e-12)


def test_moments_prepared_before(answers):
    """Moments of more items than the model has, in another order."""
    moments = moments_from_frame(
        answers, ["u4", "y", "u2", "o1", "u1", "u3"], ordered=["u4", "u2", "u1", "u3", "o1"]
    )
    one, other = sq.cfa(MODEL, moments), sq.cfa(MODEL, answers, ordered=True)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-8)
    np.testing.assert_allclose(one.vcov, other.vcov, atol=1e-10)
    with pytest.raises(OptionError, match="differs from what the moments"):
        sq.cfa(MODEL, moments, ordered=["u1"])


def test_given_covariates_of_prepared_moments(answers):
    names = [*ITEMS, "x"]
    moments = moments_from_frame(answers, names, ordered=ITEMS, conditional=["x"])
    one = sq.sem(MODEL + "\nf ~ x", moments)
    other = sq.sem(MODEL + "\nf ~ x", answers, ordered=ITEMS)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-10)
    with pytest.raises(UnsupportedError, match="conditional on x"):
        sq.cfa(MODEL, moments)


# --- what decides that answers are ordered ---


def test_numbers_stay_numbers(answers):
    fit = sq.cfa(MODEL, answers)
    assert fit.fit_options.estimator == "ML"
    assert fit.fit_options.ordered == ()


def test_ordered_columns_say_so_themselves(answers):
    words = ["never", "seldom", "now and then", "often", "always"]
    typed = answers.copy()
    for name in ITEMS:
        typed[name] = pd.Categorical.from_codes(answers[name] - 1, words, ordered=True)
    fit = sq.cfa(MODEL, typed)
    assert fit.fit_options.estimator == "WLSMV"
    assert "ordered_by_data" in {d.code for d in fit.diagnostics}
    np.testing.assert_allclose(fit.coef, sq.cfa(MODEL, answers, ordered=True).coef, atol=1e-12)


FOUR_POINTS = """
id = "four"
source = "Nobody (2020)"
wording_status = "adapted"
translation_status = "not_translated"
[name]
en = "Four points"
[scale]
min = 1
max = 4
[[dimensions]]
id = "f"
name = { en = "Factor" }
"""


def test_few_categories_of_an_instrument_are_ordered(answers, tmp_path):
    """The estimator changes by the scale of the instrument, and it is told."""
    item = '[[items]]\nid = "{}"\ndimension = "f"\nwording = {{ en = "?" }}\n'
    path = tmp_path / "four.toml"
    path.write_text(FOUR_POINTS + "".join(item.format(name) for name in ITEMS), encoding="utf-8")
    frame = answers[ITEMS].clip(upper=4)
    survey = sq.Survey(frame, sq.load_instrument(str(path)))
    fit = sq.cfa(MODEL, survey)
    assert fit.fit_options.estimator == "WLSMV"
    assert "ordered_by_data" in {d.code for d in fit.diagnostics}
    numbers = sq.cfa(MODEL, survey, estimator="ML")
    assert "ordered_taken_for_numbers" in {d.code for d in numbers.diagnostics}
    assert numbers.fit_options.ordered == ()
    assert sq.cfa(MODEL, survey, ordered=False).fit_options.estimator == "ML"


def test_crowded_answers_are_told(answers, tmp_path):
    """Five categories count as numbers; where nearly all tick the last one, that is said."""
    item = '[[items]]\nid = "{}"\ndimension = "f"\nwording = {{ en = "?" }}\n'
    path = tmp_path / "five.toml"
    text = FOUR_POINTS.replace("max = 4", "max = 5") + "".join(item.format(n) for n in ITEMS)
    path.write_text(text, encoding="utf-8")
    instrument = sq.load_instrument(str(path))
    fit = sq.cfa(MODEL, sq.Survey(answers[ITEMS], instrument))
    assert "crowded_items_taken_for_numbers" not in {d.code for d in fit.diagnostics}
    crowded = answers[ITEMS].copy()
    crowded["u2"] = crowded["u2"].where(crowded["u2"] < 3, 5)
    fit = sq.cfa(MODEL, sq.Survey(crowded, instrument))
    assert fit.fit_options.estimator == "ML"
    told = [d for d in fit.diagnostics if d.code == "crowded_items_taken_for_numbers"]
    assert [d.where for d in told] == [("u2",)]


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_estimators_for_numbers_are_refused(answers, estimator):
    with pytest.raises(OptionError, match="some are ordered"):
        sq.cfa(MODEL, answers, ordered=True, estimator=estimator)


def test_unknown_and_exogenous_names(answers):
    with pytest.raises(OptionError, match="'u9'"):
        sq.cfa(MODEL, answers, ordered=["u1", "u9"])
    with pytest.raises(OptionError, match="only predict"):
        sq.sem(MODEL + "\nf ~ o1", answers, ordered=[*ITEMS, "o1"])


# --- bad input ---


def test_an_empty_category_in_one_group(answers):
    thin = answers.copy()
    where = (thin["group"] == "a") & (thin["u3"] == 5)
    thin.loc[where, "u3"] = 4
    with pytest.raises(SurveyError, match=r"'u3'") as caught:
        sq.cfa(MODEL, thin, ordered=True, group="group")
    assert "a" in str(caught.value)


def test_residual_variance_in_delta(answers):
    with pytest.raises(ModelError, match="no parameters of the delta"):
        sq.cfa(MODEL + "\nu1 ~~ u1", answers, ordered=True)


def test_threshold_that_is_not_there(answers):
    with pytest.raises(ModelError, match="t1 to t4"):
        sq.cfa(MODEL + "\nu1 | t5", answers, ordered=True)
    with pytest.raises(ModelError, match="not an ordered item"):
        sq.cfa(MODEL + "\nu1 | t1", answers)


def test_wls_needs_more_respondents_than_statistics(answers):
    with pytest.raises(InputError, match="more respondents than statistics"):
        sq.cfa(MODEL, answers.head(20), ordered=True, estimator="WLS")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"missing": "fiml"}, UnsupportedError),
        ({"cluster": "group"}, UnsupportedError),
        ({"se": "robust.huber.white"}, UnsupportedError),
        ({"test": "yuan.bentler"}, UnsupportedError),
        ({"information": "observed"}, UnsupportedError),
        ({"parameterization": "gamma"}, OptionError),
    ],
)
def test_what_is_not_available(answers, options, error):
    with pytest.raises(error):
        sq.cfa(MODEL, answers, ordered=True, **options)


def test_a_heywood_case_is_told():
    """Two items that agree more than one factor can explain."""
    rng = np.random.default_rng(5)
    n = 400
    shared = rng.standard_normal(n)
    twin = shared + 0.2 * rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            "a": np.searchsorted([-0.5, 0.5], shared),
            "b": np.searchsorted([-0.5, 0.5], twin),
            "c": np.searchsorted([-0.5, 0.5], 0.45 * shared + rng.standard_normal(n)),
            "d": np.searchsorted([-0.5, 0.5], 0.9 * twin - 0.8 * shared + rng.standard_normal(n)),
        }
    )
    with pytest.warns(InadmissibleSolutionWarning):
        fit = sq.cfa("f =~ a + b + c + d", frame, ordered=True)
    assert not fit.admissible
    assert "negative_variance" in {d.code for d in fit.diagnostics}


def test_recovery_of_a_population():
    """Loadings, thresholds and a path at 6,000 respondents lie within four standard errors."""
    rng = np.random.default_rng(11)
    n = 6000
    x = rng.standard_normal(n)
    f = 0.5 * x + rng.standard_normal(n) * np.sqrt(0.75)
    loadings = np.array([0.8, 0.7, 0.6, 0.75])
    cuts = np.array([-1.5, -0.2, 0.9])
    frame = pd.DataFrame({"x": x})
    for name, loading in zip(ITEMS, loadings, strict=True):
        response = loading * f + rng.standard_normal(n) * np.sqrt(1 - loading**2)
        frame[name] = np.searchsorted(cuts, response)
    fit = sq.sem("f =~ NA*u1 + u2 + u3 + u4\nf ~ x\nf ~~ 0.75*f", frame, ordered=ITEMS,
                 parameterization="theta")  # fmt: skip
    table = fit.parameters
    residual = np.sqrt(1 - loadings**2)
    for row in table[table["free"] > 0].itertuples():
        if row.op == "=~":
            i = ITEMS.index(row.rhs)
            true = loadings[i] / residual[i]
        elif row.op == "|":
            i = ITEMS.index(row.lhs)
            true = cuts[int(row.rhs[1:]) - 1] / residual[i]
        else:
            true = 0.5
        assert abs(row.est - true) < 4 * row.se, (row.lhs, row.op, row.rhs)


def test_the_summary_names_estimator_and_thresholds(answers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        text = sq.cfa(MODEL, answers, ordered=True).summary()
    assert "WLSMV" in text
    assert "u1|t1" in text
