"""How many factors: several rules side by side, and what to make of their disagreement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaincinv

from sqvalid.display import Result, Table
from sqvalid.errors import InputError, OptionError, check_choice
from sqvalid.exploratory.efa_fit import fit_of
from sqvalid.exploratory.extraction import extract
from sqvalid.exploratory.matrices import correlations
from sqvalid.resampling import normals, shuffled, uniforms

__all__ = ["Retention", "minimum_average_partial", "parallel_eigenvalues", "suggest_n_factors"]

Array = npt.NDArray[np.float64]
# Rules that simulation studies speak for; the recommendation is theirs (Auerswald & Moshagen 2019).
TRUSTED = ("parallel_factors", "parallel_components", "map", "ekc")


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
        One row per number of factors (maximum likelihood): chisq, df, pvalue, rmsea, bic, map,
        map4.
    recommended : int
        What most of the trusted rules say, the smaller number where they are even.
    agreement : float
        Share of the trusted rules that say so.
    n_obs, n_draws, seed : int
    """

    frame: pd.DataFrame
    eigenvalues: pd.DataFrame
    sequence: pd.DataFrame
    recommended: int
    agreement: float
    n_obs: int
    n_draws: int
    seed: int

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


def _reduced_eigenvalues(r: Array) -> Array:
    """Eigenvalues with the communalities of one minres factor on the diagonal, as in psych."""
    reduced = r.copy()
    np.fill_diagonal(reduced, 1.0 - extract(r, 1, "minres").uniquenesses)
    return np.asarray(np.linalg.eigvalsh(reduced)[::-1])


