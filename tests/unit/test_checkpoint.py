"""Checkpointing: the binomial schedule against dynamic programming, its use in `scan`, and `dk.checkpoint`."""

from __future__ import annotations

import math
import tracemalloc
from functools import cache
from itertools import islice
from math import comb

import numpy as np
import pytest
from helpers import NUMPY
from helpers_loops import python_scan

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.engines.forward import tangent_tape
from diffkit.ops.loops import repeated
from diffkit.ops.revolve import ADVANCE, FORGET, KEEP, RETURN, REVERSE, actions, recomputed, repetitions
from diffkit.tape import record
from diffkit.tape.body import Body

on_numpy = {"machine": "numpy"}


# ---- the schedule -------------------------------------------------------------------------------------------------
@cache
def fewest(length: int, checkpoints: int) -> int:
    """Steps that have to be run again: the best place for the next checkpoint, by trying all."""
    if length <= 1:
        return 0
    if checkpoints == 1:
        return length * (length - 1) // 2
    return min(
        m + fewest(length - m, checkpoints - 1) + fewest(m, checkpoints) for m in range(1, length)
    )  # fmt: skip


def follow(length: int, checkpoints: int) -> tuple[int, int]:
    """Carry out a schedule on step numbers: the number of steps run, and the most carries kept."""
    kept: list[int] = []
    reversed_: list[int] = []
    at, steps, most = 0, 0, 0
    for what, first, last in actions(length, checkpoints):
        if what == ADVANCE:
            assert at == first < last
            at, steps = last, steps + last - first
        elif what == KEEP:
            assert at == first
            kept.append(at)
            most = max(most, len(kept))
        elif what == RETURN:
            at = kept[-1]
            assert at == first
        elif what == REVERSE:
            assert at == first
            reversed_.append(first)
            at = -1
        else:
            assert what == FORGET and kept.pop() == first
    assert reversed_ == list(range(length))[::-1] and not kept
    return steps, most


@pytest.mark.parametrize("checkpoints", [1, 2, 3, 4, 5, 7, 10, 40])
def test_the_schedule_is_optimal(checkpoints):
    for length in range(45):
        steps, most = follow(length, checkpoints)
        assert steps == fewest(length, checkpoints) == recomputed(length, checkpoints)
        assert most <= checkpoints


def test_the_formula():
    """r·l − C(s+r, r−1) for the least r with C(s+r, s) ≥ l; the first carry is one of the s."""
    for length, checkpoints in [(1_000_000, 100), (100_000, 10), (12345, 7), (20, 19), (20, 20)]:
        r = repetitions(length, checkpoints)
        assert comb(checkpoints + r, checkpoints) >= length > comb(checkpoints + r - 1, checkpoints)
        assert recomputed(length, checkpoints) == r * length - comb(checkpoints + r, r - 1)
    assert repetitions(1_000_000, 100) == 4 and recomputed(100, 100) == 99  # all carries kept: one sweep


