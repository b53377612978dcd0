"""Every record of the op table against oracles that know nothing of it. A new record is covered without a new test."""

from functools import partial
from itertools import combinations_with_replacement, product

import helpers
import helpers_arrays
import helpers_oracles as oracles
import numpy as np
import pytest
from helpers import DTYPES, NUMPY, RULE_ENGINES, Case, differentiable_cases, each, run
from helpers_arrays import array_cases

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.engines.forward import tangent_tape
from diffkit.engines.reverse import adjoint_tape
from diffkit.engines.rounding import rounding_bound
from diffkit.expr.functions import RULES
from diffkit.expr.node import variable
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
    missing = {op.name for op in TABLE.values() if op.family not in ("elementwise", "leaf")} - {c.op for c in array_cases()}
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


@engines
@pytest.mark.parametrize("order", [2, 3])
@each(differentiable_cases())
def test_higher_derivatives(case, order, engine):
    variables, columns, verdicts = case.variables("float64"), helpers.tame(case, (4,)), helpers.Verdicts()
    for wrt in combinations_with_replacement(case.numeric, order):
        f = case.expression()
        for k in wrt:
            f = dk.derivative(f, variables[k], engine=engine)
        tape = record(f, variables)
        computed, allowed = run(tape, *columns)[0], rounding_bound(tape, columns).entries[0]
        orders = [wrt.count(k) for k in range(len(variables))]
        for point, d, e in zip(zip(*columns, strict=True), computed, allowed, strict=True):
            verdicts.judge(f"{case.id} by {wrt}", point, d, oracles.derivative(case.exact, point, orders), e, "float64")
    assert not verdicts.wrong, verdicts.text


# ---- products with vectors: all operations ------------------------------------------------------------------------
def elementwise_arrays(case: Case):
    """The operation on core arrays of different shapes that broadcast, with values well inside its domain."""
    shapes = [(3,)] if case.op.arity == 1 else [(2, 1), (3,), (2, 3)][: case.op.arity]
    inputs = [variable(f"x{k}", s, "bool" if k in case.conditions else "float64") for k, s in enumerate(shapes)]
    values = [column[0, ..., -s[0] :, : s[-1]] if len(s) == 2 else column[0, 0, : s[0]]
              for column, s in zip(helpers.tame(case, (1, 2, 3)), shapes, strict=True)]  # fmt: skip
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
    """The primal alone, shifted both ways on the numpy machine."""
    tape, values, wrt = made()
    v = directions_for(values, wrt)
    _, jv = run(tangent_tape(tape, wrt), *values, *v)
    h, ends = 1e-5, []
    for sign in (1, -1):
        moved = list(values)
        for k, direction in zip(wrt, v, strict=True):
            moved[k] = values[k] + sign * h * direction
        ends.append(run(tape, *moved)[0])
    difference = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(jv, difference, rtol=0, atol=2e-7 * max(1.0, np.abs(difference).max()))


@dtypes
@arrays
def test_array_value(case, dtype):
    values = case.values(dtype)
    (computed,) = run(case.tape(dtype), *values)
    (allowed,) = rounding_bound(case.tape(dtype), values).entries
    truth = helpers_arrays.value_exact(case, values)
    assert computed.dtype == dtype and computed.shape == truth.shape
    assert np.all(np.abs(computed - truth) <= allowed + np.spacing(np.abs(truth)))  # (the truth was rounded to a double)


@dtypes
@arrays
def test_array_derivative(case, dtype):
    values = case.values(dtype)
    v = [d.astype(dtype) for d in directions_for(values, range(len(values)))]
    _, jv = run(tangent_tape(case.tape(dtype), range(len(values))), *values, *v)
    truth = helpers_arrays.tangent_exact(case, values, v)
    assert jv.dtype == dtype
    np.testing.assert_allclose(jv, truth, rtol=0, atol=(1e-13 if dtype == "float64" else 1e-5) * np.abs(truth).max())


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
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1.7e308, -1.7e308])

#: finite value, no NaN given, and still no derivative: (operation, argument) -> where
NO_DERIVATIVE = {
    ("power", 1): lambda x, y: (x < 0) & (y != 0),
    ("arctan2", 0): lambda y, x: (y == 0) & (x == 0),
    ("arctan2", 1): lambda y, x: (y == 0) & (x == 0),
}


def special_columns(case: Case, dtype: str):
    values = SPECIAL if dtype == "float64" else np.where(np.abs(SPECIAL) > 1e300, np.sign(SPECIAL) * 3e38, np.where(np.abs(SPECIAL) == 5e-324, np.sign(SPECIAL) * 1e-45, SPECIAL))
    options = [np.array([True, False]) if k in case.conditions else values.astype(dtype) for k in range(case.op.arity or 0)]
    return [np.array(c) for c in zip(*product(*options), strict=True)]


@dtypes
@each(LOWERED)
def test_special_values_of_the_lowered_form(case, dtype):
    columns = special_columns(case, dtype)
    (defined,), (computed,) = run(case.tape(dtype), *columns), run(lower(case.tape(dtype)), *columns)
    allowed = 2 * helpers.granted(case, columns, defined, dtype)
    with np.errstate(invalid="ignore"):
        same = (defined == computed) | np.isnan(defined) & np.isnan(computed) | (np.abs(defined - computed) <= allowed)
    wrong = [(*(c[i].item() for c in columns), "definition", defined[i], "lowered", computed[i]) for i in np.flatnonzero(~same)]
    assert not wrong


@engines
@dtypes
@each(differentiable_cases())
def test_special_values_of_the_derivative(case, dtype, engine):
    """No exception and no warning; NaN only where an argument or the value is not a number, and where there is no derivative."""
    columns = special_columns(case, dtype)
    program = find_engine(engine).program(case.tape(dtype), case.numeric)
    (out,), (blocks,) = program.on(NUMPY)(columns)
    program.bars(NUMPY, columns)
    good = np.isfinite(out) & ~np.any([np.isnan(c) for c in columns], axis=0)
    for k, block in zip(case.numeric, blocks, strict=True):
        declared = NO_DERIVATIVE.get((case.op.name, k))
        expected = good & declared(*columns) if declared else np.zeros_like(good)
        wrong = np.flatnonzero(good & (np.isnan(block) != expected))
        assert not wrong.size, [(f"by x{k}", *(c[i].item() for c in columns), block[i]) for i in wrong]
