"""Tapes of compressed derivatives: one direction a colour, which is the sum of the colour's columns (or rows).

A few directions are written out on one tape, with their seeds known (known.py); where a value depends on no column of a colour,
it has no tangent in that direction. More directions are a loop dim, some at a time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engines.engine import as_dtype, float_dtype
from ..engines.forward import push, tangent_tape
from ..engines.reverse import Sweep, adjoint_tape
from ..expr.collector import paused
from ..machines import Machine
from ..tape import Builder, Tape
from .known import UID, with_known
from .pattern import Dependence
from .sources import Sources

#: so many directions are written out at most: tangents, and backward sweeps
TANGENTS, SWEEPS = 32, 16
#: so many are run at once where they are a loop dim
CHUNK = 32

#: where an output of the tape belongs: its direction, and its part of the direction's elements
Slot = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Directions:
    """A tape whose outputs are `values` values, then the parts of `count` directions of `length` elements each."""

    tape: Tape
    values: int
    count: int
    length: int
    dtype: np.dtype
    #: written out: what the tape takes after its own inputs, and where each further output belongs
    known: list[np.ndarray] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    #: a loop dim: the colour of every element that is seeded; None where written out
    seeded: np.ndarray | None = None

    def on(self, machine: Machine) -> Callable[..., Any]:
        """A callable (values, use): runs the tape and answers with use(values, directions), arrays that are used again."""
        executable = machine.compile(self.tape)
        kinds = [self.tape.kinds[o] for o in self.tape.outputs]
        free: list[tuple[list[np.ndarray], np.ndarray]] = []  # a list's append and pop are safe between threads

        def run(values: Sequence[Any], use: Callable[[list[np.ndarray], np.ndarray], Any]) -> Any:
            if free:
                outputs, directions = free.pop()
            else:  # parts that no output belongs to stay zero
                outputs = [np.empty(k.shape, float_dtype(k)) for k in kinds[: self.values]]
                directions = np.zeros((self.count, self.length), self.dtype)
            if self.seeded is None:
                parts = [
                    directions[d, start:end].reshape(k.shape)
                    for (d, start, end), k in zip(self.slots, kinds[self.values :], strict=True)
                ]
                executable([*values, *self.known], [*outputs, *parts])
            else:
                outputs = self._in_chunks(executable, values, directions)
            result = use(outputs, directions)
            free.append((outputs, directions))
            return result

        return run

    def _in_chunks(self, executable: Any, values: Sequence[Any], directions: np.ndarray) -> list[np.ndarray]:
        outputs: list[np.ndarray] = []
        for start in range(0, self.count, CHUNK):
            end = min(start + CHUNK, self.count)
            results = executable([*values, *self._seeds(len(values), start, end)])
            outputs = [r[0] for r in results[: self.values]]
            parts = [r.reshape(end - start, -1) for r in results[self.values :]]
            directions[start:end] = np.concatenate(parts, axis=1)
        return outputs

    def _seeds(self, given: int, start: int, end: int) -> list[np.ndarray]:
        kinds = [self.tape.kinds[i] for i in self.tape.inputs[given:]]
        units = self.seeded == np.arange(start, end, dtype=np.int32)[:, None]
        ends = list(itertools.accumulate(math.prod(k.shape) for k in kinds))
        return [
            part.astype(k.dtype).reshape(end - start, *k.shape)
            for part, k in zip(np.split(units, ends[:-1], axis=1), kinds, strict=True)
        ]


def parts_of(tape: Tape, values: Sequence[int]) -> list[tuple[int, int]]:
    """Where each value's elements begin and end among those of all of them."""
    ends = list(itertools.accumulate(math.prod(tape.kinds[v].shape) for v in values))
    return list(zip([0, *ends], ends, strict=False))


