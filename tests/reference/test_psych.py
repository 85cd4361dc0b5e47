"""psych::fa, fit by fit: extraction, rotation and fit of two small data sets, with Heywood cases.

The file was made by data/psych_fa.R. R's searches stop early (optim at a relative gain of 2e-9,
GPArotation at a gradient of 1e-5 or after 1,000 steps); ours go on. So where loadings differ
by more than EXACT, ours must have the lower criterion, and by more than EARLY only where R says
that it has not converged or the difference of the criterion is more than rounding.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.exploratory.extraction import discrepancy
from sqvalid.rotation import CRITERIA, Setting, rotate

from . import library
from .test_efa import ROTATION, aligned

EXACT, EARLY = 1e-4, 1e-3
METHOD = {"minres": "minres", "ml": "ml", "pa": "paf"}


@cache
def reference() -> dict:
    return json.loads((library.BUNDLED / "psych_fa.json").read_text(encoding="utf-8"))


@cache
def answers(name: str) -> pd.DataFrame:
    frame = pd.read_csv(library.BUNDLED / "data" / f"{name}.csv")
    return frame[reference()["sets"][name]["variables"]]


FITS = [
    (name, key) for name, part in reference()["sets"].items() for key in part["fits"]
]  # fmt: skip
UNROTATED = [(name, key) for name, key in FITS if key.endswith("none")]
ROTATED = [(name, key) for name, key in FITS if not key.endswith("none")]


def matrix(entry: dict, name: str) -> np.ndarray:
    return np.atleast_2d(np.array(entry[name], dtype=float))


def near(gap: float, ours: float, theirs: float, told: list) -> None:
    """Loadings agree, or ours are nearer to the minimum than R's."""
    if gap <= EXACT:
        return
    assert ours <= theirs + 1e-12, (gap, ours, theirs)
    if gap > EARLY:
        assert told or theirs - ours > 1e-9 * abs(theirs), (gap, ours, theirs)


@pytest.mark.parametrize(("name", "key"), UNROTATED)
def test_extraction(name: str, key: str) -> None:
    entry = reference()["sets"][name]["fits"][key]
    fm, m, _ = key.split()
    fit = sq.efa(answers(name), int(m), extraction=METHOD[fm], rotation=None)
    theirs, ours = matrix(entry, "loadings"), fit.loadings.to_numpy()
    order, sign = aligned(theirs, ours)
    gap = float(np.abs(ours[:, order] * sign - theirs).max())
    r = answers(name).corr().to_numpy()
    if fm == "pa":
        assert gap < 1e-8
    else:
        lower = LOWEST_ALLOWED if (1.0 - (theirs**2).sum(axis=1)).min() < 0.005 else 0.0
        near(
            gap, discrepancy(r, ours, METHOD[fm]) - lower, discrepancy(r, theirs, METHOD[fm]),
            entry["told"],
        )  # fmt: skip
    if gap > EXACT:
        return
    # Factors in psych's order and direction, and every number of fit.
    np.testing.assert_array_equal(order, np.arange(int(m)))
    np.testing.assert_array_equal(sign, 1.0)
    compared = 0
    for measure, value in entry["statistics"].items():
        if measure == "complexity" or not isinstance(value, int | float):
            continue
        compared += 1
        assert fit.fit_measures[measure] == pytest.approx(value, rel=5e-4, abs=5e-5), measure
    assert compared >= 10
    np.testing.assert_allclose(fit.complexity, entry["statistics"]["complexity"], atol=2e-3)


# psych lets a communality pass .995 after the search, which lowers its least squares a little.
LOWEST_ALLOWED = 3e-6


@pytest.mark.parametrize(("name", "key"), ROTATED)
def test_rotation_of_the_same_loadings(name: str, key: str) -> None:
    fits = reference()["sets"][name]["fits"]
    fm, m, rotation = key.split()
    entry = fits[key]
    start = matrix(fits[f"{fm} {m} none"], "loadings")
    named = ROTATION.get(rotation, rotation)
    ours = rotate(start, named)
    theirs = matrix(entry, "loadings")
    order, sign = aligned(theirs, ours.loadings)
    gap = float(np.abs(ours.loadings[:, order] * sign - theirs).max())
    if named in ("varimax", "promax"):
        assert gap < EXACT
        return
    criterion = CRITERIA[named][1](Setting(*start.shape))
    near(gap, ours.criterion, criterion(theirs)[0], entry["told"])
    if gap < EXACT:
        phi = ours.phi[np.ix_(order, order)] * np.outer(sign, sign)
        np.testing.assert_allclose(phi, matrix(entry, "Phi"), atol=5e-4)


def test_how_many_are_the_same() -> None:
    """Most of the file agrees to EXACT: what the other tests let pass are the exceptions."""
    same = 0
    for name, key in FITS:
        fm, m, rotation = key.split()
        fit = sq.efa(answers(name), int(m), extraction=METHOD[fm],
                     rotation=ROTATION.get(rotation, rotation))  # fmt: skip
        theirs = matrix(reference()["sets"][name]["fits"][key], "loadings")
        order, sign = aligned(theirs, fit.loadings.to_numpy())
        same += np.abs(fit.loadings.to_numpy()[:, order] * sign - theirs).max() < EARLY
    assert same >= 0.93 * len(FITS)
