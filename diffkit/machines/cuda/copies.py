"""Kernels that move elements. Imported where there is a package to compile them."""

from __future__ import annotations

from .package import package

cuda = package().cuda


@cuda.jit  # type: ignore[misc]
def spread(source, first, sizes, steps, target):  # type: ignore[no-untyped-def]
    """target: all elements of an array of these sizes, in order; in `source`, where the first is and how far it is to the next
    along each axis."""
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        left, at = i, first
        for k in range(sizes.size):
            d = sizes.size - 1 - k
            at += left % sizes[d] * steps[d]
            left //= sizes[d]
        target[i] = source[at]
