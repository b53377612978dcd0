"""Every record of the op table against oracles that know nothing of it. A new record is covered without a new test."""

from functools import partial
from itertools import combinations_with_replacement

import helpers
import helpers_arrays
import helpers_oracles as oracles
import numpy as np
import pytest
from helpers import DTYPES, NUMPY, RULE_ENGINES, Case, differentiable_cases, each, run
from helpers_arrays import array_cases
from mpmath import mp

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.engines.forward import tangent_tape
from diffkit.engines.reverse import adjoint_tape
from diffkit.engines.rounding import rounding_bound
from diffkit.expr.functions import RULES
from diffkit.expr.node import constant, variable
from diffkit.ops import TABLE, Op
from diffkit.tape import record
from diffkit.tape.lower import lower

pytestmark = pytest.mark.filterwarnings("error")

dtypes = pytest.mark.parametrize("dtype", DTYPES)
engines = pytest.mark.parametrize("engine", RULE_ENGINES)
arrays = pytest.mark.parametrize("case", array_cases(), ids=lambda c: c.id)

LOWERED = [c for c in helpers.cases() if c.op.lower is not None]


# ---- the table is covered -----------------------------------------------------------------------------------------
def test_every_elementwise_operation_has_an_oracle():
    missing = [op.name for op in TABLE.values() if op.family == "elementwise" and op.name not in oracles.ELEMENTWISE]
    assert not missing, f"add the value over mpmath numbers to helpers_oracles.ELEMENTWISE: {missing}"


def test_every_array_operation_has_a_case():
    missing = {op.name for op in TABLE.values() if op.family not in ("elementwise", "leaf")} - {
        c.op for c in array_cases()
    }
    assert not missing, f"add a case to helpers_arrays: {sorted(missing)}"


# ---- elementwise: values and partials against mpmath --------------------------------------------------------------
@dtypes
@each(helpers.cases())
def test_value(case, dtype):
    verdicts = helpers.value_verdicts(case, dtype)
    assert not verdicts.wrong, verdicts.text
    assert verdicts.judged >= 16


@dtypes
@each(LOWERED)
def test_lowered_form_is_the_same_function(case, dtype):
    verdicts = helpers.value_verdicts(case, dtype, lower(case.tape(dtype)))
    assert not verdicts.wrong, verdicts.text


@engines
@dtypes
@each(differentiable_cases())
def test_partials(case, dtype, engine):
    verdicts = helpers.slope_verdicts(case, dtype, engine)
    assert not verdicts.wrong, verdicts.text
    assert verdicts.judged >= 12


@pytest.mark.slow
@engines
@pytest.mark.parametrize("order", [2, 3])
@each(differentiable_cases())
def test_higher_derivatives(case, order, engine):
    variables, columns, verdicts = case.variables("float64"), helpers.tame(case, (4,)), helpers.Verdicts()
    for wrt in combinations_with_replacement(case.numeric, order):
        f = case.expression()
        for k in wrt:
            f = dk.derivative(f, variables[k], engine=engine) if variables[k].name in f.variables else constant(0.0)
        tape = record(f, variables)
        computed, allowed = run(tape, *columns)[0], rounding_bound(tape, columns).entries[0]
        orders = [wrt.count(k) for k in range(len(variables))]
        for point, d, e in zip(zip(*columns, strict=True), computed, allowed, strict=True):
            verdicts.judge(f"{case.id} by {wrt}", point, d, oracles.derivative(case.exact, point, orders), e, "float64")
    assert not verdicts.wrong, verdicts.text


# ---- products with vectors: all operations ------------------------------------------------------------------------
def elementwise_arrays(case: Case):
    """The operation on core arrays of different shapes that broadcast, with values well inside its domain."""
    cuts = [np.s_[0]] if case.op.arity == 1 else [np.s_[:, :1], np.s_[0], np.s_[:]][: case.op.arity]
    values = [column[cut] for column, cut in zip(helpers.tame(case, (2, 3)), cuts, strict=True)]
    inputs = [variable(f"x{k}", v.shape, str(v.dtype)) for k, v in enumerate(values)]
    return record(RULES.primitive(case.op.name, *inputs, **case.params), inputs), values, case.numeric


