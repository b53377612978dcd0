"""The interpreter of array programs: whole arrays, blocks of lanes, totals; native code that holds no lock.

What an instruction does is in elementwise.py, copies.py, gathering.py, folding.py, multiplying.py, looping.py and loop_drivers.py;
what all of them use is in state.py.
"""

from __future__ import annotations

import numpy as np

from ...addresses import enter, items, move, take, words
from ..opcodes import (
    ADD_AT,
    ADD_UP,
    BASE,
    BLOCK,
    COPY,
    COUNT,
    EACH,
    EXECUTE,
    FILL,
    FIRST,
    FOLD,
    FUNCTIONS,
    GATHER,
    GROUP,
    HERE,
    KERNELS,
    LANES,
    LOOP,
    MOVE,
    NATIVE_LOOP,
    NATIVE_REVERSAL,
    PRODUCT,
    REDUCE,
    REVERSAL,
    ROOM,
    SCATTER_ADD,
    SCRATCH,
    SCRATCH_AT,
    SHARED,
    STOP,
    SUM,
    TABLE,
    TAKE,
    TOTAL,
    TOTALS_AT_ONCE,
    WHOLE,
    WORKING,
)
from ..program import Host, Lanes, Program
from . import copies, elementwise, folding, gathering, loop_drivers, looping, multiplying
from .shared import Shared, part
from .state import execute, least


def table_for(program: Program, kernels: list[int]) -> np.ndarray:
    """The addresses that a program's code refers to: of functions by opcode, of those that it uses, and of kernels behind them."""
    code, used, pc = program.code.tolist(), {EXECUTE, COPY}, 0
    for phase in program.phases:
        if not isinstance(phase, Host):
            used.add(LANES if isinstance(phase, Lanes) else WHOLE)
            used |= {ADD_UP} if isinstance(phase, Lanes) and phase.totals else set()
    while pc < len(code):
        used |= {code[pc], SUM} if code[pc] in (REDUCE, TOTAL) else {code[pc]}
        # a loop's bodies are instructions behind its own words
        pc += code[pc + 2] if code[pc] in (LOOP, REVERSAL) else code[pc + 1]
    functions = [FUNCTIONS_OF[k].address if k in used and k in FUNCTIONS_OF else 0 for k in range(SHARED)]
    return np.array([*functions, *kernels, 0], np.int64)


@part
def _begin(addresses, table, base, block, slots, scratch, stop):  # type: ignore[no-untyped-def]
    """Where the state of a run is; the addresses of its slots are to be put behind the states."""
    state = words(scratch + SCRATCH)
    state[FUNCTIONS], state[KERNELS], state[TABLE] = addresses, addresses + 8 * SHARED, table
    state[BASE], state[BLOCK] = base, block
    state[COUNT], state[FIRST] = 1, 1
    state[HERE], state[ROOM], state[SCRATCH_AT] = scratch + WORKING, scratch + WORKING + 8 * slots, scratch
    state[STOP] = stop
    return scratch + SCRATCH


@Shared
def run_whole(code, begin, end, addresses, table, slots_at, slots, base, scratch, stop):  # type: ignore[no-untyped-def]
    """Instructions begin … end on whole arrays.

    slots_at: for every slot (address, …). scratch: where scratch memory is, with the states and the addresses of slots behind it.
    stop: the address of a word that says whether to stop (0: none).
    """
    state_at, here, slot = (
        _begin(addresses, table, base, 1, slots, scratch, stop),
        words(scratch + WORKING),
        words(slots_at),
    )
    for s in range(slots):
        here[s] = slot[3 * s]
    execute(code + 8 * begin, code + 8 * end, state_at)


@Shared
def run_parts(code, parts_at, parts, addresses, table, slots_at, slots, base, scratch, order_at):  # type: ignore[no-untyped-def]
    """Parts of whole arrays, for each (begin, end) of instructions, until none are left."""
    order, part_at, functions = words(order_at), words(parts_at), words(addresses)
    while True:
        taken = take(order_at)
        if taken >= parts:
            break
        for p in range(taken, least(taken + order[1], parts)):
            begin, end = part_at[2 * p], part_at[2 * p + 1]
            enter(functions[WHOLE], code, begin, end, addresses, table, slots_at, slots, base, scratch, 0)


