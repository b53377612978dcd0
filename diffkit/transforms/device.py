"""Derivatives of arrays that lie on a device: what they look like to a trace, and results that stay where they are.

What becomes of a program's results on the host through NumPy (columns put side by side, seeds' axes moved, sums over loop dims), is
traced for those on a device: a tape, which its machine runs there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import optree

from ..engines import Program
from ..engines.engine import TapeProgram
from ..expr.collector import paused
from ..expr.node import variable
from ..expr.trace import flatten
from ..machines import machine as find_machine
from ..machines.resident import is_on_device, resident
from ..tape import record

#: elements of the largest value that a pass over many directions computes at once
PASS_ELEMENTS = 1 << 27


def example(value: Any) -> Any:
    """A value in the place of one that lies on a device: of its shape and dtype, and without memory. Anything else as it is."""
    if not is_on_device(value):
        return value
    array = resident(value)
    assert array is not None
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)


def examples(args: tuple) -> tuple:
    """Nested arguments as a trace may look at them."""
    leaves, structure = flatten(args)
    if not any(map(is_on_device, leaves)):
        return args
    return optree.tree_unflatten(structure, map(example, leaves))  # type: ignore[return-value]


def shape_of(value: Any) -> tuple[int, ...]:
    return np.shape(example(value))


def fetched(machine: Any, tree: Any) -> Any:
    """Nested arguments of a machine that works on a device, all of them on the host."""
    leaves, structure = flatten(tree)
    if not _has_device(machine) or not any(map(is_on_device, leaves)):
        return tree
    from ..machines.cuda.transfer import fetched as of_device

    return optree.tree_unflatten(structure, map(of_device, leaves))


def _has_device(machine: Any) -> bool:
    return getattr(machine, "name", machine) == "cuda"


def with_device(program: Program, run: Callable[..., Any], machine: Any) -> Callable[..., Any]:
    """A program on a machine; with one that has a device, for arrays that lie there as well, as its results then do."""
    if not _has_device(machine):
        return run

    def run_either(values: Sequence[Any], out: Sequence[Any] | None = None) -> tuple[list[Any], list[list[Any]]]:
        if not any(map(is_on_device, [*values, *(out or ())])):
            return run(values, out)
        if isinstance(program, TapeProgram) and (program.directions or not program.seeded):
            flat = _run_there(program, run.executable, machine, values, out)  # type: ignore[attr-defined]
        else:
            flat = _run_here(run, machine, values, out)
        count, width = len(program.out_shapes), len(program.in_shapes)  # type: ignore[attr-defined]
        return flat[:count], [flat[count + k * width : count + (k + 1) * width] for k in range(count)]

    run_either.register_bytes = getattr(run, "register_bytes", 0)  # type: ignore[attr-defined]
    return run_either


def _run_there(
    program: TapeProgram, executable: Any, machine: Any, values: Sequence[Any], out: Sequence[Any] | None
) -> list[Any]:
    """Outputs, then blocks."""
    if program.layout == "blocks":
        flat = executable(values, out)
        if out is not None:
            return list(flat)
        rank = len(flat[0].shape) - len(program.out_shapes[0]) if flat else 0
        shapes = [(*o, *i) for o in program.out_shapes for i in program.in_shapes]
        count = len(program.out_shapes)
        return [*flat[:count], *(_shaped(r, rank, s) for r, s in zip(flat[count:], shapes, strict=True))]
    kinds = [program.tape.kinds[i] for i in program.tape.inputs[: len(values)]]
    loops = [shape_of(v)[: len(shape_of(v)) - len(k.shape)] for v, k in zip(values, kinds, strict=True)]
    loop = np.broadcast_shapes(*loops)
    largest = max((math.prod(k.shape) for k in set(program.tape.kinds)), default=1)
    most = max(1, PASS_ELEMENTS // max(1, largest * math.prod(loop)))
    parts: list[Any] = []
    for first in range(0, max(1, program.directions), most):
        last = min(first + most, program.directions)
        parts += executable([*values, *program.seeds(len(loop), first, last)])
    return apply(machine, Assembled(program, len(loop), len(program.tape.outputs)), *parts, out=out)


def _shaped(block: Any, rank: int, core: tuple[int, ...]) -> Any:
    shape = (*tuple(block.shape)[:rank], *core)
    return block if tuple(block.shape) == shape else block.reshape(shape)


def _run_here(run: Callable[..., Any], machine: Any, values: Sequence[Any], out: Sequence[Any] | None) -> list[Any]:
    """As on the host, with its results moved: for what decides as it goes (finite's steps)."""
    outputs, blocks = run(fetched(machine, list(values)), None)
    flat = [np.asarray(r) for r in (*outputs, *(b for row in blocks for b in row))]
    if out is None:
        from ..machines.cuda.transfer import placed

        return [placed(r) for r in flat]
    return [r if b is None else apply(machine, _same, r, out=[b])[0] for r, b in zip(flat, out, strict=True)]


# ---- functions of results -------------------------------------------------------------------------------------------
def apply(machine: Any, function: Callable[..., Any], *arrays: Any, out: Sequence[Any] | None = None) -> list[Any]:
    """A function written against NumPy's names, of whole arrays, as a tape on the machine; it gives a list of them.

    function: equal ones of arrays of the same shapes and dtypes share what is compiled.
    """
    kinds = tuple((a.shape, a.dtype.name) for a in map(example, arrays))
    return list(_executable(machine, function, kinds)(arrays, out))


@lru_cache(maxsize=256)
def _executable(machine: Any, function: Callable[..., Any], kinds: tuple[tuple[tuple[int, ...], str], ...]) -> Any:
    inputs = [variable(f"x{k}", shape, dtype) for k, (shape, dtype) in enumerate(kinds)]
    with paused():
        outputs = function(*inputs)
    return find_machine(machine).compile(record(outputs, inputs))


def _same(x: Any) -> list[Any]:
    return [x]


@dataclass(frozen=True)
class Assembled:
    """A program's outputs and blocks from its tape's results, one pass after the other, of so many results each."""

    program: TapeProgram
    rank: int
    width: int

    def __call__(self, *parts: Any) -> list[Any]:
        count = len(self.program.out_shapes)
        passes = [parts[k : k + self.width] for k in range(0, len(parts), self.width)]
        whole = [
            p[0] if len(passes) == 1 else np.concatenate(p) for p in zip(*(p[count:] for p in passes), strict=True)
        ]
        outputs, blocks = self.program.assemble([*passes[0][:count], *whole], self.rank)
        return [*outputs, *(b for row in blocks for b in row)]


@dataclass(frozen=True)
class SummedTo:
    """Summed over the leading axes, and then over those of `stretched`, which stay; dtype: that the sums are made in."""

    leading: int
    stretched: tuple[int, ...]
    dtype: str

    def __call__(self, x: Any) -> list[Any]:
        total = x.astype(self.dtype)
        total = np.sum(total, axis=tuple(range(self.leading))) if self.leading else total
        total = np.sum(total, axis=self.stretched, keepdims=True) if self.stretched else total
        return [total.astype(x.dtype)]


@dataclass(frozen=True)
class First:
    """The first along the first axis."""

    def __call__(self, x: Any) -> list[Any]:
        return [x[0]]


@dataclass(frozen=True)
class Placed:
    """The first axis, to be of length n (there already if `on`), in another place."""

    on: bool
    axis: int
    n: int

    def __call__(self, x: Any) -> list[Any]:
        return [np.moveaxis(x if self.on else np.broadcast_to(x, (self.n, *x.shape)), 0, self.axis)]
