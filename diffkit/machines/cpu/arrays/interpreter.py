"""The interpreter of array programs, in native code that holds no lock.

Code is a sequence of words. An instruction begins with its opcode and its length; what follows is listed with each. A *place*
that is not negative is an offset from the workspace's begin, in bytes a lane; a negative one is a slot, an address looked up
before. *Scaled* strides are in bytes a lane too. A *run* is what a kernel is called on: `rows` rows of all lanes of a block, or
(rows = 1) the lanes in use. Run whole, a program has one lane, and the workspace is that of all whole arrays.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from ..driver import _call, _pointer, _read, _take, _write
from ..jit import native
from .blas import dgemm, sgemm
from .opcodes import (
    ADD_AT,
    CALL,
    DEEPEST,
    EACH,
    FOLD,
    FRAME,
    GROUP,
    LOOP,
    MOST_SLOTS,
    MOVE,
    NATIVE_LOOP,
    PRODUCT,
    REDUCE,
    REVERSAL,
    RUN,
    SCRATCH,
    SMALL_PRODUCT,
    TAKE,
    TOTAL,
    TOTALS_AT_ONCE,
)

#: tables are handed on by their addresses, and read as if they had so many words: an array that is handed on is counted,
#: which costs more than a short instruction
WORDS = 1 << 40


@native("int64(int64, int64, int64, int64)")
def _at(place, base, block, here):  # type: ignore[no-untyped-def]
    return base + place * block if place >= 0 else _read(here - 8 - 8 * place, np.int64(0))


@native("(int64, int64, int64, int64, int64, int64)")
def _copied(target, target_step, source, source_step, size, n):  # type: ignore[no-untyped-def]
    """n elements of `size` bytes from one place to another, steps in bytes."""
    if size == 8:
        if source_step == 8 and target_step == 8:
            s, t = carray(_pointer(source), n, np.uint64), carray(_pointer(target), n, np.uint64)
            for i in range(n):
                t[i] = s[i]
        elif source_step == 0 and target_step == 8:
            t = carray(_pointer(target), n, np.uint64)
            value = _read(source, np.uint64(0))
            for i in range(n):
                t[i] = value
        else:
            for i in range(n):
                _write(target + i * target_step, _read(source + i * source_step, np.uint64(0)))
    elif size == 4:
        if source_step == 4 and target_step == 4:
            s4, t4 = carray(_pointer(source), n, np.uint32), carray(_pointer(target), n, np.uint32)
            for i in range(n):
                t4[i] = s4[i]
        elif source_step == 0 and target_step == 4:
            t4 = carray(_pointer(target), n, np.uint32)
            value4 = _read(source, np.uint32(0))
            for i in range(n):
                t4[i] = value4
        else:
            for i in range(n):
                _write(target + i * target_step, _read(source + i * source_step, np.uint32(0)))
    else:
        for i in range(n):
            _write(target + i * target_step, _read(source + i * source_step, np.uint8(0)))


@native("boolean(int64, int64, int64, int64, int64, int64)")
def _next(code_at, sizes, nd, odometer_at, strides, places):  # type: ignore[no-untyped-def]
    """One step on through the loops of these sizes. False: all are done.

    strides: where in `odometer` the strides of the operands begin (`places` of them, `nd` each); their places are before them.
    """
    code = carray(_pointer(code_at), WORDS, np.int64)
    odometer = carray(_pointer(odometer_at), WORDS, np.int64)
    for d in range(nd - 1, -1, -1):
        odometer[d] += 1
        for o in range(places):
            odometer[strides - places + o] += odometer[strides + o * nd + d]
        if odometer[d] < code[sizes + d]:
            return True
        odometer[d] = 0
        for o in range(places):
            odometer[strides - places + o] -= odometer[strides + o * nd + d] * code[sizes + d]
    return False


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _each(code_at, pc, addresses_at, base, block, count, here, scratch, odo_at):  # type: ignore[no-untyped-def]
    """kernel, operands (destination first; + 16: it is read too), rows, loops, sizes; a operand: place, scaled, bytes an element,
    step within the run, strides."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    addresses = carray(_pointer(addresses_at), WORDS, np.int64)
    odo = carray(_pointer(odo_at), WORDS, np.int64)
    kernel, fold, operands = addresses[code[pc + 2]], code[pc + 3] >= 16, code[pc + 3] & 15
    rows, nd = code[pc + 4], code[pc + 5]
    run = rows * block if rows > 1 else count
    sizes, width = pc + 6, 4 + nd
    first = sizes + nd
    if run == 0:
        return
    for d in range(nd):
        odo[d] = 0
    for o in range(4):
        odo[8 + o] = 0
    plain = True
    for o in range(operands):
        q = first + o * width
        odo[8 + o] = _at(code[q], base, block, here)
        scale = block if code[q + 1] else 1
        plain = plain and code[q + 3] == code[q + 2]
        for d in range(nd):
            odo[12 + o * nd + d] = code[q + 4 + d] * scale
    for o in range(operands, 4):
        for d in range(nd):
            odo[12 + o * nd + d] = 0
    while True:
        if plain:
            _call(kernel, odo[8], odo[9], odo[10], odo[11], run)
        else:
            done = 0
            while done < run:
                n = min(RUN, run - done)
                for o in range(operands):
                    q = first + o * width
                    size, step = code[q + 2], code[q + 3]
                    if step == size:
                        odo[60 + o] = odo[8 + o] + done * size
                        continue
                    odo[60 + o] = scratch + o * 8 * RUN
                    if (o > 0 or fold) and (step != 0 or done == 0):
                        _copied(odo[60 + o], size, odo[8 + o] + done * step, step, size, n)
                for o in range(operands, 4):
                    odo[60 + o] = 0
                _call(kernel, odo[60], odo[61], odo[62], odo[63], n)
                size, step = code[first + 2], code[first + 3]
                if step != size:
                    _copied(odo[8] + done * step, step, odo[60], size, size, n)
                done += n
        if not _next(code_at, sizes, nd, odo_at, 12, 4):
            break


