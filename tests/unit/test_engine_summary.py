"""The summary of a fit as text: complete, aligned, honest about trouble."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid import wording
from sqvalid.display import format_number, format_p, text_width

MODEL = "f =~ a + la*b + lb*c\ng =~ d + e + h\ng ~ p*f\na ~~ d\ntwice := 2*p\nla > 0.1"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(9)
    n = 320
    f = rng.standard_normal(n)
    g = 0.6 * f + 0.8 * rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            name: factor + 0.8 * rng.standard_normal(n)
            for name, factor in zip("abcdeh", (f, f, f, g, g, g), strict=True)
        }
    )
    frame["site"] = np.where(rng.random(n) < 0.5, "north", "south")
    frame.loc[[2, 5], "a"] = np.nan
    return frame


@pytest.fixture(scope="module")
def fit(data):
    return sq.sem(MODEL, data)


def cells(text: str, name: str) -> list[str]:
    """What stands right of the first line that begins with `name`."""
    for line in text.splitlines():
        if line.strip().startswith(name):
            return line.strip()[len(name) :].replace("< ", "<").replace("> ", ">").split()
    raise AssertionError(f"no line begins with {name!r}")


def section(text: str, title: str) -> str:
    """The lines from a title to the next blank one."""
    start = text.index(f"\n{title}")
    return text[start + 1 :].split("\n\n")[0]


def test_sections_stand_in_order(fit):
    text = fit.summary(modification_indices=True)
    titles = [
        "sqvalid ",
        "Estimation",
        "Test of the model",
        "Test of the baseline model",
        "Model against baseline",
        "Log-likelihood and information criteria",
        "Root mean square error",
        "Standardised root mean square residual",
        "Parameter estimates",
        "Latent variables",
        "Regressions",
        "Covariances",
        "Variances",
        "Defined parameters",
        "Constraints",
        "R-square",
        "Modification indices",
    ]
    places = [re.search(f"^{title}", text, re.MULTILINE).start() for title in titles]
    assert places == sorted(places)
    assert "***" not in text
    assert "Diagnostics" not in text


def test_no_line_ends_in_a_blank_and_no_nan_is_printed(fit):
    text = fit.summary(modification_indices=True)
    assert text.endswith("\n")
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "nan" not in text.lower()


def test_header_tells_how_it_was_estimated(fit):
    text = fit.summary()
    assert text.startswith(f"sqvalid {sq.__version__}: sem\n")
    head = section(text, "Estimation")
    assert cells(head, "Converged after iterations") == [str(fit.n_iterations)]
    assert cells(head, "Estimator") == ["ML"]
    assert cells(head, "Free parameters") == [str(fit.n_free)]
    assert cells(head, "Inequality constraints") == ["1"]
    assert cells(head, "Rows used of rows received") == ["318", "of", "320"]


def test_fit_measures_are_those_of_the_fit(fit):
    text, m = fit.summary(), fit.fit_measures
    expected = {
        "Comparative fit index (CFI)": "cfi",
        "Tucker-Lewis index (TLI)": "tli",
        "Log-likelihood of the model": "logl",
        "Log-likelihood of the saturated model": "unrestricted_logl",
        "Akaike (AIC)": "aic",
        "Bayesian (BIC)": "bic",
        "BIC adjusted for sample size": "bic2",
        "90% interval, lower": "rmsea_ci_lower",
        "90% interval, upper": "rmsea_ci_upper",
        "SRMR": "srmr",
    }
    for line, name in expected.items():
        assert cells(text, line) == [format_number(m[name])], line
    test = section(text, "Test of the model")
    assert cells(test, "Chi-square") == [format_number(m["chisq"])]
    assert cells(test, "Degrees of freedom") == [str(int(m["df"]))]
    assert cells(test, "p") == [format_p(m["pvalue"]).replace(" ", "")]
    assert cells(text, "p for RMSEA <= 0.05") == [format_p(m["rmsea_pvalue"]).replace(" ", "")]


def test_every_parameter_is_printed_with_its_numbers(fit):
    text = fit.summary()
    printed = 0
    titles = {"=~": "Latent variables", "~": "Regressions", ":=": "Defined parameters"}
    for row in fit.parameters.itertuples():
        title = titles.get(row.op, "Variances" if row.lhs == row.rhs else "Covariances")
        part = section(text, title)
        if row.op == ":=":
            name = f"{row.lhs} := {row.rhs}"
        else:
            dotted = row.op == "~~" and row.lhs != "f"
            label = f" ({row.label})" if row.label else ""
            name = f"{'.' if dotted else ''}{row.rhs}{label}"
            if row.lhs != row.rhs:
                part = part[re.search(rf"^ [ .]{row.lhs} {row.op}$", part, re.MULTILINE).end() :]
        numbers = [
            row.est,
            row.se,
            row.z,
            row.p,
            row.ci_lower,
            row.ci_upper,
            row.std_lv,
            row.std_all,
        ]
        shown = [format_number(v) for v in numbers]
        shown[3] = format_p(row.p).replace(" ", "")
        if row.se == 0:
            shown[1:6] = ["–"] * 5
        assert cells(part, name) == shown, name
        printed += 1
    assert printed == len(fit.parameters)


def test_columns_are_aligned(fit):
    part = section(fit.summary(), "Latent variables")
    lines = [line for line in part.splitlines() if len(line.split()) > 4]
    assert len(lines) == 7
    assert len({text_width(line) for line in lines}) == 1


def test_wide_names_are_aligned(data):
    names = dict(
        zip("abcdeh", ["有形性一", "有形性二", "T3", "可靠", "R2", "顾客满意度"], strict=True)
    )
    model = "有形性 =~ 有形性一 + 有形性二 + T3\nREL =~ 可靠 + R2 + 顾客满意度"
    fit = sq.cfa(model, data.rename(columns=names))
    for title in ("Latent variables", "Variances"):
        part = section(fit.summary(), title)
        lines = [line for line in part.splitlines() if len(line.split()) > 4]
        assert len({text_width(line) for line in lines}) == 1
        assert len({len(line) for line in lines}) > 1
    assert "  有形性 =~\n" in fit.summary()


def test_constraints_show_their_slack(fit):
    slack = fit.parameters.set_index("label").est["la"] - 0.1
    assert cells(section(fit.summary(), "Constraints"), "la > 0.1") == [format_number(slack)]


def test_parts_can_be_left_out(fit):
    text = fit.summary(standardized=False, fit_measures=False, r_squared=False)
    for word in ("Std.all", "baseline", "RMSEA", "R-square"):
        assert word not in text
    assert "Chi-square" in text
    assert "Estimate" in text


def test_two_groups_with_robust_statistics(data):
    fit = sq.cfa(
        "f =~ a + b + c\ng =~ d + e + h",
        data,
        group="site",
        group_equal="loadings",
        estimator="MLR",
    )
    text, m = fit.summary(modification_indices=True), fit.fit_measures
    head = section(text, "Estimation")
    assert cells(head, "Equality constraints") == ["4"]
    assert cells(head, "Standard errors")[0] == "robust"
    for label, n in fit.n_obs_by_group.items():
        assert cells(head, label) == [str(n)]
    test = section(text, "Test of the model")
    assert cells(test, "Chi-square") == [
        format_number(m["chisq"]),
        format_number(m["chisq_scaled"]),
    ]
    assert cells(test, "Scaling factor (Yuan-Bentler, Mplus variant)") == [
        format_number(m["chisq_scaling_factor"])
    ]
    parts = np.array(
        [[float(v) for v in cells(test, f"of which {label}")] for label in fit.group_labels]
    )
    np.testing.assert_allclose(parts.sum(axis=0), [m["chisq"], m["chisq_scaled"]], atol=2e-3)
    names = [f"cfi{kind}" for kind in ("", "_scaled", "_robust")]
    assert cells(text, "Comparative fit index (CFI)") == [format_number(m[n]) for n in names]
    assert cells(text, "Scaling correction of the model") == [format_number(m["scaling_factor_h0"])]
    second = text[text.index("\nGroup 2: ") :]
    assert f"Group 2: {fit.group_labels[1]}" in second
    row = fit.parameters.query("group == 2 and lhs == 'f' and rhs == 'b'").iloc[0]
    assert cells(section(second, "Latent variables"), "b (.p2.)")[0] == format_number(row.est)
    assert "Intercepts" in second
    assert text.count("\nR-square") == 2


ESTIMATORS = ["ML", "MLF", "MLR", "MLM", "MLMV", "MLMVS", "GLS", "WLS", "ULS", "ULSM", "ULSMV"]


@pytest.mark.parametrize("group", [None, "site"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_has_its_words(data, estimator, group):
    fit = sq.cfa("f =~ a + b + c\ng =~ d + e + h", data, estimator=estimator, group=group)
    m = fit.fit_measures
    test = section(fit.summary(), "Test of the model")
    shown = [format_number(m[n]) for n in ("chisq", "chisq_scaled") if n in m]
    assert cells(test, "Chi-square") == shown
    if "chisq_scaled" in m:
        factor = next(line for line in test.splitlines() if "Scaling factor" in line)
        assert factor.split()[-1] == format_number(m["chisq_scaling_factor"])
    if "shifted" in fit.fit_options.test:
        shift = fit.tests["scaled.shifted"]["shift_parameter"]
        assert cells(test, "Shift") == [format_number(shift)]
    assert fit.summary(lang="zh") != fit.summary()


def test_further_tests_are_listed(data):
    fit = sq.cfa(
        "f =~ a + b + c\ng =~ d + e + h", data, test=("satorra.bentler", "browne.residual.adf")
    )
    test = section(fit.summary(), "Test of the model")
    stat = fit.tests["browne.residual.adf"]["stat"]
    assert cells(test, "Browne's residual statistic, distribution-free") == [format_number(stat)]


def test_modification_indices_are_the_large_ones(data):
    fit = sq.cfa("f =~ a + b + c + d + e + h", data)
    indices = fit.modification_indices()
    large = indices[indices.mi >= 3.84]
    text = fit.summary(modification_indices=True)
    title = f"Modification indices of 3.84 or more ({len(large)} of {len(indices)})"
    lines = section(text, title).splitlines()[1:]
    assert len(lines) == len(large) > 0
    first = large.iloc[0]
    assert lines[0].split() == [
        first.lhs,
        first.op,
        first.rhs,
        *(format_number(first[c]) for c in ("mi", "epc", "sepc_all")),
    ]


def test_no_convergence_is_loud(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sq.cfa("f =~ a + b + c\ng =~ d + e + h", data, max_iterations=1)
    text = fit.summary()
    assert text.splitlines()[1].startswith("*** NOT CONVERGED")
    assert cells(section(text, "Test of the model"), "Chi-square") == ["–"]
    assert cells(text, "Stopped after iterations") == [str(fit.n_iterations)]
    sentence, remedy = wording.describe(fit.diagnostics[0])
    assert f"[problem] {sentence}" in text
    assert remedy in text


def test_heywood_case_is_loud():
    matrix = pd.DataFrame(
        [[1.0, 0.7, 0.7, 0.5], [0.7, 1.0, 0.35, 0.3], [0.7, 0.35, 1.0, 0.3], [0.5, 0.3, 0.3, 1.0]],
        index=list("abcd"),
        columns=list("abcd"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sq.cfa("f =~ a + b + c + d", cov=matrix, n_obs=200)
    text = fit.summary()
    assert text.splitlines()[1].startswith("*** INADMISSIBLE SOLUTION")
    assert "[problem] Negative variance estimates (Heywood case): a" in section(text, "Diagnostics")
    assert cells(section(text, "R-square"), "a") == ["–"]


def test_other_language(fit):
    text = fit.summary(lang="zh")
    assert "潜变量" in text
    for english in ("Latent variables", "Chi-square", "Degrees of freedom"):
        assert english not in text
    # The numbers are the same, in the same order.
    number = re.compile(r"-?\d*\.\d{3}\b")
    assert number.findall(text) == number.findall(fit.summary())