def array_tape(case):
    return case.tape(), case.values(), list(range(len(case.shapes)))


ALL = [
    *(pytest.param(partial(elementwise_arrays, c), id=c.id) for c in differentiable_cases()),
    *(pytest.param(partial(array_tape, c), id=c.id) for c in array_cases()),
]


def directions_for(values, wrt, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(np.shape(values[k])) for k in wrt]


@pytest.mark.parametrize("made", ALL)
def test_jvp_is_the_transpose_of_vjp(made):
    """⟨w, J v⟩ = ⟨Jᵀ w, v⟩."""
    tape, values, wrt = made()
    v = directions_for(values, wrt)
    out, jv = run(tangent_tape(tape, wrt), *values, *v)
    w = np.random.default_rng(2).standard_normal(out.shape)
    _, *jw = run(adjoint_tape(tape, wrt), *values, w)
    assert [a.shape for a in jw] == [np.shape(values[k]) for k in wrt]
    one, other = np.sum(w * jv), sum(np.sum(a * b) for a, b in zip(jw, v, strict=True))
    assert abs(one - other) <= 1e-12 * (np.sum(abs(w * jv)) + 1e-300)


@pytest.mark.parametrize("made", ALL)
def test_jvp_against_central_differences(made):
    """The primal alone, along a random direction on the numpy machine, with an error bar for every output."""
    tape, values, wrt = made()
    v = directions_for(values, wrt)
    _, jv = run(tangent_tape(tape, wrt), *values, *v)
    found = helpers.differences(tape, values, wrt, v, jv)
    assert not found.off.any(), (jv, found)
    assert found.known.all(), found
    assert np.all(found.tolerance <= 1e-6 * max(1.0, np.abs(jv).max(initial=0.0))), found.tolerance


@dtypes
@arrays
def test_array_value(case, dtype):
    values = case.values(dtype)
    (computed,) = run(case.tape(dtype), *values)
    (allowed,) = rounding_bound(case.tape(dtype), values).entries
    truth = helpers_arrays.value_exact(case, values)
    assert computed.dtype == dtype and computed.shape == truth.shape
    assert np.all(
        np.abs(computed - truth) <= allowed + np.spacing(np.abs(truth))
    )  # (the truth was rounded to a double)


@dtypes
@arrays
def test_array_derivative(case, dtype):
    values = case.values(dtype)
    v = [d.astype(dtype) for d in directions_for(values, range(len(values)))]
    _, jv = run(tangent_tape(case.tape(dtype), range(len(values))), *values, *v)
    truth = helpers_arrays.tangent_exact(case, values, v)
    assert jv.dtype == dtype
    np.testing.assert_allclose(jv, truth, rtol=0, atol=(1e-13 if dtype == "float64" else 1e-5) * np.abs(truth).max())


@pytest.mark.slow
@engines
@arrays
def test_array_jacobian_with_loop_dims(case, engine):
    """Every point of a loop has the Jacobian that it has alone."""
    tape, values, wrt = case.tape(), case.values(loop=(2,)), range(len(case.shapes))
    program = find_engine(engine).program(tape, wrt)
    call = program.on(NUMPY)
    (out,), (blocks,) = call(values)
    bars = program.bars(NUMPY, values)[0]
    for point in range(2):
        (alone,), (single,) = call([x[point] for x in values])
        np.testing.assert_array_equal(out[point], alone)
        for block, one, bar, shape in zip(blocks, single, bars, case.shapes, strict=True):
            assert block.shape == (2, *alone.shape, *shape) == bar.shape
            np.testing.assert_array_equal(block[point], one)


