"""Jacobians choose their mode, Hessians go forward over reverse, and vmap in all combinations with them."""

import sys

import numpy as np
import optree
import pytest

import diffkit as dk
from diffkit.engines import cheaper_mode
from diffkit.engines.forward import ENGINE as FORWARD
from diffkit.errors import ArgumentError, ShapeError, UnsupportedError
from diffkit.expr.node import topological, variable
from diffkit.expr.trace import flatten, is_leaf
from diffkit.tape import record

RNG = np.random.default_rng(0)


def jacobian(f, *args, **how):
    return dk.jacobian(f, *args, engine=None, machine="numpy", **how)


def tall(x):
    return np.concatenate([np.sin(x), x**2, np.exp(x)])


def wide(x):
    return np.stack([np.sum(np.sin(x)), np.prod(x[:3])])


def same(ours, theirs, tolerance=1e-12):
    """Nests of the same structure whose arrays agree."""
    for a, b in zip(optree.tree_leaves(ours), optree.tree_leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# ---- choice of mode -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [3, 40])
def test_the_cheaper_mode_is_taken_and_said(n):
    x = RNG.normal(size=n)
    g = jacobian(tall)
    assert g.mode is None
    same(g(x), np.vstack([np.diag(np.cos(x)), np.diag(2 * x), np.diag(np.exp(x))]))
    assert g.mode == "forward" and f"forward mode, chosen for {n} input and {3 * n} output elements" in g.__doc__
    g = jacobian(wide)
    product = np.concatenate([x[[1, 0, 0]] * x[[2, 2, 1]], np.zeros(n - 3)])
    same(g.prepare(x)(x), np.stack([np.cos(x), product]))
    assert g.mode == "reverse" and f"reverse mode, chosen for {n} input and 2 output elements" in g.__doc__


def test_the_choice_is_made_for_each_shape():
    g = jacobian(lambda x: np.stack([np.sum(x), np.sum(x**2), np.sum(x**3)]))
    g(np.ones(2))
    assert g.mode == "forward"
    g(np.ones(5))
    assert g.mode == "reverse"
    g(np.ones(2))  # made before
    assert g.mode == "forward"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("side", ["column", "row"])
def test_a_large_matrix_meets_all_directions_at_once(side, known, dtype):
    """One product beside the two of the value: the tangents that x and y move by are the same rows."""
    matrix = (RNG.normal(size=(160, 160)) / 16).astype(dtype)
    x, y = RNG.normal(size=(2, 3)).astype(dtype)

    def f(x, y, m):
        m = matrix if known else m
        first, second = (np.concatenate([v, np.ones(157, dtype)]) for v in (x, y))
        if side == "row":
            return np.tanh(first @ m) + np.sin(first + second @ m)
        return np.tanh(m @ first) + np.sin(first + m @ second)

    found = dk.jacobian(f, argnums=(0, 1), engine="forward", machine="numpy")(x, y, matrix)
    expected = dk.jacobian(f, argnums=(0, 1), engine="reverse", machine="numpy")(x, y, matrix)
    same(found, expected, 1e-12 if dtype == "float64" else 1e-5)
    assert all(g.dtype == dtype for g in found)
    variables = [variable(n, v.shape, dtype) for n, v in zip("xym", (x, y, matrix), strict=True)]
    tape = FORWARD.program(record(f(*variables), variables), [0, 1]).tape
    assert sum(k.op.name == "matmul" for k in tape.kinds) == 3


def test_an_engine_that_is_named_is_taken():
    for name in ("reverse", "forward", "symbolic", "finite"):
        g = dk.jacobian(tall, engine=name, machine="numpy")
        same(g(np.array([0.3, 0.7])), jacobian(tall)(np.array([0.3, 0.7])), 1e-9)
        assert g.mode == name and "chosen" not in g.__doc__


def test_of_an_expression():
    v = dk.symbol("v", (3,))
    g = jacobian(dk.concatenate([v, v * v]))
    assert g.mode == "forward" and "engine forward" in repr(g) and "chosen" in g.__doc__
    h = jacobian(dk.sum(v * v))
    assert h.mode == "reverse"
    at = np.array([1.0, 2.0, 3.0])
    same(g(v=at)["v"], np.vstack([np.eye(3), 2 * np.diag(at)]))


def test_passes_are_counted_over_nests_of_arguments_and_results():
    def f(p, q):
        return {"a": p["x"] * q, "b": (p["y"] @ q, p["x"])}

    args = {"x": RNG.normal(size=3), "y": RNG.normal(size=(4, 3))}, RNG.normal(size=3)
    g = jacobian(f, (0, 1))
    same(g(*args), dk.jacobian(f, (0, 1), engine="symbolic", machine="numpy")(*args))
    assert g.mode == "reverse" and "18 input and 10 output" in g.__doc__
    assert (cheaper_mode(1, 1), cheaper_mode(32, 32), cheaper_mode(33, 33)) == ("reverse", "reverse", "forward")


def test_empty_arguments_and_results():
    for f, x in (
        (lambda x: x * 2, np.ones(0)),
        (lambda x: x[:0], np.ones(3)),
        (lambda x: np.ones(2) * np.sum(x), np.ones(0)),
    ):
        assert jacobian(f)(x).shape == np.asarray(f(x)).shape + x.shape


# ---- second derivatives -----------------------------------------------------------------------------------------------
def energy(p):
    return np.sum(np.tanh(p["w"] @ p["x"]) ** 2) + np.prod(p["x"])


@pytest.mark.parametrize("n", [2, 7])
def test_hessian_is_forward_over_reverse(n):
    p = {"w": RNG.normal(size=(3, n)), "x": RNG.normal(size=n)}
    h = dk.hessian(energy, machine="numpy")
    same(h(p), dk.hessian(energy, engine="forward", machine="numpy")(p))
    assert h.mode == "forward over reverse" and "Second derivatives" in h.__doc__


def test_hvp_forms_no_hessian():
    n = 2000
    x, v = RNG.normal(size=n), RNG.normal(size=n)

    def f(x):
        return np.sum(np.sin(x[1:] * x[:-1])) + np.sum(x**3)

    product = dk.hvp(f, (x,), (v,), machine="numpy")
    g, h = dk.grad(f, machine="numpy"), 1e-5
    same(product, (g(x + h * v) - g(x - h * v)) / (2 * h), 1e-6)


def hessian_times(f, p, t):
    """The Hessian of nests, formed, times a vector."""
    rows = dk.hessian(f, machine="numpy")(p)
    return {a: sum(np.tensordot(rows[a][b], t[b], np.ndim(t[b])) for b in t) for a in rows}


def test_hvp_of_nests_and_expressions():
    p = {"w": RNG.normal(size=(3, 2)), "x": RNG.normal(size=2)}
    t = {"w": RNG.normal(size=(3, 2)), "x": RNG.normal(size=2)}
    same(dk.hvp(energy, (p,), (t,), machine="numpy"), hessian_times(energy, p, t))
    w = dk.symbol("w", (3, 2))
    x = dk.symbol("x", (2,))
    f = energy({"w": w, "x": x})
    loops = {k: np.stack([a, 2 * a]) for k, a in p.items()}
    found = dk.hvp(f, loops, t, machine="numpy")
    for k in range(2):
        one = hessian_times(energy, {n: a[k] for n, a in loops.items()}, t)
        same({n: a[k] for n, a in found.items()}, one)


# ---- vmap -------------------------------------------------------------------------------------------------------------
def mapped(f, in_axes=0, out_axes=0):
    from diffkit.transforms.mapping import Mapped

    return Mapped(f, in_axes, out_axes, machine="numpy")


def model(p, x):
    h = np.tanh(p["w"] @ x + p["b"][0])
    return {"sum": np.sum(h**2), "h": (h, x[::-1])}


P = {"w": RNG.normal(size=(4, 3)), "b": [RNG.normal(size=4)]}
X = RNG.normal(size=(5, 3))
PS = {"w": RNG.normal(size=(4, 5, 3)), "b": [RNG.normal(size=(4, 5))]}


def looped(f, args, in_axes, out_axes, n):
    """What vmap means: one call an element, results joined."""
    leaves, structure = flatten(args)
    given = optree.broadcast_prefix(in_axes, args, is_leaf=is_leaf, none_is_leaf=True)
    rows = []
    for k in range(n):
        one = [
            a if axis is None else a[(*(slice(None),) * (axis % a.ndim), k)]
            for a, axis in zip(leaves, given, strict=True)
        ]
        rows.append(flatten(f(*optree.tree_unflatten(structure, one))))
    result = optree.tree_unflatten(rows[0][1], rows[0][0])
    places = optree.broadcast_prefix(out_axes, result, is_leaf=is_leaf, none_is_leaf=True)
    joined = [
        r[0] if axis is None else np.stack(r, axis)
        for r, axis in zip(zip(*(leaves for leaves, _ in rows), strict=True), places, strict=True)
    ]
    return optree.tree_unflatten(rows[0][1], joined)


@pytest.mark.parametrize(
    ("args", "in_axes", "out_axes"),
    [
        ((P, X), (None, 0), 0),
        ((P, X.T), (None, 1), 0),
        ((P, X.T), (None, -1), {"sum": 0, "h": (1, -1)}),
        ((PS, X), ({"w": 1, "b": [1]}, 0), 0),
        ((PS, X), ({"w": 1, "b": 1}, 0), {"sum": 0, "h": 1}),
        ((PS, X[0]), (1, None), {"sum": 0, "h": (0, None)}),
        ((PS, X[0]), (1, None), 0),
    ],
)
def test_vmap_takes_nests_of_axes(args, in_axes, out_axes):
    same(mapped(model, in_axes, out_axes)(*args), looped(model, args, in_axes, out_axes, 5))

    def inside(*args):  # of expressions
        return mapped(model, in_axes, out_axes)(*args)["sum"] @ np.arange(5.0)

    def unrolled(*args):
        return looped(model, args, in_axes, 0, 5)["sum"] @ np.arange(5.0)

    same(dk.grad(inside, (0, 1), machine="numpy")(*args), dk.grad(unrolled, (0, 1), machine="numpy")(*args))


def test_vmap_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="different lengths"):
        mapped(lambda a, b: a + b)(np.ones(3), np.ones(4))
    with pytest.raises(ShapeError, match="no argument is mapped"):
        mapped(lambda a: a, None)(np.ones(3))
    with pytest.raises(ShapeError, match="out_axes is None"):
        mapped(lambda a: a, 0, None)(np.ones(3))
    with pytest.raises(ShapeError, match="in_axes names axis 2"):
        mapped(lambda a: a, 2)(np.ones((3, 3)))
    with pytest.raises(ArgumentError, match="in_axes has 1 entries for 2"):
        mapped(lambda a, b: a, (0,))(1.0, 2.0)
    with pytest.raises(ArgumentError, match="not structured as the arguments"):
        mapped(lambda a: a["x"], ({"y": 0},))({"x": np.ones(3)})


