"""Incomplete answers in groups, with weights, in clusters: lavaan 0.6-14's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import OptionError

from . import library

# servqual_sim_missing:
# sem(model, missing = "fiml", estimator = "MLR", control = list(rel.tol = 1e-10)); lavaan's
# estimates are good to about 5e-7, its scaled statistics to 1e-6.

SHARED = "RES =~ P10+P11+P12+P13\nSAT =~ SAT1+SAT2+SAT3+SAT4\nSAT ~ RES"


def shared_answers() -> pd.DataFrame:
    frame = library.frame("fiml_sq_ml")
    row = np.arange(1, len(frame) + 1)
    return frame.assign(w=1 + (row % 5) / 2, cl=row % 40)


LAVAAN = {
    "groups": (
        {"group": "segment", "group_equal": ("loadings", "intercepts"), "estimator": "MLR"},
        (61.80049476, 50, 1754.43958091, -7016.01671222, -6985.11646484),
        (60.16219324, 1642.07586906, 1.02723141, 0.99420517, 0.02697854),
        (1.1319327, 1.2128081, 1.2101598),
        (0.0861020, 0.1045161, 0.1068807),
    ),
    "weights": (
        {"sampling_weights": "w", "estimator": "MLR"},
        (35.17842283, 19, 1724.15628496, -7073.03577014, -7055.44655873),
        (29.04605798, 1406.36199286, 1.21112555, 0.99290974, 0.03413736),
        (1.1003589, 1.1945287, 1.2128246),
        (0.0888410, 0.1123593, 0.1169105),
    ),
    "clusters": (
        {"cluster": "cl", "estimator": "MLR"},
        (28.36095429, 19, 1772.28299236, -7028.83540471, -7014.65492757),
        (25.18014355, 1504.86388251, 1.12632218, 0.99626525, 0.02515204),
        (1.1351804, 1.2295294, 1.2262765),
        (0.0940386, 0.1114985, 0.1086302),
    ),
}


@pytest.mark.skipif(not library.has("fiml_sq_ml"), reason="reference file not here")
@pytest.mark.parametrize("name", sorted(LAVAAN))
def test_groups_weights_and_clusters_are_lavaans(name: str) -> None:
    options, plain, scaled, estimates, errors = LAVAAN[name]
    fit = sq.sem(SHARED, shared_answers(), missing="fiml", **options)
    found = fit.fit_measures
    names = ["chisq", "df", "baseline_chisq", "logl", "unrestricted_logl"]
    np.testing.assert_allclose(found[names], plain, rtol=1e-8)
    names = ["chisq_scaled", "baseline_chisq_scaled", "chisq_scaling_factor"]
    np.testing.assert_allclose(found[names], scaled[:3], rtol=2e-6)
    np.testing.assert_allclose(found[["cfi_robust", "rmsea_robust"]], scaled[3:], atol=1e-5)
    np.testing.assert_allclose(fit.parameters.est[1:4], estimates, rtol=2e-6)
    np.testing.assert_allclose(fit.parameters.se[1:4], errors, rtol=1e-5)


@pytest.mark.skipif(not library.has("fiml_sq_ml"), reason="reference file not here")
def test_random_covariates_are_lavaans() -> None:
    fit = sq.sem(SHARED + "\nSAT ~ age", shared_answers(), missing="fiml", fixed_x=False)
    names = ["chisq", "df", "baseline_chisq", "logl", "unrestricted_logl"]
    np.testing.assert_allclose(
        fit.fit_measures[names],
        (40.80668353, 26, 1784.73711899, -9417.70089151, -9397.29754975),
        rtol=1e-8,
    )
    np.testing.assert_allclose(fit.parameters.se[1:4], (0.0867311, 0.0949285, 0.1000295), rtol=1e-5)


# --- two-stage maximum likelihood ------------------------------------------------------------

HS = "visual =~ x1+x2+x3\ntextual =~ x4+x5+x6\nspeed =~ x7+x8+x9"
# cfa(missing = ...): lavaan's first stage stops early, which moves the second by 2e-5. Its
# baseline's scaling factor (1.0101 for both) does not use the moments' covariance, and is not
# compared.
TWO_STAGE = {
    "two.stage": ((105.3425021, 80.64419805, 1.306262629), (0.09927722, 0.11184832, 0.07478005)),
    "robust.two.stage": (
        (105.3425021, 77.40415935, 1.360941105),
        (0.09755671, 0.11837636, 0.07566179),
    ),
}


@pytest.mark.skipif(not library.has("cfa_hsmiss_fiml"), reason="reference file not here")
@pytest.mark.parametrize("missing", sorted(TWO_STAGE))
def test_two_stage_is_lavaans(missing: str) -> None:
    fit = sq.cfa(HS, library.frame("cfa_hsmiss_fiml"), missing=missing)
    statistics, errors = TWO_STAGE[missing]
    names = ["chisq", "chisq_scaled", "chisq_scaling_factor"]
    np.testing.assert_allclose(fit.fit_measures[names], statistics, rtol=5e-5)
    np.testing.assert_allclose(fit.parameters.se[[1, 2, 4]], errors, rtol=5e-5)
    assert fit.fit_measures["unrestricted_logl"] == pytest.approx(-3684.386477, abs=5e-4)


def test_two_stage_of_complete_answers_is_plain() -> None:
    rng = np.random.default_rng(2)
    f = rng.normal(size=200)
    frame = pd.DataFrame({f"x{k}": f + rng.normal(size=200) for k in range(4)})
    model = "f =~ x0 + x1 + x2 + x3"
    plain = sq.cfa(model, frame, meanstructure=True, h1_information="unstructured")
    staged = sq.cfa(model, frame, missing="two.stage")
    np.testing.assert_allclose(staged.parameters.est, plain.parameters.est, atol=1e-9)
    assert staged.fit_measures["chisq_scaled"] == pytest.approx(
        staged.fit_measures["chisq"], rel=1e-8
    )


# --- auxiliary variables ---------------------------------------------------------------------


@pytest.mark.skipif(not library.has("fiml_sq_ml"), reason="reference file not here")
def test_auxiliary_variables_are_those_of_semtools() -> None:
    # sem.auxiliary(aux = c("age", "RPI1")), semTools 0.5-6.
    fit = sq.sem(SHARED, shared_answers(), missing="fiml", auxiliary=("age", "RPI1"))
    found = fit.fit_measures
    names = ["chisq", "df", "npar", "baseline_chisq", "cfi", "tli", "rmsea", "logl"]
    theirs = (28.00091209, 19, 46, 1771.709418, 0.9948380665, 0.9923929401, 0.02809899806)
    np.testing.assert_allclose(found[names], (*theirs, -10270.03511), rtol=1e-7)
    np.testing.assert_allclose(
        fit.parameters.se[1:4], (0.08671114, 0.09498621, 0.10012547), rtol=1e-6
    )
    # Residuals of auxiliary variables are zero by design and do not count in ours.
    assert found["srmr"] == pytest.approx(0.0235881, abs=1e-7)
    assert fit.admissible
    robust = sq.sem(
        SHARED, shared_answers(), missing="fiml", auxiliary=("age", "RPI1"), estimator="MLR"
    )
    names = ["chisq_scaled", "baseline_chisq_scaled", "rmsea_robust"]
    np.testing.assert_allclose(
        robust.fit_measures[names], (26.54859316, 1659.251839, 0.02722689996), rtol=1e-5
    )


def test_auxiliary_variables_need_missing_answers_and_new_names() -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 5)), columns=list("abcde"))
    with pytest.raises(OptionError, match="missing='fiml'"):
        sq.cfa("f =~ a + b + c", frame, auxiliary="e")
    with pytest.raises(OptionError, match="has a already"):
        sq.cfa("f =~ a + b + c", frame, auxiliary="a", missing="fiml")


@pytest.mark.skipif(not library.has("xcheck_hs_three_programs"), reason="reference file not here")
def test_openmx_agrees() -> None:
    theirs = library.document("xcheck_hs_three_programs")
    for key, block in theirs.items():
        if not (isinstance(block, dict) and "minus2LL" in block):
            continue
        frame = library.frame("cfa_hsmiss_fiml" if "miss" in key else "desc_hs")
        fit = sq.cfa(HS, frame, missing="fiml")
        assert -2.0 * fit.fit_measures["logl"] == pytest.approx(block["minus2LL"], abs=1e-5)
        loadings = fit.parameters[(fit.parameters.op == "=~") & (fit.parameters.free > 0)]
        names = ("l2", "l3", "l5", "l6", "l8", "l9")
        np.testing.assert_allclose(loadings.est, [block["coef"][n] for n in names], rtol=1e-4)
        # OpenMx differentiates twice by finite differences.
        np.testing.assert_allclose(loadings.se, [block["se"][n] for n in names], rtol=1e-3)
