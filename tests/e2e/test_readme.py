"""The examples of the README run as they are printed."""

import itertools
import textwrap
import tomllib
from pathlib import Path

import pytest

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
    assert set(example) == {"study", "data", "instrument", "model"}
    assert example["instrument"]["id"] == "servqual_study"
