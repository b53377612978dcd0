"""Where arrays lie: buffers, views of them with strides, and the memory that is used again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ....expr.kind import Kind
from .axes import LOOP

#: the registers of a block: (rows, lanes), offsets and strides in bytes a lane
LOCAL = -1
#: bytes that registers and arrays begin at a multiple of
ALIGNMENT = 64
#: work on whole arrays is cut into parts of at least so many elements
LEAST_PART = 32_768
#: at most so many parts
MOST_PARTS = 16


class View(NamedTuple):
    """Elements of a buffer. Strides are of the core axes without the one that runs over lanes, in bytes (LOCAL: bytes a lane)."""

    buffer: int
    offset: int
    strides: tuple[int, ...]
    #: bytes from lane to lane; 0: the same for all
    step: int = 0


def rest_of(shape: tuple[int, ...], lane: int | None) -> tuple[int, ...]:
    """A core shape without the axis that runs over lanes."""
    return shape if lane is None or lane == LOOP else shape[:lane] + shape[lane + 1 :]


def row_major(shape: Sequence[int], size: int) -> tuple[int, ...]:
    """Strides of an array without gaps."""
    strides = [size]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides)) if shape else ()


def along(view: View, axis: int | None) -> View:
    """A whole array read along one of its axes."""
    if axis is None:
        return view
    s = view.strides
    return view._replace(strides=s[:axis] + s[axis + 1 :], step=s[axis])


def is_plain(view: View, shape: Sequence[int], size: int) -> bool:
    """Whether the elements lie one behind the other."""
    expected = size
    for n, s in zip(reversed(shape), reversed(view.strides), strict=True):
        if n != 1 and s != expected:
            return False
        expected *= n
    return True


def moved(kind: Kind, operand: Kind, view: View, lane: int | None, out_lane: int | None) -> View | None:
    """The view that a movement makes of another; None where its elements must be copied."""
    shape, params = operand.shape, dict(kind.kwargs)
    name, core = kind.op.name, lane is not None and lane != LOOP
    strides = view.strides
    if core:
        assert lane is not None
        shape, strides = (*shape[:lane], 1, *shape[lane + 1 :]), (*strides[:lane], 0, *strides[lane:])
        if "shape" in params:
            assert out_lane is not None
            params["shape"] = (*kind.shape[:out_lane], 1, *kind.shape[out_lane + 1 :])
    if name == "reshape":
        new = params["shape"]
        found = _reshaped(shape, strides, new)
        if found is None:
            return None
        offset = 0
    else:
        if name not in ("transpose", "broadcast_to", "windows") and not _is_basic(kind):
            return None
        # never read: these functions look at shapes and strides alone
        base = as_strided(np.empty(1, np.int8), (1, *shape), (0, *strides))
        result = kind.op.numpy(base, **params)
        found = result.strides[1:]
        offset = result.__array_interface__["data"][0] - base.__array_interface__["data"][0] if result.size else 0
    if core:
        assert out_lane is not None
        found = found[:out_lane] + found[out_lane + 1 :]
    return View(view.buffer, view.offset + offset, tuple(found), view.step)


def _is_basic(kind: Kind) -> bool:
    return kind.op.name == "getitem" and not any(
        isinstance(p, tuple) and p[0] != "slice" for p in kind.kwargs["index"] if p is not None
    )


def _reshaped(shape: Sequence[int], strides: Sequence[int], new: Sequence[int]) -> tuple[int, ...] | None:
    """Strides of the same elements in another shape; None where there are none."""
    if 0 in shape:
        return (0,) * len(new)
    # axes that lie without a gap, merged: (length, stride)
    merged: list[list[int]] = []
    for n, s in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if merged and merged[-1][1] == n * s:
            merged[-1] = [merged[-1][0] * n, s]
        else:
            merged.append([n, s])
    result: list[int] = []
    left, stride = 1, 0
    pieces = iter(merged)
    groups = _split(new, [m[0] for m in merged])
    if groups is None:
        return None
    for group in groups:
        real = [n for n in group if n != 1]
        if real:
            left, stride = next(pieces)
        for n in group:
            left //= n
            result.append(stride * left if n != 1 else stride)
    return tuple(result)


def _split(new: Sequence[int], lengths: Sequence[int]) -> list[list[int]] | None:
    """The new axes in groups, one a merged axis (axes of length 1 go anywhere)."""
    groups: list[list[int]] = [[]]
    k, done = 0, 1
    for n in new:
        if n == 1:
            groups[-1].append(1)
            continue
        if k == len(lengths):
            return None
        if done == 1 and any(m != 1 for m in groups[-1]):
            groups.append([])
        groups[-1].append(n)
        done *= n
        if lengths[k] % done:
            return None
        if done == lengths[k]:
            k, done = k + 1, 1
    return groups if done == 1 and k == len(lengths) else None


def offsets_of(view: View, shape: Sequence[int]) -> np.ndarray:
    """Where every element lies, from the buffer's (or register's) begin."""
    found: np.ndarray = np.full(tuple(shape), view.offset, np.int64)
    for axis, (n, s) in enumerate(zip(shape, view.strides, strict=True)):
        found += (np.arange(n) * s).reshape((n,) + (1,) * (len(shape) - axis - 1))
    return found


@dataclass
class Arena:
    """Memory in which arrays come and go: the first gap that is long enough is taken."""

    size: int = 0
    #: (begin, end) of the gaps, in order
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def take(self, length: int, alignment: int = ALIGNMENT) -> int:
        length = -(-max(length, 1) // alignment) * alignment
        for k, (begin, end) in enumerate(self.gaps):
            if end - begin >= length:
                self.gaps[k : k + 1] = [(begin + length, end)] if end - begin > length else []
                return begin
        if self.gaps and self.gaps[-1][1] == self.size:
            begin, _ = self.gaps.pop()
        else:
            begin = self.size
        self.size = begin + length
        return begin

    def give_back(self, begin: int, length: int, alignment: int = ALIGNMENT) -> None:
        end = begin + -(-max(length, 1) // alignment) * alignment
        gaps = sorted([*self.gaps, (begin, end)])
        joined = [gaps[0]]
        for b, e in gaps[1:]:
            if b == joined[-1][1]:
                joined[-1] = (joined[-1][0], e)
            else:
                joined.append((b, e))
        self.gaps = joined


def elements(shape: Sequence[int]) -> int:
    return math.prod(shape)


def collapsed(sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Loops as few as can be: axes of length 1 dropped, axes joined that every operand runs through without a gap.

    strides: one row an operand. Axes from outer to inner.
    """
    kept: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, n in enumerate(sizes):
        if n == 1:
            continue
        here = [s[axis] for s in strides]
        if kept and all(row[-1] == n * s for row, s in zip(steps, here, strict=True)):
            kept[-1] *= n
            for row, s in zip(steps, here, strict=True):
                row[-1] = s
        else:
            kept.append(n)
            for row, s in zip(steps, here, strict=True):
                row.append(s)
    return kept, steps


def pieces_of(n: int, count: int, multiple: int = 1) -> list[tuple[int, int]]:
    """n things in `count` runs at fixed places."""
    units = -(-n // multiple)
    ends = [min(n, (k * units // count) * multiple) for k in range(count + 1)]
    ends[-1] = n
    return [(a, b) for a, b in pairwise(ends) if b > a]
