"""Array functions under NumPy's names that need no operation of their own: compositions of those in the op table.

They take NumPy's arguments and give NumPy's results. Shapes are core shapes, loop dims ride along. Every argument may be
an expression, a number, an array, or nested sequences of these; where none holds an expression, NumPy itself answers.
Whatever says how elements are arranged (axes, indices, repeats, widths) is fixed when the expression is built. Shapes
that do not fit are a ShapeError that names the function.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from ..errors import ShapeError, UnsupportedError
from ..ops import TABLE
from . import functions as dk
from .functions import _axes, _holds_expr, as_expr
from .node import Expr, make

_F = TypeVar("_F", bound=Callable[..., Any])
#: every function of this module by name
COMPOSITIONS: dict[str, Callable[..., Any]] = {}


def _composition(function: _F) -> _F:
    """`function` where an argument holds an expression, NumPy's of that name where none does; published beside the others."""
    name = function.__name__
    plain = getattr(np, name, function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(a, Expr) or _holds_expr(a) for a in (*args, *kwargs.values())):
            return plain(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except ShapeError as problem:
            if str(problem).startswith(f"{name}: "):
                raise
            raise ShapeError(f"{name}: {problem}") from None

    COMPOSITIONS[name] = call
    setattr(dk, name, call)
    return call  # type: ignore[return-value]


def _refuse(name: str, arguments: dict[str, Any]) -> None:
    """Arguments of NumPy's that say how to store or compute, not what."""
    for key, value in arguments.items():
        if value is not None and value is not np._NoValue:
            raise UnsupportedError(f"{name}: the argument {key!r} has no meaning here")


def _at(x: Expr, axis: int, index: Any) -> Expr:
    """`x[:, ..., index]` with the index at a (negative) axis."""
    return dk.getitem(x, (*(slice(None),) * (x.ndim + axis), index))


def _array_index(index: np.ndarray) -> tuple:
    return ("array", index.shape, np.ascontiguousarray(index, np.int64).tobytes())


# ---- products -----------------------------------------------------------------------------------------------------
@_composition
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Products of every element of `a` with every element of `b`: shape (a.size, b.size)."""
    _refuse("outer", {"out": out})
    return dk.reshape(as_expr(a), (-1, 1)) * dk.reshape(as_expr(b), (1, -1))


@_composition
def inner(a: Any, b: Any) -> Any:
    """Sum of products over the last axes: shape (*a.shape[:-1], *b.shape[:-1]); a scalar multiplies."""
    a, b = as_expr(a), as_expr(b)
    if not a.shape or not b.shape:
        return a * b
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"inner: the last axes of core shapes {a.shape} and {b.shape} differ")
    return tensordot(a, b, (-1, -1))


@_composition
def vdot(a: Any, b: Any) -> Any:
    """Sum of products of all elements, in order: a scalar."""
    a, b = as_expr(a), as_expr(b)
    if a.size != b.size:
        raise ShapeError(f"vdot: core shapes {a.shape} and {b.shape} have different numbers of elements")
    return dk.matmul(dk.ravel(a), dk.ravel(b))


@_composition
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
        _axes(named, x.ndim, f"tensordot of core shapes {a.shape} and {b.shape}")  # in range, and none twice
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


@_composition
def kron(a: Any, b: Any) -> Any:
    """Kronecker product: `b` scaled by each element of `a`, in blocks; lengths multiply along every axis."""
    a, b = as_expr(a), as_expr(b)
    rank = max(a.ndim, b.ndim)
    blocks, inside = ((1,) * (rank - x.ndim) + x.shape for x in (a, b))
    scaled = dk.reshape(a, [n for m in blocks for n in (m, 1)]) * dk.reshape(b, [n for m in inside for n in (1, m)])
    return dk.reshape(scaled, tuple(m * n for m, n in zip(blocks, inside, strict=True)))


@_composition
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
@_composition
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, as the last axis of the result."""
    x = as_expr(a)
    if x.ndim < 2:
        raise ShapeError(f"diagonal: core shape {x.shape} has fewer than two axes")
    pair = [_axes(axis, x.ndim, "diagonal")[0] for axis in (axis1, axis2)]
    if pair[0] == pair[1]:
        raise ShapeError(f"diagonal: axis1 and axis2 are the same axis of core shape {x.shape}")
    x = dk.transpose(x, [i for i in range(-x.ndim, 0) if i not in pair] + pair)
    rows = np.arange(max(-offset, 0), max(min(x.shape[-2], x.shape[-1] - offset), max(-offset, 0)))
    return x[..., rows, rows + offset]


@_composition
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Sum of the diagonal of two axes."""
    _refuse("trace", {"dtype": dtype, "out": out})
    return dk.sum(diagonal(as_expr(a), offset, axis1, axis2), axis=-1)


@_composition
def diag(v: Any, k: int = 0) -> Any:
    """The k-th diagonal of a matrix; of a vector, the square matrix that has it there and zeros elsewhere."""
    x = as_expr(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: core shape {x.shape} is neither of a vector nor of a matrix")
    rows, n = np.arange(x.size) + max(-k, 0), x.size + abs(k)
    return make(TABLE["scatter"], (x,), {"index": (_array_index(rows), _array_index(rows + k)), "shape": (n, n)})


def _triangle(name: str, m: Any, mask: Callable[..., Any], k: int) -> Expr:
    x = as_expr(m)
    if not x.shape:
        raise ShapeError(f"{name}: core shape () has no triangle; at least one axis is needed")
    return dk.where(mask(np.ones(x.shape[-2:] if x.ndim > 1 else x.shape * 2, bool), k), x, 0)  # type: ignore[attr-defined]


@_composition
def tril(m: Any, k: int = 0) -> Any:
    """The last two axes with zeros above the k-th diagonal."""
    return _triangle("tril", m, np.tril, k)


@_composition
def triu(m: Any, k: int = 0) -> Any:
    """The last two axes with zeros below the k-th diagonal."""
    return _triangle("triu", m, np.triu, k)


# ---- statistics ---------------------------------------------------------------------------------------------------
def _deviations(name: str, a: Any, axis: Any, ddof: float) -> tuple[Expr, tuple[int, ...], float]:
    """What is left of the mean, the axes, and the degrees of freedom (none left: a division by zero, as in NumPy)."""
    x = as_expr(a)
    axes = _axes(axis, x.ndim, name)
    return x - dk.mean(x, axes, keepdims=True), axes, max(math.prod(x.shape[i] for i in axes) - ddof, 0)


@_composition
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, **ignored: Any
) -> Any:
    """Mean squared deviation from the mean over axes (all by default), over n - ddof."""
    _refuse("var", {"dtype": dtype, "out": out, **ignored})
    rest, axes, freedom = _deviations("var", a, axis, ddof)
    return dk.sum(dk.square(rest), axes, keepdims=_kept(keepdims)) / freedom  # type: ignore[attr-defined]


@_composition
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, **ignored: Any
) -> Any:
    """Root of the variance over axes (all by default). Where all elements are equal its derivative is 0, as that of norm."""
    _refuse("std", {"dtype": dtype, "out": out, **ignored})
    rest, axes, freedom = _deviations("std", a, axis, ddof)
    if not rest.size:  # no length either, but of no elements it is not a number
        return dk.sqrt(dk.sum(rest, axes, keepdims=_kept(keepdims)) / freedom)  # type: ignore[attr-defined]
    return dk.norm(rest, axis=axes, keepdims=_kept(keepdims)) / math.sqrt(freedom)


def _kept(keepdims: Any) -> bool:
    return keepdims is not np._NoValue and bool(keepdims)


@_composition
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """Mean with weights of the shape of `a`, or of its lengths along `axis`; `returned`: with the sums of the weights.

    Weights that sum to zero divide by zero.
    """
    x, kept = as_expr(a), _kept(keepdims)
    axes = _axes(axis, x.ndim, "average")
    w = as_expr(1.0 if weights is None else weights)
    if weights is not None and w.shape != x.shape:
        named = [i % x.ndim for i in (axis if isinstance(axis, Iterable) else (axis,))] if axis is not None else []
        if axis is None or w.shape != tuple(x.shape[i] for i in named):
            raise ShapeError(f"average: weights of core shape {w.shape} do not fit core shape {x.shape}, axis {axis}")
        w = dk.transpose(w, np.argsort(named))
        w = dk.reshape(w, tuple(n if i in named else 1 for i, n in enumerate(x.shape)))
    total = dk.sum(dk.broadcast_to(w, x.shape), axes, keepdims=kept)
    found = dk.mean(x, axes, keepdims=kept) if weights is None else dk.sum(x * w, axes, keepdims=kept) / total
    return (found, total) if returned else found


@_composition
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """Logarithm of softmax, without overflow: x - logsumexp(x) over an axis or several (None: all)."""
    x = as_expr(x) if _holds_expr(x) else np.asarray(x) if isinstance(x, (list, tuple)) else x
    return x - dk.logsumexp(x, axis, keepdims=True)


@_composition
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) over its sum along an axis or several (None: all), without overflow."""
    return dk.exp(log_softmax(x, axis))  # type: ignore[attr-defined]


# ---- repeating, reordering, choosing ------------------------------------------------------------------------------
@_composition
def tile(A: Any, reps: Any) -> Any:
    """The whole array side by side, `reps` times along each axis (the last ones, if they are fewer)."""
    x = as_expr(A)
    times = tuple(int(r) for r in reps) if isinstance(reps, Iterable) else (int(reps),)
    if any(r < 0 for r in times):
        raise ShapeError(f"tile: core shape {x.shape} cannot be repeated {reps} times")
    rank = max(x.ndim, len(times))
    lengths, times = (1,) * (rank - x.ndim) + x.shape, (1,) * (rank - len(times)) + times
    x = dk.reshape(x, [n for m in lengths for n in (1, m)])
    x = dk.broadcast_to(x, [n for pair in zip(times, lengths, strict=True) for n in pair])
    return dk.reshape(x, tuple(r * m for r, m in zip(times, lengths, strict=True)))


@_composition
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element `repeats` times along an axis (None: of all elements in a row); one number, or one for each element."""
    x = as_expr(a)
    x, axis = (dk.ravel(x), -1) if axis is None else (x, axis)
    (axis,) = _axes(axis, x.ndim, "repeat")
    n, counts = x.shape[axis], np.asarray(repeats)
    if counts.dtype.kind not in "iub" or counts.ndim > 1 or counts.size not in (1, n) or (counts < 0).any():
        raise ShapeError(
            f"repeat: repeats={repeats} are not {n} counts, or one, for axis {axis} of core shape {x.shape}"
        )
    if counts.size != 1:
        return _at(x, axis, np.repeat(np.arange(n), counts))
    times = int(counts.reshape(()))
    before, after = x.shape[: x.ndim + axis], x.shape[x.ndim + axis + 1 :]
    stretched = dk.broadcast_to(dk.reshape(x, (*before, n, 1, *after)), (*before, n, times, *after))
    return dk.reshape(stretched, (*before, n * times, *after))


@_composition
def flip(m: Any, axis: Any = None) -> Any:
    """Elements in reverse order along axes (None: all)."""
    x = as_expr(m)
    axes = _axes(axis, x.ndim, "flip")
    return dk.getitem(x, tuple(slice(None, None, -1 if i in axes else None) for i in range(-x.ndim, 0)))


@_composition
def flipud(m: Any) -> Any:
    """Elements in reverse order along the first axis."""
    return flip(as_expr(m), 0)


@_composition
def fliplr(m: Any) -> Any:
    """Elements in reverse order along the second axis."""
    return flip(as_expr(m), 1)


@_composition
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved on by `shift` along axes (None: all elements in a row), those past the end back to the start."""
    x = as_expr(a)
    if axis is None:
        return dk.reshape(roll(dk.ravel(x), shift, 0), x.shape)
    try:
        moves = list(np.broadcast(shift, axis))
    except ValueError:
        raise ShapeError(f"roll: shift={shift} and axis={axis} are not as many, for core shape {x.shape}") from None
    for s, i in moves:
        (place,) = _axes(int(i), x.ndim, "roll")
        cut = x.shape[place] - int(s) % max(x.shape[place], 1)
        if cut < x.shape[place]:
            x = dk.concatenate((_at(x, place, slice(cut, None)), _at(x, place, slice(None, cut))), place)
    return x


@_composition
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """Elements at integer indices along an axis (None: of all elements in a row)."""
    _refuse("take", {"out": out, "mode": None if mode == "raise" else mode})
    x = as_expr(a)
    x, axis = (dk.ravel(x), -1) if axis is None else (x, axis)
    (axis,) = _axes(axis, x.ndim, "take")
    if isinstance(indices, Expr) or _holds_expr(indices):
        return _at(x, axis, dk.indexing.integer_index("take", indices))
    index = np.asarray(indices)
    return _at(x, axis, index.astype(np.int64) if index.dtype == bool else index)  # no mask: False is 0, as in NumPy


# ---- joining and splitting ----------------------------------------------------------------------------------------
@_composition
def pad(array: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0) -> Any:
    """Constants before and after each axis: widths and values are one number, one pair, or one pair for each axis."""
    if mode != "constant":
        raise UnsupportedError(f"pad: mode {mode!r} is not there; only 'constant' is")
    x = as_expr(array)
    values = np.array(constant_values, object)
    try:
        widths = [[operator.index(n) for n in pair] for pair in np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))]
        values = np.broadcast_to(values, (x.ndim, 2))
    except (ValueError, TypeError):
        widths = [[-1]]
    if any(n < 0 for pair in widths for n in pair):
        raise ShapeError(
            f"pad: pad_width={pad_width}, constant_values={constant_values} do not fit core shape {x.shape}"
        )
    for i, (pair, ends) in enumerate(zip(widths, values, strict=True)):
        before, after = (
            dk.broadcast_to(as_expr(end), (*x.shape[:i], n, *x.shape[i + 1 :]))
            for n, end in zip(pair, ends, strict=True)
        )
        x = dk.concatenate([part for part in (before, x, after) if part is x or part.shape[i]], i) if any(pair) else x
    return x


