"""Loops with a body, as one instruction that holds the body's code: `scan`, its checkpointed reversal, and `call`.

A body is planned like any program on whole arrays, in memory that the instruction lends it. What it reads and writes is
handed to it anew for every step: a slice of every x and y, and the carry, of which there are two copies, read and written in
turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .....expr.collector import paused
from .....expr.kind import Kind, intern_kind
from .....ops.loops import pieces_of_call, pieces_of_reversal, pieces_of_scan, repeated
from .....tape import Builder, Tape
from .....tape.lower import lower
from ...plan import LETTER
from ..axes import LOOPS, is_native
from ..opcodes import DEEPEST, LOOP, MOST_SLOTS, REVERSAL
from ..program import CONSTANTS, FAULTS, FIRST_INPUT
from ..views import ALIGNMENT, View, elements, row_major

if TYPE_CHECKING:
    from .instructions import Writer
    from .planner import BodyPlanner

#: what a body reads or writes: where at even turns, where at odd turns, bytes from step to step, whose turns (0 the carry's, 1 the
#: adjoint's, in a reversal)
Source = tuple[View, View, int, int]


@lru_cache(maxsize=128)
def lowered(body: Any, dtype: str) -> Tape:
    """The body's tape in what the interpreter has instructions for (or not: then it is run by its NumPy function).

    It takes and gives values of the loop's own dtype, in which all of them lie side by side.
    """
    tape, letter = lower(body.tape, lambda kind: not is_native(kind)), LETTER[dtype]
    if all(LETTER[d] == letter for _, d in (*body.inputs, *body.outputs)):
        return tape
    builder, place, given = Builder(), [], {}
    with paused():
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if i in tape.inputs and LETTER[kind.dtype] != letter:
                given[i] = builder.leaf(intern_kind(kind.op, kind.params, kind.shape, dtype))
                place.append(builder.cast(given[i], kind.dtype))
            else:
                place.append(builder.again(kind, tuple(place[a] for a in args)) if args else builder.leaf(kind))
        made = [
            place[o] if LETTER[d] == letter else builder.cast(place[o], dtype)
            for o, (_, d) in zip(tape.outputs, body.outputs, strict=True)
        ]
        return builder.finish([given.get(i, place[i]) for i in tape.inputs], made, tape.labels)


def bodies_of(kind: Kind) -> list[Any]:
    """The bodies that an operation runs."""
    params = kind.kwargs
    if kind.op.name == "scan_adjoint":
        return [params["body"].advancing(params["carries"]), params["backward"]]
    return [params["body"]]


def is_native_loop(kind: Kind) -> bool:
    """Whether all that its bodies do has instructions."""
    for body in bodies_of(kind):
        if not all(is_native(k) for k in set(lowered(body, kind.dtype).kinds)):
            return False
    return depth(kind) <= DEEPEST and most_slots(kind) <= MOST_SLOTS


def depth(kind: Kind) -> int:
    """Loops within each other."""
    return 1 + max(
        (depth(k) for b in bodies_of(kind) for k in set(lowered(b, kind.dtype).kinds) if k.op.name in LOOPS), default=0
    )


def most_slots(kind: Kind) -> int:
    """At most so many addresses are needed at once by loops within each other: a value may need several, at different offsets."""
    return max(
        4 * len(tape.kinds) + max((most_slots(k) for k in set(tape.kinds) if k.op.name in LOOPS), default=0)
        for tape in (lowered(body, kind.dtype) for body in bodies_of(kind))
    )


def instructions(kind: Kind) -> int:
    """About how many instructions are run for it, all steps and bodies counted."""
    return 1 + sum(n * sum(map(instructions, lowered(body, kind.dtype).kinds)) for body, n in repeated(kind.kwargs))


def has_loops(tape: Tape) -> bool:
    return any(kind.op.name in LOOPS for kind in set(tape.kinds))


def write_loop(w: Writer, i: int, kind: Kind, args: Sequence[int]) -> None:
    """`scan`, `scan_adjoint` or `call`."""
    if kind.op.name == "scan_adjoint":
        _write_reversal(w, i, kind, args)
        return
    params, p = kind.kwargs, w.planner
    size = p.sizes[i]
    carries, xs, length = params.get("carries", 0), params.get("xs", 0), params.get("length", 1)
    pieces = pieces_of_call(params["body"]) if kind.op.name == "call" else pieces_of_scan(**params)
    home = p.home(i)
    p.view[i] = home
    ends = _segments(home, pieces, size)
    views = [p.full(a) for a in args]
    carry = _Pair(w, [shape for shape, _ in params["body"].inputs[:carries]], size)
    for view, target, shape in zip(views[:carries], carry.even, pieces, strict=False):
        w.move_strided(view, view.strides, target, target.strides, shape, size)
    if length:
        sliced, constants = views[carries : carries + xs], views[carries + xs :]
        given = [*_swapped(carry), *map(_stepped, sliced), *map(_fixed, constants)]
        ys = [_step_of(e, s, size) for e, s in zip(ends[carries:], pieces[carries:], strict=True)]
        made = [*_swapped(carry, after=True), *ys]
        if kind.op.name == "call":
            made = [_fixed(e._replace(strides=row_major(s, size))) for e, s in zip(ends, pieces, strict=True)]
        words, memory = _body(w, params["body"], kind.dtype, given, made)
        header = 10 + len(words[0]) * 4
        rows, number, code = words
        w.put(
            LOOP, header, length, int(params.get("reverse", False)), len(rows), memory.offset, *_flat(rows),
            *carry.places, *number, *code,
        )  # fmt: skip
        memory.arena.give_back(memory.offset, memory.length)
    last = carry.even if length % 2 == 0 else carry.odd
    for source, target, shape in zip(last, ends, pieces, strict=False):
        w.move_strided(source, source.strides, target, row_major(shape, size), shape, size)
    carry.give_back()


def _flat(rows: Sequence[Sequence[int]]) -> list[int]:
    return [v for row in rows for v in row]


def _segments(home: View, pieces: Sequence[tuple[int, ...]], size: int) -> list[View]:
    """Where the pieces of a flat vector begin."""
    found, at = [], 0
    for shape in pieces:
        found.append(View(home.buffer, home.offset + at, ()))
        at += elements(shape) * size
    return found


class _Pair:
    """Two copies of a carry, each in one run of memory."""

    def __init__(self, w: Writer, shapes: Sequence[tuple[int, ...]], size: int) -> None:
        from .planner import Storage

        offsets, at = [], 0
        for shape in shapes:
            offsets.append(at)
            at += -(-elements(shape) * size // ALIGNMENT) * ALIGNMENT
        self.bytes = at
        self.storage = [Storage(w.planner.work, at) for _ in range(2)]
        self.places = [s.offset for s in self.storage]
        self.even, self.odd = (
            [View(0, s.offset + o, row_major(shape, size)) for o, shape in zip(offsets, shapes, strict=True)]
            for s in self.storage
        )

    def give_back(self) -> None:
        for s in self.storage:
            s.arena.give_back(s.offset, s.length)


def _swapped(pair: _Pair, after: bool = False, turn: int = 0) -> list[Source]:
    even, odd = (pair.odd, pair.even) if after else (pair.even, pair.odd)
    return [(e, o, 0, turn) for e, o in zip(even, odd, strict=True)]


def _stepped(view: View) -> Source:
    """Slices of a whole array along its first axis."""
    slice_ = view._replace(strides=view.strides[1:])
    return slice_, slice_, view.strides[0], 0


def _fixed(view: View) -> Source:
    return view, view, 0, 0


def _step_of(segment: View, shape: Sequence[int], size: int) -> Source:
    """Slices that are written one behind the other; shape: of all of them."""
    slice_ = segment._replace(strides=row_major(shape[1:], size))
    return slice_, slice_, elements(shape[1:]) * size, 0


def _body(
    w: Writer, body: Any, dtype: str, given: Sequence[Source], made: Sequence[Source]
) -> tuple[tuple[list[list[int]], list[int], list[int]], Any]:
    """How the body's slots are filled, its number (Program.inner), its code, and the memory it works in."""
    from .planner import BodyPlanner, Storage

    planner = BodyPlanner(lowered(body, dtype), w.planner, [v.strides for v, *_ in given])
    code = planner.code_of()
    memory = Storage(w.planner.work, planner.work.size)
    inner = w.planner.root.inner
    inner.append((planner.slots.tabulated(), np.array(planner.freed, np.int64).reshape(-1, 4)))
    return (_filled(w, planner, given, made), [len(inner) - 1], code), memory


