"""From a tape over arrays to an array program: when each value is computed, where it lies, and for how long."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .....expr.kind import constant_value
from .....ops import CAST, CONSTANT, TABLE
from .....tape import Tape
from ...plan import LETTER, NUMPY, SIZE
from ..axes import LOOP, LOOPS, Axes, is_native
from ..program import CONSTANTS, FIRST_INPUT, TOTALS, WORK, Host, Lanes, Phase, Program, Slots, Whole
from ..views import LOCAL, Arena, View, elements, rest_of, row_major
from .instructions import Writer
from .loops import instructions

_MATMUL, _RESHAPE, _WHERE = TABLE["matmul"], TABLE["reshape"], TABLE["where"]
_SUM, _MULTIPLY, _SQUARE = TABLE["sum"], TABLE["multiply"], TABLE["square"]


class Storage:
    """Memory that the views of a value share; free again when none of them is read any more."""

    __slots__ = ("arena", "length", "offset", "references")

    def __init__(self, arena: Arena, length: int) -> None:
        self.arena, self.length, self.references = arena, length, 0
        self.offset = arena.take(length)


def plan_arrays(tape: Tape, axes: Axes | None) -> Program:
    """`axes` None: everything on whole arrays."""
    return Planner(tape, axes).plan()


class Planner:
    """Plans one tape for one choice of lanes."""

    def __init__(self, tape: Tape, axes: Axes | None) -> None:
        count = len(tape.kinds)
        self.tape, self.axes = tape, axes or Axes(1, [None] * count, [0] * count, set(), set())
        self.lane = self.axes.lane
        self.letters = [LETTER[k.dtype] for k in tape.kinds]
        self.sizes = [SIZE[t] for t in self.letters]
        self.work, self.local, self.totals = Arena(), Arena(), Arena()
        self.constants, self.root = Arena(), self
        #: the constants of the program and of all bodies in it: where each is, and its value
        self.held: list[tuple[int, np.ndarray]] = []
        self.slots = Slots()
        self.view: dict[int, View] = {}
        self.storage: dict[int, Storage] = {}
        #: laned values turned round for this phase: rows of lanes
        self.turned: dict[tuple[int, int | None], View] = {}
        self.streams: list[int] = []
        self.phases: list[Phase] = []
        self.in_lanes = False
        self.gathered: list[tuple[int, int, int, View, int]] = []
        self.lane_work = 0
        #: instructions of the loops of a phase, counted as often as they are run
        self.looped = 0
        self.wanted: dict[int, int] = {}
        self.freed: list[tuple[int, bool, int, int]] = []
        #: slots and freed memory of all bodies
        self.inner: list[tuple[np.ndarray, np.ndarray]] = []
        #: Program.checks, of all bodies too
        self.checks: list[tuple[str, int, tuple[int, ...]]] = []
        #: results that are their second argument but where the first, one condition, does not hold
        self.masked: set[int] = set()
        self.first_output = FIRST_INPUT + len(tape.inputs)
        self.first_stream = self.first_output + len(tape.outputs)
        self.uses = [0] * count
        for args in (*tape.args, tape.outputs):
            for a in args:
                self.uses[a] += 1
        #: products a lane that are read once, to be added up over the lanes
        self.added_up = {
            a for i in self.axes.totals for a in tape.args[i][:1] if tape.kinds[a].op is _MATMUL and self.uses[a] == 1
        }
        #: products and squares that are read once, by a sum: which one
        self.contracted = {
            a: i for i, args in enumerate(tape.args) if tape.kinds[i].op is _SUM and i not in self.axes.totals for a in args
            if tape.kinds[a].op in (_MULTIPLY, _SQUARE) and self.uses[a] == 1 and self.letters[a] == "d"
        }  # fmt: skip
        self.writer = Writer(self)

    # ---- the whole road ----
    def plan(self) -> Program:
        tape = self.tape
        for k, i in enumerate(tape.inputs):
            self.view[i] = self._whole_view(FIRST_INPUT + k, i)
        self._constants()
        for k, o in enumerate(tape.outputs):
            if tape.args[o] and (self.lane[o] == LOOP or self.axes.lanes > 0):
                self.wanted.setdefault(o, k)
        for k, o in enumerate(tape.outputs):
            self._write_in_place(k, o)
        for laned, values in self._order():
            if values:
                (self._plan_lanes if laned else self._plan_whole)(values)
        delivered = []
        for k, o in enumerate(tape.outputs):
            if self.view[o].buffer != self.first_output + k:
                delivered.append((k, self.full(o), tape.kinds[o].shape, self.letters[o]))
        writer = self.writer
        return Program(
            np.array(writer.code, np.int64), np.array(writer.table, np.int64), list(writer.symbols), self.phases,
            self.work.size, self._memory_of_constants(), len(tape.inputs), delivered, len(tape.outputs), self.streams,
            writer.largest_product, self.freed, self.inner, self.checks,
        )  # fmt: skip

    def _write_in_place(self, k: int, o: int) -> None:
        """where(known, x, NaN), with one condition for all of `x`: `x` is written into the result, and NaN over it if need be."""
        kinds, args = self.tape.kinds, self.tape.args
        if kinds[o].op is not _WHERE or self.lane[o] is not None or self.wanted.get(o) != k or self.uses[o] != 1:
            return
        condition, x, other = args[o]
        value = kinds[other].kwargs.get("value") if kinds[other].op is CONSTANT else None
        if not (isinstance(value, float) and math.isnan(value) and kinds[x].shape == kinds[o].shape):
            return
        if elements(kinds[condition].shape) != 1:
            return
        base = x
        while kinds[base].op is _RESHAPE and self.uses[base] == 1:
            base = args[base][0]
        computed = args[base] and kinds[base].op.family != "movement" and kinds[base].op is not CAST
        if computed and self.uses[base] == 1 and self.lane[base] is None and self.lane[x] is None:
            self.wanted[base] = k
            self.masked.add(o)

    def _order(self) -> list[tuple[bool, list[int]]]:
        """(whether over lanes, values) phase by phase."""
        axes, levels = self.axes, max(self.axes.level, default=0)
        whole: list[list[int]] = [[] for _ in range(levels + 1)]
        lanes: list[list[int]] = [[] for _ in range(levels + 1)]
        for i, args in enumerate(self.tape.args):
            if not args:
                continue
            if i in axes.totals:
                lanes[axes.level[i] - 1].append(i)
            elif axes.lane[i] is not None and i not in axes.hosted:
                lanes[axes.level[i]].append(i)
            else:
                whole[axes.level[i]].append(i)
        return [phase for w, la in zip(whole, lanes, strict=True) for phase in ((False, w), (True, la))]

    def _constants(self) -> None:
        root = self.root
        for i, kind in enumerate(self.tape.kinds):
            if kind.op is CONSTANT:
                value: np.ndarray = np.ascontiguousarray(constant_value(kind), NUMPY[self.letters[i]])
                at = root.constants.take(value.nbytes)
                root.held.append((at, value))
                self.view[i] = View(CONSTANTS, at, row_major(kind.shape, self.sizes[i]))

    def _memory_of_constants(self) -> np.ndarray:
        memory: np.ndarray = np.zeros(self.constants.size, np.uint8)
        for at, value in self.held:
            memory[at : at + value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)
        return memory

    def _plan_whole(self, values: Sequence[int]) -> None:
        self.in_lanes = False
        writer, begin = self.writer, len(self.writer.code)
        for i in values:
            kind = self.tape.kinds[i]
            if not is_native(kind):
                begin = self._flush(begin)
                self._host(i)
            else:
                writer.write(i)
                if kind.op.name in LOOPS:
                    self.looped += instructions(kind)
                parts = writer.parts_since(begin)
                if parts:
                    first = parts[0][0]  # what comes before it, copies of operands, is for all parts
                    if first > begin:
                        self.phases.append(Whole(begin, first, self._slots()))
                    self.phases.append(Whole(first, len(writer.code), self._slots(), np.array(parts, np.int64)))
                    begin = len(writer.code)
            self._read(i)
        self._flush(begin)

    def _flush(self, begin: int) -> int:
        end = len(self.writer.code)
        if end > begin:
            self.phases.append(Whole(begin, end, self._slots(), looped=self.looped))
        self.looped = 0
        return end

    def _slots(self) -> np.ndarray:
        return self.slots.tabulated()

    def _host(self, i: int) -> None:
        kind, tape = self.tape.kinds[i], self.tape
        loop = self.lane[i] == LOOP
        operands = [(self.full(a), tape.kinds[a].shape, self.letters[a], tape.kinds[a].dtype) for a in tape.args[i]]
        result = self._stream(i) if loop else self.home(i)
        self.view[i] = result
        self.phases.append(Host(kind, operands, result, self.letters[i], loop))
        # slots named before keep their numbers: the phase after it has a table of its own
        self.slots = Slots()

    def _plan_lanes(self, values: Sequence[int]) -> None:
        self.in_lanes, self.local, self.totals, self.slots = True, Arena(), Arena(), Slots()
        self.turned, self.gathered, self.lane_work = {}, [], 0
        writer = self.writer
        begin, before, writer.largest_product = len(writer.code), writer.largest_product, 0
        for i in values:
            writer.write(i)
            self._read(i)
            self.lane_work += elements(rest_of(self.tape.kinds[i].shape, self.lane[i]))
        for i in values:
            if self.lane[i] is not None and i in self.view:
                self._keep(i)
        self.phases.append(
            Lanes(begin, len(writer.code), self._slots(), self.local.size, self.lane_work, writer.largest_product > 0,
                  self.totals.size, self.gathered)
        )  # fmt: skip
        writer.largest_product = max(writer.largest_product, before)
        self.in_lanes, self.slots = False, Slots()

    def _keep(self, i: int) -> None:
        """A laned value at the end of its loop: what is read later goes to memory."""
        view = self.view.pop(i)
        if view.buffer != LOCAL:
            self.view[i] = view
            return
        if not self.uses[i]:
            return
        kind = self.tape.kinds[i]
        target = self._whole_view(self.first_output + self.wanted[i], i) if i in self.wanted else self._stream(i)
        self.writer.move(view, target, rest_of(kind.shape, self.lane[i]), self.sizes[i])
        self.view[i] = target

    # ---- where values are ----
    def _whole_view(self, buffer: int, i: int) -> View:
        """A whole array in a buffer of its own, read along its lanes."""
        kind, lane = self.tape.kinds[i], self.lane[i]
        strides = row_major(kind.shape, self.sizes[i])
        if lane is None:
            return View(buffer, 0, strides)
        if lane == LOOP:
            return View(buffer, 0, strides, elements(kind.shape) * self.sizes[i])
        return View(buffer, 0, strides[:lane] + strides[lane + 1 :], strides[lane])

    def _stream(self, i: int) -> View:
        buffer = self.first_stream + len(self.streams)
        kind = self.tape.kinds[i]
        self.streams.append(elements(rest_of(kind.shape, self.lane[i])) * self.sizes[i])
        return self._whole_view(buffer, i)

    def full(self, i: int) -> View:
        """A value as a whole array: the axis over lanes (but not loop dims) among the others."""
        view, lane = self.view[i], self.lane[i]
        if lane is None or lane == LOOP:
            return view
        return View(view.buffer, view.offset, (*view.strides[:lane], view.step, *view.strides[lane:]))

    def home(self, i: int) -> View:
        """Memory for a value that is about to be computed."""
        kind, lane, size = self.tape.kinds[i], self.lane[i], self.sizes[i]
        if self.in_lanes and lane is not None:
            rest = rest_of(kind.shape, lane)
            if i in self.wanted and elements(rest) == 1:
                return self._whole_view(self.first_output + self.wanted[i], i)
            view = self.registers(rest, size)
            self._own(i, self._last)
            return view
        if i in self.wanted:
            return View(self.first_output + self.wanted[i], 0, row_major(kind.shape, size))
        storage = Storage(self.work, elements(kind.shape) * size)
        self._own(i, storage)
        return View(WORK, storage.offset, row_major(kind.shape, size))

    def registers(self, rest: tuple[int, ...], size: int) -> View:
        """Registers of a block."""
        self._last = Storage(self.local, elements(rest) * size)
        return View(LOCAL, self._last.offset, row_major(rest, size), size)

    def scratch(self, shape: tuple[int, ...], size: int) -> View:
        """Memory on whole arrays, or registers, that is not used again in this phase."""
        if self.in_lanes:
            return self.registers(shape, size)
        return View(WORK, self.work.take(elements(shape) * size), row_major(shape, size))

    def total(self, count: int, size: int, i: int) -> int:
        """A place among the totals for value `i`, which is what they come to."""
        offset = self.totals.take(count * size)
        home = self.home(i)
        self.view[i] = home
        self.gathered.append((offset, count, size, home, self.sizes[i]))
        return self.slots.place(TOTALS, offset, 0, True)

    def shared(self, i: int, a: int, view: View) -> None:
        """Value `i` is a view of value `a`."""
        self.view[i] = view
        if a in self.storage:
            self._own(i, self.storage[a])

    def _own(self, i: int, storage: Storage) -> None:
        self.storage[i] = storage
        storage.references += 1

    def _read(self, i: int) -> None:
        """The operands of `i` have been read once more (and `i` itself may never be)."""
        if i in self.writer.deferred:
            return
        for a in self.tape.args[i]:
            if a in self.writer.deferred:
                self.writer.deferred.discard(a)
                self._read(a)
            self.uses[a] -= 1
            if not self.uses[a]:
                self._forget(a)
        if not self.uses[i]:
            self._forget(i)

    def _forget(self, i: int) -> None:
        storage = self.storage.pop(i, None)
        if storage is not None:
            storage.references -= 1
            if not storage.references and (storage.arena is self.work or storage.arena is self.local):
                storage.arena.give_back(storage.offset, storage.length)
                end = storage.offset + storage.length
                self.freed.append((len(self.writer.code), storage.arena is self.local, storage.offset, end))

    def operand(self, view: View) -> tuple[int, int]:
        """The place of a view for an instruction, and whether its strides are scaled."""
        if view.buffer == LOCAL:
            return view.offset, 1
        if view.buffer == WORK and not self.in_lanes:
            return view.offset, 0
        return self.slots.place(view.buffer, view.offset, view.step if self.in_lanes else 0), 0


class BodyPlanner(Planner):
    """Plans the body of a loop: code on whole arrays, within the program of another planner."""

    def __init__(self, tape: Tape, outer: Planner, strides: Sequence[tuple[int, ...]]) -> None:
        """strides: of the inputs."""
        super().__init__(tape, None)
        self.root, self._strides = outer.root, strides
        self.writer.table, self.writer.symbols = outer.writer.table, outer.writer.symbols
        self._outer = outer

    def code_of(self) -> list[int]:
        """The code; `slots` and `work` say what it needs."""
        tape, writer = self.tape, self.writer
        for k, (i, strides) in enumerate(zip(tape.inputs, self._strides, strict=True)):
            self.view[i] = View(FIRST_INPUT + k, 0, strides)
        self._constants()
        for k, o in enumerate(tape.outputs):
            if tape.args[o]:
                self.wanted.setdefault(o, k)
        for i, args in enumerate(tape.args):
            if args:
                writer.write(i)
                self._read(i)
        for k, o in enumerate(tape.outputs):
            if self.view[o].buffer != self.first_output + k:
                shape = tape.kinds[o].shape
                target = View(self.first_output + k, 0, row_major(shape, self.sizes[o]))
                writer.move(self.view[o], target, shape, self.sizes[o])
        outer = self._outer.writer
        outer.largest_product = max(outer.largest_product, writer.largest_product)
        return writer.code