@native("(int64, int64, int64, int64, int64, int64, int64, int64)")
def _group(code_at, pc, addresses_at, base, block, count, here, scratch):  # type: ignore[no-untyped-def]
    """kernel of a group (groups.py), operands, rows, loops, sizes; an operand: place, scaled, strides."""
    code, odo = carray(_pointer(code_at), WORDS, np.int64), carray(_pointer(scratch), WORDS, np.int64)
    operands, rows, nd = code[pc + 3], code[pc + 4], code[pc + 5]
    run = rows * block if rows > 1 else count
    if run == 0:
        return
    sizes, strides = pc + 6, nd + operands
    q = sizes + nd
    for d in range(nd):
        odo[d] = 0
    for o in range(operands):
        odo[nd + o] = _at(code[q], base, block, here)
        scale = block if code[q + 1] else 1
        for d in range(nd):
            odo[strides + o * nd + d] = code[q + 2 + d] * scale
        q += 2 + nd
    kernel = _read(addresses_at + 8 * code[pc + 2], np.int64(0))
    while True:
        _call(kernel, scratch + 8 * nd, 0, 0, 0, run)
        if not _next(code_at, sizes, nd, scratch, strides, operands):
            break


@native("(int64, int64, int64, int64, int64, int64)")
def _native_loop(code_at, pc, addresses_at, base, here, scratch):  # type: ignore[no-untyped-def]
    """kernel of a loop (loop_kernels.py), steps, pointers; a pointer: place, bytes behind it in the first step."""
    code, table = carray(_pointer(code_at), WORDS, np.int64), carray(_pointer(scratch), WORDS, np.int64)
    for p in range(code[pc + 4]):
        table[p] = _at(code[pc + 5 + 2 * p], base, 1, here) + code[pc + 6 + 2 * p]
    _call(_read(addresses_at + 8 * code[pc + 2], np.int64(0)), scratch, 0, 0, 0, code[pc + 3])


