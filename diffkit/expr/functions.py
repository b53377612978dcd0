"""The functions users write with, under NumPy's names, and the operators of Expr.

Elementwise functions are generated from the op table. Given expressions they build expressions; given plain numbers
or arrays they compute with NumPy, so one function serves both. A type of its own may take part through
``__dk_apply__(op, args, params)`` (dual numbers do).
"""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError, UnsupportedCallError
from ..ops import TABLE, Op
from .node import Expr, constant, make
from .operands import as_expr, axes_of, holds_expr, integer, operands_of, refuse, stacked, stays
from .printing import brief


def apply(op: Op, args: tuple, params: dict[str, Any]) -> Any:
    """`op` on anything with arithmetic: expressions, types with `__dk_apply__`, numbers and arrays."""
    for a in args:
        if a.__class__ is not Expr:
            break
    else:
        return make(op, args, params)
    for a in args:
        if hasattr(type(a), "__dk_apply__"):
            return a.__dk_apply__(op, args, params)
    if builtins.any(isinstance(a, Expr) or holds_expr(a) for a in args):
        return make(op, operands_of(op, args), params)
    if op.family == "elementwise":
        return op.numpy(*args, **{**op.params, **params})
    laned = (np.asarray(a)[None] for a in args)
    return op.numpy(*laned, **{**op.params, **params})[0]


def elementwise(op: Op) -> Callable[..., Any]:
    """The public function of an elementwise operation."""

    name = op.name

    def function(*args: Any, **params: Any) -> Any:
        op = TABLE[name]  # looked up, so that a replaced operation is the new one everywhere
        if op.arity is not None and len(args) != op.arity:
            raise ArgumentError(f"{op.name}() takes {op.arity} argument{'s' * (op.arity != 1)}, {len(args)} given")
        return apply(op, args, params)

    function.__name__ = function.__qualname__ = op.name
    function.elementwise = True  # type: ignore[attr-defined]
    function.__doc__ = f"{op.doc}. Domain: {op.domain}." + (f" At kinks: {op.convention}." if op.convention else "")
    return function


_module = sys.modules[__name__]

if TYPE_CHECKING:  # elementwise functions come from the op table, compositions from the modules imported below
    where: Callable[..., Any]
    astype: Callable[..., Any]

    def __getattr__(name: str) -> Any: ...


def publish(op: Op) -> None:
    """Give an elementwise operation its functions (`dk.<name>` and aliases) and a method that NumPy's object loops find."""
    function = elementwise(op)
    for name in (op.name, *op.aliases):
        setattr(_module, name, function)
        if op.arity == 1 and not op.params and not hasattr(Expr, name):
            setattr(Expr, name, lambda self, _f=function: _f(self))


for _op in [op for op in TABLE.values() if op.family == "elementwise"]:
    publish(_op)


