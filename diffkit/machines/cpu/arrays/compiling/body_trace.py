"""The body of a loop, followed element by element.

Its instructions are run once on numbers of elements instead of on their values: a movement only says which element is where, and
an operation makes new elements. What comes out is a kernel (loop_kernels.py) that does on every element what the interpreter
does, in the same order, so the answers have the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ...emit import by_symbol
from ...plan import SIZE
from ..opcodes import (
    ADD_AT,
    AFTER,
    BEFORE,
    CALL,
    EACH,
    FILL,
    FOLD,
    GATHER,
    MOVE,
    PLACE,
    PRODUCT,
    REDUCE,
    RUN,
    SCATTER_ADD,
    SMALL_PRODUCT,
    TAKE,
)  # fmt: skip
from ..planning.products import fits_blas
from ..program import WORK
from ..views import View, offsets_of
from .body_lookups import follow_lookup
from .groups import is_known
from .loop_kernels import CARRIED, FIXED, MOVING, NUMBER, Fetch, Leaf, LoopBody

#: elements that an instruction of the body computes, and reads; registers hold some 200, but the stack is near, too
MOST_ELEMENTS, MOST_READ = 600, 4_096
#: elements that a body is given, and computes altogether
MOST_LEAVES, MOST_VALUES = 2_000, 6_000
#: pointers of a kernel
MOST_POINTERS = 256

_LETTER = {8: "d", 4: "f", 1: "b"}

#: buffer and byte
Key = tuple[int, int]


class StaysError(Exception):
    """The loop is left to the interpreter."""


@dataclass(frozen=True)
class Traced:
    """A body as a kernel, and for every pointer of it (place, bytes from step to step, what the place counts from).

    A place counts from the workspace or is a slot (PLACE), or it counts from where a carry begins: BEFORE + turn where the body
    reads it, AFTER + turn where it writes it (turn 0: the carry's, 1: the adjoint's).
    """

    body: LoopBody
    pointers: tuple[tuple[int, int, int], ...]


class Trace:
    """One run of a body on numbers of elements."""

    def __init__(
        self,
        rows: np.ndarray,
        slots: np.ndarray,
        symbols: Sequence[str],
        table: np.ndarray,
        carries: Sequence[int],
        once: bool = False,
    ) -> None:
        """rows: how the slots are filled (interpreter.run). slots: those of the body (Program.inner). carries: for every turn
        where what the body reads at even turns begins. once: the kernel is called for one step at a time."""
        self.symbols, self.table, self.carries, self.once = symbols, table, carries, once
        self.slots = [(buffer, offset) for buffer, offset, *_ in slots.tolist()]
        #: for every buffer the slot of its lowest offset: that offset; places at even and odd turns, bytes from step to step, turn
        self.source: dict[int, tuple[int, int, int, int, int]] = {}
        for (buffer, offset), row in zip(self.slots, rows.tolist(), strict=True):
            if buffer not in self.source or offset < self.source[buffer][0]:
                even, odd, step, turn = row
                self.source[buffer] = (offset, even, odd, step, turn)
        self.memory: dict[Key, int] = {}
        self.written: set[Key] = set()
        #: buffers that are written
        self.made: set[int] = set()
        self.leaves: list[Leaf] = []
        self.numbers: dict[tuple[str, int], int] = {}
        self.steps: list[tuple[str | Fetch, tuple[tuple[int, ...], ...]]] = []
        self.letters: list[str] = []
        self.pointer: dict[int, int] = {}
        #: carried leaves by the byte of the workspace that they are in at even turns
        self.carry: dict[int, int] = {}
        #: by the place that an index out of range goes to: leaf, and what it is by now
        self.faults: dict[int, tuple[int, int]] = {}

    def traced(self, code: Sequence[int], backwards: bool) -> Traced:
        """The kernel of a body with this code."""
        begin = 0
        while begin < len(code):
            self._follow(code[begin], code[begin + 2 : begin + code[begin + 1]])
            begin += code[begin + 1]
        stores, last, following = [], [], {}
        for buffer, byte in sorted(self.written):
            offset, even, odd, _, _ = self._source(buffer)
            row = (self._pointer(buffer), byte - offset, self.memory[buffer, byte])
            if even == odd or self.once:
                stores.append(row)
            else:
                last.append(row)
                if odd + byte - offset in self.carry:
                    following[self.carry[odd + byte - offset]] = row[2]
        if len(following) != len(self.carry) or len(self.pointer) > MOST_POINTERS or not (stores or last):
            raise StaysError
        for leaf, value in self.faults.values():
            stored = self.leaves[leaf]
            (stores if self.once else last).append((stored.pointer, stored.byte, value))
            if not self.once:
                following[leaf] = value
        rows = tuple(map(self._row, self.pointer))
        strides = tuple(0 if self.once else -step if backwards else step for _, step, _ in rows)
        body = LoopBody(
            strides, tuple(self.leaves), tuple(self.steps), tuple(sorted(following.items())), tuple(stores), tuple(last)
        )
        return Traced(body, rows)

    # ---- memory ----
    def _source(self, buffer: int) -> tuple[int, int, int, int, int]:
        offset, even, odd, step, turn = self.source[buffer]
        if even != odd and min(even, odd) < 0:  # places that cannot be compared
            raise StaysError
        return offset, even, odd, step, turn

    def _pointer(self, buffer: int) -> int:
        return self.pointer.setdefault(buffer, len(self.pointer))

    def _row(self, buffer: int) -> tuple[int, int, int]:
        _, even, odd, step, turn = self._source(buffer)
        if even == odd:
            return even, step, PLACE
        made = buffer in self.made
        return (odd if made else even) - self.carries[turn], 0, (AFTER if made else BEFORE) + turn

    def keys(self, place: int, sizes: Sequence[int], strides: Sequence[int]) -> list[Key]:
        buffer, offset = (WORK, place) if place >= 0 else self.slots[-1 - place]
        if math.prod(sizes) > MOST_READ:
            raise StaysError
        return [(buffer, byte) for byte in offsets_of(View(buffer, offset, tuple(strides)), sizes).ravel().tolist()]

    def read(self, keys: Sequence[Key], letter: str) -> tuple[int, ...]:
        values = tuple(self.memory[k] if k in self.memory else self._leaf(k, letter) for k in keys)
        if any(self._letter(v) != letter for v in values):
            raise StaysError
        return values

    def _leaf(self, key: Key, letter: str) -> int:
        """An element of what the body is given."""
        buffer, byte = key
        if buffer not in self.source or buffer in self.made:
            raise StaysError
        offset, even, odd, step, _ = self._source(buffer)
        what = FIXED if self.once else CARRIED if even != odd else MOVING if step else FIXED
        if what == CARRIED:
            self.carry[even + byte - offset] = len(self.leaves)
        self.memory[key] = self._new(Leaf(letter, what, self._pointer(buffer), byte - offset))
        return self.memory[key]

    def _new(self, leaf: Leaf) -> int:
        if len(self.leaves) == MOST_LEAVES:
            raise StaysError
        self.leaves.append(leaf)
        return -len(self.leaves)

    def number(self, letter: str, bits: int) -> int:
        if (letter, bits) not in self.numbers:
            self.numbers[letter, bits] = self._new(Leaf(letter, NUMBER, 0, bits))
        return self.numbers[letter, bits]

    def _letter(self, value: int) -> str:
        return self.letters[value] if value >= 0 else self.leaves[-1 - value].letter

    def put(self, keys: Sequence[Key], values: Sequence[int]) -> None:
        if len(keys) > MOST_ELEMENTS:
            raise StaysError
        for key, value in zip(keys, values, strict=True):
            if key[0] != WORK:
                if key in self.memory and key not in self.written:  # what the body is given is not written
                    raise StaysError
                self.written.add(key)
                self.made.add(key[0])
            self.memory[key] = value

    def apply(self, symbol: str, *operands: Sequence[int]) -> tuple[int, ...]:
        if not is_known(symbol) or len(operands[0]) > MOST_ELEMENTS:
            raise StaysError
        primitive, begin = by_symbol()[symbol], len(self.letters)
        self.steps.append((symbol, tuple(map(tuple, operands))))
        self.letters += [primitive.result] * len(operands[0])
        if len(self.letters) > MOST_VALUES:
            raise StaysError
        return tuple(range(begin, len(self.letters)))

    # ---- lookups (body_lookups.py) ----
    def can_fetch(self, key: Key) -> bool:
        """Whether it is in memory that is not written while the kernel runs."""
        buffer, _ = key
        if buffer not in self.source or buffer in self.made:
            return False
        _, even, odd, _, _ = self._source(buffer)
        return even == odd or self.once

    def fetch(self, first: Sequence[Key], letter: str, offsets: Sequence[int]) -> tuple[int, ...]:
        """For every offset in bytes the elements so far behind these."""
        buffer, begin = first[0][0], len(self.letters)
        bytes_ = tuple(byte - self._source(buffer)[0] for _, byte in first) * len(offsets)
        if len(bytes_) > MOST_ELEMENTS:
            self.stay()
        where = tuple(v for v in offsets for _ in first)
        self.steps.append((Fetch(letter, self._pointer(buffer), bytes_), (where,)))
        self.letters += [letter] * len(bytes_)
        return tuple(range(begin, len(self.letters)))

    def fault(self, place: int) -> tuple[int, ...]:
        """What is noted down there about an index so far."""
        if place not in self.faults:
            buffer, byte = self.slots[-1 - place]
            leaf = Leaf("d", FIXED if self.once else CARRIED, self._pointer(buffer), byte - self._source(buffer)[0])
            self.faults[place] = len(self.leaves), self._new(leaf)
        return (self.faults[place][1],)

    def note(self, place: int, value: tuple[int, ...]) -> None:
        self.faults[place] = self.faults[place][0], value[0]

    # ---- instructions (interpreter.execute, with a block of one lane) ----
    def _follow(self, opcode: int, words: Sequence[int]) -> None:
        follow = {
            CALL: self._call, EACH: self._each, MOVE: self._move, TAKE: self._take, ADD_AT: self._add_at, FILL: self._fill,
            FOLD: self._fold, REDUCE: self._reduce, PRODUCT: self._product,
        }.get(opcode)  # fmt: skip
        if follow is not None:
            follow(words)
        elif opcode in (GATHER, SCATTER_ADD):
            follow_lookup(self, opcode, words)
        else:
            self.stay()

    @staticmethod
    def stay() -> NoReturn:
        raise StaysError

    def _call(self, words: Sequence[int]) -> None:
        kernel, rows, *places = words
        self._elementwise(kernel, (rows,), [(p, None) for p in places])

    def _each(self, words: Sequence[int]) -> None:
        kernel, operands, rows, loops = words[:4]
        sizes, at = (*words[4 : 4 + loops], rows), 4 + loops
        found = []
        for _ in range(operands & 15):
            place, _, _, step, *strides = words[at : at + 4 + loops]
            found.append((place, (*strides, step)))
            at += 4 + loops
        self._elementwise(kernel, sizes, found)

    def _elementwise(
        self, kernel: int, sizes: Sequence[int], operands: Sequence[tuple[int, tuple[int, ...] | None]]
    ) -> None:
        """Strides None: one element behind the other. The result first."""
        symbol = self.symbols[kernel]
        if not is_known(symbol):
            raise StaysError
        primitive = by_symbol()[symbol]
        letters = [primitive.result, *primitive.operands[primitive.fold :]]
        keys = [
            self.keys(place, sizes, (SIZE[t],) if strides is None else strides)
            for (place, strides), t in zip(operands, letters, strict=False)
        ]
        if len(set(keys[0])) != len(keys[0]):  # one after the other
            raise StaysError
        reads = list(zip(keys, letters, strict=True))[not primitive.fold :]
        self.put(keys[0], self.apply(symbol, *(self.read(k, t) for k, t in reads)))

    def _move(self, words: Sequence[int]) -> None:
        size, length, loops = words[:3]
        sizes, at = (*words[3 : 3 + loops], abs(length) or 1), 3 + loops
        source, _, step, *strides = words[at : at + 3 + loops]
        target, _, other_step, *other = words[at + 3 + loops :]
        values = self.read(self.keys(source, sizes, (*strides, step)), _LETTER[size])
        self.put(self.keys(target, sizes, (*other, other_step)), values)

    def _take(self, words: Sequence[int]) -> None:
        _, size, rows, run, begin, source, _, target, _ = words
        letter, starts = _LETTER[size], self.table[begin : begin + rows].tolist()
        values = self.read([key for at in starts for key in self._run(source, at, run, size)], letter)
        self.put(self.keys(target, (rows * run,), (size,)), values)

    def _add_at(self, words: Sequence[int]) -> None:
        kernel, size, rows, run, begin, source, _, target, _ = words
        letter = _LETTER[size]
        terms = self.read(self.keys(source, (rows * run,), (size,)), letter)
        for r, at in enumerate(self.table[begin : begin + rows].tolist()):
            keys = self._run(target, at, run, size)
            self.put(keys, self.apply(self.symbols[kernel], self.read(keys, letter), terms[r * run : (r + 1) * run]))

    def _run(self, place: int, at: int, run: int, size: int) -> list[Key]:
        """Elements one behind the other, `at` bytes behind a place."""
        return [(buffer, at + byte) for buffer, byte in self.keys(place, (run,), (size,))]

    def _fill(self, words: Sequence[int]) -> None:
        size, rows, place, bits, conditional, _ = words
        if conditional:
            raise StaysError
        self.put(self.keys(place, (rows,), (size,)), [self.number(_LETTER[size], bits)] * rows)

    # ---- sums and products, in the interpreter's order ----
    def _fold(self, words: Sequence[int]) -> None:
        kernel, narrow, nk, nt, rows, size, term_size = words[:7]
        kept, folded, at = words[7 : 7 + nk], words[7 + nk : 7 + nk + nt], 7 + nk + nt
        target, _, source, _ = words[at : at + 4]
        strides = words[at + 4 :]
        out, into, over = strides[:nk], strides[nk : 2 * nk], strides[2 * nk :]
        keys = self.keys(source, (*folded, *kept, rows), (*over, *into, term_size))
        count = math.prod((*kept, rows))
        terms = [self.read(keys[k : k + count], _LETTER[term_size]) for k in range(0, len(keys), count)]
        symbol = self.symbols[kernel]
        total = terms.pop(0) if narrow < 0 else self._zeros(count)
        for term in terms:
            total = self.apply(symbol, total, term)
        if narrow >= 0:
            total = self.apply(self.symbols[narrow], total)
        self.put(self.keys(target, (*kept, rows), (*out, size)), total)

    def _zeros(self, count: int) -> tuple[int, ...]:
        """-0, to which anything may be added."""
        return (self.number("d", -(1 << 63)),) * count

    def _reduce(self, words: Sequence[int]) -> None:
        kernel, nk, nt, length, size = words[:5]
        kept, folded, at = words[5 : 5 + nk], words[5 + nk : 5 + nk + nt], 5 + nk + nt
        target, source = words[at : at + 2]
        strides = words[at + 2 :]
        out, into, over = strides[:nk], strides[nk : 2 * nk], strides[2 * nk :]
        letter = _LETTER[size]
        keys = self.keys(source, (*folded, length, *kept), (*over, size, *into))
        count = math.prod(kept)
        # terms[run][place in it]: one a result
        terms = [self.read(keys[k : k + count], letter) for k in range(0, len(keys), count)]
        runs = [terms[k : k + length] for k in range(0, len(terms), length)]
        if kernel < 0:
            total = self._sum_of(runs[0], letter)
            for run in runs[1:]:
                total = self.apply("add_d", total, self._sum_of(run, letter))
            if letter == "f":
                total = self.apply("cast_d_f", total)
        else:
            total = self._folded(self.symbols[kernel], runs)
        self.put(self.keys(target, kept, out), total)

    def _sum_of(self, run: list[tuple[int, ...]], letter: str) -> tuple[int, ...]:
        """interpreter._sum_of_doubles and _sum_of_singles. A chain begins with -0, which changes nothing."""
        if len(run) > RUN:
            raise StaysError
        if letter == "f":
            run = [self.apply("cast_f_d", r) for r in run]
        n = len(run[0])
        chains = 8 if letter == "d" else 4
        whole = len(run) // chains * chains
        if not whole:
            return self._added(run)
        # the chains side by side
        rows = [tuple(v for term in run[k : k + chains] for v in term) for k in range(0, whole, chains)]
        sums = self._added(rows)
        parts = [sums[k * n : (k + 1) * n] for k in range(chains)]
        parts[0] = self._added([parts[0], *run[whole:]])
        while len(parts) > 1:
            left, right = (tuple(v for p in parts[k::2] for v in p) for k in (0, 1))
            both = self.apply("add_d", left, right)
            parts = [both[k : k + n] for k in range(0, len(both), n)]
        return parts[0]

    def _added(self, terms: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        total = terms[0]
        for term in terms[1:]:
            total = self.apply("add_d", total, term)
        return total

    def _folded(self, symbol: str, runs: list[list[tuple[int, ...]]]) -> tuple[int, ...]:
        """In up to 64 chains side by side."""
        first = runs[0]
        chains, rest = first[:64], [first[64:], *runs[1:]]
        for run in rest:
            for k in range(0, len(run), len(chains)):
                chains = self._beside(symbol, chains, run[k : k + len(chains)])
        while len(chains) > 1:
            half = (len(chains) + 1) // 2
            chains = self._beside(symbol, chains[:half], chains[half:])
        return chains[0]

    def _beside(
        self, symbol: str, chains: list[tuple[int, ...]], terms: list[tuple[int, ...]]
    ) -> list[tuple[int, ...]]:
        """Terms added to the first of the chains."""
        n, count = len(chains[0]), len(terms)
        flat = lambda rows: tuple(v for row in rows for v in row)
        both = self.apply(symbol, flat(chains[:count]), flat(terms))
        return [*(both[k : k + n] for k in range(0, len(both), n)), *chains[count:]]

    def _product(self, words: Sequence[int]) -> None:
        _, single, adds, loops, m, m_kind, n, n_kind, k, k_kind = words[:10]
        batch, at, letter = words[10 : 10 + loops], 10 + loops, "f" if single else "d"
        sides = []
        for _ in range(3):
            place, _, rows, _, columns, _, *strides = words[at : at + 6 + loops]
            sides.append((place, strides, rows, columns))
            at += 6 + loops
        (a, ab, am, ak), (b, bb, bk, bn), (c, cb, cm, cn) = sides
        fits = fits_blas((am, ak), (m, k), SIZE[letter]) and fits_blas((bk, bn), (k, n), SIZE[letter])
        if adds == 2 or m_kind or n_kind or k_kind or (m * n * k > SMALL_PRODUCT and fits):
            raise StaysError
        sizes = (*batch, m, n)
        x, y = self.keys(a, (k, *sizes), (ak, *ab, am, 0)), self.keys(b, (k, *sizes), (bk, *bb, 0, bn))
        count = len(x) // k
        total: tuple[int, ...] = (self.number(letter, 0),) * count
        for q in range(0, k * count, count):
            pair = (self.read(x[q : q + count], letter), self.read(y[q : q + count], letter))
            total = self.apply(f"fold_product_{letter}", total, *pair)
        self.put(self.keys(c, sizes, (*cb, cm, cn)), total)
