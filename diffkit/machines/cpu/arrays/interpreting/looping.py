"""Running code: one instruction after the other, and the instructions that are loops with bodies of their own."""

from __future__ import annotations

from ...addresses import call, enter, words
from ...shared import Shared, part
from ..opcodes import BASE, BLOCK, CALL, COUNT, FIRST, FUNCTIONS, HERE, KERNELS, ROOM, SCRATCH_AT, STATE, STOP, TABLE
from .loop_drivers import split
from .state import copy, execute, kernel_of, place_of, stopped


@Shared
def executed(at, end, state_at):  # type: ignore[no-untyped-def]
    """The instructions between two addresses.

    CALL: kernel, rows, places of target and operands.
    """
    state = words(state_at)
    functions = words(state[FUNCTIONS])
    while at < end:
        code = words(at)
        if code[0] == CALL:
            call(
                kernel_of(code[2], state), place_of(code[4], state), place_of(code[5], state), place_of(code[6], state),
                place_of(code[7], state), code[3] * state[BLOCK] if code[3] > 1 else state[COUNT],
            )  # fmt: skip
        else:
            enter(functions[code[0]], at, state_at)
        at += 8 * code[1]


@part
def state_of_bodies(state_at, slots):  # type: ignore[no-untyped-def]
    """Where the state for a loop's bodies is; they have so many slots at most, and the memory they work in is still to be told."""
    outer, inner = words(state_at), words(state_at + 8 * STATE)
    for w in (FUNCTIONS, KERNELS, TABLE, SCRATCH_AT, STOP):
        inner[w] = outer[w]
    inner[BLOCK], inner[COUNT], inner[FIRST] = 1, 1, 1
    inner[HERE], inner[ROOM] = outer[ROOM], outer[ROOM] + 8 * slots
    return state_at + 8 * STATE


@part
def _fill_slots(rows_at, slots, turn, back_turn, n, outer, inner):  # type: ignore[no-untyped-def]
    """What a body reads and writes in step n. A row: place at even and at odd turns, bytes from step to step, whose turns."""
    row, here = words(rows_at), words(inner[HERE])
    for s in range(slots):
        odd = back_turn if row[4 * s + 3] else turn
        here[s] = place_of(row[4 * s + odd], outer) + n * row[4 * s + 2]


@Shared
def loop(at, state_at):  # type: ignore[no-untyped-def]
    """where the body begins, steps, whether backwards, slots, place of the body's memory; rows of slots."""
    code, outer = words(at), words(state_at)
    steps, slots, inner_at = code[3], code[5], state_of_bodies(state_at, code[5])
    inner = words(inner_at)
    inner[BASE] = place_of(code[6], outer)
    for t in range(steps):
        if stopped(outer):
            return
        _fill_slots(at + 56, slots, t & 1, 0, steps - 1 - t if code[4] else t, outer, inner)
        execute(at + 8 * code[2], at + 8 * code[1], inner_at)


@Shared
def reversal(at, state_at):  # type: ignore[no-untyped-def]
    """where the bodies begin, length of the first, steps, whether backwards, carries kept at most, slots of both
    bodies, places of their memory, bytes of a carry, places of the carry at hand at even and odd turns, of the carries kept, of
    their steps; rows of slots.

    The order of ops/revolve.py.
    """
    code, outer = words(at), words(state_at)
    middle, end = at + 8 * (code[2] + code[3]), at + 8 * code[1]
    last, most, size = code[4] - 1, code[6], code[11]
    forward_slots, back_slots = code[7], code[8]
    inner_at = state_of_bodies(state_at, max(forward_slots, back_slots))
    inner = words(inner_at)
    store, kept_at = place_of(code[14], outer), words(place_of(code[15], outer))
    copy(outer, store, 8, place_of(code[12], outer), 8, 8, size >> 3)
    kept_at[0], kept = 0, 1
    # what is still to be reversed ends at `left`; the carry of `step` is at hand (-1: of none)
    left, step, turn, back_turn = code[4], 0, 0, 0
    while kept > 0 and not stopped(outer):
        if step != kept_at[kept - 1]:
            step, turn = kept_at[kept - 1], 0
            copy(outer, place_of(code[12], outer), 8, store + (kept - 1) * size, 8, 8, size >> 3)
        inner[BASE] = place_of(code[9], outer)
        while left - step > 1:
            keeps = kept < most
            until = step + split(left - step, most - kept + 1) if keeps else left - 1
            while step < until:
                if stopped(outer):
                    return
                n = last - step if code[5] else step
                _fill_slots(at + 128, forward_slots, turn, 0, n, outer, inner)
                execute(at + 8 * code[2], middle, inner_at)
                step, turn = step + 1, 1 - turn
            if keeps:
                kept_at[kept] = step
                copy(outer, store + kept * size, 8, place_of(code[12 + turn], outer), 8, 8, size >> 3)
                kept += 1
        left -= 1
        inner[BASE] = place_of(code[10], outer)
        n = last - left if code[5] else left
        _fill_slots(at + 128 + 32 * forward_slots, back_slots, turn, back_turn, n, outer, inner)
        execute(middle, end, inner_at)
        back_turn, step = 1 - back_turn, -1
        if left == kept_at[kept - 1]:
            kept -= 1
