"""One kernel for a whole loop with a small body: what it is made of, and how it becomes native code.

What the loop carries stays in registers from step to step, what is the same in all steps is read once, and slices are read and
written as they come. The kernel is called as any other kernel is, ``void(table, _, _, _, steps)``; the table has the addresses of
its pointers in the first step.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import NamedTuple

from llvmlite import ir

from ...access import MEMORY_BYTES, POINTER, load, load_some, store, store_some
from ...emit import by_symbol, vector_function
from ...vectors import ELEMENT, I1, I8, I32, I64, WIDTH, splat
from ...writer import CALL_LENGTH, KernelWriter, body_length

#: what a leaf is: the same in all steps, a slice's, carried from step to step, a number
FIXED, MOVING, CARRIED, NUMBER = range(4)
#: bodies of operations of at most so many instructions are written out and longer ones called: the first limit that keeps the
#: kernel within so many instructions of LLVM. A call costs more here than in a long run of elements: all registers are saved
LOOP_LIMITS, LOOP_SHORT = (150, 60, 20), 8_000
#: the loops of a program are kernels as long as they have no more instructions together
LONGEST_LOOPS = 12_000
#: instructions around the body; to read or write a vector, to put one together, and to fetch an element
LOOP_FRAME, MOVE_LENGTH, GATHER_LENGTH, FETCH_LENGTH = 30, 5, 2, 6


class Leaf(NamedTuple):
    """An element that no step of the body computes."""

    letter: str
    what: int
    pointer: int
    #: from where the pointer points; of a number its bits
    byte: int


class Fetch(NamedTuple):
    """In an operation's place: elements that lie as many bytes behind these of a pointer as the operand says."""

    letter: str
    pointer: int
    bytes: tuple[int, ...]


class LoopBody(NamedTuple):
    """A kernel in full. A value is one element: a leaf by -1 - k, or a result (operations have theirs one after the other)."""

    #: for every pointer the bytes from step to step
    pointers: tuple[int, ...]
    leaves: tuple[Leaf, ...]
    #: symbol of the primitive; the values of every operand, as many as the operation has results
    steps: tuple[tuple[str | Fetch, tuple[tuple[int, ...], ...]], ...]
    #: carried leaf, its value for the next step
    carried: tuple[tuple[int, int], ...]
    #: pointer, byte, value: written every step, and after the last
    stores: tuple[tuple[int, int, int], ...]
    last: tuple[tuple[int, int, int], ...]


