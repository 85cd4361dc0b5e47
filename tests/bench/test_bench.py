"""Fits of the benchmark: right answers here, times by pytest-benchmark when asked for.

Run with ``--benchmark-enable``; times are never asserted, the comparison with other programs is
compare.py.
"""

import subprocess
import sys

import pytest

import sqvalid

from .workloads import BOOT, LARGE, MLM, MLR, WIDE, WORKLOADS, A, B

SMALL = [A, B, MLR, MLM]


def fit(work, data):
    function = sqvalid.sem if work.paths else sqvalid.cfa
    missing = "fiml" if work.missing else "listwise"
    ordered = True if work.categories else None
    result = function(work.model, data, estimator=work.estimator, missing=missing, ordered=ordered)
    return result, result.parameters, result.fit_measures


@pytest.mark.parametrize("name", [name for name, work in WORKLOADS.items() if not work.draws])
def test_fit(benchmark, name):
    work = WORKLOADS[name]
    data = work.data()
    rounds = 20 if work in SMALL else 3
    result, parameters, measures = benchmark.pedantic(
        fit, args=(work, data), rounds=rounds, warmup_rounds=1
    )
    assert result.converged
    assert result.admissible
    assert result.gradient_norm < 1e-8
    assert measures["df"] == work.df
    assert result.n_obs == work.n_obs
    # The model is the population's: the statistic stays within five standard deviations of
    # its expectation, whatever the seed.
    statistic = measures["chisq_scaled" if work.categories else "chisq"]
    assert abs(statistic - work.df) < 5 * (2 * work.df) ** 0.5
    # Thresholds may be anywhere.
    assert parameters[parameters.op != "|"].std_all.between(-1, 5).all()
    loadings = parameters[(parameters.op == "=~") & ~parameters.rhs.isin(list(work.factors))]
    assert loadings.std_all.between(0.3, 1).all()
    assert len(loadings) == len(work.items)


def test_bootstrap(benchmark):
    data = BOOT.data()
    model = sqvalid.sem(BOOT.model, data)
    boot = benchmark.pedantic(sqvalid.bootstrap_fit, args=(model, 256), rounds=3)
    assert boot.n_not_converged == boot.n_singular == 0
    assert boot.estimates.one_by_one == 0


def test_large_and_small_samples_have_the_same_population():
    small, large = (sqvalid.cfa(work.model, work.data()).parameters.std_all for work in (A, LARGE))
    # Standard errors of standardised loadings at n = 500 are about .03.
    assert (small - large).abs().max() < 0.15


def test_wide_model_recovers_its_loadings():
    loadings = sqvalid.cfa(WIDE.model, WIDE.data()).parameters.query("op == '=~'")
    population = [0.55 + 0.08 * (number % 5) for number in range(88)]
    assert (loadings.std_all.to_numpy() - population).__abs__().max() < 0.1


def test_import(benchmark):
    def run():
        return subprocess.run(
            [sys.executable, "-c", "import sqvalid; print(sqvalid.__version__)"],
            capture_output=True,
            text=True,
            check=True,
        )

    done = benchmark.pedantic(run, rounds=3)
    assert done.stdout.strip() == sqvalid.__version__
