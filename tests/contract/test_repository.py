"""The repository itself: no traces of a machine, and a README that says what is so."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import sqvalid
from sqvalid.instruments import list_instruments

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Written in pieces, so that this file does not find itself.
HOMES = "|".join(("ro" + "ot", "ho" + "me", "wo" + "rk", "op" + "t", "tm" + "p", "Us" + "ers"))
MACHINE_PATH = re.compile(rf"(?<![\w.)])/(?:{HOMES})/\w|\b[A-Z]:\\\\?Users\b")
REGISTRY_HOST = re.compile("|".join((r"py" + r"pi\.org", r"python" + r"hosted\.org")))
MADE_HERE = {"dist", "build", "sqvalid-out", "__pycache__"}


def repository_files() -> list[Path]:
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, capture_output=True, check=True).stdout
        return [ROOT / name for name in listed.decode().split("\0") if name]
    found = []
    for path in ROOT.rglob("*"):
        folders = set(path.relative_to(ROOT).parts[:-1])
        hidden = any(name.startswith(".") for name in folders - {".ci"})
        if path.is_file() and not hidden and not folders & MADE_HERE:
            found.append(path)
    return found


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["paths", "hosts"])
def test_no_trace_of_a_machine(pattern: re.Pattern[str]) -> None:
    found = []
    for path in repository_files():
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if pattern.search(line)
        ]
    assert found == []


def test_the_files_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {ROOT / "README.md", ROOT / ".ci" / "run", ROOT / "src" / "sqvalid" / "errors.py"}
    assert expected <= set(repository_files())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert expected <= set(repository_files())


def test_the_patterns_find_what_they_look_for() -> None:
    assert MACHINE_PATH.search("see /" + "tmp/x")
    assert MACHINE_PATH.search("'C:" + "\\Users\\me'")
    assert not MACHINE_PATH.search("a/" + "work/b and src/" + "tmp/x")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    parts = {
        name: re.search(rf"^{name}='(.+)'$", script, re.MULTILINE) for name in ("setup", "tests")
    }
    assert all(parts.values())
    command = " && ".join(found.group(1) for found in parts.values() if found)
    assert f"| Debian | `{command}` |" in README


def test_the_main_command_ends_in_the_demo() -> None:
    commands = re.findall(r"\| (?:Debian|Windows[^|]*) \| `(.+)` \|", README)
    assert len(commands) == 4
    assert [command.endswith("sqvalid demo") for command in commands] == [True, True, False, False]


def test_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == sqvalid.__version__
    assert f"version: {sqvalid.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {sqvalid.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readme_lists_every_instrument() -> None:
    table = README.split("| id | what it is |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(list_instruments())
