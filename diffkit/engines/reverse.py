"""Reverse mode: the tape is swept backwards, and the sweep is written onto the same tape.

Each value's adjoint is the sum over its users of (user's adjoint) · (partial by the value). Where an operation chooses
between its arguments (`where`, `maximum`, ...), what flows to the argument not chosen is zero *exactly*, and
stays zero below it however infinite a partial there may be: values carry, beside the adjoint, the condition under
which they are alive. Below a product, whose result depends on all elements, that is whether any is alive; it is asked of choices
(`where`) alone, for it means to look at whole arrays, and a layer whose units of relu are all off is no choice.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..expr.collector import paused
from ..expr.kind import Kind
from ..expr.node import constant
from ..ops import CONSTANT, TABLE
from ..tape import Builder, Tape
from ..tape.tidy import tidied
from .engine import (
    TapeProgram,
    as_dtype,
    differentiable_tape,
    filled,
    float_dtype,
    needs_derivative,
    shapes_of,
)
from .pullback import ALWAYS, Bound, Instruction, bound, parts_of, summed_to

_ADD, _NOT_EQUAL, _OR, _STACK, _RESHAPE, _WHERE = (
    TABLE[n] for n in ("add", "not_equal", "logical_or", "stack", "reshape", "where")
)
#: a rule that is asked for more often in one sweep is copied
PATIENCE = 8


class Sweep:
    """One backward pass over the first `size` values of a builder."""

    def __init__(self, builder: Builder, size: int, sources: Sequence[int]) -> None:
        self.builder, self.size = builder, size
        self.adjoint: dict[int, int] = {}
        #: the condition under which a value is alive, where that is not always
        self.alive: dict[int, int] = {}
        #: those of these conditions that have to do with a choice (`where`), and not with kinks alone
        self.chosen: set[int] = set()
        #: what instructions have in common -> how many there were, and the rule to copy
        self._counts: dict[tuple, int] = {}
        self._rules: dict[tuple, Bound] = {}
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

    def seed(self, i: int, adjoint: int, alive: int = ALWAYS) -> None:
        """Start from output `i` with this adjoint; several outputs add up."""
        if self.active[i]:
            if alive != ALWAYS:
                self.chosen.add(alive)
            self.add(i, adjoint, alive)

    def restart(self) -> None:
        """Forget all adjoints: another sweep over the same values."""
        self.adjoint.clear()
        self.alive.clear()
        self.chosen.clear()

    def add(self, i: int, contribution: int, alive: int) -> None:
        """One more contribution to a value's adjoint, and one more condition under which it is alive."""
        known = self.adjoint.get(i)
        self.adjoint[i] = contribution if known is None else self.builder.again(_ADD, (known, contribution))
        if alive == ALWAYS:
            self.alive.pop(i, None)
        elif known is None:
            self.alive[i] = alive
        elif i in self.alive:
            before = self.alive[i]
            self.alive[i] = self.builder.emit(_OR, (), (before, alive))
            if before in self.chosen or alive in self.chosen:
                self.chosen.add(self.alive[i])

    def run(self) -> None:
        """Hand every value's adjoint on to its operands, last value first."""
        builder, adjoint, alive, tags = self.builder, self.adjoint, self.alive, self._tags
        kinds, all_args, again, add = builder.kinds, builder.args, builder.again, self.add
        append_kind, append_args = kinds.append, all_args.append
        rules, chosen = self._rules, self.chosen
        for i in range(self.size - 1, -1, -1):
            mine, args = adjoint.get(i), all_args[i]
            if mine is None or not args:
                continue
            kind, lit = kinds[i], ALWAYS
            about: Any = kinds[mine].signature
            if alive and i in alive:
                lit = alive[i]
                about = (about, kinds[lit].signature, lit in chosen)
            if len(args) == 2:  # nearly all have two operands or one
                x, y = args
                key: tuple = (kind, about, tags[x], tags[y])
            elif len(args) == 1:
                key = (kind, about, tags[args[0]])
            else:
                key = (kind, about, *[tags[a] for a in args])
            rule = rules.get(key)
            if rule is None:
                rule = self._copied(key, i)
            if rule is None:
                for j, contribution, here in self._instruction(i).contributions():
                    if here != ALWAYS and (lit in chosen or kind.op is _WHERE):
                        chosen.add(here)
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
                    condition = here if here == ALWAYS else values[here]
                    if here != ALWAYS and (lit in chosen or kind.op is _WHERE):
                        chosen.add(condition)
                    add(a, values[contribution], condition)
                elif a in adjoint:
                    adjoint[a] = again(_ADD, (adjoint[a], values[contribution]))
                else:
                    adjoint[a] = values[contribution]

    def _copied(self, key: tuple, i: int) -> Bound | None:
        """The rule to copy for this instruction; None where it is to be run (few are alike so far, or its rule looks at more)."""
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count != PATIENCE + 1:
            return None
        parts = parts_of(self._instruction(i))
        if parts is None:
            return None
        rule = self._rules[key] = bound(parts, self.builder)
        return rule

    def _instruction(self, i: int) -> Instruction:
        kind, args = self.builder.kinds[i], self.builder.args[i]
        active = [self.active[a] for a in args]
        lit = self.alive.get(i, ALWAYS)
        return Instruction(self.builder, kind, i, args, active, self.adjoint[i], lit, lit in self.chosen)

    def result(self, i: int) -> int:
        """The adjoint of input `i`, of its shape and dtype; zeros where no output depends on it."""
        kind = self.builder.kinds[i]
        dtype = float_dtype(kind)
        if i not in self.adjoint:
            return filled(self.builder, 0.0, kind.shape, dtype)
        return as_dtype(self.builder, summed_to(self.builder, self.adjoint[i], kind.shape), dtype)


