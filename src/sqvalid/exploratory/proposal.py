"""From an exploratory solution to a measurement model, by rules that were set in advance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, OptionError
from sqvalid.exploratory.result import EfaResult

__all__ = ["SMALLEST_GAP", "SMALLEST_LOADING", "Proposal", "propose_measurement"]

SMALLEST_LOADING = 0.40
"""Loading from which an item counts for a factor (Stevens 2009; Howard 2016)."""
SMALLEST_GAP = 0.20
"""How far the largest loading of an item must lie above the second (Howard 2016)."""


@dataclass(frozen=True, repr=False, eq=False)
class Proposal(Result):
    """A measurement model found by exploration.

    Made by :func:`propose_measurement`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per item: ``item factor loading second_factor second_loading kept reason``.
        ``factor`` is the one of the largest absolute loading; ``reason`` says why an item was left
        out: ``"low_loading"``, ``"cross_loading"`` or ``"few_items"``.
    factors : mapping of str to tuple of str
        Name of a factor to the items that measure it.
    labels : mapping of str to str
        Factor of the solution (``F1``, ...) to its name in `factors`; one that kept too few items
        is not there.
    model : str
        Model text, one factor per line.
    smallest_loading, smallest_gap : float
        The rules.
    diagnostics : tuple of Diagnostic
    """

    frame: pd.DataFrame
    factors: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]
    model: str
    smallest_loading: float
    smallest_gap: float
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        kept = int(self.frame["kept"].sum())
        return f"{len(self.factors)} factors of {kept} items; {len(self.frame) - kept} left out"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per item; see `frame`."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """Where each item went."""
        formats = {"loading": "unit", "second_loading": "unit"}
        return (Table(self.frame, formats=formats),)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.frame,
            "factors": {name: list(items) for name, items in self.factors.items()},
            "labels": dict(self.labels),
            "model": self.model,
            "smallest_loading": self.smallest_loading,
            "smallest_gap": self.smallest_gap,
        }


def propose_measurement(
    solution: EfaResult,
    *,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    smallest_loading: float = SMALLEST_LOADING,
    smallest_gap: float = SMALLEST_GAP,
) -> Proposal:
    """Turn an exploratory solution into a measurement model.

    An item goes to the factor of its largest absolute loading. It is left out when that loading
    is below `smallest_loading`, or less than `smallest_gap` above its second largest. A factor
    needs two items; with a single one it is left out.

    Parameters
    ----------
    solution : EfaResult
        From :func:`sqvalid.efa`.
    dimensions : mapping of str to sequence of str, optional
        Dimensions that were expected: a factor takes the name of the one to which most of its
        items belong, when that dimension has most of its items on no other factor.
    smallest_loading, smallest_gap : float
        The rules; to be set before the answers are looked at.

    Returns
    -------
    Proposal

    Raises
    ------
    OptionError
        A rule out of range.
    InputError
        No factor keeps two items.

    References
    ----------
    Howard (2016), International Journal of Human-Computer Interaction 32(1): loadings of .40 and
    the .40-.30-.20 rule; Worthington & Whittaker (2006).
    """
    for name, value in (("smallest_loading", smallest_loading), ("smallest_gap", smallest_gap)):
        if not 0.0 <= value < 1.0:
            raise OptionError(
                f"{name}={value!r} is not between 0 and 1.",
                remedy=f"Try {SMALLEST_LOADING} for the loading and {SMALLEST_GAP} for the gap.",
            )
    pattern = solution.loadings.to_numpy(dtype=float)
    names = [str(name) for name in solution.loadings.columns]
    rows: list[dict[str, Any]] = []
    members: dict[str, list[str]] = {name: [] for name in names}
    for item, loadings in zip(solution.loadings.index, pattern, strict=True):
        order = np.argsort(-np.abs(loadings), kind="stable")
        first = int(order[0])
        second = int(order[1]) if len(order) > 1 else None
        size = abs(float(loadings[first]))
        rest = 0.0 if second is None else abs(float(loadings[second]))
        reason = ""
        if size < smallest_loading:
            reason = "low_loading"
        elif size - rest < smallest_gap:
            reason = "cross_loading"
        else:
            members[names[first]].append(str(item))
        rows.append(
            {
                "item": str(item),
                "factor": names[first],
                "loading": float(loadings[first]),
                "second_factor": "" if second is None else names[second],
                "second_loading": np.nan if second is None else float(loadings[second]),
                "reason": reason,
            }
        )
    for row in rows:
        if not row["reason"] and len(members[row["factor"]]) < 2:
            row["reason"] = "few_items"
    left = {name: items for name, items in members.items() if len(items) > 1}
    if not left:
        raise InputError(
            f"No factor keeps two items with a loading of {smallest_loading:g} or more that lies "
            f"{smallest_gap:g} above the next.",
            remedy="Explore another number of factors, or state the measurement model.",
        )
    items = [row["item"] for row in rows]
    labels = _labels(left, dimensions or {}, {*items})
    for row in rows:
        row["factor"] = labels.get(row["factor"], row["factor"])
        row["second_factor"] = labels.get(row["second_factor"], row["second_factor"])
    frame = pd.DataFrame(rows).assign(kept=[not row["reason"] for row in rows])
    columns = ["item", "factor", "loading", "second_factor", "second_loading", "kept", "reason"]
    factors = {labels[name]: tuple(found) for name, found in left.items()}
    dropped = tuple(row["item"] for row in rows if row["reason"])
    notes = [Diagnostic("explored_items_left_out", "info", dropped)] if dropped else []
    return Proposal(
        frame=frame[columns],
        factors=factors,
        labels=labels,
        model="".join(f"{name} =~ {' + '.join(found)}\n" for name, found in factors.items()),
        smallest_loading=smallest_loading,
        smallest_gap=smallest_gap,
        diagnostics=tuple(notes),
    )


def _labels(
    members: Mapping[str, Sequence[str]],
    dimensions: Mapping[str, Sequence[str]],
    taken: set[str],
) -> dict[str, str]:
    """Name factors after expected dimensions, one to one; the others keep a number."""
    home = {item: name for name, items in dimensions.items() for item in items}
    shares: dict[tuple[str, str], int] = {}
    for factor, items in members.items():
        for item in items:
            if item in home:
                shares[(factor, home[item])] = shares.get((factor, home[item]), 0) + 1
    found: dict[str, str] = {}
    for factor, items in members.items():
        for name in dimensions:
            count = shares.get((factor, name), 0)
            elsewhere = [shares.get((other, name), 0) for other in members if other != factor]
            if 2 * count > len(items) and count > max(elsewhere, default=0):
                found[factor] = name
    used = {*taken, *found.values()}
    for factor in members:
        if factor not in found:
            name = factor
            while name in used or (name in dimensions):
                match = re.fullmatch(r"(.*?)(\d+)", name)
                name = f"{match[1]}_{match[2]}" if match else f"{name}_"
            found[factor] = name
            used.add(name)
    return {factor: found[factor] for factor in members}