# ---- special values -----------------------------------------------------------------------------------------------
#: places where the value is finite and still there is no derivative: (operation, argument) -> where
NO_DERIVATIVE = {
    ("power", 1): lambda out, x, y: (x < 0) & (out != 0),
    ("arctan2", 0): lambda out, y, x: (y == 0) & (x == 0),
    ("arctan2", 1): lambda out, y, x: (y == 0) & (x == 0),
}
#: operations whose derivative may be NaN, though a limit exists, at an infinite argument
UNDEFINED_AT_INFINITY = {"power", "arctan2"}


@dtypes
@each(LOWERED)
def test_special_values_of_the_lowered_form(case, dtype):
    columns = helpers.special_columns(case, dtype)
    (defined,), (computed,) = run(case.tape(dtype), *columns), run(lower(case.tape(dtype)), *columns)
    allowed = 2 * helpers.granted(case, columns, defined, dtype)
    with np.errstate(invalid="ignore"):
        same = (defined == computed) | np.isnan(defined) & np.isnan(computed) | (np.abs(defined - computed) <= allowed)
    wrong = [
        (*(c[i].item() for c in columns), "definition", defined[i], "lowered", computed[i])
        for i in np.flatnonzero(~same)
    ]
    assert not wrong


@pytest.mark.slow
@engines
@dtypes
@each(differentiable_cases())
def test_special_values_of_the_derivative(case, dtype, engine):
    """No exception and no warning; NaN only where an argument or the value is not a number, or where there is no derivative."""
    columns = helpers.special_columns(case, dtype)
    program = find_engine(engine).program(case.tape(dtype), case.numeric)
    (out,), (blocks,) = program.on(NUMPY)(columns)
    program.bars(NUMPY, columns)
    good = np.isfinite(out) & ~np.any([np.isnan(c) for c in columns], axis=0)
    if case.op.name in UNDEFINED_AT_INFINITY:
        good &= ~np.any([np.isinf(c) for c in columns], axis=0)
    if case.op.name == "divide":  # where 1/y overflows, reverse meets 0 · inf at x = 0
        with np.errstate(all="ignore"):
            good &= np.isfinite(1 / columns[1]) | (columns[0] != 0)
    for k, block in zip(case.numeric, blocks, strict=True):
        declared = NO_DERIVATIVE.get((case.op.name, k))
        expected = good & declared(out, *columns) if declared else np.zeros_like(good)
        wrong = [
            (f"by x{k}", *(c[i].item() for c in columns), block[i])
            for i in np.flatnonzero(good & (np.isnan(block) != expected))
        ]
        assert not wrong


# ---- kinks --------------------------------------------------------------------------------------------------------
nan = np.nan
POLICIES = ("default", "left", "right", "nan", "jax")
#: gradients at a kink or jump, one a policy in the order above
KINKS = [
    ("abs(x)", {"x": 0.0}, [0, -1, 1, nan, 1]),
    ("abs(2*x - 2)", {"x": 1.0}, [0, -2, 2, nan, 2]),
    ("relu(x)", {"x": 0.0}, [0, 0, 1, nan, 0]),
    ("maximum(x, y)", {"x": 2.0, "y": 2.0}, [(0.5, 0.5), (0, 1), (1, 0), (nan, nan), (0.5, 0.5)]),
    ("minimum(x, y)", {"x": 2.0, "y": 2.0}, [(0.5, 0.5), (1, 0), (0, 1), (nan, nan), (0.5, 0.5)]),
    ("clip(x, 0, 1)", {"x": 0.0}, [0.5, 0, 1, nan, 0.5]),
    ("clip(x, 0, 1)", {"x": 1.0}, [0.5, 1, 0, nan, 0.5]),
    ("sign(x)", {"x": 0.0}, [0, 0, 0, nan, 0]),
    ("floor(x)", {"x": 3.0}, [0, 0, 0, nan, 0]),
    ("ceil(x)", {"x": -2.0}, [0, 0, 0, nan, 0]),
    ("trunc(x)", {"x": 1.0}, [0, 0, 0, nan, 0]),
    ("round(x)", {"x": 2.5}, [0, 0, 0, nan, 0]),
    ("where(x > 0, x, 0)", {"x": 0.0}, [0, 0, 0, 0, 0]),
    ("where(x >= 0, x, 0)", {"x": 0.0}, [1, 1, 1, 1, 1]),
    ("hypot(x, y)", {"x": 0.0, "y": 0.0}, [(0, 0)] + [None] * 4),
]


