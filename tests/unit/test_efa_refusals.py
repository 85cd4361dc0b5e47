"""What exploratory factor analysis says of answers it cannot use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import SurveyError


@pytest.fixture
def answers() -> pd.DataFrame:
    common = np.random.default_rng(3).normal(size=(60, 1))
    values = common + np.random.default_rng(4).normal(size=(60, 5))
    return pd.DataFrame(values.round(), columns=["环境", "b", "c", "d", "e"])


@pytest.mark.parametrize("missing", ["listwise", "pairwise", "fiml"])
def test_an_item_nobody_answered_is_named(answers, missing):
    with pytest.raises(SurveyError, match="Nobody answered '环境'") as caught:
        sq.efa(answers.assign(环境=np.nan), 1, missing=missing)
    assert "Leave the item out" in caught.value.remedy


def test_an_item_without_variation_is_named(answers):
    with pytest.raises(SurveyError, match="same answer to 'c'"):
        sq.efa(answers.assign(c=3.0), 1)
