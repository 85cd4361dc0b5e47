"""A first study.toml, drafted by looking at the data; every guess is marked as one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sqvalid.errors import InputError
from sqvalid.instruments import Instrument, list_instruments, load_instrument
from sqvalid.screening import proposed_missing_codes
from sqvalid.survey import read_frame

__all__ = ["draft_plan", "write_draft"]

# Share of the items of a dimension that the file must have for a guess.
_SHARE = 0.8
# Share of the answers that must lie on the scale; the rest may be codes for no answer.
_ON_SCALE = 0.7
_FEW = 12
_NUMBERED = re.compile(r"^(.*?[^\W\d_])[_.\- ]?(\d+)$")
_DURATION = re.compile(r"duration|seconds|elapsed|response.?time|时长|用时|耗时", re.IGNORECASE)
_ATTENTION = re.compile(r"attention|check|注意", re.IGNORECASE)


def _quoted(text: object) -> str:
    # A JSON string is a TOML basic string, but for the delete character.
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def _instrument(frame: pd.DataFrame) -> tuple[Instrument, dict[str, str]] | None:
    """The library's instrument with most of its items among the columns, and the column map."""
    by_name = {str(column).casefold(): str(column) for column in frame.columns}
    best: tuple[tuple[int, int], Instrument, dict[str, str]] | None = None
    for name in list_instruments():
        instrument = load_instrument(name)
        # What was asked was asked as a whole: the items of a dimension in one battery.
        parts: dict[tuple[str, str], list[str]] = {}
        for item in instrument.items:
            parts.setdefault((item.dimension, item.battery), []).append(item.id)
        found: dict[str, str] = {}
        for members in parts.values():
            there = {by_name[i.casefold()]: i for i in members if i.casefold() in by_name}
            if len(there) >= _SHARE * len(members):
                found |= there
        if len(found) < 3 or not _on_scale(frame, instrument, found):
            continue
        # The most items; among equals the instrument with the fewest that were not asked.
        score = (len(found), -len(instrument.items))
        if best is None or score > best[0]:
            best = (score, instrument, found)
    return None if best is None else (best[1], best[2])


def _on_scale(frame: pd.DataFrame, instrument: Instrument, found: dict[str, str]) -> bool:
    """Whether nearly all numbers lie on the scales of the items they would be answers to."""
    inside = total = 0
    for column, name in found.items():
        series = frame[column]
        if series.dtype.kind in "iuf":
            item = instrument.item(name)
            inside += int(series.between(item.scale_min, item.scale_max).sum())
            total += int(series.notna().sum())
    return inside >= _ON_SCALE * total


