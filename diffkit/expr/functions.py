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
from typing import Any

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
        return value.dtype == object and any(isinstance(v, Expr) for v in value.flat)
    return isinstance(value, (list, tuple)) and any(isinstance(v, Expr) or _holds_expr(v) for v in value)


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
    if any(isinstance(a, Expr) or _holds_expr(a) for a in args):
        return make(op, tuple(as_expr(a) for a in args), params)
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


def _reduction(name: str) -> Callable[..., Any]:
    op = TABLE[name]

    def reduce(x: Any, axis: Any = None, keepdims: bool = False, **ignored: Any) -> Any:
        if any(v is not None and v is not np._NoValue for v in ignored.values()):
            raise UnsupportedError(f"{name}: the argument {next(iter(ignored))!r} has no meaning here")
        rank = np.ndim(x) if not isinstance(x, Expr) else x.ndim
        x = as_expr(x) if _holds_expr(x) else x
        axes = _axes(axis, x.ndim if isinstance(x, Expr) else rank, name)
        if isinstance(x, Expr) and name in ("max", "min") and not math.prod(x.shape[a] for a in axes):
            raise ShapeError(f"{name}: core shape {x.shape} has no elements along the axes {axes}")
        if not axes and isinstance(x, Expr) and name != "norm":
            return x
        return apply(op, (x,), {"axes": axes, "keepdims": bool(keepdims)})

    reduce.__name__ = reduce.__qualname__ = name
    reduce.__doc__ = f"{op.doc} (core axes; None: all of them)."
    return reduce


sum = _reduction("sum")
mean = _reduction("mean")
prod = _reduction("prod")
max = amax = _reduction("max")
min = amin = _reduction("min")
logsumexp = _reduction("logsumexp")


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Euclidean length over core axes (all by default); at the zero vector its derivative is 0."""
    rank = x.ndim if isinstance(x, Expr) else np.ndim(x)
    if ord not in (None, 2, "fro") or (ord == 2 and axis is None and rank > 1):
        raise UnsupportedError(
            "norm: only the Euclidean norm (ord=None or 2) is an operation; write others with abs, max and sum"
        )
    return _reduction("norm")(x, axis, keepdims)


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


def ravel(x: Any) -> Any:
    """All elements along one axis."""
    return reshape(x, (-1,))


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
    if any(x.shape[a] != 1 for a in drop):
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


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """One core axis moved to another place."""
    if not isinstance(x, Expr):
        return np.moveaxis(x, source, destination)
    (source,), (destination,) = _axes(source, x.ndim, "moveaxis"), _axes(destination, x.ndim, "moveaxis")
    order = [a for a in range(x.ndim) if a != source % x.ndim]
    order.insert(destination % x.ndim, source % x.ndim)
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
    if not any(isinstance(x, Expr) or _holds_expr(x) for x in xs):
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
    if not any(isinstance(x, Expr) or _holds_expr(x) for x in xs):
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
    return x if result.shape == x.shape and all(p == ("slice", None, None, None) for p in frozen) else result


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


# ---- operators and NumPy's protocols ------------------------------------------------------------------------------
def _binary(name: str) -> tuple[Callable, Callable]:
    op = TABLE[name]

    def forward(self: Expr, other: Any) -> Any:
        if isinstance(other, Expr):
            return make(op, (self, other))
        if hasattr(type(other), "__dk_apply__") or isinstance(other, (str, bytes, dict, set)):
            return NotImplemented
        return make(op, (self, as_expr(other)))

    def backward(self: Expr, other: Any) -> Any:
        if isinstance(other, (str, bytes, dict, set)):
            return NotImplemented
        return make(op, (as_expr(other), self))

    return forward, backward


for _symbol, _name in (
    ("add", "add"),
    ("sub", "subtract"),
    ("mul", "multiply"),
    ("truediv", "divide"),
    ("pow", "power"),
):
    _forward, _backward = _binary(_name)
    setattr(Expr, f"__{_symbol}__", _forward)
    setattr(Expr, f"__r{_symbol}__", _backward)
for _symbol, _name in (
    ("lt", "less"),
    ("le", "less_equal"),
    ("gt", "greater"),
    ("ge", "greater_equal"),
    ("eq", "equal"),
    ("ne", "not_equal"),
):
    setattr(Expr, f"__{_symbol}__", _binary(_name)[0])
for _symbol, _name in (("and", "logical_and"), ("or", "logical_or")):
    _forward, _backward = _binary(_name)
    setattr(Expr, f"__{_symbol}__", _forward)
    setattr(Expr, f"__r{_symbol}__", _backward)
setattr(Expr, "__hash__", object.__hash__)  # identity; == is an elementwise comparison
for _symbol, _method in (
    ("neg", lambda self: make(TABLE["negative"], (self,))),
    ("pos", lambda self: self),
    ("abs", lambda self: make(TABLE["abs"], (self,))),
    ("invert", lambda self: make(TABLE["logical_not"], (self,))),
    ("matmul", matmul),
    ("rmatmul", lambda self, other: matmul(other, self)),
):
    setattr(Expr, f"__{_symbol}__", _method)
for _function in (sum, mean, prod, max, min, reshape, ravel, squeeze, dot, swapaxes):
    setattr(Expr, _function.__name__, _function)
setattr(Expr, "flatten", ravel)
setattr(Expr, "transpose", lambda self, *axes: transpose(self, (axes[0] if len(axes) == 1 else axes) or None))


def _array_ufunc(self: Expr, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    name = ufunc.__name__
    try:
        op = TABLE[name] if method == "__call__" else None
    except KeyError:
        op = None
    if op is None:
        call = f"numpy.{name}" + ("" if method == "__call__" else f".{method}")
        raise UnsupportedError(
            f"{call} is not an operation of diffkit; see diffkit.ops.TABLE, or register it with dk.register_op"
        )
    if ufunc is np.matmul:
        return matmul(*inputs)
    if kwargs and any(v is not None for v in kwargs.values()):
        raise UnsupportedError(f"numpy.{name}: {', '.join(kwargs)} cannot be used on an expression")
    return apply(op, inputs, {})


def _array_function(self: Expr, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
    ours = getattr(_module, func.__name__, None)
    if ours is None or func.__name__.startswith("_"):
        raise UnsupportedError(f"numpy.{func.__name__} is not an operation of diffkit on expressions")
    if func in (np.linalg.diagonal, np.linalg.trace):  # of the last two axes, unlike NumPy's functions of these names
        kwargs = {"axis1": -2, "axis2": -1, **kwargs}
    return ours(*args, **kwargs)


setattr(Expr, "__array_ufunc__", _array_ufunc)
setattr(Expr, "__array_function__", _array_function)

from . import compositions, convolution, indexing, linalg  # noqa: E402, F401  (add the functions that are composed of those above)
from .einsum import einsum  # noqa: E402, F401
from .scan import checkpoint, cond, scan  # noqa: E402, F401
