"""Figures of a fitted model, drawn with matplotlib.

Every function returns a :class:`matplotlib.figure.Figure` and shows nothing.
"""

from __future__ import annotations

from sqvalid.plots.diagram import path_diagram
from sqvalid.plots.drawing import figure_svg
from sqvalid.plots.factors import loading_plot, scree_plot
from sqvalid.plots.maps import correlation_map, loading_map, missing_map, residual_map

__all__ = [
    "correlation_map",
    "figure_svg",
    "loading_map",
    "loading_plot",
    "missing_map",
    "path_diagram",
    "residual_map",
    "scree_plot",
]
