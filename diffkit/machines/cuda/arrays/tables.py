"""Lookups as launches: by tables that the program holds, and at indices that are values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...cpu.arrays.opcodes import GATHER
from ...cpu.plan import SIZE
from . import moving
from .launches import compiled
from .nests import elements
from .steps import Launch

if TYPE_CHECKING:
    from .lowering import Frame, Lowering

LETTER = {8: "d", 4: "f", 1: "b"}


def take(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """TAKE: rows of the source, by a table, one behind the other."""
    size, rows, run, table, source, source_scaled, target, scaled = words[3:11]
    letter, n = LETTER[size], run * frame.lanes if run > 1 else frame.lanes
    places = (w.program.table[table : table + rows] * frame.scale(source_scaled)).tolist()
    step = run * size * frame.scale(scaled)
    told = [rows, n, *frame.place(target), *frame.place(source), *elements([step, *places], letter)]
    w.launch(Launch(compiled(moving.take), f"{letter}{size}w", (w.words.put(told),), rows * n))


def add_at(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """ADD_AT: rows added to where a table says, those of one place in their order."""
    size, rows, run, table, source, source_scaled, target, scaled = words[3:11]
    letter, n = LETTER[size], run * frame.lanes if run > 1 else frame.lanes
    places = w.program.table[table : table + rows] * frame.scale(scaled)
    order = np.argsort(places, kind="stable")
    own, begins = np.unique(places[order], return_index=True)
    step = run * size * frame.scale(source_scaled)
    told = [len(own), n, *frame.place(target), *frame.place(source), *elements([step, *own.tolist()], letter)]
    told += [*begins.tolist(), rows, *order.tolist()]
    w.launch(Launch(compiled(moving.add_at), f"{letter}{size}w", (w.words.put(told),), len(own) * n))


def lookup(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """GATHER and SCATTER_ADD, and where an index that is out of range is noted down."""
    gathers = words[0] == GATHER
    size, arrays, loops, _, around = words[2:7]
    run = words[5] if words[5] > 0 else frame.lanes
    # without elements, the indices are looked at and nothing is moved
    empty, piece = words[7] < 0, frame.lanes if words[7] == 0 else abs(words[7])
    sizes, beside = list(words[8 : 8 + loops]), list(words[8 + loops : 8 + loops + around])
    letter, wide = LETTER[size], "d" if size == 4 and not gathers else LETTER[size]
    own = 8 + loops + around
    table = own + 4 + loops + around
    first, width = table + 4 + around, 6 + loops
    place, scaled, step, inner, *strides = words[own:table]
    s = frame.scale(scaled)
    told = [
        math.prod(sizes) * run,
        math.prod(beside) * piece,
        loops + 1,
        around + 1,
        arrays,
        *sizes,
        run,
        *beside,
        piece,
    ]
    mine = [*(v * s for v in strides[:loops]), step, *(v * s for v in strides[loops:]), inner]
    told += [*frame.place(place), *elements(mine, letter)]
    place, scaled, apart, inner, *strides = words[table:first]
    s = frame.scale(scaled)
    told += [*frame.place(place), *elements([*[0] * loops, apart, *(v * s for v in strides), inner], wide)]
    faults: list[int] = []
    for k in range(arrays):
        place, own_scaled, step, length, stride, check, *strides = words[first + k * width : first + (k + 1) * width]
        told += [*frame.place(place), length, *elements([stride * s], wide), w.words.put([moving.NONE])]
        told += elements([*(v * frame.scale(own_scaled) for v in strides), step], "d")
        faults += frame.place(check)
    at = w.words.put(told)
    indices, pieces = told[0], told[1]
    if gathers or empty:
        w.launch(Launch(compiled(moving.gather, MOVES=not empty), f"{letter}{size}dw", (at,), indices * pieces))
    else:
        each = run if apart else 1
        made = compiled(moving.scatter_add, CONDITIONS=letter == "b")
        w.launch(Launch(made, f"{letter}{size}{wide}{SIZE[wide]}dw", (at, each), each * pieces))
    if arrays:
        w.launch(Launch(compiled(moving.note), "dw", (at, w.words.put(faults)), 1))