@lru_cache(maxsize=16)
def loop_extent(body: LoopBody) -> tuple[int, int]:
    """Up to which length the bodies of operations are written out, and about how many LLVM instructions the kernel then has."""
    vectors = [
        (body_length(s), -(-len(operands[0]) // _lanes(s)), len(operands))
        for s, operands in body.steps
        if isinstance(s, str)
    ]
    fetched = sum(len(operands[0]) for s, operands in body.steps if isinstance(s, Fetch))
    frame = (
        LOOP_FRAME + FETCH_LENGTH * fetched + MOVE_LENGTH * (len(body.leaves) + len(body.stores) + len(body.last)) // 4
    )
    for limit in LOOP_LIMITS:
        total = frame + sum(n * (GATHER_LENGTH * count + (x if x <= limit else CALL_LENGTH)) for x, n, count in vectors)
        if total <= LOOP_SHORT:
            break
    return limit, total


@cache
def _lanes(symbol: str) -> int:
    """Lanes of the widest vector that an operation is done on."""
    return by_symbol()[symbol].width


@cache
def _calls(symbol: str) -> bool:
    """Whether an operation calls functions, which the library has for vectors of certain widths."""
    module, primitive = ir.Module(), by_symbol()[symbol]
    function = ir.Function(module, vector_function(primitive)[1], "body")
    primitive.write(ir.IRBuilder(function.append_basic_block()), list(function.args))
    return any(f.blocks for f in module.functions if f is not function)


#: an element: a vector and the lane that it is in
Lane = tuple[ir.Value, int]


class LoopWriter(KernelWriter):
    """Writes the kernel of one body into a module."""

    def __init__(self, module: ir.Module, body: LoopBody) -> None:
        self.module, self.body = module, body
        self.inline = loop_extent(body)[0]
        self.lanes: dict[int, Lane] = {}
        self._known: dict[tuple, ir.Value] = {}

    def write(self, function: ir.Function) -> None:
        body = self.body
        before, loop, done = (function.append_basic_block(n) for n in ("before", "loop", "done"))
        self.before = self.b = start = ir.IRBuilder(before)
        steps, table = function.args[4], function.args[0]
        words = [start.gep(table, [ir.Constant(I64, 8 * k)], source_etype=I8) for k in range(len(body.pointers))]
        first = [start.inttoptr(start.load(word, typ=I64), POINTER) for word in words]
        for k, leaf in enumerate(body.leaves):
            if leaf.what == NUMBER:
                self.lanes[-1 - k] = _number(leaf), 0
        self._read(FIXED, first)
        self.invariant = set(self.lanes)
        carried = self._read(CARRIED, first)

        self.b = b = ir.IRBuilder(loop)
        count = b.phi(I64)
        behind = {stride: b.phi(I64) for stride in dict.fromkeys(body.pointers) if stride}
        phis = [(b.phi(vector.type), vector, values) for vector, values in carried]
        for phi, _, values in phis:
            self.lanes.update((v, (phi, lane)) for lane, v in enumerate(values))
        moving = lambda p, stride: b.gep(p, [behind[stride]], source_etype=I8) if stride else p
        now = [moving(p, stride) for p, stride in zip(first, body.pointers, strict=True)]
        self._read(MOVING, now)
        self._operations(now)
        self._write(body.stores, now)
        following = dict(body.carried)
        for phi, vector, values in phis:
            phi.add_incoming(vector, before)
            # lanes that nothing is in are ones again, lest what is computed in them grow from step to step
            phi.add_incoming(self._vector([following[-1 - v] for v in values], vector.type.count, padded=True), b.block)
        for stride, offset in behind.items():
            offset.add_incoming(ir.Constant(I64, 0), before)
            offset.add_incoming(b.add(offset, ir.Constant(I64, stride)), b.block)
        left = b.sub(count, ir.Constant(I64, 1))
        count.add_incoming(steps, before)
        count.add_incoming(left, b.block)
        start.branch(loop)
        b.cbranch(b.icmp_signed(">", left, ir.Constant(I64, 0)), loop, done)
        b.position_at_end(done)
        self.invariant = set()
        self._write(body.last, first)
        b.ret_void()

    def _operations(self, pointers: Sequence[ir.Value]) -> None:
        result = 0
        for symbol, operands in self.body.steps:
            count = len(operands[0])
            if isinstance(symbol, Fetch):
                self._fetch(symbol, operands[0], pointers[symbol.pointer], result)
                result += count
                continue
            primitive = by_symbol()[symbol]
            for begin in range(0, count, primitive.width):
                n = min(primitive.width, count - begin)
                self.width = primitive.width if _calls(symbol) else _power(n)
                values = [self._vector(o[begin : begin + n], self.width) for o in operands]
                vector = self.apply(primitive, values)
                self.lanes.update((result + begin + lane, (vector, lane)) for lane in range(n))
            result += count

    def _fetch(self, what: Fetch, offsets: Sequence[int], pointer: ir.Value, result: int) -> None:
        b, element = self.b, ELEMENT[what.letter]
        for begin in range(0, len(offsets), WIDTH):
            some = offsets[begin : begin + WIDTH]
            vector: ir.Value = splat(element, 1, _power(len(some)))
            for lane, (offset, byte) in enumerate(zip(some, what.bytes[begin:], strict=False)):
                source, k = self.lanes[offset]
                behind = b.fptosi(b.extract_element(source, ir.Constant(I32, k)), I64)
                at = b.gep(pointer, [b.add(behind, ir.Constant(I64, byte))], source_etype=I8)
                value = b.load(b.bitcast(at, element.as_pointer()), typ=element)
                value.align = MEMORY_BYTES[what.letter]
                vector = b.insert_element(vector, value, ir.Constant(I32, lane))
            self.lanes.update((result + begin + lane, (vector, lane)) for lane in range(len(some)))

    # ---- vectors ----
    def _vector(self, values: Sequence[int], width: int, padded: bool = False) -> ir.Value:
        """These elements side by side; padded: ones in the other lanes, which else hold anything that was computed from ones."""
        sources = [self.lanes[v] for v in values]
        vector = sources[0][0]
        as_it_is = vector.type.count == width and sources == [(vector, k) for k in range(len(values))]
        if as_it_is and (len(values) == width or not padded):
            return vector
        key = (*values, width)
        if key not in self._known:
            here = self.b
            if self.invariant.issuperset(values):
                self.b = self.before
            self._known[key] = self._gathered(sources, width)
            self.b = here
        return self._known[key]

    def _gathered(self, sources: Sequence[Lane], width: int) -> ir.Value:
        vectors = {id(v): v for v, _ in sources}
        element = sources[0][0].type.element
        result: ir.Value = splat(element, 1, width)
        for vector in vectors.values():
            mine = [lane if v is vector else None for v, lane in sources] + [None] * (width - len(sources))
            if vector.type.count != width:
                vector = self.shuffled([vector], [lane or 0 for lane in mine])
                mine = [None if lane is None else k for k, lane in enumerate(mine)]
            mask = [k if lane is None else width + lane for k, lane in enumerate(mine)]
            result = self.shuffled([result, vector], mask)
        return result

    # ---- memory ----
    def _read(self, what: int, pointers: Sequence[ir.Value]) -> list[tuple[ir.Value, list[int]]]:
        """The leaves of this sort as vectors, with the values that are in their lanes."""
        found = []
        leaves = ((-1 - k, leaf) for k, leaf in enumerate(self.body.leaves) if leaf.what == what)
        for run in _runs((leaf.pointer, leaf.byte, leaf.letter, v) for v, leaf in leaves):
            (pointer, byte, letter, _), values = run[0], [v for *_, v in run]
            width = _power(len(run))
            where = self.b.gep(pointers[pointer], [ir.Constant(I64, byte)], source_etype=I8)
            if len(run) == width:
                vector = load(self.b, letter, where, width)
            else:
                vector = load_some(self.b, letter, where, _first(len(run), width))
            self.lanes.update((v, (vector, lane)) for lane, v in enumerate(values))
            found.append((vector, values))
        return found

    def _write(self, stores: Sequence[tuple[int, int, int]], pointers: Sequence[ir.Value]) -> None:
        for run in _runs((pointer, byte, self._letter(value), value) for pointer, byte, value in stores):
            (pointer, byte, letter, _), width = run[0], _power(len(run))
            where = self.b.gep(pointers[pointer], [ir.Constant(I64, byte)], source_etype=I8)
            vector = self._vector([v for *_, v in run], width)
            if len(run) == width:
                store(self.b, letter, vector, where)
            else:
                store_some(self.b, letter, vector, where, _first(len(run), width))

    def _letter(self, value: int) -> str:
        element = self.lanes[value][0].type.element
        return next(t for t, e in ELEMENT.items() if e == element)


def _number(leaf: Leaf) -> ir.Value:
    code = {"d": ("<q", "<d"), "f": ("<i", "<f"), "b": ("<b", "<?")}[leaf.letter]
    (value,) = struct.unpack(code[1], struct.pack(code[0], leaf.byte))
    return splat(ELEMENT[leaf.letter], value, WIDTH)


def _power(n: int) -> int:
    """Lanes of a vector for n elements."""
    return max(2, 1 << (n - 1).bit_length())


def _first(n: int, width: int) -> ir.Value:
    return ir.Constant(ir.VectorType(I1, width), [int(k < n) for k in range(width)])


#: pointer, byte, letter, value
Element = tuple[int, int, str, int]


def _runs(elements: Iterable[Element]) -> list[list[Element]]:
    """Elements that lie side by side, as many together as a vector holds."""
    found: list[list[Element]] = []
    for (_, letter), run in groupby(sorted(elements), lambda e: (e[0], e[2])):
        most = WIDTH * (2 if letter == "f" else 1)
        for e in run:
            last = found[-1] if found else None
            following = (last[-1][0], last[-1][1] + MEMORY_BYTES[letter], letter) if last else None
            if last is not None and following == e[:3] and len(last) < most:
                last.append(e)
            else:
                found.append([e])
    return found
