"""The search for a derivative among shifted values: batches of points, ladders of steps, one input at a time (see finite.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedError
from ..expr.kind import constant_value
from ..expr.node import constant
from ..machines import Executable, Machine
from ..machines.numpy import laned_inputs, run
from ..numerics import UNIT_ROUNDOFF, tiniest
from ..ops import CAST, CONSTANT
from ..tape import Builder, Tape
from . import steps
from .complex_step import BESIDE, NOISE_SHARE, ComplexStep, Real
from .engine import Blocks, differentiable_tape
from .rounding import SAFETY, rounding_bound

if TYPE_CHECKING:
    from .finite import Estimate, FiniteProgram

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


# ---- programs ---------------------------------------------------------------------------------------------------------
class Value:
    """The outputs of a tape, side by side, and a bound of their error."""

    def __init__(self, tape: Tape, executable: Executable) -> None:
        self.tape, self.executable = tape, executable
        #: values a lane holds at once
        self.size = sum(max(1, math.prod(k.shape)) for k in tape.kinds)
        #: evaluations of the value a call makes at each point
        self.cost = 1.0
        self.floating = np.concatenate(
            [
                np.full(math.prod(k.shape), k.dtype not in ("bool", "int64"))
                for k in (tape.kinds[o] for o in tape.outputs)
            ]
        )

    def __call__(
        self, inputs: Sequence[np.ndarray], loop: tuple[int, ...], known: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """(points, outputs); `known` are the outputs if they have been computed."""
        if known is not None:
            known = [
                np.reshape(a, (*loop, *self.tape.kinds[o].shape)) for a, o in zip(known, self.tape.outputs, strict=True)
            ]
        return self._side_by_side(self.executable(inputs) if known is None else known, loop)

    def _side_by_side(self, outputs: Sequence[np.ndarray], loop: tuple[int, ...]) -> np.ndarray:
        count = math.prod(loop)
        cores = [self.tape.kinds[o].shape for o in self.tape.outputs]
        full = [
            np.broadcast_to(a, (*loop, *c)).reshape(count, math.prod(c)) for a, c in zip(outputs, cores, strict=True)
        ]
        return np.concatenate(full, axis=1, dtype=np.float64)

    def bound(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        """NOISE_SHARE of the rounding bound; where that is not finite, or a rule is missing, a bound from all values' sizes."""
        try:
            found = rounding_bound(differentiable_tape(self.tape), inputs)
            bound = NOISE_SHARE * self._side_by_side(found.entries, (count,))
        except (UnsupportedError, TypeError, AssertionError):
            bound = np.full((count, len(self.floating)), np.nan)
        bad = ~np.isfinite(bound)
        if bad.any():
            total = np.zeros(count)

            def add(i: int, value: np.ndarray) -> None:
                if value.dtype.kind == "f" and self.tape.kinds[i].op.family != "leaf":
                    sizes = np.abs(value).reshape(value.shape[0], -1).max(axis=1, initial=0.0)
                    total[...] += np.where(np.isfinite(sizes), sizes, 0.0)

            run(self.tape, inputs, add)
            bound = np.where(bad, SAFETY * U * total[:, None] + tiniest("float64"), bound)
        return bound


class Slope:
    """First derivatives, side by side, and their bars; NaN at kinks."""

    def __init__(self, program: FiniteProgram, machine: Machine) -> None:
        self.program, self.machine, self.tape = program, machine, program.tape
        inputs, outputs = (sum(math.prod(s) for s in shapes) for shapes in (program.in_shapes, program.out_shapes))
        self.size = sum(max(1, math.prod(k.shape)) for k in self.tape.kinds) + 8 * inputs * outputs
        self.cost = float(program.evaluations)
        self.floating = np.ones(inputs * outputs, bool)

    def _examined(self, inputs: Sequence[np.ndarray]) -> Estimate:
        found = self.program.examine(self.machine, inputs)
        self.cost = float(found.evaluations)
        return found

    def __call__(self, inputs: Sequence[np.ndarray], loop: tuple[int, ...], known: Any = None) -> np.ndarray:
        found = self._examined(inputs)
        smooth = [np.where(o == "ok", b, np.nan) for b, o in self._pairs(found.blocks, found.outcome)]
        return self._side_by_side(smooth, math.prod(loop))

    def bound(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        found = self._examined(inputs)
        return self._side_by_side([b for row in found.bars for b in row], count)

    @staticmethod
    def _pairs(first: Blocks, second: Blocks) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]

    @staticmethod
    def _side_by_side(blocks: Sequence[np.ndarray], count: int) -> np.ndarray:
        return np.concatenate([b.reshape(count, -1) if b.size else np.empty((count, 0)) for b in blocks], axis=1)


