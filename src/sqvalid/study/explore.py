"""The part of a study that finds a structure: dividing the answers, and exploring one part."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import Diagnostic, InputError, OptionError, SqvalidError, SqvalidWarning
from sqvalid.exploratory import (
    EfaResult,
    Factorability,
    Retention,
    assess_factorability,
    efa,
    suggest_n_factors,
)
from sqvalid.moments.em import em_moments
from sqvalid.resampling import uniforms
from sqvalid.survey.checks import numeric_items

if TYPE_CHECKING:
    from sqvalid.survey import Survey

__all__ = ["Explore", "Explored", "divide", "explore", "explore_beside"]

# Number of the random stream of the division, beyond those of every other purpose.
_STREAM = 2**42


@dataclass(frozen=True)
class Explore:
    """How a study that develops explores; set before the answers are looked at.

    Parameters
    ----------
    share : float
        Part of the respondents that is explored; the rest tests what was found.
    stratify : str, optional
        Column within whose values the respondents are divided.
    dimensions : tuple of str
        Dimensions whose items are explored; all of them by default. The factors of the others
        stay as stated.
    n_factors : int, optional
        By default what :func:`sqvalid.suggest_n_factors` recommends.
    extraction, rotation : str
        See :func:`sqvalid.efa`.
    smallest_loading, smallest_gap : float
        See :func:`sqvalid.propose_measurement`.

    Raises
    ------
    OptionError
        A share that leaves one of the parts empty.
    """

    share: float = 0.5
    stratify: str | None = None
    dimensions: tuple[str, ...] = ()
    n_factors: int | None = None
    extraction: str = "minres"
    rotation: str = "oblimin"
    smallest_loading: float = 0.40
    smallest_gap: float = 0.20

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", tuple(self.dimensions))
        if not 0.1 <= self.share <= 0.9:
            raise OptionError(
                f"share={self.share!r}: each part needs at least a tenth of the respondents.",
                remedy="Try share=0.5.",
            )


@dataclass(frozen=True)
class Explored:
    """What exploration computed; None where it could not be."""

    factorability: Factorability | None = None
    retention: Retention | None = None
    efa: EfaResult | None = None


def divide(survey: Survey, plan: Explore, seed: int) -> tuple[Survey, Survey]:
    """Divide respondents at random into those who are explored and those who test.

    Parameters
    ----------
    survey : Survey
    plan : Explore
    seed : int

    Returns
    -------
    explored, held_out : Survey
        Rows in their order. Within each stratum the share is met to the nearest respondent;
        respondents without a value of the stratum are one of their own.
    """
    n = len(survey)
    if plan.stratify is None:
        strata = np.zeros(n, dtype=np.int64)
    else:
        strata = pd.factorize(survey.frame[plan.stratify])[0]
    draws = uniforms(seed, _STREAM, n)
    chosen = np.zeros(n, dtype=bool)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        order = members[np.argsort(draws[members], kind="stable")]
        chosen[order[: int(np.floor(plan.share * len(members) + 0.5))]] = True
    if chosen.all() or not chosen.any():
        raise InputError(
            f"{n} respondents cannot be divided into two parts.",
            remedy="Explore and test on separate answers only with many more respondents.",
        )
    shown = f"share {plan.share:g}, seed {seed}"
    if plan.stratify is not None:
        shown += f", within {plan.stratify}"
    explored = survey.drop([bool(x) for x in ~chosen], f"held out for the test ({shown})")
    held_out = survey.drop([bool(x) for x in chosen], f"used to explore ({shown})")
    return explored, held_out


def explore(
    survey: Survey | None,
    items: Sequence[str],
    *,
    matrix: pd.DataFrame | None = None,
    n_obs: int | None = None,
    n_factors: int | None = None,
    plan: Explore | None = None,
    incomplete: bool = False,
    weights: str | None = None,
    n_draws: int = 200,
    seed: int,
) -> tuple[Explored, tuple[Diagnostic, ...]]:
    """Ask whether items can be factored, into how many factors, and which.

    Parameters
    ----------
    survey : Survey or None
        The answers; None with `matrix`.
    items : sequence of str
        What is explored.
    matrix : pandas.DataFrame, optional
        Covariance or correlation matrix instead of answers, with `n_obs`.
    n_factors : int, optional
        By default the number that is recommended.
    plan : Explore, optional
        Extraction and rotation.
    incomplete : bool
        Whether respondents with missing answers count, by the correlations that EM estimates.
    weights : str, optional
        Column with sampling weights.
    n_draws : int
        Of parallel analysis.
    seed : int

    Returns
    -------
    explored : Explored
    notes : tuple of Diagnostic

    Raises
    ------
    SqvalidError
        As the functions of :mod:`sqvalid.exploratory`.
    """
    plan = plan or Explore()
    names = list(items)
    notes: list[Diagnostic] = []
    given: dict[str, Any] = {}
    data: pd.DataFrame | None = None
    if survey is None:
        if matrix is None:
            raise InputError("There is nothing to explore.", remedy="Give answers or a matrix.")
        covariance = matrix.loc[names, names].to_numpy(dtype=float)
        given = {"correlation": _correlation(covariance, names), "n_obs": n_obs}
    else:
        data = numeric_items(survey.frame, names)
        gaps = incomplete and bool(data.isna().any(axis=None))
        if gaps or weights is not None:
            absent = data.isna().to_numpy()
            kept = ~(absent.all(axis=1) if gaps else absent.any(axis=1))
            shares = None
            if weights is not None:
                column = numeric_items(survey.frame, [weights])[weights]
                shares = column.to_numpy(dtype=float)[kept]
            moments = em_moments(data.to_numpy(dtype=float)[kept], shares)
            given = {"correlation": _correlation(moments.covariance, names), "n_obs": moments.n}
            if gaps:
                notes.append(Diagnostic("explored_by_em", "info", (), {"n": moments.n}))
            data = None
    with warnings.catch_warnings():
        # Each is a diagnostic of its result.
        warnings.simplefilter("ignore", SqvalidWarning)
        factorability = assess_factorability(data, **given)
        retention = suggest_n_factors(data, **given, n_draws=n_draws, seed=seed)
        wanted = n_factors or plan.n_factors or max(retention.recommended, 1)
        solution = efa(
            data,
            min(wanted, len(names) - 1),
            extraction=plan.extraction,
            rotation=plan.rotation if wanted > 1 else None,
            seed=seed,
            **given,
        )
    return Explored(factorability, retention, solution), tuple(notes)


def _correlation(covariance: npt.NDArray[np.float64], names: list[str]) -> pd.DataFrame:
    scale = np.sqrt(np.diag(covariance))
    matrix = covariance / np.outer(scale, scale)
    np.fill_diagonal(matrix, 1.0)
    return pd.DataFrame(matrix, index=names, columns=names)


def explore_beside(
    survey: Survey | None, items: Sequence[str], **options: Any
) -> tuple[Explored, tuple[Diagnostic, ...]]:
    """As :func:`explore`, for a diagnostic: what cannot be explored leaves a note."""
    try:
        # Half the draws: the number of factors is stated, not chosen.
        return explore(survey, items, n_draws=100, **options)
    except SqvalidError as error:
        told = {"reason": str(error).split("\n")[0]}
        return Explored(), (Diagnostic("exploration_failed", "info", (), told),)
