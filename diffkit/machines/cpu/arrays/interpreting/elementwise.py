"""Instructions that call elementwise kernels."""

from __future__ import annotations

from ...addresses import call, words
from ...shared import Shared
from ..opcodes import BLOCK, COUNT, ODOMETER, RUN, SCRATCH_AT
from .state import copy, kernel_of, least, place_of, step_on


@Shared
def each(at, state_at):  # type: ignore[no-untyped-def]
    """kernel, operands (destination first; + 16: it is read too), rows, loops, sizes; an operand: place, scaled, bytes an element,
    step within the run, strides."""
    code, state, odo = words(at), words(state_at), words(state_at + 8 * ODOMETER)
    kernel, fold, operands, rows, loops = kernel_of(code[2], state), code[3] >= 16, code[3] & 15, code[4], code[5]
    block = state[BLOCK]
    run = rows * block if rows > 1 else state[COUNT]
    first, width = 6 + loops, 4 + loops
    if run == 0:
        return
    for w in range(12 + 4 * loops):
        odo[w] = 0
    plain = True
    for o in range(operands):
        q = first + o * width
        odo[8 + o] = place_of(code[q], state)
        scale = block if code[q + 1] else 1
        plain = plain and code[q + 3] == code[q + 2]
        for d in range(loops):
            odo[12 + o * loops + d] = code[q + 4 + d] * scale
    while True:
        if plain:
            call(kernel, odo[8], odo[9], odo[10], odo[11], run)
        else:
            for done in range(0, run, RUN):
                n = least(RUN, run - done)
                for o in range(operands):
                    q = first + o * width
                    size, step = code[q + 2], code[q + 3]
                    if step == size:
                        odo[60 + o] = odo[8 + o] + done * size
                        continue
                    odo[60 + o] = state[SCRATCH_AT] + o * 8 * RUN
                    if (o > 0 or fold) and (step != 0 or done == 0):
                        copy(state, odo[60 + o], size, odo[8 + o] + done * step, step, size, n)
                call(kernel, odo[60], odo[61], odo[62], odo[63], n)
                size, step = code[first + 2], code[first + 3]
                if step != size:
                    copy(state, odo[8] + done * step, step, odo[60], size, size, n)
        if not step_on(code, 6, loops, odo, 8, 4):
            break


@Shared
def group(at, state_at):  # type: ignore[no-untyped-def]
    """kernel of a group (groups.py), operands, rows, loops, sizes; an operand: place, scaled, strides."""
    code, state = words(at), words(state_at)
    scratch = state[SCRATCH_AT]
    kernel, operands, rows, loops, odo = kernel_of(code[2], state), code[3], code[4], code[5], words(scratch)
    run = rows * state[BLOCK] if rows > 1 else state[COUNT]
    if run == 0:
        return
    strides, q = loops + operands, 6 + loops
    for d in range(loops):
        odo[d] = 0
    for o in range(operands):
        odo[loops + o] = place_of(code[q], state)
        scale = state[BLOCK] if code[q + 1] else 1
        for d in range(loops):
            odo[strides + o * loops + d] = code[q + 2 + d] * scale
        q += 2 + loops
    while True:
        call(kernel, scratch + 8 * loops, 0, 0, 0, run)
        if not step_on(code, 6, loops, odo, loops, operands):
            break
