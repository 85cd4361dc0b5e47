"""Rival models in one table, and the ladder of equality across groups."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError, UnsupportedError
from sqvalid.invariance import assess_invariance
from sqvalid.rivals import compare_rivals

from . import library

MODEL = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\n"
ONE = "F =~ a1 + a2 + a3 + b1 + b2 + b3\n"


def answers(n: int = 400, r: float = 0.5, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    a = rng.normal(size=n)
    b = r * a + math.sqrt(1 - r * r) * rng.normal(size=n)
    frame = pd.DataFrame({f"{k}{i}": f + rng.normal(size=n)
                          for k, f in (("a", a), ("b", b)) for i in (1, 2, 3)})  # fmt: skip
    frame["branch"] = np.where(np.arange(n) % 2, "north", "south")
    frame.loc[frame["branch"] == "north", "a2"] += shift
    return frame


def test_rivals_are_held_against_the_primary_model() -> None:
    found = compare_rivals({"two": MODEL, "one": ONE}, answers())
    frame = found.frame.set_index("model")
    fits = {name: sq.cfa(text, answers()) for name, text in (("two", MODEL), ("one", ONE))}
    for name, fit in fits.items():
        for measure in ("chisq", "df", "cfi", "rmsea", "srmr", "bic"):
            assert frame.loc[name, measure] == pytest.approx(fit.fit_measures[measure], rel=1e-7)
    gap = fits["one"].fit_measures["chisq"] - fits["two"].fit_measures["chisq"]
    assert frame.loc["one", "delta_chisq"] == pytest.approx(gap, rel=1e-6)
    assert frame.loc["one", "delta_df"] == 1
    assert frame.loc["one", "delta_p"] < 0.001
    assert math.isnan(frame.loc["two", "delta_p"])


def test_equivalent_models_share_a_class_and_are_told() -> None:
    data = answers()
    chain = {f"{i}{j}": MODEL + f"{i} ~ {j}\n" for i, j in (("A", "B"), ("B", "A"))}
    found = compare_rivals({"correlated": MODEL, **chain, "one": ONE}, data)
    assert found.classes == (("correlated", "AB", "BA"),)
    assert [d.code for d in found.diagnostics] == ["rivals_equivalent"]


def test_models_of_other_variables_are_refused() -> None:
    with pytest.raises(InputError, match="'short' leaves out b3"):
        compare_rivals({"two": MODEL, "short": "A =~ a1 + a2 + a3\nB =~ b1 + b2"}, answers())


def test_a_rival_that_cannot_be_estimated_keeps_its_row() -> None:
    broken = "F =~ a1 + a2 + a3 + b1 + b2 + b3\n" + "\n".join(
        f"a{i} ~~ b{j}" for i in (1, 2, 3) for j in (1, 2, 3)
    )
    found = compare_rivals({"two": MODEL, "broken": broken}, answers())
    row = found.frame.set_index("model").loc["broken"]
    assert not row["admissible"]
    assert row["reason"]


def test_a_shifted_item_breaks_the_ladder_at_the_intercepts() -> None:
    ladder = assess_invariance(MODEL, answers(shift=1.5), group="branch")
    assert ladder.reached == "metric"
    assert list(ladder.frame["verdict"]) == ["met", "met", "not_met", "not_judged"]
    freed = assess_invariance(MODEL, answers(shift=1.5), group="branch", partial=["a2 ~ 1"])
    assert freed.reached == "strict"
    assert assess_invariance(MODEL, answers(), group="branch").reached == "strict"


def test_a_ladder_begins_at_the_bottom() -> None:
    with pytest.raises(OptionError, match="not a ladder"):
        assess_invariance(MODEL, answers(), group="branch", steps=("metric", "scalar"))


@pytest.mark.parametrize("name", ["inv_hs_ml", "inv_hs_mlr", "inv_sq_ml", "inv_sq_mlr"])
def test_the_ladder_is_lavaans(name: str) -> None:
    if not library.has(name):
        pytest.skip("reference file not here")
    document = library.document(name)
    ladder = assess_invariance(
        document["model_syntax"],
        library.frame(name),
        group=document["group"],
        estimator="MLR" if name.endswith("mlr") else "ML",
    )
    rows = ladder.frame.set_index("step")
    for step in ("configural", "metric", "scalar", "strict"):
        theirs = document["steps"][step]["fit_measures"]
        chisq = theirs.get("chisq.scaled") or theirs["chisq"]
        assert rows.loc[step, "chisq"] == pytest.approx(chisq, rel=1e-5)
        assert rows.loc[step, "df"] == theirs["df"]
        cfi = theirs.get("cfi.robust") or theirs["cfi"]
        assert rows.loc[step, "cfi"] == pytest.approx(cfi, abs=1e-6)
        assert rows.loc[step, "srmr"] == pytest.approx(theirs["srmr"], abs=1e-6)
    pairs = {"metric": "configural_vs_metric", "scalar": "metric_vs_scalar",
             "strict": "scalar_vs_strict"}  # fmt: skip
    for step, key in pairs.items():
        lrt = document["comparisons"][key]
        if not name.endswith("mlr"):
            expected = lrt["plain_chisq_diff"]
            assert rows.loc[step, "delta_chisq"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["theta", "delta"])
def test_the_ladder_of_ordered_items(kind: str) -> None:
    """Each step is the model that semTools writes for it after Wu and Estabrook."""
    name = f"inv_ord_sq5_{kind}"
    if not library.has(name):
        pytest.skip("the file is absent")
    doc = library.document(name)
    ladder = assess_invariance(
        doc["model_syntax"],
        library.frame(name),
        group=doc["group"],
        ordered=doc["ordered"],
        parameterization=kind,
    )
    steps = {
        "configural": "configural",
        "thresholds": "thresholds",
        "metric": "thresholds_loadings",
        "scalar": "thresholds_loadings_intercepts",
        "strict": "plus_residuals",
    }
    done = {s for s, node in doc["steps"].items() if "fit_measures" in node}
    assert list(ladder.fits) == [step for step in steps if steps[step] in done]
    for step, fit in ladder.fits.items():
        expected = doc["steps"][steps[step]]["fit_measures"]
        for measure in ("df", "chisq", "chisq.scaled", "rmsea.scaled", "srmr"):
            ours = fit.fit_measures[measure.replace(".", "_")]
            assert ours == pytest.approx(expected[measure], rel=1e-4, abs=1e-6), (step, measure)
    pairs = list(zip(steps.values(), list(steps.values())[1:], strict=False))
    table = ladder.frame.set_index("step")
    for (before, after), step in zip(pairs, list(ladder.fits)[1:], strict=False):
        found = doc["comparisons"][f"{before}_vs_{after}"]["lrt"]["default"]
        assert table.loc[step, "delta_chisq"] == pytest.approx(found["chisq_diff"], rel=1e-4)
        assert table.loc[step, "delta_df"] == found["df_diff"]
        assert table.loc[step, "verdict"] == "not_judged"


def test_binary_items_have_no_ladder() -> None:
    data = answers()
    items = [name for name in data.columns if name != "branch"]
    data[items] = (data[items] > 0).astype(int)
    with pytest.raises(UnsupportedError, match="three categories"):
        assess_invariance(MODEL, data, group="branch", ordered=True)
    with pytest.raises(OptionError, match="delta parameterisation"):
        assess_invariance(
            MODEL, data, group="branch", ordered=True, parameterization="delta",
            steps=["configural", "thresholds", "metric", "scalar", "strict"],
        )  # fmt: skip
