"""Points of a run, and columns of shifted ones: the function is evaluated at many of them at once, outputs side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..machines.numpy import laned_inputs
from .complex_step import BESIDE
from .differenced import Slope, Value


class Sample:
    """A function at the points of a run."""

    def __init__(
        self, function: Value | Slope, values: Sequence[Any], known: Sequence[np.ndarray] | None = None
    ) -> None:
        """known: the function's outputs there, if they have been computed."""
        self.function, self.tape = function, function.tape
        self.inputs, self.loop = laned_inputs(self.tape, values)
        self.points = math.prod(self.loop)
        self.at_x = function(self.inputs, (self.points,), known)
        #: evaluations of the value
        self.counted = self.points * function.cost
        self._noise = np.full(self.at_x.shape, np.nan)
        self._heard = np.zeros(self.points, bool)

    def evaluations(self) -> int:
        """At a point, on average."""
        return math.ceil(self.counted / max(self.points, 1))

    def elements(self, w: int) -> int:
        """Of an input."""
        return math.prod(self.tape.kinds[self.tape.inputs[w]].shape)

    def inputs_at(self, points: Any) -> list[np.ndarray]:
        return [a if a.shape[0] == 1 else a[points] for a in self.inputs]

    def noise_at(self, points: np.ndarray) -> np.ndarray:
        """Error bound of the values, (columns, outputs)."""
        missing = np.unique(points[~self._heard[points]])
        if missing.size:
            inputs = self.inputs_at(missing)
            noise = self.function.bound(inputs, len(missing))
            # sums of integers are exact, and the bound knows; beside them they are not
            beside = [a * np.where(a == np.rint(a), BESIDE, 1.0) if a.dtype.kind == "f" else a for a in inputs]
            if any((a != b).any() for a, b in zip(inputs, beside, strict=True)):
                there = self.function.bound(beside, len(missing))
                noise = np.fmax(noise, np.where(np.isfinite(there), there, 0.0))
            self._noise[missing], self._heard[missing] = noise, True
        return self._noise[points]


class Columns:
    """Some elements of one input, each at a point of its own: what is shifted, one column each."""

    def __init__(self, sample: Sample, w: int, elements: np.ndarray, points: np.ndarray) -> None:
        self.sample, self.w, self.elements, self.points = sample, w, elements, points
        given = sample.inputs[w]
        #: the elements, (columns,)
        self.x = given.reshape(given.shape[0], -1)[points if given.shape[0] > 1 else 0, elements]

    def __len__(self) -> int:
        return len(self.points)

    def of(self, columns: np.ndarray) -> Columns:
        """Some of them."""
        return Columns(self.sample, self.w, self.elements[columns], self.points[columns])

    @cached_property
    def at_x(self) -> np.ndarray:
        """Values where nothing is shifted, (columns, outputs)."""
        return self.sample.at_x[self.points]

    @cached_property
    def noise(self) -> np.ndarray:
        """Error bound of these values."""
        return self.sample.noise_at(self.points)

    def shifted(self, x: np.ndarray) -> list[np.ndarray]:
        """All inputs, with `x` (shifts, columns) in the place of the elements."""
        inputs = self.sample.inputs_at(self.points)
        core = self.sample.inputs[self.w].shape[1:]
        if core:
            full = np.broadcast_to(inputs[self.w].reshape(-1, math.prod(core)), (*x.shape, math.prod(core))).copy()
            np.put_along_axis(full, np.broadcast_to(self.elements[:, None], (*x.shape, 1)), x[..., None], axis=-1)
            inputs[self.w] = full.reshape(*x.shape, *core)
        else:
            inputs[self.w] = x
        return inputs

    def shifted_once(self, x: np.ndarray) -> list[np.ndarray]:
        """All inputs, with `x` (columns,) in the place of the elements."""
        return [a[0] if k == self.w else a for k, a in enumerate(self.shifted(x[None]))]

    def values(self, x: np.ndarray) -> np.ndarray:
        """Values with the elements replaced by `x` (shifts, columns): (shifts, columns, outputs)."""
        found = self.sample.function(self.shifted(x), x.shape)
        self.sample.counted += x.size * self.sample.function.cost
        return found.reshape(*x.shape, -1)

    def bound(self, x: np.ndarray) -> np.ndarray:
        """Error bound of the values with the elements replaced by `x` (columns,), (columns, outputs)."""
        return self.sample.function.bound(self.shifted_once(x), len(x))
