"""Operations along one axis: cumulative sums and products, sorting, and where the extremes are.

`axis` is one negative core axis. float32 is accumulated in float64.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import UnsupportedError
from .arrays import reduced_shape, same_lanes
from .indexing import along, grid
from .kinks import current
from .op import define

_ALONG = {"axis": -1, "reverse": False}
_PYTHON = ("numpy", "jax", "torch")


def _same_shape(x, *others, **params):
    if any(other != x for other in others):
        raise ValueError("they must be the same")
    return x


def _accumulating(function):
    """`function` of arrays that run along their first axis, of an axis anywhere, backwards if asked for, float32 in float64."""

    def run(*arrays, axis, reverse):
        rows = [np.moveaxis(a, axis, 0)[:: -1 if reverse else 1] for a in same_lanes(*arrays)]
        dtype = np.result_type(*rows)
        wide = np.float64 if dtype == np.float32 else dtype
        found = function(*(r.astype(wide, copy=False) for r in rows))
        return np.moveaxis(found[:: -1 if reverse else 1], 0, axis).astype(dtype, copy=False)

    return run


# ---- cumulative ------------------------------------------------------------------------------------------------
def _number_of_terms(x, axis, reverse):
    count = np.arange(1.0, x.shape[axis] + 1)
    return (count[::-1] if reverse else count).reshape(-1, *(1,) * (-1 - axis))


_cumulative_sum = _accumulating(lambda x: np.cumsum(x, axis=0))

define(
    "cumsum", 1, "sums of the first elements along an axis (reverse: of the last)", _cumulative_sum, family="linear", cost="add",
    params=_ALONG, analytic=True, shape=_same_shape,
    jvp=lambda o, tangents, out, x, **p: o.cumsum(tangents[0], **p),
    vjp=lambda o, adjoint, out, x, axis, reverse: (o.cumsum(adjoint, axis=axis, reverse=not reverse),),
    # the k-th is rounded k − 1 times: k·u·Σ|x| ≤ 8·u·M
    magnitude=lambda out, x, **p: _cumulative_sum(np.abs(x), **p) * np.maximum(1.0, _number_of_terms(x, **p) / 8),
    spelling={name: (
        f"(lambda x: {module}.flip({module}.cumsum({module}.flip(x, ({{axis}},)), {{axis}}), ({{axis}},)) if {{reverse}} "
        f"else {module}.cumsum(x, {{axis}}))({{0}})"
    ) for name, module in zip(_PYTHON, ("numpy", "jax.numpy", "torch"), strict=True)},
)


#: up to so many rows are cheaper one after the other, in Python's own numbers, than one NumPy call a step
FEW_ROWS = 16


def _recur(a, b):
    """y_k = a_k·y_{k−1} + b_k along the first axis, from y_{−1} = 0."""
    y = np.array(b, order="C")
    if not y.size:
        return y
    if y[0].size > FEW_ROWS or y.dtype != np.float64:
        for k in range(1, len(y)):
            y[k] += a[k] * y[k - 1]
        return y
    rows = y.reshape(len(y), -1)
    for k, factors in enumerate(a.reshape(rows.shape).T):
        row, (last, *steps) = factors.tolist(), rows[:, k].tolist()
        rows[1:, k] = [last := factor * last + step for factor, step in zip(row[1:], steps, strict=True)]
    return y


_recurrence = _accumulating(_recur)


def _before(o, y, axis, reverse, first=0.0):
    """y_{k−1} at place k, and `first` where there is none."""
    n = y.shape[axis]
    ahead = (("slice", None, None, None),) * (len(y.shape) + axis)
    kept = o.getitem(y, index=(*ahead, ("slice", 1, None, None) if reverse else ("slice", 0, max(n - 1, 0), None)))
    shape = (*y.shape[:axis], min(n, 1), *(y.shape[axis + 1 :] if axis != -1 else ()))
    end = o.ones(shape) if first else o.zeros(shape)
    return o.concatenate(*((kept, end) if reverse else (end, kept)), axis=axis)


def _after(o, a, axis, reverse):
    """a_{k+1} at place k: the factors of the recurrence that runs the other way."""
    return _before(o, a, axis, not reverse)


def _recurrence_tangent(o, tangents, out, a, b, **p):
    driven = o.total(tangents[1], None if tangents[0] is None else tangents[0] * _before(o, out, **p))
    return o.linear_recurrence(a, driven, **p)


def _recurrence_adjoint(o, adjoint, out, a, b, axis, reverse):
    swept = o.linear_recurrence(_after(o, a, axis, reverse), adjoint, axis=axis, reverse=not reverse)
    return swept * _before(o, out, axis, reverse), swept


def _rounded(out, a, b, axis, reverse):
    """E_k = |a_k|·E_{k−1} + u·(|a_k·y_{k−1}| + |y_k|) + η, in units of 8·u: how errors of the steps before are carried along."""
    info = np.finfo(out.dtype)
    out, a = (np.abs(x).astype(np.float64) for x in np.broadcast_arrays(*same_lanes(out, a)))
    back = slice(1, None) if reverse else slice(None, -1)
    on = slice(None, -1) if reverse else slice(1, None)
    here, there = ((..., part, *(slice(None),) * (-1 - axis)) for part in (on, back))
    step = out + 2 * float(info.smallest_subnormal) / float(info.eps)
    step[here] += a[here] * out[there]
    return np.maximum(_recurrence(a, step, axis=axis, reverse=reverse) / 8, out)


define(
    "linear_recurrence", 2, "y_k = a_k·y_{k−1} + b_k along an axis, from 0 (reverse: from its end)", _recurrence,
    family="structured", cost="mul", params=_ALONG, analytic=True, shape=_same_shape,
    jvp=_recurrence_tangent, vjp=_recurrence_adjoint, magnitude=_rounded,
)

_cumulative_product = _accumulating(lambda x: np.cumprod(x, axis=0))


# The tangent of y_k = x_k·y_{k−1} is ẏ_k = x_k·ẏ_{k−1} + y_{k−1}·ẋ_k, a recurrence: nothing is divided, a zero is no special case.
define(
    "cumprod", 1, "products of the first elements along an axis (reverse: of the last)", _cumulative_product, family="structured",
    cost="mul", params=_ALONG, analytic=True, shape=_same_shape,
    jvp=lambda o, tangents, out, x, **p: o.linear_recurrence(x, tangents[0] * _before(o, out, first=1.0, **p), **p),
    vjp=lambda o, adjoint, out, x, axis, reverse: (
        o.linear_recurrence(_after(o, x, axis, reverse), adjoint, axis=axis, reverse=not reverse)
        * _before(o, out, axis, reverse, first=1.0),
    ),
    magnitude=lambda out, x, **p: _rounded(out, x, out, **p),
    spelling={name: (
        f"(lambda x: {module}.flip({module}.cumprod({module}.flip(x, ({{axis}},)), {{axis}}), ({{axis}},)) if {{reverse}} "
        f"else {module}.cumprod(x, {{axis}}))({{0}})"
    ) for name, module in zip(_PYTHON, ("numpy", "jax.numpy", "torch"), strict=True)},
)


# ---- order -----------------------------------------------------------------------------------------------------
def _of_numbers(name, function):
    """Symbols have no order, and of balls that overlap it is not known."""

    def run(*arrays, **params):
        if any(a.dtype == object for a in arrays):
            raise UnsupportedError(f"{name}: the result depends on how values compare, so there is no formula for it")
        return function(*arrays, **params)

    return run


define(
    "argsort", 1, "where the elements in ascending order are: equal ones as they stand, NaN last",
    _of_numbers("argsort", lambda x, axis: np.argsort(x, axis=axis, stable=True)),
    family="structured", cost="compare", params={"axis": -1}, shape=_same_shape, result="int",
    convention="an integer has no derivative",
    spelling={"numpy": "numpy.argsort({0}, axis={axis}, kind='stable')", "jax": "jax.numpy.argsort({0}, axis={axis}, stable=True)",
              "torch": "torch.argsort({0}, dim={axis}, stable=True)"},
)
for _name, _function in (("argmax", np.argmax), ("argmin", np.argmin)):
    define(
        _name, 1, f"where the {'largest' if _name == 'argmax' else 'smallest'} element along an axis is: the first of equal ones",
        _of_numbers(_name, lambda x, axis, keepdims, function=_function: function(x, axis=axis, keepdims=keepdims)),
        family="structured", cost="reduce", params={"axis": -1, "keepdims": False}, result="int",
        shape=lambda x, axis, keepdims: reduced_shape(x, (axis,), keepdims), convention="an integer has no derivative",
        spelling={"numpy": f"numpy.{_name}({{0}}, axis={{axis}}, keepdims={{keepdims}})",
                  "jax": f"jax.numpy.{_name}({{0}}, axis={{axis}}, keepdims={{keepdims}})",
                  "torch": f"torch.{_name}({{0}}, dim={{axis}}, keepdim={{keepdims}})"},
    )


def _searchsorted(a, v, right):
    """Lanes of their own are searched one by one."""
    side: Literal["left", "right"] = "right" if right else "left"
    if a.shape[0] == 1:
        return np.searchsorted(a[0], v, side).astype(np.int64, copy=False)
    a, v = same_lanes(a, v)
    found = np.empty(v.shape, np.int64)
    for row, values, places in zip(a, v, found, strict=True):
        places[...] = np.searchsorted(row, values, side)
    return found


define(
    "searchsorted", 2, "how many of the numbers a, in ascending order, are below v (right: not above it); NaN comes last",
    _of_numbers("searchsorted", _searchsorted), family="structured", cost="compare", params={"right": False}, result="int",
    shape=lambda a, v, right: v, convention="an integer has no derivative",
    spelling={"numpy": "numpy.searchsorted({0}, {1}, 'right' if {right} else 'left')",
              "jax": "jax.numpy.searchsorted({0}, {1}, side='right' if {right} else 'left')",
              "torch": "torch.searchsorted({0}, {1}, right={right})"},
)


def _tied_mean(x, key, axis, undefined):
    """Runs of equal keys are replaced by their means; `undefined`: by NaN, where a run of several is not all zeros."""
    x, key = (np.moveaxis(a, axis, -1) for a in same_lanes(x, key))
    starts = np.ones(key.shape, bool)
    starts[..., 1:] = key[..., 1:] != key[..., :-1]
    if starts.all():
        return np.moveaxis(x, -1, axis)
    (first,) = starts.reshape(-1).nonzero()
    length = np.diff(first, append=starts.size)
    rows = x.reshape(-1)
    wide = np.float64 if x.dtype == np.float32 else x.dtype
    mean = np.add.reduceat(rows, first, dtype=wide) / length.astype(wide)
    mean = np.where(length == 1, rows[first], mean)
    if undefined:
        mean[(length > 1) & np.logical_or.reduceat(rows != 0, first)] = np.nan
    return np.moveaxis(np.repeat(mean.astype(x.dtype), length).reshape(x.shape), -1, axis)


define(
    "tied_mean", 2, "the mean of x over each run of equal keys along an axis", _of_numbers("tied_mean", _tied_mean),
    family="structured", cost="add", params={"axis": -1, "undefined": False}, shape=_same_shape,
    # it averages, so it is its own transpose; by the keys it has jumps only
    jvp=lambda o, tangents, out, x, key, **p: o.zeros(x.shape) if tangents[0] is None else o.tied_mean(tangents[0], key, **p),
    vjp=lambda o, adjoint, out, x, key, **p: (o.tied_mean(adjoint, key, **p), None),
    magnitude=lambda out, x, key, axis, undefined: _tied_mean(np.abs(x), key, axis, False) * max(1.0, x.shape[axis] / 8),
    convention="by the keys 0 everywhere, as for every jump",
)


def _shared(o, moved, out, axis):
    """A tie is shared evenly, by each element of the group alike (left and right are not defined for an order of many)."""
    if current() == "jax":  # as the sort happened to put them
        return moved
    return o.tied_mean(moved, out, axis=axis, undefined=current() == "nan")


define(
    "sort", 1, "the elements along an axis in ascending order, NaN last",
    _of_numbers("sort", lambda x, axis: np.sort(x, axis=axis)),
    family="structured", cost="compare", params={"axis": -1}, shape=_same_shape, result="same",
    jvp=lambda o, tangents, out, x, axis: _shared(o, along(o, tangents[0], o.argsort(x, axis=axis), axis), out, axis),
    vjp=lambda o, adjoint, out, x, axis: (
        o.scatter_add(
            _shared(o, adjoint, out, axis), *grid(x.shape, axis, o.argsort(x, axis=axis)), axis=-len(x.shape), shape=x.shape
        ),
    ),
    magnitude=lambda out, x, axis: np.zeros_like(out),
    convention="a tie is shared evenly",
    spelling={"numpy": "numpy.sort({0}, axis={axis})", "jax": "jax.numpy.sort({0}, axis={axis})",
              "torch": "torch.sort({0}, dim={axis}).values"},
)
