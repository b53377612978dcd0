"""Loops and calls written out: a tape without bodies, if that is short enough."""

from __future__ import annotations

from collections.abc import Sequence

from ..expr.kind import Kind
from ..expr.node import variable
from ..ops import TABLE
from ..ops.loops import in_order, stored_reversal
from .body import Body
from .packed import has_loops, piece, read
from .tape import Builder, Tape

_CALL, _CONCATENATE, _GETITEM, _RESHAPE, _REVERSAL, _SCAN = (
    TABLE[n] for n in ("call", "concatenate", "getitem", "reshape", "scan_adjoint", "scan")
)


class _TooLongError(Exception):
    """More values than allowed."""


def inlined(tape: Tape, most: int) -> Tape | None:
    """The same outputs of the same inputs, without operations that have a body; None if that takes more than `most` values."""
    if not has_loops(tape):
        return tape
    writer = _Writer(most)
    try:
        place = writer.write(tape, [writer.builder.leaf(tape.kinds[i]) for i in tape.inputs])
    except _TooLongError:
        return None
    return writer.builder.finish([place[i] for i in tape.inputs], [place[o] for o in tape.outputs], tape.labels)


class _Writer:
    def __init__(self, most: int) -> None:
        self.builder, self.most = Builder(), most

    def write(self, tape: Tape, inputs: Sequence[int]) -> list[int]:
        """All values of a tape, of these inputs."""
        builder = self.builder
        given = dict(zip(tape.inputs, inputs, strict=True))
        place: list[int] = []
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if i in given:
                place.append(given[i])
            elif not args:
                place.append(builder.leaf(kind))
            else:
                place.append(self._instruction(kind, tuple([place[a] for a in args])))
        if len(builder.kinds) > self.most:
            raise _TooLongError
        return place

    def _instruction(self, kind: Kind, args: tuple[int, ...]) -> int:
        builder = self.builder
        if kind.op is _GETITEM and len(builder.kinds[args[0]].shape) == 1 and (run := piece(kind)):
            return read(builder, args[0], *run)
        if kind.op is _SCAN:
            return self._packed(self._scan(kind, args), kind)
        if kind.op is _CALL:
            return self._packed(self._body(kind.kwargs["body"], args), kind)
        if kind.op is _REVERSAL:
            like = [variable(f"x{k}", builder.kinds[a].shape, kind.dtype) for k, a in enumerate(args)]
            return self._packed(self._body(Body.written(stored_reversal(**kind.kwargs), like), args), kind)
        return builder.again(kind, args)

    def _body(self, body: Body, args: Sequence[int]) -> list[int]:
        inputs = [self.builder.cast(a, dtype) for a, (_, dtype) in zip(args, body.inputs, strict=True)]
        place = self.write(body.tape, inputs)
        return [place[o] for o in body.tape.outputs]

    def _scan(self, kind: Kind, args: Sequence[int]) -> list[int]:
        builder, how = self.builder, kind.kwargs
        body, carries, xs, length = (how[n] for n in ("body", "carries", "xs", "length"))
        if length * max(1, len(body.tape)) > self.most:
            raise _TooLongError
        carry, rows, constants = list(args[:carries]), args[carries : carries + xs], args[carries + xs :]
        slices: list[list[int]] = [[] for _ in body.outputs[carries:]]
        for n in in_order(length, how["reverse"]):
            at = [builder.emit(_GETITEM, (("index", (n,)),), (x,)) for x in rows]
            made = self._body(body, [*carry, *at, *constants])
            carry = made[:carries]
            for y, value in zip(slices, made[carries:], strict=True):
                y.append(value)
        if how["reverse"]:
            slices = [y[::-1] for y in slices]
        return [*carry, *(self._flat(v) for y in slices for v in y)]

    def _flat(self, i: int) -> int:
        kind = self.builder.kinds[i]
        size = 1
        for n in kind.shape:
            size *= n
        return i if kind.shape == (size,) else self.builder.emit(_RESHAPE, (("shape", (size,)),), (i,))

    def _packed(self, pieces: Sequence[int], kind: Kind) -> int:
        builder = self.builder
        rows = tuple([builder.cast(self._flat(p), kind.dtype) for p in pieces])
        if not rows:
            return builder.emit(TABLE["broadcast_to"], (("shape", (0,)),), (builder.number(0.0, kind.dtype),))
        return rows[0] if len(rows) == 1 else builder.emit(_CONCATENATE, (("axis", -1),), rows)
