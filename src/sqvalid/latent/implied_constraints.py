"""Constraints that a table implies: equal labels, equal() modifiers, effect coding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sqvalid.errors import ModelError
from sqvalid.latent.syntax import Binary, Constraint, Expr, Name, Number

if TYPE_CHECKING:
    from sqvalid.latent.parameter_table import Roles, Row


def _sum_expression(names: Sequence[str]) -> Expr:
    total: Expr = Name(names[0])
    for name in names[1:]:
        total = Binary("+", total, Name(name))
    return total


def effect_coding_constraints(
    rows: Sequence[Row], roles: Sequence[Roles], kinds: Sequence[str]
) -> Iterator[Constraint]:
    """Loadings average 1 and intercepts sum to 0 per factor (Little, Slegers & Card, 2006)."""
    for g, role in enumerate(roles, start=1):
        for latent in role.latents:
            loadings = [r for r in rows if r.group == g and r.op == "=~" and r.lhs == latent]
            if "loadings" in kinds and all(r.free for r in loadings):
                yield Constraint(
                    "==", _sum_expression([r.plabel for r in loadings]), Number(len(loadings)), 0, 0
                )
            observed = {r.rhs for r in loadings if r.rhs in role.observed}
            intercepts = [
                r for r in rows if r.group == g and r.op == "~1" and r.lhs in observed and r.free
            ]
            if "intercepts" in kinds and intercepts:
                yield Constraint(
                    "==", _sum_expression([r.plabel for r in intercepts]), Number(0.0), 0, 0
                )


def label_constraints(rows: Sequence[Row]) -> Iterator[Constraint]:
    """Parameters with the same label are equal."""
    first: dict[str, Row] = {}
    for row in rows:
        if not row.label:
            continue
        if row.label not in first:
            first[row.label] = row
        elif row.free or first[row.label].free:
            yield Constraint("==", Name(first[row.label].plabel), Name(row.plabel), 0, 0)


def equal_constraints(
    rows: Sequence[Row], equalities: Sequence[tuple[str, str]]
) -> Iterator[Constraint]:
    """Parameters that an ``equal()`` modifier ties to another one, by its name."""
    by_name = {row.name: row for row in rows}
    for own, target in equalities:
        if target not in by_name:
            raise ModelError(
                f"equal({target!r}) in the row {own} names a parameter the model does not have."
            )
        yield Constraint("==", Name(by_name[target].plabel), Name(by_name[own].plabel), 0, 0)
