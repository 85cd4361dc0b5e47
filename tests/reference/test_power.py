"""Power of RMSEA tests against semTools."""

from __future__ import annotations

import pytest

import sqvalid as sq

from . import library

pytestmark = pytest.mark.skipif(not library.has("rmsea_power"), reason="no reference files")


def test_rmsea_power_is_that_of_semtools() -> None:
    known = library.document("rmsea_power")
    asked = {"a": (0.05, 0.08, 200, 50), "b": (0.05, 0.01, 200, 50)}
    asked |= {"c": (0.0, 0.05, 24, 301), "d": (0.05, 0.10, 24, 301)}
    for name, (null, true, df, n) in asked.items():
        assert sq.power_of_rmsea_test(null, true, df, n) == pytest.approx(
            known["power"][name], abs=1e-10
        )
    for name in "abc":
        null, true, df, _ = asked[name]
        assert sq.sample_size_for_rmsea_test(null, true, df) == known["samplesize"][name]
