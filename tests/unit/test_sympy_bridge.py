"""SymPy in and out: every operation goes there and back, and what SymPy has and diffkit has not is refused with the reason."""

import math
import subprocess
import sys

import helpers
import numpy as np
import pytest
import sympy
from helpers import each, run
from helpers_arrays import array_cases
from sympy.abc import x, y

import diffkit as dk
from diffkit.errors import ExceededError, UnsupportedError
from diffkit.expr.bounded import within
from diffkit.expr.node import constant, free_variables, make, variable
from diffkit.expr.sympy_bridge import from_sympy, to_sympy
from diffkit.ops import TABLE, define
from diffkit.tape import record

EXPRESSIBLE = [c for c in helpers.cases() if c.op.family == "elementwise" and not c.op.detached]


def value(f, at):
    return np.asarray(run(record(f), *(at[n] for n in f.variables))[0])


def points(case, n=40):
    """Ordinary points of the domain: far from its edges, where forms that differ in rounding differ a lot."""
    rng = np.random.default_rng(7)
    intervals = case.op.intervals or ((-math.inf, math.inf),) * case.op.arity
    drawn = [rng.uniform(max(low, -3) + 0.05, min(high, 3) - 0.05, n) for low, high in intervals]
    return {f"x{k}": d > 0 if k in case.conditions else d for k, d in enumerate(drawn)}


@pytest.mark.parametrize("native", [True, False], ids=["native", "derivable"])
@each(EXPRESSIBLE)
def test_round_trip_keeps_values(case, native):
    f = case.expression()
    back = from_sympy(to_sympy(f, native), {v.name: v for v in free_variables(f)})
    at = points(case)
    expected, found = np.broadcast_arrays(value(f, at), value(back, at))
    np.testing.assert_allclose(found * 1.0, expected * 1.0, rtol=1e-13, atol=1e-13)


@each(EXPRESSIBLE)
def test_second_round_trip_changes_nothing(case):
    once = from_sympy(to_sympy(case.expression()))
    assert from_sympy(to_sympy(once)) is once


@each(EXPRESSIBLE)
def test_native_form_has_no_functions_of_ours(case):
    parts = sympy.preorder_traversal(to_sympy(case.expression()))
    ours = {type(a).__name__ for a in parts if type(a).__module__.startswith("diffkit")}
    assert ours <= ({"Round"} if case.op.name == "round" else set())


def test_symbols_are_real_and_carry_the_names():
    a, b = dk.symbols("a lambda")
    form = to_sympy(a * b + 1)
    assert form == sympy.Symbol("a", real=True) * sympy.Symbol("lambda", real=True) + 1
    assert not sympy.Symbol("a").is_real and to_sympy(dk.sqrt(dk.square(a)), native=False).free_symbols == {
        sympy.Symbol("a")
    }


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (0.5, sympy.S.Half), (3.0, sympy.Integer(3)), (math.pi, sympy.pi), (-math.inf, -sympy.oo), (math.nan, sympy.nan),
        (0.1, sympy.Rational(3602879701896397, 36028797018963968)),
    ],
)  # fmt: skip
def test_constants_are_the_rationals_of_their_doubles(number, form):
    assert to_sympy(constant(number)) == form


@pytest.mark.parametrize("native", [True, False])
def test_variables_of_one_name_stay_apart(native):
    f = variable("t") - variable("t", uid=7)
    assert to_sympy(f, native) != 0


def test_arrays_become_sympy_arrays_with_named_elements():
    w, v = dk.symbol("W", (2, 3)), dk.symbol("v", (3,))
    product = to_sympy(w @ v)
    assert isinstance(product, sympy.NDimArray) and product.shape == (2,)
    names = [sympy.Symbol(f"W[0,{k}]", real=True) for k in range(3)]
    assert product[0] == sum(n * sympy.Symbol(f"v[{k}]", real=True) for k, n in enumerate(names))
    assert isinstance(to_sympy(w), sympy.ImmutableMatrix)
    back = from_sympy(product, {"W": w, "v": v})
    at = {"W": np.arange(6.0).reshape(2, 3), "v": np.array([1.0, -2.0, 0.5])}
    np.testing.assert_allclose(value(back, at), at["W"] @ at["v"])


