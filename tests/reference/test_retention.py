"""Factorability and the number of factors against psych, and on data of known structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError
from sqvalid.exploratory import extract, minimum_average_partial, parallel_eigenvalues
from sqvalid.exploratory.comparison_data import compare_data
from sqvalid.exploratory.hull import common_part_accounted_for, hull_choice, hull_fits
from sqvalid.exploratory.parallel import _communalities, _wishart_correlation
from sqvalid.exploratory.retention import SOURCES, TRUSTED

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


# --- hull, comparison data, one factor of many matrices ----------------------------------


def likert(m: int, n: int = 500, per: int = 5, seed: int = 3) -> pd.DataFrame:
    """Five categories, m factors correlated .3, loadings .7."""
    rng = np.random.default_rng(seed + 10 * m)
    mixed = np.linalg.cholesky(np.full((m, m), 0.3) + 0.7 * np.eye(m))
    values = np.repeat(rng.normal(size=(n, m)) @ mixed.T, per, axis=1) * 0.7
    values = values + rng.normal(0, np.sqrt(0.51), values.shape)
    cut = np.digitize(values, [-1.5, -0.5, 0.5, 1.5]) + 1
    return pd.DataFrame(cut, columns=[f"x{k}" for k in range(m * per)])


def test_hull_by_hand() -> None:
    # Slopes over df 10, 6, 3, 1, 0: .15, .10, .01, .005; ratios 1.5, 10, 2.
    fit = np.array([0.0, 0.6, 0.9, 0.92, 0.925])
    assert hull_choice(fit, np.array([10.0, 6.0, 3.0, 1.0, 0.0])) == 2
    # The third fits no better than the second and is dropped; 1 lies below the line from 0 to 2.
    assert hull_choice(np.array([0.0, 0.1, 0.9, 0.8, 0.95]), np.array([10.0, 6, 3, 1, 0])) == 2
    # Flat after the second: nothing that more factors add.
    assert hull_choice(np.array([0.0, 0.6, 1.0, 1.0, 1.0]), np.array([10.0, 6, 3, 1, 0])) == 2
    assert hull_choice(np.array([0.0, 0.5]), np.array([3.0, 0.0])) is None
    assert hull_choice(np.array([0.0, 0.5, np.nan]), np.array([3.0, 1.0, 0.0])) is None


def test_common_part_accounted_for() -> None:
    r = likert(2).corr().to_numpy()
    fits = hull_fits(r, 500, 4)
    assert fits["caf"][0] == pytest.approx(
        1.0 - sq.assess_factorability(correlation=likert(2).corr()).kmo
    )
    loadings = extract(r, 2, "minres").loadings
    assert fits["caf"][2] == pytest.approx(common_part_accounted_for(r - loadings @ loadings.T))
    assert list(fits["df"]) == [45.0, 35.0, 26.0, 18.0, 11.0]
    assert fits["cfi"][0] == 0.0
    assert (np.diff(fits["cfi"][:3]) > 0).all()
    assert hull_choice(fits["cfi"], fits["df"]) == 2


def test_communalities_of_many_matrices_are_those_of_one_by_one() -> None:
    stack = np.array([_wishart_correlation(200, 10, 5, k) for k in range(40)])
    many = _communalities(stack)
    one = np.array([1.0 - extract(r, 1, "minres").uniquenesses for r in stack])
    gap = np.abs(many - one).max(axis=1)
    # Noise may have two minima: two matrices of these forty end in the other one, which changes
    # what observed eigenvalues are compared with by less than its own sampling error.
    assert (gap < 1e-5).sum() == 38
    first = []
    for communality in (many, one):
        reduced = stack.copy()
        reduced[:, np.arange(10), np.arange(10)] = communality
        first.append(np.linalg.eigvalsh(reduced)[:, -1])
    change = abs(np.quantile(first[0], 0.95) - np.quantile(first[1], 0.95))
    assert change < 0.25 * first[1].std()


@pytest.mark.parametrize("m", [1, 3])
def test_comparison_data_finds_the_number(m: int) -> None:
    found = compare_data(likert(m).to_numpy(dtype=float), 5, n_samples=100)
    assert found.n_factors == m
    assert len(found.distance) == m + 1
    assert found.distance[m - 1] == found.distance[:m].min()
    assert (found.pvalues[:-1] < 0.3).all()
    assert found.pvalues[-1] >= 0.3


def test_polychoric_answers_are_compared_with_shuffled_ones() -> None:
    frame = likert(2, n=300, per=4)
    found = sq.suggest_n_factors(frame, correlation="polychoric", n_draws=20)
    assert found.recommended == 2
    plain = sq.suggest_n_factors(frame, draws="resampled", n_draws=20)
    # Polychoric correlations vary more: so do the eigenvalues of shuffled answers.
    wider = (
        found.eigenvalues["component_reference"][0] - plain.eigenvalues["component_reference"][0]
    )
    assert wider > 0.0
    assert found.eigenvalues["component"][0] > plain.eigenvalues["component"][0]


def test_every_rule_has_a_source_and_disagreement_is_told() -> None:
    frame = likert(3, n=120)
    found = sq.suggest_n_factors(frame, n_draws=30, comparison_data=True)
    assert list(found.frame["rule"]) == list(SOURCES)
    assert set(TRUSTED) <= set(SOURCES)
    assert found.comparison is not None
    votes = found.frame.set_index("rule")["n_factors"]
    assert found.recommended in set(votes[list(TRUSTED)])
    told = {d.code for d in found.diagnostics}
    assert ("retention_disagreement" in told) == (found.agreement < 1.0)
    with pytest.raises(OptionError, match="no answers to compare with"):
        sq.suggest_n_factors(correlation=frame.corr(), n_obs=120, comparison_data=True)
