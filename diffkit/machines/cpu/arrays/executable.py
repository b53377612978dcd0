"""A tape over arrays made ready for the cpu: chooses the lanes, plans a program for them, and runs its phases."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ....tape import Tape
from ....tape.lower import lower
from ...numpy import call
from ...protocol import Signature
from ..blocks import block_size
from ..library import library
from ..plan import LETTER, NUMPY, SIZE
from ..team import PARALLEL_WORK
from ..threads import WAKING_WORK, gather, interruptible, useful_threads
from .axes import best_axis, is_native, over_loop
from .compiling.tiers import Tiers
from .memory import SMALL, Core, Memory, address_of
from .opcodes import LEAST_PRODUCT_LANES, MOST_PRODUCT_LANES
from .planning.loops import has_loops
from .planning.planner import plan_arrays
from .program import Host, Lanes, Phase, Program, Whole

#: registers of a block that multiplies by matrices: more lanes make better use of a matrix than the nearest cache does
PRODUCT_BYTES = 2 * 1024 * 1024
#: pieces with totals of their own, and bytes that these may take
MOST_PIECES, TOTAL_BYTES = 64, 32 * 1024 * 1024
#: instructions of loops (a second of the interpreter's time, a tenth of kernels') that are worth handing to another thread, so
#: that Ctrl-C is heeded
LONG = 20_000_000


class ArrayExecutable:
    """May be called from several threads at once."""

    def __init__(self, tape: Tape) -> None:
        self.signature = Signature(tape)
        self.tape = lower(tape, lambda kind: not is_native(kind))
        kinds = self.tape.kinds
        self.takes = [(kinds[i].shape, LETTER[kinds[i].dtype]) for i in self.tape.inputs]
        self.gives = [(kinds[o].shape, LETTER[kinds[o].dtype]) for o in self.tape.outputs]
        self._made: dict[tuple[bool, ...] | None, Ready] = {}

    @property
    def register_bytes(self) -> int:
        """Bytes that a call for one point works in, for one thread."""
        return self.point().bytes_for(1)

    def point(self) -> Ready:
        """The program for a single point."""
        return self._ready(None)

    def _ready(self, varying: tuple[bool, ...] | None) -> Ready:
        made = self._made.get(varying)
        if made is None:
            axes = best_axis(self.tape) if varying is None else over_loop(self.tape, varying, -1)
            program = plan_arrays(self.tape, axes)
            made = self._made[varying] = Ready(program, axes.lanes if axes else 1, self.takes, self.gives)
        return made

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        arrays, loop = self.signature.bind(values)
        if out is not None:
            self.signature.check_out(out, loop)
        points = math.prod(loop)
        if points > 1 and has_loops(self.tape):
            return self._one_by_one(arrays, loop, out)
        if points == 1:
            ready, varying = self.point(), None
            if loop:
                arrays = [a.reshape(core) for a, (core, _) in zip(arrays, self.takes, strict=True)]
        else:
            owns = [a.shape[: a.ndim - len(core)] for a, (core, _) in zip(arrays, self.takes, strict=True)]
            varying = tuple(math.prod(own) != 1 for own in owns)
            arrays = [
                np.broadcast_to(a, (*loop, *core)) if v and own != loop else a
                for a, own, v, (core, _) in zip(arrays, owns, varying, self.takes, strict=True)
            ]
            ready = self._ready(varying) if points else None  # type: ignore[assignment]
        if ready is None:
            results = [np.empty((0, *core), NUMPY[t]) for core, t in self.gives]
        else:
            results = ready.run(arrays, self._targets(arrays, out, points), points)
        shaped = [r.reshape((*loop, *core)) for r, (core, _) in zip(results, self.gives, strict=True)]
        if out is None:
            return [r if r.dtype == d else r.astype(d) for r, (_, d) in zip(shaped, self.signature.gives, strict=True)]
        for buffer, result in zip(out, shaped, strict=True):
            if buffer.ctypes.data != result.ctypes.data or buffer.strides != result.strides:
                buffer[...] = result
        return list(out)

    def _one_by_one(
        self, arrays: Sequence[np.ndarray], loop: tuple[int, ...], out: Sequence[np.ndarray] | None
    ) -> list[np.ndarray]:
        """Loops (scan) are run for one point after the other: each is long enough to be worth a call."""
        wide = [np.broadcast_to(a, (*loop, *core)) for a, (core, _) in zip(arrays, self.takes, strict=True)]
        gives = self.signature.gives
        results = list(out) if out is not None else [np.empty((*loop, *core), d) for core, d in gives]
        overlap = out is not None and any(np.may_share_memory(r, a) for r in results for a in wide)
        targets = [np.empty_like(r) for r in results] if overlap else results
        ready = self.point()
        for at in np.ndindex(*loop):
            for target, found in zip(targets, ready.run([w[at] for w in wide], [None] * len(gives), 1), strict=True):
                target[at] = found
        if overlap:
            for r, target in zip(results, targets, strict=True):
                r[...] = target
        return results

    def _targets(
        self, arrays: Sequence[np.ndarray], out: Sequence[np.ndarray] | None, points: int
    ) -> list[np.ndarray | None]:
        """The caller's buffers, where the program can write into them."""
        targets: list[np.ndarray | None] = [None] * len(self.gives)
        for k, buffer in enumerate(out or ()):
            core, letter = self.gives[k]
            fits = buffer.flags.c_contiguous and buffer.dtype == NUMPY[letter]
            if fits and not any(np.may_share_memory(buffer, a) for a in arrays):
                targets[k] = buffer.reshape(core if points == 1 else (points, *core))
        return targets


