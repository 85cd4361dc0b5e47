"""The hull method: where more factors stop being worth their parameters."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sqvalid.exploratory.efa_fit import degrees_of_freedom, fit_of
from sqvalid.exploratory.extraction import extract
from sqvalid.exploratory.factorability import sampling_adequacy

__all__ = ["common_part_accounted_for", "hull_choice", "hull_fits"]

Array = npt.NDArray[np.float64]


def common_part_accounted_for(residual: Array) -> float:
    """CAF: one minus the KMO of what the factors leave, ones on the diagonal.

    Parameters
    ----------
    residual : ndarray, shape (p, p)
        Correlations minus those the factors reproduce; the diagonal is not used.

    Returns
    -------
    float
        NaN where what is left cannot be inverted.

    References
    ----------
    Lorenzo-Seva, Timmerman & Kiers (2011).
    """
    left = residual.copy()
    np.fill_diagonal(left, 1.0)
    if np.linalg.eigvalsh(left)[0] < 1e-10:
        return math.nan
    return 1.0 - sampling_adequacy(left)[0]


def hull_fits(r: Array, n: int, most: int) -> dict[str, Array]:
    """Fit of 0, 1, ..., `most` factors.

    Parameters
    ----------
    r : ndarray, shape (p, p)
    n : int
    most : int

    Returns
    -------
    dict of str to ndarray, shape (most + 1,)
        ``caf`` (minres), ``cfi`` and ``rmsea`` (maximum likelihood; one minus RMSEA, so that more
        is better), and ``df``.
    """
    p = len(r)
    df = [p * (p - 1) / 2.0]
    caf = [common_part_accounted_for(r)]
    cfi = [0.0]
    base = -float(np.linalg.slogdet(r)[1]) * (n - 1 - (2 * p + 5) / 6.0)
    rmsea = [1.0 - math.sqrt(max(0.0, base / (df[0] * n) - 1.0 / (n - 1)))]
    for m in range(1, most + 1):
        df.append(float(degrees_of_freedom(p, m)))
        loadings = extract(r, m, "minres").loadings
        caf.append(common_part_accounted_for(r - loadings @ loadings.T))
        fit = fit_of(r, extract(r, m, "ml"), m, n)
        cfi.append(float(fit["cfi"]))
        rmsea.append(1.0 - float(fit["rmsea"]))
    return {name: np.array(values) for name, values in
            (("caf", caf), ("cfi", cfi), ("rmsea", rmsea), ("df", df))}  # fmt: skip


def hull_choice(fit: Array, df: Array) -> int | None:
    """The number of factors at the sharpest bend of the hull.

    Parameters
    ----------
    fit : ndarray, shape (k + 1,)
        Of 0, 1, ..., k factors, more is better.
    df : ndarray, shape (k + 1,)
        Degrees of freedom, falling.

    Returns
    -------
    int or None
        None where fewer than three solutions are left on the hull, so that nothing bends.
        Where more factors were tried and none fitted better (CFI and RMSEA have a ceiling), the
        last solution that did: after it the hull is flat.

    Notes
    -----
    Solutions that fit no better than a simpler one are dropped, then those below the line of
    their neighbours; the choice has the largest ratio of the slopes before and after it.
    """
    known = [k for k in range(len(fit)) if np.isfinite(fit[k])]
    kept = [k for i, k in enumerate(known) if all(fit[k] > fit[j] for j in known[:i])]
    if len(kept) > 1 and kept[-1] != known[-1]:
        return kept[-1]
    # Corners of the upper hull over df, from the left (no factors) to the right.
    hull: list[int] = []
    for k in kept:
        while len(hull) > 1 and _slope(fit, df, hull[-2], hull[-1]) <= _slope(
            fit, df, hull[-1], k
        ):  # fmt: skip
            hull.pop()
        hull.append(k)
    if len(hull) < 3:
        return None
    bends = [
        _slope(fit, df, hull[i - 1], hull[i]) / _slope(fit, df, hull[i], hull[i + 1])
        for i in range(1, len(hull) - 1)
    ]
    return hull[1 + int(np.argmax(bends))]


def _slope(fit: Array, df: Array, a: int, b: int) -> float:
    return float((fit[b] - fit[a]) / (df[a] - df[b]))
