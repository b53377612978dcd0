"""A function under check, whatever it was written with, seen as one from vectors to vectors.

Its *entries* are the numbers that it is differentiated by, those of all leaves of its arguments in one line. A subclass for every
framework says how a value is computed and, where the framework has one, a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....errors import ArgumentError, DiffkitError, DtypeError, UnsupportedError
from ....numerics import unit_roundoff


@dataclass(frozen=True)
class Leaf:
    """An array among the arguments that the function is differentiated by."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    #: the first of its entries
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def entries(self) -> slice:
        return slice(self.start, self.start + self.size)

    def index(self, entry: int) -> tuple[int, ...]:
        """Where in the array an entry is."""
        return tuple(int(i) for i in np.unravel_index(entry - self.start, self.shape)) if self.shape else ()


def leaves_of(arrays: Sequence[np.ndarray], names: Sequence[str]) -> list[Leaf]:
    found, start = [], 0
    for array, name in zip(arrays, names, strict=True):
        found.append(Leaf(name, array.shape, "float32" if array.dtype == np.float32 else "float64", start))
        start += array.size
    return found


class StructureError(Exception):
    """A gradient that is not one of these arguments: with the arrays that were given, as far as there are any."""

    def __init__(self, message: str, given: Sequence[np.ndarray | None] = ()) -> None:
        super().__init__(message)
        self.given = list(given)


