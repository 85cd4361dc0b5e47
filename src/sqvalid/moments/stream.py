"""Moments of files and frames that do not fit into memory, one piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqvalid.errors import InputError, SurveyError, UnsupportedError
from sqvalid.moments.blocks import Array, Block, Moments
from sqvalid.moments.build import (
    group_label,
    mean_and_covariance,
    numeric_columns,
    places_of,
)

__all__ = ["stream_moments"]

# Rows of a file that are in memory at a time.
BATCH_ROWS = 131_072
# Rows of products of answers that are in memory at a time.
_PRODUCT_ROWS = 4096
# Whole numbers up to here are exact in single precision, in which sums are twice as fast.
_WHOLE_SINGLE = 2**24


@dataclass(eq=False)
class _FourthMoments:
    """Sums over the rows of ww', w = (1, z, vech(zz')), z what answers are beyond `near`.

    Parameters
    ----------
    near : ndarray, shape (p,)
        A point near the mean: the mean of the first rows, a whole number for whole answers.
    sums : ndarray, shape (k, k)
        k = 1 + p + p (p + 1) / 2.
    """

    near: Array
    sums: Array

    @classmethod
    def beginning_with(cls, cases: Array) -> _FourthMoments:
        """Nothing summed yet, but the point chosen."""
        near, p = cases.mean(axis=0), cases.shape[1]
        near = np.where((cases == np.rint(cases)).all(axis=0), np.rint(near), near)
        k = 1 + p + p * (p + 1) // 2
        return cls(near, np.zeros((k, k)))

    def add(self, cases: Array) -> None:
        """Take in complete answers, shape (n, p)."""
        p = len(self.near)
        columns, rows = np.triu_indices(p)
        for start in range(0, len(cases), _PRODUCT_ROWS):
            z = cases[start : start + _PRODUCT_ROWS] - self.near
            # Answers of a rating scale: every sum is a whole number that either type holds.
            exact = np.abs(z).max() ** 4 * len(z) <= _WHOLE_SINGLE and (z == np.rint(z)).all()
            z = z.astype(np.float32 if exact else np.float64, copy=False)
            w = np.empty((len(z), len(self.sums)), dtype=z.dtype)
            w[:, 0] = 1.0
            w[:, 1 : p + 1] = z
            np.multiply(z[:, rows], z[:, columns], out=w[:, p + 1 :])
            self.sums += w.T @ w

    def gamma(self, means: Array) -> Array:
        """Covariance (divisor N) of deviations from the means and of their products.

        Moving from `near` to the means is linear in w, so no answer is needed again.

        Returns
        -------
        ndarray, shape (p + p (p + 1) / 2,) * 2
            Means first, then the lower triangle column by column.
        """
        p = len(self.near)
        step = means - self.near
        columns, rows = np.triu_indices(p)
        pairs = np.arange(len(rows)) + p
        move = np.eye(len(self.sums))
        move[1 : p + 1, 0] = -step
        move[pairs + 1, 0] = step[rows] * step[columns]
        move[pairs + 1, rows + 1] -= step[columns]
        move[pairs + 1, columns + 1] -= step[rows]
        moved = move @ (self.sums / self.sums[0, 0]) @ move.T
        return np.asarray(moved[1:, 1:] - np.outer(moved[1:, 0], moved[1:, 0]))


@dataclass(eq=False)
class _Sums:
    """What is kept of one group: means and centred products, put together piece by piece."""

    means: Array
    products: Array
    low: Array
    high: Array
    fourth: _FourthMoments | None = None
    n: int = 0

    @classmethod
    def starting_with(cls, cases: Array, *, gamma: bool) -> _Sums:
        """Sums of the first complete answers, shape (n, p)."""
        p = cases.shape[1]
        nothing = np.full(p, np.inf)
        fourth = _FourthMoments.beginning_with(cases) if gamma else None
        out = cls(np.zeros(p), np.zeros((p, p)), nothing, -nothing, fourth)
        out.add(cases)
        return out

    def add(self, cases: Array) -> None:
        """Take in complete answers, shape (n, p); Chan, Golub & LeVeque (1983)."""
        k = len(cases)
        means, covariance = mean_and_covariance(cases)
        step = means - self.means
        share = k / (self.n + k)
        self.products += k * covariance + self.n * share * np.outer(step, step)
        self.means += share * step
        self.n += k
        self.low = np.minimum(self.low, cases.min(axis=0))
        self.high = np.maximum(self.high, cases.max(axis=0))
        if self.fourth is not None:
            self.fourth.add(cases)

    def block(self, label: str, variables: tuple[str, ...]) -> Block:
        """Means and covariance with divisor N, and Gamma where it was asked for."""
        of_group = f" in group {label!r}" if label else ""
        if self.n < 2:
            raise SurveyError(
                f"There is {self.n} complete respondent{of_group}; a covariance needs at least "
                "two.",
                remedy="Drop or merge the group." if label else None,
            )
        constant = [variables[j] for j in np.flatnonzero(self.low == self.high)]
        if constant:
            raise SurveyError(
                f"Every respondent{of_group} gave the same answer to "
                f"{', '.join(repr(name) for name in constant)}.",
                remedy="An item without variance cannot be analysed: leave it out of the model.",
            )
        return Block(
            label,
            variables,
            self.n,
            self.products / self.n,
            self.means,
            gamma=None if self.fourth is None else self.fourth.gamma(self.means),
        )


def stream_moments(
    source: str | Path | Iterable[pd.DataFrame] | Any,
    variables: Sequence[str],
    *,
    group: str | None = None,
    gamma: bool = False,
) -> Moments:
    """Moments of answers that are read piece by piece, listwise complete.

    What comes out goes into :func:`cfa` and :func:`sem` in the place of data. It has no answers,
    only their means and covariances, which do for maximum likelihood, GLS and ULS with their
    normal-theory tests. With Gamma, the covariance of those moments from fourth moments, MLR,
    MLM, MLMV, MLMVS, MLF, ULSM, ULSMV and WLS give what they give from the answers.

    Parameters
    ----------
    source : path, dask dataframe, or iterable of pandas.DataFrame
        A .parquet (needs pyarrow) or .csv file, or pieces.
    variables : sequence of str
        Columns to use, in this order; nothing else of a file is read.
    group : str, optional
        Column with the group of each respondent; groups stand in order of first appearance.
    gamma : bool
        Also collect fourth moments. For p variables that is (p (p + 3) / 2)^2 numbers and as
        many operations per row: 2 MB for 30 variables, 200 MB for 100.

    Returns
    -------
    Moments
        Equal to those of the whole up to rounding, in memory for one piece.

    Raises
    ------
    SurveyError
        A column is missing, holds text or infinite values, does not vary, or nobody answered it;
        no complete rows; a group of one.
    InputError
        The source is none of these.
    UnsupportedError
        pyarrow is not installed.

    References
    ----------
    Chan, Golub & LeVeque (1983), on putting sums of squares of pieces together.
    """
    wanted = [*variables, *([group] if group is not None else [])]
    found: dict[str, _Sums | None] = {}
    answered = np.zeros(len(variables), dtype=bool)
    n_received = 0
    for piece in _pieces(source, wanted):
        frame = piece.set_axis(pd.RangeIndex(n_received, n_received + len(piece)))
        n_received += len(frame)
        places = places_of(frame, wanted)
        cases = numeric_columns(frame, places[: len(variables)])
        if np.isinf(cases).any():
            row, column = np.argwhere(np.isinf(cases))[0]
            raise SurveyError(f"Item {variables[column]!r} is infinite in row {frame.index[row]}.")
        there = np.isfinite(cases)
        answered |= there.any(axis=0)
        complete = there.all(axis=1)
        if group is None:
            labels, codes = [""], np.zeros(len(frame), dtype=np.intp)
        else:
            codes, values = pd.factorize(frame[group], sort=False)
            labels = [group_label(value) for value in values]
        for code, label in enumerate(labels):
            own = np.ascontiguousarray(cases[complete & (codes == code)])
            sums = found.setdefault(label, None)
            if len(own):
                if sums is None:
                    found[label] = _Sums.starting_with(own, gamma=gamma)
                else:
                    sums.add(own)
    if n_received and not answered.all():
        empty = [name for name, some in zip(variables, answered, strict=True) if not some]
        raise SurveyError(
            f"Nobody answered {', '.join(repr(name) for name in empty)}.",
            remedy="Leave the item out of the model, or check the column map.",
        )
    if all(sums is None for sums in found.values()):
        raise SurveyError(
            "No respondent answered every item of the model.",
            remedy="Use fewer items, or check that the source is not empty.",
        )
    blocks = []
    for label, sums in found.items():
        if sums is None:
            raise SurveyError(
                f"Nobody in group {label!r} answered every item.", remedy="Drop or merge the group."
            )
        blocks.append(sums.block(label, tuple(variables)))
    return Moments(blocks=tuple(blocks), group_variable=group, n_received=n_received)


def _pieces(source: Any, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Pieces of any source, in order."""
    if isinstance(source, str | Path):
        yield from _file_pieces(Path(source), wanted)
    elif hasattr(source, "partitions") and hasattr(source, "npartitions"):
        # A dask dataframe, known by its face so that dask need not be there.
        for i in range(source.npartitions):
            yield source.partitions[i].compute()
    elif isinstance(source, Iterable) and not isinstance(source, pd.DataFrame | dict):
        for piece in source:
            if not isinstance(piece, pd.DataFrame):
                raise InputError(f"A piece of the source is a {type(piece).__name__}, not a frame.")
            yield piece
    else:
        raise InputError(
            f"The source is a {type(source).__name__}.",
            remedy="Give a .parquet or .csv file, a dask dataframe, or pieces as pandas frames; "
            "a frame in memory goes into the model as it is.",
        )


def _file_pieces(path: Path, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    kind = path.suffix.lower()
    if kind not in (".parquet", ".csv"):
        raise InputError(
            f"{path.name} is neither .parquet nor .csv.", remedy="Other files: read_survey."
        )
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    if kind == ".csv":
        yield from _csv_pieces(path, wanted)
        return
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UnsupportedError(
            "Reading parquet files piece by piece needs pyarrow.", remedy="pip install pyarrow"
        ) from None
    with parquet.ParquetFile(path, memory_map=True) as file:
        names = set(file.schema_arrow.names)
        columns = [name for name in wanted if name in names]
        for batch in file.iter_batches(BATCH_ROWS, columns=columns):
            yield batch.to_pandas()


def _csv_pieces(path: Path, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    names = set(wanted)
    with pd.read_csv(path, chunksize=BATCH_ROWS, usecols=lambda name: name in names) as reader:
        yield from reader