FUNCTIONS = {
    "products": lambda x: x @ np.arange(12.0).reshape(3, 4) @ np.ones(4) * x[0],
    "moves": lambda x: np.sum(np.concatenate([x, x[::2], np.ones(1)]).reshape(2, 3).T[1:] ** 3),
    "indices": lambda x: np.sum(np.outer(x, x)[:, None][np.array([0, 2]), :, np.array([[1], [2]])] ** 2),
    "stacked": lambda x: np.prod(np.stack([x, np.full(3, 2.0), x * x], axis=1)[1:], axis=(0, 1)),
    "reduced": lambda x: (
        np.max(x) + np.mean(x * x) + np.linalg.norm(x) * np.sum(np.exp(x) / np.sum(np.exp(x)) * np.arange(3))
    ),
    "ranks": lambda x: np.sum((x + np.ones((2, 1, 3))) * x[:, None] * np.sum(x)),
    "where": lambda x: np.sum(np.where(x > 0, np.log(np.abs(x)), x * np.ones((2, 3)))),
    "diagonal": lambda x: np.sum(np.diag(x) @ np.diag(x) + np.trace(np.outer(x, x))),
    "constant": lambda x: np.sum(np.arange(3.0)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_within_a_trace_is_not_unrolled(name):
    f = FUNCTIONS[name]
    rows = RNG.normal(size=(6, 3))
    expected = np.stack([np.asarray(f(r)) for r in rows])
    same(mapped(f)(rows), expected)
    e = mapped(f)(dk.symbol("x", (6, 3)))
    same(e(x=rows, machine="numpy") if e.variables else e(machine="numpy"), expected)
    larger = mapped(f)(dk.symbol("x", (60, 3)))
    assert len(topological(e)) == len(topological(larger))
    gradient = dk.grad(lambda x: np.sum(mapped(f)(x) ** 2), machine="numpy")(rows)
    same(gradient, np.stack([dk.grad(lambda r: f(r) ** 2 + 0 * r[0], machine="numpy")(r) for r in rows]), 1e-10)


def test_vmap_of_grad_jacobian_and_hessian():
    rows = RNG.normal(size=(5, 3))

    def f(x):
        return np.sum(np.sin(x) * x[0]) ** 2

    for transform in (dk.grad, dk.hessian, dk.value_and_grad):
        one = transform(f, machine="numpy")
        same(mapped(transform(f))(rows), looped(one, (rows,), (0,), 0, 5))
        same(mapped(transform(f), 1)(rows.T), looped(one, (rows,), (0,), 0, 5))
    same(mapped(dk.jacobian(tall))(rows), np.stack([jacobian(tall)(r) for r in rows]))


def test_jacobian_of_vmap_and_nested_vmap():
    rows = RNG.normal(size=(5, 3))
    same(jacobian(mapped(tall))(rows), jacobian(lambda x: np.stack([tall(r) for r in x]))(rows))
    both = mapped(mapped(lambda a, b: np.dot(a, b), (None, 0)), (0, None), 1)
    same(both(rows, 2 * rows), 2 * rows @ rows.T)
    same(jacobian(both, (0, 1))(rows, rows), jacobian(lambda a, b: b @ a.T, (0, 1))(rows, rows))


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_a_jacobian_of_many_directions_within_another_derivative(n, engine):
    a = RNG.normal(size=(n, n))
    x = RNG.normal(size=n)

    def f(x):
        return np.tanh(a @ x)

    def g(x):
        return np.sum(dk.jacobian(f, engine=engine)(x) ** 3)

    def written(x):
        return np.sum(((1 - np.tanh(a @ x) ** 2)[:, None] * a) ** 3)

    same(dk.grad(g, machine="numpy")(x), dk.grad(written, machine="numpy")(x), 1e-10)


def test_vmap_over_nothing():
    assert mapped(lambda x: np.sum(x))(np.ones((0, 3))).shape == (0,)
    assert mapped(lambda x: x * 2)(dk.symbol("x", (0, 3))).shape == (0, 3)


def test_finite_engine_has_no_expressions():
    with pytest.raises(UnsupportedError):
        dk.grad(lambda x: np.sum(dk.jacobian(tall, engine="finite")(x)), machine="numpy")(np.ones(2))


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_many_directions_go_in_passes(engine, monkeypatch):
    """Memory for some directions at a time, loop dims included; the same bits."""
    f = lambda x, y: np.cumsum(np.sin(x) * y)
    x, y = np.random.default_rng(0).normal(size=(2, 60))
    whole = dk.jacobian(f, argnums=(0, 1), engine=engine)(x, y)
    monkeypatch.setattr(sys.modules["diffkit.engines.engine"], "PASS_ELEMENTS", 7 * 60)
    parts = dk.jacobian(f, argnums=(0, 1), engine=engine)(x, y)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)
