"""Nests of arrays whose first axis counts examples: rows and pieces of them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import optree

from ...errors import ArgumentError, DataError, DtypeError, ShapeError
from ...expr.trace import flatten, names_of


class Examples:
    """Arrays, or a nest of them, with a first axis of equal length.

    Only the rows that are asked for are ever in memory: leaves may be memory-mapped, or anything with a shape that is indexed
    with increasing integers (HDF5). Raises DataError for no examples, ShapeError for lengths that differ, DtypeError and
    ArgumentError for what is no array of numbers.
    """

    def __init__(self, data: Any, what: str = "data") -> None:
        given, self.structure = flatten(data)
        names = names_of(data, what)
        if not given:
            raise DataError(f"{what} has no arrays: give an array, or a tuple or dict of arrays")
        self.leaves = [_array(leaf, name) for leaf, name in zip(given, names, strict=True)]
        lengths = [int(leaf.shape[0]) for leaf in self.leaves]
        for name, length in zip(names, lengths, strict=True):
            if length != lengths[0]:
                raise ShapeError(
                    f"{name} has {length} examples, but {names[0]} has {lengths[0]}: the first axis of all arrays must be the same"
                )
        if not lengths[0]:
            raise DataError(f"{what} has no examples: the first axis of {names[0]} is of length 0")
        self.count = lengths[0]
        self._in_file = [not isinstance(leaf, np.ndarray) or _mapped(leaf) for leaf in self.leaves]
        self._buffers: dict[int, list[np.ndarray | None]] = {}

    def between(self, start: int, stop: int) -> Any:
        """The examples in a range: views where leaves are arrays."""
        return optree.tree_unflatten(self.structure, [np.asarray(leaf[start:stop]) for leaf in self.leaves])

    def rows(self, rows: np.ndarray) -> Any:
        """These examples, in memory that the next call for as many writes over."""
        buffers = self._buffers.setdefault(len(rows), [None] * len(self.leaves))
        found = []
        for k, (leaf, in_file) in enumerate(zip(self.leaves, self._in_file, strict=True)):
            if in_file:  # from the front to the back: a disk, and HDF5, would have it so
                unique, inverse = np.unique(rows, return_inverse=True)
                found.append(np.asarray(leaf[unique])[inverse])
            elif not leaf.flags.c_contiguous:  # `take` would copy all of it
                found.append(leaf[rows])
            else:
                taken = buffers[k] = np.take(leaf, rows, axis=0, out=buffers[k], mode="clip")
                found.append(taken)
        return optree.tree_unflatten(self.structure, found)


def _array(leaf: Any, name: str) -> Any:
    if isinstance(leaf, np.ndarray) or hasattr(leaf, "to_numpy"):
        leaf = np.asarray(leaf) if not isinstance(leaf, np.memmap) else leaf
        if leaf.dtype.kind not in "fiub":
            raise DtypeError(f"{name} has dtype {leaf.dtype}; give numbers (labels as integers)")
    if not hasattr(leaf, "shape") or not hasattr(leaf, "__getitem__") or not len(leaf.shape):
        raise ArgumentError(
            f"{name} is {'a scalar' if hasattr(leaf, 'shape') else type(leaf).__name__}, where an array with an axis of examples "
            "is needed: np.asarray(…), or a list of batches"
        )
    return leaf


def _mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def size(batch: Any) -> int:
    """How many examples a batch has: the length of its first array's first axis; 1 where it has none."""
    for leaf in flatten(batch)[0]:
        shape = np.shape(leaf)
        if shape:
            return int(shape[0])
    return 1


def pieces(batch: Any, count: int) -> Iterator[tuple[Any, float]]:
    """A batch in up to `count` pieces, nearly all of one size, each with its share of the examples."""
    leaves, structure = flatten(batch)
    n = size(batch)
    for leaf in leaves:
        if np.ndim(leaf) and len(leaf) != n:
            raise ShapeError(
                f"a batch has arrays of {n} and of {len(leaf)} examples, and cannot be accumulated in pieces: accumulate=1"
            )
    if count == 1 or n == 1:
        yield batch, 1.0
        return
    each = -(-n // count)
    for start in range(0, n, each):
        part = [leaf[start : start + each] if np.ndim(leaf) else leaf for leaf in leaves]
        yield optree.tree_unflatten(structure, part), min(each, n - start) / n
