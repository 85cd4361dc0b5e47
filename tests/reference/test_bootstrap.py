"""The bootstrap against lavaan's: other random numbers, so within Monte Carlo error."""

from __future__ import annotations

import numpy as np
import pytest

import sqvalid as sq

from . import library

FILE = "sem_poldem_mediation_boot"
DRAWS = 5000
KINDS = {
    "normal": "norm",
    "basic": "basic",
    "percentile": "perc",
    "bias_corrected": "bca.simple",
}
# Monte Carlo standard errors times sqrt(R), in standard errors of the parameter. At the 2.5%
# point of a normal distribution the k-th of R draws has sqrt(.025 * .975) / .0584; the share of
# draws below the estimate, which the bias correction counts twice, has sqrt(.25) / .3989.
QUANTILE = np.sqrt(0.025 * 0.975) / 0.05845
ENDS = dict.fromkeys(KINDS, QUANTILE) | {
    "bias_corrected": np.hypot(QUANTILE, 2.0 * np.sqrt(0.25) / 0.3989)
}
# Of these, what 34 parameters may be off. Intervals of the wrong kind are off by 5 or more.
LIMIT = 4.0

pytestmark = pytest.mark.skipif(not library.has(FILE), reason="no reference files")


@pytest.fixture(scope="module")
def boot():
    document = library.document(FILE)
    fit = sq.sem(document["model_syntax"], library.frame(FILE))
    return sq.bootstrap_fit(fit, DRAWS)


@pytest.mark.parametrize("kind", KINDS)
def test_intervals(boot, kind):
    document = library.document(FILE)
    theirs = library.table(document["extras"][KINDS[kind]])
    ours = boot.parameters(kind).set_index(["lhs", "op", "rhs"])
    error = np.sqrt(1.0 / document["arguments"]["bootstrap"] + 1.0 / DRAWS)
    compared = 0
    for _, row in theirs.iterrows():
        key = (row["lhs"], row["op"], row["rhs"])
        own = ours[ours.index.get_level_values("lhs") == row["lhs"]].iloc[0]
        own = own if row["op"] == ":=" else ours.loc[key]
        assert own["est"] == pytest.approx(row["est"], rel=1e-4, abs=1e-5)
        if row["se"] == 0.0:
            assert own["se"] == 0.0
            continue
        compared += 1
        assert own["se"] == pytest.approx(row["se"], rel=LIMIT * error / np.sqrt(2.0)), key
        for end in ("ci_lower", "ci_upper"):
            assert own[end] == pytest.approx(
                row[end], abs=LIMIT * ENDS[kind] * error * row["se"]
            ), key
    assert compared == 34


def test_errors_of_the_fit_are_those_of_lavaan():
    document = library.document(FILE)
    fit = sq.sem(document["model_syntax"], library.frame(FILE), se="bootstrap", bootstrap=DRAWS)
    theirs, ours = document["parameters"], fit.parameters
    rows = {key: i for i, key in enumerate(zip(ours["lhs"], ours["op"], ours["rhs"], strict=True))}
    both = 1.0 / document["arguments"]["bootstrap"] + 1.0 / DRAWS
    seen = 0
    for k, key in enumerate(zip(theirs["lhs"], theirs["op"], theirs["rhs"], strict=True)):
        i = rows.get(key)
        if i is None or not theirs["se"][k]:
            continue
        draws = fit.estimate.row_draws[:, i]
        draws = draws[np.isfinite(draws)]
        z = (draws - draws.mean()) / draws.std()
        # A standard deviation of R draws has a relative error of sqrt((kurtosis - 1) / 4R).
        error = np.sqrt(((z**4).mean() - 1.0) / 4.0 * both)
        assert abs(theirs["se"][k] / ours["se"][i] - 1.0) < LIMIT * error, key
        for end in ("lower", "upper"):
            # Away from the normal distribution, the density at an end is that of the draws.
            at, near = ours[f"ci_{end}"][i], 0.15 * ours["se"][i]
            density = (np.abs(draws - at) < near).mean() / (2.0 * near)
            of_end = np.sqrt(0.025 * 0.975 * both) / density
            assert abs(theirs[f"ci.{end}"][k] - at) < LIMIT * of_end, (key, end)
        seen += 1
    assert seen > 30
