"""Arrays on their way to a GPU and back: what lies there already is used as it is, NumPy's arrays are moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ..protocol import Signature, check_buffers
from ..resident import Resident, resident
from .package import package
from .streams import after, keep, opened, shared

#: threads of a block of the kernels that lay elements out
BLOCK = 128


class DeviceCall:
    """A call of whose arguments or buffers some lie on the device.

    It works on the stream that they name, or on the default one, after what their makers have queued on others; and what these
    queue from then on runs after it, so that they may use memory again.
    """

    def __init__(
        self, signature: Signature, arrays: Sequence[Any], loop: tuple[int, ...], out: Sequence[Any] | None
    ) -> None:
        """arrays: of NumPy, and residents. Raises ShapeError for buffers that do not fit."""
        gives = signature.gives
        self.out = [None] * len(gives) if out is None else list(out)
        if len(self.out) != len(gives):
            raise ShapeError(f"out= needs {len(gives)} arrays, {len(self.out)} given")
        names = [f"output {k}" for k in range(len(gives))] if len(gives) > 1 else ["the result"]
        self._buffers = [resident(b, f"the array of out= for {n}") for b, n in zip(self.out, names, strict=True)]
        there = [given if b is None else b for b, given in zip(self._buffers, self.out, strict=True)]
        wanted = [(b, (n, *each)) for b, n, each in zip(there, names, gives, strict=True) if b is not None]
        check_buffers([b for b, _ in wanted], [w for _, w in wanted], loop, device=True)
        read = [a for a in arrays if isinstance(a, Resident)]
        self._used = [*read, *(b for b in self._buffers if b is not None)]
        _check_device(self._used)
        self.stream = shared([r.stream for r in self._used])
        #: as launches take it
        self.queue = opened(self.stream)
        self._others = {r.stream for r in self._used if r.stream is not None}
        for stream in self._others:
            after(stream, self.stream)
        for each in self._used:
            _ready(each, self.stream)
        shadows = [r.shadow() for r in read]
        #: arrays without gaps for the results: the buffers, unless they have gaps or share memory with what is read
        self.results = []
        for (core, dtype), buffer in zip(gives, self._buffers, strict=True):
            if buffer is None or not _fits(buffer, shadows):
                self.results.append(package().cuda.device_array((*loop, *core), dtype, stream=self.queue))
            else:
                line = package().line(buffer, buffer.address, buffer.size)
                self.results.append(line.reshape((*loop, *core)))

    @classmethod
    def of(
        cls, signature: Signature, arrays: Sequence[Any], loop: tuple[int, ...], out: Sequence[Any] | None
    ) -> DeviceCall | None:
        """None where all arguments and buffers are NumPy's, which are checked."""
        if any(isinstance(a, Resident) for a in arrays) or any(resident(b) is not None for b in out or ()):
            return cls(signature, arrays, loop, out)
        if out is not None:
            signature.check_out(out, loop)
        return None

    def done(self) -> list[Any]:
        """The results, or the buffers that they were written into; of these NumPy's are waited for."""
        given = []
        for result, buffer, target in zip(self.results, self.out, self._buffers, strict=True):
            if buffer is None:
                given.append(package().result(result, self.stream))
                continue
            given.append(buffer)
            if isinstance(buffer, np.ndarray):
                buffer[...] = to_host(result, self.queue)
            elif target is not None and target.size and not _same(result, target):
                lay(result.reshape(target.size), target, self.queue)
        for stream in self._others:
            after(self.stream, stream)
        keep([r for r in self._used if r.stream is None], self.stream)
        return given


def _fits(buffer: Resident, shadows: Sequence[np.ndarray]) -> bool:
    """Whether a result may be computed where it belongs."""
    if not buffer.is_contiguous() or not buffer.size:
        return False
    return not any(np.may_share_memory(buffer.shadow(), s) for s in shadows)


