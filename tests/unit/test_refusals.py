"""What a report must never say, searched for in reports of good, bad and broken studies.

Each refusal has a pattern per language. Sentences that state the refusal itself are taken out of
the text first; sentences that would break it are held against the pattern, so that a pattern that
matches nothing fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from sqvalid import wording
from sqvalid.exploratory import assess_factorability, efa, suggest_n_factors
from sqvalid.instruments import load_instrument
from sqvalid.report import TableBlock, build_sections, render_html
from sqvalid.report.data_sections import items_section
from sqvalid.report.validity_section import validity_section
from sqvalid.study import Study
from sqvalid.survey import Survey

LANGUAGES = ("en", "zh")


# --- studies -----------------------------------------------------------------------------


def factors(rng, n, loading=0.75, r=0.4, names="ABC"):
    """Three factors that correlate alike, three items each, around a mean of 4."""
    common = rng.standard_normal(n)
    columns = {}
    for name in names:
        own = np.sqrt(r) * common + np.sqrt(1 - r) * rng.standard_normal(n)
        for i in (1, 2, 3):
            error = rng.standard_normal(n) * np.sqrt(1 - loading**2)
            columns[f"{name.lower()}{i}"] = 4 + loading * own + error
    return pd.DataFrame(columns)


DIMENSIONS = {name: [f"{name.lower()}{i}" for i in (1, 2, 3)] for name in "ABC"}
PATHS = "B ~ A\nC ~ A + B"
HYPOTHESES = {
    "H1": "A -> B, positive",
    "H2": "B mediates A -> C",
    "H3": "A -> C is within .10 of zero",
    "H4": "A is the strongest predictor of C",
}


def study(frame, **changes):
    arguments = {"data": frame, "dimensions": DIMENSIONS, "title": "A study", "source": "a.csv"}
    return Study(**(arguments | changes))


def good():
    return study(factors(np.random.default_rng(1), 600), structural=PATHS,
                 hypotheses={k: HYPOTHESES[k] for k in ("H1", "H2", "H3")},
                 rivals={"one": "one_factor", "second": "second_order"})  # fmt: skip


def full_mediation():
    """The direct path is as near to zero as samples get, and the indirect one is strong."""
    rng = np.random.default_rng(4)
    n = 500
    a = rng.standard_normal(n)
    b = 0.6 * a + 0.8 * rng.standard_normal(n)
    c = 0.6 * b + 0.8 * rng.standard_normal(n)
    items = {}
    for name, factor in (("a", a), ("b", b), ("c", c)):
        items |= {f"{name}{i}": 4 + factor + 0.6 * rng.standard_normal(n) for i in (1, 2, 3)}
    return study(pd.DataFrame(items), structural=PATHS, hypotheses={"H2": HYPOTHESES["H2"]})


def inadmissible():
    rng = np.random.default_rng(3)
    f = rng.standard_normal((400, 1))
    frame = pd.DataFrame(
        f + 0.8 * rng.standard_normal((400, 6)), columns=["a1", "a2", "a3", "b1", "b2", "b3"]
    )
    frame["a1"] += frame["b1"] * 0.9
    frame["a2"] += frame["b2"] * 0.9
    return study(frame, dimensions={k: DIMENSIONS[k] for k in "AB"}, structural="B ~ A")


def overlapping():
    """Items so reliable that Fornell and Larcker's rule is met at a correlation of .88."""
    frame = factors(np.random.default_rng(8), 500, loading=0.97, r=0.88)
    return study(frame)


def uneven_groups():
    """Intercepts of one item per factor, and a mean, differ between the branches."""
    rng = np.random.default_rng(5)
    frame = factors(rng, 800)
    branch = np.where(np.arange(800) % 2 == 0, "north", "south")
    for item in ("a1", "b1", "c1"):
        frame.loc[branch == "south", item] += 1.0
    return study(frame.assign(branch=branch), group="branch", invariance="branch")


def even_groups():
    frame = factors(np.random.default_rng(6), 800)
    branch = np.where(np.arange(800) % 2 == 0, "north", "south")
    return study(frame.assign(branch=branch), group="branch", invariance="branch")


