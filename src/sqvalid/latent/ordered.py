"""Which answers are ordered categories: what was asked for, or what the data say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sqvalid.errors import Diagnostic, OptionError
from sqvalid.latent.options import CATEGORICAL_ESTIMATORS
from sqvalid.moments import Moments

# With five categories or more a rating scale may be taken for numbers (Rhemtulla,
# Brosseau-Liard & Savalei, 2012, Psychological Methods 17).
FEWEST_FOR_NUMBERS = 5
# ... unless the thresholds are far from symmetric, as where so many tick the end of the scale.
MOST_AT_AN_END = 0.40


def find_ordered(
    asked: Any, data: Any, modelled: Sequence[str], covariates: Sequence[str], estimator: str | None
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """Ordered items of a model, in the model's order, and what has to be told about them.

    Parameters
    ----------
    asked : None, bool, str or sequence of str
        The option: names; True for all items; False for none; None to go by the data. Then
        ordered are columns of an ordered categorical type, and items of an instrument with fewer
        than five categories.
    data : frame, Survey, Moments or None
    modelled : sequence of str
        Observed variables of the model.
    covariates : sequence of str
        Those of them that are exogenous, and stay numbers.
    estimator : str, optional
        What was asked for; an estimator for numbers keeps them numbers.

    Returns
    -------
    ordered : tuple of str
    diagnostics : tuple of Diagnostic

    Raises
    ------
    OptionError
        A name that is not in the data, or is an exogenous covariate.
    """
    outcomes = [name for name in modelled if name not in set(covariates)]
    if isinstance(data, Moments):
        return _of_moments(asked, data, outcomes)
    if asked is None:
        return _by_data(data, outcomes, estimator)
    if isinstance(asked, bool):
        return (tuple(outcomes) if asked else ()), ()
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    known = _columns(data)
    unknown = [name for name in names if known is not None and name not in known]
    if unknown:
        raise OptionError(
            f"ordered= has {', '.join(map(repr, unknown))}: there is no such column.",
            remedy="Give the names of ordered items as they stand in the data.",
        )
    exogenous = [name for name in names if name in set(covariates)]
    if exogenous:
        raise OptionError(
            f"ordered= has {', '.join(map(repr, exogenous))}, which only predict: a covariate "
            "has no thresholds.",
            remedy="Leave it out of ordered= (it counts as a number), or make 0/1 columns of it.",
        )
    return tuple(name for name in outcomes if name in set(names)), ()


def _of_moments(
    asked: Any, data: Moments, outcomes: Sequence[str]
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """Moments know which of their variables are ordered."""
    block = data.blocks[0]
    kinds = dict(zip(block.variables, block.kinds, strict=True))
    ordered = tuple(name for name in outcomes if kinds.get(name) == "ordinal")
    wanted: Sequence[str] | None = None
    if isinstance(asked, str):
        wanted = (asked,)
    elif isinstance(asked, bool):
        wanted = tuple(outcomes) if asked else ()
    elif asked is not None:
        wanted = tuple(asked)
    if wanted is not None and set(wanted) & set(outcomes) != set(ordered):
        raise OptionError(
            "ordered= differs from what the moments were computed with "
            f"({', '.join(ordered) or 'no ordered item'}).",
            remedy="Compute the moments with ordered=, and leave it out here.",
        )
    return ordered, ()


def _by_data(
    data: Any, outcomes: Sequence[str], estimator: str | None
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    typed = set()
    if isinstance(data, pd.DataFrame):
        typed = {name for name in outcomes if _is_ordered_type(data, name)}
    categories = {
        name: count
        for name, count in _scale_categories(data).items()
        if name in set(outcomes) and count < FEWEST_FOR_NUMBERS
    }
    found = tuple(name for name in outcomes if name in typed or name in categories)
    if not found:
        return (), _at_an_end(data, outcomes) if estimator not in CATEGORICAL_ESTIMATORS else ()
    values: Mapping[str, Any] = {"items": ", ".join(found), "fewest": FEWEST_FOR_NUMBERS}
    if estimator is not None and estimator not in CATEGORICAL_ESTIMATORS:
        return (), (
            Diagnostic(
                "ordered_taken_for_numbers",
                "warning",
                found,
                {**values, "estimator": estimator},
            ),
        )
    return found, (Diagnostic("ordered_by_data", "info", found, values),)


def _is_ordered_type(data: pd.DataFrame, name: str) -> bool:
    if list(data.columns).count(name) != 1:
        return False
    kind = data[name].dtype
    return isinstance(kind, pd.CategoricalDtype) and bool(kind.ordered)


def _at_an_end(data: Any, outcomes: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Tell of items with enough categories whose answers crowd at one end of the scale."""
    instrument = getattr(data, "instrument", None)
    if instrument is None:
        return ()
    frame = data.frame
    crowded = []
    for item in instrument.items:
        if item.id not in set(outcomes) or item.id not in frame.columns:
            continue
        answers = frame[item.id].dropna()
        shares = [float((answers == end).mean()) for end in (item.scale_min, item.scale_max)]
        if len(answers) and max(shares) > MOST_AT_AN_END:
            crowded.append(item.id)
    if not crowded:
        return ()
    values = {"items": ", ".join(crowded), "share": MOST_AT_AN_END}
    return (Diagnostic("crowded_items_taken_for_numbers", "info", tuple(crowded), values),)


def _scale_categories(data: Any) -> dict[str, int]:
    """Answer categories of the items of a Survey, where its instrument has their scale."""
    instrument = getattr(data, "instrument", None)
    if instrument is None:
        return {}
    return {
        item.id: int(item.scale_max - item.scale_min) + 1
        for item in instrument.items
        if item.scale_min is not None and item.scale_max is not None
    }


def _columns(data: Any) -> set[str] | None:
    frame = getattr(data, "frame", data)
    columns = getattr(frame, "columns", None)
    return None if columns is None else {str(name) for name in columns}
