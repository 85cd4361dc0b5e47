"""Exploratory analyses by factor_analyzer, and how far apart the answers are.

The program gets the same correlation matrix. Its rotations begin with loadings that it has
extracted itself, so differences of an extraction show again in the rotation; factors are matched
by congruence, because order and direction are conventions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic
from sqvalid.exploratory import EfaResult, Factorability
from sqvalid.exploratory.intervals import align_columns
from sqvalid.rotation import CRITERIA, ORTHOGONAL, Setting, habit

__all__ = [
    "KNOWN_DEFECTS", "FactorOpinion", "ask_factor_opinion", "ask_factorability_opinion",
]  # fmt: skip

Array = npt.NDArray[np.float64]

KNOWN_DEFECTS = {
    "fit_raises": "fit() of 0.5.1 hands scikit-learn 1.8 an argument that has been renamed; it is "
    "translated here, and only here.",
    "equamax": "kappa is 0 unless it is given, which is quartimax: m/(2p) is given here.",
    "oblimin_normalised": "rows are brought to unit length unless it is told not to, which psych "
    "and we do not do for oblimin, quartimin and geomin.",
    "five_hundred_steps": "a rotation ends after 500 steps without a word: 20,000 are allowed.",
    "phi_order": "columns of oblique loadings are put in order of variance, factor correlations "
    "are not: those that belong to its loadings are compared here.",
    "principal": "'principal' are components of answers, not of a matrix, and no principal axes: "
    "it gets answers made to have the same correlations. It rotates all components: those kept are "
    "handed to its rotation here.",
}
"""What is known to be wrong with factor_analyzer 0.5.1, and what is done about it here."""

LOADING_TOLERANCE = 0.01
"""Largest difference of loadings that counts as agreement: the program stops early."""

STATISTIC_TOLERANCE = 1e-6
"""Largest relative difference of KMO, MSA and Bartlett's chi-square that counts as agreement."""

_EXTRACTION = {"ml": "ml", "minres": "minres", "pca": "principal"}
_ROTATION = {
    "none": None,
    "varimax": "varimax",
    "promax": "promax",
    "oblimin": "oblimin",
    "quartimin": "quartimin",
    "quartimax": "quartimax",
    "equamax": "equamax",
    "geomin": "geomin_obl",
    "geomin_orthogonal": "geomin_ort",
}


class _NoCounterpartError(Exception):
    """The analysis has no counterpart in the other program."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


@dataclass(frozen=True, repr=False, eq=False)
class FactorOpinion(Result):
    """How far factor_analyzer's answer is from ours.

    Parameters
    ----------
    program : str
        Name and version.
    available : bool
        Whether it gave an answer to the same question.
    reason : str
        Why not: ``"extraction"``, ``"rotation"`` or ``"failed"``; empty when available.
    detail : str
    frame : pandas.DataFrame
        ``statistic item factor ours theirs difference``: loadings, factor correlations,
        uniquenesses; or KMO, MSA, Bartlett's chi-square.
    criterion, criterion_theirs : float
        Of the rotation, where it minimises one: the lower is the better answer. NaN elsewhere.
    diagnostics : tuple of Diagnostic
        Disagreement, or why there is no answer.
    """

    program: str
    available: bool
    reason: str
    detail: str
    frame: pd.DataFrame
    criterion: float = float("nan")
    criterion_theirs: float = float("nan")
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def max_difference(self) -> float:
        """Largest absolute difference of a loading or of a relative statistic; NaN without any."""
        if self.frame.empty:
            return float("nan")
        return float(_comparable(self.frame).max())

    @property
    def agrees(self) -> bool | None:
        """Whether both programs say the same; None when there is no answer."""
        if not self.available:
            return None
        return self.max_difference <= _tolerance(self.frame)

    def _headline(self) -> str:
        if not self.available:
            return f"{self.program}: not available ({self.reason})"
        verdict = "agrees" if self.agrees else "disagrees"
        return f"{self.program} {verdict}, largest difference {self.max_difference:.2g}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per compared number."""
        return self.frame.copy()

    def tables(self) -> tuple[Table, ...]:
        """One row per compared number."""
        return (Table(self.frame, formats={"difference": "f6"}),)

    def _payload(self) -> Mapping[str, Any]:
        return {
            "program": self.program,
            "available": self.available,
            "agrees": self.agrees,
            "reason": self.reason,
            "max_difference": self.max_difference,
            "criterion": self.criterion,
            "criterion_theirs": self.criterion_theirs,
            "known_defects": KNOWN_DEFECTS,
        }


def _comparable(frame: pd.DataFrame) -> pd.Series:
    """Absolute differences; of statistics that are large, relative ones."""
    return frame["difference"].abs() / np.maximum(frame["ours"].abs(), 1.0)


def _tolerance(frame: pd.DataFrame) -> float:
    loadings = frame["statistic"].isin(["loading", "correlation", "uniqueness"]).any()
    return LOADING_TOLERANCE if loadings else STATISTIC_TOLERANCE


