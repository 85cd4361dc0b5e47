"""Every number of the reference fits against the public functions.

What is compared is found by walking the files: a block that a file has is a test. Rows are
matched by what they are about, never by position.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from . import library
from .engine import fit_again, result

# The reference stops at a gradient of about 1e-6, so its statistics are good to 1e-7 and its
# estimates to about 1e-5 (each file carries the size of one further Newton step, which is
# added). Standard errors depend on second derivatives there, hence the factor of two; quantities
# that divide by them inherit it.
STATISTIC = 1e-6
ESTIMATE = 1e-4
STANDARD_ERROR = 2e-4
RATIO = 3e-4

STATISTICS = {"chisq", "logl", "unrestricted_logl", "aic", "bic", "bic2", "baseline_chisq"}

READY = [f for f in library.fits() if not library.is_drawn(f)]
FITS = [f for f in READY if f.converged and not f.imprecise]


def real_fits() -> list[library.Fit]:
    """Fits that other modules compare."""
    return FITS


def by_label(fit: library.Fit, expected: dict) -> dict:
    """Blocks by group label; the one group of a single-group fit has ours."""
    if fit.group:
        return expected
    return {result(fit.name).group_labels[0]: expected}


def slack(fit: library.Fit) -> float:
    """Absolute error that the reference's own optimiser leaves in its estimates."""
    convergence = fit.blocks.get("convergence") or {}
    error = convergence.get("approx_est_error")
    return 5.0 * (error if isinstance(error, float) else 1e-5) + 1e-6


def follows_new(fit: library.Fit) -> bool:
    """Where the versions differ but the advice is to follow the new one: ULS, and DWLS."""
    return fit.arguments.get("estimator") in ("ULS", "DWLS")


def is_disputed(fit: library.Fit, path: str) -> bool:
    if follows_new(fit) and not path.startswith("residuals_standardized"):
        return False
    disputed = library.disputed(fit.file)
    full = "/".join([*fit.path.split("."), path]) if fit.path else path
    return full in disputed.paths or path.split("/")[0] in disputed.sections


def smallest_variance(fit: library.Fit) -> float:
    """The variance estimate nearest to zero, fixed ones left out."""
    rows = library.table(fit.block("parameters"))
    variances = rows[(rows.op == "~~") & (rows.lhs == rows.rhs) & (rows.free > 0)]
    return float(variances.est.abs().min())


def disputed_section(fit: library.Fit, block: str) -> bool:
    return not follows_new(fit) and block in library.disputed(fit.file).sections


def close(found, expected, *, rtol, atol=1e-9) -> bool:
    if expected is None:
        expected = math.nan
    return bool(np.isclose(found, expected, rtol=rtol, atol=atol, equal_nan=True))


class Differences:
    """What does not agree, to be shown all at once."""

    def __init__(self, fit: library.Fit, block: str):
        self.fit, self.block, self.found, self.count = fit, block, {}, 0

    def check(self, path, found, expected, *, rtol, atol=1e-9):
        if is_disputed(self.fit, f"{self.block}/{path}"):
            return
        self.count += 1
        if not close(found, expected, rtol=rtol, atol=atol):
            self.found[path] = (found, expected)

    def frame(self, prefix, found: pd.DataFrame, expected: pd.DataFrame, *, rtol, atol):
        assert set(found.index) >= set(expected.index), sorted(
            map(str, set(expected.index) - set(found.index))
        )
        for row in expected.index:
            for column in expected.columns:
                self.check(
                    f"{prefix}{row},{column}",
                    found.loc[row, column],
                    expected.loc[row, column],
                    rtol=rtol,
                    atol=atol,
                )

    def vector(self, prefix, found: pd.Series, expected: pd.Series, *, rtol, atol):
        assert set(found.index) >= set(expected.index)
        for name, value in expected.items():
            self.check(f"{prefix}{name}", found[name], value, rtol=rtol, atol=atol)

    def done(self):
        assert self.count > 0
        assert not self.found


def key(row) -> tuple:
    if row.op == ":=":
        return (row.lhs, ":=", "", 1)
    return (row.lhs, row.op, row.rhs, int(getattr(row, "group", 1) or 1))


def keyed(rows: pd.DataFrame) -> dict[tuple, object]:
    """Rows by what they are about; a covariance under both orders of its variables."""
    out = {}
    for row in rows.itertuples(index=False):
        out[key(row)] = row
        if row.op == "~~":
            out[(row.rhs, "~~", row.lhs, key(row)[3])] = row
    return out


