"""Blocks to one HTML page that needs nothing else: no scripts, no remote files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqvalid import __version__, wording
from sqvalid.report.sections import build_sections

if TYPE_CHECKING:
    from sqvalid.findings import StudyResult

__all__ = ["render_html"]

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def render_html(result: StudyResult) -> str:
    """Return the report of a study as one page.

    Parameters
    ----------
    result : StudyResult
        What :meth:`sqvalid.study.Study.run` returned.

    Returns
    -------
    str
        HTML 5 in the language of the study. Everything that came from the user is escaped;
        the same result gives the same bytes.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sqvalid.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    language = result.language
    page = environment.get_template("report.html").render(
        title=result.title,
        lang=language,
        language="zh-Hans" if language == "zh" else language,
        contents=wording.text("report.contents", language),
        skip=wording.text("report.skip", language),
        top=wording.text("report.top", language),
        # Repeated on every screen and sheet: no number of such a page is about anybody.
        banner=wording.text("report.banner", language) if result.simulated else "",
        foot=wording.text("report.foot", language, version=__version__),
        sections=build_sections(result),
    )
    # Characters that HTML does not have, and marks that turn the direction of what follows.
    return _NO_TEXT.sub("\ufffd", page)
