"""Products of matrices as launches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...cpu.arrays.views import collapsed, row_major
from ...cpu.plan import NUMPY, SIZE
from ..package import package
from . import blas
from .folding import sequential as fold
from .launches import compiled
from .multiplying import tiled
from .nests import Address, Nest, Operand, elements
from .sources import Fold
from .steps import Launch

if TYPE_CHECKING:
    from .lowering import Frame, Lowering

#: terms of a product that one thread adds up
FEW_TERMS = 32
#: rows and columns of a tile; of the simulator's
TILE, SIMULATED_TILE = 16, 4
#: multiplications that cuBLAS is called for: our kernels, at a twentieth of what a large GPU can do (17 million doubles a
#: microsecond), need no longer for fewer than a launch does, and the library's start and its workspace would gain nothing
LEAST_WORK = 1 << 20
#: of each matrix, where there are many, and terms: smaller ones leave a library's tiles empty for the most part, and what has few
#: terms is bound by the writing of its result
LEAST_EACH, LEAST_TERMS = 16**3, 8
#: blocks that fill a GPU of any kind, so that bits do not depend on the kind, and terms of a tile that are worth a block
BLOCKS, PART = 1024, 256
#: scratch of folds has the levels from 0 on
WORKSPACE_LEVEL = -1


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
    extents, sizes, sides = joined(extents, sizes, sides)
    if _by_cublas(w, extents, sizes, sides, adds):
        return
    if 0 < extents[2] <= FEW_TERMS:
        _by_threads(w, extents, sizes, sides, adds)
    else:
        _in_parts(w, extents, sizes, sides, adds)


def joined(
    extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand]
) -> tuple[list[int], list[int], list[Operand]]:
    """The same product with fewer loops: one that leaves B as it is, and goes on where the rows of A and C end, makes more
    rows; and so with columns of B and C."""
    lengths, ends = list(extents), [list(o.strides[-2:]) for o in sides]
    loops, steps = collapsed(sizes, [o.strides[:-2] for o in sides])
    for d in reversed(range(len(loops))):
        for e in range(2):  # rows, columns: strides 0 of A and C, strides 1 of B and C
            own, n = steps[e][d], lengths[e]
            goes_on = n == 1 or (own == n * ends[e][e] and steps[2][d] == n * ends[2][e])
            if steps[1 - e][d] == 0 and own and steps[2][d] and goes_on:
                if n == 1:
                    ends[e][e], ends[2][e] = own, steps[2][d]
                lengths[e] *= loops.pop(d)
                for row in steps:
                    row.pop(d)
                break
    made = [o._replace(strides=(*row, *end)) for o, row, end in zip(sides, steps, ends, strict=True)]
    return lengths, loops, made


def _by_cublas(w: Lowering, extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand], adds: bool) -> bool:
    """Whether cuBLAS is to do it."""
    each = math.prod(extents)
    if extents[2] < LEAST_TERMS or each < LEAST_EACH or each * math.prod(sizes) < LEAST_WORK or blas.problem():
        return False
    calls = blas.gemms(extents, sizes, sides, adds)
    if calls:
        # half, since scratch is twice what is asked for; one for all products of a program, which run one after the other
        workspace = w.layout.scratch(blas.library().workspace // 2, WORKSPACE_LEVEL)
        w.launch(blas.Calls(calls, workspace))
    return bool(calls)


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


def _side() -> int:
    return SIMULATED_TILE if package().simulated else TILE


def _blocks(extents: Sequence[int], sizes: Sequence[int]) -> int:
    return math.prod(sizes) * -(-extents[0] // _side()) * -(-extents[1] // _side())


def _in_parts(w: Lowering, extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand], adds: bool) -> None:
    """In tiles. Where these are few and their terms many, as in gradients of weights, a block takes a part of the terms, and what
    the parts come to is added up in their order."""
    (m, n, k), (x, y, z) = extents, sides
    parts = min(BLOCKS // max(1, _blocks(extents, sizes)), k // PART)
    if parts < 2:
        _in_tiles(w, extents, sizes, sides, adds)
        return
    length = -(-k // (parts * _side())) * _side()
    whole, rest = divmod(k, length)
    shape = (whole + (rest > 0), *sizes, m, n)
    step, *strides = row_major(shape, SIZE[z.letter])
    into = Operand(z.letter, Address(w.layout.scratch(step * shape[0], 0)), tuple(strides))
    far = length * x.strides[-1], length * y.strides[-2], step
    stacked = [o._replace(strides=(by, *o.strides)) for o, by in zip((x, y, into), far, strict=True)]
    _in_tiles(w, (m, n, length), (whole, *sizes), stacked, False)
    if rest:
        last = [o._replace(address=o.address.moved(whole * by)) for o, by in zip((x, y, into), far, strict=True)]
        _in_tiles(w, (m, n, rest), sizes, last, False)
    ends = [o._replace(strides=(*o.strides, by)) for o, by in ((z, 0), (into, step))]
    fold(w, Fold(f"fold_add_{z.letter}", "zero", z.letter, adds), Nest.of([*sizes, m, n], ends, [shape[0]]))


def _in_tiles(w: Lowering, extents: Sequence[int], sizes: Sequence[int], sides: Sequence[Operand], adds: bool) -> None:
    letter, told = sides[0].letter, [*extents, math.prod(sizes), len(sizes), *sizes]
    for o in sides:
        told += [*o.address, *elements([*o.strides[-2:], *o.strides[:-2]], letter)]
    shift = "4" if letter == "f" else "8"
    made = compiled(tiled, KIND=NUMPY[letter], TILE=_side(), ADDS=adds)
    w.launch(Launch(made, letter + shift + "w", (w.words.put(told),), _blocks(extents, sizes), (_side(), _side())))
