"""What the records of linear algebra share. A matrix lies along the last two axes."""

from __future__ import annotations

import numpy as np

ALL = ("slice", None, None, None)


# ---- what NumPy functions share ---------------------------------------------------------------------------------
def lapack(function):
    """`function` in the precisions that LAPACK has."""

    def call(*arrays, **params):
        dtype = np.result_type(*arrays)
        if dtype.kind not in "fcbiu":
            raise TypeError("it is computed by an algorithm of floating-point arithmetic and has no formula")
        work = {"g": np.dtype(float), "G": np.dtype(complex)}.get(
            dtype.char, dtype if dtype.kind in "fc" else np.dtype(float)
        )
        out = function(*(a.astype(work, copy=False) for a in arrays), **params)
        return out.astype(dtype) if dtype.char in "gG" else out

    return call


def refused_alone(function, core, *arrays):
    """`function` of stacks; a matrix for which LAPACK has no answer gets NaN, and the others theirs."""
    try:
        return function(*arrays)
    except np.linalg.LinAlgError:
        batch = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
        stacks = [np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in arrays]
        out = np.full((*batch, *core), np.nan, np.result_type(*arrays))
        for position in np.ndindex(batch):
            try:
                out[position] = function(*(a[position] for a in stacks))
            except np.linalg.LinAlgError:
                continue
        return out


def finite_alone(function, core, x):
    """The same for iterations, of which some never end where an element is infinite or NaN: such a matrix gets NaN unseen."""
    lost = ~np.isfinite(x).all(axis=(-2, -1))
    if not lost.any():
        return refused_alone(function, core, x)
    out = refused_alone(function, core, np.where(lost[..., None, None], 1, x))
    out[lost] = np.nan
    return out


def turned(x):
    return np.swapaxes(x, -1, -2)


def aligned(x, y):
    """With as many axes: the lane axis stays in front."""
    rank = max(x.ndim, y.ndim)
    return [a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in (x, y)]


def symmetric(x):
    return 0.5 * x + 0.5 * turned(x)


def many(n):
    """n terms round at most n times: n·u ≤ 8·u·max(1, n/8)."""
    return max(1.0, n / 8)


# ---- what shape rules share -------------------------------------------------------------------------------------
def square(x):
    if len(x) < 2 or x[-1] != x[-2]:
        raise ValueError("square matrices along the last two axes are needed")
    return x


def matrices(x):
    if len(x) < 2:
        raise ValueError("matrices along the last two axes are needed")
    return x


def solution_shape(x, y):
    n = square(x)[-1]
    if len(y) < 2 or y[-2] != n:
        raise ValueError(f"the right-hand sides need {n} rows, as many as the matrix has")
    return (*np.broadcast_shapes(x[:-2], y[:-2]), n, y[-1])


# ---- what rules share -------------------------------------------------------------------------------------------
def transposed(o, x):
    return o.transpose(x, axes=(*range(-len(x.shape), -2), -1, -2))


def mean_with_transpose(o, x):
    return (x + transposed(o, x)) * 0.5


def part(o, x, *last):
    """`x[..., *last]`."""
    return o.getitem(x, index=(*(ALL,) * (len(x.shape) - len(last)), *last))


def span(start, stop):
    return ("slice", start, stop, None)


def inner(o, x, y):
    """Sum of products over matrices, as matrices of one element."""
    return o.sum(x * y, axes=(-2, -1), keepdims=True)


def dropped(o, x):
    return o.reshape(x, shape=x.shape[:-2])


def kept(o, x, where):
    """The elements under a mask, zeros elsewhere."""
    return o.where(where, x, 0)


def as_row(o, x):
    return o.reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def as_column(o, x):
    return o.reshape(x, shape=(*x.shape, 1))


def as_matrix(o, x):
    """A number for every matrix, to be multiplied with the matrices."""
    return o.reshape(x, shape=(*x.shape, 1, 1))


# ---- what sources share -----------------------------------------------------------------------------------------
def spelled(text):
    """Sources by target: `text` with {m} for the module that is NumPy's of the target, and {0}, {1} for arguments."""
    return {
        target: text.replace("{m}", module)
        for target, module in (("numpy", "numpy"), ("jax", "jax.numpy"), ("torch", "torch"))
    }
