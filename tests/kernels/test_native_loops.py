"""Loops with a small body as one kernel each: equal bits, compiled when they pay, kept between processes."""

import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import same_bits_in_both_tiers

import diffkit as dk
from diffkit.engines.forward import tangent_tape
from diffkit.engines.reverse import adjoint_tape
from diffkit.expr.node import variable
from diffkit.machines.cpu import set_tier
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cpu.arrays.compiling import groups, loop_kernels
from diffkit.machines.cpu.arrays.compiling.fusion import Fusion
from diffkit.machines.cpu.arrays.opcodes import LOOP, NATIVE_LOOP, NATIVE_REVERSAL, REVERSAL
from diffkit.machines.cpu.arrays.program import Host
from diffkit.tape import record

CPU = {"machine": "cpu"}


@pytest.fixture(autouse=True)
def _tiers():
    yield
    set_tier("auto")


def tape_of(f, *arguments):
    inputs = [variable(f"x{k}", a.shape, str(a.dtype)) for k, a in enumerate(arguments)]
    outputs = f(*inputs)
    return record(list(outputs), inputs, [f"o{k}" for k in range(len(outputs))])


def loops(tape):
    """How many loops of a tape are one kernel, and how many are not."""
    program, found = Fusion(ArrayExecutable(tape).point().program).program, []
    for phase in program.phases:
        if not isinstance(phase, Host):
            pc = phase.begin
            while pc < phase.end:
                found.append(int(program.code[pc]))
                # into a loop's body
                pc += int(program.code[pc + 2 if found[-1] in (LOOP, REVERSAL) else pc + 1])
    native, others = (sum(map(found.count, pair)) for pair in ((NATIVE_LOOP, NATIVE_REVERSAL), (LOOP, REVERSAL)))
    return native, others


def same_bits(tape, values):
    return same_bits_in_both_tiers(ArrayExecutable(tape), values)


def check(f, arguments, native=(1, 0), orders=2):
    """Values; the gradient of a sum; the tangent of that gradient."""
    tape = tape_of(f, *arguments)
    assert loops(tape) == native
    same_bits(tape, arguments)
    total = lambda *xs: [sum(dk.sum(dk.sin(dk.reshape(o, (-1,)))) for o in f(*xs))]
    wrt, values = range(len(arguments)), [*arguments, np.array(1.0, arguments[0].dtype)]
    for _ in range(orders):
        tape = (
            adjoint_tape(tape_of(total, *arguments), wrt)
            if len(values) == len(arguments) + 1
            else tangent_tape(tape, wrt)
        )
        same_bits(tape, values)
        values = [*values, *arguments]