class Rules:
    """The namespace `o` that rules of the op table are written with: every operation by name, exactly as recorded."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in TABLE:
            raise AttributeError(f"there is no operation {name!r}")
        op = TABLE[name]

        def write(*args: Any, **params: Any) -> Any:
            return apply(op, args, params)

        return write

    @staticmethod
    def primitive(name: str, *args: Any, **params: Any) -> Expr:
        """The operation itself, even where another spelling is canonical."""
        return make(TABLE[name], tuple(as_expr(a) for a in args), params, canonical=False)

    @staticmethod
    def zeros(shape: tuple[int, ...]) -> Expr:
        return _filled(0.0, shape)

    @staticmethod
    def ones(shape: tuple[int, ...]) -> Expr:
        return _filled(1.0, shape)

    @staticmethod
    def total(*terms: Expr | None) -> Expr | None:
        """Sum of the terms that are there."""
        result = None
        for t in terms:
            result = t if result is None else result if t is None else result + t
        return result

    @staticmethod
    def sum_to(x: Expr, shape: tuple[int, ...]) -> Expr:
        """The transpose of broadcasting: summed over the axes that broadcasting added or stretched."""
        rank, extra = len(x.shape), len(x.shape) - len(shape)
        axes = tuple(i - rank for i in range(rank) if i < extra or (shape[i - extra] == 1 and x.shape[i] != 1))
        if axes:
            x = make(TABLE["sum"], (x,), {"axes": axes, "keepdims": True})
        return x if x.shape == shape else make(TABLE["reshape"], (x,), {"shape": shape})


def _filled(value: float, shape: tuple[int, ...]) -> Expr:
    return constant(value) if shape == () else make(TABLE["broadcast_to"], (constant(value),), {"shape": tuple(shape)})


RULES = Rules()


# ---- arrays -----------------------------------------------------------------------------------------------------
#: what an element outside `where` counts as, and how `initial` joins the result
_NEUTRAL: dict[str, tuple[float | None, str | None]] = {
    "sum": (0, "add"),
    "prod": (1, "multiply"),
    "max": (-math.inf, "maximum"),
    "min": (math.inf, "minimum"),
    "mean": (None, None),
    "logsumexp": (-math.inf, None),
}


def _reduction(name: str) -> Callable[..., Any]:
    op = TABLE[name]
    joined = _NEUTRAL[name][1]

    def reduce(
        x: Any, axis: Any = None, keepdims: Any = False, *, where: Any = True, initial: Any = None, **ignored: Any
    ) -> Any:
        if builtins.any(v is not None and v is not np._NoValue for v in ignored.values()):
            named = next(k for k, v in ignored.items() if v is not None and v is not np._NoValue)
            raise UnsupportedCallError(f"{name}: the argument {named!r} has no meaning here; leave it out")
        if initial is np._NoValue:
            initial = None
        chosen = where is not True and where is not np._NoValue
        if chosen or initial is not None:
            return _of_some(name, x, axis, stays(keepdims), where if chosen else True, initial)
        rank = np.ndim(x) if not isinstance(x, Expr) else x.ndim
        x = as_expr(x) if holds_expr(x) else x
        axes = axes_of(axis, x.ndim if isinstance(x, Expr) else rank, name)
        if isinstance(x, Expr) and name in ("max", "min") and not math.prod(x.shape[a] for a in axes):
            raise ShapeError(
                f"{name}: core shape {x.shape} has no elements along the axes {axes}; initial= is what none have"
            )
        if not axes and isinstance(x, Expr):
            return x
        return apply(op, (x,), {"axes": axes, "keepdims": stays(keepdims)})

    reduce.__name__ = reduce.__qualname__ = name
    start = f"; initial: {joined} this to the result" if joined else ""
    reduce.__doc__ = f"{op.doc} (core axes; None: all of them). where: of the elements where this holds{start}."
    return reduce


def _of_some(name: str, x: Any, axis: Any, keepdims: bool, where: Any, initial: Any) -> Any:
    """A reduction over the elements where a condition holds, from an initial value."""
    neutral, joined = _NEUTRAL[name]
    reduce = getattr(_module, name)
    if not (isinstance(x, Expr) or isinstance(where, Expr) or isinstance(initial, Expr) or holds_expr([x, where])):
        if name != "logsumexp":
            more = {"initial": initial} if initial is not None else {}
            return getattr(np, name)(x, axis=axis, keepdims=keepdims, where=where, **more)
        return reduce(np.where(where, x, neutral), axis, keepdims)
    if initial is not None and joined is None:
        raise UnsupportedCallError(f"{name}: the argument 'initial' has no meaning here")
    x = as_expr(x)
    if name in ("max", "min") and where is not True and initial is None:
        raise ArgumentError(f"{name}: with where= it needs initial=, which is the result where no element is chosen")
    axes = axes_of(axis, x.ndim, name)
    if where is not True:
        if name == "mean":
            count = sum(broadcast_to(RULES.where(as_expr(where), 1, 0), x.shape), axis, keepdims)
            return sum(x, axis, keepdims, where=where) / count
        x = broadcast_to(RULES.where(where, x, neutral), x.shape)
    if name in ("max", "min") and not math.prod(x.shape[a] for a in axes):  # of nothing
        return broadcast_to(as_expr(initial), _reduced(x.shape, axes, keepdims))
    found = reduce(x, axis, keepdims)
    return found if initial is None else getattr(RULES, str(joined))(found, initial)


def _reduced(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    rank = len(shape)
    return tuple(1 if i - rank in axes else n for i, n in enumerate(shape) if keepdims or i - rank not in axes)


sum = _reduction("sum")
mean = _reduction("mean")
prod = _reduction("prod")
max = amax = _reduction("max")
min = amin = _reduction("min")
logsumexp = _reduction("logsumexp")


def reshape(x: Any, *shape: Any, order: str = "C", **named: Any) -> Any:
    """The same elements in another core shape; one length may be -1. order "F": the first axis fastest, before and after."""
    if not isinstance(x, Expr):
        return np.reshape(x, *shape, order=order, **named)  # type: ignore[call-overload]
    shape = (named.pop("shape"),) if "shape" in named else shape
    refuse("reshape", {**named, "order": None if order in ("C", "F", "A") else order})
    if len(shape) == 1 and isinstance(shape[0], Iterable) and not isinstance(shape[0], Expr):
        shape = tuple(shape[0])
    lengths = [integer(n, "reshape", "a length") for n in shape]
    if lengths.count(-1) == 1:
        known = math.prod(n for n in lengths if n != -1)
        if known and x.size % known == 0:
            lengths[lengths.index(-1)] = x.size // known
    if math.prod(lengths) != x.size or -1 in lengths:
        raise ShapeError(f"reshape: {x.size} elements of core shape {x.shape} do not fit {tuple(shape)}")
    if order == "F":
        return transpose(reshape(transpose(x), lengths[::-1]))
    return x if tuple(lengths) == x.shape else make(TABLE["reshape"], (x,), {"shape": tuple(lengths)})


def shape(x: Any) -> tuple[int, ...]:
    """The core shape."""
    return x.shape if isinstance(x, Expr) else np.shape(x)


def ndim(x: Any) -> int:
    """The number of core axes."""
    return len(shape(x))


def size(x: Any, axis: Any = None) -> int:
    """The number of elements of the core, or its length along axes."""
    lengths = shape(x)
    return math.prod(lengths[a] for a in axes_of(axis, len(lengths), "size"))


def ravel(x: Any, order: str = "C") -> Any:
    """All elements along one axis; order "F": the first axis fastest."""
    if order not in ("C", "A", "K", "F"):
        raise UnsupportedCallError(f"ravel: order={order!r} is neither 'C' nor 'F'")
    return reshape(transpose(x) if order == "F" else x, (-1,))


def expand_dims(x: Any, axis: Any) -> Any:
    """A new core axis of length 1, or several, where the result is to have them."""
    if not isinstance(x, Expr):
        return np.expand_dims(x, axis)
    rank = x.ndim + (len(tuple(axis)) if isinstance(axis, Iterable) else 1)
    new, old = {a + rank for a in axes_of(axis, rank, "expand_dims")}, iter(x.shape)
    return reshape(x, tuple(1 if k in new else next(old) for k in range(rank)))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without core axes of length 1."""
    if not isinstance(x, Expr):
        return np.squeeze(x, axis)
    drop = {a for a in range(-x.ndim, 0) if x.shape[a] == 1} if axis is None else set(axes_of(axis, x.ndim, "squeeze"))
    if builtins.any(x.shape[a] != 1 for a in drop):
        raise ShapeError(f"squeeze: an axis of core shape {x.shape} to be dropped is longer than 1")
    return reshape(x, tuple(x.shape[a] for a in range(-x.ndim, 0) if a not in drop))


