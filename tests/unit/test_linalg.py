"""dk.linalg: NumPy's functions and values, gradients beside PyTorch's and JAX's, singular matrices, error bars.

(The rules against mpmath, and against each other, are in test_rules.py.)
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from helpers import NUMPY, RULE_ENGINES, run
from helpers_arrays import as_floats, exactly
from helpers_linalg import cholesky, determinant, inverse, linalg_cases, solution
from mpmath import mp

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.engines.rounding import rounding_bound
from diffkit.errors import ExceededError, ShapeError, UnsupportedError
from diffkit.expr.functions import RULES
from diffkit.expr.linalg import LINALG
from diffkit.expr.node import variable
from diffkit.ops.linalg import SMALL
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")
engines = pytest.mark.parametrize("engine", RULE_ENGINES)


def drawn(*shape, seed=0, dtype="float64"):
    """Random matrices, away from singular ones where they are square."""
    x = np.random.default_rng(seed).standard_normal(shape)
    if len(shape) > 1 and shape[-1] == shape[-2]:
        x = x + 3 * np.eye(shape[-1])
    return x.astype(dtype)


def definite(*shape, seed=0, dtype="float64"):
    x = drawn(*shape, seed=seed)
    return (x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])).astype(dtype)


def on_numpy(f, **at):
    return f(at, machine="numpy")


#: functions of one matrix, as NumPy spells them: name, arguments beside the matrix, how the matrix is drawn
SQUARE = [
    ("inv", {}, drawn), ("det", {}, drawn), ("slogdet", {}, drawn), ("cholesky", {}, definite),
    ("cholesky", {"upper": True}, definite), ("eigh", {}, definite), ("eigvalsh", {}, definite),
    ("eigvalsh", {"UPLO": "U"}, definite), ("qr", {}, drawn), ("qr", {"mode": "r"}, drawn), ("qr", {"mode": "complete"}, drawn),
    ("pinv", {}, drawn), ("matrix_power", {"n": 1}, drawn), ("matrix_power", {"n": 5}, drawn),
    ("matrix_power", {"n": 6}, drawn), ("matrix_power", {"n": -3}, drawn),
]  # fmt: skip
square = pytest.mark.parametrize(("name", "how", "draw"), SQUARE, ids=[f"{n}-{h}" for n, h, _ in SQUARE])


def same(ours, theirs, at, rtol=1e-12):
    """Expressions, or tuples of them, at these values against NumPy's results."""
    several = isinstance(theirs, tuple)
    assert isinstance(ours, tuple) == several
    for f, expected in zip(ours if several else (ours,), theirs if several else (theirs,), strict=True):
        found = f(at, machine="numpy")
        expected = np.asarray(expected)
        assert found.shape == expected.shape and found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * max(1.0, np.abs(expected).max(initial=0)))


# ---- NumPy's functions ------------------------------------------------------------------------------------------
@square
@pytest.mark.parametrize("shape", [(3, 3), (1, 1), (0, 0), (2, 3, 3), (2, 1, 2, 2), (0, 3, 3), (40, 40)], ids=str)
def test_values_are_numpys(name, how, draw, shape):
    if not shape[-1] and (name, how) == ("qr", {"mode": "complete"}):
        pytest.skip("NumPy has none")
    numpys, x = getattr(np.linalg, name), draw(*shape)
    ours = numpys(dk.symbol("x", shape), **how)  # NumPy's own function finds ours
    theirs = numpys(x, **how)
    same(ours, theirs, {"x": x})
    same(ours, theirs, {"x": np.asfortranarray(x)})
    same(ours, theirs, {"x": np.repeat(x, 2, axis=-1)[..., ::2]})  # not contiguous


@square
def test_float32_stays(name, how, draw):
    x = draw(2, 3, 3, dtype="float32")
    numpys = getattr(np.linalg, name)
    same(numpys(dk.symbol("x", (2, 3, 3), dtype="float32"), **how), numpys(x, **how), {"x": x}, rtol=1e-4)


@square
def test_integers_become_floats(name, how, draw):
    x = np.array([[5, 1], [1, 3]])
    numpys = getattr(np.linalg, name)
    theirs = numpys(x.astype(float), **how)
    same(numpys(dk.symbol("x", (2, 2), dtype="int64"), **how), theirs, {"x": x})


