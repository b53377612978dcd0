"""A planned tape: binds arguments to places, chooses the tier, cuts the points into pieces for threads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...tape import Tape
from ..protocol import Signature
from .blocks import Blocks, Given, block_size
from .fused import LEAST_POINTS
from .plan import NUMPY, SIZE, Place, Plan, plan
from .point import Point
from .threads import share
from .tiers import Tiers

VECTOR_BYTES = 64
#: from so many points on it pays that vectors are aligned in memory
ALIGNED_POINTS = 2048
#: and that no second array is written and copied
IN_PLACE_POINTS = 2048


class CpuExecutable:
    """A tape made ready for the cpu. May be called from several threads at once."""

    def __init__(self, tape: Tape) -> None:
        self.signature = Signature(tape)
        self.plan: Plan = plan(tape)
        self.register_bytes = self.plan.lane_bytes * block_size(self.plan.lane_bytes, 1 << 30)
        self.blocks = Blocks(self.plan)
        self.tiers = Tiers(self.plan)
        self._point: Point | None = None

    def point(self) -> Point:
        """The program for a single point."""
        if self._point is None:
            self._point = Point(self.plan, self.blocks.addresses)
        return self._point

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        arrays, loop = self.signature.bind(values)
        if out is not None:
            self.signature.check_out(out, loop)
        points = math.prod(loop)
        if points == 1:
            found = self.point()([a.reshape(p.shape) for a, p in zip(arrays, self.plan.inputs, strict=True)])
            results = [np.asarray(r).reshape((*loop, *p.shape)) for r, p in zip(found, self.plan.outputs, strict=True)]
        else:
            inputs = [self._laid(a, p, loop, points) for a, p in zip(arrays, self.plan.inputs, strict=True)]
            if out is not None and points >= IN_PLACE_POINTS:
                over = self._over_inputs(inputs, out)
                if over is not None and self._in_place(inputs, over, points):
                    return list(out)
            outputs = self._targets(inputs, loop, out)
            if points:
                self._run(inputs, outputs, points)
            results = [x.array for x in outputs]
        if out is not None:
            for buffer, result in zip(out, results, strict=True):
                if buffer is not result:
                    buffer[...] = result
            return list(out)
        return [r if r.dtype == d else r.astype(d) for r, (_, d) in zip(results, self.signature.gives, strict=True)]

    @staticmethod
    def _laid(array: np.ndarray, place: Place, loop: tuple[int, ...], points: int) -> Given:
        """An argument as the kernels read it: contiguous, all points, or a single one that serves all."""
        own = array.shape[: array.ndim - len(place.shape)]
        uniform = math.prod(own) == 1
        if not uniform and own != loop:
            array = np.broadcast_to(array, (*loop, *place.shape))
        if not array.flags.c_contiguous or array.dtype != NUMPY[place.letter]:
            array = np.ascontiguousarray(array, NUMPY[place.letter])
        return Given(array, array.ctypes.data, uniform)

    def _targets(self, inputs: list[Given], loop: tuple[int, ...], out: Sequence[np.ndarray] | None) -> list[Given]:
        """Where outputs are written: the caller's buffers where that can be, else arrays of their own."""
        targets = []
        read = [(x.address, x.address + x.array.nbytes) for x in inputs] if out is not None else []
        for k, place in enumerate(self.plan.outputs):
            target = out[k] if out is not None else None
            if target is None or not target.flags.c_contiguous or target.dtype != NUMPY[place.letter]:
                target = np.empty((*loop, *place.shape), NUMPY[place.letter])
            begin = target.ctypes.data
            end = begin + target.nbytes
            for first, last in read:
                if first < end and begin < last:  # a kernel may write before all is read
                    target = np.empty((*loop, *place.shape), NUMPY[place.letter])
                    begin = target.ctypes.data
                    break
            targets.append(Given(target, begin, False))
        return targets

    def bound(self, values: Sequence[Any], out: Sequence[np.ndarray]) -> Callable[[], object]:
        """This call, to be made any number of times on these very arrays: they are looked at once, here."""
        arrays, loop = self.signature.bind(values)
        self.signature.check_out(out, loop)
        points = math.prod(loop)
        inputs = [self._laid(a, p, loop, points) for a, p in zip(arrays, self.plan.inputs, strict=True)]
        over = (
            self._over_inputs(inputs, out) if all(x.array is v for x, v in zip(inputs, values, strict=True)) else None
        )
        if points < IN_PLACE_POINTS or over is None:
            return lambda: self(values, out)
        return lambda: self._in_place(inputs, over, points) or self(values, out)

    def _over_inputs(self, inputs: list[Given], out: Sequence[np.ndarray]) -> list[Given] | None:
        """The outputs, if some are to be written over inputs: each exactly over one of its own shape, none over a part of one."""
        places = {x.address: k for k, x in enumerate(inputs) if not x.uniform}
        outputs, found = [], False
        for array, place in zip(out, self.plan.outputs, strict=True):
            begin = array.ctypes.data
            if not array.flags.c_contiguous or array.dtype != NUMPY[place.letter]:
                return None
            k = places.get(begin)
            if k is not None and (inputs[k].array.dtype != array.dtype or self.plan.inputs[k].rows != place.rows):
                return None
            found = found or k is not None
            for j, x in enumerate(inputs):
                if j != k and x.address < begin + array.nbytes and begin < x.address + x.array.nbytes:
                    return None
            outputs.append(Given(array, begin, False))
        return outputs if found else None

    def _in_place(self, inputs: list[Given], outputs: list[Given], points: int) -> bool:
        """Write outputs over inputs if there is a fused kernel, which can: whether it was done.

        Such a kernel reads all that it needs of some points before it writes any of it. But its last vector ends with the last
        point, and computes some points again: so it goes over whole vectors here, and the few points left over through copies.
        """
        fused = self.tiers.fused([x.uniform for x in inputs], points)
        if fused is None:
            return False
        whole = points - points % LEAST_POINTS
        rest = [
            x.array if x.uniform else np.array(x.array.reshape(points, *place.shape)[whole:])
            for x, place in zip(inputs, self.plan.inputs, strict=True)
            if whole < points
        ]
        share(fused.job, fused.on([*inputs, *outputs]), whole, LEAST_POINTS, max(1, len(self.plan.code)))
        if whole < points:
            for x, place, last in zip(outputs, self.plan.outputs, self(rest), strict=True):
                x.array.reshape(points, *place.shape)[whole:] = last
        return True

    def _run(self, inputs: list[Given], outputs: list[Given], points: int) -> None:
        """All points, in pieces, on several threads."""
        back = self._back(outputs) if points >= ALIGNED_POINTS else 0
        instructions = max(1, len(self.plan.code))
        fused = self.tiers.fused([x.uniform for x in inputs], points)
        if fused is not None:
            share(fused.job, fused.on([*inputs, *outputs]), points, LEAST_POINTS, instructions, back)
            return
        block = block_size(self.plan.lane_bytes, points)
        with self.tiers.counted():
            self.blocks.run(inputs, outputs, points, block, instructions, back)

    def _back(self, outputs: list[Given]) -> int:
        """How many points before the first would lie on a boundary of a vector in memory, for most of the outputs."""
        found = Counter(
            x.address % VECTOR_BYTES // SIZE[place.letter]  # less than the lanes of any kernel's vectors
            for x, place in zip(outputs, self.plan.outputs, strict=True)
            if place.rows == 1 and place.letter in "df" and x.address % SIZE[place.letter] == 0
        )
        return found.most_common(1)[0][0] if found else 0
