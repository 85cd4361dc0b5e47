r"""Incremental fit indices: the model against its baseline.

Every function takes plain numbers and returns one number. An index that is not defined
for its arguments is NaN; :func:`sqvalid.latent.fit_indices.undefined` tells why.

Symbols used below: :math:`T` and :math:`d` are the model's statistic and degrees of freedom,
:math:`T_b` and :math:`d_b` those of the baseline (independence) model, :math:`c` and
:math:`c_b` the scaling factors of the two statistics (1 where nothing is scaled).
"""

from __future__ import annotations

import math

NAN = math.nan


def cfi(
    stat: float,
    df: float,
    baseline_stat: float,
    baseline_df: float,
    *,
    scaling: float = 1.0,
    baseline_scaling: float = 1.0,
) -> float:
    r"""Comparative fit index.

    .. math:: 1 - \frac{\max(T - c d, 0)}{\max(T - c d,\; T_b - c_b d_b,\; 0)}

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.
    scaling, baseline_scaling : float
        Scaling factors c and c_b; with the *unscaled* statistics they give the robust CFI.

    Returns
    -------
    float
        In [0, 1]; 1 when neither model is worse than its degrees of freedom.

    References
    ----------
    Bentler (1990); robust version: Brosseau-Liard & Savalei (2014).
    """
    # A model that restricts nothing leaves rounding for a statistic.
    excess = 0.0 if df == 0 and not math.isnan(stat) else stat - scaling * df
    baseline_excess = baseline_stat - baseline_scaling * baseline_df
    if math.isnan(excess) or math.isnan(baseline_excess) or df < 0:
        return NAN
    numerator = max(excess, 0.0)
    denominator = max(excess, baseline_excess, 0.0)
    return 1.0 if denominator == 0 else 1.0 - numerator / denominator


def tli(
    stat: float,
    df: float,
    baseline_stat: float,
    baseline_df: float,
    *,
    scaling: float = 1.0,
    baseline_scaling: float = 1.0,
) -> float:
    r"""Tucker-Lewis index, also called the non-normed fit index (NNFI).

    .. math:: 1 - \frac{(T - c d)\, d_b}{(T_b - c_b d_b)\, d}

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.
    scaling, baseline_scaling : float
        Scaling factors; with the unscaled statistics they give the robust TLI.

    Returns
    -------
    float
        Not bounded; 1 when `df` is 0, by convention.

    References
    ----------
    Tucker & Lewis (1973); Bentler & Bonett (1980); robust: Brosseau-Liard & Savalei (2014).
    """
    if math.isnan(stat) or math.isnan(baseline_stat) or df < 0:
        return NAN
    if df == 0:
        return 1.0
    numerator = (stat - scaling * df) * baseline_df
    denominator = (baseline_stat - baseline_scaling * baseline_df) * df
    return NAN if denominator == 0 else 1.0 - numerator / denominator


def rfi(stat: float, df: float, baseline_stat: float, baseline_df: float) -> float:
    r"""Relative fit index: ``1 - (T / d) / (T_b / d_b)``.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.

    Returns
    -------
    float
        At most 1; 1 when `df` is 0, by convention; NaN when the model has more degrees of
        freedom than the baseline.

    References
    ----------
    Bollen (1986).
    """
    if math.isnan(stat) or math.isnan(baseline_stat) or df < 0 or df > baseline_df:
        return NAN
    if df == 0:
        return 1.0
    if baseline_stat == 0:
        return NAN
    return 1.0 - (stat / df) / (baseline_stat / baseline_df)


def nfi(stat: float, df: float, baseline_stat: float, baseline_df: float) -> float:
    r"""Normed fit index: ``(T_b - T) / T_b``.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.

    Returns
    -------
    float
        At most 1; NaN when the model has more degrees of freedom than the baseline (which a
        mean-and-variance adjusted statistic can bring about) or the baseline fits perfectly.

    References
    ----------
    Bentler & Bonett (1980).
    """
    if math.isnan(stat) or df < 0 or df > baseline_df or not baseline_stat > 0:
        return NAN
    return (baseline_stat - stat) / baseline_stat


def pnfi(stat: float, df: float, baseline_stat: float, baseline_df: float) -> float:
    r"""Parsimony normed fit index: ``(d / d_b) (T_b - T) / T_b``.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.

    Returns
    -------
    float
        NaN when the baseline has no degrees of freedom or fits perfectly.

    References
    ----------
    James, Mulaik & Brett (1982).
    """
    if math.isnan(stat) or df < 0 or not baseline_df > 0 or not baseline_stat > 0:
        return NAN
    return df / baseline_df * (baseline_stat - stat) / baseline_stat


def ifi(stat: float, df: float, baseline_stat: float, baseline_df: float) -> float:
    r"""Incremental fit index: ``(T_b - T) / (T_b - d)``.

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.

    Returns
    -------
    float
        Not bounded; NaN when the denominator is 0 or there is no baseline.

    References
    ----------
    Bollen (1989).
    """
    denominator = baseline_stat - df
    if math.isnan(stat) or math.isnan(baseline_df) or df < 0 or denominator == 0:
        return NAN
    return (baseline_stat - stat) / denominator


def rni(
    stat: float,
    df: float,
    baseline_stat: float,
    baseline_df: float,
    *,
    scaling: float = 1.0,
    baseline_scaling: float = 1.0,
) -> float:
    r"""Relative noncentrality index: the CFI without its truncation.

    .. math:: 1 - \frac{T - c d}{T_b - c_b d_b}

    Parameters
    ----------
    stat, df : float
        The model's statistic and degrees of freedom.
    baseline_stat, baseline_df : float
        Those of the baseline model.
    scaling, baseline_scaling : float
        Scaling factors; with the unscaled statistics they give the robust RNI.

    Returns
    -------
    float
        Not bounded; NaN when the baseline's excess is 0.

    References
    ----------
    McDonald & Marsh (1990).
    """
    denominator = baseline_stat - baseline_scaling * baseline_df
    if math.isnan(stat) or df < 0 or denominator == 0:
        return NAN
    return 1.0 - (stat - scaling * df) / denominator
