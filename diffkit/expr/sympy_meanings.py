"""What SymPy's functions mean in diffkit.

Most are found through the op table: the `sympy` rule of every elementwise operation is applied once to dummies, and where
that gives a plain function of them, the function means that operation. The others are written with operations here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sympy
from sympy.core.function import AppliedUndef

from ..errors import UnsupportedError
from ..ops import TABLE, Op
from . import functions
from . import sympy_functions as own
from .node import Expr, constant, make
from .sympy_forms import Native

#: most functions there are made from the op table, which a type checker cannot see
F: Any = functions


class Quotient(NamedTuple):
    """± numerator / denominator, with None for 1. Products and sums put fractions and signs together before they are written."""

    negative: bool
    numerator: Expr | None
    denominator: Expr | None = None

    @property
    def expr(self) -> Expr:
        value = self.magnitude
        return -value if self.negative else value

    @property
    def magnitude(self) -> Expr:
        numerator = constant(1.0) if self.numerator is None else self.numerator
        return numerator if self.denominator is None else numerator / self.denominator


def apply(name: str, *args: Expr, **params: Any) -> Expr:
    return make(TABLE[name], args, params)


def unsupported(e: Any, reason: str, remedy: str = "") -> UnsupportedError:
    return UnsupportedError(
        f"SymPy's {_brief(e)} cannot become an expression: {reason}{'; ' + remedy if remedy else ''}"
    )


def _brief(e: Any) -> str:
    """The text of a small expression, the name of a large one (as a tree it may be exponentially large)."""
    parts = [e]
    for part in parts:
        parts.extend(part.args)
        if len(parts) > 30 or (part.is_Rational and abs(part.p) > 10**50):
            return e.func.__name__
    return str(e)


def _gamma(x: Expr) -> Expr:
    """Γ = ± e^(log |Γ|); the sign alternates between the poles: negative where x < 0 and ⌊x⌋ is odd (DLMF 5.4)."""
    half = F.floor(x) / 2
    odd = F.logical_and(x < 0, F.not_equal(F.floor(half), half))
    return F.where(odd, -1.0, 1.0) * F.exp(F.lgamma(x))


#: functions that diffkit writes with others
_WRITTEN: dict[Any, Callable[..., Expr]] = {
    sympy.sec: lambda x: 1 / F.cos(x),
    sympy.csc: lambda x: 1 / F.sin(x),
    sympy.cot: lambda x: 1 / F.tan(x),
    sympy.sech: lambda x: 1 / F.cosh(x),
    sympy.csch: lambda x: 1 / F.sinh(x),
    sympy.coth: lambda x: 1 / F.tanh(x),
    sympy.asec: lambda x: F.arccos(1 / x),
    sympy.acsc: lambda x: F.arcsin(1 / x),
    sympy.acot: lambda x: F.arctan(1 / x),
    sympy.asech: lambda x: F.arccosh(1 / x),
    sympy.acsch: lambda x: F.arcsinh(1 / x),
    sympy.acoth: lambda x: F.arctanh(1 / x),
    sympy.sinc: lambda x: F.where(F.equal(x, 0), 1.0, F.sin(x) / x),
    sympy.frac: lambda x: x - F.floor(x),
    sympy.Mod: lambda x, y: x - y * F.floor(x / y),
    sympy.gamma: _gamma,
    sympy.factorial: lambda x: _gamma(x + 1),
    # the derivative of a jump: the engines agree that a jump carries none (op table, `step`)
    sympy.DiracDelta: lambda x, *order: constant(0.0),
    # of a real number
    sympy.re: lambda x: x,
    sympy.im: lambda x: constant(0.0),
    sympy.conjugate: lambda x: x,
    sympy.ITE: lambda c, x, y: F.logical_or(F.logical_and(c, x), F.logical_and(F.logical_not(c), y)),
}


def parameterised(e: Any, operands: Sequence[Quotient]) -> Expr:
    """Functions with an argument that is a parameter of the operation."""
    if isinstance(e, sympy.Heaviside):
        return apply("step", operands[0].expr, constant(0.0), at=float(e.args[1]))
    n = e.args[0]
    if not n.is_Integer or n.is_negative:
        raise unsupported(e, "the order of a polygamma function must be a known integer")
    return apply("digamma", operands[1].expr) if n == 0 else apply("polygamma", operands[1].expr, n=int(n))


def own_function(e: own.Own, operands: Sequence[Quotient]) -> Expr:
    count = len(e.args) - len(e.parameters)
    args = [o.expr for o in operands[:count]]
    if isinstance(e, own.Polygamma):
        return parameterised(e, operands)
    if isinstance(e, (own.Largest, own.Share)):
        return _extreme(e, args)
    if isinstance(e, own.LogSumExp):
        return apply("logsumexp", _row(args), axes=(-1,))
    if isinstance(e, own.LogSoftmax):
        return apply("log_softmax", _row(args[1:]), axes=(-1,))[int(e.args[0])]
    op = TABLE[e.op]
    # `slope` is the convention's and no parameter of the operation
    params = {n: float(v) for n, v in zip(e.parameters, e.args[count:], strict=True) if n in op.params}
    return make(op, tuple(args), params)


def _row(elements: list[Expr]) -> Expr:
    """Scalars as one array; all elements of a vector, in order, are that vector."""
    vector = elements[0].args[0] if elements[0].op.name == "getitem" else elements[0]
    whole = vector.shape == (len(elements),) and all(e is vector[k] for k, e in enumerate(elements))
    return vector if whole else F.stack(elements)


def _extreme(e: own.Own, args: list[Expr]) -> Expr:
    """The extreme of a list of scalars, or one element's share in it."""
    if isinstance(e, own.Largest):
        return getattr(F, e.op)(F.stack(args))
    position, sign = int(e.args[0]), int(e.args[1])
    elements = F.stack(args[2:])
    hit = F.where(F.equal(elements, (F.max if sign > 0 else F.min)(elements)), 1.0, 0.0)
    mine, count = hit[position], F.sum(hit)
    return F.where(F.logical_and(mine > 0, count > 1), math.nan, mine) if e.args[-1] is sympy.nan else mine / count


