"""Heat maps: loadings, correlations, residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import format_number, text_width
from sqvalid.plots.drawing import INK, MUTED, canvas, label_ticks, plain_text, short_name, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sqvalid.screening import MissingAnswers

__all__ = ["correlation_map", "loading_map", "missing_map", "residual_map"]


def _heat_map(
    frame: pd.DataFrame,
    limit: float,
    *,
    title: str,
    lower_only: bool = False,
    digits: int = 2,
) -> Figure:
    """Draw a labelled matrix on a colour scale from -limit to limit.

    Parameters
    ----------
    frame : pandas.DataFrame (r, c)
        NaN cells stay empty.
    limit : float
        Value of the strongest colour.
    title : str
        Above the figure; may be empty.
    lower_only : bool
        Leave out the diagonal and what is above.
    digits : int
        Decimals in the cells.
    """
    values = frame.to_numpy(dtype=float)
    shown: npt.NDArray[np.float64] = values.copy()
    if lower_only:
        shown[np.triu_indices(len(shown))] = np.nan
    n_rows, n_columns = shown.shape
    dense = n_columns > 32
    cell = 0.2 if dense else 0.36 if n_columns > 8 else 0.6
    row = 0.2 if dense else 0.3
    longest = max(text_width(short_name(str(label), 28)) for label in frame.index)
    texts = [title, *map(str, frame.index), *map(str, frame.columns)]
    size = (cell * n_columns + 0.09 * longest + 1.2, row * n_rows + 1.0)
    with canvas(*size, texts) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(
            np.ma.masked_invalid(shown), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto"
        )
        label_ticks(axes, "x", [str(c) for c in frame.columns], rotation=90)
        label_ticks(axes, "y", [str(r) for r in frame.index])
        axes.tick_params(length=0, labelsize=6.5 if dense else 8)
        axes.spines[:].set_visible(False)
        for i in range(n_rows):
            for j in range(n_columns):
                # In a dense map the colours speak; the numbers would not be readable.
                if np.isfinite(shown[i, j]) and not dense:
                    strong = abs(shown[i, j]) > 0.6 * limit
                    write(
                        axes,
                        j,
                        i,
                        format_number(shown[i, j], digits, leading_zero=False),
                        ha="center",
                        va="center",
                        fontsize=6.5 if n_columns > 8 else 8.5,
                        color="white" if strong else INK,
                    )
        bar = figure.colorbar(
            image, ax=axes, fraction=0.03, pad=0.02, shrink=0.5, anchor=(0.0, 1.0), aspect=24
        )
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, color=MUTED)
        if title:
            axes.set_title(plain_text(title), fontsize=10, loc="left", parse_math=False)
        return figure


def loading_map(loadings: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw completely standardised loadings as a heat map.

    Parameters
    ----------
    loadings : pandas.DataFrame (items, factors)
        NaN where an item does not load on a factor.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _heat_map(loadings, 1.0, title=title)


def correlation_map(correlations: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the lower triangle of a correlation matrix as a heat map.

    Parameters
    ----------
    correlations : pandas.DataFrame (p, p)
        Of factors or of items.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _heat_map(correlations, 1.0, title=title, lower_only=True)


def residual_map(residuals: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the residual correlations of a fit as a heat map.

    Parameters
    ----------
    residuals : pandas.DataFrame (p, p)
        Observed minus implied correlations. The colours end at .20, twice the size that is
        usually looked at.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _heat_map(residuals, 0.2, title=title, lower_only=True)


def missing_map(missing: MissingAnswers, *, at_most: int = 25, title: str = "") -> Figure:
    """Draw the patterns of missing answers: one row each, dark where an answer is missing.

    Parameters
    ----------
    missing : MissingAnswers
    at_most : int
        Patterns shown, the commonest first.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure
        At the left the respondents of each pattern, below the share missing of each item.
    """
    shown = missing.patterns[:at_most]
    n_rows, n_columns = shown.shape
    labels = [f"{name}  {rate:.0%}" for name, rate in missing.rate.items()]
    size = (0.26 * n_columns + 1.4, 0.2 * n_rows + 1.6)
    with canvas(*size, [title, *labels]) as figure:
        axes = figure.add_subplot()
        axes.imshow(~shown, cmap="Greys", vmin=0.0, vmax=1.3, aspect="auto")
        label_ticks(axes, "x", labels, 34, rotation=90)
        axes.set_yticks(range(n_rows), [f"{n:,}" for n in missing.counts[:at_most]])
        axes.set_xticks([k - 0.5 for k in range(1, n_columns)], minor=True)
        axes.set_yticks([k - 0.5 for k in range(1, n_rows)], minor=True)
        axes.grid(which="minor", color=MUTED, linewidth=0.3, alpha=0.5)
        axes.tick_params(which="both", length=0, labelsize=8, labelcolor=INK)
        axes.spines[:].set_visible(False)
        if title:
            axes.set_title(plain_text(title), fontsize=10, loc="left", parse_math=False)
        return figure
