r"""Maximum likelihood from incomplete answers: every respondent counts with what is there.

.. math:: F = \sum_k \frac{n_k}{N}\left[\ln|\Sigma_k| + tr(\Sigma_k^{-1} M_k)\right] - F_1

over the patterns k of answered items, with :math:`\Sigma_k` the part of Sigma that belongs to
them, :math:`M_k` the pattern's scatter about its part of mu, and :math:`F_1` the sum at the
saturated moments. With matrices of patterns kept at full size (zeros where items are missing),
gradients are those of complete answers with :math:`\Sigma^{-1}` and
:math:`\Sigma^{-1} M \Sigma^{-1}` averaged over respondents; second derivatives are taken in the
moments and brought to the parameters by the Jacobian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import UnsupportedError
from sqvalid.latent.discrepancy import (
    Local,
    Target,
    gather_gradient,
    second_derivative_terms,
)
from sqvalid.latent.implied import (
    Array,
    Slots,
    implied_state,
    invert_positive_definite,
    mean_weight,
)
from sqvalid.latent.least_squares import stacked_jacobian
from sqvalid.latent.moment_weights import triangle
from sqvalid.latent.sampling import independent_sums
from sqvalid.moments import Block
from sqvalid.moments.blocks import remembered
from sqvalid.moments.patterns import (
    PatternProducts,
    casewise_moment_scores,
    pattern_data,
    pattern_products,
    saturated_information,
)


class FullInformation:
    """Full-information maximum likelihood (FIML) for answers missing at random.

    References
    ----------
    Arbuckle (1996), in Marcoulides & Schumacker (eds.); Enders & Bandalos (2001), Structural
    Equation Modeling 8.
    """

    by_hessian = True

    def value(self, slots: Slots, target: Target, theta: Array) -> float:
        """F/2 at `theta`; infinity where Sigma is not positive definite."""
        local = self.local(slots, target, theta)
        return np.inf if local is None else local.half_f

    def local(self, slots: Slots, target: Target, theta: Array) -> Local | None:
        """Matrices for the derivatives at `theta`."""
        assert target.patterns is not None
        state = implied_state(slots, theta)
        inverse = invert_positive_definite(state.sigma)
        if inverse is None:
            return None
        found = pattern_products(target.patterns, state.mu, *inverse)
        c = state.c
        return Local(
            state=state,
            g=c.T @ found.inverse @ c,
            p=c.T @ found.product @ c,
            u=found.gap @ c,
            t=mean_weight(slots, state),
            sigma_inverse=inverse[0],
            half_f=0.5 * (found.value - target.log_det),
            products=found,
        )

    def gradient(self, slots: Slots, local: Local) -> Array:
        """Gradient of F/2."""
        return gather_gradient(slots, local)

    def expected(self, slots: Slots, target: Target, local: Local) -> Array:
        """Expected information per respondent, given who answered what."""
        return _brought_down(slots, local, observed=False)

    def hessian(self, slots: Slots, target: Target, local: Local) -> Array:
        """Exact second derivatives of F/2."""
        out = _brought_down(slots, local, observed=True) + second_derivative_terms(slots, local)
        return np.asarray(0.5 * (out + out.T))


def _products(local: Local) -> PatternProducts:
    assert local.products is not None
    return local.products


# The search, the check of where it ended, standard errors and tests ask at the same point.
@lru_cache(maxsize=8)
def _brought_down(slots: Slots, local: Local, *, observed: bool) -> Array:
    jacobian = stacked_jacobian(slots, local.state, with_means=True)
    out = jacobian.T @ saturated_information(_products(local), observed=observed) @ jacobian
    out.flags.writeable = False
    return np.asarray(out)


def casewise_scores(slots: Slots, local: Local, block: Block) -> Array:
    """Gradient of each respondent's log-likelihood, shape (n, k)."""
    assert block.cases is not None
    jacobian = stacked_jacobian(slots, local.state, with_means=True)
    return casewise_moment_scores(_products(local), block.cases, local.state.mu, jacobian)


@remembered
def saturated_products(block: Block) -> PatternProducts:
    """The likelihood of a group's answers at its own saturated moments."""
    assert block.patterns is not None
    assert block.means is not None
    inverse = invert_positive_definite(block.covariance)
    assert inverse is not None
    return pattern_products(block.patterns, block.means, *inverse)


