"""How interpreters are compiled: as functions that call each other by address, each once, and only those that are needed."""

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


class Native:
    """A native function of so many words (int64): called by its address in native code (addresses.enter), and in Python as it is,
    without the interpreter's lock."""

    def __init__(self, words: int, address: int | None = None) -> None:
        self._words = words
        if address is not None:
            self.address = address

    @cached_property
    def address(self) -> int:
        raise NotImplementedError

    def __call__(self, *words: int) -> None:
        self._call(*words)

    @cached_property
    def _call(self) -> Callable[..., None]:
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * self._words)(self.address)


class Shared(Native):
    """One that is compiled when it is needed."""

    def __init__(self, function: Callable) -> None:
        super().__init__(function.__code__.co_argcount)
        self._function = function
        self._compiling = threading.Lock()

    @cached_property
    def address(self) -> int:
        with self._compiling:
            return int(self._code.address)

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
        "addresses.py",
        "plan.py",
        "team.py",
        "tiles.py",
        "arrays/opcodes.py",
        "arrays/interpreting/blas.py",
        "arrays/interpreting/loop_drivers.py",
        "arrays/interpreting/state.py",
        "arrays/interpreting/subnormals.py",
        "arrays/interpreting/tiling.py",
    ):
        digest.update((here / name).read_bytes())
    return digest.hexdigest()
