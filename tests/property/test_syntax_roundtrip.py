"""Laws of the model language: printing and parsing are inverse, nothing escapes as a crash."""

import contextlib
import math
import sys

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sqvalid.errors import ModelError, UnsupportedError
from sqvalid.latent.syntax import (
    BlockHeader,
    Constraint,
    Definition,
    ModelSpec,
    Modifiers,
    Term,
    format_model,
    parse_model,
)
from sqvalid.latent.syntax.expressions import (
    Binary,
    Call,
    Name,
    Negate,
    Number,
    compile_expressions,
    differentiate,
    evaluate,
    format_expression,
    names,
)

variables = st.sampled_from(["x1", "x2", "y", "f", "item.3", "a_b", "质量", ".z", "level", "c"])
labels = st.sampled_from(["a", "b1", "lab.2", "标签", "two words", "f=~x1", "NA", "1", "it's"])
finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)


def per_group(entries):
    return st.none() | st.lists(entries, min_size=1, max_size=3).map(tuple)


modifiers = st.builds(
    Modifiers,
    fixed=per_group(st.none() | finite),
    label=per_group(labels | st.just("")),
    start=per_group(st.none() | finite),
    lower=per_group(st.none() | finite | st.just(-math.inf)),
    upper=per_group(st.none() | finite | st.just(math.inf)),
    equal=per_group(labels),
)

# Constants of ordinary size: derivatives of these are judged numerically.
constants = st.sampled_from([0.0, 0.25, 1.0, 1.5, 2.0, 3.0, 10.0]).map(Number)
leaves = st.builds(Name, variables) | st.builds(
    Number, st.floats(min_value=0, allow_nan=False, allow_infinity=False)
)


def nodes(children):
    return (
        st.builds(Negate, children)
        | st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "^"]), children, children)
        | st.builds(Call, st.sampled_from(["exp", "log", "sqrt", "abs", "pnorm"]), children)
    )


expressions = st.recursive(leaves, nodes, max_leaves=12)
smooth = st.recursive(st.builds(Name, variables) | constants, nodes, max_leaves=8)


@st.composite
def terms(draw):
    op = draw(st.sampled_from(["=~", "<~", "~", "~~", "~1", "~*~", "|"]))
    lhs = draw(variables)
    mods = draw(modifiers)
    if op == "~1":
        return Term(lhs, op, "", mods)
    if op == "~*~":
        return Term(lhs, op, lhs, mods)
    if op == "|":
        return Term(lhs, op, draw(st.sampled_from(["t1", "t2"])), mods)
    rhs = draw(variables)
    if op != "~~" and lhs == rhs:
        rhs += "2"
    if draw(st.booleans()):
        rhs = f"{rhs}:{draw(variables)}"
    if op == "=~":
        efa = draw(st.none() | st.sampled_from(["b1", "block 2"]))
        mods = Modifiers(**{**vars(mods), "efa": efa})
    return Term(lhs, op, rhs, mods)


@st.composite
def specs(draw):
    blocks = draw(st.sampled_from([[""], ["group"], ["level"]]))[0]
    statements, block = [], 0
    for index in range(1, draw(st.integers(1, 3)) + 1 if blocks else 2):
        block = index
        if blocks:
            name = draw(st.sampled_from(["1", "Grant-White", "two words", "城市"]))
            statements.append(BlockHeader(blocks, name, block))
        seen, before = set(), len(statements)
        for term in draw(st.lists(terms(), min_size=1, max_size=6)):
            key = (term.lhs, term.op, term.rhs)
            mirror = (term.rhs, term.op, term.lhs)
            if key in seen or (term.op == "~~" and mirror in seen):
                continue
            seen.add(key)
            statements.append(Term(term.lhs, term.op, term.rhs, term.modifiers, block))
        assume(len(statements) > before)
    defined = draw(st.lists(variables, max_size=2, unique=True))
    statements += [Definition(name, draw(expressions)) for name in defined]
    for op in draw(st.lists(st.sampled_from(["==", "<", ">"]), max_size=2)):
        statements.append(Constraint(op, draw(expressions), draw(expressions)))
    return ModelSpec(tuple(statements))


@given(specs())
@settings(max_examples=200, deadline=None)
def test_printing_and_parsing_are_inverse(spec):
    text = format_model(spec)
    again = parse_model(text)
    assert again == spec
    assert format_model(again) == text
    assert hash(again) == hash(spec)


