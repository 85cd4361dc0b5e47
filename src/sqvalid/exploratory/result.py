"""An exploratory factor solution and what can be asked of it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, check_choice
from sqvalid.exploratory.extraction import Extraction
from sqvalid.exploratory.factor_scores import determinacies, score_weights
from sqvalid.rotation import ORTHOGONAL

if TYPE_CHECKING:
    from sqvalid.exploratory.intervals import LoadingIntervals

__all__ = ["EfaResult", "EfaSetup"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EfaSetup:
    """What was asked of :func:`sqvalid.efa`, so that it can be done again.

    Parameters
    ----------
    n_factors : int
    extraction, rotation : str
    correlation, missing : str
        ``"given"`` for a matrix.
    smooth : bool
    kaiser : bool or None
    extraction_starts, seed : int
    rotation_options : mapping
    """

    n_factors: int
    extraction: str
    rotation: str
    correlation: str
    missing: str
    smooth: bool = False
    kaiser: bool | None = None
    extraction_starts: int = 1
    seed: int = 20261122
    rotation_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation_options", MappingProxyType(dict(self.rotation_options)))

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values."""
        options = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in self.rotation_options.items()
        }
        return {
            "n_factors": self.n_factors,
            "extraction": self.extraction,
            "rotation": self.rotation,
            "correlation": self.correlation,
            "missing": self.missing,
            "smooth": self.smooth,
            "kaiser": self.kaiser,
            "extraction_starts": self.extraction_starts,
            "seed": self.seed,
            "rotation_options": options,
        }


