"""`dk.scan` and `dk.cond`: against the same loop written out, in every engine, order and dtype."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from helpers import NUMPY, run
from helpers_loops import python_scan

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.engines.reverse import adjoint_tape
from diffkit.expr.node import variable
from diffkit.tape import load_tape, record
from diffkit.tape.body import Body
from diffkit.tape.inlined import inlined
from diffkit.tape.tidy import tidied

RNG = np.random.default_rng(0)
P, C, XS = RNG.standard_normal((3, 3)) / 2, RNG.standard_normal(3), RNG.standard_normal((4, 3))
on_numpy = {"machine": "numpy"}


# ---- functions with a loop, written with any `scan` ---------------------------------------------------------------
def euler(scan):
    """A closed-over matrix, ys that are read."""

    def f(p, c, xs):
        def step(c, x):
            c = c + 0.1 * np.tanh(p @ c) + x
            return c, np.sum(c * x)

        c, ys = scan(step, c, xs)
        return np.sum(c) + np.sum(ys * ys)

    return f


def nested(scan):
    """A loop in a loop, backwards, with dicts, None and something closed over that is computed outside."""

    def f(p, c, xs):
        squared = p @ p

        def step(c, x):
            def inner(d, z):
                return {"h": np.sin(d["h"]) * z + np.sum(x) * 0.1, "k": d["k"] * d["h"] + z}, None

            d, _ = scan(inner, {"h": c[0], "k": c[1]}, x)
            c = 0.5 * (squared @ c) + 0.3 * dk.stack([d["h"], d["k"], x[0]])
            return c, (c * x, None)

        c, (ys, _) = scan(step, c, xs, reverse=True)
        return np.sum(c * C) + np.sum(np.sin(ys))

    return f


def descent(scan):
    """A gradient through a loop, inside the step of a loop."""

    def f(p, c, xs):
        def energy(q, x):
            return scan(lambda e, z: (e + np.sum(np.cos(q) * z) * 0.1 * e, None), 1.0, x)[0]

        def step(c, x):
            return c - 0.1 * dk.grad(energy, **on_numpy)(c, x), c[1]

        c, ys = scan(step, c, xs)
        return np.sum(p @ c) + np.sum(ys * ys)

    return f


def unread(scan):
    """Carries and ys that nobody reads."""

    def f(p, c, xs):
        def step(carry, x):
            a, b, unused = carry
            return (a * 0.9 + x, b + np.sum(p @ a), np.tanh(unused)), (b, a, np.sin(unused))

        (_, b, _), (ys, _, _) = scan(step, (c, 0.0, 1.0), xs)
        return b * np.sum(ys)

    return f


def choosing(scan):
    """A carry that the old one does not always reach."""

    def f(p, c, xs):
        c, ys = scan(lambda c, x: (np.where(x > 0, c * x, x), np.sqrt(1 + c * c)), c, xs)
        return np.sum(p @ c) + np.sum(ys)

    return f


def forgetting(scan):
    """A carry that does not depend on the old one."""

    def f(p, c, xs):
        c, ys = scan(lambda c, x: (x, c * x), c, xs)
        return np.sum(p @ c) * np.sum(ys)

    return f


def numbers(scan):
    """What a condition chooses among plain numbers, which have no dtype of their own, is needed on the way back."""

    def f(p, c, xs):
        c, _ = scan(lambda c, x: (c * np.exp(np.where(c > x, 0.5, -1.0)) + x, None), c, xs)
        return np.sum(p @ c)

    return f


def one_after_another(scan):
    """The second loop does nothing with what it is given of the first."""

    def f(p, c, xs):
        _, (ys, zs) = scan(lambda c, x: (np.sin(c) * x, (c * x, np.cos(c))), c, xs)
        end, _ = scan(lambda s, x: ((s[0] * x[0], s[1] + x[1]), None), (c, c), (xs, zs * 2.0))
        return np.sum(end[0]) + np.sum(p @ ys[0])

    return f


FUNCTIONS = [euler, nested, descent, unread, choosing, forgetting, numbers, one_after_another]
WAYS = {
    "reverse": lambda f: dk.grad(f, argnums=(0, 1, 2), **on_numpy),
    "forward": lambda f: dk.grad(f, argnums=(0, 1, 2), engine="forward", **on_numpy),
    "hessian": lambda f: dk.hessian(f, argnums=1, **on_numpy),
    "forward hessian": lambda f: dk.hessian(f, argnums=1, engine="forward", **on_numpy),
    "gradient of a gradient": lambda f: dk.grad(
        lambda *a: sum(np.sum(g * g) for g in dk.grad(f, argnums=(0, 1), **on_numpy)(*a)), argnums=(0, 1, 2), **on_numpy
    ),
}


def close(found, expected, rtol=1e-12):
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * (1 + np.abs(b).max()))


@pytest.mark.parametrize("checkpoints", [None, 1, 2, 3])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_loop_is_what_it_is_written_out(make, way, checkpoints):
    def scan(*args, **how):
        return dk.scan(*args, **{**how, "checkpoints": checkpoints})

    close(WAYS[way](make(scan))(P, C, XS), WAYS[way](make(python_scan))(P, C, XS))


@pytest.mark.parametrize("checkpoints", [None, 2])
@pytest.mark.parametrize("make", FUNCTIONS, ids=lambda f: f.__name__)
def test_on_the_cpu_machine(make, checkpoints):
    def scan(*args, **how):
        return dk.scan(*args, **{**how, "checkpoints": checkpoints})

    f, values = make(scan), (P, C, np.tile(XS, (60, 1)) / 8)  # too long to be written out
    for engine in ("reverse", "forward"):
        one, other = (dk.grad(f, argnums=1, engine=engine, machine=m)(*values) for m in ("cpu", "numpy"))
        close(one, other, 1e-10)
    close(dk.hessian(f, argnums=1)(P, C, XS), dk.hessian(f, argnums=1, **on_numpy)(P, C, XS), 1e-12)


@pytest.mark.parametrize("make", FUNCTIONS, ids=lambda f: f.__name__)
def test_products_with_vectors(make):
    f, g = make(dk.scan), make(python_scan)
    tangents = (P * 2, C + 1, XS[::-1])
    close(dk.jvp(f, (P, C, XS), tangents, **on_numpy), dk.jvp(g, (P, C, XS), tangents, **on_numpy))
    close(dk.vjp(f, P, C, XS, **on_numpy)[1](1.5), dk.vjp(g, P, C, XS, **on_numpy)[1](1.5))
    one, other = (dk.hvp(h, (P, C, XS), tangents, **on_numpy) for h in (f, g))
    close(one, other)


@pytest.mark.parametrize("engine", ["symbolic", "finite"])
def test_the_other_engines(engine):
    f, g = euler(dk.scan), euler(python_scan)
    xs = XS[: 1 if engine == "symbolic" else 4]
    found = dk.grad(f, argnums=1, engine=engine, **on_numpy)(P, C, xs)
    close(found, dk.grad(g, argnums=1, **on_numpy)(P, C, xs), 1e-9)


def test_all_engines_agree_with_the_certified_truth():
    c = dk.symbol("c", 2)
    end, ys = dk.scan(lambda c, x: (np.sin(c) * x, np.sum(c)), c, np.array([1.0, 2, 0.5]))
    compared = dk.compare(np.sum(end) + np.sum(ys), at={"c": np.array([0.1, 0.7])})
    assert compared.agree
    assert all(compared[e].outcome == "ok" for e in ("symbolic", "forward", "reverse", "finite"))


def test_a_loop_too_long_to_be_written_out_says_so():
    c = dk.symbol("c")
    end, _ = dk.scan(lambda c, x: (np.sin(c) + 0.1 * c * c, None), c, length=100_000)
    with pytest.raises(dk.ExceededError, match="a loop of 100,000 steps"):
        dk.grad(end, engine="symbolic", **on_numpy)(c=0.3)
    program = find_engine("reverse").program(record(end), [0])
    with pytest.raises(dk.ExceededError, match="a rounding bound over loops"):
        program.bars(NUMPY, [0.3])


# ---- meaning ------------------------------------------------------------------------------------------------------
def test_structures_and_order():
    (total, count), ys = dk.scan(
        lambda c, x: ((c[0] + x["a"], c[1] + 1.0), {"before": c[0], "twice": 2 * x["b"]}),
        (0.0, 0.0),
        {"a": np.arange(4.0), "b": np.arange(8.0).reshape(4, 2)},
    )
    assert (total, count) == (6.0, 4.0) and isinstance(total, np.floating)
    np.testing.assert_array_equal(ys["before"], [0, 0, 1, 3])
    np.testing.assert_array_equal(ys["twice"], 2 * np.arange(8.0).reshape(4, 2))


def test_reverse_goes_from_the_last():
    end, ys = dk.scan(lambda c, x: (c * 2 + x, c), 0.0, np.array([1.0, 2, 3]), reverse=True)
    assert end == (3 * 2 + 2) * 2 + 1
    np.testing.assert_array_equal(ys, [8, 3, 0])


@pytest.mark.parametrize("engine", ["forward", "reverse"])
@pytest.mark.parametrize("checkpoints", [None, 2])
@pytest.mark.parametrize("length", [0, 1, 2])
def test_short_loops(length, checkpoints, engine):
    def f(c, xs):
        end, ys = dk.scan(lambda c, x: (c * c + x, c * x), c, xs, checkpoints=checkpoints)
        return end + np.sum(ys)

    def expected(c, xs):
        total = 0.0
        for n in range(length):
            c, total = c * c + xs[n], total + c * xs[n]
        return c + total

    xs = np.array([0.3, -0.7])[:length]
    how = {"argnums": (0, 1), "engine": engine, **on_numpy}
    found, wanted = dk.grad(f, **how)(0.8, xs), dk.grad(expected, **how)(0.8, xs)
    close(found, wanted) if length else np.testing.assert_array_equal(found[0], 1.0)
    assert np.shape(found[1]) == (length,)


def test_an_empty_loop_gives_the_first_carry_and_empty_ys():
    end, ys = dk.scan(lambda c, x: (c + 1.0, {"a": c * np.ones(3), "b": x}), 2.0, np.ones((0, 5)))
    assert end == 2.0 and ys["a"].shape == (0, 3) and ys["b"].shape == (0, 5)


def test_a_loop_without_a_carry_is_a_map():
    def f(x, a):
        return np.sum(dk.scan(lambda c, x: (None, a * np.sin(x)), None, x)[1])

    x = np.linspace(0, 1, 5)
    np.testing.assert_allclose(dk.grad(f, **on_numpy)(x, 2.0), 2 * np.cos(x), rtol=1e-15)
    np.testing.assert_allclose(dk.grad(f, argnums=1, **on_numpy)(x, 2.0), np.sin(x).sum(), rtol=1e-15)


def test_a_loop_of_nothing_but_numbers():
    end, ys = dk.scan(lambda c, x: ((), 3.0), (), length=2)
    assert end == ()
    np.testing.assert_array_equal(ys, [3.0, 3.0])


def test_only_something_closed_over_is_traced():
    def f(a):
        return dk.scan(lambda c, x: (c * a + x, None), 1.0, np.array([1.0, 2.0]))[0]

    assert dk.grad(f, **on_numpy)(3.0) == 2 * 3 + 1


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_loop_dims(engine):
    """Lanes of the carry, of xs and of constants come and go; every point is what it is alone."""
    c, xs, a = dk.symbol("c", 2), dk.symbol("xs", (3, 2)), dk.symbol("a")

    def loop(scan):
        end, ys = scan(lambda c, x: (np.tanh(c * a) + x, c * x), c, xs)
        return np.sum(end * end) + np.sum(ys)

    f, g = (dk.grad(loop(s), engine=engine, **on_numpy) for s in (dk.scan, python_scan))
    full = {"c": RNG.standard_normal((5, 2)), "xs": RNG.standard_normal((5, 3, 2)), "a": RNG.standard_normal(5)}
    for name in full:
        at = {n: v if n == name else v[0] for n, v in full.items()}
        found, expected = f(at), g(at)
        for n in full:
            assert found[n].shape == (5, *full[n].shape[1:])
            np.testing.assert_allclose(found[n], expected[n], rtol=0, atol=1e-13)
        np.testing.assert_array_equal(f({**at, name: full[name][2]})["c"], found["c"][2])


@pytest.mark.parametrize("checkpoints", [None, 2])
def test_loop_dims_of_a_reversal(checkpoints):
    c, xs = dk.symbol("c", 2), dk.symbol("xs", (3, 2))
    end, ys = dk.scan(lambda c, x: (np.sin(c) * x, c), c, xs, checkpoints=checkpoints)
    f = dk.grad(np.sum(end) + np.sum(ys * ys), **on_numpy)
    at = {"c": RNG.standard_normal((4, 1, 2)), "xs": RNG.standard_normal((3, 3, 2))}
    found = f(at)
    for i in range(4):
        for j in range(3):
            alone = f(c=at["c"][i, 0], xs=at["xs"][j])
            np.testing.assert_array_equal(found["c"][i, j], alone["c"])
            np.testing.assert_array_equal(found["xs"][i, j], alone["xs"])


# ---- dtypes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("checkpoints", [None, 2])
def test_float32_stays_float32(checkpoints):
    def f(c, xs):
        end, ys = dk.scan(lambda c, x: (np.tanh(c) * x, c * 2.0), c, xs, checkpoints=checkpoints)
        return np.sum(end) + np.sum(ys)

    args = C.astype("float32"), XS.astype("float32")
    found = dk.grad(f, argnums=(0, 1), **on_numpy)(*args)
    expected = dk.grad(f, argnums=(0, 1), **on_numpy)(C, XS)
    assert [g.dtype for g in found] == [np.float32] * 2
    close(found, expected, 1e-5)
    tape = adjoint_tape(record(dk.trace(f, *args)), [0, 1])
    assert {k.dtype for k in tape.kinds} == {"float32"}


def test_a_python_number_takes_the_steps_dtype():
    x32 = np.ones(3, "float32")
    assert dk.scan(lambda c, x: (c + x, c), 0.0, x32)[0].dtype == np.float32
    assert dk.scan(lambda c, x: (c + x, c), 0, x32)[1].dtype == np.float32
    assert dk.scan(lambda c, x: (c + x * np.ones(()), c), 0.0, x32)[0].dtype == np.float64
    assert dk.scan(lambda c, x: (c + 1, x), 0, x32)[1].dtype == np.float32


def test_integers_and_conditions_ride_along():
    """An index and a flag, without a derivative, beside a float32 that has one."""

    def f(scan):
        def whole(c, w):
            def step(carry, x):
                c, last, on = carry
                c = c * dk.where(on, w, 1.0) + dk.where(x > 1, 0.5, 0.25) * c
                return (c, x, x > 0), (last, on, c)

            (c, last, _), (lasts, flags, ys) = scan(step, (c, np.array(7), np.array(True)), np.array([2, 0, 1]))
            return np.sum(c) + np.sum(ys) + dk.cast(last, dtype="float64"), lasts, flags

        return whole

    c, w = np.array([0.5, 2.0], "float32"), np.float32(0.7)
    inputs = [variable("c", (2,), "float32"), variable("w", (), "float32")]
    lasts, flags = run(record(f(dk.scan)(*inputs)[1:], inputs), c, w)
    assert (lasts.dtype, flags.dtype) == (np.int64, bool)
    np.testing.assert_array_equal(lasts, [7, 2, 0])
    np.testing.assert_array_equal(flags, [True, True, False])
    for checkpoints in (None, 2):
        looped = f(lambda *a, k=checkpoints, **how: dk.scan(*a, checkpoints=k, **how))
        for engine in ("forward", "reverse"):
            one, other = (
                dk.grad(lambda c, w, g=g: g(c, w)[0], argnums=(0, 1), engine=engine, **on_numpy)(c, w)
                for g in (looped, f(python_scan))
            )
            assert [np.asarray(g).dtype for g in one] == [np.float32] * 2
            close(one, other, 1e-6)


# ---- errors -------------------------------------------------------------------------------------------------------
def dies(error, match, *args, **how):
    with pytest.raises(error, match=match):
        dk.scan(*args, **how)


def test_errors_name_the_leaf():
    def grow(c, x):
        return {"a": c["a"], "b": np.stack([c["b"], c["b"]])}, None

    dies(
        dk.ShapeError,
        r"carry\.b of core shape \(2,\) into core shape \(2, 2\)",
        grow,
        {"a": 1.0, "b": np.ones(2)},
        length=3,
    )
    dies(
        dk.DtypeError, r"carry\[1\] of dtype float32 into dtype float64", lambda c, x: ((c[0], c[1] * np.ones(())), None),
        (1.0, np.float32(1)), length=3,
    )  # fmt: skip
    dies(dk.DtypeError, "carry of dtype int64 into dtype float64", lambda c, x: (c + 1.0, None), np.array(0), length=3)
    dies(dk.ArgumentError, "structure", lambda c, x: ((c, c), None), 1.0, length=2)
    dies(dk.ArgumentError, r"pair \(carry, y\)", lambda c, x: c, 1.0, length=2)
    dies(dk.TracingError, "returned a str", lambda c, x: (c, "y"), 1.0, length=2)
    dies(dk.ArgumentError, "length=", lambda c, x: (c, x), 1.0)
    dies(dk.ShapeError, r"xs\[1\]: 3", lambda c, x: (c, x), 1.0, [np.ones(2), np.ones(3)])
    dies(dk.ShapeError, "length: 4", lambda c, x: (c, x), 1.0, np.ones(3), length=4)
    dies(dk.ShapeError, r"xs\.a is a scalar", lambda c, x: (c, x), 1.0, {"a": 1.0})
    dies(dk.ArgumentError, "cannot be negative", lambda c, x: (c, x), 1.0, length=-1)
    dies(dk.ArgumentError, "whole number", lambda c, x: (c, x), 1.0, length=1.5)
    for wrong in (0, -1, True, 1.5):
        dies(dk.ArgumentError, "at least 1", lambda c, x: (c, x), 1.0, length=3, checkpoints=wrong)


def test_if_in_a_step_says_what_to_write():
    def step(c, x):
        return (c if c > 0 else -c), None

    dies(dk.TracingError, "dk.where.*dk.cond", step, 1.0, length=2)


# ---- the branch not taken -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("checkpoints", [None, 1])
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_what_a_later_step_discards_does_not_leak(engine, checkpoints):
    def f(x):
        def step(c, flag):
            return np.where(flag > 0, 2 * x, np.sqrt(c)), None

        return np.sum(dk.scan(step, x - 1.0, np.array([0.0, 1.0]), checkpoints=checkpoints)[0])

    found = dk.grad(f, engine=engine, **on_numpy)(np.array([4.0, 1.0, 0.5]))
    np.testing.assert_array_equal(found, [2.0, 2.0, 2.0])


def test_what_where_discards_of_ys_does_not_leak():
    def f(x):
        ys = dk.scan(lambda c, x: (c, np.sqrt(x)), None, x)[1]
        return np.sum(np.where(x > 0, ys, 3 * x))

    np.testing.assert_array_equal(dk.grad(f, **on_numpy)(np.array([4.0, 0.0, -1.0])), [0.25, 3.0, 3.0])


def test_a_nan_that_is_the_answer_stays_seen():
    def f(x):
        return np.sum(dk.scan(lambda c, x: (c, np.sqrt(x)), None, x)[1])

    np.testing.assert_array_equal(np.isnan(dk.grad(f, **on_numpy)(np.array([4.0, -1.0]))), [True, True])
    assert np.isinf(dk.grad(f, **on_numpy)(np.array([0.0, 1.0]))[0])


# ---- work ---------------------------------------------------------------------------------------------------------
def evaluations(monkeypatch, call):
    """How often each body is run."""
    counted: dict[Body, int] = {}
    original = Body.run

    def counting(self, inputs):
        counted[self] = counted.get(self, 0) + 1
        return original(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(Body, "run", counting)
        call()
    return counted


def test_reverse_runs_every_step_once_forwards_and_once_backwards(monkeypatch):
    f = dk.grad(euler(dk.scan), argnums=(0, 1), **on_numpy)
    assert sorted(evaluations(monkeypatch, lambda: f(P, C, XS)).values()) == [4, 4]


def test_a_jvp_is_one_loop(monkeypatch):
    assert list(
        evaluations(monkeypatch, lambda: dk.jvp(euler(dk.scan), (P, C, XS), (P, C, XS), **on_numpy)).values()
    ) == [4]


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_tangents_in_several_directions_share_one_loop(monkeypatch, engine):
    g = dk.grad if engine == "forward" else dk.hessian
    f = g(euler(dk.scan), argnums=1, engine=engine, **on_numpy).prepare(P, C, XS)
    runs = sorted(evaluations(monkeypatch, lambda: f(P, C, XS)).values())
    assert runs == ([4] if engine == "forward" else [4, 4])
    tape = find_engine("forward").program(record(dk.trace(euler(dk.scan), P, C, XS)), [1]).tape
    assert tape.counts()["elementary"] == 4 * 3 * 2


def test_loops_one_of_which_needs_the_other_stay_apart():
    """Both extend the same loop, of the same arguments; yet the second starts from what the first gives."""

    def f(c):
        loop = lambda c: dk.scan(lambda c, x: (np.sin(c), None), c, length=3)[0]
        once = dk.jvp(loop, (c,), (np.ones(2),))[1]
        return np.sum(dk.jvp(loop, (c,), (once,))[1])

    def g(c):
        slope = np.cos(c) * np.cos(np.sin(c)) * np.cos(np.sin(np.sin(c)))
        return np.sum(slope**2)

    np.testing.assert_allclose(dk.grad(f, **on_numpy)(C[:2]), dk.grad(g, **on_numpy)(C[:2]), rtol=1e-13)


def test_nothing_dear_is_done_twice_in_reverse():
    """tanh, and exp in its partial; the product with the matrix and its two transposes."""
    tape = adjoint_tape(record(dk.trace(euler(dk.scan), P, C, XS)), [0, 1])
    assert tape.counts()["elementary"] == 4 * 3 * 2
    assert tape.counts()["matmul"] <= 4 * (3 + 3 + 9)


def test_what_is_not_differentiated_by_costs_nothing():
    base = record(dk.trace(euler(dk.scan), P, C, XS))
    by_carry = adjoint_tape(base, [base.names.index("c")])
    assert by_carry.counts()["matmul"] == 4 * (3 + 3)  # no sums of the matrix's adjoints


def test_what_nobody_reads_is_not_computed():
    tape = tidied(record(dk.trace(unread(dk.scan), P, C, XS)))
    assert "elementary" not in tape.counts()
    values = dict(zip(("p", "c", "xs"), (P, C, XS), strict=True))
    expected = unread(python_scan)(P, C, XS)
    np.testing.assert_allclose(run(tape, *(values[n] for n in tape.names))[0], expected, rtol=1e-14)


def test_counts_are_steps_times_the_body():
    c = dk.symbol("c", 3)
    end, _ = dk.scan(lambda c, x: (np.sin(c) * 2.0, None), c, length=1000)
    counts = dk.tape(end).counts()
    assert (counts["elementary"], counts["mul"], counts["total"]) == (3000, 3000, 6000)


def test_a_long_loop_is_one_instruction_and_traced_once():
    calls = []

    def step(c, x):
        calls.append(1)
        return c * 0.5, None

    f = dk.trace(lambda c: dk.scan(step, c, length=10**6)[0], 1.0)
    assert len(calls) <= 2 and len(record(f).kinds) < 6


def test_written_out_it_is_the_same():
    for make in FUNCTIONS:
        for checkpoints in (None, 2):
            f = make(lambda *a, c=checkpoints, **k: dk.scan(*a, **{**k, "checkpoints": c}))
            base = record(dk.trace(f, P, C, XS))
            values = [{"p": P, "c": C, "xs": XS}[n] for n in base.names]
            tape = adjoint_tape(base, range(len(values)))
            plain = inlined(tape, 10**5)
            assert not any("body" in k.kwargs for k in plain.kinds)
            for a, b in zip(run(tape, *values, 1.0), run(plain, *values, 1.0), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * (1 + np.abs(b).max()))
    assert inlined(tape, 20) is None


# ---- keeping ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("checkpoints", [None, 2])
def test_tapes_with_loops_are_saved_and_read(tmp_path, checkpoints):
    f = nested(lambda *a, **k: dk.scan(*a, **{**k, "checkpoints": checkpoints}))
    base = record(dk.trace(f, P, C, XS))
    tape = adjoint_tape(base, [0, 1, 2])
    tape.save(tmp_path / "tape.json")
    back = load_tape(tmp_path / "tape.json")
    assert str(back) == str(tape) and "body0:" in str(tape)
    values = [{"p": P, "c": C, "xs": XS}[n] for n in base.names]
    for a, b in zip(run(tape, *values, 1.0), run(back, *values, 1.0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_loop_is_refused(tmp_path):
    c = dk.symbol("c", 3)
    record(dk.scan(lambda c, x: (np.sin(c), None), c, length=7)[0]).save(tmp_path / "tape.json")
    text = (tmp_path / "tape.json").read_text()
    for old, new in (
        ('["length",7]', '["length",{"f":"0x1.8p+0"}]'),
        ('["carries",1]', '["carries",0]'),
        ('"sin"', '"nothing"'),
    ):
        assert old in text
        (tmp_path / "other.json").write_text(text.replace(old, new))
        with pytest.raises(dk.DataError):
            load_tape(tmp_path / "other.json")


def test_expressions_with_loops_are_pickled_to_the_same_object():
    f = dk.trace(nested(dk.scan), P, C, XS)
    assert pickle.loads(pickle.dumps(f)) is f


def test_equal_loops_are_the_same_object():
    assert dk.trace(euler(dk.scan), P, C, XS) is dk.trace(euler(dk.scan), P, C, XS)


def test_vmap_and_kinks():
    def f(c, xs):
        return dk.scan(lambda c, x: (np.abs(c) + x, None), c, xs)[0]

    xs = RNG.standard_normal((5, 4))
    mapped = dk.vmap(f, in_axes=(None, 0))(0.5, xs)
    np.testing.assert_allclose(mapped, [f(0.5, x) for x in xs], rtol=1e-15)
    g = dk.grad(f, **on_numpy)
    zero = np.zeros(2)
    assert g(0.0, zero) == 0
    with dk.kinks("right"):
        assert g(0.0, zero) == 1
    with dk.kinks("left"):
        assert g(0.0, zero) == -0.0 or g(0.0, zero) == 1  # −1·−1: |0| is 0 from the left again
    assert g(0.0, zero) == 0


# ---- cond ---------------------------------------------------------------------------------------------------------
def branches(x):
    return dk.cond(np.sum(x) > 0, lambda x: {"y": np.sqrt(x), "z": 1.0}, lambda x: {"y": x * x, "z": np.sum(x)}, x)


@pytest.mark.parametrize("engine", ["forward", "reverse", "finite"])
def test_cond_takes_one_branch(engine):
    def f(x):
        made = branches(x)
        return np.sum(made["y"]) * made["z"]

    g = dk.grad(f, engine=engine, **on_numpy)
    x = np.array([4.0, 1.0])
    np.testing.assert_allclose(g(x), 0.5 / np.sqrt(x), rtol=1e-9)
    x = np.array([-2.0, 1.0])  # sqrt(-2) in the other branch is NaN
    np.testing.assert_allclose(g(x), 2 * x * np.sum(x) + np.sum(x * x), rtol=1e-9)


def test_cond_on_what_is_known_calls_one_branch():
    def wrong():
        raise AssertionError

    assert dk.cond(True, lambda: 1, wrong) == 1 and dk.cond(np.bool_(False), wrong, lambda: 2) == 2


def test_cond_at_every_point_of_a_batch():
    x = dk.symbol("x")
    f = dk.grad(dk.cond(x, np.sin, lambda x: 3 * x, x - 1.0), wrt="x", **on_numpy)
    np.testing.assert_array_equal(f(x=np.array([1.0, 0.0])), [1.0, 3.0])


def test_cond_errors():
    x = dk.symbol("x", 2)
    with pytest.raises(dk.ShapeError, match=r"core shape \(2,\).*dk.where"):
        dk.cond(x > 0, np.sin, np.cos, x)
    with pytest.raises(dk.ShapeError, match="scalar"):
        dk.cond(np.array([True]), np.sin, np.cos, x)
    with pytest.raises(dk.ShapeError, match=r"result\.a has core shape \(2,\) in one branch and \(\) in the other"):
        dk.cond(x[0] > 0, lambda x: {"a": x}, lambda x: {"a": x[0]}, x)
    with pytest.raises(dk.ArgumentError, match="structured alike"):
        dk.cond(x[0] > 0, lambda x: (x, x), lambda x: x, x)


# ---- values that leak -----------------------------------------------------------------------------------------------
def leaking_step(kept):
    def step(c, x):
        kept.append(np.tanh(c) * x)
        return c * x, None

    return step


def by_scan(kept):
    return lambda w: dk.scan(leaking_step(kept), w, np.array([2.0, 3.0]))[0] + kept[-1]


def by_checkpoint(kept):
    return lambda w: dk.checkpoint(lambda a: (kept.append(a * 3), a * 2)[1])(w) + kept[-1]


def by_vmap(kept):
    return lambda w: dk.sum(dk.vmap(lambda a: (kept.append(a * 3), a * 2)[1])(w * np.ones(3))) + kept[-1]


def by_another_gradient(kept):
    dk.grad(lambda x: (kept.append(x), x * x)[1])(1.0)
    return lambda w: w * kept[-1]


@pytest.mark.parametrize("leak", [by_scan, by_checkpoint, by_vmap, by_another_gradient])
def test_a_value_kept_from_a_trace_that_is_over_is_an_error(leak):
    with pytest.raises(dk.TracingError, match="only inside a function"):
        dk.value_and_grad(leak([]))(1.5)


def test_a_trace_that_goes_on_may_be_closed_over():
    nested = dk.grad(lambda x: dk.scan(lambda c, _: (c + dk.grad(lambda y: y * y * x)(c), None), x, None, length=3)[0])
    np.testing.assert_allclose(nested(0.5), 20.0)


@pytest.mark.filterwarnings("error")
def test_a_complex_step_beside_a_loop():
    """By what the loop does not depend on: the bar's sweep goes through the loop, which knows real numbers alone."""
    rng = np.random.default_rng(0)
    xs, w, b, out = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(2, 2))

    def f(b, out):
        step = lambda h, x: (np.where(x @ w + b + h > 0, x @ w + b + h, 0.1 * h),) * 2
        return np.sum((dk.scan(step, np.zeros(2), xs)[1] @ out) ** 2)

    found, expected = (dk.grad(f, argnums=(0, 1), engine=e)(b, out) for e in ("finite", "reverse"))
    for a, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9)


def test_a_loop_too_long_for_a_bar_is_exceeded(monkeypatch):
    """It answered, but no bar says how well: neither a mismatch nor a missing answer."""
    monkeypatch.setattr("diffkit.engines.rounding.LONGEST", 100)
    v = dk.symbol("v", ())
    f = dk.scan(lambda c, _: (np.sin(c) * v, None), 0.3, None, length=500)[0]
    found = dk.compare(f, at={"v": 0.999}, timing=False, engines=("forward", "reverse", "finite"))
    for engine in ("forward", "reverse"):
        assert found[engine].outcome == "exceeded" and "100 operations" in found[engine].reason
        np.testing.assert_allclose(found[engine].gradient["v"], found["finite"].gradient["v"], rtol=1e-6)
