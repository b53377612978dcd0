"""A tape over arrays made ready for a GPU: plans a program, lowers it, and replays its steps."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....tape import Tape
from ....tape.lower import lower
from ...cpu.arrays.axes import best_axis, is_native, over_loop
from ...cpu.arrays.compiling.groups import Body
from ...cpu.arrays.memory import Core
from ...cpu.arrays.planning.loops import has_loops
from ...cpu.arrays.program import FIRST_INPUT, Lanes, Program
from ...cpu.plan import LETTER, NUMPY
from ...protocol import Signature
from ..package import package
from ..streams import is_past
from ..transfer import DeviceCall, flat
from .lowering import Lowering
from .memory import Layout, Memory
from .planning import planned

#: registers of the lanes that are worked on at once, in bytes
REGISTER_BYTES = 1 << 30
#: numbers of lanes that a program is kept lowered for
MOST_LOWERED = 8


class CudaArrayExecutable:
    """May be called from several threads at once.

    Where an argument or a buffer of `out` lies on the device, so do the results, on the stream that such arrays name, and what is
    waited for is only the answer whether an index is out of range; otherwise they are NumPy arrays. Operations without kernels
    (linear algebra) are run by NumPy: their operands are brought to the host, and the result is brought back.
    """

    def __init__(self, tape: Tape) -> None:
        self.signature = Signature(tape)
        self.tape = lower(tape, lambda kind: not is_native(kind))
        kinds = self.tape.kinds
        self.takes: list[Core] = [(kinds[i].shape, LETTER[kinds[i].dtype]) for i in self.tape.inputs]
        self.gives: list[Core] = [(kinds[o].shape, LETTER[kinds[o].dtype]) for o in self.tape.outputs]
        self._one_by_one = has_loops(self.tape)
        self._programs: dict[tuple[bool, ...] | None, Runs] = {}

    @property
    def register_bytes(self) -> int:
        """Bytes of device memory that a call for one point works in."""
        return self._runs(None).lowered(1).layout.size

    def _runs(self, varying: tuple[bool, ...] | None) -> Runs:
        """The program for one point, or for points that these arguments have one value each of."""
        found = self._programs.get(varying)
        if found is None:
            axes = best_axis(self.tape) if varying is None else over_loop(self.tape, varying, -1)
            program, groups = planned(self.tape, axes)
            found = Runs(program, groups, axes.lanes if axes else 1, [*self.takes, *self.gives], varying)
            found = self._programs.setdefault(varying, found)
        return found

    def __call__(self, values: Sequence[Any], out: Sequence[Any] | None = None) -> list[Any]:
        gives = self.signature.gives
        arrays, loop = self.signature.bind(values, device=True)
        there = DeviceCall.of(self.signature, arrays, loop, out)
        if there is not None:
            self._run(arrays, loop, there.results, there.queue)
            return there.done()
        results = [np.empty((*loop, *core), dtype) for core, dtype in gives]
        self._run(arrays, loop, results, None)
        for buffer, result in zip(out or (), results, strict=False):
            buffer[...] = result
        return results if out is None else list(out)

    def _run(self, arrays: Sequence[Any], loop: tuple[int, ...], results: Sequence[Any], queue: Any) -> None:
        """queue: the stream that the results are on; None: they are NumPy's arrays."""
        if not math.prod(loop):
            return
        points = math.prod(loop)
        varying = tuple(
            math.prod(a.shape[: a.ndim - len(core)]) != 1 for a, (core, _) in zip(arrays, self.takes, strict=True)
        )
        # loops (scan) are run for one point after the other
        turns = points if self._one_by_one else 1
        runs = self._runs(varying if points > turns else None)
        lowered = runs.lowered(points // turns)
        memory = lowered.memory(queue)
        where = lowered.layout.where[FIRST_INPUT:]
        lined = [self._lined(k, a, loop, memory) for k, a in enumerate(arrays)]
        lines = [r.reshape(r.size) for r in results]
        for turn in range(turns):
            for at, line, varies, (core, letter) in zip(where, lined, varying, self.takes, strict=False):
                if turn == 0 or varies:
                    n = math.prod(core) if turns > 1 else line.size
                    memory.bring(at, letter, line, turn * n * varies, n)
            for step in lowered.steps:
                step.run(memory)
            memory.check()
            for at, line, (_, letter) in zip(where[len(arrays) :], lines, self.gives, strict=False):
                n = line.size // turns
                memory.fetch(at, letter, line, turn * n, n)
        lowered.give_back(memory, queue)

    def _lined(self, k: int, array: Any, loop: tuple[int, ...], memory: Memory) -> Any:
        """An argument as one line of elements, of all points or one."""
        core, letter = self.takes[k]
        if not isinstance(array, np.ndarray):
            return flat(array, loop, core, NUMPY[letter], memory.stream)[0]
        own = array.shape[: array.ndim - len(core)]
        laid = array if math.prod(own) == 1 or own == loop else np.broadcast_to(array, (*loop, *core))
        return np.ascontiguousarray(laid, NUMPY[letter]).reshape(-1)


class Lowered:
    """A program's steps for so many lanes, and memory that no call is using."""

    def __init__(
        self,
        program: Program,
        groups: Sequence[Body],
        lanes: int,
        cores: Sequence[Core],
        points: Sequence[int],
        laned: bool,
    ) -> None:
        """points: how many of each argument and result there are; laned: one a lane."""
        own = [p.lane_bytes for p in program.phases if isinstance(p, Lanes)]
        block = max(1, min(lanes, REGISTER_BYTES // max(1, *own, 1)))
        self.layout = Layout(program, cores, lanes, points, block * max(own, default=0))
        lowering = Lowering(program, self.layout, groups)
        for phase in program.phases:
            lowering.lower(phase, lanes, block)
        lowering.deliver(lanes if laned else None)
        self.steps, self.words, self.lanes = lowering.steps, lowering.words, lanes
        #: of calls that were waited for, and of those whose results lie on the device
        self._free: list[Memory] = []
        self._spare: list[Memory] = []
        self._lock = threading.Lock()

    def memory(self, queue: Any) -> Memory:
        """Memory for a call on a stream; None: on one of its own.

        A memory that another call worked in is taken if that was on the same stream, or is done; else it would be waited for.
        """
        with self._lock:
            if queue is None and self._free:
                return self._free.pop()
            for memory in self._spare if queue is not None else ():
                if memory.is_on(queue) or is_past(memory.left):
                    self._spare.remove(memory)
                    memory.enter(queue)
                    return memory
        return Memory(self.layout, self.words, self.lanes, package().cuda.stream() if queue is None else queue)

    def give_back(self, memory: Memory, queue: Any) -> None:
        """queue: as it was taken for."""
        if queue is not None:
            memory.leave()
        with self._lock:
            (self._free if queue is None else self._spare).append(memory)


class Runs:
    """A program that can be run, for any number of lanes."""

    def __init__(
        self,
        program: Program,
        groups: Sequence[Body],
        lanes: int,
        cores: Sequence[Core],
        varying: Sequence[bool] | None,
    ) -> None:
        """lanes < 0: as many as there are points, of which those arguments have one each that vary."""
        self.program, self.groups, self.lanes, self.cores, self.varying = program, groups, lanes, cores, varying
        self._lowered: dict[int, Lowered] = {}

    def lowered(self, points: int) -> Lowered:
        """The steps for so many points."""
        found = self._lowered.get(points)
        if found is None:
            given = list(self.varying or [False] * self.program.inputs)
            counts = [points if v else 1 for v in given] + [points] * (len(self.cores) - len(given))
            lanes = points if self.lanes < 0 else self.lanes
            found = Lowered(self.program, self.groups, lanes, self.cores, counts, self.lanes < 0)
            for stale in list(self._lowered)[: max(0, len(self._lowered) - MOST_LOWERED + 1)]:
                self._lowered.pop(stale, None)
            found = self._lowered.setdefault(points, found)
        return found
