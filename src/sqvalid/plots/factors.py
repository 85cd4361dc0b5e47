"""Items in the plane of two factors."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqvalid.plots.drawing import INK, MUTED, PALE, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["loading_plot"]


def loading_plot(loadings: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the items in the plane of each pair of factors.

    Parameters
    ----------
    loadings : pandas.DataFrame (items, factors)
        Two factors or more; of more than five the first five are drawn.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        One factor has no plane.
    """
    names = [str(c) for c in loadings.columns][:5]
    if len(names) < 2:
        raise ValueError("One factor has no plane to draw items in.")
    pairs = list(combinations(range(len(names)), 2))
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    values = loadings.to_numpy(dtype=float)
    reach = max(1.0, float(np.abs(values).max())) * 1.08
    with canvas(
        2.9 * columns + 0.3, 2.9 * rows + 0.3, [title, *map(str, loadings.index)]
    ) as figure:
        for k, (i, j) in enumerate(pairs):
            axes = figure.add_subplot(rows, columns, k + 1)
            axes.axhline(0.0, color=PALE, lw=1.0, zorder=0)
            axes.axvline(0.0, color=PALE, lw=1.0, zorder=0)
            axes.plot(values[:, i], values[:, j], ".", color=INK, ms=4)
            for item, x, y in zip(loadings.index, values[:, i], values[:, j], strict=True):
                axes.annotate(str(item), (x, y), xytext=(2, 2), textcoords="offset points",
                              fontsize=6, color=MUTED)  # fmt: skip
            axes.set_xlim(-reach, reach)
            axes.set_ylim(-reach, reach)
            axes.set_aspect("equal")
            axes.set_xlabel(names[i])
            axes.set_ylabel(names[j])
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        if title:
            figure.suptitle(title, fontsize=10, x=0.02, ha="left")
        figure.tight_layout()
        return figure
