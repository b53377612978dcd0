"""Which package compiles for NVIDIA's GPUs, and what of it the kernels use: the part that all of them, and the simulator, share.

NVIDIA's numba-cuda takes the place of Numba's built-in module where it is installed; numba-cuda-mlir is its successor. With
NUMBA_ENABLE_CUDASIM=1 in the environment Numba's simulator runs kernels as Python functions, a thread of Python for each of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ...errors import UnavailableError

#: packages, and the module of each; the first that is there is used
PACKAGES = {"numba-cuda": "numba.cuda", "numba-cuda-mlir": "numba_cuda_mlir.cuda", "numba": "numba.cuda"}
#: functions of both precisions, by their name for doubles, and in libdevice
_NAMES = {
    "mul": ("dmul_rn", "fmul_rn"), "floor": ("floor", "floorf"), "ceil": ("ceil", "ceilf"), "trunc": ("trunc", "truncf"),
    "rint": ("rint", "rintf"), "fabs": ("fabs", "fabsf"), "sqrt": ("sqrt", "sqrtf"), "copysign": ("copysign", "copysignf"),
    "fma": ("fma", "fmaf"), "bits": ("double_as_longlong", "float_as_int"), "floats": ("longlong_as_double", "int_as_float"),
}  # fmt: skip


@dataclass(frozen=True)
class Package:
    #: as it is installed: "numba-cuda 0.30.4"
    name: str
    #: the module `cuda`
    cuda: Any
    simulated: bool
    #: functions of a kernel by the names that its source has for them
    functions: Mapping[str, Callable]

    def on_device(self, value: Any) -> Any:
        """An array that lies on the device (of CuPy, PyTorch, JAX, Numba) as Numba's; None for anything else."""
        if isinstance(value, np.ndarray):
            return None
        if self.simulated:
            return value if hasattr(value, "copy_to_host") else None
        return self.cuda.as_cuda_array(value) if hasattr(value, "__cuda_array_interface__") else None

    def line(self, array: Any) -> tuple[Any, int]:
        """All memory that a device array has elements in, as a flat array, and where in it the first element is."""
        steps = [(n - 1) * s // array.dtype.itemsize for n, s in zip(array.shape, array.strides, strict=True)]
        length, first = 1 + sum(map(abs, steps)), -sum(s for s in steps if s < 0)
        if self.simulated:
            lowest = array._ary[tuple(slice(None, None, -1 if s < 0 else 1) for s in array.strides)]
            return type(array)(np.lib.stride_tricks.as_strided(lowest, (length,), (array.dtype.itemsize,))), first
        return self.cuda.as_cuda_array(_Line(array, length, first)), first

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether two device arrays have memory in common (or, with gaps in them, may have)."""
        if self.simulated:
            return bool(np.may_share_memory(a._ary, b._ary))
        (begin, end), (first, last) = _extent(a), _extent(b)
        return begin < last and first < end


def _extent(array: Any) -> tuple[int, int]:
    """The bytes that an array's elements lie within."""
    ends = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    begin = array.__cuda_array_interface__["data"][0]
    low = begin + sum(e for e in ends if e < 0)
    return low, begin + sum(e for e in ends if e > 0) + array.dtype.itemsize if array.size else low


class _Line:
    def __init__(self, array: Any, length: int, first: int) -> None:
        self._held = array  # whose memory it is
        described = dict(array.__cuda_array_interface__)
        address, read_only = described["data"]
        described.update(shape=(length,), strides=None, data=(address - first * array.dtype.itemsize, read_only))
        self.__cuda_array_interface__ = described


@lru_cache(maxsize=1)
def package() -> Package:
    """UnavailableError where none is installed."""
    for name, path in PACKAGES.items():
        try:
            found = f"{name} {version(name)}"
            cuda = import_module(path)
        except (PackageNotFoundError, ImportError):
            continue
        simulated = bool(getattr(import_module("numba.core.config"), "ENABLE_CUDASIM", 0)) and path == "numba.cuda"
        if simulated:
            return Package(f"the simulator of {found}", cuda, True, _SIMULATED)
        libdevice = import_module(f"{path}.libdevice")
        functions = {
            name + letter: getattr(libdevice, own)
            for name, pair in _NAMES.items()
            for letter, own in zip("df", pair, strict=True)
        }
        return Package(found, cuda, False, functions)
    raise UnavailableError('machine="cuda" needs a package that compiles for GPUs: pip install "diffkit[cuda]"')


def problem() -> str:
    """What is missing to run anything on a GPU here; empty where nothing is."""
    try:
        found = package()
    except UnavailableError as missing:
        return str(missing)
    if found.simulated:
        return ""
    try:
        if not found.cuda.is_available():
            said = f"{found.name} finds no NVIDIA GPU, or no driver for one (nvidia-smi shows both)"
            if found.name.startswith("numba-"):
                return said
            return said + '; NVIDIA\'s own compiler comes with pip install "diffkit[cuda]"'
        found.cuda.current_context()
    except Exception as failure:  # whatever a driver raises
        return f"{found.name} cannot use the GPU: {failure}"
    return ""


# ---- what the simulator, which runs kernels in Python, has for libdevice's functions: the very same results ----
def _fma(x: Any, y: Any, z: Any) -> Any:
    """x·y + z with one rounding."""
    plain = x * y + z
    if not (math.isfinite(x) and math.isfinite(y)):
        return plain
    if not math.isfinite(z):
        return z
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    return _rounded(exact, type(x)) if exact else plain  # which has the sign that a zero should have


def _rounded(exact: Fraction, kind: type) -> Any:
    try:
        near = float(exact)
    except OverflowError:
        return kind(math.inf if exact > 0 else -math.inf)
    if kind is np.float32 and Fraction(near) != exact and not int(np.float64(near).view(np.int64)) & 1:
        near = math.nextafter(
            near, math.inf if exact > near else -math.inf
        )  # to odd: what rounds it again has a sticky bit
    return kind(near)


def _quietly(function: Callable, kind: type) -> Callable:
    def call(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*(kind(a) for a in args))

    return call


def _simulated() -> dict[str, Callable]:
    made: dict[str, Callable] = {}
    numpys: dict[str, Callable] = {
        "mul": np.multiply, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "rint": np.rint, "fabs": np.abs,
        "sqrt": np.sqrt, "copysign": np.copysign, "fma": _fma,
    }  # fmt: skip
    for letter, kind, integer in (("d", np.float64, np.int64), ("f", np.float32, np.int32)):
        made.update({name + letter: _quietly(function, kind) for name, function in numpys.items()})
        made["bits" + letter] = lambda x, kind=kind, integer=integer: kind(x).view(integer)
        made["floats" + letter] = lambda x, kind=kind, integer=integer: integer(x).view(kind)
    return made


_SIMULATED = _simulated()
