"""The cpu machine's plan of a tape, for a machine whose launches are not cut into parts and whose loops are run from the host."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ....tape import Tape
from ...cpu.arrays.axes import Axes
from ...cpu.arrays.compiling.fusion import Fusion, Loop, Reader
from ...cpu.arrays.compiling.groups import Body
from ...cpu.arrays.opcodes import LOOP
from ...cpu.arrays.planning.instructions import Writer
from ...cpu.arrays.planning.planner import Planner
from ...cpu.arrays.program import Program


class _Writer(Writer):
    def shared(self, n: int, count: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """In one piece."""
        yield 0, n


class _Planner(Planner):
    def __init__(self, tape: Tape, axes: Axes | None) -> None:
        super().__init__(tape, axes)
        self.writer = _Writer(self)


class _Fusion(Fusion):
    def _loop(self, code: np.ndarray) -> Loop:
        begin = int(code[2])
        ends = [begin, len(code)] if code[0] == LOOP else [begin, begin + int(code[3]), len(code)]
        bodies = []
        for number, (first, last) in zip(code[begin - len(ends) + 1 : begin].tolist(), pairwise(ends), strict=True):
            slots, freed = self._source.inner[number]
            reader = Reader(code[first:last], self._source.symbols, slots, freed, False)
            bodies.append(self._items(reader, [(0, last - first, 0)]))
        return Loop(code[:begin].tolist(), bodies)


def planned(tape: Tape, axes: Axes | None) -> tuple[Program, list[Body]]:
    """The program, with groups of elementwise instructions, and the bodies of its kernels group0, group1, …"""
    fusion = _Fusion(_Planner(tape, axes).plan())
    return fusion.program, [b for b in fusion.bodies if isinstance(b, Body)]
