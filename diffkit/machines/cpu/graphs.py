"""Loops over sparse rows and graphs in native code: unions of index sets, and greedy colourings.

Rows are given by `ptr` (where each begins, and the end of the last) and `index` (ascending within a row).
"""

from __future__ import annotations

import numpy as np

from .jit import native

_ROWS = "int64[::1], int32[::1]"


@native(f"int64({_ROWS}, {_ROWS}, {_ROWS})")
def union(ptr_a, index_a, ptr_b, index_b, ptr, index):
    """Row by row the union of two lists of sets, merged. Returns the number of entries."""
    end = 0
    for row in range(len(ptr) - 1):
        a, b = ptr_a[row], ptr_b[row]
        last_a, last_b = ptr_a[row + 1], ptr_b[row + 1]
        while a < last_a and b < last_b:
            x, y = index_a[a], index_b[b]
            index[end] = min(x, y)
            end += 1
            a += x <= y
            b += y <= x
        for k in range(a, last_a):
            index[end] = index_a[k]
            end += 1
        for k in range(b, last_b):
            index[end] = index_b[k]
            end += 1
        ptr[row + 1] = end
    return end


@native(f"({_ROWS}, int64[::1], {_ROWS})")
def take(ptr_a, index_a, rows, ptr, index):
    """The rows of these numbers; where each begins is given."""
    for row in range(len(rows)):
        start = ptr[row]
        source = ptr_a[rows[row]]
        for k in range(ptr[row + 1] - start):
            index[start + k] = index_a[source + k]


@native(f"({_ROWS}, {_ROWS})")
def transpose(ptr_a, index_a, ptr, index):
    """For every column the rows that have it; `ptr` comes with zeros."""
    for c in index_a:
        ptr[c + 1] += 1
    for c in range(len(ptr) - 1):
        ptr[c + 1] += ptr[c]
    for row in range(len(ptr_a) - 1):
        for k in range(ptr_a[row], ptr_a[row + 1]):
            index[ptr[index_a[k]]] = row
            ptr[index_a[k]] += 1
    for c in range(len(ptr) - 1, 0, -1):  # each has come to where the next one begins
        ptr[c] = ptr[c - 1]
    ptr[0] = 0


@native(f"int64({_ROWS}, int64[::1], int64[::1], {_ROWS}, int32[::1])")
def fold(ptr_a, index_a, members, groups, ptr, index, seen):
    """The union of the rows `members[groups[g]:groups[g + 1]]`, for every g. seen: one a column, all -1."""
    end = 0
    for g in range(len(groups) - 1):
        start = end
        ordered = True
        for m in range(groups[g], groups[g + 1]):
            for k in range(ptr_a[members[m]], ptr_a[members[m] + 1]):
                c = index_a[k]
                if seen[c] != g:
                    seen[c] = g
                    ordered &= end == start or index[end - 1] < c
                    index[end] = c
                    end += 1
        if not ordered:
            index[start:end].sort()
        ptr[g + 1] = end
    return end


@native(f"int64({_ROWS}, {_ROWS}, int64[::1], int32[::1])")
def colour_columns(row_ptr, row_columns, column_ptr, column_rows, order, colours):
    """Greedy: no two columns of one colour meet in a row. Columns without entries keep colour -1. Returns the number of colours."""
    used = np.empty(len(row_columns), np.int32)  # row by row the colours given so far
    count = np.zeros(len(row_ptr) - 1, np.int64)
    forbidden = np.full(len(order) + 1, -1, np.int64)
    total = 0
    for v in order:
        if column_ptr[v] == column_ptr[v + 1]:
            continue
        for k in range(column_ptr[v], column_ptr[v + 1]):
            row = column_rows[k]
            for e in range(row_ptr[row], row_ptr[row] + count[row]):
                forbidden[used[e]] = v
        c = 0
        while forbidden[c] == v:
            c += 1
        colours[v] = c
        total = max(total, c + 1)
        for k in range(column_ptr[v], column_ptr[v + 1]):
            row = column_rows[k]
            used[row_ptr[row] + count[row]] = c
            count[row] += 1
    return total


