r"""Rotation of factor loadings: criteria with gradients, and gradient projection.

An orthogonal rotation is :math:`L = A T` with :math:`T'T = I`; an oblique one is
:math:`L = A (T')^{-1}` with unit columns in T and factor correlations :math:`\Phi = T'T`.
The criterion Q(L) is minimised by gradient projection (Jennrich 2001, 2002; Bernaards &
Jennrich 2005) until the projected gradient vanishes, not until a number of iterations.
"""

from __future__ import annotations

from sqvalid.rotation.criteria import CRITERIA, Criterion, Setting
from sqvalid.rotation.projection import stationarity
from sqvalid.rotation.search import OBLIQUE, ORTHOGONAL, ROTATIONS, Rotation, habit, rotate

__all__ = [
    "CRITERIA",
    "OBLIQUE",
    "ORTHOGONAL",
    "ROTATIONS",
    "Criterion",
    "Rotation",
    "Setting",
    "habit",
    "rotate",
    "stationarity",
]
