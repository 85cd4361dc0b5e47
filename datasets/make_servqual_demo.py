"""Make servqual_demo/answers.csv: simulated answers to SERVQUAL, satisfaction and repurchase.

Run it with ``python datasets/make_servqual_demo.py``; the same bytes come out on every
machine. The population is written below as constants. Random numbers come from PCG64's raw
bits by steps of our own (numpy may change its distributions), normals by the inverse
distribution function of the standard library.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np

SEED = 20261122
N = 400
OUTPUT = Path(__file__).parent / "servqual_demo" / "answers.csv"

# Standardised loadings of the perception items on their dimension.
LOADINGS = {
    "TAN": {"P1": 0.66, "P2": 0.74, "P3": 0.68, "P4": 0.60},
    "REL": {"P5": 0.74, "P6": 0.72, "P7": 0.80, "P8": 0.78, "P9": 0.62},
    "RES": {"P10": 0.68, "P11": 0.76, "P12": 0.74, "P13": 0.70},
    "ASS": {"P14": 0.78, "P15": 0.74, "P16": 0.72, "P17": 0.62},
    "EMP": {"P18": 0.70, "P19": 0.76, "P20": 0.74, "P21": 0.68, "P22": 0.58},
    "SAT": {"SAT1": 0.84, "SAT2": 0.78, "SAT3": 0.72, "SAT4": 0.82},
    "RPI": {"RPI1": 0.84, "RPI2": 0.86, "RPI3": 0.76},
}
# Loadings of the five dimensions on service quality.
SECOND_ORDER = {"TAN": 0.62, "REL": 0.80, "RES": 0.84, "ASS": 0.86, "EMP": 0.76}
# SAT = .62 SQ + e;  RPI = .55 SAT + .12 SQ + e; all latent variances are 1.
SQ_TO_SAT, SAT_TO_RPI, SQ_TO_RPI = 0.62, 0.55, 0.12
# Where a standard normal answer is cut into 1 ... 7; each item shifts the cuts a little.
THRESHOLDS = (-2.2, -1.7, -1.2, -0.55, 0.15, 1.0)
SHIFT = 0.30
# The key of 1988: these are recorded as the respondent ticked them, 8 - standing.
NEGATIVE = ("P10", "P11", "P12", "P13", "P18", "P19", "P20", "P21", "P22")
BRANCHES = (("north", 0.55), ("south", 1.0))
SHARE_MISSING = 0.001

_NORMAL = NormalDist()


def uniforms(seed: int) -> Iterator[float]:
    """Yield uniforms on the open interval (0, 1): the upper 53 bits of each raw word."""
    bits = np.random.PCG64(seed)
    while True:
        yield ((int(bits.random_raw()) >> 11) + 0.5) / 2.0**53


def answers() -> list[list[str]]:
    """Return the rows of the file, the head first."""
    stream = uniforms(SEED)

    def normal() -> float:
        return _NORMAL.inv_cdf(next(stream))

    items = {item: (d, load) for d, group in LOADINGS.items() for item, load in group.items()}
    shift = {item: SHIFT * (2.0 * next(stream) - 1.0) for item in items}
    rows = [["respondent", "branch", *items]]
    for respondent in range(1, N + 1):
        draw = next(stream)
        branch = next(name for name, upto in BRANCHES if draw <= upto)
        sq = normal()
        latent = {d: g * sq + (1.0 - g * g) ** 0.5 * normal() for d, g in SECOND_ORDER.items()}
        latent["SAT"] = SQ_TO_SAT * sq + (1.0 - SQ_TO_SAT**2) ** 0.5 * normal()
        explained = SAT_TO_RPI**2 + SQ_TO_RPI**2 + 2.0 * SAT_TO_RPI * SQ_TO_RPI * SQ_TO_SAT
        latent["RPI"] = (
            SAT_TO_RPI * latent["SAT"] + SQ_TO_RPI * sq + (1.0 - explained) ** 0.5 * normal()
        )
        cells = []
        for item, (dimension, load) in items.items():
            standing = load * latent[dimension] + (1.0 - load * load) ** 0.5 * normal()
            answer = 1 + sum(standing > cut + shift[item] for cut in THRESHOLDS)
            if item in NEGATIVE:
                answer = 8 - answer
            cells.append("" if next(stream) < SHARE_MISSING else str(answer))
        rows.append([str(respondent), branch, *cells])
    return rows


def content() -> str:
    """Return the file as text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(answers())
    return out.getvalue()


if __name__ == "__main__":
    OUTPUT.write_bytes(content().encode())