@pytest.mark.parametrize("engine", [*RULE_ENGINES, "symbolic"])
@pytest.mark.parametrize(
    ("text", "at", "expected"), KINKS, ids=[f"{t} at {'; '.join(map(str, a.values()))}" for t, a, _ in KINKS]
)
def test_kinks_follow_the_convention(text, at, expected, engine):
    helpers.engine_or_skip(engine)
    for policy, wanted in zip(POLICIES, expected, strict=True):
        if wanted is not None:
            with dk.kinks(policy):
                found = dk.grad(text, engine=engine, machine="numpy")(at)
            np.testing.assert_array_equal([found[v] for v in at], np.atleast_1d(wanted), err_msg=policy)


@engines
@pytest.mark.parametrize("name", ["max", "min"])
def test_kinks_of_extremes_over_an_axis(name, engine):
    f = dk.grad(getattr(dk, name)(dk.symbol("x", 4)), engine=engine, machine="numpy")
    x = np.array([1.0, -1.0, 1.0, -1.0])
    shared = np.where(x == getattr(np, name)(x), 0.5, 0.0)
    np.testing.assert_array_equal(f(x=x)["x"], shared)
    with dk.kinks("jax"):
        np.testing.assert_array_equal(f(x=x)["x"], shared)
    with dk.kinks("nan"):
        np.testing.assert_array_equal(np.isnan(f(x=x)["x"]), shared == 0.5)
        np.testing.assert_array_equal(f(x=np.arange(4.0))["x"], np.eye(4)[3 if name == "max" else 0])


@engines
@pytest.mark.parametrize("text", ["abs(x)", "relu(x)", "maximum(x, 0)", "clip(x, 0, 1)", "sign(x)", "floor(x)"])
def test_second_derivatives_at_kinks_are_zero(text, engine):
    assert dk.hessian(text, wrt="x", engine=engine, machine="numpy")(x=0.0) == 0


def test_kink_policies_nest_and_end():
    f = dk.grad("abs(x)", wrt="x", machine="numpy")
    with dk.kinks("right"):
        with dk.kinks("left"):
            assert f(x=0.0) == -1
        assert f(x=0.0) == 1
    assert f(x=0.0) == 0
    with pytest.raises(ValueError, match=r"unknown convention 'up'.*default, left, right, nan, jax"), dk.kinks("up"):
        pass


# ---- where: the branch not taken ----------------------------------------------------------------------------------
def _shared(x):
    root = np.sqrt(x)
    return np.where(x > 0, root, x) + np.where(x > 0, x * root, 0.0)


