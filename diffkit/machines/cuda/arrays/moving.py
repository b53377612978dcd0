"""Kernels that move elements to and from places that a table or an index tells, and that set the addresses of a loop's step.

`m` is the memory in the type of the elements. Numbers that a result is added to twice are added in the order of the terms, so the
answer is always the same.
"""

from __future__ import annotations

from typing import Any

#: what the kernels are bound to when they are compiled (launches.bound): the package's module, and what makes variants of them
cuda: Any = None
MOVES = True
CONDITIONS = False
#: what a word holds while no index is out of range
NONE = 1 << 62


def take(m, shift, w, at):  # type: ignore[no-untyped-def]
    """m[target + r·step + e] = m[source + table[r] + e]. Words: rows, elements a row, target, source, step, table."""
    rows, run, step = w[at], w[at + 1], w[at + 6]
    target = (w[at + 2] + w[w[at + 3]]) >> shift
    source = (w[at + 4] + w[w[at + 5]]) >> shift
    for i in range(cuda.grid(1), rows * run, cuda.gridsize(1)):
        r = i // run
        e = i - r * run
        m[target + r * step + e] = m[source + w[at + 7 + r] + e]


def add_at(m, shift, w, at):  # type: ignore[no-untyped-def]
    """m[target + place[u] + e] += m[source + row·step + e] for the rows of every place. Words: places, elements a row, target,
    source, step, the places, where the rows of each begin (and end), the rows."""
    places, run, step = w[at], w[at + 1], w[at + 6]
    target = (w[at + 2] + w[w[at + 3]]) >> shift
    source = (w[at + 4] + w[w[at + 5]]) >> shift
    begins, first = at + 7 + places, at + 8 + 2 * places
    for i in range(cuda.grid(1), places * run, cuda.gridsize(1)):
        u = i // run
        e = i - u * run
        into = target + w[at + 7 + u] + e
        total = m[into]
        for p in range(w[begins + u], w[begins + u + 1]):
            total += m[source + w[first + p] * step + e]
        m[into] = total


def gather(m, shift, m8, w, at):  # type: ignore[no-untyped-def]
    """Elements at indices (without MOVES, only a look at the indices).

    Words of a lookup: indices in all, elements of a piece, loops over each, how many index arrays, sizes of the loops; the
    elements: address, strides of both loops; the table: as well; every array: address, length of its axis, the table's stride
    along it, the word for the first that is out of range, strides of the loops over indices.
    """
    indices, pieces, loops, around, arrays = w[at], w[at + 1], w[at + 2], w[at + 3], w[at + 4]
    own = at + 5 + loops + around
    table = own + 2 + loops + around
    first, width = table + 2 + loops + around, 5 + loops
    element = (w[own] + w[w[own + 1]]) >> shift
    entry = (w[table] + w[w[table + 1]]) >> shift
    for i in range(cuda.grid(1), indices * pieces, cuda.gridsize(1)):
        k = i // pieces
        r = i - k * pieces
        to, from_, left = element, entry, k
        for d in range(around - 1, -1, -1):
            q = r // w[at + 5 + loops + d]
            c = r - q * w[at + 5 + loops + d]
            to += c * w[own + 2 + loops + d]
            from_ += c * w[table + 2 + loops + d]
            r = q
        for d in range(loops - 1, -1, -1):
            q = left // w[at + 5 + d]
            c = left - q * w[at + 5 + d]
            to += c * w[own + 2 + d]
            from_ += c * w[table + 2 + d]
            left = q
        fits = True
        for a in range(arrays):
            p = first + a * width
            left, place = k, (w[p] + w[w[p + 1]]) >> 3
            for d in range(loops - 1, -1, -1):
                q = left // w[at + 5 + d]
                place += (left - q * w[at + 5 + d]) * w[p + 5 + d]
                left = q
            value, length = m8[place], w[p + 2]
            if value >= -length and value < length:
                from_ += (int(value) + (length if value < 0 else 0)) * w[p + 3]
            else:
                fits = False
                cuda.atomic.min(w, w[p + 4], k)
        if fits and MOVES:
            m[to] = m[from_]