@square
def test_loop_dims_ride_along(name, how, draw):
    x = draw(2, 4, 3, 3)
    numpys = getattr(np.linalg, name)
    same(numpys(dk.symbol("x", (3, 3)), **how), numpys(x, **how), {"x": x})


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 1), (1, 3), (2, 3, 4), (0, 3), (3, 0)], ids=str)
@pytest.mark.parametrize(("name", "how"), [("qr", {}), ("qr", {"mode": "r"}), ("pinv", {}), ("pinv", {"rcond": 0.3})])
def test_rectangles(name, how, shape):
    x, numpys = drawn(*shape), getattr(np.linalg, name)
    same(numpys(dk.symbol("x", shape), **how), numpys(x, **how), {"x": x})


SYSTEMS = [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 3)), ((2, 1, 3, 3), (4, 3, 1)), ((3, 3), (3, 0)),
           ((0, 0), (0,)), ((0, 0), (0, 2)), ((1, 1), (1,)), ((2, 3, 3), (2, 3, 3))]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SYSTEMS, ids=str)
def test_solve_is_numpys(a, b):
    at = {"a": drawn(*a), "b": np.random.default_rng(5).standard_normal(b)}
    x = np.linalg.solve(dk.symbol("a", a), dk.symbol("b", b))
    same(x, np.linalg.solve(at["a"], at["b"]), at)
    same(np.linalg.solve(at["a"], dk.symbol("b", b)), np.linalg.solve(at["a"], at["b"]), {"b": at["b"]})
    same(np.linalg.solve(dk.symbol("a", a), at["b"]), np.linalg.solve(at["a"], at["b"]), {"a": at["a"]})