def _wishart_correlation(n: int, p: int, seed: int, draw: int) -> Array:
    """Correlations of n independent normal respondents, without drawing the respondents.

    The triangular root of a Wishart matrix has chi variables on its diagonal and standard
    normal ones below (Bartlett 1933).
    """
    root = np.zeros((p, p))
    root[np.tril_indices(p, -1)] = normals(seed, draw, p * (p - 1) // 2)
    half_df = (n - 1 - np.arange(p)) / 2.0
    # Streams of the diagonal lie beside those of the rest.
    root[np.diag_indices(p)] = np.sqrt(2.0 * gammaincinv(half_df, uniforms(seed, 2**41 + draw, p)))
    products = root @ root.T
    scale = np.sqrt(np.diag(products))
    return np.asarray(products / np.outer(scale, scale))


def parallel_eigenvalues(
    n: int,
    p: int,
    *,
    n_draws: int = 100,
    factors: bool = True,
    answers: Array | None = None,
    seed: int = 20261122,
) -> tuple[Array, Array]:
    """Eigenvalues of items that have nothing in common.

    Parameters
    ----------
    n, p : int
        Respondents, more than p of them, and items.
    n_draws : int
    factors : bool
        Whether the reduced matrices are analysed, too.
    answers : ndarray, shape (n, p), optional
        Draw by shuffling each item of these answers; by default normal variables.
    seed : int

    Returns
    -------
    components, factors : ndarray, shape (n_draws, p)
        The second is empty without `factors`.

    References
    ----------
    Horn (1965); Humphreys & Montanelli (1975).
    """
    components = np.empty((n_draws, p))
    reduced = np.empty((n_draws if factors else 0, p))
    for draw in range(n_draws):
        if answers is None:
            r = _wishart_correlation(n, p, seed, draw)
        else:
            columns = [answers[shuffled(seed, draw * p + j, n), j] for j in range(p)]
            r = np.corrcoef(np.column_stack(columns), rowvar=False)
        components[draw] = np.linalg.eigvalsh(r)[::-1]
        if factors:
            reduced[draw] = _reduced_eigenvalues(r)
    return components, reduced


def suggest_n_factors(
    data: Any = None,
    *,
    correlation: str | pd.DataFrame = "pearson",
    n_obs: int | None = None,
    items: Sequence[str] | None = None,
    draws: Literal["normal", "resampled"] = "normal",
    n_draws: int = 200,
    centile: float = 0.95,
    seed: int = 20261122,
) -> Retention:
    """Ask several rules how many factors the items have.

    Parameters
    ----------
    data, correlation, n_obs, items
        As for :func:`sqvalid.efa`; a matrix needs `n_obs`.
    draws : {"normal", "resampled"}
        What parallel analysis compares with: independent normal variables, or the answers
        shuffled item by item.
    n_draws : int
    centile : float
        Of the simulated eigenvalues that the observed ones must exceed.
    seed : int

    Returns
    -------
    Retention

    Raises
    ------
    InputError
        A matrix without respondents, or not more respondents than items.
    OptionError
        An unknown kind of draws, or shuffling without answers.

    References
    ----------
    Parallel analysis: Horn (1965); MAP: Velicer (1976), Velicer, Eaton & Fava (2000); empirical
    Kaiser criterion: Braeken & van Assen (2017); comparison of the rules: Auerswald & Moshagen
    (2019).
    """
    check_choice("draws", draws, ("normal", "resampled"))
    if not 0.0 < centile < 1.0 or n_draws < 20:
        raise OptionError(
            f"centile={centile!r} and n_draws={n_draws!r}: between 0 and 1, and at least 20.",
            remedy="Try centile=0.95 and n_draws=200.",
        )
    found = correlations(data, correlation, items, n_obs=n_obs)
    matrix, n, z = found.matrix, found.n_obs, found.z_scores
    r = matrix.to_numpy(dtype=float)
    p = len(r)
    if n is None or n <= p:
        raise InputError(
            f"{'No number of' if n is None else n} respondents for {p} items.",
            remedy="Give n_obs= with a matrix; rules need more respondents than items.",
        )
    if draws == "resampled" and z is None:
        raise OptionError("A matrix has no answers to shuffle.", remedy="Use draws='normal'.")
    answers = None
    if draws == "resampled" and z is not None:
        answers = z.dropna().to_numpy(dtype=float)
    components, factors = parallel_eigenvalues(n, p, n_draws=n_draws, answers=answers, seed=seed)
    eigen = np.linalg.eigvalsh(r)[::-1]
    reduced = _reduced_eigenvalues(r)
    reference = np.quantile(components, centile, axis=0)
    reference_factors = np.quantile(factors, centile, axis=0)
    ekc = _empirical_kaiser(eigen, n)
    sequence = _sequence(r, n)
    counts = {
        "parallel_factors": (_leading(reduced, reference_factors), "Humphreys & Montanelli (1975)"),
        "parallel_components": (_leading(eigen, reference), "Horn (1965)"),
        "map": (_lowest(minimum_average_partial(r)), "Velicer (1976)"),
        "map4": (_lowest(minimum_average_partial(r, 4)), "Velicer, Eaton & Fava (2000)"),
        "ekc": (_leading(eigen, ekc), "Braeken & van Assen (2017)"),
        "chisq": (_first(sequence, sequence["pvalue"] > 0.05), "Lawley (1940)"),
        "rmsea": (_first(sequence, sequence["rmsea"] < 0.05), "Preacher et al. (2013)"),
        "bic": (_least(sequence), "Schwarz (1978)"),
        "kaiser": (int((eigen > 1.0).sum()), "Kaiser (1960): outdated, keeps too many"),
    }
    frame = pd.DataFrame(
        [
            {"rule": rule, "n_factors": count, "trusted": rule in TRUSTED, "source": source}
            for rule, (count, source) in counts.items()
        ]
    ).astype({"n_factors": "Int64"})
    votes = [counts[rule][0] for rule in TRUSTED]
    recommended = min(set(votes), key=lambda k: (-votes.count(k), k))
    return Retention(
        frame=frame,
        eigenvalues=pd.DataFrame(
            {
                "position": np.arange(1, p + 1),
                "component": eigen,
                "component_mean": components.mean(axis=0),
                "component_reference": reference,
                "factor": reduced,
                "factor_mean": factors.mean(axis=0),
                "factor_reference": reference_factors,
                "ekc": ekc,
            }
        ),
        sequence=sequence,
        recommended=int(recommended or 0),
        agreement=votes.count(recommended) / len(votes),
        n_obs=n,
        n_draws=n_draws,
        seed=seed,
    )


def _leading(observed: Array, reference: Array) -> int:
    """How many eigenvalues exceed their reference before the first that does not."""
    above = observed > reference
    return len(above) if above.all() else int(np.argmin(above))


def _lowest(values: Array) -> int:
    return int(np.nanargmin(values))


def _first(sequence: pd.DataFrame, good: pd.Series) -> int | None:
    return int(sequence["n_factors"][good].iloc[0]) if good.any() else None


def _least(sequence: pd.DataFrame) -> int | None:
    known = sequence.dropna(subset=["bic"])
    return None if known.empty else int(known.sort_values("bic")["n_factors"].iloc[0])


def _empirical_kaiser(eigen: Array, n: int) -> Array:
    """What the next eigenvalue would be without another factor, never below one."""
    p = len(eigen)
    before = np.concatenate([[0.0], np.cumsum(eigen)[:-1]])
    left = (p - before) / (p - np.arange(p))
    return np.asarray(np.maximum(left * (1.0 + math.sqrt(p / n)) ** 2, 1.0))


def _sequence(r: Array, n: int) -> pd.DataFrame:
    """Fit of 1, 2, ... factors by maximum likelihood, while there are degrees of freedom."""
    p = len(r)
    squared, fourth = minimum_average_partial(r), minimum_average_partial(r, 4)
    rows = []
    for m in range(1, p):
        if (p - m) ** 2 - p - m < 0:
            break
        fit = fit_of(r, extract(r, m, "ml"), m, n)
        measures = {name: fit[name] for name in ("chisq", "df", "pvalue", "rmsea", "bic")}
        rows.append({"n_factors": m, **measures, "map": squared[m], "map4": fourth[m]})
    return pd.DataFrame(rows, columns=["n_factors", "chisq", "df", "pvalue", "rmsea", "bic",
                                       "map", "map4"])  # fmt: skip
