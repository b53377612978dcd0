"""The reverse rule of one instruction, written once and then copied.

What the sweep writes for an instruction depends on kinds alone: the instruction's, its operands', the adjoint's, and which
operands are active. So the rule of instructions that come again and again is run once on stand-ins (`parts_of`), and what it
wrote is kept as steps; the sweep copies them (`bound`) with its own values in the place of the stand-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from ..expr.kind import Kind, intern_kind
from ..ops import CONSTANT, TABLE, VARIABLE
from ..tape import Builder, templates
from ..tape.simplify import Rule
from ..tape.tape import plan
from ..tape.templates import Ref, Template
from .engine import scaled

_DIVIDE, _MULTIPLY, _NEGATIVE, _WHERE, _AND, _SUM, _RESHAPE, _GREATER, _BROADCAST = (
    TABLE[n]
    for n in ("divide", "multiply", "negative", "where", "logical_and", "sum", "reshape", "greater", "broadcast_to")
)
RECIPROCAL = TABLE["reciprocal"]

#: alive at every point
ALWAYS = -1


@dataclass
class Instruction:
    """Value `i` of a builder with its adjoint: what a reverse rule starts from."""

    builder: Builder
    kind: Kind
    i: int
    args: tuple[int, ...]
    #: one an operand
    active: Sequence[int]
    adjoint: int
    #: the condition under which the value is alive
    alive: int
    #: whether that has to do with a choice (`where`), and not with kinks alone (a unit of relu that is off)
    chosen: bool = True

    def contributions(self) -> Iterator[tuple[int, int, int]]:
        """Writes the contributions to the operands' adjoints: (number of the operand, contribution, alive), one by one."""
        return self._elementwise() if self.kind.op.partials is not None else self._structured()

    def _elementwise(self) -> Iterator[tuple[int, int, int]]:
        builder, args = self.builder, self.args
        arguments = [builder.kinds[a] for a in args]
        partials = templates.partials(self.kind, arguments).expand(builder, [self.i, *args])
        chosen = templates.selects(self.kind, arguments)
        masks = chosen.expand(builder, args) if chosen else [None] * len(args)
        for j, (a, partial, mask) in enumerate(zip(args, partials, masks, strict=True)):
            if not self.active[j] or partial is None or partial == 0:
                continue
            contribution = self._scaled(partial)
            here = self._both(mask)
            # a plain number cannot turn a masked adjoint, which is zero, into anything else
            if here != ALWAYS and (mask is not None or isinstance(partial, Ref)):
                contribution = builder.emit(_WHERE, (), (here, contribution, builder.number(0.0)))
            shape = builder.kinds[a].shape
            yield j, summed_to(builder, contribution, shape), self._alive_for(here, shape)

    def _structured(self) -> Iterator[tuple[int, int, int]]:
        builder = self.builder
        template = templates.vjp(self.kind, [builder.kinds[a] for a in self.args])
        contributions = template.expand(builder, [self.adjoint, self.i, *self.args])
        moved = self._moved_alive(template)
        for j, contribution in enumerate(contributions):
            if self.active[j] and contribution is not None:
                index = contribution.index if isinstance(contribution, Ref) else builder.number(contribution)
                if moved is not None:
                    alive = moved[j]
                else:  # whether anything at all is alive takes a look at whole arrays: a choice is worth it
                    alive = self._alive_for(self.alive, ()) if self.chosen else ALWAYS
                if alive != ALWAYS:
                    index = builder.emit(_WHERE, (), (alive, index, builder.number(0.0)))
                yield j, index, alive

    def _moved_alive(self, template: Template) -> list[int] | None:
        """The condition for every operand of an operation that moves elements or adds them up: it goes the way of the adjoint."""
        emit, kinds, number, family = self.builder.emit, self.builder.kinds, self.builder.number, self.kind.op.family
        if self.alive == ALWAYS or kinds[self.alive].shape == ():
            return [self.alive] * len(self.args)
        if family not in ("movement", "linear") and self.kind.op is not _SUM:
            return None
        live = emit(_WHERE, (), (self.alive, number(1.0), number(0.0)))
        if kinds[live].shape != self.kind.shape:
            live = emit(_BROADCAST, (("shape", self.kind.shape),), (live,))
        moved = template.expand(self.builder, [live, self.i, *self.args])
        return [emit(_GREATER, (), (m.index, number(0.0))) if isinstance(m, Ref) else ALWAYS for m in moved]

    def _scaled(self, partial: Ref | float) -> int:
        builder = self.builder
        if isinstance(partial, Ref):
            inner = partial.index
            if builder.kinds[inner].op is RECIPROCAL:  # one rounding instead of two
                return builder.emit(_DIVIDE, (), (self.adjoint, builder.args[inner][0]))
            if self.kind.op is _DIVIDE and builder.kinds[inner].op is _NEGATIVE:
                # out = x/y, partial −out/y: the adjoint over y is what x is given
                shared = builder.emit(_DIVIDE, (), (self.adjoint, self.args[1]))
                return builder.emit(_NEGATIVE, (), (builder.emit(_MULTIPLY, (), (shared, self.i)),))
        return scaled(builder, self.adjoint, partial)

    def _both(self, mask: Ref | None) -> int:
        if mask is None:
            return self.alive
        return mask.index if self.alive == ALWAYS else self.builder.emit(_AND, (), (self.alive, mask.index))

    def _alive_for(self, alive: int, shape: tuple[int, ...]) -> int:
        """The condition for a value of another core shape: alive if any element is that it flows into."""
        kind = None if alive == ALWAYS else self.builder.kinds[alive]
        if kind is None or kind.shape in ((), shape):
            return alive
        emit, number = self.builder.emit, self.builder.number
        try:
            whole = np.broadcast_shapes(kind.shape, shape)
        except ValueError:
            whole = ()
        if whole == shape:
            return emit(_BROADCAST, (("shape", shape),), (alive,))
        counted = emit(_WHERE, (), (alive, number(1.0), number(0.0)))
        if whole:
            if whole != kind.shape:
                counted = emit(_BROADCAST, (("shape", whole),), (counted,))
            return emit(_GREATER, (), (summed_to(self.builder, counted, shape), number(0.0)))
        axes = tuple(range(-len(kind.shape), 0))
        return emit(_GREATER, (), (emit(_SUM, (("axes", axes), ("keepdims", False)), (counted,)), number(0.0)))


