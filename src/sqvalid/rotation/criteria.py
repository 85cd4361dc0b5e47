"""Rotation criteria: functions of the loadings with their gradients; small is simple."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

__all__ = [
    "CRITERIA", "Criterion", "Setting", "bentler", "bifactor", "bifactor_geomin",
    "crawford_ferguson", "geomin", "infomax", "oblimin", "quartimax", "target_distance", "varimax",
]  # fmt: skip

Array = npt.NDArray[np.float64]
Criterion = Callable[[Array], tuple[float, Array]]


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
    squares = loadings * loadings
    cross = squares @ _others(loadings.shape[1])
    if gamma != 0.0:
        cross = cross - gamma * cross.mean(axis=0, keepdims=True)
    return float(np.vdot(squares, cross)) / 4.0, loadings * cross


@cache
def _others(m: int) -> Array:
    """Ones beside the diagonal."""
    out = np.ones((m, m)) - np.eye(m)
    out.setflags(write=False)
    return out


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


def infomax(loadings: Array) -> tuple[float, Array]:
    r"""McKeon's (1968) infomax (Browne 2001): minus the information of rows about columns.

    With shares :math:`s_{ij} = \lambda_{ij}^2 / \sum \lambda^2`, the entropy of the shares minus
    those of their row and column sums, plus log m.
    """
    squares = loadings**2
    total = squares.sum()
    shares = squares / total
    rows, columns = shares.sum(axis=1, keepdims=True), shares.sum(axis=0, keepdims=True)

    def logs(x: Array) -> Array:
        return np.log(np.maximum(x, 1e-300))

    # Where a square vanishes so does its slope: x log x tends to zero with x.
    cell = -logs(shares) + logs(rows) + logs(columns)
    value = float((shares * cell).sum()) + float(np.log(loadings.shape[1]))
    slope = cell - (shares * cell).sum()
    return value, 2.0 * loadings * (slope / total)


def bifactor(loadings: Array) -> tuple[float, Array]:
    """Bi-quartimin (Jennrich & Bentler 2011): the first column is general and is left alone."""
    value, slope = oblimin(loadings[:, 1:])
    return value, np.hstack([np.zeros((len(loadings), 1)), slope])


def bifactor_geomin(loadings: Array, epsilon: float = 0.01) -> tuple[float, Array]:
    """Bi-geomin (Jennrich & Bentler 2012): geomin of all columns but the first."""
    value, slope = geomin(loadings[:, 1:], epsilon)
    return value, np.hstack([np.zeros((len(loadings), 1)), slope])


def target_distance(loadings: Array, target: Array) -> tuple[float, Array]:
    """Browne (1972): squared distance from what is specified; NaN is not."""
    gap = np.where(np.isnan(target), 0.0, loadings - target)
    return float((gap**2).sum()), 2.0 * gap


@dataclass(frozen=True)
class Setting:
    """What a criterion may depend on besides the loadings.

    Parameters
    ----------
    n_items, n_factors : int
    gamma, epsilon, kappa : float
        Of oblimin, geomin, the Crawford-Ferguson family.
    target : ndarray, optional
        NaN where nothing is specified.
    """

    n_items: int
    n_factors: int
    gamma: float = 0.0
    epsilon: float = 0.01
    kappa: float = 0.0
    target: Array | None = None


def _target_of(setting: Setting) -> Criterion:
    target = setting.target
    assert target is not None
    return lambda x: target_distance(x, target)


def _equamax(setting: Setting) -> Criterion:
    return lambda x: crawford_ferguson(x, setting.n_factors / (2.0 * setting.n_items))


def _geomin(setting: Setting) -> Criterion:
    return lambda x: geomin(x, setting.epsilon)


def _family(setting: Setting) -> Criterion:
    return lambda x: crawford_ferguson(x, setting.kappa)


CRITERIA: Mapping[str, tuple[bool, Callable[[Setting], Criterion]]] = MappingProxyType(
    {
        "varimax": (True, lambda _: varimax),
        "quartimax": (True, lambda _: quartimax),
        "equamax": (True, _equamax),
        "crawford_ferguson_orthogonal": (True, _family),
        "geomin_orthogonal": (True, _geomin),
        "infomax_orthogonal": (True, lambda _: infomax),
        "bentler_orthogonal": (True, lambda _: bentler),
        "target_orthogonal": (True, _target_of),
        "bifactor": (True, lambda _: bifactor),
        "oblimin": (False, lambda s: lambda x: oblimin(x, s.gamma)),
        "quartimin": (False, lambda _: oblimin),
        "geomin": (False, _geomin),
        "crawford_ferguson": (False, _family),
        "infomax": (False, lambda _: infomax),
        "bentler": (False, lambda _: bentler),
        "target": (False, _target_of),
        "biquartimin": (False, lambda _: bifactor),
        "bigeomin": (False, lambda s: lambda x: bifactor_geomin(x, s.epsilon)),
    }
)
"""Name of a rotation, whether it is orthogonal, and how its criterion is made."""
