"""Bundled data: found from a checkout and from a wheel, and made again byte for byte."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import bundled
from sqvalid.errors import InputError, OptionError
from sqvalid.survey import load_dataset

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import json, sqvalid
from sqvalid import bundled
survey = sqvalid.load_dataset("servqual_demo")
print(json.dumps({
    "package": sqvalid.__file__,
    "folder": str(bundled.datasets_directory()),
    "names": bundled.dataset_names(),
    "study": bundled.dataset_path("servqual_demo", "study.toml").is_file(),
    "sha256": survey.sha256(),
}))
"""


def probe(path: Path, cwd: Path) -> dict[str, object]:
    """Load the demo in a fresh interpreter that finds the package in `path`."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_from_a_checkout(tmp_path: Path) -> None:
    told = probe(ROOT / "src", tmp_path)
    assert Path(str(told["folder"])) == ROOT / "datasets"
    assert told["names"] == ["holzinger_swineford", "political_democracy", "servqual_demo"]
    assert told["study"] is True


def test_from_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = pytest.importorskip("hatchling.build", reason="hatchling builds the wheel")
    monkeypatch.chdir(ROOT)
    wheel = build.build_wheel(str(tmp_path))
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        archive.extractall(unpacked)
    told = probe(unpacked, tmp_path)
    assert Path(str(told["package"])) == unpacked / "sqvalid" / "__init__.py"
    assert Path(str(told["folder"])) == unpacked / "sqvalid" / "datasets"
    assert told["study"] is True
    assert told["sha256"] == load_dataset("servqual_demo").sha256()
    for needed in ("py.typed", "wording/en.toml", "wording/zh.toml"):
        assert (unpacked / "sqvalid" / needed).is_file()
    library = ROOT / "src" / "sqvalid" / "instruments" / "library"
    for file in library.glob("*.toml"):
        assert (unpacked / "sqvalid" / "instruments" / "library" / file.name).is_file()


def test_the_script_makes_the_files_again() -> None:
    script = runpy.run_path(str(bundled.datasets_directory() / "make_servqual_demo.py"))
    for made, file in (("content", "ANSWERS"), ("truth", "TRUTH")):
        assert script[made]().encode() == script[file].read_bytes(), file


def test_the_study_never_reads_the_truth() -> None:
    folder = bundled.dataset_path("servqual_demo")
    assert not list(folder.glob("truth*"))
    assert "truth" not in (folder / "study.toml").read_text(encoding="utf-8")
    assert (folder / "answers.csv").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", bundled.dataset_names())
def test_codebook(name: str) -> None:
    book = bundled.codebook(name)
    survey = load_dataset(name)
    assert book["n"] == len(survey)
    assert isinstance(book["simulated"], bool)
    assert book["title"]
    assert book["origin"]


def test_simulated_data_say_so() -> None:
    folder = bundled.dataset_path("servqual_demo")
    assert bundled.codebook("servqual_demo")["simulated"] is True
    assert "simulated" in (folder / "study.toml").read_text(encoding="utf-8")
    assert "simulated" in (folder.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("holzinger_swineford", "holzinger_swineford1939"),
        ("political_democracy", "political_democracy"),
    ],
)
def test_classic_data_are_those_of_lavaan(name: str, shared: str) -> None:
    folder = os.environ.get("SQVALID_SHARED", "")
    file = Path(folder) / "data" / shared / "data.csv"
    if not folder or not file.is_file():
        pytest.skip("the shared data are not there")
    theirs = pd.read_csv(file)
    ours = load_dataset(name).frame.drop(columns="column_1").reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, check_exact=True)


def test_classic_models_give_the_published_numbers() -> None:
    # Rosseel (2012), Journal of Statistical Software 48(2), sections 3 and 4.
    pupils = sq.load_dataset("holzinger_swineford")
    text = "".join(f"{f} =~ {' + '.join(x)}\n" for f, x in pupils.dimensions.items())
    measures = sq.cfa(text, pupils).fit_measures
    assert (round(measures["chisq"], 3), measures["df"]) == (85.306, 24)
    countries = sq.load_dataset("political_democracy")
    text = "".join(f"{f} =~ {' + '.join(x)}\n" for f, x in countries.dimensions.items())
    text += "dem60 ~ ind60\ndem65 ~ ind60 + dem60\n"
    text += "y1 ~~ y5\ny2 ~~ y4 + y6\ny3 ~~ y7\ny4 ~~ y8\ny6 ~~ y8\n"
    measures = sq.sem(text, countries).fit_measures
    assert (round(measures["chisq"], 3), measures["df"]) == (38.125, 35)


def test_a_package_that_lost_its_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="come with the package 'semopy'"):
        bundled.data_file("political_democracy")


def test_what_is_not_there_lists_what_is() -> None:
    with pytest.raises(OptionError, match="Did you mean 'servqual_demo'"):
        bundled.dataset_path("servqual_dem")
    with pytest.raises(OptionError, match=r"file='x\.csv'"):
        bundled.dataset_path("servqual_demo", "x.csv")


def test_a_damaged_installation_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundled, "_PACKAGE", tmp_path / "a" / "b")
    with pytest.raises(InputError, match="bundled data are not there"):
        bundled.datasets_directory()
