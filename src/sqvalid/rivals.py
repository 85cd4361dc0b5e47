"""Rival models of the same answers, side by side, and what may be concluded from them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import (
    Diagnostic,
    InputError,
    OptionError,
    SqvalidError,
    SqvalidWarning,
    UnsupportedError,
)
from sqvalid.latent import FitResult, model_variables, sem
from sqvalid.latent.comparison import compare_models

__all__ = ["Rivals", "compare_rivals"]

# Relative difference of two chi-squares up to which models fit exactly alike.
_ALIKE = 1e-5
_MEASURES = ("df", "chisq", "pvalue", "cfi", "tli", "rmsea", "srmr", "aic", "bic")


@dataclass(frozen=True, repr=False, eq=False)
class Rivals(Result):
    """Models of the same answers.

    Made by :func:`compare_rivals`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per model: ``model npar df chisq pvalue cfi tli rmsea srmr aic bic converged
        admissible reason delta_chisq delta_df delta_p equivalence_class primary planned``. CFI,
        TLI and RMSEA are the robust ones where the estimator has them. The difference is against
        the primary model, positive degrees of freedom for a more restricted rival; it is NaN
        where neither is nested in the other, ``reason`` says so. Models of one equivalence class
        fit these data exactly alike: no index separates them.
    fits : mapping of str to FitResult
        The fits, by name; a model that could not be estimated is missing here.
    primary : str
        Name of the model that the others are held against.
    diagnostics : tuple of Diagnostic
    """

    frame: pd.DataFrame
    fits: Mapping[str, FitResult]
    primary: str
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def classes(self) -> tuple[tuple[str, ...], ...]:
        """Models that cannot be told apart by fit, as sets of names; singles left out."""
        grouped = self.frame.groupby("equivalence_class", sort=False)["model"].apply(tuple)
        return tuple(names for names in grouped if len(names) > 1)

    def _headline(self) -> str:
        admissible = int(self.frame["admissible"].sum())
        return f"{len(self.frame)} models, {admissible} of them admissible"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per model; see `frame`."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """The models in one table."""
        return (Table(self.frame, formats={"pvalue": "p", "delta_p": "p"}),)

    def _payload(self) -> Mapping[str, Any]:
        return {"table": self.frame, "primary": self.primary, "classes": self.classes}


def compare_rivals(
    models: Mapping[str, str],
    data: Any,
    *,
    primary: str | None = None,
    planned: Mapping[str, bool] | None = None,
    fitted: Mapping[str, FitResult] | None = None,
    **options: Any,
) -> Rivals:
    """Fit rival models to the same answers and put them into one table.

    Parameters
    ----------
    models : mapping of str to str
        Name to model text. All of them must be about the same variables.
    data : pandas.DataFrame or other data of :func:`sqvalid.cfa`
        Answers; None with ``cov=`` and ``n_obs=`` among `options`.
    primary : str, optional
        The model that the others are held against; by default the first.
    planned : mapping of str to bool, optional
        Whether a model was named before the data were seen; by default all of them.
    fitted : mapping of str to FitResult, optional
        Fits that are there already: of models among `models`, to the same answers, with the
        same options.
    **options
        As for :func:`sqvalid.cfa`.

    Returns
    -------
    Rivals
        A model that cannot be estimated keeps its row, with the reason.

    Raises
    ------
    OptionError
        No models, or an unknown primary one.
    InputError
        The models are about different variables; the message names them.

    Notes
    -----
    Information criteria compare models of the same variables whether nested or not. A
    chi-square difference is given only where one model is nested in the other, which is
    checked on the moments (Bentler & Satorra 2010); it is approximate where one of the two
    is inadmissible.
    """
    if not models:
        raise OptionError("There are no models to compare.", remedy="Give name -> model text.")
    first = next(iter(models)) if primary is None else primary
    if first not in models:
        raise OptionError(
            f"primary={first!r} is not among the models.",
            remedy=f"Choose one of: {', '.join(models)}.",
        )
    _check_variables(models)
    planned = planned or {}
    fits: dict[str, FitResult] = {}
    reasons: dict[str, str] = {}
    for name, text in models.items():
        if fitted is not None and name in fitted:
            fits[name] = fitted[name]
            continue
        try:
            with warnings.catch_warnings():
                # Every one of them is a diagnostic of the fit.
                warnings.simplefilter("ignore", SqvalidWarning)
                fits[name] = sem(text, data, **options)
        except SqvalidError as error:
            if name == first:
                raise
            reasons[name] = str(error).split("\n")[0]
    rows = [
        _row(name, fits.get(name), reasons.get(name, ""), fits[first])
        | {
            "equivalence_class": letter,
            "primary": name == first,
            "planned": bool(planned.get(name, True)),
        }
        for name, letter in zip(models, _classes(list(models), fits), strict=True)
    ]
    frame = pd.DataFrame(rows)
    alike = [
        Diagnostic("rivals_equivalent", "info", tuple(names), {"models": ", ".join(names)})
        for names in frame.groupby("equivalence_class", sort=False)["model"].apply(list)
        if len(names) > 1
    ]
    return Rivals(frame, dict(fits), first, tuple(alike))


def _check_variables(models: Mapping[str, str]) -> None:
    wanted = {name: set(model_variables(text)) for name, text in models.items()}
    union = set().union(*wanted.values())
    for name, variables in wanted.items():
        absent = sorted(union - variables)
        if absent:
            raise InputError(
                f"Model {name!r} leaves out {', '.join(absent)}, which another model has.",
                remedy="Models of different variables cannot be compared by fit: give every "
                "rival all variables, e.g. as uncorrelated ones.",
            )


def _row(name: str, fit: FitResult | None, reason: str, primary: FitResult) -> dict[str, Any]:
    nothing = math.nan
    row: dict[str, Any] = {"model": name, "npar": nothing if fit is None else fit.n_free}
    measures = {} if fit is None else dict(fit.fit_measures)
    for key in _MEASURES:
        value = float(measures.get(key, nothing))
        suffix = "scaled" if key in ("chisq", "pvalue") else "robust"
        robust = float(measures.get(f"{key}_{suffix}", nothing))
        row[key] = value if math.isnan(robust) else robust
    row["converged"] = fit is not None and fit.converged
    row["admissible"] = fit is not None and fit.admissible
    delta = (nothing, nothing, nothing)
    if fit is not None and fit is not primary:
        delta, why = _difference(fit, primary)
        reason = reason or why
    if fit is not None and not fit.admissible and not reason:
        problems = [d.code for d in fit.diagnostics if d.severity == "problem"]
        reason = problems[0] if problems else ""
    row["reason"] = reason
    row["delta_chisq"], row["delta_df"], row["delta_p"] = delta
    return row


def _difference(fit: FitResult, primary: FitResult) -> tuple[tuple[float, float, float], str]:
    """Chi-square difference from the primary model, signed degrees of freedom, and why not."""
    nothing = (math.nan, math.nan, math.nan)
    if not (fit.converged and primary.converged):
        return nothing, "comparison_not_converged"
    if fit.df == primary.df:
        return nothing, "comparison_same_df"
    try:
        compared = compare_models(primary, fit)
    except (UnsupportedError, OptionError) as error:
        return nothing, str(error).split("\n")[0]
    found = compared.differences[0]
    codes = [d.code for d in compared.diagnostics]
    if "nesting_not_verified" in codes:
        return nothing, "nesting_not_verified"
    sign = 1.0 if fit.df > primary.df else -1.0
    return (sign * found.chisq_diff, sign * found.df_diff, found.p), found.reason


def _classes(names: list[str], fits: Mapping[str, FitResult]) -> list[str]:
    """Give models of equal fit and equal degrees of freedom the same letter."""
    letters: list[str] = []
    leaders: list[tuple[str, float, int]] = []
    for name in names:
        fit = fits.get(name)
        letter = ""
        if fit is not None and fit.converged:
            chisq = float(fit.fit_measures["chisq"])
            for known, other, df in leaders:
                if df == fit.df and np.isclose(chisq, other, rtol=_ALIKE, atol=1e-4):
                    letter = known
                    break
        if not letter:
            letter = _letter(len(leaders))
            chisq = float(fit.fit_measures["chisq"]) if fit is not None else math.nan
            leaders.append((letter, chisq, -1 if fit is None else fit.df))
        letters.append(letter)
    return letters


def _letter(number: int) -> str:
    prefix = _letter(number // 26 - 1) if number >= 26 else ""
    return prefix + chr(ord("A") + number % 26)
