"""Every transform with machine="cuda", of NumPy's arrays and of arrays on the device, against the cpu machine."""

from collections import namedtuple

import numpy as np
import optree
import pytest
from helpers_cuda import FEW_THREADS, difference

import diffkit as dk
from diffkit.errors import DtypeError, ShapeError, UnsupportedError
from diffkit.machines.cuda import executable
from diffkit.machines.cuda.package import package, problem
from diffkit.machines.resident import is_on_device

missing = problem()
if missing:
    pytest.skip(f"{missing}; NUMBA_ENABLE_CUDASIM=1 runs these tests in a simulator", allow_module_level=True)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # the simulator computes with NumPy's scalars
    pytest.mark.filterwarnings("ignore::Warning:numba"),  # of launches too small to fill a GPU
]
rng = np.random.default_rng(8)


@pytest.fixture(autouse=True, scope="module")
def few_threads():
    patch = pytest.MonkeyPatch()
    if package().simulated:
        patch.setattr(executable, "BLOCK", FEW_THREADS)
        patch.setattr("diffkit.machines.cuda.transfer.BLOCK", FEW_THREADS)
    yield
    patch.undo()


def there(tree):
    """All arrays of a tree on the device."""
    return optree.tree_map(lambda x: package().cuda.to_device(x) if isinstance(x, np.ndarray) else x, tree)


def here(tree):
    return optree.tree_map(lambda x: x.copy_to_host() if is_on_device(x) else x, tree)


def same_tree(found, expected, exact=True):
    """Of the same structure, shapes, dtypes and (exact) bits."""
    assert optree.tree_structure(found) == optree.tree_structure(expected)
    found, expected = optree.tree_leaves(found), optree.tree_leaves(expected)
    if exact:
        wrong = difference(found, expected)
        assert not wrong, wrong
    for a, b in zip(found, expected, strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=1e-5 if np.asarray(a).dtype == np.float32 else 1e-11, atol=1e-12)


# ---- every transform ----------------------------------------------------------------------------------------------
TEXT, SMALL, LARGE = "sin(x)*y + exp(x/y)", dk.symbol("v", shape=(3,)), dk.symbol("w", shape=(70,))
VECTOR = dk.stack([dk.sum(dk.sin(SMALL)), SMALL[0] * SMALL[1]])
LONG = (dk.sin(LARGE) * LARGE[::-1])[:8]
Pair = namedtuple("Pair", "a b")


def model(p, xs, n=2):
    z = np.tanh(xs @ p["w"] + p["layers"][0].b)
    return np.sum(z**n) * p["layers"][0].a


def nested():
    return {"w": rng.standard_normal((3, 2)), "layers": [Pair(0.7, rng.standard_normal(2))]}, rng.standard_normal(
        (4, 3)
    )


def vector_function(x, y):
    return {"s": np.sin(x) * y, "t": np.sum(x * x)}


def columns(*shapes, low=0.5):
    return [rng.uniform(low, 2, s) for s in shapes]


def with_vjp(f, cotangent, *primals, machine):
    out, pullback = dk.vjp(f, *primals, machine=machine)
    return out, pullback(cotangent)


