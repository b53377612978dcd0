"""One run of the finite engine: which method answers where, one input at a time, in batches of columns (see finite.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..machines.numpy import run
from ..numerics import UNIT_ROUNDOFF
from ..tape import Tape
from . import steps
from .columns import Columns, Sample
from .complex_step import ComplexStep, Real
from .search import extrapolated

U = UNIT_ROUNDOFF["float64"]
METHODS = ("auto", "complex", "richardson", "central", "forward")
#: doubles in the registers of one batch of shifted points
BATCH = 2**21
#: a comparison that comes out otherwise this near (relative to x) is a matter for one-sided slopes
NEAR = 2.0**-44
#: classical steps relative to max(1, |x|): √u and ∛u
CLASSICAL = {"forward": 2.0**-26, "central": 2.0**-17}
OK, KINK, NONFINITE = 0, 1, 2
METHOD_CODES = {m: i for i, m in enumerate(METHODS)}


class Table:
    """Results of one input: (elements, points, outputs) each."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.value, self.left, self.right = (np.full(shape, np.nan) for _ in range(3))
        self.bar, self.left_bar, self.right_bar = (np.full(shape, np.inf) for _ in range(3))
        self.step = np.zeros(shape)
        self.outcome = np.full(shape, NONFINITE, np.int8)
        self.method = np.zeros(shape, np.int8)

    def put(
        self,
        at: tuple,
        method: str,
        value: Any,
        bar: Any,
        step: Any,
        sides: Sequence[Any] | None = None,
        kink: Any = False,
    ) -> None:
        """Answers by one method, where what is there has no smaller bar."""
        left, left_bar, right, right_bar = sides or (value, bar, value, bar)
        outcome = np.where(kink, KINK, np.where(np.isfinite(value) & np.isfinite(bar), OK, NONFINITE))
        better = ~(self.bar[at] <= bar) | np.isinf(self.bar[at])
        new = {"value": value, "bar": bar, "step": step, "method": METHOD_CODES[method], "outcome": outcome}
        for name, given in {**new, "left": left, "left_bar": left_bar, "right": right, "right_bar": right_bar}.items():
            old = getattr(self, name)
            old[at] = np.where(better, given, old[at])

    def forget(self, at: tuple) -> None:
        self.value[at], self.bar[at], self.outcome[at] = np.nan, np.inf, NONFINITE


