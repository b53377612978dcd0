"""What a machine is, and how arguments with loop dims meet a tape's inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import DtypeError, ShapeError
from ..expr.kind import WEAK
from ..tape import Tape
from .resident import Resident, is_on_device, resident


class Executable(Protocol):
    """A tape made ready on a machine. Values in and out have loop dims in front of core dims."""

    #: bytes of registers it works in, for one call at the block size it chose
    register_bytes: int

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """The outputs, written into `out` where given."""
        ...


class Machine(Protocol):
    name: str

    def compile(self, tape: Tape) -> Executable: ...


def as_input(value: Any, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """One argument as an array of the declared dtype whose last dims are the core shape."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DtypeError(
            f"the value of {name!r} has masked elements, of which nothing is known here: fill them, value.filled(…), or leave "
            "them out, value.compressed()"
        )
    if is_on_device(value):
        raise DtypeError(
            f'the value of {name!r} lies on a GPU, where machine="cuda" takes it; for another machine move it to the host first'
        )
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
    if dtype == "int64" and array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        raise DtypeError(f"{name!r} is declared int64, but {array.max()} is too large for it; declare it float64")
    if dtype == "bool" and array.dtype.kind == "f" and np.isnan(array).any():
        raise DtypeError(f"{name!r} is declared bool, but the value has a NaN, which is neither true nor false")
    core = len(shape)
    if array.shape[array.ndim - core :] != shape or array.ndim < core:
        loop = array.shape[: max(0, array.ndim - core)]
        raise ShapeError(
            f"{name!r} has core shape {shape}, but the value has shape {array.shape} (read as loop {loop} · core "
            f"{array.shape[len(loop) :]}); the last {core} dims must be the core shape"
        )
    return array.astype(dtype, copy=False)


def lanes(array: np.ndarray, core: tuple[int, ...], loop: tuple[int, ...]) -> np.ndarray:
    """(lanes, *core): all loop dims as one axis, of size 1 where the argument has none."""
    own = array.shape[: array.ndim - len(core)]
    if math.prod(own) == 1 and math.prod(loop) != 0:
        return array.reshape(1, *core)
    return np.broadcast_to(array, (*loop, *core)).reshape(math.prod(loop), *core)


class Signature:
    """Names, core shapes and dtypes of what a tape takes and gives, at hand for every call."""

    def __init__(self, tape: Tape) -> None:
        takes, gives = [tape.kinds[i] for i in tape.inputs], [tape.kinds[o] for o in tape.outputs]
        self.takes = [(k.kwargs["name"], k.shape, np.dtype(k.dtype)) for k in takes]
        self.gives = [(k.shape, np.dtype("float64" if k.dtype == WEAK else k.dtype)) for k in gives]

    def bind(self, values: Sequence[Any], device: bool = False) -> tuple[list[Any], tuple[int, ...]]:
        """The arguments as arrays, and the loop shape they broadcast to. device: what lies on one is given as a `Resident`."""
        arrays, loops = [], []
        for (name, shape, dtype), array in zip(self.takes, values, strict=True):
            core = len(shape)
            if device and is_on_device(array):
                array = _on_device(array, name, shape, dtype)
            elif type(array) is not np.ndarray or array.dtype is not dtype or array.shape[array.ndim - core :] != shape:
                array = as_input(array, name, shape, dtype.name)
            arrays.append(array)
            loops.append(tuple(array.shape[: len(array.shape) - core]))
        different = set(loops) - {()}
        if len(different) < 2:
            return arrays, next(iter(different), ())
        try:
            return arrays, np.broadcast_shapes(*different)
        except ValueError:
            shown = "; ".join(f"{t[0]}: loop {lp} · core {t[1]}" for t, lp in zip(self.takes, loops, strict=True))
            raise ShapeError(f"the loop dims of the arguments do not broadcast: {shown}") from None

    def check_out(self, out: Sequence[np.ndarray], loop: tuple[int, ...]) -> None:
        """Buffers for the outputs must have their full shape and dtype and be writable."""
        if len(out) != len(self.gives):
            raise ShapeError(f"out= needs {len(self.gives)} arrays, {len(out)} given")
        names = [f"output {k}" for k in range(len(out))] if len(out) > 1 else ["the result"]
        check_buffers(out, [(n, *given) for n, given in zip(names, self.gives, strict=False)], loop)


def _on_device(value: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Resident:
    """One argument that lies on the device; its dtype may be another that converts to the declared one."""
    array = resident(value, f"the value of {name!r}")
    assert array is not None
    if dtype.kind != "f" and array.dtype.kind == "f":
        raise DtypeError(f"{name!r} is declared {dtype} but was given {array.dtype}")
    if array.ndim < len(shape) or array.shape[array.ndim - len(shape) :] != shape:
        raise ShapeError(f"{name!r} has core shape {shape}, but the value on the device has shape {array.shape}")
    return array


#: what is to be written: its name, core shape and dtype
Wanted = tuple[str, tuple[int, ...], np.dtype]


def check_buffers(
    buffers: Sequence[Any], wanted: Sequence[Wanted], loop: tuple[int, ...], device: bool = False
) -> None:
    """ShapeError unless each is a writable array of loop dims, then the core shape, and of the dtype.

    device: arrays that lie on one will do, and no two may have memory in common.
    """
    places: list[tuple[str, np.ndarray]] = []
    for given, (name, core, dtype) in zip(buffers, wanted, strict=True):
        shape = (*loop, *core)
        buffer = resident(given, f"the array of out= for {name}") if device else None
        writable = (
            not buffer.read_only if buffer is not None else isinstance(given, np.ndarray) and given.flags.writeable
        )
        if buffer is None:
            buffer = given
        if not isinstance(buffer, (np.ndarray, Resident)):
            got = "None" if given is None else f"a value of type {type(given).__name__}"
        elif buffer.shape != shape or buffer.dtype != dtype:
            got = f"{buffer.dtype}{list(buffer.shape)}"
        elif not writable:
            got = "one that is read-only"
        else:
            places.append((name, buffer if isinstance(buffer, np.ndarray) else buffer.shadow()))
            continue
        raise ShapeError(
            f"out= needs a writable array of {dtype}{list(shape)} (loop {loop} · core {core}) for {name}, not {got}"
        )
    if device:
        _check_apart(places)


def _check_apart(places: Sequence[tuple[str, np.ndarray]]) -> None:
    """Nothing is written over: in the order of their first bytes, an array is compared with those that begin within it."""
    if len(places) < 2:
        return
    lowest = [
        b.__array_interface__["data"][0] + sum([(n - 1) * s for n, s in zip(b.shape, b.strides, strict=True) if s < 0])
        for _, b in places
    ]
    order = sorted([k for k, (_, b) in enumerate(places) if b.size], key=lowest.__getitem__)
    for place, k in enumerate(order):
        for j in order[place + 1 :]:
            (first, a), (second, b) = (places[i] for i in sorted((k, j)))
            if not np.may_share_memory(a, b):
                break
            if np.shares_memory(a, b):
                raise ShapeError(f"out= has the same memory for {first} and {second}; give each its own array")