@Shared
def run_lanes(code, begin, end, addresses, table, slots_at, slots, base, scratch, block, lanes, pieces, order_at):  # type: ignore[no-untyped-def]
    """Instructions over blocks of lanes, piece by piece until none are left.

    slots_at: for every slot (address, bytes from lane to lane, bytes from piece to piece). A piece is a run of blocks with totals
    of its own. base: where the registers are.
    """
    state_at, here = _begin(addresses, table, base, block, slots, scratch, 0), words(scratch + WORKING)
    state, slot, order = words(state_at), words(slots_at), words(order_at)
    blocks = (lanes + block - 1) // block
    while True:
        taken = take(order_at)
        if taken >= pieces:
            break
        for piece in range(taken, least(taken + order[1], pieces)):
            start = piece * blocks // pieces
            for b in range(start, (piece + 1) * blocks // pieces):
                lane = b * block
                for s in range(slots):
                    here[s] = slot[3 * s] + lane * slot[3 * s + 1] + piece * slot[3 * s + 2]
                state[COUNT], state[FIRST] = least(block, lanes - lane), b == start
                execute(code + 8 * begin, code + 8 * end, state_at)


@Shared
def add_up(totals, pieces, stride, wanted_at, order_at):  # type: ignore[no-untyped-def]
    """The totals of all pieces, added up in runs until none are left (`order`: see threads.share), each as a binary tree whose last
    sum goes to the target.

    wanted_at: for every total (offset, elements, bytes an element in the totals, address, bytes an element of the result).
    """
    order = words(order_at)
    while True:
        taken = take(order_at)
        if taken >= order[2]:
            break
        for run in range(taken, least(taken + order[1], order[2])):
            left, one_at, wanted = run * TOTALS_AT_ONCE, wanted_at, words(wanted_at)
            while left >= wanted[1]:
                left -= (wanted[1] + TOTALS_AT_ONCE - 1) // TOTALS_AT_ONCE * TOTALS_AT_ONCE
                one_at += 40
                wanted = words(one_at)
            n = least(TOTALS_AT_ONCE, wanted[1] - left)
            size, wide = wanted[2], wanted[4]
            first, target, step = totals + wanted[0] + left * size, wanted[3] + left * wide, 1
            while step < pieces:
                for p in range(0, pieces - step, 2 * step):
                    into, width = (first + p * stride, size) if 2 * step < pieces else (target, wide)
                    at, other = first + p * stride, first + (p + step) * stride
                    if size == 4:
                        z4, x4, y4 = items(into, np.float32(0)), items(at, np.float32(0)), items(other, np.float32(0))
                        for i in range(n):
                            z4[i] = x4[i] + y4[i]
                        continue
                    x, y = items(at, 0.0), items(other, 0.0)
                    if width == 8:
                        z = items(into, 0.0)
                        for i in range(n):
                            z[i] = x[i] + y[i]
                    else:
                        narrow = items(into, np.float32(0))
                        for i in range(n):
                            narrow[i] = np.float32(x[i] + y[i])
                step *= 2
            if pieces == 1 and size == wide:
                move(target, first, n * size)
            elif pieces == 1:
                narrow, x = items(target, np.float32(0)), items(first, 0.0)
                for i in range(n):
                    narrow[i] = np.float32(x[i])


@Shared
def run_serially(at, count):  # type: ignore[no-untyped-def]
    """A whole program on one thread, in one call (Memory.describe writes the words)."""
    given, order = words(at), words(at)
    code, addresses, table = given[4], given[5], given[6]
    functions = words(addresses)
    for p in range(12, count, 11):
        phase = words(at + 8 * p)
        begin, end = phase[1], phase[2]
        slots_at, slots = phase[3], phase[4]
        if phase[0] == 0:
            enter(functions[WHOLE], code, begin, end, addresses, table, slots_at, slots, given[7], given[8], 0)
            continue
        pieces, totals = phase[7], phase[9]
        order[0], order[1] = 0, pieces
        enter(
            functions[LANES], code, begin, end, addresses, table, slots_at, slots, given[9], given[10], phase[5], phase[6],
            pieces, at,
        )  # fmt: skip
        if phase[10]:
            order[0], order[1], order[2] = 0, phase[10], phase[10]
            enter(functions[ADD_UP], given[11], pieces, phase[8], totals, at)


#: what is called by address (CALL is done in `execute`)
FUNCTIONS_OF = {
    EACH: elementwise.each,
    GROUP: elementwise.group,
    MOVE: copies.strided,
    TAKE: copies.gathered,
    ADD_AT: copies.added_at,
    GATHER: gathering.indexed,
    SCATTER_ADD: gathering.indexed,
    FILL: copies.filled,
    FOLD: folding.fold,
    REDUCE: folding.reduce,
    TOTAL: folding.totals,
    PRODUCT: multiplying.product,
    LOOP: looping.loop,
    REVERSAL: looping.reversal,
    NATIVE_LOOP: loop_drivers.native_loop,
    NATIVE_REVERSAL: loop_drivers.native_reversal,
    EXECUTE: looping.executed,
    COPY: copies.copied,
    SUM: folding.summed,
    WHOLE: run_whole,
    LANES: run_lanes,
    ADD_UP: add_up,
}
