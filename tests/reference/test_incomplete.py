"""Incomplete answers, all kinds of analyses: lavaan 0.6-14's numbers for bundled data.

Gaps are made by a formula, so that R and Python have the same data without a file. Every fit is
``f(model, data, missing = ..., em.h1.tol = 1e-11, em.h1.iter.max = 20000)`` with the options that
stand beside the numbers: with its default tolerance lavaan's saturated moments are good to 1e-5.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import OptionError
from sqvalid.latent.missing_fit import complete_data_fit

from . import library

# lavaan stops at a gradient of about 1e-6: statistics are good to 1e-7, estimates to 1e-5; second
# derivatives there, and so standard errors and scaling factors, are less exact by some digits.
STATISTIC = 2e-7
ESTIMATE = 2e-5
SECOND_DERIVATIVES = 1e-4

HS = "visual =~ x1+x2+x3\ntextual =~ x4+x5+x6\nspeed =~ x7+x8+x9"
COVARIATES = HS + "\nvisual ~ ageyr + sex\nspeed ~ ageyr"
ROW = np.arange(1, 302)
PLAIN = ["chisq", "df", "baseline_chisq", "logl", "srmr"]
CORRECTED = ["chisq_scaled", "baseline_chisq_scaled", "chisq_scaling_factor"]


def complete() -> pd.DataFrame:
    return pd.read_csv(library.BUNDLED / "data" / "hs1939.csv")


def light() -> pd.DataFrame:
    """9% of the answers are missing; x9 also where x1 is low, and age of every 13th."""
    frame = complete()
    low = frame.x1 < 3.6
    for k in range(1, 10):
        frame.loc[(7 * ROW + 5 * k + ROW * k) % 11 == 0, f"x{k}"] = np.nan
    frame.loc[low, "x9"] = np.nan
    frame.loc[ROW % 13 == 5, "ageyr"] = np.nan
    return frame.assign(cl=ROW % 37)


def heavy() -> pd.DataFrame:
    """37% of the answers are missing."""
    frame = complete()
    for k in range(1, 10):
        frame.loc[(ROW**3 + 7 * k * ROW + k * k) % 31 < 11, f"x{k}"] = np.nan
    return frame


def few_patterns() -> pd.DataFrame:
    """Seven patterns with a third of the answers missing."""
    frame = complete()
    for k in range(1, 10):
        frame.loc[(ROW * (k + 1) + 3 * k * k + ROW * ROW) % 7 < 3, f"x{k}"] = np.nan
    return frame


def growing() -> pd.DataFrame:
    """Four occasions, from which respondents drop out for good."""
    frame = complete()
    high = frame.x1 > 6
    for k in range(2, 5):
        frame.loc[(k - 1 > ROW % 10) | high, f"x{k}"] = np.nan
    return frame


# name: (function, model, data, options), respondents, chisq df baseline_chisq logl srmr,
# scaled chisq and baseline chisq and scaling factor, cfi_robust rmsea_robust,
# rows of the table, their estimates, their standard errors.
LAVAAN = {
    "fixed covariates, rows without them left out": (
        (sq.sem, COVARIATES, light, {"estimator": "MLR"}),
        278,
        (160.4356063, 41, 838.650756, -3134.64207, 0.1237220954),
        (159.9736976, 810.4408643, 1.002887404),
        (0.8361594167, 0.1150349464),
        ("visual =~ x2", "visual ~ ageyr", "visual ~ sex", "speed ~ ageyr"),
        (0.7067521647, -0.05413919699, -0.3455432924, 0.1782082242),
        (0.1612301685, 0.06571448417, 0.1129556206, 0.04894311163),
    ),
    "clusters": (
        (sq.sem, COVARIATES, light, {"estimator": "MLR", "cluster": "cl"}),
        278,
        (160.4356063, 41, 838.650756, -3134.64207, 0.1237220954),
        (164.1965177, 846.4480691, 0.9770950596),
        (0.8359306405, 0.1151649036),
        ("visual =~ x2", "visual ~ ageyr", "visual ~ sex", "speed ~ ageyr"),
        (0.7067521647, -0.05413919699, -0.3455432924, 0.1782082242),
        (0.1732494883, 0.06257728184, 0.1328326583, 0.04563508054),
    ),
    # lavaan corrects the indices as if covariates were fixed; they are compared below.
    "random covariates": (
        (sq.sem, COVARIATES, light, {"estimator": "MLR", "fixed_x": False}),
        301,
        (166.4911303, 41, 902.2088725, -4013.070478, 0.1245650776),
        (166.0984591, 875.4790679, 1.002364087),
        None,
        ("visual =~ x2", "visual ~ ageyr", "visual ~ sex", "speed ~ ageyr"),
        (0.6547882891, -0.05543526371, -0.3574054108, 0.1758667252),
        (0.1522520845, 0.06676403847, 0.1112958118, 0.04651197237),
    ),
    # Rows without a covariate are kept. lavaan's baseline takes pairwise moments of covariates,
    # and its saturated log-likelihood too; they are not compared.
    "fixed covariates with gaps": (
        (sq.sem, COVARIATES, light, {"estimator": "MLR", "missing": "fiml.x"}),
        301,
        (166.4979512, 41, None, -3363.964505, 0.1245437691),
        (166.1630471, None, 1.002015515),
        None,
        ("visual =~ x2", "visual ~ ageyr", "visual ~ sex", "speed ~ ageyr"),
        (0.6547748449, -0.0554470712, -0.3573189235, 0.1758721328),
        (0.1522681639, 0.06677600472, 0.1112072855, 0.04658547328),
    ),
    "observed variables only, covariates with gaps": (
        (
            sq.sem,
            "x4 ~ a*x1 + x7\nx9 ~ b*x4 + x1\nind := a*b",
            light,
            {"estimator": "MLR", "missing": "ml.x"},
        ),
        301,
        (28.37444182, 1, None, -670.515604, 0.0812701491),
        (26.02003003, None, 1.090484592),
        None,
        ("x4 ~ x1", "x4 ~ x7", "x9 ~ x4", "x9 ~ x1"),
        (0.3686258124, 0.105599868, 0.08729329809, 0.3693330057),
        (0.06161157682, 0.05923489836, 0.05278957501, 0.06820543876),
    ),
    "two groups, more than a third missing": (
        (sq.cfa, HS, heavy, {"estimator": "MLR", "group": "school", "group_equal": "loadings"}),
        301,
        (96.34063043, 54, 507.1256986, -2338.731131, 0.09560724975),
        (95.95714612, 494.0007352, 1.003996412),
        (0.835010556, 0.1407352755),
        ("visual =~ x2", "visual =~ x3", "textual =~ x5"),
        (0.7936149327, 0.9925129213, 1.066605361),
        (0.2151195257, 0.2658678058, 0.1108721531),
    ),
    "equality constraints": (
        (
            sq.cfa,
            "visual =~ x1+a*x2+a*x3\ntextual =~ x4+b*x5+x6\nspeed =~ x7+x8+x9\nb == 2*a",
            light,
            {"estimator": "MLR"},
        ),
        301,
        (78.23844774, 26, 825.4846191, -3390.435641, 0.07619477369),
        (78.58586147, 790.2417909, 0.9955791828),
        (0.9149953578, 0.1003787014),
        ("visual =~ x2", "visual =~ x3", "textual =~ x5"),
        (0.5380233313, 0.5380233313, 1.076046663),
        (0.03337939468, 0.03337939468, 0.06675878936),
    ),
    "second order": (
        (
            sq.cfa,
            HS + "\ng =~ visual+textual+speed",
            light,
            {"estimator": "MLR", "std_lv": True},
        ),
        301,
        (75.54548805, 24, 825.4846191, -3389.089161, 0.07393929514),
        (76.51470287, 790.2417909, 0.9873329597),
        (0.9158751615, 0.1039353843),
        ("visual =~ x1", "visual =~ x2", "g =~ visual", "g =~ textual"),
        (0.5637115272, 0.2553055437, 1.44945821, 0.6723516624),
        (0.1849071203, 0.08472558999, 0.6114175276, 0.1733169714),
    ),
    "growth with dropout": (
        (
            sq.growth,
            "i =~ 1*x1+1*x2+1*x3+1*x4\ns =~ 0*x1+1*x2+2*x3+3*x4\ni + s ~ sex",
            growing,
            {"estimator": "MLR"},
        ),
        301,
        (469.0686147, 7, 61.92956671, -1589.886462, 0.7037689888),
        (407.570868, 58.04466461, 1.150888475),
        (0.0, 0.5801046205),
        ("i ~ sex", "s ~ sex"),
        (-0.2326034895, 0.06141973616),
        (0.1079947698, 0.05376448366),
    ),
}


def rows_of(fit, names: tuple[str, ...]) -> pd.DataFrame:
    table = fit.parameters.drop_duplicates(["lhs", "op", "rhs"])
    table.index = pd.Index(table.lhs + " " + table.op + " " + table.rhs)
    return table.loc[list(names)]


def compared(found, expected, **tolerance) -> None:
    """All but the numbers that are None."""
    chosen = [k for k, value in enumerate(expected) if value is not None]
    np.testing.assert_allclose(
        np.asarray(found)[chosen], [expected[k] for k in chosen], **tolerance
    )


@pytest.mark.filterwarnings("ignore::sqvalid.errors.InadmissibleSolutionWarning")
@pytest.mark.parametrize("name", LAVAAN)
def test_fits_are_lavaans(name: str) -> None:
    call, n, plain, scaled, robust, rows, estimates, errors = LAVAAN[name]
    function, model, data, options = call
    fit = function(model, data(), **({"missing": "fiml"} | options))
    measures = fit.fit_measures
    assert fit.n_obs == n
    compared(measures[PLAIN], plain, rtol=STATISTIC, atol=2e-7)
    compared(measures[CORRECTED], scaled, rtol=SECOND_DERIVATIVES)
    if robust is not None:
        compared(measures[["cfi_robust", "rmsea_robust"]], robust, atol=SECOND_DERIVATIVES)
    found = rows_of(fit, rows)
    compared(found.est, estimates, rtol=ESTIMATE)
    compared(found.se, errors, rtol=SECOND_DERIVATIVES)


# (estimator, information, h1_information): standard errors of three parameters, scaled
# chi-square and baseline chi-square under MLR, largest modification index, standardised and
# normalised residual of x1 and x7; with gaps, and of complete answers.
INFORMATION = {
    ("ML", "observed", "structured"): (
        (0.1042687691, 0.1125866444, 0.1573973847, 23.12132663, -3.228330064, -1.748740003),
        (0.1092471801, 0.1172674886, 0.1190488208, 36.41103065, -3.878729978, -2.42318207),
    ),
    ("ML", "expected", "structured"): (
        (0.09482562706, 0.1064040756, 0.1487723427, 23.12132663, -2.990356142, -1.768626104),
        (0.09966511877, 0.1091097031, 0.1136009233, 36.41103065, -3.773089708, -2.42318207),
    ),
    ("ML", "first.order", "structured"): (
        (0.101039787, 0.1182792248, 0.1432436392, 23.12132663, -2.687159839, -1.625064751),
        (0.1044553002, 0.1201611374, 0.09613384226, 36.41103065, -3.242352773, -2.294296913),
    ),
    ("ML", "expected", "unstructured"): (
        (0.09038239091, 0.1031500447, 0.1459358997, 31.66617159, -2.685665948, -1.768626104),
        (0.09704531566, 0.1072658923, 0.1123620457, 53.39224477, -3.387236054, -2.42318207),
    ),
    ("ML", "observed", "unstructured"): (
        (0.1042687691, 0.1125866444, 0.1573973847, 31.66617159, -2.702254331, -1.748740003),
        (0.1092471801, 0.1172674886, 0.1190488208, 53.39224477, -3.387236054, -2.42318207),
    ),
    ("ML", "first.order", "unstructured"): (
        (0.09485437976, 0.1076167238, 0.1372932036, 31.66617159, -2.290755044, -1.625064751),
        (0.1015454408, 0.1113951708, 0.09242199041, 53.39224477, -3.061480455, -2.294296913),
    ),
    ("MLR", "observed", "structured"): (
        (0.1244519294, 0.1332975035, 0.1938704595, 76.51467777, 790.2417909,
         23.12132663, -2.924890527, -1.661157538),
        (0.1320779065, 0.1410870311, 0.1564681909, 87.13160337, 880.0817214,
         36.41103065, -3.464689979, -2.269804293),
    ),
    ("MLR", "expected", "structured"): (
        (0.0977004234, 0.1114245367, 0.1668012507, 75.0974895, 803.6715096,
         23.12132663, -2.853592097, -1.689141155),
        (0.1032894602, 0.1145602323, 0.1383543361, 81.92122205, 880.0817214,
         36.41103065, -3.452858235, -2.269804293),
    ),
    ("MLR", "observed", "unstructured"): (
        (0.1270462415, 0.1372023302, 0.2098712676, 93.40162189, 9569.491891,
         31.66617159, -2.640863385, -1.661157538),
        (0.1363040452, 0.14534153, 0.1743123366, 103.6917851, 2994.219893,
         53.39224477, -3.131058313, -2.269804293),
    ),
    ("MLR", "expected", "unstructured"): (
        (0.09074244685, 0.1092942458, 0.1644491907, 74.76151136, 812.493349,
         31.66617159, -2.633208907, -1.689141155),
        (0.09896852333, 0.1139639622, 0.1400844573, 81.9080397, 888.911507,
         53.39224477, -3.131058313, -2.269804293),
    ),
}  # fmt: skip


@pytest.mark.parametrize("gaps", [True, False])
@pytest.mark.parametrize("options", INFORMATION)
def test_every_kind_of_information_is_lavaans(options: tuple[str, str, str], gaps: bool) -> None:
    estimator, information, h1 = options
    fit = sq.cfa(
        HS,
        light() if gaps else complete(),
        missing="fiml" if gaps else "listwise",
        estimator=estimator,
        information=information,
        h1_information=h1,
    )
    found = fit.parameters.se.iloc[[1, 2, 9]].tolist()
    if estimator == "MLR":
        found += fit.fit_measures[CORRECTED[:2]].tolist()
    found.append(fit.modification_indices().mi.max())
    found += [fit.residuals(kind).loc["x7", "x1"] for kind in ("standardized", "normalized")]
    # The third row is the first factor's variance where there are no means before it.
    expected = INFORMATION[options][0 if gaps else 1]
    np.testing.assert_allclose(found, expected, rtol=SECOND_DERIVATIVES)


@pytest.mark.parametrize(
    ("missing", "statistics", "errors"),
    [
        (
            "two.stage",
            (101.5446157, 78.19188386, 1.298659281),
            (0.09151534873, 0.09672449077, 0.06501624148),
        ),
        (
            "robust.two.stage",
            (101.5446157, 75.52854441, 1.344453497),
            (0.09029735605, 0.1002728437, 0.06533587649),
        ),
    ],
)
def test_two_stages_are_lavaans(missing: str, statistics: tuple, errors: tuple) -> None:
    fit = sq.cfa(HS, light(), missing=missing)
    found = fit.fit_measures[["chisq", "chisq_scaled", "chisq_scaling_factor"]]
    np.testing.assert_allclose(found, statistics, rtol=STATISTIC)
    np.testing.assert_allclose(fit.parameters.se.iloc[[1, 2, 4]], errors, rtol=ESTIMATE)
    # The weights of the first stage: max(modindices(fit)$mi).
    assert fit.modification_indices().mi.max() == pytest.approx(80.79771592, rel=ESTIMATE)


def test_corrected_indices_of_random_covariates() -> None:
    # lav_fit_fiml_corrected(fit, "V3") with fixed.x = FALSE in the two models that it makes.
    fit = sq.sem(COVARIATES, light(), missing="fiml", fixed_x=False, estimator="MLR")
    found = complete_data_fit(fit.estimate)
    expected = (210.2213977, 1.296102441, 1058.554206, 1.269162562)
    np.testing.assert_allclose(
        (found.chisq, found.scaling, found.baseline_chisq, found.baseline_scaling),
        expected,
        rtol=2e-6,
    )


def test_moments_at_the_edge_are_told() -> None:
    # Few patterns and one group of 145: the likelihood of the saturated moments is highest where
    # their covariance is singular. lavaan's steps end by its tolerance of 1e-5.
    fit = sq.cfa(HS, few_patterns(), missing="fiml", group="school")
    found = [d for d in fit.diagnostics if d.code == "moments_at_the_edge"]
    assert [d.where for d in found] == [("Grant-White",)]
    # logl; and unrestricted.logl after 20,000 steps, em.h1.tol = 1e-8.
    assert fit.fit_measures["logl"] == pytest.approx(-2543.138005, abs=1e-4)
    assert fit.fit_measures["unrestricted_logl"] == pytest.approx(-2498.303404, abs=0.05)


def test_invariance_tests_are_lavaans() -> None:
    # lavTestLRT(method = "satorra.bentler.2001"): difference and df.
    steps = ((), ("loadings",), ("loadings", "intercepts"), ("loadings", "intercepts", "residuals"))
    options = {"missing": "fiml", "estimator": "MLR", "group": "school"}
    fits = [sq.cfa(HS, light(), group_equal=equal, **options) for equal in steps]
    found = sq.compare_models(*fits, method="satorra.bentler.2001").to_frame()
    expected = [
        (6.031861212, 6),
        (38.39010676, 6),
        (14.5630071, 9),
    ]
    found = found[["chisq_diff", "df_diff"]].iloc[1:].astype(float)
    np.testing.assert_allclose(found, expected, rtol=SECOND_DERIVATIVES)


def test_scores_of_the_answers_there_are_are_lavaans() -> None:
    fit = sq.cfa(HS, light(), missing="fiml")
    # lavPredict(fit), lavPredict(fit, method = "Bartlett"): the first three respondents.
    regression = [
        (-1.12034434948, -0.2120065025, -0.4477440858),
        (0.02577707306, -1.0457973244, 0.1340342670),
        (-0.72329924832, -1.8884097061, -0.9068827858),
    ]
    bartlett = [
        (-1.5033867660, -0.1571288418, -0.7774281351),
        (0.1851585904, -1.2232165569, 0.2729920966),
        (-0.5436439017, -2.1240660311, -1.2658411512),
    ]
    np.testing.assert_allclose(fit.factor_scores().iloc[:3], regression, atol=2e-6)
    np.testing.assert_allclose(fit.factor_scores("bartlett").iloc[:3], bartlett, atol=5e-6)


def test_wald_and_score_tests_are_lavaans() -> None:
    model = "visual =~ x1+{}*x2+{}*x3\ntextual =~ x4+{}*x5+{}*x6\nspeed =~ x7+x8+x9"
    free = sq.cfa(model.format(*"abcd"), light(), missing="fiml", estimator="MLR")
    wald = sq.wald_test(free, ["a == b", "c == d"])
    np.testing.assert_allclose((wald.stat, wald.p), (8.374286553, 0.01518961548), rtol=2e-5)
    assert wald.df == 2
    equal = HS.replace("x2+x3", "a*x2+a*x3").replace("x5", "b*x5") + "\nb == 2*a"
    score = sq.score_test(sq.cfa(equal, light(), missing="fiml", estimator="MLR"))
    assert score.total.set_index("test").loc["score", "chisq"] == pytest.approx(
        2.89323607, rel=2e-5
    )


def test_complete_covariates_make_no_difference_to_fiml_x() -> None:
    frame = light().assign(ageyr=complete().ageyr)
    kept, usual = (sq.sem(COVARIATES, frame, missing=name) for name in ("fiml.x", "fiml"))
    np.testing.assert_array_equal(kept.parameters.est, usual.parameters.est)
    assert kept.fit_measures["chisq"] == usual.fit_measures["chisq"]


def test_prepared_moments_of_incomplete_answers_need_their_treatment() -> None:
    moments = sq.cfa(HS, light(), missing="fiml").moments
    assert sq.cfa(HS, moments, missing="fiml").df == 24
    with pytest.raises(OptionError, match="missing='fiml'"):
        sq.cfa(HS, moments)
