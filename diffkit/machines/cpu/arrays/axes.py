"""Which axis of every value runs over lanes.

A tape over arrays mostly treats the entries along one axis alike: the images of a batch, the points of a data set. If one such
axis can be followed through the tape, the program runs over it block by block, as over loop dims: what is computed for a block of
entries stays in the cache, and threads share the blocks. A value that has the axis is *laned*, any other is *uniform*. Sums and
matrix products over the axis itself are totals, gathered block by block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ....expr.kind import Kind, constant_value
from ....ops import CAST, CONSTANT, TABLE, VARIABLE
from ....tape import Tape

#: the lanes are the loop dims, which no core shape shows
LOOP = -1
#: shorter axes are not worth a loop of their own
LEAST_LANES = 8
#: tapes with fewer elements in all are run whole
LEAST_ELEMENTS = 2048

_GETITEM = TABLE["getitem"]


@dataclass
class Axes:
    """For every value the axis that runs over lanes (None: uniform), and when it is known.

    level: a uniform value of level k is known before the k-th loop over lanes, a laned one is computed in it.
    totals: uniform values that a loop over lanes gathers. hosted: laned values that no loop computes, because their operation has
    no instructions. read: inputs that are read along the axis beside those that it was followed from, and which of theirs it is.
    """

    lanes: int
    lane: list[int | None]
    level: list[int]
    totals: set[int]
    hosted: set[int]
    read: dict[int, int] = field(default_factory=dict)


#: result of following: axis of the result (None: uniform), whether it is a total, and for every operand the axis it is read along
Step = tuple["int | None", bool, list["int | None"]]


#: operations with a body (ops/loops.py)
LOOPS = ("scan", "scan_adjoint", "call")
#: operations that take indices (ops/indexing.py)
LOOKUPS = ("gather", "scatter_add")
FOLDS = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


def is_native(kind: Kind) -> bool:
    """Whether the interpreter has instructions for it."""
    op = kind.op
    if op.family == "elementwise":
        return op.kernel is not None or op is CAST
    if op.name in LOOPS:
        from .planning.loops import is_native_loop

        return is_native_loop(kind)
    return (
        op.family in ("leaf", "movement")
        or op.name in FOLDS
        or op.name in ("matmul", "scatter", "overlap_add", *LOOKUPS)
    )


def follow(kind: Kind, operands: Sequence[Kind], lane: Sequence[int | None], n: int) -> Step | None:
    """How an operation with laned operands treats the axis; None: only on whole arrays."""
    if LOOP in lane:
        return LOOP, False, list(lane)
    name, family = kind.op.name, kind.op.family
    if family == "elementwise" or name == "cast":
        return _aligned(kind, operands, lane, n)
    if name == "matmul":
        return _product(kind, operands, lane, n)
    if name in ("concatenate", "stack"):
        return _joined(kind, operands, lane, n)
    if name in LOOKUPS:
        return _looked_up(kind, operands, lane, n)
    if len(operands) != 1:
        return None
    (axis,), (operand,) = lane, operands
    read: list[int | None] = [axis]
    assert axis is not None
    if name in FOLDS:
        axes = {a % len(operand.shape) for a in kind.kwargs["axes"]}
        if axis in axes:
            return (None, True, read) if name == "sum" else None
        dropped = 0 if kind.kwargs["keepdims"] else sum(a < axis for a in axes)
        return axis - dropped, False, read
    if name == "scatter":
        return next(
            (
                (y, False, read)
                for y, size in enumerate(kind.shape)
                if size == n and _moved(_GETITEM.numpy, {"index": kind.kwargs["index"]}, kind.shape, y) == axis
            ),
            None,
        )
    if name == "overlap_add":
        return (axis, False, read) if kind.shape[axis : axis + 1] == (n,) and axis < _leading(kind) else None
    if name == "transpose":  # (what `_moved` would find, from large arrays)
        return [a % len(operand.shape) for a in kind.kwargs["axes"]].index(axis), False, read
    if family == "movement":
        moved = _moved(kind.op.numpy, kind.kwargs, operand.shape, axis)
        return None if moved is None else (moved, False, read)
    return None


def _leading(kind: Kind) -> int:
    return len(kind.shape) - len(kind.kwargs["size"])


def _aligned(kind: Kind, operands: Sequence[Kind], lane: Sequence[int | None], n: int) -> Step | None:
    """Operands that broadcast: their axes count from the end."""
    from_end = {a - len(k.shape) for a, k in zip(lane, operands, strict=True) if a is not None}
    if len(from_end) != 1:
        return None
    (p,) = from_end
    read = [len(k.shape) + p if len(k.shape) >= -p and k.shape[p] == n else None for k in operands]
    return len(kind.shape) + p, False, read


def _product(kind: Kind, operands: Sequence[Kind], lane: Sequence[int | None], n: int) -> Step | None:
    (a, b), (x, y) = lane, operands
    left = None if a is None else a - len(x.shape)
    right = None if b is None else b - len(y.shape)
    rank = len(kind.shape)
    if left == -2 and right is None:
        return rank - 2, False, [a, None]
    if right == -1 and left is None:
        return rank - 1, False, [None, b]
    if left in (-1, None) and right in (-2, None):  # the axis summed over
        if len(kind.shape) == 2:
            return None, True, [len(x.shape) - 1, len(y.shape) - 2]
        return None
    along = {v for v in (left, right) if v is not None}
    if len(along) != 1 or max(along) > -3:
        return None
    (p,) = along
    read = [len(k.shape) + p if len(k.shape) >= -p and k.shape[p] == n else None for k in operands]
    return rank + p, False, read


def _looked_up(kind: Kind, operands: Sequence[Kind], lane: Sequence[int | None], n: int) -> Step | None:
    """Either an axis beside those that are indexed, or one of the indices' own axes.

    In the second case the axis has all of the table in every lane, or, where one index is 0 … n − 1 along it, an entry of its own.
    """
    adds, indices = kind.op.name == "scatter_add", operands[1:]
    whole, part = (kind, operands[0]) if adds else (operands[0], kind)
    first, count = len(whole.shape) + kind.kwargs["axis"], len(indices)
    end, grown = first + count, len(part.shape) - len(whole.shape)
    from_end = {a - len(k.shape) for a, k in zip(lane[1:], indices, strict=True) if a is not None}
    own = lane[0]
    if own is not None and adds and first <= own < end + grown:
        from_end.add(own - end - grown)
    elif own is not None and (adds or not first <= own < end):
        shift = 0 if own < first else -grown if adds else grown
        return None if from_end else (own + shift, False, list(lane))
    elif own is not None:  # an indexed axis of the table
        counted = _counts(indices[own - first], n)
        if counted is None:
            return None
        from_end.add(counted)
    if len(from_end) != 1:
        return None
    (p,) = from_end
    read = [len(k.shape) + p if len(k.shape) >= -p and k.shape[p] == n else None for k in indices]
    along = end + grown + p
    if adds:
        diagonal = [first + k for k in range(count) if whole.shape[first + k] == n and _counts(indices[k], n) == p]
        return (diagonal[0], False, [along, *read]) if diagonal else None
    return along, False, [own, *read]


def _counts(index: Kind, n: int) -> int | None:
    """The axis (from the end) along which an index is known to be 0 … n − 1, and along all others the same."""
    if index.op is not CONSTANT or index.shape.count(n) != 1 or math.prod(index.shape) != n:
        return None
    counts = np.array_equal(constant_value(index).ravel(), np.arange(n))
    return index.shape.index(n) - len(index.shape) if counts else None


def _joined(kind: Kind, operands: Sequence[Kind], lane: Sequence[int | None], n: int) -> Step | None:
    found = {a for a in lane if a is not None}
    if len(found) != 1:
        return None
    (axis,) = found
    rank, joint = len(kind.shape), kind.kwargs["axis"] % len(kind.shape)
    if kind.op.name == "stack":
        return axis + (joint <= axis), False, [axis] * len(operands)
    return None if joint == axis or rank == 0 else (axis, False, [axis] * len(operands))


def _moved(function, params: dict, shape: tuple[int, ...], axis: int) -> int | None:  # type: ignore[no-untyped-def]
    """Where a movement puts an axis, along all of which it takes the same elements of what lies across.

    It is run on arrays whose elements are their numbers along the axis, and across it.
    """
    n = shape[axis]
    across = [1 if k == axis else m for k, m in enumerate(shape)]
    along, others = (
        function(np.broadcast_to(numbers, shape)[None], **params)[0]
        for numbers in (
            np.arange(n).reshape((n,) + (1,) * (len(shape) - axis - 1)),
            np.arange(math.prod(across)).reshape(across),
        )
    )
    for y, size in enumerate(along.shape):
        if size == n:
            wanted = np.arange(n).reshape((n,) + (1,) * (along.ndim - y - 1))
            if (along == wanted).all() and (others == others.take([0], y)).all():
                return y
    return None


def laned(tape: Tape, given: dict[int, int], n: int) -> Axes:
    """Follows the axis from inputs (value -> axis) through a tape."""
    kinds, args = tape.kinds, tape.args
    lane: list[int | None] = [None] * len(kinds)
    level, totals, hosted, read = [0] * len(kinds), set(), set(), {}
    for i, kind in enumerate(kinds):
        if i in given:
            lane[i] = given[i]
        if not args[i]:
            continue
        mine = [lane[a] for a in args[i]]
        level[i] = max(level[a] for a in args[i])
        if all(m is None for m in mine):
            continue
        step = follow(kind, [kinds[a] for a in args[i]], mine, n)
        if step is not None:
            along = zip(args[i], step[2], strict=True)
            read.update({a: r for a, r in along if r is not None and a not in given and kinds[a].op is VARIABLE})
        if step is None or not (LOOP in mine or is_native(kind)):
            level[i] += 1
            continue
        lane[i] = step[0]
        if not is_native(kind):
            hosted.add(i)
            level[i] += 1
        if step[1]:
            totals.add(i)
            level[i] += 1
    return Axes(n, lane, level, totals, hosted, read)


def over_loop(tape: Tape, varying: Sequence[bool], n: int) -> Axes:
    """The lanes are the loop dims: laned is what depends on an input that has them."""
    return laned(tape, {i: LOOP for i, v in zip(tape.inputs, varying, strict=True) if v}, n)


def best_axis(tape: Tape) -> Axes | None:
    """The longest core axis that most of the work can be run along; None where that does not pay."""
    elements = [math.prod(k.shape) for k in tape.kinds]
    computed = [e for e, a in zip(elements, tape.args, strict=True) if a]
    if sum(computed) < LEAST_ELEMENTS:
        return None
    tried: set[tuple[int, int]] = set()
    axes_of = [(i, axis, n) for i in tape.inputs for axis, n in enumerate(tape.kinds[i].shape) if n >= LEAST_LANES]
    for i, axis, n in sorted(axes_of, key=lambda found: -found[2]):
        if (i, axis) in tried:
            continue
        given = {i: axis}
        axes = laned(tape, given, n)
        while axes.read:  # what is read along the axis has it too
            given.update(axes.read)
            axes = laned(tape, given, n)
        tried.update(given.items())
        if _gain(tape, axes, elements) > 0.5 * sum(computed):
            return axes
    return None


def _gain(tape: Tape, axes: Axes, elements: Sequence[int]) -> float:
    """Elements computed along the axis, less those that must be turned round to get at them or to hand them on."""
    gain, turned = 0.0, set()
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        if not args:
            continue
        for a in args:
            if axes.lane[a] is not None and kind.op.name != "matmul" and not tape.args[a] and elements[a] > axes.lanes:
                turned.add(a)
        if axes.lane[i] is not None or i in axes.totals:
            gain += elements[i] if axes.lane[i] is not None else 0
        elif any(axes.lane[a] is not None for a in args):
            turned.update(a for a in args if axes.lane[a] is not None)
    turned.update(o for o in tape.outputs if axes.lane[o] is not None and elements[o] > axes.lanes)
    return gain - 2 * sum(elements[i] for i in turned)
