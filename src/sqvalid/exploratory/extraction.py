r"""Factor extraction from a correlation matrix.

``ml``, ``minres``, ``wls`` and ``gls`` minimise a discrepancy over the uniquenesses alone; given
these, the loadings are eigenvectors (Joreskog 1967; Harman & Jones 1966; Joreskog & Goldberger
1972). ``paf`` and ``alpha`` iterate communalities, ``pca`` does neither.

A discrepancy may have several minima, and with more factors than the items identify a whole
surface of them. The search therefore begins where R's psych begins, at one minus the squared
multiple correlations, and takes the same first steps; it then goes on until the gradient
vanishes. Other starts are taken on request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from sqvalid.errors import check_choice
from sqvalid.resampling import uniforms

__all__ = [
    "METHODS", "Extraction", "discrepancy", "extract", "lower_minimum",
    "squared_multiple_correlations",
]  # fmt: skip

Array = npt.NDArray[np.float64]

METHODS = ("ml", "minres", "wls", "gls", "paf", "alpha", "pca")
# A uniqueness is kept from falling below this, as in R's factanal and psych.
LOWEST = 0.005
# Principal axes and alpha stop where psych stops.
_STEPS, _CHANGE = 50, 1e-3
# The first search goes as far as R's optim(): steps in hundredths, a relative gain of 1e7 eps.
# Of the value of a discrepancy: a minimum lower by more than this is another one.
_LOWER = 1e-4
_HUNDREDTH, _GAIN, _FIRST_STEPS = 0.01, 1e7 * 2.220446049250313e-16, 100


@dataclass(frozen=True, eq=False)
class Extraction:
    """Unrotated factors.

    Parameters
    ----------
    loadings : ndarray, shape (p, m)
        Columns by explained variance, their sums not negative.
    uniquenesses : ndarray, shape (p,)
        What the method estimated. Principal axes and alpha know no bound: negative values are an
        ultra-Heywood case and are kept as they are.
    heywood : ndarray of int
        Positions of items whose uniqueness is at its bound.
    converged : bool
    n_iterations : int
    discrepancy : float
        What was minimised; NaN for methods that minimise nothing.
    n_minima : int
        Different minima that the starts found.
    """

    loadings: Array
    uniquenesses: Array
    heywood: npt.NDArray[np.intp]
    converged: bool
    n_iterations: int
    discrepancy: float = float("nan")
    n_minima: int = 1


def squared_multiple_correlations(correlation: Array) -> Array:
    """Squared multiple correlation of each item with all others, shape (p,)."""
    return np.asarray(1.0 - 1.0 / np.diag(np.linalg.inv(correlation)))


def extract(
    correlation: Array, n_factors: int, method: str = "minres", *, n_starts: int = 1,
    seed: int = 20261122,
) -> Extraction:  # fmt: skip
    """Extract factors.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
        Positive definite.
    n_factors : int
        m, below p.
    method : {"ml", "minres", "wls", "gls", "paf", "alpha", "pca"}
        Maximum likelihood; least squares of the residual correlations (psych's minres and uls,
        ordinary least squares); the same weighted by the reciprocal uniquenesses 1 - SMC of both
        items; generalised least squares, tr (I - R^-1 Sigma)^2 / 2; principal axes, which go the
        same way as minres in small steps and, as in psych, stop when the sum of the communalities
        changes by less than .001; alpha (Kaiser & Caffrey 1965), stopped likewise; principal
        components, which are not factors.
    n_starts : int
        Starts of the search of ml, minres, wls and gls: psych's, Joreskog's, then random ones. The
        lowest minimum is taken.
    seed : int
        Of the random starts.

    Returns
    -------
    Extraction
    """
    check_choice("method", method, METHODS)
    r = np.asarray(correlation, dtype=float)
    if method == "pca":
        loadings = _top(r, n_factors)
        return _finished(loadings, 1.0 - (loadings**2).sum(axis=1), True, 0, bounded=False)
    if method == "paf":
        return _principal_axes(r, n_factors)
    if method == "alpha":
        return _alpha(r, n_factors)
    problem = _Problem.of(method, r, n_factors)
    best: tuple[float, Array, bool, int] | None = None
    minima: list[float] = []
    for start in _starts(r, n_factors, max(n_starts, 1), seed):
        psi, converged, steps = problem.search(start)
        value = problem.function(psi)[0]
        if not np.isclose(minima, value, rtol=1e-5, atol=1e-10).any():
            minima.append(value)
        if best is None or value < best[0] - 1e-9 * max(abs(best[0]), 1e-3):
            best = (value, psi, converged, steps)
    assert best is not None
    value, psi, converged, steps = best
    return _finished(
        problem.loadings(psi), psi, converged, steps, value=value, n_minima=len(minima)
    )  # fmt: skip


def discrepancy(
    correlation: Array, loadings: Array, method: str, uniquenesses: Array | None = None
) -> float:
    """What a method minimises, at loadings that may come from elsewhere.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
    loadings : ndarray, shape (p, m)
        Orthogonal factors.
    method : {"ml", "minres", "wls", "gls"}
    uniquenesses : ndarray, shape (p,), optional
        By default those that reproduce the variances; gls alone may have others.

    Returns
    -------
    float
    """
    check_choice("method", method, ("ml", "minres", "wls", "gls"))
    r = correlation
    implied = loadings @ loadings.T
    np.fill_diagonal(
        implied, 1.0 if uniquenesses is None else np.diag(implied) + uniquenesses
    )  # fmt: skip
    if method in ("minres", "wls"):
        weight = np.diag(np.linalg.inv(r)) if method == "wls" else np.ones(len(r))
        return float((np.outer(weight, weight) * (r - implied) ** 2).sum() / 2.0)
    ratio = np.linalg.solve(r, implied)
    if method == "gls":
        gap = np.eye(len(r)) - ratio
        return float(np.trace(gap @ gap) / 2.0)
    log_ratio = float(np.linalg.slogdet(ratio)[1])
    return log_ratio + float(np.trace(np.linalg.solve(implied, r))) - len(r)


def _starts(r: Array, m: int, n_starts: int, seed: int) -> list[Array]:
    unique = 1.0 / np.diag(np.linalg.inv(r))
    joreskog = (1.0 - 0.5 * m / len(r)) * unique
    starts = [unique, np.clip(joreskog, 2.0 * LOWEST, 1.0)]
    starts += [0.05 + 0.9 * uniforms(seed, k, len(r)) for k in range(2, n_starts)]
    return starts[:n_starts]


# --- methods with a discrepancy ----------------------------------------------------------

# Discrepancies are sums of h over the eigenvalues that the factors do not fit. Each function gives
# h, its first and its second derivative.
Spectral = Callable[[Array], tuple[Array, Array, Array]]


def _h_least_squares(theta: Array) -> tuple[Array, Array, Array]:
    return theta**2 / 2.0, theta, np.ones_like(theta)


def _h_ml(theta: Array) -> tuple[Array, Array, Array]:
    """Joreskog (1967): theta - log theta - 1."""
    return theta - np.log(theta) - 1.0, 1.0 - 1.0 / theta, 1.0 / theta**2


def _h_gls(theta: Array) -> tuple[Array, Array, Array]:
    """Joreskog & Goldberger (1972): (1 - 1/theta)^2 / 2."""
    gap = 1.0 - 1.0 / theta
    return gap**2 / 2.0, gap / theta**2, (1.0 / theta - 2.0 * gap) / theta**3


@dataclass(frozen=True, eq=False)
class _Problem:
    """A discrepancy of the uniquenesses, and the loadings that go with them.

    Parameters
    ----------
    r : ndarray, shape (p, p)
        The correlations; for wls with the weights on both sides.
    m : int
    h : callable
    weight : ndarray, shape (p,)
        Square roots of the weights of wls, else ones.
    scaled : bool
        Whether the eigenvalues are those of Psi^-1/2 R Psi^-1/2 (ml, gls) or of R - Psi.
    principal : bool
        Whether loadings are turned to their principal axes, as psych shows those of wls and gls.
    """

    r: Array
    m: int
    h: Spectral
    weight: Array
    scaled: bool
    principal: bool

    @classmethod
    def of(cls, method: str, r: Array, m: int) -> _Problem:
        weight = np.ones(len(r))
        if method == "wls":
            # Least squares of a matrix whose rows and columns carry the weights.
            weight = np.sqrt(np.diag(np.linalg.inv(r)))
        h = {"ml": _h_ml, "gls": _h_gls}.get(method, _h_least_squares)
        scaled = method in ("ml", "gls")
        return cls(
            r * np.outer(weight, weight), m, h, weight, scaled, method in ("wls", "gls")
        )  # fmt: skip

    @property
    def identified(self) -> bool:
        """Whether there are as many correlations as parameters."""
        p = len(self.r)
        return (p - self.m) ** 2 >= p + self.m

    def _spectrum(self, psi: Array) -> tuple[Array, Array, Array]:
        """Eigenvalues from the largest, those left to h, and eigenvectors."""
        if self.scaled:
            root = np.sqrt(psi)
            matrix, nothing = self.r / (root[:, None] * root), 1.0
        else:
            matrix = self.r.copy()
            matrix.flat[:: len(psi) + 1] -= psi * self.weight**2
            nothing = 0.0
        values, vectors = np.linalg.eigh(matrix)
        values, vectors = values[::-1], vectors[:, ::-1]
        rest = values.copy()
        # Among the first m, one below `nothing` is not fitted by a real loading.
        rest[: self.m] = np.minimum(rest[: self.m], nothing)
        if self.scaled:
            rest = np.maximum(rest, 1e-300)
        return values, rest, vectors

    def function(self, psi: Array) -> tuple[float, Array]:
        """Value and gradient."""
        _, rest, vectors = self._spectrum(psi)
        value, first, _ = self.h(rest)
        if self.scaled:
            return float(value.sum()), -((vectors**2) @ (first * rest)) / psi
        return float(value.sum()), -((vectors**2) @ first) * self.weight**2

    def hessian(self, psi: Array) -> Array:
        """Second derivatives, by the divided differences of h' (Daleckii & Krein 1965)."""
        values, rest, vectors = self._spectrum(psi)
        p = len(psi)
        _, first, second = self.h(rest)
        fitted = np.arange(p) < self.m
        fitted &= rest != values
        slope = np.where(fitted, 0.0, first)
        gap = values[:, None] - values[None, :]
        near = np.abs(gap) < 1e-10 * np.abs(values).max()
        curve = np.where(fitted, 0.0, second)
        ratio = (slope[:, None] - slope[None, :]) / np.where(near, 1.0, gap)
        divided = np.where(near, (curve[:, None] + curve[None, :]) / 2.0, ratio)
        pairs = (vectors[:, :, None] * vectors[:, None, :]).reshape(p, p * p)
        if not self.scaled:
            inner = (pairs * divided.ravel()) @ pairs.T
            return np.asarray(inner * np.outer(self.weight**2, self.weight**2))
        # In logarithms of the uniquenesses first.
        divided = divided * ((values[:, None] + values[None, :]) / 2.0) ** 2
        matrix = (vectors * values) @ vectors.T
        inner = (pairs * divided.ravel()) @ pairs.T
        inner += matrix * ((vectors * slope) @ vectors.T) / 2.0
        # What is left of the diagonal after the gradient of the logarithms is taken away.
        own = (vectors**2) @ (slope * values)
        inner[np.diag_indices(p)] += own / 2.0 + own
        return np.asarray(inner / np.outer(psi, psi))

    def loadings(self, psi: Array) -> Array:
        """Loadings, given the uniquenesses."""
        if self.scaled:
            values, _, vectors = self._spectrum(psi)
            scale = np.sqrt(np.maximum(values[: self.m] - 1.0, 0.0))
            out = np.sqrt(psi)[:, None] * vectors[:, : self.m] * scale
        else:
            out = _top(self.r - np.diag(psi * self.weight**2), self.m) / self.weight[:, None]
        if self.principal:
            u, d, _ = np.linalg.svd(out, full_matrices=False)
            out = u * d
        return np.asarray(out)

    def first_search(self, start: Array) -> tuple[Array, float, bool, int]:
        """As far as R's optim() goes: uniquenesses, value, success, iterations."""

        def in_hundredths(x: Array) -> tuple[float, Array]:
            value, slope = self.function(np.clip(x * _HUNDREDTH, LOWEST, 1.0))
            return value, slope * _HUNDREDTH

        found = minimize(
            in_hundredths,
            np.clip(start, LOWEST, 1.0) / _HUNDREDTH,
            jac=True,
            method="L-BFGS-B",
            bounds=[(LOWEST / _HUNDREDTH, 1.0 / _HUNDREDTH)] * len(start),
            options={"maxiter": _FIRST_STEPS, "ftol": _GAIN, "gtol": 0.0, "maxcor": 5},
        )
        psi = np.clip(found.x * _HUNDREDTH, LOWEST, 1.0)
        return psi, float(found.fun), bool(found.success), int(found.nit)

    def search(self, start: Array) -> tuple[Array, bool, int]:
        """Uniquenesses at a minimum, whether the gradient vanished, iterations."""
        psi, _, success, steps = self.first_search(start)
        if not self.identified:
            # More parameters than correlations: every further step would only wander over the
            # surface of perfect solutions.
            return psi, success, steps
        psi, converged = self._newton(psi)
        if not converged:
            found = minimize(
                self.function,
                psi,
                jac=True,
                method="L-BFGS-B",
                bounds=[(LOWEST, 1.0)] * len(psi),
                options={
                    "maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 20,
                },
            )  # fmt: skip
            steps += int(found.nit)
            psi, converged = self._newton(found.x)
            converged = converged or self._slope(psi) < 1e-5
        return psi, converged, steps

    def _free(self, psi: Array) -> tuple[npt.NDArray[np.bool_], Array, float]:
        value, gradient = self.function(psi)
        held = ((psi <= LOWEST) & (gradient > 0.0)) | ((psi >= 1.0) & (gradient < 0.0))
        return ~held, gradient, value

    def _slope(self, psi: Array) -> float:
        free, gradient, _ = self._free(psi)
        return float(np.abs(gradient[free]).max(initial=0.0))

    def _newton(self, psi: Array) -> tuple[Array, bool]:
        """Newton steps on the free uniquenesses."""
        for _ in range(12):
            free, gradient, value = self._free(psi)
            if np.abs(gradient[free]).max(initial=0.0) < 1e-10:
                return psi, True
            places = np.flatnonzero(free)
            values, vectors = np.linalg.eigh(self.hessian(psi)[np.ix_(places, places)])
            if values[0] <= 1e-9 * values[-1]:
                return psi, False
            trial = psi.copy()
            trial[places] -= vectors @ ((vectors.T @ gradient[places]) / values)
            trial = np.clip(trial, LOWEST, 1.0)
            if self.function(trial)[0] > value + 1e-12:
                return psi, False
            psi = trial
        return psi, self._slope(psi) < 1e-8


