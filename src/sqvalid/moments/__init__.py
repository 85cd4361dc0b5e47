"""Sample statistics that the estimators read: one block per group (and level).

Whatever an estimator needs of the data stands in a :class:`Block`; a published covariance
matrix with its n is as good as a file of answers for everything that can be computed from it.
"""

from sqvalid.moments.blocks import Block, Moments, vech_places
from sqvalid.moments.build import moments_from_frame, moments_from_matrices
from sqvalid.moments.stream import stream_moments

__all__ = [
    "Block",
    "Moments",
    "moments_from_frame",
    "moments_from_matrices",
    "stream_moments",
    "vech_places",
]
