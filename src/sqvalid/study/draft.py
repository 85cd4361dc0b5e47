"""A first study.toml, drafted by looking at the data; every guess is marked as one."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sqvalid.errors import InputError, SurveyError
from sqvalid.instruments import Instrument, list_instruments, load_instrument
from sqvalid.screening import proposed_missing_codes
from sqvalid.survey import read_frame
from sqvalid.survey.answer_words import (
    answer_codes,
    carries_number,
    is_no_answer,
    plain_words,
    word_scales,
)

__all__ = ["draft_plan", "write_draft"]

# Share of the items of a dimension that the file must have for a guess.
_SHARE = 0.8
# Share of the answers that must lie on the scale; the rest may be codes for no answer.
_ON_SCALE = 0.7
_FEW = 12
# Groups that can be compared; numbers with more values are rather ratings.
_MOST_GROUPS, _SMALLEST_GROUP = 4, 20
# Dimensions with more items than this are rather several.
_MANY_ITEMS = 9
_SHOWN = 6
# Share of answers beyond the scale of all other items that are still slips.
_SLIPS = 0.01
_CODE_REASONS = {
    "outside_scale": "outside the scale",
    "usual_code": "far from all other answers",
    "out_of_order": "those who gave it answer the rest less extremely than its neighbours",
    "beyond_other_items": "a slip of data entry as likely as a code",
}
_USUAL_SCALES = tuple(
    (float(low), float(high))
    for low, high in (
        (0, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 9), (0, 10), (1, 10), (1, 11),
        (0, 4), (0, 6), (-2, 2), (-3, 3), (0, 100), (1, 100),
    )
)  # fmt: skip
_NUMBERED = re.compile(r"^(.*?[^\W\d_])[_.\- ]?(\d+)$")
_STEM = re.compile(r"^([^\W\d_]+\d+)(?:[_.\- ]?[^\W\d_]|[_.\-]\d+\b)")
# What a model text takes for a name.
_MODEL_NAME = re.compile(r"[^\W\d][\w.]*")
_LONGEST_NAME = 24
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
            and not _counts_rows(frame[column])
            and frame[column].min() < frame[column].max()
        ):
            groups.setdefault(match[1].strip(), []).append(column)
    return {name: items for name, items in groups.items() if len(items) >= 2}


def _counts_rows(values: pd.Series[Any]) -> bool:
    """Whether a column rather numbers the respondents than rates something."""
    whole = values.dropna()
    many = whole.nunique() > max(101, 0.5 * len(whole))
    return bool(many and (whole == whole.round()).all())


def _name(stem: str, taken: set[str]) -> str:
    name = re.sub(r"\W+", "_", stem).strip("_") or "F"
    if not name[0].isalpha():
        name = f"F{name}"
    while name in taken:
        name += "_"
    return name


def _in_words(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of text whose words are points of a known answer scale, with these words."""
    known = {word for scale in word_scales() for word in scale.rank}
    found: dict[str, list[str]] = {}
    for column in frame.columns:
        if frame[column].dtype.kind in "iufbM":
            continue
        texts = [text for text in dict.fromkeys(frame[column].dropna()) if isinstance(text, str)]
        words = [text for text in texts if text.strip() and not is_no_answer(text)]
        numbered = sum(map(carries_number, words))
        if len(words) >= 3 and (
            numbered == len(words) or all(plain_words(word) in known for word in words)
        ):
            found[str(column)] = words
    return found


def _as_numbers(frame: pd.DataFrame, words: Mapping[str, list[str]]) -> pd.DataFrame:
    """The frame with answers in words as numbers, for those that can be read without help."""
    stems: dict[str, list[str]] = {}
    for column in words:
        match = _NUMBERED.match(column)
        stems.setdefault(match[1] if match else column, []).append(column)
    changed: dict[str, pd.Series[Any]] = {}
    for columns in stems.values():
        try:
            codes = answer_codes({column: words[column] for column in columns})
        except SurveyError:
            continue
        for column in columns:
            changed[column] = frame[column].map(codes[column]).astype(float)
    return frame.assign(**changed)


