"""Exploratory factor analysis against R's psych, GPArotation and stats."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment

import sqvalid as sq
from sqvalid.errors import InputError, OptionError, SurveyError, UnsupportedError
from sqvalid.exploratory import extract, procrustes
from sqvalid.exploratory.extraction import discrepancy
from sqvalid.rotation import CRITERIA, ROTATIONS, Setting, rotate, stationarity

from . import library

FILES = [name for name in library.names(("efa",)) if "lavaan" not in name and "poly" not in name]
EXTRACTION = {"ml": "ml", "minres": "minres", "uls": "minres", "ols": "minres", "pa": "paf",
              "alpha": "alpha"}  # fmt: skip
ROTATION = {"geominT": "geomin_orthogonal", "geominQ": "geomin", "bentlerQ": "bentler"}
# psych's own search stops early here: test_bentler_goes_on_where_r_stops says how early.
EARLY = {"bentlerQ": 4e-3}
CASES = [
    (name, fm, rotation)
    for name in FILES
    for fm, rotations in library.document(name)["fits"].items()
    if fm in EXTRACTION
    for rotation, entry in rotations.items()
    if "loadings" in entry
]


def answers(name: str) -> pd.DataFrame:
    return library.frame(name)[library.document(name)["variables"]]


def aligned(theirs: np.ndarray, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of ours in the order of theirs, and the signs that match."""
    overlap = theirs.T @ ours
    _, order = linear_sum_assignment(-np.abs(overlap))
    return order, np.sign(overlap[np.arange(len(order)), order])


@pytest.mark.parametrize(("name", "fm", "rotation"), CASES)
def test_loadings_and_factor_correlations(name: str, fm: str, rotation: str) -> None:
    document = library.document(name)
    entry = document["fits"][fm][rotation]
    ours = sq.efa(
        answers(name),
        document["nfactors"],
        extraction=EXTRACTION[fm],
        rotation=ROTATION.get(rotation, rotation),
    )
    theirs = np.atleast_2d(np.array(entry["loadings"]["values"], dtype=float))
    pattern = ours.loadings.to_numpy()
    order, sign = aligned(theirs, pattern)
    tolerance = EARLY.get(rotation, 1e-4)
    np.testing.assert_allclose(pattern[:, order] * sign, theirs, atol=tolerance)
    if entry.get("Phi"):
        phi = ours.factor_correlations.to_numpy()[np.ix_(order, order)] * np.outer(sign, sign)
        np.testing.assert_allclose(phi, np.array(entry["Phi"]["values"]), atol=2 * tolerance)


@pytest.mark.parametrize(("name", "fm"), sorted({(name, fm) for name, fm, _ in CASES}))
def test_statistics(name: str, fm: str) -> None:
    document = library.document(name)
    theirs = next(iter(document["fits"][fm].values()))
    fit = sq.efa(answers(name), document["nfactors"], extraction=EXTRACTION[fm], rotation=None)
    ours, statistics = fit.fit_measures, theirs["statistics"]
    pairs = {"chisq": "STATISTIC", "df": "dof", "pvalue": "PVAL", "tli": "TLI", "bic": "BIC",
             "rmsr": "rms", "rmsr_corrected": "crms", "chisq_baseline": "null.chisq"}  # fmt: skip
    compared = 0
    for mine, key in pairs.items():
        if statistics.get(key) is not None:
            compared += 1
            assert ours[mine] == pytest.approx(statistics[key], rel=2e-4, abs=2e-6), mine
    assert compared >= 6
    assert ours["rmsea"] == pytest.approx(statistics["RMSEA"]["RMSEA"], abs=2e-5)
    np.testing.assert_allclose(
        fit.communalities, list(theirs["communality"].values()), atol=5e-5
    )  # fmt: skip
    np.testing.assert_allclose(fit.eigenvalues, theirs["e_values"], atol=1e-10)
    table = np.array(theirs["vaccounted"]["values"], dtype=float)
    np.testing.assert_allclose(fit.variance_explained.to_numpy()[0], table[0], atol=5e-5)


@pytest.mark.skipif(not library.has("efa_sq5_poly_3f"), reason="reference file not here")
@pytest.mark.parametrize("extraction", ["ml", "minres"])
@pytest.mark.parametrize("rotation", ["none", "varimax", "oblimin"])
def test_polychoric_loadings(extraction: str, rotation: str) -> None:
    document = library.document("efa_sq5_poly_3f")
    entry = document["fits"][extraction][rotation]
    fit = sq.efa(answers("efa_sq5_poly_3f"), document["nfactors"], extraction=extraction,
                 rotation=rotation, correlation="polychoric")  # fmt: skip
    theirs = np.array(entry["loadings"]["values"], dtype=float)
    order, sign = aligned(theirs, fit.loadings.to_numpy())
    # psych's polychoric correlations are good to 1e-4 (reference/README.md); so are its loadings.
    np.testing.assert_allclose(fit.loadings.to_numpy()[:, order] * sign, theirs, atol=1e-4)
    found = sq.assess_factorability(answers("efa_sq5_poly_3f"), correlation="polychoric")
    assert found.n_obs == document["n"]
    np.testing.assert_allclose(
        found.smc, sq.assess_factorability(correlation=fit.correlation).smc, atol=1e-12
    )


