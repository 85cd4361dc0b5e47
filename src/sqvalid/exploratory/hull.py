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
# A slope below this is none.
_FLAT = 1e-9


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
        is better; neither ends at one), and ``df``.
    """
    p = len(r)
    df = [p * (p - 1) / 2.0]
    caf = [common_part_accounted_for(r)]
    cfi = [0.0]
    base = -float(np.linalg.slogdet(r)[1]) * (n - 1 - (2 * p + 5) / 6.0)
    rmsea = [1.0 - _signed_root(base / (df[0] * n) - 1.0 / (n - 1))]
    for m in range(1, most + 1):
        df.append(float(degrees_of_freedom(p, m)))
        loadings = extract(r, m, "minres").loadings
        caf.append(common_part_accounted_for(r - loadings @ loadings.T))
        chisq = float(fit_of(r, extract(r, m, "ml"), m, n)["chisq"])
        # Without their ceilings: where every solution from some number on has the same value,
        # nothing bends.
        cfi.append(1.0 - (chisq - df[m]) / (base - df[0]))
        free = df[m] * n
        rmsea.append(1.0 - _signed_root(chisq / free - 1.0 / (n - 1)) if free else math.nan)
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
        None where nothing bends: fewer than three solutions, or two and no worse one after them.

    Notes
    -----
    Solutions that fit no better than a simpler one are dropped, then those below the line of
    their neighbours; the choice has the largest ratio of the slopes before and after it. The
    last solution of the hull takes part where a next one was tried and dropped: the slope after
    it is the size of that change.
    """
    known = [k for k in range(len(fit)) if np.isfinite(fit[k])]
    kept = [k for i, k in enumerate(known) if all(fit[k] > fit[j] for j in known[:i])]
    # Corners of the upper hull over df, from the left (no factors) to the right.
    hull: list[int] = []
    for k in kept:
        while len(hull) > 1 and _slope(fit, df, hull[-2], hull[-1]) <= _slope(
            fit, df, hull[-1], k
        ):  # fmt: skip
            hull.pop()
        hull.append(k)
    corners = hull[1:-1]
    bends = [
        _slope(fit, df, hull[i - 1], hull[i]) / _slope(fit, df, hull[i], hull[i + 1])
        for i in range(1, len(hull) - 1)
    ]
    after = [k for k in known if k > hull[-1]]
    if after and len(hull) > 1:
        flat = max(abs(_slope(fit, df, hull[-1], after[0])), _FLAT)
        corners.append(hull[-1])
        bends.append(_slope(fit, df, hull[-2], hull[-1]) / flat)
    return corners[int(np.argmax(bends))] if corners else None


def _signed_root(x: float) -> float:
    return math.copysign(math.sqrt(abs(x)), x)


def _slope(fit: Array, df: Array, a: int, b: int) -> float:
    return float((fit[b] - fit[a]) / (df[a] - df[b]))
