"""Outside its domain a function has no derivative.

1/x is defined at −1, but there it is not the derivative of log. So where a value is NaN, its derivative is NaN too. The rule is
written onto the tape that is run, and so holds on every machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..ops import TABLE
from ..tape import Builder, Tape

if TYPE_CHECKING:
    from .engine import TapeProgram

_ADD, _EQUAL, _RESHAPE, _SUM, _WHERE = (TABLE[n] for n in ("add", "equal", "reshape", "sum", "where"))


def within_domain(program: TapeProgram) -> Tape:
    """The program's tape, with NaN for every derivative of a value that is NaN."""
    tape, count = program.tape, len(program.out_shapes)
    values, derivatives = tape.outputs[:count], tape.outputs[count:]
    if not derivatives or all(kind.op.domain == "all reals" for kind in tape.kinds):
        return tape
    builder = Builder.copy_of(tape)
    known = [builder.emit(_EQUAL, (), (y, y)) for y in values]
    if program.layout == "seeded rows":  # the derivative of the seeded element alone, by all inputs
        seeds = tape.inputs[len(tape.inputs) - count :]
        of_seeded = _where_seeded(builder, known, seeds)
        masked = [_masked(builder, of_seeded, d) for d in derivatives]
    else:
        each = len(derivatives) // count
        masked = [_masked(builder, known[k // each], d) for k, d in enumerate(derivatives)]
    return builder.finish(tape.inputs, (*values, *masked), tape.labels)


def _masked(builder: Builder, known: int, derivative: int) -> int:
    """The derivative where the value is known, else NaN. Its shape begins with the value's, or holds one such element."""
    shape, whole = builder.kinds[known].shape, builder.kinds[derivative].shape
    if math.prod(shape) == 1:
        known = _reshaped(builder, known, ())
    elif shape != whole:
        known = _reshaped(builder, known, (*shape, *(1,) * (len(whole) - len(shape))))
    return builder.emit(_WHERE, (), (known, derivative, builder.number(math.nan)))


def _where_seeded(builder: Builder, known: list[int], seeds: tuple[int, ...]) -> int:
    """Whether the one element that is seeded, among all outputs, is known."""
    zero = builder.number(0.0)
    total = zero
    for ok, seed in zip(known, seeds, strict=True):
        unknown = builder.emit(_WHERE, (), (ok, zero, seed))
        axes = tuple(range(-len(builder.kinds[seed].shape), 0))
        total = builder.emit(
            _ADD,
            (),
            (total, builder.emit(_SUM, (("axes", axes), ("keepdims", False)), (unknown,)) if axes else unknown),
        )
    return builder.emit(_EQUAL, (), (total, zero))


def _reshaped(builder: Builder, i: int, shape: tuple[int, ...]) -> int:
    return i if builder.kinds[i].shape == shape else builder.emit(_RESHAPE, (("shape", shape),), (i,))
