"""log_softmax and softmax against mpmath: what elements have in common takes no digits, and equal ones are no kink."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.errors import ShapeError
from diffkit.machines import machine as find_machine
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")
machines = pytest.mark.parametrize("machine", ["cpu", "numpy"])
inf, nan = np.inf, np.nan

FAR = [
    [1e8, 1e8 + 1],
    [-1e8, 1 - 1e8, -1e8],
    [1e16, 1e16 - 2],
    [3e15, 3e15 + 1, 3e15 - 40],
    [1e30, 1e30],
    [1e4, -1e4, 0],
]


def exact(z, axis=-1):
    """The logarithm of softmax at 60 digits, as doubles."""
    number, exp, log = (np.vectorize(f, otypes=[object]) for f in (mpmath.mpf, mpmath.exp, mpmath.log))
    with mpmath.workdps(60):
        z = number(z)
        below = z - z.max(axis=axis, keepdims=True)
        return (below - log(np.sum(exp(below), axis, keepdims=True))).astype(float)


@machines
@pytest.mark.parametrize("z", FAR, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_elements_have_in_common_takes_no_digits(z, dtype, machine):
    z, eps = np.array(z, dtype), np.finfo(dtype).eps
    expected = exact(z.astype(float))
    p, x = np.exp(expected), dk.symbol("x", len(z), dtype=dtype)
    for found in (dk.log_softmax(x)(x=z, machine=machine), dk.log_softmax(z)):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=4 * eps)
    np.testing.assert_allclose(dk.softmax(x)(x=z, machine=machine), p, rtol=1e2 * eps, atol=1e-30)
    for engine in ("forward", "reverse"):
        for k in range(len(z)):
            slope = dk.grad(dk.log_softmax(x)[k], wrt="x", engine=engine, machine=machine)(x=z)
            np.testing.assert_allclose(slope, np.eye(len(z))[k] - p, rtol=0, atol=4 * eps)


def test_differences_of_values_far_away():
    z = np.array([1e8, 1e8 + 1])
    found = dk.grad(lambda x: dk.log_softmax(x)[0], engine="finite", machine="numpy")(z)
    np.testing.assert_allclose(found, [0.7310585786300049, -0.7310585786300049], rtol=1e-6)


@machines
@pytest.mark.parametrize("axis", [None, 0, -1, 1, (0, 2), (-1, 0), (0, 1, 2), ()], ids=str)
def test_axes(axis, machine):
    x, z = dk.symbol("x", (2, 3, 4)), np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    expected = np.stack([exact(row, axis) if axis != () else np.zeros_like(row) for row in z])
    np.testing.assert_allclose(dk.log_softmax(x, axis)(x=z, machine=machine), expected, rtol=1e-13)
    np.testing.assert_allclose(dk.log_softmax(z[0], axis), expected[0], rtol=1e-13)
    np.testing.assert_allclose(dk.softmax(x, axis)(x=z, machine=machine), np.exp(expected), rtol=1e-13)


def test_wrong_axes_and_no_elements():
    x = dk.symbol("x", (2, 3))
    for axis in (2, -3, (0, 0)):
        with pytest.raises(ShapeError, match="log_softmax: "):
            dk.log_softmax(x, axis)
        with pytest.raises(ShapeError, match="log_softmax: "):
            dk.log_softmax(np.ones((2, 3)), axis)
    for axis in (0, 1, None):
        assert (
            dk.log_softmax(np.ones((2, 0)), axis).shape == dk.log_softmax(dk.symbol("x", (2, 0)), axis).shape == (2, 0)
        )
    assert dk.log_softmax(3.0, None) == 0


@machines
@pytest.mark.parametrize(
    ("z", "expected"),
    [
        ([-inf, 0.0], [-inf, 0]),
        ([0.0, -inf, 0.0], [-np.log(2), -inf, -np.log(2)]),
        ([inf, 0.0], [nan, -inf]),
        ([-inf, -inf], [nan, nan]),
        ([nan, 0.0], [nan, nan]),
    ],
)  # fmt: skip
def test_infinities(z, expected, machine):
    z, x = np.array(z), dk.symbol("x", len(z))
    np.testing.assert_array_equal(dk.log_softmax(x)(x=z, machine=machine), expected)
    np.testing.assert_array_equal(dk.log_softmax(z), expected)
    p = np.exp(expected)
    for engine in ("forward", "reverse"):
        slope = dk.grad(dk.log_softmax(x)[-1], wrt="x", engine=engine, machine=machine)(x=z)
        if np.isnan(p).any():  # p_0 of an infinite z_0 is not known, and forward mode sums it with the rest
            assert np.isnan(slope[0])
        else:
            np.testing.assert_allclose(slope, np.eye(len(z))[-1] - p)


@pytest.mark.parametrize("function", [dk.log_softmax, dk.softmax])
def test_equal_elements_are_no_kink(function):
    weights = np.array([0.1, 0.7, -0.3])
    f = lambda z: dk.sum(function(z) * weights)
    result = dk.check_gradient(f, (np.zeros(3),), dk.grad(f, machine="numpy"))
    assert result, str(result)
    judged = dk.compare(f(dk.symbol("x", 3)), at={"x": np.zeros(3)}, machine="numpy", timing=False)
    assert judged.agree and judged.point_outcome.tolist() == ["ok"], str(judged)
    assert all(judged[engine].outcome == "ok" for engine in judged.engines), str(judged)


def test_the_certified_truth_holds_far_away():
    x = dk.symbol("x", 3)
    f = dk.sum(dk.log_softmax(x) * np.array([0.1, 0.7, -0.3]))
    judged = dk.compare(f, at={"x": np.array([1e8, 1e8 + 1, 1e8 - 1])}, machine="numpy", timing=False)
    assert judged.point_outcome.tolist() == ["ok"]
    assert all(judged[e].outcome == "ok" for e in judged.engines), str(judged)


@pytest.mark.parametrize("at", [(800.0, 0.0), (1e4, 1e4 + 1), (3.0, 3.0), (-1e3, 1e3)])
def test_logaddexp_by_every_engine(at):
    assert dk.compare("logaddexp(x, y)*x", at={"x": at[0], "y": at[1]}, timing=False).agree
    second = [dk.hessian(lambda v: np.logaddexp(v[0], v[1]), engine=e)(np.array(at)) for e in ("symbolic", "reverse")]
    np.testing.assert_allclose(*second, rtol=1e-12, atol=1e-15)


@machines
def test_second_derivatives(machine):
    """Of log p_k: −diag p + p pᵀ, whatever k is; engines applied to each other's derivatives."""
    z = np.array([1e8, 1e8 + 1, 1e8 - 2])
    p = np.exp(exact(z))
    f = lambda x: dk.log_softmax(x)[1]
    np.testing.assert_allclose(dk.hessian(f, machine=machine)(z), np.outer(p, p) - np.diag(p), atol=1e-15)
    symbol = dk.symbol("x", 3)
    for outer in ("forward", "reverse"):
        first = dk.derivative(dk.log_softmax(symbol)[1], "x")
        for k in range(3):
            row = dk.grad(first[k], wrt="x", engine=outer, machine=machine)(x=z)
            np.testing.assert_allclose(row, (np.outer(p, p) - np.diag(p))[k], atol=1e-15)