def ask_factor_opinion(fit: EfaResult) -> FactorOpinion:
    """Ask factor_analyzer for its answer to the question an exploratory analysis has answered.

    Parameters
    ----------
    fit : EfaResult
        By ml, minres or pca, with one of nine rotations; anything else comes back as not available,
        with the reason.

    Returns
    -------
    FactorOpinion

    References
    ----------
    Biggs & Madnani (2022), factor_analyzer 0.5.
    """
    program = _program()
    try:
        theirs, phi, unique = _refit(fit)
    except _NoCounterpartError as trouble:
        return _without_answer(program, trouble.reason, trouble.detail)
    except Exception as trouble:  # another program may fail in any way it likes
        return _without_answer(program, "failed", f"{type(trouble).__name__}: {trouble}")
    ours = fit.loadings.to_numpy(dtype=float)
    order, sign = align_columns(theirs, ours)
    theirs = theirs[:, order] * sign
    phi = phi[np.ix_(order, order)] * np.outer(sign, sign)
    names = [str(c) for c in fit.loadings.columns]
    items = [str(i) for i in fit.loadings.index]
    rows: list[tuple[str, str, str, float, float]] = [
        ("loading", item, name, ours[i, k], theirs[i, k])
        for i, item in enumerate(items)
        for k, name in enumerate(names)
    ]
    between = fit.factor_correlations.to_numpy(dtype=float)
    if not np.allclose(between, np.eye(len(names))):
        rows += [
            ("correlation", names[j], names[i], between[i, j], phi[i, j])
            for i in range(len(names))
            for j in range(i)
        ]
    own = fit.uniquenesses.to_numpy(dtype=float)
    rows += [("uniqueness", item, "", own[i], unique[i]) for i, item in enumerate(items)]
    return _compared(program, rows, *_criteria(fit, theirs))


def ask_factorability_opinion(found: Factorability, correlation: pd.DataFrame) -> FactorOpinion:
    """Ask factor_analyzer for KMO, MSA and Bartlett's test.

    Parameters
    ----------
    found : Factorability
    correlation : pandas.DataFrame
        The matrix that was judged. The program takes answers only: it gets as many as there were,
        made to have exactly these correlations.

    Returns
    -------
    FactorOpinion
    """
    program = _program()
    try:
        if found.n_obs is None or found.n_obs <= len(correlation):
            raise _NoCounterpartError("failed", "n_obs")
        answers = _answers_with(correlation.to_numpy(dtype=float), found.n_obs)
        frame = pd.DataFrame(answers, columns=[str(c) for c in correlation])
        with _shimmed():
            from factor_analyzer import calculate_bartlett_sphericity, calculate_kmo

            msa, kmo = calculate_kmo(frame)
            chisq, _ = calculate_bartlett_sphericity(frame)
    except _NoCounterpartError as trouble:
        return _without_answer(program, trouble.reason, trouble.detail)
    except Exception as trouble:  # another program may fail in any way it likes
        return _without_answer(program, "failed", f"{type(trouble).__name__}: {trouble}")
    rows = [
        ("kmo", "", "", found.kmo, float(kmo)),
        ("bartlett", "", "", found.bartlett_chisq, float(chisq)),
    ]
    rows += [
        ("msa", str(item), "", float(ours), float(theirs))
        for item, ours, theirs in zip(found.msa.index, found.msa, msa, strict=True)
    ]
    return _compared(program, rows)


def _program() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"factor_analyzer {version('factor_analyzer')}"
    except PackageNotFoundError:
        return "factor_analyzer"


