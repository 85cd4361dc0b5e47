"""The bootstrap on dask's workers, in processes of their own."""

from __future__ import annotations

import os

import joblib
import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import resampling

distributed = pytest.importorskip("distributed")

# What dask's own machinery may say while it starts and stops is not under test.
pytestmark = pytest.mark.filterwarnings("default")


def process(fit: sq.FitResult) -> float:
    """Number of the process that the statistic is computed in."""
    return float(os.getpid())


def test_dask_workers_give_the_numbers_of_one_process() -> None:
    z = resampling.normals(7, 0, 600).reshape(150, 4)
    data = {"x": z[:, 0], "m": 0.4 * z[:, 0] + z[:, 1]}
    data["y"] = 0.5 * data["m"] + z[:, 2]
    fit = sq.sem("m ~ a*x\ny ~ b*m\nab := a*b", pd.DataFrame(data))
    alone = sq.bootstrap_fit(fit, 300, seed=4, studentized=True)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        workers = set(client.run(os.getpid).values())
        shared = sq.bootstrap_fit(
            fit, 300, seed=4, studentized=True, statistics={"process": process}, n_jobs=2
        )
    np.testing.assert_array_equal(shared.draws().to_numpy(), alone.draws().to_numpy())
    assert shared.statistic_draws is not None
    assert set(shared.statistic_draws[:, 0]) <= workers
    assert os.getpid() not in workers
    assert shared.errors is not None
    assert alone.errors is not None
    np.testing.assert_array_equal(shared.errors, alone.errors)
