"""Agreement of raters and of occasions: intraclass correlations, error of measurement.

Names are those of McGraw & Wong (1996): ICC(1) for raters who differ from subject to subject,
ICC(A) for absolute agreement and ICC(C) for consistency of the same raters; with k in place of
1 for the mean of all k ratings. Shrout & Fleiss (1979) call them ICC(1,1), (2,1), (3,1) and
(1,k), (2,k), (3,k).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import ndtri

from sqvalid.criteria import classify
from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, OptionError

__all__ = [
    "IntraclassCorrelation",
    "MeanSquares",
    "intraclass_correlation",
    "intraclass_correlations",
    "mean_squares",
]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeanSquares:
    """Analysis of variance of subjects by raters.

    Parameters
    ----------
    n, k : int
        Subjects and raters.
    subjects, raters, residual, within : float
        Mean squares with n - 1, k - 1, (n - 1)(k - 1) and n(k - 1) degrees of freedom.
    """

    n: int
    k: int
    subjects: float
    raters: float
    residual: float
    within: float


def mean_squares(ratings: Array) -> MeanSquares:
    """Return the mean squares of a complete table.

    Parameters
    ----------
    ratings : ndarray (n, k)
        Subjects by raters (or occasions).

    Returns
    -------
    MeanSquares
    """
    n, k = ratings.shape
    centred = ratings - ratings.mean()
    by_subject, by_rater = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - by_subject[:, None] - by_rater
    within = centred - by_subject[:, None]
    return MeanSquares(
        n,
        k,
        float(k * (by_subject**2).sum() / (n - 1)),
        float(n * (by_rater**2).sum() / (k - 1)),
        float((rest**2).sum() / ((n - 1) * (k - 1))),
        float((within**2).sum() / (n * (k - 1))),
    )


@dataclass(frozen=True, repr=False, eq=False)
class IntraclassCorrelation(Result):
    """Six intraclass correlations and the error of measurement.

    Made by :func:`intraclass_correlation`.

    Parameters
    ----------
    coefficients : pandas.DataFrame
        ``form shrout_fleiss model type unit icc ci_lower ci_upper f df1 df2 p band_lower
        band_upper formula``. The bands are those of Koo & Li (2016) for the two ends of the
        interval, on which they ask to base the judgement.
    mean_squares : MeanSquares
    sem_agreement, sem_consistency : float
        Standard error of measurement of one rating, with and without the differences between
        the means of raters.
    sdc_agreement, sdc_consistency : float
        Smallest detectable change of one subject: the error of a difference between two
        ratings, times the normal quantile of `level`.
    pairs : pandas.DataFrame
        ``first second n r mean_difference sd_difference loa_lower loa_upper`` for every pair
        of raters: Pearson correlation and Bland and Altman's limits of agreement.
    level : float
    diagnostics : tuple of Diagnostic
    """

    coefficients: pd.DataFrame
    mean_squares: MeanSquares
    sem_agreement: float
    sem_consistency: float
    sdc_agreement: float
    sdc_consistency: float
    pairs: pd.DataFrame
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        one = self.coefficients.set_index("form")["icc"]
        ms = self.mean_squares
        return f"{ms.n} subjects, {ms.k} ratings: ICC(A,1) {one['ICC(A,1)']:.3f}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per form."""
        return self.coefficients.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the forms, the errors of measurement and the pairs."""
        units = dict.fromkeys(("icc", "ci_lower", "ci_upper"), "unit")
        errors = pd.DataFrame(
            {
                "type": ["agreement", "consistency"],
                "sem": [self.sem_agreement, self.sem_consistency],
                "sdc": [self.sdc_agreement, self.sdc_consistency],
            }
        )
        return (
            Table(self.coefficients, formats=units | {"p": "p"}),
            Table(errors),
            Table(self.pairs, formats={"r": "unit"}),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.coefficients,
            "mean_squares": self.mean_squares,
            "sem_agreement": self.sem_agreement,
            "sem_consistency": self.sem_consistency,
            "sdc_agreement": self.sdc_agreement,
            "sdc_consistency": self.sdc_consistency,
            "pairs": self.pairs,
            "level": self.level,
        }


_FORMS = (
    ("ICC(1)", "ICC(1,1)", "one-way random", "agreement", "single",
     "(MSR - MSW) / (MSR + (k-1) MSW)"),
    ("ICC(A,1)", "ICC(2,1)", "two-way random", "agreement", "single",
     "(MSR - MSE) / (MSR + (k-1) MSE + k (MSC - MSE) / n)"),
    ("ICC(C,1)", "ICC(3,1)", "two-way mixed", "consistency", "single",
     "(MSR - MSE) / (MSR + (k-1) MSE)"),
    ("ICC(k)", "ICC(1,k)", "one-way random", "agreement", "mean", "(MSR - MSW) / MSR"),
    ("ICC(A,k)", "ICC(2,k)", "two-way random", "agreement", "mean",
     "(MSR - MSE) / (MSR + (MSC - MSE) / n)"),
    ("ICC(C,k)", "ICC(3,k)", "two-way mixed", "consistency", "mean", "(MSR - MSE) / MSR"),
)  # fmt: skip


def intraclass_correlations(ms: MeanSquares, *, level: float = 0.95) -> list[dict[str, Any]]:
    """Six intraclass correlations with F tests and intervals.

    Parameters
    ----------
    ms : MeanSquares
        Of n subjects and k raters, `residual` and `within` above zero.
    level : float
        Coverage.

    Returns
    -------
    list of dict
        ``form icc ci_lower ci_upper f df1 df2 p`` in the order single, then mean. F tests the
        hypothesis of no agreement at all. The interval of ICC(A) uses Satterthwaite's degrees of
        freedom; those of means follow from those of single ratings.

    References
    ----------
    Shrout & Fleiss (1979), Psychological Bulletin 86, 420-428; McGraw & Wong (1996),
    Psychological Methods 1, 30-46, with their correction of the same year.
    """
    n, k = ms.n, ms.k
    tail = (1.0 - level) / 2.0
    msr, msc, mse, msw = ms.subjects, ms.raters, ms.residual, ms.within
    df1, df_within, df_rest = n - 1, n * (k - 1), (n - 1) * (k - 1)

    def from_f(f: float, df2: int) -> tuple[float, float]:
        low = f / float(stats.f.isf(tail, df1, df2))
        high = f * float(stats.f.isf(tail, df2, df1))
        return (low - 1.0) / (low + k - 1.0), (high - 1.0) / (high + k - 1.0)

    one = (msr - msw) / (msr + (k - 1) * msw)
    agreement = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    consistency = (msr - mse) / (msr + (k - 1) * mse)
    f_one, f_two = msr / msw, msr / mse
    ends = {
        "ICC(1)": from_f(f_one, df_within),
        "ICC(A,1)": _agreement_interval(ms, agreement, tail),
        "ICC(C,1)": from_f(f_two, df_rest),
    }
    values = {
        "ICC(1)": one,
        "ICC(A,1)": agreement,
        "ICC(C,1)": consistency,
        "ICC(k)": (msr - msw) / msr,
        "ICC(A,k)": (msr - mse) / (msr + (msc - mse) / n),
        "ICC(C,k)": (msr - mse) / msr,
    }
    rows = []
    for form, *_ in _FORMS:
        single = form.replace("(k)", "(1)").replace(",k)", ",1)")
        low, high = ends[single]
        if form != single:
            low, high = _stepped_up(low, k), _stepped_up(high, k)
        f, df2 = (f_one, df_within) if single == "ICC(1)" else (f_two, df_rest)
        rows.append(
            {
                "form": form,
                "icc": values[form],
                "ci_lower": low,
                "ci_upper": high,
                "f": f,
                "df1": df1,
                "df2": df2,
                "p": float(stats.f.sf(f, df1, df2)),
            }
        )
    return rows


def _stepped_up(single: float, k: int) -> float:
    below = 1.0 + (k - 1.0) * single
    return k * single / below if below > 0.0 else float("nan")


def _agreement_interval(ms: MeanSquares, icc: float, tail: float) -> tuple[float, float]:
    n, k = ms.n, ms.k
    if icc >= 1.0:
        return float("nan"), float("nan")
    a = k * icc / (n * (1.0 - icc))
    b = 1.0 + k * icc * (n - 1.0) / (n * (1.0 - icc))
    df = (a * ms.raters + b * ms.residual) ** 2 / (
        (a * ms.raters) ** 2 / (k - 1) + (b * ms.residual) ** 2 / ((n - 1) * (k - 1))
    )
    lower_f = float(stats.f.isf(tail, n - 1, df))
    upper_f = float(stats.f.isf(tail, df, n - 1))
    rest = k * ms.raters + (k * n - k - n) * ms.residual
    low = n * (ms.subjects - lower_f * ms.residual) / (lower_f * rest + n * ms.subjects)
    high = n * (upper_f * ms.subjects - ms.residual) / (rest + n * upper_f * ms.subjects)
    return float(low), float(high)


def intraclass_correlation(
    ratings: Any, columns: Sequence[str] | None = None, *, level: float = 0.95
) -> IntraclassCorrelation:
    """Agreement of raters, or of the occasions of a retest.

    Parameters
    ----------
    ratings : pandas.DataFrame or polars.DataFrame
        One row per subject, one column per rater or occasion (for a retest: the score of every
        respondent at each occasion). Rows with a missing rating are left out and counted.
    columns : sequence of str, optional
        Which columns; by default all.
    level : float
        Coverage of intervals, and of the smallest detectable change.

    Returns
    -------
    IntraclassCorrelation

    Raises
    ------
    OptionError
        A level outside (0, 1).
    InputError
        Fewer than two columns or three complete rows, text, or ratings without any error.
    """
    from sqvalid.survey import as_pandas

    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try level=0.95.")
    frame = as_pandas(ratings)
    names = [str(c) for c in frame.columns] if columns is None else list(columns)
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise InputError(f"The ratings have no columns {', '.join(map(repr, absent))}.")
    wordy = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
    if wordy:
        raise InputError(
            f"Ratings must be numbers; these columns are not: {', '.join(map(repr, wordy))}.",
            remedy="Name the columns of the raters with columns=[...].",
        )
    values = frame[names].to_numpy(dtype=float)
    complete = values[~np.isnan(values).any(axis=1)]
    if len(names) < 2 or len(complete) < 3:
        raise InputError(
            f"There are {len(names)} raters and {len(complete)} complete rows; two raters and "
            "three rows are the least.",
            remedy="One row per subject, one column per rater or occasion.",
        )
    ms = mean_squares(complete)
    if not ms.residual > 0.0 or not ms.subjects > 0.0:
        what = "subjects do not differ" if ms.residual > 0.0 else "raters differ by a constant only"
        raise InputError(
            f"No intraclass correlation is defined: {what}.",
            remedy="Check whether a column was copied.",
        )
    diagnostics = []
    if len(complete) < len(values):
        left_out = {"n_left_out": len(values) - len(complete), "n_total": len(values)}
        diagnostics.append(Diagnostic("rating_incomplete", "warning", (), left_out))
    rows = []
    for found, (_, older, model, kind, unit, formula) in zip(
        intraclass_correlations(ms, level=level), _FORMS, strict=True
    ):
        rows.append(
            {"form": found["form"], "shrout_fleiss": older, "model": model, "type": kind,
             "unit": unit}
            | {name: value for name, value in found.items() if name != "form"}
            | {
                "band_lower": classify("icc", found["ci_lower"]).band,
                "band_upper": classify("icc", found["ci_upper"]).band,
                "formula": formula,
            }
        )  # fmt: skip
    negative = tuple(str(row["form"]) for row in rows if row["icc"] < 0.0)
    if negative:
        diagnostics.append(Diagnostic("icc_negative", "warning", negative))
    # A negative component of variance for raters is taken as none.
    raters = max((ms.raters - ms.residual) / ms.n, 0.0)
    agreement, consistency = float(np.sqrt(raters + ms.residual)), float(np.sqrt(ms.residual))
    change = float(ndtri((1.0 + level) / 2.0) * np.sqrt(2.0))
    return IntraclassCorrelation(
        pd.DataFrame(rows),
        ms,
        agreement,
        consistency,
        change * agreement,
        change * consistency,
        _pairs(complete, names, level),
        level,
        tuple(diagnostics),
    )


def _pairs(values: Array, names: Sequence[str], level: float) -> pd.DataFrame:
    reach = float(ndtri((1.0 + level) / 2.0))
    rows = []
    for j in range(len(names)):
        for i in range(j):
            gap = values[:, j] - values[:, i]
            mean, sd = float(gap.mean()), float(gap.std(ddof=1))
            varies = np.ptp(values[:, i]) > 0.0 and np.ptp(values[:, j]) > 0.0
            r = float(np.corrcoef(values[:, i], values[:, j])[0, 1]) if varies else float("nan")
            rows.append(
                {
                    "first": names[i],
                    "second": names[j],
                    "n": len(values),
                    "r": r,
                    "mean_difference": mean,
                    "sd_difference": sd,
                    "loa_lower": mean - reach * sd,
                    "loa_upper": mean + reach * sd,
                }
            )
    return pd.DataFrame(rows)