def per_group(value, fit: library.Fit, expected: dict) -> list[tuple[str, object, dict]]:
    """(path prefix, ours, theirs) for one group or several."""
    if isinstance(value, dict):
        assert list(value) == list(expected)
        return [(f"{label}/", value[label], expected[label]) for label in expected]
    return [("", value, expected)]


# --- Checks, one per kind of block ------------------------------------------------------------


def parameters(fit, block):
    diff = Differences(fit, "parameters")
    expected = library.table(fit.block("parameters"))
    expected = expected[~expected.op.isin(["==", "<", ">"])]
    found = keyed(result(fit.name).parameters)
    free = slack(fit)
    for row in expected.itertuples(index=False):
        assert key(row) in found, key(row)
        ours = found[key(row)]
        path = f"{row.lhs}{row.op}{row.rhs}.g{key(row)[3]}"
        diff.check(f"est/{path}", ours.est, row.est, rtol=ESTIMATE, atol=free)
        diff.check(f"se/{path}", ours.se, row.se, rtol=STANDARD_ERROR, atol=free)
        limit = free + ESTIMATE * abs(row.est) + 2 * STANDARD_ERROR * (row.se or 0.0)
        if row.se and not pd.isna(row.se):
            diff.check(f"z/{path}", ours.z, row.z, rtol=RATIO, atol=2 * free / row.se)
            diff.check(f"pvalue/{path}", ours.p, row.p, rtol=5e-3, atol=1e-5)
        for side in ("lower", "upper"):
            diff.check(
                f"ci.{side}/{path}",
                getattr(ours, f"ci_{side}"),
                getattr(row, f"ci_{side}"),
                rtol=0.0,
                atol=limit,
            )
        assert (ours.free > 0) == (row.free > 0) or row.op == ":=", key(row)
    diff.done()


def estimates(fit, block):
    diff = Differences(fit, "estimates")
    found = keyed(result(fit.name).parameters)
    for row in library.table(fit.block("estimates")).itertuples(index=False):
        if row.op in ("==", "<", ">"):
            continue
        ours = found[key(row)]
        path = f"{row.lhs}{row.op}{row.rhs}"
        diff.check(f"est/{path}", ours.est, row.est, rtol=ESTIMATE, atol=slack(fit))
        diff.check(f"se/{path}", ours.se, row.se, rtol=STANDARD_ERROR, atol=slack(fit))
    diff.done()


def standardized(fit, block):
    diff = Differences(fit, block)
    expected = library.table(fit.block(block))
    expected = expected[~expected.op.isin(["==", "<", ">"])]
    found = keyed(result(fit.name).standardized(block.removeprefix("std_")))
    free = slack(fit)
    # Standardising divides by variances: a small one magnifies the error of its estimate.
    magnified = free / smallest_variance(fit)
    estimate, error = max(ESTIMATE, magnified), max(STANDARD_ERROR, 2 * magnified)
    for row in expected.itertuples(index=False):
        ours = found[key(row)]
        path = f"{row.lhs}{row.op}{row.rhs}.g{key(row)[3]}"
        diff.check(f"est.std/{path}", ours.est, row.est_std, rtol=estimate, atol=free)
        diff.check(f"se/{path}", ours.se, row.se, rtol=error, atol=free)
        limit = free + estimate * abs(row.est_std) + 2 * error * (row.se or 0.0)
        if row.se and not pd.isna(row.se) and row.se > 1e-6:
            diff.check(f"z/{path}", ours.z, row.z, rtol=2 * error, atol=2 * free / row.se)
        for side in ("lower", "upper"):
            diff.check(
                f"ci.{side}/{path}",
                getattr(ours, f"ci_{side}"),
                getattr(row, f"ci_{side}"),
                rtol=0.0,
                atol=limit,
            )
    diff.done()


# Below zero degrees of freedom R prints 0, 1 and a negative number; here they are undefined.
UNDEFINED_BELOW_ZERO_DF = {"rmsea", "agfi_lisrel", "pgfi"}


def fit_measures(fit, block):
    diff = Differences(fit, "fit_measures")
    found = result(fit.name).fit_measures
    expected = fit.block("fit_measures")
    for name, value in expected.items():
        ours = name.replace(".", "_")
        if expected["df"] < 0 and ours in UNDEFINED_BELOW_ZERO_DF:
            continue
        tolerance = STATISTIC if ours in STATISTICS else ESTIMATE
        if ours.endswith("_robust") and result(fit.name).fit_options.is_categorical:
            # Several groups: lavaan counts the sampling error of the baseline's correlations
            # twice, which moves the incremental indices by about this much.
            tolerance = 5e-4
        # Residual averages of a model that fits exactly are the optimiser's rounding; p-values
        # far in the tail are compared absolutely.
        atol = 1e-6 if ours in STATISTICS else 1e-6 if "pvalue" in ours else 2e-7
        diff.check(name, found[ours], value, rtol=tolerance, atol=atol)
    missing = {n.replace(".", "_") for n in expected} - set(found.index)
    assert not missing
    diff.done()


