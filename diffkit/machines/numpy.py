"""The plain machine: one NumPy call an instruction. The living definition of what a tape means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..expr.kind import Kind, constant_value
from ..ops import CONSTANT
from ..tape import Tape
from .protocol import Signature, lanes


def call(kind: Kind, args: Sequence[np.ndarray]) -> np.ndarray:
    """One instruction on arrays (lanes, *core)."""
    op = kind.op
    if op.family == "elementwise":
        rank = 1 + len(kind.shape)
        args = [a if a.ndim == rank else a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in args]
    return np.asarray(op.numpy(*args, **kind.kwargs))


def run(
    tape: Tape, inputs: Sequence[np.ndarray], watch: Callable[[int, np.ndarray], None] | None = None
) -> list[np.ndarray]:
    """All values of the tape, each (lanes, *core) with lanes 1 where nothing varies; complex inputs are let through."""
    given = dict(zip(tape.inputs, inputs, strict=True))
    values: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if i in given:
                value = given[i]
            elif kind.op is CONSTANT:
                value = constant_value(kind)[None]
            else:
                value = call(kind, [values[a] for a in args])
                if kind.dtype in ("float32", "float64") and value.dtype != kind.dtype and value.dtype.kind != "c":
                    value = value.astype(kind.dtype)
            values.append(value)
            if watch is not None:
                watch(i, value)
    return values


def laned_inputs(tape: Tape, values: Sequence[Any]) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Arguments as (lanes, *core) arrays, and the loop shape."""
    arrays, loop = Signature(tape).bind(values)
    return [lanes(a, tape.kinds[i].shape, loop) for a, i in zip(arrays, tape.inputs, strict=True)], loop


class NumpyExecutable:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.register_bytes = sum(8 * max(1, int(np.prod(k.shape))) for k in tape.kinds)

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        inputs, loop = laned_inputs(self.tape, values)
        if out is not None:
            Signature(self.tape).check_out(out, loop)
        computed = run(self.tape, inputs)
        count, shapes = int(np.prod(loop)), [self.tape.kinds[o].shape for o in self.tape.outputs]
        results = [
            np.array(np.broadcast_to(computed[o], (count, *s))) for o, s in zip(self.tape.outputs, shapes, strict=True)
        ]
        results = [r.reshape((*loop, *s)) for r, s in zip(results, shapes, strict=True)]
        if out is None:
            return results
        for buffer, result in zip(out, results, strict=True):
            buffer[...] = result
        return list(out)


class NumpyMachine:
    name = "numpy"

    def compile(self, tape: Tape) -> NumpyExecutable:
        return NumpyExecutable(tape)


MACHINE = NumpyMachine()
