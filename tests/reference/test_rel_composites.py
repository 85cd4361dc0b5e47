"""General factors, gap scores and agreement against the numbers of semTools, psych and lavaan."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.reliability.hierarchy import second_order_omegas
from sqvalid.reliability.raters import intraclass_correlation

from . import library

REFERENCE = pytest.mark.skipif(
    not library.has("rel_sq_higherorder"), reason="reference files are absent"
)


@REFERENCE
def test_second_order_model_agrees_with_semtools():
    document = library.document("rel_sq_higherorder")["second_order"]
    frame = library.frame("rel_sq_higherorder")
    fit = sq.cfa(document["model_syntax"], frame)
    found = sq.assess_general_factor(fit)
    assert found.origin == "second_order"
    total = found.composites.iloc[0]
    expected = document["reliabilityL2"]
    assert total["omega_general"] == pytest.approx(expected["omegaL1"], abs=1e-5)
    observed = sq.assess_general_factor(fit, variance="observed").composites
    observed = observed.set_index("composite")
    # The newest semTools gives the share of the second-order factor, the older one omega total.
    newest = document["compRelSEM_default"]
    disputed = library.document("rel_sq_higherorder")["cross_version_check"]["disputed"]
    older = {path.split("/")[-1]: value for path, _, value in disputed}
    for factor, value in newest.items():
        assert observed.loc[factor, "omega_general"] == pytest.approx(value, abs=1e-5)
        assert observed.loc[factor, "omega_total"] == pytest.approx(older[factor], abs=3e-6)


@REFERENCE
def test_three_second_order_omegas_agree_with_semtools():
    document = library.document("rel_sq_higherorder")["second_order"]
    frame = library.frame("rel_sq_higherorder")
    factors = ["TAN", "REL", "RES", "ASS", "EMP"]
    # The reference scales every factor by its variance, on which one of the three depends.
    fit = sq.cfa(document["model_syntax"], frame, std_lv=True)
    p = fit.parameters
    items = [item for factor in factors for item in fit.indicators[factor]]
    loadings = (
        p[(p["op"] == "=~") & p["rhs"].isin(items)]
        .pivot(index="rhs", columns="lhs", values="est").fillna(0.0).loc[items, factors]
    )  # fmt: skip
    second = p[(p["op"] == "=~") & (p["lhs"] == "SQ")].set_index("rhs").loc[factors, "est"]
    variances = p[(p["op"] == "~~") & (p["lhs"] == p["rhs"])].set_index("lhs")["est"]
    found = second_order_omegas(
        loadings.to_numpy(), second.to_numpy(), variances["SQ"],
        np.diag(variances[factors]), np.diag(variances[items]),
    )  # fmt: skip
    expected = document["reliabilityL2"]
    assert found["total_score"] == pytest.approx(expected["omegaL1"], abs=1e-5)
    assert found["partial"] == pytest.approx(expected["partialOmegaL1"], abs=1e-5)
    assert found["factors"] == pytest.approx(expected["omegaL2"], abs=1e-5)


@REFERENCE
def test_bifactor_model_agrees_with_the_reference():
    document = library.document("rel_sq_higherorder")["bifactor"]
    frame = library.frame("rel_sq_higherorder")
    fit = sq.cfa(document["model_syntax"], frame, orthogonal=True, std_lv=True)
    found = sq.assess_general_factor(fit, standardized=True)
    assert found.origin == "bifactor"
    total = found.composites.iloc[0]
    assert total["omega_general"] == pytest.approx(document["omega_h"], abs=1e-4)
    assert total["omega_total"] == pytest.approx(document["omega_t"], abs=1e-4)
    assert total["ecv"] == pytest.approx(document["ECV"], abs=1e-4)
    assert total["omega_relative"] == pytest.approx(document["omega_h_over_omega_t"], abs=1e-4)
    # 22 items in dimensions of 4, 5, 4, 4 and 5: 38 of 231 pairs share one.
    assert total["puc"] == pytest.approx(1 - 38 / 231)
    assert found.items["communality"].between(0, 1).all()


@pytest.mark.skipif(not library.has("rel_sq"), reason="reference files are absent")
def test_answers_and_solutions_are_one_way():
    expected = library.document("rel_sq")["scales"]["ALL"]
    frame = library.frame("rel_sq")[expected["items"]]
    found = sq.assess_general_factor(frame, 5, variance="observed")
    assert found.origin == "schmid_leiman"
    total = found.composites.iloc[0]
    wanted = expected["omega_nf5_minres"]
    assert total["omega_general"] == pytest.approx(wanted["omega_h"], abs=1e-5)
    assert total["omega_residual"] == pytest.approx(wanted["omega_tot"], abs=1e-5)
    again = sq.assess_general_factor(sq.efa(frame, 5, rotation="oblimin"), variance="observed")
    pd.testing.assert_frame_equal(found.composites, again.composites)


@REFERENCE
def test_batteries_come_from_the_instrument():
    survey = sq.Survey(library.frame("rel_sq"), sq.load_instrument("servqual"))
    found = sq.assess_gap_reliability(survey.reverse_keyed())
    assert found.dimensions["dimension"].tolist() == ["TAN", "REL", "RES", "ASS", "EMP"]


@REFERENCE
def test_ratings_of_many_agree_with_psych():
    ratings = library.frame("rel_sq")[["SAT1", "SAT2", "SAT3"]].iloc[:120]
    found = intraclass_correlation(ratings).coefficients
    assert found["icc"].tolist() == pytest.approx(
        [0.646173479456, 0.647905947659, 0.657565007109,
         0.845648792750, 0.846636367265, 0.852088223647], abs=1e-11
    )  # fmt: skip
    assert found["ci_lower"].tolist() == pytest.approx(
        [0.557650507542, 0.557785432057, 0.570670453622,
         0.790881066428, 0.790971517218, 0.799504345653], abs=1e-11
    )  # fmt: skip
    assert found["ci_upper"].tolist() == pytest.approx(
        [0.725387306075, 0.727775060433, 0.734898700016,
         0.887948613241, 0.889138919522, 0.892662734206], abs=1e-11
    )  # fmt: skip


# lavaan 0.6-14: the coefficients of "visual" as defined parameters (:=) of the three-factor
# model of hs1939; its optimiser stops at a gradient of 1e-6.
DEFINED = {
    "omega_total_implied": (0.62531852576, {"ML": 0.036554911618, "MLR": 0.038724528631}),
    "composite_reliability": (0.62583886889, {"ML": 0.035477917156, "MLR": 0.037589526287}),
    "ave": (0.37098435738, {"ML": 0.033927531454, "MLR": 0.034991233681}),
    "coefficient_h": (0.68775592751, {"ML": 0.048378891646, "MLR": 0.057750436596}),
}


@pytest.mark.skipif(not library.has("rel_hs"), reason="reference files are absent")
@pytest.mark.parametrize("estimator", ["ML", "MLR"])
@pytest.mark.parametrize("std_lv", [False, True])
def test_errors_of_model_coefficients_are_lavaans(estimator, std_lv):
    model = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
    fit = sq.cfa(model, library.frame("rel_hs"), estimator=estimator, std_lv=std_lv)
    table = sq.assess_reliability(fit).coefficients
    table = table[table["dimension"] == "visual"].set_index("coefficient")
    for name, (estimate, errors) in DEFINED.items():
        assert table.loc[name, "estimate"] == pytest.approx(estimate, abs=2e-6), name
        assert table.loc[name, "se"] == pytest.approx(errors[estimator], abs=2e-7), name
        assert table.loc[name, "ci_lower"] < estimate < table.loc[name, "ci_upper"]
    assert table.loc["ave", "interval"] == "delta"
    assert table.loc["omega_total_implied", "interval"] == "delta_log"
