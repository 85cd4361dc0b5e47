"""From a population to latent responses: disturbances, minor factors, clusters, shapes.

Every purpose has a stream of its own, so that one more kind of defect does not change the
answers, and the first rows of a larger sample are those of a smaller one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import ModelError, OptionError
from sqvalid.resampling import normals, uniforms
from sqvalid.simulate.population import Population

__all__ = [
    "MinorFactors",
    "Purpose",
    "fleishman_coefficients",
    "jittered_thresholds",
    "latent_responses",
    "stream",
]

Array = NDArray[np.float64]


class Purpose(IntEnum):
    """What a stream of random numbers is for; the numbers are part of the promise of sameness."""

    DISTURBANCES = 1
    CLUSTERS = 2
    MINOR_SCORES = 3
    GROUPS = 4
    CLUSTER_MEMBERS = 5
    MISSING = 6
    CARELESS = 7
    CARELESS_ANSWERS = 8
    DURATION = 9
    ATTENTION = 10
    DUPLICATES = 11
    OUT_OF_RANGE = 12
    MINOR_LOADINGS = 13
    THRESHOLDS = 14


_PURPOSES = 32
# Far from the streams of resampling: whoever simulates and resamples with one seed would else
# draw the answers and the resampled rows from the same numbers.
_FIRST_STREAM = 2**40


def stream(replicate: int, purpose: Purpose) -> int:
    """Return the number of the stream of a purpose in a replicate."""
    return _FIRST_STREAM + replicate * _PURPOSES + int(purpose)


@dataclass(frozen=True)
class MinorFactors:
    """Many small common factors that no model of interest contains.

    They make the population misfit the model a little everywhere, as real populations do
    (Tucker, Koopman & Linn, 1969). Loadings are normal draws; those of factor k are shrunk by
    ``(1 - decay) ** (k - 1)``; then every item's are scaled to the share of variance wanted.
    What they explain is taken from the item's unique variance.

    Parameters
    ----------
    n : int
        How many.
    share : float
        Share of every item's variance that they carry.
    decay : float
        0: all of one size; larger: few of them dominate and the misfit is larger.
    seed : int
        Of the loadings. They belong to the population: samples with other seeds share them.
    items : tuple of str, optional
        Observed variables they act on; all when None.
    """

    n: int = 40
    share: float = 0.10
    decay: float = 0.1
    seed: int = 20261122
    items: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or not 0.0 <= self.share < 1.0 or not 0.0 <= self.decay < 1.0:
            raise OptionError(
                f"Minor factors: n={self.n}, share={self.share:g}, decay={self.decay:g}.",
                remedy="n is at least 1; share and decay are from 0 to below 1.",
            )

    def loadings(self, variances: Array) -> Array:
        """Return the loadings, shape (items, n), for items of these variances."""
        size = len(variances) * self.n
        drawn = normals(self.seed, stream(0, Purpose.MINOR_LOADINGS), size)
        raw = drawn.reshape(len(variances), self.n) * (1.0 - self.decay) ** np.arange(self.n)
        wanted = np.sqrt(self.share * variances)
        return np.asarray(raw * (wanted / np.sqrt((raw**2).sum(axis=1)))[:, None])


def jittered_thresholds(
    base: Sequence[float], items: Sequence[str], *, shift: float, seed: int
) -> dict[str, tuple[float, ...]]:
    """Return thresholds that differ a little from item to item.

    Parameters
    ----------
    base : sequence of float
        Ascending cuts of a standard normal latent response.
    items : sequence of str
        Whose thresholds.
    shift : float
        Every item's cuts are moved together by a uniform draw from -shift to shift.
    seed : int
        Of these draws.

    Returns
    -------
    dict of str to tuple of float
    """
    moves = shift * (2.0 * uniforms(seed, stream(0, Purpose.THRESHOLDS), len(items)) - 1.0)
    return {
        item: tuple(float(cut + move) for cut in base)
        for item, move in zip(items, moves, strict=True)
    }


def fleishman_coefficients(skewness: float, kurtosis: float) -> tuple[float, float, float, float]:
    """Return a, b, c, d such that a + b z + c z^2 + d z^3 has a given shape, for normal z.

    Mean 0 and variance 1 are kept (Fleishman, 1978).

    Parameters
    ----------
    skewness, kurtosis : float
        Third standardised moment, and excess of the fourth over the normal's.

    Returns
    -------
    tuple of float
        With a = -c.

    Raises
    ------
    OptionError
        No cubic of a normal variable with this shape was found.

    Examples
    --------
    >>> fleishman_coefficients(0.0, 0.0)
    (0.0, 1.0, 0.0, 0.0)
    """
    from scipy.optimize import root

    if skewness == 0.0 and kurtosis == 0.0:
        return 0.0, 1.0, 0.0, 0.0

    def excess(x: Array) -> list[float]:
        b, c, d = x
        return [
            b * b + 6 * b * d + 2 * c * c + 15 * d * d - 1.0,
            2 * c * (b * b + 24 * b * d + 105 * d * d + 2.0) - skewness,
            24
            * (
                b * d
                + c * c * (1.0 + b * b + 28 * b * d)
                + d * d * (12.0 + 48 * b * d + 141 * c * c + 225 * d * d)
            )
            - kurtosis,
        ]

    # The solver tells a failure where it cannot get below rounding, so the equations are asked.
    grid = product((1.0, 0.8, 0.6, 0.4), (1 / 6, 1 / 4, 1 / 12), (0.0, 0.1, 0.2))
    starts = [(1.0, skewness / 6.0, kurtosis / 24.0), *((b, c * skewness, d) for b, c, d in grid)]
    for start in starts:
        solution = root(excess, start, tol=1e-12).x
        if solution[0] > 0.0 and max(map(abs, excess(solution))) < 1e-9:
            b, c, d = (float(x) for x in solution)
            return -c, b, c, d
    raise OptionError(
        f"No cubic of a normal variable with skewness {skewness:g} and excess kurtosis "
        f"{kurtosis:g} was found.",
        remedy="Raise the kurtosis: it must be well above the square of the skewness less 2.",
    )


def _shaped(z: Array, shape: tuple[float, float]) -> Array:
    a, b, c, d = fleishman_coefficients(*shape)
    return np.asarray(a + z * (b + z * (c + z * d)))


def latent_responses(
    population: Population,
    n: int,
    *,
    seed: int,
    replicate: int,
    minor: MinorFactors | None,
    shapes: Mapping[str, tuple[float, float]],
    shifts: Array,
    members: NDArray[np.int64] | None,
    icc: Array,
) -> tuple[Array, Array]:
    """Draw all variables of a population, before any answer is made of them.

    Parameters
    ----------
    population : Population
        Whose variables.
    n : int
        Respondents.
    seed, replicate : int
        See :func:`sqvalid.resampling.uniforms`.
    minor : MinorFactors or None
        Of the observed variables.
    shapes : mapping of str to tuple of float
        Variable to (skewness, excess kurtosis) of the independent draw behind its
        disturbance (independent generators, Foldnes & Olsson, 2016); normal where not named.
        The covariances of the population are kept.
    shifts : ndarray, shape (n, v)
        What is added to the intercepts for each respondent.
    members : ndarray of int, shape (n,), or None
        Cluster of each respondent, from 0.
    icc : ndarray, shape (v,)
        Share of the variance of each disturbance that lies between clusters. Two disturbances
        of shares a and b have sqrt(a b) of their covariance there; the total is kept.

    Returns
    -------
    variables : ndarray, shape (n, v)
        In the order of ``population.names``.
    minor_loadings : ndarray, shape (p, factors)
        Of the observed variables; no column when there are no minor factors.
    """
    size = len(population.names)
    total, covariance = population.total_effects(), population.disturbances.copy()
    first = size - len(population.observed)
    loadings = np.zeros((len(population.observed), 0))
    if minor is not None:
        acts = minor.items if minor.items is not None else population.observed
        rows = np.array([population.place(name) for name in acts]) - first
        variances = np.diag(population.covariance())[first:][rows]
        loadings = np.zeros((len(population.observed), minor.n))
        loadings[rows] = minor.loadings(variances)
        spent = (loadings**2).sum(axis=1)
        unique = np.diag(population.disturbances)[first:]
        for name, left in zip(population.observed, unique - spent, strict=True):
            if left < -1e-12:
                raise ModelError(
                    f"Population: the minor factors take more than the unique variance of "
                    f"{name!r} (short by {-left:.3g}).",
                    remedy="Lower share, or the loadings of this item.",
                )
        covariance[np.arange(first, size), np.arange(first, size)] -= spent
    between = covariance * np.sqrt(np.outer(icc, icc))
    lower = replace(population, disturbances=covariance - between).root()
    z = normals(seed, stream(replicate, Purpose.DISTURBANCES), n * size).reshape(n, size)
    for name, shape in shapes.items():
        column = population.place(name)
        z[:, column] = _shaped(z[:, column], shape)
    disturbances = z @ lower.T
    if members is not None:
        count = int(members.max()) + 1
        drawn = normals(seed, stream(replicate, Purpose.CLUSTERS), count * size)
        root = replace(population, disturbances=between).root()
        disturbances += (drawn.reshape(count, size) @ root.T)[members]
    if minor is not None:
        scores = normals(seed, stream(replicate, Purpose.MINOR_SCORES), n * minor.n)
        disturbances[:, first:] += scores.reshape(n, minor.n) @ loadings.T
    return (population.intercepts + shifts + disturbances) @ total.T, loadings