def _dimensions(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of numbers whose names differ only by a number at the end."""
    groups: dict[str, list[str]] = {}
    for column in map(str, frame.columns):
        match = _NUMBERED.match(column)
        if (
            match
            and frame[column].dtype.kind in "iuf"
            and frame[column].min() < frame[column].max()
        ):
            groups.setdefault(match[1].strip(), []).append(column)
    return {name: items for name, items in groups.items() if len(items) >= 2}


def _name(stem: str, taken: set[str]) -> str:
    name = re.sub(r"\W+", "_", stem).strip("_") or "F"
    if not name[0].isalpha():
        name = f"F{name}"
    while name in taken:
        name += "_"
    return name


def draft_plan(path: str | os.PathLike[str], *, missing_codes: Sequence[object] = ()) -> str:
    """Draft a study file by looking at the data.

    Parameters
    ----------
    path : str or path
        The answers; see :func:`sqvalid.read_frame`.
    missing_codes : sequence, optional
        Values that are known to mean "no answer".

    Returns
    -------
    str
        TOML. What was guessed is said in comments; hypotheses cannot be guessed, and the lines
        for them are comments to be filled in before the answers are analysed.

    Raises
    ------
    SurveyError
        The file cannot be read.
    InputError
        No columns that look like items.
    """
    file = Path(path)
    frame = read_frame(file, missing_codes=missing_codes)
    known = _instrument(frame)
    numbered = _dimensions(frame)
    # A few names in common with an instrument, among many other items, are chance.
    if known is not None and 2 * len(known[1]) < sum(map(len, numbered.values())):
        known = None
    columns = {str(column): str(column) for column in frame.columns}
    dimensions: dict[str, list[str]] = {}
    if known is not None:
        renamed = {column: item for column, item in known[1].items() if column != item}
        items = list(known[1])
    else:
        renamed = {}
        taken: set[str] = set(columns)
        for stem, members in numbered.items():
            name = _name(stem, taken)
            taken.add(name)
            dimensions[name] = members
        items = [item for members in dimensions.values() for item in members]
    if not items:
        raise InputError(
            f"No columns of {file.name!r} look like items: none has the name of an item of the "
            "library, and none are numbered like Q1, Q2, ...",
            remedy="Write the study file by hand; see the section [dimensions] in the README.",
        )
    rest = [column for column in columns if column not in items]
    numeric = [item for item in items if frame[item].dtype.kind in "iuf"]
    proposed = proposed_missing_codes(frame[numeric]) if numeric else pd.DataFrame()
    codes = sorted({float(code) for code in proposed["code"]}) if len(proposed) else []
    groups = [c for c in rest if 2 <= frame[c].nunique() <= _FEW]
    lines = [
        f"# Drafted from {_quoted(file.name)}: "
        f"{len(frame)} rows, {len(items)} items. Check every line.",
        "",
        "[study]",
        f"title = {_quoted(file.stem)}",
        'language = "en"                      # or "zh"',
        'role = "confirm"',
        "",
        "[data]",
        f"file = {_quoted(file.name)}",
    ]
    if renamed:
        inner = ", ".join(f"{_quoted(a)} = {_quoted(b)}" for a, b in renamed.items())
        lines.append(f"columns = {{ {inner} }}")
    given = [json.dumps(code, ensure_ascii=False) for code in missing_codes]
    if given:
        lines.append(f"missing_codes = [{', '.join(given)}]")
    if codes:
        shown = ", ".join(f"{code:g}" for code in codes)
        lines.append(f"# These values look like codes for no answer: {shown}. If they are:")
        lines.append(f"# missing_codes = [{shown}]")
    lines.append("")
    if known is not None:
        lines += [
            "# Guessed from the names of the columns.",
            "[instrument]",
            f"id = {_quoted(known[0].id)}",
        ]
    else:
        lines += ["# Guessed: columns whose names differ by a number.", "[dimensions]"]
        lines += [
            f"{_quoted(name)} = [{', '.join(map(_quoted, members))}]"
            for name, members in dimensions.items()
        ]
    lines += ["", "[analysis]", 'estimator = "MLR"', "smallest_effect = 0.10"]
    if numeric and frame[numeric].isna().any(axis=None):
        lines.append('missing = "fiml"   # or "listwise": only complete respondents')
    if groups:
        lines.append(f"# invariance = {_quoted(groups[0])}   # groups: {_listed(groups)}")
    durations = [c for c in rest if _DURATION.search(c) and frame[c].dtype.kind in "iuf"]
    checks = [c for c in rest if _ATTENTION.search(c)]
    if durations or checks:
        lines += ["", "[screening]"]
        lines += [f"duration = {_quoted(durations[0])}"] if durations else []
        lines += [
            f"# attention = {{ {_quoted(c)} = ... }}   # its right answer" for c in checks[:1]
        ]
    lines += [
        "",
        "# Who is left out, by rules set in advance, in order.",
        "[[exclusions]]",
        'rule = "missing_share"',
        "threshold = 0.5",
        "",
        "[rivals]",
        '"one factor" = "one_factor"',
        "",
        "# Before looking at results: the paths, and what is expected of them.",
        "# [model]",
        '# structural = """',
        "# SAT ~ SQ",
        '# """',
        "# [hypotheses]",
        '# H1 = "SQ -> SAT, positive"',
    ]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    # A line break in a column name must not end the comment.
    return ", ".join(_quoted(name) for name in names)


def write_draft(path: str | os.PathLike[str], target: str | os.PathLike[str] | None = None) -> Path:
    """Write the draft beside the data, never over a file that is there.

    Parameters
    ----------
    path : str or path
        The answers.
    target : str or path, optional
        The study file; ``study.toml`` in the folder of the answers by default. It must lie in
        that folder, as paths in it are relative to it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        The file is there already, lies elsewhere, or cannot be written.
    """
    file = Path(path)
    place = file.parent / "study.toml" if target is None else Path(target)
    if place.resolve().parent != file.resolve().parent:
        raise InputError(
            f"{str(place)!r} is not in the folder of the answers.",
            remedy=f"Write it into {str(file.resolve().parent)!r}.",
        )
    text = draft_plan(file)
    try:
        with place.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(
            f"{str(place)!r} is there already and was not touched.",
            remedy="Give another name with --output.",
        ) from None
    except OSError as error:
        raise InputError(
            f"{str(place)!r} cannot be written: {error.strerror}.", remedy="Choose another folder."
        ) from None
    return place
