"""Pooling over imputations: properties and edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError, UnsupportedError
from sqvalid.imputation import pool_ratios, pool_statistics

MODEL = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\ng ~ f"
NAMES = [f"x{k}" for k in range(1, 7)]


def answers(n: int = 250, seed: int = 1, share: float = 0.15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = 0.6 * f + 0.8 * rng.normal(size=n)
    values = np.column_stack(
        [0.8 * (f if k < 3 else g) + 0.6 * rng.normal(size=n) for k in range(6)]
    )
    values[rng.random(values.shape) < share] = np.nan
    return pd.DataFrame(values, columns=NAMES)


def test_the_same_data_twice_are_one_fit() -> None:
    frame = answers(share=0.0)
    one = sq.sem(MODEL, frame)
    pooled = sq.fit_imputations(MODEL, [frame, frame, frame])
    np.testing.assert_allclose(pooled.parameters.est, one.parameters.est, atol=1e-12)
    np.testing.assert_allclose(pooled.parameters.se, one.parameters.se, atol=1e-12)
    for method in ("D2", "D3", "D4"):
        test = pooled.test(method)
        assert test.chisq == pytest.approx(one.fit_measures["chisq"], abs=1e-8)
        assert test.p == pytest.approx(one.fit_measures["pvalue"], abs=1e-8)
    names = ["cfi", "tli", "rmsea", "srmr"]
    np.testing.assert_allclose(pooled.fit_measures[names], one.fit_measures[names], atol=1e-9)


def test_rubins_rules_by_hand() -> None:
    frames = sq.impute(answers(), 4)
    pooled = sq.fit_imputations(MODEL, frames)
    fits = [sq.sem(MODEL, frame) for frame in frames]
    values = np.array([fit.parameters.est[1] for fit in fits])
    errors = np.array([fit.parameters.se[1] for fit in fits])
    total = (errors**2).mean() + 1.25 * values.var(ddof=1)
    assert pooled.parameters.est[1] == pytest.approx(values.mean(), rel=1e-12)
    assert pooled.parameters.se[1] == pytest.approx(np.sqrt(total), rel=1e-12)
    assert pooled.vcov.iloc[0, 0] == pytest.approx(total, rel=1e-10)


def test_imputing_and_full_information_agree() -> None:
    frame = answers(1500, share=0.1)
    pooled = sq.fit_imputations(MODEL, sq.impute(frame, 20))
    full = sq.sem(MODEL, frame, missing="fiml")
    free = full.parameters.free > 0
    rows = full.parameters[free & (full.parameters.op != "~1")]
    ours = pooled.parameters.set_index(["lhs", "op", "rhs"])
    for row in rows.itertuples():
        found = ours.loc[(row.lhs, row.op, row.rhs)]
        assert found.est == pytest.approx(row.est, abs=0.35 * row.se)
        assert found.se == pytest.approx(row.se, rel=0.12)


def test_imputations_keep_answers_and_repeat() -> None:
    frame = answers().assign(branch="north")
    first, again = (sq.impute(frame, 2, items=NAMES, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(first[0], again[0])
    assert not first[0].equals(first[1])
    there = frame[NAMES].notna().to_numpy()
    np.testing.assert_array_equal(first[0][NAMES].to_numpy()[there], frame[NAMES].to_numpy()[there])
    assert (first[0].branch == "north").all()
    assert not first[0][NAMES].isna().any().any()


def test_seeds_share_no_imputation() -> None:
    frame = answers(80)
    first, second = (sq.impute(frame, 3, seed=seed) for seed in (1, 2))
    assert not any(a.equals(b) for a in first for b in second)


def test_groups_are_imputed_from_their_own_answers() -> None:
    # Opposite correlations: together they are none, and imputations from all know nothing.
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    sign = np.repeat([1.0, -1.0], 200)
    frame = pd.DataFrame({"x": x, "y": sign * x + 0.2 * rng.normal(size=400), "g": sign})
    frame.loc[::3, "y"] = np.nan
    gone = frame.y.isna().to_numpy()

    def error(done: pd.DataFrame) -> float:
        return float(np.abs(done.y - sign * x)[gone].mean())

    own, together = sq.impute(frame, 2, group="g"), sq.impute(frame, 2, items=["x", "y"])
    assert error(own[0]) < 0.3 < error(together[0])
    assert (own[0].g == sign).all()
    frame.loc[frame.g < 0, "y"] = np.nan
    with pytest.raises(InputError, match=r"in group '-1.0' answered 'y'"):
        sq.impute(frame, 2, group="g")


def test_statistics_that_do_not_vary_keep_their_chisquare() -> None:
    test = pool_statistics([10.0, 10.0, 10.0], 4)
    assert (test.chisq, test.relative_increase) == (10.0, 0.0)
    assert np.isnan(pool_statistics([0.0, 0.0], 0).statistic)
    assert pool_ratios("D3", 10.0, 12.0, 4, 5).relative_increase == 0.0
    # More variation between imputations leaves less evidence.
    assert pool_statistics([4.0, 16.0, 10.0], 4).p > test.p


def test_robust_estimators_pool_corrected_statistics() -> None:
    frames = sq.impute(answers(), 3)
    uls = sq.fit_imputations(MODEL, frames, estimator="ULSMV")
    assert np.isfinite(uls.test("D2").p)
    with pytest.raises(UnsupportedError, match="likelihood"):
        uls.test("D3")
    with pytest.raises(OptionError, match="no corrected"):
        sq.fit_imputations(MODEL, frames).test("D2", scaled=True)


def test_what_cannot_be_pooled_is_refused() -> None:
    frame = answers(share=0.0)
    with pytest.raises(InputError, match="two or more"):
        sq.fit_imputations(MODEL, [frame])
    with pytest.raises(InputError, match="249, 250"):
        sq.fit_imputations(MODEL, [frame, frame.iloc[1:]])
    free = sq.fit_imputations(MODEL, [frame, frame])
    equal = sq.fit_imputations(MODEL.replace("x2 + x3", "a*x2 + a*x3"), [frame, frame])
    with pytest.raises(InputError, match="more restrictions first"):
        sq.compare_imputed(free, equal)
    other = answers(seed=2, share=0.0)
    with pytest.raises(InputError, match="same imputed"):
        sq.compare_imputed(equal, sq.fit_imputations(MODEL, [other, other]))
    with pytest.raises(InputError, match="'x9'"):
        sq.impute(frame, 2, items=["x1", "x9"])
    frame["x1"] = np.nan
    with pytest.raises(InputError, match="Nobody answered 'x1'"):
        sq.impute(frame, 2)