#: functions of x with the gradient and second derivative that they have at a place where another branch has none
BRANCHES = [
    ("sqrt at 0", lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.0, 0, 0),
    ("sqrt below 0", lambda x: np.where(x > 0, np.sqrt(x), 3 * x), -1.0, 3, 0),
    ("log", lambda x: np.where(x > 0, np.log(x), x * x), 0.0, 0, 2),
    ("1/x", lambda x: np.where(x == 0, 1.0, np.sin(x) / x), 0.0, 0, 0),
    ("overflow", lambda x: np.where(x < 1, x, np.exp(1e6 * x**2)), 0.5, 1, 0),
    ("inside", lambda x: np.exp(np.where(x > 0, np.log(x), 2 * x)), 0.0, 2, 4),
    ("nested", lambda x: np.where(x > 1, np.log(x), np.where(x > 0, np.sqrt(x), 5 * x)), 0.0, 5, 0),
    ("nested deep", lambda x: np.where(x > 0, np.where(x > 1, x, np.log(np.sqrt(x))), x), 0.0, 1, 0),
    ("shared", _shared, 0.0, 1, 0),
    ("both", lambda x: np.where(x > 0, np.sqrt(x), np.sqrt(-x)), 1.0, 0.5, -0.25),
    ("maximum", lambda x: np.maximum(x, np.sqrt(x) - 1), 0.0, 1, 0),
    ("minimum", lambda x: np.minimum(x, np.sqrt(x) + 1), 0.0, 1, 0),
    ("relu", lambda x: dk.relu(np.sqrt(x) - 1) + x, 0.0, 1, 0),
    ("clip", lambda x: np.clip(np.sqrt(x), 1.0, 2.0) + x, 0.0, 1, 0),
    ("product", lambda x: np.where(x > 0, np.sqrt(x) * np.log(x), 1.0) * x, 0.0, 1, 0),
    ("power", lambda x: np.where(x > 0, x**0.3, 4 * x), 0.0, 4, 0),
    ("through a sum", lambda x: np.where(x > 0, np.sum(np.sqrt(dk.stack([x, x]))), 2 * x), 0.0, 2, 0),
    ("through a movement", lambda x: np.where(x > 0, np.reshape(np.sqrt(x), (1,)), 2 * x)[0], 0.0, 2, 0),
    ("through a broadcast", lambda x: np.sum(np.where(np.array([1.0, 2.0]) > x + 5, np.sqrt(x), x)), 0.0, 2, 0),
    ("through a product", lambda x: np.where(x > 0, np.prod(dk.stack([np.sqrt(x), 2.0 + x])), 2 * x), 0.0, 2, 0),
]


@pytest.mark.parametrize("engine", [*RULE_ENGINES, "symbolic"])
@pytest.mark.parametrize("case", BRANCHES, ids=[c[0] for c in BRANCHES])
def test_where_never_leaks(case, engine):
    _, f, x, slope, curvature = case
    helpers.engine_or_skip(engine)
    f = dk.trace(f, x)
    assert dk.grad(f, wrt="x", engine=engine, machine="numpy")(x=x) == slope
    assert dk.hessian(f, wrt="x", engine=engine, machine="numpy")(x=x) == curvature
    program = find_engine(engine).program(record(f), [0])
    assert np.isfinite(program.bars(NUMPY, [x])[0][0])


@engines
def test_where_never_leaks_into_products_with_vectors(engine):
    def f(x):
        return np.where(x > 0, np.sqrt(x), 3 * x)

    x = np.array([4.0, 0.0, -1.0])
    np.testing.assert_array_equal(dk.jvp(f, (x,), (np.ones(3),), machine="numpy")[1], [0.25, 3, 3])
    np.testing.assert_array_equal(dk.vjp(f, x, machine="numpy")[1](np.ones(3))[0], [0.25, 3, 3])
    np.testing.assert_array_equal(np.diag(dk.jacobian(f, engine=engine, machine="numpy")(x)), [0.25, 3, 3])
    np.testing.assert_array_equal(dk.hvp(lambda x: np.sum(f(x)), (x,), (np.ones(3),), machine="numpy"), [-1 / 32, 0, 0])


def test_a_nan_that_is_the_answer_stays_seen():
    f = dk.grad("where(x > 0, 1, sqrt(x))", wrt="x", machine="numpy")
    assert np.isnan(dk.grad("sqrt(x)", wrt="x", machine="numpy")(x=-1.0))
    assert np.isnan(dk.grad("maximum(sqrt(x), 1)", wrt="x", machine="numpy")(x=-1.0))
    np.testing.assert_array_equal(f(x=np.array([1.0, -2.0])), [0.0, nan])