def small_sample():
    return study(factors(np.random.default_rng(9), 180), structural=PATHS)


def missing_answers():
    """A few answers gone at random: Little's test has nothing to say against it."""
    rng = np.random.default_rng(10)
    frame = factors(rng, 400).round()
    return study(frame.mask(rng.random(frame.shape) < 0.02), structural=PATHS)


def equal_predictors():
    """Two predictors of the same strength, one of them called the strongest."""
    rng = np.random.default_rng(11)
    n = 300
    frame = factors(rng, n)
    return study(frame, structural="C ~ A + B",
                 hypotheses={"H4": "A is the strongest dimension of C"})  # fmt: skip


def published_matrix():
    frame = factors(np.random.default_rng(12), 500)
    return study(None, matrix=frame.corr(), matrix_kind="correlation", n_obs=500, structural=PATHS)


def simulated():
    return replace(good(), simulated=True)


def reversed_dimensions():
    """The 1988 key: two whole dimensions are worded in reverse, and nothing else is."""
    instrument = load_instrument("servqual")
    rng = np.random.default_rng(13)
    columns = {}
    common = rng.standard_normal(400)
    for dimension in instrument.dimensions:
        own = 0.7 * common + 0.7 * rng.standard_normal(400)
        for item in instrument.items:
            if item.battery == "perception" and item.dimension == dimension.id:
                answer = np.clip(np.round(4 + own + 0.8 * rng.standard_normal(400)), 1, 7)
                columns[item.id] = 8 - answer if item.reverse else answer
    return Study(data=Survey(pd.DataFrame(columns), instrument), title="A study",
                 rivals={"one": "one_factor"},
                 measurement="TAN =~ P1 + P2 + P3 + P4\nRES =~ P10 + P11 + P12 + P13\n"
                             "EMP =~ P18 + P19 + P20")  # fmt: skip


def equivalent_rivals():
    """A rival that fits exactly like the model of the study."""
    text = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\n"
    return study(
        factors(np.random.default_rng(14), 500),
        rivals={"turned": text + "A ~ B + C\nB ~~ C", "chain": text + "B ~ A\nC ~ A + B"},
        structural="B ~ A\nC ~ B",
    )


def explored(result):
    frame = factors(np.random.default_rng(1), 600)
    return replace(
        result,
        factorability=assess_factorability(frame),
        retention=suggest_n_factors(frame, n_draws=20),
        efa=efa(frame, 3),
    )


STUDIES = {
    "good": good,
    "full mediation": full_mediation,
    "inadmissible": inadmissible,
    "overlapping": overlapping,
    "uneven groups": uneven_groups,
    "even groups": even_groups,
    "small sample": small_sample,
    "missing answers": missing_answers,
    "equal predictors": equal_predictors,
    "published matrix": published_matrix,
    "simulated": simulated,
    "reversed dimensions": reversed_dimensions,
    "equivalent rivals": equivalent_rivals,
}


@pytest.fixture(scope="module")
def results():
    made = {name: make().run() for name, make in STUDIES.items()}
    made["explored"] = explored(made["good"])
    return made


@pytest.fixture(scope="module", autouse=True)
def plain_figures():
    """Figures hold names and numbers; their captions, which claim something, stay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sqvalid.plots.figure_svg", lambda figure, title="": f"<svg>{title}</svg>")
        yield


@pytest.fixture(scope="module")
def texts(results):
    """What each report says, by study and language."""
    pages = {
        (name, language): render_html(replace(result, language=language))
        for name, result in results.items()
        for language in LANGUAGES
    }
    return {key: visible(page) for key, page in pages.items()}


def visible(page):
    text = re.sub(r"<(style|pre).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


# --- the refusals ------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A claim: what it looks like, what would be said, and the sentences that refuse it."""

    patterns: dict[str, str]
    said: dict[str, tuple[str, ...]]
    refusing: tuple[str, ...] = ()


ALWAYS = ("report.about.refusals",)

