"""A tape whose arrays are small as one kernel: a thread takes a few points at a time, and every value stays in registers.

The source is written from the very plan that the cpu machine runs, with the bodies of its kernels (scalars.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..cpu.emit import by_symbol
from ..cpu.plan import SIZE, Place, Plan, follow
from .package import Package
from .scalars import TYPES, Scalar, Scalars, Source

#: lines of source that are compiled as one kernel, for each of which Numba takes some 2 ms; longer tapes are interpreted
LONGEST = 3000
#: lines of a basic block: Numba's time grows with the square of a block's length
BLOCK_LINES = 100
#: registers, of 32 bits, that the values of a thread may be expected to need where it takes several points at a time: so many
#: leave a multiprocessor sixteen warps; and lines that compile in two seconds or three
FEW_REGISTERS, FEW_LINES = 160, 800
#: how an element of an input is read, by the letter of its place
_AS = {"d": "f64", "f": "f32", "b": "bool"}


def written(plan: Plan, uniform: Sequence[bool], each: int | None = None) -> Source:
    """The kernel's source: kernel(count, inputs…, outputs…), all arrays flat.

    uniform: one value of an input serves all points. each: points that a thread takes at a time, all loaded before anything is
    computed, and every instruction for all of them in turn; by default as many as serve (points_each).
    """
    if each is None:
        source = written(plan, uniform, 1)
        each = points_each(plan, uniform, len(source.lines))
        return source if each == 1 else written(plan, uniform, each)
    source = Source(indent=1)
    registers: dict[int, list[Scalar]] = {}
    spaces = {letter: Scalars(source, letter) for letter in "dfb"}
    names = [f"x{k}" for k in range(len(plan.inputs))] + [f"y{k}" for k in range(len(plan.outputs))]
    source.lines.append(f"def kernel({', '.join(['count', *names])}):")

    def read(k: int, place: Place, points: Sequence[str]) -> None:
        for r, at in enumerate(rows_of(place)):
            # which may be of another dtype: an integer, a single where a double is declared
            loaded = [f"{_AS[place.letter]}(x{k}[{element(i, place, r)}])" for i in points]
            registers[at] = [Scalar(spaces[place.letter], source.assigned(v), place.letter) for v in loaded]

    for value, place in plan.constants:
        space = spaces[place.letter]
        for x, at in zip(value.ravel().tolist(), rows_of(place), strict=True):
            registers[at] = [Scalar(space, space.literal(x, place.letter), place.letter)] * each
    for k, (place, same) in enumerate(zip(plan.inputs, uniform, strict=True)):
        if same:
            read(k, place, [""])
            registers.update((at, registers[at] * each) for at in rows_of(place))
    # unsigned: an index that could be negative would be looked at, for every element, and counted from the end
    source.line("n, i0, step = u64(count), u64(cuda.grid(1)), u64(cuda.gridsize(1))")
    source.line("while i0 < n:")
    with source.indented():
        points = ["i0", *(f"l{p}" for p in range(1, each))]
        for p in range(1, each):
            source.line(f"i{p} = i{p - 1} + step")
            # beyond the last point the thread's first is computed, and stored, again
            source.line(f"l{p} = i{p} if i{p} < n else i0")
        for k, (place, same) in enumerate(zip(plan.inputs, uniform, strict=True)):
            if not same:
                read(k, place, points)

        ends = [len(source.lines)]

        def apply(symbol: str, values: list[list[Scalar]]) -> list[Scalar]:
            primitive = by_symbol()[symbol]
            k, made = spaces[primitive.letter], []
            for point in zip(*values, strict=True):
                if len(source.lines) >= ends[-1] + BLOCK_LINES:
                    source.line("if count < 0:")  # it ends the block, and leaves no instruction
                    with source.indented():
                        source.line("pass")
                    ends.append(len(source.lines))
                made.append(primitive.body(k, *(Scalar(k, v.text, v.kind) for v in point)))  # type: ignore[arg-type]
            return made  # type: ignore[return-value]

        follow(plan, registers, apply)
        for k, place in enumerate(plan.outputs):
            for r, at in enumerate(rows_of(place)):
                for i, result in zip(points, registers[at], strict=True):
                    source.line(f"y{k}[{element(i, place, r)}] = {result.text}")
        source.line(f"i0 = i{each - 1} + step")
    return source


def points_each(plan: Plan, uniform: Sequence[bool], lines: int) -> int:
    """Points that a thread takes at a time, of a kernel that has so many lines for one.

    Memory answers as fast as it can only if enough is asked for: a thread with eight bytes a point asks for four points. Others
    take two, which share what the constants of their functions cost, unless registers or compiling would cost more.
    """
    asked = sum(p.rows * SIZE[p.letter] for p, same in zip(plan.inputs, uniform, strict=True) if not same)
    registers = (plan.lane_bytes + 8 * plan.slots) // 4
    for each, most in ((4, 32), (2, 96)):
        if 0 < each * asked <= most and each * registers <= FEW_REGISTERS and each * lines <= FEW_LINES:
            return each
    return 1


def element(point: str, place: Place, row: int) -> str:
    """The index of a row of a point; no point: of an input that has the same value for all."""
    if not point:
        return str(row)
    return f"{point} * u64({place.rows}) + u64({row})" if place.rows > 1 else point


def rows_of(place: Place) -> list[int]:
    return [place.at + r * SIZE[place.letter] for r in range(place.rows)]


def function(source: Source, package: Package) -> Callable[..., Any]:
    """The kernel as a Python function, not compiled."""
    names: dict[str, Any] = {**TYPES, **package.functions, "cuda": package.cuda}
    names.update({name: value for name, (_, value) in source.names.items()})
    exec(compile("\n".join(source.lines) + "\n", "<diffkit kernel>", "exec"), names)
    return names["kernel"]