#: name -> (what makes a callable of a machine's name, arguments, whether bits are the same)
CALLS = {
    "value": (lambda m: lambda x, y: dk.parse(TEXT)(x, y, machine=m), columns((4,), ()), True),
    "grad": (lambda m: dk.grad(TEXT, machine=m), columns((4, 1), (3,)), True),
    "grad by one, at one point": (lambda m: dk.grad(TEXT, wrt="x", machine=m), columns((), (1,)), True),
    "grad, no points": (lambda m: dk.grad(TEXT, machine=m), columns((0,), ()), True),
    "grad, reduced": (lambda m: dk.grad(TEXT, reduce="sum", machine=m), columns((4, 1), (3,)), False),
    "grad, reduced to ()": (lambda m: dk.grad(TEXT, reduce="sum", machine=m), columns((5,), ()), False),
    "grad, forward": (lambda m: dk.grad(TEXT, engine="forward", machine=m), columns((4,), ()), True),
    "grad, symbolic": (lambda m: dk.grad(TEXT, engine="symbolic", machine=m), columns((4,), ()), True),
    "grad, finite": (lambda m: dk.grad(TEXT, engine="finite", machine=m), columns((4,), ()), True),
    "grad, differences": (lambda m: dk.grad("abs(x)*y", engine="finite", machine=m), columns((4,), ()), True),
    "value and grad": (lambda m: dk.value_and_grad(TEXT, machine=m), columns((), (3,)), True),
    "jacobian": (lambda m: dk.jacobian(VECTOR, machine=m), columns((2, 3)), True),
    "jacobian, forward": (lambda m: dk.jacobian(VECTOR, engine="forward", machine=m), columns((2, 3)), True),
    "jacobian, reverse": (lambda m: dk.jacobian(VECTOR, engine="reverse", machine=m), columns((3,)), True),
    "jacobian, seeded columns": (lambda m: dk.jacobian(LONG, engine="forward", machine=m), columns((2, 70)), False),
    "jacobian, seeded rows": (lambda m: dk.jacobian(LONG, engine="reverse", machine=m), columns((70,)), False),
    "jacobian, finite": (lambda m: dk.jacobian(VECTOR, engine="finite", machine=m), columns((2, 3)), True),
    "hessian": (lambda m: dk.hessian(TEXT, machine=m), columns((3,), ()), True),
    "hessian, large": (lambda m: dk.hessian(dk.sum(dk.sin(LARGE)), wrt="w", machine=m), columns((70,)), False),
    "hessian, finite": (lambda m: dk.hessian("x**2*y", engine="finite", machine=m), columns((2,), ()), True),
    "jvp": (lambda m: lambda x, y, t: dk.jvp(TEXT, {"x": x, "y": y}, {"x": t}, machine=m), columns((4,), (), (4,)), True),
    "vjp": (
        lambda m: lambda x, y, c: with_vjp(TEXT, c, {"x": x, "y": y}, machine=m), columns((4, 1), (3,), (4, 3)), False,
    ),
    "hvp": (lambda m: lambda x, y, t: dk.hvp(TEXT, {"x": x, "y": y}, {"x": t}, machine=m), columns((4,), (), (4,)), True),
    "vmap": (lambda m: dk.vmap(dk.parse(TEXT), in_axes=(1, None), out_axes=1, machine=m), columns((4, 3), (3, 4)[1:]), True),
    "function: grad": (lambda m: dk.grad(model, machine=m), nested(), False),
    "function: grads": (lambda m: dk.grad(model, argnums=(0, 1), machine=m), nested(), False),
    "function: value and grad": (lambda m: dk.value_and_grad(model, argnums=1, machine=m), nested(), False),
    "function: grad, forward": (lambda m: dk.grad(model, engine="forward", machine=m), nested(), False),
    "function: jacobian": (lambda m: dk.jacobian(vector_function, argnums=(0, 1), machine=m), columns((3,), (3,)), True),
    "function: hessian": (lambda m: dk.hessian(lambda x: np.sum(np.sin(x) * x[::-1]), machine=m), columns((3,)), True),
    "function: jvp": (
        lambda m: lambda x, y, s, t: dk.jvp(vector_function, (x, y), (s, t), machine=m), columns((3,), (3,), (3,), (3,)), True,
    ),
    "function: vjp": (
        lambda m: lambda x, y, s, t: with_vjp(vector_function, {"s": s, "t": t}, x, y, machine=m),
        columns((3,), (3,), (3,), ()), True,
    ),
    "function: hvp": (
        lambda m: lambda x, t: dk.hvp(lambda x: np.sum(np.sin(x) * x[::-1]), (x,), (t,), machine=m), columns((3,), (3,)), True,
    ),
    "function: vmap": (
        lambda m: dk.vmap(lambda x, y: (np.sin(x) * y, np.sum(y)), in_axes=(1, None), out_axes=(1, None), machine=m),
        columns((3, 4), (3,)), True,
    ),
    "function: vmap, placed": (
        lambda m: dk.vmap(lambda x, y: (x * y, np.cos(y)), in_axes=(0, None), out_axes=-1, machine=m), columns((4, 3), (3,)), True,
    ),
    "sparse jacobian": (lambda m: dk.jacobian(dk.sin(LARGE) * LARGE[::-1], sparse=True, machine=m), columns((70,)), False),
    "sparse hessian": (lambda m: dk.hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2), sparse=True, machine=m), columns((9,)), False),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_transform(name):
    """Of NumPy's arrays, of arrays on the device, and of both."""
    make, args, exact = CALLS[name]
    args = list(args)
    expected, call = make("cpu")(*args), make("cuda")
    mixed = [there(args[0]), *args[1:]]
    sparse = hasattr(expected, "toarray")
    for given in (args, there(args), mixed):
        found = call(*given)
        on_device = [is_on_device(leaf) for leaf in optree.tree_leaves(found)]
        assert all(on_device) if given is not args and not sparse else not any(on_device)
        if sparse:
            found, wanted = [found.toarray()], [expected.toarray()]
        else:
            found, wanted = here(found), optree.tree_map(np.asarray, expected)
            found = optree.tree_map(np.asarray, found)
        same_tree(found, wanted, exact)


