"""From answers, or from published matrices, to :class:`Moments`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sqvalid.errors import InputError, OptionError, SurveyError, UnsupportedError
from sqvalid.moments.blocks import Array, Block, Moments
from sqvalid.moments.em import em_moments
from sqvalid.moments.ordered_answers import item_levels, ordinal_block, refuse_constant, with_codes
from sqvalid.moments.patterns import pattern_data

# Cases are summed in pieces of this many rows: centred products of a long file stay in cache.
_CHUNK_ROWS = 8192
# Incomplete answers up to this many cells are remembered with their moments.
_MOST_REMEMBERED = 200_000
# Shape, type and bytes of an array.
_Content = tuple[tuple[int, ...], str, bytes]


def mean_and_covariance(cases: Array) -> tuple[Array, Array]:
    """Means and covariance with divisor N.

    Parameters
    ----------
    cases : ndarray, shape (n, p)
        Complete answers.

    Returns
    -------
    means : ndarray, shape (p,)
    covariance : ndarray, shape (p, p)
        Products are formed after a mean is taken off: the mean, or in a long file the mean
        of about a thousand rows spread over it, and what that is beside the mean is put right
        at the end. So a long file is read once.
    """
    n, p = cases.shape
    if n <= _CHUNK_ROWS:
        means = cases.mean(axis=0)
        centred = cases - means
        return means, centred.T @ centred / n
    near = cases[:: n // 1024].mean(axis=0)
    products, sums = np.zeros((p, p)), np.zeros(p)
    for start in range(0, n, _CHUNK_ROWS):
        centred = cases[start : start + _CHUNK_ROWS] - near
        products += centred.T @ centred
        sums += centred.sum(axis=0)
    drift = sums / n
    return near + drift, products / n - np.outer(drift, drift)


def weighted_mean_and_covariance(cases: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted means and covariance, divisor the sum of the weights.

    Parameters
    ----------
    cases : ndarray, shape (n, p)
        Complete answers.
    weights : ndarray, shape (n,)
        Positive.

    Returns
    -------
    means : ndarray, shape (p,)
    covariance : ndarray, shape (p, p)
    """
    total = weights.sum()
    means = weights @ cases / total
    centred = cases - means
    return means, (centred * weights[:, None]).T @ centred / total


def places_of(frame: pd.DataFrame, variables: Sequence[str]) -> list[int]:
    """Positions of the columns, refusing names that are absent or stand there twice."""
    place = {name: j for j, name in enumerate(frame.columns)}
    missing = [name for name in variables if name not in place]
    if missing:
        raise SurveyError(
            f"The data have no column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(repr(name) for name in missing)}.",
            remedy="Check the spelling in the model, or map the columns of the file.",
        )
    if len(place) < frame.shape[1]:
        names = list(frame.columns)
        for name in variables:
            if (copies := names.count(name)) > 1:
                raise SurveyError(
                    f"The data have {copies} columns named {name!r}.",
                    remedy="Rename or drop all but one of them.",
                )
    return [place[name] for name in variables]


def numeric_columns(frame: pd.DataFrame, places: Sequence[int]) -> Array:
    """Copy the columns as floats, refusing text with the cells that hold it."""
    if len(set(frame.dtypes.to_numpy())) > 1:
        frame, places = frame.iloc[:, list(places)], range(len(places))
        values = frame.to_numpy() if len(set(frame.dtypes.to_numpy())) == 1 else None
    else:
        values = frame.to_numpy()
    # Column after column, as frames lie in memory: a long file is then copied at full speed.
    out = np.empty((len(frame), len(places)), order="F")
    if values is not None and values.dtype.kind in "fiu":
        for j, place in enumerate(places):
            out[:, j] = values[:, place]
        return out
    for j, place in enumerate(places):
        column = frame.iloc[:, place]
        try:
            out[:, j] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            numbers = pd.to_numeric(column, errors="coerce")
            bad = column[numbers.isna() & column.notna()]
            shown = ", ".join(f"{value!r} in row {row}" for row, value in bad.head(3).items())
            raise SurveyError(
                f"Item {column.name!r} has {len(bad)} answers that are not numbers ({shown}).",
                remedy="Map the text to numbers, or declare it as a missing code.",
            ) from None
    return out


