"""Tiles of a matrix product in registers, as LLVM IR, for processors with vectors of 512 bits and masks.

A tile is a few vectors of rows by a few columns of C. It stays in registers while what is summed over runs, one fused
multiply-add an entry and step: an entry is the sum in the order of k, whatever tile it falls into. (The microkernel of Goto and
van de Geijn, Anatomy of high-performance matrix multiplication, 2008, and of Van Zee and van de Geijn, BLIS, 2015; here only
the vectors need what they read side by side, the numbers that they are multiplied by are read where they lie.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir

from .access import MEMORY, MEMORY_BYTES, load, load_some, store, store_some
from .emit import SIGNATURE, has_masks
from .library import Loaded, cache_folder, compiled, fingerprint, keep, kept
from .vectors import I8, I32, I64

#: bytes of a vector
VECTOR = 64
#: columns of the widest tile of so many vectors: its entries, a vector of rows and a number fit into 32 registers
COLUMNS = (0, 8, 8, 8, 6)
#: vectors and columns of any tile
MOST_VECTORS, MOST_COLUMNS = len(COLUMNS) - 1, max(COLUMNS)
#: What a tile is told beside its matrices, in words: steps in bytes of A and of B along k and of C from column to column, rows in
#: the last vector, whether it is added to C, and where each column of B begins (multiples of one step LLVM would add up one
#: after the other in every round, which takes longer than the multiplications of a small tile)
A_STEP, B_STEP, C_STEP, REST, ADDS, B_COLUMNS = range(6)
#: what `turned` is told: steps of the target along k and of the source from row to row, rows that are there
TARGET_STEP, SOURCE_STEP, ROWS = range(3)
#: steps along k that B is fetched ahead: with columns side by side each step reads another line, too far on to be foreseen
AHEAD = 12


class _Writer:
    """A function of a kernel's signature being written, with loads and stores of vectors some of whose lanes are not there."""

    def __init__(self, made: ir.Module, symbol: str, letter: str) -> None:
        self.function = ir.Function(made, SIGNATURE, symbol)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.letter, self.element = letter, MEMORY[letter]
        self.width = VECTOR // MEMORY_BYTES[letter]
        self.vector = ir.VectorType(self.element, self.width)
        self.zeros = ir.Constant(self.vector, [0.0] * self.width)

    def told(self, i: int) -> ir.Value:
        """A word of the fourth argument."""
        return self.b.load(self.at(self.function.args[3], 8 * i), typ=I64)

    def at(self, pointer: ir.Value, distance: ir.Value | int) -> ir.Value:
        distance = ir.Constant(I64, distance) if isinstance(distance, int) else distance
        return self.b.gep(pointer, [distance], source_etype=I8)

    def times(self, x: ir.Value, number: int) -> ir.Value:
        return self.b.mul(x, ir.Constant(I64, number))

    def splat(self, value: ir.Value) -> ir.Value:
        nothing = ir.Constant(ir.VectorType(value.type, self.width), ir.Undefined)
        first = self.b.insert_element(nothing, value, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, self.width), [0] * self.width))

    def mask(self, count: ir.Value) -> ir.Value:
        """The first `count` lanes."""
        return self.b.icmp_signed(
            "<", ir.Constant(ir.VectorType(I64, self.width), list(range(self.width))), self.splat(count)
        )

    def _call(self, name: str, result: ir.Type, *args: ir.Value) -> ir.Value:
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.b.call(self.b.module.globals.get(name) or ir.Function(self.b.module, kind, name), args)

    def load(self, pointer: ir.Value, mask: ir.Value | None) -> ir.Value:
        """Zeros in lanes that are not there. mask: None where all are."""
        if mask is None:
            return load(self.b, self.letter, pointer, self.width)
        return load_some(self.b, self.letter, pointer, mask, 0)

    def store(self, value: ir.Value, pointer: ir.Value, mask: ir.Value | None) -> None:
        if mask is None:
            store(self.b, self.letter, value, pointer)
        else:
            store_some(self.b, self.letter, value, pointer, mask)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self._call(f"llvm.fma.v{self.width}f{8 * VECTOR // self.width}", self.vector, x, y, z)

    def fetch(self, pointer: ir.Value) -> None:
        """A line into the nearest cache, which need not be one of ours."""
        self._call("llvm.prefetch.p0", ir.VoidType(), pointer, *(ir.Constant(I32, i) for i in (0, 3, 1)))

    def loop(self, begins: list[ir.Value], body: Callable[..., tuple[list[ir.Value], ir.Value]]) -> list[ir.Value]:
        """Values that begin so and go on as the body says, for as long as it says; the last ones."""
        b, before = self.b, self.b.block
        loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
        b.branch(loop)
        b.position_at_end(loop)
        values = [b.phi(x.type) for x in begins]
        following, again = body(*values)
        for value, begin, then in zip(values, begins, following, strict=True):
            value.add_incoming(begin, before)
            value.add_incoming(then, loop)
        b.cbranch(again, loop, done)
        b.position_at_end(done)
        return following


