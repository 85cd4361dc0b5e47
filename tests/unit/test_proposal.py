"""From an exploratory solution to a measurement model: which items stay, and under which name."""

import numpy as np
import pandas as pd
import pytest

from sqvalid.errors import InputError, OptionError
from sqvalid.exploratory import efa, propose_measurement

PHI = np.array([[1.0, 0.3], [0.3, 1.0]])
LOADINGS = {
    "a1": (0.8, 0.0), "a2": (0.7, 0.0), "a3": (0.6, 0.0),
    "b1": (0.0, 0.8), "b2": (0.0, 0.7), "b3": (0.0, -0.6),
    "cross": (0.5, 0.45), "weak": (0.25, 0.0),
}  # fmt: skip


def solution(n_factors=2):
    pattern = np.array(list(LOADINGS.values()))
    matrix = pattern @ PHI @ pattern.T
    np.fill_diagonal(matrix, 1.0)
    frame = pd.DataFrame(matrix, index=list(LOADINGS), columns=list(LOADINGS))
    return efa(n_factors=n_factors, extraction="ml", correlation=frame, n_obs=400)


def test_the_structure_that_made_the_correlations_is_found():
    found = propose_measurement(solution())
    assert sorted(map(sorted, found.factors.values())) == [["a1", "a2", "a3"], ["b1", "b2", "b3"]]
    why = dict(zip(found.frame["item"], found.frame["reason"], strict=True))
    assert why["cross"] == "cross_loading"
    assert why["weak"] == "low_loading"
    assert found.diagnostics[0].where == ("cross", "weak")
    assert len(found.model.splitlines()) == 2
    assert found.to_dict()["factors"] == {k: list(v) for k, v in found.factors.items()}


def test_factors_take_the_names_that_were_expected():
    named = propose_measurement(
        solution(), dimensions={"TAN": ["a1", "a2"], "REL": ["b1", "b2", "b3", "weak"]}
    )
    assert set(named.factors) == {"TAN", "REL"}
    assert named.factors["TAN"] == ("a1", "a2", "a3")


def test_a_dimension_that_falls_apart_gives_no_factor_its_name():
    named = propose_measurement(solution(), dimensions={"F1": ["a1", "b1"], "X": ["a2", "b2"]})
    # F1 is taken by a dimension that was not found again.
    assert set(named.factors) == {"F_1", "F2"}


def test_rules_are_followed_to_the_digit():
    loadings = solution().loadings.abs().to_numpy()
    largest = np.sort(loadings, axis=1)[:, ::-1]
    for cut in (0.3, 0.55, 0.65):
        frame = propose_measurement(solution(), smallest_loading=cut, smallest_gap=0.0).frame
        np.testing.assert_array_equal(frame["reason"] == "low_loading", largest[:, 0] < cut)


def test_nothing_left_is_refused():
    with pytest.raises(InputError, match="No factor keeps two items"):
        propose_measurement(solution(), smallest_loading=0.99)
    with pytest.raises(OptionError, match="smallest_gap"):
        propose_measurement(solution(), smallest_gap=1.0)
