"""Folds as launches: one thread a result where there are many, else blocks that fold chunks, and then what these come to.

What is folded, and in which order, depends on shapes alone: two runs give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...cpu.plan import SIZE
from ..package import package
from .launches import written
from .nests import Address, Nest, Operand
from .sources import CHUNK, SIMULATED_TREE, TREE, Fold, primitive, sequence, tree
from .steps import Launch

if TYPE_CHECKING:
    from .lowering import Frame, Lowering

#: results of fewer terms, or so many results, are folded by a thread each
FEW_TERMS, MANY_RESULTS = 256, 16384
LETTER = {8: "d", 4: "f", 1: "b"}


def fold(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """FOLD: terms of registers, or of whole arrays, across what is kept."""
    name, narrow, kept, folded, rows, target_size, source_size = words[2:9]
    sizes, terms = list(words[9 : 9 + kept]), list(words[9 + kept : 9 + kept + folded])
    q = 9 + kept + folded
    place, scaled, source, source_scaled = words[q : q + 4]
    strides = words[q + 4 :]
    run = rows * frame.lanes if rows > 1 else frame.lanes
    scale, from_scale = frame.scale(scaled), frame.scale(source_scaled)
    into = Operand(
        LETTER[target_size], frame.place(place), (*(s * scale for s in strides[:kept]), target_size, *[0] * folded)
    )
    inner = [s * from_scale for s in strides[2 * kept : 2 * kept + folded]]
    outer = [s * from_scale for s in strides[kept : 2 * kept]]
    from_ = Operand(LETTER[source_size], frame.place(source), (*outer, source_size, *inner))
    how = Fold(w.program.symbols[name], "zero" if narrow >= 0 else "first", LETTER[target_size])
    _put(w, how, [*sizes, run], terms, into, from_)


def reduce(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """REDUCE: terms that lie in runs one behind the other, on whole arrays."""
    name, kept, folded, length, size = words[2:7]
    letter = LETTER[size]
    sizes, terms = list(words[7 : 7 + kept]), [*words[7 + kept : 7 + kept + folded], length]
    q = 7 + kept + folded
    strides = words[q + 2 :]
    into = Operand(letter, frame.place(words[q]), (*strides[:kept], *[0] * len(terms)))
    from_ = Operand(
        letter, frame.place(words[q + 1]), (*strides[kept : 2 * kept], *strides[2 * kept : 2 * kept + folded], size)
    )
    if name < 0:
        how = Fold("fold_wide_f" if letter == "f" else "fold_add_d", "zero", letter)
    else:
        how = Fold(w.program.symbols[name], "first", letter)
    _put(w, how, sizes, terms, into, from_)


def total(w: Lowering, words: Sequence[int], frame: Frame) -> None:
    """TOTAL: rows over the lanes, as doubles."""
    size, rows, source, scaled, stride, target = words[2:8]
    into = Operand("d", frame.place(target), (8, 0))
    from_ = Operand(LETTER[size], frame.place(source), (stride * frame.scale(scaled), size))
    how = Fold("fold_wide_f" if size == 4 else "fold_add_d", "zero", "d", not frame.first)
    _put(w, how, [rows], [frame.lanes], into, from_)


def in_memory(w: Lowering, symbol: str, sizes: Sequence[int], operands: Sequence[Operand]) -> None:
    """Terms added to what is in memory, in order: loops through which the result stays where it is."""
    stays = [s == 0 and n > 1 for s, n in zip(operands[0].strides, sizes, strict=True)]
    order = [d for d, s in enumerate(stays) if not s], [d for d, s in enumerate(stays) if s]
    turned = [o._replace(strides=tuple(o.strides[d] for part in order for d in part)) for o in operands]
    kept, folded = ([sizes[d] for d in part] for part in order)
    sequential(w, Fold(symbol, "memory", operands[0].letter), Nest.of(kept, turned, folded))


def sequential(w: Lowering, how: Fold, nest: Nest) -> None:
    """A thread for every result."""
    made = written(sequence, how, len(nest.kept), len(nest.folded))
    w.launch(Launch(made, "dfbw", (w.words.put(nest.words()),), nest.results))


def _put(
    w: Lowering, how: Fold, kept: Sequence[int], folded: Sequence[int], into: Operand, from_: Operand, level: int = 0
) -> None:
    results, terms = math.prod(kept), math.prod(folded)
    if not results:
        return
    folded = folded or [1]
    if len(into.strides) == len(kept):
        into, from_ = (o._replace(strides=(*o.strides, 0)) for o in (into, from_))
    if terms < FEW_TERMS or results >= MANY_RESULTS or how.begin == "memory":
        sequential(w, how, Nest.of(kept, [into, from_], folded))
        return
    letter = primitive(how.symbol).result
    chunks = -(-terms // CHUNK)
    if chunks == 1:
        _tree(w, how, Nest.of(kept, [into, from_], folded), 1, 0)
        return
    size = SIZE[letter]
    steps: list[int] = []
    step = chunks * size
    for n in reversed(kept):
        steps.insert(0, step)
        step *= n
    begin = Address(w.layout.scratch(step, level))
    partial = Operand(letter, begin, (*steps, *[0] * len(folded)))
    _tree(w, how._replace(result=letter, added=False), Nest.of(kept, [partial, from_], folded), chunks, 1)
    joined = how._replace(symbol="fold_add_d") if how.symbol == "fold_wide_f" else how
    ends = into._replace(strides=(*into.strides[: len(kept)], 0))
    _put(w, joined, kept, [chunks], ends, Operand(letter, begin, (*steps, size)), level + 1)


def _tree(w: Lowering, how: Fold, nest: Nest, chunks: int, step: int) -> None:
    threads = SIMULATED_TREE if package().simulated else TREE
    made = written(tree, how, len(nest.kept), len(nest.folded), threads)
    at = w.words.put([*nest.words(), chunks, CHUNK, step])
    w.launch(Launch(made, "dfbw", (at,), nest.results * chunks, threads))
