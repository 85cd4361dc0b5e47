"""Reliability of every resample of a bootstrap, and the intervals made of them.

The coefficients are those of :mod:`.coefficients`, resamples on the first axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.latent.bootstrap import Bootstrap, Interval
from sqvalid.latent.resample_functions import Resamples

__all__ = ["model_intervals"]

Array = npt.NDArray[np.float64]

COLUMNS = (
    "omega_total",
    "omega_total_implied",
    "composite_reliability",
    "ave",
    "ave_weighted",
)


def _block(matrix: Array, places: Sequence[int]) -> Array:
    chosen = np.asarray(places, dtype=np.intp)
    return np.asarray(matrix[:, chosen[:, None], chosen])


def _coefficients(resamples: Resamples, group: int, factor: str, items: Sequence[str]) -> Array:
    """The five coefficients of one factor in every resample, shape (B, 5)."""
    problem = resamples.estimate.problem
    places = [problem.blocks[group].variables.index(item) for item in items]
    position = problem.slots[group].layout.factors.index(factor)
    observed = _block(resamples.covariances[group], places)
    layout = problem.slots[group].layout.observed
    implied = _block(resamples.implied[group], [layout.index(item) for item in items])
    loadings = resamples.loadings(group, factor, items)
    phi = resamples.factor_covariances[group][:, position, position]
    sd = np.sqrt(np.diagonal(implied, axis1=1, axis2=2))
    standard = loadings * np.sqrt(np.maximum(phi, 0.0))[:, None] / sd
    explained = loadings.sum(axis=1) ** 2 * phi
    correlation = implied / (sd[:, :, None] * sd[:, None, :])
    return np.column_stack(
        [
            explained / observed.sum(axis=(1, 2)),
            explained / implied.sum(axis=(1, 2)),
            standard.sum(axis=1) ** 2 / correlation.sum(axis=(1, 2)),
            (standard**2).mean(axis=1),
            (loadings**2).sum(axis=1) * phi / np.trace(observed, axis1=1, axis2=2),
        ]
    )


def model_intervals(
    bootstrap: Bootstrap, scales: Sequence[tuple[str, str]], interval: Interval, level: float
) -> pd.DataFrame:
    """Bootstrap intervals of omega, composite reliability and average variance extracted.

    Parameters
    ----------
    bootstrap : Bootstrap
    scales : sequence of (str, str)
        Group label (empty where there is one group) and factor.
    interval : str
        Kind of interval.
    level : float
        Coverage.

    Returns
    -------
    pandas.DataFrame
        group, dimension, and two columns per coefficient.
    """
    fit = bootstrap.fit
    labels = [str(label) for label in fit.group_labels]
    groups = [labels.index(group) if group else 0 for group, _ in scales]

    def values(resamples: Resamples) -> Array:
        return np.hstack(
            [
                _coefficients(resamples, group, factor, tuple(fit.indicators[factor]))
                for group, (_, factor) in zip(groups, scales, strict=True)
            ]
        )

    out = pd.DataFrame(
        {"group": [group for group, _ in scales], "dimension": [factor for _, factor in scales]}
    )
    if not scales:
        return out
    found = bootstrap.of_resamples(values, interval, level=level)
    for j, name in enumerate(COLUMNS):
        for end in ("ci_lower", "ci_upper"):
            out[f"{name}_{end}"] = found[end].to_numpy()[j :: len(COLUMNS)]
    return out