class Ready:
    """A program with the addresses that it needs. May be run from several threads at once."""

    def __init__(
        self,
        program: Program,
        lanes: int,
        takes: Sequence[Core],
        gives: Sequence[Core],
        groups: dict[str, int] | None = None,
    ) -> None:
        """groups: addresses of the kernels that a program with groups calls."""
        from .interpreting import blas
        from .interpreting.interpreter import run_phases, table_for
        from .interpreting.tiling import table

        #: lanes < 0: as many as there are points
        self.program, self.lanes, self.takes, self.gives = program, lanes, takes, gives
        own = {s: address_of(table(s)) for s in program.symbols if s.startswith(("gemm_", "tiles_"))}
        own.update(groups or {})
        self.addresses = table_for(program, [own.get(s) or library().address(s) for s in program.symbols])
        self._tiers = Tiers(program, lambda p, found: Ready(p, lanes, takes, gives, found)) if groups is None else None
        self._resting = blas.OneThread if program.largest_product > blas.SHARED else nullcontext
        self._run_phases = run_phases
        self._spare: list[Memory] = []
        self._segments = _segments(program.phases)

    def bytes_for(self, points: int) -> int:
        """Bytes of memory that a call works in, on one thread."""
        lanes = points if self.lanes < 0 else self.lanes
        total, registers = self.program.work_bytes + sum(self.program.streams) * lanes, 0
        for phase in self.program.phases:
            if isinstance(phase, Lanes):
                block = self._block(phase, lanes)
                registers = max(registers, block * phase.lane_bytes)
                total += phase.total_bytes * self._pieces(phase, lanes, block)
        return total + registers

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None, skip: int = 0) -> Sequence[Any]:
        """Results for one point, but for the first `skip`, written into `out` if given.

        Values are numbers, or arrays of exactly the core shape and dtype; nothing is checked.
        """
        targets: list[np.ndarray | None] = [None] * len(self.gives)
        if out is None:
            return [r if r.ndim else r[()] for r in self.run(values, targets, 1)[skip:]]
        for k, buffer in enumerate(out, skip):
            core, letter = self.gives[k]
            # a small result is copied when all is read; a large one is written while arguments may still be read
            if math.prod(core) * SIZE[letter] <= SMALL or (
                buffer.flags.c_contiguous
                and buffer.dtype == NUMPY[letter]
                and not any(np.may_share_memory(buffer, v) for v in values)
            ):
                targets[k] = buffer
        for buffer, result in zip(out, self.run(values, targets, 1)[skip:], strict=True):
            if buffer is not result:
                buffer[...] = result
        return out

    def run(self, values: Sequence[Any], targets: Sequence[np.ndarray | None], points: int) -> list[np.ndarray]:
        """Results of shape (points, *core), or the core shape where there is one point."""
        if self._tiers is not None:
            fused = self._tiers.fused()
            if fused is not None:
                return fused.run(values, targets, points)
        begun = time.perf_counter()
        lanes, loop = (points, (points,)) if self.lanes < 0 else (self.lanes, ())
        memory = self._memory(lanes, loop)
        own, count = memory.own, len(values)
        held = []
        for k, value in enumerate(values):
            kept = own[k]
            if kept is not None:
                kept[...] = value
            else:
                array: np.ndarray = np.ascontiguousarray(value, NUMPY[self.takes[k][1]])
                held.append(array)
                memory.place(k, array)
        results: list[np.ndarray] = []
        for k, (core, letter) in enumerate(self.gives):
            kept = own[count + k]
            if kept is None:
                target = targets[k]
                kept = np.empty((*loop, *core), NUMPY[letter]) if target is None else target
                memory.place(count + k, kept)
            results.append(kept)
        with self._resting():
            self._execute(memory, lanes)
        memory.check()
        for k, view, core, letter in self.program.delivered:
            results[k][...] = memory.array(view, core, letter, lanes if loop else None)
        for k in range(len(results)):
            if own[count + k] is not None:
                target = targets[k]
                if target is None:
                    results[k] = results[k].copy()
                else:
                    target[...] = results[k]
                    results[k] = target
        self._spare.append(memory)
        if self._tiers is not None:
            self._tiers.spent += time.perf_counter() - begun
        return results

    def _memory(self, lanes: int, loop: tuple[int, ...]) -> Memory:
        while self._spare:
            try:
                found = self._spare.pop()
            except IndexError:
                break
            if found.lanes >= lanes:
                return found
        return Memory(
            self.program, [] if loop else [*self.takes, *self.gives], len(self.takes) + len(self.gives), lanes
        )

    def _execute(self, memory: Memory, lanes: int) -> None:
        program = self.program
        if memory.cuts is None or memory.cut_for != lanes:
            cuts = []
            for phase in program.phases:
                block = self._block(phase, lanes) if isinstance(phase, Lanes) else 1
                cuts.append((block, self._pieces(phase, lanes, block) if isinstance(phase, Lanes) else 1))
            memory.cut(cuts, lanes, sum(_work(phase, lanes) for phase in program.phases))
        memory.tabulate()
        team = gather(memory.work, useful_threads()) if memory.work >= PARALLEL_WORK else None
        run = memory.describe(self.addresses, lanes, 1 if team is None else team.size)
        for first, end in self._segments:
            phase = program.phases[first]
            if isinstance(phase, Host):
                self._host(phase, memory, lanes)
            elif isinstance(phase, Whole) and phase.looped >= LONG:
                interruptible(lambda stop, k=first: self._run_phases(run, k, k + 1, 0, address_of(stop)))  # type: ignore[misc]
            else:
                self._run_phases(run, first, end, 0 if team is None else team.address, 0)

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

    def _host(self, phase: Host, memory: Memory, lanes: int) -> None:
        memory.check()  # lest its function meets with what means nothing
        count = lanes if phase.loop else None
        operands = []
        for view, core, letter, dtype in phase.operands:
            array = memory.array(view, core, letter, (lanes if view.step else 1) if phase.loop else None)
            array = array if phase.loop else array[None]
            operands.append(array.astype(np.int64) if dtype == "int64" else array)
        with np.errstate(all="ignore"):
            result = call(phase.kind, operands)
        memory.array(phase.result, phase.kind.shape, phase.letter, count)[...] = result if phase.loop else result[0]


def _segments(phases: Sequence[Phase]) -> list[tuple[int, int]]:
    """Runs of phases that native code does in one go; those that it does not, or that take long, by themselves."""
    segments: list[tuple[int, int]] = []
    together = False
    for k, phase in enumerate(phases):
        alone = isinstance(phase, Host) or (isinstance(phase, Whole) and phase.looped >= LONG)
        begin = segments.pop()[0] if together and not alone else k
        segments.append((begin, k + 1))
        together = not alone
    return segments


def _work(phase: Phase, lanes: int) -> int:
    """Instructions · points that threads may share."""
    if isinstance(phase, Lanes):
        return phase.work * lanes
    return WAKING_WORK * len(phase.parts) if isinstance(phase, Whole) and phase.parts is not None else 0
