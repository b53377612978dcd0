"""What one call of an array program works in, and the tables of addresses that its phases are given.

Memory is kept from call to call, so that addresses stay what they are. Small arguments and results are copied into memory of the
program's own: that costs less than to ask an array for its address.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np

from ....ops.indexing import out_of_range
from ..plan import NUMPY, SIZE
from ..threads import WAKING_WORK
from .opcodes import IN_RANGE, LANES, MOST_SLOTS, PARTS, PHASE, RUN_CODE, TOTALS_AT_ONCE, WHOLE, WORKING
from .program import FIRST_INPUT, Host, Lanes, Phase, Program
from .views import View

#: core shape and letter of an argument or result
Core = tuple[tuple[int, ...], str]
#: arguments and results up to so many bytes are copied
SMALL = 32768


def address_of(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def zeroed(size: int) -> tuple[np.ndarray, int]:
    """Bytes, and where the first multiple of 64 among their addresses is."""
    memory: np.ndarray = np.zeros(size + 64, np.uint8)
    address = address_of(memory)
    return memory, address + -address % 64


def working(slots: int) -> int:
    """Bytes of memory that a thread works in, up to where registers begin."""
    return WORKING + -(-8 * slots // 64) * 64


class Memory:
    """Buffers of a program for so many lanes."""

    def __init__(self, program: Program, shapes: Sequence[Core], count: int, lanes: int) -> None:
        """shapes: of arguments and results that are copied where they are small; count: of all of them."""
        self.program, self.lanes = program, lanes
        self.where: np.ndarray = np.zeros(FIRST_INPUT + count + len(program.streams), np.int64)
        work, self.where[0] = zeroed(program.work_bytes)
        self.held: list[np.ndarray] = [work, program.constants]
        self.where[1] = address_of(program.constants)
        #: the first index out of range that every check has found
        self.faults: np.ndarray = np.full(max(1, len(program.checks)), IN_RANGE)
        self.where[3] = address_of(self.faults)
        #: one an argument or result: memory of the program's own, None where it is used as it lies
        self.own: list[np.ndarray | None] = [None] * count
        for k, (shape, letter) in enumerate(shapes):
            if math.prod(shape) * SIZE[letter] <= SMALL:
                own: np.ndarray = np.zeros(shape, NUMPY[letter])
                self.own[k], self.where[FIRST_INPUT + k] = own, address_of(own)
        for k, each in enumerate(program.streams):
            stream, self.where[FIRST_INPUT + count + k] = zeroed(each * lanes)
            self.held.append(stream)
        self.slots = [self._empty_slots(phase) for phase in program.phases]
        #: a phase's totals: where they are added up to
        self.wanted: list[np.ndarray] = [
            np.array([(o, n, s, 0, t) for o, n, s, _, t in phase.totals], np.int64).reshape(-1, 5)
            if isinstance(phase, Lanes)
            else np.empty((0, 5), np.int64)
            for phase in program.phases
        ]
        #: (lanes in a block, pieces) of every phase, for so many lanes
        self.cuts: list[tuple[int, int]] | None = None
        self.cut_for, self.work = 0, 0
        #: what tells the interpreter the whole program, and for how many threads there is room
        self.described: np.ndarray | None = None
        self.threads = 0
        self._in_use: list[np.ndarray] = []
        self._placed = False

    @staticmethod
    def _slots(program: Program) -> int:
        return max((len(p.slots) for p in program.phases if not isinstance(p, Host)), default=0)

    @staticmethod
    def _empty_slots(phase: Phase) -> np.ndarray:
        if isinstance(phase, Host):
            return np.empty((0, 3), np.int64)
        slots: np.ndarray = np.empty((len(phase.slots), 3), np.int64)
        slots[:, 1] = phase.slots[:, 2]
        slots[:, 2] = phase.slots[:, 3] * (phase.total_bytes if isinstance(phase, Lanes) else 0)
        return slots

    def cut(self, cuts: list[tuple[int, int]], lanes: int, work: int) -> None:
        """Memory for the totals of all pieces; work: what threads may share."""
        self.cuts, self.cut_for, self.work = cuts, lanes, work
        sizes = [
            phase.total_bytes * pieces
            for phase, (_, pieces) in zip(self.program.phases, cuts, strict=True)
            if isinstance(phase, Lanes)
        ]
        totals, self.where[2] = zeroed(max(sizes, default=0))
        self.held.append(totals)
        self._placed, self.described = False, None

    def place(self, at: int, array: np.ndarray) -> None:
        """An argument or result where it lies."""
        address = address_of(array)
        if self.where[FIRST_INPUT + at] != address:
            self.where[FIRST_INPUT + at] = address
            self._placed = False

    def tabulate(self) -> None:
        """The tables of addresses, where an address has changed."""
        if self._placed:
            return
        where = self.where
        for phase, slots, wanted in zip(self.program.phases, self.slots, self.wanted, strict=True):
            if isinstance(phase, Host):
                continue
            np.add(where[phase.slots[:, 0]], phase.slots[:, 1], out=slots[:, 0])
            if isinstance(phase, Lanes):
                for row, (*_, view, _) in zip(wanted, phase.totals, strict=True):
                    row[3] = where[view.buffer] + view.offset
        self._placed = True

    def describe(self, addresses: np.ndarray, lanes: int, threads: int) -> int:
        """Where the words are that tell the interpreter the whole program (opcodes: RUN_…), for up to so many threads."""
        if self.described is not None and threads <= self.threads:
            return address_of(self.described)
        program, cuts = self.program, self.cuts or []
        registers = [p.lane_bytes * c[0] for p, c in zip(program.phases, cuts, strict=True) if isinstance(p, Lanes)]
        # the bodies of loops, of which there are none over lanes, have slots of their own behind a program's
        before = working(self._slots(program) + MOST_SLOTS)
        size = before + -(-max(registers, default=0) // 64) * 64
        workspaces, at = zeroed(size * threads)
        words = [0] * RUN_CODE + [address_of(program.code), address_of(addresses), address_of(program.table)]
        words += [int(self.where[0]), int(self.where[2]), at, size, before]
        held = [workspaces, addresses]
        for phase, slots, wanted, (block, pieces) in zip(program.phases, self.slots, self.wanted, cuts, strict=True):
            if isinstance(phase, Host):
                words += [0] * PHASE
                continue
            kind, work, parts, total_bytes, runs, run_work = WHOLE, 0, 0, 0, 0, 0
            if isinstance(phase, Lanes):
                kind, work, total_bytes = LANES, phase.work * lanes // pieces, phase.total_bytes
                elements = sum(wanted[:, 1].tolist())
                runs = sum(-(-n // TOTALS_AT_ONCE) for n in wanted[:, 1].tolist())
                run_work = 4 * elements * pieces // max(1, runs)
            elif phase.parts is not None:
                kind, pieces, work, parts = PARTS, len(phase.parts), WAKING_WORK, address_of(phase.parts)
            words += [
                kind, phase.begin, phase.end, address_of(slots), len(slots), block, lanes, pieces, work, parts, total_bytes,
                address_of(wanted), runs, run_work,
            ]  # fmt: skip
        self.described, self.threads = np.array(words, np.int64), threads
        self._in_use = held
        return address_of(self.described)

    def check(self) -> None:
        """ShapeError if an index was out of range."""
        if not self.program.checks:
            return
        found = self.faults != IN_RANGE
        if found.any():
            with np.errstate(
                invalid="ignore"
            ):  # NaN becomes the least integer, as where the numpy machine makes an integer of it
                index = self.faults[found].astype(np.int64)[0]
            name, axis, shape = self.program.checks[int(found.argmax())]
            raise out_of_range(name, index, axis, shape)

    def array(self, view: View, shape: tuple[int, ...], letter: str, lanes: int | None) -> np.ndarray:
        """The array that a view is; with the lanes in front where they are loop dims."""
        strides = view.strides
        if lanes is not None:
            shape, strides = (lanes, *shape), (view.step, *strides)
        if 0 in shape:
            return np.empty(shape, NUMPY[letter])
        ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
        low = sum(e for e in ends if e < 0)
        size = sum(map(abs, ends)) + SIZE[letter]
        memory = (ctypes.c_char * size).from_address(int(self.where[view.buffer]) + view.offset + low)
        return np.ndarray(shape, NUMPY[letter], memory, -low, strides)  # type: ignore[arg-type]
