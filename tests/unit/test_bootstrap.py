"""The bootstrap: the batch against single fits, intervals against other programs, accidents."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sqvalid as sq
from sqvalid import resampling
from sqvalid.errors import ConvergenceWarning, InputError, OptionError, UnsupportedError
from sqvalid.latent import redraw
from sqvalid.latent.batch_discrepancy import batch_value_and_gradient
from sqvalid.latent.bootstrap import bootstrap_fit, draw_estimates

MEDIATION = "m ~ a*x\ny ~ b*m + c*x\nab := a*b"
FACTORS = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"


def survey(n: int = 200, seed: int = 3) -> pd.DataFrame:
    """Six items of two factors, with a covariate and two groups."""
    z = resampling.normals(seed, 0, n * 9).reshape(n, 9)
    f, g = z[:, 0], 0.5 * z[:, 0] + 0.8 * z[:, 1]
    columns = {f"x{i + 1}": 0.7 * (f if i < 3 else g) + 0.7 * z[:, 2 + i] for i in range(6)}
    return pd.DataFrame(columns).assign(
        age=z[:, 8] + 0.4 * f,
        branch=np.where(np.arange(n) % 2 == 0, "A", "B"),
        weight=0.4 + np.arange(n) % 5 / 2.0,
    )


def mediation(n: int = 120) -> pd.DataFrame:
    z = resampling.normals(11, 0, n * 3).reshape(n, 3)
    x = z[:, 0]
    m = 0.4 * x + z[:, 1]
    return pd.DataFrame({"x": x, "m": m, "y": 0.5 * m + 0.1 * x + z[:, 2]})


MODELS = {
    "two factors": (FACTORS, {}),
    "means": (FACTORS, {"meanstructure": True}),
    "second order": (FACTORS + "\nh =~ 1*f + 1*g", {}),
    "regression of factors": (FACTORS + "\ng ~ f", {"meanstructure": True}),
    "residual covariance": (FACTORS + "\nx1 ~~ x4", {}),
    "covariate": (FACTORS + "\nf ~ age\ng ~ f + age", {"meanstructure": True}),
    "random covariate": (FACTORS + "\nf ~ age\ng ~ f", {"fixed_x": False}),
    "equality": (FACTORS.replace("x2", "a*x2").replace("x5", "a*x5"), {}),
    "groups": (FACTORS, {"group": "branch", "group_equal": ("loadings", "intercepts")}),
    "bounds": (FACTORS, {"bounds": "pos.var"}),
    "wishart": (FACTORS, {"likelihood": "wishart"}),
    "GLS": (FACTORS, {"estimator": "GLS"}),
    "MLR": (FACTORS, {"estimator": "MLR"}),
    "weights": (FACTORS, {"sampling_weights": "weight"}),
    "weights in groups": (FACTORS, {"sampling_weights": "weight", "group": "branch"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_resample_is_estimated_as_its_rows_would_be(name: str) -> None:
    model, options = MODELS[name]
    data = survey()
    fit = sq.sem(model, data, **options)
    boot = bootstrap_fit(fit, 6, seed=5, studentized=True)
    assert boot.errors is not None
    units = redraw.make_units(fit.estimate, clusters=False)
    frames = [data] if "group" not in options else [d for _, d in data.groupby("branch")]
    frame = pd.concat(frames)
    raw, std = boot.draws("raw").to_numpy(), boot.draws("all").to_numpy()
    for b in range(3):
        counts = units.bootstrap_counts(5, b).astype(int)
        again = sq.sem(model, frame.iloc[np.repeat(np.arange(len(frame)), counts)], **options)
        expected = again.parameters["est"].to_numpy()
        np.testing.assert_allclose(raw[b], expected, rtol=1e-5, atol=2e-6)
        errors = again.parameters["se"].to_numpy()
        np.testing.assert_allclose(boot.errors[b], errors, rtol=1e-5, atol=1e-8)
        standard = again.standardized("all")["est"].to_numpy()
        np.testing.assert_allclose(std[b], standard, rtol=1e-5, atol=2e-6)
        assert boot.estimates.half_f[b] == pytest.approx(again.estimate.solution.half_f, abs=1e-10)


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("bounds", "wishart", "GLS")])
def test_the_gradient_of_the_batch_is_that_of_its_value(name: str) -> None:
    model, options = MODELS[name]
    fit = sq.sem(model, survey(), **options)
    estimate = fit.estimate
    units = redraw.make_units(estimate, clusters=False)
    counts = np.array([units.bootstrap_counts(1, b) for b in range(2)])
    targets = redraw._targets(estimate, tuple(counts[:, rows] for rows in units.rows))
    theta = np.tile(estimate.theta * 1.05, (2, 1))
    slots = estimate.problem.slots
    _, gradient = batch_value_and_gradient(slots, targets, theta)
    step = 1e-6
    for j in range(theta.shape[1]):
        up, down = theta.copy(), theta.copy()
        up[:, j] += step
        down[:, j] -= step
        high, _ = batch_value_and_gradient(slots, targets, up)
        low, _ = batch_value_and_gradient(slots, targets, down)
        np.testing.assert_allclose(gradient[:, j], (high - low) / (2 * step), atol=2e-8, rtol=1e-6)


def test_the_numbers_of_a_resample_do_not_depend_on_how_many_there_are_or_who_computes() -> None:
    fit = sq.cfa(FACTORS, survey())
    few, many = bootstrap_fit(fit, 40), bootstrap_fit(fit, 300)
    assert few.estimates.theta.tobytes() == many.estimates.theta[:40].tobytes()
    two = bootstrap_fit(fit, 300, n_jobs=2)
    assert two.estimates.theta.tobytes() == many.estimates.theta.tobytes()


def test_intervals_against_another_program() -> None:
    data = mediation()
    fit = sq.sem(MEDIATION, data)
    boot = bootstrap_fit(fit, 4000)

    def indirect(x: np.ndarray, m: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        x, m, y = (v - v.mean(axis=axis, keepdims=True) for v in (x, m, y))
        xx, mm, xm = (x * x).sum(axis), (m * m).sum(axis), (x * m).sum(axis)
        slope = ((m * y).sum(axis) * xx - (x * y).sum(axis) * xm) / (mm * xx - xm**2)
        return xm / xx * slope

    columns = tuple(data[name].to_numpy() for name in ("x", "m", "y"))
    # Their quantiles of our draws: what is left is the rule for quantiles, of order 1 / R.
    draws = boot.draws()["ab"].to_numpy()
    earlier = stats.bootstrap(columns, indirect, paired=True, n_resamples=2, rng=1)
    object.__setattr__(earlier, "bootstrap_distribution", draws)
    spread = draws.std()
    for ours, theirs in (("percentile", "percentile"), ("basic", "basic"), ("bca", "BCa")):
        row = boot.parameters(ours).set_index("label").loc["ab"]  # type: ignore[arg-type]
        other = stats.bootstrap(
            columns, indirect, paired=True, method=theirs, n_resamples=0, bootstrap_result=earlier
        ).confidence_interval
        assert row["ci_lower"] == pytest.approx(other.low, abs=0.01 * spread)
        assert row["ci_upper"] == pytest.approx(other.high, abs=0.01 * spread)
    # And with draws of their own: within Monte Carlo error.
    other = stats.bootstrap(
        columns, indirect, paired=True, method="BCa", n_resamples=4000, rng=2
    ).confidence_interval
    row = boot.parameters("bca").set_index("label").loc["ab"]
    assert row["ci_lower"] == pytest.approx(other.low, abs=0.15 * spread)
    assert row["ci_upper"] == pytest.approx(other.high, abs=0.15 * spread)


def test_statistics_of_the_fit_and_studentised_intervals() -> None:
    fit = sq.cfa(FACTORS, survey())
    boot = bootstrap_fit(
        fit,
        60,
        statistics={"cfi": "cfi", "ratio": lambda f: float(f.coef.iloc[0] / f.coef.iloc[1])},
        studentized=True,
    )
    frame = boot.statistics_frame().set_index("statistic")
    assert frame.loc["cfi", "est"] == fit.fit_measures["cfi"]
    draws = boot.draws()
    ratio = draws.iloc[:, 1] / draws.iloc[:, 2]
    assert frame.loc["ratio", "se"] == pytest.approx(ratio.std(), rel=1e-5)
    assert frame.loc["ratio", "ci_lower"] < frame.loc["ratio", "est"]
    student = boot.parameters("studentized")
    free = fit.parameters["free"].to_numpy() > 0
    assert (student["ci_lower"] < student["est"])[free].all()
    assert (student["ci_upper"] > student["est"])[free].all()
    bca = boot.statistics_frame("bca")
    assert np.isfinite(bca[["ci_lower", "ci_upper"]].to_numpy()).all()


def test_resamples_with_a_constant_item_are_counted_not_fatal() -> None:
    data = survey(60)
    rare = np.zeros(60)
    rare[:2] = 1.0
    data["x6"] = rare + 1e-3 * data["x6"] * (np.arange(60) < 2)
    fit = sq.sem("x6 ~ x1 + x2", data)
    boot = bootstrap_fit(fit, 200)
    units = redraw.make_units(fit.estimate, clusters=False)
    constant = sum(units.bootstrap_counts(boot.seed, b)[:2].sum() == 0 for b in range(200))
    assert boot.n_singular == constant > 5
    assert boot.parameters()["n_used"].max() == 200 - constant
    assert "bootstrap_draws_lost" in [d.code for d in boot.diagnostics]


def test_an_interruption_returns_what_is_done() -> None:
    fit = sq.cfa(FACTORS, survey())

    def stop(done: int, total: int) -> None:
        if done >= 2 * redraw.CHUNK:
            raise KeyboardInterrupt

    boot = bootstrap_fit(fit, 1000, progress=stop)
    assert boot.n_draws == 2 * redraw.CHUNK
    assert "bootstrap_interrupted" in [d.code for d in boot.diagnostics]
    assert np.isfinite(boot.parameters()["ci_lower"]).all()


def test_clusters_are_drawn_whole() -> None:
    data = survey(240).assign(clerk=np.repeat(np.arange(24), 10))
    fit = sq.cfa(FACTORS, data, cluster="clerk", estimator="MLR")
    units = redraw.make_units(fit.estimate, clusters=True)
    counts = units.bootstrap_counts(1, 0)
    assert counts.sum() == 24
    boot = bootstrap_fit(fit, 50)
    rows = np.repeat(counts, 10).astype(int)
    again = sq.cfa(FACTORS, data.iloc[np.repeat(np.arange(240), rows)], meanstructure=True)
    first = bootstrap_fit(fit, 2, seed=1).draws().iloc[0].to_numpy()
    np.testing.assert_allclose(first, again.parameters["est"], rtol=1e-5, atol=1e-6)
    assert boot.clusters


def test_draws_of_the_estimates_have_their_covariance() -> None:
    fit = sq.sem(MEDIATION, mediation())
    drawn = draw_estimates(fit, 20_000)
    # The standard error of a covariance of R normal draws, in units of both deviations.
    sd = np.sqrt(np.diag(fit.vcov))
    off = (drawn.vcov - fit.vcov).to_numpy() / np.outer(sd, sd)
    assert np.abs(off).max() < 4.0 * np.sqrt(2.0 / 20_000)
    row = drawn.parameters().set_index("label").loc["ab"]
    delta = fit.parameters.set_index("label").loc["ab"]
    assert row["se"] == pytest.approx(delta["se"], rel=0.05)
    # The product of two positive slopes leans to the right.
    assert row["ci_upper"] - row["est"] > row["est"] - row["ci_lower"]
    with pytest.raises(OptionError, match="bootstrap_fit"):
        drawn.parameters("bca")


def test_what_cannot_be_drawn_is_refused() -> None:
    data = survey()
    matrix = data[["x1", "x2", "x3"]].cov()
    from_matrix = sq.cfa("f =~ x1 + x2 + x3", cov=matrix, n_obs=200)
    with pytest.raises(UnsupportedError, match="answers"):
        bootstrap_fit(from_matrix, 10)
    fit = sq.cfa(FACTORS, data)
    with pytest.raises(OptionError, match="n_draws"):
        bootstrap_fit(fit, 1)
    with pytest.raises(OptionError, match="clusters"):
        bootstrap_fit(fit, 10, clusters=True)
    with pytest.raises(OptionError, match="statistics"):
        bootstrap_fit(fit, 10, statistics={"x": "no_such_measure"})
    with pytest.raises(OptionError, match="studentized"):
        bootstrap_fit(fit, 10).parameters("studentized")


def test_a_fit_that_did_not_converge_is_refused() -> None:
    with pytest.warns(ConvergenceWarning):
        fit = sq.cfa(FACTORS, survey(), max_iterations=1)
    assert not fit.converged
    with pytest.raises(InputError, match="converge"):
        bootstrap_fit(fit, 10)


def test_quantiles_leave_out_what_is_missing() -> None:
    draws = np.column_stack([np.arange(1.0, 100.0), np.arange(1.0, 100.0)])
    draws[-9:, 1] = np.nan
    lower, upper = resampling.percentile_interval(draws, np.array([50.0, 50.0]), 0.9)
    np.testing.assert_allclose(lower, [5.0, 0.05 * 91])
    np.testing.assert_allclose(upper, [95.0, 0.95 * 91])
    one_sided = resampling.bca_interval(draws + 1000.0, np.zeros(2), 0.9)
    assert np.isnan(one_sided[0]).all()
