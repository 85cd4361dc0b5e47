"""What a general factor carries of the total score and the subscales: omega hierarchical."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError, UnsupportedError, check_choice
from sqvalid.reliability.coefficients import correlation_from_covariance
from sqvalid.reliability.hierarchy import (
    Decomposition,
    coefficient_h,
    common_variance_shares,
    composite_shares,
    factor_determinacy,
    percent_uncontaminated,
    schmid_leiman,
)
from sqvalid.reliability.scales import group_frames

if TYPE_CHECKING:
    from sqvalid.exploratory import EfaResult
    from sqvalid.latent.result import FitResult

__all__ = ["GeneralFactor", "assess_general_factor"]

Array = npt.NDArray[np.float64]

# A factor "does not correlate" with another below this: models fix it at zero exactly.
_ZERO = 1e-10


@dataclass(frozen=True, repr=False, eq=False)
class GeneralFactor(Result):
    """What a general factor explains; made by :func:`assess_general_factor`.

    Parameters
    ----------
    composites : pandas.DataFrame
        One row per group and composite, ``total`` first: ``group composite n_items omega_total
        omega_general omega_group omega_residual omega_relative coefficient_h
        factor_determinacy ecv puc``. `omega_general` is omega hierarchical (of a subscale: the
        general factor's part), `omega_group` the part of the subscale's own factor (omega
        subscale; for the total score of all group factors), `omega_total` both,
        `omega_residual` one less the residual share, `omega_relative` omega_general over
        omega_total. `coefficient_h`, `factor_determinacy` and `ecv` (share of the common variance)
        are of the general factor in the first row, else of the group factor.
    items : pandas.DataFrame
        ``group item factor general specific communality i_ecv``, completely standardised.
    origin : {"bifactor", "second_order", "schmid_leiman"}
        Where the decomposition comes from.
    metric : {"observed", "standardized"}
        Whether scores are sums of answers or of standardised items.
    variance : {"implied", "observed"}
        Which variance of the scores stands in the denominators.
    diagnostics : tuple of Diagnostic
    """

    composites: pd.DataFrame
    items: pd.DataFrame
    origin: str
    metric: str
    variance: str
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        first = self.composites.iloc[0]
        return (
            f"omega hierarchical {first['omega_general']:.3f} of omega total "
            f"{first['omega_total']:.3f}, ECV {first['ecv']:.3f} ({self.origin})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group and composite; see `composites`."""
        return self.composites.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the table of composites and the table of items."""
        units = [c for c in self.composites.columns if c not in ("group", "composite", "n_items")]
        loadings = [c for c in self.items.columns if c not in ("group", "item", "factor")]
        return (
            Table(self.composites, formats=dict.fromkeys(units, "unit")),
            Table(self.items, formats=dict.fromkeys(loadings, "unit")),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.composites,
            "items": self.items,
            "origin": self.origin,
            "metric": self.metric,
            "variance": self.variance,
        }


@dataclass(frozen=True, eq=False)
class _Model:
    """A decomposition in the metric of the answers, with names."""

    label: str
    items: tuple[str, ...]
    factors: tuple[str, ...]
    parts: Decomposition
    implied: Array


def assess_general_factor(
    source: FitResult | EfaResult | Any,
    n_factors: int | None = None,
    *,
    general: str | None = None,
    standardized: bool = False,
    variance: str = "implied",
    **options: Any,
) -> GeneralFactor:
    """Assess what a general factor explains of the total score and of the subscales.

    Parameters
    ----------
    source : FitResult, EfaResult, Survey, pandas.DataFrame or polars.DataFrame
        A fitted bifactor model (one factor of all items, not correlated with the others) or
        second-order model; an oblique exploratory solution, which is transformed after Schmid
        and Leiman; or answers, from which `n_factors` oblique factors are extracted.
    n_factors : int, optional
        For answers: three or more.
    general : str, optional
        Name of the general factor, where the model does not leave only one choice.
    standardized : bool
        Take scores as sums of standardised items. Always so for exploratory solutions.
    variance : {"implied", "observed"}
        Variance of the scores in the denominators.
    **options
        For answers: further arguments of :func:`sqvalid.efa`, such as ``extraction="ml"``.

    Returns
    -------
    GeneralFactor

    Raises
    ------
    OptionError
        No `n_factors` for answers, or no such factor.
    UnsupportedError
        A model without a general factor, or one whose general factor correlates with the
        group factors; fewer than three exploratory factors.

    References
    ----------
    Zinbarg, Revelle, Yovel & Li (2005); Rodriguez, Reise & Haviland (2016), Psychological Methods
    21, 137-150.
    """
    from sqvalid.exploratory import EfaResult, efa
    from sqvalid.latent.result import FitResult

    check_choice("variance", variance, ("implied", "observed"))
    if isinstance(source, FitResult):
        if n_factors is not None or options:
            given = ", ".join(["n_factors"] * (n_factors is not None) + list(options))
            raise OptionError(
                f"{given} is for exploratory factors, and a fit is given.", remedy="Leave it out."
            )
        origin, models = _from_fit(source, general, variance)
    else:
        if not isinstance(source, EfaResult):
            if n_factors is None:
                raise OptionError(
                    "From answers the number of group factors is needed.",
                    remedy="Pass n_factors=..., a fit, or an EfaResult.",
                )
            options.setdefault("rotation", "oblimin")
            source = efa(source, n_factors, **options)
        origin, models, standardized = "schmid_leiman", [_from_efa(source, variance)], True
    composites, items, diagnostics = [], [], []
    for model in models:
        rows, item_rows, notes = _rows(model, standardized)
        composites += rows
        items += item_rows
        diagnostics += notes
    composite_frame, item_frame = pd.DataFrame(composites), pd.DataFrame(items)
    if len(models) == 1:
        composite_frame = composite_frame.drop(columns="group")
        item_frame = item_frame.drop(columns="group")
    return GeneralFactor(
        composite_frame,
        item_frame,
        origin,
        "standardized" if standardized else "observed",
        variance,
        tuple(diagnostics),
    )


def _rows(
    model: _Model, standardized: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Diagnostic]]:
    parts = model.parts
    spread = np.sqrt(np.diag(model.implied))
    general, group = parts.general / spread, parts.group / spread[:, None]
    m = group.shape[1]
    phi = np.eye(m) if parts.group_correlation is None else parts.group_correlation
    if standardized:
        shown = np.sqrt(np.diag(parts.covariance))
        parts = Decomposition(
            general,
            group,
            parts.covariance / np.outer(shown, shown),
            parts.residual / np.outer(spread, spread),
            parts.membership,
            parts.group_correlation,
        )
    shares = composite_shares(parts)
    ecv, by_group, by_item = common_variance_shares(general, group)
    everything = np.block([[np.ones((1, 1)), np.zeros((1, m))], [np.zeros((m, 1)), phi]])
    determinacy = factor_determinacy(
        np.column_stack([general, group]), everything, correlation_from_covariance(model.implied)
    )
    member = parts.membership
    rows = []
    for c in range(m + 1):
        own = general if c == 0 else group[member[:, c - 1], c - 1]
        rows.append(
            {
                "group": model.label,
                "composite": "total" if c == 0 else model.factors[c - 1],
                "n_items": len(own),
                **{name: float(values[c]) for name, values in shares.items()},
                "omega_relative": float(shares["omega_general"][c] / shares["omega_total"][c]),
                "coefficient_h": coefficient_h(own),
                "factor_determinacy": float(determinacy[c]),
                "ecv": ecv if c == 0 else float(by_group[c - 1]),
                "puc": percent_uncontaminated(member) if c == 0 else float("nan"),
            }
        )
    communality = general**2 + ((group @ phi) * group).sum(axis=1)
    place = np.where(member, np.abs(group), -1.0).argmax(axis=1)
    items = [
        {
            "group": model.label,
            "item": item,
            "factor": model.factors[place[i]] if member[i].any() else "",
            "general": float(general[i]),
            "specific": float(group[i, place[i]]) if member[i].any() else 0.0,
            "communality": float(communality[i]),
            "i_ecv": float(by_item[i]),
        }
        for i, item in enumerate(model.items)
    ]
    notes = []
    crossed = [
        item
        for item, row, mine in zip(model.items, group, member, strict=True)
        if (row[~mine] != 0.0).any() or mine.sum() > 1
    ]
    if crossed:
        notes.append(Diagnostic("general_factor_foreign_loading", "info", tuple(crossed)))
    heywood = tuple(np.array(model.items)[communality > 1.0].tolist())
    if heywood:
        notes.append(Diagnostic("general_factor_heywood", "problem", heywood))
    return rows, items, notes


def _from_efa(solution: EfaResult, variance: str) -> _Model:
    pattern = solution.loadings.to_numpy(dtype=float)
    phi = solution.factor_correlations.to_numpy(dtype=float)
    method = solution.extraction if solution.extraction in ("ml", "minres", "paf") else "minres"
    general, group, _ = schmid_leiman(pattern, phi, method=method)
    own = np.abs(group) == np.abs(group).max(axis=1, keepdims=True)
    residual = np.diag(solution.uniquenesses.to_numpy(dtype=float))
    implied = pattern @ phi @ pattern.T + residual
    observed = solution.correlation.to_numpy(dtype=float)
    parts = Decomposition(
        general, group, observed if variance == "observed" else implied, residual, own
    )
    factors = tuple(str(name) for name in solution.loadings.columns)
    return _Model("", tuple(str(i) for i in solution.loadings.index), factors, parts, implied)


def _from_fit(fit: FitResult, general: str | None, variance: str) -> tuple[str, list[_Model]]:
    indicators = {name: tuple(items) for name, items in fit.indicators.items()}
    if general is not None:
        check_choice("general", general, indicators)
    second = [name for name, items in indicators.items() if set(items) <= set(indicators)]
    observed = {
        name: items for name, items in indicators.items() if not set(items) & set(indicators)
    }
    everything = tuple(dict.fromkeys(item for items in observed.values() for item in items))
    broad = [name for name, items in observed.items() if set(items) == set(everything)]
    candidates = second or (broad if len(observed) > 1 else [])
    chosen = [name for name in candidates if general in (None, name)]
    if len(chosen) != 1:
        what = "several general factors" if len(chosen) > 1 else "no general factor"
        raise UnsupportedError(
            f"The model has {what}.",
            remedy="A general factor is one on which all items load beside their own factors, or "
            'one measured by all the other factors; name it with general="...".',
        )
    top = chosen[0]
    factors = indicators[top] if second else tuple(n for n in observed if n != top)
    items = tuple(i for i in everything if any(i in observed[f] for f in factors) or not second)
    samples, implied = group_frames(fit, "sample"), group_frames(fit, "implied")
    latent = group_frames(fit, "latent_covariance")
    models = []
    for number, label in enumerate(samples, start=1):
        rows = fit.parameters[fit.parameters["group"] == number]
        sigma = implied[label].loc[list(items), list(items)].to_numpy(dtype=float)
        shown = samples[label].loc[list(items), list(items)].to_numpy(dtype=float)
        phi = latent[label]
        loadings = _pattern(rows, items, factors)
        if second:
            upper = _pattern(rows, factors, (top,))[:, 0]
            strength = float(phi.loc[[top], [top]].to_numpy(dtype=float).item())
            below = phi.loc[list(factors), list(factors)].to_numpy(dtype=float)
            disturbances = below - np.outer(upper, upper) * strength
            common = loadings @ upper * np.sqrt(strength)
        else:
            cross = phi.loc[[top], list(factors)].to_numpy(dtype=float)
            if np.abs(cross).max() > _ZERO:
                raise UnsupportedError(
                    f"The general factor {top!r} correlates with the group factors.",
                    remedy="Fit the bifactor model with orthogonal=True.",
                )
            strength = float(phi.loc[[top], [top]].to_numpy(dtype=float).item())
            disturbances = phi.loc[list(factors), list(factors)].to_numpy(dtype=float)
            common = _pattern(rows, items, (top,))[:, 0] * np.sqrt(strength)
        spread = np.sqrt(np.clip(np.diag(disturbances), 0.0, None))
        group = loadings * spread
        with np.errstate(invalid="ignore", divide="ignore"):
            between = disturbances / np.outer(spread, spread)
        between = np.where(np.isfinite(between), between, 0.0)
        np.fill_diagonal(between, 1.0)
        between[np.abs(between) < _ZERO] = 0.0
        residual = sigma - np.outer(common, common) - group @ between @ group.T
        parts = Decomposition(
            common,
            group,
            shown if variance == "observed" else sigma,
            residual,
            np.array([[item in observed[f] for f in factors] for item in items]),
            between,
        )
        models.append(_Model(label if len(samples) > 1 else "", items, factors, parts, sigma))
    return ("second_order" if second else "bifactor"), models


def _pattern(rows: pd.DataFrame, below: tuple[str, ...], above: tuple[str, ...]) -> Array:
    """Unstandardised loadings of one group, shape (below, above)."""
    loadings = rows[rows["op"] == "=~"]
    result = np.zeros((len(below), len(above)))
    for lhs, rhs, value in zip(loadings["lhs"], loadings["rhs"], loadings["est"], strict=True):
        if lhs in above and rhs in below:
            result[below.index(rhs), above.index(lhs)] = value
    return result