def chisquares(fit, block):
    diff = Differences(fit, "tests")
    found = result(fit.name).tests
    for name, expected in fit.block("tests").items():
        if name == "browne.residual.nt.model":
            continue
        ours = found[name]
        tolerance = STATISTIC if name == "standard" else ESTIMATE
        diff.check(f"{name}/stat", ours["stat"], expected["stat"], rtol=tolerance, atol=1e-6)
        # Degrees of freedom that are estimated are as exact as the statistic.
        whole = float(expected["df"]).is_integer()
        diff.check(f"{name}/df", ours["df"], expected["df"], rtol=1e-12 if whole else 1e-4)
        diff.check(f"{name}/pvalue", ours["pvalue"], expected["pvalue"], rtol=1e-3, atol=1e-8)
        if "scaling.factor" in expected:
            diff.check(
                f"{name}/scaling.factor",
                ours["scaling_factor"],
                expected["scaling.factor"],
                rtol=ESTIMATE,
            )
    diff.done()


KINDS = {
    "residuals_raw": "raw",
    "residuals_cor_bollen": "cor",
    "residuals_cor_bentler": "cor.bentler",
    "residuals_normalized": "normalized",
    "residuals_standardized": "standardized",
}


def residual_matrices(fit, block):
    kind = KINDS[block]
    diff = Differences(fit, block)
    ours = result(fit.name)
    # z-values divide the optimiser's error by a standard error.
    atol = 3e-4 if kind in ("normalized", "standardized") else slack(fit)
    rtol = 2e-3 if kind == "standardized" else ESTIMATE
    expected = {k: v for k, v in fit.block(block).items() if k != "type"}
    for prefix, found, theirs in per_group(ours.residuals(kind), fit, expected):
        matrix = library.matrix(theirs["cov"])
        # R divides what the model fixes at zero by rounding error.
        matrix = matrix.mask(matrix.abs() > 1e6, 0.0)
        diff.frame(f"{prefix}cov/", found, matrix, rtol=rtol, atol=atol)
    for prefix, found, theirs in per_group(ours.mean_residuals(kind), fit, expected):
        if "mean" in theirs:
            diff.vector(
                f"{prefix}mean/", found, library.vector(theirs["mean"]), rtol=rtol, atol=atol
            )
    for prefix, found, theirs in per_group(ours.threshold_residuals(kind), fit, expected):
        if "th" in theirs:
            diff.vector(f"{prefix}th/", found, library.vector(theirs["th"]), rtol=rtol, atol=atol)
    if not disputed_section(fit, block):
        diff.done()


METRICS = {
    "srmr_summary_raw": "raw",
    "srmr_summary_cor.bollen": "cor",
    "srmr_summary_cor.bentler": "cor.bentler",
}


def residual_summaries(fit, block):
    if fit.group:
        pytest.skip("versions of R disagree on summaries of several groups")
    diff = Differences(fit, block)
    expected = library.table(fit.block(block))
    names = [name.replace(".", "_") for name in fit.block(block)[".row"]]
    found = result(fit.name).residual_summary(METRICS[block])
    for part in expected.columns:
        for k, (name, value) in enumerate(zip(names, expected[part], strict=True)):
            if not is_disputed(fit, f"{block}/{part}/{k}"):
                diff.check(f"{part}/{name}", found.loc[name, part], value, rtol=1e-3, atol=1e-6)
    diff.done()


def redundant_markers(fit: library.Fit) -> bool:
    """Whether R printed indices for markers whose release only rescales a factor.

    Their information is zero, so the matrix that R inverted was singular and its generalised
    inverse spoilt the other indices too (checked by refitting: the true drop in chi-square is
    near our index, not R's).
    """
    rows = library.table(fit.block("parameters"))
    if fit.group or (rows.op == "==").any():
        return False
    fixed = {key(row) for row in rows.itertuples(index=False) if row.free == 0 and row.op == "=~"}
    table = library.table(fit.block("modification_indices"))
    return any(key(row) in fixed for row in table.itertuples(index=False))


