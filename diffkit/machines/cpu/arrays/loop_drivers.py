"""Loops and reversals whose steps are kernels (native_loops.py), in native code that holds no lock.

A kernel does several steps in one call, and is told where everything is in the first of them. It reads what is carried before
that step and writes it after the last, so a carry may stay where it is, or go to where it is kept.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from ..addresses import call as _call
from ..addresses import pointer as _pointer
from ..addresses import read as _read
from ..jit import native
from .execution import WORDS, _at, _copied
from .opcodes import AFTER, BEFORE, PLACE

#: where in scratch memory the addresses are that places of carries count from, behind those of a kernel's pointers
CARRIES = 256
#: steps of a loop that are done before it is asked whether to stop
STEPS_AT_ONCE = 1 << 16


@native("boolean(int64)")
def stopped(stop):  # type: ignore[no-untyped-def]
    """Whether the word at an address (0: none) says that nobody waits for the answer any more."""
    return stop != 0 and _read(stop, np.int64(0)) != 0


@native("int64(int64, int64)")
def split(length, checkpoints):  # type: ignore[no-untyped-def]
    """How many steps to run before the next carry is kept (ops/revolve.py: split)."""
    r, before, ways = 0, 1, 1
    while ways < length:
        r += 1
        before, ways = ways, ways * (checkpoints + r) // r
    # C(s+r−2, s−1) from C(s+r−1, s)
    return min(before, length - before * checkpoints // (checkpoints + r - 1))


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _run(kernel, code_at, rows, count, first, steps, length, base, here, scratch, stop):  # type: ignore[no-untyped-def]
    """Steps first, first + 1, … by a kernel; length: of a loop that is run backwards, else 0.

    A row: place, bytes from slice to slice, what the place counts from (body_trace.Traced).
    """
    code, table = carray(_pointer(code_at), WORDS, np.int64), carray(_pointer(scratch), WORDS, np.int64)
    for t in range(first, first + steps, STEPS_AT_ONCE):
        if stopped(stop):
            return
        n = length - 1 - t if length else t
        for p in range(count):
            q = rows + 3 * p
            if code[q + 2] == PLACE:
                table[p] = _at(code[q], base, 1, here) + n * code[q + 1]
            else:
                table[p] = table[CARRIES + code[q + 2]] + code[q]
        _call(kernel, scratch, 0, 0, 0, min(STEPS_AT_ONCE, first + steps - t))
        table[CARRIES + BEFORE] = table[CARRIES + AFTER]


@native("(int64, int64, int64, int64, int64, int64, int64)")
def native_loop(code_at, pc, addresses_at, base, here, scratch, stop):  # type: ignore[no-untyped-def]
    """kernel, its rows, steps, whether backwards, place of the carry before the first step and after the last; rows (_run)."""
    code, table = carray(_pointer(code_at), WORDS, np.int64), carray(_pointer(scratch), WORDS, np.int64)
    steps = code[pc + 4]
    table[CARRIES + BEFORE], table[CARRIES + AFTER] = _at(code[pc + 6], base, 1, here), _at(code[pc + 7], base, 1, here)
    kernel = _read(addresses_at + 8 * code[pc + 2], np.int64(0))
    _run(kernel, code_at, pc + 8, code[pc + 3], 0, steps, steps if code[pc + 5] else 0, base, here, scratch, stop)


@native("(int64, int64, int64, int64, int64, int64, int64)")
def native_reversal(code_at, pc, addresses_at, base, here, scratch, stop):  # type: ignore[no-untyped-def]
    """Kernels that advance and that reverse, rows of each, steps, whether backwards, carries kept at most, bytes of a carry, places
    of the carry at hand, of the carries kept, of their steps, of the adjoint before the first step and after the last; rows.

    The order is that of ops/revolve.py: actions.
    """
    code, table = carray(_pointer(code_at), WORDS, np.int64), carray(_pointer(scratch), WORDS, np.int64)
    advance = _read(addresses_at + 8 * code[pc + 2], np.int64(0))
    reverse = _read(addresses_at + 8 * code[pc + 3], np.int64(0))
    ahead_at, back_at, end = pc + 15, pc + 15 + 3 * code[pc + 4], code[pc + 6]
    length = end if code[pc + 7] else 0
    most, size = code[pc + 8], code[pc + 9]
    hand, store = _at(code[pc + 10], base, 1, here), _at(code[pc + 11], base, 1, here)
    kept_at = carray(_pointer(_at(code[pc + 12], base, 1, here)), most, np.int64)
    adjoint = _at(code[pc + 13], base, 1, here)
    table[CARRIES + AFTER + 1] = _at(code[pc + 14], base, 1, here)
    _copied(store, 8, hand, 8, 8, size // 8)
    kept_at[0], kept = 0, 1
    while kept and not stopped(stop):
        at, carry, keeps = kept_at[kept - 1], store + (kept - 1) * size, True
        while keeps and end - at > 1:  # on to the next carry that is kept, or to the step that is reversed
            keeps = kept < most
            steps = split(end - at, most - kept + 1) if keeps else end - 1 - at
            table[CARRIES + BEFORE] = carry
            carry = store + kept * size if keeps else hand
            table[CARRIES + AFTER] = carry
            _run(advance, code_at, ahead_at, code[pc + 4], at, steps, length, base, here, scratch, stop)
            at += steps
            if keeps:
                kept_at[kept] = at
                kept += 1
        end -= 1
        table[CARRIES + BEFORE], table[CARRIES + BEFORE + 1] = carry, adjoint
        _run(reverse, code_at, back_at, code[pc + 5], end, 1, length, base, here, scratch, stop)
        adjoint = table[CARRIES + AFTER + 1]
        if end == kept_at[kept - 1]:
            kept -= 1