@dataclass
class Events:
    """What happened in calls."""

    calls: int = 0
    gradient_calls: int = 0
    #: what the value function raised at shifted points, and at how many
    raised: int = 0
    first_raised: str = ""
    #: "fun" and "grad", where they wrote into their arguments; and which of these
    written: dict[str, str] = field(default_factory=dict)
    #: floating-point events of gradient calls: "overflow", "divide by zero", "invalid value"
    floating: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Function:
    """A subclass sets `name`, `leaves`, `point`, and defines `evaluate`, `differentiate` and, where it can, `own`."""

    #: "numpy", "expr", "torch", "jax"
    framework = "numpy"
    #: what it is called in reports
    name: str
    leaves: list[Leaf]
    #: (entries,) float64
    point: np.ndarray
    #: what may be wrong with the call, if it fails
    hint = ""

    def __init__(self) -> None:
        self.events = Events()
        #: what the gradient's function returned last, as it is
        self.returned: Any = None
        self.out_shapes: list[tuple[int, ...]] = []
        #: of the outputs: what they are rounded to
        self.dtype = "float64"
        self._weights: np.ndarray | None = None

    # ---- for a framework to define ----
    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs for these leaves (fresh arrays of their dtypes, which the call may ruin)."""
        raise NotImplementedError

    def differentiate(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        """The gradient under check: rows of the Jacobian (outputs, entries), or their sums by `weights` (rows, outputs).

        Raises StructureError.
        """
        raise NotImplementedError

    def second(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        """The Hessian of the only output as the framework has it, (entries, entries), or products with `weights` (rows, ...)."""
        raise UnsupportedError(f"second derivatives of {self.framework} functions: give grad=(gradient, Hessian)")

    def lift(self, array: np.ndarray, original: Any) -> Any:
        """An array as the user's functions take the leaf `original`."""
        return array

    def dropout_active(self) -> list[str]:
        """Dropout that is on, where the framework can tell."""
        return []

    def nan_origin(self, z: np.ndarray) -> str | None:
        """What made the first NaN or infinity at z, as a sentence, where the framework can tell."""
        return None

    # ---- for the checker ----
    @property
    def size(self) -> int:
        return self.point.size

    @property
    def outputs(self) -> int:
        """Numbers that `value` gives."""
        return sum(math.prod(s) for s in self.out_shapes) if self._weights is None else len(self._weights)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Of all outputs as one array: that of the only one, else their number; () of a sum."""
        if self._weights is not None:
            return ()
        return self.out_shapes[0] if len(self.out_shapes) == 1 else (self.outputs,)

    @property
    def roundoff(self) -> float:
        """The unit roundoff of what it computes in: the coarsest of leaves and outputs."""
        return max(unit_roundoff(self.dtype), *(unit_roundoff(leaf.dtype) for leaf in self.leaves))

    def leaf_of(self, entry: int) -> Leaf:
        return next(leaf for leaf in self.leaves if leaf.start <= entry < leaf.start + leaf.size)

    def entry_name(self, entry: int) -> str:
        leaf = self.leaf_of(entry)
        return f"{leaf.name}[{', '.join(map(str, leaf.index(entry)))}]" if leaf.shape else leaf.name

    def arrays(self, z: np.ndarray) -> list[np.ndarray]:
        """Fresh arrays of the leaves' dtypes."""
        return [np.array(z[leaf.entries], leaf.dtype).reshape(leaf.shape) for leaf in self.leaves]

    def start(self) -> np.ndarray:
        """The value at the point; it settles the shapes of the outputs. Errors of the function pass through, told where."""
        arrays = self.arrays(self.point)
        self.events.calls += 1
        try:
            with np.errstate(all="ignore"):
                outputs = self.evaluate(arrays)
        except Exception as problem:
            if isinstance(problem, DiffkitError):
                raise
            raise ArgumentError(
                f"{self.name} raised {type(problem).__name__} at the point where it is to be checked: {problem}"
                + self.hint
            ) from problem
        self._look_for_writing("fun", arrays, self.point)
        self.out_shapes = [o.shape for o in outputs]
        if not outputs or not self.outputs:
            raise ArgumentError(f"{self.name} returned no number, so there is nothing to differentiate")
        self.dtype = "float32" if any(o.dtype in (np.float32, np.float16) for o in outputs) else "float64"
        return flat(outputs)

    def value(self, z: np.ndarray) -> np.ndarray:
        """(outputs,) at entries z; NaN where the function raises."""
        arrays = self.arrays(z)
        self.events.calls += 1
        try:
            with np.errstate(all="ignore"):
                outputs = self.evaluate(arrays)
            if [o.shape for o in outputs] != self.out_shapes:
                found = ", ".join(str(o.shape) for o in outputs)
                raise ValueError(f"its result has another shape there: {found}")
        except Exception as problem:
            self.events.raised += 1
            self.events.first_raised = self.events.first_raised or f"{type(problem).__name__}: {problem}"
            return np.full(self.outputs, np.nan)
        self._look_for_writing("fun", arrays, z)
        return self.weighed(flat(outputs))

    def weigh(self, weights: np.ndarray) -> None:
        """From now on the value is the outputs' sum with these weights, (1, outputs)."""
        self._weights = weights

    def weighed(self, value: np.ndarray) -> np.ndarray:
        """Of outputs (…, outputs)."""
        return value if self._weights is None else value @ self._weights.T

    @property
    def weighs(self) -> bool:
        return self._weights is not None

    def close(self) -> None:
        """The check is over: what it changed is as it was."""

    def values(self, points: Iterable[np.ndarray]) -> np.ndarray:
        """(points, outputs); of points that are made as they are needed, lest there be many copies of large arguments."""
        return np.array([self.value(z) for z in points]).reshape(-1, self.outputs)

    def gradient(self, z: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """What is checked: (rows, entries) in float64, as it is given."""
        arrays = self.arrays(z)
        self.events.gradient_calls += 1
        with np.errstate(all="call", call=lambda kind, _: self.events.floating.add(kind)):
            try:
                found = self.differentiate(arrays, weights)
            except (StructureError, DiffkitError):
                raise
            except Exception as problem:
                said = f"{type(problem).__name__}: {problem}"
                if any(word in str(problem).lower() for word in ("shape", "dimension", "broadcast", "size")):
                    raise StructureError(f"the gradient raised {said}") from problem
                raise ArgumentError(f"the gradient of {self.name} raised {said}") from problem
        self._look_for_writing("grad", arrays, z)
        return found

    def _look_for_writing(self, who: str, arrays: Sequence[np.ndarray], z: np.ndarray) -> None:
        if who in self.events.written:
            return
        for leaf, array in zip(self.leaves, arrays, strict=True):
            before = z[leaf.entries].astype(leaf.dtype)
            if array.size != leaf.size or not np.array_equal(array.reshape(-1), before, equal_nan=True):
                self.events.written[who] = leaf.name


def flat(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """All outputs as one line of doubles."""
    return np.concatenate([np.asarray(o, np.float64).reshape(-1) for o in outputs])


def real_arrays(leaves: Sequence[Any], whose: str, note: Callable[[str], None] | None = None) -> list[np.ndarray]:
    """Results as arrays of real numbers. DtypeError for anything else."""
    found = []
    for leaf in leaves:
        if leaf is None:
            raise DtypeError(f"{whose} returned None: does it lack a return?")
        try:
            array = np.asarray(leaf)
        except Exception as problem:
            raise DtypeError(f"{whose} returned {type(leaf).__name__}, not numbers: {problem}") from None
        if array.dtype.kind == "c":
            raise DtypeError(f"{whose} returned complex numbers; derivatives of real functions are checked")
        if array.dtype.kind not in "fiub":
            raise DtypeError(
                f"{whose} returned {type(leaf).__name__}, of dtype {array.dtype}; it must return numbers or arrays of them"
            )
        found.append(array)
    return found