def transpose(x: Any, axes: Any = None) -> Any:
    """Core axes in another order; reversed by default."""
    if not isinstance(x, Expr):
        return np.transpose(x, axes)
    order = tuple(range(-1, -x.ndim - 1, -1))
    if axes is not None:
        named = [integer(a, "transpose", "an axis") for a in axes]
        order = tuple(a - x.ndim if a >= 0 else a for a in named)
    if sorted(order) != list(range(-x.ndim, 0)):
        raise ShapeError(f"transpose: {axes} does not name each axis of core shape {x.shape} once")
    return x if order == tuple(range(-x.ndim, 0)) else make(TABLE["transpose"], (x,), {"axes": order})


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two core axes exchanged."""
    if not isinstance(x, Expr):
        return np.swapaxes(x, axis1, axis2)
    order = list(range(-x.ndim, 0))
    (axis1,), (axis2,) = axes_of(axis1, x.ndim, "swapaxes"), axes_of(axis2, x.ndim, "swapaxes")
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Core axes moved to other places: one, or several."""
    if not isinstance(x, Expr):
        return np.moveaxis(x, source, destination)
    sources, places = (tuple(a) if isinstance(a, Iterable) else (a,) for a in (source, destination))
    for named in (sources, places):
        axes_of(named, x.ndim, "moveaxis")  # in range, and none twice
    if len(sources) != len(places):
        raise ShapeError(f"moveaxis: {len(sources)} axes to {len(places)} places")
    order = [a for a in range(x.ndim) if a not in {s % x.ndim for s in sources}]
    for to, a in sorted((p % x.ndim, s % x.ndim) for p, s in zip(places, sources, strict=True)):
        order.insert(to, a)
    return transpose(x, order)


