"""The path diagram: ellipses for factors, boxes for observed variables, arrows for paths.

The layout is layered. Variables of the structural model stand in columns from cause to
outcome; the items of the first column hang to its left, those of the last to its right,
those between below. Where more than a few factors correlate, their correlations stand in a
triangle beside or below them instead of a web of arcs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import format_number, text_width
from sqvalid.plots.drawing import INK, MUTED, PALE, canvas, plain_text, short_name, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from sqvalid.latent.result import FitResult

__all__ = ["Layout", "arrange", "path_diagram"]

Array = npt.NDArray[np.float64]

# Inches of the drawing. A page shows about ten of them side by side at full size.
ITEM_WIDTH, ITEM_HEIGHT, ITEM_STEP = 0.86, 0.26, 0.33
FACTOR_WIDTH, FACTOR_HEIGHT, FACTOR_STEP = 1.25, 0.62, 0.95
REACH = 1.7  # from a factor to its items
FACTOR_REACH = 1.75  # from a higher-order factor to those below it
COLUMN_GAP = 1.05  # between columns of the structure
DROP = 0.78  # from a factor to the first of the items that stand below it
INDENT = 0.82  # by which these stand to the right of it
JUMP = 0.28  # bend of a path that leaves out a column
MOST_ARCS = 3  # correlations of factors that are drawn as arcs
CELL_WIDTH, CELL_HEIGHT = 0.62, 0.3  # of the triangle that takes the place of arcs


@dataclass(frozen=True)
class Layout:
    """Where the variables stand.

    Parameters
    ----------
    positions : dict of str to (float, float)
        Centres, in inches.
    side : dict of str to str
        Where the indicators of a factor are: ``"left"``, ``"right"`` or ``"below"``.
    columns : tuple of tuple of str
        The structural variables, from cause to outcome.
    """

    positions: dict[str, tuple[float, float]]
    side: dict[str, str]
    columns: tuple[tuple[str, ...], ...]


@dataclass
class _Arranger:
    indicators: dict[str, tuple[str, ...]]
    positions: dict[str, tuple[float, float]] = field(default_factory=dict)

    def owned(self, node: str, taken: set[str]) -> tuple[str, ...]:
        """Return indicators that hang on this factor: an item with two hangs on the first."""
        mine = tuple(item for item in self.indicators.get(node, ()) if item not in taken)
        taken.update(mine)
        return mine

    def extent(self, node: str, mine: dict[str, tuple[str, ...]]) -> float:
        """Return the height of a factor with everything that hangs beside it."""
        children = mine.get(node, ())
        if not children:
            return FACTOR_STEP if node in self.indicators else ITEM_STEP
        return max(FACTOR_STEP, sum(self.extent(child, mine) for child in children) + 0.18)

    def hang_beside(
        self, node: str, x: float, top: float, sign: int, mine: dict[str, tuple[str, ...]]
    ) -> None:
        height = self.extent(node, mine)
        children = mine.get(node, ())
        used = sum(self.extent(child, mine) for child in children)
        cursor = top - (height - used) / 2
        centres = []
        for child in children:
            step = self.extent(child, mine)
            reach = FACTOR_REACH if child in self.indicators else REACH
            self.hang_beside(child, x + sign * reach, cursor, sign, mine)
            centres.append(self.positions[child][1])
            cursor -= step
        middle = (centres[0] + centres[-1]) / 2 if centres else top - height / 2
        self.positions[node] = (x, middle)

    def depth(self, node: str, mine: dict[str, tuple[str, ...]]) -> float:
        """Return how far down a factor reaches with everything that stands below it."""
        children = mine.get(node, ())
        factors = [child for child in children if child in self.indicators]
        items = len(children) - len(factors)
        stacked = sum(self.extent(child, mine) for child in factors)
        below = DROP + items * ITEM_STEP if items else 0.0
        return max(2 * FACTOR_STEP, FACTOR_STEP + stacked + below)

    def edge(self, node: str, mine: dict[str, tuple[str, ...]]) -> float:
        """Return where what hangs on a factor ends at the right."""
        half = (FACTOR_WIDTH if node in self.indicators else ITEM_WIDTH) / 2
        own = self.positions[node][0] + half
        return max([own, *(self.edge(child, mine) for child in mine.get(node, ()))])

    def hang_below(self, node: str, x: float, y: float, mine: dict[str, tuple[str, ...]]) -> None:
        """Put items in a row below a factor, lower-order factors in a stack below it."""
        self.positions[node] = (x, y)
        children = mine.get(node, ())
        factors = [child for child in children if child in self.indicators]
        top = y - FACTOR_STEP
        for factor in factors:
            self.hang_beside(factor, x + FACTOR_WIDTH, top, 1, mine)
            top -= self.extent(factor, mine)
        items = [child for child in children if child not in self.indicators]
        if not factors:
            top = y - DROP
        for k, item in enumerate(items):
            # To the lower right, out of the way of arrows that come from the left.
            self.positions[item] = (x + INDENT, top - k * ITEM_STEP)

    def reach_across(self, node: str) -> None:
        """Put a factor that owns none of its items on their far side."""
        places = [self.positions[item] for item in self.indicators[node]]
        x = min(place[0] for place in places) - REACH
        self.positions[node] = (x, sum(place[1] for place in places) / len(places))


def _columns(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Put every node one column after the last of its causes; loops are cut where met."""
    causes: dict[str, list[str]] = {node: [] for node in nodes}
    for cause, outcome in edges:
        causes[outcome].append(cause)
    depth: dict[str, int] = {}

    def visit(node: str, above: frozenset[str]) -> int:
        if node not in depth:
            earlier = [visit(c, above | {node}) for c in causes[node] if c not in above | {node}]
            depth[node] = 1 + max(earlier, default=-1)
        return depth[node]

    for node in nodes:
        visit(node, frozenset())
    last = max(depth.values(), default=0)
    return tuple(tuple(n for n in nodes if depth[n] == k) for k in range(last + 1))


