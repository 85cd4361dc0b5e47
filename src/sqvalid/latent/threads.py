"""One thread for small matrices.

Matrices of a model are small: a BLAS that spreads each product over all cores spends its time
waking threads, and on a busy machine waits for them; fits have been seen to take fifty times
as long. Parallel work belongs to loops over fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - its BLAS must be loaded before it can be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
