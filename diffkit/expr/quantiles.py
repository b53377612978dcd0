"""Quantiles, percentiles and medians under NumPy's names, of all elements or of those that are not NaN.

Compositions of `sort` and of what the language has; arguments as in compositions.py. The derivative goes to the elements between
which a quantile lies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from . import functions as dk
from .elementary import isnan
from .functions import RULES
from .indexing import sort, take_along_axis
from .node import Expr
from .operands import as_expr, axes_of, refuse, stays
from .publishing import composition

o = RULES


@composition
def quantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: Any = False,
) -> Any:  # fmt: skip
    """The value below which a share `q` of the elements along axes (all by default) lies, between two of them interpolated.

    q: known numbers in [0, 1]; the axes of `q` come first. NaN where an element is NaN.
    """
    _refuse_others("quantile", out, method)
    rows, shape = _rows("quantile", as_expr(a), axis, stays(keepdims))
    shares, last = _shares("quantile", q, 1), rows[..., -1]  # NaN comes last
    found = [o.where(o.equal(last, last), _between(rows, float(v) * (rows.shape[-1] - 1)), last) for v in shares.flat]
    return _arranged(found, shares.shape, shape)


def _between(rows: Expr, place: float) -> Expr:
    low = int(place)
    return rows[..., low] if place == low else rows[..., low] + (place - low) * (rows[..., low + 1] - rows[..., low])


@composition
def nanquantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: Any = False,
) -> Any:  # fmt: skip
    """As quantile, of the elements that are not NaN; NaN where all are."""
    _refuse_others("nanquantile", out, method)
    rows, shape = _rows("nanquantile", as_expr(a), axis, stays(keepdims))
    shares, there = _shares("nanquantile", q, 1), o.logical_not(isnan(rows))
    last = dk.count_nonzero(there, -1, keepdims=True) - 1  # -1: of none
    rows = o.where(there, rows, 0)
    found = [o.where(o.less(last, 0), math.nan, _among(rows, float(v) * last, last))[..., 0] for v in shares.flat]
    return _arranged(found, shares.shape, shape)


def _among(rows: Expr, place: Expr, last: Expr) -> Expr:
    """`_between` at a place that depends on values."""
    low = o.maximum(o.cast(o.floor(place), dtype="int64"), 0)
    first = take_along_axis(rows, low, -1)
    return first + o.cast(place - low, dtype=rows.dtype) * (
        take_along_axis(rows, o.maximum(o.minimum(low + 1, last), 0), -1) - first
    )


@composition
def percentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: Any = False,
) -> Any:  # fmt: skip
    """quantile with `q` in percent."""
    return quantile(as_expr(a), _shares("percentile", q, 100), axis, out, overwrite_input, method, keepdims)


@composition
def nanpercentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: Any = False,
) -> Any:  # fmt: skip
    """nanquantile with `q` in percent."""
    return nanquantile(as_expr(a), _shares("nanpercentile", q, 100), axis, out, overwrite_input, method, keepdims)


@composition
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """The middle element along axes (all by default), or the mean of the two. NaN where an element is NaN."""
    return quantile(as_expr(a), 0.5, axis, out, keepdims=keepdims)


@composition
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """As median, of the elements that are not NaN; NaN where all are."""
    return nanquantile(as_expr(a), 0.5, axis, out, keepdims=keepdims)


def _refuse_others(name: str, out: Any, method: str) -> None:
    refuse(name, {"out": out, "method": None if method == "linear" else method})


def _shares(name: str, q: Any, whole: int) -> np.ndarray:
    """What the quantiles are wanted of, from 0 to 1."""
    if isinstance(q, Expr) or not np.all((np.asarray(q) >= 0) & (np.asarray(q) <= whole)):
        raise ArgumentError(f"{name}: q is made of known numbers from 0 to {whole}, not {q}")
    return np.asarray(q, float) / whole


def _rows(name: str, x: Expr, axis: Any, kept: bool) -> tuple[Expr, tuple[int, ...]]:
    """The elements in ascending order along one axis, the last; and the core shape of what is left without it."""
    axes = axes_of(axis, x.ndim, name)
    count = math.prod(x.shape[i] for i in axes)
    if not count:
        raise ShapeError(f"{name}: core shape {x.shape} has no elements along axis {axis}")
    rest = [i for i in range(-x.ndim, 0) if i not in axes]
    rows = dk.reshape(dk.transpose(x, [*rest, *axes]), (*(x.shape[i] for i in rest), count))
    shape = tuple(1 if i in axes else x.shape[i] for i in range(-x.ndim, 0)) if kept else rows.shape[:-1]
    return sort(rows), shape


def _arranged(found: list[Expr], shares: tuple[int, ...], shape: tuple[int, ...]) -> Expr:
    return dk.reshape(dk.stack(found) if found else as_expr(np.zeros((0, *shape))), (*shares, *shape))
