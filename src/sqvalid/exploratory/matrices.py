"""From answers, or a matrix that somebody gives, to correlations that can be analysed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sqvalid.errors import InputError, OptionError, SurveyError, UnsupportedError, check_choice
from sqvalid.survey import Survey, as_pandas
from sqvalid.survey.checks import numeric_items

__all__ = ["correlations"]


def correlations(
    data: Any, correlation: str | pd.DataFrame, items: Sequence[str] | None
) -> tuple[pd.DataFrame, int | None, pd.DataFrame | None]:
    """Return the matrix to analyse, complete respondents, and standardised answers.

    Parameters
    ----------
    data, correlation, items
        As for :func:`sqvalid.efa`.

    Returns
    -------
    matrix : pandas.DataFrame, shape (p, p)
    n_obs : int or None
        None for a matrix that was given.
    z_scores : pandas.DataFrame or None
    """
    if isinstance(correlation, pd.DataFrame):
        if data is not None:
            raise OptionError("Give either data or a matrix.", remedy="Leave one of them out.")
        matrix = correlation if items is None else correlation.loc[list(items), list(items)]
        return _checked(matrix), None, None
    if correlation != "pearson":
        if correlation in ("polychoric", "tetrachoric"):
            raise UnsupportedError(
                "Polychoric correlations are not computed yet.",
                remedy="Give a matrix that another program computed as correlation=.",
            )
        check_choice("correlation", correlation, ("pearson",))
    if data is None:
        raise OptionError("There is nothing to analyse.", remedy="Give data or a matrix.")
    frame = data.frame if isinstance(data, Survey) else as_pandas(data)
    if items is None:
        if isinstance(data, Survey) and data.items:
            items = data.items
        else:
            items = [str(c) for c in frame.columns if frame[c].dtype.kind in "iuf"]
    answers = numeric_items(frame, list(items))
    complete = answers.dropna()
    if len(complete) < 3:
        raise SurveyError(
            f"{len(complete)} of {len(answers)} respondents answered every item.",
            remedy="Use fewer items; look for one that nobody answered.",
        )
    constant = [str(c) for c in complete if complete[c].nunique() < 2]
    if constant:
        raise SurveyError(
            f"Every respondent gave the same answer to {', '.join(map(repr, constant))}.",
            remedy="Leave the item out: it correlates with nothing.",
        )
    matrix = pd.DataFrame(np.corrcoef(complete.to_numpy(dtype=float), rowvar=False),
                          index=complete.columns, columns=complete.columns)  # fmt: skip
    z = (answers - complete.mean()) / complete.std(ddof=1)
    return _checked(matrix), len(complete), z


def _checked(matrix: pd.DataFrame) -> pd.DataFrame:
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
    if smallest < 1e-10:
        raise InputError(
            f"The correlation matrix is not positive definite (smallest eigenvalue "
            f"{smallest:.2g}).",
            remedy="Look for an item that is a sum or a copy of others, or for fewer respondents "
            "than items.",
        )
    return matrix