REFUSALS = {
    "proof and cause": Refusal(
        {
            "en": r"\bprov(?:e|es|ed|en|ing)\b|\bcaus(?:e|es|ed|al|ally)\b|\bleads? to\b"
            r"|\bimpacts?\b|\bwhy customers\b|works? through",
            "zh": r"证明|证实了|因果|导致|起因|使得顾客",
        },
        {
            "en": ("This proves that quality matters.", "Quality causes satisfaction.",
                   "Quality leads to loyalty.", "Quality works through satisfaction."),
            "zh": ("结果证明了假设。", "服务质量导致满意。", "存在因果关系。"),
        },
        ("report.about.refusals", "report.hypotheses.refusals", "report.about.confounded"),
    ),
    "full mediation": Refusal(
        {
            "en": r"full(?:y)?\s+mediat|complete(?:ly)?\s+mediat|mediation is full",
            "zh": r"完全中介",
        },
        {
            "en": ("Satisfaction fully mediates the path.", "There is full mediation."),
            "zh": ("满意度起完全中介作用。",),
        },
        ("report.about.refusals", "report.structure.effects_note"),
    ),
    "a ranking of models": Refusal(
        {
            "en": r"\bbest (?:fitting |of the )?model|\bpreferred model"
            r"|\bmodel is (?:superior|better)|\bshould be preferred|\bwins\b",
            "zh": r"最优模型|最佳模型|优于其他模型|应当选择",
        },
        {
            "en": ("The best model is the second.", "The chain model is superior.",
                   "It should be preferred."),
            "zh": ("最佳模型为链式模型。", "该模型优于其他模型。"),
        },
    ),
    "importance": Refusal(
        {
            "en": r"matters? (?:the )?most|most important|strongest|strongest driver",
            "zh": r"最重要|影响最大",
        },
        {
            "en": ("Reliability matters most.", "A is the strongest dimension."),
            "zh": ("可靠性最重要。", "可靠性影响最大。"),
        },
        ("report.hypotheses.refusals",),
    ),
    "no method variance": Refusal(
        {
            "en": r"\b(?:no|free of|without) common[- ]method|"
            r"common[- ]method (?:bias|variance) is (?:not|absent|no|ruled)",
            "zh": r"不存在共同方法|没有共同方法|排除(?:了)?共同方法",
        },
        {
            "en": ("There is no common method bias.", "Common method variance is absent.",
                   "Common method variance is not a problem."),
            "zh": ("不存在共同方法偏差。", "排除了共同方法偏差。"),
        },
        ("report.validity.method_variance", "report.rivals.one_factor"),
    ),
    "MCAR": Refusal(
        {
            "en": r"\bMCAR\b|missing completely at random|(?:is|are) random\b",
            "zh": r"完全随机缺失|MCAR|缺失是随机",
        },
        {
            "en": ("The answers are missing completely at random.", "MCAR holds."),
            "zh": ("数据为完全随机缺失。",),
        },
        ("report.flow.little",),
    ),
    "a validated scale": Refusal(
        {
            "en": r"\bvalidated\b|\bscale is (?:valid|reliable)\b|\bvalid instrument\b",
            "zh": r"已(?:经)?验证|通过验证|通过了验证|量表(?:是)?有效",
        },
        {
            "en": ("The scale is validated.", "The scale is valid."),
            "zh": ("量表已验证。", "该量表通过了验证。"),
        },
    ),
    "wording as the cause": Refusal(
        {
            "en": r"(?:due to|because of|effect of|artefact of)\s+(?:the\s+)?(?:reversed?\s+)?"
            r"wording",
            "zh": r"(?:由于|源于|归因于)(?:反向)?(?:表述|措辞)",
        },
        {
            "en": ("The overlap is due to wording.", "An artefact of the reversed wording."),
            "zh": ("重叠是由于反向表述。",),
        },
        ("report.about.confounded",),
    ),
    "praise": Refusal(
        {
            "en": r"\b(?:excellent|good|satisfactory|adequate|acceptable|perfect|close) fit\b"
            r"|fits? (?:well|the data well|perfectly)",
            "zh": r"拟合(?:良好|优良|理想|很好|较好)",
        },
        {
            "en": ("The model shows good fit.", "It fits the data well."),
            "zh": ("模型拟合良好。",),
        },
        ("report.data.power",),
    ),
    "confirmed by the same rows": Refusal(
        {
            "en": r"\bconfirm(?:s|ed|ing)?\b|\bcross-validat",
            "zh": r"(?:得到|获得)(?:了)?(?:验证|证实)|验证了",
        },
        {
            "en": ("The CFA confirmed the EFA.", "This confirms the structure."),
            "zh": ("验证性因子分析验证了探索性结果。",),
        },
        ("report.exploratory.same_rows", "diagnostic.explored_items_left_out.sentence"),
    ),
}  # fmt: skip


