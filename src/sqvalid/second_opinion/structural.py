"""The same analysis by an independent program, and how far apart the answers are.

semopy re-estimates a maximum-likelihood fit from the same covariance matrix. Programs
identify factors differently, so completely standardised estimates are compared, which no
identification changes. A failure of the other program is reported, never raised.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic
from sqvalid.reliability import group_frames

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

__all__ = ["NOT_COMPARED", "SecondOpinion", "ask_second_opinion", "translate_model"]

NOT_COMPARED = ("likelihood", "gfi", "missing_data", "means", "ordinal")
"""Answers of semopy 2.3.11 that are known to be wrong or missing: the log-likelihood with AIC
and BIC, GFI (equal to NFI), FIML, mean structures, and ordinal estimation."""

ESTIMATE_TOLERANCE = 0.01
"""Largest difference of standardised estimates that counts as agreement: semopy stops early,
its third decimal is loose."""

CHISQ_TOLERANCE = 1e-3
"""Largest relative difference of chi-square that counts as agreement."""

NO_VARIANCE = 1e-8
"""Product of two residual variances below which a residual correlation is not defined."""

_EQUAL_LABELS = re.compile(r"\.p\d+\.==\.p\d+\.")

_NORMAL_ML = {"ML", "MLR", "MLF", "MLM", "MLMV", "MLMVS"}


class _NoCounterpartError(Exception):
    """The model has no counterpart in the other program's language."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason)


@dataclass(frozen=True, repr=False, eq=False)
class SecondOpinion(Result):
    """How far a second program's answer is from ours.

    Parameters
    ----------
    program : str
        Name and version of the other program.
    available : bool
        Whether it gave an answer to the same question.
    reason : str
        Why not: ``"several_groups"``, ``"estimator"``, ``"missing_data"``, ``"means"``,
        ``"language"`` (the model cannot be written there), ``"not_converged"`` or
        ``"failed"``; empty when available.
    detail : str
        What the other program said, or what could not be translated.
    estimates : pandas.DataFrame
        ``lhs op rhs ours theirs difference``, completely standardised; empty without an answer.
    chisq, chisq_theirs : float
        Chi-square of both.
    df, df_theirs : float
        Degrees of freedom of both.
    translated : str
        The model text the other program was given; variables are renamed there.
    diagnostics : tuple of Diagnostic
        Disagreement, or why there is no answer.
    """

    program: str
    available: bool
    reason: str
    detail: str
    estimates: pd.DataFrame
    chisq: float
    chisq_theirs: float
    df: float
    df_theirs: float
    translated: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def max_difference(self) -> float:
        """Largest absolute difference of two standardised estimates; NaN without any."""
        if self.estimates.empty:
            return float("nan")
        return float(self.estimates["difference"].abs().max())

    @property
    def agrees(self) -> bool | None:
        """Whether estimates, chi-square and df agree; None when there is no answer."""
        if not self.available:
            return None
        close = abs(self.chisq - self.chisq_theirs) <= CHISQ_TOLERANCE * max(abs(self.chisq), 1.0)
        return bool(
            close and self.df == self.df_theirs and self.max_difference <= ESTIMATE_TOLERANCE
        )

    def _headline(self) -> str:
        if not self.available:
            return f"{self.program}: not available ({self.reason})"
        verdict = "agrees" if self.agrees else "disagrees"
        return f"{self.program} {verdict}, largest difference {self.max_difference:.4f}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per compared estimate; see `estimates`."""
        return self.estimates.copy()

    def tables(self) -> tuple[Table, ...]:
        """Return the comparison of chi-square and df, then that of the estimates."""
        summary = pd.DataFrame(
            {
                "statistic": ["chisq", "df"],
                "ours": [self.chisq, self.df],
                "theirs": [self.chisq_theirs, self.df_theirs],
            }
        )
        return Table(summary), Table(self.estimates, formats={"difference": "f4"})

    def _payload(self) -> Mapping[str, Any]:
        return {
            "program": self.program,
            "available": self.available,
            "agrees": self.agrees,
            "reason": self.reason,
            "chisq": self.chisq,
            "chisq_theirs": self.chisq_theirs,
            "df": self.df,
            "df_theirs": self.df_theirs,
            "max_difference": self.max_difference,
            "not_compared": NOT_COMPARED,
        }


