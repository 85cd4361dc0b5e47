"""What all figures share: fonts, colours, and SVG that is the same bytes every time."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "PALE", "canvas", "cjk_font", "figure_svg"]

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
)


@cache
def cjk_font() -> str | None:
    """Return the name of an installed font with Chinese glyphs, or None."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _CJK_FONTS if name in installed), None)


def _needs_cjk(texts: Iterable[str]) -> bool:
    return any(ord(ch) >= 0x2E80 for text in texts for ch in text)


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
    label = f' role="img" aria-label="{escape(title)}">' if title else ' role="img">'
    return text[: head - 1] + label + text[head:]
