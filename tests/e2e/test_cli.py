"""The command line: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sqvalid import cli
from sqvalid.bundled import dataset_path
from sqvalid.errors import SqvalidError

MODEL = "F =~ a1 + a2 + a3\nG =~ b1 + b2 + b3\nG ~ F\n"
ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3"]


def answers(n=120):
    rng = np.random.default_rng(3)
    f = rng.standard_normal(n)
    g = 0.6 * f + 0.8 * rng.standard_normal(n)
    columns = {f"a{i}": 4 + f + 0.7 * rng.standard_normal(n) for i in (1, 2, 3)}
    columns |= {f"b{i}": 4 + g + 0.7 * rng.standard_normal(n) for i in (1, 2, 3)}
    return (
        pd.DataFrame(columns).round(3).assign(comment="fine, thanks", branch=["n", "s"] * (n // 2))
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.txt").write_text(MODEL, encoding="utf-8")
    answers().to_csv("data.csv", index=False)
    return tmp_path


def run(*arguments):
    return cli._guarded([str(a) for a in arguments], debug=False)


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def refused(capsys, *words):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert "\n  -> " in err, "what to do is missing"
    for word in words:
        assert word in err, err
    return err


# --- fit --------------------------------------------------------------------------------


def test_fit_prints_a_summary(place, capsys):
    assert run("fit", "model.txt", "data.csv") == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("Chi-square", "Degrees of freedom", "CFI", "RMSEA", "SRMR", "F =~", "a2"):
        assert word in out or word in ("CFI", "RMSEA", "SRMR")
    assert "120 of 120" in out


def test_fit_options(place, capsys):
    arguments = ("--standardized", "--fit-measures", "--modindices", "--std-lv", "--cfa")
    model = place / "cfa.txt"
    model.write_text("F =~ a1 + a2 + a3\nG =~ b1 + b2 + b3\n", encoding="utf-8")
    assert run("fit", model, "data.csv", *arguments) == 0
    out = capsys.readouterr().out
    for word in ("CFI", "RMSEA", "SRMR", "Std.all", "Modification indices", "sepc_all"):
        assert word in out


def test_fit_writes_json_only_when_asked(place, capsys):
    before = tree(place)
    assert run("fit", "model.txt", "data.csv") == 0
    assert tree(place) == before
    assert run("fit", "model.txt", "data.csv", "--json", "fit.json") == 0
    assert set(tree(place)) - set(before) == {"fit.json"}
    payload = json.loads(Path("fit.json").read_text(encoding="utf-8"))
    assert payload["type"] == "FitResult"


def test_rows_with_missing_answers_are_left_out_and_counted(place, capsys):
    frame = answers()
    frame.loc[:9, "b2"] = np.nan
    frame.loc[10:14, "a1"] = -99
    frame.to_csv("data.csv", index=False)
    assert run("fit", "model.txt", "data.csv", "--missing-code", "-99") == 0
    assert "105 of 120" in capsys.readouterr().out


def test_groups(place, capsys):
    code = run("fit", "model.txt", "data.csv", "--group", "branch", "--group-equal", "loadings")
    assert code == 0
    out = capsys.readouterr().out
    assert "branch" in out or "Group" in out


def test_matrix_input(place, capsys):
    frame = answers()[ITEMS]
    frame.cov().to_csv("cov.csv")
    frame.corr().to_csv("cor.csv")
    assert run("fit", "model.txt", "data.csv") == 0
    from_answers = chi_square(capsys.readouterr().out)
    assert run("fit", "model.txt", "--cov", "cov.csv", "--n", 120) == 0
    assert chi_square(capsys.readouterr().out) == pytest.approx(from_answers, abs=1e-3)
    assert run("fit", "model.txt", "--cor", "cor.csv", "--n", 120) == 0
    out = capsys.readouterr().out
    assert chi_square(out) == pytest.approx(from_answers, abs=1e-3)
    assert "correlation matrix was analysed" in out


def chi_square(out):
    line = next(line for line in out.splitlines() if line.strip().startswith("Chi-square"))
    return float(line.split()[-1])


# --- refusals ---------------------------------------------------------------------------


def _write(path, frame):
    frame.to_csv(path, index=False)


BAD_DATA = {
    "missing file": (lambda p: p.unlink(), ["data.csv"]),
    "empty file": (lambda p: p.write_bytes(b""), ["data.csv", "empty"]),
    "wrong delimiter": (
        lambda p: answers().drop(columns="comment").to_csv(p, index=False, sep="~"),
        ["a1"],
    ),
    "binary file": (
        lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        ["data.csv"],
    ),
    "missing column": (lambda p: _write(p, answers().rename(columns={"b2": "b_2"})), ["b2", "b_2"]),
    "duplicate column": (
        lambda p: p.write_text(p.read_text().replace("a2", "a1", 1), encoding="utf-8"),
        ["a1"],
    ),
    "text in an item": (
        lambda p: _write(p, answers().assign(a2=["often", *answers()["a2"][1:]])),
        ["a2", "often"],
    ),
    "all-missing item": (lambda p: _write(p, answers().assign(a3=np.nan)), ["a3"]),
    "constant item": (lambda p: _write(p, answers().assign(a3=4)), ["a3", "constant"]),
    "identical items": (
        lambda p: _write(p, answers().assign(b3=answers()["b2"])),
        ["b2", "b3", "identical"],
    ),
    "n smaller than items": (lambda p: _write(p, answers().head(5)), ["6 items", "5"]),
    "directory for a file": (lambda p: (p.unlink(), p.mkdir()), ["data.csv", "directory"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_are_refused(place, capsys, case):
    spoil, words = BAD_DATA[case]
    spoil(place / "data.csv")
    before = tree(place)
    assert run("fit", "model.txt", "data.csv", "--json", "fit.json") == 2
    refused(capsys, *words)
    assert tree(place) == before


def test_group_of_one_is_refused(place, capsys):
    frame = answers()
    frame.loc[7, "branch"] = "west"
    frame.to_csv("data.csv", index=False)
    assert run("fit", "model.txt", "data.csv", "--group", "branch") == 2
    refused(capsys, "west")


BAD_MODELS = {
    "syntax error": ("F =~ a1 + a2 +\nG =~ * b1\n", ["line", "^"]),
    "unknown variable": ("F =~ a1 + a2 + zz9\n", ["zz9"]),
    "more parameters than moments": ("F =~ a1 + a2\na1 ~~ a2\n", ["parameters", "moments"]),
    "empty model": ("", []),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_models_are_refused(place, capsys, case):
    text, words = BAD_MODELS[case]
    Path("model.txt").write_text(text, encoding="utf-8")
    before = tree(place)
    assert run("fit", "model.txt", "data.csv") == 2
    refused(capsys, *words)
    assert tree(place) == before


def _matrix(change):
    frame = answers()[ITEMS].corr()
    change(frame)
    frame.to_csv("cor.csv")


def _asymmetric(frame):
    frame.loc["a1", "b1"] = 0.99


def _indefinite(frame):
    for a, b, r in (("a1", "a2", 0.95), ("a1", "a3", 0.95), ("a2", "a3", -0.9)):
        frame.loc[a, b] = frame.loc[b, a] = r


@pytest.mark.parametrize(
    ("change", "words"),
    [(_asymmetric, ["a1", "b1"]), (_indefinite, ["positive definite"])],
)
def test_bad_matrices_are_refused(place, capsys, change, words):
    _matrix(change)
    assert run("fit", "model.txt", "--cor", "cor.csv", "--n", 120) == 2
    refused(capsys, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit",), ["model"]),
        (("fit", "model.txt"), ["matrix"]),
        (("fit", "nowhere.txt", "data.csv"), ["nowhere.txt"]),
        (("fit", ".", "data.csv"), ["directory"]),
        (("fit", "model.txt", "--cor", "cor.csv"), ["--n"]),
        (("fit", "model.txt", "data.csv", "--estimator", "MLX"), ["MLX", "MLR"]),
        (("fit", "model.txt", "data.csv", "--bogus"), ["--bogus"]),
        (("fit", "model.txt", "data.csv", "--json", "no/such/folder/fit.json"), ["fit.json"]),
        (("nonsense",), ["nonsense"]),
        (("instruments", "servqal"), ["servqal", "servqual"]),
        (("run", "nowhere.toml"), ["nowhere.toml"]),
    ],
)
def test_wrong_usage_is_refused(place, capsys, arguments, words):
    answers()[ITEMS].corr().to_csv("cor.csv")
    before = tree(place)
    assert run(*arguments) == 2
    refused(capsys, *words)
    assert tree(place) == before


# --- run and demo -----------------------------------------------------------------------

STUDY = """
[study]
title = "Two factors"
[data]
file = "data.csv"
[dimensions]
F = ["a1", "a2", "a3"]
G = ["b1", "b2", "b3"]
[model]
structural = "G ~ F"
"""


def test_run_writes_everything(place, capsys):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    assert run("run", "study.toml", "-o", "out") == 0
    assert "out/report.html" in capsys.readouterr().out.replace("\\", "/")
    names = set(tree(place / "out"))
    assert {
        "report.html",
        "results.json",
        "models/measurement.txt",
        "models/structural.txt",
    } <= names
    assert {"tables/effects.csv", "tables/validity_pairs.csv"} <= names
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    payload = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert payload["schema_version"] == 1


def test_same_input_same_bytes(place, capsys):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    assert run("run", "study.toml", "-o", "one") == 0
    assert run("run", "study.toml", "-o", "two") == 0
    assert tree(place / "one") == tree(place / "two")


BAD_STUDIES = {
    "unknown key": (
        '[study]\ntitel = "x"\n[data]\nfile = "data.csv"\n',
        ["titel", "title", "study.toml"],
    ),
    "unknown section": ('[dta]\nfile = "data.csv"\n', ["dta", "data", "study.toml"]),
    "not toml": ("[study\n", ["study.toml", "TOML"]),
    "no data": ('[study]\ntitle = "x"\n', ["data"]),
    "two sources": ('[data]\nfile = "data.csv"\ncovariance = "c.csv"\nn = 3\n', ["exactly one"]),
    "wrong type": ('[data]\nfile = "data.csv"\n[analysis]\ngroup = 3\n', ["analysis.group"]),
    "no model": ('[data]\nfile = "data.csv"\n', ["dimensions"]),
    "missing data file": (
        '[data]\nfile = "gone.csv"\n[dimensions]\nF = ["a1"]\n',
        ["gone.csv"],
    ),
    "unknown language": (STUDY.replace("[data]", 'language = "fr"\n[data]'), ["fr", "zh"]),
    "unknown instrument": (
        '[data]\nfile = "data.csv"\n[instrument]\nid = "servqal"\n',
        ["servqal"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_STUDIES)
def test_bad_studies_are_refused(place, capsys, case):
    text, words = BAD_STUDIES[case]
    Path("study.toml").write_text(text, encoding="utf-8")
    before = tree(place)
    assert run("run", "study.toml", "-o", "out") == 2
    refused(capsys, *words)
    assert tree(place) == before


def test_folder_of_others_is_left_alone(place, capsys):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    (place / "out").mkdir()
    (place / "out" / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert run("run", "study.toml", "-o", "out") == 2
    refused(capsys, "out", "--force")
    assert set(tree(place / "out")) == {"thesis.txt"}
    assert run("run", "study.toml", "-o", "out", "--force") == 0
    assert (place / "out" / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    assert (place / "out" / "report.html").is_file()


def test_own_results_are_replaced_and_stale_tables_go(place, capsys):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    assert run("run", "study.toml", "-o", "out") == 0
    Path("study.toml").write_text(STUDY.replace('structural = "G ~ F"', ""), encoding="utf-8")
    assert run("run", "study.toml", "-o", "out") == 0
    names = set(tree(place / "out"))
    assert "tables/effects.csv" not in names
    assert "tables/validity_pairs.csv" in names


def test_output_that_is_a_file_is_refused(place, capsys):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    before = tree(place)
    assert run("run", "study.toml", "-o", "data.csv") == 2
    refused(capsys, "data.csv")
    assert run("run", "study.toml", "-o", "data.csv/out") == 2
    refused(capsys, "data.csv")
    assert tree(place) == before


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_no_write_permission_is_told(place, capsys):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    locked = place / "locked"
    locked.mkdir(mode=0o555)
    assert run("run", "study.toml", "-o", locked / "out") == 2
    refused(capsys, "permission", "locked")


def _denied(*_, **__):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("what", "stand_in"),
    [("os.access", lambda _, mode: mode != os.W_OK), ("tempfile.mkdtemp", _denied)],
    ids=["told before the work", "told by the system"],
)
def test_missing_permission_is_told_whoever_runs_the_test(
    place, capsys, monkeypatch, what, stand_in
):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    before = tree(place)
    with monkeypatch.context() as patched:
        patched.setattr(f"sqvalid.study.folder.{what}", stand_in)
        assert run("run", "study.toml", "-o", "out") == 2
    refused(capsys, "ermission", "out" if what != "os.access" else str(place))
    assert tree(place) == before


def test_failure_while_writing_leaves_nothing(place, capsys, monkeypatch):
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    before = tree(place)
    original = Path.write_text

    def full_disk(self, *arguments, **options):
        if self.name == "effects.csv":
            raise OSError(28, "No space left on device")
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full_disk)
    assert run("run", "study.toml", "-o", "out") == 2
    refused(capsys, "No space left")
    assert tree(place) == before


def test_demo(place, capsys):
    assert run("demo", "-o", "demo") == 0
    out = capsys.readouterr().out
    assert "report.html" in out
    page = Path("demo/report.html").read_text(encoding="utf-8")
    assert "made by a program" in page
    assert "SERVQUAL" in page


def test_demo_in_chinese(place, capsys):
    assert run("demo", "-o", "demo", "--language", "zh") == 0
    page = Path("demo/report.html").read_text(encoding="utf-8")
    assert '<html lang="zh-Hans">' in page
    assert "测量模型" in page


def test_demo_study_file_runs_from_a_copy(place, capsys):
    for file in dataset_path("servqual_demo").iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    assert run("run", "study.toml", "-o", "out") == 0


def test_instruments(capsys):
    assert run("instruments") == 0
    assert "servqual:" in capsys.readouterr().out
    assert run("instruments", "servqual") == 0
    assert "P22" in capsys.readouterr().out


# --- the outermost shell ----------------------------------------------------------------


def shell(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", "from sqvalid.cli import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )


def test_exit_codes_and_tracebacks(place):
    good = shell("fit", "model.txt", "data.csv", cwd=place)
    assert good.returncode == 0, good.stderr
    assert good.stderr == ""
    bad = shell("fit", "model.txt", "nowhere.csv", cwd=place)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    debug = shell("--debug", "fit", "model.txt", "nowhere.csv", cwd=place)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr
    assert shell("--help", cwd=place).returncode == 0
    assert "fit" in shell(cwd=place).stdout


def test_own_faults_are_short(monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("boom")

    monkeypatch.setattr(cli, "app", broken)
    assert cli._guarded([], debug=False) == 1
    err = capsys.readouterr().err
    assert "boom" in err
    assert "--debug" in err
    assert "Traceback" not in err


def test_interruption(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert cli._guarded([], debug=False) == 130


def test_debug_lets_the_error_through(place):
    with pytest.raises(SqvalidError):
        cli._guarded(["fit", "nowhere.txt", "data.csv"], debug=True)