def _answered(frame: pd.DataFrame, variables: Sequence[str], cases: Array) -> NDArray[np.bool_]:
    """Which cells have an answer, shape (n, p), refusing infinite and empty columns."""
    finite = np.asarray(np.isfinite(cases))
    if finite.all():
        return finite
    if np.isinf(cases).any():
        row, column = np.argwhere(np.isinf(cases))[0]
        raise SurveyError(f"Item {variables[column]!r} is infinite in row {frame.index[row]}.")
    empty = [name for j, name in enumerate(variables) if not finite[:, j].any()]
    if empty:
        raise SurveyError(
            f"Nobody answered {', '.join(repr(name) for name in empty)}.",
            remedy="Leave the item out of the model, or check the column map.",
        )
    return finite


def moments_from_frame(
    frame: pd.DataFrame,
    variables: Sequence[str],
    *,
    group: str | None = None,
    cluster: str | None = None,
    weights: str | None = None,
    incomplete: bool = False,
    given: Sequence[str] = (),
    ordered: Sequence[str] = (),
    pairwise: bool = False,
    conditional: Sequence[str] = (),
) -> Moments:
    """Moments of `variables`, one block per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per respondent.
    variables : sequence of str
        Columns to use, in this order.
    group : str, optional
        Column with the group of each respondent; groups stand in order of first appearance.
    cluster : str, optional
        Column with the cluster (branch, school) that each respondent was drawn in. Rows
        without one are left out and counted.
    weights : str, optional
        Column with sampling weights, rescaled so that they sum to the respondents used.
    incomplete : bool
        Keep respondents with missing answers: moments are then those that are most likely given
        what was answered (EM), and rows without any answer are left out. Otherwise only complete
        rows are used.
    given : sequence of str
        Variables that must be there even so: covariates whose distribution is not modelled.
    ordered : sequence of str
        Variables whose answers are ordered categories, whole numbers or ordered pandas categories:
        moments are then thresholds and polychoric or polyserial correlations with their
        asymptotic covariance.
    pairwise : bool
        With `ordered`: every statistic uses the respondents who answered what it is of.
    conditional : sequence of str
        With `ordered`: covariates that the statistics of the other variables are given. They need
        not be in `variables`, stand last in the block, and must be answered.

    Raises
    ------
    SurveyError
        Missing, text, constant or all-missing columns, no complete rows, groups too small,
        weights that are not positive numbers, fewer than two clusters in a group. With `ordered`:
        answers that are not whole numbers, categories that one group lacks, pairs of items
        that nobody answered both of or whose answers determine each other.
    EstimationError
        Where covariates tell the categories of an item apart without error.
    """
    if conditional or ordered:
        variables = [*(name for name in variables if name not in conditional), *conditional]
        _refuse_combinations(
            variables, ordered, conditional, cluster=cluster, incomplete=incomplete
        )
    elif pairwise:
        raise UnsupportedError(
            "Pairwise deletion is there for ordered items only.",
            remedy="Use missing='fiml', or name the ordered items in ordered=.",
        )
    if ordered:
        given = [*given, *(name for name in conditional if name not in given)]
    more = [name for name in (group, cluster, weights) if name is not None]
    places = places_of(frame, [*variables, *more])
    frame = with_codes(frame, ordered)
    cases = numeric_columns(frame, places[: len(variables)])
    answered = _answered(frame, variables, cases)
    n_empty = n_ungiven = 0
    if incomplete or pairwise:
        # What is given says nothing by itself; covariates stand last.
        modelled = len(variables) - len(conditional)
        complete = np.asarray(answered[:, :modelled].any(axis=1))
        n_empty = int((~complete).sum())
        known = answered[:, [list(variables).index(name) for name in given]].all(axis=1)
        n_ungiven = int((complete & ~known).sum())
        complete &= known
        # With complete answers the two ways are one.
        incomplete = not pairwise and not answered[complete].all()
    else:
        complete = np.asarray(answered.all(axis=1))
    labels: list[str]
    if group is None:
        labels, codes = [""], np.zeros(len(frame), dtype=np.intp)
    else:
        codes, found = pd.factorize(frame[group], sort=False)
        labels = [group_label(value) for value in found]
        complete &= codes >= 0
    n_before = int(complete.sum())
    clusters = None
    if cluster is not None:
        clusters = np.asarray(pd.factorize(frame[cluster], sort=False)[0], dtype=np.int64)
        complete &= clusters >= 0
    if not complete.any():
        raise SurveyError(
            "No respondent answered any item of the model."
            if incomplete
            else "No respondent answered every item of the model.",
            remedy="Use fewer items, or missing='fiml'.",
        )
    scaled = None if weights is None else _sampling_weights(frame, weights, complete)
    levels = item_levels(frame, variables, ordered, cases[complete])
    blocks, rows = [], []
    for code, label in enumerate(labels):
        where = np.flatnonzero(complete & (codes == code))
        chosen = cases if where.size == len(frame) else cases[where]
        chosen.flags.writeable = False
        own = None if scaled is None else scaled[where]
        drawn = None if clusters is None else clusters[where]
        if drawn is not None and len(drawn) > 1 and (drawn == drawn[0]).all():
            of_group = f" of group {label!r}" if label else ""
            raise SurveyError(
                f"All respondents{of_group} are in one cluster of {cluster!r}.",
                remedy="Cluster-robust statistics need two clusters at the very least.",
            )
        if ordered:
            blocks.append(
                ordinal_block(label, tuple(variables), chosen, levels, tuple(conditional), own)
            )
            rows.append(where)
            continue
        make = incomplete_block if incomplete else _block
        blocks.append(make(label, tuple(variables), chosen, own, drawn))
        rows.append(where)
    return Moments(
        blocks=tuple(blocks),
        group_variable=group,
        n_received=len(frame),
        rows=tuple(rows),
        index=frame.index,
        cluster_variable=cluster,
        weight_variable=weights,
        n_without_cluster=n_before - int(complete.sum()),
        n_without_answers=n_empty,
        n_without_covariate=n_ungiven,
    )