def test_prepared_callables():
    p, xs = nested()
    g = dk.grad(model, machine="cuda").prepare(p, xs)
    assert g.prepare(there(p), there(xs)) is g and len(g._made) == 1  # one trace for both
    h = dk.grad(TEXT, machine="cuda").prepare(x=(4,), y=())
    x, y = columns((4,), ())
    same_tree(here(h(there(x), y)), h(x, y))


def test_directions_in_several_passes(monkeypatch):
    monkeypatch.setattr("diffkit.transforms.device.PASS_ELEMENTS", 70 * 2 * 3)
    (w,) = columns((2, 70))
    for engine in ("forward", "reverse"):
        found = dk.jacobian(LONG, engine=engine, machine="cuda")(there(w))
        same_tree(here(found), dk.jacobian(LONG, engine=engine)(w), False)


# ---- buffers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", ["one kernel", "columns", "seeded", "finite"])
def test_buffers(case):
    """Of NumPy, on the device, with gaps; the arrays given are given back."""
    f, engine, shape = {
        "one kernel": (TEXT, "reverse", (4,)), "columns": (VECTOR, "forward", (2, 3)),
        "seeded": (LONG, "forward", (2, 70)), "finite": (TEXT, "finite", (4,)),
    }[case]  # fmt: skip
    args = columns(shape, shape) if f is TEXT else columns(shape)
    wrt = "x" if f is TEXT else None
    make = dk.grad if f is TEXT else dk.jacobian
    call, expected = make(f, wrt=wrt, engine=engine, machine="cuda"), make(f, wrt=wrt, engine=engine)(*args)
    expected = next(iter(expected.values())) if isinstance(expected, dict) else expected
    wide = there(np.zeros((*expected.shape, 2)))
    for given in (args, there(args)):
        for buffer in (np.zeros(expected.shape), there(np.zeros(expected.shape)), wide[..., 1]):
            out = buffer if wrt else [buffer]
            assert call(*given, out=out) is out
            same_tree([here(buffer)], [expected], case != "seeded")
    assert not wide.copy_to_host()[..., 0].any()


def test_buffers_that_do_not_fit():
    x, y = columns((4,), ())
    g, zeros = dk.grad(TEXT, machine="cuda"), lambda *shape, dtype="f8": there(np.zeros(shape, dtype))
    for bad in (zeros(5), zeros(4, dtype="f4"), zeros(4, 1), None, [1.0] * 4):
        with pytest.raises(ShapeError, match="for the derivative by 'x'"):
            g(x, y, out={"x": bad, "y": zeros(4)})
    whole = zeros(8)
    for a, b in ((whole[:4], whole[:4]), (whole[:4], whole[3:7]), (whole[:4], whole[3:7][::1])):
        with pytest.raises(ShapeError) as found:
            g(x, y, out={"x": a, "y": b})
        host = np.zeros(8)
        with pytest.raises(ShapeError) as expected:
            dk.grad(TEXT)(x, y, out={"x": host[:4], "y": host[3:7]})
        assert found.value.args[0] == expected.value.args[0]
    out = {"x": whole[::2], "y": whole[1::2]}  # which lie in each other's gaps
    g(x, y, out=out)
    same_tree(here(out), dk.grad(TEXT)(x, y))
    with pytest.raises(ShapeError, match="same memory for the value and the derivative by 'y'"):
        dk.value_and_grad(TEXT, machine="cuda")(x, y, out=(whole[:4], {"x": zeros(4), "y": whole[:4]}))


# ---- what cannot be taken ---------------------------------------------------------------------------------------------
def test_errors_name_the_remedy():
    x = there(np.ones(3))
    with pytest.raises(DtypeError, match='lies on a GPU, where machine="cuda" takes it'):
        dk.grad(lambda v: np.sum(v))(x)
    with pytest.raises(DtypeError, match="move it to the host first"):
        dk.grad("sin(x)")(x)
    with pytest.raises(DtypeError, match="move it to the host first"):
        dk.jacobian(dk.sin(SMALL), sparse=True)(x)
    with pytest.raises(DtypeError, match="real numbers"):
        dk.grad("sin(x)", machine="cuda")(there(np.ones(3, complex)))
    with pytest.raises(DtypeError, match="declared int64"):
        dk.grad(dk.symbol("x") * dk.symbol("n", dtype="int64"), machine="cuda")(1.0, x)
    with pytest.raises(ShapeError, match="core shape"):
        dk.grad(dk.sum(SMALL), machine="cuda")(there(np.ones(4)))
    with pytest.raises(ShapeError, match="axis 1"):
        dk.vmap(dk.parse("sin(x)"), in_axes=1, machine="cuda")(x)
    with pytest.raises(UnsupportedError):
        dk.jacobian(VECTOR, engine="finite", sparse=True, machine="cuda")
