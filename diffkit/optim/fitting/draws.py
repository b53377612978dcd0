"""Random numbers of a traced function: draws become inputs of its tape, and are made anew for every step.

A draw that was made while tracing would be a constant of the tape, the same mask at every step. Here the function is traced with
an object that has the methods of NumPy's `Generator`: it notes each call and answers with a variable. A step then makes the
same calls, in the same order, on a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...expr.node import Expr, variable
from ...expr.trace import symbol_for, uids

#: methods of NumPy's Generator that do not give numbers, or write into what they are given
_OTHERS = {"bit_generator", "bytes", "shuffle", "spawn"}


def generator(*numbers: int) -> np.random.Generator:
    """The generator that these numbers alone make: the same on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers)))


class Draws:
    """What a loss is traced with in the place of a generator: ``rng.normal(0, 1, x.shape)``, ``rng.random(x.shape) < keep``."""

    def __init__(self) -> None:
        self.uid = next(uids)
        #: what the variables belong to while the loss is traced
        self.owner = variable("rng", (), "float64", self.uid)
        self.inputs: list[Expr] = []
        self._calls: list[Callable[[np.random.Generator], Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Expr]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _OTHERS or not callable(getattr(np.random.Generator, name, None)):
            raise ArgumentError(
                f"rng has no {name!r} here; it has the methods of numpy.random.Generator that give numbers "
                "(random, normal, uniform, integers, binomial, …)"
            )
        return partial(self._drawn, name)

    def _drawn(self, name: str, *args: Any, **kwargs: Any) -> Expr:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Expr):
                raise ArgumentError(
                    f"rng.{name} was given a traced value; draw standard numbers, and scale and shift those: "
                    "mean + deviation * rng.standard_normal(shape)"
                )
        call: Callable[[np.random.Generator], Any] = lambda source: getattr(source, name)(*args, **kwargs)
        symbol = symbol_for(np.asarray(call(generator(0))), f"rng.{name}[{len(self.inputs)}]", self.uid)
        self.inputs.append(symbol)
        self._calls.append(call)
        return symbol

    def __len__(self) -> int:
        return len(self._calls)

    def made(self, source: np.random.Generator) -> list[Any]:
        """The numbers of one call, in the order in which the loss asked for them."""
        return [call(source) for call in self._calls]
