"""Fit of an extraction: the measures of psych and of R's factanal."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc, chndtrinc

from sqvalid.exploratory.extraction import Extraction

__all__ = ["MEASURES", "degrees_of_freedom", "fit_of"]

Array = npt.NDArray[np.float64]
MEASURES = (
    "chisq", "df", "pvalue", "rmsea", "rmsea_ci_lower", "rmsea_ci_upper", "tli", "cfi", "bic",
    "sabic", "rmsr", "rmsr_corrected", "fit", "fit_off_diagonal", "objective", "chisq_empirical",
    "pvalue_empirical", "ebic", "chisq_baseline", "df_baseline",
)  # fmt: skip
# Both ends of a 90% interval, as everywhere for RMSEA.
_TAIL = 0.05


def degrees_of_freedom(p: int, m: int) -> int:
    """Correlations minus loadings plus rotations: ((p - m)^2 - p - m) / 2."""
    return ((p - m) ** 2 - p - m) // 2


def fit_of(r: Array, found: Extraction, m: int, n: int | None) -> pd.Series:
    """Return the fit measures of an extraction.

    Parameters
    ----------
    r : ndarray, shape (p, p)
    found : Extraction
    m : int
    n : int or None
        Respondents; without them there are no tests.

    Returns
    -------
    pandas.Series
        :data:`MEASURES`; see :class:`sqvalid.exploratory.EfaResult`.
    """
    p = len(r)
    df = degrees_of_freedom(p, m)
    implied = found.loadings @ found.loadings.T
    residual = r - implied
    lower = residual[np.tril_indices(p, -1)]
    off = float((lower**2).sum())
    out = dict.fromkeys(MEASURES, math.nan)
    out["df"], out["df_baseline"] = float(df), p * (p - 1) / 2.0
    out["rmsr"] = math.sqrt(off / len(lower))
    out["fit"] = 1.0 - float((residual**2).sum() / (r**2).sum())
    out["fit_off_diagonal"] = 1.0 - 2.0 * off / float((r**2).sum() - p)
    if df > 0:
        out["rmsr_corrected"] = math.sqrt(off / df)
    np.fill_diagonal(implied, 1.0)
    log_r = float(np.linalg.slogdet(r)[1])
    sign, log_implied = np.linalg.slogdet(implied)
    if sign > 0:
        objective = float(log_implied - log_r + np.trace(np.linalg.solve(implied, r)) - p)
        out["objective"] = max(objective, 0.0)
    if n is None or n < 3:
        return pd.Series(out)
    out["chisq_baseline"] = -log_r * (n - 1 - (2 * p + 5) / 6.0)
    multiplier = n - 1 - (2 * p + 5) / 6.0 - 2.0 * m / 3.0
    if df < 0:
        return pd.Series(out)
    out["chisq_empirical"] = empirical = 2.0 * n * off
    out["ebic"] = empirical - df * math.log(n)
    if df > 0:
        out["pvalue_empirical"] = float(chdtrc(df, empirical))
    if math.isnan(out["objective"]) or multiplier <= 0.0:
        # An implied matrix that is not positive definite, or so few respondents that Bartlett's
        # multiplier has no meaning.
        return pd.Series(out)
    out["chisq"] = chisq = out["objective"] * multiplier
    out["bic"] = chisq - df * math.log(n)
    out["sabic"] = chisq - df * math.log((n + 2) / 24.0)
    if df > 0:
        out |= _noncentral(chisq, df, n)
        base = -log_r * multiplier
        out["tli"] = (base / out["df_baseline"] - chisq / df) / (base / out["df_baseline"] - 1.0)
        excess = max(base - out["df_baseline"], chisq - df, 0.0)
        out["cfi"] = 1.0 - max(chisq - df, 0.0) / excess if excess > 0.0 else math.nan
    return pd.Series(out)


def _noncentral(chisq: float, df: int, n: int) -> dict[str, float]:
    """p-value and RMSEA with its interval; the point is psych's, with n where others have n - 1."""
    size = df * (n - 1.0)
    # Where even the central distribution has no more than the tail's share below it, the
    # noncentrality of the end is zero.
    ends = {
        "rmsea_ci_lower": _TAIL,
        "rmsea_ci_upper": 1.0 - _TAIL,
    }
    out = {
        "pvalue": float(chdtrc(df, chisq)),
        "rmsea": math.sqrt(max(0.0, chisq / (df * n) - 1.0 / (n - 1))),
    }
    for name, above in ends.items():
        if chdtrc(df, chisq) >= above:
            out[name] = 0.0
        else:
            out[name] = math.sqrt(max(float(chndtrinc(chisq, df, 1.0 - above)), 0.0) / size)
    return out
