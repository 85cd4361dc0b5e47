"""A population: a model in which every parameter has a value.

The variables, latent and observed alike, follow v = mu + A v + d with disturbances d of mean
zero and covariance S (McArdle & McDonald, 1984, the reticular action model), so that
v = (I - A)^-1 (mu + d). Everything that is drawn later is drawn as disturbances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import ModelError, OptionError, UnsupportedError
from sqvalid.latent.syntax import Term, parse_model

__all__ = ["Population", "population_from_text"]

Array = NDArray[np.float64]

# A variance that is smaller than this in absolute value is taken for zero.
_ZERO = 1e-12


@dataclass(frozen=True, eq=False)
class Population:
    """A model with all its values.

    Parameters
    ----------
    names : tuple of str
        All variables: latent ones first, then observed ones, each in order of the text.
    observed : tuple of str
        The observed ones.
    effects : ndarray, shape (v, v)
        A: effect of the variable of the column on the variable of the row; loadings and paths.
    disturbances : ndarray, shape (v, v)
        S: covariances of what is not explained.
    intercepts : ndarray, shape (v,)
        mu.
    thresholds : mapping of str to tuple of float
        Cuts of the latent responses that the text gives.

    Raises
    ------
    ModelError
        A negative variance, disturbances that are not positive semidefinite, or effects that
        have no solution.
    """

    names: tuple[str, ...]
    observed: tuple[str, ...]
    effects: Array
    disturbances: Array
    intercepts: Array
    thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("effects", "disturbances", "intercepts"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        cuts = {str(item): tuple(map(float, t)) for item, t in self.thresholds.items()}
        object.__setattr__(self, "thresholds", MappingProxyType(cuts))
        variances = np.diag(self.disturbances)
        for name, variance in zip(self.names, variances, strict=True):
            if variance < -_ZERO:
                raise ModelError(
                    f"Population: the residual variance of {name!r} would be {variance:.4g}.",
                    remedy="What explains it explains more than all of it: make its loadings or "
                    "paths smaller, or give it a larger variance.",
                )
        self.root()

    def __repr__(self) -> str:
        return (
            f"<Population: {len(self.observed)} observed, "
            f"{len(self.names) - len(self.observed)} latent variables>"
        )

    def place(self, name: str) -> int:
        """Return where a variable stands; OptionError when there is no such variable."""
        if name not in self.names:
            raise OptionError(
                f"The population has no variable {name!r}.",
                remedy=f"It has: {', '.join(self.names)}.",
            )
        return self.names.index(name)

    def total_effects(self) -> Array:
        """Return (I - A)^-1, shape (v, v): what a disturbance does to every variable."""
        unit = np.eye(len(self.names))
        return np.asarray(np.linalg.solve(unit - self.effects, unit), dtype=np.float64)

    def root(self) -> Array:
        """Return the lower triangular L with L L' = S, shape (v, v).

        Variables without disturbance variance have a row and a column of zeros, so the
        factor is unique and does not hang on the library of linear algebra.
        """
        kept = np.flatnonzero(np.diag(self.disturbances) > _ZERO)
        out = np.zeros_like(self.disturbances)
        if kept.size:
            block = self.disturbances[np.ix_(kept, kept)]
            try:
                out[np.ix_(kept, kept)] = np.linalg.cholesky(block)
            except np.linalg.LinAlgError:
                raise ModelError(
                    "Population: the covariances of what is not explained are impossible "
                    f"(smallest eigenvalue {np.linalg.eigvalsh(block)[0]:.4g}).",
                    remedy="Make the covariances (~~) smaller.",
                ) from None
        rest = np.setdiff1d(np.arange(len(self.names)), kept)
        lost = rest[np.abs(self.disturbances[rest]).sum(axis=1) > _ZERO]
        if lost.size:
            raise ModelError(
                f"Population: {self.names[lost[0]]!r} has covariances but no variance.",
                remedy="Give it a variance, or take its covariances out.",
            )
        return out

    def covariance(self) -> Array:
        """Return the covariance matrix of all variables, shape (v, v)."""
        total = self.total_effects()
        return np.asarray(total @ self.disturbances @ total.T, dtype=np.float64)

    def mean(self) -> Array:
        """Return the means of all variables, shape (v,)."""
        return np.asarray(self.total_effects() @ self.intercepts, dtype=np.float64)


def _value(term: Term) -> float:
    name = f"{term.lhs} {term.op} {term.rhs}".rstrip()
    fixed = term.modifiers.fixed
    if fixed is None or fixed[0] is None:
        raise ModelError(
            f"Population, line {term.line}: {name!r} has no value.",
            remedy=f"Every parameter of a population needs one, e.g. '{term.lhs} {term.op} "
            f"0.7*{term.rhs or 1}'.",
        )
    if len(fixed) > 1:
        raise UnsupportedError(
            f"Population, line {term.line}: {name!r} has a value per group.",
            remedy="Give one value, and say by groups= how groups differ.",
        )
    return fixed[0]


def _unit_variances(effects: Array, disturbances: Array, wanted: Sequence[int]) -> Array:
    """Return S with the variances in `wanted` chosen so that these variables have variance 1.

    The variances of all variables are linear in the diagonal of S.
    """
    out = disturbances.copy()
    if not wanted:
        return out
    unit = np.eye(len(effects))
    total = np.linalg.solve(unit - effects, unit)
    out[wanted, wanted] = 0.0
    # A disturbance covariance counts in full, so what it adds is known before the variances are.
    known = np.einsum("ij,jk,ik->i", total, out, total)
    weights = (total**2)[np.ix_(wanted, wanted)]
    out[wanted, wanted] = np.linalg.solve(weights, 1.0 - known[list(wanted)])
    return out


def population_from_text(text: str, *, standardized: bool = True) -> Population:
    """Read a population from a model text in which every parameter has a value.

    Parameters
    ----------
    text : str
        In lavaan's language, e.g. ``"F =~ 0.7*x1 + 0.6*x2"``. Covariances that are not
        stated are zero, intercepts too; thresholds may be given (``x1 | -1*t1 + 0.5*t2``).
    standardized : bool
        Variables whose variance is not stated (``x1 ~~ 0.5*x1``) get the residual variance
        that makes their total variance one, so that the values are standardised ones. When
        False they get residual variance one.

    Returns
    -------
    Population

    Raises
    ------
    ModelError
        A parameter without a value or one that stands twice, or values that no population has.
    UnsupportedError
        Composites, products, blocks, constraints between parameters, defined parameters.
    """
    spec = parse_model(text)
    if spec.blocks or spec.constraints or spec.definitions:
        raise UnsupportedError(
            "A population has no blocks, no constraints and no defined parameters.",
            remedy="State the values themselves; groups are described by groups=.",
        )
    latent = list(dict.fromkeys(term.lhs for term in spec.terms if term.op == "=~"))
    seen: dict[str, None] = {}
    for term in spec.terms:
        if term.op in ("<~", "~*~") or ":" in term.rhs:
            name = f"{term.lhs} {term.op} {term.rhs}"
            raise UnsupportedError(
                f"Population, line {term.line}: {name!r} is not simulated.",
                remedy="Use =~, ~, ~~, intercepts and thresholds.",
            )
        seen[term.lhs] = None
        if term.op not in ("~1", "|"):
            seen[term.rhs] = None
    observed = [name for name in seen if name not in latent]
    names = (*latent, *observed)
    place = {name: i for i, name in enumerate(names)}
    size = len(names)
    effects, disturbances = np.zeros((size, size)), np.zeros((size, size))
    intercepts, stated = np.zeros(size), set()
    cuts: dict[str, list[float]] = {}
    for term in spec.terms:
        value = _value(term)
        i = place[term.lhs]
        if term.op == "=~":
            effects[place[term.rhs], i] = value
        elif term.op == "~":
            effects[i, place[term.rhs]] = value
        elif term.op == "~1":
            intercepts[i] = value
        elif term.op == "|":
            cuts.setdefault(term.lhs, []).append(value)
        else:
            j = place[term.rhs]
            disturbances[i, j] = disturbances[j, i] = value
            if i == j:
                stated.add(i)
    if abs(np.linalg.det(np.eye(size) - effects)) < _ZERO:
        raise ModelError(
            "Population: the effects of the variables on one another have no solution.",
            remedy="Break or weaken the circle of paths.",
        )
    wanted = [i for i in range(size) if i not in stated]
    if standardized:
        disturbances = _unit_variances(effects, disturbances, wanted)
    else:
        disturbances[wanted, wanted] = 1.0
    return Population(
        names,
        tuple(observed),
        effects,
        disturbances,
        intercepts,
        {item: tuple(sorted(values)) for item, values in cuts.items()},
    )
