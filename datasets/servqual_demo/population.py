"""The population of servqual_demo: what is true of it, and what was planted into the answers.

Every number is written here once. ``draw()`` gives the bundled sample, ``draw(replicate=k)``
another one from the same population, ``draw(defects=False)`` the answers of respondents who all
read and all answered. Nothing here was ever measured; the study never reads this file.
"""

from __future__ import annotations

from typing import Any

import sqvalid as sq
from sqvalid.simulate import (
    Attention,
    Careless,
    Clusters,
    Column,
    Duration,
    Group,
    MinorFactors,
    Missing,
    OutOfRange,
    SimulatedSurvey,
    jittered_thresholds,
)

SEED = 20261122
N = 600

DIMENSIONS = ("TAN", "REL", "RES", "ASS", "EMP")
# Standardised loadings of the 22 statements on their dimension.
LOADINGS = {
    "TAN": (0.60, 0.70, 0.64, 0.55),
    "REL": (0.74, 0.72, 0.78, 0.80, 0.60),
    "RES": (0.62, 0.72, 0.70, 0.66),
    "ASS": (0.78, 0.74, 0.72, 0.62),
    "EMP": (0.68, 0.72, 0.70, 0.66, 0.56),
}
# Statements worded negatively load on a factor of wording beside their dimension.
NEGATIVE = (*range(10, 14), *range(18, 23))
WORDING = 0.42
OUTCOMES = {
    "SAT": (0.86, 0.85, 0.82, 0.86, 0.70),
    "RPI": (0.86, 0.86, 0.82),
    "PF": (0.84, 0.86, 0.82),
    "OSQ": (0.84, 0.80),
}
# The five dimensions on service quality; RES and ASS have more in common than that.
SECOND_ORDER = {"TAN": 0.62, "REL": 0.82, "RES": 0.88, "ASS": 0.90, "EMP": 0.84}
RES_ASS = 0.90
# The structure: SAT = .58 SQ + .28 PF, RPI = .60 SAT + .12 SQ + .10 PF.
PRICE_QUALITY = 0.40
QUALITY_TO_SAT, PRICE_TO_SAT = 0.58, 0.28
SAT_TO_RPI, QUALITY_TO_RPI, PRICE_TO_RPI = 0.60, 0.12, 0.10
QUALITY_TO_OSQ = 0.85
# Expectations: dimensions XTAN ... XEMP under one factor, correlated with perceptions.
EXPECTATION_ORDER = {"TAN": 0.70, "REL": 0.80, "RES": 0.80, "ASS": 0.80, "EMP": 0.76}
EXPECTED_PERCEIVED = 0.30
SAME_ITEM = 0.15
# Direct disconfirmation: better perceived is better than expected, more expected is worse.
DISCONFIRMATION = {"SQ": 0.55, "XSQ": -0.20}

PERCEPTION_CUTS = (-2.2, -1.7, -1.2, -0.55, 0.15, 1.0)
EXPECTATION_CUTS = (-3.4, -3.1, -2.8, -2.35, -0.58, 0.28)
JITTER, EXPECTATION_JITTER = 0.30, 0.15

BRANCHES = {"north": 340, "south": 260}
# Two statements are answered differently in the south without a difference in the dimension;
# in one dimension the south is truly better.
BRANCH_INTERCEPTS = {"P3": 0.35, "P12": 0.35}
BRANCH_MEANS = {"RES": 0.30}
CUSTOMERS = {"regular": 480, "vip": 120}
VIP_EXPECTS_MORE = 0.40
EMPLOYEES = {"north": 14, "south": 10}
ICC = 0.05
# Model error: many small factors; the first are a little larger, which sets how badly the plain
# model of correlated factors fits.
MINOR_FACTORS, MINOR_SHARE, MINOR_DECAY = 40, 0.10, 0.09
DOES_NOT_APPLY = 9


def _statements() -> dict[int, tuple[str, float]]:
    pairs = [(d, value) for d, values in LOADINGS.items() for value in values]
    return dict(enumerate(pairs, start=1))


def perceptions() -> tuple[str, ...]:
    """Return P1 ... P22."""
    return tuple(f"P{k}" for k in _statements())


def expectations() -> tuple[str, ...]:
    """Return E1 ... E22."""
    return tuple(f"E{k}" for k in _statements())


def outcomes() -> tuple[str, ...]:
    """Return the items that are neither expectation nor perception of a statement."""
    named = [f"{d}{k}" for d, values in OUTCOMES.items() for k in range(1, len(values) + 1)]
    return (*named, "DIS1")


