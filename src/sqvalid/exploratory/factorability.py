"""Whether a correlation matrix is worth factoring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic
from sqvalid.exploratory.extraction import squared_multiple_correlations
from sqvalid.exploratory.matrices import correlations

__all__ = ["Factorability", "assess_factorability", "sampling_adequacy"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class Factorability(Result):
    """Evidence that items have something in common.

    Parameters
    ----------
    kmo : float
        Kaiser-Meyer-Olkin measure of sampling adequacy.
    msa : pandas.Series
        The same for each item.
    bartlett_chisq, bartlett_df, bartlett_p : float
        Test that all correlations are zero; NaN without the number of respondents.
    determinant, log_determinant : float
        Of the correlation matrix.
    smc : pandas.Series
        Squared multiple correlation of each item with all others.
    anti_image : pandas.DataFrame
        Partial correlations given all other items, their signs turned; MSA on the diagonal.
    n_obs : int or None
    diagnostics : tuple of Diagnostic
        Smoothing, where it was asked for and needed.

    References
    ----------
    Kaiser (1970); Kaiser & Rice (1974); Bartlett (1951).
    """

    kmo: float
    msa: pd.Series
    bartlett_chisq: float
    bartlett_df: int
    bartlett_p: float
    determinant: float
    log_determinant: float
    smc: pd.Series
    anti_image: pd.DataFrame
    n_obs: int | None
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        return (
            f"KMO {self.kmo:.3f}; Bartlett chi-square {self.bartlett_chisq:.2f} on "
            f"{self.bartlett_df} df; determinant {self.determinant:.3g}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return MSA and squared multiple correlation of each item."""
        return pd.DataFrame({"msa": self.msa, "smc": self.smc})

    def tables(self) -> tuple[Table, ...]:
        """MSA and squared multiple correlations."""
        frame = self.to_frame().rename_axis("item").reset_index()
        return (Table(frame, formats={"msa": "unit", "smc": "unit"}),)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "kmo": self.kmo,
            "items": self.to_frame(),
            "bartlett": [self.bartlett_chisq, self.bartlett_df, self.bartlett_p],
            "determinant": self.determinant,
        }


def sampling_adequacy(r: Array) -> tuple[float, Array, Array]:
    """Kaiser-Meyer-Olkin measure.

    Parameters
    ----------
    r : ndarray, shape (p, p)
        Positive definite, ones on the diagonal.

    Returns
    -------
    kmo : float
        Of all items.
    msa : ndarray, shape (p,)
        Of each item.
    anti_image : ndarray, shape (p, p)
        Partial correlations given all other items, their signs turned; ones on the diagonal.
    """
    inverse = np.linalg.inv(r)
    scale = np.sqrt(np.diag(inverse))
    partial = inverse / np.outer(scale, scale)
    off = ~np.eye(len(r), dtype=bool)
    squares = np.where(off, r**2, 0.0)
    partial_squares = np.where(off, partial**2, 0.0)
    msa = squares.sum(axis=0) / (squares.sum(axis=0) + partial_squares.sum(axis=0))
    kmo = float(squares.sum() / (squares.sum() + partial_squares.sum()))
    return kmo, msa, partial


def assess_factorability(
    data: Any = None,
    *,
    correlation: str | pd.DataFrame = "pearson",
    n_obs: int | None = None,
    items: Sequence[str] | None = None,
    missing: str = "listwise",
    smooth: bool = False,
) -> Factorability:
    """Ask whether the items of a matrix have enough in common to be factored.

    Parameters
    ----------
    data, correlation, n_obs, items, missing, smooth
        As for :func:`sqvalid.efa`.

    Returns
    -------
    Factorability

    Raises
    ------
    SurveyError, InputError, OptionError, UnsupportedError
        As for :func:`sqvalid.efa`.
    """
    found = correlations(
        data, correlation, items, n_obs=n_obs, missing=missing, smooth=smooth
    )  # fmt: skip
    matrix, n = found.matrix, found.n_obs
    r = matrix.to_numpy(dtype=float)
    p = len(r)
    kmo, msa, partial = sampling_adequacy(r)
    image = partial.copy()
    np.fill_diagonal(image, msa)
    log_det = float(np.linalg.slogdet(r)[1])
    df = p * (p - 1) // 2
    chisq = math.nan if n is None else -log_det * (n - 1 - (2 * p + 5) / 6.0)
    index = matrix.index
    return Factorability(
        kmo=kmo,
        msa=pd.Series(msa, index=index, name="msa"),
        bartlett_chisq=chisq,
        bartlett_df=df,
        bartlett_p=math.nan if n is None else float(chdtrc(df, chisq)),
        determinant=math.exp(log_det),
        log_determinant=log_det,
        smc=pd.Series(squared_multiple_correlations(r), index=index, name="smc"),
        anti_image=pd.DataFrame(image, index=index, columns=index),
        n_obs=n,
        diagnostics=found.diagnostics,
    )