@given(expressions)
@settings(max_examples=300, deadline=None)
def test_an_expression_reads_back_as_itself(expr):
    text = format_expression(expr)
    assert parse_model(f"r.e.s := {text}").definitions[0].expression == expr


WORDS = """
f x1 x2 y a b1 1 0 0.5 NA 1e5 c( start( efa( equal( exp( ( ) , + - * / ^ ? : :: =~ <~ ~*~ ~~ ~ |
:= == < > = <- ; # ! " ' 'a' "b" level: group: group 服务 ＋ ～ “ ` _ % $ . .. TRUE t1 1x log( min(
"""
BLANKS = [" ", "\t", "\n", "\r\n", "\u3000", "\x00", "\x0b", "\u2028", "\ud800"]
pieces = st.sampled_from([*WORDS.split(), *BLANKS])


def parsed(text):
    """The parsed model, or None after an error that explains itself."""
    spec = None
    with contextlib.suppress(ModelError, UnsupportedError):
        spec = parse_model(text)
    return spec


@given(st.lists(pieces, max_size=25).map(" ".join) | st.lists(pieces, max_size=25).map("".join))
@settings(max_examples=600, deadline=None)
def test_scrambled_models_parse_or_explain_themselves(text):
    spec = parsed(text)
    assert spec is None or parse_model(format_model(spec)) == spec


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_parses_or_explains_itself(text):
    spec = parsed(text)
    assert spec is None or parse_model(format_model(spec)) == spec


@given(
    st.sampled_from(["(", "-", "exp(", "a+", "a^", "a*", "c(", "a:", "f =~ x1 +\n", "a :="]),
    st.integers(1, 3000),
    st.sampled_from(["a := ", "f =~ ", ""]),
)
@settings(max_examples=60, deadline=None)
def test_endless_repetition_does_not_exhaust_the_stack(piece, times, head):
    spec = parsed(head + piece * times + "a" + ")" * (times if piece.endswith("(") else 0))
    assert spec is None or parse_model(format_model(spec)) == spec


@given(smooth, st.lists(st.floats(0.2, 2.0), min_size=10, max_size=10))
@settings(max_examples=300, deadline=None)
def test_derivatives_agree_with_differences(expr, point):
    used = names(expr)
    assume(used)
    parameters = [*dict.fromkeys(used)]
    theta = np.array(point[: len(parameters)])
    functions = compile_expressions([expr], parameters)
    slopes = functions.jacobian(theta)[0]
    scale = abs(float(functions.values(theta)[0]))
    for index in range(len(parameters)):
        estimates = []
        for step in (1e-3, 5e-4):
            shifts = np.outer([-2, -1, 1, 2], np.eye(len(parameters))[index]) * step
            v = functions.values(theta + shifts)[:, 0]
            assume(np.abs(v).max() < 1e8)
            estimates.append((v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * step))
        coarse, fine = estimates
        # Judged only where the difference quotient itself has settled: not beside kinks and
        # poles, not where cancellation leaves it without digits.
        rounding = 1e-12 * scale / 5e-4
        settled = abs(coarse - fine) <= 1e-6 * abs(fine) + rounding
        # On an edge of the domain, such as 0^x, the exact derivative is NaN by convention.
        assume(settled and np.isfinite(slopes[index]))
        assert abs(slopes[index] - fine) <= 1e-5 * abs(fine) + 100 * rounding + 1e-9


@given(smooth, st.lists(st.floats(0.2, 2.0), min_size=10, max_size=10))
@settings(max_examples=150, deadline=None)
def test_hessian_is_the_derivative_of_the_jacobian(expr, point):
    parameters = [*names(expr)]
    assume(parameters)
    theta = np.array(point[: len(parameters)])
    hessian = compile_expressions([expr], parameters).hessian(theta)[0]
    env = dict(zip(parameters, theta.tolist(), strict=True))
    for row, first in enumerate(parameters):
        slope = differentiate(expr, first)
        for column, second in enumerate(parameters):
            exact = float(evaluate(differentiate(slope, second), env))
            assume(math.isfinite(exact) and abs(exact) < sys.float_info.max**0.5)
            # The two orders of differentiation round differently.
            assert math.isclose(hessian[row, column], exact, rel_tol=1e-6, abs_tol=1e-9) or (
                abs(exact) < 1e-6 * max(1.0, np.nanmax(np.abs(hessian)))
            )