def _refuse_combinations(
    variables: Sequence[str],
    ordered: Sequence[str],
    conditional: Sequence[str],
    *,
    cluster: str | None,
    incomplete: bool,
) -> None:
    """What ordered items do not go together with."""
    unknown = [name for name in ordered if name not in variables]
    if unknown:
        raise OptionError(
            f"ordered= names {', '.join(repr(name) for name in unknown)}, which "
            f"{'is' if len(unknown) == 1 else 'are'} not among the variables.",
            remedy=f"Variables: {', '.join(map(str, variables))}.",
        )
    both = [name for name in conditional if name in ordered]
    if both:
        raise UnsupportedError(
            f"{', '.join(repr(name) for name in both)} cannot be an ordered covariate.",
            remedy="Leave it out of ordered=, or make columns of 0 and 1 of its categories.",
        )
    if conditional and not ordered:
        raise UnsupportedError("Statistics given covariates are there for ordered items only.")
    if cluster is not None:
        raise UnsupportedError(
            "Ordered items with cluster= are not available.",
            remedy="Take the answers as numbers with estimator='MLR'.",
        )
    if incomplete:
        raise UnsupportedError(
            "Full information from incomplete ordered answers is not available.",
            remedy="Use missing='pairwise' or missing='listwise'.",
        )


