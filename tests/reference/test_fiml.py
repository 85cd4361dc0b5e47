"""Incomplete answers in groups, with weights, in clusters: lavaan 0.6-14's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq

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
