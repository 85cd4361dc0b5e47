"""A study: the whole plan from answers to a report, from Python or from a study.toml.

There are no numerics here: each step is a call of the public functions, in order.
"""

from __future__ import annotations

from sqvalid.study.definition import Study
from sqvalid.study.explore import Explore
from sqvalid.study.folder import StudyResult, check_target, write_page, write_result
from sqvalid.study.plan import DEFAULT_SEED

__all__ = [
    "DEFAULT_SEED",
    "Explore",
    "Study",
    "StudyResult",
    "check_target",
    "write_page",
    "write_result",
]
