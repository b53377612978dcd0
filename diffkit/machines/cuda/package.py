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
from ..resident import DEFAULT_STREAM, Resident

#: packages, and the module of each; the first that is there is used
PACKAGES = {"numba-cuda": "numba.cuda", "numba-cuda-mlir": "numba_cuda_mlir.cuda", "numba": "numba.cuda"}
#: functions of both precisions, by their name for doubles, and in libdevice
_NAMES = {
    "mul": ("dmul_rn", "fmul_rn"), "floor": ("floor", "floorf"), "ceil": ("ceil", "ceilf"), "trunc": ("trunc", "truncf"),
    "rint": ("rint", "rintf"), "fabs": ("fabs", "fabsf"), "sqrt": ("sqrt", "sqrtf"), "copysign": ("copysign", "copysignf"),
    "fma": ("fma", "fmaf"), "bits": ("double_as_longlong", "float_as_int"), "floats": ("longlong_as_double", "int_as_float"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Package:
    #: as it is installed: "numba-cuda 0.30.4"
    name: str
    #: the module `cuda`
    cuda: Any
    simulated: bool
    #: functions of a kernel by the names that its source has for them
    functions: Mapping[str, Callable]

    def line(self, of: Resident, address: int, length: int) -> Any:
        """So many elements from an address on, which is in an array's memory, as a flat array of Numba's. Nothing is waited for."""
        if self.simulated:
            part = Resident(of, address, (length,), (of.dtype.itemsize,), of.dtype)
            return type(self.cuda.device_array(1))(part.shadow())
        return self.cuda.as_cuda_array(_Line(of, address, length), sync=False)

    def event(self) -> Any:
        """One that tells no time."""
        return self.cuda.event() if self.simulated else self.cuda.event(timing=False)

    def result(self, array: Any, stream: int) -> Any:
        """An array of Numba's as calls give it: it names the stream that it is computed on."""
        if self.simulated:
            return array
        cuda = self.cuda
        on = cuda.legacy_default_stream() if stream == DEFAULT_STREAM else cuda.external_stream(stream)
        kind = device_array_class(type(array), self)  # type: ignore[arg-type]
        return kind(array.shape, array.strides, array.dtype, stream=on, gpu_data=array.gpu_data)


class _Line:
    def __init__(self, of: Resident, address: int, length: int) -> None:
        self._of = of  # whose memory it is
        self.__cuda_array_interface__ = {
            "shape": (length,), "strides": None, "typestr": of.dtype.str, "data": (address, False), "version": 3,
        }  # fmt: skip


@lru_cache
def device_array_class(base: type, used: Package) -> type:
    """Numba's device array with DLPack as well, for which its consumer's stream waits, and not the host."""

    class DeviceArray(base):
        def reshape(self, *shape: Any, **options: Any) -> Any:
            """As Numba's, on the same stream."""
            return super().reshape(*shape, **options).bind(self.stream)

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, used.cuda.get_current_device().id  # dlpack.h: kDLCUDA

        def __dlpack__(self, *, stream: int | None = None, **options: Any) -> Any:
            """stream: the consumer's; None is the default one, -1 if it takes care itself. BufferError without `cuda.core`."""
            try:
                view = import_module("cuda.core.utils").StridedMemoryView.from_cuda_array_interface(self, -1)
                export = view.__dlpack__
            except (ImportError, AttributeError):
                raise BufferError('DLPack needs cuda.core 1.0: pip install -U "diffkit[cuda]"') from None
            capsule = export(stream=-1, **options)
            if stream != -1:
                event = used.event()
                event.record(self.stream)
                event.wait(used.cuda.external_stream(int(stream or DEFAULT_STREAM)))
            return capsule

    return DeviceArray


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
