"""Generated source of array programs: every operation in NumPy, JAX and PyTorch, and its derivative by their own autodiff."""

import numpy as np
import pytest
from helpers import NUMPY
from helpers_arrays import array_cases

import diffkit as dk
from diffkit.expr.node import Expr, constant, make
from diffkit.expr.source import to_source
from diffkit.ops import TABLE
from diffkit.tape import record

CASES = array_cases()
TARGETS = ("numpy", "torch", "jax")
FIRST = {case.op: case for case in reversed(CASES)}


def cases(*targets):
    """Every case in every target; in JAX, which takes long to trace, all but the first of an operation are slow."""
    return [
        pytest.param(
            case,
            target,
            id=f"{case.id}-{target}",
            marks=[pytest.mark.slow] * (target == "jax" and FIRST[case.op] is not case),
        )
        for case in CASES
        for target in targets
    ]


def function(f, target):
    pytest.importorskip(target)
    namespace: dict = {}
    exec(to_source(f, target), namespace)
    return namespace["f"]


def value(f, values: dict):
    """By the operations' NumPy definitions."""
    tape = record(f)
    return np.asarray(NUMPY.compile(tape)([values[v] for v in f.variables])[0])


def run(f, target, values: dict):
    return np.asarray(function(f, target)(*(values[v] for v in f.variables)))


def check(f, values: dict, targets=TARGETS, rtol=1e-12):
    expected = value(f, values)
    for target in targets:
        actual = run(f, target, values)
        assert actual.shape == f.shape and actual.dtype == f.dtype
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12, err_msg=target)


def built(case) -> tuple[Expr, dict]:
    f = case.build(*case.inputs("float64"))
    return f, {f"x{k}": v for k, v in enumerate(case.values())}


# ---- every operation ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("case", "target"), cases(*TARGETS))
def test_every_array_operation(case, target):
    f, values = built(case)
    check(f, values, [target], rtol=1e-11)


@pytest.mark.parametrize(("case", "target"), cases("torch", "jax"))
def test_the_librarys_own_derivative_is_ours(case, target):
    f, values = built(case)
    seed = np.random.default_rng(1).normal(size=f.shape)
    ours = dk.grad(dk.sum(f * constant(seed)), machine="numpy")(**values)
    written, names = function(f, target), f.variables
    if target == "torch":
        import torch

        given = [torch.tensor(values[n], requires_grad=True) for n in names]
        (written(*given) * torch.as_tensor(seed)).sum().backward()
        theirs = [x.grad for x in given]
    else:
        import jax

        theirs = jax.grad(lambda xs: (written(*xs) * seed).sum())([values[n] for n in names])
    for name, g in zip(names, theirs, strict=True):
        found = np.zeros_like(values[name]) if g is None else np.asarray(g)
        np.testing.assert_allclose(found, ours[name], rtol=1e-9, atol=1e-11, err_msg=name)


def test_every_array_operation_has_a_case():
    arrays = {op.name for op in TABLE.values() if op.family not in ("elementwise", "leaf")}
    assert arrays == {c.op for c in CASES}


