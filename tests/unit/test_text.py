"""The text language: what it reads, what it keeps, and what it says about text that it cannot read."""

import math

import pytest

from diffkit.errors import ArgumentError, DtypeError, ParseError
from diffkit.expr.node import constant, depth, make, topological, variable
from diffkit.expr.text import MAX_CHARACTERS, parse
from diffkit.ops import CAST, TABLE

x, y, z = variable("x"), variable("y"), variable("z")
ELEMENTWISE = [op for op in TABLE.values() if op.family == "elementwise" and op is not CAST]


def o(name, *args, **params):
    return make(TABLE[name], tuple(a if hasattr(a, "op") else constant(a) for a in args), params)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x - y - z", o("subtract", o("subtract", x, y), z)),
        ("x / y * z", o("multiply", o("divide", x, y), z)),
        ("x**y**z", o("power", x, o("power", y, z))),
        ("x^y^z", o("power", x, o("power", y, z))),
        ("-x**2", o("negative", o("pow", x, p=2.0))),
        ("(-x)**2", o("pow", o("negative", x), p=2.0)),
        ("2**-x", o("power", 2, o("negative", x))),
        ("x**-2", o("pow", x, p=-2.0)),
        ("-x*y", o("multiply", o("negative", x), y)),
        ("+x", x),
        ("x - -2", o("subtract", x, -2)),
        ("x + y < y*z", o("less", o("add", x, y), o("multiply", y, z))),
        ("x != y", o("not_equal", x, y)),
        ("where(x <= 0, -x, y)", o("where", o("less_equal", x, 0), o("negative", x), y)),
        (" x\n\t+ \r\n y ", o("add", x, y)),
        (".5 + 1e-3 + 2.", o("add", o("add", 0.5, 0.001), 2)),
        ("step(x, y, at=0.25)", o("step", x, y, at=0.25)),
        ("step(x, y, at=-1/4)", o("step", x, y, at=-0.25)),
        ("step(x, y)", o("step", x, y, at=0.5)),
        ("polygamma(x, n=2)", o("polygamma", x, n=2)),
        ("pow(x, y) * pow(x, 3)", o("multiply", o("power", x, y), o("pow", x, p=3.0))),
        ("max(x, y, z)", o("maximum", o("maximum", x, y), z)),
        ("Min(x, 0)", o("minimum", x, 0)),
        ("And(x < y, y < z, z)", o("logical_and", o("logical_and", o("less", x, y), o("less", y, z)), z)),
        ("Abs(x) + fabs(x) + abs(x)", o("add", o("add", o("abs", x), o("abs", x)), o("abs", x))),
        ("ln(x) + asin(x) + arcsin(x) + atan2(x, y)",
         o("add", o("add", o("add", o("log", x), o("arcsin", x)), o("arcsin", x)), o("arctan2", x, y))),
        ("ceiling(x) - sgn(x)", o("subtract", o("ceil", x), o("sign", x))),
        ("Heaviside(x)", o("step", x, 0)),
        ("sec(x)", o("reciprocal", o("cos", x))),
        ("root(x, 3)", o("power", x, o("divide", 1, 3))),
        ("pi", constant(math.pi)),
        ("inf() - nan()", o("subtract", math.inf, math.nan)),
        ("where(true(), x, y)", o("where", True, x, y)),
    ],
)  # fmt: skip
def test_reads(text, expected):
    assert parse(text) is expected


@pytest.mark.parametrize("text", ["x*1", "0 + x", "1/2", "2 + 3", "x**1", "--x"])
def test_keeps_what_is_written(text):
    assert parse(text).args


def test_numbers_are_weak_and_variables_have_the_dtype_asked_for():
    f = parse("x/2", dtype="float32")
    assert [n.kind.dtype for n in topological(f)] == ["float32", "weak", "float32"]
    assert parse("x/2").dtype == "float64"
    with pytest.raises(DtypeError):
        parse("x", dtype="complex128")


def test_any_other_identifier_is_a_variable():
    for name in (
        "E",
        "I",
        "S",
        "N",
        "beta",
        "gamma",
        "lambda",
        "E_n",
        "e",
        "psi",
        "θ",
        "Ω1",
        "_",
        "mean",
        "sum",
        "inf",
    ):
        assert parse(name) is variable(name)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_elementwise_operation_can_be_called_by_all_its_names(op):
    expected = o("power", x, y) if op.name == "pow" else o(op.name, *(x, y, z)[: op.arity])
    for name in (op.name, *op.aliases):
        assert parse(f"{name}({', '.join(expected.variables)})") is expected


