"""Expressions: identity, dtypes, NumPy's protocols, shapes, indexing, errors, and chains of 100,000 nodes."""

import copy
import gc
import operator
import pickle
import subprocess
import sys

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, DtypeError, ShapeError, TracingError, UnsupportedError
from diffkit.expr import node as nodes
from diffkit.expr.kind import constant_value
from diffkit.expr.node import Expr, constant, depth, free_variables, make, topological, variable
from diffkit.ops import TABLE
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")

x, y = dk.symbols("x y")
X = dk.symbol("X", (3, 4))
A = np.arange(12.0).reshape(3, 4) ** 1.5 - 7
RNG = np.random.default_rng(3)


def value(f: Expr, **given):
    return f(given, machine="numpy") if given else f(machine="numpy")


# ---- identity -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: x + y, lambda: x + y),
        (lambda: np.exp(x) * x, lambda: dk.parse("exp(x)*x")),
        (lambda: x**2, lambda: dk.pow(x, p=2.0)),
        (lambda: dk.symbol("x"), lambda: x),
        (lambda: constant(1), lambda: constant(1.0)),
        (lambda: constant(np.nan), lambda: constant(float("nan"))),
        (lambda: constant([1.0, 2.0]), lambda: constant(np.array([1.0, 2.0]))),
        (lambda: X[1], lambda: X[np.int64(1)]),
        (lambda: X.sum(axis=1), lambda: X.sum(axis=-1)),
        (lambda: dk.ln(x), lambda: np.log(x)),
        (lambda: x - -y, lambda: x - (-y)),
    ],
)
def test_equal_expressions_are_one_object(one, other):
    assert one() is other()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: constant(0.0), lambda: constant(-0.0)),
        (lambda: constant(1.0), lambda: constant(True)),
        (lambda: constant(1.0), lambda: constant(np.float64(1.0))),
        (lambda: constant(np.int64(1)), lambda: constant(np.float64(1.0))),
        (lambda: constant([0.0]), lambda: constant([-0.0])),
        (lambda: constant([1.0]), lambda: constant(1.0)),
        (lambda: x + y, lambda: y + x),
        (lambda: dk.symbol("x", dtype="float32"), lambda: x),
        (lambda: dk.symbol("x", 3), lambda: x),
        (lambda: dk.step(x, 0, at=0.0), lambda: dk.step(x, 0, at=-0.0)),
        (lambda: x**2, lambda: x * x),
    ],
)
def test_different_expressions_are_different_objects(one, other):
    assert one() is not other()


def test_a_nan_payload_and_a_signed_zero_keep_their_bits():
    payload = np.array([0x7FF8000000000123, 0x8000000000000000], np.uint64).view(np.float64)
    np.testing.assert_array_equal(value(constant(payload)).view(np.uint64), payload.view(np.uint64))
    assert np.signbit(value(x * -0.0, x=1.0))


def test_a_constant_exponent_is_part_of_the_operation_each_time():
    assert x**2 is x**2.0 and (x**2).op.name == "pow" and (x**2).params["p"] == 2.0
    assert (x**2.5).params["p"] == 2.5 and (x ** constant([1.0, 2.0])).op.name == "power"
    assert x**0.0 is not x**-0.0
    assert (dk.symbol("q", 3) ** 2).shape == (3,) and (x**y).op.name == "power"


def test_nodes_are_forgotten_with_their_last_user():
    gc.collect()
    before = len(nodes._nodes)
    f = dk.symbol("only_here")
    for _ in range(50):
        f = dk.sin(f) * f
    assert len(nodes._nodes) == before + 101
    del f
    gc.collect()
    assert len(nodes._nodes) == before


@pytest.mark.parametrize("attribute", ["kind", "args", "name", "shape", "anything"])
def test_an_expression_cannot_be_changed(attribute):
    f = x * 3
    with pytest.raises(AttributeError, match=r"cannot be changed|can't set|no setter"):
        setattr(f, attribute, 1)


def test_an_expression_cannot_lose_a_part():
    f = dk.symbol("to_be_kept") * 3
    with pytest.raises(AttributeError):
        del f.args
    assert f.args[0].name == "to_be_kept"


