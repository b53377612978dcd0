"""The interpreter of array programs: whole arrays, loops with bodies, blocks of lanes, totals; native code that holds no lock.

What a single instruction does is in execution.py.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from ..addresses import pointer as _pointer
from ..addresses import take as _take
from ..addresses import write as _write
from ..jit import native
from .execution import WORDS, _at, _copied, execute
from .loop_drivers import native_loop, native_reversal, split, stopped
from .opcodes import (
    DEEPEST,
    FRAME,
    LOOP,
    MOST_SLOTS,
    NATIVE_LOOP,
    NATIVE_REVERSAL,
    REVERSAL,
    SCRATCH,
    TOTALS_AT_ONCE,
)

#: what a reversal did last, or is to do next
ADVANCE, REVERSE = 1, 2


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _fill_slots(code_at, at, slots, turn, back_turn, n, base, here, inner):  # type: ignore[no-untyped-def]
    """What a body reads and writes in step n."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    for s in range(slots):
        q = at + 4 * s
        odd = back_turn if code[q + 3] else turn
        _write(inner + 8 * s, _at(code[q + odd], base, 1, here) + n * code[q + 2])


@native("int64(int64, int64, int64[:, ::1], int64, int64, int64)")
def _next_of_reversal(code_at, pc, frames, d, base, here):  # type: ignore[no-untyped-def]
    """What a reversal is to do now that the last thing is done: run a step again, reverse one, or (0) nothing more.

    The order of ops/revolve.py. A frame, from 6: carries kept, the end of what is to be reversed, step of the carry at hand,
    turn of the carry, turn of the adjoint, step to advance to, whether its carry is kept, what was done last.
    """
    code = carray(_pointer(code_at), WORDS, np.int64)
    most, size = code[pc + 6], code[pc + 11]
    store, kept_at = (
        _at(code[pc + 14], base, 1, here),
        carray(_pointer(_at(code[pc + 15], base, 1, here)), most, np.int64),
    )
    reverse = False
    if frames[d, 13] == ADVANCE:
        frames[d, 8] += 1
        frames[d, 9] = 1 - frames[d, 9]
        if frames[d, 8] < frames[d, 11]:
            return ADVANCE
        if frames[d, 12]:
            kept_at[frames[d, 6]] = frames[d, 8]
            _copied(store + frames[d, 6] * size, 8, _at(code[pc + 12 + frames[d, 9]], base, 1, here), 8, 8, size // 8)
            frames[d, 6] += 1
        else:
            reverse = True
    elif frames[d, 13] == REVERSE:
        frames[d, 10] = 1 - frames[d, 10]
        frames[d, 8] = -1
        if frames[d, 7] == kept_at[frames[d, 6] - 1]:
            frames[d, 6] -= 1
            if frames[d, 6] == 0:
                return 0
    else:
        kept_at[0] = 0
        _copied(store, 8, _at(code[pc + 12], base, 1, here), 8, 8, size // 8)
    first = kept_at[frames[d, 6] - 1]
    if not reverse:
        if frames[d, 8] != first:
            _copied(_at(code[pc + 12], base, 1, here), 8, store + (frames[d, 6] - 1) * size, 8, 8, size // 8)
            frames[d, 8], frames[d, 9] = first, 0
        if frames[d, 7] - first > 1:
            frames[d, 12] = np.int64(frames[d, 6] < most)
            frames[d, 11] = (
                first + split(frames[d, 7] - first, most - frames[d, 6] + 1) if frames[d, 12] else frames[d, 7] - 1
            )
            frames[d, 13] = ADVANCE
            return ADVANCE
    frames[d, 7] -= 1
    frames[d, 13] = REVERSE
    return REVERSE


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def run(code_at, begin, end, addresses_at, table_at, base, here, slots, scratch, stop):  # type: ignore[no-untyped-def]
    """Instructions on whole arrays, loops included. here: the addresses of the slots, with room behind them for those of bodies.
    stop: see `stopped`; then nothing that is computed means anything.

    LOOP: where the body begins, steps, whether backwards, slots, place of the body's memory; a slot: place at even and at odd
    turns, bytes from step to step, whose turns.
    REVERSAL: where the bodies begin, length of the first, steps, whether backwards, carries kept at most, slots of both
    bodies, places of their memory, bytes of a carry, places of the carry at hand at even and odd turns, of the carries kept, of
    their steps; slots.
    """
    code = carray(_pointer(code_at), WORDS, np.int64)
    odo, frames = np.zeros(64, np.int64), np.zeros((DEEPEST, FRAME), np.int64)
    odo_at = odo.ctypes.data
    depth, pc, mine = 0, begin, 0
    while True:
        if (pc >= end and depth == 0) or stopped(stop):
            odo[0] = 0  # it is held until here
            return
        opcode = code[pc] if pc < end else np.int64(-1)
        if opcode in (NATIVE_LOOP, NATIVE_REVERSAL):
            if opcode == NATIVE_LOOP:
                native_loop(code_at, pc, addresses_at, base, here + 8 * mine, scratch, stop)
            else:
                native_reversal(code_at, pc, addresses_at, base, here + 8 * mine, scratch, stop)
            pc += code[pc + 1]
            continue
        if opcode >= 0 and opcode != LOOP and opcode != REVERSAL:
            execute(code_at, pc, addresses_at, table_at, base, 1, 1, 1, here + 8 * mine, scratch, odo_at)
            pc += code[pc + 1]
            continue
        if opcode >= 0:  # into a loop
            frames[depth, 0], frames[depth, 1], frames[depth, 2], frames[depth, 3], frames[depth, 4] = (
                pc,
                -1,
                base,
                mine,
                end,
            )
            frames[depth, 5] = frames[depth - 1, 5] + frames[depth - 1, 14] if depth else slots
            frames[depth, 6], frames[depth, 7], frames[depth, 13] = 1, code[pc + 4], 0
            frames[depth, 8], frames[depth, 9], frames[depth, 10] = 0, 0, 0
            frames[depth, 14] = code[pc + 5] if opcode == LOOP else max(code[pc + 7], code[pc + 8])
            depth += 1
        d = depth - 1
        at, outer, theirs = frames[d, 0], frames[d, 2], here + 8 * frames[d, 3]
        inner = here + 8 * frames[d, 5]
        if code[at] == LOOP:
            frames[d, 1] += 1
            t, steps = frames[d, 1], code[at + 3]
            if t < steps:
                _fill_slots(
                    code_at, at + 7, code[at + 5], t & 1, 0, steps - 1 - t if code[at + 4] else t, outer, theirs, inner
                )
                mine, base = frames[d, 5], _at(code[at + 6], outer, 1, theirs)
                pc, end = at + code[at + 2], at + code[at + 1]
                continue
        else:
            todo = _next_of_reversal(code_at, at, frames, d, outer, theirs)
            if todo:
                step = frames[d, 8] if todo == ADVANCE else frames[d, 7]
                n = code[at + 4] - 1 - step if code[at + 5] else step
                head, body = at + 16, at + code[at + 2]
                if todo == ADVANCE:
                    _fill_slots(code_at, head, code[at + 7], frames[d, 9], 0, n, outer, theirs, inner)
                    base, pc, end = _at(code[at + 9], outer, 1, theirs), body, body + code[at + 3]
                else:
                    head += 4 * code[at + 7]
                    _fill_slots(code_at, head, code[at + 8], frames[d, 9], frames[d, 10], n, outer, theirs, inner)
                    base, pc, end = _at(code[at + 10], outer, 1, theirs), body + code[at + 3], at + code[at + 1]
                mine = frames[d, 5]
                continue
        depth -= 1  # out of it
        base, mine, end = frames[d, 2], frames[d, 3], frames[d, 4]
        pc = at + code[at + 1]


@native("int64(int64)")
def _aligned(address):  # type: ignore[no-untyped-def]
    return address + (64 - address % 64) % 64


@native("(int64[::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], int64, int64, int64)")
def run_whole(code, begin, end, addresses, table, slots, base, spare, stop):  # type: ignore[no-untyped-def]
    """Instructions begin … end on whole arrays. slots: (address, …). spare: where scratch memory is. stop: see `stopped`."""
    places = np.empty(slots.shape[0] + MOST_SLOTS, np.int64)
    for s in range(slots.shape[0]):
        places[s] = slots[s, 0]
    here = places.ctypes.data
    run(code.ctypes.data, begin, end, addresses.ctypes.data, table.ctypes.data, base, here, slots.shape[0], spare, stop)
    places[0] = 0  # it is held until here


@native("(int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], int64, int64[::1])")
def run_parts(code, parts, addresses, table, slots, base, order):  # type: ignore[no-untyped-def]
    """Parts of whole arrays, each (begin, end) of instructions, until none are left."""
    places, odo = np.empty(slots.shape[0] + 1, np.int64), np.zeros(64, np.int64)
    scratch = np.empty(SCRATCH + 64, np.uint8)
    spare, here = _aligned(scratch.ctypes.data), places.ctypes.data
    code_at, addresses_at, table_at, odo_at = (
        code.ctypes.data,
        addresses.ctypes.data,
        table.ctypes.data,
        odo.ctypes.data,
    )
    for s in range(slots.shape[0]):
        places[s] = slots[s, 0]
    while True:
        taken = _take(order)
        if taken >= parts.shape[0]:
            break
        for p in range(taken, min(taken + order[1], parts.shape[0])):
            pc = parts[p, 0]
            while pc < parts[p, 1]:
                execute(code_at, pc, addresses_at, table_at, base, 1, 1, 1, here, spare, odo_at)
                pc += code[pc + 1]
    places[0], scratch[0], odo[0] = 0, 0, 0  # they are held until here


@native("(int64[::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], int64, int64, int64, int64, int64[::1])")
def run_lanes(code, begin, end, addresses, table, slots, scratch, block, lanes, pieces, order):  # type: ignore[no-untyped-def]
    """Instructions over blocks of lanes, piece by piece until none are left.

    slots: (address, bytes from lane to lane, bytes from piece to piece). A piece is a run of blocks with totals of its own.
    scratch: where scratch memory is, and behind it the registers.
    """
    places, odo = np.empty(slots.shape[0] + 1, np.int64), np.zeros(64, np.int64)
    here = places.ctypes.data
    code_at, addresses_at, table_at, odo_at = (
        code.ctypes.data,
        addresses.ctypes.data,
        table.ctypes.data,
        odo.ctypes.data,
    )
    base = scratch + SCRATCH
    blocks = (lanes + block - 1) // block
    while True:
        taken = _take(order)
        if taken >= pieces:
            break
        for piece in range(taken, min(taken + order[1], pieces)):
            start = piece * blocks // pieces
            for b in range(start, (piece + 1) * blocks // pieces):
                lane = b * block
                for s in range(slots.shape[0]):
                    places[s] = slots[s, 0] + lane * slots[s, 1] + piece * slots[s, 2]
                count, first = min(block, lanes - lane), np.int64(b == start)
                pc = begin
                while pc < end:
                    execute(code_at, pc, addresses_at, table_at, base, block, count, first, here, scratch, odo_at)
                    pc += code[pc + 1]
    places[0], odo[0] = 0, 0  # they are held until here


@native("(int64, int64, int64, int64, int64, int64, int64)")
def _add_up(first, pieces, stride, size, n, target, target_size):  # type: ignore[no-untyped-def]
    """n totals of every piece, added up as a binary tree; the last sum goes to the target."""
    step = 1
    while 2 * step < pieces:
        for p in range(0, pieces - step, 2 * step):
            into, other = first + p * stride, first + (p + step) * stride
            if size == 8:
                x, y = carray(_pointer(into), n, np.float64), carray(_pointer(other), n, np.float64)
                for i in range(n):
                    x[i] += y[i]
            else:
                x4, y4 = carray(_pointer(into), n, np.float32), carray(_pointer(other), n, np.float32)
                for i in range(n):
                    x4[i] += y4[i]
        step *= 2
    other = first + step * stride
    if size == 4:
        a4, z4 = carray(_pointer(first), n, np.float32), carray(_pointer(target), n, np.float32)
        if pieces == 1:
            for i in range(n):
                z4[i] = a4[i]
        else:
            b4 = carray(_pointer(other), n, np.float32)
            for i in range(n):
                z4[i] = a4[i] + b4[i]
        return
    a, b = carray(_pointer(first), n, np.float64), carray(_pointer(other if pieces > 1 else first), n, np.float64)
    z, narrow = carray(_pointer(target), n, np.float64), carray(_pointer(target), n, np.float32)
    if target_size == 8 and pieces == 1:
        for i in range(n):
            z[i] = a[i]
    elif target_size == 8:
        for i in range(n):
            z[i] = a[i] + b[i]
    else:
        for i in range(n):
            narrow[i] = np.float32(a[i] + b[i] if pieces > 1 else a[i])


@native("(int64, int64, int64, int64[:, ::1], int64[::1])")
def add_up(totals, pieces, stride, wanted, order):  # type: ignore[no-untyped-def]
    """The totals of all pieces, added up in runs until none are left (`order`: see threads.share).

    wanted: (offset, elements, bytes an element in the totals, address, bytes an element of the result).
    """
    while True:
        taken = _take(order)
        if taken >= order[2]:
            break
        for run in range(taken, min(taken + order[1], order[2])):
            left = run
            for w in range(wanted.shape[0]):
                runs = (wanted[w, 1] + TOTALS_AT_ONCE - 1) // TOTALS_AT_ONCE
                if left < runs:
                    begin = left * TOTALS_AT_ONCE
                    n = min(TOTALS_AT_ONCE, wanted[w, 1] - begin)
                    first, target = totals + wanted[w, 0] + begin * wanted[w, 2], wanted[w, 3] + begin * wanted[w, 4]
                    _add_up(first, pieces, stride, wanted[w, 2], n, target, wanted[w, 4])
                    break
                left -= runs


@native("(int64[::1],)")
def run_serially(words):  # type: ignore[no-untyped-def]
    """A whole program on one thread, in one call (Memory.describe writes the words)."""
    code = carray(_pointer(words[0]), words[1], np.int64)
    addresses = carray(_pointer(words[2]), words[3], np.int64)
    table = carray(_pointer(words[4]), words[5], np.int64)
    order = np.empty(4, np.int64)
    for p in range(10, words.size, 11):
        slots = carray(_pointer(words[p + 3]), (words[p + 4], 3), np.int64)
        if words[p] == 0:
            run_whole(code, words[p + 1], words[p + 2], addresses, table, slots, words[6], words[8], 0)
            continue
        block, lanes, pieces = words[p + 5], words[p + 6], words[p + 7]
        order[0], order[1] = 0, pieces
        run_lanes(code, words[p + 1], words[p + 2], addresses, table, slots, words[7], block, lanes, pieces, order)
        if words[p + 10]:
            wanted = carray(_pointer(words[p + 9]), (words[p + 10], 5), np.int64)
            runs = 0
            for w in range(wanted.shape[0]):
                runs += (wanted[w, 1] + TOTALS_AT_ONCE - 1) // TOTALS_AT_ONCE
            order[0], order[1], order[2], order[3] = 0, runs, runs, 0
            add_up(words[9], pieces, words[p + 8], wanted, order)
