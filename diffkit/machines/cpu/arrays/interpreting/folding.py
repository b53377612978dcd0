"""Instructions that fold elements: sums, products, maxima."""

from __future__ import annotations

import numpy as np

from ...addresses import call, enter, items, read, words, write
from ...shared import Shared, part
from ..opcodes import BLOCK, COUNT, FIRST, FUNCTIONS, ODOMETER, RUN, SCRATCH_AT, SUM
from .state import copy, kernel_of, least, place_of, step_on


@Shared
def fold(at, state_at):  # type: ignore[no-untyped-def]
    """kernel, kernel that narrows (-1: none; else terms are added up in double), loops kept, loops folded, rows,
    bytes of a result and of a term, sizes kept, sizes folded, target: place, scaled; source: place, scaled;
    strides of target, of source (kept, folded)."""
    code, state = words(at), words(state_at)
    odo, inner = words(state_at + 8 * ODOMETER), words(state_at + 8 * (ODOMETER + 32))
    kernel, narrow, kept, folded, rows = kernel_of(code[2], state), code[3], code[4], code[5], code[6]
    target_size, source_size, scratch = code[7], code[8], state[SCRATCH_AT]
    q = 9 + kept + folded
    strides = q + 4
    run = rows * state[BLOCK] if rows > 1 else state[COUNT]
    target_scale, source_scale = (state[BLOCK] if code[q + 1] else 1), (state[BLOCK] if code[q + 3] else 1)
    for d in range(kept):
        odo[d] = 0
        odo[10 + d] = code[strides + d] * target_scale
        odo[10 + kept + d] = code[strides + kept + d] * source_scale
    odo[8], odo[9] = place_of(code[q], state), place_of(code[q + 2], state)
    while True:
        for done in range(0, run, RUN):
            n = least(RUN, run - done)
            out = odo[8] + done * target_size
            total = scratch if narrow >= 0 else out
            if narrow >= 0:
                zeros = items(scratch, 0.0)
                for i in range(n):
                    zeros[i] = -0.0
            for d in range(folded):
                inner[d] = 0
                inner[9 + d] = code[strides + 2 * kept + d] * source_scale
            inner[8] = odo[9] + done * source_size
            first = narrow < 0
            while True:
                if first:
                    copy(state, total, target_size, inner[8], source_size, source_size, n)
                    first = False
                else:
                    call(kernel, total, inner[8], 0, 0, n)
                if not step_on(code, 9 + kept, folded, inner, 8, 1):
                    break
            if narrow >= 0:
                call(kernel_of(narrow, state), out, total, 0, 0, n)
        if not step_on(code, 9, kept, odo, 8, 2):
            break


@Shared
def summed(at, size, n, target):  # type: ignore[no-untyped-def]
    """A sum of n elements, in double, in pieces whose sums are added up: of doubles in eight chains, added up as a tree, of singles
    in four."""
    total = -0.0
    for begin in range(0, n, RUN):
        length = least(RUN, n - begin)
        a = b = c = d = e = f = g = h = -0.0
        if size == 8:
            x, whole = items(at + 8 * begin, 0.0), length & -8
            for i in range(0, whole, 8):
                a += x[i]
                b += x[i + 1]
                c += x[i + 2]
                d += x[i + 3]
                e += x[i + 4]
                f += x[i + 5]
                g += x[i + 6]
                h += x[i + 7]
            for i in range(whole, length):
                a += x[i]
            total += ((a + b) + (c + d)) + ((e + f) + (g + h))
        else:
            y, whole = items(at + 4 * begin, np.float32(0)), length & -4
            for i in range(0, whole, 4):
                a += np.float64(y[i])
                b += np.float64(y[i + 1])
                c += np.float64(y[i + 2])
                d += np.float64(y[i + 3])
            for i in range(whole, length):
                a += np.float64(y[i])
            total += (a + b) + (c + d)
    write(target, total)


@part
def _sum_of(at, size, n, state):  # type: ignore[no-untyped-def]
    # the scratch memory is free in instructions that sum up
    enter(words(state[FUNCTIONS])[SUM], at, size, n, state[SCRATCH_AT])
    return read(state[SCRATCH_AT], 0.0)


@Shared
def reduce(at, state_at):  # type: ignore[no-untyped-def]
    """kernel (-1: sum), loops kept, loops folded, length of the run folded, bytes an element, sizes kept, sizes folded,
    places of target and source, strides of target, of source (kept, folded)."""
    code, state = words(at), words(state_at)
    odo, inner = words(state_at + 8 * ODOMETER), words(state_at + 8 * (ODOMETER + 32))
    symbol, kept, folded, length, size, scratch = code[2], code[3], code[4], code[5], code[6], state[SCRATCH_AT]
    kernel = kernel_of(symbol if symbol > 0 else 0, state)
    q = 7 + kept + folded
    strides = q + 2
    for d in range(kept):
        odo[d] = 0
        odo[10 + d], odo[10 + kept + d] = code[strides + d], code[strides + kept + d]
    odo[8], odo[9] = place_of(code[q], state), place_of(code[q + 1], state)
    while True:
        for d in range(folded):
            inner[d] = 0
            inner[9 + d] = code[strides + 2 * kept + d]
        inner[8] = odo[9]
        # in up to 64 chains side by side (but sums)
        total, chains = -0.0, 0
        while True:
            if symbol < 0:
                total += _sum_of(inner[8], size, length, state)
            else:
                done = 0
                if chains == 0:
                    done = chains = least(64, length)
                    copy(state, scratch, size, inner[8], size, size, done)
                while done < length:
                    n = least(chains, length - done)
                    call(kernel, scratch, inner[8] + done * size, 0, 0, n)
                    done += n
            if not step_on(code, 7 + kept, folded, inner, 8, 1):
                break
        if symbol < 0:
            if size == 8:
                write(odo[8], total)
            else:
                write(odo[8], np.float32(total))
        else:
            while chains > 1:
                half = (chains + 1) >> 1
                call(kernel, scratch, scratch + half * size, 0, 0, chains - half)
                chains = half
            copy(state, odo[8], size, scratch, size, size, 1)
        if not step_on(code, 7, kept, odo, 8, 2):
            break


@Shared
def totals(at, state_at):  # type: ignore[no-untyped-def]
    """bytes an element, rows, place of the source, whether its rows' stride is scaled, that stride, place of the
    totals (doubles)."""
    code, state = words(at), words(state_at)
    size, rows = code[2], code[3]
    source, stride = place_of(code[4], state), code[6] * (state[BLOCK] if code[5] else 1)
    target = place_of(code[7], state)
    for r in range(rows):
        total = _sum_of(source + r * stride, size, state[COUNT], state)
        write(target + 8 * r, total if state[FIRST] else read(target + 8 * r, 0.0) + total)
