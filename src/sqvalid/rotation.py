r"""Rotation of factor loadings: criteria with gradients, and gradient projection.

An orthogonal rotation is :math:`L = A T` with :math:`T'T = I`; an oblique one is
:math:`L = A (T')^{-1}` with unit columns in T and factor correlations :math:`\Phi = T'T`.
The criterion Q(L) is minimised by gradient projection (Jennrich 2001, 2002; Bernaards &
Jennrich 2005) until the projected gradient vanishes, not until a number of iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.errors import UnsupportedError, check_choice
from sqvalid.resampling import normals

__all__ = ["OBLIQUE", "ORTHOGONAL", "ROTATIONS", "Rotation", "rotate"]

Array = npt.NDArray[np.float64]
Criterion = Callable[[Array], tuple[float, Array]]

_TOLERANCE = 1e-8
_MAX_STEPS = 20_000
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
        T of the module's formulas.
    criterion : float
        Value of the criterion; NaN for rotations in closed form.
    converged : bool
    n_minima : int
        Different minima found from the starts.
    """

    loadings: Array
    phi: Array
    transformation: Array
    criterion: float
    converged: bool
    n_minima: int


# --- criteria: value and gradient by the loadings ----------------------------------------


def crawford_ferguson(loadings: Array, kappa: float) -> tuple[float, Array]:
    """Crawford & Ferguson (1970): complexity of rows and columns, weighted 1 - kappa and kappa."""
    squares = loadings**2
    others_in_row = squares.sum(axis=1, keepdims=True) - squares
    others_in_column = squares.sum(axis=0, keepdims=True) - squares
    rows, columns = (squares * others_in_row).sum(), (squares * others_in_column).sum()
    value = (1.0 - kappa) * rows / 4.0 + kappa * columns / 4.0
    return float(value), loadings * ((1.0 - kappa) * others_in_row + kappa * others_in_column)


def oblimin(loadings: Array, gamma: float = 0.0) -> tuple[float, Array]:
    """Direct oblimin (Jennrich & Sampson 1966); quartimin at gamma 0."""
    p = len(loadings)
    squares = loadings**2
    cross = squares.sum(axis=1, keepdims=True) - squares
    if gamma != 0.0:
        cross = cross - gamma * cross.mean(axis=0, keepdims=True) * np.ones((p, 1))
    return float((squares * cross).sum() / 4.0), loadings * cross


def geomin(loadings: Array, epsilon: float = 0.01) -> tuple[float, Array]:
    """Geomin (Yates 1987; Browne 2001)."""
    m = loadings.shape[1]
    lifted = loadings**2 + epsilon
    product = np.exp(np.log(lifted).mean(axis=1))
    return float(product.sum()), (2.0 / m) * (loadings / lifted) * product[:, None]


def varimax(loadings: Array) -> tuple[float, Array]:
    """Kaiser (1958), turned round so that small is simple."""
    centred = loadings**2 - (loadings**2).mean(axis=0)
    return float(-(centred**2).sum() / 4.0), -loadings * centred


def quartimax(loadings: Array) -> tuple[float, Array]:
    """Neuhaus & Wrigley (1954), turned round so that small is simple."""
    return float(-(loadings**4).sum() / 4.0), -(loadings**3)


def bentler(loadings: Array) -> tuple[float, Array]:
    """Bentler's (1977) invariant pattern simplicity."""
    squares = loadings**2
    gram = squares.T @ squares
    diagonal = np.diag(np.diag(gram))
    value = -(np.linalg.slogdet(gram)[1] - np.linalg.slogdet(diagonal)[1]) / 4.0
    slope = -loadings * (squares @ (np.linalg.inv(gram) - np.linalg.inv(diagonal)))
    return float(value), slope


def bifactor(loadings: Array) -> tuple[float, Array]:
    """Bi-quartimin (Jennrich & Bentler 2011): the first column is general and is left alone."""
    value, slope = oblimin(loadings[:, 1:])
    return value, np.hstack([np.zeros((len(loadings), 1)), slope])


def _target(loadings: Array, target: Array) -> tuple[float, Array]:
    """Browne (1972): squared distance from what is specified; NaN is not."""
    gap = np.where(np.isnan(target), 0.0, loadings - target)
    return float((gap**2).sum()), 2.0 * gap


# --- gradient projection -----------------------------------------------------------------


def _project_orthogonal(a: Array, start: Array, criterion: Criterion) -> tuple[Array, float, bool]:
    """Jennrich (2001)."""
    t, step = start, 1.0
    value, slope = criterion(a @ t)
    gradient = a.T @ slope
    for _ in range(_MAX_STEPS):
        symmetric = t.T @ gradient
        projected = gradient - t @ (symmetric + symmetric.T) / 2.0
        size = float(np.linalg.norm(projected))
        if size < _TOLERANCE:
            return t, value, True
        step *= 2.0
        for _ in range(60):
            u, _, v = np.linalg.svd(t - step * projected)
            trial = u @ v
            new, slope = criterion(a @ trial)
            if new < value - 0.5 * size**2 * step:
                break
            step /= 2.0
        else:
            return t, value, size < 1e-5
        t, value, gradient = trial, new, a.T @ slope
    return t, value, False


