"""What can be said of a formula without a point: patterns, slopes that are 0·∞, kinks and jumps."""

from __future__ import annotations

from ...expr.functions import RULES, as_expr
from ...expr.node import Expr
from ...expr.printing import brief
from ...ops import TABLE
from ...ops.kinks import current
from ...ops.kinks import kinks as under
from .findings import Finding, place, text
from .graph import Graph
from .match import Hit, find
from .ranges import ALL
from .selections import switches, unsafe_wheres
from .singular import domains, slope_everywhere_zero

_WHERE = TABLE["where"]

#: findings by code and node
Findings = dict[tuple[str, int], Finding]


def static_findings(graph: Graph) -> Findings:
    """All findings that need no point."""
    found = _patterns(graph)
    for part in (
        unsafe_wheres(graph),
        switches(graph),
        _infinite_slopes(graph, found),
        _kinks(graph),
        _conditions_computed_with(graph),
    ):
        for i, finding in part.items():
            found.setdefault((finding.code, i), finding)
    return found


def _patterns(graph: Graph) -> Findings:
    """Rows of patterns.py, the outermost first: what a row covers is not reported again."""
    found: Findings = {}
    covered: set[int] = set()
    for n in reversed(graph.order):
        hit = find(n) if n.args and id(n) not in covered else None
        if hit is None or not _reached(graph, hit):
            continue
        covered.update(map(id, hit.match.covered))
        here = [f"{name} is {brief(e, 40)}" for name, e in hit.match.names.items() if e.name != name]
        message = hit.row.message + (f"; here {', '.join(here)}" if here else "")
        found[hit.row.code, id(n)] = Finding(hit.row.code, "warning", place(n), message, text(hit.rewrite))
    return found


def _reached(graph: Graph, hit: Hit) -> bool:
    """Whether x can take values at which the row goes wrong."""
    x = hit.match.names.get("x")
    r = ALL if x is None else graph.ranges.get(id(x), ALL)
    lo, hi = hit.row.danger
    return r.lo <= hi and r.hi >= lo and not (lo == hi and lo in r.holes)


def _infinite_slopes(graph: Graph, patterns: Findings) -> dict[int, Finding]:
    """An infinite slope where the argument reaches an end of its own range: there the argument's slope is zero, or jumps."""
    found: dict[int, Finding] = {}
    for n in graph.order:
        limits = domains(n)
        if (
            limits is None
            or len(n.args) != 1
            or any((code, id(n)) in patterns for code in ("overflow", "zero-times-infinity"))
        ):
            continue
        (a,), (d,), r = n.args, limits, graph.ranges[id(n.args[0])]
        ends = [s for s in d.steep if s in r and s in (r.lo, r.hi)]
        if not a.args or not ends or not graph.variables[id(a)]:
            continue
        at = RULES.equal(a, ends[0])
        value = float(n.op.numpy(ends[0], **n.params))
        safe = RULES.where(at, value, RULES.primitive(n.op.name, RULES.where(at, d.inside, a), **n.params))
        message = (
            f"where {brief(a, 60)} = {ends[0]:g} the slope of {n.op.name} is infinite and that of its argument is 0: 0·inf, "
            "so the derivative is NaN"
        )
        rewrite = text(safe) if len(ends) == 1 else None
        found[id(n)] = Finding(
            "zero-times-infinity",
            "warning",
            place(n),
            message + ("; the rewrite makes it 0" if rewrite else ""),
            rewrite,
        )
    return found


def _kinks(graph: Graph) -> dict[int, Finding]:
    """Operations with a kink or a jump of their own."""
    found: dict[int, Finding] = {}
    for n in graph.order:
        if n.op.kinks is None or n.op.result == "bool" or not graph.variables[id(n)]:
            continue
        switch, code = switching_place(n), kink_code(n)
        if code == "kink":
            message = f"kink where {switch}; the derivative there: {convention(n)}"
        else:
            message = f"jumps where {switch}, and the derivative does not see it: it is 0 everywhere"
        found[id(n)] = Finding(code, "note", place(n), message)
    return found


def kink_code(n: Expr) -> str:
    """Whether an operation that switches has a jump there (a rounding, a step) or only a kink."""
    with under("default"):
        return "discontinuity" if slope_everywhere_zero(n) else "kink"


def convention(n: Expr) -> str:
    """What the derivative is at a kink, in words."""
    if current() != "default":
        return f'as dk.kinks("{current()}") says'
    return n.op.convention or f"as the formula gives it ({n.op.domain})"


def switching_place(n: Expr) -> str:
    """``a = b`` or ``q = 0``: where an operation with a kink switches."""
    shown = []
    for quantity in n.op.kinks(RULES, *n.args, **n.params):  # type: ignore[misc]
        q = as_expr(quantity)
        left, right = q.args if q.op.name == "subtract" else (q, as_expr(0.0))
        shown.append(f"{brief(left, 60)} = {brief(right, 60)}")
    return " or ".join(shown)


def _conditions_computed_with(graph: Graph) -> dict[int, Finding]:
    """A comparison used as a number, as in (x > 0)*x: 0 or 1, with a jump between."""
    found: dict[int, Finding] = {}
    for n in graph.order:
        if n.op.result == "bool" and n.op.kinks is not None and graph.variables[id(n)] and _used_as_number(graph, n):
            message = "is used as a number: it jumps between 0 and 1, which the derivative does not see; where() says what is meant"
            found[id(n)] = Finding("discontinuity", "note", place(n), message)
    return found


def _used_as_number(graph: Graph, n: Expr) -> bool:
    """Some user computes with it: not a `where` that is chosen by it, nor another condition."""
    stack, seen = [n], {id(n)}
    while stack:
        for user, k in graph.users[id(stack.pop())]:
            if user.op.result != "bool" and not (user.op is _WHERE and k == 0):
                return True
            if user.op.result == "bool" and user.op.kinks is None and id(user) not in seen:
                seen.add(id(user))
                stack.append(user)
    return False