def arrange(indicators: dict[str, tuple[str, ...]], paths: Sequence[tuple[str, str]]) -> Layout:
    """Find a place for every variable.

    Parameters
    ----------
    indicators : dict of str to tuple of str
        Factor to its items or lower-order factors.
    paths : sequence of (str, str)
        Cause and outcome of each regression.

    Returns
    -------
    Layout
    """
    lower = {item for items in indicators.values() for item in items if item in indicators}
    structural = {name for path in paths for name in path}
    ordered = [f for f in indicators if f not in lower or f in structural]
    ordered += [name for path in paths for name in path]
    nodes = list(dict.fromkeys(ordered))
    columns = _columns(nodes, paths)
    arranger = _Arranger(indicators)
    taken: set[str] = set(nodes)
    mine: dict[str, tuple[str, ...]] = {}
    for node in [*nodes, *[f for f in indicators if f in lower]]:
        if node in indicators:
            mine[node] = arranger.owned(node, taken)
    # The specific factors of a bifactor model share all items with the general one.
    across = {f for f in columns[0] if f in indicators and not mine[f]}
    side: dict[str, str] = dict.fromkeys(across, "right")
    x = 0.0
    for k, whole in enumerate(columns):
        column = tuple(node for node in whole if node not in across)
        where = "left" if k == 0 else "right" if k == len(columns) - 1 else "below"
        if k > 0:
            x += COLUMN_GAP + FACTOR_WIDTH
        if where == "below":
            depths = [arranger.depth(node, mine) for node in column]
            # The factors, not their items, stand around the middle line.
            middle = sum(depths[:-1]) / 2
            for node, depth in zip(column, depths, strict=True):
                side[node] = where
                arranger.hang_below(node, x, middle, mine)
                middle -= depth
            edge = max(arranger.edge(node, mine) for node in column)
            x = max(x, edge - FACTOR_WIDTH / 2 - 0.3)
        else:
            total = sum(arranger.extent(node, mine) for node in column)
            top = total / 2
            for node in column:
                side[node] = where
                arranger.hang_beside(node, x, top, -1 if where == "left" else 1, mine)
                top -= arranger.extent(node, mine)
    for factor in across:
        arranger.reach_across(factor)
    for factor in indicators:
        if factor in lower and factor not in side:
            parent = next(p for p, items in indicators.items() if factor in items)
            side[factor] = side.get(parent, "left")
    return Layout(dict(arranger.positions), side, columns)


@dataclass(frozen=True)
class _Edge:
    start: str
    end: str
    value: float
    firm: bool  # significant, or fixed
    double: bool = False


def _edges(table: pd.DataFrame, alpha: float) -> list[_Edge]:
    edges = []
    columns = ("lhs", "op", "rhs", "free", "est", "p", "std_all")
    for lhs, op, rhs, free, est, p, value in zip(
        *(table[name].tolist() for name in columns), strict=True
    ):
        if op not in {"=~", "~", "~~"} or lhs == rhs or (int(free) == 0 and float(est) == 0.0):
            continue
        firm = math.isnan(p) or p < alpha
        if op == "~":
            edges.append(_Edge(rhs, lhs, float(value), firm))
        else:
            edges.append(_Edge(lhs, rhs, float(value), firm, double=op == "~~"))
    return edges


