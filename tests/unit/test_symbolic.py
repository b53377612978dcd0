"""The symbolic engine: SymPy's derivative against the engines that follow the op table, its counts, and its limits."""

import math

import helpers
import numpy as np
import pytest
from helpers import NUMPY, each, run

import diffkit as dk
from diffkit.engines import engine
from diffkit.engines.symbolic import Counter, Symbolic
from diffkit.errors import ExceededError, UnsupportedError
from diffkit.expr.node import make
from diffkit.ops import TABLE, define
from diffkit.ops.kinks import POLICIES, kinks
from diffkit.tape import record

SYMBOLIC = engine("symbolic")


def gradient(f, values, name="symbolic", wrt=None):
    """Derivatives by all variables, and their bars."""
    program = engine(name).program(record(f), range(len(f.variables)) if wrt is None else wrt)
    return program.on(NUMPY)(values)[1][0], program.bars(NUMPY, values)[0]


@each(helpers.differentiable_cases())
@pytest.mark.parametrize("other", ["forward", "reverse"])
def test_every_operation_agrees_with_the_table(case, other):
    intervals = case.op.intervals or ((-math.inf, math.inf),) * case.op.arity
    rng = np.random.default_rng(3)
    values = [rng.uniform(max(low, -4) + 0.02, min(high, 4) - 0.02, 200) for low, high in intervals]
    values = [v > 0 if k in case.conditions else v for k, v in enumerate(values)]
    f = case.expression()
    tape = record(f, case.variables("float64"))
    results = []
    for name in ("symbolic", other):
        program = engine(name).program(tape, case.numeric)
        results.append((program.on(NUMPY)(values)[1][0], program.bars(NUMPY, values)[0]))
    for ours, bar, theirs, their_bar in zip(*results[0], *results[1], strict=True):
        assert np.all(np.abs(ours - theirs) <= bar + their_bar)


def lecture():
    x1, x2 = dk.symbols("x1 x2")
    return (dk.exp(x1 / x2) + x1 / x2) * (x1 / x2 - dk.log(x2))


def test_the_lecture_example():
    (d1, d2), bars = gradient(lecture(), [0.5, 1.0])
    e = math.exp(
        0.5
    )  # a = x1/x2, f = (e^a + a)(a − log x2): f_a = (e^a + 1)(a − log x2) + e^a + a, f_x2 = −f_a·a − (e^a + a)
    along = (e + 1) * 0.5 + e + 0.5
    assert d1 == pytest.approx(along, rel=1e-15) and d2 == pytest.approx(-along / 2 - (e + 0.5), rel=1e-15)
    assert max(bars) < 1e-13


def test_value_is_the_function_itself():
    program = SYMBOLIC.program(record(lecture()), [0, 1])
    (value,), _ = program.on(NUMPY)([0.5, 1.0])
    assert value == run(record(lecture()), 0.5, 1.0)[0]


# ---- kinks --------------------------------------------------------------------------------------------------------
x, y = dk.symbols("x y")
AT_KINKS = {
    "abs": (abs(x), [0.0]),
    "maximum": (dk.maximum(x, y), [1.0, 1.0]),
    "minimum": (dk.minimum(x, y), [1.0, 1.0]),
    "clip": (dk.clip(x, -1.0, 1.0), [-1.0]),
    "relu": (dk.relu(x), [0.0]),
    "inside": (dk.exp(abs(x)) * 3 + dk.maximum(x, 2 * x) * y, [0.0, 1.5]),
    "floor": (dk.floor(x) * x, [2.0]),
    "ceil": (dk.ceil(x) * x, [2.0]),
    "round": (dk.round(x) * x, [2.5]),
    "sign": (dk.sign(x) * y, [0.0, 1.0]),
    "step": (dk.where(x > 0, y, 2 * x), [0.0, 1.0]),
    "max": (dk.max(dk.stack([x, y, 2 * x])), [0.0, 0.0]),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", AT_KINKS)
def test_kinks_follow_the_convention_in_force(name, policy):
    f, at = AT_KINKS[name]
    with kinks(policy):
        ours, theirs = gradient(f, at)[0], gradient(f, at, "reverse")[0]
    np.testing.assert_array_equal(ours, theirs)


def test_sympys_cache_keeps_conventions_apart():
    f = abs(x) * y
    found = []
    for policy in ("default", "left", "nan", "right", "default"):
        with kinks(policy):
            found.append(float(gradient(f, [0.0, 2.0])[0][0]))
    np.testing.assert_array_equal(found, [0.0, -2.0, math.nan, 2.0, 0.0])


def test_a_branch_not_taken_does_not_matter():
    f = dk.where(x > 0, dk.log(x), x * x)
    (dx,), _ = gradient(f, [np.array([-2.0, 0.0, 4.0])])
    np.testing.assert_array_equal(dx, [-4.0, 0.0, 0.25])


# ---- arrays -------------------------------------------------------------------------------------------------------
def test_arrays_are_expanded_element_by_element():
    w, v = dk.symbol("W", (3, 4)), dk.symbol("v", (4,))
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3, 4)), rng.normal(size=(5, 4))]
    for f in (
        dk.sum(dk.tanh(w @ v)) + dk.max(w) + dk.logsumexp(v) + dk.norm(v) + dk.prod(v),
        dk.tanh(w @ v),
        w.T[1:, 0] * v[2],
    ):
        ours, theirs = gradient(f, values), gradient(f, values, "reverse")
        for a, b, e, d in zip(ours[0], theirs[0], ours[1], theirs[1], strict=True):
            assert a.shape == b.shape and np.all(np.abs(a - b) <= e + d)


