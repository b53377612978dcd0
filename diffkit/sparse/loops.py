"""The pattern of a loop: what one step's results depend on, composed over the steps.

One step is looked at once, by the elements of its carry, its x and the constants; after that sets are united, no more. What ys
need is followed forwards, until the sets of the carry stay as they are and no x moves them. A carry that no y needs and that
takes up xs (a sum over steps, say) would hold ever more columns of which nobody asks: from its last value the steps are followed
backwards. So the work is about linear in the number of steps and in the entries of the result.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rows import Rows, TooManyError, checked

#: most entries that are visited: some ten seconds
WORK = 4_000_000_000
#: a sum or product is a hub where its elements are made of so many others, on average
HUB = 16


class Hubs:
    """What one step unites on its way, sums and products: such a set is made once a step, and stands as one column for all that it
    has, wherever it goes on to. columns: those of the step's arguments, then one a hub.
    """

    def __init__(self, arguments: int, most: int) -> None:
        self.arguments, self.columns = arguments, arguments + most
        self.rows: list[Rows] = []
        self._count = 0

    def standing_for(self, rows: Rows) -> Rows:
        """What stands for each row: the row itself if that is short."""
        if rows.count <= HUB * len(rows) or self.arguments + self._count + len(rows) > self.columns:
            return rows
        self.rows.append(rows)
        self._count += len(rows)
        return Rows.units(self.arguments + self._count - len(rows), len(rows), self.columns)


@dataclass(frozen=True, eq=False)
class Loop:
    """made: of each element of a step's results (`carries` of the new carry, then those of y; `results` in all), and of each hub
    behind them, what it is made of: elements of the step's arguments, of which the first are the carry's, and hubs. given: what the
    loop's arguments depend on: in step n element c of the step's arguments is row begins[c] + n * strides[c].
    """

    made: Rows
    carries: int
    results: int
    given: Rows
    begins: np.ndarray
    strides: np.ndarray
    length: int
    reverse: bool

    def followed(self) -> tuple[Rows, Rows]:
        """What the last carry depends on, and what the ys do, from n = 0 on."""
        made, carries, results, arguments = self.made, self.carries, self.results, len(self.begins)
        if not self.length:
            return self.given.take(self.begins[:carries]), Rows.empty(0, self.given.columns)
        same = _first_equal(made, (0, carries, results, len(made)))
        needed = np.zeros(len(made), bool)
        needed[carries:results] = True  # ys, and if no x moves anything the whole carry
        if not self.strides[made.index[made.index < arguments]].any():
            needed[:carries] = True
        native().reach(made.ptr, made.index, carries, arguments, results, needed)
        needed[same[needed]] = True  # a set that several have is made where the first of them is
        rows = np.flatnonzero(needed)
        carry, ys = self._forwards(same, np.append(rows[rows >= results], rows[rows < results]))  # hubs first
        late = np.flatnonzero(~needed[:carries])
        if not len(late):
            return carry, ys
        rows, found = np.unique(same[late], return_inverse=True)
        place = np.arange(carries)
        place[late] = carries + found
        return Rows.joined([carry, self._backwards(same, rows)]).take(place), ys

    def _forwards(self, same: np.ndarray, rows: np.ndarray) -> tuple[Rows, Rows]:
        given, carries, count = self.given, self.carries, self.length * (self.results - self.carries)
        first = given.take(self.begins[:carries])
        start, end = np.zeros((2, 2, len(self.made)), np.int64)
        start[0, :carries], end[0, :carries] = first.ptr[:-1], first.ptr[1:]
        sets, out = np.empty((2, first.count + 2 * given.columns), np.int32), np.empty(2 * given.columns, np.int32)
        sets[0, : first.count] = first.index
        y_start, y_end = np.zeros(count, np.int64), np.zeros(count, np.int64)
        seen, met = np.zeros(given.columns, np.int64), np.zeros(len(self.made), np.int64)
        state, n = np.zeros(4, np.int64), native()
        while (
            status := self._sweep(n.forwards, same, rows, state, start, end, sets, y_start, y_end, out, seen, met)
        ) != n.DONE:
            if status == n.FULL_OUT:
                out = self._grown(out)
            else:
                sets = np.stack([self._grown(half) for half in sets])
        last = self.length & 1
        carry = Rows.between(start[last, :carries], end[last, :carries], sets[last], given.columns)
        return carry, Rows.between(y_start, y_end, out, given.columns)

    def _backwards(self, same: np.ndarray, rows: np.ndarray) -> Rows:
        columns, ends = self.given.columns, np.zeros(len(rows) + 1, np.int64)
        out, seen = np.empty(2 * columns, np.int32), np.zeros(columns, np.int64)
        met, once = np.zeros((2, self.made.columns), np.int64)
        state, n = np.zeros(4, np.int64), native()
        while self._sweep(n.backwards, same, rows, state, ends, out, seen, met, once) != n.DONE:
            out = self._grown(out)
        return Rows(ends, out[: ends[-1]].copy(), columns)

    def _sweep(self, sweep: Any, same: np.ndarray, rows: np.ndarray, state: np.ndarray, *buffers: np.ndarray) -> int:
        """Go on until it is done or has no more room."""
        loop = (self.carries, self.results, self.length, self.reverse, WORK, state)
        sizes = (self.begins, self.strides, self.given.ptr, self.given.index)
        status = sweep(self.made.ptr, self.made.index, same, rows, *sizes, *loop, *buffers)
        if status == native().EXCEEDED:
            done = state[native().AT]
            reached = (
                f"step {done:,}" if sweep is native().forwards else f"{done:,} of {len(rows):,} rows of the last carry"
            )
            raise TooManyError(
                f"to follow through {self.length:,} steps what a loop's results depend on takes more than the {WORK:,} entries "
                f"that are visited at most (it got to {reached})"
            )
        return status

    def _grown(self, buffer: np.ndarray) -> np.ndarray:
        grown = np.empty(2 * len(buffer), np.int32)
        checked(len(buffer) - self.given.columns)
        grown[: len(buffer)] = buffer
        return grown


def _first_equal(rows: Rows, ends: tuple[int, ...]) -> np.ndarray:
    """For each row, among those between the same two of `ends`, the first that is equal to it."""
    weights = np.random.default_rng(0).integers(1, 2**63, rows.columns, np.uint64)
    sums = np.zeros(rows.count + 1, np.uint64)
    np.cumsum(weights[rows.index], out=sums[1:])  # modulo 2⁶⁴
    sums, same = np.diff(sums[rows.ptr]), np.arange(len(rows))
    for start, end in itertools.pairwise(ends):
        _, first, number = np.unique(sums[start:end], return_index=True, return_inverse=True)
        same[start:end] = start + first[number]
    found = rows.take(same)
    equal = np.array_equal(found.ptr, rows.ptr) and np.array_equal(found.index, rows.index)
    return same if equal else np.arange(len(rows))  # (else two sums were equal by chance)


def native() -> Any:
    """The sweeps in native code."""
    from . import steps  # Numba, when first needed

    return steps
