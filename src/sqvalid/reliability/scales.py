"""The scales of a survey or a fitted model: items, covariances, and what the model says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.errors import Diagnostic, EstimationError, InputError, OptionError
from sqvalid.moments.em import em_moments
from sqvalid.reliability.categorical import omega_categorical
from sqvalid.reliability.coefficients import (
    average_variance_extracted,
    correlation_from_covariance,
    cronbach_alpha,
    omega_total,
    weighted_variance_extracted,
)
from sqvalid.reliability.model_errors import coefficient_errors

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

__all__ = ["Scale", "check_dimensions", "group_frames", "scales_from_fit", "scales_from_frame"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """What is known about one dimension in one group."""

    group: str
    dimension: str
    items: tuple[str, ...]
    n_obs: int
    covariance: Array  # divisor N - 1
    means: Array | None
    model: Mapping[str, float] = field(default_factory=dict)
    loadings: Array | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    values: Array | None = None  # complete answers
    errors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", MappingProxyType(dict(self.model)))
        object.__setattr__(self, "errors", MappingProxyType(dict(self.errors)))


def group_frames(fit: FitResult, attribute: str) -> dict[str, pd.DataFrame]:
    """Return a per-group property of a fit as a mapping, however many groups there are.

    Parameters
    ----------
    fit : FitResult
        One group or several.
    attribute : str
        ``"sample"``, ``"implied"``, ``"latent_covariance"`` or ``"latent_correlation"``.

    Returns
    -------
    dict of str to pandas.DataFrame
        Keyed by group label, in the order of the groups.
    """
    value = getattr(fit, attribute)
    if isinstance(value, pd.DataFrame):
        return {str(fit.group_labels[0]) if fit.group_labels else "": value}
    return {str(label): frame for label, frame in value.items()}


def check_dimensions(
    dimensions: Mapping[str, Sequence[str]] | None, available: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return dimensions whose items are all there.

    Parameters
    ----------
    dimensions : mapping of str to sequence of str, or None
        Items of each dimension.
    available : sequence of str
        Columns of the data.

    Returns
    -------
    dict of str to tuple of str

    Raises
    ------
    OptionError
        No dimensions, or one without items.
    InputError
        An item that is not there.
    """
    if not dimensions:
        raise OptionError(
            "Reliability needs to know which items belong together.",
            remedy='Pass dimensions={"TAN": ["P1", "P2"], ...} or a Survey with an instrument.',
        )
    known = set(available)
    checked: dict[str, tuple[str, ...]] = {}
    for name, items in dimensions.items():
        if isinstance(items, str) or not items:
            raise OptionError(
                f"Dimension {name!r} must list its items.",
                remedy='Write dimensions={"TAN": ["P1", "P2"], ...}.',
            )
        absent = [item for item in items if item not in known]
        if absent:
            raise InputError(
                f"Dimension {name!r} names items that are not in the data: {', '.join(absent)}.",
                remedy="Correct the item names or the columns of the data.",
            )
        checked[str(name)] = tuple(items)
    return checked


def scales_from_frame(
    frame: pd.DataFrame, dimensions: Mapping[str, tuple[str, ...]], missing: str
) -> Iterator[Scale]:
    """Gather the scales of answers.

    Parameters
    ----------
    frame : pandas.DataFrame
        Keyed answers.
    dimensions : mapping of str to tuple of str
        Items of each dimension, all of them there.
    missing : {"listwise", "em", "pairwise"}
        See :func:`sqvalid.assess_reliability`.

    Yields
    ------
    Scale

    Raises
    ------
    InputError
        Too few answers, or an item that does not vary.
    EstimationError
        No moments under ``"em"``.
    """
    for name, items in dimensions.items():
        values = frame[list(items)].to_numpy(dtype=float)
        given = ~np.isnan(values)
        complete = values[given.all(axis=1)]
        diagnostics: list[Diagnostic] = [Diagnostic("omega_needs_model", "info", (name,))]
        if missing == "listwise" and len(complete) < 2:
            raise InputError(
                f"Dimension {name!r} has {len(complete)} complete answers; two are the least.",
                remedy="Check missing-value codes and column names of its items.",
            )
        used = complete if missing == "listwise" else values
        constant = [
            item
            for item, column in zip(items, used.T, strict=True)
            if len(np.unique(column[~np.isnan(column)])) < 2
        ]
        if constant:
            raise InputError(
                f"Items of {name!r} have the same value for every respondent: "
                f"{', '.join(constant)}.",
                remedy="Leave them out: an item without variance measures nothing here.",
            )
        if missing == "listwise" and len(complete) < len(values):
            left_out = {"n_used": len(complete), "n_total": len(values)}
            diagnostics.append(Diagnostic("rows_left_out", "info", (name,), left_out))
        if missing == "listwise" or given.all():
            centred = complete - complete.mean(axis=0)
            covariance = centred.T @ centred / (len(complete) - 1)
            means, n_obs = complete.mean(axis=0), len(complete)
        else:
            covariance, means, n_obs = _incomplete_moments(name, values, missing)
            counts = {"n_used": int(given.any(axis=1).sum()), "n_pair": n_obs}
            diagnostics.append(Diagnostic("reliability_incomplete", "info", (name,), counts))
        yield Scale(
            group="",
            dimension=name,
            items=items,
            n_obs=n_obs,
            covariance=covariance,
            means=means,
            diagnostics=tuple(diagnostics),
            values=complete if missing == "listwise" or given.all() else None,
        )


