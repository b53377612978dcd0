"""What a launch is told: loops over elements and the operands in them, as words in device memory.

A kernel is called with three views of one piece of memory, as doubles (m8), singles (m4) and bytes (m1), with the words (w) and
with where its own begin. An address is an offset in bytes and the number of a word that is added to it: word 0 is always 0,
others change from step to step of a loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...cpu.arrays.views import collapsed
from ...cpu.plan import SIZE


class Address(NamedTuple):
    """Where something lies: bytes from the begin of the memory, and the word that is added (0: none)."""

    offset: int
    word: int = 0

    def moved(self, by: int) -> Address:
        return Address(self.offset + by, self.word)


class Operand(NamedTuple):
    """What a nest of loops reads or writes; strides in bytes, one a loop."""

    letter: str
    address: Address
    strides: tuple[int, ...]


class Words:
    """The words of a program. The first is 0."""

    def __init__(self) -> None:
        self.values: list[int] = [0]

    def put(self, words: Sequence[int]) -> int:
        """Where they begin."""
        at = len(self.values)
        self.values += words
        return at

    def array(self) -> np.ndarray:
        return np.array(self.values, np.int64)


class Nest(NamedTuple):
    """Loops over results (kept), each of which takes terms (folded); strides of an operand are over both."""

    kept: tuple[int, ...]
    folded: tuple[int, ...]
    operands: tuple[Operand, ...]

    @classmethod
    def of(cls, kept: Sequence[int], operands: Sequence[Operand], folded: Sequence[int] = ()) -> Nest:
        """With as few loops as can be, but at least one of each kind that there is."""
        own, after = len(kept), len(kept) + len(folded)
        outer, rows = collapsed(kept, [o.strides[:own] for o in operands])
        inner, terms = collapsed(folded, [o.strides[own:after] for o in operands])
        if not outer:
            outer, rows = [1], [[0] for _ in operands]
        if folded and not inner:
            inner, terms = [1], [[0] for _ in operands]
        made = [o._replace(strides=(*a, *b)) for o, a, b in zip(operands, rows, terms, strict=True)]
        return cls(tuple(outer), tuple(inner), tuple(made))

    @property
    def results(self) -> int:
        return math.prod(self.kept)

    @property
    def terms(self) -> int:
        return math.prod(self.folded)

    def words(self) -> list[int]:
        """Results, terms, sizes; of every operand: address, strides in elements."""
        found = [self.results, self.terms, *self.kept, *self.folded]
        for o in self.operands:
            found += [*o.address, *elements(o.strides, o.letter)]
        return found


def elements(strides: Sequence[int], letter: str) -> list[int]:
    """Strides in elements of those in bytes."""
    size = SIZE[letter]
    assert all(s % size == 0 for s in strides)
    return [s // size for s in strides]
