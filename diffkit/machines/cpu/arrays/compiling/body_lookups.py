"""Lookups in the body of a loop, followed element by element (body_trace.py).

From a table that the body is given elements are fetched from memory. One that it computes or carries is in registers: there every
element is compared with, which is for small tables alone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..opcodes import GATHER, IN_RANGE

if TYPE_CHECKING:
    from .body_trace import Key, Trace

#: comparisons of an instruction, times the elements of a piece
MOST_COMPARED = 512

Values = tuple[int, ...]


def follow_lookup(t: Trace, opcode: int, words: Sequence[int]) -> None:
    """GATHER or SCATTER_ADD (gathering.indexed)."""
    size, count, loops, run, around, piece = words[:6]
    at = 6 + loops + around
    positions, beside = (*words[6 : 6 + loops], run), (*words[6 + loops : at], piece)
    if piece < 0 or size == 1:
        t.stay()
    place, _, step, inner, *strides = words[at : at + 4 + loops + around]
    at += 4 + loops + around
    table, _, _, table_inner, *table_strides = words[at : at + 4 + around]
    at += 4 + around
    lengths, along = [], []
    offsets: Values = ()
    for _ in range(count):
        index, _, each, length, stride, fault, *rows = words[at : at + 6 + loops]
        at += 6 + loops
        number = _in_range(t, t.read(t.keys(index, positions, (*rows, each)), "d"), length, fault)
        moved = t.apply("multiply_d", number, _same(t, stride, len(number)))
        offsets = t.apply("add_d", offsets, moved) if offsets else moved
        lengths.append(length)
        along.append(stride)
    own = t.keys(place, (*positions, *beside), (*strides[:loops], step, *strides[loops:], inner))
    first, letter = t.keys(table, beside, (*table_strides, table_inner)), "d" if size == 8 else "f"
    if opcode == GATHER and t.can_fetch(first[0]):
        t.put(own, t.fetch(first, letter, offsets))
        return
    if math.prod(lengths) * len(own) > MOST_COMPARED:
        t.stay()
    bytes_ = [sum(k * s for k, s in zip(entry, along, strict=True)) for entry in np.ndindex(*lengths)]
    (_chosen if opcode == GATHER else _added)(t, own, letter, first, bytes_, offsets)


def _same(t: Trace, value: float, n: int) -> Values:
    return (t.number("d", struct.unpack("<q", struct.pack("<d", value))[0]),) * n


def _in_range(t: Trace, index: Values, length: int, fault: int) -> Values:
    """The index counted from 0; 0 for one that is out of range, and noted down."""
    n = len(index)
    zero, end = _same(t, 0, n), _same(t, length, n)
    low, high = t.apply("less_equal_d", _same(t, -length, n), index), t.apply("less_d", index, end)
    fits = t.apply("logical_and_b", low, high)
    before = t.fault(fault)
    found = before
    for fit, value in zip(reversed(fits), reversed(index), strict=True):
        found = t.apply("where_d", (fit,), found, (value,))
    t.note(fault, t.apply("where_d", t.apply("equal_d", before, _same(t, IN_RANGE, 1)), found, before))
    counted = t.apply("where_d", t.apply("less_d", index, zero), t.apply("add_d", index, end), index)
    return t.apply("where_d", fits, counted, zero)


def _moved(keys: Sequence[Key], byte: int) -> list[Key]:
    return [(buffer, at + byte) for buffer, at in keys]


def _chosen(
    t: Trace, own: Sequence[Key], letter: str, first: Sequence[Key], entries: Sequence[int], offsets: Values
) -> None:
    """Of all entries of the table, pieces each, the one that an offset names."""
    n, piece = len(offsets), len(first)
    found = t.read(_moved(first, entries[0]), letter) * n
    for byte in entries[1:]:
        here = t.apply("equal_d", offsets, _same(t, byte, n))
        entry = t.read(_moved(first, byte), letter) * n
        found = t.apply(f"where_{letter}", tuple(h for h in here for _ in range(piece)), entry, found)
    t.put(own, found)


def _added(
    t: Trace, own: Sequence[Key], letter: str, first: Sequence[Key], entries: Sequence[int], offsets: Values
) -> None:
    """The pieces added to the entries that the offsets name, one after the other."""
    terms, piece = t.read(own, letter), len(first)
    if letter == "f":
        terms = t.apply("cast_f_d", terms)
    keys = [key for byte in entries for key in _moved(first, byte)]
    at = tuple(v for byte in entries for v in _same(t, byte, 1))
    total = t.read(keys, "d")
    for j, offset in enumerate(offsets):
        here = t.apply("equal_d", at, (offset,) * len(at))
        term = terms[j * piece : (j + 1) * piece] * len(at)
        total = t.apply("where_d", tuple(h for h in here for _ in range(piece)), t.apply("add_d", total, term), total)
    t.put(keys, total)