def _incomplete_moments(name: str, values: Array, missing: str) -> tuple[Array, Array, int]:
    """Covariances (divisor N - 1) and means of answers with gaps, and the smallest pair's n."""
    given = ~np.isnan(values)
    fewest = int((given.T.astype(int) @ given.astype(int)).min())
    if fewest < 3:
        raise InputError(
            f"Two items of {name!r} were both answered by {fewest} respondents; three are the "
            "least.",
            remedy="Check missing-value codes and the items of the dimension.",
        )
    if missing == "pairwise":
        table = pd.DataFrame(values)
        covariance = table.cov().to_numpy(dtype=float)
        means = table.mean().to_numpy(dtype=float)
        if np.linalg.eigvalsh(covariance)[0] <= 0.0:
            raise InputError(
                f"The pairwise covariances of {name!r} are not positive definite.",
                remedy='Use missing="em" or missing="listwise".',
            )
        return covariance, means, fewest
    some = values[given.any(axis=1)]
    found = em_moments(some)
    if not found.converged:
        raise EstimationError(
            f"The covariances of {name!r} could not be estimated from incomplete answers.",
            remedy='Use missing="listwise".',
        )
    return found.covariance * len(some) / (len(some) - 1), found.mean, fewest


def _not_congeneric(parameters: pd.DataFrame, factor: str, items: tuple[str, ...]) -> str | None:
    """Return the code of the reason why one factor does not own its items, or None."""
    loadings = parameters[parameters["op"] == "=~"]
    latents = set(loadings["lhs"])
    if latents & set(items):
        return "omega_second_order"
    elsewhere = loadings[loadings["rhs"].isin(items) & (loadings["lhs"] != factor)]
    if len(elsewhere) and (elsewhere["est"] != 0.0).any():
        return "omega_cross_loading"
    regressed = parameters[(parameters["op"] == "~") & parameters["lhs"].isin(items)]
    if len(regressed):
        return "omega_regressed_indicator"
    return None