# ---- rounding bounds ----------------------------------------------------------------------------------------------
#: formulas that cancel, written with a namespace of functions (dk or mpmath)
CANCELLING = {
    "1 - cos x": lambda m, x: 1 - m.cos(x),
    "x - sin x": lambda m, x: x - m.sin(x),
    "(1 + x) - 1": lambda m, x: ((1 + x) - 1) * x,
    "sqrt(1 + x) - 1": lambda m, x: m.sqrt(1 + x) - 1,
    "sqrt(x + 1) - sqrt x": lambda m, x: m.sqrt(x + 1) - m.sqrt(x),
    "exp x - 1 - x": lambda m, x: m.exp(x) - 1 - x,
    "(1 - cos x)/x^2": lambda m, x: (1 - m.cos(x)) / x**2,
    "sin(x)/x - cos x": lambda m, x: m.sin(x) / x - m.cos(x),
    "log(1 + x)/x": lambda m, x: m.log(1 + x) / x,
    "1 - tanh^2": lambda m, x: x * (1 - m.tanh(x) ** 2),
    "exp(x^2) erfc x": lambda m, x: m.exp(x**2) * m.erfc(x),
    "log(cosh x)": lambda m, x: m.log(m.cosh(x)),
    "tan x - sin x": lambda m, x: m.tan(x) - m.sin(x),
    "x^2 - y^2": lambda m, x, y: x**2 - y**2,
    "a d - b c": lambda m, a, b, c, d: (a * d - b * c) / (a * a - b * b),
    "root of a quadratic": lambda m, b, c: (-b + m.sqrt(b * b + 4 * c)) / 2,
    "x^y - 1": lambda m, x, y: x**y - 1,
    "heron": lambda m, a, b: m.sqrt((2 * a + b) * b * (2 * a - b * 1e-7) * b + 1) - 1,
}


@pytest.mark.parametrize("engine", [*RULE_ENGINES, "symbolic"])
@pytest.mark.parametrize("name", CANCELLING)
def test_rounding_bounds_cover_the_error_and_are_not_absurd(name, engine):
    helpers.engine_or_skip(engine)
    f = CANCELLING[name]
    count = f.__code__.co_argcount - 1
    inputs = [variable(f"x{k}") for k in range(count)]
    tape, exact = record(f(dk, *inputs), inputs), partial(f, oracles.mp)
    columns = list(10 ** np.random.default_rng(7).uniform(-6, 0.7, (count, 40)))
    program = find_engine(engine).program(tape, range(count))
    (out,), (blocks,) = program.on(NUMPY)(columns)
    judged = [(out, rounding_bound(tape, columns).entries[0], (0,) * count)]
    for k, (block, bar) in enumerate(zip(blocks, program.bars(NUMPY, columns)[0], strict=True)):
        judged.append((block, bar, tuple(int(j == k) for j in range(count))))
    for computed, bars, orders in judged:
        verdicts, ratios = helpers.Verdicts(), []
        for i, point in enumerate(zip(*columns, strict=True)):
            truth = oracles.derivative(exact, point, orders) if any(orders) else oracles.value(exact, point)
            verdicts.judge(f"{name} {orders}", point, computed[i], truth, bars[i], "float64")
            ratios.append(bars[i] / max(oracles.error(computed[i], truth), 2.0**-53 * abs(float(truth))))
        assert not verdicts.wrong, verdicts.text
        assert np.median(ratios) <= 1000


def test_a_float32_value_on_the_way_widens_the_bar():
    """The output is float64, but sin was computed in float32."""
    x, y = variable("x", dtype="float32"), variable("y")
    tape = record(dk.sin(x) * y, [x, y])
    for engine in RULE_ENGINES:
        program = find_engine(engine).program(tape, [1])
        values = [np.linspace(0.1, 1, 50, dtype="float32"), np.ones(50)]
        _, ((block,),) = program.on(NUMPY)(values)
        ((bar,),) = program.bars(NUMPY, values)
        assert np.all(np.abs(block - np.sin(values[0].astype(float))) <= bar)


# ---- derivatives of higher order, where rules with |x| and its like would show -----------------------------------------
ANALYTIC = [
    op for op in TABLE.values() if op.family == "elementwise" and op.arity == 1 and op.analytic and not op.params
]


