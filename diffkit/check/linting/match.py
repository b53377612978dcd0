"""Patterns found in a graph, up to the order of factors and terms and a few equivalent spellings.

Expressions are hash-consed, so that a name in a pattern stands for the same sub-expression twice is one `is`. The walk over the
graph does not recurse; the matching of one pattern does, to the depth of the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from ...expr.functions import RULES, as_expr
from ...expr.node import Expr, free_variables
from ...expr.text import parse
from ...transforms.arguments import substitute
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
    """A factor ½ is a division by 2, a negative factor a sign."""
    for a, b in (n.args, n.args[::-1]):
        if b.number == 0.5:
            return View("divide", (a, as_expr(2.0)))
        if b.number is not None and b.number < 0:
            return View("negative", (a if b.number == -1 else RULES.multiply(-b.number, a),))
    return _square(n) if n.args[0] is n.args[1] else _plain(n)


def _quotient(n: Expr) -> View:
    """(−a)/b is −(a/b)."""
    top, bottom = n.args
    return View("negative", (RULES.divide(top.args[0], bottom),)) if top.op.name == "negative" else _plain(n)


def _square(n: Expr) -> View:
    return View("pow", (n.args[0],), (("p", 2.0),))


def _power(n: Expr) -> View:
    p = n.params["p"]
    if p == -1:
        return View("divide", (as_expr(1.0), n.args[0]))
    return View("sqrt", n.args) if p == 0.5 else _plain(n)


#: equivalent spellings, by operation
_VIEWS: dict[str, Callable[[Expr], View]] = {
    "add": _sum, "multiply": _product, "divide": _quotient, "square": _square, "pow": _power,
    "reciprocal": lambda n: View("divide", (as_expr(1.0), n.args[0])),
}  # fmt: skip


def view(n: Expr) -> View:
    return _VIEWS.get(n.op.name, _plain)(n)


class Match(NamedTuple):
    """What the names of a pattern stand for, and the nodes that the pattern itself covers."""

    names: dict[str, Expr]
    covered: tuple[Expr, ...] = ()


def match(pattern: Expr, n: Expr) -> Match | None:
    """How the pattern fits the node; None where it does not."""
    return next(_matches(pattern, n, Match({})), None)


def _matches(pattern: Expr, n: Expr, so_far: Match) -> Iterator[Match]:
    name = pattern.name
    if name is not None:
        if name not in so_far.names:
            yield so_far._replace(names={**so_far.names, name: n})
        elif so_far.names[name] is n:
            yield so_far
        return
    if pattern.number is not None or n.number is not None:
        if pattern.number is not None and pattern.number == n.number:
            yield so_far
        return
    p, v = view(pattern), view(n)
    if p.name != v.name or p.params != v.params or len(p.args) != len(v.args):
        return
    here = so_far._replace(covered=(*so_far.covered, n))
    for args in (v.args, v.args[::-1]) if p.name in COMMUTATIVE else (v.args,):
        yield from _all(p.args, args, here)


def _all(patterns: tuple[Expr, ...], nodes: tuple[Expr, ...], so_far: Match) -> Iterator[Match]:
    if not patterns:
        yield so_far
        return
    for found in _matches(patterns[0], nodes[0], so_far):
        yield from _all(patterns[1:], nodes[1:], found)


@cache
def _by_operation() -> dict[str, list[tuple[Expr, Pattern]]]:
    """The table, parsed, by the outermost operation."""
    found: dict[str, list[tuple[Expr, Pattern]]] = {}
    for row in PATTERNS:
        pattern = parse(row.pattern)
        found.setdefault(view(pattern).name, []).append((pattern, row))
    return found


class Hit(NamedTuple):
    """A row of the table that fits a node."""

    row: Pattern
    match: Match

    @property
    def rewrite(self) -> Expr | None:
        """The row's rewrite with the node's own parts in it; None where it has none, or the parts are arrays (text has none)."""
        names = self.match.names
        if self.row.rewrite is None or any(e.shape for e in names.values()):
            return None
        rewrite = parse(self.row.rewrite)
        variables = free_variables(rewrite)
        return substitute(rewrite, variables, [names[v.name] for v in variables])  # type: ignore[index]


def find(n: Expr) -> Hit | None:
    """The first row that fits a node. Formulas of numbers alone are no danger that a point could bring."""
    for pattern, row in _by_operation().get(view(n).name, ()):
        found = match(pattern, n)
        if found is not None and any(e.number is None for e in found.names.values()):
            return Hit(row, found)
    return None