@pytest.mark.parametrize("n", [1, 3, SMALL + 5])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("trans", [0, "T"])
@pytest.mark.parametrize("unit_diagonal", [False, True])
def test_solve_triangular_is_scipys(n, lower, trans, unit_diagonal):
    scipys = pytest.importorskip("scipy.linalg").solve_triangular
    how = {"lower": lower, "trans": trans, "unit_diagonal": unit_diagonal}
    a = drawn(n, n) / n + np.eye(n)
    b = drawn(n, 2)[:, :2] if n > 2 else np.ones((n, 2))
    x = dk.linalg.solve_triangular(dk.symbol("a", (n, n)), dk.symbol("b", (n, 2)), **how)
    expected = scipys(a, b, **how)
    same(x, expected, {"a": a, "b": b})
    found = on_numpy(x, a=np.stack([a, 2 * np.eye(n)]), b=np.stack([b, b]))  # several matrices
    np.testing.assert_allclose(found[0], expected, rtol=1e-10, atol=1e-12)
    vector = dk.linalg.solve_triangular(dk.symbol("a", (n, n)), dk.symbol("b", n), **how)
    np.testing.assert_allclose(on_numpy(vector, a=a, b=b[:, 0]), expected[:, 0], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(dk.linalg.solve_triangular(a, b, **how), expected)  # plain arrays: SciPy's own


@pytest.mark.parametrize("lower", [False, True])
def test_the_other_triangle_is_not_read(lower):
    a = drawn(3, 3)
    spoilt = np.where(np.tri(3, dtype=bool) if lower else np.tri(3, dtype=bool).T, a, np.nan)
    x = dk.linalg.solve_triangular(dk.symbol("a", (3, 3)), np.arange(3.0), lower=lower)
    np.testing.assert_array_equal(on_numpy(x, a=spoilt), on_numpy(x, a=a))
    for engine in RULE_ENGINES:
        g = dk.grad(dk.sum(x), wrt="a", engine=engine, machine="numpy")
        np.testing.assert_array_equal(g(a=spoilt), g(a=a))
        assert not g(a=a)[np.triu_indices(3, 1) if lower else np.tril_indices(3, -1)].any()


def test_the_zeroth_power():
    np.testing.assert_array_equal(
        np.linalg.matrix_power(dk.symbol("x", (2, 3, 3)), 0)(machine="numpy"), [np.eye(3)] * 2
    )


def test_many_right_hand_sides_of_one_matrix():
    a, b = dk.symbol("a", (2, 3, 3)), dk.symbol("b", (3, 2))
    at = {"a": drawn(2, 3, 3), "b": np.random.default_rng(1).standard_normal((5, 4, 3, 2))}
    for x in (dk.solve(a, b), dk.linalg.solve_triangular(a, b), dk.linalg.solve_triangular(a, b, lower=True)):
        found = on_numpy(x, **at)
        assert found.shape == (5, 4, 2, 3, 2)
        np.testing.assert_allclose(found[3, 2], on_numpy(x, a=at["a"], b=at["b"][3, 2]), rtol=1e-12)


def test_names():
    x = dk.symbol("x", (3, 3))
    for name, function in LINALG.items():
        assert getattr(dk, name) is getattr(dk.linalg, name) is function and name in dir(dk)
    assert np.linalg.inv(x) is dk.inv(x) is dk.linalg.inv(x)
    np.testing.assert_array_equal(dk.inv(np.eye(2)), np.linalg.inv(np.eye(2)))
    w, v = dk.eigh(x)
    assert dk.eigh(x).eigenvalues is w and dk.qr(x).Q.shape == v.shape and dk.slogdet(x).sign.shape == ()
    assert on_numpy(dk.det([[x[0, 0], 2.0], [1.0, x[1, 1]]]), x=np.diag([3.0, 4, 5])) == pytest.approx(10)


def test_inside_a_traced_function():
    def negative_log_likelihood(s, y):
        chol = np.linalg.cholesky(s)
        z = dk.linalg.solve_triangular(chol, y, lower=True)
        return np.sum(z * z) / 2 + np.sum(np.log(np.diagonal(chol)))

    s, y = definite(3, 3), np.arange(3.0)
    g = dk.grad(negative_log_likelihood, argnums=(0, 1), machine="numpy")(s, y)
    a = np.linalg.solve(s, y)
    np.testing.assert_allclose(g[0], (np.linalg.inv(s) - np.outer(a, a)) / 2, atol=1e-14)
    np.testing.assert_allclose(g[1], a, atol=1e-14)


X, RECTANGLE, V = dk.symbol("X", (3, 3)), dk.symbol("R", (2, 4, 3)), dk.symbol("v", 4)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: dk.inv(RECTANGLE), ShapeError, r"inv: core shape \(2, 4, 3\) is not of square matrices"),
        (lambda: dk.det(V), ShapeError, r"det: core shape \(4,\) has no matrices"),
        (lambda: dk.qr(V), ShapeError, r"qr: core shape \(4,\)"),
        (lambda: dk.solve(X, V), ShapeError, r"solve: core shape \(4,\) does not fit .*\(3, 3\).*vector of 3"),
        (lambda: dk.solve(X, 2.0), ShapeError, r"solve: core shape \(\)"),
        (lambda: dk.solve(np.ones((2, 3, 3)) * X, np.ones((4, 3, 1))), ShapeError, r"\(2, 3, 3\) and \(4, 3, 1\) do not broad"),
        (lambda: dk.linalg.solve_triangular(RECTANGLE, V), ShapeError, r"solve_triangular: core shape \(2, 4, 3\)"),
        (lambda: dk.linalg.solve_triangular(X, V[:3], trans=3), UnsupportedError, r"trans=3"),
        (lambda: dk.linalg.solve_triangular(X, V[:3], debug=True), UnsupportedError, r"'debug'"),
        (lambda: dk.qr(RECTANGLE, mode="complete"), UnsupportedError, r"qr: mode='complete'"),
        (lambda: dk.eigh(X, UPLO="X"), UnsupportedError, r"UPLO is 'L' or 'U'"),
        (lambda: dk.linalg.pinv(X, hermitian=True), UnsupportedError, r"hermitian"),
    ],
)  # fmt: skip
def test_errors_name_the_function(call, error, said):
    with pytest.raises(error, match=said):
        call()


# ---- derivatives ------------------------------------------------------------------------------------------------
def _weights(shape):
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape)


def weighed(values):
    """A scalar that depends on every element in its own way."""
    values = values if isinstance(values, tuple) else (values,)
    return sum((v * _weights(tuple(v.shape))).sum() for v in values)


