"""Where a value is NaN, so is its derivative.

Outside its domain a function has no derivative: 1/x is defined at −1, but there it is not the derivative of log. And a
derivative that does not look at the argument (floor's is 0) must not hide that the value is lost. The rule is written onto the
tape that is run, and so holds on every machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..ops import CONSTANT, TABLE
from ..tape import Builder, Tape

if TYPE_CHECKING:
    from .engine import TapeProgram

_ADD, _EQUAL, _RESHAPE, _SUM, _WHERE = (TABLE[n] for n in ("add", "equal", "reshape", "sum", "where"))


def within_domain(program: TapeProgram) -> Tape:
    """The program's tape, with NaN for every derivative of a value that is NaN."""
    tape, count = program.tape, len(program.out_shapes)
    values, derivatives = tape.outputs[:count], tape.outputs[count:]
    if not derivatives:
        return tape
    builder = Builder.copy_of(tape, sharing=False)
    known = [_known(builder, y) for y in values]
    if program.layout == "seeded rows":  # the derivative of the seeded element alone, by all inputs
        of_seeded = _where_seeded(builder, known, tape.inputs[len(tape.inputs) - count :])
        masked = [_masked(builder, of_seeded, d) for d in derivatives]
    else:
        each = len(derivatives) // count
        masked = [_masked(builder, known[k // each], d) for k, d in enumerate(derivatives)]
    return builder.finish(tape.inputs, (*values, *masked), tape.labels, prune=False)


def _known(builder: Builder, y: int) -> int | None:
    """Where a value is not NaN; None: everywhere."""
    kind = builder.kinds[y]
    if kind.op is CONSTANT or kind.dtype in ("bool", "int64"):
        return None
    return builder.emit(_EQUAL, (), (y, y))


def _masked(builder: Builder, known: int | None, derivative: int) -> int:
    """The derivative where the value is known, else NaN. Its shape begins with the value's, or the value has one element."""
    if known is None:
        return derivative
    shape, whole = builder.kinds[known].shape, builder.kinds[derivative].shape
    if math.prod(shape) == 1:
        known = reshaped(builder, known, ())
    elif shape != whole:
        known = reshaped(builder, known, (*shape, *(1,) * (len(whole) - len(shape))))
    return builder.emit(_WHERE, (), (known, derivative, builder.number(math.nan)))


def _where_seeded(builder: Builder, known: list[int | None], seeds: tuple[int, ...]) -> int | None:
    """Whether the one element that is seeded, among all outputs, is known."""
    zero = builder.number(0.0)
    total = zero
    for ok, seed in zip(known, seeds, strict=True):
        if ok is None:
            continue
        unknown = builder.emit(_WHERE, (), (ok, zero, seed))
        axes = tuple(range(-len(builder.kinds[seed].shape), 0))
        if axes:
            unknown = builder.emit(_SUM, (("axes", axes), ("keepdims", False)), (unknown,))
        total = builder.emit(_ADD, (), (total, unknown))
    return None if total == zero else builder.emit(_EQUAL, (), (total, zero))


def reshaped(builder: Builder, i: int, shape: tuple[int, ...]) -> int:
    """A value in another shape."""
    return i if builder.kinds[i].shape == shape else builder.emit(_RESHAPE, (("shape", shape),), (i,))
