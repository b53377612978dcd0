"""Sparse Jacobians and Hessians against the dense ones; what their patterns hold; how many colours they take."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy import sparse as sp

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, ExceededError, ShapeError, UnsupportedError
from diffkit.expr.kind import infer, intern_kind
from diffkit.ops import TABLE, VARIABLE
from diffkit.sparse import colouring, directions
from diffkit.sparse import rows as rows_module
from diffkit.sparse.pattern import Propagation, dependence
from diffkit.sparse.rows import Rows
from diffkit.tape import record

MACHINE = "cpu"


def assembled(blocks, outputs, inputs) -> np.ndarray:
    """Dense blocks, one row an output and one column an input, as one matrix."""
    rows = []
    for row, o in zip(blocks, outputs, strict=True):
        rows.append(np.hstack([np.reshape(b, (np.size(o), np.size(i))) for b, i in zip(row, inputs, strict=True)]))
    return np.vstack(rows)


def dense_jacobian(f, args, argnums) -> np.ndarray:
    value = f(*args)
    several = isinstance(value, tuple)
    blocks = dk.jacobian(f, argnums=argnums, machine=MACHINE)(*args)
    return assembled(blocks if several else [blocks], value if several else [value], [args[a] for a in argnums])


def check_jacobian(f, *args, engine=None):
    argnums = tuple(range(len(args)))
    J = dk.jacobian(f, argnums=argnums, engine=engine, sparse=True, machine=MACHINE)
    S, D = J(*args), dense_jacobian(f, args, argnums)
    assert isinstance(S, sp.csr_array)
    assert S.has_canonical_format
    assert S.dtype == D.dtype
    assert S.shape == D.shape
    np.testing.assert_allclose(S.toarray(), D, rtol=1e-12 if D.dtype == np.float64 else 2e-5, atol=1e-300)
    assert (J.pattern.toarray() | (D == 0)).all()
    assert J.lower_bound <= J.colours
    return J


def check_hessian(f, *args):
    argnums = tuple(range(len(args)))
    H = dk.hessian(f, argnums=argnums, sparse=True, machine=MACHINE)
    S = H(*args)
    blocks = dk.hessian(f, argnums=argnums, machine=MACHINE)(*args)
    D = assembled(blocks, args, args)
    assert isinstance(S, sp.csr_array)
    assert S.dtype == D.dtype
    np.testing.assert_allclose(
        S.toarray(), D, rtol=1e-11 if D.dtype == np.float64 else 1e-4, atol=1e-12 * abs(D).max(initial=0)
    )
    assert np.array_equal(S.toarray(), S.toarray().T)
    assert H.mode == "forward over reverse"
    assert H.lower_bound <= H.colours
    return H


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def line(n: int) -> np.ndarray:
    return np.linspace(-1.2, 1.7, n)


FUNCTIONS = {
    "elementwise": lambda x: np.sin(x) * x,
    "differences": lambda x: (x[1:] - x[:-1]) ** 2,
    "five diagonals": lambda x: x[2:-2] * (x[:-4] - 8 * x[1:-3] + 8 * x[3:-1] - x[4:]),
    "whole and part": lambda x: x * np.exp(x[3]),
    "arrow": lambda x: np.concatenate([np.sum(x**2).reshape(1), x[1:] * x[0]]),
    "dense row": lambda x: np.concatenate([np.sin(x), np.sum(x, keepdims=True) * x[:1]]),
    "dense": lambda x: x / np.sqrt(np.sum(x * x)),
    "empty rows and columns": lambda x: np.concatenate([x[:2] ** 2, np.ones(3), x[5:6] * x[7:8]]),
    "nothing": lambda x: np.floor(x) + 1.5,
    "linear": lambda x: 3 * x - 2,
    "reversed": lambda x: x[::-1] * x,
    "gathered twice": lambda x: x[np.array([0, 3, 3, 5, 0])] * x[np.array([1, 3, 2, 5, 0])],
    "matrix": lambda x: np.reshape(x[:6], (2, 3)).T @ np.reshape(x[2:8], (2, 3)),
    "rows of a matrix": lambda x: np.sum(np.reshape(x[:8], (4, 2)) ** 2, axis=1),
    "where": lambda x: np.where(x > 0, x**2, np.exp(x)),
    "a branch not taken": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), x),
    "maximum of neighbours": lambda x: np.maximum(x[1:], x[:-1]),
    "constant times": lambda x: np.diag(np.arange(1.0, 9.0)) @ x[:8],
    "times constant": lambda x: x[:8] @ (np.eye(8) + np.eye(8, k=2)),
    "scalar": lambda x: np.sum(x[:3]) * x[4],
    "several shapes": lambda x: (x[:4] ** 2, np.sum(x[1:3]), np.reshape(x[:6] ** 3, (3, 2))),
    "composed": lambda x: np.cos(x[1:] * x[:-1])[2:] - np.cos(x[1:] * x[:-1])[:-2],
    "itself": lambda x: x,
    "moved": lambda x: np.reshape(x[:6], (2, 3)).T,
}  # fmt: skip


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("engine", [None, "forward", "reverse"])
def test_jacobians(f, engine) -> None:
    J = check_jacobian(f, line(9), engine=engine)
    assert engine in (None, J.mode)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_hessians_of_sums_of_squares(f) -> None:
    def total(x):
        value = f(x)
        return sum(np.sum(v * v * v) for v in (value if isinstance(value, tuple) else (value,)))

    check_hessian(total, line(9))


@pytest.mark.parametrize("f", [FUNCTIONS["differences"], FUNCTIONS["arrow"], FUNCTIONS["whole and part"]])
def test_single_precision(f) -> None:
    x = line(9).astype(np.float32)
    assert check_jacobian(f, x).pattern.shape[1] == 9
    check_hessian(lambda x: np.sum(f(x) ** 2), x)


def test_patterns_are_tight() -> None:
    n = 8
    pattern = dk.jacobian(FUNCTIONS["differences"], sparse=True, machine=MACHINE).prepare(line(n)).pattern
    assert np.array_equal(pattern.toarray(), np.eye(n - 1, n, dtype=bool) | np.eye(n - 1, n, 1, dtype=bool))
    hessian = dk.hessian(rosenbrock, sparse=True, machine=MACHINE).prepare(line(n))
    assert np.array_equal(hessian.pattern.toarray(), abs(np.subtract.outer(range(n), range(n))) < 2)
    weights = np.tri(n)  # a constant's zeros are none of its entries
    for f in (lambda x: weights @ x, lambda x: weights @ np.sin(x)):
        assert np.array_equal(dk.jacobian(f, sparse=True, machine=MACHINE)(line(n)).toarray() != 0, weights > 0)
    linear = dk.hessian(lambda x: np.sum(3 * x) + x[0] * 2 - np.sum(x[1:]), sparse=True, machine=MACHINE)
    assert linear(line(n)).nnz == linear.colours == linear.lower_bound == 0
    separable = dk.hessian(lambda x: np.sum(np.exp(x) * 2 + x**4), sparse=True, machine=MACHINE)
    assert separable(line(n)).nnz == n
    assert separable.colours == 1


def test_matrix_products_are_followed_element_by_element() -> None:
    a, b = np.arange(1.0, 13).reshape(2, 3, 2), np.arange(1.0, 7).reshape(2, 3)
    assert check_jacobian(lambda a, b: a @ b, a, b).pattern.nnz == 2 * 3 * 3 * (2 + 2)
    check_hessian(lambda a, b: np.sum((a @ b) ** 2), a, b)


def matrices(*batch: int) -> np.ndarray:
    a = np.random.default_rng(1).normal(size=(*batch, 2, 2))
    return a @ np.swapaxes(a, -1, -2) + 2 * np.eye(2)


@pytest.mark.parametrize(
    ("f", "x", "entries"),
    [
        (dk.linalg.inv, matrices(3), 3 * 4 * 4),
        (dk.linalg.det, matrices(3), 3 * 4),
        (lambda a: dk.linalg.slogdet(a)[1], matrices(2, 3), 6 * 4),
        (dk.linalg.cholesky, matrices(3), 3 * 4 * 4),
        (lambda a: dk.linalg.eigh(a)[0], matrices(3), 3 * 2 * 4),
        (lambda b: dk.linalg.solve(matrices(3), b), np.arange(24.0).reshape(3, 2, 4), 3 * 4 * 2 * 2),
        (lambda a: dk.linalg.solve(a, np.arange(24.0).reshape(3, 2, 4)), matrices(3), 3 * 8 * 4),
        (lambda x: np.cumsum(x, axis=1), np.arange(20.0).reshape(4, 5), 4 * 15),
        (lambda x: np.cumprod(x, axis=0), 1 + np.arange(20.0).reshape(4, 5), 5 * 16),
        (dk.checkpoint(lambda x: np.sin(x) * x[0]), line(6), 6 + 5),
        (lambda x: dk.scan(lambda c, x: (c * x, c + x), 1.0, x)[1], line(5) + 3, 15),
        (lambda x: dk.scan(lambda c, x: (c, np.sin(x)), 1.0, x)[1], line(5), 5),
        (lambda x: dk.conv2d(x, np.ones((2, 1, 3, 3))), np.ones((2, 1, 5, 5)), 2 * 2 * 9 * 9),
        (lambda x: np.tril(x) * 2, np.arange(16.0).reshape(4, 4), 10),
        (lambda x: np.tri(4) * x**2, np.arange(16.0).reshape(4, 4), 10),
        (lambda x: np.pad(x**2, 2), line(4), 4),
        (lambda x: np.roll(x, 2) * x, line(5), 10),
    ],
)  # fmt: skip
def test_operations_on_arrays_mix_what_they_must(f, x, entries) -> None:
    assert check_jacobian(f, x).pattern.nnz <= entries
    check_hessian(lambda x: np.sum(f(x) ** 3), x)


def test_elements_chosen_by_values_may_be_any_along_the_axis() -> None:
    x = intern_kind(VARIABLE, (("name", "x"), ("uid", 0)), (4, 5), "float64")
    i = intern_kind(VARIABLE, (("name", "i"), ("uid", 0)), (3, 2), "int64")
    op = TABLE["gather"]
    chosen = infer(op, op.bind({"axis": -1}), (x, i))
    rows = Propagation().run([x, i, chosen], [(), (), (0, 1)], {0: Rows.units(0, 20, 20)})[-1]
    assert chosen.shape == (4, 3, 2)
    assert rows.lengths().tolist() == [5] * 24
    assert rows.index.reshape(4, 6, 5)[2].tolist() == [[10, 11, 12, 13, 14]] * 6


@pytest.mark.parametrize("n", [2, 3, 17, 200])
def test_rosenbrock(n) -> None:
    H = check_hessian(rosenbrock, line(n))
    assert H.colours == 2  # by the moved arrays x[1:] and x[:-1], two of which are of each summand
    assert H.pattern.nnz == 3 * n - 2


def test_few_directions_where_parts_share_columns() -> None:
    """Residuals of observations, each of one camera and one point: a sweep a component, not a direction a parameter."""
    rng = np.random.default_rng(0)
    camera, point = rng.integers(0, 3, 20), rng.integers(0, 6, 20)

    def residuals(cameras, points, weights):
        c, p = cameras[camera], points[point]
        seen = c[:, :2] * np.sum(c[:, 2:5] * p, axis=1)[:, None] + c[:, 5:7] * p[:, 2:3]
        return seen * weights[:, None], 1 - weights**2

    args = rng.normal(size=(3, 7)), rng.normal(size=(6, 3)), rng.random(20)
    J = check_jacobian(residuals, *args)
    assert J.mode == "reverse"
    assert J.colours == J.lower_bound == 2
    assert check_jacobian(residuals, *args, engine="forward").colours > 5


def test_one_element() -> None:
    assert check_jacobian(lambda x: x**2, np.array([3.0])).colours == 1
    assert check_jacobian(lambda x: x**2, np.float64(3.0)).pattern.shape == (1, 1)
    assert check_hessian(lambda x: x**3, np.float64(2.0)).colours == 1
    assert check_hessian(lambda x: np.sum(x**3), np.array([2.0])).pattern.shape == (1, 1)


def test_no_elements() -> None:
    assert dk.jacobian(lambda x: x**2, sparse=True, machine=MACHINE)(np.empty(0)).shape == (0, 0)
    assert dk.hessian(lambda x: np.sum(x**2), sparse=True, machine=MACHINE)(np.empty(0)).shape == (0, 0)
    assert dk.jacobian(lambda x: x[:0] * x[0], sparse=True, machine=MACHINE)(line(3)).shape == (0, 3)


def test_several_arguments_are_blocks_of_columns() -> None:
    def f(a, b, c):
        return a[:, None] * b + c, np.sum(b, axis=0) * c

    check_jacobian(f, line(2), np.arange(6.0).reshape(2, 3), np.float64(1.5))
    check_hessian(lambda a, b, c: np.sum(a[:, None] * b**2 * c), line(2), np.arange(6.0).reshape(2, 3), np.float64(1.5))
    J = dk.jacobian(f, argnums=2, sparse=True, machine=MACHINE)(line(2), np.arange(6.0).reshape(2, 3), 1.5)
    assert J.shape == (9, 1)


def test_nested_arguments_and_results() -> None:
    def f(p, k):
        return {"u": p["a"] ** k, "v": [p["b"] * p["a"][0]]}

    p = {"a": line(3), "b": np.float64(2.0)}
    J = dk.jacobian(f, sparse=True, machine=MACHINE)
    expected = np.zeros((4, 4))
    expected[range(3), range(3)] = 2 * p["a"]
    expected[3, [0, 3]] = 2.0, p["a"][0]
    np.testing.assert_allclose(J(p, 2).toarray(), expected)
    expected[range(3), range(3)] = 3 * p["a"] ** 2
    np.testing.assert_allclose(J(p, 3).toarray(), expected)


def test_expressions_by_name() -> None:
    x, y = dk.symbol("x", shape=(4,)), dk.symbol("y")
    f = dk.sin(x) * y
    J = dk.jacobian(f, sparse=True, machine=MACHINE)
    expected = np.hstack([np.diag(np.cos(line(4)) * 2), np.sin(line(4))[:, None]])
    assert (J.mode, J.colours, J.pattern.shape) == ("forward", 2, (4, 5))  # known before any call: shapes are declared
    for matrix in (J(x=line(4), y=2.0), J(line(4), 2.0), J({"x": line(4), "y": 2.0})):
        np.testing.assert_allclose(matrix.toarray(), expected)
    np.testing.assert_allclose(
        dk.jacobian(f, wrt=["y", "x"], sparse=True, machine=MACHINE)(line(4), 2.0).toarray(),
        expected[:, [4, 0, 1, 2, 3]],
    )
    assert dk.jacobian(f, wrt="x", sparse=True, machine=MACHINE)(line(4), 2.0).shape == (4, 4)
    H = dk.hessian(dk.sum(f), sparse=True, machine=MACHINE)(line(4), 2.0).toarray()
    np.testing.assert_allclose(H[:4, :4], np.diag(-2 * np.sin(line(4))))
    np.testing.assert_allclose(H[4], [*np.cos(line(4)), 0])


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
def test_text(machine) -> None:
    H = dk.hessian("x**2*y + z", sparse=True, machine=machine)(x=3.0, y=2.0, z=1.0)
    np.testing.assert_allclose(H.toarray(), [[4, 6, 0], [6, 0, 0], [0, 0, 0]])
    assert H.nnz == 3
    J = dk.jacobian("sin(x)*y", sparse=True, machine=machine)(0.3, 2.0)
    np.testing.assert_allclose(J.toarray(), [[2 * np.cos(0.3), np.sin(0.3)]])


def random_function(rng: np.random.Generator, n: int):
    """Random elementwise operations of gathered, sliced, summed and joined parts."""
    steps = rng.integers(0, 6, 6)
    choices = [rng.integers(0, n, n) for _ in steps]

    def f(x):
        v = x
        for step, chosen in zip(steps, choices, strict=True):
            if step == 0:
                v = np.sin(v) * x[chosen]
            elif step == 1:
                v = v[chosen] + 0.5 * v
            elif step == 2:
                v = np.concatenate([v[1:] * v[:-1], x[:1]])
            elif step == 3:
                v = np.reshape(np.outer(v[:2], v[chosen[:2]]), (4,))[np.arange(n) % 4]
            elif step == 4:
                v = np.concatenate([v[: n // 2], np.exp(-(v[n // 2 :] ** 2))])
            else:
                v = v + np.sum(x[chosen[:3]]) * (np.arange(n) == 2)
        return v

    return f


@pytest.mark.parametrize("seed", range(40))
def test_random_functions(seed) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 12))
    f, x = random_function(rng, n), rng.normal(size=n)
    check_jacobian(f, x, engine=(None, "forward", "reverse")[seed % 3])
    check_hessian(lambda x: np.sum(f(x) * x), x)


@pytest.mark.parametrize("limits", [(32, 16), (0, 0)])
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_many_colours_become_a_loop_dim(monkeypatch, engine, limits) -> None:
    monkeypatch.setattr(directions, "TANGENTS", limits[0])
    monkeypatch.setattr(directions, "SWEEPS", limits[1])
    monkeypatch.setattr(directions, "CHUNK", 7)
    x = line(40) + 2

    def f(x, k):
        return np.cumsum(x) * x if k else (np.sum(x) / x, x[:20] * x[20:])

    assert check_jacobian(lambda x: f(x, 0), x, engine=engine).colours >= 40
    check_hessian(lambda x: np.sum(x) ** 3 + np.sum(x[1:] * x[:-1]), x[:35])
    check_jacobian(lambda x, y: (x * y[0], y**2), x[:5], line(3), engine=engine)


def test_second_differences_take_as_many_colours_as_they_need() -> None:
    f = lambda x: np.sum(np.cos(x[2:] - 2 * x[1:-1] + x[:-2]))
    H = check_hessian(f, line(30))
    assert H.colours == H.lower_bound == 3
    np.testing.assert_array_equal(H.pattern.toarray(), abs(np.subtract.outer(range(30), range(30))) < 3)


def test_where_hardly_any_columns_go_together_no_colouring_is_looked_for(monkeypatch) -> None:
    f = lambda x: np.concatenate([np.sum(x[:-1], keepdims=True) * x[0], x * x[-1]])
    few = check_jacobian(f, line(9), engine="forward").colours
    monkeypatch.setattr(colouring, "PAIRS", 10)
    many = check_jacobian(f, line(9), engine="forward").colours
    assert few <= many == 9


def test_where_a_value_is_nan_so_is_its_row() -> None:
    x = np.array([4.0, -1.0, 9.0])
    J = dk.jacobian(lambda x: np.log(x) + 0 * x[::-1], sparse=True, machine=MACHINE)(x)
    assert np.isnan(J.toarray()).any(axis=1).tolist() == [False, True, False]
    assert np.isnan(J.toarray()[1, 1])
    H = dk.hessian(lambda x: np.sum(x**1.5), sparse=True, machine=MACHINE)(x)
    np.testing.assert_allclose(H.toarray(), np.diag(0.75 * np.array([0.5, np.nan, 1 / 3])))
    J = dk.jacobian(lambda x: np.floor(x) * np.nan + x, sparse=True, machine=MACHINE)(x)
    assert np.isnan(J.data).all()


def test_an_infinite_derivative_stays_where_it_is() -> None:
    x = np.array([0.0, 1.0, 4.0])
    J = dk.jacobian(lambda x: np.sqrt(x) + x[::-1], sparse=True, machine=MACHINE)(x)
    np.testing.assert_array_equal(J.toarray(), [[np.inf, 0, 1], [0, 1.5, 0], [1, 0, 0.25]])


def test_a_variable_named_out() -> None:
    assert dk.jacobian("x*out", sparse=True, machine=MACHINE)(x=2.0, out=3.0).toarray().tolist() == [[3.0, 2.0]]


def test_one_build_serves_every_call() -> None:
    calls = []

    def f(x):
        calls.append(len(x))
        return x[1:] * x[:-1]

    J = dk.jacobian(f, sparse=True, machine=MACHINE)
    for x in (line(5), line(5) + 1, line(6), line(5)):
        J(x)
    assert calls == [5, 6]
    assert J.pattern.shape == (4, 5)
    with dk.kinks("left"):
        J(line(5))
    assert calls == [5, 6, 5]


def test_a_result_is_the_callers_to_change() -> None:
    J = dk.jacobian(lambda x: x**2 * (x > 0), sparse=True, machine=MACHINE)
    first = J(line(5))
    first.eliminate_zeros()
    first.data[:] = 7
    assert J(line(5)).nnz == 5
    assert J.pattern.nnz == 5


def test_out_is_written_into() -> None:
    J = dk.jacobian(lambda x: x[1:] * x[:-1], sparse=True, machine=MACHINE)
    first = J(line(5))
    again = J(line(5) + 1, out=first)
    assert again is first
    np.testing.assert_array_equal(again.toarray(), J(line(5) + 1).toarray())
    for wrong in (sp.csr_array((4, 5)), first.tocsc(), first.toarray(), first.astype(np.float32), sp.csr_array((3, 3))):
        with pytest.raises(ArgumentError, match="out= needs a csr_array"):
            J(line(5), out=wrong)


def test_threads_share_a_derivative() -> None:
    J = dk.jacobian(lambda x: x[1:] * np.sin(x[:-1]), sparse=True, machine=MACHINE).prepare(line(200))
    points = [line(200) + k for k in range(8)]
    expected = [J(p).toarray() for p in points]
    wrong: list[int] = []

    def work(k: int) -> None:
        wrong.extend(k for _ in range(20) if not np.array_equal(J(points[k]).toarray(), expected[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_what_it_says_of_itself() -> None:
    J = dk.jacobian(FUNCTIONS["differences"], sparse=True, machine=MACHINE)
    for name in ("pattern", "colours", "lower_bound", "mode", "colouring"):
        with pytest.raises(ArgumentError, match="prepare"):
            getattr(J, name)
    assert "sparse jacobian" in repr(J)
    J(line(5))
    assert "4 × 5, 8 entries, 1 colour (at least 1), reverse" in repr(J)
    assert "1 × 1, 1 entry, 1 colour" in repr(dk.jacobian("x**2", sparse=True, machine=MACHINE).prepare())
    for name in ("pattern", "colours", "lower_bound", "mode", "colouring", "tape", "prepare"):
        assert getattr(type(J), name).__doc__
    assert J.pattern.dtype == bool
    assert len(J.tape) > 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: dk.jacobian("sin(x)*y", sparse=True)(x=line(4), y=1.0), ShapeError, r"one point.*\(4,\).*loop dims"),
        (lambda: dk.hessian("sin(x)*y", sparse=True)(1.0, line(4)), ShapeError, "'y'"),
        (lambda: dk.jacobian("x", sparse=True, engine="symbolic"), UnsupportedError, "symbolic"),
        (lambda: dk.hessian("x", sparse=True, engine="forward"), UnsupportedError, "forward over reverse"),
        (lambda: dk.jacobian("x", sparse=True)(dk.symbol("z")), UnsupportedError, "numbers"),
        (lambda: dk.jacobian("x", sparse=True)(z=1.0), ArgumentError, "'z'"),
        (lambda: dk.jacobian("x", argnums=0, sparse=True), ArgumentError, "argnums"),
        (lambda: dk.hessian(lambda x: x**2, sparse=True)(line(3)), ShapeError, "scalar"),
        (lambda: dk.hessian(lambda x: (x, x), sparse=True)(1.0), ShapeError, "scalar"),
        (lambda: dk.jacobian(lambda x: x**2, sparse=True)(3), DiffkitError, "floating-point"),
    ],
)
def test_errors(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


def test_within_a_trace_it_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="matrix of numbers"):
        dk.grad(lambda x: np.sum(dk.jacobian(lambda y: y * x, sparse=True)(line(3))), machine=MACHINE)(2.0)


def test_a_dense_pattern_is_refused_before_it_fills_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(rows_module, "LIMIT", 10_000)
    with pytest.raises(ExceededError, match=r"^divide .*more than the 10,000.*argnums"):
        dk.jacobian(lambda x: x / np.sum(x), sparse=True, machine=MACHINE)(np.ones(1000))


def test_the_pattern_is_linear_in_the_number_of_elements() -> None:
    x = dk.symbol("x", shape=(20_000,))
    chain = record(dk.sin(x[1:] - x[:-1] ** 2) * 3)
    rows = dependence(chain, [0])[chain.outputs[0]]
    assert rows is not None and rows.count == 2 * 19_999


def test_large_and_quick_enough() -> None:
    x = line(20_000)
    H = dk.hessian(rosenbrock, sparse=True, machine=MACHINE)(x)
    v = np.cos(x)
    np.testing.assert_allclose(H @ v, dk.hvp(rosenbrock, (x,), (v,), machine=MACHINE), rtol=1e-10)
