"""Congruence with a target, stability within a sample, groups; Schmid-Leiman; published data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError, UnsupportedError
from sqvalid.exploratory import oblique_procrustes
from sqvalid.plots import loading_plot, scree_plot

from .test_efa import aligned, population

DATA = Path(os.environ.get("SQVALID_SHARED", Path(__file__).parents[3] / "shared")) / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared data not here")
KEY = {f"D{k + 1}": [f"项目{i}" for i in range(4 * k + 1, 4 * k + 5)] for k in range(3)}


def published(name: str) -> tuple[pd.DataFrame, int]:
    """A published matrix as correlations, and its n."""
    frame = pd.read_csv(DATA / name / "data.csv", index_col=0)
    values = frame.to_numpy(dtype=float)
    scale = np.sqrt(np.diag(values))
    matrix = pd.DataFrame(values / np.outer(scale, scale), frame.columns, frame.columns)
    return matrix, int(json.loads((DATA / name / "meta.json").read_text())["n"])


def test_the_key_is_found_again_and_chance_is_lower() -> None:
    found = sq.assess_replication(population(), KEY, rotation="oblique", n_draws=60, n_shuffles=60)
    frame = found.frame.set_index("factor")
    assert list(frame.index) == ["D1", "D2", "D3", "all"]
    assert frame["congruence"].min() > 0.95
    assert (frame["chance"] < frame["congruence"] - 0.1).all()
    assert (frame["ci_lower"] <= frame["ci_upper"]).all()
    assert frame["ci_upper"].max() <= 1.0
    assert found.items.min() > 0.9
    whole = (found.loadings * found.target).to_numpy().sum()
    size = np.sqrt((found.loadings**2).to_numpy().sum() * found.target.to_numpy().sum())
    assert frame.loc["all", "congruence"] == pytest.approx(whole / size)


def test_replication_of_a_matrix_has_no_interval_and_equals_that_of_its_answers() -> None:
    frame = population()
    a = sq.assess_replication(frame, KEY, n_draws=0, n_shuffles=30)
    b = sq.assess_replication(None, KEY, correlation=frame.corr(), n_obs=500, n_shuffles=30)
    np.testing.assert_allclose(a.frame["congruence"], b.frame["congruence"], atol=1e-10)
    assert b.frame["ci_lower"].isna().all()
    survey = sq.Survey(frame, dimensions=KEY)
    c = sq.assess_replication(survey, n_draws=0, n_shuffles=0)
    np.testing.assert_allclose(a.frame["congruence"], c.frame["congruence"], atol=1e-12)
    with pytest.raises(InputError, match="no structure"):
        sq.assess_replication(frame)
    with pytest.raises(OptionError, match="rotation"):
        sq.assess_replication(frame, KEY, rotation="procrustes")


def test_oblique_procrustes_reaches_an_oblique_target() -> None:
    fit = sq.efa(population(), 3, rotation="oblimin")
    pattern, phi = oblique_procrustes(fit.unrotated, fit.loadings.rename(columns=str))
    np.testing.assert_allclose(pattern, fit.loadings, atol=1e-6)
    np.testing.assert_allclose(phi, fit.factor_correlations, atol=1e-6)


def test_a_key_as_target_names_the_factors() -> None:
    fit = sq.efa(sq.Survey(population(), dimensions=KEY), 3, rotation="target")
    assert list(fit.loadings.columns) == ["D1", "D2", "D3"]
    own = np.kron(np.eye(3), np.ones((4, 1))) == 1
    assert fit.loadings.to_numpy()[own].min() > 0.5
    assert np.abs(fit.loadings.to_numpy()[~own]).max() < 0.15
    short = {name: items[:3] for name, items in KEY.items()}
    with pytest.raises(OptionError, match="no place for '项目4'"):
        sq.efa(population(), 3, rotation="target", rotation_options={"target": short})
    with pytest.raises(OptionError, match="needs a target"):
        sq.efa(population(), 3, rotation="target")


def test_stability_of_a_clear_structure_and_of_noise() -> None:
    clear = sq.assess_stability(sq.efa(population(), 3), repeats=15)
    assert clear.frame["mean"].min() > 0.95
    assert (clear.frame["share_equal"] <= clear.frame["share_fair"]).all()
    folds = sq.assess_stability(sq.efa(population(), 3), folds=4, repeats=3)
    assert len(folds.draws) == 12
    assert (folds.frame["mean"] > clear.frame["mean"]).all()
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 9))).rename(
        columns="n{}".format
    )
    assert sq.assess_stability(sq.efa(noise, 3), repeats=15).frame["mean"].max() < 0.8
    with pytest.raises(InputError, match="no respondents to divide"):
        sq.assess_stability(sq.efa(correlation=population().corr(), n_factors=3))
    with pytest.raises(OptionError, match="folds=1"):
        sq.assess_stability(sq.efa(population(), 3), folds=1)


def test_groups_of_one_structure_and_of_two() -> None:
    same = pd.concat([population(1).assign(branch="n"), population(2).assign(branch="s")])
    found = sq.compare_structures(same, 3, group="branch", n_draws=20)
    assert found.frame["congruence"].min() > 0.97
    assert list(found.loadings) == ["n", "s"]
    assert found.n_obs == {"n": 500, "s": 500}
    other = population(2)
    other = other.set_axis(list(np.roll(other.columns, 2)), axis=1)[list(population().columns)]
    mixed = pd.concat([population(1).assign(branch="n"), other.assign(branch="s")])
    assert (
        sq.compare_structures(mixed, 3, group="branch", n_draws=0).frame["congruence"].max() < 0.8
    )
    with pytest.raises(InputError, match="'region'"):
        sq.compare_structures(same, 3, group="region")


# --- published matrices ------------------------------------------------------------------


@needs_data
def test_ability_is_factanals_published_solution() -> None:
    """R's help of factanal: chi-square 75.18 on 9 df, 6.11 on 4 df, p = .191."""
    matrix, n = published("ability_cov6")
    one, two = (sq.efa(correlation=matrix, n_factors=m, n_obs=n, extraction="ml",
                       rotation="varimax") for m in (1, 2))  # fmt: skip
    assert one.fit_measures["chisq"] == pytest.approx(75.18, abs=0.005)
    assert two.fit_measures["chisq"] == pytest.approx(6.11, abs=0.005)
    assert two.fit_measures["pvalue"] == pytest.approx(0.191, abs=5e-4)
    unique = [0.455, 0.589, 0.218, 0.769, 0.052, 0.334]
    np.testing.assert_allclose(two.uniquenesses, unique, atol=6e-4)


