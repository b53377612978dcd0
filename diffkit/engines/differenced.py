"""What the finite engine differences: values, or first derivatives that it has found itself, and how exact these are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExceededError, UnsupportedError
from ..expr.kind import constant_value
from ..expr.node import constant
from ..machines import Executable, Machine
from ..machines.numpy import run
from ..numerics import UNIT_ROUNDOFF, tiniest
from ..ops import CAST, CONSTANT
from ..tape import Builder, Tape
from .complex_step import NOISE_SHARE
from .engine import Blocks, differentiable_tape
from .rounding import SAFETY, rounding_bound

if TYPE_CHECKING:
    from .finite import Estimate, FiniteProgram

U = UNIT_ROUNDOFF["float64"]


class Value:
    """The outputs of a tape, side by side, and a bound of their error."""

    def __init__(self, tape: Tape, executable: Executable) -> None:
        self.tape, self.executable = tape, executable
        #: values a lane holds at once
        self.size = sum(max(1, math.prod(k.shape)) for k in tape.kinds)
        #: evaluations of the value a call makes at each point
        self.cost = 1.0
        self.floating = np.concatenate(
            [
                np.full(math.prod(k.shape), k.dtype not in ("bool", "int64"))
                for k in (tape.kinds[o] for o in tape.outputs)
            ]
        )

    def __call__(
        self, inputs: Sequence[np.ndarray], loop: tuple[int, ...], known: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """(points, outputs); `known` are the outputs if they have been computed."""
        if known is not None:
            known = [
                np.reshape(a, (*loop, *self.tape.kinds[o].shape)) for a, o in zip(known, self.tape.outputs, strict=True)
            ]
        return self._side_by_side(self.executable(inputs) if known is None else known, loop)

    def _side_by_side(self, outputs: Sequence[np.ndarray], loop: tuple[int, ...]) -> np.ndarray:
        count = math.prod(loop)
        cores = [self.tape.kinds[o].shape for o in self.tape.outputs]
        full = [
            np.broadcast_to(a, (*loop, *c)).reshape(count, math.prod(c)) for a, c in zip(outputs, cores, strict=True)
        ]
        return np.concatenate(full, axis=1, dtype=np.float64)

    def bound(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        """NOISE_SHARE of the rounding bound; where that is not finite, or a rule is missing, a bound from all values' sizes."""
        try:
            found = rounding_bound(differentiable_tape(self.tape), inputs)
            bound = NOISE_SHARE * self._side_by_side(found.entries, (count,))
        except (UnsupportedError, ExceededError, TypeError, AssertionError):
            bound = np.full((count, len(self.floating)), np.nan)
        bad = ~np.isfinite(bound)
        if bad.any():
            total = np.zeros(count)

            def add(i: int, value: np.ndarray) -> None:
                if value.dtype.kind == "f" and self.tape.kinds[i].op.family != "leaf":
                    sizes = np.abs(value).reshape(value.shape[0], -1).max(axis=1, initial=0.0)
                    total[...] += np.where(np.isfinite(sizes), sizes, 0.0)

            run(self.tape, inputs, add)
            bound = np.where(bad, SAFETY * U * total[:, None] + tiniest("float64"), bound)
        return bound


class Slope:
    """First derivatives, side by side, and their bars; NaN at kinks."""

    def __init__(self, program: FiniteProgram, machine: Machine) -> None:
        self.program, self.machine, self.tape = program, machine, program.tape
        inputs, outputs = (sum(math.prod(s) for s in shapes) for shapes in (program.in_shapes, program.out_shapes))
        self.size = sum(max(1, math.prod(k.shape)) for k in self.tape.kinds) + 8 * inputs * outputs
        self.cost = float(program.evaluations)
        self.floating = np.ones(inputs * outputs, bool)

    def _examined(self, inputs: Sequence[np.ndarray]) -> Estimate:
        found = self.program.examine(self.machine, inputs)
        self.cost = float(found.evaluations)
        return found

    def __call__(self, inputs: Sequence[np.ndarray], loop: tuple[int, ...], known: Any = None) -> np.ndarray:
        found = self._examined(inputs)
        smooth = [np.where(o == "ok", b, np.nan) for b, o in self._pairs(found.blocks, found.outcome)]
        return self._side_by_side(smooth, math.prod(loop))

    def bound(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        found = self._examined(inputs)
        return self._side_by_side([b for row in found.bars for b in row], count)

    @staticmethod
    def _pairs(first: Blocks, second: Blocks) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]

    @staticmethod
    def _side_by_side(blocks: Sequence[np.ndarray], count: int) -> np.ndarray:
        return np.concatenate([b.reshape(count, -1) if b.size else np.empty((count, 0)) for b in blocks], axis=1)


def widened(tape: Tape) -> Tape:
    """The same formula in double precision: the derivative of what is written, not of its rounding to float32."""
    if all(k.dtype != "float32" for k in tape.kinds):
        return tape
    builder = Builder()
    place: list[int] = []
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        given = tuple(place[a] for a in args)
        if i in tape.inputs:
            p = kind.kwargs
            place.append(
                builder.input(p["name"], kind.shape, "float64" if kind.dtype == "float32" else kind.dtype, p["uid"])
            )
        elif kind.op is CONSTANT:
            place.append(
                builder.leaf(
                    constant(constant_value(kind).astype(np.float64)).kind if kind.dtype == "float32" else kind
                )
            )
        elif kind.op is CAST and kind.dtype == "float32":
            place.append(builder.emit(CAST, (("dtype", "float64"),), given))
        else:
            place.append(builder.emit(kind.op, kind.params, given))
    return builder.finish((place[i] for i in tape.inputs), (place[o] for o in tape.outputs), tape.labels)
