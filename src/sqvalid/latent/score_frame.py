"""Factor scores of all groups, beside the answers they come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sqvalid.errors import UnsupportedError
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.ordinal_scores import ordinal_scores
from sqvalid.latent.scores import factor_scores
from sqvalid.moments import Moments


def score_frame(
    estimate: Estimate, moments: Moments, method: str, latent_means: Sequence[Array]
) -> pd.DataFrame:
    """Scores of the respondents used, one row each, in the order and with the index of the input.

    Parameters
    ----------
    method : {"regression", "bartlett"}
    latent_means : sequence of ndarray
        Means of the factors, per group.

    Raises
    ------
    UnsupportedError
        There are no answers, only a matrix.
    """
    problem = estimate.problem
    frames = []
    for g, (block, slots, local) in enumerate(
        zip(problem.blocks, problem.slots, estimate.locals_, strict=True)
    ):
        if block.cases is None:
            raise UnsupportedError("Factor scores need the answers, not a matrix.")
        if local.ordinal is not None:
            scores = ordinal_scores(local.state, slots.layout, local.ordinal, block, method)
        else:
            scores = factor_scores(
                local.state,
                slots.layout,
                block.cases,
                method,
                means=block.means if problem.objective.targets[g].means is None else None,
                latent_means=latent_means[g],
            )
        rows = moments.rows
        index = moments.index[rows[g]] if rows is not None and moments.index is not None else None
        order = rows[g] if rows is not None else np.arange(block.n_obs)
        frame = pd.DataFrame(scores, index=index, columns=list(problem.table.latents[g]))
        frames.append((order, frame))
    combined = pd.concat([frame for _, frame in frames])
    order = np.argsort(np.concatenate([place for place, _ in frames]), kind="stable")
    return combined.iloc[order]
