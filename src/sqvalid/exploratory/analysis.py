"""efa: from answers or a correlation matrix to a rotated solution with its fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import Diagnostic, OptionError, check_choice
from sqvalid.exploratory.efa_fit import degrees_of_freedom, fit_of
from sqvalid.exploratory.extraction import METHODS, Extraction, extract, lower_minimum
from sqvalid.exploratory.matrices import correlations
from sqvalid.exploratory.result import EfaResult, EfaSetup
from sqvalid.rotation import ROTATIONS, Rotation, rotate

__all__ = ["RotatedFactors", "efa", "key_target", "rotated_factors"]

Array = npt.NDArray[np.float64]
_ROTATION_OPTIONS = frozenset({"gamma", "epsilon", "kappa", "power", "target", "exact", "n_starts"})
_SEARCHED = frozenset({"ml", "minres", "wls", "gls"})


@dataclass(frozen=True, eq=False)
class RotatedFactors:
    """Extraction and rotation of one correlation matrix.

    Parameters
    ----------
    pattern : ndarray, shape (p, m)
    phi : ndarray, shape (m, m)
    found : Extraction
    turned : Rotation
        Before its columns were put in order.
    order : ndarray of int, shape (m,)
        Columns of the rotation in the order of the pattern.
    sign : ndarray, shape (m,)
        What they were multiplied with.
    """

    pattern: Array
    phi: Array
    found: Extraction
    turned: Rotation
    order: npt.NDArray[np.intp]
    sign: Array


def rotated_factors(correlation: Array, setup: EfaSetup) -> RotatedFactors:
    """Extract and rotate.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
    setup : EfaSetup

    Returns
    -------
    RotatedFactors
        Factors by the variance they explain, with sums of loadings that are not negative; those of
        a target rotation stay where the target has them.
    """
    found = extract(
        correlation, setup.n_factors, setup.extraction, n_starts=setup.extraction_starts,
        seed=setup.seed,
    )  # fmt: skip
    turned = rotate(
        found.loadings, setup.rotation, kaiser=setup.kaiser, seed=setup.seed,
        **setup.rotation_options,
    )  # fmt: skip
    pattern, phi = turned.loadings, turned.phi
    order, sign = np.arange(setup.n_factors), np.ones(setup.n_factors)
    if setup.rotation.startswith("target"):
        # A column whose target is nothing but zeros may point either way.
        free = ~np.nan_to_num(setup.rotation_options["target"]).any(axis=0)
        sign = np.where(free & (pattern.sum(axis=0) < 0.0), -1.0, 1.0)
    if not setup.rotation.startswith("target"):
        order = np.argsort(-np.diag(phi @ pattern.T @ pattern), kind="stable")
        sign = np.where(pattern[:, order].sum(axis=0) < 0.0, -1.0, 1.0)
    pattern, phi = pattern[:, order] * sign, phi[np.ix_(order, order)] * np.outer(sign, sign)
    return RotatedFactors(pattern, phi, found, turned, order, sign)


def efa(
    data: Any = None,
    n_factors: int = 1,
    *,
    extraction: str = "minres",
    rotation: str | None = "oblimin",
    correlation: str | pd.DataFrame = "pearson",
    n_obs: int | None = None,
    items: Sequence[str] | None = None,
    missing: str = "listwise",
    smooth: bool = False,
    kaiser: bool | None = None,
    extraction_starts: int = 1,
    rotation_options: Mapping[str, Any] | None = None,
    seed: int = 20261122,
) -> EfaResult:
    """Exploratory factor analysis.

    Parameters
    ----------
    data : Survey, pandas.DataFrame or polars.DataFrame, optional
        Answers; None when `correlation` is a matrix.
    n_factors : int
    extraction : {"minres", "ml", "paf", "wls", "gls", "alpha", "pca"}
        See :func:`sqvalid.exploratory.extract`.
    rotation : str or None
        One of :data:`sqvalid.rotation.ROTATIONS`; None is ``"none"``. Orthogonal: ``"varimax"``,
        ``"quartimax"``, ``"equamax"``, ``"crawford_ferguson_orthogonal"``,
        ``"geomin_orthogonal"``, ``"infomax_orthogonal"``, ``"bentler_orthogonal"``,
        ``"target_orthogonal"``, ``"bifactor"``. Oblique: ``"promax"``, ``"Promax"``, ``"oblimin"``,
        ``"quartimin"``, ``"geomin"``, ``"crawford_ferguson"``, ``"infomax"``, ``"bentler"``,
        ``"target"``, ``"biquartimin"``, ``"bigeomin"``.
    correlation : {"pearson", "polychoric"} or pandas.DataFrame
        How answers are correlated, or the matrix itself.
    n_obs : int, optional
        Respondents behind a matrix, for tests.
    items : sequence of str, optional
        Columns to use; by default the items of a survey, or all columns with numbers.
    missing : {"listwise", "pairwise", "fiml"}
        Rows with a missing answer are left out; every correlation takes the respondents who
        answered both items (as psych does); or the saturated moments by EM, where answers may be
        missing at random.
    smooth : bool
        Go on with the nearest usable matrix where the correlations are not positive definite, and
        say so.
    kaiser : bool, optional
        Whether rows are brought to unit length for the rotation; by default psych's habit.
    extraction_starts : int
        Starts of ml, minres, wls and gls, see :func:`sqvalid.exploratory.extract`. With one, a
        second is tried all the same, and a lower minimum is reported.
    rotation_options : mapping, optional
        Further arguments of :func:`sqvalid.rotation.rotate`: ``gamma``, ``epsilon``, ``kappa``,
        ``exact``, ``n_starts``, ``target``, ... A target may be a matrix, a frame with NaN where
        nothing is specified, or a key: a mapping of dimension to items. A survey's own dimensions
        are the target where none is given.
    seed : int
        Of random starts.

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
        A bifactor rotation of two factors; polychoric correlations by full information.

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
    if isinstance(extraction_starts, bool) or extraction_starts < 1:
        raise OptionError(
            f"extraction_starts={extraction_starts!r} is no number of starts.",
            remedy="Use 1 or more.",
        )
    given = correlations(data, correlation, items, n_obs=n_obs, missing=missing, smooth=smooth)
    matrix = given.matrix
    p, m = len(matrix), n_factors
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or not 1 <= m < p:
        raise OptionError(
            f"n_factors={n_factors!r} is not possible with {p} items.",
            remedy=f"Choose a number from 1 to {p - 1}.",
        )
    m = int(m)
    names = [f"F{k + 1}" for k in range(m)]
    if rotation.startswith("target"):
        target = _target_frame(options, given.dimensions, [str(c) for c in matrix.index], m)
        options["target"] = target.to_numpy(dtype=float)
        names = [str(c) for c in target.columns]
    setup = EfaSetup(
        n_factors=m,
        extraction=extraction,
        rotation=rotation,
        correlation=given.kind,
        missing=missing,
        smooth=smooth,
        kaiser=kaiser,
        extraction_starts=extraction_starts,
        seed=seed,
        rotation_options=options,
    )
    columns, extracted = pd.Index(names), pd.Index([f"F{k + 1}" for k in range(m)])
    r = matrix.to_numpy(dtype=float)
    parts = rotated_factors(r, setup)
    pattern, phi, found = parts.pattern, parts.phi, parts.found
    communality = np.einsum("ij,jk,ik->i", pattern, phi, pattern)
    shares = np.diag(phi @ pattern.T @ pattern)
    explained = pd.DataFrame(
        [shares, shares / p, np.cumsum(shares) / p],
        index=["ss_loadings", "proportion", "cumulative"],
        columns=columns,
    )
    index = matrix.index
    return EfaResult(
        loadings=pd.DataFrame(pattern, index=index, columns=columns),
        factor_correlations=pd.DataFrame(phi, index=columns, columns=columns),
        correlation=matrix,
        unrotated=pd.DataFrame(found.loadings, index=index, columns=extracted),
        communalities=pd.Series(communality, index=index, name="communality"),
        uniquenesses=pd.Series(1.0 - communality, index=index, name="uniqueness"),
        eigenvalues=np.linalg.eigvalsh(r)[::-1].copy(),
        variance_explained=explained,
        fit_measures=fit_of(r, found, m, given.n_obs),
        n_obs=given.n_obs,
        setup=setup,
        found=found,
        minima=parts.turned.minima,
        criterion=parts.turned.criterion,
        answers=given.answers,
        scale=given.scale,
        diagnostics=(*given.diagnostics, *_diagnostics(r, parts, setup, index)),
    )