def lower_minimum(correlation: Array, n_factors: int, method: str, value: float) -> float | None:
    """Whether the second start ends below a minimum that was found.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
    n_factors : int
    method : {"ml", "minres", "wls", "gls"}
    value : float
        Discrepancy of the minimum found.

    Returns
    -------
    float or None
        The lower value.
    """
    problem = _Problem.of(method, correlation, n_factors)
    start = _starts(correlation, n_factors, 2, 0)[1]
    other = problem.first_search(start)[1]
    return other if other < value - _LOWER * max(value, 1e-3) else None


def _top(matrix: Array, m: int) -> Array:
    """Loadings from the m largest eigenvalues, negative ones counted as zero."""
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(values)[::-1][:m]
    return np.asarray(vectors[:, order] * np.sqrt(np.maximum(values[order], 0.0)))


# --- methods that iterate communalities --------------------------------------------------


def _principal_axes(r: Array, m: int) -> Extraction:
    communality = squared_multiple_correlations(r)
    loadings = np.zeros((len(r), m))
    for step in range(1, _STEPS + 1):
        reduced = r.copy()
        np.fill_diagonal(reduced, communality)
        loadings = _top(reduced, m)
        new = (loadings**2).sum(axis=1)
        change = abs(float(new.sum() - communality.sum()))
        communality = new
        if change < _CHANGE:
            return _finished(loadings, 1.0 - communality, True, step)
    return _finished(loadings, 1.0 - communality, False, step)


