"""What is given to a function of the language: operands as expressions, axes as tuples, arguments that have no meaning here."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError, TracingError, UnsupportedCallError
from ..ops import TABLE, Op
from .node import Expr, constant, make


def as_expr(value: Any) -> Expr:
    """An expression from an expression, a number, an array, or nested sequences that hold expressions."""
    if isinstance(value, Expr):
        return value
    if not holds_expr(value):
        return constant(value)
    if getattr(value, "ndim", 1) == 0:
        return as_expr(value.item())
    return stacked([as_expr(v) for v in value], 0)


def holds_expr(value: Any) -> bool:
    """Whether nested sequences, or an array of objects, have an expression in them."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and any(isinstance(v, Expr) for v in value.flat)
    return isinstance(value, (list, tuple)) and any(isinstance(v, Expr) or holds_expr(v) for v in value)


def stacked(parts: list[Expr], axis: Any) -> Expr:
    """Expressions of one core shape joined along a new axis."""
    if len({p.shape for p in parts}) > 1:
        raise ShapeError(f"stack: core shapes {', '.join(str(p.shape) for p in parts)} differ")
    (axis,) = axes_of(axis, parts[0].ndim + 1, "stack")
    return make(TABLE["stack"], tuple(parts), {"axis": axis})


def operands_of(op: Op, args: tuple) -> tuple[Expr, ...]:
    """The arguments as expressions. Python's ints are integers among integers, and numbers of no dtype of their own elsewhere."""
    made = tuple([as_expr(a) for a in args])
    if not op.integers:
        return made
    numbers = range(op.conditions, len(args))
    dtypes = {"int" if args[i].__class__ is int else made[i].kind.dtype for i in numbers}
    if "int64" not in dtypes or not dtypes <= {"int64", "bool", "int"}:
        return made
    return tuple([whole_number(a) if a.__class__ is int else e for a, e in zip(args, made, strict=True)])


def whole_number(value: int) -> Expr:
    """A Python int as a constant of dtype int64."""
    try:
        return constant(np.int64(value))
    except OverflowError:
        raise DtypeError(f"the integer {str(value)[:20]}… is too large for int64") from None


def integer(value: Any, name: str, what: str) -> int:
    """A Python int of what has to be one: 1.5 is not taken for 1, and an expression says that it has no value yet."""
    try:
        return operator.index(value)
    except TracingError:
        raise
    except TypeError:
        raise ArgumentError(f"{name}: {what} is a whole number, not {value!r}") from None


def axes_of(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """Axes as a sorted tuple of negative numbers; None is every axis."""
    if axis is None:
        return tuple(range(-rank, 0))
    axes = (axis,) if not isinstance(axis, Iterable) or isinstance(axis, (Expr, str)) else tuple(axis)
    result = []
    for given in axes:
        a = integer(given, name, "an axis")
        if not -rank <= a < rank:
            raise ShapeError(f"{name}: axis {a} is out of range for a core of {rank} axes")
        result.append(a if a < 0 else a - rank)
    if len(set(result)) != len(result):
        raise ShapeError(f"{name}: an axis is named twice in {axes}")
    return tuple(sorted(result))


def stays(keepdims: Any) -> bool:
    """NumPy's keepdims, which it leaves out by a value of its own."""
    return keepdims is not np._NoValue and bool(keepdims)


def refuse(name: str, arguments: dict[str, Any]) -> None:
    """UnsupportedCallError for arguments of NumPy's that say how to store or compute, not what."""
    for key, value in arguments.items():
        if value is not None and value is not np._NoValue:
            raise UnsupportedCallError(f"{name}: the argument {key!r} has no meaning here; leave it out")


def at(x: Expr, axis: int, index: Any) -> Expr:
    """`x[:, ..., index]` with the index at a (negative) axis."""
    return x[(*(slice(None),) * (x.ndim + axis), index)]


def array_index(index: np.ndarray) -> tuple:
    """Known integers as a part of the static index of getitem and scatter."""
    return ("array", index.shape, np.ascontiguousarray(index, np.int64).tobytes())
