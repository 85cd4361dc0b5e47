r"""Power of tests of fit from the RMSEA alone, without a simulation.

With :math:`n` respondents, a model with d degrees of freedom whose RMSEA in the population is
:math:`\epsilon` has a chi-square that is noncentral with :math:`\lambda = (n - 1) d \epsilon^2`. A
test of the hypothesis that it is :math:`\epsilon_0` at most (close fit: .05; exact fit: 0) rejects
above the upper quantile of the distribution under :math:`\epsilon_0`; a test that it is
:math:`\epsilon_0` at least (not-close fit) rejects below the lower one.
"""

from __future__ import annotations

import math

from scipy import special

from sqvalid.errors import OptionError
from sqvalid.latent.absolute_fit import noncentral_chisq_sf

__all__ = ["power_of_rmsea_test", "sample_size_for_rmsea_test"]

_LARGEST_N = 10_000_000


def _check(rmsea_null: float, rmsea_true: float, df: float, alpha: float, n_groups: int) -> None:
    for name, value in (("rmsea_null", rmsea_null), ("rmsea_true", rmsea_true)):
        if not (math.isfinite(value) and value >= 0.0):
            raise OptionError(f"{name}={value!r} is no RMSEA.", remedy="Give a number from 0 up.")
    if rmsea_null == rmsea_true:
        raise OptionError(
            f"rmsea_null and rmsea_true are both {rmsea_null:g}: there is nothing to detect.",
            remedy="Close fit: 0.05 against 0.08. Not-close fit: 0.05 against 0.01.",
        )
    if not df > 0:
        raise OptionError(
            f"df={df!r}: a model without degrees of freedom has no test of fit.",
            remedy="Give the degrees of freedom of the model.",
        )
    if not 0.0 < alpha < 1.0:
        raise OptionError(f"alpha={alpha!r} must lie between 0 and 1.", remedy="Try 0.05.")
    if n_groups < 1:
        raise OptionError(f"n_groups={n_groups!r} must be 1 or more.")


def _power(
    rmsea_null: float, rmsea_true: float, df: float, n: float, alpha: float, n_groups: int
) -> float:
    null, true = ((n - 1.0) * df * e * e / n_groups for e in (rmsea_null, rmsea_true))
    share = 1.0 - alpha if rmsea_true > rmsea_null else alpha
    if null > 0.0:
        critical = float(special.chndtrix(share, df, null))
    else:
        critical = float(special.chdtri(df, 1.0 - share))
    if rmsea_true > rmsea_null:
        return noncentral_chisq_sf(critical, df, true)
    return (
        float(special.chndtr(critical, df, true))
        if true > 0.0
        else 1.0 - float(special.chdtrc(df, critical))
    )


def power_of_rmsea_test(
    rmsea_null: float,
    rmsea_true: float,
    df: float,
    n: float,
    *,
    alpha: float = 0.05,
    n_groups: int = 1,
) -> float:
    """Power of a test of fit by the RMSEA.

    Parameters
    ----------
    rmsea_null : float
        RMSEA under the hypothesis: 0.05 for close and not-close fit, 0 for exact fit.
    rmsea_true : float
        RMSEA in the population. Above `rmsea_null` the test is of close (or exact) fit, below it
        of not-close fit.
    df : float
        Degrees of freedom of the model.
    n : float
        Respondents, all groups together.
    alpha : float
        Level of the test.
    n_groups : int
        Groups of the model.

    Returns
    -------
    float
        Probability that the test rejects.

    Raises
    ------
    OptionError
        A value that is out of range, or equal RMSEA.

    References
    ----------
    MacCallum, Browne & Sugawara (1996), Psychological Methods 1, 130-149.

    Examples
    --------
    >>> round(power_of_rmsea_test(0.05, 0.08, df=100, n=200), 3)
    0.955
    """
    _check(rmsea_null, rmsea_true, df, alpha, n_groups)
    if not n > 1:
        raise OptionError(f"n={n!r} must be above 1.", remedy="Give the number of respondents.")
    return _power(rmsea_null, rmsea_true, df, n, alpha, n_groups)


def sample_size_for_rmsea_test(
    rmsea_null: float,
    rmsea_true: float,
    df: float,
    *,
    power: float = 0.80,
    alpha: float = 0.05,
    n_groups: int = 1,
) -> int:
    """Respondents that a test of fit by the RMSEA needs.

    Parameters
    ----------
    rmsea_null, rmsea_true, df, alpha, n_groups
        As for :func:`power_of_rmsea_test`.
    power : float
        Probability of rejecting that is wanted.

    Returns
    -------
    int
        The smallest number, all groups together, whose power is not below `power`.

    Raises
    ------
    OptionError
        A value that is out of range, or more than ten million respondents.

    References
    ----------
    MacCallum, Browne & Sugawara (1996), Psychological Methods 1, 130-149.

    Examples
    --------
    >>> sample_size_for_rmsea_test(0.05, 0.08, df=100)
    132
    """
    _check(rmsea_null, rmsea_true, df, alpha, n_groups)
    if not alpha < power < 1.0:
        raise OptionError(
            f"power={power!r} must lie between alpha and 1.", remedy="Try power=0.80."
        )

    def enough(n: int) -> bool:
        return _power(rmsea_null, rmsea_true, df, n, alpha, n_groups) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > _LARGEST_N:
            raise OptionError(
                f"More than {_LARGEST_N:,} respondents would be needed.",
                remedy="Take values of the RMSEA that lie further apart.",
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
