"""A reference fit, run through the public functions."""

from __future__ import annotations

import warnings
from functools import cache

import sqvalid
from sqvalid.errors import SqvalidWarning

from . import library

# Options of the reference that steer R's optimiser and have no meaning here: the reference
# took care that the first indicator is the marker, and one attempt is all that is needed.
OPTIMISER_ONLY = ("bad.marker.crit", "optim.attempts", "iseed")


def call_arguments(fit: library.Fit) -> dict:
    """lavaan's arguments in our spelling, data included."""
    out = {}
    for name, value in fit.arguments.items():
        if name in OPTIMISER_ONLY:
            continue
        if name == "sample.cov":
            out["cov"] = library.matrix(value)
        elif name == "sample.nobs":
            out["n_obs"] = value
        elif isinstance(value, list):
            out[name.replace(".", "_")] = tuple(value)
        else:
            out[name.replace(".", "_")] = value
    if "cov" not in out:
        out["data"] = library.frame(fit.file)
    return out


def fit_again(fit: library.Fit, model: str | None = None, **options):
    """Fit with more options; sqvalid's own warnings are about the model, not the test."""
    function = getattr(sqvalid, fit.function)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SqvalidWarning)
        return function(model or fit.model, **(call_arguments(fit) | options))


@cache
def result(name: str):
    """The fit of that name, computed once."""
    return fit_again(next(fit for fit in library.fits() if fit.name == name))
