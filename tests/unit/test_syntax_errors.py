"""Every slip is told at its place, in plain words, with what to write instead."""

import pytest

from sqvalid.errors import ModelSyntaxError
from sqvalid.latent.syntax import parse_model

# text, (line, column), words of the message, words of the remedy
SLIPS = [
    # Operators.
    ("f = x1 + x2", (1, 3), "A single '='", "'=~'"),
    ("g =~ z\nf = x1", (2, 3), "A single '='", "'=~'"),
    ("f = ~ x", (1, 3), "apart", "without a blank"),
    ("f ~= x", (1, 3), "'~=' is not an operator", "'=~'"),
    ("f <- x", (1, 3), "'<-' is not an operator", "'~' for a regression"),
    ("f <- x1 + x2", (1, 3), "'<-' is not an operator", "'=~'"),
    ("a >= b", (1, 3), "'>=' is not an operator", "bounds include equality"),
    ("a <= b", (1, 3), "'<=' is not an operator", "bounds include equality"),
    ("a =< b", (1, 3), "'=<' is not an operator", "bounds include equality"),
    ("a != b", (1, 2), "'!=' is not an operator", "'=='"),
    ("f x1", (1, 3), "no sign between 'f' and 'x1'", "needs an operator"),
    ("f", (1, 1), "no operator", "f =~ x1"),
    ("x1 + x2", (1, 1), "no operator", "line above"),
    ("y ~ x ~ z", (1, 7), "two operators, '~' and '~'", "line of its own"),
    ("a == b == c", (1, 8), "two operators", "line of its own"),
    ("f =~ x1 y ~ x", (1, 9), "no sign between 'x1' and 'y'", "'+'"),
    ("level 1\nf =~ x", (1, 1), "only with a colon", "level:"),
    ("group\nf =~ x", (1, 1), "only with a colon", "group:"),
    ("group:\nf =~ x", (1, 1), "no name", "group: 1"),
    ("level: 1 f =~ x", (1, 1), "on a line of its own", "next line"),
    # Sums.
    ("f =~ x1 x2", (1, 9), "no sign between 'x1' and 'x2'", "x1_x2"),
    ("f =~ x1\nx2", (2, 1), "no sign between 'x1' and 'x2'", "needs an operator on its line"),
    ("f =~ x1 +", (1, 9), "ends with '+'", "Remove the '+'"),
    ("f =~ x1 + \ng =~ x2", (1, 9), "ends with '+'", "Remove the '+'"),
    ("f =~ x1 + ;g =~ x2", (1, 9), "ends with '+'", "Remove the '+'"),
    ("a := b *", (1, 8), "ends with '*'", "Remove the '*'"),
    ("f =~", (1, 3), "Nothing stands on the right side", "f =~ x1"),
    ("f =~\ng =~ x", (1, 3), "Nothing stands on the right side", "f =~ x1"),
    ("a :=", (1, 3), "Nothing stands on the right side", "expression"),
    ("=~ x1", (1, 1), "Nothing stands on the left side", "f =~ x1"),
    ("f =~ * x", (1, 6), "'*' after '=~' has nothing in front", "Remove"),
    ("f + =~ x", (1, 3), "'=~' follows directly after '+'", "Remove"),
    ("f =~ x1, x2", (1, 8), "Commas do not separate", "x1 + x2"),
    ("f =~ x1 - x2", (1, 9), "'+', not '-'", "-1*x"),
    ("f =~ x1 :", (1, 9), "ends with ':'", "Remove the ':'"),
    ("y ~ x::z", (1, 7), "'::' is not an operator", "x:z"),
    (": x ~ y", (1, 1), "':' at the beginning", "Remove"),
    # Parentheses.
    ("a := (b+)", (1, 9), "one of these is expected: a name, a number", "looks like"),
    ("f =~ c(a+,b)*x", (1, 10), "one of these is expected: a name, a number", "looks like"),
    ("f =~ start(0.5*x", (1, 11), "never closed", "')'"),
    ("f =~ c(1,2*x\ng =~ z", (1, 7), "never closed", "')'"),
    ("f =~ c(1,2\ng =~ z", (1, 7), "never closed", "')'"),
    ("a := (b", (1, 6), "never closed", "')'"),
    ("a := b)", (1, 7), "no '('", "Remove"),
    ("f =~ start()*x", (1, 12), "missing before ')'", "inside the parentheses"),
    ("f =~ c(1,)*x", (1, 10), "missing before ')'", "inside the parentheses"),
    ("f =~ c(,1)*x", (1, 8), "missing before ','", "NA"),
    ("f =~ (1,2)*x", (1, 8), "c()", "c(first, second)"),
    ("f =~ [x]", (1, 6), "not part of the model language", "round parentheses"),
    ("f =~ equal(f=~x1)*x", (1, 13), "inside parentheses", "quotes"),
    ("f =~ start(x=1)*x", (1, 13), "inside parentheses", "quotes"),
    ("f =~ (x1+x2)", (1, 7), "'x1+x2' is not a variable", "sum of variable names"),
    # Characters of word processors and of Chinese keyboards.
    ("f =～ x", (1, 4), "'～'", "Type ~"),
    ("f =~ x1 ＋ x2", (1, 9), "'＋'", "Type +"),
    ("f =~ c（1，2）*x", (1, 7), "'（'", "Type ("),
    ("f =~ c(1，2)*x", (1, 9), "'，'", "Type ,"),
    ("f =~ 0.5＊x", (1, 9), "'＊'", "Type *"),
    ("level：1\nf =~ x", (1, 6), "'：'", "Type :"),
    ("f =~ x1；g =~ x2", (1, 8), "'；'", "Type ;"),
    ("f ＝~ x", (1, 3), "'＝'", "Type ="),
    ("f =~ １x", (1, 6), "'１'", "Type 1"),
    ("f =~ “a”*x", (1, 6), "typographic quotation mark", 'Type "'),
    ("f =~ ‘a’*x", (1, 6), "typographic quotation mark", "Type '"),
    ("f =~ –1*x", (1, 6), "'–'", "Type -"),
    ("a := b × c", (1, 8), "'×'", "Type *"),
    ("a ≤ 1", (1, 3), "'≤'", "Type <"),
    # Names.
    ("f =~ 1x", (1, 6), "cannot start with a digit: '1x'", "x1x"),
    ("1st =~ x", (1, 1), "cannot start with a digit", "x1st"),
    ("f =~ item-1", (1, 10), "'+', not '-'", "item_1"),
    ("f =~ item 1", (1, 11), "no sign between 'item' and '1'", "item_1"),
    ("service quality =~ x", (1, 9), "no sign between", "service_quality"),
    ("f =~ _x", (1, 6), "cannot start with '_'", "Rename"),
    ("`a b` =~ x", (1, 1), "backticks", "item_1"),
    ("f =~ x%y", (1, 7), "'%' is not part", "Names have letters"),
    ("f =~ x$y", (1, 7), "'$' is not part", "Names have letters"),
    ('f =~ "a*x', (1, 6), "not closed on this line", 'Close it with "'),
    ('f =~ "x"', (1, 6), "quoted text, not a variable", "without quotation marks"),
    ("f =~ NA", (1, 6), "NA cannot be the name", "NA*x1"),
    ("NA =~ x", (1, 1), "'NA' cannot stand on the left", "variable name"),
    # Constants where variables belong.
    ("f =~ 1", (1, 6), "1 cannot stand on the right", "f ~ 1"),
    ("y ~~ 1", (1, 6), "1 cannot stand on the right", "y ~ 1"),
    ("f =~ 0 + x", (1, 6), "0 cannot stand", "0*x"),
    ("y ~ 0.5", (1, 5), "0.5 is not a variable", "y ~ 0.5*1"),
    ("y ~ x - 1", (1, 7), "'+', not '-'", "-1*x"),
    ("1 ~ x", (1, 1), "'1' cannot stand on the left", "variable name"),
    # Modifiers.
    ("f =~ x*2", (1, 8), "2 cannot stand", "2*x"),
    ("f =~ x*2*3", (1, 10), "3 cannot stand", "3*x"),
    ("f =~ c(1,a)*x", (1, 6), "cannot be mixed", "a == 1"),
    ("f =~ -a*x", (1, 6), "arithmetic", "a == 2*b"),
    ("f =~ 2*a*x + 3*b*x", (1, 18), "more than one fixed value", "c(first, second)"),
    ("f =~ a*b*x", (1, 8), "more than one label: a and b", "c(first, second)"),
    ("f =~ 2*NA*x", (1, 8), "more than one fixed value: 2.0 and NA", "Keep one"),
    ("y ~ 1*x + 2*x", (1, 13), "x has more than one fixed value", "Keep one"),
    ("f =~ Inf*x", (1, 6), "not a finite number", "lower() and upper()"),
    ("f =~ 1/0*x", (1, 6), "not a finite number", "lower() and upper()"),
    ("f =~ log(-1)*x", (1, 6), "not a finite number", "lower() and upper()"),
    ("f =~ TRUE*x", (1, 6), "TRUE is not a modifier", "NA"),
    ("f =~ start(a)*x", (1, 12), "start() takes numbers", "start(0.5)"),
    ("f =~ lower('a')*x", (1, 12), "lower() takes numbers", "lower(0.5)"),
    ("f =~ a?x", (1, 6), "start() takes numbers", "start(0.5)"),
    ("f =~ start(1,2)*x", (1, 6), "one argument, not 2", "start(c(first, second))"),
    ("f =~ label(1)*x", (1, 12), "cannot be mixed", "Use labels"),
    ("f =~ c(start(1),a)*x", (1, 8), "inside another modifier", "start(...)*a*x"),
    ("f =~ strt(1)*x", (1, 6), "no modifier strt()", "start()"),
    ("f =~ c(1,2)*c(1,2,3)*x", (1, 13), "more than one fixed value", "Keep one"),
    ("f =~ (c(1,2)+c(1,2,3))*x", (1, 13), "of 2 and of 3 entries", "per group"),
    ("f =~ 1:2*x", (1, 7), "':' cannot stand inside", "number"),
    ("f =~ efa('b')*x", (1, 6), "left side", 'efa("b")*f1'),
    ("efa(b)*f =~ x", (1, 1), "quoted name", 'efa("block1")'),
    ("efa('b')*f ~ x", (1, 1), "belongs to '=~'", 'efa("b")*f1'),
    ("a*f =~ x", (1, 1), 'Only efa("block")', "right side"),
    ("y ~ log(x)", (1, 5), "where a variable is expected", "column"),
    ("y ~ x^2", (1, 5), "'x^2' is not a variable", "columns of the data"),
    ("y ~ x/2", (1, 5), "'x/2' is not a variable", "columns of the data"),
    ("y ~ x1:x2:x3", (1, 5), "joins two variable names", "columns"),
    ("f1:f2 ~~ f3", (1, 1), "A product (':')", "variable name"),
    ("y | a1", (1, 5), "'a1' is not a threshold", "t1, t2"),
    ("x ~*~ y", (1, 7), "scales one variable", "x ~*~ x"),
    # Expressions.
    ("a := b**2", (1, 7), "'**' is not an operator", "a^2"),
    ("a := foo(b)", (1, 6), "no function foo()", "exp"),
    ("a := sqr(b)", (1, 6), "Did you mean sqrt()?", "sqrt"),
    ("a := log(b, 2)", (1, 6), "one argument, not 2", "log(...)"),
    ('a := "b"', (1, 6), "cannot stand in an expression", "without quotation marks"),
    ("a := NA*b", (1, 6), "NA cannot stand", "labels"),
    ("a := b:c", (1, 7), "':' has no meaning", "+ - * / ^"),
    ("a := 2 b", (1, 8), "no sign between '2' and 'b'", "'*'"),
    ("a := 2b", (1, 6), "cannot start with a digit", "2*b"),
    ("a := 1e999", (1, 6), "too large", "smaller"),
    ("a*b := c", (1, 1), "left side of := must be one name", "indirect := a*b"),
    ("a := " + "(" * 250 + "b" + ")" * 250, (1, 6), "nested more than 200", "':='"),
    ("f =~ " + "(" * 250 + "1" + ")" * 250 + "*x", (1, 6), "nested more than 200", "number"),
    # Meaning.
    ("", (1, 1), "The model is empty", "f =~ x1"),
    (" \n # nothing\n;", (1, 1), "The model is empty", "f =~ x1"),
    ("f =~ f", (1, 6), "'f' cannot be its own indicator", "Remove it"),
    ("f <~ x + f", (1, 10), "'f' cannot be part of itself", "Remove it"),
    ("y ~ x + y", (1, 9), "'y' cannot be regressed on itself", "Remove it"),
    ("a := b\na := c", (2, 1), "'a' is defined twice; the first time in line 1", "another name"),
    ("y ~ x\ny ~ a*x", (2, 7), "'y ~ x' is already in the model, in line 1", "Keep one"),
    ("x ~~ y\ny ~~ x", (2, 6), "'y ~~ x' is already in the model", "Keep one"),
    ("a + b ~~ a + b", (1, 10), "'b ~~ a' is already in the model", "Keep one"),
    ("y ~ 1\ny ~ x + 1", (2, 9), "'y ~1' is already in the model", "Keep one"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message", "remedy"), SLIPS)
def test_slip(text, place, message, remedy):
    with pytest.raises(ModelSyntaxError) as caught:
        parse_model(text)
    error = caught.value
    assert (error.line, error.column) == place
    assert message in error.message
    assert error.remedy is not None
    assert remedy in error.remedy


def test_the_caret_stands_under_the_place():
    with pytest.raises(ModelSyntaxError) as caught:
        parse_model("g =~ z\r\n\tf =~ x1 x2")
    lines = caught.value.message.splitlines()
    assert lines[0].startswith("line 2, column 10: ")
    assert lines[1] == "    \tf =~ x1 x2"
    assert lines[2] == "    \t        ^"
    assert lines[1].index("x2") == lines[2].index("^")


def test_same_term_in_different_blocks_is_no_repetition():
    spec = parse_model("group: 1\nf =~ x\ngroup: 2\nf =~ x")
    assert [term.block for term in spec.terms] == [1, 2]


def test_errors_do_not_show_the_parser():
    with pytest.raises(ModelSyntaxError) as caught:
        parse_model("f =~ x1 +")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