def adjoint_tape(tape: Tape, wrt: Sequence[int], *, guarded: bool = False) -> Tape:
    """Inputs followed by a cotangent for each output; outputs followed by the adjoints of `wrt` (a vector-Jacobian product).

    guarded: a cotangent that is exactly zero says that the output does not matter there, however infinite a partial may be.
    """
    tape = differentiable_tape(tidied(tape))
    builder = Builder.copy_of(tape)
    sweep = Sweep(builder, len(tape.kinds), [tape.inputs[w] for w in wrt])
    seeds = []
    for k, o in enumerate(tape.outputs):
        kind = tape.kinds[o]
        label = tape.labels[k] if k < len(tape.labels) else f"output{k}"
        seeds.append(builder.input(f"{label}̄", kind.shape, float_dtype(kind), uid=-3 - k))
        alive = builder.emit(_NOT_EQUAL, (), (seeds[-1], builder.number(0.0))) if guarded else ALWAYS
        sweep.seed(o, seeds[-1], alive)
    sweep.run()
    adjoints = [sweep.result(tape.inputs[w]) for w in wrt]
    return tidied(builder.finish((*tape.inputs, *seeds), (*tape.outputs, *adjoints)))


class Reverse:
    """One pass an output element gives the derivative by all inputs."""

    name = "reverse"
    #: up to so many output elements get a sweep each on one tape, which shares what sweeps have in common, if that tape has at
    #: most so many values; for more, the seed becomes a loop dim
    SWEEPS, VALUES = 16, 100_000

    def program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        outs, ins = shapes_of(tape, wrt)
        sizes = [math.prod(o) for o in outs]
        total = sum(sizes)
        with paused():
            if sizes == [1] or (
                sizes and min(sizes) and total <= self.SWEEPS and total * len(tape.kinds) <= self.VALUES
            ):
                return TapeProgram(self.name, _swept_for_each_element(tape, wrt), outs, ins, "blocks")
            return TapeProgram(self.name, adjoint_tape(tape, wrt), outs, ins, "seeded rows")


def _swept_for_each_element(tape: Tape, wrt: Sequence[int]) -> Tape:
    """Outputs followed by the blocks: each row the adjoints of one output element, whose own is the constant 1."""
    tape = differentiable_tape(tidied(tape))
    builder = Builder.copy_of(tape)
    inputs = [tape.inputs[w] for w in wrt]
    sweep = Sweep(builder, len(tape.kinds), inputs)
    blocks: list[int] = []
    for o in tape.outputs:
        shape = tape.kinds[o].shape
        rows = []
        for element in range(math.prod(shape)):
            sweep.restart()
            _seed_element(sweep, *_origin(tape, o, element))
            sweep.run()
            rows.append([sweep.result(i) for i in inputs])
        for i, column in zip(inputs, zip(*rows, strict=True), strict=True):
            blocks.append(_block(builder, column, (*shape, *tape.kinds[i].shape)))
    names = tape.names
    labels = (*tape.labels, *(f"d/d{names[w]}" for _ in tape.outputs for w in wrt))
    return tidied(builder.finish(tape.inputs, (*tape.outputs, *blocks), labels))


def _block(builder: Builder, rows: tuple[int, ...], shape: tuple[int, ...]) -> int:
    axis = -1 - len(builder.kinds[rows[0]].shape)
    block = rows[0] if len(rows) == 1 else builder.emit(_STACK, (("axis", axis),), rows)
    return block if builder.kinds[block].shape == shape else builder.emit(_RESHAPE, (("shape", shape),), (block,))


#: an element is followed through movements of at most so many elements
TRACKED = 4096


def _origin(tape: Tape, value: int, element: int) -> tuple[int, int]:
    """The value and element that an output's element is moved from: a sweep from there carries no zeros."""
    while tape.kinds[value].op.family == "movement":
        kind, args = tape.kinds[value], tape.args[value]
        ends = list(accumulate(math.prod(tape.kinds[a].shape) for a in args))
        if ends[-1] > TRACKED:
            break
        numbers = np.split(np.arange(ends[-1]), ends[:-1])
        numbered = [n.reshape(1, *tape.kinds[a].shape) for n, a in zip(numbers, args, strict=True)]
        number = int(kind.op.numpy(*numbered, **kind.kwargs).reshape(-1)[element])
        which = bisect_right(ends, number)
        value, element = args[which], number - (ends[which] - math.prod(tape.kinds[args[which]].shape))
    return value, element


def _seed_element(sweep: Sweep, value: int, element: int) -> None:
    builder = sweep.builder
    kind = builder.kinds[value]
    if kind.op is CONSTANT or kind.dtype in ("bool", "int64"):
        return
    if math.prod(kind.shape) == 1:
        sweep.seed(value, filled(builder, 1.0, kind.shape, kind.dtype))
    else:
        unit = np.zeros(kind.shape, float_dtype(kind))
        unit.reshape(-1)[element] = 1
        sweep.seed(value, builder.leaf(constant(unit).kind))


ENGINE = Reverse()
