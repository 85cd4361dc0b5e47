"""Eigenvalues beside those of items that have nothing in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.plots.drawing import INK, MUTED, canvas, plain_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SCREE_LABELS", "scree_plot"]

SCREE_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "component": "components, observed",
        "component_reference": "components, parallel analysis",
        "factor": "factors, observed",
        "factor_reference": "factors, parallel analysis",
        "ekc": "empirical Kaiser criterion",
        "position": "position",
        "eigenvalue": "eigenvalue",
    }
)
"""What the figure writes."""

_LINES = (
    ("component", "o", "-", INK),
    ("component_reference", "", "--", INK),
    ("factor", "s", "-", "#2b6cb0"),
    ("factor_reference", "", "--", "#2b6cb0"),
    ("ekc", "", ":", MUTED),
)


def scree_plot(
    eigenvalues: pd.DataFrame | npt.NDArray[np.float64],
    *,
    labels: Mapping[str, str] = SCREE_LABELS,
    title: str = "",
) -> Figure:
    """Draw the eigenvalues of a correlation matrix against their references.

    Parameters
    ----------
    eigenvalues : pandas.DataFrame or ndarray, shape (p,)
        Eigenvalues alone, the largest first; or :attr:`sqvalid.Retention.eigenvalues`, or any
        frame with ``position`` and ``component`` and some of ``component_reference factor
        factor_reference ekc``.
    labels : mapping of str to str
        What is written, by column, and for ``position`` and ``eigenvalue``.
    title : str
        Above the figure; may be empty.

    Returns
    -------
    matplotlib.figure.Figure
        Observed values have markers; references are dashed or dotted, so that the lines can be
        told apart without colour.
    """
    from matplotlib.ticker import MaxNLocator

    if not isinstance(eigenvalues, pd.DataFrame):
        values = np.asarray(eigenvalues, dtype=float)
        eigenvalues = pd.DataFrame({"position": np.arange(1, len(values) + 1), "component": values})
    with canvas(6.6, 3.6, [title, *labels.values()]) as figure:
        axes = figure.add_subplot()
        position = eigenvalues["position"].to_numpy()
        for column, marker, style, colour in _LINES:
            if column in eigenvalues:
                axes.plot(
                    position,
                    eigenvalues[column].to_numpy(dtype=float),
                    linestyle=style,
                    marker=marker or None,
                    markersize=4,
                    linewidth=1.2,
                    color=colour,
                    label=labels[column],
                )
        axes.set_xlabel(labels["position"])
        axes.set_ylabel(labels["eigenvalue"])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
        if title:
            axes.set_title(plain_text(title), fontsize=10, loc="left", parse_math=False)
        return figure
