"""The instructions that an operation on arrays comes to."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .....errors import UnsupportedError
from .....expr.kind import Kind
from .....ops import CAST
from ...emit import symbol_of
from ...plan import cast_symbol
from ..axes import FOLDS, LOOKUPS, LOOP, LOOPS, follow
from ..opcodes import CALL, EACH, FILL, MOVE
from ..views import (
    LEAST_PART,
    LOCAL,
    MOST_PARTS,
    View,
    along,
    collapsed,
    elements,
    pieces_of,
    rest_of,
)
from .lookups import write_lookup
from .loops import write_loop
from .movements import write_joined, write_movement, write_overlap_add, write_scatter
from .products import can_be_added_up, write_product, write_sum_of_products
from .reductions import can_be_contracted, write_contraction, write_reduction

if TYPE_CHECKING:
    from .planner import Planner

#: loops that an instruction may have
MOST_LOOPS = 8


class Writer:
    """Writes the instructions of a planner's values."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.code: list[int] = []
        self.table: list[int] = []
        self.symbols: dict[str, int] = {}
        self._parts: list[tuple[int, int]] = []
        #: multiplications of the largest product of matrices (at most: where lanes are its rows, of the largest block)
        self.largest_product = 0
        #: products that are computed where they are added up
        self.deferred: set[int] = set()

    def symbol(self, name: str) -> int:
        return self.symbols.setdefault(name, len(self.symbols))

    def put(self, opcode: int, *words: int) -> None:
        self.code += [opcode, len(words) + 2, *words]

    def shared(self, n: int, count: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """n things in `count` pieces (views.pieces_of): what is written for each is a part, and threads may share the parts."""
        if count < 2:
            yield 0, n
            return
        self._parts = []
        for first, last in pieces_of(n, count, multiple):
            begin = len(self.code)
            yield first, last
            self._parts.append((begin, len(self.code)))

    def parts_since(self, begin: int) -> list[tuple[int, int]]:
        """The parts, (begin, end), that the code written since then ends in; none if it ends in something else."""
        found = self._parts
        return found if found and found[0][0] >= begin and found[-1][1] == len(self.code) else []

    def write(self, i: int) -> None:
        p = self.planner
        kind, args = p.tape.kinds[i], p.tape.args[i]
        op = kind.op
        if op.name in LOOKUPS:
            write_lookup(self, i, kind, args)
        elif elements(kind.shape) == 0:
            p.view[i] = p.home(i)
        elif op is CAST and cast_symbol(p.tape.kinds[args[0]], kind) is None:
            p.shared(i, args[0], self.read(args[0]))
        elif i in p.masked:
            view = p.view[args[1]]
            p.shared(i, args[1], view)
            self.fill(view, elements(kind.shape), math.nan, p.letters[i], unless=args[0])
        elif i in p.contracted and can_be_contracted(self, i):
            self.deferred.add(i)
        elif op.family == "elementwise":
            self._elementwise(i, kind, args)
        elif op.name in FOLDS and args[0] in self.deferred:
            (write_contraction if args[0] in p.contracted else write_sum_of_products)(self, i, args[0])
        elif op.name in FOLDS:
            write_reduction(self, i, kind, args[0])
        elif op.name == "matmul" and i in p.added_up and can_be_added_up(self, i):
            self.deferred.add(i)
        elif op.name == "matmul":
            write_product(self, i, kind, args)
        elif op.name == "scatter":
            write_scatter(self, i, kind, args[0])
        elif op.name == "overlap_add":
            write_overlap_add(self, i, kind, args[0])
        elif op.name in ("concatenate", "stack"):
            write_joined(self, i, kind, args)
        elif op.name in LOOPS:
            write_loop(self, i, kind, args)
        else:
            write_movement(self, i, kind, args[0])

    # ---- operands ----
    def read(self, a: int, axis: int | None = None) -> View:
        """A value as this phase reads it: along `axis` if it is uniform and the others are laned."""
        p = self.planner
        if not p.in_lanes:
            return p.full(a)
        return p.view[a] if p.lane[a] is not None else along(p.view[a], axis)

    def axes_of(self, i: int) -> list[int | None]:
        """For every operand the axis that it is read along."""
        p = self.planner
        kinds, args = p.tape.kinds, p.tape.args[i]
        if not p.in_lanes:
            return [None] * len(args)
        step = follow(kinds[i], [kinds[a] for a in args], [p.lane[a] for a in args], p.axes.lanes)
        assert step is not None
        return step[2]

    def rows_of_lanes(self, a: int, axis: int | None) -> View:
        """An operand whose lanes lie one behind the other (or that is the same for all): turned round once a phase if need be."""
        p = self.planner
        view = self.read(a, axis)
        size = p.sizes[a]
        if not p.in_lanes or view.step in (0, size):
            return view
        return self.registers_of(a, axis, view)

    def registers_of(self, a: int, axis: int | None, view: View) -> View:
        """A copy in registers, rows of lanes without gaps; made once a phase."""
        p = self.planner
        known = p.turned.get((a, axis))
        if known is None:
            rest = rest_of(p.tape.kinds[a].shape, p.lane[a] if p.lane[a] is not None else axis)
            known = p.registers(rest, p.sizes[a])
            self.move(view, known, rest, p.sizes[a])
            p.turned[a, axis] = known
        return known

    # ---- elementwise ----
    def _elementwise(self, i: int, kind: Kind, args: Sequence[int]) -> None:
        p = self.planner
        if kind.op is CAST:
            symbol = str(cast_symbol(p.tape.kinds[args[0]], kind))
        else:
            symbol = symbol_of(kind.op, p.letters[args[-1]])
        operands = self.operands_of(i)
        home = p.home(i)
        p.view[i] = home
        rest = rest_of(kind.shape, p.lane[i] if p.in_lanes else None)
        if symbol == "cast_f_d" and kind.dtype == "int64":  # integers are doubles without a fraction
            wide = p.scratch(rest, p.sizes[i])
            self.each(symbol, rest, [(wide, wide.strides, p.sizes[i]), *operands], cut=False)
            symbol, operands = "trunc_d", [(wide, wide.strides, p.sizes[i])]
        self.each(symbol, rest, [(home, home.strides, p.sizes[i]), *operands])

    def operands_of(self, i: int) -> list[tuple[View, tuple[int, ...], int]]:
        """Of an elementwise operation: view, a stride for each axis of the result but the one over lanes, bytes an element."""
        p = self.planner
        kind, operands = p.tape.kinds[i], []
        for a, axis in zip(p.tape.args[i], self.axes_of(i), strict=True):
            view = self.rows_of_lanes(a, axis)
            shape = p.tape.kinds[a].shape
            lane = (p.lane[a] if p.lane[a] is not None else axis) if p.in_lanes else None
            strides = self._stretched(view, shape, lane, kind.shape, p.lane[i] if p.in_lanes else None)
            operands.append((view, strides, p.sizes[a]))
        return operands

    @staticmethod
    def _stretched(
        view: View, shape: tuple[int, ...], lane: int | None, result: tuple[int, ...], result_lane: int | None
    ) -> tuple[int, ...]:
        """Strides of an operand for every axis of the result that does not run over lanes."""
        own = list(view.strides)
        if lane is not None and lane != LOOP:
            own.insert(lane, 0)
        strides = [0] * (len(result) - len(shape)) + [0 if n == 1 else s for n, s in zip(shape, own, strict=True)]
        if result_lane is not None and result_lane != LOOP:
            del strides[result_lane]
        return tuple(strides)

    def each(
        self,
        symbol: str,
        shape: Sequence[int],
        operands: Sequence[tuple[View, Sequence[int], int]],
        *,
        fold: bool = False,
        cut: bool = True,
    ) -> None:
        """A kernel on every element. operands: view, strides, bytes an element; the destination first (fold: read too).

        cut: into parts, where they are large enough.
        """
        p = self.planner
        if 0 in shape:
            return
        sizes, steps = collapsed(shape, [s for _, s, _ in operands])
        views, widths = [v for v, _, _ in operands], [w for _, _, w in operands]
        kernel = self.symbol(symbol)
        if p.in_lanes:
            rows, inner = 1, [v.step for v in views]
            local = all(v.buffer == LOCAL for v in views)
            if sizes and local and all(s[-1] == w for s, w in zip(steps, widths, strict=True)):
                rows = sizes.pop()
                steps = [s[:-1] for s in steps]
            self._each(kernel, rows, sizes, views, widths, inner, steps, fold)
            return
        count = elements(sizes)
        # the longest loop is cut, which need not be the outermost
        longest = max(range(len(sizes)), key=lambda d: (sizes[d] >= MOST_PARTS, -d), default=None)
        pieces = min(MOST_PARTS, count // LEAST_PART)
        if not cut or longest is None or pieces < 2 or sizes[longest] < 2:
            self._each_whole(kernel, sizes, views, widths, steps, fold)
            return
        for first, last in self.shared(sizes[longest], pieces):
            part = [v._replace(offset=v.offset + first * s[longest]) for v, s in zip(views, steps, strict=True)]
            self._each_whole(kernel, [*sizes[:longest], last - first, *sizes[longest + 1 :]], part, widths, steps, fold)

    def _each_whole(
        self, kernel: int, sizes: list[int], views: list[View], widths: list[int], steps: list[list[int]], fold: bool
    ) -> None:
        rows, inner = 1, list(widths)
        if sizes:
            rows, inner = sizes[-1], [s[-1] for s in steps]
            sizes, steps = sizes[:-1], [s[:-1] for s in steps]
        self._each(kernel, rows, sizes, views, widths, inner, steps, fold)

    def _each(
        self, kernel: int, rows: int, sizes: Sequence[int], views: Sequence[View], widths: Sequence[int],
        inner: Sequence[int], steps: Sequence[Sequence[int]], fold: bool,
    ) -> None:  # fmt: skip
        p = self.planner
        places = [p.operand(v) for v in views]
        if not sizes and list(inner) == list(widths):
            self.put(CALL, kernel, rows, *([at for at, _ in places] + [0, 0, 0])[:4])
            return
        if len(sizes) > MOST_LOOPS:
            raise UnsupportedError(
                f"an operation on arrays with {len(sizes)} axes that cannot be joined; machine='numpy' has it"
            )
        words = [kernel, len(views) + 16 * fold, rows, len(sizes), *sizes]
        for (at, scaled), width, step, strides in zip(places, widths, inner, steps, strict=True):
            words += [at, scaled, width, step, *strides]
        self.put(EACH, *words)

    # ---- copies ----
    def move(self, source: View, target: View, shape: Sequence[int], size: int) -> None:
        """The elements of one view to another of the same shape."""
        self.move_strided(source, source.strides, target, target.strides, shape, size)

    def move_strided(
        self, source: View, source_strides: Sequence[int], target: View, target_strides: Sequence[int], shape: Sequence[int],
        size: int,
    ) -> None:  # fmt: skip
        p = self.planner
        if 0 in shape:
            return
        sizes, (s, t) = collapsed(shape, [source_strides, target_strides])
        if p.in_lanes:
            length, ends = 0, (source.step, target.step)
            if sizes and source.buffer == target.buffer == LOCAL and s[-1] == t[-1] == size:
                length, s, t = -sizes.pop(), s[:-1], t[:-1]
        elif sizes:
            length, ends = sizes.pop(), (s[-1], t[-1])
            s, t = s[:-1], t[:-1]
        else:
            length, ends = 1, (size, size)
        (from_, from_scaled), (to, to_scaled) = p.operand(source), p.operand(target)
        self.put(
            MOVE, size, length, len(sizes), *sizes, from_, from_scaled, ends[0], *s, to, to_scaled, ends[1], *t,
        )  # fmt: skip

    def fill(self, view: View, count: int, value: float, letter: str, unless: int | None = None) -> None:
        """Every element of a plain view; unless: a condition that forbids it."""
        p = self.planner
        if view.buffer != LOCAL and p.in_lanes and count > 1:
            raise AssertionError("rows of lanes are filled in registers")
        kind = {"d": ("<d", "<q", 8), "f": ("<f", "<i", 4), "b": ("<?", "<b", 1)}[letter]
        (bits,) = struct.unpack(kind[1], struct.pack(kind[0], value))
        condition = (0, 0) if unless is None else (1, p.operand(p.full(unless))[0])
        self.put(FILL, kind[2], count, p.operand(view)[0], bits, *condition)

    def clear(self, home: View, shape: tuple[int, ...], letter: str) -> None:
        """Zero in every element of a value's own memory."""
        p = self.planner
        if p.in_lanes and home.buffer != LOCAL:
            zero = p.registers((), {"d": 8, "f": 4, "b": 1}[letter])
            self.fill(zero, 1, 0.0, letter)
            self.move_strided(zero, (0,) * len(shape), home, home.strides, shape, zero.step)
        else:
            self.fill(home, elements(shape), 0.0, letter)
