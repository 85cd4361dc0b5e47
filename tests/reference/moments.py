"""Sample and implied moments of a reference fit, without the engine."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sqvalid.latent.residual_averages import GroupMoments

from . import library
from .ram import PathModel


def rows_of(fit: library.Fit) -> pd.DataFrame:
    """Parameter rows with a group column."""
    rows = library.table(fit.blocks["parameters"])
    return rows if "group" in rows else rows.assign(group=1)


def observed_names(rows: pd.DataFrame) -> list[str]:
    """Observed variables in the order in which the rows name them."""
    latent = set(rows.loc[rows.op == "=~", "lhs"])
    names = dict.fromkeys([*rows.lhs, *rows.rhs])
    used = rows[rows.op.isin(["=~", "~", "~~"])]
    real = {*used.lhs, *used.rhs}
    return [n for n in names if n in real and n not in latent]


def fixed_positions(rows: pd.DataFrame, names: list[str]) -> tuple[int, ...]:
    """Positions of the covariates whose moments are given."""
    if "exo" not in rows:
        return ()
    exogenous = set(rows.loc[(rows.exo == 1) & (rows.op == "~~"), "lhs"])
    return tuple(i for i, name in enumerate(names) if name in exogenous)


def restriction(rows: pd.DataFrame) -> np.ndarray:
    """K: parameters that share a label, or that a constraint makes equal, are one."""
    free = rows[rows.free > 0].drop_duplicates("free")
    same = {r.plabel: r.label or r.plabel for r in free.itertuples()}
    for row in rows[rows.op == "=="].itertuples():
        first, second = same.get(row.lhs, row.lhs), same.get(row.rhs, row.rhs)
        same = {plabel: first if key == second else key for plabel, key in same.items()}
    columns = {key: i for i, key in enumerate(dict.fromkeys(same.values()))}
    out = np.zeros((len(free), len(columns)))
    for row in free.itertuples():
        out[row.free - 1, columns[same[row.plabel]]] = 1.0
    return out


def cases(fit: library.Fit) -> list[np.ndarray]:
    """Complete cases per group, columns as `observed_names` has them."""
    names = observed_names(rows_of(fit))
    data = library.frame(fit.file)
    data = data[names + ([fit.group] if fit.group else [])].dropna()
    if not fit.group:
        return [data[names].to_numpy(dtype=float)]
    return [
        data.loc[data[fit.group] == label, names].to_numpy(dtype=float)
        for label in data[fit.group].unique()
    ]


def jacobians(fit: library.Fit) -> list[np.ndarray]:
    """Delta of every group with respect to the unrestricted parameters."""
    rows = rows_of(fit)
    restrict = restriction(rows)
    return [
        PathModel(rows[rows.group == k].to_dict("records"), observed_names(rows)).jacobian(
            len(restrict), means=bool((rows.op == "~1").any())
        )
        @ restrict
        for k in range(1, rows.group.max() + 1)
    ]


def group_moments(fit: library.Fit) -> tuple[GroupMoments, ...]:
    """Sample moments from the data, implied moments from the reference's estimates."""
    rows = rows_of(fit)
    names = observed_names(rows)
    with_means = bool((rows.op == "~1").any())
    if "sample.cov" in fit.arguments:
        n = fit.arguments["sample.nobs"]
        covariance = library.matrix(fit.arguments["sample.cov"]).loc[names, names].to_numpy()
        parts = [(n, covariance * (n - 1) / n, np.zeros(len(names)))]
    else:
        ddof = 1 if fit.arguments.get("likelihood") == "wishart" else 0
        parts = [(len(x), np.cov(x.T, ddof=ddof), x.mean(axis=0)) for x in cases(fit)]
    out = []
    for number, (n, covariance, means) in enumerate(parts, start=1):
        own = rows[rows.group == number]
        sigma, mu = PathModel(own.to_dict("records"), names).moments()
        both = (means, mu) if with_means else (None, None)
        out.append(GroupMoments(n, covariance, sigma, *both, fixed_positions(own, names)))
    return tuple(out)
