"""Nested tests, Wald and score tests against the reference."""

from __future__ import annotations

import math

import pytest

import sqvalid

from . import library
from .engine import result
from .test_engine import Differences, real_fits

# Chi-square differences: 1e-4 of their size. What is a small difference of large numbers keeps
# the absolute error of the statistics it is made of.
RELATIVE = 1e-4
ABSOLUTE = 2e-5

METHODS = {
    "default": {"method": "default"},
    "standard": {"method": "standard"},
    "satorra.bentler.2001": {"method": "satorra.bentler.2001"},
    "satorra.bentler.2010": {"method": "satorra.bentler.2010"},
    **{
        f"satorra.2000_{a}_shift{shift[0]}": {
            "method": "satorra.2000",
            "a_method": a,
            "scaled_shifted": shift == "TRUE",
        }
        for a in ("delta", "exact")
        for shift in ("TRUE", "FALSE")
    },
}


def pairs():
    """(file, name of the pair, first fit, second fit, methods) of every built comparison."""
    built = {fit.name: fit for fit in real_fits()}
    for name in library.names(("lrt", "inv")):
        doc = library.document(name)
        blocks = doc.get("nested_tests") or doc.get("comparisons") or {}
        for pair, block in blocks.items():
            first, second = (f"{name}/{part}" for part in pair.split("_vs_"))
            if first in built and second in built:
                yield name, pair, first, second, block


PAIRS = list(pairs())
TESTS = [
    pytest.param(name, pair, first, second, method, entry, id=f"{name}-{pair}-{method}")
    for name, pair, first, second, block in PAIRS
    for method, entry in block.get("lrt", block).items()
    if isinstance(entry, dict) and "error" not in entry
]


# The reference differences two Jacobians whose rows stand in different orders where the two
# models order their variables differently; with the restricted model rewritten so that the
# orders agree, lavaan 0.6-14 gives these.
ALIGNED = {
    ("lrt_hs_mlr", "threefactor_vs_twofactor", "satorra.2000_delta_shiftF"): 50.99207,
    ("lrt_hs_mlr", "threefactor_vs_twofactor", "satorra.2000_delta_shiftT"): 49.32618,
    ("lrt_hs_mlm", "threefactor_vs_twofactor", "satorra.2000_delta_shiftF"): 71.98962,
    ("lrt_hs_mlm", "threefactor_vs_twofactor", "satorra.2000_delta_shiftT"): 71.84298,
}


def names_of(fit) -> set[str]:
    return {*fit.observed, *fit.latents}


@pytest.mark.parametrize(("name", "pair", "first", "second", "method", "entry"), TESTS)
def test_nested_test(name, pair, first, second, method, entry):
    free, restricted = sorted((result(first), result(second)), key=lambda fit: fit.df)
    found = sqvalid.compare_models(free, restricted, **METHODS[method])
    fit = next(f for f in library.fits() if f.name == first)
    diff = Differences(fit, f"nested_tests/{pair}/{method}")
    step = found.differences[-1]
    expected = entry["chisq_diff"]
    if free.observed != restricted.observed and method.startswith("satorra.2000_delta"):
        expected = ALIGNED[name, pair, method]
    whole = float(entry["df_diff"]).is_integer()
    if whole or not step.reason:
        diff.check("df_diff", step.df_diff, entry["df_diff"], rtol=1e-12 if whole else RELATIVE)
    if method == "satorra.bentler.2010" and not names_of(free) <= names_of(restricted):
        # Parameters that the restricted model does not name stand at the reference program's
        # start values, not at the restricted solution.
        assert math.isnan(step.raw_chisq_diff)
        diff.done()
        return
    diff.check("chisq_diff", step.raw_chisq_diff, expected, rtol=RELATIVE, atol=ABSOLUTE)
    if step.reason or "difference_by_moments" in {d.code for d in found.diagnostics}:
        # What is shown is not what the reference gives, for the reason told.
        assert math.isnan(step.chisq_diff) or not math.isclose(
            step.chisq_diff, step.raw_chisq_diff, rel_tol=1e-6
        )
    else:
        assert math.isclose(step.chisq_diff, step.raw_chisq_diff, rel_tol=1e-6)
        if expected == entry["chisq_diff"]:
            diff.check("p", step.p, entry["p"], rtol=5e-3, atol=1e-6)
            # Within 1e-4 of the statistic, a small RMSEA is as uncertain as its square allows.
            diff.check("rmsea_d", step.rmsea_d, entry["rmsea_d"], rtol=RELATIVE, atol=1e-4)
    if expected < 0:
        assert step.reason == "difference_negative_scaling"
        assert math.isnan(step.chisq_diff)
        assert math.isnan(step.p)
    diff.done()


