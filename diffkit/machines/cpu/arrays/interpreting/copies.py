"""Instructions that move elements and fill memory."""

from __future__ import annotations

import numpy as np

from ...addresses import call, items, move, read, words, write
from ...shared import Shared, part
from ..opcodes import BLOCK, COUNT, ODOMETER, TABLE
from .state import copy, kernel_of, place_of, step_on


@part
def _spread(target, value, n):  # type: ignore[no-untyped-def]
    """One value n times."""
    t = items(target, value)
    for i in range(n):
        t[i] = value


@part
def _apart(target, target_step, source, source_step, like, size, n):  # type: ignore[no-untyped-def]
    """n elements of the type of `like` that do not lie without gaps on both sides."""
    if source_step == 0 and target_step == size:
        _spread(target, read(source, like), n)
    else:
        for i in range(n):
            write(target + i * target_step, read(source + i * source_step, like))


@Shared
def copied(target, target_step, source, source_step, size, n):  # type: ignore[no-untyped-def]
    """n elements of `size` bytes from one place to another, steps in bytes."""
    if source_step == size and target_step == size:
        move(target, source, n * size)
    elif size == 8:
        _apart(target, target_step, source, source_step, np.uint64(0), size, n)
    elif size == 4:
        _apart(target, target_step, source, source_step, np.uint32(0), size, n)
    else:
        _apart(target, target_step, source, source_step, np.uint8(0), size, n)


@Shared
def strided(at, state_at):  # type: ignore[no-untyped-def]
    """bytes an element, length of the run (0: lanes in use; -rows: rows of all lanes), loops, sizes; source and target: place,
    scaled, step within the run, strides."""
    code, state, odo = words(at), words(state_at), words(state_at + 8 * ODOMETER)
    size, length, loops, block = code[2], code[3], code[4], state[BLOCK]
    n = length if length > 0 else state[COUNT] if length == 0 else -length * block
    s = 5 + loops
    t = s + 3 + loops
    for d in range(loops):
        odo[d] = 0
        odo[10 + d] = code[s + 3 + d] * (block if code[s + 1] else 1)
        odo[10 + loops + d] = code[t + 3 + d] * (block if code[t + 1] else 1)
    odo[8], odo[9] = place_of(code[s], state), place_of(code[t], state)
    while True:
        copy(state, odo[9], code[t + 2], odo[8], code[s + 2], size, n)
        if not step_on(code, 5, loops, odo, 8, 2):
            break


@Shared
def gathered(at, state_at):  # type: ignore[no-untyped-def]
    """-, bytes an element, rows, elements a row, where the table begins, source: place, scaled; target: both too."""
    code, state = words(at), words(state_at)
    size, rows, run, table = code[3], code[4], code[5], words(state[TABLE] + 8 * code[6])
    source, source_scale = place_of(code[7], state), state[BLOCK] if code[8] else 1
    target, step = place_of(code[9], state), run * size * (state[BLOCK] if code[10] else 1)
    n = run * state[BLOCK] if run > 1 else state[COUNT]
    for r in range(rows):
        into, element = target + r * step, source + table[r] * source_scale
        if n > 1 or size == 1:
            copy(state, into, size, element, size, size, n)
        elif size == 8:
            write(into, read(element, np.uint64(0)))
        else:
            write(into, read(element, np.uint32(0)))


@Shared
def added_at(at, state_at):  # type: ignore[no-untyped-def]
    """kernel, bytes an element, rows, elements a row, where the table begins, source: place, scaled; target: both too."""
    code, state = words(at), words(state_at)
    kernel, size, rows, run, table = (
        kernel_of(code[2], state),
        code[3],
        code[4],
        code[5],
        words(state[TABLE] + 8 * code[6]),
    )
    source, step = place_of(code[7], state), run * size * (state[BLOCK] if code[8] else 1)
    target, target_scale = place_of(code[9], state), state[BLOCK] if code[10] else 1
    n = run * state[BLOCK] if run > 1 else state[COUNT]
    for r in range(rows):
        into, term = target + table[r] * target_scale, source + r * step
        if n > 1:
            call(kernel, into, term, 0, 0, n)
        elif size == 8:
            write(into, read(into, 0.0) + read(term, 0.0))
        else:
            write(into, read(into, np.float32(0)) + read(term, np.float32(0)))


@Shared
def filled(at, state_at):  # type: ignore[no-untyped-def]
    """bytes an element, rows, place, bits, whether a condition may forbid it, its place."""
    code, state = words(at), words(state_at)
    if code[6] and read(place_of(code[7], state), np.uint8(0)):
        return
    size, rows, target, bits = code[2], code[3], place_of(code[4], state), code[5]
    n = rows * state[BLOCK] if rows > 1 else state[COUNT]
    if size == 8:
        _spread(target, np.uint64(bits), n)
    elif size == 4:
        _spread(target, np.uint32(bits), n)
    else:
        _spread(target, np.uint8(bits), n)
