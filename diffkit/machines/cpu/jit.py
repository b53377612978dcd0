"""Numba's compiler, kept in its cache where that can be: an installation may be read-only, and a kept file damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def native(signature: str) -> Callable[[Callable], Any]:
    """Compile a function for this signature, now; it runs without the interpreter's lock."""

    def decorate(function: Callable) -> Any:
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except Exception:  # compiled anew, for this process alone; what is wrong with the function itself shows again
            return njit(signature, nogil=True)(function)

    return decorate
