"""efa: from answers or a correlation matrix to a rotated solution with its fit."""

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
from sqvalid.errors import Diagnostic, InputError, OptionError, check_choice
from sqvalid.exploratory.extraction import METHODS, Extraction, extract
from sqvalid.exploratory.matrices import correlations
from sqvalid.rotation import ORTHOGONAL, ROTATIONS, rotate

__all__ = ["SCORES", "EfaResult", "efa", "fit_of"]

Array = npt.NDArray[np.float64]
_ROTATION_OPTIONS = frozenset({"gamma", "epsilon", "kappa", "power", "target", "exact", "n_starts"})
SCORES = ("regression", "bartlett", "tenberge", "anderson")


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
        chisq, df, pvalue, rmsea, tli, bic, rmsr, rmsr_corrected, chisq_baseline, df_baseline;
        see Notes. NaN where there is no number of respondents or no degree of freedom.
    n_obs : int or None
    extraction, rotation : str
    criterion : float
        What the rotation minimised.
    n_minima : int
        Different minima of it that the starts found.
    z_scores : pandas.DataFrame or None
        Standardised answers, for scores.
    diagnostics : tuple of Diagnostic

    Notes
    -----
    chisq is the likelihood-ratio discrepancy of R and the reproduced matrix times Bartlett's
    (1950) multiplier n - 1 - (2p + 5)/6 - 2m/3, whatever the extraction; RMSEA, TLI and BIC
    are psych's: sqrt(max(0, chisq/(df n) - 1/(n - 1))), with the same multiplier for the model
    of independence, and chisq - df log n.
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
    extraction: str
    rotation: str
    criterion: float = math.nan
    n_minima: int = 1
    z_scores: pd.DataFrame | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

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
        check_choice("method", method, SCORES)
        r = self.correlation.to_numpy(dtype=float)
        pattern = self.loadings.to_numpy(dtype=float)
        phi = self.factor_correlations.to_numpy(dtype=float)
        if method == "regression":
            weights = np.linalg.solve(r, pattern @ phi)
        elif method == "tenberge":
            root = _power(phi, 0.5)
            rotated = pattern @ root
            half = _power(r, -0.5)
            inner = rotated.T @ np.linalg.solve(r, rotated)
            weights = half @ (half @ rotated @ _power(inner, -0.5)) @ root
        else:
            if (self.uniquenesses <= 1e-8).any():
                places = self.uniquenesses.index[self.uniquenesses <= 1e-8]
                raise InputError(
                    f"{method!r} scores divide by uniquenesses, and "
                    f"{', '.join(map(repr, places))} has none.",
                    remedy="Use method='regression' or 'tenberge', or fewer factors.",
                )
            scaled = pattern / self.uniquenesses.to_numpy(dtype=float)[:, None]
            if method == "bartlett":
                weights = scaled @ np.linalg.inv(pattern.T @ scaled)
            else:
                weights = scaled @ _power(scaled.T @ r @ scaled, -0.5)
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
        if self.z_scores is None:
            raise InputError(
                "A correlation matrix has no respondents to score.",
                remedy="Give the answers to efa().",
            )
        return self.z_scores @ self.score_weights(method)

    @property
    def determinacy(self) -> pd.Series:
        """Correlation of each factor with its best estimate (Guttman 1955; Grice 2001)."""
        s = self.structure.to_numpy(dtype=float)
        r = self.correlation.to_numpy(dtype=float)
        values = np.sqrt(np.clip(np.diag(s.T @ np.linalg.solve(r, s)), 0.0, None))
        return pd.Series(values, index=self.loadings.columns, name="determinacy")

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
            "extraction": self.extraction,
            "rotation": self.rotation,
        }


