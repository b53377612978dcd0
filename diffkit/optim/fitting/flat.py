"""Arrays of a nest side by side in memory: what is done to each element is then done to all of them in one pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import optree

from ...expr.trace import flatten
from ..first_order.base import aligned
from ..state import State

#: every array begins where a vector in memory may
ALIGNED = 8
#: and all of them together are so many vectors of any kernel as make a whole number
WHOLE = 64
#: elements whose squares are added up in the array's own precision (OpenBLAS gives more than 10,000 to several threads)
ROW = 4096
#: sums of squares below this may have lost some to underflow, in single precision
LEAST_SQUARES = 1e-28


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
        self.whole = {dtype: aligned((-(-n // WHOLE) * WHOLE,), dtype) for dtype, n in sizes.items()}
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
        with np.errstate(over="ignore", invalid="ignore"):
            total = sum(_squares(a) for a in self.whole.values())
        if LEAST_SQUARES < total < math.inf or not any(a.any() for a in self.whole.values()):
            return math.sqrt(total)
        largest = max(float(np.abs(a).max(initial=0)) for a in self.whole.values())  # squares left the range of numbers
        if not 0 < largest < math.inf:
            return largest
        scaled = (a.astype(np.float64) / largest for a in self.whole.values())
        return largest * math.sqrt(sum(float(np.sum(a * a)) for a in scaled))


def _squares(array: np.ndarray) -> float:
    """The sum of squares. Rows are too short for BLAS to share them out: it has the same bits at any number of threads."""
    whole = array.size - array.size % ROW
    rows = array[:whole].reshape(-1, ROW)
    return float(np.vecdot(rows, rows).sum(dtype=np.float64)) + float(np.dot(array[whole:], array[whole:]))
