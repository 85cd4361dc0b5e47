"""Reliability where a general factor stands above, or beside, the factors of the dimensions.

Everything starts from a decomposition of the items into a general and group parts that do not
correlate: a bifactor model has it, a second-order model and an oblique factor solution get it by
Schmid and Leiman's transformation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqvalid.errors import UnsupportedError
from sqvalid.exploratory.extraction import extract

__all__ = [
    "Decomposition",
    "coefficient_h",
    "common_variance_shares",
    "composite_shares",
    "factor_determinacy",
    "percent_uncontaminated",
    "schmid_leiman",
    "second_order_omegas",
]

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# With fewer oblique factors their correlations do not determine second-order loadings.
_FEWEST_FACTORS = 3


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Orthogonal parts of the items.

    Parameters
    ----------
    general : ndarray (p,)
        Loadings on the general factor (of variance one).
    group : ndarray (p, m)
        Loadings on the group factors (of variance one).
    covariance : ndarray (p, p)
        Covariances of the items in the same metric, observed or implied; their sums are the
        variances of sum scores.
    residual : ndarray (p, p)
        Residual covariances.
    membership : ndarray (p, m) of bool
        Which items make up the subscale of a group factor.
    group_correlation : ndarray (m, m), optional
        Where group factors are allowed to correlate; by default they do not.
    """

    general: Array
    group: Array
    covariance: Array
    residual: Array
    membership: Bools
    group_correlation: Array | None = None


def schmid_leiman(
    pattern: Array, phi: Array, *, method: str = "minres"
) -> tuple[Array, Array, Array]:
    r"""Turn an oblique solution into a general and orthogonal group factors.

    With second-order loadings g of the factor correlations (one factor), the general loadings
    are :math:`\Lambda g` and those on group factor j are column j of the pattern times
    :math:`\sqrt{1 - g_j^2}`.

    Parameters
    ----------
    pattern : ndarray (p, m)
        Oblique pattern.
    phi : ndarray (m, m)
        Factor correlations.
    method : {"ml", "minres", "paf"}
        Extraction of the second-order factor.

    Returns
    -------
    general : ndarray (p,)
    group : ndarray (p, m)
    second_order : ndarray (m,)

    Raises
    ------
    UnsupportedError
        Fewer than three factors: their correlations leave the second-order loadings open.

    References
    ----------
    Schmid & Leiman (1957), Psychometrika 22, 53-61.
    """
    m = pattern.shape[1]
    if m < _FEWEST_FACTORS:
        raise UnsupportedError(
            f"A general factor above {m} factors is not determined by their correlations.",
            remedy="Extract three factors or more, or fit a bifactor model with "
            "constraints of your own.",
        )
    second = extract(phi, 1, method).loadings[:, 0]
    general = pattern @ second
    group = pattern * np.sqrt(np.clip(1.0 - second**2, 0.0, None))
    return general, group, second


def composite_shares(parts: Decomposition) -> dict[str, Array]:
    r"""Omega coefficients of the total score and of every subscale's sum score.

    For items of weight 1 in a composite with variance V, the general factor gives
    :math:`(\sum\lambda_g)^2 / V` (omega hierarchical), the group factors
    :math:`\sum_j(\sum\lambda_j)^2 / V`, and both together omega total. A subscale's own share
    is that of its own group factor (omega subscale).

    Parameters
    ----------
    parts : Decomposition
        p items, m group factors.

    Returns
    -------
    dict of str to ndarray (1 + m,)
        ``omega_total``, ``omega_general``, ``omega_group`` (own factor; for the total score all
        group factors) and ``omega_residual`` (one less residual variance over V). The total
        score comes first. ``omega_residual`` equals ``omega_total`` when the decomposition
        reproduces V and no item loads on a foreign group factor.

    References
    ----------
    McDonald (1999); Zinbarg, Revelle, Yovel & Li (2005); Reise (2012); Rodriguez, Reise &
    Haviland (2016).
    """
    p, m = parts.group.shape
    chosen = np.vstack([np.ones((1, p)), parts.membership.T.astype(float)])
    variance = ((chosen @ parts.covariance) * chosen).sum(axis=1)
    general = (chosen @ parts.general) ** 2 / variance
    sums = chosen @ parts.group
    phi = np.eye(m) if parts.group_correlation is None else parts.group_correlation
    own = np.concatenate([[sums[0] @ phi @ sums[0]], sums[np.arange(1, m + 1), np.arange(m)] ** 2])
    own = own / variance
    residual = ((chosen @ parts.residual) * chosen).sum(axis=1) / variance
    return {
        "omega_total": general + own,
        "omega_general": general,
        "omega_group": own,
        "omega_residual": 1.0 - residual,
    }


