"""One point a call, by the shortest way: no loop dims, no broadcasting, no conversion.

The general path binds, broadcasts and checks, which costs tens of microseconds, more than a small formula at one point. A call
whose arguments are exactly what the tape declares (Python or NumPy doubles for scalars, arrays of the core shape and dtype) needs
none of it. Anything else is left to the general path, which knows what to do or what to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..expr.node import Kind
from ..ops.kinks import current as kink_policy
from ..tape import Tape


def _array_of(kind: Kind) -> tuple[tuple[int, ...], np.dtype]:
    return kind.shape, np.dtype("float64" if kind.dtype == "weak" else kind.dtype)


class SinglePoint:
    """A program for one point on a machine that has such a program."""

    __slots__ = ("point", "policy", "specs", "targets")

    def __init__(self, tape: Tape, point: Any) -> None:
        self.point, self.policy = point, kink_policy()
        kinds = [tape.kinds[i] for i in tape.inputs]
        #: None for a double scalar, else shape and dtype
        self.specs = [None if k.shape == () and k.dtype == "float64" else _array_of(k) for k in kinds]
        self.targets = [_array_of(tape.kinds[o]) for o in tape.outputs]

    @classmethod
    def of(cls, program: Any, run: Any) -> SinglePoint | None:
        """For a program on a machine; None where either has no such thing."""
        executable = getattr(run, "executable", None)
        if executable is None or getattr(program, "layout", None) != "blocks" or not hasattr(executable, "point"):
            return None
        if any(program.tape.kinds[o].dtype == "int64" for o in program.tape.outputs):
            return None
        return cls(program.tape, executable.point())

    def __call__(self, values: Sequence[Any], out: Sequence[Any] | None = None, skip: int = 0) -> Sequence[Any] | None:
        """The tape's outputs but for the first `skip`, written into `out` if given; None where the general path is needed."""
        specs = self.specs
        if len(values) != len(specs) or kink_policy() != self.policy:
            return None
        for value, spec in zip(values, specs):  # noqa: B905 (lengths are equal; `strict` costs half a microsecond)
            kind = type(value)
            if spec is None:
                if kind is not float and kind is not np.float64:
                    return None
            elif kind is not np.ndarray or value.dtype is not spec[1] or value.shape != spec[0]:
                return None
        if out is None:
            return self.point(values, None, skip)
        for buffer, (shape, dtype) in zip(out, self.targets[skip:]):  # noqa: B905
            if type(buffer) is not np.ndarray or buffer.dtype is not dtype or buffer.shape != shape:
                return None
        try:
            return self.point(values, out, skip)
        except ValueError:  # read-only
            return None