def scales_from_fit(
    fit: FitResult, dimensions: Mapping[str, Sequence[str]] | None
) -> Iterator[Scale]:
    """Gather the scales of a fitted model: one per group and factor.

    Parameters
    ----------
    fit : FitResult
    dimensions : mapping of str to sequence of str, optional
        Which factors; all by default.

    Yields
    ------
    Scale

    Raises
    ------
    OptionError
        A factor that the model does not have.
    """
    table = fit.parameters
    samples, implied = group_frames(fit, "sample"), group_frames(fit, "implied")
    latent = group_frames(fit, "latent_covariance")
    wanted = fit.indicators if dimensions is None else dimensions
    unknown = [name for name in wanted if name not in fit.indicators]
    if unknown:
        raise OptionError(
            f"The model has no factor {unknown[0]!r}.",
            remedy=f"Its factors are: {', '.join(fit.indicators)}.",
        )
    unbiased = fit.options.get("likelihood") == "wishart"
    for number, (label, sample) in enumerate(samples.items(), start=1):
        rows = table[table["group"] == number]
        n_obs = int(fit.n_obs_by_group.get(label, fit.n_obs))
        to_unbiased = 1.0 if unbiased else n_obs / (n_obs - 1)
        for factor in wanted:
            # A covariate made latent by a regression has no indicators of its own.
            items = tuple(fit.indicators[factor])
            reason = _not_congeneric(rows, factor, items)
            observed = tuple(item for item in items if item in sample.columns)
            if len(observed) != len(items):
                yield Scale(
                    label,
                    factor,
                    (),
                    n_obs,
                    np.empty((0, 0)),
                    None,
                    diagnostics=(Diagnostic("omega_second_order", "info", (factor,)),),
                )
                continue
            covariance = sample.loc[list(items), list(items)].to_numpy(dtype=float)
            model_covariance = implied[label].loc[list(items), list(items)].to_numpy(dtype=float)
            own = rows[(rows["op"] == "=~") & (rows["lhs"] == factor)].set_index("rhs")
            loadings = own.loc[list(items), "est"].to_numpy(dtype=float)
            phi = float(latent[label].loc[[factor], [factor]].to_numpy(dtype=float).item())
            standardized = loadings * np.sqrt(max(phi, 0.0)) / np.sqrt(np.diag(model_covariance))
            model: dict[str, float] = {}
            errors: dict[str, float] = {}
            diagnostics: tuple[Diagnostic, ...] = ()
            if reason is not None:
                diagnostics = (Diagnostic(reason, "info", (factor,)),)
            elif len(items) > 1:
                model = {
                    "omega_total": omega_total(loadings, covariance, phi),
                    "omega_total_implied": omega_total(loadings, model_covariance, phi),
                    "composite_reliability": omega_total(
                        standardized, correlation_from_covariance(model_covariance)
                    ),
                    "ave": average_variance_extracted(standardized),
                    "ave_weighted": weighted_variance_extracted(loadings, covariance, phi),
                }
                errors = coefficient_errors(fit, number - 1, factor, items)
            if set(items) <= set(fit.options["ordered"]):
                whole = Scale(
                    group=label if len(samples) > 1 else "",
                    dimension=factor,
                    items=items,
                    n_obs=n_obs,
                    covariance=covariance,
                    means=None,
                    model=model,
                    loadings=standardized,
                    diagnostics=diagnostics,
                )
                yield _of_answers(fit, number - 1, whole, model_covariance)
                continue
            yield Scale(
                group=label if len(samples) > 1 else "",
                dimension=factor,
                items=items,
                n_obs=n_obs,
                covariance=covariance * to_unbiased,
                means=_sample_means(fit, label, items),
                model=model,
                loadings=standardized,
                diagnostics=diagnostics,
                errors=errors,
            )


def _of_answers(fit: FitResult, g: int, scale: Scale, implied: Array) -> Scale:
    """A scale of ordered items: alpha of the answers, omega of their sum.

    The model is of the responses behind the answers; what it says of the sum of the answers goes
    through its thresholds (Green & Yang, 2009). Composite reliability and AVE stay those of the
    responses.
    """
    block = fit.moments.blocks[g]
    assert block.cases is not None
    positions = [block.variables.index(item) for item in scale.items]
    values = block.cases[:, positions]
    values = values[~np.isnan(values).any(axis=1)]
    model = dict(scale.model)
    if model:
        assert scale.loadings is not None
        found = fit.implied_thresholds
        cuts = list(found.values())[g] if isinstance(found, dict) else found
        thresholds = [
            cuts[[name for name in cuts.index if name.rpartition("|")[0] == item]].to_numpy()
            for item in scale.items
        ]
        sample, loadings = scale.covariance, scale.loadings
        model |= {
            "omega_latent": model["omega_total"],
            "omega_total": omega_categorical(loadings, thresholds, sample),
            "omega_total_implied": omega_categorical(loadings, thresholds, implied),
            "ave_weighted": model["ave"],
        }
    model["alpha_latent"] = cronbach_alpha(scale.covariance)
    return replace(
        scale,
        n_obs=len(values),
        covariance=np.atleast_2d(np.cov(values, rowvar=False)),
        means=values.mean(axis=0),
        model=model,
        values=values,
    )


def _sample_means(fit: FitResult, label: str, items: tuple[str, ...]) -> Array | None:
    for block in fit.moments.blocks:
        if str(block.group) == label or len(fit.moments.blocks) == 1:
            if block.means is None:
                return None
            positions = [block.variables.index(item) for item in items]
            return np.asarray(block.means)[positions]
    return None