@needs_data
def test_harman_is_factanals_published_solution() -> None:
    """R's help of factanal for Harman74.cor: chi-square of 1 to 5 factors."""
    matrix, n = published("harman74_24")
    fits = [sq.efa(correlation=matrix, n_factors=m, n_obs=n, extraction="ml",
                   rotation="varimax") for m in range(1, 6)]  # fmt: skip
    chisq = [fit.fit_measures["chisq"] for fit in fits]
    np.testing.assert_allclose(chisq, [622.91, 420.24, 295.59, 226.68, 186.82], atol=0.006)
    assert [fit.fit_measures["df"] for fit in fits] == [252, 229, 207, 186, 166]
    np.testing.assert_allclose(
        fits[3].uniquenesses[:4], [0.438, 0.780, 0.644, 0.651], atol=6e-4
    )  # fmt: skip


@needs_data
def test_thurstones_schmid_leiman_solution() -> None:
    """psych 2.2.9: schmid(Thurstone, 3, fm="minres"), whose second order is minres, too."""
    matrix, n = published("thurstone9")
    loadings, general, trouble = sq.schmid_leiman(
        sq.efa(correlation=matrix, n_factors=3, n_obs=n, rotation="oblimin")
    )
    assert trouble == ()
    g = [0.708954, 0.725705, 0.683159, 0.646080, 0.622222, 0.558362, 0.587128, 0.576797, 0.540627]
    h2 = [0.817497, 0.835019, 0.738230, 0.728863, 0.631844, 0.495275, 0.725476, 0.505198, 0.523603]
    np.testing.assert_allclose(loadings["g"], g, atol=2e-5)
    np.testing.assert_allclose(loadings["h2"], h2, atol=2e-5)
    np.testing.assert_allclose(general, [0.783, 0.756, 0.681], atol=6e-4)
    assert general.between(0.5, 1.0).all()
    with pytest.raises(UnsupportedError, match="2 factors"):
        sq.schmid_leiman(sq.efa(correlation=matrix, n_factors=2, n_obs=n))
    with pytest.raises(UnsupportedError, match="uncorrelated"):
        sq.schmid_leiman(sq.efa(correlation=matrix, n_factors=3, n_obs=n, rotation="varimax"))


