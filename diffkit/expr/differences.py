"""Samples of functions, under NumPy's names: differences, slopes, integrals, interpolation, convolution, polynomials.

Compositions of operations; arguments as in compositions.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError, UnsupportedCallError
from ..ops import TABLE
from . import functions as dk
from .elementary import isnan, remainder
from .functions import RULES
from .node import Expr, make
from .operands import as_expr, at, axes_of, holds_expr
from .publishing import composition

o = RULES


# ---- differences --------------------------------------------------------------------------------------------------
@composition
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, n times over; `prepend`, `append`: elements put before and after first."""
    x = as_expr(a)
    if n < 0:
        raise ArgumentError(f"diff: n is {n}; it cannot be negative")
    (place,) = axes_of(axis, x.ndim, "diff")
    if not n:
        return x
    ends = [None if e is None or e is np._NoValue else as_expr(e) for e in (prepend, append)]
    shape = (*x.shape[:place], 1, *x.shape[place:][1:])
    before, after = (None if e is None else e if e.ndim else dk.broadcast_to(e, shape) for e in ends)
    parts = [p for p in (before, x, after) if p is not None]
    x = dk.concatenate(parts, place) if len(parts) > 1 else x
    for _ in range(n):
        later, earlier = at(x, place, slice(1, None)), at(x, place, slice(None, max(x.shape[place] - 1, 0)))
        x = o.not_equal(later, earlier) if x.dtype == "bool" else later - earlier
    return x


@composition
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours among all elements in a row, between `to_begin` and `to_end`, which take their dtype."""
    middle = diff(dk.ravel(as_expr(ary)))
    ends = [None if e is None else dk.astype(dk.ravel(as_expr(e)), middle.dtype) for e in (to_begin, to_end)]
    return dk.concatenate([p for p in (ends[0], middle, ends[1]) if p is not None])


@composition
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes of samples along axes (all by default; of several a tuple): central differences, one-sided at the ends.

    varargs: one distance for all axes, or for each axis its distance or its coordinates. edge_order: order at the ends, 1 or 2.
    """
    x = as_expr(f)
    named = range(x.ndim) if axis is None else axis if isinstance(axis, Iterable) else [axis]
    axes = [axes_of(i, x.ndim, "gradient")[0] for i in named]
    if len(varargs) not in (0, 1, len(axes)):
        raise ArgumentError(f"gradient: {len(varargs)} distances for {len(axes)} axes")
    spacings = varargs if len(varargs) == len(axes) else (varargs or (1.0,)) * len(axes)
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order is 1 or 2, not {edge_order}")
    found = tuple(_slopes(x, i, as_expr(h), edge_order) for i, h in zip(axes, spacings, strict=True))
    return found[0] if len(found) == 1 else found


def _slopes(x: Expr, axis: int, spacing: Expr, order: int) -> Expr:
    n = x.shape[axis]
    if n < order + 1:
        raise ShapeError(
            f"gradient: core shape {x.shape} has {n} samples along an axis; at least {order + 1} are needed"
        )
    if spacing.ndim and spacing.shape != (n,):
        raise ShapeError(f"gradient: coordinates of core shape {spacing.shape} for {n} samples along an axis")
    steps = dk.broadcast_to(diff(spacing) if spacing.ndim else spacing, (n - 1,))
    along = (-1, *(1,) * (-1 - axis))

    def sample(k: Any) -> Expr:
        return at(x, axis, k)

    def weight(w: Expr) -> Expr:
        return dk.reshape(w, along)

    a, b = steps[:-1], steps[1:]
    first, last = slice(0, 1), slice(-1, None)
    if order == 1:
        start = (sample(slice(1, 2)) - sample(first)) / weight(steps[first])
        end = (sample(last) - sample(slice(-2, -1))) / weight(steps[last])
    else:
        start, end = (
            weight(w1) * sample(slice(k1, k1 + 1 or None))
            + weight(w2) * sample(slice(k2, k2 + 1 or None))
            + weight(w3) * sample(slice(k3, k3 + 1 or None))
            for (w1, w2, w3), (k1, k2, k3) in (
                (_one_sided(a[first], b[first]), (0, 1, 2)),
                ([-w for w in _one_sided(b[last], a[last])], (-1, -2, -3)),
            )
        )
    if n < 3:
        return dk.concatenate([start, end], axis)
    rise, fall = sample(slice(2, None)) - sample(slice(1, -1)), sample(slice(1, -1)) - sample(slice(None, -2))
    if spacing.ndim:
        inner = (rise * weight(a / b) + fall * weight(b / a)) / weight(a + b)
    else:
        inner = (sample(slice(2, None)) - sample(slice(None, -2))) / (2 * spacing)
    return dk.concatenate([start, inner, end], axis)


