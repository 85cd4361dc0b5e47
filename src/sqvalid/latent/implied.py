r"""Implied moments of the LISREL all-y model and their derivatives.

.. math:: \Sigma = \Lambda A \Psi A' \Lambda' + \Theta, \qquad
          \mu = \nu + \Lambda A \alpha, \qquad A = (I - B)^{-1}

Every first derivative of :math:`\Sigma` has rank two,
:math:`\partial\Sigma/\partial\theta_i = s_i (c_{a_i} c_{b_i}' + c_{b_i} c_{a_i}')`, with
columns of :math:`C = [I, \Lambda A, \Lambda\Phi]`, :math:`\Phi = A \Psi A'`; and
:math:`\partial\mu/\partial\theta_i = t_i c_{a_i}`. A parameter is therefore four numbers
(a, b, s, t), and gradients, information and Hessians are gathers from small matrices.

Observed variables that take part in regressions become latents without residual here, in
the slots only: the parameter table never sees them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from sqvalid.errors import ModelError
from sqvalid.latent.parameter_table import ParameterTable, Row

Array = NDArray[np.float64]
Index = NDArray[np.intp]
MatrixName = Literal["lambda", "theta", "psi", "beta", "nu", "alpha", "tau", "delta"]
MATRICES: tuple[MatrixName, ...] = (
    "lambda", "theta", "psi", "beta", "nu", "alpha", "tau", "delta",
)  # fmt: skip


class Place(NamedTuple):
    """Where a parameter sits in the matrices; `column` is 0 in a vector."""

    matrix: MatrixName
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Layout:
    """Which names the matrices of one group have.

    Parameters
    ----------
    observed : tuple of str
        Rows of Lambda, p of them.
    factors : tuple of str
        Columns of Lambda, m of them: the latents, then the observed variables that take
        part in regressions.
    n_latents : int
        How many of `factors` are latents of the model.
    thresholds : tuple of str
        The ordered item of each threshold, items in the order of `observed`.
    """

    observed: tuple[str, ...]
    factors: tuple[str, ...]
    n_latents: int
    thresholds: tuple[str, ...] = ()

    def locate(self, row: Row) -> Place:
        """Place of a row of the parameter table; the one mapping there is.

        Raises
        ------
        ModelError
            A variable without a place, as in a covariance of a factor with an indicator
            that has none.
        """
        factor = {name: i for i, name in enumerate(self.factors)}
        item = {name: i for i, name in enumerate(self.observed)}
        match row.op:
            case "=~" if row.rhs in factor:
                return Place("beta", factor[row.rhs], factor[row.lhs])
            case "=~":
                return Place("lambda", item[row.rhs], factor[row.lhs])
            case "~":
                return Place("beta", factor[row.lhs], factor[row.rhs])
            case "~~" if row.lhs in factor and row.rhs in factor:
                return Place("psi", factor[row.lhs], factor[row.rhs])
            case "~~" if row.lhs in item and row.rhs in item:
                return Place("theta", item[row.lhs], item[row.rhs])
            case "|":
                return Place("tau", self.thresholds.index(row.lhs) + int(row.rhs[1:]) - 1, 0)
            case "~*~":
                return Place("delta", item[row.lhs], 0)
            case "~1" if row.lhs in factor:
                return Place("alpha", factor[row.lhs], 0)
            case "~1":
                return Place("nu", item[row.lhs], 0)
        raise ModelError(f"{row.lhs} {row.op} {row.rhs} has no place in the model matrices.")


def find_layout(table: ParameterTable, group: int) -> Layout:
    """Layout of one group (numbered from 1): which observed variables become factors."""
    observed = table.observed[group - 1]
    latents = table.latents[group - 1]
    rows = [row for row in table.rows if row.group == group]
    lifted = {name for row in rows if row.op == "~" for name in (row.lhs, row.rhs)}
    inside = lifted | set(latents)
    # A covariance needs both its ends on the same side.
    links = [(row.lhs, row.rhs) for row in rows if row.op == "~~" and row.lhs != row.rhs]
    grown = True
    while grown:
        grown = False
        for first, second in links:
            if (first in inside) != (second in inside):
                inside |= {first, second}
                grown = True
    lifted = inside - set(latents)
    dummies = tuple(name for name in observed if name in lifted)
    known = table.options.n_thresholds
    thresholds = tuple(name for name in observed for _ in range(known.get(name, 0)))
    return Layout(observed, (*latents, *dummies), len(latents), thresholds)


@dataclass(frozen=True, eq=False)
class Slots:
    """Parameters of one group as index arrays.

    Parameters
    ----------
    layout : Layout
    base : dict of str to ndarray
        The six matrices with fixed values in place and zeros where parameters go.
    matrix, row, column : ndarray of int, shape (k,)
        Place of each parameter (`matrix` counts in `MATRICES`).
    target : ndarray of int, shape (k,)
        Index into the vector of free parameters of all groups.
    a, b, s, t_kind : ndarray, shape (k,)
        The rank-two form of the derivative. `t_kind` is -1 for none, -2 for one, else the
        index of the factor whose mean it is.
    by_matrix : tuple
        Per matrix that has parameters: its name, which parameters, their rows and columns.
    """

    layout: Layout
    base: dict[MatrixName, Array]
    matrix: Index
    row: Index
    column: Index
    target: Index
    a: Index
    b: Index
    s: Array
    t_kind: Index
    has_means: bool
    by_matrix: tuple[tuple[MatrixName, Index, Index, Index], ...]

    @property
    def n_parameters(self) -> int:
        """Number of parameters in this group, k."""
        return len(self.target)

    @cached_property
    def scale(self) -> Array:
        """Product of the factors s of two parameters, shape (k, k)."""
        return self.s[:, None] * self.s

    @cached_property
    def shifts(self) -> Shifts:
        """How columns of C move with parameters."""
        return _find_shifts(self)


@dataclass(frozen=True, eq=False)
class Shifts:
    r"""Where to read how column a and column b of parameter i move with parameter j.

    .. math:: \partial c_{a_i}/\partial\theta_j = \alpha_{ij} c_{a_j}, \qquad
              \partial c_{b_i}/\partial\theta_j = \beta_{ij} c_{a_j} + \gamma_{ij} c_{b_j}

    Columns of I do not move; Lambda A moves with loadings and regressions, by
    :math:`c_{a_j} A_{c_j k}`; Lambda Phi moves with these by :math:`c_{a_j}\Phi_{c_j k}`,
    with regressions also by :math:`c_{b_j} A_{k r_j}`, and with factor covariances by
    :math:`s_j (c_{a_j} A_{k c_j} + c_{b_j} A_{k r_j})`.

    Parameters
    ----------
    alpha, beta, gamma : ndarray of int, shape (k, k)
        Positions in the entries of A, then those of Phi, then a zero.
    scale : ndarray, shape (k,)
        What a column is multiplied by afterwards.
    """

    alpha: Index
    beta: Index
    gamma: Index
    scale: Array

    def read(self, state: State) -> tuple[Array, Array, Array]:
        """The three coefficients, each of shape (k, k)."""
        entries = np.concatenate([state.a_matrix.ravel(), state.phi.ravel(), [0.0]])
        return (
            entries[self.alpha],
            entries[self.beta] * self.scale,
            entries[self.gamma] * self.scale,
        )


def _find_shifts(slots: Slots) -> Shifts:
    p, m = len(slots.layout.observed), len(slots.layout.factors)
    a, b = slots.a[:, None], slots.b[:, None]
    a_is_loading, b_is_phi = a >= p, b >= p + m
    b_is_loading = (b >= p) & ~b_is_phi
    factor_a = a - p
    factor_b = np.where(b_is_phi, b - p - m, b - p)
    row, column = slots.row, slots.column
    beta, psi = (slots.matrix == MATRICES.index(name) for name in ("beta", "psi"))
    moves = beta | (slots.matrix == MATRICES.index("lambda"))
    nowhere = 2 * m * m

    def choose(*cases: tuple[NDArray[np.bool_], Index]) -> Index:
        conditions, places = zip(*cases, strict=True)
        return np.asarray(np.select(conditions, places, nowhere), dtype=np.intp)

    return Shifts(
        alpha=choose((a_is_loading & moves, column * m + factor_a)),
        beta=choose(
            (b_is_loading & moves, column * m + factor_b),
            (b_is_phi & moves, m * m + factor_b * m + column),
            (b_is_phi & psi, factor_b * m + column),
        ),
        gamma=choose((b_is_phi & (beta | psi), factor_b * m + row)),
        scale=np.where(psi, slots.s, 1.0),
    )


def _rank_two(place: Place, p: int, m: int) -> tuple[int, int, float, int]:
    """(a, b, s, t_kind) of a place; columns of C are I (p), Lambda A (m), Lambda Phi (m)."""
    i, j = place.row, place.column
    match place.matrix:
        case "lambda":
            return i, p + m + j, 1.0, j
        case "beta":
            return p + i, p + m + j, 1.0, j
        case "psi":
            return p + i, p + j, 0.5 if i == j else 1.0, -1
        case "theta":
            return i, j, 0.5 if i == j else 1.0, -1
        case "nu":
            return i, i, 0.0, -2
        case "alpha":
            return p + i, p + i, 0.0, -2
        case "tau" | "delta":
            # These move neither the means nor the covariances of what is behind the answers.
            return 0, 0, 0.0, -1


def make_slots(
    layout: Layout,
    base: dict[MatrixName, Array],
    places: Sequence[Place],
    target: Iterable[int],
    has_means: bool,
) -> Slots:
    """Slots for parameters at `places`, each an entry of the free vector at `target`."""
    p, m = len(layout.observed), len(layout.factors)
    forms = [_rank_two(place, p, m) for place in places]
    columns = list(zip(*forms, strict=True)) if forms else [(), (), (), ()]
    matrix = np.array([MATRICES.index(place.matrix) for place in places], dtype=np.intp)
    row = np.array([place.row for place in places], dtype=np.intp)
    column = np.array([place.column for place in places], dtype=np.intp)
    by_matrix = []
    for code, name in enumerate(MATRICES):
        chosen = np.flatnonzero(matrix == code)
        if chosen.size:
            by_matrix.append((name, chosen, row[chosen], column[chosen]))
    return Slots(
        layout=layout,
        base=base,
        matrix=matrix,
        row=row,
        column=column,
        by_matrix=tuple(by_matrix),
        target=np.array(list(target), dtype=np.intp),
        a=np.array(columns[0], dtype=np.intp),
        b=np.array(columns[1], dtype=np.intp),
        s=np.array(columns[2], dtype=np.float64),
        t_kind=np.array(columns[3], dtype=np.intp),
        has_means=has_means,
    )


def empty_matrices(layout: Layout) -> dict[MatrixName, Array]:
    """The matrices with the constant ones of lifted observed variables."""
    p, m = len(layout.observed), len(layout.factors)
    base: dict[MatrixName, Array] = {
        "lambda": np.zeros((p, m)),
        "theta": np.zeros((p, p)),
        "psi": np.zeros((m, m)),
        "beta": np.zeros((m, m)),
        "nu": np.zeros(p),
        "alpha": np.zeros(m),
        "tau": np.zeros(len(layout.thresholds)),
        "delta": np.ones(p),
    }
    for k, name in enumerate(layout.factors[layout.n_latents :], start=layout.n_latents):
        base["lambda"][layout.observed.index(name), k] = 1.0
    return base


def put(base: dict[MatrixName, Array], place: Place, value: float) -> None:
    """Write a value at a place, on both sides of a symmetric matrix."""
    matrix = base[place.matrix]
    if matrix.ndim == 1:
        matrix[place.row] = value
    else:
        matrix[place.row, place.column] = value
        if place.matrix in ("theta", "psi"):
            matrix[place.column, place.row] = value


def fill(slots: Slots, theta: Array) -> dict[MatrixName, Array]:
    """The six matrices at the free parameters `theta` (all groups' vector)."""
    values = theta[slots.target]
    out = dict(slots.base)
    for name, chosen, rows, columns in slots.by_matrix:
        matrix = slots.base[name].copy()
        if matrix.ndim == 1:
            matrix[rows] = values[chosen]
        else:
            matrix[rows, columns] = values[chosen]
            if name in ("theta", "psi"):
                matrix[columns, rows] = values[chosen]
        out[name] = matrix
    return out


@dataclass(frozen=True, eq=False)
class State:
    """Everything the derivatives of one group need at one parameter vector.

    Parameters
    ----------
    sigma : ndarray, shape (p, p)
    mu : ndarray, shape (p,)
    c : ndarray, shape (p, p + 2 m)
        ``[I, Lambda A, Lambda Phi]``.
    a_matrix, phi : ndarray, shape (m, m)
        Total effects ``(I - B)^-1`` and factor covariance.
    eta : ndarray, shape (m,)
        Factor means.
    """

    matrices: dict[MatrixName, Array]
    sigma: Array
    mu: Array
    c: Array
    a_matrix: Array
    phi: Array
    eta: Array


def implied_state(slots: Slots, theta: Array) -> State:
    """Implied moments and the factors of their derivatives at `theta`."""
    mats = fill(slots, theta)
    lambda_, psi, beta = mats["lambda"], mats["psi"], mats["beta"]
    m = lambda_.shape[1]
    if beta.any():
        a_matrix: Array = np.linalg.solve(np.eye(m) - beta, np.eye(m)).astype(np.float64)
        loading = lambda_ @ a_matrix
    else:
        a_matrix = np.eye(m)
        loading = lambda_
    loading_psi = loading @ psi
    p = lambda_.shape[0]
    c = np.empty((p, p + 2 * m))
    c[:, :p] = np.eye(p)
    c[:, p : p + m] = loading
    c[:, p + m :] = loading_psi @ a_matrix.T
    return State(
        matrices=mats,
        sigma=loading_psi @ loading.T + mats["theta"],
        mu=mats["nu"] + loading @ mats["alpha"],
        c=c,
        a_matrix=a_matrix,
        phi=a_matrix @ psi @ a_matrix.T,
        eta=a_matrix @ mats["alpha"],
    )


def mean_weight(slots: Slots, state: State) -> Array:
    """T of every parameter: the factor by which its column moves the means."""
    kinds = slots.t_kind
    t = np.where(kinds == -2, 1.0, 0.0)
    if slots.has_means:
        factor = kinds >= 0
        t[factor] = state.eta[kinds[factor]]
    return t


def moment_jacobian(slots: Slots, state: State) -> tuple[Array, Array]:
    """Derivatives of the implied moments.

    Returns
    -------
    d_sigma : ndarray, shape (p (p + 1) / 2, k)
        Of the lower triangle of Sigma, column by column.
    d_mu : ndarray, shape (p, k)
    """
    ca = state.c[:, slots.a]
    cb = state.c[:, slots.b] * slots.s
    p = ca.shape[0]
    columns, rows = np.triu_indices(p)
    d_sigma = ca[rows] * cb[columns] + cb[rows] * ca[columns]
    return d_sigma, ca * mean_weight(slots, state)


def factor_variance_jacobian(slots: Slots, state: State) -> Array:
    """Derivative of the diagonal of the factor covariance Phi; shape (m, k)."""
    out = np.zeros((len(state.phi), slots.n_parameters))
    a_matrix, phi = state.a_matrix, state.phi
    for name, chosen, rows, columns in slots.by_matrix:
        if name in ("psi", "beta"):
            right = (a_matrix if name == "psi" else phi)[:, columns]
            out[:, chosen] = 2.0 * a_matrix[:, rows] * slots.s[chosen] * right
    return out


def factorise(matrix: Array, tolerance: float) -> Array | None:
    """Lower Cholesky factor, None where a pivot is under `tolerance` of its own diagonal."""
    factor, info = dpotrf(matrix, lower=1)
    if info != 0 or not (np.diag(factor) ** 2 > tolerance * np.diag(matrix)).all():
        return None
    return np.asarray(factor)


def invert_positive_definite(matrix: Array) -> tuple[Array, float] | None:
    """Inverse and log determinant by Cholesky, or None when not positive definite."""
    factor, info = dpotrf(matrix, lower=1)
    if info != 0:
        return None
    diagonal = np.diag(factor)
    # A pivot at rounding error's height of its own variance is a singular matrix.
    if not (diagonal**2 > 1e-14 * np.diag(matrix)).all():
        return None
    log_det = 2.0 * float(np.log(diagonal).sum())
    inverse, info = dpotri(factor, lower=1)
    if info != 0:
        return None
    # The upper triangle is zero: dpotrf cleared it.
    inverse = inverse + inverse.T
    inverse.flat[:: len(inverse) + 1] *= 0.5
    return inverse, log_det
