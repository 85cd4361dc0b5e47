r"""Factor scores from ordered answers: the mode of what is known of the factors.

Given the factors, responses are independent, normal about :math:`b_i'\eta`; an answer says
between which thresholds the response lies. Scores maximise

.. math:: \sum_i \ln[\Phi(u_{i}) - \Phi(l_{i})] - \tfrac12(\eta - m)'\Phi^{-1}(\eta - m)

("regression", the mode of the posterior distribution), or the first part with hardly any prior
("bartlett": maximum likelihood, which a pattern at the end of the scale would send to infinity).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr

from sqvalid.errors import UnsupportedError
from sqvalid.latent.categorical import OrdinalLocal
from sqvalid.latent.implied import Array, Index, Layout, State
from sqvalid.moments import Block
from sqvalid.moments.bivariate import FAR, density

_STEPS = 200
# Precision of the vague prior that keeps maximum likelihood finite, as in lavaan.
_VAGUE = 1e-5
_TOLERANCE = 1e-10


def ordinal_scores(
    state: State, layout: Layout, here: OrdinalLocal, block: Block, method: str
) -> Array:
    """Scores of the respondents of one group.

    Parameters
    ----------
    state : State
        Conditional on covariates where the statistics are.
    layout : Layout
    here : OrdinalLocal
    block : Block
        With cases; answers that are missing say nothing.
    method : {"regression", "bartlett"}

    Returns
    -------
    ndarray, shape (n, number of latents)

    Raises
    ------
    UnsupportedError
        Responses that share more than the factors: the probability of their answers is then
        not a product.

    References
    ----------
    Muthen (1998-2004), Mplus technical appendices 11; Bock & Mislevy (1982) for the mode.
    """
    assert block.cases is not None
    plan, m = here.target.plan, layout.n_latents
    if m == 0:
        return np.empty((block.n_obs, 0))
    p = len(state.sigma)
    modelled = np.setdiff1d(np.arange(p), plan.given)
    factors = state.phi[:m, :m]
    across = state.c[:, p + len(state.phi) :][modelled][:, :m]
    weights = np.linalg.lstsq(factors, across.T, rcond=1e-12)[0].T
    rest = state.sigma[np.ix_(modelled, modelled)] - weights @ across.T
    sd = np.sqrt(np.maximum(np.diag(rest), 1e-12))
    shared = rest / np.outer(sd, sd) - np.eye(len(sd))
    pairs = np.argwhere(np.abs(np.tril(shared)) > 1e-6)
    if len(pairs):
        first, second = (layout.observed[modelled[i]] for i in pairs[0])
        raise UnsupportedError(
            f"{second} and {first} share more than the factors: scores from ordered answers need "
            "responses that are independent given the factors.",
            remedy="Leave out residual covariances and paths among items, or treat answers as "
            "numbers.",
        )
    answers = _Answers.of(state, layout, here, block, modelled)
    mean = np.tile(state.eta[:m], (block.n_obs, 1))
    if len(plan.given):
        columns = [layout.factors.index(layout.observed[j]) for j in plan.given]
        mean = mean + block.cases[:, plan.given] @ state.a_matrix[:m, columns].T
    unexplained = answers.location - state.eta[:m] @ weights.T
    if len(plan.given):
        unexplained = unexplained - (mean - state.eta[:m]) @ weights.T
    precision: Array = _VAGUE * np.eye(m)
    if method == "regression":
        precision = np.asarray(np.linalg.pinv(factors, rcond=1e-12, hermitian=True), np.float64)
    spread = np.sqrt(np.maximum(np.diag(factors), 1e-12))
    return _search(
        answers, np.asarray(weights, np.float64), sd, unexplained, mean, precision, spread
    )


class _Answers:
    """What is known of every response: limits, or its value.

    Parameters
    ----------
    low, high : ndarray, shape (n, p)
        Thresholds around an ordered answer; far apart where it is missing.
    value : ndarray, shape (n, p)
        Answers to numeric items; NaN for ordered and missing ones.
    location : ndarray, shape (n, p)
        Means of the responses at the factors' means.
    """

    def __init__(self, low: Array, high: Array, value: Array, location: Array) -> None:
        self.low, self.high, self.value, self.location = low, high, value, location

    @classmethod
    def of(
        cls, state: State, layout: Layout, here: OrdinalLocal, block: Block, modelled: Index
    ) -> _Answers:
        """Cut the cases of a block at the model's thresholds."""
        assert block.cases is not None
        plan = here.target.plan
        n, p = block.n_obs, len(modelled)
        low, high = np.full((n, p), -np.inf), np.full((n, p), np.inf)
        value = np.full((n, p), np.nan)
        location = np.tile(state.mu[modelled], (n, 1))
        if len(plan.given):
            columns = [layout.factors.index(layout.observed[j]) for j in plan.given]
            slopes = state.c[modelled][:, len(state.sigma) + np.array(columns)]
            location = location + block.cases[:, plan.given] @ slopes.T
        for i, item in enumerate(modelled):
            own = block.cases[:, item]
            level = block.levels[item]
            if level is None:
                value[:, i] = own
                continue
            there = ~np.isnan(own)
            code = np.searchsorted(level, own[there])
            tau = state.matrices["tau"][plan.tau[plan.owner == item]]
            edges = np.concatenate([[-np.inf], tau, [np.inf]])
            low[there, i], high[there, i] = edges[code], edges[code + 1]
        return cls(low, high, value, location)


