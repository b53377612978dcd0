"""Array programs on the cuda machine, on a GPU or in Numba's simulator of one, against the cpu machine's."""

import threading

import numpy as np
import pytest
from helpers import DTYPES
from helpers_arrays import array_cases
from helpers_cuda import flat

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.errors import ShapeError
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cuda.arrays import CudaArrayExecutable, executable, folding
from diffkit.machines.cuda.package import package, problem
from diffkit.tape import record

missing = problem()
if missing:
    pytest.skip(f"{missing}; NUMBA_ENABLE_CUDASIM=1 runs these tests in a simulator", allow_module_level=True)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # the simulator computes with NumPy's scalars
    pytest.mark.filterwarnings("ignore::Warning:numba"),  # of launches too small to fill a GPU
]
CASES = array_cases()
rng = np.random.default_rng(5)


class Arrays:
    """A machine that runs every tape as an array program."""

    def __init__(self, name, executable):
        self.name, self.compile = name, executable


CPU, CUDA = Arrays("cpu arrays", ArrayExecutable), Arrays("cuda arrays", CudaArrayExecutable)


def agree(found, expected):
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = 1e-5 if a.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def same(f, *values, wrt=None, loops=()):
    """The value and the gradient on both machines; loops: shapes that the first argument is given in front."""
    inputs = [dk.symbol(f"x{k}", shape=np.shape(v), dtype=str(np.asarray(v).dtype)) for k, v in enumerate(values)]
    program = find_engine("reverse").program(record(f(*inputs), inputs), range(len(values)) if wrt is None else wrt)
    runs = [program.on(m) for m in (CUDA, CPU)]
    for loop in ((), *loops):
        given = [rng.uniform(0.9, 1.1, (*loop, *np.shape(values[0]))) * values[0], *values[1:]]
        agree(*(flat(run(given)) for run in runs))


# ---- every operation ----------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_value(case, dtype):
    tape = case.tape(dtype)
    for loop in ((), (2, 5)):
        values = case.values(dtype, loop)
        agree(CUDA.compile(tape)(values), CPU.compile(tape)(values))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_derivative(case):
    program = find_engine("reverse").program(case.tape(), range(len(case.shapes)))
    for loop in ((), (9,)):
        agree(*(flat(program.on(m)(case.values(loop=loop))) for m in (CUDA, CPU)))


@pytest.mark.parametrize("case", {c.op: c for c in reversed(CASES)}.values(), ids=lambda c: c.op)
def test_operation(case):
    program = find_engine("reverse").program(case.tape(), range(len(case.shapes)))
    for loop in ((), (3,)):
        agree(*(flat(program.on(m)(case.values(loop=loop))) for m in (CUDA, CPU)))


# ---- reductions ---------------------------------------------------------------------------------------------------
@pytest.fixture
def small_chunks(monkeypatch):
    """Folds in several launches of several blocks."""
    monkeypatch.setattr(folding, "FEW_TERMS", 8)
    monkeypatch.setattr(folding, "CHUNK", 16)


REDUCTIONS = {
    "sum": lambda x: dk.sum(x, axis=0), "of each": lambda x: dk.sum(dk.sum(x * x, axis=1)), "max": lambda x: dk.max(x, axis=0),
    "prod": lambda x: dk.prod(x, axis=1), "all": dk.sum,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_folds_in_blocks(name, dtype, small_chunks):
    x = dk.symbol("x", shape=(150, 3), dtype=dtype)
    for f in (REDUCTIONS[name](x), REDUCTIONS[name](dk.transpose(x))):
        tape, values = record(f, [x]), [rng.uniform(0.9, 1.1, (150, 3)).astype(dtype)]
        found = CUDA.compile(tape)(values)
        agree(found, CPU.compile(tape)(values))
        again = CUDA.compile(tape)(values)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(found, again, strict=True))


def test_folds_of_what_is_not_finite(small_chunks):
    x = dk.symbol("x", shape=(40,))
    run = CUDA.compile(record([dk.max(x), dk.min(x), dk.sum(x)], [x]))
    for value in (np.nan, np.inf, -np.inf):
        values = np.ones(40)
        values[33] = value
        for found, expected in zip(run([values]), (np.max(values), np.min(values), np.sum(values)), strict=True):
            np.testing.assert_equal(found, expected)


# ---- products -----------------------------------------------------------------------------------------------------
def test_products_in_tiles():
    a, b = rng.standard_normal((5, 40)), rng.standard_normal((40, 6))
    same(lambda x, y: dk.sum(dk.sin(x @ y)), a, b)
    same(lambda x, y: dk.sum(dk.sin(dk.transpose(x) @ y)), a.T.astype("f4").copy(), b.astype("f4"))


# ---- models -------------------------------------------------------------------------------------------------------
def network(count):
    def loss(w, b, v, x, y):
        z = dk.tanh(x @ w + b) @ v
        return dk.mean(dk.logsumexp(z, axis=-1) - dk.sum(z * y, axis=-1))

    parameters = [rng.standard_normal(s) for s in ((4, 5), (5,), (5, 3))]
    return loss, [*parameters, rng.standard_normal((count, 4)), np.eye(3)[rng.integers(0, 3, count)]]


def test_network():
    loss, values = network(24)
    same(loss, *values, wrt=range(3), loops=((3,),))


def test_lanes_in_blocks(monkeypatch):
    """Registers for some of the lanes only: totals are added up from block to block."""
    monkeypatch.setattr(executable, "REGISTER_BYTES", 16384)
    loss, values = network(300)
    same(loss, *values, wrt=range(3))


