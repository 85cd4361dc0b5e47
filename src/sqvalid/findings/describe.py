"""What a report says about scales and sample beside any model: scores, precision, wording."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import ncx2

from sqvalid.effects import has_cycle
from sqvalid.hypotheses.equivalence import reversible_arrows

if TYPE_CHECKING:
    from sqvalid.instruments import Instrument
    from sqvalid.latent.result import FitResult

__all__ = ["close_fit_power", "confounded_dimensions", "scale_moments", "turnable_paths"]


def scale_moments(fit: FitResult) -> pd.DataFrame:
    """Mean and standard deviation of the average answer to the items of every factor.

    Parameters
    ----------
    fit : FitResult
        A measurement model.

    Returns
    -------
    pandas.DataFrame
        ``group factor mean sd``, one row per group and factor that has items of its own; the
        standard deviation has divisor N - 1. Missing answers are treated as the fit treats them.
        The mean is NaN where the fit began with a matrix.
    """
    covariances, averages = fit.sample, fit.sample_means
    by_group = covariances if isinstance(covariances, dict) else {"": covariances}
    means = averages if isinstance(averages, dict) else {"": averages}
    sizes = list(fit.n_obs_by_group.values())
    wishart = fit.options["likelihood"] == "wishart"
    rows = []
    for (label, covariance), n in zip(by_group.items(), sizes, strict=True):
        for factor, members in fit.indicators.items():
            items = [item for item in members if item in covariance.columns]
            if len(items) != len(members):
                continue
            total = float(covariance.loc[items, items].to_numpy().sum())
            total *= 1.0 if wishart else n / (n - 1.0)
            rows.append(
                {
                    "group": str(label),
                    "factor": factor,
                    "mean": float(means[label][items].mean(skipna=False)),
                    "sd": math.sqrt(total) / len(items),
                }
            )
    return pd.DataFrame(rows, columns=["group", "factor", "mean", "sd"])


def close_fit_power(
    n_obs: int, df: float, *, true: float = 0.08, close: float = 0.05, alpha: float = 0.05
) -> float:
    """Power of the test of close fit to reject a model that is wrong by a given amount.

    Parameters
    ----------
    n_obs : int
        Respondents, in one group.
    df : float
        Degrees of freedom of the model.
    true : float
        RMSEA in the population.
    close : float
        RMSEA that still counts as close.
    alpha : float

    Returns
    -------
    float
        NaN for a model without degrees of freedom.

    References
    ----------
    MacCallum, Browne & Sugawara (1996).

    Examples
    --------
    >>> close_fit_power(214, 50) >= 0.80 > close_fit_power(213, 50)
    True
    """
    if df <= 0:
        return math.nan
    bound = ncx2.isf(alpha, df, (n_obs - 1) * df * close**2)
    return float(ncx2.sf(bound, df, (n_obs - 1) * df * true**2))


def confounded_dimensions(
    instrument: Instrument, factors: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Name the factors whose items are all worded in reverse, where others have none that are.

    Where reverse wording fills whole dimensions and touches no other, what these dimensions have
    in common may be the wording as well as the content: no model of these answers can tell.

    Parameters
    ----------
    instrument : Instrument
        What was asked.
    factors : dict of str to tuple of str
        Factors and their items; items that the instrument does not have are passed over.

    Returns
    -------
    tuple of str
        Empty where wording and content can be separated, or nothing is worded in reverse.
    """
    known = set(instrument.item_ids)
    keys = {
        name: np.array([instrument.item(item).reverse for item in items if item in known])
        for name, items in factors.items()
    }
    keys = {name: flags for name, flags in keys.items() if len(flags)}
    mixed = any(flags.any() and not flags.all() for flags in keys.values())
    backward = tuple(name for name, flags in keys.items() if flags.all())
    if mixed or len(backward) == len(keys):
        return ()
    return backward


def turnable_paths(fit: FitResult) -> tuple[tuple[str, str], ...] | None:
    """Name the paths of a model that some model of exactly the same fit turns round.

    Parameters
    ----------
    fit : FitResult
        A structural model.

    Returns
    -------
    tuple of (cause, effect) or None
        None where the question has no general answer: a loop, or disturbances that covary.

    References
    ----------
    Verma & Pearl (1990); Meek (1995); Lee & Hershberger (1990).
    """
    table = fit.parameters
    table = table[(table["group"] == 1) & ((table["free"] > 0) | (table["est"] != 0.0))]
    paths = [
        (str(rhs), str(lhs))
        for lhs, rhs in table.loc[table["op"] == "~", ["lhs", "rhs"]].itertuples(index=False)
    ]
    variables = list(dict.fromkeys(name for path in paths for name in path))
    covary = table[(table["op"] == "~~") & (table["lhs"] != table["rhs"])]
    pairs = [
        (str(lhs), str(rhs))
        for lhs, rhs in covary[["lhs", "rhs"]].itertuples(index=False)
        if {lhs, rhs} <= set(variables)
    ]
    place = {name: i for i, name in enumerate(variables)}
    edges = np.zeros((len(variables), len(variables)), dtype=bool)
    for cause, effect in paths:
        edges[place[effect], place[cause]] = True
    outcomes = {effect for _, effect in paths}
    if has_cycle(edges) or any(outcomes & set(pair) for pair in pairs):
        return None
    turned = reversible_arrows([*paths, *((min(pair), max(pair)) for pair in pairs)])
    return tuple(path for path in paths if path in turned)
