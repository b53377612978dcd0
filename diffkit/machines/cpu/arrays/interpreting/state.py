"""What the functions of all instructions use: places, odometers, copies.

Code is a sequence of words. An instruction begins with its opcode and its length; what follows is listed with the function that
does it (word 2 first), over the first lanes of a block. A *place* that is not negative is an offset from the memory at hand, in
bytes a lane; a negative one is a slot, an address looked up before. *Scaled* strides are in bytes a lane too. A *run* is what a
kernel is called on: `rows` rows of all lanes of a block, or (rows = 1) the lanes in use. Run whole, a program has one lane, and the
memory at hand is that of all whole arrays.

An odometer steps through loops within each other: a counter for every loop, and, from word `at` on, the addresses of operands,
then the strides of each.
"""

from __future__ import annotations

import numpy as np

from ...addresses import enter, read, words
from ...shared import part
from ..opcodes import BASE, BLOCK, COPY, EXECUTE, FUNCTIONS, HERE, KERNELS, STOP


@part
def place_of(place, state):  # type: ignore[no-untyped-def]
    return state[BASE] + place * state[BLOCK] if place >= 0 else read(state[HERE] - 8 - 8 * place, np.int64(0))


@part
def kernel_of(symbol, state):  # type: ignore[no-untyped-def]
    return words(state[KERNELS])[symbol]


@part
def stopped(state):  # type: ignore[no-untyped-def]
    """Whether nobody waits for the answer any more; then nothing that is computed means anything."""
    return state[STOP] != 0 and words(state[STOP])[0] != 0


@part
def step_on(code, sizes, loops, odometer, at, operands):  # type: ignore[no-untyped-def]
    """One step on through loops whose sizes are code[sizes …]. False: all are done."""
    d = loops
    while d > 0:
        d -= 1
        odometer[d] += 1
        more = odometer[d] < code[sizes + d]
        steps = 1 if more else 1 - code[sizes + d]
        stride = at + operands + d
        for o in range(at, at + operands):
            odometer[o] += odometer[stride] * steps
            stride += loops
        if more:
            return True
        odometer[d] = 0
    return False


@part
def least(a, b):  # type: ignore[no-untyped-def]
    """min, which Numba would compile anew for every caller."""
    return a if a < b else b


@part
def copy(state, target, target_step, source, source_step, size, n):  # type: ignore[no-untyped-def]
    """n elements of `size` bytes from one place to another, steps in bytes."""
    enter(words(state[FUNCTIONS])[COPY], target, target_step, source, source_step, size, n)


@part
def execute(at, end, state_at):  # type: ignore[no-untyped-def]
    """The instructions between two addresses."""
    enter(words(words(state_at)[FUNCTIONS])[EXECUTE], at, end, state_at)
