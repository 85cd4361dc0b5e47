"""The value objects: Block and Moments."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sqvalid.errors import InputError, UnsupportedError
from sqvalid.moments.patterns import PatternData, pattern_data

Array = NDArray[np.float64]
Kind = Literal["continuous", "ordinal"]


def frozen_array(values: Any) -> Array:
    """Copy `values` into a float array that cannot be written to."""
    out = np.array(values, dtype=np.float64, order="C")
    out.flags.writeable = False
    return out


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
    thresholds, slopes, gamma : optional
        Thresholds of ordinal variables, slopes on fixed covariates, asymptotic covariance
        of the sample statistics. Each is None until the statistics it belongs to are computed.
    owner : ndarray of int, shape (t,), optional
        Which variable each threshold is of; `thresholds` also has minus the means of continuous
        variables, variable after variable.
    levels : tuple of (ndarray or None)
        Categories of ordinal variables.
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
    gamma: Array | None = None
    patterns: PatternData | None = None
    owner: NDArray[np.intp] | None = None
    levels: tuple[Array | None, ...] = ()
    weights: Array | None = None
    clusters: NDArray[np.int64] | None = None
    is_settled: bool = True

    def __post_init__(self) -> None:
        for name in ("covariance", "means", "cases", "thresholds", "slopes", "gamma", "weights"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, np.ndarray) or value.flags.writeable):
                object.__setattr__(self, name, frozen_array(value))
        if self.clusters is not None:
            codes = np.array(self.clusters, dtype=np.int64)
            codes.flags.writeable = False
            object.__setattr__(self, "clusters", codes)
        if not self.kinds:
            object.__setattr__(self, "kinds", ("continuous",) * len(self.variables))

    @property
    def n_variables(self) -> int:
        """Number of variables, p."""
        return len(self.variables)

    @property
    def total_weight(self) -> float:
        """What the group counts for: its respondents, or the sum of their sampling weights."""
        return float(self.n_obs) if self.weights is None else float(self.weights.sum())

    def select(self, variables: Sequence[str]) -> Block:
        """Return the block restricted to `variables`, in that order."""
        if tuple(variables) == self.variables:
            return self
        if any(getattr(self, name) is not None for name in ("thresholds", "slopes", "gamma")):
            raise UnsupportedError("Variables of a block with ordinal statistics are not selected.")
        place = {name: i for i, name in enumerate(self.variables)}
        missing = [name for name in variables if name not in place]
        if missing:
            raise InputError(f"The sample statistics lack the variables {', '.join(missing)}.")
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
        )


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
                if item.name in ("patterns", "levels", "is_settled"):
                    # Made of the cases.
                    continue
                value = getattr(block, item.name)
                if isinstance(value, np.ndarray):
                    digest.update(np.ascontiguousarray(value).tobytes())
                else:
                    digest.update(repr(value).encode())
        return digest.hexdigest()
