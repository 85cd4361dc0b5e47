"""The findings of the bundled study against what is true, line by line."""

import runpy
import tomllib
from collections import Counter
from typing import Any

import pandas as pd
import pytest

from sqvalid import Study, wording
from sqvalid.bundled import datasets_directory
from sqvalid.exploratory.retention import SOURCES


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(datasets_directory() / "compare_with_truth.py"))


@pytest.fixture(scope="module")
def lines(script: dict[str, Any]) -> list[Any]:
    result = Study.from_toml(script["STUDY"]).run()
    truth = tomllib.loads(script["TRUTH"].read_text(encoding="utf-8"))
    return list(script["compare"](result, truth))


def test_the_page_says_what_the_study_says(script: dict[str, Any], lines: list[Any]) -> None:
    assert script["page"](lines) == script["PAGE"].read_text(encoding="utf-8")


def test_every_part_of_the_study_is_held_against_the_truth(
    script: dict[str, Any], lines: list[Any]
) -> None:
    subjects = [line.subject for line in lines]
    assert len(subjects) == len(set(subjects)) == 65
    assert {line.outcome for line in lines} <= set(script["OUTCOMES"])
    assert sum(subject.startswith("r(") for subject in subjects) == 28
    assert [s.split(":")[0] for s in subjects if s.startswith("H")] == [
        f"H{k}" for k in range(1, 10)
    ]


def test_no_hypothesis_is_judged_wrongly(lines: list[Any]) -> None:
    judged = Counter(line.outcome for line in lines if line.subject.startswith("H"))
    assert judged["wrong"] == 0
    assert judged["right"] >= 7


def test_what_the_defects_were_planted_for_shows(lines: list[Any]) -> None:
    found = {line.subject: line for line in lines}
    # Respondents: every straight line and every double row is out.
    assert found["double rows"].outcome == "right"
    assert found["careless: tick one answer throughout"].outcome == "right"
    # The key confounds wording and content: nothing in the fit tells it.
    assert found["a factor of wording"].outcome == "missed"
    assert found["r(RES, ASS)"].outcome == "wrong"
    for name in ("RES", "EMP"):
        assert found[f"loadings of {name}"].found.endswith("0 of 4 intervals have the truth") or (
            found[f"loadings of {name}"].found.endswith("0 of 5 intervals have the truth")
        )
    # A cut-off on CFI lets two shifted intercepts pass.
    assert found["intercepts in the branches"].outcome == "missed"
    # Every rival with other dimensions is false, and rejected.
    assert all(line.outcome == "right" for line in lines if line.subject.startswith("rival"))
    # Equivalent models are not told apart.
    assert found["H9: quality does not mediate satisfaction -> repurchase"].outcome == "right"


def test_the_table_over_seeds_is_what_its_script_makes_of_the_numbers() -> None:
    script = runpy.run_path(str(datasets_directory() / "make_seeds.py"))
    table = pd.read_csv(script["FOLDER"] / "seeds.csv")
    seed = tomllib.loads((script["FOLDER"] / "codebook.toml").read_text(encoding="utf-8"))["seed"]
    assert list(table["seed"]) == [seed, *range(1, 201)]
    page = (script["FOLDER"] / "seeds.md").read_text(encoding="utf-8")
    assert script["summary"](table, seed) == page


def test_the_bundled_row_of_that_table_is_the_study(lines: list[Any]) -> None:
    own = pd.read_csv(datasets_directory() / "servqual_demo" / "seeds.csv").iloc[0]
    verdicts = {x.subject[:2]: x.found for x in lines if x.subject.startswith("H")}
    assert {key: own[key] for key in verdicts} == verdicts
    found = {line.subject: line.found for line in lines}
    assert found["r(RES, ASS)"].startswith(f"{own['res_ass']:.2f} ")
    assert found["r(RES, EMP)"].startswith(f"{own['res_emp']:.2f} ")
    assert found["SQ -> RPI"].startswith(f"{own['direct']:.2f} ")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_retention_rule_of_the_report_has_a_name(language: str) -> None:
    names = {wording.text(f"report.retention_rule.{rule}", language) for rule in SOURCES}
    assert len(names) == len(SOURCES)