def tangent_directions(
    sources: Sources, tape: Tape, rows: Sequence[Dependence], colours: np.ndarray, count: int, dtype: np.dtype
) -> Directions:
    """The Jacobian of `tape`, made from the sources' tape, times the sum of each colour's columns.

    rows: what each value of the tape depends on (pattern.py).
    """
    wrt = sources.positions
    outputs = parts_of(tape, tape.outputs)
    length = outputs[-1][1] if outputs else 0
    with paused():
        if count > TANGENTS:
            made = sources.joined(tangent_tape(tape, wrt))
            return Directions(made, len(tape.outputs), count, length, dtype, seeded=colours)
        builder = Builder.copy_of(tape)
        seeds, arrays = _seeds(builder, [tape.inputs[w] for w in wrt], colours, count)
        tangents = push(builder, len(tape.kinds), seeds, tape.outputs, _reached(rows, colours, count))
        parts, slots = [], []
        for row, (start, end) in zip(tangents, outputs, strict=True):
            for d, t in enumerate(row):
                if t is not None:
                    parts.append(as_dtype(builder, t, dtype.name))
                    slots.append((d, start, end))
        made = builder.finish((*tape.inputs, *arrays), (*tape.outputs, *parts))
        made, known = with_known(sources.joined(made), list(arrays.values()))
        return Directions(made, len(tape.outputs), count, length, dtype, known, slots)


def _seeds(
    builder: Builder, seeded: Sequence[int], colours: np.ndarray, count: int
) -> tuple[dict[int, list[int | None]], dict[int, np.ndarray]]:
    """For each seeded value one seed a direction, None where all its elements are of other colours; and the seeds' arrays."""
    seeds: dict[int, list[int | None]] = {}
    arrays: dict[int, np.ndarray] = {}
    start = 0
    for i in seeded:
        kind = builder.kinds[i]
        mine = colours[start : start + math.prod(kind.shape)].reshape(kind.shape)
        start += mine.size
        directions: list[int | None] = []
        for d in range(count):
            unit = mine == d
            if unit.any():
                directions.append(builder.input(f"seed{len(arrays)}", kind.shape, float_dtype(kind), UID))
                arrays[directions[-1]] = unit.astype(float_dtype(kind))  # type: ignore[index]
            else:
                directions.append(None)
        seeds[i] = directions
    return seeds, arrays


def _reached(rows: Sequence[Dependence], colours: np.ndarray, count: int) -> Callable[[int], Sequence[bool]]:
    """Which directions can move a value, as the pattern has it."""
    found: dict[int, np.ndarray] = {id(None): np.zeros(count, bool)}

    def reached(i: int) -> np.ndarray:
        depends = rows[i]
        if id(depends) not in found:
            assert depends is not None
            # of a column that no output depends on the colour is -1
            found[id(depends)] = np.bincount(colours[depends.index] + 1, minlength=count + 1)[1:] > 0
        return found[id(depends)]

    return reached  # type: ignore[return-value]


def adjoint_directions(sources: Sources, colours: np.ndarray, count: int, dtype: np.dtype) -> Directions:
    """The sum of each colour's rows of the Jacobian of the sources' tape."""
    tape, wrt = sources.tape, sources.positions
    inputs = [tape.inputs[w] for w in wrt]
    places = parts_of(tape, inputs)
    length = places[-1][1] if places else 0
    if count > SWEEPS:
        made = sources.joined(adjoint_tape(tape, wrt))
        return Directions(made, len(tape.outputs), count, length, dtype, seeded=colours)
    with paused():
        builder = Builder.copy_of(tape)
        sweep = Sweep(builder, len(tape.kinds), inputs)
        seeds, arrays = _seeds(builder, tape.outputs, colours, count)
        parts, slots = [], []
        for d in range(count):
            sweep.restart()
            for o in tape.outputs:
                seed = seeds[o][d]
                if seed is not None:
                    sweep.seed(o, seed)
            sweep.run()
            for i, (start, end) in zip(inputs, places, strict=True):
                if i in sweep.adjoint:
                    parts.append(as_dtype(builder, sweep.result(i), dtype.name))
                    slots.append((d, start, end))
        made = builder.finish((*tape.inputs, *arrays), (*tape.outputs, *parts))
        made, known = with_known(sources.joined(made), list(arrays.values()))
        return Directions(made, len(tape.outputs), count, length, dtype, known, slots)
