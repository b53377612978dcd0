"""Transforms, as API.md and DESIGN.md ("Dims and dtypes, exactly") say: expressions by name, Python functions by position."""

import gc
from collections import OrderedDict, namedtuple
from functools import partial

import numpy as np
import pytest
from helpers import engine_or_skip

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, DtypeError, ShapeError, TracingError
from diffkit.expr import kind as kinds

pytestmark = pytest.mark.filterwarnings("error")

x, y = dk.symbols("x y")
W, v = dk.symbol("W", (2, 3)), dk.symbol("v", 3)
RNG = np.random.default_rng(11)
ENGINES = ["forward", "reverse", "symbolic", "finite"]
EXACT = {"rtol": 1e-12, "atol": 1e-14}
all_engines = pytest.mark.parametrize("engine", ENGINES)
tape_engines = pytest.mark.parametrize("engine", ["forward", "reverse"])

grad, value_and_grad, jacobian, hessian, jvp, vjp, hvp, vmap = (
    partial(f, machine="numpy")
    for f in (dk.grad, dk.value_and_grad, dk.jacobian, dk.hessian, dk.jvp, dk.vjp, dk.hvp, dk.vmap)
)


def close(engine):
    engine_or_skip(engine)
    return {"rtol": 1e-6, "atol": 1e-8} if engine == "finite" else EXACT


