"""A program as steps: every address worked out, every instruction a launch or a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ....errors import UnsupportedError
from ...cpu.arrays import opcodes as op
from ...cpu.arrays.compiling.groups import Body as GroupBody
from ...cpu.arrays.compiling.groups import Pointer
from ...cpu.arrays.program import FIRST_INPUT, Host, Lanes, Phase, Program, Whole
from ...cpu.arrays.views import row_major
from ...cpu.plan import SIZE
from . import folding, products, tables
from .launches import written
from .memory import Layout
from .nests import Address, Nest, Operand, Words
from .sources import each, primitive
from .steps import Body, Launch, Loop, OnHost, Reversal, Step

LETTER = {8: "d", 4: "f", 1: "b"}


@dataclass(frozen=True)
class Frame:
    """What places in code count from: bytes, lanes, addresses of slots."""

    base: int
    lanes: int
    slots: Sequence[Address]
    in_lanes: bool = False
    #: nothing has been added to the totals yet
    first: bool = True

    def place(self, place: int) -> Address:
        return Address(self.base + place * self.lanes) if place >= 0 else self.slots[-1 - place]

    def scale(self, scaled: int) -> int:
        return self.lanes if scaled else 1

    def operand(self, letter: str, place: int, scaled: int, strides: Sequence[int], *unscaled: int) -> Operand:
        """Strides, and behind them some that are in bytes as they are."""
        scale = self.scale(scaled)
        return Operand(letter, self.place(place), (*(s * scale for s in strides), *unscaled))


class Lowering:
    """Lowers one program for so many lanes. groups: bodies of its kernels group0, group1, …"""

    def __init__(self, program: Program, layout: Layout, groups: Sequence[GroupBody]) -> None:
        self.program, self.layout, self.groups = program, layout, groups
        self.code: list[int] = program.code.tolist()
        self.words = Words()
        self.steps: list[Step] = []

    def lower(self, phase: Phase, lanes: int, block: int) -> None:
        """block: lanes that are worked on at once."""
        if isinstance(phase, Host):
            self.steps.append(OnHost(phase, lanes))
            return
        rows, where = phase.slots.tolist(), self.layout.where
        if isinstance(phase, Whole):
            frame = Frame(where[0], 1, [Address(where[b] + offset) for b, offset, *_ in rows])
            self.run(self.code[phase.begin : phase.end], frame)
            return
        for lane in range(0, lanes, block):
            slots = [Address(where[b] + offset + lane * step) for b, offset, step, _ in rows]
            frame = Frame(self.layout.registers, min(block, lanes - lane), slots, True, lane == 0)
            self.run(self.code[phase.begin : phase.end], frame)
        self._deliver(phase)

    def _deliver(self, phase: Lanes) -> None:
        """Totals go to where they are read."""
        for offset, count, size, view, wide in phase.totals:
            found, wanted = LETTER[size], LETTER[wide]
            source = Operand(found, Address(self.layout.where[2] + offset), (size,))
            target = Operand(wanted, Address(self.layout.where[view.buffer] + view.offset), (wide,))
            if found == wanted:
                self.move([count], source, target)
            else:
                self.each_of("cast_d_f", [count], [target, source])

    def deliver(self, lanes: int | None) -> None:
        """Results that no instruction writes go to where they are fetched; lanes: in front of them, if they have any."""
        for k, view, core, letter in self.program.delivered:
            size = SIZE[letter]
            sizes, strides = ((), ()) if lanes is None else ((lanes,), (view.step,))
            sizes, strides = (*sizes, *core), (*strides, *view.strides)
            into = self.layout.where[FIRST_INPUT + self.program.inputs + k]
            source = Operand(letter, Address(self.layout.where[view.buffer] + view.offset), strides)
            if 0 not in sizes:
                self.move(sizes, source, Operand(letter, Address(into), row_major(sizes, size)))

    def run(self, code: Sequence[int], frame: Frame) -> None:
        at = 0
        while at < len(code):
            words = code[at : at + code[at + 1]]
            HANDLERS[words[0]](self, words, frame)
            at += len(words)

    def launch(self, step: Step) -> None:
        self.steps.append(step)

    # ---- elementwise ----
    def nest(self, body: GroupBody, nest: Nest) -> None:
        made = written(each, body, len(nest.kept))
        self.launch(Launch(made, "dfbw", (self.words.put(nest.words()),), nest.results))

    def each_of(self, symbol: str, sizes: Sequence[int], operands: Sequence[Operand], fold: bool = False) -> None:
        """A kernel on every element; the result first."""
        found = primitive(symbol)
        reads = operands if fold else operands[1:]
        pointers = [Pointer(operands[0].letter, False, fold), *(Pointer(o.letter, False, True) for o in operands[1:])]
        values = tuple(-1 - k for k in range(len(operands) - len(reads), len(operands)))
        body = GroupBody(tuple(pointers), ((found.symbol, values),), ((0, 0),))
        self.nest(body, Nest.of(sizes, operands))

    def move(self, sizes: Sequence[int], source: Operand, target: Operand) -> None:
        body = GroupBody((Pointer(source.letter, False, True), Pointer(target.letter, False, False)), (), ((1, -1),))
        self.nest(body, Nest.of(sizes, [source, target]))


def _call(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    symbol, rows = w.program.symbols[words[2]], words[3]
    found = primitive(symbol)
    letters = [found.result, *found.operands[found.fold :]]
    run = rows * frame.lanes if rows > 1 else frame.lanes
    operands = [Operand(t, frame.place(place), (SIZE[t],)) for t, place in zip(letters, words[4:8], strict=False)]
    w.each_of(symbol, [run], operands, found.fold)


def _each(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    symbol, fold, count, rows, loops = w.program.symbols[words[2]], words[3] >= 16, words[3] & 15, words[4], words[5]
    found = primitive(symbol)
    letters = [found.result, *found.operands[found.fold :]]
    sizes, width = [*words[6 : 6 + loops], rows * frame.lanes if rows > 1 else frame.lanes], 4 + loops
    operands = []
    for o in range(count):
        place, scaled, _, step, *strides = words[6 + loops + o * width : 6 + loops + (o + 1) * width]
        operands.append(frame.operand(letters[o], place, scaled, strides, step))
    if fold and any(s == 0 and n > 1 for s, n in zip(operands[0].strides, sizes, strict=True)):
        folding.in_memory(w, symbol, sizes, operands)
    else:
        w.each_of(symbol, sizes, operands, fold)


def _group(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    body, rows, loops = w.groups[int(w.program.symbols[words[2]].removeprefix("group"))], words[4], words[5]
    sizes, at, operands = [*words[6 : 6 + loops], rows * frame.lanes if rows > 1 else frame.lanes], 6 + loops, []
    for pointer in body.pointers:
        place, scaled, *strides = words[at : at + 2 + loops]
        step = 0 if pointer.constant else SIZE[pointer.letter]
        operands.append(frame.operand(pointer.letter, place, scaled, strides, step))
        at += 2 + loops
    w.nest(body, Nest.of(sizes, operands))


# ---- copies ----
def _move(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    size, length, loops = words[2:5]
    run = length if length > 0 else frame.lanes if length == 0 else -length * frame.lanes
    ends = [words[k : k + 3 + loops] for k in (5 + loops, 8 + 2 * loops)]
    source, target = (
        frame.operand(LETTER[size], place, scaled, strides, step) for place, scaled, step, *strides in ends
    )
    w.move([*words[5 : 5 + loops], run], source, target)


def _fill(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """A copy of one value; or where a condition may forbid it, of what lies there."""
    size, rows, place, bits, conditional = words[2:7]
    letter = LETTER[size]
    run = rows * frame.lanes if rows > 1 else frame.lanes
    value = w.layout.value(bits.to_bytes(8, "little", signed=True)[:size])
    target, source = Operand(letter, frame.place(place), (size,)), Operand(letter, Address(value), (0,))
    if conditional:
        w.each_of(f"where_{letter}", [run], [target, Operand("b", frame.place(words[7]), (0,)), target, source])
    else:
        w.move([run], source, target)


# ---- loops ----
def _body(w: Lowering, code: Sequence[int], rows: Sequence[int], place: int, frame: Frame) -> Body:
    """rows: of a slot the place at even and at odd turns, bytes from step to step, whose turns."""
    slots: list[Address] = []
    words: list[int] = []
    count = len(rows) // 4
    moving = {k for k in range(count) if rows[4 * k] != rows[4 * k + 1] or rows[4 * k + 2]}
    first = w.words.put([0] * len(moving))
    for k in range(count):
        even, odd, step, whose = rows[4 * k : 4 * k + 4]
        if k in moving:
            slots.append(Address(0, first + len(words) // 6))
            words += [*frame.place(even), *frame.place(odd), step, whose]
        else:
            slots.append(frame.place(even))
    at, before = w.words.put(words), w.steps
    w.steps = []
    w.run(code, Frame(frame.place(place).offset, 1, slots))
    body, w.steps = Body(w.steps, at, first, len(moving)), before
    return body


def _loop(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    begin, steps, reverse, slots, place = words[2:7]
    body = _body(w, words[begin:], words[7 : 7 + 4 * slots], place, frame)
    w.launch(Loop(body, steps, bool(reverse)))


def _reversal(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    begin, middle, steps, reverse, checkpoints, slots, back_slots, place, back_place, size = words[2:12]
    even, odd, store, _ = (frame.place(p).offset for p in words[12:16])
    rows = [16, 16 + 4 * slots, 16 + 4 * (slots + back_slots)]
    first, second = (words[a:b] for a, b in pairwise(rows))
    advance = _body(w, words[begin : begin + middle], first, place, frame)
    back = _body(w, words[begin + middle :], second, back_place, frame)
    w.launch(Reversal(advance, back, steps, bool(reverse), checkpoints, size, (even, odd), store))


def _unknown(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    raise UnsupportedError(
        f'machine="cuda" has nothing for instruction {words[0]} of an array program; use machine="cpu"'
    )


Handler = Callable[[Lowering, Sequence[int], Frame], None]
HANDLERS: dict[int, Handler] = {
    op.CALL: _call,
    op.EACH: _each,
    op.GROUP: _group,
    op.MOVE: _move,
    op.FILL: _fill,
    op.FOLD: folding.fold,
    op.REDUCE: folding.reduce,
    op.TOTAL: folding.total,
    op.PRODUCT: products.product,
    op.TAKE: tables.take,
    op.ADD_AT: tables.add_at,
    op.GATHER: tables.lookup,
    op.SCATTER_ADD: tables.lookup,
    op.LOOP: _loop,
    op.REVERSAL: _reversal,
    op.NATIVE_LOOP: _unknown,
    op.NATIVE_REVERSAL: _unknown,
}