DELTAS = [
    pytest.param(first, second, block, id=f"{name}-{pair}")
    for name, pair, first, second, block in PAIRS
    if "delta_fit_restricted_minus_free" in block
]


@pytest.mark.parametrize(("first", "second", "block"), DELTAS)
def test_differences_of_fit_measures(first, second, block):
    one, other = result(first).fit_measures, result(second).fit_measures
    free, restricted = sorted((one, other), key=lambda m: m["df"])
    for name, value in block["delta_fit_restricted_minus_free"].items():
        if value is None:
            # A restricted model of thresholds has no robust indices.
            assert math.isnan(restricted[name.replace(".", "_")])
            continue
        ours = restricted[name.replace(".", "_")] - free[name.replace(".", "_")]
        assert ours == pytest.approx(value, rel=RELATIVE, abs=2e-5), name
    if "plain_chisq_diff" not in block:
        return
    plain = restricted["chisq"] - free["chisq"]
    assert plain == pytest.approx(block["plain_chisq_diff"], rel=1e-6, abs=1e-5)


CRITERIA = [n for n in library.names(("lrt",)) if any(p[0] == n for p in PAIRS)]


@pytest.mark.parametrize("name", CRITERIA)
def test_information_criteria(name):
    table = library.matrix(library.document(name)["information_criteria"])
    for model, row in table.iterrows():
        measures = result(f"{name}/{model}").fit_measures
        for column, value in row.items():
            assert measures[column] == pytest.approx(value, rel=1e-6, abs=1e-6), (model, column)


@pytest.mark.skipif(not library.has("wald_score_hs"), reason="the file is absent")
def test_wald_and_score():
    doc = library.document("wald_score_hs")
    data = library.frame("wald_score_hs")
    constraints = doc["model_constrained"].split(", ")
    free = sqvalid.cfa(doc["model_free"], data)
    wald = sqvalid.wald_test(free, constraints)
    assert wald.stat == pytest.approx(doc["wald"]["stat"], rel=RELATIVE)
    assert wald.df == doc["wald"]["df"]
    assert wald.p == pytest.approx(doc["wald"]["p.value"], rel=1e-3)
    restricted = sqvalid.cfa("\n".join([doc["model_free"], *constraints]), data)
    score = sqvalid.score_test(restricted)
    total = doc["score"]["total"]
    assert score.stat == pytest.approx(total["X2"][0], rel=RELATIVE)
    assert score.df == total["df"][0]
    assert score.p == pytest.approx(total["p.value"][0], rel=1e-3)
    uni = doc["score"]["uni"]
    assert list(score.univariate["chisq"]) == pytest.approx(uni["X2"], rel=RELATIVE)
    assert list(score.univariate["p"]) == pytest.approx(uni["p.value"], rel=1e-3)
    difference = sqvalid.compare_models(free, restricted).differences[-1]
    assert difference.chisq_diff == pytest.approx(doc["lrt"]["chisq_diff"], rel=RELATIVE)


SCORES = [
    n
    for n in library.names(("inv",))
    if "score_tests_scalar" in library.document(n)
    and f"{n}/scalar" in {f.name for f in real_fits()}
]


@pytest.mark.parametrize("name", SCORES)
def test_score_tests_of_the_scalar_model(name):
    doc = library.document(name)["score_tests_scalar"]
    fit = result(f"{name}/scalar")
    score = sqvalid.score_test(fit)
    assert score.stat == pytest.approx(doc["total"]["X2"][0], rel=RELATIVE)
    assert score.n_constraints == doc["total"]["df"][0]
    # The reference counts constraints. Released together they also free the latent means (and,
    # with std.lv, the latent variances), which the data cannot tell from what was released:
    # the configural model gains fewer directions.
    assert score.df == fit.df - result(f"{name}/configural").df
    uni = doc["uni"]
    assert list(score.univariate["chisq"]) == pytest.approx(uni["X2"], rel=RELATIVE, abs=2e-5)
    if "X2.scaled" in uni:
        assert list(score.univariate["chisq_scaled"]) == pytest.approx(
            uni["X2.scaled"], rel=RELATIVE, abs=2e-5
        )
