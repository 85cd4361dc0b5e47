"""Weights that turn standardised answers into factor scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sqvalid.errors import InputError, check_choice

__all__ = ["SCORES", "determinacies", "score_weights"]

Array = npt.NDArray[np.float64]
SCORES = ("regression", "bartlett", "tenberge", "anderson")


def score_weights(
    correlation: Array,
    pattern: Array,
    phi: Array,
    uniqueness: Array,
    method: str,
    items: Sequence[str],
) -> Array:
    """Weights of the items for each factor.

    Parameters
    ----------
    correlation : ndarray, shape (p, p)
    pattern : ndarray, shape (p, m)
    phi : ndarray, shape (m, m)
    uniqueness : ndarray, shape (p,)
    method : {"regression", "bartlett", "tenberge", "anderson"}
        Thurstone (1935); Bartlett (1937); ten Berge, Krijnen, Wansbeek & Shapiro (1999), whose
        scores correlate as the factors do; Anderson & Rubin (1956), whose scores are uncorrelated.
    items : sequence of str
        Names, for messages.

    Returns
    -------
    ndarray, shape (p, m)

    Raises
    ------
    OptionError
        An unknown method.
    InputError
        An item without uniqueness, for the methods that divide by it.
    """
    check_choice("method", method, SCORES)
    if method == "regression":
        return np.asarray(np.linalg.solve(correlation, pattern @ phi))
    if method == "tenberge":
        root = _power(phi, 0.5)
        rotated = pattern @ root
        half = _power(correlation, -0.5)
        inner = rotated.T @ np.linalg.solve(correlation, rotated)
        return np.asarray(half @ (half @ rotated @ _power(inner, -0.5)) @ root)
    if (uniqueness <= 1e-8).any():
        places = ", ".join(
            repr(item) for item, own in zip(items, uniqueness, strict=True) if own <= 1e-8
        )
        raise InputError(
            f"{method!r} scores divide by uniquenesses, and {places} has none.",
            remedy="Use method='regression' or 'tenberge', or fewer factors.",
        )
    scaled = pattern / uniqueness[:, None]
    if method == "bartlett":
        return np.asarray(scaled @ np.linalg.inv(pattern.T @ scaled))
    return np.asarray(scaled @ _power(scaled.T @ correlation @ scaled, -0.5))


def determinacies(correlation: Array, structure: Array) -> Array:
    """Correlation of each factor with its best estimate, shape (m,) (Guttman 1955; Grice 2001)."""
    squares = np.diag(structure.T @ np.linalg.solve(correlation, structure))
    return np.asarray(np.sqrt(np.clip(squares, 0.0, None)))


def _power(matrix: Array, exponent: float) -> Array:
    """Symmetric power of a positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values**exponent) @ vectors.T)
