"""One instruction of an array program, in native code that holds no lock.

Code is a sequence of words. An instruction begins with its opcode and its length; what follows is listed with each. A *place*
that is not negative is an offset from the workspace's begin, in bytes a lane; a negative one is a slot, an address looked up
before. *Scaled* strides are in bytes a lane too. A *run* is what a kernel is called on: `rows` rows of all lanes of a block, or
(rows = 1) the lanes in use. Run whole, a program has one lane, and the workspace is that of all whole arrays.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from ..addresses import call as _call
from ..addresses import pointer as _pointer
from ..addresses import read as _read
from ..addresses import write as _write
from ..jit import native
from .blas import dgemm, sgemm
from .opcodes import (
    ADD_AT,
    CALL,
    EACH,
    FOLD,
    GROUP,
    MOVE,
    PRODUCT,
    REDUCE,
    RUN,
    SMALL_PRODUCT,
    TAKE,
    TOTAL,
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


@native("boolean(int64, int64, int64, int64)")
def _fits(m, n, rows, columns):  # type: ignore[no-untyped-def]
    """Whether BLAS takes a matrix with these strides (products.py: fits_blas)."""
    return (columns == 1 and (rows >= n or m == 1)) or (rows == 1 and (columns >= m or n == 1))


@native(
    "(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)"
)
def _product(address, single, m, n, k, a, am, ak, b, bk, bn, c, cm, cn, add, size):  # type: ignore[no-untyped-def]
    """C (m×n) = A·B, or + A·B; strides in elements (1 along an axis of length 1)."""
    if m * n * k <= SMALL_PRODUCT or not (_fits(m, k, am, ak) and _fits(k, n, bk, bn)):
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