@pytest.mark.skipif(not library.has("efa_hs_3f_uls_gls_wls"), reason="reference file not here")
@pytest.mark.parametrize("method", ["wls", "gls"])
def test_weighted_methods_end_below_where_r_stops(method: str) -> None:
    """psych hands its search a slope of another function, so it stops short of the minimum."""
    document = library.document("efa_hs_3f_uls_gls_wls")
    entry = document["fits"][method]["none"]
    r = answers("efa_hs_3f_uls_gls_wls").corr().to_numpy()
    theirs = np.array(entry["loadings"]["values"], dtype=float)
    found = extract(r, 3, method)
    unique = np.array(list(entry["uniquenesses"].values()))
    assert found.discrepancy < discrepancy(r, theirs, method, unique)
    assert found.discrepancy == pytest.approx(
        discrepancy(r, found.loadings, method, found.uniquenesses), rel=1e-9
    )
    order, sign = aligned(theirs, found.loadings)
    # Near enough to be the same minimum.
    gap = np.abs(found.loadings[:, order] * sign - theirs).max()
    assert gap < {"wls": 0.005, "gls": 0.06}[method]


GPA = {
    "oblimin": ("oblimin", {}),
    "quartimin": ("quartimin", {}),
    "geominQ": ("geomin", {}),
    "geominT": ("geomin_orthogonal", {}),
    "quartimax": ("quartimax", {}),
    "Varimax": ("varimax", {"exact": True}),
    "bentlerQ": ("bentler", {}),
    "bentlerT": ("bentler_orthogonal", {}),
}


@pytest.mark.skipif(not library.has("efa_hs_3f"), reason="reference file not here")
@pytest.mark.parametrize("kaiser", [False, True])
@pytest.mark.parametrize("name", GPA)
def test_gparotation(name: str, kaiser: bool) -> None:
    part = library.document("efa_hs_3f")["gparotation_from_ml_start_identity"]
    entry = part[f"{name}_normalize{'T' if kaiser else 'F'}"]
    rotation, options = GPA[name]
    start = np.array(part["start_loadings"]["values"], dtype=float)
    ours = rotate(start, rotation, kaiser=kaiser, **options)
    theirs = np.array(entry["loadings"]["values"], dtype=float)
    order, sign = aligned(theirs, ours.loadings)
    tolerance = EARLY["bentlerQ"] if name == "bentlerQ" else 2e-4
    np.testing.assert_allclose(ours.loadings[:, order] * sign, theirs, atol=tolerance)
    if entry.get("criterion") is not None and name.startswith(("oblimin", "geomin", "bentler")):
        # Never above R's minimum, and not another minimum far below it.
        assert ours.criterion == pytest.approx(entry["criterion"], rel=1e-4)
        assert ours.criterion <= entry["criterion"] + 1e-8


@pytest.mark.skipif(not library.has("efa_hs_3f"), reason="reference file not here")
def test_bentler_goes_on_where_r_stops() -> None:
    part = library.document("efa_hs_3f")["gparotation_from_ml_start_identity"]
    start = np.array(part["start_loadings"]["values"], dtype=float)
    theirs = np.array(part["bentlerQ_normalizeF"]["loadings"]["values"], dtype=float)
    ours = rotate(start, "bentler")
    assert ours.converged
    assert ours.criterion < CRITERIA["bentler"][1](Setting(9, 3))(theirs)[0]


@pytest.mark.parametrize("rotation", ["geomin", "oblimin", "varimax"])
def test_lavaans_efa(rotation: str) -> None:
    name = f"efa_lavaan_hs_{rotation}"
    if not library.has(name):
        pytest.skip("reference file not here")
    document = library.document(name)
    table = pd.DataFrame(document["std_all"])
    table = table[table["op"] == "=~"]
    theirs = table.pivot_table(index="rhs", columns="lhs", values="est.std")
    arguments = document["rotation_args"]
    options = {"n_starts": 30}
    if rotation == "geomin":
        options["epsilon"] = arguments["geomin_epsilon"]
    kaiser = arguments["row_weights"] == "kaiser"
    frame = library.frame(name)[list(theirs.index)]
    fit = sq.efa(frame, theirs.shape[1], extraction="ml", rotation=rotation, kaiser=kaiser,
                 rotation_options=options)  # fmt: skip
    ours = fit.loadings.to_numpy()
    order, sign = aligned(theirs.to_numpy(), ours)
    np.testing.assert_allclose(ours[:, order] * sign, theirs, atol=1e-4)