@pytest.mark.slow
@pytest.mark.parametrize("case", array_cases(), ids=lambda c: c.id)
def test_arrays_written_in_scalars_have_the_same_values(case):
    inputs = case.inputs("float64")
    f = case.build(*inputs)
    try:
        back = from_sympy(to_sympy(f, native=False), {v.name: v for v in inputs})
    except UnsupportedError as reason:
        pytest.skip(str(reason))
    values = case.values()
    (expected,), (found,) = run(record(f, inputs), *values), run(record(back, inputs), *values)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# ---- what SymPy writes otherwise --------------------------------------------------------------------------------------
SPECIAL = [
    sympy.sec(x), sympy.csc(x), sympy.cot(x), sympy.sech(x), sympy.csch(x), sympy.coth(x), sympy.asec(x + 2), sympy.acsc(x + 2),
    sympy.acot(x), sympy.asech(x / 2), sympy.acsch(x), sympy.acoth(x + 2), sympy.sinc(x), sympy.frac(x * 3), sympy.Mod(x * 5, y),
    sympy.gamma(x), sympy.gamma(-x), sympy.gamma(x - 3), sympy.factorial(x), sympy.Max(x, y, x * y, 1), sympy.Min(x, y, x * y),
    x / 3, 2 * x / 3, -x / 7, x**sympy.Rational(1, 3), 1 / (x * y**2), -x * y, 1 - x**2, sympy.exp(-x) / x, sympy.sqrt(2) * x,
    sympy.E**x, sympy.E * x, sympy.EulerGamma + x, sympy.GoldenRatio * x, sympy.Catalan / x, sympy.Rational(10**30, 7) * x, 2**x,
    sympy.Piecewise((x, x < y), (y, x < 2), (1, True)), sympy.Heaviside(x - y), sympy.polygamma(2, x), sympy.sqrt(x) ** 3,
    sympy.Piecewise((x, sympy.Xor(x < y, y < 1)), (y, True)), sympy.Piecewise((x, sympy.ITE(x < y, y < 1, x > 1)), (y, True)),
    sympy.Float("1.25") * x, sympy.atan2(y, x), sympy.Abs(x - y) ** sympy.Rational(1, 3) * sympy.sign(x - y),
]  # fmt: skip


@pytest.mark.parametrize("form", SPECIAL, ids=str)
def test_reads_what_sympy_writes(form):
    f = from_sympy(form)
    for at in ({"x": 0.7, "y": 1.3}, {"x": 1.6, "y": 0.4}):
        exact = complex(form.subs(at).evalf(30))
        assert exact.imag == 0
        assert value(f, at) == pytest.approx(exact.real, rel=2e-14)
    assert from_sympy(to_sympy(f)) is from_sympy(to_sympy(from_sympy(to_sympy(f))))


def test_conditions():
    f = from_sympy(sympy.And(x < y, sympy.Or(x > 1, sympy.Ne(y, 2)), sympy.Not(sympy.Eq(x, 5))))
    assert f.dtype == "bool"
    assert bool(value(f, {"x": 0.0, "y": 1.0})) and not bool(value(f, {"x": 0.0, "y": 2.0}))
    assert from_sympy(to_sympy(f)) is f
    assert bool(value(from_sympy(sympy.true), {}))


def test_piecewise_without_a_last_case_is_nan_there():
    f = from_sympy(sympy.Piecewise((x, x > 0)))
    np.testing.assert_array_equal(value(f, {"x": np.array([-1.0, 2.0])}), [np.nan, 2.0])


def test_delta_functions_carry_nothing():
    assert value(from_sympy(sympy.DiracDelta(x) * y + x), {"x": 2.0, "y": 1.0}) == 2


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (sympy.I * x, "complex"),
        (sympy.sqrt(-2), "complex"),
        (sympy.zoo, "no real value"),
        (sympy.Derivative(sympy.Function("g")(x), x), "doit"),
        (sympy.Integral(sympy.exp(-(x**2)), (x, 0, y)), "doit"),
        (sympy.Function("g")(x), "not known"),
        (sympy.LambertW(x), "LambertW"),
        (sympy.besselj(0, x), "no operation"),
        (sympy.polygamma(y, x), "order"),
        (sympy.Integer(10) ** 400 * x, "larger than any double"),
    ],
    ids=str,
)
def test_refuses_with_the_reason(form, reason):
    with pytest.raises(UnsupportedError, match=reason):
        from_sympy(form)


