"""How the answers to every item are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqvalid.plots.drawing import INK, canvas, label_ticks, plain_text, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MOST_CATEGORIES", "answer_shares", "response_distribution"]

MOST_CATEGORIES = 11
"""Answers that can be told apart by their shade: scales up to 0, 1, ..., 10."""

_SMALLEST_LABEL = 0.055
# From light to dark, one hue: the order survives in grey and for every kind of colour vision.
_LIGHT, _DARK = (0.93, 0.95, 0.98), (0.07, 0.20, 0.40)


def answer_shares(frame: pd.DataFrame, items: Sequence[str]) -> pd.DataFrame | None:
    """Share of the respondents of each item who gave each answer.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per respondent.
    items : sequence of str
        Columns with numbers.

    Returns
    -------
    pandas.DataFrame (items, answers) or None
        Shares of those who answered; a row of NaN where nobody did. None where there are more
        than :data:`MOST_CATEGORIES` different answers: these are no scales of a questionnaire.
    """
    values = np.unique(frame[list(items)].to_numpy(dtype=float))
    values = values[np.isfinite(values)]
    if not 0 < len(values) <= MOST_CATEGORIES:
        return None
    if np.array_equal(values, np.round(values)):
        # Answers that nobody gave have a place on the scale, too.
        whole = np.arange(values[0], values[-1] + 1)
        values = whole if len(whole) <= MOST_CATEGORIES else values
    counts = np.array([[(frame[item] == value).sum() for value in values] for item in items], float)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.full_like(counts, np.nan)
    np.divide(counts, total, out=shares, where=total > 0)
    return pd.DataFrame(shares, index=list(items), columns=[f"{value:g}" for value in values])


def response_distribution(
    frame: pd.DataFrame,
    dimensions: Mapping[str, Sequence[str]],
    *,
    title: str = "",
) -> Figure | None:
    """Draw the answers to every item as one bar of shares.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per respondent.
    dimensions : mapping of str to sequence of str
        Dimension to its items; a gap stands between dimensions.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure or None
        None where the answers are no categories; see :func:`answer_shares`. Beside each bar
        stands how many answered.
    """
    items = list(dict.fromkeys(item for own in dimensions.values() for item in own))
    shares = answer_shares(frame, items)
    if shares is None:
        return None
    first = {own[0] for own in dimensions.values() if len(own)}
    places, place = [], 0.0
    for k, item in enumerate(items):
        place += 1.0 if k == 0 or item not in first else 1.45
        places.append(place)
    n_categories = shares.shape[1]
    shades = np.linspace(0.0, 1.0, n_categories)[:, None]
    colours = (1 - shades) * np.array(_LIGHT) + shades * np.array(_DARK)
    with canvas(8.6, 0.26 * place + 1.1, [title, *items]) as figure:
        axes = figure.add_subplot()
        left = np.zeros(len(items))
        for k, category in enumerate(shares.columns):
            width = np.nan_to_num(shares[category].to_numpy())
            axes.barh(
                places, width, 0.82, left, color=tuple(colours[k]), ec="white", lw=0.5,
                label=category,
            )  # fmt: skip
            for y, start, share in zip(places, left, width, strict=True):
                if share >= _SMALLEST_LABEL:
                    dark = shades[k, 0] > 0.45
                    write(
                        axes, start + share / 2, y, f"{100 * share:.0f}", ha="center",
                        va="center", fontsize=7, color="white" if dark else INK,
                    )  # fmt: skip
            left = left + width
        for y, item in zip(places, items, strict=True):
            write(
                axes, 1.01, y, f"n = {int(frame[item].notna().sum()):,}", va="center", fontsize=7,
            )  # fmt: skip
        label_ticks(axes, "y", items, places=places)
        axes.set_ylim(place + 0.7, 0.3)
        axes.set_xlim(0.0, 1.0)
        axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=n_categories, frameon=False,
            fontsize=8, handlelength=1.0, handleheight=1.0, columnspacing=0.9, borderaxespad=0.2,
        )  # fmt: skip
        if title:
            axes.set_title(
                plain_text(title), fontsize=10, loc="left", pad=24, parse_math=False
            )  # fmt: skip
        return figure
