"""Factorability and the number of factors against psych, and on data of known structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError
from sqvalid.exploratory import minimum_average_partial, parallel_eigenvalues

from . import library


@pytest.mark.parametrize("name", library.names(("desc",)))
def test_factorability(name: str) -> None:
    document = library.document(name)
    if not document.get("kmo"):
        pytest.skip("no factorability in this file")
    found = sq.assess_factorability(library.frame(name)[document["variables"]])
    assert found.kmo == pytest.approx(document["kmo"]["MSA"], abs=1e-9)
    theirs = document["kmo"]["MSAi"]
    values = list(theirs.values()) if isinstance(theirs, dict) else theirs
    np.testing.assert_allclose(found.msa, values, atol=1e-9)
    bartlett = document["bartlett"]
    assert found.bartlett_chisq == pytest.approx(bartlett["chisq"], rel=1e-9)
    assert found.bartlett_df == bartlett["df"]
    assert found.log_determinant == pytest.approx(document["log_det_R"], rel=1e-9)
    np.testing.assert_allclose(found.smc, list(document["smc"].values()), atol=1e-9)


@pytest.mark.parametrize("name", library.names(("nfac",)))
def test_number_of_factors(name: str) -> None:
    document = library.document(name)
    frame = library.frame(name)[document["variables"]]
    found = sq.suggest_n_factors(frame, n_draws=100)
    table = found.eigenvalues
    np.testing.assert_allclose(table["component"], document["pc_values"], atol=1e-9)
    np.testing.assert_allclose(table["factor"], document["fa_values"], atol=2e-5)
    r = frame.dropna().corr().to_numpy()
    theirs = np.array(document["vss"]["map"], dtype=float)
    # psych's first entry has one component partialled out; its last ones have nothing left.
    k = min(len(theirs), len(r) - 2, 6)
    np.testing.assert_allclose(minimum_average_partial(r)[1 : k + 1], theirs[:k], atol=1e-9)
    simulated = document["simulated"]
    noise = 4.0 * 0.1 / np.sqrt(20)
    k = len(simulated["pc_sim"])
    np.testing.assert_allclose(table["component_mean"][:k], simulated["pc_sim"], atol=noise)


def test_wishart_draws_are_correlations_of_drawn_respondents() -> None:
    n, p, draws = 60, 8, 400
    fast = parallel_eigenvalues(n, p, n_draws=draws, factors=False)[0]
    rng = np.random.default_rng(8)
    slow = np.array(
        [
            np.linalg.eigvalsh(np.corrcoef(rng.normal(size=(n, p)), rowvar=False))[::-1]
            for _ in range(draws)
        ]
    )
    error = np.sqrt(fast.var(axis=0) / draws + slow.var(axis=0) / draws)
    assert (np.abs(fast.mean(axis=0) - slow.mean(axis=0)) / error).max() < 4.0
    spread = fast.std(axis=0) / slow.std(axis=0)
    assert (np.abs(np.log(spread)) < 4.0 * np.sqrt(1.0 / draws)).all()


@pytest.mark.parametrize("m", [1, 2, 4])
def test_the_true_number_is_recommended(m: int) -> None:
    rng = np.random.default_rng(m)
    factors = rng.normal(size=(800, m))
    frame = pd.DataFrame(
        np.repeat(factors, 5, axis=1) * 0.7 + rng.normal(0, 0.7, (800, 5 * m))
    ).rename(columns=lambda k: f"x{k}")
    for draws in ("normal", "resampled"):
        found = sq.suggest_n_factors(frame, draws=draws, n_draws=40)
        assert found.recommended == m
        assert found.agreement >= 0.75


def test_same_seed_same_numbers_and_kaiser_has_no_vote() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 10)))
    frame.columns = [f"x{k}" for k in range(10)]
    a, b = (sq.suggest_n_factors(frame, n_draws=30) for _ in range(2))
    pd.testing.assert_frame_equal(a.eigenvalues, b.eigenvalues)
    rules = a.frame.set_index("rule")
    assert not rules.loc["kaiser", "trusted"]
    assert rules.loc["kaiser", "n_factors"] > a.recommended


def test_what_cannot_be_asked() -> None:
    r = pd.DataFrame(np.eye(3) + 0.3 * (1 - np.eye(3)), list("abc"), list("abc"))
    with pytest.raises(InputError, match="No number of respondents"):
        sq.suggest_n_factors(correlation=r)
    with pytest.raises(OptionError, match="no answers to shuffle"):
        sq.suggest_n_factors(correlation=r, n_obs=50, draws="resampled")
    assert np.isnan(sq.assess_factorability(correlation=r).bartlett_chisq)
