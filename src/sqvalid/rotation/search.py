"""Rotation by name: criteria searched from one start or many, Kaiser's varimax, promax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.errors import UnsupportedError, check_choice
from sqvalid.resampling import normals
from sqvalid.rotation.criteria import CRITERIA, Criterion, Setting, varimax
from sqvalid.rotation.projection import project_oblique, project_orthogonal

__all__ = ["OBLIQUE", "ORTHOGONAL", "ROTATIONS", "Rotation", "habit", "rotate"]

Array = npt.NDArray[np.float64]

# Below this many factors there is nothing to rotate.
_ONE = 2
# A general factor and two group factors, whose simplicity is what is minimised.
_BIFACTOR = 3


@dataclass(frozen=True, eq=False)
class Rotation:
    """A rotated solution.

    Parameters
    ----------
    loadings : ndarray, shape (p, m)
        The pattern.
    phi : ndarray, shape (m, m)
        Correlations of the factors.
    transformation : ndarray, shape (m, m)
        T of the package's formulas.
    criterion : float
        Value of the criterion; NaN for rotations in closed form.
    converged : bool
    minima : tuple of (float, int)
        Values of the different minima found, the lowest first, and how many starts ended there.
    n_failed : int
        Starts that ended nowhere.
    """

    loadings: Array
    phi: Array
    transformation: Array
    criterion: float
    converged: bool
    minima: tuple[tuple[float, int], ...] = ()
    n_failed: int = 0

    @property
    def n_minima(self) -> int:
        """Different minima found from the starts."""
        return max(len(self.minima), 1)


def _kaiser_varimax(a: Array) -> tuple[Array, bool]:
    """Varimax by singular value decompositions, stopped where R's varimax stops.

    The singular values rise from step to step; R stops when their sum rises by less than
    1e-5 of itself. What is left to gain is of the order of 1e-3 in a loading.
    """
    t = np.eye(a.shape[1])
    past = 0.0
    for _ in range(1000):
        z = a @ t
        u, d, v = np.linalg.svd(a.T @ (z**3 - z * (z**2).mean(axis=0)))
        t = u @ v
        if d.sum() < past * (1.0 + 1e-5):
            return t, True
        past = float(d.sum())
    return t, False


# --- by name -----------------------------------------------------------------------------

_BY_PROMAX = ("promax", "Promax")
ORTHOGONAL = ("none", *(name for name, (orthogonal, _) in CRITERIA.items() if orthogonal))
OBLIQUE = (*_BY_PROMAX, *(name for name, (orthogonal, _) in CRITERIA.items() if not orthogonal))
ROTATIONS = (*ORTHOGONAL, *OBLIQUE)
"""Names of the rotations."""

# psych normalises rows (Kaiser) where R's own varimax and promax do; GPArotation does not.
_KAISER = frozenset({"varimax", *_BY_PROMAX})


def habit(rotation: str) -> bool:
    """Whether psych brings rows to unit length for this rotation."""
    return rotation in _KAISER


def rotate(
    loadings: Array,
    rotation: str,
    *,
    kaiser: bool | None = None,
    gamma: float = 0.0,
    epsilon: float = 0.01,
    kappa: float = 0.0,
    power: float = 4.0,
    target: Array | None = None,
    exact: bool = False,
    n_starts: int = 1,
    seed: int = 20261122,
) -> Rotation:
    """Rotate loadings towards a simple pattern.

    Parameters
    ----------
    loadings : ndarray, shape (p, m)
        Unrotated.
    rotation : str
        One of :data:`ROTATIONS`.
    kaiser : bool, optional
        Whether rows are brought to unit length first (Kaiser 1958). By default as in psych:
        for varimax and promax. ``"promax"`` is psych's of that name, with both of its steps on
        such rows; ``"Promax"`` turns varimax loadings of the usual length obliquely.
    gamma : float
        Of oblimin; 0 is quartimin.
    epsilon : float
        Of geomin.
    kappa : float
        Of the Crawford-Ferguson family.
    power : float
        Of promax.
    target : ndarray, shape (p, m), optional
        For ``"target"`` and ``"target_orthogonal"``; NaN where nothing is specified.
    exact : bool
        For varimax and promax: search the minimum by gradient projection. By default the
        search stops where R's varimax stops, which may be 1e-3 away from it.
    n_starts : int
        Starts: the identity, then random ones. The lowest minimum is taken.
    seed : int
        Of the random starts.

    Returns
    -------
    Rotation
        Columns as they come; order and signs are the caller's.

    Raises
    ------
    OptionError
        An unknown rotation.
    UnsupportedError
        No target where one is needed; a bifactor rotation of two factors.

    References
    ----------
    Jennrich (2001, 2002), Psychometrika; Bernaards & Jennrich (2005); promax: Hendrickson &
    White (1964).
    """
    check_choice("rotation", rotation, ROTATIONS)
    a = np.asarray(loadings, dtype=float)
    m = a.shape[1]
    if rotation == "none" or m < _ONE:
        return Rotation(a.copy(), np.eye(m), np.eye(m), float("nan"), True)
    if rotation in ("bifactor", "biquartimin", "bigeomin") and m < _BIFACTOR:
        raise UnsupportedError(
            f"A bifactor rotation of {m} factors leaves the group factors undetermined.",
            remedy="Extract three factors or more.",
        )
    if rotation in ("target", "target_orthogonal") and (target is None or target.shape != a.shape):
        raise UnsupportedError(
            f"rotation={rotation!r} needs a target of shape {a.shape}.",
            remedy="Give target=, with NaN where nothing is specified.",
        )
    length = np.sqrt((a**2).sum(axis=1, keepdims=True))
    length[length == 0.0] = 1.0
    rows = length if (habit(rotation) if kaiser is None else kaiser) else np.ones_like(length)
    a = a / rows
    if target is not None:
        target = target / rows
    if rotation in ("varimax", *_BY_PROMAX) and not (exact or n_starts > 1):
        t, converged = _kaiser_varimax(a)
        value = varimax(a @ t)[0]
        found = Rotation(a @ t, np.eye(m), t, value, converged, ((value, 1),))
    else:
        name = "varimax" if rotation in _BY_PROMAX else rotation
        orthogonal, make = CRITERIA[name]
        criterion = make(Setting(len(a), m, gamma, epsilon, kappa, target))
        found = _searched(a, criterion, orthogonal, n_starts, seed)
    if rotation == "promax":
        found = _promax(found, power)
    turned = found.loadings * rows
    if rotation == "Promax":
        found = _promax(Rotation(turned, found.phi, found.transformation, found.criterion,
                                 found.converged), power)  # fmt: skip
        turned = found.loadings
    return Rotation(
        turned,
        found.phi,
        found.transformation,
        found.criterion,
        found.converged,
        found.minima,
        found.n_failed,
    )


def _searched(
    a: Array, criterion: Criterion, orthogonal: bool, n_starts: int, seed: int
) -> Rotation:
    m = a.shape[1]
    search = project_orthogonal if orthogonal else project_oblique
    best: tuple[Array, float, bool] | None = None
    minima: list[list[float]] = []
    failed = 0
    for k in range(max(n_starts, 1)):
        start = np.eye(m)
        if k:
            start = np.linalg.qr(normals(seed, k, m * m).reshape(m, m))[0]
        t, value, converged = search(a, start, criterion)
        if converged:
            same = [entry for entry in minima if np.isclose(entry[0], value, rtol=1e-6, atol=1e-10)]
            if same:
                same[0][1] += 1
            else:
                minima.append([value, 1])
        else:
            failed += 1
        if best is None or (converged, -value) > (best[2], -best[1] + 1e-12 * abs(best[1])):
            best = (t, value, converged)
    assert best is not None
    t, value, converged = best
    counted = tuple(sorted((entry[0], int(entry[1])) for entry in minima))
    if orthogonal:
        return Rotation(a @ t, np.eye(m), t, value, converged, counted, failed)
    return Rotation(a @ np.linalg.inv(t).T, t.T @ t, t, value, converged, counted, failed)


def _promax(first: Rotation, power: float) -> Rotation:
    """Least squares towards a power of the varimax loadings (Hendrickson & White 1964)."""
    simple = first.loadings
    wanted = simple * np.abs(simple) ** (power - 1.0)
    u = np.linalg.lstsq(simple, wanted, rcond=None)[0]
    u = u * np.sqrt(np.diag(np.linalg.inv(u.T @ u)))
    inverse = np.linalg.inv(u)
    t = first.transformation @ inverse.T
    return Rotation(simple @ u, inverse @ inverse.T, t, float("nan"), first.converged)
