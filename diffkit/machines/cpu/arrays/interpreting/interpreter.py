"""The interpreter of array programs: whole arrays, blocks of lanes, totals; native code that holds no lock.

What an instruction does is in elementwise.py, copies.py, gathering.py, folding.py, multiplying.py, looping.py and loop_drivers.py;
what all of them use is in state.py.
"""

from __future__ import annotations

import numpy as np

from ...addresses import enter, items, move, take, words
from ...shared import Shared, part
from ...team import PARALLEL_WORK, done, leads, shared_out
from ..opcodes import (
    ADD_AT,
    ADD_UP,
    BASE,
    BEGIN,
    BLOCK,
    COPY,
    COUNT,
    EACH,
    END,
    EXECUTE,
    FILL,
    FIRST,
    FOLD,
    FUNCTIONS,
    GATHER,
    GROUP,
    HERE,
    KERNELS,
    KIND,
    LANES,
    LANES_IN_ALL,
    LANES_IN_BLOCK,
    LOOP,
    MOVE,
    NATIVE_LOOP,
    NATIVE_REVERSAL,
    PARTS,
    PARTS_AT,
    PHASE,
    PIECE_WORK,
    PIECES,
    PRODUCT,
    REDUCE,
    REVERSAL,
    ROOM,
    RUN_ADDRESSES,
    RUN_BASE,
    RUN_BEFORE,
    RUN_CODE,
    RUN_ORDER,
    RUN_PHASES,
    RUN_TABLE,
    RUN_TOLD,
    RUN_TOTALS,
    RUN_WORK,
    RUN_WORKSPACE,
    RUN_WORKSPACES,
    RUNS,
    SCATTER_ADD,
    SCRATCH,
    SCRATCH_AT,
    SHARED,
    SLOT_COUNT,
    SLOTS,
    STOP,
    SUM,
    TABLE,
    TAKE,
    TOTAL,
    TOTAL_BYTES,
    TOTALS_AT_ONCE,
    WANTED,
    WHOLE,
    WORKING,
)
from ..program import Host, Lanes, Program
from . import copies, elementwise, folding, gathering, loop_drivers, looping, multiplying
from .state import execute, least


def table_for(program: Program, kernels: list[int]) -> np.ndarray:
    """The addresses that a program's code refers to: of functions by opcode, of those that it uses, and of kernels behind them."""
    code, used, pc = program.code.tolist(), {EXECUTE, COPY}, 0
    for phase in program.phases:
        if not isinstance(phase, Host):
            used |= {LANES} if isinstance(phase, Lanes) else {WHOLE} if phase.parts is None else {WHOLE, PARTS}
            used |= {ADD_UP} if isinstance(phase, Lanes) and phase.totals else set()
    while pc < len(code):
        used |= {code[pc], SUM} if code[pc] in (REDUCE, TOTAL) else {code[pc]}
        # a loop's bodies are instructions behind its own words
        pc += code[pc + 2] if code[pc] in (LOOP, REVERSAL) else code[pc + 1]
    functions = [FUNCTIONS_OF[k].address if k in used and k in FUNCTIONS_OF else 0 for k in range(SHARED)]
    return np.array([*functions, *kernels, 0], np.int64)


@part
def _begin(run, phase, base, block, who, stop):  # type: ignore[no-untyped-def]
    """Where the state of thread `who` is. The addresses of slots are behind the states, registers and other memory behind them."""
    scratch = run[RUN_WORKSPACES] + who * run[RUN_WORKSPACE]
    state = words(scratch + SCRATCH)
    state[FUNCTIONS], state[KERNELS], state[TABLE] = (
        run[RUN_ADDRESSES],
        run[RUN_ADDRESSES] + 8 * SHARED,
        run[RUN_TABLE],
    )
    state[BASE], state[BLOCK] = base, block
    state[COUNT], state[FIRST] = 1, 1
    state[HERE], state[ROOM], state[SCRATCH_AT] = scratch + WORKING, scratch + WORKING + 8 * phase[SLOT_COUNT], scratch
    state[STOP] = stop
    return scratch + SCRATCH