def saturated_first_order(
    block: Block, products: PatternProducts, mean: Array | None = None
) -> Array:
    """Mean cross-product of the scores of the saturated moments, shape (p + p*, p + p*).

    Parameters
    ----------
    mean : ndarray, shape (p,), optional
        Means that the products are about; the saturated ones by default.
    """
    assert block.cases is not None
    centre = block.means if mean is None else mean
    assert centre is not None
    scores = casewise_moment_scores(products, block.cases, centre)
    scores = independent_sums(scores, block)
    return np.asarray(scores.T @ scores / block.total_weight)


def moment_information(
    kind: str, block: Block, products: PatternProducts, mean: Array | None = None
) -> Array:
    """Information of means and covariances per respondent, at the moments of `products`.

    Parameters
    ----------
    kind : {"expected", "observed", "first.order"}
    mean : ndarray, shape (p,), optional
        Means that the products are about; the saturated ones by default.
    """
    if kind == "first.order":
        return saturated_first_order(block, products, mean)
    return saturated_information(products, observed=kind == "observed")


def free_moments(block: Block, fixed: Sequence[int]) -> NDArray[np.intp]:
    """Positions of the moments that answers tell something about.

    Left out are moments of fixed covariates alone, and covariances of items that nobody answered
    both of: on these the likelihood does not depend.
    """
    assert block.patterns is not None
    p, known = block.n_variables, np.zeros(block.n_variables, dtype=bool)
    known[list(fixed)] = True
    rows, columns = triangle(p)
    covariances = (known[rows] & known[columns]) | block.patterns.undetermined[rows, columns]
    return np.flatnonzero(~np.concatenate([known, covariances]))


def n_undetermined(block: Block) -> int:
    """Covariances of items that nobody answered both of."""
    return 0 if block.patterns is None else int(block.patterns.undetermined.sum()) // 2


@remembered
def saturated_trace(
    block: Block, *, fixed: tuple[int, ...] = (), information: str = "observed"
) -> float:
    """Trace of the inverse information of the saturated moments times their scores' spread.

    Moments of fixed covariates are known and have no part in it.
    """
    products = saturated_products(block)
    keep = np.ix_(*[free_moments(block, fixed)] * 2)
    weight = moment_information(information, block, products)[keep]
    spread = saturated_first_order(block, products)[keep]
    return float(np.trace(np.linalg.solve(weight, spread)))


@remembered
def saturated_covariance(
    block: Block, *, fixed: tuple[int, ...] = (), robust: bool, information: str = "observed"
) -> Array:
    """Asymptotic covariance of the saturated moments, divided by the respondents.

    Parameters
    ----------
    robust : bool
        Sandwich of the information and the scores' spread, for answers that are not normal.
    information : {"expected", "observed", "first.order"}

    Returns
    -------
    ndarray, shape (p + p*, p + p*)
        Zero for moments of fixed covariates.

    References
    ----------
    Yuan & Bentler (2000), Sociological Methodology 30.
    """
    products = saturated_products(block)
    keep = np.ix_(*[free_moments(block, fixed)] * 2)
    weight = moment_information(information, block, products)
    out = np.zeros_like(weight)
    inverse = np.linalg.inv(weight[keep])
    if robust:
        inverse = inverse @ saturated_first_order(block, products)[keep] @ inverse
    out[keep] = inverse / block.total_weight
    out.flags.writeable = False
    return out


def two_stage_block(block: Block, fixed: Sequence[int], *, robust: bool) -> Block:
    """A group's saturated moments with their asymptotic covariance, as if they were a sample's.

    Parameters
    ----------
    robust : bool
        Whether answers may be other than normal.

    Raises
    ------
    UnsupportedError
        Items that nobody answered both of, whose covariance the first stage cannot estimate.

    References
    ----------
    Savalei & Bentler (2009), Structural Equation Modeling 16; robust: Savalei & Falk (2014),
    Structural Equation Modeling 21.
    """
    if block.patterns is None:
        patterns = pattern_data(block.cases, block.weights) if block.cases is not None else None
        block = replace(block, patterns=patterns)
    if block.patterns is None:
        raise UnsupportedError("missing='two.stage' needs the answers; a matrix is not enough.")
    if n_undetermined(block):
        raise UnsupportedError(
            "Some items were never answered by the same respondent: their covariance has no "
            "first-stage estimate.",
            remedy="Use missing='fiml'.",
        )
    gamma = saturated_covariance(block, fixed=tuple(fixed), robust=robust) * block.total_weight
    return replace(block, gamma=gamma, patterns=None)
