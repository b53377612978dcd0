"""A graph made runnable: straight-line Python over balls, and the search for where a NaN came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from flint import arb

from .balls import PRIMITIVES, constant, relevant
from .graph import Graph, Term

#: functions that Python has an operator for
_INFIX = {"add": "{0} + {1}", "mul": "{0} * {1}", "neg": "-{0}", "inv": "1 / {0}"}


class Refusal(NamedTuple):
    """Why there is no value: an outcome and a reason, or "" where balls of this width do not decide."""

    outcome: str
    why: str
    #: True: a more precise ball cannot change it
    certain: bool


class Program:
    """Some terms of a graph as a function of the inputs. What depends on no input is computed once for each precision."""

    def __init__(self, graph: Graph, outputs: Sequence[Term]) -> None:
        self.graph, self.outputs = graph, [t.place for t in outputs]
        self._needed = self._reach()
        self._fixed = self._independent()
        self._names: dict[str, Any] = {}
        self._prelude = self._compile("prelude", [i for i in self._needed if i in self._fixed], self._used_by_varying())
        self._body = self._compile("body", [i for i in self._needed if i not in self._fixed], self.outputs)
        self._constants: dict[int, tuple[arb, ...]] = {}

    def _reach(self) -> list[int]:
        needed = bytearray(len(self.graph.rows))
        for o in self.outputs:
            needed[o] = 1
        for i in range(len(needed) - 1, -1, -1):
            if needed[i]:
                for a in self.graph.rows[i][2]:
                    needed[a] = 1
        return [i for i, n in enumerate(needed) if n]

    def _independent(self) -> set[int]:
        fixed: set[int] = set()
        for i in self._needed:
            name, _, operands = self.graph.rows[i]
            if name == "constant" or (name != "input" and all(a in fixed for a in operands)):
                fixed.add(i)
        return fixed

    def _used_by_varying(self) -> list[int]:
        rows = self.graph.rows
        used = {a for i in self._needed if i not in self._fixed for a in rows[i][2] if a in self._fixed}
        return sorted(used | (set(self.outputs) & self._fixed))

    def _compile(self, title: str, rows: list[int], results: list[int]) -> Any:
        """Source made from row numbers and names of our own table only."""
        lines = [f"def {title}(x, c):"]
        if title == "body" and (shared := self._used_by_varying()):
            lines.append(f"    {''.join(f't{i}, ' for i in shared)} = c")
        lines += [f"    t{i} = {self._line(i)}" for i in rows]
        lines.append(f"    return ({''.join(f't{i}, ' for i in results)})")
        scope: dict[str, Any] = self._names
        exec(compile("\n".join(lines), f"<truth {title}>", "exec"), scope)
        return scope[title]

    def _line(self, i: int) -> str:
        name, static, operands = self.graph.rows[i]
        if name == "input":
            return f"x[{static[0]}]"
        if name == "constant":
            self._names[f"k{i}"] = lambda: constant(static[0])
            return f"k{i}()"
        if name in _INFIX:
            return _INFIX[name].format(*(f"t{a}" for a in operands))
        function = f"f_{name.replace(' ', '_')}"
        self._names[function] = PRIMITIVES[name].function
        for k, s in enumerate(static):
            self._names[f"s{i}_{k}"] = s
        return f"{function}({', '.join([*(f's{i}_{k}' for k in range(len(static))), *(f't{a}' for a in operands)])})"

    def __call__(self, x: Sequence[arb], bits: int) -> tuple[arb, ...]:
        """The outputs; `bits` is the precision in force."""
        constants = self._constants.get(bits)
        if constants is None:
            constants = self._constants[bits] = self._prelude((), ())
        return self._body(x, constants)

    def refusal(self, output: int, x: Sequence[arb], describe: Any) -> Refusal:
        """Why output number `output` is not finite at `x`: the first function that gave NaN for finite operands."""
        rows, values = self.graph.rows, self._all(x)
        place = self.outputs[output]
        while True:
            name, static, operands = rows[place]
            if name in ("input", "constant"):
                return Refusal("nonfinite", f"a constant or argument is {values[place]}", True)
            balls = tuple(values[a] for a in operands)
            culprit = next((operands[k] for k in relevant(name, balls) if not values[operands[k]].is_finite()), None)
            if culprit is None:
                break
            place = culprit
        primitive = PRIMITIVES[name]
        why = primitive.refused(*static, *balls)
        if why and primitive.outcome == "kink":
            return Refusal(primitive.outcome, why, True)
        where = f"{name} at {', '.join(describe(b) for b in balls)}"
        return Refusal(primitive.outcome, f"{why or 'not decided'}: {where}", bool(why))

    def _all(self, x: Sequence[arb]) -> dict[int, arb]:
        values: dict[int, arb] = {}
        for i in self._needed:
            name, static, operands = self.graph.rows[i]
            if name == "input":
                values[i] = x[static[0]]
            elif name == "constant":
                values[i] = constant(static[0])
            else:
                values[i] = PRIMITIVES[name].function(*static, *(values[a] for a in operands))
        return values
