"""Effects: against defined parameters, finite differences, and what must not change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.effects import (
    has_cycle,
    path_gradient,
    simple_paths,
    total_effects,
    total_effects_gradient,
)
from sqvalid.errors import OptionError

STEP = 1e-6


def frame(n=400, seed=11):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    m = 0.5 * x + rng.standard_normal(n)
    k = 0.3 * x + 0.4 * m + rng.standard_normal(n)
    y = 0.2 * x + 0.6 * m - 0.3 * k + rng.standard_normal(n)
    return pd.DataFrame({"x": 3.0 * x, "m": m, "k": 0.5 * k, "y": y})


MODEL = """
m ~ a*x
k ~ c*x + d*m
y ~ cp*x + b*m + e*k
via_m := a*b
via_k := c*e
via_both := a*d*e
indirect := a*b + c*e + a*d*e
total := cp + a*b + c*e + a*d*e
"""

BETA = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.0, 0.0],
        [0.3, 0.4, 0.0, 0.0],
        [0.2, 0.6, -0.3, 0.0],
    ]
)


@pytest.fixture(scope="module")
def fit():
    return sq.sem(MODEL, frame())


def test_totals_are_sums_over_paths():
    found = total_effects(BETA)[3, 0]
    assert found == pytest.approx(0.2 + 0.5 * 0.6 + 0.3 * -0.3 + 0.5 * 0.4 * -0.3)


def test_paths_come_shortest_first():
    paths = list(simple_paths(BETA != 0, 0, 3))
    assert paths == [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]


@pytest.mark.parametrize("what", ["total", "path"])
def test_gradients_agree_with_finite_differences(what):
    path = (0, 1, 2, 3)

    def value(beta):
        if what == "total":
            return total_effects(beta)[3, 0]
        return np.prod([beta[to, start] for to, start in zip(path[1:], path[:-1], strict=True)])

    gradient = total_effects_gradient(BETA, 3, 0) if what == "total" else path_gradient(BETA, path)
    for i, j in zip(*np.nonzero(BETA), strict=True):
        shift = np.zeros_like(BETA)
        shift[i, j] = STEP
        numeric = (value(BETA + shift) - value(BETA - shift)) / (2 * STEP)
        assert gradient[i, j] == pytest.approx(numeric, abs=1e-8)


def test_loops():
    loop = np.array([[0.0, 0.5], [0.5, 0.0]])
    assert has_cycle(loop != 0)
    assert not has_cycle(BETA != 0)
    assert total_effects(loop)[0, 1] == pytest.approx(0.5 / (1 - 0.25))
    assert np.isnan(total_effects(np.array([[0.0, 2.0], [0.6, 0.0]]))).all()


@pytest.mark.parametrize(
    ("kind", "path", "defined"),
    [
        ("specific", "x -> m -> y", "via_m"),
        ("specific", "x -> k -> y", "via_k"),
        ("specific", "x -> m -> k -> y", "via_both"),
        ("indirect", "x -> y", "indirect"),
        ("total", "x -> y", "total"),
    ],
)
def test_effects_are_the_defined_parameters(fit, kind, path, defined):
    table = sq.estimate_effects(fit, "x", "y").to_frame()
    row = table[(table["kind"] == kind) & (table["path"] == path)].iloc[0]
    raw = fit.parameters.query("op == ':=' and lhs == @defined").iloc[0]
    for column in ("est", "se", "z", "p", "ci_lower", "ci_upper"):
        assert row[column] == pytest.approx(raw[column], rel=1e-8, abs=1e-12), column
    standardized = fit.standardized("all").query("op == ':=' and lhs == @defined").iloc[0]
    for column in ("est", "se", "z", "p", "ci_lower", "ci_upper"):
        expected = standardized[column]
        assert row[f"{column}_std"] == pytest.approx(expected, rel=1e-8, abs=1e-12), column


def test_direct_effects_are_the_paths(fit):
    table = sq.estimate_effects(fit).to_frame()
    direct = table[table["kind"] == "direct"].set_index(["target", "source"])
    paths = fit.parameters[fit.parameters["op"] == "~"].set_index(["lhs", "rhs"])
    assert set(direct.index) == set(paths.index)
    for key, row in paths.iterrows():
        assert direct.loc[key, "est"] == pytest.approx(row["est"])
        assert direct.loc[key, "se"] == pytest.approx(row["se"])
        assert direct.loc[key, "est_std"] == pytest.approx(row["std_all"])


def test_standardised_effects_do_not_depend_on_units(fit):
    scaled = sq.sem(MODEL, frame() * [10.0, 0.1, 5.0, 3.0])
    ours = sq.estimate_effects(fit).to_frame()
    theirs = sq.estimate_effects(scaled).to_frame()
    for column in ("est_std", "se_std", "z", "p"):
        assert ours[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), abs=1e-6)


def test_fixed_path_has_no_test():
    fit = sq.sem("m ~ 0.5*x\ny ~ m", frame())
    table = sq.estimate_effects(fit, "x", "m").to_frame()
    direct = table[table["kind"] == "direct"].iloc[0]
    assert direct["est"] == pytest.approx(0.5)
    assert direct["se"] == 0.0
    assert np.isnan(direct["z"])
    assert np.isnan(direct["p"])


def test_path_fixed_at_zero_is_no_path():
    fit = sq.sem("m ~ x\ny ~ m + 0*x", frame())
    table = sq.estimate_effects(fit, "x", "y").to_frame()
    assert "direct" not in set(table["kind"])


def test_groups_have_their_own_effects():
    data = frame().assign(branch=["north", "south"] * 200)
    both = sq.sem("m ~ x\ny ~ m + x", data, group="branch")
    table = sq.estimate_effects(both, "x", "y").to_frame()
    alone = sq.sem("m ~ x\ny ~ m + x", data[data["branch"] == "south"], meanstructure=True)
    expected = sq.estimate_effects(alone, "x", "y").to_frame()
    south = table[table["group"] == "south"].reset_index(drop=True)
    for column in ("est", "se", "est_std", "se_std"):
        assert south[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-6)


def test_feedback_loop_is_told():
    rng = np.random.default_rng(5)
    data = frame().assign(w=rng.standard_normal(400), v=rng.standard_normal(400))
    data["y"] += 0.5 * data["v"]
    data["m"] += 0.5 * data["w"]
    fit = sq.sem("m ~ y + w\ny ~ m + v", data)
    found = sq.estimate_effects(fit)
    codes = {d.code for d in found.diagnostics}
    table = found.to_frame()
    assert "feedback_loop" in codes
    assert "specific" not in set(table["kind"])
    totals = table[(table["kind"] == "total") & (table["source"] == "m")]
    beta = fit.parameters[fit.parameters["op"] == "~"].set_index(["lhs", "rhs"])["est"]
    loop = beta["m", "y"] * beta["y", "m"]
    expected = beta["y", "m"] / (1 - loop)
    assert totals.set_index("target").loc["y", "est"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": "nobody"}, "not in the model"),
        ({"source": "y", "target": "x"}, "No path"),
        ({"level": 2.0}, "level"),
    ],
)
def test_wrong_questions_are_refused(fit, arguments, words):
    with pytest.raises(OptionError, match=words):
        sq.estimate_effects(fit, **arguments)


def test_model_without_regressions_is_refused():
    with pytest.raises(OptionError, match="no regressions"):
        sq.estimate_effects(sq.cfa("F =~ x + m + k + y", frame()))


def test_bootstrap_intervals_are_those_of_the_defined_parameters(fit):
    boot = sq.bootstrap_fit(fit, 300, seed=2)
    defined = {"x -> m -> y": "via_m", "x -> m -> k -> y": "via_both"}
    for interval in ("percentile", "bca"):
        table = sq.estimate_effects(fit, "x", "y", bootstrap=boot, interval=interval).to_frame()
        raw = boot.parameters(interval).query("op == ':='").set_index("lhs")
        std = boot.parameters(interval, metric="all").query("op == ':='").set_index("lhs")
        for path, name in defined.items():
            row = table[(table["kind"] == "specific") & (table["path"] == path)].iloc[0]
            for column in ("est", "se", "ci_lower", "ci_upper"):
                assert row[column] == pytest.approx(raw.loc[name, column], rel=1e-9), column
                assert row[f"{column}_std"] == pytest.approx(std.loc[name, column], rel=1e-7)
        for kind in ("indirect", "total"):
            row = table[table["kind"] == kind].iloc[0]
            assert row["ci_upper"] == pytest.approx(raw.loc[kind, "ci_upper"], rel=1e-7)


def test_draws_of_another_fit_are_refused(fit):
    boot = sq.draw_estimates(sq.sem(MODEL, frame()), 10)
    with pytest.raises(OptionError, match="another fit"):
        sq.estimate_effects(fit, bootstrap=boot)


def test_total_effects_of_many_matrices_at_once():
    path = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.2, 0.4, 0.0]])
    loop = np.array([[0.0, 2.0, 0.0], [1.5, 0.0, 0.0], [0.2, 0.4, 0.0]])
    unknown = np.where(path == 0.4, np.nan, path)
    found = total_effects(np.array([path, loop, unknown]))
    assert found[0, 2, 0] == pytest.approx(0.2 + 0.5 * 0.4)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[2]).all()
