"""How the interpreter is compiled: as functions that call each other by address, each once, and only those that a program needs."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

from numba import cfunc, types
from numba.extending import register_jitable

#: a part of such functions: compiled with each that calls it
part = register_jitable(nogil=True, error_model="numpy")


class Shared:
    """A function of words (int64), called by its address in native code (addresses.enter), and in Python as it is, without the
    interpreter's lock."""

    def __init__(self, function: Callable) -> None:
        self._function = function
        self._words = function.__code__.co_argcount
        self._compiling = threading.Lock()

    def __call__(self, *words: int) -> None:
        self._call(*words)

    @property
    def address(self) -> int:
        return int(self._compiled.address)

    @cached_property
    def _call(self) -> Callable[..., None]:
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * self._words)(self.address)

    @property
    def _compiled(self) -> Any:
        with self._compiling:
            return self._code

    @cached_property
    def _code(self) -> Any:
        signature, function = types.void(*[types.int64] * self._words), _marked(self._function)
        try:
            return cfunc(signature, error_model="numpy", cache=True)(function)
        except Exception:  # as in jit.native: the cache cannot be written, or what is kept there is damaged
            return cfunc(signature, error_model="numpy")(function)


def _marked(function: Callable) -> Callable:
    """The function with a closure that it makes no use of: what Numba keeps is for the same closure and for a file that has not
    changed since, but parts and numbers come from other files."""
    code = function.__code__.replace(co_freevars=("sources",))
    marked = FunctionType(code, function.__globals__, function.__name__, None, (CellType(_sources()),))
    marked.__module__, marked.__qualname__ = function.__module__, function.__qualname__
    return marked


@lru_cache(maxsize=1)
def _sources() -> str:
    here, digest = Path(__file__).parent, hashlib.sha256()
    for name in (
        "../../addresses.py",
        "../../tiles.py",
        "../opcodes.py",
        "blas.py",
        "loop_drivers.py",
        "state.py",
        "tiling.py",
    ):
        digest.update((here / name).read_bytes())
    return digest.hexdigest()
