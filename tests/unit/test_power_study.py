"""The power study runs, judges every hypothesis, and its page is of its own hypotheses."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "studies"


@pytest.fixture(scope="module")
def study() -> Any:
    spec = importlib.util.spec_from_file_location("power_study", FOLDER / "power.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_hypothesis_is_judged(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    power = study.study(2, (400,))
    assert "2 of 2" in capsys.readouterr().out
    rates = power.decisions().set_index("decision")
    assert list(study.TRUE) == list(study.HYPOTHESES)
    assert (rates.loc[list(study.HYPOTHESES), "n_made"] == 2).all()
    assert rates.loc["H1", "rate"] == 1.0
    text = study.tables(power)
    assert "nan" not in text
    assert text.count("\n| H") == len(study.HYPOTHESES)


def test_what_is_called_true_is_true_of_the_population(study: Any) -> None:
    population = study.POPULATION
    effect = population.effects
    place = population.place
    sat, rpi, quality, price = map(place, ("SAT", "RPI", "SQ", "PF"))
    assert study.TRUE["H1"] == (effect[sat, quality] > 0)
    assert study.TRUE["H2"] == (effect[rpi, sat] > 0)
    assert study.TRUE["H3"] == (effect[rpi, sat] * effect[sat, quality] > 0)
    assert study.TRUE["H4"] == (abs(effect[rpi, quality]) < 0.10)
    assert study.TRUE["H5"] == (effect[rpi, sat] > effect[rpi, quality])
    assert study.TRUE["H6"] == (effect[sat, price] > 0)
    strongest = max(study.SECOND_ORDER, key=lambda d: effect[place(d), quality])
    assert study.TRUE["H7"] == (strongest == "REL")


def test_the_page_has_every_hypothesis_and_size(study: Any) -> None:
    page = study.PAGE.read_text(encoding="utf-8")
    table = page.split(study.BEGIN)[1].split(study.END)[0]
    for key, words in study.HYPOTHESES.items():
        assert f"| {key} | {words} |" in table
    for n in study.SIZES:
        assert f"n = {n}" in table
