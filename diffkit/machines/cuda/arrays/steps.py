"""What a call of a program does, one thing after the other: launches, loops of launches, functions on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ....ops.revolve import split
from ...cpu.arrays.program import Host
from ...numpy import call
from .launches import compiled, most_blocks, spread
from .memory import Memory
from .moving import copy, step


class Step(Protocol):
    def run(self, memory: Memory) -> None: ...


@dataclass(frozen=True)
class Launch:
    """A kernel over so many elements, or in so many blocks of so many threads."""

    kernel: Any
    #: what memory it is told: letters of its views, "w" for the words; "8", "4", "1": how bytes become elements of such a size
    given: str
    args: tuple[int, ...]
    count: int
    threads: int | tuple[int, int] | None = None

    def run(self, memory: Memory) -> None:
        shifts = {"8": 3, "4": 2, "1": 0}
        told = [shifts[g] if g in shifts else memory.w if g == "w" else memory.of(g) for g in self.given]
        if self.threads is None:
            spread(self.kernel, self.count, memory.stream, *told, *self.args)
        elif self.count:
            self.kernel[min(self.count, 16 * most_blocks()), self.threads, memory.stream](*told, *self.args)


@dataclass(frozen=True)
class OnHost:
    """An operation without native code: its operands are brought to the host, its NumPy function is run there, and the result
    brought back. It works for every operation, and costs two transfers of all that it touches."""

    phase: Host
    lanes: int

    def run(self, memory: Memory) -> None:
        memory.check()  # lest its function meets with what means nothing
        phase, operands = self.phase, []
        count = self.lanes if phase.loop else None
        for view, core, letter, dtype in phase.operands:
            array = memory.array(view, core, letter, (self.lanes if view.step else 1) if phase.loop else None)
            array = array if phase.loop else array[None]
            operands.append(array.astype(np.int64) if dtype == "int64" else array)
        with np.errstate(all="ignore"):
            result = call(phase.kind, operands)
        memory.set(phase.result, phase.kind.shape, phase.letter, count, result if phase.loop else result[0])


@dataclass(frozen=True)
class Body:
    """The steps of a loop's body, and the words that say what each of its slots is."""

    steps: Sequence[Step]
    rows: int
    first: int
    slots: int

    def run(self, memory: Memory, turn: int, back_turn: int, n: int) -> None:
        spread(
            compiled(step), self.slots, memory.stream, memory.w, self.rows, self.first, self.slots, turn, back_turn, n
        )
        for each in self.steps:
            each.run(memory)


@dataclass(frozen=True)
class Loop:
    body: Body
    length: int
    reverse: bool

    def run(self, memory: Memory) -> None:
        for t in range(self.length):
            self.body.run(memory, t & 1, 0, self.length - 1 - t if self.reverse else t)


@dataclass(frozen=True)
class Reversal:
    """Steps of a loop in reverse, from carries that are kept: the order of ops/revolve.py."""

    advance: Body
    back: Body
    length: int
    reverse: bool
    checkpoints: int
    #: bytes of a carry; where it is at even and at odd turns; where carries are kept
    size: int
    hand: tuple[int, int]
    store: int

    def _copy(self, memory: Memory, target: int, source: int) -> None:
        n = self.size >> 3
        spread(compiled(copy), n, memory.stream, memory.m8, target >> 3, memory.m8, source >> 3, n)

    def run(self, memory: Memory) -> None:
        last = self.length - 1
        self._copy(memory, self.store, self.hand[0])
        # what is still to be reversed ends at `left`; the carry of `at` is at hand (-1: of none)
        kept, left, at, turn, back_turn = [0], self.length, 0, 0, 0
        while kept:
            if at != kept[-1]:
                at, turn = kept[-1], 0
                self._copy(memory, self.hand[0], self.store + (len(kept) - 1) * self.size)
            while left - at > 1:
                keeps = len(kept) < self.checkpoints
                until = at + split(left - at, self.checkpoints - len(kept) + 1) if keeps else left - 1
                while at < until:
                    self.advance.run(memory, turn, 0, last - at if self.reverse else at)
                    at, turn = at + 1, 1 - turn
                if keeps:
                    self._copy(memory, self.store + len(kept) * self.size, self.hand[turn])
                    kept.append(at)
            left -= 1
            self.back.run(memory, turn, back_turn, last - left if self.reverse else left)
            back_turn, at = 1 - back_turn, -1
            if left == kept[-1]:
                kept.pop()
