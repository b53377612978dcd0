"""Where an operation, or its derivative, is not finite: read off its record by trying the ends of its domain and zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ...engines.rounding import evaluate_template
from ...expr.kind import Kind
from ...expr.node import Expr
from ...tape import templates
from .ranges import ALL, Range

#: whole and half numbers on which an operation of one argument is tried outside its stated interval (a power with an
#: even exponent is defined for negative numbers too, though the record's interval, for tests to draw from, is not)
_TRIED = (-0.5, -1.0, -2.5, -3.0)


class Domain(NamedTuple):
    """For one argument: where value and derivative are finite, and the points where only the derivative is not."""

    safe: Range
    steep: frozenset[float]
    #: a number well inside
    inside: float


def domains(n: Expr) -> tuple[Domain, ...] | None:
    """One an argument; None for an operation that is finite, with its derivative, for all reals."""
    return domains_of(n.kind, tuple(a.kind for a in n.args))


def domains_of(kind: Kind, arguments: tuple[Kind, ...]) -> tuple[Domain, ...] | None:
    op = kind.op
    if (
        op.family != "elementwise"
        or op.partials is None
        or op.selects is not None
        or "bool" in (a.dtype for a in arguments)
    ):
        return None
    found = _probed(kind, arguments)
    return None if all(d.safe == ALL for d in found) else found


def inside(kind: Kind, arguments: Sequence[Kind], operands: Sequence[Any]) -> bool:
    """Whether finite operands are where the operation has a value, so that an infinite one is an overflow."""
    limits = domains_of(kind, tuple(arguments))
    if limits is None:
        return True
    return all(
        float(x) in d.safe or float(x) in d.steep for v, d in zip(operands, limits, strict=True) for x in np.ravel(v)
    )


@cache
def _probed(kind: Kind, arguments: tuple[Kind, ...]) -> tuple[Domain, ...]:
    return tuple(_probe(kind, arguments, k) for k in range(len(arguments)))


def _probe(kind: Kind, arguments: tuple[Kind, ...], k: int) -> Domain:
    op = kind.op
    lo, hi = op.intervals[k] if k < len(op.intervals) else (-math.inf, math.inf)
    if len(arguments) == 1 and lo == 0 and all(_finite(kind, arguments, k, x)[0] for x in _TRIED):
        lo = -math.inf
    holes, steep = set(), set()
    for x in {lo, hi, 0.0}:
        if math.isfinite(x) and lo <= x <= hi:
            value, slope = _finite(kind, arguments, k, x)
            if not (value and slope):
                holes.add(float(x))
            if value and not slope:
                steep.add(float(x))
    inside = 1.0 if lo == 0 or math.isinf(lo) else lo + 1 if math.isinf(hi) else (lo + hi) / 2
    return Domain(Range(lo, hi, frozenset(holes)), frozenset(steep), inside)


def _finite(kind: Kind, arguments: tuple[Kind, ...], k: int, x: float) -> tuple[bool, bool]:
    """Whether value and k-th partial are finite where argument k is x and the others are 1."""
    args = [np.array([x if j == k else 1.0]) for j in range(len(arguments))]
    with np.errstate(all="ignore"):
        out = np.asarray(kind.op.numpy(*args, **kind.kwargs))
        partial = evaluate_template(templates.partials(kind, arguments), [out, *args])[k]
    return bool(np.isfinite(out).all()), partial is None or bool(np.isfinite(partial).all())


def slope_everywhere_zero(n: Expr) -> bool:
    """A step, a rounding: constant between its jumps."""
    if n.op.partials is None or n.op.family != "elementwise":
        return False
    return all(p is None or p == 0 for p in templates.partials(n.kind, [a.kind for a in n.args]).outputs)
