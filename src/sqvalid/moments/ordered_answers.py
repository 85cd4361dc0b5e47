"""From ordered answers to a block: their categories, what is refused, and the statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sqvalid.errors import SurveyError
from sqvalid.moments.blocks import Array, Block
from sqvalid.moments.ordinal import OrdinalMoments, ordinal_moments

__all__ = ["item_levels", "ordinal_block", "refuse_apart", "refuse_constant", "with_codes"]

# An ordered item with more categories than this is a number.
MOST_CATEGORIES = 30


def refuse_constant(names: Sequence[str], of_group: str) -> None:
    """Raise SurveyError where there are names of items that everybody answered alike."""
    if names:
        raise SurveyError(
            f"Every respondent{of_group} gave the same answer to "
            f"{', '.join(repr(name) for name in names)}.",
            remedy="An item without variance cannot be analysed: leave it out of the model.",
        )


def with_codes(frame: pd.DataFrame, ordered: Sequence[str]) -> pd.DataFrame:
    """Columns of ordered pandas categories as the numbers 1, 2, ... of their order.

    Parameters
    ----------
    frame : pandas.DataFrame
    ordered : sequence of str
        Columns to look at.

    Returns
    -------
    pandas.DataFrame
        The frame itself where there is no such column.
    """
    found = {}
    for name in ordered:
        kind = frame[name].dtype
        if isinstance(kind, pd.CategoricalDtype) and kind.ordered:
            found[name] = frame[name].cat.codes.where(frame[name].notna()) + 1.0
    return frame.assign(**found) if found else frame


def item_levels(
    frame: pd.DataFrame, variables: Sequence[str], ordered: Sequence[str], cases: Array
) -> tuple[Array | None, ...]:
    """Categories of every ordered variable, over all groups.

    Parameters
    ----------
    frame : pandas.DataFrame
        Asked for what kind of column each is.
    variables : sequence of str
    ordered : sequence of str
        Those of them that are ordered.
    cases : ndarray, shape (n, p)
        The rows used, NaN where missing.

    Returns
    -------
    tuple of (ndarray or None)
        Categories that somebody chose, in order; None for a numeric variable.

    Raises
    ------
    SurveyError
        For columns of booleans or of pandas categories without an order, answers that are not
        whole numbers, more than :data:`MOST_CATEGORIES` categories, or only one.
    """
    out: list[Array | None] = []
    names = set(ordered)
    for j, name in enumerate(variables):
        if name not in names:
            out.append(None)
            continue
        _refuse_kind(name, frame[name])
        found = _different(cases[:, j])
        refuse_constant([name] if len(found) < 2 else [], "")
        broken = found[found != np.round(found)]
        if len(broken):
            raise SurveyError(
                f"Item {name!r} has {len(broken)} different answers that are not whole numbers "
                f"({', '.join(f'{value:g}' for value in broken[:3])}).",
                remedy="Number its categories 1, 2, ..., or leave it out of ordered=, and it is "
                "taken as a number.",
            )
        if len(found) > MOST_CATEGORIES:
            raise SurveyError(
                f"Item {name!r} has {len(found)} different answers; an ordered item has "
                f"{MOST_CATEGORIES} at most.",
                remedy="Leave it out of ordered=, and it is taken as a number.",
            )
        out.append(found)
    return tuple(out)


def _different(values: Array) -> Array:
    """Different values in order, NaN left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return known
    low, high = known.min(), known.max()
    if high - low < 1000.0:
        # Counting is faster than sorting where the values are small whole numbers.
        steps = known - low
        places = steps.astype(np.intp)
        if low == np.floor(low) and (places == steps).all():
            return np.asarray(np.flatnonzero(np.bincount(places)) + low)
    return np.unique(known)


