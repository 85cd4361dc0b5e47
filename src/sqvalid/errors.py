"""Exceptions, warnings and diagnostics: how trouble is told.

A message says what happened, where (item, respondent row, model line), which value,
and what to do. Diagnostics carry a code; their sentences live in :mod:`sqvalid.wording`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Severity = Literal["info", "warning", "problem"]


class SqvalidError(Exception):
    """Root of everything sqvalid raises on purpose.

    Parameters
    ----------
    message : str
        What happened, where, and with which value. Full sentences.
    remedy : str, optional
        What the user can do about it; printed on its own line.
    """

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message if remedy is None else f"{message}\n{remedy}")


class InputError(SqvalidError, ValueError):
    """The input cannot be used as it is."""


class InstrumentError(InputError):
    """An instrument definition is wrong or incomplete."""


class SurveyError(InputError):
    """The answers, or the file that holds them, cannot be used as they are."""


class OptionError(InputError):
    """An option has a value that does not exist or does not fit the others."""


class ModelError(SqvalidError, ValueError):
    """The model cannot be used as it is written."""


class ModelSyntaxError(ModelError):
    """The model text does not follow the grammar.

    Parameters
    ----------
    message : str
        What is wrong.
    text : str
        The whole model text.
    line, column : int
        Place of the trouble, both counted from 1.
    remedy : str, optional
        What to write instead.
    """

    def __init__(
        self, message: str, *, text: str, line: int, column: int, remedy: str | None = None
    ) -> None:
        self.line = line
        self.column = column
        lines = text.splitlines() or [""]
        shown = lines[line - 1] if 0 < line <= len(lines) else ""
        # Tabs stay tabs under the caret, so that the caret stands where the eye expects it.
        pad = "".join("\t" if ch == "\t" else " " for ch in shown[: column - 1])
        block = f"line {line}, column {column}: {message}\n    {shown}\n    {pad}^"
        super().__init__(block, remedy=remedy)


class IdentificationError(ModelError):
    """The data cannot determine the parameters.

    Parameters
    ----------
    message : str
        What is not identified and why.
    parameters : tuple of str
        Names of the parameters involved.
    """

    def __init__(
        self, message: str, *, parameters: tuple[str, ...] = (), remedy: str | None = None
    ) -> None:
        self.parameters = parameters
        super().__init__(message, remedy=remedy)


class EstimationError(SqvalidError, RuntimeError):
    """The estimation could not be carried out."""


class UnsupportedError(SqvalidError, NotImplementedError):
    """A combination that has no answer yet; never a wrong number instead."""


class SqvalidWarning(UserWarning):
    """Root of sqvalid's warnings."""


class DataQualityWarning(SqvalidWarning):
    """Something in the data that a researcher should look at."""


class ConvergenceWarning(SqvalidWarning):
    """The optimiser did not reach a solution."""


class InadmissibleSolutionWarning(SqvalidWarning):
    """The solution has values that no population could have."""


@dataclass(frozen=True)
class Diagnostic:
    """One thing worth knowing about a result.

    Parameters
    ----------
    code : str
        Key of the sentence and the remedy in the wording tables, e.g.
        ``"latent_covariance_not_positive_definite"``.
    severity : {"info", "warning", "problem"}
        ``problem`` blocks verdicts that build on the result.
    where : tuple of str
        Items, parameters, groups or rows it is about.
    values : mapping
        Numbers and words that the sentence quotes.
    """

    code: str
    severity: Severity
    where: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` when it is one of `choices`, else raise OptionError listing them."""
    options = list(choices)
    if isinstance(value, str) and value in options:
        return value
    near = difflib.get_close_matches(str(value), options, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise OptionError(
        f"{name}={value!r} is not an option.{hint}",
        remedy=f"Choose one of: {', '.join(repr(c) for c in options)}.",
    )
