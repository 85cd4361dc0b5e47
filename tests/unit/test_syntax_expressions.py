"""Values, derivatives and inlining of expressions."""

import math

import numpy as np
import pytest

from sqvalid.errors import ModelError
from sqvalid.latent.syntax import parse_model
from sqvalid.latent.syntax.expressions import (
    FUNCTIONS,
    Binary,
    Call,
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


def expression(text):
    return parse_model(f"result := {text}").definitions[0].expression


# Values computed by R 4.2 with a = 0.3, b = 1.7, c = -2.5.
R_VALUES = [
    ("a*b", 0.51),
    ("-a^2", -0.09),
    ("(-a)^2", 0.09),
    ("2^a^b", 1.093651803204989),
    ("2^-a", 0.8122523963562356),
    ("a-b-c", 1.1),
    ("a/b/c", -0.07058823529411765),
    ("-a*b+c", -3.01),
    ("a*-b", -0.51),
    ("exp(a)*log(b)", 0.7162732182449213),
    ("sqrt(b)+abs(c)", 3.80384048104053),
    ("sin(a)+cos(b)-tan(c)", -0.5803465848728454),
    ("log10(b)+log2(b)+log1p(a)", 1.258347932208742),
]


@pytest.mark.parametrize(("text", "expected"), R_VALUES)
def test_values_as_in_r(text, expected):
    value = evaluate(expression(text), {"a": 0.3, "b": 1.7, "c": -2.5})
    assert value.shape == ()
    assert float(value) == pytest.approx(expected, rel=1e-14)


def test_evaluation_broadcasts_over_draws():
    a = np.linspace(0.1, 1.0, 7)
    value = evaluate(expression("a*b+1"), {"a": a, "b": 2.0})
    np.testing.assert_allclose(value, 2 * a + 1)
    assert value.dtype == np.float64
    grid = evaluate(expression("a*b"), {"a": a[:, None], "b": np.ones(3)})
    assert grid.shape == (7, 3)


@pytest.mark.parametrize("text", ["log(a)", "sqrt(a)", "a^0.5", "0/(a-a)"])
def test_no_real_value_is_nan_without_a_warning(text):
    assert math.isnan(evaluate(expression(text), {"a": -1.0}))


def test_a_name_without_value_is_an_error():
    with pytest.raises(KeyError, match="b"):
        evaluate(expression("a*b"), {"a": 1.0})


def test_names_in_order_of_appearance():
    assert names(expression("c+a*(b-c)^exp(d)")) == ("c", "a", "b", "d")
    assert names(expression("1+2")) == ()


@pytest.mark.parametrize(
    ("text", "derivative"),
    [
        ("a", "1"),
        ("b", "0"),
        ("3", "0"),
        ("-a", "-1"),
        ("a+b", "1"),
        ("b-a", "-1"),
        ("2*a+3*b", "2"),
        ("(a+b)/4", "0.25"),
        ("(a-b)*2/2", "1"),
        ("a*b-b*a", "0"),
        ("a*b", "b"),
        ("a/b", "1/b"),
        ("b/a", "-(b/a^2)"),
        ("a^2", "2*a"),
        ("a^3", "3*a^2"),
        ("a^1", "1"),
        ("a^0", "0"),
        ("b^a", "b^a*log(b)"),
        ("exp(a)", "exp(a)"),
        ("exp(2*a)", "exp(2*a)*2"),
        ("log(a)", "1/a"),
        ("sqrt(a)", "1/(2*sqrt(a))"),
        ("sin(a)", "cos(a)"),
        ("cos(a)", "-sin(a)"),
        ("abs(a)", "sign(a)"),
        ("exp(b)", "0"),
        ("sqrt(4)*a", "sqrt(4)"),
    ],
)
def test_derivative_by_a(text, derivative):
    assert format_expression(differentiate(expression(text), "a")) == derivative


def test_second_derivatives_come_by_repetition():
    first = differentiate(expression("a^2*b"), "a")
    assert format_expression(differentiate(first, "b")) == "2*a"
    assert format_expression(differentiate(first, "a")) == "2*b"


# Where each function is smooth.
POINTS = {"qnorm": 0.3, "asin": 0.4, "acos": 0.4, "abs": -1.3, "sign": 0.7}


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_derivative_of_every_function(function):
    point = POINTS.get(function, 0.6)
    expr = Call(function, Name("a"))
    step = 1e-5
    around = evaluate(expr, {"a": np.array([point - step, point + step])})
    numeric = (around[1] - around[0]) / (2 * step)
    exact = float(evaluate(differentiate(expr, "a"), {"a": point}))
    # Central differences: truncation near 1e-10, rounding near 1e-11.
    assert exact == pytest.approx(numeric, rel=1e-7, abs=1e-9)


def test_folding_leaves_impossible_arithmetic_in_place():
    assert differentiate(expression("a/0"), "a") == Binary("/", Number(1), Number(0))


def test_negative_numbers_print_with_parentheses_where_needed():
    assert format_expression(Binary("^", Number(-2), Number(2))) == "(-2)^2"
    assert format_expression(Binary("+", Name("a"), Number(-2))) == "a+-2"
    assert format_expression(Negate(Negate(Name("a")))) == "--a"


def test_definitions_are_filled_in():
    spec = parse_model("total := cp + ab\nab := a*b\nratio := ab/total\nab == 0.5")
    (ratio, left) = inline_definitions(
        spec.definitions, [spec.definitions[2].expression, spec.constraints[0].left]
    )
    assert format_expression(ratio) == "a*b/(cp+a*b)"
    assert format_expression(left) == "a*b"


def test_a_circle_of_definitions_is_named():
    spec = parse_model("u := v + 1\nv := 2*w\nw := u")
    with pytest.raises(ModelError, match="'u' refers to itself: u -> v -> w -> u"):
        inline_definitions(spec.definitions, [Name("u")])


def test_an_unknown_name_is_named_with_the_nearest():
    spec = parse_model("ab := a*indiret")
    with pytest.raises(ModelError, match=r"'indiret' is used .* Did you mean 'indirect'"):
        inline_definitions(spec.definitions, [Name("ab")], known=["a", "indirect"])
    with pytest.raises(ModelError, match="'b' is used"):
        compile_expressions([expression("a*b")], ["a"])


def test_inlining_refuses_bottomless_nesting():
    lines = ["v0 := a"] + [f"v{i} := v{i - 1} + 1" for i in range(1, 300)]
    spec = parse_model("\n".join(lines))
    with pytest.raises(ModelError, match="nested more than 200"):
        inline_definitions(spec.definitions, [Name("v299")])
    # Also when the definitions are already filled in one by one.
    with pytest.raises(ModelError, match="nested more than 200"):
        inline_definitions(spec.definitions, [Name(f"v{i}") for i in range(300)])


def compiled(*texts):
    return compile_expressions([expression(text) for text in texts], ["a", "b", "c"])


def test_compiled_values_and_jacobian_over_draws():
    functions = compiled("a*b", "a+2*c-1", "3")
    theta = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
    np.testing.assert_allclose(functions.values(theta), [[2, 6, 3], [-0.5, 3.5, 3]])
    np.testing.assert_allclose(
        functions.jacobian(theta),
        [[[2, 1, 0], [1, 0, 2], [0, 0, 0]], [[-1, 0.5, 0], [1, 0, 2], [0, 0, 0]]],
    )
    assert functions.values(theta[0]).shape == (3,)
    assert functions.jacobian(theta[0]).shape == (3, 3)
    assert functions.values(np.ones((4, 5, 3))).shape == (4, 5, 3)


def test_compiled_hessian():
    functions = compiled("a^2*b+c", "exp(a*c)", "a-b")
    a, b, c = theta = np.array([0.4, 1.5, -0.7])
    e = math.exp(a * c)
    expected = np.zeros((3, 3, 3))
    expected[0, 0, 0] = 2 * b
    expected[0, 0, 1] = expected[0, 1, 0] = 2 * a
    expected[1, 0, 0] = c * c * e
    expected[1, 2, 2] = a * a * e
    expected[1, 0, 2] = expected[1, 2, 0] = e + a * c * e
    np.testing.assert_allclose(functions.hessian(theta), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("text", "linear"),
    [
        ("a+2*b-c/4", True),
        ("-(a-b)*3", True),
        ("3", True),
        ("a*b-b*a", True),
        ("a*b", False),
        ("a^2", False),
        ("exp(a)", False),
        ("1/a", False),
    ],
)
def test_linear_expressions_are_recognised(text, linear):
    assert compiled(text).is_linear == (linear,)


def test_nothing_compiles_to_nothing():
    empty = compile_expressions([], ["a", "b"])
    assert empty.values(np.zeros(2)).shape == (0,)
    assert empty.jacobian(np.zeros(2)).shape == (0, 2)
    assert empty.hessian(np.zeros(2)).shape == (0, 2, 2)


def test_a_sum_as_long_as_allowed_can_be_used_everywhere():
    labels = [f"x{i}" for i in range(200)]
    total = expression("+".join(labels))
    functions = compile_expressions([total], labels)
    assert functions.values(np.ones(200)) == pytest.approx([200.0])
    assert functions.is_linear == (True,)
    assert format_expression(total) == "+".join(labels)
    assert inline_definitions([], [total]) == (total,)
    assert hash(total) == hash(expression("+".join(labels)))
