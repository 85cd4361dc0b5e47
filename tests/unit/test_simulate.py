"""Simulated surveys: exact population moments, shares that were asked for, the same bytes."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import sqvalid as sq
from sqvalid.errors import ModelError, OptionError, UnsupportedError
from sqvalid.resampling import uniforms
from sqvalid.simulate import (
    SEVEN_POINTS,
    Attention,
    Careless,
    Clusters,
    Column,
    Duration,
    Group,
    MinorFactors,
    Missing,
    OutOfRange,
    fleishman_coefficients,
    jittered_thresholds,
    population_from_text,
    simulate_survey,
)
from sqvalid.simulate.draws import Purpose, stream

TEXT = """
F =~ 0.8*a + 0.7*b + 0.6*c
G =~ 0.75*d + 0.65*e + 0.55*f
G ~ 0.5*F
a ~~ 0.1*d
"""
MANY = 40_000


def off(values: np.ndarray) -> np.ndarray:
    return values[~np.eye(len(values), dtype=bool)]


def test_population_moments_are_those_of_the_values():
    population = population_from_text(TEXT)
    covariance = pd.DataFrame(population.covariance(), population.names, population.names)
    np.testing.assert_allclose(np.diag(covariance), 1.0, atol=1e-14)
    assert covariance.loc["a", "b"] == pytest.approx(0.8 * 0.7, abs=1e-14)
    assert covariance.loc["a", "e"] == pytest.approx(0.8 * 0.5 * 0.65, abs=1e-14)
    assert covariance.loc["a", "d"] == pytest.approx(0.8 * 0.5 * 0.75 + 0.1, abs=1e-14)
    assert covariance.loc["F", "G"] == pytest.approx(0.5, abs=1e-14)


def test_population_moments_are_those_the_engine_implies():
    """Fitting the true model to the population's own matrix returns the values, misfit zero."""
    population = population_from_text(TEXT)
    names = list(population.observed)
    place = [population.place(name) for name in names]
    matrix = population.covariance()[np.ix_(place, place)]
    free = "F =~ a + b + c\nG =~ d + e + f\nG ~ F\na ~~ d"
    fit = sq.sem(free, cov=pd.DataFrame(matrix, names, names), n_obs=500, std_lv=True)
    assert fit.fit_measures["chisq"] == pytest.approx(0.0, abs=1e-8)
    rows = fit.parameters.set_index(["lhs", "op", "rhs"]).std_all
    assert rows["F", "=~", "a"] == pytest.approx(0.8, abs=1e-6)
    assert rows["G", "=~", "f"] == pytest.approx(0.55, abs=1e-6)
    assert rows["G", "~", "F"] == pytest.approx(0.5, abs=1e-6)


def test_unstandardised_population_keeps_its_units():
    text = "F =~ 2*a + 1*b\nF ~~ 4*F\na ~~ 3*a\na ~ 5*1"
    population = population_from_text(text, standardized=False)
    covariance = population.covariance()
    a, b = population.place("a"), population.place("b")
    assert covariance[a, a] == pytest.approx(4 * 4 + 3)
    assert covariance[b, b] == pytest.approx(4 + 1)
    assert covariance[a, b] == pytest.approx(8)
    assert population.mean()[a] == pytest.approx(5)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("F =~ a + 0.7*b", ModelError, "no value"),
        ("F =~ 1.2*a + 0.7*b", ModelError, "would be -0.44"),
        ("F =~ 0.7*a + 0.7*b\nF =~ 0.5*a", ModelError, "already in the model"),
        ("a ~~ 0.9*b\nb ~~ 0.9*c\na ~~ -0.9*c", ModelError, "impossible"),
        ("a ~~ 0.3*b\nb ~~ 0.3*a", ModelError, "already in the model"),
        ("F =~ 0.7*a + 0.7*b\ng := 2*3", UnsupportedError, "no defined parameters"),
        ("F =~ c(0.7, 0.6)*a + 0.7*b", UnsupportedError, "per group"),
        ("F <~ 0.7*a + 0.7*b", UnsupportedError, "not simulated"),
    ],
)
def test_populations_that_cannot_be(text, error, says):
    with pytest.raises(error, match=says):
        population_from_text(text)