def test_mixture():
    def likelihood(a, mu, s, x):
        d = (x[:, None, :] - mu[None]) * dk.exp(s)[None]
        return dk.sum(dk.logsumexp(a + dk.sum(s, axis=1) - 0.5 * dk.sum(d * d, axis=2), axis=1))

    values = [rng.standard_normal(s) for s in ((4,), (4, 3), (4, 3), (60, 3))]
    same(likelihood, *values, wrt=range(3), loops=((2,),))


def cell(w, u, b, xs, h):
    def step(carry, x):
        h, s = carry
        z = w @ x + u @ h + b
        s = dk.sigmoid(z[2:4]) * s + dk.sigmoid(z[:2]) * dk.tanh(z[6:])
        h = dk.sigmoid(z[4:6]) * dk.tanh(s)
        return (h, s), dk.sum(h * h)

    (last, _), ys = dk.scan(step, (h, h), xs)
    return dk.sum(ys) + dk.sum(last)


def test_loop():
    values = [rng.standard_normal(s) / 3 for s in ((8, 3), (8, 2), (8,), (7, 3), (2,))]
    same(cell, *values, wrt=range(4), loops=((2,),))


def test_host_operation():
    same(lambda a, b: dk.sum(dk.solve(a, b)), rng.standard_normal((3, 3)) + 4 * np.eye(3), np.ones(3), loops=((3,),))


# ---- indices ------------------------------------------------------------------------------------------------------
def test_indices_that_are_values():
    index = rng.integers(-20, 20, 50)
    same(lambda x, i: dk.sum(x[i] ** 2), rng.standard_normal((20, 3)), index, wrt=[0], loops=((2,),))


def test_index_out_of_range():
    x, i = dk.symbol("x", shape=(4, 2)), dk.symbol("i", shape=(3,), dtype="int64")
    tape = record(dk.sum(x[i]), [x, i])
    run = CUDA.compile(tape)
    given = np.arange(8.0).reshape(4, 2)
    for bad in ([0, 7, -9], [-5, 0, 0]):
        messages = []
        for compiled in (run, CPU.compile(tape)):
            with pytest.raises(ShapeError) as error:
                compiled([given, np.array(bad)])
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    agree(run([given, np.array([0, 3, -1])]), [np.float64(27.0)])


# ---- calls --------------------------------------------------------------------------------------------------------
def test_device_arrays():
    """In: used as they lie, of another dtype too. Out: device arrays, or those given."""
    x, y = dk.symbol("x", shape=(5, 4)), dk.symbol("y", shape=(4,))
    tape = record([x * y, dk.sum(x)], [x, y])
    cuda = package().cuda
    a, b = rng.standard_normal((3, 5, 4)), np.arange(4)
    expected = CPU.compile(tape)([a, b])
    found = CUDA.compile(tape)([cuda.to_device(a), cuda.to_device(b)])
    assert all(hasattr(f, "copy_to_host") for f in found)
    agree([f.copy_to_host() for f in found], expected)
    out = [cuda.device_array((3, 5, 4)), cuda.device_array((3,))]
    given = CUDA.compile(tape)([a, b], out)
    assert given[0] is out[0] and given[1] is out[1]
    agree([f.copy_to_host() for f in out], expected)


def test_device_arrays_in_a_loop():
    values = [rng.standard_normal(s) / 3 for s in ((2, 8, 3), (8, 2), (8,), (3, 3), (2,))]
    inputs = [dk.symbol(f"x{k}", shape=v.shape[k == 0 :]) for k, v in enumerate(values)]
    tape = record(cell(*inputs), inputs)
    (found,) = CUDA.compile(tape)([package().cuda.to_device(values[0]), *values[1:]])
    agree([found.copy_to_host()], CPU.compile(tape)(values))


def test_out_and_no_points():
    x = dk.symbol("x", shape=(3,))
    tape = record([x + 1, dk.sum(x)], [x])
    out = [np.zeros((2, 3)), np.zeros(2)]
    values = rng.standard_normal((2, 3))
    given = CUDA.compile(tape)([values], out)
    assert all(a is b for a, b in zip(given, out, strict=True))
    agree(out, CPU.compile(tape)([values]))
    assert [f.shape for f in CUDA.compile(tape)([np.empty((0, 3))])] == [(0, 3), (0,)]
    with pytest.raises(ShapeError):
        CUDA.compile(tape)([values], [np.zeros((2, 2)), np.zeros(2)])


def test_outputs_that_are_inputs_or_constants():
    x = dk.symbol("x", shape=(2, 3))
    tape = record([x, dk.transpose(x), x[:, ::-1], x * 0 + 2.0, x > 0], [x])
    for loop in ((), (4,)):
        values = [rng.standard_normal((*loop, 2, 3))]
        agree(CUDA.compile(tape)(values), CPU.compile(tape)(values))


@pytest.mark.skipif(package().simulated, reason="the simulator runs one launch at a time")
def test_threads():
    x = dk.symbol("x", shape=(6,))
    run = CUDA.compile(record(dk.sum(dk.exp(x)), [x]))
    found = {}
    given = [rng.standard_normal((3, 6)) for _ in range(4)]
    together = [threading.Thread(target=lambda k=k: found.update({k: run([given[k]])[0]})) for k in range(4)]
    for t in together:
        t.start()
    for t in together:
        t.join()
    agree([found[k] for k in range(4)], [np.exp(g).sum(axis=1) for g in given])
