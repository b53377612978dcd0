"""Programs over balls: a graph of functions, written by the `sympy` rules of the op table or read from SymPy.

Equal nodes are one node. Divisions and differences are written as SymPy writes them, x · y⁻¹ and x + (−y), so that
the value and SymPy's derivative of it share what they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from ..errors import UnsupportedError
from ..expr.elements import ArrayFunctions

#: a row: name of the function, its static parameters, the rows of its operands. Leaves: "constant" (value), "input" (number)
Row = tuple[str, tuple[Any, ...], tuple[int, ...]]


class Graph:
    """Rows in an order in which operands come first."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._known: dict[Row, int] = {}
        self.inputs = 0

    def emit(self, name: str, operands: Sequence[Term] = (), static: tuple[Any, ...] = ()) -> Term:
        places = tuple(t.place for t in operands)
        row = (name, static, tuple(sorted(places)) if name in ("add", "mul") else places)
        place = self._known.get(row)
        if place is None:
            place = self._known[row] = len(self.rows)
            self.rows.append(row)
        return Term(self, place)

    def input(self) -> Term:
        self.inputs += 1
        return self.emit("input", (), (self.inputs - 1,))

    def number(self, value: Any) -> Term:
        """A double as the rational it is (the one nearest to π as π), a Fraction, or the name of a constant."""
        if isinstance(value, float):
            value = "pi" if value == math.pi else Fraction(value) if math.isfinite(value) else repr(value)
        elif isinstance(value, int):
            value = Fraction(value)
        return self.emit("constant", (), (value,))


class Term:
    """A node, with arithmetic."""

    __slots__ = ("graph", "place")

    def __init__(self, graph: Graph, place: int) -> None:
        self.graph, self.place = graph, place

    @property
    def constant(self) -> Any:
        name, static, _ = self.graph.rows[self.place]
        return static[0] if name == "constant" else None

    def _with(self, other: Any) -> Term:
        return other if isinstance(other, Term) else self.graph.number(other)

    def __add__(self, other: Any) -> Term:
        return self.graph.emit("add", (self, self._with(other)))

    def __mul__(self, other: Any) -> Term:
        return self.graph.emit("mul", (self, self._with(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Term:
        return self.graph.emit("neg", (self,))

    def __sub__(self, other: Any) -> Term:
        return self + -self._with(other)

    def __rsub__(self, other: Any) -> Term:
        return self._with(other) + -self

    def inverse(self) -> Term:
        return self.graph.emit("inv", (self,))

    def __truediv__(self, other: Any) -> Term:
        return self * self._with(other).inverse()

    def __rtruediv__(self, other: Any) -> Term:
        return self.inverse() if other == 1 else self._with(other) * self.inverse()

    def __pow__(self, p: Any) -> Term:
        exponent = self._with(p)
        fixed = exponent.constant
        if not isinstance(fixed, Fraction):
            return self.graph.emit("power", (self, exponent))
        if fixed == Fraction(1, 2):
            return self.graph.emit("sqrt", (self,))
        if fixed == -1:
            return self.inverse()
        if fixed == 1:
            return self
        return self.graph.emit("pow", (self,), (fixed,))


class Terms(ArrayFunctions):
    """The namespace `s` that writes into a graph. A derivative at a kink (`at`, `slope`) plays no part: there is no truth there."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.number = graph.number
        self.pi = graph.number("pi")

    def emit(self, name: str, *args: Any, static: tuple[Any, ...] = ()) -> Term:
        return self.graph.emit(name, [a if isinstance(a, Term) else self.number(a) for a in args], static)

    def __getattr__(self, name: str) -> Callable[..., Term]:
        from .balls import PRIMITIVES

        if name not in PRIMITIVES:
            raise UnsupportedError(f"{name} cannot be evaluated in balls")
        return lambda *args: self.emit(name, *args)

    def Add(self, *terms: Term) -> Term:
        return _chain(terms, "add") if terms else self.number(0)

    def Mul(self, *factors: Term) -> Term:
        return _chain(factors, "mul") if factors else self.number(1)

    def Pow(self, x: Any, p: Any) -> Term:
        return (x if isinstance(x, Term) else self.number(x)) ** p

    def compare(self, name: str, x: Any, y: Any) -> Term:
        return self.emit(name, x, y)

    def And(self, x: Any, y: Any) -> Term:
        return self.emit("logical_and", x, y)

    def Or(self, x: Any, y: Any) -> Term:
        return self.emit("logical_or", x, y)

    def Not(self, x: Any) -> Term:
        return self.emit("logical_not", x)

    def Piecewise(self, chosen: tuple[Any, Any], otherwise: tuple[Any, Any]) -> Term:
        return self.emit("where", chosen[1], chosen[0], otherwise[0])

    def digamma(self, x: Any) -> Term:
        return self.emit("polygamma", x, static=(0,))

    def polygamma(self, n: int, x: Any) -> Term:
        return self.emit("polygamma", x, static=(int(n),))

    def guard(self, name: str, value: Term, *switches: Any) -> Term:
        """`value`, and NaN where a switching quantity of the operation `name` is zero."""
        return self.emit("guard", value, *switches, static=(name,))


def _without_last(name: str) -> Callable[..., Term]:
    return lambda self, *args: self.emit(name, *args[:-1])


for _name in ("abs", "maximum", "minimum", "max", "min", "step", "sign", "floor", "ceil", "trunc", "round"):
    setattr(Terms, _name, _without_last(_name))


def _chain(terms: Sequence[Term], name: str) -> Term:
    """A sum or product as a chain from the left."""
    total = terms[0]
    for t in terms[1:]:
        total = total.graph.emit(name, (total, t))
    return total