@Shared
def run_whole(run_at, phase_at, who, begin, end, stop):  # type: ignore[no-untyped-def]
    """Instructions begin … end on whole arrays. stop: the address of a word that says whether to stop (0: none)."""
    run, phase = words(run_at), words(phase_at)
    state_at = _begin(run, phase, run[RUN_BASE], 1, who, stop)
    here, slot = words(words(state_at)[HERE]), words(phase[SLOTS])
    for s in range(phase[SLOT_COUNT]):
        here[s] = slot[3 * s]
    execute(run[RUN_CODE] + 8 * begin, run[RUN_CODE] + 8 * end, state_at)


@Shared
def run_parts(told, order_at, who):  # type: ignore[no-untyped-def]
    """A job (../../team.py): parts of whole arrays, each (begin, end) of instructions."""
    given, order = words(told), words(order_at)
    phase, functions = words(given[1]), words(words(given[0])[RUN_ADDRESSES])
    part_at, parts = words(phase[PARTS_AT]), phase[PIECES]
    while True:
        taken = take(order_at)
        if taken >= parts:
            break
        for p in range(taken, least(taken + order[1], parts)):
            enter(functions[WHOLE], given[0], given[1], who, part_at[2 * p], part_at[2 * p + 1], 0)


@Shared
def run_lanes(told, order_at, who):  # type: ignore[no-untyped-def]
    """A job: instructions over blocks of lanes, piece by piece.

    Slots are (address, bytes from lane to lane, bytes from piece to piece). A piece is a run of blocks with totals of its own.
    """
    given, order = words(told), words(order_at)
    run, phase = words(given[0]), words(given[1])
    block, lanes, pieces = phase[LANES_IN_BLOCK], phase[LANES_IN_ALL], phase[PIECES]
    base = run[RUN_WORKSPACES] + who * run[RUN_WORKSPACE] + run[RUN_BEFORE]
    state_at = _begin(run, phase, base, block, who, 0)
    state, slot = words(state_at), words(phase[SLOTS])
    here, slots = words(state[HERE]), phase[SLOT_COUNT]
    begin, end = run[RUN_CODE] + 8 * phase[BEGIN], run[RUN_CODE] + 8 * phase[END]
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
                execute(begin, end, state_at)


@Shared
def add_up(told, order_at, who):  # type: ignore[no-untyped-def]
    """A job: the totals of all pieces, added up in runs, each as a binary tree whose last sum goes to the target.

    They are (offset, elements, bytes an element in the totals, address of the target, bytes an element there).
    """
    given, order = words(told), words(order_at)
    totals, phase = words(given[0])[RUN_TOTALS], words(given[1])
    pieces, stride, runs = phase[PIECES], phase[TOTAL_BYTES], phase[RUNS]
    while True:
        taken = take(order_at)
        if taken >= runs:
            break
        for run in range(taken, least(taken + order[1], runs)):
            left, one_at, wanted = run * TOTALS_AT_ONCE, phase[WANTED], words(phase[WANTED])
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


@part
def _job(function, run_at, phase_at, pieces, work, team):  # type: ignore[no-untyped-def]
    """So many pieces, alone or (team) with others where there is enough to do."""
    run = words(run_at)
    run[RUN_ORDER], run[RUN_ORDER + 1] = 0, 1
    told = run_at + 8 * RUN_TOLD
    words(told)[0], words(told)[1] = run_at, phase_at
    if team != 0 and pieces > 1 and pieces * work >= PARALLEL_WORK:
        shared_out(team, function, told, run_at + 8 * RUN_ORDER)
    else:
        enter(function, told, run_at + 8 * RUN_ORDER, 0)


@Shared
def run_phases(run_at, first, end, team, stop):  # type: ignore[no-untyped-def]
    """Phases first … end of a program (Memory.describe). team: whom to share them with (0: nobody), if nobody else leads it."""
    functions = words(words(run_at)[RUN_ADDRESSES])
    helpers = team if leads(team) else 0
    for p in range(first, end):
        phase_at = run_at + 8 * (RUN_PHASES + p * PHASE)
        phase = words(phase_at)
        if phase[KIND] == WHOLE:
            enter(functions[WHOLE], run_at, phase_at, 0, phase[BEGIN], phase[END], stop)
            continue
        _job(functions[phase[KIND]], run_at, phase_at, phase[PIECES], phase[PIECE_WORK], helpers)
        if phase[RUNS]:
            _job(functions[ADD_UP], run_at, phase_at, phase[RUNS], phase[RUN_WORK], helpers)
    if helpers:
        done(team)


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
    PARTS: run_parts,
    LANES: run_lanes,
    ADD_UP: add_up,
}
