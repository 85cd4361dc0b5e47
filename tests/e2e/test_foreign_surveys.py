"""One survey as it comes from many hands: whatever the file, the numbers are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest

from sqvalid import cli
from sqvalid.latent import cfa

ITEMS = [f"{stem}{k}" for stem in ("svc", "sat") for k in (1, 2, 3)]
MODEL = "svc =~ svc1 + svc2 + svc3\nsat =~ sat1 + sat2 + sat3"
N = 260


def answers() -> pd.DataFrame:
    rng = np.random.default_rng(14)
    a = rng.standard_normal(N)
    b = 0.5 * a + 0.8 * rng.standard_normal(N)
    columns = {
        name: np.clip(np.round(3 + 0.9 * f + 0.7 * rng.standard_normal(N)), 1, 5).astype(int)
        for name, f in zip(ITEMS, (a, a, a, b, b, b), strict=True)
    }
    return pd.DataFrame(columns)


CHISQ = float(cfa(MODEL, answers()).fit_measures["chisq"])


def in_words(words: list[str]) -> pd.DataFrame:
    return answers().apply(lambda column: column.map(dict(enumerate(words, start=1))))


def text(
    words: list[str] | None, encoding: str, delimiter: str = ",", suffix: str = ".csv"
) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        frame = answers() if words is None else in_words(words)
        file = folder / f"answers{suffix}"
        file.write_bytes(frame.to_csv(index=False, sep=delimiter).encode(encoding))
        return file

    return write


def rescaled(slope: float, shift: float, **options: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        frame = answers() * slope + shift
        frame.to_csv(folder / "answers.csv", index=False, **options)  # type: ignore[call-overload]
        return folder / "answers.csv"

    return write


def german_numbers(folder: Path) -> Path:
    frame = answers() / 2
    lines = [";".join([*ITEMS, "Einkommen"])]
    rows = ([*(f"{x:.1f}".replace(".", ",") for x in row), "12.500"] for row in frame.to_numpy())
    lines += [";".join(row) for row in rows]
    (folder / "answers.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "answers.csv"


def with_missing(codes: dict[str, float]) -> pd.DataFrame:
    """Twenty more respondents whose last answer is a code for none."""
    frame = answers().astype(float)
    extra = frame.head(20).copy()
    for column, code in codes.items():
        extra[column] = code
    return pd.concat([frame, extra], ignore_index=True)


def spss(folder: Path) -> Path:
    labels = {1: "trifft nicht zu", 5: "trifft zu", 9: "keine Angabe", 97: "verweigert"}
    pyreadstat.write_sav(
        with_missing({"sat3": 97.0, "svc1": 9.0}),
        folder / "answers.sav",
        missing_ranges={"sat3": [{"lo": 90, "hi": 99}]},
        variable_value_labels=dict.fromkeys(ITEMS, labels),
    )
    return folder / "answers.sav"


def stata(folder: Path) -> Path:
    frame = with_missing({"sat3": np.nan}).astype(object)
    frame.loc[frame["sat3"].isna(), "sat3"] = "b"
    pyreadstat.write_dta(
        frame, folder / "answers.dta", missing_user_values={"sat3": ["b"]},
    )  # fmt: skip
    return folder / "answers.dta"


def workbook(folder: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(["Encuesta de clientes"])
    book.active.append([])
    book.active.append(["Servicio", None, None, "Satisfacción", None, None])
    book.active.append(ITEMS)
    for row in answers().to_numpy().tolist():
        book.active.append(row)
    for cells in ("A1:F1", "A3:C3", "D3:F3"):
        book.active.merge_cells(cells)
    book.save(folder / "answers.xlsx")
    return folder / "answers.xlsx"


DE = ["stimme überhaupt nicht zu", "stimme eher nicht zu", "teils/teils", "stimme eher zu",
      "stimme voll und ganz zu"]  # fmt: skip
ES = ["Totalmente en desacuerdo", "En desacuerdo", "Ni de acuerdo ni en desacuerdo",
      "De acuerdo", "Totalmente de acuerdo"]  # fmt: skip
PT = ["Muito insatisfeito", "Insatisfeito", "Neutro", "Satisfeito", "Muito satisfeito"]
FR = ["Très insatisfait", "Insatisfait", "Neutre", "Satisfait", "Très satisfait"]
ZH = ["非常不同意", "不同意", "一般", "同意", "非常同意"]
TW = ["非常不滿意", "不滿意", "普通", "滿意", "非常滿意"]
JA = [
    "全くそう思わない",
    "あまりそう思わない",
    "どちらともいえない",
    "ややそう思う",
    "とてもそう思う",
]
KO = ["전혀 그렇지 않다", "그렇지 않다", "보통이다", "그렇다", "매우 그렇다"]
RU = ["полностью не согласен", "не согласен", "нейтрально", "согласен", "полностью согласен"]
NL = ["helemaal mee oneens", "mee oneens", "neutraal", "mee eens", "helemaal mee eens"]
NUMBERED = ["1 - low", "2", "3", "4", "5 - high"]

FILES: dict[str, Callable[[Path], Path]] = {
    "plain": text(None, "utf-8"),
    "with a mark": text(None, "utf-8-sig"),
    "tabs, utf-16": text(PT, "utf-16", "\t", ".tsv"),
    "German, semicolons, cp1252": text(DE, "cp1252", ";"),
    "Spanish": text(ES, "utf-8"),
    "French, latin-1": text(FR, "latin-1", ";"),
    "Dutch": text(NL, "utf-8", "|", ".txt"),
    "Chinese, GB18030": text(ZH, "gb18030"),
    "Chinese, utf-16 without a mark": text(ZH, "utf-16-le"),
    "Taiwan, Big5": text(TW, "big5hkscs"),
    "Japanese, Shift-JIS": text(JA, "cp932"),
    "Japanese, EUC": text(JA, "euc_jp"),
    "Korean, cp949": text(KO, "cp949"),
    "Russian, cp1251": text(RU, "cp1251", ";"),
    "numbers with words": text(NUMBERED, "utf-8"),
    "0 to 10": rescaled(2.5, -2.5),
    "-2 to 2": rescaled(1, -3),
    "1 to 100": rescaled(24.75, -23.75),
    "halves, decimal comma": rescaled(0.5, 0, sep=";", decimal=","),
    "decimal comma and thousands": german_numbers,
    "SPSS": spss,
    "Stata": stata,
    "workbook": workbook,
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_same_survey_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    file = FILES[name](tmp_path)
    assert cli._guarded(["init", str(file)], debug=False) == 0
    study = tmp_path / "study.toml"
    plan = study.read_text(encoding="utf-8")
    # Whoever did not answer is left out, as in the numbers that are compared with.
    study.write_text(plan.replace('missing = "fiml"', 'missing = "listwise"'), encoding="utf-8")
    assert cli._guarded(["run", str(study), "-o", str(tmp_path / "out")], debug=False) == 0
    payload = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert payload["measurement"]["n_obs"] == N
    lines = payload["measurement"]["model"].splitlines()
    assert [line.split("=~")[1].strip() for line in lines] == [
        "svc1 + svc2 + svc3", "sat1 + sat2 + sat3",
    ]  # fmt: skip
    assert payload["measurement"]["fit_measures"]["chisq"] == pytest.approx(CHISQ, rel=1e-8)
