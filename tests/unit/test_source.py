"""Generated source: it runs, and gives what the operations' NumPy definitions give."""

import ctypes
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffkit.errors import ArgumentError, UnsupportedError
from diffkit.expr import functions as dk
from diffkit.expr.kind import constant_value
from diffkit.expr.node import Expr, constant, make, topological, variable
from diffkit.expr.source import TARGETS, to_source
from diffkit.expr.text import parse
from diffkit.ops import CAST, CONSTANT, TABLE, VARIABLE, Op

x, y, z = variable("x"), variable("y"), variable("z")
ELEMENTWISE = [op for op in TABLE.values() if op.family == "elementwise" and op is not CAST]
PYTHON = ["numpy", "jax", "torch"]


def evaluate(f: Expr, **given_values):
    """The definition: a NumPy call a node on arrays with a lane axis; booleans and integers count as floats."""
    values: dict[int, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for n in topological(f):
            if n.op is VARIABLE:
                value = np.asarray(given_values[n.name], n.dtype)[None]
            elif n.op is CONSTANT:
                value = constant_value(n.kind)[None]
            else:
                args = [values[id(a)] for a in n.args]
                if n.op.family == "elementwise":
                    args = [a.reshape(1, *(1,) * (1 + len(n.shape) - a.ndim), *a.shape[1:]) for a in args]
                if n.op.result == "float" and n.op.name != "where":
                    args = [a.astype(n.dtype) if a.dtype.kind in "bi" else a for a in args]
                value = np.asarray(n.op.numpy(*args, **n.params)).astype(n.dtype)
            values[id(n)] = value
    return values[id(f)][0]


def run(f, target: str, *args, name: str = "f"):
    pytest.importorskip({"numpy": "numpy", "jax": "jax", "torch": "torch"}[target])
    namespace: dict = {}
    exec(to_source(f, target, name), namespace)
    with np.errstate(all="ignore"):
        result = namespace[name](*args)
    return [np.asarray(r) for r in result] if isinstance(f, list) else np.asarray(result)


@pytest.fixture
def compiled(tmp_path):
    """A compiled C function."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")

    def build(f, *more):
        source, library = tmp_path / "f.c", tmp_path / f"f{len(list(tmp_path.iterdir()))}.so"
        source.write_text(to_source(f, "c"))
        flags = ["-std=c99", "-Wall", "-Werror", "-Wno-div-by-zero", "-shared", "-fPIC", *more]
        subprocess.run(["gcc", *flags, "-o", str(library), str(source), "-lm"], check=True)
        function = ctypes.CDLL(str(library)).f
        if not isinstance(f, list):
            function.restype = {"bool": ctypes.c_bool, "float32": ctypes.c_float}.get(f.dtype, ctypes.c_double)
            function.argtypes = [ctypes.c_double] * len(f.variables)
        return function

    return build


def points(op: Op) -> list[tuple[float, ...]]:
    """Two ordinary points of the operation's domain."""
    intervals = op.intervals or ((-np.inf, np.inf),) * op.arity
    inside = [(low + 0.2, high - 0.2) for low, high in intervals]
    rows = ((0.7, 1.3, 2.4), (-1.6, 0.4, -0.3))
    return [tuple(np.clip(v, *bounds) for v, bounds in zip(row, inside, strict=False)) for row in rows]


@pytest.mark.parametrize("target", PYTHON)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_operation_in_python(op, target):
    f = make(op, (x, y, z)[: op.arity], {})
    for values in points(op):
        expected = evaluate(f, **dict(zip(f.variables, values, strict=False)))
        rtol = 1e-8 if (op.name, target) == ("polygamma", "torch") else 1e-13  # PyTorch's is no better than that
        np.testing.assert_allclose(run(f, target, *values[: op.arity]), expected, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_operation_in_c(op, compiled):
    f = make(op, (x, y, z)[: op.arity], {})
    function = compiled(f)
    for values in points(op):
        expected = evaluate(f, **dict(zip(f.variables, values, strict=False)))
        np.testing.assert_allclose(function(*values[: op.arity]), expected, rtol=1e-13, atol=1e-14)


# constants, booleans in arithmetic, IEEE corners, names: where Python's or C's own rules would differ from NumPy's
CORNERS = [
    ("(x < y) + (x < z)", (1.0, 2.0, 3.0)),
    ("(x < y) - (y < x)", (1.0, 2.0)),
    ("(x < y)/(x < z)", (1.0, 2.0, 3.0)),
    ("-(x < y)", (1.0, 2.0)),
    ("where(x, 1, 2) + where(y - 0.5, 1, 2)", (0.5, 0.5)),
    ("where(x < y, x < 2, false())*3", (1.0, 2.0)),
    ("x**(1/3)", (-8.0,)),
    ("x**0.5 + y", (-8.0, 1.0)),
    ("1/x", (0.0,)),
    ("x/(y*z)", (3.0, 4.0, 5.0)),
    ("x - (y - z)", (3.0, 4.0, 5.0)),
    ("-x**2 + (-x)**2 + 2**-x + --x - -3", (3.0,)),
    ("x**y**z + (x**y)**z", (2.0, 3.0, 0.5)),
    ("exp(2) + sqrt(3)*max(x, 2, 3)", (1.0,)),
    ("1/3 + 2**0.5*x", (1.0,)),
    ("min(x, 0) + arctan2(1, y) + hypot(3, 4)", (1.0, 2.0)),
    ("square(x + y)*inf() + 0*y", (1.0, 2.0)),
    ("log(x)", (-1.0,)),
    ("lambda + numpy*float + t1*t1 + exp(t1*exp(t1)) + double*unix", (1.0, 2.0, 3.0, 0.4, 5.0, 6.0)),
    ("polygamma(x, n=3) + step(x, y, at=0.25) + step(x, x, at=-2)", (1.5, 2.0)),
]


@pytest.mark.parametrize("target", [*PYTHON, "c"])
@pytest.mark.parametrize(("text", "values"), CORNERS, ids=[text for text, _ in CORNERS])
def test_corners(text, values, target, compiled):
    f = parse(text)
    expected = evaluate(f, **dict(zip(f.variables, values, strict=True)))
    actual = compiled(f)(*values) if target == "c" else run(f, target, *values)
    np.testing.assert_allclose(actual, expected, rtol=1e-13, equal_nan=True)


def test_constant_division_by_zero_is_ieee():
    f = constant(1.0) / constant(0.0) + x
    for target in PYTHON:
        assert run(f, target, 1.0) == math.inf


@st.composite
def operations(draw, below):
    # outside its domain, which random arguments leave, SciPy's polygamma is not the NaN of the definition
    op = draw(st.sampled_from([op for op in ELEMENTWISE if op.name != "polygamma"]))
    integers, floats = st.integers(1, 4), st.sampled_from([0.5, 2.0, -1.0])
    params = {k: draw(integers if isinstance(v, int) else floats) for k, v in op.params.items()}
    return make(op, tuple(draw(below) for _ in range(op.arity)), params)


leaves = st.sampled_from([x, y, z, *map(constant, (0.0, -1.0, 2.0, 0.5, math.inf))])
expressions = st.recursive(leaves, operations, max_leaves=12)


@given(expressions, st.lists(st.sampled_from([-1.5, 0.0, 0.3, 1.0, 2.0]), min_size=3, max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_numpy_source_computes_what_the_expression_means(f, values):
    """Exactly, but for a last-digit difference between scalar and array routines of NumPy."""
    given_values = dict(zip("xyz", values, strict=True))
    expected = evaluate(f, **given_values)
    actual = run(f, "numpy", *(given_values[v] for v in f.variables))
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


# ---- form -----------------------------------------------------------------------------------------------------------
def test_numpy_source_reads_like_a_person_wrote_it():
    assert (
        to_source(parse("(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))"))
        == """\
import numpy


def f(x1, x2):
    x1 = numpy.asarray(x1, dtype=numpy.float64)
    x2 = numpy.asarray(x2, dtype=numpy.float64)
    t1 = x1 / x2
    return (numpy.exp(t1) + t1) * (t1 - numpy.log(x2))
"""
    )


def test_c_source_reads_like_a_person_wrote_it():
    assert (
        to_source(parse("(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))"), "c", name="value")
        == """\
#include <math.h>

double value(double x1, double x2)
{
    double t1 = x1 / x2;
    return (exp(t1) + t1) * (t1 - log(x2));
}
"""
    )


def test_several_results(compiled):
    fs = [x * y, x - y, x < y]
    assert [float(r) for r in run(fs, "numpy", 2.0, 3.0)] == [6.0, -1.0, 1.0]
    product, difference, less = results = ctypes.c_double(), ctypes.c_double(), ctypes.c_bool()
    compiled(fs)(ctypes.c_double(2), ctypes.c_double(3), *map(ctypes.byref, results))
    assert (product.value, difference.value, less.value) == (6.0, -1.0, True)
    assert to_source([x]).endswith("return (x,)\n")


def test_names_that_the_target_uses_are_changed():
    f = dk.exp(variable("exp")) + variable("lambda") * variable("x 1") + variable("2x")
    assert "def f(exp, lambda_, x_1, _2x):" in to_source(f)
    assert "double f(double exp_, double lambda, double x_1, double _2x)" in to_source(f, "c")


def test_float32_stays_float32():
    f = parse("where(x < 1, sin(x)*2, max(x, 0.1)) + 0.1", dtype="float32")
    assert run(f, "numpy", 0.5).dtype == np.float32
    for target in PYTHON:
        np.testing.assert_allclose(run(f, target, 0.5), evaluate(f, x=0.5), rtol=1e-6)
    assert to_source(f, "c").startswith("#include <math.h>\n\nfloat f(float x)")


@pytest.mark.parametrize("target", PYTHON)
def test_array_operations(target):
    A, b, rows = variable("A", (3, 4)), variable("b", (4,)), [0, 2, 0]
    fs = [
        dk.sum(A, axis=0), dk.mean(A), dk.prod(A, axis=(0, 1)), dk.max(A, axis=1, keepdims=True), dk.min(A),
        dk.logsumexp(A, axis=0), dk.norm(A, axis=1), A @ b, A @ A.T, dk.reshape(A, (2, 6)), dk.broadcast_to(b, (2, 4)),
        dk.log_softmax(A), dk.log_softmax(A.reshape(3, 2, 2), (0, 2)),
        dk.concatenate([A, A + 1]), dk.stack([b, b * 2], axis=1), A[1, 1:3], A[[0, 2, 0]], A[None, :, 0],
        A * constant([1.0, 2.0, math.inf, 4.0]), dk.sum(A < 0.5) / 2,
        make(TABLE["scatter"], (A[rows],), {"index": (("array", (3,), np.array(rows).tobytes()),), "shape": (3, 4)}),
        make(TABLE["scatter"], (A[1, 1:3],), {"index": (1, ("slice", 1, 3, None)), "shape": (3, 4)}),
    ]  # fmt: skip
    values = {"A": np.linspace(-1, 2, 12).reshape(3, 4), "b": np.array([0.5, -1.0, 2.0, 0.25])}
    for f in fs:
        expected = evaluate(f, **values)
        np.testing.assert_allclose(run(f, target, *(values[v] for v in f.variables)), expected, rtol=1e-13)


def test_a_long_chain_is_written_and_runs():
    f, expected = x, 0.5
    for i in range(50_000):
        f, expected = dk.sin(f) * x + float(i % 3), math.sin(expected) * 0.5 + i % 3
    sys.setrecursionlimit(1000)
    np.testing.assert_allclose(run(f, "numpy", 0.5), expected, rtol=1e-12)


def test_a_deep_nest_of_short_operations_is_cut_into_lines(compiled):
    f = x
    for _ in range(2000):
        f = -dk.sqrt(dk.abs(f) + 1)
    np.testing.assert_allclose(run(f, "numpy", 0.5), -((1 + math.sqrt(5)) / 2), rtol=1e-15)
    np.testing.assert_allclose(compiled(f)(0.5), -((1 + math.sqrt(5)) / 2), rtol=1e-15)


# ---- refusals -------------------------------------------------------------------------------------------------------
def test_c_has_no_arrays():
    with pytest.raises(UnsupportedError, match=r"scalars only.*\(3,\)"):
        to_source(dk.sum(variable("v", (3,))), "c")


def test_an_operation_without_a_spelling_says_what_is_missing():
    op = Op(name="mystery", arity=1, doc="?", numpy=np.sin)
    with pytest.raises(UnsupportedError, match=r"mystery.*spelling"):
        to_source(make(op, (x,), {}))


@pytest.mark.parametrize(
    ("f", "target", "name", "message"),
    [(x, "fortran", "f", "numpy, jax, torch, c"), (x, "numpy", "lambda", "cannot be the name"),
     (x, "c", "exp", "cannot be the name"), ("x", "numpy", "f", "writes an expression"),
     ([], "numpy", "f", "writes an expression")],
)  # fmt: skip
def test_arguments_that_cannot_be_used(f, target, name, message):
    with pytest.raises(ArgumentError, match=message):
        to_source(f, target, name)


def test_all_targets_are_tested():
    assert {*PYTHON, "c"} == set(TARGETS)