def _unnumbered(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Rated columns without a number at the end: by a common stem such as Q7, or as one list."""
    rated: dict[tuple[float, float], list[str]] = {}
    stems: dict[str, list[str]] = {}
    for column in map(str, frame.columns):
        values = frame[column]
        if values.dtype.kind not in "iuf" or not 3 <= values.nunique() <= _FEW:
            continue
        match = _STEM.match(column)
        if match:
            stems.setdefault(match[1], []).append(column)
        ends = _usual_scale(values)
        if ends is not None:
            rated.setdefault(ends, []).append(column)
    stems = {stem: columns for stem, columns in stems.items() if len(columns) > 1}
    if stems:
        return stems
    alike = max(rated.values(), key=len, default=[])
    return {"ITEMS": alike} if len(alike) > 2 else {}


def _usual_scale(
    values: pd.Series[Any], codes: Collection[float] = ()
) -> tuple[float, float] | None:
    """The smallest usual scale that holds all answers but the codes; None where none does."""
    kept = values[~values.isin(list(codes))].dropna()
    if not len(kept) or (kept != kept.round()).any():
        return None
    low, high = float(kept.min()), float(kept.max())
    fitting = [ends for ends in _USUAL_SCALES if ends[0] <= low and high <= ends[1]]
    return min(fitting, key=lambda ends: (ends[1] - ends[0], -ends[0]), default=None)


def _scales(
    frame: pd.DataFrame, dimensions: Mapping[str, list[str]], codes: Collection[float]
) -> dict[str, tuple[float, float]]:
    """The scale of each dimension: the one of most of its items, so that a slip stands out."""
    found: dict[str, tuple[float, float]] = {}
    for name, items in dimensions.items():
        ends = [_usual_scale(frame[item], codes) for item in items]
        if None in ends:
            continue
        counts = Counter(end for end in ends if end is not None)
        # Of two scales that are as frequent the wider one refuses nobody.
        found[name] = max(counts, key=lambda end: (counts[end], end[1] - end[0]))
    overall = Counter(found.values())
    if len(overall) > 1:
        usual = max(overall, key=lambda end: (overall[end], end[1] - end[0]))
        for name in list(found):
            values = frame[dimensions[name]]
            beyond = (values < usual[0]) | (values > usual[1])
            cells = int((beyond & ~values.isin(list(codes))).to_numpy().sum())
            # A handful of answers beyond the scale of all other items are slips, not a scale.
            if 0 < cells < _SLIPS * values.size:
                found[name] = usual
    return found


def _toml_scale(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:g}, {ends[1]:g}]"


def draft_plan(
    path: str | os.PathLike[str],
    *,
    missing_codes: Sequence[object] = (),
    sheet: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> str:
    """Draft a study file by looking at the data.

    Parameters
    ----------
    path : str or path
        The answers; see :func:`sqvalid.read_frame`.
    missing_codes : sequence, optional
        Values that are known to mean "no answer".
    sheet, delimiter, decimal, encoding : str, optional
        See :func:`sqvalid.read_frame`; what is given goes into the plan.

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
    how = {"sheet": sheet, "delimiter": delimiter, "decimal": decimal, "encoding": encoding}
    guess = _guess(read_frame(file, missing_codes=missing_codes, **how), file)
    lines = [
        f"# Drafted from {_quoted(file.name)}: "
        f"{len(guess.frame)} rows, {len(guess.items)} items. Check every line.",
        "",
        "[study]",
        f"title = {_quoted(file.stem)}",
        'language = "en"                      # or "zh"',
        'role = "confirm"                     # or "develop": explore one part, test on the other',
        "",
        "[data]",
        f"file = {_quoted(file.name)}",
    ]
    lines += [f"{name} = {_quoted(value)}" for name, value in how.items() if value is not None]
    told = [json.dumps(code, ensure_ascii=False) for code in missing_codes]
    lines += [f"missing_codes = [{', '.join(told)}]"] if told else []
    lines += [*_data_lines(guess), "", *_what_was_asked(guess), "", *_analysis_lines(guess)]
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
        *_template(list(guess.dimensions) or _dimension_names(guess.known)),
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Guess:
    """What the columns of a file seem to be.

    Parameters
    ----------
    frame : pandas.DataFrame
        Answers in words as numbers.
    words : mapping of str to list of str
        Columns that were answered in words, with these.
    known : (Instrument, mapping) or None
        An instrument of the library, and which column is which of its items.
    dimensions : mapping of str to list of str
        Groups of columns where there is no such instrument.
    how : str
        What the groups were guessed from.
    items : list of str
        Columns of all items.
    renamed : mapping of str to str
        Columns whose item has another name: the instrument's, or one that a model can have.
    """

    frame: pd.DataFrame
    words: Mapping[str, list[str]]
    known: tuple[Instrument, dict[str, str]] | None
    dimensions: Mapping[str, list[str]]
    how: str
    items: list[str]
    renamed: Mapping[str, str]

    @property
    def rest(self) -> list[str]:
        """Columns that are no items."""
        return [str(column) for column in self.frame.columns if column not in self.items]


def _guess(given: pd.DataFrame, file: Path) -> _Guess:
    words = _in_words(given)
    frame = _as_numbers(given, words)
    known = _instrument(frame)
    numbered = _dimensions(frame)
    # A few names in common with an instrument, among many other items, are chance.
    if known is not None and 2 * len(known[1]) < sum(map(len, numbered.values())):
        known = None
    dimensions: dict[str, list[str]] = {}
    how = ""
    if known is not None:
        items = list(known[1])
    else:
        taken: set[str] = set(map(str, frame.columns))
        for stem, members in (numbered or _unnumbered(frame)).items():
            name = _name(stem, taken)
            taken.add(name)
            dimensions[name] = members
        items = [item for members in dimensions.values() for item in members]
        how = "columns whose names differ by a number"
        if not numbered:
            alone = list(dimensions) == ["ITEMS"]
            how = "columns answered on one scale" if alone else "columns with the same beginning"
    if not items:
        raise InputError(
            f"No columns of {file.name!r} look like items: none has the name of an item of the "
            "library, none are numbered like Q1, Q2, ..., and there are no three that are "
            "answered on one scale.",
            remedy="Write the study file by hand; see the section [dimensions] in the README.",
        )
    if known is not None:
        renamed = {column: item for column, item in known[1].items() if column != item}
    else:
        renamed = _model_names(items, {*map(str, frame.columns), *dimensions})
    return _Guess(frame, words, known, dimensions, how, items, renamed)


def _model_names(items: Sequence[str], taken: set[str]) -> dict[str, str]:
    """Names for items whose columns are called what no model can say: whole questions."""
    found: dict[str, str] = {}
    used = set(taken)
    for number, item in enumerate(items, start=1):
        if _MODEL_NAME.fullmatch(item):
            continue
        name = re.sub(r"\W+", "_", item).strip("_")
        if not name or len(name) > _LONGEST_NAME or not name[0].isalpha():
            name = f"item{number}"
        while name in used:
            name += "_"
        used.add(name)
        found[item] = name
    return found


def _data_lines(guess: _Guess) -> list[str]:
    """The rest of [data]: column map, codes for no answer, scales."""
    lines: list[str] = []
    if guess.renamed:
        if guess.known is None:
            lines.append("# Names that a model text can have; change them as you like.")
        inner = ", ".join(f"{_quoted(a)} = {_quoted(b)}" for a, b in guess.renamed.items())
        lines.append(f"columns = {{ {inner} }}")
    shown = list(dict.fromkeys(w for item in guess.items for w in guess.words.get(item, ())))
    if shown:
        lines.append(f"# Answers in words are read as numbers: {_listed(shown[:_SHOWN])}, ...")
    frame = guess.frame
    numeric = [
        item for item in guess.items if frame[item].dtype.kind in "iuf" and item not in guess.words
    ]
    codes: list[float] = []
    if numeric:
        proposed = proposed_missing_codes(frame[numeric]).to_dict("records")
        codes = sorted({float(row["code"]) for row in proposed})
        if codes:
            told = ", ".join(f"{code:g}" for code in codes)
            lines.append(f"# These values look like codes for no answer: {told}. If they are:")
            lines.append(f"# missing_codes = [{told}]")
        for row in proposed:
            what = _CODE_REASONS[str(row["reason"])]
            lines.append(
                f"#   {row['code']:g}: {row['n_cells']} cells in {row['n_items']} items; {what}"
            )
    scales = _scales(frame, guess.dimensions, codes)
    if scales:
        lines.append("# Guessed; answers outside it are refused with the list of their cells.")
        usual = Counter(scales.values()).most_common(1)[0][0]
        everywhere = set(scales) == set(guess.dimensions)
        if everywhere:
            lines.append(f"scale = {_toml_scale(usual)}")
        others = {k: v for k, v in scales.items() if not everywhere or v != usual}
        if others:
            inner = ", ".join(f"{_quoted(k)} = {_toml_scale(v)}" for k, v in others.items())
            lines.append(f"scales = {{ {inner} }}")
        lines.append("# reverse = []   # items worded in reverse")
    return lines


def _what_was_asked(guess: _Guess) -> list[str]:
    if guess.known is not None:
        return [
            "# Guessed from the names of the columns.",
            "[instrument]",
            f"id = {_quoted(guess.known[0].id)}",
        ]
    lines = [f"# Guessed: {guess.how}.", "[dimensions]"]
    for name, members in guess.dimensions.items():
        if len(members) >= _MANY_ITEMS:
            lines.append(
                f"# {len(members)} items: if they belong to several dimensions, say which here, "
                'or explore them with role = "develop".'
            )
        named = (guess.renamed.get(member, member) for member in members)
        lines.append(f"{_quoted(name)} = [{', '.join(map(_quoted, named))}]")
    unplaced = [c for c in guess.rest if _may_be_item(guess.frame[c])]
    if unplaced:
        lines.append(f"# Answered on a scale, and in no dimension: {_listed(unplaced)}")
    return lines


def _analysis_lines(guess: _Guess) -> list[str]:
    frame, rest = guess.frame, guess.rest
    lines = ["[analysis]", 'estimator = "MLR"', "smallest_effect = 0.10"]
    if frame[guess.items].isna().any(axis=None):
        lines.append('missing = "fiml"   # or "listwise": only complete respondents')
    groups = [c for c in rest if _may_be_groups(frame[c])]
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
    return lines


def _listed(names: Sequence[str]) -> str:
    # A line break in a column name must not end the comment.
    return ", ".join(_quoted(name) for name in names)


def _dimension_names(known: tuple[Instrument, dict[str, str]] | None) -> list[str]:
    if known is None:
        return []
    instrument, found = known
    there = {instrument.item(item).dimension for item in found.values()}
    return [dimension.id for dimension in instrument.dimensions if dimension.id in there]


def _template(names: Sequence[str]) -> list[str]:
    """Commented lines of a structural model, with names that the plan has."""
    plain = [name for name in names if name.isidentifier()]
    source, target = (plain[0], plain[-1]) if len(plain) > 1 else ("SQ", "SAT")
    return [
        "# [model]",
        '# structural = """',
        f"# {target} ~ {source}",
        '# """',
        "# [hypotheses]",
        f'# H1 = "{source} -> {target}, positive"',
        "# [families]",
        '# main = ["H1"]',
    ]


def _may_be_item(values: pd.Series[Any]) -> bool:
    return bool(values.dtype.kind in "iuf" and 4 <= values.nunique() <= _FEW)


def _may_be_groups(values: pd.Series[Any]) -> bool:
    """Few values, each of many respondents."""
    counts = values.value_counts()
    most = _MOST_GROUPS if values.dtype.kind in "iuf" else _FEW
    return 2 <= len(counts) <= most and int(counts.min()) >= _SMALLEST_GROUP


def write_draft(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Path:
    """Write the draft beside the data, never over a file that is there.

    Parameters
    ----------
    path : str or path
        The answers.
    target : str or path, optional
        The study file; ``study.toml`` in the folder of the answers by default. It must lie in
        that folder, as paths in it are relative to it.
    **options
        As for :func:`draft_plan`.

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
    text = draft_plan(file, **options)
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