def key_target(dimensions: Mapping[str, Sequence[str]], items: Sequence[str]) -> pd.DataFrame:
    """Turn the key of a questionnaire into a target: free where an item belongs, else zero.

    Parameters
    ----------
    dimensions : mapping of str to sequence of str
        Dimension to its items.
    items : sequence of str
        Rows of the target.

    Returns
    -------
    pandas.DataFrame
        Items by dimensions, NaN where nothing is specified.

    Raises
    ------
    OptionError
        An item that belongs nowhere.
    """
    target = pd.DataFrame(0.0, index=list(items), columns=[str(name) for name in dimensions])
    for name, own in dimensions.items():
        target.loc[[item for item in own if item in target.index], str(name)] = np.nan
    lost = [str(item) for item in target.index[target.notna().all(axis=1)]]
    if lost:
        raise OptionError(
            f"The key has no place for {', '.join(map(repr, lost))}.",
            remedy="Leave the items out, or name their dimension.",
        )
    return target


def _target_frame(
    options: dict[str, Any], dimensions: Mapping[str, Sequence[str]], items: Sequence[str], m: int
) -> pd.DataFrame:
    """The target as a frame over the items analysed, whatever it was given as."""
    given = options.get("target")
    if given is None and dimensions:
        given = dimensions
    if given is None:
        raise OptionError(
            "A target rotation needs a target.",
            remedy="Give rotation_options={'target': loadings or a key}, NaN where nothing is "
            "specified.",
        )
    if isinstance(given, Mapping):
        frame = key_target(given, items)
    elif isinstance(given, pd.DataFrame):
        if set(map(str, given.index)) != set(items):
            raise OptionError(
                "The target is of other items: "
                f"{', '.join(sorted(set(map(str, given.index)) ^ set(items)))}.",
                remedy="Give one row per item analysed.",
            )
        frame = given.set_axis(list(map(str, given.index)), axis=0).loc[list(items)].astype(float)
    else:
        values = np.asarray(given, dtype=float)
        if values.shape != (len(items), m):
            raise OptionError(
                f"The target has shape {values.shape}, the pattern {(len(items), m)}.",
                remedy="Give one row per item and one column per factor.",
            )
        frame = pd.DataFrame(values, index=list(items), columns=[f"F{k + 1}" for k in range(m)])
    if frame.shape[1] != m:
        raise OptionError(
            f"The target has {frame.shape[1]} columns for n_factors={m}.",
            remedy="Extract as many factors as the target has.",
        )
    return frame


