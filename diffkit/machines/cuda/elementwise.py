"""A tape whose arrays are small as one kernel: a thread takes one point after the other, and every value stays in registers.

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
#: how an element of an input is read, by the letter of its place
_AS = {"d": "f64", "f": "f32", "b": "bool"}


def written(plan: Plan, uniform: Sequence[bool]) -> Source:
    """The kernel's source: kernel(count, inputs…, outputs…), all arrays flat. uniform: one value of an input serves all points."""
    source = Source(indent=1)
    registers: dict[int, Scalar] = {}
    spaces = {letter: Scalars(source, letter) for letter in "dfb"}
    names = [f"x{k}" for k in range(len(plan.inputs))] + [f"y{k}" for k in range(len(plan.outputs))]
    source.lines.append(f"def kernel({', '.join(['count', *names])}):")

    def read(k: int, place: Place, index: str) -> None:
        for r, at in enumerate(rows_of(place)):
            position = f"{index} * {place.rows} + {r}" if index and place.rows > 1 else index or str(r)
            value = (
                f"x{k}[{position}]"  # which may be of another dtype: an integer, a single where a double is declared
            )
            value = f"{_AS[place.letter]}({value})"
            registers[at] = Scalar(spaces[place.letter], source.assigned(value), place.letter)

    for value, place in plan.constants:
        space = spaces[place.letter]
        for x, at in zip(value.ravel().tolist(), rows_of(place), strict=True):
            registers[at] = Scalar(space, space.literal(x, place.letter), place.letter)
    for k, (place, same) in enumerate(zip(plan.inputs, uniform, strict=True)):
        if same:
            read(k, place, "")
    source.line("for i in range(cuda.grid(1), count, cuda.gridsize(1)):")
    with source.indented():
        for k, (place, same) in enumerate(zip(plan.inputs, uniform, strict=True)):
            if not same:
                read(k, place, "i")

        ends = [len(source.lines)]

        def apply(symbol: str, values: list[Scalar]) -> Scalar:
            primitive = by_symbol()[symbol]
            k = spaces[primitive.letter]
            if len(source.lines) >= ends[-1] + BLOCK_LINES:
                source.line("if count < 0:")  # it ends the block, and leaves no instruction
                with source.indented():
                    source.line("pass")
                ends.append(len(source.lines))
            return primitive.body(k, *(Scalar(k, v.text, v.kind) for v in values))  # type: ignore[return-value,arg-type]

        follow(plan, registers, apply)
        for k, place in enumerate(plan.outputs):
            for r, at in enumerate(rows_of(place)):
                position = f"i * {place.rows} + {r}" if place.rows > 1 else "i"
                source.line(f"y{k}[{position}] = {registers[at].text}")
    return source


def rows_of(place: Place) -> list[int]:
    return [place.at + r * SIZE[place.letter] for r in range(place.rows)]


def function(source: Source, package: Package) -> Callable[..., Any]:
    """The kernel as a Python function, not compiled."""
    names: dict[str, Any] = {**TYPES, **package.functions, "cuda": package.cuda}
    names.update({name: value for name, (_, value) in source.names.items()})
    exec(compile("\n".join(source.lines) + "\n", "<diffkit kernel>", "exec"), names)
    return names["kernel"]
