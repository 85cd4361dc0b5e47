"""The second opinion: what is asked, what is compared, what is left out and why."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.second_opinion import ask_second_opinion, translate_model
from sqvalid.second_opinion import structural as module


def answers(n=300, seed=9):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = 0.5 * a + 0.9 * rng.standard_normal(n)
    c = 0.4 * a + 0.4 * b + 0.8 * rng.standard_normal(n)
    columns = {}
    for name, factor in (("a", a), ("b", b), ("c", c)):
        for i in (1, 2, 3):
            columns[f"{name}{i}"] = factor + (0.5 + 0.1 * i) * rng.standard_normal(n)
    age = 0.3 * a + rng.standard_normal(n)
    return pd.DataFrame(columns).assign(age=age)


FACTORS = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\n"

AGREEING = {
    "correlated": (FACTORS, {}),
    "unit variances": (FACTORS, {"std_lv": True}),
    "orthogonal": (FACTORS, {"orthogonal": True}),
    "second order": (FACTORS + "S =~ A + B + C", {}),
    "paths": (FACTORS + "B ~ A\nC ~ A + B", {}),
    "paths, unit variances": (FACTORS + "B ~ A\nC ~ A + B", {"std_lv": True}),
    "covariate": (FACTORS + "A ~ age\nC ~ A + B", {}),
    "equal labels": ("A =~ a1 + l*a2 + l*a3\nB =~ b1 + b2 + b3", {}),
    "another marker": ("A =~ NA*a1 + 1*a2 + a3\nB =~ b1 + b2 + b3", {}),
    "fixed loading": ("A =~ a1 + 0.9*a2 + a3\nB =~ b1 + b2 + b3", {}),
    "robust errors": (FACTORS, {"estimator": "MLR"}),
    "defined": (FACTORS + "B ~ x*A\nC ~ y*B\nxy := x*y", {}),
    "observed only": ("b1 ~ a1 + a2\nc1 ~ b1 + a1", {}),
}


@pytest.mark.parametrize("case", AGREEING)
def test_two_programs_agree(case):
    model, options = AGREEING[case]
    fit = sq.sem(model, answers(), **options)
    found = ask_second_opinion(fit)
    assert found.available, found.detail
    assert found.agrees, (found.max_difference, found.chisq, found.chisq_theirs, found.df_theirs)
    assert found.diagnostics == ()
    assert found.df == found.df_theirs
    compared = {(r.lhs, r.op, r.rhs) for r in found.estimates.itertuples()}
    free = fit.parameters[(fit.parameters["free"] > 0) & (fit.parameters["op"] != ":=")]
    missing = {(r.lhs, r.op, r.rhs) for r in free.itertuples()} - compared
    assert not missing


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (FACTORS, {"meanstructure": True}, "means"),
        (FACTORS, {"likelihood": "wishart"}, "estimator"),
        ("A =~ a1 + l*a2 + a3\nl > 0.5", {}, "language"),
        ("A =~ a1 + a2 + l*a3\nB =~ b1 + b2 + l*b3", {"std_lv": True}, "language"),
    ],
)
def test_what_cannot_be_asked_is_not_available(model, options, reason):
    found = ask_second_opinion(sq.cfa(model, answers(), **options))
    assert not found.available
    assert found.agrees is None
    assert found.reason == reason
    assert [d.code for d in found.diagnostics] == [f"second_opinion_{reason}"]
    assert "not available" in repr(found)


def test_several_groups_are_not_available():
    frame = answers().assign(branch=["n", "s"] * 150)
    found = ask_second_opinion(sq.cfa(FACTORS, frame, group="branch"))
    assert found.reason == "several_groups"


def test_names_cannot_be_taken_for_syntax():
    names = {"a1": "满意度", "a2": "a.two", "a3": "~~"}
    frame = answers().rename(columns={k: v for k, v in names.items() if v != "~~"})
    fit = sq.cfa("满意 =~ 满意度 + a.two + a3\nB =~ b1 + b2 + b3", frame)
    text, mapping = translate_model(fit)
    assert set(re.findall(r"[A-Za-z]\w*", text)) <= set(mapping.values())
    assert ask_second_opinion(fit).agrees


def test_failure_of_the_other_program_is_told_not_raised(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(module, "_ask", broken)
    found = ask_second_opinion(sq.cfa(FACTORS, answers()))
    assert not found.available
    assert found.reason == "failed"
    assert "no luck" in found.detail


def test_disagreement_is_told(monkeypatch):
    honest = module._ask

    def worse(*arguments):
        table, chisq, df = honest(*arguments)
        return table, chisq + 5.0, df

    monkeypatch.setattr(module, "_ask", worse)
    found = ask_second_opinion(sq.cfa(FACTORS, answers()))
    assert found.agrees is False
    assert [d.code for d in found.diagnostics] == ["second_opinion_disagrees"]


def test_result_prints_and_serialises():
    found = ask_second_opinion(sq.cfa(FACTORS, answers()))
    assert "agrees" in repr(found)
    payload = found.to_dict()
    assert payload["agrees"] is True
    assert "gfi" in payload["not_compared"]
