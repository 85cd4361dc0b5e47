"""What is timed: models and simulated answers, the same for every program.

The populations are service-quality surveys: five dimensions of 22 items; the same under a
second-order quality factor that leads to satisfaction and repurchase intention; batteries of
eleven items a factor, 44 and 88 in all. Seeds are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

SERVQUAL = {"TAN": 4, "REL": 5, "RES": 4, "ASS": 4, "EMP": 5}
BATTERY = 11


@dataclass(frozen=True)
class Workload:
    """One model with its data.

    Parameters
    ----------
    name : str
    title : str
    factors : dict
        Factor -> what measures it; items, or factors for a second-order one.
    paths : tuple of (str, tuple of str)
        Outcome and its predictors.
    n_obs : int
    estimator : str
    df : int
        Degrees of freedom the model has.
    missing : float
        Share of the answers that are missing, at random.
    draws : int
        Bootstrap resamples; the row is then of them, not of the fit.
    categories : int
        Answers are ordered categories, of this many; 0 where they are numbers.
    """

    name: str
    title: str
    factors: dict[str, tuple[str, ...]]
    paths: tuple[tuple[str, tuple[str, ...]], ...]
    n_obs: int
    estimator: str
    df: int
    missing: float = 0.0
    draws: int = 0
    categories: int = 0

    @property
    def model(self) -> str:
        """The model in lavaan's language, which semopy reads too."""
        lines = [f"{factor} =~ {' + '.join(items)}" for factor, items in self.factors.items()]
        lines += [f"{outcome} ~ {' + '.join(causes)}" for outcome, causes in self.paths]
        return "\n".join(lines)

    @property
    def items(self) -> list[str]:
        """Observed variables."""
        return [i for own in self.factors.values() for i in own if i not in self.factors]

    def data(self) -> pd.DataFrame:
        """Answers of `n_obs` respondents, columns in the order of `items`."""
        data = _simulate(tuple(self.factors), tuple(self.items), self.n_obs, bool(self.paths))
        if self.missing:
            gone = np.random.default_rng(2023).random(data.shape) < self.missing
            data = data.mask(gone)
        if self.categories:
            # Skewed a little, as satisfied customers answer.
            z = (data - data.mean()) / data.std()
            edges = np.linspace(-2.0, 1.2, self.categories - 1)
            data = pd.DataFrame(np.searchsorted(edges, z.to_numpy()) + 1.0, columns=data.columns)
        return data


def _measured(counts: dict[str, int], letter: str = "P") -> dict[str, tuple[str, ...]]:
    out, number = {}, 0
    for factor, count in counts.items():
        out[factor] = tuple(f"{letter}{number + i + 1}" for i in range(count))
        number += count
    return out


_OUTCOMES = {
    "SQ": tuple(SERVQUAL),
    "SAT": tuple(f"S{i}" for i in range(1, 5)),
    "RPI": tuple(f"R{i}" for i in range(1, 4)),
}
_PATHS = (("SAT", ("SQ",)), ("RPI", ("SAT", "SQ")))

A = Workload("a", "ML, 22 items, 5 factors, n = 500", _measured(SERVQUAL), (), 500, "ML", 199)
B = Workload(
    "b",
    "ML, 29 items, second order and paths, n = 500",
    {**_measured(SERVQUAL), **_OUTCOMES},
    _PATHS,
    500,
    "ML",
    369,
)
MLR = replace(B, name="mlr", title="MLR, model b", estimator="MLR")
MLM = replace(B, name="mlm", title="MLM, model b", estimator="MLM")
WIDE = Workload(
    "wide",
    "ML, 88 items, 8 factors, n = 1000",
    _measured({f"F{k}": BATTERY for k in range(1, 9)}),
    (),
    1000,
    "ML",
    3712,
)
MLR44 = Workload(
    "mlr44",
    "MLR, 44 items, 4 factors, n = 2000",
    _measured({f"F{k}": BATTERY for k in range(1, 5)}),
    (),
    2000,
    "MLR",
    896,
)
MLM44 = replace(MLR44, name="mlm44", title="MLM, 44 items, 4 factors, n = 2000", estimator="MLM")
LARGE = Workload("large", "ML, model a from 1,000,000 rows", A.factors, (), 1_000_000, "ML", 199)
FIML = replace(A, name="fiml", title="FIML, model a with 10% missing, n = 500", missing=0.1)
FIML5K = replace(FIML, name="fiml5k", title="FIML, model a with 10% missing, n = 5000", n_obs=5000)
BOOT = replace(B, name="boot", title="bootstrap of model b, one resample of 5,000", draws=5000)
WLSMV = replace(
    A, name="wlsmv", title="WLSMV, 22 five-point items, n = 500", estimator="WLSMV", categories=5
)
WLSMV7 = replace(WLSMV, name="wlsmv7", title="WLSMV, 22 seven-point items, n = 500", categories=7)
WLSMV10K = replace(
    WLSMV, name="wlsmv10k", title="WLSMV, 22 five-point items, n = 10,000", n_obs=10_000
)
WLSMV44 = replace(
    MLR44,
    name="wlsmv44",
    title="WLSMV, 44 five-point items, n = 500",
    estimator="WLSMV",
    categories=5,
    n_obs=500,
)
WORKLOADS = {
    w.name: w
    for w in (
        A, B, MLR, MLM, WIDE, MLR44, MLM44, LARGE, FIML, FIML5K, BOOT,
        WLSMV, WLSMV7, WLSMV10K, WLSMV44,
    )
}  # fmt: skip


@cache
def _simulate(
    factors: tuple[str, ...], items: tuple[str, ...], n_obs: int, structural: bool
) -> pd.DataFrame:
    rng = np.random.default_rng(1988)

    def noise() -> np.ndarray:
        return rng.standard_normal(n_obs)

    counts = SERVQUAL if "TAN" in factors else dict.fromkeys(factors, BATTERY)
    if structural:
        quality = noise()
        reach = (0.7, 0.8, 0.85, 0.8, 0.75)
        scores = [g * quality + np.sqrt(1 - g * g) * noise() for g in reach]
    else:
        common = noise()
        scores = [np.sqrt(0.55) * common + np.sqrt(0.45) * noise() for _ in counts]
    columns, number = {}, 0
    for score, count in zip(scores, counts.values(), strict=True):
        for _ in range(count):
            loading = 0.55 + 0.08 * (number % 5)
            error = np.sqrt(1.0 - loading**2)
            columns[items[number]] = 4.5 + 1.2 * (loading * score + error * noise())
            number += 1
    if structural:
        satisfaction = 0.7 * quality + np.sqrt(1 - 0.49) * noise()
        intention = 0.6 * satisfaction + 0.15 * quality + 0.6 * noise()
        for score, names in ((satisfaction, _OUTCOMES["SAT"]), (intention, _OUTCOMES["RPI"])):
            for name in names:
                columns[name] = 4.0 + 0.8 * score + 0.6 * noise()
    return pd.DataFrame(columns)
