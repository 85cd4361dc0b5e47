"""Answers that are no answers: values outside the scale, and codes that may mean missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["CODE_COLUMNS", "out_of_range", "proposed_missing_codes"]

Array = npt.NDArray[np.float64]


class _Edge(NamedTuple):
    """How an edge of the scale stands to its neighbour; NaN where nothing could be compared."""

    effect: float
    share_of_pairs: float
    mean_of_others: float
    mean_of_others_neighbour: float


CODE_COLUMNS = (
    "code",
    "reason",
    "n_cells",
    "n_items",
    "items",
    "effect",
    "share_of_pairs",
    "mean_of_others",
    "mean_of_others_neighbour",
)

# What survey programs and data entry use for "no answer", besides a value of its own.
_USUAL = frozenset({8, 9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 9999})
# An edge is out of order when those who chose it answer the other items less extremely than
# those who chose its neighbour: by this share of a standard deviation, averaged over pairs of
# items, and in this share of the pairs. Conventions of this program.
_EFFECT, _SHARE = -0.20, 0.75
# Scales that questionnaires use; the value above one of them may be "does not apply".
_USUAL_TOPS = frozenset({5.0, 7.0, 10.0})
_FEWEST = 10


def out_of_range(data: pd.DataFrame, scale: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """List the answers outside the scale of their item.

    Parameters
    ----------
    data : pandas.DataFrame
        Answers as numbers.
    scale : mapping of str to (float, float)
        Lowest and highest answer of each item that is to be looked at.

    Returns
    -------
    pandas.DataFrame
        One row per cell, in the order of rows: ``row item value scale_min scale_max``; ``row``
        is the index label.
    """
    parts = []
    for item, (low, high) in scale.items():
        values = data[item].to_numpy(dtype=float)
        places = np.flatnonzero((values < low) | (values > high))
        parts += [(int(i), item, float(values[i]), float(low), float(high)) for i in places]
    order = {item: i for i, item in enumerate(scale)}
    parts.sort(key=lambda part: (part[0], order[part[1]]))
    frame = pd.DataFrame(parts, columns=["row", "item", "value", "scale_min", "scale_max"])
    frame["row"] = [data.index[place] for place, *_ in parts]
    return frame


def _edge_order(values: Array, code: float, beside: float, barred: frozenset[float]) -> _Edge:
    """Compare what an edge of the scale and its neighbour go with in the other items.

    For every pair of items, the mean of the second item among those who gave the edge in the
    first is set against the mean among those who gave the neighbour. The edge and the barred
    values themselves are left out of the second item on both sides: codes come in clusters,
    and would agree with each other.
    """
    upper = code > beside
    clean = np.where(np.isin(values, [*barred, code]), np.nan, values)
    given = ~np.isnan(clean)
    effects, sizes, own, neighbour = [], [], [], []
    for i in range(values.shape[1]):
        edge, next_to = values[:, i] == code, values[:, i] == beside
        for j in range(values.shape[1]):
            a, b = clean[edge & given[:, j], j], clean[next_to & given[:, j], j]
            both = given[:, i] & given[:, j]
            if i == j or a.size < _FEWEST or b.size < _FEWEST or both.sum() < 30:
                continue
            x, y = clean[both, i], clean[both, j]
            if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
                continue
            r = float(np.corrcoef(x, y)[0, 1])
            if abs(r) < 0.10:
                continue
            sign = np.sign(r) if upper else -np.sign(r)
            effects.append(float((a.mean() - b.mean()) * sign / y.std(ddof=1)))
            own.append(float(a.mean()))
            neighbour.append(float(b.mean()))
            sizes.append(a.size)
    if not effects:
        return _Edge(float("nan"), float("nan"), float("nan"), float("nan"))
    return _Edge(
        float(np.average(effects, weights=sizes)),
        float(np.mean(np.array(effects) < 0.0)),
        float(np.average(own, weights=sizes)),
        float(np.average(neighbour, weights=sizes)),
    )


def _beyond_others(columns: Sequence[Array], low: bool) -> float | None:
    """Return an edge value that a single item has, rarely, and that no other item has."""
    edges = [c.min() if low else c.max() for c in columns]
    extreme = min(edges) if low else max(edges)
    holders = [i for i, edge in enumerate(edges) if edge == extreme]
    if len(columns) < 4 or len(holders) > 1:
        return None
    other = [edge for i, edge in enumerate(edges) if i != holders[0]]
    column = columns[holders[0]]
    common = len(set(other)) == 1
    rare = (column == extreme).sum() < 0.02 * column.size
    return float(extreme) if common and rare else None


def proposed_missing_codes(
    data: pd.DataFrame,
    items: Sequence[str] | None = None,
    scale: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Propose values that may be codes for a missing answer, with the evidence.

    Nothing is changed: a proposal is a question to whoever knows the questionnaire. Four
    reasons are looked for. ``outside_scale``: a value outside the declared scale in more than
    one item, or a usual code (99, -9, ...). ``usual_code``: a usual code two or more above
    all other answers, or a negative value. ``out_of_order``: a zero
    below 1, or a 6, 8 or 11 above a scale that would end at 5, 7 or 10 without it, goes with
    less extreme answers to the other items than its neighbour does, as happens when 0 means
    blank or 6 "does not apply". (A 5 above four usual answers is not looked at: from answers
    alone it cannot be told from an end of the scale; declare the scale.)
    ``beyond_other_items``: a rare value at the edge of one item that no other item has (a slip
    in data entry as likely as a code).

    Parameters
    ----------
    data : pandas.DataFrame
        Answers as numbers, items of one questionnaire with one kind of scale.
    items : sequence of str, optional
        Columns to look at; all by default.
    scale : mapping of str to (float, float), optional
        Declared scale of the items; items without one are judged by their answers.

    Returns
    -------
    pandas.DataFrame
        One row per value: ``code reason n_cells n_items items effect share_of_pairs
        mean_of_others mean_of_others_neighbour``. `effect` is the difference between the
        answers that go with the value and with its neighbour, in standard deviations, negative
        when out of order, averaged over pairs of items. The last four are NaN where the
        reason does not rest on them.
    """
    names = list(data.columns) if items is None else list(items)
    values = data[names].to_numpy(dtype=float)
    found: dict[float, dict[str, object]] = {}

    def propose(code: float, reason: str, *evidence: float) -> None:
        held = (values == code).any(axis=0)
        shown = evidence or (float("nan"),) * 4
        found[code] = dict(
            zip(
                CODE_COLUMNS,
                (
                    code,
                    reason,
                    int((values == code).sum()),
                    int(held.sum()),
                    tuple(name for name, has in zip(names, held, strict=True) if has),
                    *shown,
                ),
                strict=True,
            )
        )

    declared = {name: scale[name] for name in names if scale and name in scale}
    if declared:
        cells = out_of_range(data, declared)
        for code, part in cells.groupby("value"):
            number = float(str(code))
            if len(set(part["item"])) > 1 or number in _USUAL or number < 0.0:
                propose(number, "outside_scale")
    free = [name for name in names if name not in declared]
    columns = [data[name].dropna().to_numpy(dtype=float) for name in free]
    columns = [column for column in columns if column.size and np.ptp(column) > 0.0]
    if columns:
        _judge_by_answers(data, free, columns, propose, frozenset(found))
    rows = [found[code] for code in sorted(found)]
    return pd.DataFrame(rows, columns=list(CODE_COLUMNS))


