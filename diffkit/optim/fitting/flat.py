"""Arrays of a nest side by side in memory: what is done to each element is then done to all of them in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import optree

from ...expr.collector import paused
from ...expr.node import variable
from ...expr.trace import flatten
from ...machines import machine as find_machine
from ...tape import record
from ..first_order.base import aligned
from ..state import State

#: every array begins where a vector in memory may
ALIGNED = 8


class Flat:
    """Arrays like those of a nest: `whole` has one array a dtype, `leaves` are views of it, `nest` is of these."""

    def __init__(self, like: Any) -> None:
        given, self.structure = flatten(like)
        sizes: dict[str, int] = {}
        self.places: list[tuple[str, int, tuple[int, ...]]] = []
        for leaf in given:
            start = sizes.get(leaf.dtype.name, 0)
            self.places.append((leaf.dtype.name, start, leaf.shape))
            sizes[leaf.dtype.name] = start + -(-leaf.size // ALIGNED) * ALIGNED
        self.whole = {dtype: aligned((n,), dtype) for dtype, n in sizes.items()}
        self.nest = self.opened(self.whole)
        self.leaves: list[np.ndarray] = flatten(self.nest)[0]

    def opened(self, whole: dict[str, np.ndarray]) -> Any:
        """The nest of views of arrays like `whole`."""
        views = [whole[d][at : at + math.prod(shape)].reshape(shape) for d, at, shape in self.places]
        return optree.tree_unflatten(self.structure, views)

    def opened_state(self, state: State) -> State:
        """An optimiser's state of `whole` as one of the nest: what has an array a dtype becomes the nest of its views."""
        slots = {n: self._opened_slot(slot) for n, slot in state.slots.items()}
        return replace(state, slots=slots)

    def _opened_slot(self, slot: Any) -> Any:
        if isinstance(slot, State):
            return self.opened_state(slot)
        return self.opened(slot) if isinstance(slot, dict) and slot.keys() == self.whole.keys() else slot

    def clear(self) -> None:
        for array in self.whole.values():
            array.fill(0)

    def scale(self, factor: float) -> None:
        for array in self.whole.values():
            array *= array.dtype.type(factor)

    def add(self, other: Flat, factor: float) -> None:
        for array, more in zip(self.whole.values(), other.whole.values(), strict=True):
            array += more * array.dtype.type(factor)

    def clip(self, most: float) -> None:
        for array in self.whole.values():
            np.clip(array, -most, most, out=array)

    def norm(self) -> float:
        """The Euclidean norm of all arrays; inf or NaN if and only if an entry is, or the norm itself is too large."""
        total = sum(_squares(a.size, a.dtype.name)([a])[0] for a in self.whole.values() if a.size)
        if 1e-280 < total < math.inf or not any(a.any() for a in self.whole.values()):
            return math.sqrt(total)
        largest = max(float(np.abs(a).max(initial=0)) for a in self.whole.values())  # squares left the range of doubles
        if not 0 < largest < math.inf:
            return largest
        scaled = (a.astype(np.float64) / largest for a in self.whole.values())
        return largest * math.sqrt(sum(float(np.sum(a * a)) for a in scaled))


@lru_cache(maxsize=64)
def _squares(size: int, dtype: str) -> Callable[..., Any]:
    """The sum of squares of an array, in float64, by the machine: in one order at any number of threads, unlike BLAS."""
    x = variable("x", (size,), dtype)
    with paused():
        total = np.sum(np.square(x.astype("float64")))  # type: ignore[attr-defined]
    return find_machine("cpu").compile(record(total, [x])).point()  # type: ignore[attr-defined]