@pytest.mark.parametrize("rotation", ["varimax", "oblimin"])
@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("regression", "Thurstone"),
        ("bartlett", "Bartlett"),
        ("tenberge", "tenBerge"),
        ("anderson", "Anderson"),
    ],
)
def test_scores(rotation: str, method: str, theirs: str) -> None:
    if not library.has("efa_hs_3f"):
        pytest.skip("reference file not here")
    document = library.document("efa_hs_3f")
    entry = document["scores"][f"{rotation}_{theirs}"]
    fit = sq.efa(answers("efa_hs_3f"), 3, extraction="ml", rotation=rotation)
    wanted = np.array(entry["weights"]["values"], dtype=float)
    weights = fit.score_weights(method).to_numpy()
    order, sign = aligned(wanted, weights)
    np.testing.assert_allclose(weights[:, order] * sign, wanted, atol=2e-4)


@pytest.mark.parametrize("name", CRITERIA)
def test_gradients_by_differences(name: str) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(0.3, 0.4, (7, 3))
    target = np.where(rng.uniform(size=x.shape) < 0.3, np.nan, rng.normal(size=x.shape))
    f = CRITERIA[name][1](Setting(7, 3, gamma=0.4, epsilon=0.02, kappa=0.3, target=target))
    slope = f(x)[1]
    for place in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[place] = 1e-6
        numeric = (f(x + h)[0] - f(x - h)[0]) / 2e-6
        assert slope[place] == pytest.approx(numeric, abs=1e-8)


@pytest.mark.parametrize("kaiser", [False, True])
@pytest.mark.parametrize("name", CRITERIA)
def test_a_minimum_is_stationary_and_no_small_turn_is_lower(name: str, kaiser: bool) -> None:
    a = sq.efa(population(), 3, rotation=None).loadings.to_numpy()
    target = np.where(np.kron(np.eye(3), np.ones((4, 1))) == 1, np.nan, 0.0)
    orthogonal, make = CRITERIA[name]
    found = rotate(a, name, kaiser=kaiser, kappa=0.2, gamma=-0.3, target=target, exact=True)
    assert found.converged
    length = np.sqrt((a**2).sum(axis=1, keepdims=True)) if kaiser else np.ones((len(a), 1))
    criterion = make(Setting(12, 3, gamma=-0.3, kappa=0.2, target=target / length))
    if not name.startswith("target"):
        gap = stationarity(
            found.loadings, found.phi, criterion, orthogonal=orthogonal, kaiser=kaiser
        )
        assert np.abs(gap).max() < 1e-6
    rng = np.random.default_rng(2)
    for _ in range(20):
        near = found.transformation + rng.normal(0, 0.02, (3, 3))
        if orthogonal:
            u, _, v = np.linalg.svd(near)
            turned = a @ u @ v
        else:
            near = near / np.sqrt((near**2).sum(axis=0))
            turned = a @ np.linalg.inv(near).T
        assert criterion(turned / length)[0] > found.criterion - 1e-10


# --- properties --------------------------------------------------------------------------


