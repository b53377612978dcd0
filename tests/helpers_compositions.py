"""Cases of the functions that are composed of others: a call over a namespace, diffkit's or NumPy's (see test_compositions)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

import diffkit as dk
from diffkit.expr.node import variable
from diffkit.expr.publishing import COMPOSITIONS as PUBLISHED

_MODULES = ("compositions", "arranging", "statistics", "elementary", "differences")

#: other modules publish functions of theirs in the same way
COMPOSITIONS = {n: f for n, f in PUBLISHED.items() if f.__module__.rpartition(".")[2] in _MODULES}

OURS = SimpleNamespace(**COMPOSITIONS, where=dk.where, argsort=dk.argsort, cumsum=dk.cumsum, moveaxis=dk.moveaxis)
#: the same functions on plain arrays, by others
TRUTH = SimpleNamespace(
    **{name: getattr(np, name) for name in vars(OURS) if hasattr(np, name)},
    softmax=lambda x, axis=-1: scipy.special.softmax(x, axis),
    log_softmax=lambda x, axis=-1: scipy.special.log_softmax(x, axis),
)


#: functions that take one list of arrays
STACKING = ("hstack", "vstack", "dstack", "column_stack")


@dataclass(frozen=True)
class Case:
    """A call of one function, of a namespace `m`, with arrays of these shapes."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    call: Callable[..., Any]
    detail: str

    def __str__(self) -> str:
        return f"{self.name}{'x'.join(str(list(s)).replace(' ', '') for s in self.shapes)}{self.detail}"

    def results(self, m: Any, *xs: Any) -> list[Any]:
        found = self.call(m, *xs)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def variables(self, dtype: str) -> list[Any]:
        return [variable(f"x{k}", s, dtype) for k, s in enumerate(self.shapes)]

    def values(self, dtype: str = "float64", loop: tuple[int, ...] = ()) -> list[np.ndarray]:
        rng = np.random.default_rng(len(str(self)))
        return [rng.uniform(-1.5, 1.5, (*loop, *s)).astype(dtype) for s in self.shapes]


def cases(name: str, *shapes: Any, **kwargs: Any) -> list[Case]:
    """One case for each shape (or list of shapes, for several arguments)."""

    def call(m: Any, *xs: Any) -> Any:
        return getattr(m, name)(*([xs] if name in STACKING else xs), **kwargs)

    detail = "".join(f"-{k}={v}" for k, v in kwargs.items())
    return [Case(name, tuple(s) if isinstance(s, list) else (s,), call, detail) for s in shapes]


def case(name: str, shapes: list, call: Callable[..., Any], detail: str = "") -> list[Case]:
    return [Case(name, tuple(shapes), call, detail)]


