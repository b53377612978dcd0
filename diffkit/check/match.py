"""Patterns found in a graph, up to the order of factors and terms and a few equivalent spellings.

Expressions are hash-consed, so that a name in a pattern stands for the same sub-expression twice is one `is`. The walk over the
graph does not recurse; the matching of one pattern does, to the depth of the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from .._calls import substitute
from ..expr.functions import RULES, as_expr
from ..expr.node import Expr, free_variables
from ..expr.text import parse
from .patterns import PATTERNS, Pattern

COMMUTATIVE = {"add", "multiply"}


class View(NamedTuple):
    """A node in the spelling that patterns are compared in."""

    name: str
    args: tuple[Expr, ...]
    params: tuple = ()


def _plain(n: Expr) -> View:
    return View(n.op.name, n.args, n.kind.params)


def _sum(n: Expr) -> View:
    """a + (−b) is a − b, and so is a + c for a negative number c."""
    for a, b in (n.args, n.args[::-1]):
        if b.op.name == "negative":
            return View("subtract", (a, b.args[0]))
        if b.number is not None and b.number < 0:
            return View("subtract", (a, as_expr(-b.number)))
    return _plain(n)


def _product(n: Expr) -> View:
    """A factor ½ is a division by 2, a factor −1 a sign."""
    for a, b in (n.args, n.args[::-1]):
        if b.number == 0.5:
            return View("divide", (a, as_expr(2.0)))
        if b.number == -1:
            return View("negative", (a,))
    return _square(n) if n.args[0] is n.args[1] else _plain(n)


def _square(n: Expr) -> View:
    return View("pow", (n.args[0],), (("p", 2.0),))


def _power(n: Expr) -> View:
    p = n.params["p"]
    if p == -1:
        return View("divide", (as_expr(1.0), n.args[0]))
    return View("sqrt", n.args) if p == 0.5 else _plain(n)


#: equivalent spellings, by operation
_VIEWS: dict[str, Callable[[Expr], View]] = {
    "add": _sum, "multiply": _product, "square": _square, "pow": _power,
    "reciprocal": lambda n: View("divide", (as_expr(1.0), n.args[0])),
}  # fmt: skip


def view(n: Expr) -> View:
    return _VIEWS.get(n.op.name, _plain)(n)


Binding = dict[str, Expr]


def match(pattern: Expr, n: Expr, known: Binding | None = None) -> Binding | None:
    """What the pattern's names stand for in `n`; None where it does not fit."""
    return next(_matches(pattern, n, known or {}), None)


def _matches(pattern: Expr, n: Expr, known: Binding) -> Iterator[Binding]:
    name = pattern.name
    if name is not None:
        if name not in known:
            yield {**known, name: n}
        elif known[name] is n:
            yield known
        return
    if pattern.number is not None or n.number is not None:
        if pattern.number == n.number and pattern.number is not None:
            yield known
        return
    p, v = view(pattern), view(n)
    if p.name != v.name or p.params != v.params or len(p.args) != len(v.args):
        return
    for args in (v.args, v.args[::-1]) if p.name in COMMUTATIVE else (v.args,):
        yield from _all(p.args, args, known)


def _all(patterns: tuple[Expr, ...], nodes: tuple[Expr, ...], known: Binding) -> Iterator[Binding]:
    if not patterns:
        yield known
        return
    for found in _matches(patterns[0], nodes[0], known):
        yield from _all(patterns[1:], nodes[1:], found)


@cache
def _by_operation() -> dict[str, list[tuple[Expr, Pattern]]]:
    """The table, parsed, by the outermost operation."""
    found: dict[str, list[tuple[Expr, Pattern]]] = {}
    for row in PATTERNS:
        pattern = parse(row.pattern)
        found.setdefault(view(pattern).name, []).append((pattern, row))
    return found


def find(n: Expr) -> tuple[Pattern, Expr | None] | None:
    """The first row that fits a node, and the rewrite with the node's own parts in it."""
    for pattern, row in _by_operation().get(view(n).name, ()):
        binding = match(pattern, n)
        if binding is not None and not _constant(binding):
            return row, None if row.rewrite is None else _filled(parse(row.rewrite), binding)
    return None


def _constant(binding: Binding) -> bool:
    """A pattern made of numbers alone is no danger that a point could bring."""
    return all(e.number is not None for e in binding.values())


def _filled(rewrite: Expr, binding: Binding) -> Expr | None:
    variables = free_variables(rewrite)
    if any(binding[v.name].shape for v in variables):  # type: ignore[index]
        return None  # text has scalars only
    return substitute(rewrite, variables, [binding[v.name] for v in variables])  # type: ignore[index]
