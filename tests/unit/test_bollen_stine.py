"""Bollen-Stine bootstrap: the population it draws from, its p-value, what goes wrong."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import OptionError, UnsupportedError
from sqvalid.latent.bollen_stine import model_population
from sqvalid.resampling import uniforms

SHARED = Path(os.environ.get("SQVALID_SHARED") or Path(__file__).parents[3] / "shared")
ANSWERS = SHARED / "data" / "holzinger_swineford1939" / "data.csv"

TRUE = "f =~ a + b + c\ng =~ d + e + h"
WRONG = "f =~ a + b + c + d + e + h"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 240
    f = rng.standard_normal(n)
    g = 0.4 * f + rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            name: factor + 0.9 * rng.standard_normal(n)
            for name, factor in zip("abcdeh", (f, f, f, g, g, g), strict=True)
        }
    )
    frame["age"] = rng.standard_normal(n) + 0.3 * f
    frame["site"] = np.where(rng.random(n) < 0.5, "north", "south")
    return frame


@pytest.mark.parametrize("meanstructure", [True, False])
def test_model_holds_in_the_population(data, meanstructure):
    fit = sq.cfa(TRUE, data, group="site", group_equal="loadings", meanstructure=meanstructure)
    for block, local in zip(fit.estimate.problem.blocks, fit.estimate.locals_, strict=True):
        turned = model_population(block, local.state, with_means=meanstructure)
        assert np.cov(turned.T, bias=True) == pytest.approx(local.state.sigma, abs=1e-10)
        centre = local.state.mu if meanstructure else block.means
        assert turned.mean(axis=0) == pytest.approx(centre, abs=1e-10)


def test_draws_are_fits_of_resamples(data):
    fit = sq.cfa(TRUE, data, test="bollen.stine", bootstrap=3, seed=8)
    block, local = fit.estimate.problem.blocks[0], fit.estimate.locals_[0]
    turned = model_population(block, local.state, with_means=False)
    expected = []
    for draw in range(3):
        rows = np.floor(uniforms(8, draw, len(turned)) * len(turned)).astype(int)
        again = sq.cfa(TRUE, pd.DataFrame(turned[rows], columns=block.variables))
        expected.append(again.fit_measures["chisq"])
    assert fit.estimate.bollen_stine.draws == pytest.approx(expected, rel=1e-8)


def test_draws_are_fits_of_resamples_within_groups(data):
    fit = sq.cfa(TRUE, data, test="bollen.stine", bootstrap=2, seed=8, group="site")
    blocks, locals_ = fit.estimate.problem.blocks, fit.estimate.locals_
    uniform = uniforms(8, 1, fit.n_obs)
    frames, used = [], 0
    for block, local in zip(blocks, locals_, strict=True):
        turned = model_population(block, local.state, with_means=True)
        rows = np.floor(uniform[used : used + block.n_obs] * block.n_obs).astype(int)
        used += block.n_obs
        frames.append(pd.DataFrame(turned[rows], columns=block.variables).assign(s=block.group))
    again = sq.cfa(TRUE, pd.concat(frames), group="s")
    assert fit.estimate.bollen_stine.draws[1] == pytest.approx(
        again.fit_measures["chisq"], rel=1e-8
    )


@pytest.mark.skipif(not ANSWERS.is_file(), reason="SQVALID_SHARED has no data")
def test_p_is_lavaans_within_sampling_error():
    # lavaan 0.6-14 on R 4.2: cfa(..., test = "bollen.stine", bootstrap = 2000), set.seed(7):
    # 237 of 2000 draws are larger, p = 0.1185.
    model = "textual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
    fit = sq.cfa(model, pd.read_csv(ANSWERS), test="bollen.stine")
    found = fit.tests["bollen.stine"]
    assert found["stat"] == pytest.approx(14.3541, rel=1e-5)
    assert (found["df"], found["n_draws"], found["n_failed"]) == (8, 1000, 0)
    # Three standard errors of the difference of two shares, 1000 and 2000 draws.
    error = np.sqrt(0.1185 * 0.8815 * (1 / 1000 + 1 / 2000))
    assert found["pvalue"] == pytest.approx(0.1185, abs=3 * error)
    # The reported p-value stays that of the chi-square distribution.
    assert fit.fit_measures["pvalue"] == pytest.approx(0.073, abs=5e-4)


def test_right_model_is_kept_and_wrong_model_rejected(data):
    right = sq.cfa(TRUE, data, test="bollen.stine", bootstrap=200).tests["bollen.stine"]
    wrong = sq.cfa(WRONG, data, test="bollen.stine", bootstrap=200).tests["bollen.stine"]
    assert right["pvalue"] > 0.1
    assert wrong["pvalue"] == 0.0


def test_p_counts_draws_that_are_not_smaller(data):
    fit = sq.cfa(TRUE, data, test="bollen.stine", bootstrap=150)
    found = fit.estimate.bollen_stine
    assert len(found.draws) == 150
    assert found.pvalue == (found.draws >= found.stat).mean()
    assert not found.draws.flags.writeable


def test_seed_decides(data):
    def draws(**options):
        return sq.cfa(TRUE, data, test="bollen.stine", **options).estimate.bollen_stine.draws

    first = draws(bootstrap=20)
    assert (draws(bootstrap=20) == first).all()
    # A stream per draw: fewer draws are the first of them.
    assert (draws(bootstrap=5) == first[:5]).all()
    assert (draws(bootstrap=20, seed=3) != first).all()


def test_stands_beside_other_tests(data):
    fit = sq.cfa(
        TRUE, data, estimator="MLM", test=("satorra.bentler", "bollen.stine"), bootstrap=20
    )
    plain = sq.cfa(TRUE, data, estimator="MLM")
    assert set(fit.tests) == {"standard", "satorra.bentler", "bollen.stine"}
    measures = plain.fit_measures
    assert fit.fit_measures[measures.index].to_numpy() == pytest.approx(
        measures.to_numpy(), nan_ok=True
    )
    text = fit.summary()
    assert "Bollen-Stine bootstrap" in text
    assert "Bootstrap draws" in text


@pytest.mark.parametrize("estimator", ["GLS", "ULS"])
def test_least_squares(data, estimator):
    fit = sq.cfa(TRUE, data, estimator=estimator, test="bollen.stine", bootstrap=100)
    found = fit.tests["bollen.stine"]
    assert found["stat"] == fit.tests["standard"]["stat"]
    assert 0.05 < found["pvalue"] < 1
    assert found["n_failed"] == 0


def test_fixed_covariates_follow_the_resample(data):
    model = TRUE + "\ng ~ f\nf ~ age"
    fit = sq.sem(model, data, test="bollen.stine", bootstrap=60)
    random = sq.sem(model, data, test="bollen.stine", bootstrap=60, fixed_x=False)
    assert fit.estimate.bollen_stine.draws == pytest.approx(
        random.estimate.bollen_stine.draws, rel=1e-6
    )


def test_failures_are_counted_and_told(data):
    fit = sq.cfa(TRUE, data.iloc[:12], test="bollen.stine", bootstrap=80)
    found = fit.estimate.bollen_stine
    assert found.n_failed > 0
    assert found.n_failed + len(found.draws) == 80
    told = {d.code: d for d in fit.diagnostics}["bollen_stine_failures"]
    assert told.values == {"n_failed": found.n_failed, "n_draws": 80}


def test_without_degrees_of_freedom_there_is_no_p(data):
    fit = sq.cfa("f =~ a + b + c", data, test="bollen.stine", bootstrap=10)
    assert np.isnan(fit.tests["bollen.stine"]["pvalue"])


def test_zero_share_is_not_shown_smaller_than_draws_can_tell(data):
    text = sq.cfa(WRONG, data, test="bollen.stine", bootstrap=50).summary()
    lines = text.splitlines()
    at = next(
        i for i, line in enumerate(lines) if line.strip().startswith("Bollen-Stine") and "." in line
    )
    assert lines[at + 2].split()[1:] == ["<", ".020"]


def test_options_are_checked(data):
    assert sq.cfa(TRUE, data).options["bootstrap"] is None
    with pytest.raises(OptionError, match="nothing to draw for"):
        sq.cfa(TRUE, data, bootstrap=100)
    for wrong in (0, 2.5, True):
        with pytest.raises(OptionError, match="whole number of draws"):
            sq.cfa(TRUE, data, test="bollen.stine", bootstrap=wrong)
    with pytest.raises(UnsupportedError, match="estimator='WLS'"):
        sq.cfa(TRUE, data, estimator="WLS", test="bollen.stine")
    with pytest.raises(UnsupportedError, match="needs the answers"):
        sq.cfa(TRUE, cov=data[list("abcdeh")].cov(), n_obs=240, test="bollen.stine")
