"""An expression with the facts that several lints need, gathered in one pass each."""

from __future__ import annotations

from functools import cached_property

from ...expr.node import Expr, topological
from ...ops import VARIABLE
from .ranges import Range, ranges


class Graph:
    """The nodes below a root in order of evaluation, with their ranges, variables and users."""

    def __init__(self, root: Expr) -> None:
        self.root = root
        self.order = topological(root)

    @cached_property
    def ranges(self) -> dict[int, Range]:
        return ranges(self.root)

    @cached_property
    def variables(self) -> dict[int, int]:
        """For each node the variables below it, one bit a variable."""
        found: dict[int, int] = {}
        count = 0
        for n in self.order:
            bits = 0
            if n.op is VARIABLE:
                bits, count = 1 << count, count + 1
            for a in n.args:
                bits |= found[id(a)]
            found[id(n)] = bits
        return found

    @cached_property
    def users(self) -> dict[int, list[tuple[Expr, int]]]:
        """For each node its users, each with the place that it has among their arguments."""
        found: dict[int, list[tuple[Expr, int]]] = {id(n): [] for n in self.order}
        for n in self.order:
            for k, a in enumerate(n.args):
                found[id(a)].append((n, k))
        return found
