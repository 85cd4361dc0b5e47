"""Where the bundled data lie: in the wheel, or beside the source in an editable install."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from sqvalid.errors import InputError, check_choice

__all__ = ["codebook", "dataset_names", "dataset_path", "datasets_directory"]

_PACKAGE = Path(__file__).resolve().parent


def datasets_directory() -> Path:
    """Return the folder of the bundled data.

    Returns
    -------
    pathlib.Path
        ``datasets`` inside the package when it was installed from a wheel, else the folder of
        that name at the root of the checkout.

    Raises
    ------
    InputError
        Neither is there: the installation is damaged.
    """
    for folder in (_PACKAGE / "datasets", _PACKAGE.parents[1] / "datasets"):
        if folder.is_dir():
            return folder
    raise InputError(
        f"The bundled data are not there: no folder 'datasets' in {str(_PACKAGE)!r}.",
        remedy="Install sqvalid again.",
    )


def dataset_names() -> tuple[str, ...]:
    """Return the names of the bundled datasets, sorted: the folders with a codebook."""
    return tuple(sorted(book.parent.name for book in datasets_directory().glob("*/codebook.toml")))


def dataset_path(name: str, file: str | None = None) -> Path:
    """Return the folder of a bundled dataset, or one of its files.

    Parameters
    ----------
    name : str
        One of :func:`dataset_names`.
    file : str, optional
        A file of it, e.g. ``"study.toml"``.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        No such dataset, or no such file in it.
    """
    folder = datasets_directory() / check_choice("name", name, dataset_names())
    if file is None:
        return folder
    return folder / check_choice("file", file, sorted(path.name for path in folder.iterdir()))


def codebook(name: str) -> dict[str, Any]:
    """Return the codebook of a bundled dataset.

    Parameters
    ----------
    name : str
        One of :func:`dataset_names`.

    Returns
    -------
    dict
        ``title``, ``simulated``, ``file``, ``instrument``, ``n``, ``origin`` and, under
        ``columns``, what each column holds that is no item.

    Raises
    ------
    OptionError
        No such dataset.
    """
    return tomllib.loads(dataset_path(name, "codebook.toml").read_text(encoding="utf-8"))
