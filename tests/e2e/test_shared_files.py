"""Real files: matrices and answers that others made."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from sqvalid.errors import SurveyError
from sqvalid.survey import check_items, read_frame, read_matrix, read_survey

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SQVALID_SHARED", ROOT.parent / "shared")) / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="SQVALID_SHARED has no data")


def test_published_matrices() -> None:
    names, matrix = read_matrix(DATA / "babakus_boller_1992" / "cor.csv")
    assert names == tuple(f"Q{i}" for i in range(1, 23))
    assert (matrix[1, 0], matrix[3, 1]) == (0.28, 0.63)
    np.testing.assert_array_equal(np.diag(matrix), 1.0)
    names, matrix = read_matrix(DATA / "wheaton_alienation" / "data.csv")
    assert names[-1] == "sei"
    assert matrix[-1, -1] == 450.288
    assert matrix[0, 5] == matrix[5, 0] == -21.899


@pytest.mark.parametrize("name", ["oddjob_airline", "bank_price_service_atm", "bfi_bigfive"])
def test_answers_as_their_description_says(name: str) -> None:
    meta = json.loads((DATA / name / "meta.json").read_text(encoding="utf-8"))
    survey = read_survey(DATA / name / "data.csv", dimensions=meta["constructs"])
    assert len(survey) == meta["n"]
    assert survey.frame.columns.tolist() == meta["columns"]
    check_items(survey.frame, survey.items)
    missing = 100 * survey.data.isna().to_numpy().mean()
    assert missing == pytest.approx(meta["health"]["pct_missing_cells"], abs=0.006)


def test_text_in_a_real_column_is_told() -> None:
    frame = read_frame(DATA / "oddjob_airline" / "data.csv")
    with pytest.raises(SurveyError, match=r"'country' has cells that are not numbers \(row 2: ch"):
        check_items(frame, ["country", "s1"])