@_composition
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A list of consecutive parts along an axis: as equal as can be if their number is given, else cut at the indices."""
    x = as_expr(ary)
    (axis,) = _axes(axis, x.ndim, "array_split")
    n = x.shape[axis]
    if isinstance(indices_or_sections, Iterable):
        cuts = [int(i) for i in indices_or_sections]
    elif (sections := int(indices_or_sections)) > 0:
        longer = n % sections
        cuts = [i * (n // sections) + min(i, longer) for i in range(1, sections)]
    else:
        raise ShapeError(f"array_split: core shape {x.shape} cannot be split into {sections} parts")
    return [_at(x, axis, slice(start, stop)) for start, stop in zip([0, *cuts], [*cuts, n], strict=True)]


@_composition
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A list of consecutive parts along an axis: equal ones if their number is given, else cut at the indices."""
    x = as_expr(ary)
    (axis,) = _axes(axis, x.ndim, "split")
    if not isinstance(indices_or_sections, Iterable) and x.shape[axis] % max(int(indices_or_sections), 1):
        raise ShapeError(f"split: core shape {x.shape} is not {indices_or_sections} equal parts along axis {axis}")
    return array_split(x, indices_or_sections, axis)


@_composition
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays side by side: joined along the second axis, vectors and scalars along the first."""
    _refuse("hstack", {"dtype": dtype})
    parts = [x if x.shape else dk.ravel(x) for x in map(as_expr, tup)]
    return dk.concatenate(parts, 0 if parts[0].ndim == 1 else 1)


@_composition
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays below each other: joined along the first axis; vectors are rows."""
    _refuse("vstack", {"dtype": dtype})
    return dk.concatenate([x if x.ndim > 1 else dk.reshape(x, (1, -1)) for x in map(as_expr, tup)], 0)


for _name in ("diagonal", "repeat", "std", "take", "trace", "var"):  # the methods that NumPy's arrays have
    setattr(Expr, _name, COMPOSITIONS[_name])
