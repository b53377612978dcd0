"""The C++ written by hand that workloads are measured against: compiled by the system's compiler when it is first
wanted.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..harness import Contestant, Run, UnavailableError
from .ba import Scene
from .lstm import Network

#: ADBench's own flags, and those that let elementary functions be computed several at a time
EXACT, FAST = ("-O3", "-march=native"), ("-Ofast", "-march=native")


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """For compiled libraries; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="diffkit-bench-")


@cache
def library(name: str, flags: tuple[str, ...] = EXACT) -> ctypes.CDLL:
    """`name`.cpp beside this file as a library. UnavailableError where there is no compiler, or it does not compile
    it.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise UnavailableError("there is no C++ compiler")
    made = Path(_folder().name) / f"{name}{''.join(flags)}.so"
    source, compiled = Path(__file__).with_name(f"{name}.cpp"), made.with_suffix(".o")
    # linked without the flags: with -Ofast a library flushes subnormal numbers to zero in the whole process that loads it
    for command in (
        [compiler, "-std=c++17", *flags, "-fPIC", "-c", str(source), "-o", str(compiled)],
        [compiler, "-shared", str(compiled), "-o", str(made)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"{compiler} does not compile {name}.cpp: {done.stderr.strip()[:200]}")
    return ctypes.CDLL(str(made))


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _packed(*arrays: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(a, np.int64 if a.dtype.kind == "i" else float) for a in arrays]


def ba_run(scene: Scene, flags: tuple[str, ...] = EXACT, structure: bool = False) -> Run:
    """The values of the Jacobian, or with `structure` indices and row pointers too, at every call."""
    call = library("ba", flags)["ba_assembled" if structure else "ba_values"]
    call.restype = None
    p = scene.observations
    given = _packed(scene.cameras, scene.points, scene.weights, scene.seen, scene.by_camera, scene.of_point)
    data, indices, indptr = np.full(31 * p, 0.0), np.full(31 * p, 0, np.int32), np.full(3 * p + 1, 0, np.int32)
    sizes = (len(scene.cameras), len(scene.points), p) if structure else (p,)
    written = (data, indices, indptr) if structure else (data,)
    arguments = [*map(ctypes.c_int64, sizes), *map(_address, given), *map(_address, written)]

    def run(held: Any = given) -> list[np.ndarray]:
        call(*arguments)
        return list(written)

    return run


def lstm_run(network: Network, flags: tuple[str, ...] = EXACT) -> Run:
    """The gradient by main and extra."""
    code = library("lstm", flags)
    call, kept_numbers = code["lstm_gradient"], code["lstm_kept"]
    call.restype, kept_numbers.restype = ctypes.c_double, ctypes.c_int64
    given = _packed(*network.arguments)
    (c, b), layers = network.sequence.shape, len(network.main) // 2
    sizes = [ctypes.c_int64(n) for n in (layers, c, b)]
    kept, out = (
        np.full(kept_numbers(*sizes), 0.0),
        [np.full(network.main.shape, 0.0), np.full(network.extra.shape, 0.0)],
    )
    arguments = [*sizes, *map(_address, given), *map(_address, out), _address(kept)]

    def run(held: Any = (given, kept)) -> list[np.ndarray]:
        call(*arguments)
        return out

    return run


def contestant(name: str, how: str, build: Any, flags: tuple[str, ...]) -> Contestant:
    """A row of the C++."""
    return Contestant("ctypes", name, f"by hand, {' '.join(flags)}, one thread, {how}", build)
