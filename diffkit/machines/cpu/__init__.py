"""The cpu machine: a blocked interpreter. Nothing is compiled for an expression.

Each instruction runs over a block of points before the next, so that dispatch is spread over the block and registers stay
in cache. Kernels are native code called by address (emit.py, library.py); the interpreter is Numba (driver.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...tape import Tape
from ..protocol import bind, check_out
from .plan import NUMPY, SIZE, Plan, plan
from .threads import in_parallel, set_threads, thread_count

__all__ = ["MACHINE", "set_threads", "thread_count"]

#: registers of a block should stay in the second-level cache
CACHE_BYTES = 256 * 1024
LEAST_BLOCK, MOST_BLOCK = 16, 512
#: blocks in a chunk, the unit of parallel work: fixed, so that bits do not depend on the thread count
CHUNK_BLOCKS = 8
#: below this many instruction · points a second thread costs more than it brings (dispatch takes about 50 µs)
PARALLEL_WORK = 200_000


def block_size(lane_bytes: int, points: int) -> int:
    """Lanes in a block: as many as the cache holds, in whole vectors."""
    if points == 1:
        return 1
    fitting = CACHE_BYTES // max(1, lane_bytes) // LEAST_BLOCK * LEAST_BLOCK
    return min(max(LEAST_BLOCK, min(MOST_BLOCK, fitting)), -(-points // LEAST_BLOCK) * LEAST_BLOCK)


class CpuExecutable:
    """A planned tape with its workspaces, which are kept between calls."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.plan: Plan = plan(tape)
        self.register_bytes = self.plan.lane_bytes * block_size(self.plan.lane_bytes, 1 << 30)
        self._spare: list[np.ndarray] = []

    def _workspace(self, size: int) -> np.ndarray:
        while self._spare:
            try:
                found = self._spare.pop()
            except IndexError:
                break
            if found.size >= size:
                return found
        return np.zeros(size, np.uint8)

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        arrays, loop = bind(self.tape, values)
        if out is not None:
            check_out(out, self.tape, loop)
        points = math.prod(loop)
        kinds = [self.tape.kinds[o] for o in self.tape.outputs]
        results: list[np.ndarray] = [
            np.empty((*loop, *k.shape), NUMPY[letter])
            for k, (_, _, letter, _) in zip(kinds, self.plan.outputs, strict=True)
        ]
        if points:
            direct = [
                o
                if out is not None
                and o.flags.c_contiguous
                and o.dtype == r.dtype
                and not any(np.shares_memory(o, a) for a in arrays)
                else r
                for o, r in zip(out or results, results, strict=True)
            ]
            self._run(arrays, loop, points, direct)
            results = direct
        return self._finish(results, out)

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

    def _run(self, arrays: list[np.ndarray], loop: tuple[int, ...], points: int, results: list[np.ndarray]) -> None:
        from .driver import interpret

        block = block_size(self.plan.lane_bytes, points)
        held, rows = [], []
        for array, (i, offset, letter, count) in zip(arrays, self.plan.inputs, strict=True):
            core = self.tape.kinds[i].shape
            own = array.shape[: array.ndim - len(core)]
            uniform = math.prod(own) == 1
            laid = array.reshape(core) if uniform else np.broadcast_to(array, (*loop, *core))
            laid = np.ascontiguousarray(laid, NUMPY[letter])
            held.append(laid)
            rows.append((laid.ctypes.data, offset, SIZE[letter], count, 1 if uniform else points))
        for value, offset, letter, count in self.plan.constants:
            rows.append((value.ctypes.data, offset, SIZE[letter], count, 1))
        inputs = np.array(rows, np.int64).reshape(-1, 5)
        outputs = np.array(
            [
                (r.ctypes.data, offset, SIZE[letter], count, points)
                for r, (_, offset, letter, count) in zip(results, self.plan.outputs, strict=True)
            ],
            np.int64,
        ).reshape(-1, 5)
        table = np.append(self.plan.table, CHUNK_BLOCKS)
        chunks = -(-points // (CHUNK_BLOCKS * block))
        work = points * max(1, len(self.plan.code))
        workers = min(thread_count(), chunks) if work >= PARALLEL_WORK else 1

        def part(k: int) -> None:
            workspace = self._workspace(self.plan.lane_bytes * block + 64)
            interpret(self.plan.code, table, inputs, outputs, workspace, block, k, points, workers)
            self._spare.append(workspace)

        if workers == 1:
            part(0)
        else:
            in_parallel(part, workers)


class CpuMachine:
    name = "cpu"

    def compile(self, tape: Tape) -> CpuExecutable:
        return CpuExecutable(tape)


MACHINE = CpuMachine()
