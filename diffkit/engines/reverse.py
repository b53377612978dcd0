"""Reverse mode: the tape is swept backwards, and the sweep is written onto the same tape.

Each value's adjoint is the sum over its users of (user's adjoint) · (partial by the value). Where an operation chooses
between its arguments (`where`, `maximum`, ...), what flows to the argument not chosen is zero *exactly*, and
stays zero below it however infinite a partial there may be: values carry, beside the adjoint, the condition under
which they are alive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..expr.collector import paused
from ..expr.node import Kind, constant, infer
from ..ops import CONSTANT, TABLE
from ..tape import Builder, Tape
from .engine import (
    TapeProgram,
    as_dtype,
    differentiable_tape,
    filled,
    float_dtype,
    identity_seeds,
    needs_derivative,
    shapes_of,
)
from .pullback import ALWAYS, Bound, Instruction, bound, found, summed_to

_ADD, _OR = TABLE["add"], TABLE["logical_or"]
_SUM = infer(_ADD, (), (constant(0.0).kind,) * 2)


class Sweep:
    """One backward pass over the first `size` values of a builder."""

    def __init__(self, builder: Builder, size: int, sources: Sequence[int]) -> None:
        self.builder, self.size = builder, size
        self.adjoint: dict[int, int] = {}
        #: the condition under which a value is alive, where that is not always
        self.alive: dict[int, int] = {}
        self.active = bytearray(size)
        for i in sources:
            self.active[i] = 1
        self._find_active()

    def _find_active(self) -> None:
        """Values that depend on a source; and of every value a number for all that a rule asks of an operand."""
        active, kinds = self.active, self.builder.kinds
        derivable: dict[Kind, bool] = {}
        for i, args in enumerate(self.builder.args[: self.size]):
            for a in args:
                if active[a]:
                    if not active[i]:
                        kind = kinds[i]
                        if kind not in derivable:
                            derivable[kind] = needs_derivative(kind)
                        active[i] = derivable[kind]
                    break
        self._tags = [2 * kind.signature + on for kind, on in zip(kinds, active, strict=False)]

    def seed(self, i: int, adjoint: int) -> None:
        """Start from output `i` with this adjoint; several outputs add up."""
        if self.active[i]:
            self.add(i, adjoint, ALWAYS)

    def add(self, i: int, contribution: int, alive: int) -> None:
        """One more contribution to a value's adjoint, and one more condition under which it is alive."""
        known = self.adjoint.get(i)
        self.adjoint[i] = contribution if known is None else self.builder.again(_SUM, (known, contribution))
        if alive == ALWAYS:
            self.alive.pop(i, None)
        elif known is None:
            self.alive[i] = alive
        elif i in self.alive:
            self.alive[i] = self.builder.emit(_OR, (), (self.alive[i], alive))

    def run(self) -> None:
        """Hand every value's adjoint on to its operands, last value first."""
        builder, adjoint, alive, tags = self.builder, self.adjoint, self.alive, self._tags
        kinds, all_args, again, add = builder.kinds, builder.args, builder.again, self.add
        append_kind, append_args = kinds.append, all_args.append
        rules: dict[tuple, Bound | None] = {}
        for i in range(self.size - 1, -1, -1):
            if i not in adjoint:
                continue
            args = all_args[i]
            if not args:
                continue
            mine, kind = adjoint[i], kinds[i]
            lit: int = ALWAYS
            about: Any = kinds[mine].signature
            if i in alive:
                lit = alive[i]
                about = (about, kinds[lit].signature)
            if len(args) == 2:  # by far the most
                x, y = args
                key: tuple = (kind, about, tags[x], tags[y])
            else:
                key = (kind, about, *[tags[a] for a in args])
            try:
                rule = rules[key]
            except KeyError:
                parts = found(key, self._instruction(i))
                rule = rules[key] = None if parts is None else bound(parts, builder)
            if rule is None:
                for j, contribution, here in self._instruction(i).contributions():
                    add(args[j], contribution, here)
                continue
            values = [mine, lit, i, *args]
            for steps, j, contribution, here in rule:
                for known, step, operands_of, identity in steps:
                    operands = operands_of(values)
                    index = known.get(operands)
                    if index is None and identity is not None:
                        index = identity(builder, operands)
                    if index is None:
                        index = known[operands] = len(kinds)
                        append_kind(step)
                        append_args(operands)
                    values.append(index)
                a = args[j]
                if here != ALWAYS or alive:
                    add(a, values[contribution], here if here == ALWAYS else values[here])
                elif a in adjoint:
                    adjoint[a] = again(_SUM, (adjoint[a], values[contribution]))
                else:
                    adjoint[a] = values[contribution]

    def _instruction(self, i: int) -> Instruction:
        kind, args = self.builder.kinds[i], self.builder.args[i]
        active = [self.active[a] for a in args]
        return Instruction(self.builder, kind, i, args, active, self.adjoint[i], self.alive.get(i, ALWAYS))

    def result(self, i: int) -> int:
        """The adjoint of input `i`, of its shape and dtype; zeros where no output depends on it."""
        kind = self.builder.kinds[i]
        dtype = float_dtype(kind)
        if i not in self.adjoint:
            return filled(self.builder, 0.0, kind.shape, dtype)
        return as_dtype(self.builder, summed_to(self.builder, self.adjoint[i], kind.shape), dtype)


def adjoint_tape(tape: Tape, wrt: Sequence[int]) -> Tape:
    """Inputs followed by a cotangent for each output; outputs followed by the adjoints of `wrt` (a vector-Jacobian product)."""
    tape = differentiable_tape(tape)
    builder = Builder.copy_of(tape)
    sweep = Sweep(builder, len(tape.kinds), [tape.inputs[w] for w in wrt])
    seeds = []
    for k, o in enumerate(tape.outputs):
        kind = tape.kinds[o]
        label = tape.labels[k] if k < len(tape.labels) else f"output{k}"
        seeds.append(builder.input(f"{label}̄", kind.shape, float_dtype(kind), uid=-3 - k))
        sweep.seed(o, seeds[-1])
    sweep.run()
    adjoints = [sweep.result(tape.inputs[w]) for w in wrt]
    return builder.finish((*tape.inputs, *seeds), (*tape.outputs, *adjoints))


class Reverse:
    """One pass an output element gives the derivative by all inputs."""

    name = "reverse"

    def program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        with paused():
            return self._program(tape, wrt)

    def _program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        outs, ins = shapes_of(tape, wrt)
        if len(outs) == 1 and math.prod(outs[0]) == 1:
            return TapeProgram(self.name, self._gradient_tape(tape, wrt), outs, ins, "blocks")
        return TapeProgram(self.name, adjoint_tape(tape, wrt), outs, ins, "seeded rows", identity_seeds(outs))

    def _gradient_tape(self, tape: Tape, wrt: Sequence[int]) -> Tape:
        """A single scalar output: its adjoint is the constant 1."""
        tape = differentiable_tape(tape)
        builder = Builder.copy_of(tape)
        sweep = Sweep(builder, len(tape.kinds), [tape.inputs[w] for w in wrt])
        (output,) = tape.outputs
        kind = tape.kinds[output]
        if kind.op is not CONSTANT and float_dtype(kind) not in ("bool", "int64"):
            sweep.seed(output, filled(builder, 1.0, kind.shape, kind.dtype))
        sweep.run()
        labels = (*tape.labels, *(f"d/d{tape.kinds[tape.inputs[w]].kwargs['name']}" for w in wrt))
        return builder.finish(tape.inputs, (output, *(sweep.result(tape.inputs[w]) for w in wrt)), labels)


ENGINE = Reverse()
