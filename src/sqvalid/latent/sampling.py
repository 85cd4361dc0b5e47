"""How respondents were drawn: sampling weights, and clusters within which they are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import Diagnostic, UnsupportedError
from sqvalid.latent.implied import Array
from sqvalid.moments import Block, Moments

# Below this many clusters, sandwich standard errors are known to be too small.
FEW_CLUSTERS = 30


def cluster_order(block: Block) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows sorted by cluster, and the places where clusters start.

    Returns
    -------
    order : ndarray of int, shape (n,)
    starts : ndarray of int, shape (C,)
    """
    assert block.clusters is not None
    order = np.argsort(block.clusters, kind="stable")
    changes = np.flatnonzero(np.diff(block.clusters[order])) + 1
    return order, np.concatenate([[0], changes])


def cluster_correction(n_clusters: int) -> float:
    """C / (C - 1), which takes some of the bias off a covariance of C sums."""
    return n_clusters / (n_clusters - 1.0)


def independent_sums(scores: Array, block: Block) -> Array:
    """Scores of the units that were drawn independently of each other.

    Parameters
    ----------
    scores : ndarray, shape (n, q)
        One row per respondent.
    block : Block

    Returns
    -------
    ndarray, shape (n, q) or (C, q)
        The scores themselves; times the sampling weights; summed within clusters, times the
        square root of C / (C - 1) with C clusters, so that cross-products are corrected.

    References
    ----------
    Binder (1983), International Statistical Review 51; Asparouhov (2005), Structural Equation
    Modeling 12. The correction is lavaan's.
    """
    if block.weights is not None:
        scores = scores * block.weights[:, None]
    if block.clusters is None:
        return scores
    order, starts = cluster_order(block)
    sums = np.add.reduceat(scores[order], starts, axis=0)
    return np.asarray(sums * np.sqrt(cluster_correction(len(starts))))


def effective_n(weights: Array) -> float:
    """Respondents of equal weight that would tell as much (Kish, 1965): sum(w)^2 / sum(w^2)."""
    return float(weights.sum() ** 2 / (weights @ weights))


def refuse_sampling(blocks: Sequence[Block], what: str) -> None:
    """Raise UnsupportedError where `what` would ignore weights or clusters."""
    for name, present in (
        ("cluster", any(block.clusters is not None for block in blocks)),
        ("sampling_weights", any(block.weights is not None for block in blocks)),
    ):
        if present:
            raise UnsupportedError(
                f"{what} not available with {name}=.",
                remedy=f"Fit the model without {name}= to see them, as if respondents had been "
                "drawn at random.",
            )


def refuse_incomplete(blocks: Sequence[Block], what: str) -> None:
    """Raise UnsupportedError where `what` needs complete answers and there are gaps."""
    # Two-stage moments have a Gamma beside their cases; streamed ones have it in their place.
    if any(
        block.patterns is not None or (block.cases is not None and block.gamma is not None)
        for block in blocks
    ):
        raise UnsupportedError(
            f"{what} not available for incomplete answers.",
            remedy="Fit the model with missing='listwise' to see them for complete respondents.",
        )


def sampling_diagnostics(moments: Moments, n_free: int) -> tuple[Diagnostic, ...]:
    """What a reader should know about clusters and weights.

    Parameters
    ----------
    moments : Moments
    n_free : int
        Free parameters of the model.

    Returns
    -------
    tuple of Diagnostic
        Rows left out for want of a cluster, few clusters, clusters in several groups, the
        effective number of respondents.
    """
    out = []
    blocks = moments.blocks
    values: dict[str, float]
    if moments.n_without_cluster:
        out.append(
            Diagnostic(
                "rows_without_cluster",
                "warning",
                values={"n": moments.n_without_cluster, "variable": moments.cluster_variable},
            )
        )
    members = [np.unique(block.clusters) for block in blocks if block.clusters is not None]
    if members:
        every = np.concatenate(members)
        n_clusters = len(np.unique(every))
        if n_clusters < max(FEW_CLUSTERS, n_free):
            values = {"n_clusters": n_clusters, "n_free": n_free, "least": FEW_CLUSTERS}
            out.append(Diagnostic("few_clusters", "warning", values=values))
        if len(every) > n_clusters:
            values = {"n_clusters": n_clusters, "n_shared": _n_shared(every)}
            out.append(Diagnostic("clusters_span_groups", "warning", values=values))
    weights = [block.weights for block in blocks if block.weights is not None]
    if weights:
        joined = np.concatenate(weights)
        values = {"n_obs": len(joined), "n_effective": effective_n(joined)}
        out.append(Diagnostic("effective_sample_size", "info", values=values))
    return tuple(out)


def _n_shared(codes: NDArray[np.int64]) -> int:
    """How many codes occur more than once."""
    return int((np.unique(codes, return_counts=True)[1] > 1).sum())
