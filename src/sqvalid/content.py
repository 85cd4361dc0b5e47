"""Content validity: what experts say about how well every item belongs to what is to be measured.

The numbers are functions of counts and means; :func:`assess_content` puts them together from a
table with one row per expert and one column per item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import ndtri

from sqvalid.criteria import classify, judge
from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, InputError, OptionError

__all__ = [
    "ContentValidity",
    "aiken_p",
    "aiken_v",
    "assess_content",
    "content_validity_index",
    "content_validity_ratio",
    "critical_ratio",
    "modified_kappa",
    "score_interval",
]

Array = npt.NDArray[np.float64]

_FEWEST = 3


def content_validity_index(n_relevant: int, n_experts: int) -> float:
    """Share of the experts who call the item relevant (I-CVI).

    Parameters
    ----------
    n_relevant, n_experts : int

    Returns
    -------
    float
        NaN without experts.

    References
    ----------
    Lynn (1986), Nursing Research 35, 382-385.
    """
    return n_relevant / n_experts if n_experts else float("nan")


def modified_kappa(n_relevant: int, n_experts: int) -> tuple[float, float]:
    r"""I-CVI corrected for chance agreement on relevance.

    .. math:: p_c = \binom{N}{A} 0.5^N, \qquad k^* = \frac{A/N - p_c}{1 - p_c}

    Parameters
    ----------
    n_relevant : int
        A, experts who call the item relevant.
    n_experts : int
        N.

    Returns
    -------
    chance, kappa : float
        NaN without experts; kappa NaN for a single one with p_c of one half either way.

    References
    ----------
    Polit, Beck & Owen (2007), Research in Nursing & Health 30, 459-467.
    """
    if n_experts < 1:
        return float("nan"), float("nan")
    chance = comb(n_experts, n_relevant) * 0.5**n_experts
    if n_experts == 1:
        return chance, float("nan")
    return chance, (n_relevant / n_experts - chance) / (1.0 - chance)


def content_validity_ratio(n_essential: int, n_experts: int) -> float:
    r"""Lawshe's ratio, :math:`(n_e - N/2) / (N/2)`.

    Parameters
    ----------
    n_essential : int
        Experts who call the item essential.
    n_experts : int
        N.

    Returns
    -------
    float
        In [-1, 1]; NaN without experts.

    References
    ----------
    Lawshe (1975), Personnel Psychology 28, 563-575.
    """
    return (2.0 * n_essential - n_experts) / n_experts if n_experts else float("nan")


def critical_ratio(n_experts: int, alpha: float = 0.05) -> float:
    """Smallest ratio that chance reaches with a probability of at most `alpha`.

    Every expert is thought to toss a coin between essential and not; the tail is the exact
    one of the binomial distribution, on one side. Lawshe's own table has approximations.

    Parameters
    ----------
    n_experts : int
        N.
    alpha : float
        One-sided level.

    Returns
    -------
    float
        NaN where not even a unanimous panel is beyond chance (four experts or fewer at .05).

    References
    ----------
    Ayre & Scally (2014), Measurement and Evaluation in Counseling and Development 47, 79-86.
    """
    for n_essential in range(n_experts // 2, n_experts + 1):
        if float(stats.binom.sf(n_essential - 1, n_experts, 0.5)) <= alpha:
            return content_validity_ratio(n_essential, n_experts)
    return float("nan")


def aiken_v(ratings: Array, low: float, high: float) -> float:
    r"""Aiken's V: :math:`(\bar x - low) / (high - low)`.

    Parameters
    ----------
    ratings : ndarray (n,)
        Of one item.
    low, high : float
        Ends of the rating scale.

    Returns
    -------
    float
        In [0, 1]; NaN without ratings.

    References
    ----------
    Aiken (1985), Educational and Psychological Measurement 45, 131-142.
    """
    return float((ratings.mean() - low) / (high - low)) if len(ratings) else float("nan")


def aiken_p(total: int, n_experts: int, n_steps: int) -> float:
    """Probability of a V this high when every expert picks a category at random.

    Parameters
    ----------
    total : int
        Sum over experts of categories above the lowest.
    n_experts : int
    n_steps : int
        Categories above the lowest.

    Returns
    -------
    float
        Upper tail, `total` included, by exact convolution of uniform distributions.

    References
    ----------
    Aiken (1985).
    """
    ways = np.ones(1)
    one = np.full(n_steps + 1, 1.0 / (n_steps + 1))
    for _ in range(n_experts):
        ways = np.convolve(ways, one)
    return float(min(1.0, ways[max(total, 0) :].sum()))


def score_interval(
    v: float, n_experts: int, n_steps: float, *, level: float = 0.95
) -> tuple[float, float]:
    r"""Score interval of Aiken's V.

    .. math:: \frac{2 n k V + z^2 \mp z\sqrt{4 n k V(1 - V) + z^2}}{2(n k + z^2)}

    Parameters
    ----------
    v : float
        Aiken's V.
    n_experts : int
        n.
    n_steps : float
        k, highest less lowest rating.
    level : float
        Coverage.

    Returns
    -------
    tuple of float
        Inside [0, 1]; NaN without experts.

    References
    ----------
    Penfield & Giacobbi (2004), Measurement in Physical Education and Exercise Science 8, 213-225;
    Wilson (1927).
    """
    if n_experts < 1 or np.isnan(v):
        return float("nan"), float("nan")
    z = float(ndtri((1.0 + level) / 2.0))
    trials = n_experts * n_steps
    centre, below = 2.0 * trials * v + z * z, 2.0 * (trials + z * z)
    reach = z * np.sqrt(4.0 * trials * v * (1.0 - v) + z * z)
    return float(max(0.0, (centre - reach) / below)), float(min(1.0, (centre + reach) / below))


@dataclass(frozen=True, repr=False, eq=False)
class ContentValidity(Result):
    """What experts say about the items; made by :func:`assess_content`.

    Parameters
    ----------
    items : pandas.DataFrame
        ``dimension item n_experts n_relevant i_cvi i_cvi_outcome p_chance kappa kappa_band
        mean aiken_v v_lower v_upper v_p n_essential cvr cvr_critical cvr_outcome``. The
        outcome of the I-CVI is judged at two decimals, as its source prints it: by .78 from six
        experts on, by unanimity of three to five. The last four are empty when it was not asked
        whether items are essential.
    scales : pandas.DataFrame
        ``dimension n_items s_cvi_average s_cvi_average_outcome s_cvi_universal
        s_cvi_universal_outcome mean_kappa mean_v mean_cvr``: averages over the items of a
        dimension, and of all items (``all``). Universal agreement is the share of items that
        every expert calls relevant.
    n_experts : int
    scale : (float, float)
    relevant : float
    essential : float or None
    level : float
    diagnostics : tuple of Diagnostic
    """

    items: pd.DataFrame
    scales: pd.DataFrame
    n_experts: int
    scale: tuple[float, float]
    relevant: float
    essential: float | None = None
    level: float = 0.95
    diagnostics: tuple[Diagnostic, ...] = ()

    def _headline(self) -> str:
        whole = self.scales.iloc[-1]
        return (
            f"{self.n_experts} experts, {len(self.items)} items: S-CVI/Ave "
            f"{whole['s_cvi_average']:.3f}, S-CVI/UA {whole['s_cvi_universal']:.3f}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per item; see `items`."""
        return self.items.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the table of items and the table of scales."""
        units = ("i_cvi", "p_chance", "kappa", "aiken_v", "v_lower", "v_upper", "cvr",
                 "cvr_critical")  # fmt: skip
        averages = ("s_cvi_average", "s_cvi_universal", "mean_kappa", "mean_v", "mean_cvr")
        return (
            Table(self.items, formats=dict.fromkeys(units, "unit2") | {"v_p": "p"}),
            Table(self.scales, formats=dict.fromkeys(averages, "unit2")),
        )

    def _payload(self) -> Mapping[str, Any]:
        return {
            "table": self.items,
            "scales": self.scales,
            "n_experts": self.n_experts,
            "scale": list(self.scale),
            "relevant": self.relevant,
            "essential": self.essential,
            "level": self.level,
        }


def assess_content(
    ratings: Any,
    dimensions: Mapping[str, Sequence[str]] | None = None,
    *,
    scale: tuple[float, float] = (1, 4),
    relevant: float | None = None,
    essential: float | None = None,
    level: float = 0.95,
) -> ContentValidity:
    """Assess content validity from the ratings of experts.

    Parameters
    ----------
    ratings : pandas.DataFrame or polars.DataFrame
        One row per expert, one column per item, whole numbers. A missing rating leaves the
        expert out of that item and is counted.
    dimensions : mapping of str to sequence of str, optional
        Items of each dimension, for scale indices; by default all columns are one scale.
    scale : (float, float)
        Lowest and highest rating; 1 to 4 by default (Lynn, 1986).
    relevant : float, optional
        Ratings from here on call the item relevant; by default the upper half of the scale (3
        and 4 of four).
    essential : float, optional
        Ratings from here on call the item essential; needed for Lawshe's ratio, which asks
        another question than relevance, and left out by default.
    level : float
        Coverage of the intervals of Aiken's V.

    Returns
    -------
    ContentValidity

    Raises
    ------
    OptionError
        A scale without width, a cut outside it, or a level outside (0, 1).
    InputError
        An item that is not there, no ratings, text, or a rating outside the scale.
    """
    from sqvalid.survey import as_pandas

    low, high = float(scale[0]), float(scale[1])
    if not low < high or low != round(low) or high != round(high):
        raise OptionError(
            f"scale={scale!r} must be two whole numbers, the lower one first.",
            remedy="Write scale=(1, 4).",
        )
    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level!r} must lie between 0 and 1.", remedy="Try level=0.95.")
    cut = float(np.floor((low + high) / 2.0) + 1.0) if relevant is None else float(relevant)
    for name, value in (("relevant", cut), ("essential", essential)):
        if value is not None and not low < value <= high:
            raise OptionError(
                f"{name}={value:g} leaves no rating on one side of the scale {low:g} to {high:g}.",
                remedy=f"Give a rating above {low:g} and up to {high:g}.",
            )
    frame = as_pandas(ratings)
    groups = (
        {"": tuple(str(c) for c in frame.columns)}
        if dimensions is None
        else {str(name): tuple(items) for name, items in dimensions.items()}
    )
    _check(frame, [item for items in groups.values() for item in items], low, high)
    rows = [
        _item_row(dimension, item, frame[item].dropna().to_numpy(dtype=float), low, high, cut,
                  essential, level)
        for dimension, items in groups.items()
        for item in items
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    parts = {name: table[table["dimension"] == name] for name in groups if dimensions is not None}
    scales = pd.DataFrame(
        [_scale_row(name, part) for name, part in {**parts, "all": table}.items()]
    )
    n_experts = int(frame[table["item"].tolist()].notna().any(axis=1).sum())
    diagnostics = []
    if n_experts < _FEWEST:
        diagnostics.append(
            Diagnostic("content_few_experts", "warning", (), {"n_experts": n_experts})
        )
    gappy = tuple(table.loc[table["n_experts"] < n_experts, "item"])
    if gappy:
        diagnostics.append(Diagnostic("content_missing_ratings", "warning", gappy))
    if dimensions is None:
        table = table.drop(columns="dimension")
    return ContentValidity(
        table, scales, n_experts, (low, high), cut, essential, level, tuple(diagnostics)
    )


def _check(frame: pd.DataFrame, items: Sequence[str], low: float, high: float) -> None:
    absent = [item for item in items if item not in frame.columns]
    if absent:
        raise InputError(
            f"The ratings have no columns {', '.join(map(repr, absent))}.",
            remedy="Correct the names of the items.",
        )
    if not items or frame.empty:
        raise InputError("There are no ratings to look at.")
    for item in items:
        if not pd.api.types.is_numeric_dtype(frame[item]):
            raise InputError(
                f"Column {item!r} holds text.",
                remedy="Ratings must be numbers; name the rated items with dimensions={...}.",
            )
        values = frame[item].to_numpy(dtype=float)
        wrong = ~np.isnan(values) & (
            (values < low) | (values > high) | (values != np.round(values))
        )
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"Expert {frame.index[place]!r} rates {item!r} with {values[place]:g}, which is no "
                f"rating from {low:g} to {high:g}.",
                remedy="Correct the rating, or state the scale with scale=(low, high).",
            )


def _item_row(
    dimension: str,
    item: str,
    values: Array,
    low: float,
    high: float,
    relevant: float,
    essential: float | None,
    level: float,
) -> dict[str, Any]:
    n = len(values)
    agree = int((values >= relevant).sum())
    index = content_validity_index(agree, n)
    chance, kappa = modified_kappa(agree, n)
    v = aiken_v(values, low, high)
    ends = score_interval(v, n, high - low, level=level)
    unanimous = _FEWEST <= n <= 5
    rule = "item_cvi_unanimous" if unanimous else "item_cvi"
    row = {
        "dimension": dimension,
        "item": item,
        "n_experts": n,
        "n_relevant": agree,
        "i_cvi": index,
        "i_cvi_outcome": judge(rule, round(index, 2), n_experts=n).outcome,
        "p_chance": chance,
        "kappa": kappa,
        "kappa_band": classify("content_kappa", kappa).band,
        "mean": float(values.mean()) if n else float("nan"),
        "aiken_v": v,
        "v_lower": ends[0],
        "v_upper": ends[1],
        "v_p": aiken_p(int((values - low).sum()), n, int(high - low)) if n else float("nan"),
        "n_essential": float("nan"),
        "cvr": float("nan"),
        "cvr_critical": float("nan"),
        "cvr_outcome": "",
    }
    if essential is not None:
        needed = int((values >= essential).sum())
        ratio, critical = content_validity_ratio(needed, n), critical_ratio(n)
        outcome = "not_judged" if np.isnan(critical) else "met" if ratio >= critical else "not_met"
        row |= {
            "n_essential": float(needed),
            "cvr": ratio,
            "cvr_critical": critical,
            "cvr_outcome": outcome,
        }
    return row


def _scale_row(name: str, items: pd.DataFrame) -> dict[str, Any]:
    average = float(items["i_cvi"].mean())
    # An item that nobody rated is not agreed upon by everybody.
    rated = items[items["n_experts"] > 0]
    universal = (
        float((rated["n_relevant"] == rated["n_experts"]).mean()) if len(rated) else float("nan")
    )
    return {
        "dimension": name,
        "n_items": len(items),
        "s_cvi_average": average,
        "s_cvi_average_outcome": judge("scale_cvi_average", average).outcome,
        "s_cvi_universal": universal,
        "s_cvi_universal_outcome": judge("scale_cvi_universal", universal).outcome,
        "mean_kappa": float(items["kappa"].mean()),
        "mean_v": float(items["aiken_v"].mean()),
        "mean_cvr": float(items["cvr"].mean()),
    }