def test_what_params_returns_does_not_reach_the_node():
    v = dk.symbol("v")
    try:
        v.params["name"] = "w"
    except TypeError:
        pass
    finally:
        found = v.name
        dict.__setitem__(v.kind.kwargs, "name", "v") if type(v.kind.kwargs) is dict else None
    assert found == "v"


@pytest.mark.parametrize("clone", [lambda f: pickle.loads(pickle.dumps(f)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("f", [x, x + 1, X[1:, [0, 2]].sum() * np.arange(3.0), constant(-0.0), dk.symbol("i", 2, "int64"), x < y],
                         ids=str)  # fmt: skip
def test_copies_are_the_same_object(f, clone):
    assert clone(f) is f


def test_a_pickled_expression_shares_its_parts():
    f = dk.sin(x)
    for _ in range(60):
        f = f + f
    assert len(pickle.dumps(f)) < 20_000
    assert pickle.loads(pickle.dumps(f)) is f


# ---- dtypes -------------------------------------------------------------------------------------------------------
s, i, b = dk.symbol("s", 3, "float32"), dk.symbol("i", 3, "int64"), dk.symbol("b", 3, "bool")
v = dk.symbol("v", 3)
DTYPES = [
    (s * 2, "float32"), (s * 2.5 + 1, "float32"), (s * np.float32(2), "float32"), (s * np.float64(2), "float64"),
    (s * v, "float64"),
    (s + np.ones(3), "float64"), (s + np.ones(3, np.float32), "float32"), (s**2, "float32"), (2**s, "float32"),
    (dk.exp(s), "float32"),
    (s.sum(), "float32"), (s @ s, "float32"), (s @ v, "float64"), (dk.exp(i), "float64"),
    (i[0], "int64"), (i.reshape(3, 1), "int64"), (dk.stack([i, i]), "int64"), (b[0], "bool"), (s < v, "bool"), (b & b, "bool"),
    (dk.where(b, s, 0.0), "float32"), (dk.where(b, s, v), "float64"), (constant(2) * 3, "float64"),
    (dk.stack([s, v]), "float64"), (dk.concatenate([s, i]), "float64"), (dk.sum(b), "float64"), (abs(s), "float32"),
    (s * i, "float64"), (dk.maximum(s, 0), "float32"), (dk.relu(s), "float32"), (constant(np.float16(2)), "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "dtype"), DTYPES, ids=[f"{f!s}: {d}" for f, d in DTYPES])
def test_dtype_of_a_result(f, dtype):
    given = {
        "s": np.array([1, 2, 3], "f4"),
        "v": np.array([0.5, 2, 4]),
        "i": np.array([3, 1, 2]),
        "b": np.array([True, False, True]),
    }
    assert f.dtype == dtype
    result = value(f, **{n: given[n] for n in f.variables})
    assert result.dtype == dtype and result.shape == f.shape


def test_integers_and_booleans_count_as_numbers():
    assert value(b.sum(), b=np.array([True, False, True])) == 2
    assert value((i * b).sum(), i=np.array([1, 2, 3]), b=np.array([True, False, True])) == 4
    np.testing.assert_array_equal(value(dk.where(v, 1.0, 2.0), v=np.array([0, 0.5, -1])), [2, 1, 1])
    np.testing.assert_array_equal(value(dk.logical_not(v), v=np.array([0, 0.5, -1])), [True, False, False])
    np.testing.assert_array_equal(
        value(dk.logical_and(v, b), v=np.array([0, 2.0, -1]), b=np.array([True, True, False])), [False, True, False]
    )


# ---- NumPy's protocols --------------------------------------------------------------------------------------------
UFUNCS = [
    (name, op) for op in TABLE.values() if op.family == "elementwise" for name in (op.name, *op.aliases)
    if isinstance(getattr(np, name, None), np.ufunc) and getattr(np, name).nin == op.arity
]  # fmt: skip


@pytest.mark.parametrize(("name", "op"), UFUNCS, ids=[n for n, _ in UFUNCS])
def test_numpy_ufuncs_make_the_same_expression(name, op):
    arguments = (x, y)[: op.arity]
    assert getattr(np, name)(*arguments) is getattr(dk, name)(*arguments) is getattr(dk, op.name)(*arguments)


def test_most_ufuncs_are_known():
    assert len(UFUNCS) > 40


FUNCTIONS = [
    ("sum", (X,), {"axis": 0}), ("mean", (X,), {"axis": (0, 1), "keepdims": True}), ("prod", (X,), {}), ("max", (X,), {"axis": -1}),
    ("amin", (X,), {}), ("reshape", (X, (4, 3)), {}), ("transpose", (X,), {}), ("swapaxes", (X, 0, 1), {}),
    ("moveaxis", (X, 0, 1), {}),
    ("squeeze", (dk.symbol("q", (1, 3)),), {}), ("expand_dims", (X, 1), {}), ("ravel", (X,), {}),
    ("broadcast_to", (X, (2, 3, 4)), {}),
    ("concatenate", ([X, X],), {"axis": 1}), ("stack", ([X, X],), {}), ("where", (X > 0, X, 0), {}), ("clip", (X, 0, 1), {}),
    ("dot", (X, X.T), {}), ("matmul", (X, X.T), {}), ("round", (X,), {}), ("zeros_like", (X,), {}), ("ones_like", (X,), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), FUNCTIONS, ids=[n for n, _, _ in FUNCTIONS])
def test_numpy_functions_make_the_same_expression(name, args, kwargs):
    made = getattr(np, name)(*args, **kwargs)
    assert isinstance(made, Expr)
    assert made is getattr(dk, name)(*args, **kwargs)


@pytest.mark.parametrize("symbol", ["add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize(
    "other", [2.0, np.arange(4.0), np.ones((3, 1)), [1.0, 2.0, 3.0, 4.0]], ids=["number", "row", "column", "list"]
)
def test_operators_take_numbers_and_arrays_on_either_side(symbol, other):
    act = getattr(operator, symbol)
    with np.errstate(invalid="ignore", divide="ignore"):
        exact = act(A, np.asarray(other)), act(np.asarray(other), A)
    for f, wanted in zip((act(X, other), act(other, X)), exact, strict=True):
        assert isinstance(f, Expr)
        np.testing.assert_array_equal(value(f, X=A), wanted)


def test_functions_of_plain_numbers_compute():
    assert dk.exp(0.0) == 1.0
    np.testing.assert_array_equal(dk.sum(A, axis=0), A.sum(axis=0))
    np.testing.assert_array_equal(dk.concatenate([A, A]), np.concatenate([A, A]))
    np.testing.assert_array_equal(dk.where(A > 0, A, 0), np.where(A > 0, A, 0))
    np.testing.assert_allclose(dk.norm(A, axis=0), np.linalg.norm(A, axis=0))
    assert dk.sum([1.0, 2.0]) == 3.0
    assert dk.stack([x, 1.0]) is dk.stack([x, constant(1.0)])


def test_a_list_of_expressions_is_an_array():
    f = dk.sum([x, 2 * y, 3.0])
    assert value(f, x=1.0, y=2.0) == 8.0
    np.testing.assert_array_equal(value(dk.exp([[x], [y]]), x=0.0, y=0.0), [[1], [1]])
    np.testing.assert_array_equal(value(np.ones((2, 2)) @ dk.stack([x, y]), x=1.0, y=2.0), [3, 3])


def test_methods_and_sequences():
    assert X.T is dk.transpose(X) and X.shape == (3, 4) and X.ndim == 2 and X.size == 12 and len(X) == 3
    assert [row is X[k] for k, row in enumerate(X)] == [True] * 3
    assert X.reshape(4, 3) is X.reshape((4, 3)) is X.reshape(-1, 3)
    assert X.transpose(1, 0) is X.transpose((1, 0)) is X.transpose() is X.T
    assert (np.shape(X), np.ndim(X), np.size(X)) == ((3, 4), 2, 12)
    assert X.flatten() is X.ravel() and X[...] is X and X.reshape(3, 4) is X
    assert x.variables == ("x",) and (y * x + y).variables == ("y", "x") and x.name == "x" and (x + 1).name is None
    assert {x: 1}[x] == 1 and x in [y, x][1:]


# ---- errors -------------------------------------------------------------------------------------------------------
ERRORS = [
    (lambda: bool(x > 0), TracingError, r"truth test.*x > 0.*dk\.where"),
    (lambda: 1 if x else 2, TracingError, r"dk\.where"),
    (lambda: x > 0 and y, TracingError, r"dk\.where"),
    (lambda: 0 < x < 1, TracingError, r"dk\.where"),
    (lambda: float(x), TracingError, r"float\(\) needs a number.*'x'"),
    (lambda: int(x * y), TracingError, r"int\(\)"),
    (lambda: [1, 2][x], TracingError, r"needs a number"),
    (lambda: x ^ 2, TracingError, r"write \*\*"),
    (lambda: 2 ^ x, TracingError, r"write \*\*"),
    (lambda: X + dk.symbol("Y", (4, 3)), ShapeError, r"add.*\(3, 4\).*\(4, 3\)"),
    (lambda: X @ X, ShapeError, r"matmul.*\(3, 4\)"),
    (lambda: X @ x, ShapeError, r"scalar.*\*"),
    (lambda: X.sum(axis=2), ShapeError, r"sum: axis 2 .*2 axes"),
    (lambda: X.sum(axis=(0, 0)), ShapeError, r"twice"),
    (lambda: X.sum(axis=(0, -2)), ShapeError, r"twice"),
    (lambda: X.max(axis=-3), ShapeError, r"max: axis -3"),
    (lambda: X.reshape(5, 2), ShapeError, r"reshape: 12 elements.*\(5, 2\)"),
    (lambda: X.reshape(-1, -1), ShapeError, r"reshape"),
    (lambda: X.reshape(-1, 5), ShapeError, r"reshape"),
    (lambda: dk.transpose(X, (0, 0)), ShapeError, r"transpose"),
    (lambda: dk.transpose(X, (0, 5)), ShapeError, r"transpose"),
    (lambda: dk.swapaxes(X, 0, 5), ShapeError, r"axis 5"),
    (lambda: dk.moveaxis(X, 5, 0), ShapeError, r"axis 5"),
    (lambda: dk.expand_dims(X, 7), ShapeError, r"axis 7"),
    (lambda: dk.squeeze(X, 0), ShapeError, r"squeeze"),
    (lambda: dk.broadcast_to(X, (3, 5)), ShapeError, r"\(3, 4\).*\(3, 5\)"),
    (lambda: dk.concatenate([X, X.T]), ShapeError, r"concatenate.*\(3, 4\).*\(4, 3\)"),
    (lambda: dk.concatenate([X, x]), ShapeError, r"concatenate"),
    (lambda: dk.concatenate([X, X], axis=None), DiffkitError, r"axis"),
    (lambda: dk.stack([X, x]), ShapeError, r"stack.*differ"),
    (lambda: dk.stack([X, X], axis=4), ShapeError, r"stack: axis 4"),
    (lambda: X[3], ShapeError, r"out of bounds|index 3"),
    (lambda: X[0, 0, 0], ShapeError, r"too many indices|\(3, 4\)"),
    (lambda: X[1.5], DtypeError, r"integers, slices or booleans"),
    (lambda: X[x], UnsupportedError, r"indexing by an expression"),
    (lambda: X[np.array([True, False])], ShapeError, r"mask|boolean"),
    (lambda: X[np.ones((3, 5), bool)], ShapeError, r"mask|boolean|out of bounds"),
    (lambda: len(x), TypeError, r"no length"),
    (lambda: dk.sin(x, y), ArgumentError, r"sin\(\) takes 1 argument, 2 given"),
    (lambda: dk.hypot(x), ArgumentError, r"hypot\(\) takes 2 arguments, 1 given"),
    (lambda: dk.step(x, 0, high=1), DiffkitError, r"step: unknown parameter 'high'.*'at'"),
    (lambda: np.add.reduce(X), UnsupportedError, r"numpy\.add\.reduce"),
    (lambda: np.sin(x, out=np.ones(3)), (UnsupportedError, TypeError), r"out"),
    (lambda: np.ldexp(x, 2), UnsupportedError, r"numpy\.ldexp.*register_op"),
    (lambda: np.linalg.eigvals(X), UnsupportedError, r"numpy\.linalg\.eigvals"),
    (lambda: np.sum(X, dtype="float32"), UnsupportedError, r"'dtype'"),
    (lambda: dk.mean(X, initial=1.0), UnsupportedError, r"'initial'"),
    (lambda: dk.norm(X, ord=7), UnsupportedError, r"norm: ord=7"),
    (lambda: x * 1j, DtypeError, r"complex"),
    (lambda: x + object(), DtypeError, r"object"),
    (lambda: x + 10**400, DtypeError, r"too large"),
    (lambda: x + "1", TypeError, r"str"),
    (lambda: x + {}, TypeError, r"dict"),
    (lambda: dk.symbol(""), ArgumentError, r"non-empty"),
    (lambda: dk.symbol(3), ArgumentError, r"name"),
    (lambda: dk.symbol("x", dtype="int32"), DtypeError, r"float64, float32, int64, bool.*int32"),
    (lambda: dk.symbol("x", -3), DiffkitError, r"-3|negative"),
    (lambda: dk.symbols(""), ArgumentError, r"names"),
    (lambda: dk.no_such_name, AttributeError, r"no_such_name"),
    (lambda: dk.max(dk.symbol("e", 0)), ShapeError, r"max"),
    (lambda: round(x), TypeError, r"round"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "error", "message"), ERRORS)
def test_errors_say_what_and_how(act, error, message):
    with pytest.raises(error, match=message):
        act()


# ---- indexing -----------------------------------------------------------------------------------------------------
INDICES = [
    0, -1, np.int64(2), np.s_[1:], np.s_[::-1], np.s_[::2, 1:3], np.s_[:, None], np.s_[None, 1, None], np.s_[...],
    np.s_[..., 0], np.s_[0, ...],
    np.s_[..., None], np.s_[:, ..., ::2], np.s_[None, ..., 1, None], [0, 2], [-1, -1, 0], np.array([[0, 1], [2, 2]]),
    np.s_[[0, 2], [1, 3]],
    np.s_[:, [1, 1]], np.s_[[[0], [2]], [1, 3]], np.s_[0, [1, 2]], np.s_[[1, 2], 0], np.s_[None, [1, 2]], np.s_[[1, 2], :, None],
    np.array([True, False, True]), A > 0, np.s_[[True, False, True], 1:], np.s_[:, [True, False, False, True]],
    np.s_[1:1], np.s_[5:],
    np.zeros(0, int), [], np.array(1), np.s_[..., [0, 1]], np.s_[[0], ..., [1]], (), np.s_[0, 0], np.s_[[], 0],
    np.zeros((3, 4), bool),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_getitem_is_numpys(index):
    f = X[index]
    loops = RNG.standard_normal((2, 5, 3, 4))
    assert f.shape == A[index].shape
    np.testing.assert_array_equal(value(f, X=A), A[index])
    np.testing.assert_array_equal(
        value(f, X=loops), np.array([[a[index] for a in row] for row in loops]).reshape(2, 5, *f.shape)
    )
    weights = RNG.standard_normal(f.shape)
    expected = np.zeros_like(A)
    np.add.at(expected, index, weights)
    for engine in ("forward", "reverse"):
        slope = dk.grad(dk.sum(f * weights) + X[0, 0], wrt="X", engine=engine, machine="numpy")(X=A)
        np.testing.assert_allclose(slope - np.eye(3, 4) * (np.arange(12).reshape(3, 4) == 0), expected, atol=1e-15)


def test_getitem_of_three_axes_places_them_as_numpy_does():
    T = dk.symbol("T", (2, 3, 4))
    B = RNG.standard_normal((2, 3, 4))
    for index in (np.s_[0, :, [1, 2]], np.s_[:, [0, 1], [1, 2]], np.s_[[0, 1], :, [1, 2]], np.s_[[0, 1], None, [1, 2]],
                  np.s_[:, B[0] > 0], B > 0,
                  np.s_[..., [[1], [0]]], np.s_[1, ..., 0], np.s_[[1], 0, ...]):  # fmt: skip
        assert T[index].shape == B[index].shape
        np.testing.assert_array_equal(value(T[index], T=B), B[index])


# ---- functions on arrays against NumPy ----------------------------------------------------------------------------
SHAPED = [
    *((name, {"axis": axis, "keepdims": keep}) for name in ("sum", "mean", "prod", "max", "min", "norm", "logsumexp")
      for axis in (None, 0, -1, (0, 2), (-1, 0), ()) for keep in (False, True)),
    ("reshape", {"shape": (4, 6)}), ("reshape", {"shape": (-1,)}), ("reshape", {"shape": (2, 1, 12)}),
    ("transpose", {"axes": (2, 0, 1)}),
    ("transpose", {}), ("swapaxes", {"axis1": 0, "axis2": -1}), ("moveaxis", {"source": 0, "destination": -1}),
    ("expand_dims", {"axis": -1}),
    ("expand_dims", {"axis": 1}), ("broadcast_to", {"shape": (2, 2, 3, 4)}), ("ravel", {}),
]  # fmt: skip


def _numpy_function(name):
    if name == "logsumexp":
        return lambda a, axis, keepdims: np.log(np.sum(np.exp(a), axis=axis, keepdims=keepdims))
    if name == "norm":
        return lambda a, axis, keepdims: np.sqrt(np.sum(a * a, axis=axis, keepdims=keepdims))
    return getattr(np, name)


@pytest.mark.parametrize(("name", "how"), SHAPED, ids=[f"{n} {h}" for n, h in SHAPED])
def test_array_functions_against_numpy_with_loop_dims(name, how):
    T, loops = dk.symbol("T", (2, 3, 4)), RNG.standard_normal((5, 2, 3, 4))
    function = _numpy_function(name)
    f = getattr(dk, name)(T, **how)
    expected = np.stack([function(a, **how) for a in loops])
    assert f.shape == expected.shape[1:]
    np.testing.assert_allclose(value(f, T=loops), expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(value(f, T=loops[0]), expected[0], rtol=1e-13, atol=1e-14)


def test_scalars_have_no_axes_to_fold():
    for name in ("sum", "mean", "prod", "max", "min"):
        assert getattr(dk, name)(x) is x
    assert value(dk.norm(x), x=-3.0) == 3.0
    assert value(dk.logsumexp(x), x=2.0) == 2.0


PRODUCTS = [((3, 4), (4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((3,), (3, 4)), ((2, 3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)),
            ((1, 1), (1, 1)),
            ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((0, 3), (3, 2)), ((2, 0), (0, 3))]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), PRODUCTS, ids=str)
def test_matmul_against_numpy_with_loop_dims(a, b):
    P, Q, p, q = dk.symbol("P", a), dk.symbol("Q", b), RNG.standard_normal((5, *a)), RNG.standard_normal(b)
    np.testing.assert_allclose(value(P @ Q, P=p, Q=q), np.stack([k @ q for k in p]), rtol=1e-13, atol=1e-14)
    if len(a) < 3 and len(b) < 3:
        assert dk.dot(P, Q) is P @ Q


def test_dot_with_a_scalar_multiplies_and_is_limited_to_two_axes():
    assert dk.dot(X, x) is X * x
    with pytest.raises(UnsupportedError, match="matmul"):
        dk.dot(dk.symbol("T", (2, 3, 4)), X)


# ---- calling ------------------------------------------------------------------------------------------------------
def test_arguments_by_name_position_and_dict():
    f = x - 2 * y
    assert (
        f(1.0, 2.0, machine="numpy")
        == f(x=1.0, y=2.0, machine="numpy")
        == f({"x": 1.0, "y": 2.0}, machine="numpy")
        == -3.0
    )
    assert f(1.0, y=2.0, machine="numpy") == -3.0


@pytest.mark.parametrize("name", ["f", "self", "machine", "out", "args", "kwargs", "lambda", "x1", "λ", "class"])
def test_any_name_can_be_given_by_name(name):
    f = dk.symbol(name) * 2 + x
    assert f({name: 3.0, "x": 1.0}) == 7.0
    assert f(**{name: 3.0, "x": 1.0}) == 7.0
    np.testing.assert_array_equal(f(**{name: np.arange(3.0), "x": 1.0}), [1, 3, 5])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda f: f(1.0), r"no value for 'y'.*x, y"),
        (lambda f: f(1.0, 2.0, 3.0), r"3 values for 2 variables \(x, y\)"),
        (lambda f: f(1.0, x=2.0), r"'x' is given twice"),
        (lambda f: f(x=1.0, y=1.0, z=2.0), r"no variable 'z'.*x, y"),
        (lambda f: f({"x": 1.0, "y": 2.0, "q": 1}), r"no variable 'q'"),
    ],
)
def test_wrong_calls_say_which_variable(act, message):
    with pytest.raises(ArgumentError, match=message):
        act(x * y)


def test_two_variables_of_one_name_cannot_be_told_apart():
    with pytest.raises(ArgumentError, match=r"'x'.*rename"):
        (x + dk.symbol("x", 3).sum())(x=1.0)


def test_calling_with_expressions_substitutes():
    f = dk.sin(x) * y
    assert f(x=y, y=2.0) is dk.sin(y) * 2.0
    assert f(x + 1, x) is dk.sin(x + 1) * x
    with pytest.raises(ShapeError, match=r"'x'.*\(\).*\(3, 4\)"):
        f(x=X, y=1.0)


# ---- deep ---------------------------------------------------------------------------------------------------------
DEEP = 100_000


def _chain(length, start=x):
    f = start
    for _ in range(length // 2):
        f = dk.sin(f) * 1.0009
    return f


@pytest.fixture(scope="module")
def chain():
    return _chain(DEEP)


def _chain_value_and_slope(at, length):
    g, slope = at, 1.0
    for _ in range(length // 2):
        g, slope = np.sin(g) * 1.0009, slope * np.cos(g) * 1.0009
    return g, slope


def test_a_chain_of_100_000_nodes_needs_no_recursion(chain):
    assert depth(chain) == DEEP
    assert len(topological(chain)) == DEEP + 2 and free_variables(chain) == (x,)
    assert len(record(chain)) == DEEP
    assert "…" in repr(chain) and len(repr(chain)) < 500
    assert pickle.loads(pickle.dumps(chain)) is chain
    assert chain(x=x) is chain


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_the_gradient_of_a_deep_chain_needs_no_recursion(chain, engine):
    found = dk.value_and_grad(chain, wrt="x", engine=engine, machine="numpy")(x=0.5)
    np.testing.assert_allclose(found, _chain_value_and_slope(0.5, DEEP), rtol=1e-9)


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_the_derivative_of_a_deep_chain_is_an_expression(engine):
    slope = dk.derivative(_chain(20_000), "x", engine=engine)
    assert depth(slope) > 10_000
    np.testing.assert_allclose(value(slope, x=0.5), _chain_value_and_slope(0.5, 20_000)[1], rtol=1e-9)


def test_deleting_a_deep_chain_needs_no_recursion():
    f = _chain(DEEP, dk.symbol("deleted"))
    before = len(nodes._nodes)
    del f
    gc.collect()
    assert len(nodes._nodes) <= before - DEEP - 1


def test_a_wide_node_is_walked_in_linear_time():
    many = [dk.symbol(f"w{k}") for k in range(20_000)]
    assert free_variables(dk.stack(many)) == tuple(many)


# ---- the garbage collector ----------------------------------------------------------------------------------------
def test_the_collector_rests_while_a_function_is_traced():
    seen = []

    def f(a):
        seen.append(gc.isenabled())
        return a * 2

    dk.trace(f, 1.0)
    assert seen == [False] and gc.isenabled()


def test_the_collector_is_as_before_after_an_error():
    def wrong(a):
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        dk.trace(wrong, 1.0)
    assert gc.isenabled()
    gc.disable()
    try:
        dk.trace(lambda a: a, 1.0)
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---- deep text ----------------------------------------------------------------------------------------------------
def test_deep_text_source_and_trace():
    f = x
    for _ in range(20_000):
        f = f + x
    assert dk.parse(f.to_text()) is f
    assert dk.trace(lambda a: sum([a] * 20_000), 1.0).variables == ("a",)
    assert f.to_source("numpy").count("\n") > 1


def test_a_shared_subexpression_is_stored_once():
    f = x
    for _ in range(200):
        f = f * f + 1
    assert len(topological(f)) == 402 and len(record(f)) == 400


# ---- constants ----------------------------------------------------------------------------------------------------
def test_constant_values():
    assert constant_value(constant(2).kind).dtype == "float64"
    assert not constant_value(constant(A).kind).flags.writeable
    B = A.copy()
    f = x * B
    B[:] = 0
    np.testing.assert_array_equal(value(f, x=1.0), A)  # the array was copied
    assert constant(np.arange(6).reshape(2, 3).T).shape == (3, 2)
    np.testing.assert_array_equal(value(constant(np.arange(6).reshape(2, 3).T)), np.arange(6).reshape(2, 3).T)
    assert constant(True).dtype == "bool" and constant(np.uint8(3)).dtype == "int64"


@pytest.mark.parametrize("number", [np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.array(2, np.float32)],
                         ids=lambda n: f"{type(n).__name__} {n.dtype}")  # fmt: skip
def test_a_numpy_number_is_a_scalar(number):
    c = constant(number)
    assert c.shape == () and c.number == number
    assert constant(np.bool_(True)) is constant(np.array(True)) is constant(True)
    assert (x * number).shape == () and (number * x).shape == ()
    assert dk.grad(lambda a: number * a, machine="numpy")(1.0) == number


def test_the_first_expression_of_a_process_may_be_an_operator():
    """Names load when first used: nothing but `symbol` has been used here."""
    code = "import diffkit as dk; x = dk.symbol('x'); print(x * 2.0 + (-x)**2 - x.sum(), abs(x), x[()] if 0 else x > 1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["x*2", "+", "(-x)**2", "-", "x", "abs(x)", "x", ">", "1"]


def test_make_refuses_a_wrong_count():
    with pytest.raises(ArgumentError, match="add takes 2 arguments, 1 given"):
        make(TABLE["add"], (x,), {})
    assert variable("x") is x


def test_nodes_are_shared_between_threads():
    """Threads that make and drop the same nodes: one object each, and nothing goes wrong where one is dropped."""
    import sys
    import threading

    different, unraisable = [], []

    def work():
        for _ in range(20_000):
            first, second = dk.sin(x) + 1, dk.sin(x) + 1
            if first is not second:
                different.append(first)
            del first, second

    interval, hook = sys.getswitchinterval(), sys.unraisablehook
    sys.setswitchinterval(1e-6)
    sys.unraisablehook = lambda found: unraisable.append(found.exc_value)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
        sys.unraisablehook = hook
    assert not different and not unraisable


@pytest.mark.parametrize("axis", [0, 1, -1, (0, -1), (1, 2), (-2, 0)])
def test_expand_dims_takes_one_axis_or_several(axis):
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(dk.trace(lambda a: np.expand_dims(a, axis), x)(x), np.expand_dims(x, axis))


def test_writing_into_a_numpy_array_says_what_to_do():
    def f(a):
        z = np.zeros(3)
        z[0] = a[0]
        return np.sum(z)

    with pytest.raises(TracingError, match=r"np\.stack"):
        dk.grad(f)(np.ones(3))


def test_arguments_by_name_are_refused_in_words():
    with pytest.raises(dk.ArgumentError, match="by position"):
        dk.grad(lambda x: x)(x=1.0)