def test_symbols_by_name_and_elements_of_arrays():
    w, a = dk.symbol("W", (2, 2)), dk.symbol("a")
    f = from_sympy(sympy.Symbol("W[1,0]") * x, {"W": w, "x": a + 1})
    assert value(f, {"W": np.array([[1.0, 2], [3, 4]]), "a": 1.0}) == 6
    m = from_sympy(sympy.MatrixSymbol("M", 2, 2)[0, 1])
    assert m.variables == ("M",) and value(m, {"M": np.array([[1.0, 2], [3, 4]])}) == 2


def test_a_matrix_is_read_as_an_array():
    f = from_sympy(sympy.Matrix([[x, 1], [0, y]]))
    np.testing.assert_array_equal(value(f, {"x": 3.0, "y": 4.0}), [[3, 1], [0, 4]])


def test_shared_parts_stay_shared():
    part = sympy.sin(x)
    for _ in range(14):
        part = sympy.exp(part) * sympy.cos(part)
    assert len(record(from_sympy(part))) == 1 + 3 * 14


def test_deep_expressions_go_there_and_back_or_are_refused():
    def chain(n):
        f = dk.symbol("x")
        for _ in range(n):
            f = dk.sin(f)
        return f

    same = from_sympy(to_sympy(chain(400))) is chain(400)
    assert same
    with pytest.raises(ExceededError):
        within(0.5, lambda: to_sympy(chain(20_000)), "writing")


def test_powers_that_sympy_would_work_out_in_integers():
    a = dk.symbol("a")
    for p in (0.1, 0.37, 1 / 3, 200.0, 12.345, -0.7):
        for native in (True, False):
            f = from_sympy(to_sympy((3.7 * a) ** p, native))
            assert value(f, {"a": 0.25}) == pytest.approx(0.925**p, rel=1e-13)
    assert to_sympy(a ** (1 / 3)) == sympy.Symbol("a", real=True) ** sympy.Rational(1, 3)


def test_user_operations_with_a_sympy_form():
    define("swish_t", 1, "x σ(x)", lambda t: t / (1 + np.exp(-t)), sympy=lambda s, t: t / (1 + s.exp(-t)))
    try:
        f = make(TABLE["swish_t"], (dk.symbol("a"),), {})
        assert value(from_sympy(to_sympy(f)), {"a": 0.3}) == pytest.approx(0.3 / (1 + math.exp(-0.3)))
    finally:
        TABLE.remove("swish_t")


def test_an_operation_without_a_sympy_form_is_named():
    define("mystery_t", 1, "unknown", np.sin)
    try:
        with pytest.raises(UnsupportedError, match="mystery_t"):
            to_sympy(make(TABLE["mystery_t"], (dk.symbol("a"),), {}))
    finally:
        TABLE.remove("mystery_t")


def test_importing_expressions_does_not_load_sympy():
    code = (
        "import sys, diffkit.expr, diffkit.expr.sympy_bridge, diffkit.expr.functions; assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- bounded work -----------------------------------------------------------------------------------------------------
def test_work_is_stopped_at_its_limit():
    def forever():
        while True:
            try:
                sum(range(1000))
            except Exception:  # what a library might do
                continue

    with pytest.raises(ExceededError, match=r"counting took longer than 0\.2 seconds"):
        within(0.2, forever, "counting")


def test_deep_recursion_is_an_error_of_ours_and_leaves_the_limit_alone():
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    before = sys.getrecursionlimit()
    assert within(60, lambda: down(20_000), "counting") == 20_000
    with pytest.raises(ExceededError, match="nests too deeply"):
        within(60, lambda: down(10_000_000), "counting")
    assert sys.getrecursionlimit() == before
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0, "dividing")
