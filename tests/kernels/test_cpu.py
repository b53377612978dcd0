"""The cpu machine against the oracles and the `numpy` machine: every operation, every block size, any number of threads."""

import multiprocessing
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import helpers
import numpy as np
import pytest
from helpers import DTYPES, NUMPY, differentiable_cases, each, run
from helpers_arrays import array_cases
from helpers_random import expressions, given_to, points
from hypothesis import given, settings

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.engines.rounding import rounding_bound
from diffkit.errors import ArgumentError, OpError, ShapeError
from diffkit.expr.node import constant, make
from diffkit.machines import machine as find_machine
from diffkit.machines.cpu import library, set_threads, thread_count
from diffkit.ops import Op
from diffkit.tape import record
from diffkit.tape.lower import lower

pytestmark = pytest.mark.filterwarnings("error")

CPU = find_machine("cpu")
dtypes = pytest.mark.parametrize("dtype", DTYPES)
#: around the edges of vectors, blocks (16 to 512 lanes) and chunks
SIZES = (1, 15, 16, 17, 511, 512, 513, 5000)


def bits(arrays):
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


def on_cpu(tape, *values):
    return run(tape, *values, machine=CPU)


@pytest.fixture(autouse=True)
def threads():
    yield
    set_threads(None)


# ---- every operation ----------------------------------------------------------------------------------------------
@dtypes
@each(helpers.cases())
def test_value(case, dtype):
    verdicts = helpers.value_verdicts(case, dtype, machine=CPU)
    assert not verdicts.wrong, verdicts.text
    assert verdicts.judged >= 16


@dtypes
@each(differentiable_cases())
def test_partials(case, dtype):
    verdicts = helpers.slope_verdicts(case, dtype, "reverse", machine=CPU)
    assert not verdicts.wrong, verdicts.text


@dtypes
@each(helpers.cases())
def test_special_values(case, dtype):
    """As the lowered form on the numpy machine has them: the kernel of every primitive follows IEEE."""
    columns = helpers.special_columns(case, dtype)
    (expected,), (computed,) = run(lower(case.tape(dtype)), *columns), on_cpu(case.tape(dtype), *columns)
    if computed.dtype == bool:
        np.testing.assert_array_equal(computed, expected)
        return
    allowed = 2 * helpers.granted(case, columns, expected, dtype)
    with np.errstate(invalid="ignore"):
        same = (
            (expected == computed) | np.isnan(expected) & np.isnan(computed) | (np.abs(expected - computed) <= allowed)
        )
    assert not [(*(c[i].item() for c in columns), expected[i], computed[i]) for i in np.flatnonzero(~same)]


@each(helpers.cases())
def test_bits_do_not_depend_on_the_size_of_the_batch(case):
    """A point has the same bits alone, at any place in a block, and in any batch."""
    tape = case.tape("float64")
    columns = [np.resize(c, 5000) for c in case.columns("float64")]
    (whole,) = on_cpu(tape, *columns)
    for n in SIZES:
        (part,) = on_cpu(tape, *(c[:n] for c in columns))
        assert part.tobytes() == whole[:n].tobytes(), n
    for k in (0, 3, 4999):
        (alone,) = on_cpu(tape, *(c[k] for c in columns))
        assert alone.shape == () and alone.tobytes() == whole[k].tobytes()


@dtypes
@pytest.mark.parametrize("case", array_cases(), ids=lambda c: c.id)
def test_array_operation(case, dtype):
    for loop in ((), (3,), (2, 17)):
        tape, values = case.tape(dtype), case.values(dtype, loop)
        (computed,), (expected,), (bar,) = (
            on_cpu(tape, *values),
            run(tape, *values),
            rounding_bound(tape, values).entries,
        )
        assert computed.dtype == dtype == expected.dtype and computed.shape == expected.shape
        assert np.all(np.abs(computed - expected) <= 2 * bar)