def _project_oblique(a: Array, start: Array, criterion: Criterion) -> tuple[Array, float, bool]:
    """Jennrich (2002)."""
    t, step = start, 1.0
    inverse = np.linalg.inv(t)
    loadings = a @ inverse.T
    value, slope = criterion(loadings)
    gradient = -(loadings.T @ slope @ inverse).T
    for _ in range(_MAX_STEPS):
        projected = gradient - t * (t * gradient).sum(axis=0)
        size = float(np.linalg.norm(projected))
        if size < _TOLERANCE:
            return t, value, True
        step *= 2.0
        for _ in range(60):
            trial = t - step * projected
            trial = trial / np.sqrt((trial**2).sum(axis=0))
            inverse = np.linalg.inv(trial)
            loadings = a @ inverse.T
            new, slope = criterion(loadings)
            if new < value - 0.5 * size**2 * step:
                break
            step /= 2.0
        else:
            return t, value, size < 1e-5
        t, value = trial, new
        gradient = -(loadings.T @ slope @ inverse).T
    return t, value, False


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

ORTHOGONAL = (
    "none", "varimax", "quartimax", "equamax", "geomin_orthogonal", "bentler_orthogonal",
    "bifactor",
)  # fmt: skip
OBLIQUE = (
    "promax", "oblimin", "quartimin", "geomin", "crawford_ferguson", "bentler", "biquartimin",
    "target",
)  # fmt: skip
ROTATIONS = (*ORTHOGONAL, *OBLIQUE)
"""Names of the rotations."""

# psych normalises rows (Kaiser) where R's own varimax and promax do; GPArotation does not.
_KAISER = frozenset({"varimax", "promax"})


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
        for varimax and promax.
    gamma : float
        Of oblimin; 0 is quartimin.
    epsilon : float
        Of geomin.
    kappa : float
        Of the Crawford-Ferguson family.
    power : float
        Of promax.
    target : ndarray, shape (p, m), optional
        For ``"target"``; NaN where nothing is specified.
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
        return Rotation(a.copy(), np.eye(m), np.eye(m), float("nan"), True, 1)
    if rotation in ("bifactor", "biquartimin") and m < _BIFACTOR:
        raise UnsupportedError(
            f"A bifactor rotation of {m} factors leaves the group factors undetermined.",
            remedy="Extract three factors or more.",
        )
    if rotation == "target" and (target is None or target.shape != a.shape):
        raise UnsupportedError(
            f"rotation='target' needs a target of shape {a.shape}.",
            remedy="Give target=, with NaN where nothing is specified.",
        )
    length = np.sqrt((a**2).sum(axis=1, keepdims=True))
    length[length == 0.0] = 1.0
    rows = length if (rotation in _KAISER if kaiser is None else kaiser) else np.ones_like(length)
    a = a / rows
    if target is not None:
        target = target / rows
    if rotation == "promax":
        found = _promax(a, _varimax(a, exact, n_starts, seed), power)
    elif rotation == "varimax":
        found = _varimax(a, exact, n_starts, seed)
    else:
        p = len(a)
        criteria: dict[str, Criterion] = {
            "quartimax": quartimax,
            "equamax": lambda x: crawford_ferguson(x, m / (2.0 * p)),
            "geomin_orthogonal": lambda x: geomin(x, epsilon),
            "bentler_orthogonal": bentler,
            "oblimin": lambda x: oblimin(x, gamma),
            "quartimin": oblimin,
            "geomin": lambda x: geomin(x, epsilon),
            "crawford_ferguson": lambda x: crawford_ferguson(x, kappa),
            "bentler": bentler,
            "bifactor": bifactor,
            "biquartimin": bifactor,
            "target": lambda x: _target(x, target),  # type: ignore[arg-type]
        }
        found = _searched(a, criteria[rotation], rotation in ORTHOGONAL, n_starts, seed)
    return Rotation(
        found.loadings * rows,
        found.phi,
        found.transformation,
        found.criterion,
        found.converged,
        found.n_minima,
    )


def _varimax(a: Array, exact: bool, n_starts: int, seed: int) -> Rotation:
    if exact or n_starts > 1:
        return _searched(a, varimax, True, n_starts, seed)
    t, converged = _kaiser_varimax(a)
    return Rotation(a @ t, np.eye(len(t)), t, varimax(a @ t)[0], converged, 1)


def _searched(
    a: Array, criterion: Criterion, orthogonal: bool, n_starts: int, seed: int
) -> Rotation:
    m = a.shape[1]
    search = _project_orthogonal if orthogonal else _project_oblique
    best: tuple[Array, float, bool] | None = None
    minima: list[float] = []
    for k in range(max(n_starts, 1)):
        start = np.eye(m)
        if k:
            start = np.linalg.qr(normals(seed, k, m * m).reshape(m, m))[0]
        t, value, converged = search(a, start, criterion)
        if converged and not np.isclose(minima, value, rtol=1e-6, atol=1e-10).any():
            minima.append(value)
        if best is None or (converged, -value) > (best[2], -best[1] + 1e-12 * abs(best[1])):
            best = (t, value, converged)
    assert best is not None
    t, value, converged = best
    if orthogonal:
        return Rotation(a @ t, np.eye(m), t, value, converged, max(len(minima), 1))
    return Rotation(a @ np.linalg.inv(t).T, t.T @ t, t, value, converged, max(len(minima), 1))


def _promax(a: Array, first: Rotation, power: float) -> Rotation:
    """Least squares towards a power of the varimax loadings (Hendrickson & White 1964)."""
    simple = first.loadings
    wanted = simple * np.abs(simple) ** (power - 1.0)
    u = np.linalg.lstsq(simple, wanted, rcond=None)[0]
    scale = np.sqrt(np.diag(np.linalg.inv(u.T @ u)))
    u = u * scale
    inverse = np.linalg.inv(u)
    t = first.transformation @ inverse.T
    return Rotation(simple @ u, inverse @ inverse.T, t, float("nan"), first.converged, 1)