def _search(
    answers: _Answers,
    weights: Array,
    sd: Array,
    shift: Array,
    mean: Array,
    precision: Array,
    spread: Array,
) -> Array:
    """Newton's method for all respondents at once, steps halved until they climb."""
    eta = mean.copy()
    value = _log_density(answers, weights, sd, shift, eta, mean, precision)
    active = np.arange(len(eta))
    for _ in range(_STEPS):
        if not len(active):
            break
        slope, curvature = _derivatives(answers, weights, sd, shift, eta, mean, precision, active)
        # The log density is concave; the ridge is for patterns that leave a direction flat.
        ridge = 1e-9 * np.eye(eta.shape[1]) / spread**2
        step = np.linalg.solve(curvature + ridge, slope[:, :, None])[:, :, 0]
        limit = 2.0 * spread
        step *= np.minimum(1.0, (limit / np.maximum(np.abs(step), 1e-300)).min(axis=1))[:, None]
        length = np.ones(len(active))
        waiting = np.arange(len(active))
        for _ in range(30):
            trial = eta.copy()
            trial[active[waiting]] += length[waiting, None] * step[waiting]
            new = _log_density(answers, weights, sd, shift, trial, mean, precision)
            better = new[active[waiting]] >= value[active[waiting]] - 1e-12
            taken = active[waiting[better]]
            eta[taken], value[taken] = trial[taken], new[taken]
            waiting = waiting[~better]
            if not len(waiting):
                break
            length[waiting] *= 0.5
        size = np.abs(step / spread).max(axis=1) * length
        active = active[size > _TOLERANCE]
    return eta


def _standard(
    answers: _Answers, weights: Array, sd: Array, shift: Array, eta: Array
) -> tuple[Array, Array, Array]:
    location = shift + eta @ weights.T
    return (
        np.clip((answers.low - location) / sd, -FAR, FAR),
        np.clip((answers.high - location) / sd, -FAR, FAR),
        (answers.value - location) / sd,
    )


def _log_interval(low: Array, high: Array) -> Array:
    """Log probability between two limits, exact in both tails."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = log_ndtr(b), log_ndtr(a)
    return np.asarray(upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-300))))


def _log_density(
    answers: _Answers,
    weights: Array,
    sd: Array,
    shift: Array,
    eta: Array,
    mean: Array,
    precision: Array,
) -> Array:
    low, high, z = _standard(answers, weights, sd, shift, eta)
    out = _log_interval(low, high).sum(axis=1) - 0.5 * np.nansum(z * z, axis=1)
    gap = eta - mean
    return np.asarray(out - 0.5 * np.einsum("ij,jk,ik->i", gap, precision, gap))


def _derivatives(
    answers: _Answers,
    weights: Array,
    sd: Array,
    shift: Array,
    eta: Array,
    mean: Array,
    precision: Array,
    active: Index,
) -> tuple[Array, Array]:
    """Gradient (a, m) and minus Hessian (a, m, m) of the log density of some respondents."""
    low, high, z = (part[active] for part in _standard(answers, weights, sd, shift, eta))
    probability = np.maximum(ndtr(high) - ndtr(low), 1e-300)
    flipped = low > 0
    probability = np.where(flipped, np.maximum(ndtr(-low) - ndtr(-high), 1e-300), probability)
    top, bottom = density(high) / probability, density(low) / probability
    slope = bottom - top
    curvature = slope * slope + high * top - low * bottom
    numeric = ~np.isnan(z)
    slope = np.where(numeric, z, slope)
    curvature = np.where(numeric, 1.0, curvature)
    missing = np.isinf(answers.low[active]) & np.isinf(answers.high[active]) & ~numeric
    slope, curvature = np.where(missing, 0.0, slope), np.where(missing, 0.0, curvature)
    scaled = weights / sd[:, None]
    gradient = slope @ scaled
    hessian = np.einsum("ai,ij,ik->ajk", np.maximum(curvature, 0.0), scaled, scaled)
    gradient = gradient - (eta[active] - mean[active]) @ precision
    return np.asarray(gradient), np.asarray(hessian + precision)
