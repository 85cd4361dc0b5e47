"""Every sentence a user reads in a result, by key, one file per language.

A language is one TOML file in this directory. Sections nest, a key is the path to a
sentence joined by dots (``"diagnostic.not_converged.sentence"``), and placeholders follow
:meth:`str.format`. Exception messages are English and stand where they are raised.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from sqvalid.errors import Diagnostic, check_choice

__all__ = ["describe", "keys", "languages", "text"]


@cache
def languages() -> tuple[str, ...]:
    """Return the codes of the languages there are, sorted; one TOML file each.

    Returns
    -------
    tuple of str
        E.g. ``("en", "zh")``; ``zh`` is Simplified Chinese.
    """
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def _flatten(tree: Mapping[str, Any], prefix: str, into: dict[str, str]) -> None:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            _flatten(value, f"{key}.", into)
        else:
            into[key] = str(value)


@cache
def _sentences(lang: str) -> Mapping[str, str]:
    check_choice("lang", lang, languages())
    source = resources.files(__name__).joinpath(f"{lang}.toml").read_text(encoding="utf-8")
    flat: dict[str, str] = {}
    _flatten(tomllib.loads(source), "", flat)
    return MappingProxyType(flat)


def keys(lang: str = "en") -> frozenset[str]:
    """Return every key of a language.

    Parameters
    ----------
    lang : str
        One of :func:`languages`.

    Returns
    -------
    frozenset of str

    Raises
    ------
    OptionError
        The language does not exist.
    """
    return frozenset(_sentences(lang))


def text(key: str, lang: str = "en", **values: object) -> str:
    """Return one sentence with its placeholders filled.

    Parameters
    ----------
    key : str
        Path to the sentence, joined by dots.
    lang : str
        One of :func:`languages`.
    **values
        What the placeholders stand for. A sentence without placeholders takes none.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        The language does not exist.
    KeyError
        No such sentence, or a placeholder without a value: a mistake in the caller.

    Examples
    --------
    >>> text("format.yes"), text("format.yes", lang="zh")
    ('yes', '是')
    """
    table = _sentences(lang)
    if key not in table:
        raise KeyError(f"wording has no sentence {key!r} in language {lang!r}")
    try:
        return table[key].format(**values)
    except KeyError as missing:
        raise KeyError(f"sentence {key!r} needs a value for {missing}") from missing


def describe(diagnostic: Diagnostic, lang: str = "en") -> tuple[str, str]:
    """Return what a diagnostic says and what to do about it.

    Parameters
    ----------
    diagnostic : Diagnostic
        Its `values` fill the placeholders; ``{where}`` stands for its `where`, joined by
        the list separator of the language.
    lang : str
        One of :func:`languages`.

    Returns
    -------
    tuple of str
        ``(sentence, remedy)``.

    Raises
    ------
    OptionError
        The language does not exist.
    KeyError
        The code has no wording, or a placeholder has no value.
    """
    where = text("format.list_separator", lang).join(diagnostic.where)
    values = {"where": where, **diagnostic.values}
    stem = f"diagnostic.{diagnostic.code}"
    return (
        text(f"{stem}.sentence", lang, **values),
        text(f"{stem}.remedy", lang, **values),
    )
