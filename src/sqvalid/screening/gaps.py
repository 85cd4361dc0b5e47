"""Which answers are missing together: patterns, coverage of pairs, who leaves off where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError
from sqvalid.moments.patterns import missing_patterns
from sqvalid.survey import Survey

__all__ = ["MissingAnswers", "describe_missing"]


@dataclass(frozen=True, repr=False, eq=False)
class MissingAnswers(Result):
    """Which answers are missing; made by :func:`describe_missing`.

    Parameters
    ----------
    items : tuple of str
    patterns : ndarray of bool, shape (k, p)
        True where answered, the commonest pattern first.
    counts : ndarray of int, shape (k,)
        Respondents of each pattern.
    coverage : pandas.DataFrame, shape (p, p)
        Share of respondents who answered both items of a pair.
    drop_out : pandas.Series
        By item: respondents for whom it is the last one they answered, everything after it being
        missing. The last item of all does not count.
    diagnostics : tuple of Diagnostic
    """

    items: tuple[str, ...]
    patterns: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.intp]
    coverage: pd.DataFrame
    drop_out: pd.Series
    diagnostics: tuple[Diagnostic, ...]

    @property
    def n_obs(self) -> int:
        """Respondents."""
        return int(self.counts.sum())

    @property
    def n_complete(self) -> int:
        """Respondents who answered everything."""
        return int(self.counts[self.patterns.all(axis=1)].sum())

    @property
    def rate(self) -> pd.Series:
        """Share of respondents who did not answer each item."""
        gone = self.counts @ (~self.patterns)
        return pd.Series(gone / self.n_obs, index=list(self.items), name="rate")

    def to_frame(self) -> pd.DataFrame:
        """One row per pattern: n, share, number of missing items, and a column per item."""
        head = pd.DataFrame(
            {
                "n": self.counts,
                "share": self.counts / self.n_obs,
                "n_missing": (~self.patterns).sum(axis=1),
            }
        )
        return pd.concat([head, pd.DataFrame(self.patterns, columns=list(self.items))], axis=1)

    def tables(self) -> tuple[Table, ...]:
        """The commonest patterns, by the items they lack, and the items' rates."""
        rows = [
            {
                "n": int(n),
                "share": float(n / self.n_obs),
                "missing": ", ".join(
                    name for name, there in zip(self.items, own, strict=True) if not there
                ),
            }
            for own, n in list(zip(self.patterns, self.counts, strict=True))[:20]
        ]
        rates = pd.DataFrame({"item": list(self.items), "share": self.rate.to_numpy()})
        shown = {"share": "percent"}
        return (Table(pd.DataFrame(rows), "", shown), Table(rates, "", shown))

    def _headline(self) -> str:
        return (
            f"{len(self.counts)} patterns of missing answers, {self.n_complete} of {self.n_obs} "
            f"respondents complete, {self.rate.mean():.1%} of the answers missing"
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "n_obs": self.n_obs,
            "n_complete": self.n_complete,
            "rate": self.rate.to_dict(),
            "drop_out": self.drop_out.to_dict(),
            "patterns": self.to_frame(),
        }

    def plot(self, **options: Any) -> Any:
        """Patterns as a picture, the commonest on top; returns a matplotlib Figure."""
        import importlib

        # The one door that opens upward: the picture of a result.
        return importlib.import_module("sqvalid.plots").missing_map(self, **options)


def describe_missing(
    data: Survey | pd.DataFrame, items: Sequence[str] | None = None
) -> MissingAnswers:
    """Find out which answers are missing together.

    Parameters
    ----------
    data : Survey or DataFrame
    items : sequence of str, optional
        In the order in which they were asked, which drop-out needs; by default the items of the
        survey, or all columns.

    Returns
    -------
    MissingAnswers

    Raises
    ------
    InputError
        Items that the data do not have, or no rows.
    """
    frame = data.frame if isinstance(data, Survey) else data
    if items is None:
        items = (
            [item for ids in data.dimensions.values() for item in ids]
            if isinstance(data, Survey) and data.dimensions
            else [str(name) for name in frame.columns]
        )
    absent = [name for name in items if name not in frame.columns]
    if absent:
        raise InputError(f"The data have no columns {', '.join(map(repr, absent))}.")
    if frame.empty or not len(items):
        raise InputError("There are no answers to look at.")
    there = frame[list(items)].notna().to_numpy()
    patterns, member = missing_patterns(np.where(there, 0.0, np.nan))
    counts = np.bincount(member, minlength=len(patterns))
    # Ties: fewer gaps first, then earlier items.
    order = np.lexsort((*(~patterns).T[::-1], (~patterns).sum(axis=1), -counts))
    share = there.T.astype(float) @ there / len(frame)
    after = np.flip(np.logical_or.accumulate(np.flip(there, axis=1), axis=1), axis=1)
    last = after.sum(axis=1) - 1
    left = np.bincount(last[(last >= 0) & (last < len(items) - 1)], minlength=len(items))
    pairs = np.argwhere(np.tril(share == 0.0, k=-1))
    diagnostics = []
    if len(pairs):
        shown = ", ".join(f"{items[j]}-{items[i]}" for i, j in pairs[:3])
        diagnostics.append(
            Diagnostic(
                "pairs_never_answered_together",
                "warning",
                values={"n": len(pairs), "pairs": shown, "group": ""},
            )
        )
    names = list(items)
    return MissingAnswers(
        items=tuple(names),
        patterns=patterns[order],
        counts=counts[order],
        coverage=pd.DataFrame(share, index=names, columns=names),
        drop_out=pd.Series(left, index=names, name="drop_out"),
        diagnostics=tuple(diagnostics),
    )
