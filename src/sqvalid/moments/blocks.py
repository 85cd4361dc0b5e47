"""The value objects: Block and Moments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from itertools import combinations
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from sqvalid.errors import InputError, UnsupportedError
from sqvalid.moments.patterns import PatternData, pattern_data

Array = NDArray[np.float64]
Kind = Literal["continuous", "ordinal"]
_P = ParamSpec("_P")
_T = TypeVar("_T")

# Fields of a block that are arrays of numbers.
_FLOATS = (
    "covariance",
    "means",
    "cases",
    "thresholds",
    "slopes",
    "gamma",
    "weights",
    "influence",
    "x_means",
    "x_covariance",
)


def frozen_array(values: Any) -> Array:
    """Copy `values` into a float array that cannot be written to."""
    out = np.array(values, dtype=np.float64, order="C")
    out.flags.writeable = False
    return out


def vech_places(p: int) -> NDArray[np.intp]:
    """Place of entry (i, j) of a symmetric p x p matrix in its lower triangle by columns.

    Examples
    --------
    >>> vech_places(3).tolist()
    [[0, 1, 2], [1, 3, 4], [2, 4, 5]]
    """
    columns, rows = np.triu_indices(p)
    out = np.empty((p, p), dtype=np.intp)
    out[rows, columns] = out[columns, rows] = np.arange(len(rows))
    return out


class _Gamma:
    """`gamma` of a block: what was given, or made of `influence` when it is first read."""

    @overload
    def __get__(self, block: None, owner: type | None = None) -> None: ...
    @overload
    def __get__(self, block: Block, owner: type | None = None) -> Array | None: ...
    def __get__(self, block: Block | None, owner: type | None = None) -> Array | None:
        # Asked of the class, this is the default of the field.
        if block is None:
            return None
        kept: Array | None = block.__dict__.get("gamma")
        if kept is None and block.influence is not None:
            kept = np.asarray(block.total_weight * _gram(block.influence))
            kept.flags.writeable = False
            block.__dict__["gamma"] = kept
        return kept

    def __set__(self, block: Block, value: Array | None) -> None:
        block.__dict__["gamma"] = value


def _gram(values: Array) -> Array:
    """Cross-products of columns: one triangle is computed, the other copied."""
    upper = dsyrk(1.0, values, trans=1) if values.flags.f_contiguous else dsyrk(1.0, values.T)
    return np.asarray(upper + np.triu(upper, 1).T)


@dataclass(frozen=True, eq=False)
class Block:
    """Sample statistics of one group at one level.

    Parameters
    ----------
    group : str
        Label of the group, ``""`` when there is only one.
    variables : tuple of str
        Names, in the order of every array below; p of them.
    n_obs : int
        Respondents behind the statistics.
    covariance : ndarray, shape (p, p)
        Sample covariance with divisor N.
    means : ndarray, shape (p,), optional
        Sample means; absent when only a covariance matrix was given.
    cases : ndarray, shape (n_obs, p), optional
        The answers themselves, complete.
    level : int
        1 is the lowest level.
    kinds : tuple of {"continuous", "ordinal"}
        Measurement kind per variable.
    thresholds : ndarray, shape (t,), optional
        Thresholds of ordinal variables and minus the means of continuous ones, variable after
        variable.
    owner : ndarray of int, shape (t,), optional
        Which variable each entry of `thresholds` is of.
    levels : tuple of (ndarray or None)
        Categories of ordinal variables.
    influence : ndarray, shape (n_obs, s), optional
        What every respondent adds to the errors of the ordinal statistics: thresholds; slopes,
        covariate after covariate; variances of continuous variables; lower triangle of the
        covariance matrix without its diagonal, column by column.
    gamma : ndarray, shape (s, s), optional
        Asymptotic covariance of the statistics. Where `influence` is there it is
        ``total_weight * influence.T @ influence``, computed when it is first read, and kept.
        Without thresholds it is that of the means and of the lower triangle of the covariance
        column by column.
    conditional : tuple of str
        Covariates that the ordinal statistics are given; they stand last in `variables`. Then
        `thresholds` (with minus the intercepts) and `owner` are of the variables before them,
        `covariance` is that of their residuals and of the covariates, with zeros between the
        two, and `means` are intercepts and the means of the covariates.
    slopes : ndarray, shape (p - q, q), optional
        Slopes on the covariates, of the normal variables behind ordinal ones.
    x_means, x_covariance : ndarray, optional
        Moments of the covariates, shapes (q,) and (q, q); the divisor is N - 1, or the sum of the
        weights, as in lavaan.
    empty_cells : ndarray of int, shape (p, p), optional
        Pairs of categories that nobody chose together, by pair of ordinal variables.
    patterns : PatternData, optional
        Respondents by what they answered. Where it is there, `cases` have gaps (NaN), and means
        and covariance are maximum-likelihood estimates from what was answered.
    is_settled : bool
        Whether the estimates of means and covariance from incomplete answers are at a maximum.
    weights : ndarray, shape (n_obs,), optional
        Sampling weights; those of all groups together sum to the respondents of all groups.
    clusters : ndarray of int, shape (n_obs,), optional
        Codes of the clusters that respondents were drawn in, the same codes in all groups.
    """

    group: str
    variables: tuple[str, ...]
    n_obs: int
    covariance: Array
    means: Array | None = None
    cases: Array | None = None
    level: int = 1
    kinds: tuple[Kind, ...] = ()
    thresholds: Array | None = None
    slopes: Array | None = None
    gamma: _Gamma = _Gamma()
    patterns: PatternData | None = None
    owner: NDArray[np.intp] | None = None
    levels: tuple[Array | None, ...] = ()
    weights: Array | None = None
    clusters: NDArray[np.int64] | None = None
    influence: Array | None = None
    conditional: tuple[str, ...] = ()
    x_means: Array | None = None
    x_covariance: Array | None = None
    empty_cells: NDArray[np.intp] | None = None
    is_settled: bool = True

    def __post_init__(self) -> None:
        for name in _FLOATS:
            value = self.__dict__[name]
            if value is not None and (not isinstance(value, np.ndarray) or value.flags.writeable):
                object.__setattr__(self, name, frozen_array(value))
        if self.clusters is not None:
            codes = np.array(self.clusters, dtype=np.int64)
            codes.flags.writeable = False
            object.__setattr__(self, "clusters", codes)
        for name in ("owner", "empty_cells"):
            value = getattr(self, name)
            if value is not None and value.flags.writeable:
                value = np.array(value, dtype=np.intp)
                value.flags.writeable = False
                object.__setattr__(self, name, value)
        if not self.kinds:
            object.__setattr__(self, "kinds", ("continuous",) * len(self.variables))

    @property
    def n_variables(self) -> int:
        """Number of variables, p."""
        return len(self.variables)

    @property
    def is_ordinal(self) -> bool:
        """Whether these are statistics of ordered answers."""
        return self.thresholds is not None

    @property
    def gamma_diagonal(self) -> Array | None:
        """Asymptotic variances of the statistics, without the rest of `gamma`."""
        if self.influence is not None and self.__dict__["gamma"] is None:
            return np.asarray(
                self.total_weight * np.einsum("ns,ns->s", self.influence, self.influence)
            )
        return None if self.gamma is None else np.diag(self.gamma)

    @property
    def total_weight(self) -> float:
        """What the group counts for: its respondents, or the sum of their sampling weights."""
        return float(self.n_obs) if self.weights is None else float(self.weights.sum())

    def select(self, variables: Sequence[str]) -> Block:
        """Return the block restricted to `variables`, in that order."""
        if tuple(variables) == self.variables:
            return self
        place = {name: i for i, name in enumerate(self.variables)}
        missing = [name for name in variables if name not in place]
        if missing:
            raise InputError(f"The sample statistics lack the variables {', '.join(missing)}.")
        if self.is_ordinal:
            return self._select_ordinal(tuple(variables))
        keep = [place[name] for name in variables]
        patterns = None
        if self.patterns is not None:
            if len(keep) < len(place):
                raise UnsupportedError(
                    "Moments of incomplete answers are those of all their items together.",
                    remedy="Compute them for the items of the model only, or give the frame.",
                )
            assert self.cases is not None
            patterns = pattern_data(self.cases[:, keep], self.weights)
        return replace(
            self,
            patterns=patterns,
            variables=tuple(variables),
            covariance=self.covariance[np.ix_(keep, keep)],
            means=None if self.means is None else self.means[keep],
            cases=None if self.cases is None else self.cases[:, keep],
            kinds=tuple(self.kinds[i] for i in keep),
            gamma=None if self.gamma is None else self._select_gamma(keep),
        )

    def _select_gamma(self, keep: list[int]) -> Array:
        """Gamma of the means and covariances of some variables."""
        assert self.gamma is not None
        p = self.n_variables
        columns, rows = np.triu_indices(len(keep))
        chosen = np.asarray(keep, dtype=np.intp)
        pairs = p + vech_places(p)[chosen[rows], chosen[columns]]
        return np.asarray(self.gamma[np.ix_(*[np.concatenate([chosen, pairs])] * 2)])

    def statistic_names(self) -> list[tuple[str, ...]]:
        """What every ordinal statistic is of, in their order.

        Returns
        -------
        list of tuple of str
            ``("|", item, "001")`` for thresholds (and minus means), ``("~", y, x)`` for slopes,
            ``("~~", a, b)`` with names in alphabetical order for variances and covariances.
        """
        assert self.owner is not None
        count: dict[int, int] = {}
        cuts = []
        for item in self.owner.tolist():
            count[item] = count.get(item, 0) + 1
            cuts.append(("|", self.variables[item], f"{count[item]:03d}"))
        modelled = [name for name in self.variables if name not in self.conditional]
        numeric = [
            name
            for name, kind in zip(self.variables, self.kinds, strict=True)
            if kind == "continuous" and name not in self.conditional
        ]
        return [
            *cuts,
            *(("~", y, x) for x in self.conditional for y in modelled),
            *(("~~", name, name) for name in numeric),
            *(("~~", *sorted(pair)) for pair in combinations(modelled, 2)),
        ]

    def _select_ordinal(self, variables: tuple[str, ...]) -> Block:
        """Some of the variables, in another order; all covariates that are given stay."""
        dropped = [name for name in self.conditional if name not in variables]
        if dropped:
            raise UnsupportedError(
                f"The statistics are conditional on {', '.join(dropped)}, which the model lacks.",
                remedy="Compute the moments for this model, or give the answers.",
            )
        given = tuple(name for name in variables if name in self.conditional)
        place = {name: i for i, name in enumerate(self.variables)}
        keep = np.array([place[name] for name in variables])
        kinds = tuple(self.kinds[i] for i in keep)
        assert self.owner is not None
        assert self.thresholds is not None
        owner, cuts = [], []
        for new, old in enumerate(keep.tolist()):
            own = np.flatnonzero(self.owner == old)
            owner += [new] * len(own)
            cuts += own.tolist()
        x = [self.conditional.index(name) for name in given]
        rows = [place[name] for name in variables if name not in given]
        # Of the new block only names and places are read to find the statistics.
        shape = replace(
            _without_arrays(self),
            variables=variables,
            kinds=kinds,
            owner=np.array(owner, dtype=np.intp),
            conditional=given,
        )
        known = {name: i for i, name in enumerate(self.statistic_names())}
        chosen = np.array([known[name] for name in shape.statistic_names()], dtype=np.intp)
        influence = self.influence
        return replace(
            shape,
            covariance=self.covariance[np.ix_(keep, keep)],
            means=None if self.means is None else self.means[keep],
            cases=None if self.cases is None else self.cases[:, keep],
            levels=tuple(self.levels[i] for i in keep),
            thresholds=self.thresholds[cuts],
            slopes=None if self.slopes is None else self.slopes[np.ix_(rows, x)],
            x_means=None if self.x_means is None else self.x_means[x],
            x_covariance=None if self.x_covariance is None else self.x_covariance[np.ix_(x, x)],
            influence=None if influence is None else influence[:, chosen],
            gamma=self.gamma[np.ix_(chosen, chosen)]
            if influence is None and self.gamma is not None
            else None,
            empty_cells=None if self.empty_cells is None else self.empty_cells[np.ix_(keep, keep)],
            weights=self.weights,
        )


def _without_arrays(block: Block) -> Block:
    """A block with the names of another one and none of its numbers."""
    return Block(block.group, block.variables, block.n_obs, np.empty((0, 0)), level=block.level)


def remembered(
    function: Callable[Concatenate[Block, _P], _T],
) -> Callable[Concatenate[Block, _P], _T]:
    """Compute a function of a block, and of hashable options, once in the block's life."""
    known: WeakKeyDictionary[Block, dict[Any, _T]] = WeakKeyDictionary()

    @wraps(function)
    def once(block: Block, /, *options: _P.args, **named: _P.kwargs) -> _T:
        own = known.setdefault(block, {})
        key = (options, tuple(sorted(named.items())))
        if key not in own:
            own[key] = function(block, *options, **named)
        return own[key]

    return once


