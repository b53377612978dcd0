"""Instructions that read and write elements at indices that are values: gather, and its transpose, which adds."""

from __future__ import annotations

import numpy as np

from ...addresses import items, read, words, write
from ...shared import Shared, part
from ..opcodes import BLOCK, COUNT, GATHER, IN_RANGE, RUN, SCRATCH_AT
from .state import copy, least, place_of, step_on


@part
def _located(code, state, first, indices, address, done, n, offsets):  # type: ignore[no-untyped-def]
    """Adds to the offsets of n elements what their indices come to, in bytes. False: one is out of range, and noted down.

    address: where the addresses of the indices are; done: elements of the run that come before.
    """
    scale, width = state[BLOCK] if code[first - code[6] - 3] else 1, 6 + code[4]
    for k in range(indices):
        q = first + k * width
        step, length, stride = code[q + 2], code[q + 3], code[q + 4] * scale
        at, end, fits = address[k] + done * step, np.float64(length), True
        for j in range(n):  # without a way out, which would make it slow
            value = read(at + j * step, 0.0)
            fits &= (-end <= value) & (value < end)
            i = np.int64(value)
            offsets[j] += (i + (length if i < 0 else 0)) * stride
        if not fits:
            _note(at, step, end, place_of(code[q + 5], state))
            return False
    return True


@part
def _note(at, step, end, fault):  # type: ignore[no-untyped-def]
    """The first index that is out of range, if none was before."""
    value = read(at, 0.0)
    while -end <= value and value < end:
        at += step
        value = read(at, 0.0)
    if read(fault, 0.0) == IN_RANGE:
        write(fault, value)


@part
def _fetched(state, size, target, step, inner, table, table_inner, offsets, n, piece):  # type: ignore[no-untyped-def]
    """n pieces, from their offsets in the table."""
    if piece > 1:
        for j in range(n):
            copy(state, target + j * step, inner, table + offsets[j], table_inner, size, piece)
    elif size == 8:
        for j in range(n):
            write(target + j * step, read(table + offsets[j], np.uint64(0)))
    elif size == 4:
        for j in range(n):
            write(target + j * step, read(table + offsets[j], np.uint32(0)))
    else:
        for j in range(n):
            write(target + j * step, read(table + offsets[j], np.uint8(0)))


@part
def _added(size, source, step, inner, table, table_inner, offsets, n, piece):  # type: ignore[no-untyped-def]
    """n pieces added to what is at their offsets, one after the other; of singles into doubles, of conditions by `or`."""
    if size == 8 and piece == 1:
        for j in range(n):
            out = table + offsets[j]
            write(out, read(out, 0.0) + read(source + j * step, 0.0))
        return
    for j in range(n):
        at, out = source + j * step, table + offsets[j]
        if size == 8 and inner == 8 and table_inner == 8:
            x, t = items(at, 0.0), items(out, 0.0)
            for p in range(piece):
                t[p] += x[p]
            continue
        for p in range(piece):
            from_, to = at + p * inner, out + p * table_inner
            if size == 8:
                write(to, read(to, 0.0) + read(from_, 0.0))
            elif size == 4:
                write(to, read(to, 0.0) + np.float64(read(from_, np.float32(0))))
            else:
                write(to, np.uint8(read(to, np.uint8(0)) | read(from_, np.uint8(0))))


@Shared
def indexed(at, state_at):  # type: ignore[no-untyped-def]
    """GATHER and SCATTER_ADD: bytes an element, indices, loops over indices, length of a run of them (0: lanes in use), loops
    around them, elements of a piece within those (0: lanes in use; -1: there are no elements), sizes of both loops; the elements:
    place, scaled, step within the run, step within a piece, strides of both loops; the table: place, scaled, both steps, strides
    of the loops around; every index: place, scaled, step within the run, length of its axis, the table's stride along it, where
    a number out of range goes, strides of the loops over indices.

    An element of the table is added to in the order of the indices. The first index that is out of range ends the instruction.
    """
    code, state = words(at), words(state_at)
    scratch, block, count = state[SCRATCH_AT], state[BLOCK], state[COUNT]
    size, indices, loops, around = code[2], code[3], code[4], code[6]
    run, piece = code[5] if code[5] > 0 else count, code[7] if code[7] != 0 else count
    own = 8 + loops + around
    table = own + 4 + loops + around
    first = table + 4 + around
    offsets, outer, inner = words(scratch), words(scratch + 8 * RUN), words(scratch + 16 * RUN)
    scale, table_scale = block if code[own + 1] else 1, block if code[table + 1] else 1
    strides = loops + 1 + indices
    outer[loops], begin = place_of(code[own], state), place_of(code[table], state)
    for d in range(loops):
        outer[d], outer[strides + d] = 0, code[own + 4 + d] * scale
    for k in range(indices):
        q = first + k * (6 + loops)
        outer[loops + 1 + k] = place_of(code[q], state)
        for d in range(loops):
            outer[strides + (k + 1) * loops + d] = code[q + 6 + d] * (block if code[q + 1] else 1)
    for d in range(around):
        inner[d], inner[around + 2 + d] = 0, code[own + 4 + loops + d] * scale
        inner[2 * around + 2 + d] = code[table + 4 + d] * table_scale
    while True:
        for done in range(0, run, RUN):
            n = least(RUN, run - done)
            for j in range(n):
                offsets[j] = (done + j) * code[table + 2]
            if not _located(code, state, first, indices, words(scratch + 8 * (RUN + loops + 1)), done, n, offsets):
                return
            if piece < 0:
                continue
            inner[around], inner[around + 1] = outer[loops] + done * code[own + 2], begin
            while True:
                from_, into = inner[around], inner[around + 1]
                if code[0] == GATHER:
                    _fetched(state, size, from_, code[own + 2], code[own + 3], into, code[table + 3], offsets, n, piece)
                else:
                    _added(size, from_, code[own + 2], code[own + 3], into, code[table + 3], offsets, n, piece)
                if not step_on(code, 8 + loops, around, inner, around, 2):
                    break
        if not step_on(code, 8, loops, outer, loops, 1 + indices):
            break
