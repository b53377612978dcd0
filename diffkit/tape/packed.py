"""Flat vectors of pieces, as the operations of `ops/loops.py` give them: what is read of one is taken from where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from ..expr.kind import Kind, constant_value
from ..ops import CONSTANT, TABLE, Op
from ..ops.loops import pieces_of_call, pieces_of_reversal, pieces_of_scan
from .tape import Builder, Tape

_ADD, _BROADCAST, _CALL, _CONCATENATE, _GETITEM, _REVERSAL, _SCAN, _SCATTER = (
    TABLE[n] for n in ("add", "broadcast_to", "call", "concatenate", "getitem", "scan_adjoint", "scan", "scatter")
)
_PIECES: dict[Op, Callable[..., list[tuple[int, ...]]]] = {
    _SCAN: pieces_of_scan,
    _REVERSAL: pieces_of_reversal,
    _CALL: pieces_of_call,
}
LOOPS = tuple(_PIECES)
#: a piece that is zero
_ZERO = -1


def has_loops(tape: Tape) -> bool:
    return any(k.op in LOOPS for k in set(tape.kinds))


def pieces_of(kind: Kind) -> list[tuple[int, ...]]:
    """Shapes of the pieces that an operation with a body packs."""
    return _PIECES[kind.op](**kind.kwargs)


def ends_of(kind: Kind) -> list[int]:
    """Where the pieces begin and end: one number more than pieces."""
    return [0, *accumulate(int(np.prod(s)) for s in pieces_of(kind))]


def piece(kind: Kind) -> tuple[int, int] | None:
    """Start and end if an instruction reads (or, a scatter, writes) one run of a flat vector."""
    index = kind.kwargs["index"]
    if len(index) != 1 or not isinstance(index[0], tuple) or index[0][0] != "slice":
        return None
    _, start, end, step = index[0]
    return (start, end) if step is None and start is not None and end is not None and 0 <= start <= end else None


def read_through(tape: Tape) -> Tape:
    """Nothing is packed, or spread and added, only to be read again."""
    builder = Builder()
    place: list[int] = []
    for kind, args in zip(tape.kinds, tape.args, strict=True):
        if not args:
            place.append(builder.leaf(kind))
            continue
        arguments = tuple([place[a] for a in args])
        run = piece(kind) if kind.op is _GETITEM and len(builder.kinds[arguments[0]].shape) == 1 else None
        if run is None:
            place.append(builder.again(kind, arguments))
        else:
            place.append(read(builder, arguments[0], *run))
    return builder.finish([place[i] for i in tape.inputs], [place[o] for o in tape.outputs], tape.labels)


def read(builder: Builder, v: int, start: int, end: int) -> int:
    """Elements `start` to `end` − 1 of a flat vector, from where they come from."""
    found = _source(builder, v, start, end)
    if found == _ZERO:
        kind = builder.kinds[v]
        return builder.emit(_BROADCAST, (("shape", (end - start,)),), (builder.number(0.0, kind.dtype),))
    return part(builder, v, start, end) if found is None else found


def part(builder: Builder, v: int, start: int, end: int) -> int:
    if (start, end) == (0, builder.kinds[v].shape[0]):
        return v
    return builder.emit(_GETITEM, (("index", (("slice", start, end, None),)),), (v,))


def _source(builder: Builder, v: int, start: int, end: int) -> int | None:
    """The same elements elsewhere; _ZERO where they are zero; None where nothing better is known than to read them here."""
    kind, args = builder.kinds[v], builder.args[v]
    if (start, end) == (0, kind.shape[0]) and kind.op is not _SCATTER and kind.op is not _ADD:
        return v
    if kind.op is _CONCATENATE and len(kind.shape) == 1:
        return _source_of_joined(builder, args, start, end)
    if kind.op is _SCATTER and len(kind.shape) == len(builder.kinds[args[0]].shape) == 1:
        run = piece(kind)
        if run is None:
            return None
        if end <= run[0] or run[1] <= start:
            return _ZERO
        inside = run[0] <= start and end <= run[1]
        return read(builder, args[0], start - run[0], end - run[0]) if inside else None
    if kind.op is _GETITEM and len(builder.kinds[args[0]].shape) == 1:
        run = piece(kind)
        return None if run is None else read(builder, args[0], start + run[0], end + run[0])
    if kind.op is _ADD:
        return _source_of_sum(builder, args, start, end)
    if kind.op is CONSTANT:
        return part(builder, v, start, end) if constant_value(kind)[start:end].any() else _ZERO
    return _ZERO if kind.op is _BROADCAST and builder.constant_of(args[0]) == 0 else None


def _source_of_joined(builder: Builder, args: Sequence[int], start: int, end: int) -> int | None:
    ends = [0, *accumulate(builder.kinds[a].shape[0] for a in args)]
    parts = []
    for a, first, last in zip(args, ends, ends[1:], strict=False):
        low, high = max(start, first), min(end, last)
        if low < high:
            parts.append(read(builder, a, low - first, high - first))
    if not parts:
        return _ZERO
    return parts[0] if len(parts) == 1 else builder.emit(_CONCATENATE, (("axis", -1),), tuple(parts))


def _source_of_sum(builder: Builder, args: Sequence[int], start: int, end: int) -> int | None:
    shape = builder.kinds[args[0]].shape
    if len(shape) != 1 or builder.kinds[args[1]].shape != shape:
        return None
    parts = [_source(builder, a, start, end) for a in args]
    if _ZERO not in parts:
        if None in parts:
            return None
        return builder.again(_ADD, (parts[0], parts[1]))  # type: ignore[arg-type]
    other = parts[1 - parts.index(_ZERO)]
    return part(builder, args[1 - parts.index(_ZERO)], start, end) if other is None else other
