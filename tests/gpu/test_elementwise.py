"""Tapes whose arrays are small on the cuda machine: the very bits of the cpu machine, on a GPU or in Numba's simulator of one."""

import os

import helpers
import numpy as np
import pytest
from helpers import DTYPES, each
from helpers_cuda import CPU, CUDA, FEW_THREADS, difference, every_point, flat, is_small, small_array_cases
from helpers_random import expressions, given_to, points
from hypothesis import given, settings

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.errors import ShapeError
from diffkit.machines.cuda import elementwise, executable
from diffkit.machines.cuda.package import package, problem
from diffkit.report.corpus import Formula, read_corpus
from diffkit.tape import record

missing = problem()
if missing:
    pytest.skip(f"{missing}; NUMBA_ENABLE_CUDASIM=1 runs these tests in a simulator", allow_module_level=True)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # the simulator computes with NumPy's scalars
    pytest.mark.filterwarnings("ignore::Warning:numba"),  # of launches too small to fill a GPU
]
dtypes = pytest.mark.parametrize("dtype", DTYPES)
engines = pytest.mark.parametrize("engine", helpers.RULE_ENGINES)
rng = np.random.default_rng(5)


@pytest.fixture(autouse=True, scope="module")
def few_threads():
    patch = pytest.MonkeyPatch()
    if package().simulated:
        patch.setattr(executable, "BLOCK", FEW_THREADS)
    yield
    patch.undo()


def same(tape, *values):
    """The answer of both machines."""
    found, expected = CUDA.compile(tape)(list(values)), CPU.compile(tape)(list(values))
    wrong = difference(found, expected)
    assert not wrong, wrong
    return expected


def same_derivative(program, values):
    wrong = difference(*(flat(program.on(m)(list(values))) for m in (CUDA, CPU)))
    assert not wrong, wrong


# ---- every operation ----------------------------------------------------------------------------------------------
@dtypes
@each(helpers.cases())
def test_value(case, dtype):
    same(case.tape(dtype), *every_point(case, dtype))


@dtypes
@engines
@each(helpers.differentiable_cases())
def test_derivative(case, engine, dtype):
    same_derivative(find_engine(engine).program(case.tape(dtype), case.numeric), every_point(case, dtype))


