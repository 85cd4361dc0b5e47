"""Effects against lavaan's defined parameters."""

from __future__ import annotations

import pytest

import sqvalid as sq

from . import library

ESTIMATES = 1e-4
ERRORS = 2e-4

# file, source, target, kind of effect, name of the defined parameter
CASES = [
    case
    for case in [
        ("sem_poldem_mediation_delta", "ind60", "dem65", "indirect", "indirect"),
        ("sem_poldem_mediation_delta", "ind60", "dem65", "total", "total"),
        ("sem_poldem_mediation_mlr", "ind60", "dem65", "indirect", "indirect"),
        ("sem_sq_full_ml", "SQ", "RPI", "indirect", "indirect"),
        ("sem_sq_full_ml", "SQ", "RPI", "total", "total"),
        ("sem_sq_full_mlr", "SQ", "RPI", "total", "total"),
    ]
    if library.has(case[0])
]


@pytest.mark.parametrize(("file", "source", "target", "kind", "name"), CASES)
def test_effect(file, source, target, kind, name):
    document = library.document(file)
    estimator = document["arguments"].get("estimator", "ML") if document["arguments"] else "ML"
    fit = sq.sem(document["model_syntax"], library.frame(file), estimator=estimator)
    table = sq.estimate_effects(fit, source, target).to_frame()
    row = table[table["kind"] == kind].iloc[0]
    raw = library.table(document["parameters"])
    raw = raw[(raw["op"] == ":=") & (raw["lhs"] == name)].iloc[0]
    assert row["est"] == pytest.approx(raw["est"], rel=ESTIMATES)
    assert row["se"] == pytest.approx(raw["se"], rel=ERRORS)
    assert row["ci_lower"] == pytest.approx(raw["ci_lower"], abs=ERRORS)
    standardized = library.table(document["std_all"])
    standardized = standardized[(standardized["op"] == ":=") & (standardized["lhs"] == name)].iloc[
        0
    ]
    assert row["est_std"] == pytest.approx(standardized["est_std"], rel=ESTIMATES)
    assert row["se_std"] == pytest.approx(standardized["se"], rel=ERRORS)


def test_reference_files_are_there():
    assert CASES or library.shared_reference() is None
