"""The chain of verdicts: who blocks whom, and that rules keep their own outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InadmissibleSolutionWarning
from sqvalid.findings import build_ledger, residual_correlations

MODEL = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3"


def answers(phi=0.5, n=400, cross=0.0, seed=2):
    loadings = np.zeros((6, 2))
    loadings[:3, 0], loadings[3:, 1] = (0.8, 0.75, 0.8), (0.75, 0.8, 0.75)
    implied = loadings @ np.array([[1.0, phi], [phi, 1.0]]) @ loadings.T
    np.fill_diagonal(implied, 1.0)
    for i, j in ((0, 5), (2, 3)):
        implied[i, j] += cross
        implied[j, i] += cross
    draws = np.random.default_rng(seed).standard_normal((n, 6))
    draws -= draws.mean(axis=0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    columns = ["a1", "a2", "a3", "b1", "b2", "b3"]
    return pd.DataFrame(white @ np.linalg.cholesky(implied).T, columns=columns)


def ledger_of(frame, structural=True):
    fit = sq.cfa(MODEL, frame)
    paths = sq.sem(MODEL + "\nB ~ A", frame) if structural else None
    return build_ledger(fit, sq.assess_validity(fit, unity_tests=False), paths)


def states(ledger):
    return {link.name: link.state for link in ledger.links}


def test_sound_model_is_met_throughout():
    assert set(states(ledger_of(answers())).values()) == {"met"}


def test_inadmissible_solution_blocks_everything_after():
    with pytest.warns(InadmissibleSolutionWarning):
        fit = sq.cfa(MODEL, answers(phi=1.05))
    ledger = build_ledger(fit, sq.assess_validity(fit, unity_tests=False), None)
    assert ledger.link("solution").state == "not_met"
    for name in ("fit", "convergence", "distinctness"):
        assert ledger.link(name).state == "not_judged"
        assert ledger.link(name).blocked_by == "solution"
    judged = {j.rule: j for j in ledger.link("distinctness").judgements}
    assert judged["fornell_larcker"].outcome == "not_judged"
    assert judged["latent_correlation"].outcome == "not_judged"
    # HTMT comes from the sample, so it still has its own outcome beside the blocked link.
    assert judged["htmt_distinct"].outcome == "not_met"


def test_rules_that_disagree_are_mixed_and_do_not_block():
    ledger = ledger_of(answers(phi=0.84))
    distinctness = ledger.link("distinctness")
    outcomes = {j.rule: j.outcome for j in distinctness.judgements}
    assert outcomes == {
        "fornell_larcker": "not_met",
        "htmt_distinct": "met",
        "latent_correlation": "not_met",
    }
    assert distinctness.state == "mixed"
    assert ledger.link("structure").blocked_by == ""


def test_misfit_blocks_the_structure_but_not_its_numbers():
    ledger = ledger_of(answers(cross=0.35, n=4000))
    fit = ledger.link("fit")
    outcomes = {j.outcome for j in fit.judgements}
    if fit.state == "not_met":
        assert outcomes == {"not_met"}
        assert ledger.link("structure").blocked_by == "fit"
    else:
        assert fit.state == "mixed"
        assert outcomes == {"met", "not_met"}
    assert len(ledger.link("structure").judgements) == 4


def test_weak_convergence_blocks_nothing():
    frame = answers()
    rng = np.random.default_rng(8)
    frame["a1"] += 2.0 * rng.standard_normal(len(frame))
    ledger = ledger_of(frame)
    assert ledger.link("convergence").state == "mixed"
    assert ledger.link("distinctness").blocked_by == ""


def test_small_samples_leave_rules_unjudged():
    ledger = ledger_of(answers(n=200), structural=False)
    outcomes = {j.rule: (j.outcome, j.reason) for j in ledger.link("fit").judgements}
    assert outcomes["rmsea"] == ("not_judged", "sample_too_small_for_rule")
    assert outcomes["cfi"][0] == "met"


def test_ledger_as_a_frame():
    frame = ledger_of(answers()).to_frame()
    assert set(frame["link"]) == {"fit", "convergence", "distinctness", "structure"}
    assert frame["value"].notna().all()


def test_residual_correlations_are_sorted_and_complete():
    fit = sq.cfa(MODEL, answers(cross=0.1))
    table = residual_correlations(fit)
    assert len(table) == 15
    sizes = table["residual"].abs().to_numpy()
    assert (np.diff(sizes) <= 0).all()
    worst = table.iloc[0]
    expected = fit.residuals("cor").loc[worst["lhs"], worst["rhs"]]
    assert worst["residual"] == pytest.approx(expected)
    grouped = sq.cfa(MODEL, answers().assign(g=["x", "y"] * 200), group="g")
    assert set(residual_correlations(grouped)["group"]) == {"x", "y"}
