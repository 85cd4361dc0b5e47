"""Random streams: the same numbers on every machine and every version of numpy.

Each replicate has a stream of its own, so results do not depend on how the work is divided.
Draws are made from the raw 64-bit output of PCG64 by the steps documented here, because
numpy promises the bit stream but not the distributions derived from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def uniforms(seed: int, replicate: int, size: int) -> Array:
    """Uniform draws of one replicate.

    The upper 53 bits of each output, plus one half, times 2 to the power of -53.

    Parameters
    ----------
    seed : int
        Seed of the analysis.
    replicate : int
        Number of the stream.
    size : int
        How many draws.

    Returns
    -------
    ndarray, shape (size,)
        In the open interval (0, 1).

    Examples
    --------
    >>> bool((uniforms(1, 0, 3) == uniforms(1, 0, 5)[:3]).all())
    True
    """
    generator = np.random.PCG64(np.random.SeedSequence([seed, replicate]))
    raw = generator.random_raw(size)
    return ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