def _check_scope(fit: FitResult) -> None:
    table = fit.parameters
    if len(fit.group_labels) > 1:
        raise _NoCounterpartError("several_groups")
    if str(fit.options.get("estimator")) not in _NORMAL_ML:
        raise _NoCounterpartError("estimator", str(fit.options.get("estimator")))
    if fit.options.get("likelihood", "normal") != "normal":
        raise _NoCounterpartError("estimator", f"ML, {fit.options['likelihood']}")
    if fit.options.get("sampling_weights") is not None:
        raise _NoCounterpartError("estimator", "sampling_weights")
    if fit.options.get("missing", "listwise") != "listwise":
        raise _NoCounterpartError("missing_data")
    if (table["op"] == "~1").any():
        raise _NoCounterpartError("means")
    foreign = set(table["op"]) - {"=~", "~", "~~", ":="}
    if foreign:
        raise _NoCounterpartError("language", " ".join(sorted(foreign)))
    # Equal labels are equal labels there, too; they stand among the constraints as .p1.==.p2.
    explicit = [text for text in fit.constraints if not _EQUAL_LABELS.fullmatch(text)]
    if explicit:
        raise _NoCounterpartError("language", "; ".join(explicit))
    bare = [factor for factor, items in fit.indicators.items() if not items]
    if bare:
        raise _NoCounterpartError("language", f"{bare[0]} =~ 0")


@dataclass(frozen=True)
class _Row:
    """One row of the parameter table, as far as it is compared."""

    lhs: str
    op: str
    rhs: str
    label: str
    free: bool
    est: float
    std_all: float

    @property
    def pair(self) -> frozenset[str]:
        return frozenset((self.lhs, self.rhs))


def _rows(fit: FitResult) -> list[_Row]:
    table = fit.parameters
    columns = ("lhs", "op", "rhs", "label", "free", "est", "std_all")
    return [
        _Row(str(lhs), str(op), str(rhs), str(label), int(free) > 0, float(est), float(std_all))
        for lhs, op, rhs, label, free, est, std_all in zip(
            *(table[name].tolist() for name in columns), strict=True
        )
        if op in {"=~", "~", "~~"}
    ]


def _coefficient(row: _Row, labels: Mapping[str, str]) -> str:
    """Return the modifier of one row in the other program's language, or an empty string."""
    if not row.free:
        return f"{row.est!r}*"
    return f"{labels[row.label]}*" if row.label in labels else ""


def translate_model(fit: FitResult) -> tuple[str, dict[str, str]]:
    """Write a fitted model in semopy's language.

    Every factor gets a marker item there, whatever identified it here. Covariances that this
    model does not have are written out as zero, because semopy adds some by itself. Variables
    are renamed, so that no name can be taken for syntax.

    Parameters
    ----------
    fit : FitResult
        One group, maximum likelihood, covariance structure only.

    Returns
    -------
    text : str
        The model.
    names : dict of str to str
        Our names to those used in `text`.
    """
    rows = _rows(fit)
    names = {v: f"x{i}" for i, v in enumerate(fit.observed)}
    names |= {f: f"f{i}" for i, f in enumerate(fit.indicators)}
    shared = Counter(row.label for row in rows if row.label and row.free)
    repeated = [label for label, n in shared.items() if n > 1]
    labels = {label: f"p{i}" for i, label in enumerate(repeated)}
    variance = {row.lhs: row for row in rows if row.op == "~~" and row.lhs == row.rhs}
    lines: list[str] = []
    rescaled: set[str] = set()
    for factor in fit.indicators:
        own = [row for row in rows if row.op == "=~" and row.lhs == factor]
        # semopy takes the first item for the marker.
        own.sort(key=lambda row: row.free)
        if own[0].free:
            if labels:
                raise _NoCounterpartError(
                    "language", f"{factor} ~~ 1*{factor}, {next(iter(labels))}"
                )
            if variance[factor].free:
                raise _NoCounterpartError("language", f"{factor} =~ {own[0].rhs}")
            rescaled.add(factor)
            terms = [names[row.rhs] for row in own]
        elif own[0].est == 0.0:
            raise _NoCounterpartError("language", f"{factor} =~ {own[0].rhs}")
        else:
            terms = [f"{_coefficient(row, labels)}{names[row.rhs]}" for row in own]
        lines.append(f"{names[factor]} =~ {' + '.join(terms)}")
    for lhs in dict.fromkeys(row.lhs for row in rows if row.op == "~"):
        own = [row for row in rows if row.op == "~" and row.lhs == lhs]
        terms = [f"{_coefficient(row, labels)}{names[row.rhs]}" for row in own]
        lines.append(f"{names[lhs]} ~ {' + '.join(terms)}")
    covariates = _fixed_covariates(fit)
    lines.extend(_covariance_lines(rows, names, labels, covariates, rescaled))
    lines.extend(_absent_covariances(fit, rows, names))
    return "\n".join(lines), names