def _sampling_weights(frame: pd.DataFrame, name: str, used: NDArray[np.bool_]) -> Array:
    """Weights of all rows, rescaled to sum to the rows used; refused unless positive there."""
    values = numeric_columns(frame, [list(frame.columns).index(name)])[:, 0]
    bad = np.flatnonzero(used & ~(np.isfinite(values) & (values > 0)))
    if bad.size:
        shown = ", ".join(f"{values[row]:g} in row {frame.index[row]}" for row in bad[:3])
        raise SurveyError(
            f"Sampling weights must be positive numbers; {name!r} has {bad.size} that "
            f"{'is' if bad.size == 1 else 'are'} not ({shown}).",
            remedy="Drop respondents who stand for nobody, and fill in missing weights.",
        )
    return np.asarray(values * (used.sum() / values[used].sum()))


def group_label(value: Any) -> str:
    """Text of a group's code."""
    # A group code read as 1.0 is the researcher's group 1.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _block(
    label: str,
    variables: tuple[str, ...],
    cases: Array,
    weights: Array | None = None,
    clusters: NDArray[np.int64] | None = None,
) -> Block:
    n = len(cases)
    of_group = f" in group {label!r}" if label else ""
    if n < 2:
        raise SurveyError(
            f"There {'is' if n == 1 else 'are'} {n} complete respondent{'' if n == 1 else 's'}"
            f"{of_group}; a covariance needs at least two.",
            remedy="Drop or merge the group." if label else None,
        )
    means, covariance = (
        mean_and_covariance(cases)
        if weights is None
        else weighted_mean_and_covariance(cases, weights)
    )
    flat = np.diag(covariance) <= 1e-14 * np.maximum(means**2, 1e-300)
    refuse_constant(
        [variables[j] for j in np.flatnonzero(flat) if np.ptp(cases[:, j]) == 0.0], of_group
    )
    return Block(label, variables, n, covariance, means, cases, weights=weights, clusters=clusters)


def incomplete_block(
    label: str,
    variables: tuple[str, ...],
    cases: Array,
    weights: Array | None = None,
    clusters: NDArray[np.int64] | None = None,
) -> Block:
    """A block with gaps: means and covariance by EM.

    The last few are remembered by their content: a study fits many models to the same answers.
    """
    if cases.size > _MOST_REMEMBERED:
        return _incomplete_block(label, variables, cases, weights, clusters)
    content = (
        None if values is None else (values.shape, values.dtype.str, values.tobytes())
        for values in (cases, weights, clusters)
    )
    return remembered_block(label, variables, *content)


@lru_cache(maxsize=16)
def remembered_block(label: str, variables: tuple[str, ...], *content: _Content | None) -> Block:
    """A block with gaps from the content of its arrays."""
    cases, weights, clusters = (
        None if known is None else np.frombuffer(known[2], dtype=known[1]).reshape(known[0])
        for known in content
    )
    assert cases is not None
    return _incomplete_block(label, variables, cases, weights, clusters)


def _incomplete_block(
    label: str,
    variables: tuple[str, ...],
    cases: Array,
    weights: Array | None,
    clusters: NDArray[np.int64] | None,
) -> Block:
    of_group = f" in group {label!r}" if label else ""
    there = ~np.isnan(cases)
    nobody = [name for j, name in enumerate(variables) if not there[:, j].any()]
    if nobody:
        raise SurveyError(
            f"Nobody{of_group} answered {', '.join(repr(name) for name in nobody)}.",
            remedy="Leave the item out of the model, or the group out of the data.",
        )
    ranges = np.nanmax(cases, axis=0) - np.nanmin(cases, axis=0)
    refuse_constant([variables[j] for j in np.flatnonzero(ranges == 0.0)], of_group)
    found = em_moments(cases, weights, variables)
    return Block(
        label,
        variables,
        len(cases),
        found.covariance,
        found.mean,
        cases,
        weights=weights,
        clusters=clusters,
        patterns=pattern_data(cases, weights),
        is_settled=found.converged,
    )