def population(seed: int = 4, p: int = 12, m: int = 3, n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    loadings = np.kron(np.eye(m), np.full((p // m, 1), 0.7)) + rng.normal(0, 0.05, (p, m))
    factors = rng.normal(size=(n, m)) @ np.linalg.cholesky(np.full((m, m), 0.3) + 0.7 * np.eye(m)).T
    values = factors @ loadings.T + rng.normal(0, 0.7, (n, p))
    return pd.DataFrame(values, columns=[f"项目{k}" for k in range(1, p + 1)])


@pytest.mark.parametrize("rotation", [r for r in ROTATIONS if "target" not in r])
def test_rotation_keeps_the_reproduced_matrix(rotation: str) -> None:
    plain = sq.efa(population(), 3, rotation=None)
    turned = sq.efa(population(), 3, rotation=rotation)
    np.testing.assert_allclose(turned.residuals, plain.residuals, atol=1e-8)
    assert np.diag(turned.factor_correlations) == pytest.approx(1.0)


def test_permuted_items_permute_the_loadings() -> None:
    frame = population()
    shuffled = frame[list(np.random.default_rng(0).permutation(frame.columns))]
    a, b = (sq.efa(x, 3).loadings for x in (frame, shuffled))
    np.testing.assert_allclose(b.loc[a.index], a, atol=1e-6)


def test_a_target_is_reached_and_random_starts_are_counted() -> None:
    fit = sq.efa(population(), 3, rotation=None)
    target = np.where(np.kron(np.eye(3), np.ones((4, 1))) == 1, np.nan, 0.0)
    turned = rotate(fit.loadings.to_numpy(), "target", target=target)
    assert np.abs(turned.loadings[np.isfinite(target)]).max() < 0.2
    many = sq.efa(population(), 3, rotation="geomin", rotation_options={"n_starts": 10})
    one = sq.efa(population(), 3, rotation="geomin")
    assert many.n_minima >= 1
    assert many.criterion <= one.criterion + 1e-9


def test_exact_varimax_is_not_above_rs() -> None:
    options = {"exact": True}
    exact = sq.efa(population(), 3, rotation="varimax", rotation_options=options)
    assert exact.criterion <= sq.efa(population(), 3, rotation="varimax").criterion + 1e-12


def test_a_matrix_gives_the_loadings_of_its_answers() -> None:
    frame = population()
    a = sq.efa(frame, 3, extraction="ml")
    b = sq.efa(correlation=frame.corr(), n_factors=3, extraction="ml", n_obs=len(frame))
    np.testing.assert_allclose(a.loadings, b.loadings, atol=1e-8)
    assert b.fit_measures["chisq"] == pytest.approx(a.fit_measures["chisq"])
    with pytest.raises(InputError, match="no respondents to score"):
        b.scores()


def test_regression_scores_are_determined_as_stated() -> None:
    frame = population()
    fit = sq.efa(frame, 3, extraction="ml", rotation="varimax")
    scores = fit.scores()
    np.testing.assert_allclose(scores.std(ddof=1), fit.determinacy, rtol=1e-6)


def test_bad_input_is_named() -> None:
    frame = population()
    with pytest.raises(OptionError, match="n_factors=12"):
        sq.efa(frame, 12)
    with pytest.raises(SurveyError, match="项目3"):
        sq.efa(frame.assign(项目3=1.0), 2)
    with pytest.raises(InputError, match="not positive definite"):
        sq.efa(frame.assign(total=frame.sum(axis=1)), 2)
    with pytest.raises(SurveyError, match="500 different answers"):
        sq.efa(frame, 2, correlation="polychoric")
    with pytest.raises(UnsupportedError, match="Full information"):
        sq.efa(frame.round(), 2, correlation="polychoric", missing="fiml")
    with pytest.raises(OptionError, match="extraction_starts=0"):
        sq.efa(frame, 2, extraction_starts=0)
    with pytest.raises(UnsupportedError, match="bifactor rotation of 2"):
        sq.efa(frame, 2, rotation="bifactor")
    with pytest.raises(OptionError, match="rotation_options has no 'delta'"):
        sq.efa(frame, 2, rotation_options={"delta": 0.1})


def test_a_heywood_case_is_told() -> None:
    r = pd.DataFrame([[1, 0.8, 0.8], [0.8, 1, 0.5], [0.8, 0.5, 1]], list("abc"), list("abc"))
    fit = sq.efa(correlation=r, n_factors=1, extraction="ml", n_obs=100)
    assert [(d.code, d.where) for d in fit.diagnostics] == [("efa_heywood", ("a",))]


# --- agreement of structures -------------------------------------------------------------


@pytest.mark.skipif(not library.has("congruence_hs_school"), reason="reference file not here")
def test_congruence_is_psychs() -> None:
    document = library.document("congruence_hs_school")

    def frame(part: dict) -> pd.DataFrame:
        return pd.DataFrame(part["values"], index=part["rownames"], columns=part["colnames"])

    first, second = frame(document["loadings_1"]), frame(document["loadings_2"])
    found = sq.tucker_congruence(first, second.iloc[::-1])
    # psych rounds to two digits.
    np.testing.assert_allclose(found, document["congruence"]["values"], atol=5.1e-3)


def test_congruence_by_its_formula_and_procrustes_undoes_a_rotation() -> None:
    fit = sq.efa(population(), 3, rotation="varimax")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = fit.loadings @ turn
    turned.columns = fit.loadings.columns
    back = procrustes(turned, fit.loadings)
    np.testing.assert_allclose(back, fit.loadings, atol=1e-12)
    np.testing.assert_allclose(np.diag(sq.tucker_congruence(back, fit.loadings)), 1.0)
    x, y = fit.loadings["F1"], fit.loadings["F2"]
    expected = (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())
    assert sq.tucker_congruence(fit.loadings, fit.loadings).loc["F1", "F2"] == pytest.approx(
        expected
    )
    with pytest.raises(InputError, match="项目1"):
        sq.tucker_congruence(fit.loadings, fit.loadings.drop("项目1"))
