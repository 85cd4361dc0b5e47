"""OpenMx and R's sem: programs that share no code with the main reference."""

from __future__ import annotations

import pytest

import sqvalid

from . import library
from .test_engine import keyed

MODEL = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
NAMES = {
    "l2": ("visual", "=~", "x2"), "l3": ("visual", "=~", "x3"), "l5": ("textual", "=~", "x5"),
    "l6": ("textual", "=~", "x6"), "l8": ("speed", "=~", "x8"), "l9": ("speed", "=~", "x9"),
    **{f"e{i}": (f"x{i}", "~~", f"x{i}") for i in range(1, 10)},
    **{f"m{i}": (f"x{i}", "~1", "") for i in range(1, 10)},
    "v1": ("visual", "~~", "visual"), "v2": ("textual", "~~", "textual"),
    "v3": ("speed", "~~", "speed"), "c12": ("visual", "~~", "textual"),
    "c13": ("visual", "~~", "speed"), "c23": ("textual", "~~", "speed"),
}  # fmt: skip


@pytest.fixture(scope="module")
def programs():
    if not library.has("xcheck_hs_three_programs"):
        pytest.skip("the file is absent")
    return library.document("xcheck_hs_three_programs")


@pytest.fixture(scope="module")
def data():
    return library.frame("cfa_hs_ml_marker")


def test_openmx(programs, data):
    theirs = programs["OpenMx"]
    fit = sqvalid.cfa(MODEL, data, meanstructure=True, information="observed")
    rows = keyed(fit.parameters)
    assert -2 * fit.fit_measures["logl"] == pytest.approx(theirs["minus2LL"], rel=1e-8)
    for name, value in theirs["coef"].items():
        row = rows[(*NAMES[name], 1)]
        # Their optimiser stops within 2e-5; their errors come from a numerical Hessian.
        assert row.est == pytest.approx(value, abs=3e-5), name
        assert row.se == pytest.approx(theirs["se"][name], rel=2e-4), name


def test_sem_package_is_wishart(programs, data):
    theirs = programs["sem_pkg"]
    fit = sqvalid.cfa(MODEL, data, likelihood="wishart")
    rows = keyed(fit.parameters)
    assert fit.fit_measures["chisq"] == pytest.approx(theirs["chisq"], rel=1e-8)
    assert fit.fit_measures["df"] == theirs["df"]
    for name, value in theirs["coef"].items():
        assert rows[(*NAMES[name], 1)].est == pytest.approx(value, abs=3e-5), name
