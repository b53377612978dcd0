"""The first operations on arrays: movements, reductions, matrix products.

Shapes here are core shapes. NumPy functions see one lane axis in front (see op.py). Axes in parameters are
negative, indices and shapes are tuples: `expr/functions.py` brings what the user writes into that form.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from .kinks import step_value
from .op import define


def same_lanes(*arrays):
    """Arrays with their lane axes broadcast to the same size."""
    (lanes,) = np.broadcast_shapes(*(a.shape[:1] for a in arrays))
    return [np.broadcast_to(a, (lanes, *a.shape[1:])) for a in arrays]


# ---- movements ------------------------------------------------------------------------------------------------
def _moved(name):
    """The tangent of a movement is the same movement of the tangent."""
    return lambda o, tangents, out, *args, **params: getattr(o, name)(tangents[0], **params)


define(
    "reshape", 1, "the same elements in another shape", lambda x, shape: x.reshape(x.shape[0], *shape),
    family="movement", cost="move", params={"shape": ()}, analytic=True, result="same",
    shape=lambda x, shape: shape,
    jvp=_moved("reshape"),
    vjp=lambda o, adjoint, out, x, shape: (o.reshape(adjoint, shape=x.shape),),
)
define(
    "transpose", 1, "axes in another order", lambda x, axes: np.transpose(x, (0, *(a + x.ndim for a in axes))),
    family="movement", cost="move", params={"axes": ()}, analytic=True, result="same",
    shape=lambda x, axes: tuple(x[a] for a in axes),
    jvp=_moved("transpose"),
    vjp=lambda o, adjoint, out, x, axes: (
        o.transpose(adjoint, axes=tuple(int(i) - len(axes) for i in np.argsort([a % len(axes) for a in axes]))),
    ),
)
define(
    "broadcast_to", 1, "repeated along new or stretched axes",
    lambda x, shape: np.broadcast_to(x.reshape(x.shape[0], *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:]), (x.shape[0], *shape)),
    family="movement", cost="move", params={"shape": ()}, analytic=True, result="same",
    shape=lambda x, shape: shape,
    jvp=_moved("broadcast_to"),
    vjp=lambda o, adjoint, out, x, shape: (o.sum_to(adjoint, x.shape),),
)


def _index(index):
    """An index from its hashable form: slices are ("slice", start, stop, step), arrays ("array", shape, bytes)."""
    parts: list = []
    for part in index:
        if isinstance(part, tuple) and part[0] == "slice":
            parts.append(slice(*part[1:]))
        elif isinstance(part, tuple) and part[0] == "array":
            parts.append(np.frombuffer(part[2], dtype=np.int64).reshape(part[1]))
        else:
            parts.append(part)
    return tuple(parts)


def index_shape(x, index):
    return np.broadcast_to(np.int8(0), x)[_index(index)].shape


def _scatter(x, index, shape):
    out = np.zeros((x.shape[0], *shape), x.dtype)
    lanes_last = np.moveaxis(out, 0, -1)
    np.add.at(lanes_last, _index(index), np.moveaxis(x, 0, -1))
    return out


def _getitem(x, index):
    # lanes go last while indexing, so that integer arrays keep NumPy's placing of their axes
    return np.moveaxis(np.moveaxis(x, 0, -1)[_index(index)], -1, 0)


define(
    "getitem", 1, "elements chosen by a fixed index", _getitem,
    family="movement", cost="move", params={"index": ()}, analytic=True, result="same",
    shape=index_shape,
    jvp=_moved("getitem"),
    vjp=lambda o, adjoint, out, x, index: (o.scatter(adjoint, index=index, shape=x.shape),),
)
define(
    "scatter", 1, "elements added into zeros at a fixed index (the transpose of getitem)", _scatter,
    family="linear", cost="move", params={"index": (), "shape": ()}, analytic=True,
    shape=lambda x, index, shape: shape,
    jvp=_moved("scatter"),
    vjp=lambda o, adjoint, out, x, index, shape: (o.getitem(adjoint, index=index),),
    magnitude=lambda out, x, index, shape: _scatter(np.abs(x), index, shape),
)


def _concatenated(shapes, axis):
    total = sum(s[axis] for s in shapes)
    return (*shapes[0][: len(shapes[0]) + axis], total, *(shapes[0][axis + 1 :] if axis != -1 else ()))


def _split_adjoint(o, adjoint, out, *args, axis):
    rank, start, parts = len(out.shape), 0, []
    for x in args:
        piece = ("slice", start, start + x.shape[axis], None)
        parts.append(o.getitem(adjoint, index=(*(("slice", None, None, None),) * (rank + axis), piece)))
        start += x.shape[axis]
    return tuple(parts)


def _tangents_or_zeros(o, tangents, args):
    return [o.zeros(x.shape) if t is None else t for t, x in zip(tangents, args, strict=True)]


define(
    "concatenate", None, "arrays joined along an axis", lambda *xs, axis: np.concatenate(same_lanes(*xs), axis=axis),
    family="movement", cost="move", params={"axis": -1}, analytic=True, result="same",
    shape=lambda *shapes, axis: _concatenated(shapes, axis),
    jvp=lambda o, tangents, out, *args, axis: o.concatenate(*_tangents_or_zeros(o, tangents, args), axis=axis),
    vjp=_split_adjoint,
)
define(
    "stack", None, "arrays joined along a new axis", lambda *xs, axis: np.stack(same_lanes(*xs), axis=axis),
    family="movement", cost="move", params={"axis": -1}, analytic=True, result="same",
    shape=lambda *shapes, axis: (*shapes[0][: len(shapes[0]) + 1 + axis], len(shapes), *shapes[0][len(shapes[0]) + 1 + axis :]),
    jvp=lambda o, tangents, out, *args, axis: o.stack(*_tangents_or_zeros(o, tangents, args), axis=axis),
    vjp=lambda o, adjoint, out, *args, axis: tuple(
        o.getitem(adjoint, index=(*(("slice", None, None, None),) * (len(out.shape) + axis), i)) for i in range(len(args))
    ),
)

# ---- reductions -----------------------------------------------------------------------------------------------
_AXES = {"axes": (), "keepdims": False}


def reduced_shape(x, axes, keepdims):
    drop = {a % len(x) for a in axes}
    return tuple(1 if i in drop else n for i, n in enumerate(x) if keepdims or i not in drop)


def _over(reduce):
    return lambda x, axes, keepdims: reduce(x, axis=axes, keepdims=keepdims)


def _kept(o, value, x, axes, keepdims):
    """A reduced value stretched back over the axes it lost."""
    shape = reduced_shape(x.shape, axes, True)
    return o.broadcast_to(value if keepdims else o.reshape(value, shape=shape), shape=x.shape)


def _count(x, axes):
    return math.prod(x.shape[a] for a in axes)


def _float_sum(x, axis, keepdims):
    """float32 sums accumulate in float64."""
    if x.dtype != np.float32:
        return np.sum(x, axis=axis, keepdims=keepdims)
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=np.float64).astype(np.float32)


define(
    "sum", 1, "sum over axes", _over(_float_sum), family="reduction", cost="reduce", params=_AXES, analytic=True,
    shape=reduced_shape,
    jvp=lambda o, tangents, out, x, **p: o.sum(tangents[0], **p),
    vjp=lambda o, adjoint, out, x, **p: (_kept(o, adjoint, x, **p),),
    sympy=lambda s, x, axes, keepdims: s.fold(s.Add, x, axes, keepdims),
    # pairwise or sequential, n terms round at most n times: n·u·Σ|x| ≤ 8·u·M for M = Σ|x|·max(1, n/8)
    magnitude=lambda out, x, axes, keepdims: np.sum(np.abs(x), axis=axes, keepdims=keepdims)
    * max(1.0, math.prod(x.shape[a] for a in axes) / 8),
)
def _mean(x, axis, keepdims):
    with np.errstate(all="ignore"):  # the mean of nothing is NaN, without a warning
        total = _float_sum(x, axis, keepdims)
        return total / np.asarray(math.prod(x.shape[a] for a in axis), total.dtype if total.dtype.kind == "f" else float)


define(
    "mean", 1, "mean over axes", _over(_mean), family="reduction", cost="reduce", params=_AXES, analytic=True,
    shape=reduced_shape,
    lower=lambda o, x, axes, keepdims: o.sum(x, axes=axes, keepdims=keepdims) / float(_count(x, axes)),
    jvp=lambda o, tangents, out, x, **p: o.mean(tangents[0], **p),
    vjp=lambda o, adjoint, out, x, axes, keepdims: (
        _kept(o, adjoint / max(_count(x, axes), 1), x, axes, keepdims),
    ),
    sympy=lambda s, x, axes, keepdims: s.fold(s.Add, x, axes, keepdims) / s.number(_count(x, axes)),
    magnitude=lambda out, x, axes, keepdims: np.mean(np.abs(x), axis=axes, keepdims=keepdims)
    * max(1.0, math.prod(x.shape[a] for a in axes) / 8),
)


def _products_of_others(o, x, axes, keepdims):
    """For every element the product of all others, by a binary tree: nothing is divided, so a zero is no special case."""
    axes = tuple(sorted(a % len(x.shape) for a in axes))
    rest = tuple(a for a in range(len(x.shape)) if a not in axes)
    order = (*rest, *axes)
    if not _count(x, axes):
        return x
    rank = len(order)
    kept, n = tuple(x.shape[a] for a in rest), _count(x, axes)
    flat = o.reshape(o.transpose(x, axes=tuple(a - rank for a in order)), shape=(*kept, n))
    back = o.reshape(_others_in_row(o, flat), shape=tuple(x.shape[a] for a in order))
    return o.transpose(back, axes=tuple(int(i) - rank for i in np.argsort(order)))


def _others_in_row(o, x):
    """Of an element of a pair: the other one, times the product of all other pairs."""
    *kept, n = x.shape
    if n == 1:
        return o.ones(x.shape)
    every = (("slice", None, None, None),) * len(kept)
    if n % 2:
        x = o.concatenate(x, o.ones((*kept, 1)), axis=-1)
    left, right = (o.getitem(x, index=(*every, ("slice", k, None, 2))) for k in (0, 1))
    if n > 2:
        others = _others_in_row(o, left * right)
        left, right = others * left, others * right
    found = o.reshape(o.stack(right, left, axis=-1), shape=(*kept, n + n % 2))
    return o.getitem(found, index=(*every, ("slice", 0, n, None))) if n % 2 else found


define(
    "prod", 1, "product over axes", _over(np.prod), family="reduction", cost="reduce", params=_AXES, analytic=True,
    shape=reduced_shape,
    jvp=lambda o, tangents, out, x, **p: o.sum(_products_of_others(o, x, **p) * tangents[0], **p),
    vjp=lambda o, adjoint, out, x, **p: (_kept(o, adjoint, x, **p) * _products_of_others(o, x, **p),),
    sympy=lambda s, x, axes, keepdims: s.fold(s.Mul, x, axes, keepdims),
    magnitude=lambda out, x, axes, keepdims: np.abs(out) * max(1.0, math.prod(x.shape[a] for a in axes) / 8),
)


def _share(o, out, x, axes, keepdims):
    """1 at the extreme element, ties shared evenly (left and right are not defined for an order of many)."""
    hit = o.where(o.equal(x, _kept(o, out, x, axes, keepdims)), o.ones(()), 0)
    count = o.sum(hit, axes=axes, keepdims=True)
    if np.isnan(step_value(0.5, 0.5)):
        count = o.where(o.greater(count, 1), np.nan, count)
        return o.where(o.equal(hit, 0), 0, hit / count)
    return hit / count


def _weighted(o, share, tangent):
    """Share times tangent; a share of NaN (at a tie, where that is asked for) does not touch what does not move."""
    return o.where(o.equal(tangent, 0), 0, share * tangent) if np.isnan(step_value(0.5, 0.5)) else share * tangent


for _name, _reduce in (("max", np.max), ("min", np.min)):
    define(
        _name, 1, f"{'largest' if _name == 'max' else 'smallest'} element over axes", _over(_reduce), family="reduction",
        cost="reduce", aliases=("amax",) if _name == "max" else ("amin",), params=_AXES, shape=reduced_shape,
        jvp=lambda o, tangents, out, x, **p: o.sum(_weighted(o, _share(o, out, x, **p), tangents[0]), **p),
        vjp=lambda o, adjoint, out, x, **p: (_share(o, out, x, **p) * _kept(o, adjoint, x, **p),),
        sympy=lambda s, x, axes, keepdims, name=_name: s.fold(
            lambda *xs: getattr(s, name)(*xs, step_value(0.5, 0.5)), x, axes, keepdims
        ),
        convention="a tie is shared evenly",
    )


def _below_highest_numpy(x, axes):
    """The maximum over axes, x counted from it, and the logarithm of the sum of the exponentials of that."""
    high = np.max(x, axis=axes, keepdims=True)
    with np.errstate(all="ignore"):
        # where the maximum is infinite, subtracting it would make NaN of -inf − -inf
        high = np.where(np.isinf(high), 0, high).astype(x.dtype)
        below = x - high
        return high, below, np.log(np.sum(np.exp(below), axis=axes, keepdims=True))


def _below_highest(o, x, axes):
    high = o.max(x, axes=axes, keepdims=True)
    high = o.where(o.equal(o.abs(high), np.inf), 0, high)
    below = x - high
    return high, below, o.log(o.sum(o.exp(below), axes=axes, keepdims=True))


def _logsumexp_numpy(x, axes, keepdims):
    if x.size == 0:  # the sum of nothing is 0
        return np.sum(x, axis=axes, keepdims=keepdims) - np.inf
    high, _, total = _below_highest_numpy(x, axes)
    total = total + high
    return total if keepdims else np.squeeze(total, axis=axes)


def _logsumexp(o, x, axes, keepdims):
    high, _, total = _below_highest(o, x, axes)
    total = total + high
    return total if keepdims else o.reshape(total, shape=reduced_shape(x.shape, axes, False))


define(
    "logsumexp", 1, "log of the sum of exponentials over axes", _logsumexp_numpy, family="reduction", cost="reduce",
    params=_AXES, shape=reduced_shape, lower=_logsumexp,
    jvp=lambda o, tangents, out, x, **p: o.sum(o.exp(x - _kept(o, out, x, **p)) * tangents[0], **p),
    vjp=lambda o, adjoint, out, x, **p: (_kept(o, adjoint, x, **p) * o.exp(x - _kept(o, out, x, **p)),),
    sympy=lambda s, x, axes, keepdims: s.logsumexp(x, axes, keepdims),
    magnitude=lambda out, x, axes, keepdims: np.abs(out) + max(1.0, math.prod(x.shape[a] for a in axes) / 8)
    + np.max(np.abs(np.where(np.isfinite(x), x, 0)), axis=axes, keepdims=keepdims),
)


def _log_softmax_numpy(x, axes):
    if x.size == 0:
        return x
    _, below, total = _below_highest_numpy(x, axes)
    with np.errstate(invalid="ignore"):
        return below - total


def _log_softmax(o, x, axes):
    _, below, total = _below_highest(o, x, axes)
    return below - total


define(
    "log_softmax", 1, "logarithm of softmax over axes: x less the log of the sum of its exponentials", _log_softmax_numpy,
    family="structured", cost="reduce", params={"axes": (-1,)}, shape=lambda x, axes: x, lower=_log_softmax,
    jvp=lambda o, tangents, out, x, axes: tangents[0] - o.sum(o.exp(out) * tangents[0], axes=axes, keepdims=True),
    vjp=lambda o, adjoint, out, x, axes: (adjoint - o.exp(out) * o.sum(adjoint, axes=axes, keepdims=True),),
    sympy=lambda s, x, axes: s.log_softmax(x, axes),
    # x counted from its maximum and the logarithm have signs that add up: each is at most |out|
    magnitude=lambda out, x, axes: np.abs(out) + max(1.0, math.prod(x.shape[a] for a in axes) / 8),
)


def _norm_numpy(x, axes, keepdims):
    high = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    scale = np.where((high == 0) | ~np.isfinite(high), 1, high)
    total = scale * np.sqrt(np.sum(np.square(x / scale), axis=axes, keepdims=True))
    return total if keepdims else np.squeeze(total, axis=axes)


def _norm(o, x, axes, keepdims):
    high = o.max(o.abs(x), axes=axes, keepdims=True)
    scale = o.where(o.logical_or(o.equal(high, 0), o.equal(high, np.inf)), 1, high)
    total = scale * o.sqrt(o.sum(o.square(x / scale), axes=axes, keepdims=True))
    return total if keepdims else o.reshape(total, shape=reduced_shape(x.shape, axes, False))


def _direction(o, out, x, axes, keepdims):
    length = _kept(o, out, x, axes, keepdims)
    return x / o.where(o.equal(length, 0), 1, length)


define(
    "norm", 1, "Euclidean length over axes, without overflow", _norm_numpy, family="reduction", cost="reduce",
    params=_AXES, shape=reduced_shape, lower=_norm,
    jvp=lambda o, tangents, out, x, **p: o.sum(_direction(o, out, x, **p) * tangents[0], **p),
    vjp=lambda o, adjoint, out, x, **p: (_kept(o, adjoint, x, **p) * _direction(o, out, x, **p),),
    sympy=lambda s, x, axes, keepdims: s.fold(lambda *v: reduce(s.hypot, v, s.number(0.0)), x, axes, keepdims),
    magnitude=lambda out, x, axes, keepdims: np.abs(out) * max(1.0, math.prod(x.shape[a] for a in axes) / 8),
    convention="0 at the zero vector (the subgradient of least norm)",
)

# ---- products -------------------------------------------------------------------------------------------------
_SWAP = lambda rank: (*range(-rank, -2), -1, -2)


def _matmul_shape(x, y):
    if x[-1] != y[-2]:
        raise ValueError(f"the last axis of the first ({x[-1]}) and the last but one of the second ({y[-2]}) differ")
    return (*np.broadcast_shapes(x[:-2], y[:-2]), x[-2], y[-1])


def _matmul_numpy(x, y):
    rank = max(x.ndim, y.ndim)
    return np.matmul(*(a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in (x, y)))


define(
    "matmul", 2, "matrix product", _matmul_numpy, family="structured", cost="matmul", infix=("@", 20), analytic=True,
    shape=_matmul_shape,
    jvp=lambda o, tangents, out, x, y: o.total(
        None if tangents[0] is None else o.matmul(tangents[0], y), None if tangents[1] is None else o.matmul(x, tangents[1])
    ),
    vjp=lambda o, adjoint, out, x, y: (
        o.sum_to(o.matmul(adjoint, o.transpose(y, axes=_SWAP(len(y.shape)))), x.shape),
        o.sum_to(o.matmul(o.transpose(x, axes=_SWAP(len(x.shape))), adjoint), y.shape),
    ),
    magnitude=lambda out, x, y: _matmul_numpy(np.abs(x), np.abs(y)) * max(1.0, x.shape[-1] / 8),
)