@native("(int64, int64, int64, int64, int64, int64, int64)")
def _move(code_at, pc, base, block, count, here, odo_at):  # type: ignore[no-untyped-def]
    """bytes an element, length of the run (0: lanes in use; -rows: rows of all lanes), loops, sizes; source and target: place,
    scaled, step within the run, strides."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    odo = carray(_pointer(odo_at), WORDS, np.int64)
    size, length, nd = code[pc + 2], code[pc + 3], code[pc + 4]
    n = length if length > 0 else count if length == 0 else -length * block
    sizes = pc + 5
    s = sizes + nd
    t = s + 3 + nd
    for d in range(nd):
        odo[d] = 0
        odo[10 + d] = code[s + 3 + d] * (block if code[s + 1] else 1)
        odo[10 + nd + d] = code[t + 3 + d] * (block if code[t + 1] else 1)
    odo[8], odo[9] = _at(code[s], base, block, here), _at(code[t], base, block, here)
    while True:
        _copied(odo[9], code[t + 2], odo[8], code[s + 2], size, n)
        if not _next(code_at, sizes, nd, odo_at, 10, 2):
            break


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _fold(code_at, pc, addresses_at, base, block, count, here, scratch, odo_at):  # type: ignore[no-untyped-def]
    """kernel, kernel that narrows (-1: none; else terms are added up in double), loops kept, loops folded, rows,
    bytes of a result and of a term, sizes kept, sizes folded, target: place, scaled; source: place, scaled;
    strides of target, of source (kept, folded)."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    addresses = carray(_pointer(addresses_at), WORDS, np.int64)
    odo = carray(_pointer(odo_at), WORDS, np.int64)
    kernel, narrow, nk, nt, rows = addresses[code[pc + 2]], code[pc + 3], code[pc + 4], code[pc + 5], code[pc + 6]
    target_size, source_size = code[pc + 7], code[pc + 8]
    ksizes = pc + 9
    tsizes = ksizes + nk
    at = tsizes + nt
    run = rows * block if rows > 1 else count
    tscale, sscale = (block if code[at + 1] else 1), (block if code[at + 3] else 1)
    strides = at + 4
    for d in range(nk):
        odo[d] = 0
        odo[10 + d] = code[strides + d] * tscale
        odo[10 + nk + d] = code[strides + nk + d] * sscale
    odo[8], odo[9] = _at(code[at], base, block, here), _at(code[at + 2], base, block, here)
    while True:
        done = 0
        while done < run:
            n = min(RUN, run - done)
            out = odo[8] + done * target_size
            total = scratch if narrow >= 0 else out
            if narrow >= 0:
                zeros = carray(_pointer(scratch), n, np.float64)
                for i in range(n):
                    zeros[i] = -0.0
            for d in range(nt):
                odo[32 + d] = 0
                odo[41 + d] = code[strides + 2 * nk + d] * sscale
            odo[40] = odo[9] + done * source_size
            first = narrow < 0
            while True:
                if first:
                    _copied(total, target_size, odo[40], source_size, source_size, n)
                    first = False
                else:
                    _call(kernel, total, odo[40], 0, 0, n)
                if not _next(code_at, tsizes, nt, odo_at + 256, 9, 1):
                    break
            if narrow >= 0:
                _call(addresses[narrow], out, total, 0, 0, n)
            done += n
        if not _next(code_at, ksizes, nk, odo_at, 10, 2):
            break


@native("float64(int64, int64)")
def _sum_of_doubles(at, n):  # type: ignore[no-untyped-def]
    """In eight chains, added up as a tree."""
    x = carray(_pointer(at), n, np.float64)
    a = b = c = d = e = f = g = h = -0.0
    whole = n & -8
    for i in range(0, whole, 8):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
        e += x[i + 4]
        f += x[i + 5]
        g += x[i + 6]
        h += x[i + 7]
    for i in range(whole, n):
        a += x[i]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@native("float64(int64, int64)")
def _sum_of_singles(at, n):  # type: ignore[no-untyped-def]
    """In double."""
    x = carray(_pointer(at), n, np.float32)
    a = b = c = d = -0.0
    whole = n & -4
    for i in range(0, whole, 4):
        a += np.float64(x[i])
        b += np.float64(x[i + 1])
        c += np.float64(x[i + 2])
        d += np.float64(x[i + 3])
    for i in range(whole, n):
        a += np.float64(x[i])
    return (a + b) + (c + d)


@native("float64(int64, int64, int64)")
def _sum_of(at, size, n):  # type: ignore[no-untyped-def]
    """A sum of many in pieces, whose sums are added up."""
    total = -0.0
    for begin in range(0, n, RUN):
        length = min(RUN, n - begin)
        if size == 8:
            total += _sum_of_doubles(at + 8 * begin, length)
        else:
            total += _sum_of_singles(at + 4 * begin, length)
    return total


