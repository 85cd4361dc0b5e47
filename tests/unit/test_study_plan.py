"""What a plan may say beyond its models: exploration, families, batteries, samples, options."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sqvalid import wording
from sqvalid.errors import InputError, OptionError
from sqvalid.exploratory import METHODS
from sqvalid.exploratory.retention import SOURCES
from sqvalid.instruments import load_instrument
from sqvalid.latent import cfa, sem
from sqvalid.report import render_html
from sqvalid.study import Explore, Study
from sqvalid.survey import Survey

DIMENSIONS = {
    "A": ["a1", "a2", "a3", "a4"],
    "B": ["b1", "b2", "b3", "b4"],
    "C": ["c1", "c2", "c3", "c4"],
}


def answers(n=600, seed=5):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = 0.4 * a + 0.9 * rng.standard_normal(n)
    c = 0.2 * a + 0.5 * b + 0.8 * rng.standard_normal(n)
    columns = {
        f"{name}{i}": 4 + factor + 0.7 * rng.standard_normal(n)
        for name, factor in (("a", a), ("b", b), ("c", c))
        for i in (1, 2, 3, 4)
    }
    # An item that belongs nowhere, and one that belongs to two factors.
    columns["a4"] = 4 + rng.standard_normal(n)
    columns["b4"] = 4 + 0.7 * b + 0.7 * c + 0.7 * rng.standard_normal(n)
    return pd.DataFrame(columns).assign(branch=["n", "n", "s"] * (n // 3))


def make(**changes):
    arguments = {"data": answers(), "dimensions": DIMENSIONS, "title": "T", "source": "a.csv"}
    return Study(**(arguments | changes))


# --- exploring ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def developed():
    return make(
        role="develop",
        explore={"share": 0.4, "stratify": "branch"},
        structural="B ~ A\nC ~ A + B",
        hypotheses={"H1": "A -> B, positive"},
        seed=3,
    ).run()


def test_one_part_is_explored_and_the_other_tests(developed):
    found = developed.exploration
    assert (found.n_explored, found.n_confirmed) == (240, 360)
    assert developed.efa.n_obs == 240
    assert developed.measurement.n_obs == developed.structural.n_obs == 360
    assert developed.survey.frame["branch"].value_counts().to_dict() == {"n": 240, "s": 120}
    dropped = dict(zip(found.proposal.frame["item"], found.proposal.frame["reason"], strict=True))
    assert {item for item, reason in dropped.items() if reason} == {"a4", "b4"}
    assert developed.measurement.indicators == {
        "A": ("a1", "a2", "a3"), "B": ("b1", "b2", "b3"), "C": ("c1", "c2", "c3", "c4"),
    }  # fmt: skip
    assert list(developed.hypotheses.frame["verdict"]) == ["supported"]
    render_html(developed)
    assert developed.to_dict()["exploration"]["proposal"]["factors"]["A"] == ["a1", "a2", "a3"]


def test_the_parts_share_nobody_and_the_test_is_a_fit_of_the_held_out_rows(developed):
    frame = answers()
    held_out = developed.survey.frame
    explored = frame.drop(held_out.index)
    assert len(explored) == 240
    items = [item for ids in DIMENSIONS.values() for item in ids]
    pd.testing.assert_frame_equal(
        developed.efa.correlation, explored[items].corr(), check_names=False, atol=1e-12
    )
    alone = cfa(developed.measurement_text, frame.loc[held_out.index])
    assert alone.fit_measures["chisq"] == pytest.approx(developed.measurement.fit_measures["chisq"])


def test_the_division_depends_on_the_seed_alone(developed):
    again = make(role="develop", explore=Explore(share=0.4, stratify="branch"), seed=3).run()
    pd.testing.assert_index_equal(again.survey.frame.index, developed.survey.frame.index)
    other = make(role="develop", explore=Explore(share=0.4, stratify="branch"), seed=4).run()
    assert not other.survey.frame.index.equals(developed.survey.frame.index)


def test_a_measurement_model_that_is_stated_is_tested_as_stated():
    text = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3"
    result = make(role="develop", measurement=text, dimensions={}).run()
    assert result.exploration.proposal is None
    assert result.measurement_text == text
    assert result.measurement.n_obs == 300
    assert set(result.exploration.items) == set(result.measurement.observed)


def test_what_was_expected_is_a_rival_of_what_was_found():
    frame = answers()
    swapped = {"A": ["a1", "a2", "b1"], "B": ["a3", "b2", "b3"], "C": ["c1", "c2", "c3"]}
    result = make(
        data=frame, dimensions=swapped, role="develop", rivals={"as expected": "planned"}
    ).run()
    rivals = result.rivals.frame.set_index("model")
    assert set(result.measurement.indicators.values()) == {
        ("a1", "a2", "a3"), ("b1", "b2", "b3"), ("c1", "c2", "c3"),
    }  # fmt: skip
    assert rivals.loc["as expected", "bic"] > rivals.loc["measurement", "bic"] + 100
    with pytest.raises(InputError, match="planned"):
        make(data=frame, rivals={"as expected": "planned"}).run()


def test_some_dimensions_explored_the_others_as_stated():
    result = make(role="develop", explore={"dimensions": ("A", "B")}).run()
    assert result.exploration.items == (*DIMENSIONS["A"], *DIMENSIONS["B"])
    assert result.measurement.indicators["C"] == tuple(DIMENSIONS["C"])


def test_a_factor_that_was_not_found_stops_the_structure_and_is_told():
    frame = answers()
    rng = np.random.default_rng(8)
    for k in (1, 2, 3, 4):
        frame[f"c{k}"] = rng.standard_normal(len(frame))
    result = make(
        data=frame, role="develop", structural="C ~ A", hypotheses={"H1": "A -> C, positive"},
        explore={"n_factors": 2},
    ).run()  # fmt: skip
    assert result.structural is None
    assert result.hypotheses is None
    told = {d.code: d for d in result.diagnostics}
    assert told["planned_factor_not_found"].where == ("C",)
    assert result.answers[2].verdict == "undecided"
    render_html(result)


def test_a_study_that_confirms_shows_exploration_as_a_diagnostic():
    result = make().run()
    assert result.exploration is None
    assert result.efa.loadings.shape == (12, 3)
    assert result.efa.n_obs == result.measurement.n_obs == 600
    assert result.retention.recommended == 3
    assert 0.5 < result.factorability.kmo < 1.0


@pytest.mark.parametrize("language", wording.languages())
def test_every_rule_and_extraction_has_words(language):
    keys = set(wording.keys(language))
    assert {f"report.retention_rule.{rule}" for rule in SOURCES} <= keys
    assert {f"report.extraction.{method}" for method in METHODS} <= keys


def test_incomplete_answers_are_explored_by_em():
    frame = answers()
    frame.loc[:49, "a1"] = np.nan
    result = make(data=frame, missing="fiml").run()
    assert result.efa.n_obs == 600
    assert "explored_by_em" in {d.code for d in result.diagnostics}
    listwise = make(data=frame).run()
    assert listwise.efa.n_obs == 550


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"explore": {"share": 0.5}}, OptionError, "develop"),
        ({"role": "develop", "explore": {"share": 0.01}}, OptionError, "tenth"),
        ({"role": "develop", "explore": {"shre": 0.5}}, OptionError, "share"),
        ({"families": {"main": ["H9"]}}, InputError, "H9"),
        ({"kind": "bifactor"}, OptionError, "instrument"),
        ({"kind": "bifactor", "measurement": "A =~ a1 + a2 + a3"}, OptionError, "twice"),
        ({"options": {"estimator": "ML"}}, OptionError, "estimator"),
        ({"estimator": "MLX"}, OptionError, "MLR"),
        ({"missing": "listwize"}, OptionError, "listwise"),
        (
            {"data": None, "matrix": pd.DataFrame(np.eye(2)), "n_obs": 9, "role": "develop"},
            OptionError,
            "divided",
        ),
        (
            {"data": None, "matrix": pd.DataFrame(np.eye(2)), "n_obs": 9, "cluster": "x"},
            OptionError,
            "cluster",
        ),
    ],
)
def test_plans_that_contradict_themselves_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        make(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"role": "develop", "explore": {"stratify": "brnch"}}, "division.*'brnch'.*'branch'"),
        ({"role": "develop", "explore": {"dimensions": ("A", "Z")}}, "'Z'"),
        ({"group": "brnch"}, "group variable 'brnch'"),
        ({"invariance": "brnch"}, "group variable 'brnch'"),
        ({"cluster": "brnch"}, "cluster 'brnch'"),
        ({"weights": "brnch"}, "weight 'brnch'"),
        (
            {"structural": "B ~ A", "hypotheses": {"H1": "paths equal across brnch"}},
            "groups of a hypothesis 'brnch'",
        ),
    ],
)
def test_columns_that_are_not_there_are_told_first(changes, words):
    with pytest.raises(InputError, match=words):
        make(**changes).run()


# --- families ----------------------------------------------------------------------------


def test_families_of_the_plan_divide_the_adjustment():
    words = {f"H{i}": s for i, s in enumerate(
        ("A -> B, positive", "B -> C, positive", "A -> C, positive"), 1)}  # fmt: skip
    structural = "B ~ A\nC ~ A + B"
    one = make(structural=structural, hypotheses=words).run().hypotheses.frame
    two = make(
        structural=structural, hypotheses=words, families={"main": ["H1", "H2"]}
    ).run().hypotheses.frame  # fmt: skip
    assert list(one["family"]) == ["hypotheses"] * 3
    assert list(two["family"]) == ["main", "main", "hypotheses"]
    # Alone in its family, the third pays nothing for the others.
    assert two["p_adjusted"].iloc[2] == two["p"].iloc[2]
    assert two["p_adjusted"].iloc[0] <= one["p_adjusted"].iloc[0]


def test_a_hypothesis_is_in_one_family():
    with pytest.raises(InputError, match="two families"):
        make(structural="B ~ A", hypotheses={"H1": "A -> B"}, families={"x": ["H1"], "y": ["H1"]})


# --- samples and options -----------------------------------------------------------------


def test_clusters_weights_and_options_reach_every_fit():
    frame = answers().assign(
        shop=np.arange(600) % 30, w=np.random.default_rng(2).uniform(0.5, 2.0, 600)
    )
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    result = make(
        data=frame, dimensions=dimensions, structural="C ~ A + B", cluster="shop", weights="w",
        rivals={"one": "one_factor"}, options={"std_lv": True}, invariance="branch",
    ).run()  # fmt: skip
    direct = sem(result.structural_text, frame, cluster="shop", sampling_weights="w", std_lv=True)
    pd.testing.assert_frame_equal(result.structural.parameters, direct.parameters)
    for fit in (*result.rivals.fits.values(), *result.invariance.fits.values()):
        assert fit.options["cluster"] == "shop"
        assert fit.options["std_lv"]
    assert result.provenance["cluster"] == "shop"
    items = [item for ids in dimensions.values() for item in ids]
    weighted = np.cov(frame[items], rowvar=False, aweights=frame["w"])
    scale = np.sqrt(np.diag(weighted))
    np.testing.assert_allclose(
        result.efa.correlation.loc[items, items], weighted / np.outer(scale, scale), atol=1e-8
    )
    render_html(result)


def test_ordered_answers_reach_every_fit():
    frame = answers()
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    items = [item for ids in dimensions.values() for item in ids]
    frame[items] = frame[items].round().clip(2, 6) - 1
    result = make(
        data=frame, dimensions=dimensions, estimator="WLSMV", ordered=True,
        structural="C ~ A + B", rivals={"one": "one_factor"},
    ).run()  # fmt: skip
    direct = sem(result.structural_text, frame, estimator="WLSMV", ordered=True)
    pd.testing.assert_frame_equal(result.structural.parameters, direct.parameters)
    assert result.rivals.fits["one"].options["estimator"] == "WLSMV"
    assert result.provenance["ordered"] is True
    render_html(result)


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "MLF", "GLS", "ULS", "ULSM", "WLS"])
def test_every_estimator_runs_to_the_end(estimator):
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    result = make(dimensions=dimensions, estimator=estimator, structural="C ~ A + B").run()
    assert result.measurement.converged
    render_html(result)


def test_respondents_without_a_group_are_left_out_where_groups_count():
    frame = answers()
    frame.loc[:9, "branch"] = None
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    grouped = make(data=frame, dimensions=dimensions, group="branch").run()
    assert grouped.measurement.n_obs == 590
    ladder = make(data=frame, dimensions=dimensions, invariance="branch").run()
    assert ladder.measurement.n_obs == 600
    assert ladder.invariance.fits["configural"].n_obs == 590
    for result in (grouped, ladder):
        [told] = [d for d in result.diagnostics if d.code == "group_unknown"]
        assert told.values["n"] == 10


def test_parameters_may_stay_free_across_groups():
    frame = answers()
    shifted = frame["branch"] == "s"
    frame.loc[shifted, "a2"] += 1.5
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    full = make(data=frame, dimensions=dimensions, invariance="branch").run().invariance
    part = make(
        data=frame, dimensions=dimensions, invariance="branch", partial=("a2 ~ 1",)
    ).run().invariance  # fmt: skip
    assert full.reached == "metric"
    assert part.reached == "strict"
    assert part.partial == ("a2 ~ 1",)
    with pytest.raises(OptionError, match="invariance"):
        make(partial=("a2 ~ 1",))


def test_paths_that_nobody_planned_are_marked_in_every_file(tmp_path):
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    result = make(dimensions=dimensions, structural="C ~ A + B").run()
    assert result.unplanned == ("hypotheses",)
    result.write(tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "tables" / "hypotheses.csv")
    assert not table["planned"].any()
    assert '"hypotheses"' in (tmp_path / "out" / "results.json").read_text(encoding="utf-8")


def test_a_group_of_one_costs_the_comparison_not_the_study():
    frame = answers()
    frame.loc[0, "branch"] = "lone"
    result = make(
        data=frame, invariance="branch", structural="C ~ A + B",
        hypotheses={"H1": "A -> C", "H2": "paths equal across branch"},
    ).run()  # fmt: skip
    assert result.invariance is None
    assert "invariance_failed" in {d.code for d in result.diagnostics}
    assert list(result.hypotheses.frame["reason"])[1] == "groups_failed"


# --- what an instrument implies ----------------------------------------------------------


@pytest.fixture(scope="module")
def both_batteries():
    instrument = load_instrument("servqual_1991")
    rng = np.random.default_rng(4)
    n = 500
    columns = {}
    general = {b: rng.standard_normal(n) for b in ("expectation", "perception")}
    factors = {}
    for item in instrument.items:
        if item.battery not in general:
            continue
        key = (item.battery, item.dimension)
        factors.setdefault(key, 0.7 * general[item.battery] + 0.7 * rng.standard_normal(n))
        raw = 4 + factors[key] + 0.8 * rng.standard_normal(n)
        own = np.clip(np.round(raw), item.scale_min, item.scale_max)
        columns[item.id] = item.scale_min + item.scale_max - own if item.reverse else own
    return Survey(pd.DataFrame(columns), instrument)


@pytest.mark.parametrize(
    ("plan", "factors", "items"),
    [
        ({"battery": "gap"}, {"TAN", "REL", "RES", "ASS", "EMP"}, 22),
        ({"battery": "expectation"}, {"TAN", "REL", "RES", "ASS", "EMP"}, 22),
        ({"kind": "second_order"}, {"TAN", "REL", "RES", "ASS", "EMP", "SQ"}, 22),
        ({"kind": "merged", "merge": ("RES+EMP",)}, {"TAN", "REL", "RES_EMP", "ASS"}, 22),
        (
            {"battery": "both"},
            {f"{d}_{b}" for d in ("TAN", "REL", "RES", "ASS", "EMP") for b in "PE"},
            44,
        ),
    ],
)
def test_batteries_and_kinds_of_the_instrument(both_batteries, plan, factors, items):
    result = Study(data=both_batteries, **plan, rivals={"one": "one_factor"}).run()
    assert set(result.measurement.latents) == factors
    assert len(result.measurement.observed) == items
    assert result.measurement.converged
    assert bool(result.rivals.frame["converged"].all())
    gaps = "gap_scores_analysed" in {d.code for d in result.diagnostics}
    assert gaps == (plan.get("battery") == "gap")
    if gaps:
        # People gave answers, not differences: those are screened.
        assert set(result.measurement.observed) == {f"G{i}" for i in range(1, 23)}
        expected = both_batteries.frame["P1"] - both_batteries.frame["E1"]
        pd.testing.assert_series_equal(result.survey.frame["G1"], expected, check_names=False)
    render_html(result)


# --- from the file -----------------------------------------------------------------------


def test_everything_can_be_said_in_the_file(tmp_path):
    frame = answers()
    items = frame.select_dtypes("number").columns
    frame[items] = frame[items].round().clip(1, 7)
    frame["shop"] = np.arange(600) % 30
    frame["c2"] = 8 - frame["c2"]
    frame.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "study.toml").write_text(
        """
