"""Direct, indirect and total effects along the regressions of a model.

An effect is a function of the path coefficients; its standard error follows by the delta
method from theirs. Effects are associations that the model orders; in a cross-section they
are no evidence of a process in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError

if TYPE_CHECKING:
    from sqvalid.latent.bootstrap import Bootstrap, Interval
    from sqvalid.latent.result import FitResult

__all__ = [
    "Effects",
    "estimate_effects",
    "path_gradient",
    "simple_paths",
    "total_effects",
    "total_effects_gradient",
]

Array = npt.NDArray[np.float64]
Path = tuple[int, ...]


# --- numbers over arrays -----------------------------------------------------------------


def total_effects(beta: Array) -> Array:
    r"""Total effects of every variable on every other.

    .. math:: (I - B)^{-1} - I

    Parameters
    ----------
    beta : ndarray (..., m, m)
        ``beta[..., i, j]`` is the direct effect of variable j on variable i.

    Returns
    -------
    ndarray (..., m, m)
        Same orientation. All NaN when the series B + B^2 + ... does not converge, which
        can only happen with a feedback loop, and where direct effects are not known.

    References
    ----------
    Bollen (1987); Bollen (1989), ch. 8.
    """
    m = beta.shape[-1]
    known = np.isfinite(beta).all(axis=(-2, -1), keepdims=True)
    series = np.where(known, beta, 0.0)
    radius = np.abs(np.linalg.eigvals(series)).max(axis=-1, initial=0.0)[..., None, None]
    there = known & (radius < 1.0)
    reach = np.linalg.inv(np.eye(m) - np.where(there, series, 0.0)) - np.eye(m)
    return np.where(there, reach, np.nan)


def total_effects_gradient(beta: Array, target: int, source: int) -> Array:
    """Derivative of one total effect by every direct effect.

    Parameters
    ----------
    beta : ndarray (m, m)
        Direct effects; their series must converge.
    target, source : int
        Positions of the effect.

    Returns
    -------
    ndarray (m, m)
        Entry (i, j) is the derivative by ``beta[i, j]``.
    """
    reach = total_effects(beta) + np.eye(beta.shape[0])
    return np.outer(reach[target], reach[:, source])


def simple_paths(edges: npt.NDArray[np.bool_], source: int, target: int) -> Iterator[Path]:
    """Yield every path that visits no variable twice.

    Parameters
    ----------
    edges : ndarray (m, m) of bool
        ``edges[i, j]`` tells whether j has a direct effect on i.
    source, target : int
        Ends of the paths.

    Yields
    ------
    tuple of int
        Variables from source to target; shorter paths first, then by position.
    """
    waiting: list[Path] = [(source,)]
    while waiting:
        path = waiting.pop(0)
        for following in np.flatnonzero(edges[:, path[-1]]):
            node = int(following)
            if node == target:
                yield (*path, node)
            elif node not in path:
                waiting.append((*path, node))


def path_gradient(beta: Array, path: Path) -> Array:
    """Derivative of the product of coefficients along a path by every direct effect.

    Parameters
    ----------
    beta : ndarray (m, m)
        Direct effects.
    path : tuple of int
        Variables from source to target.

    Returns
    -------
    ndarray (m, m)
        Zero except at the steps of the path.
    """
    gradient = np.zeros_like(beta)
    steps = list(zip(path[1:], path[:-1], strict=True))
    for k, (to, start) in enumerate(steps):
        gradient[to, start] = np.prod([beta[s] for n, s in enumerate(steps) if n != k])
    return gradient


def has_cycle(edges: npt.NDArray[np.bool_]) -> bool:
    """Tell whether some variable affects itself through others.

    Parameters
    ----------
    edges : ndarray (m, m) of bool
        ``edges[i, j]`` tells whether j has a direct effect on i.

    Returns
    -------
    bool
    """
    remaining = edges.copy()
    alive = np.ones(edges.shape[0], dtype=bool)
    while alive.any():
        # A variable that nothing alive points to cannot lie on a cycle.
        free = alive & ~remaining[:, alive].any(axis=1)
        if not free.any():
            return True
        alive &= ~free
    return False


# --- the result --------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class Effects(Result):
    """Effects of variables on each other along the paths of the model.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per group and effect: ``group source target kind path est se z p ci_lower
        ci_upper est_std se_std z_std p_std ci_lower_std ci_upper_std``. ``kind`` is ``"direct"``,
        ``"specific"`` (through the one path named), ``"indirect"`` (all of these together) or
        ``"total"``. ``*_std`` are completely standardised.
    level : float
        Coverage of the intervals.
    diagnostics : tuple of Diagnostic
        Why an effect is missing.
    """

    frame: pd.DataFrame
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        n_indirect = int((self.frame["kind"] == "indirect").sum())
        return f"{len(self.frame)} effects, {n_indirect} of them total indirect"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group and effect; see `frame`."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the effects as one table."""
        return (Table(self.frame, formats={"p": "p", "p_std": "p"}),)

    def _payload(self) -> Mapping[str, Any]:
        return {"table": self.frame, "level": self.level}