def common_variance_shares(general: Array, group: Array) -> tuple[float, Array, Array]:
    r"""Explained common variance: share of the communality that the general factor carries.

    Parameters
    ----------
    general : ndarray (p,)
        Standardised loadings.
    group : ndarray (p, m)
        Standardised loadings.

    Returns
    -------
    ecv : float
        :math:`\sum\lambda_g^2 / (\sum\lambda_g^2 + \sum\lambda_s^2)`.
    by_group : ndarray (m,)
        The share of each group factor; with `ecv` they sum to 1.
    by_item : ndarray (p,)
        The same ratio item by item (I-ECV).

    References
    ----------
    Reise, Moore & Haviland (2010); Stucky & Edelen (2015).
    """
    g, s = general**2, group**2
    common = float(g.sum() + s.sum())
    return float(g.sum() / common), np.asarray(s.sum(axis=0) / common), g / (g + s.sum(axis=1))


def percent_uncontaminated(membership: Bools) -> float:
    """Share of the item pairs whose correlation only the general factor explains (PUC).

    Parameters
    ----------
    membership : ndarray (p, m) of bool
        Which items load on which group factor.

    Returns
    -------
    float
        Pairs without a group factor in common, over all pairs.

    References
    ----------
    Reise, Scheines, Widaman & Haviland (2013).
    """
    p = membership.shape[0]
    together = membership.astype(int) @ membership.T.astype(int) > 0
    return float((~together[np.triu_indices(p, 1)]).mean()) if p > 1 else float("nan")


def coefficient_h(loadings: Array) -> float:
    r"""Reliability of the optimally weighted composite of a factor's items (maximal reliability).

    .. math:: H = \left(1 + \frac{1}{\sum \lambda^2 / (1 - \lambda^2)}\right)^{-1}

    Parameters
    ----------
    loadings : ndarray (k,)
        Standardised; signs do not matter.

    Returns
    -------
    float
        1 where a loading is 1; NaN where one exceeds 1.

    References
    ----------
    Hancock & Mueller (2001).
    """
    squares = loadings**2
    if (squares > 1.0).any():
        return float("nan")
    if (squares == 1.0).any():
        return 1.0
    information = float((squares / (1.0 - squares)).sum())
    return information / (1.0 + information)


def factor_determinacy(loadings: Array, phi: Array, correlation: Array) -> Array:
    r"""Correlation of factors with their best linear estimates.

    .. math:: \sqrt{diag(\Phi \Lambda' \Sigma^{-1} \Lambda \Phi)}

    Parameters
    ----------
    loadings : ndarray (p, m)
        Standardised pattern.
    phi : ndarray (m, m)
        Factor correlations.
    correlation : ndarray (p, p)
        Implied correlations.

    Returns
    -------
    ndarray (m,)
        NaN where the matrix is not positive definite.

    References
    ----------
    Guttman (1955); Beauducel (2011).
    """
    if np.linalg.eigvalsh(correlation)[0] <= 0.0:
        return np.full(loadings.shape[1], np.nan)
    structure = loadings @ phi
    squares = (structure * np.linalg.solve(correlation, structure)).sum(axis=0)
    return np.asarray(np.sqrt(np.clip(squares, 0.0, None)))


def second_order_omegas(
    loadings: Array,
    second: Array,
    second_variance: float,
    disturbances: Array,
    residual: Array,
) -> dict[str, float]:
    r"""Three ways to ask how well a second-order factor is measured.

    ``factors`` is the reliability of an unweighted sum of latent variables. It depends on how
    these are scaled: fixing a loading or a variance per first-order factor gives two values.
    The other two do not depend on it.

    Parameters
    ----------
    loadings : ndarray (p, m)
        Items on first-order factors.
    second : ndarray (m,)
        First-order factors on the second-order one.
    second_variance : float
        Variance of the second-order factor.
    disturbances : ndarray (m, m)
        Covariances of the first-order disturbances.
    residual : ndarray (p, p)
        Residual covariances of the items.

    Returns
    -------
    dict of str to float
        ``total_score`` (variance of the total score due to the second-order factor), ``factors``
        (variance of the sum of the first-order factors due to it), ``partial`` (the first after
        the disturbances are taken out of the total score's variance).

    References
    ----------
    Raykov & Zinbarg (2011) for the total score; Jöreskog (1971) for the general form.
    """
    ones = np.ones(loadings.shape[0])
    weights = loadings.T @ ones
    explained = float((weights @ second) ** 2 * second_variance)
    disturbed = float(weights @ disturbances @ weights)
    error = float(residual.sum())
    upper = float(second.sum() ** 2 * second_variance)
    return {
        "total_score": explained / (explained + disturbed + error),
        "factors": upper / (upper + float(disturbances.sum())),
        "partial": explained / (explained + error),
    }
