"""What a simulated survey can be asked to contain besides honest answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sqvalid.errors import OptionError

__all__ = [
    "Attention",
    "Careless",
    "Clusters",
    "Column",
    "Duration",
    "Group",
    "Missing",
    "OutOfRange",
]


def _share(what: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise OptionError(f"{what}={value:g} is no share.", remedy="Give a number from 0 to 1.")


@dataclass(frozen=True)
class Group:
    """A column that makes groups, and how the groups differ.

    Parameters
    ----------
    name : str
        Of the column.
    levels : mapping of str to int or float
        Label to number of respondents (whole numbers that add up to n) or to share (adding up
        to 1).
    shifts : mapping of str to mapping of str to float
        Label to variable to what is added to its intercept. A shift of a latent variable moves
        what it affects as well.
    """

    name: str
    levels: Mapping[str, float]
    shifts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [level for level in self.shifts if level not in self.levels]
        if unknown:
            raise OptionError(
                f"Group {self.name!r} has shifts for {unknown[0]!r}, which is no level of it.",
                remedy=f"Levels: {', '.join(self.levels)}.",
            )
        if any(size < 0 for size in self.levels.values()) or not self.levels:
            raise OptionError(
                f"Group {self.name!r} needs levels of size zero or more.", remedy="Correct them."
            )
        object.__setattr__(self, "levels", MappingProxyType(dict(self.levels)))
        inner = {level: MappingProxyType(dict(s)) for level, s in self.shifts.items()}
        object.__setattr__(self, "shifts", MappingProxyType(inner))

    @property
    def counted(self) -> bool:
        """Whether the levels are numbers of respondents rather than shares."""
        return all(isinstance(size, int) for size in self.levels.values())


@dataclass(frozen=True)
class Clusters:
    """Respondents who belong together, such as the customers of one employee.

    Parameters
    ----------
    name : str
        Of the column; clusters are numbered from 1.
    n : int, or mapping of str to int
        How many; by level of the group `within` when clusters lie within groups.
    icc : float
        Share of the disturbance variance of `variables` that lies between clusters.
    variables : tuple of str
        Which variables of the population.
    within : str, optional
        Name of a group.
    """

    name: str
    n: int | Mapping[str, int]
    icc: float
    variables: tuple[str, ...]
    within: str | None = None

    def __post_init__(self) -> None:
        _share(f"Clusters {self.name!r}: icc", self.icc)
        if (self.within is None) == isinstance(self.n, Mapping):
            raise OptionError(
                f"Clusters {self.name!r}: a number per level goes with within=, a single number "
                "without.",
                remedy="Give n as a mapping from level to number together with within=.",
            )


@dataclass(frozen=True)
class Column:
    """A variable of the population that is measured on a scale of its own.

    The value is ``exp(location + spread * v)`` where `logarithmic`, else
    ``location + spread * v``, rounded.

    Parameters
    ----------
    location, spread : float
        In the units of the column (in their logarithm where `logarithmic`).
    logarithmic : bool
        Durations and amounts, which are positive and skewed.
    digits : int
        Decimals kept.
    """

    location: float = 0.0
    spread: float = 1.0
    logarithmic: bool = False
    digits: int = 3


@dataclass(frozen=True)
class Missing:
    """Answers that are not there, and why.

    Parameters
    ----------
    items : tuple of str
        Whose answers.
    share : float
        Expected share of these cells.
    by : str, or tuple of str, optional
        Missing at random given this column (or the mean of these items): the log-odds are
        linear in it. Completely at random when None.
    slope : float
        Change of the log-odds per standard deviation of `by`.
    code : int, optional
        Recorded instead of an empty cell, e.g. 99 for "does not apply".
    name : str
        In the record of what was planted.
    """

    items: tuple[str, ...]
    share: float
    by: str | tuple[str, ...] | None = None
    slope: float = 1.0
    code: int | None = None
    name: str = "missing"

    def __post_init__(self) -> None:
        _share(f"Missing {self.name!r}: share", self.share)


@dataclass(frozen=True)
class Careless:
    """Respondents who do not read.

    Of them a share ticks one answer throughout (straight lines), a share answers at random,
    and the rest answers negatively worded items as if they were positive.

    Parameters
    ----------
    share : float
        Of all respondents; the number is rounded.
    straight, random : float
        Shares of the careless.
    pace : float
        Their response time as a share of what it would have been.
    """

    share: float
    straight: float = 0.5
    random: float = 1.0 / 3.0
    pace: float = 0.35

    def __post_init__(self) -> None:
        for what in ("share", "straight", "random"):
            _share(f"Careless: {what}", getattr(self, what))
        if self.straight + self.random > 1.0 + 1e-12:
            raise OptionError(
                f"Careless: straight + random = {self.straight + self.random:g} is more than 1.",
                remedy="The rest is blind to reversal.",
            )


@dataclass(frozen=True)
class Duration:
    """A column with the response time in seconds, log-normal.

    Parameters
    ----------
    name : str
        Of the column.
    median : float
        Of respondents who read.
    spread : float
        Standard deviation of the logarithm.
    """

    name: str
    median: float = 420.0
    spread: float = 0.30


@dataclass(frozen=True)
class Attention:
    """An item that tells what to tick.

    Parameters
    ----------
    name : str
        Of the column.
    answer : int
        The right one.
    failed : float
        Share of attentive respondents who miss it.
    failed_blind : float
        Share of those blind to reversal who miss it. Straight-liners tick what they always
        tick, random respondents anything.
    """

    name: str
    answer: int
    failed: float = 0.01
    failed_blind: float = 0.5


@dataclass(frozen=True)
class OutOfRange:
    """Answers that the scale does not have, such as a key pressed twice.

    Parameters
    ----------
    items : tuple of str
        Where they may be.
    n : int
        How many.
    typed : mapping of int to int, optional
        Right answer to what stands in the file; the digit twice (5 becomes 55) when not named.
    """

    items: tuple[str, ...]
    n: int
    typed: Mapping[int, int] = field(default_factory=dict)
