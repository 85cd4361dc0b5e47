"""The examples of the README run as they are printed."""

import itertools
import textwrap
import tomllib
from pathlib import Path

import pytest

from sqvalid.hypotheses import read_hypotheses
from sqvalid.screening import RULES
from sqvalid.study.plan import Plan

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def block(first_line: str) -> str:
    """The indented block of the README that begins with this line, its indent taken off."""
    lines = README.splitlines()
    rest = lines[lines.index(f"    {first_line}") :]
    inside = itertools.takewhile(lambda line: not line or line.startswith("    "), rest)
    return textwrap.dedent("\n".join(inside))


def test_the_python_example(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(compile(block("import sqvalid as sq"), "README.md", "exec"), names)
    fit = names["fit"]
    assert fit.converged
    assert fit.admissible
    assert fit.fit_measures["df"] == 199


def test_the_study_example_is_toml_with_the_keys_of_the_demo() -> None:
    example = tomllib.loads(block("[study]"))
    plan = Plan.model_validate(example)
    assert set(example) == {
        "study", "data", "instrument", "model", "analysis", "exclusions", "rivals", "hypotheses",
    }  # fmt: skip
    assert len(read_hypotheses(plan.hypotheses)) == 5
    assert plan.exclusions[0].rule in RULES
    assert example["instrument"]["id"] == "servqual_study"
