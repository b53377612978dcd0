"""Loops with a small body, and their reversal, each as one instruction that calls kernels (body_trace.py, loop_kernels.py).

A loop that hands products to BLAS, that has another loop in it, or whose kernel would be long, stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..opcodes import LOOP, NATIVE_LOOP, NATIVE_REVERSAL
from .body_trace import StaysError, Trace, Traced
from .loop_kernels import LONGEST_LOOPS, LoopBody, loop_extent


@dataclass(frozen=True)
class NativeLoop:
    """A loop or a reversal: its opcode, its own words (loop_drivers.py), and its kernels."""

    opcode: int
    head: tuple[int, ...]
    traced: tuple[Traced, ...]

    @property
    def bodies(self) -> tuple[LoopBody, ...]:
        return tuple(t.body for t in self.traced)

    def words(self, kernels: Sequence[int]) -> list[int]:
        """The instruction, given the numbers of its kernels."""
        rows = [word for t in self.traced for row in t.pointers for word in row]
        counts = [len(t.pointers) for t in self.traced]
        words = [*kernels, *counts, *self.head, *rows]
        return [self.opcode, 2 + len(words), *words]


def native_loop(
    code: np.ndarray, symbols: Sequence[str], table: np.ndarray, slots: Sequence[np.ndarray]
) -> NativeLoop | None:
    """The instruction LOOP or REVERSAL by kernels, if that can be. slots: those of its bodies (Program.inner)."""
    try:
        found = (_loop if code[0] == LOOP else _reversal)(code, symbols, table, slots)
    except StaysError:
        return None
    return None if any(loop_extent(body)[1] > LONGEST_LOOPS for body in found.bodies) else found


def _loop(code: np.ndarray, symbols: Sequence[str], table: np.ndarray, slots: Sequence[np.ndarray]) -> NativeLoop:
    steps, backwards, count = (int(code[k]) for k in (3, 4, 5))
    if steps < 2:
        raise StaysError
    rows = code[7 : 7 + 4 * count].reshape(-1, 4)
    begin = int(code[2])
    even, odd = (int(code[begin + k]) for k in (-3, -2))
    traced = Trace(rows, slots[0], symbols, table, (even, 0)).traced(code[begin:].tolist(), bool(backwards))
    return NativeLoop(NATIVE_LOOP, (steps, backwards, even, odd if steps % 2 else even), (traced,))


def _reversal(code: np.ndarray, symbols: Sequence[str], table: np.ndarray, slots: Sequence[np.ndarray]) -> NativeLoop:
    begin, length, steps, backwards, kept, first, second = (int(code[k]) for k in range(2, 9))
    size, hand, _, store, at = (int(code[k]) for k in range(11, 16))
    rows = code[16 : 16 + 4 * (first + second)].reshape(-1, 4)
    even, odd = (int(code[begin + k]) for k in (-4, -3))
    advance = Trace(rows[:first], slots[0], symbols, table, (hand, 0))
    reverse = Trace(rows[first:], slots[1], symbols, table, (hand, even), once=True)
    traced = (
        advance.traced(code[begin : begin + length].tolist(), bool(backwards)),
        reverse.traced(code[begin + length :].tolist(), bool(backwards)),
    )
    head = (steps, backwards, kept, size, hand, store, at, even, odd if steps % 2 else even)
    return NativeLoop(NATIVE_REVERSAL, head, traced)
