"""What an array program is: code for the interpreter, in phases, and the memory it works in.

Phases alternate: work on whole arrays, then a loop over lanes, then whole arrays again (axes.py says what is computed when).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ....expr.kind import Kind
from .views import View

#: buffers by number; inputs, outputs and streams follow
WORK, CONSTANTS, TOTALS, FAULTS, FIRST_INPUT = 0, 1, 2, 3, 4


@dataclass
class Slots:
    """Addresses that instructions refer to: of a buffer, an offset, bytes from lane to lane, whether pieces have their own."""

    rows: dict[tuple[int, int, int, bool], int] = field(default_factory=dict)

    def place(self, buffer: int, offset: int, step: int = 0, own: bool = False) -> int:
        return -1 - self.rows.setdefault((buffer, offset, step, own), len(self.rows))

    def tabulated(self) -> np.ndarray:
        return np.array(list(self.rows), np.int64).reshape(-1, 4)


@dataclass
class Whole:
    """Instructions on whole arrays: one after the other, or (parts) each part by any thread."""

    begin: int
    end: int
    slots: np.ndarray
    parts: np.ndarray | None = None
    #: instructions of loops, counted as often as they are run
    looped: int = 0


@dataclass
class Host:
    """An operation without native code: its NumPy function on whole arrays."""

    kind: Kind
    #: where operands are, their core shapes (the axis over lanes included), letters and dtypes
    operands: list[tuple[View, tuple[int, ...], str, str]]
    result: View
    letter: str
    #: the lanes are loop dims, which are in front of the core
    loop: bool


@dataclass
class Lanes:
    """A loop over lanes."""

    begin: int
    end: int
    slots: np.ndarray
    #: bytes of registers for a lane
    lane_bytes: int
    #: elements computed for a lane
    work: int
    #: it multiplies by matrices, which pays for many lanes at once
    products: bool
    #: bytes of the totals of one piece
    total_bytes: int
    #: (offset, elements, bytes an element there, where the sum goes, bytes an element there)
    totals: list[tuple[int, int, int, View, int]]


Phase = Whole | Host | Lanes


@dataclass
class Program:
    """An array program. A buffer is the workspace, the constants, the totals, the indices that were out of range, an input, an
    output or a stream, in this order."""

    code: np.ndarray
    table: np.ndarray
    symbols: list[str]
    phases: list[Phase]
    work_bytes: int
    constants: np.ndarray
    inputs: int
    #: outputs that no instruction writes: number, where the value is, its core shape, its letter
    delivered: list[tuple[int, View, tuple[int, ...], str]]
    outputs: int
    #: bytes a lane of each stream: laned values that outlive their loop
    streams: list[int]
    #: multiplications of the largest product of matrices, at most
    largest_product: int
    #: memory that nobody reads any more: position in the code, whether registers of lanes, begin, end
    freed: list[tuple[int, bool, int, int]] = field(default_factory=list)
    #: bodies of loops, by the number before their code: slots, and memory that nobody reads any more
    inner: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    #: what every word of the indices out of range is about: operation, axis (from the end), core shape
    checks: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)
