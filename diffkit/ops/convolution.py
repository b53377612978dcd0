"""Sliding windows, their transpose, and convolution.

`windows` and `overlap_add` are the primitives: each is the derivative of the other. Convolution and pooling are
written with them. Windows slide over the last axes, as many as `size` names.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .op import define

#: where a window lies: its elements along each axis, the distance of two windows, and that of two of its elements
_PLACING = {"size": (), "stride": (), "dilation": ()}


def window_counts(lengths, size, stride, dilation):
    """How many windows fit along each axis; ValueError where none does."""
    counts = []
    for n, k, s, d in zip(lengths, size, stride, dilation, strict=True):
        if k < 1 or s < 1 or d < 1:
            raise ValueError(f"size {k}, stride {s} and dilation {d} of a window must be at least 1")
        span = d * (k - 1) + 1
        if span > n:
            raise ValueError(
                f"a window of {k} elements with dilation {d} spans {span}, more than the {n} that are there"
            )
        counts.append((n - span) // s + 1)
    return tuple(counts)


def _windows_shape(x, size, stride, dilation):
    if len(x) < len(size):
        raise ValueError(f"windows over {len(size)} axes need as many")
    lead = len(x) - len(size)
    return (*x[:lead], *window_counts(x[lead:], size, stride, dilation), *size)


def _windows(x, size, stride, dilation):
    spans = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True))
    seen = sliding_window_view(x, spans, axis=tuple(range(-len(size), 0)))
    every: tuple = (Ellipsis, *(slice(None, None, n) for n in (*stride, *dilation)))
    return seen[every]


def _overlap_shape(y, size, stride, dilation, shape):
    if _windows_shape(shape, size, stride, dilation) != tuple(y):
        raise ValueError(f"windows of {size}, stride {stride}, dilation {dilation} in {shape} have another shape")
    return shape


def _steps(offset, count, stride, dilation):
    """Where the elements at one offset in all windows lie, as a slice for each axis."""
    return tuple(
        slice(i * d, i * d + s * (n - 1) + 1, s) for i, n, s, d in zip(offset, count, stride, dilation, strict=True)
    )


def _overlap_add(y, size, stride, dilation, shape):
    """Offset by offset in the windows, in C order: every sum has a fixed order."""
    rank = len(size)
    count = y.shape[y.ndim - 2 * rank : y.ndim - rank]
    out = np.zeros((y.shape[0], *shape), y.dtype)
    for offset in np.ndindex(*size):
        out[(Ellipsis, *_steps(offset, count, stride, dilation))] += y[(Ellipsis, *offset)]
    return out


define(
    "windows", 1, "all windows over the last axes: places of the windows, then places in a window", _windows,
    family="movement", cost="move", params=_PLACING, analytic=True, result="same",
    shape=_windows_shape,
    jvp=lambda o, tangents, out, x, **p: o.windows(tangents[0], **p),
    vjp=lambda o, adjoint, out, x, **p: (o.overlap_add(adjoint, shape=x.shape, **p),),
)
define(
    "overlap_add", 1, "windows added up where they lie, in zeros (the transpose of windows)", _overlap_add,
    family="linear", cost="add", params={**_PLACING, "shape": ()}, analytic=True,
    shape=_overlap_shape,
    jvp=lambda o, tangents, out, y, **p: o.overlap_add(tangents[0], **p),
    vjp=lambda o, adjoint, out, y, shape, **p: (o.windows(adjoint, **p),),
    magnitude=lambda out, y, size, **p: _overlap_add(np.abs(y), size, **p) * max(1.0, math.prod(size) / 8),
)


# ---- convolution --------------------------------------------------------------------------------------------------


def _conv2d_shape(x, w, stride, padding, dilation, groups):
    if len(x) != 4 or len(w) != 4:
        raise ValueError(
            "it takes images (N, C, H, W) or (C, H, W) and weights (O, C/groups, kernel height, kernel width)"
        )
    if groups < 1 or x[1] % groups or w[0] % groups:
        raise ValueError(f"groups={groups} must divide the {x[1]} channels of the images and the {w[0]} of the weights")
    if x[1] != groups * w[1]:
        raise ValueError(
            f"{x[1]} channels in {groups} group{'s' * (groups > 1)} need weights of shape ({w[0]}, {x[1] // groups}, …)"
        )
    padded = [n + sum(ends) for n, ends in zip(x[2:], padding, strict=True)]
    return (x[0], w[0], *window_counts(padded, w[2:], stride, dilation))


def _conv2d_numpy(x, w, stride, padding, dilation, groups):
    """A matrix product for every place in the kernel."""
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), *padding))
    count = window_counts(x.shape[3:], w.shape[3:], stride, dilation)
    x = x.reshape(*x.shape[:2], groups, x.shape[2] // groups, *x.shape[3:])
    w = w.reshape(w.shape[0], 1, groups, w.shape[1] // groups, *w.shape[2:])
    products = []
    for offset in np.ndindex(*w.shape[-2:]):
        seen = x[(Ellipsis, *_steps(offset, count, stride, dilation))]
        products.append(np.matmul(w[(Ellipsis, *offset)], seen.reshape(*seen.shape[:4], math.prod(count))))
    out = reduce(np.add, products)
    return out.reshape(*out.shape[:2], w.shape[2] * w.shape[3], *count)


def _padded(o, x, padding):
    """Zeros around the last axes."""
    for axis, ends in zip((-2, -1), padding, strict=True):
        before, after = (o.zeros((*x.shape[:axis], n, *x.shape[axis:][1:])) for n in ends)
        parts = [part for part in (before, x, after) if part is x or part.shape[axis]]
        x = o.concatenate(*parts, axis=axis) if len(parts) > 1 else x
    return x


def _conv2d(o, x, w, stride, padding, dilation, groups):
    """A product (O, K)·(K, P) an image, with P places and K = C·kh·kw terms: windows are copied in rows of pixels, the result need
    not be turned round, and a machine that runs over the images has one product of all their columns."""
    n, (m, share, *size) = x.shape[0], w.shape
    seen = o.windows(_padded(o, x, padding), size=tuple(size), stride=stride, dilation=dilation)
    height, width = seen.shape[2:4]
    places, terms = height * width, share * math.prod(size)
    split = (groups,) if groups > 1 else ()
    kernels = o.reshape(w, shape=(*split, m // groups, terms))
    columns = o.reshape(o.transpose(seen, axes=(-6, -5, -2, -1, -4, -3)), shape=(n, *split, terms, places))
    return o.reshape(o.matmul(kernels, columns), shape=(n, m, height, width))


define(
    "conv2d", 2, "cross-correlation of images (N, C, H, W) with weights (O, C/groups, kernel height, kernel width)",
    _conv2d_numpy, family="structured", cost="matmul", analytic=True, shape=_conv2d_shape, lower=_conv2d,
    params={"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1},
    magnitude=lambda out, x, w, **p: _conv2d_numpy(np.abs(x), np.abs(w), **p) * max(1.0, math.prod(w.shape[2:]) / 8),
)
