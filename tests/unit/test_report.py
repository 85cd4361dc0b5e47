"""The report: what it must contain, its numbers, and that nothing users wrote comes alive."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sqvalid import wording
from sqvalid.criteria import BANDS, CRITERIA
from sqvalid.display import Table
from sqvalid.exploratory import assess_factorability, efa, suggest_n_factors
from sqvalid.findings import (
    close_fit_power,
    confounded_dimensions,
    scale_moments,
    turnable_paths,
)
from sqvalid.instruments import load_instrument
from sqvalid.report import (
    ChecklistBlock,
    FigureBlock,
    TableBlock,
    bibliography,
    build_sections,
    render_html,
)
from sqvalid.report.checklist import CHECKLIST
from sqvalid.report.references import SOURCES, short_source, source_keys, used_sources
from sqvalid.report.validity_section import validity_section
from sqvalid.report.words import show_against, show_arrows, show_threshold
from sqvalid.screening import RULES
from sqvalid.study import Study

DIMENSIONS = {name: [f"{name.lower()}{i}" for i in (1, 2, 3)] for name in "ABC"}


def answers(n=300, seed=2):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    columns = {}
    for name in "abc":
        own = 0.6 * common + 0.8 * rng.standard_normal(n)
        columns |= {
            f"{name}{i}": np.clip(np.round(4 + own + 0.8 * rng.standard_normal(n)), 1, 7)
            for i in (1, 2, 3)
        }
    return pd.DataFrame(columns).assign(branch=["north", "south"] * (n // 2))


def make(**changes):
    frame = answers(200)
    frame.loc[frame.index[:9], "a1"] = np.nan
    arguments = {
        "data": frame,
        "dimensions": DIMENSIONS,
        "structural": "B ~ A\nC ~ A + B",
        "rivals": {"one": "one_factor"},
        "hypotheses": {"H1": "A -> B, positive", "H2": "B mediates A -> C"},
        "title": "A study",
        "source": "answers.csv",
    }
    return Study(**(arguments | changes))


@pytest.fixture(scope="module")
def result():
    found = make().run()
    frame = answers().drop(columns="branch")
    return replace(
        found,
        factorability=assess_factorability(frame),
        retention=suggest_n_factors(frame, n_draws=20),
        efa=efa(frame, 3),
    )


@pytest.fixture(scope="module")
def small():
    """One measurement model and nothing else."""
    return make(structural=None, hypotheses={}, rivals={}).run()


@pytest.fixture(scope="module")
def sections(result):
    return {section.key: section for section in build_sections(result)}


@pytest.fixture(scope="module")
def page(result):
    return render_html(result)


# --- numbers -----------------------------------------------------------------------------


def test_combined_table_against_its_parts(result, sections):
    table = next(b.table for b in sections["validity"].blocks if isinstance(b, TableBlock))
    frame = table.frame
    assert list(frame.index) == ["1. A", "2. B", "3. C"]
    assert list(frame.columns) == ["M", "SD", "ω", "AVE", "1", "2", "3"]
    complete = result.survey.frame.dropna()
    assert len(complete) == result.measurement.n_obs
    for k, (name, items) in enumerate(DIMENSIONS.items()):
        score = complete[items].mean(axis=1)
        assert frame["M"].iloc[k] == pytest.approx(score.mean(), rel=1e-12)
        assert frame["SD"].iloc[k] == pytest.approx(score.std(ddof=1), rel=1e-12)
        own = result.measurement.parameters.query(f"op == '=~' and lhs == '{name}'")["std_all"]
        assert frame["AVE"].iloc[k] == pytest.approx((own**2).mean(), rel=1e-9)
        assert frame.iloc[k, 4 + k] == pytest.approx(np.sqrt((own**2).mean()), rel=1e-9)
    latent = result.measurement.latent_correlation
    htmt = result.validity.pairs.set_index(["factor_a", "factor_b"])["htmt"]
    assert frame.loc["2. B", "1"] == pytest.approx(latent.loc["B", "A"], rel=1e-12)
    assert frame.loc["1. A", "2"] == pytest.approx(htmt["A", "B"], rel=1e-12)
    assert table.strong == ((0, 4), (1, 5), (2, 6))
    assert table.to_html().count("<strong>") == 3


def test_scale_moments_of_groups_and_matrices():
    frame = answers()
    both = make(data=frame, group="branch", structural=None, hypotheses={}, rivals={}).run()
    moments = scale_moments(both.measurement).set_index(["group", "factor"])
    for branch, rows in frame.groupby("branch"):
        score = rows[DIMENSIONS["B"]].mean(axis=1)
        assert moments.loc[(branch, "B"), "mean"] == pytest.approx(score.mean(), rel=1e-12)
        assert moments.loc[(branch, "B"), "sd"] == pytest.approx(score.std(ddof=1), rel=1e-12)
    covariance = frame.drop(columns="branch").cov()
    plain = make(data=None, matrix=covariance, n_obs=300, structural=None, hypotheses={}, rivals={})
    outcome = plain.run()
    moments = scale_moments(outcome.measurement).set_index("factor")
    assert moments["mean"].isna().all()
    score = frame[DIMENSIONS["C"]].mean(axis=1)
    assert moments.loc["C", "sd"] == pytest.approx(score.std(ddof=1), rel=1e-12)
    table = next(b.table for b in validity_section(outcome).blocks if isinstance(b, TableBlock))
    assert list(table.frame.columns[:3]) == ["SD", "ω", "AVE"]
    of_correlations = make(
        data=None, matrix=frame.drop(columns="branch").corr(), matrix_kind="correlation",
        n_obs=300, structural=None, hypotheses={}, rivals={},
    ).run()  # fmt: skip
    blocks = validity_section(of_correlations).blocks
    table = next(b.table for b in blocks if isinstance(b, TableBlock))
    # The scale of an item is lost in a correlation matrix.
    assert list(table.frame.columns[:2]) == ["ω", "AVE"]


@pytest.mark.parametrize(("df", "n"), [(20, 435), (50, 214), (100, 132)])
def test_power_of_the_test_of_close_fit(df, n):
    # Smallest n for a power of .80 in table 4 of MacCallum, Browne & Sugawara (1996); its values
    # were found by search to within a respondent or two.
    assert close_fit_power(n, df) == pytest.approx(0.80, abs=0.0025)
    assert close_fit_power(n - 10, df) < 0.80 < close_fit_power(n + 10, df)


def test_power_against_another_program():
    # semTools::findRMSEApower(.05, .08, 50, 214)
    assert close_fit_power(214, 50) == pytest.approx(0.8013118, abs=5e-8)
    # Where the model is as wrong as the bound, power is the error rate.
    assert close_fit_power(300, 40, true=0.05) == pytest.approx(0.05, abs=1e-9)
    assert np.isnan(close_fit_power(300, 0))


def test_confounding_of_wording_and_content_comes_from_the_key():
    instrument = load_instrument("servqual")
    factors = {
        d.id: tuple(i.id for i in instrument.items
                    if i.dimension == d.id and i.battery == "perception")
        for d in instrument.dimensions
    }  # fmt: skip
    assert confounded_dimensions(instrument, factors) == ("RES", "EMP")
    assert confounded_dimensions(instrument, {"RES": factors["RES"]}) == ()
    assert confounded_dimensions(instrument, {k: factors[k] for k in ("TAN", "REL")}) == ()
    mixed = factors | {"TAN": (*factors["TAN"], "P10")}
    assert confounded_dimensions(instrument, mixed) == ()
    assert confounded_dimensions(instrument, {"X": ("not", "there")}) == ()


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("B ~ A\nC ~ B", {("A", "B"), ("B", "C")}),
        ("C ~ A + B\nA ~~ 0*B", set()),
        ("C ~ A + B", {("A", "C"), ("B", "C")}),
    ],
)
def test_paths_that_equivalent_models_turn_round(result, text, turned):
    fit = make(structural=text, hypotheses={}, rivals={}).run().structural
    assert set(turnable_paths(fit)) == turned


def test_loops_have_no_general_answer():
    text = "B ~ A\nC ~ B\nB ~~ C"
    outcome = make(structural=text, hypotheses={}, rivals={}).run()
    assert turnable_paths(outcome.structural) is None
    assert wording.text("report.structure.direction_unknown") in render_html(outcome)


def test_values_show_the_side_of_the_rule_they_are_on():
    assert show_against(0.49969, 0.5) == ".4997"
    assert show_against(0.4, 0.5) == ".400"
    assert show_against(0.5, 0.5) == ".500"
    assert show_against(0.7999999999, 0.8) == ".800000"
    assert show_against(float("nan"), 0.5) == "–"
    assert (show_threshold(15.0), show_threshold(0.001), show_threshold(None)) == (
        "15", "0.001", None,
    )  # fmt: skip
    assert show_arrows("A -> B - C") == "A → B\u00a0\u2212\u00a0C"


# --- sources -----------------------------------------------------------------------------


def sources_named():
    rules = RULES.values() if hasattr(RULES, "values") else RULES
    yield from (rule.source for rule in (*CRITERIA.values(), *BANDS.values(), *rules))
    frame = answers().drop(columns="branch")
    yield from suggest_n_factors(frame, n_draws=20).frame["source"]


def test_every_source_of_a_rule_has_its_entry():
    for text in sources_named():
        assert len(source_keys(text)) == len(re.findall(r"\((?:1[89]|20)\d\d\)", text)), text


def test_bibliography_is_bibtex_and_holds_what_was_used(result, small, page):
    text = bibliography(result)
    entries = re.findall(r"^@(\w+)\{([\w-]+),$", text, flags=re.MULTILINE)
    keys = [key for _, key in entries]
    assert keys == sorted(set(keys))
    assert set(keys) == set(used_sources(result)) <= set(SOURCES)
    assert text.count("{") == text.count("}")
    for source in SOURCES.values():
        assert {"author", "title"} <= set(source.fields)
        assert re.fullmatch(r"(?:1[89]|20)\d\d", source.year)
        if source.kind == "article":
            assert {"journal", "volume", "pages"} <= set(source.fields), source.key
    for key in ("hu1999", "fornell1981", "holm1979", "mackinnon2004", "horn1965", "little1988"):
        assert key in keys
        assert f"{{{key}," in page
    assert not {"holm1979", "mackinnon2004", "bentler2010"} & set(used_sources(small))
    robust = make(estimator="MLR", structural=None, hypotheses={}, rivals={}).run()
    assert "yuan2000" in used_sources(robust)


def test_a_source_cannot_break_out_of_its_entry(small):
    instrument = replace(load_instrument("servqual"), source="} @evil{x, \\input{/etc/passwd}")
    found = replace(small, instrument=instrument)
    entry = bibliography(found).split("\n\n")[-1]
    assert entry.count("{") == entry.count("}") == 3
    assert "\\input" not in entry


def test_short_names_of_sources():
    assert short_source(CRITERIA["cfi"].source) == "Hu & Bentler (1999)"
    assert short_source("a convention") == "a convention"


# --- what has to be there ----------------------------------------------------------------


@pytest.mark.parametrize("language", wording.languages())
def test_checklist_points_to_what_is_there(result, language):
    made = {s.key: s for s in build_sections(replace(result, language=language))}
    block = next(b for b in made["appendix"].blocks if isinstance(b, ChecklistBlock))
    assert len(block.rows) == len(CHECKLIST) >= 20
    for row in block.rows:
        assert bool(row.section) == bool(row.place)
        if row.section:
            assert row.place == made[row.section].title
    given = wording.text("report.checklist_state.given", language)
    assert sum(row.state == given for row in block.rows) >= 18


def test_checklist_promises_nothing_that_is_not_there(small):
    matrix = answers().drop(columns="branch").cov()
    for outcome in (small, make(data=None, matrix=matrix, n_obs=300).run()):
        made = {s.key: s for s in build_sections(outcome)}
        block = next(b for b in made["appendix"].blocks if isinstance(b, ChecklistBlock))
        assert {row.section for row in block.rows if row.section} <= set(made)


def test_sections_come_in_the_order_of_a_paper(sections):
    assert list(sections) == [
        "answers", "about", "data", "missing", "items", "exploratory", "measurement", "validity",
        "structure", "hypotheses", "rivals", "local", "opinion", "appendix",
    ]  # fmt: skip


def test_every_estimate_is_printed_with_error_and_interval(result, sections):
    """Unstandardised and standardised, of every parameter of the main model."""
    printed = " ".join(
        block.table.to_text()
        for section in sections.values()
        for block in section.blocks
        if isinstance(block, TableBlock)
    )
    for row in result.structural.parameters.to_dict("records"):
        if row["free"]:
            assert f"{row['est']:.3f}" in printed
            assert f"[{row['ci_lower']:.3f},\u00a0{row['ci_upper']:.3f}]" in printed


def test_figures_and_tables_have_names(sections):
    kinds = {"figures": 0, "tables": 0}
    for section in sections.values():
        for block in section.blocks:
            if isinstance(block, FigureBlock):
                kinds["figures"] += 1
                assert block.caption
                assert 'role="img" aria-label="' in block.svg
            if isinstance(block, TableBlock):
                kinds["tables"] += 1
                assert block.table.title
    assert kinds["figures"] >= 7
    assert kinds["tables"] >= 18


def test_missing_answers_have_their_section(result, sections):
    text = " ".join(getattr(block, "text", "") for block in sections["missing"].blocks)
    assert "9 of 200 respondents left something out" in text
    assert "a1 (4.5%)" in text


def test_wide_tables_are_printed_sideways(sections):
    names = [f"name_{k}" for k in range(24)]
    wide = TableBlock(Table(pd.DataFrame(np.zeros((2, 24)), columns=names)))
    assert wide.wide
    assert not TableBlock(Table(pd.DataFrame(np.zeros((2, 9)), columns=list("abcdefghi")))).wide
    for section in sections.values():
        assert not any(b.wide for b in section.blocks if isinstance(b, TableBlock)), section.key


@pytest.mark.parametrize("language", wording.languages())
def test_a_study_that_develops_says_what_was_found_where(language):
    outcome = Study(
        data=answers(600), dimensions=DIMENSIONS, role="develop", structural="B ~ A",
        title="Developing", language=language,
    ).run()  # fmt: skip
    page = render_html(outcome)
    made = outcome.exploration
    told = wording.text(
        "report.data.division", language, explored=made.n_explored, confirmed=made.n_confirmed,
        share="50%", seed=made.seed,
    )  # fmt: skip
    assert told in page
    assert wording.text("report.exploratory.other_rows", language) in page
    assert wording.text("report.exploratory.same_rows", language) not in page
    assert wording.text("report.about.role_develop", language) in page
    assert wording.text("report.exploratory.proposal_table", language) in page


# --- the page ----------------------------------------------------------------------------


def test_page_needs_nothing_from_elsewhere(page):
    # Pictures inside the page; their letters may look like an address.
    page = re.sub(r"data:image/png;base64,[^\"]*", "#", page)
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+", page))
    assert addresses <= {"http://www.w3.org"}
    assert not re.search(r"@import|url\((?!#)|<(?:script|iframe|object|embed|link|img)\b", page)
    for target in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert target.startswith("#"), target


def luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_of_text_can_be_read(page):
    # WCAG 2.1: at least 4.5 to 1 against the background, here white and the pale shade.
    palette = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", page))
    for background in ("#ffffff", palette["pale"], "#fff9f0", "#fdf3f1"):
        for name in ("ink", "muted", "accent", "warn", "bad", "good"):
            light, dark = sorted((luminance(background), luminance(palette[name])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, background)


def test_verdicts_differ_without_colour(page):
    marks = re.findall(r'\.verdict::before \{ content: "([^"]+)"', page)
    assert len(set(marks)) == 3


def test_keyboard_reaches_everything(page):
    assert page.index('class="skip"') < page.index("<nav")
    for scroll in re.findall(r'<div class="scroll[^>]*>', page):
        assert 'tabindex="0"' in scroll
        assert 'role="region"' in scroll
        assert re.search(r'aria-label="[^"]+"', scroll)


# --- hostile input -----------------------------------------------------------------------

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "svg": "</svg><svg onload=alert(1)>",
    "style": "</style><style>body{display:none}",
    "template": "{{ 7*7 }}{% for x in y %}",
    "formula": "=HYPERLINK(0)",
    "math": "$\\frac{1}{$",
    "entity": "&lt;b&gt;&#x3c;",
    "comment": "<!-- -->",
    "control": "a\x01\u202eb",
}


class Alive(HTMLParser):
    """Collects what could act: elements, handlers, addresses."""

    ALLOWED = frozenset({
        "html", "head", "meta", "title", "style", "body", "a", "p", "header", "h1", "h2", "h3",
        "div", "nav", "ol", "li", "main", "section", "table", "caption", "thead", "tbody",
        "tfoot", "tr", "th", "td", "strong", "figure", "figcaption", "pre", "footer", "br",
        "svg", "defs", "g", "path", "rect", "text", "use", "clippath", "tspan", "image",
    })  # fmt: skip

    def __init__(self):
        super().__init__()
        self.trouble: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.ALLOWED:
            self.trouble.append(tag)
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "").lower():
                self.trouble.append(f"{tag} {name}={value}")
            if name in ("href", "src", "xlink:href") and not (value or "").startswith(
                ("#", "data:image/png;base64,")
            ):
                self.trouble.append(f"{tag} {name}={value}")

    handle_startendtag = handle_starttag

    def handle_comment(self, data):
        self.trouble.append(f"comment {data}")


@pytest.fixture(scope="module")
def nasty_result():
    """Title, file, groups and rivals with everything in their names."""
    frame = answers(200)
    labels = (" ".join(HOSTILE.values()), " ".join(reversed(HOSTILE.values())))
    frame["branch"] = np.where(np.arange(200) % 2 == 0, *labels)
    return make(
        data=frame, group="branch", title=labels[0], source=labels[1], structural="B ~ A",
        hypotheses={}, rivals={labels[0]: "one_factor"},
    ).run()  # fmt: skip


@pytest.mark.parametrize("language", wording.languages())
def test_what_users_wrote_stays_text(nasty_result, language):
    page = render_html(replace(nasty_result, language=language))
    alive = Alive()
    alive.feed(page)
    assert alive.trouble == []
    # One style sheet of the page and one of every figure.
    assert page.count("<style") == page.count("</style") == 1 + page.count("<svg")
    assert "{{ 7*7 }}" in page
    assert "&lt;script&gt;" in page
    assert not re.search("[\x00-\x08\u202e]", page)


@pytest.mark.parametrize("name", HOSTILE)
def test_titles_stay_text(small, name):
    alive = Alive()
    alive.feed(render_html(replace(small, title=HOSTILE[name])))
    assert alive.trouble == []


def test_hostile_item_names(small):
    """Names of items that no model text can hold come in as labels of an exploration."""
    frame = answers().drop(columns="branch")
    frame = frame.rename(columns=dict(zip(frame.columns, HOSTILE.values(), strict=False)))
    found = replace(
        small,
        factorability=assess_factorability(frame),
        retention=suggest_n_factors(frame, n_draws=20),
        efa=efa(frame, 3),
    )
    page = render_html(found)
    alive = Alive()
    alive.feed(page)
    assert alive.trouble == []
