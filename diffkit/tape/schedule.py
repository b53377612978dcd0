"""Liveness and registers: which values must be kept until when, and where they are put."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from .tape import Tape


def last_uses(tape: Tape) -> list[int]:
    """For every value the number of the last value that reads it (outputs live to the end, unused values die at once)."""
    last = list(range(len(tape.kinds)))
    for i, args in enumerate(tape.args):
        for a in args:
            last[a] = i
    for o in tape.outputs:
        last[o] = len(tape.kinds)
    return last


@dataclass(frozen=True)
class Registers:
    """Offset of every value in one workspace, in the units its sizes were given in."""

    offsets: list[int]
    total: int


def allocate(tape: Tape, sizes: list[int]) -> Registers:
    """Registers by linear scan: a value's place is used again once nothing reads it any more.

    Leaves keep theirs (they are filled once). A destination is allocated before its operands are freed, so it is never
    one of them: an operand that is written while it is read keeps a compiler from using vector instructions.
    """
    last = last_uses(tape)
    free: dict[int, list[int]] = defaultdict(list)
    offsets = [0] * len(tape.kinds)
    total = 0
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        size = sizes[i]
        if kind.op.family != "leaf" and free[size]:
            offsets[i] = free[size].pop()
        else:
            offsets[i] = total
            total += size
        for a in set(args):
            if last[a] == i and tape.kinds[a].op.family != "leaf":
                free[sizes[a]].append(offsets[a])
        if last[i] == i and kind.op.family != "leaf":
            free[size].append(offsets[i])
    return Registers(offsets, total)
