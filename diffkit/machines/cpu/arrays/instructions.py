"""The instructions that an operation on arrays comes to."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from ....errors import UnsupportedError
from ....expr.kind import Kind, infer
from ....ops import CAST, TABLE
from ..emit import symbol_of
from ..plan import cast_symbol
from .axes import FOLDS, LOOP, LOOPS, follow
from .loops import write_loop
from .opcodes import ADD_AT, CALL, EACH, FILL, FOLD, MOVE, REDUCE, TAKE, TOTAL
from .products import can_be_added_up, write_product, write_sum_of_products
from .views import LOCAL, View, along, collapsed, elements, is_plain, moved, offsets_of, pieces_of, rest_of, row_major

if TYPE_CHECKING:
    from .planner import Planner

#: work on whole arrays is cut into parts of at least so many elements
LEAST_PART = 32_768
#: at most so many parts
MOST_PARTS = 16
#: loops that an instruction may have
MOST_LOOPS = 8

_GETITEM = TABLE["getitem"]


class Writer:
    """Writes the instructions of a planner's values."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.code: list[int] = []
        self.table: list[int] = []
        self.symbols: dict[str, int] = {}
        #: the instructions just written, as parts that threads may share: (begin, end)
        self.parts: list[tuple[int, int]] = []
        self.uses_products = False
        #: products that are computed where they are added up
        self.deferred: set[int] = set()

    def symbol(self, name: str) -> int:
        return self.symbols.setdefault(name, len(self.symbols))

    def put(self, opcode: int, *words: int) -> None:
        self.code += [opcode, len(words) + 2, *words]

    def write(self, i: int) -> None:
        p = self.planner
        kind, args = p.tape.kinds[i], p.tape.args[i]
        op = kind.op
        if elements(kind.shape) == 0:
            p.view[i] = p.home(i)
        elif op is CAST and cast_symbol(p.tape.kinds[args[0]], kind) is None:
            p.shared(i, args[0], self.read(args[0]))
        elif i in p.masked:
            view = p.view[args[1]]
            p.shared(i, args[1], view)
            self.fill(view, elements(kind.shape), math.nan, p.letters[i], unless=args[0])
        elif op.family == "elementwise":
            self._elementwise(i, kind, args)
        elif op.name in FOLDS and args[0] in self.deferred:
            write_sum_of_products(self, i, args[0])
        elif op.name in FOLDS:
            self._reduction(i, kind, args[0])
        elif op.name == "matmul" and i in p.added_up and can_be_added_up(self, i):
            self.deferred.add(i)
        elif op.name == "matmul":
            write_product(self, i, kind, args)
        elif op.name == "scatter":
            self._scatter(i, kind, args[0])
        elif op.name == "overlap_add":
            self._overlap_add(i, kind, args[0])
        elif op.name in ("concatenate", "stack"):
            self._joined(i, kind, args)
        elif op.name in LOOPS:
            write_loop(self, i, kind, args)
        else:
            self._movement(i, kind, args[0])

    # ---- operands ----
    def read(self, a: int, axis: int | None = None) -> View:
        """A value as this phase reads it: along `axis` if it is uniform and the others are laned."""
        p = self.planner
        if not p.in_lanes:
            return p.full(a)
        return p.view[a] if p.lane[a] is not None else along(p.view[a], axis)

    def _axes(self, i: int) -> list[int | None]:
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
        return self._registers_of(a, axis, view)

    def _registers_of(self, a: int, axis: int | None, view: View) -> View:
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
        operands = []
        for a, axis in zip(args, self._axes(i), strict=True):
            view = self.rows_of_lanes(a, axis)
            shape = p.tape.kinds[a].shape
            lane = (p.lane[a] if p.lane[a] is not None else axis) if p.in_lanes else None
            operands.append(
                (view, self._stretched(view, shape, lane, kind.shape, p.lane[i] if p.in_lanes else None), p.sizes[a])
            )
        home = p.home(i)
        p.view[i] = home
        rest = rest_of(kind.shape, p.lane[i] if p.in_lanes else None)
        if symbol == "cast_f_d" and kind.dtype == "int64":  # integers are doubles without a fraction
            wide = p.scratch(rest, p.sizes[i])
            self.each(symbol, rest, [(wide, wide.strides, p.sizes[i]), *operands])
            self.parts = []
            symbol, operands = "trunc_d", [(wide, wide.strides, p.sizes[i])]
        self.each(symbol, rest, [(home, home.strides, p.sizes[i]), *operands])

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
    ) -> None:
        """A kernel on every element. operands: view, strides, bytes an element; the destination first (fold: read too)."""
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
        cut = max(range(len(sizes)), key=lambda d: (sizes[d] >= MOST_PARTS, -d), default=None)
        pieces = min(MOST_PARTS, count // LEAST_PART)
        if cut is None or pieces < 2 or sizes[cut] < 2 or len(self.parts):
            self._each_whole(kernel, sizes, views, widths, steps, fold)
            return
        for first, last in pieces_of(sizes[cut], pieces):
            start = len(self.code)
            part = [v._replace(offset=v.offset + first * s[cut]) for v, s in zip(views, steps, strict=True)]
            self._each_whole(kernel, [*sizes[:cut], last - first, *sizes[cut + 1 :]], part, widths, steps, fold)
            self.parts.append((start, len(self.code)))

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

    # ---- movements ----
    def _movement(self, i: int, kind: Kind, a: int) -> None:
        p = self.planner
        operand = p.tape.kinds[a]
        lane, out_lane = (p.lane[a], p.lane[i]) if p.in_lanes else (None, None)
        view = self.read(a)
        found = moved(kind, operand, view, lane, out_lane)
        if found is not None:
            p.shared(i, a, found)
            return
        if kind.op.name == "reshape":  # a copy without gaps takes any shape
            copied = moved(kind, operand, self._compact(a, view), lane, out_lane)
            assert copied is not None
            p.view[i] = copied
            return
        if p.in_lanes and (view.step != p.sizes[a]):
            view = self._registers_of(a, None, view)
        self._gather(i, kind, operand, view, lane, out_lane)

    def _compact(self, a: int, view: View) -> View:
        """A copy without gaps."""
        p = self.planner
        rest = rest_of(p.tape.kinds[a].shape, p.lane[a] if p.in_lanes else None)
        copy = p.scratch(rest, p.sizes[a])
        self.move(view, copy, rest, p.sizes[a])
        return copy

    def _gather(self, i: int, kind: Kind, operand: Kind, view: View, lane: int | None, out_lane: int | None) -> None:
        p = self.planner
        places = self._moved_places(kind, operand, view, lane, out_lane)
        home = p.home(i)
        p.view[i] = home
        run = self._run_length(places, p.sizes[i]) if not p.in_lanes or view.buffer == LOCAL else 1
        if p.in_lanes and home.buffer != LOCAL:
            run = 1
        source, scaled = p.operand(view._replace(offset=0))
        target, out_scaled = p.operand(home)
        begin = len(self.table)
        self.table += places[::run].tolist()
        self.put(TAKE, 0, p.sizes[i], len(places) // run, run, begin, source, scaled, target, out_scaled)

    def _moved_places(
        self, kind: Kind, operand: Kind, view: View, lane: int | None, out_lane: int | None
    ) -> np.ndarray:
        """Where every element of the result is, without lanes."""
        shape = rest_of(operand.shape, lane)
        offsets = offsets_of(view, shape)
        params = dict(kind.kwargs)
        if lane is not None and lane != LOOP:
            assert out_lane is not None
            offsets = np.expand_dims(offsets, lane)
            if "index" in params:  # which may name every lane
                wide = np.broadcast_to(offsets, operand.shape)
                return kind.op.numpy(wide[None], **params)[0].take(0, out_lane).ravel()
            if "shape" in params:
                params["shape"] = (*kind.shape[:out_lane], 1, *kind.shape[out_lane + 1 :])
        return np.ascontiguousarray(kind.op.numpy(offsets[None], **params)[0]).ravel()

    @staticmethod
    def _run_length(places: np.ndarray, size: int) -> int:
        """The longest run of neighbours that all places are made of."""
        if not len(places):
            return 1
        breaks = np.flatnonzero(np.diff(places) != size) + 1
        run = len(places)
        for b in np.unique(breaks).tolist() if len(breaks) < 4096 else [1]:
            run = gcd(run, b)
            if run == 1:
                break
        return run

    def _joined(self, i: int, kind: Kind, args: Sequence[int]) -> None:
        p = self.planner
        home = p.home(i)
        p.view[i] = home
        lane = p.lane[i] if p.in_lanes else None
        strides = list(home.strides)
        if lane is not None and lane != LOOP:
            strides.insert(lane, 0)
        axis = kind.kwargs["axis"] % len(kind.shape)
        start = 0
        for a, read in zip(args, self._axes(i), strict=True):
            shape = p.tape.kinds[a].shape
            into = [*strides]
            offset = home.offset + start * into[axis]
            if kind.op.name == "stack":
                del into[axis]
                start += 1
            else:
                start += shape[axis]
            own = (p.lane[a] if p.lane[a] is not None else read) if p.in_lanes else None
            if own is not None and own != LOOP:
                del into[own]
            self.move_strided(
                self.read(a, read),
                self.read(a, read).strides,
                home._replace(offset=offset),
                into,
                rest_of(shape, own),
                p.sizes[i],
            )

    def _scatter(self, i: int, kind: Kind, a: int) -> None:
        p = self.planner
        home = p.home(i)
        p.view[i] = home
        lane, out_lane = (p.lane[a], p.lane[i]) if p.in_lanes else (None, None)
        shape, operand, size = rest_of(kind.shape, out_lane), p.tape.kinds[a], p.sizes[i]
        self._zeroed(home, shape, p.letters[i])
        back = infer(_GETITEM, (("index", kind.kwargs["index"]),), (kind,))
        view = self.rows_of_lanes(a, None)
        into = moved(back, kind, home, out_lane, lane)
        if into is not None:
            self.move_strided(view, view.strides, into, into.strides, rest_of(operand.shape, lane), size)
            return
        rest = rest_of(operand.shape, lane)
        if not is_plain(view, rest, size) or (p.in_lanes and view.buffer != LOCAL):
            view = self._compact(a, view)
        places = self._moved_places(back, kind, home, out_lane, lane)
        run = self._run_length(places, size) if not p.in_lanes or home.buffer == LOCAL else 1
        (source, scaled), (target, out_scaled) = p.operand(view), p.operand(home._replace(offset=0))
        begin = len(self.table)
        self.table += places[::run].tolist()
        kernel = self.symbol(f"fold_add_{p.letters[i]}")
        self.put(ADD_AT, kernel, size, len(places) // run, run, begin, source, scaled, target, out_scaled)

    def _zeroed(self, home: View, shape: tuple[int, ...], letter: str) -> None:
        p = self.planner
        if p.in_lanes and home.buffer != LOCAL:
            zero = p.registers((), {"d": 8, "f": 4, "b": 1}[letter])
            self.fill(zero, 1, 0.0, letter)
            self.move_strided(zero, (0,) * len(shape), home, home.strides, shape, zero.step)
        else:
            self.fill(home, elements(shape), 0.0, letter)

    def _overlap_add(self, i: int, kind: Kind, a: int) -> None:
        """Windows added back, one position in the window at a time."""
        p = self.planner
        home = p.home(i)
        p.view[i] = home
        lane, out_lane = (p.lane[a], p.lane[i]) if p.in_lanes else (None, None)
        self._zeroed(home, rest_of(kind.shape, out_lane), p.letters[i])
        operand, size = p.tape.kinds[a], p.sizes[i]
        params = {k: v for k, v in kind.kwargs.items() if k != "shape"}
        back = infer(TABLE["windows"], tuple(sorted(params.items())), (kind,))
        into = moved(back, kind, home, out_lane, lane)
        assert into is not None
        view = self.rows_of_lanes(a, None)
        rest = rest_of(operand.shape, lane)
        r = len(kind.kwargs["size"])
        for where in np.ndindex(*rest[len(rest) - r :]):
            shifts = [sum(k * s for k, s in zip(where, v.strides[len(rest) - r :], strict=True)) for v in (into, view)]
            target, source = (
                v._replace(offset=v.offset + shift, strides=v.strides[: len(rest) - r])
                for v, shift in zip((into, view), shifts, strict=True)
            )
            self.each(
                f"fold_add_{p.letters[i]}", rest[: len(rest) - r],
                [(target, target.strides, size), (source, source.strides, size)], fold=True,
            )  # fmt: skip
            self.parts = []

    # ---- reductions ----
    def _reduction(self, i: int, kind: Kind, a: int) -> None:
        p = self.planner
        operand, lane = p.tape.kinds[a], (p.lane[a] if p.in_lanes else None)
        axes = {x % len(operand.shape) for x in kind.kwargs["axes"]}
        shape = rest_of(operand.shape, lane)
        if lane is not None and lane != LOOP:
            axes = {x - (x > lane) for x in axes if x != lane}
        kept = [x for x in range(len(shape)) if x not in axes]
        folded = [x for x in range(len(shape)) if x in axes]
        view = self.rows_of_lanes(a, None)
        if p.in_lanes and view.step == 0 and p.lane[a] is not None:
            view = self._registers_of(a, None, view)
        size, letter = p.sizes[i], p.letters[i]
        sizes, strides = [shape[x] for x in kept], [view.strides[x] for x in kept]
        if i in p.axes.totals and p.in_lanes:
            if folded and elements([shape[x] for x in folded]) != 1:
                temporary = p.registers(tuple(sizes), size)
                self._folded(kind, letter, temporary, temporary.strides, view, shape, kept, folded)
                view, strides = temporary, list(temporary.strides)
            dims, (steps,) = collapsed(sizes, [strides])
            if len(dims) > 1:
                copy = p.registers(tuple(sizes), size)
                self.move_strided(view, strides, copy, copy.strides, sizes, size)
                view, dims, steps = copy, [elements(sizes)], [size]
            slot = p.total(elements(sizes), 8, i)
            place, scaled = p.operand(view)
            self.put(TOTAL, size, dims[0] if dims else 1, place, scaled, steps[0] if steps else 0, slot)
            return
        home = p.home(i)
        p.view[i] = home
        # the result has no gaps, whatever axes of length 1 it keeps
        self._folded(kind, letter, home, row_major(tuple(sizes), size), view, shape, kept, folded)

    def _folded(
        self, kind: Kind, letter: str, target: View, target_strides: Sequence[int], view: View, shape: Sequence[int],
        kept: Sequence[int], folded: Sequence[int],
    ) -> None:  # fmt: skip
        p = self.planner
        name, size = kind.op.name, {"d": 8, "f": 4, "b": 1}[letter]
        if p.in_lanes and target.buffer != LOCAL:
            target_strides = [0] * len(kept)  # one row
        if elements([shape[x] for x in folded]) == 0:
            count = elements([shape[x] for x in kept])
            self.fill(target, count, 0.0 if name == "sum" else 1.0, letter)
            return
        ksizes, (ts, ks) = collapsed([shape[x] for x in kept], [target_strides, [view.strides[x] for x in kept]])
        fsizes, (fs,) = collapsed([shape[x] for x in folded], [[view.strides[x] for x in folded]])
        if not p.in_lanes:
            self._folded_whole(name, letter, size, target, view, ksizes, ts, ks, fsizes, fs)
            return
        rows = 1
        if ksizes and target.buffer == view.buffer == LOCAL and ts[-1] == ks[-1] == size:
            rows = ksizes.pop()
            ts, ks = ts[:-1], ks[:-1]
        self._fold(name, letter, size, rows, target, view, ksizes, ts, ks, fsizes, fs)

    def _fold(
        self, name: str, letter: str, size: int, rows: int, target: View, view: View, ksizes: Sequence[int], ts: Sequence[int],
        ks: Sequence[int], fsizes: Sequence[int], fs: Sequence[int],
    ) -> None:  # fmt: skip
        wide = name == "sum" and letter == "f"
        kernel = self.symbol("fold_wide_f" if wide else f"fold_{FOLDS[name]}_{letter}")
        narrow = self.symbol("cast_d_f") if wide else -1
        (t, t_scaled), (s, s_scaled) = self.planner.operand(target), self.planner.operand(view)
        self.put(
            FOLD, kernel, narrow, len(ksizes), len(fsizes), rows, size, size, *ksizes, *fsizes, t, t_scaled, s, s_scaled, *ts, *ks,
            *fs,
        )  # fmt: skip

    def _folded_whole(
        self, name: str, letter: str, size: int, target: View, view: View, ksizes: list[int], ts: list[int], ks: list[int],
        fsizes: list[int], fs: list[int],
    ) -> None:  # fmt: skip
        p = self.planner
        across = bool(ksizes) and ks[-1] == size and ts[-1] == size
        if across and (ksizes[-1] >= 8 or not fs or fs[-1] != size):
            rows = ksizes[-1]
            pieces = min(MOST_PARTS, elements(ksizes) * elements(fsizes) // LEAST_PART, rows // 32)
            for first, last in pieces_of(rows, pieces) if pieces > 1 else [(0, rows)]:
                start = len(self.code)
                at = first * size
                self._fold(
                    name, letter, size, last - first, target._replace(offset=target.offset + at),
                    view._replace(offset=view.offset + at), ksizes[:-1], ts[:-1], ks[:-1], fsizes, fs,
                )  # fmt: skip
                if pieces > 1:
                    self.parts.append((start, len(self.code)))
            return
        if fs and fs[-1] != size:  # terms that do not lie side by side
            shape = [*ksizes, *fsizes]
            copy = p.scratch(tuple(shape), size)
            self.move_strided(view, [*ks, *fs], copy, copy.strides, shape, size)
            view, strides = copy, list(copy.strides)
            ksizes, (ts, ks) = collapsed(ksizes, [ts, strides[: len(ksizes)]])
            fsizes, (fs,) = collapsed(fsizes, [strides[len(strides) - len(fsizes) :]])
        kernel = -1 if name == "sum" else self.symbol(f"fold_{FOLDS[name]}_{letter}")
        length = fsizes[-1] if fsizes else 1

        def put(count: Sequence[int], at: int, into: int) -> None:
            t, s = (
                p.operand(target._replace(offset=target.offset + into)),
                p.operand(view._replace(offset=view.offset + at)),
            )
            self.put(
                REDUCE, kernel, len(count), max(0, len(fsizes) - 1), length, size, *count, *fsizes[:-1], t[0], s[0], *ts, *ks,
                *fs[:-1],
            )  # fmt: skip

        pieces = min(MOST_PARTS, elements(ksizes) * elements(fsizes) // LEAST_PART, ksizes[0] if ksizes else 1)
        if pieces < 2:
            put(ksizes, 0, 0)
            return
        for first, last in pieces_of(ksizes[0], pieces):
            start = len(self.code)
            put([last - first, *ksizes[1:]], first * ks[0], first * ts[0])
            self.parts.append((start, len(self.code)))
