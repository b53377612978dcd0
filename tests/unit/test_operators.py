"""The methods that NumPy's arrays have, NumPy's own calls on expressions, and errors that say what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DtypeError, ShapeError, TracingError, UnsupportedError
from diffkit.ops import TABLE

pytestmark = pytest.mark.filterwarnings("error")

X = dk.symbol("X", (3, 3))
AT = np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -0.75], [1.5, -2.5, 4.0]])

#: on an expression and on an array
METHODS: dict[str, Callable[[Any], Any]] = {
    "clip": lambda x: x.clip(-0.5, 1.0),
    "clip below": lambda x: x.clip(min=0.0),
    "clip above": lambda x: x.clip(max=0.0),
    "mT": lambda x: x[None].mT,
    "T": lambda x: x.T,
    "ravel": lambda x: x.ravel(),
    "ravel F": lambda x: x.ravel("F"),
    "flatten": lambda x: x.flatten(),
    "squeeze": lambda x: x[None].squeeze(0),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "repeat": lambda x: x.repeat(2, axis=0),
    "take": lambda x: x.take([0, 2], axis=1),
    "cumsum": lambda x: x.cumsum(axis=0),
    "cumprod": lambda x: x.cumprod(),
    "var": lambda x: x.var(axis=1, ddof=1),
    "std": lambda x: x.std(),
    "trace": lambda x: x.trace(),
    "diagonal": lambda x: x.diagonal(1),
    "round": lambda x: x.round(),
    "round 1": lambda x: x.round(1),
    "conj": lambda x: x.conj() + x.conjugate(),
    "real": lambda x: x.real,
    "imag": lambda x: x.imag,
    "dot": lambda x: x.dot(x),
    "any": lambda x: (x > 3.5).any(axis=0),
    "all": lambda x: (x > -3).all(),
    "copy": lambda x: x.copy(),
    "argsort": lambda x: x.argsort(axis=1),
    "argmax": lambda x: x.argmax(),
    "max": lambda x: x.max(axis=0, keepdims=True),
    "min": lambda x: x.min(axis=1),
    "mean": lambda x: x.mean(axis=0, where=AT > 0),
    "sum": lambda x: x.sum(axis=-1, initial=2.0),
    "prod": lambda x: x.prod(0),
    "reshape": lambda x: x.reshape(9),
    "reshape two": lambda x: x.reshape(-1, 1, 3),
    "transpose": lambda x: x[None].transpose(2, 0, 1),
    "astype": lambda x: x.astype("int64"),
    "searchsorted": lambda x: x[:, 2].cumsum().searchsorted(2.5),
    "%": lambda x: x % 0.7,
    "% of number": lambda x: 2.0 % x,
    "//": lambda x: x // 0.7,
    "// of number": lambda x: 2.0 // x,
    "divmod": lambda x: divmod(x, 0.7)[1],
    "divmod of number": lambda x: divmod(2.0, x)[0],
    "np.mod": lambda x: np.mod(x, [[0.5], [-0.5], [2.0]]),
    "np.divmod": lambda x: np.divmod(x, 2)[0],
    "np.round": lambda x: np.round(x, 1),
    "np.around": lambda x: np.around(x),
    "np.clip": lambda x: np.clip(x, None, 1.0),
    "np.clip named": lambda x: np.clip(x, a_min=0.0, a_max=None),
    "np.isnan": lambda x: np.isnan(x) | np.isinf(x) | ~np.isfinite(x),
    "np.copysign": lambda x: np.copysign(1.0, x),
    "np.moveaxis": lambda x: np.moveaxis(x[None], (0, 2), (2, 0)),
    "np.linalg.matrix_transpose": lambda x: np.linalg.matrix_transpose(x),
    "sum where": lambda x: np.sum(x, axis=0, where=x > 0),
    "sum all": lambda x: np.sum(x, where=AT[0] > 0, initial=1.0, keepdims=True),
    "prod where": lambda x: np.prod(x, axis=1, where=AT > 0, initial=2.0),
    "max where": lambda x: np.max(x, axis=0, where=AT < 1, initial=-3.0),
    "min where": lambda x: np.min(x, where=AT > 9, initial=7.0),
    "max of none": lambda x: np.max(x[:0], axis=0, initial=-1.0),
    "mean where": lambda x: np.mean(x, axis=1, where=AT > 0, keepdims=True),
}


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
@pytest.mark.parametrize("name", METHODS)
def test_values_are_numpys(name, machine):
    f, expected = METHODS[name](X), METHODS[name](AT)
    assert f.shape == np.shape(expected)
    found = f(X=AT, machine=machine) if f.variables else f(machine=machine)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
    assert found.dtype == np.asarray(expected).dtype


@pytest.mark.parametrize("name", [n for n in METHODS if METHODS[n](X).dtype == "float64" and METHODS[n](X).variables])
def test_gradients_agree(name):
    f = dk.sum(METHODS[name](X) * np.random.default_rng(3).uniform(0.5, 1.5, METHODS[name](X).shape))
    away = 1.01 * AT + 0.013  # from jumps
    found = [dk.grad(f, engine=e, machine="numpy")(X=away)["X"] for e in ("forward", "reverse", "finite")]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found[2], found[1], rtol=1e-6, atol=1e-8)


def test_sort_is_a_value_and_not_in_place():
    assert X.sort(axis=0)(X=AT, machine="numpy").tolist() == np.sort(AT, axis=0).tolist()


def test_in_place_operators_make_new_values():
    def f(x):
        y = x
        y += 1.0
        y *= x
        y -= np.ones(3)
        y **= 2
        return y.sum()

    x = np.array([0.5, -1.0, 2.0])
    slope = dk.grad(f)(x)
    np.testing.assert_allclose(slope, 2 * (x * x + x - 1) * (2 * x + 1), rtol=1e-14)
    assert x.tolist() == [0.5, -1.0, 2.0]


def _write(x: Any) -> None:
    x[0] = 1.0


def _add_to_array(x: Any) -> None:
    total = np.zeros((3, 3))
    total += x


ERRORS = [
    (lambda: X.item(), TracingError, r"\.item\(\) needs numbers.*evaluate it"),
    (lambda: X.tolist(), TracingError, r"\.tolist\(\) needs numbers"),
    (lambda: X.fill(0.0), TracingError, r"\.fill\(\).*full_like"),
    (lambda: X.put([0], 1.0), TracingError, r"\.put\(\).*scatter_add"),
    (lambda: _write(X), TracingError, r"dk\.where.*dk\.scatter_add"),
    (lambda: _add_to_array(X), TracingError, r"numpy\.add.*array of numbers.*y = y \+ x"),
    (lambda: np.add.reduce(X), UnsupportedError, r"numpy\.add\.reduce"),
    (lambda: np.ldexp(X, 2), UnsupportedError, r"numpy\.ldexp"),
    (lambda: np.max(X, where=AT > 0), ArgumentError, r"max: .*initial="),
    (lambda: dk.mean(X, initial=1.0), UnsupportedError, r"mean: .*initial"),
    (lambda: np.max(X[:0]), ShapeError, r"max: .*no elements.*initial="),
    (lambda: X % "3", TypeError, r"unsupported operand"),
    (lambda: X.ravel("G"), UnsupportedError, r"ravel: .*'G'"),
    (lambda: dk.select([X > 0], [X, X]), ArgumentError, r"select: 1 conditions and 2 choices"),
    (lambda: dk.piecewise(X, [X > 0], []), ArgumentError, r"piecewise: 0 functions for 1 conditions"),
    (lambda: dk.choose(dk.symbol("i", 2, "int64"), [X, X]), ShapeError, r"choose: .*\(2,\).*\(3, 3\)"),
    (lambda: dk.choose(dk.symbol("i", dtype="int64"), [X], mode="no"), UnsupportedError, r"choose: .*'no'"),
    (lambda: dk.cov(X[None]), ShapeError, r"cov: .*\(1, 3, 3\)"),
    (lambda: dk.cov(X, aweights=[1.0]), ShapeError, r"cov: aweights.*\(1,\).*3 observations"),
    (lambda: dk.diff(X, n=-1), ArgumentError, r"diff: n is -1"),
    (lambda: dk.gradient(X, 1.0, 2.0, 3.0), ArgumentError, r"gradient: 3 distances for 2 axes"),
    (lambda: dk.gradient(X[:1], axis=0), ShapeError, r"gradient: .*1 samples.*2"),
    (lambda: dk.gradient(X, [1.0, 2.0], axis=0), ShapeError, r"gradient: coordinates.*\(2,\).*3 samples"),
    (lambda: dk.gradient(X, edge_order=3), ArgumentError, r"gradient: edge_order"),
    (lambda: dk.trapezoid(X, [1.0, 2.0]), ShapeError, r"trapezoid: .*\(2,\).*\(3, 3\)"),
    (lambda: dk.interp(X, [0.0, 1.0], [0.0]), ShapeError, r"interp: .*\(2,\) and \(1,\)"),
    (lambda: dk.interp(X, [0.0], [0.0], period=0), ArgumentError, r"interp: the period"),
    (lambda: dk.searchsorted(X, 1.0), ShapeError, r"searchsorted: .*\(3, 3\)"),
    (lambda: dk.searchsorted(X[0], 1.0, "middle"), ArgumentError, r"searchsorted: .*'middle'"),
    (lambda: dk.digitize(X, [0.0, 2.0, 1.0]), ArgumentError, r"digitize: .*ascending or descending"),
    (lambda: dk.convolve(X, X[0]), ShapeError, r"convolve: .*\(3, 3\) and \(3,\)"),
    (lambda: dk.convolve(X[0], X[0], "round"), UnsupportedError, r"convolve: .*'round'"),
    (lambda: dk.polyval(X, 1.0), ShapeError, r"polyval: .*\(3, 3\)"),
    (lambda: dk.vander(X), ShapeError, r"vander: .*\(3, 3\)"),
    (lambda: dk.meshgrid(X[0], indexing="no"), UnsupportedError, r"meshgrid: .*'no'"),
    (lambda: dk.broadcast_arrays(X, X[:2]), ShapeError, r"broadcast_arrays: .*\(3, 3\), \(2, 3\)"),
    (lambda: dk.matrix_transpose(X[0]), ShapeError, r"matrix_transpose: .*\(3,\)"),
    (lambda: dk.rollaxis(X, 0, 5), ShapeError, r"rollaxis: start 5"),
    (lambda: dk.rot90(X, 1, (0, 0)), ShapeError, r"rot90: .*twice"),
    (lambda: dk.delete(X, 7, 0), ShapeError, r"delete: .*\(3, 3\)"),
    (lambda: dk.pad(X[:0], 1, mode="edge"), ShapeError, r"pad: .*\(0, 3\)"),
    (lambda: dk.moveaxis(X, (0, 1), 0), ShapeError, r"moveaxis: 2 axes to 1 places"),
    (lambda: dk.symbol("i", 2, "int64") + 2**64, DtypeError, r"too large for int64"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "error", "message"), ERRORS)
def test_errors_say_what_to_write(act, error, message):
    with pytest.raises(error, match=message):
        act()


# ---- conventions --------------------------------------------------------------------------------------------------
def test_kinks_of_remainders():
    """At a jump the derivative is that of x − n·y with n fixed; the quotient's is 0."""
    x, y = dk.symbols("x y")
    for engine in ("forward", "reverse", "symbolic"):
        for f, by_y in ((x % y, -2.0), (dk.fmod(x, y), -2.0)):
            found = dk.grad(f, engine=engine)(x=1.0, y=0.5)
            assert (found["x"], found["y"]) == (1.0, by_y)
        found = dk.grad(x // y, engine=engine)(x=1.0, y=0.5)
        assert (found["x"], found["y"]) == (0.0, 0.0)
    assert dk.grad(dk.fmod(x, y), wrt="y")(x=1.0, y=0.1) == -9.0  # 0.1 is a little more than a tenth
    with dk.kinks("nan"):
        assert np.isnan(dk.grad(x % 0.5, wrt="x")(x=1.0))
    assert dk.grad(x % 0.5, wrt="x")(x=1.0) == 1.0


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
def test_remainders_of_special_numbers(machine):
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.5, 3.0, 1e300, 5e-324])
    a, b = (v.reshape(-1) for v in np.meshgrid(special, special))
    x, y = dk.symbols("x y")
    for name in ("fmod", "remainder", "floor_divide"):
        f = getattr(dk, name)(x, y)
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(a, b)
        np.testing.assert_array_equal(f(x=a, y=b, machine=machine), expected)


