"""The protocol of engines, and the program that the three engines working on tapes make.

An engine turns a tape and the inputs to differentiate by into a `Program`. Run, a program gives the tape's outputs and
for every output and input a *block*, the derivative at each point: loop dims, then the output's core shape, then
the input's (a gradient is the block of a scalar output).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..errors import UnsupportedError
from ..expr.kind import WEAK, Kind
from ..machines import Machine
from ..machines.protocol import Executable, as_input
from ..ops import TABLE
from ..tape import Builder, Tape
from ..tape.lower import lower
from ..tape.templates import Ref
from .domain import reshaped, within_domain
from .rounding import rounding_bound

Blocks = list[list[np.ndarray]]


class Program(Protocol):
    """A derivative ready to be run."""

    engine: str
    #: the tape that is evaluated, once or (finite) many times
    tape: Tape
    #: how often the value is evaluated in one run
    evaluations: int
    #: measurements of how it was made ("swell", ...), for reports
    notes: dict[str, Any]

    def on(self, machine: Machine) -> Callable[..., tuple[list[np.ndarray], Blocks]]:
        """A callable (values, out=None) -> (outputs, blocks) on a machine."""
        ...

    def bars(self, machine: Machine, values: Sequence[Any]) -> Blocks:
        """An error bar for every entry of every block."""
        ...


class Engine(Protocol):
    """A way of differentiating."""

    name: str

    def program(self, tape: Tape, wrt: Sequence[int]) -> Program:
        """The program for all outputs of `tape` by the inputs at positions `wrt`.

        Raises UnsupportedError (with the reason) or ExceededError (with how far it got).
        """
        ...


#: elements of the largest value that a pass over many directions computes at once
PASS_ELEMENTS = 4_000_000


def needs_derivative(kind: Kind) -> bool:
    """False for results without a tangent (conditions, integers); raises where an operation has no rule."""
    if kind.dtype in ("bool", "int64"):
        return False
    if not kind.op.differentiable:
        raise UnsupportedError(
            f"the operation {kind.op.name!r} has no derivative rule: give it partials=, or jvp= and vjp="
        )
    return True


def differentiable_tape(tape: Tape) -> Tape:
    """Operations that state no derivative but are written with others are replaced by those."""
    return lower(tape, lambda kind: kind.op.result != "bool" and not kind.op.differentiable)


def float_dtype(kind: Kind) -> str:
    return "float64" if kind.dtype == WEAK else kind.dtype


def filled(builder: Builder, value: float, shape: tuple[int, ...], dtype: str) -> int:
    """A constant of any shape."""
    number = builder.number(value, dtype)
    return number if shape == () else builder.emit(TABLE["broadcast_to"], (("shape", shape),), (number,))


def scaled(builder: Builder, x: int, partial: Ref | float) -> int:
    """A tangent or adjoint times a partial, which may be a plain number."""
    if isinstance(partial, Ref):
        return builder.emit(TABLE["multiply"], (), (x, partial.index))
    if partial == 1:
        return x
    if partial == -1:
        return builder.emit(TABLE["negative"], (), (x,))
    return builder.emit(TABLE["multiply"], (), (x, builder.number(partial)))


def as_dtype(builder: Builder, i: int, dtype: str) -> int:
    """A derivative has its input's dtype."""
    return i if builder.kinds[i].dtype == dtype else builder.cast(i, dtype)