@functools.lru_cache(maxsize=4)
def _by_function(ops: tuple[Op, ...]) -> dict[Any, Op]:
    """SymPy function -> the operation whose `sympy` rule gives it."""
    found: dict[Any, Op] = {}
    s = Native()
    for op in ops:
        if op.family != "elementwise" or op.sympy is None or op.params or not op.arity:
            continue
        dummies = [sympy.Dummy(f"x{i}", real=True) for i in range(op.arity)]
        form = op.sympy(s, *dummies)
        plain = isinstance(form, (sympy.Function, sympy.Max, sympy.Min)) and len(form.args) == op.arity
        if plain and set(form.args) == set(dummies):
            found.setdefault(form.func, op)
    return found


def function(e: Any, operands: Sequence[Quotient]) -> Expr:
    args = [o.expr for o in operands]
    written = _WRITTEN.get(e.func)
    if written is not None:
        return written(*args)
    op = _by_function(tuple(TABLE.values())).get(e.func)
    if op is None and isinstance(e, AppliedUndef) and e.func.__name__ in TABLE:
        op = TABLE[e.func.__name__]
    if op is None:
        raise unsupported(e, *refusal(e))
    if op.arity == 2 and len(args) != 2:
        return functools.reduce(lambda a, b: make(op, (a, b), {}), args)
    return make(op, tuple(args), {})


NOT_CARRIED_OUT = (sympy.Derivative, sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit, sympy.Subs)


def refusal(e: Any) -> tuple[str, str]:
    if isinstance(e, NOT_CARRIED_OUT):
        return "it is not carried out", "call .doit() first"
    if isinstance(e, AppliedUndef):
        return "the function is not known", "register it with dk.register_op, or substitute what it stands for"
    return "no operation of diffkit computes it", "rewrite it in other functions, or register it with dk.register_op"