def _check_device(arrays: Sequence[Resident]) -> None:
    used = package()
    if used.simulated or all(a.device is None for a in arrays):
        return
    own = used.cuda.get_current_device().id
    for a in arrays:
        if a.device not in (None, own):
            raise ArgumentError(f"an array lies on GPU {a.device}, but kernels run on GPU {own}: move it there first")


def _ready(array: Resident, stream: int) -> None:
    """What is queued on the stream from now on runs after an array is made, by a maker that alone knows where."""
    if array.stream is not None:
        return
    try:
        array.owner.__dlpack__(stream=stream)
    except Exception as problem:  # whatever a library raises
        raise ArgumentError(f"an array on the device cannot be waited for: {problem}") from None


def _same(result: Any, target: Resident) -> bool:
    """Whether a result was computed where it belongs."""
    found = resident(result)
    return found is not None and target.is_contiguous() and found.address == target.address


def flat(array: Any, loop: tuple[int, ...], core: tuple[int, ...], dtype: type, stream: Any) -> tuple[Any, bool]:
    """(a flat device array, whether it holds one value for all points)."""
    cuda = package().cuda
    own = tuple(array.shape[: array.ndim - len(core)])
    same = math.prod(own) == 1
    if isinstance(array, np.ndarray):
        laid = array if same or own == loop else np.broadcast_to(array, (*loop, *core))
        return cuda.to_device(np.ascontiguousarray(laid, dtype).reshape(-1), stream), same
    if (same or own == loop) and array.is_contiguous():
        return package().line(array, array.address, array.size), same
    from .copies import gather

    full = (*(own if same else loop), *core)
    missing = len(full) - array.ndim
    shape, strides = (1,) * missing + array.shape, (0,) * missing + array.strides
    result = cuda.device_array(math.prod(full), array.dtype, stream=stream)
    steps = [0 if n == 1 else s for n, s in zip(shape, strides, strict=True)]
    _spread(gather, array, full, steps, result, stream)
    return result, same


def lay(line: Any, target: Resident, stream: Any) -> None:
    """A flat array's elements, in order, into an array that may have gaps."""
    from .copies import scatter

    _spread(scatter, target, target.shape, target.strides, line, stream)


def _spread(kernel: Any, array: Resident, shape: Sequence[int], strides: Sequence[int], line: Any, stream: Any) -> None:
    """A kernel over the elements of a flat array, and those of an array of this shape and strides that it belongs to."""
    if not line.size:
        return
    cuda, itemsize = package().cuda, array.dtype.itemsize
    ends = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low = sum(e for e in ends if e < 0)
    length = sum(map(abs, ends)) // itemsize + 1
    memory = package().line(array, array.address + low, length)
    sizes = cuda.to_device(np.array(list(shape) or [1], np.int64), stream)
    steps = cuda.to_device(np.array([s // itemsize for s in strides] or [0], np.int64), stream)
    kernel[min(-(-line.size // BLOCK), 1024), BLOCK, stream](memory, -low // itemsize, sizes, steps, line)


def to_host(result: Any, stream: Any = 0) -> np.ndarray:
    """A copy of a device array without gaps, which is there when this returns."""
    found: np.ndarray = result.copy_to_host(stream=stream)
    if stream:
        stream.synchronize()
    return found


def fetched(value: Any) -> Any:
    """What lies on the device as an array of NumPy, which is waited for; anything else as it is."""
    array = resident(value)
    if array is None:
        return value
    stream = shared([array.stream])
    _ready(array, stream)
    if not array.size:
        return np.empty(array.shape, array.dtype)
    line, _ = flat(array, (), array.shape, array.dtype.type, opened(stream))
    return to_host(line, opened(stream)).reshape(array.shape)


def placed(array: np.ndarray) -> Any:
    """An array of NumPy on the device, as results are."""
    return package().result(package().cuda.to_device(np.ascontiguousarray(array)), shared([]))