@dataclass(eq=False)
class TapeProgram:
    """Outputs and blocks from one tape, evaluated once, with the seeds (if any) as one more loop dim."""

    engine: str
    tape: Tape
    #: core shapes of the outputs, and of the inputs differentiated by
    out_shapes: list[tuple[int, ...]]
    in_shapes: list[tuple[int, ...]]
    #: blocks: the tape's further outputs are the blocks, output by output
    #: columns: they are tangents, output by output and direction by direction (all elements of all inputs)
    #: seeded columns / seeded rows: one direction a pass, given by seed inputs along a loop dim
    layout: str
    #: dtypes of the inputs differentiated by, which columns take on; empty: they have them
    in_dtypes: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 1

    def on(self, machine: Machine) -> Callable[..., tuple[list[np.ndarray], Blocks]]:
        executable = machine.compile(within_domain(self))

        def run(values: Sequence[Any], out: Sequence[np.ndarray] | None = None) -> tuple[list[np.ndarray], Blocks]:
            if self.layout == "blocks":
                flat = executable(values, out)
                return self.assemble(flat, flat[0].ndim - len(self.out_shapes[0]) if flat else 0)
            loop = self._loop(values)
            outputs, blocks = self.assemble(self._passes(executable, values, loop), len(loop))
            if out is not None:
                for buffer, result in zip(out, [*outputs, *(b for row in blocks for b in row)], strict=True):
                    buffer[...] = result
            return outputs, blocks

        run.register_bytes = executable.register_bytes  # type: ignore[attr-defined]
        run.executable = executable  # type: ignore[attr-defined]
        return run

    def _loop(self, values: Sequence[Any]) -> tuple[int, ...]:
        kinds = [self.tape.kinds[i] for i in self.tape.inputs]
        arrays = (as_input(v, k.kwargs["name"], k.shape, k.dtype) for v, k in zip(values, kinds, strict=False))
        return np.broadcast_shapes(*(a.shape[: a.ndim - len(k.shape)] for a, k in zip(arrays, kinds, strict=False)))

    def _passes(self, executable: Executable, values: Sequence[Any], loop: tuple[int, ...]) -> list[np.ndarray]:
        """The executable's results, in as many passes over some of the directions each as memory asks for."""
        directions = self.directions
        most = max(1, PASS_ELEMENTS // max(1, self._largest * math.prod(loop)))
        run = lambda first, last: executable([*values, *self.seeds(len(loop), first, last)])
        if directions <= most:
            return run(0, directions)
        found = run(0, most)
        count = len(self.out_shapes)
        whole = [np.empty((directions, *f.shape[1:]), f.dtype) for f in found[count:]]
        for first in range(0, directions, most):
            last = min(first + most, directions)
            for w, part in zip(whole, (run(first, last) if first else found)[count:], strict=True):
                w[first:last] = part
        return [*found[:count], *whole]

    @cached_property
    def _largest(self) -> int:
        """Elements of the largest value, at one point."""
        return max((math.prod(k.shape) for k in set(self.tape.kinds)), default=1)

    @property
    def seeded(self) -> list[tuple[int, ...]]:
        """Core shapes of the seed inputs."""
        return {"seeded columns": self.in_shapes, "seeded rows": self.out_shapes}.get(self.layout, [])

    @property
    def directions(self) -> int:
        """How many seeds there are: one for each element of what is seeded."""
        return sum(math.prod(s) for s in self.seeded)

    def seeds(self, rank: int = 0, first: int = 0, last: int | None = None) -> list[np.ndarray]:
        """Unit seeds as (directions, 1, …, 1, *core): the direction is the first loop dim."""
        last = self.directions if last is None else last
        start, found = 0, []
        for shape in self.seeded:
            n = math.prod(shape)
            seed = np.zeros((last - first, n))
            mine = range(max(first, start), min(last, start + n))
            seed[[k - first for k in mine], [k - start for k in mine]] = 1
            found.append(seed.reshape(last - first, *(1,) * rank, *shape))
            start += n
        return found

    def assemble(self, flat: list[np.ndarray], rank: int) -> tuple[list[np.ndarray], Blocks]:
        """(outputs, blocks) from what the executable gave, with so many loop dims."""
        count = len(self.out_shapes)
        outputs, rest = flat[:count], flat[count:]
        if self.layout.startswith("seeded"):
            outputs = [o[0] for o in outputs] if self.directions else [np.empty(o.shape[1:]) for o in outputs]
        loop = outputs[0].shape[:rank] if outputs else ()
        return outputs, getattr(self, "_" + self.layout.replace(" ", "_"))(rest, loop)

    def _blocks(self, rest: list[np.ndarray], loop: tuple[int, ...]) -> Blocks:
        pieces = iter(rest)
        return [[next(pieces).reshape((*loop, *o, *i)) for i in self.in_shapes] for o in self.out_shapes]

    def _columns(self, rest: list[np.ndarray], loop: tuple[int, ...]) -> Blocks:
        pieces, blocks = iter(rest), []
        for o in self.out_shapes:
            row = []
            for i, dtype in zip(self.in_shapes, self._dtypes(), strict=True):
                columns = [next(pieces) for _ in range(math.prod(i))]
                stacked = (
                    columns[0][..., None]
                    if len(columns) == 1
                    else np.stack(columns, axis=-1)
                    if columns
                    else np.empty((*loop, *o, 0), dtype)
                )
                row.append(stacked.reshape((*loop, *o, *i)))
            blocks.append(row)
        return blocks

    def _dtypes(self) -> list[str]:
        return self.in_dtypes or ["float64"] * len(self.in_shapes)

    def _seeded_columns(self, rest: list[np.ndarray], loop: tuple[int, ...]) -> Blocks:
        blocks = []
        for tangents, o in zip(rest, self.out_shapes, strict=True):
            start, row = 0, []
            for i, dtype in zip(self.in_shapes, self._dtypes(), strict=True):
                n = math.prod(i)
                columns = np.moveaxis(tangents[start : start + n], 0, -1).reshape((*loop, *o, *i))
                row.append(columns.astype(dtype, copy=False))
                start += n
            blocks.append(row)
        return blocks

    def _seeded_rows(self, rest: list[np.ndarray], loop: tuple[int, ...]) -> Blocks:
        blocks, start = [], 0
        for o in self.out_shapes:
            m = math.prod(o)
            blocks.append(
                [
                    np.moveaxis(a[start : start + m], 0, len(loop)).reshape((*loop, *o, *i))
                    for a, i in zip(rest, self.in_shapes, strict=True)
                ]
            )
            start += m
        return blocks

    def bars(self, machine: Machine, values: Sequence[Any]) -> Blocks:
        """First-order rounding bound of this very tape (see rounding.py)."""
        return self.bounds(values)[0]

    def bounds(self, values: Sequence[Any]) -> tuple[Blocks, Blocks]:
        """(bars, Σ|∂g/∂x|·|x| over the inputs) for every entry g of every block."""
        rank = len(self._loop(values))
        found = rounding_bound(self.tape, [*values, *self.seeds(rank)], skip=len(self.out_shapes))
        outputs = [np.empty((*found.loop, *o)) for o in self.out_shapes]
        bounds = replace(self, in_dtypes=[])  # which are doubles whatever they bound
        return tuple(bounds.assemble([*outputs, *entries], rank)[1] for entries in (found.entries, found.from_inputs))  # type: ignore[return-value]


def derivative_tape(program: Program) -> Tape:
    """A tape whose outputs are the program's outputs and blocks (of output core shape + input core shape)."""
    if not isinstance(program, TapeProgram) or program.layout.startswith("seeded"):
        raise UnsupportedError(
            f"the {program.engine} engine has no tape of this derivative (too many directions, or none)"
        )
    builder = Builder.copy_of(program.tape)
    count, flat = len(program.out_shapes), iter(program.tape.outputs)
    outputs = [next(flat) for _ in range(count)]
    for o in program.out_shapes:
        for i in program.in_shapes:
            if program.layout == "blocks":
                outputs.append(reshaped(builder, next(flat), (*o, *i)))
            else:
                columns = tuple(next(flat) for _ in range(math.prod(i)))
                if not columns:
                    outputs.append(filled(builder, 0.0, (*o, *i), "float64"))
                    continue
                stacked = columns[0] if i == () else builder.emit(TABLE["stack"], (("axis", -1),), columns)
                outputs.append(reshaped(builder, stacked, (*o, *i)))
    return builder.finish(program.tape.inputs, outputs, program.tape.labels)


def gradient_only(program: Program) -> Tape:
    """The blocks alone as a tape's outputs: what a second differentiation starts from."""
    tape = derivative_tape(program)
    return Builder.copy_of(tape).finish(tape.inputs, tape.outputs[len(program.out_shapes) :])  # type: ignore[attr-defined]


def shapes_of(tape: Tape, wrt: Sequence[int]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Core shapes of the outputs, and of the inputs at positions `wrt`."""
    return [tape.kinds[o].shape for o in tape.outputs], [tape.kinds[tape.inputs[w]].shape for w in wrt]