class Random:
    """Bodies made of a few operations on small arrays."""

    def __init__(self, seed, dtype):
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.choices = [int(self.rng.integers(1 << 30)) for _ in range(12)]
        self.n = int(self.rng.integers(1, 7))
        self.arguments = [self.array(self.n), self.array(self.n, self.n), self.array(self.n), self.array(1)]

    def array(self, *shape):
        return (self.rng.standard_normal(shape) * 0.7).astype(self.dtype)

    def body(self, c, x, m, v, s):
        pool = [c, x, v, dk.matmul(m, c)]
        for pick in self.choices:
            a, b = pool[pick % len(pool)], pool[pick // 7 % len(pool)]
            pool.append(self.made(pick // 49 % 14, a, b, m, s))
        return 0.5 * dk.tanh(pool[-1]) + 0.25 * c, (pool[-2], dk.sum(pool[-3]), pool[-4][::-1])

    def made(self, rule, a, b, m, s):
        n = self.n
        square = lambda: dk.reshape(a, (n, 1)) * dk.reshape(b, (1, n))
        return [
            lambda: a + b, lambda: a * b, lambda: dk.sin(a) - 0.5 * b, lambda: dk.tanh(a) / (1.5 + dk.exp(-b * b)),
            lambda: dk.matmul(m, a), lambda: dk.sum(a * b) * b, lambda: dk.where(a > b, a, dk.exp(-a * a)),
            lambda: dk.concatenate([a[n // 2 :], b[: n // 2]]), lambda: dk.sum(square(), axis=0), lambda: a * s,
            lambda: dk.sum(dk.matmul(square(), m), axis=1), lambda: dk.max(a) - b, lambda: dk.abs(a[::-1]), lambda: dk.prod(a) * b,
        ][rule]()  # fmt: skip


def scanned(body, length, reverse):
    def f(c, m, v, s, xs):
        last, ys = dk.scan(lambda c, x: body(c, x, m, v, s), c, xs, length=length, reverse=reverse)
        return [last, *(dk.reshape(y, (-1,)) for y in ys)]

    return f


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(k, marks=pytest.mark.slow) for k in range(8, 60))])
def test_random_bodies(seed):
    random = Random(seed, ["float64", "float32"][seed % 2])
    length = [2, 7, 1000, 3][seed // 2 % 4]
    f = scanned(random.body, length, bool(seed // 8 % 2))
    check(f, [*random.arguments, random.array(length, random.n)], orders=2 if length < 1000 else 1)


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(k, marks=pytest.mark.slow) for k in range(6, 60))])
def test_reversals_with_checkpoints(seed):
    """Equal bits, interpreted and by kernels; the same gradient as with all carries stored."""
    random = Random(seed, ["float64", "float32"][seed % 2])
    length, checkpoints = [(2, 1), (7, 2), (400, 5), (3, 9), (30, 1), (64, 64)][seed % 6]
    arguments = [*random.arguments, random.array(length, random.n)]

    def gradients(kept):
        def total(c, m, v, s, xs):
            step = lambda c, x: random.body(c, x, m, v, s)
            last, ys = dk.scan(step, c, xs, reverse=bool(seed // 6 % 2), checkpoints=kept)
            return [sum(dk.sum(dk.sin(y)) for y in (last, *ys))]

        tape = adjoint_tape(tape_of(total, *arguments), range(5))
        return tape, same_bits(tape, [*arguments, np.array(1.0, random.dtype)])

    (tape, found), (_, expected) = gradients(checkpoints), gradients(None)
    assert loops(tape) == (2, 0)
    for a, b in zip(found, expected, strict=True):
        tolerance = 1e-11 if random.dtype == "float64" else 1e-3
        assert np.allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=0))


def test_a_reversal_in_a_loop():
    def outer(c, xs, m):
        def step(c, x):
            inner = lambda d: dk.scan(lambda d, z: (dk.tanh(dk.matmul(m, d) + z), d), d, x, checkpoints=2)[0]
            return c + dk.grad(lambda d: dk.sum(inner(d)))(c), c

        last, ys = dk.scan(step, c, xs)
        return [last, ys]

    rng = np.random.default_rng(0)
    arguments = [rng.standard_normal(s) for s in ((3,), (4, 7, 3), (3, 3))]
    tape = tape_of(outer, *arguments)
    assert loops(tape) == (1, 1)
    same_bits(tape, arguments)


INTERRUPTED = """
import os, signal, threading
import numpy as np
import diffkit as dk
from diffkit.machines.cpu import set_tier

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell turns off in the background
set_tier({tier!r})
step = lambda c, x: (c + 1e-9 * dk.tanh(dk.matmul(P, c)), None)
gradient = lambda length: dk.grad(
    lambda c: dk.sum(dk.scan(step, c, None, length=length, checkpoints={checkpoints})[0]), machine="cpu"
)
P = np.ones((3, 3))
expected = gradient(10)(np.ones(3))
long = gradient(2_000_000_000)
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    long(np.ones(3))
except KeyboardInterrupt:
    assert np.array_equal(gradient(10)(np.ones(3)), expected)
    print("interrupted")
"""


@pytest.mark.parametrize("tier", ["interpreted", "fused"])
def test_long_loops_end_at_ctrl_c(tier):
    """Hours of work: what is asked is that it ends at all."""
    code = INTERRUPTED.format(tier=tier, checkpoints=20)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "interrupted", done.stderr


@pytest.mark.parametrize("length", [0, 1])
def test_short_loops_stay(length):
    random = Random(3, "float64")
    f = scanned(random.body, length, False)
    tape = tape_of(f, *random.arguments, random.array(length, random.n))
    assert loops(tape)[0] == 0
    same_bits(tape, [*random.arguments, random.array(length, random.n)])


def only(step):
    """A loop with this step on a carry, slices of xs, and a matrix."""

    def f(c, xs, m):
        last, ys = dk.scan(lambda c, x: step(c, x, m), c, xs)
        return [last, ys]

    return f


def moved(c, x, m):
    """Movements: rows, columns, picked elements, windows turned round."""
    square = dk.reshape(c[:9], (3, 3))
    picked = c[np.array([3, 0, 0, 11])]
    return dk.concatenate([dk.reshape(square.T, (-1,)), dk.sin(picked[1:])]) * x, dk.stack([c[::-2], x[1::2]])


def summed(c, x, m):
    """Sums, products and maxima along rows, columns and both."""
    square = dk.reshape(c, (1, 12)) * dk.reshape(x, (12, 1))[:8]
    rows, columns = dk.sum(square, axis=0), dk.sum(square, axis=1)
    ends = dk.max(square, axis=1) - dk.min(square) + dk.prod(1.0 + 0.1 * square[:5, :7])
    return dk.tanh(rows + dk.mean(columns)), dk.concatenate([ends, columns])


def conditions(c, x, m):
    inside = (c > x) & ~(x > 0.5) | (c == c[::-1])
    return dk.where(inside, c * x, dk.where(c < 0, -c, dk.sqrt(c))), dk.where(x > 0, c, 1.0)


def functions(c, x, m):
    """Bodies with branches, of every length."""
    y = dk.sin(1e6 * c) + dk.lgamma(1.5 + x * x) * dk.cos(c) + dk.digamma(2.0 + dk.abs(c)) + dk.tan(x)
    return dk.arctan2(y, 1.0 + x * x), (1.0 + c * c) ** x


def multiplied(c, x, m):
    square = dk.reshape(c, (3, 4))
    stack = dk.reshape(c, (2, 2, 3))
    many = dk.matmul(stack, dk.reshape(x, (2, 3, 2)))
    return dk.tanh(dk.matmul(m, c) + dk.reshape(dk.matmul(square, dk.reshape(x, (4, 3))).T[:1], (-1,))[0]), many


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("step", [moved, summed, conditions, functions, multiplied])
def test_bodies_of_every_sort(step, dtype):
    rng = np.random.default_rng(4)
    arguments = [rng.standard_normal(shape).astype(dtype) for shape in ((12,), (6, 12), (12, 12))]
    orders = 0 if step in (conditions, multiplied) else 1
    tape = tape_of(only(step), *arguments)
    assert loops(tape) == (1, 0)
    check(only(step), arguments, orders=orders)
    arguments[1][2, 3], arguments[1][3, 1], arguments[1][4, 5] = np.nan, np.inf, -0.0
    same_bits(tape, arguments)


def test_whole_numbers_are_carried():
    def f(x):
        step = lambda c, x: ((c[0] + x * c[1], c[1] + 1), dk.where(c[1] > 3, c[0], x))
        (total, _), ys = dk.scan(step, (dk.sum(x), 0), x)
        return [total, ys]

    check(f, [np.random.default_rng(2).standard_normal(50)])


@pytest.mark.parametrize("reverse", [False, True])
def test_the_inner_of_two_loops_is_one_kernel(reverse):
    def outer(c, xs, m):
        def step(c, x):
            inner, ys = dk.scan(lambda d, z: (dk.tanh(dk.matmul(m, d) + z * x[0]), d * z), c, x[:5], reverse=reverse)
            return inner + 0.1 * c, dk.sum(ys, axis=0)

        last, ys = dk.scan(step, c, xs, reverse=not reverse)
        return [last, ys]

    rng = np.random.default_rng(0)
    arguments = [rng.standard_normal(s) for s in ((3,), (4, 7), (3, 3))]
    check(outer, arguments, native=(1, 1))


def test_slices_without_a_stride_and_backwards():
    """xs that one slice stands for, that overlap, and that lie the other way round."""

    def f(c, x, m):
        wide = dk.broadcast_to(x, (5, 3))
        last, ys = dk.scan(lambda c, x: (dk.sin(c + x[0] * x[1]), c + x[2]), c, (wide, m[::-1, 1:4], m[:, ::-2]))
        return [last, ys]

    rng = np.random.default_rng(0)
    check(f, [rng.standard_normal(s) for s in ((3,), (3,), (5, 6))], orders=2)


def test_what_is_too_large_stays():
    """Products for BLAS, arrays of many elements, bodies of many operations."""
    rng = np.random.default_rng(0)
    product = only(lambda c, x, m: (dk.tanh(dk.matmul(m, c)), x))
    many = only(lambda c, x, m: (c * x, x))

    def long(c, x, m):
        for k in range(400):
            c = dk.sin(c + k)
        return c, x

    for step, n in ((product, 30), (many, 601), (only(long), 16)):
        arguments = [rng.standard_normal(s) for s in ((n,), (4, n), (n, n))]
        check(step, arguments, native=(0, 1), orders=0)


def test_loops_together_are_limited(monkeypatch):
    """Those that come first are kernels."""
    monkeypatch.setattr("diffkit.machines.cpu.arrays.compiling.fusion.LONGEST_LOOPS", 150)

    def f(c, xs):
        for function in (dk.sin, dk.tanh, dk.exp, dk.cos):
            c, _ = dk.scan(lambda c, x: (function(c * x), c), c, xs)
        return [c]

    native, others = loops(tape_of(f, np.ones(3), np.ones((4, 3))))
    assert native and others


def euler(P, c):
    return dk.sum(dk.scan(lambda c, x: (c + 0.001 * dk.tanh(dk.matmul(P, c)), None), c, None, length=2000)[0])


def test_kernels_are_compiled_when_they_pay_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path))
    rng = np.random.default_rng(5)
    P, c = rng.standard_normal((3, 3)), rng.standard_normal(3)
    set_tier("interpreted")
    expected = dk.grad(euler)(P, c)
    set_tier("auto")
    gradient, deadline = dk.grad(euler), time.monotonic() + 60
    while not list(tmp_path.glob("groups-*.o")) and time.monotonic() < deadline:
        assert np.array_equal(gradient(P, c), expected)
    assert list(tmp_path.glob("groups-*.o"))
    calls = []
    monkeypatch.setattr(
        "diffkit.machines.cpu.arrays.compiling.tiers.compile_groups", lambda bodies: calls.append(bodies)
    )
    set_tier("fused")
    assert np.array_equal(dk.grad(euler)(P, c), expected) and not calls
    assert any(isinstance(b, loop_kernels.LoopBody) for b in loop_bodies(P, c))


def loop_bodies(P, c):
    tape = tape_of(lambda P, c: [euler(P, c)], P, c)
    return Fusion(ArrayExecutable(tape).point().program).bodies


def test_a_kernel_is_known_by_its_content():
    """Another constant, another step of an array: the same kernel is not meant."""
    bodies = {loop_bodies(np.ones((n, n)), np.ones(n))[0] for n in (2, 3)}
    assert len(bodies) == 2
    assert loop_bodies(np.ones((3, 3)), np.ones(3)) == loop_bodies(np.zeros((3, 3)), np.zeros(3))
    assert groups._path(loop_bodies(np.ones((3, 3)), np.ones(3))) != groups._path(
        loop_bodies(np.ones((2, 2)), np.ones(2))
    )
