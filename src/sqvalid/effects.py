"""Direct, indirect and total effects along the regressions of a model.

An effect is a function of the path coefficients; its standard error follows by the delta
method from theirs. Effects are associations that the model orders; in a cross-section they
are no evidence of a process in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, OptionError

if TYPE_CHECKING:
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
    beta : ndarray (m, m)
        ``beta[i, j]`` is the direct effect of variable j on variable i.

    Returns
    -------
    ndarray (m, m)
        Same orientation. All NaN when the series B + B^2 + ... does not converge, which
        can only happen with a feedback loop.

    References
    ----------
    Bollen (1987); Bollen (1989), ch. 8.
    """
    m = beta.shape[0]
    if m and np.abs(np.linalg.eigvals(beta)).max() >= 1.0:
        return np.full((m, m), np.nan)
    return np.asarray(np.linalg.solve(np.eye(m) - beta, np.eye(m)) - np.eye(m))


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
        _Paths(names, edges, beta, where, jacobian),
        _Paths(names, edges, beta_std, where, jacobian_std),
    )


def _pair_rows(
    raw: _Paths, std: _Paths, vcov: Array, source: int, target: int, level: float, cyclic: bool
) -> Iterator[dict[str, Any]]:
    names = raw.names
    head = {"source": names[source], "target": names[target]}

    def row(kind: str, path: Path, values: tuple[float, float], slopes: tuple[Array, Array]) -> Any:
        return {
            **head,
            "kind": kind,
            "path": " -> ".join(names[i] for i in path),
            **_effect(values[0], slopes[0], raw, vcov, level, ""),
            **_effect(values[1], slopes[1], std, vcov, level, "_std"),
        }

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
        Coverage of the intervals, which are symmetric (normal theory, delta method). For a
        product of coefficients in a small sample a bootstrap interval is preferable.

    Returns
    -------
    Effects
        In a model with a feedback loop there are no specific effects, and total ones only
        where they converge; diagnostics say so.

    Raises
    ------
    OptionError
        No regression in the model, an unknown variable, or a level outside (0, 1).

    References
    ----------
    Sobel (1982); Bollen (1987).
    """
    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try level=0.95.")
    if not (fit.parameters["op"] == "~").any():
        raise OptionError(
            "The model has no regressions, so there are no effects to estimate.",
            remedy="Add paths to the model text, e.g. SAT ~ SQ.",
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
                    rows.extend(
                        {"group": str(label), **row}
                        for row in _pair_rows(raw, std, vcov, j, i, level, cyclic)
                    )
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
