"""A study from Python and its report: what is in it, what must not be."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sqvalid import wording
from sqvalid.display import json_safe
from sqvalid.errors import OptionError, SqvalidError
from sqvalid.exploratory import assess_factorability, efa, suggest_n_factors
from sqvalid.instruments import load_instrument
from sqvalid.report import SECTIONS, Callout, TableBlock, build_sections, render_html
from sqvalid.study import Study, write_result
from sqvalid.survey import Survey

DIMENSIONS = {"A": ["a1", "a2", "a3"], "B": ["b1", "b2", "b3"], "C": ["c1", "c2", "c3"]}
STRUCTURAL = "B ~ A\nC ~ A + B\nab := 1"
VOID = {"meta", "br", "link", "img", "hr", "input"}


def answers(n=320, seed=12):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = 0.5 * a + 0.9 * rng.standard_normal(n)
    c = 0.3 * a + 0.5 * b + 0.8 * rng.standard_normal(n)
    columns = {}
    for name, factor in (("a", a), ("b", b), ("c", c)):
        for i in (1, 2, 3):
            columns[f"{name}{i}"] = 4 + factor + 0.6 * rng.standard_normal(n)
    return pd.DataFrame(columns).assign(branch=["north", "south"] * (n // 2))


def make(**changes):
    arguments = {
        "data": answers(),
        "dimensions": DIMENSIONS,
        "structural": "B ~ A\nC ~ A + B",
        "title": "A study",
        "source": "answers.csv",
    }
    return Study(**(arguments | changes))


@pytest.fixture(scope="module")
def result():
    return make().run()


class Tags(HTMLParser):
    """Checks that every element that opens closes, in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("href", "xlink:href"):
            if values.get(name, "").startswith("#"):
                self.links.append(values[name][1:])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        if "id" in dict(attrs):
            self.ids.append(dict(attrs)["id"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert set(tags.links) <= set(tags.ids)
    text = re.sub(r"<(style|svg|pre).*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text)
    assert not re.search(r"\b(nan|NaN|None|inf)\b", text), "an undefined number leaked"
    assert "{" not in text
    return text


@pytest.mark.parametrize("language", wording.languages())
def test_report_in_every_language(result, language):
    page = render_html(replace(result, language=language))
    text = checked(page)
    assert "A study" in text
    for section in build_sections(replace(result, language=language)):
        assert section.title in text
    assert "<script" not in page


def test_every_section_appears():
    outcome = make(rivals={"one": "one_factor"}, invariance="branch").run()
    explored = answers().drop(columns="branch")
    outcome = replace(
        outcome,
        factorability=assess_factorability(explored),
        retention=suggest_n_factors(explored, n_draws=20),
        efa=efa(explored, 3),
    )
    assert len(build_sections(outcome)) == len(SECTIONS)
    checked(render_html(outcome))


@pytest.mark.parametrize(
    "changes",
    [
        {"structural": None},
        {"estimator": "MLR"},
        {"group": "branch"},
        {"structural": "S =~ A + B + C"},
        {"measurement": "A =~ a1 + a2 + a3 + b1\nB =~ b1 + b2 + b3", "structural": None},
        {"measurement": "A =~ a1 + a2 + a3", "structural": None},
        {"measurement": "A =~ a1 + a2\nB =~ 1*b1\nC =~ c1 + c2 + c3\nb1 ~~ 0*b1",
         "structural": "C ~ B + A"},
        {"structural": "B ~ x*A\nC ~ y*B + A\nxy := x*y"},
    ],
    ids=[
        "measurement only", "robust", "groups", "second order", "cross-loading", "one factor",
        "few items", "defined",
    ],
)  # fmt: skip
def test_all_kinds_of_models_render(changes, tmp_path):
    outcome = make(**changes).run()
    checked(render_html(outcome))
    json.dumps(json_safe(outcome.to_dict(), significant=12), allow_nan=False)
    write_result(outcome, tmp_path / "out")


def test_matrix_study():
    matrix = answers().drop(columns="branch").corr()
    outcome = make(data=None, matrix=matrix, matrix_kind="correlation", n_obs=320).run()
    text = checked(render_html(outcome))
    assert "the answers themselves were not seen" in text
    assert "correlation_input" in {d.code for d in outcome.diagnostics}
    from_answers = make().run().measurement.fit_measures
    assert outcome.measurement.fit_measures["chisq"] == pytest.approx(from_answers["chisq"])


def test_simulated_answers_are_flagged_on_top():
    sections = build_sections(make(simulated=True).run())
    first = sections[0].blocks[0]
    assert isinstance(first, Callout)
    assert first.severity == "problem"
    assert "made by a program" in first.text


def test_inadmissible_measurement_model_withholds_statements():
    rng = np.random.default_rng(3)
    f = rng.standard_normal((400, 1))
    frame = pd.DataFrame(
        f + 0.8 * rng.standard_normal((400, 6)), columns=["a1", "a2", "a3", "b1", "b2", "b3"]
    )
    frame["a1"] += frame["b1"] * 0.9
    frame["a2"] += frame["b2"] * 0.9
    outcome = make(
        data=frame, dimensions={"A": ["a1", "a2", "a3"], "B": ["b1", "b2", "b3"]},
        structural="B ~ A",
    ).run()  # fmt: skip
    assert not outcome.measurement.admissible, "the case is not the one meant"
    page = render_html(outcome)
    text = checked(page)
    assert "not admissible" in text
    for phrase in ("interval excludes zero", "supported"):
        assert phrase not in text
    assert "The verdict on the structure is withheld" in text


def test_user_text_is_escaped():
    nasty = '<script>alert("x")</script>'
    frame = answers().rename(columns={"a1": "a.1"})
    outcome = make(
        data=frame, dimensions={**DIMENSIONS, "A": ["a.1", "a2", "a3"]}, title=nasty, source=nasty
    ).run()
    page = render_html(outcome)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_same_study_same_page(result):
    assert render_html(result) == render_html(make().run())


def test_formulas_in_names_are_neutralised(tmp_path):
    formula = "=1+cmd"
    data = answers()
    data["branch"] = np.where(np.arange(len(data)) % 2 == 0, formula, "north")
    write_result(make(data=data, group="branch").run(), tmp_path / "out")
    cells = []
    for file in (tmp_path / "out" / "tables").glob("*.csv"):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            cells += [cell for row in csv.reader(lines) for cell in row]
    assert any(formula in cell for cell in cells)
    for cell in cells:
        if cell[:1] in ("=", "+", "-", "@"):
            assert float(cell) <= 0.0, cell


def test_results_have_twelve_digits(result, tmp_path):
    assert result.write(tmp_path / "out") == tmp_path / "out" / "report.html"
    text = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    payload = json.loads(text)
    assert payload["schema_version"] == 1
    assert payload["provenance"]["sha256"] == result.survey.sha256()
    for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text):
        assert len(number.split("e")[0].replace("-", "").replace(".", "").lstrip("0")) <= 12


def test_reverse_worded_items_are_turned_and_formative_dimensions_told():
    instrument = load_instrument("servqual")
    rng = np.random.default_rng(1)
    quality = rng.standard_normal(300)
    columns = {}
    for item in instrument.items:
        if item.battery != "perception":
            continue
        own = np.clip(np.round(4 + 1.2 * quality + rng.standard_normal(300)), 1, 7)
        columns[item.id] = 8 - own if item.reverse else own
    survey = Survey(pd.DataFrame(columns), instrument)
    outcome = Study(data=survey, measurement="TAN =~ P1 + P2 + P3\nRES =~ P10 + P11 + P12").run()
    assert "item_against_scale" not in {d.code for d in outcome.diagnostics}
    loadings = outcome.measurement.parameters.query("op == '=~'")["std_all"]
    assert (loadings > 0.5).all()
    steps = [entry.step for entry in outcome.survey.audit]
    assert steps[-1] == "reverse_keyed"


def test_tables_hold_all_effects(result):
    effects = [
        block
        for section in build_sections(result)
        if section.key == "structure"
        for block in section.blocks
        if isinstance(block, TableBlock)
    ]
    shown = " ".join(block.table.to_text() for block in effects)
    assert "A → B → C" in shown


def test_report_alone(result, tmp_path):
    page = result.write_report(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8") == render_html(result)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(SqvalidError, match="nowhere"):
        result.write_report(tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"language": "fr"}, "fr"),
        ({"data": None}, "either"),
        ({"matrix": pd.DataFrame([[1.0]])}, "either"),
        ({"data": None, "matrix": pd.DataFrame([[1.0]])}, "n_obs"),
        ({"data": None, "matrix": pd.DataFrame([[1.0]]), "n_obs": 9, "group": "g"}, "groups"),
    ],
)
def test_wrong_plans_are_refused(changes, words):
    with pytest.raises(OptionError, match=words):
        make(**changes)


def test_trouble_of_a_step_comes_through():
    with pytest.raises(SqvalidError, match="zz"):
        make(structural="zz ~ A").run()
