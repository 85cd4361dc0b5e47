"""From answers, or a matrix that somebody gives, to correlations that can be analysed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import (
    Diagnostic,
    InputError,
    OptionError,
    SurveyError,
    UnsupportedError,
    check_choice,
)
from sqvalid.moments.em import em_moments
from sqvalid.moments.ordinal import ordinal_moments
from sqvalid.survey import Survey, as_pandas
from sqvalid.survey.checks import numeric_items

__all__ = ["CORRELATIONS", "MISSING", "Correlated", "correlate_values", "correlations", "smoothed"]

Array = npt.NDArray[np.float64]

CORRELATIONS = ("pearson", "polychoric")
MISSING = ("listwise", "pairwise", "fiml")
# Below this a correlation matrix cannot be inverted to any use.
_SINGULAR = 1e-10
# What smoothing raises small eigenvalues to.
_FLOOR = 1e-4
# More different answers than this are no categories.
_CATEGORIES = 20


@dataclass(frozen=True, eq=False)
class Correlated:
    """A correlation matrix and where it comes from.

    Parameters
    ----------
    matrix : pandas.DataFrame, shape (p, p)
    n_obs : int or None
        None for a matrix that was given without.
    answers : pandas.DataFrame or None, shape (n, p)
        Of all respondents, NaN where missing; None for a matrix.
    scale : (ndarray, ndarray) or None
        Means and standard deviations of the answers.
    kind : {"pearson", "polychoric", "given"}
    missing : str
    diagnostics : tuple of Diagnostic
    dimensions : mapping
        Of a survey: dimension to items.
    """

    matrix: pd.DataFrame
    n_obs: int | None
    answers: pd.DataFrame | None
    scale: tuple[Array, Array] | None
    kind: str
    missing: str
    diagnostics: tuple[Diagnostic, ...]
    dimensions: Mapping[str, Sequence[str]]


def correlations(
    data: Any,
    correlation: str | pd.DataFrame,
    items: Sequence[str] | None,
    *,
    n_obs: int | None = None,
    missing: str = "listwise",
    smooth: bool = False,
) -> Correlated:
    """Return the matrix to analyse and what is known about it.

    Parameters
    ----------
    data, correlation, items, n_obs, missing, smooth
        As for :func:`sqvalid.efa`.

    Returns
    -------
    Correlated
    """
    check_choice("missing", missing, MISSING)
    if isinstance(correlation, pd.DataFrame):
        if data is not None:
            raise OptionError("Give either data or a matrix.", remedy="Leave one of them out.")
        matrix = correlation if items is None else correlation.loc[list(items), list(items)]
        matrix, found = _checked(matrix, smooth)
        return Correlated(matrix, n_obs, None, None, "given", missing, found, {})
    check_choice("correlation", correlation, CORRELATIONS)
    if data is None:
        raise OptionError("There is nothing to analyse.", remedy="Give data or a matrix.")
    dimensions: Mapping[str, Sequence[str]] = data.dimensions if isinstance(data, Survey) else {}
    frame = data.frame if isinstance(data, Survey) else as_pandas(data)
    if items is None:
        if isinstance(data, Survey) and data.items:
            items = data.items
        else:
            items = [str(c) for c, kind in frame.dtypes.items() if kind.kind in "iuf"]
    answers = _numbers(frame, list(items))
    n = _refuse_hopeless(answers, missing)
    if correlation == "polychoric":
        _refuse_numbers(answers)
    r, mean, sd = correlate_values(answers.to_numpy(dtype=float), correlation, missing)
    matrix = pd.DataFrame(r, index=answers.columns, columns=answers.columns)
    matrix, found = _checked(matrix, smooth)
    return Correlated(matrix, n, answers, (mean, sd), correlation, missing, found, dimensions)


def correlate_values(values: Array, kind: str, missing: str) -> tuple[Array, Array, Array]:
    """Correlations, means and standard deviations of answers.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing.
    kind : {"pearson", "polychoric"}
    missing : {"listwise", "pairwise", "fiml"}

    Returns
    -------
    correlation : ndarray, shape (p, p)
    mean, sd : ndarray, shape (p,)

    Raises
    ------
    UnsupportedError
        Polychoric correlations by full information.
    """
    if missing == "listwise":
        values = values[~np.isnan(values).any(axis=1)]
    if kind == "polychoric":
        if missing == "fiml":
            raise UnsupportedError(
                "Full information is not available for polychoric correlations.",
                remedy="Use missing='pairwise' or 'listwise'.",
            )
        levels = [np.unique(column[~np.isnan(column)]) for column in values.T]
        r = np.asarray(ordinal_moments(values, levels).covariance)
        return r, np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
    if missing == "fiml":
        moments = em_moments(values)
        if moments.undetermined.any():
            raise SurveyError(
                "Nobody answered both items of some pairs: their correlations are unknown.",
                remedy="Analyse the parts of the questionnaire one by one.",
            )
        sd = np.sqrt(np.diag(moments.covariance))
        return moments.covariance / np.outer(sd, sd), moments.mean, sd
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
    if not np.isnan(values).any():
        return np.asarray(np.corrcoef(values, rowvar=False)), mean, sd
    return pd.DataFrame(values).corr().to_numpy(dtype=float), mean, sd


def _numbers(frame: pd.DataFrame, items: list[str]) -> pd.DataFrame:
    """The items as numbers; columns that are numbers already need no look at every cell."""
    if set(items) <= set(frame.columns):
        own = frame if items == list(frame.columns) else frame[items]
        if all(kind.kind in "iuf" for kind in own.dtypes):
            values = own.to_numpy(dtype=float, copy=True)
            if not np.isinf(values).any():
                return pd.DataFrame(values, index=own.index, columns=own.columns)
    return numeric_items(frame, items)


def _refuse_hopeless(answers: pd.DataFrame, missing: str) -> int:
    """Refuse too few respondents and items without variation; return how many are used."""
    values = answers.to_numpy(dtype=float)
    gap = np.isnan(values)
    empty = [repr(str(c)) for c, none in zip(answers.columns, gap.all(axis=0), strict=True) if none]
    if empty:
        raise SurveyError(
            f"Nobody answered {', '.join(empty)}.",
            remedy="Leave the item out, or check the column map.",
        )
    used = ~(gap.any(axis=1) if missing == "listwise" else gap.all(axis=1))
    if used.sum() < 3:
        what = "every item" if missing == "listwise" else "any item"
        raise SurveyError(
            f"{used.sum()} of {len(answers)} respondents answered {what}.",
            remedy="Use fewer items; look for one that nobody answered.",
        )
    kept = values[used]
    highest = np.where(gap[used], -np.inf, kept).max(axis=0)
    lowest = np.where(gap[used], np.inf, kept).min(axis=0)
    constant = [str(c) for c, flat in zip(answers.columns, highest <= lowest, strict=True) if flat]
    if constant:
        raise SurveyError(
            f"Every respondent gave the same answer to {', '.join(map(repr, constant))}.",
            remedy="Leave the item out: it correlates with nothing.",
        )
    return int(used.sum())


def _refuse_numbers(answers: pd.DataFrame) -> None:
    for item in answers:
        count = int(answers[item].nunique())
        if count > _CATEGORIES:
            raise SurveyError(
                f"Item {str(item)!r} has {count} different answers: these are no categories.",
                remedy="Use correlation='pearson', or leave the item out.",
            )


def smoothed(matrix: Array) -> Array:
    """Raise eigenvalues that are too small and bring the diagonal back to one.

    Parameters
    ----------
    matrix : ndarray, shape (p, p)
        Symmetric, ones on the diagonal.

    Returns
    -------
    ndarray, shape (p, p)

    References
    ----------
    Wothke (1993); Knol & Berger (1991) for polychoric matrices.
    """
    values, vectors = np.linalg.eigh(matrix)
    raised = (vectors * np.maximum(values, _FLOOR)) @ vectors.T
    scale = np.sqrt(np.diag(raised))
    out = raised / np.outer(scale, scale)
    np.fill_diagonal(out, 1.0)
    return np.asarray((out + out.T) / 2.0)


def _checked(matrix: pd.DataFrame, smooth: bool) -> tuple[pd.DataFrame, tuple[Diagnostic, ...]]:
    values = matrix.to_numpy(dtype=float)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise InputError(f"A matrix of shape {values.shape} is no correlation matrix.")
    if not np.isfinite(values).all() or not np.allclose(values, values.T, atol=1e-8):
        raise InputError(
            "The correlation matrix is not symmetric, or has empty cells.",
            remedy="Give the whole matrix.",
        )
    if not np.allclose(np.diag(values), 1.0, atol=1e-6):
        raise InputError(
            "The diagonal of the correlation matrix is not 1.",
            remedy="Turn a covariance matrix into correlations first.",
        )
    smallest = float(np.linalg.eigvalsh(values)[0])
    if smallest >= _SINGULAR:
        return matrix, ()
    if not smooth:
        raise InputError(
            f"The correlation matrix is not positive definite (smallest eigenvalue "
            f"{smallest:.2g}).",
            remedy="Look for an item that is a sum or a copy of others, or for fewer respondents "
            "than items; smooth=True goes on with the nearest matrix that can be analysed.",
        )
    out = smoothed(values)
    told = {
        "smallest": f"{smallest:.3g}",
        "change": f"{float(np.abs(out - values).max()):.3f}",
        "floor": f"{_FLOOR:g}",
    }
    found = Diagnostic("correlation_smoothed", "warning", (), told)
    return pd.DataFrame(out, index=matrix.index, columns=matrix.columns), (found,)