def _filled(w: Writer, planner: BodyPlanner, given: Sequence[Source], made: Sequence[Source]) -> list[list[int]]:
    p, rows = w.planner, []
    for buffer, offset, _, _ in planner.slots.rows:
        if buffer in (CONSTANTS, FAULTS):
            even, odd, step, turn = _fixed(View(buffer, 0, ()))
        else:
            even, odd, step, turn = (*given, *made)[buffer - FIRST_INPUT]
        rows.append([*(p.operand(v._replace(offset=v.offset + offset))[0] for v in (even, odd)), step, turn])
    return rows


def _write_reversal(w: Writer, i: int, kind: Kind, args: Sequence[int]) -> None:
    params, p = kind.kwargs, w.planner
    body, back = bodies_of(kind)
    size, carries, xs, sums, length = p.sizes[i], params["carries"], params["xs"], params["sums"], params["length"]
    count = len(params["body"].inputs)
    views = [p.full(a) for a in args]
    carry_views, x_views, constants = views[:carries], views[carries : carries + xs], views[carries + xs : count]
    moving = [k for k, (_, dtype) in enumerate(params["body"].outputs) if dtype not in ("bool", "int64")]
    last = sum(1 for k in moving if k < carries)
    moved_views, seeds = views[count : count + last], views[count + last :]
    pieces = pieces_of_reversal(**params)
    home = p.home(i)
    p.view[i] = home
    ends = _segments(home, pieces, size)
    hand = _Pair(w, [s for s, _ in params["body"].inputs[:carries]], size)
    moved = _Pair(w, list(pieces[: last + sums]), size)
    for view, target, (shape, _) in zip(carry_views, hand.even, params["body"].inputs, strict=False):
        w.move_strided(view, view.strides, target, target.strides, shape, size)
    for k, target in enumerate(moved.even):
        if k < last:
            w.move_strided(moved_views[k], moved_views[k].strides, target, target.strides, pieces[k], size)
        elif elements(pieces[k]):
            w.fill(target, elements(pieces[k]), 0.0, p.letters[i])
    if length:
        from .planner import Storage

        kept, at = (Storage(p.work, params["checkpoints"] * size_) for size_ in (hand.bytes, 8))
        steps, fixed = [_stepped(v) for v in x_views], [_fixed(v) for v in constants]
        advance = _body(w, body, kind.dtype, [*_swapped(hand), *steps, *fixed], _swapped(hand, after=True))
        found = [_step_of(e, s, size) for e, s in zip(ends[last + sums :], pieces[last + sums :], strict=True)]
        reverse = _body(
            w, back, kind.dtype, [*_swapped(moved, turn=1), *_swapped(hand), *steps, *map(_stepped, seeds), *fixed],
            [*_swapped(moved, after=True, turn=1), *found],
        )  # fmt: skip
        (a_rows, a_number, a_code), a_memory = advance
        (b_rows, b_number, b_code), b_memory = reverse
        w.put(
            REVERSAL, 20 + 4 * len(a_rows) + 4 * len(b_rows), len(a_code), length, int(params["reverse"]), params["checkpoints"],
            len(a_rows), len(b_rows), a_memory.offset, b_memory.offset, hand.bytes, *hand.places,
            kept.offset, at.offset, *_flat(a_rows), *_flat(b_rows), *moved.places, *a_number, *b_number, *a_code, *b_code,
        )  # fmt: skip
        for s in (kept, at, a_memory, b_memory):
            s.arena.give_back(s.offset, s.length)
    final = moved.even if length % 2 == 0 else moved.odd
    for source, target, shape in zip(final, ends, pieces, strict=False):
        w.move_strided(source, source.strides, target, row_major(shape, size), shape, size)
    hand.give_back()
    moved.give_back()