def _one_sided(a: Expr, b: Expr) -> list[Expr]:
    """Weights, of order 2, of the samples at an end and at the distances a and a + b from it."""
    return [-(2 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b))]


@composition
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral of samples along an axis by the trapezoidal rule, at coordinates `x` (or at distances `dx`)."""
    values = as_expr(y)
    (place,) = axes_of(axis, values.ndim, "trapezoid")
    widths: Any = dx
    if x is not None:
        points = as_expr(x)
        if points.shape[-1 if points.ndim == 1 else place] != values.shape[place]:
            raise ShapeError(f"trapezoid: coordinates of core shape {points.shape} for samples of {values.shape}")
        widths = dk.reshape(diff(points), (-1, *(1,) * (-1 - place))) if points.ndim == 1 else diff(points, axis=place)
    both = at(values, place, slice(1, None)) + at(values, place, slice(None, max(values.shape[place] - 1, 0)))
    return dk.sum(widths * both / 2.0, place)


setattr(dk, "trapz", trapezoid)


# ---- places among sorted numbers ----------------------------------------------------------------------------------
@composition
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where, among the numbers `a` in ascending order, those of `v` would be put in: int64, without a derivative.

    side: "left" of equal ones or "right" of them; NaN comes last. sorter: the order of `a`, from argsort.
    """
    rows, x = as_expr(a), as_expr(v)
    if rows.ndim != 1:
        raise ShapeError(f"searchsorted: core shape {rows.shape} is not of numbers in a row")
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', not {side!r}")
    if sorter is not None:
        rows = dk.take(rows, sorter)
    found = make(TABLE["searchsorted"], (rows, dk.ravel(x)), {"right": side == "right"})
    return dk.reshape(found, x.shape)


@composition
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """In which bin elements lie, between ascending edges (or descending ones, if they are known): int64, no derivative."""
    if not holds_expr([bins]):
        edges = np.asarray(bins)
        if edges.ndim != 1 or not (np.all(np.diff(edges) >= 0) or np.all(np.diff(edges) <= 0)):
            raise ArgumentError("digitize: bins are numbers in a row, ascending or descending")
        if edges.size > 1 and edges[0] > edges[-1]:
            return edges.size - searchsorted(edges[::-1], as_expr(x), "right" if right else "left")
    return searchsorted(as_expr(bins), as_expr(x), "left" if right else "right")


@composition
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None) -> Any:
    """Values at `x` of the line through the points (xp, fp), xp ascending; outside them `left` (fp[0]) and `right` (fp[-1]).

    Derivatives by all of them. By `x` it is the slope of the piece; at a point of xp that of the piece to its right, at the
    last one of the piece to its left; outside 0. With `period` both repeat, and xp may be in any order.
    """
    x, xs, ys = as_expr(x), as_expr(xp), as_expr(fp)
    if xs.ndim != 1 or xs.shape != ys.shape or not xs.size:
        raise ShapeError(
            f"interp: core shapes {xs.shape} and {ys.shape} are not of points: as many numbers in a row, at least one"
        )
    if period is not None:
        if not period:
            raise ArgumentError("interp: the period is 0")
        length = abs(period)
        x, xs, left, right = remainder(x, length), remainder(xs, length), None, None
        order = dk.argsort(xs)
        xs, ys = xs[order], ys[order]
        xs = dk.concatenate([xs[-1:] - length, xs, xs[:1] + length])
        ys = dk.concatenate([ys[-1:], ys, ys[:1]])
    below, above = (ys[k] if end is None else as_expr(end) for k, end in ((0, left), (-1, right)))
    if xs.size == 1:
        inside = dk.broadcast_to(ys[0], x.shape)
    else:
        piece = o.minimum(o.maximum(searchsorted(xs, x, "right") - 1, 0), xs.size - 2)
        # slopes of the pieces that are met alone: another one may be infinite
        start, value = xs[piece], ys[piece]
        inside = (ys[piece + 1] - value) / (xs[piece + 1] - start) * (x - start) + value
    inside = o.where(isnan(x), x, inside)
    return o.where(o.less(x, xs[0]), below, o.where(o.greater(x, xs[-1]), above, inside))


