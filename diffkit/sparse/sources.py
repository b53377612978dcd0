"""What a sparse derivative is taken by: the inputs, or the arrays that a tape moves out of them.

A function that is a sum or a list of small parts picks their arguments by indexing, x[1:] or cameras[number]. Such an array is
looked upon as a variable of its own. By those variables the derivative falls into small independent blocks, which need far fewer
directions than columns that many rows have in common; the derivative by the inputs has the same entries, moved back and added
where several stand for one (Griewank and Toint's partial separability, read off the tape).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..expr.collector import paused
from ..expr.kind import intern_kind
from ..machines.numpy import call
from ..ops import VARIABLE
from ..tape import Builder, Tape

_UID = -5


@dataclass(frozen=True, eq=False)
class Sources:
    """A tape, and the positions of its inputs that count as variables.

    columns: for each element of the variables, one variable after the other, the element of the inputs that it is.
    moved: the values of `original` that have become inputs, behind its own.
    """

    tape: Tape
    positions: tuple[int, ...]
    columns: np.ndarray
    original: Tape
    moved: tuple[int, ...] = ()

    @classmethod
    def inputs(cls, tape: Tape, wrt: Sequence[int]) -> Sources:
        """The inputs themselves."""
        size = sum(math.prod(tape.kinds[tape.inputs[w]].shape) for w in wrt)
        return cls(tape, tuple(wrt), np.arange(size), tape)

    @classmethod
    def behind_movements(cls, tape: Tape, wrt: Sequence[int]) -> Sources | None:
        """What the tape computes with, after moving inputs about; None where it moves none."""
        origins, start = {}, 0
        for i in (tape.inputs[w] for w in wrt):
            shape = tape.kinds[i].shape
            origins[i] = np.arange(start, start + math.prod(shape)).reshape(1, *shape)
            start += math.prod(shape)
        met = set(tape.outputs)
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if kind.op.family == "movement" and len(args) == 1 and args[0] in origins:
                origins[i] = call(kind, [origins[args[0]]])
            else:
                met.update(args)
        variables = [i for i in origins if i in met]
        moved = tuple(i for i in variables if i not in tape.inputs)
        if not moved:
            return None
        kinds, all_args = list(tape.kinds), list(tape.args)
        for k, i in enumerate(moved):
            name = (("name", f"moved{k}"), ("uid", _UID))
            kinds[i], all_args[i] = intern_kind(VARIABLE, name, kinds[i].shape, kinds[i].dtype), ()
        cut = Tape(kinds, all_args, (*tape.inputs, *moved), tape.outputs, tape.labels)
        positions = tuple(cut.inputs.index(i) for i in variables)
        columns = np.concatenate([origins[i].reshape(-1) for i in variables])
        return cls(cut, positions, columns, tape, moved)

    def joined(self, made: Tape) -> Tape:
        """A tape made from `tape` (its inputs, then others), as one that moves the inputs itself."""
        if not self.moved:
            return made
        own = self.original.inputs
        first, after = len(own), len(own) + len(self.moved)
        builder = Builder()
        with paused():
            place = {i: builder.leaf(self.original.kinds[i]) for i in own}
            for i, (kind, args) in enumerate(zip(self.original.kinds, self.original.args, strict=True)):
                if kind.op.family == "movement" and len(args) == 1 and args[0] in place:
                    place[i] = builder.again(kind, (place[args[0]],))
            given = [*(place[i] for i in own), *(place[i] for i in self.moved)]
            number = dict(zip(made.inputs[:after], given, strict=True))
            for i, (kind, args) in enumerate(zip(made.kinds, made.args, strict=True)):
                if i not in number:
                    number[i] = builder.again(kind, tuple([number[a] for a in args])) if args else builder.leaf(kind)
            inputs = (*given[:first], *(number[i] for i in made.inputs[after:]))
            return builder.finish(inputs, [number[o] for o in made.outputs], made.labels)
