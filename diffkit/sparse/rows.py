"""Rows: for every element of a value a set of columns (input elements), as index arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ExceededError

#: most entries of one value; more would hardly fit into memory
LIMIT = 200_000_000


class TooManyError(ExceededError):
    """A pattern that is not followed any further."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"sparse=True: {problem}. Take the derivative part by part (fewer outputs, or fewer inputs by argnums= or wrt=), leave "
            "sparse=True out if the dense array fits into memory, or use jvp, vjp or hvp, which form no matrix"
        )


class Rows:
    """Row i is the set `index[ptr[i]:ptr[i + 1]]`, ascending. Never changed once made."""

    __slots__ = ("columns", "index", "ptr")

    def __init__(self, ptr: np.ndarray, index: np.ndarray, columns: int) -> None:
        self.ptr, self.index, self.columns = ptr, index, columns

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def __repr__(self) -> str:
        return f"<Rows {len(self)} × {self.columns}, {self.count} entries>"

    @property
    def count(self) -> int:
        return len(self.index)

    @classmethod
    def units(cls, start: int, size: int, columns: int) -> Rows:
        """Row i is the set of column start + i alone."""
        return cls(np.arange(size + 1, dtype=np.int64), np.arange(start, start + size, dtype=np.int32), columns)

    @classmethod
    def empty(cls, size: int, columns: int) -> Rows:
        return cls(np.zeros(size + 1, np.int64), np.empty(0, np.int32), columns)

    @classmethod
    def between(cls, start: np.ndarray, end: np.ndarray, index: np.ndarray, columns: int) -> Rows:
        """Row i is the set index[start[i]:end[i]]."""
        ptr = _ends(end - start)
        made = np.empty(checked(int(ptr[-1])), np.int32)
        native().take(start, index, np.arange(len(start)), ptr, made)
        return cls(ptr, made, columns)

    def lengths(self) -> np.ndarray:
        return np.diff(self.ptr)

    def owners(self) -> np.ndarray:
        """The row of every entry."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths())

    def take(self, rows: np.ndarray) -> Rows:
        """The rows of these numbers."""
        return Rows.between(self.ptr[rows], self.ptr[1:][rows], self.index, self.columns)

    def where(self, some: np.ndarray) -> Rows:
        """These rows (one truth value a row), the others empty."""
        return Rows(_ends(self.lengths() * some), self.index[np.repeat(some, self.lengths())], self.columns)

    def union(self, other: Rows) -> Rows:
        """Row by row. Where one of the two has all entries, it is the result."""
        if self is other or not other.count:
            return self
        if not self.count:
            return other
        ptr, index = np.zeros_like(self.ptr), np.empty(checked(self.count + other.count), np.int32)
        count = native().union(self.ptr, self.index, other.ptr, other.index, ptr, index)
        for one in (self, other):
            if one.count == count:
                return one
        return Rows(ptr, index[:count].copy(), self.columns)

    def fold(self, members: np.ndarray, groups: np.ndarray, count: int) -> Rows:
        """Row g is the union of the rows `members` whose number in `groups` (each below `count`) is g."""
        if np.any(groups[1:] < groups[:-1]):
            order = np.argsort(groups, kind="stable")
            members, groups = members[order], groups[order]
        most = checked(int(self.lengths()[members].sum()))
        ptr, index = np.zeros(count + 1, np.int64), np.empty(most, np.int32)
        ends = _ends(np.bincount(groups, minlength=count))
        seen = np.full(self.columns, -1, np.int32)
        total = native().fold(self.ptr, self.index, np.require(members, np.int64, ["C", "W"]), ends, ptr, index, seen)
        return Rows(ptr, index[:total].copy(), self.columns)

    def transpose(self) -> Rows:
        """For every column the set of rows that have it."""
        ptr, index = np.zeros(self.columns + 1, np.int64), np.empty_like(self.index)
        native().transpose(self.ptr, self.index, ptr, index)
        return Rows(ptr, index, len(self))

    def without_diagonal(self) -> Rows:
        owners = self.owners()
        off = owners != self.index
        return Rows(_ends(np.bincount(owners[off], minlength=len(self))), self.index[off], self.columns)

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """All rows of these, one after the other."""
        if len(parts) == 1:
            return parts[0]
        ptr = _ends(np.concatenate([p.lengths() for p in parts]))
        return Rows(ptr, np.concatenate([p.index for p in parts]), parts[0].columns)


def _ends(lengths: np.ndarray) -> np.ndarray:
    ptr = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ptr[1:])
    return ptr


def checked(count: int) -> int:
    if count > LIMIT:
        raise TooManyError(f"a value depends on inputs in {count:,} places, more than the {LIMIT:,} that are followed")
    return count


def native() -> Any:
    """The loops over rows in native code."""
    from ..machines.cpu import graphs  # Numba, when first needed

    return graphs
