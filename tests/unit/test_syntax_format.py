"""The canonical text of a model."""

import pytest

from sqvalid.latent.syntax import (
    Binary,
    Constraint,
    Definition,
    ModelSpec,
    Modifiers,
    Name,
    Number,
    Term,
    format_model,
    parse_model,
)

CANONICAL = [
    ("f=~x1+a*x2;f=~x3", "f =~ x1 + a*x2 + x3\n"),
    ("a+b~x+z", "a ~ x + z\nb ~ x + z\n"),
    ("y ~ 1 + x", "y ~ 1\ny ~ x\n"),
    ("y ~ c(NA,0)*1", "y ~ c(NA,0)*1\n"),
    ("f =~ 0", "f =~ 0\n"),
    ("f =~ NA*x + a*x + start(.5)*x", "f =~ start(0.5)*NA*a*x\n"),
    ("f =~ lower(0)*upper(c(1,Inf))*x", "f =~ lower(0)*upper(c(1,Inf))*x\n"),
    ("f =~ upper(-Inf)*x", "f =~ upper(-Inf)*x\n"),
    ("f =~ 0.30*x + 1e-9*z + 1e20*w", "f =~ 0.3*x + 1e-09*z + 1e+20*w\n"),
    ("f =~ equal('f=~x1')*x2", 'f =~ equal("f=~x1")*x2\n'),
    ("f =~ label('a b')*x + c(a,'b c')*z", 'f =~ "a b"*x + c("a","b c")*z\n'),
    ("f =~ c(NA,'a')*x", 'f =~ c("","a")*x\n'),
    ("f =~ 'NA'*x + 'say \"x\"'*z", 'f =~ "NA"*x + \'say "x"\'*z\n'),
    ("efa('b')*f1+efa('b')*f2=~x", 'efa("b")*f1 =~ x\nefa("b")*f2 =~ x\n'),
    ("y|t1+t2;x~*~1*x;f<~x", "y | t1 + t2\nx ~*~ 1*x\nf <~ x\n"),
    ("ab:=a * b\na==(b + 1)", "ab := a*b\na == (b+1)\n"),
    ("a<b;b>-1", "a < b\nb > -1\n"),
    ("Level:1;f=~x;level:2;f=~z", "level: 1\nf =~ x\nlevel: 2\nf =~ z\n"),
    ("group: Grant-White\nf=~x", 'group: "Grant-White"\nf =~ x\n'),
    ("服务=~题1+b*题2", "服务 =~ 题1 + b*题2\n"),
    ("y ~ a*f1:f2", "y ~ a*f1:f2\n"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_text(text, canonical):
    spec = parse_model(text)
    assert format_model(spec) == canonical
    assert parse_model(canonical) == spec
    assert format_model(parse_model(canonical)) == canonical


def test_a_spec_built_by_hand_prints():
    total = Binary("*", Binary("+", Name("a"), Name("b")), Number(2))
    spec = ModelSpec(
        (
            Term("y", "~", "x", Modifiers(label=("a",))),
            Definition("total", total),
            Constraint("==", Name("a"), Number(0.25)),
        )
    )
    assert format_model(spec) == "y ~ a*x\ntotal := (a+b)*2\na == 0.25\n"
    assert parse_model(format_model(spec)) == spec


def test_nothing_prints_as_nothing():
    assert format_model(ModelSpec(())) == ""
