"""Indexing by integers that are values themselves, sorting, and cumulative sums and products, under NumPy's names.

Arguments may be expressions, numbers, arrays, or nested sequences of these; where none holds an expression, NumPy itself answers.
Shapes are core shapes. An index that is an expression has dtype int64, may have loop dims, counts from the end where negative, and
has no derivative. One out of range is a ShapeError: when the expression is built if it is known then, else when it is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError, UnsupportedCallError
from ..ops import CAST, TABLE
from ..ops.indexing import grid
from . import functions as dk
from .kind import constant_value
from .node import DTYPES, Expr, make
from .operands import array_index, as_expr, axes_of, holds_expr, refuse
from .publishing import composition


# ---- x[i] ---------------------------------------------------------------------------------------------------------
def integer_index(name: str, index: Any) -> Expr | np.ndarray:
    """An index that holds expressions, ready to gather with; an array where its content is known after all."""
    i = as_expr(index)
    if i.dtype == "bool":
        raise UnsupportedCallError(
            f"{name}: a mask whose content is not known yet would make an array of unknown length. dk.where(mask, x, other) keeps "
            "the shape"
        )
    if i.dtype != "int64":
        raise UnsupportedCallError(
            f"{name}: an expression of dtype {i.dtype}, where it has to be of dtype int64. Integers stay integers under + - * // % "
            "and the like; / and all else makes float64 of them, and .astype('int64') integers again"
        )
    return constant_value(i.kind) if i.kind.op.name == "constant" else i


def getitem(x: Expr, parts: tuple) -> Expr:
    """`x[parts]` where a part holds an expression. NumPy's rules, for any number of index arrays, mixed with all else."""
    parts = _expanded(x, [integer_index("indexing", p) if holds_expr([p]) else p for p in parts])
    if not any(isinstance(p, Expr) for p in parts):
        return dk.getitem(x, parts)
    fancy = [isinstance(p, (Expr, np.ndarray)) for p in parts]
    chosen = [k for k, p in enumerate(parts) if fancy[k] or isinstance(p, int)]
    base = dk.getitem(x, tuple(slice(None) if f else p for p, f in zip(parts, fancy, strict=True)))
    # what is left of the base: an axis for every index array, slice and None
    left = [k for k, p in enumerate(parts) if fancy[k] or not isinstance(p, int)]
    indexed = [place for place, k in enumerate(left) if fancy[k]]
    kept = [place for place, k in enumerate(left) if not fancy[k]]
    apart = chosen[-1] - chosen[0] + 1 != len(chosen)  # then NumPy puts the axes of the result first
    ahead = 0 if apart else sum(left[place] < chosen[0] for place in kept)
    base = dk.transpose(base, [*kept[:ahead], *indexed, *kept[ahead:]])
    return gather(base, [parts[left[place]] for place in indexed], ahead - base.ndim)


def _expanded(x: Expr, parts: list[Any]) -> tuple[Any, ...]:
    """Masks as the index arrays they stand for, `...` as slices, whole numbers and lists as int and arrays of int64."""
    found: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis or isinstance(part, (slice, Expr)):
            found.append(part)
        elif isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_)):
            found.append(int(part))
        else:
            array = np.asarray(part, dtype=np.int64 if isinstance(part, list) and not part else None)
            if array.dtype.kind not in "iub":
                raise DtypeError(f"an index is made of integers, slices or booleans, not {array.dtype}")
            taken = dk.sum_of_axes(found)
            if array.dtype == bool and Ellipsis not in found and array.shape != x.shape[taken : taken + array.ndim]:
                raise ShapeError(f"indexing core shape {x.shape}: a boolean mask of shape {array.shape} does not fit")
            found.extend(array.nonzero() if array.dtype == bool else [array.astype(np.int64)])
    missing = x.ndim - dk.sum_of_axes(found)
    place = next((k for k, p in enumerate(found) if p is Ellipsis), None)
    if missing < 0 or sum(p is Ellipsis for p in found) > 1:
        raise ShapeError(f"indexing core shape {x.shape}: {dk.sum_of_axes(found)} indices for {x.ndim} axes")
    return tuple(found[:place] + [slice(None)] * missing + (found[place + 1 :] if place is not None else []))


def gather(x: Expr, indices: list[Any], axis: int) -> Expr:
    """Elements of consecutive axes from the (negative) `axis` on, one index each; those that are known are checked now."""
    for k, index in enumerate(indices):
        n = x.shape[axis + k]
        if isinstance(index, np.ndarray) and index.size and not -n <= index.min() <= index.max() < n:
            wrong = index[(index < -n) | (index >= n)].flat[0]
            raise ShapeError(f"indexing core shape {x.shape}: index {wrong} is out of range along a length of {n}")
    return make(TABLE["gather"], (x, *map(as_expr, indices)), {"axis": axis})