def summed_to(builder: Builder, i: int, shape: tuple[int, ...]) -> int:
    """The transpose of broadcasting core shapes."""
    have = builder.kinds[i].shape
    if have == shape:
        return i
    extra = len(have) - len(shape)
    if extra < 0 or any(h != s != 1 for h, s in zip(have[extra:], shape, strict=True)):
        # the adjoint is smaller than the argument: a partial did not depend on all of it
        return builder.emit(_BROADCAST, (("shape", shape),), (i,))
    axes = tuple(k - len(have) for k in range(len(have)) if k < extra or (shape[k - extra] == 1 and have[k] != 1))
    summed = builder.emit(_SUM, (("axes", axes), ("keepdims", True)), (i,)) if axes else i
    return builder.emit(_RESHAPE, (("shape", shape),), (summed,))


# ---- copying ------------------------------------------------------------------------------------------------------
#: a step: what it writes, its operands by place, an identity that may apply
Step = tuple[Kind, tuple[int, ...], "Rule | None"]
#: steps, then the operand whose adjoint grows, the place of the contribution, and of the condition or ALWAYS
Part = tuple[list[Step], int, int, int]
#: the same for one builder: a step has the values of its kind that are known there, its kind, and its operands' places as a getter
Bound = list[tuple[list[tuple[dict, Kind, Callable, "Rule | None"]], int, int, int]]


class _UnknownError(Exception):
    """The value of a constant that only stands in for others would be needed."""


class _Scratch(Builder):
    """A builder some of whose constants are stand-ins."""

    def stand_in(self, kind: Kind, place: int) -> int:
        """A value that what is written looks upon as it would upon any of this kind's signature."""
        if kind.op is not CONSTANT:
            return self.leaf(intern_kind(VARIABLE, (("name", f"place{place}"), ("uid", -9)), kind.shape, kind.dtype))
        if kind.shape == () and kind.kwargs["value"] in (0, 1, -1):
            return self.leaf(kind)  # the signature tells the value
        return self.append(Kind(CONSTANT, (("value", _UnknownError),), kind.shape, kind.dtype), ())

    def constant_of(self, i: int) -> float | None:
        value = super().constant_of(i)
        return None if value is _UnknownError else value  # type: ignore[comparison-overlap]

    def cast(self, i: int, dtype: str) -> int:
        self._known_constants((i,))
        return super().cast(i, dtype)

    def _fold(self, kind: Kind, args: tuple[int, ...]) -> int:
        self._known_constants(args)
        return super()._fold(kind, args)

    def _known_constants(self, values: Sequence[int]) -> None:
        if any(self.kinds[i].kwargs.get("value") is _UnknownError for i in values):
            raise _UnknownError


def parts_of(at: Instruction) -> list[Part] | None:
    """What the rule writes for an instruction like this one; None where that depends on more than kinds.

    Places: adjoint, condition (the value itself where it is always alive), value, operands, then one a step.
    """
    kinds = at.builder.kinds
    if any(kinds[a].op is RECIPROCAL for a in at.args):
        return None  # a division by what is inside it
    scratch = _Scratch()
    values = (at.adjoint, at.i if at.alive == ALWAYS else at.alive, at.i, *at.args)
    stand_ins = [scratch.stand_in(kinds[v], place) for place, v in enumerate(values)]
    place = {i: p for p, i in reversed(list(enumerate(stand_ins)))}
    adjoint, alive, i, *args = stand_ins
    lit = ALWAYS if at.alive == ALWAYS else alive
    twin = Instruction(scratch, at.kind, i, tuple(args), at.active, adjoint, lit, at.chosen)
    parts: list[Part] = []
    done = len(scratch.kinds)
    try:
        for j, contribution, lit in twin.contributions():
            steps: list[Step] = []
            for n in range(done, len(scratch.kinds)):
                kind, operands = scratch.kinds[n], scratch.args[n]
                rule = plan(kind.op, kind.params, [scratch.kinds[a] for a in operands]).rule if operands else None
                steps.append((kind, tuple([place[a] for a in operands]), rule))
                place[n] = len(values) + n - len(set(stand_ins))
            done = len(scratch.kinds)
            parts.append((steps, j, place[contribution], ALWAYS if lit == ALWAYS else place[lit]))
    except _UnknownError:
        return None
    return parts


def bound(parts: list[Part], builder: Builder) -> Bound:
    """Parts to be written on one builder."""
    return [
        ([(builder.known[kind], kind, _getter(places), rule) for kind, places, rule in steps], j, contribution, lit)
        for steps, j, contribution, lit in parts
    ]


def _getter(places: tuple[int, ...]) -> Callable[[list[int]], Any]:
    """(values) -> the tuple of those at these places."""
    if len(places) > 1:
        return itemgetter(*places)
    if not places:
        return lambda values: ()
    (place,) = places
    return lambda values: (values[place],)
