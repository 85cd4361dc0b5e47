"""How many factors: several rules side by side, and what to make of their disagreement."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, OptionError, check_choice
from sqvalid.exploratory.comparison_data import ComparisonData, compare_data
from sqvalid.exploratory.efa_fit import fit_of
from sqvalid.exploratory.extraction import extract
from sqvalid.exploratory.hull import hull_choice, hull_fits
from sqvalid.exploratory.matrices import correlations
from sqvalid.exploratory.parallel import parallel_eigenvalues, reduced_eigenvalues

__all__ = ["SOURCES", "TRUSTED", "Retention", "minimum_average_partial", "suggest_n_factors"]

Array = npt.NDArray[np.float64]
# Rules that simulation studies speak for; the recommendation is theirs (Auerswald & Moshagen 2019).
TRUSTED = ("parallel_factors", "parallel_components", "map", "ekc", "bic")

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "parallel_factors": "Humphreys & Montanelli (1975)",
        "parallel_factors_mean": "Humphreys & Montanelli (1975), mean instead of centile",
        "parallel_components": "Horn (1965)",
        "parallel_components_mean": "Horn (1965), mean instead of centile",
        "map": "Velicer (1976)",
        "map4": "Velicer, Eaton & Fava (2000)",
        "ekc": "Braeken & van Assen (2017)",
        "hull_caf": "Lorenzo-Seva, Timmerman & Kiers (2011)",
        "hull_cfi": "Lorenzo-Seva, Timmerman & Kiers (2011)",
        "hull_rmsea": "Lorenzo-Seva, Timmerman & Kiers (2011)",
        "comparison_data": "Ruscio & Roche (2012)",
        "chisq": "Lawley (1940)",
        "rmsea": "Preacher et al. (2013): lower end of the interval below .05",
        "bic": "Schwarz (1978)",
        "sabic": "Sclove (1987)",
        "kaiser": "Kaiser (1960): outdated, keeps too many",
    }
)
"""Rule and where it comes from; the order is that of the printed table."""


@dataclass(frozen=True, repr=False, eq=False)
class Retention(Result):
    """How many factors each rule would keep.

    Made by :func:`suggest_n_factors`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per rule: ``rule n_factors trusted source``. Kaiser's rule is there because
        reviewers ask; it keeps too many factors and takes no part in the recommendation.
    eigenvalues : pandas.DataFrame
        One row per position: ``component component_mean component_reference factor factor_mean
        factor_reference ekc``: observed eigenvalues of the matrix and of the reduced matrix, mean
        and centile of the simulated ones, and the reference of the empirical Kaiser criterion.
    sequence : pandas.DataFrame
        One row per number of factors (maximum likelihood): chisq, df, pvalue, rmsea,
        rmsea_ci_lower, bic, sabic, map, map4.
    recommended : int
        What most of the trusted rules say; where they are even, what parallel analysis of common
        factors says if it is among them, else the smaller number.
    agreement : float
        Share of the trusted rules that say so.
    n_obs, n_draws, seed : int
    comparison : ComparisonData or None
        Distances of the rule of that name, where it was asked for.
    diagnostics : tuple of Diagnostic
        Smoothing of the matrix; disagreement of the trusted rules.
    """

    frame: pd.DataFrame
    eigenvalues: pd.DataFrame
    sequence: pd.DataFrame
    recommended: int
    agreement: float
    n_obs: int
    n_draws: int
    seed: int
    comparison: ComparisonData | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        trusted = self.frame[self.frame["trusted"]]
        told = ", ".join(f"{r} {n}" for r, n in zip(trusted["rule"], trusted["n_factors"],
                                                    strict=True))  # fmt: skip
        return f"{self.recommended} factors ({told})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per rule."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """Rules, eigenvalues, fit by number of factors."""
        return (Table(self.frame), Table(self.eigenvalues),
                Table(self.sequence, formats={"pvalue": "p"}))  # fmt: skip

    def plot(self) -> Any:
        """Draw the eigenvalues with what parallel analysis compares them with.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return importlib.import_module("sqvalid.plots").scree_plot(self.eigenvalues)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "rules": self.frame,
            "eigenvalues": self.eigenvalues,
            "sequence": self.sequence,
            "recommended": self.recommended,
            "agreement": self.agreement,
        }


def minimum_average_partial(correlation: Array, power: int = 2) -> Array:
    """Average of the partial correlations, squared or to the fourth, after 0, 1, ... components.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
    power : {2, 4}
        Original (Velicer 1976) or revised (Velicer, Eaton & Fava 2000).

    Returns
    -------
    ndarray, shape (p - 1,)
        The first entry has nothing partialled out. NaN where nothing is left of an item.
    """
    p = len(correlation)
    values, vectors = np.linalg.eigh(correlation)
    loadings = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    off = ~np.eye(p, dtype=bool)
    out = np.full(p - 1, np.nan)
    for m in range(p - 1):
        left = correlation - loadings[:, :m] @ loadings[:, :m].T
        scale = np.diag(left)
        if (scale <= 1e-12).any():
            break
        partial = left / np.sqrt(np.outer(scale, scale))
        out[m] = float((np.abs(partial[off]) ** power).mean())
    return out


