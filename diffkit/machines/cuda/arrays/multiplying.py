"""Products of matrices with strides, in tiles that a block keeps in shared memory."""

from __future__ import annotations

from typing import Any

#: what the kernel is bound to when it is compiled (launches.bound): the package's module, the type of elements, rows and columns of
#: a tile, whether the product is added to what is there
cuda: Any = None
KIND: Any = float
TILE = 16
ADDS = False


def tiled(m, shift, w, at):  # type: ignore[no-untyped-def]
    """C = A·B, or C + A·B.

    Words: rows, columns, what is summed over, products, loops over them, their sizes; of A, B, C: address, strides from row to row
    and from column to column, strides of the loops.
    """
    left = cuda.shared.array((TILE, TILE), KIND)
    right = cuda.shared.array((TILE, TILE), KIND)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    rows, columns, terms, products, loops = w[at], w[at + 1], w[at + 2], w[at + 3], w[at + 4]
    a = at + 5 + loops
    b = a + 4 + loops
    c = b + 4 + loops
    down, across = (rows + TILE - 1) // TILE, (columns + TILE - 1) // TILE
    for block in range(cuda.blockIdx.x, products * down * across, cuda.gridDim.x):
        p = block // (down * across)
        rest = block - p * down * across
        row = rest // across
        column = (rest - row * across) * TILE + x
        row = row * TILE + y
        at_a, at_b, at_c = (
            (w[a] + w[w[a + 1]]) >> shift,
            (w[b] + w[w[b + 1]]) >> shift,
            (w[c] + w[w[c + 1]]) >> shift,
        )
        for d in range(loops - 1, -1, -1):
            q = p // w[at + 5 + d]
            n = p - q * w[at + 5 + d]
            at_a += n * w[a + 4 + d]
            at_b += n * w[b + 4 + d]
            at_c += n * w[c + 4 + d]
            p = q
        total = KIND(0)
        for begin in range(0, terms, TILE):
            left[y, x] = (
                m[at_a + row * w[a + 2] + (begin + x) * w[a + 3]] if row < rows and begin + x < terms else KIND(0)
            )
            right[y, x] = (
                m[at_b + (begin + y) * w[b + 2] + column * w[b + 3]]
                if begin + y < terms and column < columns
                else KIND(0)
            )
            cuda.syncthreads()
            for e in range(min(TILE, terms - begin)):
                total += left[y, e] * right[e, x]
            cuda.syncthreads()
        if row < rows and column < columns:
            place = at_c + row * w[c + 2] + column * w[c + 3]
            if ADDS:
                m[place] += total
            else:
                m[place] = total