@pytest.mark.slow
@pytest.mark.parametrize("engine", helpers.RULE_ENGINES)
@pytest.mark.parametrize("case", array_cases(), ids=lambda c: c.id)
def test_array_derivative(case, engine):
    program = find_engine(engine).program(case.tape(), range(len(case.shapes)))
    values = case.values(loop=(4,))
    for computed, expected, bar in zip(
        *(program.on(m)(values)[1][0] for m in (CPU, NUMPY)), program.bars(NUMPY, values)[0], strict=True
    ):
        assert computed.shape == expected.shape and np.all(np.abs(computed - expected) <= 2 * bar)


# ---- dtypes -------------------------------------------------------------------------------------------------------
s, d = dk.symbol("s", 3, "float32"), dk.symbol("d", 3)
i, b = dk.symbol("i", 3, "int64"), dk.symbol("b", 3, "bool")
one = dk.symbol("one", dtype="float32")
GIVEN = {
    "s": np.array([0.1, -2, 3], "f4"),
    "d": np.array([0.1, 0, -5]),
    "i": np.array([3, -1, 0]),
    "b": np.array([True, False, True]),
    "one": np.float32(0.3),
}
MIXED = [
    s + d, s * i, i + i, dk.where(b, s, d), dk.where(d, s, 0.0), dk.maximum(s, d), s < d, i == d, dk.equal(b, True),
    dk.logical_and(b, d), dk.logical_not(d),
    dk.logical_or(i, s), dk.concatenate([s, d]), dk.concatenate([d, s, i]), dk.concatenate([b, d]),
    dk.stack([s, s * 2]), dk.stack([s, d]),
    dk.stack([one, 1.0]), dk.stack([1.0, one]), dk.stack([b, b]), s @ d, d @ s, s @ s, i @ d, dk.sum(b), dk.mean(b),
    dk.sum(i), dk.max(b), dk.prod(i), dk.sum(s),
    dk.norm(s), dk.logsumexp(s), i[::-1], b[1:], s[[0, 0]], dk.sum(dk.where(b, s, 2)), dk.relu(s), dk.step(s, 0),
    dk.step(s, d), dk.sign(s),
    dk.broadcast_to(one, (2,)) * d[:2], constant(2.0) * 3, constant(np.float32(2)) + s, i, b, s, d**i, s**2, 2**s,
    abs(i), -b, dk.exp(b), i / 2, dk.sigmoid(i),
]  # fmt: skip


@pytest.mark.parametrize("f", MIXED, ids=[f"{k} {f}" for k, f in enumerate(MIXED)])
def test_dtypes_meet_as_on_the_numpy_machine(f):
    values = [GIVEN[n] for n in f.variables]
    (computed,), (expected,) = on_cpu(record(f), *values), run(record(f), *values)
    assert computed.dtype == expected.dtype and computed.shape == expected.shape
    np.testing.assert_allclose(
        computed, expected, rtol=1e-15 if expected.dtype == "float64" and not {"s", "one"} & set(f.variables) else 1e-6
    )


def test_float32_sums_accumulate_in_float64():
    n = 5000
    values = np.full(n, 0.1, "f4")
    for build in (dk.sum, lambda x: dk.mean(x) * n):
        (total,) = on_cpu(record(build(dk.symbol("t", n, "float32"))), values)
        assert total.dtype == "float32" and abs(total - n * np.float64(np.float32(0.1))) <= 2 * np.spacing(
            np.float32(500)
        )


@pytest.mark.parametrize("engine", helpers.RULE_ENGINES)
def test_gradients_of_float32_are_float32(engine):
    f = dk.sum(dk.relu(s) + dk.abs(s) * dk.sigmoid(s) + dk.maximum(s, 1.0))
    found = dk.grad(f, engine=engine)(s=GIVEN["s"])["s"]
    expected = dk.grad(f, engine=engine, machine="numpy")(s=GIVEN["s"])["s"]
    assert found.dtype == expected.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_large_integers_are_exact():
    f = dk.symbol("n", dtype="int64")
    large = np.array([2**53 - 1, -(2**53) + 1, 0])
    np.testing.assert_array_equal(on_cpu(record(f), large)[0], large)