@composition
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Of every row along an axis the elements that the same row of `indices` names; other axes broadcast.

    axis None: of all elements in a row, at indices of one axis. Raises ShapeError where shapes do not fit.
    """
    x = as_expr(arr)
    x, axis = (dk.ravel(x), -1) if axis is None else (x, axis)
    index: Any = integer_index("take_along_axis", indices) if holds_expr([indices]) else np.asarray(indices)
    (axis,) = axes_of(axis, x.ndim, "take_along_axis")
    if index.ndim != x.ndim:
        raise ShapeError(f"core shape {x.shape} and indices of {index.shape} need the same number of axes")
    try:
        shape = np.broadcast_shapes(*((*s[:axis], 1, *(s[axis:][1:])) for s in (x.shape, index.shape)))
    except ValueError:
        raise ShapeError(f"core shapes {x.shape} and {index.shape} do not fit beside axis {axis}") from None
    after = shape[axis:][1:]
    x = dk.broadcast_to(x, (*shape[:axis], x.shape[axis], *after))
    index = dk.broadcast_to(index, (*shape[:axis], index.shape[axis], *after))
    places = grid(index.shape, axis, index)
    return gather(x, places, -x.ndim) if isinstance(index, Expr) else dk.getitem(x, tuple(places))


@composition
def scatter_add(x: Any, index: Any, updates: Any, axis: int = 0) -> Any:
    """`x` with `updates` added to the elements at `index` along an axis; at an index named twice, both are added.

    x: any core shape. index: integers of any core shape. updates: broadcast to the shape of `take(x, index, axis)`.
    A new array: `x` stays as it is. Raises ShapeError where shapes or indices do not fit.
    """
    places: Any = integer_index("scatter_add", index) if holds_expr([index]) else np.asarray(index)
    if not isinstance(places, Expr) and places.dtype.kind not in "iu":
        raise DtypeError(f"scatter_add: an index is made of integers, not {places.dtype}")
    (axis,) = axes_of(axis, dk.ndim(x), "scatter_add")
    if not (holds_expr([x, updates]) or isinstance(places, Expr)):
        out = np.array(x, np.result_type(x, updates))
        np.add.at(out, (..., places, *(slice(None),) * (-1 - axis)), updates)
        return out
    x = as_expr(x)
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis:][1:])
    if isinstance(updates, (int, float)) and x.dtype in ("float64", "float32"):
        updates = np.asarray(updates, x.dtype)  # a plain number has no dtype of its own
    added = dk.broadcast_to(as_expr(updates), shape)
    if isinstance(places, Expr):
        return x + make(TABLE["scatter_add"], (added, places), {"axis": axis, "shape": x.shape})
    gather(x, [places], axis)  # checks the range
    fixed = (*(("slice", None, None, None),) * (x.ndim + axis), array_index(places))
    return x + make(TABLE["scatter"], (added,), {"index": fixed, "shape": x.shape})


def astype(x: Any, dtype: Any, **ignored: Any) -> Any:
    """In another dtype: float64, float32, int64 (towards 0) or bool. NumPy's `copy` and the like are of no effect."""
    for key in set(ignored) - {"copy", "order", "casting", "subok", "device"}:
        raise UnsupportedCallError(f"astype: the argument {key!r} has no meaning here; leave it out")
    if not isinstance(x, Expr):
        return np.asarray(x).astype(dtype)
    try:
        name = str(np.dtype(dtype))
    except TypeError:
        name = repr(dtype)
    if name not in DTYPES:
        raise DtypeError(f"astype: a dtype is one of {', '.join(DTYPES)}, not {name}")
    return x if x.kind.dtype == name else make(CAST, (x,), {"dtype": name})


# ---- along one axis -----------------------------------------------------------------------------------------------
def _along(name: str, x: Any, axis: int | None) -> tuple[Expr, int]:
    """The expression, in a row if no axis is named, and the axis from the end."""
    x = as_expr(x)
    if axis is None:
        return dk.ravel(x), -1
    if not x.shape:
        raise ShapeError(f"{name}: core shape () has no axis {axis}")
    return x, axes_of(axis, x.ndim, name)[0]


def _sorting(name: str) -> Callable[..., Any]:
    def function(
        a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None
    ) -> Any:
        refuse(name, {"order": order})  # `kind` and `stable` say how: equal elements stay as they stand
        x, place = _along(name, a, axis)
        return make(TABLE[name], (x,), {"axis": place})

    return _named(function, name, "None: of all elements in a row")


def _extreme(name: str) -> Callable[..., Any]:
    def function(a: Any, axis: int | None = None, out: Any = None, *, keepdims: Any = False) -> Any:
        refuse(name, {"out": out})
        kept = keepdims is not np._NoValue and bool(keepdims)
        x, place = _along(name, a, axis)
        if not x.shape[place]:
            raise ShapeError(f"{name}: core shape {dk.shape(a)} has no elements along axis {axis}")
        found = make(TABLE[name], (x,), {"axis": place, "keepdims": kept and axis is not None})
        return dk.reshape(found, (1,) * dk.ndim(a)) if kept and axis is None else found

    return _named(function, name, "None: of all elements in a row. An index, int64, without a derivative")


def _cumulative(name: str) -> Callable[..., Any]:
    def function(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
        refuse(name, {"dtype": dtype, "out": out})
        x, place = _along(name, a, axis)
        return make(TABLE[name], (x,), {"axis": place})

    return _named(function, name, "None: of all elements in a row")


def _named(function: Callable[..., Any], name: str, none: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{TABLE[name].doc} ({none})."
    return composition(function)


sort, argsort = _sorting("sort"), _sorting("argsort")
argmax, argmin = _extreme("argmax"), _extreme("argmin")
cumsum, cumprod = _cumulative("cumsum"), _cumulative("cumprod")


setattr(dk, "astype", astype)
for _function in (argsort, argmax, argmin, cumsum, cumprod, astype):
    setattr(Expr, _function.__name__, _function)
