"""A rule of updating one array, written once: it runs as a tape on any machine, and prints itself.

A rule is a function of a `Scope`. It reads `x` (the parameter), `g` (its gradient), `t` (the number of this update, from 1), `lr`,
the numbers among the options and what the optimiser remembers, all by name, and assigns what is new. Called with expressions it
gives the outputs of a tape; called with `Written` it gives the lines of its formula.

What depends on numbers alone (1 - beta1**t) is the same for all elements: it is computed once an update, in float64 also
where the parameters are float32, and a division by it becomes a product with its reciprocal. So the tape's own
work is what each element needs, in one pass over parameters, gradients and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..expr.functions import RULES
from ..expr.kind import Kind, constant_value
from ..expr.node import Expr, topological, variable
from ..machines import machine as find_machine
from ..machines.protocol import Executable
from ..ops import CONSTANT, VARIABLE
from ..tape import Tape, expressions, record

#: names that are arrays in every rule
PARAMETER, GRADIENT = "x", "g"
Rule = Callable[["Scope"], None]
#: how a norm over a whole array is written; the array has one axis in a formula
_OVER_ALL = ", axis=(-1,), keepdims=False"


class Scope:
    """The names that a rule reads and assigns."""

    def __init__(self, values: Mapping[str, Expr], on: frozenset[str]) -> None:
        self.__dict__["values"], self.__dict__["on"] = dict(values), on

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.values[name] = value

    def has(self, option: str) -> bool:
        """Whether an option is on: true, or not zero. Rules branch on nothing else, so one tape serves all its values."""
        return option in self.on


class Written(Scope):
    """Every assignment becomes a line, and the name stands for itself afterwards."""

    def __init__(self, values: Mapping[str, Expr], on: frozenset[str]) -> None:
        super().__init__(values, on)
        self.__dict__["lines"] = []

    def __setattr__(self, name: str, value: Any) -> None:
        self.lines.append(f"{name} ← {value.to_text()}".replace(_OVER_ALL, ""))
        self.values.setdefault(name, variable(name, value.shape))


def formula(rule: Rule, slots: Sequence[str], numbers: Sequence[str], on: frozenset[str], whole: bool) -> list[str]:
    """The lines of a rule. whole: its arrays are seen as wholes (it takes norms), not element by element."""
    shape = (2,) if whole else ()
    scope = Written(_symbols(slots, numbers, shape, "float64"), on)
    rule(scope)
    return list(scope.lines)


def _symbols(slots: Sequence[str], numbers: Sequence[str], shape: tuple[int, ...], dtype: str) -> dict[str, Expr]:
    arrays = {n: variable(n, shape, dtype) for n in (PARAMETER, GRADIENT, *slots)}
    return {**arrays, **{n: variable(n) for n in numbers}}


class Numbers:
    """What all elements share, computed from the numbers by name: an array, of the elements' dtype."""

    def __init__(self, roots: Sequence[Expr], dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._names: list[tuple[int, str]] = []
        self._constants: list[tuple[int, float]] = []
        self._operations: list[tuple[int, Callable[..., Any], list[int]]] = []
        order = topological(*roots)
        place = {n: k for k, n in enumerate(order)}
        for k, n in enumerate(order):
            if n.kind.op is VARIABLE:
                self._names.append((k, n.name))
            elif n.kind.op is CONSTANT:
                self._constants.append((k, float(constant_value(n.kind))))
            else:
                self._operations.append((k, n.kind.op.numpy, [place[a] for a in n.args]))
        self._roots, self._size = [place[r] for r in roots], len(order)

    def room(self) -> np.ndarray:
        """An array to hold what a call gives."""
        return np.empty(len(self._roots), self.dtype)

    def __call__(self, values: Mapping[str, float]) -> np.ndarray:
        found: list[Any] = [None] * self._size
        for k, name in self._names:
            found[k] = values[name]
        for k, constant in self._constants:
            found[k] = constant
        with np.errstate(all="ignore"):
            for k, function, args in self._operations:
                found[k] = function(*[found[a] for a in args])
        return np.array([found[r] for r in self._roots], self.dtype)


@dataclass(frozen=True, eq=False)
class Step:
    """A rule made ready: `numbers` gives what all elements share, `run` does the rest."""

    numbers: Numbers
    tape: Tape
    run: Executable

    def bound(self, values: Sequence[Any], out: Sequence[Any]) -> Callable[[], object]:
        """`run(values, out)`, to be called any number of times on these very arrays."""
        bind = getattr(self.run, "bound", None)
        return partial(self.run, values, out) if bind is None else bind(values, out)  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def step(
    rule: Rule, slots: tuple[str, ...], numbers: tuple[str, ...], on: frozenset[str], shape: tuple[int, ...], dtype: str,
    machine: str,
) -> Step:  # fmt: skip
    """The rule for arrays of a core shape: () where it works element by element, and arrays are loop dims of its tape.

    Its tape takes the parameter, the gradient, the slots and the array of what is shared; it gives the parameter and the slots.
    """
    given = _symbols(slots, numbers, shape, "float64")
    scope = Scope(given, on)
    rule(scope)
    outputs = [scope.values[n] for n in (PARAMETER, *slots)]
    arrays = _symbols(slots, (), shape, dtype)
    shared, rewritten = _shared(outputs, [given[n] for n in numbers], {given[n]: v for n, v in arrays.items()}, dtype)
    tape = record(rewritten, [*arrays.values(), *shared.values()], (PARAMETER, *slots))
    together = variable("shared", (len(shared),), dtype)  # one argument in the place of many
    tape = record(
        expressions(tape, [*arrays.values(), *(together[k] for k in range(len(shared)))]),
        [*arrays.values(), together],
        (PARAMETER, *slots),
    )
    return Step(Numbers(list(shared), dtype), tape, find_machine(machine).compile(tape))


def _shared(
    outputs: Sequence[Expr], numbers: Sequence[Expr], arrays: Mapping[Expr, Expr], dtype: str
) -> tuple[dict[Expr, Expr], list[Expr]]:
    """What depends on numbers alone, each with the variable that stands for it; and the outputs with these in its place."""
    alone: set[Expr] = set(numbers)
    shared: dict[Expr, Expr] = {}
    values: dict[Expr, Expr] = dict(arrays)

    def value(n: Expr) -> Expr:
        if n in alone:
            return shared.setdefault(n, variable(f"shared{len(shared)}", (), dtype))
        return values[n]

    for n in topological(*outputs):
        if n in values or n in alone:
            continue
        if n.kind.op is CONSTANT:
            values[n] = n
        elif all(a in alone or a.kind.op is CONSTANT for a in n.args):
            alone.add(n)
        elif n.kind.op.name == "divide" and n.args[1] in alone:
            values[n] = value(n.args[0]) * value(_applied(n.kind, (1.0, n.args[1]), alone))
        else:
            values[n] = RULES.primitive(n.kind.op.name, *map(value, n.args), **n.kind.kwargs)
    return shared, [value(o) for o in outputs]


def _applied(kind: Kind, args: tuple[Any, ...], alone: set[Expr]) -> Expr:
    made = RULES.primitive(kind.op.name, *args, **kind.kwargs)
    alone.add(made)
    return made
