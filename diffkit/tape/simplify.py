"""Identities that keep every value, bit for bit (NaN and infinity included), applied while a tape is written.

``0 * x`` is not among them (0·inf is NaN), nor is ``x + 0`` (it turns -0 into 0).

Which identity may apply follows from the operation and the kinds of its operands (a constant is known by its kind), so it
is found once for all instructions alike. A rule found then is called with the operands, and answers with the value that
the instruction equals, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..expr.kind import Kind
from ..ops import CONSTANT, TABLE

if TYPE_CHECKING:
    from .tape import Builder

ADD, SUBTRACT, MULTIPLY, NEGATIVE = (TABLE[n] for n in ("add", "subtract", "multiply", "negative"))

Rule = Callable[["Builder", tuple[int, ...]], "int | None"]


def simplifying(kind: Kind, operands: Sequence[Kind]) -> Rule | None:
    """The rule for instructions of this kind with operands of these kinds, if there is one.

    It may depend on what `Kind.signature` tells of an operand, and on no more.
    """
    find = _RULES.get(kind.op.name)
    rule = find(kind, operands) if find else None
    if isinstance(rule, int):
        same = operands[rule]
        return _OPERAND[rule] if (same.shape, same.dtype) == (kind.shape, kind.dtype) else None
    return rule


_OPERAND: tuple[Rule, ...] = tuple(lambda b, args, k=k: args[k] for k in range(3))  # type: ignore[misc]


def _value(kind: Kind) -> float | None:
    """The value of a constant scalar; None for anything else."""
    return kind.kwargs["value"] if kind.op is CONSTANT and kind.shape == () else None


def _multiply(kind: Kind, operands: Sequence[Kind]) -> Rule | int | None:
    for factor, other in ((0, 1), (1, 0)):
        value, result = _value(operands[factor]), operands[other]
        if value == 1:
            return other
        if value == -1 and (result.shape, result.dtype) == (kind.shape, kind.dtype):
            return lambda b, args: b.emit(NEGATIVE, (), (args[other],))
    return _product_of_negatives


def _product_of_negatives(b: Builder, args: tuple[int, ...]) -> int | None:
    """(−x)·(−y) = x·y, and (−x)·c = x·(−c) for a constant c."""
    x, y = args
    left, right = b.kinds[x].op is NEGATIVE, b.kinds[y].op is NEGATIVE
    if not (left or right):
        return None
    if left and right:
        return b.emit(MULTIPLY, (), (b.args[x][0], b.args[y][0]))
    value = b.constant_of(y if left else x)
    if value is None:
        return None
    opposite = b.number(-value, b.kinds[y if left else x].dtype)
    return b.emit(MULTIPLY, (), (b.args[x][0], opposite) if left else (opposite, b.args[y][0]))


def _add(kind: Kind, operands: Sequence[Kind]) -> Rule | int | None:
    return _sum_with_negative


def _sum_with_negative(b: Builder, args: tuple[int, ...]) -> int | None:
    """x + (−y) = x − y."""
    x, y = args
    if b.kinds[y].op is NEGATIVE:
        return b.emit(SUBTRACT, (), (x, b.args[y][0]))
    return b.emit(SUBTRACT, (), (y, b.args[x][0])) if b.kinds[x].op is NEGATIVE else None


def _divide(kind: Kind, operands: Sequence[Kind]) -> Rule | int | None:
    value = _value(operands[1])
    return 0 if value == 1 else None if value is None else _quotient_by_power_of_two


def _quotient_by_power_of_two(b: Builder, args: tuple[int, ...]) -> int | None:
    """x / 2ᵏ = x · 2⁻ᵏ."""
    value = b.constant_of(args[1])
    if not value or abs(math.frexp(value)[0]) != 0.5 or not math.isfinite(1 / value):
        return None
    return b.emit(MULTIPLY, (), (args[0], b.number(1 / value, b.kinds[args[1]].dtype)))


def _subtract(kind: Kind, operands: Sequence[Kind]) -> Rule | int | None:
    value = _value(operands[1])
    return 0 if value == 0 and math.copysign(1, value) > 0 else _difference_with_negative


def _difference_with_negative(b: Builder, args: tuple[int, ...]) -> int | None:
    """x − (−y) = x + y."""
    x, y = args
    return b.emit(ADD, (), (x, b.args[y][0])) if b.kinds[y].op is NEGATIVE else None


def _where(kind: Kind, operands: Sequence[Kind]) -> Rule | int | None:
    chosen = _value(operands[0])
    if chosen is not None:
        return 1 if chosen else 2
    return _where_alike if _alike(kind, operands[1]) else None


def _twice(kind: Kind, operands: Sequence[Kind]) -> Rule | None:
    """op(op(x)) = x."""
    op = kind.op

    def rule(b: Builder, args: tuple[int, ...]) -> int | None:
        inner = b.args[args[0]][0] if b.kinds[args[0]].op is op else None
        return inner if inner is not None and _alike(b.kinds[inner], kind) else None

    return rule


def _idempotent(kind: Kind, operands: Sequence[Kind]) -> Rule | None:
    return _both_alike if _alike(kind, operands[0]) else None


def _alike(a: Kind, b: Kind) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


def _where_alike(b: Builder, args: tuple[int, ...]) -> int | None:
    return args[1] if args[1] == args[2] else None


def _both_alike(b: Builder, args: tuple[int, ...]) -> int | None:
    return args[0] if args[0] == args[1] else None


_RULES: dict[str, Callable[[Kind, Sequence[Kind]], Rule | int | None]] = {
    "add": _add,
    "multiply": _multiply,
    "divide": _divide,
    "subtract": _subtract,
    "negative": _twice,
    "logical_not": _twice,
    "logical_and": _idempotent,
    "logical_or": _idempotent,
    "where": _where,
    "pow": lambda kind, operands: 0 if kind.kwargs["p"] == 1 else None,
    "cast": lambda kind, operands: 0,
    "reshape": lambda kind, operands: 0,
    "broadcast_to": lambda kind, operands: 0,
}
