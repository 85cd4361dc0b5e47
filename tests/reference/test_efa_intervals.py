"""Standard errors of rotated loadings: lavaan, a numerical delta method, the bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError, UnsupportedError
from sqvalid.exploratory.analysis import rotated_factors
from sqvalid.exploratory.intervals import align_columns, correlation_covariance

from . import library
from .test_efa import aligned, population

# lavaan's errors of oblique solutions are not those of the delta method, which ours are to 1e-4
# (test_errors_are_those_of_the_delta_method); it is up to .006 away, in both directions.
LAVAAN = {"varimax": 1e-6, "oblimin": 0.006, "geomin": 0.006}


@pytest.mark.parametrize("rotation", LAVAAN)
def test_lavaans_standard_errors(rotation: str) -> None:
    name = f"efa_lavaan_hs_{rotation}"
    if not library.has(name):
        pytest.skip("reference file not here")
    document = library.document(name)
    table = pd.DataFrame(document["std_all"])
    table = table[table["op"] == "=~"]
    theirs = table.pivot_table(index="rhs", columns="lhs", values="est.std")
    errors = table.pivot_table(index="rhs", columns="lhs", values="se").to_numpy()
    arguments = document["rotation_args"]
    options = {"n_starts": 10}
    if rotation == "geomin":
        options["epsilon"] = arguments["geomin_epsilon"]
    frame = library.frame(name)[list(theirs.index)]
    fit = sq.efa(frame, 3, extraction="ml", rotation=rotation, rotation_options=options,
                 kaiser=arguments["row_weights"] == "kaiser")  # fmt: skip
    order, _ = aligned(theirs.to_numpy(), fit.loadings.to_numpy())
    ours = fit.intervals().frame["se"].to_numpy()[: errors.size].reshape(errors.shape)
    np.testing.assert_allclose(ours[:, order], errors, atol=LAVAAN[rotation])


@pytest.mark.parametrize("extraction", ["ml", "minres", "wls", "gls"])
@pytest.mark.parametrize("rotation", ["none", "varimax", "oblimin", "geomin", "infomax", "target"])
def test_errors_are_those_of_the_delta_method(extraction: str, rotation: str) -> None:
    """The whole analysis, repeated with every correlation a little changed."""
    start = sq.efa(population(p=9, n=300), 3, rotation="oblimin")
    pattern, phi = start.loadings.to_numpy(), start.factor_correlations.to_numpy()
    implied = pattern @ phi @ pattern.T
    np.fill_diagonal(implied, 1.0)
    matrix = pd.DataFrame(implied, start.loadings.index, start.loadings.index)
    options = {"exact": True}
    if rotation == "target":
        options = {"target": np.where(np.abs(pattern) > 0.4, np.nan, 0.0)}
    fit = sq.efa(correlation=matrix, n_factors=3, n_obs=300, extraction=extraction,
                 rotation=rotation, rotation_options=options)  # fmt: skip
    base = fit.loadings.to_numpy()

    def solution(r: np.ndarray) -> np.ndarray:
        parts = rotated_factors(r, fit.setup)
        order, sign = align_columns(parts.pattern, base)
        between = parts.phi[np.ix_(order, order)] * np.outer(sign, sign)
        return np.concatenate([(parts.pattern[:, order] * sign).ravel(),
                               between[np.tril_indices(3, -1)]])  # fmt: skip

    slopes = []
    for i, j in zip(*np.triu_indices(9, 1), strict=True):
        h = np.zeros((9, 9))
        h[i, j] = h[j, i] = 1e-4
        slopes.append((solution(implied + h) - solution(implied - h)) / 2e-4)
    jacobian = np.array(slopes).T
    expected = np.sqrt(np.diag(jacobian @ correlation_covariance(implied) @ jacobian.T) / 300)
    ours = fit.intervals().frame["se"].to_numpy()
    known = np.isfinite(ours)
    assert known.sum() == (30 if rotation in ("oblimin", "geomin", "infomax", "target") else 27)
    np.testing.assert_allclose(ours[known], expected[known], rtol=2e-3)


def test_three_methods_agree_in_a_large_normal_sample() -> None:
    fit = sq.efa(population(n=2000), 3, rotation="oblimin")
    normal, robust = fit.intervals().frame, fit.intervals("robust").frame
    drawn = fit.intervals("bootstrap", n_draws=200).frame
    np.testing.assert_allclose(robust["se"], normal["se"], rtol=0.2)
    np.testing.assert_allclose(drawn["se"], normal["se"], rtol=0.35)
    np.testing.assert_allclose(drawn["se"].mean(), normal["se"].mean(), rtol=0.05)
    inside = (drawn["ci_lower"] <= drawn["est"]) & (drawn["est"] <= drawn["ci_upper"])
    assert inside.all()
    assert list(normal["item"][:3]) == ["项目1"] * 3
    assert list(zip(normal["item"][-3:], normal["factor"][-3:], strict=True)) == [
        ("F1", "F2"), ("F1", "F3"), ("F2", "F3"),
    ]  # fmt: skip


def test_polychoric_errors_are_those_of_the_bootstrap() -> None:
    answers = population(p=6, m=2, n=600).clip(-1.4, 1.4).round().astype(int)
    fit = sq.efa(answers, 2, correlation="polychoric", rotation="oblimin")
    assert "efa_polychoric_tests" in {d.code for d in fit.diagnostics}
    robust = fit.intervals("robust").frame["se"]
    drawn = fit.intervals("bootstrap", n_draws=150).frame["se"]
    np.testing.assert_allclose(robust.mean(), drawn.mean(), rtol=0.08)
    np.testing.assert_allclose(robust, drawn, rtol=0.35)
    with pytest.raises(UnsupportedError, match="method='robust'"):
        fit.intervals()


def test_what_has_no_errors_is_named() -> None:
    frame = population()
    with pytest.raises(UnsupportedError, match="rotation='promax'"):
        sq.efa(frame, 3, rotation="promax").intervals()
    with pytest.raises(UnsupportedError, match="extraction='pca'"):
        sq.efa(frame, 3, extraction="pca").intervals()
    r = pd.DataFrame([[1, 0.8, 0.8], [0.8, 1, 0.5], [0.8, 0.5, 1]], list("abc"), list("abc"))
    with pytest.raises(UnsupportedError, match="Heywood"):
        sq.efa(correlation=r, n_factors=1, extraction="ml", n_obs=100).intervals()
    with pytest.raises(UnsupportedError, match="how the answers are distributed"):
        sq.efa(correlation=frame.corr(), n_factors=3, n_obs=500).intervals("robust")
    with pytest.raises(InputError, match="no respondents to draw"):
        sq.efa(correlation=frame.corr(), n_factors=3, n_obs=500).intervals("bootstrap")
    with pytest.raises(InputError, match="number of respondents"):
        sq.efa(correlation=frame.corr(), n_factors=3).intervals()
    with pytest.raises(OptionError, match="level=95"):
        sq.efa(frame, 3).intervals(level=95)
    gaps = frame.mask(np.random.default_rng(1).uniform(size=frame.shape) < 0.05)
    with pytest.raises(UnsupportedError, match="gaps"):
        sq.efa(gaps, 3, missing="pairwise").intervals()