@dataclass(frozen=True)
class _Paths:
    """The path coefficients of one group in one metric, and how they vary."""

    names: tuple[str, ...]
    edges: npt.NDArray[np.bool_]
    beta: Array
    rows: npt.NDArray[np.intp]  # (m, m): position of the coefficient in `jacobian`, or -1
    jacobian: Array  # (n coefficients, n free parameters)
    place: npt.NDArray[np.intp]  # (n coefficients,): row of the coefficient in the fit's table


def _effect(
    value: float, gradient: Array, paths: _Paths, vcov: Array, level: float, suffix: str
) -> dict[str, float]:
    used = paths.rows >= 0
    slope = gradient[used] @ paths.jacobian[paths.rows[used]]
    # A coefficient fixed by the user has no sampling variance: se 0, no test.
    variance = float(slope @ vcov @ slope)
    se = float(np.sqrt(variance)) if variance >= 0.0 else float("nan")
    z = value / se if se > 0.0 else float("nan")
    width = float(ndtri((1.0 + level) / 2.0)) * se
    return {
        f"est{suffix}": value,
        f"se{suffix}": se,
        f"z{suffix}": z,
        f"p{suffix}": float(2.0 * ndtr(-abs(z))),
        f"ci_lower{suffix}": value - width,
        f"ci_upper{suffix}": value + width,
    }


def _group_paths(fit: FitResult, number: int) -> tuple[_Paths, _Paths]:
    """Return the path coefficients of a group, raw and completely standardised."""
    table = fit.parameters
    chosen = ((table["op"] == "~") & (table["group"] == number)).to_numpy()
    rows = table[chosen]
    names = tuple(dict.fromkeys([*rows["rhs"], *rows["lhs"]]))
    position = {name: i for i, name in enumerate(names)}
    m, n = len(names), len(rows)
    edges = np.zeros((m, m), dtype=bool)
    beta, beta_std = np.zeros((m, m)), np.zeros((m, m))
    where = np.full((m, m), -1, dtype=np.intp)
    jacobian = np.zeros((n, fit.n_free))
    estimates = rows["est"].to_numpy(dtype=float)
    standardized = rows["std_all"].to_numpy(dtype=float)
    for k, (lhs, rhs, free) in enumerate(
        zip(rows["lhs"], rows["rhs"], rows["free"].to_numpy(dtype=int), strict=True)
    ):
        i, j = position[lhs], position[rhs]
        # A path fixed to zero is no path.
        edges[i, j] = free > 0 or estimates[k] != 0.0
        beta[i, j], beta_std[i, j] = estimates[k], standardized[k]
        where[i, j] = k
        if free > 0:
            jacobian[k, free - 1] = 1.0
    jacobian_std = np.asarray(fit.standardized_jacobian("all"))[np.flatnonzero(chosen)]
    return (
        _Paths(names, edges, beta, where, jacobian, np.flatnonzero(chosen)),
        _Paths(names, edges, beta_std, where, jacobian_std, np.flatnonzero(chosen)),
    )


