"""How elements are arranged, under NumPy's names: repeated, reordered, padded, joined, split, put along other axes.

Compositions of operations; arguments as in compositions.py. Whatever says how elements are arranged is fixed when the expression is
built, but for the indices of `take`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import ShapeError, UnsupportedCallError
from . import functions as dk
from .node import Expr
from .operands import as_expr, at, axes_of, holds_expr, integer, refuse
from .publishing import composition


# ---- repeating, reordering, choosing ------------------------------------------------------------------------------
@composition
def tile(A: Any, reps: Any) -> Any:
    """The whole array side by side, `reps` times along each axis (the last ones, if they are fewer)."""
    x = as_expr(A)
    times = tuple(integer(r, "tile", "a number of times") for r in (reps if isinstance(reps, Iterable) else (reps,)))
    if any(r < 0 for r in times):
        raise ShapeError(f"tile: core shape {x.shape} cannot be repeated {reps} times")
    rank = max(x.ndim, len(times))
    lengths, times = (1,) * (rank - x.ndim) + x.shape, (1,) * (rank - len(times)) + times
    x = dk.reshape(x, [n for m in lengths for n in (1, m)])
    x = dk.broadcast_to(x, [n for pair in zip(times, lengths, strict=True) for n in pair])
    return dk.reshape(x, tuple(r * m for r, m in zip(times, lengths, strict=True)))


@composition
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element `repeats` times along an axis (None: of all elements in a row); one number, or one for each element."""
    x = as_expr(a)
    x, axis = (dk.ravel(x), 0) if axis is None else (x, axis)
    (place,) = axes_of(axis, x.ndim, "repeat")
    n, counts = x.shape[place], np.asarray(repeats)
    if counts.dtype.kind not in "iub" or counts.ndim > 1 or counts.size not in (1, n) or (counts < 0).any():
        raise ShapeError(
            f"repeat: repeats={repeats} are not {n} counts, or one, for axis {axis} of core shape {x.shape}"
        )
    if counts.size != 1:
        return at(x, place, np.repeat(np.arange(n), counts))
    times = int(counts.reshape(()))
    before, after = x.shape[: x.ndim + place], x.shape[x.ndim + place + 1 :]
    stretched = dk.broadcast_to(dk.reshape(x, (*before, n, 1, *after)), (*before, n, times, *after))
    return dk.reshape(stretched, (*before, n * times, *after))


@composition
def flip(m: Any, axis: Any = None) -> Any:
    """Elements in reverse order along axes (None: all)."""
    x = as_expr(m)
    axes = axes_of(axis, x.ndim, "flip")
    return dk.getitem(x, tuple(slice(None, None, -1 if i in axes else None) for i in range(-x.ndim, 0)))


@composition
def flipud(m: Any) -> Any:
    """Elements in reverse order along the first axis."""
    return flip(as_expr(m), 0)


@composition
def fliplr(m: Any) -> Any:
    """Elements in reverse order along the second axis."""
    return flip(as_expr(m), 1)


@composition
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
        (place,) = axes_of(int(i), x.ndim, "roll")
        cut = x.shape[place] - int(s) % max(x.shape[place], 1)
        if cut < x.shape[place]:
            x = dk.concatenate((at(x, place, slice(cut, None)), at(x, place, slice(None, cut))), place)
    return x


@composition
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """Elements at integer indices along an axis (None: of all elements in a row)."""
    refuse("take", {"out": out, "mode": None if mode == "raise" else mode})
    x = as_expr(a)
    x, axis = (dk.ravel(x), -1) if axis is None else (x, axis)
    (axis,) = axes_of(axis, x.ndim, "take")
    if isinstance(indices, Expr) or holds_expr(indices):
        return at(x, axis, dk.indexing.integer_index("take", indices))
    index = np.asarray(indices)
    return at(x, axis, index.astype(np.int64) if index.dtype == bool else index)  # no mask: False is 0, as in NumPy


# ---- joining and splitting ----------------------------------------------------------------------------------------
#: np.pad's ways to fill the border with elements of the array, which are gathers
_MIRRORS = ("edge", "reflect", "symmetric", "wrap")


@composition
def pad(
    array: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0, reflect_type: str = "even"
) -> Any:
    """Elements before and after each axis: widths are one number, one pair, one pair for each axis, or a dict by axis.

    mode: "constant" (`constant_values`: as widths), "edge", "reflect", "symmetric" or "wrap", as numpy.pad.
    """
    x = as_expr(array)
    if mode not in ("constant", *_MIRRORS):
        raise UnsupportedCallError(f"pad: mode {mode!r} is not there; 'constant', {', '.join(map(repr, _MIRRORS))} are")
    if reflect_type != "even":
        raise UnsupportedCallError("pad: of reflect_type only 'even' is there")
    values = np.array(constant_values, object)
    if isinstance(pad_width, dict):
        by_axis = {axes_of(i, x.ndim, "pad")[0] + x.ndim: w for i, w in pad_width.items()}
        pad_width = [np.broadcast_to(by_axis.get(i, 0), 2).tolist() for i in range(x.ndim)]
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
        if any(pair):
            x = _constants_around(x, i, pair, ends) if mode == "constant" else _mirrored(x, i, pair, mode)
    return x