@native(f"int64({_ROWS}, int64[::1], int32[::1])")
def colour_stars(ptr, adjacent, order, colours):
    """Greedy star colouring: neighbours differ, and no path of four vertices has two colours. Returns the number of colours.

    Gebremedhin, Tarafdar, Manne and Pothen (2007), with other bookkeeping: every vertex has a list of the colours next to it, and
    with each the first such neighbour, how many there are, and whether that neighbour is the hub of a star with further spokes. So
    the work follows the number of colours about a vertex, not its degree.
    """
    n = len(ptr) - 1
    colour = np.empty(len(adjacent), np.int32)
    first = np.empty(len(adjacent), np.int64)
    several = np.empty(len(adjacent), np.bool_)
    spoke = np.empty(len(adjacent), np.bool_)
    length = np.zeros(n, np.int64)
    forbidden, hub = np.full(n + 1, -1, np.int64), np.full(n + 1, -1, np.int64)
    total = 0
    for v in order:
        for e in range(ptr[v], ptr[v] + length[v]):
            forbidden[colour[e]] = v
            if several[
                e
            ]:  # v becomes the hub of a star with these spokes: none of them may have another neighbour of v's colour
                hub[colour[e]] = v
        for k in range(ptr[v], ptr[v + 1]):
            w = adjacent[k]
            if colours[w] < 0:
                continue
            beside_hub = hub[colours[w]] == v
            for e in range(ptr[w], ptr[w] + length[w]):
                if beside_hub or spoke[e]:
                    forbidden[colour[e]] = v
        c = 0
        while forbidden[c] == v:
            c += 1
        colours[v] = c
        total = max(total, c + 1)
        for k in range(ptr[v], ptr[v + 1]):
            w = adjacent[k]
            e = ptr[w]
            end = e + length[w]
            while e < end and colour[e] != c:
                e += 1
            another = e < end
            if not another:
                colour[e], first[e], several[e], spoke[e] = c, v, False, False
                length[w] += 1
            cw = colours[w]
            if cw >= 0:
                if hub[cw] == v:
                    spoke[e] = True
                if another:  # w is a hub: v is its spoke, and so is the neighbour that was alone until now
                    for x in (v, first[e]):
                        f = ptr[x]
                        while colour[f] != cw:
                            f += 1
                        spoke[f] = True
            if another:
                several[e] = True
    return total


@native(f"int64({_ROWS}, int64[::1])")
def peel(ptr, adjacent, removed):
    """Vertices in the order of removal, each of least degree among those left. Returns how many colours a star colouring must have.

    Two colours make a forest, so k colours on n vertices have at most (k - 1)·n - k·(k - 1)/2 edges; this is asked of the graph
    that is left at every step. A path of four vertices, or a triangle, needs 3.
    """
    n = len(ptr) - 1
    degree = ptr[1:] - ptr[:-1]
    most = 0 if n == 0 else degree.max()
    start = np.zeros(most + 2, np.int64)  # of each degree's run in `removed`, which is sorted by degree all the time
    for v in range(n):
        start[degree[v] + 1] += 1
    for d in range(most + 1):
        start[d + 1] += start[d]
    place = np.empty(n, np.int64)
    filled = start.copy()
    for v in range(n):
        place[v] = filled[degree[v]]
        removed[place[v]] = v
        filled[degree[v]] += 1
    bound, edges = min(n, 1), len(adjacent) // 2
    for v in range(n):
        for k in range(ptr[v], ptr[v + 1]):
            if ptr[v + 1] - ptr[v] > 1 and ptr[adjacent[k] + 1] - ptr[adjacent[k]] > 1:
                bound = 3
                break
    for step in range(n):
        left = n - step
        while bound < left and (bound - 1) * left - bound * (bound - 1) // 2 < edges:
            bound += 1
        v = removed[step]
        for k in range(ptr[v], ptr[v + 1]):
            w = adjacent[k]
            if place[w] < step:
                continue
            edges -= 1
            if degree[w] > degree[v]:  # moves to the front of its run, which then begins one later
                front = max(start[degree[w]], step + 1)
                other = removed[front]
                removed[place[w]], removed[front] = other, w
                place[other], place[w] = place[w], front
                start[degree[w]] = front + 1
                degree[w] -= 1
    return bound


@native(f"({_ROWS}, int32[::1], int64[::1])")
def either_side(ptr, index, colours, place):
    """Where each entry of a symmetric pattern stands in the sums of the columns of each colour, of a star colouring.

    Entry (i, j) stands alone in row i of j's colour if no other neighbour of i has it. Otherwise i is the hub of a star and j one
    of its spokes, so that (j, i) stands alone in row j of i's colour. Both of a pair are given the same place.
    """
    n = len(ptr) - 1
    count = np.zeros(n + 1, np.int64)
    lower = ptr.copy()  # of each row the next entry left of the diagonal: rows above are visited in their order
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            count[colours[index[e]]] += 1
        for e in range(ptr[i], ptr[i + 1]):
            j = index[e]
            if j < i:
                continue
            alone = count[colours[j]] == 1
            place[e] = colours[j] * n + i if alone else colours[i] * n + j
            if j > i:
                place[lower[j]] = place[e]
                lower[j] += 1
        for e in range(ptr[i], ptr[i + 1]):
            count[colours[index[e]]] = 0


@native("(int64[::1], int64[::1])")
def sort_groups(numbers, ptr):
    """Each group numbers[ptr[k]:ptr[k + 1]] ascending. Most groups are small."""
    for k in range(len(ptr) - 1):
        start, end = ptr[k], ptr[k + 1]
        if end - start > 32:
            numbers[start:end].sort()
            continue
        for e in range(start + 1, end):
            x = numbers[e]
            while e > start and numbers[e - 1] > x:
                numbers[e] = numbers[e - 1]
                e -= 1
            numbers[e] = x


def _sums(summands, gather, ptr, out):
    """Entry k is the sum, in float64, of the summands with numbers gather[ptr[k]:ptr[k + 1]], one after the other."""
    for k in range(len(out)):
        total = np.float64(summands[gather[ptr[k]]])
        for e in range(ptr[k] + 1, ptr[k + 1]):
            total += summands[gather[e]]
        out[k] = total


sums = {t: native(f"({t}[::1], int64[::1], int64[::1], {t}[::1])")(_sums) for t in ("float32", "float64")}
