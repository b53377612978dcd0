"""Colourings: columns (or rows) that can be computed together have one colour.

A Jacobian's columns may share a colour where no row has an entry in both: each entry then stands alone in the sum of its colour's
columns (Curtis, Powell, Reid 1974). A Hessian is symmetric, so that every entry may be read on either side of the diagonal, and
a star colouring of its graph does (Coleman, Moré 1984): neighbours differ, and no path of four vertices has two colours. Both are
NP-hard to do best; these are greedy, in two orders each (Gebremedhin, Manne, Pothen 2005).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .rows import Rows, native

#: rows have at most so many pairs of columns, or a colouring is looked for only if it may need less than half as many as columns
PAIRS = 1e9


@dataclass(frozen=True, eq=False)
class Colouring:
    """of: the colour of every column (or row), -1 where it has no entry. No colouring has fewer colours than `lower_bound`."""

    of: np.ndarray
    count: int
    lower_bound: int


def column_bound(pattern: Rows) -> int:
    """The entries of the fullest row: their columns have different colours."""
    return int(pattern.lengths().max(initial=0))


def colour_columns(pattern: Rows, transposed: Rows) -> Colouring:
    """No two columns of one colour have an entry in the same row."""
    bound, lengths = column_bound(pattern), transposed.lengths()
    some = np.flatnonzero(lengths)
    if bound == len(some):  # a full row: every column has a colour of its own
        return Colouring(_places(some, pattern.columns), bound, bound)
    if 2 * bound >= len(some) and np.sum(pattern.lengths().astype(float) ** 2) > PAIRS:  # it cannot save half of them
        return Colouring(_places(some, pattern.columns), len(some), bound)
    # a column's conflicts, counted once a row
    conflicts = np.bincount(pattern.index, np.repeat(pattern.lengths(), pattern.lengths()), minlength=pattern.columns)

    def greedy(order: np.ndarray) -> tuple[np.ndarray, int]:
        colours = np.full(pattern.columns, -1, np.int32)
        arrays = (pattern.ptr, pattern.index, transposed.ptr, transposed.index)
        return colours, native().colour_columns(*arrays, order, colours)

    return _best(greedy, bound, np.arange(pattern.columns), conflicts)


def colour_stars(pattern: Rows, below: int | None = None) -> Colouring | None:
    """A star colouring of a symmetric pattern's graph; each vertex that has an entry has a colour. None: it is not `below` so many.

    The bound holds for every star colouring: of k colours any two make a forest, so that n vertices have at most
    (k - 1)·n - k·(k - 1)/2 edges, in each of a sequence of subgraphs; a path of four vertices needs 3.
    """
    graph, lengths = pattern.without_diagonal(), pattern.lengths()
    size, some = pattern.columns, np.flatnonzero(lengths)
    if not len(some):
        return Colouring(np.full(size, -1, np.int32), 0, 0)
    if graph.count == len(some) * (len(some) - 1):  # every two are neighbours
        return Colouring(_places(some, size), len(some), len(some))
    removed = np.empty(size, np.int64)
    bound = int(native().peel(graph.ptr, graph.index, removed))
    if below is not None and bound >= below:
        return None

    def greedy(order: np.ndarray) -> tuple[np.ndarray, int]:
        colours = np.full(size, -1, np.int32)
        return colours, native().colour_stars(graph.ptr, graph.index, order, colours)

    found = _best(greedy, bound, np.arange(size), graph.lengths())
    colours = np.where(lengths > 0, found.of, -1).astype(np.int32)
    return Colouring(colours, int(colours.max()) + 1, bound)


def _best(greedy: Any, bound: int, natural: np.ndarray, weights: np.ndarray) -> Colouring:
    """In the order given, and the heaviest first."""
    colours, count = greedy(natural)
    if count > bound:
        other, fewer = greedy(np.argsort(-weights, kind="stable"))
        if fewer < count:
            colours, count = other, fewer
    return Colouring(colours, int(count), bound)


def _places(some: np.ndarray, size: int) -> np.ndarray:
    colours = np.full(size, -1, np.int32)
    colours[some] = np.arange(len(some))
    return colours