def _constants_around(x: Expr, i: int, pair: list[int], ends: Any) -> Expr:
    before, after = (
        dk.broadcast_to(as_expr(end), (*x.shape[:i], n, *x.shape[i + 1 :])) for n, end in zip(pair, ends, strict=True)
    )
    return dk.concatenate([part for part in (before, x, after) if part is x or part.shape[i]], i)


def _mirrored(x: Expr, i: int, pair: list[int], mode: Any) -> Expr:
    if not x.shape[i]:
        raise ShapeError(f"pad: core shape {x.shape} has no elements along axis {i} to pad with")
    return at(x, i - x.ndim, np.pad(np.arange(x.shape[i]), pair, mode=mode))


@composition
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A list of consecutive parts along an axis: as equal as can be if their number is given, else cut at the indices."""
    x = as_expr(ary)
    (axis,) = axes_of(axis, x.ndim, "array_split")
    n = x.shape[axis]
    if isinstance(indices_or_sections, Iterable):
        cuts = [integer(i, "array_split", "a cut") for i in indices_or_sections]
    elif (sections := integer(indices_or_sections, "array_split", "the number of parts")) > 0:
        longer = n % sections
        cuts = [i * (n // sections) + min(i, longer) for i in range(1, sections)]
    else:
        raise ShapeError(f"array_split: core shape {x.shape} cannot be split into {sections} parts")
    return [at(x, axis, slice(start, stop)) for start, stop in zip([0, *cuts], [*cuts, n], strict=True)]


@composition
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A list of consecutive parts along an axis: equal ones if their number is given, else cut at the indices."""
    x = as_expr(ary)
    (place,) = axes_of(axis, x.ndim, "split")
    if not isinstance(indices_or_sections, Iterable) and x.shape[place] % max(
        integer(indices_or_sections, "split", "the number of parts"), 1
    ):
        raise ShapeError(f"split: core shape {x.shape} is not {indices_or_sections} equal parts along axis {axis}")
    return array_split(x, indices_or_sections, axis)


@composition
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays side by side: joined along the second axis, vectors and scalars along the first."""
    refuse("hstack", {"dtype": dtype})
    parts = [x if x.shape else dk.ravel(x) for x in map(as_expr, tup)]
    return dk.concatenate(parts, 0 if parts[0].ndim == 1 else 1)


@composition
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Arrays below each other: joined along the first axis; vectors are rows."""
    refuse("vstack", {"dtype": dtype})
    return dk.concatenate([x if x.ndim > 1 else dk.reshape(x, (1, -1)) for x in map(as_expr, tup)], 0)


@composition
def dstack(tup: Any) -> Any:
    """Arrays behind each other: joined along the third axis, which vectors and matrices are given."""
    return dk.concatenate([atleast_3d(x) for x in map(as_expr, tup)], 2)


@composition
def column_stack(tup: Any) -> Any:
    """Arrays side by side; vectors are columns."""
    return dk.concatenate([x if x.ndim > 1 else dk.reshape(x, (-1, 1)) for x in map(as_expr, tup)], 1)


