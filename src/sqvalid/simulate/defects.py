"""Defects are planted one after the other, each from a stream of its own, and written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import OptionError
from sqvalid.resampling import normals, shuffled, uniforms
from sqvalid.simulate.draws import Purpose, stream
from sqvalid.simulate.plans import Attention, Careless, Duration, Missing, OutOfRange

__all__ = ["Sheet", "plant"]

Array = NDArray[np.float64]

_MOST_TRIES = 200


@dataclass
class Sheet:
    """The answer sheet while defects are planted; the one thing here that changes.

    Parameters
    ----------
    answers : dict of str to ndarray, shape (n,)
        By item, in standing (not yet as ticked): a high answer is a high standing.
    categories : dict of str to int
        Items that have categories: how many.
    reverse : frozenset of str
        Items recorded as categories + 1 - answer.
    background : dict of str to ndarray
        Other columns.
    strata : ndarray of int, shape (n,)
        Which combination of groups a respondent is in.
    """

    answers: dict[str, Any]
    categories: dict[str, int]
    reverse: frozenset[str]
    background: dict[str, Any]
    strata: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of respondents."""
        return len(self.strata)

    def column(self, name: str) -> Any:
        """Return an item or another column."""
        found = self.answers.get(name, self.background.get(name))
        if found is None:
            raise OptionError(
                f"The simulated survey has no column {name!r}.",
                remedy=f"It has: {', '.join([*self.background, *self.answers])}.",
            )
        return found


def plant(
    sheet: Sheet,
    *,
    seed: int,
    replicate: int,
    careless: Careless | None,
    duration: Duration | None,
    attention: Attention | None,
    missing: Sequence[Missing],
    duplicates: int,
    out_of_range: OutOfRange | None,
) -> dict[str, Any]:
    """Plant what is asked for into a sheet of honest answers, and record the sheet as ticked.

    Parameters
    ----------
    sheet : Sheet
        Changed in place: afterwards the answers stand as ticked, with all defects.
    seed, replicate : int
        See :func:`sqvalid.resampling.uniforms`.
    careless, duration, attention, missing, duplicates, out_of_range
        See :func:`sqvalid.simulate.simulate_survey`.

    Returns
    -------
    dict
        What was planted where; respondents are numbered from 1.
    """
    n = sheet.n

    def at(purpose: Purpose) -> int:
        return stream(replicate, purpose)

    # Whether an answer is missing depends on what the respondent would have said.
    holes = _holes(sheet, missing, seed, at(Purpose.MISSING))
    kinds = _careless_kinds(careless, n, seed, at(Purpose.CARELESS))
    _tick(sheet, kinds, seed, at(Purpose.CARELESS_ANSWERS))
    failed = np.zeros(n, dtype=bool)
    if attention is not None:
        failed = _attention(sheet, attention, kinds, seed, at(Purpose.ATTENTION))
    if duration is not None:
        z = normals(seed, at(Purpose.DURATION), n)
        pace = np.where(kinds >= 0, 1.0 if careless is None else careless.pace, 1.0)
        seconds = duration.median * np.exp(duration.spread * z) * pace
        sheet.background[duration.name] = np.round(seconds).astype(np.int64)
    counts: dict[str, int] = {}
    for rule, cells in zip(missing, holes, strict=True):
        for item, hole in cells.items():
            hit = hole & ~np.isnan(sheet.answers[item])
            sheet.answers[item][hit] = np.nan if rule.code is None else float(rule.code)
            counts[rule.name] = counts.get(rule.name, 0) + int(hit.sum())
    copies = _duplicate(sheet, duplicates, kinds, seed, at(Purpose.DUPLICATES))
    for copy, original in copies.items():
        failed[copy - 1] = failed[original - 1]
    typed = _mistype(sheet, out_of_range, set(copies) | set(copies.values()), seed, at)
    names = ("straight", "random", "blind_to_reversal")
    return {
        "careless": {
            name: [int(i) + 1 for i in np.flatnonzero(kinds == k)] for k, name in enumerate(names)
        },
        "attention_failed": [int(i) + 1 for i in np.flatnonzero(failed)],
        "duplicates": copies,
        "out_of_range": typed,
        "missing": counts,
    }


def _logistic_shares(values: Array, share: float, slope: float) -> Array:
    """Return probabilities with log-odds linear in `values` whose mean is `share`."""
    spread = values.std()
    z = (values - values.mean()) / (spread if spread > 0 else 1.0)
    low, high = -60.0, 60.0
    for _ in range(_MOST_TRIES):
        middle = (low + high) / 2.0
        if (1.0 / (1.0 + np.exp(-(middle + slope * z)))).mean() < share:
            low = middle
        else:
            high = middle
    return np.asarray(1.0 / (1.0 + np.exp(-((low + high) / 2.0 + slope * z))))


def _holes(
    sheet: Sheet, rules: Sequence[Missing], seed: int, number: int
) -> list[dict[str, NDArray[np.bool_]]]:
    n = sheet.n
    out = []
    # One row of draws per respondent, so that the first rows do not hang on n.
    width = sum(len(rule.items) for rule in rules)
    draws = uniforms(seed, number, n * width).reshape(n, width)
    first = 0
    for rule in rules:
        if rule.by is None:
            chance = np.full(n, rule.share)
        else:
            names = (rule.by,) if isinstance(rule.by, str) else rule.by
            values = np.mean([np.asarray(sheet.column(x), dtype=float) for x in names], axis=0)
            chance = _logistic_shares(values, rule.share, rule.slope)
        cells = {}
        for item in rule.items:
            if item not in sheet.answers:
                raise OptionError(
                    f"Missing {rule.name!r} names item {item!r}, which was not asked.",
                    remedy=f"Items: {', '.join(sheet.answers)}.",
                )
            cells[item] = draws[:, first] < chance
            first += 1
        out.append(cells)
    return out


