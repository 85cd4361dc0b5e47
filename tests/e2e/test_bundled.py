"""Bundled data: found from a checkout and from a wheel, and made again byte for byte."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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
    assert told["names"] == ["servqual_demo"]
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


def test_the_script_makes_the_file_again() -> None:
    script = runpy.run_path(str(bundled.datasets_directory() / "make_servqual_demo.py"))
    assert (
        script["content"]().encode()
        == bundled.dataset_path("servqual_demo", "answers.csv").read_bytes()
    )


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


def test_what_is_not_there_lists_what_is() -> None:
    with pytest.raises(OptionError, match="Did you mean 'servqual_demo'"):
        bundled.dataset_path("servqual_dem")
    with pytest.raises(OptionError, match=r"file='x\.csv'"):
        bundled.dataset_path("servqual_demo", "x.csv")


def test_a_damaged_installation_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundled, "_PACKAGE", tmp_path / "a" / "b")
    with pytest.raises(InputError, match="bundled data are not there"):
        bundled.datasets_directory()
