"""What all figures share: fonts, colours, and SVG that is the same bytes every time."""

from __future__ import annotations

import io
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from sqvalid.display import text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = [
    "INK",
    "MUTED",
    "PALE",
    "canvas",
    "cjk_font",
    "figure_svg",
    "label_ticks",
    "plain_text",
    "short_name",
    "write",
]

INK = "#1f2933"
MUTED = "#7b8794"
PALE = "#eef2f6"

# Fonts with Chinese glyphs, by how often they come with a system.
_CJK_FONTS = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Heiti SC",
    "Noto Serif CJK SC",
    "SimSun",
    "Arial Unicode MS",
    # matplotlib sees only the first face of a collection, which has the same glyphs.
    "Noto Sans CJK JP",
    "Noto Serif CJK JP",
    "Droid Sans Fallback",
)


@cache
def cjk_font() -> str | None:
    """Return the name of an installed font with Chinese glyphs, or None."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _CJK_FONTS if name in installed), None)


def _needs_cjk(texts: Iterable[str]) -> bool:
    return any(ord(ch) >= 0x2E80 for text in texts for ch in text)


def plain_text(text: str) -> str:
    """Return a text that a figure can hold: one line, and nothing that is no character.

    Parameters
    ----------
    text : str
        Anything, also a name that somebody made up to break things.

    Returns
    -------
    str
        Control characters, which XML cannot hold, and marks that turn the direction of writing
        are replaced.
    """
    return "".join(
        " " if ch in "\n\r\t" else "\ufffd" if unicodedata.category(ch) in _NO_TEXT else ch
        for ch in text
    )


_NO_TEXT = ("Cc", "Cf", "Cs", "Co", "Cn")


def short_name(name: str, width: int) -> str:
    """Return a name that fits: a long one loses its middle, which tells items apart least.

    Parameters
    ----------
    name : str
    width : int
        In columns; wide East Asian characters take two.

    Returns
    -------
    str
    """
    name = plain_text(name)
    if text_width(name) <= width:
        return name
    head, tail = "", ""
    rest = list(name)
    while rest:
        from_front = text_width(head) <= text_width(tail)
        ch = rest.pop(0) if from_front else rest.pop()
        if text_width(head) + text_width(tail) + text_width(ch) > width - 1:
            break
        head, tail = (head + ch, tail) if from_front else (head, ch + tail)
    return f"{head}…{tail}"


def write(axes: Axes, x: float, y: float, text: str, **how: Any) -> Text:
    """Write into a figure; a dollar sign is a dollar sign, not the start of a formula."""
    return axes.text(x, y, text, parse_math=False, **how)


def label_ticks(
    axes: Axes,
    which: Literal["x", "y"],
    labels: Sequence[str],
    width: int = 28,
    *,
    places: Sequence[float] | None = None,
    **how: Any,
) -> None:
    """Name positions of an axis.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    which : {"x", "y"}
    labels : sequence of str
    width : int
        Longer names are shortened.
    places : sequence of float, optional
        Where they stand; 0, 1, ... by default.
    **how
        For the texts, e.g. ``rotation``.
    """
    shown = [short_name(str(label), width) for label in labels]
    at = list(range(len(shown))) if places is None else places
    if which == "x":
        axes.set_xticks(at, shown, **how)
    else:
        axes.set_yticks(at, shown, **how)
    axis = axes.xaxis if which == "x" else axes.yaxis
    for text in axis.get_ticklabels():
        text.set_parse_math(False)


@contextmanager
def canvas(width: float, height: float, texts: Iterable[str] = ()) -> Iterator[Figure]:
    """Give an empty figure whose texts find their glyphs.

    Parameters
    ----------
    width, height : float
        Inches.
    texts : iterable of str
        What will be written; a font with Chinese glyphs is called in only when needed.

    Yields
    ------
    matplotlib.figure.Figure
        Not attached to pyplot, so nothing is shown and nothing has to be closed.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    families = ["DejaVu Sans"]
    found = cjk_font() if _needs_cjk(texts) else None
    if found is not None:
        families.append(found)
    settings: dict[Any, Any] = {
        "font.family": families,
        "font.size": 9.0,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        # U+2212 is missing from several Chinese fonts.
        "axes.unicode_minus": False,
        "mathtext.default": "regular",
    }
    with mpl.rc_context(settings):
        yield Figure(figsize=(width, height), facecolor="white")


@contextmanager
def _quiet_font_log() -> Iterator[None]:
    """Keep matplotlib from telling the terminal that a Chinese font has no bold weight."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def figure_svg(figure: Figure, *, title: str = "") -> str:
    """Return a figure as an ``<svg>`` element that can stand inside a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure.
    title : str
        Read aloud by screen readers; also keeps the ids inside the element apart from those
        of other figures on the page.

    Returns
    -------
    str
        Without XML declaration and date; the same figure gives the same text. Text stays
        text, so the reader's fonts supply the glyphs and words can be searched.
    """
    import hashlib
    from html import escape

    import matplotlib as mpl

    buffer = io.StringIO()
    with (
        mpl.rc_context({"svg.hashsalt": "sqvalid", "svg.fonttype": "none"}),
        warnings.catch_warnings(),
        _quiet_font_log(),
    ):
        # Only the width of a label is measured with the installed fonts; the reader's browser
        # draws it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.05,
            metadata={"Date": None, "Creator": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # What is left of the metadata names addresses that a page on its own has no use for.
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # matplotlib numbers its groups per figure (figure_1, axes_1): make them unique on the page.
    mark = "f" + hashlib.sha256(f"{title}{text}".encode()).hexdigest()[:8]
    text = text.replace(' id="', f' id="{mark}-').replace('"#', f'"#{mark}-')
    text = text.replace("url(#", f"url(#{mark}-")
    head = text.index(">") + 1
    label = f' role="img" aria-label="{escape(plain_text(title))}">' if title else ' role="img">'
    return text[: head - 1] + label + text[head:]
