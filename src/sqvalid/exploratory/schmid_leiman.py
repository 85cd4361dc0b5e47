"""Schmid and Leiman's general factor of correlated factors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sqvalid.errors import Diagnostic, UnsupportedError
from sqvalid.exploratory.extraction import extract
from sqvalid.exploratory.result import EfaResult

__all__ = ["schmid_leiman"]

# Fewer than three factors leave the loadings of a second-order factor open.
_FEWEST = 3


def schmid_leiman(fit: EfaResult) -> tuple[pd.DataFrame, pd.Series, tuple[Diagnostic, ...]]:
    r"""Divide what items have in common into a general part and what is left to each factor.

    Parameters
    ----------
    fit : EfaResult
        Oblique, three factors or more.

    Returns
    -------
    loadings : pandas.DataFrame
        ``g``, then the factors with the general factor taken out, then ``h2``, ``u2`` and ``p2``,
        the share of the communality that is general.
    general : pandas.Series
        Loadings of the factors on the general factor.
    diagnostics : tuple of Diagnostic
        A factor explained completely by the general one.

    Raises
    ------
    UnsupportedError
        Orthogonal factors, or fewer than three.

    Notes
    -----
    With :math:`\gamma` the loadings of one minres factor of the factor correlations, the general
    loadings are :math:`\Lambda\gamma`, those of a group factor
    :math:`\lambda_{ik}\sqrt{1 - \gamma_k^2}`. Together they reproduce the correlations of the items
    as far as one factor reproduces those of the factors.

    References
    ----------
    Schmid & Leiman (1957), Psychometrika 22.
    """
    phi = fit.factor_correlations.to_numpy(dtype=float)
    m = len(phi)
    if m < _FEWEST or np.allclose(phi, np.eye(m)):
        what = f"{m} factors" if m < _FEWEST else "uncorrelated factors"
        raise UnsupportedError(
            f"A general factor of {what} is not determined.",
            remedy="Extract three oblique factors or more.",
        )
    found = extract(phi, 1, "minres")
    gamma = found.loadings[:, 0]
    pattern = fit.loadings.to_numpy(dtype=float)
    general = pattern @ gamma
    groups = pattern * np.sqrt(np.clip(1.0 - gamma**2, 0.0, None))
    common = general**2 + (groups**2).sum(axis=1)
    frame = pd.DataFrame(groups, index=fit.loadings.index, columns=fit.loadings.columns)
    frame.insert(0, "g", general)
    frame = frame.assign(h2=common, u2=1.0 - common, p2=general**2 / common)
    names = [str(fit.loadings.columns[k]) for k in found.heywood]
    trouble = (Diagnostic("efa_heywood", "problem", tuple(names)),) if names else ()
    return frame, pd.Series(gamma, index=fit.loadings.columns, name="g"), trouble