def _refuse_kind(name: str, column: pd.Series) -> None:
    """Columns whose order of answers is not that of numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        raise SurveyError(
            f"Item {name!r} is a column of pandas categories without an order.",
            remedy="Give them one: frame[item].cat.set_categories([...], ordered=True).",
        )
    if pd.api.types.is_bool_dtype(column.dtype):
        raise SurveyError(
            f"Item {name!r} is a column of true and false.",
            remedy="Give numbers: frame[item].astype(int).",
        )


def ordinal_block(
    label: str,
    variables: tuple[str, ...],
    cases: Array,
    levels: tuple[Array | None, ...],
    conditional: tuple[str, ...] = (),
    weights: Array | None = None,
) -> Block:
    """A block of thresholds and polychoric correlations.

    Parameters
    ----------
    label : str
        Of the group, ``""`` when there is only one.
    variables : tuple of str
        The covariates are the last ones.
    cases : ndarray, shape (n, p)
    levels : tuple of (ndarray or None)
        From :func:`item_levels`.
    conditional : tuple of str
        The covariates.
    weights : ndarray, shape (n,), optional

    Raises
    ------
    SurveyError
        For what the statistics do not exist of: see :func:`~sqvalid.moments.moments_from_frame`.
    """
    of_group = f" in group {label!r}" if label else ""
    if len(cases) < 2:
        raise SurveyError(
            f"There {'is' if len(cases) == 1 else 'are'} {len(cases)} "
            f"respondent{'' if len(cases) == 1 else 's'}{of_group}; a correlation needs more.",
            remedy="Drop or merge the group." if label else None,
        )
    _refuse_answers(variables, cases, levels, of_group)
    p = len(variables) - len(conditional)
    answers, x = cases[:, :p], cases[:, p:] if conditional else None
    if x is not None:
        _refuse_dependent(conditional, x, of_group)
    there = ~np.isnan(answers)
    refuse_apart(variables, there, of_group)
    found = ordinal_moments(answers, levels[:p], covariates=x, weights=weights)
    _refuse_determined(variables, levels, found, of_group)
    covariance, means = found.covariance, np.zeros(len(variables))
    numeric = [j for j in range(p) if levels[j] is None]
    means[numeric] = [-found.thresholds[found.owner == j][0] for j in numeric]
    empty = np.zeros((len(variables), len(variables)), dtype=np.intp)
    empty[:p, :p] = found.empty_cells
    x_means = x_covariance = None
    if x is not None:
        x_means = np.average(x, axis=0, weights=weights)
        centred = x - x_means
        x_covariance = (
            centred.T @ centred / (len(x) - 1.0)
            if weights is None
            else (centred * weights[:, None]).T @ centred / weights.sum()
        )
        covariance = np.zeros((len(variables), len(variables)))
        covariance[:p, :p], covariance[p:, p:] = found.covariance, x_covariance
        means[p:] = x_means
    influence = found.influence
    influence.flags.writeable = False
    return Block(
        label,
        variables,
        len(cases),
        covariance,
        means,
        cases,
        kinds=tuple("continuous" if level is None else "ordinal" for level in levels),
        thresholds=found.thresholds,
        slopes=found.slopes if conditional else None,
        owner=found.owner,
        levels=levels,
        weights=weights,
        influence=influence,
        conditional=conditional,
        x_means=x_means,
        x_covariance=x_covariance,
        empty_cells=empty,
    )


def _refuse_answers(
    variables: tuple[str, ...], cases: Array, levels: tuple[Array | None, ...], of_group: str
) -> None:
    """Items that the group did not answer, answered alike, or lacks a category of."""
    for j, (name, level) in enumerate(zip(variables, levels, strict=True)):
        own = _different(cases[:, j])
        if not len(own):
            raise SurveyError(
                f"Nobody{of_group} answered {name!r}.",
                remedy="Leave the item out of the model, or the group out of the data.",
            )
        refuse_constant([name] if len(own) == 1 else [], of_group)
        if level is not None and len(own) < len(level):
            empty = np.setdiff1d(level, own)
            raise SurveyError(
                f"Nobody{of_group} chose {', '.join(f'{value:g}' for value in empty)} of {name!r}, "
                "which others did.",
                remedy="Put that category together with its neighbour, in all groups.",
            )


def _refuse_dependent(names: tuple[str, ...], x: Array, of_group: str) -> None:
    """Covariates of which one is a combination of others."""
    centred = x - x.mean(axis=0)
    size = np.sqrt((centred**2).mean(axis=0))
    rest = centred / size
    for j, name in enumerate(names):
        # What the ones before do not explain.
        fit = rest[:, :j] @ np.linalg.lstsq(rest[:, :j], rest[:, j], rcond=None)[0]
        if ((rest[:, j] - fit) ** 2).mean() < 1e-10:
            raise SurveyError(
                f"Covariate {name!r} is a combination of "
                f"{', '.join(repr(other) for other in names[:j])}{of_group}.",
                remedy="Leave one of them out.",
            )


def refuse_apart(variables: tuple[str, ...], there: NDArray[np.bool_], of_group: str) -> None:
    """Raise SurveyError where nobody, or one respondent only, answered both items of a pair."""
    if there.all():
        return
    both = there.T.astype(float) @ there
    alone = np.argwhere(np.triu(both < 2.0, 1))
    if len(alone):
        a, b = (variables[j] for j in alone[0])
        raise SurveyError(
            f"{'Nobody' if both[tuple(alone[0])] == 0 else 'Only one respondent'}{of_group} "
            f"answered both {a!r} and {b!r}: they have no correlation.",
            remedy="Leave one of the two out of the model.",
        )


def _refuse_determined(
    variables: tuple[str, ...],
    levels: tuple[Array | None, ...],
    found: OrdinalMoments,
    of_group: str,
) -> None:
    """Pairs with an ordered item whose correlation is one."""
    ordered = np.array([level is not None for level in levels[: len(found.covariance)]])
    pairs = np.argwhere(np.triu(found.certain & (ordered[:, None] | ordered), 1))
    if len(pairs):
        a, b = pairs[0]
        raise SurveyError(
            f"The answers to {variables[a]!r} and {variables[b]!r}{of_group} set no bound to their "
            f"correlation: it goes to {np.sign(found.covariance[a, b]):.0f}.",
            remedy="Leave one of the two out of the model, or put thin categories together.",
        )
