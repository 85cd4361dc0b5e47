"""Models for ordered answers against lavaan: covariates, groups, mixed items, gaps, weights.

The bundled record is of lavaan 0.6-14, which differs from 0.7 in what is not recorded there
(p-values of statistics without a reference distribution, robust indices).
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import sqvalid
from sqvalid.errors import SqvalidWarning

from . import library

FOLDER = library.BUNDLED / "ordered"
CASES = json.loads((FOLDER / "lavaan_0.6-14.json").read_text(encoding="utf-8"))
# lavaan's search ends at gradients of about 1e-6, and its polychoric correlations at 1e-6 too.
RELATIVE, ABSOLUTE = 2e-4, 2e-5


@cache
def data(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / {"d": "complete.csv", "m": "gaps.csv"}[name])


def fit_case(case: dict, **more):
    options = {key.replace(".", "_"): value for key, value in case["arguments"].items()}
    if "group_equal" in options:
        options["group_equal"] = tuple(kind.replace(".", "_") for kind in options["group_equal"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        function = getattr(sqvalid, case["function"])
        return function(case["model"], data(case["data"]), **(options | more))


def rows(frame: pd.DataFrame) -> dict[tuple, object]:
    out = {}
    for row in frame.itertuples(index=False):
        out[row.lhs, row.op, row.rhs, row.group] = row
        if row.op == "~~":
            out[row.rhs, row.op, row.lhs, row.group] = row
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_against_lavaan(case):
    fit = fit_case(case)
    assert fit.converged
    assert fit.gradient_norm < 1e-8
    for block, frame in (
        ("parameters", fit.parameters),
        ("standardized", fit.standardized()),
    ):
        found = rows(frame)
        for lhs, op, rhs, group, est, se in case[block]:
            ours = found[lhs, op, rhs, group]
            where = (block, lhs, op, rhs, group)
            if est is not None:
                assert ours.est == pytest.approx(est, rel=RELATIVE, abs=ABSOLUTE), where
            if se is not None:
                assert ours.se == pytest.approx(se, rel=RELATIVE, abs=ABSOLUTE), where
    for name, value in case["fit_measures"].items():
        ours = fit.fit_measures[name.replace(".", "_")]
        if value is None:
            assert math.isnan(ours), name
        else:
            assert ours == pytest.approx(value, rel=RELATIVE, abs=ABSOLUTE), name


GRADIENT = [case for case in CASES if case["id"] in {
    "mimic_delta", "mimic_theta", "mixed_x", "path_two", "path_med_theta", "mg_eq", "mg_eq_theta",
    "mg_x_eq", "wls_mixed", "growth_bin", "fixthr",
}]  # fmt: skip


@pytest.mark.parametrize("case", GRADIENT, ids=lambda case: case["id"])
def test_derivatives_by_differences(case):
    """Statistics and standardised values move as their Jacobians say."""
    fit = fit_case(case)
    problem = fit.estimate.problem
    rng = np.random.default_rng(3)
    theta = fit.estimate.theta + 0.05 * rng.standard_normal(fit.n_free)
    objective = problem.objective
    locals_ = objective.locals(theta)
    gradient = objective.gradient(locals_)
    step = 1e-6
    for k in range(fit.n_free):
        moved = np.zeros(fit.n_free)
        moved[k] = step
        slope = (objective.value(theta + moved) - objective.value(theta - moved)) / (2 * step)
        assert slope == pytest.approx(gradient[k], rel=2e-4, abs=2e-7), k
    check_standardised(fit, step)


def check_standardised(fit, step: float) -> None:
    jacobian = fit.standardized_jacobian()
    n_rows = len(fit.table.rows)

    def at(theta):
        problem = fit.estimate.problem
        locals_ = tuple(problem.objective.locals(theta))
        solution = replace(fit.estimate.solution, theta=theta)
        moved = replace(fit.estimate, solution=solution, locals_=locals_)
        return replace(fit, estimate=moved).standardized()["est"].to_numpy()[:n_rows]

    for k in range(fit.n_free):
        moved = np.zeros(fit.n_free)
        moved[k] = step
        slope = (at(fit.estimate.theta + moved) - at(fit.estimate.theta - moved)) / (2 * step)
        np.testing.assert_allclose(jacobian[:n_rows, k], slope, rtol=2e-4, atol=2e-6)
