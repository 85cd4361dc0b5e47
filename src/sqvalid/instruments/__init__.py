"""Instruments: the questionnaires sqvalid knows, and those that users define.

An instrument is one TOML file. The library lies in ``library/``; a file of one's own has the
same form and is loaded by its path.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from sqvalid.errors import InstrumentError
from sqvalid.instruments.definition import Instrument
from sqvalid.instruments.implied_models import GAPS, GapKind, ModelKind
from sqvalid.instruments.parts import Battery, Dimension, Item, Measurement, Role, Structure

__all__ = [
    "GAPS",
    "Battery",
    "Dimension",
    "GapKind",
    "Instrument",
    "Item",
    "Measurement",
    "ModelKind",
    "Role",
    "Structure",
    "list_instruments",
    "load_instrument",
]

_LIBRARY = Path(__file__).parent / "library"


def list_instruments() -> tuple[str, ...]:
    """Return the names of the instruments of the library, sorted.

    Returns
    -------
    tuple of str
        Each can be given to :func:`load_instrument`.
    """
    return tuple(sorted(path.stem for path in _LIBRARY.glob("*.toml")))


def _locate(name: str, folder: Path) -> Path:
    """Return the file of an instrument: a library name, or a path relative to `folder`."""
    if name in list_instruments():
        return _LIBRARY / f"{name}.toml"
    path = folder / name
    if path.is_file():
        return path.resolve()
    if path.is_dir():
        raise InstrumentError(
            f"{str(path)!r} is a directory, not an instrument file.",
            remedy="Give the path of the .toml file in it.",
        )
    if name.endswith(".toml") or len(Path(name).parts) > 1:
        raise InstrumentError(
            f"There is no instrument file {str(path)!r}.", remedy="Check the path."
        )
    near = difflib.get_close_matches(name, list_instruments(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InstrumentError(
        f"There is no instrument {name!r}.{hint}",
        remedy=f"The library has: {', '.join(list_instruments())}. A file of your own is given "
        "by its path, ending in .toml.",
    )


def load_instrument(name_or_path: str | os.PathLike[str]) -> Instrument:
    """Load an instrument from the library or from a file.

    Parameters
    ----------
    name_or_path : str or path
        A name from :func:`list_instruments`, or the path of a TOML file.

    Returns
    -------
    Instrument

    Raises
    ------
    InstrumentError
        There is no such instrument, or its file is wrong; the message names the file, the
        item and the field.

    Examples
    --------
    >>> load_instrument("servqual")
    <Instrument servqual: 44 items, 5 dimensions>
    """
    from sqvalid.instruments.schema import instrument_from_toml

    return instrument_from_toml(_locate(os.fspath(name_or_path), Path()), _locate)
