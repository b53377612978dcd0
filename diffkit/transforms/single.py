"""One point a call, by the shortest way: no loop dims, no broadcasting, no conversion.

The general path binds, broadcasts and checks, which costs tens of microseconds, more than a small formula at one point. A call whose
arguments are exactly what the tape declares (Python or NumPy doubles for scalars, arrays of the core shape and dtype) needs none of it.
Anything else is left to the general path, which knows what to do or what to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.kinks import current as kink_policy
from ..tape import Tape


class SinglePoint:
    """A program for one point on a machine that has such a program."""

    __slots__ = ("checked", "point", "policy", "specs", "targets")

    def __init__(self, tape: Tape, point: Any, checked: int) -> None:
        #: outputs that outside their domain are NaN, and their derivatives then too
        self.checked = checked
        self.point, self.policy = point, kink_policy()
        self.specs = [self._spec(tape.kinds[i]) for i in tape.inputs]
        self.targets = [(tape.kinds[o].shape, self._dtype(tape.kinds[o])) for o in tape.outputs]

    @staticmethod
    def _dtype(kind: Any) -> np.dtype:
        return np.dtype("float64" if kind.dtype == "weak" else kind.dtype)

    @classmethod
    def _spec(cls, kind: Any) -> tuple | None:
        """None for a double scalar, else shape and dtype."""
        return None if kind.shape == () and kind.dtype == "float64" else (kind.shape, cls._dtype(kind))

    @classmethod
    def of(cls, program: Any, run: Any) -> SinglePoint | None:
        """For a program on a machine; None where either has no such thing."""
        executable = getattr(run, "executable", None)
        if executable is None or getattr(program, "layout", None) != "blocks" or not hasattr(executable, "point"):
            return None
        if any(program.tape.kinds[o].dtype == "int64" for o in program.tape.outputs):
            return None
        return cls(program.tape, executable.point, len(program.out_shapes) if run.bounded else 0)

    def __call__(self, values: Sequence[Any], out: Sequence[Any] | None = None) -> list[Any] | None:
        """The tape's outputs (written into `out` where it has an array); None where the general path is needed."""
        specs = self.specs
        if len(values) != len(specs) or kink_policy() != self.policy:
            return None
        for value, spec in zip(values, specs):  # noqa: B905 (lengths are equal; `strict` costs half a microsecond)
            kind = type(value)
            if kind is float or kind is np.float64:
                if spec is not None:
                    return None
            elif kind is not np.ndarray or spec is None or value.shape != spec[0] or value.dtype != spec[1]:
                return None
        if out is not None and not self._fit(out, values):
            return None
        results = self.point(values, out)
        for k in range(self.checked):
            if _has_nan(results[k]):
                return None
        return results

    def _fit(self, out: Sequence[Any], values: Sequence[Any]) -> bool:
        for buffer, (shape, dtype) in zip(out, self.targets):  # noqa: B905
            if buffer is not None:
                if type(buffer) is not np.ndarray or buffer.shape != shape or buffer.dtype != dtype:
                    return False
                if not buffer.flags.writeable:
                    return False
        return True


def _has_nan(value: Any) -> bool:
    return value != value if isinstance(value, float) else bool(np.isnan(value).any())
