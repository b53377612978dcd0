"""Matrix products as instructions: which of the three extents runs over lanes, and what BLAS can be handed as it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .....expr.kind import Kind
from ..axes import LOOP
from ..opcodes import LEAST_TILED, MOST_PRODUCT_LANES, PRODUCT
from ..views import LOCAL, View, elements, rest_of, row_major

if TYPE_CHECKING:
    from .instructions import Writer

#: products are cut into parts of at least so many multiplications, in rows that are a multiple of 32 (BLAS computes the rows of a
#: product of few rows in another order than those of a tall one)
LEAST_PART, MOST_PARTS, ROWS = 4_000_000, 16, 32

#: how an extent is given: as it is, the lanes in use, so many times all lanes
FIXED, LANES, TIMES_LANES, TIMES_LANES_IN_USE = 0, 1, 2, 3


class Matrix(NamedTuple):
    """An operand: strides of its batch axes, then of rows and of columns; the axis over lanes has the stride None."""

    view: View
    batch: list[int]
    rows: int | None
    columns: int | None


def write_product(w: Writer, i: int, kind: Kind, args: Sequence[int]) -> None:
    """One operation `matmul`."""
    p = w.planner
    read = w.axes_of(i)
    m, n = kind.shape[-2:]
    k = p.tape.kinds[args[0]].shape[-1]
    lanes = [
        (p.lane[a] if p.lane[a] is not None else r) if p.in_lanes else None for a, r in zip(args, read, strict=True)
    ]
    out_lane = p.lane[i] if p.in_lanes else None
    if k == 0:
        p.view[i] = p.home(i)
        w.clear(p.view[i], rest_of(kind.shape, out_lane), p.letters[i])
        return
    roles = [_role(a, p.tape.kinds[x].shape) for a, x in zip(lanes, args, strict=True)]
    if "batch" in roles:
        _per_lane(w, i, kind, args, lanes, roles)
        return
    sides = [_matrix(w, a, r, lane, kind, out_lane) for a, r, lane in zip(args, read, lanes, strict=True)]
    x, y = (_with_unit_stride(w, s, a, lane, p.sizes[i]) for s, a, lane in zip(sides, args, lanes, strict=True))
    size = p.sizes[i]
    if i in p.axes.totals and p.in_lanes:
        slot = p.total(m * n, size, i)
        _put(w, i, [(m, FIXED), (n, FIXED), (0, LANES)], [], x, y, (slot, 0, (n * size, 0), (size, 0), []), adds=1)
        return
    home = p.home(i)
    p.view[i] = home
    z = _strides(home, kind.shape, out_lane)
    batch = list(kind.shape[:-2])
    if out_lane is not None:
        left = roles[0] == "rows"
        extents = [(0, LANES) if left else (m, FIXED), (n, FIXED) if left else (0, LANES), (k, FIXED)]
        batch = [b for d, b in enumerate(batch) if d != out_lane]
        _put(w, i, extents, batch, x, y, _side(w, home, z))
        return
    _whole(w, i, m, n, k, batch, x, y, home, z)


def _role(lane: int | None, shape: tuple[int, ...]) -> str | None:
    """What the axis over lanes is to an operand."""
    if lane is None:
        return None
    if lane == LOOP or lane < len(shape) - 2:
        return "batch"
    return "rows" if lane == len(shape) - 2 else "columns"


def _strides(view: View, shape: tuple[int, ...], lane: int | None) -> list[int | None]:
    """One an axis of the whole shape, None for the one over lanes."""
    own: list[int | None] = list(view.strides)
    if lane is not None and lane != LOOP:
        own.insert(lane, None)
    return own


def _matrix(w: Writer, a: int, read: int | None, lane: int | None, kind: Kind, out_lane: int | None) -> Matrix:
    p = w.planner
    view, shape = w.read(a, read), p.tape.kinds[a].shape
    strides = _strides(view, shape, lane)
    return Matrix(view, _batch(strides[:-2], shape[:-2], kind.shape[:-2]), strides[-2], strides[-1])


def fits_blas(strides: Sequence[int], shape: Sequence[int], size: int) -> bool:
    """Whether a matrix has rows, or columns, without gaps, one wholly behind the other: windows overlap."""
    (rows, columns), (m, n) = strides, shape
    rows, columns = size if m == 1 else rows, size if n == 1 else columns
    return (columns == size and (rows >= n * size or m == 1)) or (rows == size and (columns >= m * size or n == 1))


def _batch(strides: Sequence[int | None], shape: Sequence[int], result: Sequence[int]) -> list[int]:
    """Strides for the batch axes of the result, along which a shorter operand is repeated."""
    own = [0 if n == 1 or s is None else s for n, s in zip(shape, strides, strict=True)]
    return [0] * (len(result) - len(own)) + own


def _with_unit_stride(w: Writer, side: Matrix, a: int, lane: int | None, size: int) -> Matrix:
    """BLAS takes matrices whose rows or columns lie without gaps; any other is copied."""
    p = w.planner
    shape = p.tape.kinds[a].shape
    ends = [side.view.step if s is None else s for s in (side.rows, side.columns)]
    if side.view.buffer == LOCAL:  # a stride between rows is many lanes, so only the lanes themselves lie side by side
        fits = any(
            n == 1 if s is not None else e == size
            for e, s, n in zip(ends, (side.rows, side.columns), shape[-2:], strict=True)
        ) and all(e > 0 or n == 1 for e, n in zip(ends, shape[-2:], strict=True))
    else:
        fits = fits_blas(ends, shape[-2:], size)
    if fits:
        return side
    rest = rest_of(shape, lane)
    if p.in_lanes and lane is None:
        return side  # the interpreter's own loops take it as it is
    copy = p.scratch(rest, size)
    w.move(side.view, copy, rest, size)
    strides = _strides(copy, shape, lane)
    return Matrix(
        copy,
        _batch(strides[:-2], shape[:-2], [1] * (len(side.batch) - len(shape) + 2) + list(shape[:-2])),
        strides[-2],
        strides[-1],
    )


#: place, whether batch strides are scaled, (stride, scaled) of rows and of columns, batch strides
Side = tuple[int, int, tuple[int, int], tuple[int, int], list[int]]


def _side(w: Writer, view: View, strides: Sequence[int | None], batch: Sequence[int] | None = None) -> Side:
    place, scaled = w.planner.operand(view)
    ends = [(view.step, 0) if s is None else (s, scaled) for s in strides[-2:]]
    own = [s for s in strides[:-2] if s is not None] if batch is None else list(batch)
    return place, scaled, ends[0], ends[1], own


def _put(
    w: Writer, i: int, extents: Sequence[tuple[int, int]], batch: Sequence[int], x: Matrix | Side, y: Matrix | Side, z: Side,
    adds: int = 0,
) -> None:  # fmt: skip
    """The instruction; extents of rows, columns and of what is summed over."""
    p = w.planner
    single = p.letters[i] == "f"
    sides = [
        s if not isinstance(s, Matrix) else _side(w, s.view, [*s.batch, s.rows, s.columns], s.batch) for s in (x, y)
    ] + [z]
    (m, n, k) = (e if kind == FIXED else -1 for e, kind in extents)
    lengths = [(m, k), (k, n), (m, n)]
    size = p.sizes[i]
    p.lane_work += elements([e for e, kind in extents if kind != LANES]) * elements(batch) // 8
    most = elements([e if kind == FIXED else max(e, 1) * MOST_PRODUCT_LANES for e, kind in extents])
    words = [
        w.symbol(f"{'tiles' if most > LEAST_TILED else 'gemm'}_{p.letters[i]}"),
        int(single),
        adds,
        len(batch),
        *(v for e in extents for v in e),
        *batch,
    ]
    for (place, scaled, rows, columns, strides), (r, c) in zip(sides, lengths, strict=True):
        # an axis of length 1 may have any stride: 1 suits BLAS
        ends = [(size, 0) if length == 1 else end for length, end in ((r, rows), (c, columns))]
        words += [place, scaled, *ends[0], *ends[1], *strides]
    w.put(PRODUCT, *words)
    w.largest_product = max(w.largest_product, most)


def _whole(
    w: Writer, i: int, m: int, n: int, k: int, batch: list[int], x: Matrix, y: Matrix, home: View, z: list[int | None]
) -> None:
    """On whole arrays: in parts for threads, by stacks of matrices or by rows or columns."""
    own = [s or 0 for s in z]
    if batch and elements(batch) == 1:
        batch, x, y, own = [], x._replace(batch=[]), y._replace(batch=[]), own[-2:]
    pieces = min(MOST_PARTS, elements(batch) * m * n * k // LEAST_PART)
    if pieces < 2:
        _put(w, i, [(m, FIXED), (n, FIXED), (k, FIXED)], batch, x, y, _side(w, home, own))
        return
    axis = "batch" if batch and batch[0] >= pieces else "rows" if m >= n else "columns"
    length = {"batch": batch[0] if batch else 0, "rows": m, "columns": n}[axis]
    for first, last in w.shared(length, pieces, 1 if axis == "batch" else ROWS):
        count = last - first
        if axis == "batch":
            moves = [first * x.batch[0], first * y.batch[0], first * own[0]]
            extents, outer = [(m, FIXED), (n, FIXED), (k, FIXED)], [count, *batch[1:]]
        elif axis == "rows":
            moves = [first * (x.rows or 0), 0, first * own[-2]]
            extents, outer = [(count, FIXED), (n, FIXED), (k, FIXED)], batch
        else:
            moves = [0, first * (y.columns or 0), first * own[-1]]
            extents, outer = [(m, FIXED), (count, FIXED), (k, FIXED)], batch
        a, b, c = (v._replace(offset=v.offset + d) for v, d in zip((x.view, y.view, home), moves, strict=True))
        _put(w, i, extents, outer, x._replace(view=a), y._replace(view=b), _side(w, c, own))


def _per_lane(
    w: Writer, i: int, kind: Kind, args: Sequence[int], lanes: Sequence[int | None], roles: Sequence[str | None]
) -> None:
    """Every lane has a product of its own; a matrix that all share makes one product of many columns."""
    p = w.planner
    size, letter = p.sizes[i], p.letters[i]
    (m, n), k = kind.shape[-2:], p.tape.kinds[args[0]].shape[-1]
    out_lane = p.lane[i]
    batch = [b for d, b in enumerate(kind.shape[:-2]) if d != out_lane or out_lane == LOOP]
    home = p.home(i)
    p.view[i] = home

    def side(a: int, lane: int | None, view: View) -> tuple[list[int], int, int]:
        shape = p.tape.kinds[a].shape
        strides = _strides(view, shape, lane)
        own = _batch(strides[:-2], shape[:-2], kind.shape[:-2])
        if out_lane is not None and out_lane != LOOP:
            del own[out_lane]
        return own, strides[-2] or 0, strides[-1] or 0

    read = w.axes_of(i)
    if roles[0] is None and not batch and n == 1 and _shared_fits(w, args[0], size):
        # matrix times a vector a lane: the lanes are the columns
        view = w.read(args[1], read[1])
        _, rows, _ = side(args[1], lanes[1], view)
        if view.step == size or rows == size:
            x = Matrix(w.read(args[0]), [], *w.read(args[0]).strides[-2:])
            y = Matrix(view, [], rows, None)
            _put(
                w, i, [(m, FIXED), (0, LANES), (k, FIXED)], [], x, y, _side(w, home, [side(i, out_lane, home)[1], None])
            )
            return
    if roles[1] is None and not batch and m == 1 and _shared_fits(w, args[1], size):
        view = w.read(args[0], read[0])
        _, _, columns = side(args[0], lanes[0], view)
        if view.step == size or columns == size:
            x = Matrix(view, [], None, columns)
            y = Matrix(w.read(args[1]), [], *w.read(args[1]).strides[-2:])
            _put(
                w, i, [(0, LANES), (n, FIXED), (k, FIXED)], [], x, y, _side(w, home, [None, side(i, out_lane, home)[2]])
            )
            return
    if roles[0] is None and not batch and home.buffer == LOCAL and _shared_fits(w, args[0], size):
        # matrix times a matrix a lane, rows of which and the lanes are the columns
        view = (
            w.registers_of(args[1], None, w.read(args[1], read[1]))
            if not _is_registers(w, args[1], lanes[1], read[1])
            else w.read(args[1])
        )
        _, rows, _ = side(args[1], lanes[1], view)
        x = Matrix(w.read(args[0]), [], *w.read(args[0]).strides[-2:])
        place, scaled = p.operand(view)
        out, out_scaled = p.operand(home)
        y_side: Side = (place, scaled, (rows, scaled), (size, 0), [])
        z_side: Side = (out, out_scaled, (side(i, out_lane, home)[1], out_scaled), (size, 0), [])
        _put(w, i, [(m, FIXED), (n, TIMES_LANES), (k, FIXED)], [], x, y_side, z_side)
        return
    views = [w.rows_of_lanes(a, r) for a, r in zip(args, read, strict=True)]
    (xb, xr, xc), (yb, yr, yc) = (side(a, la, v) for a, la, v in zip(args, lanes, views, strict=True))
    zb, zr, zc = side(i, out_lane, home)
    if (
        roles[1] is None
        and home.buffer == LOCAL
        and views[0].step == size
        and not batch
        and _shared_fits(w, args[1], size)
    ):
        # a matrix a lane times one that all share: row by row, the lanes are the rows
        for r in range(m):
            x = Matrix(views[0]._replace(offset=views[0].offset + r * xr), [], None, xc)
            y = Matrix(w.read(args[1]), [], *w.read(args[1]).strides[-2:])
            z = home._replace(offset=home.offset + r * zr)
            _put(w, i, [(0, LANES), (n, FIXED), (k, FIXED)], [], x, y, _side(w, z, [None, zc]))
        return
    shape = [*batch, m, n]
    for q in range(k):
        x_view = views[0]._replace(offset=views[0].offset + q * xc)
        y_view = views[1]._replace(offset=views[1].offset + q * yr)
        w.each(
            f"{'fold_product' if q else 'multiply'}_{letter}", shape,
            [(home, [*zb, zr, zc], size), (x_view, [*xb, xr, 0], size), (y_view, [*yb, 0, yc], size)], fold=q > 0,
        )  # fmt: skip


def _shared_fits(w: Writer, a: int, size: int) -> bool:
    """Whether BLAS can be handed the matrix that all lanes share as it lies."""
    view, shape = w.read(a), w.planner.tape.kinds[a].shape
    return len(shape) == 2 and fits_blas(view.strides, shape, size)


def _is_registers(w: Writer, a: int, lane: int | None, read: int | None) -> bool:
    """Whether an operand lies in registers, row behind row."""
    p = w.planner
    view = w.read(a, read)
    return view.buffer == LOCAL and view.strides == row_major(rest_of(p.tape.kinds[a].shape, lane), p.sizes[a])


def can_be_added_up(w: Writer, i: int) -> bool:
    """Whether the sum over lanes of a product a lane is one product: what is summed over lies beside the lanes in both."""
    p = w.planner
    args, size = p.tape.args[i], p.sizes[i]
    if not p.in_lanes or len(p.tape.kinds[i].shape) != 3 or any(p.lane[a] != 0 for a in args):
        return False
    x, y = (w.rows_of_lanes(a, None) for a in args)
    return x.buffer == y.buffer == LOCAL and x.strides[1] == y.strides[0] == size


def write_sum_of_products(w: Writer, i: int, product: int) -> None:
    """The product of (rows, terms, lanes) and (terms, lanes, columns), over terms and lanes at once."""
    p = w.planner
    m, n = p.tape.kinds[product].shape[-2:]
    args, size = p.tape.args[product], p.sizes[i]
    k = p.tape.kinds[args[0]].shape[-1]
    x, y = (w.rows_of_lanes(a, None) for a in args)
    slot = p.total(m * n, size, i)
    sides: list[Side] = [
        (p.operand(x)[0], 1, (x.strides[0], 1), (size, 0), []),
        (p.operand(y)[0], 1, (size, 0), (y.strides[1], 1), []),
    ]
    target: Side = (slot, 0, (n * size, 0), (size, 0), [])
    _put(w, i, [(m, FIXED), (n, FIXED), (k, TIMES_LANES_IN_USE)], [], sides[0], sides[1], target, adds=1)
