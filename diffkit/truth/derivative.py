"""Value and derivative of an expression as a graph of balls: the value by the op table, the derivative by SymPy.

SymPy differentiates its own form of the function, so the derivative rests on no derivative rule of ours but those of
`expr/sympy_functions.py` (kinks, real roots, log |Γ|). The value is written by the operations' `sympy` rules without SymPy,
which would simplify on construction (√x·√x → x): on it the domain is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import ExceededError, UnsupportedError
from ..expr.bounded import within
from ..expr.elements import Rules, write
from ..expr.node import Expr, depth, free_variables, topological
from ..ops.kinks import kinks
from .graph import Graph, Term, Terms

#: limits for SymPy on the whole formula: operations as a tree, which it walks, depth, and seconds
MAX_TREE, MAX_DEPTH, SECONDS = 20_000, 200, 5.0
#: functions in value and derivative together
MAX_ROWS = 100_000


class Derivative:
    """The graph of one expression. `values` are its elements, `guarded` the same but NaN at kinks and jumps."""

    def __init__(self, f: Expr, wrt: Sequence[Expr]) -> None:
        self.f, self.wrt = f, list(wrt)
        self.variables = free_variables(f)
        self.graph = Graph()
        self.s = Terms(self.graph)
        self.inputs = {
            v: self.s.map(lambda _: self.graph.input(), np.empty(v.shape, dtype=object)) for v in self.variables
        }
        with kinks("default"):
            self.values = self._write(lambda n, value, args: value)
            self.guarded = self._write(self._guard)

    def _write(self, after: Any) -> np.ndarray:
        try:
            return write([self.f], self.s, self.inputs.__getitem__, after)[0]
        except (TypeError, AttributeError) as problem:
            raise UnsupportedError(f"the expression cannot be evaluated in balls: {problem}") from None

    def _guard(self, n: Expr, value: Any, args: Sequence[Any]) -> Any:
        if n.op.kinks is None:
            return value
        return self.s.guard(n.op.name, value, *n.op.kinks(Rules(self.s), *args, **n.params))

    def terms(self) -> tuple[list[np.ndarray], str, str]:
        """For every variable of `wrt` the derivative's terms, of shape core of f + core of the variable; method and reason."""
        try:
            self._check_size()
            with kinks("default"):
                return within(SECONDS, self._by_sympy, "SymPy's derivation"), "sympy", ""
        except (ExceededError, UnsupportedError) as problem:
            return self._by_chain_rule(), "sympy, function by function", str(problem)

    def _check_size(self) -> None:
        size: dict[int, int] = {}
        for n in topological(self.f):
            size[id(n)] = max(1, n.size) + sum(size[id(a)] for a in n.args)
        if size[id(self.f)] > MAX_TREE or depth(self.f) > MAX_DEPTH:
            raise ExceededError(f"more than {MAX_TREE:,} operations as a tree, or nested deeper than {MAX_DEPTH}")

    def _by_chain_rule(self) -> list[np.ndarray]:
        from .chain import tangents

        outputs = list(self.values.flat)
        blocks = []
        for v in self.wrt:
            columns = (
                [tangents(self.graph, self.s, outputs, t) for t in self.inputs[v].flat] if v in self.inputs else []
            )
            zeros = [[self.s.number(0)] * len(outputs)] * v.size
            block = np.empty((len(outputs), v.size), dtype=object)
            for j, column in enumerate(columns or zeros):
                block[:, j] = column
            blocks.append(block.reshape((*self.values.shape, *v.shape)))
        return blocks

    def _by_sympy(self) -> list[np.ndarray]:
        from ..expr.sympy_bridge import symbols_for
        from ..expr.sympy_forms import Derivable

        symbols = symbols_for(self.variables)
        (written,) = write([self.f], Derivable(), symbols.__getitem__)
        place = {s: t for v in self.variables for s, t in zip(symbols[v].flat, self.inputs[v].flat, strict=True)}
        reader = SympyReader(self.s, place)
        blocks = []
        for v in self.wrt:
            by = symbols.get(v, np.empty(v.shape, dtype=object))
            block = np.empty((*written.shape, *v.shape), dtype=object)
            for i in np.ndindex(written.shape):
                for j in np.ndindex(v.shape):
                    block[(*i, *j)] = reader(_derived(written[i], by[j])) if v in symbols else self.s.number(0)
                    if len(self.graph.rows) > MAX_ROWS:
                        raise ExceededError(f"SymPy's derivative has more than {MAX_ROWS:,} parts")
            blocks.append(block)
        return blocks


def _derived(f: Any, x: Any) -> Any:
    try:
        return f.diff(x)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as problem:
        raise UnsupportedError(f"SymPy cannot derive this: {problem}") from None


class SympyReader:
    """SymPy expressions as terms; shared parts once, without recursion."""

    def __init__(self, s: Terms, symbols: dict[Any, Term]) -> None:
        self.s, self._known = s, dict(symbols)

    def __call__(self, root: Any) -> Term:
        known = self._known
        stack = [(root, False)]
        while stack:
            e, ready = stack.pop()
            if e in known:
                continue
            if e.args and not ready:
                stack.append((e, True))
                stack.extend((a, False) for a in reversed(e.args) if a not in known)
            else:
                known[e] = self._written(e, [known[a] for a in e.args]) if e.args else self._leaf(e)
        return known[root]

    def _leaf(self, e: Any) -> Term:
        import sympy

        if e.is_Rational:
            return self.s.number(Fraction(int(e.p), int(e.q)))
        if e.is_Float:
            return self.s.number(float(e))
        if e in (sympy.pi, sympy.E, sympy.EulerGamma, sympy.Catalan):
            return self.s.number("pi" if e is sympy.pi else type(e).__name__)
        if e in (sympy.oo, -sympy.oo, sympy.nan):
            return self.s.number(float(e))
        raise UnsupportedError(f"SymPy's derivative contains {e}, which is no real number")

    def _written(self, e: Any, args: list[Term]) -> Term:
        from ..expr.sympy_functions import FixedPower, Own

        if e.is_Add:
            return self.s.Add(*args)
        if e.is_Mul:
            # −x · y is written as −(x · y), as the op table does
            minus = args[0].constant == -1
            product = self.s.Mul(*args[minus:])
            return -product if minus else product
        if e.is_Pow or isinstance(e, FixedPower):
            return self.s.Pow(*args)
        if not isinstance(e, Own):
            return getattr(self.s, type(e).__name__)(*args)
        static = [int(a) for a in e.args[: e.static]]
        return self.s.emit(e.op, *args[e.static : len(args) - len(e.parameters)], static=tuple(static))