def sentence_pattern(key, language):
    """A sentence of the wording tables, whatever stands in its placeholders."""
    parts = re.split(r"\{[^{}]*\}", wording._sentences(language)[key])
    return ".{1,200}?".join(re.escape(" ".join(part.split())) if part.strip() else r"\s*"
                            for part in parts)  # fmt: skip


def claims(text, language, refusal):
    for key in (*ALWAYS, *refusal.refusing):
        text = re.sub(sentence_pattern(key, language), " ", text)
    return re.findall(refusal.patterns[language], text, flags=re.IGNORECASE)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", REFUSALS)
def test_no_report_says(name, language, texts):
    refusal = REFUSALS[name]
    found = {
        study: claims(text, language, refusal)
        for (study, spoken), text in texts.items()
        if spoken == language
    }
    if name == "importance":
        # The plan's own words are printed as they are; the verdict beside them is tested below.
        found.pop("equal predictors")
    assert {study: said for study, said in found.items() if said} == {}
    assert len(found) >= len(STUDIES) - 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", REFUSALS)
def test_the_search_would_find_it(name, language, texts):
    refusal = REFUSALS[name]
    for said in refusal.said[language]:
        page = f"{texts['good', language]} {said}"
        assert claims(page, language, refusal), said


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_that_refuse_are_there(language, texts):
    """A refusing sentence that no report prints would hide nothing, and say nothing."""
    whole = " ".join(text for (_, spoken), text in texts.items() if spoken == language)
    keys = {key for refusal in REFUSALS.values() for key in refusal.refusing} | set(ALWAYS)
    for key in keys - {"diagnostic.explored_items_left_out.sentence"}:
        assert re.search(sentence_pattern(key, language), whole), key


def words_of(key, language="en", **values):
    return " ".join(wording.text(key, language, **values).split())


# --- the machinery behind each -----------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_path_that_is_not_significant_makes_no_full_mediation(results, texts, language):
    result = results["full mediation"]
    direct = result.effects.frame.query("kind == 'direct' and source == 'A' and target == 'C'")
    assert direct["p"].item() > 0.05, "the case is not the one meant"
    assert result.hypotheses.frame["verdict"].item() == "supported"
    note = words_of("report.structure.effects_note", language)
    assert note in texts["full mediation", language]


MAKERS = {"items": items_section, "validity": validity_section}


def tables(section):
    return [block.table for block in section.blocks if isinstance(block, TableBlock)]


def columns(result, key):
    made = MAKERS[key](result)
    return {str(name) for table in tables(made) for name in table.frame.columns}


@pytest.mark.parametrize("language", LANGUAGES)
def test_means_of_groups_need_equal_intercepts(results, texts, language):
    head = wording.text("column.mean", language)
    withheld = words_of("report.items.means_withheld", language)
    group = wording.text("column.group", language)
    uneven = replace(results["uneven groups"], language=language)
    assert uneven.invariance.reached in ("configural", "metric"), "not the case meant"
    assert head not in columns(uneven, "validity")
    for section in build_sections(uneven):
        for table in tables(section):
            assert not {head, group} <= set(map(str, table.frame.columns)), section.key
    assert withheld in texts["uneven groups", language]
    even = replace(results["even groups"], language=language)
    assert even.invariance.reached in ("scalar", "strict"), "not the case meant"
    assert head in columns(even, "validity")
    assert withheld not in texts["even groups", language]


