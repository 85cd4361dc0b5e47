"""From words to verdicts: what is understood, what is tested, and what is said."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import sqvalid as sq
from sqvalid.errors import InputError, OptionError
from sqvalid.hypotheses import FORMS, holm_adjusted, judge_hypotheses, read_hypotheses
from sqvalid.hypotheses.equivalence import reversible_arrows

MODEL = "SAT ~ SQ\nRPI ~ SAT + SQ\n"


def simulate(n: int, a: float, b: float, c: float, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sq_ = rng.normal(size=n)
    sat = a * sq_ + math.sqrt(1 - a * a) * rng.normal(size=n)
    rest = math.sqrt(1 - b * b - c * c - 2 * a * b * c)
    rpi = b * sat + c * sq_ + rest * rng.normal(size=n)
    frame = pd.DataFrame({"SQ": sq_, "SAT": sat, "RPI": rpi})
    frame["branch"] = np.where(np.arange(n) % 2, "north", "south")
    return frame


def fitted(n: int = 800, a: float = 0.6, b: float = 0.5, c: float = 0.0, seed: int = 5):
    return sq.sem(MODEL, simulate(n, a, b, c, seed), fixed_x=False)


def judged(fit, words: str, **options) -> pd.Series:
    smallest = options.pop("smallest", None)
    result = judge_hypotheses(read_hypotheses({"H1": words}, smallest=smallest), fit, **options)
    return result.frame.iloc[0]


# --- words -------------------------------------------------------------------------------


@pytest.mark.parametrize("words", FORMS)
def test_every_form_is_read(words: str) -> None:
    (found,) = read_hypotheses({"H1": words})
    assert found.statement == words
    assert found.paths or found.kind == "groups"


@pytest.mark.parametrize(
    ("words", "kind", "paths", "sign"),
    [
        ("quality → satisfaction，正向", "path", (("quality", "satisfaction"),), "positive"),
        ("SQ->SAT, negative.", "path", (("SQ", "SAT"),), "negative"),
        ("SQ -> SAT > 0", "path", (("SQ", "SAT"),), "positive"),
        ("SAT 中介 SQ -> RPI", "mediation", (("SQ", "SAT", "RPI"),), "nonzero"),
        ("A-1 -> B-2", "path", (("A-1", "B-2"),), "nonzero"),
    ],
)
def test_words(words, kind, paths, sign) -> None:
    (found,) = read_hypotheses({"H1": words})
    assert (found.kind, found.paths, found.sign) == (kind, paths, sign)


def test_control_variables_bounds_and_families() -> None:
    found = read_hypotheses(
        {
            "H1": "PF -> SAT, positive, given SQ and IMG",
            "H2": "SQ -> RPI is within ±.15 of zero",
            "H3": {"says": "SQ -> SAT", "family": "exploratory", "smallest": 0.2},
        }
    )
    assert found[0].given == ("SQ", "IMG")
    assert found[1].bound == 0.15
    assert (found[2].family, found[2].smallest) == ("exploratory", 0.2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("quality is good", "'quality is good' is not a path"),
        ("SQ -> ", "is not a path"),
        ("SQ -> SQ", "comes back"),
        ("SQ -> SAT, sideways", "'sideways' is not understood"),
        ("SQ -> SAT is within 3 of zero", "bound 3 is not between 0 and 1"),
        ("SAT mediates SQ -> RPI, given PF", "only a path"),
        ("", "no words"),
    ],
)
def test_words_that_fit_no_form_are_refused_by_name(words: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_hypotheses({"H7": words})
    assert "'H7'" in str(caught.value)


def test_an_unknown_construct_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'SATT' is not in the model\. Did you mean 'SAT'"):
        judged(fitted(), "SQ -> SATT")
    row = judged(fitted(), "Güte -> 满意度", names={"Güte": "SQ"})
    assert row["verdict"] == "supported"


# --- verdicts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("c", "words", "smallest", "verdict", "reason"),
    [
        (0.3, "SQ -> RPI, positive", None, "supported", "rejected"),
        (0.3, "SQ -> RPI, negative", None, "contradicted", "opposite_sign"),
        (0.0, "SQ -> RPI, positive", None, "not_supported", "not_significant"),
        (0.0, "SQ -> RPI, positive", 0.2, "not_supported", "too_small"),
        (0.0, "SQ -> RPI is within .15 of zero", None, "supported", "within_region"),
        (0.4, "SQ -> RPI is within .15 of zero", None, "contradicted", "outside_region"),
        (0.15, "SQ -> RPI is within .15 of zero", None, "undecided", "across_region"),
        (0.0, "SAT -> RPI exceeds SQ -> RPI", None, "supported", "rejected"),
        (0.0, "SQ -> RPI exceeds SAT -> RPI", None, "contradicted", "opposite_sign"),
        (0.0, "SAT is the strongest predictor of RPI", None, "supported", "rejected"),
        (0.0, "SAT mediates SQ -> RPI", None, "supported", "rejected"),
        (0.0, "SAT does not mediate SQ -> RPI", None, "contradicted", "effect_there"),
        (0.0, "SQ mediates SAT -> RPI", None, "not_testable", "equivalent_model"),
        (0.0, "SQ moderates SAT -> RPI", None, "not_testable", "needs_interaction"),
        (0.0, "SQ -> RPI, positive, given SAT", None, "not_supported", "not_significant"),
        (0.0, "SQ -> SAT, given RPI", None, "not_testable", "not_controlled"),
        (0.0, "paths equal across branch", None, "not_testable", "no_groups"),
    ],
)
def test_verdicts(c, words, smallest, verdict, reason) -> None:
    row = judged(fitted(c=c), words, smallest=smallest)
    assert (row["verdict"], row["reason"]) == (verdict, reason)


def test_few_respondents_leave_a_relevant_effect_undecided() -> None:
    row = judged(fitted(n=40, c=0.1, seed=7), "SQ -> RPI, positive", smallest=0.2)
    assert (row["verdict"], row["reason"]) == ("undecided", "imprecise")


def test_numbers_are_those_of_the_fit() -> None:
    fit = fitted(c=0.2)
    row = judged(fit, "SQ -> RPI, positive")
    table = fit.parameters
    own = table[(table["lhs"] == "RPI") & (table["rhs"] == "SQ")].iloc[0]
    for name, column in [("estimate", "est"), ("se", "se"), ("p", "p"), ("ci_lower", "ci_lower")]:
        assert row[name] == pytest.approx(own[column], rel=1e-10)
    assert row["std_estimate"] == pytest.approx(own["std_all"], rel=1e-12)


def test_mediation_is_the_product_of_its_paths() -> None:
    fit = fitted(c=0.2)
    row = judged(fit, "SAT mediates SQ -> RPI")
    coef = fit.parameters.set_index(["lhs", "op", "rhs"])["est"]
    a, b = coef["SAT", "~", "SQ"], coef["RPI", "~", "SAT"]
    assert row["estimate"] == pytest.approx(a * b, rel=1e-10)
    effects = sq.estimate_effects(fit, bootstrap=sq.draw_estimates(fit)).frame
    own = effects[effects["kind"] == "specific"].iloc[0]
    assert row["ci_lower"] == pytest.approx(own["ci_lower"], rel=1e-10)
    assert row["ci_upper"] == pytest.approx(own["ci_upper"], rel=1e-10)


def test_a_difference_of_paths_is_that_of_a_defined_parameter() -> None:
    frame = simulate(500, 0.5, 0.4, 0.1)
    fit = sq.sem(MODEL, frame, fixed_x=False)
    row = judged(fit, "SAT -> RPI exceeds SQ -> RPI")
    scaled = frame[["SQ", "SAT", "RPI"]].apply(lambda x: (x - x.mean()) / x.std(ddof=0))
    own = sq.sem("SAT ~ SQ\nRPI ~ b*SAT + c*SQ\nd := b - c", scaled, fixed_x=False)
    found = own.parameters.set_index("lhs").loc["d"]
    assert row["estimate"] == pytest.approx(found["est"], abs=1e-8)


def test_equality_across_groups() -> None:
    frame = simulate(1000, 0.6, 0.5, 0.0)
    fit = sq.sem(MODEL, frame, fixed_x=False)
    groups = {"branch": sq.sem(MODEL, frame, group="branch", fixed_x=False)}
    alike = judged(fit, "paths equal across branch", groups=groups, smallest=0.35)
    assert (alike["verdict"], alike["reason"]) == ("supported", "within_region")
    alone = judged(fit, "paths equal across branch", groups=groups)
    assert (alone["verdict"], alone["reason"]) == ("undecided", "no_region")
    frame.loc[frame["branch"] == "north", "RPI"] *= -1.0
    groups = {"branch": sq.sem(MODEL, frame, group="branch", fixed_x=False)}
    apart = judged(fit, "SAT -> RPI equal across branch", groups=groups, smallest=0.25)
    assert (apart["verdict"], apart["reason"]) == ("contradicted", "differs")
    labelled = "SAT ~ SQ\nRPI ~ c(a, b)*SAT + SQ\n"
    own = sq.wald_test(sq.sem(labelled, frame, group="branch", fixed_x=False), "a == b")
    assert apart["p"] == pytest.approx(own.p, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "forward", "backward"),
    [
        ("SQ mediates SAT -> RPI", MODEL, "SQ ~ SAT\nRPI ~ SAT + SQ\n"),
        ("RPI -> SAT", MODEL, "RPI ~ SQ\nSAT ~ RPI + SQ\n"),
        ("SAT -> SQ", "SAT ~ SQ\nRPI ~ SAT\n", "SQ ~ SAT\nRPI ~ SAT\nSQ ~~ 0*RPI\n"),
        ("RPI -> SAT", "SAT ~ SQ\nRPI ~ SAT\n", "SAT ~ RPI\nSQ ~ SAT\n"),
    ],
)
def test_what_is_called_equivalent_fits_exactly_alike(words, forward, backward) -> None:
    frame = simulate(300, 0.6, 0.5, 0.2)
    fit, turned = (sq.sem(text, frame, fixed_x=False) for text in (forward, backward))
    assert judged(fit, words)["reason"] == "equivalent_model"
    assert turned.df == fit.df
    for name in ("logl", "chisq"):
        assert turned.fit_measures[name] == pytest.approx(fit.fit_measures[name], abs=1e-5)


def test_what_is_not_called_equivalent_fits_otherwise() -> None:
    # A collider of two causes that do not covary: its arrows have one direction only.
    frame = simulate(300, 0.6, 0.5, 0.3)
    fit = sq.sem("RPI ~ SAT + SQ\nSAT ~~ 0*SQ", frame, fixed_x=False)
    assert judged(fit, "RPI -> SAT")["reason"] == "no_path"
    turned = sq.sem("SAT ~ RPI\nRPI ~ SQ\n", frame, fixed_x=False)
    assert turned.df == fit.df
    assert abs(turned.fit_measures["chisq"] - fit.fit_measures["chisq"]) > 1.0


@pytest.mark.parametrize("seed", range(30))
def test_reversible_arrows_against_all_orders(seed: int) -> None:
    """Brute force: every acyclic orientation with the same neighbours and open colliders."""
    from itertools import combinations, product

    rng = np.random.default_rng(seed)
    names = "ABCDE"[: 3 + seed % 3]
    pairs = [pair for pair in combinations(names, 2) if rng.uniform() < 0.6]

    def colliders(arrows: tuple[tuple[str, str], ...]) -> set[tuple[str, str, str]]:
        near = {frozenset(pair) for pair in pairs}
        return {
            (a, c, b)
            for (a, c), (b, d) in combinations(sorted(arrows), 2)
            if c == d and frozenset((a, b)) not in near
        }

    def acyclic(arrows: tuple[tuple[str, str], ...]) -> bool:
        left = list(arrows)
        while left:
            free = {a for a, _ in left} - {b for _, b in left}
            if not free:
                return False
            left = [(a, b) for a, b in left if a not in free]
        return True

    own = tuple(pairs)  # alphabetical, so without a loop
    turned = set()
    for flips in product([False, True], repeat=len(pairs)):
        other = tuple((b, a) if flip else (a, b) for (a, b), flip in zip(pairs, flips, strict=True))
        if acyclic(other) and colliders(other) == colliders(own):
            turned |= {pair for pair, flip in zip(pairs, flips, strict=True) if flip}
    assert reversible_arrows(own) == turned


def test_paths_are_not_compared_where_the_loadings_differ() -> None:
    fit = fitted()
    row = judged(fit, "paths equal across branch", groups={"branch": "loadings_differ"})
    assert (row["verdict"], row["reason"]) == ("not_testable", "loadings_differ")


def test_holm_counts_only_what_is_tested_in_the_family() -> None:
    hypotheses = read_hypotheses(
        {
            "H1": "SQ -> SAT, positive",
            "H2": "SQ -> RPI, positive",
            "H3": "SQ moderates SAT -> RPI",
            "H4": {"says": "SAT -> RPI, positive", "family": "other"},
        }
    )
    frame = judge_hypotheses(hypotheses, fitted(c=0.1)).frame.set_index("id")
    assert frame.loc["H1", "p_adjusted"] == pytest.approx(2 * frame.loc["H1", "p"])
    assert frame.loc["H2", "p_adjusted"] == pytest.approx(frame.loc["H2", "p"])
    assert math.isnan(frame.loc["H3", "p_adjusted"])
    assert frame.loc["H4", "p_adjusted"] == pytest.approx(frame.loc["H4", "p"])


def test_holm_against_its_definition() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(size=7) ** 2
    order = np.argsort(p)
    expected = np.empty(7)
    for rank, i in enumerate(order):
        expected[i] = min(1.0, max((7 - k) * p[order[k]] for k in range(rank + 1)))
    np.testing.assert_allclose(holm_adjusted(p), expected)


def test_a_failed_link_leaves_every_hypothesis_untested_with_its_numbers() -> None:
    row = judged(fitted(), "SQ -> SAT, positive", blocked="fit")
    assert (row["verdict"], row["reason"]) == ("not_testable", "link_fit")
    assert math.isfinite(row["estimate"])


def test_an_inadmissible_solution_supports_nothing() -> None:
    # A loading of x1 above 1 in absolute value is what these correlations imply.
    names = ["x1", "x2", "x3", "y"]
    cov = np.array([[1, 0.8, 0.8, 0.5], [0.8, 1, 0.5, 0.4], [0.8, 0.5, 1, 0.4], [0.5, 0.4, 0.4, 1]])
    with pytest.warns(sq.errors.SqvalidWarning):
        fit = sq.sem("F =~ x1 + x2 + x3\ny ~ F", cov=pd.DataFrame(cov, names, names), n_obs=200)
    assert not fit.admissible
    assert judged(fit, "F -> y, positive")["verdict"] == "not_testable"


def test_levels_and_ids_are_checked() -> None:
    with pytest.raises(OptionError, match="alpha"):
        judged(fitted(), "SQ -> SAT", alpha=0.7)
    pair = read_hypotheses({"H1": "SQ -> SAT"}) * 2
    with pytest.raises(OptionError, match="same id"):
        judge_hypotheses(pair, fitted())


def test_every_verdict_and_reason_has_a_sentence_in_every_language() -> None:
    import inspect
    import re

    from sqvalid import wording
    from sqvalid.hypotheses import VERDICTS, testing, verdicts

    source = inspect.getsource(testing)
    judging = inspect.getsource(verdicts)
    judging = judging[judging.index("def _verdict(") :]
    words = set(re.findall(r'"([a-z_]+)"', judging)) - set(VERDICTS)
    reasons = words - {"groups", "equivalence", "positive", "negative", "nonzero"}
    reasons |= set(re.findall(r'finding\.blocked(?:, finding\.about)? = "(\w+)"', source))
    reasons |= {"no_path", "equivalent_model", "no_groups", "loadings_differ", "groups_failed"}
    reasons |= {f"link_{name}" for name in ("solution", "fit", "distinctness", "structure")}
    assert {"rejected", "needs_interaction", "no_groups", "no_standard_error"} <= reasons
    for language in wording.languages():
        known = wording.keys(language)
        assert not {r for r in reasons if f"hypothesis_reason.{r}" not in known}
        assert {f"hypothesis_verdict.{verdict}" for verdict in VERDICTS} <= known
