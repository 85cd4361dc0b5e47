"""Does a structure reproduce: against a published pattern, within the sample, between groups.

Congruence is high by construction where a rotation is free to look for it, so every comparison
with a target also tells how high the same search comes with the items of the target shuffled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, EstimationError, InputError, OptionError, check_choice
from sqvalid.exploratory.agreement import column_congruence, orthogonal_procrustes
from sqvalid.exploratory.analysis import efa
from sqvalid.exploratory.extraction import extract
from sqvalid.exploratory.intervals import align_columns, draw_solution
from sqvalid.exploratory.matrices import correlations
from sqvalid.exploratory.result import EfaResult, EfaSetup
from sqvalid.resampling import basic_interval, row_numbers, shuffled
from sqvalid.rotation import rotate
from sqvalid.survey import Survey, as_pandas

__all__ = [
    "Replication", "Stability", "StructureComparison", "assess_replication", "assess_stability",
    "compare_structures",
]  # fmt: skip

Array = npt.NDArray[np.float64]
# Tucker's congruence from which factors are similar, and equal (Lorenzo-Seva & ten Berge 2006).
FAIR, EQUAL = 0.85, 0.95
_ROTATIONS = ("orthogonal", "oblique")


def _finish(frame: pd.DataFrame) -> dict[str, str]:
    return {
        str(c): "unit"
        for c in frame.columns
        if frame[c].dtype.kind == "f" and not str(c).startswith("share")
    }


# --- against a target --------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class Replication(Result):
    """How near a structure comes to a published or expected one.

    Made by :func:`assess_replication`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per factor of the target and one for all: ``factor congruence ci_lower ci_upper
        chance``; basic bootstrap intervals, ended at one; chance is the 95th centile of what the
        same rotation reaches when the rows of the target are shuffled.
    items : pandas.Series
        Congruence of each item's row.
    loadings : pandas.DataFrame
        Rotated towards the target.
    factor_correlations : pandas.DataFrame
    target : pandas.DataFrame
    rotation : str
    n_obs : int or None
    n_draws, n_failed : int
    """

    frame: pd.DataFrame
    items: pd.Series
    loadings: pd.DataFrame
    factor_correlations: pd.DataFrame
    target: pd.DataFrame
    rotation: str
    n_obs: int | None
    n_draws: int
    n_failed: int
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        told = ", ".join(
            f"{f} {c:.3f}" for f, c in zip(self.frame["factor"], self.frame["congruence"],
                                           strict=True)
        )  # fmt: skip
        return f"congruence with the target: {told}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per factor."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """Factors, then items."""
        items = self.loadings.assign(congruence=self.items).rename_axis("item").reset_index()
        return (Table(self.frame, formats=_finish(self.frame)),
                Table(items, formats=_finish(items)))  # fmt: skip

    def _payload(self) -> Mapping[str, Any]:
        return {
            "factors": self.frame,
            "items": self.items,
            "loadings": self.loadings,
            "factor_correlations": self.factor_correlations,
            "rotation": self.rotation,
            "n_obs": self.n_obs,
            "n_failed": self.n_failed,
        }


def assess_replication(
    data: Any = None,
    target: pd.DataFrame | Mapping[str, Sequence[str]] | None = None,
    *,
    rotation: str = "orthogonal",
    extraction: str = "minres",
    correlation: str | pd.DataFrame = "pearson",
    n_obs: int | None = None,
    missing: str = "listwise",
    n_draws: int = 500,
    n_shuffles: int = 500,
    level: float = 0.95,
    seed: int = 20261122,
) -> Replication:
    """Ask whether answers reproduce a published pattern, or the key of the questionnaire.

    Parameters
    ----------
    data, correlation, n_obs, missing
        As for :func:`sqvalid.efa`.
    target : pandas.DataFrame or mapping
        Loadings, items by factors; or dimension to items, which is a pattern of ones and zeros.
        None: the dimensions of the survey.
    rotation : {"orthogonal", "oblique"}
        Procrustes (Schonemann 1966), or least squares towards the target with correlated factors
        (Gruvaeus 1970).
    extraction : str
    n_draws : int
        Resamples of the respondents for the intervals; none are drawn of a matrix.
    n_shuffles : int
        Shuffled targets.
    level : float
    seed : int

    Returns
    -------
    Replication

    Raises
    ------
    InputError
        Items of the target that are not there, or none.

    References
    ----------
    Tucker (1951); Lorenzo-Seva & ten Berge (2006); chance: Paunonen (1997).
    """
    check_choice("rotation", rotation, _ROTATIONS)
    wanted = _as_target(data, target)
    items = [str(item) for item in wanted.index]
    found = correlations(data, correlation, items, n_obs=n_obs, missing=missing)
    x = wanted.loc[items].to_numpy(dtype=float)
    m = x.shape[1]
    if not 1 <= m < len(items):
        raise InputError(f"A target of {m} factors for {len(items)} items.")
    base = extract(found.matrix.to_numpy(dtype=float), m, extraction).loadings
    pattern, phi = _towards(base, x, rotation)
    estimate = _congruences(pattern, x)
    chance = np.array(
        [
            _congruences(*_pair(base, x[shuffled(seed, 2**42 + k, len(x))], rotation))
            for k in range(n_shuffles)
        ]
    ).reshape(n_shuffles, m + 1)
    lower = upper = np.full(m + 1, np.nan)
    failed = 0
    if found.answers is not None and n_draws:
        setup = EfaSetup(m, extraction, "none", found.kind, missing)
        draws, failed = _drawn(_used(found.answers, missing), setup, x, rotation, n_draws, seed)
        lower, upper = _interval(draws, estimate, level)
    names = [str(c) for c in wanted.columns]
    frame = pd.DataFrame(
        {
            "factor": [*names, "all"],
            "congruence": estimate,
            "ci_lower": lower,
            "ci_upper": upper,
            "chance": np.quantile(chance, 0.95, axis=0) if n_shuffles else np.nan,
        }
    )
    rows = column_congruence(pattern.T, x.T)
    return Replication(
        frame=frame,
        items=pd.Series(np.diag(rows), index=items, name="congruence"),
        loadings=pd.DataFrame(pattern, index=items, columns=names),
        factor_correlations=pd.DataFrame(phi, index=names, columns=names),
        target=wanted,
        rotation=rotation,
        n_obs=found.n_obs,
        n_draws=n_draws if found.answers is not None else 0,
        n_failed=failed,
        diagnostics=found.diagnostics,
    )


def _as_target(data: Any, target: Any) -> pd.DataFrame:
    if target is None and isinstance(data, Survey) and data.dimensions:
        target = data.dimensions
    if isinstance(target, pd.DataFrame):
        if target.isna().to_numpy().any() or target.index.has_duplicates:
            raise InputError(
                "A target to compare with needs every loading, and every item once.",
                remedy="Write zero where no loading is expected.",
            )
        return target.set_axis([str(item) for item in target.index], axis=0).astype(float)
    if isinstance(target, Mapping) and target:
        items = list(dict.fromkeys(str(item) for own in target.values() for item in own))
        frame = pd.DataFrame(0.0, index=items, columns=[str(name) for name in target])
        for name, own in target.items():
            frame.loc[[str(item) for item in own], str(name)] = 1.0
        return frame
    raise InputError(
        "There is no structure to compare with.",
        remedy="Give target=: loadings, or a mapping of dimension to items.",
    )


def _towards(base: Array, target: Array, rotation: str) -> tuple[Array, Array]:
    """Loadings turned towards a target, and the correlations of the factors."""
    m = base.shape[1]
    turned = orthogonal_procrustes(base, target)
    if rotation == "orthogonal" or m == 1:
        return turned, np.eye(m)
    found = rotate(turned, "target", target=target)
    return found.loadings, found.phi


def _pair(base: Array, target: Array, rotation: str) -> tuple[Array, Array]:
    return _towards(base, target, rotation)[0], target


def _congruences(pattern: Array, target: Array) -> Array:
    """Congruence of each factor with its own, and of all loadings at once."""
    each = np.diag(column_congruence(pattern, target))
    whole = column_congruence(pattern.reshape(-1, 1), target.reshape(-1, 1))[0, 0]
    return np.append(each, whole)


def _used(answers: pd.DataFrame, missing: str) -> Array:
    values = answers.to_numpy(dtype=float)
    gap = np.isnan(values)
    return np.asarray(values[~(gap.any(axis=1) if missing == "listwise" else gap.all(axis=1))])


def _drawn(
    values: Array, setup: EfaSetup, target: Array, rotation: str, n_draws: int, seed: int
) -> tuple[Array, int]:
    out = []
    for k in range(n_draws):
        found = draw_solution(values[row_numbers(seed, k, len(values), len(values))], setup)
        if found is not None:
            out.append(_congruences(_towards(found.pattern, target, rotation)[0], target))
    _enough(len(out), n_draws)
    return np.array(out), n_draws - len(out)


def _interval(draws: Array, estimate: Array, level: float) -> tuple[Array, Array]:
    """Basic bootstrap interval, ended at one.

    A resample is noisier than the sample, so its congruence is lower, often below the estimate in
    every draw; percentiles would keep that bias, the basic interval takes it away.
    """
    lower, upper = basic_interval(draws, estimate, level)
    return np.minimum(lower, 1.0), np.minimum(upper, 1.0)


def _enough(n: int, asked: int) -> None:
    if n < max(2, asked // 2):
        raise EstimationError(
            f"{asked - n} of {asked} samples gave no solution.",
            remedy="Use fewer factors, or items that vary more.",
        )


# --- within the sample -------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class Stability(Result):
    """Whether parts of the sample have the structure of the whole.

    Made by :func:`assess_stability`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per factor: ``factor mean lowest_5_percent lowest share_fair share_equal``:
        congruences, and how often they reach .85 and .95.
    draws : pandas.DataFrame
        Congruence of every comparison.
    folds : int
        2: halves are compared with each other; more: the sample without one fold, with the whole.
    n_failed : int
        Splits without a solution.
    """

    frame: pd.DataFrame
    draws: pd.DataFrame
    folds: int
    n_failed: int

    def _headline(self) -> str:
        what = "halves" if self.folds == 2 else f"{self.folds} folds"
        told = ", ".join(
            f"{f} {c:.3f}" for f, c in zip(self.frame["factor"], self.frame["mean"], strict=True)
        )
        return f"congruence of {what}: {told}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per factor."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """One row per factor."""
        formats = _finish(self.frame)
        formats |= {"share_fair": "percent", "share_equal": "percent"}
        return (Table(self.frame, formats=formats),)

    def _payload(self) -> Mapping[str, Any]:
        return {"factors": self.frame, "folds": self.folds, "n_failed": self.n_failed}


def assess_stability(fit: EfaResult, *, folds: int = 2, repeats: int = 100) -> Stability:
    """Repeat an exploratory analysis in parts of its sample.

    Parameters
    ----------
    fit : EfaResult
        From answers.
    folds : int
        2 compares random halves; more leave one fold out at a time and compare with `fit`.
    repeats : int
        Random divisions.

    Returns
    -------
    Stability
        Factors are matched with those of the whole sample by congruence and sign.

    Raises
    ------
    InputError
        The analysis began with a matrix.
    """
    if fit.answers is None:
        raise InputError(
            "A correlation matrix has no respondents to divide.",
            remedy="Give the answers to efa().",
        )
    if folds < 2 or repeats < 1:
        raise OptionError(
            f"folds={folds!r} and repeats={repeats!r}: at least 2 and 1.", remedy="Use folds=2."
        )
    values = _used(fit.answers, fit.setup.missing)
    if len(values) // folds < 3:
        raise OptionError(f"{folds} folds of {len(values)} respondents.", remedy="Use fewer.")
    target = fit.loadings.to_numpy(dtype=float)
    rows: list[Array] = []
    asked = 0
    for k in range(repeats):
        order = shuffled(fit.setup.seed, 2**43 + k, len(values))
        parts = np.array_split(order, folds)
        if folds == 2:
            asked += 1
            pair = [_aligned_draw(values[np.sort(part)], fit.setup, target) for part in parts]
            if pair[0] is not None and pair[1] is not None:
                rows.append(np.diag(column_congruence(pair[0], pair[1])))
            continue
        for part in parts:
            asked += 1
            found = _aligned_draw(np.delete(values, part, axis=0), fit.setup, target)
            if found is not None:
                rows.append(np.diag(column_congruence(found, target)))
    _enough(len(rows), asked)
    draws = pd.DataFrame(np.array(rows), columns=fit.loadings.columns)
    frame = pd.DataFrame(
        {
            "factor": [str(c) for c in draws],
            "mean": draws.mean().to_numpy(),
            "lowest_5_percent": draws.quantile(0.05).to_numpy(),
            "lowest": draws.min().to_numpy(),
            "share_fair": (draws >= FAIR).mean().to_numpy(),
            "share_equal": (draws >= EQUAL).mean().to_numpy(),
        }
    )
    return Stability(frame, draws, folds, asked - len(rows))


def _aligned_draw(values: Array, setup: EfaSetup, target: Array) -> Array | None:
    found = draw_solution(values, setup)
    if found is None:
        return None
    order, sign = align_columns(found.pattern, target)
    return np.asarray(found.pattern[:, order] * sign)


# --- between groups ----------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class StructureComparison(Result):
    """Congruence of the same analysis in several groups.

    Made by :func:`compare_structures`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per pair of groups and factor: ``group_1 group_2 factor congruence ci_lower
        ci_upper``.
    loadings : dict of str to pandas.DataFrame
        Of each group, factors matched with those of the first.
    n_obs : dict of str to int
    n_draws, n_failed : int
    """

    frame: pd.DataFrame
    loadings: Mapping[str, pd.DataFrame]
    n_obs: Mapping[str, int]
    n_draws: int
    n_failed: int

    def _headline(self) -> str:
        lowest = float(self.frame["congruence"].min())
        return f"{len(self.loadings)} groups, lowest congruence {lowest:.3f}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair of groups and factor."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """One row per pair of groups and factor."""
        return (Table(self.frame, formats=_finish(self.frame)),)

    def _payload(self) -> Mapping[str, Any]:
        return {"pairs": self.frame, "loadings": dict(self.loadings), "n_obs": dict(self.n_obs)}


def compare_structures(
    data: Any,
    n_factors: int,
    *,
    group: str,
    items: Sequence[str] | None = None,
    n_draws: int = 200,
    level: float = 0.95,
    seed: int = 20261122,
    **options: Any,
) -> StructureComparison:
    """Analyse groups one by one and compare their factors.

    Parameters
    ----------
    data : Survey or data frame
    n_factors : int
    group : str
        Column that tells the groups apart.
    items : sequence of str, optional
        As for :func:`sqvalid.efa`; without a survey, all numeric columns but `group`.
    n_draws : int
        Resamples within each group, for the intervals; 0 for none.
    level : float
    seed : int
    **options
        Of :func:`sqvalid.efa`.

    Returns
    -------
    StructureComparison

    Raises
    ------
    InputError
        No such column, or fewer than two groups.
    """
    frame = data.frame if isinstance(data, Survey) else as_pandas(data)
    if group not in frame:
        raise InputError(f"There is no column {group!r}.", remedy="Name the column of the groups.")
    if items is None:
        if isinstance(data, Survey) and data.items:
            items = data.items
        else:
            items = [str(c) for c in frame if frame[c].dtype.kind in "iuf" and c != group]
    labels = list(frame[group].dropna().unique())
    if len(labels) < 2:
        raise InputError(f"{group!r} has {len(labels)} group.", remedy="Choose another column.")
    fits = {
        str(label): efa(
            frame.loc[frame[group] == label, list(items)], n_factors, items=items, seed=seed,
            **options,
        )
        for label in labels
    }  # fmt: skip
    first = next(iter(fits.values())).loadings.to_numpy(dtype=float)
    names = [f"F{k + 1}" for k in range(n_factors)]
    aligned: dict[str, Array] = {}
    for label, fit in fits.items():
        pattern = fit.loadings.to_numpy(dtype=float)
        order, sign = align_columns(pattern, first)
        aligned[label] = pattern[:, order] * sign
    pairs = list(combinations(fits, 2))
    estimate = np.concatenate(
        [np.diag(column_congruence(aligned[a], aligned[b])) for a, b in pairs]
    )  # fmt: skip
    lower = upper = np.full(len(estimate), math.nan)
    failed = 0
    if n_draws:
        draws = []
        used = {}
        for label, fit in fits.items():
            assert fit.answers is not None
            used[label] = _used(fit.answers, fit.setup.missing)
        for k in range(n_draws):
            drawn = {}
            for place, (label, values) in enumerate(used.items()):
                rows = row_numbers(seed, k * len(used) + place, len(values), len(values))
                found = _aligned_draw(values[rows], fits[label].setup, aligned[label])
                if found is None:
                    break
                drawn[label] = found
            if len(drawn) == len(used):
                draws.append(
                    np.concatenate(
                        [np.diag(column_congruence(drawn[a], drawn[b])) for a, b in pairs]
                    )
                )
        _enough(len(draws), n_draws)
        failed = n_draws - len(draws)
        lower, upper = _interval(np.array(draws), estimate, level)
    table = pd.DataFrame(
        [(a, b, name) for a, b in pairs for name in names], columns=["group_1", "group_2", "factor"]
    ).assign(congruence=estimate, ci_lower=lower, ci_upper=upper)
    return StructureComparison(
        frame=table,
        loadings={
            label: pd.DataFrame(values, index=list(items), columns=names)
            for label, values in aligned.items()
        },
        n_obs={label: int(fit.n_obs or 0) for label, fit in fits.items()},
        n_draws=n_draws,
        n_failed=failed,
    )
