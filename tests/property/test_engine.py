"""Derivatives of the engine against finite differences, and what must not change.

Central differences with steps of 1e-5 of a parameter's scale are good to about 1e-9 relative
where the function is smooth; 1e-6 leaves room for badly scaled entries.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.latent import FitResult
from sqvalid.latent.implied import implied_state, moment_jacobian

HS = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"


@cache
def answers() -> pd.DataFrame:
    """Three correlated factors, a covariate that moves them, two groups, four waves."""
    rng = np.random.default_rng(20)
    n = 400
    z = rng.standard_normal((n, 2))
    mix = np.array([[1.0, 0.0, 0.0], [0.4, 0.9, 0.0], [0.3, 0.2, 0.9]])
    factors = rng.standard_normal((n, 3)) @ mix.T + 0.3 * z[:, :1]
    columns = {"z1": z[:, 0], "z2": z[:, 1], "school": np.where(rng.random(n) < 0.45, "a", "b")}
    for j in range(9):
        loading = (1.0, 0.7, 1.3, 0.9, 1.1, 0.8, 0.6, 1.2, 1.0)[j]
        own = rng.standard_normal(n) * (0.6 + 0.05 * j)
        columns[f"x{j + 1}"] = 3 + 0.2 * j + loading * factors[:, j // 3] + own
    level, slope = rng.standard_normal(n) + 2, 0.5 * rng.standard_normal(n) + 0.4
    for t in range(4):
        columns[f"t{t + 1}"] = level + t * slope + 0.7 * rng.standard_normal(n)
    y1 = 0.5 * columns["z1"] + rng.standard_normal(n)
    columns["y1"] = y1
    columns["y2"] = 0.4 * y1 + 0.6 * columns["z2"] + rng.standard_normal(n)
    return pd.DataFrame(columns)


ZOO = {
    "cfa": ("cfa", HS, {}),
    "cfa_std_lv": ("cfa", HS, {"std_lv": True, "meanstructure": True}),
    "effect_coding": ("cfa", HS, {"effect_coding": True, "meanstructure": True}),
    "second_order": ("cfa", HS + "\ng =~ visual + textual + speed", {}),
    "second_order_std_lv": ("cfa", HS + "\ng =~ visual + textual + speed", {"std_lv": True}),
    "bifactor": (
        "cfa",
        "g =~ x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9\na =~ x1 + x2 + x3\nb =~ x7 + x8 + x9",
        {"std_lv": True, "orthogonal": True},
    ),
    "mimic": ("sem", HS + "\nvisual + textual ~ z1 + z2\nspeed ~ visual + z1", {}),
    "random_x": ("sem", HS + "\nspeed ~ visual + z1", {"fixed_x": False, "meanstructure": True}),
    "feedback": ("sem", "y1 ~ z1 + y2\ny2 ~ z2 + y1\ny1 ~~ 0*y2", {"meanstructure": True}),
    "mediation": (
        "sem",
        HS + "\ntextual ~ a*visual\nspeed ~ b*textual + c*visual\nab := a*b\ntotal := c + a*b",
        {},
    ),
    "growth": (
        "growth",
        "i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4\ni ~ z1\ns ~ z1",
        {},
    ),
    "two_groups": ("cfa", HS, {"group": "school", "group_equal": ("loadings", "intercepts")}),
    "equal_labels": ("cfa", HS.replace("x2", "a*x2").replace("x5", "a*x5"), {}),
    "linear_constraint": (
        "cfa",
        HS.replace("x2", "a*x2").replace("x3", "b*x3") + "\na + b == 2\nd := a - b",
        {},
    ),
    "nonlinear_constraint": (
        "cfa",
        HS.replace("x2", "a*x2").replace("x3", "b*x3") + "\nb == a^2 + 0.3\nr := b/a",
        {},
    ),
    "gls": ("sem", HS + "\nspeed ~ visual", {"estimator": "GLS", "meanstructure": True}),
    "uls": ("cfa", HS + "\ng =~ visual + textual + speed", {"estimator": "ULSM"}),
    "wls": ("cfa", HS, {"estimator": "WLS", "group": "school", "group_equal": ("loadings",)}),
    "residual_covariance": ("cfa", HS + "\nx1 ~~ x4\nx7 ~~ x8", {"estimator": "MLR"}),
}


def make(function, model, options, data=None) -> FitResult:
    return getattr(sq, function)(model, answers() if data is None else data, **options)


@cache
def fitted(name) -> FitResult:
    return make(*ZOO[name])


def away(fit: FitResult) -> np.ndarray:
    """Parameters a little off the estimates, where no derivative vanishes by luck."""
    rng = np.random.default_rng(7)
    theta = fit.estimate.theta
    return theta + 0.05 * rng.uniform(-1, 1, theta.size) * np.maximum(np.abs(theta), 0.1)


def differences(function, theta, step=1e-5) -> np.ndarray:
    """Central differences, one column per parameter."""
    columns = []
    for i, value in enumerate(theta):
        h = step * max(abs(value), 0.1)
        up, down = theta.copy(), theta.copy()
        up[i] += h
        down[i] -= h
        columns.append((function(up) - function(down)) / (2 * h))
    return np.stack(columns, axis=-1)


def assert_same(found, expected, tolerance=1e-6):
    """Equal up to a share of the largest entry."""
    scale = max(np.abs(expected).max(initial=0.0), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", ZOO)
def test_zoo_converges_to_the_gate(name):
    fit = fitted(name)
    assert fit.converged
    assert fit.gradient_norm < 1e-8


@pytest.mark.parametrize("name", ZOO)
def test_gradient(name):
    fit = fitted(name)
    objective, theta = fit.estimate.problem.objective, away(fit)
    found = objective.gradient(objective.locals(theta))
    assert np.abs(found).max() > 1e-4
    assert_same(found, differences(objective.value, theta))


@pytest.mark.parametrize("name", ZOO)
def test_observed_information(name):
    fit = fitted(name)
    objective, theta = fit.estimate.problem.objective, away(fit)
    found = objective.hessian(objective.locals(theta))
    np.testing.assert_array_equal(found, found.T)
    expected = differences(lambda t: objective.gradient(objective.locals(t)), theta)
    assert_same(found, expected)


@pytest.mark.parametrize("name", ZOO)
def test_expected_information_is_the_observed_one_of_a_perfect_sample(name):
    fit = fitted(name)
    objective, theta = fit.estimate.problem.objective, away(fit)
    perfect = []
    for target, local in zip(objective.targets, objective.locals(theta), strict=True):
        means = None if target.means is None else local.state.mu
        log_det = np.linalg.slogdet(local.state.sigma)[1]
        perfect.append(replace(target, covariance=local.state.sigma, means=means, log_det=log_det))
    ideal = replace(objective, targets=tuple(perfect))
    locals_ = ideal.locals(theta)
    assert_same(ideal.gradient(locals_), np.zeros(theta.size), 1e-9)
    assert_same(ideal.hessian(locals_), ideal.expected(locals_), 1e-9)
    assert_same(objective.expected(objective.locals(theta)), ideal.expected(locals_), 1e-12)


@pytest.mark.parametrize("name", ZOO)
def test_moment_jacobian(name):
    fit = fitted(name)
    theta = away(fit)
    for slots in fit.estimate.problem.slots:
        d_sigma, d_mu = moment_jacobian(slots, implied_state(slots, theta))
        columns, rows = np.triu_indices(len(slots.layout.observed))
        half = differences(
            lambda t, s=slots, r=rows, c=columns: implied_state(s, t).sigma[r, c], theta
        )
        assert_same(d_sigma, half[:, slots.target])
        if slots.has_means:
            assert_same(
                d_mu, differences(lambda t, s=slots: implied_state(s, t).mu, theta)[:, slots.target]
            )


def at(fit: FitResult, theta) -> FitResult:
    """The result as if `theta` were the estimates."""
    objective = fit.estimate.problem.objective
    solution = replace(fit.estimate.solution, theta=theta)
    moved = replace(fit.estimate, solution=solution, locals_=tuple(objective.locals(theta)))
    return FitResult(fit.model_text, moved, fit.moments, ())


@pytest.mark.parametrize("kind", ["all", "lv", "nox"])
@pytest.mark.parametrize("name", ZOO)
def test_standardized_jacobian(name, kind):
    fit = fitted(name)
    theta = away(fit)
    expected = differences(lambda t: at(fit, t).standardized(kind).est.to_numpy(), theta)
    assert_same(at(fit, theta).standardized_jacobian(kind), expected, 2e-6)


@pytest.mark.parametrize("name", ["mediation", "linear_constraint", "nonlinear_constraint"])
def test_standard_errors_of_defined_parameters(name):
    fit = fitted(name)
    defined = fit.parameters.op == ":="
    assert defined.any()
    jacobian = differences(
        lambda t: at(fit, t).parameters.est[defined].to_numpy(), fit.estimate.theta
    )
    variance = np.einsum("ij,jk,ik->i", jacobian, fit.vcov.to_numpy(), jacobian)
    np.testing.assert_allclose(fit.parameters.se[defined], np.sqrt(variance), rtol=1e-6)


@pytest.mark.parametrize("name", ["cfa", "mimic", "growth", "two_groups"])
def test_vcov_inverts_the_information(name):
    fit = fitted(name)
    tangent = fit.estimate.tangent
    information = fit.n_obs * tangent.T @ fit.information("expected").to_numpy() @ tangent
    reduced = np.linalg.lstsq(tangent, fit.vcov.to_numpy(), rcond=None)[0] @ tangent
    assert_same(reduced @ information, np.eye(tangent.shape[1]), 1e-8)


# --- What must not change ---------------------------------------------------------------------

SCALE_FREE = ["chisq", "df", "cfi", "tli", "rmsea", "srmr", "baseline_chisq", "gfi", "crmr"]


def standard(fit, group=None) -> dict:
    """Standardised estimates and their standard errors, by what they are about."""
    out = {}
    for row in fit.standardized("all").itertuples():
        if row.op == ":=" or (group is not None and row.group != group):
            continue
        sides = tuple(sorted((row.lhs, row.rhs))) if row.op == "~~" else (row.lhs, row.rhs)
        out[(row.op, sides, row.group if group is None else 1)] = (row.est, row.se)
    return out


def assert_same_solution(one: dict, two: dict, tolerance=1e-7):
    assert one.keys() == two.keys()
    keys = list(one)
    np.testing.assert_allclose(
        [one[k] for k in keys], [two[k] for k in keys], rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
@pytest.mark.parametrize("seed", range(3))
def test_order_of_items_factors_and_respondents(seed, estimator):
    rng = np.random.default_rng(seed)
    data = answers().sample(frac=1.0, random_state=seed)
    data = data[rng.permutation(data.columns)]
    lines = []
    for factor, items in (("visual", "123"), ("textual", "456"), ("speed", "789")):
        lines.append(f"{factor} =~ " + " + ".join(f"x{i}" for i in rng.permutation(list(items))))
    shuffled = "\n".join(rng.permutation(lines))
    one = make("cfa", HS, {"estimator": estimator})
    two = make("cfa", shuffled, {"estimator": estimator}, data)
    np.testing.assert_allclose(
        one.fit_measures.drop("fmin"), two.fit_measures.drop("fmin"), rtol=1e-8, atol=1e-9
    )
    assert_same_solution(standard(one), standard(two))


@pytest.mark.parametrize("equal", [(), ("loadings",), ("loadings", "intercepts")])
def test_groups_swapped(equal):
    options = {"group": "school", "group_equal": equal}
    one = make("cfa", HS, options)
    data = pd.concat([answers()[answers().school == g] for g in reversed(one.group_labels)])
    two = make("cfa", HS, options, data)
    assert two.group_labels == one.group_labels[::-1]
    np.testing.assert_allclose(one.fit_measures, two.fit_measures, rtol=1e-8, atol=1e-9)
    for g in (1, 2):
        # Factor means, and the intercepts beside them, are relative to the first group.
        parts = (standard(one, g), standard(two, 3 - g))
        assert_same_solution(*({k: v for k, v in part.items() if k[0] != "~1"} for part in parts))


@pytest.mark.parametrize(
    "name", ["cfa", "cfa_std_lv", "second_order", "mimic", "residual_covariance"]
)
def test_items_rescaled(name):
    function, model, options = ZOO[name]
    data = answers().copy()
    factors = {"x1": 10.0, "x2": 0.1, "x5": 3.0, "x9": 100.0}
    for item, factor in factors.items():
        data[item] *= factor
    one, two = fitted(name), make(function, model, options, data)
    np.testing.assert_allclose(
        one.fit_measures[SCALE_FREE], two.fit_measures[SCALE_FREE], rtol=1e-7, atol=1e-8
    )
    assert_same_solution(standard(one), standard(two))
    moved = one.n_obs * np.log(np.prod(list(factors.values())))
    assert two.fit_measures["logl"] == pytest.approx(one.fit_measures["logl"] - moved, rel=1e-10)


@pytest.mark.parametrize("name", ["cfa", "second_order", "mimic", "two_groups", "growth"])
def test_ten_random_starts_agree(name):
    function, model, options = ZOO[name]
    reference = fitted(name).coef
    for seed in range(10):
        found = make(function, model, {**options, "start": "random", "seed": seed})
        assert found.converged
        np.testing.assert_allclose(found.coef, reference, rtol=1e-6, atol=1e-6)


def test_identification_does_not_move_the_fit():
    measures = [fitted(name).fit_measures for name in ("cfa", "cfa_std_lv")]
    np.testing.assert_allclose(measures[0]["chisq"], measures[1]["chisq"], rtol=1e-9)
    one, two = (standard(fitted(name)) for name in ("cfa", "cfa_std_lv"))
    assert_same_solution(one, {k: v for k, v in two.items() if k in one})
    effect = fitted("effect_coding").fit_measures
    np.testing.assert_allclose(effect["chisq"], measures[0]["chisq"], rtol=1e-9)


@pytest.mark.parametrize(
    ("function", "model"),
    [
        ("cfa", "f =~ x1 + x2 + x3"),
        ("sem", "y2 ~ y1 + z1 + z2\ny1 ~ z1 + z2"),
        ("fit_model", "x1 ~~ x1 + x2 + x3\nx2 ~~ x2 + x3\nx3 ~~ x3"),
    ],
)
def test_saturated_model_fits_exactly(function, model):
    fit = make(function, model, {})
    assert fit.df == 0
    assert fit.fit_measures["chisq"] == pytest.approx(0.0, abs=1e-9)
    assert fit.fit_measures["srmr"] == pytest.approx(0.0, abs=1e-7)
    assert fit.fit_measures["cfi"] == pytest.approx(1.0, abs=1e-12)
    assert fit.fit_measures["rmsea"] == 0.0
    assert np.isnan(fit.fit_measures["pvalue"])
    np.testing.assert_allclose(
        fit.implied, fit.sample.loc[fit.implied.index, fit.implied.columns], atol=1e-8
    )


def test_casewise_scores_average_zero():
    from sqvalid.latent.inference import casewise_scores

    fit = fitted("random_x")
    slots, local = fit.estimate.problem.slots[0], fit.estimate.locals_[0]
    block = fit.estimate.problem.blocks[0]
    scores = casewise_scores(slots, local, block.cases, None)
    assert scores.std(axis=0).min() > 0.01
    np.testing.assert_allclose(scores.mean(axis=0), 0.0, atol=1e-10)


@pytest.mark.parametrize("method", ["regression", "bartlett"])
def test_factor_scores_average_zero_and_keep_the_index(method):
    data = answers().iloc[::-1].copy()
    data.index = [f"r{i}" for i in range(len(data))]
    data.iloc[[3, 17], data.columns.get_loc("x4")] = np.nan
    scores = make("cfa", HS, {}, data).factor_scores(method=method)
    np.testing.assert_allclose(scores.mean(), 0.0, atol=1e-10)
    assert list(scores.index) == [i for k, i in enumerate(data.index) if k not in (3, 17)]


def test_wishart_is_normal_with_another_divisor():
    normal, wishart = fitted("cfa"), make("cfa", HS, {"likelihood": "wishart"})
    n = normal.n_obs
    ratio = (n - 1) / n
    assert wishart.fit_measures["chisq"] == pytest.approx(
        ratio * normal.fit_measures["chisq"], rel=1e-10
    )
    for row, ours, theirs in zip(
        normal.parameters.itertuples(), normal.parameters.est, wishart.parameters.est, strict=True
    ):
        expected = ours if row.op == "=~" else ours / ratio
        assert theirs == pytest.approx(expected, rel=1e-9), row


# --- Constraints ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two_groups", "equal_labels"])
def test_equalities_hold_exactly(name):
    parameters = fitted(name).parameters
    labelled = parameters[parameters.label != ""].groupby("label").est
    assert (labelled.count() > 1).any()
    assert labelled.agg(lambda v: v.max() - v.min()).max() < 1e-12


def test_linear_constraint_holds():
    est = fitted("linear_constraint").parameters.set_index("label").est
    assert est["a"] + est["b"] == pytest.approx(2.0, abs=1e-12)


def test_nonlinear_constraint_holds_at_a_stationary_point():
    fit = fitted("nonlinear_constraint")
    est = fit.parameters.set_index("label").est
    a, b = est["a"], est["b"]
    assert b == pytest.approx(a**2 + 0.3, abs=1e-9)
    objective = fit.estimate.problem.objective
    gradient = objective.gradient(fit.estimate.locals_)
    free = fit.parameters.set_index("label").free
    normal = np.zeros(fit.n_free)
    normal[free["b"] - 1], normal[free["a"] - 1] = 1.0, -2.0 * a
    # Lagrange: the gradient is a multiple of the constraint's.
    multiplier = gradient @ normal / (normal @ normal)
    assert abs(multiplier) > 1e-6
    np.testing.assert_allclose(gradient, multiplier * normal, atol=1e-9)
    assert fit.df == fitted("cfa").df + 1
    assert fit.fit_measures["chisq"] > fitted("cfa").fit_measures["chisq"]


@pytest.mark.parametrize(
    ("limit", "binds"), [("a > 0.2", False), ("a > 1.5", True), ("a < 0.3", True)]
)
def test_inequality(limit, binds):
    fit = make("cfa", HS.replace("x2", "a*x2") + f"\n{limit}", {})
    plain = fitted("cfa")
    a = fit.parameters.set_index("label").est["a"]
    objective = fit.estimate.problem.objective
    slope = objective.gradient(fit.estimate.locals_)[
        fit.parameters.set_index("label").free["a"] - 1
    ]
    assert fit.converged
    if binds:
        assert a == pytest.approx(float(limit.split()[-1]), abs=1e-9)
        # F would fall further outside: its slope points into the allowed side.
        assert slope * (1 if ">" in limit else -1) > 1e-4
        assert fit.fit_measures["chisq"] > plain.fit_measures["chisq"] + 1
    else:
        assert abs(slope) < 1e-8
        np.testing.assert_allclose(fit.coef, plain.coef, rtol=1e-8)


@cache
def heywood() -> pd.DataFrame:
    """A covariance matrix whose one-factor solution has a negative residual variance."""
    r = pd.DataFrame(
        [[1.0, 0.7, 0.7, 0.5], [0.7, 1.0, 0.35, 0.3], [0.7, 0.35, 1.0, 0.3], [0.5, 0.3, 0.3, 1.0]]
    )
    r.index = r.columns = ["y1", "y2", "y3", "y4"]
    return r


def test_bounds_on_a_heywood_case():
    from sqvalid.errors import InadmissibleSolutionWarning

    model = "f =~ y1 + y2 + y3 + y4"
    with pytest.warns(InadmissibleSolutionWarning, match="y1"):
        loose = sq.cfa(model, cov=heywood(), n_obs=200)
    assert loose.parameters.query("op == '~~'").est.min() < 0
    assert not loose.admissible
    tight = sq.cfa(model, cov=heywood(), n_obs=200, bounds="pos.var")
    variances = tight.parameters.query("op == '~~'").set_index("lhs").est
    assert tight.converged
    assert variances["y1"] == pytest.approx(0.0, abs=1e-9)
    assert variances.min() > -1e-9
    assert tight.fit_measures["chisq"] > loose.fit_measures["chisq"]
    # Karush-Kuhn-Tucker: F rises into the allowed side at the bound, and is flat elsewhere.
    gradient = tight.estimate.problem.objective.gradient(tight.estimate.locals_)
    place = tight.parameters.query("op == '~~' and lhs == 'y1'").free.item() - 1
    assert gradient[place] > 1e-5
    assert np.abs(np.delete(gradient, place)).max() < 1e-8
    assert (tight.estimate.solution.multipliers >= 0).all()