def test_a_long_schedule_is_made_as_it_is_needed():
    tracemalloc.start()
    steps = sum(last - first for what, first, last in actions(200_000, 20) if what == ADVANCE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert steps == recomputed(200_000, 20) and peak < 50_000
    assert len(list(islice(actions(10**12, 50), 1000))) == 1000


# ---- in a loop ----------------------------------------------------------------------------------------------------
def pendulum(length, checkpoints):
    def f(state, k):
        def step(state, _):
            angle, speed = state
            return (angle + 0.1 * speed, speed - 0.1 * k * np.sin(angle)), None

        angle, _ = dk.scan(step, state, length=length, checkpoints=checkpoints)[0]
        return angle

    return f


@pytest.mark.parametrize(("length", "checkpoints"), [(1, 1), (2, 1), (10, 1), (10, 3), (50, 4), (50, 50), (50, 500)])
def test_steps_run_and_carries_kept(monkeypatch, length, checkpoints):
    counted = {}
    original = Body.run

    def counting(self, inputs):
        counted[self] = counted.get(self, 0) + 1
        return original(self, inputs)

    f = dk.grad(pendulum(length, checkpoints), argnums=(0, 1), **on_numpy)
    f.prepare((0.3, 0.1), 2.0)
    with monkeypatch.context() as patch:
        patch.setattr(Body, "run", counting)
        found = f((0.3, 0.1), 2.0)
    # the value, the steps run again (by a body that computes no ys; here there are none), and the steps backwards
    assert sorted(counted.values()) == sorted([length, length + recomputed(length, checkpoints)])
    expected = dk.grad(pendulum(length, None), argnums=(0, 1), **on_numpy)((0.3, 0.1), 2.0)
    np.testing.assert_allclose([*found[0], found[1]], [*expected[0], expected[1]], rtol=1e-13)


def test_counts_know_the_schedule():
    f = dk.trace(pendulum(1000, 10), (0.3, 0.1), 2.0)
    tape = dk.tape(f, wrt="k")
    (reversal,) = [k for k in set(tape.kinds) if k.op.name == "scan_adjoint"]
    again, back = repeated(reversal.kwargs)
    assert (again[1], back[1]) == (recomputed(1000, 10), 1000)
    sines = [b.tape.counts().get("elementary", 0) for b in (again[0], back[0])]
    assert tape.counts()["elementary"] == 1000 + sines[0] * again[1] + sines[1] * 1000


def test_memory_is_for_the_carries_kept():
    """A carry of 80 kB, 400 steps: 32 MB if all are kept."""

    def f(c, checkpoints):
        return np.sum(dk.scan(lambda c, _: (np.sin(c), None), c, length=400, checkpoints=checkpoints)[0])

    c, peaks = np.linspace(0, 1, 10_000), {}
    for checkpoints in (None, 5):
        g = dk.grad(lambda c, k=checkpoints: f(c, k), **on_numpy).prepare(c)
        tracemalloc.start()
        peaks[checkpoints] = g(c), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_allclose(peaks[5][0], peaks[None][0], rtol=1e-12)
    assert peaks[None][1] > 32e6 and peaks[5][1] < 3e6


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
def test_hessians_keep_as_few_carries(machine):
    """Forward over reverse: the reversal of the tangent's loop, with xs, ys, a whole number in the carry, and a constant."""

    def f(p, xs, checkpoints):
        def step(c, x):
            state, n = c
            state = state + 0.1 * np.tanh(p @ state + x)
            return (state, n + 1), np.where(n > 3, np.sum(state * state) * x, x)

        (state, _), ys = dk.scan(step, (np.ones(2), 0), xs, checkpoints=checkpoints)
        return np.sum(np.sin(state)) + np.sum(ys * ys)

    p, xs = np.array([[0.3, -0.8], [0.5, 0.1]]), np.linspace(-1, 1, 17)
    found, expected = (
        dk.hessian(lambda p, xs, k=k: f(p, xs, k), argnums=(0, 1), machine=machine)(p, xs) for k in (3, None)
    )
    for row, wanted in zip(found, expected, strict=True):
        for a, b in zip(row, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    tape = dk.tape(dk.trace(lambda p: f(p, np.linspace(-1, 1, 1000), 20), p), wrt="p")
    kinds = {k for k in tangent_tape(tape, [0]).kinds if k.op.name.startswith("scan")}
    assert max(math.prod(k.shape) for k in kinds) < 5_000  # carries of 1,000 steps would be 3,000 numbers more each


def test_backwards_and_with_ys():
    def loss(scan, **how):
        def f(c, xs):
            end, ys = scan(lambda c, x: (np.tanh(c + x), c * x), c, xs, reverse=True, **how)
            return np.sum(end) + np.sum(np.sin(ys))

        return f

    c, xs = np.array([0.2, -0.4]), np.random.default_rng(3).standard_normal((23, 2))
    found = dk.grad(loss(dk.scan, checkpoints=4), argnums=(0, 1), **on_numpy)(c, xs)
    expected = dk.grad(loss(python_scan), argnums=(0, 1), **on_numpy)(c, xs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


# ---- dk.checkpoint ------------------------------------------------------------------------------------------------
def chain(x, p):
    for _ in range(5):
        x = np.sin(x) * p["a"]
    return {"y": x, "z": (x * 2, None)}


def model(block):
    def f(x, a):
        for _ in range(3):
            made = block(x, {"a": a})
            x = made["y"] + made["z"][0]
        return np.sum(x)

    return f


X = np.linspace(0.1, 1, 4)


@pytest.mark.parametrize("engine", ["reverse", "forward", "symbolic", "finite"])
def test_checkpoint_changes_no_derivative(engine):
    x = X[:1] if engine == "symbolic" else X
    plain, kept = (
        dk.grad(model(block), argnums=(0, 1), engine=engine, **on_numpy) for block in (chain, dk.checkpoint(chain))
    )
    for a, b in zip(plain(x, 0.4), kept(x, 0.4), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9 if engine == "finite" else 1e-12)


def test_second_derivatives():
    f, g = model(dk.checkpoint(chain)), model(chain)
    np.testing.assert_allclose(dk.hessian(f, **on_numpy)(X, 1.3), dk.hessian(g, **on_numpy)(X, 1.3), rtol=0, atol=1e-10)
    one, other = (dk.grad(lambda x, h=h: np.sum(dk.grad(h, **on_numpy)(x, 0.7) ** 2), **on_numpy)(X) for h in (f, g))
    np.testing.assert_allclose(one, other, rtol=1e-11)


def test_the_inside_is_computed_again_and_not_kept(monkeypatch):
    tape = find_engine("reverse").program(record(dk.trace(model(dk.checkpoint(chain)), X, 1.3)), [0]).tape
    kinds = [k.op.name for k in tape.kinds]
    assert kinds.count("call") == 6 and "sin" not in kinds and "cos" not in kinds
    plain = find_engine("reverse").program(record(dk.trace(model(chain), X, 1.3)), [0]).tape
    # sines three times forwards and again backwards; as many cosines as without
    assert tape.counts()["elementary"] == plain.counts()["elementary"] + 3 * 5 * 4 - 3 * 4


def test_as_a_decorator_on_nests_of_anything():
    @dk.checkpoint
    def f(x, *, scale, times=2, name=None):
        """Doc."""
        for _ in range(times):
            x = [x[0] * scale, x[1]]
        return (x, name)

    assert f.__name__ == "f" and f.__doc__ == "Doc."
    assert f([1.0, 2.0], scale=3.0) == ([9.0, 2.0], None)  # numbers alone: computed as it is
    a, s = dk.symbols("a s")
    (x, name) = f([a, 5.0], scale=s, times=3)
    assert name is None and x[0](a=2.0, s=3.0) == 54.0
    assert dk.grad(x[0] + x[1], **on_numpy)(a=2.0, s=3.0) == {"a": 27.0, "s": 54.0}


def test_what_it_closes_over_has_derivatives():
    def f(x, w):
        inside = dk.checkpoint(lambda x: np.tanh(w @ x) * np.sum(w))
        return np.sum(inside(inside(x)))

    def g(x, w):
        inside = lambda x: np.tanh(w @ x) * np.sum(w)
        return np.sum(inside(inside(x)))

    w = np.array([[0.2, -0.1], [0.4, 0.3]])
    for a, b in zip(*(dk.grad(h, argnums=(0, 1), **on_numpy)(X[:2], w) for h in (f, g)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_inside_a_loop_and_around_one():
    def loss(wrap):
        def f(c, xs):
            step = wrap(lambda c, x: (np.tanh(c * x) + x, np.sin(c)))
            whole = wrap(lambda c: dk.scan(lambda c, x: step(c, x), c, xs))
            end, ys = whole(c)
            return end + np.sum(ys * ys)

        return f

    xs = np.linspace(-1, 1, 6)
    for way in (dk.grad, dk.hessian):
        one, other = (way(loss(w), argnums=1, **on_numpy)(0.3, xs) for w in (dk.checkpoint, lambda f: f))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_what_where_discards_does_not_leak():
    def f(x):
        return np.sum(np.where(x > 0, dk.checkpoint(np.sqrt)(x), 3 * x))

    np.testing.assert_array_equal(dk.grad(f, **on_numpy)(np.array([4.0, 0.0, -1.0])), [0.25, 3.0, 3.0])


def test_loop_dims_and_bars():
    x, a = dk.symbol("x", 3), dk.symbol("a")
    f = np.sum(dk.checkpoint(lambda x, a: np.exp(x * a) - 1)(x, a))
    g = np.sum(np.exp(x * a) - 1)
    at = [np.random.default_rng(0).standard_normal((5, 3)), 1.5]
    one, other = (find_engine("reverse").program(record(h, [x, a]), [0, 1]) for h in (f, g))
    for p, q in zip(one.on(NUMPY)(at)[1][0], other.on(NUMPY)(at)[1][0], strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-14)
    for p, q in zip(one.bars(NUMPY, at)[0], other.bars(NUMPY, at)[0], strict=True):
        assert np.all(
            (q <= 1.01 * p) & (p <= 3 * q)
        )  # what rounds inside counts (outside, products with 1 are not there)


def test_float32_and_integers():
    @dk.checkpoint
    def f(x, n):
        return {"x": np.sin(x) * 2.0, "n": n, "on": n > 1}

    x, n = dk.symbol("x", 2, "float32"), dk.symbol("n", 2, "int64")
    made = f(x, n)
    assert (made["x"].dtype, made["n"].dtype, made["on"].dtype) == ("float32", "int64", "bool")
    values = {"x": np.ones(2, "float32"), "n": np.array([1, 2])}
    tape = record([made["x"], made["n"], made["on"]], [x, n])
    found = NUMPY.compile(tape)([values["x"], values["n"]])
    np.testing.assert_array_equal(found[1], [1, 2])
    np.testing.assert_array_equal(found[2], [False, True])
    gradient = dk.grad(np.sum(made["x"] * dk.where(made["on"], 1.0, 0.0)), wrt="x", **on_numpy)(values)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, [0, 2 * np.cos(1)], rtol=1e-6)