# ---- blocks, loop dims and threads --------------------------------------------------------------------------------
x, y = dk.symbols("x y")
W, v = dk.symbol("W", (4, 3)), dk.symbol("v", 3)
BLACK_SCHOLES = dk.parse(
    "x*erfc(-(log(x/y) + 0.52)/0.8)/2 - y*exp(-0.02)*erfc(-(log(x/y) - 0.12)/0.8)/2 + sin(x)*tanh(y) - x**3*cbrt(y)"
)
LAYER = dk.sum(dk.tanh(W @ v) ** 2) + dk.logsumexp(W @ v) + dk.norm(v)


def _inputs(tape, loop, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.5, 2.0, (*loop, *tape.kinds[k].shape)) for k in tape.inputs]


TAPES = {
    "value": record(BLACK_SCHOLES), "gradient": dk.tape(BLACK_SCHOLES, engine="reverse"),
    "forward": dk.tape(BLACK_SCHOLES, engine="forward"),
    "layer": dk.tape(LAYER, engine="reverse"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAPES)
def test_bits_at_every_size_and_thread_count(name):
    tape = TAPES[name]
    executable, n = CPU.compile(tape), 60_000
    values = _inputs(tape, (n,))
    set_threads(1)
    whole = executable(values)
    for threads in (2, 3):
        set_threads(threads)
        assert bits(executable(values)) == bits(whole)
    for size in (*SIZES, 4095, 4096, 4097, 33_333):
        assert bits(executable([a[:size] for a in values])) == bits([a[:size] for a in whole]), size
    assert bits(executable([a[7] for a in values])) == bits([a[7] for a in whole])
    numpy = run(tape, *(a[:50] for a in values))
    for a, e in zip(whole, numpy, strict=True):
        np.testing.assert_allclose(a[:50], e, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("loops", [((), (5,)), ((5,), ()), ((4, 1), (3,)), ((2, 1, 3), (4, 1)), ((1,), (600,)),
                                   ((1, 1), ()), ((0,), ()), ((3, 0), (1, 1)), ((1,), (1,))],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("f", [BLACK_SCHOLES, LAYER], ids=["scalars", "arrays"])
def test_loop_dims_broadcast_as_on_the_numpy_machine(f, loops):
    tape = dk.tape(f, engine="reverse")
    rng = np.random.default_rng(1)
    values = [rng.uniform(0.5, 2, (*loop, *tape.kinds[k].shape)) for loop, k in zip(loops, tape.inputs, strict=True)]
    for computed, expected in zip(on_cpu(tape, *values), run(tape, *values), strict=True):
        assert computed.shape == expected.shape
        np.testing.assert_allclose(computed, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "layout", ["strided", "reversed", "Fortran", "read-only", "broadcast", "float32", "integers", "big-endian", "list"]
)
def test_inputs_of_any_layout(layout):
    base = np.random.default_rng(2).uniform(0.5, 2, (40, 30))
    given_array = {
        "strided": base[::2, ::3], "reversed": base[:20, 9::-1], "Fortran": np.asfortranarray(base[:20, :10]),
        "read-only": base[:20, :10].copy(),
        "broadcast": np.broadcast_to(base[0, :10], (20, 10)), "float32": base[:20, :10].astype("f4"),
        "integers": np.arange(1, 201).reshape(20, 10),
        "big-endian": base[:20, :10].astype(">f8"), "list": base[:20, :10].tolist(),
    }[layout]  # fmt: skip
    if layout == "read-only":
        given_array.flags.writeable = False
    before, plain = np.array(given_array, copy=True), np.array(given_array, float)
    tape = record(BLACK_SCHOLES)
    assert bits(on_cpu(tape, given_array, 1.5)) == bits(on_cpu(tape, plain, 1.5))
    np.testing.assert_array_equal(np.array(given_array), before)


def test_many_registers_shrink_the_block():
    f = dk.symbol("long", 3000)
    tape = record(dk.sum(dk.sin(f) * f[::-1]))
    executable = CPU.compile(tape)
    values = np.random.default_rng(3).standard_normal((37, 3000))
    np.testing.assert_allclose(
        executable([values])[0], np.sum(np.sin(values) * values[:, ::-1], axis=1), rtol=1e-11, atol=1e-11
    )
    assert executable.register_bytes < 64 << 20


def test_a_long_tape():
    f = x
    for k in range(20_000):
        f = dk.sin(f) + k % 3
    np.testing.assert_allclose(
        on_cpu(record(f), np.linspace(0, 1, 7))[0], run(record(f), np.linspace(0, 1, 7))[0], rtol=1e-9
    )


def test_outputs_that_are_inputs_constants_or_repeated():
    tape = record([x, constant(2.5), dk.sin(x), dk.sin(x), v])
    values = [np.linspace(0, 1, 600), np.ones(3)]
    for computed, expected in zip(on_cpu(tape, *values), run(tape, *values), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-15)
        computed[...] = -1  # a result is the caller's own
    np.testing.assert_array_equal(values[0], np.linspace(0, 1, 600))


def test_an_executable_keeps_no_state():
    executable = CPU.compile(TAPES["gradient"])
    first = [executable(_inputs(TAPES["gradient"], (n,), n)) for n in (3, 700, 1, 5000)]
    again = [executable(_inputs(TAPES["gradient"], (n,), n)) for n in (3, 700, 1, 5000)]
    assert [bits(a) for a in first] == [bits(a) for a in again]
    executable([np.full(10, np.nan), np.full(10, np.inf)])
    assert bits(executable(_inputs(TAPES["gradient"], (3,), 3))) == bits(first[0])


# ---- out= ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [1, 17, 5000])
def test_out_buffers(n):
    tape = TAPES["gradient"]
    values, executable = _inputs(tape, (n,)), CPU.compile(tape)
    expected = executable(values)
    out = [np.empty(n) for _ in expected]
    returned = executable(values, out)
    assert all(r is o for r, o in zip(returned, out, strict=True)) and bits(out) == bits(expected)
    strided = [np.full((n, 3), 7.0) for _ in expected]
    executable(values, [a[:, 1] for a in strided])
    for a, e in zip(strided, expected, strict=True):
        np.testing.assert_array_equal(a, np.stack([np.full(n, 7.0), e, np.full(n, 7.0)], axis=1))


@pytest.mark.parametrize("shift", [0, 1, 8, -3])
def test_out_may_overlap_the_inputs(shift):
    tape, n = record([x * 2 + y, x - y]), 2000
    memory = np.random.default_rng(0).uniform(1, 2, 3 * n)
    values = [memory[n : 2 * n], memory[:n].copy()]
    expected = on_cpu(tape, *(a.copy() for a in values))
    out = [memory[n + shift : 2 * n + shift], np.empty(n)]
    CPU.compile(tape)(values, out)
    assert bits(out) == bits(expected)


def test_out_buffers_are_checked():
    tape = record(dk.sum(W @ v))
    executable, values = CPU.compile(tape), [np.ones((5, 4, 3)), np.ones(3)]
    frozen = np.empty(5)
    frozen.flags.writeable = False
    for wrong in ([], [np.empty(4)], [np.empty(5, "f4")], [frozen], [np.empty(5), np.empty(5)], [[0.0] * 5]):
        with pytest.raises(ShapeError, match="out="):
            executable(values, wrong)


def test_integer_and_boolean_buffers():
    tape = record([dk.symbol("n", dtype="int64"), x > 1])
    out = [np.empty(3, np.int64), np.empty(3, bool)]
    CPU.compile(tape)([np.array([1, 2, 3]), np.array([0.0, 1, 2])], out)
    np.testing.assert_array_equal(out[0], [1, 2, 3])
    np.testing.assert_array_equal(out[1], [False, False, True])


# ---- threads and processes ----------------------------------------------------------------------------------------
def test_one_executable_may_be_called_from_several_threads():
    tape = TAPES["gradient"]
    executable = CPU.compile(tape)
    jobs = [_inputs(tape, (n,), seed) for seed, n in enumerate([1, 5000, 300, 40_000, 17, 40_000] * 8)]
    expected = [bits(executable(j)) for j in jobs]
    with ThreadPoolExecutor(6) as pool:
        assert [bits(r) for r in pool.map(executable, jobs)] == expected


def test_threads_may_be_set_while_others_compute():
    tape = TAPES["value"]
    executable, values = CPU.compile(tape), _inputs(tape, (60_000,))
    expected = bits(executable(values))
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(executable, values) for _ in range(12)]
        for k in range(20):
            set_threads(1 + k % 3)
        assert all(bits(f.result()) == expected for f in futures)


def _child(connection):
    tape = dk.tape("sin(x)*y", engine="reverse")
    connection.send(on_cpu(tape, np.linspace(0, 1, 200_000), 2.0)[1].tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork while threads exist is what is tested
def test_a_forked_child_computes():
    set_threads(2)
    expected = on_cpu(dk.tape("sin(x)*y", engine="reverse"), np.linspace(0, 1, 200_000), 2.0)[1].tobytes()
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(send,))
    child.start()
    try:
        assert receive.poll(60), "the child hangs"
        assert receive.recv() == expected
    finally:
        child.join(10)
        child.kill()
    assert child.exitcode == 0


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "two"])
def test_set_threads_refuses(wrong):
    with pytest.raises(ArgumentError, match="at least 1"):
        dk.set_threads(wrong)