@dataclass(frozen=True, repr=False, eq=False)
class EfaResult(Result):
    """An exploratory factor solution.

    Made by :func:`efa`.

    Parameters
    ----------
    loadings : pandas.DataFrame, shape (p, m)
        The pattern, items by factors; factors ``F1``, ``F2``, ... by explained variance, the sum
        of every column not negative.
    factor_correlations : pandas.DataFrame, shape (m, m)
    correlation : pandas.DataFrame, shape (p, p)
        What was analysed.
    unrotated : pandas.DataFrame, shape (p, m)
    communalities, uniquenesses : pandas.Series
    eigenvalues : ndarray, shape (p,)
        Of the correlation matrix, the largest first.
    variance_explained : pandas.DataFrame
        Rows ``ss_loadings proportion cumulative``; for oblique factors the shares that sum to
        the communalities.
    fit_measures : pandas.Series
        :data:`sqvalid.exploratory.efa_fit.MEASURES`; see Notes. NaN where there is no number of
        respondents or no degree of freedom.
    n_obs : int or None
    setup : EfaSetup
        What was asked for.
    found : Extraction
        The extraction as it was found.
    minima : tuple of (float, int)
        Different minima that the starts of the rotation found, the lowest first, and how many
        starts ended in each; :attr:`rotation_minima` is the table.
    criterion : float
        What the rotation minimised.
    answers : pandas.DataFrame or None
        Of all respondents.
    scale : (ndarray, ndarray) or None
        Means and standard deviations of the answers, for scores.
    diagnostics : tuple of Diagnostic

    Notes
    -----
    chisq is the likelihood-ratio discrepancy of R and the reproduced matrix times Bartlett's
    (1950) multiplier n - 1 - (2p + 5)/6 - 2m/3, whatever the extraction; RMSEA, TLI and BIC
    are psych's: sqrt(max(0, chisq/(df n) - 1/(n - 1))), with the same multiplier for the model
    of independence, and chisq - df log n; so are fit and fit_off_diagonal (1 minus squared
    residuals over squared correlations), and the empirical chi-square, n times the squared
    residuals of both triangles, with its EBIC. CFI has TLI's baseline.
    """

    loadings: pd.DataFrame
    factor_correlations: pd.DataFrame
    correlation: pd.DataFrame
    unrotated: pd.DataFrame
    communalities: pd.Series
    uniquenesses: pd.Series
    eigenvalues: Array
    variance_explained: pd.DataFrame
    fit_measures: pd.Series
    n_obs: int | None
    setup: EfaSetup
    found: Extraction
    minima: tuple[tuple[float, int], ...] = ()
    criterion: float = math.nan
    answers: pd.DataFrame | None = None
    scale: tuple[Array, Array] | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def extraction(self) -> str:
        """How factors were extracted."""
        return self.setup.extraction

    @property
    def rotation(self) -> str:
        """How factors were rotated."""
        return self.setup.rotation

    @property
    def z_scores(self) -> pd.DataFrame | None:
        """Standardised answers; None for a matrix."""
        if self.answers is None or self.scale is None:
            return None
        mean, sd = self.scale
        values = (self.answers.to_numpy(dtype=float) - mean) / sd
        return pd.DataFrame(values, index=self.answers.index, columns=self.answers.columns)

    @property
    def rotation_minima(self) -> pd.DataFrame:
        """One row per different minimum that the starts of the rotation found, lowest first."""
        return pd.DataFrame(self.minima, columns=["criterion", "n_starts"])

    @property
    def n_minima(self) -> int:
        """Different minima of the rotation criterion that the starts found."""
        return max(len(self.minima), 1)

    @property
    def complexity(self) -> pd.Series:
        """Hofmann's (1978) number of factors an item loads on: (sum l^2)^2 / sum l^4."""
        squares = self.loadings.to_numpy(dtype=float) ** 2
        fourth = (squares**2).sum(axis=1)
        values = np.divide(squares.sum(axis=1) ** 2, fourth, out=np.full(len(squares), np.nan),
                           where=fourth > 0.0)  # fmt: skip
        return pd.Series(values, index=self.loadings.index, name="complexity")

    @property
    def structure(self) -> pd.DataFrame:
        """Correlations of items and factors: pattern times factor correlations."""
        return self.loadings @ self.factor_correlations

    @property
    def residuals(self) -> pd.DataFrame:
        """Observed minus reproduced correlations, the uniquenesses on the diagonal."""
        pattern = self.loadings.to_numpy(dtype=float)
        implied = pattern @ self.factor_correlations.to_numpy(dtype=float) @ pattern.T
        return self.correlation.sub(implied)

    def score_weights(self, method: str = "regression") -> pd.DataFrame:
        """Weights that turn standardised answers into factor scores.

        Parameters
        ----------
        method : {"regression", "bartlett", "tenberge", "anderson"}
            Thurstone (1935); Bartlett (1937), which needs uniquenesses above zero; ten Berge,
            Krijnen, Wansbeek & Shapiro (1999), whose scores correlate as the factors do;
            Anderson & Rubin (1956), whose scores are uncorrelated.

        Returns
        -------
        pandas.DataFrame, shape (p, m)

        Raises
        ------
        OptionError
            An unknown method.
        InputError
            An item without uniqueness, for the methods that divide by it.
        """
        weights = score_weights(
            self.correlation.to_numpy(dtype=float),
            self.loadings.to_numpy(dtype=float),
            self.factor_correlations.to_numpy(dtype=float),
            self.uniquenesses.to_numpy(dtype=float),
            method,
            [str(item) for item in self.loadings.index],
        )
        return pd.DataFrame(weights, index=self.loadings.index, columns=self.loadings.columns)

    def scores(self, method: str = "regression") -> pd.DataFrame:
        """Factor scores of the respondents.

        Parameters
        ----------
        method : str
            See :meth:`score_weights`.

        Returns
        -------
        pandas.DataFrame
            One row per respondent; NaN for those with a missing answer.

        Raises
        ------
        InputError
            The analysis began with a matrix.
        """
        z = self.z_scores
        if z is None:
            raise InputError(
                "A correlation matrix has no respondents to score.",
                remedy="Give the answers to efa().",
            )
        return z @ self.score_weights(method)

    @property
    def determinacy(self) -> pd.Series:
        """Correlation of each factor with its best estimate (Guttman 1955; Grice 2001)."""
        values = determinacies(
            self.correlation.to_numpy(dtype=float), self.structure.to_numpy(dtype=float)
        )
        return pd.Series(values, index=self.loadings.columns, name="determinacy")

    def intervals(
        self,
        method: str = "normal",
        *,
        level: float = 0.95,
        n_draws: int = 1000,
        seed: int = 20261122,
    ) -> LoadingIntervals:
        """Standard errors and intervals of rotated loadings and factor correlations.

        Parameters
        ----------
        method : {"normal", "robust", "bootstrap"}
            See :func:`sqvalid.exploratory.loading_intervals`.
        level : float
        n_draws, seed : int
            Of the bootstrap.

        Returns
        -------
        LoadingIntervals
        """
        # They need efa itself, which makes this result.
        from sqvalid.exploratory.intervals import loading_intervals

        return loading_intervals(self, method, level=level, n_draws=n_draws, seed=seed)

    def plot(self, kind: str = "map") -> Any:
        """Draw the loadings.

        Parameters
        ----------
        kind : {"map", "scatter", "scree"}
            Heat map of the sorted pattern; items in the plane of each pair of factors; eigenvalues.

        Returns
        -------
        matplotlib.figure.Figure
        """
        # Upward on purpose: the one exception the house allows, and only when a picture is wanted.
        plots = importlib.import_module("sqvalid.plots")
        check_choice("kind", kind, ("map", "scatter", "scree"))
        if kind == "map":
            return plots.loading_map(self.sorted_loadings())
        if kind == "scatter":
            return plots.loading_plot(self.loadings)
        return plots.scree_plot(self.eigenvalues)

    def sorted_loadings(self, cutoff: float = 0.0) -> pd.DataFrame:
        """Loadings with items under the factor they load on most, small ones left blank.

        Parameters
        ----------
        cutoff : float
            Absolute loadings below this become NaN.

        Returns
        -------
        pandas.DataFrame
        """
        absolute = self.loadings.abs().to_numpy()
        factor, size = absolute.argmax(axis=1), absolute.max(axis=1)
        order = np.lexsort((-size, factor))
        frame = self.loadings.iloc[order]
        return frame.where(frame.abs() >= cutoff)

    def _headline(self) -> str:
        of = "" if self.n_obs is None else f", n = {self.n_obs}"
        return (
            f"{self.loadings.shape[1]} factors of {len(self.loadings)} items{of}; "
            f"{self.extraction}, {self.rotation}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the pattern with communalities and uniquenesses."""
        return self.loadings.assign(
            communality=self.communalities, uniqueness=self.uniquenesses
        )  # fmt: skip

    def tables(self) -> tuple[Table, ...]:
        """Loadings, explained variance, correlations of the factors."""
        frame = self.to_frame()
        parts = [
            Table(
                frame.rename_axis("item").reset_index(),
                formats=dict.fromkeys(map(str, frame.columns), "unit"),
            ),
            Table(self.variance_explained.rename_axis("variance").reset_index()),
        ]
        if self.rotation not in ORTHOGONAL:
            phi = self.factor_correlations.rename_axis("factor").reset_index()
            parts.append(Table(phi, formats=dict.fromkeys(map(str, self.loadings.columns), "unit")))
        return tuple(parts)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "loadings": self.loadings,
            "factor_correlations": self.factor_correlations,
            "communalities": self.communalities,
            "uniquenesses": self.uniquenesses,
            "eigenvalues": list(self.eigenvalues),
            "variance_explained": self.variance_explained,
            "fit_measures": self.fit_measures,
            "n_obs": self.n_obs,
            "setup": self.setup.to_dict(),
            "extraction": self.extraction,
            "rotation": self.rotation,
        }
