"""Elements at indices that are values, as instructions: `gather`, and its transpose `scatter_add`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .....expr.kind import Kind
from ...plan import SIZE
from ..axes import LOOP
from ..opcodes import GATHER, SCATTER_ADD
from ..program import FAULTS
from ..views import LEAST_PART, MOST_PARTS, View, collapsed, elements, rest_of

if TYPE_CHECKING:
    from .instructions import Writer

#: indices of which fewer are not worth a run
SHORT = 16


def write_lookup(w: Writer, i: int, kind: Kind, args: Sequence[int]) -> None:
    """`gather` or `scatter_add`. The *table* is what is indexed, the elements are what is read or added."""
    p = w.planner
    adds, (a, *indices), axes = kind.op.name == "scatter_add", args, w.axes_of(i)
    operand = p.tape.kinds[a].shape, w.read(a, axes[0]), _core_axis(w, a, axes[0])
    home, letter, rest = p.home(i), p.letters[i], rest_of(kind.shape, p.lane[i] if p.in_lanes else None)
    p.view[i] = sums = home
    if adds and elements(rest):
        if letter == "f":  # sums of singles are rounded once
            sums, letter = p.scratch(rest, SIZE["d"]), "d"
        w.clear(sums, rest, letter)
    result = kind.shape, sums, _core_axis(w, i, None)
    lookup = _Lookup(w, kind, p.sizes[i], *((operand, result) if adds else (result, operand)))
    lookup.write([(k, w.read(k, axis), _core_axis(w, k, axis)) for k, axis in zip(indices, axes[1:], strict=True)])
    if sums is not home:
        w.each("cast_d_f", rest, [(home, home.strides, p.sizes[i]), (sums, sums.strides, SIZE["d"])])


def _core_axis(w: Writer, a: int, axis: int | None) -> int | None:
    """Which of a value's axes runs over lanes here."""
    p = w.planner
    found = (p.lane[a] if p.lane[a] is not None else axis) if p.in_lanes else None
    return None if found == LOOP else found


def _strides(shape: Sequence[int], view: View, lane: int | None) -> list[int]:
    """One for every axis: 0 where it runs over lanes, or has one entry."""
    own = list(view.strides)
    if lane is not None:
        own.insert(lane, 0)
    return [0 if n == 1 else s for n, s in zip(shape, own, strict=True)]


#: core shape, where it is, the axis that runs over lanes
_Operand = tuple[tuple[int, ...], View, int | None]


class _Lookup:
    """One lookup: the loops over its indices, and those around them."""

    def __init__(self, w: Writer, kind: Kind, size: int, own: _Operand, table: _Operand) -> None:
        """size: bytes of an element."""
        self.w, self.kind, self.size, self.own, self.table = w, kind, size, own, table
        (shape, view, lane), (lengths, whole, lane_of_table) = own, table
        self.first = len(lengths) + kind.kwargs["axis"]
        self.rank = len(shape) - len(lengths)  # and as many as there are indices
        self.sizes = [1 if d == lane else n for d, n in enumerate(shape)]
        self.strides, self.table_strides = _strides(shape, view, lane), _strides(lengths, whole, lane_of_table)

    def write(self, indices: Sequence[tuple[int, View, int | None]]) -> None:
        w, p = self.w, self.w.planner
        first, lengths = self.first, self.table[0]
        end = first + self.rank + len(indices)
        sizes, around = self.sizes[first:end], [*self.sizes[:first], *self.sizes[end:]]
        if not elements(sizes):
            return
        # the entries of an axis that runs over lanes are where the lanes are
        used = [k for k in range(len(indices)) if first + k != self.table[2]]
        views = [indices[k][1] for k in used]
        shapes = [p.tape.kinds[indices[k][0]].shape for k in used]
        rows = [
            [0] * (len(sizes) - len(shape)) + _strides(shape, *indices[k][1:])
            for k, shape in zip(used, shapes, strict=True)
        ]
        sizes, (own, *rows) = collapsed(sizes, [self.strides[first:end], *rows])
        table = self.table_strides[:first] + self.table_strides[first + len(indices) :]
        around, (beside, table) = collapsed(around, [self.strides[:first] + self.strides[end:], table])
        checks = [self._check(first + k) for k in used]
        known = [(lengths[first + k], self.table_strides[first + k]) for k in used]

        def put(begin: int, length: int, axis: int | None) -> None:
            """So many indices along one of the loops."""
            cut = [length if d == axis else n for d, n in enumerate(sizes)]
            at = lambda view, strides: (
                view if axis is None else view._replace(offset=view.offset + begin * strides[axis])
            )
            moved = [at(v, s) for v, s in zip(views, rows, strict=True)]
            self._put(cut, own, around, beside, table, at(self.own[1], own), moved, rows, known, checks)

        longest = max(range(len(sizes)), key=lambda d: (sizes[d] >= MOST_PARTS, -d), default=None)
        pieces = min(MOST_PARTS, elements(self.own[0]) // LEAST_PART)
        if p.in_lanes or longest is None or pieces < 2 or self.kind.op.name == "scatter_add":
            put(0, 0, None)
            return
        for begin, after in w.shared(sizes[longest], pieces):
            put(begin, after - begin, longest)

    def _check(self, axis: int) -> View:
        """Where an index of this axis goes that is out of range; what the error then says."""
        checks, shape = self.w.planner.root.checks, self.table[0]
        checks.append((self.kind.op.name, axis - len(shape), shape))
        return View(FAULTS, 8 * (len(checks) - 1), ())

    def _put(
        self, sizes: Sequence[int], own: Sequence[int], around: Sequence[int], beside: Sequence[int], table: Sequence[int],
        view: View, views: Sequence[View], rows: Sequence[Sequence[int]], known: Sequence[tuple[int, int]],
        checks: Sequence[View],
    ) -> None:  # fmt: skip
        """The words of the instruction (gathering.indexed)."""
        p, whole = self.w.planner, self.table[1]
        run, piece, steps, inner = 1, 1, [0] * (2 + len(views)), [0, 0]
        if not p.in_lanes:
            if sizes and sizes[-1] < SHORT and self.kind.op.name == "gather":  # additions stay in their order
                longest = max(range(len(sizes)), key=sizes.__getitem__)
                sizes, own, *rows = ([*s[:longest], *s[longest + 1 :], s[longest]] for s in (sizes, own, *rows))
            if sizes:
                run, steps = sizes[-1], [own[-1], 0, *(r[-1] for r in rows)]
                sizes, own, rows = sizes[:-1], own[:-1], [r[:-1] for r in rows]
            if around:
                piece, inner = around[-1], [beside[-1], table[-1]]
                around, beside, table = around[:-1], beside[:-1], table[:-1]
        elif any(v.step for v in views):
            run, steps = 0, [view.step, whole.step, *(v.step for v in views)]
        else:
            piece, inner = 0, [view.step, whole.step]
        if not elements(self.own[0]):
            piece, around, beside, table = -1, [], [], []
        words = [self.size, len(views), len(sizes), run, len(around), piece, *sizes, *around]
        words += [*p.operand(view), steps[0], inner[0], *own, *beside]
        words += [*p.operand(whole), steps[1], inner[1], *table]
        for v, step, (length, stride), check, row in zip(views, steps[2:], known, checks, rows, strict=True):
            words += [*p.operand(v), step, length, stride, p.operand(check)[0], *row]
        self.w.put(SCATTER_ADD if self.kind.op.name == "scatter_add" else GATHER, *words)
