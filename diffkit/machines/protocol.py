"""What a machine is, and how arguments with loop dims meet a tape's inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import DtypeError, ShapeError
from ..tape import Tape


After = Callable[[list[np.ndarray]], None] | None


class Executable(Protocol):
    """A tape made ready on a machine. Values in and out have loop dims in front of core dims."""

    #: bytes of registers it works in, for one call at the block size it chose
    register_bytes: int

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None, after: After = None) -> list[np.ndarray]:
        """The outputs, written into `out` where given. `after` is called with all outputs, (points, *core) each, of every
        part of the points when they are computed, while they are still in cache; from several threads; it may change them."""
        ...


class Machine(Protocol):
    name: str

    def compile(self, tape: Tape) -> Executable: ...


def as_input(value: Any, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """One argument as an array of the declared dtype whose last dims are the core shape."""
    try:
        array = np.asarray(value)
    except ValueError as problem:
        raise ShapeError(f"the value of {name!r} is not an array: {problem}") from None
    if array.dtype.kind not in "fiub":
        if array.dtype.kind == "c":
            raise DtypeError(f"the value of {name!r} is complex; diffkit differentiates real functions")
        raise DtypeError(f"the value of {name!r} must be a number or an array of numbers, not {type(value).__name__}")
    if dtype == "int64" and array.dtype.kind == "f":
        raise DtypeError(f"{name!r} is declared int64 but was given {array.dtype}")
    core = len(shape)
    if array.shape[array.ndim - core :] != shape or array.ndim < core:
        loop = array.shape[: max(0, array.ndim - core)]
        raise ShapeError(
            f"{name!r} has core shape {shape}, but the value has shape {array.shape} (read as loop {loop} · core "
            f"{array.shape[len(loop) :]}); the last {core} dims must be the core shape"
        )
    return array.astype(dtype, copy=False)


def bind(tape: Tape, values: Sequence[Any]) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """The arguments as arrays, and the loop shape they broadcast to."""
    arrays = []
    loops = []
    for i, value in zip(tape.inputs, values, strict=True):
        kind = tape.kinds[i]
        array = as_input(value, kind.kwargs["name"], kind.shape, kind.dtype)
        arrays.append(array)
        loops.append(array.shape[: array.ndim - len(kind.shape)])
    try:
        loop = np.broadcast_shapes(*loops)
    except ValueError:
        shown = "; ".join(
            f"{name}: loop {lp} · core {tape.kinds[i].shape}"
            for name, lp, i in zip(tape.names, loops, tape.inputs, strict=True)
        )
        raise ShapeError(f"the loop dims of the arguments do not broadcast: {shown}") from None
    return arrays, loop


def lanes(array: np.ndarray, core: tuple[int, ...], loop: tuple[int, ...]) -> np.ndarray:
    """(lanes, *core): all loop dims as one axis, of size 1 where the argument has none."""
    own = array.shape[: array.ndim - len(core)]
    if math.prod(own) == 1 and math.prod(loop) != 0:
        return array.reshape(1, *core)
    return np.broadcast_to(array, (*loop, *core)).reshape(math.prod(loop), *core)


def check_out(out: Sequence[np.ndarray], tape: Tape, loop: tuple[int, ...]) -> None:
    """Buffers for the outputs must have their full shape and dtype and be writable."""
    if len(out) != len(tape.outputs):
        raise ShapeError(f"out= needs {len(tape.outputs)} arrays, {len(out)} given")
    for buffer, o in zip(out, tape.outputs, strict=True):
        kind = tape.kinds[o]
        expected, dtype = (*loop, *kind.shape), "float64" if kind.dtype == "weak" else kind.dtype
        if (
            not isinstance(buffer, np.ndarray)
            or buffer.shape != expected
            or buffer.dtype != dtype
            or not buffer.flags.writeable
        ):
            got = f"{buffer.dtype}{list(buffer.shape)}" if isinstance(buffer, np.ndarray) else type(buffer).__name__
            raise ShapeError(
                f"out= needs a writable array of {dtype}{list(expected)} (loop {loop} · core {kind.shape}), not {got}"
            )