def _tile(made: ir.Module, letter: str, vectors: int, columns: int) -> None:
    """C = A·B, or C + A·B. Arguments: C, whose rows lie side by side, A, whose rows do, B, what is told, length k > 0."""
    w = _Writer(made, tile_name(letter, vectors, columns), letter)
    b, (c, a, first_b, _, k) = w.b, w.function.args
    a_step, b_step, c_step = w.told(A_STEP), w.told(B_STEP), w.told(C_STEP)
    ahead = w.times(b_step, AHEAD)
    begins = [w.told(B_COLUMNS + j) for j in range(columns)]
    masks = [None] * (vectors - 1) + [w.mask(w.told(REST))]

    def step(left: ir.Value, a: ir.Value, first_b: ir.Value, *sums: ir.Value) -> tuple[list[ir.Value], ir.Value]:
        rows = [w.load(w.at(a, VECTOR * i), mask) for i, mask in enumerate(masks)]
        w.fetch(w.at(first_b, ahead))
        numbers = [w.splat(b.load(w.at(first_b, begin), typ=w.element)) for begin in begins]
        added = [w.fma(rows[i % vectors], numbers[i // vectors], s) for i, s in enumerate(sums)]
        left = b.sub(left, ir.Constant(I64, 1))
        return [left, w.at(a, a_step), w.at(first_b, b_step), *added], b.icmp_signed(">", left, ir.Constant(I64, 0))

    _, _, _, *sums = w.loop([k, a, first_b, *[w.zeros] * (vectors * columns)], step)
    adds = b.icmp_signed("!=", w.told(ADDS), ir.Constant(I64, 0))
    places = [w.at(w.at(c, w.times(c_step, j)), VECTOR * i) for j in range(columns) for i in range(vectors)]
    with b.if_else(adds) as (adding, storing):
        with adding:
            for place, mask, s in zip(places, masks * columns, sums, strict=True):
                w.store(b.fadd(w.load(place, mask), s), place, mask)
        with storing:
            for place, mask, s in zip(places, masks * columns, sums, strict=True):
                w.store(s, place, mask)
    b.ret_void()


def _turned(made: ir.Module, letter: str) -> None:
    """A vector of rows whose numbers along k lie side by side, turned to whole vectors of rows for every k, and on to a multiple
    of a vector's lanes. Arguments: target, source, nothing, what is told, length k > 0."""
    w = _Writer(made, turned_name(letter), letter)
    b, (target, source, _, _, k) = w.b, w.function.args
    target_step, source_step, there = w.told(TARGET_STEP), w.told(SOURCE_STEP), w.told(ROWS)

    def block(left: ir.Value, target: ir.Value, source: ir.Value) -> tuple[list[ir.Value], ir.Value]:
        mask = w.mask(left)
        none = ir.Constant(mask.type, [False] * w.width)
        rows = []
        for r in range(w.width):
            some = b.select(b.icmp_signed(">", there, ir.Constant(I64, r)), mask, none)
            rows.append(w.load(w.at(source, w.times(source_step, r)), some))
        half = w.width // 2
        while half:  # quarters off the diagonal change places, in the whole, in its quarters, …
            for i in range(w.width):
                if not i & half:
                    rows[i], rows[i + half] = _exchanged(b, rows[i], rows[i + half], half)
            half //= 2
        for r, row in enumerate(rows):
            w.store(row, w.at(target, w.times(target_step, r)), None)
        left = b.sub(left, ir.Constant(I64, w.width))
        following = [left, w.at(target, w.times(target_step, w.width)), w.at(source, VECTOR)]
        return following, b.icmp_signed(">", left, ir.Constant(I64, 0))

    w.loop([k, target, source], block)
    b.ret_void()


def _exchanged(b: ir.IRBuilder, x: ir.Value, y: ir.Value, half: int) -> tuple[ir.Value, ir.Value]:
    """Of two vectors of blocks of 2·half numbers: the first halves of the blocks of both, and the second ones."""
    width = x.type.count
    first = [i if not i & half else width + i - half for i in range(width)]
    second = [i + half if not i & half else width + i for i in range(width)]
    kind = ir.VectorType(I32, width)
    return b.shuffle_vector(x, y, ir.Constant(kind, first)), b.shuffle_vector(x, y, ir.Constant(kind, second))


def tile_name(letter: str, vectors: int, columns: int) -> str:
    return f"tile_{letter}_{vectors}_{columns}"


def turned_name(letter: str) -> str:
    return f"turned_{letter}"


def _module(letter: str) -> ir.Module:
    made = ir.Module(f"diffkit_tiles_{letter}")
    for vectors, most in enumerate(COLUMNS):
        for columns in range(1, most + 1):
            _tile(made, letter, vectors, columns)
    _turned(made, letter)
    return made


#: kept for good: addresses of theirs are handed on
_loaded: dict[str, Loaded] = {}


def addresses(letter: str) -> np.ndarray:
    """Of the tiles of so many vectors and columns, int64 (vectors, columns), and in place of the first of `turned`; zeros where
    the processor has no masks. They come from the cache, or are compiled now (half a second)."""
    found: np.ndarray = np.zeros((MOST_VECTORS + 1, MOST_COLUMNS + 1), np.int64)
    if not has_masks():
        return found
    path = cache_folder() / f"tiles-{letter}-{fingerprint()[:24]}.o"
    data = None if letter in _loaded else kept(path)
    if letter not in _loaded and data is None:
        data = compiled(str(_module(letter)))
        keep(path, data)
    loaded = _loaded[letter] if data is None else _loaded.setdefault(letter, Loaded(data))
    found[0, 0] = loaded.address(turned_name(letter))
    for vectors, most in enumerate(COLUMNS):
        for columns in range(1, most + 1):
            found[vectors, columns] = loaded.address(tile_name(letter, vectors, columns))
    return found
