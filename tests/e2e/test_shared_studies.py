"""Real surveys from the file to the written folder, by study.toml and the command line."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from sqvalid import cli
from sqvalid.study import Study
from sqvalid.study.draft import draft_plan

SHARED = Path(os.environ.get("SQVALID_SHARED") or Path(__file__).parents[3] / "shared")
DATA = SHARED / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are absent")

# lavaan's values stand in the descriptions with four digits after the point.
CHISQ, CFI = 1e-3, 1e-4

# Set -> what its plan says besides the models of its description.
PLANS = {
    "oddjob_airline": 'scales = { SAT = [1, 7], LOY = [1, 7], COM = [1, 7] }\nscale = [1, 100]',
    "bank_price_service_atm": "scale = [1, 5]",
    "mobi_ecsi": "scale = [1, 10]",
    "sfo_airport2017": "scale = [1, 5]\nmissing_codes = [0, 6]",
    "switching": "scale = [1, 6]",
    "transit_brazil703": "scale = [1, 5]",
    "corp_rep": "scale = [1, 7]\nmissing_codes = [-99]",
    "satisfaction_bank250": "scale = [0, 10]",
}  # fmt: skip
HYPOTHESES = {
    "oddjob_airline": {"H1": "SAT -> LOY, positive", "H2": "VALUE -> SAT, positive"},
    "bank_price_service_atm": {
        "H1": "SERVICE -> CS, positive",
        "H2": "CS mediates SERVICE -> CL",
        "H3": "paths equal across sex",
    },
    "mobi_ecsi": {"H1": "PERQ -> CUSA, positive", "H2": "CUSA mediates PERQ -> CUSL"},
    "sfo_airport2017": {"H1": "CLEAN -> OVERALL, positive"},
    "switching": {"H1": "SAT -> INT, negative"},
    "transit_brazil703": {"H1": "QUAL -> EXP, positive"},
    "corp_rep": {"H1": "LIKE -> CUSL, positive", "H2": "cusa mediates COMP -> CUSL"},
    "satisfaction_bank250": {"H1": "SAT -> LOY, positive"},
}
GROUPS = {"bank_price_service_atm": "sex"}


def description(name):
    return json.loads((DATA / name / "meta.json").read_text(encoding="utf-8"))


def models(name):
    """Measurement and structural lines of the model in the description of a set."""
    lines = [line.strip() for line in description(name)["health"]["sem_model"].splitlines()]
    measurement = [line for line in lines if "=~" in line]
    return "\n".join(measurement), "\n".join(line for line in lines if "=~" not in line)


def prepared(name, tmp_path, *, file="data.csv"):
    """A folder with the answers of a set and a plan for them."""
    shutil.copyfile(DATA / name / file, tmp_path / file)
    measurement, structural = models(name)
    dimensions = {
        line.split("=~")[0].strip(): [w.strip() for w in line.split("=~")[1].split("+")]
        for line in measurement.splitlines()
    }
    listed = "\n".join(f"{k} = {json.dumps(v)}" for k, v in dimensions.items())
    claims = "\n".join(f"{k} = {json.dumps(v)}" for k, v in HYPOTHESES[name].items())
    group = f'invariance = "{GROUPS[name]}"' if name in GROUPS else ""
    scales = PLANS[name]
    # A scale can only be told of a dimension that the plan has.
    if "scales" in scales:
        kept = {k: v for k, v in tomllib.loads(scales)["scales"].items() if k in dimensions}
        inner = ", ".join(f"{k} = {v}" for k, v in kept.items())
        scales = f"{scales.splitlines()[1]}\nscales = {{ {inner} }}"
    (tmp_path / "study.toml").write_text(
        f'[study]\ntitle = "{name}"\n[data]\nfile = "{file}"\n{scales}\n'
        f"[dimensions]\n{listed}\n"
        f"[model]\nstructural = '''\n{structural}\n'''\n"
        f"[analysis]\nsmallest_effect = 0.10\n{group}\n"
        f'[rivals]\n"one factor" = "one_factor"\n'
        f"[hypotheses]\n{claims}\n",
        encoding="utf-8",
    )
    return tmp_path / "study.toml"


def run(study, out):
    assert cli._guarded(["run", str(study), "-o", str(out)], debug=False) == 0
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    done: dict[str, tuple[dict, Path]] = {}

    def get(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            done[name] = run(prepared(name, folder), folder / "out"), folder / "out"
        return done[name]

    return get


@pytest.mark.parametrize("name", PLANS)
def test_fit_is_that_of_lavaan_and_the_chain_is_kept(results, name):
    payload, out = results(name)
    known = description(name)["health"]["sem_ml_lavaan_0.6_14_listwise"]
    found = payload["structural"]["fit_measures"]
    assert payload["structural"]["n_obs"] == known["nobs"]
    assert found["chisq"] == pytest.approx(known["chisq"], abs=CHISQ)
    assert found["df"] == known["df"]
    assert found["cfi"] == pytest.approx(known["cfi"], abs=CFI)
    assert payload["structural"]["admissible"] == known["admissible"]
    measured = description(name)["health"]["cfa_ml_lavaan_0.6_14_listwise"]
    assert payload["measurement"]["fit_measures"]["chisq"] == pytest.approx(
        measured["chisq"], abs=CHISQ
    )
    assert payload["measurement"]["admissible"] == measured["admissible"]
    verdicts = {row["verdict"] for row in payload["hypotheses"]["table"]}
    if not measured["admissible"]:
        # "supported" never follows an inadmissible measurement model.
        assert verdicts == {"not_testable"}
        assert payload["ledger"]["solution"]["state"] == "not_met"
        assert all(
            link["state"] == "not_judged"
            for key, link in payload["ledger"].items()
            if key != "solution"
        )
        assert [answer["verdict"] for answer in payload["answers"]][1:] == ["undecided"] * 2
    page = (out / "report.html").read_text(encoding="utf-8")
    assert ("<td>supported</td>" in page) == ("supported" in verdicts)
    assert "<script" not in page


def test_two_groups(results):
    payload, _ = results("bank_price_service_atm")
    verdicts = {row["id"]: row["verdict"] for row in payload["hypotheses"]["table"]}
    assert verdicts == {"H1": "supported", "H2": "supported", "H3": "contradicted"}
    assert len(payload["invariance"]["table"]) == 4


def test_the_sign_that_was_expected(results):
    payload, _ = results("switching")
    [row] = payload["hypotheses"]["table"]
    assert row["verdict"] == "supported"
    assert row["std_estimate"] < -0.2


def test_exploration_stands_beside_the_model(results):
    payload, out = results("bank_price_service_atm")
    assert payload["role"] == "confirm"
    assert payload["exploration"] is None
    health = description("bank_price_service_atm")["health"]
    assert payload["factorability"]["kmo"] == pytest.approx(health["kmo"], abs=5e-4)
    eigen = payload["efa"]["eigenvalues"]
    assert eigen[:12] == pytest.approx(health["eigen_corr"], abs=5.1e-3)
    assert (out / "tables" / "efa_loadings.csv").is_file()


# --- what must be refused or proposed ------------------------------------------------------


def test_six_cells_off_the_scale_are_listed(tmp_path, capsys):
    study = prepared("switching", tmp_path)
    text = study.read_text(encoding="utf-8").replace("scale = [1, 6]", "scale = [1, 5]")
    study.write_text(text, encoding="utf-8")
    assert cli._guarded(["run", str(study), "-o", str(tmp_path / "out")], debug=False) == 2
    told = capsys.readouterr().err
    frame = pd.read_csv(DATA / "switching" / "data.csv")
    rows = frame.index[frame["INT2"] == 6] + 2
    assert len(rows) == 6
    assert told.startswith("error: 6 answers lie outside the scale of 1 to 5")
    for row in rows:
        assert f"item 'INT2', row {row}: 6" in told
    assert not (tmp_path / "out").exists()
    # With the decision in the plan they are missing, and the trail says so.
    text = text.replace("scale = [1, 5]", 'scale = [1, 5]\nout_of_range = "missing"')
    study.write_text(text, encoding="utf-8")
    result = Study.from_toml(study).run()
    assert result.measurement.n_obs == 761
    [entry] = [entry for entry in result.survey.audit if entry.step == "out_of_range"]
    assert "(6)" in entry.sentence()


@pytest.mark.parametrize(
    ("name", "codes"),
    [("sfo_airport2017", "0, 6"), ("corp_rep", "-99"), ("switching", "6")],
)
def test_codes_are_proposed_and_the_draft_does_not_run_over_them(name, codes, tmp_path, capsys):
    shutil.copyfile(DATA / name / "data.csv", tmp_path / "data.csv")
    assert cli._guarded(["init", str(tmp_path / "data.csv")], debug=False) == 0
    study = tmp_path / "study.toml"
    assert f"# missing_codes = [{codes}]" in study.read_text(encoding="utf-8")
    capsys.readouterr()
    assert cli._guarded(["run", str(study), "-o", str(tmp_path / "out")], debug=False) == 2
    assert "outside the scale" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*PLANS, "hospital_servqual5dims"])
def test_a_draft_of_every_set_is_a_plan(name, tmp_path):
    shutil.copyfile(DATA / name / "data.csv", tmp_path / "data.csv")
    text = draft_plan(tmp_path / "data.csv")
    codes = [line[2:] for line in text.splitlines() if line.startswith("# missing_codes")]
    for line in codes:
        text = text.replace(f"# {line}", line)
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    planned = Study.from_toml(tmp_path / "study.toml")
    assert len(planned.data) == description(name)["n"]
    if "instrument" not in text:
        known = {tuple(items) for items in description(name)["constructs"].values()}
        drafted = {tuple(items) for items in planned.data.dimensions.values()}
        if name in ("corp_rep", "satisfaction_bank250", "switching", "transit_brazil703"):
            assert len(known & drafted) >= 3


def test_answers_in_words_are_the_numbers(tmp_path):
    name = "transit_brazil703"
    study = prepared(name, tmp_path, file="data_text.csv")
    survey = Study.from_toml(study).data
    numbers = pd.read_csv(DATA / name / "data.csv")[list(survey.items)]
    pd.testing.assert_frame_equal(
        survey.data.reset_index(drop=True), numbers.astype(float), check_names=False
    )
    drafted = tomllib.loads(draft_plan(tmp_path / "data_text.csv"))
    known = description(name)["constructs"]
    assert sorted(map(tuple, drafted["dimensions"].values())) == sorted(map(tuple, known.values()))


def test_one_score_per_dimension(tmp_path):
    shutil.copyfile(DATA / "hospital_servqual5dims" / "data.csv", tmp_path / "data.csv")
    assert cli._guarded(["init", str(tmp_path / "data.csv")], debug=False) == 0
    payload = run(tmp_path / "study.toml", tmp_path / "out")
    known = description("hospital_servqual5dims")["health"]["cfa_ml_lavaan_0.6_14_listwise"]
    found = payload["measurement"]["fit_measures"]
    assert found["chisq"] == pytest.approx(known["chisq"], abs=CHISQ)
    assert found["df"] == known["df"]


def test_expectations_and_performance_as_a_study_that_develops(tmp_path):
    shutil.copyfile(DATA / "oddjob_airline" / "data.csv", tmp_path / "data.csv")
    items = [f"s{i}" for i in range(1, 24)]
    (tmp_path / "study.toml").write_text(
        f'[study]\ntitle = "developed"\nrole = "develop"\n[data]\nfile = "data.csv"\n'
        f"scale = [1, 100]\nscales = {{ SAT = [1, 7] }}\n"
        f'[dimensions]\nPERF = {json.dumps(items)}\nSAT = ["sat1", "sat2", "sat3"]\n'
        f'[explore]\ndimensions = ["PERF"]\nstratify = "gender"\n',
        encoding="utf-8",
    )
    payload = run(tmp_path / "study.toml", tmp_path / "out")
    explored = payload["exploration"]
    assert explored["n_explored"] + explored["n_confirmed"] == 1065
    factors = explored["proposal"]["factors"]
    assert 3 <= len(factors) <= 7
    assert payload["measurement"]["n_obs"] <= explored["n_confirmed"]
    assert "SAT =~ sat1 + sat2 + sat3" in payload["measurement"]["model"]


def test_same_study_in_two_folders_same_bytes(tmp_path):
    trees = []
    for place in ("one", "two/deeper"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        study = prepared("switching", folder)
        run(study, folder / "out")
        trees.append(
            {
                str(path.relative_to(folder / "out")): path.read_bytes()
                for path in sorted((folder / "out").rglob("*"))
                if path.is_file()
            }
        )
    assert trees[0] == trees[1]
