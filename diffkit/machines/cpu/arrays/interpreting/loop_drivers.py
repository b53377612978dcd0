"""Loops and reversals whose steps are kernels (native_loops.py), in native code that holds no lock.

A kernel does several steps in one call, and is told where everything is in the first of them. It reads what is carried before
that step and writes it after the last, so a carry may stay where it is, or go to where it is kept.
"""

from __future__ import annotations

from ...addresses import call, words
from ...shared import Shared, part
from ..opcodes import AFTER, BEFORE, PLACE, SCRATCH_AT
from .state import copy, kernel_of, least, place_of, stopped

#: where in scratch memory the addresses are that places of carries count from, behind those of a kernel's pointers
CARRIES = 256
#: steps of a loop that are done before it is asked whether to stop
STEPS_AT_ONCE = 1 << 16


@part
def split(length, checkpoints):  # type: ignore[no-untyped-def]
    """How many steps to run before the next carry is kept (ops/revolve.py: split)."""
    r, before, ways = 0, 1, 1
    while ways < length:
        r += 1
        before, ways = ways, ways * (checkpoints + r) // r
    # C(s+r−2, s−1) from C(s+r−1, s)
    return least(before, length - before * checkpoints // (checkpoints + r - 1))


@part
def _run(kernel, rows_at, count, first, steps, length, state):  # type: ignore[no-untyped-def]
    """Steps first, first + 1, … by a kernel; length: of a loop that is run backwards, else 0.

    A row: place, bytes from slice to slice, what the place counts from (body_trace.Traced).
    """
    row, table = words(rows_at), words(state[SCRATCH_AT])
    for t in range(first, first + steps, STEPS_AT_ONCE):
        if stopped(state):
            return
        n = length - 1 - t if length else t
        for p in range(count):
            q = 3 * p
            if row[q + 2] == PLACE:
                table[p] = place_of(row[q], state) + n * row[q + 1]
            else:
                table[p] = table[CARRIES + row[q + 2]] + row[q]
        call(kernel, state[SCRATCH_AT], 0, 0, 0, least(STEPS_AT_ONCE, first + steps - t))
        table[CARRIES + BEFORE] = table[CARRIES + AFTER]


@Shared
def native_loop(at, state_at):  # type: ignore[no-untyped-def]
    """kernel, its rows, steps, whether backwards, place of the carry before the first step and after the last; rows (_run)."""
    code, state = words(at), words(state_at)
    table, steps = words(state[SCRATCH_AT]), code[4]
    table[CARRIES + BEFORE], table[CARRIES + AFTER] = place_of(code[6], state), place_of(code[7], state)
    _run(kernel_of(code[2], state), at + 64, code[3], 0, steps, steps if code[5] else 0, state)


@Shared
def native_reversal(at, state_at):  # type: ignore[no-untyped-def]
    """Kernels that advance and that reverse, rows of each, steps, whether backwards, carries kept at most, bytes of a carry, places
    of the carry at hand, of the carries kept, of their steps, of the adjoint before the first step and after the last; rows.

    The order is that of ops/revolve.py: actions.
    """
    code, state = words(at), words(state_at)
    table, left = words(state[SCRATCH_AT]), code[6]
    advance, reverse = kernel_of(code[2], state), kernel_of(code[3], state)
    length = left if code[7] else 0
    most, size = code[8], code[9]
    hand, store = place_of(code[10], state), place_of(code[11], state)
    kept_at, adjoint = words(place_of(code[12], state)), place_of(code[13], state)
    table[CARRIES + AFTER + 1] = place_of(code[14], state)
    copy(state, store, 8, hand, 8, 8, size >> 3)
    kept_at[0], kept = 0, 1
    while kept > 0 and not stopped(state):
        step, carry, keeps = kept_at[kept - 1], store + (kept - 1) * size, True
        while keeps and left - step > 1:  # on to the next carry that is kept, or to the step that is reversed
            keeps = kept < most
            steps = split(left - step, most - kept + 1) if keeps else left - 1 - step
            table[CARRIES + BEFORE] = carry
            carry = store + kept * size if keeps else hand
            table[CARRIES + AFTER] = carry
            _run(advance, at + 120, code[4], step, steps, length, state)
            step += steps
            if keeps:
                kept_at[kept] = step
                kept += 1
        left -= 1
        table[CARRIES + BEFORE], table[CARRIES + BEFORE + 1] = carry, adjoint
        _run(reverse, at + 120 + 24 * code[4], code[5], left, 1, length, state)
        adjoint = table[CARRIES + AFTER + 1]
        if left == kept_at[kept - 1]:
            kept -= 1