def suggest_n_factors(
    data: Any = None,
    *,
    correlation: str | pd.DataFrame = "pearson",
    n_obs: int | None = None,
    items: Sequence[str] | None = None,
    missing: str = "listwise",
    smooth: bool = False,
    draws: str | None = None,
    n_draws: int = 200,
    centile: float = 0.95,
    comparison_data: bool = False,
    seed: int = 20261122,
) -> Retention:
    """Ask several rules how many factors the items have.

    Parameters
    ----------
    data, correlation, n_obs, items, missing, smooth
        As for :func:`sqvalid.efa`; a matrix needs `n_obs`.
    draws : {"normal", "resampled"}, optional
        What parallel analysis compares with: independent normal variables (exact draws of their
        correlation matrices), or the answers shuffled item by item. By default shuffled for
        polychoric correlations, which normal draws are no match for.
    n_draws : int
    centile : float
        Of the simulated eigenvalues that the observed ones must exceed.
    comparison_data : bool
        Whether to add the rule of Ruscio & Roche (2012), which takes a second or two per factor.
    seed : int

    Returns
    -------
    Retention

    Raises
    ------
    InputError
        A matrix without respondents, or not more respondents than items.
    OptionError
        An unknown kind of draws, or a rule that needs answers without them.

    References
    ----------
    Parallel analysis: Horn (1965); MAP: Velicer (1976), Velicer, Eaton & Fava (2000); empirical
    Kaiser criterion: Braeken & van Assen (2017); hull: Lorenzo-Seva, Timmerman & Kiers (2011);
    comparison data: Ruscio & Roche (2012); RMSEA: Preacher, Zhang, Kim & Mels (2013); comparison of
    the rules: Auerswald & Moshagen (2019).
    """
    if draws is None:
        draws = "resampled" if isinstance(correlation, str) and correlation == "polychoric" else (
            "normal"
        )  # fmt: skip
    check_choice("draws", draws, ("normal", "resampled"))
    if not 0.0 < centile < 1.0 or n_draws < 20:
        raise OptionError(
            f"centile={centile!r} and n_draws={n_draws!r}: between 0 and 1, and at least 20.",
            remedy="Try centile=0.95 and n_draws=200.",
        )
    found = correlations(data, correlation, items, n_obs=n_obs, missing=missing, smooth=smooth)
    n = found.n_obs
    r = found.matrix.to_numpy(dtype=float)
    p = len(r)
    if n is None or n <= p:
        raise InputError(
            f"{'No number of' if n is None else n} respondents for {p} items.",
            remedy="Give n_obs= with a matrix; rules need more respondents than items.",
        )
    if (draws == "resampled" or comparison_data) and found.answers is None:
        what = "to shuffle" if draws == "resampled" else "to compare with"
        raise OptionError(
            f"A matrix has no answers {what}.",
            remedy="Use draws='normal' and comparison_data=False.",
        )
    complete = None if found.answers is None else found.answers.dropna().to_numpy(dtype=float)
    shuffle = complete if draws == "resampled" else None
    components, factors = parallel_eigenvalues(
        n if shuffle is None else len(shuffle),
        p,
        n_draws=n_draws,
        answers=shuffle,
        correlation="pearson" if found.kind == "given" else found.kind,
        seed=seed,
    )
    eigen = np.linalg.eigvalsh(r)[::-1]
    table = pd.DataFrame(
        {
            "position": np.arange(1, p + 1),
            "component": eigen,
            "component_mean": components.mean(axis=0),
            "component_reference": np.quantile(components, centile, axis=0),
            "factor": reduced_eigenvalues(r),
            "factor_mean": factors.mean(axis=0),
            "factor_reference": np.quantile(factors, centile, axis=0),
            "ekc": _empirical_kaiser(eigen, n),
        }
    )
    sequence = _sequence(r, n)
    counts = _counts(table, r, sequence, n)
    comparison = None
    if comparison_data:
        assert complete is not None
        most = max(int(sequence["n_factors"].max()) if len(sequence) else 1, 1)
        comparison = compare_data(complete, most, seed=seed)
        counts["comparison_data"] = comparison.n_factors
    frame = pd.DataFrame(
        [
            {
                "rule": rule,
                "n_factors": counts[rule],
                "trusted": rule in TRUSTED,
                "source": source,
            }
            for rule, source in SOURCES.items()
            if rule in counts
        ]
    ).astype({"n_factors": "Int64"})
    votes = [counts[rule] for rule in TRUSTED if counts.get(rule) is not None]
    # Components and MAP see one factor where factors correlate highly; common factors do not
    # (tests/studies/number_of_factors.md), so parallel analysis of these decides between equals.
    deciding = counts["parallel_factors"]
    recommended = min(set(votes), key=lambda k: (-votes.count(k), k != deciding, k))
    agreement = votes.count(recommended) / len(votes)
    diagnostics = found.diagnostics
    if agreement < 1.0:
        told = {
            "recommended": str(recommended),
            "lowest": str(min(v for v in votes if v is not None)),
            "highest": str(max(v for v in votes if v is not None)),
            "agreeing": str(votes.count(recommended)),
            "asked": str(len(votes)),
        }
        diagnostics += (Diagnostic("retention_disagreement", "info", (), told),)
    return Retention(
        frame=frame,
        eigenvalues=table,
        sequence=sequence,
        recommended=int(recommended or 0),
        agreement=agreement,
        n_obs=n,
        n_draws=n_draws,
        seed=seed,
        comparison=comparison,
        diagnostics=diagnostics,
    )


