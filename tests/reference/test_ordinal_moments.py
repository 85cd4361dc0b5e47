"""Statistics of ordered answers, and their whole asymptotic covariance, against lavaan."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sqvalid.moments import moments_from_frame

from . import library

# lavaan's search for a correlation stops at about 5e-8 of it in these tables (6e-7 where the
# tables are nearly diagonal); what is computed from it differs by as much.
ABSOLUTE = 2e-7
NEAR_ONE = 2e-6

CASES = json.loads((library.BUNDLED / "ordinal_moments.json").read_text(encoding="utf-8"))


def _list(value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def moments_of(case: dict):
    frame = pd.DataFrame(case["data"]).astype({case["group"]: str} if case["group"] else {})
    return moments_from_frame(
        frame,
        [*case["variables"], *_list(case["conditional"])],
        ordered=_list(case["ordered"]),
        conditional=_list(case["conditional"]),
        group=case["group"],
        weights=case["weights"],
        pairwise=case["missing"] == "pairwise",
    )


@pytest.mark.parametrize("name", CASES)
def test_all_statistics_are_lavaans(name: str) -> None:
    case = CASES[name]
    p = len(case["variables"])
    tolerance = NEAR_ONE if name in ("near one", "empty cell") else ABSOLUTE
    for block, theirs in zip(moments_of(case).blocks, case["blocks"], strict=True):
        ordered = np.array([kind == "ordinal" for kind in block.kinds])
        covariance = np.array(theirs["covariance"], dtype=float)
        sd = np.sqrt(np.diag(covariance))
        gap = np.abs(block.covariance[:p, :p] - covariance) / np.outer(sd, sd)
        assert gap.max() < tolerance
        own = ordered[block.owner]
        np.testing.assert_allclose(block.thresholds[own], theirs["th"], atol=ABSOLUTE)
        np.testing.assert_allclose(block.means[:p], theirs["intercepts"], atol=ABSOLUTE)
        np.testing.assert_array_equal(block.thresholds[~own], -block.means[:p][~ordered[:p]])
        if case["conditional"]:
            np.testing.assert_allclose(block.slopes, theirs["slopes"], atol=ABSOLUTE)
            if name == "given, pairwise":
                # lavaan counts 238 respondents here, and takes the moments of the covariates over
                # 240: two who answered no item are among them.
                assert block.n_obs == 238
                continue
            np.testing.assert_allclose(block.x_covariance, theirs["x_covariance"], rtol=1e-10)
            np.testing.assert_allclose(block.x_means, np.ravel(theirs["x_means"]), rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_asymptotic_covariance_is_lavaans(name: str) -> None:
    case = CASES[name]
    tolerance = 1e-4 if name in ("near one", "empty cell") else 1e-6
    for block, theirs in zip(moments_of(case).blocks, case["blocks"], strict=True):
        gamma = np.array(theirs["gamma"], dtype=float)
        size = np.sqrt(np.diag(gamma))
        assert np.abs((block.gamma - gamma) / np.outer(size, size)).max() < tolerance
        np.testing.assert_allclose(block.gamma_diagonal, np.diag(block.gamma), rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["ord_sq5_22_wlsmv", "ord_sq5_mixed_wlsmv", "ord_sq5_sem_wlsmv", "ord_sq_binary_wlsmv"]
)
def test_thresholds_and_their_errors_are_those_of_saturated_models(name: str) -> None:
    """Thresholds and intercepts that are free in fits by lavaan 0.7 are those of the sample."""
    if not library.has(name):
        pytest.skip("reference file not here")
    table = pd.DataFrame(library.document(name)["parameters"])
    frame = library.frame(name)
    cuts = table[table["op"] == "|"]
    ordered = list(dict.fromkeys(cuts["lhs"]))
    numbers = [v for v in table.loc[table["op"] == "~1", "lhs"] if v in frame and v not in ordered]
    block = moments_from_frame(frame, [*ordered, *numbers], ordered=ordered).blocks[0]
    own = np.array([block.kinds[j] == "ordinal" for j in block.owner])
    error = np.sqrt(block.gamma_diagonal[: len(own)] / (block.n_obs - 1))
    np.testing.assert_allclose(block.thresholds[own], cuts["est"], atol=1e-5)
    np.testing.assert_allclose(error[own], cuts["se"], rtol=1e-4)
    assert bool(numbers) == (name == "ord_sq5_mixed_wlsmv")
    if numbers:
        intercepts = table[(table["op"] == "~1") & table["lhs"].isin(numbers)]
        np.testing.assert_allclose(-block.thresholds[~own], intercepts["est"], rtol=1e-5)
        np.testing.assert_allclose(error[~own], intercepts["se"], rtol=1e-4)