# ---- convolution --------------------------------------------------------------------------------------------------
@composition
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Discrete convolution of two vectors. mode: "full" (n + m - 1 values), "same" (as many as the longer) or "valid"."""
    x, y = _vectors("convolve", a, v)
    if y.size > x.size:
        x, y = y, x
    return _slid(x, y[::-1], mode, "convolve")


@composition
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Cross-correlation of two vectors: sums of a[n + k]·v[n]. mode as in convolve."""
    x, y = _vectors("correlate", a, v)
    return _slid(x, y, mode, "correlate") if y.size <= x.size else _slid(y, x, mode, "correlate")[::-1]


def _vectors(name: str, a: Any, v: Any) -> tuple[Expr, Expr]:
    x, y = (dk.reshape(p, (1,)) if not p.shape else p for p in map(as_expr, (a, v)))
    if x.ndim != 1 or y.ndim != 1 or not x.size or not y.size:
        raise ShapeError(f"{name}: core shapes {x.shape} and {y.shape} are not of two vectors with elements")
    return x, y


def _slid(x: Expr, y: Expr, mode: str, name: str) -> Expr:
    """Sums of products of the shorter `y` with every window of `x`, and zeros around it."""
    m = y.size
    if mode not in ("full", "same", "valid"):
        raise UnsupportedCallError(f"{name}: mode={mode!r} is none of 'full', 'same', 'valid'")
    before = {"full": m - 1, "same": m // 2 if name == "convolve" else m - 1 - (m - 1) // 2, "valid": 0}[mode]
    after = {"full": m - 1, "same": m - 1 - before, "valid": 0}[mode]
    zeros = [dk.zeros_like(y[:n]) for n in (before, after)]
    padded = dk.concatenate([p for p in (zeros[0], x, zeros[1]) if p.size])
    windows = make(TABLE["windows"], (padded,), {"size": (m,), "stride": (1,), "dilation": (1,)})
    return dk.matmul(windows, y)


# ---- polynomials --------------------------------------------------------------------------------------------------
@composition
def polyval(p: Any, x: Any) -> Any:
    """The polynomial with coefficients `p`, that of the highest power first, at `x`: Horner's rule."""
    coefficients, x = as_expr(p), as_expr(x)
    if coefficients.ndim != 1:
        raise ShapeError(f"polyval: coefficients of core shape {coefficients.shape} are not in a row")
    total = dk.full_like(x, 0)
    for k in range(coefficients.size):
        total = dk.broadcast_to(coefficients[k], x.shape) if not k else total * x + coefficients[k]
    return total


@composition
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of the elements of a vector in columns, N of them, falling unless `increasing`."""
    x = as_expr(x)
    if x.ndim != 1:
        raise ShapeError(f"vander: core shape {x.shape} is not of a vector")
    count = x.size if N is None else int(N)
    ones = dk.full_like(x, 1.0)[:, None]
    repeated = dk.broadcast_to(x[:, None], (x.size, max(count - 1, 0)))
    powers = dk.cumprod(dk.concatenate([ones, repeated], 1), 1)[:, :count]
    return powers if increasing else powers[:, ::-1]
