"""Integers computed with stay integers: NumPy's values on every machine, as indices, in loops, mapped, and in sources."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import DtypeError, ShapeError, UnsupportedError
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")
machines = pytest.mark.parametrize("machine", ["numpy", "cpu"])

i, j = dk.symbol("i", 4, dtype="int64"), dk.symbol("j", (2, 4), dtype="int64")
b, x = dk.symbol("b", 4, dtype="bool"), dk.symbol("x", 4)
s = dk.symbol("s", 4, dtype="float32")
AT = {
    "i": np.array([-7, 0, 5, 2]), "j": np.array([[3, -2, 0, 1], [-1, 4, 2, 0]]), "b": np.array([True, False, True, True]),
    "x": np.array([0.5, -1.0, 2.0, 4.0]), "s": np.array([1, 2, 3, 4], "float32"),
}  # fmt: skip

#: over expressions and over arrays; all are int64
INTEGER = {
    "i + j": lambda i, j, b: i + j,
    "i - 3": lambda i, j, b: i - 3,
    "3 - i": lambda i, j, b: 3 - i,
    "2 * j": lambda i, j, b: 2 * j,
    "i * j": lambda i, j, b: i * j,
    "-i": lambda i, j, b: -i,
    "+i": lambda i, j, b: +i,
    "abs": lambda i, j, b: abs(i),
    "np.abs": lambda i, j, b: np.abs(i) + np.absolute(j),
    "i + b": lambda i, j, b: i + b,
    "b * 2 + i": lambda i, j, b: b * np.int64(2) + i,
    "i + array": lambda i, j, b: i + np.arange(4),
    "i + np.int64": lambda i, j, b: i + np.int64(3),
    "% 3": lambda i, j, b: i % 3,
    "% -3": lambda i, j, b: i % -3,
    "% j": lambda i, j, b: i % j,
    "of number": lambda i, j, b: 7 % i,
    "// 3": lambda i, j, b: i // 3,
    "// -2": lambda i, j, b: i // -2,
    "// j": lambda i, j, b: i // j,
    "number //": lambda i, j, b: -7 // i,
    "fmod": lambda i, j, b: np.fmod(i, j) + np.fmod(j, 3),
    "divmod": lambda i, j, b: divmod(i, 3)[0] * 3 + divmod(i, 3)[1],
    "by zero": lambda i, j, b: (i // 0, i % 0)[0] + i % 0,
    "maximum": lambda i, j, b: np.maximum(i, j) + np.maximum(i, 1),
    "minimum": lambda i, j, b: np.minimum(i, j) + np.minimum(-1, i),
    "clip": lambda i, j, b: np.clip(i, -1, 3),
    "where": lambda i, j, b: np.where(b, i, 0) + np.where(i > 0, 1, j),
    "moved": lambda i, j, b: np.concatenate([i + 1, j[0] * 2])[::2],
    "deep": lambda i, j, b: ((i * 3 + 1) % 5 - j // 2) * np.maximum(i, 2),
    "diff": lambda i, j, b: np.diff(j),
    "ptp": lambda i, j, b: np.count_nonzero(j, axis=0) + i,
}


def of_arrays(f: Any) -> np.ndarray:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(AT["i"], AT["j"], AT["b"])


@machines
@pytest.mark.parametrize("name", INTEGER)
def test_values_are_numpys(name, machine):
    expression, expected = INTEGER[name](i, j, b), of_arrays(INTEGER[name])
    assert expression.dtype == "int64"
    found = expression({n: AT[n] for n in expression.variables}, machine=machine)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)
    many = {n: np.stack([AT[n]] * 3) for n in expression.variables}
    np.testing.assert_array_equal(expression(many, machine=machine), np.stack([expected] * 3))


FLOATS = {
    "/": (i / 2, "float64"),
    "float": (i + 1.0, "float64"),
    "float first": (0.5 * i, "float64"),
    "x": (i + x, "float64"),
    "float32": (i * s, "float64"),
    "power": (i**2, "float64"),
    "exp": (np.exp(i), "float64"),
    "sum": (np.sum(i), "float64"),
    "booleans": (b + b, "float64"),
    "% float": (i % 2.0, "float64"),
    "where": (dk.where(b, i, 0.5), "float64"),
    "float32 alone": (s % 2, "float32"),
    "float32 // alone": (s // 2, "float32"),
}


@pytest.mark.parametrize("name", FLOATS)
def test_everything_else_is_a_float(name):
    f, dtype = FLOATS[name]
    assert f.dtype == dtype
    assert f({n: AT[n] for n in f.variables}, machine="numpy").dtype == dtype


@machines
def test_sums_are_exact_where_doubles_are(machine):
    n = 2**53 - 7
    assert (i + 1)(i=[n, -n, 0, 1], machine=machine).tolist() == [n + 1, 1 - n, 1, 2]
    assert (i * 3 - n)(i=[n // 3, -1, 0, 1], machine=machine).tolist() == [n // 3 * 3 - n, -3 - n, -n, 3 - n]
    assert (i % 10)(i=[n, -n, 0, 1], machine=machine).tolist() == [n % 10, -n % 10, 0, 1]


def test_a_number_too_large_for_an_integer():
    with pytest.raises(DtypeError, match="too large for int64"):
        i + 2**63


# ---- as indices ---------------------------------------------------------------------------------------------------
@machines
@pytest.mark.parametrize("engine", ["forward", "reverse", "finite"])
def test_an_index_that_is_computed(machine, engine):
    k = dk.symbol("k", dtype="int64")
    f = x[(k + 1) % 4] * x[k] + np.sum(x[(np.arange(4) * 3 + k) % 4] * np.arange(4.0))
    at = AT["x"]
    for n in range(4):
        expected = at[(n + 1) % 4] * at[n] + np.sum(at[(np.arange(4) * 3 + n) % 4] * np.arange(4.0))
        np.testing.assert_allclose(f(x=at, k=n, machine=machine), expected, rtol=1e-14)
        slope = np.zeros(4)
        slope[(n + 1) % 4] += at[n]
        slope[n] += at[(n + 1) % 4]
        np.add.at(slope, (np.arange(4) * 3 + n) % 4, np.arange(4.0))
        found = dk.grad(f, wrt="x", engine=engine, machine=machine)(x=at, k=n)
        np.testing.assert_allclose(found, slope, rtol=1e-6 if engine == "finite" else 1e-14)
    with pytest.raises(ShapeError, match="out of range"):
        x[k + 1](x=at, k=3, machine=machine)
    with pytest.raises(UnsupportedError, match="dtype int64"):
        x[k / 2]


@machines
def test_functions_with_integer_arguments(machine):
    def f(x, k):
        return np.sum(x * (k + 1)) + x[k[0] % 3] * (k // 2)[1]

    point, k = np.array([1.0, 2.0, 3.0]), np.array([4, 5, 6])
    slope = dk.grad(f, machine=machine)(point, k)
    assert slope.tolist() == [5.0, 8.0, 7.0]
    value, _ = dk.value_and_grad(f, machine=machine)(point, k)
    assert value == f(point, k)
    sparse = dk.jacobian(lambda x: x[(np.arange(3) + 1) % 3] * 2, sparse=True)(point)
    np.testing.assert_array_equal(sparse.toarray(), 2 * np.roll(np.eye(3), 1, axis=1))


# ---- loops --------------------------------------------------------------------------------------------------------
@machines
@pytest.mark.parametrize("engine", ["forward", "reverse"])
@pytest.mark.parametrize("checkpoints", [None, 2])
def test_loop_counters(machine, engine, checkpoints):
    def picked(x):
        return dk.scan(lambda c, i: (c + x[i % 3], None), 0.0, np.arange(10), checkpoints=checkpoints)[0]

    def counted(x):
        def step(carry, _):
            k, total = carry
            return ((k + 2) % 3, total * 0.5 + x[k] ** 2), k

        (last, total), ks = dk.scan(step, (np.int64(1), 0.0), length=7, checkpoints=checkpoints)
        return total * (1 + dk.sum(ks)) + last

    def python(x):
        k, total, ks = 1, 0.0, 0
        for _ in range(7):
            k, total, ks = (k + 2) % 3, total * 0.5 + x[k] ** 2, ks + k
        return total * (1 + ks) + k

    point = np.array([0.5, -1.0, 2.0])
    how = {"engine": engine, "machine": machine}
    assert dk.grad(picked, **how)(point).tolist() == [4.0, 3.0, 3.0]
    value, slope = dk.value_and_grad(counted, **how)(point)
    assert value == python(point)
    np.testing.assert_allclose(slope, dk.grad(python, **how)(point), rtol=1e-14)


@machines
def test_an_integer_carry(machine):
    f = dk.trace(lambda x: dk.scan(lambda k, v: (k + 1, v * k), np.array(0), x)[1], np.ones(5))
    np.testing.assert_array_equal(f(x=np.arange(5.0), machine=machine), np.arange(5.0) ** 2)
    f = dk.trace(lambda x: dk.scan(lambda k, v: (k + 1, v * x[k % 5]), 0, x)[1], np.ones(5))
    np.testing.assert_array_equal(f(x=np.arange(5.0), machine=machine), np.arange(5.0) ** 2)
    last, ks = dk.scan(lambda k, _: (2 * k + 1, k % 4), np.array([1, 2]), length=4)
    assert last.dtype == ks.dtype == np.int64
    assert last.tolist() == [31, 47] and ks.tolist() == [[1, 2], [3, 1], [3, 3], [3, 3]]


def test_a_python_int_in_the_carry_becomes_what_the_step_makes_of_it():
    x32 = np.ones(3, "float32")
    for step, xs, dtypes in (
        (lambda c, x: (c + 1, c), np.ones(3), ("int64", "int64")),
        (lambda c, x: (c + x, c), np.ones(3), ("float64", "float64")),
        (lambda c, x: (0.5, c), np.ones(3), ("float64", "float64")),
        (lambda c, x: (c + 1, c * x), x32, ("float32", "float32")),
        (lambda c, x: (c + x, c), x32, ("float32", "float32")),
    ):
        last, ys = dk.scan(step, 0, xs)
        assert (last.dtype, ys.dtype) == dtypes
    chain = dk.scan(lambda s, x: ((s[0] + s[1], s[1] + s[2], s[2] + s[3], s[3] + x), None), (0, 0, 0, 0), np.ones(4))[0]
    assert [v.item() for v in chain] == [1.0, 4.0, 6.0, 4.0] and {v.dtype.name for v in chain} == {"float64"}


@machines
def test_mapped(machine):
    def f(x, k):
        return x[(k + 1) % 4] * (k // 2 + 1)

    mapped = dk.vmap(f, in_axes=(None, 0))
    k = np.array([0, 1, 2, 3, -5])
    np.testing.assert_array_equal(mapped(AT["x"], k), AT["x"][(k + 1) % 4] * (k // 2 + 1))
    slope = dk.grad(lambda x: np.sum(mapped(x, k)), machine=machine)(AT["x"])
    expected = np.zeros(4)
    np.add.at(expected, (k + 1) % 4, k // 2 + 1)
    np.testing.assert_array_equal(slope, expected)


# ---- other forms --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("target", ["numpy", "jax", "torch"])
@pytest.mark.parametrize(
    "name", ["i + j", "3 - i", "2 * j", "abs", "% 3", "// -2", "% j", "clip", "where", "deep", "maximum"]
)
def test_source(name, target):
    if target != "numpy":
        pytest.importorskip(target)
    expression = INTEGER[name](i, j, b)
    space: dict[str, Any] = {}
    exec(expression.to_source(target), space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.asarray(space["f"](*(AT[n] for n in expression.variables)))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, of_arrays(INTEGER[name]))


def test_source_of_an_index():
    space: dict[str, Any] = {}
    exec(x[(i + 1) % 4].to_source("numpy"), space)
    np.testing.assert_array_equal(space["f"](AT["x"], AT["i"]), AT["x"][(AT["i"] + 1) % 4])


def test_nothing_is_added_to_what_was_written():
    """No casts: an instruction an operation."""
    assert str(dk.symbol("n", dtype="int64") + 1) == "n + 1"
    tape = record(i * 2 + 1, [i])
    assert [k.op.name for k, args in zip(tape.kinds, tape.args, strict=True) if args] == ["multiply", "add"]


@pytest.mark.parametrize(
    "f", [lambda x: x * (x > 0), lambda x: x * True, lambda x: x * np.array([True, False, True]), lambda x: (x < 2) + x]
)
def test_a_condition_leaves_single_precision_alone(f):
    given = np.array([-1, 2, 3], np.float32)
    assert dk.trace(f, given).dtype == f(given).dtype == np.float32
    for machine in ("numpy", "cpu"):
        assert dk.grad(lambda x: np.sum(f(x)), machine=machine)(given).dtype == np.float32