def test_sample_moments_are_near_the_population():
    drawn = simulate_survey(TEXT, MANY, seed=5, thresholds=None)
    wanted = drawn.population.covariance()
    found = np.cov(drawn.latent.to_numpy().T)
    # Standard error of a covariance of unit-variance normal variables: at most sqrt(2 / n).
    assert np.abs(found - wanted).max() < 5.0 * np.sqrt(2.0 / MANY)


def test_categories_have_the_shares_of_the_thresholds():
    drawn = simulate_survey(TEXT, MANY, seed=5)
    wanted = np.diff([0.0, *stats.norm.cdf(SEVEN_POINTS), 1.0])
    for item in drawn.frame:
        found = np.bincount(drawn.frame[item].astype(int), minlength=8)[1:] / MANY
        assert np.abs(found - wanted).max() < 5.0 * np.sqrt(0.25 / MANY)
    points = np.arange(1, 8)
    mean = (wanted * points).sum()
    spread = np.sqrt((wanted * (points - mean) ** 2).sum())
    assert mean == pytest.approx(5.1, abs=0.05)
    assert (wanted * ((points - mean) / spread) ** 3).sum() == pytest.approx(-0.65, abs=0.05)


def test_thresholds_of_the_text_win_and_each_item_has_its_own():
    cuts = {"a": (0.0,), "b": (-1.0, 0.0, 1.0)}
    drawn = simulate_survey(TEXT + "a | 0.5*t1 + -0.5*t2\n", 2000, seed=2, thresholds=cuts)
    assert sorted(drawn.frame.a.unique()) == [1, 2, 3]
    assert sorted(drawn.frame.b.unique()) == [1, 2, 3, 4]
    assert drawn.frame.c.nunique() == 2000
    for bad in ((), (1.0, 1.0), (1.0, 0.0)):
        with pytest.raises(OptionError, match="thresholds of 'a'"):
            simulate_survey(TEXT, 10, thresholds={"a": bad})
    with pytest.raises(OptionError, match="no variable 'zz'"):
        simulate_survey(TEXT, 10, thresholds={"zz": (0.0,)})


def test_jittered_thresholds_move_together_within_the_limits():
    cuts = jittered_thresholds(SEVEN_POINTS, ["a", "b", "c"], shift=0.2, seed=1)
    moves = np.array([np.array(cut) - SEVEN_POINTS for cut in cuts.values()])
    np.testing.assert_allclose(moves, moves[:, :1] * np.ones(6), atol=1e-15)
    assert 0 < np.abs(moves).max() <= 0.2
    assert len(set(moves[:, 0])) == 3


