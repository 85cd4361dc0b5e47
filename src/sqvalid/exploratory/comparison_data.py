"""Comparison data: eigenvalues of samples whose number of factors is known.

For 1, 2, ... factors a population is made that has the items' own distributions and as nearly
their correlations as so many factors allow; samples of it are compared with the answers by
their eigenvalues. Another factor is taken as long as its samples come nearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sqvalid.exploratory.extraction import extract
from sqvalid.resampling import normals, row_numbers

__all__ = ["ComparisonData", "compare_data"]

Array = npt.NDArray[np.float64]
_POPULATION = 10_000
_TRIALS = 5
# Of the test whether one more factor comes nearer (Ruscio & Roche 2012).
_ALPHA = 0.30


@dataclass(frozen=True, eq=False)
class ComparisonData:
    """How near populations with known numbers of factors come.

    Parameters
    ----------
    n_factors : int
    distance : ndarray, shape (k,)
        Median root mean squared difference of the eigenvalues for 1, 2, ... factors.
    pvalues : ndarray, shape (k - 1,)
        Whether 2, 3, ... factors come nearer than one fewer.
    """

    n_factors: int
    distance: Array
    pvalues: Array


def compare_data(
    answers: Array, most: int, *, n_samples: int = 300, seed: int = 20261122
) -> ComparisonData:
    """Choose the number of factors by comparison data.

    Parameters
    ----------
    answers : ndarray, shape (n, p)
        Complete.
    most : int
        Not more factors than this.
    n_samples : int
        Drawn from each population.
    seed : int

    Returns
    -------
    ComparisonData

    References
    ----------
    Ruscio & Roche (2012); the populations: Ruscio & Kaczetow (2008).
    """
    observed = np.linalg.eigvalsh(np.corrcoef(answers, rowvar=False))[::-1]
    n = len(answers)
    distances: list[Array] = []
    pvalues: list[float] = []
    for m in range(1, most + 1):
        population = _population(answers, m, seed)
        own = np.empty(n_samples)
        for k in range(n_samples):
            rows = row_numbers(seed, (m + 1) * 2**32 + k, _POPULATION, n)
            r = np.corrcoef(population[rows], rowvar=False)
            own[k] = math.sqrt(float(((np.linalg.eigvalsh(r)[::-1] - observed) ** 2).mean()))
        distances.append(own)
        if m > 1:
            pvalues.append(_smaller(own, distances[-2]))
            if pvalues[-1] >= _ALPHA:
                break
    chosen = len(distances) - (1 if pvalues and pvalues[-1] >= _ALPHA else 0)
    return ComparisonData(
        chosen, np.array([float(np.median(d)) for d in distances]), np.array(pvalues)
    )


def _population(answers: Array, m: int, seed: int) -> Array:
    """Answers of many respondents with m factors and the items' own distributions."""
    n, p = answers.shape
    target: Array = np.asarray(np.corrcoef(answers, rowvar=False))
    drawn = row_numbers(seed, 2**40 + m, n, _POPULATION * p).reshape(_POPULATION, p)
    margins = np.sort(answers[drawn, np.arange(p)], axis=0)
    parts = normals(seed, 2**39 + m, _POPULATION * (m + p)).reshape(_POPULATION, m + p)
    common, unique = parts[:, :m], parts[:, m:]
    wanted: Array = target.copy()
    best = math.inf
    used: Array = target.copy()
    gap: Array = np.zeros((p, p))
    population = margins
    trials = 0
    while trials < _TRIALS:
        loadings = _loadings(wanted, m)
        communality = np.minimum((loadings**2).sum(axis=1), 1.0)
        mixed = common @ loadings.T + unique * np.sqrt(1.0 - communality)
        made = np.empty_like(margins)
        np.put_along_axis(made, np.argsort(mixed, axis=0, kind="stable"), margins, axis=0)
        residual: Array = target - np.asarray(np.corrcoef(made, rowvar=False))
        size = math.sqrt(float((residual[np.tril_indices(p, -1)] ** 2).mean()))
        if size < best:
            best, population, used, gap, trials = size, made, wanted.copy(), residual, 0
            wanted = wanted + gap
        else:
            # Half the step, from the best so far.
            trials += 1
            wanted = used + gap * 0.5**trials
        np.fill_diagonal(wanted, 1.0)
    return population


def _loadings(wanted: Array, m: int) -> Array:
    """Principal-axis loadings of a matrix that need not be positive definite."""
    values, vectors = np.linalg.eigh(wanted)
    if values[0] < 1e-3:
        raised = (vectors * np.maximum(values, 1e-3)) @ vectors.T
        scale = np.sqrt(np.diag(raised))
        wanted = raised / np.outer(scale, scale)
    loadings = extract(wanted, m, "paf").loadings
    length = np.sqrt((loadings**2).sum(axis=1, keepdims=True))
    return np.asarray(loadings / np.maximum(length, 1.0))


def _smaller(a: Array, b: Array) -> float:
    """p-value that values of `a` tend to be below those of `b` (Mann & Whitney 1947)."""
    pooled = np.concatenate([a, b])
    _, inverse, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    ranks = (upper - (counts - 1) / 2.0)[inverse]
    n, k = len(a), len(b)
    statistic = ranks[:n].sum() - n * (n + 1) / 2.0
    spread = math.sqrt(n * k * (n + k + 1) / 12.0)
    return float(ndtr((statistic - n * k / 2.0) / spread))