@native("(int64, int64, int64, int64, int64, int64, int64)")
def _reduce(code_at, pc, addresses_at, base, here, scratch, odo_at):  # type: ignore[no-untyped-def]
    """kernel (-1: sum), loops kept, loops folded, length of the run folded, bytes an element, sizes kept, sizes folded,
    places of target and source, strides of target, of source (kept, folded)."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    addresses = carray(_pointer(addresses_at), WORDS, np.int64)
    odo = carray(_pointer(odo_at), WORDS, np.int64)
    kernel, nk, nt, length, size = code[pc + 2], code[pc + 3], code[pc + 4], code[pc + 5], code[pc + 6]
    ksizes = pc + 7
    tsizes = ksizes + nk
    at = tsizes + nt
    strides = at + 2
    for d in range(nk):
        odo[d] = 0
        odo[10 + d], odo[10 + nk + d] = code[strides + d], code[strides + nk + d]
    odo[8], odo[9] = _at(code[at], base, 1, here), _at(code[at + 1], base, 1, here)
    while True:
        for d in range(nt):
            odo[32 + d] = 0
            odo[41 + d] = code[strides + 2 * nk + d]
        odo[40] = odo[9]
        total, first = -0.0, True
        while True:
            if kernel < 0:
                total += _sum_of(odo[40], size, length)
            else:
                # in up to 64 chains side by side
                done = 0
                if first:
                    done = min(64, length)
                    _copied(scratch, size, odo[40], size, size, done)
                    odo[31] = done
                    first = False
                while done < length:
                    n = min(odo[31], length - done)
                    _call(addresses[kernel], scratch, odo[40] + done * size, 0, 0, n)
                    done += n
            if not _next(code_at, tsizes, nt, odo_at + 256, 9, 1):
                break
        if kernel < 0:
            if size == 8:
                _write(odo[8], total)
            else:
                _write(odo[8], np.float32(total))
        else:
            n = odo[31]
            while n > 1:
                half = (n + 1) // 2
                _call(addresses[kernel], scratch, scratch + half * size, 0, 0, n - half)
                n = half
            _copied(odo[8], size, scratch, size, size, 1)
        if not _next(code_at, ksizes, nk, odo_at, 10, 2):
            break


@native(
    "(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)"
)
def _product(address, single, m, n, k, a, am, ak, b, bk, bn, c, cm, cn, add, size):  # type: ignore[no-untyped-def]
    """C (m×n) = A·B, or + A·B; strides in elements. BLAS takes matrices one of whose strides is 1."""
    fits = (ak == 1 or am == 1) and (bk == 1 or bn == 1) and min(min(am, ak), min(bk, bn)) > 0
    if m * n * k <= SMALL_PRODUCT or not fits:
        if single:
            for i in range(m):
                for j in range(n):
                    t = np.float32(0)
                    for q in range(k):
                        x = _read(a + size * (i * am + q * ak), np.float32(0))
                        t += x * _read(b + size * (q * bk + j * bn), np.float32(0))
                    where = c + size * (i * cm + j * cn)
                    _write(where, np.float32(_read(where, np.float32(0)) + t) if add else np.float32(t))
        else:
            for i in range(m):
                for j in range(n):
                    s = 0.0
                    for q in range(k):
                        s += _read(a + size * (i * am + q * ak), 0.0) * _read(b + size * (q * bk + j * bn), 0.0)
                    where = c + size * (i * cm + j * cn)
                    _write(where, _read(where, 0.0) + s if add else s)
        return
    # rows of C as the columns of BLAS where its rows lie without gaps, else the other way round
    if cn == 1 and not (cm == 1 and n == 1):
        ta, tb, p, q, x, y, ldc = bn != 1, ak != 1, n, m, b, a, cm
        ldx, ldy = (bk if bn == 1 else bn), (am if ak == 1 else ak)
    else:
        ta, tb, p, q, x, y, ldc = am != 1, bk != 1, m, n, a, b, cn
        ldx, ldy = (ak if am == 1 else am), (bn if bk == 1 else bk)
    ldx, ldy, ldc = max(ldx, k if ta else p), max(ldy, q if tb else k), max(ldc, p)
    if single:
        sgemm(address, np.int64(ta), np.int64(tb), p, q, k, x, ldx, y, ldy, add, c, ldc)
    else:
        dgemm(address, np.int64(ta), np.int64(tb), p, q, k, x, ldx, y, ldy, add, c, ldc)


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _products(code_at, pc, addresses_at, base, block, count, first, here, odo_at):  # type: ignore[no-untyped-def]
    """address, single, adds up over blocks, loops, three extents (length, kind: 0 as it is, 1 lanes in use, 2 times all lanes,
    3 times lanes in use), sizes; of A, B and C: place, whether the loops' strides are scaled, two strides with
    whether each is scaled, strides."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    addresses = carray(_pointer(addresses_at), WORDS, np.int64)
    odo = carray(_pointer(odo_at), WORDS, np.int64)
    single, add, nd = code[pc + 3], code[pc + 4], code[pc + 5]
    size, shift = (4, 2) if single else (8, 3)
    for e in range(3):
        length, kind = code[pc + 6 + 2 * e], code[pc + 7 + 2 * e]
        odo[60 + e] = length if kind == 0 else count if kind == 1 else length * block
    m, n, k = odo[60], odo[61], odo[62]
    # what is summed over is so many times the lanes in use, which lie in rows of all lanes: at once where all are in use
    turns = 1 if code[pc + 11] != 3 or count == block else code[pc + 10]
    k = k if turns == 1 else count
    sizes = pc + 12
    at, width = sizes + nd, 6 + nd
    for d in range(nd):
        odo[d] = 0
    for o in range(3):
        q = at + o * width
        odo[8 + o] = _at(code[q], base, block, here)
        odo[40 + 2 * o] = code[q + 2] * (block if code[q + 3] else 1) >> shift
        odo[41 + 2 * o] = code[q + 4] * (block if code[q + 5] else 1) >> shift
        for d in range(nd):
            odo[11 + o * nd + d] = code[q + 6 + d] * (block if code[q + 1] else 1)
    adding = np.int64(add == 2 or (add == 1 and not first))
    while True:
        for turn in range(turns):
            moved = turn * block * size
            _product(
                addresses[code[pc + 2]], single, m, n, k, odo[8] + moved, odo[40], odo[41], odo[9] + moved, odo[42], odo[43],
                odo[10], odo[44], odo[45], adding if turn == 0 else 1, size,
            )  # fmt: skip
        if not _next(code_at, sizes, nd, odo_at, 11, 3):
            break