class Study:
    """One run of a program: the methods that its tables are filled by."""

    def __init__(
        self, sample: Sample, method: str, step: float | None, kinky: bool, ways: Mapping[int, ComplexStep | str]
    ) -> None:
        """kinky: the function may have kinks. ways: the complex step by each input, or why there is none."""
        self.sample = sample
        self.method, self.step, self.kinky, self.ways = method, step, kinky, ways
        self._last: tuple[tuple, Real] | None = None

    def by_input(self, w: int) -> Table:
        elements = self.sample.elements(w)
        table = Table((elements, self.sample.points, self.sample.at_x.shape[1]))
        way = self.ways.get(w, "")
        left = np.ones(table.value.shape[:2], bool)
        if not isinstance(way, str) and self.method not in CLASSICAL:
            left = self._complex(w, way, table)
        if self.method != "complex":
            j, p = np.nonzero(left)
            for columns in self._in_batches(w, j, p, steps.COARSE_LEVELS + steps.FINE_LEVELS):
                if self.method in CLASSICAL:
                    self._classical(table, columns)
                else:
                    self._differences(table, columns)
        for name in ("value", "bar", "left", "left_bar", "right", "right_bar", "outcome"):
            # conditions and integers have derivative 0, as in the other engines
            getattr(table, name)[..., ~self.sample.function.floating] = 0
        return table

    def _in_batches(self, w: int, elements: np.ndarray, points: np.ndarray, levels: int) -> Iterator[Columns]:
        """levels: of steps, on both sides of x, that are evaluated at once."""
        size = max(1, BATCH // (2 * levels * self.sample.function.size))
        for start in range(0, len(points), size):
            yield Columns(self.sample, w, elements[start : start + size], points[start : start + size])

    def _differences(self, table: Table, columns: Columns) -> None:
        for part, found in extrapolated(columns, self.kinky):
            sides = (found["left"], found["left_bar"], found["right"], found["right_bar"])
            at = (part.elements, part.points)
            table.put(at, "richardson", found["value"], found["bar"], found["step"], sides, found["kink"])

    def _classical(self, table: Table, columns: Columns) -> None:
        """One quotient; a second one of twice the step tells its truncation error."""
        method = self.method
        x, at_x, noise = columns.x, columns.at_x, columns.noise
        h = (self.step or CLASSICAL[method]) * np.maximum(1.0, np.abs(x))
        one_sided = method == "forward"
        shifts = np.stack([x + h, x + 2 * h] if one_sided else [x + h, x + 2 * h, x - h, x - 2 * h])
        f = columns.values(shifts)
        low, low_x = (at_x, x) if one_sided else (f[2:], shifts[2:])
        width = (shifts[:2] - low_x)[..., None]
        quotient = (f[:2] - low) / width
        error = 2 * noise + 4 * U * (np.abs(f[0]) + np.abs(at_x))
        bar = steps.SAFETY * np.abs(quotient[1] - quotient[0]) + error / np.abs(width[0]) + 4 * U * np.abs(quotient[0])
        value = np.where(np.isfinite(at_x), quotient[0], np.nan)
        table.put(
            (columns.elements, columns.points), method, value, np.where(np.isfinite(value), bar, np.inf), h[:, None]
        )

    def _complex(self, w: int, way: ComplexStep, table: Table) -> np.ndarray:
        """Fills the table; returns which (elements, points) it could not answer."""
        elements = table.value.shape[0]
        left = np.zeros((elements, self.sample.points), bool)
        width = max(1, BATCH // (4 * self.sample.function.size))
        for p in range(0, self.sample.points, width):
            points = slice(p, min(p + width, self.sample.points))
            count = points.stop - p
            real = self._real(way.tape, points)
            block = max(1, width // count)
            for j in range(0, elements, block):
                chosen = np.arange(j, min(j + block, elements))
                self.sample.counted += count * len(chosen)
                found = way.directions(real, chosen, count)
                good = found.good & np.isfinite(self.sample.at_x[points])
                value = np.where(good, found.value, np.nan)
                bar = np.where(good, found.bar, np.inf)
                table.put((slice(j, chosen[-1] + 1), points), "complex", value, bar, found.step[..., None])
                left[j : chosen[-1] + 1, points] = ~(good & found.sharp | ~np.isfinite(self.sample.at_x[points])).all(
                    axis=2
                )
        if way.compares:
            flips = self._near_a_switch(w, way, elements)
            table.forget(np.nonzero(flips))
            left |= flips
        return left

    def _real(self, tape: Tape, points: slice) -> Real:
        """Real values at these points; all inputs share those of the last batch."""
        key = (tape, points.start)
        if self._last is None or self._last[0] != key:
            self._last = key, Real(tape, run(tape, self.sample.inputs_at(points)))
        return self._last[1]

    def _near_a_switch(self, w: int, way: ComplexStep, elements: int) -> np.ndarray:
        """Where a comparison comes out otherwise just beside x: (elements, points)."""
        flips = np.zeros((elements, self.sample.points), bool)
        j, p = (a.reshape(-1) for a in np.indices(flips.shape))
        for columns in self._in_batches(w, j, p, 1):
            x = columns.x
            aside = np.where(x == 0, 2.0**-1000, np.abs(x) * NEAR)
            three = [_conditions(columns, way, at) for at in (x - aside, x, x + aside)]
            differs = np.zeros(len(columns), bool)
            for low, here, high in zip(*three, strict=True):
                other = (low != here) | (high != here)
                differs |= other.reshape(other.shape[0], -1).any(axis=1)
            self.sample.counted += 2 * len(columns)
            flips[columns.elements, columns.points] = differs
        return flips


def _conditions(columns: Columns, way: ComplexStep, x: np.ndarray) -> list[np.ndarray]:
    """How every comparison that depends on the input comes out at these values of its elements."""
    values = run(way.tape, columns.shifted_once(x))
    return [v for i, v in enumerate(values) if way.active[i] and way.tape.kinds[i].dtype == "bool"]
