"""The minimum of many discrepancies at once: limited-memory BFGS with the full sample's curvature.

The samples are resamples of one data set, so their minima lie near its minimum and their Hessians
near its Hessian. With the inverse of that one as the first guess, the quasi-Newton steps need some
ten evaluations; a step with the full sample's Hessian alone fails on a tenth of the resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqvalid.latent.implied import Array

__all__ = ["BatchEnd", "minimise_batch"]

Mask = NDArray[np.bool_]
Evaluate = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]

TOLERANCE = 1e-6
"""On sqrt(g' H^-1 g) with the full sample's H: estimates within 1e-6 sqrt(N) standard errors."""

_MEMORY = 12
_MAX_EVALUATIONS = 80
_SHORTEST_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class BatchEnd:
    """Where the search ended in every sample.

    Parameters
    ----------
    phi : ndarray, shape (B, d)
        Parameters; meaningless where `converged` is False.
    half_f : ndarray, shape (B,)
    converged : ndarray of bool, shape (B,)
    n_evaluations : int
    """

    phi: Array
    half_f: Array
    converged: Mask
    n_evaluations: int


def _dot(a: Array, b: Array) -> Array:
    """Inner products of rows."""
    return np.asarray(np.einsum("bd,bd->b", a, b))


class _Active:
    """The samples that are still searched: their points, gradients, steps and memory."""

    def __init__(self, phi: Array, value: Array, gradient: Array) -> None:
        size, d = phi.shape
        self.rows = np.arange(size, dtype=np.intp)
        self.phi, self.value, self.gradient = phi, value, gradient
        self.direction = np.zeros((size, d))
        self.length = np.ones(size)
        # One entry per evaluation, the latest last: steps, changes of the gradient, and the inverse
        # of their product, which is zero where a sample took no step: such a pair changes nothing.
        self.memory: list[tuple[Array, Array, Array]] = []

    def keep(self, mask: Mask) -> None:
        """Drop the samples that are done."""
        for name in ("rows", "phi", "value", "gradient", "direction", "length"):
            setattr(self, name, getattr(self, name)[mask])
        self.memory = [(m[mask], c[mask], k[mask]) for m, c, k in self.memory]

    def remember(self, move: Array, change: Array) -> None:
        """Add a pair (step, change of the gradient); zero where no step was taken."""
        product = _dot(move, change)
        sound = product > 1e-10 * np.sqrt(_dot(move, move) * _dot(change, change))
        curvature = np.where(sound, 1.0 / np.where(sound, product, 1.0), 0.0)
        self.memory = [*self.memory[1 - _MEMORY :], (move, change, curvature)]

    def forget(self, chosen: Mask) -> None:
        """Clear the memory of the chosen samples."""
        self.memory = [(m, c, np.where(chosen, 0.0, k)) for m, c, k in self.memory]

    def quasi_newton(self, metric: Array) -> Array:
        """Minus the approximate inverse Hessian times the gradient (two-loop recursion)."""
        q = self.gradient.copy()
        weights = []
        for move, change, curvature in reversed(self.memory):
            weights.append(curvature * _dot(move, q))
            q -= weights[-1][:, None] * change
        q = q @ metric
        for (move, change, curvature), weight in zip(self.memory, reversed(weights), strict=True):
            q += (weight - curvature * _dot(change, q))[:, None] * move
        return -q


def minimise_batch(evaluate: Evaluate, start: Array, metric: Array, size: int) -> BatchEnd:
    """Minimise many functions, each from the same start.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(phi, rows)``: values (r,) and gradients (r, d) of the functions `rows` at
        `phi` (r, d); infinite where there is none.
    start : ndarray, shape (d,)
        The full sample's minimum.
    metric : ndarray, shape (d, d)
        Inverse of the full sample's Hessian there.
    size : int
        Number of functions, B.

    Returns
    -------
    BatchEnd
        Not converged are the ones that met no minimum within 80 evaluations or left the region
        where the function exists; the caller takes them up one by one.

    References
    ----------
    Nocedal (1980); Liu & Nocedal (1989).
    """
    d = len(start)
    out = BatchEnd(np.tile(start, (size, 1)), np.full(size, np.inf), np.zeros(size, dtype=bool), 0)
    value, gradient = evaluate(out.phi, np.arange(size, dtype=np.intp))
    out.half_f[:] = value
    if not d:
        return BatchEnd(out.phi, value, np.isfinite(value), 1)
    active = _Active(out.phi.copy(), value, gradient)
    active.keep(np.isfinite(value))
    active.direction = -active.gradient @ metric
    evaluations = 1
    while active.rows.size and evaluations < _MAX_EVALUATIONS:
        trial = active.phi + active.length[:, None] * active.direction
        value, gradient = evaluate(trial, active.rows)
        evaluations += 1
        slope = _dot(active.gradient, active.direction)
        # Near the minimum F no longer falls by more than it is rounded.
        enough = active.value + 1e-4 * active.length * slope + 1e-14 * (1.0 + np.abs(active.value))
        accepted = value <= enough
        if accepted.all():
            active.remember(trial - active.phi, gradient - active.gradient)
            active.phi, active.value, active.gradient = trial, value, gradient
        else:
            taken = accepted[:, None]
            trial = np.where(taken, trial, active.phi)
            # Where F does not exist the gradient is anything.
            gradient = np.where(taken, gradient, active.gradient)
            active.remember(trial - active.phi, gradient - active.gradient)
            active.phi, active.gradient = trial, gradient
            active.value = np.where(accepted, value, active.value)
        active.length = np.where(accepted, 1.0, 0.4 * active.length)
        norm = np.sqrt(_dot(active.gradient @ metric, active.gradient))
        done = accepted & (norm < TOLERANCE)
        rows = active.rows[done]
        out.phi[rows], out.half_f[rows] = active.phi[done], active.value[done]
        out.converged[rows] = True
        lost = ~accepted & (active.length < _SHORTEST_STEP)
        proposal = active.quasi_newton(metric)
        uphill = _dot(proposal, active.gradient) >= 0.0
        if uphill.any():
            active.forget(uphill)
            proposal[uphill] = -active.gradient[uphill] @ metric
        active.direction = np.where(accepted[:, None], proposal, active.direction)
        if (done | lost).any():
            active.keep(~(done | lost))
    return BatchEnd(out.phi, out.half_f, out.converged, evaluations)
