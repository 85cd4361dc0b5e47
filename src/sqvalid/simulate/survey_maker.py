"""simulate_survey: a population answers a questionnaire, defects and all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sqvalid.errors import OptionError
from sqvalid.instruments import Instrument
from sqvalid.resampling import uniforms
from sqvalid.simulate.defects import Sheet, plant
from sqvalid.simulate.draws import MinorFactors, Purpose, latent_responses, stream
from sqvalid.simulate.plans import (
    Attention,
    Careless,
    Clusters,
    Column,
    Duration,
    Group,
    Missing,
    OutOfRange,
)
from sqvalid.simulate.population import Population, population_from_text
from sqvalid.survey import Survey

__all__ = ["SEVEN_POINTS", "SimulatedSurvey", "simulate_survey"]

Array = NDArray[np.float64]

SEVEN_POINTS = (-2.2, -1.7, -1.2, -0.55, 0.15, 1.0)
"""Cuts of a standard normal latent response: mean 5.1, skewness about -.65, on 1 to 7."""

_SEED = 20261122


@dataclass(frozen=True, repr=False, eq=False)
class SimulatedSurvey:
    """Simulated answers, and everything that is known about them because they are simulated.

    Parameters
    ----------
    frame : pandas.DataFrame, shape (n, columns)
        The answers as respondents ticked them; index ``respondent`` from 1.
    latent : pandas.DataFrame, shape (n, v)
        Scores on the latent variables and latent responses behind the answers, before any
        careless or mistyped answer. Duplicate rows have the scores of what they copy.
    population : Population
        What the answers were drawn from; without minor factors.
    minor_loadings : pandas.DataFrame, shape (p, factors)
        Loadings on the minor factors.
    planted : mapping
        Which respondents and cells have which defect: ``careless`` (kind to respondents),
        ``duplicates`` (respondent to the one copied), ``out_of_range`` (list of respondent,
        item, answer, recorded), ``missing`` (name to number of cells), ``attention_failed``.
    instrument : Instrument, optional
        What was asked.
    """

    frame: pd.DataFrame
    latent: pd.DataFrame
    population: Population
    minor_loadings: pd.DataFrame
    planted: Mapping[str, Any]
    instrument: Instrument | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "planted", MappingProxyType(dict(self.planted)))

    def __repr__(self) -> str:
        return f"<SimulatedSurvey: {len(self.frame)} respondents, {self.frame.shape[1]} columns>"

    def survey(self, dimensions: Mapping[str, Sequence[str]] | None = None) -> Survey:
        """Return the answers as a Survey.

        Parameters
        ----------
        dimensions : mapping of str to sequence of str, optional
            Needed when there is no instrument.

        Raises
        ------
        SurveyError
            The answers have what a Survey refuses, such as planted answers out of range.
        """
        return Survey(self.frame, self.instrument, dimensions or {})

    def to_csv(self) -> str:
        """Return the answers as CSV text: integers where all numbers are whole, LF ends."""
        columns = {}
        for name, column in self.frame.items():
            if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
                columns[name] = column.astype("Int64")
            else:
                columns[name] = column
        shown = pd.DataFrame(columns, index=self.frame.index)
        return shown.to_csv(lineterminator="\n")


def _assign(group: Group, draw: Array) -> NDArray[np.int64]:
    """Return the level number of every respondent."""
    n = len(draw)
    sizes = list(group.levels.values())
    if group.counted:
        if sum(sizes) != n:
            raise OptionError(
                f"Group {group.name!r}: its levels have {sum(sizes)} respondents, the survey {n}.",
                remedy="Make the numbers add up to n, or give shares.",
            )
        order = np.argsort(draw, kind="stable")
        out = np.empty(n, dtype=np.int64)
        out[order] = np.repeat(np.arange(len(sizes)), [int(size) for size in sizes])
        return out
    if abs(sum(sizes) - 1.0) > 1e-9:
        raise OptionError(
            f"Group {group.name!r}: its shares add up to {sum(sizes):g}.",
            remedy="Make them add up to 1, or give whole numbers of respondents.",
        )
    edges = np.cumsum(sizes)[:-1]
    return np.searchsorted(edges, draw, side="right").astype(np.int64)


def _members(
    clusters: Clusters, levels: Mapping[str, tuple[Group, NDArray[np.int64]]], order: Array
) -> NDArray[np.int64]:
    """Return the cluster of every respondent, from 0; clusters are as equal as can be."""
    n = len(order)
    if not isinstance(clusters.n, Mapping):
        places = np.argsort(np.argsort(order, kind="stable"), kind="stable")
        return np.asarray(places % clusters.n, dtype=np.int64)
    if clusters.within is None or clusters.within not in levels:
        raise OptionError(
            f"Clusters {clusters.name!r} lie within {clusters.within!r}, which is no group.",
            remedy=f"Groups: {', '.join(levels) or 'none'}.",
        )
    group, member = levels[clusters.within]
    out, first = np.empty(n, dtype=np.int64), 0
    for number, label in enumerate(group.levels):
        if label not in clusters.n:
            raise OptionError(
                f"Clusters {clusters.name!r} have no number for level {label!r}.",
                remedy=f"Levels of {group.name!r}: {', '.join(group.levels)}.",
            )
        rows = np.flatnonzero(member == number)
        places = np.argsort(np.argsort(order[rows], kind="stable"), kind="stable")
        out[rows] = first + places % clusters.n[label]
        first += clusters.n[label]
    return out


def _cuts(
    items: Sequence[str],
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None,
    population: Population,
) -> dict[str, tuple[float, ...]]:
    """Return the cuts of every item that has some; the text's own come last."""
    found: dict[str, Sequence[float]] = dict(population.thresholds)
    if isinstance(thresholds, Mapping):
        for item in thresholds:
            population.place(item)
        found = {**thresholds, **found}
    elif thresholds is not None:
        found = {**dict.fromkeys(items, thresholds), **found}
    for item, cuts in found.items():
        if len(cuts) < 1 or any(b <= a for a, b in pairwise(cuts)):
            raise OptionError(
                f"The thresholds of {item!r} are {', '.join(f'{c:g}' for c in cuts)}.",
                remedy="Give ascending thresholds, at least one.",
            )
    return {item: tuple(map(float, found[item])) for item in items if item in found}


