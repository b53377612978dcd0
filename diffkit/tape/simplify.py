"""Identities that keep every value, bit for bit (NaN and infinity included), applied while a tape is written.

``0 * x`` is not among them (0·inf is NaN), nor is ``x + 0`` (it turns -0 into 0).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..expr.node import Kind

if TYPE_CHECKING:
    from .tape import Builder


def simplified(builder: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    """The value that equals `kind` applied to `args`, if there is one already (or a cheaper instruction)."""
    rule = _RULES.get(kind.op.name)
    found = rule(builder, kind, args) if rule else None
    if found is None:
        return None
    same = builder.kinds[found]
    return found if same.shape == kind.shape and same.dtype == kind.dtype else None


def _multiply(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    x, y = args
    for factor, other in ((x, y), (y, x)):
        value = b.constant_of(factor)
        if value == 1:
            return other
        if value == -1 and b.kinds[other].shape == kind.shape:
            from ..ops import TABLE

            return b.emit(TABLE["negative"], (), (other,))
    return None


def _divide(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    return args[0] if b.constant_of(args[1]) == 1 else None


def _subtract(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    value = b.constant_of(args[1])
    return args[0] if value == 0 and math.copysign(1, value) > 0 else None


def _twice(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    """op(op(x)) = x."""
    inner = args[0]
    return b.args[inner][0] if b.kinds[inner].op is kind.op else None


def _where(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    chosen = b.constant_of(args[0])
    if chosen is not None:
        return args[1] if chosen else args[2]
    return args[1] if args[1] == args[2] else None


def _idempotent(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    return args[0] if args[0] == args[1] else None


def _unchanged(b: Builder, kind: Kind, args: tuple[int, ...]) -> int | None:
    return args[0] if b.kinds[args[0]].shape == kind.shape else None


_RULES = {
    "multiply": _multiply,
    "divide": _divide,
    "subtract": _subtract,
    "negative": _twice,
    "logical_not": _twice,
    "logical_and": _idempotent,
    "logical_or": _idempotent,
    "where": _where,
    "pow": lambda b, kind, args: args[0] if kind.kwargs["p"] == 1 else None,
    "cast": lambda b, kind, args: args[0],
    "reshape": _unchanged,
    "broadcast_to": _unchanged,
}
