"""The notebooks run from a clean kernel, and what they say in words is what comes out."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Sentences of the text stand or fall with these outputs.
TOLD = {
    "01_the_whole_way": (
        "600 respondents",
        "255 of 554 answered everything",
        "marginal",
        "contradicted",
        "not_testable",
        "careless: 42, of whom left out: 37",
    ),
    "02_the_common_wrong_way": (
        "Kaiser says 4",
        "InadmissibleSolutionWarning",
        "the first component carries 40%",
        "not_testable",
    ),
}


def test_every_notebook_is_known() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(TOLD)


# What Jupyter's own packages warn about is not ours to mend.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    shown = []
    pictures = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            data = output.get("data", {})
            shown += [output.get("text", ""), data.get("text/plain", "")]
            pictures += "image/png" in data
    told = "\n".join(shown)
    for sentence in TOLD[path.stem]:
        assert sentence in told, sentence
    if path.stem.startswith("01"):
        assert pictures == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