def test_several_outputs_and_an_input_that_does_not_matter():
    program = SYMBOLIC.program(record([x * y, dk.sin(x)], (x, y)), [1, 0])
    outputs, blocks = program.on(NUMPY)([0.3, np.array([1.0, 2.0])])
    np.testing.assert_allclose(outputs[0], [0.3, 0.6])
    np.testing.assert_allclose(blocks[0][1], [1, 2])
    np.testing.assert_allclose(blocks[1][0], [0, 0])
    np.testing.assert_allclose(blocks[1][1], [math.cos(0.3)] * 2)


def test_the_derivative_has_its_inputs_dtype():
    a = dk.symbol("a", dtype="float32")
    program = SYMBOLIC.program(record(a * x * 2), [0, 1])
    _, ((da, dx),) = program.on(NUMPY)([np.float32(0.5), 3.0])
    assert (da.dtype, dx.dtype) == (np.float32, np.float64)


# ---- swell --------------------------------------------------------------------------------------------------------
def product_of(n):
    f = dk.symbol("x0")
    for k in range(1, n):
        f = f * dk.symbol(f"x{k}")
    return f


def test_swell_of_speelpennings_product():
    program = SYMBOLIC.program(record(product_of(64)), range(64))
    assert program.notes["swell"]["f"] == {"tree": 63, "graph": 63, "cse": 63}
    assert program.notes["swell"]["derivative"]["tree"] == 3968
    assert program.notes["swell"]["derivative"]["cse"] == 2016
    assert len(engine("reverse").program(record(product_of(64)), range(64)).tape) < 200


def test_swell_is_one_of_trees():
    f = x
    for _ in range(12):
        f = dk.sin(f**2 + x)
    swell = SYMBOLIC.program(record(f), [0]).notes["swell"]
    assert (swell["f"]["tree"], swell["derivative"]["tree"]) == (36, 479)
    assert swell["derivative"]["graph"] < 100 and swell["derivative"]["cse"] < 100


def test_trees_are_counted_without_being_walked():
    import sympy

    s = sympy.Symbol("s")
    e = s
    for _ in range(200):
        e = sympy.Add(sympy.Function("f")(e), sympy.Function("g")(e), evaluate=False)
    assert Counter().tree(e) == 3 * (2**200 - 1)


def test_where_the_time_went_is_noted():
    seconds = SYMBOLIC.program(record(lecture()), [0, 1]).notes["seconds"]
    assert set(seconds) == {"write", "derive", "read", "count"}


# ---- limits -------------------------------------------------------------------------------------------------------
def test_budget_of_operations():
    with pytest.raises(
        ExceededError, match=r"over the budget max_ops=20: \d+ operations after .* s, at partial derivative \d of 8"
    ):
        Symbolic(max_ops=20).program(record(product_of(8)), range(8))
    with pytest.raises(ExceededError, match="900 partial derivatives would be over the budget max_ops=500"):
        w = dk.symbol("W", (30, 30))
        Symbolic(max_ops=500).program(record(dk.sum(w * w)), [0])


def test_budget_of_seconds_holds_inside_sympy():
    f = x
    for _ in range(2000):
        f = dk.sin(f)
    with pytest.raises(ExceededError, match=r"over the budget seconds=0\.5: [\d,]+ operations after"):
        Symbolic(seconds=0.5).program(record(f), [0])


def test_exponential_trees_are_refused_at_once():
    f = x
    for _ in range(80):
        f = f * dk.sin(f)
    with pytest.raises(ExceededError, match="as a tree"):
        Symbolic(seconds=10).program(record(f), [0])


def test_an_operation_that_sympy_does_not_know():
    define("mystery_s", 1, "unknown", np.sin, partials=lambda o, out, x: (o.cos(x),))
    try:
        with pytest.raises(UnsupportedError, match="mystery_s"):
            SYMBOLIC.program(record(make(TABLE["mystery_s"], (x,), {})), [0])
    finally:
        TABLE.remove("mystery_s")
