"""Kernels that lay elements out. Imported where there is a package to compile them."""

from __future__ import annotations

from .package import package

cuda = package().cuda


@cuda.jit  # type: ignore[misc]
def gather(memory, first, sizes, steps, line):  # type: ignore[no-untyped-def]
    """line: all elements of an array of these sizes, in order; in `memory`, where the first is and how far it is to the next
    along each axis."""
    for i in range(cuda.grid(1), line.size, cuda.gridsize(1)):
        left, at = i, first
        for k in range(sizes.size):
            d = sizes.size - 1 - k
            at += left % sizes[d] * steps[d]
            left //= sizes[d]
        line[i] = memory[at]


@cuda.jit  # type: ignore[misc]
def scatter(memory, first, sizes, steps, line):  # type: ignore[no-untyped-def]
    """The same the other way."""
    for i in range(cuda.grid(1), line.size, cuda.gridsize(1)):
        left, at = i, first
        for k in range(sizes.size):
            d = sizes.size - 1 - k
            at += left % sizes[d] * steps[d]
            left //= sizes[d]
        memory[at] = line[i]