def path_diagram(
    fit: FitResult,
    *,
    group: str | None = None,
    title: str = "",
    alpha: float = 0.05,
    names: dict[str, str] | None = None,
) -> Figure:
    """Draw a fitted model with its completely standardised estimates.

    Parameters
    ----------
    fit : FitResult
        Any model.
    group : str, optional
        Label of the group to draw; the first by default.
    title : str
        Above the figure; may be empty.
    alpha : float
        A path whose p-value is not below is dashed.
    names : dict of str to str, optional
        What to write into the shapes instead of the variable names.

    Returns
    -------
    matplotlib.figure.Figure
        Explained variance stands in the ellipse of an endogenous factor. Up to three
        correlations of factors are arcs; more stand in a triangle, at the right of a
        measurement model and below a structural one.
    """
    labels = [str(label) for label in fit.group_labels]
    number = 1 if group is None else labels.index(group) + 1
    table = fit.parameters
    table = table[table["group"] == number]
    edges = _edges(table, alpha)
    indicators = {f: tuple(items) for f, items in fit.indicators.items()}
    paths = [
        (str(rhs), str(lhs))
        for lhs, op, rhs in table[["lhs", "op", "rhs"]].itertuples(index=False)
        if op == "~"
    ]
    layout = arrange(indicators, paths)
    panel = _panel(edges, layout, indicators)
    if panel is not None:
        edges = [edge for edge in edges if edge not in panel.edges]
    xs = [x for x, _ in layout.positions.values()]
    ys = [y for _, y in layout.positions.values()]
    room = max((_bulge(edge, layout) for edge in edges), default=0.0)
    left, right = min(xs) - 0.9, max(max(xs) + 0.75, FACTOR_WIDTH / 2 + room + 0.3)
    bottom = min(ys) - 0.5
    top = max([max(ys) + 0.5, *(_crest(edge, layout) for edge in edges)])
    if panel is not None:
        right = max(right, panel.right)
        bottom = min(bottom, panel.bottom)
    texts = [title, *layout.positions, *(names or {}).values()]
    with canvas(right - left, top - bottom, texts) as figure:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        axes.set_axis_off()
        explained = _explained(fit, group)
        shapes = _draw_nodes(axes, layout, indicators, explained, names or {})
        numbered = sum(_joins_factors(edge, layout) for edge in edges) <= MOST_ARCS
        for edge in edges:
            if edge.start in shapes and edge.end in shapes:
                _draw_edge(axes, edge, layout, indicators, shapes, numbered=numbered)
        if panel is not None:
            _draw_panel(axes, panel, names or {})
        if title:
            axes.set_title(plain_text(title), fontsize=10, loc="left", parse_math=False)
        return figure


# --- correlations of many factors --------------------------------------------------------


@dataclass(frozen=True)
class _Panel:
    """A triangle of correlations: beside the factors when these are one column, else below."""

    factors: tuple[str, ...]
    rows: tuple[float, ...]  # heights of the factors' rows
    left: float
    edges: tuple[_Edge, ...]
    lead: float | None  # where lines from the factors begin, when it stands beside them

    @property
    def right(self) -> float:
        return self.left + len(self.factors) * CELL_WIDTH + 0.25

    @property
    def bottom(self) -> float:
        return self.rows[-1] - 0.45


def _joins_factors(edge: _Edge, layout: Layout) -> bool:
    return edge.double and edge.start in layout.side and edge.end in layout.side


def _panel(
    edges: Sequence[_Edge], layout: Layout, indicators: dict[str, tuple[str, ...]]
) -> _Panel | None:
    """Return the triangle, or None where the correlations are few enough for arcs."""
    joined = tuple(edge for edge in edges if _joins_factors(edge, layout))
    if len(joined) <= MOST_ARCS:
        return None
    involved = {name for edge in joined for name in (edge.start, edge.end)}
    place = layout.positions
    factors = tuple(sorted(involved, key=lambda name: (-place[name][1], place[name][0])))
    same_column = len({round(place[name][0], 6) for name in factors}) == 1
    x = place[factors[0]][0]
    free = all(px <= x + 1e-9 for px, _ in place.values())
    if same_column and free and len(layout.columns) == 1:
        start = x + FACTOR_WIDTH / 2
        rows = tuple(place[name][1] for name in factors)
        return _Panel(factors, rows, start + 0.35, joined, start)
    lowest = min(y for _, y in place.values()) - 0.75
    rows = tuple(lowest - k * CELL_HEIGHT for k in range(len(factors)))
    return _Panel(factors, rows, min(px for px, _ in place.values()) - 0.3, joined, None)


