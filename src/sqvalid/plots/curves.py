"""Curves over a factor: what every item of a dimension tells about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqvalid.errors import InputError, check_choice
from sqvalid.plots.drawing import INK, MUTED, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sqvalid.reliability.item_analysis import ItemAnalysis

__all__ = ["information_curves"]

_DASHES = ("-", "--", "-.", ":")


def information_curves(
    analysis: ItemAnalysis, dimension: str | None = None, *, title: str = ""
) -> Figure:
    """Draw the information curves of the items of a dimension, and of the dimension.

    Parameters
    ----------
    analysis : ItemAnalysis
    dimension : str, optional
        Which one; by default the first that has curves.
    title : str
        Above the figure; may be empty, and is then the name of the dimension.

    Returns
    -------
    matplotlib.figure.Figure
        Items in thin lines by their names, their sum in a thick one, over the factor in standard
        deviations; the standard error of the factor value on the right-hand scale.

    Raises
    ------
    InputError
        No dimension has curves.
    OptionError
        This dimension has none.
    """
    curves = analysis.information
    present = list(dict.fromkeys(curves["dimension"]))
    if not present:
        raise InputError(
            "There are no information curves to draw.",
            remedy="Analyse dimensions of three items or more with information=True.",
        )
    chosen = present[0] if dimension is None else check_choice("dimension", dimension, present)
    own = curves[curves["dimension"] == chosen]
    items = [item for item in dict.fromkeys(own["item"]) if item]
    with canvas(5.6, 3.4, [title, str(chosen), *items]) as figure:
        axes = figure.add_subplot()
        for i, item in enumerate(items):
            part = own[own["item"] == item]
            axes.plot(
                part["theta"],
                part["information"],
                linewidth=1.1,
                linestyle=_DASHES[i // 10 % len(_DASHES)],
                color=f"C{i % 10}",
                label=item,
            )
        total = own[own["item"] == ""]
        axes.plot(total["theta"], total["information"], color=INK, linewidth=2.0, label="Σ")
        axes.set_xlabel("θ")
        axes.set_ylabel("I(θ)")
        axes.set_ylim(bottom=0.0)
        axes.set_xlim(float(total["theta"].min()), float(total["theta"].max()))
        error = axes.twinx()
        error.plot(total["theta"], total["se"], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        error.set_ylabel("SE(θ)", color=MUTED)
        error.set_ylim(bottom=0.0)
        for side in (axes, error):
            side.tick_params(labelsize=8, labelcolor=INK)
            side.spines["top"].set_visible(False)
        axes.legend(
            fontsize=7,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=min(len(items) + 1, 8),
        )
        axes.set_title(title or str(chosen), fontsize=10, loc="left")
        figure.tight_layout()
        return figure