def test_thread_count():
    set_threads(3)
    assert thread_count() == 3
    set_threads(None)
    assert thread_count() >= 1


# ---- what it cannot do --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("loop", [(), (7,)], ids=str)
def test_an_operation_without_a_kernel_runs_by_its_numpy_function(table, loop):
    table.add(Op(name="opaque", arity=1, doc="", numpy=lambda x: np.abs(x) + 1))
    tape = record(make(table["opaque"], (x * 2,), {}) * 3, [x])
    at = np.linspace(-1, 1, 7) if loop else np.array(-0.5)
    np.testing.assert_allclose(CPU.compile(tape)([at])[0], (np.abs(at * 2) + 1) * 3)


def test_a_registered_operation_runs_from_its_lowered_form(table):
    dk.register_op("my_swish", lower=lambda o, x: x * o.sigmoid(x))
    at = np.linspace(-3, 3, 700)
    expected = dk.grad("my_swish(x)", wrt="x", machine="numpy")(x=at)
    np.testing.assert_allclose(dk.grad("my_swish(x)", wrt="x")(x=at), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    "f",
    [
        np.sum,
        np.mean,
        lambda a: np.prod(a) + 1,
        lambda a: np.sum(a @ np.ones((0, 2))),
        lambda a: np.sum(np.concatenate([a, a + 1])),
    ],
)
def test_empty_axes(f):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of the mean of nothing
        expected = f(np.zeros(0))
    np.testing.assert_array_equal(dk.trace(f, np.zeros(0))(np.zeros(0)), expected)
    assert dk.grad(f)(np.zeros(0)).shape == (0,)


