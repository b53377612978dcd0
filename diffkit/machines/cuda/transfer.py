"""Arrays on their way to a GPU and back: what lies there already is used as it is, NumPy's arrays are moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import DtypeError, ShapeError
from .package import package

#: threads of a block of the kernel that spreads an array
BLOCK = 128


def used(value: Any, name: str, dtype: np.dtype) -> Any:
    """An argument as the kernels take it: an array on the device as Numba's, an array of NumPy as it is."""
    array = package().on_device(value)
    if array is None:
        return value
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise DtypeError(f"{name!r} is an array of {array.dtype} on the device; it must hold real numbers")
    if dtype.kind != "f" and array.dtype.kind == "f":
        raise DtypeError(f"{name!r} is declared {dtype} but was given {array.dtype}")
    return array


def flat(array: Any, loop: tuple[int, ...], core: tuple[int, ...], dtype: type, stream: Any) -> tuple[Any, bool]:
    """(a flat device array, whether it holds one value for all points)."""
    cuda = package().cuda
    own = tuple(array.shape[: array.ndim - len(core)])
    same = math.prod(own) == 1
    if isinstance(array, np.ndarray):
        laid = array if same or own == loop else np.broadcast_to(array, (*loop, *core))
        return cuda.to_device(np.ascontiguousarray(laid, dtype).reshape(-1), stream), same
    itemsize = array.dtype.itemsize
    target = own if same else loop
    strides = [0] * (len(target) - len(own)) + list(array.strides)
    full = [*target, *core]
    lined = [1] * (len(target) - len(own)) + list(array.shape)
    strides = [0 if n == 1 else s // itemsize for n, s in zip(lined, strides, strict=True)]
    plain = [math.prod(full[d + 1 :]) for d in range(len(full))]
    if all(n == 1 or s == p for n, s, p in zip(full, strides, plain, strict=True)):
        return array.reshape(math.prod(full)), same
    from .copies import spread

    result = cuda.device_array(math.prod(full), array.dtype, stream=stream)
    sizes = cuda.to_device(np.array(full or [1], np.int64), stream)
    steps = cuda.to_device(np.array(strides or [0], np.int64), stream)
    line, first = package().line(array)
    spread[min(-(-result.size // BLOCK), 1024), BLOCK, stream](line, first, sizes, steps, result)
    return result, same


def targets(
    out: Sequence[Any] | None,
    gives: Sequence[tuple[tuple[int, ...], np.dtype]],
    loop: tuple[int, ...],
    read: Sequence[Any],
    stream: Any,
) -> list[Any]:
    """Arrays on the device for the outputs: those of `out` that lie there, unless they share memory with what is `read`; new ones
    for others. ShapeError where one is unfit."""
    if out is not None and len(out) != len(gives):
        raise ShapeError(f"out= needs {len(gives)} arrays, {len(out)} given")
    found = []
    for k, (core, dtype) in enumerate(gives):
        shape = (*loop, *core)
        array = package().on_device(out[k]) if out is not None else None
        if array is None:
            array = package().cuda.device_array(shape, dtype, stream=stream)
        elif tuple(array.shape) != shape or array.dtype != dtype or not array.is_c_contiguous():
            raise ShapeError(
                f"out= needs a device array without gaps of {dtype}{list(shape)} for output {k}, not "
                f"{array.dtype}{list(array.shape)}"
            )
        elif any(package().overlap(array, r) for r in read if not isinstance(r, np.ndarray)):
            array = package().cuda.device_array(shape, dtype, stream=stream)
        found.append(array)
    return found


def deliver(results: Sequence[Any], out: Sequence[Any] | None, stream: Any) -> list[Any]:
    """The results, written into the buffers of `out` that they do not lie in already: those of NumPy are waited for."""
    if out is None:
        return list(results)
    for result, buffer in zip(results, out, strict=True):
        if buffer is None or not result.size:
            continue
        if isinstance(buffer, np.ndarray):
            to_host(result, buffer, stream)
        elif package().overlap(result, target := package().on_device(buffer)):
            continue
        else:
            target.copy_to_device(result, stream)
    return [r if b is None else b for r, b in zip(results, out, strict=True)]


def to_host(result: Any, buffer: np.ndarray, stream: Any) -> None:
    """Into an array of NumPy, of any layout and dtype; it is there when this returns."""
    found = result.copy_to_host(stream=stream)
    if stream:
        stream.synchronize()
    buffer[...] = found