def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeated along new or stretched core axes."""
    lengths = shape if isinstance(shape, Iterable) and not isinstance(shape, Expr) else (shape,)
    shape = tuple(integer(n, "broadcast_to", "a length") for n in lengths)
    if not isinstance(x, Expr):
        return np.broadcast_to(x, shape)
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"broadcast_to: core shape {x.shape} cannot be stretched to {shape}")
    return x if x.shape == shape else make(TABLE["broadcast_to"], (x,), {"shape": shape})


def concatenate(xs: Any, axis: int = 0) -> Any:
    """Arrays joined along an existing core axis."""
    if not builtins.any(isinstance(x, Expr) or holds_expr(x) for x in xs):
        return np.concatenate(xs, axis=axis)
    parts = tuple(as_expr(x) for x in xs)
    if not parts[0].shape or len({p.ndim for p in parts}) > 1:
        raise ShapeError(
            f"concatenate: core shapes {', '.join(str(p.shape) for p in parts)} need the same number of axes, at least 1"
        )
    if axis is None:
        raise ShapeError("concatenate: name the axis; to join all elements write ravel on each")
    (place,) = axes_of(axis, parts[0].ndim, "concatenate")
    if len({(*p.shape[: p.ndim + place], *p.shape[p.ndim + place + 1 :]) for p in parts}) > 1:
        raise ShapeError(f"concatenate: core shapes {', '.join(str(p.shape) for p in parts)} differ beside axis {axis}")
    return make(TABLE["concatenate"], parts, {"axis": place})


def stack(xs: Any, axis: int = 0) -> Any:
    """Arrays of one core shape joined along a new axis."""
    if not builtins.any(isinstance(x, Expr) or holds_expr(x) for x in xs):
        return np.stack(xs, axis=axis)
    return stacked([as_expr(x) for x in xs], axis)


def getitem(x: Expr, index: Any) -> Expr:
    """Elements by an index: integers, slices, `...`, None, integer arrays (known, or expressions), masks of fixed content."""
    parts = index if isinstance(index, tuple) else (index,)
    if holds_expr(parts):
        return indexing.getitem(x, parts)
    frozen: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis:
            frozen.append(part)
        elif isinstance(part, slice):
            ends = (part.start, part.stop, part.step)
            frozen.append(
                ("slice", *(None if v is None else integer(v, "indexing", "an end of a slice") for v in ends))
            )
        elif isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_)):
            frozen.append(int(part))
        else:
            array = np.asarray(part, dtype=np.int64 if isinstance(part, list) and not part else None)
            if array.dtype == bool:
                taken = sum_of_axes(frozen)
                if Ellipsis not in frozen and array.shape != x.shape[taken : taken + array.ndim]:
                    raise ShapeError(
                        f"indexing core shape {x.shape}: a boolean mask of shape {array.shape} does not fit"
                    )
                frozen.extend(("array", a.shape, a.astype(np.int64).tobytes()) for a in array.nonzero())
            elif array.dtype.kind in "iu":
                frozen.append(("array", array.shape, np.ascontiguousarray(array, np.int64).tobytes()))
            else:
                raise DtypeError(f"an index is made of integers, slices or booleans, not {array.dtype}")
    if frozen.count(Ellipsis) > 1:
        raise ShapeError(f"indexing core shape {x.shape}: only one ... can stand in an index")
    rest = x.ndim - sum_of_axes(frozen)
    place = frozen.index(Ellipsis) if Ellipsis in frozen else len(frozen)
    frozen[place : place + 1] = [("slice", None, None, None)] * builtins.max(rest, 0)
    try:
        result = make(TABLE["getitem"], (x,), {"index": tuple(frozen)})
    except ShapeError:
        raise ShapeError(_outside(x, tuple(frozen))) from None
    return x if result.shape == x.shape and builtins.all(p == ("slice", None, None, None) for p in frozen) else result


def _outside(x: Expr, index: tuple) -> str:
    """Why there are no such elements."""
    try:
        TABLE["getitem"].shape(x.shape, index=index)  # type: ignore[misc]
    except (IndexError, ValueError) as problem:
        return f"indexing {brief(x, 60)} of core shape {x.shape}: {problem}"
    raise AssertionError("an index that fits")


def sum_of_axes(index: list[Any]) -> int:
    """How many axes of its array an index takes: every part one, but None and `...` none."""
    return len([part for part in index if part is not None and part is not Ellipsis])


def matmul(x: Any, y: Any) -> Any:
    """Matrix product of core arrays, with NumPy's rules for vectors and stacks of matrices."""
    if not (isinstance(x, Expr) or isinstance(y, Expr) or holds_expr(x) or holds_expr(y)):
        return np.matmul(x, y)
    return _product("matmul", as_expr(x), as_expr(y))