def model_text() -> str:
    """Return the population in the language of models, every parameter with its value."""
    lines = []
    for prefix, letter in (("X", "E"), ("", "P")):
        for k, (dimension, loading) in _statements().items():
            lines.append(f"{prefix}{dimension} =~ {loading}*{letter}{k}")
    for dimension, values in OUTCOMES.items():
        lines += [f"{dimension} =~ {v}*{dimension}{k}" for k, v in enumerate(values, start=1)]
    lines += [f"SQ =~ {value}*{d}" for d, value in SECOND_ORDER.items()]
    lines += [f"XSQ =~ {value}*X{d}" for d, value in EXPECTATION_ORDER.items()]
    lines += [f"WORDING =~ {WORDING}*P{k} + {WORDING}*E{k}" for k in NEGATIVE]
    lines.append(f"RES ~~ {RES_ASS - SECOND_ORDER['RES'] * SECOND_ORDER['ASS']:.6f}*ASS")
    lines.append(f"SQ ~~ {PRICE_QUALITY}*PF + {EXPECTED_PERCEIVED}*XSQ")
    for d in DIMENSIONS:
        shared = EXPECTED_PERCEIVED * SECOND_ORDER[d] * EXPECTATION_ORDER[d]
        lines.append(f"{d} ~~ {EXPECTED_PERCEIVED - shared:.6f}*X{d}")
    lines.append(f"SAT ~ {QUALITY_TO_SAT}*SQ + {PRICE_TO_SAT}*PF")
    lines.append(f"RPI ~ {SAT_TO_RPI}*SAT + {QUALITY_TO_RPI}*SQ + {PRICE_TO_RPI}*PF")
    lines.append(f"OSQ ~ {QUALITY_TO_OSQ}*SQ")
    lines.append("DIS1 ~ " + " + ".join(f"{v}*{name}" for name, v in DISCONFIRMATION.items()))
    for k, (_, loading) in _statements().items():
        unique = 1.0 - loading**2 - (WORDING**2 if k in NEGATIVE else 0.0)
        lines.append(f"E{k} ~~ {SAME_ITEM * unique:.6f}*P{k}")
    # How long the visit took: it decides who skips questions about expectations.
    lines.append("visit_minutes ~ 0.25*XSQ")
    return "\n".join(lines) + "\n"


def items() -> tuple[str, ...]:
    """Return everything that was asked, in the order of the sheet."""
    return (*expectations(), *perceptions(), *outcomes())


def thresholds(seed: int = SEED) -> dict[str, tuple[float, ...]]:
    """Return where the latent responses of every item are cut into 1 ... 7."""
    high = (*perceptions(), *outcomes())
    found = jittered_thresholds(PERCEPTION_CUTS, high, shift=JITTER, seed=seed)
    moved = jittered_thresholds(
        EXPECTATION_CUTS, expectations(), shift=EXPECTATION_JITTER, seed=seed + 1
    )
    return found | moved


def minor_factors(seed: int = SEED) -> MinorFactors:
    """Return the model error."""
    return MinorFactors(
        MINOR_FACTORS, share=MINOR_SHARE, decay=MINOR_DECAY, seed=seed, items=items()
    )


def _scaled(levels: dict[str, int], n: int) -> dict[str, int]:
    """Return levels of the same shares for n respondents; the last one takes the rest."""
    names = list(levels)
    out = {name: round(n * levels[name] / N) for name in names[:-1]}
    return out | {names[-1]: n - sum(out.values())}


def draw(
    replicate: int = 0, *, n: int = N, seed: int = SEED, defects: bool = True
) -> SimulatedSurvey:
    """Draw the answers of n respondents.

    Parameters
    ----------
    replicate : int
        Another sample from the population of this seed; 0 is the bundled one.
    n : int
        Respondents.
    seed : int
        Of everything that is drawn: the minor factors and the thresholds, which belong to the
        population, and the sample.
    defects : bool
        Whether some answers are missing, careless, double or mistyped.
    """
    south = BRANCH_INTERCEPTS | BRANCH_MEANS
    groups = [
        Group("branch", _scaled(BRANCHES, n), {"south": south}),
        Group(
            "customer",
            _scaled(CUSTOMERS, n),
            {"vip": {f"X{d}": VIP_EXPECTS_MORE for d in DIMENSIONS}},
        ),
    ]
    clusters = Clusters("employee", EMPLOYEES, ICC, ("SQ", *DIMENSIONS), within="branch")
    visit = Column(location=3.2, spread=0.45, logarithmic=True, digits=0)
    planted: dict[str, Any] = {}
    if defects:
        planted = {
            "careless": Careless(0.07, straight=0.5, random=1.0 / 3.0),
            "missing": (
                Missing(items(), 0.02, name="at_random"),
                Missing(expectations(), 0.06, by="visit_minutes", slope=-1.0, name="short_visits"),
                Missing(
                    ("RPI1", "RPI2", "RPI3"),
                    0.04,
                    by=("SAT1", "SAT2", "SAT3", "SAT4", "SAT5"),
                    slope=-1.0,
                    name="dissatisfied",
                ),
                Missing(("P22",), 0.03, code=DOES_NOT_APPLY, name="does_not_apply"),
            ),
            "duplicates": 3,
            "out_of_range": OutOfRange((*perceptions(), *outcomes()), 2),
        }
    return sq.simulate_survey(
        model_text(),
        n,
        seed=seed,
        replicate=replicate,
        thresholds=thresholds(seed),
        instrument=sq.load_instrument("servqual_study"),
        minor_factors=minor_factors(seed),
        groups=groups,
        clusters=clusters,
        columns={"visit_minutes": visit},
        duration=Duration("seconds", median=420.0, spread=0.30),
        attention=Attention("attention", answer=2),
        **planted,
    )
