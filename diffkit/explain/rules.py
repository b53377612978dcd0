"""The rules of the op table written out for people.

An operation's partials are expressions already; here they meet a tangent or an adjoint. Only writing is tidied: a partial of 1
or −1 shows as a sign, 1/y as a quotient, and the two halves of a selection as one `where`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from ..expr.functions import RULES, as_expr
from ..expr.kind import Kind
from ..expr.node import Expr
from ..ops import TABLE

_NEGATIVE, _RECIPROCAL, _MULTIPLY, _DIVIDE, _WHERE, _NOT = (
    TABLE[n] for n in ("negative", "reciprocal", "multiply", "divide", "where", "logical_not")
)

#: what the derivative of a variable by itself is written as: nothing
ONE = as_expr(1.0)
#: (sign, expression)
Term = tuple[int, Expr]


def tangent(kind: Kind, out: Expr, args: Sequence[Expr], tangents: Sequence[Expr | None]) -> Expr | None:
    """The tangent of `out` from those of its arguments (None: an argument that does not vary)."""
    if kind.op.partials is None:
        return as_expr(kind.op.jvp(RULES, list(tangents), out, *args, **kind.kwargs)) if kind.op.jvp else None
    terms = [
        term
        for moving, partial, mask in zip(tangents, *_partials(kind, out, args), strict=True)
        if moving is not None and (term := _scaled(partial, moving, mask, partial_first=True)) is not None
    ]
    return total(terms)


def contributions(kind: Kind, out: Expr, args: Sequence[Expr], adjoint: Expr) -> list[Term | None]:
    """What `out`, with this adjoint, hands down to each of its arguments."""
    if kind.op.partials is None:
        handed = kind.op.vjp(RULES, adjoint, out, *args, **kind.kwargs) if kind.op.vjp else [None] * len(args)
        return [None if h is None else (1, as_expr(h)) for h in handed]
    terms = [
        _scaled(p, adjoint, mask, partial_first=False) for p, mask in zip(*_partials(kind, out, args), strict=True)
    ]
    return [t and (t[0], _summed_to(t[1], a.shape)) for t, a in zip(terms, args, strict=True)]


def total(terms: Sequence[Term]) -> Expr | None:
    """The terms added up, with their signs, a positive one in front if there is one; None for no terms."""
    terms = _chosen(list(terms))
    front = next((k for k, (sign, _) in enumerate(terms) if sign > 0), 0)
    sum_: Expr | None = None
    for sign, term in (*terms[front : front + 1], *terms[:front], *terms[front + 1 :]):
        if sum_ is None:
            sum_ = term if sign > 0 else RULES.negative(term)
        else:
            sum_ = sum_ + term if sign > 0 else sum_ - term
    return sum_


def _partials(kind: Kind, out: Expr, args: Sequence[Expr]) -> tuple[Sequence[Any], Sequence[Expr | None]]:
    op = kind.op
    partials = op.partials(RULES, out, *args, **kind.kwargs)  # type: ignore[misc]
    return partials, op.selects(RULES, *args) if op.selects else [None] * len(args)


def _scaled(partial: Any, moving: Expr, mask: Expr | None, partial_first: bool) -> Term | None:
    """partial · moving. A mask is shown where the partial is a plain number: other partials say themselves where they are zero."""
    sign, over, under = _quotient(partial)
    if over is None or over.number == 0:
        return None
    number = over.number is not None
    leading, rest = over.args if over.op is _MULTIPLY and over.args[0].number is not None else (ONE, over)
    pair = (rest, moving) if partial_first or number else (moving, rest)
    product = reduce(RULES.multiply, [p for p in (leading, *pair) if p.number != 1] or [ONE])
    if under is not None:
        product = product / under
    if mask is not None and number and under is None:
        product = RULES.where(mask, product, 0)
    return sign, product


def _quotient(partial: Any) -> tuple[int, Expr | None, Expr | None]:
    """Sign, numerator and denominator of a partial."""
    if partial is None:
        return 1, None, None
    sign, p = 1, as_expr(partial)
    while p.op is _NEGATIVE:
        sign, p = -sign, p.args[0]
    if p.number is not None and p.number < 0:
        sign, p = -sign, as_expr(-p.number)
    if p.op is _RECIPROCAL:
        return sign, ONE, p.args[0]
    return (sign, *p.args) if p.op is _DIVIDE else (sign, p, None)  # type: ignore[return-value]


def _chosen(terms: list[Term]) -> list[Term]:
    """where(c, a, 0) + where(not c, b, 0) is where(c, a, b)."""
    if len(terms) == 2 and all(t.op is _WHERE and t.args[2].number == 0 and sign > 0 for sign, t in terms):
        (c, a, _), (d, b, _) = (t.args for _, t in terms)
        if d.op is _NOT and d.args[0] is c:
            return [(1, RULES.where(c, a, b))]
    return terms


def _summed_to(f: Expr, shape: tuple[int, ...]) -> Expr:
    """The transpose of broadcasting core shapes."""
    return RULES.sum_to(f, shape) if len(f.shape) >= len(shape) and f.shape != shape else f
