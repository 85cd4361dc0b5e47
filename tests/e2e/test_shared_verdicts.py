"""Whole studies of real surveys: what is said, and what must not be said."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from sqvalid.study import Study
from sqvalid.survey import read_matrix

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SQVALID_SHARED", ROOT.parent / "shared")) / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="SQVALID_SHARED has no data")


def study(name: str, *, drop: tuple[str, ...] = (), **options: object) -> Study:
    meta = json.loads((DATA / name / "meta.json").read_text(encoding="utf-8"))
    dimensions = {
        key: items
        for key, items in meta["constructs"].items()
        if key not in drop and not key.startswith("E_")
    }
    return Study(pd.read_csv(DATA / name / "data.csv"), dimensions=dimensions, **options)


def test_after_an_inadmissible_solution_nothing_is_supported(tmp_path: Path) -> None:
    result = study(
        "mobi_ecsi",
        drop=("CUSCO",),
        structural="PERQ ~ CUEX\nCUSA ~ IMAG + PERQ + PERV + CUEX\nCUSL ~ CUSA + IMAG",
        hypotheses={"H1": "PERQ -> CUSA, positive", "H2": "CUSA mediates PERQ -> CUSL"},
    ).run()
    assert not result.measurement.admissible
    assert set(result.hypotheses.frame["verdict"]) == {"not_testable"}
    assert [answer.verdict for answer in result.answers] == ["no", "undecided", "undecided"]
    page = (result.write(tmp_path / "out")).read_text(encoding="utf-8")
    assert "<td>supported</td>" not in page


def test_two_groups_their_ladder_and_their_paths(tmp_path: Path) -> None:
    result = study(
        "bank_price_service_atm",
        structural="CS ~ PRICE + SERVICE + ATM\nCL ~ CS",
        invariance="sex",
        hypotheses={"H1": "SERVICE -> CS, positive", "H3": "paths equal across sex"},
    ).run()
    assert list(result.hypotheses.frame["verdict"]) == ["supported", "contradicted"]
    assert list(result.invariance.frame["step"]) == ["configural", "metric", "scalar", "strict"]
    result.write(tmp_path / "out")


def test_a_published_matrix_whose_factors_cannot_be_told_apart(tmp_path: Path) -> None:
    names, matrix = read_matrix(DATA / "babakus_boller_1992" / "cor.csv")
    frame = pd.DataFrame(matrix, index=list(names), columns=list(names))
    blocks = {"TAN": (1, 4), "REL": (5, 9), "RES": (10, 13), "ASS": (14, 17), "EMP": (18, 22)}
    items = {key: [f"Q{i}" for i in range(a, b + 1)] for key, (a, b) in blocks.items()}
    result = Study(
        matrix=frame,
        matrix_kind="correlation",
        n_obs=502,
        dimensions=items,
        rivals={"one factor": "one_factor", "RES+EMP": "merged RES+EMP"},
    ).run()
    reproduced, distinct, paths = result.answers
    assert (reproduced.verdict, reproduced.reason) == ("no", "inadmissible")
    assert (distinct.verdict, distinct.reason) == ("undecided", "blocked")
    assert paths.verdict == "undecided"
    rivals = result.rivals.frame.set_index("model")
    assert list(rivals["admissible"]) == [False, True, True]
    # Published for the merging: 8.4 on 4 degrees of freedom, p .079.
    assert rivals.loc["RES+EMP", "delta_chisq"] == pytest.approx(8.4, abs=0.1)
    assert rivals.loc["RES+EMP", "delta_p"] == pytest.approx(0.079, abs=0.003)
    page = result.write(tmp_path / "out").read_text(encoding="utf-8")
    assert "only approximate" in page


@pytest.mark.parametrize(
    ("name", "rule", "count"),
    [("turkiye_course_eval", "straight_line", 2985), ("transit_brazil703", "duplicate", 295)],
)
def test_screening_finds_what_is_known_to_be_there(name: str, rule: str, count: int) -> None:
    planned = study(name)
    screening = planned.run().screening if name != "transit_brazil703" else None
    if screening is None:
        import sqvalid as sq

        screening = sq.screen(planned.data, dimensions=dict(planned.dimensions))
    assert int(screening.flags[rule].sum()) == count