@native("(int64, int64, int64, int64, int64, int64, int64)")
def _totals(code_at, pc, base, block, count, first, here):  # type: ignore[no-untyped-def]
    """bytes an element, rows, place of the source, whether its rows' stride is scaled, that stride, place of the
    totals (doubles)."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    size, rows = code[pc + 2], code[pc + 3]
    source, stride = _at(code[pc + 4], base, block, here), code[pc + 6] * (block if code[pc + 5] else 1)
    target = _at(code[pc + 7], base, block, here)
    for r in range(rows):
        total = _sum_of(source + r * stride, size, count)
        _write(target + 8 * r, total if first else _read(target + 8 * r, 0.0) + total)


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _fill_slots(code_at, at, slots, turn, back_turn, n, base, here, inner):  # type: ignore[no-untyped-def]
    """What a body reads and writes in step n."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    for s in range(slots):
        q = at + 4 * s
        odd = back_turn if code[q + 3] else turn
        _write(inner + 8 * s, _at(code[q + odd], base, 1, here) + n * code[q + 2])


@native("int64(int64, int64)")
def _split(length, checkpoints):  # type: ignore[no-untyped-def]
    """How many steps to run before the next carry is kept (ops/revolve.py: split)."""
    r, before, ways = 0, 1, 1
    while ways < length:
        r += 1
        before, ways = ways, ways * (checkpoints + r) // r
    # C(s+r−2, s−1) from C(s+r−1, s)
    return min(before, length - before * checkpoints // (checkpoints + r - 1))


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def execute(code_at, pc, addresses_at, table_at, base, block, count, first, here, scratch, odo_at):  # type: ignore[no-untyped-def]
    """One instruction over the first `count` lanes of a block. first: nothing has been added to the totals yet."""
    code = carray(_pointer(code_at), WORDS, np.int64)
    addresses = carray(_pointer(addresses_at), WORDS, np.int64)
    table = carray(_pointer(table_at), WORDS, np.int64)
    opcode = code[pc]
    if opcode == CALL:  # kernel, rows, places of target and operands
        rows = code[pc + 3]
        _call(
            addresses[code[pc + 2]],
            _at(code[pc + 4], base, block, here),
            _at(code[pc + 5], base, block, here),
            _at(code[pc + 6], base, block, here),
            _at(code[pc + 7], base, block, here),
            rows * block if rows > 1 else count,
        )
    elif opcode == EACH:
        _each(code_at, pc, addresses_at, base, block, count, here, scratch, odo_at)
    elif opcode == GROUP:
        _group(code_at, pc, addresses_at, base, block, count, here, scratch)
    elif opcode == NATIVE_LOOP:
        _native_loop(code_at, pc, addresses_at, base, here, scratch)
    elif opcode == PRODUCT:
        _products(code_at, pc, addresses_at, base, block, count, first, here, odo_at)
    elif opcode == MOVE:
        _move(code_at, pc, base, block, count, here, odo_at)
    elif opcode == FOLD:
        _fold(code_at, pc, addresses_at, base, block, count, here, scratch, odo_at)
    elif opcode == REDUCE:
        _reduce(code_at, pc, addresses_at, base, here, scratch, odo_at)
    elif opcode == TOTAL:
        _totals(code_at, pc, base, block, count, first, here)
    elif opcode in (TAKE, ADD_AT):
        # kernel (ADD_AT), bytes an element, rows, elements a row, where the table begins, source: place, scaled; target: both too
        size, rows, run, begin = code[pc + 3], code[pc + 4], code[pc + 5], code[pc + 6]
        source, target = _at(code[pc + 7], base, block, here), _at(code[pc + 9], base, block, here)
        sscale, tscale = (block if code[pc + 8] else 1), (block if code[pc + 10] else 1)
        n = run * block if run > 1 else count
        for r in range(rows):
            if opcode == TAKE:
                _copied(target + r * run * size * tscale, size, source + table[begin + r] * sscale, size, size, n)
            else:
                where = target + table[begin + r] * tscale
                _call(addresses[code[pc + 2]], where, source + r * run * size * sscale, 0, 0, n)
    elif not code[pc + 6] or not _read(_at(code[pc + 7], base, block, here), np.uint8(0)):
        # FILL: bytes an element, rows, place, bits, whether a condition may forbid it, its place
        size, rows, target = code[pc + 2], code[pc + 3], _at(code[pc + 4], base, block, here)
        n = rows * block if rows > 1 else count
        if size == 8:
            t8 = carray(_pointer(target), n, np.int64)
            for i in range(n):
                t8[i] = code[pc + 5]
        elif size == 4:
            t4 = carray(_pointer(target), n, np.int32)
            for i in range(n):
                t4[i] = np.int32(code[pc + 5])
        else:
            t1 = carray(_pointer(target), n, np.uint8)
            for i in range(n):
                t1[i] = np.uint8(code[pc + 5])


ADVANCE, REVERSE = 1, 2


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
                first + _split(frames[d, 7] - first, most - frames[d, 6] + 1) if frames[d, 12] else frames[d, 7] - 1
            )
            frames[d, 13] = ADVANCE
            return ADVANCE
    frames[d, 7] -= 1
    frames[d, 13] = REVERSE
    return REVERSE


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def run(code_at, begin, end, addresses_at, table_at, base, here, slots, scratch):  # type: ignore[no-untyped-def]
    """Instructions on whole arrays, loops included. here: the addresses of the slots, with room behind them for those of bodies.

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
        if pc >= end and depth == 0:
            odo[0] = 0  # it is held until here
            return
        opcode = code[pc] if pc < end else np.int64(-1)
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


@native("(int64[::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], int64, int64)")
def run_whole(code, begin, end, addresses, table, slots, base, spare):  # type: ignore[no-untyped-def]
    """Instructions begin … end on whole arrays. slots: (address, …). spare: where scratch memory is."""
    places = np.empty(slots.shape[0] + MOST_SLOTS, np.int64)
    for s in range(slots.shape[0]):
        places[s] = slots[s, 0]
    here = places.ctypes.data
    run(code.ctypes.data, begin, end, addresses.ctypes.data, table.ctypes.data, base, here, slots.shape[0], spare)
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
            run_whole(code, words[p + 1], words[p + 2], addresses, table, slots, words[6], words[8])
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
