"""The model language: lavaan's syntax as text, and what it says as values.

:func:`parse_model` turns text into a :class:`ModelSpec`, :func:`format_model` turns it back.
"""

from __future__ import annotations

from sqvalid.latent.syntax.expressions import (
    Binary,
    Call,
    CompiledExpressions,
    Expr,
    Name,
    Negate,
    Number,
    compile_expressions,
    differentiate,
    evaluate,
    format_expression,
    inline_definitions,
    names,
)
from sqvalid.latent.syntax.specification import (
    BlockHeader,
    Constraint,
    Definition,
    ModelSpec,
    Modifiers,
    Statement,
    Term,
    format_model,
)
from sqvalid.latent.syntax.statements import parse_model

__all__ = [
    "Binary",
    "BlockHeader",
    "Call",
    "CompiledExpressions",
    "Constraint",
    "Definition",
    "Expr",
    "ModelSpec",
    "Modifiers",
    "Name",
    "Negate",
    "Number",
    "Statement",
    "Term",
    "compile_expressions",
    "differentiate",
    "evaluate",
    "format_expression",
    "format_model",
    "inline_definitions",
    "names",
    "parse_model",
]
