"""Moments of incomplete answers against lavaan, and what must hold of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import SurveyError
from sqvalid.moments.em import em_moments, missing_patterns

from . import library


def incomplete(n: int = 300, share: float = 0.15, seed: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 1)) + rng.normal(size=(n, 5))
    values[rng.uniform(size=values.shape) < share] = np.nan
    return values


@pytest.mark.skipif(not library.has("em_sq_missing"), reason="reference file not here")
def test_moments_are_lavaans() -> None:
    document = library.document("em_sq_missing")
    frame = library.frame("em_sq_missing")
    found = em_moments(frame[document["variables"]].to_numpy(dtype=float))
    assert found.converged
    np.testing.assert_allclose(
        found.covariance, document["lavCor_cov_fiml"]["values"], atol=1e-6
    )  # fmt: skip
    np.testing.assert_allclose(found.mean, list(document["means"].values()), atol=1e-6)


@pytest.mark.skipif(not library.has("cfa_hsmiss_fiml"), reason="reference file not here")
def test_the_likelihood_is_lavaans_unrestricted_one() -> None:
    document = library.document("cfa_hsmiss_fiml")
    frame = library.frame("cfa_hsmiss_fiml")
    found = em_moments(frame[[f"x{k}" for k in range(1, 10)]].to_numpy(dtype=float))
    theirs = document["fit_measures"]["unrestricted.logl"]
    assert found.loglikelihood == pytest.approx(theirs, abs=1e-5)


@pytest.mark.skipif(not library.has("cfa_hsmiss_fiml"), reason="reference file not here")
def test_littles_test_on_lavaans_moments() -> None:
    # Little's formula written in R on the moments of lavaan 0.6-14, lavCor(missing = "fiml").
    found = sq.screen(library.frame("cfa_hsmiss_fiml")[[f"x{k}" for k in range(1, 10)]]).mcar
    assert found.chisq == pytest.approx(179.0564, abs=2e-4)
    assert (found.df, found.n_patterns) == (146, 21)
    assert found.p == pytest.approx(0.03262738, abs=1e-6)


def test_complete_answers_give_their_plain_moments() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    found = em_moments(values)
    np.testing.assert_allclose(found.covariance, np.cov(values.T, ddof=0), atol=1e-12)
    np.testing.assert_allclose(found.mean, values.mean(axis=0), atol=1e-12)


def test_units_do_not_matter_and_empty_rows_do_not_count() -> None:
    values = incomplete()
    scale = np.array([1.0, 100.0, 0.01, 7.0, 1.0])
    a, b = em_moments(values), em_moments(np.vstack([values * scale + 3.0, np.full(5, np.nan)]))
    np.testing.assert_allclose(b.covariance, a.covariance * np.outer(scale, scale), rtol=1e-7)
    np.testing.assert_allclose(b.mean, a.mean * scale + 3.0, rtol=1e-7, atol=1e-9)
    assert a.n == b.n


def test_it_is_a_maximum() -> None:
    values = incomplete()
    found = em_moments(values)

    def loglikelihood(mean: np.ndarray, covariance: np.ndarray) -> float:
        total = 0.0
        for row in values:
            o = ~np.isnan(row)
            if o.any():
                block, gap = covariance[np.ix_(o, o)], row[o] - mean[o]
                total -= 0.5 * (o.sum() * np.log(2 * np.pi) + np.linalg.slogdet(block)[1]
                                + gap @ np.linalg.solve(block, gap))  # fmt: skip
        return total

    best = loglikelihood(found.mean, found.covariance)
    assert best == pytest.approx(found.loglikelihood, abs=1e-8)
    rng = np.random.default_rng(1)
    for _ in range(20):
        shift = rng.normal(0, 1e-3, (5, 5))
        other = loglikelihood(found.mean + rng.normal(0, 1e-3, 5),
                              found.covariance + (shift + shift.T) / 2)  # fmt: skip
        assert other < best


def test_answers_missing_by_an_observed_variable_are_recovered() -> None:
    rng = np.random.default_rng(9)
    values = rng.multivariate_normal([0, 1], [[1, 0.7], [0.7, 1]], 20_000)
    values[values[:, 0] > 0.5, 1] = np.nan
    found = em_moments(values)
    assert found.mean[1] == pytest.approx(1.0, abs=0.04)
    assert found.covariance[0, 1] == pytest.approx(0.7, abs=0.05)
    assert np.nanmean(values[:, 1]) < 0.75


def test_littles_test_holds_its_level_and_sees_dependence() -> None:
    rng = np.random.default_rng(4)
    p_values = []
    for k in range(60):
        frame = pd.DataFrame(incomplete(200, 0.1, seed=k), columns=list("abcde"))
        p_values.append(sq.screen(frame).mcar.p)
    assert 0.0 <= np.mean(np.array(p_values) < 0.05) < 0.2
    values = rng.normal(size=(400, 1)) + rng.normal(size=(400, 5))
    values[values[:, 0] > 0.8, 1] = np.nan
    assert sq.screen(pd.DataFrame(values, columns=list("abcde"))).mcar.p < 0.001


def test_patterns_and_what_cannot_be_estimated() -> None:
    values = np.array([[1.0, np.nan], [2.0, 1.0], [4.0, 2.0], [np.nan, 3.0]])
    patterns, member = missing_patterns(values)
    assert patterns[member].tolist() == (~np.isnan(values)).tolist()
    with pytest.raises(SurveyError, match="Nobody answered the item in position 2"):
        em_moments(np.array([[1.0, np.nan], [2.0, np.nan]]))
    with pytest.raises(SurveyError, match="the same"):
        em_moments(np.array([[1.0, 2.0], [1.0, 3.0]]))
    booklets = np.full((40, 2), np.nan)
    booklets[:20, 0] = np.arange(20)
    booklets[20:, 1] = np.arange(20)
    found = em_moments(np.hstack([booklets, np.random.default_rng(0).normal(size=(40, 1))]))
    assert found.undetermined.tolist() == [[False, True, False], [True, False, False], [False] * 3]


def test_rounding_does_not_grow_where_steps_are_many() -> None:
    # Half of the answers missing in a small group: many steps, in which a part of the covariance
    # that is not symmetric would grow and lead away from the maximum.
    rng = np.random.default_rng(31)
    for seed in range(8):
        values = incomplete(120, 0.45, seed=seed)
        values = np.hstack([values, values[:, :2] + 0.3 * rng.normal(size=(120, 2))])
        found = em_moments(values)
        assert found.converged
        np.testing.assert_array_equal(found.covariance, found.covariance.T)
        again = em_moments(values[:, ::-1])
        assert again.loglikelihood == pytest.approx(found.loglikelihood, abs=1e-7)
        np.testing.assert_allclose(again.covariance[::-1, ::-1], found.covariance, atol=1e-6)


def test_an_item_with_too_few_answers_is_named() -> None:
    values = incomplete(150, 0.05)
    values[3:, 4] = np.nan
    with pytest.raises(SurveyError, match="do not determine the covariance matrix"):
        em_moments(values)
    frame = pd.DataFrame(values, columns=list("abcde"))
    with pytest.raises(SurveyError, match=r"involved: .*'e'"):
        sq.cfa("f =~ a + b + c + d + e", frame, missing="fiml")