PEERS = [
    ("inv", lambda m, x: m.inv(x), drawn), ("det", lambda m, x: m.det(x), drawn),
    ("slogdet", lambda m, x: m.slogdet(x)[1], drawn), ("cholesky", lambda m, x: m.cholesky(x), definite),
    ("eigvalsh", lambda m, x: m.eigvalsh(x), definite), ("eigh values", lambda m, x: m.eigh(x)[0], definite),
    ("eigh vectors", lambda m, x: m.eigh(x)[1] ** 2, definite), ("qr", lambda m, x: tuple(m.qr(x)), drawn),
    ("pinv", lambda m, x: m.pinv(x), drawn), ("matrix_power", lambda m, x: m.matrix_power(x, 5), drawn),
    ("solve", lambda m, x: m.solve(x, x * x), drawn),
]  # fmt: skip
peers = pytest.mark.parametrize(("f", "draw"), [p[1:] for p in PEERS], ids=[p[0] for p in PEERS])


@engines
@peers
@pytest.mark.parametrize("shape", [(3, 3), (1, 1), (2, 4, 4), (20, 20)], ids=str)
def test_gradients_are_pytorchs(f, draw, shape, engine):
    if engine == "forward" and shape[-1] > 4:
        pytest.skip("400 directions")
    torch = pytest.importorskip("torch")
    x = draw(*shape)
    given = torch.tensor(x, requires_grad=True)
    values = f(torch.linalg, given)
    values = values if isinstance(values, tuple) else (values,)
    sum((v * torch.tensor(_weights(tuple(v.shape)))).sum() for v in values).backward()
    theirs = given.grad.numpy()
    if (
        draw is definite
    ):  # what PyTorch gives for one triangle of two that mirror each other is their mean, or adds up to it
        theirs = (theirs + np.swapaxes(theirs, -1, -2)) / 2
    ours = dk.grad(weighed(f(np.linalg, dk.symbol("x", shape))), wrt="x", engine=engine, machine="numpy")(x=x)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * max(1, np.abs(theirs).max()))


@peers
def test_gradients_are_jaxs(f, draw):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        x = draw(3, 3)
        theirs = np.asarray(jax.grad(lambda a: weighed(f(jax.numpy.linalg, a)))(x))
    ours = dk.grad(weighed(f(np.linalg, dk.symbol("x", (3, 3)))), wrt="x", machine="numpy")(x=x)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 2, 3)], ids=str)
@pytest.mark.parametrize("name", ["qr", "pinv"])
def test_gradients_of_rectangles_by_differences(name, shape):
    f = weighed(getattr(dk.linalg, name)(dk.symbol("x", shape)))
    x = drawn(*shape)
    exact, near = (dk.grad(f, wrt="x", engine=e, machine="numpy")(x=x) for e in ("reverse", "finite"))
    np.testing.assert_allclose(exact, near, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dk.grad(f, wrt="x", engine="forward", machine="numpy")(x=x), exact, atol=1e-12)


@pytest.mark.parametrize("case", linalg_cases(), ids=lambda c: c.id)
def test_second_derivatives(case):
    """Forward and reverse rules of the rules, against differences of first derivatives."""
    inputs, values = case.inputs("float64"), case.values()
    at = {v.name: x for v, x in zip(inputs, values, strict=True)}
    f = weighed(case.build(*inputs))
    second = [dk.hessian(f, engine=e, machine="numpy")(at) for e in RULE_ENGINES]
    g, h = dk.grad(f, machine="numpy"), 1e-5
    ends = [g({k: x + s * h * _weights(x.shape) for k, x in at.items()}) for s in (1, -1)]
    for k in at:
        difference = (ends[0][k] - ends[1][k]) / (2 * h)
        for blocks in second:
            found = sum(np.tensordot(blocks[k][by], _weights(at[by].shape), at[by].ndim) for by in at)
            np.testing.assert_allclose(found, difference, rtol=0, atol=1e-6 * max(1, np.abs(difference).max()))


def test_hessian_of_the_log_determinant():
    x = drawn(3, 3)
    found = dk.hessian(dk.slogdet(dk.symbol("x", (3, 3)))[1], wrt="x", machine="numpy")(x=x)
    inverse_ = np.linalg.inv(x)
    np.testing.assert_allclose(found, -np.einsum("li,jk->ijkl", inverse_, inverse_), atol=1e-13)


def test_hessian_of_a_solution_by_its_right_hand_side():
    a, b = drawn(3, 3), np.arange(3.0)
    x = dk.solve(dk.symbol("a", (3, 3)), dk.symbol("b", 3))
    found = dk.hessian(dk.sum(x * x), wrt="b", machine="numpy")(a=a, b=b)
    np.testing.assert_allclose(found, 2 * np.linalg.inv(a @ a.T), rtol=1e-12)


