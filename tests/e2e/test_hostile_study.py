"""A study whose every name was written to do harm: what comes out is inert."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sqvalid import cli
from sqvalid.study.draft import draft_plan

SCRIPT = "<script>alert(1)</script>"
IMAGE = "\"><img src=x onerror=alert(1)>'"
FORMULA = "=HYPERLINK(\"http://evil.example\",\"x\")"  # fmt: skip
COMMAND = "@SUM(1+1)*cmd|' /C calc'!A0"
PATH = "../../../evil"
BREAK = 'x"\n[evil]\nrun = "1'
JINJA = "{{ 7*7 }}{% raw %}"
NASTY = (SCRIPT, IMAGE, FORMULA, COMMAND, PATH, BREAK, JINJA, "CON", "\u202egpj.exe", "</style>")
ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3"]


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


def toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(6)
    n = 400
    a = rng.standard_normal(n)
    b = 0.5 * a + 0.8 * rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            name: np.clip(np.round(4 + f + 0.7 * rng.standard_normal(n)), 1, 7)
            for name, f in zip(ITEMS, (a, a, a, b, b, b), strict=True)
        }
    )
    columns = dict(zip(ITEMS, [SCRIPT, IMAGE, FORMULA, COMMAND, PATH, JINJA], strict=True))
    frame[BREAK] = [FORMULA if k % 2 else SCRIPT for k in range(n)]
    frame["group"] = [PATH if k % 2 else "..\\..\\evil/" for k in range(n)]
    frame = frame.rename(columns=columns)
    data = "a b;'$(touch evil)&<x>.csv"
    frame.to_csv(folder / data, index=False)
    mapped = ", ".join(f"{toml(v)} = {toml(k)}" for k, v in columns.items())
    (folder / "items.toml").write_text(
        "\n".join(
            [
                'id = "nasty"',
                f"name = {{ en = {toml(SCRIPT)}, zh = {toml(IMAGE)} }}",
                f"source = {toml(IMAGE + FORMULA)}",
                f"note = {toml(SCRIPT)}",
                'wording_status = "paraphrase"',
                'translation_status = "translated"',
                f'scale = {{ min = 1, max = 7, anchors = {{ en = [{toml(SCRIPT)}, "z"] }} }}',
                *(
                    f'[[dimensions]]\nid = "{d}"\nname = {{ en = {toml(text)} }}'
                    for d, text in (("A", SCRIPT), ("B", FORMULA))
                ),
                *(
                    f'[[items]]\nid = "{i}"\ndimension = "{i[0].upper()}"\n'
                    f"wording = {{ en = {toml(text)} }}"
                    for i, text in zip(ITEMS, NASTY, strict=False)
                ),
            ]
        ),
        encoding="utf-8",
    )
    (folder / "study.toml").write_text(
        f"[study]\ntitle = {toml(SCRIPT + JINJA)}\n"
        f"[data]\nfile = {toml(data)}\ncolumns = {{ {mapped} }}\n"
        '[instrument]\nfile = "items.toml"\n'
        '[model]\nstructural = "B ~ A"\n'
        f"[analysis]\ngroup = {toml('group')}\ninvariance = {toml(BREAK)}\n"
        f"[rivals]\n{toml(SCRIPT)} = 'one_factor'\n{toml(FORMULA)} = 'uncorrelated'\n"
        f"[hypotheses]\n{toml(IMAGE)} = 'A -> B, positive'\n"
        f"{toml('=H2')} = {{ says = 'A -> B, positive', family = {toml(SCRIPT)} }}\n",
        encoding="utf-8",
    )
    for language in ("en", "zh"):
        arguments = ["run", str(folder / "study.toml"), "-o", str(folder / language)]
        assert cli._guarded([*arguments, "--language", language], debug=False) == 0
    return folder


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_has_no_live_element_of_theirs(written: Path, language: str) -> None:
    page = (written / language / "report.html").read_text(encoding="utf-8")
    elements = Elements()
    elements.feed(page)
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base"}
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "xlink:href"):
            target = attributes.get(name) or "#"
            assert target.startswith("#") or target.startswith("data:image/")
    assert "49{%" not in page, "a template was filled in"
    assert page.count("</style>") == page.count("<style")
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_tables_hold_no_formula(written: Path, language: str) -> None:
    seen = 0
    for file in (written / language / "tables").iterdir():
        assert re.fullmatch(r"[\w\-]+\.csv", file.name)
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.reader(lines):
                for cell in row:
                    seen += 1
                    if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
                        float(cell)
    assert seen > 500


def test_nothing_was_written_elsewhere(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {
        "en", "zh", "items.toml", "study.toml", "a b;'$(touch evil)&<x>.csv",
    }  # fmt: skip
    inside = {str(path.relative_to(written / "en")) for path in (written / "en").rglob("*")}
    assert {"report.html", "results.json", "models", "tables"} <= inside
    for folder in (written, *list(written.parents)[:4]):
        assert not [path for path in folder.iterdir() if path.name.startswith("evil")]


def test_results_are_plain_json_with_the_names_as_they_are(written: Path) -> None:
    payload = json.loads((written / "en" / "results.json").read_text(encoding="utf-8"))
    assert payload["title"] == SCRIPT + JINJA
    assert {row["model"] for row in payload["rivals"]["table"]} == {
        "measurement", SCRIPT, FORMULA,
    }  # fmt: skip


def test_groups_whose_names_are_alike_on_disk_keep_their_own_tables(written: Path) -> None:
    names = [p.name for p in (written / "en" / "tables").glob("validity_matrix*")]
    assert len(names) == 2
    assert len({name.casefold() for name in names}) == 2


def test_a_draft_of_hostile_names_is_a_plan_and_nothing_more(written: Path) -> None:
    [file] = written.glob("a b*")
    text = draft_plan(file)
    plan = tomllib.loads(text)
    assert "evil" not in plan
    assert plan["data"]["file"] == file.name
    assert set(plan["data"]["columns"]) <= {SCRIPT, IMAGE, FORMULA, COMMAND, PATH, JINJA}
    for name in plan["data"]["columns"].values():
        assert re.fullmatch(r"[^\W\d][\w.]*", name)


def test_names_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    escape = "\x1b]0;owned\x07\x1b[2J\u202e"
    (tmp_path / "study.toml").write_text(
        f"[data]\nfile = {toml(escape)}\n[dimensions]\nA = ['a1']\n", encoding="utf-8"
    )
    assert cli._guarded(["run", str(tmp_path / "study.toml"), "-o", "x"], debug=False) == 2
    told = capsys.readouterr().err
    assert "owned" in told
    assert not {"\x1b", "\x07", "\u202e"} & set(told)
