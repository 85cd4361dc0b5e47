"""The folder of results: report, tables, models and numbers, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sqvalid import findings
from sqvalid.display import Table, json_safe
from sqvalid.errors import InputError
from sqvalid.findings import residual_correlations
from sqvalid.report import bibliography, render_html

__all__ = ["StudyResult", "check_target", "write_page", "write_result"]

SIGNIFICANT_DIGITS = 12
"""Digits of numbers in results.json: what machines agree on."""


class StudyResult(findings.StudyResult):
    """Everything a study computed, and the way to put it into files.

    See :class:`sqvalid.findings.StudyResult` for the attributes.
    """

    def write(self, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write report, tables, results and models; see :func:`write_result`."""
        return write_result(self, folder, force=force)

    def write_report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report alone, as one self-contained page; see :func:`write_page`."""
        return write_page(self, path)


def _tables(result: findings.StudyResult) -> dict[str, pd.DataFrame]:
    """Return every table of a study by the name of its file."""
    fits = {"measurement": result.measurement}
    if result.structural is not None:
        fits["structural"] = result.structural
    tables: dict[str, pd.DataFrame] = {"ledger": result.ledger.to_frame()}
    for name, fit in fits.items():
        measures = fit.fit_measures
        tables[f"{name}_fit_measures"] = pd.DataFrame(
            {"measure": list(measures.index), "value": measures.to_numpy(dtype=np.float64)}
        )
        tables[f"{name}_parameters"] = fit.parameters
        tables[f"{name}_modification_indices"] = fit.modification_indices()
        tables[f"{name}_residual_correlations"] = residual_correlations(fit)
    if result.items is not None:
        tables["items"] = result.items.items
    if result.validity is not None:
        tables["reliability"] = result.validity.reliability.scales
        tables["validity_pairs"] = result.validity.pairs
        suffixes = _suffixes(list(result.validity.matrix))
        for label, matrix in result.validity.matrix.items():
            tables[f"validity_matrix{suffixes[label]}"] = matrix.rename_axis("factor").reset_index()
    if result.effects is not None:
        tables["effects"] = result.effects.frame
    if result.screening is not None:
        tables["screening_rules"] = result.screening.rules
        tables["screening_flags"] = result.screening.flags.reset_index()
    if result.rivals is not None:
        tables["rivals"] = result.rivals.frame
    if result.hypotheses is not None:
        planned = "hypotheses" not in result.unplanned
        tables["hypotheses"] = result.hypotheses.frame.assign(planned=planned)
    if result.invariance is not None:
        tables["invariance"] = result.invariance.frame
    if result.sensitivity is not None:
        tables["sensitivity"] = result.sensitivity.reset_index()
    if result.missing_methods is not None:
        tables["missing_methods"] = result.missing_methods
    if result.retention is not None:
        tables["retention"] = result.retention.frame
    if result.efa is not None:
        tables["efa_loadings"] = result.efa.to_frame().rename_axis("item").reset_index()
        phi = result.efa.factor_correlations
        tables["efa_factor_correlations"] = phi.rename_axis("factor").reset_index()
    if result.exploration is not None and result.exploration.proposal is not None:
        tables["explored_items"] = result.exploration.proposal.frame
    for name, opinion in result.opinions.items():
        if opinion.available:
            tables[f"second_opinion_{name}"] = opinion.estimates
    return tables


def _suffixes(labels: Sequence[str]) -> dict[str, str]:
    """Endings of file names, one for each group; none where there is one group."""
    if len(labels) < 2:
        return dict.fromkeys(labels, "")
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        plain = "".join(ch if ch.isalnum() or ch in "-_" else "_" for ch in str(label))[:60]
        name, number = plain or "group", 1
        # File systems that do not tell case apart would make one file of two groups.
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        found[label] = f"_{name}"
    return found


def _files(result: findings.StudyResult) -> dict[str, str]:
    payload = json_safe(result.to_dict(), significant=SIGNIFICANT_DIGITS)
    files = {
        "report.html": render_html(result),
        "results.json": json.dumps(payload, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "models/measurement.txt": result.measurement_text.strip() + "\n",
        "references.bib": bibliography(result) + "\n",
    }
    if result.structural_text:
        files["models/structural.txt"] = result.structural_text.strip() + "\n"
    for name, frame in _tables(result).items():
        files[f"tables/{name}.csv"] = Table(frame).to_csv()
    return files


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder holds the results of an earlier run."""
    try:
        head = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(head, dict) and head.get("type") == StudyResult.__name__