@engines
def test_entries_that_mirror_each_other_share_a_derivative(engine):
    x = definite(3, 3)
    for name in ("cholesky", "eigvalsh"):
        f = dk.sum(getattr(dk.linalg, name)(X) ** 3)
        g = dk.grad(f, wrt="X", engine=engine, machine="numpy")
        np.testing.assert_allclose(g(X=x), g(X=x).T, rtol=1e-13)
        lopsided = x + np.array([[0, 0.1, 0], [-0.1, 0, 0], [0, 0, 0]])  # the same mean with its transpose
        np.testing.assert_allclose(on_numpy(f, X=lopsided), on_numpy(f, X=x), rtol=1e-14)
        near = dk.grad(f, wrt="X", engine="finite", machine="numpy")(X=x)
        np.testing.assert_allclose(g(X=x), near, rtol=1e-8)


# ---- where there is no answer -----------------------------------------------------------------------------------
SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize("bad", [SINGULAR, np.zeros((3, 3)), np.full((3, 3), np.nan)], ids=["rank 2", "zero", "nan"])
@pytest.mark.parametrize("name", ["inv", "solve", "cholesky"])
def test_a_matrix_without_an_answer_is_nan_at_its_point_alone(name, bad):
    make = {"inv": dk.inv, "solve": lambda x: dk.solve(x, np.ones(3)), "cholesky": dk.cholesky}[name]
    f, good = make(X), definite(3, 3)
    out = on_numpy(f, X=np.stack([good, bad, good]))
    assert np.isnan(out[1]).any()
    np.testing.assert_array_equal(out[0], on_numpy(f, X=good))
    np.testing.assert_array_equal(out[2], on_numpy(f, X=good))
    g = dk.grad(dk.sum(f), wrt="X", machine="numpy")
    both = g(X=np.stack([good, bad]))
    assert np.isnan(both[1]).any()
    np.testing.assert_allclose(both[0], g(X=good), rtol=1e-12)


@pytest.mark.parametrize("n", [3, SMALL + 1])
def test_a_zero_on_the_diagonal_of_a_triangular_matrix(n):
    a = np.stack([np.eye(n), np.diag(np.arange(n) != 1).astype(float)])
    x = dk.linalg.solve_triangular(dk.symbol("a", (n, n)), np.zeros(n))
    out = on_numpy(x, a=a)
    assert np.isnan(out[1]).all() and (out[0] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "qr", "pinv", "det", "slogdet"])
def test_what_is_not_finite_is_not_hidden(name, value):
    """LAPACK's eigenvectors of a matrix with a NaN are the unit vectors, and of one with infinities it may never come back."""
    results = getattr(dk.linalg, name)(X)
    for bad in (np.diag([value, 1.0, 2.0]), np.array([[1, value, 0], [value, 2, 1], [0, 1, 3.0]])):
        for f in results if isinstance(results, tuple) else (results,):
            out = on_numpy(f, X=np.stack([bad, definite(3, 3)]))
            assert np.isfinite(out[1]).all()
            if name == "slogdet" and value == np.inf:
                continue  # the sign is known
            assert not np.isfinite(out[0]).all()


@engines
def test_the_gradient_of_a_singular_determinant(engine):
    exact = np.array([[-2, 4, -2], [1, -2, 1], [0, 0, 0.0]])  # the cofactors
    for scale in (1.0, 1e-120, 1e120):
        g = dk.grad(dk.det(X), wrt="X", engine=engine, machine="numpy")(X=scale * SINGULAR)
        np.testing.assert_allclose(g, scale**2 * exact, rtol=0, atol=1e-14 * scale**2)
    assert not dk.grad(dk.det(X), wrt="X", engine=engine, machine="numpy")(X=np.diag([1.0, 0, 0])).any()
    small = dk.hessian(dk.det(dk.symbol("x", (2, 2))), wrt="x", engine=engine, machine="numpy")(x=np.zeros((2, 2)))
    np.testing.assert_array_equal(small[0, 0], [[0, 0], [0, 1]])  # linear: no division by the determinant
    assert np.isnan(dk.hessian(dk.det(X), wrt="X", engine=engine, machine="numpy")(X=np.zeros((3, 3)))).any()


