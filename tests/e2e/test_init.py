"""sqvalid init: a draft that runs as it is, and never destroys anything."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sqvalid.bundled import dataset_path
from sqvalid.cli import app
from sqvalid.errors import InputError
from sqvalid.study import Study
from sqvalid.study.draft import draft_plan, write_draft


def numbered(folder: Path, name: str = "answers.csv", **extra: object) -> Path:
    rng = np.random.default_rng(3)
    frame = {}
    for stem in ("质量", "Q 5 b_"):
        factor = rng.normal(size=200)
        for k in range(1, 5):
            answer = np.clip(np.round(3 + factor + rng.normal(size=200)), 1, 5).astype(int)
            frame[f"{stem}{k}"] = answer
    file = folder / name
    pd.DataFrame(frame | extra).to_csv(file, index=False)
    return file


def test_the_bundled_answers_are_recognised_and_the_draft_runs(tmp_path: Path) -> None:
    shutil.copy(dataset_path("servqual_demo", "answers.csv"), tmp_path)
    result = CliRunner().invoke(app, ["init", str(tmp_path / "answers.csv")])
    assert result.exit_code == 0, result.output
    plan = tomllib.loads((tmp_path / "study.toml").read_text(encoding="utf-8"))
    assert plan["instrument"]["id"] == "servqual_study"
    assert '# invariance = "branch"' in (tmp_path / "study.toml").read_text(encoding="utf-8")


def test_names_of_an_instrument_on_another_scale_are_not_taken_for_it(tmp_path: Path) -> None:
    frame = pd.read_csv(dataset_path("servqual_demo", "answers.csv"))
    (frame.filter(regex="^P") * 14).to_csv(tmp_path / "a.csv", index=False)
    plan = tomllib.loads(draft_plan(tmp_path / "a.csv"))
    assert "instrument" not in plan
    assert len(plan["dimensions"]["P"]) == 22


def test_numbered_columns_become_dimensions_and_the_draft_runs(tmp_path: Path) -> None:
    file = numbered(tmp_path, duration_seconds=np.arange(200) + 100, sex=["f", "m"] * 100)
    plan = tomllib.loads(write_draft(file).read_text(encoding="utf-8"))
    assert plan["dimensions"]["质量"] == ["质量1", "质量2", "质量3", "质量4"]
    assert plan["screening"]["duration"] == "duration_seconds"
    found = Study.from_toml(tmp_path / "study.toml")
    assert found.rivals == {"one factor": "one_factor"}
    assert '# invariance = "sex"' in (tmp_path / "study.toml").read_text(encoding="utf-8")


def test_a_draft_of_plain_names_runs_to_the_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 300))
    frame = {
        f"{n}{k}": f + rng.normal(size=300) for n, f in (("A", a), ("B", b)) for k in (1, 2, 3)
    }
    pd.DataFrame(frame).to_csv(tmp_path / "d.csv", index=False)
    write_draft(tmp_path / "d.csv")
    result = Study.from_toml(tmp_path / "study.toml").run()
    assert result.answers[0].verdict == "yes"
    assert list(result.rivals.frame["model"]) == ["measurement", "one factor"]


def test_a_few_names_of_an_instrument_among_many_items_are_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = [f"LOY{k}" for k in range(1, 6)] + [f"s{k}" for k in range(1, 24)]
    frame = pd.DataFrame(rng.integers(1, 8, (50, len(names))), columns=names)
    frame.to_csv(tmp_path / "a.csv", index=False)
    plan = tomllib.loads(draft_plan(tmp_path / "a.csv"))
    assert {name: len(items) for name, items in plan["dimensions"].items()} == {"LOY": 5, "s": 23}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = numbered(tmp_path)
    (tmp_path / "study.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not touched"):
        write_draft(file)
    assert (tmp_path / "study.toml").read_text(encoding="utf-8") == "mine"
    with pytest.raises(InputError, match="not in the folder"):
        write_draft(file, tmp_path.parent / "study.toml")


def test_hostile_names_stay_strings(tmp_path: Path) -> None:
    name = 'x"\n[evil]\ny = "1'
    file = numbered(tmp_path, **{name: ["a", "b"] * 100})
    plan = tomllib.loads(draft_plan(file))
    assert "evil" not in plan


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"name": ["a", "b"], "city": ["c", "d"]}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match="look like items"):
        draft_plan(tmp_path / "x.csv")
