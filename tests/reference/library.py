"""The reference results: R's numbers, read once, as fits that a test can walk.

The files come from the folder named by SQVALID_SHARED (default: ``shared`` beside the
repository); a few small ones travel with the repository so that a clone tests itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
BUNDLED = HERE / "data"
PREFIXES = ("cfa", "sem", "mg", "path", "inv", "lrt", "case", "fiml", "ord")


def shared_reference() -> Path | None:
    """The full reference folder, or None where it is absent."""
    root = os.environ.get("SQVALID_SHARED")
    folder = Path(root) if root else HERE.parents[1].parent / "shared"
    folder = folder / "reference"
    return folder if folder.is_dir() else None


def root() -> Path:
    """The folder that the tests read."""
    return shared_reference() or BUNDLED


@cache
def document(name: str) -> dict:
    """One reference file, by its id."""
    return json.loads((root() / f"{name}.json").read_text(encoding="utf-8"))


def has(name: str) -> bool:
    """Whether the file is there."""
    return (root() / f"{name}.json").is_file()


def names(prefixes=PREFIXES) -> list[str]:
    """Ids of the files whose first word is one of `prefixes`."""
    found = sorted(p.stem for p in root().glob("*.json"))
    return [n for n in found if n.split("_")[0] in prefixes]


@dataclass(frozen=True)
class Fit:
    """One fit of one reference file.

    Parameters
    ----------
    name : str
        File id, with the step or model where the file has several.
    file : str
        File id.
    path : str
        Where the blocks stand in the file: "" or "steps.metric" or "models.free".
    model : str
        Model text.
    arguments : dict
        What was passed to lavaan besides model and data, in lavaan's spelling.
    function : str
        "cfa" or "sem".
    blocks : dict
        The expected numbers.
    """

    name: str
    file: str
    path: str
    model: str
    arguments: dict
    function: str
    blocks: dict = field(repr=False)

    @property
    def group(self) -> str | None:
        return self.arguments.get("group")

    def block(self, name: str):
        """A block, or None where the file has none or only an error."""
        value = self.blocks.get(name)
        if value is None or (isinstance(value, dict) and "error" in value):
            return None
        return value

    @property
    def converged(self) -> bool:
        convergence = self.blocks.get("convergence")
        if convergence is None:
            return bool(self.blocks.get("converged", True))
        return bool(convergence["converged"])

    @property
    def imprecise(self) -> bool:
        """Whether the reference solution itself is only good to a few digits."""
        convergence = self.blocks.get("convergence")
        error = convergence.get("approx_est_error") if convergence else None
        if isinstance(error, dict):
            return True
        return error is not None and error > 1e-4


def _arguments(raw) -> dict:
    return dict(raw) if isinstance(raw, dict) else {}


@cache
def fits() -> tuple[Fit, ...]:
    """Every fit of every file of the latent-variable kinds."""
    found = []
    for name in names():
        doc = document(name)
        arguments = _arguments(doc.get("arguments"))
        if "steps" in doc:
            for step, node in doc["steps"].items():
                if "parameters" not in node:
                    continue
                extra = {"group": doc["group"], "group.equal": node.get("group.equal")}
                if node.get("group.partial"):
                    extra["group.partial"] = node["group.partial"]
                extra = {k: v for k, v in extra.items() if v}
                model = node.get("lavaan_syntax") or doc["model_syntax"]
                if "lavaan_syntax" in node:
                    # The text has all restrictions; what else was said stands in the document.
                    own = ("group", "ordered", "parameterization", "estimator")
                    extra = {key: doc[key] for key in own}
                found.append(
                    Fit(f"{name}/{step}", name, f"steps.{step}", model,
                        arguments | extra, "cfa", node)
                )  # fmt: skip
        elif "models" in doc:
            for key, node in doc["models"].items():
                extra = _arguments(node.get("extra_arguments"))
                found.append(
                    Fit(f"{name}/{key}", name, f"models.{key}", node["model_syntax"],
                        arguments | extra, doc["lavaan_function"], node)
                )  # fmt: skip
        elif "model_syntax" in doc and "parameters" in doc:
            found.append(
                Fit(name, name, "", doc["model_syntax"], arguments, doc["lavaan_function"], doc)
            )
    return tuple(found)


def is_drawn(fit: Fit) -> bool:
    """Whether its standard errors are those of random draws, which no two programs share."""
    return fit.arguments.get("se") == "bootstrap"


@cache
def frame(file: str) -> pd.DataFrame:
    """Data of one reference file, with what its description derives from them."""
    text = document(file)["data_file"]
    data = pd.read_csv(root() / "data" / f"{text.split('.csv')[0]}.csv")
    if "rows 1..10 + 61..75" in text:
        data = data.iloc[[*range(10), *range(60, 75)]].reset_index(drop=True)
    if "dichotomised" in text:
        items = [f"P{i}" for i in range(10, 18)]
        assert "P10..P17 >= 4" in text
        data[items] = (data[items] >= 4).astype(float)
    if "x10 = x1 + x2" in text:
        data = data.assign(x10=data["x1"] + data["x2"])
    products = document(file).get("extras", {}).get("product_names")
    if products:
        data = data.join(_product_indicators(data, products))
    return data


def _product_indicators(data: pd.DataFrame, products: list[str]) -> pd.DataFrame:
    """Matched products, centred before and after multiplying (Lin et al., 2010)."""
    out = {}
    for name in products:
        first, second = name.split(".")
        product = (data[first] - data[first].mean()) * (data[second] - data[second].mean())
        out[name] = product - product.mean()
    return pd.DataFrame(out)


def matrix(block: dict) -> pd.DataFrame:
    """A matrix block as a frame; null is NaN."""
    values = np.array(
        [[np.nan if v is None else v for v in row] for row in block["values"]], dtype=float
    )
    return pd.DataFrame(values, index=block["rownames"], columns=block["colnames"])


def vector(block: dict) -> pd.Series:
    """A named vector as a series; null is NaN."""
    if set(block) == {"names", "values"}:
        return pd.Series(block["values"], index=block["names"], dtype=float)
    return pd.Series(block, dtype=float)


def table(block: dict) -> pd.DataFrame:
    """A table block as a frame, columns with '.' written '_'."""
    out = pd.DataFrame({k: v for k, v in block.items() if k != ".row"})
    return out.rename(columns=lambda c: {"pvalue": "p"}.get(c, c).replace(".", "_"))


def by_group(block: dict) -> dict:
    """Per-group blocks keyed by label, a single group keyed by ""."""
    if {"cov", "values"} & set(block):
        return {"": block}
    return block


@dataclass(frozen=True)
class Disputed:
    """What two versions of lavaan disagree on: neither value is required.

    Parameters
    ----------
    paths : frozenset of str
        Single numbers.
    sections : frozenset of str
        Whole blocks, where the file lists only the first of many differing numbers.
    """

    paths: frozenset[str]
    sections: frozenset[str]


@cache
def disputed(file: str) -> Disputed:
    """The disputed numbers of one file."""
    check = document(file).get("cross_version_check") or {}
    listed = check.get("disputed") or []
    sections = (
        check.get("by_section") or {} if check.get("values_that_differ", 0) > len(listed) else {}
    )
    return Disputed(frozenset(entry[0] for entry in listed), frozenset(sections))