@composition
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` after the elements along an axis (None: all elements of both in a row)."""
    x, y = as_expr(arr), as_expr(values)
    return dk.concatenate([dk.ravel(x), dk.ravel(y)]) if axis is None else dk.concatenate([x, y], axis)


@composition
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Without the elements at known places along an axis (None: of all elements in a row)."""
    x = as_expr(arr)
    x, axis = (dk.ravel(x), -1) if axis is None else (x, axis)
    (place,) = axes_of(axis, x.ndim, "delete")
    try:
        return at(x, place, np.delete(np.arange(x.shape[place]), obj))
    except IndexError as problem:
        raise ShapeError(f"delete: core shape {x.shape}: {problem}") from None


def _splitting(name: str, axis: int) -> None:
    def function(ary: Any, indices_or_sections: Any) -> list[Any]:
        x = as_expr(ary)
        return split(x, indices_or_sections, 0 if name == "hsplit" and x.ndim == 1 else axis)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"A list of consecutive parts along axis {axis}{' (of a vector: 0)' if name == 'hsplit' else ''}: see split."
    )
    composition(function)


for _name, _axis in (("vsplit", 0), ("hsplit", 1), ("dsplit", 2)):
    _splitting(_name, _axis)


@composition
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts along an axis, without it."""
    x = as_expr(x)
    (place,) = axes_of(axis, x.ndim, "unstack")
    return tuple(at(x, place, i) for i in range(x.shape[place]))


# ---- shapes -------------------------------------------------------------------------------------------------------
def _at_least(name: str, shaped: Callable[[tuple[int, ...]], tuple[int, ...]], doc: str) -> Callable[..., Any]:
    def function(*arys: Any) -> Any:
        found = tuple(dk.reshape(x, shaped(x.shape)) for x in map(as_expr, arys))
        return found[0] if len(found) == 1 else found

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composition(function)


atleast_1d = _at_least("atleast_1d", lambda s: s or (1,), "Arrays with an axis at least; of several a tuple.")
atleast_2d = _at_least(
    "atleast_2d", lambda s: (1,) * (2 - len(s)) + s, "Arrays with two axes at least, new ones in front."
)
atleast_3d = _at_least(
    "atleast_3d",
    lambda s: s if len(s) > 2 else {0: (1, 1, 1), 1: (1, *s, 1)}.get(len(s), (*s, 1)),
    "Arrays with three axes at least: a vector is put along the second, a matrix along the first two.",
)


@composition
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved in front of the one that is number `start` now."""
    x = as_expr(a)
    (place,) = axes_of(axis, x.ndim, "rollaxis")
    if not -x.ndim <= start <= x.ndim:
        raise ShapeError(f"rollaxis: start {start} is out of range for core shape {x.shape}")
    place, start = place + x.ndim, start + x.ndim if start < 0 else start
    return dk.moveaxis(x, place, start - (place < start))


@composition
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned by k right angles in the plane of two axes, from the first towards the second."""
    x = as_expr(m)
    first, second = axes
    if len(axes_of(axes, x.ndim, "rot90")) != 2:
        raise ShapeError(f"rot90: axes={axes} are not two axes")
    for _ in range(k % 4):
        x = dk.swapaxes(flip(x, second), first, second)
    return x


@composition
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    x = as_expr(x)
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: core shape {x.shape} has fewer than two axes")
    return dk.swapaxes(x, -1, -2)


setattr(dk, "permute_dims", dk.transpose)


@composition
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """All arrays stretched to the shape that they have together."""
    made = [as_expr(a) for a in args]
    try:
        shape = np.broadcast_shapes(*(x.shape for x in made))
    except ValueError:
        raise ShapeError(f"core shapes {', '.join(str(x.shape) for x in made)} do not broadcast") from None
    return tuple(dk.broadcast_to(x, shape) for x in made)


@composition
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinates of a grid from those along its axes; "xy": the first one runs along the second axis."""
    if indexing not in ("xy", "ij"):
        raise UnsupportedCallError(f"meshgrid: indexing={indexing!r} is neither 'xy' nor 'ij'")
    rank, made = len(xi), []
    for i, x in enumerate(map(as_expr, xi)):
        place = 1 - i if indexing == "xy" and rank > 1 and i < 2 else i
        made.append(dk.reshape(x, (*(1,) * place, -1, *(1,) * (rank - 1 - place))))
    return tuple(made) if sparse else broadcast_arrays(*made)


@composition
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:  # fmt: skip
    """`fill_value` in the shape of `a` (or in `shape`), and in its dtype, or in `dtype`."""
    refuse("full_like", {"device": device})
    x = as_expr(a)
    filled = dk.broadcast_to(as_expr(fill_value), x.shape if shape is None else shape)
    return dk.astype(filled, x.dtype if dtype is None else dtype)


@composition
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0, *,
    device: Any = None,
) -> Any:  # fmt: skip
    """`num` values from `start` to `stop` at equal distances, along a new axis; `endpoint` false: without `stop`."""
    refuse("linspace", {"dtype": dtype, "device": device})
    first, last, count = as_expr(start), as_expr(stop), integer(num, "linspace", "the number of values")
    parts = count - 1 if endpoint else count
    shape = (last - first).shape
    step = (last - first) / parts if parts > 0 else (last - first) * math.nan
    places = np.arange(float(max(count, 0))).astype("float32" if step.dtype == "float32" else "float64")
    places = places.reshape(-1, *(1,) * len(shape))
    made = dk.broadcast_to(first + (step * places if parts > 0 else 0 * places), (len(places), *shape))
    if endpoint and count > 1:  # what is added up is rounded
        made = dk.concatenate([made[:-1], dk.broadcast_to(last, (1, *shape))])
    made = dk.moveaxis(made, 0, axis)
    return (made, step) if retstep else made