def write_result(
    result: findings.StudyResult, folder: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Write a study's report, tables, results and models into a folder.

    Everything is made before anything is written, and written beside the folder before it is
    moved in: a failure leaves no half-written results.

    Parameters
    ----------
    result : StudyResult
        What to write.
    folder : str or path
        Made when absent. The results of an earlier run are replaced.
    force : bool
        Write into a folder that holds other files, too; those stay, files of the same name
        are replaced.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    InputError
        The folder holds other files, is no folder, or cannot be written.
    """
    target = Path(folder)
    check_target(target, force=force)
    files = _files(result)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent.resolve()))
    except OSError as error:
        raise _cannot_write(target, error) from None
    try:
        for name, content in files.items():
            place = staging / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, encoding="utf-8", newline="\n")
        _move_in(staging, target, list(files))
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target / "report.html"


def write_page(result: findings.StudyResult, path: str | os.PathLike[str]) -> Path:
    """Write the report of a study as one self-contained page.

    Parameters
    ----------
    result : StudyResult
        What to write.
    path : str or path
        The page; replaced when it is there.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    InputError
        It cannot be written; a page that was there stays as it was.
    """
    target = Path(path)
    content = render_html(result)
    beside = target.with_name(f".{target.name}.part")
    try:
        beside.write_text(content, encoding="utf-8", newline="\n")
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _cannot_write(target, error) from None
    return target


def _move_in(staging: Path, target: Path, names: list[str]) -> None:
    if not target.exists() or not any(target.iterdir()):
        if target.exists():
            target.rmdir()
        # mkdtemp makes folders that only their owner can read.
        staging.chmod(0o777 & ~_umask())
        staging.rename(target)
        return
    if _is_ours(target):
        # A table that this run no longer has would be read as one of its results.
        for stale in (target / "tables").glob("*.csv"):
            if f"tables/{stale.name}" not in names:
                stale.unlink()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / name, target / name)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _cannot_write(target: Path, error: OSError) -> InputError:
    return InputError(
        f"Cannot write to {str(target)!r}: {error.strerror or error}.",
        remedy="Choose another folder with -o, or check its permissions and the free space.",
    )


def check_target(folder: str | os.PathLike[str], *, force: bool = False) -> None:
    """Check that results can go into a folder, before anything is computed.

    Parameters
    ----------
    folder : str or path
        Where :func:`write_result` is to write.
    force : bool
        As there.

    Raises
    ------
    InputError
        It is a file, holds files that are not ours, or cannot be written.
    """
    target = Path(folder)
    try:
        if target.exists() and not target.is_dir():
            raise InputError(
                f"{str(target)!r} is a file, not a folder.", remedy="Choose another folder with -o."
            )
        if target.is_dir() and any(target.iterdir()) and not (force or _is_ours(target)):
            raise InputError(
                f"The folder {str(target)!r} holds files that sqvalid did not write.",
                remedy="Choose another folder with -o, or use --force to write into this one; its "
                "other files stay.",
            )
    except OSError as error:
        raise _cannot_write(target, error) from None
    existing = next(p for p in [target, *target.resolve().parents] if p.exists())
    if not existing.is_dir():
        raise InputError(
            f"{str(existing)!r} is a file, so there can be no folder in it.",
            remedy="Choose another folder with -o.",
        )
    if not os.access(existing, os.W_OK):
        raise InputError(
            f"No permission to write to {str(existing)!r}.",
            remedy="Choose another folder with -o, or change its permissions.",
        )
