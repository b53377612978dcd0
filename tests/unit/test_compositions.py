"""Array functions composed of others: NumPy's values, derivatives that agree, on both machines, with and without loop dims."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special
from helpers_compositions import CASES, COMPOSITIONS, DISCRETE, OURS, TRUTH, WIDER, Case

import diffkit as dk
from diffkit.errors import DiffkitError, DtypeError, ShapeError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("error")

every_case = pytest.mark.parametrize("c", CASES, ids=str)
machines = pytest.mark.parametrize("machine", ["cpu", "numpy"])


def truth(c: Case, values: list[np.ndarray]) -> list[np.ndarray]:
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # NumPy's on the variance of nothing
        return [np.asarray(r) for r in c.results(TRUTH, *values)]


def test_every_function_has_cases():
    assert {c.name for c in CASES} == set(COMPOSITIONS)


@every_case
@machines
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_are_numpys(c, machine, dtype):
    tolerance = {"rtol": 1e-13, "atol": 1e-14} if dtype == "float64" else {"rtol": 2e-6, "atol": 2e-6}
    results = c.results(OURS, *c.variables(dtype))
    for loop in ((), (2,), *[(0,)] * (machine == "cpu")) if dtype == "float64" else ((2, 1),):
        values = c.values(dtype, loop)
        points = [truth(c, [v[i] for v in values]) for i in np.ndindex(loop)]
        for k, result in enumerate(results):
            given = {name: values[int(name[1:])] for name in result.variables}
            found = result(given, machine=machine)
            loop_of_result = loop if given else ()  # a result of no variables has no loop dims
            assert np.shape(found) == (*loop_of_result, *result.shape)
            if points:
                expected = np.stack([p[k] for p in points]).reshape((*loop, *points[0][k].shape))
                assert found.dtype == expected.dtype or (dtype == "float32" and c.name in WIDER)
                np.testing.assert_allclose(found, expected if given else points[0][k], **tolerance)


def weighted(results: list[Any]) -> Any:
    """Sum of all elements with weights of their own, so that no two of them can be mistaken."""
    rng = np.random.default_rng(5)
    return sum(dk.sum(r * rng.uniform(0.5, 1.5, r.shape)) for r in results)


@pytest.mark.slow
@every_case
@machines
def test_gradients_agree(c, machine):
    f, loop = weighted(c.results(OURS, *c.variables("float64"))), (2,)
    given = {name: c.values("float64", loop)[int(name[1:])] for name in f.variables}
    engines = ["forward", "reverse", "finite"]
    if all(v.size for v in given.values()) and c.name not in DISCRETE:
        engines.append("symbolic")
    found = {e: dk.grad(f, engine=e, machine=machine)(given) for e in engines}
    for name, value in given.items():
        assert found["reverse"][name].shape == value.shape
        for e in engines:
            close = {"rtol": 1e-6, "atol": 1e-8} if e == "finite" else {"rtol": 1e-11, "atol": 1e-12}
            np.testing.assert_allclose(found[e][name], found["reverse"][name], err_msg=e, **close)


@every_case
def test_functions_written_against_numpy(c):
    """A Python function that calls NumPy (or diffkit, for what NumPy has not) on its arguments."""
    m = SimpleNamespace(**{**vars(TRUTH), "softmax": dk.softmax, "log_softmax": dk.log_softmax})
    values, places = c.values(), tuple(range(len(c.shapes)))

    def f(*xs):
        return weighted(c.results(m, *xs))

    with np.errstate(all="ignore"):
        found = dk.grad(f, places, machine="numpy")(*values)
    expression = weighted(c.results(OURS, *c.variables("float64")))
    expected = dk.grad(expression, machine="numpy")({n: values[int(n[1:])] for n in expression.variables})
    for k, slope in enumerate(found):
        np.testing.assert_array_equal(slope, expected.get(f"x{k}", np.zeros(c.shapes[k])))


@machines
def test_plain_numpy_code(machine):
    x = np.array([0.5, -1.0, 2.0])
    slope = dk.grad(lambda x: np.outer(x, x).sum(), machine=machine)
    np.testing.assert_allclose(slope(x), np.full(3, 2 * x.sum()), rtol=1e-14)
    slope = dk.grad(lambda x: np.trace(np.kron(np.diag(x), np.tril(np.tile(x, (3, 1))))) + x.var(), machine=machine)
    np.testing.assert_allclose(slope(x), 2 * x.sum() + 2 * (x - x.mean()) / 3, rtol=1e-14)


@every_case
def test_without_expressions_numpy_answers(c):
    expected = truth(c, c.values())
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        found = c.results(OURS, *c.values())
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours, (np.ndarray, np.generic, bool)) and np.shape(ours) == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_names():
    for name, function in COMPOSITIONS.items():
        if name != "trace":  # dk.trace records a Python function
            assert getattr(dk, name) is function and function.__doc__
        assert name in dir(dk)


def test_methods_and_nested_lists():
    x, y = dk.symbols("x y")
    m = dk.symbol("m", (2, 3))
    for name in ("diagonal", "std", "trace", "var"):
        assert getattr(m, name)() is COMPOSITIONS[name](m)
    assert m.take([0, 2], axis=1) is dk.take(m, [0, 2], 1) and m.repeat(2, 0) is dk.repeat(m, 2, 0)
    assert dk.outer([x, y], [1.0, 2.0])(x=3.0, y=4.0, machine="numpy").tolist() == [[3.0, 6.0], [4.0, 8.0]]
    assert dk.pad(np.ones(2), 1, constant_values=x)(x=3.0, machine="numpy").tolist() == [3.0, 1.0, 1.0, 3.0]
    np.testing.assert_allclose(dk.softmax([1, 1]), [0.5, 0.5])


def test_linalg_takes_the_last_two_axes():
    x, at = dk.symbol("x", (2, 3, 4)), np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(np.linalg.trace(x)(x=at, machine="numpy"), np.linalg.trace(at))
    found = np.linalg.diagonal(x, offset=1)(x=at, machine="numpy")
    np.testing.assert_array_equal(found, np.linalg.diagonal(at, offset=1))


@machines
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_std_of_equal_elements_has_derivative_zero(engine, machine):
    x = dk.symbol("x", 3)
    slope = dk.grad(dk.std(x), wrt="x", engine=engine, machine=machine)
    assert slope(x=np.full(3, 0.5)).tolist() == [0, 0, 0]
    np.testing.assert_allclose(slope(x=np.full(3, 0.1)), 0, atol=1e-15)  # the mean is rounded: not quite 0.1
    assert np.isnan(dk.std(x)(x=[1.0, np.nan, 2.0], machine=machine))
    assert dk.std(x)(x=np.array([1e200, -1e200, 0]), machine=machine) == pytest.approx(
        1e200 * np.sqrt(2 / 3), rel=1e-14
    )


@machines
def test_softmax_is_safe(machine):
    x = dk.symbol("x", 3)
    at = np.array([1000.0, 999.0, -np.inf])
    np.testing.assert_allclose(dk.softmax(x)(x=at, machine=machine), scipy.special.softmax(at), rtol=1e-12)
    np.testing.assert_allclose(dk.log_softmax(x)(x=at, machine=machine), scipy.special.log_softmax(at), rtol=1e-12)
    slope = dk.grad(dk.softmax(x)[0], wrt="x", machine=machine)(x=at)
    p = scipy.special.softmax(at)
    np.testing.assert_allclose(slope, p[0] * (np.eye(3)[0] - p), rtol=1e-12, atol=1e-15)


s, v, w, m, q = (dk.symbol(n, shape) for n, shape in zip("svwmq", ((), 3, 2, (2, 3), (2, 2, 2)), strict=True))
ERRORS = [
    (lambda: dk.inner(m, w), ShapeError, r"inner: .*\(2, 3\).*\(2,\)"),
    (lambda: dk.vdot(m, v), ShapeError, r"vdot: .*\(2, 3\).*\(3,\)"),
    (lambda: dk.tensordot(m, v), ShapeError, r"tensordot: .*\(2, 3\).*\(3,\).*2 axes"),
    (lambda: dk.tensordot(m, v, 1.5), DiffkitError, r"tensordot"),
    (lambda: dk.tensordot(m, w, (1, 0)), ShapeError, r"tensordot: .*\(2, 3\).*\(2,\)"),
    (lambda: dk.tensordot(m, m, ([0, 1], [0])), ShapeError, r"tensordot: .*\(2, 3\)"),
    (lambda: dk.tensordot(m, m, ([0, 0], [0, 0])), ShapeError, r"tensordot.*\(2, 3\).*twice"),
    (lambda: dk.tensordot(m, v, (0, 1)), ShapeError, r"tensordot.*\(2, 3\) and \(3,\).*axis 1"),
    (lambda: dk.cross(v, w), ShapeError, r"cross: .*\(3,\).*\(2,\)"),
    (lambda: dk.cross(dk.symbol("a", (2, 3)), dk.symbol("b", (4, 3))), ShapeError, r"cross: .*\(2, 3\).*\(4, 3\)"),
    (lambda: dk.cross(s, v), ShapeError, r"cross: "),
    (lambda: v.trace(), ShapeError, r"trace: .*\(3,\)"),
    (lambda: v.trace(dtype=float), UnsupportedError, r"trace: .*dtype"),
    (lambda: dk.diagonal(m, 0, 1, -1), ShapeError, r"diagonal: .*same axis"),
    (lambda: dk.diag(q), ShapeError, r"diag: .*\(2, 2, 2\)"),
    (lambda: dk.tril(s), ShapeError, r"tril: .*\(\)"),
    (lambda: dk.var(m, 2), ShapeError, r"var: axis 2"),
    (lambda: dk.std(m, dtype=float), UnsupportedError, r"std: .*dtype"),
    (lambda: dk.average(m, 0, v), ShapeError, r"average: .*\(3,\).*\(2, 3\), axis 0"),
    (lambda: dk.average(m, weights=v), ShapeError, r"average: .*\(3,\).*\(2, 3\)"),
    (lambda: dk.softmax(v, 1), ShapeError, r"softmax: .*axis 1"),
    (lambda: dk.tile(v, -1), ShapeError, r"tile: .*\(3,\).*-1"),
    (lambda: dk.repeat(m, [1, 2], 1), ShapeError, r"repeat: .*\(2, 3\)"),
    (lambda: dk.repeat(m, 1.5), ShapeError, r"repeat: .*1\.5"),
    (lambda: dk.repeat(m, -1), ShapeError, r"repeat: .*-1"),
    (lambda: dk.fliplr(v), ShapeError, r"fliplr: .*axis 1"),
    (lambda: dk.roll(v, 1, 1), ShapeError, r"roll: axis 1"),
    (lambda: dk.roll(m, (1, 2, 3), (0, 1)), ShapeError, r"roll: "),
    (lambda: dk.pad(m, 1, mode="mean"), UnsupportedError, r"pad: .*mean.*'edge'"),
    (lambda: dk.pad(m, (1, 2, 3)), ShapeError, r"pad: .*\(1, 2, 3\).*\(2, 3\)"),
    (lambda: dk.pad(m, -1), ShapeError, r"pad: .*-1"),
    (lambda: dk.pad(m, 1.5), ShapeError, r"pad: .*1\.5"),
    (lambda: dk.split(v, 2), ShapeError, r"split: .*\(3,\).*2 equal parts"),
    (lambda: dk.split(v, 0), ShapeError, r"split: .*\(3,\).*0"),
    (lambda: dk.array_split(s, 2), ShapeError, r"array_split: "),
    (lambda: dk.hstack([m, q]), ShapeError, r"hstack: .*\(2, 3\), \(2, 2, 2\)"),
    (lambda: dk.vstack([m, w]), ShapeError, r"vstack: .*\(2, 3\), \(1, 2\)"),
    (lambda: dk.take(v, 3), ShapeError, r"take: .*\(3,\)"),
    (lambda: dk.take(v, [0.5]), DtypeError, r"float64"),
    (lambda: dk.take(v, s), UnsupportedError, r"take: "),
    (lambda: dk.take(v, 0, mode="clip"), UnsupportedError, r"take: .*mode"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "error", "message"), ERRORS)
def test_errors_name_the_function_and_the_shapes(act, error, message):
    with pytest.raises(error, match=message):
        act()
