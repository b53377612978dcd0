"""The interpreter over blocks of points, made ready for one tape: its tables, and its workspaces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .library import library
from .plan import SIZE, Plan
from .threads import share, useful_threads

#: registers of a block should stay in the second-level cache
CACHE_BYTES = 256 * 1024
LEAST_BLOCK, MOST_BLOCK = 16, 512


def block_size(lane_bytes: int, points: int) -> int:
    """Lanes in a block: as many as the cache holds, in whole vectors."""
    fitting = CACHE_BYTES // max(1, lane_bytes) // LEAST_BLOCK * LEAST_BLOCK
    return min(max(LEAST_BLOCK, min(MOST_BLOCK, fitting)), -(-points // LEAST_BLOCK) * LEAST_BLOCK)


class Given(NamedTuple):
    """An array as the kernels read or write it. What runs a kernel holds on to it: an address alone keeps no memory."""

    array: np.ndarray
    address: int
    #: one value serves all points
    uniform: bool


class Blocks:
    """The tier that is always ready. May be called from several threads at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.addresses = np.array([library().address(s) for s in plan.symbols] or [0], np.int64)
        #: (address, place, bytes an element, rows)
        self._constants = [(v.ctypes.data, p.at, SIZE[p.letter], p.rows) for v, p in plan.constants]
        self._inputs = [(p.at, SIZE[p.letter], p.rows) for p in plan.inputs]
        #: the place of an input, or one written already, is no output's own
        own = {p.at: k for k, p in reversed(list(enumerate(plan.outputs))) if p.at < 0}
        taken = {p.at for p in plan.inputs}
        self._outputs = [
            (p.at, SIZE[p.letter], p.rows, p.at not in taken and own.get(p.at) == k) for k, p in enumerate(plan.outputs)
        ]
        self._spare: list[np.ndarray] = []

    def run(
        self, inputs: list[Given], outputs: list[Given], points: int, block: int, instructions: int, back: int
    ) -> None:
        """On these arrays, by as many threads as pay (threads.share)."""
        from .driver import interpret

        plan, uniform = self.plan, list(self._constants)
        loads: list[tuple[int, int, int, int]] = []
        stores: list[tuple[int, int, int, int]] = []
        slots = [(0, 0)] * plan.slots
        end = plan.lane_bytes  # behind it: registers for slots that one value serves
        for (_, address, same), (at, size, rows) in zip(inputs, self._inputs, strict=True):
            if at >= 0:
                (uniform if same else loads).append((address, at, size, rows))
            elif same:
                uniform.append((address, end, size, 1))
                slots[-1 - at] = end, 0
                end += 8
            else:
                slots[-1 - at] = address, size
        for (_, address, _), (at, size, rows, direct) in zip(outputs, self._outputs, strict=True):
            if direct:
                slots[-1 - at] = address, size
            else:
                stores.append((address, at, size, rows))
        threads, size = useful_threads(), -(-end * block // 64) * 64
        workspace = self._workspace(size * threads)
        tables = (plan.code, plan.table, self.addresses, *(
            np.array(rows, np.int64).reshape(-1, width)
            for rows, width in ((slots, 2), (uniform, 4), (loads, 4), (stores, 4))
        ))  # fmt: skip
        words = [x for array in tables for x in (array.ctypes.data, len(array))]
        told = np.array([*words, workspace.ctypes.data + 63 & -64, size, block], np.int64)
        share(interpret, told, points, block, instructions, back, threads)
        self._spare.append(workspace)

    def _workspace(self, size: int) -> np.ndarray:
        while self._spare:
            try:
                found = self._spare.pop()
            except IndexError:
                break
            if found.size >= size + 64:
                return found
        return np.zeros(size + 64, np.uint8)
