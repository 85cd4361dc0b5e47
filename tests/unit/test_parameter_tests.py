"""Wald and score tests of constraints."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import wording
from sqvalid.errors import ModelError, OptionError, UnsupportedError
from sqvalid.latent.parameter_tests import wald_statistic

MODEL = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + d*x6"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    factors = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=400)
    values = factors[:, [0, 0, 0, 1, 1, 1]] * [0.8, 0.7, 0.9, 0.8, 0.6, 0.7]
    values = values + rng.standard_t(7, size=(400, 6)) * 0.6
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(1, 7)])
    return frame.assign(half=np.where(np.arange(400) % 2, "b", "a"))


@pytest.fixture(scope="module")
def free(data):
    return sq.cfa(MODEL, data)


@pytest.fixture(scope="module")
def equal(data):
    return sq.cfa(f"{MODEL}\na == b\nc == d", data)


# --- Wald ---------------------------------------------------------------------------------------


def test_one_linear_constraint_by_hand(free):
    found = sq.wald_test(free, "a == b")
    v = free.vcov.loc[["f=~x2", "f=~x3"], ["f=~x2", "f=~x3"]].to_numpy()
    gap = free.coef["f=~x2"] - free.coef["f=~x3"]
    variance = v[0, 0] + v[1, 1] - 2 * v[0, 1]
    assert found.stat == pytest.approx(gap**2 / variance, rel=1e-10)
    assert found.df == 1
    assert found.constraints["value"].iloc[0] == pytest.approx(gap)
    assert found.constraints["se"].iloc[0] == pytest.approx(np.sqrt(variance))


def test_a_single_parameter_gives_z_squared(free):
    row = free.parameters.set_index("label").loc["a"]
    assert sq.wald_test(free, "a == 0").stat == pytest.approx(row["z"] ** 2, rel=1e-10)
    assert sq.wald_test(free, f"a == {float(row['est'])!r}").stat == pytest.approx(0.0, abs=1e-12)


def test_joint_test_forms(free):
    joint = sq.wald_test(free, "a == b\nc == d")
    assert joint.df == 2
    assert sq.wald_test(free, ["a == b", "c == d"]).stat == pytest.approx(joint.stat)
    turned = sq.wald_test(free, ["1000*d == 1000*c", "b - a == 0"])
    assert turned.stat == pytest.approx(joint.stat, rel=1e-9)


def test_a_constraint_that_follows_counts_once(free):
    twice = sq.wald_test(free, ["a == b", "b == c", "a == c"])
    once = sq.wald_test(free, ["a == b", "b == c"])
    assert twice.df == 2
    assert twice.stat == pytest.approx(once.stat, rel=1e-8)


def test_nonlinear_constraint_is_linearised(free):
    found = sq.wald_test(free, "a*b == c^2")
    a, b, c = (free.coef[name] for name in ("f=~x2", "f=~x3", "g=~x5"))
    slope = pd.Series({"f=~x2": b, "f=~x3": a, "g=~x5": -2 * c}).reindex(free.coef.index).fillna(0)
    expected = (a * b - c**2) ** 2 / (slope @ free.vcov @ slope)
    assert found.stat == pytest.approx(expected, rel=1e-10)


def test_defined_parameters_may_be_named(data):
    fit = sq.cfa(f"{MODEL}\nsum := a + b", data)
    assert sq.wald_test(fit, "sum == 2").stat == pytest.approx(sq.wald_test(fit, "a + b == 2").stat)


def test_robust_covariance_is_used(data, free):
    robust = sq.cfa(MODEL, data, estimator="MLR")
    found = sq.wald_test(robust, "a == 0")
    assert found.robust
    assert not sq.wald_test(free, "a == 0").robust
    z = robust.parameters.set_index("label").loc["a", "z"]
    assert found.stat == pytest.approx(z**2, rel=1e-10)


def test_wald_statistic_ignores_units():
    jacobian = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    vcov = np.diag([1e-8, 1.0, 1e8])
    values = np.array([0.3, -0.2])
    stat, df = wald_statistic(values, jacobian, vcov)
    expected = values @ np.linalg.solve(jacobian @ vcov @ jacobian.T, values)
    assert (stat, df) == (pytest.approx(expected), 2)


def test_what_a_wald_test_refuses(free, equal, data):
    with pytest.raises(ModelError, match="no label of the model"):
        sq.wald_test(free, "a == nobody")
    with pytest.raises(UnsupportedError, match="inequality"):
        sq.wald_test(free, "a > 0")
    with pytest.raises(ModelError, match="Only constraints"):
        sq.wald_test(free, "f =~ x4")
    with pytest.raises(ModelError, match="nothing in it to vary"):
        sq.wald_test(equal, "a == b")
    with pytest.raises(ModelError, match="nothing in it to vary"):
        sq.wald_test(free, "1 == 2")
    with pytest.raises(UnsupportedError, match="no standard errors"):
        sq.wald_test(sq.cfa(MODEL, data, se="none"), "a == b")


# --- Score --------------------------------------------------------------------------------------


def test_release_of_all_and_of_one(equal, free):
    found = sq.score_test(equal)
    assert (found.df, found.n_constraints) == (2, 2)
    assert list(found.univariate["constraint"]) == ["a == b", "c == d"]
    difference = equal.estimate.chisq - free.estimate.chisq
    assert found.stat == pytest.approx(difference, rel=0.1)
    assert found.univariate["chisq"].max() <= found.stat


def test_release_by_number_and_by_text(equal):
    both = sq.score_test(equal)
    one = sq.score_test(equal, release=2)
    assert one.stat == pytest.approx(both.univariate["chisq"].iloc[1])
    assert sq.score_test(equal, release="c == d").stat == pytest.approx(one.stat)
    assert sq.score_test(equal, release=["d - c == 0"], univariate=False).n_constraints == 1


def test_expected_change_points_to_the_free_estimates(equal, free):
    changes = sq.score_test(equal).changes
    keys = changes["lhs"] + changes["op"] + changes["rhs"]
    expected = free.coef.reindex(keys).to_numpy()
    before = np.abs(changes["est"] - expected).max()
    after = np.abs(changes["epv"] - expected).max()
    assert after < 0.3 * before


def test_one_added_parameter_has_its_modification_index(free):
    indices = free.modification_indices()
    for row in indices.head(5).itertuples():
        found = sq.score_test(free, add=f"{row.lhs} {row.op} {row.rhs}")
        assert found.stat == pytest.approx(row.mi, rel=1e-8)
        assert found.changes["epc"].iloc[-1] == pytest.approx(row.epc, rel=1e-8)


def test_added_parameters_jointly(free, data):
    found = sq.score_test(free, add="f =~ x4\nx1 ~~ x5")
    assert found.df == 2
    more = sq.cfa(f"{MODEL}\nf =~ x4\nx1 ~~ x5", data)
    assert found.stat == pytest.approx(free.estimate.chisq - more.estimate.chisq, rel=0.15)


def test_fixed_parameters_can_be_freed(data):
    fixed = sq.cfa("f =~ x1 + x2 + 1*x3\ng =~ x4 + x5 + x6", data)
    found = sq.score_test(fixed, add="f =~ x3")
    assert found.changes["est"].iloc[-1] == 1.0
    free = sq.cfa("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6", data)
    assert found.stat == pytest.approx(fixed.estimate.chisq - free.estimate.chisq, rel=0.15)


def test_added_in_every_group(data):
    fit = sq.cfa(MODEL.replace("a*", "").replace("b*", ""), data, group="half")
    assert sq.score_test(fit, add="f =~ x4").df == 2


def test_what_is_no_new_direction_does_not_count(free):
    found = sq.score_test(free, add="f =~ x1")
    assert (found.df, found.n_constraints) == (0, 1)
    assert [d.code for d in found.diagnostics] == ["score_not_identified"]
    assert all(wording.describe(found.diagnostics[0], lang) for lang in ("en", "zh"))
    assert np.isnan(found.p)


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_scaling_of_the_factors_does_not_matter(data, estimator):
    model = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
    totals = []
    for std_lv in (False, True):
        fit = sq.cfa(
            model,
            data,
            group="half",
            group_equal=("loadings", "intercepts"),
            estimator=estimator,
            std_lv=std_lv,
        )
        totals.append(sq.score_test(fit).total)
    # Loadings and intercepts equal: 4 + 4 restrictions, however they are written.
    assert totals[0]["df"].iloc[0] == 8
    np.testing.assert_allclose(
        totals[0].drop(columns="test"), totals[1].drop(columns="test"), rtol=1e-5
    )


def test_robust_score_tests_are_near_the_plain_one_for_normal_answers():
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((4000, 1))
    frame = pd.DataFrame(
        factor * 0.7 + rng.standard_normal((4000, 4)) * 0.6, columns=["y1", "y2", "y3", "y4"]
    )
    fit = sq.cfa("f =~ y1 + a*y2 + b*y3 + c*y4\na == b\nb == c", frame, estimator="MLR")
    total = sq.score_test(fit).total.set_index("test")
    assert list(total.index) == ["score", "score.scaled", "score.adjusted", "score.robust"]
    np.testing.assert_allclose(total["chisq"], total.loc["score", "chisq"], rtol=0.1)
    np.testing.assert_allclose(total["df"], 2, rtol=0.02)


def test_what_a_score_test_refuses(free, equal, data):
    with pytest.raises(ModelError, match="no equality constraints"):
        sq.score_test(free)
    with pytest.raises(OptionError, match="numbered 1 to 2"):
        sq.score_test(equal, release=3)
    with pytest.raises(ModelError, match="no constraint of the model"):
        sq.score_test(equal, release="a == c")
    with pytest.raises(OptionError, match="not both"):
        sq.score_test(equal, release=1, add="f =~ x4")
    with pytest.raises(ModelError, match="free in the model already"):
        sq.score_test(free, add="f =~ x2")
    with pytest.raises(ModelError, match="'x9', which is no variable"):
        sq.score_test(free, add="f =~ x9")
    with pytest.raises(ModelError, match="takes parameters"):
        sq.score_test(free, add="a == b")
    with pytest.raises(UnsupportedError, match="inequality"):
        sq.score_test(sq.cfa(f"{MODEL}\na > 0.1\na == b", data))


def test_face(equal, free):
    score, wald = sq.score_test(equal), sq.wald_test(free, "a == b")
    assert repr(score).startswith("<ScoreTest: 2 released: chi-square ")
    assert repr(wald).startswith("<WaldTest: chi-square ")
    assert score.to_dict()["n_constraints"] == 2
    assert wald.to_dict()["df"] == 1
    assert len(score.tables()) == 2
    assert "a == b" in wald.tables()[0].to_text()
    assert len(sq.score_test(equal, univariate=False).to_frame()) == 1