def test_means_of_groups_that_nobody_compared_are_withheld(results):
    result = replace(results["even groups"], invariance=None)
    assert "M" not in columns(result, "validity")
    # Item statistics by group, as a matrix of each group gives them.
    by_group = replace(result, items=result.validity.reliability)
    assert by_group.items.items["mean"].notna().all()
    assert "M" not in columns(by_group, "items")
    assert words_of("report.items.means_withheld") in visible(render_html(by_group))


def test_gap_means_are_withheld():
    instrument = load_instrument("servqual")
    rng = np.random.default_rng(15)
    columns_ = {}
    for dimension in instrument.dimensions:
        own = rng.standard_normal(300)
        for item in instrument.items:
            if item.dimension == dimension.id and item.battery in ("perception", "expectation"):
                level = 4 + own if item.battery == "perception" else np.full(300, 5.0)
                answer = level + 0.8 * rng.standard_normal(300)
                columns_[item.id] = np.clip(np.round(answer), 1, 7)
    survey = Survey(pd.DataFrame(columns_), instrument).gap_scores()
    items = {name: survey.dimensions[name] for name in ("TAN", "REL")}
    text = "".join(f"{name} =~ {' + '.join(members)}\n" for name, members in items.items())
    result = Study(data=survey, measurement=text, title="Gaps").run()
    page = visible(render_html(result))
    assert words_of("report.items.gap_means_withheld") in page
    assert "M" not in columns(result, "items") | columns(result, "validity")
    # The same model of perceptions has its means.
    plain = re.sub(r"\bG", "P", text)
    result = Study(data=survey, measurement=plain, title="Perceptions").run()
    assert "M" in columns(result, "items")
    assert words_of("report.items.gap_means_withheld") not in visible(render_html(result))