@pytest.mark.parametrize(
    "shape",
    [
        (0.0, 3.0),
        (0.0, 7.0),
        (0.0, -0.8),
        (0.5, 0.5),
        (1.0, 2.0),
        (-1.5, 4.0),
        (2.0, 7.0),
        (3.0, 20.0),
    ],
)
def test_fleishman_has_exactly_the_moments(shape):
    a, b, c, d = fleishman_coefficients(*shape)

    def moment(k: int) -> float:
        def inner(z: float) -> float:
            return float((a + b * z + c * z**2 + d * z**3) ** k * stats.norm.pdf(z))

        return integrate.quad(inner, -12, 12, epsabs=1e-12, limit=200)[0]

    found = [moment(k) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(found, [0.0, 1.0, shape[0], shape[1] + 3.0], atol=1e-7)


def test_fleishman_refuses_what_no_cubic_has():
    with pytest.raises(OptionError, match="No cubic"):
        fleishman_coefficients(2.0, 0.0)


def test_shapes_keep_the_covariances_and_skew_the_variable():
    text = "F =~ 0.8*a + 0.7*b + 0.6*c"
    shapes = {"F": (-1.5, 4.0)}
    drawn = simulate_survey(text, MANY, seed=9, thresholds=None, shapes=shapes)
    assert stats.skew(drawn.latent.F) == pytest.approx(-1.5, abs=0.15)
    assert stats.skew(drawn.latent.a) == pytest.approx(-1.5 * 0.8**3, abs=0.1)
    found, wanted = np.cov(drawn.latent.to_numpy().T), drawn.population.covariance()
    # The fourth moment of F is 7, so a covariance has a variance of at most 6 / n.
    assert np.abs(found - wanted).max() < 5.0 * np.sqrt(6.0 / MANY)


def test_minor_factors_keep_the_variances_and_add_the_covariances_they_tell():
    minor = MinorFactors(n=8, share=0.10)
    drawn = simulate_survey(TEXT, MANY, seed=4, thresholds=None, minor_factors=minor)
    loadings = drawn.minor_loadings.to_numpy()
    np.testing.assert_allclose((loadings**2).sum(axis=1), 0.10, atol=1e-14)
    place = [drawn.population.place(name) for name in drawn.population.observed]
    plain = drawn.population.covariance()[np.ix_(place, place)]
    extra = loadings @ loadings.T
    np.fill_diagonal(extra, 0.0)
    found = np.cov(drawn.latent.to_numpy()[:, place].T)
    assert np.abs(found - plain - extra).max() < 5.0 * np.sqrt(2.0 / MANY)
    assert np.abs(off(extra)).max() > 0.03
    again = simulate_survey(TEXT, 10, seed=99, minor_factors=minor)
    np.testing.assert_array_equal(again.minor_loadings.to_numpy(), loadings)
    with pytest.raises(ModelError, match="unique variance of 'a'"):
        simulate_survey("F =~ 0.97*a + 0.5*b", 10, minor_factors=minor)


def test_groups_have_their_sizes_and_shifts():
    branch = Group("branch", {"n": 25_000, "s": 15_000}, {"s": {"F": 0.5, "b": 0.2}})
    drawn = simulate_survey(TEXT, MANY, seed=3, thresholds=None, groups=(branch,))
    assert drawn.frame.branch.value_counts().to_dict() == {"n": 25_000, "s": 15_000}
    gap = (
        drawn.latent.groupby(drawn.frame.branch).mean().loc["s"]
        - drawn.latent.groupby(drawn.frame.branch).mean().loc["n"]
    )
    wanted = {"F": 0.5, "a": 0.4, "b": 0.35 + 0.2, "G": 0.25, "d": 0.25 * 0.75}
    for name, value in wanted.items():
        assert gap[name] == pytest.approx(value, abs=5 * np.sqrt(1 / 25_000 + 1 / 15_000))
    with pytest.raises(OptionError, match="its levels have 40000 respondents, the survey 10"):
        simulate_survey(TEXT, 10, groups=(branch,))
    with pytest.raises(OptionError, match="no level of it"):
        Group("branch", {"n": 1.0}, {"x": {}})


def test_clusters_carry_their_share_and_the_covariances_are_kept():
    """One of two correlated variables varies between clusters: their covariance stays."""
    clusters = Clusters("shop", 4000, 0.30, ("F",))
    text = "F =~ 0.8*a + 0.7*b\nx ~~ 0.4*F"
    drawn = simulate_survey(text, MANY, seed=8, thresholds=None, clusters=clusters)
    shop = drawn.frame["shop"]
    assert shop.nunique() == 4000
    assert (shop.value_counts() == 10).all()
    between = drawn.latent.groupby(shop.to_numpy()).mean().var()
    # Variance of a cluster mean: icc + (1 - icc) / 10.
    assert between["F"] == pytest.approx(0.30 + 0.70 / 10, rel=0.12)
    assert between["x"] == pytest.approx(0.10, rel=0.12)
    found = np.cov(drawn.latent.to_numpy().T)
    assert np.abs(found - drawn.population.covariance()).max() < 0.05
    x, f = drawn.population.place("x"), drawn.population.place("F")
    assert found[x, f] == pytest.approx(0.4, abs=0.03)


def test_missing_completely_at_random_and_at_random():
    rules = (
        Missing(("a", "b"), 0.10, name="any"),
        Missing(("c",), 0.20, by="F_score", slope=-1.5, name="low"),
        Missing(("d",), 0.05, code=99, name="code"),
    )
    drawn = simulate_survey(
        TEXT + "F_score ~ 0.9*F\n",
        MANY,
        seed=6,
        columns={"F_score": Column()},
        missing=rules,
    )
    frame = drawn.frame
    bound = 5 * np.sqrt(0.25 / MANY)
    assert frame.a.isna().mean() == pytest.approx(0.10, abs=bound)
    assert frame.c.isna().mean() == pytest.approx(0.20, abs=bound)
    assert (frame.d == 99).mean() == pytest.approx(0.05, abs=bound)
    assert drawn.planted["missing"]["low"] == int(frame.c.isna().sum())
    gone = frame.c.isna()
    assert frame.F_score[gone].mean() < frame.F_score[~gone].mean() - 0.8
    gone = frame.a.isna()
    assert abs(frame.F_score[gone].mean() - frame.F_score[~gone].mean()) < 0.1
    # Among those at one place of the variable the answers themselves say nothing more.
    bin_of = pd.qcut(frame.F_score, 20, labels=False)
    left = drawn.latent.c - drawn.latent.c.groupby(bin_of).transform("mean")
    gone = frame.c.isna()
    assert abs(left[gone].mean() - left[~gone].mean()) < 0.06


def test_careless_people_do_what_is_said_of_them():
    text = "F =~ " + " + ".join(f"0.7*x{k}" for k in range(1, 9))
    drawn = simulate_survey(
        text,
        500,
        seed=12,
        reverse=("x7", "x8"),
        careless=Careless(0.10, straight=0.4, random=0.3, pace=0.3),
        duration=Duration("seconds", median=400, spread=0.2),
        attention=Attention("check", answer=2, failed=0.0, failed_blind=0.0),
        duplicates=2,
        out_of_range=OutOfRange(("x1", "x2"), 3, {5: 8}),
    )
    planted, frame = drawn.planted, drawn.frame
    careless = planted["careless"]
    assert {k: len(v) for k, v in careless.items()} == {
        "straight": 20,
        "random": 15,
        "blind_to_reversal": 15,
    }
    items = [f"x{k}" for k in range(1, 9)]
    wrong = {(cell["respondent"], cell["item"]) for cell in planted["out_of_range"]}
    for row in careless["straight"]:
        kept = [item for item in items if (row, item) not in wrong]
        assert frame.loc[row, kept].nunique() == 1
    honest = frame.drop([row for rows in careless.values() for row in rows])
    blind = frame.loc[careless["blind_to_reversal"]]
    clean = honest[(honest[items] <= 7).all(axis=1)]
    assert clean.x7.corr(clean.x6) < -0.3
    assert blind.x7.corr(blind.x6) > 0
    assert frame.loc[careless["random"], "seconds"].median() < 200 < honest.seconds.median()
    assert len(planted["out_of_range"]) == 3
    for cell in planted["out_of_range"]:
        assert frame.loc[cell["respondent"], cell["item"]] == cell["recorded"]
        assert cell["recorded"] == {5: 8}.get(cell["answer"], 11 * cell["answer"]) > 7
    assert len(planted["duplicates"]) == 2
    for copy, original in planted["duplicates"].items():
        assert (frame.loc[copy] == frame.loc[original]).all()
    assert planted["attention_failed"] == list(frame.index[frame.check != 2])


def test_too_many_duplicates_are_refused():
    with pytest.raises(OptionError, match="do not fit"):
        simulate_survey(TEXT, 5, duplicates=3)


def test_reverse_items_come_from_the_instrument():
    instrument = sq.load_instrument("servqual_study")
    names = [item.id for item in instrument.items if item.battery == "perception"]
    text = "F =~ " + " + ".join(f"0.7*{name}" for name in names)
    drawn = simulate_survey(text, 300, instrument=instrument)
    ticked = drawn.frame
    assert ticked.P1.corr(ticked.P10) < 0 < ticked.P1.corr(ticked.P2)
    turned = drawn.survey().reverse_keyed().frame
    assert turned.P1.corr(turned.P10) > 0


def test_the_same_bytes_and_the_first_rows_of_a_larger_sample():
    small, large = simulate_survey(TEXT, 50, seed=7), simulate_survey(TEXT, 80, seed=7)
    pd.testing.assert_frame_equal(small.frame, large.frame.iloc[:50])
    assert small.to_csv() == simulate_survey(TEXT, 50, seed=7).to_csv()
    assert small.to_csv() != simulate_survey(TEXT, 50, seed=7, replicate=1).to_csv()
    assert small.to_csv() != simulate_survey(TEXT, 50, seed=8).to_csv()
    digest = hashlib.sha256(small.to_csv().encode()).hexdigest()
    assert digest == "aa8dd370db441e2ed82ba874e1660cf426a43a2d192f5fbbc0220e1ad6196ac0"


def test_a_further_defect_leaves_the_answers_alone():
    plain = simulate_survey(TEXT, 60, seed=7).frame
    holes = simulate_survey(TEXT, 60, seed=7, missing=(Missing(("b",), 0.2),)).frame
    there = holes.b.notna()
    assert 0 < there.sum() < 60
    assert (holes.b[there] == plain.b[there]).all()
    pd.testing.assert_frame_equal(holes.drop(columns="b"), plain.drop(columns="b"))


def test_streams_are_not_those_of_resampling():
    """With one seed for both, answers and resampled rows must not be made of the same numbers."""
    ours = {stream(r, purpose) for r in range(50) for purpose in Purpose}
    assert len(ours) == 50 * len(Purpose)
    assert min(ours) > 10**9
    assert uniforms(1, stream(0, Purpose.DISTURBANCES), 1) != uniforms(1, 1, 1)


def test_options_that_do_not_fit():
    for options, says in (
        ({"reverse": ("zz",)}, "no variable|cannot be reversed"),
        ({"missing": (Missing(("zz",), 0.1),)}, "not asked"),
        ({"missing": (Missing(("a",), 0.1, by="zz"),)}, "no column 'zz'"),
        ({"out_of_range": OutOfRange(("zz",), 1)}, "no categories"),
        ({"clusters": Clusters("s", {"x": 2}, 0.1, ("F",), within="nowhere")}, "is no group"),
    ):
        with pytest.raises(OptionError, match=says):
            simulate_survey(TEXT, 20, **options)
    with pytest.raises(OptionError, match="n=0"):
        simulate_survey(TEXT, 0)
    with pytest.raises(OptionError, match="no share"):
        Careless(1.5)
    with pytest.raises(OptionError, match="more than 1"):
        Careless(0.1, straight=0.8, random=0.5)


def test_names_of_any_script_and_one_respondent():
    drawn = simulate_survey("质量 =~ 0.8*有形性 + 0.7*可靠性", 1)
    assert list(drawn.frame) == ["有形性", "可靠性"]
    assert drawn.frame.shape == (1, 2)


def test_a_fit_finds_the_population_again():
    drawn = simulate_survey(TEXT, MANY, seed=21, thresholds=None)
    free = "F =~ a + b + c\nG =~ d + e + f\nG ~ F\na ~~ d"
    fit = sq.sem(free, drawn.frame, std_lv=True)
    rows = fit.parameters.set_index(["lhs", "op", "rhs"])
    for key, value in ((("F", "=~", "a"), 0.8), (("G", "=~", "f"), 0.55), (("G", "~", "F"), 0.5)):
        assert rows.std_all[key] == pytest.approx(value, abs=0.03)
    assert fit.fit_measures["pvalue"] > 0.001
