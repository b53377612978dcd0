"""Interval arithmetic over an expression: which values a node can take, whatever its variables are.

A range is an interval with holes: points that are never taken. That is what tells `log(where(x > 0, x, 1))`, which is safe
everywhere, from `log(x)`. Where nothing is known the range is all reals; rounding is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...expr.kind import constant_value
from ...expr.node import Expr, topological
from ...ops import CONSTANT

_INF = math.inf


class Range(NamedTuple):
    lo: float = -_INF
    hi: float = _INF
    holes: frozenset[float] = frozenset()

    def __contains__(self, x: object) -> bool:
        return self.lo <= x <= self.hi and x not in self.holes  # type: ignore[operator]

    def within(self, other: Range) -> bool:
        return other.lo <= self.lo and self.hi <= other.hi and not any(h in self for h in other.holes)

    def union(self, other: Range) -> Range:
        holes = {h for h in self.holes | other.holes if h not in self and h not in other}
        return Range(min(self.lo, other.lo), max(self.hi, other.hi), frozenset(holes))

    def meet(self, other: Range) -> Range:
        return Range(max(self.lo, other.lo), min(self.hi, other.hi), self.holes | other.holes)


ALL = Range()
_ZERO = frozenset({0.0})
_TRUTH = Range(0.0, 1.0)


def ranges(*roots: Expr) -> dict[int, Range]:
    """The range of every node below the roots, by id."""
    found: dict[int, Range] = {}
    for n in topological(*roots):
        found[id(n)] = _range(n, [found[id(a)] for a in n.args], found)
    return found


def _range(n: Expr, args: list[Range], known: dict[int, Range]) -> Range:
    op = n.op
    if op is CONSTANT:
        value = constant_value(n.kind).astype(float)
        return Range(float(value.min()), float(value.max())) if value.size and np.isfinite(value).all() else ALL
    if op.result == "bool":
        return _TRUTH
    if op.name in _INCREASING:
        return _increasing(lambda x: op.numpy(x, **n.params), _clamped(args[0], n))
    rule = _RULES.get(op.name)
    if rule is not None:
        return rule(n, args, known)
    return _joined(args) if op.family == "movement" else ALL


def _joined(args: list[Range]) -> Range:
    joined = args[0]
    for a in args[1:]:
        joined = joined.union(a)
    return joined


def _clamped(r: Range, n: Expr) -> Range:
    """The part of a range that lies in the operation's domain."""
    return r.meet(Range(*n.op.intervals[0])) if n.op.intervals else r


def _increasing(function: Callable, r: Range) -> Range:
    """An increasing function: ends go to ends; a limit at infinity is approached and not taken."""
    with np.errstate(all="ignore"):
        lo, hi = float(function(np.float64(r.lo))), float(function(np.float64(r.hi)))
        holes = {float(function(np.float64(h))) for h in r.holes}
    holes |= {y for x, y in ((r.lo, lo), (r.hi, hi)) if math.isinf(x) and math.isfinite(y)}
    return Range(
        -_INF if math.isnan(lo) else lo,
        _INF if math.isnan(hi) else hi,
        frozenset(h for h in holes if not math.isnan(h)),
    )


_INCREASING = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "sinh", "tanh", "arcsinh", "arccosh", "arctanh",
    "arctan", "arcsin", "sigmoid", "softplus", "erf", "relu", "deg2rad", "rad2deg",
}  # fmt: skip


# ---- arithmetic on ranges -----------------------------------------------------------------------------------------
def _negated(r: Range) -> Range:
    return Range(-r.hi, -r.lo, frozenset(-h for h in r.holes))


def _added(a: Range, b: Range) -> Range:
    """An end of the sum is not taken where an end of a term is not."""
    lo, hi = a.lo + b.lo, a.hi + b.hi
    ends = {lo} if a.lo in a.holes or b.lo in b.holes else set()
    ends |= {hi} if a.hi in a.holes or b.hi in b.holes else set()
    return Range(
        -_INF if math.isnan(lo) else lo, _INF if math.isnan(hi) else hi, frozenset(e for e in ends if math.isfinite(e))
    )