@pytest.mark.parametrize("language", LANGUAGES)
def test_strongest_needs_an_interval_without_zero(results, texts, language):
    row = results["equal predictors"].hypotheses.frame.iloc[0]
    assert row["ci_lower"] < 0 < row["ci_upper"], "the case is not the one meant"
    assert row["verdict"] in ("undecided", "not_supported")
    assert words_of("report.hypotheses.refusals", language) in texts["equal predictors", language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_fornell_and_larcker_alone_make_nothing_distinct(results, texts, language):
    result = results["overlapping"]
    judged = result.ledger.link("distinctness").judgements
    by_rule = {rule: {j.outcome for j in judged if j.rule == rule} for rule in
               ("fornell_larcker", "latent_correlation")}  # fmt: skip
    assert by_rule["fornell_larcker"] == {"met"}, "the case is not the one meant"
    assert by_rule["latent_correlation"] == {"not_met"}
    assert next(a for a in result.answers if a.question == "distinct").verdict != "yes"
    assert words_of("report.validity.rules_note", language) in texts["overlapping", language]


def test_an_inadmissible_fit_makes_nothing_distinct_and_nothing_supported(results, texts):
    result = results["inadmissible"]
    assert not result.measurement.admissible, "the case is not the one meant"
    judged = result.ledger.link("distinctness").judgements
    model_based = [j for j in judged if j.rule in ("fornell_larcker", "latent_correlation")]
    assert model_based
    assert {j.outcome for j in model_based} == {"not_judged"}
    assert all(answer.verdict != "yes" for answer in result.answers)
    assert set(result.hypotheses.frame["verdict"]) == {"not_testable"}
    text = texts["inadmissible", "en"]
    assert words_of("report.measurement.inadmissible") in text
    assert "interval excludes zero" not in text
    assert "supported" not in text.replace("“Supported”", "").replace("are supported", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_outside_its_envelope_a_rule_is_not_judged(results, texts, language):
    result = results["small sample"]
    fit = {j.rule: j for j in result.ledger.link("fit").judgements}
    for rule in ("rmsea", "tli"):
        assert fit[rule].outcome == "not_judged"
        assert fit[rule].reason == "sample_too_small_for_rule"
    reason = wording.text("criterion_reason.sample_too_small_for_rule", language)
    assert reason in texts["small sample", language]
    assert not result.measurement.fit_measures["rmsea"] > 0.06, "good numbers, yet no praise"


@pytest.mark.parametrize("language", LANGUAGES)
def test_exploration_of_the_same_rows_confirms_nothing(texts, language):
    said = words_of("report.exploratory.same_rows", language)
    assert said in texts["explored", language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_wording_and_content_are_not_told_apart(results, texts, language):
    factors_ = wording.text("format.list_separator", language).join(("RES", "EMP"))
    said = words_of("report.about.confounded", language, factors=factors_)
    assert said in texts["reversed dimensions", language]
    assert said not in texts["good", language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_simulated_answers_are_called_so_on_every_screen_and_sheet(results, language):
    page = render_html(replace(results["simulated"], language=language))
    banner = wording.text("report.banner", language)
    assert not set('"\\<>&') & set(banner), "it stands inside a style sheet"
    assert f'<p class="banner" role="note">{banner}</p>' in page
    assert f'@top-center {{ content: "{banner}"' in page
    first = page.index('<section id="answers"')
    assert page.index(wording.text("report.about.simulated", language)) < page.index(
        "verdict", first
    )
    assert banner not in render_html(replace(results["good"], language=language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_models_that_fit_alike_are_named_and_not_ranked(results, texts, language):
    result = results["equivalent rivals"]
    classes = result.rivals.classes
    assert any({"measurement", "turned", "chain"} == set(names) for names in classes)
    sentence, _ = wording.describe(
        next(d for d in result.rivals.diagnostics if d.code == "rivals_equivalent"), language
    )
    assert " ".join(sentence.split()) in texts["equivalent rivals", language]
    same = result.rivals.frame.set_index("model").loc[["turned", "chain"]]
    np.testing.assert_allclose(same["delta_chisq"].fillna(0.0), 0.0, atol=1e-5)
    # The arrows of A -> B -> C can all be turned round.
    arrows = wording.text("format.list_separator", language).join(("A → B", "B → C"))
    said = words_of("report.structure.direction", language, arrows=arrows)
    assert said in texts["equivalent rivals", language]


def test_harman_says_nothing_against_method_variance(results, texts):
    frame = results["good"].rivals.frame.set_index("model")
    assert frame.loc["one", "cfi"] < 0.8, "one factor fits badly here"
    for language in LANGUAGES:
        for key in ("report.rivals.one_factor", "report.validity.method_variance"):
            assert words_of(key, language) in texts["good", language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_large_p_of_littles_test_is_not_randomness(results, texts, language):
    mcar = results["missing answers"].screening.mcar
    assert mcar.p > 0.05, "the case is not the one meant"
    pattern = sentence_pattern("report.flow.little", language)
    assert re.search(pattern, texts["missing answers", language])


def test_formative_dimensions_have_no_alpha_and_no_factor():
    instrument = load_instrument("servqual")
    formative = {"TAN"}
    changed = replace(
        instrument,
        dimensions=tuple(
            replace(d, measurement="composite", reason="built from its items")
            if d.id in formative
            else d
            for d in instrument.dimensions
        ),
    )
    rng = np.random.default_rng(16)
    common = rng.standard_normal(300)
    columns_ = {
        item.id: np.clip(np.round(4 + common + rng.standard_normal(300)), 1, 7)
        for item in instrument.items
        if item.battery == "perception"
    }
    survey = Survey(pd.DataFrame(columns_), changed)
    own = {name: survey.dimensions[name] for name in ("TAN", "REL", "ASS")}
    result = Study(data=survey, dimensions=own).run()
    assert "TAN" not in result.measurement.indicators
    assert "TAN" not in set(result.items.scales["dimension"])
    sentence, _ = wording.describe(
        next(d for d in result.notes if d.code == "dimension_left_out"), "en"
    )
    assert " ".join(sentence.split()) in visible(render_html(result))
