"""Maximum likelihood from incomplete answers: properties, edges, and lavaan 0.6-14's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import OptionError, SurveyError, UnsupportedError
from sqvalid.latent.full_information import FullInformation
from sqvalid.moments import moments_from_frame
from sqvalid.moments.patterns import (
    available_moments,
    casewise_moment_scores,
    pattern_data,
    pattern_products,
    saturated_information,
)

MODEL = "f =~ x1 + x2 + x3 + x4\ng =~ x5 + x6 + x7\ng ~ f"
NAMES = [f"x{k}" for k in range(1, 8)]


def answers(n: int = 300, seed: int = 3, share: float = 0.12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = 0.6 * f + 0.8 * rng.normal(size=n)
    parts = [0.8 * f + rng.normal(size=n) for _ in range(4)]
    parts += [0.7 * g + rng.normal(size=n) for _ in range(3)]
    values = np.column_stack(parts) + np.arange(7)
    values[rng.random(values.shape) < share] = np.nan
    return pd.DataFrame(values, columns=NAMES)


def test_complete_answers_are_plain_maximum_likelihood() -> None:
    frame = answers(share=0.0)
    plain = sq.sem(MODEL, frame, meanstructure=True, information="observed")
    full = sq.sem(MODEL, frame, missing="fiml")
    np.testing.assert_allclose(full.parameters.est, plain.parameters.est, atol=1e-8)
    np.testing.assert_allclose(full.parameters.se, plain.parameters.se, atol=1e-8)
    names = ["chisq", "df", "cfi", "rmsea", "srmr", "logl", "aic"]
    np.testing.assert_allclose(full.fit_measures[names], plain.fit_measures[names], atol=1e-8)


def test_one_gap_moves_the_estimates_a_little_and_through_the_other_engine() -> None:
    frame = answers(share=0.0)
    plain = sq.sem(MODEL, frame, meanstructure=True)
    frame.iloc[0, 0] = np.nan
    full = sq.sem(MODEL, frame, missing="fiml")
    assert isinstance(full.estimate.problem.objective.estimator, FullInformation)
    gap = np.abs(full.parameters.est - plain.parameters.est)
    assert 0 < gap.max() < 0.02
    assert full.n_obs == 300


@pytest.mark.parametrize("seed", [1, 2])
def test_derivatives_are_those_of_the_value(seed: int) -> None:
    fit = sq.sem(MODEL, answers(seed=seed), missing="fiml")
    objective = fit.estimate.problem.objective
    rng = np.random.default_rng(seed)
    theta = fit.estimate.theta + 0.05 * rng.normal(size=fit.n_free)
    here = objective.locals(theta)
    assert here is not None
    step = 1e-5

    def moved(k: int, sign: float):
        out = theta.copy()
        out[k] += sign * step
        locals_ = objective.locals(out)
        assert locals_ is not None
        return objective.value_at(locals_), objective.gradient(locals_)

    ends = [(moved(k, 1.0), moved(k, -1.0)) for k in range(fit.n_free)]
    gradient = np.array([(a[0] - b[0]) / (2 * step) for a, b in ends])
    hessian = np.array([(a[1] - b[1]) / (2 * step) for a, b in ends])
    np.testing.assert_allclose(objective.gradient(here), gradient, atol=1e-8)
    np.testing.assert_allclose(objective.hessian(here), hessian, atol=1e-7)


def test_casewise_scores_sum_to_the_gradient_and_expected_information_is_their_mean() -> None:
    frame = answers()
    block = moments_from_frame(frame, NAMES, incomplete=True).blocks[0]
    assert block.patterns is not None
    sigma = block.covariance + 0.1 * np.eye(7)
    products = pattern_products(
        block.patterns, block.means, np.linalg.inv(sigma), np.linalg.slogdet(sigma)[1]
    )
    scores = casewise_moment_scores(products, block.cases, block.means)
    rows, columns = np.tril_indices(7)[::-1][::-1]
    gap = products.product - products.inverse
    expected = np.where(rows == columns, 0.5, 1.0) * gap[rows, columns]
    order = np.lexsort((rows, columns))
    np.testing.assert_allclose(scores.mean(axis=0)[7:], expected[order], atol=1e-12)
    # With the scatter a pattern would have on average, the two kinds of information agree.
    there = block.patterns.there[:, :, None] & block.patterns.there[:, None, :]
    typical = type(block.patterns)(
        block.patterns.there,
        block.patterns.counts,
        np.where(block.patterns.there, block.means, 0.0),
        np.where(there, sigma, 0.0),
        block.patterns.member,
        block.patterns.by_missing,
    )
    at = pattern_products(typical, block.means, np.linalg.inv(sigma), 0.0)
    np.testing.assert_allclose(
        saturated_information(at, observed=True),
        saturated_information(at, observed=False),
        atol=1e-10,
    )


def test_inverse_of_a_pattern_is_the_inverse_of_its_part() -> None:
    frame = answers(share=0.4)
    data = pattern_data(frame.to_numpy())
    root = np.random.default_rng(0).normal(size=(7, 7))
    sigma = root @ root.T + np.eye(7)
    found = pattern_products(data, np.zeros(7), np.linalg.inv(sigma), np.linalg.slogdet(sigma)[1])
    for there, inverse in zip(data.there, found.inverses, strict=True):
        part = np.linalg.inv(sigma[np.ix_(there, there)])
        np.testing.assert_allclose(inverse[np.ix_(there, there)], part, atol=1e-10)
        assert (inverse[~there] == 0).all()
    # The value is the density of what was answered.
    total = 0.0
    for row in frame.to_numpy():
        o = ~np.isnan(row)
        if o.any():
            block = sigma[np.ix_(o, o)]
            total += np.linalg.slogdet(block)[1] + row[o] @ np.linalg.solve(block, row[o])
    assert found.value * data.total == pytest.approx(total, rel=1e-10)


def test_items_on_their_own_have_the_moments_of_those_who_answered() -> None:
    frame = answers(share=0.3)
    means, variances = available_moments(pattern_data(frame.to_numpy()))
    np.testing.assert_allclose(means, frame.mean(), rtol=1e-12)
    np.testing.assert_allclose(variances, frame.var(ddof=0), rtol=1e-12)
    # They are the independence model's estimates: its chi-square is the search's from elsewhere.
    fit = sq.sem(MODEL, frame, missing="fiml")
    alone = "\n".join(f"{name} ~~ {name}" for name in NAMES)
    again = sq.sem(alone, frame, missing="fiml", start="simple")
    assert fit.fit_measures["baseline_chisq"] == pytest.approx(
        again.fit_measures["chisq"], abs=1e-8
    )


def test_order_of_items_and_scale_change_nothing() -> None:
    frame = answers()
    fit = sq.sem(MODEL, frame, missing="fiml")
    turned = sq.sem(MODEL, frame[NAMES[::-1]].sample(frac=1.0, random_state=1), missing="fiml")
    np.testing.assert_allclose(turned.parameters.est, fit.parameters.est, atol=1e-9)
    wide = sq.sem(MODEL, frame * 1000.0 + 5.0, missing="fiml")
    assert wide.fit_measures["chisq"] == pytest.approx(fit.fit_measures["chisq"], abs=1e-7)
    np.testing.assert_allclose(wide.standardized().est[:7], fit.standardized().est[:7], atol=1e-8)
    assert wide.fit_measures["cfi_robust"] == pytest.approx(
        fit.fit_measures["cfi_robust"], abs=1e-8
    )


def test_a_saturated_model_fits_perfectly() -> None:
    model = "\n".join(f"{a} ~~ {b}" for i, a in enumerate(NAMES) for b in NAMES[i:])
    fit = sq.sem(model, answers(), missing="fiml", estimator="MLR")
    assert fit.df == 0
    assert fit.fit_measures["chisq"] == pytest.approx(0.0, abs=1e-9)
    assert fit.fit_measures["srmr"] == pytest.approx(0.0, abs=1e-6)


def test_a_respondent_without_answers_is_left_out_and_told() -> None:
    frame = answers()
    base = sq.sem(MODEL, frame, missing="fiml")
    more = pd.concat([frame, pd.DataFrame([[np.nan] * 7], columns=NAMES)], ignore_index=True)
    fit = sq.sem(MODEL, more, missing="fiml")
    assert (fit.n_obs, fit.n_received) == (300, 301)
    assert fit.fit_measures["chisq"] == pytest.approx(base.fit_measures["chisq"], abs=1e-9)
    assert [d.values["n"] for d in fit.diagnostics if d.code == "rows_without_answers"] == [1]
    assert len(fit.factor_scores()) == 300


def test_an_item_nobody_in_a_group_answered_is_named() -> None:
    frame = answers().assign(branch=np.where(np.arange(300) < 150, "north", "south"))
    frame.loc[frame.branch == "south", "x3"] = np.nan
    with pytest.raises(SurveyError, match="'south' answered 'x3'"):
        sq.cfa(MODEL, frame, missing="fiml", group="branch")
    frame.loc[frame.branch == "south", "x3"] = 4.0
    with pytest.raises(SurveyError, match="same answer to 'x3'"):
        sq.cfa(MODEL, frame, missing="fiml", group="branch")


def test_booklets_lose_the_degrees_of_freedom_nobody_paid_for() -> None:
    frame = answers(1200, share=0.0)
    first = np.arange(1200) % 2 == 0
    frame.loc[first, ["x2", "x6"]] = np.nan
    frame.loc[~first, ["x3", "x7"]] = np.nan
    fit = sq.sem(MODEL, frame, missing="fiml", estimator="MLR")
    whole = sq.sem(MODEL, answers(1200), missing="fiml")
    assert fit.converged
    # x2 and x6 were never answered together with x3 and x7.
    assert fit.df == whole.df - 4
    found = [d for d in fit.diagnostics if d.code == "pairs_never_answered_together"]
    assert found[0].values["n"] == 4
    assert np.isfinite(fit.fit_measures[["chisq_scaled", "cfi", "rmsea"]]).all()
    assert np.isnan(fit.fit_measures["cfi_robust"])


def test_a_missing_covariate_drops_the_row_only_where_it_is_fixed() -> None:
    frame = answers().assign(age=np.random.default_rng(5).normal(size=300))
    frame.loc[:9, "age"] = np.nan
    fixed = sq.sem(MODEL + "\ng ~ age", frame, missing="fiml")
    random = sq.sem(MODEL + "\ng ~ age", frame, missing="fiml", fixed_x=False)
    assert (fixed.n_obs, random.n_obs) == (290, 300)
    assert [d.values["n"] for d in fixed.diagnostics if d.code == "rows_without_covariate"] == [10]


def test_scores_use_the_answers_there_are() -> None:
    frame = answers()
    frame.iloc[0, :4] = np.nan
    fit = sq.cfa("f =~ x1 + x2 + x3 + x4\ng =~ x5 + x6 + x7", frame, missing="fiml")
    bartlett, regression = fit.factor_scores("bartlett"), fit.factor_scores("regression")
    assert np.isnan(bartlett.loc[0, "f"])
    assert np.isfinite(bartlett.loc[0, "g"])
    assert np.isfinite(regression.to_numpy()).all()
    # A regression score is the posterior mean, here of one respondent by hand.
    row = frame.iloc[1].to_numpy()
    o = ~np.isnan(row)
    mats = fit.matrices[""]
    load, phi = mats["lambda"].to_numpy(), mats["psi"].to_numpy()
    sigma = (load @ phi @ load.T + mats["theta"].to_numpy())[np.ix_(o, o)]
    by_hand = phi @ load[o].T @ np.linalg.solve(sigma, row[o] - fit.implied_means.to_numpy()[o])
    np.testing.assert_allclose(regression.iloc[1], by_hand, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"estimator": "MLM"}, UnsupportedError, "complete answers"),
        ({"estimator": "GLS"}, UnsupportedError, "complete answers"),
        ({"test": "bollen.stine"}, UnsupportedError, "bollen.stine"),
        ({"se": "robust.sem"}, UnsupportedError, "robust.sem"),
        ({"meanstructure": False}, OptionError, "means"),
        ({"missing": "fimll"}, OptionError, "fiml"),
        ({"missing": "pairwise"}, UnsupportedError, "pairwise"),
    ],
)
def test_what_needs_complete_answers_is_refused(options, error, says) -> None:
    with pytest.raises(error, match=says):
        sq.sem(MODEL, answers(60), **({"missing": "fiml"} | options))
