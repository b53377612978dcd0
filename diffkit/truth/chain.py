"""The derivative of a graph by the chain rule, with SymPy's derivative of each function in it.

For expressions that SymPy cannot differentiate as a whole in reasonable time (it walks trees, and a graph with shared parts
can be an exponential tree). Tangents are carried forward, so that of a branch not taken nothing is used.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..errors import ExceededError
from .derivative import MAX_ROWS, SympyReader
from .graph import Graph, Term, Terms

#: functions with one argument more in SymPy's form, for the derivative at a kink (of no effect here)
_WITH_CONVENTION = ("abs", "maximum", "minimum", "max", "min", "step", "sign", "floor", "ceil", "trunc", "round")
_ARITHMETIC: dict[str, Any] = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "neg": lambda x: -x,
    "inv": lambda x: 1 / x,
    "power": lambda x, y: x**y,
}


@functools.cache
def _partials(name: str, static: tuple[Any, ...], count: int) -> tuple[list[Any], list[Any]]:
    """Dummies, and SymPy's derivative of the function by each of them."""
    import sympy

    from ..expr.sympy_forms import Derivable

    s = Derivable()
    dummies = [sympy.Dummy(f"x{i}") for i in range(count)]
    if name in _ARITHMETIC:
        form = _ARITHMETIC[name](*dummies)
    elif name == "pow":
        form = s.Pow(dummies[0], sympy.Rational(static[0].numerator, static[0].denominator))
    elif static:
        form = getattr(s, name)(*static, *dummies)
    else:
        form = getattr(s, name)(*dummies, *([0.5] if name in _WITH_CONVENTION else []))
    return dummies, [form.diff(d) for d in dummies]


def tangents(graph: Graph, s: Terms, outputs: Sequence[Term], by: Term) -> list[Term]:
    """The derivatives of `outputs` by the input `by`."""
    found: dict[int, Term] = {by.place: s.number(1)}
    for place in range(max((o.place for o in outputs), default=-1) + 1):
        name, static, operands = graph.rows[place]
        active = [k for k, a in enumerate(operands) if a in found]
        if active and place not in found:
            tangent = _tangent(graph, s, name, static, operands, active, found)
            if tangent is not None:
                found[place] = tangent
        if len(graph.rows) > MAX_ROWS:
            raise ExceededError(f"truth: the derivative has more than {MAX_ROWS:,} parts")
    return [found.get(o.place, s.number(0)) for o in outputs]


def _tangent(
    graph: Graph,
    s: Terms,
    name: str,
    static: tuple[Any, ...],
    operands: tuple[int, ...],
    active: list[int],
    found: dict[int, Term],
) -> Term | None:
    terms = [Term(graph, a) for a in operands]
    if name == "where":
        first, second = (found.get(a, s.number(0)) for a in operands[1:])
        return s.Piecewise((first, terms[0]), (second, True))
    if name == "share of extreme" or name.startswith(("less", "greater", "equal", "not_equal", "logical")):
        return None
    dummies, partials = _partials(name, static, len(operands))
    read = SympyReader(s, dict(zip(dummies, terms, strict=True)))
    parts = [read(partials[k]) * found[operands[k]] for k in active if partials[k] != 0]
    return s.Add(*parts) if parts else None
