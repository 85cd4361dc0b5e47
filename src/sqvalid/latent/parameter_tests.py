"""Wald and score tests: what a constraint would cost, and what releasing one would gain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sqvalid.display import Result, Table, format_number, format_p
from sqvalid.errors import Diagnostic, EstimationError, ModelError, OptionError, UnsupportedError
from sqvalid.latent.absolute_fit import chisq_pvalue
from sqvalid.latent.constraints import Functions, make_functions, named_values, tangent_basis
from sqvalid.latent.difference_tests import moment_score_covariance
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.inference import information_matrix
from sqvalid.latent.options import SANDWICHES
from sqvalid.latent.parameter_table import ParameterTable, Row
from sqvalid.latent.problem import make_problem, structure_of
from sqvalid.latent.result import FitResult
from sqvalid.latent.syntax import Binary, Constraint, inline_definitions, parse_model

# Relative size under which an eigenvalue counts as zero.
_RANK = 1e-9


@dataclass(frozen=True, repr=False, eq=False)
class WaldTest(Result):
    """Wald test of constraints on an unconstrained fit.

    Parameters
    ----------
    stat : float
        Chi-square.
    df : int
        Constraints that do not follow from each other.
    p : float
    constraints : pandas.DataFrame
        Per constraint: constraint, value (left side less right side), se.
    robust : bool
        Whether the sandwich covariance of the estimates was used.
    """

    stat: float
    df: int
    p: float
    constraints: pd.DataFrame
    robust: bool

    def _headline(self) -> str:
        return f"chi-square {format_number(self.stat)} on {self.df} df, p {format_p(self.p)}"

    def to_frame(self) -> pd.DataFrame:
        """The constraints and by how much the estimates miss them."""
        return self.constraints.copy()

    def _payload(self) -> Mapping[str, Any]:
        return {
            "stat": self.stat,
            "df": self.df,
            "p": self.p,
            "robust": self.robust,
            "constraints": self.constraints,
        }


@dataclass(frozen=True, repr=False, eq=False)
class ScoreTest(Result):
    """Score (Lagrange multiplier) test of constraints of a fit.

    Parameters
    ----------
    total : pandas.DataFrame
        test, chisq, df, p of releasing everything at once. ``score`` is the normal-theory
        test; after robust standard errors also ``score.scaled`` and ``score.adjusted`` (first
        and second moment corrected) and ``score.robust`` (generalised).
    univariate : pandas.DataFrame
        constraint, chisq, df, p of releasing each by itself, the others kept; also chisq_scaled
        and p_scaled after robust standard errors.
    changes : pandas.DataFrame
        lhs, op, rhs, group, est, epc (expected parameter change when everything is released)
        and epv (the expected value).
    n_constraints : int
        How many were released; more than df where the released model is not identified.
    diagnostics : tuple of Diagnostic
    """

    total: pd.DataFrame
    univariate: pd.DataFrame
    changes: pd.DataFrame
    n_constraints: int
    diagnostics: tuple[Diagnostic, ...]

    @property
    def stat(self) -> float:
        """Normal-theory chi-square of releasing everything."""
        return float(self.total["chisq"].iloc[0])

    @property
    def df(self) -> int:
        """Degrees of freedom of `stat`."""
        return int(self.total["df"].iloc[0])

    @property
    def p(self) -> float:
        """Upper tail of `stat`."""
        return float(self.total["p"].iloc[0])

    def _headline(self) -> str:
        return (
            f"{self.n_constraints} released: chi-square {format_number(self.stat)} on "
            f"{self.df} df, p {format_p(self.p)}"
        )

    def to_frame(self) -> pd.DataFrame:
        """The univariate tests, or the total one when these were not asked for."""
        return (self.univariate if len(self.univariate) else self.total).copy()

    def tables(self) -> tuple[Table, ...]:
        """The total test, then one constraint at a time."""
        out = [Table(self.total, formats={"p": "p"})]
        if len(self.univariate):
            shown = {name: "p" for name in ("p", "p_scaled") if name in self.univariate}
            out.append(Table(self.univariate, formats=shown))
        return tuple(out)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "total": self.total,
            "univariate": self.univariate,
            "changes": self.changes,
            "n_constraints": self.n_constraints,
        }


def _parse(constraints: str | Sequence[str]) -> tuple[Constraint, ...]:
    text = constraints if isinstance(constraints, str) else "\n".join(constraints)
    spec = parse_model(text)
    if spec.terms or spec.definitions or not spec.constraints:
        raise ModelError(
            f"Only constraints are expected here, not {text!r}.",
            remedy="Write them with labels, as in 'a == b'.",
        )
    unequal = [item for item in spec.constraints if item.op != "=="]
    if unequal:
        item = unequal[0]
        raise UnsupportedError(
            f"{item.left_text} {item.op} {item.right_text} is an inequality, which this test "
            "does not know.",
            remedy="Test the equality and look at the sign of the difference.",
        )
    return spec.constraints


def _gaps(estimate: Estimate, constraints: Sequence[Constraint]) -> Functions:
    """Left sides less right sides as functions of the free parameters."""
    table = estimate.problem.table
    expressions = inline_definitions(
        table.definitions, [Binary("-", item.left, item.right) for item in constraints]
    )
    known = named_values(table, estimate.problem.fixed_values)
    return make_functions(expressions, known, table.n_free)


def _text(constraint: Constraint) -> str:
    return f"{constraint.left_text} == {constraint.right_text}"


def _require_converged(fit: FitResult) -> None:
    if not fit.converged:
        raise EstimationError(
            "The fit did not converge, so its estimates cannot be tested.",
            remedy="See the diagnostics of the fit.",
        )


def wald_statistic(values: Array, jacobian: Array, vcov: Array) -> tuple[float, int]:
    r"""Wald statistic and its degrees of freedom.

    .. math:: W = h' (H V H')^{+} h

    Parameters
    ----------
    values : ndarray, shape (m,)
        The constraints' left sides less their right sides, h.
    jacobian : ndarray, shape (m, q)
        Their derivatives, H.
    vcov : ndarray, shape (q, q)
        Covariance of the estimates, V.

    Returns
    -------
    stat : float
        Infinite where `values` miss a combination of constraints that cannot vary.
    df : int
        Rank of H V H'.

    References
    ----------
    Wald (1943), Transactions of the American Mathematical Society 54.
    """
    covariance = jacobian @ vcov @ jacobian.T
    # Relative to what the constraints' parameters vary by, so that units do not matter.
    scale = np.sqrt(np.einsum("ij,j->i", jacobian**2, np.diag(vcov)))
    scale = np.where(scale > 0, scale, 1.0)
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    part = vectors.T @ (values / scale)
    kept = eigenvalues > _RANK
    if (np.abs(part[~kept]) > 1e-6).any():
        return math.inf, int(kept.sum())
    return float((part[kept] ** 2 / eigenvalues[kept]).sum()), int(kept.sum())


def wald_test(fit: FitResult, constraints: str | Sequence[str]) -> WaldTest:
    """Test constraints on the parameters of a fit that was estimated without them.

    Parameters
    ----------
    fit : FitResult
    constraints : str or sequence of str
        In the model language, by labels (or lavaan's plabels ``.p2.``) and defined
        parameters: ``"l2 == l3"``, ``"a*b == 0"``. Several: one per line or item. Non-linear
        ones are linearised at the estimates (delta method).

    Returns
    -------
    WaldTest
        With the robust covariance of the estimates where the fit has one.

    Raises
    ------
    ModelError
        A name that is no label, or constraints that already hold by construction.
    UnsupportedError
        Inequalities; standard errors that do not exist.

    Examples
    --------
    ::

        fit = sq.cfa("f =~ x1 + a*x2 + b*x3 + x4", data)
        sq.wald_test(fit, "a == b")
    """
    _require_converged(fit)
    estimate = fit.estimate
    parsed = _parse(constraints)
    functions = _gaps(estimate, parsed)
    values, slopes = functions.values(estimate.theta), functions.jacobian(estimate.theta)
    vcov = estimate.vcov
    if np.isnan(vcov).any():
        raise UnsupportedError(
            "The fit has no standard errors, which a Wald test needs.",
            remedy="See its diagnostics, or fit with se other than 'none'.",
        )
    variance = np.einsum("ij,jk,ik->i", slopes, vcov, slopes)
    largest = np.einsum("ij,j->i", slopes**2, np.diag(vcov))
    for item, own, whole in zip(parsed, variance, largest, strict=True):
        if own <= _RANK * whole or whole == 0.0:
            raise ModelError(
                f"{_text(item)} cannot be tested: the model leaves nothing in it to vary.",
                remedy="Fit the model without this constraint; score_test tests one it has.",
            )
    stat, df = wald_statistic(values, slopes, vcov)
    frame = pd.DataFrame(
        {
            "constraint": [_text(item) for item in parsed],
            "value": values,
            "se": np.sqrt(variance),
        }
    )
    p = 0.0 if math.isinf(stat) else chisq_pvalue(stat, df)
    return WaldTest(stat, df, p, frame, fit.fit_options.se.startswith("robust"))


@dataclass(frozen=True)
class ScoreStatistics:
    """Score statistics of one set of released constraints.

    Parameters
    ----------
    stat : float
        Normal-theory score statistic.
    df : int
        Directions in parameter space that are gained.
    scaled : float
        Divided by the mean of the weights that non-normality gives.
    adjusted, adjusted_df : float
        Mean and variance adjusted.
    robust : float
        Generalised score statistic.
    """

    stat: float
    df: int
    scaled: float
    adjusted: float
    adjusted_df: float
    robust: float


def _inverse_on(information: Array, tangent: Array) -> tuple[Array, int]:
    """Pseudo-inverse of the information along a tangent, and its rank."""
    reduced = tangent.T @ information @ tangent
    diagonal = np.diag(reduced)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(reduced / np.outer(scale, scale))
    kept = values > _RANK * max(values.max(initial=0.0), 1e-300)
    basis = tangent @ (vectors[:, kept] / scale[:, None])
    return (basis / values[kept]) @ basis.T, int(kept.sum())


def score_statistics(
    gradient: Array,
    information: Array,
    first_order: Array | None,
    kept: Array,
    released: Array,
    n: float,
) -> ScoreStatistics:
    r"""Score statistics of releasing some constraints of a fit.

    With :math:`I^{-}_k` the inverse information along what the constraints k leave, the gain is
    :math:`C = I^{-}_{kept} - I^{-}_{all}`, the statistic :math:`n\,g'Cg`, and its weights
    under non-normality the eigenvalues of CB, B the covariance of the scores.

    Parameters
    ----------
    gradient : ndarray, shape (q,)
        Of the log-likelihood per observation.
    information : ndarray, shape (q, q)
        Expected information per observation; singular where releasing leaves the model
        without identification.
    first_order : ndarray, shape (q, q), optional
        B, the covariance of the scores per observation; without it the corrected statistics
        are NaN.
    kept, released : ndarray, shape (r, q)
        Derivatives of the constraints.
    n : float
        Observations.

    Returns
    -------
    ScoreStatistics

    References
    ----------
    Rao (1948); Satorra (1989), Psychometrika 54; Boos (1992), The American Statistician 46.
    """
    looser, n_looser = _inverse_on(information, tangent_basis(kept))
    tighter, n_tighter = _inverse_on(information, tangent_basis(np.vstack([kept, released])))
    df = n_looser - n_tighter
    stat = n * float(gradient @ looser @ gradient)
    if first_order is None or df == 0:
        return ScoreStatistics(stat, df, *([math.nan] * 4))
    # The scores vanish where the information does, so a pseudo-inverse's freedom there
    # does not reach the traces.
    project = np.eye(len(gradient)) - information @ tighter
    middle = project @ first_order @ project.T
    product = looser @ middle
    first, second = float(np.trace(product)), float(np.einsum("ij,ji->", product, product))
    values, vectors = np.linalg.eigh(looser @ middle @ looser)
    top = np.argsort(values)[len(values) - df :]
    along = vectors[:, top].T @ (looser @ gradient)
    return ScoreStatistics(
        stat=stat,
        df=df,
        scaled=stat * df / first,
        adjusted=stat * first / second,
        adjusted_df=first**2 / second,
        robust=n * float((along**2 / values[top]).sum()),
    )


def _chosen(
    release: Sequence[int | str] | int | str | None,
    estimate: Estimate,
    equalities: Sequence[Constraint],
) -> list[int]:
    """Positions of the constraints to release."""
    if release is None:
        return list(range(len(equalities)))
    items = [release] if isinstance(release, (int, str)) else list(release)
    slopes = _gaps(estimate, equalities).jacobian(estimate.theta)
    out: list[int] = []
    for item in items:
        if isinstance(item, int):
            if not 1 <= item <= len(equalities):
                raise OptionError(
                    f"release={item} is no constraint; they are numbered 1 to {len(equalities)}."
                )
            out.append(item - 1)
            continue
        for wanted in _gaps(estimate, _parse(item)).jacobian(estimate.theta):
            same = [
                i
                for i, slope in enumerate(slopes)
                if np.allclose(slope, wanted) or np.allclose(slope, -wanted)
            ]
            if not same:
                raise ModelError(
                    f"{item!r} is no constraint of the model.",
                    remedy="It has: " + "; ".join(_text(c) for c in equalities),
                )
            out.append(same[0])
    return list(dict.fromkeys(out))


def _extended_table(table: ParameterTable, text: str) -> tuple[ParameterTable, tuple[Row, ...]]:
    """The table with the parameters of `text` free, in every group."""
    spec = parse_model(text)
    if spec.definitions or spec.constraints or not spec.terms:
        raise ModelError(f"add= takes parameters such as 'f =~ x9', not {text!r}.")
    known = {name for group in (*table.observed, *table.latents) for name in group}
    rows = list(table.rows)
    added: list[Row] = []
    for term in spec.terms:
        strange = [name for name in (term.lhs, term.rhs) if name and name not in known]
        if strange:
            raise ModelError(f"add= names {strange[0]!r}, which is no variable of the model.")
        for group in range(1, table.n_groups + 1):
            new = Row(
                term.lhs,
                term.op,
                term.rhs,
                group,
                free=table.n_free + len(added) + 1,
                ustart=0.0,
                plabel=f".add{len(added) + 1}.",
            )
            place = next(
                (i for i, row in enumerate(rows) if (row.key, row.group) == (new.key, group)), None
            )
            if place is None:
                rows.append(new)
            elif rows[place].free:
                raise ModelError(f"add={text!r}: {new.name} is free in the model already.")
            elif rows[place].exo:
                raise ModelError(f"add={text!r}: {new.name} is taken from the sample.")
            else:
                old = rows[place]
                value = 0.0 if old.ustart is None else old.ustart
                new = replace(old, free=new.free, ustart=value)
                rows[place] = new
            added.append(new)
    return replace(table, rows=tuple(rows)), tuple(added)


def score_test(
    fit: FitResult,
    release: Sequence[int | str] | int | str | None = None,
    *,
    univariate: bool = True,
    add: str | None = None,
) -> ScoreTest:
    """Test whether constraints of a fit hold, without fitting it again.

    Parameters
    ----------
    fit : FitResult
    release : int, str, or sequence of them, optional
        Equality constraints to release, numbered from 1 in the order of `fit.constraints` or
        written out (``"a == b"``). All of them when None.
    univariate : bool
        Whether each is also tested by itself.
    add : str, optional
        Instead of releasing constraints: parameters to add, ``"visual =~ x9"`` or
        ``"x1 ~~ x2"``, in every group.

    Returns
    -------
    ScoreTest

    Raises
    ------
    ModelError
        No equality constraints, or parameters that cannot be added.
    UnsupportedError
        Inequality constraints.

    Notes
    -----
    The degrees of freedom are the directions that the released model gains. lavaan counts
    released constraints instead, which are more when the released model is not identified, as
    when loadings and intercepts of two groups are all released.

    References
    ----------
    Sorbom (1989), Psychometrika 54; Satorra (1989), Psychometrika 54.
    """
    _require_converged(fit)
    if fit.fit_options.discrepancy == "ULS":
        raise UnsupportedError("There is no score test for unweighted least squares.")
    if add is not None and release is not None:
        raise OptionError("score_test takes release= or add=, not both.")
    estimate = fit.estimate
    constraints = estimate.problem.constraints
    if constraints.inequalities.n_functions:
        raise UnsupportedError("score_test does not know inequality constraints.")
    items = [item for item in fit.table.constraints if item.op == "=="]
    slopes = _gaps(estimate, items).jacobian(estimate.theta) if items else None
    q = fit.n_free
    if add is not None:
        table, added = _extended_table(fit.table, add)
        problem = make_problem(structure_of(table), fit.moments, estimate.options)
        theta = np.concatenate([estimate.theta, [float(row.ustart or 0.0) for row in added]])
        kept = np.zeros((0 if slopes is None else len(slopes), q + len(added)))
        if slopes is not None:
            kept[:, :q] = slopes
        names = [f"{row.name} == {format_number(row.ustart or 0.0, 0)}" for row in added]
        released = np.eye(q + len(added))[q:]
    else:
        if slopes is None:
            raise ModelError(
                "The model has no equality constraints to release.",
                remedy="Use add= to test parameters that the model leaves out.",
            )
        chosen = _chosen(release, estimate, items)
        table, problem, theta = fit.table, estimate.problem, estimate.theta
        kept = np.delete(slopes, chosen, axis=0)
        released = slopes[chosen]
        names = [_text(items[i]) for i in chosen]
    locals_ = problem.objective.locals(theta)
    if locals_ is None:
        raise EstimationError("The implied covariance matrix is not positive definite.")
    gradient = -problem.objective.gradient(locals_)
    kinds = (problem.objective, locals_, problem.blocks, fit.fit_options.h1_information)
    information = information_matrix("expected", *kinds)
    first_order = None
    if fit.fit_options.se in SANDWICHES:
        first_order = information_matrix("first.order", *kinds)
    elif fit.fit_options.se == "robust.sem":
        first_order = moment_score_covariance(problem, estimate.options, locals_)
    n = problem.multiplier

    total = score_statistics(gradient, information, first_order, kept, released, n)
    each = []
    if univariate:
        for i in range(len(released)):
            rest = np.vstack([kept, np.delete(released, i, axis=0)])
            each.append(
                score_statistics(gradient, information, first_order, rest, released[[i]], n)
            )
    diagnostics = []
    if total.df < len(released):
        diagnostics.append(
            Diagnostic(
                "score_not_identified",
                "warning",
                values={"n_constraints": len(released), "df": total.df},
            )
        )
    looser, _ = _inverse_on(information, tangent_basis(kept))
    return ScoreTest(
        total=_total_frame(total, robust=first_order is not None),
        univariate=_univariate_frame(names, each, robust=first_order is not None),
        changes=_changes(table, theta, looser @ gradient),
        n_constraints=len(released),
        diagnostics=tuple(diagnostics),
    )


def _total_frame(total: ScoreStatistics, *, robust: bool) -> pd.DataFrame:
    rows = [("score", total.stat, float(total.df))]
    if robust:
        rows += [
            ("score.scaled", total.scaled, float(total.df)),
            ("score.adjusted", total.adjusted, total.adjusted_df),
            ("score.robust", total.robust, float(total.df)),
        ]
    frame = pd.DataFrame(rows, columns=["test", "chisq", "df"])
    frame["p"] = [chisq_pvalue(stat, df) for _, stat, df in rows]
    return frame


def _univariate_frame(
    names: Sequence[str], each: Sequence[ScoreStatistics], *, robust: bool
) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "constraint": list(names[: len(each)]),
        "chisq": [one.stat for one in each],
        "df": [one.df for one in each],
        "p": [chisq_pvalue(one.stat, one.df) for one in each],
    }
    if robust:
        columns["chisq_scaled"] = [one.scaled for one in each]
        columns["p_scaled"] = [chisq_pvalue(one.scaled, one.df) for one in each]
    return pd.DataFrame(columns)


def _changes(table: ParameterTable, theta: Array, change: Array) -> pd.DataFrame:
    rows = table.free_rows()
    return pd.DataFrame(
        {
            "lhs": [row.lhs for row in rows],
            "op": [row.op for row in rows],
            "rhs": [row.rhs for row in rows],
            "group": [row.group for row in rows],
            "est": theta,
            "epc": change,
            "epv": theta + change,
        }
    )