@contextmanager
def _shimmed() -> Iterator[None]:
    """Let factor_analyzer 0.5.1 call a scikit-learn that has renamed one argument."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, SyntaxWarning, RuntimeWarning):
            warnings.simplefilter("ignore", category)
        import inspect

        from factor_analyzer import factor_analyzer as theirs

        original = theirs.check_array
        if "force_all_finite" in inspect.signature(original).parameters:
            yield
            return

        def renamed(*arguments: Any, **options: Any) -> Any:
            if "force_all_finite" in options:
                options["ensure_all_finite"] = options.pop("force_all_finite")
            return original(*arguments, **options)

        theirs.check_array = renamed
        try:
            yield
        finally:
            theirs.check_array = original


def _refit(fit: EfaResult) -> tuple[Array, Array, Array]:
    """Loadings, factor correlations and uniquenesses of the other program."""
    setup = fit.setup
    if setup.extraction not in _EXTRACTION:
        raise _NoCounterpartError("extraction", setup.extraction)
    if setup.rotation not in _ROTATION:
        raise _NoCounterpartError("rotation", setup.rotation)
    p, m = fit.loadings.shape
    rotation = _ROTATION[setup.rotation] if m > 1 else None
    options = dict(setup.rotation_options)
    told: dict[str, Any] = {}
    if rotation is not None:
        kaiser = habit(setup.rotation) if setup.kaiser is None else setup.kaiser
        if rotation == "promax":
            # The program turns varimax with row weights either way, as psych does.
            told = {"power": options.get("power", 4.0), "normalize": kaiser}
        else:
            told = {"normalize": kaiser, "max_iter": 20_000, "tol": 1e-8}
        if rotation == "oblimin":
            told["gamma"] = options.get("gamma", 0.0)
        if rotation == "equamax":
            told["kappa"] = m / (2.0 * p)
        if rotation.startswith("geomin"):
            told["delta"] = options.get("epsilon", 0.01)
        if rotation in ("varimax", "promax"):
            told |= {"max_iter": 20_000, "tol": 1e-8}
    with _shimmed():
        from factor_analyzer import FactorAnalyzer, Rotator

        components = setup.extraction == "pca"
        model = FactorAnalyzer(
            n_factors=m,
            rotation=None if components else rotation,
            method=_EXTRACTION[setup.extraction],
            is_corr_matrix=not components,
            svd_method="lapack",
            rotation_kwargs=told,
        )
        given = fit.correlation.to_numpy(dtype=float).copy()
        model.fit(_answers_with(given, max(10 * p, 200)) if components else given)
        loadings = np.asarray(model.loadings_, dtype=float)[:, :m]
        if components and rotation is not None:
            # It would rotate all components, those that are not kept among them.
            loadings = np.asarray(Rotator(method=rotation, **told).fit_transform(loadings))
    phi = np.eye(m)
    if rotation is not None and setup.rotation not in ORTHOGONAL:
        # What its loadings imply, L = A T^-T: its own are in another order than its columns.
        turn = np.linalg.lstsq(fit.unrotated.to_numpy(dtype=float), loadings, rcond=None)[0]
        phi = np.linalg.inv(turn.T @ turn)
        scale = np.sqrt(np.diag(phi))
        phi = phi / np.outer(scale, scale)
    implied = np.einsum("ij,jk,ik->i", loadings, phi, loadings)
    if not (np.isfinite(loadings).all() and np.isfinite(phi).all()):
        raise _NoCounterpartError("failed", "NaN")
    return loadings, phi, 1.0 - implied


def _criteria(fit: EfaResult, theirs: Array) -> tuple[float, float]:
    """What the rotation minimises, at both solutions."""
    rotation = fit.setup.rotation
    if rotation not in CRITERIA or fit.loadings.shape[1] < 2:
        return float("nan"), float("nan")
    options = fit.setup.rotation_options
    p, m = theirs.shape
    setting = Setting(
        p,
        m,
        gamma=float(options.get("gamma", 0.0)),
        epsilon=float(options.get("epsilon", 0.01)),
    )
    criterion = CRITERIA[rotation][1](setting)
    kaiser = habit(rotation) if fit.setup.kaiser is None else fit.setup.kaiser
    length = np.sqrt(fit.communalities.to_numpy(dtype=float))[:, None] if kaiser else 1.0
    return (
        criterion(fit.loadings.to_numpy(dtype=float) / length)[0],
        criterion(theirs / length)[0],
    )


def _answers_with(correlation: Array, n: int) -> Array:
    """Answers of n respondents that have exactly these correlations."""
    p = len(correlation)
    # Cosines of different frequencies are orthogonal to each other and to a constant.
    phase = np.pi * (np.arange(n)[:, None] + 0.5) * np.arange(1, p + 1) / n
    return np.asarray(np.cos(phase) @ np.linalg.cholesky(correlation).T)


def _compared(
    program: str,
    rows: list[tuple[str, str, str, float, float]],
    criterion: float = float("nan"),
    criterion_theirs: float = float("nan"),
) -> FactorOpinion:
    frame = pd.DataFrame(rows, columns=["statistic", "item", "factor", "ours", "theirs"])
    frame["difference"] = frame["theirs"] - frame["ours"]
    opinion = FactorOpinion(program, True, "", "", frame, criterion, criterion_theirs)
    if opinion.agrees:
        return opinion
    statistic, item, factor, ours, theirs, _ = max(
        frame.itertuples(index=False), key=lambda row: abs(row[5]) / max(abs(row[3]), 1.0)
    )
    where = tuple(part for part in (item, factor) if part)
    values = {
        "program": program,
        "statistic": str(statistic),
        "difference": f"{opinion.max_difference:.4f}",
        "ours": f"{ours:.4f}",
        "theirs": f"{theirs:.4f}",
    }
    code = "factor_opinion_disagrees"
    if criterion_theirs > criterion + 1e-8 * max(abs(criterion), 1e-6):
        code = "factor_opinion_stopped"
    told = Diagnostic(code, "warning", where, values)
    return FactorOpinion(
        program, True, "", "", frame, criterion, criterion_theirs, (told,)
    )  # fmt: skip


def _without_answer(program: str, reason: str, detail: str) -> FactorOpinion:
    told = Diagnostic(
        f"factor_opinion_{reason}", "info", (), {"program": program, "detail": detail}
    )
    frame = pd.DataFrame(columns=["statistic", "item", "factor", "ours", "theirs", "difference"])
    return FactorOpinion(program, False, reason, detail, frame, diagnostics=(told,))
