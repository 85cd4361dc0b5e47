r"""The standard bivariate normal distribution, for many arguments at once.

What is needed of it is how far it is from independence,

.. math:: I(h, k; \rho) = \Phi_2(h, k; \rho) - \Phi(h)\Phi(k)
          = \frac{1}{2\pi}\int_0^{\arcsin\rho}
            \exp\Bigl(-\frac{h^2 + k^2 - 2hk\sin\theta}{2\cos^2\theta}\Bigr)\,d\theta

because a cell's probability is then the product of its margins plus differences of I, and small
cells keep their digits. The integrand is smooth while the correlation is not near one; closer to it
Owen's function takes over.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, owens_t

__all__ = [
    "FAR",
    "bivariate_cdf",
    "bivariate_density",
    "certain_probability",
    "density",
    "dependence",
    "dependence_step",
    "interval_probability",
]

Array = npt.NDArray[np.float64]

# Stands for infinity: the distribution function is 0 or 1 to the last digit there.
FAR = 40.0
_ROOT = 1.0 / np.sqrt(2.0 * np.pi)
# How many nodes give 13 digits: while the correlation is within a bound, and for a step of the
# angle no longer than one. Beyond the last correlation Owen's function is used.
_RULES = tuple(
    (bound, *np.polynomial.legendre.leggauss(count))
    for bound, count in ((0.55, 8), (0.8, 12), (0.92, 16))
)
_STEP_RULES = tuple(
    (bound, *np.polynomial.legendre.leggauss(count)) for bound, count in ((0.02, 4), (0.15, 8))
)
_SMOOTH = _RULES[-1][0]


def density(x: Array) -> Array:
    """Density of the standard normal distribution."""
    return np.asarray(_ROOT * np.exp(-0.5 * x * x))


def bivariate_density(h: Array, k: Array, rho: Array) -> Array:
    """Density of two standard normal variables with correlation `rho`."""
    left = 1.0 - rho * rho
    return np.asarray(
        np.exp(-(h * h - 2.0 * rho * h * k + k * k) / (2.0 * left)) / (2.0 * np.pi * np.sqrt(left))
    )


def bivariate_cdf(h: Array, k: Array, rho: Array) -> Array:
    r"""Probability that both of two standard normal variables are below h and k.

    .. math:: \Phi_2 = \tfrac12[\Phi(h) + \Phi(k)] - T(h, a_h) - T(k, a_k) - \delta, \qquad
              a_h = \frac{k - \rho h}{h\sqrt{1 - \rho^2}}

    with T of Owen, and :math:`\delta` one half where h and k have different signs. It is exact to
    rounding for any correlation inside (-1, 1).

    References
    ----------
    Owen (1956), Annals of Mathematical Statistics 27.
    """
    # A zero is moved by nothing that can be seen; the formula divides by it.
    h = np.where(h == 0.0, 1e-150, h)
    k = np.where(k == 0.0, 1e-150, k)
    root = np.sqrt(1.0 - rho * rho)
    with np.errstate(over="ignore"):
        a_h = (k / h - rho) / root
        a_k = (h / k - rho) / root
    apart = np.where((h > 0) != (k > 0), 0.5, 0.0)
    return np.asarray(0.5 * (ndtr(h) + ndtr(k)) - owens_t(h, a_h) - owens_t(k, a_k) - apart)


def interval_probability(low: Array, high: Array) -> Array:
    """Probability of a standard normal variable between two limits, exact in both tails."""
    flip = low > 0
    return np.asarray(ndtr(np.where(flip, -low, high)) - ndtr(np.where(flip, -high, low)))


def certain_probability(
    low: Array, high: Array, other_low: Array, other_high: Array, sign: Array
) -> Array:
    """Probability of a cell at a correlation of one, or minus one where `sign` is negative.

    Parameters
    ----------
    low, high, other_low, other_high : ndarray
        Limits of the one and of the other variable.
    sign : ndarray
    """
    low, high = np.where(sign > 0, low, -high), np.where(sign > 0, high, -low)
    bottom, top = np.maximum(low, other_low), np.minimum(high, other_high)
    return np.where(top > bottom, interval_probability(bottom, top), 0.0)


def dependence(h: Array, k: Array, rho: Array) -> Array:
    r"""How far the distribution function is from that of independent variables.

    Parameters
    ----------
    h, k : ndarray
        Broadcast against each other; their first axis is that of `rho`.
    rho : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (m, ...)
        :math:`\Phi_2(h, k; \rho) - \Phi(h)\Phi(k)`.

    References
    ----------
    Drezner & Wesolowsky (1990), Journal of Statistical Computation and Simulation 35;
    Genz (2004), Statistics and Computing 14.
    """
    size = np.abs(rho)
    smooth = size <= _SMOOTH
    if smooth.all():
        return _integral(h, k, np.zeros_like(rho), np.arcsin(rho), *_rule(_RULES, size))
    out = np.empty((len(rho), *np.broadcast_shapes(h.shape[1:], k.shape[1:])))
    if smooth.any():
        angle = np.arcsin(rho[smooth])
        rule = _rule(_RULES, size[smooth])
        out[smooth] = _integral(h[smooth], k[smooth], np.zeros_like(angle), angle, *rule)
    h, k = h[~smooth], k[~smooth]
    near = rho[~smooth].reshape(-1, *([1] * (h.ndim - 1)))
    out[~smooth] = bivariate_cdf(h, k, near) - ndtr(h) * ndtr(k)
    return out


def dependence_step(h: Array, k: Array, old: Array, new: Array, known: Array) -> Array:
    """:func:`dependence` at `new`, from what it is at `old`.

    Parameters
    ----------
    h, k : ndarray
        As there.
    old, new : ndarray, shape (m,)
        Correlations.
    known : ndarray, shape (m, ...)
        The value at `old`.
    """
    start, end = np.arcsin(old), np.arcsin(new)
    length = np.abs(end - start)
    longest = _STEP_RULES[-1][0]
    short = (length <= longest) & (np.maximum(np.abs(old), np.abs(new)) <= _SMOOTH)
    if short.all():
        return known + _integral(h, k, start, end, *_rule(_STEP_RULES, length))
    out = np.empty_like(known)
    if short.any():
        rule = _rule(_STEP_RULES, length[short])
        out[short] = known[short] + _integral(h[short], k[short], start[short], end[short], *rule)
    out[~short] = dependence(h[~short], k[~short], new[~short])
    return out


def _rule(rules: tuple[tuple[float, Array, Array], ...], size: Array) -> tuple[Array, Array]:
    """Nodes and weights of the smallest rule that serves all of `size`."""
    largest = float(size.max(initial=0.0))
    nodes, weights = next(rule[1:] for rule in rules if largest <= rule[0])
    return nodes, weights


def _integral(h: Array, k: Array, start: Array, end: Array, nodes: Array, weights: Array) -> Array:
    """Of the density over the angle, by Gauss and Legendre's rule; one interval per first axis."""
    half = 0.5 * (end - start)
    angle = (0.5 * (end + start))[:, None] + half[:, None] * nodes
    sine = np.sin(angle)
    scale = 0.5 / (1.0 - sine * sine)
    share = half[:, None] * weights / (2.0 * np.pi)
    shape = (-1, *([1] * (h.ndim - 1)))
    product, squares = h * k, h * h + k * k
    # The exponent is a product times 2 s / (2 c^2) less the squares over 2 c^2, node by node.
    out = np.zeros(product.shape)
    for node in range(len(nodes)):
        exponent = product * (2.0 * scale[:, node] * sine[:, node]).reshape(shape)
        exponent -= squares * scale[:, node].reshape(shape)
        np.exp(exponent, out=exponent)
        exponent *= share[:, node].reshape(shape)
        out += exponent
    return out
