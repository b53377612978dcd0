"""Ways to leave a point: along one entry, or along all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..functions.function import Function, Leaf


class Directions(Protocol):
    count: int
    #: (count,): how far along it the function may be expected to change
    scale: np.ndarray

    def shifted(self, d: int, t: float) -> tuple[np.ndarray, float]:
        """The point at t along direction d, and how far along it that is after rounding."""
        ...

    def dot(self, d: int, rows: np.ndarray) -> np.ndarray:
        """The derivative along d of rows (…, entries) of a Jacobian."""
        ...


def scales(function: Function) -> np.ndarray:
    """(entries,): how far each may be expected to have to move until the function changes much: its size; its neighbours' at 0."""
    found = np.abs(function.point)
    for leaf in function.leaves:
        own = found[leaf.entries]
        zero = own < 1e-300
        if zero.any():
            own[zero] = np.median(own[~zero]) if not zero.all() else 1.0
    return found


class Entries:
    """One direction an entry."""

    def __init__(self, function: Function, entries: Sequence[int] | np.ndarray, scale: np.ndarray) -> None:
        self.entries = np.asarray(entries, dtype=np.int64)
        self.count, self.scale = len(self.entries), scale[self.entries]
        self._point = function.point
        single = np.zeros(function.size, bool)
        for leaf in function.leaves:
            single[leaf.entries] = leaf.dtype == "float32"
        self._single = single

    def shifted(self, d: int, t: float) -> tuple[np.ndarray, float]:
        i = self.entries[d]
        z = self._point.copy()
        with np.errstate(over="ignore"):
            z[i] = np.float32(z[i] + t) if self._single[i] else z[i] + t
        return z, float(z[i] - self._point[i])

    def dot(self, d: int, rows: np.ndarray) -> np.ndarray:
        return rows[..., self.entries[d]]


class Dense:
    """Random directions of ±1 times 0.5 to 1.5 times the entries' scales, over all leaves or one; made anew from the seed whenever
    they are needed, lest as many copies of the arguments are kept as there are directions."""

    def __init__(
        self, function: Function, seeds: Sequence[Sequence[int]], leaves: Sequence[Leaf | None], scale: np.ndarray
    ) -> None:
        """seeds: one a direction; leaves: the leaf that it moves (None: all)."""
        self.count, self.scale = len(seeds), np.ones(len(seeds))
        self.leaves = list(leaves)
        self._seeds, self.scales, self._point = list(seeds), scale, function.point
        self._last: tuple[int, slice, np.ndarray] | None = None

    def vector(self, d: int) -> tuple[slice, np.ndarray]:
        """Which entries it moves, and by how much."""
        if self._last is not None and self._last[0] == d:
            return self._last[1:]
        leaf = self.leaves[d]
        part = leaf.entries if leaf is not None else slice(0, self._point.size)
        random = np.random.default_rng([abs(int(s)) for s in self._seeds[d]])
        own = self.scales[part]
        sign = random.integers(0, 2, own.size, dtype=np.int8) * 2 - 1
        v = random.uniform(0.5, 1.5, own.size)
        v *= sign
        v *= own
        self._last = (d, part, v)
        return part, v

    def shifted(self, d: int, t: float) -> tuple[np.ndarray, float]:
        part, v = self.vector(d)
        z = self._point.copy()
        z[part] += t * v
        return z, t

    def dot(self, d: int, rows: np.ndarray) -> np.ndarray:
        part, v = self.vector(d)
        with np.errstate(invalid="ignore", over="ignore"):
            return rows[..., part] @ v
