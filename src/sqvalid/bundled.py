"""Where the bundled data lie: in the wheel, or beside the source in an editable install.

Data that a dependency already ships are read from where it is installed; the folder of such a
dataset has only a codebook, which names the package and the file.
"""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqvalid.errors import InputError, check_choice

__all__ = ["codebook", "data_file", "dataset_names", "dataset_path", "datasets_directory"]

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
        ``title``, ``simulated``, ``origin``, ``file``, ``n``; ``instrument`` or
        ``dimensions``; ``package`` where the file is one of another package, whose ``license``
        is told; ``missing_codes``; and, under ``columns``, what the columns hold.

    Raises
    ------
    OptionError
        No such dataset.
    """
    return tomllib.loads(dataset_path(name, "codebook.toml").read_text(encoding="utf-8"))


def data_file(name: str) -> Path:
    """Return the file with the answers of a bundled dataset.

    Parameters
    ----------
    name : str
        One of :func:`dataset_names`.

    Returns
    -------
    pathlib.Path
        In the folder of the dataset, or in the installed package that its codebook names.

    Raises
    ------
    OptionError
        No such dataset.
    InputError
        The package is not installed, or does not have the file.
    """
    book = codebook(name)
    if "package" not in book:
        return dataset_path(name, book["file"])
    # The package is looked up, not imported: only its file is wanted.
    spec = find_spec(book["package"])
    place = Path("" if spec is None or spec.origin is None else spec.origin).parent / book["file"]
    if not place.is_file():
        raise InputError(
            f"The data of {name!r} come with the package {book['package']!r}, and its file "
            f"{book['file']!r} is not there.",
            remedy=f"Install {book['package']} again.",
        )
    return Path(place)