[study]
title = "From a file"
role = "develop"
seed = 11
[data]
file = "a.csv"
scale = [1, 7]
reverse = ["c2"]
out_of_range = "missing"
[dimensions]
A = ["a1", "a2", "a3"]
B = ["b1", "b2", "b3"]
C = ["c1", "c2", "c3"]
[model]
structural = "B ~ A\\nC ~ B"
[analysis]
cluster = "shop"
estimator = "MLR"
options = { std_lv = true }
[explore]
share = 0.5
stratify = "branch"
n_factors = 3
[hypotheses]
H1 = "A -> B, positive"
H2 = "B -> C, positive"
[families]
first = ["H1"]
""",
        encoding="utf-8",
    )
    result = Study.from_toml(tmp_path / "study.toml").run()
    assert result.exploration.n_explored == 300
    assert result.measurement.options["cluster"] == "shop"
    assert list(result.hypotheses.frame["family"]) == ["first", "hypotheses"]
    assert result.survey.reversed_items == {"c2"}
    result.write(tmp_path / "out")
    assert (tmp_path / "out" / "tables" / "efa_loadings.csv").is_file()
    assert (tmp_path / "out" / "tables" / "explored_items.csv").is_file()


def test_brackets_without_end_are_refused(tmp_path):
    deep = "x = " + "[" * 100_000 + "]" * 100_000
    (tmp_path / "study.toml").write_text(deep, encoding="utf-8")
    with pytest.raises(InputError, match="nested too deeply"):
        Study.from_toml(tmp_path / "study.toml")


def test_an_exclusion_rule_stands_once(tmp_path):
    answers().to_csv(tmp_path / "a.csv", index=False)
    rule = '[[exclusions]]\nrule = "missing_share"\nthreshold = 0.5\n'
    (tmp_path / "study.toml").write_text(
        f'[data]\nfile = "a.csv"\n[dimensions]\nA = ["a1", "a2", "a3"]\n{rule}{rule}',
        encoding="utf-8",
    )
    with pytest.raises(InputError, match="more than once"):
        Study.from_toml(tmp_path / "study.toml")


# --- when it goes wrong ------------------------------------------------------------------


def test_a_search_that_does_not_end_supports_nothing(tmp_path):
    dimensions = {name: items[:3] for name, items in DIMENSIONS.items()}
    result = make(
        dimensions=dimensions, structural="B ~ A\nC ~ A + B", options={"max_iterations": 1},
        hypotheses={"H1": "A -> B, positive", "H2": "B mediates A -> C"},
        rivals={"one": "one_factor"}, invariance="branch",
    ).run()  # fmt: skip
    assert not result.measurement.converged
    assert set(result.hypotheses.frame["verdict"]) == {"not_testable"}
    assert [answer.verdict for answer in result.answers] == ["undecided"] * 3
    assert {link.state for link in result.ledger.links[1:]} == {"not_judged"}
    assert result.ledger.links[0].state == "not_met"
    page = result.write(tmp_path / "out").read_text(encoding="utf-8")
    assert "<td>supported</td>" not in page


def test_a_key_that_the_answers_contradict_is_told(tmp_path):
    frame = answers()
    items = [item for ids in DIMENSIONS.values() for item in ids[:3]]
    frame[items] = frame[items].round().clip(1, 7)
    frame[items].to_csv(tmp_path / "a.csv", index=False)
    dimensions = "\n".join(f"{k} = {v[:3]!r}" for k, v in DIMENSIONS.items())
    plan = f'[data]\nfile = "a.csv"\nscale = [1, 7]\nreverse = ["b2"]\n[dimensions]\n{dimensions}\n'
    (tmp_path / "study.toml").write_text(plan, encoding="utf-8")
    turned = Study.from_toml(tmp_path / "study.toml").run()
    told = {d.code: d for d in turned.diagnostics}
    assert told["item_against_scale"].where == ("b2",)
    (tmp_path / "study.toml").write_text(plan.replace('["b2"]', "[]"), encoding="utf-8")
    plain = Study.from_toml(tmp_path / "study.toml").run()
    assert "item_against_scale" not in {d.code for d in plain.diagnostics}
