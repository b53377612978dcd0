"""A tape over arrays made ready for the cpu: chooses the lanes, plans a program for them, and runs its phases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ....tape import Tape
from ....tape.lower import lower
from ...protocol import Signature
from ..blocks import block_size
from ..library import library
from ..plan import LETTER, NUMPY, SIZE
from ..threads import share
from .axes import best_axis, is_native, over_loop
from .planner import plan_arrays
from .program import FIRST_INPUT, Host, Lanes, Program, Whole
from .views import View

#: registers of a block that multiplies by matrices: more lanes make better use of a matrix than the nearest cache does
PRODUCT_BYTES = 2 * 1024 * 1024
#: lanes of such a block: a multiple of 32 (BLAS)
LEAST_PRODUCT_LANES, MOST_PRODUCT_LANES = 32, 128
#: pieces with totals of their own, and bytes that these may take
MOST_PIECES, TOTAL_BYTES = 64, 32 * 1024 * 1024


class ArrayExecutable:
    """May be called from several threads at once."""

    def __init__(self, tape: Tape) -> None:
        self.signature = Signature(tape)
        self.tape = lower(tape, lambda kind: not is_native(kind))
        self.letters = [LETTER[self.tape.kinds[i].dtype] for i in self.tape.inputs]
        self.out_letters = [LETTER[self.tape.kinds[o].dtype] for o in self.tape.outputs]
        self._made: dict[tuple[bool, ...] | None, Ready] = {}

    @property
    def register_bytes(self) -> int:
        """Bytes that a call for one point works in, for one thread."""
        return self._ready(None, 1).bytes_for(1)

    def _ready(self, varying: tuple[bool, ...] | None, points: int) -> Ready:
        made = self._made.get(varying)
        if made is None:
            axes = best_axis(self.tape) if varying is None else over_loop(self.tape, varying, -1)
            made = self._made[varying] = Ready(plan_arrays(self.tape, axes), axes.lanes if axes else 1)
        return made

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        arrays, loop = self.signature.bind(values)
        if out is not None:
            self.signature.check_out(out, loop)
        points = math.prod(loop)
        varying: tuple[bool, ...] | None = None
        if points != 1:
            owns = [a.shape[: a.ndim - len(core)] for a, (_, core, _) in zip(arrays, self.signature.takes, strict=True)]
            varying = tuple(math.prod(own) != 1 for own in owns)
            arrays = [
                np.broadcast_to(a, (*loop, *core)) if v and own != loop else a
                for a, own, v, (_, core, _) in zip(arrays, owns, varying, self.signature.takes, strict=True)
            ]
        inputs = [np.ascontiguousarray(a, NUMPY[t]) for a, t in zip(arrays, self.letters, strict=True)]
        outputs = []
        for k, ((core, _), letter) in enumerate(zip(self.signature.gives, self.out_letters, strict=True)):
            target = out[k] if out is not None else None
            if (
                target is None
                or not target.flags.c_contiguous
                or target.dtype != NUMPY[letter]
                or any(np.may_share_memory(target, x) for x in inputs)
            ):
                target = np.empty((*loop, *core), NUMPY[letter])
            outputs.append(target)
        if points:
            self._ready(varying, points).run(inputs, outputs, points)
        if out is not None:
            for buffer, result in zip(out, outputs, strict=True):
                if buffer is not result:
                    buffer[...] = result
            return list(out)
        return [r if r.dtype == d else r.astype(d) for r, (_, d) in zip(outputs, self.signature.gives, strict=True)]


class _Memory:
    """What one call works in."""

    __slots__ = ("streams", "totals", "work")

    def __init__(self, program: Program) -> None:
        self.work: np.ndarray = np.zeros(program.work_bytes + 64, np.uint8)
        self.totals: np.ndarray = np.empty(0, np.uint8)
        self.streams: list[np.ndarray] = [np.empty(0, np.uint8) for _ in program.streams]


class Ready:
    """A program with the addresses that it needs."""

    def __init__(self, program: Program, lanes: int) -> None:
        from . import blas

        self.program, self.lanes = program, lanes
        products = dict(zip(("dgemm", "sgemm"), blas.addresses(), strict=True)) if program.uses_products else {}
        self.addresses = np.array([products.get(s) or library().address(s) for s in program.symbols] or [0], np.int64)
        self._rest = blas.one_thread if program.uses_products else nullcontext
        self._spare: list[_Memory] = []
        self._workspaces: list[np.ndarray] = []

    def bytes_for(self, points: int) -> int:
        """Bytes of memory that a call works in, on one thread."""
        lanes = points if self.lanes < 0 else self.lanes
        total = self.program.work_bytes + sum(self.program.streams) * lanes
        registers = 0
        for phase in self.program.phases:
            if isinstance(phase, Lanes):
                block = self._block(phase, lanes)
                registers = max(registers, block * phase.lane_bytes)
                total += phase.total_bytes * self._pieces(phase, lanes, block)
        return total + registers

    def run(self, inputs: list[np.ndarray], outputs: list[np.ndarray], points: int) -> None:
        program = self.program
        lanes = points if self.lanes < 0 else self.lanes
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = _Memory(program)
        for k, each in enumerate(program.streams):
            if memory.streams[k].size < each * lanes:
                memory.streams[k] = np.empty(each * lanes, np.uint8)
        buffers = [memory.work, program.constants, memory.totals, *inputs, *outputs, *memory.streams]
        where = np.array([b.ctypes.data for b in buffers], np.int64)
        where[0] += -where[0] % 64
        with self._rest():
            for phase in program.phases:
                if isinstance(phase, Whole):
                    self._whole(phase, where)
                elif isinstance(phase, Lanes):
                    self._over_lanes(phase, where, memory, lanes)
                else:
                    self._host(phase, where, lanes)
        for k, view, shape, letter in program.delivered:
            loop = (points,) if self.lanes < 0 else ()
            outputs[k].reshape((*loop, *shape))[...] = _array(where, view, shape, letter, lanes if loop else None)
        self._spare.append(memory)

    def _slots(self, table: np.ndarray, where: np.ndarray, own: int = 0) -> np.ndarray:
        slots = np.empty((len(table), 3), np.int64)
        slots[:, 0] = where[table[:, 0]] + table[:, 1]
        slots[:, 1] = table[:, 2]
        slots[:, 2] = table[:, 3] * own
        return slots

    def _whole(self, phase: Whole, where: np.ndarray) -> None:
        from .interpreter import SCRATCH, run_parts, run_whole

        program, slots = self.program, self._slots(phase.slots, where)
        if phase.parts is None:
            scratch = self._workspace(SCRATCH + 128)
            run_whole(program.code, phase.begin, phase.end, self.addresses, program.table, slots, where[0], scratch)
            self._workspaces.append(scratch)
            return
        parts, base = phase.parts, where[0]

        def work(order: np.ndarray) -> None:
            run_parts(program.code, parts, self.addresses, program.table, slots, base, order)

        share(work, len(parts), 1, 1 << 20)

    def _block(self, phase: Lanes, lanes: int) -> int:
        if not phase.products:
            return block_size(phase.lane_bytes, lanes)
        fitting = PRODUCT_BYTES // max(1, phase.lane_bytes) // LEAST_PRODUCT_LANES * LEAST_PRODUCT_LANES
        return min(max(LEAST_PRODUCT_LANES, min(MOST_PRODUCT_LANES, fitting)), -(-lanes // 16) * 16)

    @staticmethod
    def _pieces(phase: Lanes, lanes: int, block: int) -> int:
        """How many pieces: the same at any number of threads, because every one adds up totals of its own."""
        blocks = -(-lanes // block)
        if not phase.total_bytes:
            return blocks
        return max(1, min(blocks, MOST_PIECES, TOTAL_BYTES // phase.total_bytes))

    def _over_lanes(self, phase: Lanes, where: np.ndarray, memory: _Memory, lanes: int) -> None:
        from .interpreter import SCRATCH, add_up, run_lanes

        program, block = self.program, self._block(phase, lanes)
        pieces = self._pieces(phase, lanes, block)
        if memory.totals.size < pieces * phase.total_bytes:
            memory.totals = np.empty(pieces * phase.total_bytes, np.uint8)
        where[2] = memory.totals.ctypes.data
        slots = self._slots(phase.slots, where, phase.total_bytes)
        size = phase.lane_bytes * block + SCRATCH + 128

        def work(order: np.ndarray) -> None:
            workspace = self._workspace(size)
            run_lanes(
                program.code,
                phase.begin,
                phase.end,
                self.addresses,
                program.table,
                slots,
                workspace,
                block,
                lanes,
                pieces,
                order,
            )
            self._workspaces.append(workspace)

        share(work, pieces, 1, phase.work * lanes // pieces)
        if phase.totals:
            wanted = np.array([(o, n, s, where[v.buffer] + v.offset, t) for o, n, s, v, t in phase.totals], np.int64)
            add_up(where[2], pieces, phase.total_bytes, wanted)

    def _host(self, phase: Host, where: np.ndarray, lanes: int) -> None:
        count = lanes if phase.loop else None
        operands = []
        for view, shape, letter, dtype in phase.operands:
            array = _array(
                where, view, shape, letter, lanes if phase.loop and view.step else (1 if phase.loop else None)
            )
            array = array if phase.loop else array[None]
            operands.append(array.astype(np.int64) if dtype == "int64" else array)
        with np.errstate(all="ignore"):
            rank = len(phase.kind.shape)
            if phase.kind.op.family == "elementwise":
                operands = [a.reshape(a.shape[0], *(1,) * (rank + 1 - a.ndim), *a.shape[1:]) for a in operands]
            result = np.asarray(phase.kind.op.numpy(*operands, **phase.kind.kwargs))
        target = _array(where, phase.result, phase.kind.shape, phase.letter, count)
        target[...] = result if phase.loop else result[0]

    def _workspace(self, size: int) -> np.ndarray:
        while self._workspaces:
            try:
                found = self._workspaces.pop()
            except IndexError:
                break
            if found.size >= size:
                return found
        return np.zeros(size, np.uint8)


def _array(where: np.ndarray, view: View, shape: tuple[int, ...], letter: str, lanes: int | None) -> np.ndarray:
    """The array that a view of a buffer is; with the lanes in front where they are loop dims."""
    import ctypes

    full, strides = shape, view.strides
    if lanes is not None:
        full, strides = (lanes, *shape), (view.step, *view.strides)
    if 0 in full:
        return np.empty(full, NUMPY[letter])
    low = sum(min(0, (n - 1) * s) for n, s in zip(full, strides, strict=True))
    high = sum(max(0, (n - 1) * s) for n, s in zip(full, strides, strict=True)) + SIZE[letter]
    begin = int(where[view.buffer]) + view.offset + low
    memory = (ctypes.c_char * (high - low)).from_address(begin)
    return np.ndarray(full, NUMPY[letter], memory, -low, strides)