def modification_indices(fit, block):
    diff = Differences(fit, block)
    expected = library.table(fit.block(block))
    found = keyed(result(fit.name).modification_indices())
    if redundant_markers(fit):
        pytest.skip("R inverted a singular matrix here; see test_modification.py")
    for row in expected.itertuples(index=False):
        if key(row) not in found:
            diff.found[str(key(row))] = ("missing", row.mi)
            continue
        ours = found[key(row)]
        path = f"{row.lhs}{row.op}{row.rhs}"
        for column in ("mi", "epc", "sepc_lv", "sepc_all", "sepc_nox"):
            diff.check(
                f"{column}/{path}",
                getattr(ours, column),
                getattr(row, column),
                rtol=5e-4,
                atol=2e-4 if column == "mi" else 10 * slack(fit),
            )
    diff.done()


def matrices(attribute):
    def check(fit, block):
        diff = Differences(fit, block)
        value = getattr(result(fit.name), attribute)
        for prefix, ours, theirs in per_group(value, fit, fit.block(block)):
            matrix = library.matrix(theirs)
            if block == "cor_lv" and matrix.shape == (1, 1):
                # R leaves the variance of an only factor where its correlation belongs.
                matrix.iloc[0, 0] = 1.0
            diff.frame(prefix, ours, matrix, rtol=ESTIMATE, atol=slack(fit))
        diff.done()

    return check


def vectors(attribute):
    def check(fit, block):
        diff = Differences(fit, block)
        value = getattr(result(fit.name), attribute)
        for prefix, ours, theirs in per_group(value, fit, fit.block(block)):
            diff.vector(prefix, ours, library.vector(theirs), rtol=ESTIMATE, atol=slack(fit))
        diff.done()

    return check


def moments(attribute):
    def check(fit, block):
        diff = Differences(fit, block)
        ours, expected = result(fit.name), fit.block(block)
        rtol, atol = (ESTIMATE, slack(fit)) if attribute == "implied" else (1e-10, 1e-12)
        if attribute == "sample" and ours.estimate.problem.is_incomplete:
            # Moments of incomplete answers come from an iteration that lavaan ends early: the
            # likelihood of ours is higher (test_em.py).
            rtol, atol = 1e-6, 1e-9
        if attribute == "sample" and ours.fit_options.is_categorical:
            # Each program's own maximisation of the polychoric correlations.
            rtol, atol = 0.0, 2e-7
        for prefix, found, theirs in per_group(getattr(ours, attribute), fit, expected):
            diff.frame(f"{prefix}cov/", found, library.matrix(theirs["cov"]), rtol=rtol, atol=atol)
        for prefix, found, theirs in per_group(getattr(ours, f"{attribute}_means"), fit, expected):
            if "mean" in theirs:
                mean = library.vector(theirs["mean"])
                diff.vector(f"{prefix}mean/", found, mean, rtol=rtol, atol=atol)
        for prefix, found, theirs in per_group(
            getattr(ours, f"{attribute}_thresholds"), fit, expected
        ):
            if "th" in theirs:
                diff.vector(
                    f"{prefix}th/", found, library.vector(theirs["th"]), rtol=rtol, atol=atol
                )
        diff.done()

    return check


def factor_scores(method):
    def check(fit, block):
        diff = Differences(fit, block)
        value = result(fit.name).factor_scores(method=method)
        expected = fit.block(block)
        if fit.group:
            labels = library.frame(fit.file)[fit.group]
            pairs = [
                (f"{label}/", value[(labels == label).to_numpy()], expected[label])
                for label in expected
            ]
        else:
            pairs = [("", value, expected)]
        for prefix, ours, theirs in pairs:
            matrix = library.matrix(theirs | {"rownames": list(range(len(theirs["values"])))})
            first = ours[list(matrix.columns)].head(len(matrix)).reset_index(drop=True)
            if method == "bartlett" and result(fit.name).fit_options.is_categorical:
                # The likelihood of a pattern at the end of the scale has no maximum: R's search
                # ends where it is nearly flat.
                first, matrix = first[matrix.abs() < 4.0], matrix[matrix.abs() < 4.0]
            diff.frame(prefix, first, matrix, rtol=ESTIMATE, atol=50 * slack(fit))
        if diff.count:
            diff.done()

    return check


def in_free_order(fit, matrix: np.ndarray) -> np.ndarray:
    """Rows and columns of one of our free-parameter matrices in the reference's order."""
    expected = library.table(fit.block("parameters"))
    found = keyed(result(fit.name).parameters)
    rows = expected[expected.free > 0].sort_values("free").itertuples(index=False)
    order = [int(found[key(row)].free) - 1 for row in rows]
    return matrix[np.ix_(order, order)]