def test_slope_of_interp():
    """To the right of a point, but at the last one; outside 0; by the values the weights."""
    x, y = dk.symbol("x", 5), dk.symbol("y", 3)
    f = dk.sum(dk.interp(x, [0.0, 1.0, 3.0], y))
    for engine in ("forward", "reverse"):
        found = dk.grad(f, engine=engine)(x=[-1.0, 0.0, 1.0, 3.0, 4.0], y=[1.0, 2.0, 6.0])
        assert found["x"].tolist() == [0.0, 1.0, 2.0, 2.0, 0.0]
        assert found["y"].tolist() == [2.0, 1.0, 2.0]


def test_sinc_is_smooth():
    f = dk.sinc(dk.symbol("x"))
    assert f(x=0.0) == 1.0
    first = dk.derivative(f, "x")
    assert first(x=0.0) == 0.0
    np.testing.assert_allclose(dk.derivative(first, "x")(x=0.0), -(np.pi**2) / 3, rtol=1e-14)
    at = 0.159154  # near the end of the series
    np.testing.assert_allclose(first(x=at), (np.cos(np.pi * at) - np.sinc(at)) / at, rtol=1e-12)


def test_choices_shield_what_they_do_not_take():
    x = dk.symbol("x", 3)
    at = np.array([-1.0, 0.0, 4.0])
    for f in (
        dk.select([x > 0], [dk.sqrt(x)], 2 * x),
        dk.piecewise(x, [x > 0], [dk.sqrt, lambda v: 2 * v]),
        dk.where(dk.isfinite(dk.sqrt(x)) & (x > 0), dk.sqrt(x), 2 * x),
    ):
        assert dk.grad(dk.sum(f), wrt="x")(x=at).tolist() == [2.0, 2.0, 0.25]
    assert dk.grad(dk.nansum(dk.log(x)), wrt="x")(x=np.array([np.nan, 2.0, 4.0])).tolist() == [0.0, 0.5, 0.25]


def test_a_tie_of_nanmax_is_shared():
    x = dk.symbol("x", 4)
    assert dk.grad(dk.nanmax(x), wrt="x")(x=[1.0, np.nan, 1.0, 0.0]).tolist() == [0.5, 0.0, 0.5, 0.0]
    assert np.isnan(dk.nanmax(x)(x=np.full(4, np.nan)))


def test_every_numpy_ufunc_is_known_or_says_so():
    x = dk.symbol("x")
    for name in dir(np):
        ufunc = getattr(np, name)
        if isinstance(ufunc, np.ufunc) and ufunc.nin == 1 and ufunc.nout == 1 and name not in TABLE:
            try:
                made = ufunc(x)
            except UnsupportedError as problem:
                assert f"numpy.{ufunc.__name__}" in str(problem)
            else:
                assert isinstance(made, dk.Expr)