def _power(matrix: Array, exponent: float) -> Array:
    """Symmetric power of a positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values**exponent) @ vectors.T)


def efa(
    data: Any = None,
    n_factors: int = 1,
    *,
    extraction: str = "minres",
    rotation: str | None = "oblimin",
    correlation: str | pd.DataFrame = "pearson",
    n_obs: int | None = None,
    items: Sequence[str] | None = None,
    kaiser: bool | None = None,
    rotation_options: Mapping[str, Any] | None = None,
    seed: int = 20261122,
) -> EfaResult:
    """Exploratory factor analysis.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame, optional
        Answers; None when `correlation` is a matrix.
    n_factors : int
    extraction : {"ml", "minres", "paf", "pca"}
        See :func:`sqvalid.exploratory.extract`.
    rotation : str or None
        One of ``"none"`` (or None), ``"varimax"``, ``"quartimax"``, ``"equamax"``, ``"promax"``,
        ``"oblimin"``, ``"quartimin"``, ``"geomin"``, ``"crawford_ferguson"``, ``"bentler"``,
        ``"bifactor"``, ``"biquartimin"``, ``"target"``, ``"geomin_orthogonal"``,
        ``"bentler_orthogonal"``.
    correlation : {"pearson"} or pandas.DataFrame
        How answers are correlated (rows with a missing answer are left out), or the matrix
        itself.
    n_obs : int, optional
        Respondents behind a matrix, for tests.
    items : sequence of str, optional
        Columns to use; by default the items of a survey, or all columns with numbers.
    kaiser : bool, optional
        Whether rows are brought to unit length for the rotation; by default psych's habit.
    rotation_options : mapping, optional
        Further arguments of :func:`sqvalid.rotation.rotate`: ``gamma``, ``epsilon``,
        ``exact``, ``n_starts``, ``target``, ...
    seed : int
        Of random starts of the rotation.

    Returns
    -------
    EfaResult

    Raises
    ------
    OptionError
        An unknown option, or a number of factors that p items do not allow.
    SurveyError
        Text, a constant item, or too few complete respondents.
    InputError
        A matrix that is no positive definite correlation matrix.
    UnsupportedError
        Polychoric correlations.

    Notes
    -----
    Conventions are psych's: oblimin and geomin without Kaiser's row weights, varimax and
    promax with them, and varimax stopped where R stops it (``exact=True`` goes on).

    References
    ----------
    Joreskog (1967); Harman & Jones (1966); rotations: see :mod:`sqvalid.rotation`.
    """
    check_choice("extraction", extraction, METHODS)
    rotation = "none" if rotation is None else check_choice("rotation", rotation, ROTATIONS)
    options = dict(rotation_options or {})
    unknown = sorted(set(options) - _ROTATION_OPTIONS)
    if unknown:
        raise OptionError(
            f"rotation_options has no {unknown[0]!r}.",
            remedy=f"Choose from: {', '.join(sorted(_ROTATION_OPTIONS))}.",
        )
    matrix, cases, z = correlations(data, correlation, items)
    p, m = len(matrix), n_factors
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or not 1 <= m < p:
        raise OptionError(
            f"n_factors={n_factors!r} is not possible with {p} items.",
            remedy=f"Choose a number from 1 to {p - 1}.",
        )
    n = n_obs if cases is None else cases
    r = matrix.to_numpy(dtype=float)
    found = extract(r, int(m), extraction)
    turned = rotate(found.loadings, rotation, kaiser=kaiser, seed=seed, **options)
    pattern, phi = _ordered(turned.loadings, turned.phi)
    names = [f"F{k + 1}" for k in range(m)]
    communality = np.einsum("ij,jk,ik->i", pattern, phi, pattern)
    shares = np.diag(phi @ pattern.T @ pattern)
    explained = pd.DataFrame(
        [shares, shares / p, np.cumsum(shares) / p],
        index=["ss_loadings", "proportion", "cumulative"],
        columns=names,
    )
    index = matrix.index
    return EfaResult(
        loadings=pd.DataFrame(pattern, index=index, columns=names),
        factor_correlations=pd.DataFrame(phi, index=names, columns=names),
        correlation=matrix,
        unrotated=pd.DataFrame(found.loadings, index=index, columns=names),
        communalities=pd.Series(communality, index=index, name="communality"),
        uniquenesses=pd.Series(1.0 - communality, index=index, name="uniqueness"),
        eigenvalues=np.linalg.eigvalsh(r)[::-1].copy(),
        variance_explained=explained,
        fit_measures=fit_of(r, found, int(m), n),
        n_obs=n,
        extraction=extraction,
        rotation=rotation,
        criterion=turned.criterion,
        n_minima=turned.n_minima,
        z_scores=z,
        diagnostics=_diagnostics(found, turned.converged, index, p, int(m), extraction, rotation),
    )


def _ordered(pattern: Array, phi: Array) -> tuple[Array, Array]:
    """Columns by the variance they explain, with sums that are not negative."""
    order = np.argsort(-np.diag(phi @ pattern.T @ pattern), kind="stable")
    pattern, phi = pattern[:, order], phi[np.ix_(order, order)]
    sign = np.where(pattern.sum(axis=0) < 0.0, -1.0, 1.0)
    return pattern * sign, phi * np.outer(sign, sign)


def fit_of(r: Array, found: Extraction, m: int, n: int | None) -> pd.Series:
    """Fit measures of an extraction; see :class:`EfaResult`."""
    p = len(r)
    df = ((p - m) ** 2 - p - m) // 2
    implied = found.loadings @ found.loadings.T
    residual = r - implied
    lower = residual[np.tril_indices(p, -1)]
    np.fill_diagonal(implied, 1.0)
    nothing = math.nan
    out = dict.fromkeys(
        ("chisq", "df", "pvalue", "rmsea", "tli", "bic", "rmsr", "rmsr_corrected",
         "chisq_baseline", "df_baseline"), nothing,
    )  # fmt: skip
    out["df"], out["df_baseline"] = float(df), p * (p - 1) / 2.0
    out["rmsr"] = math.sqrt(float((lower**2).mean()))
    if df > 0:
        out["rmsr_corrected"] = math.sqrt(float((lower**2).sum()) / df)
    if n is None or n < 3:
        return pd.Series(out)
    log_r = float(np.linalg.slogdet(r)[1])
    out["chisq_baseline"] = -log_r * (n - 1 - (2 * p + 5) / 6.0)
    sign, log_implied = np.linalg.slogdet(implied)
    if sign <= 0 or df < 0:
        return pd.Series(out)
    objective = float(log_implied - log_r + np.trace(np.linalg.solve(implied, r)) - p)
    multiplier = n - 1 - (2 * p + 5) / 6.0 - 2.0 * m / 3.0
    if multiplier <= 0.0:
        # So few respondents that Bartlett's multiplier has no meaning.
        return pd.Series(out)
    out["chisq"] = chisq = max(objective, 0.0) * multiplier
    out["bic"] = chisq - df * math.log(n)
    if df > 0:
        out["pvalue"] = float(chdtrc(df, chisq))
        out["rmsea"] = math.sqrt(max(0.0, chisq / (df * n) - 1.0 / (n - 1)))
        base = -log_r * multiplier / out["df_baseline"]
        out["tli"] = (base - chisq / df) / (base - 1.0)
    return pd.Series(out)


def _diagnostics(
    found: Extraction,
    rotated: bool,
    index: pd.Index,
    p: int,
    m: int,
    extraction: str,
    rotation: str,
) -> tuple[Diagnostic, ...]:
    out = []
    if len(found.heywood) or (found.uniquenesses < 0.0).any():
        places = np.flatnonzero(found.uniquenesses < 0.0)
        where = [str(index[i]) for i in (*found.heywood, *places)]
        out.append(Diagnostic("efa_heywood", "problem", tuple(dict.fromkeys(where))))
    if extraction != "pca" and (p - m) ** 2 < p + m:
        out.append(Diagnostic("efa_not_identified", "problem", (), {"n_factors": m, "n_items": p}))
    if not rotated:
        out.append(Diagnostic("efa_rotation_not_converged", "warning", (), {"rotation": rotation}))
    return tuple(out)
