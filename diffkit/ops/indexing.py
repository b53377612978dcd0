"""Elements at indices that are values themselves: gather, and its transpose.

The indices are int64 arguments, may have loop dims, count from the end where negative, and have no derivative. An index out of
range is an error on every machine: each is looked at before anything is read. (A fixed index is a parameter of `getitem`, in
arrays.py.)
"""

from __future__ import annotations

import math
import operator

import numpy as np

from ..errors import ShapeError, UnsupportedError
from .op import define


def _aligned(indices):
    """Index arrays (lanes, *core) with the same number of core axes."""
    rank = max(i.ndim for i in indices)
    return [i.reshape(i.shape[0], *(1,) * (rank - i.ndim), *i.shape[1:]) for i in indices]


def _gather(x, *indices, axis, name="gather"):
    indices = tuple(i if i.dtype.kind in "iu" else _known(i, name) for i in indices)
    try:
        return _picked(x, indices, x.ndim + axis)
    except IndexError:
        for k, index in enumerate(indices):
            n = x.shape[axis + k]
            if (bad := index[(index < -n) | (index >= n)]).size:
                raise out_of_range(name, bad[0], axis + k, x.shape[1:]) from None
        raise


def out_of_range(name, index, axis, shape):
    """The error about an index of an axis, which counts from the end."""
    return ShapeError(
        f"{name}: index {index} is out of range for axis {axis} of core shape {shape}, a length of {shape[axis]}"
    )


def _known(index, name):
    """An index of symbols, all of which are numbers after all."""
    try:
        return np.vectorize(operator.index, otypes=[np.int64])(index)
    except TypeError:
        raise UnsupportedError(
            f"{name}: which elements are meant depends on values, so there is no formula for it"
        ) from None


def _picked(x, indices, first):
    """The elements, where `first` is the number of the first of the indexed axes, lanes counted."""
    shared = all(i.shape[0] == 1 for i in indices)
    if len(indices) == 1 and shared:
        return np.take(x, indices[0][0], axis=first)
    if len(indices) == 1 and x.shape[0] == 1:
        return np.moveaxis(np.take(x[0], indices[0], axis=first - 1), first - 1, 0)
    indices = _aligned(indices)
    if shared:
        return x[(slice(None),) * first + tuple(i[0] for i in indices)]
    axes, rank = range(first, first + len(indices)), indices[0].ndim - 1
    lane = np.arange(x.shape[0]).reshape(-1, *(1,) * rank)
    ahead = np.moveaxis(x, axes, range(1, 1 + len(axes)))
    return np.moveaxis(ahead[(lane, *indices)], range(1, 1 + rank), range(first, first + rank))


def _gathered_shape(x, *indices, axis):
    end = len(x) + axis + len(indices)
    return (*x[:axis], *np.broadcast_shapes(*indices), *x[end:])


def _scattered_shape(updates, *indices, axis, shape):
    if updates != _gathered_shape(shape, *indices, axis=axis):
        raise ValueError(f"indices into {shape} give {_gathered_shape(shape, *indices, axis=axis)} places")
    return shape


def _scatter_add(updates, *indices, axis, shape):
    (lanes,) = np.broadcast_shapes(*(a.shape[:1] for a in (updates, *indices)))
    size = lanes * math.prod(shape)
    places = _gather(np.arange(size).reshape(lanes, *shape), *indices, axis=axis, name="scatter_add")
    added = np.broadcast_to(updates, places.shape).reshape(-1)
    if added.dtype in (np.float64, np.float32):  # of float32 the sums are accumulated in float64
        out = np.bincount(places.reshape(-1), added, size).astype(added.dtype, copy=False)
    else:
        out = np.zeros(size, added.dtype)
        np.add.at(out, places.reshape(-1), added)
    return out.reshape(lanes, *shape)


def _scattered_size(out, updates, *indices, axis, shape):
    """Σ|updates| at each place, times the number of additions over 8: what `sum` states."""
    total = _scatter_add(np.abs(updates), *indices, axis=axis, shape=shape)
    count = _scatter_add(np.ones(updates.shape), *indices, axis=axis, shape=shape)
    return total * np.maximum(1.0, count / 8)


#: `axis` is the first of the indexed axes, one for each index, which broadcast
_PICK = "(..., *i, *[slice(None)] * (-({axis}) - len(i)))"

define(
    "gather",
    None,
    "elements at given indices along consecutive axes",
    _gather,
    family="structured",
    cost="move",
    params={"axis": -1},
    indices=1,
    analytic=True,
    result="same",
    shape=_gathered_shape,
    jvp=lambda o, tangents, out, x, *indices, axis: o.gather(tangents[0], *indices, axis=axis),
    vjp=lambda o, adjoint, out, x, *indices, axis: (
        o.scatter_add(adjoint, *indices, axis=axis, shape=x.shape),
        *(None for _ in indices),
    ),
    magnitude=lambda out, x, *indices, axis: np.zeros_like(out),
    spelling=dict.fromkeys(("numpy", "jax", "torch"), f"(lambda x, *i: x[{_PICK}])({{args}})"),
)
define(
    "scatter_add",
    None,
    "elements added into zeros at given indices (the transpose of gather)",
    _scatter_add,
    family="structured",
    cost="add",
    params={"axis": -1, "shape": ()},
    indices=1,
    analytic=True,
    result="same",
    shape=_scattered_shape,
    jvp=lambda o, tangents, out, updates, *indices, axis, shape: o.scatter_add(
        tangents[0], *indices, axis=axis, shape=shape
    ),
    vjp=lambda o, adjoint, out, updates, *indices, axis, shape: (
        o.gather(adjoint, *indices, axis=axis),
        *(None for _ in indices),
    ),
    magnitude=_scattered_size,
    spelling={
        **dict.fromkeys(("numpy", "torch"), f"(lambda x, *i: _scatter(x, lambda a: a[{_PICK}], {{shape}}))({{args}})"),
        "jax": f"(lambda x, *i: jax.numpy.zeros({{shape}}, x.dtype).at[{_PICK}].add(x))({{args}})",
    },
)


def along(o, x, index, axis):
    """Of every row along an axis the elements that the row of `index` names (NumPy's take_along_axis)."""
    return o.gather(x, *grid(index.shape, axis, index), axis=-len(x.shape))


def grid(shape, axis, index):
    """One index for each axis: `index` along `axis`, and along the others every place itself."""
    rank = len(shape)
    places = [np.arange(n).reshape(-1, *(1,) * (rank - 1 - k)) for k, n in enumerate(shape)]
    places[axis] = index
    return places
