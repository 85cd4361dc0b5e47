"""Figures: nothing overlaps or is forgotten, and the same figure is the same text."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.plots import correlation_map, figure_svg, loading_map, path_diagram, residual_map
from sqvalid.plots.diagram import (
    FACTOR_HEIGHT,
    FACTOR_WIDTH,
    ITEM_HEIGHT,
    ITEM_WIDTH,
    arrange,
)

DIMENSIONS = {
    "TAN": ("P1", "P2", "P3", "P4"),
    "REL": ("P5", "P6", "P7", "P8", "P9"),
    "RES": ("P10", "P11", "P12", "P13"),
    "ASS": ("P14", "P15", "P16", "P17"),
    "EMP": ("P18", "P19", "P20", "P21", "P22"),
}
OUTCOMES = {"SAT": ("SAT1", "SAT2", "SAT3", "SAT4"), "RPI": ("RPI1", "RPI2", "RPI3")}

LAYOUTS = {
    "measurement": (DIMENSIONS, []),
    "five causes": (
        DIMENSIONS | OUTCOMES,
        [(d, "SAT") for d in DIMENSIONS] + [("SAT", "RPI")],
    ),
    "second order": (
        DIMENSIONS | {"SQ": tuple(DIMENSIONS)} | OUTCOMES,
        [("SQ", "SAT"), ("SAT", "RPI"), ("SQ", "RPI")],
    ),
    "covariates": (
        DIMENSIONS | {"SQ": tuple(DIMENSIONS)} | OUTCOMES,
        [("age", "SQ"), ("visits", "SQ"), ("SQ", "SAT"), ("SAT", "RPI")],
    ),
    "bifactor": (
        {"G": tuple(i for items in DIMENSIONS.values() for i in items)} | DIMENSIONS,
        [],
    ),
    "observed only": ({}, [("x", "m"), ("m", "y"), ("x", "y")]),
    "loop": ({}, [("a", "b"), ("b", "a"), ("b", "c")]),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_every_variable_has_its_own_place(case):
    indicators, paths = LAYOUTS[case]
    positions = arrange(dict(indicators), paths).positions
    named = set(indicators) | {i for items in indicators.values() for i in items}
    named |= {name for path in paths for name in path}
    assert set(positions) == named

    def size(name):
        factor = name in indicators
        return (FACTOR_WIDTH, FACTOR_HEIGHT) if factor else (ITEM_WIDTH, ITEM_HEIGHT)

    for one, other in itertools.combinations(positions, 2):
        (x1, y1), (x2, y2) = positions[one], positions[other]
        width = (size(one)[0] + size(other)[0]) / 2
        height = (size(one)[1] + size(other)[1]) / 2
        assert abs(x1 - x2) >= width or abs(y1 - y2) >= height, (one, other)


@pytest.mark.parametrize("case", ["five causes", "second order"])
def test_causes_stand_left_of_outcomes(case):
    indicators, paths = LAYOUTS[case]
    positions = arrange(dict(indicators), paths).positions
    for cause, outcome in paths:
        assert positions[cause][0] < positions[outcome][0]


def answers(n=300, seed=6):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = 0.6 * a + 0.8 * rng.standard_normal(n)
    columns = {f"a{i}": a + 0.7 * rng.standard_normal(n) for i in (1, 2, 3)}
    columns |= {f"b{i}": b + 0.7 * rng.standard_normal(n) for i in (1, 2, 3)}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def fit():
    return sq.sem("A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nB ~ A\na1 ~~ a2", answers())


def test_diagram_shows_names_and_estimates(fit):
    svg = figure_svg(path_diagram(fit), title="the model")
    for name in (*fit.observed, *fit.indicators):
        assert f">{name}<" in svg
    path = fit.parameters.query("op == '~'")["std_all"].item()
    assert f">{path:.2f}".replace("0.", ".") in svg
    assert "R²" in svg


def test_path_that_is_not_significant_is_dashed(fit):
    firm = figure_svg(path_diagram(fit, alpha=1.1))
    loose = figure_svg(path_diagram(fit, alpha=1e-300))
    assert firm.count("stroke-dasharray") < loose.count("stroke-dasharray")


def test_same_figure_same_text_and_nothing_remote(fit):
    one, other = (figure_svg(path_diagram(fit), title="t") for _ in range(2))
    assert one == other
    assert "metadata" not in one
    assert not re.search(r"\d{4}-\d\d-\d\dT", one)
    addresses = set(re.findall(r"https?://[^\"' ]+", one))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)


def test_ids_of_two_figures_differ(fit):
    one = set(re.findall(r'id="([^"]+)"', figure_svg(path_diagram(fit), title="one")))
    other = set(re.findall(r'id="([^"]+)"', figure_svg(path_diagram(fit), title="two")))
    assert one
    assert not one & other
    svg = figure_svg(path_diagram(fit), title="one")
    assert set(re.findall(r'href="#([^"]+)"', svg)) <= one


def test_title_is_escaped(fit):
    svg = figure_svg(path_diagram(fit), title='<script>"&')
    assert "<script>" not in svg


def test_chinese_names_do_not_stop_a_figure(fit, monkeypatch):
    from sqvalid.plots import drawing

    names = {"A": "有形性", "B": "满意度"}
    assert "有形性" in figure_svg(path_diagram(fit, names=names))
    # A machine without any Chinese font draws, too; text stays text in the page.
    monkeypatch.setattr(drawing, "cjk_font", lambda: None)
    assert "满意度" in figure_svg(path_diagram(fit, names=names, title="路径图"))


def test_group_is_chosen_by_its_label():
    frame = answers().assign(branch=["north", "south"] * 150)
    both = sq.cfa("A =~ a1 + a2 + a3", frame, group="branch")
    north = figure_svg(path_diagram(both, group="north"))
    assert north != figure_svg(path_diagram(both, group="south"))
    assert north == figure_svg(path_diagram(both))


def test_maps(fit):
    residuals = fit.residuals("cor")
    assert residuals is not None
    svg = figure_svg(residual_map(residuals, title="residuals"))
    assert ">b3<" in svg
    loadings = pd.DataFrame([[0.8, np.nan], [np.nan, 0.61]], ["x", "y"], ["A", "B"])
    svg = figure_svg(loading_map(loadings))
    assert ">.61<" in svg
    assert "nan" not in svg.lower().replace("dominant", "")
    svg = figure_svg(correlation_map(fit.latent_correlation))
    value = fit.latent_correlation.loc["A", "B"]
    assert f"{value:.2f}".lstrip("0") in svg


# --- many factors, long and hostile names ------------------------------------------------


def seven_factors(n=400, seed=3):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    names = {**DIMENSIONS, **OUTCOMES}
    columns = {}
    for items in names.values():
        factor = 0.6 * common + 0.8 * rng.standard_normal(n)
        columns |= {i: 0.7 * factor + 0.7 * rng.standard_normal(n) for i in items}
    text = "".join(f"{name} =~ {' + '.join(items)}\n" for name, items in names.items())
    return text, pd.DataFrame(columns)


@pytest.fixture(scope="module")
def many():
    return seven_factors()


def numbers_in(svg):
    return re.findall(r">(-?\.\d\d|1\.00)<", svg)


@pytest.mark.parametrize("structure", ["", "SAT ~ TAN + REL + RES + ASS + EMP\nRPI ~ SAT"])
def test_every_correlation_of_many_factors_is_a_number(many, structure):
    text, frame = many
    fit = sq.sem(text + structure, frame)
    svg = figure_svg(path_diagram(fit))
    table = fit.parameters
    pairs = table[(table["op"] == "~~") & (table["lhs"] != table["rhs"])]
    assert len(pairs) == (10 if structure else 21)
    drawn = numbers_in(svg)
    drawn = [number.replace("-", "") for number in drawn]
    wanted = [f"{abs(v):.2f}"[1:] for v in table.loc[table["lhs"] != table["rhs"], "std_all"]]
    assert sorted(n for n in drawn if n in wanted) >= sorted(wanted)
    # No arc of a correlation is left: every arrow that is drawn has one head.
    one_headed = len(table[(table["op"].isin(["=~", "~"]))])
    from matplotlib.patches import FancyArrowPatch

    arrows = [p for p in path_diagram(fit).axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == one_headed


def test_few_correlations_stay_arcs():
    rng = np.random.default_rng(5)
    frame = answers().assign(**{f"c{i}": rng.standard_normal(300) for i in (1, 2, 3)})
    frame["c2"] += frame["c1"]
    frame["c3"] += frame["c1"]
    text = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3"
    from matplotlib.patches import FancyArrowPatch

    figure = path_diagram(sq.cfa(text, frame))
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == 9 + 3


HOSTILE = [
    "$\\frac{1}{",
    "<script>alert(1)</script>",
    "=1+cmd|'/c calc'!A0",
    'x" onload="alert(1)',
    "a\x00b\x07\u202ec",
    "题项" * 30,
    "w" * 300,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_figures_are_inert(fit, name):
    frame = pd.DataFrame([[0.5, 0.1], [np.nan, 0.7]], [name, "y"], [name, "B"])
    many = pd.DataFrame({name: [1, 2, 3, 3], "y": [3, 2, 2, 1]})
    from sqvalid.plots import response_distribution

    bars = response_distribution(many, {"A": [name, "y"]}, title=name)
    assert bars is not None
    figures = [
        path_diagram(fit, names={"A": name, "a1": name}, title=name),
        loading_map(frame, title=name),
        correlation_map(frame, title=name),
        bars,
    ]
    for figure in figures:
        width, height = figure.get_size_inches()
        assert width < 20
        assert height < 20
        svg = figure_svg(figure, title=name)
        tree = ElementTree.fromstring(svg)
        for element in tree.iter():
            assert not element.tag.endswith(("script", "foreignObject", "a"))
            assert not [key for key in element.attrib if key.lower().startswith("on")]
        assert not re.search("[\x00-\x08\u202e]", svg)


def test_short_names_keep_both_ends():
    from sqvalid.display import text_width
    from sqvalid.plots.drawing import short_name

    assert short_name("TAN", 10) == "TAN"
    for name in ("service_quality_overall_item_17", "服务质量总体评价第十七题"):
        short = short_name(name, 13)
        assert text_width(short) <= 13
        assert short[0] == name[0]
        assert short[-1] == name[-1]


def test_response_distribution_shows_every_share():
    from sqvalid.plots import response_distribution
    from sqvalid.plots.answers import answer_shares

    frame = pd.DataFrame({"a": [1, 1, 2, 5, np.nan], "b": [5.0, 5, 5, 4, 4], "c": np.nan})
    shares = answer_shares(frame, ["a", "b", "c"])
    assert list(shares.columns) == ["1", "2", "3", "4", "5"]
    np.testing.assert_allclose(shares.loc["a"], [0.5, 0.25, 0, 0, 0.25])
    np.testing.assert_allclose(shares.loc["b"], [0, 0, 0, 0.4, 0.6])
    assert shares.loc["c"].isna().all()
    svg = figure_svg(response_distribution(frame, {"A": ["a", "b", "c"]}))
    for words in ("n = 4", "n = 5", "n = 0", ">50<", ">60<"):
        assert words in svg
    assert "nan" not in svg.lower().replace("dominant", "")
    rng = np.random.default_rng(1)
    assert response_distribution(pd.DataFrame({"a": rng.standard_normal(40)}), {"A": ["a"]}) is None


def test_scree_plot_tells_lines_apart_without_colour():
    from sqvalid.plots import scree_plot

    frame = pd.DataFrame(
        {
            "position": [1, 2, 3],
            "component": [2.0, 0.6, 0.4],
            "component_reference": [1.2, 1.0, 0.9],
            "factor": [1.5, 0.1, -0.1],
            "factor_reference": [0.3, 0.1, 0.0],
            "ekc": [1.3, 1.0, 1.0],
        }
    )
    figure = scree_plot(frame)
    lines = figure.axes[0].get_lines()
    assert len(lines) == 5
    styles = {(str(line.get_linestyle()), str(line.get_marker())) for line in lines}
    assert len(styles) == 4
    np.testing.assert_array_equal(lines[0].get_ydata(), frame["component"])
    assert len(scree_plot(frame[["position", "component"]]).axes[0].get_lines()) == 1
