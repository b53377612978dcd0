"""Inputs whose values are known when a tape is built: what follows from them alone is computed then.

The seeds of a compressed derivative are such inputs. Moved about, they stay what they are, known, and where one is the same
everywhere it becomes a number, so that a product with it may fall away.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engines.engine import filled, float_dtype
from ..expr.kind import Kind, constant_value
from ..machines.numpy import call
from ..ops import CONSTANT
from ..ops.loops import repeated
from ..tape import Builder, Tape

#: names of arrays handed to the tape beside its own inputs
UID = -4
#: a loop of more instructions is not computed when the tape is built: a machine is faster at it
COMPUTED = 10_000


def with_known(tape: Tape, arrays: Sequence[np.ndarray]) -> tuple[Tape, list[np.ndarray]]:
    """The tape with its last inputs known, and the arrays (of core shape) that it takes in their place at every run.

    It keeps its other inputs, and its outputs.
    """
    kept = len(tape.inputs) - len(arrays)
    work = _Rewriting(tape, dict(zip(tape.inputs[kept:], arrays, strict=True)))
    inputs = [work.builder.leaf(tape.kinds[i]) for i in tape.inputs[:kept]]
    work.place.update(zip(tape.inputs[:kept], inputs, strict=True))
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        if i not in work.place and i not in work.known:
            work.write(i, kind, args)
    outputs = [work.at(o, whole=True) for o in tape.outputs]
    made = work.builder.finish((*inputs, *work.taken), outputs, tape.labels)
    used = {a for args in made.args for a in args}.union(made.outputs)
    unused = [i for i in made.inputs[kept:] if i not in used]
    if not unused:
        return made, list(work.taken.values())
    left = [(i, a) for i, a in zip(made.inputs[kept:], work.taken.values(), strict=True) if i in used]
    again = Builder.copy_of(made).finish((*made.inputs[:kept], *(i for i, _ in left)), made.outputs, tape.labels)
    return again, [a for _, a in left]


class _Rewriting:
    def __init__(self, tape: Tape, known: dict[int, np.ndarray]) -> None:
        self.tape, self.known = tape, known
        self.builder = Builder()
        #: a value's number on the new tape
        self.place: dict[int, int] = {}
        #: numbers of further inputs on the new tape, and what they are given
        self.taken: dict[int, np.ndarray] = {}

    def write(self, i: int, kind: Kind, args: tuple[int, ...]) -> None:
        if kind.op is CONSTANT:
            self.known[i] = constant_value(kind)
            return
        if args and all(a in self.known for a in args) and _instructions(kind) <= COMPUTED:
            with np.errstate(all="ignore"):
                value = call(kind, [self.known[a][None] for a in args])[0]
            value = np.asarray(value, float_dtype(kind))
            if kind.dtype == "bool" or np.isfinite(value).all():
                self.known[i] = value
                return
        shapes = [self.tape.kinds[a].shape for a in args if a not in self.known]
        # a number serves where the other operands have the whole shape already
        whole = kind.op.family != "elementwise" or not shapes or np.broadcast_shapes(*shapes) != kind.shape
        self.place[i] = self.builder.again(kind, tuple([self.at(a, whole) for a in args]))

    def at(self, i: int, whole: bool) -> int:
        """A value's number on the new tape; whole: in its shape."""
        if i in self.place:
            return self.place[i]
        kind, array = self.tape.kinds[i], self.known[i]
        if kind.shape and kind.dtype != "bool" and array.size and (array == array.reshape(-1)[0]).all():
            number = array.reshape(-1)[0].item()
            return filled(self.builder, number, kind.shape if whole else (), float_dtype(kind))
        if kind.op is CONSTANT:
            self.place[i] = self.builder.leaf(kind)
            return self.place[i]
        self.place[i] = self.builder.input(f"known{len(self.taken)}", kind.shape, float_dtype(kind), UID)
        self.taken[self.place[i]] = np.asarray(array, order="C")
        return self.place[i]


def _instructions(kind: Kind) -> int:
    """How many an operation with a body comes to."""
    return sum(times * len(body.tape.kinds) for body, times in repeated(kind.kwargs))