def _diagnostics(r: Array, parts: RotatedFactors, setup: EfaSetup, index: pd.Index
                 ) -> tuple[Diagnostic, ...]:  # fmt: skip
    found, turned = parts.found, parts.turned
    p, m = len(r), setup.n_factors
    out = []
    if len(found.heywood) or (found.uniquenesses < 0.0).any():
        places = np.flatnonzero(found.uniquenesses < 0.0)
        where = [str(index[i]) for i in (*found.heywood, *places)]
        out.append(Diagnostic("efa_heywood", "problem", tuple(dict.fromkeys(where))))
    if setup.extraction != "pca" and degrees_of_freedom(p, m) < 0:
        out.append(Diagnostic("efa_not_identified", "problem", (), {"n_factors": m, "n_items": p}))
    elif setup.extraction in _SEARCHED and setup.extraction_starts == 1:
        lower = lower_minimum(r, m, setup.extraction, found.discrepancy)
        if lower is not None:
            told = {
                "found": f"{found.discrepancy:.6f}",
                "lower": f"{lower:.6f}",
                "extraction": setup.extraction,
            }
            out.append(Diagnostic("efa_lower_minimum", "warning", (), told))
    if not found.converged:
        told = {"extraction": setup.extraction, "n": str(found.n_iterations)}
        out.append(Diagnostic("efa_extraction_not_converged", "warning", (), told))
    if not turned.converged:
        told = {"rotation": setup.rotation}
        out.append(Diagnostic("efa_rotation_not_converged", "warning", (), told))
    if len(turned.minima) > 1:
        told = {
            "rotation": setup.rotation,
            "n": str(len(turned.minima)),
            "share": f"{turned.minima[0][1] / sum(count for _, count in turned.minima):.0%}",
        }
        out.append(Diagnostic("efa_local_minima", "info", (), told))
    if setup.correlation == "polychoric":
        out.append(Diagnostic("efa_polychoric_tests", "info"))
    return tuple(out)