def _pair_rows(
    raw: _Paths, std: _Paths, vcov: Array, source: int, target: int, level: float, cyclic: bool
) -> Iterator[tuple[dict[str, Any], Path]]:
    """Rows of one pair of variables, each with its path."""
    names = raw.names
    head = {"source": names[source], "target": names[target]}

    def row(
        kind: str, path: Path, values: tuple[float, float], slopes: tuple[Array, Array]
    ) -> tuple[dict[str, Any], Path]:
        columns = {
            **head,
            "kind": kind,
            "path": " -> ".join(names[i] for i in path),
            **_effect(values[0], slopes[0], raw, vcov, level, ""),
            **_effect(values[1], slopes[1], std, vcov, level, "_std"),
        }
        return columns, path

    ends = (source, target)
    direct = bool(raw.edges[target, source])
    one = np.zeros_like(raw.beta)
    one[target, source] = 1.0
    if direct:
        yield row("direct", ends, (raw.beta[target, source], std.beta[target, source]), (one, one))
    totals, slopes = [], []
    for paths in (raw, std):
        totals.append(float(total_effects(paths.beta)[target, source]))
        slopes.append(total_effects_gradient(paths.beta, target, source))
    longer = [p for p in simple_paths(raw.edges, source, target) if len(p) > 2]
    if longer and not cyclic:
        for path in longer:
            products = [
                float(np.prod([b.beta[s] for s in zip(path[1:], path[:-1], strict=True)]))
                for b in (raw, std)
            ]
            gradients = (path_gradient(raw.beta, path), path_gradient(std.beta, path))
            yield row("specific", path, (products[0], products[1]), gradients)
    if longer or (cyclic and direct):
        indirect = [t - b.beta[target, source] for t, b in zip(totals, (raw, std), strict=True)]
        yield row("indirect", ends, (indirect[0], indirect[1]), (slopes[0] - one, slopes[1] - one))
    yield row("total", ends, (totals[0], totals[1]), (slopes[0], slopes[1]))


@dataclass(frozen=True)
class _EffectDraws:
    """Effects of one pair of variables as functions of the rows of the parameter table."""

    paths: _Paths
    effects: tuple[tuple[str, Path], ...]

    def __call__(self, values: Array) -> Array:
        """Effects, shape (B, n effects), of rows, shape (B, n rows)."""
        m = len(self.paths.names)
        beta = np.zeros((len(values), m, m))
        to, start = np.nonzero(self.paths.rows >= 0)
        beta[:, to, start] = values[:, self.paths.place[self.paths.rows[to, start]]]
        totals = total_effects(beta)
        out = np.empty((len(values), len(self.effects)))
        for k, (kind, path) in enumerate(self.effects):
            source, target = path[0], path[-1]
            if kind in ("direct", "specific"):
                out[:, k] = beta[:, path[1:], path[:-1]].prod(axis=1)
            else:
                out[:, k] = totals[:, target, source]
                if kind == "indirect":
                    out[:, k] -= beta[:, target, source]
        return out


def _resample(
    found: list[tuple[dict[str, Any], Path]],
    paths: _Paths,
    bootstrap: Bootstrap,
    interval: Interval,
    level: float,
) -> None:
    """Put the spread and intervals of the draws in the place of the delta method's."""
    function = _EffectDraws(paths, tuple((row["kind"], path) for row, path in found))
    metrics: tuple[tuple[Literal["raw", "all"], str], ...] = (("raw", ""), ("all", "_std"))
    for metric, suffix in metrics:
        drawn = bootstrap.derived(function, interval, metric=metric, level=level)
        for (row, _), se, low, high in zip(
            found, drawn["se"], drawn["ci_lower"], drawn["ci_upper"], strict=True
        ):
            z = row[f"est{suffix}"] / se if se > 0.0 else float("nan")
            values = {"se": se, "z": z, "p": float(2.0 * ndtr(-abs(z)))}
            values |= {"ci_lower": low, "ci_upper": high}
            row.update({f"{name}{suffix}": value for name, value in values.items()})