def _fixed_covariates(fit: FitResult) -> set[str]:
    """Return exogenous observed variables whose moments are taken from the sample as they are."""
    regressions = [row for row in _rows(fit) if row.op == "~"]
    indicators = {item for items in fit.indicators.values() for item in items}
    exogenous = {row.rhs for row in regressions} - {row.lhs for row in regressions} - indicators
    return exogenous & set(fit.observed)


def _covariance_lines(
    rows: list[_Row],
    names: Mapping[str, str],
    labels: Mapping[str, str],
    covariates: set[str],
    rescaled: set[str],
) -> Iterator[str]:
    for row in rows:
        if row.op != "~~" or row.pair <= covariates:
            # semopy, too, takes the moments of covariates from the sample.
            continue
        if row.lhs == row.rhs and (row.lhs in rescaled or (row.free and row.label not in labels)):
            continue
        if not row.free and row.est != 0.0 and row.pair & rescaled:
            raise _NoCounterpartError("language", f"{row.lhs} ~~ {row.rhs}")
        yield f"{names[row.lhs]} ~~ {_coefficient(row, labels)}{names[row.rhs]}"


def _absent_covariances(
    fit: FitResult, rows: list[_Row], names: Mapping[str, str]
) -> Iterator[str]:
    present = {row.pair for row in rows if row.op == "~~"}
    regressed = [row.lhs for row in rows if row.op == "~"]
    for pair in itertools.combinations(dict.fromkeys([*fit.indicators, *regressed]), 2):
        if frozenset(pair) not in present:
            yield f"{names[pair[0]]} ~~ 0*{names[pair[1]]}"


def _ask(text: str, covariance: pd.DataFrame, n_obs: int) -> tuple[pd.DataFrame, float, float]:
    """Let semopy estimate; return its parameter table, chi-square and df."""
    with warnings.catch_warnings():
        # semopy divides by a p-value of zero df and probes matrices that are not positive
        # definite on its way; old string escapes warn when it is imported.
        for category in (RuntimeWarning, FutureWarning, DeprecationWarning, SyntaxWarning):
            warnings.simplefilter("ignore", category)
        import semopy

        model = semopy.Model(text)
        model.fit(cov=covariance, n_samples=n_obs)
        # Its own chi-square is n F; the p-value would need one degree of freedom at least.
        chisq = float(model.n_samples * model.last_result.fun)
        df = float(semopy.stats.calc_dof(model))
        return model.inspect(std_est=True), chisq, df