@dataclass(frozen=True, eq=False)
class Moments:
    """Sample statistics of all groups.

    Parameters
    ----------
    blocks : tuple of Block
        Groups in order of first appearance in the data.
    group_variable : str, optional
        Column that made the groups.
    n_received : int
        Rows before incomplete ones were left out.
    rows : tuple of ndarray, optional
        Per block, the positions in the input of the rows used.
    index : sequence, optional
        Row labels of the input, kept so that scores can be put back beside the answers.
    cluster_variable, weight_variable : str, optional
        Columns with the clusters and the sampling weights.
    n_without_cluster : int
        Rows that were complete but for the cluster they belong to, and so were left out.
    n_without_answers : int
        Rows without any answer, where incomplete ones were kept.
    n_without_covariate : int
        Rows that lack a covariate that the model takes as given, where incomplete ones were kept.
    """

    blocks: tuple[Block, ...]
    group_variable: str | None = None
    n_received: int = 0
    rows: tuple[NDArray[np.intp], ...] | None = None
    index: Any = field(default=None, repr=False)
    cluster_variable: str | None = None
    weight_variable: str | None = None
    n_without_cluster: int = 0
    n_without_answers: int = 0
    n_without_covariate: int = 0

    @property
    def n_obs(self) -> int:
        """Respondents used, over all groups."""
        return sum(block.n_obs for block in self.blocks)

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Labels of the groups, in order."""
        return tuple(block.group for block in self.blocks)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables of the first block."""
        return self.blocks[0].variables

    def select(self, variables: Sequence[str]) -> Moments:
        """Return the moments of `variables` only, in that order."""
        return replace(self, blocks=tuple(block.select(variables) for block in self.blocks))

    def sha256(self) -> str:
        """Fingerprint of the numbers: SHA-256 over names, n and arrays, in hexadecimal."""
        digest = hashlib.sha256()
        for block in self.blocks:
            for item in fields(block):
                if item.name in (
                    "patterns",
                    "levels",
                    "influence",
                    "empty_cells",
                    "is_settled",
                ) or (item.name == "gamma" and block.influence is not None):
                    # Made of the cases.
                    continue
                value = getattr(block, item.name)
                if isinstance(value, np.ndarray):
                    digest.update(np.ascontiguousarray(value).tobytes())
                else:
                    digest.update(repr(value).encode())
        return digest.hexdigest()
