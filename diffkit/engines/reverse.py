"""Reverse mode: the tape is swept backwards, and the sweep is written onto the same tape.

Each value's adjoint is the sum over its users of (user's adjoint) · (partial by the value). Where an operation chooses
between its arguments (`where`, `maximum`, ...), what flows to the argument not chosen is zero *exactly*, and
stays zero below it however infinite a partial there may be: values carry, beside the adjoint, the condition under
which they are alive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..expr.node import Kind
from ..ops import CONSTANT, TABLE
from ..tape import Builder, Tape, templates
from ..tape.templates import Ref
from .engine import (
    TapeProgram,
    as_dtype,
    differentiable_tape,
    filled,
    float_dtype,
    identity_seeds,
    needs_derivative,
    scaled,
    shapes_of,
)

_ADD, _DIVIDE, _RECIPROCAL, _WHERE, _AND, _OR, _SUM, _RESHAPE = (
    TABLE[n] for n in ("add", "divide", "reciprocal", "where", "logical_and", "logical_or", "sum", "reshape")
)

#: alive at every point
ALWAYS = -1


class Sweep:
    """One backward pass over the first `size` values of a builder."""

    def __init__(self, builder: Builder, size: int, sources: Sequence[int]) -> None:
        self.builder, self.size = builder, size
        self.adjoint: dict[int, int] = {}
        self.alive: dict[int, int] = {}
        self.active = bytearray(size)
        for i in sources:
            self.active[i] = 1
        for i in range(size):
            if (
                not self.active[i]
                and any(self.active[a] for a in builder.args[i])
                and needs_derivative(builder.kinds[i])
            ):
                self.active[i] = 1

    def seed(self, i: int, adjoint: int) -> None:
        """Start from output `i` with this adjoint; several outputs add up."""
        if self.active[i]:
            self.add(i, adjoint, ALWAYS)

    def add(self, i: int, contribution: int, alive: int) -> None:
        emit = self.builder.emit
        known = self.adjoint.get(i)
        self.adjoint[i] = contribution if known is None else emit(_ADD, (), (known, contribution))
        if known is None:
            self.alive[i] = alive
        elif ALWAYS in (alive, self.alive[i]):
            self.alive[i] = ALWAYS
        else:
            self.alive[i] = emit(_OR, (), (self.alive[i], alive))

    def run(self) -> None:
        for i in range(self.size - 1, -1, -1):
            if i in self.adjoint and self.builder.args[i]:
                kind, args = self.builder.kinds[i], self.builder.args[i]
                (self._elementwise if kind.op.partials is not None else self._structured)(kind, i, args)

    def _elementwise(self, kind: Kind, i: int, args: tuple[int, ...]) -> None:
        builder, alive = self.builder, self.alive[i]
        arguments = [builder.kinds[a] for a in args]
        partials = templates.partials(kind, arguments).expand(builder, [i, *args])
        chosen = templates.selects(kind, arguments)
        masks = chosen.expand(builder, args) if chosen else [None] * len(args)
        for a, partial, mask in zip(args, partials, masks, strict=True):
            if not self.active[a] or partial is None or partial == 0:
                continue
            contribution = self._scaled(self.adjoint[i], partial)
            here = self._both(alive, mask)
            # a plain number cannot turn a masked adjoint, which is zero, into anything else
            if here != ALWAYS and (mask is not None or isinstance(partial, Ref)):
                contribution = builder.emit(_WHERE, (), (here, contribution, builder.number(0.0)))
            shape = builder.kinds[a].shape
            self.add(a, self._summed_to(contribution, shape), self._alive_for(here, shape))

    def _scaled(self, adjoint: int, partial: Ref | float) -> int:
        kinds = self.builder.kinds
        if isinstance(partial, Ref) and kinds[partial.index].op is _RECIPROCAL:  # one rounding instead of two
            return self.builder.emit(_DIVIDE, (), (adjoint, self.builder.args[partial.index][0]))
        return scaled(self.builder, adjoint, partial)

    def _alive_for(self, alive: int, shape: tuple[int, ...]) -> int:
        """The condition for a value of another core shape: alive if any element is that it flows into."""
        kind = None if alive == ALWAYS else self.builder.kinds[alive]
        if kind is None or kind.shape in ((), shape):
            return alive
        emit, number = self.builder.emit, self.builder.number
        counted = emit(_WHERE, (), (alive, number(1.0), number(0.0)))
        axes = tuple(range(-len(kind.shape), 0))
        return emit(TABLE["greater"], (), (emit(_SUM, (("axes", axes), ("keepdims", False)), (counted,)), number(0.0)))

    def _both(self, alive: int, mask: Ref | None) -> int:
        if mask is None:
            return alive
        return mask.index if alive == ALWAYS else self.builder.emit(_AND, (), (alive, mask.index))

    def _summed_to(self, i: int, shape: tuple[int, ...]) -> int:
        """The transpose of broadcasting core shapes."""
        have = self.builder.kinds[i].shape
        if have == shape:
            return i
        extra = len(have) - len(shape)
        if extra < 0 or any(h != s != 1 for h, s in zip(have[extra:], shape, strict=True)):
            # the adjoint is smaller than the argument: a partial did not depend on all of it
            return self.builder.emit(TABLE["broadcast_to"], (("shape", shape),), (i,))
        axes = tuple(k - len(have) for k in range(len(have)) if k < extra or (shape[k - extra] == 1 and have[k] != 1))
        summed = self.builder.emit(_SUM, (("axes", axes), ("keepdims", True)), (i,)) if axes else i
        return self.builder.emit(_RESHAPE, (("shape", shape),), (summed,))

    def _structured(self, kind: Kind, i: int, args: tuple[int, ...]) -> None:
        builder = self.builder
        template = templates.vjp(kind, [builder.kinds[a] for a in args])
        contributions = template.expand(builder, [self.adjoint[i], i, *args])
        for a, contribution in zip(args, contributions, strict=True):
            if self.active[a] and contribution is not None:
                index = contribution.index if isinstance(contribution, Ref) else builder.number(contribution)
                alive = self._alive_for(self.alive[i], builder.kinds[a].shape)
                if alive != ALWAYS:
                    index = builder.emit(_WHERE, (), (alive, index, builder.number(0.0)))
                self.add(a, index, alive)

    def result(self, i: int) -> int:
        """The adjoint of input `i`, of its shape and dtype; zeros where no output depends on it."""
        kind = self.builder.kinds[i]
        dtype = float_dtype(kind)
        if i not in self.adjoint:
            return filled(self.builder, 0.0, kind.shape, dtype)
        return as_dtype(self.builder, self._summed_to(self.adjoint[i], kind.shape), dtype)


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