# ---- indexing -------------------------------------------------------------------------------------------------------
A = dk.symbol("A", (2, 3, 4))
INDICES = {
    "backwards": np.s_[::-1, 2:0:-1, ::-2],
    "backwards-to-the-end": np.s_[:, -1::-2, 3:-5:-3],
    "backwards-nothing": np.s_[:, 0:2:-1],
    "backwards-after-new-axis": np.s_[None, 1, None, ::-1],
    "backwards-after-ellipsis": np.s_[..., ::-1],
    "integer-apart-from-array": np.s_[0, :, [0, 2]],  # NumPy puts the axes of the arrays first
    "integer-beside-array": np.s_[:, 1, [0, 2, 1]],
    "integer-slice-backwards-array": np.s_[1, ::-1, [0, 2, 1]],
    "array-of-no-axes": np.s_[np.array(1), :, [0, 2, 3]],
    "arrays-of-no-axes": np.s_[0, :, np.array(1)],
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing_places_axes_as_numpy_does(name):
    x = np.arange(24.0).reshape(2, 3, 4)
    f = A[INDICES[name]]
    np.testing.assert_array_equal(value(f, {"A": x}), x[INDICES[name]])
    check(f, {"A": x})
    scattered = make(TABLE["scatter"], (f * f,), {"index": f.params["index"], "shape": A.shape})
    check(scattered, {"A": x})


# ---- loops ----------------------------------------------------------------------------------------------------------
def mixed_loop(c, xs, w):
    """Carries a float32, a count, and whether an x was negative; a loop in the loop."""

    def step(carry, x):
        total, count, seen = carry
        inner, _ = dk.scan(lambda h, k: (dk.tanh(w * h + k), None), x, dk.as_expr(np.array([0.1, 0.2])))
        total = total * 0.5 + dk.sum(inner)
        return (total.astype("float32"), count + 1, dk.logical_or(seen, x[0] < 0)), inner * 2

    (total, count, seen), ys = dk.scan(step, (c, 0, False), xs)
    return dk.concatenate([dk.reshape(total + count * 10.0 + dk.where(seen, 100.0, 0.0), (1,)), dk.reshape(ys, (-1,))])


def test_loops_of_mixed_dtypes_and_loops_inside():
    c, xs, w = dk.symbol("c", dtype="float32"), dk.symbol("xs", (4, 2)), dk.symbol("w", (2,))
    values = {"c": np.float32(0.3), "xs": np.linspace(-1, 1, 8).reshape(4, 2), "w": np.array([0.5, -0.7])}
    check(mixed_loop(c, xs, w), values, rtol=1e-6)


def test_a_loop_without_steps():
    c = dk.symbol("c", (2,))
    end, ys = dk.scan(lambda c, x: (c * x, c + x), c, dk.as_expr(np.zeros((0,))))
    f = dk.concatenate([end * 2, dk.reshape(ys, (-1,))])
    check(f, {"c": np.array([1.0, 2.0])})


@pytest.mark.parametrize("target", TARGETS)
def test_a_loop_stays_a_loop(target):
    x, w = dk.symbol("x"), dk.symbol("w")
    f = dk.scan(lambda c, _: (c + 1e-3 * dk.sin(w * c), None), x, length=3000)[0]
    source = to_source(f, target)
    assert len(source.splitlines()) < 40 and "3000" in source
    check(f, {"x": 1.0, "w": 2.0}, [target])
    check(dk.derivative(f, "w"), {"x": 1.0, "w": 2.0}, [target], rtol=1e-10)


def test_a_function_of_a_loop_reads_like_a_person_wrote_it():
    x, w = dk.symbol("x"), dk.symbol("xs", (5,))
    source = to_source(dk.scan(lambda c, row: (c * row, None), x, w)[0])
    assert (
        source.partition("def _step1")[2]
        == """\
(x0, x1):
    return (x0 * x1,)


def f(x, xs):
    x = numpy.asarray(x, dtype=numpy.float64)
    xs = numpy.asarray(xs, dtype=numpy.float64)
    return _scan(_step1, [x, xs], 1, 1, 5, False)[0:1].reshape(())
"""
    )


@pytest.mark.parametrize("target", TARGETS)
def test_variables_may_be_called_like_helpers_and_steps(target):
    a, b = dk.symbol("_step1", (3,)), dk.symbol("_scan", (3,))
    f = dk.scan(lambda c, x: (c * x, None), dk.sum(a), b)[0] + dk.sum(dk.cumsum(a))
    check(f, {"_step1": np.array([1.0, 2.0, 3.0]), "_scan": np.array([0.5, 2.0, 1.5])}, [target])
    with pytest.raises(dk.ArgumentError, match="cannot be the name"):
        to_source(f, target, name="_scan")
    with pytest.raises(dk.ArgumentError, match="cannot be the name"):
        to_source(f, target, name="_step2")


def test_a_loop_that_puts_out_numbers():
    x = dk.symbol("x", (3,))
    (a, b), (rows, twos) = dk.scan(lambda c, row: ((c[1], c[0] + row), (row, 2)), (dk.as_expr(0), dk.as_expr(1.5)), x)
    check(a + b * dk.sum(rows) + dk.sum(twos), {"x": np.array([1.0, 2.0, 3.0])})


def test_integers():
    n, k = dk.symbol("n", (4,), "int64"), dk.symbol("k", (4,), "int64")
    values = {"n": np.array([-7, 7, 5, 0]), "k": np.array([2, -2, 3, 5])}
    for f in (n * 2 + k, abs(n) - k, dk.maximum(n, k), dk.where(n > k, n, k), n / 2, dk.sum(n) * 1.5, n * (k > 0)):
        check(f, {v: values[v] for v in f.variables})


@pytest.mark.parametrize("target", TARGETS)
def test_a_large_constant_that_is_one_number_is_short(target):
    x = dk.symbol("x", (40, 50))
    for number in (0.0, -0.0, np.nan, np.inf, 3):
        f = dk.where(x > 0, x, constant(np.full(x.shape, number)))
        assert len(to_source(f, target)) < 500
        given = np.linspace(-1, 1, 2000).reshape(40, 50)
        actual = run(f, target, {"x": given})
        np.testing.assert_array_equal(actual, np.where(given > 0, given, number))
        np.testing.assert_array_equal(np.signbit(actual[0]), np.signbit(np.full(50, number)))


# ---- derivatives and models ------------------------------------------------------------------------------------------
x4, w4 = dk.symbol("x", (2, 3, 6, 5)), dk.symbol("w", (4, 3, 3, 2))
m, v = dk.symbol("m", (3, 3)), dk.symbol("v", (6,))
DERIVED = {
    "convolution": dk.sum(dk.tanh(dk.conv2d(x4, w4, stride=(2, 1), padding=((1, 0), (0, 2)), dilation=(1, 2)))),
    "pooling": dk.sum(dk.max_pool2d(x4, 2, stride=1) ** 2) + dk.sum(dk.avg_pool2d(x4, (3, 2), padding=1) ** 3),
    "sorted": dk.sum(dk.sort(v) * np.arange(6.0)) * dk.sum(dk.cumprod(v)),
    "checkpoint": dk.sum(dk.checkpoint(lambda a: dk.tanh(a @ a))(m)),
    "solved": dk.sum(dk.linalg.solve(m + 4 * np.eye(3), m)) + dk.linalg.det(m),
}


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives_can_be_written(name):
    f = DERIVED[name]
    rng = np.random.default_rng(4)
    values = {
        v: rng.normal(size=shape) for v, shape in (("x", (2, 3, 6, 5)), ("w", (4, 3, 3, 2)), ("m", (3, 3)), ("v", (6,)))
    }
    for wrt in f.variables:
        derivative = dk.derivative(f, wrt)
        check(derivative, {n: values[n] for n in derivative.variables}, rtol=1e-10)


@pytest.mark.parametrize("target", TARGETS)
def test_ties_and_nan_in_means_over_runs(target):
    x, key = dk.symbol("x", (2, 6)), dk.symbol("key", (2, 6))
    keys = np.array([[np.nan, np.nan, 1.0, 1.0, 1.0, 2.0], [2.0, 2.0, 2.0, 3.0, np.nan, np.nan]])
    given = np.array([[1.0, 2.0, 3.0, 4.0, 8.0, 6.0], [0.0, 0.0, 0.0, 1.0, np.nan, 2.0]])
    for undefined in (False, True):
        f = make(TABLE["tied_mean"], (x, key), {"axis": -1, "undefined": undefined})
        check(f, {"x": given, "key": keys}, [target])
