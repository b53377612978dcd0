"""Functions under NumPy's names that need no operation of their own: compositions of those in the op table. Products, diagonals.

They take NumPy's arguments and give NumPy's results. Shapes are core shapes, loop dims ride along. Every argument may be
an expression, a number, an array, or nested sequences of these; where none holds an expression, NumPy itself answers.
Whatever says how elements are arranged (axes, indices, repeats, widths) is fixed when the expression is built. Shapes
that do not fit are a ShapeError that names the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ops import TABLE
from . import functions as dk
from .node import Expr, make
from .operands import array_index, as_expr, axes_of, refuse
from .publishing import composition


# ---- products -----------------------------------------------------------------------------------------------------
@composition
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Products of every element of `a` with every element of `b`: shape (a.size, b.size)."""
    refuse("outer", {"out": out})
    return dk.reshape(as_expr(a), (-1, 1)) * dk.reshape(as_expr(b), (1, -1))


@composition
def inner(a: Any, b: Any) -> Any:
    """Sum of products over the last axes: shape (*a.shape[:-1], *b.shape[:-1]); a scalar multiplies."""
    a, b = as_expr(a), as_expr(b)
    if not a.shape or not b.shape:
        return a * b
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"inner: the last axes of core shapes {a.shape} and {b.shape} differ")
    return tensordot(a, b, (-1, -1))


@composition
def vdot(a: Any, b: Any) -> Any:
    """Sum of products of all elements, in order: a scalar."""
    a, b = as_expr(a), as_expr(b)
    if a.size != b.size:
        raise ShapeError(f"vdot: core shapes {a.shape} and {b.shape} have different numbers of elements")
    return dk.matmul(dk.ravel(a), dk.ravel(b))


@composition
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over pairs of axes: an integer n (last n of `a`, first n of `b`) or a pair of axes or of lists."""
    a, b = as_expr(a), as_expr(b)
    if isinstance(axes, Iterable):
        pairs = [tuple(p) if isinstance(p, Iterable) else (p,) for p in axes]
    elif 0 <= axes <= min(a.ndim, b.ndim):
        pairs = [tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))]
    else:
        raise ShapeError(f"tensordot: core shapes {a.shape} and {b.shape} do not both have {axes} axes to sum over")
    if len(pairs) != 2 or len(pairs[0]) != len(pairs[1]):
        raise ShapeError(f"tensordot: axes={axes} are not as many of core shape {a.shape} as of {b.shape}")
    for x, named in zip((a, b), pairs, strict=True):
        axes_of(named, x.ndim, f"tensordot of core shapes {a.shape} and {b.shape}")  # in range, and none twice
    left, right = ([i % x.ndim for i in named] for x, named in zip((a, b), pairs, strict=True))
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(f"tensordot: core shapes {a.shape} and {b.shape} differ along the axes {left} and {right}")
    rows, columns = ([i for i in range(x.ndim) if i not in used] for x, used in ((a, left), (b, right)))
    n = math.prod(a.shape[i] for i in left)
    kept_rows, kept_columns = [a.shape[i] for i in rows], [b.shape[i] for i in columns]
    product = dk.matmul(
        dk.reshape(dk.transpose(a, rows + left), (math.prod(kept_rows), n)),
        dk.reshape(dk.transpose(b, right + columns), (n, math.prod(kept_columns))),
    )
    return dk.reshape(product, (*kept_rows, *kept_columns))


@composition
def kron(a: Any, b: Any) -> Any:
    """Kronecker product: `b` scaled by each element of `a`, in blocks; lengths multiply along every axis."""
    a, b = as_expr(a), as_expr(b)
    rank = max(a.ndim, b.ndim)
    blocks, inside = ((1,) * (rank - x.ndim) + x.shape for x in (a, b))
    scaled = dk.reshape(a, [n for m in blocks for n in (m, 1)]) * dk.reshape(b, [n for m in inside for n in (1, m)])
    return dk.reshape(scaled, tuple(m * n for m, n in zip(blocks, inside, strict=True)))


@composition
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Vector product of 3-vectors along an axis (`axis` sets all three); the other axes broadcast."""
    a, b = as_expr(a), as_expr(b)
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    x, y = dk.moveaxis(a, axisa, -1), dk.moveaxis(b, axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(f"cross: core shapes {a.shape} and {b.shape} are not of 3-vectors along the axis")
    next_, after = np.array([1, 2, 0]), np.array([2, 0, 1])
    return dk.moveaxis(x[..., next_] * y[..., after] - x[..., after] * y[..., next_], -1, axisc)


# ---- diagonals and triangles --------------------------------------------------------------------------------------
@composition
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, as the last axis of the result."""
    x = as_expr(a)
    if x.ndim < 2:
        raise ShapeError(f"diagonal: core shape {x.shape} has fewer than two axes")
    pair = [axes_of(axis, x.ndim, "diagonal")[0] for axis in (axis1, axis2)]
    if pair[0] == pair[1]:
        raise ShapeError(f"diagonal: axis1 and axis2 are the same axis of core shape {x.shape}")
    x = dk.transpose(x, [i for i in range(-x.ndim, 0) if i not in pair] + pair)
    rows = np.arange(max(-offset, 0), max(min(x.shape[-2], x.shape[-1] - offset), max(-offset, 0)))
    return x[..., rows, rows + offset]


@composition
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Sum of the diagonal of two axes."""
    refuse("trace", {"dtype": dtype, "out": out})
    return dk.sum(diagonal(as_expr(a), offset, axis1, axis2), axis=-1)


@composition
def diag(v: Any, k: int = 0) -> Any:
    """The k-th diagonal of a matrix; of a vector, the square matrix that has it there and zeros elsewhere."""
    x = as_expr(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: core shape {x.shape} is neither of a vector nor of a matrix")
    rows, n = np.arange(x.size) + max(-k, 0), x.size + abs(k)
    return make(TABLE["scatter"], (x,), {"index": (array_index(rows), array_index(rows + k)), "shape": (n, n)})


def _triangle(name: str, m: Any, mask: Callable[..., Any], k: int) -> Expr:
    x = as_expr(m)
    if not x.shape:
        raise ShapeError(f"{name}: core shape () has no triangle; at least one axis is needed")
    return dk.where(mask(np.ones(x.shape[-2:] if x.ndim > 1 else x.shape * 2, bool), k), x, 0)


@composition
def tril(m: Any, k: int = 0) -> Any:
    """The last two axes with zeros above the k-th diagonal."""
    return _triangle("tril", m, np.tril, k)


@composition
def triu(m: Any, k: int = 0) -> Any:
    """The last two axes with zeros below the k-th diagonal."""
    return _triangle("triu", m, np.triu, k)