def vcov(fit, block):
    matrix = library.matrix(fit.block("vcov")).to_numpy()
    ours = in_free_order(fit, np.asarray(result(fit.name).vcov))
    sd = np.sqrt(np.abs(np.diag(matrix)))
    assert np.all(np.abs(ours - matrix) <= 2 * STANDARD_ERROR * np.outer(sd, sd) + 1e-9)


def information(kind):
    def check(fit, block):
        matrix = library.matrix(fit.block(block)).to_numpy()
        ours = in_free_order(fit, np.asarray(result(fit.name).information(kind)))
        np.testing.assert_allclose(ours, matrix, rtol=2e-4, atol=2e-5 * np.abs(matrix).max())

    return check


def estimated_matrices(fit, block):
    diff = Differences(fit, block)
    expected = by_label(fit, fit.block(block))
    for label, frames in result(fit.name).matrices.items():
        for name, values in expected[label].items():
            found, matrix = frames[name], library.matrix(values)
            if name in ("nu", "alpha"):
                found, matrix = found.to_numpy().ravel(), matrix.to_numpy().ravel()
                for i, (one, other) in enumerate(zip(found, matrix, strict=True)):
                    diff.check(f"{name}/{i}", one, other, rtol=ESTIMATE, atol=slack(fit))
            else:
                diff.frame(f"{name}/", found, matrix, rtol=ESTIMATE, atol=slack(fit))
    diff.done()


CHECKS = {
    "parameters": parameters,
    "estimates": estimates,
    "std_all": standardized,
    "std_lv": standardized,
    "std_nox": standardized,
    "fit_measures": fit_measures,
    "tests": chisquares,
    "residuals_raw": residual_matrices,
    "residuals_cor_bollen": residual_matrices,
    "residuals_cor_bentler": residual_matrices,
    "residuals_normalized": residual_matrices,
    "residuals_standardized": residual_matrices,
    **dict.fromkeys(METRICS, residual_summaries),
    "modification_indices": modification_indices,
    "implied": moments("implied"),
    "sample": moments("sample"),
    "r2": vectors("r_squared"),
    "cov_lv": matrices("latent_covariance"),
    "cor_lv": matrices("latent_correlation"),
    "mean_lv": vectors("latent_means"),
    "factor_scores_regression_first10": factor_scores("regression"),
    "factor_scores_bartlett_first10": factor_scores("bartlett"),
    "vcov": vcov,
    "information_expected": information("expected"),
    "information_observed": information("observed"),
    "information_first_order": information("first.order"),
    "estimated_matrices": estimated_matrices,
}

# Not numbers of the fit, or compared elsewhere.
OTHER_BLOCKS = {
    "id", "category", "description", "data_file", "missing_code", "software", "data_note",
    "lavaan_function", "model_syntax", "arguments", "optimizer_control", "warnings", "convergence",
    "options", "cross_version_check", "group.equal", "group.partial", "extras", "h1_moments",
    "extra_arguments", "converged", "lavaan_syntax",
}  # fmt: skip


def is_empty(block) -> bool:
    """A matrix without rows (latents of a path model) or a vector without names."""
    return not block or (isinstance(block, dict) and block.get("values", True) in ([], {}))


CASES = [
    pytest.param(fit, block, id=f"{fit.name}-{block}")
    for fit in FITS
    for block in CHECKS
    if not is_empty(fit.block(block)) and not isinstance(fit.block(block), str)
]


@pytest.mark.parametrize(("fit", "block"), CASES)
def test_block(fit, block):
    CHECKS[block](fit, block)


def test_no_block_is_overlooked():
    blocks = Counter(block for fit in FITS for block in fit.blocks)
    assert set(blocks) - set(CHECKS) - OTHER_BLOCKS == set()


def test_every_other_fit_is_compared():
    # test_bootstrap.py compares the draws.
    assert {f.name for f in library.fits() if library.is_drawn(f)} <= {"sem_poldem_mediation_boot"}


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.name)
def test_gradient_is_zero(fit):
    ours = result(fit.name)
    assert ours.converged
    assert ours.gradient_norm < 1e-8


MULTISTART = ["cfa_hs_ml_marker", "sem_poldem_ml", "cfa_hs_secondorder", "sem_sq_full_ml"]


@pytest.mark.parametrize("name", [n for n in MULTISTART if library.has(n)])
def test_ten_random_starts_agree(name):
    fit = next(f for f in library.fits() if f.name == name)
    reference = np.asarray(result(name).coef)
    for seed in range(10):
        again = fit_again(fit, start="random", seed=seed)
        np.testing.assert_allclose(np.asarray(again.coef), reference, rtol=1e-6, atol=1e-6)