@pytest.mark.parametrize("point", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("op", ANALYTIC, ids=lambda op: op.name)
def test_derivatives_up_to_the_fourth_are_those_of_mpmath(op, point):
    """Of functions that have a Taylor series there: at 0 too, where one side's derivative would do for a first order."""
    oracle, f = oracles.ELEMENTWISE[op.name], getattr(dk, op.name)
    try:
        with mp.workdps(60):
            wanted = [mp.diff(oracle, point, order) for order in range(1, 5)]
            found = mp.diff(oracle, point, 4, h=mp.mpf(10) ** -8)
    except (ValueError, ZeroDivisionError, TypeError):
        pytest.skip("not in its domain")
    if not all(mp.isfinite(w) and mp.im(w) == 0 for w in wanted) or abs(found - wanted[-1]) > 1e-3 * (1 + abs(found)):
        pytest.skip("no Taylor series")
    for engine in RULE_ENGINES:
        slope = f
        for order, value in enumerate(wanted, 1):
            slope = dk.grad(slope, engine=engine)
            assert float(slope(point)) == pytest.approx(float(value), rel=1e-9, abs=1e-12), f"order {order} by {engine}"


# ---- the tester is tested -----------------------------------------------------------------------------------------
CORRUPTIONS = {
    "off by 0.05 %": lambda slope: 1.0005 * slope,
    "wrong sign": lambda slope: -slope,
    "zeros": lambda slope: 0 * slope,
    "no derivative": lambda slope: 0,
    "NaN": lambda slope: slope * nan,
    "one ulp in a million": lambda slope: slope * (1 + 1e-10),
}


@engines
@pytest.mark.parametrize("how", [None, *CORRUPTIONS])
@pytest.mark.parametrize("name", ["tanh", "exp", "log", "arctan"])
def test_a_wrong_partial_is_caught(table, name, how, engine):
    right = TABLE[name]
    spoil = CORRUPTIONS.get(how, lambda slope: slope)
    dk.register_op(f"my_{name}", arity=1, numpy=right.numpy, intervals=right.intervals,
                partials=lambda o, out, x: (spoil(right.partials(o, out, x)[0]),))  # fmt: skip
    case = Case(TABLE[f"my_{name}"], {}, oracles.ELEMENTWISE[name])
    verdicts = helpers.slope_verdicts(case, "float64", engine)
    assert bool(verdicts.wrong) == (how is not None), verdicts.text


@engines
def test_a_wrong_partial_by_one_of_two_arguments_is_caught(table, engine):
    dk.register_op("my_product", arity=2, numpy=np.multiply, partials=lambda o, out, x, y: (y, 1.0005 * x))
    verdicts = helpers.slope_verdicts(Case(TABLE["my_product"], {}, oracles.ELEMENTWISE["multiply"]), "float64", engine)
    assert verdicts.wrong and all("by x1" in w for w in verdicts.wrong)


def test_a_wrong_value_and_a_wrong_lowering_are_caught(table):
    dk.register_op("my_tanh", numpy=np.tanh, lower=lambda o, x: o.tanh(x) * 1.0005)
    case = Case(TABLE["my_tanh"], {}, oracles.ELEMENTWISE["tanh"])
    assert not helpers.value_verdicts(case, "float64").wrong
    assert helpers.value_verdicts(case, "float64", lower(case.tape("float64"))).wrong
    assert helpers.value_verdicts(Case(TABLE["tanh"], {}, oracles.ELEMENTWISE["sin"]), "float64").wrong


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_a_wrong_structured_rule_is_caught(table, rule):
    right = TABLE["sum"]
    fields = {f: getattr(right, f) for f in ("numpy", "family", "params", "shape", "jvp", "vjp")}
    rules = {
        "jvp": lambda o, tangents, out, x, **p: 1.0005 * o.sum(tangents[0], **p),
        "vjp": lambda o, adjoint, out, x, **p: tuple(1.0005 * a for a in right.vjp(o, adjoint, out, x, **p)),
    }
    TABLE.add(Op(name="my_sum", arity=1, doc="", **{**fields, rule: rules[rule]}))
    x = variable("x", (3,))
    made = record(RULES.my_sum(x, axes=(-1,), keepdims=False), [x])
    with pytest.raises(AssertionError):
        test_jvp_is_the_transpose_of_vjp(lambda: (made, [np.arange(1.0, 4)], [0]))