def _careless_kinds(careless: Careless | None, n: int, seed: int, number: int) -> NDArray[np.int64]:
    """Return -1 for those who read, 0 straight lines, 1 random, 2 blind to reversal."""
    kinds = np.full(n, -1, dtype=np.int64)
    if careless is not None:
        rows = shuffled(seed, number, n)[: round(careless.share * n)]
        straight = round(careless.straight * len(rows))
        chance = min(round(careless.random * len(rows)), len(rows) - straight)
        kinds[rows[:straight]] = 0
        kinds[rows[straight : straight + chance]] = 1
        kinds[rows[straight + chance :]] = 2
    return kinds


def _tick(sheet: Sheet, kinds: NDArray[np.int64], seed: int, number: int) -> None:
    """Turn standings into ticks; the careless tick in their own ways."""
    n = sheet.n
    width = len(sheet.answers) + 1
    draws = uniforms(seed, number, n * width).reshape(n, width)
    for k, (item, standing) in enumerate(sheet.answers.items(), start=1):
        points = sheet.categories.get(item)
        if points is None:
            continue
        ticked = standing.copy()
        if item in sheet.reverse:
            # Who is blind to reversal ticks the standing itself.
            ticked = np.where(kinds == 2, standing, points + 1.0 - standing)
        ticked = np.where(kinds == 0, 1.0 + np.floor(points * draws[:, 0]), ticked)
        sheet.answers[item] = np.where(kinds == 1, 1.0 + np.floor(points * draws[:, k]), ticked)


def _attention(
    sheet: Sheet, attention: Attention, kinds: NDArray[np.int64], seed: int, number: int
) -> NDArray[np.bool_]:
    if not sheet.categories:
        raise OptionError("An attention check needs items with categories.", remedy="Leave it out.")
    n = sheet.n
    points = max(sheet.categories.values())
    draws = uniforms(seed, number, 2 * n).reshape(n, 2)
    wrong = draws[:, 0] < np.where(kinds == 2, attention.failed_blind, attention.failed)
    other = 1.0 + np.floor((points - 1) * draws[:, 1])
    ticked = np.where(wrong, other + (other >= attention.answer), float(attention.answer))
    ticked = np.where(kinds == 1, 1.0 + np.floor(points * draws[:, 1]), ticked)
    scaled = next(item for item, size in sheet.categories.items() if size == points)
    ticked = np.where(kinds == 0, sheet.answers[scaled], ticked)
    sheet.background[attention.name] = ticked.astype(np.int64)
    return np.asarray(ticked != attention.answer)


def _duplicate(
    sheet: Sheet, count: int, kinds: NDArray[np.int64], seed: int, number: int
) -> dict[int, int]:
    """Overwrite rows by copies of rows of the same stratum; return copy -> original."""
    copies: dict[int, int] = {}
    # Straight-liners look like copies of one another anyway, so careless rows stay out of this.
    order = [int(row) for row in shuffled(seed, number, sheet.n) if kinds[row] < 0]
    while len(copies) < count:
        original = next(
            (
                row
                for row in order
                if any(o != row and sheet.strata[o] == sheet.strata[row] for o in order)
            ),
            None,
        )
        if original is None:
            raise OptionError(
                f"{count} duplicate rows do not fit into {sheet.n} rows.",
                remedy="Ask for fewer duplicates, or for more respondents.",
            )
        copy = next(
            row for row in order if row != original and sheet.strata[row] == sheet.strata[original]
        )
        for values in (*sheet.answers.values(), *sheet.background.values()):
            values[copy] = values[original]
        copies[copy + 1] = original + 1
        order = [row for row in order if row not in (original, copy)]
    return dict(sorted(copies.items()))


def _mistype(
    sheet: Sheet, rule: OutOfRange | None, spared: set[int], seed: int, at: Callable[[Purpose], int]
) -> list[dict[str, Any]]:
    if rule is None:
        return []
    for item in rule.items:
        if item not in sheet.categories:
            raise OptionError(
                f"An answer out of range is wanted in {item!r}, which has no categories.",
                remedy="Name items that have thresholds.",
            )
    found: list[dict[str, Any]] = []
    order = shuffled(seed, at(Purpose.OUT_OF_RANGE), sheet.n * len(rule.items))
    for cell in order:
        if len(found) == rule.n:
            break
        row, place = divmod(int(cell), len(rule.items))
        item = rule.items[place]
        answer = sheet.answers[item][row]
        inside = not np.isnan(answer) and 1.0 <= answer <= sheet.categories[item]
        if row + 1 in spared or not inside:
            continue
        typed = rule.typed.get(int(answer), 11 * int(answer))
        sheet.answers[item][row] = float(typed)
        found.append(
            {"respondent": row + 1, "item": item, "answer": int(answer), "recorded": typed}
        )
        spared.add(row + 1)
    return sorted(found, key=lambda cell: cell["respondent"])