@needs_data
@pytest.mark.parametrize("correlation", ["pearson", "polychoric"])
def test_the_big_five_are_found(correlation: str) -> None:
    frame = pd.read_csv(DATA / "bfi_bigfive" / "data.csv")
    items = [c for c in frame if c[0] in "ACENO" and c[1:].isdigit()]
    fit = sq.efa(frame[items], 5, correlation=correlation, missing="pairwise", rotation="oblimin")
    assert fit.n_obs == 2800
    home = fit.loadings.abs().idxmax(axis=1)
    trait = {t: home[[i for i in items if i[0] == t]] for t in "ACENO"}
    factors = [own.mode()[0] for own in trait.values()]
    assert len(set(factors)) == 5
    assert sum(int((own == own.mode()[0]).sum()) for own in trait.values()) >= 24


@needs_data
def test_missing_answers_three_ways() -> None:
    frame = pd.read_csv(DATA / "bfi_bigfive" / "data.csv")[[f"N{k}" for k in range(1, 6)]]
    fits = {m: sq.efa(frame, 1, missing=m) for m in ("listwise", "pairwise", "fiml")}
    assert fits["listwise"].n_obs == len(frame.dropna())
    assert fits["pairwise"].n_obs == fits["fiml"].n_obs == len(frame.dropna(how="all"))
    np.testing.assert_allclose(fits["pairwise"].correlation, frame.corr(), atol=1e-12)
    gap = (fits["fiml"].loadings - fits["pairwise"].loadings).abs().to_numpy().max()
    assert 0.0 < gap < 0.01


def test_a_matrix_that_is_not_positive_definite_is_repaired_on_request_only() -> None:
    r = pd.DataFrame(
        [[1, 0.9, 0.3, 0.4], [0.9, 1, 0.8, 0.4], [0.3, 0.8, 1, 0.4], [0.4, 0.4, 0.4, 1]],
        list("abcd"), list("abcd"),
    )  # fmt: skip
    with pytest.raises(InputError, match="smooth=True"):
        sq.assess_factorability(correlation=r, n_obs=100)
    found = sq.assess_factorability(correlation=r, n_obs=100, smooth=True)
    [told] = found.diagnostics
    assert told.code == "correlation_smoothed"
    assert float(told.values["smallest"]) == pytest.approx(np.linalg.eigvalsh(r)[0], rel=5e-3)
    assert 0 < found.kmo < 1
    fit = sq.efa(correlation=r, n_factors=1, n_obs=100, smooth=True)
    assert "correlation_smoothed" in {d.code for d in fit.diagnostics}


def test_pictures_are_drawn() -> None:
    frame = population()
    fit = sq.efa(frame, 3)
    assert len(loading_plot(fit.loadings).axes) == 3
    assert len(fit.plot("scatter").axes) == 3
    assert fit.plot().axes
    assert len(scree_plot(fit.eigenvalues).axes) == 1
    found = sq.suggest_n_factors(frame, n_draws=20)
    axes = found.plot().axes
    observed = axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(observed, fit.eigenvalues)
    with pytest.raises(ValueError, match="no plane"):
        loading_plot(fit.loadings[["F1"]])
    with pytest.raises(OptionError, match="kind"):
        fit.plot("pie")


def test_order_of_a_permuted_solution_is_found() -> None:
    pattern = sq.efa(population(), 3).loadings.to_numpy()
    order, sign = aligned(pattern, pattern[:, [2, 0, 1]] * [1, -1, 1])
    assert list(order) == [1, 2, 0]
    assert list(sign) == [-1, 1, 1]