def _multiplied(a: Range, b: Range) -> Range:
    products = [0.0 if 0 in (x, y) else x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Range(min(products), max(products), frozenset() if 0.0 in a or 0.0 in b else _ZERO)


def _inverted(r: Range) -> Range:
    """1/r; where r has both signs nothing is known but that it is not 0."""
    if r.lo < 0 < r.hi:
        return Range(holes=_ZERO)
    positive = r.lo >= 0
    low, high = (r.lo, r.hi) if positive else (-r.hi, -r.lo)
    result = Range(0.0 if math.isinf(high) else 1 / high if high else _INF, _INF if low == 0 else 1 / low, _ZERO)
    return result if positive else _negated(result)


def _absolute(r: Range) -> Range:
    size = max(abs(r.lo), abs(r.hi))
    least = 0.0 if r.lo <= 0 <= r.hi else min(abs(r.lo), abs(r.hi))
    return Range(least, size, frozenset() if 0.0 in r or least > 0 else _ZERO)


def _to_power(r: Range, p: float) -> Range:
    if p < 0:
        return _inverted(_to_power(r, -p))
    if p % 2 == 0:
        return _increasing(lambda x: x**p, _absolute(r))
    return _increasing(lambda x: x**p, r if p % 1 == 0 else r.meet(Range(0.0)))


def _larger(a: Range, b: Range) -> Range:
    lo = max(a.lo, b.lo)
    taken = not any(r.lo == lo and lo in r.holes for r in (a, b))
    return Range(lo, max(a.hi, b.hi), frozenset() if taken or math.isinf(lo) else frozenset({lo}))


def _smaller(a: Range, b: Range) -> Range:
    return _negated(_larger(_negated(a), _negated(b)))


def _length(a: Range, b: Range) -> Range:
    a, b = _absolute(a), _absolute(b)
    return Range(math.hypot(a.lo, b.lo), _INF, frozenset() if 0.0 in a and 0.0 in b else _ZERO)


def _summed(n: Expr, args: list[Range], known: dict[int, Range]) -> Range:
    count = n.args[0].size / max(n.size, 1)
    return _multiplied(args[0], Range(count, count))


def _product(n: Expr, args: list[Range], known: dict[int, Range]) -> Range:
    return _to_power(args[0], 2.0) if n.args[0] is n.args[1] else _multiplied(*args)


_RULES: dict[str, Callable[[Expr, list[Range], dict[int, Range]], Range]] = {
    "add": lambda n, r, k: _added(*r),
    "subtract": lambda n, r, k: _added(r[0], _negated(r[1])),
    "multiply": _product,
    "divide": lambda n, r, k: _multiplied(r[0], _inverted(r[1])),
    "negative": lambda n, r, k: _negated(r[0]),
    "reciprocal": lambda n, r, k: _inverted(r[0]),
    "square": lambda n, r, k: _to_power(r[0], 2.0),
    "pow": lambda n, r, k: _to_power(r[0], n.params["p"]),
    "power": lambda n, r, k: Range(0.0, _INF, frozenset() if 0.0 in r[0] else _ZERO) if r[0].lo >= 0 else ALL,
    "abs": lambda n, r, k: _absolute(r[0]),
    "cosh": lambda n, r, k: _increasing(np.cosh, _absolute(r[0])),
    "erfc": lambda n, r, k: Range(0.0, 2.0, frozenset({0.0, 2.0})),
    "arccos": lambda n, r, k: Range(0.0, math.pi),
    "sin": lambda n, r, k: Range(-1.0, 1.0),
    "cos": lambda n, r, k: Range(-1.0, 1.0),
    "hypot": lambda n, r, k: _length(*r),
    "maximum": lambda n, r, k: _larger(*r),
    "minimum": lambda n, r, k: _smaller(*r),
    "clip": lambda n, r, k: _smaller(_larger(r[0], r[1]), r[2]),
    "step": lambda n, r, k: _TRUTH,
    "where": lambda n, r, k: given(n.args[0], True, n.args[1], k).union(given(n.args[0], False, n.args[2], k)),
    "sum": _summed,
    "mean": lambda n, r, k: r[0],
    "max": lambda n, r, k: r[0],
    "min": lambda n, r, k: r[0],
    "norm": lambda n, r, k: Range(0.0, _INF, frozenset() if 0.0 in r[0] else _ZERO),
    "cast": lambda n, r, k: r[0],
}


# ---- what a condition says ------------------------------------------------------------------------------------------
_NOT = {
    "less": "greater_equal",
    "less_equal": "greater",
    "greater": "less_equal",
    "greater_equal": "less",
    "equal": "not_equal",
    "not_equal": "equal",
}
_MIRRORED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}
#: connectives by which both sides hold, or both fail
_BOTH = {"logical_and": True, "logical_or": False}


def given(condition: Expr, holds: bool, n: Expr, known: dict[int, Range]) -> Range:
    """The range of `n` where the condition holds (or fails): comparisons of n, or of |n| or n², with something else."""
    result = known[id(n)]
    stack = [(condition, holds)]
    while stack:
        c, true = stack.pop()
        name = c.op.name
        if name == "logical_not":
            stack.append((c.args[0], not true))
        elif _BOTH.get(name) is true:
            stack += [(a, true) for a in c.args]
        elif name in _NOT:
            relation = name if true else _NOT[name]
            left, right = c.args
            result = _compared(result, n, left, relation, known[id(right)])
            result = _compared(result, n, right, _MIRRORED.get(relation, relation), known[id(left)])
    return result


def _compared(r: Range, n: Expr, side: Expr, relation: str, other: Range) -> Range:
    if side is n:
        return r.meet(_allowed(relation, other))
    size = side.op.name in ("abs", "square") or (side.op.name == "pow" and side.params["p"] % 2 == 0)
    if size and side.args[0] is n and 0.0 not in _allowed(relation, other):
        return r.meet(Range(holes=_ZERO))
    return r


def _allowed(relation: str, other: Range) -> Range:
    """The numbers that stand in this relation to some number of a range."""
    single = frozenset({other.lo}) if other.lo == other.hi else frozenset()
    return {
        "greater": Range(lo=other.lo, holes=frozenset({other.lo})),
        "greater_equal": Range(lo=other.lo, holes=other.holes & {other.lo}),
        "less": Range(hi=other.hi, holes=frozenset({other.hi})),
        "less_equal": Range(hi=other.hi, holes=other.holes & {other.hi}),
        "equal": other,
        "not_equal": Range(holes=single),
    }[relation]