@machines
@pytest.mark.parametrize("axis", [0, -1, (0, 1)], ids=str)
def test_mapped(axis, machine):
    z = np.random.default_rng(1).normal(size=(4, 2, 3))
    weights = np.random.default_rng(2).normal(size=(2, 3))
    f = lambda x: dk.log_softmax(x, axis) * weights
    np.testing.assert_allclose(dk.vmap(f, machine=machine)(z), np.stack([f(x) for x in z]), rtol=1e-13)
    slope = dk.grad(lambda x: dk.sum(dk.vmap(f)(x) ** 2), machine=machine)(
        z
    )  # within a trace the axis is one of the core
    one = dk.grad(lambda x: dk.sum(f(x) ** 2), machine="numpy")
    np.testing.assert_allclose(slope, np.stack([one(x) for x in z]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("z", [*FAR[:4], np.linspace(-3, 3, 200)], ids=lambda z: str(list(z)[:3]))
def test_bars_cover_the_error_and_know_no_offset(z, dtype):
    z = np.array(z, dtype)
    x, weights = dk.symbol("x", len(z), dtype=dtype), np.cos(np.arange(len(z))).astype(dtype)
    p = np.exp(exact(z.astype(float)))
    expected = weights.astype(float) - weights.astype(float).sum() * p
    for engine in ("forward", "reverse"):
        program = find_engine(engine).program(record(dk.sum(dk.log_softmax(x) * weights), [x]), [0])
        _, ((block,),) = program.on(find_machine("numpy"))([z])
        ((bar,),) = program.bars(find_machine("numpy"), [z])
        assert np.all(np.abs(block.astype(float) - expected) <= bar)
        assert np.all(bar <= 1e3 * len(z) * np.finfo(dtype).eps)


def test_as_text():
    x = dk.symbol("x", (2, 3))
    assert str(dk.log_softmax(x, (0, -1))) == "log_softmax(x, axis=(-2, -1))"
    assert str(dk.transpose(dk.symbol("x", (2, 3, 4)), (0, 2, 1))) == "transpose(x, axes=(-3, -1, -2))"