def _alpha(r: Array, m: int) -> Extraction:
    """Kaiser & Caffrey (1965): factors of the correlations of the common parts."""
    communality = squared_multiple_correlations(r)
    common = np.zeros((len(r), m))
    converged, steps = False, 0
    while steps < _STEPS and not converged:
        steps += 1
        root = np.sqrt(np.maximum(communality, 1e-12))
        reduced = r / np.outer(root, root)
        np.fill_diagonal(reduced, 1.0)
        common = _top(reduced, m)
        new = communality * (common**2).sum(axis=1)
        change = float(np.abs(communality - new).sum())
        communality, converged = new, change < _CHANGE
    loadings = np.sqrt(communality)[:, None] * common
    return _finished(loadings, 1.0 - (loadings**2).sum(axis=1), converged, steps)


def _finished(
    loadings: Array,
    psi: Array,
    converged: bool,
    steps: int,
    *,
    bounded: bool = True,
    value: float = float("nan"),
    n_minima: int = 1,
) -> Extraction:
    order = np.argsort(-(loadings**2).sum(axis=0), kind="stable")
    loadings = loadings[:, order]
    loadings = loadings * np.where(loadings.sum(axis=0) < 0.0, -1.0, 1.0)
    heywood = np.flatnonzero(psi <= LOWEST * (1.0 + 1e-6)) if bounded else np.zeros(0, np.intp)
    return Extraction(loadings, psi, heywood, converged, steps, value, n_minima)
