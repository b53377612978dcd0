"""Matrix products in tiles of registers (../../tiles.py), in native code that holds no lock, and which products those are.

The vectors of a tile run the way in which C lies without gaps. What is summed over is cut into even parts, which are added up in
order: so an entry's bits depend on the length of the sum alone, not on the block or part of the matrix that it is computed with.
"""

from __future__ import annotations

import numpy as np

from ...addresses import call, words
from ...shared import Shared, part
from ...tiles import (
    A_STEP,
    ADDS,
    B_COLUMNS,
    B_STEP,
    C_STEP,
    COLUMNS,
    MOST_COLUMNS,
    MOST_VECTORS,
    REST,
    ROWS,
    SOURCE_STEP,
    TARGET_STEP,
    VECTOR,
    addresses,
)
from ..opcodes import LEAST_TILED
from . import blas
from .state import least

#: a part of what is summed over is at most so long: rows of a tile and columns of B for it stay in the nearest cache
DEPTH = 128
#: vectors of rows of a tile that are turned in scratch memory first
TURNED = 3
#: what is told, in words: to a tile, and behind it to `turned`
TURN = B_COLUMNS + MOST_COLUMNS
WORDS = TURN + 3
#: bytes of scratch memory
PANEL_BYTES = 8 * WORDS + DEPTH * TURNED * VECTOR
#: Products of more multiplications than LEAST and not more than MOST are done in tiles (docs/decisions/0009): for fewer BLAS has
#: code that is as fast, for more it is faster. Where what is summed lies side by side in both matrices, as in derivatives by
#: weights, whose sum is over lanes, that code of BLAS ends at FEW entries of C: tiles are faster from LEAST_TILED on.
LEAST, MOST, FEW = 1_000_000, 50_000_000, 1_200


@part
def in_tiles(table, m, n, k, ak, bk, size):  # type: ignore[no-untyped-def]
    """Whether a product that BLAS could be handed is done in tiles."""
    work = m * n * k
    summed = work > LEAST_TILED and ak == size and bk == size and m * n > FEW
    return words(table)[1] != 0 and (work > LEAST or summed) and work <= MOST


@Shared
def multiply(table, size, m, n, k, a, am, ak, b, bk, bn, c, cm, cn, add, scratch):  # type: ignore[no-untyped-def]
    """C (m×n) = A·B, or C + A·B; from row to row and from column to column it is so many bytes, in each matrix one way `size`, the
    bytes of an element. k > 0. scratch: the address of PANEL_BYTES."""
    if cn == size and not (cm == size and n == 1):  # the transposed product
        m, n, a, am, ak, b, bk, bn, cm, cn = n, m, b, bn, bk, a, ak, am, cn, cm
    tiles, told, turn = words(table + 16), words(scratch), scratch + 8 * TURN
    memory = scratch + 8 * WORDS
    lanes, direct = VECTOR // size, am == size
    widest = MOST_VECTORS if direct else TURNED
    vectors, parts = (m + lanes - 1) // lanes, (k + DEPTH - 1) // DEPTH
    panels = (vectors + widest - 1) // widest
    depth, deeper = k // parts, k % parts
    height, higher = vectors // panels, vectors % panels
    # rows of so many tiles stay in the nearest cache for a part; they are gone through first, so that C is written as it lies
    deepest = (depth + (deeper > 0) + lanes - 1) // lanes * lanes
    together, panel_bytes = DEPTH * TURNED // (widest * deepest) or 1, deepest * TURNED * VECTOR
    most = MOST_COLUMNS if height + (higher > 0) < MOST_VECTORS else COLUMNS[MOST_VECTORS]
    turns = (n + most - 1) // most
    width, wider = n // turns, n % turns
    told[A_STEP], told[B_STEP], told[C_STEP] = ak if direct else TURNED * VECTOR, bk, cn
    told[TURN + TARGET_STEP], told[TURN + SOURCE_STEP] = TURNED * VECTOR, am
    for j in range(MOST_COLUMNS):
        told[B_COLUMNS + j] = j * bn
    for step in range(parts):
        terms = depth + (step < deeper)
        told[ADDS] = add if step == 0 else 1
        for begin in range(0, panels, together):
            end = least(begin + together, panels)
            if not direct:
                for p in range(begin, end):
                    above, v = p * height + least(p, higher), height + (p < higher)
                    for i in range(v):
                        row = (above + i) * lanes
                        told[TURN + ROWS] = least(lanes, m - row)
                        target = memory + (p - begin) * panel_bytes + i * VECTOR
                        call(tiles[0], target, a + row * am, 0, turn, terms)
            column = 0
            for t in range(turns):
                columns = width + (t < wider)
                for p in range(begin, end):
                    above, v = p * height + least(p, higher), height + (p < higher)
                    told[REST] = least(lanes, m - (above + v - 1) * lanes)
                    rows = a + above * VECTOR if direct else memory + (p - begin) * panel_bytes
                    call(
                        tiles[v * (MOST_COLUMNS + 1) + columns], c + above * VECTOR + column * cn, rows,
                        b + column * bn, scratch, terms,
                    )  # fmt: skip
                column += columns
        a += terms * ak
        b += terms * bk


_tables: dict[str, np.ndarray] = {}


def table(symbol: str) -> np.ndarray:
    """What a product is given the address of, int64: addresses of BLAS's gemm, of `multiply`, and of tiles.addresses; it stays
    where it is. symbol: gemm_d or gemm_f, without tiles, or tiles_d or tiles_f, with them where the processor has masks."""
    if symbol not in _tables:
        letter = symbol[-1]
        tiles = addresses(letter).ravel() if symbol.startswith("tiles") else np.zeros(1, np.int64)
        whole = multiply.address if tiles.any() else 0
        _tables.setdefault(symbol, np.array([blas.addresses()[letter == "f"], whole, *tiles], np.int64))
    return _tables[symbol]