@engines
def test_equal_eigenvalues(engine):
    x = np.diag([1.0, 1.0, 2.0])
    w, v = dk.eigh(X)
    for values in (w, dk.eigvalsh(X)):  # symmetric functions of the values are smooth
        g = dk.grad(dk.sum(dk.exp(values)), wrt="X", engine=engine, machine="numpy")(X=x)
        np.testing.assert_allclose(g, np.diag(np.exp([1, 1, 2])), rtol=1e-14)
    assert not np.isfinite(dk.grad(dk.sum(v**4), wrt="X", engine=engine, machine="numpy")(X=x)).all()
    # a function of the matrix, whose derivative exists but needs the limit of 0/0: not a finite wrong number
    whole = v @ (dk.exp(w)[:, None] * v.T)
    assert not np.isfinite(dk.grad(whole[0, 1], wrt="X", engine=engine, machine="numpy")(X=x)).all()


def test_pinv_of_a_matrix_without_full_rank_keeps_the_rank():
    x = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    same(dk.linalg.pinv(dk.symbol("x", (3, 2))), np.linalg.pinv(x), {"x": x})
    u, v = dk.symbol("u", 3), dk.symbol("v", 2)
    f = weighed(dk.linalg.pinv(dk.outer(u, v)))  # of rank 1 everywhere
    at = {"u": np.array([1.0, 2.0, 3.0]), "v": np.array([1.0, -1.0])}
    exact, near = (dk.grad(f, engine=e, machine="numpy")(at) for e in ("reverse", "finite"))
    for k in at:
        np.testing.assert_allclose(exact[k], near[k], atol=1e-9)


# ---- the symbolic engine ----------------------------------------------------------------------------------------
SYMBOLIC = [dk.det(X), dk.inv(X)[0, 1], dk.solve(X, np.arange(3.0))[1], dk.slogdet(X)[1], dk.cholesky(X)[2, 1],
            dk.linalg.solve_triangular(X, np.arange(3.0))[0], dk.linalg.solve_triangular(X, np.ones(3), lower=True)[2]]  # fmt: skip


