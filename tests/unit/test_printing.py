"""Expressions as text and LaTeX: read back to the same object, cut short where they would be endless."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffkit.errors import ExceededError
from diffkit.expr import functions as dk
from diffkit.expr.latex import FORMS, name, number, to_latex
from diffkit.expr.node import Expr, constant, make, variable
from diffkit.expr.printing import brief, shorten, to_text
from diffkit.expr.text import parse
from diffkit.ops import CAST, TABLE

x, y, z = variable("x"), variable("y"), variable("z")
ELEMENTWISE = [op for op in TABLE.values() if op.family == "elementwise" and op is not CAST]
LONG = 100_000

numbers = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-20, 20).map(float),
    st.sampled_from([0.0, -0.0, math.pi, -math.pi, math.inf, -math.inf, math.nan, -math.nan, 5e-324, 1e16, 1e-7]),
)
variables = st.sampled_from(["x", "y", "E_n", "lambda", "psi", "θ", "inf"]).map(variable)
leaves = st.one_of(variables, numbers.map(constant), st.booleans().map(constant))


@st.composite
def operations(draw, below):
    """Any elementwise operation; not of constants alone, for text refuses 1/0."""
    op = draw(st.sampled_from(ELEMENTWISE))
    args = [draw(below) for _ in range(op.arity)]
    if not any(a.variables for a in args):
        args[draw(st.integers(0, op.arity - 1))] = draw(variables)
    params = {k: draw(st.integers(1, 9) if isinstance(v, int) else numbers) for k, v in op.params.items()}
    return make(op, tuple(args), params)


expressions = st.recursive(leaves, operations, max_leaves=25)


def chain(step, n=LONG) -> Expr:
    f = x
    for _ in range(n):
        f = step(f)
    return f


# ---- text -----------------------------------------------------------------------------------------------------------
@given(expressions)
def test_text_reads_back_to_the_same_object(f):
    assert parse(to_text(f)) is f


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_operation_reads_back(op):
    f = make(op, (x, y, z)[: op.arity], {})
    assert parse(to_text(f)) is f
    assert parse(to_text(-f)) is -f
    assert parse(to_text(f**f)) is f**f


@pytest.mark.parametrize(
    "text",
    ["x - (y - z)", "x - y - z", "-x**2", "(-x)**2", "2**-x", "(x**y)**z", "x**y**z", "-2*x", "x*-2", "(-2)**2",
     "-(x*y)", "-x*y", "x/(y*z)", "x/y/z", "(x < y)*2", "(x < y) == (y < z)", "where(x < y, 1, 2)", "-pi*x", "-0*x",
     "step(x, y, at=0.5)", "1e300*x + 1e-7", "inf()*-nan()", "true()", "0.1", "1.2345678901234567e19", "sin(x + y)**2"],
)  # fmt: skip
def test_writes_as_few_parentheses_as_possible(text):
    assert to_text(parse(text)) == text


def test_array_operations_are_written_as_calls():
    A = variable("A", (3, 4))
    assert to_text(dk.sum(A, axis=1)) == "sum(A, axis=(-1,), keepdims=False)"
    assert to_text(A[1, :2] * constant([1.0, 2.0])) == "getitem(A, index=(1, :2))*array(2)"
    assert to_text(A @ A.T) == "A @ transpose(A, axes=(-1, -2))"


@pytest.mark.parametrize("f", [chain(lambda f: f * f), chain(lambda f: f * x + 1.5)], ids=["doubling", "long"])
def test_a_text_that_would_be_endless_is_refused_and_a_short_form_is_not(f):
    with pytest.raises(ExceededError, match=r"200,000 characters.*to_source"):
        to_text(f)
    assert len(brief(f)) == 80 and "…" in brief(f)
    assert re.fullmatch(r"\\text\{\([12]00,000 operations\)\}", to_latex(f))


def test_a_deep_text_is_written_and_read():
    f = chain(dk.sin, 19_000)
    assert parse(to_text(f)) is f
    assert brief(f, 20) == "sin(sin(si…)))))))))"


@given(expressions, st.integers(1, 100))
def test_brief_is_the_text_with_its_middle_cut_out(f, width):
    assert brief(f, width) == shorten(to_text(f), width)
    assert len(brief(f, width)) <= width


# ---- LaTeX ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("-2*x + -y", r"-2 \, x + \left(-y\right)"),
        ("x - (y - z)", r"x - \left(y - z\right)"),
        ("x + (y - z)", "x + y - z"),
        ("2*3*x*2**y", r"2 \cdot 3 \, x \cdot 2^{y}"),
        ("(x + 1)*(x - 1)", r"\left(x + 1\right) \, \left(x - 1\right)"),
        ("1/2*m*v**2", r"\frac{1}{2} \, m \, v^{2}"),
        ("(x/y)**2", r"\left(\frac{x}{y}\right)^{2}"),
        ("(x**y)**z", r"\left(x^{y}\right)^{z}"),
        ("exp(-x**2/2)/sqrt(2*pi)", r"\frac{e^{\frac{-x^{2}}{2}}}{\sqrt{2 \, \pi}}"),
        ("sin(x)**2 + cos(x)**-1", r"\sin^{2}\left(x\right) + \cos\left(x\right)^{-1}"),
        ("where(x <= 0, -x, y)", r"\begin{cases} -x & \text{if } x \le 0 \\ y & \text{otherwise} \end{cases}"),
        ("sin(x)**inf()", r"\sin\left(x\right)^{\infty}"),
        ("abs(x) + floor(y)", r"\left|x\right| + \left\lfloor y\right\rfloor"),
        ("1.5e-3*x", r"1.5 \cdot 10^{-3} \, x"),
        ("sigmoid(x)", r"\operatorname{sigmoid}\left(x\right)"),
        ("step(x, 0)", r"\operatorname{step}\left(x, 0, \text{at=0.5}\right)"),
        ("polygamma(x, n=2)", r"\psi^{\left(2\right)}\left(x\right)"),
    ],
)
def test_latex(text, latex):
    assert to_latex(parse(text)) == latex


@pytest.mark.parametrize(
    ("given_name", "latex"),
    [("alpha", r"\alpha"), ("theta1", r"\theta_{1}"), ("m_0", "m_{0}"), ("E_n", "E_{n}"), ("rho_c_0", r"\rho_{c,0}"),
     ("Volt", r"\mathrm{Volt}"), ("mu_drift", r"\mu_{\mathrm{drift}}"), ("lambda", r"\lambda"), ("x12", "x_{12}"),
     ("g_", r"\mathrm{g\_}"), ("β", "β"), ("a%b", r"\mathrm{a\%b}")],
)  # fmt: skip
def test_latex_names(given_name, latex):
    assert name(given_name) == latex


@pytest.mark.parametrize(
    ("value", "latex"),
    [(2.0, "2"), (-0.5, "-0.5"), (299792458.0, "299792458"), (6.02e23, r"6.02 \cdot 10^{23}"), (1e10, "10^{10}"),
     (1e-5, "10^{-5}"), (0.05, "0.05"), (-0.0, "-0"), (math.pi, r"\pi"), (-math.inf, r"-\infty"),
     (math.nan, r"\mathrm{NaN}")],
)  # fmt: skip
def test_latex_numbers(value, latex):
    assert number(value) == latex


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_latex_of_every_operation_becomes_mathml(op):
    converter = pytest.importorskip("latex2mathml.converter")
    for args in ((x, y, z), (-x, y + 1, 2 * z)):
        mathml = converter.convert(to_latex(make(op, args[: op.arity], {})))
        assert mathml.startswith("<math") and "\\" not in mathml  # an unknown command would be left as it is


def test_latex_forms_name_operations_that_exist():
    assert set(FORMS) <= set(TABLE)


@given(expressions)
def test_latex_is_balanced(f):
    latex = to_latex(f, limit=10**6)
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") == latex.count(r"\right")