def _match(fit: FitResult, theirs: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    raw = {
        (str(lval), str(op), str(rval)): float(value)
        for lval, op, rval, value in zip(
            theirs["lval"], theirs["op"], theirs["rval"], theirs["Est. Std"], strict=True
        )
    }
    answers: dict[tuple[str, str, str], float] = {}
    for (lval, op, rval), value in raw.items():
        answers[lval, op, rval] = value
        if op == "~~" and lval != rval:
            # semopy divides a residual covariance by total standard deviations, we by residual
            # ones; for exogenous variables the two are the same.
            unexplained = raw.get((lval, op, lval), 1.0) * raw.get((rval, op, rval), 1.0)
            if unexplained < NO_VARIANCE:
                continue
            rescaled = value / float(np.sqrt(unexplained))
            answers[lval, op, rval] = answers[rval, op, lval] = rescaled
    matched = []
    for row in _rows(fit):
        if row.lhs not in names or row.rhs not in names or not np.isfinite(row.std_all):
            continue
        a, b = names[row.lhs], names[row.rhs]
        answer = answers.get((b, "~", a) if row.op == "=~" else (a, row.op, b))
        if answer is not None:
            difference = answer - row.std_all
            matched.append((row.lhs, row.op, row.rhs, row.std_all, answer, difference))
    return pd.DataFrame(matched, columns=_COLUMNS)


_COLUMNS = ["lhs", "op", "rhs", "ours", "theirs", "difference"]


def ask_second_opinion(fit: FitResult) -> SecondOpinion:
    """Ask semopy for its answer to the question a fit has answered.

    Parameters
    ----------
    fit : FitResult
        A maximum-likelihood fit. What semopy cannot answer (several groups, means, other
        estimators, constraints) comes back as not available, with the reason.

    Returns
    -------
    SecondOpinion

    References
    ----------
    Igolkina & Meshcheryakov (2020); Meshcheryakov, Igolkina & Samsonova (2021).
    """
    from importlib.metadata import PackageNotFoundError, version

    ours = fit.fit_measures
    our_chisq, our_df = float(ours["chisq"]), float(ours["df"])
    translated = ""
    try:
        program = f"semopy {version('semopy')}"
    except PackageNotFoundError:
        program = "semopy"
    try:
        _check_scope(fit)
        if not fit.converged:
            raise _NoCounterpartError("not_converged")
        translated, names = translate_model(fit)
        [sample] = group_frames(fit, "sample").values()
        sample = sample.rename(index=names, columns=names)
        theirs, chisq, df = _ask(translated, sample, fit.n_obs)
        # semopy counts the moments of fixed covariates, which carry no information on the model.
        q = len(_fixed_covariates(fit))
        df -= q * (q + 1) / 2
        estimates = _match(fit, theirs, names)
        if not np.isfinite(chisq) or not np.isfinite(estimates["theirs"]).all():
            raise _NoCounterpartError("failed", "NaN")
    except _NoCounterpartError as trouble:
        return _without_answer(program, fit, translated, trouble.reason, trouble.detail)
    except Exception as trouble:  # another program may fail in any way it likes
        detail = f"{type(trouble).__name__}: {trouble}"
        return _without_answer(program, fit, translated, "failed", detail)
    opinion = SecondOpinion(
        program=program,
        available=True,
        reason="",
        detail="",
        estimates=estimates,
        chisq=our_chisq,
        chisq_theirs=chisq,
        df=our_df,
        df_theirs=df,
        translated=translated,
    )
    return opinion if opinion.agrees else _disagreeing(opinion)


def _disagreeing(opinion: SecondOpinion) -> SecondOpinion:
    ordered = opinion.estimates.sort_values("difference", key=abs, ascending=False, kind="stable")
    where = tuple(
        f"{lhs} {op} {rhs}"
        for lhs, op, rhs in ordered[["lhs", "op", "rhs"]].head(1).itertuples(index=False)
    )
    values = {
        "program": opinion.program,
        "difference": f"{opinion.max_difference:.4f}",
        "chisq": f"{opinion.chisq:.3f}",
        "chisq_theirs": f"{opinion.chisq_theirs:.3f}",
        "df": f"{opinion.df:g}",
        "df_theirs": f"{opinion.df_theirs:g}",
    }
    variances = opinion.estimates[
        (opinion.estimates["op"] == "~~") & (opinion.estimates["lhs"] == opinion.estimates["rhs"])
    ]
    # semopy does not let a variance become negative, so its answer differs where ours does.
    bounded = bool((variances["ours"] < 0.0).any())
    code = "second_opinion_bounded" if bounded else "second_opinion_disagrees"
    diagnostic = Diagnostic(code, "warning", where, values)
    return replace(opinion, diagnostics=(diagnostic,))


def _without_answer(
    program: str, fit: FitResult, translated: str, reason: str, detail: str
) -> SecondOpinion:
    values = {"program": program, "detail": detail}
    return SecondOpinion(
        program=program,
        available=False,
        reason=reason,
        detail=detail,
        estimates=pd.DataFrame(columns=_COLUMNS),
        chisq=float(fit.fit_measures["chisq"]),
        chisq_theirs=float("nan"),
        df=float(fit.fit_measures["df"]),
        df_theirs=float("nan"),
        translated=translated,
        diagnostics=(Diagnostic(f"second_opinion_{reason}", "info", (), values),),
    )
