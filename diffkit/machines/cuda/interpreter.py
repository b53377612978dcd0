"""Tapes too long to be compiled: an interpreter on the device, over registers in its memory.

Its kernel has a branch for each primitive that the tape uses, with the very body that a compiled tape has; all threads take the
same branch at the same time. Thread t's registers lie at t, t + threads, …, so that neighbours read neighbouring words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cpu.emit import by_symbol
from ..cpu.plan import NUMPY, Plan, follow
from .scalars import Scalar, Scalars, Source

#: an instruction: operation, destination, three operands (registers by number; of a load: an element; of a constant: its number)
COLUMNS = 5


@dataclass
class Interpreted:
    """A plan as code for the device. letters "d", "f", "b": registers a point, and constants, of each."""

    source: Source
    code: np.ndarray
    registers: dict[str, int]
    constants: dict[str, np.ndarray]

    @property
    def bytes_each(self) -> int:
        """Of all registers of a point."""
        return sum(np.dtype(NUMPY[t]).itemsize * n for t, n in self.registers.items())


def interpreted(plan: Plan, uniform: Sequence[bool]) -> Interpreted:
    """uniform: one value of an input serves all points."""
    trace = _Trace(plan)
    operations: dict[tuple[str, int | str], int] = {}
    code, used = trace.allocated(operations)
    constants: dict[str, np.ndarray] = {}
    for t in "dfb":
        constants[t] = np.array([x for x, letter in trace.constants if letter == t] or [0], NUMPY[t])
    table: np.ndarray = np.array(code, np.int32).reshape(-1, COLUMNS)
    return Interpreted(_written(plan, uniform, operations), table, {t: max(1, n) for t, n in used.items()}, constants)


class _Trace:
    """The plan, row by row, on values that are numbered."""

    def __init__(self, plan: Plan) -> None:
        from .elementwise import rows_of

        self.plan = plan
        self.letters: list[str] = []
        #: (operation, operands) of each value; the operation of an input or a constant is ("load", number) or ("constant", letter)
        self.steps: list[tuple[tuple[str, int | str], list[int]]] = []
        self.constants: list[tuple[float, str]] = []
        registers: dict[int, int] = {}
        counts = dict.fromkeys("dfb", 0)
        for value, place in plan.constants:
            for x, at in zip(value.ravel().tolist(), rows_of(place), strict=True):
                registers[at] = self._add(("constant", place.letter), [counts[place.letter]], place.letter)
                self.constants.append((x, place.letter))
                counts[place.letter] += 1
        for k, place in enumerate(plan.inputs):
            for r, at in enumerate(rows_of(place)):
                registers[at] = self._add(("load", k), [r], place.letter)

        def apply(symbol: str, values: list[int]) -> int:
            return self._add(("call", symbol), values, by_symbol()[symbol].result)

        follow(plan, registers, apply)
        self.outputs = [
            (k, r, registers[at]) for k, place in enumerate(plan.outputs) for r, at in enumerate(rows_of(place))
        ]

    def _add(self, operation: tuple[str, int | str], operands: list[int], letter: str) -> int:
        self.steps.append((operation, operands))
        self.letters.append(letter)
        return len(self.steps) - 1

    def allocated(self, operations: dict[tuple[str, int | str], int]) -> tuple[list[tuple[int, ...]], dict[str, int]]:
        """(code, registers of each letter that it needs); `operations` are numbered as they come up.

        What is loaded is loaded before its first use, what is given is stored as soon as it is there.
        """
        last: dict[int, int] = {}
        for i, (operation, operands) in enumerate(self.steps):
            if operation[0] == "call":
                last.update(dict.fromkeys(operands, i))
        stores: dict[int, list[tuple[int, int]]] = {}
        for k, r, value in self.outputs:
            stores.setdefault(value, []).append((k, r))
        code: list[tuple[int, ...]] = []
        free: dict[str, list[int]] = {t: [] for t in "dfb"}
        used = dict.fromkeys("dfb", 0)
        held: dict[int, int] = {}

        def number(operation: tuple[str, int | str]) -> int:
            return operations.setdefault(operation, len(operations))

        def place(value: int) -> int:
            letter = self.letters[value]
            if free[letter]:
                held[value] = free[letter].pop()
            else:
                held[value] = used[letter]
                used[letter] += 1
            return held[value]

        def give(value: int) -> None:
            for k, r in stores.get(value, ()):
                code.append((number(("store", k)), r, held[value], 0, 0))

        def there(value: int) -> int:
            if value not in held:
                operation, operands = self.steps[value]
                code.append((number(operation), place(value), *operands, 0, 0))
                give(value)
            return held[value]

        for i, (operation, operands) in enumerate(self.steps):
            if operation[0] != "call":
                if i not in last and i in stores:  # an output that is an input or a constant
                    free[self.letters[i]].append(there(i))
                continue
            if i not in last and i not in stores:
                continue
            read = [there(v) for v in operands]
            for v in set(operands):
                if last[v] == i:
                    free[self.letters[v]].append(held[v])
            code.append((number(operation), place(i), *(*read, 0, 0, 0)[:3]))
            give(i)
            if i not in last:
                free[self.letters[i]].append(held[i])
        return code, used


def _written(plan: Plan, uniform: Sequence[bool], operations: dict[tuple[str, int | str], int]) -> Source:
    """The kernel's source: kernel(count, inputs…, outputs…, code, registers, constants)."""
    names = [f"x{k}" for k in range(len(plan.inputs))] + [f"y{k}" for k in range(len(plan.outputs))]
    source = Source(indent=1)
    source.lines.append(f"def kernel(count, {', '.join(names)}, code, rd, rf, rb, cd, cf, cb):")
    # unsigned: an index that could be negative would be looked at, for every element, and counted from the end
    source.line("n, t, threads = u64(count), u64(cuda.grid(1)), u64(cuda.gridsize(1))")
    source.line("i = t")
    source.line("while i < n:")
    with source.indented():
        source.line("for p in range(code.shape[0]):")
        with source.indented():
            source.line("op = code[p, 0]")
            source.line("to, a, b, c = u64(code[p, 1]), u64(code[p, 2]), u64(code[p, 3]), u64(code[p, 4])")
            for n, operation in enumerate(operations):
                source.line(f"{'if' if n == 0 else 'elif'} op == {n}:")
                with source.indented():
                    _branch(source, plan, uniform, *operation)
        source.line("i += threads")
    return source


def _branch(source: Source, plan: Plan, uniform: Sequence[bool], what: str, which: int | str) -> None:
    register = lambda letter, number: f"r{letter}[{number} * threads + t]"
    if what == "constant":
        source.line(f"{register(str(which), 'to')} = c{which}[a]")
    elif what == "load":
        place = plan.inputs[int(which)]
        position = "a" if uniform[int(which)] else f"i * u64({place.rows}) + a"
        source.line(f"{register(place.letter, 'to')} = x{which}[{position}]")
    elif what == "store":
        place = plan.outputs[int(which)]
        source.line(f"y{which}[i * u64({place.rows}) + to] = {register(place.letter, 'a')}")
    else:
        primitive = by_symbol()[str(which)]
        k = Scalars(source, primitive.letter)
        operands = [
            Scalar(k, source.assigned(register(letter, name)), letter)
            for letter, name in zip(primitive.operands, "abc", strict=False)
        ]
        result = primitive.body(k, *operands)  # type: ignore[arg-type]
        source.line(f"{register(primitive.result, 'to')} = {result.text}")  # type: ignore[attr-defined]