CASES = [
    *cases("outer", [(3,), (2,)], [(2, 2), (3,)], [(), (3,)], [(1,), (0,)]),
    *cases("inner", [(3,), (3,)], [(2, 3), (3,)], [(2, 3), (4, 3)], [(2, 1, 3), (2, 3)], [(), (2, 3)], [(2, 0), (3, 0)]),
    *cases("vdot", [(3,), (3,)], [(2, 3), (3, 2)], [(2, 3), (6,)], [(), (1,)], [(0,), (0, 2)]),
    *cases("tensordot", [(2, 3, 4), (3, 4, 2)], [(1, 2), (1, 2)]),
    *cases("tensordot", [(2,), (3, 1)], axes=0),
    *cases("tensordot", [(2, 3), (3, 0)], axes=1),
    *cases("tensordot", [(2, 3, 4), (4, 2)], axes=([0, -1], [1, 0])),
    *cases("tensordot", [(2, 3), (4, 3)], axes=(1, -1)),
    *cases("kron", [(2, 3), (3, 2)], [(2,), (3,)], [(2, 1), (3,)], [(), (2, 2)], [(3,), (2, 1, 2)], [(2,), (0,)]),
    *cases("cross", [(3,), (3,)], [(2, 3), (3,)], [(2, 1, 3), (4, 3)], [(0, 3), (3,)]),
    *cases("cross", [(3, 2), (3, 2)], axis=0),
    *cases("cross", [(3, 2), (2, 3)], axisa=0, axisb=-1, axisc=0),
    *cases("diagonal", (3, 3), (2, 4), (2, 3, 4), (0, 2)),
    *cases("diagonal", (3, 4), offset=2),
    *cases("diagonal", (2, 3), offset=-5),
    *cases("diagonal", (2, 3, 4), offset=-1, axis1=-1, axis2=0),
    *cases("trace", (3, 3), (2, 4), (1, 1), (2, 3, 2), (0, 3)),
    *cases("trace", (3, 3), offset=1),
    *cases("trace", (2, 3, 4), offset=-1, axis1=-1, axis2=1),
    *cases("diag", (3,), (1,), (0,), (3, 3), (2, 4)),
    *cases("diag", (2,), (3, 4), k=2),
    *cases("diag", (2,), (3, 4), k=-1),
    *(c for name in ("tril", "triu") for c in cases(name, (3, 3), (2, 4), (2, 3, 2), (3,), (1, 1), (0, 2))),
    *(c for name in ("tril", "triu") for k in (1, -1) for c in cases(name, (3, 4), k=k)),
    *(c for name in ("var", "std") for c in cases(name, (4,), (2, 3))),
    *cases("var", ()),
    *(c for name in ("var", "std") for c in cases(name, (2, 3, 2), axis=(0, -1), ddof=1, keepdims=True)),
    *(c for name in ("var", "std") for c in cases(name, (2, 3), (1, 3), (0, 3), axis=-1, ddof=0.5)),
    *cases("average", (3,), (2, 3)),
    *cases("average", (2, 3), axis=-1, weights=[1.0, 2.0, 0.5], keepdims=True),
    *case("average", [(2, 3), (2, 3)], lambda m, x, y: m.average(x, weights=y * y + 1), "-all"),
    *case("average", [(2, 3), (2,)], lambda m, x, y: m.average(x, 0, y * y + 1, returned=True), "-returned"),
    *case("average", [(4, 2, 3), (3, 4)], lambda m, x, y: m.average(x, (2, 0), y * y + 1), "-axes"),
    *case("average", [(2, 3), (3,)], lambda m, x, y: m.average(x.T, 0, y * y + 1), "-transposed"),
    *(c for name in ("softmax", "log_softmax") for c in cases(name, (3,), (2, 3), (2, 1), (0, 3))),
    *(c for name in ("softmax", "log_softmax") for axis in (0, (0, -1)) for c in cases(name, (2, 3, 2), axis=axis)),
    *(c for name in ("softmax", "log_softmax") for c in cases(name, (2, 3), axis=None)),
    *cases("tile", (3,), (2, 3), (), (0,), reps=2),
    *cases("tile", (3,), (2, 1), (2, 1, 3), reps=(2, 3)),
    *cases("tile", (2,), reps=(2, 0)),
    *cases("repeat", (3,), (2, 3), (), repeats=2),
    *cases("repeat", (2, 3), (0, 3), repeats=2, axis=0),
    *cases("repeat", (2, 3), (2, 1), repeats=3, axis=-1),
    *cases("repeat", (2, 3), repeats=[2, 0, 1], axis=-1),
    *cases("flip", (3,), (2, 3), (0, 2)),
    *cases("flip", (2, 3, 2), axis=(0, -1)),
    *cases("flip", (2, 3), axis=-1),
    *(c for name in ("fliplr", "flipud") for c in cases(name, (2, 3), (1, 3), (2, 0), (2, 3, 2))),
    *cases("flipud", (3,)),
    *cases("roll", (3,), (2, 3), (0, 2), (1,), shift=2),
    *cases("roll", (2, 3), shift=-1, axis=-1),
    *cases("roll", (2, 3), shift=(1, 5), axis=(0, 1)),
    *cases("roll", (2, 3), shift=(1, 1), axis=1),
    *cases("pad", (3,), (2, 3), (0, 1), pad_width=1),
    *cases("pad", (2, 3), pad_width=((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))),
    *cases("pad", (2, 3), pad_width=(0, 1), constant_values=-0.5),
    *cases("split", (4,), (4, 3), (4, 0), indices_or_sections=2),
    *cases("split", (2, 4), indices_or_sections=[1, 3], axis=-1),
    *cases("split", (3,), indices_or_sections=[2, 1, 5]),
    *cases("array_split", (5,), (4, 2), (1, 2), (0,), indices_or_sections=3),
    *cases("array_split", (2, 5), indices_or_sections=2, axis=-1),
    *cases("hstack", [(2, 3), (2, 1)], [(3,), (2,), ()], [(2,), (0,)], [(2, 1, 2), (2, 3, 2)]),
    *cases("vstack", [(2, 3), (1, 3)], [(3,), (2, 3)], [(), (1,)], [(0, 2), (2,)], [(3,)]),
    *cases("take", (3,), (2, 3), indices=[2, 0, 0]),
    *cases("take", (2, 3), indices=[[0, -1], [1, 1]], axis=1),
    *cases("take", (2, 3, 2), indices=1, axis=-2),
    *cases("take", (2, 1), indices=np.zeros(0, int), axis=0),
    *cases("take", (2, 3), indices=[True, False, True], axis=0),
]  # fmt: skip