def _draw_panel(axes: Axes, panel: _Panel, names: dict[str, str]) -> None:
    """Draw the correlations of the factors: a row each, the names along the diagonal."""
    from matplotlib.patches import Rectangle

    values = {frozenset((edge.start, edge.end)): edge for edge in panel.edges}
    for i, (name, y) in enumerate(zip(panel.factors, panel.rows, strict=True)):
        if panel.lead is not None and i > 0:
            end = panel.left + i * CELL_WIDTH
            axes.plot([panel.lead, end], [y, y], color=MUTED, lw=0.5, zorder=0)
        for j in range(i):
            edge = values.get(frozenset((name, panel.factors[j])))
            if edge is None:
                continue
            strength = min(abs(edge.value), 1.0)
            x = panel.left + j * CELL_WIDTH
            axes.add_patch(
                Rectangle(
                    (x, y - CELL_HEIGHT / 2 + 0.01),
                    CELL_WIDTH - 0.02,
                    CELL_HEIGHT - 0.02,
                    # Grey by strength; never so dark that the number cannot be read.
                    fc=str(1.0 - 0.35 * strength),
                    ec=INK if edge.firm else MUTED,
                    lw=0.5,
                    ls="-" if edge.firm else (0, (3, 2)),
                    zorder=1,
                )
            )
            shown = format_number(edge.value, 2, leading_zero=False)
            middle = x + CELL_WIDTH / 2 - 0.01
            write(axes, middle, y, shown, ha="center", va="center", fontsize=8, zorder=2)
        text = short_name(names.get(name, name), 11)
        write(
            axes, panel.left + i * CELL_WIDTH + 0.04, y, text, ha="left", va="center", fontsize=8,
            fontweight="bold", zorder=2,
        )  # fmt: skip


# --- shapes and arrows -------------------------------------------------------------------


def _explained(fit: FitResult, group: str | None) -> dict[str, float]:
    value = fit.r_squared
    if isinstance(value, dict):
        value = value[group if group is not None else next(iter(value))]
    return {str(name): float(share) for name, share in value.items()}


def _draw_nodes(
    axes: Axes,
    layout: Layout,
    indicators: dict[str, tuple[str, ...]],
    explained: dict[str, float],
    names: dict[str, str],
) -> dict[str, Patch]:
    from matplotlib.patches import Ellipse, FancyBboxPatch

    shapes: dict[str, Patch] = {}
    for name, (x, y) in layout.positions.items():
        shape: Patch
        text = short_name(names.get(name, name), 18 if name in indicators else 13)
        if name in indicators:
            shape = Ellipse(
                (x, y), FACTOR_WIDTH, FACTOR_HEIGHT, fc="white", ec=INK, lw=1.2, zorder=3
            )
            share = explained.get(name, math.nan)
            if not math.isnan(share):
                text += f"\nR² {format_number(share, 2, leading_zero=False)}"
        else:
            shape = FancyBboxPatch(
                (x - ITEM_WIDTH / 2, y - ITEM_HEIGHT / 2),
                ITEM_WIDTH,
                ITEM_HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.03",
                fc=PALE,
                ec=MUTED,
                lw=0.8,
                zorder=3,
            )
        shapes[name] = axes.add_patch(shape)
        widest = max(text_width(line) for line in text.split("\n"))
        size = (9.5 if name in indicators else 8.5) * min(1.0, 11 / max(widest, 1))
        write(axes, x, y, text, ha="center", va="center", fontsize=size, zorder=4)
    return shapes


