"""Modification indices by a second way: derivatives of the naive path model."""

from __future__ import annotations

import numpy as np
import pytest

from sqvalid.latent.moment_weights import expected_information, moment_vector

from . import library
from .engine import fit_again, result
from .moments import group_moments, observed_names, rows_of
from .ram import PathModel
from .test_engine import keyed


def by_path_model(fit: library.Fit, lhs: str, op: str, rhs: str) -> float:
    """Score test of one more parameter at the reference's own estimates."""
    rows, group = rows_of(fit), group_moments(fit)[0]
    q = int(rows.free.max())
    added = {"lhs": lhs, "op": op, "rhs": rhs, "est": 0.0, "free": q + 1}
    model = PathModel([*rows.to_dict("records"), added], observed_names(rows))
    delta = model.jacobian(q + 1, means=False)
    weight = expected_information(group.implied_covariance, means=False)
    score = delta.T @ weight @ moment_vector(group.covariance - group.implied_covariance, None)
    information = delta.T @ weight @ delta
    pull = np.linalg.solve(information[:q, :q], information[:q, q])
    left = information[q, q] - information[q, :q] @ pull
    return group.n_obs * (score[q] - pull @ score[:q]) ** 2 / left


# The first model is the one whose indices R spoils (redundant markers).
@pytest.mark.parametrize("name", ["cfa_hs_crossload_corres", "cfa_hs_ml_marker", "sem_poldem_ml"])
def test_indices(name):
    if not library.has(name):
        pytest.skip("the full reference folder is absent")
    fit = next(fit for fit in library.fits() if fit.name == name)
    found = result(name).modification_indices()
    assert len(found) > 30
    for row in found.dropna(subset="mi").itertuples(index=False):
        expected = by_path_model(fit, row.lhs, row.op, row.rhs)
        assert row.mi == pytest.approx(expected, rel=2e-4, abs=2e-4), (row.lhs, row.op, row.rhs)


def test_large_index_announces_a_large_drop_of_chi_square():
    fit = next(fit for fit in library.fits() if fit.name == "cfa_hs_ml_marker")
    index = keyed(result(fit.name).modification_indices())[("visual", "=~", "x9", 1)]
    freed = fit_again(fit, model=fit.model + "\nvisual =~ x9")
    drop = result(fit.name).fit_measures["chisq"] - freed.fit_measures["chisq"]
    assert index.mi == pytest.approx(drop, rel=0.2)
    assert index.epc == pytest.approx(keyed(freed.parameters)["visual", "=~", "x9", 1].est, rel=0.5)
