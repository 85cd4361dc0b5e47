"""Hypotheses put to the test: a test, an interval, an effect size and a verdict for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtr, ndtri

from sqvalid.display import Result, Table
from sqvalid.effects import has_cycle, total_effects
from sqvalid.errors import Diagnostic, InputError, OptionError
from sqvalid.hypotheses.equivalence import reversible_arrows
from sqvalid.hypotheses.reading import Hypothesis, resolve_name
from sqvalid.hypotheses.verdicts import COLUMNS, VERDICTS, Finding, holm_adjusted, judged
from sqvalid.latent.bootstrap import Bootstrap, draw_estimates
from sqvalid.latent.implied import Array
from sqvalid.latent.parameter_tests import wald_statistic
from sqvalid.latent.result import FitResult

__all__ = ["HypothesisTests", "judge_hypotheses"]


@dataclass(frozen=True, repr=False, eq=False)
class HypothesisTests(Result):
    """What the data say about each hypothesis.

    Made by :func:`judge_hypotheses`.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per hypothesis (and group, where a model has several): ``id group statement family
        kind test estimate se level ci_lower ci_upper std_estimate std_ci_lower std_ci_upper p
        p_adjusted verdict reason about``. Paths, correlations and indirect effects are estimated
        unstandardised with their standardised value beside them; comparisons and regions of
        equivalence are in standardised units. ``level`` is the coverage of the interval: 1 - 2
        alpha where equivalence is tested. ``p_adjusted`` is Holm's within the family. ``about``
        names what the reason speaks of.
    alpha : float
        Error rate within a family.
    diagnostics : tuple of Diagnostic

    Notes
    -----
    *supported*: the test rejects, in the direction claimed, after the adjustment; for an
    equivalence, both one-sided tests reject. *contradicted*: it rejects in the other direction,
    or the interval lies outside the region. *not supported*: no rejection, and either no
    smallest effect of interest was declared or the interval excludes it. *undecided*: no
    rejection, and the interval includes effects of interest. *not testable*: the model, or what
    it rests on, does not allow the question.
    """

    frame: pd.DataFrame
    alpha: float = 0.05
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        counts = self.frame["verdict"].value_counts()
        told = [f"{counts[v]} {v.replace('_', ' ')}" for v in VERDICTS if v in counts]
        return f"{self.frame['id'].nunique()} hypotheses: " + ", ".join(told)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per hypothesis; see `frame`."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """The verdicts with their tests."""
        shown = [name for name in COLUMNS if name in self.frame.columns and name != "about"]
        return (Table(self.frame[shown], formats={"p": "p", "p_adjusted": "p"}),)

    def _payload(self) -> Mapping[str, Any]:
        return {"table": self.frame, "alpha": self.alpha}


class _Rows:
    """Parameters of one group of a fit, found by what they are."""

    def __init__(self, fit: FitResult, number: int) -> None:
        self.fit, self.number = fit, number
        table = fit.parameters
        self.table = table
        self.place = {
            (str(lhs), str(op), str(rhs)): i
            for i, (lhs, op, rhs, group) in enumerate(
                zip(table["lhs"], table["op"], table["rhs"], table["group"], strict=True)
            )
            if group == number
        }
        self.free = table["free"].to_numpy(dtype=int)
        self.vcov = fit.vcov.to_numpy(dtype=float)
        self.standard = fit.standardized_jacobian("all")
        self.names = tuple(
            dict.fromkeys(
                name for lhs, op, rhs in self.place if op in ("~", "=~") for name in (lhs, rhs)
            )
        )

    def path(self, source: str, target: str) -> int | None:
        """Row of a regression, or of a loading where the target is an indicator."""
        row = self.place.get((target, "~", source))
        return self.place.get((source, "=~", target)) if row is None else row

    def covariance(self, a: str, b: str) -> int | None:
        row = self.place.get((a, "~~", b))
        return self.place.get((b, "~~", a)) if row is None else row

    def predictors(self, target: str) -> set[str]:
        return {rhs for lhs, op, rhs in self.place if op == "~" and lhs == target} | {
            lhs for lhs, op, rhs in self.place if op == "=~" and rhs == target
        }

    def contrast(self, weights: Mapping[int, float], *, standardised: bool) -> tuple[float, Array]:
        """A weighted sum of rows and its gradient by the free parameters."""
        column = self.table["std_all" if standardised else "est"].to_numpy(dtype=float)
        gradient = np.zeros(self.fit.n_free)
        value = 0.0
        for row, weight in weights.items():
            value += weight * column[row]
            if standardised:
                gradient += weight * self.standard[row]
            elif self.free[row] > 0:
                gradient[self.free[row] - 1] += weight
        return value, gradient

    def se(self, gradient: Array) -> float:
        variance = float(gradient @ self.vcov @ gradient)
        return math.sqrt(variance) if variance > 0.0 else math.nan

    def regressions(self) -> list[int]:
        return [row for (_, op, _), row in self.place.items() if op == "~" and self.free[row] > 0]


def _interval(value: float, se: float, level: float) -> tuple[float, float]:
    width = float(ndtri((1.0 + level) / 2.0)) * se
    return value - width, value + width


def _two_sided(value: float, se: float) -> float:
    return float(2.0 * ndtr(-abs(value / se))) if se > 0.0 else math.nan


def judge_hypotheses(
    hypotheses: Sequence[Hypothesis],
    fit: FitResult,
    *,
    names: Mapping[str, str] | None = None,
    groups: Mapping[str, FitResult | str] | None = None,
    alpha: float = 0.05,
    blocked: str = "",
    draws: Bootstrap | None = None,
    seed: int = 20261122,
) -> HypothesisTests:
    """Test hypotheses on a fitted model and judge them.

    Parameters
    ----------
    hypotheses : sequence of Hypothesis
        From :func:`read_hypotheses`.
    fit : FitResult
        The structural model.
    names : mapping of str to str, optional
        What the hypotheses call the variables of the model: words to variable.
    groups : mapping of str to FitResult or str, optional
        For hypotheses about groups: column to a fit of the model in its groups with equal
        loadings, so that paths are in the same units; or to the reason why there is none:
        ``"loadings_differ"``, ``"groups_failed"``.
    alpha : float
        Error rate within a family of hypotheses.
    blocked : str
        Link of the chain of verdicts that failed: every hypothesis is then not testable for
        this reason, its numbers shown all the same. An inadmissible fit blocks by itself.
    draws : Bootstrap, optional
        For indirect effects, of this fit, from :func:`sqvalid.bootstrap_fit`. By default Monte
        Carlo draws from the covariance of the estimates.
    seed : int
        Of the Monte Carlo draws.

    Returns
    -------
    HypothesisTests

    Raises
    ------
    InputError
        A construct that is not in the model.
    OptionError
        A level outside (0, .5), draws of another fit, two hypotheses with the same id.

    References
    ----------
    Holm (1979); two one-sided tests: Schuirmann (1987); Monte Carlo intervals: MacKinnon,
    Lockwood & Williams (2004), Preacher & Selig (2012).
    """
    if not 0.0 < alpha < 0.5:
        raise OptionError(f"alpha={alpha!r} must lie between 0 and .5.", remedy="Try alpha=0.05.")
    ids = [h.id for h in hypotheses]
    if len(set(ids)) < len(ids):
        raise OptionError("Two hypotheses have the same id.", remedy="Number them H1, H2, ...")
    if draws is not None and draws.fit is not fit:
        raise OptionError("draws= belong to another fit.", remedy="Draw from this one.")
    names = names or {}
    if not blocked and not fit.admissible:
        blocked = "solution"
    drawn: list[Bootstrap] = [] if draws is None else [draws]

    def get_draws() -> Bootstrap:
        if not drawn:
            drawn.append(draw_estimates(fit, seed=seed))
        return drawn[0]

    findings: list[Finding] = []
    for hypothesis in hypotheses:
        if hypothesis.kind == "groups":
            findings.append(_across_groups(hypothesis, fit, names, groups or {}, alpha))
            continue
        for number, label in enumerate(fit.group_labels, start=1):
            rows = _Rows(fit, number)
            finding = Finding(hypothesis, str(label))
            findings.append(finding)
            pairs = [
                tuple(resolve_name(w, rows.names, names, key=hypothesis.id) for w in path)
                for path in hypothesis.paths
                if hypothesis.kind != "moderation"
            ]
            if not fit.converged:
                finding.blocked = "link_solution"
            elif hypothesis.kind == "moderation":
                finding.blocked = "needs_interaction"
            else:
                _measure(finding, rows, pairs, names, alpha, get_draws)
    for finding in findings:
        finding.blocked = finding.blocked or (f"link_{blocked}" if blocked else "")
    return HypothesisTests(judged(findings, alpha, several=len(fit.group_labels) > 1), alpha)


# --- one hypothesis ----------------------------------------------------------------------


def _measure(
    finding: Finding,
    rows: _Rows,
    paths: list[tuple[str, ...]],
    names: Mapping[str, str],
    alpha: float,
    get_draws: Callable[[], Bootstrap],
) -> None:
    """Fill in the numbers of a hypothesis about one group."""
    kind = finding.hypothesis.kind
    if kind in ("path", "equivalence"):
        source, target = paths[0]
        given = [
            resolve_name(word, rows.names, names, key=finding.hypothesis.id)
            for word in finding.hypothesis.given
        ]
        absent = [name for name in given if name not in rows.predictors(target)]
        row = rows.path(source, target)
        if row is None or (rows.free[row] == 0 and not rows.standard[row].any()):
            finding.blocked = _no_path(rows, source, target)
            finding.about = f"{source} -> {target}"
        elif absent:
            finding.blocked, finding.about = "not_controlled", ", ".join(absent)
        elif kind == "path":
            _direct(finding, rows, row, alpha)
        else:
            _near_zero(finding, rows, {row: 1.0}, alpha)
    elif kind == "correlation":
        row = rows.covariance(*paths[0])
        if row is None or (rows.free[row] == 0 and not rows.standard[row].any()):
            finding.blocked, finding.about = "no_path", " <-> ".join(paths[0])
        else:
            _direct(finding, rows, row, alpha)
    elif kind == "mediation":
        _mediated(finding, rows, paths[0], alpha, get_draws)
    elif kind == "comparison":
        places = [rows.path(*pair) for pair in paths]
        for place, pair in zip(places, paths, strict=True):
            if place is None:
                finding.blocked, finding.about = "no_path", " -> ".join(pair)
                return
        _difference(finding, rows, places, alpha)  # type: ignore[arg-type]
    else:
        _strongest(finding, rows, paths[0], alpha)


def _no_path(rows: _Rows, source: str, target: str) -> str:
    """Why a path cannot be tested: turned round in an equivalent model, or just not there."""
    turned = (target, source) in reversible_arrows(_arrows(rows))
    return "equivalent_model" if turned else "no_path"


def _arrows(rows: _Rows) -> list[tuple[str, str]]:
    """Arrows of a recursive model; none where disturbances covary or there is a loop."""
    estimates = rows.table["est"].to_numpy(dtype=float)

    def is_there(row: int) -> bool:
        return bool(rows.free[row] > 0 or estimates[row] != 0.0)

    paths = [
        (rhs, lhs) for (lhs, op, rhs), row in rows.place.items() if op == "~" and is_there(row)
    ]
    outcomes = {effect for _, effect in paths}
    variables = {name for path in paths for name in path}
    pairs = [
        (lhs, rhs)
        for (lhs, op, rhs), row in rows.place.items()
        if op == "~~" and lhs != rhs and {lhs, rhs} <= variables and is_there(row)
    ]
    order = {name: i for i, name in enumerate(variables)}
    edges = np.zeros((len(order), len(order)), dtype=bool)
    for cause, effect in paths:
        edges[order[effect], order[cause]] = True
    if has_cycle(edges) or any(outcomes & set(pair) for pair in pairs):
        return []
    # Exogenous variables in one order: their arrows make no loop.
    return [*paths, *((min(pair), max(pair)) for pair in pairs)]


def _direct(finding: Finding, rows: _Rows, row: int, alpha: float) -> None:
    """A coefficient against zero, with its standardised value."""
    value, gradient = rows.contrast({row: 1.0}, standardised=False)
    finding.test, finding.level = "wald", 1.0 - alpha
    std, slope = rows.contrast({row: 1.0}, standardised=True)
    std_se = rows.se(slope)
    finding.estimate, finding.se = value, rows.se(gradient)
    finding.std = (std, *_interval(std, std_se, 1.0 - alpha))
    finding.regions = [_interval(std, std_se, 1.0 - 2.0 * alpha)]
    if rows.free[row] == 0:
        # The metric was set by this coefficient: only its standardised value varies.
        finding.test, finding.estimate, finding.se = "wald_standardised", std, std_se
    finding.ci = _interval(finding.estimate, finding.se, 1.0 - alpha)
    finding.p = _two_sided(finding.estimate, finding.se)


def _near_zero(finding: Finding, rows: _Rows, weights: Mapping[int, float], alpha: float) -> None:
    """Two one-sided tests against the bounds, standardised."""
    value, gradient = rows.contrast(weights, standardised=True)
    se, bound = rows.se(gradient), finding.hypothesis.bound
    finding.test, finding.estimate, finding.se = "equivalence", value, se
    finding.level, finding.ci = 1.0 - 2.0 * alpha, _interval(value, se, 1.0 - 2.0 * alpha)
    finding.std = (value, *finding.ci)
    finding.regions = [finding.ci]
    finding.p = float(ndtr((abs(value) - bound) / se)) if se > 0.0 else math.nan


def _mediated(
    finding: Finding,
    rows: _Rows,
    chain: tuple[str, ...],
    alpha: float,
    get_draws: Callable[[], Bootstrap],
) -> None:
    """The effect of source on target that runs through the mediator."""
    source, mediator, target = chain
    paths = [(lhs, rhs, row) for (lhs, op, rhs), row in rows.place.items() if op == "~"]
    order = list(dict.fromkeys([*chain, *(name for lhs, rhs, _ in paths for name in (lhs, rhs))]))
    to = np.array([order.index(lhs) for lhs, _, _ in paths], dtype=np.intp)
    start = np.array([order.index(rhs) for _, rhs, _ in paths], dtype=np.intp)
    places = np.array([row for _, _, row in paths], dtype=np.intp)

    def through(values: Array) -> Array:
        beta = np.zeros((len(values), len(order), len(order)))
        beta[:, to, start] = values[:, places]
        without = beta.copy()
        without[:, 1, :] = without[:, :, 1] = 0.0
        there, rest = total_effects(beta)[:, 2, 0], total_effects(without)[:, 2, 0]
        return np.asarray((there - rest)[:, None])

    reach = np.zeros((len(order), len(order)), dtype=bool)
    reach[to, start] = True
    for _ in order:
        reach |= (reach.astype(int) @ reach.astype(int)) > 0
    if not (reach[1, 0] and reach[2, 1]):
        a_missing = not reach[1, 0]
        a, b = (source, mediator) if a_missing else (mediator, target)
        finding.blocked, finding.about = _no_path(rows, a, b), f"{a} -> {b}"
        return
    draws = get_draws()
    raw = draws.derived(through, level=1.0 - alpha)
    std = draws.derived(through, metric="all", level=1.0 - alpha)
    near = draws.derived(through, metric="all", level=1.0 - 2.0 * alpha)
    finding.test, finding.level = draws.method, 1.0 - alpha
    finding.estimate, finding.se = float(raw["est"].iloc[0]), float(raw["se"].iloc[0])
    finding.ci = (float(raw["ci_lower"].iloc[0]), float(raw["ci_upper"].iloc[0]))
    finding.std = tuple(float(std[c].iloc[0]) for c in ("est", "ci_lower", "ci_upper"))  # type: ignore[assignment]
    finding.regions = [(float(near["ci_lower"].iloc[0]), float(near["ci_upper"].iloc[0]))]
    values = through(draws.draws().to_numpy())[:, 0]
    values = values[np.isfinite(values)]
    # The share of draws beyond zero cannot be told from none below one in their number.
    share = min(np.mean(values <= 0.0), np.mean(values >= 0.0)) if len(values) else math.nan
    finding.p = float(np.clip(2.0 * share, 2.0 / max(len(values), 2), 1.0))


def _difference(finding: Finding, rows: _Rows, places: Sequence[int], alpha: float) -> None:
    """One standardised path less another."""
    first, second = places
    if first == second:
        raise InputError(
            f"Hypothesis {finding.hypothesis.id!r} compares a path with itself.",
            remedy="Name two different paths.",
        )
    value, gradient = rows.contrast({first: 1.0, second: -1.0}, standardised=True)
    se = rows.se(gradient)
    finding.test, finding.estimate, finding.se = "difference", value, se
    finding.level, finding.ci = 1.0 - alpha, _interval(value, se, 1.0 - alpha)
    finding.std = (value, *finding.ci)
    finding.regions = [_interval(value, se, 1.0 - 2.0 * alpha)]
    finding.p = _two_sided(value, se)


def _strongest(finding: Finding, rows: _Rows, pair: tuple[str, ...], alpha: float) -> None:
    """A path against every other path into (or loading on) the same variable.

    What is reported is the smallest of the differences; all of them must be positive, each
    tested with Holm's adjustment among them.
    """
    champion, target = pair
    # Paths into a factor are not held against the loadings of its own items.
    op = "~" if (target, "~", champion) in rows.place else "=~"
    rivals = {
        rhs: row for (lhs, sign, rhs), row in rows.place.items() if (lhs, sign) == (target, op)
    }
    if champion not in rivals or len(rivals) < 2:
        finding.blocked, finding.about = "no_path", f"{champion} -> {target}"
        return
    own = rivals.pop(champion)
    found = []
    for name, row in rivals.items():
        value, gradient = rows.contrast({own: 1.0, row: -1.0}, standardised=True)
        se = rows.se(gradient)
        found.append((value, se, _two_sided(value, se), name))
    adjusted = holm_adjusted([entry[2] for entry in found])
    # The hardest rival: the least favourable adjusted test decides.
    least = min(range(len(found)), key=lambda i: found[i][0] / found[i][1])
    value, se, _, name = found[least]
    finding.test, finding.estimate, finding.se = "difference", value, se
    finding.level, finding.ci = 1.0 - alpha, _interval(value, se, 1.0 - alpha)
    finding.std = (value, *finding.ci)
    finding.regions = [_interval(value, se, 1.0 - 2.0 * alpha)]
    finding.p, finding.about = float(adjusted[least]), f"{champion} - {name}"


def _across_groups(
    hypothesis: Hypothesis,
    fit: FitResult,
    names: Mapping[str, str],
    groups: Mapping[str, FitResult | str],
    alpha: float,
) -> Finding:
    """Paths of several groups against each other."""
    finding = Finding(hypothesis, "")
    known = _Rows(fit, 1).names
    wanted = [
        tuple(resolve_name(w, known, names, key=hypothesis.id) for w in path)
        for path in hypothesis.paths
    ]
    grouped = groups.get(hypothesis.group)
    if grouped is None or isinstance(grouped, str) or not grouped.admissible:
        finding.about = hypothesis.group
        finding.blocked = "groups_inadmissible"
        if grouped is None or isinstance(grouped, str):
            finding.blocked = grouped or "no_groups"
        return finding
    parts = [_Rows(grouped, g) for g in range(1, len(grouped.group_labels) + 1)]
    if wanted:
        chosen = [[rows.path(*pair) for pair in wanted] for rows in parts]
    else:
        chosen = [list(rows.regressions()) for rows in parts]
    if not chosen[0] or any(row is None for rows in chosen for row in rows):
        finding.blocked = "no_path"
        finding.about = " -> ".join(wanted[0]) if wanted else hypothesis.statement
        return finding
    values, slopes = [], []
    for a, b in combinations(range(len(parts)), 2):
        for left, right in zip(chosen[a], chosen[b], strict=True):
            weights = {int(left): 1.0, int(right): -1.0}  # type: ignore[arg-type]
            if a == 0:
                # Differences from the first group span all the others.
                value, gradient = parts[0].contrast(weights, standardised=False)
                values.append(value)
                slopes.append(gradient)
            std, slope = parts[0].contrast(weights, standardised=True)
            finding.regions.append(_interval(std, parts[0].se(slope), 1.0 - 2.0 * alpha))
            if math.isnan(finding.std[0]) or abs(std) > abs(finding.std[0]):
                finding.std = (std, *finding.regions[-1])
    stat, df = wald_statistic(np.array(values), np.array(slopes), parts[0].vcov)
    finding.test, finding.level = "wald_groups", 1.0 - 2.0 * alpha
    finding.estimate, finding.ci = finding.std[0], (finding.std[1], finding.std[2])
    finding.p, finding.about = float(chdtrc(df, stat)), f"W({df}) = {stat:.3f}"
    return finding
