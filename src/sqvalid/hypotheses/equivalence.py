"""Which arrows of a path model could as well point the other way.

Two recursive models with the same variables fit every covariance matrix alike when they have
the same neighbours and the same colliders whose causes are not neighbours (Verma & Pearl 1990).
An arrow that has one direction in all models that fit like the given one is compelled; Meek's
(1995) rules find these.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

__all__ = ["reversible_arrows"]

Arrow = tuple[str, str]


def reversible_arrows(arrows: Iterable[Arrow]) -> frozenset[Arrow]:
    """Return the arrows that some model of exactly the same fit turns round.

    Parameters
    ----------
    arrows : iterable of (cause, effect)
        Of a model without loops and without covariances of disturbances. Exogenous variables
        that covary freely are joined by arrows in any order without loops.

    Returns
    -------
    frozenset of (cause, effect)

    References
    ----------
    Verma & Pearl (1990); Meek (1995); for structural equation models: Lee & Hershberger (1990).

    Examples
    --------
    >>> sorted(reversible_arrows([("SQ", "SAT"), ("SAT", "RPI")]))
    [('SAT', 'RPI'), ('SQ', 'SAT')]
    >>> sorted(reversible_arrows([("SQ", "RPI"), ("SAT", "RPI")]))
    []
    """
    given = set(arrows)
    nodes = {name for arrow in given for name in arrow}
    near = {name: {b for a, b in given if a == name} | {a for a, b in given if b == name}
            for name in nodes}  # fmt: skip
    fixed = {
        (cause, effect)
        for effect in nodes
        for pair in combinations(sorted(a for a, b in given if b == effect), 2)
        if pair[1] not in near[pair[0]]
        for cause in pair
    }
    while True:
        found = {
            (a, b)
            for a, b in given | {(b, a) for a, b in given}
            if (a, b) not in fixed and (b, a) not in fixed and _compelled(a, b, fixed, near)
        }
        if not found:
            return frozenset(given - fixed)
        fixed |= found


def _compelled(a: str, b: str, fixed: set[Arrow], near: dict[str, set[str]]) -> bool:
    """Meek's rules for the undirected pair a - b: whether it has to be a -> b."""
    # Otherwise b -> a would make a new collider with a cause of a that is no neighbour of b.
    if any((c, a) in fixed and c not in near[b] for c in near[a] - {b}):
        return True
    # Otherwise b -> a would close a loop.
    if any((a, c) in fixed and (c, b) in fixed for c in near[a] & near[b]):
        return True
    # Otherwise one of two undirected ways from a to b would be a new collider at a.
    into = [c for c in near[a] & near[b] if (c, b) in fixed and not _directed(a, c, fixed)]
    return any(d not in near[c] for c, d in combinations(into, 2))


def _directed(a: str, b: str, fixed: set[Arrow]) -> bool:
    return (a, b) in fixed or (b, a) in fixed