def _product(name: str, x: Expr, y: Expr) -> Expr:
    if not x.shape or not y.shape:
        raise ShapeError(f"{name}: a scalar has no matrix product; write * instead")
    left, right = x.ndim == 1, y.ndim == 1
    if x.shape[-1] != y.shape[-1 if right else -2]:
        raise ShapeError(
            f"{name}: core shapes {x.shape} and {y.shape} do not fit: the last axis of the first has length {x.shape[-1]}, the "
            f"{'only axis' if right else 'last but one'} of the second {y.shape[-1 if right else -2]}. x.T and x.reshape(…) "
            f"rearrange axes. The operands are {brief(x, 60)}, {brief(y, 60)}"
        )
    z = make(TABLE["matmul"], (expand_dims(x, 0) if left else x, expand_dims(y, 1) if right else y), {})
    if left:
        z = squeeze(z, -1 if right else -2) if not right else reshape(z, z.shape[:-2])
    elif right:
        z = squeeze(z, -1)
    return z


def dot(x: Any, y: Any) -> Any:
    """NumPy's dot for core arrays of at most two axes (and products with a scalar)."""
    if not (isinstance(x, Expr) or isinstance(y, Expr)):
        return np.dot(x, y)
    x, y = as_expr(x), as_expr(y)
    if not x.shape or not y.shape:
        return x * y
    if x.ndim > 2 or y.ndim > 2:
        raise UnsupportedCallError("dot: for more than two axes write matmul, which is clear about stacks of matrices")
    return _product("dot", x, y)


def _like(name: str, value: float) -> Callable[..., Any]:
    def function(
        a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
    ) -> Any:
        if not (isinstance(a, Expr) or holds_expr(a)):
            return np.full_like(a, value, dtype=dtype, shape=shape)
        refuse(name, {"device": device})
        filled = broadcast_to(as_expr(value), as_expr(a).shape if shape is None else shape)
        return filled if dtype is None else indexing.astype(filled, dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{'Ones' if value else 'Zeros'} in the shape of `a` (or in `shape`), of `dtype` if one is given."
    )
    return function


zeros_like, ones_like, empty_like = (
    _like(name, value) for name, value in (("zeros_like", 0.0), ("ones_like", 1.0), ("empty_like", 0.0))
)


from . import (  # noqa: E402, F401  (add the operators, and the functions that are composed of those above)
    arranging,
    compositions,
    convolution,
    differences,
    elementary,
    indexing,
    linalg,
    operators,
    quantiles,
    statistics,
)
from .einsum import einsum  # noqa: E402, F401
from .scan import checkpoint, cond, scan, stop_gradient  # noqa: E402, F401
