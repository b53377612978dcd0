"""A planned tape: binds arguments to places, chooses the tier, cuts the points into pieces for threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...tape import Tape
from ..protocol import After, bind, check_out
from .plan import NUMPY, SIZE, Place, Plan, plan
from .point import Point
from .threads import in_pieces
from .tiers import Tiers

#: registers of a block should stay in the second-level cache
CACHE_BYTES = 256 * 1024
LEAST_BLOCK, MOST_BLOCK = 16, 512


def block_size(lane_bytes: int, points: int) -> int:
    """Lanes in a block: as many as the cache holds, in whole vectors."""
    fitting = CACHE_BYTES // max(1, lane_bytes) // LEAST_BLOCK * LEAST_BLOCK
    return min(max(LEAST_BLOCK, min(MOST_BLOCK, fitting)), -(-points // LEAST_BLOCK) * LEAST_BLOCK)


class CpuExecutable:
    """A tape made ready for the cpu. May be called from several threads at once."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.plan: Plan = plan(tape)
        self.register_bytes = self.plan.lane_bytes * block_size(self.plan.lane_bytes, 1 << 30)
        self.tiers = Tiers(self.plan)
        self._point: Point | None = None
        self._spare: list[np.ndarray] = []

    def point(self, watched: int = 0) -> Point:
        """The program for a single point; one that watches so many of the first outputs for NaN."""
        return Point(self.plan, watched)

    def __call__(
        self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None, after: After = None
    ) -> list[np.ndarray]:
        arrays, loop = bind(self.tape, values)
        if out is not None:
            check_out(out, self.tape, loop)
        points = math.prod(loop)
        if points == 1:
            if self._point is None:
                self._point = self.point()
            single = self._point([a.reshape(p.shape) for a, p in zip(arrays, self.plan.inputs, strict=True)])
            results = [np.asarray(r)[None] for r in single or ()]
            if after is not None:
                after(results)
            shapes = [(*loop, *p.shape) for p in self.plan.outputs]
            return self._finish([r.reshape(s) for r, s in zip(results, shapes, strict=True)], out)
        places = self.plan.outputs
        direct = [self._target(k, p, loop, arrays, out) for k, p in enumerate(places)]
        if points:
            self._run(arrays, loop, points, direct, after)
        return self._finish(direct, out)

    def _target(
        self, k: int, place: Place, loop: tuple[int, ...], arrays: list[np.ndarray], out: Sequence[np.ndarray] | None
    ) -> np.ndarray:
        """Where an output is written: the caller's buffer if it can be written directly, else an array of its own."""
        if out is not None:
            o = out[k]
            if o.flags.c_contiguous and o.dtype == NUMPY[place.letter] and not any(np.may_share_memory(o, a) for a in arrays):
                return o
        return np.empty((*loop, *place.shape), NUMPY[place.letter])

    def _finish(self, results: list[np.ndarray], out: Sequence[np.ndarray] | None) -> list[np.ndarray]:
        if out is not None:
            for buffer, result in zip(out, results, strict=True):
                if buffer is not result:
                    buffer[...] = result
            return list(out)
        return [
            r.astype(np.int64) if self.tape.kinds[o].dtype == "int64" else r
            for r, o in zip(results, self.tape.outputs, strict=True)
        ]

    def _run(
        self, arrays: list[np.ndarray], loop: tuple[int, ...], points: int, results: list[np.ndarray], after: After
    ) -> None:
        """Inputs and outputs as addresses, and all points in pieces."""
        inputs, held = [], []
        for array, place in zip(arrays, self.plan.inputs, strict=True):
            core = place.shape
            own = array.shape[: array.ndim - len(core)]
            uniform = math.prod(own) == 1
            laid = array.reshape(core) if uniform else np.broadcast_to(array, (*loop, *core))
            laid = np.ascontiguousarray(laid, NUMPY[place.letter])
            held.append(laid)
            inputs.append((laid.ctypes.data, uniform))
        outputs = [r.ctypes.data for r in results]
        fused = self.tiers.fused([same for _, same in inputs], points)
        block = 64
        if fused is not None:
            compute = fused.on([address for address, _ in inputs], outputs)
        else:
            block = block_size(self.plan.lane_bytes, points)
            compute = self._interpreter(inputs, outputs, block)
        flat = [r.reshape((points, *p.shape)) for r, p in zip(results, self.plan.outputs, strict=True)]

        def piece(begin: int, end: int) -> None:
            compute(begin, end)
            if after is not None:
                after([r[begin:end] for r in flat])

        with self.tiers.measured(fused is None):
            in_pieces(piece, points, block, points * max(1, len(self.plan.code)))

    def _interpreter(
        self, inputs: list[tuple[int, bool]], outputs: list[int], block: int
    ) -> Callable[[int, int], None]:
        """The interpreter on these addresses, for points begin … end."""
        from .driver import interpret

        plan = self.plan
        slots = np.zeros((plan.slots, 2), np.int64)
        uniform, loads, stores = [], [], []
        extra = plan.lane_bytes  # registers for slots that one value serves
        spread: list[tuple[int, int]] = []
        for (address, single), place in zip(inputs, plan.inputs, strict=True):
            row = (address, place.at, SIZE[place.letter], place.rows)
            if place.at >= 0:
                (uniform if single else loads).append(row)
            elif single:
                uniform.append((address, extra, SIZE[place.letter], 1))
                spread.append((-1 - place.at, extra))
                extra += 8
            else:
                slots[-1 - place.at] = address, SIZE[place.letter]
        for value, place in plan.constants:
            uniform.append((value.ctypes.data, place.at, SIZE[place.letter], place.rows))
        given = {-1 - p.at for p in plan.inputs if p.at < 0}
        for address, place in zip(outputs, plan.outputs, strict=True):
            if place.at < 0 and -1 - place.at not in given:
                given.add(-1 - place.at)
                slots[-1 - place.at] = address, SIZE[place.letter]
            else:
                stores.append((address, place.at, SIZE[place.letter], place.rows))
        tables = [np.array(rows, np.int64).reshape(-1, 4) for rows in (uniform, loads, stores)]

        def compute(begin: int, end: int) -> None:
            workspace = self._workspace(extra * block + 64)
            own = slots.copy()
            base = workspace.ctypes.data
            base += -base % 64
            for slot, offset in spread:
                own[slot] = base + offset * block, 0
            interpret(plan.code, plan.table, self.tiers.addresses, own, *tables, workspace, block, begin, end)
            self._spare.append(workspace)

        return compute

    def _workspace(self, size: int) -> np.ndarray:
        while self._spare:
            try:
                found = self._spare.pop()
            except IndexError:
                break
            if found.size >= size:
                return found
        return np.zeros(size, np.uint8)
