"""What a report on a structural equation model has to contain, and where this one has it.

The items follow the reporting standards of Appelbaum et al. (2018), table 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqvalid.report.blocks import ChecklistBlock, ChecklistRow
from sqvalid.report.words import Words

if TYPE_CHECKING:
    from sqvalid.findings import StudyResult

__all__ = ["CHECKLIST", "checklist_block"]

State = Literal["given", "absent", "authors"]


@dataclass(frozen=True)
class _Item:
    """One thing to report: where it is, and whether it is there."""

    key: str
    section: str
    state: Callable[[StudyResult], State]


def _always(_: StudyResult) -> State:
    return "given"


def _by_authors(_: StudyResult) -> State:
    return "authors"


def _if(condition: Callable[[StudyResult], object]) -> Callable[[StudyResult], State]:
    return lambda result: "given" if condition(result) else "absent"


CHECKLIST: tuple[_Item, ...] = (
    _Item("theory", "", _by_authors),
    _Item("direction", "structure", _if(lambda r: r.structural)),
    _Item("planned", "about", _always),
    _Item("instrument", "about", _if(lambda r: r.instrument)),
    _Item("psychometrics", "items", _if(lambda r: r.items or r.validity)),
    _Item("sample_size", "data", _always),
    _Item("missing", "missing", _if(lambda r: r.screening)),
    _Item("distributions", "items", _if(lambda r: r.screening)),
    _Item("software", "appendix", _always),
    _Item("convergence", "measurement", _always),
    _Item("matrix", "appendix", _always),
    _Item("identification", "measurement", _always),
    _Item("global_fit", "measurement", _always),
    _Item("local_fit", "local", _always),
    _Item("criteria", "measurement", _always),
    _Item("estimates", "appendix", _always),
    _Item("explained", "structure", _if(lambda r: r.structural)),
    _Item("respecification", "about", _always),
    _Item("equivalent", "structure", _if(lambda r: r.structural)),
    _Item("comparisons", "rivals", _if(lambda r: r.rivals)),
    _Item("diagram", "measurement", _always),
    _Item("final", "about", _always),
    _Item("replication", "exploratory", _if(lambda r: r.exploration)),
)
"""In the order in which a manuscript has them."""


def checklist_block(words: Words, result: StudyResult) -> ChecklistBlock:
    """Return the standard with a link for everything that this report has.

    Parameters
    ----------
    words : Words
    result : StudyResult

    Returns
    -------
    ChecklistBlock
    """
    rows = []
    for item in CHECKLIST:
        state = item.state(result)
        given = state == "given"
        rows.append(
            ChecklistRow(
                item=words(f"checklist.{item.key}"),
                state=words(f"checklist_state.{state}"),
                section=item.section if given else "",
                place=words(f"title.{item.section}") if given else "",
            )
        )
    head = tuple(words(f"checklist_head.{name}") for name in ("item", "place", "state"))
    return ChecklistBlock(words("appendix.checklist"), head, tuple(rows))  # type: ignore[arg-type]
