"""Movements as instructions: views where they can be, gathers, copies side by side, and their transposes, which add."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from .....expr.kind import Kind, infer
from .....ops import TABLE
from ..axes import LOOP
from ..opcodes import ADD_AT, TAKE
from ..views import LOCAL, View, is_plain, moved, offsets_of, rest_of

if TYPE_CHECKING:
    from .instructions import Writer

_GETITEM = TABLE["getitem"]


def write_movement(w: Writer, i: int, kind: Kind, a: int) -> None:
    p = w.planner
    operand = p.tape.kinds[a]
    lane, out_lane = (p.lane[a], p.lane[i]) if p.in_lanes else (None, None)
    view = w.read(a)
    found = moved(kind, operand, view, lane, out_lane)
    if found is not None:
        p.shared(i, a, found)
        return
    if kind.op.name == "reshape":  # a copy without gaps takes any shape
        copied = moved(kind, operand, _compact(w, a, view), lane, out_lane)
        assert copied is not None
        p.view[i] = copied
        return
    if p.in_lanes and (view.step != p.sizes[a]):
        view = w.registers_of(a, None, view)
    _gather(w, i, kind, operand, view, lane, out_lane)


def _compact(w: Writer, a: int, view: View) -> View:
    """A copy without gaps."""
    p = w.planner
    rest = rest_of(p.tape.kinds[a].shape, p.lane[a] if p.in_lanes else None)
    copy = p.scratch(rest, p.sizes[a])
    w.move(view, copy, rest, p.sizes[a])
    return copy


def _gather(w: Writer, i: int, kind: Kind, operand: Kind, view: View, lane: int | None, out_lane: int | None) -> None:
    p = w.planner
    places = _moved_places(w, kind, operand, view, lane, out_lane)
    home = p.home(i)
    p.view[i] = home
    run = _run_length(places, p.sizes[i]) if not p.in_lanes or view.buffer == LOCAL else 1
    if p.in_lanes and home.buffer != LOCAL:
        run = 1
    source, scaled = p.operand(view._replace(offset=0))
    target, out_scaled = p.operand(home)
    begin = len(w.table)
    w.table += places[::run].tolist()
    w.put(TAKE, 0, p.sizes[i], len(places) // run, run, begin, source, scaled, target, out_scaled)


def _moved_places(
    w: Writer, kind: Kind, operand: Kind, view: View, lane: int | None, out_lane: int | None
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


def write_joined(w: Writer, i: int, kind: Kind, args: Sequence[int]) -> None:
    p = w.planner
    home = p.home(i)
    p.view[i] = home
    lane = p.lane[i] if p.in_lanes else None
    strides = list(home.strides)
    if lane is not None and lane != LOOP:
        strides.insert(lane, 0)
    axis = kind.kwargs["axis"] % len(kind.shape)
    start = 0
    for a, read in zip(args, w.axes_of(i), strict=True):
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
        w.move_strided(
            w.read(a, read),
            w.read(a, read).strides,
            home._replace(offset=offset),
            into,
            rest_of(shape, own),
            p.sizes[i],
        )


def write_scatter(w: Writer, i: int, kind: Kind, a: int) -> None:
    p = w.planner
    home = p.home(i)
    p.view[i] = home
    lane, out_lane = (p.lane[a], p.lane[i]) if p.in_lanes else (None, None)
    shape, operand, size = rest_of(kind.shape, out_lane), p.tape.kinds[a], p.sizes[i]
    w.clear(home, shape, p.letters[i])
    back = infer(_GETITEM, (("index", kind.kwargs["index"]),), (kind,))
    view = w.rows_of_lanes(a, None)
    into = moved(back, kind, home, out_lane, lane)
    if into is not None:
        w.move_strided(view, view.strides, into, into.strides, rest_of(operand.shape, lane), size)
        return
    rest = rest_of(operand.shape, lane)
    if not is_plain(view, rest, size) or (p.in_lanes and view.buffer != LOCAL):
        view = _compact(w, a, view)
    places = _moved_places(w, back, kind, home, out_lane, lane)
    run = _run_length(places, size) if not p.in_lanes or home.buffer == LOCAL else 1
    (source, scaled), (target, out_scaled) = p.operand(view), p.operand(home._replace(offset=0))
    begin = len(w.table)
    w.table += places[::run].tolist()
    kernel = w.symbol(f"fold_add_{p.letters[i]}")
    w.put(ADD_AT, kernel, size, len(places) // run, run, begin, source, scaled, target, out_scaled)


def write_overlap_add(w: Writer, i: int, kind: Kind, a: int) -> None:
    """Windows added back, one position in the window at a time."""
    p = w.planner
    home = p.home(i)
    p.view[i] = home
    lane, out_lane = (p.lane[a], p.lane[i]) if p.in_lanes else (None, None)
    w.clear(home, rest_of(kind.shape, out_lane), p.letters[i])
    operand, size = p.tape.kinds[a], p.sizes[i]
    params = {k: v for k, v in kind.kwargs.items() if k != "shape"}
    back = infer(TABLE["windows"], tuple(sorted(params.items())), (kind,))
    into = moved(back, kind, home, out_lane, lane)
    assert into is not None
    view = w.rows_of_lanes(a, None)
    rest = rest_of(operand.shape, lane)
    r = len(kind.kwargs["size"])
    for where in np.ndindex(*rest[len(rest) - r :]):
        shifts = [sum(k * s for k, s in zip(where, v.strides[len(rest) - r :], strict=True)) for v in (into, view)]
        target, source = (
            v._replace(offset=v.offset + shift, strides=v.strides[: len(rest) - r])
            for v, shift in zip((into, view), shifts, strict=True)
        )
        w.each(
            f"fold_add_{p.letters[i]}", rest[: len(rest) - r],
            [(target, target.strides, size), (source, source.strides, size)], fold=True, cut=False,
        )  # fmt: skip
