"""One point a call, by the shortest way: no loop dims, no broadcasting, no conversion.

The general path binds, broadcasts and checks, which costs tens of microseconds, more than a small formula at one point. A call
whose arguments are exactly what the tape declares (Python or NumPy doubles for scalars, arrays of the core shape and dtype) needs
none of it. Anything else is left to the general path, which knows what to do or what to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from ..expr.kind import Kind
from ..ops.kinks import current as kink_policy
from ..tape import Tape


def _array_of(kind: Kind) -> tuple[tuple[int, ...], np.dtype]:
    return kind.shape, np.dtype("float64" if kind.dtype == "weak" else kind.dtype)


class SinglePoint:
    """A program for one point, on a machine that has such a program; gives what a transform gives.

    value: the value stands before the derivative. gather: what becomes of the derivatives by several arguments; None where there is
    one. structure: of what `gather` gives, which `out` must have.
    """

    __slots__ = ("gather", "point", "policy", "skip", "specs", "structure", "targets", "value")

    def __init__(
        self, tape: Tape, point: Any, value: bool, gather: Callable[[Sequence[Any]], Any] | None, structure: Any = None
    ) -> None:
        self.structure = structure
        self.point, self.policy, self.value, self.gather = point, kink_policy(), value, gather
        self.skip = 0 if value else 1
        kinds = [tape.kinds[i] for i in tape.inputs]
        #: None for a double scalar, else shape and dtype
        self.specs = [None if k.shape == () and k.dtype == "float64" else _array_of(k) for k in kinds]
        self.targets = [_array_of(tape.kinds[o]) for o in tape.outputs]

    @classmethod
    def of(
        cls, program: Any, run: Any, value: bool, gather: Callable[[Sequence[Any]], Any] | None, structure: Any = None
    ) -> SinglePoint | None:
        """For a program on a machine; None where either has no such thing."""
        executable = getattr(run, "executable", None)
        if executable is None or getattr(program, "layout", None) != "blocks" or not hasattr(executable, "point"):
            return None
        if any(program.tape.kinds[o].dtype == "int64" for o in program.tape.outputs):
            return None
        return cls(program.tape, executable.point(), value, gather, structure)

    def __call__(self, values: Sequence[Any], out: Any = None) -> Any:
        """What the transform gives, a single derivative written into `out` if given; None where the general path is needed."""
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
        gather = self.gather
        if out is None:
            results = self.point(values, None, self.skip)
            if not self.value:
                return results[0] if gather is None else gather(results)
            return results[0], results[1] if gather is None else gather(results[1:])
        if self.value or (gather is not None and self.structure is None):
            return None
        buffers: Sequence[Any] = (out,)
        if gather is not None:
            buffers, structure = optree.tree_flatten(out, none_is_leaf=True)
            if structure != self.structure:
                return None
        for buffer, (shape, dtype) in zip(buffers, self.targets[1:], strict=True):
            if type(buffer) is not np.ndarray or buffer.dtype is not dtype or buffer.shape != shape:
                return None
            if not buffer.flags.writeable:
                return None
        self.point(values, buffers, 1)
        return out
