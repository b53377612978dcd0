"""One kernel alone, as a function on arrays: to measure it, and to try one out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from .emit import Primitive, module
from .library import Loaded, compiled

_NUMPY = {"d": np.float64, "f": np.float32, "b": np.bool_}


def compile_kernel(
    kernel: Callable, arity: int = 1, dtype: str = "float64", *, conditions: int = 0, result: str = "float"
) -> Callable[..., np.ndarray]:
    """`kernel` compiled for this processor: takes `arity` arrays of one shape, gives an array of that shape.

    The first `conditions` arguments are boolean; `result` is "float" or "bool".
    """
    letter = {"float64": "d", "float32": "f"}[dtype]
    operands = ("b",) * conditions + (letter,) * (arity - conditions)
    primitive = Primitive("kernel", "b" if result == "bool" else letter, operands, kernel)
    loaded = Loaded(compiled(str(module([primitive]))))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64)(loaded.address("kernel"))

    def run(*args: np.ndarray) -> np.ndarray:
        arrays: list[np.ndarray] = [np.ascontiguousarray(a, _NUMPY[t]) for a, t in zip(args, operands, strict=True)]
        out: np.ndarray = np.empty(arrays[0].shape, _NUMPY[primitive.result])
        pointers = [a.ctypes.data for a in (out, *arrays)]
        call(*[*pointers, 0, 0, 0][:4], out.size)
        return out

    run.keep = loaded  # type: ignore[attr-defined]
    return run