def _counts(table: pd.DataFrame, r: Array, sequence: pd.DataFrame, n: int) -> dict[str, int | None]:
    """What each rule says."""
    column = {name: table[name].to_numpy(dtype=float) for name in table}
    counts: dict[str, int | None] = {
        "parallel_factors": _leading(column["factor"], column["factor_reference"]),
        "parallel_factors_mean": _leading(column["factor"], column["factor_mean"]),
        "parallel_components": _leading(column["component"], column["component_reference"]),
        "parallel_components_mean": _leading(column["component"], column["component_mean"]),
        "map": _lowest(minimum_average_partial(r)),
        "map4": _lowest(minimum_average_partial(r, 4)),
        "ekc": _leading(column["component"], column["ekc"]),
        "chisq": _first(sequence, sequence["pvalue"] > 0.05),
        "rmsea": _first(sequence, sequence["rmsea_ci_lower"] < 0.05),
        "bic": _least(sequence, "bic"),
        "sabic": _least(sequence, "sabic"),
        "kaiser": int((column["component"] > 1.0).sum()),
    }
    # One more than parallel analysis keeps is where the hull may still bend (Lorenzo-Seva et al.).
    kept = max(counts["parallel_components"] or 0, counts["parallel_factors"] or 0, 1)
    most = min(kept + 2, int(sequence["n_factors"].max()) if len(sequence) else 0)
    fits = hull_fits(r, n, most)
    for name in ("caf", "cfi", "rmsea"):
        counts[f"hull_{name}"] = hull_choice(fits[name], fits["df"])
    return counts


def _leading(observed: Array, reference: Array) -> int:
    """How many eigenvalues exceed their reference before the first that does not."""
    above = observed > reference
    return len(above) if above.all() else int(np.argmin(above))


def _lowest(values: Array) -> int:
    return int(np.nanargmin(values))


def _first(sequence: pd.DataFrame, good: pd.Series) -> int | None:
    return int(sequence["n_factors"][good].iloc[0]) if good.any() else None


def _least(sequence: pd.DataFrame, name: str) -> int | None:
    known = sequence.dropna(subset=[name])
    return None if known.empty else int(known.sort_values(name)["n_factors"].iloc[0])


def _empirical_kaiser(eigen: Array, n: int) -> Array:
    """What the next eigenvalue would be without another factor, never below one."""
    p = len(eigen)
    before = np.concatenate([[0.0], np.cumsum(eigen)[:-1]])
    left = (p - before) / (p - np.arange(p))
    return np.asarray(np.maximum(left * (1.0 + math.sqrt(p / n)) ** 2, 1.0))


_SEQUENCE = (
    "chisq", "df", "pvalue", "rmsea", "rmsea_ci_lower", "bic", "sabic", "map", "map4",
)  # fmt: skip


def _sequence(r: Array, n: int) -> pd.DataFrame:
    """Fit of 1, 2, ... factors by maximum likelihood, while there are degrees of freedom."""
    p = len(r)
    squared, fourth = minimum_average_partial(r), minimum_average_partial(r, 4)
    rows = []
    for m in range(1, p):
        if (p - m) ** 2 - p - m < 0:
            break
        fit = fit_of(r, extract(r, m, "ml"), m, n)
        measures = {name: fit[name] for name in _SEQUENCE[:-2]}
        rows.append({"n_factors": m, **measures, "map": squared[m], "map4": fourth[m]})
    return pd.DataFrame(rows, columns=["n_factors", *_SEQUENCE])