@pytest.mark.parametrize("f", SYMBOLIC, ids=lambda f: f.op.name + str(f.args[0]))
def test_symbolic(f):
    x = definite(3, 3)
    ours, theirs = (dk.grad(f, wrt="X", engine=e, machine="numpy")(X=x) for e in ("reverse", "symbolic"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.abs(theirs).max())


@pytest.mark.parametrize("f", SYMBOLIC, ids=lambda f: f.op.name + str(f.args[0]))
def test_all_engines_agree_with_the_certified_truth(f):
    c = dk.compare(f, at={"X": np.stack([definite(3, 3, seed=s) for s in range(3)])}, machine="numpy")
    assert c.agree, c


def test_sympy_knows_the_determinant():
    sympy = pytest.importorskip("sympy")
    f = dk.det(dk.symbol("x", (3, 3))).to_sympy()
    names = [[sympy.Symbol(f"x[{i},{j}]", real=True) for j in range(3)] for i in range(3)]
    assert sympy.expand(f - sympy.Matrix(names).det()) == 0


@pytest.mark.parametrize(
    "f", [dk.sum(dk.eigh(X)[1]), dk.sum(dk.eigvalsh(X)), dk.sum(dk.qr(X)[1]), dk.sum(dk.linalg.pinv(X))]
)
def test_symbolic_says_why_not(f):
    with pytest.raises(
        UnsupportedError,
        match=r"cannot be written out in scalars: (eigenvalues are roots|the signs of|which singular values)",
    ):
        dk.grad(f, wrt="X", engine="symbolic", machine="numpy")(X=np.eye(3))


def test_large_determinants_exceed_the_symbolic_budget():
    x = dk.symbol("x", (9, 9))
    with pytest.raises(ExceededError, match=r"9! terms"):
        dk.grad(dk.det(x), wrt="x", engine="symbolic", machine="numpy")(x=np.eye(9))


# ---- error bars -------------------------------------------------------------------------------------------------
def _ill(n, condition, seed):
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    return u @ np.diag(np.geomspace(1, 1 / condition, n)) @ v


BARS = {
    "inv": (dk.inv, inverse), "det": (dk.det, determinant),
    "solve": (lambda x: dk.solve(x, np.arange(1.0, x.shape[-1] + 1)),
              lambda x: solution(x, exactly(np.arange(1.0, x.shape[-1] + 1)))),
    "cholesky": (lambda x: dk.cholesky(x @ x.T), lambda x: cholesky(x @ x.T)),
    "logdet": (lambda x: dk.slogdet(x)[1], lambda x: np.asarray(mp.log(abs(determinant(x).item())))),
}  # fmt: skip


@pytest.mark.parametrize("name", BARS)
@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("condition", [1e1, 1e4, 1e7])
def test_bars_cover_the_error_of_ill_conditioned_matrices_and_are_not_absurd(name, n, condition):
    build, exact = BARS[name]
    x = variable("x", (n, n))
    tape = record(build(x), [x])
    ratios = []
    for seed in range(3):
        at = _ill(n, condition, seed)
        (out,) = run(tape, at)
        (bar,) = rounding_bound(tape, [at]).entries
        with mp.workdps(60):
            error = np.abs(as_floats(exactly(out) - exact(exactly(at))))
        assert (error <= bar).all()
        ratios.append(np.max(bar) / max(np.max(error), 1e-17 * np.max(np.abs(out))))
    assert np.median(ratios) <= 3e4


def test_bars_of_derivatives_cover():
    x = variable("x", (4, 4))
    at = _ill(4, 1e5, 0)
    program = find_engine("reverse").program(record(dk.sum(dk.inv(x)), [x]), [0])
    _, ((block,),) = program.on(NUMPY)([at])
    ((bar,),) = program.bars(NUMPY, [at])
    with mp.workdps(60):
        i = inverse(exactly(at))
        error = as_floats(
            np.abs(exactly(block) + np.outer(i.sum(axis=0), i.sum(axis=1)))
        )  # ∂/∂A_ij = −(Σ_k X_ki)(Σ_l X_jl)
    assert (error <= bar).all() and np.median(bar / np.abs(block)) < 1e-3


def test_nothing_is_promised_of_a_matrix_singular_to_working_precision():
    x = variable("x", (3, 3))
    (bar,) = rounding_bound(record(dk.inv(x), [x]), [_ill(3, 1e17, 1)]).entries
    assert np.isinf(bar).all()


# ---- sources ----------------------------------------------------------------------------------------------------
SOURCES = [dk.inv(X), dk.solve(X, np.arange(3.0)), dk.det(X), dk.slogdet(X)[1], dk.cholesky(X), dk.eigh(X)[1] ** 2, dk.eigvalsh(X),
           dk.qr(X)[1], dk.linalg.pinv(X), dk.linalg.solve_triangular(X, np.arange(3.0), trans=1), RULES.cofactor(X),
           dk.linalg.svdvals(X[:2]), dk.linalg.svd(X)[2] ** 2, dk.linalg.svd(X[:, :2], full_matrices=False)[0] ** 2]  # fmt: skip


@pytest.mark.parametrize("target", ["numpy", "jax", "torch"])
def test_sources_run(target):
    pytest.importorskip(target)
    if target == "jax":
        pytest.importorskip("jax.numpy")
    at = definite(3, 3)
    scope: dict = {}
    for f in SOURCES:
        exec(f.to_source(target), scope)  # (JAX is switched to float64 by its source: in a process of its own, below)
        if target != "jax":
            np.testing.assert_allclose(np.asarray(scope["f"](at)), on_numpy(f, X=at), rtol=1e-10, atol=1e-12)


def test_linalg_is_imported_without_scipy():
    code = (
        "import sys, numpy as np, diffkit as dk; f = dk.sum(dk.linalg.solve_triangular(dk.symbol('x', (3, 3)), np.ones(3)));"
        "f(np.eye(3), machine='numpy'); sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh"])
def test_a_function_of_symmetric_matrices_takes_the_symmetric_part(name):
    """Of arrays as of expressions."""
    a = np.random.default_rng(0).normal(size=(4, 4)) + 8 * np.eye(4)
    f, exact = getattr(dk, name), getattr(np.linalg, name)((a + a.T) / 2)
    x = dk.symbol("x", (4, 4))
    first = lambda found: found[0] if name == "eigh" else found
    np.testing.assert_allclose(first(f(a)), first(exact), rtol=1e-14)
    np.testing.assert_allclose(first(f(x))(x=a), first(exact), rtol=1e-12)
