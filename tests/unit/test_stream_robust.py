"""Robust statistics from streamed fourth moments against those from the answers themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import UnsupportedError
from sqvalid.resampling import normals

# Both sides find the minimum to a scale-free gradient below 1e-8 from moments equal to about 1e-12.
CLOSE = 1e-7
EXACT = 1e-10

ITEMS = ("x1", "x2", "x3", "y1", "y2", "y3", "age")
MODEL = """
visual =~ x1 + x2 + x3
textual =~ y1 + y2 + y3
textual ~ visual
"""
COVARIATE = MODEL + "visual ~ age\ntextual ~ age\n"


def answers(n: int = 700) -> pd.DataFrame:
    """Skewed items of two factors and a covariate, sorted by it; two branches."""
    z = normals(11, 0, n * 10).reshape(n, 10)
    age = np.exp(0.5 * z[:, 0])
    f = 0.5 * age + z[:, 1] ** 2
    g = 0.6 * f + 0.3 * age + z[:, 2]
    columns = {f"x{j}": 50.0 + f + (0.5 + 0.3 * j) * z[:, 2 + j] for j in (1, 2, 3)}
    columns |= {f"y{j}": 20.0 + g + (0.5 + 0.2 * j) * z[:, 5 + j] * age for j in (1, 2, 3)}
    frame = pd.DataFrame(columns | {"age": age})
    frame["branch"] = np.where(z[:, 9] > 0.3, "north", "south")
    return frame.sort_values("age").reset_index(drop=True)


def streamed(frame: pd.DataFrame, items: tuple[str, ...], group: str | None = None) -> Any:
    parts = (frame.iloc[start : start + 97] for start in range(0, len(frame), 97))
    return sq.stream_moments(parts, items, group=group, gamma=True)


def assert_same(found: sq.FitResult, whole: sq.FitResult) -> None:
    for column in ("est", "se"):
        np.testing.assert_allclose(
            found.parameters[column], whole.parameters[column], rtol=CLOSE, atol=CLOSE
        )
    for name, expected in whole.fit_measures.items():
        np.testing.assert_allclose(
            found.fit_measures[name], expected, rtol=CLOSE, atol=CLOSE, err_msg=str(name)
        )


def test_gamma_is_the_covariance_of_the_casewise_moments() -> None:
    frame = answers()
    block = streamed(frame, ITEMS).blocks[0]
    cases = frame[list(ITEMS)].to_numpy()
    deviations = cases - cases.mean(axis=0)
    moments = [deviations[:, j] for j in range(7)]
    moments += [deviations[:, j] * deviations[:, i] for i in range(7) for j in range(i, 7)]
    expected = np.cov(np.array(moments), bias=True)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(block.gamma / scale, expected / scale, atol=EXACT)
    part = block.select(("y2", "x1", "age"))
    alone = streamed(frame, ("y2", "x1", "age")).blocks[0]
    np.testing.assert_allclose(part.gamma, alone.gamma, rtol=1e-9)


@pytest.mark.parametrize("points", [5, 7, 100])
def test_sums_of_ratings_are_exact(points: int) -> None:
    z = normals(3, 0, 6000).reshape(-1, 3)
    ratings = np.clip(np.rint(0.7 * points + 0.25 * points * (z + z[:, :1])), 1, points)
    frame = pd.DataFrame(ratings, columns=["a", "b", "c"])
    gamma = sq.stream_moments([frame[:900], frame[900:]], "abc", gamma=True).blocks[0].gamma
    values = frame.to_numpy(dtype=int).astype(object)
    n = len(values)
    d = n * values - values.sum(axis=0)  # whole numbers: no rounding until the last division
    moments = [d[:, j] for j in range(3)]
    moments += [d[:, j] * d[:, i] for i in range(3) for j in range(i, 3)]
    for row, left in enumerate(moments):
        for column, right in enumerate(moments):
            whole = n * (left * right).sum() - left.sum() * right.sum()
            power = (1 if row < 3 else 2) + (1 if column < 3 else 2)
            exact = int(whole) / (n ** (2 + power))
            assert gamma is not None
            assert gamma[row, column] == pytest.approx(exact, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    "estimator", ["ML", "MLR", "MLM", "MLMV", "MLMVS", "MLF", "ULSM", "ULSMV", "WLS"]
)
@pytest.mark.parametrize("means", [False, True])
def test_estimators_give_what_they_give_from_answers(estimator: str, means: bool) -> None:
    frame = answers()
    whole = sq.sem(MODEL, frame, estimator=estimator, meanstructure=means)
    found = sq.sem(MODEL, streamed(frame, ITEMS), estimator=estimator, meanstructure=means)
    assert_same(found, whole)


@pytest.mark.parametrize("information", ["expected", "observed", "first.order"])
@pytest.mark.parametrize("estimator", ["MLR", "MLM"])
def test_unstructured_weights(estimator: str, information: str) -> None:
    frame = answers()
    options: Any = {"estimator": estimator, "information": information}
    options["h1_information"] = "unstructured"
    assert_same(sq.sem(MODEL, streamed(frame, ITEMS), **options), sq.sem(MODEL, frame, **options))


@pytest.mark.parametrize("estimator", ["MLR", "MLM", "MLMV"])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("means", [False, True])
def test_covariates_are_given_or_not(estimator: str, fixed: bool, means: bool) -> None:
    frame = answers()
    options: Any = {"estimator": estimator, "fixed_x": fixed, "meanstructure": means}
    assert_same(
        sq.sem(COVARIATE, streamed(frame, ITEMS), **options), sq.sem(COVARIATE, frame, **options)
    )


@pytest.mark.parametrize("estimator", ["MLR", "MLM"])
def test_groups_and_their_comparison(estimator: str) -> None:
    frame = answers()
    moments = streamed(frame, ITEMS, "branch")
    fits = {
        (source, equal): sq.sem(MODEL, data, group="branch", group_equal=equal, estimator=estimator)
        for source, data in (("whole", frame), ("streamed", moments))
        for equal in ((), ("loadings",))
    }
    for equal in ((), ("loadings",)):
        assert_same(fits["streamed", equal], fits["whole", equal])
    for method in ("satorra.bentler.2001", "satorra.2000"):
        whole, found = (
            sq.compare_models(fits[s, ("loadings",)], fits[s, ()], method=method).to_frame()
            for s in ("whole", "streamed")
        )
        numbers = [name for name in ("chisq_diff", "df_diff", "pvalue") if name in whole]
        assert len(numbers) > 1, list(whole.columns)
        ours, theirs = (frame[numbers].astype(float).to_numpy() for frame in (found, whole))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)
        assert np.isfinite(theirs).any()


@pytest.mark.parametrize("kind", ["normalized", "standardized"])
@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_residuals_and_information(kind: str, estimator: str) -> None:
    frame = answers()
    whole = sq.sem(COVARIATE, frame, estimator=estimator)
    found = sq.sem(COVARIATE, streamed(frame, ITEMS), estimator=estimator)
    ours, theirs = found.residuals(kind), whole.residuals(kind)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        found.information("first.order"), whole.information("first.order"), rtol=1e-7, atol=1e-9
    )


def test_what_needs_the_answers_says_so() -> None:
    moments = streamed(answers(), ITEMS)
    with pytest.raises(UnsupportedError, match="needs the answers"):
        sq.sem(MODEL, moments, test="bollen.stine")
    with pytest.raises(UnsupportedError, match="draw_estimates"):
        sq.bootstrap_fit(sq.sem(MODEL, moments, estimator="MLR"))
    with pytest.raises(UnsupportedError, match="answers"):
        sq.sem(MODEL, moments).factor_scores()
    without = sq.stream_moments([answers()], ITEMS)
    with pytest.raises(UnsupportedError, match="needs the answers"):
        sq.sem(MODEL, without, estimator="MLR")