def _on_two_sides(code: float, pooled: Array) -> bool:
    """Whether a negative answer belongs to a scale from minus to plus, such as -3 to 3."""
    given = set(pooled.tolist())
    low = high = 0.0
    while low - 1.0 in given:
        low -= 1.0
    while high + 1.0 in given:
        high += 1.0
    return bool(0.0 in given and low <= code and -5.0 <= low <= -2.0 and abs(low + high) <= 1.0)


def _judge_by_answers(
    data: pd.DataFrame,
    free: Sequence[str],
    columns: Sequence[Array],
    propose: Callable[..., None],
    known: frozenset[float],
) -> None:
    barred = set(known)
    pooled = np.unique(np.concatenate(columns))
    if pooled.size > 30 or (pooled != np.round(pooled)).any():
        return
    for code in pooled[::-1]:
        rest = pooled[(pooled != code) & ~np.isin(pooled, list(barred))]
        if not rest.size:
            break
        far_above = code in _USUAL and code - rest.max() >= 2.0
        if far_above or (code < 0.0 <= rest.max() and not _on_two_sides(float(code), pooled)):
            propose(float(code), "usual_code")
            barred.add(float(code))
    values = data[list(free)].to_numpy(dtype=float)
    for _ in range(2):
        left = pooled[~np.isin(pooled, list(barred))]
        if left.size < 4:
            break
        edges = []
        if left[0] == 0.0 and left[1] == 1.0:
            edges.append((0.0, 1.0))
        if left[-2] in _USUAL_TOPS and left[-1] == left[-2] + 1.0:
            edges.append((float(left[-1]), float(left[-2])))
        for code, beside in edges:
            edge = _edge_order(values, code, beside, frozenset(barred))
            if edge.effect < _EFFECT and edge.share_of_pairs >= _SHARE:
                propose(code, "out_of_order", *edge)
                barred.add(code)
    inner = [column[~np.isin(column, list(barred))] for column in columns]
    inner = [column for column in inner if column.size >= 100]
    for low in (True, False):
        if inner and (lonely := _beyond_others(inner, low)) is not None:
            propose(lonely, "beyond_other_items")