@pytest.mark.parametrize(
    ("text", "position", "problem", "remedy"),
    [
        ("", 0, "empty", "Write an expression"),
        (" \n ", 0, "empty", "Write an expression"),
        ("2 x", 2, "operator is missing between 2 and x", "2*x"),
        ("2x", 1, "operator is missing between 2 and x", "2*x"),
        ("(x)(y)", 3, "operator is missing", "*"),
        ("1.2.3", 3, "operator is missing between 1.2 and .3", "operator"),
        ("foo(x)", 0, "no function foo", "floor"),
        ("1 + sine(x)", 4, "no function sine", "sin or"),
        ("x(y)", 0, "no function x", "x*(...)"),
        ("sum(x)", 0, "works on arrays", "dk.sum"),
        ("sin(x, y)", 0, "sin takes 1 argument, 2 given", "sin(x)"),
        ("y*sin()", 2, "sin takes 1 argument, 0 given", "sin(x)"),
        ("max(x)", 0, "max takes 2 arguments, 1 given", "max(x, y)"),
        ("pi(x)", 0, "no function pi", ""),
        ("inf(x)", 0, "inf takes 0 arguments, 1 given", "inf()"),
        ("step(x, y, by=3)", 11, "step has no parameter by", "at=0.5"),
        ("step(x, y, at=z)", 14, "must be a number, not z", "at=0.5"),
        ("step(x, y, at=1, at=2)", 17, "given twice", ""),
        ("polygamma(x, n=1.5)", 15, "must be an integer, not 1.5", "n=1"),
        ("polygamma(1, x)", 0, "polygamma takes 1 argument, 2 given", "polygamma(x, n=1)"),
        ("sin(x", 3, "never closed", ")"),
        ("((x + 1)", 0, "never closed", ")"),
        ("x + 1)", 5, "closes nothing", "Remove"),
        ("()", 0, "nothing between", ""),
        ("x +", 2, "nothing follows +", ""),
        ("(x *) + y", 3, "nothing follows *", ""),
        ("sin(x,)", 5, "nothing follows ,", ""),
        ("x + * y", 4, "missing before *", ""),
        ("x // y", 3, "missing before /", "floor(x/y)"),
        ("x < y < z", 6, "cannot be chained", "logical_and"),
        ("x and y", 2, "operator is missing", "logical_and"),
        ("x = 3", 2, "= gives a name a value", "=="),
        ("1,5*x", 1, "comma", "1.5"),
        ("exp + 1", 0, "exp is a function", "exp(...)"),
        ("exp x", 0, "exp is a function", "exp(...)"),
        ("sin^2(x)", 0, "sin is a function", "sin(...)"),
        ("__import__('os')", 11, '"\'" has no meaning', "not Python code"),
        ("x; y", 1, "';' has no meaning", "not Python code"),
        ("x − y", 2, "'−' has no meaning", "Write -"),
        ("x & y", 2, "'&' has no meaning", "logical_and"),
        ("np.sin(x)", 2, "'.' has no meaning", "sin(x)"),
        ("x[0]", 1, "'[' has no meaning", "arrays"),
        ("x + y²", 4, "y² is not a name", "x**2"),
        ("2*1e999", 2, "the number 1e999 is too large for float64", "inf()"),
        ("x*9**9**9", 2, "the constant 9**9**9 is too large for float64", "inf()"),
        ("1/0", 0, "the constant 1/0 is infinite", "inf()"),
        ("x + log(-1)", 4, "the constant log(-1) is not a real number", ""),
        ("x*(-8)**(1/3)", 2, "the constant (-8)**(1/3) is not a real number", ""),
        ("exp(1e3)*x", 0, "the constant exp(1e3) is too large for float64", ""),
    ],
)
def test_says_what_is_wrong_and_where(text, position, problem, remedy):
    with pytest.raises(ParseError) as caught:
        parse(text)
    error = caught.value
    assert (error.position, error.text) == (position, text)
    assert problem in error.problem and remedy in error.remedy
    caret_line = str(error).splitlines()[2]
    assert caret_line.index("^") == 2 + position


def test_towers_of_powers_are_refused_and_not_computed():
    with pytest.raises(ParseError, match="too large for float64"):
        parse("9**9**9**9**9*x")
    with pytest.raises(ParseError, match="too large for float64"):
        parse("9" * 50_000)


def test_infinity_on_purpose_may_be_computed_with():
    assert parse("x + exp(inf()) - 1/inf() + 0*nan()").args


@pytest.mark.parametrize("value", [None, 3, b"x", x])
def test_only_strings_are_read(value):
    with pytest.raises(ArgumentError, match="reads a string"):
        parse(value)


def test_a_text_too_long_is_refused_at_once():
    with pytest.raises(ParseError, match="100,000") as caught:
        parse("x+" * 500_000 + "x")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("(" * 20_000 + "x" + ")" * 20_000, 0),
        ("sin(" * 19_000 + "x" + ")" * 19_000, 19_000),
        ("-" * (MAX_CHARACTERS - 1) + "x", MAX_CHARACTERS - 1),
        ("x" + "+x" * 49_999, 49_999),
        ("x" + "**x" * 33_000, 33_000),
    ],
    ids=["parentheses", "calls", "minus", "sum", "powers"],
)
def test_depth_is_limited_by_the_length_of_the_text_alone(text, levels):
    assert depth(parse(text)) == levels