def _selected(
    fit: FitResult, names: tuple[str, ...], given: str | None, what: str
) -> tuple[int, ...]:
    if given is None:
        return tuple(range(len(names)))
    if given not in names:
        known = given in fit.latents or given in fit.observed
        reason = "takes part in no regression" if known else "is not in the model"
        raise OptionError(
            f"{what}={given!r} {reason}.", remedy=f"Choose one of: {', '.join(names)}."
        )
    return (names.index(given),)


def estimate_effects(
    fit: FitResult,
    source: str | None = None,
    target: str | None = None,
    *,
    level: float = 0.95,
    bootstrap: Bootstrap | None = None,
    interval: Interval = "percentile",
) -> Effects:
    """Split the effects between the variables of a model into direct and indirect ones.

    Parameters
    ----------
    fit : FitResult
        A fitted model with at least one regression (``~``). The paths are its regressions,
        between latent or observed variables; loadings are not paths.
    source, target : str, optional
        Only effects of, or on, this variable. All of them by default.
    level : float
        Coverage of the intervals. Without `bootstrap` they are symmetric (normal theory, delta
        method), which fits the skewed distribution of a product of coefficients badly.
    bootstrap : Bootstrap, optional
        Of this fit, from :func:`bootstrap_fit` or :func:`draw_estimates`: standard errors are
        then standard deviations of the effects over its draws, with z and p from them, and the
        intervals are of the kind `interval`. Where p and interval disagree, the interval is
        the one to go by.
    interval : {"percentile", "basic", "normal", "bias_corrected", "bca"}
        Kind of bootstrap interval.

    Returns
    -------
    Effects
        In a model with a feedback loop there are no specific effects, and total ones only
        where they converge; diagnostics say so.

    Raises
    ------
    OptionError
        No regression in the model, an unknown variable, a level outside (0, 1), or draws of
        another fit.

    References
    ----------
    Sobel (1982); Bollen (1987); Bollen & Stine (1990).
    """
    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try level=0.95.")
    if not (fit.parameters["op"] == "~").any():
        raise OptionError(
            "The model has no regressions, so there are no effects to estimate.",
            remedy="Add paths to the model text, e.g. SAT ~ SQ.",
        )
    if bootstrap is not None and bootstrap.fit is not fit:
        raise OptionError(
            "bootstrap= holds draws of another fit.", remedy="Draw from this one: bootstrap_fit."
        )
    vcov = fit.vcov.to_numpy(dtype=float)
    rows: list[dict[str, Any]] = []
    diagnostics: list[Diagnostic] = []
    for number, label in enumerate(fit.group_labels, start=1):
        raw, std = _group_paths(fit, number)
        sources = _selected(fit, raw.names, source, "source")
        targets = _selected(fit, raw.names, target, "target")
        cyclic = has_cycle(raw.edges)
        if cyclic:
            diagnostics.append(Diagnostic("feedback_loop", "info", (str(label),)))
            if np.isnan(total_effects(raw.beta)).any():
                diagnostics.append(Diagnostic("feedback_loop_diverges", "warning", (str(label),)))
        reachable = _reachable(raw.edges)
        for j in sources:
            for i in targets:
                if i != j and reachable[i, j]:
                    found = list(_pair_rows(raw, std, vcov, j, i, level, cyclic))
                    if bootstrap is not None:
                        _resample(found, raw, bootstrap, interval, level)
                    rows.extend({"group": str(label), **row} for row, _ in found)
    if not rows:
        raise OptionError(
            f"No path leads from {source!r} to {target!r}.",
            remedy="Ask for a pair that the regressions of the model connect.",
        )
    frame = pd.DataFrame(rows)
    if len(fit.group_labels) == 1:
        frame = frame.drop(columns="group")
    return Effects(frame, level, tuple(diagnostics))


def _reachable(edges: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    reach = edges.copy()
    for k in range(edges.shape[0]):
        reach |= np.outer(reach[:, k], reach[k])
    return reach