def same(found, expected, **tolerance):
    """Equal structures with close arrays of equal shapes."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key], **tolerance)
    elif isinstance(expected, (list, tuple)):
        assert type(found) is type(expected) and len(found) == len(expected)
        for f, e in zip(found, expected, strict=True):
            same(f, e, **tolerance)
    else:
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, **(tolerance or EXACT))


# ---- expressions and text: ways of calling ------------------------------------------------------------------------
CALLS = [
    lambda g: g(x=0.3, y=2.0), lambda g: g(0.3, 2.0), lambda g: g({"x": 0.3, "y": 2.0}), lambda g: g(0.3, y=2.0),
    lambda g: g(y=2, x=0.3),
    lambda g: g(np.float64(0.3), np.array(2)), lambda g: g({"y": 2.0, "x": np.array(0.3)}),
]  # fmt: skip


@pytest.mark.parametrize("f", ["sin(x)*y", dk.sin(x) * y], ids=["text", "Expr"])
@pytest.mark.parametrize("call", CALLS)
@all_engines
def test_arguments_by_name_position_or_dict(f, call, engine):
    same(call(grad(f, engine=engine)), {"x": 2 * np.cos(0.3), "y": np.sin(0.3)}, **close(engine))


@all_engines
@pytest.mark.parametrize(
    ("wrt", "expected"),
    [
        (None, {"x": 4.0, "y": 12.0, "z": 1.0}), ("y", 12.0), (["z", "x"], {"z": 1.0, "x": 4.0}), (("x",), {"x": 4.0}),
        (dk.symbol("y"), 12.0), ([dk.symbol("z"), "y"], {"z": 1.0, "y": 12.0}),
    ],
    ids=str,
)  # fmt: skip
def test_wrt_names_one_several_or_all(wrt, expected, engine):
    same(grad("x*y**2 + z", wrt=wrt, engine=engine)(x=3.0, y=2.0, z=7.0), expected, **close(engine))


@pytest.mark.parametrize(
    "name", ["lambda", "out", "self", "f", "wrt", "machine", "engine", "args", "kwargs", "E_n", "β", "values"]
)
def test_a_variable_may_have_any_name(name):
    f = dk.parse(f"{name}**2 * x")
    expected = {name: 12.0, "x": 4.0}
    same(grad(f)({name: 2.0, "x": 3.0}), expected)
    same(grad(f)(**{name: 2.0, "x": 3.0}), expected)
    same(value_and_grad(f)({name: 2.0, "x": 3.0}), (12.0, expected))
    same(hessian(f)({name: 2.0, "x": 3.0}), {name: {name: 6.0, "x": 4.0}, "x": {name: 4.0, "x": 0.0}})
    same(jvp(f, {name: 2.0, "x": 3.0}, {name: 1.0})[1], 12.0)


def test_a_variable_named_out_still_takes_buffers():
    f, buffers = dk.parse("out**2 * x"), {"out": np.empty(3), "x": np.empty(3)}
    at = {"out": np.arange(3.0), "x": 2.0}
    grad(f)(at, out=buffers)
    same(buffers, {"out": 4 * np.arange(3.0), "x": np.arange(3.0) ** 2})


def test_the_examples_of_the_interface():
    same(grad("sin(x)*y")(x=0.3, y=2.0), {"x": 2 * np.cos(0.3), "y": np.sin(0.3)})
    points = np.linspace(0, 1, 1000)
    same(grad("sin(x)*y", wrt="x")(x=points, y=2.0), 2 * np.cos(points))
    same(hessian("x**2*y")(x=1.0, y=2.0), {"x": {"x": 4.0, "y": 2.0}, "y": {"x": 2.0, "y": 0.0}})
    assert dk.grad("sin(x)*y")(x=0.3, y=2.0).keys() == {"x", "y"}  # on the default machine


def test_a_derivative_by_a_symbol_that_has_gone_is_zero():
    """The third derivative of x² is there, and 0."""
    f = x**2 + y
    for _ in range(4):
        f = dk.derivative(f, x)
    assert f(machine="numpy") == 0.0


# ---- loop dims ----------------------------------------------------------------------------------------------------
@all_engines
def test_every_result_is_per_point(engine):
    """Also by a variable that was given without loop dims, and of a value that does not depend on the looped variable."""
    tolerance, points = close(engine), np.linspace(0.1, 1, 5)
    value, slopes = value_and_grad("sin(x)*y + z", engine=engine)(x=points, y=2.0, z=1.0)
    same(value, 2 * np.sin(points) + 1)
    same(slopes, {"x": 2 * np.cos(points), "y": np.sin(points), "z": np.ones(5)}, **tolerance)
    same(
        value_and_grad("y*y + 0*x", engine=engine)(x=points, y=3.0),
        (np.full(5, 9.0), {"y": np.full(5, 6.0), "x": np.zeros(5)}),
        **tolerance,
    )
    same(hessian("x*y", engine=engine)(x=points, y=2.0)["y"], {"x": np.ones(5), "y": np.zeros(5)}, **tolerance)


@tape_engines
def test_loop_dims_broadcast(engine):
    a, b, c = RNG.standard_normal((4, 1)), RNG.standard_normal(3), RNG.standard_normal((2, 1, 1))
    found = grad("x*y*exp(z)", engine=engine)(x=a, y=b, z=c)
    e = np.exp(c)
    same(found, {"x": b * e * np.ones_like(a), "y": a * e * np.ones_like(b), "z": a * b * e})
    assert found["x"].shape == (2, 4, 3)


@tape_engines
def test_loop_and_core_dims(engine):
    f = dk.sum(dk.tanh(W @ v))
    weights, vectors = RNG.standard_normal((2, 3)), RNG.standard_normal((4, 5, 3))
    value, slopes = value_and_grad(f, engine=engine)(W=weights, v=vectors)
    assert value.shape == (4, 5) and slopes["W"].shape == (4, 5, 2, 3) and slopes["v"].shape == (4, 5, 3)
    s = 1 - np.tanh(vectors @ weights.T) ** 2
    same(slopes["W"], s[..., :, None] * vectors[..., None, :])
    same(slopes["v"], s @ weights)


@tape_engines
def test_jacobians_are_loop_then_output_then_input(engine):
    f = W[0][:, None] * v
    weights, vectors = RNG.standard_normal((7, 2, 3)), RNG.standard_normal(3)
    found = jacobian(f, engine=engine)(W=weights, v=vectors)
    assert found["W"].shape == (7, 3, 3, 2, 3) and found["v"].shape == (7, 3, 3, 3)
    expected = np.zeros((7, 3, 3, 2, 3))
    for k in range(3):
        expected[:, k, :, 0, k] = vectors
    same(found["W"], expected)
    same(found["v"], np.einsum("pi,jk->pijk", weights[:, 0], np.eye(3)))
    same(jacobian(f, wrt="v", engine=engine)(W=weights[0], v=vectors), np.einsum("i,jk->ijk", weights[0, 0], np.eye(3)))


def test_reduce_sum_sums_over_the_loop_dims_that_the_argument_lacks():
    points = np.linspace(0, 1, 6).reshape(2, 3)
    row = np.array([1.0, 2.0, 3.0])
    found = grad("a*sin(x) + b*x + c", reduce="sum")(a=2.0, x=points, b=row, c=np.ones((2, 1)))
    same(
        found,
        {"a": np.sin(points).sum(), "x": 2 * np.cos(points) + row, "b": points.sum(axis=0), "c": np.full((2, 1), 3.0)},
    )
    value, slope = value_and_grad("a*x", wrt="a", reduce="sum")(a=2.0, x=points)
    same(value, 2 * points)
    same(slope, points.sum())
    vectors = RNG.standard_normal((5, 3))
    same(grad(dk.sum(W @ v), reduce="sum")(W=np.ones((2, 3)), v=vectors)["W"], np.tile(vectors.sum(axis=0), (2, 1)))


def test_float32_sums_over_loop_dims_accumulate_in_float64():
    n = 200_000
    f = dk.symbol("a", dtype="float32") * dk.symbol("t", dtype="float32")
    found = grad(f, wrt="a", reduce="sum")(a=np.float32(1), t=np.full(n, 0.1, "f4"))
    assert found.dtype == "float32" and abs(found - n * np.float64(np.float32(0.1))) <= np.spacing(np.float32(found))


def test_no_points_at_all():
    empty = np.zeros((0, 2))
    for engine in ("forward", "reverse"):
        value, slopes = value_and_grad("sin(x)*y", engine=engine)(x=empty, y=1.0)
        assert value.shape == (0, 2) and slopes["x"].shape == (0, 2) == slopes["y"].shape
        assert jacobian(W @ v, engine=engine)(W=np.zeros((0, 2, 3)), v=np.ones(3))["v"].shape == (0, 2, 3)
        assert hessian("x*y", engine=engine)(x=np.zeros(0), y=1.0)["x"]["y"].shape == (0,)
    same(grad("x*y", reduce="sum")(x=np.zeros(0), y=1.0), {"x": np.zeros(0), "y": 0.0})


def test_axes_of_length_one():
    same(grad("x*y")(x=np.ones((1, 1)), y=np.full(1, 2.0)), {"x": np.full((1, 1), 2.0), "y": np.ones((1, 1))})
    one = dk.symbol("o", (1, 3, 1))
    for engine in ("forward", "reverse"):
        same(
            grad(dk.sum(one * v[:, None]), engine=engine)(o=np.ones((1, 3, 1)), v=np.arange(3.0))["o"],
            np.arange(3.0).reshape(1, 3, 1),
        )
        same(jacobian(one.sum(axis=1), engine=engine)(o=np.ones((2, 1, 3, 1)))["o"], np.ones((2, 1, 1, 1, 3, 1)))


# ---- what a function does to its inputs ---------------------------------------------------------------------------
def _views():
    base = RNG.standard_normal((6, 8))
    frozen = base[:3, :4].copy()
    frozen.flags.writeable = False
    return {
        "contiguous": base[:3, :4].copy(), "strided": base[::2, ::2], "reversed": base[:3, 3::-1],
        "Fortran": np.asfortranarray(base[:3, :4]),
        "transposed": base[:4, :3].T, "read-only": frozen, "broadcast": np.broadcast_to(base[0, :4], (3, 4)),
        "list": base[:3, :4].tolist(),
        "big-endian": base[:3, :4].astype(">f8"), "float16": base[:3, :4].astype("f2"), "integers": np.arange(12).reshape(3, 4),
        "booleans": np.arange(12).reshape(3, 4) > 5, "longdouble": base[:3, :4].astype(np.longdouble),
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "given"), _views().items(), ids=_views())
def test_inputs_of_any_layout_are_read_and_left_alone(kind, given):
    before = np.array(given, copy=True)
    M = dk.symbol("M", (3, 4))
    plain = np.array(given, float)
    same(grad(dk.sum(dk.sin(M) * M))(M=given)["M"], np.cos(plain) * plain + np.sin(plain))
    same(grad("sin(x)*x")(x=given)["x"], np.cos(plain) * plain + np.sin(plain))
    np.testing.assert_array_equal(np.array(given), before)


def test_results_do_not_alias_inputs():
    given = np.arange(3.0)
    value, slope = value_and_grad("x + 0*y", wrt="y")(x=given, y=0.0)
    same(grad("x*y", wrt="y")(x=given, y=1.0), given)
    found = grad("x*y", wrt="y")(x=given, y=1.0)
    found[:] = -1
    x(x=given, machine="numpy")[:] = -2
    np.testing.assert_array_equal(given, [0.0, 1.0, 2.0])
    assert value.shape == slope.shape == (3,)


@tape_engines
def test_a_gradient_has_its_inputs_dtype(engine):
    s, d = dk.symbol("s", 3, "float32"), dk.symbol("d", 3)
    found = grad(dk.sum(s * d) + dk.sum(dk.sin(s)), engine=engine)(s=np.ones(3, "f4"), d=np.ones(3))
    assert found["s"].dtype == "float32" and found["d"].dtype == "float64"
    found = jacobian(s * d, engine=engine)(s=np.ones(3, "f4"), d=np.ones(3))
    assert found["s"].dtype == "float32" and found["d"].dtype == "float64"
    found = hessian(dk.sum(s * d * d), engine=engine)(s=np.ones(3, "f4"), d=np.ones(3))
    assert found["d"]["s"].dtype == "float32"
    out, slope = value_and_grad(lambda a, b: np.sum(a * b), argnums=(0, 1), engine=engine)(
        np.ones(3, "f4"), np.ones(3, "f4")
    )
    assert out.dtype == slope[0].dtype == slope[1].dtype == "float32"


def test_indices_have_no_tangent():
    i = dk.symbol("i", 3, "int64")
    f = dk.sum(v * i)
    assert list(grad(f)(v=np.ones(3), i=np.arange(3))) == ["v"]
    with pytest.raises(DtypeError, match="'i' is int64"):
        grad(f, wrt="i")
    with pytest.raises(DtypeError, match="'i' is declared int64"):
        grad(f)(v=np.ones(3), i=np.ones(3))


# ---- out= and prepare ---------------------------------------------------------------------------------------------
@all_engines
def test_out_buffers_are_written(engine):
    tolerance, points = close(engine), np.linspace(0.1, 1, 4)
    expected = {"x": 2 * np.cos(points), "y": np.sin(points)}
    buffers = {"y": np.empty(4), "x": np.empty(4)}
    g = grad("sin(x)*y", engine=engine)
    assert g(x=points, y=2.0, out=buffers) is buffers
    same({k: buffers[k] for k in "xy"}, expected, **tolerance)
    single = np.empty(4)
    assert grad("sin(x)*y", wrt="x", engine=engine)(points, 2.0, out=single) is single
    same(single, expected["x"], **tolerance)
    value, (bx, by) = np.empty(4), (np.empty(4), np.empty(4))
    value_and_grad("sin(x)*y", engine=engine)(points, 2.0, out=(value, [bx, by]))
    same([value, bx, by], [2 * np.sin(points), *expected.values()], **tolerance)


@tape_engines
def test_out_of_jacobians_functions_and_values(engine):
    weights, vectors = RNG.standard_normal((2, 3)), RNG.standard_normal((4, 3))
    buffer = np.empty((4, 2, 3))
    jacobian(W @ v, wrt="v", engine=engine)(W=weights, v=vectors, out=buffer)
    same(buffer, np.broadcast_to(weights, (4, 2, 3)))
    slopes = {"a": np.empty(3), "b": [np.empty(())]}
    g = grad(lambda p: np.sum(p["a"] ** 2) * p["b"][0], engine=engine)
    g({"a": np.arange(3.0), "b": [2.0]}, out=slopes)
    same(slopes, {"a": 4 * np.arange(3.0), "b": [np.array(5.0)]})
    result = np.empty(3)
    assert (x * 2)(x=np.arange(3.0), out=result, machine="numpy") is result
    same(result, 2 * np.arange(3.0))


@pytest.mark.parametrize(
    "buffer",
    [np.zeros(3), np.zeros((4, 1)), np.zeros(4, "f4"), np.zeros(4, int), [0.0] * 4, np.broadcast_to(0.0, 4)],
    ids=repr,
)
def test_wrong_out_buffers_are_refused(buffer):
    g = grad("sin(x)*y", wrt="x")
    with pytest.raises(ShapeError, match=r"out= needs .*float64\[4\].*loop \(4,\)"):
        g(x=np.ones(4), y=2.0, out=buffer)


def test_out_names_what_is_missing_and_is_not_for_hessians():
    with pytest.raises(ArgumentError, match="out= has no array for 'y'"):
        grad("x*y")(x=1.0, y=2.0, out={"x": np.empty(())})
    with pytest.raises(ArgumentError, match="out= is for"):
        hessian("x*y", wrt="x")(x=1.0, y=2.0, out=np.empty(()))


def test_out_may_be_an_input():
    points = np.linspace(0.1, 1, 4)
    expected = 2 * np.cos(points)
    grad("sin(x)*y", wrt="x")(x=points, y=2.0, out=points)
    same(points, expected)


def test_prepare_builds_ahead(monkeypatch):
    calls = []
    g = grad(lambda a: calls.append(1) or np.sum(a**2)).prepare(np.zeros(3))
    same(g(np.arange(3.0)), 2 * np.arange(3.0))
    assert len(calls) == 1  # traced once
    e = grad("sin(x)*y").prepare(x=(3,), y=())
    tape = e.tape
    e(x=np.ones(3), y=1.0), e(x=1.0, y=np.ones((2, 2)))
    assert e.tape is tape


def test_a_python_function_is_traced_once_a_shape_and_dtype():
    calls = []

    def f(a, n=2):
        calls.append(np.shape(a))
        return np.sum(a) ** n

    g = grad(f)
    for given in (1.0, 2.0, np.ones(3), np.zeros(3), np.ones(3, "f4"), np.ones(4)):
        g(given)
    assert len(calls) == 4
    g(1.0, 2), g(1.0, 3), g(2.0, 3)
    assert len(calls) == 6
    assert g(2.0, 3) == 12.0 and g(2.0, 2) == 4.0


# ---- value_and_grad, jacobian, hessian ----------------------------------------------------------------------------
def rosenbrock(a):
    return np.sum(100 * (a[1:] - a[:-1] ** 2) ** 2 + (1 - a[:-1]) ** 2)


def rosenbrock_gradient(a):
    g = np.zeros_like(a)
    g[:-1] += -400 * a[:-1] * (a[1:] - a[:-1] ** 2) - 2 * (1 - a[:-1])
    g[1:] += 200 * (a[1:] - a[:-1] ** 2)
    return g


def rosenbrock_hessian(a):
    n = len(a)
    h = np.zeros((n, n))
    for k in range(n - 1):
        h[k, k] += -400 * (a[k + 1] - 3 * a[k] ** 2) + 2
        h[k + 1, k + 1] += 200
        h[k, k + 1] = h[k + 1, k] = -400 * a[k]
    return h


@all_engines
@pytest.mark.parametrize("n", [2, 5])
def test_gradient_and_hessian_of_a_python_function(engine, n):
    tolerance, a = close(engine), RNG.uniform(-1, 1, n)
    value, slope = value_and_grad(rosenbrock, engine=engine)(a)
    same(value, rosenbrock(a))
    same(slope, rosenbrock_gradient(a), **tolerance)
    tolerance = {"rtol": 1e-4, "atol": 1e-2} if engine == "finite" else {"rtol": 1e-10, "atol": 1e-10}
    same(hessian(rosenbrock, engine=engine)(a), rosenbrock_hessian(a), **tolerance)


@tape_engines
def test_more_directions_than_are_written_out(engine):
    a = RNG.uniform(-1, 1, 40)
    same(grad(rosenbrock, engine=engine)(a), rosenbrock_gradient(a), rtol=1e-10, atol=1e-10)
    same(jacobian(lambda b: b[::-1] ** 2, engine=engine)(a), np.fliplr(np.diag(2 * a[::-1])), **EXACT)
    if engine == "reverse":
        same(hessian(rosenbrock, engine=engine)(a), rosenbrock_hessian(a), rtol=1e-10, atol=1e-9)


@tape_engines
def test_jacobian_of_nested_outputs_by_nested_arguments(engine):
    def f(p, q):
        return {"a": p["w"] * q, "b": [np.sum(p["w"]), p["c"] ** 2]}

    p, q = {"w": np.arange(3.0), "c": 4.0}, 2.0
    found = jacobian(f, argnums=(0, 1), engine=engine)(p, q)
    same(found["a"], ({"w": 2 * np.eye(3), "c": np.zeros(3)}, np.arange(3.0)))
    same(found["b"], [({"w": np.ones(3), "c": 0.0}, 0.0), ({"w": np.zeros(3), "c": 8.0}, 0.0)])


@tape_engines
def test_hessian_of_nested_arguments(engine):
    found = hessian(lambda p: p["a"] ** 2 * np.sum(p["b"]), engine=engine)({"a": 3.0, "b": np.ones(2)})
    same(found, {"a": {"a": 4.0, "b": np.full(2, 6.0)}, "b": {"a": np.full(2, 6.0), "b": np.zeros((2, 2))}})
    found = hessian(lambda a, b: a**2 * b, argnums=(0, 1), engine=engine)(3.0, 2.0)
    same(found, ((4.0, 6.0), (6.0, 0.0)))


@all_engines
def test_hessian_of_an_expression_with_arrays(engine):
    engine_or_skip(engine)
    f = dk.sum(v**2) * x
    found = hessian(f, engine=engine)(v=np.arange(3.0), x=2.0)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if engine == "finite" else EXACT
    same(found["v"]["v"], 4 * np.eye(3), **tolerance)
    same(found["v"]["x"], 2 * np.arange(3.0), **tolerance)
    same(found["x"]["x"], 0.0, **tolerance)


# ---- argnums and structures ---------------------------------------------------------------------------------------
@all_engines
def test_argnums(engine):
    tolerance = close(engine)

    def f(a, b, c):
        return a * b**2 + c

    same(grad(f, engine=engine)(2.0, 3.0, 1.0), 9.0, **tolerance)
    same(grad(f, 1, engine=engine)(2.0, 3.0, 1.0), 12.0, **tolerance)
    same(grad(f, argnums=-1, engine=engine)(2.0, 3.0, 1.0), 1.0, **tolerance)
    same(grad(f, (2, 0), engine=engine)(2.0, 3.0, 1.0), (1.0, 9.0), **tolerance)
    same(grad(f, [1], engine=engine)(2.0, 3.0, 1.0), (12.0,), **tolerance)
    same(value_and_grad(f, (0, 1), engine=engine)(2.0, 3.0, 1.0), (19.0, (9.0, 12.0)), **tolerance)


Point = namedtuple("Point", "x y")


@tape_engines
@pytest.mark.parametrize(
    ("build", "pick"),
    [
        (lambda a, b: {"a": a, "b": b}, lambda t: (t["a"], t["b"])),
        (lambda a, b: [a, (b,)], lambda t: (t[0], t[1][0])),
        (lambda a, b: (a, {"deep": [b]}), lambda t: (t[0], t[1]["deep"][0])),
        (lambda a, b: Point(a, b), lambda t: (t.x, t.y)),
        (lambda a, b: OrderedDict(z=a, a=b), lambda t: (t["z"], t["a"])),
        (lambda a, b: {"b": b, "empty": (), "a": a}, lambda t: (t["a"], t["b"])),
    ],
    ids=["dict", "list", "tuple", "namedtuple", "OrderedDict", "empty"],
)
def test_nested_arguments_give_nested_results(build, pick, engine):
    a, b = np.arange(3.0), 2.0
    found = grad(lambda t: np.sum(pick(t)[0] ** 2) * pick(t)[1], engine=engine)(build(a, b))
    assert type(found) is type(build(a, b))
    same(pick(found), (4 * a, np.sum(a**2)))


def test_static_arguments_choose_branches_and_count_loops():
    def power(a, n, flag, mode, nothing):
        result = 1.0
        for _ in range(n):
            result = result * a
        return (-result if flag else result) * (2 if mode == "double" else 1) if nothing is None else 0.0

    assert grad(power)(2.0, 3, True, "double", None) == -24.0
    assert grad(power)(2.0, 2, False, "single", None) == 4.0
    assert value_and_grad(lambda a, options: a * len(options))(2.0, {"one": 1, "two": 2}) == (4.0, 2.0)


def test_a_static_argument_that_cannot_be_hashed():
    assert grad(lambda a, s: a * len(s))(1.0, {1, 2}) == 2.0


def test_a_static_number_is_told_from_a_boolean():
    g = grad(lambda a, flag: a * (3 if flag is True else 2))
    assert g(1.0, True) == 3.0 and g(1.0, 1) == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grad(lambda a: a * a)(3), r"'a' is int 3.*write 3\.0 rather than 3"),
        (lambda: grad(lambda a: np.sum(a))(np.arange(3)), r"'a'.*floating-point"),
        (lambda: grad(lambda p: p["x"])({"x": True}), r"'p\.x' is bool"),
        (lambda: grad(lambda p: p[0] * 2.0)([1.0, "s"]), r"'p\[1\]' is str"),
        (lambda: jvp(lambda a: a * a, (3,), (1.0,)), r"'a'.*3\.0"),
        (lambda: hvp(lambda a: a * a, (3,), (1.0,)), r"'a'.*3\.0"),
        (lambda: grad(lambda a: a)(1 + 2j), r"complex|real"),
        (lambda: grad("x")(x=1j), r"'x' is complex"),
        (lambda: grad("x")(x="1"), r"'x' must be a number.*str"),
        (lambda: grad("x")(x=None), r"'x' must be a number.*NoneType"),
    ],
)
def test_what_has_no_derivative_is_named(call, message):
    with pytest.raises((DtypeError, TracingError), match=message):
        call()


def test_integers_beside_the_differentiated_argument_are_fine():
    index = np.array([2, 0])
    same(grad(lambda a, i: np.sum(a * i))(np.ones(2), index), index.astype(float))
    _, back = vjp(lambda a, i: a * i, np.ones(2), index)
    same(back(np.ones(2))[0], index.astype(float))
    same(jvp(lambda a, n: a**n, (3.0, 2), (1.0, 0)), (9.0, 6.0))


# ---- products with vectors ----------------------------------------------------------------------------------------
def test_jvp_of_a_function():
    a, b = RNG.standard_normal(3), RNG.standard_normal(3)
    same(jvp(np.sin, (a,), (b,)), (np.sin(a), np.cos(a) * b))
    same(
        jvp(lambda p, q: {"s": p["x"] * q, "t": q}, ({"x": a}, 2.0), ({"x": b}, 1.0)),
        ({"s": 2 * a, "t": 2.0}, {"s": 2 * b + a, "t": 1.0}),
    )
    out, tangent = jvp(lambda p: (p[0], 5.0), (a,), (b,))
    same((out, tangent), ((a[0], 5.0), (b[0], 0.0)))


def test_vjp_of_a_function():
    a, w = RNG.standard_normal(3), RNG.standard_normal(3)
    out, back = vjp(lambda p, q: np.sin(p) * q, a, 2.0)
    same(out, 2 * np.sin(a))
    same(back(w), (2 * np.cos(a) * w, np.sum(np.sin(a) * w)))
    same(back(2 * w)[1], 2 * np.sum(np.sin(a) * w))  # may be called again
    out, back = vjp(lambda p: {"s": p["x"] ** 2, "t": [p["y"]]}, {"x": a, "y": 3.0})
    same(back({"s": w, "t": [2.0]}), ({"x": 2 * a * w, "y": 2.0},))


def test_hvp_of_a_function():
    a, d = RNG.uniform(-1, 1, 5), RNG.standard_normal(5)
    same(hvp(rosenbrock, (a,), (d,)), rosenbrock_hessian(a) @ d, rtol=1e-11, atol=1e-10)
    same(hvp(lambda p, q: p**2 * q, (3.0, 2.0), (1.0, 0.0)), (4.0, 6.0))


def test_products_of_expressions_go_by_name():
    f, at = "sin(x)*y", {"x": np.linspace(0, 1, 4), "y": 2.0}
    same(jvp(f, at, {"x": np.ones(4)}), (2 * np.sin(at["x"]), 2 * np.cos(at["x"])))
    same(jvp(f, at, {"x": 1.0, "y": 3.0})[1], 2 * np.cos(at["x"]) + 3 * np.sin(at["x"]))
    _, back = vjp(f, at)
    w = np.arange(4.0)
    same(
        back(w), {"x": 2 * np.cos(at["x"]) * w, "y": np.sum(np.sin(at["x"]) * w)}
    )  # summed over the dims that were broadcast
    same(hvp(f, {"x": 0.3, "y": 2.0}, {"x": 1.0}), {"x": -2 * np.sin(0.3), "y": np.cos(0.3)})


def test_vjp_sums_over_broadcast_loop_dims():
    a, b = RNG.standard_normal((4, 1)), RNG.standard_normal(3)
    out, back = vjp("x*y", {"x": a, "y": b})
    assert out.shape == (4, 3)
    w = RNG.standard_normal((4, 3))
    same(back(w), {"x": (w * b).sum(axis=1, keepdims=True), "y": (w * a).sum(axis=0)})
    out, back = vjp(W @ v, {"W": np.ones((2, 3)), "v": RNG.standard_normal((5, 3))})
    assert back(np.ones((5, 2)))["W"].shape == (2, 3)


def test_jvp_and_vjp_are_transposes_with_loop_dims():
    at = {"W": RNG.standard_normal((2, 3)), "v": RNG.standard_normal((5, 3))}
    d = {"W": RNG.standard_normal((2, 3)), "v": RNG.standard_normal((5, 3))}
    out, back = vjp(dk.tanh(W @ v), at)
    w = RNG.standard_normal(out.shape)
    assert np.sum(w * jvp(dk.tanh(W @ v), at, d)[1]) == pytest.approx(
        sum(np.sum(back(w)[k] * d[k]) for k in d), rel=1e-12
    )


# ---- vmap ---------------------------------------------------------------------------------------------------------
def test_vmap():
    rows, cols = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 4))
    same(vmap(np.sum)(rows), rows.sum(axis=1))
    same(vmap(np.sum, in_axes=1)(rows), rows.sum(axis=0))
    same(vmap(np.sum, in_axes=-1)(rows), rows.sum(axis=0))
    same(vmap(np.dot, in_axes=(0, 1))(rows, cols), np.einsum("ij,ji->i", rows, cols))
    same(vmap(lambda a, b: a * b, in_axes=(0, None))(rows, np.arange(3.0)), rows * np.arange(3.0))
    same(vmap(lambda a, n: a**n)(rows, 2), rows**2)
    same(
        vmap(lambda p: {"s": p["x"] * p["y"], "one": 1.0})({"x": rows, "y": rows[:, 0]}),
        {"s": rows * rows[:, :1], "one": np.ones(4)},
    )


def test_vmap_nested():
    outer = vmap(vmap(lambda a, b: a * b, in_axes=(None, 0)), in_axes=(0, None))
    same(outer(np.arange(3.0), np.arange(4.0)), np.outer(np.arange(3.0), np.arange(4.0)))
    same(vmap(vmap(np.sum))(np.ones((2, 3, 4))), np.full((2, 3), 4.0))
    same(vmap(vmap(np.sum), in_axes=1)(np.ones((2, 3, 4))), np.full((3, 2), 4.0))


def test_vmap_of_grad_and_grad_of_vmap():
    rows = RNG.uniform(-1, 1, (4, 3))
    same(vmap(grad(rosenbrock))(rows), np.stack([rosenbrock_gradient(r) for r in rows]), rtol=1e-10, atol=1e-10)
    same(vmap(value_and_grad(rosenbrock))(rows)[0], np.array([rosenbrock(r) for r in rows]))
    same(vmap(hessian(rosenbrock))(rows), np.stack([rosenbrock_hessian(r) for r in rows]), rtol=1e-10, atol=1e-10)
    same(
        grad(lambda r: np.sum(vmap(rosenbrock)(r)))(rows),
        np.stack([rosenbrock_gradient(r) for r in rows]),
        rtol=1e-10,
        atol=1e-10,
    )
    same(jacobian(vmap(np.sum))(rows), np.einsum("ij,k->ijk", np.eye(4), np.ones(3)))
    same(grad(lambda a: np.sum(vmap(lambda b: a * b)(np.arange(3.0))))(2.0), 3.0)  # closes over a


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vmap(lambda a, b: a * b)(np.ones(3), np.ones(4)), r"different lengths \[3, 4\]"),
        (lambda: vmap(lambda a, b: a * b, in_axes=(0,))(np.ones(3), np.ones(3)), r"in_axes has 1 entries for 2"),
        (lambda: vmap(lambda a: a, in_axes=None)(np.ones(3)), r"no argument is mapped"),
        (lambda: vmap(lambda a, b: a * b)(np.ones(3), 2.0), r"vmap.*axis 0|no axis|scalar"),
        (lambda: vmap(lambda a: a, in_axes=2)(np.ones((3, 3))), r"vmap.*axis 2"),
        (lambda: vmap(lambda a: a, in_axes="rows")(np.ones(3)), r"in_axes"),
    ],
)
def test_vmap_says_what_is_wrong(call, message):
    with pytest.raises(DiffkitError, match=message):
        call()


def test_vmap_over_nothing():
    assert vmap(lambda a: a * 2)(np.zeros((0, 3))).shape == (0, 3)


# ---- derivatives of derivatives -----------------------------------------------------------------------------------
@tape_engines
def test_grad_of_grad(engine):
    f = np.sin
    for exact in (np.cos, lambda t: -np.sin(t), lambda t: -np.cos(t), np.sin):
        f = grad(f, engine=engine)
        same(f(0.7), exact(0.7))
    g = grad("x**4*y", wrt="x", engine=engine)
    same(grad(lambda t: g(x=t, y=2.0), engine=engine)(3.0), 12 * 9 * 2.0)
    same(grad(lambda a: np.sum(grad(rosenbrock, engine=engine)(a) ** 2))(np.array([0.5, 0.1])),
         2 * rosenbrock_hessian(np.array([0.5, 0.1])) @ rosenbrock_gradient(np.array([0.5, 0.1])), rtol=1e-11,
         atol=1e-9)  # fmt: skip


CONFUSIONS = [
    (lambda d: d(lambda a: a * d(lambda b: a + b)(1.0))(1.0), 1.0),
    (lambda d: d(lambda a: a * d(lambda b: a * b)(2.0))(3.0), 6.0),
    (lambda d: d(lambda a: d(lambda b: a * b * b)(a))(3.0), 12.0),
    (lambda d: d(lambda a: d(lambda b: d(lambda c: a * b * c)(1.0))(1.0))(1.0), 1.0),
    (lambda d: d(lambda a: (lambda g: g(a) + g(1.0))(d(lambda b: b * b * a)))(2.0), 2 * 2 * 2 + 2.0),
    (lambda d: d(lambda a: d(lambda a: a * a)(a) * a)(3.0), 12.0),
    (lambda d: d(d(lambda a: a**3 * d(lambda b: b**2)(a)))(2.0), 2 * 4 * 3 * 4.0),
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), CONFUSIONS)
@pytest.mark.parametrize("outer", ["forward", "reverse", "dual"])
def test_no_perturbation_is_confused(make, expected, outer):
    def by_dual(f):
        def slope(at):
            found = f(dk.Dual(at))
            return found.tangent if isinstance(found, dk.Dual) else 0.0

        return slope

    derive = by_dual if outer == "dual" else partial(grad, engine=outer)
    assert float(make(derive)) == expected


def test_functions_that_close_over_outer_variables():
    def f(a):
        inner = grad(lambda b: np.sum(b * a**2))  # closes over a
        return np.sum(inner(np.ones(3)))

    same(grad(f)(np.array([1.0, 2.0, 3.0])), 2 * np.array([1.0, 2.0, 3.0]))
    out = grad(lambda a: a * hvp(lambda b: b**2 * a, (1.0,), (1.0,)))(3.0)
    assert out == 12.0
    assert grad(lambda a: jvp(lambda b: a * b**2, (a,), (1.0,))[1])(3.0) == 12.0
    assert grad(lambda a: vjp(lambda b: a * b**2, 2.0)[1](a)[0])(3.0) == 24.0


def test_a_function_that_closes_over_a_free_symbol_gives_an_expression():
    slope = grad(lambda a: a**2 * y)(3.0)
    assert isinstance(slope, dk.Expr) and slope(y=2.0, machine="numpy") == 12.0


def test_transforms_called_with_expressions_give_expressions():
    same(grad("x**2*y")(x=dk.sin(y), y=y)["x"](y=0.5, machine="numpy"), 2 * np.sin(0.5) * 0.5)
    slope = grad(lambda a: np.sum(a**2))(v)
    assert slope.shape == (3,)
    same(slope(v=np.arange(3.0), machine="numpy"), 2 * np.arange(3.0))
    same(hessian("x**2*y")(x=x, y=3.0)["x"]["x"](machine="numpy"), 6.0)


# ---- derivatives as expressions and tapes -------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["forward", "reverse", "symbolic"])
def test_derivative_is_an_expression(engine):
    engine_or_skip(engine)
    d = dk.derivative("x**3*y", "x", engine=engine)
    assert isinstance(d, dk.Expr) and d.shape == ()
    same(d(x=2.0, y=5.0, machine="numpy"), 60.0)
    same(
        dk.derivative(dk.sum(W @ v), "W", engine=engine)(v=np.arange(3.0), machine="numpy"),
        np.tile(np.arange(3.0), (2, 1)),
    )
    assert dk.derivative("x**3*y", y, engine=engine).variables == ("x",)


def test_dual_numbers():
    a = dk.Dual(0.5, 1.0)
    found = dk.exp(a) * a + 2 / a - a**2 + np.sin(a)
    same(found.primal, np.exp(0.5) * 0.5 + 4 - 0.25 + np.sin(0.5))
    same(found.tangent, np.exp(0.5) * 1.5 - 8 - 1 + np.cos(0.5))
    same(dk.where(a > 0, a * 3, 1 / a).tangent, 3.0)
    same((np.array([1.0, 2.0]) * a).tangent, np.array([1.0, 2.0]))
    same((x * dk.Dual(y, 1.0)).tangent(x=2.0, machine="numpy"), 2.0)


@pytest.mark.parametrize(("f", "at", "primal", "tangent"), [
    (dk.sqrt, 0.0, 0.0, np.inf), (dk.log, 0.0, -np.inf, np.inf), (lambda a: 1 / a, 0.0, np.inf, -np.inf), (dk.abs, 0.0, 0.0, 0.0),
    (lambda a: dk.where(a > 0, dk.sqrt(a), a), 0.0, 0.0, 1.0), (dk.exp, 1000.0, np.inf, np.inf), (lambda a: a**2, -1.0, 1.0, -2.0),
    (lambda a: dk.maximum(a, 1.0), 1.0, 1.0, 0.5),
])  # fmt: skip
def test_dual_numbers_answer_as_ieee_does(f, at, primal, tangent):
    found = f(dk.Dual(at))
    assert float(found.primal) == primal and float(found.tangent) == tangent


def test_kink_policies_reach_cached_transforms():
    g, h = grad("abs(x)", wrt="x"), grad(np.abs)
    assert (g(x=0.0), h(0.0)) == (0.0, 0.0)
    with dk.kinks("right"):
        assert (g(x=0.0), h(0.0)) == (1.0, 1.0)
        assert jvp("abs(x)", {"x": 0.0}, {"x": 1.0})[1] == 1.0
        assert vjp(np.abs, 0.0)[1](1.0) == (1.0,)
    assert (g(x=0.0), h(0.0)) == (0.0, 0.0)


# ---- errors -------------------------------------------------------------------------------------------------------
ERRORS = [
    (lambda: grad("x*y", wrt="z"), ArgumentError, r"no variable 'z'.*x, y"),
    (lambda: grad("x*y", argnums=0), ArgumentError, r"argnums belongs to Python functions.*wrt="),
    (lambda: grad("x*y", 0, wrt="x"), ArgumentError, r"argnums"),
    (lambda: grad(np.sin, wrt="x"), ArgumentError, r"wrt belongs to expressions.*argnums="),
    (lambda: grad(np.sin, reduce="sum"), ArgumentError, r"reduce="),
    (lambda: grad("x", reduce="mean"), ArgumentError, r"reduce is \"sum\" or None"),
    (lambda: grad(3.0), ArgumentError, r"function, an expression or text.*float"),
    (lambda: grad("x", engine="magic"), ArgumentError, r"no engine 'magic'.*symbolic, forward, reverse, finite"),
    (lambda: dk.grad("x", machine="abacus")(x=1.0), ArgumentError, r"no machine 'abacus'.*cpu.*numpy"),
    (lambda: grad(W @ v), ShapeError, r"scalar.*\(2,\).*jacobian"),
    (lambda: grad(lambda a: a * 2)(np.ones(3)), ShapeError, r"scalar.*\(3,\).*jacobian.*sum"),
    (lambda: grad(lambda a: (a, a))(1.0), ShapeError, r"2.*jacobian"),
    (lambda: hessian(W @ v), ShapeError, r"scalar"),
    (lambda: hvp(lambda a: (a, a * a), (1.0,), (1.0,)), ShapeError, r"scalar.*2|2.*result"),
    (lambda: grad("x*y")(x=1.0), ArgumentError, r"no value for 'y'"),
    (lambda: grad("x*y")(1.0, 2.0, 3.0), ArgumentError, r"3 values for 2 variables"),
    (lambda: grad("x*y")(x=1.0, y=2.0, q=1), ArgumentError, r"no variable 'q'"),
    (lambda: grad("x*y")(x=np.ones(3), y=np.ones(4)), ShapeError, r"x: loop \(3,\) · core \(\); y: loop \(4,\) · core \(\)"),
    (lambda: grad(dk.sum(W @ v))(W=np.ones((3, 2)), v=np.ones(3)), ShapeError, r"'W' has core shape \(2, 3\).*\(3, 2\)"),
    (lambda: grad(dk.sum(v))(v=1.0), ShapeError, r"'v' has core shape \(3,\).*\(\)"),
    (lambda: grad("x")(x=[[1.0], [1.0, 2.0]]), ShapeError, r"'x'"),
    (lambda: grad(np.sin, argnums=1)(1.0), ArgumentError, r"argument 1.*called with 1"),
    (lambda: grad(np.sin, argnums="x"), ArgumentError, r"argnums is a position"),
    (lambda: grad(np.sin, argnums=(0, 0))(1.0), ArgumentError, r"argnums.*twice|twice.*argnums"),
    (lambda: grad("x*y", wrt=("x", "x")), ArgumentError, r"'x'.*twice"),
    (lambda: grad(lambda a: float(a))(1.0), TracingError, r"float\(\)"),
    (lambda: grad(lambda a: a if a > 0 else -a)(1.0), TracingError, r"dk\.where"),
    (lambda: grad(lambda a: "text")(1.0), TracingError, r"returned a str"),
    (lambda: grad(lambda a: None)(1.0), TracingError, r"returned.*None"),
    (lambda: jvp(np.sin, 1.0, 1.0), ArgumentError, r"primals of a Python function are a tuple"),
    (lambda: jvp(np.sin, (1.0,), (1.0, 2.0)), ArgumentError, r"structure"),
    (lambda: jvp(np.sin, (np.ones(3),), (np.ones(4),)), ShapeError, r"\(4,\).*\(3,\)"),
    (lambda: jvp("x*y", (1.0, 2.0), (1.0, 0.0)), ArgumentError, r"dict by name"),
    (lambda: jvp("x*y", {"x": 1.0, "y": 2.0}, {"z": 1.0}), ArgumentError, r"'z'"),
    (lambda: jvp("x*y", {"x": 1.0, "y": 2.0}, {}), ArgumentError, r"no tangent"),
    (lambda: vjp("x*y", 1.0, 2.0), ArgumentError, r"one dict"),
    (lambda: vjp("x*y", {"x": np.ones(3), "y": 2.0})[1](1.0), ShapeError, r"cotangent has shape \(\), the output \(3,\)"),
    (lambda: vjp(np.sin, np.ones(3))[1](np.ones(4)), ShapeError, r"cotangent.*\(4,\).*\(3,\)"),
    (lambda: vjp(lambda a: [a, a], 1.0)[1](1.0), ArgumentError, r"structure"),
    (lambda: dk.derivative("x*y", "z"), ArgumentError, r"no variable 'z'"),
    (lambda: dk.derivative(W @ v, "v"), ShapeError, r"scalar"),
    (lambda: dk.trace(3.0), ArgumentError, r"Python function"),
    (lambda: dk.trace(lambda a: (a, a), 1.0), ArgumentError, r"several"),
    (lambda: dk.tape("x*y", wrt="z"), ArgumentError, r"'z'"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "error", "message"), ERRORS)
def test_errors_say_what_and_how(act, error, message):
    with pytest.raises(error, match=message):
        act()


# ---- empty arrays -------------------------------------------------------------------------------------------------
@tape_engines
@pytest.mark.parametrize(
    "f", [np.sum, lambda a: np.sum(a**2), np.prod, lambda a: np.sum(np.concatenate([a, a])), lambda a: np.sum(a[:0])]
)
def test_the_gradient_by_an_empty_array_is_empty(f, engine):
    value, slope = value_and_grad(f, engine=engine)(np.zeros(0))
    assert value == f(np.zeros(0)) and slope.shape == (0,)


@tape_engines
def test_jacobians_of_empty_arrays_are_empty(engine):
    assert jacobian(lambda a: a**2, engine=engine)(np.zeros(0)).shape == (0, 0)
    assert jacobian(lambda a: a[:0], engine=engine)(np.ones(3)).shape == (0, 3)
    assert hessian(lambda a: np.sum(a**2), engine=engine)(np.zeros(0)).shape == (0, 0)
    assert jacobian(lambda a, b: a * np.sum(b), argnums=(0, 1), engine=engine)(2.0, np.zeros((0, 2)))[1].shape == (0, 2)


# ---- trace --------------------------------------------------------------------------------------------------------
def test_trace_names_and_shapes():
    f = dk.trace(lambda p, b=1.0: np.sum(p["w"] @ p["x"]) * b, {"w": np.ones((2, 3)), "x": np.ones(3)}, 2.0)
    assert f.variables == ("p.w", "p.x", "b") and f.shape == ()
    assert dk.trace(np.exp, 1.0) is dk.exp(dk.symbol(dk.trace(np.exp, 1.0).variables[0]))
    assert dk.trace(lambda x, y: np.sin(x) * y, 1.0, 1.0) is dk.sin(x) * y
    assert dk.trace(lambda *a: a[0] * a[1], 1.0, 2.0).variables == ("arg0", "arg1")


def test_a_function_with_lists_loops_and_numpy_constants():
    table = np.arange(4.0)

    def f(a):
        parts = [a * t for t in table]
        total = np.stack(parts).sum() + np.mean(table * a)
        return total if a.shape == () else 0.0

    assert grad(f)(2.0) == 6.0 + 1.5


# ---- what out= and arguments refuse -------------------------------------------------------------------------------
def _frozen(n):
    array = np.empty(n)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("engine", ["reverse", "forward", "finite"])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (3, "a dict by name, or a list, of arrays for 'x', 'y', not a value of type int"),
        ([], "not 0 items"),
        ([np.empty(4)], "not 1 items"),
        ("ab", "not a value of type str"),
        ({"x": np.empty(4), "y": np.empty(4), "z": np.empty(4)}, "an array for 'z'"),
        ([np.empty(4), _frozen(4)], r"float64\[4\] .* for the derivative by 'y', not one that is read-only"),
        ([np.empty(4), None], "for the derivative by 'y', not None"),
        ([np.empty(4), np.empty(4, "f4")], r"not float32\[4\]"),
        ([BUFFER := np.empty(6), BUFFER], r"not float64\[6\]"),
        ([BUFFER[:4], BUFFER[:4]], "same memory for the derivative by 'x' and the derivative by 'y'"),
        ([BUFFER[3::-1], BUFFER[2:]], "same memory"),
    ],
)
def test_out_of_a_gradient_refuses(out, message, engine):
    with pytest.raises((ArgumentError, ShapeError), match=f"out= .*{message}"):
        grad("sin(x)*y", engine=engine)(np.ones(4), 2.0, out=out)


@pytest.mark.parametrize("f", ["sin(x)", np.sin], ids=["text", "function"])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty(()), r"a pair \(array for the value, gradient\), not a value of type ndarray"),
        (5, "a pair"),
        ([np.empty(()), np.empty(()), np.empty(())], "a pair .* not 3 items"),
        ((None, np.empty(())), "for the value, not None"),
        ((np.empty(()), None), "for the derivative by 'x', not None"),
        ((BUFFER := np.empty(()), BUFFER), "same memory for the value and the derivative by 'x'"),
    ],
)
def test_out_of_value_and_grad_refuses(f, out, message):
    call = value_and_grad(f, wrt="x") if isinstance(f, str) else value_and_grad(f)
    with pytest.raises((ArgumentError, ShapeError), match=f"out= .*{message}"):
        call(0.5, out=out)


def test_out_of_a_function_is_structured_as_the_result():
    def f(x, y):
        return np.sum(np.sin(x) * y)

    points, pair = np.linspace(0, 1, 4), (np.empty(4), np.empty(()))
    assert grad(f, (0, 1))(points, 2.0, out=pair) is pair
    grad(f, (0, 1))(points, 2.0, out=list(pair))  # a list does
    same(pair, (2 * np.cos(points), np.sin(points).sum()))
    for wrong in ({"x": np.empty(4)}, [np.empty(4)], np.empty(4)):
        with pytest.raises(ArgumentError, match=r"structured as the result, \('float64\[4\]', 'float64\[\]'\)"):
            grad(f, (0, 1))(points, 2.0, out=wrong)
    rows = (np.empty((4, 4)), np.empty(4))
    jacobian(lambda x: (2 * x, x[0]))(points, out=rows)
    same(rows, (2 * np.eye(4), np.eye(4)[0]))


def test_out_where_it_means_nothing():
    for call in (hessian("x*y"), hessian(lambda x, y: x * y), grad("x*y", reduce="sum")):
        with pytest.raises(ArgumentError, match="out= is for values, gradients and Jacobians"):
            call(1.0, 2.0, out=np.empty(()))
    with pytest.raises(ArgumentError, match="out= is for numbers"):
        grad("x*y", wrt="x")(dk.symbols("t"), 2.0, out=np.empty(()))
    with pytest.raises(ShapeError, match="for the derivative by 'x', not a value of type dict"):
        grad("x*y", wrt="x")(1.0, 2.0, out={"x": np.empty(())})
    assert grad(dk.symbol("n", dtype="int64") * 2)(n=3, out=[]) == []  # nothing to write


def test_columns_of_one_array_are_buffers():
    points, matrix = np.linspace(0, 1, 4), np.empty((4, 2))
    grad("sin(x)*y")(points, 2.0, out=[matrix[:, 0], matrix[::-1, 1]])
    same(matrix, np.stack([2 * np.cos(points), np.sin(points)[::-1]], axis=1))


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
def test_values_that_would_lose_something_are_refused(machine):
    n, q = dk.symbol("n", dtype="int64"), dk.symbol("q", dtype="bool")
    with pytest.raises(DtypeError, match=r"'x' has masked elements.*filled"):
        dk.parse("2*x")(np.ma.array([1.0, 2.0], mask=[False, True]), machine=machine)
    same(dk.parse("2*x")(np.ma.array([1.0, 2.0]), machine=machine), np.array([2.0, 4.0]))
    with pytest.raises(DtypeError, match="'q' is declared bool, but the value has a NaN"):
        dk.where(q, 1.0, 2.0)(q=np.array([1.0, np.nan]), machine=machine)
    with pytest.raises(DtypeError, match="9223372036854775808 is too large"):
        (n + 1)(n=np.array([0, 2**63], np.uint64), machine=machine)
    same((n * 1.0)(n=np.uint64(2**63 - 1), machine=machine), 2.0**63)


def test_machines_agree_at_minus_infinity_and_minus_zero():
    for machine in ("cpu", "numpy"):
        assert dk.parse("lgamma(x)")(-np.inf, machine=machine) == np.inf
        sign = dk.parse("sign(x)")(np.array([-0.0, 0.0, -2.0, np.nan]), machine=machine)
        assert not np.signbit(sign[:2]).any()
        same(sign, np.array([0.0, 0.0, -1.0, np.nan]))


def test_memory_is_planned_before_the_run():
    """It grows with what is computed, not with the batch that is gone through block by block."""
    f = lambda w, x: np.sum(np.tanh(x @ w))
    sizes = {}
    for n in (100, 10_000):
        g = dk.grad(f)
        assert g.memory is None
        sizes[n] = g.prepare(np.ones((50, 20)), np.ones((n, 50))).memory
    assert 0 < sizes[100] <= sizes[10_000] < 8 * 10_000 * 20
    assert dk.grad("sin(x)*y").memory > 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda w, x, p: np.sum(np.tanh(x @ w) ** 2),
        lambda w, x, p: dk.scan(lambda c, i: (c + np.sum(x[:2] @ w), None), 0.0, None, length=3)[0],
        lambda w, x, p: np.sum(w[p] ** 2),
    ],
)
def test_what_a_function_closes_over_is_let_go(loss):
    """A training loop that makes its loss anew for every batch: neither the batch nor its kinds are kept."""
    w = np.ones((200, 3))
    before = None
    for step in range(4):
        rng = np.random.default_rng(step)
        x, p = rng.normal(size=(40, 200)), rng.permutation(200)
        dk.grad(lambda w, x=x, p=p: loss(w, x, p))(w)
        gc.collect()
        if before is not None:
            assert len(kinds._large) <= before
        before = len(kinds._large)


def test_programs_of_so_many_shapes_are_kept(monkeypatch):
    monkeypatch.setattr("diffkit.transforms.by_position.REMEMBERED", 3)
    gradient = dk.grad(lambda x: np.sum(x**2))
    for n in (1, 2, 3, 4, 5, 1, 2):
        np.testing.assert_array_equal(gradient(np.ones(n)), np.full(n, 2.0))
    assert len(gradient._made) == 3
