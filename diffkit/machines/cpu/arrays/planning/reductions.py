"""Reductions as instructions: sums, products, maxima, over axes and over lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .....expr.kind import Kind
from ..axes import FOLDS, LOOP
from ..opcodes import FOLD, REDUCE, TOTAL
from ..views import LEAST_PART, LOCAL, MOST_PARTS, View, collapsed, elements, rest_of, row_major

if TYPE_CHECKING:
    from .instructions import Writer


def write_reduction(w: Writer, i: int, kind: Kind, a: int) -> None:
    p = w.planner
    operand, lane = p.tape.kinds[a], (p.lane[a] if p.in_lanes else None)
    shape = rest_of(operand.shape, lane)
    kept, folded = _kept_and_folded(kind, operand, lane)
    view = w.rows_of_lanes(a, None)
    if p.in_lanes and view.step == 0 and p.lane[a] is not None:
        view = w.registers_of(a, None, view)
    size, letter = p.sizes[i], p.letters[i]
    sizes, strides = [shape[x] for x in kept], [view.strides[x] for x in kept]
    if i in p.axes.totals and p.in_lanes:
        if folded and elements([shape[x] for x in folded]) != 1:
            temporary = p.registers(tuple(sizes), size)
            _folded(w, kind, letter, temporary, temporary.strides, view, shape, kept, folded)
            view, strides = temporary, list(temporary.strides)
        dims, (steps,) = collapsed(sizes, [strides])
        if len(dims) > 1:
            copy = p.registers(tuple(sizes), size)
            w.move_strided(view, strides, copy, copy.strides, sizes, size)
            view, dims, steps = copy, [elements(sizes)], [size]
        slot = p.total(elements(sizes), 8, i)
        place, scaled = p.operand(view)
        w.put(TOTAL, size, dims[0] if dims else 1, place, scaled, steps[0] if steps else 0, slot)
        return
    home = p.home(i)
    p.view[i] = home
    # the result has no gaps, whatever axes of length 1 it keeps
    _folded(w, kind, letter, home, row_major(tuple(sizes), size), view, shape, kept, folded)


def can_be_contracted(w: Writer, a: int) -> bool:
    """Whether a product of values a lane need not be written down to be added up: all that is read lies in rows of lanes."""
    p = w.planner
    if not p.in_lanes or p.lane[a] is None or elements(p.tape.kinds[a].shape) == 0:
        return False
    _, folded = _kept_and_folded(p.tape.kinds[p.contracted[a]], p.tape.kinds[a], p.lane[a])
    return len(folded) == 1 and all(view.step == size for view, _, size in w.operands_of(a))


def write_contraction(w: Writer, i: int, a: int) -> None:
    """The sum of x·y (or x²) over axes that are not lanes, in the order in which it would be added up."""
    p = w.planner
    operands, size, lane = w.operands_of(a), p.sizes[i], p.lane[a]
    pair = operands if len(operands) == 2 else operands * 2
    shape = rest_of(p.tape.kinds[a].shape, lane)
    kept, folded = _kept_and_folded(p.tape.kinds[i], p.tape.kinds[a], lane)
    sizes, terms = [shape[x] for x in kept], [shape[x] for x in folded]
    home = p.home(i)
    p.view[i] = home
    steps = row_major(tuple(sizes), size) if home.buffer == LOCAL else (0,) * len(sizes)

    def put(symbol: str, first: int, sums: Sequence[int], fold: bool) -> None:
        reads = [
            (view._replace(offset=view.offset + (first * s[folded[0]] if first else 0)),
             [*(s[x] for x in kept), *(s[x] for x in folded[: len(sums)])], size)
            for view, s, _ in pair
        ]  # fmt: skip
        w.each(symbol, [*sizes, *sums], [(home, [*steps, *(0 for _ in sums)], size), *reads], fold=fold)

    put("multiply_d", 0, [], False)
    if elements(terms) > 1:
        put("fold_product_d", 1, [terms[0] - 1], True)


def _kept_and_folded(kind: Kind, operand: Kind, lane: int | None) -> tuple[list[int], list[int]]:
    """Which axes of the operand, but for the one over lanes, a reduction keeps and which it goes over."""
    axes = {x % len(operand.shape) for x in kind.kwargs["axes"]}
    if lane is not None and lane != LOOP:
        axes = {x - (x > lane) for x in axes if x != lane}
    count = len(rest_of(operand.shape, lane))
    return [x for x in range(count) if x not in axes], [x for x in range(count) if x in axes]


def _folded(
    w: Writer, kind: Kind, letter: str, target: View, target_strides: Sequence[int], view: View, shape: Sequence[int],
    kept: Sequence[int], folded: Sequence[int],
) -> None:  # fmt: skip
    p = w.planner
    name, size = kind.op.name, {"d": 8, "f": 4, "b": 1}[letter]
    if p.in_lanes and target.buffer != LOCAL:
        target_strides = [0] * len(kept)  # one row
    if elements([shape[x] for x in folded]) == 0:
        count = elements([shape[x] for x in kept])
        w.fill(target, count, 0.0 if name == "sum" else 1.0, letter)
        return
    ksizes, (ts, ks) = collapsed([shape[x] for x in kept], [target_strides, [view.strides[x] for x in kept]])
    fsizes, (fs,) = collapsed([shape[x] for x in folded], [[view.strides[x] for x in folded]])
    if not p.in_lanes:
        _folded_whole(w, name, letter, size, target, view, ksizes, ts, ks, fsizes, fs)
        return
    rows = 1
    if ksizes and target.buffer == view.buffer == LOCAL and ts[-1] == ks[-1] == size:
        rows = ksizes.pop()
        ts, ks = ts[:-1], ks[:-1]
    _fold(w, name, letter, size, rows, target, view, ksizes, ts, ks, fsizes, fs)


def _fold(
    w: Writer, name: str, letter: str, size: int, rows: int, target: View, view: View, ksizes: Sequence[int], ts: Sequence[int],
    ks: Sequence[int], fsizes: Sequence[int], fs: Sequence[int],
) -> None:  # fmt: skip
    wide = name == "sum" and letter == "f"
    kernel = w.symbol("fold_wide_f" if wide else f"fold_{FOLDS[name]}_{letter}")
    narrow = w.symbol("cast_d_f") if wide else -1
    (t, t_scaled), (s, s_scaled) = w.planner.operand(target), w.planner.operand(view)
    w.put(
        FOLD, kernel, narrow, len(ksizes), len(fsizes), rows, size, size, *ksizes, *fsizes, t, t_scaled, s, s_scaled, *ts, *ks,
        *fs,
    )  # fmt: skip


def _folded_whole(
    w: Writer, name: str, letter: str, size: int, target: View, view: View, ksizes: list[int], ts: list[int], ks: list[int],
    fsizes: list[int], fs: list[int],
) -> None:  # fmt: skip
    p = w.planner
    across = bool(ksizes) and ks[-1] == size and ts[-1] == size
    if across and (ksizes[-1] >= 8 or not fs or fs[-1] != size):
        rows = ksizes[-1]
        pieces = min(MOST_PARTS, elements(ksizes) * elements(fsizes) // LEAST_PART, rows // 32)
        for first, last in w.shared(rows, pieces):
            at = first * size
            _fold(w,
                name, letter, size, last - first, target._replace(offset=target.offset + at),
                view._replace(offset=view.offset + at), ksizes[:-1], ts[:-1], ks[:-1], fsizes, fs,
            )  # fmt: skip
        return
    if fs and fs[-1] != size:  # terms that do not lie side by side
        shape = [*ksizes, *fsizes]
        copy = p.scratch(tuple(shape), size)
        w.move_strided(view, [*ks, *fs], copy, copy.strides, shape, size)
        view, strides = copy, list(copy.strides)
        ksizes, (ts, ks) = collapsed(ksizes, [ts, strides[: len(ksizes)]])
        fsizes, (fs,) = collapsed(fsizes, [strides[len(strides) - len(fsizes) :]])
    kernel = -1 if name == "sum" else w.symbol(f"fold_{FOLDS[name]}_{letter}")
    length = fsizes[-1] if fsizes else 1

    def put(count: Sequence[int], at: int, into: int) -> None:
        t, s = (
            p.operand(target._replace(offset=target.offset + into)),
            p.operand(view._replace(offset=view.offset + at)),
        )
        w.put(
            REDUCE, kernel, len(count), max(0, len(fsizes) - 1), length, size, *count, *fsizes[:-1], t[0], s[0], *ts, *ks,
            *fs[:-1],
        )  # fmt: skip

    pieces = min(MOST_PARTS, elements(ksizes) * elements(fsizes) // LEAST_PART, ksizes[0] if ksizes else 1)
    if pieces < 2:
        put(ksizes, 0, 0)
        return
    for first, last in w.shared(ksizes[0], pieces):
        put([last - first, *ksizes[1:]], first * ks[0], first * ts[0])
