"""Pairs and registers: passes over a tape as integer arrays, in native code, for tapes of millions of instructions."""

from __future__ import annotations

import numpy as np

from .jit import native

#: what a value is to the register allocator: a leaf keeps its register, a slot lies in the caller's memory,
#: and a value that is gone (part of a pair, or empty) needs none
COMPUTED, LEAF, SLOT, GONE = 0, 1, 2, 3


@native("(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1])")
def join_pairs(start, args, operation, sort, uses, pairs):  # type: ignore[no-untyped-def]
    """For every value the value that is computed within it (-1: none), and the row of `pairs` that says how.

    start, args: value i has the operands args[start[i]:start[i + 1]]. operation: a number for an operation, -1 where no pair is
    possible.
    sort: values of equal sort have the same shape and dtype. uses: how often a value is read (an output once more).
    pairs: rows of (first operation, second operation, position of the first among the operands of the second).
    """
    n = operation.size
    inner = np.full(n, -1, np.int64)
    rule = np.full(n, -1, np.int64)
    for i in range(n):
        if operation[i] < 0:
            continue
        for k in range(start[i], start[i + 1]):
            a = args[k]
            if operation[a] < 0 or uses[a] != 1 or inner[a] >= 0 or sort[a] != sort[i]:
                continue
            for p in range(pairs.shape[0]):
                if pairs[p, 0] == operation[a] and pairs[p, 1] == operation[i] and pairs[p, 2] == k - start[i]:
                    inner[i], rule[i] = a, p
                    break
            if inner[i] >= 0:
                break
    return inner, rule


@native("(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64)")
def allocate(start, args, sizes, role, inner, outputs, classes):  # type: ignore[no-untyped-def]
    """An offset for every value that needs a register, and the total: linear scan, a place is used again once nothing reads it.

    A destination is allocated before its operands are freed, so it is never one of them: an operand that is written while it is
    read keeps a compiler from using vector instructions. sizes: a number for the size class and the size, class · 2³² + size.
    """
    n = sizes.size
    last = np.arange(n)
    for i in range(n):
        for k in range(start[i], start[i + 1]):
            last[args[k]] = i
        if inner[i] >= 0:  # what a pair computes inside reads its operands here
            for k in range(start[inner[i]], start[inner[i] + 1]):
                last[args[k]] = i
    for o in outputs:
        last[o] = n
    offsets = np.full(n, -1, np.int64)
    head = np.full(classes, -1, np.int64)
    link = np.full(n, -1, np.int64)
    total = 0
    for i in range(n):
        kind, size = sizes[i] >> 32, sizes[i] & 0xFFFFFFFF
        if role[i] == GONE:
            continue
        if role[i] != SLOT:
            free = head[kind]
            if role[i] == COMPUTED and free >= 0:
                offsets[i] = offsets[free]
                head[kind] = link[free]
            else:
                offsets[i] = total
                total += size
        for part in range(2):
            source = i if part == 0 else inner[i]
            if source < 0:
                continue
            for k in range(start[source], start[source + 1]):
                a = args[k]
                if last[a] == i and role[a] == COMPUTED and a != inner[i]:
                    last[a] = -1  # freed once, however often it is an operand
                    link[a] = head[sizes[a] >> 32]
                    head[sizes[a] >> 32] = a
        if last[i] == i and role[i] == COMPUTED:
            link[i] = head[kind]
            head[kind] = i
    return offsets, total
