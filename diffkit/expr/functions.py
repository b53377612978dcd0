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

from ..errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from ..ops import TABLE, Op
from .node import Expr, constant, make


def as_expr(value: Any) -> Expr:
    """An expression from an expression, a number, an array, or nested sequences that hold expressions."""
    if isinstance(value, Expr):
        return value
    if _holds_expr(value):
        return as_expr(value.item()) if getattr(value, "ndim", 1) == 0 else stack([as_expr(v) for v in value])
    return constant(value)


def _holds_expr(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype == object and builtins.any(isinstance(v, Expr) for v in value.flat)
    return isinstance(value, (list, tuple)) and builtins.any(isinstance(v, Expr) or _holds_expr(v) for v in value)


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
    if builtins.any(isinstance(a, Expr) or _holds_expr(a) for a in args):
        return make(op, _operands(op, args), params)
    if op.family == "elementwise":
        return op.numpy(*args, **{**op.params, **params})
    laned = (np.asarray(a)[None] for a in args)
    return op.numpy(*laned, **{**op.params, **params})[0]


def _operands(op: Op, args: tuple) -> tuple[Expr, ...]:
    """The arguments as expressions. Python's ints are integers among integers, and numbers of no dtype of their own elsewhere."""
    made = tuple([as_expr(a) for a in args])
    if not op.integers:
        return made
    numbers = range(op.conditions, len(args))
    dtypes = {"int" if args[i].__class__ is int else made[i].kind.dtype for i in numbers}
    if "int64" not in dtypes or not dtypes <= {"int64", "bool", "int"}:
        return made
    return tuple([_whole(a) if a.__class__ is int else e for a, e in zip(args, made, strict=True)])


def _whole(value: int) -> Expr:
    """A Python int as a constant of dtype int64."""
    try:
        return constant(np.int64(value))
    except OverflowError:
        raise DtypeError(f"the integer {str(value)[:20]}… is too large for int64") from None


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
def _axes(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """Axes as a sorted tuple of negative numbers; None is every axis."""
    if axis is None:
        return tuple(range(-rank, 0))
    axes = (axis,) if not isinstance(axis, Iterable) else tuple(axis)
    result = []
    for a in axes:
        a = int(a)
        if not -rank <= a < rank:
            raise ShapeError(f"{name}: axis {a} is out of range for a core of {rank} axes")
        result.append(a if a < 0 else a - rank)
    if len(set(result)) != len(result):
        raise ShapeError(f"{name}: an axis is named twice in {axes}")
    return tuple(sorted(result))


#: what an element outside `where` counts as, and how `initial` joins the result
_NEUTRAL: dict[str, tuple[float | None, str | None]] = {
    "sum": (0, "add"),
    "prod": (1, "multiply"),
    "max": (-math.inf, "maximum"),
    "min": (math.inf, "minimum"),
    "mean": (None, None),
    "logsumexp": (-math.inf, None),
}


def _kept(keepdims: Any) -> bool:
    return keepdims is not np._NoValue and bool(keepdims)


def _reduction(name: str) -> Callable[..., Any]:
    op = TABLE[name]
    joined = _NEUTRAL[name][1]

    def reduce(
        x: Any, axis: Any = None, keepdims: Any = False, *, where: Any = True, initial: Any = None, **ignored: Any
    ) -> Any:
        if builtins.any(v is not None and v is not np._NoValue for v in ignored.values()):
            raise UnsupportedError(f"{name}: the argument {next(iter(ignored))!r} has no meaning here")
        if initial is np._NoValue:
            initial = None
        chosen = where is not True and where is not np._NoValue
        if chosen or initial is not None:
            return _of_some(name, x, axis, _kept(keepdims), where if chosen else True, initial)
        rank = np.ndim(x) if not isinstance(x, Expr) else x.ndim
        x = as_expr(x) if _holds_expr(x) else x
        axes = _axes(axis, x.ndim if isinstance(x, Expr) else rank, name)
        if isinstance(x, Expr) and name in ("max", "min") and not math.prod(x.shape[a] for a in axes):
            raise ShapeError(
                f"{name}: core shape {x.shape} has no elements along the axes {axes}; initial= is what none have"
            )
        if not axes and isinstance(x, Expr):
            return x
        return apply(op, (x,), {"axes": axes, "keepdims": _kept(keepdims)})

    reduce.__name__ = reduce.__qualname__ = name
    start = f"; initial: {joined} this to the result" if joined else ""
    reduce.__doc__ = f"{op.doc} (core axes; None: all of them). where: of the elements where this holds{start}."
    return reduce


def _of_some(name: str, x: Any, axis: Any, keepdims: bool, where: Any, initial: Any) -> Any:
    """A reduction over the elements where a condition holds, from an initial value."""
    neutral, joined = _NEUTRAL[name]
    reduce = getattr(_module, name)
    if not (isinstance(x, Expr) or isinstance(where, Expr) or isinstance(initial, Expr) or _holds_expr([x, where])):
        if name != "logsumexp":
            more = {"initial": initial} if initial is not None else {}
            return getattr(np, name)(x, axis=axis, keepdims=keepdims, where=where, **more)
        return reduce(np.where(where, x, neutral), axis, keepdims)
    if initial is not None and joined is None:
        raise UnsupportedError(f"{name}: the argument 'initial' has no meaning here")
    x = as_expr(x)
    if name in ("max", "min") and where is not True and initial is None:
        raise ArgumentError(f"{name}: with where= it needs initial=, which is the result where no element is chosen")
    axes = _axes(axis, x.ndim, name)
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


def reshape(x: Any, *shape: Any, **named: Any) -> Any:
    """The same elements in another core shape; one length may be -1."""
    if not isinstance(x, Expr):
        return np.reshape(x, *shape, **named)
    shape = named.pop("shape", shape)
    if len(shape) == 1 and isinstance(shape[0], Iterable):
        shape = tuple(shape[0])
    lengths = [int(n) for n in ((shape,) if isinstance(shape, int) else shape)]
    if lengths.count(-1) == 1:
        known = math.prod(n for n in lengths if n != -1)
        if known and x.size % known == 0:
            lengths[lengths.index(-1)] = x.size // known
    if math.prod(lengths) != x.size or -1 in lengths:
        raise ShapeError(f"reshape: {x.size} elements of core shape {x.shape} do not fit {tuple(shape)}")
    return x if tuple(lengths) == x.shape else make(TABLE["reshape"], (x,), {"shape": tuple(lengths)})


def shape(x: Any) -> tuple[int, ...]:
    """The core shape."""
    return x.shape if isinstance(x, Expr) else np.shape(x)


def ndim(x: Any) -> int:
    """The number of core axes."""
    return len(shape(x))


def size(x: Any) -> int:
    """The number of elements of the core."""
    return math.prod(shape(x))


def ravel(x: Any, order: str = "C") -> Any:
    """All elements along one axis; order "F": the first axis fastest."""
    if order not in ("C", "A", "K", "F"):
        raise UnsupportedError(f"ravel: order={order!r} is neither 'C' nor 'F'")
    return reshape(transpose(x) if order == "F" else x, (-1,))


def expand_dims(x: Any, axis: Any) -> Any:
    """A new core axis of length 1, or several, where the result is to have them."""
    if not isinstance(x, Expr):
        return np.expand_dims(x, axis)
    rank = x.ndim + (len(tuple(axis)) if isinstance(axis, Iterable) else 1)
    new, old = {a + rank for a in _axes(axis, rank, "expand_dims")}, iter(x.shape)
    return reshape(x, tuple(1 if k in new else next(old) for k in range(rank)))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without core axes of length 1."""
    if not isinstance(x, Expr):
        return np.squeeze(x, axis)
    drop = {a for a in range(-x.ndim, 0) if x.shape[a] == 1} if axis is None else set(_axes(axis, x.ndim, "squeeze"))
    if builtins.any(x.shape[a] != 1 for a in drop):
        raise ShapeError(f"squeeze: an axis of core shape {x.shape} to be dropped is longer than 1")
    return reshape(x, tuple(x.shape[a] for a in range(-x.ndim, 0) if a not in drop))


def transpose(x: Any, axes: Any = None) -> Any:
    """Core axes in another order; reversed by default."""
    if not isinstance(x, Expr):
        return np.transpose(x, axes)
    order = (
        tuple(range(-1, -x.ndim - 1, -1))
        if axes is None
        else tuple(int(a) - x.ndim if a >= 0 else int(a) for a in axes)
    )
    if sorted(order) != list(range(-x.ndim, 0)):
        raise ShapeError(f"transpose: {axes} does not name each axis of core shape {x.shape} once")
    return x if order == tuple(range(-x.ndim, 0)) else make(TABLE["transpose"], (x,), {"axes": order})


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two core axes exchanged."""
    if not isinstance(x, Expr):
        return np.swapaxes(x, axis1, axis2)
    order = list(range(-x.ndim, 0))
    (axis1,), (axis2,) = _axes(axis1, x.ndim, "swapaxes"), _axes(axis2, x.ndim, "swapaxes")
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Core axes moved to other places: one, or several."""
    if not isinstance(x, Expr):
        return np.moveaxis(x, source, destination)
    sources, places = (tuple(a) if isinstance(a, Iterable) else (a,) for a in (source, destination))
    for named in (sources, places):
        _axes(named, x.ndim, "moveaxis")  # in range, and none twice
    if len(sources) != len(places):
        raise ShapeError(f"moveaxis: {len(sources)} axes to {len(places)} places")
    order = [a for a in range(x.ndim) if a not in {s % x.ndim for s in sources}]
    for to, a in sorted((p % x.ndim, s % x.ndim) for p, s in zip(places, sources, strict=True)):
        order.insert(to, a)
    return transpose(x, order)


def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeated along new or stretched core axes."""
    shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
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
    if not builtins.any(isinstance(x, Expr) or _holds_expr(x) for x in xs):
        return np.concatenate(xs, axis=axis)
    parts = tuple(as_expr(x) for x in xs)
    if not parts[0].shape or len({p.ndim for p in parts}) > 1:
        raise ShapeError(
            f"concatenate: core shapes {', '.join(str(p.shape) for p in parts)} need the same number of axes, at least 1"
        )
    if axis is None:
        raise ShapeError("concatenate: name the axis; to join all elements write ravel on each")
    (axis,) = _axes(axis, parts[0].ndim, "concatenate")
    if len({(*p.shape[: p.ndim + axis], *p.shape[p.ndim + axis + 1 :]) for p in parts}) > 1:
        raise ShapeError(f"concatenate: core shapes {', '.join(str(p.shape) for p in parts)} differ beside axis {axis}")
    return make(TABLE["concatenate"], parts, {"axis": axis})


def stack(xs: Any, axis: int = 0) -> Any:
    """Arrays of one core shape joined along a new axis."""
    if not builtins.any(isinstance(x, Expr) or _holds_expr(x) for x in xs):
        return np.stack(xs, axis=axis)
    parts = tuple(as_expr(x) for x in xs)
    if len({p.shape for p in parts}) > 1:
        raise ShapeError(f"stack: core shapes {', '.join(str(p.shape) for p in parts)} differ")
    rank = parts[0].ndim + 1
    (axis,) = _axes(axis, rank, "stack")
    return make(TABLE["stack"], parts, {"axis": axis})


def getitem(x: Expr, index: Any) -> Expr:
    """Elements by an index: integers, slices, `...`, None, integer arrays (known, or expressions), masks of fixed content."""
    parts = index if isinstance(index, tuple) else (index,)
    if _holds_expr(parts):
        return indexing.getitem(x, parts)
    frozen: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis:
            frozen.append(part)
        elif isinstance(part, slice):
            frozen.append(("slice", *(None if v is None else int(v) for v in (part.start, part.stop, part.step))))
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
    rest = x.ndim - sum_of_axes(frozen)
    place = frozen.index(Ellipsis) if Ellipsis in frozen else len(frozen)
    frozen[place : place + 1] = [("slice", None, None, None)] * builtins.max(rest, 0)
    try:
        result = make(TABLE["getitem"], (x,), {"index": tuple(frozen)})
    except IndexError as problem:
        raise ShapeError(f"indexing core shape {x.shape}: {problem}") from None
    return x if result.shape == x.shape and builtins.all(p == ("slice", None, None, None) for p in frozen) else result


def sum_of_axes(index: list[Any]) -> int:
    """How many axes of its array an index takes: every part one, but None and `...` none."""
    return len([part for part in index if part is not None and part is not Ellipsis])


def matmul(x: Any, y: Any) -> Any:
    """Matrix product of core arrays, with NumPy's rules for vectors and stacks of matrices."""
    if not (isinstance(x, Expr) or isinstance(y, Expr) or _holds_expr(x) or _holds_expr(y)):
        return np.matmul(x, y)
    x, y = as_expr(x), as_expr(y)
    if not x.shape or not y.shape:
        raise ShapeError("matmul: a scalar has no matrix product; write * instead")
    left, right = x.ndim == 1, y.ndim == 1
    if x.shape[-1] != y.shape[-1 if right else -2]:
        raise ShapeError(f"matmul: core shapes {x.shape} and {y.shape} do not fit")
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
        raise UnsupportedError("dot: for more than two axes write matmul, which is clear about stacks of matrices")
    return matmul(x, y)


def _like(value: float) -> Callable[..., Any]:
    return lambda x, **ignored: _filled(value, x.shape) if isinstance(x, Expr) else np.full_like(x, value)


zeros_like, ones_like = _like(0.0), _like(1.0)


from . import (  # noqa: E402, F401  (add the operators, and the functions that are composed of those above)
    arranging,
    compositions,
    convolution,
    differences,
    elementary,
    indexing,
    linalg,
    operators,
    statistics,
)
from .einsum import einsum  # noqa: E402, F401
from .scan import checkpoint, cond, scan  # noqa: E402, F401