def simulate_survey(
    population: str | Population,
    n: int,
    *,
    seed: int = _SEED,
    replicate: int = 0,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None = SEVEN_POINTS,
    standardized: bool = True,
    instrument: Instrument | None = None,
    reverse: Sequence[str] | None = None,
    minor_factors: MinorFactors | None = None,
    shapes: Mapping[str, tuple[float, float]] | None = None,
    groups: Sequence[Group] = (),
    clusters: Clusters | None = None,
    columns: Mapping[str, Column] | None = None,
    careless: Careless | None = None,
    duration: Duration | None = None,
    attention: Attention | None = None,
    missing: Sequence[Missing] = (),
    duplicates: int = 0,
    out_of_range: OutOfRange | None = None,
) -> SimulatedSurvey:
    """Draw the answers of n respondents from a population, with defects where asked for.

    The same arguments give the same categories on every machine and with every version of numpy
    (continuous values may differ in the last digit): each purpose draws from a stream of its
    own (:mod:`sqvalid.resampling`). Without counted groups, clusters, careless respondents,
    duplicates and answers out of range, the first rows of a larger sample are those of a
    smaller one.

    Parameters
    ----------
    population : str or Population
        Model text in lavaan's language in which every parameter has a value; see
        :func:`population_from_text`. A wording factor is a factor of the text.
    n : int
        Respondents, rows of the file.
    seed, replicate : int
        Of the random numbers; samples of one study differ by `replicate`.
    thresholds : sequence of float, mapping of str to sequence of float, or None
        Where the latent response, measured in the population's units, is cut into 1, 2, ...;
        for all items, or item by item. Items without thresholds stay continuous; all do when
        None and the text has none.
    standardized : bool
        See :func:`population_from_text`.
    instrument : Instrument, optional
        What was asked; its reverse-worded items are recorded as they were ticked.
    reverse : sequence of str, optional
        Items that are recorded as (number of categories + 1) - answer; those of the
        instrument when None.
    minor_factors : MinorFactors, optional
        Model error.
    shapes : mapping of str to tuple of float, optional
        Variable to skewness and excess kurtosis of the draw behind its disturbance.
    groups : sequence of Group, optional
        Columns that make groups.
    clusters : Clusters, optional
        Respondents who belong together.
    columns : mapping of str to Column, optional
        Observed variables of the population that are no items.
    careless, duration, attention, missing, duplicates, out_of_range : optional
        Planted defects; see the classes. `duplicates` rows are overwritten by a copy of
        another row (of the same groups).

    Returns
    -------
    SimulatedSurvey

    Raises
    ------
    ModelError
        The population is impossible or has a parameter without a value.
    OptionError
        An option that does not fit the population or the others.

    Examples
    --------
    >>> drawn = simulate_survey("F =~ 0.8*a + 0.7*b + 0.6*c", 200, seed=1)
    >>> drawn.frame.shape, int(drawn.frame.to_numpy().min())
    ((200, 3), 1)
    """
    if n < 1:
        raise OptionError(f"n={n} respondents cannot be drawn.", remedy="Give n of at least 1.")
    if isinstance(population, str):
        population = population_from_text(population, standardized=standardized)
    columns = dict(columns or {})
    for name in (*columns, *(v for g in groups for s in g.shifts.values() for v in s)):
        population.place(name)
    items = [name for name in population.observed if name not in columns]
    cuts = _cuts(items, thresholds, population)
    size = len(population.names)

    draw = uniforms(seed, stream(replicate, Purpose.GROUPS), n * len(groups))
    levels: dict[str, tuple[Group, NDArray[np.int64]]] = {}
    shifts = np.zeros((n, size))
    for group, own in zip(groups, draw.reshape(n, len(groups)).T, strict=True):
        levels[group.name] = (group, _assign(group, own))
        for number, label in enumerate(group.levels):
            rows = levels[group.name][1] == number
            for variable, shift in group.shifts.get(label, {}).items():
                shifts[rows, population.place(variable)] += shift
    members, icc = None, np.zeros(size)
    if clusters is not None:
        order = uniforms(seed, stream(replicate, Purpose.CLUSTER_MEMBERS), n)
        members = _members(clusters, levels, order)
        icc[[population.place(name) for name in clusters.variables]] = clusters.icc
    variables, minor = latent_responses(
        population,
        n,
        seed=seed,
        replicate=replicate,
        minor=minor_factors,
        shapes=shapes or {},
        shifts=shifts,
        members=members,
        icc=icc,
    )
    if reverse is None:
        known = () if instrument is None else instrument.items
        reverse = [item.id for item in known if item.reverse and item.id in cuts]
    for name in reverse:
        if name not in cuts:
            raise OptionError(
                f"Item {name!r} cannot be reversed: it has no categories.",
                remedy="Give it thresholds.",
            )
    sheet = Sheet(
        answers={
            name: 1.0
            + np.searchsorted(cuts[name], variables[:, population.place(name)], side="left")
            if name in cuts
            else variables[:, population.place(name)].copy()
            for name in items
        },
        categories={name: len(cut) + 1 for name, cut in cuts.items()},
        reverse=frozenset(reverse),
        background=_background(population, variables, columns, levels, clusters, members),
        strata=_strata(levels, n),
    )
    planted = plant(
        sheet,
        seed=seed,
        replicate=replicate,
        careless=careless,
        duration=duration,
        attention=attention,
        missing=missing,
        duplicates=duplicates,
        out_of_range=out_of_range,
    )
    index = pd.RangeIndex(1, n + 1, name="respondent")
    latent = pd.DataFrame(variables, columns=list(population.names), index=index)
    for copy, original in planted["duplicates"].items():
        latent.loc[copy] = latent.loc[original]
    names = [f"M{k}" for k in range(1, minor.shape[1] + 1)]
    return SimulatedSurvey(
        frame=pd.DataFrame({**sheet.background, **sheet.answers}, index=index),
        latent=latent,
        population=population,
        minor_loadings=pd.DataFrame(minor, index=list(population.observed), columns=names),
        planted=planted,
        instrument=instrument,
    )


def _background(
    population: Population,
    variables: Array,
    columns: Mapping[str, Column],
    levels: Mapping[str, tuple[Group, NDArray[np.int64]]],
    clusters: Clusters | None,
    members: NDArray[np.int64] | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (group, member) in levels.items():
        found[name] = np.array(list(group.levels), dtype=object)[member]
    if clusters is not None and members is not None:
        found[clusters.name] = members + 1
    for name, column in columns.items():
        value = column.location + column.spread * variables[:, population.place(name)]
        if column.logarithmic:
            value = np.exp(value)
        found[name] = np.round(value, column.digits)
    return found


def _strata(levels: Mapping[str, tuple[Group, NDArray[np.int64]]], n: int) -> NDArray[np.int64]:
    out = np.zeros(n, dtype=np.int64)
    for group, member in levels.values():
        out = out * len(group.levels) + member
    return out
