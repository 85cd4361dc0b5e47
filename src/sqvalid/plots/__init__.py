"""Figures of a fitted model, drawn with matplotlib.

Every function returns a :class:`matplotlib.figure.Figure` and shows nothing.
"""

from __future__ import annotations

from sqvalid.plots.answers import response_distribution
from sqvalid.plots.curves import information_curves
from sqvalid.plots.diagram import path_diagram
from sqvalid.plots.drawing import figure_svg
from sqvalid.plots.factors import loading_plot
from sqvalid.plots.maps import correlation_map, loading_map, missing_map, residual_map
from sqvalid.plots.scree import SCREE_LABELS, scree_plot

__all__ = [
    "SCREE_LABELS",
    "correlation_map",
    "figure_svg",
    "information_curves",
    "loading_map",
    "loading_plot",
    "missing_map",
    "path_diagram",
    "residual_map",
    "response_distribution",
    "scree_plot",
]