def _as_matrix(matrix: Any, label: str) -> tuple[tuple[str, ...] | None, NDArray[np.float64]]:
    names = None
    if isinstance(matrix, pd.DataFrame):
        names = tuple(str(name) for name in matrix.columns)
        values = matrix.to_numpy(dtype=np.float64)
    else:
        values = np.asarray(matrix, dtype=np.float64)
    of_group = f" of group {label!r}" if label else ""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise InputError(f"The covariance matrix{of_group} is not square: {values.shape}.")
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"The covariance matrix{of_group} has no number in cell ({i + 1}, {j + 1})."
        )
    gap = np.abs(values - values.T)
    if gap.max() > 1e-8 * max(np.abs(values).max(), 1.0):
        i, j = np.unravel_index(int(np.argmax(gap)), gap.shape)
        first, second = (names[i], names[j]) if names else (str(i + 1), str(j + 1))
        raise InputError(
            f"The covariance matrix{of_group} is not symmetric: ({first}, {second}) is "
            f"{values[i, j]:.6g} but ({second}, {first}) is {values[j, i]:.6g}.",
            remedy="Give the full matrix, or mirror its lower triangle first.",
        )
    return names, (values + values.T) / 2.0


def moments_from_matrices(
    cov: Any,
    n_obs: Any,
    *,
    mean: Any = None,
    names: Sequence[str] | None = None,
    divisor: str = "n-1",
    group_variable: str | None = None,
) -> Moments:
    """Moments from published matrices.

    Parameters
    ----------
    cov : DataFrame, array or mapping of label to these
        Covariance matrices. A correlation matrix is taken as it stands.
    n_obs : int or mapping of label to int
        Respondents behind each matrix.
    mean : Series, array or mapping, optional
        Means, in the order of the matrix.
    names : sequence of str, optional
        Names of the variables when the matrices have none.
    divisor : {"n-1", "n"}
        What the sums of squares were divided by. ``"n-1"`` is what programs print; the
        matrix is then rescaled by (n - 1) / n.
    """
    grouped = isinstance(cov, Mapping)
    covs: dict[str, Any] = {str(k): v for k, v in cov.items()} if grouped else {"": cov}
    counts: dict[str, Any]
    if isinstance(n_obs, Mapping):
        counts = {str(k): v for k, v in n_obs.items()}
    elif isinstance(n_obs, Sequence):
        counts = dict(zip(covs, n_obs, strict=True))
    else:
        counts = dict.fromkeys(covs, n_obs)
    means: dict[str, Any] = dict.fromkeys(covs)
    if mean is not None:
        means = {str(k): v for k, v in mean.items()} if grouped else {"": mean}
    blocks = []
    for label, matrix in covs.items():
        of_group = f" of group {label!r}" if label else ""
        count = counts.get(label)
        if count is None or int(count) != count or count < 2:
            raise InputError(
                f"n_obs{of_group} must be a whole number of at least 2, not {count!r}.",
                remedy="Give the number of respondents behind the matrix, n_obs=.",
            )
        found, values = _as_matrix(matrix, label)
        labels = found if found is not None else tuple(names) if names is not None else None
        if labels is None:
            raise InputError(
                f"The covariance matrix{of_group} has no variable names.",
                remedy="Give a DataFrame whose columns are the item names.",
            )
        if len(set(labels)) != len(labels):
            twice = sorted({name for name in labels if labels.count(name) > 1})
            raise InputError(f"The covariance matrix{of_group} names {', '.join(twice)} twice.")
        at = None
        if means[label] is not None:
            given = means[label]
            at = (
                given.reindex(list(labels)).to_numpy(dtype=np.float64)
                if isinstance(given, pd.Series)
                else np.asarray(given, dtype=np.float64)
            )
            if at.shape != (len(labels),) or not np.isfinite(at).all():
                raise InputError(f"The means{of_group} do not match the {len(labels)} variables.")
        scale = (count - 1) / count if divisor == "n-1" else 1.0
        blocks.append(Block(label, labels, int(count), values * scale, at))
    total = sum(block.n_obs for block in blocks)
    return Moments(
        tuple(blocks), group_variable=group_variable if grouped else None, n_received=total
    )