# ---- the kernels' cache -------------------------------------------------------------------------------------------
_COLD = "import numpy as np, diffkit as dk; print(dk.grad('sin(x)*y')(x=np.arange(3.0), y=2.0)['x'].tolist())"


@pytest.mark.parametrize("state", ["empty", "damaged", "not writable"])
def test_the_cache_of_kernels(tmp_path, state):
    """Compiled into an empty cache; made again where a file is damaged; done without where nothing can be written."""
    environment = {**os.environ, "DIFFKIT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    if state == "not writable":
        (tmp_path / "cache").write_text("a file, not a folder")

    def answer():
        ran = subprocess.run([sys.executable, "-c", _COLD], capture_output=True, text=True, env=environment)
        assert ran.returncode == 0, ran.stderr[-2000:]
        return ran.stdout

    expected = f"{[2.0 * np.cos(k) for k in (0.0, 1.0, 2.0)]}\n"
    assert eval(answer()) == pytest.approx(eval(expected), rel=1e-15)
    if state == "damaged":
        (kernels,) = (tmp_path / "cache").glob("kernels-*.o")
        kernels.write_bytes(kernels.read_bytes()[:1000])
        assert eval(answer()) == pytest.approx(eval(expected), rel=1e-15)


# ---- random expressions -------------------------------------------------------------------------------------------
@given(expressions(), points())
@settings(max_examples=150)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_expressions_agree_with_the_numpy_machine(f, at):
    tape = dk.tape(f, engine="reverse") if f.variables else record(f)
    values = given_to(f, at)
    bars = rounding_bound(tape, values).entries
    for computed, expected, bar in zip(on_cpu(tape, *values), run(tape, *values), bars, strict=True):
        assert computed.shape == expected.shape and computed.dtype == expected.dtype
        good = np.isfinite(expected) & np.isfinite(computed) & np.isfinite(bar)
        assert np.all(np.abs(computed[good] - expected[good]) <= 2 * np.broadcast_to(bar, expected.shape)[good])


def test_the_cache_keeps_what_was_used_last(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "CACHE_BYTES", 250)
    paths = [tmp_path / f"fused-{k}.o" for k in range(3)]
    for k, path in enumerate(paths[:2]):
        library.keep(path, bytes(60))  # and a digest of 32
        os.utime(path, (k, k))
    assert library.kept(paths[0]) == bytes(60)
    library.keep(paths[2], bytes(60))
    assert [p.exists() for p in paths] == [True, False, True]


REGISTERED = """
import sys, numpy as np, diffkit as dk
c = float(sys.argv[1])
dk.register_op("mine", kernel=lambda k, x: x * c, numpy=lambda x: c * x, partials=lambda o, out, x: (c,))
print(dk.parse("mine(x)")(x=np.ones(1)).item(), dk.grad("sin(x)", wrt="x")(x=0.0))
"""


def test_a_users_kernel_is_not_kept_for_other_processes(tmp_path):
    """Its name says which one it is in this process alone."""
    environment = {
        **os.environ, "DIFFKIT_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0"
    }  # fmt: skip
    for c in ("2", "5"):
        command = ["setarch", "-R", sys.executable, "-c", REGISTERED, c]  # the same addresses in both
        ran = subprocess.run(
            command[2:] if sys.platform != "linux" else command, env=environment, capture_output=True, text=True
        )
        assert ran.stdout == f"{c}.0 1.0\n", ran.stderr
    (kernels,) = tmp_path.glob("kernels-*.o")
    assert b"mine" not in kernels.read_bytes()


@pytest.mark.parametrize(
    "kernel", [lambda k, x: x if x > 0 else -x, lambda k, x: x > 0, lambda k, x: None, lambda k: k.number(1.0), 3]
)
def test_a_kernel_that_cannot_be_compiled_is_said_and_harms_no_other(table, kernel):
    with pytest.raises(OpError, match="bad"):
        dk.register_op("bad", kernel=kernel, numpy=np.abs, partials=lambda o, out, x: (1,))
        dk.parse("bad(x)")(x=np.ones(2))
    assert dk.grad("sin(x)", wrt="x")(x=np.zeros(2)).tolist() == [1.0, 1.0]


def test_results_without_elements_beside_others():
    z, v = dk.symbol("z", shape=(0,)), dk.symbol("v", shape=(3,))
    executable = CPU.compile(record([dk.exp(z), dk.sum(v)]))
    for n in (1, 3, 100_000):
        empty, sums = executable([np.zeros((n, 0)), np.ones((n, 3))])
        assert empty.shape == (n, 0) and (sums == 3).all()


def test_a_cache_that_is_full_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(library.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    library.keep(tmp_path / "fused-0.o", bytes(10))
    assert not list(tmp_path.iterdir())