@each(helpers.differentiable_cases())
def test_second_derivative(case):
    """Which has other operations than the first: forward over reverse."""
    program = find_engine("reverse").program(case.tape("float64"), case.numeric)
    columns = [c[:: max(1, len(c) // 40)] for c in every_point(case, "float64")]
    same_derivative(find_engine("forward").program(program.tape, case.numeric), columns)


@dtypes
@pytest.mark.parametrize("case", small_array_cases(), ids=lambda c: c.id)
def test_array_operation(case, dtype):
    for loop in ((), (3,), (2, 5)):
        same(case.tape(dtype), *case.values(dtype, loop))


@engines
@pytest.mark.parametrize("case", small_array_cases(), ids=lambda c: c.id)
def test_array_derivative(case, engine):
    program = find_engine(engine).program(case.tape(), range(len(case.shapes)))
    if is_small(program.tape):
        same_derivative(program, case.values(loop=(3,)))


# ---- loop dims, inputs, outputs -----------------------------------------------------------------------------------
LOOPS = [
    ((), ()), ((1,), ()), ((1,), (1,)), ((5,), ()), ((5,), (1,)), ((5,), (5,)), ((4, 1), (3,)), ((4, 1), (1, 3)), ((2, 3, 4), (4,)),
    ((2, 1, 4), (3, 1)), ((0,), ()), ((0,), (1,)), ((3, 0), (3, 1)), ((1, 1), ()), ((FEW_THREADS * 2 + 1,), ()), ((31,), (31,)),
]  # fmt: skip


@dtypes
@pytest.mark.parametrize("loops", LOOPS, ids=str)
def test_loop_dims(loops, dtype):
    x, y = dk.symbol("x", dtype=dtype), dk.symbol("y", dtype=dtype)
    value = dk.exp(x) * dk.sin(y) + x / y
    program = find_engine("reverse").program(record(value, [x, y]), [0, 1])
    same_derivative(program, [rng.uniform(0.5, 2, loop).astype(dtype) for loop in loops])


@pytest.mark.parametrize("loops", LOOPS, ids=str)
def test_loop_dims_of_arrays(loops):
    a, b = dk.symbol("a", shape=(2, 3)), dk.symbol("b", shape=(3, 2))
    program = find_engine("reverse").program(record(dk.sum(dk.tanh(a @ b)), [a, b]), [0, 1])
    same_derivative(program, [rng.standard_normal((*loop, *x.shape)) for loop, x in zip(loops, (a, b), strict=True)])


def test_inputs_that_are_not_contiguous():
    x, y = dk.symbol("x"), dk.symbol("y", shape=(3,))
    tape = record(dk.sum(x * y), [x, y])
    same(tape, np.arange(12.0)[::-2], np.arange(36.0).reshape(3, 12).T[::2])


def test_integers_and_conditions():
    n, c, x = dk.symbol("n", dtype="int64"), dk.symbol("c", dtype="bool"), dk.symbol("x")
    value = dk.where(c, x**2 * n, dk.where(n > 2, dk.floor(x) + n, -x))
    tape = record([value, n * n, c & (x > 0), dk.sign(x)], [n, c, x])
    values = np.arange(-3, 6), np.array([True, False, True] * 3), np.linspace(-2, 2, 9)
    same(tape, *values)
    same(tape, 3, True, 0.5)
    same(tape, 3, values[1], values[2])


def test_several_outputs_of_several_dtypes():
    x, y = dk.symbol("x", dtype="float32"), dk.symbol("y")
    tape = record([x + 1, x * y, dk.stack([x, x * x]), x > y, x, y.astype("float32"), y > 0], [x, y])
    same(tape, np.linspace(-1, 1, 7, dtype="float32"), np.linspace(2, -2, 7))
    same(tape, np.float32(0.1), np.linspace(2, -2, 7))


def test_outputs_that_are_inputs_or_constants():
    x, y = dk.symbol("x"), dk.symbol("y", shape=(2,))
    tape = record([x, y, dk.reshape(y, (2, 1)), x * 0 + 3.0, dk.broadcast_to(x, (3,))], [x, y])
    same(tape, np.array([1.0, -0.0, np.nan]), np.array([[1.0, 2.0]]))


def test_no_elements():
    x = dk.symbol("x", shape=(0, 2))
    tape = record([dk.sum(x), dk.prod(x, axis=0), x * 2], [x])
    same(tape, np.empty((0, 2)))
    same(tape, np.empty((3, 0, 2)))


def test_out():
    x = dk.symbol("x")
    tape = record([dk.sin(x), x * x], [x])
    points = np.linspace(0, 1, 6).reshape(2, 3)
    expected = CPU.compile(tape)([points])
    out = [np.zeros((2, 3)), np.zeros((3, 2)).T]
    given = CUDA.compile(tape)([points], out)
    assert all(a is b for a, b in zip(given, out, strict=True))
    assert not difference(out, expected)
    overlapping = points.copy()
    CUDA.compile(tape)([overlapping], [overlapping, np.zeros((2, 3))])
    assert not difference([overlapping], expected[:1])
    with pytest.raises(ShapeError):
        CUDA.compile(tape)([points], [np.zeros((2, 2)), np.zeros((2, 3))])


# ---- arrays on the device ------------------------------------------------------------------------------------------
def on_device(array):
    return package().cuda.to_device(np.ascontiguousarray(array))


@pytest.mark.parametrize("large", [False, True])
def test_buffers_of_numpy_are_filled_beside_arguments_on_the_device(large):
    """Of a tape as one kernel, and of an array program."""
    x = dk.symbol("x", shape=(70,)) if large else dk.symbol("x")
    tape = record([dk.sin(x), x * x], [x])
    points = np.linspace(0, 1, 140).reshape(2, 70) if large else np.linspace(0, 1, 6)
    expected = CPU.compile(tape)([points])
    first, second = np.zeros(points.shape), on_device(np.zeros(points.shape))
    CUDA.compile(tape)([on_device(points)], [first, second])
    assert not difference([first, second.copy_to_host()], expected)


@pytest.mark.parametrize("longest", [executable.LONGEST, 0])
def test_buffers_may_be_arguments_on_the_device(longest, monkeypatch):
    monkeypatch.setattr(executable, "LONGEST", longest)
    x, y = dk.symbols("x y")
    tape = record([dk.sin(x) * y, x * x + y], [x, y])
    points, others = np.linspace(0, 1, 40), np.linspace(1, 3, 40)
    expected = CPU.compile(tape)([points, others])
    given, other = on_device(points), on_device(others)
    CUDA.compile(tape)([given, other], [other, given])
    assert not difference([other.copy_to_host(), given.copy_to_host()], expected)
    line = on_device(np.concatenate([points, [0.0]]))  # written one element behind where it is read
    CUDA.compile(tape)([line[:-1], on_device(others)], [line[1:], on_device(others)])
    assert not difference([line.copy_to_host()[1:]], expected[:1])


@pytest.mark.skipif(not package().simulated, reason="Numba's arrays on a GPU have no views that run backwards")
def test_arrays_on_the_device_may_run_backwards():
    x, y = dk.symbols("x y")
    tape = record([x * y, x + y], [x, y])
    points = np.arange(30.0).reshape(5, 6)
    for cut in (np.s_[::-1], np.s_[:, ::-2], np.s_[::-1, ::2], np.s_[1:4, ::-1]):
        values = points[cut], points[cut][:1] + 0.5
        found = CUDA.compile(tape)([on_device(points)[cut], values[1]])
        assert not difference([f.copy_to_host() for f in found], CPU.compile(tape)(list(values)))


@pytest.mark.parametrize("text", ["sin(x)*exp(y) + tanh(x*y)", "where(x > 0, x*y, y)^2", "x + 1", "erf(x) + lgamma(y)"])
def test_long_tapes_are_interpreted_on_the_device(text, monkeypatch):
    """To the same bits; with one value of y for all points, too."""
    monkeypatch.setattr(executable, "LONGEST", 0)
    f = dk.parse(text)
    program = find_engine("reverse").program(record(f, [dk.symbol(v) for v in f.variables]), range(len(f.variables)))
    columns = {"x": np.linspace(-2, 2, 2 * FEW_THREADS + 3), "y": np.float64(1.25)}
    same_derivative(program, [columns[v] for v in f.variables])


@pytest.mark.parametrize("each", [1, 2, 3, 4])
def test_points_that_a_thread_takes_at_a_time(each, monkeypatch):
    """However many are left for its last turn; and results may lie where arguments were."""
    monkeypatch.setattr(elementwise, "points_each", lambda *_: each)
    x, y, a = dk.symbol("x"), dk.symbol("y", dtype="float32"), dk.symbol("a", shape=(2,))
    tape = record([dk.sin(x) * y, dk.sum(a) + x, a * y, x > y], [x, y, a])
    run = CUDA.compile(tape)
    for n in (1, 2, FEW_THREADS + 1, 4 * FEW_THREADS - 1, 8 * FEW_THREADS + 5):
        values = [rng.standard_normal(n), rng.standard_normal(n).astype("float32"), rng.standard_normal((n, 2))]
        for some in (values, [np.array(0.5), *values[1:]], [*values[:2], np.array([1.0, 2.0])]):
            assert not difference(run(some), CPU.compile(tape)(some))
    x, y = dk.symbols("x y")
    tape = record([x + y, x * y], [x, y])
    points = np.linspace(0, 1, 2 * FEW_THREADS + 3)
    expected = CPU.compile(tape)([points, points[::-1].copy()])
    first, second = on_device(points), on_device(points[::-1])
    CUDA.compile(tape)([first, second], [first, second])
    assert not difference([first.copy_to_host(), second.copy_to_host()], expected)


def test_the_same_kernel_serves_any_number_of_points():
    x = dk.symbol("x")
    run = CUDA.compile(record([dk.tan(x), dk.erf(x)], [x]))
    points = np.linspace(-3, 3, 40)
    whole = run([points])
    for n in (1, 2, FEW_THREADS, 4 * FEW_THREADS + 1, 40):
        assert not difference(run([points[:n]]), [w[:n] for w in whole])


# ---- formulas -----------------------------------------------------------------------------------------------------
FORMULAS = [f for f in read_corpus() if isinstance(f, Formula)]


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.name)
def test_formula(formula):
    """Value and gradient."""
    at = formula.points(5)
    for engine in helpers.RULE_ENGINES:
        f = dk.parse(formula.text)
        tape = record(f, [dk.symbol(v) for v in f.variables])
        program = find_engine(engine).program(tape, range(len(f.variables)))
        same_derivative(program, [at[v] for v in f.variables])


@given(f=expressions(), at=points())
@settings(max_examples=int(os.environ.get("DIFFKIT_EXAMPLES", "150")))
def test_random_expressions(f, at):
    tape = record(f, [dk.symbol(v) for v in f.variables])
    same_derivative(find_engine("reverse").program(tape, range(len(f.variables))), given_to(f, at))
