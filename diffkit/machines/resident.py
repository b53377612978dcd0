"""Arrays that lie in a GPU's memory, whoever made them: what they say of themselves, read without moving or waiting for anything.

CuPy, PyTorch, JAX and Numba describe their arrays by `__cuda_array_interface__`; what has DLPack alone is read by `cuda.core`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import ArgumentError, DiffkitError, DtypeError, UnavailableError

#: the handle of CUDA's default stream, as both protocols write it
DEFAULT_STREAM = 1
#: DLPack's devices whose memory kernels may work in: a GPU's own, and managed memory (dlpack.h: kDLCUDA, kDLCUDAManaged)
_DEVICES = (2, 13)


class _Described:
    """What NumPy reads an array's place from."""

    def __init__(self, owner: Any, interface: dict[str, Any]) -> None:
        self.owner, self.__array_interface__ = owner, interface


@dataclass(frozen=True, eq=False)
class Resident:
    """An array on the device: where, how it is laid out, and what is known of the work that makes it."""

    #: as it was given
    owner: Any
    address: int
    shape: tuple[int, ...]
    #: in bytes
    strides: tuple[int, ...]
    dtype: np.dtype
    read_only: bool = False
    #: the handle of the stream that its maker works on; None: known to its maker alone, who is asked by DLPack to be waited for
    stream: int | None = DEFAULT_STREAM
    #: the number of its GPU, where it is told
    device: int | None = None
    #: what else keeps the memory
    held: Any = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def is_contiguous(self) -> bool:
        """In C order and without gaps."""
        plain = _steps(self.shape, self.dtype.itemsize)
        return not self.size or all(n == 1 or s == p for n, s, p in zip(self.shape, self.strides, plain, strict=True))

    def moved(self, axis: int, to: int) -> Resident:
        """The same memory with an axis in another place, as `numpy.moveaxis`."""
        order = [k for k in range(self.ndim) if k != axis % self.ndim]
        order.insert(to, axis % self.ndim)
        shape, strides = (tuple(given[k] for k in order) for given in (self.shape, self.strides))
        return replace(self, shape=shape, strides=strides)

    def shadow(self) -> np.ndarray:
        """An array of NumPy that lies where this does, to be asked what it overlaps with: its elements cannot be read."""
        if not self.size:
            return np.empty(self.shape, self.dtype)
        place = {"data": (self.address, False), "strides": self.strides, "version": 3}
        return np.asarray(_Described(self, {"shape": self.shape, "typestr": self.dtype.str, **place}))


def _steps(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides in C order, without gaps."""
    return tuple(itemsize * math.prod(shape[d + 1 :]) for d in range(len(shape)))


def is_on_device(value: Any) -> bool:
    """Whether it lies in a GPU's memory: by `__cuda_array_interface__` or DLPack's `__dlpack_device__`, or simulated."""
    if isinstance(value, (np.ndarray, np.generic, float, int)):
        return False
    if isinstance(value, Resident):
        return True
    where = getattr(value, "__dlpack_device__", None)
    try:
        if where is not None and where()[0] in _DEVICES:
            return True
        if hasattr(value, "__cuda_array_interface__"):
            return True
    except Exception:  # PyTorch's of a tensor that requires a gradient, JAX's of an array on several devices
        return hasattr(type(value), "__cuda_array_interface__")
    return hasattr(value, "copy_to_host") and hasattr(value, "shape")


def resident(value: Any, name: str = "the value") -> Resident | None:
    """An array on the device; None for what does not lie there.

    Raises DtypeError for what are no real numbers, ArgumentError for what its library does not give away (a PyTorch tensor that
    requires a gradient), UnavailableError where it has DLPack alone and `cuda.core` is missing.
    """
    if isinstance(value, Resident):
        return value
    if not is_on_device(value):
        return None
    try:
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is not None:
            found = _by_interface(value, interface)
        elif hasattr(value, "copy_to_host"):
            found = _simulated(value)
        else:
            found = _by_dlpack(value)
    except DiffkitError:
        raise
    except Exception as problem:  # whatever a library raises
        raise ArgumentError(f"{name} lies on a GPU and cannot be taken as it is: {problem}") from None
    dtype = found.dtype
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or not dtype.isnative:
        raise DtypeError(f"{name} is an array of {dtype} on the device; it must hold real numbers")
    if found.size and any(s % dtype.itemsize for s in found.strides):
        raise ArgumentError(f"{name} lies on the device with parts of an element between its elements: copy it first")
    return found


def _by_interface(value: Any, interface: dict[str, Any]) -> Resident:
    if interface.get("mask") is not None:
        raise ArgumentError("it has a mask; fill the masked elements, or leave them out")
    dtype, shape, (address, read_only) = np.dtype(interface["typestr"]), tuple(interface["shape"]), interface["data"]
    strides = interface.get("strides") or _steps(shape, dtype.itemsize)
    stream = interface.get("stream")
    return Resident(
        value,
        int(address or 0),
        shape,
        tuple(strides),
        dtype,
        bool(read_only),
        _maker(value) if stream is None else int(stream) or DEFAULT_STREAM,
    )


def _maker(value: Any) -> int | None:
    """The stream of an array whose description names none."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return int(torch.cuda.current_stream(value.device).cuda_stream) or DEFAULT_STREAM
    return None if hasattr(value, "__dlpack__") else DEFAULT_STREAM


def _simulated(value: Any) -> Resident:
    """Numba's simulator keeps its arrays in NumPy's."""
    held, stream = value._ary, getattr(value, "stream", 0)
    named = int(stream) or DEFAULT_STREAM if hasattr(stream, "__int__") else DEFAULT_STREAM
    address = held.__array_interface__["data"][0]
    return Resident(value, address, held.shape, held.strides, held.dtype, not held.flags.writeable, named)


def _by_dlpack(value: Any) -> Resident:
    try:
        kind_of_view = import_module("cuda.core.utils").StridedMemoryView
    except (ImportError, AttributeError):
        raise UnavailableError(
            f'a {type(value).__name__} on a GPU is read through cuda.core: pip install "diffkit[cuda]"'
        ) from None
    view = getattr(kind_of_view, "from_dlpack", kind_of_view)(value, -1)  # nothing is waited for
    shape, dtype = tuple(view.shape), view.dtype
    steps = _steps(shape, dtype.itemsize) if view.strides is None else [n * dtype.itemsize for n in view.strides]
    kind, number = value.__dlpack_device__()
    device = int(number) if kind == _DEVICES[0] else None
    return Resident(value, int(view.ptr), shape, tuple(steps), dtype, bool(view.readonly), None, device, view)
