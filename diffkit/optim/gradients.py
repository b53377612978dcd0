"""The gradient of a function that an optimiser was handed, made once a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import ArgumentError
from ..transforms import grad

_known: WeakKeyDictionary[Any, Callable[[Any], Any]] = WeakKeyDictionary()


class WithGradient:
    """A function of the parameters that knows its gradient: what changes from one such function to the next need not be traced."""

    def gradient(self, params: Any) -> Any:
        """A nest like params; it is written over when the next is asked for."""
        raise NotImplementedError


def gradient_of(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`dk.grad(fun)`; the same one for the same function, so that it is traced and compiled once. Its own, where it has one."""
    if isinstance(fun, WithGradient):
        return fun.gradient
    if not callable(fun):
        raise ArgumentError(f"fun is a function of the parameters, not {type(fun).__name__}")
    try:
        found = _known.get(fun)
        if found is None:
            _known[fun] = found = grad(fun)
    except TypeError:  # no weak references to it
        found = grad(fun)
    return found
