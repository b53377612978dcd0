"""Derivatives of a record's function from its values alone: of one operation at many points at once, along few directions.

An elementwise operation at n points is a function of arity·n entries with n outputs. Along the direction that moves one argument at
all points, each in proportion to its size, a few calls measure the partial at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...expr.node import Expr
from ...machines import machine
from ...tape import record
from ..gradients.evidence import Part, Tolerances
from ..gradients.functions.function import Function, Leaf, leaves_of
from ..gradients.numeric import KINK, SMOOTH, STEP, Differences, surroundings

#: significant bits of a distance along a direction: beside entries scaled by powers of two it is added without rounding, even the
#: smallest of a ladder's
BITS = {True: 10, False: 6}
#: an entry that a step moves otherwise, relatively, by rounding is missing at that step
LOST = 1e-6
#: a difference of so many tolerances is not in doubt
CLEAR = 30.0
#: quotients that grow so much from one step to the next, much smaller one belong to a vertical tangent
GROWING = 1.1


class Pointwise(Function):
    """An expression of numbers at many points."""

    framework = "expr"

    def __init__(self, f: Expr, variables: Sequence[Expr], columns: Mapping[str, np.ndarray]) -> None:
        """columns: a value a point for each variable, (points,); those of floating-point dtype are the entries."""
        super().__init__()
        self.name = str(f)
        self._columns = {v.name: np.asarray(columns[v.name], v.dtype) for v in variables}  # type: ignore[index]
        moved = [n for n, c in self._columns.items() if c.dtype.kind == "f"]
        self.leaves = leaves_of([self._columns[n] for n in moved], moved)  # type: ignore[arg-type]
        self.point = np.concatenate([self._columns[n].astype(np.float64) for n in moved])
        self._run = machine("numpy").compile(record(f, variables))
        self._shape = (max(len(c) for c in self._columns.values()),)

    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        own = dict(zip((leaf.name for leaf in self.leaves), arrays, strict=True))
        (value,) = self._run([own.get(n, c) for n, c in self._columns.items()])  # type: ignore[call-overload]
        return [np.broadcast_to(value, (*value.shape[:-1], *self._shape))]

    def values(self, points: Iterable[np.ndarray]) -> np.ndarray:
        batch = np.array(list(points))
        self.events.calls += len(batch)
        with np.errstate(all="ignore"):
            (value,) = self.evaluate([batch[:, leaf.entries].astype(leaf.dtype) for leaf in self.leaves])
        return value.astype(np.float64)


class Lines:
    """Directions that are given as vectors. What cannot be moved as far as it should be is NaN."""

    def __init__(self, function: Function, vectors: np.ndarray) -> None:
        """vectors: (directions, entries)."""
        self.vectors, self.count, self.scale = vectors, len(vectors), np.ones(len(vectors))
        self._point, self._single = function.point, function.roundoff > 1e-10
        self._bits = BITS[not self._single]

    def shifted(self, d: int, t: float) -> tuple[np.ndarray, float]:
        fraction, exponent = math.frexp(t)
        t = math.ldexp(round(math.ldexp(fraction, self._bits)), exponent - self._bits)
        moved = t * self.vectors[d]
        z = self._point + moved
        if self._single:
            z = z.astype(np.float32).astype(np.float64)
        with np.errstate(all="ignore"):
            z[np.abs(z - self._point - moved) > LOST * np.abs(moved)] = np.nan
        return z, t

    def dot(self, d: int, rows: np.ndarray) -> np.ndarray:
        return rows @ self.vectors[d]


@dataclass
class Measured:
    """Arrays (directions, outputs): derivatives along the directions, half the width of the intervals they are in, what a right
    derivative may be off by."""

    value: np.ndarray
    bar: np.ndarray
    tolerance: np.ndarray
    state: np.ndarray
    left: np.ndarray
    right: np.ndarray
    #: the derivative is known well enough to judge by, and the given one is off
    known: np.ndarray
    off: np.ndarray
    calls: int


def measured(function: Function, vectors: np.ndarray, given: np.ndarray, seed: int = 0) -> Measured:
    """Derivatives along `vectors` (directions, entries) by differences, and whether `given` (directions, outputs) are they."""
    at_x = function.start()
    near = surroundings(function, at_x, np.abs(vectors).max(axis=0), seed)
    differences = Differences(function, Lines(function, vectors), at_x, near.noise, near.variation(at_x))
    e = differences.measure()
    tolerances = Tolerances(function.roundoff < 1e-10, None, None, near.variation(at_x))

    def judged() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tolerance = tolerances.of(e.value, e.bar, differences.directions.scale)
        with np.errstate(all="ignore"):
            known = (e.state != KINK) & np.isfinite(e.value) & np.isfinite(tolerance)
            off = known & ~(np.abs(given - e.value) <= tolerance)
        return tolerance, known, off

    for k in range(len(vectors)):
        steps = (differences.sharpen, differences.examine, differences.sample_noise)
        for closer in steps:
            tolerance, _, off = judged()
            with np.errstate(all="ignore"):
                doubtful = off[k] & ~(np.abs(given[k] - e.value[k]) > CLEAR * tolerance[k])
            odd = np.isnan(e.value[k]) | ~np.isin(e.state[k], (SMOOTH, STEP))
            if doubtful.any() or (odd.any() and closer == differences.examine):
                closer(k)
    if np.isinf(given).any():
        e.state[np.isinf(given) & _vertical(function, vectors)] = KINK
    tolerance, known, off = judged()
    return Measured(
        e.value, e.bar, tolerance, e.state, e.left, e.right, known & np.isin(e.state, (SMOOTH, STEP)), off,
        function.events.calls,
    )  # fmt: skip


def _vertical(function: Function, vectors: np.ndarray) -> np.ndarray:
    """(directions, outputs): whether difference quotients grow without end as steps fall: a vertical tangent."""
    steps = 2.0 ** -np.array([10, 20, 30] if function.roundoff < 1e-10 else [5, 8, 11])
    found = []
    for v in vectors:
        ends = function.values(function.point + s * v for t in steps for s in (t, -t)).reshape(len(steps), 2, -1)
        with np.errstate(all="ignore"):
            quotients = np.abs(ends[:, 0] - ends[:, 1]) / steps[:, None]
        found.append((quotients[1:] > GROWING * quotients[:-1]).all(axis=0))
    return np.array(found)


def parts(found: Measured, given: np.ndarray, scale: np.ndarray, leaves: Sequence[Leaf]) -> list[Part]:
    """The evidence about the partial by each argument (a direction each), point by point. scale, given: (arguments, points)."""
    made = []
    # an infinite derivative is that of a vertical tangent, whose quotients grow without end
    left, right = (np.where(np.isinf(given), np.nan, a) for a in (found.left, found.right))
    for k, leaf in enumerate(leaves):
        s = scale[k]
        made.append(
            Part(
                leaf, k, given[k], lambda a: a.reshape(-1), found.value[k] / s, found.bar[k] / s, found.tolerance[k] / s,
                found.state[k], left[k] / s, right[k] / s, True,
            )
        )  # fmt: skip
    return made
