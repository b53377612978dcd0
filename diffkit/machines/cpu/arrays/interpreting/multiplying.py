"""The instruction that multiplies matrices: by loops where they are small, in tiles (tiling.py), or by BLAS."""

from __future__ import annotations

import numpy as np

from ...addresses import enter, read, words, write
from ...shared import Shared, part
from ..opcodes import BLOCK, COUNT, FIRST, ODOMETER, SCRATCH_AT, SMALL_PRODUCT
from .blas import gemm
from .state import kernel_of, place_of, step_on
from .subnormals import flush_subnormals, restore
from .tiling import in_tiles


@part
def _dot(x, x_step, y, y_step, k, at, add, zero):  # type: ignore[no-untyped-def]
    """A sum of k products, in the precision of `zero`; steps in bytes."""
    total = zero
    for q in range(k):
        total += read(x + q * x_step, zero) * read(y + q * y_step, zero)
    write(at, read(at, zero) + total if add else total)


@part
def _fits(m, n, rows, columns, size):  # type: ignore[no-untyped-def]
    """Whether BLAS takes a matrix with these strides (products.py: fits_blas)."""
    return (columns == size and (rows >= n * size or m == 1)) or (rows == size and (columns >= m * size or n == 1))


@part
def _gemm(blas, m, n, k, a, am, ak, b, bk, bn, c, cn, adds, shift):  # type: ignore[no-untyped-def]
    """Column-major C (m×n) = A·B, or + A·B; from row to row and from column to column it is so many bytes."""
    size, one = 1 << shift, 0x3F800000 if shift == 2 else 0x3FF0000000000000
    lda, ldb = max(am, ak) >> shift, max(bk, bn) >> shift
    lda, ldb = max(lda, m if am == size else k), max(ldb, k if bk == size else n)
    gemm(blas, one, am != size, bk != size, m, n, k, a, lda, b, ldb, adds, c, max(cn >> shift, m))


@Shared
def product(at, state_at):  # type: ignore[no-untyped-def]
    """table (tiling.py), single, adds up over blocks, loops, three extents (length, kind: 0 as it is, 1 lanes in use, 2 times all
    lanes, 3 times lanes in use), sizes; of A, B and C: place, whether the loops' strides are scaled, two strides with
    whether each is scaled, strides."""
    code, state, odo = words(at), words(state_at), words(state_at + 8 * ODOMETER)
    table, single, loops = kernel_of(code[2], state), code[3], code[5]
    block, count = state[BLOCK], state[COUNT]
    for e in range(3):
        length, kind = code[6 + 2 * e], code[7 + 2 * e]
        odo[60 + e] = length if kind == 0 else count if kind == 1 else length * block
    # what is summed over is so many times the lanes in use, which lie in rows of all lanes: at once where all are in use
    turns = 1 if code[11] != 3 or count == block else code[10]
    m, n, k = odo[60], odo[61], odo[62] if turns == 1 else count
    for o in range(3):
        q = 12 + loops + o * (6 + loops)
        odo[8 + o] = place_of(code[q], state)
        odo[40 + 2 * o] = code[q + 2] * (block if code[q + 3] else 1)
        odo[41 + 2 * o] = code[q + 4] * (block if code[q + 5] else 1)
        for d in range(loops):
            odo[d] = 0
            odo[11 + o * loops + d] = code[q + 6 + d] * (block if code[q + 1] else 1)
    # bytes from row to row and from column to column
    shift, am, ak = 2 if single else 3, odo[40], odo[41]
    size = 1 << shift
    bk, bn = odo[42], odo[43]
    cm, cn = odo[44], odo[45]
    small = m * n * k <= SMALL_PRODUCT or not (_fits(m, k, am, ak, size) and _fits(k, n, bk, bn, size))
    tiled, blas = not small and in_tiles(table, m, n, k, ak, bk, size), words(table)[0]
    add = code[4] == 2 or (code[4] == 1 and not state[FIRST])
    flushes = single and not small
    before = flush_subnormals() if flushes else 0
    while True:
        for turn in range(turns):
            c, adds = odo[10], np.int64(add or turn > 0)
            a, b = odo[8] + turn * block * size, odo[9] + turn * block * size
            if small:
                for i in range(m):
                    for j in range(n):
                        if single:
                            _dot(a + i * am, ak, b + j * bn, bk, k, c + i * cm + j * cn, adds, np.float32(0))
                        else:
                            _dot(a + i * am, ak, b + j * bn, bk, k, c + i * cm + j * cn, adds, 0.0)
                continue
            if tiled:
                enter(words(table)[1], table, size, m, n, k, a, am, ak, b, bk, bn, c, cm, cn, adds, state[SCRATCH_AT])
                continue
            # rows of C as the columns of BLAS where its rows lie without gaps, else the other way round
            if cn == size and not (cm == size and n == 1):
                _gemm(blas, n, m, k, b, bn, bk, a, ak, am, c, cm, adds, shift)
            else:
                _gemm(blas, m, n, k, a, am, ak, b, bk, bn, c, cn, adds, shift)
        if not step_on(code, 12, loops, odo, 8, 3):
            break
    if flushes:
        restore(before)