def _draw_edge(
    axes: Axes,
    edge: _Edge,
    layout: Layout,
    indicators: dict[str, tuple[str, ...]],
    shapes: dict[str, Patch],
    *,
    numbered: bool,
) -> None:
    from matplotlib.patches import FancyArrowPatch

    start, end = np.array(layout.positions[edge.start]), np.array(layout.positions[edge.end])
    measured = edge.end in indicators.get(edge.start, ())
    bend, where, shown = _route(edge, layout, start, end, measured, numbered=numbered)
    beside = edge.double and edge.start in indicators and edge.end in indicators
    branch = measured and edge.end not in layout.side
    below = branch and layout.side.get(edge.start) == "below"
    if branch and not below:
        end = end + np.array([np.sign(start[0] - end[0]) * ITEM_WIDTH / 2, 0.0])
    if below:
        # From the underside of the ellipse to the near edge of the box, as branches of a tree.
        start = start + np.array([-0.12 * FACTOR_WIDTH, -0.485 * FACTOR_HEIGHT])
        end = end - np.array([ITEM_WIDTH / 2, 0.0])
    if beside:
        # Correlations of factors leave at the right of the ellipse, those of far factors higher.
        shift = np.array([0.43 * FACTOR_WIDTH, 0.24 * FACTOR_HEIGHT])
        upward = np.sign(end[1] - start[1])
        start = start + shift * (1.0, upward)
        end = end + shift * (1.0, -upward)
    patch = FancyArrowPatch(
        tuple(start),
        tuple(end),
        patchA=None if beside or below else shapes[edge.start],
        patchB=None if beside or branch else shapes[edge.end],
        connectionstyle=f"arc3,rad={bend:.3f}",
        arrowstyle="<|-|>" if edge.double else "-|>",
        mutation_scale=7 if measured or edge.double else 10,
        lw=0.6 if edge.double and not shown else 0.8 if measured or edge.double else 1.4,
        color=MUTED if measured or edge.double else INK,
        linestyle="-" if edge.firm else (0, (4, 3)),
        shrinkA=1,
        shrinkB=1,
        zorder=1,
    )
    axes.add_patch(patch)
    if not shown:
        return
    # A quadratic arc3 passes through the midpoint of the chord and its control point.
    chord = end - start
    control = (start + end) / 2 + bend * np.array([chord[1], -chord[0]])
    spot = (1 - where) ** 2 * start + 2 * where * (1 - where) * control + where**2 * end
    write(
        axes,
        spot[0],
        spot[1],
        format_number(edge.value, 2, leading_zero=False),
        ha="center",
        va="center",
        fontsize=8 if measured or edge.double else 9.5,
        fontweight="normal" if measured or edge.double else "bold",
        color=INK,
        zorder=2.5,
        bbox={"boxstyle": "square,pad=0.12", "fc": "white", "ec": "none"},
    )


def _route(
    edge: _Edge, layout: Layout, start: Array, end: Array, measured: bool, *, numbered: bool
) -> tuple[float, float, bool]:
    """Return bend of an edge, where along it the number stands, and whether it is shown."""
    downward = start[1] > end[1]
    if measured:
        if edge.end in layout.side:
            return 0.0, 0.5, True
        return 0.0, 0.74, True
    if edge.double:
        distance = float(np.hypot(*(end - start)))
        if edge.start not in layout.side or edge.end not in layout.side:
            # Residual covariances of items; far ones are lines in the background.
            near = distance < 3 * ITEM_WIDTH
            bend = 0.5 if near else 0.12
            return (bend if downward else -bend), 0.5, near
        bend = _correlation_bend(distance)
        return (-bend if downward else bend), 0.5, numbered
    if _span(edge, layout) > 1:
        # Jump over what stands between.
        return -JUMP, 0.5, True
    return 0.0, 0.42, True


def _correlation_bend(distance: float) -> float:
    return 0.3 + 0.05 * distance / FACTOR_STEP


def _bulge(edge: _Edge, layout: Layout) -> float:
    """Return how far the arc of a correlation of factors stands out to the right, in inches."""
    if not edge.double or edge.start not in layout.side or edge.end not in layout.side:
        return 0.0
    start, end = layout.positions[edge.start], layout.positions[edge.end]
    distance = math.dist(start, end)
    # A quadratic curve reaches half way to its control point.
    return _correlation_bend(distance) * distance / 2


def _crest(edge: _Edge, layout: Layout) -> float:
    """Return how high the arc of a path over several columns rises, in inches."""
    if _span(edge, layout) < 2:
        return -math.inf
    start, end = layout.positions[edge.start], layout.positions[edge.end]
    return (start[1] + end[1]) / 2 + JUMP * abs(end[0] - start[0]) / 2 + 0.3


def _span(edge: _Edge, layout: Layout) -> int:
    """Return how many columns a path of the structure crosses."""
    if edge.double:
        return 0
    column = {name: k for k, names in enumerate(layout.columns) for name in names}
    if edge.start not in column or edge.end not in column:
        return 0
    return column[edge.end] - column[edge.start]