NAN = np.nan


def _holes(m: Any, x: Any) -> Any:
    """NaN in the place of the larger elements."""
    return m.where(x > 0.5, NAN, x)


def _called(name: str, *shapes: Any, **how: Any) -> list[Case]:
    """One case for each shape, of an array with NaN in it."""
    detail = "".join(f"-{k}={v}" for k, v in how.items())
    return [Case(name, (s,), lambda m, x: getattr(m, name)(_holes(m, x), **how), detail) for s in shapes]


_MASK = np.array([[True, False, True], [False, False, True]])
_STEPS = np.array([0.0, 0.5, 0.7, 1.5, 2.0])

CASES += [
    # remainders
    *(c for name in ("remainder", "fmod", "floor_divide", "divmod") for c in [
        *case(name, [(2, 3), (3,)], lambda m, x, y, n=name: getattr(m, n)(10 * x, y)),
        *(d for by in (3, -0.7) for d in case(name, [(4,)], lambda m, x, n=name, by=by: getattr(m, n)(5 * x, by), f"-by={by}")),
        *case(name, [(3,)], lambda m, y, n=name: getattr(m, n)(7.3, y), "-of-number"),
    ]),
    # tests and special values
    *(c for name in ("isnan", "isfinite", "isinf", "signbit") for c in _called(name, (2, 3), ())),
    *case("isinf", [(4,)], lambda m, x: m.isinf(m.where(x > 0, np.inf, m.where(x > -1, -np.inf, x))), "-inf"),
    *case("isclose", [(3,), (3,)], lambda m, x, y: m.isclose(x, m.where(y > 0, x + 1e-9, y))),
    *case("isclose", [(3,)], lambda m, x: m.isclose(_holes(m, x), _holes(m, x), equal_nan=True), "-nan"),
    *case("logical_xor", [(3,), (2, 3)], lambda m, x, y: m.logical_xor(x > 0, y > 0)),
    *(c for name in ("positive", "conjugate", "real", "imag") for c in cases(name, (2, 3), ())),
    *cases("copysign", [(3,), (2, 3)], [(), (2,)]),
    *(c for name in ("fmax", "fmin") for c in case(name, [(4,), (4,)], lambda m, x, y, n=name: getattr(m, n)(_holes(m, x), y))),
    *case("nan_to_num", [(5,)], lambda m, x: m.nan_to_num(_holes(m, x))),
    *case("nan_to_num", [(5,)], lambda m, x: m.nan_to_num(m.where(x < 0, -np.inf, _holes(m, x)), nan=2.0, neginf=-3.0), "-numbers"),
    *cases("heaviside", [(3,), (2, 3)]),
    *case("heaviside", [(3,), ()], lambda m, x, y: m.heaviside(x * 0, y), "-at-jump"),
    *case("around", [(4,)], lambda m, x: m.around(10 * x)),
    *case("around", [(4,)], lambda m, x: m.around(x, 2), "-2"),
    *case("around", [(4,)], lambda m, x: m.around(1000 * x, -1), "--1"),
    *cases("sinc", (2, 3), ()),
    *case("sinc", [(3,)], lambda m, x: m.sinc(x * 1e-3), "-small"),
    *cases("logaddexp2", [(3,), (2, 3)]),
    # choices
    *case("select", [(4,), (4,)], lambda m, x, y: m.select([x > 0.5, y > 0], [x * y, x + y], 3.0)),
    *case("select", [(2, 3)], lambda m, x: m.select([_MASK, x > 0], [x, 2 * x]), "-known"),
    *case("piecewise", [(5,)], lambda m, x: m.piecewise(x, [x < -0.5, x > 0.5], [lambda v: v * v, lambda v: 3 * v, 7.0])),
    *case("piecewise", [(5,)], lambda m, x: m.piecewise(x, [x < 0], [lambda v, a: a * v], 2.0), "-arguments"),
    *case("choose", [(3,), (3,)], lambda m, x, y: m.choose(np.array([1, 0, 1]), [x, y])),
    *case("choose", [(3,), ()], lambda m, x, y: m.choose(np.array([[-1, 0, 5]]), [x, y], mode="wrap"), "-wrap"),
    *case("choose", [(3,), ()], lambda m, x, y: m.choose(np.array([[-1, 0, 5]]), [x, y], mode="clip"), "-clip"),
    # statistics
    *(c for name in ("var", "std") for c in cases(name, (2, 3), where=_MASK, axis=1)),
    *(c for name in ("var", "std") for c in cases(name, (2, 3), where=_MASK, ddof=1, keepdims=True)),
    *cases("ptp", (4,), (2, 3)),
    *cases("ptp", (2, 3), axis=-1, keepdims=True),
    *cases("cov", (3, 5), (4,), [(2, 4), (4,)]),
    *cases("cov", (5, 3), rowvar=False, bias=True),
    *cases("cov", (2, 4), ddof=2, fweights=[1, 2, 0, 3]),
    *case("cov", [(2, 4), (4,)], lambda m, x, w: m.cov(x, aweights=w * w + 1), "-weights"),
    *cases("corrcoef", (3, 5), [(2, 4), (2, 4)]),
    *(c for name in ("nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd") for c in [
        *_called(name, (5,), (2, 4)), *_called(name, (3, 4), axis=0, keepdims=True), *cases(name, (2, 3), axis=1),
    ]),
    *(c for name in ("nanvar", "nanstd") for c in _called(name, (2, 5), axis=1, ddof=1)),
    *(c for name in ("nancumsum", "nancumprod") for c in [*_called(name, (5,), (2, 3)), *_called(name, (2, 3), axis=0)]),
    *(c for name in ("any", "all") for how in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"where": _MASK}) for c in
      case(name, [(2, 3)], lambda m, x, n=name, how=how: getattr(m, n)(x > 0, **how), f"-{how}")),
    *(c for name in ("any", "all") for c in cases(name, (2, 3), (0,), ())),
    *case("count_nonzero", [(2, 4)], lambda m, x: m.count_nonzero(m.where(x > 0, x, 0))),
    *case("count_nonzero", [(2, 4)], lambda m, x: m.count_nonzero(x > 0, axis=1, keepdims=True), "-axis"),
    *case("allclose", [(3,)], lambda m, x: m.allclose(x, x + 1e-9)),
    *case("array_equal", [(3,), (3,)], lambda m, x, y: m.array_equal(x, m.where(x > 9, y, x))),
    # arrangements
    *(c for mode in ("edge", "reflect", "symmetric", "wrap") for c in [
        *cases("pad", (4,), (2, 3), pad_width=1, mode=mode), *cases("pad", (2, 3), pad_width=((3, 0), (0, 4)), mode=mode),
    ]),
    *cases("pad", (2, 3), pad_width={1: (1, 2)}),
    *cases("dstack", [(3,), (3,)], [(2, 3), (2, 3, 2)], [(), ()]),
    *cases("column_stack", [(3,), (3, 2)], [(2, 3), (2, 1)]),
    *cases("append", [(3,), (2, 2)]),
    *cases("append", [(2, 3), (1, 3)], axis=0),
    *cases("delete", (4,), obj=1),
    *cases("delete", (3, 4), obj=[0, -1], axis=1),
    *cases("delete", (4,), obj=np.s_[::2]),
    *cases("hsplit", (4,), (2, 4), indices_or_sections=2),
    *cases("vsplit", (4, 2), indices_or_sections=[1, 3]),
    *cases("dsplit", (2, 1, 4), indices_or_sections=2),
    *cases("unstack", (3,), (2, 3)),
    *cases("unstack", (2, 3), axis=-1),
    *(c for name in ("atleast_1d", "atleast_2d", "atleast_3d") for c in cases(name, (), (2,), (2, 3), (1, 2, 3))),
    *case("atleast_2d", [(), (2,)], lambda m, x, y: m.atleast_2d(x, y), "-two"),
    *cases("rollaxis", (2, 3, 4), axis=2),
    *cases("rollaxis", (2, 3, 4), axis=0, start=2),
    *cases("rollaxis", (2, 3, 4), axis=-2, start=3),
    *(c for k in (0, 1, 2, 3, -1) for c in cases("rot90", (2, 3), k=k)),
    *cases("rot90", (2, 3, 2), k=1, axes=(-1, 1)),
    *cases("matrix_transpose", (2, 3), (2, 3, 4)),
    *cases("broadcast_arrays", [(3,), (2, 1)], [(), (2,)]),
    *cases("meshgrid", [(3,), (2,)], [(2,)], [(2,), (3,), (1,)], [(), (2,)]),
    *cases("meshgrid", [(3,), (2,), (2,)], indexing="ij"),
    *cases("meshgrid", [(3,), (2,)], sparse=True),
    *case("full_like", [(2, 3), ()], lambda m, x, y: m.full_like(x, y)),
    *cases("full_like", (2, 3), fill_value=2),
    *cases("linspace", [(), ()], [(2,), ()], num=5),
    *cases("linspace", [(2,), (2,)], num=3, endpoint=False, axis=-1),
    *case("linspace", [(), ()], lambda m, x, y: m.linspace(x, y, 4, retstep=True), "-step"),
    *cases("linspace", [(), ()], num=1),
    # samples
    *cases("diff", (4,), (2, 3), (1,), (2, 1)),
    *cases("diff", (4, 3), n=2, axis=0),
    *cases("diff", (3,), n=0),
    *case("diff", [(2, 3), (2, 1)], lambda m, x, y: m.diff(x, prepend=0.0, append=y), "-ends"),
    *case("diff", [(4,)], lambda m, x: m.diff(x > 0), "-bool"),
    *cases("ediff1d", (4,), (2, 3)),
    *case("ediff1d", [(4,), (2,)], lambda m, x, y: m.ediff1d(x, to_begin=y, to_end=np.array([1.0])), "-ends"),
    *cases("gradient", (5,), (3, 4), (2,)),
    *case("gradient", [(5,)], lambda m, x: m.gradient(x, 0.3), "-distance"),
    *case("gradient", [(3, 5)], lambda m, x: m.gradient(x, 2.0, _STEPS), "-coordinates"),
    *case("gradient", [(3, 5)], lambda m, x: m.gradient(x, _STEPS, axis=1, edge_order=2), "-order"),
    *case("gradient", [(4, 3)], lambda m, x: m.gradient(x, axis=(1, 0), edge_order=2), "-axes"),
    *cases("trapezoid", (4,), (2, 3), (1,)),
    *case("trapezoid", [(2, 5)], lambda m, x: m.trapezoid(x, _STEPS), "-coordinates"),
    *case("trapezoid", [(3, 2), (3, 2)], lambda m, x, y: m.trapezoid(x, y, axis=0), "-same-shape"),
    *case("trapezoid", [(3, 2)], lambda m, x: m.trapezoid(x, dx=0.5, axis=0), "-distance"),
    *case("interp", [(6,)], lambda m, x: m.interp(x + 0.8, _STEPS, _STEPS**2)),
    *case("interp", [(2, 3), (5,)], lambda m, x, y: m.interp(x + 0.8, _STEPS, y, left=7.0, right=-1.0), "-values"),
    *case("interp", [(5,), (5,)], lambda m, x, y: m.interp([0.1, 0.6, 1.0, 9.0], m.cumsum(x * x + 0.1), y), "-points"),
    *case("interp", [(4,), (5,)], lambda m, x, y: m.interp(5 * x, _STEPS[::-1], y, period=2.5), "-period"),
    *case("interp", [(3,), (1,)], lambda m, x, y: m.interp(x, [0.0], y), "-one"),
    *(c for side in ("left", "right") for c in
      case("searchsorted", [(2, 3)], lambda m, x, side=side: m.searchsorted(_STEPS, x, side), f"-{side}")),
    *case("searchsorted", [(4,), ()], lambda m, x, y: m.searchsorted(m.cumsum(x * x), y), "-both"),
    *case("searchsorted", [(4,), (3,)], lambda m, x, y: m.searchsorted(x, y, sorter=m.argsort(x)), "-sorter"),
    *case("digitize", [(4,)], lambda m, x: m.digitize(x, _STEPS)),
    *case("digitize", [(4,)], lambda m, x: m.digitize(x, _STEPS[::-1], right=True), "-falling"),
    *(c for name in ("convolve", "correlate") for mode in ("full", "same", "valid") for c in
      cases(name, [(5,), (3,)], [(3,), (4,)], [(4,), (4,)], [(2,), (1,)], mode=mode)),
    *cases("polyval", [(3,), (2, 2)], [(1,), (3,)], [(0,), (2,)]),
    *cases("polyval", [(4,), ()]),
    *cases("vander", (3,), (1,)),
    *cases("vander", (3,), N=4, increasing=True),
    *cases("vander", (3,), N=1),
]  # fmt: skip

#: what NumPy computes in double precision at all events, where diffkit keeps float32 (or has the dtype of all arguments)
WIDER = {"cov", "corrcoef", "vander", "diff", "interp", "gradient"}
#: whose results depend on an order: there is no formula, and the symbolic engine says so
DISCRETE = {"searchsorted", "digitize", "interp", "choose"}