def scatter_add(m, shift, table_m, table_shift, m8, w, at, apart):  # type: ignore[no-untyped-def]
    """Elements added to a table at indices (words: gather), which may be wider; CONDITIONS are added by `or`.

    apart: how many of the innermost indices have tables of their own; a thread adds all that goes to one of them.
    """
    indices, pieces, loops, around, arrays = w[at], w[at + 1], w[at + 2], w[at + 3], w[at + 4]
    own = at + 5 + loops + around
    table = own + 2 + loops + around
    first, width = table + 2 + loops + around, 5 + loops
    element = (w[own] + w[w[own + 1]]) >> shift
    entry = (w[table] + w[w[table + 1]]) >> table_shift
    for i in range(cuda.grid(1), apart * pieces, cuda.gridsize(1)):
        begin = i // pieces
        r = i - begin * pieces
        from_piece, to_piece = element, entry
        for d in range(around - 1, -1, -1):
            q = r // w[at + 5 + loops + d]
            c = r - q * w[at + 5 + loops + d]
            from_piece += c * w[own + 2 + loops + d]
            to_piece += c * w[table + 2 + loops + d]
            r = q
        for k in range(begin, indices, apart):
            from_, to, left = from_piece, to_piece, k
            for d in range(loops - 1, -1, -1):
                q = left // w[at + 5 + d]
                c = left - q * w[at + 5 + d]
                from_ += c * w[own + 2 + d]
                to += c * w[table + 2 + d]
                left = q
            fits = True
            for a in range(arrays):
                p = first + a * width
                left, place = k, (w[p] + w[w[p + 1]]) >> 3
                for d in range(loops - 1, -1, -1):
                    q = left // w[at + 5 + d]
                    place += (left - q * w[at + 5 + d]) * w[p + 5 + d]
                    left = q
                value, length = m8[place], w[p + 2]
                if value >= -length and value < length:
                    to += (int(value) + (length if value < 0 else 0)) * w[p + 3]
                else:
                    fits = False
                    cuda.atomic.min(w, w[p + 4], k)
            if fits:
                if CONDITIONS:
                    table_m[to] |= m[from_]
                else:
                    table_m[to] += m[from_]


def note(m8, w, at, faults):  # type: ignore[no-untyped-def]
    """The first index of a lookup that is out of range goes to where it is asked for (faults: an address an array)."""
    loops, around, arrays = w[at + 2], w[at + 3], w[at + 4]
    first, width = at + 9 + 3 * (loops + around), 5 + loops
    for a in range(arrays):
        p = first + a * width
        k = w[w[p + 4]]
        if k < NONE:
            place = (w[p] + w[w[p + 1]]) >> 3
            for d in range(loops - 1, -1, -1):
                q = k // w[at + 5 + d]
                place += (k - q * w[at + 5 + d]) * w[p + 5 + d]
                k = q
            fault = (w[faults + 2 * a] + w[w[faults + 2 * a + 1]]) >> 3
            if m8[fault] == 0.5:
                m8[fault] = m8[place]
            w[w[p + 4]] = NONE


def step(w, at, first, slots, turn, back_turn, n):  # type: ignore[no-untyped-def]
    """Addresses of a step of a loop, one a thread: of slot s to word first + s.

    Words: a slot's address at even and at odd turns, bytes from step to step, whose turns.
    """
    for s in range(cuda.grid(1), slots, cuda.gridsize(1)):
        p = at + 6 * s
        odd = back_turn if w[p + 5] else turn
        w[first + s] = w[p + 2 * odd] + w[w[p + 2 * odd + 1]] + n * w[p + 4]


def copy(target, to, source, at, n):  # type: ignore[no-untyped-def]
    """n elements from one array, from element `at` on, to another, which may have another type."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        target[to + i] = source[at + i]
