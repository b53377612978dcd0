"""Products of matrices as launches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...cpu.plan import NUMPY
from ..package import package
from .folding import sequential as fold
from .launches import compiled
from .multiplying import tiled
from .nests import Nest, Operand, elements
from .sources import Fold
from .steps import Launch

if TYPE_CHECKING:
    from .lowering import Frame, Lowering

#: terms of a product that one thread adds up
FEW_TERMS = 32
#: rows and columns of a tile; of the simulator's
TILE, SIMULATED_TILE = 16, 4


def product(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """PRODUCT. What is summed over lanes too is summed over all that are worked on at once."""
    letter, loops = "f" if words[3] else "d", words[5]
    extents = []
    for e in range(3):
        length, kind = words[6 + 2 * e : 8 + 2 * e]
        extents.append(length if kind == 0 else frame.lanes if kind == 1 else length * frame.lanes)
    sizes = words[12 : 12 + loops]
    adds = words[4] == 2 or (words[4] == 1 and not frame.first)
    sides = []
    for o in range(3):
        q = 12 + loops + o * (6 + loops)
        place, scaled, rows, rows_scaled, columns, columns_scaled = words[q : q + 6]
        ends = [rows * frame.scale(rows_scaled), columns * frame.scale(columns_scaled)]
        strides = [s * frame.scale(scaled) for s in words[q + 6 : q + 6 + loops]]
        sides.append(Operand(letter, frame.place(place), (*strides, *ends)))
    if 0 < extents[2] <= FEW_TERMS:
        _by_threads(w, extents, sizes, sides, adds)
    else:
        _in_tiles(w, extents, sizes, sides, adds)


def _by_threads(
    w: Lowering, extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand], adds: bool
) -> None:
    """An element of the product a thread."""
    (m, n, k), (x, y, z) = extents, sides
    found = [
        z._replace(strides=(*z.strides, 0)),
        x._replace(strides=(*x.strides[:-1], 0, x.strides[-1])),
        y._replace(strides=(*y.strides[:-2], 0, y.strides[-1], y.strides[-2])),
    ]
    fold(w, Fold(f"fold_product_{z.letter}", "zero", z.letter, adds), Nest.of([*sizes, m, n], found, [k]))


def _in_tiles(w: Lowering, extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand], adds: bool) -> None:
    letter, told = sides[0].letter, [*extents, math.prod(sizes), len(sizes), *sizes]
    for o in sides:
        told += [*o.address, *elements([*o.strides[-2:], *o.strides[:-2]], letter)]
    side = SIMULATED_TILE if package().simulated else TILE
    blocks = math.prod(sizes) * -(-extents[0] // side) * -(-extents[1] // side)
    shift = "4" if letter == "f" else "8"
    made = compiled(tiled, KIND=NUMPY[letter], TILE=side, ADDS=adds)
    w.launch(Launch(made, letter + shift + "w", (w.words.put(told),), blocks, (side, side)))