# ---- one run ----------------------------------------------------------------------------------------------------------
class Study:
    """One run of a program: points as lanes, outputs side by side."""

    def __init__(
        self,
        function: Value | Slope,
        values: Sequence[Any],
        method: str,
        step: float | None,
        kinky: bool,
        ways: Mapping[int, ComplexStep | str],
        known: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.function, self.tape = function, function.tape
        self.method, self.step, self.kinky, self.ways = method, step, kinky, ways
        self.inputs, self.loop = laned_inputs(self.tape, values)
        self.points = math.prod(self.loop)
        self.at_x = function(self.inputs, (self.points,), known)
        self.counted = self.points * function.cost
        self._noise: np.ndarray | None = None
        self._last: tuple[tuple, Real] | None = None

    def evaluations(self) -> int:
        return math.ceil(self.counted / max(self.points, 1))

    def by_input(self, w: int) -> Table:
        kind = self.tape.kinds[self.tape.inputs[w]]
        elements = math.prod(kind.shape)
        table = Table((elements, self.points, self.at_x.shape[1]))
        way = self.ways.get(w, "")
        if self.method in CLASSICAL:
            self._all(table, lambda j, p: self._classical(w, table, j, p))
        elif isinstance(way, str):
            self._all(table, lambda j, p: self._differences(w, table, j, p))
        else:
            left = self._complex(w, way, table)
            if self.method == "auto" and left.any():
                j, p = np.nonzero(left)
                self._in_batches(j, p, lambda a, b: self._differences(w, table, a, b))
        for name in ("value", "bar", "left", "left_bar", "right", "right_bar", "outcome"):
            # conditions and integers have derivative 0, as in the other engines
            getattr(table, name)[..., ~self.function.floating] = 0
        return table

    def _all(self, table: Table, do: Callable[[np.ndarray, np.ndarray], None]) -> None:
        j, p = (a.reshape(-1) for a in np.indices(table.value.shape[:2]))
        self._in_batches(j, p, do)

    def _in_batches(
        self, elements: np.ndarray, points: np.ndarray, do: Callable[[np.ndarray, np.ndarray], None]
    ) -> None:
        levels = steps.COARSE_LEVELS + steps.FINE_LEVELS
        size = max(1, BATCH // (2 * levels * self.function.size))
        for start in range(0, len(points), size):
            do(elements[start : start + size], points[start : start + size])

    # -- evaluating
    def _scalars(self, w: int, elements: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The elements to be shifted, (columns,)."""
        given = self.inputs[w]
        return given.reshape(given.shape[0], -1)[points if given.shape[0] > 1 else 0, elements]

    def _shifted(self, w: int, elements: np.ndarray, points: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
        """All inputs at these columns, with `x` (shifts, columns) in the place of the elements."""
        inputs = [a if a.shape[0] == 1 else a[points] for a in self.inputs]
        core = self.inputs[w].shape[1:]
        if core:
            full = np.broadcast_to(inputs[w].reshape(-1, math.prod(core)), (*x.shape, math.prod(core))).copy()
            np.put_along_axis(full, np.broadcast_to(elements[:, None], (*x.shape, 1)), x[..., None], axis=-1)
            inputs[w] = full.reshape(*x.shape, *core)
        else:
            inputs[w] = x
        return inputs

    def _evaluate(self, w: int, elements: np.ndarray, points: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values with the elements replaced by `x` (shifts, columns): (shifts, columns, outputs)."""
        values = self.function(self._shifted(w, elements, points, x), x.shape)
        self.counted += x.size * self.function.cost
        return values.reshape(*x.shape, -1)

    def _noise_at(self, points: np.ndarray) -> np.ndarray:
        """Error bound of the values at x, (columns, outputs)."""
        if self._noise is None:
            self._noise = np.full(self.at_x.shape, np.nan)
        missing = np.unique(points[np.isnan(self._noise[points]).any(axis=1)])
        if missing.size:
            inputs = [a if a.shape[0] == 1 else a[missing] for a in self.inputs]
            self._noise[missing] = self.function.bound(inputs, len(missing))
            # sums of integers are exact, and the bound knows; beside them they are not
            beside = [a * np.where(a == np.rint(a), BESIDE, 1.0) if a.dtype.kind == "f" else a for a in inputs]
            if any((a != b).any() for a, b in zip(inputs, beside, strict=True)):
                there = self.function.bound(beside, len(missing))
                self._noise[missing] = np.fmax(self._noise[missing], np.where(np.isfinite(there), there, 0.0))
        return self._noise[points]

    def bound_at(self, w: int, elements: np.ndarray, points: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Error bound of the values with the elements replaced by `x`, (columns, outputs)."""
        shifted = self._shifted(w, elements, points, x[None])
        return self.function.bound([a[0] if k == w else a for k, a in enumerate(shifted)], len(x))

    # -- differences
    def _differences(self, w: int, table: Table, elements: np.ndarray, points: np.ndarray) -> None:
        """Richardson extrapolation at these columns."""
        x, every = self._scalars(w, elements, points), np.arange(len(points))
        ladder = steps.ladder(x)
        search = Search(self, w, elements, points, x, self.at_x[points], self._noise_at(points))
        first = len(ladder) if self.kinky else steps.COARSE_LEVELS
        search.extend(every, ladder[:first])
        found = search.slopes(every)
        if first < len(ladder):
            doubtful = np.flatnonzero(search.doubtful(found))
            if doubtful.size:
                rest = search.subset(doubtful)
                rest.extend(every[: len(doubtful)], ladder[first:, doubtful])
                self._finish(rest, rest.slopes(every[: len(doubtful)]), table)
                sure = np.setdiff1d(every, doubtful)
                search, found = search.subset(sure), {k: v[sure] for k, v in found.items()}
        self._finish(search, found, table)

    @staticmethod
    def _renew(found: dict[str, np.ndarray], columns: np.ndarray, search: Search) -> None:
        """What was found for these columns, found again; those with equally many steps together."""
        levels = np.isfinite(search.exponents[:, columns]).sum(axis=0)
        for count in np.unique(levels):
            part = columns[levels == count]
            for name, array in search.slopes(part).items():
                found[name][part] = array

    def _finish(self, search: Search, found: dict[str, np.ndarray], table: Table) -> None:
        """More steps about the best where they are far apart, and the noise where the best is; then into the table."""
        columns = np.arange(len(search.x))
        for _ in range(4):
            wide, best = search.sparse(found, columns)
            columns = columns[wide]
            if not columns.size:
                break
            search.insert(columns, steps.spread(search.exponents[:, columns], best[wide]))
            self._renew(found, columns, search)
        for _ in range(3):
            louder = search.listen(found)
            if not louder.size:
                break
            self._renew(found, louder, search)
        at = (search.elements, search.points)
        sides = (found["left"], found["left_bar"], found["right"], found["right_bar"])
        table.put(at, "richardson", found["value"], found["bar"], found["step"], sides, found["kink"])

    def _classical(self, w: int, table: Table, elements: np.ndarray, points: np.ndarray) -> None:
        """One quotient; a second one of twice the step tells its truncation error."""
        method = self.method
        x, at_x, noise = self._scalars(w, elements, points), self.at_x[points], self._noise_at(points)
        h = (self.step or CLASSICAL[method]) * np.maximum(1.0, np.abs(x))
        one_sided = method == "forward"
        shifts = np.stack([x + h, x + 2 * h] if one_sided else [x + h, x + 2 * h, x - h, x - 2 * h])
        f = self._evaluate(w, elements, points, shifts)
        low, low_x = (at_x, x) if one_sided else (f[2:], shifts[2:])
        width = (shifts[:2] - low_x)[..., None]
        quotient = (f[:2] - low) / width
        error = 2 * noise + 4 * U * (np.abs(f[0]) + np.abs(at_x))
        bar = steps.SAFETY * np.abs(quotient[1] - quotient[0]) + error / np.abs(width[0]) + 4 * U * np.abs(quotient[0])
        value = np.where(np.isfinite(at_x), quotient[0], np.nan)
        table.put((elements, points), method, value, np.where(np.isfinite(value), bar, np.inf), h[:, None])

    # -- complex step
    def _complex(self, w: int, way: ComplexStep, table: Table) -> np.ndarray:
        """Fills the table; returns which (elements, points) it could not answer."""
        elements = table.value.shape[0]
        left = np.zeros((elements, self.points), bool)
        width = max(1, BATCH // (4 * self.function.size))
        for p in range(0, self.points, width):
            points = slice(p, min(p + width, self.points))
            count = points.stop - p
            real = self._real(way.tape, points)
            block = max(1, width // count)
            for j in range(0, elements, block):
                chosen = np.arange(j, min(j + block, elements))
                self.counted += count * len(chosen)
                found = way.directions(real, chosen, count)
                good = found.good & np.isfinite(self.at_x[points])
                value = np.where(good, found.value, np.nan)
                bar = np.where(good, found.bar, np.inf)
                table.put((slice(j, chosen[-1] + 1), points), "complex", value, bar, found.step[..., None])
                left[j : chosen[-1] + 1, points] = ~(good & found.sharp | ~np.isfinite(self.at_x[points])).all(axis=2)
        if way.compares:
            flips = self._near_a_switch(w, way, elements)
            table.forget(np.nonzero(flips))
            left |= flips
        return left

    def _real(self, tape: Tape, points: slice) -> Real:
        """Real values at these points; all inputs share those of the last batch."""
        key = (tape, points.start)
        if self._last is None or self._last[0] != key:
            inputs = [a if a.shape[0] == 1 else a[points] for a in self.inputs]
            self._last = key, Real(tape, run(tape, inputs))
        return self._last[1]

    def _near_a_switch(self, w: int, way: ComplexStep, elements: int) -> np.ndarray:
        """Where a comparison comes out otherwise just beside x: (elements, points)."""
        flips = np.zeros((elements, self.points), bool)
        j, p = (a.reshape(-1) for a in np.indices(flips.shape))
        size = max(1, BATCH // (2 * self.function.size))
        for start in range(0, len(p), size):
            a, b = j[start : start + size], p[start : start + size]
            x = self._scalars(w, a, b)
            aside = np.where(x == 0, 2.0**-1000, np.abs(x) * NEAR)
            three = [self._conditions(w, way, a, b, at) for at in (x - aside, x, x + aside)]
            differs = np.zeros(len(b), bool)
            for low, here, high in zip(*three, strict=True):
                other = (low != here) | (high != here)
                differs |= other.reshape(other.shape[0], -1).any(axis=1)
            self.counted += 2 * len(b)
            flips[a, b] = differs
        return flips

    def _conditions(
        self, w: int, way: ComplexStep, elements: np.ndarray, points: np.ndarray, x: np.ndarray
    ) -> list[np.ndarray]:
        """How every comparison that depends on the input comes out at these values of its elements."""
        inputs = [v[0] if k == w else v for k, v in enumerate(self._shifted(w, elements, points, x[None]))]
        values = run(way.tape, inputs)
        return [v for i, v in enumerate(values) if way.active[i] and way.tape.kinds[i].dtype == "bool"]


class Search:
    """Values at growing numbers of steps about some columns."""

    def __init__(
        self,
        study: Study,
        w: int,
        elements: np.ndarray,
        points: np.ndarray,
        x: np.ndarray,
        at_x: np.ndarray,
        noise: np.ndarray,
    ) -> None:
        self.study, self.w, self.elements, self.points = study, w, elements, points
        self.x, self.at_x = x, at_x
        #: bounds of the error of values: at x, at `reach` below and above, and the values there
        self.noise, self.reach = noise, np.full(len(x), np.inf)
        self.bounds, self.seen = (np.zeros((2, *at_x.shape)) for _ in range(2))
        columns, outputs = at_x.shape
        self.exponents = np.empty((0, columns))
        self.above, self.below = np.empty((0, columns)), np.empty((0, columns))
        self.up, self.down = np.empty((0, columns, outputs)), np.empty((0, columns, outputs))

    def subset(self, columns: np.ndarray) -> Search:
        part = Search(
            self.study,
            self.w,
            *(a[columns] for a in (self.elements, self.points, self.x, self.at_x, self.noise)),
        )
        part.reach, part.bounds, part.seen = self.reach[columns], self.bounds[:, columns], self.seen[:, columns]
        for name in ("exponents", "above", "below", "up", "down"):
            setattr(part, name, getattr(self, name)[:, columns])
        return part

    def _values(self, columns: np.ndarray, exponents: np.ndarray) -> tuple[np.ndarray, ...]:
        h, x = np.exp2(exponents), self.x[columns]
        above, below = x + h, x - h
        f = self.study._evaluate(self.w, self.elements[columns], self.points[columns], np.concatenate([above, below]))
        return exponents, above, below, f[: len(h)], f[len(h) :]

    def extend(self, columns: np.ndarray, exponents: np.ndarray) -> None:
        """Smaller steps, for all columns."""
        for name, new in zip(
            ("exponents", "above", "below", "up", "down"), self._values(columns, exponents), strict=True
        ):
            setattr(self, name, np.concatenate([getattr(self, name), new]))

    def insert(self, columns: np.ndarray, exponents: np.ndarray) -> None:
        """Steps in between, for some columns; the others' levels are filled up with NaN, which no limit uses."""
        new = self._values(columns, exponents)
        count = len(exponents)
        for name, values in zip(("exponents", "above", "below", "up", "down"), new, strict=True):
            old = getattr(self, name)
            filler = np.full((count, *old.shape[1:]), -np.inf if name == "exponents" else np.nan)
            filler[:, columns] = values
            setattr(self, name, np.concatenate([old, filler]))
        order = np.argsort(-self.exponents, axis=0, kind="stable")
        for name in ("exponents", "above", "below", "up", "down"):
            a = getattr(self, name)
            setattr(self, name, np.take_along_axis(a, order if a.ndim == 2 else order[..., None], axis=0))

    def slopes(self, columns: np.ndarray) -> dict[str, np.ndarray]:
        """(columns, outputs) arrays, every output with its own best step."""
        levels, outputs = len(self.exponents), self.at_x.shape[1]
        count = int(np.isfinite(self.exponents[:, columns]).sum(axis=0).max(initial=0)) if levels else 0
        pick = (slice(0, count), columns)

        def flat(a: np.ndarray) -> np.ndarray:
            return np.repeat(a[pick], outputs, axis=1) if a.ndim == 2 else a[pick].reshape(count, -1)

        found = steps.slopes(
            np.repeat(self.x[columns], outputs),
            flat(self.above),
            flat(self.below),
            self.at_x[columns].reshape(-1),
            flat(self.up),
            flat(self.down),
            self._noise(columns),
        )
        return {name: getattr(found, name).reshape(len(columns), outputs) for name in steps.Slopes.__dataclass_fields__}

    def _noise(self, columns: np.ndarray) -> steps.Noise:
        """(columns · outputs)"""
        at_x = self.noise[columns].reshape(-1)
        if not np.isfinite(self.reach).any():
            return steps.Noise.unknown_beside(at_x)
        reach = np.repeat(self.reach[columns], self.at_x.shape[1])
        return steps.Noise.seen_beside(at_x, reach, *(a[:, columns].reshape(2, -1) for a in (self.bounds, self.seen)))

    def listen(self, found: dict[str, np.ndarray]) -> np.ndarray:
        """Bounds the error of the values that the answers rest on; returns the columns where that changes anything."""
        level, every = found["level"].min(axis=1), np.arange(len(self.x))
        x = np.stack([self.below[level, every], self.above[level, every]])
        reach = np.abs(x[1] - x[0]) / 2
        moved = np.flatnonzero(np.isfinite(reach) & ~((reach > self.reach / 4) & (reach < self.reach * 4)))
        if not moved.size:
            return moved
        was = np.where(np.isfinite(self.reach[moved]), np.inf, 1.25)  # the first time, a little more is no news
        known = was * self.noise[moved].T + 4 * U * np.abs(self.at_x[moved].T)
        self.reach[moved] = reach[moved]
        self.seen[:, moved] = np.stack([self.down[level, every], self.up[level, every]])[:, moved]
        self.bounds[:, moved] = [
            self.study.bound_at(self.w, self.elements[moved], self.points[moved], a) for a in x[:, moved]
        ]
        news = (self.bounds[:, moved] > known.T).any(axis=(0, 2)) | np.isinf(was)
        return moved[news]

    def doubtful(self, found: dict[str, np.ndarray]) -> np.ndarray:
        """Columns that smaller steps could improve."""
        scale = np.maximum(np.abs(found["value"]), np.abs(self.at_x / self.x[:, None]))
        sure = (
            np.isfinite(found["bar"])
            & (found["bar"] <= 1e-8 * scale)
            & (found["level"] < len(self.exponents) - 3)
            & ~found["kink"]
        )
        near = np.exp2(self.exponents[-1]) < np.abs(self.x) * 2.0**-20
        return ~((sure & near[:, None]) | ~np.isfinite(self.at_x)).all(axis=1)

    def sparse(self, found: dict[str, np.ndarray], columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the columns have neighbours of the best step more than 2.7 octaves away, and their best levels."""
        with np.errstate(all="ignore"):
            vague = found["bar"][columns] / np.abs(found["value"][columns])
        worst = np.argmax(np.where(np.isnan(vague), np.inf, vague), axis=1)
        best = found["level"][columns, worst]
        e = self.exponents[:, columns]
        at = np.arange(len(columns))
        gap = np.fmax(
            e[np.maximum(best - 1, 0), at] - e[best, at], e[best, at] - e[np.minimum(best + 1, len(e) - 1), at]
        )
        wide = (gap > 2.7) & np.isfinite(self.at_x[columns]).any(axis=1)
        return wide, best


# ---- the complex step -------------------------------------------------------------------------------------------------
def widened(tape: Tape) -> Tape:
    """The same formula in double precision: the derivative of what is written, not of its rounding to float32."""
    if all(k.dtype != "float32" for k in tape.kinds):
        return tape
    builder = Builder()
    place: list[int] = []
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        given = tuple(place[a] for a in args)
        if i in tape.inputs:
            p = kind.kwargs
            place.append(
                builder.input(p["name"], kind.shape, "float64" if kind.dtype == "float32" else kind.dtype, p["uid"])
            )
        elif kind.op is CONSTANT:
            place.append(
                builder.leaf(
                    constant(constant_value(kind).astype(np.float64)).kind if kind.dtype == "float32" else kind
                )
            )
        elif kind.op is CAST and kind.dtype == "float32":
            place.append(builder.emit(CAST, (("dtype", "float64"),), given))
        else:
            place.append(builder.emit(kind.op, kind.params, given))
    return builder.finish((place[i] for i in tape.inputs), (place[o] for o in tape.outputs), tape.labels)


# ---- what is differenced ----------------------------------------------------------------------------------------------
