"""Singular values, norms, least squares, chains of products: NumPy's values, PyTorch's gradients, every engine and machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import diffkit as dk
from diffkit.engines.rounding import rounding_bound
from diffkit.errors import ShapeError, UnsupportedError
from diffkit.expr.node import variable
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")
machines = pytest.mark.parametrize("machine", ["numpy", "cpu"])

RNG = np.random.default_rng(8)
TALL, WIDE, SQUARE, STACK = (RNG.standard_normal(s) for s in ((4, 3), (2, 4), (3, 3), (2, 3, 3)))

#: over expressions and arrays, of a matrix
NORMS: dict[str, Any] = {
    f"{ord}-{axis}-{keepdims}": lambda m, ord=ord, axis=axis, keepdims=keepdims: np.linalg.norm(m, ord, axis, keepdims)
    for ord, axis in [
        *((ord, 0) for ord in (None, 2, 1, np.inf, -np.inf, 0, 3, 0.5)), (2, -1), (1, (1,)),
        *((ord, None) for ord in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        (1, (1, 0)), (np.inf, (-1, 0)), ("nuc", (1, 0)),
    ]
    for keepdims in (False, True)
}  # fmt: skip


@machines
@pytest.mark.parametrize("name", NORMS)
def test_norms_are_numpys(name, machine):
    x = dk.symbol("x", (4, 3))
    f, expected = NORMS[name](x), NORMS[name](TALL)
    assert f.shape == np.shape(expected)
    np.testing.assert_allclose(f(x=TALL, machine=machine), expected, rtol=1e-13)


@pytest.mark.parametrize("name", [n for n in NORMS if n.endswith("False")])
def test_gradients_of_norms_agree(name):
    f = dk.sum(NORMS[name](dk.symbol("x", (4, 3))))
    found = [dk.grad(f, wrt="x", engine=e, machine="numpy")(x=TALL) for e in ("forward", "reverse", "finite")]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found[2], found[1], rtol=1e-6, atol=1e-8)


def test_norms_of_stacks_and_vectors():
    x = dk.symbol("x", (2, 3, 3))
    for axes in ((-2, -1), (0, 2), (2, 1)):
        for ord in ("nuc", 2, 1, np.inf):
            found = np.linalg.norm(x, ord, axis=axes, keepdims=True)(x=STACK, machine="numpy")
            np.testing.assert_allclose(found, np.linalg.norm(STACK, ord, axis=axes, keepdims=True), rtol=1e-13)
    v = dk.symbol("v", 3)
    assert dk.norm(v, 2) is dk.norm(v)
    assert dk.grad(dk.norm(v), wrt="v")(v=np.zeros(3)).tolist() == [0, 0, 0]
    assert dk.linalg.norm([3.0, 4.0]) == 5.0 and dk.norm(np.ones((2, 2)), 1) == 2.0


# ---- singular values ----------------------------------------------------------------------------------------------
@machines
@pytest.mark.parametrize("at", [TALL, WIDE, SQUARE, STACK], ids=["tall", "wide", "square", "stack"])
def test_svd(at, machine):
    x = dk.symbol("x", at.shape)
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    made = [f(x=at, machine=machine) for f in (u, s, vh)]
    np.testing.assert_allclose(made[1], np.linalg.svd(at, compute_uv=False), rtol=1e-14)
    np.testing.assert_allclose((made[0] * made[1][..., None, :]) @ made[2], at, atol=1e-14)
    again = (u * s[..., None, :]) @ vh  # a function that does nothing: so does its derivative
    slope = dk.jacobian(again, wrt="x", machine=machine)(x=at)
    np.testing.assert_allclose(slope.reshape(at.size, at.size), np.eye(at.size), atol=1e-12)
    assert np.linalg.svd(x, compute_uv=False) is dk.linalg.svdvals(x)


@pytest.mark.parametrize("at", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_gradients_of_svd_are_pytorchs(at, engine):
    torch = pytest.importorskip("torch")
    k = min(at.shape)
    weights = [np.random.default_rng(2).standard_normal(s) for s in ((at.shape[0], at.shape[1]), (k,))]

    def f(m, svd, sin, x, w):
        u, s, vh = svd(x)
        return m.sum(sin((u * s**2) @ vh) * w[0]) + m.sum(s**3 * w[1]) + m.sum((u[0] * vh[:, 0]) ** 2)

    t = torch.tensor(at, requires_grad=True)
    f(
        torch, lambda a: torch.linalg.svd(a, full_matrices=False), torch.sin, t, [torch.tensor(w) for w in weights]
    ).backward()
    found = dk.grad(
        lambda x: f(np, lambda a: np.linalg.svd(a, full_matrices=False), np.sin, x, weights),
        engine=engine,
        machine="numpy",
    )(at)
    np.testing.assert_allclose(found, t.grad.numpy(), rtol=1e-10, atol=1e-11)


def test_singular_values_alone_pass_no_gaps():
    x = dk.symbol("x", (3, 3))
    values = np.linalg.svd(x)[1]
    slope = dk.grad(dk.sum(values), wrt="x")(x=np.eye(3))
    np.testing.assert_allclose(slope, np.eye(3), atol=1e-14)
    vectors = dk.grad(dk.sum(np.linalg.svd(x)[0]), wrt="x")(x=np.eye(3))
    assert not np.isfinite(vectors).all()
    assert np.isnan(values(x=np.full((3, 3), np.nan), machine="numpy")).all()


def test_bars_of_singular_values_cover():
    x = variable("x", (4, 3))
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    for seed in range(3):
        at = np.random.default_rng(seed).standard_normal((4, 3))
        wide, narrow = np.linalg.svd(at)[1], np.linalg.svd(at.astype("float32").astype(float))[1]
        (bar,) = rounding_bound(record(s, [x]), [at]).entries
        assert (np.abs(wide - narrow) <= bar * 2.0**29).all() and np.max(bar) < 1e-13
    (bar,) = rounding_bound(record(u, [x]), [at]).entries
    assert np.isfinite(bar).all()


# ---- least squares and chains -------------------------------------------------------------------------------------
@machines
@pytest.mark.parametrize("at", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_lstsq(at, columns, machine):
    b = np.random.default_rng(4).standard_normal((at.shape[0], *columns))
    x, y = dk.symbol("x", at.shape), dk.symbol("y", b.shape)
    made, expected = np.linalg.lstsq(x, y, rcond=None), np.linalg.lstsq(at, b, rcond=None)
    given = {"x": at, "y": b}
    for f, truth in zip((made[0], made[1], made[3]), (expected[0], expected[1], expected[3]), strict=True):
        found = f({n: given[n] for n in f.variables}, machine=machine)
        assert found.shape == truth.shape
        np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-13)
    assert made[2] == expected[2]
    slopes = [dk.grad(dk.sum(made[0] ** 2), engine=e, machine=machine)(given) for e in ("forward", "reverse", "finite")]
    by_pinv = dk.grad(dk.sum((dk.linalg.pinv(x) @ y) ** 2), machine=machine)(given)
    for name in given:
        np.testing.assert_allclose(slopes[0][name], slopes[1][name], rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(slopes[2][name], slopes[1][name], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(by_pinv[name], slopes[1][name], rtol=1e-9, atol=1e-10)


@machines
def test_multi_dot(machine):
    shapes = [(2, 9), (9, 1), (1, 8), (8, 3)]
    values = [np.random.default_rng(k).standard_normal(s) for k, s in enumerate(shapes)]
    symbols = [dk.symbol(f"m{k}", s) for k, s in enumerate(shapes)]
    at = {f"m{k}": v for k, v in enumerate(values)}
    f = np.linalg.multi_dot(symbols)
    np.testing.assert_allclose(f(at, machine=machine), np.linalg.multi_dot(values), rtol=1e-12, atol=1e-13)
    ends = np.linalg.multi_dot([symbols[0][0], symbols[1], symbols[2], symbols[3][:, 0]])
    expected = np.linalg.multi_dot([values[0][0], values[1], values[2], values[3][:, 0]])
    np.testing.assert_allclose(ends(at, machine=machine), expected, rtol=1e-12, atol=1e-13)


x33, x43, v3 = dk.symbol("a", (3, 3)), dk.symbol("b", (4, 3)), dk.symbol("v", 3)
ERRORS = [
    (lambda: np.linalg.svd(x43), UnsupportedError, r"svd: full_matrices=True.*full_matrices=False"),
    (lambda: np.linalg.svd(x33, hermitian=True), UnsupportedError, r"svd: .*hermitian"),
    (lambda: np.linalg.svd(v3), ShapeError, r"svd: .*\(3,\)"),
    (lambda: np.linalg.norm(x33, "nuc", axis=0), UnsupportedError, r"norm: ord='nuc'.*one axis"),
    (lambda: np.linalg.norm(x33, 3), UnsupportedError, r"norm: ord=3 of a matrix"),
    (lambda: np.linalg.norm(dk.symbol("q", (2, 2, 2)), 2), ShapeError, r"norm: .*\(2, 2, 2\)"),
    (lambda: np.linalg.norm(x33, 1, axis=5), ShapeError, r"norm: axis 5"),
    (lambda: np.linalg.lstsq(x43, v3), ShapeError, r"lstsq: .*\(4, 3\) and \(3,\)"),
    (lambda: np.linalg.lstsq(x43, dk.symbol("y", 4), rcond=0.1), UnsupportedError, r"lstsq: .*rcond.*pinv"),
    (lambda: np.linalg.multi_dot([x33]), ShapeError, r"multi_dot: .*two or more"),
    (lambda: np.linalg.multi_dot([x43, x43]), ShapeError, r"multi_dot: .*\(4, 3\) and \(4, 3\)"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "error", "message"), ERRORS)
def test_errors(act, error, message):
    with pytest.raises(error, match=message):
        act()
