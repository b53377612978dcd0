"""Indices that are values, sorting, and cumulative sums and products: NumPy's values, independent gradients, every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from diffkit.expr.functions import RULES
from diffkit.machines import machine as find_machine
from diffkit.ops import TABLE
from diffkit.ops.ordering import FEW_ROWS
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")

#: where nothing depends on the machine
MACHINE = "numpy"
machines = pytest.mark.parametrize("machine", ["numpy", "cpu"])
ENGINES = ("reverse", "forward", "finite")
engines = pytest.mark.parametrize("engine", ENGINES)
#: every engine, and each machine with one of them
runs = pytest.mark.parametrize(
    ("engine", "machine"), [("reverse", "cpu"), ("forward", "cpu"), ("reverse", "numpy"), ("finite", "numpy")]
)
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])

RNG = np.random.default_rng(3)
A = RNG.uniform(-1.5, 1.5, (3, 4, 5))


def close(engine: str) -> dict[str, float]:
    return {"rtol": 1e-6, "atol": 1e-8} if engine == "finite" else {"rtol": 1e-12, "atol": 1e-13}


def value(f: Any, machine: str = MACHINE, **at: Any) -> Any:
    return f({n: v for n, v in at.items() if n in f.variables}, machine=machine)


# ---- x[i] ---------------------------------------------------------------------------------------------------------
ROWS, GRID = np.array([2, 0, -1, 2]), np.array([[0], [-2]])
#: (x, i, j, k) -> indexed; `i` has core shape (4,), `j` (2, 1), `k` ()
INDICES = {
    "first": lambda x, i, j, k: x[i],
    "middle": lambda x, i, j, k: x[:, i],
    "last": lambda x, i, j, k: x[..., i],
    "matrix": lambda x, i, j, k: x[:, j],
    "scalar": lambda x, i, j, k: x[k],
    "scalar middle": lambda x, i, j, k: x[:, k, 1:],
    "two scalars": lambda x, i, j, k: x[k, :, k],
    "slices": lambda x, i, j, k: x[::-1, i, 1::2],
    "newaxis": lambda x, i, j, k: x[None, i, None],
    "ellipsis of nothing": lambda x, i, j, k: x[0, ..., 1, i],
    "ellipsis at the end": lambda x, i, j, k: x[i, ...],
    "number beside": lambda x, i, j, k: x[:, 1, i],
    "number after": lambda x, i, j, k: x[i, -1],
    "number apart": lambda x, i, j, k: x[0, :, i],
    "number apart, scalar": lambda x, i, j, k: x[0, :, k],
    "number and newaxis apart": lambda x, i, j, k: x[:, i, None, 2],
    "two": lambda x, i, j, k: x[i, i],
    "two that broadcast": lambda x, i, j, k: x[i, j],
    "two apart": lambda x, i, j, k: x[i, :, j],
    "three": lambda x, i, j, k: x[i, j, k],
    "known and not": lambda x, i, j, k: x[np.arange(2)[:, None], i],
    "not and known": lambda x, i, j, k: x[i, :, np.array([0, 1, 2, 3])],
    "list": lambda x, i, j, k: x[[0, 1, 0, 2], i],
    "known scalar array": lambda x, i, j, k: x[np.array(1), i],
    "mask": lambda x, i, j, k: x[np.array([True, True, False]), :, k],
    "mask of two axes": lambda x, i, j, k: x[np.arange(12).reshape(3, 4) % 3 == 0, i],
    "list of scalars": lambda x, i, j, k: x[[k, k]] if isinstance(k, dk.Expr) else x[np.stack([k, k])],
}


def _indexed(name: str, dtype: str = "float64") -> tuple[Any, dict[str, np.ndarray]]:
    x, at = dk.symbol("x", A.shape, dtype=dtype), {"i": ROWS, "j": GRID, "k": np.array(-2)}
    f = INDICES[name](x, *(dk.symbol(n, v.shape, dtype="int64") for n, v in at.items()))
    return f, {"x": A.astype(dtype), **{n: v for n, v in at.items() if n in f.variables}}


def _expected(name: str, x: np.ndarray, at: dict[str, np.ndarray]) -> np.ndarray:
    return INDICES[name](x, at.get("i", ROWS), at.get("j", GRID), at.get("k", np.array(-2)))


def _scattered(name: str, weights: np.ndarray, at: dict[str, np.ndarray]) -> np.ndarray:
    """The gradient of Σ weights·x[index]: weights added at the numbers of the elements taken."""
    places = _expected(name, np.arange(A.size).reshape(A.shape), at)
    return np.bincount(places.reshape(-1), weights.reshape(-1), A.size).reshape(A.shape)


@dtypes
@pytest.mark.parametrize("name", INDICES)
@machines
def test_indexing_is_numpys(name, dtype, machine):
    f, at = _indexed(name, dtype)
    expected = _expected(name, at["x"], at)
    found = value(f, machine, **at)
    assert f.dtype == found.dtype == dtype and f.shape == found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@runs
@pytest.mark.parametrize("name", INDICES)
def test_gradients_by_what_is_indexed(name, engine, machine):
    f, at = _indexed(name)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, f.shape)
    found = dk.grad(dk.sum(f * weights), wrt="x", engine=engine, machine=machine)(at)
    np.testing.assert_allclose(found, _scattered(name, weights, at), **close(engine))


@runs
@pytest.mark.parametrize("loops", ["x", "index", "both", "different", "none of any"])
@pytest.mark.parametrize("name", ["middle", "scalar", "slices", "number apart", "two that broadcast", "known and not"])
def test_loop_dims(name, loops, engine, machine):
    f, at = _indexed(name)
    on_x = {"x": (2,), "both": (2,), "different": (2, 1), "none of any": (0,)}.get(loops, ())
    on_index = {"index": (2,), "both": (2,), "different": (3,)}.get(loops, ())
    loop = np.broadcast_shapes(on_x, on_index)
    rng = np.random.default_rng(2)
    given = {
        n: rng.uniform(-1, 1, (*on_x, *v.shape)) if n == "x" else rng.integers(-3, 3, (*on_index, *v.shape)) for n, v in at.items()
    }  # fmt: skip
    points = {n: np.broadcast_to(v, (*loop, *at[n].shape)) for n, v in given.items()}
    found, g = value(f, machine, **given), dk.grad(dk.sum(f * f), wrt="x", engine=engine, machine=machine)(given)
    assert found.shape == (*loop, *f.shape) and g.shape == (*loop, *A.shape)
    for point in np.ndindex(loop):
        one = {n: v[point] for n, v in points.items()}
        expected = _expected(name, one["x"], one)
        np.testing.assert_array_equal(found[point], expected)
        np.testing.assert_allclose(g[point], _scattered(name, 2 * expected, one), **close(engine))


@engines
def test_second_derivatives_and_jacobian(engine):
    x, i = dk.symbol("x", 3), dk.symbol("i", 4, dtype="int64")
    at = {"x": np.array([0.5, -1.0, 2.0]), "i": ROWS}
    block = dk.jacobian(dk.exp(x[i]), wrt="x", engine=engine, machine=MACHINE)(at)
    np.testing.assert_allclose(block, np.exp(at["x"])[ROWS][:, None] * np.eye(3)[ROWS], **close(engine))
    found = dk.hessian(dk.sum(x[i] ** 3) * x[i][1], wrt="x", engine=engine, machine=MACHINE)(at)
    a, counts = at["x"][0], np.array([1, 0, 3])  # f = (a³ + 3c³)·a
    mixed = np.outer(np.eye(3)[0], 3 * counts * at["x"] ** 2)
    expected = np.diag(6 * counts * at["x"] * a) + mixed + mixed.T
    np.testing.assert_allclose(found, expected, rtol=1e-4 if engine == "finite" else 1e-12, atol=1e-6)


def test_products_with_vectors_and_vmap():
    x, i, v = np.array([0.5, -1.0, 2.0]), np.array([2, 2, 0]), np.array([1.0, 2.0, 3.0])

    def f(x, i):
        return x[i] ** 2

    out, tangent = dk.jvp(lambda x: f(x, i), (x,), (v,), machine=MACHINE)
    np.testing.assert_array_equal(tangent, 2 * x[i] * v[i])
    _, pullback = dk.vjp(lambda x: f(x, i), x, machine=MACHINE)
    np.testing.assert_array_equal(pullback(np.ones(3))[0], 2 * x * [1, 0, 2])
    np.testing.assert_array_equal(dk.hvp(lambda x: np.sum(f(x, i)), (x,), (v,), machine=MACHINE), 2 * v * [1, 0, 2])
    np.testing.assert_array_equal(out, x[i] ** 2)
    np.testing.assert_array_equal(dk.grad(lambda x, i: np.sum(f(x, i)), machine=MACHINE)(x, i), 2 * x * [1, 0, 2])
    many, places = np.arange(12.0).reshape(3, 4), np.array([[0, 1], [2, -1], [3, 3]])
    np.testing.assert_array_equal(dk.vmap(lambda x, i: x[i])(many, places), np.take_along_axis(many, places, 1))
    np.testing.assert_array_equal(dk.vmap(lambda x, i: x[i], in_axes=(None, 0))(x, places % 3), x[places % 3])


@machines
def test_embedding_and_cross_entropy(machine):
    """Rows looked up in a table, and of every row of logits that of its label."""
    table, words, labels = RNG.normal(size=(6, 3)), np.array([[5, 0], [0, 2]]), np.array([[1, 0], [2, 2]])

    def loss(table, words, labels):
        logits = table[words]
        return -np.mean(np.take_along_axis(dk.log_softmax(logits), labels[..., None], -1))

    def picked(table, words, labels):
        rows = np.reshape(dk.log_softmax(table[words]), (4, 3))
        return -np.mean(rows[np.arange(4), np.reshape(labels, (4,))])

    logits = table[words]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.zeros_like(table)
    np.add.at(expected, words, (p - np.eye(3)[labels]) / 4)
    for f in (loss, picked):
        np.testing.assert_allclose(dk.grad(f, machine=machine)(table, words, labels), expected, rtol=1e-12, atol=1e-15)


def test_a_known_index_is_no_operation_at_run_time():
    x = dk.symbol("x", (3, 4))
    assert x[dk.constant(np.array([0, 2]))] is x[[0, 2]]
    assert dk.take(x, dk.constant(np.array([0, 2])), 1) is x[:, [0, 2]]
    assert dk.take_along_axis(x, np.array([[1, 0]]), 1).op is TABLE["getitem"]


def test_integers_that_are_moved_stay_integers():
    i, x = dk.symbol("i", (3,), dtype="int64"), dk.symbol("x", 4)
    at = {"i": np.array([0, 2, 3]), "x": np.arange(4.0)}
    assert value(i[i[0]], **at) == 0 and value(x[i[::-1]], **at).tolist() == [3, 2, 0]
    assert value(x[dk.stack([i[1], i[0]])], **at).tolist() == [2, 0]
    assert value(x[i[i[:2].astype("int64")]], **at).tolist() == [0, 3]
    assert value(x[(i - 1).astype("int64")], **at).tolist() == [3, 1, 2]
    assert value(x[i.astype(np.float32).astype(int)], **at).dtype == "float64"
    assert dk.astype(np.ones(2), "float32").dtype == "float32"


# ---- take, take_along_axis, scatter_add ---------------------------------------------------------------------------
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("index", [np.array(1), ROWS, GRID], ids=["scalar", "vector", "matrix"])
def test_take(index, axis):
    x, i = dk.symbol("x", A.shape), dk.symbol("i", index.shape, dtype="int64")
    for f in (dk.take(x, i, axis), np.take(x, i, axis), x.take(i, axis)):
        np.testing.assert_array_equal(value(f, x=A, i=index), np.take(A, index, axis))


@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 2, 5), 1), ((3, 2, 1), -2), ((1, 4, 5), 0), ((3, 4, 2), -1), ((7,), None), ((3, 0, 5), 1)]
)
@pytest.mark.parametrize("known", [False, True])
def test_take_along_axis(shape, axis, known):
    index = np.random.default_rng(0).integers(-3, 3, shape)
    x = dk.symbol("x", A.shape)
    i: Any = index if known else dk.symbol("i", shape, dtype="int64")
    at = {"x": A} | ({} if known else {"i": index})
    expected = np.take_along_axis(A, index, axis)
    f = np.take_along_axis(x, i, axis)
    np.testing.assert_array_equal(value(f, **at), expected)
    places = np.take_along_axis(np.arange(A.size).reshape(A.shape), index, axis)
    for engine in ENGINES if expected.size else ():
        found = dk.grad(dk.sum(f**2), wrt="x", engine=engine, machine=MACHINE)(at)
        scattered = np.bincount(places.reshape(-1), 2 * expected.reshape(-1), A.size).reshape(A.shape)
        np.testing.assert_allclose(found, scattered, **close(engine))


@dtypes
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("index", "axis", "updates"),
    [(ROWS, 0, (4, 4, 5)), (GRID, -1, (3, 4, 2, 1)), (ROWS, 1, (5,)), (np.array(1), 1, ()), (ROWS[:0], 0, ())],
)
def test_scatter_add(index, axis, updates, known, dtype):
    x, u = dk.symbol("x", A.shape, dtype=dtype), dk.symbol("u", updates, dtype=dtype)
    i: Any = index if known else dk.symbol("i", index.shape, dtype="int64")
    at = {"x": A.astype(dtype), "u": RNG.normal(size=updates).astype(dtype)} | ({} if known else {"i": index})
    f = dk.scatter_add(x, i, u, axis)
    expected = dk.scatter_add(at["x"], index, at["u"], axis)
    assert f.dtype == dtype and expected.dtype == dtype
    np.testing.assert_allclose(
        value(f, **at), expected, rtol=1e-14 if dtype == "float64" else 1e-6, atol=1e-6 * (dtype != "float64")
    )
    if dtype == "float32":
        return
    by_hand = np.moveaxis(A.copy(), axis, 0)
    added = np.broadcast_to(at["u"], np.take(A, index, axis).shape)
    np.add.at(by_hand, index, np.moveaxis(added, range(axis % 3, axis % 3 + index.ndim), range(index.ndim)))
    np.testing.assert_array_equal(expected, np.moveaxis(by_hand, 0, axis))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, A.shape)
    for engine in ENGINES:
        found = dk.grad(dk.sum(f * weights), wrt=["x", "u"], engine=engine, machine=MACHINE)(at)
        np.testing.assert_allclose(found["x"], weights, **close(engine))
        taken = np.take(weights, index, axis)
        taken = taken.sum(axis=tuple(range(taken.ndim - len(updates)))) if len(updates) < taken.ndim else taken
        np.testing.assert_allclose(found["u"], taken, **close(engine))


@machines
def test_sums_of_float32_accumulate_in_float64(machine):
    u, i = dk.symbol("u", 10_000, dtype="float32"), dk.symbol("i", 10_000, dtype="int64")
    at = {"u": np.full(10_000, 0.1, "float32"), "i": np.zeros(10_000, int)}
    assert value(dk.scatter_add(np.zeros(2, "float32"), i, u), machine, **at)[0] == np.float32(
        at["u"].astype(float).sum()
    )
    assert value(dk.cumsum(u), machine, **at)[-1] == np.float32(at["u"].astype(float).sum())
    assert dk.cumsum(u).dtype == "float32"


# ---- out of range and other errors ----------------------------------------------------------------------------------
x, s, m = dk.symbol("x", 3), dk.symbol("s"), dk.symbol("m", (2, 3))
i, b = dk.symbol("i", 2, dtype="int64"), dk.symbol("b", 3, dtype="bool")


@pytest.mark.parametrize("place", [3, -4, 10**12, -(2**63)])
@pytest.mark.parametrize("loop", [(), (5,)])
@pytest.mark.parametrize(
    ("name", "f"), [("gather", x[i]), ("gather", m[:, i]), ("gather", m[dk.stack([0 * i, 0 * i], 1).astype(int), i[:, None]]),
                    ("scatter_add", dk.scatter_add(x, i, 1.0))],
)  # fmt: skip
@machines
def test_an_index_out_of_range_is_an_error(name, f, place, loop, machine):
    index = np.zeros((*loop, 2), int)
    index[..., -1] = place
    at = {n: v for n, v in {"x": np.ones(3), "m": np.ones((2, 3)), "i": index}.items() if n in f.variables}
    with pytest.raises(ShapeError, match=rf"{name}: index {place} is out of range for axis -1 .*length of 3"):
        value(f, machine, **at)
    wrt = next(n for n in ("x", "m") if n in at)
    for engine in ENGINES:
        with pytest.raises(ShapeError, match="out of range"):
            dk.grad(dk.sum(f), wrt=wrt, engine=engine, machine=machine)(at)


def test_nothing_can_be_taken_from_nothing():
    e = dk.symbol("e", (0, 3))
    assert value(e[i[:0]], e=np.zeros((0, 3)), i=np.zeros(2, int)).shape == (0, 3)
    with pytest.raises(ShapeError, match="out of range"):
        value(e[i], e=np.zeros((0, 3)), i=np.zeros(2, int))


ERRORS = [
    (lambda: x[b], UnsupportedError, r"mask .*unknown length.*dk\.where"),
    (lambda: x[x > 0], UnsupportedError, r"dk\.where"),
    (lambda: dk.take(x, b), UnsupportedError, r"take: .*dk\.where"),
    (lambda: x[s], UnsupportedError, r"indexing by an expression of dtype float64.*astype"),
    (lambda: x[i + 1.0], UnsupportedError, r"float64.*astype\('int64'\)"),
    (lambda: x[i, 0], ShapeError, r"\(3,\).*2 indices for 1 axes"),
    (lambda: m[..., i, ...], ShapeError, r"\(2, 3\)"),
    (lambda: m[i, [0.5, 1]], DtypeError, r"float64"),
    (lambda: m[i, [0, 3]], ShapeError, r"\(2, 3\).*index 3 .*length of 3"),
    (lambda: m[i, np.zeros(3, int)], ShapeError, r"gather: .*\(2,\) and \(3,\)"),
    (lambda: m[np.array([True, False, True]), i], ShapeError, r"\(2, 3\).*mask of shape \(3,\)"),
    (lambda: m[5, i], ShapeError, r"\(2, 3\)"),
    (lambda: dk.take(m, i, 2), ShapeError, r"take: axis 2"),
    (lambda: dk.take_along_axis(m, i, 0), ShapeError, r"take_along_axis: .*\(2, 3\).*\(2,\).*same number of axes"),
    (lambda: dk.take_along_axis(m, dk.symbol("j", (4, 1), dtype="int64"), 1), ShapeError, r"take_along_axis: .*\(2, 3\).*\(4, 1\)"),
    (lambda: dk.take_along_axis(m, s, 0), UnsupportedError, r"take_along_axis: .*float64"),
    (lambda: dk.scatter_add(x, i, np.ones(3)), ShapeError, r"scatter_add: .*\(3,\).*\(2,\)"),
    (lambda: dk.scatter_add(x, [0, 3], s), ShapeError, r"scatter_add: .*\(3,\).*length of 3"),
    (lambda: dk.scatter_add(x, [0.5], s), DtypeError, r"scatter_add: .*float64"),
    (lambda: dk.scatter_add(x, b, s), UnsupportedError, r"scatter_add: "),
    (lambda: dk.scatter_add(x, i, s, 1), ShapeError, r"scatter_add: axis 1"),
    (lambda: RULES.scatter_add(x, i, axis=-1, shape=(3,)), ShapeError, r"scatter_add: .*\(3,\) and \(2,\).*give \(2,\)"),
    (lambda: RULES.gather(x, s, axis=-1), DtypeError, r"gather: .*int64, not float64"),
    (lambda: x.astype("complex128"), DtypeError, r"astype: .*complex128"),
    (lambda: dk.cumsum(x, 1), ShapeError, r"cumsum: axis 1"),
    (lambda: dk.cumsum(s, 0), ShapeError, r"cumsum: core shape \(\)"),
    (lambda: dk.cumsum(x, dtype=float), UnsupportedError, r"cumsum: .*dtype"),
    (lambda: dk.sort(m, 2), ShapeError, r"sort: axis 2"),
    (lambda: dk.argmax(dk.symbol("e", (2, 0)), -1), ShapeError, r"argmax: .*\(2, 0\).*no elements"),
    (lambda: dk.argmin(x, out=np.zeros(1)), UnsupportedError, r"argmin: .*out"),
    (lambda: RULES.linear_recurrence(x, m, axis=-1), ShapeError, r"linear_recurrence: .*\(3,\) and \(2, 3\)"),
    (lambda: dk.quantile(x, 1.5), ArgumentError, r"quantile: .*1\.5"),
    (lambda: dk.quantile(x, s), ArgumentError, r"quantile: "),
    (lambda: dk.median(dk.symbol("e", (0,))), ShapeError, r"median: |quantile: .*no elements"),
    (lambda: dk.quantile(x, 0.5, method="nearest"), UnsupportedError, r"quantile: .*method"),
    (lambda: dk.grad(dk.sum(x[i]), wrt="i", machine=MACHINE)(x=np.ones(3), i=[0, 1]), DtypeError, r"'i' is int64"),
    (lambda: dk.grad(lambda x, i: np.sum(x[i]), 1, machine=MACHINE)(np.ones(3), np.array([0])), DtypeError, r"'i'"),
    (lambda: value(x[i], x=np.ones(3), i=[0.5, 1.0]), DtypeError, r"'i' is declared int64"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "error", "message"), ERRORS)
def test_errors_say_what_was_wrong(act, error, message):
    with pytest.raises(error, match=message):
        act()


@pytest.mark.parametrize("f", [x[i], dk.scatter_add(x, i, 1.0), dk.sort(x), x[dk.argmax(x)], dk.take(x, dk.argsort(x))])
def test_the_symbolic_engine_says_why_it_cannot(f):
    at = {n: v for n, v in {"x": np.arange(3.0), "i": np.array([0, 1])}.items() if n in f.variables}
    with pytest.raises(UnsupportedError, match=r"(gather|sort|scatter_add|argmax|argsort).*no formula"):
        dk.grad(dk.sum(f), wrt="x", engine="symbolic", machine=MACHINE)(at)


# ---- order --------------------------------------------------------------------------------------------------------
NAMES = ("sort", "argsort", "argmax", "argmin", "cumsum", "cumprod")
SHAPES = [(4,), (1,), (3, 4), (2, 1, 3), (0, 2), (2, 1)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@machines
def test_values_are_numpys(name, shape, machine):
    x, ours, theirs = dk.symbol("x", shape), getattr(dk, name), getattr(np, name)
    at = np.random.default_rng(4).integers(0, 3, shape).astype(float)  # with ties
    at = np.asfortranarray(np.where(at == 2, np.nan, at) if name in ("sort", "argsort") else at)
    how = {"kind": "stable"} if name == "argsort" else {}
    for axis in (None, *range(-len(shape), len(shape))):
        if name.startswith("argm") and not (at.size if axis is None else shape[axis]):
            continue
        for keepdims in ({}, {"keepdims": True}) if name.startswith("argm") else ({},):
            f, expected = ours(x, axis=axis, **keepdims), theirs(at, axis=axis, **how, **keepdims)
            found = value(f, machine, x=at)
            assert found.shape == f.shape == np.shape(expected) and found.dtype == f.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(value(f, machine, x=np.stack([at, -at]))[0], expected)
            assert theirs(x, axis=axis, **keepdims) is f
            np.testing.assert_array_equal(ours(at, axis=axis, **how, **keepdims), expected)
    if name != "sort":  # NumPy's method sorts in place
        assert getattr(x, name)(-1) is ours(x, -1)


@dtypes
@machines
def test_dtypes_along_an_axis(dtype, machine):
    x, at = dk.symbol("x", 3, dtype=dtype), np.array([3, 1, 2], dtype)
    for name in ("sort", "cumsum", "cumprod"):
        assert value(getattr(dk, name)(x), machine, x=at).dtype == getattr(dk, name)(x).dtype == dtype
        assert dk.grad(dk.sum(getattr(dk, name)(x)), wrt="x", machine=machine)(x=at).dtype == dtype
    i = dk.symbol("i", 3, dtype="int64")
    assert value(dk.sort(i), machine, i=[3, 1, 2]).tolist() == [1, 2, 3] and dk.sort(i).dtype == "int64"


@runs
def test_a_tie_in_a_sort_is_shared_evenly(engine, machine):
    x, weights = dk.symbol("x", 5), np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    at = np.array([2.0, -1.0, 2.0, 0.0, 2.0])
    g = dk.grad(dk.sum(dk.sort(x) * weights), wrt="x", engine=engine, machine=machine)
    if engine != "finite":
        third = (4 + 8 + 16) / 3
        np.testing.assert_allclose(g(x=at), [third, 1, third, 2, third], rtol=1e-15)
        np.testing.assert_allclose(g(x=np.zeros(5)), np.full(5, weights.mean()), rtol=1e-15)
        jacobian = dk.jacobian(dk.sort(x), wrt="x", engine=engine, machine=machine)(x=at)
        tied = np.array([1, 0, 1, 0, 1]) / 3
        np.testing.assert_allclose(jacobian, [np.eye(5)[1], np.eye(5)[3], tied, tied, tied], rtol=1e-15)
        hessian = dk.hessian(dk.sum(dk.sort(x) ** 2 * weights), wrt="x", engine=engine, machine=machine)(x=at)
        np.testing.assert_allclose(hessian, jacobian.T @ np.diag(2 * weights) @ jacobian, rtol=1e-14)
    distinct = np.array([0.3, -1.0, 2.0, 0.0, 5.0])
    np.testing.assert_allclose(g(x=distinct), weights[np.argsort(np.argsort(distinct))], **close(engine))


def test_kinks_of_a_sort_follow_the_policy():
    x, weights, at = dk.symbol("x", 3), np.array([1.0, 2.0, 4.0]), np.array([2.0, 1.0, 2.0])
    for engine in ("forward", "reverse"):
        g = dk.grad(dk.sum(dk.sort(x) * weights), wrt="x", engine=engine, machine=MACHINE)
        expected = {
            "default": [3, 1, 3],
            "jax": [2, 1, 4],
            "nan": [np.nan, 1, np.nan],
            "left": [3, 1, 3],
            "right": [3, 1, 3],
        }
        for policy, slope in expected.items():
            with dk.kinks(policy):
                np.testing.assert_array_equal(g(x=at), slope, err_msg=policy)
        with dk.kinks("nan"):
            np.testing.assert_array_equal(g(x=np.array([3.0, 1.0, 2.0])), [4, 1, 2])


@machines
def test_nan_in_a_sort_is_seen(machine):
    x, at = dk.symbol("x", 3), np.array([np.nan, 1.0, 0.0])
    np.testing.assert_array_equal(value(dk.sort(x), machine, x=at), [0, 1, np.nan])
    block = dk.jacobian(dk.sort(x), wrt="x", machine=machine)(x=at)
    np.testing.assert_array_equal(block, [[0, 0, 1], [0, 1, 0], [np.nan] * 3])


@runs
def test_the_element_at_argmax(engine, machine):
    x = dk.symbol("x", (3, 4))
    at = RNG.normal(size=(2, 3, 4))
    for f in (np.take_along_axis(x, x.argmax(-1, keepdims=True), -1)[:, 0], x[np.arange(3), x.argmax(-1)]):
        np.testing.assert_array_equal(value(f, machine, x=at), at.max(-1))
        found = dk.grad(dk.sum(f**2), wrt="x", engine=engine, machine=machine)(x=at)
        np.testing.assert_allclose(found, np.where(at == at.max(-1, keepdims=True), 2 * at, 0), **close(engine))
    first = dk.grad(dk.take(x, x.argmax()), wrt="x", machine=machine)(x=np.ones((3, 4)))
    assert first.sum() == first[0, 0] == 1


def test_results_that_are_integers_have_no_derivative():
    for f in (dk.argsort(x), dk.argmax(x)):
        assert not f.op.differentiable and not dk.jacobian(f, wrt="x", machine=MACHINE)(x=np.arange(3.0)).any()


# ---- cumulative ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", [*ENGINES, "symbolic"])
@pytest.mark.parametrize("zeros", [(), (1,), (0,), (3,), (1, 3), (0, 1, 2, 3)], ids=str)
def test_cumprod_with_zeros(zeros, engine):
    x, at = dk.symbol("x", 4), np.array([2.0, -3.0, 0.5, 4.0])
    at[list(zeros)] = 0.0
    expected = np.array([[np.prod(np.delete(at[: k + 1], j)) if j <= k else 0 for j in range(4)] for k in range(4)])
    found = dk.jacobian(dk.cumprod(x), wrt="x", engine=engine, machine=MACHINE)(x=at)
    np.testing.assert_allclose(found, expected, **close(engine))


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_cumulative_gradients_agree(name, axis):
    x, at = dk.symbol("x", (2, 3)), RNG.uniform(0.5, 1.5, (2, 2, 3))
    at[0, 1, 1] = at[1, 0, 0] = at[1, 1, 0] = 0.0
    f = getattr(dk, name)(x, axis)
    f = dk.sum(f * f * RNG.uniform(0.5, 1.5, f.shape))
    found = {e: dk.grad(f, wrt="x", engine=e, machine=MACHINE)(x=at) for e in (*ENGINES, "symbolic")}
    for engine, slope in found.items():
        np.testing.assert_allclose(slope, found["reverse"], err_msg=engine, **close(engine))
    second = {e: dk.hessian(f, wrt="x", engine=e, machine=MACHINE)(x=at[0]) for e in ("reverse", "forward", "symbolic")}
    for engine, block in second.items():
        np.testing.assert_allclose(block, second["reverse"], rtol=1e-11, atol=1e-12, err_msg=engine)


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("reverse", [False, True])
@machines
def test_few_rows_and_many_have_the_same_recurrence(rows, reverse, machine):
    a, b = RNG.uniform(-1.2, 1.2, (2, 50, rows))
    a[:, 0], b[:, 0] = a[:, -1], b[:, -1]
    order = slice(None, None, -1 if reverse else 1)
    y = np.zeros((50, rows))
    last = np.zeros(rows)
    for k in range(50)[order]:
        y[k] = last = a[k] * last + b[k]
    found = value(
        RULES.linear_recurrence(dk.symbol("a", (50, rows)), dk.symbol("b", (50, rows)), axis=-2, reverse=reverse),
        a=a,
        b=b,
    )
    np.testing.assert_array_equal(found, y)


def test_a_recurrence_does_not_look_at_the_factor_before_its_first_step():
    a, b = dk.symbol("a", 2), dk.symbol("b", 2)
    f = RULES.linear_recurrence(a, b, axis=-1)
    at = {"a": np.array([np.inf, 2.0]), "b": np.array([1.0, 3.0])}
    assert value(f, **at).tolist() == [1.0, 5.0]
    assert dk.grad(f[1], wrt="a", machine=MACHINE)(at).tolist() == [0.0, 1.0]


# ---- quantiles ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_quantiles(axis, keepdims):
    x = dk.symbol("x", A.shape)
    np.testing.assert_allclose(
        value(dk.median(x, axis, keepdims=keepdims), x=A), np.median(A, axis, keepdims=keepdims), rtol=1e-15
    )
    for q in (0.0, 0.3, 1, [0.25, 0.9], np.zeros((0,))):
        expected = np.quantile(A, q, axis, keepdims=keepdims)
        np.testing.assert_allclose(value(np.quantile(x, q, axis, keepdims=keepdims), x=A), expected, rtol=1e-13)
    assert np.isnan(value(dk.median(x), x=np.where(np.arange(5) == 2, np.nan, A)))


@engines
def test_gradient_of_the_median(engine):
    x, at = dk.symbol("x", 4), np.array([3.0, 1.0, 2.0, 7.0])
    found = dk.grad(dk.median(x), wrt="x", engine=engine, machine=MACHINE)(x=at)
    np.testing.assert_allclose(found, [0.5, 0, 0.5, 0], **close(engine))


# ---- against PyTorch ----------------------------------------------------------------------------------------------
ZEROS = RNG.normal(size=(5, 6))
ZEROS[1, 2] = ZEROS[3, 0] = ZEROS[3, 4] = 0.0
#: ours, with NumPy's names, and PyTorch's (m is torch)
PEERS = {
    "cumsum": (lambda x, i: np.cumsum(x, 0), lambda m, x, i: m.cumsum(x, 0)),
    "cumprod": (lambda x, i: np.cumprod(x, 1), lambda m, x, i: m.cumprod(x, 1)),
    "sort": (lambda x, i: np.sort(x + i, 1), lambda m, x, i: m.sort(x + i, 1).values),
    "gather": (lambda x, i: np.take_along_axis(x, i, 0), lambda m, x, i: m.gather(x, 0, i)),
    "take": (lambda x, i: np.take(x, i[0], 1), lambda m, x, i: m.index_select(x, 1, i[0])),
    "scatter_add": (
        lambda x, i: dk.scatter_add(np.zeros((5, 6)), i[:, 0], x**2),
        lambda m, x, i: m.zeros(5, 6, dtype=m.float64).index_add(0, i[:, 0], x**2),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_pytorchs_gradients(name):
    torch = pytest.importorskip("torch")
    ours, theirs = PEERS[name]
    weights, places = RNG.uniform(0.5, 1.5, (5, 6)), np.random.default_rng(0).integers(0, 5, (5, 6))
    leaf = torch.tensor(ZEROS, requires_grad=True)
    (theirs(torch, leaf, torch.tensor(places)) ** 2 * torch.tensor(weights)).sum().backward()
    found = dk.grad(lambda x, i: np.sum(ours(x, i) ** 2 * weights), machine=MACHINE)(ZEROS, places)
    np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-12, atol=1e-13)


# ---- error bars, source, files ------------------------------------------------------------------------------------
def test_bars_cover_and_are_not_absurd():
    x, i = dk.symbol("x", 6, dtype="float32"), dk.symbol("i", 9, dtype="int64")
    at = {"x": np.array([1e4, 1, -1e4, 1e-4, 3, 0.7], "float32"), "i": np.array([0, 2, 0, 1, 4, 5, 3, 2, 0])}
    f = dk.sum(dk.cumsum(x[i]) ** 2) + dk.sum(dk.cumprod(dk.sort(x)))
    exact = {"x": at["x"].astype(float), "i": at["i"]}
    wide = dk.symbol("x", 6)
    g = dk.grad(dk.sum(dk.cumsum(wide[i]) ** 2) + dk.sum(dk.cumprod(dk.sort(wide))), wrt="x", machine=MACHINE)(exact)
    for engine in ("reverse", "forward"):
        program = find_engine(engine).program(record(f, [x, i]), [0])
        _, ((block,),) = program.on(find_machine(MACHINE))([at["x"], at["i"]])
        ((bar,),) = program.bars(find_machine(MACHINE), [at["x"], at["i"]])
        assert np.all(np.abs(block - g) <= bar) and np.all(bar <= 1e-3 * np.abs(g) + 1e3)


@pytest.mark.parametrize("target", ["numpy", "jax", "torch"])
def test_source(target):
    if target != "numpy":
        pytest.importorskip(target)
    x, i = dk.symbol("x", (3, 4)), dk.symbol("i", 2, dtype="int64")
    at, index = RNG.uniform(0.5, 1.5, (3, 4)), np.array([2, -1])
    f = (
        dk.sum(dk.sort(x[i], 0) ** 2)
        + dk.sum(dk.cumsum(x, 0) ** 2)
        + x[0][dk.argmax(x[0])]
        + dk.sum(x[:, i] * x[:, 1:3])
    )
    g = dk.grad(dk.sum(dk.cumsum(x, 0) ** 2) + dk.sum(x[i] ** 2), wrt="x", machine=MACHINE)
    derivative = dk.derivative(dk.sum(dk.cumsum(x, 0) ** 2) + dk.sum(x[i] ** 2), "x")
    for made, expected in ((f, value(f, x=at, i=index)), (derivative, g(x=at, i=index))):
        space: dict[str, Any] = {}
        exec(made.to_source(target), space)
        np.testing.assert_allclose(np.asarray(space["f"](at, index)), expected, rtol=1e-6)


def test_tapes_are_saved(tmp_path):
    i, f = dk.symbol("i", 2, dtype="int64"), dk.sum(dk.cumprod(x[dk.symbol("i", 2, dtype="int64")]))
    made = dk.tape(f, wrt="x")
    made.save(tmp_path / "tape.json")
    assert str(dk.load_tape(tmp_path / "tape.json")) == str(made) and i.dtype == "int64"


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
@pytest.mark.parametrize("engine", ["reverse", "forward", "symbolic", "finite"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_cast_to_integers_cuts_the_fraction_off(machine, engine, dtype):
    x = np.array([2.5, -1.7, 0.3], dtype)
    value, gradient = dk.value_and_grad(lambda a: np.sum(a * a.astype(int)), engine=engine, machine=machine)(x)
    np.testing.assert_allclose(value, 6.7, rtol=1e-6)
    np.testing.assert_allclose(gradient, [2, -1, 0], atol=2e-3 if dtype is np.float32 else 1e-9)
    if engine in ("reverse", "forward"):
        many = np.tile(x, 100)
        found = dk.grad(lambda a: np.sum(a * a.astype(int)), engine=engine, machine=machine)(many)
        np.testing.assert_array_equal(found, np.trunc(many))


@pytest.mark.parametrize("shape", [(4, 5), (40, 5)])
def test_no_index_at_all(shape):
    nothing = np.array([], dtype=int)
    np.testing.assert_array_equal(dk.grad(lambda a: np.sum(np.sin(a[nothing])))(np.ones(shape)), np.zeros(shape))
