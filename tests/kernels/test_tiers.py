"""The tiers of the cpu machine: equal bits, compiled when they pay, kept between processes, never in the way."""

import csv
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from itertools import product
from pathlib import Path

import helpers
import numpy as np
import pytest
from helpers import each

import diffkit as dk
from diffkit.errors import ArgumentError
from diffkit.machines import machine as find_machine
from diffkit.machines.cpu import emit, fused, on_demand, set_threads, set_tier
from diffkit.machines.cpu.fused import LONGEST, extent
from diffkit.machines.cpu.shared import Native
from diffkit.machines.cpu.threads import interruptible, share
from diffkit.tape import record

CPU = find_machine("cpu")
CORPUS = Path(dk.__file__).parent / "corpus" / "formulas.csv"
x, y = dk.symbols("x y")


@pytest.fixture(autouse=True)
def _tiers():
    yield
    set_tier("auto")
    set_threads(None)


def bits(arrays):
    """Of NaN only that it is one: neither tier promises a payload."""
    return [
        (a.dtype, a.shape, np.where(np.isnan(a), np.nan, a).tobytes() if a.dtype.kind == "f" else a.tobytes())
        for a in arrays
    ]


def inputs(tape, n, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    values = []
    for i in tape.inputs:
        kind = tape.kinds[i]
        array = rng.normal(0, spread, (n, *kind.shape))
        values.append(
            array > 0 if kind.dtype == "bool" else array.astype("float64" if kind.dtype == "weak" else kind.dtype)
        )
    return values


def both(tape, values):
    executable = CPU.compile(tape)
    results = []
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        results.append(bits(executable(values)))
    return results


@each(helpers.cases())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_operation_has_equal_bits_in_both_tiers(case, dtype):
    f = case.expression(dtype)
    tape = record(f)
    interpreted, compiled = both(tape, inputs(tape, 333))
    assert interpreted == compiled


def formulas():
    with CORPUS.open() as file:
        rows = list(csv.DictReader(file))
    return [r["formula"] for r in rows]


@pytest.mark.parametrize("part", range(4))
def test_the_corpus_has_equal_bits_in_both_tiers(part):
    for text in formulas()[part::4]:
        tape = dk.tape(text, engine="reverse")
        interpreted, compiled = both(tape, inputs(tape, 200))
        assert interpreted == compiled, text


@pytest.mark.parametrize("uniform", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("n", [16, 63, 64, 65, 127, 128, 1000, 4099])
def test_tails_and_values_that_serve_all_points(n, uniform):
    tape = dk.tape(dk.sin(x * y) / y + dk.exp(-x), engine="reverse")
    values = [v[:1] if same else v for v, same in zip(inputs(tape, n), uniform, strict=True)]
    interpreted, compiled = both(tape, values)
    assert interpreted == compiled


@pytest.mark.parametrize("shape", [(2,), (3,), (4,), (5,), (2, 3)])
def test_arrays(shape):
    v, w = dk.symbol("v", shape), dk.symbol("w", shape[-1:])
    tape = dk.tape(dk.sum(dk.exp(v * w) * v) + dk.max(v) + dk.norm(w), engine="reverse")
    interpreted, compiled = both(tape, inputs(tape, 137, spread=1.0))
    assert interpreted == compiled
    one = [a[0] for a in inputs(tape, 137, spread=1.0)]
    interpreted, compiled = both(tape, [one[0], inputs(tape, 137)[1]])
    assert interpreted == compiled


def test_products_of_matrices():
    a, b = dk.symbol("a", (3, 4)), dk.symbol("b", (4, 2))
    interpreted, compiled = both(tape := record(a @ b), inputs(tape, 99))
    assert interpreted == compiled


def test_singles_and_mixed_precision():
    s = dk.symbol("s", dtype="float32")
    for f in (dk.sin(s) * s, dk.sin(s) * x + s, dk.where(s > 0, s, x), dk.power(s, s)):
        tape = record(f)
        interpreted, compiled = both(tape, inputs(tape, 500))
        assert interpreted == compiled


def test_equal_bits_at_any_thread_count():
    tape = dk.tape(dk.tanh(x * y) + dk.log(dk.abs(x)), engine="reverse")
    values, found = inputs(tape, 100_003), []
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        for threads in (1, 2, 3):
            set_threads(threads)
            found.append(bits(CPU.compile(tape)(values)))
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_do_not_depend_on_where_arrays_lie_in_memory(dtype):
    """Pieces begin where the outputs are aligned, so the first one is short: with every length it may have."""
    a, b = dk.symbols("a b", dtype=dtype)
    tape = dk.tape(dk.exp(dk.sin(a) * b), engine="reverse")
    executable, n = CPU.compile(tape), 70_001
    values = inputs(tape, n)
    expected = None
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        for threads, offset in product((1, 2), range(17)):
            set_threads(threads)
            out = [np.full(n + 20, 7, dtype)[offset : offset + n] for _ in tape.outputs]
            found = bits(executable(values, out))
            expected = expected or found
            assert found == expected
            assert all((o.base[:offset] == 7).all() and (o.base[offset + n :] == 7).all() for o in out)


def test_conditions_of_any_place_in_memory():
    """A vector of conditions is as long as one of numbers, and not as a line of the cache."""
    executable, n = CPU.compile(record(dk.sin(x) > 0.5)), 70_001
    values = [np.linspace(0, 6, n)]
    expected = np.sin(values[0]) > 0.5
    for tier, offset in product(("interpreted", "fused"), range(0, 66, 5)):
        set_tier(tier)
        room = np.full(n + 70, 7, np.uint8)
        out = room[offset : offset + n].view(bool)
        executable(values, [out])
        assert (out == expected).all() and (room[:offset] == 7).all() and (room[offset + n :] == 7).all()


def test_kernels_are_short_enough_to_compile_at_once():
    """Elementary functions are written out in short tapes and called in longer ones."""
    f = x
    for _ in range(40):
        f = dk.sin(f) + f * y
    limit, length = extent(CPU.compile(dk.tape(f, engine="reverse")).plan)
    assert (limit, length) < (fused.LIMITS[0], fused.SHORT + 1)
    assert extent(CPU.compile(dk.tape("sin(x)*y", engine="reverse")).plan)[0] == fused.LIMITS[0]


def test_an_interruption_waits_until_the_work_is_done():
    finished, here = [], threading.get_ident()

    def work(stop):
        signal.pthread_kill(here, signal.SIGINT)
        while not stop[0]:
            time.sleep(0.001)
        time.sleep(0.1)
        finished.append(True)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interruptible(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert finished


@pytest.mark.parametrize("points", [1, 15, 64, 65, 4096, 100_003])
@pytest.mark.parametrize("back", [0, 1, 7])
@pytest.mark.parametrize("grain", [16, 64, 512])
def test_pieces_cover_every_point_once(points, back, grain):
    taken = []

    @ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)
    def job(data, order_at, who):
        order = (ctypes.c_int64 * 4).from_address(order_at)
        while order[0] < order[2] + order[3]:
            begin, order[0] = order[0] - order[3], order[0] + order[1]
            taken.extend(range(max(0, begin), min(order[2], begin + order[1])))
            assert begin <= 0 or (begin + back) % grain == 0

    set_threads(1)
    share(Native(3, ctypes.cast(job, ctypes.c_void_p).value), np.zeros(1), points, grain, 10**6, back)
    assert taken == list(range(points))


def test_an_output_that_is_an_input_may_be_written():
    tape = record([x * y + 1, x])
    set_tier("fused")
    a, b = np.linspace(0, 1, 1000), np.linspace(1, 2, 1000)
    expected = a * b + 1
    out = [a, np.empty(1000)]  # the first output overwrites the first input
    CPU.compile(tape)([a, b], out)
    np.testing.assert_allclose(out[0], expected)


# ---- when -----------------------------------------------------------------------------------------------------------
def _calls(executable, values, count):
    return [bits(executable(values)) for _ in range(count)]


def test_a_kernel_is_compiled_once_the_interpreter_has_spent_as_much(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path))
    made = []
    original = fused.compile_fused
    monkeypatch.setattr(fused, "compile_fused", lambda *a: made.append(a) or original(*a))
    executable = CPU.compile(tape := record(dk.sin(x) * dk.exp(y) + 0.123))
    values = inputs(tape, 1000)
    _calls(executable, values, 3)
    assert not made and executable.tiers.spent > 0  # little work: never compiled
    (kernel,) = executable.tiers._kernels.values()
    kernel.seconds = 0.0
    before = after = _calls(executable, values, 2)
    for _ in range(500):
        if kernel.made is not None:
            break
        time.sleep(0.01)
        after = _calls(executable, values, 1)
    assert len(made) == 1
    assert all(b == before[0] for b in (*before, *after))


def test_short_work_does_not_ask_for_a_kernel(monkeypatch):
    monkeypatch.setattr(fused, "compile_fused", lambda *a: pytest.fail("compiled"))
    monkeypatch.setattr(fused, "load_kept", lambda *a: pytest.fail("asked the cache"))
    tape = record(x + y)
    CPU.compile(tape)(inputs(tape, 1000))


def test_long_tapes_are_interpreted_however_much_they_run():
    f = x
    for k in range(LONGEST // 2):
        f = f * y + k
    executable = CPU.compile(tape := record(f))
    assert extent(executable.plan)[1] > LONGEST
    set_tier("fused")
    values = inputs(tape, 100)
    result = executable(values)
    assert not any(executable.tiers._kernels.values())
    set_tier("interpreted")
    assert bits(executable(values)) == bits(result)


def test_a_registered_operation_is_interpreted(table):
    op = dk.ops.op.Op(name="twice", arity=1, doc="", numpy=lambda v: 2 * v, kernel=lambda k, v: v + v)
    table.add(op)
    from diffkit.expr.node import make

    tape = record(make(op, (x,), {}) * y)
    values = inputs(tape, 100)
    interpreted, compiled = both(tape, values)
    assert interpreted == compiled
    np.testing.assert_array_equal(CPU.compile(tape)(values)[0], 2 * values[0] * values[1])


def test_kernels_are_kept_for_the_next_process(tmp_path):
    code = (
        "import numpy as np, diffkit as dk; from diffkit.machines.cpu import set_tier, fused; set_tier('fused')\n"
        "made = []; original = fused.compile_fused; fused.compile_fused = lambda *a: made.append(1) or original(*a)\n"
        "v = dk.grad('exp(x)*sin(y)')(x=np.linspace(0, 1, 500), y=2.0)\n"
        "print(len(made), v['x'].tobytes().hex()[:4000])"
    )
    environment = {**os.environ, "DIFFKIT_CACHE": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert [o[0] for o in outputs] == ["1", "0"]
    assert outputs[0][1] == outputs[1][1]
    for kept in tmp_path.glob("fused-*.o"):  # a damaged kernel is compiled anew
        kept.write_bytes(kept.read_bytes()[:-5])
    again = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert again.stdout.split() == ["1", outputs[0][1]]


@pytest.mark.parametrize("wrong", ["fast", "", None, 1])
def test_set_tier_refuses(wrong):
    with pytest.raises(ArgumentError, match="auto, interpreted, fused"):
        set_tier(wrong)


def test_a_child_forked_while_a_kernel_is_compiled_computes(monkeypatch):
    """What was ordered in the parent is never delivered in the child."""
    monkeypatch.setattr(on_demand, "COMPILE_SECONDS", 0.0)
    monkeypatch.setattr(on_demand, "COMPILE_SECONDS_EACH", 0.0)
    gradient = dk.grad("exp(sin(x))*0.7*x", wrt="x")
    values = np.linspace(0, 1, 100_000)
    expected = gradient(x=values)
    gradient(x=values)  # orders the kernel
    here, there = multiprocessing.Pipe()

    def child(connection):
        set_tier("fused")
        connection.send(gradient(x=values))

    process = multiprocessing.get_context("fork").Process(target=child, args=(there,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    assert here.poll(60)
    assert np.array_equal(here.recv(), expected)
    process.join(60)


def test_native_code_names_nothing_outside_itself():
    """What is far away in memory can only be called by address: a name reaches 2 GB, and a process may be larger."""
    f = x
    for _ in range(40):
        f = dk.sin(f) + dk.erf(f * y) ** y
    writer = fused.FusedWriter(CPU.compile(dk.tape(f, engine="reverse")).plan, [False, False])
    writer.text()
    assert writer.needs()
    for module in (writer.module, emit.module(emit.primitives())):
        assert all(g.name.startswith("llvm.") for g in module.functions if g.is_declaration)
